/* The loop runs in turns:
 *
 *     event_base_loop(EVLOOP_ONCE)   sockets, timers, signals, posts
 *     deferred tasks                 in order, at most TASK_ROUNDS rounds
 *     the reap list                  memory that callbacks were standing on
 *
 * The clock is read when it is first asked for in a turn, that is, after the
 * wait and before the first callback that cares. Posts from other threads go
 * through a queue under a mutex; an eventfd wakes the loop, and only the post
 * that finds the queue empty writes to it.
 */
#include "gateway/net/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"

/* Tasks that defer tasks get so many rounds in one turn; what is left then
 * runs after the next look at the sockets, so that it cannot starve them. */
#define TASK_ROUNDS 6

struct post {
    struct post *next;
    void (*fn)(void *arg);
    void *arg;
};

struct reaped {
    void *memory;
    void (*free_fn)(void *memory);
};

struct signal_watch {
    struct signal_watch *next;
    struct event *event;
    void (*fn)(void *arg, int signo);
    void *arg;
};

struct loop {
    struct event_base *base;
    bool is_running, is_stopping;
    int64_t now_ms;    /* of this turn; 0: not read yet */
    struct loop *self; /* through which a const loop writes now_ms */

    struct loop_task *first, *last;

    struct reaped *reaped; /* grows, never shrinks */
    size_t nreaped, reaped_cap;

    int wake_fd;
    struct event *wake;
    pthread_mutex_t lock; /* guards the two below */
    struct post *posts, **posts_tail;

    struct signal_watch *signals;
};

/* --- tasks --- */

void loop_defer(struct loop *l, struct loop_task *t, void (*fn)(void *arg),
                void *arg)
{
    if (t->is_queued)
        return;
    *t = (struct loop_task){
        .prev = l->last, .fn = fn, .arg = arg, .is_queued = true};
    if (l->last)
        l->last->next = t;
    else
        l->first = t;
    l->last = t;
}

void loop_task_cancel(struct loop *l, struct loop_task *t)
{
    if (!t->is_queued)
        return;
    if (t->prev)
        t->prev->next = t->next;
    else
        l->first = t->next;
    if (t->next)
        t->next->prev = t->prev;
    else
        l->last = t->prev;
    t->next = t->prev = NULL;
    t->is_queued = false;
}

/* Runs what is queued now; the marker task at its end tells a round from what
 * the round itself queued. */
static void run_round(struct loop *l)
{
    struct loop_task marker = {0}, *t;

    loop_defer(l, &marker, NULL, NULL);
    while ((t = l->first) != &marker) {
        loop_task_cancel(l, t);
        t->fn(t->arg); /* t may be gone after this */
    }
    loop_task_cancel(l, &marker);
}

/* --- memory --- */

void loop_reap(struct loop *l, void *memory, void (*free_fn)(void *memory))
{
    if (l->nreaped == l->reaped_cap) {
        l->reaped_cap = MAX(l->reaped_cap * 2, (size_t)64);
        l->reaped = xrealloc(l->reaped, l->reaped_cap * sizeof(*l->reaped));
    }
    l->reaped[l->nreaped++] = (struct reaped){memory, free_fn};
}

static void run_reap(struct loop *l)
{
    struct reaped r;
    size_t i;

    /* A free function may reap more: the array can move and grow. */
    for (i = 0; i < l->nreaped; i++) {
        r = l->reaped[i];
        r.free_fn(r.memory);
    }
    l->nreaped = 0;
}

static void end_of_turn(struct loop *l)
{
    int round;

    for (round = 0; l->first && round < TASK_ROUNDS; round++)
        run_round(l);
    run_reap(l);
}

/* --- posts --- */

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
    struct post *p = xmalloc(sizeof(*p));
    uint64_t one = 1;
    bool was_empty;

    *p = (struct post){NULL, fn, arg};
    pthread_mutex_lock(&l->lock);
    was_empty = !l->posts;
    *l->posts_tail = p;
    l->posts_tail = &p->next;
    /* Written under the lock: after it the loop may run the post, stop, and be
     * freed by its thread. EAGAIN would mean that it is awake anyway. */
    if (was_empty && write(l->wake_fd, &one, sizeof(one)) < 0)
        ASSERT(errno == EAGAIN);
    pthread_mutex_unlock(&l->lock);
}

static struct post *take_posts(struct loop *l)
{
    struct post *all;

    pthread_mutex_lock(&l->lock);
    all = l->posts;
    l->posts = NULL;
    l->posts_tail = &l->posts;
    pthread_mutex_unlock(&l->lock);
    return all;
}

static void on_wake(evutil_socket_t fd, short what UNUSED, void *arg)
{
    struct loop *l = arg;
    struct post *p, *next;
    uint64_t count;

    /* Before the queue is taken, else a wake-up could be lost. */
    if (read(fd, &count, sizeof(count)) < 0)
        ASSERT(errno == EAGAIN);
    for (p = take_posts(l); p; p = next) {
        next = p->next;
        p->fn(p->arg);
        free(p);
    }
}

/* --- timers --- */

static void timer_arm(struct loop_timer *t, int64_t in_ms)
{
    struct timeval tv = {.tv_sec = in_ms / 1000,
                         .tv_usec = in_ms % 1000 * 1000};

    t->armed_ms = loop_now_ms(t->loop) + in_ms;
    if (event_add(t->event, &tv) < 0)
        BUG("cannot set a timer");
}

static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
    struct loop_timer *t = arg;
    int64_t left;

    t->armed_ms = 0;
    if (!t->due_ms)
        return;
    left = t->due_ms - loop_now_ms(t->loop);
    if (left > 0) {
        timer_arm(t, left);
        return;
    }
    t->due_ms = 0;
    t->fn(t->arg); /* t may be gone after this */
}

void loop_timer_init(struct loop *l, struct loop_timer *t,
                     void (*fn)(void *arg), void *arg)
{
    *t = (struct loop_timer){.loop = l, .fn = fn, .arg = arg};
}

void loop_timer_set(struct loop_timer *t, int64_t in_ms)
{
    in_ms = MAX(in_ms, 0);
    t->due_ms = loop_now_ms(t->loop) + in_ms;
    if (t->armed_ms && t->armed_ms <= t->due_ms)
        return;
    if (!t->event)
        t->event = event_new(t->loop->base, -1, 0, on_timer, t);
    if (!t->event)
        BUG("out of memory");
    timer_arm(t, in_ms);
}

void loop_timer_cancel(struct loop_timer *t)
{
    t->due_ms = 0; /* libevent may still fire once, for nothing */
}

void loop_timer_release(struct loop_timer *t)
{
    if (t->event)
        event_free(t->event);
    t->event = NULL;
    t->due_ms = t->armed_ms = 0;
}

/* --- signals --- */

static void on_signal(evutil_socket_t signo, short what UNUSED, void *arg)
{
    struct signal_watch *w = arg;

    w->fn(w->arg, (int)signo);
}

void loop_on_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo),
                    void *arg)
{
    struct signal_watch *w = xmalloc(sizeof(*w));

    *w = (struct signal_watch){l->signals, NULL, fn, arg};
    w->event = evsignal_new(l->base, signo, on_signal, w);
    if (!w->event || event_add(w->event, NULL) < 0)
        BUG("cannot watch signal %d", signo);
    l->signals = w;
}

/* --- the loop --- */

static struct event_base *new_base(void)
{
    struct event_config *c = event_config_new();
    struct event_base *base;

    if (!c || event_config_set_flag(c, EVENT_BASE_FLAG_NOLOCK) < 0)
        BUG("cannot configure libevent");
    base = event_base_new_with_config(c);
    event_config_free(c);
    if (!base)
        BUG("cannot make an event base");
    return base;
}

struct loop *loop_new(void)
{
    struct loop *l = xcalloc(1, sizeof(*l));

    l->self = l;
    l->base = new_base();
    l->posts_tail = &l->posts;
    pthread_mutex_init(&l->lock, NULL);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0)
        BUG("cannot make an eventfd: errno %d", errno);
    l->wake = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
    if (!l->wake || event_add(l->wake, NULL) < 0)
        BUG("cannot watch an eventfd");
    return l;
}

static void free_signals(struct loop *l)
{
    struct signal_watch *w;

    while ((w = l->signals)) {
        l->signals = w->next;
        event_free(w->event);
        free(w);
    }
}

void loop_free(struct loop *l)
{
    struct post *p, *next;

    if (!l)
        return;
    /* What the owners of things deferred while they closed them. */
    while (l->first || l->nreaped)
        end_of_turn(l);
    for (p = take_posts(l); p; p = next) {
        next = p->next;
        free(p);
    }
    free_signals(l);
    event_free(l->wake);
    close(l->wake_fd);
    pthread_mutex_destroy(&l->lock);
    event_base_free(l->base);
    free(l->reaped);
    free(l);
}

void loop_run(struct loop *l)
{
    int flags;

    l->is_running = true;
    while (!l->is_stopping) {
        flags = EVLOOP_ONCE | (l->first || l->nreaped ? EVLOOP_NONBLOCK : 0);
        l->now_ms = 0;
        if (event_base_loop(l->base, flags) < 0)
            BUG("the event loop failed: errno %d", errno);
        end_of_turn(l);
    }
    l->is_running = l->is_stopping = false;
}

void loop_stop(struct loop *l)
{
    l->is_stopping = true;
}

struct event_base *loop_base(struct loop *l)
{
    return l->base;
}

int64_t loop_now_ms(const struct loop *l)
{
    if (!l->is_running || !l->now_ms)
        l->self->now_ms = clock_mono_ms();
    return l->now_ms;
}
