/* files_upload.c -- POST /v1/files.
 *
 *   FORM      the fields before the file; the provider is picked
 *   SPOOL     only when fields behind the file decide, or the provider must
 *             know the length: the quota is held, then the file (flow/form,
 *             net/spool)
 *   JOURNAL   the quota is held, and what is about to be stored is noted
 *   UPSTREAM  client ─► form ─► http_client / file_io ─► provider
 *   RECORD    the file's record is written; retried while Redis is away
 *   REPLY
 *
 * From JOURNAL on the upload holds the transaction, so that a client who hangs
 * up leaves nothing half done. A body that was not complete cannot have become
 * a file, and its hold and its entry end. One that was, and was not answered,
 * may: both stay for the sweeper.
 */
#include "gateway/api/api.h"
#include "gateway/api/upload_fields.h"

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/codec/fileid.h"
#include "gateway/codec/multipart.h"
#include "gateway/flow/allowance.h"
#include "gateway/flow/lease.h"
#include "gateway/net/spool.h"
#include "gateway/store/expiry.h"

/* What a form may add to a file, when a declared length is judged early. */
#define FORM_ALLOWANCE (2 * LIMIT_FIELD_BYTES)
/* The record is tried to be written so often and so long. */
#define RECORD_RETRY_MS 200
#define RECORD_RETRY_FOR_MS 60000

struct upload {
    struct txn *t;
    char boundary[LIMIT_BOUNDARY_BYTES + 1];
    char own_boundary[33]; /* when the form is framed anew */
    char id[LIMIT_ID_BYTES + 1];
    struct fileid id_parts;
    struct upload_fields fields;
    struct route_decision route;
    size_t candidate;
    const struct provider_conf *provider;
    struct spool *spool;
    struct pipe *spool_out;
    struct allowance allowance;
    struct journal_entry entry;
    struct lease_entry *lease; /* of the hold: */
    struct str hold;           /* its name; STR_NULL: none */
    struct file_record record;
    struct redis_call *settling;
    struct gw_error write_error;
    struct loop_timer retry;
    int64_t retry_until_ms;
    struct metric_series *active;
};

static void release_timer(void *arg)
{
    loop_timer_release(arg);
}

static void use_candidate(struct upload *u, size_t i)
{
    u->candidate = i;
    u->provider = settings_provider(u->t->conf, str_of(u->route.candidates[i]));
    ASSERT(u->provider);
    u->t->provider = u->provider->name;
}

/* --- the hold --- */

static void on_released(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("cannot release what an upload held, the sweeper will: %s",
                 e->message);
}

/* What is held now is to be held under this name. */
static void name_hold(struct upload *u, struct str name)
{
    struct services *sv = u->t->sv;

    lease_give_back(sv->leases, u->lease);
    if (u->hold.p && !str_eq(u->hold, name))
        (void)quota_release(sv->redis, u->hold, on_released, NULL);
    u->hold = name;
    u->lease = lease_take(sv->leases, name);
}

/* --- the end --- */

/* The upload's own hold on the transaction ends. */
static void end(struct upload *u, bool releases_quota)
{
    struct txn *t = u->t;

    allowance_stop(&u->allowance);
    if (u->settling)
        redis_cancel(u->settling);
    if (u->hold.p && releases_quota)
        (void)quota_release(t->sv->redis, u->hold, on_released, NULL);
    lease_give_back(t->sv->leases, u->lease);
    spool_free(u->spool);
    if (u->spool_out)
        pipe_free(u->spool_out);
    metric_add(u->active, -1);
    t->on_break = NULL;
    txn_drop(t);
}

static void fail(struct upload *u, const struct gw_error *e,
                 bool releases_quota)
{
    txn_fail(u->t, e);
    end(u, releases_quota);
}

static void put_record(void *arg);

/* Both have answered, in whatever order. What failed is tried again together:
 * neither minds being done twice. */
static void on_written(struct upload *u)
{
    struct txn *t = u->t;
    const struct gw_error *e = &u->write_error;

    if (t->store_call || u->settling)
        return;
    if (e->err == GW_OK) {
        reply_file(t, &u->record);
        end(u, false);
    } else if (e->err == GW_STORE_UNAVAILABLE &&
               loop_now_ms(t->sv->loop) < u->retry_until_ms) {
        loop_timer_set(&u->retry, RECORD_RETRY_MS);
    } else {
        log_msg(LOG_ERROR, t->id,
                "cannot record an uploaded file, the sweeper will mend it at "
                "'%s': %s",
                t->provider, e->message);
        fail(u, e, false);
    }
}

static void on_put(void *arg, bool changed, const struct gw_error *e)
{
    struct upload *u = arg;

    (void)changed;
    u->t->store_call = NULL;
    if (e->err != GW_OK)
        u->write_error = *e;
    on_written(u);
}

static void on_settled(void *arg, bool changed, const struct gw_error *e)
{
    struct upload *u = arg;

    (void)changed;
    u->settling = NULL;
    if (e->err != GW_OK)
        u->write_error = *e;
    on_written(u);
}

static void on_expiry_put(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    (void)e; /* it was sent before the record: that fails, too */
}

/* The record and what it counts, in one round trip. */
static void put_record(void *arg)
{
    struct upload *u = arg;
    struct txn *t = u->t;
    struct quota_amount used = {
        .files = 1, .bytes = u->record.obj.bytes, .up = u->record.obj.bytes};

    if (u->record.obj.expires_at)
        (void)expiry_put(t->sv->redis, &u->record, on_expiry_put, NULL);
    err_clear(&u->write_error);
    t->store_call = file_store_put(t->sv->redis, &u->record, on_put, u);
    u->settling = quota_settle(t->sv->redis, str_of(u->id), &t->who, &used,
                               on_settled, u);
}

/* What the client asked for, else what the key, its team or the provider has by
 * default; 0: it does not expire. */
static int64_t lifetime_s(const struct upload *u)
{
    int64_t own = vkey_file_expiry(u->t->vkey, u->t->vteam);

    if (u->fields.expires_after_s)
        return u->fields.expires_after_s;
    if (own)
        return own;
    return u->provider->default_expiry_ms / 1000;
}

/* Of two times, of which 0 is never. */
static int64_t earlier(int64_t a, int64_t b)
{
    return a && b ? MIN(a, b) : MAX(a, b);
}

/* A provider may end a file sooner than was asked for, or later, if it knows
 * hours alone or no choice at all: whichever comes first is what holds. */
static int64_t end_of_life(const struct upload *u, const struct file_obj *up,
                           int64_t created_at)
{
    int64_t s = lifetime_s(u);

    return earlier(up->expires_at, s ? created_at + s : 0);
}

/* What the client said goes before what came back. */
static void fill_record(struct upload *u)
{
    struct txn *t = u->t;
    const struct file_obj *up = &t->up->op.file;
    int64_t now_ms = clock_wall_ms();
    struct file_record *r = &u->record;

    r->obj = (struct file_obj){
        .id = str_of(u->id),
        .bytes = form_file_bytes(t->form),
        .created_at = up->created_at ? up->created_at : now_ms / 1000,
        .filename = form_filename(t->form),
        .purpose = form_get(t->form, FORM_PURPOSE),
        .status = up->status,
        .status_details = up->status_details,
        .provider = str_of(u->provider->name),
        .sha256 = form_sha256(t->form),
    };
    r->obj.expires_at = end_of_life(u, up, r->obj.created_at);
    r->owner = t->vkey->owner;
    r->key_hash = t->is_master ? STR("master") : str_of(t->vkey->hash);
    r->upstream_id = up->id;
    r->content_type = form_content_type(t->form);
    r->stored_ms = now_ms;
    if (up->bytes >= 0 && up->bytes != r->obj.bytes)
        log_msg(LOG_WARN, t->id, "'%s' counts %lld bytes, %lld were sent",
                t->provider, (long long)up->bytes, (long long)r->obj.bytes);
}

/* --- the upload itself --- */

static void begin(struct upload *u);

static bool try_next(struct upload *u, const struct gw_error *e)
{
    if (!err_info(e->err)->is_retryable || u->candidate + 1 >= u->route.n)
        return false;
    if (!u->spool && !upstream_is_untouched(u->t->up))
        return false;
    log_msg(LOG_WARN, u->t->id, "'%s' failed, trying '%s': %s", u->t->provider,
            u->route.candidates[u->candidate + 1], e->message);
    use_candidate(u, u->candidate + 1);
    begin(u);
    return true;
}

static void on_stored(void *arg, const struct gw_error *e)
{
    struct upload *u = arg;
    struct gw_error early = {0};

    if (e->err != GW_OK) {
        if (!try_next(u, e))
            fail(u, e, !upstream_may_have_stored(u->t->up));
        return;
    }
    if (!u->spool && !form_is_complete(u->t->form)) {
        err_set(&early, GW_UPSTREAM_BAD_RESPONSE,
                "the provider accepted the file before it was complete");
        fail(u, &early, false);
        return;
    }
    txn_goto(u->t, TXN_RECORD);
    fill_record(u);
    u->retry_until_ms = loop_now_ms(u->t->sv->loop) + RECORD_RETRY_FOR_MS;
    put_record(u);
}

static const struct upstream_ops store_ops = {.done = on_stored};

/* The pipe that the provider reads, and how the form's framing is used. */
static struct pipe *open_source(struct upload *u, struct prov_upload *up)
{
    struct txn *t = u->t;
    struct pipe *last = u->spool_out;
    unsigned caps = provider_caps(u->provider);
    bool relays = !u->spool && (caps & PROV_FORM);

    up->boundary = str_of(relays ? u->boundary : u->own_boundary);
    up->tail_in_stream = relays;
    if (!u->spool) {
        form_relay_tail(t->form, relays);
        form_change_tail(t->form, caps & PROV_STRICT_FORM,
                         caps & PROV_NO_LATE_EXPIRY);
        up->stream_len = relays ? form_relay_length(t->form) : -1;
        return form_pipe(t->form);
    }
    up->stream_len = spool_size(u->spool);
    up->lines = form_lines(t->form);
    u->spool_out = pipe_new(t->sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH,
                            t->sv->pipe_bytes);
    spool_replay(u->spool, u->spool_out); /* which lets go of the last one */
    if (last)
        pipe_free(last);
    return u->spool_out;
}

static void start_upstream(struct upload *u)
{
    struct txn *t = u->t;
    struct prov_upload *up;
    struct pipe *source;

    t->up = upstream_new(t->sv, t->arena, u->provider, PROV_CREATE);
    up = &t->up->op.upload;
    up->filename = form_filename(t->form);
    up->content_type = form_content_type(t->form);
    up->purpose = form_get(t->form, FORM_PURPOSE);
    up->expires_after_s = u->fields.expires_after_s;
    t->up->op.object_name = u->id_parts.ulid;
    t->up->op.shown_id = str_of(u->id);
    source = open_source(u, up);
    txn_goto(t, TXN_UPSTREAM);
    upstream_start(t->up, source, NULL, &store_ops, u);
}

static void on_held(void *arg, const struct gw_error *e)
{
    struct upload *u = arg;

    if (e->err != GW_OK)
        fail(u, e, true);
    else
        start_upstream(u);
}

static void fill_entry(struct upload *u)
{
    struct txn *t = u->t;
    bool names = provider_caps(u->provider) & PROV_NAMES_OBJECT;

    u->entry = (struct journal_entry){
        .id = str_of(u->id),
        .owner = t->vkey->owner,
        .key_hash = t->is_master ? STR("master") : str_of(t->vkey->hash),
        .provider = str_of(u->provider->name),
        .upstream_id = names ? u->id_parts.ulid : STR(""),
        .filename = form_filename(t->form),
        .purpose = form_get(t->form, FORM_PURPOSE),
        .content_type = form_content_type(t->form),
        .bytes = u->spool ? spool_size(u->spool) : -1,
        .begun_ms = clock_wall_ms(),
        .expires_at = lifetime_s(u) ? clock_wall_s() + lifetime_s(u) : 0,
    };
}

/* Hold the quota and note what is about to happen at this provider. Also for
 * the next candidate: the hold is the same, the entry's provider another. */
static void begin(struct upload *u)
{
    struct txn *t = u->t;

    if (!u->id[0]) {
        fileid_mint(FILEID_FILE, u->provider->ns, clock_wall_ms(), u->id);
        t->file_id = str_of(u->id);
        crypto_random_text(u->own_boundary, sizeof(u->own_boundary) - 1);
        name_hold(u, t->file_id);
    }
    if (!fileid_parse(FILEID_FILE, str_of(u->id), &u->id_parts))
        BUG("minted a bad id '%s'", u->id);
    fill_entry(u);
    txn_goto(t, TXN_JOURNAL);
    allowance_take(&u->allowance, t->sv, t->form, &t->who, u->hold,
                   u->spool ? spool_size(u->spool) : -1, &u->entry,
                   t->conf->journal.lease_ms, on_held, u);
}

/* --- spooling --- */

static void on_spooled(void *arg, const struct gw_error *e)
{
    struct upload *u = arg;
    struct gw_error error = *e;
    bool needs_fields = false;

    if (error.err == GW_OK &&
        upload_fields_route(&u->fields, &u->route, &needs_fields, &error) ==
            GW_OK) {
        ASSERT(!needs_fields && u->route.n > 0);
        use_candidate(u, 0);
        begin(u);
        return;
    }
    fail(u, &error, true);
}

static void spool_file(void *arg, const struct gw_error *e)
{
    struct upload *u = arg;
    struct txn *t = u->t;
    const struct settings_limits *l = &t->conf->limits;
    struct spool_limits limits = {
        .memory = (size_t)l->spool_memory,
        .total = l->spool_total,
        .dir = t->conf->data_dir,
    };

    if (e->err != GW_OK) {
        fail(u, e, true);
        return;
    }
    form_relay_tail(t->form, false);
    form_count_lines(t->form);
    u->spool = spool_new(t->sv->files, t->sv->loop, &limits, form_pipe(t->form),
                         on_spooled, u);
}

/* Under the request's id: the file's may need fields that are still to come. */
static void begin_spool(struct upload *u)
{
    struct txn *t = u->t;

    txn_goto(t, TXN_SPOOL);
    name_hold(u, str_of(t->id));
    allowance_take(&u->allowance, t->sv, t->form, &t->who, u->hold, -1, NULL,
                   t->conf->journal.lease_ms, spool_file, u);
}

/* --- the form --- */

/* All fields are in; the last chance to stop before the form's end is sent. */
static enum gw_err on_fields(void *arg, struct gw_error *e)
{
    struct upload *u = arg;
    struct route_decision now;
    bool needs_fields;

    if (upload_fields_check(&u->fields, e) != GW_OK ||
        upload_fields_check_complete(&u->fields, e) != GW_OK)
        return e->err;
    if (u->spool)
        return GW_OK;
    if (upload_fields_route(&u->fields, &now, &needs_fields, e) != GW_OK)
        return e->err;
    if (strcmp(now.candidates[0], u->route.candidates[0]) == 0)
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "provider",
                         "a field behind the file asks for '%s' while the file "
                         "already goes to '%s': send it before the file, or "
                         "as header 'x-filemux-provider'",
                         now.candidates[0], u->route.candidates[0]);
}

static enum gw_err check_expected_size(struct upload *u, struct gw_error *e)
{
    struct form *f = u->t->form;
    int64_t max = u->provider->max_file_bytes;
    int64_t expected = form_expected_bytes(f);

    form_limit(f, max);
    if (max && expected > max + (int64_t)LIMIT_TAIL_BYTES)
        return err_set_param(e, GW_FILE_TOO_LARGE, "file",
                             "the file is larger than the %lld bytes that "
                             "'%s' takes",
                             (long long)max, u->provider->name);
    return GW_OK;
}

/* The provider wants to know what is not known yet. */
static bool must_spool(struct upload *u)
{
    unsigned caps = provider_caps(u->provider);
    bool has_purpose = form_get(u->t->form, FORM_PURPOSE).p != NULL;

    if ((caps & PROV_NEEDS_FIELDS) && !has_purpose)
        return true;
    if (!(caps & PROV_NEEDS_LENGTH))
        return false;
    /* Relaying the client's own framing, the length is known if his was. */
    return !(caps & PROV_FORM) || form_relay_length(u->t->form) < 0;
}

static void on_break(struct txn *t)
{
    struct upload *u = t->data;
    struct gw_error e = {0};

    err_plain(&e, GW_DRAINING);
    fail(u, &e,
         t->state != TXN_RECORD &&
             (!t->up || !upstream_may_have_stored(t->up)));
}

static void on_file(void *arg)
{
    struct upload *u = arg;
    struct txn *t = u->t;
    struct gw_error e = {0};
    bool needs_fields = false;

    if (upload_fields_check(&u->fields, &e) != GW_OK ||
        upload_fields_route(&u->fields, &u->route, &needs_fields, &e) !=
            GW_OK) {
        txn_fail(t, &e);
        return;
    }
    if (!needs_fields) {
        snprintf(t->reason, sizeof(t->reason), "%s", u->route.reason);
        use_candidate(u, 0);
        if (check_expected_size(u, &e) != GW_OK) {
            txn_fail(t, &e);
            return;
        }
    }
    if (t->conf->checksums)
        form_hash(t->form);
    u->active =
        metrics_get(t->sv->metrics, METRIC_TRANSFERS, "upload", NULL, NULL);
    metric_add(u->active, 1);
    txn_hold(t);
    t->on_break = on_break;
    if (needs_fields || must_spool(u))
        begin_spool(u);
    else
        begin(u);
}

static void on_short(void *arg)
{
    allowance_more(&((struct upload *)arg)->allowance);
}

static void on_form_failed(void *arg, const struct gw_error *e)
{
    txn_fail(((struct upload *)arg)->t, e);
}

static const struct form_ops form_ops = {
    .on_file = on_file,
    .on_fields = on_fields,
    .on_failed = on_form_failed,
    .on_short = on_short,
};

static void on_readable(struct txn *t)
{
    form_readable(t->form);
}

/* The bound on the file's bytes: the gateway's, the key's, the team's. */
static int64_t max_bytes(const struct txn *t)
{
    int64_t max = t->conf->limits.max_file_bytes;
    int64_t own = vkey_max_file_bytes(t->vkey, t->vteam);

    return own && (!max || own < max) ? own : max;
}

/* What the head alone already tells, before the body is invited. */
static enum gw_err check_head(struct upload *u, struct gw_error *e)
{
    struct txn *t = u->t;
    int64_t max = max_bytes(t);
    struct route_decision d;
    bool needs_fields;

    if (multipart_boundary(txn_header(t, STR("content-type")), u->boundary,
                           e) != GW_OK)
        return e->err;
    if (max && t->head->content_length > max + (int64_t)FORM_ALLOWANCE)
        return err_set_param(e, GW_FILE_TOO_LARGE, "file",
                             "the declared length of %lld bytes is over the "
                             "%lld allowed for a file",
                             (long long)t->head->content_length,
                             (long long)max);
    return upload_fields_route(&u->fields, &d, &needs_fields, e);
}

void files_upload(struct txn *t)
{
    struct upload *u = arena_new_of(t->arena, struct upload);
    struct gw_error e = {0};

    u->t = t;
    t->data = u;
    upload_fields_begin(&u->fields, t);
    if (t->sv->is_draining) {
        txn_fail_plain(t, GW_DRAINING);
        return;
    }
    if (check_head(u, &e) != GW_OK) {
        txn_fail(t, &e);
        return;
    }
    loop_timer_init(t->sv->loop, &u->retry, put_record, u);
    arena_on_free(t->arena, release_timer, &u->retry);
    txn_goto(t, TXN_FORM);
    t->on_readable = on_readable;
    t->form = form_new(t->arena, t->sv->loop, t->req, u->boundary, max_bytes(t),
                       t->sv->pipe_bytes, &form_ops, u);
}
