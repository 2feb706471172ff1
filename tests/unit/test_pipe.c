/* test_pipe.c -- the four outcomes, push and pull, holding and going on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/net/pipe.h"

#define LOW 100
#define HIGH 1000

struct fixture {
    struct loop *l;
    struct metrics *metrics;
    struct pipe *p;
    struct loop_task stop;

    /* What the halves were told. */
    int readable, resumed, cancelled, pushed, pulled;
    /* What they do. */
    size_t push_takes;
    struct buf got;         /* by push and by read_all */
    const char *pull_bytes; /* handed out by pull */
    void (*on_pull)(struct fixture *f);
    void (*on_readable)(struct fixture *f);
    void (*on_push)(struct fixture *f);
    void (*on_resume)(struct fixture *f);
};

static size_t pull(void *arg, char *buf, size_t cap)
{
    struct fixture *f = arg;
    size_t n = f->pull_bytes ? MIN(cap, strlen(f->pull_bytes)) : 0;

    f->pulled++;
    if (f->on_pull)
        f->on_pull(f);
    if (n)
        memcpy(buf, f->pull_bytes, n);
    f->pull_bytes = f->pull_bytes ? f->pull_bytes + n : NULL;
    return n;
}

static void resume(void *arg)
{
    struct fixture *f = arg;

    f->resumed++;
    if (f->on_resume)
        f->on_resume(f);
}

static void cancelled(void *arg)
{
    struct fixture *f = arg;

    f->cancelled++;
}

static size_t push(void *arg, const char *buf, size_t len)
{
    struct fixture *f = arg;
    size_t n = MIN(len, f->push_takes);

    f->pushed++;
    buf_add(&f->got, buf, n);
    if (f->on_push)
        f->on_push(f);
    return n;
}

static void readable(void *arg)
{
    struct fixture *f = arg;

    f->readable++;
    if (f->on_readable)
        f->on_readable(f);
}

static const struct pipe_writer_ops push_writer = {.resume = resume,
                                                   .cancelled = cancelled};
static const struct pipe_writer_ops pull_writer = {.pull = pull,
                                                   .cancelled = cancelled};
static const struct pipe_reader_ops reader = {.readable = readable};
static const struct pipe_reader_ops push_reader = {.readable = readable,
                                                   .push = push};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->l = loop_new();
    f->metrics = metrics_new();
    buf_init(&f->got, 1 << 20);
    f->p =
        pipe_new(f->l, LOW, HIGH,
                 metrics_get(f->metrics, METRIC_PIPE_BYTES, NULL, NULL, NULL));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    pipe_free(f->p);
    buf_release(&f->got);
    loop_free(f->l);
    metrics_free(f->metrics);
    free(f);
    return 0;
}

static void stop(void *arg)
{
    loop_stop(((struct fixture *)arg)->l);
}

static void turn(struct fixture *f)
{
    loop_defer(f->l, &f->stop, stop, f);
    loop_run(f->l);
}

static void read_some(struct fixture *f, size_t cap)
{
    char *to = buf_reserve(&f->got, cap);

    assert_non_null(to);
    buf_commit(&f->got, pipe_read(f->p, to, cap));
}

static void read_all(struct fixture *f)
{
    size_t before;

    do {
        before = f->got.n;
        read_some(f, 7);
    } while (f->got.n > before);
}

static void break_it(struct fixture *f)
{
    struct gw_error e = {0};

    err_set(&e, GW_UPSTREAM_BROKEN, "it broke");
    pipe_fail(f->p, &e);
}

/* --- bytes --- */

static void what_is_written_is_read_in_order(void **st)
{
    struct fixture *f = *st;

    pipe_set_writer(f->p, &push_writer, f);
    pipe_set_reader(f->p, &reader, f);
    assert_true(pipe_write(f->p, "hello ", 6));
    assert_true(pipe_write(f->p, "world", 5));
    assert_int_equal(f->readable, 1);
    assert_int_equal(pipe_level(f->p), 11);
    read_all(f);
    assert_string_equal(f->got.p, "hello world");
    assert_int_equal(pipe_total(f->p), 11);
    assert_int_equal(pipe_level(f->p), 0);
}

/* Sizes around the chunk size, read back in other sizes, against a pattern. */
static void no_byte_is_lost_in_any_mix_of_sizes(void **st)
{
    static const size_t writes[] = {1, 16383, 16384, 16385, 40000, 3, 100000};
    static const size_t reads[] = {1, 5000, 16384, 99, 70000};
    struct fixture *f = *st;
    size_t w, r = 0, put = 0, got = 0, i, n;
    char *buf = xmalloc(100000);
    int round;

    for (round = 0; round < 40; round++) {
        w = writes[round % COUNTOF(writes)];
        for (i = 0; i < w; i++)
            buf[i] = (char)((put + i) * 31 >> 3);
        put += w;
        pipe_write(f->p, buf, w);
        n = pipe_read(f->p, buf, reads[r++ % COUNTOF(reads)]);
        for (i = 0; i < n; i++, got++)
            assert_int_equal(buf[i], (char)(got * 31 >> 3));
        assert_int_equal(pipe_level(f->p), put - got);
    }
    pipe_end(f->p);
    while ((n = pipe_read(f->p, buf, 100000)) > 0) {
        for (i = 0; i < n; i++, got++)
            assert_int_equal(buf[i], (char)(got * 31 >> 3));
    }
    assert_int_equal(got, put);
    assert_true(pipe_is_drained(f->p));
    free(buf);
}

static void peek_shows_what_is_held_and_drain_drops_it(void **st)
{
    struct fixture *f = *st;
    struct iovec v[8];
    char *big = xcalloc(1, 20000);
    int n, i;
    size_t sum = 0;

    memset(big, 'x', 20000);
    pipe_write(f->p, "abc", 3);
    pipe_write(f->p, big, 20000);
    n = pipe_peek(f->p, v, 8);
    for (i = 0; i < n; i++)
        sum += v[i].iov_len;
    assert_int_equal(sum, 20003);
    assert_memory_equal(v[0].iov_base, "abc", 3);
    assert_int_equal(pipe_peek(f->p, v, 1), 1);
    pipe_drain(f->p, 20001);
    assert_int_equal(pipe_peek(f->p, v, 8), 1);
    assert_int_equal(v[0].iov_len, 2);
    pipe_drain(f->p, 2);
    assert_int_equal(pipe_peek(f->p, v, 8), 0);
    free(big);
}

static void the_gauge_counts_what_is_held(void **st)
{
    struct fixture *f = *st;
    struct buf text;

    pipe_write(f->p, "12345", 5);
    read_some(f, 2);
    buf_init(&text, 1 << 20);
    metrics_render(&text);
    assert_non_null(strstr(text.p, "filemux_pipe_bytes 3\n"));
    pipe_cancel(f->p);
    buf_clear(&text);
    metrics_render(&text);
    assert_non_null(strstr(text.p, "filemux_pipe_bytes 0\n"));
    buf_release(&text);
}

/* --- pushing --- */

static void
a_reader_that_pushes_on_gets_bytes_without_their_being_held(void **st)
{
    struct fixture *f = *st;

    f->push_takes = 100;
    pipe_set_reader(f->p, &push_reader, f);
    assert_true(pipe_write(f->p, "all of it", 9));
    assert_string_equal(f->got.p, "all of it");
    assert_int_equal(pipe_level(f->p), 0);
    assert_int_equal(pipe_total(f->p), 9);
    assert_int_equal(f->readable, 0);
}

static void what_push_leaves_is_held_and_comes_before_later_bytes(void **st)
{
    struct fixture *f = *st;

    f->push_takes = 3;
    pipe_set_reader(f->p, &push_reader, f);
    pipe_write(f->p, "abcdef", 6);
    assert_int_equal(f->readable, 1);
    pipe_write(f->p, "ghi", 3);
    assert_int_equal(f->pushed, 1); /* not while something is held */
    read_all(f);
    assert_string_equal(f->got.p, "abcdefghi");
    pipe_write(f->p, "j", 1);
    assert_int_equal(f->pushed, 2);
    assert_string_equal(f->got.p, "abcdefghij");
}

static void a_writer_is_held_above_high_and_goes_on_at_low(void **st)
{
    struct fixture *f = *st;
    char kb[HIGH] = {0};

    pipe_set_writer(f->p, &push_writer, f);
    pipe_set_reader(f->p, &reader, f);
    assert_true(pipe_write(f->p, kb, HIGH - 1));
    assert_false(pipe_write(f->p, kb, 1));
    read_some(f, HIGH - LOW - 1);
    turn(f);
    assert_int_equal(f->resumed, 0);
    read_some(f, 1);
    assert_int_equal(f->resumed, 0); /* never from inside the read */
    turn(f);
    assert_int_equal(f->resumed, 1);
    read_all(f);
    turn(f);
    assert_int_equal(f->resumed, 1);
}

static void write_again(struct fixture *f)
{
    char kb[HIGH] = {0};

    assert_false(pipe_write(f->p, kb, HIGH));
}

static void a_writer_may_write_from_inside_resume(void **st)
{
    struct fixture *f = *st;

    f->on_resume = write_again;
    pipe_set_writer(f->p, &push_writer, f);
    pipe_set_reader(f->p, &reader, f);
    write_again(f);
    read_all(f);
    turn(f);
    assert_int_equal(f->resumed, 1);
    assert_int_equal(pipe_level(f->p), HIGH);
    assert_int_equal(f->readable, 2);
}

static void
a_writer_whose_bytes_are_drained_inside_its_write_is_not_held(void **st)
{
    struct fixture *f = *st;
    char kb[HIGH] = {0};

    f->on_readable = read_all;
    pipe_set_writer(f->p, &push_writer, f);
    pipe_set_reader(f->p, &reader, f);
    assert_true(pipe_write(f->p, kb, HIGH));
    turn(f);
    assert_int_equal(f->resumed, 0);
}

/* --- pulling --- */

static void an_empty_pipe_pulls_into_the_readers_own_buffer(void **st)
{
    struct fixture *f = *st;

    f->pull_bytes = "pulled bytes";
    pipe_set_writer(f->p, &pull_writer, f);
    pipe_set_reader(f->p, &reader, f);
    read_some(f, 6);
    assert_string_equal(f->got.p, "pulled");
    assert_int_equal(pipe_level(f->p), 0);
    read_all(f);
    assert_string_equal(f->got.p, "pulled bytes");
    assert_int_equal(pipe_total(f->p), 12);
}

static void notify_tells_a_reader_that_has_seen_nothing_once(void **st)
{
    struct fixture *f = *st;

    pipe_set_writer(f->p, &pull_writer, f);
    pipe_set_reader(f->p, &reader, f);
    read_all(f);
    assert_int_equal(f->readable, 0);
    pipe_notify(f->p);
    pipe_notify(f->p);
    assert_int_equal(f->readable, 1);
    f->pull_bytes = "x";
    read_some(f, 10);
    pipe_notify(f->p); /* it has not seen nothing since */
    assert_int_equal(f->readable, 1);
    read_all(f);
    pipe_notify(f->p);
    assert_int_equal(f->readable, 2);
}

static void end_it(struct fixture *f)
{
    pipe_end(f->p);
}

static void a_writer_may_end_inside_pull(void **st)
{
    struct fixture *f = *st;

    f->on_pull = end_it;
    pipe_set_writer(f->p, &pull_writer, f);
    pipe_set_reader(f->p, &reader, f);
    read_some(f, 10);
    assert_int_equal(pipe_outcome(f->p), PIPE_END);
    assert_int_equal(f->readable, 0); /* not from inside the read */
    turn(f);
    assert_int_equal(f->readable, 0); /* nor later: it has seen the end */
}

static void write_it(struct fixture *f)
{
    f->on_pull = NULL;
    pipe_write(f->p, "written", 7);
}

static void a_writer_may_write_inside_pull(void **st)
{
    struct fixture *f = *st;

    f->on_pull = write_it;
    pipe_set_writer(f->p, &pull_writer, f);
    pipe_set_reader(f->p, &push_reader, f);
    read_all(f);
    assert_string_equal(f->got.p, "written");
    assert_int_equal(f->pushed, 0);
    assert_int_equal(f->readable, 0);
}

static void notify_it(struct fixture *f)
{
    f->on_pull = NULL;
    pipe_notify(f->p);
}

static void a_notify_inside_pull_is_told_after_it(void **st)
{
    struct fixture *f = *st;

    f->on_pull = notify_it;
    pipe_set_writer(f->p, &pull_writer, f);
    pipe_set_reader(f->p, &reader, f);
    read_some(f, 10);
    assert_int_equal(f->readable, 0);
    turn(f);
    assert_int_equal(f->readable, 1);
}

static void a_reader_that_looked_before_there_was_a_writer_is_told(void **st)
{
    struct fixture *f = *st;

    pipe_set_reader(f->p, &reader, f);
    read_all(f);
    pipe_set_writer(f->p, &pull_writer, f);
    assert_int_equal(f->readable, 0);
    turn(f);
    assert_int_equal(f->readable, 1);
}

static void a_reader_that_comes_late_is_told_of_what_is_there(void **st)
{
    struct fixture *f = *st;

    pipe_write(f->p, "x", 1);
    pipe_end(f->p);
    pipe_set_reader(f->p, &reader, f);
    assert_int_equal(f->readable, 0);
    turn(f);
    assert_int_equal(f->readable, 1);
}

/* --- outcomes --- */

static void the_end_comes_after_the_bytes_left(void **st)
{
    struct fixture *f = *st;

    pipe_set_reader(f->p, &reader, f);
    pipe_write(f->p, "left", 4);
    pipe_end(f->p);
    assert_int_equal(f->readable, 1);
    assert_false(pipe_is_drained(f->p));
    read_all(f);
    assert_string_equal(f->got.p, "left");
    assert_true(pipe_is_drained(f->p));
}

static void the_end_alone_is_told(void **st)
{
    struct fixture *f = *st;

    pipe_set_reader(f->p, &reader, f);
    pipe_end(f->p);
    assert_int_equal(f->readable, 1);
}

static void an_error_comes_at_once_and_drops_the_bytes_left(void **st)
{
    struct fixture *f = *st;

    pipe_set_reader(f->p, &reader, f);
    pipe_write(f->p, "left", 4);
    break_it(f);
    assert_int_equal(f->readable, 2); /* though it had not read yet */
    assert_int_equal(pipe_outcome(f->p), PIPE_ERROR);
    assert_int_equal(pipe_level(f->p), 0);
    assert_int_equal(pipe_error(f->p)->err, GW_UPSTREAM_BROKEN);
    assert_string_equal(pipe_error(f->p)->message, "it broke");
}

static void cancelling_tells_the_writer_once_and_drops_its_writes(void **st)
{
    struct fixture *f = *st;

    pipe_set_writer(f->p, &push_writer, f);
    pipe_set_reader(f->p, &reader, f);
    pipe_write(f->p, "x", 1);
    pipe_cancel(f->p);
    pipe_cancel(f->p);
    assert_int_equal(f->cancelled, 1);
    assert_int_equal(pipe_level(f->p), 0);
    assert_false(pipe_write(f->p, "y", 1));
    pipe_notify(f->p);
    turn(f);
    assert_int_equal(pipe_level(f->p), 0);
    assert_int_equal(f->readable, 1);
    assert_int_equal(f->cancelled, 1);
}

static void cancel_it(struct fixture *f)
{
    pipe_cancel(f->p);
}

static void a_writer_is_not_told_of_a_cancel_from_inside_its_write(void **st)
{
    struct fixture *f = *st;

    f->push_takes = 1;
    f->on_push = cancel_it;
    pipe_set_writer(f->p, &push_writer, f);
    pipe_set_reader(f->p, &push_reader, f);
    assert_false(pipe_write(f->p, "xyz", 3));
    assert_int_equal(f->cancelled, 0);
    assert_int_equal(pipe_level(f->p), 0);
    turn(f);
    assert_int_equal(f->cancelled, 1);
}

static void a_writer_that_comes_late_is_told_of_the_cancel(void **st)
{
    struct fixture *f = *st;

    pipe_cancel(f->p);
    pipe_set_writer(f->p, &push_writer, f);
    assert_int_equal(f->cancelled, 0);
    turn(f);
    assert_int_equal(f->cancelled, 1);
}

static void the_first_outcome_stays(void **st)
{
    struct fixture *f = *st;

    pipe_set_writer(f->p, &push_writer, f);
    pipe_end(f->p);
    break_it(f);
    pipe_cancel(f->p);
    assert_int_equal(pipe_outcome(f->p), PIPE_END);
    turn(f);
    assert_int_equal(f->cancelled, 0);
}

static void a_held_writer_is_not_resumed_after_the_end(void **st)
{
    struct fixture *f = *st;
    char kb[HIGH] = {0};

    pipe_set_writer(f->p, &push_writer, f);
    pipe_set_reader(f->p, &reader, f);
    assert_false(pipe_write(f->p, kb, HIGH));
    pipe_end(f->p);
    read_all(f);
    turn(f);
    assert_int_equal(f->resumed, 0);
}

static void halves_that_let_go_are_not_called(void **st)
{
    struct fixture *f = *st;
    char kb[HIGH] = {0};

    pipe_set_writer(f->p, &push_writer, f);
    pipe_set_reader(f->p, &reader, f);
    assert_false(pipe_write(f->p, kb, HIGH));
    read_all(f);
    pipe_set_writer(f->p, NULL, NULL);
    pipe_set_reader(f->p, NULL, NULL);
    pipe_cancel(f->p);
    turn(f);
    assert_int_equal(f->resumed, 0);
    assert_int_equal(f->cancelled, 0);
}

static void freeing_a_pipe_forgets_what_was_deferred(void **st)
{
    struct fixture *f = *st;

    pipe_set_writer(f->p, &pull_writer, f);
    pipe_set_reader(f->p, &reader, f);
    pipe_free(f->p);
    f->p = NULL;
    turn(f);
    assert_int_equal(f->readable, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read_in_order),
        TEST(no_byte_is_lost_in_any_mix_of_sizes),
        TEST(peek_shows_what_is_held_and_drain_drops_it),
        TEST(the_gauge_counts_what_is_held),
        TEST(a_reader_that_pushes_on_gets_bytes_without_their_being_held),
        TEST(what_push_leaves_is_held_and_comes_before_later_bytes),
        TEST(a_writer_is_held_above_high_and_goes_on_at_low),
        TEST(a_writer_may_write_from_inside_resume),
        TEST(a_writer_whose_bytes_are_drained_inside_its_write_is_not_held),
        TEST(an_empty_pipe_pulls_into_the_readers_own_buffer),
        TEST(notify_tells_a_reader_that_has_seen_nothing_once),
        TEST(a_writer_may_end_inside_pull),
        TEST(a_writer_may_write_inside_pull),
        TEST(a_notify_inside_pull_is_told_after_it),
        TEST(a_reader_that_looked_before_there_was_a_writer_is_told),
        TEST(a_reader_that_comes_late_is_told_of_what_is_there),
        TEST(the_end_comes_after_the_bytes_left),
        TEST(the_end_alone_is_told),
        TEST(an_error_comes_at_once_and_drops_the_bytes_left),
        TEST(cancelling_tells_the_writer_once_and_drops_its_writes),
        TEST(a_writer_is_not_told_of_a_cancel_from_inside_its_write),
        TEST(a_writer_that_comes_late_is_told_of_the_cancel),
        TEST(the_first_outcome_stays),
        TEST(a_held_writer_is_not_resumed_after_the_end),
        TEST(halves_that_let_go_are_not_called),
        TEST(freeing_a_pipe_forgets_what_was_deferred),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
