/* files_copy.c -- POST /v1/files/{id}/copy {"provider": "…"}.
 *
 *   BODY      where to, and for how long
 *   JOURNAL   the quota is held; the file's provider is asked for it, and when
 *             it begins to answer
 *   …         flow/store_file: provider ─► pipe ─► another provider; the record
 *   REPLY     the new file
 *
 * The pipe is all that is held of the file, and the slower of the two sets the
 * pace. Its length is the record's: no more and no less is stored. A client who
 * hangs up ends both, unless all has arrived already.
 */
#include "gateway/api/api.h"
#include "gateway/api/upload_fields.h"

#include "gateway/base/bug.h"
#include "gateway/flow/copies.h"
#include "gateway/flow/store_file.h"

struct copy {
    struct txn *t;
    const struct provider_conf *from, *to;
    int64_t expires_after_s;
    struct store_file store;
    struct pipe *pipe;
    struct upstream *source;
    struct redis_call *holding;
    bool has_begun; /* the file comes */
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
    bool is_sources = pipe_outcome(c->pipe) == PIPE_ERROR;

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
    store_file_held(&c->store, &ok);
}

/* Once the file has begun, its end or failure goes through the pipe; unless it
 * is not the whole, or more: the other provider has not seen the end yet. */
static void on_read(void *arg, const struct gw_error *e)
{
    struct copy *c = arg;
    struct gw_error error = *e;
    int64_t size = c->t->record->obj.bytes;

    if (c->has_begun && (e->err != GW_OK || came(c) == size))
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

static void start_source(struct copy *c)
{
    struct txn *t = c->t;

    c->pipe = pipe_new(t->sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH,
                       t->sv->pipe_bytes);
    c->source = upstream_new(t->sv, t->arena, c->from, PROV_CONTENT);
    c->source->trace = t->trace;
    c->source->op.upstream_id = t->record->upstream_id;
    c->source->op.shown_id = t->record->obj.id;
    upstream_start(c->source, NULL, c->pipe, &source_ops, c);
}

static void on_held(void *arg, const struct quota_verdict *v,
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

    up->stream_len = c->t->record->obj.bytes;
    up->lines = -1;
    return c->pipe;
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
    r->lines = from->lines;
    r->model = from->model;
    if (pipe_is_drained(c->pipe) && came(c) == r->obj.bytes)
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
    upstream_abort(c->source);
    if (c->pipe)
        pipe_free(c->pipe);
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

    if (t->state == TXN_RECORD || (c->pipe && pipe_is_drained(c->pipe)))
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

static enum gw_err check_size(const struct copy *c, struct gw_error *e)
{
    const struct txn *t = c->t;
    int64_t max = tighter(t->conf->limits.max_file_bytes,
                          vkey_max_file_bytes(t->vkey, t->vteam));

    max = tighter(max, c->to->max_file_bytes);
    if (t->record->obj.bytes < 0)
        return err_set(e, GW_LENGTH_REQUIRED,
                       "how large the file is is not known");
    if (max && t->record->obj.bytes > max)
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
    return check_size(c, e);
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
