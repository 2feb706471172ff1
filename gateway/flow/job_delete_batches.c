/* job_delete_batches.c -- the batches of an owner whose files all go.
 *
 * One after the other: what may still run is cancelled at its provider, which
 * costs no more than it must; whether that worked or not, the record goes, and
 * it does not count as active any longer.
 */
#include "gateway/flow/job_step.h"

#include "gateway/base/log.h"
#include "gateway/store/batch_quota.h"
#include "gateway/store/batch_store.h"

#define PAGE 20

struct page {
    struct job_step *step;
    const struct batch_record *v;
    size_t n, next;
};

static void delete_next(struct page *p);

static const struct batch_record *current(const struct page *p)
{
    return &p->v[p->next - 1];
}

static void on_told(void *arg, bool changed, const struct gw_error *e)
{
    struct page *p = arg;

    (void)changed;
    p->step->call = NULL;
    if (e->err != GW_OK)
        job_step_abandon(p->step);
    else
        delete_next(p);
}

static void on_deleted(void *arg, bool changed, const struct gw_error *e)
{
    struct page *p = arg;
    struct job_step *s = p->step;

    (void)changed;
    s->call = NULL;
    if (e->err != GW_OK)
        job_step_abandon(s);
    else
        s->call = batch_quota_seen(s->sv->redis, current(p)->owner,
                                   current(p)->obj.id, BATCH_OVER, BATCH_NEVER,
                                   on_told, p);
}

static void delete_record(struct page *p)
{
    struct job_step *s = p->step;

    s->call = batch_store_delete(s->sv->redis, current(p), on_deleted, p);
}

static void on_cancelled(void *arg, const struct gw_error *e)
{
    struct page *p = arg;

    p->step->up = NULL;
    if (e->err != GW_OK)
        log_warn("the batch '%.*s' of a deleted owner may run on at '%.*s': %s",
                 STR_ARG(current(p)->obj.id), STR_ARG(current(p)->provider),
                 e->message);
    delete_record(p);
}

static const struct upstream_ops cancel_ops = {.done = on_cancelled};

static void cancel(struct page *p, const struct provider_conf *provider)
{
    struct job_step *s = p->step;

    s->up = upstream_new(s->sv, s->arena, provider, PROV_BATCH_CANCEL);
    s->up->op.upstream_id = current(p)->upstream_id;
    s->up->op.shown_id = current(p)->obj.id;
    upstream_start(s->up, NULL, NULL, &cancel_ops, p);
}

/* Those that were there are gone: the next step asks whether there are more. */
static void delete_next(struct page *p)
{
    struct job_step *s = p->step;
    const struct provider_conf *provider;

    if (p->next == p->n) {
        job_step_end(s);
        return;
    }
    provider = settings_provider(s->conf, p->v[p->next++].provider);
    if (!current(p)->over_ms && provider)
        cancel(p, provider);
    else
        delete_record(p);
}

static void on_page(void *arg, struct batch_record *records, size_t n,
                    bool at_end, const struct gw_error *e)
{
    struct page *p = arg;
    struct job_step *s = p->step;

    s->call = NULL;
    if (e->err != GW_OK) {
        job_step_abandon(s);
        return;
    }
    p->v = records;
    p->n = n;
    if (at_end)
        s->job->phase++;
    delete_next(p);
}

void job_delete_batches_step(struct job_step *s)
{
    struct page *p = arena_new_of(s->arena, struct page);

    p->step = s;
    s->call = batch_store_page(s->sv->redis, s->arena, job_arg(s, "owner"),
                               STR_NULL, STR_NULL, PAGE, on_page, p);
}
