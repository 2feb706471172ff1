/* test_str.c -- views, lists, globs, UTF-8 and checked numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "gateway/base/str.h"

static void assert_str(struct str got, const char *want)
{
    assert_non_null(got.p);
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.p, want, got.n);
}

static void equal_views_hold_the_same_bytes(void **state)
{
    (void)state;
    assert_true(str_eq(STR("abc"), str_make("abcd", 3)));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_true(str_eq(STR_NULL, STR("")));
    assert_true(str_eq_c(STR("x"), "x"));
    assert_false(str_eq_c(STR("x\0y"), "x"));
    assert_true(str_eq_nocase(STR("Content-TYPE"), STR("content-type")));
    assert_false(str_eq_nocase(STR("a"), STR("b")));
    assert_true(str_eq_nocase(STR_NULL, STR("")));
}

static void an_absent_view_is_not_an_empty_one(void **state)
{
    (void)state;
    assert_null(str_of(NULL).p);
    assert_non_null(str_of("").p);
    assert_int_equal(str_of(NULL).n, 0);
}

static void starts_and_ends_never_read_beyond(void **state)
{
    (void)state;
    assert_true(str_starts(STR("file-x"), STR("file-")));
    assert_false(str_starts(STR("file"), STR("file-")));
    assert_true(str_starts(STR("x"), STR("")));
    assert_true(str_starts(STR_NULL, STR("")));
    assert_true(str_ends(STR("a.jsonl"), STR(".jsonl")));
    assert_false(str_ends(STR("l"), STR(".jsonl")));
    assert_true(str_ends(STR_NULL, STR("")));
}

static void order_is_by_bytes_then_by_length(void **state)
{
    (void)state;
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("b"), STR("a")) > 0);
    assert_true(str_cmp(STR("a"), STR("ab")) < 0);
    assert_true(str_cmp(STR("ab"), STR("a")) > 0);
    assert_true(str_cmp(STR("\x7f"), STR("\x80")) < 0);
    assert_int_equal(str_cmp(STR_NULL, STR("")), 0);
}

static void trim_takes_spaces_and_tabs_off_both_ends(void **state)
{
    (void)state;
    assert_str(str_trim(STR(" \ta b\t ")), "a b");
    assert_str(str_trim(STR(" \t ")), "");
    assert_str(str_trim(STR("a\n")), "a\n");
    assert_null(str_trim(STR_NULL).p);
}

static void cut_splits_at_the_first_separator(void **state)
{
    struct str s = STR("a=b=c"), tail;

    (void)state;
    assert_true(str_cut(s, '=', &s, &tail));
    assert_str(s, "a");
    assert_str(tail, "b=c");
    assert_false(str_cut(STR("abc"), '=', &s, &tail));
    assert_str(s, "abc");
    assert_null(tail.p);
    assert_true(str_cut(STR("abc="), '=', &s, &tail));
    assert_str(tail, "");
    assert_false(str_cut(STR_NULL, '=', &s, &tail));
    assert_null(s.p);
}

static void next_walks_a_list_without_its_empty_items(void **state)
{
    struct str list = STR(" a ,, b,\t, c"), item;

    (void)state;
    assert_true(str_next(&list, ',', &item));
    assert_str(item, "a");
    assert_true(str_next(&list, ',', &item));
    assert_str(item, "b");
    assert_true(str_next(&list, ',', &item));
    assert_str(item, "c");
    assert_false(str_next(&list, ',', &item));
    assert_false(str_next(&list, ',', &item));
    list = STR(" , ");
    assert_false(str_next(&list, ',', &item));
    list = STR_NULL;
    assert_false(str_next(&list, ',', &item));
}

static void find_gives_the_first_place_or_minus_one(void **state)
{
    (void)state;
    assert_int_equal(str_find(STR("abcb"), 'b'), 1);
    assert_int_equal(str_find(STR("abc"), 'x'), -1);
    assert_int_equal(str_find(str_make("abc", 2), 'c'), -1);
    assert_int_equal(str_find(STR_NULL, 'x'), -1);
    assert_int_equal(str_find(STR("a\0b"), '\0'), 1);
}

static void utf8_is_what_rfc_3629_allows(void **state)
{
    static const struct str good[] = {
        STR(""),
        STR("ascii\x7f"),
        STR("a\0b"),
        STR("\xc2\x80"),
        STR("\xdf\xbf"),
        STR("\xe0\xa0\x80"),
        STR("\xed\x9f\xbf"),
        STR("\xee\x80\x80"),
        STR("\xef\xbf\xbf"),
        STR("\xf0\x90\x80\x80"),
        STR("\xf4\x8f\xbf\xbf"),
        STR("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z"),
    };
    static const struct str bad[] = {
        STR("\x80"),             /* a continuation alone */
        STR("\xc0\x80"),         /* overlong */
        STR("\xc1\xbf"),         /* overlong */
        STR("\xc2"),             /* cut */
        STR("\xc2x"),            /* no continuation */
        STR("\xe0\x9f\xbf"),     /* overlong */
        STR("\xed\xa0\x80"),     /* surrogate */
        STR("\xe2\x82"),         /* cut */
        STR("\xe2\x82x"),        /* no continuation */
        STR("\xf0\x8f\xbf\xbf"), /* overlong */
        STR("\xf4\x90\x80\x80"), /* above U+10FFFF */
        STR("\xf5\x80\x80\x80"), /* above U+10FFFF */
        STR("\xf0\x90\x80"),     /* cut */
        STR("\xff"),             /* never */
        STR("fine until\xfe"),
    };

    (void)state;
    for (size_t i = 0; i < COUNTOF(good); i++)
        if (!str_is_utf8(good[i]))
            fail_msg("good[%zu] was refused", i);
    for (size_t i = 0; i < COUNTOF(bad); i++)
        if (str_is_utf8(bad[i]))
            fail_msg("bad[%zu] was taken", i);
    assert_true(str_is_utf8(STR_NULL));
}

static void a_character_cut_by_the_view_is_not_utf8(void **state)
{
    static const char text[] = "\xf0\x9f\x98\x80";

    (void)state;
    for (size_t n = 1; n < 4; n++)
        assert_false(str_is_utf8(str_make(text, n)));
    assert_true(str_is_utf8(str_make(text, 4)));
}

static void globs_match_runs_and_single_bytes(void **state)
{
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"*", "", true},
        {"*", "anything", true},
        {"?", "", false},
        {"?", "a", true},
        {"?", "ab", false},
        {"abc", "abc", true},
        {"abc", "ab", false},
        {"ab", "abc", false},
        {"*.jsonl", "x.jsonl", true},
        {"*.jsonl", "x.json", false},
        {"a*b*c", "aXbYbZc", true},
        {"a*b*c", "aXbYbZ", false},
        {"*ab", "aaab", true},
        {"*aab", "aaaab", true},
        {"a**", "a", true},
        {"**", "", true},
        {"*?", "", false},
        {"*?", "x", true},
        {"?*?", "x", false},
        {"?*?", "xy", true},
        {"gpt-*", "gpt-4o", true},
        {"GPT-*", "gpt-4o", false},
        {"[a]", "a", false},
        {"[a]", "[a]", true},
        {"\\*", "*", false},
        {"\\*", "\\x", true},
    };

    (void)state;
    for (size_t i = 0; i < COUNTOF(cases); i++)
        if (str_glob(str_of(cases[i].pattern), str_of(cases[i].name)) !=
            cases[i].matches)
            fail_msg("'%s' on '%s'", cases[i].pattern, cases[i].name);
}

static void a_hostile_glob_ends_soon(void **state)
{
    char pattern[200], name[20000];

    (void)state;
    /* With a search for each star this would take longer than the sun. */
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = i % 2 ? 'a' : '*';
    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = 'b';
    assert_false(str_glob(str_make(pattern, sizeof(pattern)),
                          str_make(name, sizeof(name))));
}

static void unsigned_numbers_are_digits_in_range(void **state)
{
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "-1",
                                      "0x1",
                                      "a",
                                      "1a",
                                      "1.",
                                      "18446744073709551616",
                                      "99999999999999999999"};
    uint64_t v = 7;

    (void)state;
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        assert_false(str_to_u64(str_of(bad[i]), &v));
        assert_int_equal(v, 7);
    }
    assert_false(str_to_u64(STR_NULL, &v));
    assert_true(str_to_u64(STR("0"), &v));
    assert_int_equal(v, 0);
    assert_true(str_to_u64(STR("0010"), &v));
    assert_int_equal(v, 10);
    assert_true(str_to_u64(STR("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    assert_true(str_to_u64(str_make("123", 2), &v));
    assert_int_equal(v, 12);
}

static void signed_numbers_reach_both_ends(void **state)
{
    static const char *const bad[] = {
        "-", "--1", "- 1", "+1", "9223372036854775808", "-9223372036854775809"};
    int64_t v = 7;

    (void)state;
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        assert_false(str_to_i64(str_of(bad[i]), &v));
        assert_int_equal(v, 7);
    }
    assert_true(str_to_i64(STR("-42"), &v));
    assert_true(v == -42);
    assert_true(str_to_i64(STR("-0"), &v));
    assert_true(v == 0);
    assert_true(str_to_i64(STR("9223372036854775807"), &v));
    assert_true(v == INT64_MAX);
    assert_true(str_to_i64(STR("-9223372036854775808"), &v));
    assert_true(v == INT64_MIN);
}

static void sizes_have_units_of_1024(void **state)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {
        {"0", 0},
        {"17", 17},
        {"17B", 17},
        {"1KB", 1024},
        {"512MB", 512LL << 20},
        {"512mb", 512LL << 20},
        {" 512 MB ", 512LL << 20},
        {"1.5GB", 3LL << 29},
        {"0.5KB", 512},
        {"2TB", 2LL << 40},
        {"9223372036854775807", INT64_MAX},
    };
    static const char *const bad[] = {"",
                                      "MB",
                                      "-1",
                                      "1XB",
                                      "1KiB",
                                      "1.5.5MB",
                                      ".5MB",
                                      "1.",
                                      "1 2",
                                      "0x10",
                                      "1e3",
                                      "1.1234567KB",
                                      "1K B",
                                      "1MBs",
                                      "9223372036854775808",
                                      "9223372036854775807KB",
                                      "8388608TB"};
    int64_t v = 7;

    (void)state;
    for (size_t i = 0; i < COUNTOF(good); i++) {
        if (!str_to_size(str_of(good[i].text), &v) || v != good[i].bytes)
            fail_msg("'%s' gave %lld", good[i].text, (long long)v);
    }
    v = 7;
    for (size_t i = 0; i < COUNTOF(bad); i++)
        if (str_to_size(str_of(bad[i]), &v) || v != 7)
            fail_msg("'%s' was taken", bad[i]);
    assert_false(str_to_size(STR_NULL, &v));
}

static void durations_are_milliseconds(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {
        {"250ms", 250},    {"30s", 30000},      {"30", 30000},
        {"1.5s", 1500},    {"5m", 300000},      {"12h", 43200000},
        {"0.5h", 1800000}, {"30d", 2592000000}, {"0", 0},
        {"2M", 120000}, /* units in any case: a month is none of them */
    };
    static const char *const bad[] = {
        "", "s", "1w", "-1s", "1y", "1s30m", "1 s s", "9223372036854775807s"};
    int64_t v = 7;

    (void)state;
    for (size_t i = 0; i < COUNTOF(good); i++) {
        if (!str_to_duration(str_of(good[i].text), &v) || v != good[i].ms)
            fail_msg("'%s' gave %lld", good[i].text, (long long)v);
    }
    v = 7;
    for (size_t i = 0; i < COUNTOF(bad); i++)
        if (str_to_duration(str_of(bad[i]), &v) || v != 7)
            fail_msg("'%s' was taken", bad[i]);
    assert_false(str_to_duration(STR_NULL, &v));
}

static void numbers_are_written_as_printf_does(void **state)
{
    static const int64_t numbers[] = {0,  1,  9,         10,        99,
                                      -1, -9, 123456789, INT64_MAX, INT64_MIN};
    char room[STR_I64_BYTES], text[32];

    (void)state;
    for (size_t i = 0; i < COUNTOF(numbers); i++) {
        snprintf(text, sizeof(text), "%lld", (long long)numbers[i]);
        assert_true(str_eq_c(str_of_i64(numbers[i], room), text));
    }
}

static void a_front_ends_between_characters(void **state)
{
    struct str s = STR("a\xc3\xa4\xf0\x9f\x98\x80z");
    static const size_t ends[] = {0, 1, 1, 3, 3, 3, 3, 7, 8, 8};
    size_t max;

    (void)state;
    for (max = 0; max < COUNTOF(ends); max++) {
        assert_int_equal(str_front(s, max).n, ends[max]);
        assert_ptr_equal(str_front(s, max).p, s.p);
    }
    assert_null(str_front(STR_NULL, 5).p);
}

static void the_first_characters_are_whole(void **state)
{
    struct str s = STR("a\u00fc\u4f60\U0001f600b");
    static const size_t ends[] = {0, 1, 3, 6, 10, 11, 11};

    (void)state;
    for (size_t i = 0; i < COUNTOF(ends); i++)
        assert_int_equal(str_chars(s, i).n, ends[i]);
    assert_int_equal(str_chars(STR("\xff\xc3"), 2).n, 2);
    assert_int_equal(str_chars(STR_NULL, 7).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_printf_does),
        cmocka_unit_test(the_first_characters_are_whole),
        cmocka_unit_test(equal_views_hold_the_same_bytes),
        cmocka_unit_test(an_absent_view_is_not_an_empty_one),
        cmocka_unit_test(starts_and_ends_never_read_beyond),
        cmocka_unit_test(order_is_by_bytes_then_by_length),
        cmocka_unit_test(trim_takes_spaces_and_tabs_off_both_ends),
        cmocka_unit_test(cut_splits_at_the_first_separator),
        cmocka_unit_test(next_walks_a_list_without_its_empty_items),
        cmocka_unit_test(find_gives_the_first_place_or_minus_one),
        cmocka_unit_test(utf8_is_what_rfc_3629_allows),
        cmocka_unit_test(a_character_cut_by_the_view_is_not_utf8),
        cmocka_unit_test(a_front_ends_between_characters),
        cmocka_unit_test(globs_match_runs_and_single_bytes),
        cmocka_unit_test(a_hostile_glob_ends_soon),
        cmocka_unit_test(unsigned_numbers_are_digits_in_range),
        cmocka_unit_test(signed_numbers_reach_both_ends),
        cmocka_unit_test(sizes_have_units_of_1024),
        cmocka_unit_test(durations_are_milliseconds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
