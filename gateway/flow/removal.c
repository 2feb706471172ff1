#include "gateway/flow/removal.h"

#include <utlist.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/flow/lease.h"
#include "gateway/flow/upstream.h"
#include "gateway/store/expiry.h"
#include "gateway/store/quota.h"

struct removal {
    struct removal *prev, *next; /* services.removals */
    struct services *sv;
    struct settings *conf; /* held */
    struct arena *arena;   /* in which this stands */
    struct file_record record;
    const struct provider_conf *provider; /* NULL: not asked */
    struct lease_entry *lease;
    struct redis_call *call, *then;
    struct upstream *up;
    bool is_noted; /* the entry is the sweeper's */
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

static void delete_record(struct removal *m)
{
    struct redis *r = m->sv->redis;

    if (m->record.obj.expires_at)
        (void)expiry_clear(r, &m->record, on_expiry_cleared, NULL);
    m->call = file_store_delete(r, &m->record, on_record_gone, m);
    m->then = quota_forget(r, m->record.obj.id, on_forgotten, m);
}

/* --- the provider --- */

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

static void on_deleted(void *arg, const struct gw_error *e)
{
    struct removal *m = arg;

    if (e->err == GW_OK || e->err == GW_FILE_NOT_FOUND) {
        delete_record(m);
        return;
    }
    if (m->is_noted || may_be_deleted(e)) {
        end(m, e);
        return;
    }
    m->error = *e;
    m->call = quota_release(m->sv->redis, m->record.obj.id, on_released, m);
}

static const struct upstream_ops delete_ops = {.done = on_deleted};

static void ask_provider(struct removal *m)
{
    if (!m->provider || !(provider_caps(m->provider) & PROV_CAN_DELETE)) {
        delete_record(m);
        return;
    }
    m->up = upstream_new(m->sv, m->arena, m->provider, PROV_DELETE);
    m->up->op.upstream_id = m->record.upstream_id;
    m->up->op.shown_id = m->record.obj.id;
    upstream_start(m->up, NULL, NULL, &delete_ops, m);
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
        ask_provider(m);
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
    };

    m->call = quota_hold(m->sv->redis, f->obj.id, &nobody, &nothing, &j,
                         m->conf->journal.lease_ms, on_noted, m);
}

/* --- life --- */

struct removal *removal_start(struct services *sv, struct settings *conf,
                              const struct file_record *r, bool is_noted,
                              removal_fn *done, void *arg)
{
    struct arena *a = arena_new();
    struct removal *m = arena_new_of(a, struct removal);

    m->sv = sv;
    m->conf = settings_hold(conf);
    m->arena = a;
    file_record_copy(a, r, &m->record);
    m->provider = settings_provider(conf, r->obj.provider);
    m->is_noted = is_noted;
    m->done = done;
    m->arg = arg;
    m->lease = lease_take(sv->leases, m->record.obj.id);
    DL_APPEND(sv->removals, m);
    if (is_noted)
        ask_provider(m);
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
        upstream_abort(m->up);
        release(m);
    }
}
