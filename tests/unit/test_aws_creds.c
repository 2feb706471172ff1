/* test_aws_creds.c -- profiles as AWS writes them, and which keys are used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "providers/aws_creds.h"

static const char credentials[] = "# the keys\n"
                                  "aws_access_key_id = NOBODYS\n"
                                  "[default]\r\n"
                                  "aws_access_key_id = AKIADEFAULT\r\n"
                                  "aws_secret_access_key=de/fault+=\r\n"
                                  "\n"
                                  "[ work ]\n"
                                  "AWS_ACCESS_KEY_ID=ASIAWORK\n"
                                  "; aws_secret_access_key = commented\n"
                                  "aws_secret_access_key = wo/rk\n"
                                  "aws_session_token = t0ken==\n"
                                  "[half]\n"
                                  "aws_access_key_id = AKIAHALF";

static const char settings[] = "[default]\n"
                               "region = eu-central-1\n"
                               "[profile work]\n"
                               "s3 =\n"
                               "  region = not-this\n"
                               "region = us-west-2\n"
                               "[profile here]\n"
                               "aws_access_key_id = AKIAHERE\n"
                               "aws_secret_access_key = he/re\n"
                               "[work]\n"
                               "region = nor-this\n"
                               "[profile role]\n"
                               "role_arn = arn:aws:iam::1:role/x\n"
                               "source_profile = default\n";

static struct aws_conf conf;
static struct gw_error error;

static int set_up(void **state)
{
    (void)state;
    error = (struct gw_error){0};
    conf = (struct aws_conf){
        .access_key_id = "",
        .secret_access_key = "",
        .session_token = "",
        .profile = "default",
        .credentials_file = credentials,
        .config_file = settings,
        .container_endpoint = "http://169.254.170.2",
        .container_relative_uri = "",
        .container_full_uri = "",
        .container_token = "",
        .metadata_endpoint = "http://169.254.169.254",
        .region = "",
    };
    return 0;
}

static void assert_ok(void)
{
    if (aws_check(&conf, &error) != GW_OK)
        fail_msg("%s", error.message);
}

static void assert_keys(const char *id, const char *secret, const char *token)
{
    assert_ok();
    assert_false(aws_is_temporary(&conf));
    assert_true(str_eq_c(conf.key_id, id));
    assert_true(str_eq_c(conf.secret, secret));
    assert_true(str_eq_c(conf.token, token));
}

static void a_value_is_found_in_its_section(void **state)
{
    struct str text = STR("a = 0\n[x]\nb=1\n c = 2\na\t= 3 = 4 \n[y]\na = 5\n"
                          "[x]\na = 6\nd =\n[z");

    (void)state;
    assert_true(str_eq_c(aws_ini_get(text, STR("x"), STR("a")), "3 = 4"));
    assert_true(str_eq_c(aws_ini_get(text, STR("y"), STR("A")), "5"));
    assert_null(aws_ini_get(text, STR("x"), STR("c")).p);
    assert_null(aws_ini_get(text, STR("y"), STR("b")).p);
    assert_null(aws_ini_get(text, STR("z"), STR("a")).p);
    assert_null(aws_ini_get(text, STR(""), STR("a")).p);
    assert_int_equal(aws_ini_get(text, STR("x"), STR("d")).n, 0);
    assert_null(aws_ini_get(STR(""), STR("x"), STR("a")).p);
}

static void configured_keys_come_first(void **state)
{
    (void)state;
    conf.access_key_id = "ASIAOWN";
    conf.secret_access_key = "own";
    conf.session_token = "token";
    conf.container_relative_uri = "/x";
    assert_keys("ASIAOWN", "own", "token");
    assert_int_equal(conf.source, AWS_KEYS);
    assert_true(str_eq_c(conf.found_region, "eu-central-1"));
}

static void lasting_keys_have_no_token(void **state)
{
    (void)state;
    conf.access_key_id = "AKIAOWN";
    conf.secret_access_key = "own";
    conf.session_token = "of something else";
    assert_keys("AKIAOWN", "own", "");
}

static void then_the_profile(void **state)
{
    (void)state;
    conf.container_relative_uri = "/x";
    assert_keys("AKIADEFAULT", "de/fault+=", "");
    assert_int_equal(conf.source, AWS_PROFILE);
}

static void a_profile_has_keys_and_a_region(void **state)
{
    (void)state;
    conf.profile = "work";
    assert_keys("ASIAWORK", "wo/rk", "t0ken==");
    assert_true(str_eq_c(conf.found_region, "us-west-2"));
    set_up(NULL);
    conf.profile = "here";
    assert_keys("AKIAHERE", "he/re", "");
    assert_int_equal(conf.found_region.n, 0);
    set_up(NULL);
    conf.profile = "work";
    conf.region = "us-east-2";
    assert_ok();
    assert_true(str_eq_c(conf.found_region, "us-east-2"));
}

static void a_profile_without_keys_will_not_do(void **state)
{
    static const char *const names[] = {"nobody", "half", "role", ""};
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(names); i++) {
        set_up(NULL);
        conf.source = AWS_PROFILE;
        conf.profile = names[i];
        assert_int_equal(aws_check(&conf, &error), GW_INVALID_VALUE);
        assert_non_null(strstr(error.message, "aws_secret_access_key"));
    }
}

static void then_a_container_and_then_the_instance(void **state)
{
    (void)state;
    conf.profile = "nobody";
    conf.container_full_uri = "http://127.0.0.1/x";
    assert_ok();
    assert_int_equal(conf.source, AWS_CONTAINER);
    assert_true(aws_is_temporary(&conf));
    set_up(NULL);
    conf.credentials_file = conf.config_file = "";
    assert_ok();
    assert_int_equal(conf.source, AWS_INSTANCE);
    assert_true(aws_is_temporary(&conf));
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_value_is_found_in_its_section),
        TEST(configured_keys_come_first),
        TEST(lasting_keys_have_no_token),
        TEST(then_the_profile),
        TEST(a_profile_has_keys_and_a_region),
        TEST(a_profile_without_keys_will_not_do),
        TEST(then_a_container_and_then_the_instance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
