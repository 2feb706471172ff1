/* test_spool.c -- a stream that is held, in memory and in a file, and sent on
 * as often as wanted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/net/spool.h"
#include "tests/unit/pipe_ends.h"

#define PATIENCE_MS 60000
#define BIG (5 * (uint64_t)MIB + 4321)

struct fixture {
    struct loop *l;
    struct file_io *io;
    struct loop_timer guard;
    char dir[64];
    struct feed feed;
    struct spool *s;
    int ndone;
    struct gw_error error;
};

static void on_guard(void *arg)
{
    (void)arg;
    BUG("the test hangs");
}

static struct fixture *open_fixture(uint64_t n)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->l = loop_new();
    f->io = file_io_open(2);
    snprintf(f->dir, sizeof(f->dir), "/tmp/filemux-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    loop_timer_init(f->l, &f->guard, on_guard, f);
    f->feed.total = n;
    feed_open(&f->feed, f->l);
    return f;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static void run_a_turn(struct fixture *f)
{
    loop_post(f->l, stop, f->l);
    loop_run(f->l);
}

static void close_fixture(struct fixture *f)
{
    spool_free(f->s);
    if (f->feed.p)
        feed_close(&f->feed);
    run_a_turn(f);
    loop_timer_release(&f->guard);
    file_io_close(f->io);
    loop_free(f->l);
    assert_int_equal(rmdir(f->dir), 0); /* nothing was left in it */
    free(f);
}

static void on_done(void *arg, const struct gw_error *e)
{
    struct fixture *f = arg;

    f->ndone++;
    f->error = *e;
    loop_stop(f->l);
}

static void start(struct fixture *f, size_t memory, int64_t total)
{
    struct spool_limits limits = {memory, total, f->dir};

    f->s = spool_new(f->io, f->l, &limits, f->feed.p, on_done, f);
    assert_int_equal(f->ndone, 0); /* never from inside */
}

static void run(struct fixture *f)
{
    loop_timer_set(&f->guard, PATIENCE_MS);
    loop_run(f->l);
    loop_timer_cancel(&f->guard);
}

static void fill(struct fixture *f, size_t memory, int64_t total)
{
    start(f, memory, total);
    run(f);
    assert_int_equal(f->ndone, 1);
}

/* Send all of it to a slow reader, then free it. */
static void replay_slowly(struct fixture *f, uint64_t n, size_t per_tick)
{
    struct drain d = {.per_tick = per_tick, .tick_ms = 1};

    drain_open(&d, f->l);
    loop_timer_set(&f->guard, PATIENCE_MS);
    spool_replay(f->s, d.p);
    while (!d.has_ended)
        run_a_turn(f);
    loop_timer_cancel(&f->guard);
    assert_int_equal(pipe_outcome(d.p), PIPE_END);
    assert_int_equal(d.n, n);
    assert_true(d.hash == pattern_hash(n));
    spool_free(f->s); /* lets go of the pipe */
    f->s = NULL;
    drain_close(&d);
}

static void hold_and_send(uint64_t n, size_t memory, size_t piece)
{
    struct fixture *f = open_fixture(n);
    struct drain d[2] = {{0}, {0}};
    int i;

    f->feed.piece = piece;
    fill(f, memory, (int64_t)n);
    assert_int_equal(f->error.err, GW_OK);
    assert_int_equal(spool_size(f->s), n);
    loop_timer_set(&f->guard, PATIENCE_MS);
    for (i = 0; i < 2; i++) {
        drain_open(&d[i], f->l);
        spool_replay(f->s, d[i].p);
        while (!d[i].has_ended)
            run_a_turn(f);
        assert_int_equal(pipe_outcome(d[i].p), PIPE_END);
        assert_int_equal(d[i].n, n);
        assert_true(d[i].hash == pattern_hash(n));
    }
    loop_timer_cancel(&f->guard);
    spool_free(f->s);
    f->s = NULL;
    drain_close(&d[0]);
    drain_close(&d[1]);
    close_fixture(f);
}

static void what_was_held_is_sent_twice(void **state)
{
    static const uint64_t sizes[] = {0, 1, 1000, 65536, 300000, BIG};
    static const size_t memories[] = {0, 1000, 65536, 2 * MIB, 16 * MIB};
    size_t i, j;

    (void)state;
    for (i = 0; i < COUNTOF(sizes); i++)
        for (j = 0; j < COUNTOF(memories); j++)
            hold_and_send(sizes[i], memories[j], 0);
    hold_and_send(700000, 100000, 777);
}

static void nothing_touches_the_directory_while_memory_is_enough(void **state)
{
    struct fixture *f = open_fixture(100000);
    struct spool_limits limits = {200000, 300000, "/nowhere/at/all"};

    (void)state;
    f->s = spool_new(f->io, f->l, &limits, f->feed.p, on_done, f);
    run(f);
    assert_int_equal(f->error.err, GW_OK);
    replay_slowly(f, 100000, 5000);
    close_fixture(f);
}

static void the_file_has_no_name(void **state)
{
    struct fixture *f = open_fixture(BIG);
    struct dirent *e;
    int n = 0;
    DIR *d;

    (void)state;
    fill(f, 1000, BIG);
    d = opendir(f->dir);
    while ((e = readdir(d)))
        n++;
    closedir(d);
    assert_int_equal(n, 2); /* . and .. */
    close_fixture(f);
}

static void a_slow_reader_gets_it_too(void **state)
{
    struct fixture *f = open_fixture(BIG);

    (void)state;
    fill(f, 100000, BIG);
    replay_slowly(f, BIG, 50000);
    close_fixture(f);
}

static void more_than_the_bound_is_too_large(void **state)
{
    static const size_t memories[] = {0, 1000, 100000, 16 * MIB};
    struct fixture *f;
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(memories); i++) {
        f = open_fixture(300001);
        fill(f, memories[i], 300000);
        assert_int_equal(f->error.err, GW_FILE_TOO_LARGE);
        close_fixture(f);
    }
    f = open_fixture(100 * BIG);
    f->feed.never_ends = true;
    fill(f, 1000, BIG);
    assert_int_equal(f->error.err, GW_FILE_TOO_LARGE);
    assert_true(f->feed.at < 2 * BIG);
    close_fixture(f);
}

static void the_sources_error_is_passed_on(void **state)
{
    struct fixture *f;
    uint64_t n;

    (void)state;
    for (n = 0; n < 1000000; n += 333333) {
        f = open_fixture(n);
        f->feed.error.err = GW_INVALID_MULTIPART;
        fill(f, 100000, BIG);
        assert_int_equal(f->error.err, GW_INVALID_MULTIPART);
        close_fixture(f);
    }
}

static void a_missing_directory_is_told_when_it_is_needed(void **state)
{
    struct fixture *f = open_fixture(100000);
    struct spool_limits limits = {1000, 300000, "/nowhere/at/all"};

    (void)state;
    f->s = spool_new(f->io, f->l, &limits, f->feed.p, on_done, f);
    run(f);
    assert_int_equal(f->error.err, GW_INTERNAL);
    close_fixture(f);
}

static void a_new_replay_replaces_one_that_was_given_up(void **state)
{
    struct fixture *f = open_fixture(BIG);
    struct drain d[20] = {{0}};
    int i, turns;

    (void)state;
    fill(f, 100000, BIG);
    loop_timer_set(&f->guard, PATIENCE_MS);
    for (i = 0; i < 20; i++) {
        d[i].per_tick = i < 19 ? 40000 : 0;
        d[i].tick_ms = 0;
        drain_open(&d[i], f->l);
        spool_replay(f->s, d[i].p);
        for (turns = 0; turns < i; turns++)
            run_a_turn(f);
        if (i % 2 && i < 19)
            pipe_cancel(d[i].p);
        if (i % 3 == 0)
            run_a_turn(f);
    }
    while (!d[19].has_ended)
        run_a_turn(f);
    assert_int_equal(d[19].n, BIG);
    assert_true(d[19].hash == pattern_hash(BIG));
    loop_timer_cancel(&f->guard);
    spool_free(f->s);
    f->s = NULL;
    for (i = 0; i < 20; i++)
        drain_close(&d[i]);
    close_fixture(f);
}

static void it_may_be_freed_in_any_turn(void **state)
{
    struct fixture *f;
    struct drain d;
    int turns, i;

    (void)state;
    for (turns = 0; turns < 40; turns++) {
        f = open_fixture(BIG);
        f->feed.piece = 100000;
        start(f, 100000, BIG);
        for (i = 0; i < turns; i++)
            run_a_turn(f);
        close_fixture(f);
    }
    for (turns = 0; turns < 40; turns++) {
        f = open_fixture(BIG);
        fill(f, 100000, BIG);
        d = (struct drain){0};
        drain_open(&d, f->l);
        spool_replay(f->s, d.p);
        for (i = 0; i < turns; i++)
            run_a_turn(f);
        spool_free(f->s);
        f->s = NULL;
        drain_close(&d);
        close_fixture(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_held_is_sent_twice),
        cmocka_unit_test(nothing_touches_the_directory_while_memory_is_enough),
        cmocka_unit_test(the_file_has_no_name),
        cmocka_unit_test(a_slow_reader_gets_it_too),
        cmocka_unit_test(more_than_the_bound_is_too_large),
        cmocka_unit_test(the_sources_error_is_passed_on),
        cmocka_unit_test(a_missing_directory_is_told_when_it_is_needed),
        cmocka_unit_test(a_new_replay_replaces_one_that_was_given_up),
        cmocka_unit_test(it_may_be_freed_in_any_turn),
    };

    log_set_fd(open("/dev/null", O_WRONLY));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
