#include "gateway/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/api/routes.h"
#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "gateway/flow/auth_guard.h"
#include "gateway/flow/charge.h"
#include "gateway/flow/grants.h"
#include "gateway/flow/jobs.h"
#include "gateway/flow/lease.h"
#include "gateway/flow/model_list.h"
#include "gateway/flow/removal.h"
#include "gateway/flow/sweeper.h"
#include "gateway/flow/txn.h"
#include "gateway/flow/undo.h"
#include "gateway/flow/upload_end.h"
#include "gateway/flow/upload_tidy.h"

/* How often a draining worker looks whether it is done. */
#define DRAIN_TICK_MS 20
/* Transactions that were broken off get so long to clean up behind them. */
#define DRAIN_GRACE_MS 3000

enum worker_phase { RUNNING, DRAINING, BREAKING_OFF, SAYING_GOODBYE };

struct worker {
    struct worker_options o;
    struct services sv;
    struct http_server *server;
    struct sweeper *sweeper;
    struct jobs *jobs;
    struct upload_tidy *tidy;
    pthread_t thread;
    bool is_started;
    enum worker_phase phase;
    struct loop_timer drain;
    int64_t drain_until_ms;
};

static void on_request(void *arg, struct server_req *req)
{
    struct worker *w = arg;

    api_request(&w->sv, req);
}

static void on_refused(void *arg, const struct gw_error *err, const char *peer,
                       struct buf *body)
{
    (void)arg;
    api_refused(err, peer, body);
}

static const struct http_server_ops server_ops = {
    .request = on_request,
    .refused = on_refused,
};

static struct http_server_limits limits_of(const struct worker *w,
                                           const struct settings *s)
{
    return (struct http_server_limits){
        .header_timeout_ms = s->limits.header_timeout_ms,
        .idle_timeout_ms = s->limits.idle_timeout_ms,
        .min_rate = s->limits.min_rate,
        .max_connections =
            (s->limits.max_connections + w->o.count - 1) / w->o.count,
    };
}

static void use_fixed_keys(struct worker *w, const struct settings *s)
{
    key_store_set_fixed(w->sv.keys, s->fixed_keys, s->keys.n);
}

static void open_services(struct worker *w)
{
    struct services *sv = &w->sv;
    struct settings *s = w->o.settings;
    struct redis_options redis = {
        .url = w->o.redis_url,
        .timeout_ms = s->redis.timeout_ms,
    };

    sv->settings = settings_hold(s);
    sv->loop = loop_new();
    sv->metrics = metrics_new();
    sv->files = w->o.files;
    sv->fleet = w->o.fleet;
    sv->held = w->o.held;
    sv->client = http_client_open(sv->loop);
    sv->redis = redis_open(sv->loop, &redis, sv->metrics);
    sv->keys = key_store_open(sv->redis);
    sv->leases = lease_open(sv);
    sv->tally = tally_open(sv);
    sv->guard = auth_guard_new();
    sv->models = model_cache_open();
    sv->bytes_in = metrics_get(sv->metrics, METRIC_BYTES_IN, NULL, NULL, NULL);
    sv->bytes_out =
        metrics_get(sv->metrics, METRIC_BYTES_OUT, NULL, NULL, NULL);
    sv->pipe_bytes =
        metrics_get(sv->metrics, METRIC_PIPE_BYTES, NULL, NULL, NULL);
    crypto_random(&sv->request_seed, sizeof(sv->request_seed));
    use_fixed_keys(w, s);
}

static enum gw_err listen_all(struct worker *w, struct gw_error *e)
{
    const struct settings *s = w->o.settings;
    const char *admin = s->admin_listen;
    int tag = admin[0] ? LISTEN_DATA : LISTEN_ALL;

    for (size_t i = 0; i < s->listen.n; i++)
        if (http_server_listen(w->server, s->listen.v[i], s->tls.certificate,
                               s->tls.key, tag, e) != GW_OK)
            return e->err;
    if (admin[0])
        return http_server_listen(w->server, admin, "", "", LISTEN_ADMIN, e);
    return GW_OK;
}

static void on_drain_tick(void *arg);

struct worker *worker_new(const struct worker_options *o, struct gw_error *e)
{
    struct worker *w = xcalloc(1, sizeof(*w));
    struct http_server_limits limits;

    w->o = *o;
    open_services(w);
    limits = limits_of(w, o->settings);
    w->server =
        http_server_open(w->sv.loop, &limits, &server_ops, w, w->sv.metrics);
    loop_timer_init(w->sv.loop, &w->drain, on_drain_tick, w);
    if (listen_all(w, e) != GW_OK) {
        worker_free(w);
        return NULL;
    }
    if (o->index == 0) {
        w->sweeper = sweeper_open(&w->sv, o->process_id);
        w->jobs = jobs_open(&w->sv, o->process_id);
        w->tidy = upload_tidy_open(&w->sv);
    }
    return w;
}

/* --- the thread --- */

static void close_services(struct worker *w)
{
    struct services *sv = &w->sv;

    sweeper_close(w->sweeper);
    jobs_close(w->jobs);
    upload_tidy_close(w->tidy);
    if (w->server)
        http_server_close(w->server);
    loop_timer_release(&w->drain);
    grants_close(sv);
    undo_close(sv);
    upload_end_close(sv);
    removal_close(sv);
    tally_close(sv->tally);
    auth_guard_free(sv->guard);
    model_cache_close(sv->models);
    lease_close(sv->leases);
    key_store_close(sv->keys);
    redis_close(sv->redis);
    http_client_close(sv->client);
    settings_drop(sv->settings);
    loop_free(sv->loop);
    metrics_free(sv->metrics);
}

static void *run(void *arg)
{
    struct worker *w = arg;

    loop_run(w->sv.loop);
    w->o.stopped(w->o.arg);
    return NULL;
}

void worker_run(struct worker *w)
{
    int err = pthread_create(&w->thread, NULL, run, w);

    if (err)
        BUG("cannot start a thread: %s", strerror(err));
    w->is_started = true;
}

void worker_free(struct worker *w)
{
    if (w->is_started)
        pthread_join(w->thread, NULL);
    if (w->sv.ntransactions)
        log_error("%zu transactions did not end in time", w->sv.ntransactions);
    else
        close_services(w);
    free(w);
}

/* --- reload --- */

struct reload {
    struct worker *w;
    struct settings *s; /* held */
};

static void apply(void *arg)
{
    struct reload *r = arg;
    struct worker *w = r->w;
    struct http_server_limits limits = limits_of(w, r->s);

    settings_drop(w->sv.settings);
    w->sv.settings = r->s;
    use_fixed_keys(w, r->s);
    if (w->server)
        http_server_set_limits(w->server, &limits);
    free(r);
}

void worker_reload(struct worker *w, struct settings *s)
{
    struct reload *r = xcalloc(1, sizeof(*r));

    r->w = w;
    r->s = settings_hold(s);
    loop_post(w->sv.loop, apply, r);
}

/* --- drain --- */

static void break_off(struct worker *w)
{
    log_warn("drain_timeout is over: %zu transfers are broken off",
             w->sv.ntransactions);
    w->phase = BREAKING_OFF;
    w->drain_until_ms = loop_now_ms(w->sv.loop) + DRAIN_GRACE_MS;
    http_server_close(w->server);
    w->server = NULL;
    txn_break_off_all(&w->sv);
}

static bool is_busy(const struct worker *w)
{
    return w->sv.ntransactions || w->sv.undos || w->sv.removals ||
           (w->server && http_server_connections(w->server));
}

/* What is still to be told to Redis gets a tick to be told. */
static void say_goodbye(struct worker *w)
{
    w->phase = SAYING_GOODBYE;
    tally_write(w->sv.tally);
    loop_timer_set(&w->drain, DRAIN_TICK_MS);
}

static void on_drain_tick(void *arg)
{
    struct worker *w = arg;
    bool is_late = loop_now_ms(w->sv.loop) >= w->drain_until_ms;

    if (w->phase == SAYING_GOODBYE) {
        loop_stop(w->sv.loop);
        return;
    }
    if (!is_busy(w) || (is_late && w->phase == BREAKING_OFF)) {
        say_goodbye(w);
        return;
    }
    if (is_late)
        break_off(w);
    loop_timer_set(&w->drain, DRAIN_TICK_MS);
}

static void begin_drain(void *arg)
{
    struct worker *w = arg;

    if (w->phase != RUNNING)
        return;
    w->phase = DRAINING;
    w->sv.is_draining = true;
    w->drain_until_ms =
        loop_now_ms(w->sv.loop) + w->sv.settings->limits.drain_timeout_ms;
    http_server_drain(w->server);
    loop_timer_set(&w->drain, 0);
}

void worker_drain(struct worker *w)
{
    loop_post(w->sv.loop, begin_drain, w);
}
