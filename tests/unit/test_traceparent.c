#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/codec/traceparent.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define REST "-00f067aa0ba902b7-01"

static void what_is_well_formed_tells_its_trace(void **state)
{
    static const char *const good[] = {
        "00-" ID REST,
        "00-" ID "-00f067aa0ba902b7-00",
        "01-" ID REST "-what-comes-later",
        "cc-" ID REST,
    };

    (void)state;
    for (size_t i = 0; i < COUNTOF(good); i++) {
        struct str id = STR_NULL;

        assert_true(traceparent_parse(str_of(good[i]), &id));
        assert_true(str_eq(id, STR(ID)));
    }
}

static void what_is_not_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "00",
        "00-" ID,
        "00-" ID REST "-more",
        "01-" ID REST "more",
        "ff-" ID REST,
        "0g-" ID REST,
        "00-4BF92F3577B34DA6A3CE929D0E0E4736" REST,
        "00-00000000000000000000000000000000" REST,
        "00-" ID "-0000000000000000-01",
        "00-" ID "-00f067aa0ba902b7-0x",
        "00_" ID REST,
        "00-" ID "_00f067aa0ba902b7-01",
        "01-" ID REST "-\x01",
    };

    (void)state;
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        struct str id;

        if (traceparent_parse(str_of(bad[i]), &id))
            fail_msg("'%s' was taken", bad[i]);
    }
}

static void every_beginning_is_refused(void **state)
{
    struct str whole = STR("00-" ID REST), id;

    (void)state;
    for (size_t n = 0; n < whole.n; n++)
        assert_false(traceparent_parse(str_make(whole.p, n), &id));
}

static void a_state_is_short_and_printable(void **state)
{
    static char long_one[TRACEPARENT_STATE_BYTES + 1];

    (void)state;
    memset(long_one, 'a', sizeof(long_one));
    assert_true(traceparent_is_state(STR("congo=t61rcWkgMzE,rojo=1")));
    assert_true(
        traceparent_is_state(str_make(long_one, TRACEPARENT_STATE_BYTES)));
    assert_false(traceparent_is_state(str_make(long_one, sizeof(long_one))));
    assert_false(traceparent_is_state(STR("")));
    assert_false(traceparent_is_state(STR("a\x7f")));
    assert_false(traceparent_is_state(STR("a\xc3\xa4")));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_well_formed_tells_its_trace),
        cmocka_unit_test(what_is_not_is_refused),
        cmocka_unit_test(every_beginning_is_refused),
        cmocka_unit_test(a_state_is_short_and_printable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
