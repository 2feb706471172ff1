/* A head is looked for in what was just read; only one that is not complete
 * is kept, in rest. When it is complete, the request's object gets the text,
 * the strict reader looks at it, evhtp hears of it, and the handler gets it.
 */
#include "gateway/net/http_server_impl.h"

#include "gateway/base/clock.h"

void head_refuse(struct conn *c, const struct gw_error *e)
{
    reply_refuse(c, e);
    if (c->state != CONN_CLOSED)
        conn_linger(c);
}

/* A complete head. */
static void begin_request(struct conn *c, struct str text)
{
    struct server_req *r = req_new(c);
    struct gw_error e = {0};

    req_set_text(r, text);
    if (http_head_parse(&r->head, str_make(r->text, text.n), &e) != GW_OK) {
        req_recycle(r);
        head_refuse(c, &e);
        return;
    }
    if (!server_begin_request(c, &r->head)) {
        req_recycle(r);
        conn_close(c, SERVER_ABORTED);
        return;
    }
    conn_goto(c, CONN_ACTIVE);
    conn_clear_deadline(c);
    c->req = r;
    r->start_us = clock_mono_us();
    body_begin(r);
}

static void hand_over(struct conn *c)
{
    struct http_server *s = c->server;

    if (c->state != CONN_ACTIVE)
        return;
    conn_kick(c); /* should the client have closed already */
    s->ops.request(s->arg, c->req);
}

/* LIMIT_HEAD_BYTES came without the end of a head. */
static void refuse_long_head(struct conn *c, struct str head)
{
    struct gw_error e = {0};

    if (!memchr(head.p, '\n', MIN(head.n, (size_t)LIMIT_TARGET_BYTES)))
        err_plain(&e, GW_URI_TOO_LONG);
    else
        err_plain(&e, GW_HEAD_TOO_LARGE);
    head_refuse(c, &e);
}

/* Not yet a head: keep what there is. */
static void await_head(struct conn *c, struct str got, size_t skip)
{
    conn_kick(c);
    if (skip == got.n) { /* blank lines alone are nothing */
        buf_clear(&c->rest);
        return;
    }
    if (got.n >= LIMIT_HEAD_BYTES + skip) {
        refuse_long_head(c, str_make(got.p + skip, got.n - skip));
        return;
    }
    if (!c->rest.n)
        buf_add(&c->rest, got.p, got.n);
    c->looked = got.n;
    if (c->state == CONN_IDLE) {
        conn_goto(c, CONN_HEAD);
        conn_set_deadline(c, c->server->limits.header_timeout_ms);
    }
}

/* Looks for a head in rest, or in what was just read while rest is empty. */
static void take_head(struct conn *c, struct str got)
{
    bool in_rest = c->rest.n > 0;
    size_t skip, n;

    n = http_head_length(got.p, got.n, c->looked, &skip);
    if (!n) {
        await_head(c, got, skip);
        return;
    }
    c->looked = 0;
    begin_request(c, str_make(got.p + skip, n));
    if (c->state != CONN_ACTIVE)
        return;
    if (in_rest)
        buf_consume(&c->rest, skip + n);
    else if (got.n > skip + n)
        buf_add(&c->rest, got.p + skip + n, got.n - skip - n);
    if (in_rest && !c->rest.n)
        buf_release(&c->rest);
    hand_over(c);
}

void head_read(struct conn *c)
{
    struct http_server *s = c->server;
    ssize_t n = conn_recv(c, s->scratch, LIMIT_SERVER_SCRATCH);

    if (n == 0)
        conn_close(c, SERVER_CLIENT_GONE);
    if (n <= 0)
        return;
    if (!c->rest.n) {
        take_head(c, str_make(s->scratch, (size_t)n));
        return;
    }
    buf_add(&c->rest, s->scratch, (size_t)n);
    take_head(c, buf_str(&c->rest));
}

void head_look(struct conn *c)
{
    take_head(c, buf_str(&c->rest));
}
