/* redis_calls.h -- the commands under way on one connection; redis.c's half
 * that does not know hiredis.
 *
 *     new ─► waiting ──── answer ────► callback ─► idle (used again)
 *       │       │ connection lost                   ▲
 *       └───────┴────────► failed ── end of turn ───┘
 *
 * `waiting` is in the order in which Redis answers. What fails is told at the
 * end of the turn, in the order of failing, never from within the function
 * that made the call. One timer watches the oldest that waits.
 */
#ifndef FILEMUX_STORE_REDIS_CALLS_H
#define FILEMUX_STORE_REDIS_CALLS_H

#include "gateway/base/buf.h"
#include "gateway/store/redis.h"

/* Why commands fail: the label of the metric. */
enum redis_failure {
    REDIS_DOWN,    /* there was no connection */
    REDIS_LOST,    /* it broke */
    REDIS_TIMEOUT, /* the deadline passed */
    REDIS_REFUSED, /* Redis answered an error that passes */
    REDIS_ERROR,   /* … or one that does not */
};

struct redis_call {
    struct redis_call *prev, *next;
    struct redis_calls *owner;
    redis_callback *fn;
    void *arg;
    bool is_cancelled;
    struct redis_call *then;    /* told after this one: redis_after() */
    bool is_blocked;            /* the one before has not ended */
    bool is_held;               /* and meanwhile this one failed */
    enum redis_failure failure; /* while in `failed`, or held */
    enum gw_err err;            /* the same */
    int64_t due_ms;             /* while in `waiting` */
    int64_t sent_us;            /* the same */
    struct buf command;         /* as sent */
    size_t argc, args_at;       /* of an EVALSHA: what follows the name */
    const struct redis_script *script; /* NULL: none, or sent as text */
    _Alignas(16) char room[REDIS_ROOM_BYTES];
};

struct redis_calls {
    struct loop *loop;
    struct metrics *metrics;
    struct metric_series *seconds;
    int64_t timeout_ms;
    struct redis_call *waiting, *failed, *idle;
    size_t nwaiting, nidle;
    bool is_answering; /* in a callback */
    struct loop_task tell_failed;
    struct loop_timer deadline;
    void (*on_overdue)(void *arg);
    void *arg;
};

/* on_overdue(arg): the oldest waits for longer than timeout_ms. */
void redis_calls_init(struct redis_calls *q, struct loop *l, struct metrics *m,
                      int64_t timeout_ms, void (*on_overdue)(void *arg),
                      void *arg);
/* Tells what failed; nothing may wait. */
void redis_calls_release(struct redis_calls *q);

/* Calls with their command in bytes. */
struct redis_call *redis_calls_command(struct redis_calls *q,
                                       redis_callback *fn, void *arg,
                                       size_t argc, const struct str *argv);
struct redis_call *redis_calls_eval(struct redis_calls *q, redis_callback *fn,
                                    void *arg, const struct redis_script *s,
                                    size_t nkeys, const struct str *keys,
                                    size_t nargs, const struct str *args);
/* From EVALSHA to EVAL. */
void redis_calls_use_text(struct redis_call *c);

/* It was sent. */
void redis_calls_wait(struct redis_call *c);
/* It was answered, or will not be: it waits no longer. */
void redis_calls_unwait(struct redis_call *c);

/* The three ends of a call. */
void redis_calls_answer(struct redis_call *c, const struct redis_value *v);
void redis_calls_fail(struct redis_call *c, enum gw_err err,
                      enum redis_failure why);
void redis_calls_fail_later(struct redis_call *c, enum gw_err err,
                            enum redis_failure why);

#endif
