/* client_fixture.h -- for the tests of the HTTP client: a client on a loop, a
 * fake provider, and exchanges between them with all that came of them.
 */
#ifndef FILEMUX_TESTS_CLIENT_FIXTURE_H
#define FILEMUX_TESTS_CLIENT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>

#include "gateway/net/http_client.h"
#include "tests/unit/fake_http.h"

#define PATIENCE_MS 60000
#define CALLS_MAX 100
#define BIG (24 * (uint64_t)MIB)

/* One exchange and what became of it. */
struct exchange {
    struct fixture *f;
    struct arena *a;
    struct http_req req;
    struct client_call_options o;
    struct client_call *k; /* NULL: over */
    struct feed feed;
    struct drain drain;
    /* --- seen --- */
    int nheads, ndone;
    int head_status;
    int status;
    struct gw_error error;
    struct buf body;
    bool was_cut;
    char *type; /* Content-Type of the answer */
    uint64_t sent;
};

struct fixture {
    struct loop *l;
    struct metrics *m;
    struct http_client *c;
    struct fake_http *s;
    struct loop_timer guard;
    struct exchange x[CALLS_MAX];
    int nx, nrunning;
    void (*on_head)(struct exchange *x);
    void (*on_done)(struct exchange *x);
};

static inline void on_guard(void *arg)
{
    (void)arg;
    BUG("the test hangs");
}

static inline struct fixture *open_fixture(void (*serve)(struct fake_conn *c),
                                           void *arg)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    http_client_global_init();
    f->l = loop_new();
    f->m = metrics_new();
    f->c = http_client_open(f->l);
    f->s = fake_open(serve, arg);
    loop_timer_init(f->l, &f->guard, on_guard, f);
    return f;
}

static inline void close_exchange(struct exchange *x)
{
    if (x->feed.p)
        feed_close(&x->feed);
    if (x->drain.p)
        drain_close(&x->drain);
    buf_release(&x->body);
    free(x->type);
    arena_free(x->a);
}

static inline void stop(void *arg)
{
    loop_stop(arg);
}

/* Let everything that was queued happen. */
static inline void run_a_turn(struct fixture *f)
{
    loop_post(f->l, stop, f->l);
    loop_run(f->l);
}

static inline void close_fixture(struct fixture *f)
{
    run_a_turn(f);
    while (f->nx)
        close_exchange(&f->x[--f->nx]);
    loop_timer_release(&f->guard);
    http_client_close(f->c);
    fake_close(f->s);
    loop_free(f->l);
    metrics_free(f->m);
    http_client_global_cleanup();
    free(f);
}

static inline void on_head(void *arg, const struct http_res *res)
{
    struct exchange *x = arg;

    x->nheads++;
    x->head_status = res->status;
    if (x->f->on_head)
        x->f->on_head(x);
}

static inline void on_done(void *arg, const struct http_res *res,
                           const struct gw_error *e)
{
    struct exchange *x = arg;
    struct str type = http_fields_get(&res->fields, STR("content-type"));

    x->ndone++;
    x->status = res->status;
    x->error = *e;
    x->was_cut = res->body_was_cut;
    buf_add_str(&x->body, res->body);
    if (type.p)
        x->type = strndup(type.p, type.n);
    x->sent = client_call_sent(x->k);
    x->k = NULL;
    x->f->nrunning--;
    if (x->f->on_done)
        x->f->on_done(x);
    if (!x->f->nrunning)
        loop_stop(x->f->l);
}

static const struct client_call_ops call_ops = {
    .head = on_head,
    .done = on_done,
};

/* A request to the fake provider; its pipes and segments are the caller's. */
static inline struct exchange *prepare(struct fixture *f, const char *method)
{
    struct exchange *x = &f->x[f->nx++];

    ASSERT(f->nx <= CALLS_MAX);
    x->f = f;
    x->a = arena_new();
    x->req.method = method;
    x->req.url = arena_printf(x->a, "http://127.0.0.1:%d/v1/x", f->s->port);
    x->o.connect_timeout_ms = 10000;
    x->o.timeout_ms = 10000;
    buf_init(&x->body, 4 * MIB);
    return x;
}

static inline void start(struct exchange *x)
{
    x->o.source = x->feed.p;
    x->o.sink = x->drain.p;
    x->f->nrunning++;
    x->k = http_client_start(x->f->c, &x->req, &x->o, &call_ops, x);
}

static inline void run(struct fixture *f)
{
    loop_timer_set(&f->guard, PATIENCE_MS);
    if (f->nrunning)
        loop_run(f->l);
    loop_timer_cancel(&f->guard);
    fake_sync(f->s);
}

/* An upload of n bytes, said to be `announced` (-1 unknown), in a form. */
static inline struct exchange *prepare_upload(struct fixture *f, uint64_t n,
                                              int64_t announced)
{
    struct exchange *x = prepare(f, "POST");

    x->feed.total = n;
    feed_open(&x->feed, f->l);
    http_req_add_mem(&x->req, STR("--b\r\n\r\n"));
    http_req_add_stream(&x->req, announced);
    http_req_add_mem(&x->req, STR("\r\n--b--\r\n"));
    return x;
}

static inline struct exchange *prepare_download(struct fixture *f)
{
    struct exchange *x = prepare(f, "GET");

    drain_open(&x->drain, f->l);
    x->req.is_sink = true;
    return x;
}

static inline uint64_t form_hash(uint64_t n)
{
    uint64_t h = hash_of("--b\r\n\r\n"), i;

    for (i = 0; i < n; i++) {
        unsigned char c = pattern_byte(i);

        h = hash_add(h, &c, 1);
    }
    return hash_add(h, "\r\n--b--\r\n", 9);
}

#define FORM_BYTES 16 /* around the stream */

static inline void assert_ok(const struct exchange *x, int status)
{
    assert_string_equal(x->error.message, "");
    assert_int_equal(x->error.err, GW_OK);
    assert_int_equal(x->status, status);
    assert_int_equal(x->ndone, 1);
    assert_int_equal(x->nheads, 1);
    assert_int_equal(x->head_status, status);
}

static inline void assert_failed(const struct exchange *x, enum gw_err err)
{
    assert_string_equal(
        err_info(x->error.err ? x->error.err : GW_INTERNAL)->name,
        err_info(err)->name);
    assert_int_equal(x->error.err, err);
    assert_int_equal(x->ndone, 1);
}

/* --- scripts --- */

/* Reads every request whole and answers with a little JSON. */
static inline void serve_ok(struct fake_conn *c)
{
    while (fake_read_head(c) && fake_read_body(c))
        if (!fake_send(c,
                       "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                       "Content-Length: 7\r\n\r\n{\"a\":1}"))
            return;
}

struct download {
    uint64_t n, announced; /* announced 0: chunked in one chunk */
    int status;
};

static inline void serve_download(struct fake_conn *c)
{
    const struct download *d = c->server->arg;
    char head[200];

    while (fake_read_head(c) && fake_read_body(c)) {
        if (d->announced)
            snprintf(head, sizeof(head),
                     "HTTP/1.1 %d OK\r\nContent-Length: %llu\r\n\r\n",
                     d->status, (unsigned long long)d->announced);
        else
            snprintf(head, sizeof(head),
                     "HTTP/1.1 %d OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                     "%llx\r\n",
                     d->status, (unsigned long long)d->n);
        if (!fake_send(c, head) || !fake_send_pattern(c, d->n))
            return;
        if (!d->announced && !fake_send(c, "\r\n0\r\n\r\n"))
            return;
        if (d->announced > d->n)
            return;
    }
}

#endif
