#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/codec/byterange.h"

static void test_well_formed_ranges_are_read(void **st)
{
    static const struct {
        struct str text;
        int64_t first, last;
    } cases[] = {
        {STR("bytes=0-499"), 0, 499},
        {STR("bytes=500-"), 500, -1},
        {STR("bytes=-500"), -1, 500},
        {STR("bytes=0-0"), 0, 0},
        {STR("bytes=-0"), -1, 0},
        {STR(" Bytes= 7-9 "), 7, 9},
        {STR("bytes=0-99999999999999999999"), 0, INT64_MAX},
        {STR("bytes=99999999999999999999-"), INT64_MAX, -1},
        {STR("bytes=-18446744073709551616"), -1, INT64_MAX},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct byterange r;

        byterange_parse(cases[i].text, &r);
        if (!r.is_set || r.first != cases[i].first || r.last != cases[i].last)
            fail_msg("'%.*s' is %jd to %jd", STR_ARG(cases[i].text),
                     (intmax_t)r.first, (intmax_t)r.last);
    }
}

static void test_anything_else_is_ignored(void **st)
{
    static const struct str texts[] = {
        STR(""),
        STR("bytes"),
        STR("bytes="),
        STR("bytes=-"),
        STR("bytes=9-8"),
        STR("bytes=a-b"),
        STR("bytes=1"),
        STR("bytes 0-1"),
        STR("items=0-1"),
        STR("bytes=0-1,2-3"),
        STR("bytes=0-1,"),
        STR("bytes=+1-2"),
        STR("bytes=1-+2"),
        STR("bytes=0x1-2"),
        STR("bytes=1--2"),
        STR("bytes=--2"),
        STR("bytes=1 - 2"),
        STR("bytes=0-\0"),
        STR("0-1"),
        STR("bytes:0-1"),
    };
    struct byterange r;

    (void)st;
    byterange_parse(STR_NULL, &r);
    assert_false(r.is_set);
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        byterange_parse(texts[i], &r);
        if (r.is_set)
            fail_msg("'%.*s' is a range", STR_ARG(texts[i]));
    }
}

/* What a range of a file means, byte by byte: the number of bytes i in
 * [0, size) that it names. */
static void naive(const struct byterange *r, int64_t size, int64_t *offset,
                  int64_t *len)
{
    *offset = -1;
    *len = 0;
    for (int64_t i = 0; i < size; i++) {
        bool is_in = r->first < 0
                         ? i >= size - r->last
                         : i >= r->first && (r->last < 0 || i <= r->last);

        if (is_in && *offset < 0)
            *offset = i;
        *len += is_in;
    }
}

static void test_small_files_are_resolved_as_by_counting(void **st)
{
    (void)st;
    for (int64_t size = 0; size < 6; size++)
        for (int64_t first = -1; first < 8; first++)
            for (int64_t last = first < 0 ? 0 : -1; last < 8; last++) {
                struct byterange r = {true, first, last};
                int64_t want_at, want, at, len;
                struct gw_error e = {0};
                enum gw_err err;

                if (first >= 0 && last >= 0 && first > last)
                    continue;
                naive(&r, size, &want_at, &want);
                err = byterange_resolve(&r, size, &at, &len, &e);
                assert_int_equal(err, want ? GW_OK : GW_RANGE_NOT_SATISFIABLE);
                if (want && (at != want_at || len != want))
                    fail_msg("%jd-%jd of %jd", (intmax_t)first, (intmax_t)last,
                             (intmax_t)size);
            }
}

static void test_no_range_is_the_whole_file(void **st)
{
    struct byterange r = {.is_set = false};
    int64_t at, len;

    (void)st;
    assert_int_equal(byterange_resolve(&r, 10, &at, &len, NULL), GW_OK);
    assert_int_equal(at, 0);
    assert_int_equal(len, 10);
    assert_int_equal(byterange_resolve(&r, 0, &at, &len, NULL), GW_OK);
    assert_int_equal(len, 0);
}

static void test_the_largest_numbers_do_not_overflow(void **st)
{
    static const struct str texts[] = {
        STR("bytes=0-9223372036854775807"),
        STR("bytes=-9223372036854775807"),
        STR("bytes=0-"),
    };
    int64_t at, len;

    (void)st;
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        struct byterange r;

        byterange_parse(texts[i], &r);
        assert_int_equal(byterange_resolve(&r, INT64_MAX, &at, &len, NULL),
                         GW_OK);
        assert_int_equal(at, 0);
        assert_int_equal(len, INT64_MAX);
    }
}

static void test_content_ranges_are_read(void **st)
{
    int64_t first, last, size;

    (void)st;
    assert_true(
        byterange_parse_content(STR("bytes 0-9/100"), &first, &last, &size));
    assert_int_equal(first, 0);
    assert_int_equal(last, 9);
    assert_int_equal(size, 100);
    assert_true(
        byterange_parse_content(STR("BYTES 5-5/*"), &first, &last, &size));
    assert_int_equal(first, 5);
    assert_int_equal(size, -1);
}

static void test_malformed_content_ranges_are_refused(void **st)
{
    static const struct str texts[] = {
        STR(""),
        STR("bytes"),
        STR("bytes 0-9"),
        STR("bytes */100"),
        STR("bytes 9-0/100"),
        STR("bytes 0-100/100"),
        STR("bytes 0-9/"),
        STR("bytes 0-9/x"),
        STR("bytes=0-9/100"),
        STR("items 0-9/100"),
        STR("bytes 0-9/100/1"),
        STR("bytes -9/100"),
        STR("bytes 0-/100"),
        STR("bytes 0-9223372036854775807/*"),
        STR("bytes 0-9/9223372036854775808"),
        STR("bytes 0-9/99999999999999999999"),
    };
    int64_t first, last, size;

    (void)st;
    for (size_t i = 0; i < COUNTOF(texts); i++)
        if (byterange_parse_content(texts[i], &first, &last, &size))
            fail_msg("'%.*s' is a content range", STR_ARG(texts[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well_formed_ranges_are_read),
        cmocka_unit_test(test_anything_else_is_ignored),
        cmocka_unit_test(test_small_files_are_resolved_as_by_counting),
        cmocka_unit_test(test_no_range_is_the_whole_file),
        cmocka_unit_test(test_the_largest_numbers_do_not_overflow),
        cmocka_unit_test(test_content_ranges_are_read),
        cmocka_unit_test(test_malformed_content_ranges_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
