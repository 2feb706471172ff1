/* Reply heads are written here and not by evhtp: it knows no reason for 429 or
 * 431, sends a body to HEAD, and forgets the length when the request's content
 * type is "multipart". One head costs no allocation, and goes to the socket in
 * one call with the body.
 */
#include "gateway/net/http_server_impl.h"

#include <stdio.h>
#include <time.h>

#include "gateway/base/clock.h"

/* clang-format off */
static const struct { int status; const char *line; } lines[] = {
#define LINE(status, reason) {status, "HTTP/1.1 " #status " " reason "\r\n"}
    LINE(200, "OK"),
    LINE(201, "Created"),
    LINE(202, "Accepted"),
    LINE(204, "No Content"),
    LINE(206, "Partial Content"),
    LINE(301, "Moved Permanently"),
    LINE(302, "Found"),
    LINE(304, "Not Modified"),
    LINE(400, "Bad Request"),
    LINE(401, "Unauthorized"),
    LINE(403, "Forbidden"),
    LINE(404, "Not Found"),
    LINE(405, "Method Not Allowed"),
    LINE(408, "Request Timeout"),
    LINE(409, "Conflict"),
    LINE(411, "Length Required"),
    LINE(412, "Precondition Failed"),
    LINE(413, "Content Too Large"),
    LINE(414, "URI Too Long"),
    LINE(415, "Unsupported Media Type"),
    LINE(416, "Range Not Satisfiable"),
    LINE(422, "Unprocessable Content"),
    LINE(429, "Too Many Requests"),
    LINE(431, "Request Header Fields Too Large"),
    LINE(500, "Internal Server Error"),
    LINE(501, "Not Implemented"),
    LINE(502, "Bad Gateway"),
    LINE(503, "Service Unavailable"),
    LINE(504, "Gateway Timeout"),
    LINE(505, "HTTP Version Not Supported"),
    LINE(507, "Insufficient Storage"),
#undef LINE
};
/* clang-format on */

/* --- the head --- */

static void add_status_line(struct buf *b, int status)
{
    size_t i;

    for (i = 0; i < COUNTOF(lines); i++) {
        if (lines[i].status == status) {
            buf_add_c(b, lines[i].line);
            return;
        }
    }
    /* The reason may be empty, the blank before it may not be left out. */
    buf_printf(b, "HTTP/1.1 %d \r\n", status);
}

/* The line is made once a second. */
static void add_date(struct http_server *s)
{
    int64_t now = clock_wall_s();
    time_t t = (time_t)now;
    struct tm tm;

    if (now != s->date_s) {
        gmtime_r(&t, &tm);
        strftime(s->date, sizeof(s->date),
                 "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
        s->date_s = now;
    }
    buf_add_c(&s->head, s->date);
}

/* Fields that are ours to set. A provider's that slipped through would let the
 * client lose track of where the reply ends. */
static bool is_ours(struct str name)
{
    static const struct str ours[] = {{"Date", 4},
                                      {"Connection", 10},
                                      {"Content-Length", 14},
                                      {"Transfer-Encoding", 17}};
    size_t i;

    for (i = 0; i < COUNTOF(ours); i++)
        if (name.n == ours[i].n && str_eq_nocase(name, ours[i]))
            return true;
    return false;
}

static void add_fields(struct buf *b, const struct http_fields *fields)
{
    size_t i;

    for (i = 0; fields && i < fields->n; i++) {
        if (is_ours(fields->v[i].name))
            continue;
        buf_add_str(b, fields->v[i].name);
        buf_add(b, ": ", 2);
        buf_add_str(b, fields->v[i].value);
        buf_add(b, "\r\n", 2);
    }
}

static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

static void add_framing(struct buf *b, const struct reply_head *h)
{
    if (!status_has_body(h->status))
        return;
    if (h->framing == REPLY_LENGTH)
        buf_printf(b, "Content-Length: %lld\r\n", (long long)h->length);
    else if (h->framing == REPLY_CHUNKED)
        buf_add_c(b, "Transfer-Encoding: chunked\r\n");
}

struct str reply_write_head(struct http_server *s, const struct reply_head *h)
{
    struct buf *b = &s->head;

    buf_clear(b);
    add_status_line(b, h->status);
    add_date(s);
    add_fields(b, h->fields);
    add_framing(b, h);
    if (!h->keeps)
        buf_add_c(b, "Connection: close\r\n");
    else if (h->minor == 0)
        buf_add_c(b, "Connection: keep-alive\r\n");
    buf_add(b, "\r\n", 2);
    /* What providers may hand through is bounded far below this. */
    ASSERT(!b->overflow);
    return buf_str(b);
}

/* --- replies to requests --- */

void server_req_set_ops(struct server_req *r, const struct server_req_ops *ops,
                        void *arg)
{
    r->ops = ops;
    r->arg = arg;
}

bool reply_has_body(const struct server_req *r, int status)
{
    return status_has_body(status) && !str_eq(r->head.method, STR("HEAD"));
}

/* Can the connection be kept? Only if the rest of the body is short, and is
 * sure to come. Drops what is there of it; may close the connection. */
static bool can_keep(struct server_req *r)
{
    struct req_body *b = &r->body;
    bool is_known = b->kind == HTTP_BODY_LENGTH;

    r->conn->drop_left = LIMIT_LINGER_BYTES;
    if (!b->has_ended &&
        (body_is_withheld(r) ||
         (is_known && b->left > (int64_t)LIMIT_DRAIN_KEEPALIVE)))
        return false;
    body_drop(r, LIMIT_DRAIN_KEEPALIVE);
    return r->conn && r->head.keep_alive && !r->server->is_draining &&
           r->fail.err == GW_OK && (b->has_ended || is_known);
}

bool reply_begin(struct server_req *r, int status)
{
    ASSERT(!r->reply.status);
    r->reply.status = status;
    body_unwant(r);
    if (!r->conn)
        return false;
    r->reply.keeps = can_keep(r);
    return r->conn != NULL;
}

void reply_progress(struct server_req *r)
{
    struct conn *c = r->conn;

    if (r->reply.is_complete && conn_is_flushed(c))
        req_finish(r);
    else if (c->is_blocked)
        conn_set_deadline(c, r->server->limits.idle_timeout_ms);
    else
        conn_clear_deadline(c);
}

void reply_writable(struct server_req *r)
{
    if (r->reply.pipe) {
        reply_pump(r);
        return;
    }
    if (conn_write(r->conn, NULL, 0) < 0)
        conn_close(r->conn, SERVER_CLIENT_GONE);
    else
        reply_progress(r);
}

/* Head and body: to the socket, the rest to the queue. How much of the body
 * is in the socket; -1: the client is gone. */
static ssize_t send_whole(struct conn *c, struct str head, struct str body)
{
    struct iovec v[2] = {io_piece(head.p, head.n), io_piece(body.p, body.n)};
    ssize_t taken = conn_write(c, v, body.n ? 2 : 1);
    size_t of_head, of_body;

    if (taken < 0) {
        conn_close(c, SERVER_CLIENT_GONE);
        return -1;
    }
    of_head = MIN((size_t)taken, head.n);
    of_body = (size_t)taken - of_head;
    conn_queue(c, head.p + of_head, head.n - of_head);
    conn_queue(c, body.p + of_body, body.n - of_body);
    return (ssize_t)of_body;
}

void server_req_reply(struct server_req *r, int status,
                      const struct http_fields *fields, struct str body)
{
    struct reply_head h = {.status = status,
                           .fields = fields,
                           .length = (int64_t)body.n,
                           .minor = r->head.minor};
    ssize_t sent;

    if (!reply_begin(r, status))
        return;
    h.keeps = r->reply.keeps;
    if (!reply_has_body(r, status))
        body = STR_NULL;
    sent = send_whole(r->conn, reply_write_head(r->server, &h), body);
    if (sent < 0)
        return;
    r->reply.bytes = (uint64_t)sent;
    r->reply.queued = body.n - (size_t)sent;
    r->reply.is_complete = true;
    reply_progress(r);
}

void reply_refuse(struct conn *c, const struct gw_error *e)
{
    struct http_server *s = c->server;
    struct http_field type = {STR("Content-Type"), STR("application/json")};
    struct http_fields fields = {&type, 1, 1};
    struct reply_head h = {
        .status = err_info(e->err)->http, .fields = &fields, .minor = 1};
    struct buf body;

    buf_init(&body, LIMIT_REPLY_HEAD_BYTES);
    s->ops.refused(s->arg, e, c->peer, &body);
    h.length = (int64_t)body.n;
    send_whole(c, reply_write_head(s, &h), buf_str(&body));
    buf_release(&body);
}

bool server_req_has_replied(const struct server_req *r)
{
    return r->reply.status != 0;
}

uint64_t server_req_reply_bytes(const struct server_req *r)
{
    return r->reply.bytes;
}

void server_req_abort(struct server_req *r)
{
    if (r->conn)
        conn_close(r->conn, SERVER_ABORTED);
}

/* --- what a request tells of itself --- */

const struct http_head *server_req_head(const struct server_req *r)
{
    return &r->head;
}

int server_req_listener(const struct server_req *r)
{
    return r->tag;
}

const char *server_req_peer(const struct server_req *r)
{
    return r->peer;
}

int64_t server_req_start_us(const struct server_req *r)
{
    return r->start_us;
}
