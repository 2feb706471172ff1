#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "routing/router.h"

/* Decisions are cases of tests/golden/routing; here is what a text file cannot
 * say: lifetimes, bounds, and what is left behind by a failure. */

static struct conf_item provider_items[] = {
    {"one", 0, 0, NULL}, {"two", 0, 0, NULL}, {"three", 0, 0, NULL}};
static const struct conf_items providers = {provider_items, 3};
static const struct conf_items none;

static struct routing_conf plain(void)
{
    return (struct routing_conf){.routing = {.dflt = ""}};
}

static const struct route_facts facts = {.size = -1};

static void test_candidates_outlive_the_request(void **st)
{
    struct routing_conf conf = plain();
    char name[] = "two";
    struct route_hints hints = {.header = str_of(name)};
    struct route_decision d;
    struct gw_error e = {0};
    bool needs_fields;

    (void)st;
    assert_int_equal(router_decide(&conf, &providers, NULL, NULL, &hints,
                                   &facts, &d, &needs_fields, &e),
                     GW_OK);
    memset(name, 'x', sizeof(name) - 1);
    assert_int_equal(d.n, 1);
    assert_ptr_equal(d.candidates[0], provider_items[1].name);
    assert_false(needs_fields);
}

static void test_a_failure_leaves_no_candidate(void **st)
{
    struct routing_conf conf = plain();
    struct route_hints hints = {.path = STR("four"), .header = STR("one")};
    struct route_decision d = {.n = 3};
    struct gw_error e = {0};
    bool needs_fields = true;

    (void)st;
    assert_int_equal(router_decide(&conf, &providers, NULL, NULL, &hints,
                                   &facts, &d, &needs_fields, &e),
                     GW_UNKNOWN_PROVIDER);
    assert_int_equal(d.n, 0);
    assert_false(needs_fields);
    assert_string_equal(e.param, "provider");
}

static void test_a_long_name_fits_into_the_reason_and_the_message(void **st)
{
    static const char name[] =
        "a-pool-whose-name-is-a-good-deal-longer-than-anybody-would-expect-of-"
        "the-name-of-a-pool-in-a-file-of-configuration";
    struct pool_member member = {.provider = "one"};
    struct conf_item members[] = {{NULL, 0, 0, &member}};
    struct pool_conf pool = {.members = {members, 1}};
    struct conf_item pools[] = {{name, 0, 0, &pool}};
    struct routing_conf conf = {.pools = {pools, 1}, .routing = {.dflt = name}};
    struct route_hints hints = {.fields_are_complete = true};
    struct route_decision d;
    struct gw_error e = {0};
    bool needs_fields;

    (void)st;
    assert_int_equal(router_decide(&conf, &providers, NULL, NULL, &hints,
                                   &facts, &d, &needs_fields, &e),
                     GW_OK);
    assert_int_equal(d.n, 1);
    assert_int_equal(strlen(d.reason), sizeof(d.reason) - 1);
    assert_int_equal(router_check(&conf, &providers, &e), GW_OK);
}

static void test_without_providers_nothing_can_be_decided(void **st)
{
    struct routing_conf conf = plain();
    struct route_hints hints = {.fields_are_complete = true};
    struct route_decision d;
    struct gw_error e = {0};
    bool needs_fields;

    (void)st;
    assert_int_not_equal(router_decide(&conf, &none, NULL, NULL, &hints, &facts,
                                       &d, &needs_fields, &e),
                         GW_OK);
    assert_int_equal(d.n, 0);
}

struct tally {
    unsigned first[3], second[3];
};

static struct tally draw_often(const int64_t weights[3], unsigned times)
{
    struct pool_member m[3] = {
        {"one", weights[0]}, {"two", weights[1]}, {"three", weights[2]}};
    struct conf_item items[] = {
        {NULL, 0, 0, &m[0]}, {NULL, 0, 0, &m[1]}, {NULL, 0, 0, &m[2]}};
    struct pool_conf pool = {POOL_WEIGHTED, {items, 3}};
    struct conf_item pools[] = {{"all", 0, 0, &pool}};
    struct routing_conf conf = {.pools = {pools, 1},
                                .routing = {.dflt = "all"}};
    struct route_hints hints = {.fields_are_complete = true};
    struct tally tally = {0};

    for (unsigned n = 0; n < times; n++) {
        struct route_facts f = {.size = -1, .draw = n};
        struct route_decision d;
        struct gw_error e = {0};
        bool needs_fields;

        assert_int_equal(router_decide(&conf, &providers, NULL, NULL, &hints,
                                       &f, &d, &needs_fields, &e),
                         GW_OK);
        assert_int_equal(d.n, 3);
        for (size_t i = 0; i < 3; i++) {
            tally.first[i] += d.candidates[0] == provider_items[i].name;
            tally.second[i] += d.candidates[1] == provider_items[i].name;
            assert_string_not_equal(d.candidates[i], d.candidates[(i + 1) % 3]);
        }
    }
    return tally;
}

/* The lots are fixed, so this comes out the same each time. */
static void test_weights_share_the_first_place_out(void **st)
{
    static const int64_t weights[] = {1, 2, 5};
    struct tally t = draw_often(weights, 8000);

    (void)st;
    assert_in_range(t.first[0], 900, 1100);
    assert_in_range(t.first[1], 1850, 2150);
    assert_in_range(t.first[2], 4800, 5200);
    /* When "three" is first, "two" comes before "one" twice as often. */
    assert_in_range(t.second[1], 3300, 4600);
}

static void test_the_same_lot_gives_the_same_order(void **st)
{
    static const int64_t weights[] = {3, 3, 3};
    struct tally a = draw_often(weights, 50), b = draw_often(weights, 50);

    (void)st;
    assert_memory_equal(&a, &b, sizeof(a));
    assert_true(a.first[0] && a.first[1] && a.first[2]);
}

static void test_an_empty_configuration_is_sound(void **st)
{
    struct routing_conf conf = plain();
    struct gw_error e = {0};

    (void)st;
    assert_int_equal(router_check(&conf, &providers, &e), GW_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_candidates_outlive_the_request),
        cmocka_unit_test(test_a_failure_leaves_no_candidate),
        cmocka_unit_test(test_a_long_name_fits_into_the_reason_and_the_message),
        cmocka_unit_test(test_without_providers_nothing_can_be_decided),
        cmocka_unit_test(test_weights_share_the_first_place_out),
        cmocka_unit_test(test_the_same_lot_gives_the_same_order),
        cmocka_unit_test(test_an_empty_configuration_is_sound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
