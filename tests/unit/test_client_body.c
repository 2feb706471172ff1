/* test_client_body.c -- segments joined, read again, and held to their word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/net/client_body.h"
#include "tests/unit/pipe_ends.h"

#define STREAM 20
static const char text[] = "0123456789abcdefghij"; /* the stream */
static const char whole[] = "<0123456789abcdefghij>";

struct fixture {
    struct loop *l;
    struct pipe *p;
    struct http_req req;
    struct client_body b;
    struct buf got;
};

/* A stream of `announced` bytes between two pieces of memory. */
static void open_body(struct fixture *f, int64_t announced)
{
    *f = (struct fixture){.l = loop_new()};
    f->p = pipe_new(f->l, 100, 1000, NULL);
    http_req_add_mem(&f->req, STR("<"));
    http_req_add_stream(&f->req, announced);
    http_req_add_mem(&f->req, STR(">"));
    http_req_add_mem(&f->req, STR(""));
    client_body_init(&f->b, &f->req, f->p);
    buf_init(&f->got, 1000);
}

static void close_body(struct fixture *f)
{
    client_body_release(&f->b);
    pipe_free(f->p);
    loop_free(f->l);
    buf_release(&f->got);
}

/* Read until it does not give any more, cap bytes at a time. */
static enum body_answer read_all(struct fixture *f, size_t cap)
{
    enum body_answer a;
    char buf[64];
    size_t n;

    while ((a = client_body_read(&f->b, buf, cap, &n)) == BODY_BYTES) {
        assert_in_range(n, 1, cap);
        buf_add(&f->got, buf, n);
    }
    assert_int_equal(n, 0);
    return a;
}

static void assert_got(struct fixture *f, const char *expected)
{
    assert_true(str_eq_c(buf_str(&f->got), expected));
}

static void segments_are_joined_however_they_are_read(void **state)
{
    struct fixture f;
    size_t cap, split;
    int is_sized;

    (void)state;
    for (is_sized = 0; is_sized < 2; is_sized++)
        for (cap = 1; cap < 30; cap++)
            for (split = 0; split <= STREAM; split++) {
                open_body(&f, is_sized ? STREAM : -1);
                pipe_write(f.p, text, split);
                assert_int_equal(read_all(&f, cap), BODY_WAIT);
                assert_false(client_body_is_over(&f.b));
                pipe_write(f.p, text + split, STREAM - split);
                assert_int_equal(read_all(&f, cap), BODY_WAIT);
                pipe_end(f.p);
                assert_int_equal(read_all(&f, cap), BODY_OVER);
                assert_got(&f, whole);
                assert_true(client_body_is_over(&f.b));
                assert_int_equal(f.b.from_source, STREAM);
                assert_int_equal(f.b.given, STREAM + 2);
                close_body(&f);
            }
}

static void a_short_body_is_given_again_from_any_point(void **state)
{
    struct fixture f;
    size_t at, n;
    char buf[64];

    (void)state;
    for (at = 1; at <= sizeof(whole) - 1; at++) {
        open_body(&f, STREAM);
        assert_true(client_body_is_replayable(&f.b));
        pipe_write(f.p, text, STREAM);
        pipe_end(f.p);
        assert_int_equal(client_body_read(&f.b, buf, at, &n), BODY_BYTES);
        assert_int_equal(n, at);
        assert_true(client_body_rewind(&f.b));
        assert_int_equal(f.b.given, 0);
        assert_int_equal(read_all(&f, 7), BODY_OVER);
        assert_got(&f, whole);
        assert_true(client_body_rewind(&f.b));
        buf_clear(&f.got);
        assert_int_equal(read_all(&f, 64), BODY_OVER);
        assert_got(&f, whole);
        close_body(&f);
    }
}

static void what_is_unread_is_given_again(void **state)
{
    struct fixture f;
    size_t n;
    char buf[64];

    (void)state;
    open_body(&f, STREAM);
    pipe_write(f.p, text, STREAM);
    pipe_end(f.p);
    assert_int_equal(client_body_read(&f.b, buf, 64, &n), BODY_BYTES);
    client_body_unread(&f.b, buf, n);
    assert_int_equal(f.b.given, 0);
    assert_false(client_body_is_over(&f.b));
    assert_int_equal(read_all(&f, 5), BODY_OVER);
    assert_got(&f, whole);
    close_body(&f);
}

static void a_long_body_is_not_kept(void **state)
{
    static const int64_t lengths[] = {LIMIT_RETRY_BODY + 1, -1};
    struct fixture f;
    char buf[64];
    size_t i, n;

    (void)state;
    for (i = 0; i < COUNTOF(lengths); i++) {
        open_body(&f, lengths[i]);
        assert_false(client_body_is_replayable(&f.b));
        assert_int_equal(client_body_read(&f.b, buf, 1, &n), BODY_BYTES);
        assert_true(client_body_rewind(&f.b)); /* nothing is lost yet */
        pipe_write(f.p, text, STREAM);
        assert_int_equal(client_body_read(&f.b, buf, 5, &n), BODY_BYTES);
        assert_false(client_body_rewind(&f.b));
        close_body(&f);
    }
}

static void the_last_byte_waits_for_a_good_end(void **state)
{
    struct fixture f;
    struct gw_error e = {.err = GW_INVALID_MULTIPART};

    (void)state;
    open_body(&f, STREAM);
    f.req.nsegs = 2; /* nothing follows the stream */
    f.b.length--;
    pipe_write(f.p, text, STREAM);
    assert_int_equal(read_all(&f, 64), BODY_WAIT);
    assert_got(&f, "<0123456789abcdefghi");
    assert_false(client_body_is_over(&f.b));
    pipe_end(f.p);
    assert_int_equal(read_all(&f, 64), BODY_OVER);
    assert_got(&f, "<0123456789abcdefghij");
    assert_true(client_body_is_over(&f.b));
    close_body(&f);

    open_body(&f, STREAM);
    pipe_write(f.p, text, STREAM);
    assert_int_equal(read_all(&f, 64), BODY_WAIT);
    pipe_fail(f.p, &e);
    assert_int_equal(read_all(&f, 64), BODY_FAILED);
    assert_int_equal(f.b.error.err, GW_INVALID_MULTIPART);
    assert_got(&f, "<0123456789abcdefghij"); /* but not ">" */
    close_body(&f);
}

static void a_stream_that_breaks_its_word_is_refused(void **state)
{
    struct fixture f;

    (void)state;
    open_body(&f, STREAM + 1);
    pipe_write(f.p, text, STREAM);
    pipe_end(f.p);
    assert_int_equal(read_all(&f, 64), BODY_FAILED);
    assert_int_equal(f.b.error.err, GW_INTERNAL);
    assert_string_equal(f.b.error.message,
                        "the upload is shorter than was announced");
    close_body(&f);

    open_body(&f, STREAM - 1);
    pipe_write(f.p, text, STREAM);
    pipe_end(f.p);
    assert_int_equal(read_all(&f, 64), BODY_FAILED);
    assert_int_equal(f.b.error.err, GW_INTERNAL);
    assert_string_equal(f.b.error.message,
                        "the upload is longer than was announced");
    close_body(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_joined_however_they_are_read),
        cmocka_unit_test(a_short_body_is_given_again_from_any_point),
        cmocka_unit_test(what_is_unread_is_given_again),
        cmocka_unit_test(a_long_body_is_not_kept),
        cmocka_unit_test(the_last_byte_waits_for_a_good_end),
        cmocka_unit_test(a_stream_that_breaks_its_word_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
