/* copy -- the cheapest proxy that still copies: 256 KB recv, 256 KB send.
 *
 *     copy PORT UPSTREAM_PORT
 *
 * It knows no HTTP. What it costs is what the kernel asks for moving the bytes
 * through user space once, hence the floor for every proxy that looks at them.
 *
 *     client --- side[0] --read--> buffer --write--> side[1] --- upstream
 *            <--write-- buffer <--read---
 *
 * A side reads into its own buffer and writes to its peer. As long as a rest
 * is left in the buffer, the side is not read and the peer waits to be
 * writable: that is all the backpressure there is.
 */
#define _GNU_SOURCE
#include "tests/bench/bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (256u << 10)
/* Reads of one side before others get their turn. */
#define ROUNDS 4
#define EVENTS 256

struct copy;

struct side {
    struct copy *copy;
    struct side *peer;
    int fd;
    char *buffer;      /* read here, not yet written to the peer */
    size_t begin, end; /* the rest in it */
    unsigned events;   /* as watched */
    bool at_end;       /* read EOF */
    bool is_shut;      /* and told the peer */
    bool is_dead;      /* freed at the end of the turn */
};

struct copy {
    int epoll, listener;
    unsigned upstream_port;
    struct side *dead[2 * EVENTS]; /* closed in this turn */
    size_t dead_count;
};

static struct side *side_new(struct copy *c, int fd)
{
    struct side *s = calloc(1, sizeof(*s));
    int on = 1;

    if (!s || !(s->buffer = malloc(BUFFER_BYTES)))
        bench_die("out of memory");
    s->copy = c;
    s->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    s->events = EPOLLIN;
    bench_watch(c->epoll, fd, EPOLLIN, s, true);
    return s;
}

static void pair_open(struct copy *c)
{
    int fd = accept4(c->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct side *client, *upstream;

    if (fd < 0)
        return;
    client = side_new(c, fd);
    upstream = side_new(c, bench_connect(c->upstream_port, 1));
    client->peer = upstream;
    upstream->peer = client;
}

/* An event of this turn may still name the pair, so the memory stays until
 * the turn is over. */
static void pair_close(struct side *s)
{
    struct side *both[] = {s, s->peer};
    struct copy *c = s->copy;

    if (s->is_dead)
        return;
    for (size_t i = 0; i < 2; i++) {
        both[i]->is_dead = true;
        close(both[i]->fd);
        c->dead[c->dead_count++] = both[i];
    }
}

static void reap(struct copy *c)
{
    for (size_t i = 0; i < c->dead_count; i++) {
        free(c->dead[i]->buffer);
        free(c->dead[i]);
    }
    c->dead_count = 0;
}

/* A side is read while its own buffer is empty, and waits to be writable while
 * its peer's is not. */
static void side_update(struct side *s)
{
    unsigned events = 0;

    if (s->begin == s->end && !s->at_end)
        events |= EPOLLIN;
    if (s->peer->begin < s->peer->end)
        events |= EPOLLOUT;
    if (events == s->events)
        return;
    s->events = events;
    bench_watch(s->copy->epoll, s->fd, events, s, false);
}

/* False when the pair is done for. */
static bool side_flush(struct side *s)
{
    while (s->begin < s->end) {
        ssize_t n = send(s->peer->fd, s->buffer + s->begin, s->end - s->begin,
                         MSG_NOSIGNAL);

        if (n < 0)
            return errno == EAGAIN || errno == ENOTCONN;
        s->begin += (size_t)n;
    }
    s->begin = s->end = 0;
    if (s->at_end && !s->is_shut) {
        s->is_shut = true;
        shutdown(s->peer->fd, SHUT_WR);
    }
    return !(s->is_shut && s->peer->is_shut);
}

static bool side_read(struct side *s)
{
    for (int i = 0; i < ROUNDS && s->begin == s->end && !s->at_end; i++) {
        ssize_t n = recv(s->fd, s->buffer, BUFFER_BYTES, 0);

        if (n < 0)
            return errno == EAGAIN;
        s->at_end = n == 0;
        s->end = (size_t)n;
        if (!side_flush(s))
            return false;
    }
    return true;
}

static void on_event(struct side *s, unsigned events)
{
    bool is_fine = true;

    if (s->is_dead)
        return;
    if (events & EPOLLERR)
        is_fine = false;
    if (is_fine && (events & (EPOLLIN | EPOLLHUP)))
        is_fine = side_read(s);
    if (is_fine && (events & EPOLLOUT))
        is_fine = side_flush(s->peer);
    if (!is_fine) {
        pair_close(s);
        return;
    }
    side_update(s);
    side_update(s->peer);
}

static void run(struct copy *c)
{
    struct epoll_event events[EVENTS];

    for (;;) {
        int n = epoll_wait(c->epoll, events, EVENTS, -1);

        for (int i = 0; i < n; i++)
            if (events[i].data.ptr)
                on_event(events[i].data.ptr, events[i].events);
            else
                pair_open(c);
        reap(c);
    }
}

int main(int argc, char **argv)
{
    struct copy c = {.dead_count = 0};

    if (argc != 3)
        bench_die("usage: copy PORT UPSTREAM_PORT");
    signal(SIGPIPE, SIG_IGN);
    c.epoll = epoll_create1(EPOLL_CLOEXEC);
    c.upstream_port = (unsigned)bench_number(argv[2]);
    c.listener = bench_listen((unsigned)bench_number(argv[1]));
    bench_watch(c.epoll, c.listener, EPOLLIN, NULL, true);
    run(&c);
}
