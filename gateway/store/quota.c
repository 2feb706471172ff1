/* All of it is in the scripts, which say what they keep; here are their
 * arguments and answers. Numbers in Lua are doubles, exact to 2^53: an amount
 * or a limit is at most QUOTA_MAX, so that sums of some thirty such are exact,
 * and none overflows.
 */
#include "gateway/store/quota.h"

#include <inttypes.h>
#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/store/quota_keys.h"
#include "gateway/store/redis_done.h"
#include "scripts.h"

#define DAY_MAX 1000000  /* the year 4707; a loop over days ends before */
#define HOLD_GONE (-1)   /* quota_extend's */
#define USAGE_NUMBERS 11 /* of a scope, in quota_usage's answer */
#define DAY_NUMBERS 6    /* of a row, in quota_history's */
/* An id, a lease, an entry, four amounts; an id and four limits per scope. */
#define ARGS_MAX (7 + 5 * QUOTA_SCOPES)

static const struct redis_script hold_script = REDIS_SCRIPT(quota_hold);
static const struct redis_script extend_script = REDIS_SCRIPT(quota_extend);
static const struct redis_script settle_script = REDIS_SCRIPT(quota_settle);
static const struct redis_script found_script = REDIS_SCRIPT(quota_found);
static const struct redis_script release_script = REDIS_SCRIPT(quota_release);
static const struct redis_script move_script = REDIS_SCRIPT(quota_move);
static const struct redis_script back_script = REDIS_SCRIPT(quota_move_back);
static const struct redis_script forget_script = REDIS_SCRIPT(quota_forget);
static const struct redis_script add_script = REDIS_SCRIPT(quota_add);
static const struct redis_script usage_script = REDIS_SCRIPT(quota_usage);
static const struct redis_script history_script = REDIS_SCRIPT(quota_history);

static const struct str quota_keys[] = {QUOTA_KEYS};

/* What the calls remember (redis_room). */
struct hold {
    quota_hold_callback *fn;
    void *arg;
};
struct usage {
    quota_usage_callback *fn;
    void *arg;
    size_t n;
};
struct history {
    quota_history_callback *fn;
    void *arg;
    struct arena *arena;
};

/* --- arguments --- */

struct args {
    struct str v[ARGS_MAX];
    char numbers[ARGS_MAX][STR_I64_BYTES];
    size_t n;
};

static void add_str(struct args *a, struct str s)
{
    ASSERT(a->n < ARGS_MAX);
    a->v[a->n++] = s;
}

static void add_int(struct args *a, int64_t n)
{
    add_str(a, str_of_i64(MIN(MAX(n, 0), QUOTA_MAX), a->numbers[a->n]));
}

static void add_amount(struct args *a, const struct quota_amount *v)
{
    add_int(a, v->files);
    add_int(a, v->bytes);
    add_int(a, v->up);
    add_int(a, v->down);
}

static void add_scopes(struct args *a, const struct quota_who *who)
{
    size_t i;

    for (i = 0; i < who->n; i++)
        add_str(a, who->v[i].id);
}

/* In the order of enum quota_limit. */
static void add_limits(struct args *a, const struct quota_who *who)
{
    const struct vkey_limits *l;
    size_t i;

    for (i = 0; i < who->n; i++) {
        l = &who->v[i].limits;
        add_str(a, who->v[i].id);
        add_int(a, l->files);
        add_int(a, l->storage_bytes);
        add_int(a, l->upload_day_bytes);
        add_int(a, l->download_day_bytes);
    }
}

static struct redis_call *eval(struct redis *r, redis_callback *fn,
                               const struct redis_script *s, size_t nargs,
                               const struct str *args)
{
    return redis_eval(r, fn, NULL, s, COUNTOF(quota_keys), quota_keys, nargs,
                      args);
}

/* --- holds --- */

void quota_read_verdict(const struct redis_value *v, size_t at,
                        struct quota_verdict *out)
{
    *out = (struct quota_verdict){
        .limit = (enum quota_limit)redis_at(v, at).integer,
        .scope = (size_t)redis_at(v, at + 1).integer,
        .max = redis_at(v, at + 2).integer,
        .used = redis_at(v, at + 3).integer,
        .wait_ms = redis_at(v, at + 4).integer,
    };
}

static void on_hold(void *arg, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct hold *w = arg;
    struct quota_verdict verdict = {0};
    struct gw_error gone = {0};

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, e);
        return;
    }
    if (redis_at(v, 0).integer == HOLD_GONE) {
        err_set(&gone, GW_INTERNAL, "the lease of what was held has ended");
        w->fn(w->arg, NULL, &gone);
        return;
    }
    quota_read_verdict(v, 0, &verdict);
    w->fn(w->arg, &verdict, e);
}

static struct redis_call *tell_hold(struct redis_call *c,
                                    quota_hold_callback *fn, void *arg)
{
    struct hold *w = redis_room(c, sizeof(*w));

    *w = (struct hold){fn, arg};
    return c;
}

struct redis_call *
quota_hold(struct redis *r, struct str id, const struct quota_who *who,
           const struct quota_amount *most, const struct journal_entry *entry,
           int64_t lease_ms, quota_hold_callback *fn, void *arg)
{
    struct args a = {.n = 0};
    struct redis_call *c;
    struct buf text;

    buf_init(&text, LIMIT_JSON_TEXT_BYTES);
    if (entry)
        journal_encode(&text, entry);
    add_str(&a, id);
    add_int(&a, lease_ms);
    add_str(&a, buf_str(&text));
    add_amount(&a, most);
    add_limits(&a, who);
    c = eval(r, on_hold, &hold_script, a.n, a.v);
    buf_release(&text);
    return tell_hold(c, fn, arg);
}

struct redis_call *quota_extend(struct redis *r, struct str id,
                                const struct quota_who *who,
                                const struct quota_amount *more,
                                quota_hold_callback *fn, void *arg)
{
    struct args a = {.n = 0};

    add_str(&a, id);
    add_amount(&a, more);
    add_limits(&a, who);
    return tell_hold(eval(r, on_hold, &extend_script, a.n, a.v), fn, arg);
}

struct redis_call *quota_settle(struct redis *r, struct str id,
                                const struct quota_who *who,
                                const struct quota_amount *used,
                                quota_done_callback *fn, void *arg)
{
    struct args a = {.n = 0};

    ASSERT(used->files == 0 || used->files == 1);
    add_str(&a, id);
    add_amount(&a, used);
    add_scopes(&a, who);
    return redis_tell_done(eval(r, redis_on_done, &settle_script, a.n, a.v), fn,
                           arg);
}

struct redis_call *quota_found(struct redis *r, struct str file_id,
                               const struct quota_who *who, int64_t bytes,
                               quota_done_callback *fn, void *arg)
{
    struct args a = {.n = 0};

    add_str(&a, file_id);
    add_int(&a, bytes);
    add_scopes(&a, who);
    return redis_tell_done(eval(r, redis_on_done, &found_script, a.n, a.v), fn,
                           arg);
}

struct redis_call *quota_release(struct redis *r, struct str id,
                                 quota_done_callback *fn, void *arg)
{
    return redis_tell_done(eval(r, redis_on_done, &release_script, 1, &id), fn,
                           arg);
}

struct redis_call *quota_move(struct redis *r, struct str from,
                              const struct journal_entry *to, int64_t lease_ms,
                              quota_done_callback *fn, void *arg)
{
    struct args a = {.n = 0};
    struct redis_call *c;
    struct buf text;

    buf_init(&text, LIMIT_JSON_TEXT_BYTES);
    journal_encode(&text, to);
    add_str(&a, from);
    add_str(&a, to->id);
    add_int(&a, lease_ms);
    add_str(&a, buf_str(&text));
    c = eval(r, redis_on_done, &move_script, a.n, a.v);
    buf_release(&text);
    return redis_tell_done(c, fn, arg);
}

struct redis_call *quota_move_back(struct redis *r, struct str from,
                                   struct str to, int64_t bytes,
                                   quota_done_callback *fn, void *arg)
{
    char room[STR_I64_BYTES];
    struct str args[] = {from, to, str_of_i64(bytes, room)};

    return redis_tell_done(
        eval(r, redis_on_done, &back_script, COUNTOF(args), args), fn, arg);
}

struct redis_call *quota_forget(struct redis *r, struct str file_id,
                                quota_done_callback *fn, void *arg)
{
    return redis_tell_done(eval(r, redis_on_done, &forget_script, 1, &file_id),
                           fn, arg);
}

/* --- statistics --- */

struct redis_call *quota_add(struct redis *r, const struct quota_tally *v,
                             size_t n, quota_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str *args = arena_alloc(a, 5 * n * sizeof(*args));
    struct redis_call *c;
    size_t i;

    for (i = 0; i < n; i++) {
        const int64_t numbers[] = {v[i].requests, v[i].errors, v[i].up,
                                   v[i].down};

        args[5 * i] = v[i].scope;
        for (size_t k = 0; k < COUNTOF(numbers); k++)
            args[5 * i + 1 + k] = arena_printf(a, "%" PRId64, numbers[k]);
    }
    c = eval(r, redis_on_done, &add_script, 5 * n, args);
    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

static void on_usage(void *arg, const struct redis_value *v,
                     const struct gw_error *e)
{
    struct usage *w = arg;
    struct quota_usage *all;
    struct arena *a;
    size_t i;

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, 0, e);
        return;
    }
    a = arena_new();
    all = arena_alloc(a, w->n * sizeof(*all));
    for (i = 0; i < w->n; i++) {
        int64_t *const to[USAGE_NUMBERS] = {
            &all[i].files,      &all[i].bytes,       &all[i].held_files,
            &all[i].held_bytes, &all[i].up,          &all[i].down,
            &all[i].requests,   &all[i].rpm,         &all[i].parallel,
            &all[i].batches,    &all[i].batch_lines,
        };

        for (size_t k = 0; k < USAGE_NUMBERS; k++)
            *to[k] = redis_at(v, i * USAGE_NUMBERS + k).integer;
    }
    w->fn(w->arg, all, w->n, e);
    arena_free(a);
}

struct redis_call *quota_usage(struct redis *r, const struct str *scopes,
                               size_t n, quota_usage_callback *fn, void *arg)
{
    struct redis_call *c = eval(r, on_usage, &usage_script, n, scopes);
    struct usage *w = redis_room(c, sizeof(*w));

    *w = (struct usage){fn, arg, n};
    return c;
}

static void on_history(void *arg, const struct redis_value *v,
                       const struct gw_error *e)
{
    struct history *w = arg;
    struct quota_day *all;
    size_t n, i;

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, 0, e);
        return;
    }
    n = v->n / DAY_NUMBERS;
    all = arena_alloc(w->arena, n * sizeof(*all));
    for (i = 0; i < n; i++) {
        size_t at = i * DAY_NUMBERS;

        all[i] = (struct quota_day){
            .scope = redis_at(v, at).str,
            .day = redis_at(v, at + 1).integer,
            .requests = redis_at(v, at + 2).integer,
            .errors = redis_at(v, at + 3).integer,
            .up = redis_at(v, at + 4).integer,
            .down = redis_at(v, at + 5).integer,
        };
    }
    w->fn(w->arg, all, n, e);
}

struct redis_call *quota_history(struct redis *r, struct arena *a,
                                 struct str prefix, int64_t first, int64_t last,
                                 quota_history_callback *fn, void *arg)
{
    struct str args[3];
    struct redis_call *c;
    struct history *w;

    /* Days before are not kept, and a wide range would be a long script. */
    last = MIN(MAX(last, 0), DAY_MAX);
    first = MAX(first, last - QUOTA_DAYS);
    args[0] = prefix;
    args[1] = arena_printf(a, "%" PRId64, first);
    args[2] = arena_printf(a, "%" PRId64, last);
    c = eval(r, on_history, &history_script, COUNTOF(args), args);
    w = redis_room(c, sizeof(*w));
    *w = (struct history){fn, arg, a};
    return c;
}
