/* The question is shared by the loop and the thread, each holding it once;
 * whoever lets go last frees it. An eventfd carries the answer: a post to the
 * loop could arrive after the loop is gone. */
#include "gateway/store/redis_resolve.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/bug.h"

struct redis_resolve {
    atomic_int holders;
    int fd;
    char *host;
    struct redis_addresses found;
};

static void let_go(struct redis_resolve *q)
{
    if (atomic_fetch_sub(&q->holders, 1) > 1)
        return;
    close(q->fd);
    free(q->host);
    free(q);
}

static void look_up(struct redis_resolve *q)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL, *i;
    struct redis_addresses *f = &q->found;

    if (getaddrinfo(q->host, NULL, &hints, &list) != 0)
        return;
    for (i = list; i && f->n < REDIS_ADDRESSES_MAX; i = i->ai_next)
        if (getnameinfo(i->ai_addr, i->ai_addrlen, f->v[f->n], sizeof(f->v[0]),
                        NULL, 0, NI_NUMERICHOST) == 0)
            f->n++;
    freeaddrinfo(list);
}

static void *run(void *arg)
{
    struct redis_resolve *q = arg;
    uint64_t one = 1;

    look_up(q);
    if (write(q->fd, &one, sizeof(one)) != sizeof(one))
        BUG("cannot write to an eventfd");
    let_go(q);
    return NULL;
}

/* Signals are the business of the other threads. */
static int start_thread(struct redis_resolve *q)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    int failure;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    failure = pthread_create(&thread, &attr, run, q);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

struct redis_resolve *redis_resolve_start(const char *host)
{
    struct redis_resolve *q = xcalloc(1, sizeof(*q));

    q->host = xstrdup(host);
    q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&q->holders, 2);
    if (q->fd >= 0 && start_thread(q) == 0)
        return q;
    if (q->fd >= 0)
        close(q->fd);
    free(q->host);
    free(q);
    return NULL;
}

int redis_resolve_fd(const struct redis_resolve *q)
{
    return q->fd;
}

void redis_resolve_take(struct redis_resolve *q, struct redis_addresses *out)
{
    uint64_t count;

    if (read(q->fd, &count, sizeof(count)) != sizeof(count))
        BUG("the host's addresses are not there yet");
    *out = q->found;
}

void redis_resolve_drop(struct redis_resolve *q)
{
    if (q)
        let_go(q);
}

bool redis_resolve_is_address(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, bytes) == 1 ||
           inet_pton(AF_INET6, host, bytes) == 1;
}
