/* test_breaker.c -- the circuit breaker, on a clock driven by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "gateway/flow/breaker.h"

static const struct provider_breaker by_number = {
    .failures = 3, .calls = 10, .window_ms = 1000, .open_ms = 500};
static const struct provider_breaker by_rate = {
    .percent = 50, .calls = 10, .window_ms = 1000, .open_ms = 500};

static struct breaker b;
static int64_t now;

static int set_up(void **state)
{
    (void)state;
    b = (struct breaker){0};
    now = 1000000;
    return 0;
}

/* One operation from its beginning to its end, in no time. */
static void call(const struct provider_breaker *c, enum breaker_outcome outcome)
{
    struct breaker_ticket t;

    assert_int_equal(breaker_enter(&b, c, now, &t), 0);
    breaker_leave(&b, c, now, &t, outcome);
}

static void calls(const struct provider_breaker *c, int n,
                  enum breaker_outcome outcome)
{
    for (int i = 0; i < n; i++)
        call(c, outcome);
}

static void failures_in_a_row_open_it(void **state)
{
    (void)state;
    calls(&by_number, 2, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_CLOSED);
    call(&by_number, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_OPEN);
    assert_int_equal(b.failures, 3);
}

static void a_success_between_begins_the_row_anew(void **state)
{
    (void)state;
    calls(&by_number, 2, BREAKER_FAILED);
    call(&by_number, BREAKER_OK);
    calls(&by_number, 2, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void what_the_client_caused_is_nothing(void **state)
{
    (void)state;
    calls(&by_number, 2, BREAKER_FAILED);
    calls(&by_number, 9, BREAKER_NOTHING);
    assert_int_equal(b.state, BREAKER_CLOSED);
    call(&by_number, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_OPEN);
}

static void open_it_refuses_to_the_millisecond(void **state)
{
    struct breaker_ticket t;

    (void)state;
    calls(&by_number, 3, BREAKER_FAILED);
    assert_int_equal(breaker_enter(&b, &by_number, now, &t), 500);
    now += 499;
    assert_int_equal(breaker_enter(&b, &by_number, now, &t), 1);
    assert_int_equal(b.state, BREAKER_OPEN);
    now += 1;
    assert_int_equal(breaker_enter(&b, &by_number, now, &t), 0);
    assert_int_equal(b.state, BREAKER_HALF_OPEN);
}

/* Opened, and the time is over. */
static void open_and_wait(void)
{
    calls(&by_number, 3, BREAKER_FAILED);
    now += 500;
}

static void half_open_it_lets_one_through(void **state)
{
    struct breaker_ticket probe, other;

    (void)state;
    open_and_wait();
    assert_int_equal(breaker_enter(&b, &by_number, now, &probe), 0);
    now += 100;
    assert_int_equal(breaker_enter(&b, &by_number, now, &other), 400);
    breaker_leave(&b, &by_number, now, &probe, BREAKER_OK);
    assert_int_equal(b.state, BREAKER_CLOSED);
    assert_int_equal(b.failures, 0);
    assert_int_equal(breaker_enter(&b, &by_number, now, &other), 0);
}

static void a_probe_that_fails_opens_it_again(void **state)
{
    struct breaker_ticket t;

    (void)state;
    open_and_wait();
    now += 1000;
    call(&by_number, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_OPEN);
    assert_int_equal(b.failures, 4);
    assert_int_equal(breaker_enter(&b, &by_number, now, &t), 500);
}

static void a_probe_given_up_gives_its_place_away(void **state)
{
    (void)state;
    open_and_wait();
    call(&by_number, BREAKER_NOTHING);
    assert_int_equal(b.state, BREAKER_HALF_OPEN);
    call(&by_number, BREAKER_OK);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void a_probe_that_takes_long_is_followed_by_another(void **state)
{
    struct breaker_ticket slow, next, none;

    (void)state;
    open_and_wait();
    assert_int_equal(breaker_enter(&b, &by_number, now, &slow), 0);
    now += 500;
    assert_int_equal(breaker_enter(&b, &by_number, now, &next), 0);
    breaker_leave(&b, &by_number, now, &slow, BREAKER_NOTHING);
    assert_int_equal(breaker_enter(&b, &by_number, now, &none), 500);
    breaker_leave(&b, &by_number, now, &next, BREAKER_OK);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void what_began_before_a_change_says_nothing(void **state)
{
    struct breaker_ticket bad, good;

    (void)state;
    assert_int_equal(breaker_enter(&b, &by_number, now, &bad), 0);
    assert_int_equal(breaker_enter(&b, &by_number, now, &good), 0);
    open_and_wait();
    breaker_leave(&b, &by_number, now, &good, BREAKER_OK);
    assert_int_equal(b.state, BREAKER_OPEN);
    call(&by_number, BREAKER_OK);
    calls(&by_number, 2, BREAKER_FAILED);
    breaker_leave(&b, &by_number, now, &bad, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

static void the_rate_opens_it_when_there_are_enough(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        call(&by_rate, BREAKER_FAILED);
        call(&by_rate, BREAKER_OK);
    }
    call(&by_rate, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_CLOSED); /* 5 of 9 */
    call(&by_rate, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_OPEN); /* 6 of 10 */
}

static void a_lower_rate_does_not_open_it(void **state)
{
    (void)state;
    calls(&by_rate, 20, BREAKER_OK);
    calls(&by_rate, 19, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_CLOSED);
    call(&by_rate, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_OPEN);
}

static void the_window_forgets(void **state)
{
    (void)state;
    calls(&by_rate, 9, BREAKER_FAILED);
    now += 1000;
    calls(&by_rate, 9, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_CLOSED);
    now += 800; /* those are in it still */
    call(&by_rate, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_OPEN);
}

static void switched_off_it_is_closed(void **state)
{
    static const struct provider_breaker off = {
        .calls = 1, .window_ms = 1000, .open_ms = 500};

    (void)state;
    calls(&off, 1000, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_CLOSED);
    b.failures = 0;
    calls(&by_number, 3, BREAKER_FAILED);
    assert_int_equal(b.state, BREAKER_OPEN);
    call(&off, BREAKER_OK);
    assert_int_equal(b.state, BREAKER_CLOSED);
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(failures_in_a_row_open_it),
        TEST(a_success_between_begins_the_row_anew),
        TEST(what_the_client_caused_is_nothing),
        TEST(open_it_refuses_to_the_millisecond),
        TEST(half_open_it_lets_one_through),
        TEST(a_probe_that_fails_opens_it_again),
        TEST(a_probe_given_up_gives_its_place_away),
        TEST(a_probe_that_takes_long_is_followed_by_another),
        TEST(what_began_before_a_change_says_nothing),
        TEST(the_rate_opens_it_when_there_are_enough),
        TEST(a_lower_rate_does_not_open_it),
        TEST(the_window_forgets),
        TEST(switched_off_it_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
