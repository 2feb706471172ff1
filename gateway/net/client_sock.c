#include "gateway/net/client_sock.h"

#include <stdlib.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "gateway/base/bug.h"

struct client_sock {
    struct http_client *client;
    struct client_call *call; /* NULL: curl's own */
    int fd;
    struct event read, write;
    int wanted, ready;
    struct loop_task task;
};

static void act(void *arg)
{
    struct client_sock *s = arg;
    int ready = s->ready;

    s->ready = 0;
    if (s->call)
        http_client_drive(s->call, s->fd, ready);
    else
        http_client_act(s->client, s->fd, ready);
}

/* libevent reports the two directions one after the other, the wrong one
 * first: curl must read before it sends, so that an early answer is seen before
 * a send fails. */
static void on_ready(evutil_socket_t fd UNUSED, short what, void *arg)
{
    struct client_sock *s = arg;

    s->ready |=
        (what & EV_READ ? CLIENT_IN : 0) | (what & EV_WRITE ? CLIENT_OUT : 0);
    loop_defer(s->client->loop, &s->task, act, s);
}

static void watch(struct event *e, bool was_wanted, bool is_wanted)
{
    if (is_wanted && !was_wanted && event_add(e, NULL) < 0)
        BUG("cannot watch a socket");
    if (was_wanted && !is_wanted)
        event_del(e);
}

void client_sock_want(struct client_sock *s, int wanted)
{
    if (s->call)
        s->call->fd = s->fd;
    watch(&s->read, s->wanted & CLIENT_IN, wanted & CLIENT_IN);
    watch(&s->write, s->wanted & CLIENT_OUT, wanted & CLIENT_OUT);
    s->wanted = wanted;
}

struct client_sock *client_sock_new(struct http_client *c,
                                    struct client_call *k, int fd)
{
    struct event_base *base = loop_base(c->loop);
    struct client_sock *s = xcalloc(1, sizeof(*s));

    s->client = c;
    s->call = k;
    s->fd = fd;
    event_assign(&s->read, base, fd, EV_READ | EV_PERSIST, on_ready, s);
    event_assign(&s->write, base, fd, EV_WRITE | EV_PERSIST, on_ready, s);
    return s;
}

void client_sock_free(struct client_sock *s)
{
    if (!s)
        return;
    watch(&s->read, s->wanted & CLIENT_IN, false);
    watch(&s->write, s->wanted & CLIENT_OUT, false);
    loop_task_cancel(s->client->loop, &s->task);
    if (s->call && s->call->fd == s->fd) {
        s->client->closing = s->call;
        s->call->fd = -1;
    }
    free(s);
}
