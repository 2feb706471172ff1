#include "gateway/store/batch_quota.h"

#include <inttypes.h>

#include "gateway/base/bug.h"
#include "gateway/store/quota_keys.h"
#include "gateway/store/redis_done.h"
#include "scripts.h"

/* Six of the batch; an id and two limits per scope. */
#define ARGS_MAX (6 + 3 * QUOTA_SCOPES)

static const struct redis_script begin_script = REDIS_SCRIPT(batch_begin);
static const struct redis_script seen_script = REDIS_SCRIPT(batch_seen);
static const struct redis_script due_script = REDIS_SCRIPT(batch_due);

static const struct str keys[] = {QUOTA_KEYS};

/* What the calls remember (redis_room). */
struct begin {
    quota_hold_callback *fn;
    void *arg;
};
struct due {
    batch_due_callback *fn;
    void *arg;
    struct arena *arena;
};

static struct redis_call *eval(struct redis *r, redis_callback *fn,
                               const struct redis_script *s, size_t nargs,
                               const struct str *args)
{
    return redis_eval(r, fn, NULL, s, COUNTOF(keys), keys, nargs, args);
}

static struct str number(struct arena *a, int64_t n)
{
    return arena_printf(a, "%" PRId64, MIN(n, QUOTA_MAX));
}

/* An owner may hold spaces, an id does not. */
static struct str member_of(struct arena *a, struct str owner, struct str id)
{
    return arena_printf(a, "%.*s %.*s", STR_ARG(owner), STR_ARG(id));
}

static void on_begun(void *arg, const struct redis_value *v,
                     const struct gw_error *e)
{
    struct begin *w = arg;
    struct quota_verdict verdict = {0};

    if (e->err == GW_OK)
        quota_read_verdict(v, 0, &verdict);
    w->fn(w->arg, e->err == GW_OK ? &verdict : NULL, e);
}

struct redis_call *batch_quota_begin(struct redis *r,
                                     const struct batch_quota *b,
                                     quota_hold_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str args[ARGS_MAX];
    struct redis_call *c;
    struct begin *w;
    struct buf entry;
    size_t n = 0, i;

    ASSERT(b->who->n <= QUOTA_SCOPES);
    buf_init(&entry, LIMIT_JSON_TEXT_BYTES);
    journal_encode(&entry, b->entry);
    args[n++] = b->id;
    args[n++] = number(a, b->lease_ms);
    args[n++] = buf_str(&entry);
    args[n++] = member_of(a, b->owner, b->id);
    args[n++] = number(a, b->look_ms);
    args[n++] = number(a, b->lines);
    for (i = 0; i < b->who->n; i++) {
        args[n++] = b->who->v[i].id;
        args[n++] = number(a, b->who->v[i].limits.active_batches);
        args[n++] = number(a, b->who->v[i].limits.batch_lines_day);
    }
    c = eval(r, on_begun, &begin_script, n, args);
    w = redis_room(c, sizeof(*w));
    *w = (struct begin){fn, arg};
    buf_release(&entry);
    arena_free(a);
    return c;
}

struct redis_call *batch_quota_seen(struct redis *r, struct str owner,
                                    struct str id, enum batch_seen what,
                                    int64_t look_ms, quota_done_callback *fn,
                                    void *arg)
{
    struct arena *a = arena_new();
    struct str args[] = {id, member_of(a, owner, id), number(a, (int64_t)what),
                         number(a, look_ms)};
    struct redis_call *c =
        eval(r, redis_on_done, &seen_script, COUNTOF(args), args);

    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

static struct batch_due read_member(struct arena *a, struct str text)
{
    size_t at;

    text = arena_dup(a, text);
    for (at = text.n; at > 0 && text.p[at - 1] != ' ';)
        at--;
    return (struct batch_due){
        .owner = str_make(text.p, at > 0 ? at - 1 : 0),
        .id = str_make(text.p + at, text.n - at),
    };
}

static void on_due(void *arg, const struct redis_value *v,
                   const struct gw_error *e)
{
    struct due *w = arg;
    struct batch_due *all = NULL;
    size_t n = e->err == GW_OK ? v->n : 0, i;

    if (n)
        all = arena_alloc(w->arena, n * sizeof(*all));
    for (i = 0; i < n; i++)
        all[i] = read_member(w->arena, redis_at(v, i).str);
    w->fn(w->arg, all, n, e);
}

struct redis_call *batch_quota_due(struct redis *r, struct arena *a, size_t max,
                                   int64_t look_ms, batch_due_callback *fn,
                                   void *arg)
{
    struct str args[] = {number(a, (int64_t)max), number(a, look_ms)};
    struct redis_call *c = eval(r, on_due, &due_script, COUNTOF(args), args);
    struct due *w = redis_room(c, sizeof(*w));

    *w = (struct due){fn, arg, a};
    return c;
}
