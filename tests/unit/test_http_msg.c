#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/codec/http_msg.h"

static void test_fields_keep_their_order_and_are_found_without_case(void **st)
{
    struct arena *a = arena_new();
    struct http_fields f = {0};

    (void)st;
    http_fields_add(&f, a, STR("Content-Type"), STR("text/plain"));
    http_fields_add(&f, a, STR("X-One"), STR("first"));
    http_fields_add(&f, a, STR("x-one"), STR("second"));
    assert_int_equal(f.n, 3);
    assert_true(str_eq(f.v[2].value, STR("second")));
    assert_true(
        str_eq(http_fields_get(&f, STR("content-TYPE")), STR("text/plain")));
    assert_true(str_eq(http_fields_get(&f, STR("X-ONE")), STR("first")));
    assert_null(http_fields_get(&f, STR("X-On")).p);
    arena_free(a);
}

static void test_hundreds_of_fields_survive_growing(void **st)
{
    struct arena *a = arena_new();
    struct http_fields f = {0};

    (void)st;
    for (int i = 0; i < 500; i++)
        http_fields_add(&f, a, arena_printf(a, "name-%d", i),
                        arena_printf(a, "value-%d", i));
    for (int i = 0; i < 500; i++) {
        struct str want = arena_printf(a, "value-%d", i);

        assert_true(str_eq(f.v[i].value, want));
        assert_true(
            str_eq(http_fields_get(&f, arena_printf(a, "NAME-%d", i)), want));
    }
    arena_free(a);
}

/* The signal that ends a process which adds such a field; 0 for none. */
static int signal_of_adding(struct str name, struct str value)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        struct arena *a = arena_new();
        struct http_fields f = {0};

        /* The report of the crash is expected. */
        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        http_fields_add(&f, a, name, value);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_a_field_that_would_split_the_head_is_a_bug(void **st)
{
    (void)st;
    assert_int_equal(signal_of_adding(STR("A"), STR("b")), 0);
    assert_int_equal(signal_of_adding(STR("A"), STR("b\rc")), SIGABRT);
    assert_int_equal(signal_of_adding(STR("A"), STR("b\nc")), SIGABRT);
    assert_int_equal(signal_of_adding(STR("A"), STR("b\0c")), SIGABRT);
    assert_int_equal(signal_of_adding(STR("A\r\nB"), STR("c")), SIGABRT);
    assert_int_equal(signal_of_adding(STR(""), STR("c")), SIGABRT);
}

static void test_the_length_is_the_sum_of_the_segments(void **st)
{
    struct http_req r = {0};

    (void)st;
    assert_int_equal(http_req_length(&r), 0);
    http_req_add_mem(&r, STR("head"));
    assert_int_equal(http_req_length(&r), 4);
    http_req_add_stream(&r, (int64_t)1 << 40);
    assert_int_equal(http_req_length(&r), ((int64_t)1 << 40) + 4);
    http_req_add_mem(&r, STR("tail!"));
    assert_int_equal(http_req_length(&r), ((int64_t)1 << 40) + 9);
    http_req_add_stream(&r, -1);
    assert_int_equal(http_req_length(&r), -1);
    assert_int_equal(r.nsegs, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_fields_keep_their_order_and_are_found_without_case),
        cmocka_unit_test(test_hundreds_of_fields_survive_growing),
        cmocka_unit_test(test_a_field_that_would_split_the_head_is_a_bug),
        cmocka_unit_test(test_the_length_is_the_sum_of_the_segments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
