#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "routing/match.h"

static const struct match nothing = {"", "", "", "", "", "", 0, 0};

static const struct str tags[] = {{"eu", 2}, {"slow", 4}};

static const struct route_facts known = {
    .purpose = {"batch", 5},
    .filename = {"a.jsonl", 7},
    .model = {"gpt-4o", 6},
    .key_alias = {"ci", 2},
    .key_hash = {"ff00", 4},
    .team = {"research", 8},
    .tags = tags,
    .ntags = 2,
    .size = 1000,
};

static const struct route_facts unknown = {.size = -1};

static void test_no_condition_matches_anything(void **st)
{
    (void)st;
    assert_int_equal(match_test(&nothing, &known), MATCH_YES);
    assert_int_equal(match_test(&nothing, &unknown), MATCH_YES);
}

/* Each condition alone, when it holds and when it does not, and what it says
 * of a request of which nothing is known. */
static const struct {
    struct match yes, no;
    enum match_result of_unknown;
} cases[] = {
    /* clang-format off */
    {{"batch", "", "", "", "", "", 0, 0}, {"vision", "", "", "", "", "", 0, 0},
     MATCH_NEEDS_FIELDS},
    {{"", "*.jsonl", "", "", "", "", 0, 0}, {"", "*.json", "", "", "", "", 0, 0},
     MATCH_NEEDS_FIELDS},
    {{"", "", "gpt-*", "", "", "", 0, 0}, {"", "", "gpt", "", "", "", 0, 0},
     MATCH_NEEDS_FIELDS},
    {{"", "", "", "ci", "", "", 0, 0}, {"", "", "", "c", "", "", 0, 0},
     MATCH_NO},
    {{"", "", "", "ff00", "", "", 0, 0}, {"", "", "", "ff01", "", "", 0, 0},
     MATCH_NO},
    {{"", "", "", "", "research", "", 0, 0}, {"", "", "", "", "r*", "", 0, 0},
     MATCH_NO},
    {{"", "", "", "", "", "slow", 0, 0}, {"", "", "", "", "", "s", 0, 0},
     MATCH_NO},
    {{"", "", "", "", "", "", 1000, 0}, {"", "", "", "", "", "", 1001, 0},
     MATCH_NO},
    {{"", "", "", "", "", "", 0, 1000}, {"", "", "", "", "", "", 0, 999},
     MATCH_NO},
    /* clang-format on */
};

static void test_each_condition_decides_alone(void **st)
{
    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        assert_int_equal(match_test(&cases[i].yes, &known), MATCH_YES);
        assert_int_equal(match_test(&cases[i].no, &known), MATCH_NO);
        assert_int_equal(match_test(&cases[i].yes, &unknown),
                         cases[i].of_unknown);
    }
}

static struct match all_that_hold(void)
{
    return (struct match){"batch",    "*.jsonl", "gpt-*", "ci",
                          "research", "eu",      1,       1000};
}

static void test_all_conditions_must_hold(void **st)
{
    struct match m = all_that_hold();

    (void)st;
    assert_int_equal(match_test(&m, &known), MATCH_YES);
    m.team = "sales";
    assert_int_equal(match_test(&m, &known), MATCH_NO);
    m = all_that_hold();
    m.model = "llama*";
    assert_int_equal(match_test(&m, &known), MATCH_NO);
}

static void test_a_certain_no_outweighs_what_is_unknown(void **st)
{
    struct route_facts f = known;
    struct match m = all_that_hold();

    (void)st;
    f.purpose = STR_NULL;
    assert_int_equal(match_test(&m, &f), MATCH_NEEDS_FIELDS);
    m.filename = "*.png";
    assert_int_equal(match_test(&m, &f), MATCH_NO);
    m = all_that_hold();
    m.tag = "us";
    assert_int_equal(match_test(&m, &f), MATCH_NO);
}

static void test_an_empty_field_is_known(void **st)
{
    struct route_facts f = known;
    struct match m = nothing;

    (void)st;
    f.purpose = STR("");
    m.purpose = "batch";
    assert_int_equal(match_test(&m, &f), MATCH_NO);
    f.filename = STR("");
    m = nothing;
    m.filename = "*";
    assert_int_equal(match_test(&m, &f), MATCH_YES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_condition_matches_anything),
        cmocka_unit_test(test_each_condition_decides_alone),
        cmocka_unit_test(test_all_conditions_must_hold),
        cmocka_unit_test(test_a_certain_no_outweighs_what_is_unknown),
        cmocka_unit_test(test_an_empty_field_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
