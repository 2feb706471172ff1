#include "gateway/store/redis_calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/store/redis_wire.h"

#define IDLE_CALLS 64   /* kept for use again */
#define IDLE_BYTES 4096 /* and the command's buffer with them */

static const char *const failure_names[] = {
    [REDIS_DOWN] = "down",       [REDIS_LOST] = "lost",
    [REDIS_TIMEOUT] = "timeout", [REDIS_REFUSED] = "refused",
    [REDIS_ERROR] = "error",
};

/* --- making and unmaking --- */

static struct redis_call *call_new(struct redis_calls *q, redis_callback *fn,
                                   void *arg)
{
    struct redis_call *c = q->idle;

    if (c) {
        LL_DELETE(q->idle, c);
        q->nidle--;
    } else {
        c = xcalloc(1, sizeof(*c));
        buf_init(&c->command, LIMIT_REDIS_COMMAND);
    }
    c->owner = q;
    c->fn = fn;
    c->arg = arg;
    c->is_cancelled = c->is_blocked = c->is_held = false;
    c->then = NULL;
    c->script = NULL;
    return c;
}

static void call_free(struct redis_call *c)
{
    buf_release(&c->command);
    free(c);
}

static void call_done(struct redis_call *c)
{
    struct redis_calls *q = c->owner;

    if (q->nidle == IDLE_CALLS) {
        call_free(c);
        return;
    }
    if (c->command.cap > IDLE_BYTES)
        buf_release(&c->command);
    buf_clear(&c->command);
    LL_PREPEND(q->idle, c);
    q->nidle++;
}

struct redis_call *redis_calls_command(struct redis_calls *q,
                                       redis_callback *fn, void *arg,
                                       size_t argc, const struct str *argv)
{
    struct redis_call *c = call_new(q, fn, arg);
    size_t i;

    ASSERT(argc > 0);
    redis_wire_begin(&c->command, argc);
    for (i = 0; i < argc; i++)
        redis_wire_arg(&c->command, argv[i]);
    return c;
}

struct redis_call *redis_calls_eval(struct redis_calls *q, redis_callback *fn,
                                    void *arg, const struct redis_script *s,
                                    size_t nkeys, const struct str *keys,
                                    size_t nargs, const struct str *args)
{
    struct redis_call *c = call_new(q, fn, arg);
    char count[24];
    size_t i;

    c->script = s;
    c->argc = 3 + nkeys + nargs;
    redis_wire_begin(&c->command, c->argc);
    redis_wire_arg(&c->command, STR("EVALSHA"));
    redis_wire_arg(&c->command, str_make(s->sha1, REDIS_SHA1_HEX));
    c->args_at = c->command.n;
    snprintf(count, sizeof(count), "%zu", nkeys);
    redis_wire_arg(&c->command, str_of(count));
    for (i = 0; i < nkeys; i++)
        redis_wire_arg(&c->command, keys[i]);
    for (i = 0; i < nargs; i++)
        redis_wire_arg(&c->command, args[i]);
    return c;
}

void redis_calls_use_text(struct redis_call *c)
{
    struct buf b;

    buf_init(&b, LIMIT_REDIS_COMMAND);
    redis_wire_begin(&b, c->argc);
    redis_wire_arg(&b, STR("EVAL"));
    redis_wire_arg(&b, str_of(c->script->text));
    buf_add(&b, c->command.p + c->args_at, c->command.n - c->args_at);
    buf_release(&c->command);
    c->command = b;
    c->script = NULL;
}

void redis_cancel(struct redis_call *c)
{
    c->is_cancelled = true;
}

void *redis_room(struct redis_call *c, size_t size)
{
    ASSERT(size <= sizeof(c->room));
    c->arg = memset(c->room, 0, sizeof(c->room));
    return c->room;
}

void redis_after(struct redis_call *second, struct redis_call *first)
{
    ASSERT(!first->then && !second->is_blocked);
    first->then = second;
    second->is_blocked = true;
}

/* --- waiting --- */

/* All deadlines are equally far away, so the oldest call has the next one; the
 * timer looks at it when it fires, and not at every command. */
static void on_deadline(void *arg)
{
    struct redis_calls *q = arg;
    int64_t left;

    if (!q->waiting)
        return;
    left = q->waiting->due_ms - loop_now_ms(q->loop);
    if (left > 0)
        loop_timer_set(&q->deadline, left);
    else
        q->on_overdue(q->arg);
}

void redis_calls_wait(struct redis_call *c)
{
    struct redis_calls *q = c->owner;

    c->sent_us = clock_mono_us();
    c->due_ms = loop_now_ms(q->loop) + q->timeout_ms;
    DL_APPEND(q->waiting, c);
    q->nwaiting++;
    if (!q->deadline.due_ms)
        loop_timer_set(&q->deadline, q->timeout_ms);
}

void redis_calls_unwait(struct redis_call *c)
{
    struct redis_calls *q = c->owner;

    DL_DELETE(q->waiting, c);
    q->nwaiting--;
}

/* --- ends --- */

static void call_back(struct redis_call *c, const struct redis_value *v,
                      const struct gw_error *e)
{
    struct redis_calls *q = c->owner;
    bool was_answering = q->is_answering;

    q->is_answering = true;
    if (!c->is_cancelled)
        c->fn(c->arg, v, e);
    q->is_answering = was_answering;
    if (c->then) {
        c->then->is_blocked = false;
        if (c->then->is_held)
            redis_calls_fail_later(c->then, c->then->err, c->then->failure);
    }
    call_done(c);
}

void redis_calls_answer(struct redis_call *c, const struct redis_value *v)
{
    static const struct gw_error none;

    metric_observe_us(c->owner->seconds, clock_mono_us() - c->sent_us);
    call_back(c, v, &none);
}

void redis_calls_fail(struct redis_call *c, enum gw_err err,
                      enum redis_failure why)
{
    struct gw_error e = {0};

    /* An answer cannot overtake that to the command before; a failure can. */
    if (c->is_blocked) {
        c->is_held = true;
        c->err = err;
        c->failure = why;
        return;
    }
    metrics_count(c->owner->metrics, METRIC_REDIS_ERRORS, failure_names[why],
                  NULL, NULL);
    err_plain(&e, err);
    if (err == GW_STORE_UNAVAILABLE)
        e.retry_after_s = 1;
    call_back(c, NULL, &e);
}

static void tell_failed(void *arg)
{
    struct redis_calls *q = arg;
    struct redis_call *all = q->failed, *c, *next;

    q->failed = NULL; /* what fails during this is told in the next round */
    DL_FOREACH_SAFE (all, c, next)
        redis_calls_fail(c, c->err, c->failure);
}

void redis_calls_fail_later(struct redis_call *c, enum gw_err err,
                            enum redis_failure why)
{
    struct redis_calls *q = c->owner;

    c->err = err;
    c->failure = why;
    DL_APPEND(q->failed, c);
    loop_defer(q->loop, &q->tell_failed, tell_failed, q);
}

/* --- the whole --- */

void redis_calls_init(struct redis_calls *q, struct loop *l, struct metrics *m,
                      int64_t timeout_ms, void (*on_overdue)(void *arg),
                      void *arg)
{
    *q = (struct redis_calls){.loop = l,
                              .metrics = m,
                              .timeout_ms = timeout_ms,
                              .on_overdue = on_overdue,
                              .arg = arg};
    q->seconds = metrics_get(m, METRIC_REDIS_SECONDS, NULL, NULL, NULL);
    loop_timer_init(l, &q->deadline, on_deadline, q);
}

void redis_calls_release(struct redis_calls *q)
{
    struct redis_call *c, *next;

    ASSERT(!q->waiting && !q->is_answering);
    while (q->failed)
        tell_failed(q);
    loop_task_cancel(q->loop, &q->tell_failed);
    loop_timer_release(&q->deadline);
    LL_FOREACH_SAFE(q->idle, c, next)
    call_free(c);
}
