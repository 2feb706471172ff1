#include "gateway/flow/upload_end.h"

#include <utlist.h>

#include "gateway/base/log.h"
#include "gateway/flow/upstream.h"
#include "gateway/store/quota.h"

struct upload_end {
    struct upload_end *prev, *next; /* services.upload_ends */
    struct services *sv;
    struct settings *conf; /* held */
    struct arena *arena;   /* in which this stands */
    struct arena *work;    /* of some parts */
    struct str owner, id;
    enum upload_state to;
    struct upload_view view;
    const struct provider_conf *at; /* where something is to be taken back */
    struct upload_part *parts;
    size_t n, i;
    struct redis_call *call;
    struct upstream *up;
    struct loop_task more;
    upload_end_fn *done;
    void *arg;
};

static void release(struct upload_end *u)
{
    DL_DELETE(u->sv->upload_ends, u);
    loop_task_cancel(u->sv->loop, &u->more);
    settings_drop(u->conf);
    arena_free(u->work);
    arena_free(u->arena);
}

static void end(struct upload_end *u, const struct upload_view *v,
                const struct gw_error *e)
{
    struct gw_error error = *e; /* may be a part of what goes */

    if (error.err != GW_OK)
        log_warn("cannot clear away what the upload '%.*s' left, the sweeper "
                 "will: %s",
                 STR_ARG(u->id), error.message);
    if (u->done)
        u->done(u->arg, v, &error);
    release(u);
}

/* Then it is due as soon as what a dead process left. */
static void on_put_off(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    (void)e; /* due at the end of the upload's time */
}

static void fail(struct upload_end *u, const struct gw_error *e)
{
    if (u->to != UPLOAD_EXPIRED)
        (void)journal_renew(u->sv->redis, &u->id, 1, u->conf->journal.lease_ms,
                            on_put_off, NULL);
    end(u, NULL, e);
}

/* --- all is gone --- */

static void on_released(void *arg, bool changed, const struct gw_error *e)
{
    struct upload_end *u = arg;

    (void)changed;
    u->call = NULL;
    if (e->err != GW_OK)
        fail(u, e);
    else
        end(u, u->view.record.id.n ? &u->view : NULL, e);
}

static void let_go(struct upload_end *u)
{
    u->call = quota_release(u->sv->redis, u->id, on_released, u);
}

/* --- parts that are held --- */

static void look_for_parts(void *arg);
static void delete_part(struct upload_end *u);

static void on_dropped(void *arg, bool changed, const struct gw_error *e)
{
    struct upload_end *u = arg;

    (void)changed;
    u->call = NULL;
    if (e->err != GW_OK)
        fail(u, e);
    else
        loop_defer(u->sv->loop, &u->more, look_for_parts, u);
}

static void drop_parts(struct upload_end *u)
{
    struct str *ids = arena_alloc(u->work, u->n * sizeof(*ids));

    for (size_t i = 0; i < u->n; i++)
        ids[i] = u->parts[i].id;
    u->call = upload_store_drop(u->sv->redis, u->owner, u->id, ids, u->n,
                                on_dropped, u);
}

static void on_deleted(void *arg, const struct gw_error *e)
{
    struct upload_end *u = arg;

    if (e->err != GW_OK && e->err != GW_FILE_NOT_FOUND) {
        fail(u, e);
        return;
    }
    u->i++;
    delete_part(u);
}

static const struct upstream_ops delete_ops = {.done = on_deleted};

static void delete_part(struct upload_end *u)
{
    if (u->i == u->n) {
        drop_parts(u);
        return;
    }
    u->up = upstream_new(u->sv, u->work, u->at, PROV_DELETE);
    u->up->op.upstream_id = u->parts[u->i].upstream_id;
    u->up->op.shown_id = u->parts[u->i].id;
    upstream_start(u->up, NULL, NULL, &delete_ops, u);
}

static void on_left(void *arg, const struct upload_view *v,
                    const struct gw_error *e)
{
    struct upload_end *u = arg;
    struct gw_error busy = {0};

    u->call = NULL;
    if (e->err != GW_OK) {
        fail(u, e);
        return;
    }
    u->parts = v->parts;
    u->n = v->nparts;
    u->i = 0;
    if (u->n) {
        delete_part(u);
    } else if (v->stored) {
        err_set(&busy, GW_UPSTREAM_BUSY, "a part of it is under way");
        fail(u, &busy);
    } else {
        let_go(u);
    }
}

static void look_for_parts(void *arg)
{
    struct upload_end *u = arg;

    arena_free(u->work);
    u->work = arena_new();
    u->up = NULL;
    u->call =
        upload_store_left(u->sv->redis, u->work, u->owner, u->id, on_left, u);
}

/* --- an upload at its provider --- */

/* One that it refuses to cancel has ended there. */
static void on_cancelled(void *arg, const struct gw_error *e)
{
    struct upload_end *u = arg;

    if (e->err == GW_OK || e->err == GW_UPLOAD_NOT_FOUND ||
        e->err == GW_UPSTREAM_REJECTED)
        let_go(u);
    else
        fail(u, e);
}

static const struct upstream_ops cancel_ops = {.done = on_cancelled};

static void cancel_upstream(struct upload_end *u)
{
    u->up = upstream_new(u->sv, u->arena, u->at, PROV_UPLOAD_CANCEL);
    u->up->op.upstream_id = u->view.record.upstream_id;
    u->up->op.shown_id = u->id;
    upstream_start(u->up, NULL, NULL, &cancel_ops, u);
}

/* --- the state --- */

/* Of those there is nothing left at a provider that has parts itself. */
static bool is_done_upstream(const struct upload_end *u)
{
    return u->view.record.upstream_id.n && u->view.state == UPLOAD_COMPLETED;
}

static void clear_away(struct upload_end *u)
{
    const struct upload_record *r = &u->view.record;
    bool is_native = r->upstream_id.n > 0;
    struct gw_error e = {0};

    if (is_done_upstream(u)) {
        let_go(u);
        return;
    }
    u->at = is_native ? settings_provider(u->conf, r->provider)
                      : settings_hold_of(u->conf, r->hold);
    if (!u->at) {
        err_set(&e, GW_UPSTREAM_UNREACHABLE,
                "the provider '%.*s' is no longer configured",
                STR_ARG(is_native ? r->provider : r->hold));
        fail(u, &e);
    } else if (is_native) {
        cancel_upstream(u);
    } else {
        look_for_parts(u);
    }
}

static bool is_over(enum upload_state s)
{
    return s == UPLOAD_COMPLETED || s == UPLOAD_CANCELLED ||
           s == UPLOAD_EXPIRED;
}

static void on_state(void *arg, const struct upload_view *v,
                     const struct gw_error *e)
{
    struct upload_end *u = arg;

    u->call = NULL;
    if (e->err != GW_OK) {
        fail(u, e);
        return;
    }
    if (v)
        u->view = *v;
    if (v && v->state != u->to &&
        (u->to != UPLOAD_EXPIRED || !is_over(v->state)))
        end(u, &u->view, e);
    else if (v)
        clear_away(u);
    else if (u->to == UPLOAD_EXPIRED)
        let_go(u); /* it was begun, and never was one */
    else
        end(u, NULL, e);
}

/* --- life --- */

struct upload_end *upload_end_start(struct services *sv, struct settings *conf,
                                    struct str owner, struct str id,
                                    enum upload_state to, struct str file_id,
                                    upload_end_fn *done, void *arg)
{
    struct arena *a = arena_new();
    struct upload_end *u = arena_new_of(a, struct upload_end);

    u->sv = sv;
    u->conf = settings_hold(conf);
    u->arena = a;
    u->owner = arena_dup(a, owner);
    u->id = arena_dup(a, id);
    u->to = to;
    u->done = done;
    u->arg = arg;
    DL_APPEND(sv->upload_ends, u);
    u->call = upload_store_end(sv->redis, a, u->owner, u->id, to, file_id,
                               on_state, u);
    return u;
}

void upload_end_leave(struct upload_end *u)
{
    if (u)
        u->done = NULL;
}

void upload_end_close(struct services *sv)
{
    struct upload_end *u, *next;

    DL_FOREACH_SAFE (sv->upload_ends, u, next) {
        if (u->call)
            redis_cancel(u->call);
        upstream_abort(u->up);
        release(u);
    }
}
