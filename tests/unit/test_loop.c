/* test_loop.c -- turns, deferred tasks, reaping, lazy timers, posts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <event2/event.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/net/loop.h"

struct fixture {
    struct loop *l;
    struct loop_task tasks[64];
    char trace[256];
    size_t ntrace;
    int count;
    struct loop_timer timer, other, stop;
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->l = loop_new();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    loop_free(f->l);
    free(f);
    return 0;
}

static void note(struct fixture *f, char what)
{
    assert_true(f->ntrace < sizeof(f->trace) - 1);
    f->trace[f->ntrace++] = what;
}

static void stop(void *arg)
{
    struct fixture *f = arg;

    loop_stop(f->l);
}

static void note_a(void *arg)
{
    note(arg, 'a');
}

static void note_b(void *arg)
{
    note(arg, 'b');
}

static void defer_b_and_stop(void *arg)
{
    struct fixture *f = arg;

    note(f, 'd');
    loop_defer(f->l, &f->tasks[9], note_b, f);
    stop(f);
}

static void tasks_run_in_order_and_those_they_defer_in_the_same_turn(void **st)
{
    struct fixture *f = *st;

    loop_defer(f->l, &f->tasks[0], defer_b_and_stop, f);
    loop_defer(f->l, &f->tasks[1], note_a, f);
    loop_defer(f->l, &f->tasks[0], note_b, f); /* is queued: does nothing */
    loop_run(f->l);
    assert_string_equal(f->trace, "dab");
}

static void a_cancelled_task_does_not_run(void **st)
{
    struct fixture *f = *st;

    loop_defer(f->l, &f->tasks[0], note_b, f);
    loop_defer(f->l, &f->tasks[1], note_a, f);
    loop_defer(f->l, &f->tasks[2], note_b, f);
    loop_defer(f->l, &f->tasks[3], stop, f);
    loop_task_cancel(f->l, &f->tasks[0]);
    loop_task_cancel(f->l, &f->tasks[2]);
    loop_task_cancel(f->l, &f->tasks[2]);
    loop_run(f->l);
    assert_string_equal(f->trace, "a");
}

static void cancel_next(void *arg)
{
    struct fixture *f = arg;

    loop_task_cancel(f->l, &f->tasks[1]);
    loop_task_cancel(f->l, &f->tasks[2]);
    stop(f);
}

static void a_task_may_cancel_the_ones_behind_it(void **st)
{
    struct fixture *f = *st;

    loop_defer(f->l, &f->tasks[0], cancel_next, f);
    loop_defer(f->l, &f->tasks[1], note_b, f);
    loop_defer(f->l, &f->tasks[2], note_b, f);
    loop_run(f->l);
    assert_string_equal(f->trace, "");
}

/* Defers itself for ever. */
static void again(void *arg)
{
    struct fixture *f = arg;

    f->count++;
    loop_defer(f->l, &f->tasks[0], again, f);
}

static void on_socket(evutil_socket_t fd, short what UNUSED, void *arg)
{
    char c;

    assert_int_equal(read(fd, &c, 1), 1);
    stop(arg);
}

static void a_task_that_defers_itself_does_not_starve_the_sockets(void **st)
{
    struct fixture *f = *st;
    struct event *e;
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    e = event_new(loop_base(f->l), fds[0], EV_READ, on_socket, f);
    event_add(e, NULL);
    assert_int_equal(write(fds[1], "x", 1), 1);
    again(f);
    loop_run(f->l);
    assert_true(f->count > 1);
    loop_task_cancel(f->l, &f->tasks[0]);
    event_free(e);
    close(fds[0]);
    close(fds[1]);
}

/* --- reaping --- */

struct corpse {
    struct fixture *f;
    struct corpse *next;
};

static void bury(void *memory)
{
    struct corpse *c = memory;

    note(c->f, 'f');
    if (c->next)
        loop_reap(c->f->l, c->next, bury);
    free(c);
}

static void reap_and_use(void *arg)
{
    struct fixture *f = arg;
    struct corpse *c = xcalloc(1, sizeof(*c));

    c->f = f;
    c->next = xcalloc(1, sizeof(*c));
    c->next->f = f;
    loop_reap(f->l, c, bury);
    note(c->f, 'u'); /* it is still there */
    loop_defer(f->l, &f->tasks[1], note_a, f);
    stop(f);
}

static void reaped_memory_lives_until_the_end_of_the_turn(void **st)
{
    struct fixture *f = *st;

    loop_defer(f->l, &f->tasks[0], reap_and_use, f);
    loop_run(f->l);
    assert_string_equal(f->trace, "uaff");
}

static void freeing_the_loop_frees_what_was_reaped(void **st UNUSED)
{
    struct loop *l = loop_new();
    int i;

    for (i = 0; i < 1000; i++)
        loop_reap(l, xmalloc(16), free);
    loop_free(l); /* the leak checker is the assertion */
}

/* --- timers --- */

static void timers_fire_in_the_order_of_their_deadlines(void **st)
{
    struct fixture *f = *st;

    loop_timer_init(f->l, &f->timer, note_a, f);
    loop_timer_init(f->l, &f->other, note_b, f);
    loop_timer_init(f->l, &f->stop, stop, f);
    loop_timer_set(&f->stop, 60);
    loop_timer_set(&f->other, 30);
    loop_timer_set(&f->timer, 1);
    loop_run(f->l);
    assert_string_equal(f->trace, "ab");
    loop_timer_release(&f->timer);
    loop_timer_release(&f->other);
    loop_timer_release(&f->stop);
}

static void a_timer_moved_later_fires_once_and_not_before(void **st)
{
    struct fixture *f = *st;

    loop_timer_init(f->l, &f->timer, note_a, f);
    loop_timer_init(f->l, &f->other, note_b, f);
    loop_timer_init(f->l, &f->stop, stop, f);
    loop_timer_set(&f->timer, 5);
    loop_timer_set(&f->timer, 60);
    loop_timer_set(&f->other, 30);
    loop_timer_set(&f->stop, 90);
    loop_run(f->l);
    assert_string_equal(f->trace, "ba");
    loop_timer_release(&f->timer);
    loop_timer_release(&f->other);
    loop_timer_release(&f->stop);
}

static void a_timer_moved_earlier_fires_early(void **st)
{
    struct fixture *f = *st;

    loop_timer_init(f->l, &f->timer, stop, f);
    loop_timer_set(&f->timer, 3600 * 1000);
    loop_timer_set(&f->timer, 1);
    loop_run(f->l); /* ends before the test's time is up */
    loop_timer_release(&f->timer);
}

static void moving_a_timer_later_does_not_touch_the_event(void **st)
{
    struct fixture *f = *st;
    struct timeval before, after;

    loop_timer_init(f->l, &f->timer, stop, f);
    loop_timer_set(&f->timer, 1000);
    event_pending(f->timer.event, EV_TIMEOUT, &before);
    loop_timer_set(&f->timer, 100000);
    event_pending(f->timer.event, EV_TIMEOUT, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    loop_timer_cancel(&f->timer);
    assert_true(event_pending(f->timer.event, EV_TIMEOUT, NULL));
    loop_timer_release(&f->timer);
}

static void a_cancelled_timer_does_not_fire_and_can_be_set_again(void **st)
{
    struct fixture *f = *st;

    loop_timer_init(f->l, &f->timer, note_a, f);
    loop_timer_init(f->l, &f->stop, stop, f);
    loop_timer_set(&f->timer, 1);
    loop_timer_cancel(&f->timer);
    loop_timer_set(&f->stop, 20);
    loop_run(f->l);
    assert_string_equal(f->trace, "");
    loop_timer_set(&f->timer, 0);
    loop_timer_set(&f->stop, 20);
    loop_run(f->l);
    assert_string_equal(f->trace, "a");
    loop_timer_release(&f->timer);
    loop_timer_release(&f->stop);
}

static void releasing_an_unused_timer_is_allowed(void **st)
{
    struct fixture *f = *st;

    loop_timer_init(f->l, &f->timer, note_a, f);
    loop_timer_release(&f->timer);
    assert_null(f->timer.event);
}

static void keep_time(void *arg)
{
    struct fixture *f = arg;
    int64_t now = loop_now_ms(f->l), end = clock_mono_ms() + 5;

    while (clock_mono_ms() < end)
        ;
    f->count = loop_now_ms(f->l) == now;
    stop(f);
}

static void the_time_stands_still_within_a_turn(void **st)
{
    struct fixture *f = *st;
    int64_t before = loop_now_ms(f->l);

    loop_timer_init(f->l, &f->timer, keep_time, f);
    loop_timer_set(&f->timer, 2);
    loop_run(f->l);
    assert_true(f->count);
    assert_true(loop_now_ms(f->l) > before);
    loop_timer_release(&f->timer);
}

/* --- posts and signals --- */

#define POSTS 20000

static void count_post(void *arg)
{
    struct fixture *f = arg;

    if (++f->count == 2 * POSTS)
        loop_stop(f->l);
}

static void *post_many(void *arg)
{
    struct fixture *f = arg;
    int i;

    for (i = 0; i < POSTS; i++)
        loop_post(f->l, count_post, f);
    return NULL;
}

static void no_post_of_two_threads_is_lost(void **st)
{
    struct fixture *f = *st;
    pthread_t t[2];

    pthread_create(&t[0], NULL, post_many, f);
    pthread_create(&t[1], NULL, post_many, f);
    loop_run(f->l);
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    assert_int_equal(f->count, 2 * POSTS);
}

static void posts_run_in_the_order_they_were_made(void **st)
{
    struct fixture *f = *st;

    loop_post(f->l, note_a, f);
    loop_post(f->l, note_b, f);
    loop_post(f->l, note_a, f);
    loop_post(f->l, stop, f);
    loop_run(f->l);
    assert_string_equal(f->trace, "aba");
}

static void posts_left_when_the_loop_is_freed_are_dropped(void **st UNUSED)
{
    struct fixture f = {.l = loop_new()};

    loop_post(f.l, note_a, &f);
    loop_free(f.l);
    assert_int_equal(f.ntrace, 0);
}

static void got_signal(void *arg, int signo)
{
    struct fixture *f = arg;

    f->count = signo;
    loop_stop(f->l);
}

static void a_signal_is_reported_on_the_loop(void **st)
{
    struct fixture *f = *st;

    loop_on_signal(f->l, SIGUSR1, got_signal, f);
    loop_on_signal(f->l, SIGUSR2, got_signal, f);
    raise(SIGUSR2);
    loop_run(f->l);
    assert_int_equal(f->count, SIGUSR2);
    raise(SIGUSR1);
    loop_run(f->l);
    assert_int_equal(f->count, SIGUSR1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tasks_run_in_order_and_those_they_defer_in_the_same_turn),
        TEST(a_cancelled_task_does_not_run),
        TEST(a_task_may_cancel_the_ones_behind_it),
        TEST(a_task_that_defers_itself_does_not_starve_the_sockets),
        TEST(reaped_memory_lives_until_the_end_of_the_turn),
        TEST(freeing_the_loop_frees_what_was_reaped),
        TEST(timers_fire_in_the_order_of_their_deadlines),
        TEST(a_timer_moved_later_fires_once_and_not_before),
        TEST(a_timer_moved_earlier_fires_early),
        TEST(moving_a_timer_later_does_not_touch_the_event),
        TEST(a_cancelled_timer_does_not_fire_and_can_be_set_again),
        TEST(releasing_an_unused_timer_is_allowed),
        TEST(the_time_stands_still_within_a_turn),
        TEST(no_post_of_two_threads_is_lost),
        TEST(posts_run_in_the_order_they_were_made),
        TEST(posts_left_when_the_loop_is_freed_are_dropped),
        TEST(a_signal_is_reported_on_the_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
