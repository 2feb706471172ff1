/* The only file that knows libevhtp. It accepts the connections, owns their
 * sockets (through a bufferevent whose reading and writing are switched off),
 * and keeps an evhtp_request for each request under way.
 *
 * It is never left alone with a client's bytes. Its parser reads a request
 * line that was split over two reads wrongly, takes Content-Length with
 * Transfer-Encoding, knows no bound on fields, and parses an early answered
 * body as the next request. So when a head has come in whole and was found
 * clean, evhtp is given its request line alone, in one piece; fields and body
 * it never sees. When the reply is out, evhtp's write callback is called, which
 * frees the request and starts the parser afresh. evhtp's pausing, its hooks
 * on bodies, its routing and its 100-continue are not used.
 *
 * evhtp frees a connection by itself only when its parser refuses what we feed
 * it; the fini hook tells of that.
 */
#include "gateway/net/http_server_impl.h"

#include <stdlib.h>
#include <unistd.h>

#include <evhtp/evhtp.h>

#include "gateway/base/log.h"

struct listener {
    struct http_server *server;
    evhtp_t *htp;
    struct tls_context *tls; /* NULL: plain */
    int fd, tag;
};

/* --- requests --- */

/* The methods that evhtp's parser knows and we have a use for. */
static struct str known_method(struct str method)
{
    static const struct str known[] = {
        {"GET", 3},    {"HEAD", 4},  {"POST", 4},   {"PUT", 3},
        {"DELETE", 6}, {"PATCH", 5}, {"OPTIONS", 7}};
    size_t i;

    for (i = 0; i < COUNTOF(known); i++)
        if (str_eq(method, known[i]))
            return method;
    return known[0];
}

/* A path of these bytes means the same to every parser. */
static struct str plain_path(struct str path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-";
    size_t i;

    if (path.n > KIB)
        return STR("/");
    for (i = 0; i < path.n; i++)
        if (!memchr(plain, path.p[i], sizeof(plain) - 1))
            return STR("/");
    return path;
}

static void feed(struct evbuffer *in, const struct http_head *h)
{
    struct str method = known_method(h->method), path = plain_path(h->raw_path);
    struct str version = STR(" HTTP/1.1\r\n\r\n");

    evbuffer_unfreeze(in, 0);
    evbuffer_expand(in, method.n + 1 + path.n + version.n);
    evbuffer_add(in, method.p, method.n);
    evbuffer_add(in, " ", 1);
    evbuffer_add(in, path.p, path.n);
    evbuffer_add(in, version.p, version.n);
    evbuffer_freeze(in, 0);
}

bool server_begin_request(struct conn *c, const struct http_head *h)
{
    evhtp_connection_t *ec = c->evhtp;
    bufferevent_data_cb on_read;

    bufferevent_getcb(ec->bev, &on_read, NULL, NULL, NULL);
    feed(bufferevent_get_input(ec->bev), h);
    on_read(ec->bev, ec);
    return c->evhtp && ec->request;
}

void server_end_request(struct conn *c)
{
    evhtp_connection_t *ec = c->evhtp;
    bufferevent_data_cb on_write;

    bufferevent_getcb(ec->bev, NULL, &on_write, NULL, NULL);
    evhtp_request_enable_flag(ec->request, EVHTP_REQ_FLAG_KEEPALIVE);
    evhtp_send_reply_end(ec->request);
    on_write(ec->bev, ec);
    ASSERT(c->evhtp && !ec->request);
}

/* evhtp has parsed what it was fed. The request is handed over by
 * http_server_conn.c, when evhtp is off the stack. */
static void on_request(evhtp_request_t *er UNUSED, void *arg UNUSED)
{
}

/* --- connections --- */

static evhtp_res on_fini(evhtp_connection_t *ec UNUSED, void *arg)
{
    struct conn *c = arg;

    c->evhtp = NULL;
    return EVHTP_RES_OK;
}

void server_free_conn(void *memory)
{
    struct conn *c = memory;

    if (c->evhtp) {
        /* A bufferevent closes its socket a turn after its end; the client
         * shall not wait for that. */
        bufferevent_setfd(c->evhtp->bev, -1);
        close(c->fd);
        evhtp_connection_free(c->evhtp);
    }
    tls_free(c->tls);
    free(c);
}

/* The connections are as many as allowed: a short answer, if the socket takes
 * it. What has come is read, or closing would reset the connection. */
static void refuse(struct listener *l, int fd)
{
    struct http_server *s = l->server;
    struct reply_head h = {.status = err_info(GW_OVERLOADED)->http, .minor = 1};
    struct gw_error e = {0};
    struct iovec v[2];
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof(a);
    char peer[PEER_SIZE];
    struct str head;
    struct buf body;

    metrics_count(s->metrics, METRIC_REFUSED_CONNS, "max_connections", NULL,
                  NULL);
    if (l->tls)
        return;
    getpeername(fd, (struct sockaddr *)&a, &len);
    bind_name((struct sockaddr *)&a, peer, sizeof(peer));
    err_plain(&e, GW_OVERLOADED);
    buf_init(&body, LIMIT_REPLY_HEAD_BYTES);
    s->ops.refused(s->arg, &e, peer, &body);
    h.length = (int64_t)body.n;
    head = reply_write_head(s, &h);
    v[0] = io_piece(head.p, head.n);
    v[1] = io_piece(body.p, body.n);
    if (sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        while (recv(fd, s->scratch, LIMIT_SERVER_SCRATCH, MSG_DONTWAIT) > 0)
            ;
    buf_release(&body);
}

static evhtp_res on_pre_accept(evhtp_connection_t *ec, void *arg)
{
    struct listener *l = arg;
    struct http_server *s = l->server;

    if (!s->limits.max_connections ||
        s->nconns < (size_t)s->limits.max_connections)
        return EVHTP_RES_OK;
    refuse(l, (int)ec->sock);
    return EVHTP_RES_ERROR; /* closes the socket */
}

static evhtp_res on_post_accept(evhtp_connection_t *ec, void *arg)
{
    struct listener *l = arg;
    struct conn *c;
    struct tls *tls = l->tls ? tls_new(l->tls, (int)ec->sock) : NULL;

    bufferevent_disable(ec->bev, EV_READ | EV_WRITE);
    c = conn_open(l->server, (int)ec->sock, bufferevent_get_output(ec->bev),
                  ec->saddr, l->tag, tls);
    c->evhtp = ec;
    evhtp_connection_set_hook(ec, evhtp_hook_on_connection_fini, on_fini, c);
    return EVHTP_RES_OK;
}

/* --- listeners --- */

/* Accepting goes on after a pause, or ends: drain leaves what has been
 * connected already one turn to be accepted. */
static void on_accept_timer(void *arg)
{
    struct http_server *s = arg;
    size_t i;

    for (i = 0; i < s->nlisteners; i++) {
        if (s->is_draining)
            evhtp_unbind_socket(s->listeners[i]->htp);
        else
            evconnlistener_enable(s->listeners[i]->htp->server);
    }
}

/* No descriptors are left (or no memory). The listener would fire again at
 * once, and for ever. */
static void on_accept_error(struct evconnlistener *ev UNUSED, void *arg)
{
    struct listener *l = ((evhtp_t *)arg)->arg;
    struct http_server *s = l->server;
    size_t i;

    if (s->is_draining)
        return;
    log_warn("cannot accept a connection: errno %d", EVUTIL_SOCKET_ERROR());
    metrics_count(s->metrics, METRIC_REFUSED_CONNS, "descriptors", NULL, NULL);
    for (i = 0; i < s->nlisteners; i++)
        evconnlistener_disable(s->listeners[i]->htp->server);
    loop_timer_set(&s->accept_timer, LIMIT_ACCEPT_PAUSE_MS);
}

static void free_listener(struct listener *l)
{
    if (l->htp) {
        evhtp_unbind_socket(l->htp);
        evhtp_free(l->htp);
    }
    tls_context_free(l->tls);
    free(l);
}

/* The socket belongs to evhtp after this. */
static void start(struct listener *l)
{
    struct http_server *s = l->server;

    l->htp = evhtp_new(loop_base(s->loop), l);
    if (!l->htp)
        BUG("out of memory");
    evhtp_disable_flag(l->htp, EVHTP_FLAG_ENABLE_100_CONT);
    evhtp_set_gencb(l->htp, on_request, NULL);
    evhtp_set_pre_accept_cb(l->htp, on_pre_accept, l);
    evhtp_set_post_accept_cb(l->htp, on_post_accept, l);
    if (evhtp_accept_socket(l->htp, l->fd, 0) < 0)
        BUG("cannot watch a listening socket");
    evconnlistener_set_error_cb(l->htp->server, on_accept_error);
    s->listeners =
        xrealloc(s->listeners, (s->nlisteners + 1) * sizeof(struct listener *));
    s->listeners[s->nlisteners++] = l;
}

enum gw_err http_server_listen(struct http_server *s, const char *address,
                               const char *cert, const char *key, int tag,
                               struct gw_error *e)
{
    struct listener *l = xcalloc(1, sizeof(*l));

    l->server = s;
    l->tag = tag;
    if (cert[0]) {
        l->tls = tls_context_new(cert, key, e);
        if (!l->tls)
            goto out;
        if (!s->tls_scratch)
            s->tls_scratch = xmalloc(LIMIT_TLS_RECORD);
    }
    l->fd = bind_address(address, e);
    if (l->fd < 0)
        goto out;
    start(l);
    return GW_OK;
out:
    free_listener(l);
    return e->err;
}

int http_server_port(const struct http_server *s, size_t n)
{
    ASSERT(n < s->nlisteners);
    return bind_port(s->listeners[n]->fd);
}

/* --- the server --- */

struct http_server *http_server_open(struct loop *l,
                                     const struct http_server_limits *limits,
                                     const struct http_server_ops *ops,
                                     void *arg, struct metrics *metrics)
{
    struct http_server *s = xcalloc(1, sizeof(*s));

    s->loop = l;
    s->limits = *limits;
    s->ops = *ops;
    s->arg = arg;
    s->metrics = metrics;
    s->connections = metrics_get(metrics, METRIC_CONNECTIONS, NULL, NULL, NULL);
    s->scratch = xmalloc(LIMIT_SERVER_SCRATCH);
    buf_init(&s->head, LIMIT_REPLY_HEAD_BYTES);
    loop_timer_init(l, &s->accept_timer, on_accept_timer, s);
    return s;
}

void http_server_set_limits(struct http_server *s,
                            const struct http_server_limits *limits)
{
    s->limits = *limits;
}

void http_server_drain(struct http_server *s)
{
    struct conn *c, *next;

    if (s->is_draining)
        return;
    s->is_draining = true;
    loop_timer_set(&s->accept_timer, 0);
    for (c = s->conns; c; c = next) {
        next = c->next;
        if (c->state == CONN_IDLE)
            conn_close(c, SERVER_REPLIED);
    }
}

size_t http_server_connections(const struct http_server *s)
{
    return s->nconns;
}

void http_server_close(struct http_server *s)
{
    struct server_req *r;
    size_t i;

    if (!s)
        return;
    while (s->reqs)
        req_close_now(s->reqs);
    while (s->conns)
        conn_close(s->conns, SERVER_ABORTED);
    for (i = 0; i < s->nlisteners; i++)
        free_listener(s->listeners[i]);
    while ((r = s->free_reqs)) {
        s->free_reqs = r->next;
        req_free(r);
    }
    loop_timer_release(&s->accept_timer);
    buf_release(&s->head);
    free(s->listeners);
    free(s->scratch);
    free(s->tls_scratch);
    free(s);
}
