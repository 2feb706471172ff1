/* fake_http.h -- a scripted HTTP server on threads, for tests of clients.
 *
 * Every connection runs the script `serve` on a thread of its own: plain
 * blocking code, as a test would tell it. What it saw is in the struct, under
 * the lock. All reads end after ten seconds.
 */
#ifndef FILEMUX_TESTS_FAKE_HTTP_H
#define FILEMUX_TESTS_FAKE_HTTP_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/fake_tls.h"
#include "tests/unit/pipe_ends.h"

#define FAKE_CONNS_MAX 512

struct fake_conn;

struct fake_http {
    void (*serve)(struct fake_conn *c);
    void *arg;
    SSL_CTX *tls; /* NULL: none; set before the first connection */
    int port;
    /* --- what was seen; read it when the exchange is over --- */
    pthread_mutex_t lock;
    int nconns;
    int nrequests;
    int ncomplete;       /* bodies that came whole */
    uint64_t body_bytes; /* of the last request */
    uint64_t body_hash;
    char head[16384]; /* of the last request */
    /* --- private --- */
    bool is_closing;
    int listener;
    pthread_t thread;
    struct fake_conn *conns[FAKE_CONNS_MAX];
};

struct fake_conn {
    struct fake_http *server;
    pthread_t thread;
    int fd;
    SSL *tls;
    bool was_resumed; /* the TLS session */
    int number;       /* from 1 */
    char buf[16384];
    size_t n; /* bytes read ahead */
    bool is_chunked;
    long long length;
};

/* --- for scripts --- */

/* Whether the test is over: for scripts that do nothing until then. */
static inline bool fake_is_closing(struct fake_conn *c)
{
    bool is_closing;

    pthread_mutex_lock(&c->server->lock);
    is_closing = c->server->is_closing;
    pthread_mutex_unlock(&c->server->lock);
    return is_closing;
}

static inline ssize_t fake_recv(struct fake_conn *c, char *p, size_t n)
{
    return c->tls ? SSL_read(c->tls, p, (int)n) : recv(c->fd, p, n, 0);
}

static inline ssize_t fake_write(struct fake_conn *c, const char *p, size_t n)
{
    return c->tls ? SSL_write(c->tls, p, (int)MIN(n, (size_t)MIB))
                  : send(c->fd, p, n, MSG_NOSIGNAL);
}

static inline bool fake_fill(struct fake_conn *c)
{
    ssize_t n;

    if (c->n == sizeof(c->buf))
        return false;
    n = fake_recv(c, c->buf + c->n, sizeof(c->buf) - c->n);
    if (n <= 0)
        return false;
    c->n += (size_t)n;
    return true;
}

static inline void fake_consume(struct fake_conn *c, size_t n)
{
    c->n -= n;
    memmove(c->buf, c->buf + n, c->n);
}

static inline const char *fake_field(const char *head, const char *name)
{
    const char *p = strcasestr(head, name);

    return p ? p + strlen(name) : NULL;
}

/* Reads a request's head; false when the connection is over. */
static inline bool fake_read_head(struct fake_conn *c)
{
    struct fake_http *s = c->server;
    char *end;
    size_t n;
    const char *length;

    while (!(end = memmem(c->buf, c->n, "\r\n\r\n", 4)))
        if (!fake_fill(c))
            return false;
    n = (size_t)(end - c->buf) + 4;
    pthread_mutex_lock(&s->lock);
    memcpy(s->head, c->buf, n);
    s->head[n] = '\0';
    s->nrequests++;
    s->body_bytes = 0;
    s->body_hash = HASH_START;
    c->is_chunked = fake_field(s->head, "\r\nTransfer-Encoding: chunked");
    length = fake_field(s->head, "\r\nContent-Length: ");
    c->length = length ? strtoll(length, NULL, 10) : 0;
    pthread_mutex_unlock(&s->lock);
    fake_consume(c, n);
    return true;
}

/* Take n bytes of the body; false when they do not come. */
static inline bool fake_take(struct fake_conn *c, uint64_t n)
{
    struct fake_http *s = c->server;
    size_t part;

    while (n > 0) {
        if (c->n == 0 && !fake_fill(c))
            return false;
        part = MIN(n, c->n);
        pthread_mutex_lock(&s->lock);
        s->body_hash = hash_add(s->body_hash, c->buf, part);
        s->body_bytes += part;
        pthread_mutex_unlock(&s->lock);
        fake_consume(c, part);
        n -= part;
    }
    return true;
}

static inline bool fake_read_chunks(struct fake_conn *c)
{
    unsigned long long n;
    char *end;

    do {
        while (!(end = memmem(c->buf, c->n, "\r\n", 2)))
            if (!fake_fill(c))
                return false;
        n = strtoull(c->buf, NULL, 16);
        fake_consume(c, (size_t)(end - c->buf) + 2);
        if (!fake_take(c, n))
            return false;
        while (c->n < 2)
            if (!fake_fill(c))
                return false;
        fake_consume(c, 2);
    } while (n > 0);
    return true;
}

/* The whole body, whatever its framing. */
static inline bool fake_read_body(struct fake_conn *c)
{
    bool ok =
        c->is_chunked ? fake_read_chunks(c) : fake_take(c, (uint64_t)c->length);

    pthread_mutex_lock(&c->server->lock);
    c->server->ncomplete += ok;
    pthread_mutex_unlock(&c->server->lock);
    return ok;
}

static inline bool fake_send_bytes(struct fake_conn *c, const char *p, size_t n)
{
    ssize_t part;

    for (; n > 0; n -= (size_t)part, p += part) {
        part = fake_write(c, p, n);
        if (part <= 0)
            return false;
    }
    return true;
}

static inline bool fake_send(struct fake_conn *c, const char *text)
{
    return fake_send_bytes(c, text, strlen(text));
}

static inline bool fake_send_pattern(struct fake_conn *c, uint64_t n)
{
    char buf[16384];
    uint64_t at = 0;
    size_t part;

    while (at < n) {
        part = MIN(n - at, sizeof(buf));
        pattern_fill(buf, part, at);
        if (!fake_send_bytes(c, buf, part))
            return false;
        at += part;
    }
    return true;
}

/* The close that follows will be a reset. */
static inline void fake_reset(struct fake_conn *c)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

/* --- the server --- */

static inline bool fake_handshake(struct fake_conn *c)
{
    c->tls = SSL_new(c->server->tls);
    SSL_set_fd(c->tls, c->fd);
    if (SSL_accept(c->tls) != 1)
        return false;
    c->was_resumed = SSL_session_reused(c->tls);
    return true;
}

static inline void *fake_conn_main(void *arg)
{
    struct fake_conn *c = arg;

    if (!c->server->tls || fake_handshake(c))
        c->server->serve(c);
    SSL_free(c->tls);
    pthread_mutex_lock(&c->server->lock);
    close(c->fd);
    c->fd = -1;
    pthread_mutex_unlock(&c->server->lock);
    return NULL;
}

static inline void *fake_accept_main(void *arg)
{
    struct fake_http *s = arg;
    struct timeval limit = {.tv_sec = 10};
    struct fake_conn *c;
    int fd;

    while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
        ASSERT(s->nconns < FAKE_CONNS_MAX);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        c = xcalloc(1, sizeof(*c));
        c->server = s;
        c->fd = fd;
        pthread_mutex_lock(&s->lock);
        s->conns[s->nconns] = c;
        c->number = ++s->nconns;
        pthread_mutex_unlock(&s->lock);
        if (pthread_create(&c->thread, NULL, fake_conn_main, c))
            BUG("no thread");
    }
    return NULL;
}

static inline struct fake_http *fake_open(void (*serve)(struct fake_conn *c),
                                          void *arg)
{
    struct fake_http *s = xcalloc(1, sizeof(*s));
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t len = sizeof(a);

    s->serve = serve;
    s->arg = arg;
    pthread_mutex_init(&s->lock, NULL);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(s->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        listen(s->listener, 512) < 0 ||
        getsockname(s->listener, (struct sockaddr *)&a, &len) < 0)
        BUG("cannot listen");
    s->port = ntohs(a.sin_port);
    if (pthread_create(&s->thread, NULL, fake_accept_main, s))
        BUG("no thread");
    return s;
}

/* From here on the test sees what the scripts wrote until now. */
static inline void fake_sync(struct fake_http *s)
{
    pthread_mutex_lock(&s->lock);
    pthread_mutex_unlock(&s->lock);
}

/* After the clients have gone (or their connections break now). */
static inline void fake_close(struct fake_http *s)
{
    int i;

    pthread_mutex_lock(&s->lock);
    s->is_closing = true;
    pthread_mutex_unlock(&s->lock);
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    for (i = 0; i < s->nconns; i++) {
        pthread_mutex_lock(&s->lock);
        if (s->conns[i]->fd >= 0)
            shutdown(s->conns[i]->fd, SHUT_RDWR);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->conns[i]->thread, NULL);
        free(s->conns[i]);
    }
    SSL_CTX_free(s->tls);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

#endif
