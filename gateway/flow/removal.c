#include "gateway/flow/removal.h"

#include <utlist.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/flow/lease.h"
#include "gateway/flow/upstream.h"
#include "gateway/store/expiry.h"
#include "gateway/store/quota.h"

/* The file at one of its providers. */
struct place {
    struct removal *removal;
    struct upstream *up; /* NULL: not asked */
};

struct removal {
    struct removal *prev, *next; /* services.removals */
    struct services *sv;
    struct settings *conf; /* held */
    struct arena *arena;   /* in which this stands */
    struct file_record record;
    struct lease_entry *lease;
    struct redis_call *call, *then;
    enum removal_kind kind;
    struct place places[LIMIT_FAN_OUT];
    size_t under_way; /* of them */
    size_t deleted;
    bool is_lost; /* an answer that may have been "deleted" */
    struct upstream_trace trace;
    bool existed;
    struct gw_error error; /* the first of several */
    removal_fn *done;
    void *arg;
};

static void release(struct removal *m)
{
    DL_DELETE(m->sv->removals, m);
    lease_give_back(m->sv->leases, m->lease);
    settings_drop(m->conf);
    arena_free(m->arena);
}

static void end(struct removal *m, const struct gw_error *e)
{
    removal_fn *done = m->done;
    void *arg = m->arg;
    bool existed = m->existed;
    struct gw_error error = *e;

    if (error.err != GW_OK && !done)
        log_warn("cannot delete the file '%.*s': %s", STR_ARG(m->record.obj.id),
                 error.message);
    release(m);
    if (done)
        done(arg, existed, &error);
}

/* --- the record and the count, in one round trip --- */

/* Either may be answered first: a script that Redis does not know yet is sent
 * once more, behind what followed it. */
static void end_if_both_are_done(struct removal *m, const struct gw_error *e)
{
    if (m->error.err == GW_OK)
        m->error = *e;
    if (!m->call && !m->then)
        end(m, &m->error);
}

static void on_forgotten(void *arg, bool changed, const struct gw_error *e)
{
    struct removal *m = arg;

    (void)changed;
    m->then = NULL;
    end_if_both_are_done(m, e);
}

static void on_record_gone(void *arg, bool changed, const struct gw_error *e)
{
    struct removal *m = arg;

    m->call = NULL;
    m->existed = changed;
    end_if_both_are_done(m, e);
}

static void on_expiry_cleared(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    (void)e; /* the sweeper finds that there is no such file */
}

/* The record goes all the same: what is left is the sweeper's, who finds the
 * entry when its lease has ended. */
static void leave_rest(struct removal *m)
{
    log_warn("the file '%.*s' is deleted at some of its providers only, the "
             "sweeper will go on: %s",
             STR_ARG(m->record.obj.id), m->error.message);
    err_clear(&m->error);
}

static void delete_record(struct removal *m)
{
    struct redis *r = m->sv->redis;

    if (m->record.obj.expires_at)
        (void)expiry_clear(r, &m->record, on_expiry_cleared, NULL);
    m->call = file_store_delete(r, &m->record, on_record_gone, m);
    if (m->error.err == GW_OK)
        m->then = quota_forget(r, m->record.obj.id, on_forgotten, m);
    else
        leave_rest(m);
}

/* --- the providers --- */

static void on_released(void *arg, bool changed, const struct gw_error *e)
{
    struct removal *m = arg;

    (void)changed;
    (void)e; /* the sweeper finds the entry, and tries again */
    m->call = NULL;
    end(m, &m->error);
}

/* The answer is missing, not the deed: then the entry stays, and the sweeper
 * asks again. */
static bool may_be_deleted(const struct gw_error *e)
{
    return e->err == GW_UPSTREAM_BROKEN || e->err == GW_UPSTREAM_TIMEOUT;
}

/* All have answered. */
static void judge(struct removal *m)
{
    if (m->error.err == GW_OK || (m->kind == REMOVAL_OWN && m->deleted)) {
        delete_record(m);
        return;
    }
    if (m->kind != REMOVAL_OWN || m->is_lost) {
        end(m, &m->error);
        return;
    }
    m->call = quota_release(m->sv->redis, m->record.obj.id, on_released, m);
}

static void on_deleted(void *arg, const struct gw_error *e)
{
    struct place *p = arg;
    struct removal *m = p->removal;

    if (e->err == GW_OK || e->err == GW_FILE_NOT_FOUND) {
        m->deleted++;
    } else {
        m->is_lost = m->is_lost || may_be_deleted(e);
        if (m->error.err == GW_OK)
            m->error = *e;
    }
    if (--m->under_way == 0)
        judge(m);
}

static const struct upstream_ops delete_ops = {.done = on_deleted};

static void ask_provider(struct removal *m, size_t i)
{
    struct file_copy c = file_record_place(&m->record, i);
    const struct provider_conf *p = settings_provider(m->conf, c.provider);
    struct place *place = &m->places[i];

    if (!p || !(provider_caps(p) & PROV_CAN_DELETE))
        return;
    place->removal = m;
    place->up = upstream_new(m->sv, m->arena, p, PROV_DELETE);
    place->up->trace = m->trace;
    place->up->op.upstream_id = c.upstream_id;
    place->up->op.shown_id = m->record.obj.id;
    m->under_way++;
    upstream_start(place->up, NULL, NULL, &delete_ops, place);
}

static void ask_providers(struct removal *m)
{
    size_t i, n = file_record_places(&m->record);

    for (i = 0; i < n; i++)
        ask_provider(m, i);
    if (!m->under_way)
        delete_record(m);
}

void removal_trace(struct removal *m, const struct upstream_trace *trace)
{
    m->trace.parent = arena_dup(m->arena, trace->parent);
    m->trace.state = arena_dup(m->arena, trace->state);
}

static void on_noted(void *arg, const struct quota_verdict *v,
                     const struct gw_error *e)
{
    struct removal *m = arg;

    (void)v; /* nothing was asked for */
    m->call = NULL;
    if (e->err != GW_OK)
        end(m, e);
    else
        ask_providers(m);
}

static void note(struct removal *m)
{
    const struct file_record *f = &m->record;
    struct quota_who nobody = {0};
    struct quota_amount nothing = {0};
    struct journal_entry j = {
        .kind = JOURNAL_DELETE,
        .id = f->obj.id,
        .owner = f->owner,
        .key_hash = f->key_hash,
        .provider = f->obj.provider,
        .upstream_id = f->upstream_id,
        .filename = f->obj.filename,
        .purpose = f->obj.purpose,
        .bytes = f->obj.bytes,
        .expires_at = f->obj.expires_at,
        .begun_ms = clock_wall_ms(),
        .copies = f->copies,
        .ncopies = f->ncopies,
    };

    m->call = quota_hold(m->sv->redis, f->obj.id, &nobody, &nothing, &j,
                         m->conf->journal.lease_ms, on_noted, m);
}

/* --- life --- */

struct removal *removal_start(struct services *sv, struct settings *conf,
                              const struct file_record *r,
                              enum removal_kind kind, removal_fn *done,
                              void *arg)
{
    struct arena *a = arena_new();
    struct removal *m = arena_new_of(a, struct removal);

    m->sv = sv;
    m->conf = settings_hold(conf);
    m->arena = a;
    file_record_copy(a, r, &m->record);
    m->kind = kind;
    m->done = done;
    m->arg = arg;
    m->lease = lease_take(sv->leases, m->record.obj.id);
    DL_APPEND(sv->removals, m);
    if (kind == REMOVAL_NOTED)
        ask_providers(m);
    else
        note(m);
    return m;
}

void removal_leave(struct removal *m)
{
    if (m)
        m->done = NULL;
}

void removal_close(struct services *sv)
{
    struct removal *m, *next;

    DL_FOREACH_SAFE (sv->removals, m, next) {
        if (m->call)
            redis_cancel(m->call);
        if (m->then)
            redis_cancel(m->then);
        for (size_t i = 0; i < LIMIT_FAN_OUT; i++)
            upstream_abort(m->places[i].up);
        release(m);
    }
}
