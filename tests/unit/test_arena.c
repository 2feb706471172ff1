/* test_arena.c -- memory that is zeroed, aligned, and given back as a whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "gateway/base/arena.h"

static void pieces_are_zeroed_aligned_and_apart(void **state)
{
    struct arena *a = arena_new();
    unsigned char *pieces[2000];

    (void)state;
    for (size_t i = 0; i < 2000; i++) {
        size_t n = i % 257;

        pieces[i] = arena_alloc(a, n);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t k = 0; k < n; k++)
            assert_int_equal(pieces[i][k], 0);
        memset(pieces[i], (int)(i & 0xff), n);
    }
    /* None was written over by a later one. */
    for (size_t i = 0; i < 2000; i++)
        for (size_t k = 0; k < i % 257; k++)
            assert_int_equal(pieces[i][k], i & 0xff);
    arena_free(a);
}

static void a_piece_may_be_larger_than_a_block(void **state)
{
    struct arena *a = arena_new();
    char *small = arena_alloc(a, 10), *large = arena_alloc(a, 1 << 20), *after;

    (void)state;
    memset(small, 'a', 10);
    memset(large, 'b', 1 << 20);
    after = arena_alloc(a, 10);
    memset(after, 'c', 10);
    assert_int_equal(small[9], 'a');
    assert_int_equal(large[0], 'b');
    assert_int_equal(large[(1 << 20) - 1], 'b');
    arena_free(a);
}

static void every_size_around_a_block_holds(void **state)
{
    (void)state;
    for (size_t n = 3900; n < 4200; n++) {
        struct arena *a = arena_new();

        memset(arena_alloc(a, n), 'x', n);
        memset(arena_alloc(a, n), 'y', n);
        arena_free(a);
    }
}

static void copies_end_in_a_nul(void **state)
{
    struct arena *a = arena_new();
    struct str s = arena_dup(a, STR("a\0b"));
    const char *c;

    (void)state;
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "a\0b\0", 4);
    assert_null(arena_dup(a, STR_NULL).p);
    s = arena_dup(a, STR(""));
    assert_non_null(s.p);
    assert_int_equal(s.p[0], '\0');
    c = arena_cstr(a, str_make("abcdef", 3));
    assert_string_equal(c, "abc");
    assert_string_equal(arena_cstr(a, STR_NULL), "");
    arena_free(a);
}

static void printf_takes_what_it_needs(void **state)
{
    struct arena *a = arena_new();
    struct str s = arena_printf(a, "%s-%d", "x", 42);

    (void)state;
    assert_true(str_eq(s, STR("x-42")));
    assert_int_equal(s.p[s.n], '\0');
    s = arena_printf(a, "%9000d", 7);
    assert_int_equal(s.n, 9000);
    assert_int_equal(s.p[8999], '7');
    s = arena_printf(a, "%s", "");
    assert_non_null(s.p);
    assert_int_equal(s.n, 0);
    arena_free(a);
}

struct trace {
    char text[16];
    size_t n;
};

struct hook {
    struct trace *trace;
    char mark;
};

static void leave_mark(void *arg)
{
    struct hook *h = arg;

    h->trace->text[h->trace->n++] = h->mark;
}

static void hooks_run_once_the_last_first(void **state)
{
    struct arena *a = arena_new();
    struct trace trace = {{0}, 0};

    (void)state;
    for (char c = 'a'; c <= 'd'; c++) {
        /* The hook's own memory is the arena's: it is still there. */
        struct hook *h = arena_new_of(a, struct hook);

        *h = (struct hook){&trace, c};
        arena_on_free(a, leave_mark, h);
    }
    assert_int_equal(trace.n, 0);
    arena_free(a);
    assert_string_equal(trace.text, "dcba");
}

static struct trace late_trace;
static struct arena *late_arena;

static void add_late_hook(void *arg)
{
    static struct hook h = {&late_trace, 'l'};

    leave_mark(arg);
    arena_on_free(late_arena, leave_mark, &h);
}

static void a_hook_added_by_a_hook_runs_too(void **state)
{
    struct hook first = {&late_trace, 'f'};

    (void)state;
    late_arena = arena_new();
    arena_on_free(late_arena, add_late_hook, &first);
    arena_free(late_arena);
    assert_string_equal(late_trace.text, "fl");
}

static void freeing_nothing_is_allowed(void **state)
{
    (void)state;
    arena_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
        cmocka_unit_test(a_piece_may_be_larger_than_a_block),
        cmocka_unit_test(every_size_around_a_block_holds),
        cmocka_unit_test(copies_end_in_a_nul),
        cmocka_unit_test(printf_takes_what_it_needs),
        cmocka_unit_test(hooks_run_once_the_last_first),
        cmocka_unit_test(a_hook_added_by_a_hook_runs_too),
        cmocka_unit_test(freeing_nothing_is_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
