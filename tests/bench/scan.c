/* scan -- how fast batch files are checked, on one core.
 *
 *     scan [SECONDS]
 *
 * Lines of a chat each, in chunks as an upload has them, from memory. Told are
 * MB (10^6 bytes) per second: of memchr() alone, of the check, and of the check
 * with every model renamed and the result copied.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "gateway/codec/batch_check.h"

#define FILE_BYTES (64u * MIB)
#define CHUNK (256u * KIB)

static const char *const texts[] = {
    "You are a helpful assistant that answers in one paragraph.",
    "Summarise the following review in one sentence, and say whether its "
    "author would buy the product again.\\n\\nI bought this kettle in spring, "
    "and it has been on the table every day since. It is quiet, it is quick, "
    "and \\\"the lid\\\" stays where it should. What I do not like is the "
    "cable, which is too short for our kitchen; and the light, which is blue "
    "and shines all night.\\nAll in all: fine.",
    "Classify the ticket as bug, question or request: the export stops at "
    "line 4711 with an error, and nothing is written. The log has no entry "
    "from that time. We use version 2.14 on three machines, and all of them "
    "show the same. It began after the last update, on a Tuesday.",
    "\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xe4\xb8\x96\xe7\x95\x8c: translate, "
    "please, and keep gr\xc3\xbc\xc3\x9f"
    "e as they are.",
};

static uint64_t copied;
static char sink[CHUNK + MIB];

static enum gw_err on_model(void *arg, struct str name, struct str *renamed,
                            struct batch_use **use, struct gw_error *e)
{
    (void)name;
    (void)use;
    (void)e;
    if (arg)
        *renamed = STR("gpt-4o-production-eu");
    return GW_OK;
}

static void on_out(void *arg, struct str bytes)
{
    (void)arg;
    memcpy(sink, bytes.p, MIN(bytes.n, sizeof(sink)));
    copied += bytes.n;
}

static const struct batch_check_ops check_ops = {.model = on_model};
static const struct batch_check_ops rename_ops = {.model = on_model,
                                                  .out = on_out};

static size_t fill(char *p)
{
    size_t n = 0;

    for (int i = 0; n + 4 * KIB < FILE_BYTES; i++)
        n += (size_t)snprintf(
            p + n, 4 * KIB,
            "{\"custom_id\": \"request-%d\", \"method\": \"POST\", \"url\": "
            "\"/v1/chat/completions\", \"body\": {\"model\": \"gpt-4o-mini\", "
            "\"messages\": [{\"role\": \"system\", \"content\": \"%s\"}, "
            "{\"role\": \"user\", \"content\": \"%s\"}], \"max_tokens\": 256, "
            "\"temperature\": 0.2}}\n",
            i, texts[0], texts[1 + i % 3]);
    return n;
}

static void check(const struct batch_check_ops *ops, void *arg, const char *p,
                  size_t n)
{
    const uint64_t key[2] = {1, 2};
    struct gw_error e = {0};
    struct batch_check c;
    enum gw_err err = GW_OK;

    batch_check_init(&c, 10000000, MIB, key, ops, arg);
    for (size_t i = 0; i < n && err == GW_OK; i += CHUNK)
        err = batch_check_feed(&c, p + i, MIN(CHUNK, n - i), &e);
    if (err == GW_OK)
        err = batch_check_finish(&c, &e);
    batch_check_release(&c);
    if (err == GW_OK)
        return;
    fprintf(stderr, "%s\n", e.message);
    exit(1);
}

static void find_lines(const char *p, size_t n)
{
    const char *end = p + n;
    volatile size_t lines = 0;

    while ((p = memchr(p, '\n', (size_t)(end - p)))) {
        lines++;
        p++;
    }
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

enum what { MEMCHR, CHECK, RENAME, WHATS };

static void run(enum what what, const char *p, size_t n)
{
    if (what == MEMCHR)
        find_lines(p, n);
    else if (what == CHECK)
        check(&check_ops, NULL, p, n);
    else
        check(&rename_ops, sink, p, n);
}

int main(int argc, char **argv)
{
    static const char *const names[WHATS] = {"memchr", "check",
                                             "check and rename"};
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 2;
    char *p = malloc(FILE_BYTES);
    size_t n;

    if (!p)
        return 1;
    n = fill(p);
    for (int w = 0; w < WHATS; w++) {
        double begun = now(), spent = 0;
        int rounds = 0;

        for (; spent < seconds; rounds++, spent = now() - begun)
            run((enum what)w, p, n);
        printf("%-18s %6.0f MB/s\n", names[w],
               (double)n * rounds / spent / 1e6);
    }
    free(p);
    return 0;
}
