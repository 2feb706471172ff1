#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/codec/json.h"

static struct arena *arena;
static struct gw_error error;

static int setup(void **st)
{
    (void)st;
    arena = arena_new();
    return 0;
}

static int teardown(void **st)
{
    (void)st;
    arena_free(arena);
    return 0;
}

static struct json *parse(struct str text)
{
    /* Exactly so large, for the sanitizer to see a byte read too many. */
    char *copy = malloc(text.n);
    struct json *v;

    if (text.n)
        memcpy(copy, text.p, text.n);
    err_clear(&error);
    v = json_parse(arena, str_make(copy, text.n), &error);
    free(copy);
    assert_int_equal(error.err, v ? GW_OK : GW_INVALID_JSON);
    return v;
}

static void assert_str(struct str got, struct str want)
{
    if (!str_eq(got, want))
        fail_msg("'%.*s' is not '%.*s'", STR_ARG(got), STR_ARG(want));
}

static void assert_dumped(const struct json *v, struct str want)
{
    struct buf b;

    buf_init(&b, MIB);
    json_dump(&b, v);
    assert_false(b.overflow);
    assert_str(buf_str(&b), want);
    buf_release(&b);
}

/* --- parsing --- */

static void test_any_kind_of_value_may_stand_alone(void **st)
{
    static const struct str texts[] = {
        STR("{}"),     STR("[]"),   STR("\"\""), STR("0"),
        STR("-1.5e3"), STR("true"), STR("null"), STR(" [1] \n"),
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(texts); i++)
        assert_non_null(parse(texts[i]));
}

static void test_what_is_not_one_value_is_refused(void **st)
{
    static const struct str texts[] = {
        STR(""),
        STR(" "),
        STR("{"),
        STR("}"),
        STR("[1"),
        STR("[1,]"),
        STR("{\"a\"}"),
        STR("{\"a\":}"),
        STR("{a:1}"),
        STR("{'a':1}"),
        STR("[1] 2"),
        STR("{}{}"),
        STR("[1]]"),
        STR("\"a"),
        STR("\"\\"),
        STR("\"\\x\""),
        STR("\"\\ud800\""),
        STR("\"\xff\""),
        STR("\"\n\""),
        STR("01"),
        STR("+1"),
        STR("NaN"),
        STR("1e999"),
        STR("99999999999999999999"),
        STR("[1]\0"),
        STR("\"a\0b\""),
        STR("\"a\\u0000b\""),
        STR("{\"a\\u0000\":1}"),
        STR("// a\n1"),
        STR("{\"a\":1,\"a\":2}"),
        STR("{\"a\":1,\"\\u0061\":2}"),
        STR("\xef\xbb\xbf{}"),
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(texts); i++)
        if (parse(texts[i]))
            fail_msg("'%.*s' is parsed", STR_ARG(texts[i]));
    assert_null(parse(STR_NULL));
}

static void test_an_error_names_the_place_and_quotes_nothing(void **st)
{
    (void)st;
    assert_null(parse(STR("{\"a\": 1,\n \"b\": hunter2}")));
    assert_string_equal(
        error.message,
        "cannot parse the JSON at line 2, column 12: invalid syntax");
    assert_null(strstr(error.message, "hunter2"));
    assert_null(parse(STR("{\"hunter2\": 1, \"hunter2\": 2}")));
    assert_non_null(strstr(error.message, "a member occurs twice"));
    assert_null(strstr(error.message, "hunter2"));
}

/* depth times the brace, and its closers. */
static struct json *parse_nested(size_t depth, const char *open, char close)
{
    static char text[16 * KIB];
    size_t n = 0, k = strlen(open);

    for (size_t i = 0; i < depth; i++, n += k)
        memcpy(text + n, open, k);
    text[n++] = '0';
    for (size_t i = 0; i < depth; i++)
        text[n++] = close;
    return parse(str_make(text, n));
}

static void test_the_depth_is_bounded(void **st)
{
    (void)st;
    assert_non_null(parse_nested(LIMIT_JSON_DEPTH, "[", ']'));
    assert_null(parse_nested(LIMIT_JSON_DEPTH + 1, "[", ']'));
    assert_non_null(parse_nested(LIMIT_JSON_DEPTH, "{\"a\":", '}'));
    assert_null(parse_nested(LIMIT_JSON_DEPTH + 1, "{\"a\":", '}'));
    assert_null(parse_nested(2000, "[", ']'));
}

static void test_brackets_in_strings_are_no_depth(void **st)
{
    struct buf b;

    (void)st;
    buf_init(&b, MIB);
    buf_add_c(&b, "[\"\\\\\",\"\\\"");
    for (int i = 0; i < 1000; i++)
        buf_add_c(&b, "[{,\\\"");
    buf_add_c(&b, "\"]");
    assert_non_null(parse(buf_str(&b)));
    buf_release(&b);
}

static void test_brackets_that_close_early_do_not_hide_depth(void **st)
{
    struct buf b;

    (void)st;
    buf_init(&b, MIB);
    for (int i = 0; i < 1000; i++)
        buf_add_c(&b, "]");
    for (int i = 0; i < 1000; i++)
        buf_add_c(&b, "[");
    assert_null(parse(buf_str(&b)));
    buf_release(&b);
}

static struct json *parse_list(size_t count)
{
    struct json *v;
    struct buf b;

    buf_init(&b, 4 * MIB);
    buf_add_c(&b, "[0");
    for (size_t i = 1; i < count; i++)
        buf_add_c(&b, ",0");
    buf_add_c(&b, "]");
    v = parse(buf_str(&b));
    buf_release(&b);
    return v;
}

static void test_the_number_of_values_is_bounded(void **st)
{
    (void)st;
    assert_int_equal(json_count(parse_list(LIMIT_JSON_VALUES)),
                     LIMIT_JSON_VALUES);
    assert_null(parse_list(LIMIT_JSON_VALUES + 1));
}

static void test_the_length_is_bounded(void **st)
{
    static char text[LIMIT_JSON_TEXT_BYTES + 1];

    (void)st;
    memset(text, ' ', sizeof(text));
    text[0] = '1';
    assert_non_null(parse(str_make(text, LIMIT_JSON_TEXT_BYTES)));
    assert_null(parse(str_make(text, LIMIT_JSON_TEXT_BYTES + 1)));
}

/* --- getters --- */

static void test_members_are_found_by_name_and_by_place(void **st)
{
    struct json *v = parse(STR("{\"b\":1,\"a\":[true,null],\"\":\"x\"}"));
    struct str name;

    (void)st;
    assert_int_equal(json_count(v), 3);
    assert_int_equal(json_count(json_get(v, "a")), 2);
    assert_true(json_bool(json_at(json_get(v, "a"), 0), false));
    assert_true(json_is_null(json_at(json_get(v, "a"), 1)));
    assert_null(json_at(json_get(v, "a"), 2));
    assert_str(json_str(json_get(v, "")), STR("x"));
    assert_true(json_is_number(json_member(v, 0, &name)));
    assert_str(name, STR("b"));
    assert_true(json_is_string(json_member(v, 2, &name)));
    assert_str(name, STR(""));
    assert_null(json_member(v, 3, &name));
}

static void test_walking_an_object_meets_each_member_once(void **st)
{
    struct json *v = parse(STR("{\"c\":0,\"a\":1,\"b\":2}"));
    const char *order = "cab";
    struct str name;
    void *at = NULL;

    (void)st;
    for (int64_t i = 0; i < 3; i++) {
        int64_t n;

        assert_true(json_int(json_next(v, &at, &name), &n));
        assert_int_equal(n, i);
        assert_str(name, str_make(order + i, 1));
    }
    assert_null(json_next(v, &at, &name));
    at = NULL;
    assert_null(json_next(parse(STR("[1]")), &at, &name));
    assert_null(json_next(parse(STR("{}")), &at, &name));
}

static void test_getters_on_what_is_not_there_answer_absent(void **st)
{
    struct json *number = parse(STR("5"));
    struct str name;
    int64_t n = 7;

    (void)st;
    for (const struct json *v = NULL;; v = number) {
        assert_null(json_get(json_get(v, "a"), "b"));
        assert_null(json_at(json_at(v, 0), 1));
        assert_null(json_member(v, 0, &name));
        assert_int_equal(json_count(v), 0);
        assert_null(json_str(v).p);
        assert_true(json_bool(v, true));
        assert_false(json_bool(v, false));
        if (v)
            break;
        assert_false(json_int(v, &n));
        assert_true(json_is_null(v));
        assert_false(json_is_object(v) || json_is_array(v) ||
                     json_is_string(v) || json_is_number(v) || json_is_bool(v));
    }
    assert_int_equal(n, 7);
}

static void test_numbers_are_read_from_all_that_means_one(void **st)
{
    static const struct {
        struct str text;
        int64_t value;
        bool is_number;
    } cases[] = {
        {STR("0"), 0, true},
        {STR("-5"), -5, true},
        {STR("9223372036854775807"), INT64_MAX, true},
        {STR("-9223372036854775808"), INT64_MIN, true},
        {STR("1.9"), 1, true},
        {STR("-1.9"), -1, true},
        {STR("1e3"), 1000, true},
        {STR("-9223372036854775808.0"), INT64_MIN, true},
        {STR("9223372036854775808.0"), 7, false},
        {STR("1e300"), 7, false},
        {STR("\"1741685396\""), 1741685396, true},
        {STR("\"-1\""), -1, true},
        {STR("\"1.5\""), 7, false},
        {STR("\"\""), 7, false},
        {STR("\" 1\""), 7, false},
        {STR("\"x\""), 7, false},
        {STR("true"), 7, false},
        {STR("null"), 7, false},
        {STR("[1]"), 7, false},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        int64_t n = 7;

        assert_int_equal(json_int(parse(cases[i].text), &n),
                         cases[i].is_number);
        if (n != cases[i].value)
            fail_msg("'%.*s' is %jd", STR_ARG(cases[i].text), (intmax_t)n);
    }
}

static void test_dumping_gives_back_the_text_without_spaces(void **st)
{
    static const struct str texts[] = {
        STR("{\"b\":[1,-2,\"\xc3\xa4\\n\\\"\\\\/\"],\"a\":{},\"c\":[]}"),
        STR("[true,false,null,{\"a\":{\"b\":[[]]}}]"),
        STR("[0.1,-1.5,1e+300,5.0,9223372036854775807,-9223372036854775808]"),
        STR("[0.30000000000000004,3.141592653589793,2.5e-08]"),
        STR("\"\\u0001\\u001f\\b\\f\\t\\r\x7f\""),
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(texts); i++)
        assert_dumped(parse(texts[i]), texts[i]);
    assert_dumped(parse(STR(" { \"a\" : [ 1 , 2 ] } ")), STR("{\"a\":[1,2]}"));
    assert_dumped(NULL, STR("null"));
}

/* --- building --- */

static void test_commas_stand_between_values_only(void **st)
{
    struct json_out j;
    struct buf b;

    (void)st;
    buf_init(&b, KIB);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_put_cstr(&j, "a", "x");
    json_put_int(&j, "b", -7);
    json_open(&j, "c", '[');
    json_put_bool(&j, NULL, true);
    json_put_bool(&j, NULL, false);
    json_put_int(&j, NULL, 0);
    json_put_null(&j, NULL);
    json_open(&j, NULL, '{');
    json_close(&j);
    json_open(&j, NULL, '[');
    json_close(&j);
    json_close(&j);
    json_put(&j, "d", parse(STR("[1, {\"e\": 2.5}]")));
    json_put(&j, "f", NULL);
    json_put_str(&j, "g", STR_NULL);
    json_put_cstr(&j, "h", NULL);
    json_put_str(&j, "i", STR(""));
    json_close(&j);
    assert_str(buf_str(&b),
               STR("{\"a\":\"x\",\"b\":-7,\"c\":[true,false,0,null,{},[]],"
                   "\"d\":[1,{\"e\":2.5}],\"f\":null,\"g\":null,\"h\":null,"
                   "\"i\":\"\"}"));
    buf_release(&b);
}

static void test_a_value_may_stand_at_the_top(void **st)
{
    struct json_out j;
    struct buf b;

    (void)st;
    buf_init(&b, KIB);
    json_out_init(&j, &b);
    json_put_int(&j, NULL, INT64_MIN);
    assert_str(buf_str(&b), STR("-9223372036854775808"));
    buf_release(&b);
}

/* The slow and obvious way to write a string. */
static void naive_string(struct buf *b, struct str s)
{
    buf_add_c(b, "\"");
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t n = 1;

        if (c >= 0x80)
            for (n = 4; n && (i + n > s.n || c < 0xc0 ||
                              !str_is_utf8(str_make(s.p + i, n)) ||
                              n != (c < 0xe0   ? 2u
                                    : c < 0xf0 ? 3u
                                               : 4u));
                 n--)
                ;
        if (!n)
            buf_add_c(b, "\xef\xbf\xbd");
        else if (c == '"' || c == '\\')
            buf_printf(b, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t' || c == '\b' || c == '\f')
            buf_printf(b, "\\%c", "btn?fr"[c - 8]);
        else if (c < ' ')
            buf_printf(b, "\\u%04x", c);
        else
            buf_add(b, s.p + i, n);
        i += MAX(n, 1u);
    }
    buf_add_c(b, "\"");
}

static void check_string(struct str s)
{
    struct buf got, want;
    struct json_out j;

    buf_init(&got, MIB);
    buf_init(&want, MIB);
    json_out_init(&j, &got);
    json_put_str(&j, NULL, s);
    naive_string(&want, s);
    assert_str(buf_str(&got), buf_str(&want));
    if (str_is_utf8(s) && str_find(s, '\0') < 0)
        assert_str(json_str(parse(buf_str(&got))), s);
    else if (str_find(s, '\0') < 0)
        assert_non_null(parse(buf_str(&got)));
    buf_release(&got);
    buf_release(&want);
}

static void test_every_byte_is_written_so_that_it_can_be_read(void **st)
{
    char text[3] = "a?b";

    (void)st;
    for (int c = 0; c < 256; c++) {
        text[1] = (char)c;
        check_string(str_make(text, 3));
        check_string(str_make(text + 1, 1));
    }
}

static uint32_t seed = 1;

static uint32_t noise(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)(seed >> 4) * below >> 28);
}

static void test_random_strings_are_written_as_by_the_obvious_way(void **st)
{
    static const char *const pieces[] = {
        "a",
        "\"",
        "\\",
        "\n",
        "\x01",
        "\x7f",
        "\xc3\xa4",
        "\xe2\x82\xac",
        "\xf0\x9f\x98\x80",
        "\xc3",
        "\xed\xa0\x80",
        "\xc0\xaf",
        "\xff",
        "\xe2\x82",
        "\x80",
        "\xe0\xa0\x80",
        "\xf4\x90\x80\x80",
        "hello world",
    };

    (void)st;
    for (int round = 0; round < 5000; round++) {
        char text[256];
        size_t n = 0;

        for (uint32_t k = noise(12); k; k--)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s",
                                  pieces[noise(COUNTOF(pieces))]);
        check_string(str_make(text, n));
    }
}

static void test_as_deep_as_can_be_parsed_can_be_built(void **st)
{
    struct json_out j;
    struct buf b;

    (void)st;
    buf_init(&b, KIB);
    json_out_init(&j, &b);
    for (int i = 0; i < LIMIT_JSON_DEPTH; i++)
        json_open(&j, NULL, '[');
    json_put_null(&j, NULL);
    for (int i = 0; i < LIMIT_JSON_DEPTH; i++)
        json_close(&j);
    assert_dumped(parse(buf_str(&b)), buf_str(&b));
    buf_release(&b);
}

static void test_a_full_buffer_overflows_without_harm(void **st)
{
    struct json_out j;
    struct buf b;

    (void)st;
    buf_init(&b, 8);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_put_cstr(&j, "name", "value");
    json_close(&j);
    assert_true(b.overflow);
    assert_true(b.n <= 8);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_kind_of_value_may_stand_alone),
        cmocka_unit_test(test_what_is_not_one_value_is_refused),
        cmocka_unit_test(test_an_error_names_the_place_and_quotes_nothing),
        cmocka_unit_test(test_the_depth_is_bounded),
        cmocka_unit_test(test_brackets_in_strings_are_no_depth),
        cmocka_unit_test(test_brackets_that_close_early_do_not_hide_depth),
        cmocka_unit_test(test_the_number_of_values_is_bounded),
        cmocka_unit_test(test_the_length_is_bounded),
        cmocka_unit_test(test_members_are_found_by_name_and_by_place),
        cmocka_unit_test(test_walking_an_object_meets_each_member_once),
        cmocka_unit_test(test_getters_on_what_is_not_there_answer_absent),
        cmocka_unit_test(test_numbers_are_read_from_all_that_means_one),
        cmocka_unit_test(test_dumping_gives_back_the_text_without_spaces),
        cmocka_unit_test(test_commas_stand_between_values_only),
        cmocka_unit_test(test_a_value_may_stand_at_the_top),
        cmocka_unit_test(test_every_byte_is_written_so_that_it_can_be_read),
        cmocka_unit_test(test_random_strings_are_written_as_by_the_obvious_way),
        cmocka_unit_test(test_as_deep_as_can_be_parsed_can_be_built),
        cmocka_unit_test(test_a_full_buffer_overflows_without_harm),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
