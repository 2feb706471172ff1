/* uploads_complete.c -- POST /v1/uploads/{id}/complete.
 *
 *   BODY      which parts, in which order
 *   STORE     the upload and these parts
 *   JOURNAL   the upload is ours to complete; what it held is held for the
 *             file; a batch file is read once and checked
 *   …         flow/store_file: parts ─► flow/upload_source ─► provider, or the
 *             provider completes it itself; the record
 *   REPLY     the upload with its file; then the parts go (flow/upload_end)
 *
 * If it fails, all is as it was before, and it can be tried again.
 */
#include "gateway/api/uploads.h"

#include <stdlib.h>

#include "gateway/flow/batch_file.h"
#include "gateway/flow/batch_models.h"
#include "gateway/flow/store_file.h"
#include "gateway/flow/upload_end.h"
#include "gateway/flow/upload_source.h"

#define MD5_HEX 32
#define CHECK_BYTES (64 * KIB)

struct complete {
    struct txn *t;
    struct str md5; /* "": not told */
    struct str *ids;
    size_t n;
    const struct uploads_found *found;
    const struct upload_record *record;
    struct str *upstream_ids; /* of the parts: for who has them himself */
    struct store_file store;
    struct upload_source *source;
    struct batch_file *batch;
    struct redis_call *call, *renewing;
    struct loop_timer renewal;
    int64_t growth; /* by renaming models */
    int64_t lines;  /* of a batch file that was read */
    struct str model;
    /* Both may be so from when it was asked for: what Redis did and could not
     * say is taken back as well. */
    bool is_taken, has_moved;
    bool rewrites, is_recorded;
    char *checked; /* bytes that are only looked at */
    struct loop_task judging;
};

static bool is_native(const struct complete *c)
{
    return c->found->hold == NULL;
}

/* --- the parts as a source --- */

static void drop_source(struct complete *c)
{
    batch_file_free(c->batch);
    upload_source_free(c->source);
    c->batch = NULL;
    c->source = NULL;
}

static void open_parts(struct complete *c)
{
    struct txn *t = c->t;

    drop_source(c);
    c->source = upload_source_new(t->sv, c->found->hold, c->found->view->parts,
                                  c->n, c->md5, t->conf->checksums);
}

static struct pipe *open_batch(struct complete *c, bool rewrites)
{
    struct batch_file_options o = {
        .way = rewrites ? BATCH_FILE_REWRITES : BATCH_FILE_CHECKS,
        .provider = c->found->provider->name,
        .is_hashed = c->t->conf->checksums,
    };

    open_parts(c);
    c->batch = batch_file_new(c->t, upload_source_pipe(c->source), &o);
    return batch_file_pipe(c->batch);
}

static struct pipe *open_source(void *arg, struct prov_upload *up)
{
    struct complete *c = arg;

    if (is_native(c))
        return NULL;
    up->stream_len = c->record->bytes + c->growth;
    if (c->rewrites)
        return open_batch(c, true);
    open_parts(c);
    return upload_source_pipe(c->source);
}

static bool is_read(const struct complete *c)
{
    return c->source && pipe_outcome(upload_source_pipe(c->source)) == PIPE_END;
}

/* --- a batch file is read before it is stored --- */

static void on_growth(void *arg, const struct quota_verdict *v,
                      const struct gw_error *e)
{
    struct complete *c = arg;
    struct gw_error error = *e;

    c->call = NULL;
    if (error.err == GW_OK && v->limit != QUOTA_NONE)
        charge_refuse(&c->t->who, v, &error);
    store_file_held(&c->store, &error);
}

/* It is a good one. Of one that grows, what it grows by is held as well. */
static void on_checked(struct complete *c)
{
    struct txn *t = c->t;
    int64_t max = uploads_max_bytes(t, c->found->provider);
    struct quota_amount more = {0};
    struct gw_error e = {0};

    c->growth = batch_file_growth(c->batch, c->found->provider->name, STR_NULL);
    c->rewrites =
        batch_models_rename(t->conf, c->found->provider->name, STR_NULL) ||
        batch_file_has_ids(c->batch);
    c->lines = MAX(batch_file_requests(c->batch), 0);
    c->model = batch_file_model(c->batch);
    more.bytes = c->growth;
    if (c->growth > 0 && max && c->record->bytes + c->growth > max)
        err_set(&e, GW_FILE_TOO_LARGE,
                "with its models renamed the file is larger than the %lld "
                "bytes allowed",
                (long long)max);
    if (c->growth > 0 && e.err == GW_OK)
        c->call = quota_extend(t->sv->redis, c->store.hold, &t->who, &more,
                               on_growth, c);
    else
        store_file_held(&c->store, &e);
}

/* Nothing stands on its pipe here: it may go. */
static void judge(void *arg)
{
    struct complete *c = arg;
    struct pipe *p = batch_file_pipe(c->batch);
    struct gw_error e = {0};

    if (pipe_outcome(p) == PIPE_ERROR)
        e = *pipe_error(p);
    if (e.err != GW_OK || batch_file_verdict(c->batch, c->found->provider->name,
                                             STR_NULL, &e) != GW_OK)
        store_file_held(&c->store, &e);
    else
        on_checked(c);
}

static void read_batch(void *arg)
{
    struct complete *c = arg;
    struct pipe *p = batch_file_pipe(c->batch);

    while (pipe_read(p, c->checked, CHECK_BYTES) > 0)
        ;
    if (pipe_outcome(p) != PIPE_OPEN)
        loop_defer(c->t->sv->loop, &c->judging, judge, c);
}

static const struct pipe_reader_ops check_ops = {.readable = read_batch};

static bool is_checked(const struct complete *c)
{
    return c->t->conf->batch_check.is_enabled && !is_native(c) &&
           (provider_caps(c->found->provider) & PROV_OPENAI_BATCH) &&
           str_eq(c->record->purpose, STR("batch"));
}

static void on_all_held(struct complete *c)
{
    struct gw_error ok = {0};

    if (!is_checked(c)) {
        store_file_held(&c->store, &ok);
        return;
    }
    c->checked = arena_alloc(c->t->arena, CHECK_BYTES);
    pipe_set_reader(open_batch(c, false), &check_ops, c);
    read_batch(c);
}

/* --- taking the upload, and what it held --- */

static void renew(void *arg);

/* Whatever it says: what was begun is finished. */
static void on_renewed(void *arg, enum upload_state state, int64_t left,
                       const struct gw_error *e)
{
    struct complete *c = arg;

    (void)state;
    (void)left;
    (void)e;
    c->renewing = NULL;
    loop_timer_set(&c->renewal, c->t->conf->journal.lease_ms / 3);
}

static void renew(void *arg)
{
    struct complete *c = arg;

    c->renewing =
        upload_store_take(c->t->sv->redis, c->record, str_of(c->store.id),
                          c->t->conf->journal.lease_ms, on_renewed, c);
}

static void on_held(void *arg, const struct quota_verdict *v,
                    const struct gw_error *e)
{
    struct complete *c = arg;
    struct gw_error error = *e;

    c->call = NULL;
    if (error.err == GW_OK && v->limit != QUOTA_NONE)
        charge_refuse(&c->t->who, v, &error);
    if (error.err != GW_OK)
        store_file_held(&c->store, &error);
    else
        on_all_held(c);
}

/* After a completion of which nobody knows how it went, the upload holds
 * nothing any more. */
static void on_moved(void *arg, bool changed, const struct gw_error *e)
{
    struct complete *c = arg;
    struct txn *t = c->t;
    int64_t n = c->record->bytes;
    struct quota_amount most = {.files = 1, .bytes = n, .up = n};

    c->call = NULL;
    c->has_moved = e->err != GW_OK || changed;
    if (e->err != GW_OK)
        store_file_held(&c->store, e);
    else if (changed)
        on_all_held(c);
    else
        c->call =
            quota_hold(t->sv->redis, c->store.hold, &t->who, &most,
                       &c->store.entry, t->conf->journal.lease_ms, on_held, c);
}

static void on_taken(void *arg, enum upload_state state, int64_t left,
                     const struct gw_error *e)
{
    struct complete *c = arg;
    struct txn *t = c->t;
    struct gw_error error = *e;

    (void)left;
    c->call = NULL;
    c->is_taken = error.err != GW_OK || state == UPLOAD_PENDING;
    if (error.err != GW_OK || uploads_check_state(state, &error) != GW_OK) {
        store_file_held(&c->store, &error);
        return;
    }
    loop_timer_set(&c->renewal, t->conf->journal.lease_ms / 3);
    c->has_moved = true;
    c->call = quota_move(t->sv->redis, c->record->id, &c->store.entry,
                         t->conf->journal.lease_ms, on_moved, c);
}

static void hold(void *arg)
{
    struct complete *c = arg;

    c->is_taken = true;
    c->call = upload_store_take(c->t->sv->redis, c->record, str_of(c->store.id),
                                c->t->conf->journal.lease_ms, on_taken, c);
}

static void on_released(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("cannot give back what an upload held, the sweeper will: %s",
                 e->message);
}

static void release(void *arg)
{
    struct complete *c = arg;
    struct redis *r = c->t->sv->redis;

    if (c->has_moved)
        (void)quota_move_back(r, c->store.hold, c->record->id, c->record->bytes,
                              on_released, NULL);
    else
        (void)quota_release(r, c->store.hold, on_released, NULL);
}

/* --- the file --- */

static void prepare(void *arg, struct prov_op *op)
{
    struct complete *c = arg;

    if (!is_native(c))
        return;
    op->upstream_id = c->record->upstream_id;
    op->shown_id = c->record->id;
    op->part_ids = c->upstream_ids;
    op->nparts = c->n;
    op->md5 = c->md5;
}

static bool on_failed(void *arg, struct gw_error *e)
{
    (void)arg;
    (void)e;
    return false;
}

static enum gw_err on_stored(void *arg, struct file_record *r,
                             struct gw_error *e)
{
    struct complete *c = arg;
    struct txn *t = c->t;

    r->obj.bytes = c->record->bytes;
    r->obj.filename = c->record->filename;
    r->obj.purpose = c->record->purpose;
    r->content_type = c->record->content_type;
    c->store.uploaded = c->record->bytes;
    if (is_native(c))
        return GW_OK;
    if (!is_read(c))
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "provider '%s' accepted the file before it was complete",
                       t->provider);
    r->lines = c->lines;
    r->model = c->model;
    if (c->rewrites)
        r->obj.bytes = batch_file_bytes(c->batch);
    r->obj.sha256 = c->rewrites ? batch_file_sha256(c->batch)
                                : upload_source_sha256(c->source, t->arena);
    return GW_OK;
}

static void on_recorded(void *arg, const struct file_record *r)
{
    struct complete *c = arg;
    struct txn *t = c->t;

    c->is_recorded = true;
    uploads_reply(t, c->record, UPLOAD_COMPLETED, r);
    upload_end_start(t->sv, t->conf, c->record->owner, c->record->id,
                     UPLOAD_COMPLETED, r->obj.id, NULL, NULL);
}

static void on_ended(void *arg)
{
    struct complete *c = arg;
    struct txn *t = c->t;

    if (c->call)
        redis_cancel(c->call);
    if (c->renewing)
        redis_cancel(c->renewing);
    loop_timer_cancel(&c->renewal);
    loop_task_cancel(t->sv->loop, &c->judging);
    drop_source(c);
    if (c->is_taken && !c->is_recorded)
        upload_store_give_back(t->sv->redis, c->record->owner, c->record->id,
                               str_of(c->store.id));
    t->on_gone = NULL;
}

static const struct store_file_ops store_ops = {
    .hold = hold,
    .release = release,
    .source = open_source,
    .prepare = prepare,
    .failed = on_failed,
    .stored = on_stored,
    .recorded = on_recorded,
    .ended = on_ended,
};

/* What a provider was asked to complete may be a file already. */
static void on_gone(struct txn *t)
{
    struct complete *c = t->data;
    struct gw_error gone = {0};

    if (t->state == TXN_RECORD ||
        (t->state == TXN_UPSTREAM && (is_native(c) || is_read(c))))
        return;
    err_plain(&gone, GW_CLIENT_GONE);
    store_file_fail(&c->store, &gone);
}

static void release_timer(void *arg)
{
    loop_timer_release(arg);
}

static void begin(struct complete *c)
{
    struct txn *t = c->t;
    const struct upload_record *u = c->record;
    struct store_file_facts facts = {
        .filename = u->filename,
        .content_type = u->content_type,
        .purpose = u->purpose,
        .bytes = u->bytes,
        .expires_after_s = u->expires_after_s,
    };

    t->data = c;
    t->on_gone = on_gone;
    loop_timer_init(t->sv->loop, &c->renewal, renew, c);
    arena_on_free(t->arena, release_timer, &c->renewal);
    c->store.code = is_native(c) ? PROV_UPLOAD_COMPLETE : PROV_CREATE;
    store_file_begin(&c->store, t, "upload", &store_ops, c);
    store_file_go(&c->store, c->found->provider, &facts);
}

/* --- what is asked for --- */

static int by_text(const void *a, const void *b)
{
    const struct str *x = a, *y = b;
    int order = memcmp(x->p, y->p, MIN(x->n, y->n));

    return order ? order : (x->n > y->n) - (x->n < y->n);
}

static enum gw_err check_twice(struct complete *c, struct gw_error *e)
{
    struct str *sorted = arena_alloc(c->t->arena, c->n * sizeof(*sorted));
    size_t i;

    memcpy(sorted, c->ids, c->n * sizeof(*sorted));
    qsort(sorted, c->n, sizeof(*sorted), by_text);
    for (i = 1; i < c->n; i++)
        if (str_eq(sorted[i - 1], sorted[i]))
            return err_set_param(e, GW_INVALID_VALUE, "part_ids",
                                 "'part_ids' has '%.*s' more than once",
                                 STR_ARG(sorted[i]));
    return GW_OK;
}

static enum gw_err check_parts(struct complete *c, struct gw_error *e)
{
    const struct upload_view *v = c->found->view;
    int64_t sum = 0;
    size_t i;

    c->upstream_ids = arena_alloc(c->t->arena, c->n * sizeof(struct str));
    for (i = 0; i < c->n; i++) {
        if (!v->parts[i].upstream_id.p)
            return err_set_param(e, GW_INVALID_VALUE, "part_ids",
                                 "the upload has no part '%.*s'",
                                 STR_ARG(c->ids[i]));
        c->upstream_ids[i] = v->parts[i].upstream_id;
        sum += v->parts[i].bytes;
    }
    if (check_twice(c, e) != GW_OK)
        return e->err;
    if (sum == v->record.bytes)
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "part_ids",
                         "these parts have %lld bytes, while the upload was "
                         "declared to have %lld",
                         (long long)sum, (long long)v->record.bytes);
}

static void on_found(struct txn *t, const struct uploads_found *f, void *arg)
{
    struct complete *c = arg;
    struct gw_error e = {0};

    c->found = f;
    c->record = &f->view->record;
    if (uploads_check_state(f->view->state, &e) || check_parts(c, &e))
        txn_fail(t, &e);
    else
        begin(c);
}

static bool is_hex(struct str s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (!strchr("0123456789abcdefABCDEF", s.p[i]) || !s.p[i])
            return false;
    return true;
}

static enum gw_err read_md5(struct complete *c, const struct json *v,
                            struct gw_error *e)
{
    struct str s = json_str(v);

    c->md5 = STR("");
    if (json_is_null(v))
        return GW_OK;
    if (s.n != MD5_HEX || !is_hex(s))
        return err_set_param(e, GW_INVALID_VALUE, "md5",
                             "'md5' must be %d hexadecimal digits", MD5_HEX);
    c->md5 = s;
    return GW_OK;
}

static enum gw_err read_ids(struct complete *c, const struct json *v,
                            struct gw_error *e)
{
    size_t i;

    c->n = json_count(v);
    if (json_is_null(v))
        return err_set_param(e, GW_MISSING_PARAM, "part_ids",
                             "'part_ids' is required");
    if (!json_is_array(v) || c->n < 1 || c->n > LIMIT_UPLOAD_PARTS)
        return err_set_param(e, GW_INVALID_VALUE, "part_ids",
                             "'part_ids' must be an array of 1 to %d ids",
                             LIMIT_UPLOAD_PARTS);
    c->ids = arena_alloc(c->t->arena, c->n * sizeof(*c->ids));
    for (i = 0; i < c->n; i++) {
        c->ids[i] = json_str(json_at(v, i));
        if (!c->ids[i].n || c->ids[i].n > LIMIT_ID_BYTES)
            return err_set_param(e, GW_INVALID_VALUE, "part_ids",
                                 "'part_ids' must hold ids of parts");
    }
    return GW_OK;
}

static enum gw_err check_members(const struct json *v, struct gw_error *e)
{
    struct str name;
    void *at = NULL;

    while (json_next(v, &at, &name))
        if (!str_eq(name, STR("part_ids")) && !str_eq(name, STR("md5")))
            return err_set(e, GW_INVALID_VALUE, "unknown parameter '%.*s'",
                           (int)MIN(name.n, (size_t)60), name.p);
    return GW_OK;
}

static void on_body(struct txn *t, struct json *v)
{
    struct complete *c = arena_new_of(t->arena, struct complete);
    struct gw_error e = {0};

    c->t = t;
    if (check_members(v, &e) || read_ids(c, json_get(v, "part_ids"), &e) ||
        read_md5(c, json_get(v, "md5"), &e))
        txn_fail(t, &e);
    else
        uploads_find(t, c->ids, c->n, on_found, c);
}

void uploads_complete(struct txn *t)
{
    if (t->sv->is_draining)
        txn_fail_plain(t, GW_DRAINING);
    else
        body_read_json(t, on_body);
}
