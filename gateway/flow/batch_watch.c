#include "gateway/flow/batch_watch.h"

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/codec/fileid.h"
#include "gateway/flow/batch_look.h"
#include "gateway/store/batch_quota.h"

/*   due ─► for each, a few at a time: record?
 *            no ──────────────────────────────► it is not watched any more
 *            final, and kept long enough ─────► the record goes, too
 *            final ───────────────────────────► again when it may go
 *            else ─► batch_look ─► (which told what it saw)
 *                       └failed ──────────────► again after an interval
 */

#define DAY_MS (INT64_C(86400) * 1000)

struct watched { /* one under way */
    struct batch_watch *w;
    struct arena *arena; /* NULL: it is free */
    struct batch_due due;
    struct batch_look look;
    bool is_looking, is_over;
    struct redis_call *call;
};

struct batch_watch {
    struct services *sv;
    struct settings *conf;
    batch_watch_fn *done;
    void *arg;
    struct arena *arena; /* of a run; NULL: at rest */
    struct batch_due *due;
    size_t n, next;
    struct watched at_once[BATCH_WATCH_AT_ONCE];
    struct away {
        struct away *next;
        const struct provider_conf *provider;
    } * away; /* in this run */
    struct redis_call *call;
    struct loop_task task;
};

static void pump(void *arg);

/* --- one batch --- */

static void end_one(struct watched *o)
{
    o->is_over = true;
    loop_defer(o->w->sv->loop, &o->w->task, pump, o->w);
}

static void on_told(void *arg, bool changed, const struct gw_error *e)
{
    struct watched *o = arg;

    (void)changed;
    o->call = NULL;
    if (e->err != GW_OK)
        log_warn("cannot note what became of a batch: %s", e->message);
    end_one(o);
}

static void tell(struct watched *o, enum batch_seen what, int64_t look_ms)
{
    o->call = batch_quota_seen(o->w->sv->redis, o->due.owner, o->due.id, what,
                               look_ms, on_told, o);
}

static void postpone(struct watched *o)
{
    tell(o, BATCH_RUNS, o->w->conf->batches.look_ms);
}

static bool is_too_old(const struct watched *o)
{
    struct fileid id;

    return !fileid_parse(FILEID_BATCH, o->due.id, &id) ||
           clock_wall_ms() - fileid_time_ms(id.ulid) >
               BATCH_WATCH_DAYS * DAY_MS;
}

/* Whether it was there or not. */
static void on_deleted(void *arg, bool changed, const struct gw_error *e)
{
    struct watched *o = arg;

    (void)changed;
    o->call = NULL;
    if (e->err != GW_OK)
        postpone(o);
    else
        tell(o, BATCH_OVER, BATCH_NEVER);
}

static void keep_or_delete(struct watched *o, const struct batch_record *b)
{
    int64_t keep_ms = o->w->conf->batches.keep_ms;
    int64_t left_ms = b->over_ms + keep_ms - clock_wall_ms();

    if (!keep_ms)
        tell(o, BATCH_OVER, BATCH_NEVER);
    else if (left_ms > 0)
        tell(o, BATCH_OVER, left_ms);
    else
        o->call = batch_store_delete(o->w->sv->redis, b, on_deleted, o);
}

static bool is_away(const struct batch_watch *w, const struct provider_conf *p)
{
    const struct away *a;

    for (a = w->away; a; a = a->next)
        if (a->provider == p)
            return true;
    return false;
}

static void note_away(struct batch_watch *w, const struct provider_conf *p)
{
    struct away *a = arena_new_of(w->arena, struct away);

    a->provider = p;
    a->next = w->away;
    w->away = a;
}

static void give_up_or_postpone(struct watched *o)
{
    if (!is_too_old(o)) {
        postpone(o);
        return;
    }
    log_warn("the batch '%.*s' could not be looked at for %d days: it does not "
             "count as active any longer",
             STR_ARG(o->due.id), BATCH_WATCH_DAYS);
    tell(o, BATCH_OVER, BATCH_NEVER);
}

static void on_looked(void *arg, const struct gw_error *e)
{
    struct watched *o = arg;
    const struct provider_conf *p = o->look.provider;

    o->is_looking = false;
    if (e->err == GW_OK) {
        end_one(o);
        return;
    }
    log_warn("cannot look at the batch '%.*s' at '%s': %s", STR_ARG(o->due.id),
             p->name, e->message);
    if (err_info(e->err)->is_retryable && !is_away(o->w, p))
        note_away(o->w, p);
    give_up_or_postpone(o);
}

static void look_at(struct watched *o, const struct batch_record *b)
{
    struct batch_watch *w = o->w;
    const struct provider_conf *p = settings_provider(w->conf, b->provider);

    if (!p || !(provider_caps(p) & PROV_CAN_BATCH) || is_away(w, p)) {
        give_up_or_postpone(o);
        return;
    }
    o->look = (struct batch_look){.record = *b};
    o->is_looking = true;
    batch_look_start(&o->look, w->sv, o->arena, p, PROV_BATCH_GET, on_looked,
                     o);
}

static void on_record(void *arg, const struct batch_record *found,
                      const struct gw_error *e)
{
    struct watched *o = arg;

    o->call = NULL;
    if (e->err != GW_OK)
        postpone(o);
    else if (!found)
        tell(o, BATCH_OVER, BATCH_NEVER);
    else if (found->is_final)
        keep_or_delete(o, found);
    else
        look_at(o, found);
}

/* --- a run --- */

static struct watched *find_free(struct batch_watch *w)
{
    for (size_t i = 0; i < BATCH_WATCH_AT_ONCE; i++)
        if (!w->at_once[i].arena)
            return &w->at_once[i];
    return NULL;
}

static void free_those_over(struct batch_watch *w)
{
    for (size_t i = 0; i < BATCH_WATCH_AT_ONCE; i++) {
        struct watched *o = &w->at_once[i];

        if (!o->is_over)
            continue;
        arena_free(o->arena);
        *o = (struct watched){.w = w};
    }
}

static bool is_idle(const struct batch_watch *w)
{
    for (size_t i = 0; i < BATCH_WATCH_AT_ONCE; i++)
        if (w->at_once[i].arena)
            return false;
    return true;
}

static void rest(struct batch_watch *w)
{
    arena_free(w->arena);
    w->arena = NULL;
    w->away = NULL;
    w->done(w->arg);
}

static void pump(void *arg)
{
    struct batch_watch *w = arg;
    struct watched *o;

    free_those_over(w);
    while (w->next < w->n && !w->sv->is_draining && (o = find_free(w))) {
        o->w = w;
        o->arena = arena_new();
        o->due = w->due[w->next++];
        o->call = batch_store_get(w->sv->redis, o->arena, o->due.owner,
                                  o->due.id, on_record, o);
    }
    if (is_idle(w))
        rest(w);
}

static void on_due(void *arg, const struct batch_due *v, size_t n,
                   const struct gw_error *e)
{
    struct batch_watch *w = arg;

    w->call = NULL;
    w->n = w->next = 0;
    if (e->err == GW_OK && n) {
        w->due = arena_alloc(w->arena, n * sizeof(*v));
        memcpy(w->due, v, n * sizeof(*v));
        w->n = n;
    }
    pump(w);
}

void batch_watch_run(struct batch_watch *w, struct settings *conf,
                     batch_watch_fn *done, void *arg)
{
    ASSERT(!w->arena);
    w->conf = conf;
    w->done = done;
    w->arg = arg;
    w->arena = arena_new();
    w->call = batch_quota_due(w->sv->redis, w->arena, BATCH_WATCH_MAX,
                              conf->batches.look_ms, on_due, w);
}

struct batch_watch *batch_watch_open(struct services *sv)
{
    struct batch_watch *w = xcalloc(1, sizeof(*w));

    w->sv = sv;
    return w;
}

void batch_watch_close(struct batch_watch *w)
{
    if (!w)
        return;
    if (w->call)
        redis_cancel(w->call);
    loop_task_cancel(w->sv->loop, &w->task);
    for (size_t i = 0; i < BATCH_WATCH_AT_ONCE; i++) {
        struct watched *o = &w->at_once[i];

        if (o->call)
            redis_cancel(o->call);
        if (o->is_looking)
            batch_look_abort(&o->look);
        arena_free(o->arena);
    }
    arena_free(w->arena);
    free(w);
}
