/* loop.h -- one event loop per thread: timers, deferred calls, reaping, posts.
 *
 * A front of libevent's event_base (without locks). Everything on a loop runs
 * on its thread; loop_post() is the only call that other threads may make.
 * Callbacks never call back into their caller: what would, is deferred to the
 * end of the turn.
 */
#ifndef FILEMUX_NET_LOOP_H
#define FILEMUX_NET_LOOP_H

#include "gateway/base/base.h"

struct loop;
struct event_base;

struct loop *loop_new(void) MUSTCHECK;
/* All that lives on the loop must be gone. */
void loop_free(struct loop *l);
/* Run until loop_stop(). */
void loop_run(struct loop *l);
/* End loop_run() after this turn. Own thread; others post it. */
void loop_stop(struct loop *l);
/* For the files of net/ and store/ that bind a library to the loop. */
struct event_base *loop_base(struct loop *l);

/* Time of this turn in milliseconds (monotonic): read once per turn. */
int64_t loop_now_ms(const struct loop *l);

/* Call fn(arg) at the end of this turn, in order; calls made by such calls run
 * in the same end, bounded rounds. The task is the caller's memory (embedded)
 * and must live until it ran or was cancelled. Deferring a deferred task does
 * nothing. */
struct loop_task {
    struct loop_task *next, *prev;
    void (*fn)(void *arg);
    void *arg;
    bool is_queued;
};
void loop_defer(struct loop *l, struct loop_task *t, void (*fn)(void *arg),
                void *arg);
void loop_task_cancel(struct loop *l, struct loop_task *t);

/* Free memory after this turn: for what a callback may be standing on. */
void loop_reap(struct loop *l, void *memory, void (*free_fn)(void *memory));

/* A timer, embedded in its owner. The owner cancels it before it goes.
 * Setting a set timer moves it; moving later is a store, not a heap operation
 * (the timer fires early, sees that it was moved, and sets itself again). */
struct loop_timer {
    struct loop *loop;
    void *event; /* libevent's, made on first use */
    void (*fn)(void *arg);
    void *arg;
    int64_t due_ms;   /* on loop_now_ms()'s clock; 0: not set */
    int64_t armed_ms; /* what libevent is set to; 0: not */
};
void loop_timer_init(struct loop *l, struct loop_timer *t,
                     void (*fn)(void *arg), void *arg);
void loop_timer_set(struct loop_timer *t, int64_t in_ms);
void loop_timer_cancel(struct loop_timer *t);
/* Cancels and frees what it holds. */
void loop_timer_release(struct loop_timer *t);

/* From any thread: call fn(arg) on the loop's thread soon. Never fails;
 * wakes the loop by an eventfd. */
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);

/* Call fn(arg, signo) when the process gets the signal. One loop per signal,
 * the main thread's. */
void loop_on_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo),
                    void *arg);

#endif
