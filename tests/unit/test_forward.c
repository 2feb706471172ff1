/* test_forward.c -- what a call that is passed on leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/flow/forward_impl.h"

static void note(void *arg)
{
    *(bool *)arg = true;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static void its_turn_goes_with_it(void **state)
{
    struct services sv = {.loop = loop_new()};
    struct txn t = {.sv = &sv};
    struct forward f = {.t = &t};
    struct loop_task last = {0};
    bool has_run = false;

    (void)state;
    loop_defer(sv.loop, &f.turn, note, &has_run);
    forward_events_release(&f);
    assert_false(f.turn.is_queued);
    loop_defer(sv.loop, &last, stop, sv.loop);
    loop_post(sv.loop, stop, sv.loop);
    loop_run(sv.loop);
    assert_false(has_run);
    loop_free(sv.loop);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_turn_goes_with_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
