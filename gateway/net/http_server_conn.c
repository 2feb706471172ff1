/* The connection's states, and who may follow whom:
 *
 *     HANDSHAKE ─► HEAD ─► ACTIVE ─► IDLE ─► HEAD, ACTIVE
 *                   │        ├─────► DROP ─► IDLE, HEAD, ACTIVE, LINGER
 *                   ├────────┴─────► LINGER
 *                   └─► CLOSED, from everywhere
 *
 * The socket's events are edge-triggered and set once: a request takes no
 * epoll_ctl(2), bytes that nobody wants stay in the kernel without waking us
 * again and again, and the client's going is noticed all the same (EPOLLRDHUP,
 * or an error). A level-triggered watch for the hang-up alone would spin on a
 * reset: libevent reports that as readable, which nobody would be waiting for.
 *
 * A client that closes its sending half counts as gone as soon as all it sent
 * was read: a proxy cannot tell it from one that hung up.
 *
 * A connection that we end, and on which the client may still be sending, is
 * not just closed: the kernel would answer the bytes by a reset, and that can
 * take our reply from the client. It lingers: our half is closed, what comes
 * is dropped for a while.
 */
#include "gateway/net/http_server_impl.h"

#include <sys/ioctl.h>

#define BIT(state) (1u << CONN_##state)

static const unsigned next_states[] = {
    [CONN_HANDSHAKE] = BIT(HEAD) | BIT(CLOSED),
    [CONN_HEAD] = BIT(ACTIVE) | BIT(LINGER) | BIT(CLOSED),
    [CONN_IDLE] = BIT(HEAD) | BIT(ACTIVE) | BIT(LINGER) | BIT(CLOSED),
    [CONN_ACTIVE] = BIT(IDLE) | BIT(DROP) | BIT(LINGER) | BIT(CLOSED),
    [CONN_DROP] = BIT(IDLE) | BIT(LINGER) | BIT(CLOSED),
    [CONN_LINGER] = BIT(CLOSED),
    [CONN_CLOSED] = 0,
};

/* The only place where a connection changes state. */
void conn_goto(struct conn *c, enum conn_state to)
{
    ASSERT(next_states[c->state] & (1u << to));
    c->state = to;
}

/* --- events --- */

static void on_read(evutil_socket_t fd, short what, void *arg);
static void on_write(evutil_socket_t fd, short what, void *arg);
static void on_deadline(void *arg);
static void read_later(void *arg);

void conn_kick(struct conn *c)
{
    if (c->is_readable)
        loop_defer(c->server->loop, &c->read_task, read_later, c);
}

void conn_await_writable(struct conn *c)
{
    c->is_blocked = true;
    /* Added again it fires for what is true already. From then on it costs
     * nothing: an edge comes only after the socket was full. */
    if (event_pending(&c->write_event, EV_WRITE, NULL))
        return;
    if (event_add(&c->write_event, NULL) < 0)
        BUG("cannot watch a socket");
}

void conn_yield(struct conn *c)
{
    event_del(&c->write_event);
    conn_await_writable(c);
}

static void watch(struct conn *c)
{
    struct event_base *base = loop_base(c->server->loop);

    event_assign(&c->read_event, base, c->fd,
                 EV_READ | EV_CLOSED | EV_ET | EV_PERSIST, on_read, c);
    event_assign(&c->write_event, base, c->fd, EV_WRITE | EV_ET | EV_PERSIST,
                 on_write, c);
    if (event_add(&c->read_event, NULL) < 0)
        BUG("cannot watch a socket");
}

void conn_set_deadline(struct conn *c, int64_t in_ms)
{
    loop_timer_set(&c->timer, in_ms);
}

void conn_clear_deadline(struct conn *c)
{
    loop_timer_cancel(&c->timer);
}

/* --- the beginning and the end --- */

static void link_conn(struct conn *c)
{
    struct http_server *s = c->server;

    c->next = s->conns;
    if (c->next)
        c->next->prev = c;
    s->conns = c;
    s->nconns++;
    metric_add(s->connections, 1);
}

static void unlink_conn(struct conn *c)
{
    struct http_server *s = c->server;

    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->nconns--;
    metric_add(s->connections, -1);
}

struct conn *conn_open(struct http_server *s, int fd, struct evbuffer *out,
                       const struct sockaddr *peer, int tag, struct tls *tls)
{
    struct conn *c = xcalloc(1, sizeof(*c));

    c->server = s;
    c->state = tls ? CONN_HANDSHAKE : CONN_HEAD;
    c->fd = fd;
    c->tag = tag;
    c->tls = tls;
    c->out = out;
    /* One read of the chunked coding may end far behind the body's end. */
    buf_init(&c->rest, LIMIT_SERVER_SCRATCH + LIMIT_UPLOAD_BUFFER);
    bind_name(peer, c->peer, sizeof(c->peer));
    loop_timer_init(s->loop, &c->timer, on_deadline, c);
    link_conn(c);
    watch(c);
    conn_set_deadline(c, s->limits.header_timeout_ms);
    return c;
}

void conn_reset_at_close(struct conn *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

void conn_close(struct conn *c, enum server_close why)
{
    if (c->state == CONN_CLOSED)
        return;
    conn_goto(c, CONN_CLOSED);
    if (c->req)
        req_end(c->req, why);
    event_del(&c->read_event);
    event_del(&c->write_event);
    loop_task_cancel(c->server->loop, &c->read_task);
    loop_timer_release(&c->timer);
    buf_release(&c->rest);
    unlink_conn(c);
    loop_reap(c->server->loop, c, server_free_conn);
}

/* --- after a reply --- */

void conn_linger(struct conn *c)
{
    conn_goto(c, CONN_LINGER);
    buf_release(&c->rest);
    c->drop_left = LIMIT_LINGER_BYTES;
    conn_set_deadline(c, LIMIT_LINGER_MS);
    conn_kick(c);
    if (conn_is_flushed(c))
        conn_shut(c);
}

/* The next head: what waits, else what comes. */
static void next_head(struct conn *c)
{
    conn_goto(c, CONN_IDLE);
    if (c->server->is_draining) {
        conn_close(c, SERVER_REPLIED);
        return;
    }
    conn_set_deadline(c, c->server->limits.idle_timeout_ms);
    if (c->rest.n) {
        head_look(c);
        return;
    }
    buf_release(&c->rest);
    conn_kick(c);
}

static void drop_body(struct conn *c)
{
    struct http_server *s = c->server;
    size_t cap = MIN((size_t)c->drop_left, (size_t)LIMIT_SERVER_SCRATCH);
    ssize_t n = conn_recv(c, s->scratch, cap);

    if (n == 0)
        conn_close(c, SERVER_REPLIED);
    if (n <= 0)
        return;
    c->drop_left -= n;
    if (c->drop_left)
        conn_kick(c);
    else
        next_head(c);
}

static void drop_lingering(struct conn *c)
{
    struct http_server *s = c->server;
    ssize_t n = conn_recv(c, s->scratch, LIMIT_SERVER_SCRATCH);

    if (n > 0)
        c->drop_left -= n;
    if (n == 0 || c->drop_left <= 0)
        conn_close(c, SERVER_REPLIED);
    else
        conn_kick(c);
}

/* The reply is out; r is about to go. */
void conn_after_reply(struct conn *c, const struct server_req *r)
{
    bool client_ends = !r->head.keep_alive && r->body.has_ended;

    if (c->saw_eof || (!r->reply.keeps && client_ends)) {
        if (c->tls)
            conn_shut(c);
        conn_close(c, SERVER_REPLIED);
        return;
    }
    if (!r->reply.keeps || r->fail.err != GW_OK) {
        conn_linger(c);
        return;
    }
    server_end_request(c);
    if (r->body.has_ended) {
        next_head(c);
        return;
    }
    conn_goto(c, CONN_DROP);
    c->drop_left = r->body.left;
    conn_set_deadline(c, c->server->limits.header_timeout_ms);
    conn_kick(c);
}

/* --- what the socket tells --- */

/* Bytes behind the body under way: the next requests'. */
static void read_ahead(struct conn *c)
{
    struct http_server *s = c->server;
    size_t room = LIMIT_HEAD_BYTES - MIN(c->rest.n, (size_t)LIMIT_HEAD_BYTES);
    ssize_t n;

    if (room) {
        n = conn_recv(c, s->scratch, room);
        if (n > 0)
            buf_add(&c->rest, s->scratch, (size_t)n);
        if (n > 0)
            conn_kick(c);
        if (n != 0)
            return;
    } else if (!c->saw_hangup) {
        return; /* it is looked at again when a head was taken out of it */
    }
    c->saw_eof = true;
    if (!c->req->reply.is_flushed)
        conn_close(c, SERVER_CLIENT_GONE);
}

/* The body of a request that was answered: a client that sends before it reads
 * must get rid of it, within bounds. */
static void drop_answered(struct conn *c)
{
    struct server_req *r = c->req;
    uint64_t before = r->body.bytes;

    if (c->drop_left <= 0 || r->fail.err != GW_OK)
        return;
    body_drop(r, LIMIT_SERVER_SCRATCH);
    c->drop_left -= (int64_t)(r->body.bytes - before);
    if (c->state == CONN_ACTIVE)
        conn_kick(c);
}

/* Nobody wants the body now. Is the client still there? When it has closed,
 * bytes may be left that complete the body; reading them will tell. */
static void check_client(struct conn *c)
{
    struct req_body *b = &c->req->body;
    int unread = 0, error = 0;
    socklen_t size = sizeof(error);

    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (!error && !c->saw_hangup)
        return;
    ioctl(c->fd, FIONREAD, &unread);
    if (error || (!unread && !c->rest.n) ||
        (b->kind == HTTP_BODY_LENGTH && !c->tls &&
         (int64_t)c->rest.n + unread < b->left))
        conn_close(c, SERVER_CLIENT_GONE);
}

static void read_active(struct conn *c)
{
    struct server_req *r = c->req;

    if (r->body.has_ended)
        read_ahead(c);
    else if (r->body.is_wanted)
        body_readable(r);
    else if (r->reply.status)
        drop_answered(c);
    else
        check_client(c);
}

static void shake_hands(struct conn *c)
{
    enum tls_step step = tls_handshake(c->tls);

    c->is_blocked = false;
    if (step == TLS_WANTS_WRITE)
        conn_await_writable(c);
    if (step == TLS_FAILED)
        conn_close(c, SERVER_ABORTED);
    if (step != TLS_DONE)
        return;
    conn_goto(c, CONN_HEAD);
    conn_kick(c);
}

static void look(struct conn *c)
{
    static void (*const by_state[])(struct conn *) = {
        [CONN_HANDSHAKE] = shake_hands, [CONN_HEAD] = head_read,
        [CONN_IDLE] = head_read,        [CONN_ACTIVE] = read_active,
        [CONN_DROP] = drop_body,        [CONN_LINGER] = drop_lingering,
    };

    if (c->state != CONN_CLOSED)
        by_state[c->state](c);
}

static void read_later(void *arg)
{
    look(arg);
}

static void on_read(evutil_socket_t fd UNUSED, short what, void *arg)
{
    struct conn *c = arg;

    c->is_readable = true;
    if (what & EV_CLOSED)
        c->saw_hangup = true;
    look(c);
}

static void flush(struct conn *c)
{
    if (conn_write(c, NULL, 0) < 0)
        conn_close(c, SERVER_CLIENT_GONE);
    else if (c->state == CONN_LINGER && conn_is_flushed(c))
        conn_shut(c);
}

static void on_write(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct conn *c = arg;

    if (c->state == CONN_CLOSED || !c->is_blocked)
        return;
    if (c->state == CONN_HANDSHAKE)
        shake_hands(c);
    else if (c->state == CONN_ACTIVE && c->req->reply.status)
        reply_writable(c->req);
    else
        flush(c);
}

static void on_deadline(void *arg)
{
    struct conn *c = arg;
    struct gw_error e = {0};

    if (c->state == CONN_ACTIVE && !c->req->reply.status) {
        body_deadline(c->req);
    } else if (c->state == CONN_HEAD && c->rest.n) {
        err_set(&e, GW_REQUEST_TIMEOUT, "the request head came too slowly");
        head_refuse(c, &e);
    } else {
        conn_close(c, SERVER_CLIENT_GONE);
    }
}
