#include "gateway/flow/fan_out.h"

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/crypto.h"
#include "gateway/base/log.h"
#include "gateway/flow/lease.h"

/* --- the ends --- */

static void on_released(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("cannot end the journal's entry of a fan-out, the sweeper "
                 "will: %s",
                 e->message);
}

static void give_back_leases(struct fan_out *f)
{
    for (size_t i = 1; i < f->n; i++) {
        struct fan_out_branch *b = &f->v[i];

        if (b->noting)
            redis_cancel(b->noting);
        b->noting = NULL;
        lease_give_back(f->sv->leases, b->lease);
        b->lease = NULL;
    }
}

static void end_entry(struct fan_out *f, struct fan_out_branch *b)
{
    (void)quota_release(f->sv->redis, b->entry.id, on_released, NULL);
}

void fan_out_recorded(struct fan_out *f)
{
    give_back_leases(f);
    for (size_t i = 1; i < f->n; i++)
        end_entry(f, &f->v[i]);
}

void fan_out_leave(struct fan_out *f)
{
    give_back_leases(f);
}

/* It is there, and its id is known: the entry becomes one of a deletion, which
 * stays until that is done. */
static void delete_stored(struct fan_out *f, struct fan_out_branch *b)
{
    struct file_record r = {
        .obj = {.id = b->entry.id,
                .bytes = b->entry.bytes,
                .filename = b->entry.filename,
                .purpose = b->entry.purpose,
                .provider = b->entry.provider,
                .expires_at = 0},
        .owner = b->entry.owner,
        .key_hash = b->entry.key_hash,
        .upstream_id = b->up->op.file.id,
    };

    (void)!removal_start(f->sv, f->conf, &r, REMOVAL_UNDO, NULL, NULL);
}

/* False: its entry stays, or has found somebody who ends it. */
static bool undo_branch(struct fan_out *f, struct fan_out_branch *b)
{
    bool may_be_there = false;

    if (b->is_stored) {
        delete_stored(f, b);
        return false;
    }
    if (b->up)
        may_be_there = upstream_may_have_stored(b->up);
    upstream_abort(b->up);
    return !may_be_there;
}

bool fan_out_undo(struct fan_out *f)
{
    bool is_first_free = undo_branch(f, &f->v[0]);

    for (size_t i = 1; i < f->n; i++)
        if (undo_branch(f, &f->v[i]) && f->has_begun)
            end_entry(f, &f->v[i]);
    give_back_leases(f);
    return is_first_free;
}

/* --- the providers --- */

/* The failure of a provider, saying of which. */
static void locate(struct gw_error *e, const struct provider_conf *p)
{
    struct gw_error inner = *e;

    err_clear(e);
    err_set_param(e, inner.err, inner.param,
                  "cannot store the file at '%s': %s", p->name, inner.message);
    memcpy(e->code, inner.code, sizeof(e->code));
    e->retry_after_s = inner.retry_after_s;
}

static void on_branch_done(void *arg, const struct gw_error *e)
{
    struct fan_out_branch *b = arg;
    struct fan_out *f = b->fan;
    struct gw_error error = *e;

    b->is_stored = error.err == GW_OK;
    if (b->is_stored && !pipe_is_drained(b->source))
        err_set(&error, GW_UPSTREAM_BAD_RESPONSE,
                "it was accepted before it was complete");
    if (error.err != GW_OK && pipe_outcome(b->source) != PIPE_ERROR)
        locate(&error, b->provider);
    if (error.err != GW_OK || --f->waits == 0)
        f->ops->done(f->arg, &error);
}

static const struct upstream_ops branch_ops = {.done = on_branch_done};

/* All are made before the first starts: they share the source. */
static void start(struct fan_out *f)
{
    for (size_t i = 0; i < f->n; i++) {
        struct fan_out_branch *b = &f->v[i];

        b->up = upstream_new(f->sv, f->arena, b->provider, PROV_CREATE);
        b->source = f->ops->source(f->arg, i, &b->up->op);
    }
    f->waits = f->n;
    for (size_t i = 0; i < f->n; i++)
        upstream_start(f->v[i].up, f->v[i].source, NULL, &branch_ops, &f->v[i]);
}

/* --- the entries --- */

static void on_noted(void *arg, const struct quota_verdict *v,
                     const struct gw_error *e)
{
    struct fan_out_branch *b = arg;
    struct fan_out *f = b->fan;

    (void)v; /* nothing was asked for */
    b->noting = NULL;
    if (e->err != GW_OK)
        f->ops->done(f->arg, e);
    else if (--f->waits == 0)
        start(f);
}

void fan_out_begin(struct fan_out *f)
{
    struct quota_who nobody = {0};
    struct quota_amount nothing = {0};

    ASSERT(f->n > 1);
    f->has_begun = true;
    f->waits = f->n - 1;
    for (size_t i = 1; i < f->n; i++) {
        struct fan_out_branch *b = &f->v[i];

        b->lease = lease_take(f->sv->leases, b->entry.id);
        b->noting =
            quota_hold(f->sv->redis, b->entry.id, &nobody, &nothing, &b->entry,
                       f->conf->journal.lease_ms, on_noted, b);
    }
}

struct fan_out_branch *fan_out_add(struct fan_out *f,
                                   const struct provider_conf *p, struct str id)
{
    struct fan_out_branch *b = &f->v[f->n];

    ASSERT(f->n < LIMIT_FAN_OUT);
    f->n++;
    b->fan = f;
    b->provider = p;
    if (id.n)
        snprintf(b->id, sizeof(b->id), "%.*s", STR_ARG(id));
    else
        fileid_mint(FILEID_FILE, p->ns, clock_wall_ms(), b->id);
    b->entry.id = str_of(b->id);
    if (!fileid_parse(FILEID_FILE, b->entry.id, &b->id_parts))
        BUG("minted a bad id '%s'", b->id);
    return b;
}

void fan_out_open(struct fan_out *f, struct services *sv, struct settings *conf,
                  struct arena *a, const struct fan_out_ops *ops, void *arg)
{
    f->sv = sv;
    f->conf = conf;
    f->arena = a;
    f->ops = ops;
    f->arg = arg;
}
