#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/codec/url.h"

static struct arena *arena;

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

static void assert_str(struct str got, struct str want)
{
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.p, want.p, want.n);
}

static void test_all_but_unreserved_bytes_are_encoded(void **st)
{
    (void)st;
    assert_str(url_encoded(arena, STR("AZaz09-._~")), STR("AZaz09-._~"));
    assert_str(url_encoded(arena, STR("a/b c+%?&=")),
               STR("a%2Fb%20c%2B%25%3F%26%3D"));
    assert_str(url_encoded(arena, STR("\0\xff\xc3\xa4")), STR("%00%FF%C3%A4"));
    assert_str(url_encoded(arena, STR("")), STR(""));
}

static void test_encoding_into_a_full_buffer_overflows_it(void **st)
{
    struct buf b;

    (void)st;
    buf_init(&b, 5);
    url_encode(&b, STR("ab"));
    url_encode(&b, STR("/"));
    assert_false(b.overflow);
    assert_str(buf_str(&b), STR("ab%2F"));
    url_encode(&b, STR("c"));
    assert_true(b.overflow);
    buf_release(&b);
}

static void test_what_is_encoded_decodes_to_itself(void **st)
{
    char all[255];
    struct str out;

    (void)st;
    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    assert_true(
        url_decode(arena, url_encoded(arena, str_make(all, 255)), false, &out));
    assert_str(out, str_make(all, 255));
}

static void test_a_plus_is_a_space_in_queries_only(void **st)
{
    struct str out;

    (void)st;
    assert_true(url_decode(arena, STR("a+b%2bc"), true, &out));
    assert_str(out, STR("a b+c"));
    assert_true(url_decode(arena, STR("a+b%2bc"), false, &out));
    assert_str(out, STR("a+b+c"));
}

static void test_broken_escapes_are_refused(void **st)
{
    static const struct str broken[] = {
        {"%", 1},    {"a%", 2},  {"%4", 2},   {"%g0", 3}, {"%0g", 3},
        {"%%41", 4}, {"%+1", 3}, {"% 1", 3},  {"%00", 3}, {"x%00y", 5},
        {"a\0b", 3}, {"%-1", 3}, {"%4\0", 3},
    };
    struct str out;

    (void)st;
    for (size_t i = 0; i < COUNTOF(broken); i++)
        if (url_decode(arena, broken[i], true, &out))
            fail_msg("'%.*s' decoded", STR_ARG(broken[i]));
}

static void test_the_first_parameter_of_a_name_counts(void **st)
{
    struct str q = STR("a=1&b=x%20y+z&a=2&empty=&flag&c%5Bd%5D=e&=f");

    (void)st;
    assert_str(url_query_get(arena, q, STR("a")), STR("1"));
    assert_str(url_query_get(arena, q, STR("b")), STR("x y z"));
    assert_str(url_query_get(arena, q, STR("c[d]")), STR("e"));
    assert_str(url_query_get(arena, q, STR("")), STR("f"));
    assert_str(url_query_get(arena, STR("%41+b=1"), STR("A b")), STR("1"));
    assert_str(url_query_get(arena, STR("a+b=1"), STR("a b")), STR("1"));
    assert_null(url_query_get(arena, q, STR("A")).p);
    assert_null(url_query_get(arena, q, STR("d")).p);
    assert_null(url_query_get(arena, STR_NULL, STR("a")).p);
}

static void test_an_empty_parameter_is_not_an_absent_one(void **st)
{
    struct str q = STR("empty=&flag");

    (void)st;
    assert_non_null(url_query_get(arena, q, STR("empty")).p);
    assert_int_equal(url_query_get(arena, q, STR("empty")).n, 0);
    assert_non_null(url_query_get(arena, q, STR("flag")).p);
}

static void test_a_parameter_with_a_broken_escape_is_absent(void **st)
{
    (void)st;
    assert_null(url_query_get(arena, STR("a=%zz&a=1"), STR("a")).p);
    assert_null(url_query_get(arena, STR("a=%00"), STR("a")).p);
    assert_str(url_query_get(arena, STR("%zz=1&a=2"), STR("a")), STR("2"));
}

static void test_joining_leaves_one_slash(void **st)
{
    (void)st;
    assert_str(url_join(arena, STR("http://h/v1"), STR("/files")),
               STR("http://h/v1/files"));
    assert_str(url_join(arena, STR("http://h/v1//"), STR("/files/")),
               STR("http://h/v1/files/"));
    assert_str(url_join(arena, STR(""), STR("/x")), STR("/x"));
}

static void test_the_origin_ends_at_the_path(void **st)
{
    static const struct {
        struct str url, origin;
    } cases[] = {
        {STR("https://a.b:8/c?d"), STR("https://a.b:8")},
        {STR("HTTP://a"), STR("HTTP://a")},
        {STR("http://[::1]:80#f"), STR("http://[::1]:80")},
        {STR("http://a?b/c"), STR("http://a")},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++)
        assert_str(url_origin(cases[i].url), cases[i].origin);
}

static void test_what_has_no_clear_host_has_no_origin(void **st)
{
    static const struct str urls[] = {
        STR("ftp://a/"),      STR("http:/a"),       STR("https://"),
        STR("http:///x"),     STR("//a/b"),         STR(""),
        STR("http://u@h/"),   STR("http://h\\@g/"), STR("http://h g/"),
        STR("http://h\x01/"), STR("http://h\x7f/"), STR("http://h\xc3/"),
        STR("http"),
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(urls); i++)
        if (url_origin(urls[i]).p)
            fail_msg("'%.*s' has an origin", STR_ARG(urls[i]));
}

static void references_are_resolved(void **state)
{
    static const char *const cases[][3] = {
        {"https://a.b/c/d?e=f", "https://x.y/z?q#frag", "https://x.y/z?q"},
        {"https://a.b/c/d?e=f", "HTTP://x.y", "HTTP://x.y"},
        {"https://a.b/c/d?e=f", "//x.y/z", "https://x.y/z"},
        {"https://a.b:8443/c/d?e=f", "/z?q=/", "https://a.b:8443/z?q=/"},
        {"https://a.b/c/d?e=/f", "z", "https://a.b/c/z"},
        {"https://a.b/c/d", "z:8", NULL},
        {"https://a.b", "z", "https://a.b/z"},
        {"https://a.b", "?z", "https://a.b?z"},
        {"https://a.b/c?d", "?z", "https://a.b/c?z"},
        {"https://a.b/c", "ftp://x.y/z", NULL},
        {"https://a.b/c", "file:///etc/passwd", NULL},
        {"https://a.b/c", "https://u@x.y/z", NULL},
        {"https://a.b/c", "//u@x.y/z", NULL},
        {"https://a.b/c", "/z w", NULL},
        {"https://a.b/c", "/z\r\nx", NULL},
        {"https://a.b/c", "/\\z", NULL},
        {"https://a.b/c", "", NULL},
        {"https://a.b/c", "#f", NULL},
        {"ftp://a.b/c", "/z", NULL},
    };
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct str got =
            url_resolve(a, str_of(cases[i][0]), str_of(cases[i][1]));

        if (cases[i][2])
            assert_string_equal(arena_cstr(a, got), cases[i][2]);
        else
            assert_null(got.p);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_are_resolved),
        cmocka_unit_test(test_all_but_unreserved_bytes_are_encoded),
        cmocka_unit_test(test_encoding_into_a_full_buffer_overflows_it),
        cmocka_unit_test(test_what_is_encoded_decodes_to_itself),
        cmocka_unit_test(test_a_plus_is_a_space_in_queries_only),
        cmocka_unit_test(test_broken_escapes_are_refused),
        cmocka_unit_test(test_the_first_parameter_of_a_name_counts),
        cmocka_unit_test(test_an_empty_parameter_is_not_an_absent_one),
        cmocka_unit_test(test_a_parameter_with_a_broken_escape_is_absent),
        cmocka_unit_test(test_joining_leaves_one_slash),
        cmocka_unit_test(test_the_origin_ends_at_the_path),
        cmocka_unit_test(test_what_has_no_clear_host_has_no_origin),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
