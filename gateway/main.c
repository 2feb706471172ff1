#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/api/routes.h"
#include "gateway/app.h"
#include "gateway/config.h"
#include "providers/registry.h"

static const char usage[] =
    "filemux " FILEMUX_VERSION
    ": one HTTP endpoint for every LLM provider's files\n"
    "\n"
    "  filemux [--config FILE]   run; without a file, with the defaults\n"
    "  --check                   check the configuration and exit\n"
    "  --print-config            print every key with its default\n"
    "  --print-providers         print the table of provider types\n"
    "  --version, --help\n"
    "\n"
    "SIGHUP reads the configuration again, SIGTERM drains and stops.\n";

enum choice {
    CONFIG = 'c',
    CHECK = 1,
    PRINT_CONFIG,
    PRINT_PROVIDERS,
    VERSION,
    HELP = 'h'
};

static const struct option options[] = {
    {"config", required_argument, NULL, CONFIG},
    {"check", no_argument, NULL, CHECK},
    {"print-config", no_argument, NULL, PRINT_CONFIG},
    {"print-providers", no_argument, NULL, PRINT_PROVIDERS},
    {"version", no_argument, NULL, VERSION},
    {"help", no_argument, NULL, HELP},
    {0},
};

#define PRINT_MAX (1024u * 1024u)

static int print(void (*fill)(struct buf *out))
{
    struct buf text;

    buf_init(&text, PRINT_MAX);
    fill(&text);
    fwrite(text.p, 1, text.n, stdout);
    buf_release(&text);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Transfers allocate and free large buffers: memory is given back rarely, or
 * every one of them pays for page faults (measured: thousands of brk calls per
 * GiB without this). */
static void tune_malloc(void)
{
    mallopt(M_TRIM_THRESHOLD, 256 * 1024 * 1024);
    mallopt(M_TOP_PAD, 1024 * 1024);
    mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
}

static int run(const char *file, bool is_check)
{
    struct buf faults;
    struct settings *s;

    buf_init(&faults, PRINT_MAX);
    s = config_load(file, &faults);
    if (!s)
        fprintf(stderr, "%.*s\n", STR_ARG(buf_str(&faults)));
    buf_release(&faults);
    if (!s)
        return EXIT_FAILURE;
    if (is_check) {
        settings_drop(s);
        printf("the configuration is valid\n");
        return EXIT_SUCCESS;
    }
    api_check_routes();
    tune_malloc();
    return app_run(s, file);
}

int main(int argc, char **argv)
{
    const char *file = NULL;
    bool is_check = false;
    int c;

    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (c) {
        case CONFIG:
            file = optarg;
            break;
        case CHECK:
            is_check = true;
            break;
        case PRINT_CONFIG:
            return print(config_print);
        case PRINT_PROVIDERS:
            return print(registry_table);
        case VERSION:
            printf("filemux %s\n", FILEMUX_VERSION);
            return EXIT_SUCCESS;
        case HELP:
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        default:
            fputs("filemux: see --help\n", stderr);
            return EXIT_FAILURE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "filemux: unexpected argument '%s', see --help\n",
                argv[optind]);
        return EXIT_FAILURE;
    }
    return run(file, is_check);
}
