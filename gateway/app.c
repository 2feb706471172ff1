/* app.c
 *
 * The main thread waits for signals and watches over the embedded redis-server;
 * the workers do the rest. Stopping goes outward in: workers drain, then the
 * file threads end, then redis-server, whose data is then on disk.
 */
#include "gateway/app.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "gateway/config.h"
#include "gateway/flow/fleet.h"
#include "gateway/flow/held.h"
#include "gateway/store/redis_server.h"
#include "gateway/worker.h"
#include "providers/disk.h"

#define FILE_THREADS 4
#define REDIS_START_MS 15000

struct app {
    struct loop *loop;
    struct settings *settings;
    const char *file;
    char process_id[64];
    struct redis_server *redis;
    struct file_io *files;
    struct fleet *fleet;
    struct held *held;
    struct worker **workers;
    unsigned nworkers, nstopped;
    bool is_draining;
};

/* --- stopping --- */

static void on_worker_stopped(void *arg)
{
    struct app *a = arg;

    if (++a->nstopped == a->nworkers)
        loop_stop(a->loop);
}

/* On the worker's thread. */
static void post_stopped(void *arg)
{
    struct app *a = arg;

    loop_post(a->loop, on_worker_stopped, a);
}

static void on_stop_signal(void *arg, int signo)
{
    struct app *a = arg;

    if (a->is_draining)
        return;
    a->is_draining = true;
    log_info("%s: draining", signo == SIGTERM ? "SIGTERM" : "SIGINT");
    for (unsigned i = 0; i < a->nworkers; i++)
        worker_drain(a->workers[i]);
}

/* --- reload --- */

static void print_faults(struct str faults)
{
    struct str line;

    while (str_next(&faults, '\n', &line))
        log_error("%.*s", STR_ARG(line));
}

static bool same_list(const struct conf_strs *a, const struct conf_strs *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->v[i], b->v[i]) != 0)
            return false;
    return true;
}

static void warn_of_restart(const struct settings *old,
                            const struct settings *new)
{
    if (!same_list(&old->listen, &new->listen) ||
        strcmp(old->admin_listen, new->admin_listen) != 0 ||
        strcmp(old->data_dir, new->data_dir) != 0 ||
        strcmp(old->redis.url, new->redis.url) != 0 ||
        old->workers != new->workers)
        log_warn("changes of listen, admin_listen, data_dir, redis.url and "
                 "workers take a restart");
}

static void on_reload_signal(void *arg, int signo)
{
    struct app *a = arg;
    struct settings *s;
    struct buf faults;

    (void)signo;
    if (!a->file) {
        log_warn("SIGHUP: there is no configuration file to read again");
        return;
    }
    buf_init(&faults, 64 * KIB);
    s = config_load(a->file, &faults);
    if (!s) {
        print_faults(buf_str(&faults));
        log_error("the configuration was not reloaded: the old one stays");
    } else {
        warn_of_restart(a->settings, s);
        settings_drop(a->settings);
        a->settings = s;
        log_setup((enum log_level)s->log.level, (enum log_format)s->log.format);
        for (unsigned i = 0; i < a->nworkers; i++)
            worker_reload(a->workers[i], s);
        log_info("the configuration was reloaded from '%s'", a->file);
    }
    buf_release(&faults);
}

/* --- starting --- */

static void raise_descriptor_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

/* The directory and those above it. */
static enum gw_err make_directory(const char *path, struct gw_error *e)
{
    char *text = xstrdup(path);

    for (char *p = text + 1;; p++) {
        bool is_last = *p == '\0';

        if (!is_last && *p != '/')
            continue;
        *p = '\0';
        if (mkdir(text, 0700) != 0 && errno != EEXIST) {
            err_set(e, GW_INTERNAL, "cannot make the directory '%s': %s", text,
                    strerror(errno));
            break;
        }
        if (is_last)
            break;
        *p = '/';
    }
    free(text);
    return e->err;
}

static void name_process(struct app *a)
{
    char host[32] = "", tail[9];

    (void)gethostname(host, sizeof(host) - 1);
    crypto_random_text(tail, sizeof(tail) - 1);
    snprintf(a->process_id, sizeof(a->process_id), "%s-%ld-%s", host,
             (long)getpid(), tail);
}

static enum gw_err start_redis(struct app *a, const char **url,
                               struct gw_error *e)
{
    const struct settings *s = a->settings;

    *url = s->redis.url;
    if (s->redis.url[0])
        return GW_OK;
    a->redis = redis_server_start(a->loop, s->redis.server, s->data_dir,
                                  REDIS_START_MS, e);
    if (!a->redis)
        return e->err;
    *url = redis_server_url(a->redis);
    return GW_OK;
}

static enum gw_err start_workers(struct app *a, const char *redis_url,
                                 struct gw_error *e)
{
    struct worker_options o = {
        .redis_url = redis_url,
        .process_id = a->process_id,
        .files = a->files,
        .fleet = a->fleet,
        .held = a->held,
        .settings = a->settings,
        .stopped = post_stopped,
        .arg = a,
    };
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    o.count = a->settings->workers ? (unsigned)a->settings->workers
                                   : (unsigned)MAX(cpus, 1);
    a->workers = xcalloc(o.count, sizeof(a->workers[0]));
    for (o.index = 0; o.index < o.count; o.index++) {
        struct worker *w = worker_new(&o, e);

        if (!w)
            return e->err;
        a->workers[a->nworkers++] = w;
    }
    for (unsigned i = 0; i < a->nworkers; i++)
        worker_run(a->workers[i]);
    return GW_OK;
}

static void clean_directories(struct app *a)
{
    const struct conf_items *p = &a->settings->providers;

    for (size_t i = 0; i < p->n; i++) {
        const char *dir = disk_directory(p->v[i].data);

        if (dir)
            file_io_clean(dir);
    }
    file_io_clean(disk_directory(a->settings->uploads.own));
}

static enum gw_err probe_addresses(const struct settings *s, struct gw_error *e)
{
    for (size_t i = 0; i < s->listen.n; i++)
        if (http_server_probe(s->listen.v[i], e) != GW_OK)
            return e->err;
    if (s->admin_listen[0])
        return http_server_probe(s->admin_listen, e);
    return GW_OK;
}

static enum gw_err start(struct app *a, struct gw_error *e)
{
    const char *redis_url;

    raise_descriptor_limit();
    name_process(a);
    if (probe_addresses(a->settings, e) != GW_OK ||
        make_directory(a->settings->data_dir, e) != GW_OK ||
        start_redis(a, &redis_url, e) != GW_OK)
        return e->err;
    a->files = file_io_open(FILE_THREADS);
    a->fleet = fleet_new();
    a->held = held_new();
    clean_directories(a);
    return start_workers(a, redis_url, e);
}

static void stop(struct app *a)
{
    for (unsigned i = 0; i < a->nworkers; i++)
        worker_free(a->workers[i]);
    free(a->workers);
    if (a->files)
        file_io_close(a->files);
    fleet_free(a->fleet);
    held_free(a->held);
    if (a->redis)
        redis_server_stop(a->redis);
    settings_drop(a->settings);
    loop_free(a->loop);
}

static void log_start(const struct app *a)
{
    struct log_line l;
    struct buf where;

    buf_init(&where, KIB);
    for (size_t i = 0; i < a->settings->listen.n; i++)
        buf_printf(&where, "%s%s", i ? " " : "", a->settings->listen.v[i]);
    log_begin(&l, LOG_INFO, NULL, "filemux is ready");
    log_cstr(&l, "version", FILEMUX_VERSION);
    log_str(&l, "listen", buf_str(&where));
    log_int(&l, "workers", (int64_t)a->nworkers);
    log_int(&l, "providers", (int64_t)a->settings->providers.n);
    log_end(&l);
    buf_release(&where);
}

int app_run(struct settings *s, const char *file)
{
    struct app a = {.settings = s, .file = file};
    struct gw_error e = {0};

    signal(SIGPIPE, SIG_IGN);
    log_setup((enum log_level)s->log.level, (enum log_format)s->log.format);
    http_client_global_init();
    a.loop = loop_new();
    if (start(&a, &e) == GW_OK) {
        loop_on_signal(a.loop, SIGTERM, on_stop_signal, &a);
        loop_on_signal(a.loop, SIGINT, on_stop_signal, &a);
        loop_on_signal(a.loop, SIGHUP, on_reload_signal, &a);
        log_start(&a);
        loop_run(a.loop);
        log_info("stopped");
    } else {
        log_error("cannot start: %s", e.message);
    }
    stop(&a);
    http_client_global_cleanup();
    return e.err == GW_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
