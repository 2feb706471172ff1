/* test_schema.c -- Redis keys out of patterns and parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/store/schema.h"

static void same(struct str key, const char *text)
{
    assert_true(str_eq_c(key, text));
}

static void the_patterns_give_these_keys(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    same(schema_key(a, SCHEMA_FILE, STR("t:x"), STR("file-a-1")),
         "fm:{o:t:x}:f:file-a-1");
    same(schema_key(a, SCHEMA_INDEX, STR("t:x")), "fm:{o:t:x}:idx");
    same(schema_key(a, SCHEMA_INDEX_BOTH, STR("u:y"), STR("batch"), STR("az")),
         "fm:{o:u:y}:idx:pv:batch:az");
    same(schema_key(a, SCHEMA_UPSTREAM, STR("az"), STR("file-9")),
         "fm:{u:az}:file-9");
    arena_free(a);
}

static void braces_and_percents_in_parts_are_escaped(void **state)
{
    struct arena *a = arena_new();

    (void)state;
    same(schema_key(a, SCHEMA_FILE, STR("t:}{%"), STR("\xff%7D")),
         "fm:{o:t:%7D%7B%25}:f:\xff%257D");
    same(schema_key(a, SCHEMA_INDEX_PURPOSE, STR("a"), STR("%25}")),
         "fm:{o:a}:idx:p:%2525%7D");
    arena_free(a);
}

/* The tag ends where the owner ends, so no two owners share a key. */
static void no_two_owners_make_the_same_key(void **state)
{
    static const char *const parts[] = {
        "a",   "a}",   "a}:idx",     "a}:f:x", "a%7D", "{a",    "",
        "idx", "x}:i", "a}:idx:p:x", "x}:idx", "%",    "a}:f:", "%7D",
    };
    const size_t n = COUNTOF(parts);
    struct str keys[2][14 * 14];
    struct arena *a = arena_new();
    size_t i, j;

    (void)state;
    assert_true(n * n <= COUNTOF(keys[0]));
    for (i = 0; i < n * n; i++) {
        keys[0][i] = schema_key(a, SCHEMA_FILE, str_of(parts[i / n]),
                                str_of(parts[i % n]));
        keys[1][i] = schema_key(a, SCHEMA_INDEX_PURPOSE, str_of(parts[i / n]),
                                str_of(parts[i % n]));
    }
    for (i = 0; i < 2 * n * n; i++)
        for (j = 0; j < i; j++)
            assert_false(str_eq(keys[i / (n * n)][i % (n * n)],
                                keys[j / (n * n)][j % (n * n)]));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_patterns_give_these_keys),
        cmocka_unit_test(braces_and_percents_in_parts_are_escaped),
        cmocka_unit_test(no_two_owners_make_the_same_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
