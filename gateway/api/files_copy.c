/* files_copy.c -- POST /v1/files/{id}/copy {"provider": "…"}.
 *
 *   BODY      where to, and for how long
 *   JOURNAL   the quota is held; a batch file is read once and checked, where
 *             the other provider takes OpenAI's lines; the file's provider is
 *             asked for it, and when it begins to answer
 *   …         flow/store_file: provider ─► pipe ─► another provider; the record
 *   REPLY     the new file
 *
 * The pipe is all that is held of the file, and the slower of the two sets the
 * pace. Its length is the record's: no more and no less is stored. A client who
 * hangs up ends both, unless all has arrived already.
 *
 * A batch file is treated as one that is uploaded: what may be in its lines was
 * not looked at where it is, or for that provider. How much it grows is known
 * when it was read, and held.
 */
#include "gateway/api/api.h"
#include "gateway/api/upload_fields.h"

#include "gateway/base/bug.h"
#include "gateway/flow/batch_file.h"
#include "gateway/flow/batch_models.h"
#include "gateway/flow/copies.h"
#include "gateway/flow/store_file.h"

#define CHECK_BYTES (64 * KIB)

struct copy {
    struct txn *t;
    const struct provider_conf *from, *to;
    int64_t expires_after_s;
    struct store_file store;
    struct pipe *pipe;
    struct upstream *source;
    struct redis_call *holding;
    bool has_begun; /* the file comes */
    /* Of a batch file: */
    struct batch_file *batch;
    struct loop_task judging;
    char *checked; /* bytes that are only looked at */
    bool is_checking, rewrites;
    int64_t growth, lines;
    struct str model;
};

/* --- failures of either side --- */

/* Bytes that the file's provider has sent so far. */
static int64_t came(const struct copy *c)
{
    return (int64_t)(pipe_total(c->pipe) + pipe_level(c->pipe));
}

/* The same failure, saying where. */
static void locate(struct gw_error *e, const char *what,
                   const struct provider_conf *p)
{
    struct gw_error inner = *e;

    err_clear(e);
    err_set_param(e, inner.err, inner.param, "cannot %s the file at '%s': %s",
                  what, p->name, inner.message);
    memcpy(e->code, inner.code, sizeof(e->code));
    e->retry_after_s = inner.retry_after_s;
}

static bool on_failed(void *arg, struct gw_error *e)
{
    struct copy *c = arg;
    bool is_sources = c->pipe && pipe_outcome(c->pipe) == PIPE_ERROR;

    /* A byte too many is noticed where the body is sent. */
    if (came(c) > c->t->record->obj.bytes) {
        err_clear(e);
        err_set(e, GW_UPSTREAM_BAD_RESPONSE, "more than %lld bytes came",
                (long long)c->t->record->obj.bytes);
        is_sources = true;
    }
    locate(e, is_sources ? "read" : "store", is_sources ? c->from : c->to);
    return false;
}

/* --- from: the file's provider --- */

static void on_head(void *arg, const struct upstream_head *h)
{
    struct copy *c = arg;
    struct gw_error ok = {0};

    (void)h;
    c->has_begun = true;
    if (!c->is_checking)
        store_file_held(&c->store, &ok);
}

/* Once the file has begun, its end or failure goes through the pipe; unless it
 * is not the whole, or more: the other provider has not seen the end yet. */
static void on_read(void *arg, const struct gw_error *e)
{
    struct copy *c = arg;
    struct gw_error error = *e;
    int64_t size = c->t->record->obj.bytes;

    if (c->has_begun && (c->is_checking || e->err != GW_OK || came(c) == size))
        return;
    err_set(&error, GW_UPSTREAM_BAD_RESPONSE, "%lld bytes came of %lld",
            (long long)came(c), (long long)size);
    locate(&error, "read", c->from);
    if (c->has_begun)
        store_file_fail(&c->store, &error);
    else
        store_file_held(&c->store, &error);
}

static const struct upstream_ops source_ops = {
    .head = on_head,
    .done = on_read,
};

static void drop_source(struct copy *c)
{
    batch_file_free(c->batch);
    upstream_abort(c->source);
    if (c->pipe)
        pipe_free(c->pipe);
    c->batch = NULL;
    c->source = NULL;
    c->pipe = NULL;
}

static void start_source(struct copy *c)
{
    struct txn *t = c->t;

    drop_source(c);
    c->has_begun = false;
    c->pipe = pipe_new(t->sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH,
                       t->sv->pipe_bytes);
    c->source = upstream_new(t->sv, t->arena, c->from, PROV_CONTENT);
    c->source->trace = t->trace;
    c->source->op.upstream_id = t->record->upstream_id;
    c->source->op.shown_id = t->record->obj.id;
    upstream_start(c->source, NULL, c->pipe, &source_ops, c);
}

/* --- a batch file is read before it is copied --- */

static void on_growth(void *arg, const struct quota_verdict *v,
                      const struct gw_error *e)
{
    struct copy *c = arg;
    struct gw_error error = *e;

    c->holding = NULL;
    if (error.err == GW_OK && v->limit != QUOTA_NONE)
        charge_refuse(&c->t->who, v, &error);
    if (error.err != GW_OK)
        store_file_held(&c->store, &error);
    else
        start_source(c);
}

static enum gw_err check_size(const struct copy *c, int64_t bytes,
                              struct gw_error *e);

/* It is a good one. Of one that grows, what it grows by is held as well. */
static void on_checked(struct copy *c)
{
    struct txn *t = c->t;
    struct quota_amount more = {0};
    struct gw_error e = {0};

    c->is_checking = false;
    c->growth = batch_file_growth(c->batch, c->to->name, STR_NULL);
    c->rewrites = batch_models_rename(t->conf, c->to->name, STR_NULL) ||
                  batch_file_has_ids(c->batch);
    c->lines = MAX(batch_file_requests(c->batch), 0);
    c->model = batch_file_model(c->batch);
    drop_source(c);
    more.bytes = c->growth;
    if (check_size(c, t->record->obj.bytes + c->growth, &e) != GW_OK)
        store_file_held(&c->store, &e);
    else if (c->growth > 0)
        c->holding = quota_extend(t->sv->redis, c->store.hold, &t->who, &more,
                                  on_growth, c);
    else
        start_source(c);
}

/* Nothing stands on the pipes here: they may go. */
static void judge(void *arg)
{
    struct copy *c = arg;
    struct pipe *p = batch_file_pipe(c->batch);
    int64_t size = c->t->record->obj.bytes;
    struct gw_error e = {0};

    if (pipe_outcome(c->pipe) == PIPE_ERROR) {
        e = *pipe_error(c->pipe);
        locate(&e, "read", c->from);
    } else if (pipe_outcome(p) == PIPE_ERROR) {
        e = *pipe_error(p);
    } else if (came(c) != size) {
        err_set(&e, GW_UPSTREAM_BAD_RESPONSE, "%lld bytes came of %lld",
                (long long)came(c), (long long)size);
        locate(&e, "read", c->from);
    }
    if (e.err != GW_OK ||
        batch_file_verdict(c->batch, c->to->name, STR_NULL, &e) != GW_OK)
        store_file_held(&c->store, &e);
    else
        on_checked(c);
}

static void read_batch(void *arg)
{
    struct copy *c = arg;
    struct pipe *p = batch_file_pipe(c->batch);

    while (pipe_read(p, c->checked, CHECK_BYTES) > 0)
        ;
    if (pipe_outcome(p) != PIPE_OPEN)
        loop_defer(c->t->sv->loop, &c->judging, judge, c);
}

static const struct pipe_reader_ops check_ops = {.readable = read_batch};

static struct pipe *open_batch(struct copy *c, enum batch_file_way way)
{
    struct batch_file_options o = {
        .way = way,
        .provider = c->to->name,
        .is_hashed = c->t->conf->checksums,
    };

    c->batch = batch_file_new(c->t, c->pipe, &o);
    return batch_file_pipe(c->batch);
}

static bool is_to_be_checked(const struct copy *c)
{
    return c->t->conf->batch_check.is_enabled &&
           (provider_caps(c->to) & PROV_OPENAI_BATCH) &&
           str_eq(c->t->record->obj.purpose, STR("batch"));
}

static void on_held(void *arg, const struct quota_verdict *v,
                    const struct gw_error *e)
{
    struct copy *c = arg;
    struct gw_error error = *e;

    c->holding = NULL;
    if (error.err == GW_OK && v->limit != QUOTA_NONE)
        charge_refuse(&c->t->who, v, &error);
    if (error.err != GW_OK) {
        store_file_held(&c->store, &error);
        return;
    }
    c->is_checking = is_to_be_checked(c);
    start_source(c);
    if (!c->is_checking)
        return;
    c->checked = arena_alloc(c->t->arena, CHECK_BYTES);
    pipe_set_reader(open_batch(c, BATCH_FILE_CHECKS), &check_ops, c);
}

static void hold(void *arg)
{
    struct copy *c = arg;
    struct txn *t = c->t;
    int64_t n = t->record->obj.bytes;
    struct quota_amount most = {.files = 1, .bytes = n, .up = n};

    c->holding =
        quota_hold(t->sv->redis, c->store.hold, &t->who, &most, &c->store.entry,
                   t->conf->journal.lease_ms, on_held, c);
}

/* --- to: the other one --- */

static struct pipe *open_source(void *arg, struct prov_upload *up)
{
    struct copy *c = arg;

    up->stream_len = c->t->record->obj.bytes + c->growth;
    up->lines = c->lines ? c->lines : -1;
    return c->rewrites ? open_batch(c, BATCH_FILE_REWRITES) : c->pipe;
}

static enum gw_err on_stored(void *arg, struct file_record *r,
                             struct gw_error *e)
{
    struct copy *c = arg;
    const struct file_record *from = c->t->record;

    r->obj.bytes = from->obj.bytes;
    r->obj.filename = from->obj.filename;
    r->obj.purpose = from->obj.purpose;
    r->obj.sha256 = from->obj.sha256;
    r->content_type = from->content_type;
    r->lines = c->lines ? c->lines : from->lines;
    r->model = c->lines ? c->model : from->model;
    if (c->rewrites) {
        r->obj.bytes = batch_file_bytes(c->batch);
        r->obj.sha256 = batch_file_sha256(c->batch);
    }
    if (pipe_is_drained(c->pipe) && came(c) == from->obj.bytes)
        return GW_OK;
    return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                   "provider '%s' accepted the file before it was complete",
                   c->to->name);
}

static void on_recorded(void *arg, const struct file_record *r)
{
    reply_file(((struct copy *)arg)->t, r);
}

static void on_ended(void *arg)
{
    struct copy *c = arg;

    if (c->holding)
        redis_cancel(c->holding);
    loop_task_cancel(c->t->sv->loop, &c->judging);
    drop_source(c);
    c->t->on_gone = NULL;
}

static const struct store_file_ops store_ops = {
    .hold = hold,
    .source = open_source,
    .failed = on_failed,
    .stored = on_stored,
    .recorded = on_recorded,
    .ended = on_ended,
};

static void on_gone(struct txn *t)
{
    struct copy *c = t->data;
    struct gw_error gone = {0};

    if (t->state == TXN_RECORD ||
        (!c->is_checking && c->pipe && pipe_is_drained(c->pipe)))
        return;
    err_plain(&gone, GW_CLIENT_GONE);
    store_file_fail(&c->store, &gone);
}

static void begin(struct copy *c)
{
    struct txn *t = c->t;
    const struct file_record *r = t->record;
    struct store_file_facts facts = {
        .filename = r->obj.filename,
        .content_type = r->content_type,
        .purpose = r->obj.purpose,
        .bytes = r->obj.bytes,
        .expires_after_s = c->expires_after_s,
    };

    t->data = c;
    t->on_gone = on_gone;
    store_file_begin(&c->store, t, "copy", &store_ops, c);
    store_file_go(&c->store, c->to, &facts);
}

/* --- what is asked for --- */

static enum gw_err check_members(const struct json *v, struct gw_error *e)
{
    struct str name;
    void *at = NULL;

    while (json_next(v, &at, &name))
        if (!str_eq(name, STR("provider")) &&
            !str_eq(name, STR("expires_after")))
            return err_set(e, GW_INVALID_VALUE, "unknown parameter '%.*s'",
                           STR_ARG(name));
    return GW_OK;
}

static enum gw_err read_expiry(struct copy *c, const struct json *v,
                               struct gw_error *e)
{
    const struct json *seconds = json_get(v, "seconds");
    int64_t s = -1;

    if (json_is_null(v))
        return GW_OK;
    if (!json_is_object(v) || json_is_null(seconds) ||
        json_is_null(json_get(v, "anchor")))
        return err_set_param(e, GW_INVALID_VALUE, "expires_after",
                             "'expires_after' needs both 'anchor' and "
                             "'seconds'");
    if (!json_int(seconds, &s))
        s = -1;
    c->expires_after_s = s;
    return upload_fields_check_lifetime(json_str(json_get(v, "anchor")), &s, e);
}

/* As an upload is routed that names its provider in the form. */
static enum gw_err read_provider(struct copy *c, const struct json *v,
                                 struct gw_error *e)
{
    struct txn *t = c->t;
    struct route_hints hints = {.form = json_str(json_get(v, "provider")),
                                .fields_are_complete = true};
    struct route_facts facts = {.size = -1};
    struct route_decision d;
    bool needs_fields;

    if (!hints.form.n)
        return err_set_param(e, GW_MISSING_PARAM, "provider",
                             "'provider' must name where the copy goes");
    if (router_decide(&t->conf->route, &t->conf->providers, t->vkey, t->vteam,
                      &hints, &facts, &d, &needs_fields, e) != GW_OK)
        return e->err;
    c->to = settings_provider(t->conf, str_of(d.candidates[0]));
    return GW_OK;
}

static enum gw_err check_can(const struct provider_conf *p,
                             enum prov_opcode code, struct gw_error *e)
{
    if (provider_caps(p) & (1u << code))
        return GW_OK;
    return err_set(e, GW_UNSUPPORTED_OPERATION,
                   "provider '%s' does not support the operation '%s'", p->name,
                   prov_opcode_name(code));
}

/* Of several bounds, of which 0 is none. */
static int64_t tighter(int64_t a, int64_t b)
{
    return a && b ? MIN(a, b) : MAX(a, b);
}

static enum gw_err check_size(const struct copy *c, int64_t bytes,
                              struct gw_error *e)
{
    const struct txn *t = c->t;
    int64_t max = tighter(t->conf->limits.max_file_bytes,
                          vkey_max_file_bytes(t->vkey, t->vteam));

    max = tighter(max, c->to->max_file_bytes);
    if (bytes < 0)
        return err_set(e, GW_LENGTH_REQUIRED,
                       "how large the file is is not known");
    if (max && bytes > max)
        return err_set(e, GW_FILE_TOO_LARGE,
                       "the file is larger than the %lld bytes allowed at "
                       "'%s'",
                       (long long)max, c->to->name);
    return GW_OK;
}

static enum gw_err check(struct copy *c, struct gw_error *e)
{
    struct txn *t = c->t;

    if (check_can(c->from, PROV_CONTENT, e) || check_can(c->to, PROV_CREATE, e))
        return e->err;
    if (vkey_check_purpose(t->vkey, t->vteam, t->record->obj.purpose, e))
        return e->err;
    return check_size(c, t->record->obj.bytes, e);
}

static void on_asked(struct txn *t, struct json *v)
{
    struct copy *c = arena_new_of(t->arena, struct copy);
    struct copies_wish wish;
    struct gw_error e = {0};

    c->t = t;
    copies_read_wish(t, &wish);
    wish.caps = PROV_CAN_CONTENT;
    t->record = copies_pick(t, t->record, &wish);
    ASSERT(t->record); /* it was found under this path */
    c->from = reply_provider(t, t->record);
    if (!c->from)
        return;
    if (check_members(v, &e) || read_provider(c, v, &e) ||
        read_expiry(c, json_get(v, "expires_after"), &e) || check(c, &e))
        txn_fail(t, &e);
    else
        begin(c);
}

void files_copy(struct txn *t)
{
    if (t->sv->is_draining)
        txn_fail_plain(t, GW_DRAINING);
    else
        body_read_json(t, on_asked);
}
