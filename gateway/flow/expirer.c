#include "gateway/flow/expirer.h"

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/flow/removal.h"
#include "gateway/store/expiry.h"
#include "gateway/store/file_store.h"

#define RETRY_SWEEPS 2
#define RETRY_MAX_S 3600

/*   due ─► for each: record? ─no─► entry goes
 *                      └yes─► removal ─ok─► (it took the entry along)
 *                                 └failed─► entry is put off
 *
 * A provider that is away may cost a minute each time it is asked: after its
 * first failure the rest of its files are put off unasked until the next run.
 */
struct expirer {
    struct services *sv;
    struct settings *conf;
    expirer_fn *done;
    void *arg;
    struct arena *arena; /* NULL: at rest */
    struct file_record *due;
    size_t n, next;
    struct file_record record; /* of the one under way */
    struct away {
        struct away *next;
        struct str provider;
    } * away; /* in this run */
    struct redis_call *call;
    struct removal *removal;
};

static void take_next(struct expirer *x);

static void rest(struct expirer *x)
{
    arena_free(x->arena);
    x->arena = NULL;
    x->away = NULL;
    x->done(x->arg);
}

static void on_entry_changed(void *arg, bool changed, const struct gw_error *e)
{
    struct expirer *x = arg;

    (void)changed;
    x->call = NULL;
    if (e->err != GW_OK)
        log_warn("cannot change the entry of an expired file: %s", e->message);
    take_next(x);
}

static void report(struct expirer *x, enum log_level level, const char *outcome,
                   const char *why)
{
    struct log_line l;

    metrics_count(x->sv->metrics, METRIC_EXPIRED, outcome, NULL, NULL);
    log_begin(&l, level, NULL, "a file expired");
    log_cstr(&l, "outcome", outcome);
    log_str(&l, "file", x->record.obj.id);
    log_str(&l, "owner", x->record.owner);
    log_str(&l, "provider", x->record.obj.provider);
    if (why)
        log_cstr(&l, "cause", why);
    log_end(&l);
}

static bool is_away(const struct expirer *x, struct str provider)
{
    const struct away *a;

    for (a = x->away; a; a = a->next)
        if (str_eq(a->provider, provider))
            return true;
    return false;
}

static void note_away(struct expirer *x, struct str provider)
{
    struct away *a = arena_new_of(x->arena, struct away);

    a->provider = arena_dup(x->arena, provider);
    a->next = x->away;
    x->away = a;
}

static void postpone(struct expirer *x, const char *why)
{
    int64_t now = clock_wall_s(), overdue = now - x->record.obj.expires_at;
    int64_t sweeps_s = RETRY_SWEEPS * x->conf->journal.sweep_ms / 1000;

    report(x, LOG_WARN, "postponed", why);
    x->call =
        expiry_postpone(x->sv->redis, &x->record,
                        now + MAX(MAX(sweeps_s, 1), MIN(overdue, RETRY_MAX_S)),
                        on_entry_changed, x);
}

static void on_removed(void *arg, bool existed, const struct gw_error *e)
{
    struct expirer *x = arg;

    x->removal = NULL;
    if (e->err == GW_OK) {
        report(x, LOG_INFO, existed ? "deleted" : "gone", NULL);
        take_next(x);
        return;
    }
    if (err_info(e->err)->is_retryable && !is_away(x, x->record.obj.provider))
        note_away(x, x->record.obj.provider);
    postpone(x, e->message);
}

static void expire(struct expirer *x)
{
    if (is_away(x, x->record.obj.provider))
        postpone(x, "the provider has just failed");
    else
        x->removal = removal_start(x->sv, x->conf, &x->record, REMOVAL_OWN,
                                   on_removed, x);
}

static void on_record(void *arg, const struct file_record *found,
                      const struct gw_error *e)
{
    struct expirer *x = arg;

    x->call = NULL;
    if (e->err != GW_OK) {
        log_warn("cannot look up an expired file: %s", e->message);
        rest(x); /* the store is away: the next sweep begins anew */
    } else if (!found || !found->obj.expires_at) {
        x->call = expiry_clear(x->sv->redis, &x->due[x->next - 1],
                               on_entry_changed, x);
    } else if (found->obj.expires_at > clock_wall_s()) {
        x->call = expiry_postpone(x->sv->redis, found, found->obj.expires_at,
                                  on_entry_changed, x);
    } else {
        x->record = *found;
        expire(x);
    }
}

static void take_next(struct expirer *x)
{
    const struct file_record *f;

    if (x->next == x->n || x->sv->is_draining) {
        rest(x);
        return;
    }
    f = &x->due[x->next++];
    x->call = file_store_get(x->sv->redis, x->arena, f->owner, f->obj.id,
                             on_record, x);
}

static void on_due(void *arg, const struct file_record *v, size_t n,
                   const struct gw_error *e)
{
    struct expirer *x = arg;

    x->call = NULL;
    x->next = x->n = 0;
    if (e->err == GW_OK && n) {
        x->due = arena_alloc(x->arena, n * sizeof(*v));
        memcpy(x->due, v, n * sizeof(*v));
        x->n = n;
    }
    take_next(x);
}

void expirer_run(struct expirer *x, struct settings *conf, expirer_fn *done,
                 void *arg)
{
    ASSERT(!x->arena);
    x->conf = conf;
    x->done = done;
    x->arg = arg;
    x->arena = arena_new();
    x->call = expiry_due(x->sv->redis, x->arena, clock_wall_s(), EXPIRE_MAX,
                         on_due, x);
}

struct expirer *expirer_open(struct services *sv)
{
    struct expirer *x = xcalloc(1, sizeof(*x));

    x->sv = sv;
    return x;
}

void expirer_close(struct expirer *x)
{
    if (!x)
        return;
    if (x->call)
        redis_cancel(x->call);
    removal_leave(x->removal);
    arena_free(x->arena);
    free(x);
}
