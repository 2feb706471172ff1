/* Who tries out keys is held back, and nobody else. */
#include "gateway/flow/auth_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "gateway/base/limits.h"

#define PEER "192.0.2.7:40000"

static int begin(void **state)
{
    *state = auth_guard_new();
    return 0;
}

static int end(void **state)
{
    auth_guard_free(*state);
    return 0;
}

static void note(struct auth_guard *g, const char *peer, int n)
{
    for (int i = 0; i < n; i++)
        auth_guard_note(g, peer, 1000);
}

static void so_many_wrong_keys_are_allowed(void **state)
{
    struct auth_guard *g = *state;

    note(g, PEER, 2);
    assert_int_equal(auth_guard_wait_ms(g, PEER, 3, 1000), 0);
    note(g, PEER, 1);
    assert_int_equal(auth_guard_wait_ms(g, PEER, 3, 1000),
                     AUTH_GUARD_MINUTE_MS);
    assert_int_equal(auth_guard_wait_ms(g, PEER, 0, 1000), 0);
}

static void
another_port_is_the_same_peer_and_another_address_is_not(void **state)
{
    struct auth_guard *g = *state;

    note(g, PEER, 3);
    assert_true(auth_guard_wait_ms(g, "192.0.2.7:1", 3, 1000) > 0);
    assert_int_equal(auth_guard_wait_ms(g, "192.0.2.8:40000", 3, 1000), 0);
}

static void an_ipv6_network_is_one_peer(void **state)
{
    struct auth_guard *g = *state;

    note(g, "[2001:db8:1:2::1]:4000", 3);
    assert_true(auth_guard_wait_ms(g, "[2001:db8:1:2:ffff::9]:1", 3, 1000) > 0);
    assert_int_equal(auth_guard_wait_ms(g, "[2001:db8:1:3::1]:1", 3, 1000), 0);
}

static void an_ipv4_address_may_come_in_an_ipv6_one(void **state)
{
    struct auth_guard *g = *state;

    note(g, "[::ffff:192.0.2.7]:1", 3);
    assert_true(auth_guard_wait_ms(g, PEER, 3, 1000) > 0);
    assert_int_equal(auth_guard_wait_ms(g, "[::ffff:192.0.2.8]:1", 3, 1000), 0);
}

static void the_minute_ends(void **state)
{
    struct auth_guard *g = *state;

    note(g, PEER, 3);
    assert_int_equal(
        auth_guard_wait_ms(g, PEER, 3, 1000 + AUTH_GUARD_MINUTE_MS - 1), 1);
    assert_int_equal(
        auth_guard_wait_ms(g, PEER, 3, 1000 + AUTH_GUARD_MINUTE_MS), 0);
    assert_int_equal(auth_guard_wait_ms(g, PEER, 3, 1000), 0);
}

static void peers_without_an_address_are_not_held_back(void **state)
{
    static const char *const peers[] = {"unix", "", "[::1", "1.2.3:4", ":1"};
    struct auth_guard *g = *state;

    for (size_t i = 0; i < COUNTOF(peers); i++) {
        note(g, peers[i], 3);
        assert_int_equal(auth_guard_wait_ms(g, peers[i], 1, 1000), 0);
    }
}

static void the_table_is_bounded_and_the_oldest_leaves(void **state)
{
    struct auth_guard *g = *state;
    char peer[40];

    for (unsigned i = 0; i <= LIMIT_GUARDED_ADDRESSES; i++) {
        snprintf(peer, sizeof(peer), "10.0.%u.%u:1", i / 256, i % 256);
        note(g, peer, 1);
    }
    assert_int_equal(auth_guard_wait_ms(g, "10.0.0.0:1", 1, 1000), 0);
    assert_true(auth_guard_wait_ms(g, "10.0.0.1:1", 1, 1000) > 0);
    assert_true(auth_guard_wait_ms(g, peer, 1, 1000) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(so_many_wrong_keys_are_allowed),
        TEST(another_port_is_the_same_peer_and_another_address_is_not),
        TEST(an_ipv6_network_is_one_peer),
        TEST(an_ipv4_address_may_come_in_an_ipv6_one),
        TEST(the_minute_ends),
        TEST(peers_without_an_address_are_not_held_back),
        TEST(the_table_is_bounded_and_the_oldest_leaves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
