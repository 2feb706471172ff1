/* The body stays in the kernel until the handler asks. Then it is received
 * straight into the handler's buffer; only what came along with the head (in
 * rest) is copied. A chunked body is decoded where it landed.
 *
 * Reading further than the body's end cannot happen with a length. With chunks
 * it can; what was read too far goes to rest, where the next head is looked
 * for.
 */
#include "gateway/net/http_server_impl.h"

#include "gateway/base/clock.h"

static const struct str continue_line = {"HTTP/1.1 100 Continue\r\n\r\n", 25};

void body_begin(struct server_req *r)
{
    r->body =
        (struct req_body){.kind = r->head.body, .left = r->head.content_length};
    chunked_init(&r->body.chunked);
    r->body.has_ended = r->body.kind == HTTP_BODY_NONE ||
                        (r->body.kind == HTTP_BODY_LENGTH && !r->body.left);
}

/* --- reading --- */

static ssize_t fail(struct server_req *r, enum gw_err err)
{
    err_plain(&r->fail, err);
    return -2;
}

static ssize_t lose_client(struct server_req *r)
{
    conn_close(r->conn, SERVER_CLIENT_GONE);
    return fail(r, GW_CLIENT_GONE);
}

static void end_body(struct server_req *r)
{
    r->body.has_ended = true;
    conn_kick(r->conn); /* what is there may be the client's end */
}

static ssize_t read_length(struct server_req *r, char *buf, size_t cap)
{
    struct conn *c = r->conn;
    ssize_t n;

    if ((uint64_t)cap > (uint64_t)r->body.left)
        cap = (size_t)r->body.left;
    if (c->rest.n) {
        n = (ssize_t)MIN(cap, c->rest.n);
        memcpy(buf, c->rest.p, (size_t)n);
        buf_consume(&c->rest, (size_t)n);
    } else {
        n = conn_recv(c, buf, cap);
    }
    if (n == 0)
        return lose_client(r);
    if (n > 0)
        r->body.left -= n;
    return n;
}

/* Decodes what came from rest, or from the socket. -1: no data in it. */
static ssize_t decode(struct server_req *r, char *buf, size_t n, bool from_rest)
{
    struct conn *c = r->conn;
    size_t used, out;

    if (chunked_decode(&r->body.chunked, buf, n, &used, &out, &r->fail) !=
        GW_OK)
        return -2;
    if (from_rest)
        buf_consume(&c->rest, used);
    else
        buf_add(&c->rest, buf + used, n - used);
    return out ? (ssize_t)out : -1;
}

static ssize_t read_chunked(struct server_req *r, char *buf, size_t cap)
{
    struct conn *c = r->conn;
    bool from_rest;
    ssize_t n;

    cap = MIN(cap, (size_t)LIMIT_UPLOAD_BUFFER);
    do {
        from_rest = c->rest.n > 0;
        if (from_rest) {
            n = (ssize_t)MIN(cap, c->rest.n);
            memcpy(buf, c->rest.p, (size_t)n);
        } else {
            n = conn_recv(c, buf, cap);
        }
        if (n == 0)
            return lose_client(r);
        if (n < 0)
            return n;
        n = decode(r, buf, (size_t)n, from_rest);
    } while (n == -1 && !chunked_is_done(&r->body.chunked));
    return n == -1 ? 0 : n;
}

/* As server_req_read(), also after the reply. */
static ssize_t read_body(struct server_req *r, char *buf, size_t cap)
{
    struct req_body *b = &r->body;
    ssize_t n;

    if (r->fail.err != GW_OK)
        return -2;
    if (!r->conn)
        return fail(r, GW_CLIENT_GONE);
    if (b->has_ended)
        return 0;
    n = b->kind == HTTP_BODY_LENGTH ? read_length(r, buf, cap)
                                    : read_chunked(r, buf, cap);
    if (n > 0) {
        b->bytes += (uint64_t)n;
        b->window_bytes += n;
    }
    if (n >= 0 &&
        (b->kind == HTTP_BODY_LENGTH ? !b->left : chunked_is_done(&b->chunked)))
        end_body(r);
    return n;
}

ssize_t server_req_read(struct server_req *r, char *buf, size_t cap,
                        struct gw_error *e)
{
    ssize_t n;

    ASSERT(cap > 0);
    /* After the reply the body is ours to drop. */
    n = r->reply.status ? fail(r, GW_CLIENT_GONE) : read_body(r, buf, cap);
    if (n == -2 && e && e->err == GW_OK)
        *e = r->fail;
    return n;
}

uint64_t server_req_body_bytes(const struct server_req *r)
{
    return r->body.bytes;
}

void body_drop(struct server_req *r, size_t max)
{
    struct http_server *s = r->server;
    size_t dropped = 0;
    ssize_t n;

    while (dropped < max) {
        n = read_body(r, s->scratch, LIMIT_SERVER_SCRATCH);
        if (n <= 0)
            return;
        dropped += (size_t)n;
    }
}

/* --- waiting --- */

static void tell_readable(struct server_req *r)
{
    body_unwant(r);
    if (r->ops->readable)
        r->ops->readable(r->arg);
}

static void readable_later(void *arg)
{
    struct server_req *r = arg;

    if (r->body.is_wanted)
        tell_readable(r);
}

bool body_is_withheld(const struct server_req *r)
{
    return r->head.expects_continue && !r->body.is_continued &&
           !r->body.bytes && !r->conn->rest.n;
}

static void send_continue(struct server_req *r)
{
    struct iovec v = io_piece(continue_line.p, continue_line.n);
    ssize_t n;

    r->body.is_continued = true;
    n = conn_write(r->conn, &v, 1);
    if (n < 0)
        lose_client(r);
    else
        conn_queue(r->conn, continue_line.p + n, continue_line.n - (size_t)n);
}

/* The next moment at which a wait has to be looked at: no progress, or the end
 * of a window of the rate. */
static void set_deadline(struct server_req *r)
{
    const struct http_server_limits *l = &r->server->limits;
    int64_t in = l->idle_timeout_ms;

    if (l->min_rate)
        in = MIN(in, LIMIT_RATE_WINDOW_MS - r->body.waited_ms);
    conn_set_deadline(r->conn, in);
}

void server_req_want(struct server_req *r)
{
    struct req_body *b = &r->body;

    if (b->is_wanted || r->reply.status)
        return;
    b->is_wanted = true;
    b->want_ms = loop_now_ms(r->server->loop);
    if (!r->conn || r->fail.err != GW_OK || b->has_ended ||
        r->conn->rest.n > 0 || r->conn->is_readable) {
        loop_defer(r->server->loop, &r->readable_task, readable_later, r);
        return;
    }
    if (body_is_withheld(r))
        send_continue(r);
    if (!r->conn)
        return; /* lost: closed() follows */
    set_deadline(r);
}

void body_unwant(struct server_req *r)
{
    struct req_body *b = &r->body;

    if (!b->is_wanted)
        return;
    b->is_wanted = false;
    b->waited_ms += loop_now_ms(r->server->loop) - b->want_ms;
    loop_task_cancel(r->server->loop, &r->readable_task);
    if (r->conn)
        conn_clear_deadline(r->conn);
}

/* At the end of a window: was it enough? */
static void check_rate(struct server_req *r, int64_t waited_ms)
{
    int64_t min_rate = r->server->limits.min_rate;
    struct req_body *b = &r->body;

    if (!min_rate || waited_ms < LIMIT_RATE_WINDOW_MS)
        return;
    if (b->window_bytes < min_rate * waited_ms / 1000)
        err_set(&r->fail, GW_REQUEST_TIMEOUT,
                "the request body comes more slowly than %lld bytes a second",
                (long long)min_rate);
    b->waited_ms = 0;
    b->window_bytes = 0;
    b->want_ms = loop_now_ms(r->server->loop);
}

void body_readable(struct server_req *r)
{
    struct req_body *b = &r->body;

    check_rate(r, b->waited_ms + loop_now_ms(r->server->loop) - b->want_ms);
    tell_readable(r);
}

void body_deadline(struct server_req *r)
{
    struct req_body *b = &r->body;
    int64_t waited = loop_now_ms(r->server->loop) - b->want_ms;

    if (waited >= r->server->limits.idle_timeout_ms)
        err_plain(&r->fail, GW_REQUEST_TIMEOUT);
    check_rate(r, b->waited_ms + waited);
    if (r->fail.err != GW_OK)
        tell_readable(r);
    else
        set_deadline(r);
}
