/* Output goes to the socket at once; what it does not take waits in the output
 * buffer of evhtp's bufferevent, whose own writing is switched off. Order is
 * kept by always sending the queue first, in the same system call.
 */
#include "gateway/net/http_server_impl.h"

#include <errno.h>

#include <event2/buffer.h>

/* Pieces in one sendmsg: of the queue, and in all. */
#define QUEUE_PIECES 8
#define PIECES 24

static bool is_transient(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

ssize_t conn_recv(struct conn *c, char *buf, size_t cap)
{
    ssize_t n;

    if (c->tls)
        n = tls_recv(c->tls, buf, cap);
    else
        n = recv(c->fd, buf, cap, MSG_DONTWAIT);
    if (n < 0 && !is_transient(errno))
        n = 0;
    /* A short read has emptied the socket: the next bytes are a new edge. Not
     * so the end that was announced already. */
    if (n < 0 || (n > 0 && (size_t)n < cap && !c->saw_hangup &&
                  !(c->tls && tls_has_ended(c->tls))))
        c->is_readable = false;
    return n;
}

/* What the socket took; 0: nothing now; -1: broken. */
static ssize_t send_pieces(struct conn *c, struct iovec *v, int n)
{
    struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)n};
    ssize_t sent;

    if (c->tls)
        return tls_send(c->tls, v, n, c->server->tls_scratch);
    sent = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0)
        return sent;
    return is_transient(errno) ? 0 : -1;
}

static void drain_queue(struct conn *c, size_t n)
{
    struct req_reply *reply = c->req ? &c->req->reply : NULL;
    size_t left = evbuffer_get_length(c->out) - n;

    evbuffer_unfreeze(c->out, 1);
    evbuffer_drain(c->out, n);
    evbuffer_freeze(c->out, 1);
    if (reply && reply->queued > left) {
        reply->bytes += reply->queued - left;
        reply->queued = left;
    }
}

static size_t sum(const struct iovec *v, int n)
{
    size_t total = 0;
    int i;

    for (i = 0; i < n; i++)
        total += v[i].iov_len;
    return total;
}

/* One send of the queue's first pieces and, if that is all of it, of v. The
 * bytes of v that were taken, -1: broken. */
static ssize_t write_once(struct conn *c, const struct iovec *v, int n)
{
    struct iovec all[PIECES];
    size_t queued = 0, total;
    int count = 0;
    ssize_t sent;

    if (evbuffer_get_length(c->out))
        count = evbuffer_peek(c->out, -1, NULL, all, QUEUE_PIECES);
    if (count > QUEUE_PIECES) {
        count = QUEUE_PIECES;
        n = 0;
    }
    ASSERT(count + n <= PIECES);
    queued = sum(all, count);
    if (n)
        memcpy(all + count, v, (size_t)n * sizeof(*v));
    total = queued + sum(v, n);
    sent = total ? send_pieces(c, all, count + n) : 0;
    if (sent < 0)
        return -1;
    if ((size_t)sent < total)
        c->is_blocked = true;
    if (queued)
        drain_queue(c, MIN(queued, (size_t)sent));
    return (size_t)sent > queued ? sent - (ssize_t)queued : 0;
}

ssize_t conn_write(struct conn *c, const struct iovec *v, int n)
{
    ssize_t taken;
    size_t before;

    c->is_blocked = false;
    do {
        before = evbuffer_get_length(c->out);
        taken = write_once(c, v, n);
        /* Again only for a queue of many pieces, of which some were sent. */
    } while (taken == 0 && !c->is_blocked && evbuffer_get_length(c->out) > 0 &&
             evbuffer_get_length(c->out) < before);
    if (c->tls && !tls_is_flushed(c->tls))
        c->is_blocked = true;
    if (taken >= 0 && c->is_blocked)
        conn_await_writable(c);
    return taken;
}

void conn_queue(struct conn *c, const char *p, size_t n)
{
    if (n && evbuffer_add(c->out, p, n) < 0)
        BUG("out of memory");
}

size_t conn_queued(const struct conn *c)
{
    return evbuffer_get_length(c->out);
}

bool conn_is_flushed(const struct conn *c)
{
    return !evbuffer_get_length(c->out) && (!c->tls || tls_is_flushed(c->tls));
}

void conn_shut(struct conn *c)
{
    if (c->is_shut)
        return;
    c->is_shut = true;
    if (c->tls)
        tls_shut(c->tls);
    shutdown(c->fd, SHUT_WR);
}
