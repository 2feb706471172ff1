/* test_piece.c -- a stream in pieces: their sizes, which one is the last, and
 * failures at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/log.h"
#include "gateway/flow/piece.h"
#include "tests/unit/pipe_ends.h"

#define PATIENCE_MS 60000

struct fixture {
    struct loop *l;
    struct loop_timer guard;
    struct metrics *m;
    struct metric_series *held;
    struct feed feed;
    struct piece piece;
    size_t want;
    /* --- seen --- */
    uint64_t n;
    int npieces, nlast;
    size_t last_size, max_size;
    struct gw_error error;
    int nfailed;
};

static void on_guard(void *arg)
{
    (void)arg;
    BUG("the test hangs");
}

static void on_ready(void *arg, struct str bytes, bool is_last)
{
    struct fixture *f = arg;

    for (size_t i = 0; i < bytes.n; i++)
        assert_int_equal((unsigned char)bytes.p[i], pattern_byte(f->n + i));
    f->n += bytes.n;
    f->npieces++;
    f->last_size = bytes.n;
    f->max_size = MAX(f->max_size, bytes.n);
    if (!is_last) {
        assert_int_equal(bytes.n, f->want);
        piece_next(&f->piece, f->want);
        return;
    }
    f->nlast++;
    loop_stop(f->l);
}

static void on_failed(void *arg, const struct gw_error *e)
{
    struct fixture *f = arg;

    f->error = *e;
    f->nfailed++;
    loop_stop(f->l);
}

static const struct piece_ops ops = {.ready = on_ready, .failed = on_failed};

static struct fixture *open_fixture(uint64_t n, size_t want)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->l = loop_new();
    f->m = metrics_new();
    f->held = metrics_get(f->m, METRIC_PIPE_BYTES, NULL, NULL, NULL);
    f->want = want;
    f->feed.total = n;
    loop_timer_init(f->l, &f->guard, on_guard, f);
    loop_timer_set(&f->guard, PATIENCE_MS);
    feed_open(&f->feed, f->l);
    return f;
}

static void run(struct fixture *f)
{
    piece_open(&f->piece, f->l, f->feed.p, f->held, &ops, f);
    piece_next(&f->piece, f->want);
    loop_run(f->l);
}

static void expect_held(int n)
{
    struct buf text;
    char line[64];

    buf_init(&text, MIB);
    metrics_render(&text);
    snprintf(line, sizeof(line), "\nfilemux_pipe_bytes %d\n", n);
    assert_non_null(strstr(text.p, line));
    buf_release(&text);
}

static void close_fixture(struct fixture *f)
{
    piece_close(&f->piece);
    piece_close(&f->piece);
    expect_held(0);
    feed_close(&f->feed);
    loop_timer_release(&f->guard);
    loop_free(f->l);
    metrics_free(f->m);
    free(f);
}

static void cut(uint64_t n, size_t want, int npieces, size_t last)
{
    struct fixture *f = open_fixture(n, want);

    run(f);
    assert_int_equal(f->n, n);
    assert_int_equal(f->npieces, npieces);
    assert_int_equal(f->nlast, 1);
    assert_int_equal(f->last_size, last);
    close_fixture(f);
}

static void the_last_piece_is_known_as_such(void **state)
{
    (void)state;
    cut(0, 1000, 1, 0);
    cut(1, 1000, 1, 1);
    cut(999, 1000, 1, 999);
    cut(1000, 1000, 1, 1000);
    cut(1001, 1000, 2, 1);
    cut(2000, 1000, 2, 1000);
    cut(2001, 1000, 3, 1);
    cut(5, 1, 5, 1);
    cut(20 * MIB + 1, 8 * MIB, 3, 4 * MIB + 1);
    cut(24 * MIB, 8 * MIB, 3, 8 * MIB);
}

static void slow_sources_are_waited_for(void **state)
{
    struct fixture *f = open_fixture(3000, 1000);

    (void)state;
    f->feed.piece = 300;
    f->feed.tick_ms = 1;
    run(f);
    assert_int_equal(f->n, 3000);
    assert_int_equal(f->npieces, 3);
    close_fixture(f);
}

static void what_is_held_is_counted(void **state)
{
    struct fixture *f = open_fixture(5000, 10000);

    (void)state;
    run(f);
    expect_held(5000);
    close_fixture(f);
}

static void a_source_that_fails_says_so_once(void **state)
{
    struct fixture *f = open_fixture(2500, 1000);

    (void)state;
    err_plain(&f->feed.error, GW_INVALID_MULTIPART);
    run(f);
    assert_int_equal(f->error.err, GW_INVALID_MULTIPART);
    assert_int_equal(f->nfailed, 1);
    assert_int_equal(f->nlast, 0);
    close_fixture(f);
}

static void give_up(void *arg)
{
    struct fixture *f = arg;
    struct gw_error e = {0};

    err_plain(&e, GW_CLIENT_GONE);
    pipe_fail(f->feed.p, &e);
}

static void keep(void *arg, struct str bytes, bool is_last)
{
    struct fixture *f = arg;

    (void)is_last;
    f->n += bytes.n;
    loop_post(f->l, give_up, f);
}

/* While a piece is on its way nobody reads, and the failure is told. */
static void a_failure_between_pieces_is_told(void **state)
{
    static const struct piece_ops keeping = {keep, on_failed};
    struct fixture *f = open_fixture(2500, 1000);

    (void)state;
    piece_open(&f->piece, f->l, f->feed.p, f->held, &keeping, f);
    piece_next(&f->piece, f->want);
    loop_run(f->l);
    assert_int_equal(f->n, 1000);
    assert_int_equal(f->error.err, GW_CLIENT_GONE);
    assert_int_equal(f->nfailed, 1);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_piece_is_known_as_such),
        cmocka_unit_test(slow_sources_are_waited_for),
        cmocka_unit_test(what_is_held_is_counted),
        cmocka_unit_test(a_source_that_fails_says_so_once),
        cmocka_unit_test(a_failure_between_pieces_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
