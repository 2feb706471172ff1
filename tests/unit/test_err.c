/* test_err.c -- the first failure wins, and the table makes sense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>

#include "gateway/base/err.h"

static void the_first_failure_wins(void **state)
{
    struct gw_error e = {0};

    (void)state;
    assert_int_equal(err_set(&e, GW_FILE_NOT_FOUND, "no file '%s'", "x"),
                     GW_FILE_NOT_FOUND);
    assert_int_equal(err_set(&e, GW_INTERNAL, "clean-up failed"),
                     GW_FILE_NOT_FOUND);
    assert_int_equal(err_set_param(&e, GW_INTERNAL, "p", "again"),
                     GW_FILE_NOT_FOUND);
    assert_int_equal(err_plain(&e, GW_INTERNAL), GW_FILE_NOT_FOUND);
    assert_string_equal(e.message, "no file 'x'");
    assert_string_equal(e.param, "");
    err_clear(&e);
    assert_int_equal(e.err, GW_OK);
    assert_int_equal(err_set(&e, GW_INTERNAL, "now"), GW_INTERNAL);
    assert_string_equal(e.message, "now");
}

static void a_parameter_is_named(void **state)
{
    struct gw_error e = {0};

    (void)state;
    err_set_param(&e, GW_INVALID_VALUE, "purpose", "unknown '%s'", "x");
    assert_string_equal(e.param, "purpose");
    assert_string_equal(e.message, "unknown 'x'");
}

static void a_plain_failure_has_the_text_of_the_table(void **state)
{
    struct gw_error e = {0};

    (void)state;
    assert_int_equal(err_plain(&e, GW_RATE_LIMITED), GW_RATE_LIMITED);
    assert_string_equal(e.message, err_info(GW_RATE_LIMITED)->text);
}

static void nobody_needs_to_listen(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, GW_INTERNAL, "x"), GW_INTERNAL);
    assert_int_equal(err_set_param(NULL, GW_INTERNAL, "p", "x"), GW_INTERNAL);
    assert_int_equal(err_plain(NULL, GW_INTERNAL), GW_INTERNAL);
}

static void long_texts_are_cut(void **state)
{
    struct gw_error e = {0};
    char text[2000];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    err_set_param(&e, GW_INVALID_VALUE, text, "%s", text);
    assert_int_equal(strlen(e.message), sizeof(e.message) - 1);
    assert_int_equal(strlen(e.param), sizeof(e.param) - 1);
}

static void every_line_of_the_table_can_be_told(void **state)
{
    (void)state;
    for (int i = GW_OK + 1; i < GW_ERR_COUNT; i++) {
        const struct err_info *info = err_info((enum gw_err)i);

        assert_true(info->http >= 400 && info->http < 600);
        assert_true(info->type[0] && info->code[0] && info->text[0]);
        assert_true(islower((unsigned char)info->text[0]));
        assert_int_not_equal(info->text[strlen(info->text) - 1], '.');
        for (const char *c = info->code; *c; c++)
            if (!islower((unsigned char)*c) && *c != '_')
                fail_msg("code '%s' is no metric label", info->code);
    }
}

static void a_retry_is_for_failures_of_the_provider_alone(void **state)
{
    (void)state;
    for (int i = GW_OK + 1; i < GW_ERR_COUNT; i++) {
        const struct err_info *info = err_info((enum gw_err)i);

        if (info->is_retryable && info->http < 500)
            fail_msg("%s would repeat what the client did wrong", info->name);
    }
    assert_true(err_info(GW_UPSTREAM_UNREACHABLE)->is_retryable);
    assert_false(err_info(GW_CLIENT_GONE)->is_retryable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_failure_wins),
        cmocka_unit_test(a_parameter_is_named),
        cmocka_unit_test(a_plain_failure_has_the_text_of_the_table),
        cmocka_unit_test(nobody_needs_to_listen),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(every_line_of_the_table_can_be_told),
        cmocka_unit_test(a_retry_is_for_failures_of_the_provider_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
