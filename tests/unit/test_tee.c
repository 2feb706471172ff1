/* test_tee.c -- one pipe into several: every byte to everybody, at the pace of
 * the slowest, whatever ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/log.h"
#include "gateway/net/tee.h"
#include "tests/unit/pipe_ends.h"

#define PATIENCE_MS 60000
#define READERS 3

struct fixture {
    struct loop *l;
    struct loop_timer guard;
    struct feed feed;
    struct tee *tee;
    struct drain drains[READERS];
    size_t nended, max_held;
    int64_t cancel_at; /* the first gives up there; -1: it does not */
};

static void on_guard(void *arg)
{
    (void)arg;
    BUG("the test hangs");
}

static void on_end(void *arg)
{
    struct fixture *f = arg;

    if (++f->nended == READERS)
        loop_stop(f->l);
}

static void on_bytes(void *arg)
{
    struct fixture *f = arg;
    size_t held = 0;

    for (size_t i = 0; i < READERS; i++)
        held += pipe_level(f->drains[i].p);
    f->max_held = MAX(f->max_held, held);
    if (f->cancel_at >= 0 && f->drains[0].n >= (uint64_t)f->cancel_at)
        pipe_cancel(f->drains[0].p);
}

static struct fixture *open_fixture(uint64_t total)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->l = loop_new();
    f->feed.total = total;
    f->cancel_at = -1;
    loop_timer_init(f->l, &f->guard, on_guard, f);
    loop_timer_set(&f->guard, PATIENCE_MS);
    return f;
}

/* The readers' pace is set before. */
static void run(struct fixture *f)
{
    feed_open(&f->feed, f->l);
    f->tee = tee_new(f->l, f->feed.p, READERS, NULL);
    for (size_t i = 0; i < READERS; i++) {
        struct drain *d = &f->drains[i];

        d->p = tee_pipe(f->tee, i);
        d->hash = HASH_START;
        d->on_end = on_end;
        d->on_bytes = on_bytes;
        d->arg = f;
        loop_timer_init(f->l, &d->timer, drain_read, d);
        pipe_set_reader(d->p, &drain_ops, d);
    }
    loop_run(f->l);
}

static void close_fixture(struct fixture *f)
{
    for (size_t i = 0; i < READERS; i++) {
        loop_timer_release(&f->drains[i].timer);
        pipe_set_reader(f->drains[i].p, NULL, NULL);
    }
    tee_free(f->tee);
    feed_close(&f->feed);
    loop_timer_release(&f->guard);
    loop_free(f->l);
    free(f);
}

static void all_have_all(struct fixture *f)
{
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(f->drains[i].n, f->feed.total);
        assert_true(f->drains[i].hash == pattern_hash(f->feed.total));
        assert_int_equal(pipe_outcome(f->drains[i].p), PIPE_END);
    }
}

static void every_reader_gets_every_byte(void **state)
{
    static const uint64_t sizes[] = {0, 1, 65535, 65536, 65537, 9000001};

    (void)state;
    for (size_t i = 0; i < COUNTOF(sizes); i++) {
        struct fixture *f = open_fixture(sizes[i]);

        run(f);
        all_have_all(f);
        close_fixture(f);
    }
}

static void however_the_bytes_come(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 40; piece++) {
        struct fixture *f = open_fixture(300);

        f->feed.piece = piece;
        f->feed.tick_ms = piece % 2;
        run(f);
        all_have_all(f);
        close_fixture(f);
    }
}

static void however_they_are_taken(void **state)
{
    (void)state;
    for (size_t taken = 1; taken < 40; taken++) {
        struct fixture *f = open_fixture(300);

        f->drains[0].per_tick = taken;
        f->drains[1].per_tick = 1 + 301 / taken;
        f->drains[0].tick_ms = f->drains[1].tick_ms = 0;
        run(f);
        all_have_all(f);
        close_fixture(f);
    }
}

static void the_slowest_sets_the_pace(void **state)
{
    struct fixture *f = open_fixture(8 * MIB);

    (void)state;
    f->drains[1].per_tick = 65536;
    f->drains[1].tick_ms = 1;
    run(f);
    all_have_all(f);
    /* Those that are quick hold nothing. */
    assert_true(f->max_held <= LIMIT_PIPE_HIGH + 65536);
    assert_true(f->max_held > LIMIT_PIPE_LOW);
    close_fixture(f);
}

static void a_source_that_fails_fails_all_at_once(void **state)
{
    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        struct fixture *f = open_fixture(slow ? 2 * MIB : 1000);

        err_set(&f->feed.error, GW_CLIENT_GONE, "gone");
        f->drains[2].per_tick = slow ? 4096 : 0;
        f->drains[2].tick_ms = slow;
        run(f);
        for (size_t i = 0; i < READERS; i++) {
            assert_int_equal(pipe_outcome(f->drains[i].p), PIPE_ERROR);
            assert_int_equal(pipe_error(f->drains[i].p)->err, GW_CLIENT_GONE);
        }
        close_fixture(f);
    }
}

static void on_quiet(void *arg)
{
    loop_stop(((struct fixture *)arg)->l);
}

/* Nobody is told anything any more: a while is waited for what does not come.
 */
static void a_reader_that_gives_up_stops_all(void **state)
{
    static const int64_t at[] = {1, 65536, 1000000};

    (void)state;
    for (size_t i = 0; i < COUNTOF(at); i++) {
        struct fixture *f = open_fixture(64 * MIB);
        struct loop_timer quiet;

        f->cancel_at = at[i];
        f->drains[0].per_tick = 65536;
        loop_timer_init(f->l, &quiet, on_quiet, f);
        loop_timer_set(&quiet, 100);
        run(f);
        assert_true(f->feed.was_cancelled);
        assert_int_equal(pipe_outcome(f->feed.p), PIPE_CANCELLED);
        assert_true(f->feed.at < f->feed.total);
        assert_int_equal(f->nended, 1); /* its own */
        for (size_t k = 1; k < READERS; k++)
            assert_int_equal(pipe_outcome(f->drains[k].p), PIPE_OPEN);
        loop_timer_release(&quiet);
        close_fixture(f);
    }
}

static void one_without_readers_holds_no_more_than_its_pipes(void **state)
{
    struct fixture *f = open_fixture(64 * MIB);
    struct loop_timer quiet;

    (void)state;
    loop_timer_init(f->l, &quiet, on_quiet, f);
    loop_timer_set(&quiet, 50);
    feed_open(&f->feed, f->l);
    f->tee = tee_new(f->l, f->feed.p, READERS, NULL);
    loop_run(f->l);
    assert_true(f->feed.at <= LIMIT_PIPE_HIGH + 65536);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pipe_level(tee_pipe(f->tee, i)), f->feed.at);
    tee_free(f->tee);
    feed_close(&f->feed);
    loop_timer_release(&quiet);
    loop_timer_release(&f->guard);
    loop_free(f->l);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reader_gets_every_byte),
        cmocka_unit_test(however_the_bytes_come),
        cmocka_unit_test(however_they_are_taken),
        cmocka_unit_test(the_slowest_sets_the_pace),
        cmocka_unit_test(a_source_that_fails_fails_all_at_once),
        cmocka_unit_test(a_reader_that_gives_up_stops_all),
        cmocka_unit_test(one_without_readers_holds_no_more_than_its_pipes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
