/* test_held.c -- what is held together is bounded, and given back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/flow/held.h"

#define MAX_ALL ((int64_t)(256 * KIB))

static struct held_buf buf_of(struct held *h, int64_t max)
{
    struct held_buf b;

    held_buf_init(&b, h, max, MAX_ALL);
    return b;
}

static bool has_room(struct held *h, int64_t bytes)
{
    struct gw_error e = {0};

    if (held_take(h, bytes, MAX_ALL, &e) != GW_OK) {
        assert_int_equal(e.err, GW_OVERLOADED);
        return false;
    }
    held_give_back(h, bytes);
    return true;
}

static void what_is_taken_comes_back(void **state)
{
    struct held *h = held_new();
    struct gw_error e = {0};

    (void)state;
    assert_int_equal(held_take(h, MAX_ALL, MAX_ALL, &e), GW_OK);
    assert_false(has_room(h, 1));
    held_give_back(h, MAX_ALL);
    assert_true(has_room(h, MAX_ALL));
    held_free(h);
}

static void a_buffer_counts_while_it_is_held(void **state)
{
    struct held *h = held_new();
    struct held_buf a = buf_of(h, MAX_ALL), b = buf_of(h, MAX_ALL);
    struct gw_error e = {0};
    char bytes[1024] = {0};

    (void)state;
    for (int64_t n = 0; n < MAX_ALL; n += (int64_t)sizeof(bytes))
        assert_int_equal(held_buf_add(&a, bytes, sizeof(bytes), &e), GW_OK);
    assert_int_equal(held_buf_add(&b, bytes, 1, &e), GW_OVERLOADED);
    assert_int_equal(b.buf.n, 0);
    held_buf_release(&a);
    e = (struct gw_error){0};
    assert_int_equal(held_buf_add(&b, bytes, 1, &e), GW_OK);
    held_buf_release(&b);
    held_buf_release(&b);
    assert_true(has_room(h, MAX_ALL));
    held_free(h);
}

static void a_buffer_has_a_bound_of_its_own(void **state)
{
    struct held *h = held_new();
    struct held_buf a = buf_of(h, 10);
    struct gw_error e = {0};

    (void)state;
    assert_int_equal(held_buf_add(&a, "0123456789", 10, &e), GW_OK);
    assert_int_equal(held_buf_add(&a, "0", 1, &e), GW_BODY_TOO_LARGE);
    held_buf_release(&a);
    assert_true(has_room(h, MAX_ALL));
    held_free(h);
}

static void room_that_was_asked_for_is_not_counted_twice(void **state)
{
    struct held *h = held_new();
    struct held_buf a = buf_of(h, MAX_ALL);
    struct gw_error e = {0};
    char bytes[1024] = {0};

    (void)state;
    assert_int_equal(held_buf_expect(&a, MAX_ALL, &e), GW_OK);
    assert_int_equal(held_buf_expect(&a, 5, &e), GW_OK);
    assert_int_equal(held_buf_add(&a, bytes, sizeof(bytes), &e), GW_OK);
    assert_false(has_room(h, 1));
    assert_int_equal(held_buf_expect(&a, MAX_ALL + 1, &e), GW_OVERLOADED);
    held_buf_release(&a);
    assert_true(has_room(h, MAX_ALL));
    held_free(h);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_comes_back),
        cmocka_unit_test(a_buffer_counts_while_it_is_held),
        cmocka_unit_test(a_buffer_has_a_bound_of_its_own),
        cmocka_unit_test(room_that_was_asked_for_is_not_counted_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
