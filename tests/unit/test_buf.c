/* test_buf.c -- growth, the bound, and the NUL that follows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/base/buf.h"

static void a_new_buffer_takes_no_memory(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    assert_null(b.p);
    assert_int_equal(buf_str(&b).n, 0);
    assert_non_null(buf_str(&b).p);
    buf_release(&b);
}

static void appends_follow_each_other(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_add(&b, "ab", 2);
    buf_add_str(&b, STR("c"));
    buf_add_c(&b, "de");
    buf_add_byte(&b, 'f');
    buf_printf(&b, "%d%s", 12, "g");
    assert_true(str_eq(buf_str(&b), STR("abcdef12g")));
    assert_int_equal(b.p[b.n], '\0');
    buf_add(&b, NULL, 0);
    buf_add_str(&b, STR_NULL);
    assert_int_equal(b.n, 9);
    assert_false(b.overflow);
    buf_release(&b);
}

static void a_nul_follows_at_every_length(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 5000);
    for (size_t i = 0; i < 5000; i++) {
        buf_add_byte(&b, (char)('a' + i % 26));
        assert_int_equal(b.n, i + 1);
        assert_int_equal(b.p[b.n], '\0');
    }
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(b.p[i], 'a' + i % 26);
    buf_release(&b);
}

static void the_bound_is_exact_and_overflow_sticks(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 4);
    buf_add_c(&b, "abcd");
    assert_false(b.overflow);
    buf_add_byte(&b, 'e');
    assert_true(b.overflow);
    assert_true(str_eq(buf_str(&b), STR("abcd")));
    buf_clear(&b);
    assert_false(b.overflow);
    buf_add_c(&b, "abc");
    buf_add_c(&b, "de");
    assert_true(b.overflow);
    /* What would fit is ignored, too: no hole in the middle. */
    buf_add_byte(&b, 'f');
    buf_printf(&b, "%d", 1);
    assert_true(str_eq(buf_str(&b), STR("abc")));
    assert_null(buf_reserve(&b, 0));
    buf_release(&b);
}

static void a_huge_append_does_not_wrap_around(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_add_c(&b, "abc");
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_true(b.overflow);
    buf_release(&b);
}

static void clear_keeps_the_memory(void **state)
{
    struct buf b;
    const char *p;

    (void)state;
    buf_init(&b, 100);
    buf_clear(&b);
    buf_add_c(&b, "abc");
    p = b.p;
    buf_clear(&b);
    assert_int_equal(b.n, 0);
    assert_int_equal(b.p[0], '\0');
    buf_add_c(&b, "x");
    assert_ptr_equal(b.p, p);
    buf_release(&b);
}

static void release_leaves_a_usable_buffer(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 3);
    buf_add_c(&b, "abcd");
    assert_true(b.overflow);
    buf_release(&b);
    assert_null(b.p);
    assert_false(b.overflow);
    buf_add_c(&b, "abc");
    assert_true(str_eq(buf_str(&b), STR("abc")));
    buf_release(&b);
}

static void reserved_room_becomes_content_by_commit(void **state)
{
    struct buf b;
    char *to;

    (void)state;
    buf_init(&b, 1000);
    to = buf_reserve(&b, 1000);
    assert_non_null(to);
    memset(to, 'x', 1000);
    buf_commit(&b, 2);
    assert_true(str_eq(buf_str(&b), STR("xx")));
    assert_int_equal(b.p[2], '\0');
    to = buf_reserve(&b, 998);
    assert_non_null(to);
    assert_null(buf_reserve(&b, 999));
    buf_release(&b);
}

static void consume_drops_the_front(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    buf_consume(&b, 0);
    buf_add_c(&b, "abcdef");
    buf_consume(&b, 0);
    buf_consume(&b, 2);
    assert_true(str_eq(buf_str(&b), STR("cdef")));
    assert_int_equal(b.p[4], '\0');
    buf_consume(&b, 4);
    assert_int_equal(b.n, 0);
    buf_add_c(&b, "g");
    assert_true(str_eq(buf_str(&b), STR("g")));
    buf_release(&b);
}

static void printf_fits_at_the_bound(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 5);
    buf_printf(&b, "%s", "12345");
    assert_false(b.overflow);
    assert_string_equal(b.p, "12345");
    buf_clear(&b);
    buf_printf(&b, "%s", "123456");
    assert_true(b.overflow);
    assert_int_equal(b.n, 0);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_buffer_takes_no_memory),
        cmocka_unit_test(appends_follow_each_other),
        cmocka_unit_test(a_nul_follows_at_every_length),
        cmocka_unit_test(the_bound_is_exact_and_overflow_sticks),
        cmocka_unit_test(a_huge_append_does_not_wrap_around),
        cmocka_unit_test(clear_keeps_the_memory),
        cmocka_unit_test(release_leaves_a_usable_buffer),
        cmocka_unit_test(reserved_room_becomes_content_by_commit),
        cmocka_unit_test(consume_drops_the_front),
        cmocka_unit_test(printf_fits_at_the_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
