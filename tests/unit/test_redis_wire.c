/* test_redis_wire.c -- commands as bytes, errors by their first word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/store/redis_wire.h"

static void a_command_is_lengths_and_bytes(void **state)
{
    static const char want[] = "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\na\0b\r\n$1"
                               "\r\n123\r\n";
    struct buf b;

    (void)state;
    buf_init(&b, 1024);
    redis_wire_begin(&b, 3);
    redis_wire_arg(&b, STR("SET"));
    redis_wire_arg(&b, STR(""));
    redis_wire_arg(&b, STR("a\0b\r\n$1\r\n123"));
    assert_int_equal(b.n, sizeof(want) - 1);
    assert_memory_equal(b.p, want, b.n);
    buf_clear(&b);
    redis_wire_begin(&b, (size_t)-1);
    assert_string_equal(b.p, "*18446744073709551615\r\n");
    buf_release(&b);
}

static void what_passes_is_told_from_what_is_wrong(void **state)
{
    static const char *const passing[] = {
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "READONLY You can't write against a read only replica. script: abc",
        "MASTERDOWN Link with MASTER is down",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "BUSY Redis is busy running a script.",
        "MISCONF Redis is configured to save RDB snapshots",
        "NOREPLICAS Not enough good replicas to write.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "CLUSTERDOWN The cluster is down",
        "ERR Error running script (call to f_abc): @user_script:3: "
        "@user_script: 3: -OOM command not allowed",
        "ERR Error running script (call to f_abc): @user_script:1: "
        "-READONLY You can't write against a read only replica.",
    };
    static const char *const wrong[] = {
        "ERR unknown command 'X'",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "NOSCRIPT No matching script.",
        "NOAUTH Authentication required.",
        "NOPERM this user has no permissions",
        "OOMPH",
        "ERR the value : -OOMPH",
        "ERR OOM",
        "WRONGTYPE of a key named : -OOM x",
        "",
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(passing); i++)
        assert_true(redis_wire_is_unavailable(str_of(passing[i])));
    for (i = 0; i < COUNTOF(wrong); i++)
        assert_false(redis_wire_is_unavailable(str_of(wrong[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_is_lengths_and_bytes),
        cmocka_unit_test(what_passes_is_told_from_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
