/* uploads_part.c -- POST /v1/uploads/{id}/parts.
 *
 *   STORE     the upload
 *   FORM      up to the bytes, which are the form's one part, `data`
 *   JOURNAL   the part is under way, with the bytes it most likely has; from
 *             then on that is said again, as a lease
 *   UPSTREAM  client ─► form ─► who holds it, or the provider itself
 *   RECORD    the part is stored: it counts
 *   REPLY     its id
 *
 * What is under way when the process dies, or cannot be recorded, is known by
 * its name and goes with the upload.
 */
#include "gateway/api/uploads.h"

#include "gateway/base/clock.h"
#include "gateway/codec/fileid.h"
#include "gateway/codec/multipart.h"

/* Behind the closing delimiter most write a line's end. */
#define FINAL_CRLF 2
/* What a form may add to a part, when a declared length is judged early. */
#define FORM_ALLOWANCE (2 * LIMIT_FIELD_BYTES)
#define ID_PREFIX "part_"
#define REPLY_BYTES (4 * KIB)

struct part {
    struct txn *t;
    const struct uploads_found *found;
    char boundary[LIMIT_BOUNDARY_BYTES + 1];
    char id[sizeof(ID_PREFIX) + FILEID_ULID_CHARS];
    char object[sizeof(UPLOAD_OBJECT_PREFIX) + FILEID_ULID_CHARS];
    char own_boundary[33]; /* for who frames an object */
    int64_t declared;      /* bytes that it most likely has; 0: unknown */
    int64_t created_at;
    struct upload_part stored;
    struct redis_call *call, *renewing;
    struct loop_timer renewal;
    struct upstream *up;
    struct metric_series *active;
};

/* --- the end --- */

static void on_dropped(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("cannot forget a part that was not stored: %s", e->message);
}

/* Its own hold on the transaction ends. is_nothing: it is nowhere. */
static void end(struct part *p, bool is_nothing)
{
    struct txn *t = p->t;
    struct str id = str_of(p->id);

    if (p->call)
        redis_cancel(p->call);
    if (p->renewing)
        redis_cancel(p->renewing);
    p->call = p->renewing = NULL;
    loop_timer_cancel(&p->renewal);
    upstream_abort(p->up);
    metric_add(p->active, -1);
    if (is_nothing)
        (void)upload_store_drop(t->sv->redis, t->vkey->owner, t->param, &id, 1,
                                on_dropped, NULL);
    t->on_break = NULL;
    txn_drop(t);
}

static void fail(struct part *p, const struct gw_error *e, bool is_nothing)
{
    txn_fail(p->t, e);
    end(p, is_nothing);
}

static void on_break(struct txn *t)
{
    struct gw_error e = {0};

    err_plain(&e, GW_DRAINING);
    fail(t->data, &e, false);
}

static enum gw_err refuse(struct part *p, enum upload_state state, int64_t left,
                          struct gw_error *e)
{
    const struct upload_record *u = &p->found->view->record;

    if (state == UPLOAD_FULL)
        return err_set_param(e, GW_INVALID_VALUE, "data",
                             "the part is larger than the %lld bytes that are "
                             "left of the %lld declared for the upload",
                             (long long)MAX(left, 0), (long long)u->bytes);
    if (state == UPLOAD_MANY)
        return err_set_param(e, GW_INVALID_VALUE, "data",
                             "an upload has at most %d parts: make them larger",
                             LIMIT_UPLOAD_PARTS);
    if (state == UPLOAD_GONE)
        return err_set(e, GW_CONFLICT, "the part was given up: send it again");
    return uploads_check_state(state, e);
}

/* --- it is stored --- */

static void reply(struct part *p)
{
    struct buf body;
    struct json_out j;

    buf_init(&body, REPLY_BYTES);
    json_out_init(&j, &body);
    json_open(&j, NULL, '{');
    json_put_cstr(&j, "id", p->id);
    json_put_cstr(&j, "object", "upload.part");
    json_put_int(&j, "created_at", p->created_at);
    json_put_str(&j, "upload_id", p->found->view->record.id);
    json_close(&j);
    txn_reply_json(p->t, 200, buf_str(&body));
    buf_release(&body);
}

static void on_deleted(void *arg, const struct gw_error *e)
{
    end(arg, e->err == GW_OK || e->err == GW_FILE_NOT_FOUND);
}

static const struct upstream_ops delete_ops = {.done = on_deleted};

/* It is stored for nobody: so that it can be sent again at once, it goes now.
 * Should it not, it goes with the upload. */
static void discard(struct part *p)
{
    struct txn *t = p->t;
    struct str object = p->up->op.file.id;

    loop_timer_cancel(&p->renewal);
    if (!p->found->hold) {
        end(p, true);
        return;
    }
    p->up = upstream_new(t->sv, t->arena, p->found->hold, PROV_DELETE);
    p->up->op.upstream_id = object;
    p->up->op.shown_id = str_of(p->id);
    upstream_start(p->up, NULL, NULL, &delete_ops, p);
}

static void on_added(void *arg, enum upload_state state, int64_t left,
                     const struct gw_error *e)
{
    struct part *p = arg;
    struct gw_error error = *e;

    p->call = NULL;
    if (error.err == GW_OK && state != UPLOAD_PENDING)
        refuse(p, state, left, &error);
    if (error.err == GW_OK && p->t->req) {
        reply(p);
        end(p, false);
    } else if (e->err == GW_OK) {
        if (error.err != GW_OK)
            txn_fail(p->t, &error);
        discard(p); /* it may count, but nobody will know its id */
    } else {
        fail(p, &error, false); /* it may count, or not */
    }
}

static void add(struct part *p)
{
    struct txn *t = p->t;
    const struct prov_op *op = &p->up->op;

    p->stored = (struct upload_part){
        .id = str_of(p->id),
        .upstream_id = p->found->hold ? op->file.id : op->made_id,
        .bytes = form_file_bytes(t->form),
    };
    p->created_at = clock_wall_s();
    loop_timer_cancel(&p->renewal);
    txn_goto(t, TXN_RECORD);
    p->call = upload_store_add(t->sv->redis, &p->found->view->record,
                               &p->stored, on_added, p);
}

static void on_stored(void *arg, const struct gw_error *e)
{
    struct part *p = arg;
    struct gw_error error = *e;

    if (error.err == GW_OK && !form_is_complete(p->t->form))
        err_set(&error, GW_UPSTREAM_BAD_RESPONSE,
                "the provider accepted the part before it was complete");
    if (error.err != GW_OK)
        fail(p, &error, e->err != GW_OK && !upstream_may_have_stored(p->up));
    else if (!p->t->req)
        discard(p); /* nobody will know its id */
    else
        add(p);
}

static const struct upstream_ops store_ops = {.done = on_stored};

/* --- it is under way --- */

static void renew(void *arg);

/* The upload may have ended meanwhile. */
static void on_renewed(void *arg, enum upload_state state, int64_t left,
                       const struct gw_error *e)
{
    struct part *p = arg;
    struct gw_error error = {0};

    p->renewing = NULL;
    if (e->err != GW_OK || state == UPLOAD_PENDING) {
        loop_timer_set(&p->renewal, p->t->conf->journal.lease_ms / 3);
        return;
    }
    refuse(p, state, left, &error);
    fail(p, &error, false);
}

static void renew(void *arg)
{
    struct part *p = arg;
    struct txn *t = p->t;

    p->renewing = upload_store_begin(
        t->sv->redis, &p->found->view->record, str_of(p->id), str_of(p->object),
        p->declared, t->conf->journal.lease_ms, true, on_renewed, p);
}

/* To who holds it, as an object; the client's framing is of no use there. */
static void fill_held(struct part *p, struct prov_op *op)
{
    op->object_name = str_of(p->object);
    op->upload.filename = str_of(p->object);
    op->upload.content_type = STR("application/octet-stream");
    op->upload.purpose = p->found->view->record.purpose;
    op->upload.boundary = str_of(p->own_boundary);
    form_relay_tail(p->t->form, false);
}

/* To the provider, in the client's own framing but for its head. */
static void fill_native(struct part *p, struct prov_op *op)
{
    struct form *f = p->t->form;

    op->upstream_id = p->found->view->record.upstream_id;
    op->upload.boundary = str_of(p->boundary);
    op->upload.tail_in_stream = true;
    op->upload.stream_len = form_relay_length(f);
    form_relay_tail(f, true);
    form_change_tail(f, true, true);
}

static void store(struct part *p)
{
    struct txn *t = p->t;
    bool is_held = p->found->hold != NULL;

    p->up = upstream_new(t->sv, t->arena,
                         is_held ? p->found->hold : p->found->provider,
                         is_held ? PROV_CREATE : PROV_UPLOAD_PART);
    p->up->trace = t->trace;
    p->up->op.shown_id = p->found->view->record.id;
    if (is_held)
        fill_held(p, &p->up->op);
    else
        fill_native(p, &p->up->op);
    loop_timer_set(&p->renewal, t->conf->journal.lease_ms / 3);
    txn_goto(t, TXN_UPSTREAM);
    upstream_start(p->up, form_pipe(t->form), NULL, &store_ops, p);
}

static void on_begun(void *arg, enum upload_state state, int64_t left,
                     const struct gw_error *e)
{
    struct part *p = arg;
    struct gw_error error = *e;

    p->call = NULL;
    if (error.err == GW_OK && state != UPLOAD_PENDING)
        refuse(p, state, left, &error);
    if (error.err == GW_OK && left < 1)
        refuse(p, UPLOAD_FULL, left, &error);
    if (error.err != GW_OK) {
        /* It was begun all the same if there is no more than no room. */
        fail(p, &error, e->err == GW_OK && state == UPLOAD_PENDING);
        return;
    }
    form_limit(p->t->form, left);
    store(p);
}

static void release_timer(void *arg)
{
    loop_timer_release(arg);
}

/* --- the form --- */

static bool needs_length(const struct part *p)
{
    const struct provider_conf *c =
        p->found->hold ? p->found->hold : p->found->provider;

    return provider_caps(c) & PROV_NEEDS_LENGTH;
}

static void on_file(void *arg)
{
    struct part *p = arg;
    struct txn *t = p->t;
    int64_t most = form_expected_bytes(t->form);
    struct gw_error e = {0};

    if (most < 0 && needs_length(p)) {
        err_set_param(&e, GW_LENGTH_REQUIRED, "data",
                      "provider '%s' takes parts with a Content-Length alone",
                      t->provider);
        txn_fail(t, &e);
        return;
    }
    p->declared = most < 0 ? 0 : MAX(most - FINAL_CRLF, 0);
    loop_timer_init(t->sv->loop, &p->renewal, renew, p);
    arena_on_free(t->arena, release_timer, &p->renewal);
    p->active =
        metrics_get(t->sv->metrics, METRIC_TRANSFERS, "upload", NULL, NULL);
    metric_add(p->active, 1);
    txn_hold(t);
    t->on_break = on_break;
    txn_goto(t, TXN_JOURNAL);
    p->call = upload_store_begin(t->sv->redis, &p->found->view->record,
                                 str_of(p->id), str_of(p->object), p->declared,
                                 t->conf->journal.lease_ms, false, on_begun, p);
}

static enum gw_err on_fields(void *arg, struct gw_error *e)
{
    struct part *p = arg;

    if (form_file_bytes(p->t->form) > 0)
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "data", "the part is empty");
}

static void on_form_failed(void *arg, const struct gw_error *e)
{
    txn_fail(((struct part *)arg)->t, e);
}

static const struct form_ops form_ops = {
    .on_file = on_file,
    .on_fields = on_fields,
    .on_failed = on_form_failed,
};

static void on_readable(struct txn *t)
{
    form_readable(t->form);
}

static void name(struct part *p)
{
    char id[LIMIT_ID_BYTES + 1];
    const char *ulid;

    fileid_mint(FILEID_FILE, p->found->provider->ns, clock_wall_ms(), id);
    ulid = id + strlen(id) - FILEID_ULID_CHARS;
    snprintf(p->id, sizeof(p->id), ID_PREFIX "%s", ulid);
    snprintf(p->object, sizeof(p->object), UPLOAD_OBJECT_PREFIX "%s", ulid);
    crypto_random_text(p->own_boundary, sizeof(p->own_boundary) - 1);
}

static enum gw_err check(struct txn *t, struct part *p, struct gw_error *e)
{
    int64_t max = t->conf->uploads.max_part_bytes;

    if (uploads_check_state(p->found->view->state, e))
        return e->err;
    if (multipart_boundary(txn_header(t, STR("content-type")), p->boundary, e))
        return e->err;
    if (t->head->content_length <= max + (int64_t)FORM_ALLOWANCE)
        return GW_OK;
    return err_set_param(e, GW_FILE_TOO_LARGE, "data",
                         "the declared length of %lld bytes is over the %lld "
                         "allowed for a part",
                         (long long)t->head->content_length, (long long)max);
}

static void begin(struct txn *t, const struct uploads_found *f,
                  void *arg UNUSED)
{
    struct part *p = arena_new_of(t->arena, struct part);
    struct gw_error e = {0};

    p->t = t;
    p->found = f;
    t->data = p;
    if (check(t, p, &e) != GW_OK) {
        txn_fail(t, &e);
        return;
    }
    name(p);
    txn_goto(t, TXN_FORM);
    t->on_readable = on_readable;
    t->form = form_new(t->arena, t->sv->loop, t->req, p->boundary,
                       t->conf->uploads.max_part_bytes, t->sv->pipe_bytes,
                       &form_ops, p);
    form_name_file(t->form, "data");
}

void uploads_part(struct txn *t)
{
    if (t->sv->is_draining)
        txn_fail_plain(t, GW_DRAINING);
    else
        uploads_find(t, NULL, 0, begin, NULL);
}
