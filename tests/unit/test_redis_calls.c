/* test_redis_calls.c -- a call's ends: answered, failed, cancelled, in order.
 */
#include "redis_fixture.h"

#include "gateway/base/limits.h"

static const char set_text[] =
    "redis.call('SET', KEYS[1], ARGV[1]) return ARGV[2]";
static const struct redis_script set_script = {
    "set", set_text, "5521f4fc986445aaa867b0104949c22a5523ea9d"};

/* --- cancelling, room, order --- */

static void a_cancelled_command_is_carried_out_and_not_answered(void **state)
{
    struct fx *f = *state;
    struct fx_answer a, b;

    redis_cancel(fx_send(f->r, "SET k cancelled", &a));
    fx_do(f, "GET k", &b);
    assert_string_equal(b.text, "cancelled");
    assert_int_equal(a.times, 0);
}

struct canceller {
    struct redis_call *self, *other;
    int times;
};

static void cancel_both(void *arg, const struct redis_value *v,
                        const struct gw_error *e)
{
    struct canceller *c = arg;

    (void)v;
    (void)e;
    c->times++;
    redis_cancel(c->self);
    if (c->other)
        redis_cancel(c->other);
}

static void any_callback_may_cancel_itself_and_others(void **state)
{
    struct fx *f = *state;
    struct canceller c = {0};
    struct str ping = STR("PING");
    struct fx_answer a, b;

    c.self = redis_command(f->r, cancel_both, &c, 1, &ping);
    c.other = fx_send(f->r, "SET k v", &a);
    fx_do(f, "PING", &b);
    assert_int_equal(c.times, 1);
    assert_int_equal(a.times, 0);
    /* The same among commands that fail together. */
    redis_close(f->r);
    f->r = fx_open(f, "unix:///nonexistent", 1000);
    c.times = 0;
    c.self = redis_command(f->r, cancel_both, &c, 1, &ping);
    c.other = fx_send(f->r, "SET k v", &a);
    fx_do(f, "PING", &b);
    assert_int_equal(c.times, 1);
    assert_int_equal(a.times, 0);
    assert_int_equal(b.err, GW_STORE_UNAVAILABLE);
}

struct room {
    char first, bytes[REDIS_ROOM_BYTES - 2], last;
};

static bool has_seen_room;

static void look_at_room(void *arg, const struct redis_value *v,
                         const struct gw_error *e)
{
    struct room *r = arg;

    assert_non_null(v);
    assert_int_equal(e->err, GW_OK);
    assert_int_equal(r->first, 1);
    assert_int_equal(r->bytes[5], 0);
    assert_int_equal(r->last, 2);
    has_seen_room = true;
}

static void a_call_has_room_for_what_its_callback_needs(void **state)
{
    struct fx *f = *state;
    struct str ping = STR("PING");
    struct redis_call *c;
    struct room *r;
    int i;

    for (i = 0; i < 3; i++) {
        has_seen_room = false;
        c = redis_command(f->r, look_at_room, NULL, 1, &ping);
        r = redis_room(c, sizeof(*r));
        assert_int_equal(r->bytes[5], 0); /* also in a call used again */
        r->first = 1;
        r->last = 2;
        fx_until(f, fx_is_set, &has_seen_room);
        /* What the last one left must not be seen by the next. */
        c = redis_command(f->r, look_at_room, NULL, 1, &ping);
        r = redis_room(c, sizeof(*r));
        memset(r, 0x5a, sizeof(*r));
        redis_cancel(c);
        fx_ok(f, "PING");
    }
}

struct sequence {
    int *next;
    int mine;
    enum gw_err err;
};

static void check_sequence(void *arg, const struct redis_value *v,
                           const struct gw_error *e)
{
    struct sequence *s = arg;

    (void)v;
    assert_int_equal(e->err, s->err);
    assert_int_equal((*s->next)++, s->mine);
}

static bool is_two(void *arg)
{
    return *(int *)arg == 2;
}

static void of_two_joined_calls_the_second_ends_second(void **state)
{
    struct fx *f = *state;
    int next = 0;
    struct sequence one = {&next, 0, GW_OK}, two = {&next, 1, GW_INTERNAL};
    char *much = xcalloc(1, LIMIT_REDIS_COMMAND);
    struct str ping = STR("PING");
    struct str echo[] = {STR("ECHO"), {much, LIMIT_REDIS_COMMAND}};
    struct redis_call *first, *second;

    /* The second is too large and fails before anything was sent. */
    first = redis_command(f->r, check_sequence, &one, 1, &ping);
    second = redis_command(f->r, check_sequence, &two, 2, echo);
    redis_after(second, first);
    fx_until(f, is_two, &next);
    /* And both fail in that order when there is no connection. */
    fx_server_kill(f);
    fx_until(f, fx_is_down, f->r);
    next = 0;
    one.err = two.err = GW_STORE_UNAVAILABLE;
    first = redis_command(f->r, check_sequence, &one, 1, &ping);
    second = redis_command(f->r, check_sequence, &two, 1, &ping);
    redis_after(second, first);
    fx_until(f, is_two, &next);
    free(much);
}

/* --- failing --- */

struct flood {
    struct fx *f;
    struct loop_timer timer;
    int sent, answered, failed, target;
};

static void count_answer(void *arg, const struct redis_value *v,
                         const struct gw_error *e)
{
    struct flood *d = arg;

    (void)v;
    d->answered++;
    d->failed += e->err != GW_OK;
}

static void send_more(void *arg)
{
    struct flood *d = arg;
    struct str incr[] = {STR("INCR"), STR("flood")};
    struct str key = STR("from-script"), args[] = {STR("v"), STR("said")};
    int i;

    for (i = 0; i < 20; i++) {
        redis_command(d->f->r, count_answer, d, 2, incr);
        redis_eval(d->f->r, count_answer, d, &set_script, 1, &key, 2, args);
        d->sent += 2;
    }
    if (d->sent < d->target)
        loop_timer_set(&d->timer, 1);
}

static bool is_flooded(void *arg)
{
    struct flood *d = arg;

    return d->sent >= d->target && d->answered == d->sent;
}

static bool is_half_flooded(void *arg)
{
    struct flood *d = arg;

    return d->sent >= d->target / 2;
}

static void each_command_is_answered_once_across_a_restart(void **state)
{
    struct fx *f = *state;
    struct flood d = {.f = f, .target = 4000};

    loop_timer_init(f->loop, &d.timer, send_more, &d);
    loop_timer_set(&d.timer, 0);
    fx_until(f, is_half_flooded, &d);
    fx_server_kill(f);
    fx_server_start(f);
    fx_until(f, is_flooded, &d);
    assert_int_equal(d.answered, d.sent);
    assert_true(d.failed > 0);
    fx_up(f);
    fx_ok(f, "PING");
    loop_timer_release(&d.timer);
}

static void no_more_commands_wait_than_the_limit(void **state)
{
    struct fx *f = *state;
    struct flood d = {.f = f};
    struct str ping = STR("PING");
    struct fx_answer last = {0}, one_more = {0};

    redis_close(f->r);
    f->r = fx_open(f, f->url, FX_DEADLINE_MS);
    fx_up(f);
    kill(f->pid, SIGSTOP);
    for (d.sent = 0; d.sent < LIMIT_REDIS_WAITING - 1; d.sent++)
        redis_command(f->r, count_answer, &d, 1, &ping);
    redis_command(f->r, fx_on_answer, &last, 1, &ping);
    redis_command(f->r, fx_on_answer, &one_more, 1, &ping);
    assert_false(one_more.is_done);
    fx_until(f, fx_is_set, &one_more.is_done);
    assert_int_equal(one_more.err, GW_STORE_UNAVAILABLE);
    assert_int_equal(d.answered, 0);
    kill(f->pid, SIGCONT);
    fx_until(f, fx_is_set, &last.is_done);
    assert_int_equal(last.err, GW_OK);
    assert_int_equal(d.answered, d.sent);
    assert_int_equal(d.failed, 0);
    fx_ok(f, "PING");
}

static void closing_fails_what_waits_in_order(void **state)
{
    struct fx *f = *state;
    int next = 0, i;
    struct sequence s[3];
    struct str ping = STR("PING");

    for (i = 0; i < 3; i++) {
        s[i] = (struct sequence){&next, i, GW_STORE_UNAVAILABLE};
        redis_command(f->r, check_sequence, &s[i], 1, &ping);
    }
    redis_close(f->r);
    f->r = NULL;
    assert_int_equal(next, 3);
}

#define WITH_REDIS(test)                                                       \
    cmocka_unit_test_setup_teardown(test, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REDIS(a_cancelled_command_is_carried_out_and_not_answered),
        WITH_REDIS(any_callback_may_cancel_itself_and_others),
        WITH_REDIS(a_call_has_room_for_what_its_callback_needs),
        WITH_REDIS(of_two_joined_calls_the_second_ends_second),
        WITH_REDIS(each_command_is_answered_once_across_a_restart),
        WITH_REDIS(no_more_commands_wait_than_the_limit),
        WITH_REDIS(closing_fails_what_waits_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
