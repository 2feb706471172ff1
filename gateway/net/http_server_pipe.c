/* A reply out of a pipe:
 *
 *     writer ─push()─► socket            while the socket takes them, the
 *        │                               bytes are never copied
 *        └─► held in the pipe ─writev─► socket, when it is writable again
 *
 * The head waits in the output queue for the first bytes, to the end of the
 * turn at most. A chunk is announced with the size of what is at hand; when
 * the socket takes only a part, chunk_left says what the rest belongs to, and
 * it stays in the pipe. A pulled pipe is read into the server's scratch; what
 * the socket does not take of that is queued.
 */
#include "gateway/net/http_server_impl.h"

#include <stdio.h>

#define PEEKED 8 /* pieces in one send; conn_write takes two more */

static void break_off(struct server_req *r)
{
    conn_close(r->conn, SERVER_ABORTED);
}

static bool is_too_long(const struct server_req *r, size_t n)
{
    return r->reply.framing == REPLY_LENGTH &&
           (uint64_t)n > (uint64_t)r->reply.left;
}

static bool is_out_of_bounds(const struct server_req *r, size_t n)
{
    return r->reply.is_bounded && r->reply.bytes + n > r->reply.most;
}

static void count(struct server_req *r, size_t n)
{
    r->reply.bytes += n;
    if (r->reply.framing == REPLY_LENGTH)
        r->reply.left -= (int64_t)n;
}

/* Takes over *n pieces, at most max bytes of them; the sum. */
static size_t clip(struct iovec *to, const struct iovec *from, int *n,
                   size_t max)
{
    size_t total = 0;
    int i;

    for (i = 0; i < *n && total < max; i++) {
        to[i] = from[i];
        to[i].iov_len = MIN(to[i].iov_len, max - total);
        total += to[i].iov_len;
    }
    *n = i;
    return total;
}

/* As send_bytes(), in chunks. The size line and the CRLF behind the chunk are
 * ours to keep when they are not taken, the data is not. */
static ssize_t send_chunk(struct server_req *r, const struct iovec *data, int n,
                          size_t size)
{
    struct req_reply *reply = &r->reply;
    struct conn *c = r->conn;
    struct iovec v[PEEKED + 2];
    char line[20];
    int line_n = 0, first = 0;
    size_t len, crlf = 0;
    ssize_t taken;

    if (!reply->chunk_left) {
        line_n = snprintf(line, sizeof(line), "%zx\r\n", size);
        v[first++] = io_piece(line, (size_t)line_n);
        reply->chunk_left = size;
    }
    len = clip(v + first, data, &n, reply->chunk_left);
    n += first;
    if (len == reply->chunk_left)
        v[n++] = io_piece("\r\n", 2);
    taken = conn_write(c, v, n);
    if (taken < 0)
        return -1;
    if (taken < line_n) {
        conn_queue(c, line + taken, (size_t)(line_n - taken));
        return 0;
    }
    taken -= line_n;
    if ((size_t)taken > len) {
        crlf = (size_t)taken - len;
        taken = (ssize_t)len;
    }
    reply->chunk_left -= (size_t)taken;
    if (!reply->chunk_left)
        conn_queue(c, "\r\n" + crlf, 2 - crlf);
    return taken;
}

/* Sends what can be sent now. How many bytes were taken; -1: closed. */
static ssize_t send_bytes(struct server_req *r, const struct iovec *data, int n,
                          size_t size)
{
    ssize_t taken;

    if (is_too_long(r, size)) {
        break_off(r);
        return -1;
    }
    if (is_out_of_bounds(r, size)) {
        conn_close(r->conn, SERVER_TOO_LONG);
        return -1;
    }
    taken = r->reply.framing == REPLY_CHUNKED ? send_chunk(r, data, n, size)
                                              : conn_write(r->conn, data, n);
    if (taken < 0)
        conn_close(r->conn, SERVER_CLIENT_GONE);
    else
        count(r, (size_t)taken);
    return taken;
}

/* --- the end --- */

void reply_drop_pipe(struct server_req *r)
{
    struct pipe *p = r->reply.pipe;

    if (!p)
        return;
    r->reply.pipe = NULL;
    pipe_set_reader(p, NULL, NULL);
    pipe_cancel(p);
}

static void flush(struct server_req *r)
{
    if (conn_write(r->conn, NULL, 0) < 0)
        conn_close(r->conn, SERVER_CLIENT_GONE);
    else
        reply_progress(r);
}

static void finish(struct server_req *r)
{
    struct req_reply *reply = &r->reply;

    if (reply->framing == REPLY_LENGTH && reply->left) {
        break_off(r);
        return;
    }
    if (reply->framing == REPLY_CHUNKED)
        conn_queue(r->conn, "0\r\n\r\n", 5);
    reply_drop_pipe(r);
    reply->is_complete = true;
    flush(r);
}

/* --- moving --- */

/* Nothing is held: pull. What the socket does not take is queued. As
 * pump_once(). */
static ssize_t pump_pulled(struct server_req *r)
{
    struct http_server *s = r->server;
    struct conn *c = r->conn;
    struct iovec v = {s->scratch, 0};
    ssize_t taken;
    size_t left;

    v.iov_len = pipe_read(r->reply.pipe, s->scratch, LIMIT_SERVER_SCRATCH);
    if (!v.iov_len) {
        if (pipe_outcome(r->reply.pipe) == PIPE_OPEN)
            flush(r);
        else if (pipe_outcome(r->reply.pipe) == PIPE_END)
            finish(r);
        else
            break_off(r);
        return 0;
    }
    taken = send_bytes(r, &v, 1, v.iov_len);
    if (taken < 0)
        return -1;
    left = v.iov_len - (size_t)taken;
    if (!left)
        return taken;
    conn_queue(c, s->scratch + taken, left);
    count(r, left);
    if (r->reply.framing == REPLY_CHUNKED) {
        r->reply.chunk_left = 0;
        conn_queue(c, "\r\n", 2);
    }
    return (ssize_t)v.iov_len;
}

/* > 0: so many bytes went; 0 or -1: no more now. */
static ssize_t pump_once(struct server_req *r)
{
    struct iovec v[PEEKED];
    size_t size = 0;
    ssize_t taken;
    int n, i;

    n = pipe_peek(r->reply.pipe, v, PEEKED);
    if (!n)
        return pump_pulled(r);
    for (i = 0; i < n; i++)
        size += v[i].iov_len;
    taken = send_bytes(r, v, n, size);
    if (taken > 0)
        pipe_drain(r->reply.pipe, (size_t)taken);
    return taken;
}

void reply_pump(struct server_req *r)
{
    size_t sent = 0;
    ssize_t n;

    if (pipe_outcome(r->reply.pipe) == PIPE_ERROR) {
        break_off(r);
        return;
    }
    do {
        n = pump_once(r);
        if (n > 0)
            sent += (size_t)n;
    } while (n > 0 && !r->conn->is_blocked && sent < LIMIT_SEND_TURN);
    if (!r->conn || !r->reply.pipe)
        return;
    if (n > 0 && !r->conn->is_blocked)
        conn_yield(r->conn);
    reply_progress(r);
}

static size_t on_push(void *arg, const char *buf, size_t len)
{
    struct server_req *r = arg;
    struct iovec v = io_piece(buf, len);
    ssize_t taken;

    if (r->conn->is_blocked)
        return 0;
    taken = send_bytes(r, &v, 1, len);
    if (taken < 0)
        return 0;
    reply_progress(r);
    return (size_t)taken;
}

static void on_readable(void *arg)
{
    struct server_req *r = arg;

    /* Blocked: the write event goes on with it. An error cannot wait. */
    if (!r->conn->is_blocked || pipe_outcome(r->reply.pipe) == PIPE_ERROR)
        reply_pump(r);
}

static void pump_later(void *arg)
{
    struct server_req *r = arg;

    if (r->conn && r->reply.pipe && !r->conn->is_blocked)
        reply_pump(r);
}

static const struct pipe_reader_ops reader_ops = {.push = on_push,
                                                  .readable = on_readable};

static enum reply_framing framing_of(const struct server_req *r, int64_t length)
{
    if (length >= 0)
        return REPLY_LENGTH;
    return r->head.minor ? REPLY_CHUNKED : REPLY_CLOSE;
}

void server_req_bound_reply(struct server_req *r, uint64_t most)
{
    r->reply.is_bounded = true;
    r->reply.most = most;
}

void server_req_reply_pipe(struct server_req *r, int status,
                           const struct http_fields *fields, int64_t length,
                           struct pipe *body)
{
    struct req_reply *reply = &r->reply;
    struct reply_head h = {.status = status,
                           .fields = fields,
                           .length = length,
                           .minor = r->head.minor};
    struct str head;

    if (!reply_begin(r, status)) {
        pipe_cancel(body);
        return;
    }
    reply->framing = h.framing = framing_of(r, length);
    reply->left = length;
    if (reply->framing == REPLY_CLOSE)
        reply->keeps = false;
    h.keeps = reply->keeps;
    head = reply_write_head(r->server, &h);
    conn_queue(r->conn, head.p, head.n);
    if (!reply_has_body(r, status)) {
        pipe_cancel(body);
        reply->is_complete = true;
        flush(r);
        return;
    }
    reply->pipe = body;
    pipe_set_reader(body, &reader_ops, r);
    loop_defer(r->server->loop, &r->pump_task, pump_later, r);
}
