/* test_redis_url.c -- what a redis.url may look like, and what not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/store/redis.h"
#include "gateway/store/redis_url.h"

static struct redis_url parse(struct arena *a, const char *text)
{
    struct gw_error e = {0};
    struct redis_url u;

    if (redis_url_parse(a, text, &u, &e) != GW_OK)
        fail_msg("%s: %s", text, e.message);
    return u;
}

static void a_host_has_defaults(void **state)
{
    struct arena *a = arena_new();
    struct redis_url u = parse(a, "redis://cache");

    (void)state;
    assert_null(u.path);
    assert_string_equal(u.host, "cache");
    assert_int_equal(u.port, 6379);
    assert_int_equal(u.db, 0);
    assert_null(u.user.p);
    assert_null(u.password.p);
    assert_false(u.is_tls);
    arena_free(a);
}

static void all_parts_of_a_host_are_read(void **state)
{
    struct arena *a = arena_new();
    struct redis_url u = parse(a, "redis://jo%40e:p%3Aw%2F@10.0.0.1:7000/15");

    (void)state;
    assert_string_equal(u.host, "10.0.0.1");
    assert_int_equal(u.port, 7000);
    assert_int_equal(u.db, 15);
    assert_true(str_eq_c(u.user, "jo@e"));
    assert_true(str_eq_c(u.password, "p:w/"));
    u = parse(a, "redis://:a@b:c@[::1]:7001/");
    assert_string_equal(u.host, "::1");
    assert_int_equal(u.port, 7001);
    assert_null(u.user.p);
    assert_true(str_eq_c(u.password, "a@b:c"));
    u = parse(a, "redis://[fe80::1]");
    assert_string_equal(u.host, "fe80::1");
    assert_int_equal(u.port, 6379);
    arena_free(a);
}

static void a_socket_is_a_path(void **state)
{
    struct arena *a = arena_new();
    struct redis_url u = parse(a, "unix:///run/redis.sock");

    (void)state;
    assert_string_equal(u.path, "/run/redis.sock");
    assert_int_equal(u.db, 0);
    u = parse(a, "unix://joe:pw@/run/a b@%41.sock?db=3");
    assert_string_equal(u.path, "/run/a b@%41.sock");
    assert_int_equal(u.db, 3);
    assert_true(str_eq_c(u.user, "joe"));
    assert_true(str_eq_c(u.password, "pw"));
    arena_free(a);
}

static void what_is_wrong_is_said_without_the_password(void **state)
{
    static const struct {
        const char *url, *why;
    } cases[] = {
        /* clang-format off */
        {"", "must start with"},
        {"http://x", "must start with"},
        {"cache:6379", "must start with"},
        {"redis://", "no host"},
        {"redis://:6379", "no host"},
        {"redis://hunter2@host", "user:password"},
        {"redis://joe:@host", "password is empty"},
        {"redis://joe:hunter2%zz@host", "does not decode"},
        {"redis://joe:hunter2@host:port", "port"},
        {"redis://joe:hunter2@host:0", "port"},
        {"redis://joe:hunter2@host:65536", "port"},
        {"redis://joe:hunter2@host/zero", "database"},
        {"redis://joe:hunter2@host/-1", "database"},
        {"redis://joe:hunter2@host/0?db=1", "unknown parameter"},
        {"redis://joe:hunter2@host?x", "does not decode"},
        {"redis://[::1", "bracket"},
        {"redis://[::1]x", "IPv6"},
        {"unix://run/redis.sock", "no host"},
        {"unix://", "no path"},
        {"unix:///a?db=x", "database"},
        {"unix:///aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "longer than 106"},
        /* clang-format on */
    };
    struct gw_error e;
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(cases); i++) {
        e = (struct gw_error){0};
        assert_int_equal(redis_check_url(cases[i].url, &e), GW_INVALID_VALUE);
        assert_string_equal(e.param, "redis.url");
        if (!strstr(e.message, cases[i].why))
            fail_msg("%s: %s", cases[i].url, e.message);
        assert_null(strstr(e.message, "hunter2"));
    }
}

static void tls_is_there_or_its_absence_is_explained(void **state)
{
    struct gw_error e = {0};
    enum gw_err err = redis_check_url("rediss://host/0?ca_file=/a.pem", &e);

    (void)state;
    if (err == GW_OK)
        return; /* built against a hiredis with TLS */
    assert_int_equal(err, GW_INVALID_VALUE);
    assert_non_null(strstr(e.message, "hiredis with TLS"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_has_defaults),
        cmocka_unit_test(all_parts_of_a_host_are_read),
        cmocka_unit_test(a_socket_is_a_path),
        cmocka_unit_test(what_is_wrong_is_said_without_the_password),
        cmocka_unit_test(tls_is_there_or_its_absence_is_explained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
