/* hiredis is bound to the loop by five hooks. "Add a write event" marks a task
 * that writes once at the end of the turn; only what the socket does not take
 * gets a real event. The read event is added once and stays.
 *
 * hiredis frees a context by itself, in many places: when connecting failed,
 * when a read or a write fails, when it was told to. It first fails what waits,
 * then calls the cleanup hook, which is the one sign that always comes; after
 * it the context is never touched.
 *
 *   DOWN ─► RESOLVING ─► CONNECTING ─► GREETING (AUTH, SELECT, PING) ─► UP
 *     ▲──────── any failure, then a jittered back-off ───────────────────┘
 *
 * Resolving is skipped for addresses and unix sockets.
 */
#include "gateway/store/redis.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <event2/event.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#ifdef HAVE_HIREDIS_SSL
#include <hiredis/hiredis_ssl.h>
#endif

#include "gateway/base/bug.h"
#include "gateway/base/crypto.h"
#include "gateway/base/log.h"
#include "gateway/store/redis_calls.h"
#include "gateway/store/redis_resolve.h"
#include "gateway/store/redis_tls.h"
#include "gateway/store/redis_url.h"
#include "gateway/store/redis_wire.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 1000
#define CONNECT_MS 2000
#define RESOLVE_MS 10000
#define COMPLAINT_MS 1000 /* errors of Redis are logged this often */

enum state { DOWN, RESOLVING, CONNECTING, GREETING, UP };

struct redis {
    struct loop *loop;
    struct arena *arena; /* of the URL */
    struct redis_url url;

    enum state state;
    redisAsyncContext *ac; /* NULL: hiredis has none */
    struct event *read_event, *write_event;
    bool is_reading, is_write_armed, is_flushing;
    struct loop_task flush;

    struct redis_calls calls;
    enum redis_failure why; /* of what hiredis fails */
    const char *what;       /* the same in words */

    struct loop_timer connecting; /* back-off, or the end of an attempt */
    int64_t backoff_ms;
    unsigned attempts; /* since the last time up */
    struct redis_resolve *resolve;
    struct event *resolve_event;

    int64_t complained_ms, up_since_ms;
    uint64_t commands;
    struct metric_series *up;
};

static void drop(struct redis *r, enum redis_failure why, const char *what);
static void lost(struct redis *r, const char *what);
static void on_reply(redisAsyncContext *ac, void *reply, void *arg);

/* --- answers --- */

static struct redis_value value_of(const redisReply *p)
{
    struct redis_value v = {.kind = REDIS_NIL};

    switch (p->type) {
    case REDIS_REPLY_INTEGER:
        v.kind = REDIS_INT;
        v.integer = p->integer;
        break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        v.kind = p->type == REDIS_REPLY_STRING ? REDIS_STR : REDIS_STATUS;
        v.str = str_make(p->str, p->len);
        break;
    case REDIS_REPLY_ARRAY:
        v.kind = REDIS_ARRAY;
        v.n = p->elements;
        v.elements = p->element;
        break;
    }
    return v;
}

struct redis_value redis_at(const struct redis_value *array, size_t i)
{
    redisReply *const *elements = array->elements;

    if (array->kind != REDIS_ARRAY || i >= array->n)
        return (struct redis_value){.kind = REDIS_NIL};
    return value_of(elements[i]);
}

/* For an operator: every error would be a flood when Redis is full. */
static void complain(struct redis *r, struct str text)
{
    int64_t now = loop_now_ms(r->loop);

    if (r->complained_ms && now - r->complained_ms < COMPLAINT_MS)
        return;
    r->complained_ms = now;
    log_error("redis answered an error: %.*s", STR_ARG(text));
}

/* Hands the command to hiredis, which refuses only when the connection is on
 * its way down. */
static struct redis_call *send_call(struct redis *r, struct redis_call *c)
{
    if (c->command.overflow)
        redis_calls_fail_later(c, GW_INTERNAL, REDIS_ERROR);
    else if (r->calls.nwaiting >= LIMIT_REDIS_WAITING ||
             redisAsyncFormattedCommand(r->ac, on_reply, c, c->command.p,
                                        c->command.n) != REDIS_OK)
        redis_calls_fail_later(c, GW_STORE_UNAVAILABLE, REDIS_DOWN);
    else
        redis_calls_wait(c);
    return c;
}

static void on_error(struct redis *r, struct redis_call *c, struct str text)
{
    if (c->script && str_starts(text, STR("NOSCRIPT"))) {
        redis_calls_use_text(c);
        send_call(r, c);
        return;
    }
    complain(r, text);
    if (redis_wire_is_unavailable(text))
        redis_calls_fail(c, GW_STORE_UNAVAILABLE, REDIS_REFUSED);
    else
        redis_calls_fail(c, GW_INTERNAL, REDIS_ERROR);
}

static void on_reply(redisAsyncContext *ac, void *reply, void *arg)
{
    const redisReply *p = reply;
    struct redis *r = ac->data;
    struct redis_call *c = arg;
    struct redis_value v;

    redis_calls_unwait(c);
    if (!p) {
        redis_calls_fail_later(c, GW_STORE_UNAVAILABLE, r->why);
        return;
    }
    if (p->type == REDIS_REPLY_ERROR) {
        on_error(r, c, str_make(p->str, p->len));
        return;
    }
    v = value_of(p);
    redis_calls_answer(c, &v);
}

/* --- commands --- */

/* None is sent before the greeting is over. */
static struct redis_call *submit(struct redis *r, struct redis_call *c)
{
    if (r->state != UP) {
        redis_calls_fail_later(c, GW_STORE_UNAVAILABLE, REDIS_DOWN);
        return c;
    }
    r->commands++;
    return send_call(r, c);
}

struct redis_call *redis_command(struct redis *r, redis_callback *fn, void *arg,
                                 size_t argc, const struct str *argv)
{
    return submit(r, redis_calls_command(&r->calls, fn, arg, argc, argv));
}

struct redis_call *redis_eval(struct redis *r, redis_callback *fn, void *arg,
                              const struct redis_script *s, size_t nkeys,
                              const struct str *keys, size_t nargs,
                              const struct str *args)
{
    return submit(
        r, redis_calls_eval(&r->calls, fn, arg, s, nkeys, keys, nargs, args));
}

/* --- hiredis's hooks --- */

static void arm_write(struct redis *r)
{
    if (!r->is_write_armed && event_add(r->write_event, NULL) < 0)
        BUG("cannot watch a socket");
    r->is_write_armed = true;
}

/* On the socket that just connected, before hiredis writes to it, and out of
 * its callbacks: it does not survive a failure there. */
static bool start_tls(struct redis *r)
{
#ifdef HAVE_HIREDIS_SSL
    struct sockaddr_storage peer;
    socklen_t n = sizeof(peer);
    struct ssl_st *ssl;

    if (!r->url.is_tls ||
        getpeername(r->ac->c.fd, (struct sockaddr *)&peer, &n) < 0)
        return true; /* not connected: hiredis finds out */
    ssl = redis_tls_new(r->url.host, r->url.ca_file);
    if (ssl && redisInitiateSSL(&r->ac->c, ssl) == REDIS_OK)
        return true;
    redis_tls_free(ssl);
    return false;
#else
    return !r->url.is_tls;
#endif
}

static void on_writable(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct redis *r = arg;

    r->is_write_armed = false; /* the event is for once */
    if (r->state == CONNECTING && !start_tls(r)) {
        drop(r, REDIS_LOST, "TLS cannot be set up");
        return;
    }
    r->is_flushing = true;
    redisAsyncHandleWrite(r->ac);
    r->is_flushing = false;
}

static void on_flush(void *arg)
{
    struct redis *r = arg;

    if (r->state < GREETING || r->is_write_armed)
        return;
    r->is_flushing = true;
    redisAsyncHandleWrite(r->ac);
    r->is_flushing = false;
}

static void on_readable(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct redis *r = arg;

    redisAsyncHandleRead(r->ac);
}

/* Until it is connected, the socket itself must say that it is: hiredis takes
 * the first write event for that. While flushing, the hook says that the
 * socket did not take all. */
static void hook_add_write(void *arg)
{
    struct redis *r = arg;

    if (r->state == CONNECTING || r->is_flushing)
        arm_write(r);
    else if (!r->is_write_armed)
        loop_defer(r->loop, &r->flush, on_flush, r);
}

static void hook_del_write(void *arg)
{
    struct redis *r = arg;

    if (r->is_write_armed)
        event_del(r->write_event);
    r->is_write_armed = false;
}

static void hook_add_read(void *arg)
{
    struct redis *r = arg;

    if (!r->is_reading && event_add(r->read_event, NULL) < 0)
        BUG("cannot watch a socket");
    r->is_reading = true;
}

static void hook_del_read(void *arg)
{
    struct redis *r = arg;

    if (r->is_reading)
        event_del(r->read_event);
    r->is_reading = false;
}

/* hiredis frees the context after this. All that waited has failed. */
static void hook_cleanup(void *arg)
{
    struct redis *r = arg;

    event_free(r->read_event);
    event_free(r->write_event);
    r->read_event = r->write_event = NULL;
    r->is_reading = r->is_write_armed = false;
    lost(r, r->ac->err ? r->ac->errstr : r->what);
    r->ac = NULL;
}

/* --- the connection --- */

static void drop(struct redis *r, enum redis_failure why, const char *what)
{
    if (!r->ac)
        return;
    r->why = why;
    r->what = what;
    if (r->state == UP)
        metric_add(r->up, -1);
    r->state = DOWN;
    redisAsyncFree(r->ac); /* at once, or after the callback we are in */
}

static void on_overdue(void *arg)
{
    drop(arg, REDIS_TIMEOUT, "it does not answer in time");
}

/* Also when there never was one: `what` says why. */
static void lost(struct redis *r, const char *what)
{
    int64_t half = r->backoff_ms / 2;
    uint32_t random;

    if (r->state == UP)
        metric_add(r->up, -1);
    if (r->attempts++ == 0)
        log_warn("no connection to redis: %s", what);
    r->state = DOWN;
    crypto_random(&random, sizeof(random));
    loop_timer_set(&r->connecting, half + random % (half + 1));
    r->backoff_ms = MIN(r->backoff_ms * 2, BACKOFF_MAX_MS);
}

static void on_greeted(void *arg, const struct redis_value *v UNUSED,
                       const struct gw_error *e)
{
    struct redis *r = arg;

    if (r->state != GREETING)
        return;
    if (e->err != GW_OK) {
        drop(r, REDIS_REFUSED, "it refused the greeting");
        return;
    }
    if (r->calls.nwaiting > 0)
        return; /* that was not the PING yet */
    r->state = UP;
    r->up_since_ms = loop_now_ms(r->loop);
    r->attempts = 0;
    r->backoff_ms = BACKOFF_FIRST_MS;
    metric_add(r->up, 1);
    log_info("connected to redis");
}

static void say(struct redis *r, size_t argc, const struct str *argv)
{
    send_call(r, redis_calls_command(&r->calls, on_greeted, r, argc, argv));
}

static void greet(struct redis *r)
{
    const struct redis_url *u = &r->url;
    struct str auth[3] = {STR("AUTH"), u->user, u->password};
    struct str select[2] = {STR("SELECT")};
    struct str ping = STR("PING");
    char db[24];

    if (!u->user.p)
        auth[1] = u->password;
    if (u->password.p)
        say(r, u->user.p ? 3 : 2, auth);
    snprintf(db, sizeof(db), "%" PRId64, u->db);
    select[1] = str_of(db);
    if (u->db > 0)
        say(r, 2, select);
    /* A Redis that still loads its data must not count as up. */
    say(r, 1, &ping);
}

static void on_connected(const redisAsyncContext *ac, int status)
{
    struct redis *r = ac->data;

    if (status != REDIS_OK)
        return; /* the cleanup hook follows */
    loop_timer_cancel(&r->connecting);
    if (!r->url.path)
        redisEnableKeepAlive(&r->ac->c);
    r->state = GREETING;
    greet(r);
}

static void attach(struct redis *r)
{
    struct event_base *base = loop_base(r->loop);
    redisAsyncContext *ac = r->ac;

    fcntl(ac->c.fd, F_SETFD, FD_CLOEXEC);
    ac->data = ac->ev.data = r;
    ac->ev.addRead = hook_add_read;
    ac->ev.delRead = hook_del_read;
    ac->ev.addWrite = hook_add_write;
    ac->ev.delWrite = hook_del_write;
    ac->ev.cleanup = hook_cleanup;
    r->read_event =
        event_new(base, ac->c.fd, EV_READ | EV_PERSIST, on_readable, r);
    r->write_event = event_new(base, ac->c.fd, EV_WRITE, on_writable, r);
    if (!r->read_event || !r->write_event)
        BUG("cannot make an event");
    redisAsyncSetConnectCallback(ac, on_connected);
}

static void connect_to(struct redis *r, const char *address)
{
    redisAsyncContext *ac = r->url.path
                                ? redisAsyncConnectUnix(r->url.path)
                                : redisAsyncConnect(address, r->url.port);

    if (!ac)
        BUG("out of memory");
    r->ac = ac;
    r->why = REDIS_LOST;
    if (ac->err) {
        lost(r, ac->errstr);
        r->ac = NULL;
        redisAsyncFree(ac); /* no hooks yet: it only frees */
        return;
    }
    r->state = CONNECTING;
    /* Not for ever: where packets are swallowed, nothing would come. */
    loop_timer_set(&r->connecting, CONNECT_MS);
    attach(r);
}

static void drop_resolve(struct redis *r)
{
    if (r->resolve_event)
        event_free(r->resolve_event);
    r->resolve_event = NULL;
    redis_resolve_drop(r->resolve);
    r->resolve = NULL;
}

static void on_resolved(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct redis *r = arg;
    struct redis_addresses found;

    redis_resolve_take(r->resolve, &found);
    drop_resolve(r);
    if (found.n == 0)
        lost(r, "the host's name does not resolve");
    else
        connect_to(r, found.v[r->attempts % found.n]);
}

static void start_resolve(struct redis *r)
{
    r->resolve = redis_resolve_start(r->url.host);
    if (!r->resolve) {
        lost(r, "no thread for resolving the host's name");
        return;
    }
    r->state = RESOLVING;
    loop_timer_set(&r->connecting, RESOLVE_MS);
    r->resolve_event =
        event_new(loop_base(r->loop), redis_resolve_fd(r->resolve), EV_READ,
                  on_resolved, r);
    if (!r->resolve_event || event_add(r->resolve_event, NULL) < 0)
        BUG("cannot watch an eventfd");
}

static void connect_now(struct redis *r)
{
    if (!r->url.path && !redis_resolve_is_address(r->url.host))
        start_resolve(r);
    else
        connect_to(r, r->url.host);
}

static void on_connecting(void *arg)
{
    struct redis *r = arg;

    if (r->state == DOWN) {
        connect_now(r);
    } else if (r->state == RESOLVING) {
        drop_resolve(r);
        lost(r, "resolving the host's name takes too long");
    } else if (r->state == CONNECTING) {
        drop(r, REDIS_TIMEOUT, "connecting takes too long");
    }
}

/* --- the whole --- */

enum gw_err redis_check_url(const char *url, struct gw_error *e)
{
    struct arena *a = arena_new();
    struct redis_url parsed;
    enum gw_err err = redis_url_parse(a, url, &parsed, e);

    arena_free(a);
    return err;
}

struct redis *redis_open(struct loop *l, const struct redis_options *o,
                         struct metrics *m)
{
    struct redis *r = xcalloc(1, sizeof(*r));

    r->loop = l;
    r->arena = arena_new();
    if (redis_url_parse(r->arena, arena_cstr(r->arena, str_of(o->url)), &r->url,
                        NULL) != GW_OK)
        BUG("a redis.url that was not checked");
    r->backoff_ms = BACKOFF_FIRST_MS;
    r->up = metrics_get(m, METRIC_REDIS_UP, NULL, NULL, NULL);
    redis_calls_init(&r->calls, l, m, o->timeout_ms, on_overdue, r);
    loop_timer_init(l, &r->connecting, on_connecting, r);
    connect_now(r);
    return r;
}

void redis_close(struct redis *r)
{
    if (!r)
        return;
    ASSERT(!r->calls.is_answering);
    r->attempts++; /* an end that is wanted is no news */
    drop(r, REDIS_LOST, "closed");
    drop_resolve(r);
    redis_calls_release(&r->calls);
    loop_task_cancel(r->loop, &r->flush);
    loop_timer_release(&r->connecting);
    arena_free(r->arena);
    free(r);
}

bool redis_is_up(const struct redis *r)
{
    return r->state == UP;
}

int64_t redis_up_ms(const struct redis *r)
{
    return r->state == UP ? loop_now_ms(r->loop) - r->up_since_ms : 0;
}

struct loop *redis_loop(const struct redis *r)
{
    return r->loop;
}

uint64_t redis_commands(const struct redis *r)
{
    return r->commands;
}
