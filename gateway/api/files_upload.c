/* files_upload.c -- POST /v1/files.
 *
 *   FORM      the fields before the file; the provider is picked
 *   SPOOL     only when fields behind the file decide, or the provider must
 *             know the length: the quota is held, then the file (flow/form,
 *             net/spool)
 *   …         flow/store_file: client ─► form ─► http_client / file_io ─►
 *             provider; the record
 *   REPLY
 *
 * One that goes to several providers at once (fan-out) takes the same way; the
 * file's bytes alone go through a tee, and each provider's form is its own.
 */
#include "gateway/api/api.h"
#include "gateway/api/upload_batch.h"
#include "gateway/api/upload_fields.h"

#include "gateway/base/bug.h"
#include "gateway/codec/multipart.h"
#include "gateway/flow/allowance.h"
#include "gateway/flow/store_file.h"
#include "gateway/net/spool.h"
#include "gateway/net/tee.h"

/* What a form may add to a file, when a declared length is judged early. */
#define FORM_ALLOWANCE (2 * LIMIT_FIELD_BYTES)

struct upload {
    struct txn *t;
    char boundary[LIMIT_BOUNDARY_BYTES + 1];
    struct store_file store;
    struct upload_fields fields;
    struct route_decision route;
    size_t candidate;
    const struct provider_conf *provider;
    const struct provider_conf *all[LIMIT_FAN_OUT]; /* route.is_for_all */
    struct tee *tee;
    struct spool *spool;
    struct pipe *spool_out;
    struct upload_batch batch;
    struct allowance allowance;
};

static const struct provider_conf *candidate(const struct upload *u, size_t i)
{
    const struct provider_conf *p =
        settings_provider(u->t->conf, str_of(u->route.candidates[i]));

    ASSERT(p);
    return p;
}

static void use_candidate(struct upload *u, size_t i)
{
    u->candidate = i;
    u->provider = candidate(u, i);
}

/* The first to be tried, or all of them. */
static void use_route(struct upload *u)
{
    struct str models = u->fields.ask.hints.model;
    bool is_by_models = u->route.is_for_all && u->route.is_by_models;

    use_candidate(u, 0);
    for (size_t i = 0; u->route.is_for_all && i < u->route.n; i++)
        u->all[i] = candidate(u, i);
    upload_batch_set_targets(&u->batch, is_by_models ? models : STR_NULL);
}

/* How many providers the file goes to: those are u->all, or u->provider. */
static size_t count(const struct upload *u)
{
    return u->route.is_for_all ? u->route.n : 1;
}

static const struct provider_conf *goes_to(const struct upload *u, size_t i)
{
    return u->route.is_for_all ? u->all[i] : u->provider;
}

/* --- the upload itself --- */

static void begin(struct upload *u);

/* Is it small enough for this provider, as far as is known? */
static enum gw_err check_size(struct upload *u, const struct provider_conf *p,
                              struct gw_error *e)
{
    int64_t max = p->max_file_bytes;
    int64_t least =
        u->spool ? spool_size(u->spool)
                 : form_expected_bytes(u->t->form) - (int64_t)LIMIT_TAIL_BYTES;

    if (!max || least <= max)
        return GW_OK;
    return err_set_param(e, GW_FILE_TOO_LARGE, "file",
                         "the file is larger than the %lld bytes that '%s' "
                         "takes",
                         (long long)max, p->name);
}

/* The provider wants to know what is not known yet. */
static bool must_spool(struct upload *u, const struct provider_conf *p)
{
    unsigned caps = provider_caps(p);
    bool has_purpose = form_get(u->t->form, FORM_PURPOSE).p != NULL;

    if (upload_batch_needs_spool(&u->batch, p))
        return true;
    if ((caps & PROV_NEEDS_FIELDS) && !has_purpose)
        return true;
    if (!(caps & PROV_NEEDS_LENGTH))
        return false;
    /* Relaying the client's own framing, the length is known if his was. */
    return !(caps & PROV_FORM) || form_relay_length(u->t->form) < 0;
}

/* Of several none is given the client's framing. */
static bool must_spool_for_all(struct upload *u)
{
    for (size_t i = 0; i < count(u); i++) {
        const struct provider_conf *p = goes_to(u, i);

        if ((provider_caps(p) & PROV_NEEDS_LENGTH) || must_spool(u, p))
            return true;
    }
    return !form_get(u->t->form, FORM_PURPOSE).p;
}

static bool must_hold(struct upload *u)
{
    return u->route.is_for_all ? must_spool_for_all(u)
                               : must_spool(u, u->provider);
}

/* Is it small enough, as far as is known, for all that it goes to? */
static enum gw_err check_sizes(struct upload *u, struct gw_error *e)
{
    for (size_t i = 0; i < count(u); i++)
        if (check_size(u, goes_to(u, i), e) != GW_OK)
            return e->err;
    return GW_OK;
}

/* All that is known of its lines: can they go there? */
static enum gw_err check_batch(struct upload *u, struct gw_error *e)
{
    for (size_t i = 0; i < count(u); i++)
        if (upload_batch_check(&u->batch, goes_to(u, i), e) != GW_OK)
            return e->err;
    return GW_OK;
}

static void limit_size(struct upload *u)
{
    for (size_t i = 0; i < count(u); i++)
        form_limit(u->t->form, goes_to(u, i)->max_file_bytes);
}

/* May the file be sent to the next candidate, too? */
static bool can_go_on(struct upload *u, const char *next)
{
    const struct provider_conf *p = settings_provider(u->t->conf, str_of(next));
    struct gw_error e = {0};

    if (check_size(u, p, &e) != GW_OK)
        return false;
    if (u->spool)
        return upload_batch_check(&u->batch, p, &e) == GW_OK;
    return upstream_is_untouched(u->t->up) &&
           pipe_total(form_pipe(u->t->form)) == 0 && !must_spool(u, p);
}

static bool try_next(void *arg, struct gw_error *e)
{
    struct upload *u = arg;

    if (u->route.is_for_all || !err_info(e->err)->is_retryable ||
        u->candidate + 1 >= u->route.n ||
        !can_go_on(u, u->route.candidates[u->candidate + 1]))
        return false;
    log_msg(LOG_WARN, u->t->id, "'%s' failed, trying '%s': %s", u->t->provider,
            u->route.candidates[u->candidate + 1], e->message);
    use_candidate(u, u->candidate + 1);
    form_limit(u->t->form, u->provider->max_file_bytes);
    begin(u);
    return true;
}

static enum gw_err on_stored(void *arg, struct file_record *r,
                             struct gw_error *e)
{
    struct upload *u = arg;
    struct form *f = u->t->form;

    if (!u->spool && !form_is_complete(f))
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "the provider accepted the file before it was "
                       "complete");
    u->store.facts.expires_after_s = u->fields.expires_after_s;
    u->store.uploaded = form_file_bytes(f);
    r->obj.bytes = upload_batch_bytes(&u->batch, 0);
    r->obj.filename = form_filename(f);
    r->obj.purpose = form_get(f, FORM_PURPOSE);
    r->obj.sha256 = upload_batch_sha256(&u->batch);
    r->content_type = form_content_type(f);
    upload_batch_note(&u->batch, r);
    return GW_OK;
}

static void on_recorded(void *arg, const struct file_record *r)
{
    reply_file(((struct upload *)arg)->t, r);
}

static void on_ended(void *arg)
{
    struct upload *u = arg;

    allowance_stop(&u->allowance);
    upload_batch_end_outs(&u->batch);
    tee_free(u->tee);
    spool_free(u->spool);
    upload_batch_release(&u->batch);
    if (u->spool_out)
        pipe_free(u->spool_out);
}

/* Of a spooled file, as the provider will have it. */
static int64_t spooled_bytes(const struct upload *u)
{
    return upload_batch_spooled_bytes(&u->batch, spool_size(u->spool),
                                      u->provider);
}

static struct pipe *replay(struct upload *u)
{
    struct txn *t = u->t;
    struct pipe *last = u->spool_out;

    u->spool_out = pipe_new(t->sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH,
                            t->sv->pipe_bytes);
    spool_replay(u->spool, u->spool_out); /* which lets go of the last one */
    if (last)
        pipe_free(last);
    return u->spool_out;
}

/* The pipe that the provider reads, and how the form's framing is used. */
static struct pipe *open_source(void *arg, struct prov_upload *up)
{
    struct upload *u = arg;
    struct txn *t = u->t;
    unsigned caps = provider_caps(u->provider);
    bool relays = !u->spool && (caps & PROV_FORM);

    if (relays)
        up->boundary = str_of(u->boundary);
    up->tail_in_stream = relays;
    if (!u->spool) {
        form_relay_tail(t->form, relays);
        form_change_tail(t->form, caps & PROV_STRICT_FORM,
                         caps & PROV_NO_LATE_EXPIRY);
        if (relays && !upload_batch_renames(&u->batch, u->provider))
            up->stream_len = form_relay_length(t->form);
        return upload_batch_in(&u->batch, UPLOAD_BATCH_TO_PROVIDER,
                               &u->provider, 1);
    }
    up->stream_len = spooled_bytes(u);
    up->lines = form_lines(t->form);
    upload_batch_end_outs(&u->batch);
    return upload_batch_out(&u->batch, 0, replay(u), u->provider, true);
}

static struct tee *open_tee(struct upload *u)
{
    struct services *sv = u->t->sv;
    struct pipe *source;

    if (u->spool) {
        source = replay(u);
    } else {
        form_relay_tail(u->t->form, false);
        source =
            upload_batch_in(&u->batch, UPLOAD_BATCH_TO_TEE, u->all, u->route.n);
    }
    return tee_new(sv->loop, source, count(u), sv->pipe_bytes);
}

static struct pipe *open_branch(void *arg, size_t i,
                                const struct provider_conf *p,
                                struct prov_upload *up)
{
    struct upload *u = arg;

    if (!u->tee)
        u->tee = open_tee(u);
    if (u->spool) {
        up->stream_len =
            upload_batch_spooled_bytes(&u->batch, spool_size(u->spool), p);
        up->lines = form_lines(u->t->form);
    }
    return upload_batch_out(&u->batch, i, tee_pipe(u->tee, i), p,
                            u->spool != NULL);
}

static int64_t branch_bytes(void *arg, size_t i)
{
    struct upload *u = arg;

    return upload_batch_bytes(&u->batch, i);
}

static void on_held(void *arg, const struct gw_error *e)
{
    store_file_held(&((struct upload *)arg)->store, e);
}

static void hold(void *arg)
{
    struct upload *u = arg;
    struct txn *t = u->t;

    allowance_take(&u->allowance, t->sv, t->form, &t->who, u->store.hold,
                   u->spool ? spooled_bytes(u) : -1, &u->store.entry,
                   t->conf->journal.lease_ms, on_held, u);
}

static const struct store_file_ops store_ops = {
    .hold = hold,
    .source = open_source,
    .source_at = open_branch,
    .bytes_at = branch_bytes,
    .failed = try_next,
    .stored = on_stored,
    .recorded = on_recorded,
    .ended = on_ended,
};

/* To the candidate. */
static void begin(struct upload *u)
{
    struct form *f = u->t->form;
    struct store_file_facts facts = {
        .filename = form_filename(f),
        .content_type = form_content_type(f),
        .purpose = form_get(f, FORM_PURPOSE),
        .bytes = u->spool ? spooled_bytes(u) : -1,
        .expires_after_s = u->fields.expires_after_s,
    };

    if (u->route.is_for_all)
        store_file_go_all(&u->store, u->all, u->route.n, &facts);
    else
        store_file_go(&u->store, u->provider, &facts);
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
        use_route(u);
        if (check_sizes(u, &error) == GW_OK &&
            check_batch(u, &error) == GW_OK) {
            begin(u);
            return;
        }
    }
    store_file_fail(&u->store, &error);
}

/* Is it the head that names where it goes? Fields change nothing then, and
 * there is no other one to try. */
static bool is_settled(const struct upload *u)
{
    const struct route_hints *h = &u->fields.ask.hints;

    return u->route.n && (h->path.n || h->header.n || h->query.n);
}

static struct pipe *open_spooled(struct upload *u)
{
    bool is_known = is_settled(u);

    form_relay_tail(u->t->form, false);
    return upload_batch_in(&u->batch, UPLOAD_BATCH_TO_SPOOL,
                           u->route.is_for_all ? u->all : &u->provider,
                           is_known ? count(u) : 0);
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
        store_file_fail(&u->store, e);
        return;
    }
    form_count_lines(t->form);
    u->spool = spool_new(t->sv->files, t->sv->loop, &limits, open_spooled(u),
                         on_spooled, u);
}

/* Under the request's id: the file's may need fields that are still to come. */
static void begin_spool(struct upload *u)
{
    struct txn *t = u->t;

    txn_goto(t, TXN_SPOOL);
    store_file_name_hold(&u->store, str_of(t->id));
    allowance_take(&u->allowance, t->sv, t->form, &t->who, u->store.hold, -1,
                   NULL, t->conf->journal.lease_ms, spool_file, u);
}

/* --- the form --- */

static bool is_same_route(const struct route_decision *a,
                          const struct route_decision *b)
{
    size_t n = a->is_for_all ? a->n : 1;

    if (a->is_for_all != b->is_for_all || (a->is_for_all && a->n != b->n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(a->candidates[i], b->candidates[i]) != 0)
            return false;
    return true;
}

/* "a, b" */
static struct str names_of(struct arena *a, const struct route_decision *d)
{
    struct str names = str_of(d->candidates[0]);

    for (size_t i = 1; d->is_for_all && i < d->n; i++)
        names = arena_printf(a, "%.*s, %s", STR_ARG(names), d->candidates[i]);
    return names;
}

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
    if (check_batch(u, e) != GW_OK ||
        upload_fields_route(&u->fields, &now, &needs_fields, e) != GW_OK)
        return e->err;
    if (is_same_route(&now, &u->route))
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "provider",
                         "a field behind the file asks for '%.*s' while the "
                         "file already goes to '%.*s': send it before the "
                         "file, or as header 'x-filemux-provider'",
                         STR_ARG(names_of(u->t->arena, &now)),
                         STR_ARG(names_of(u->t->arena, &u->route)));
}

static void on_file(void *arg)
{
    struct upload *u = arg;
    struct txn *t = u->t;
    struct gw_error e = {0};
    bool needs_fields = false;

    upload_batch_begin(&u->batch, t);
    if (upload_fields_check(&u->fields, &e) != GW_OK ||
        upload_fields_route(&u->fields, &u->route, &needs_fields, &e) !=
            GW_OK) {
        txn_fail(t, &e);
        return;
    }
    if (!needs_fields) {
        snprintf(t->reason, sizeof(t->reason), "%s", u->route.reason);
        use_route(u);
        if (check_sizes(u, &e) != GW_OK) {
            txn_fail(t, &e);
            return;
        }
        limit_size(u);
    }
    if (t->conf->checksums)
        form_hash(t->form);
    store_file_begin(&u->store, t, "upload", &store_ops, u);
    if (needs_fields || must_hold(u))
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

static bool is_ready(void *arg)
{
    struct upload *u = arg;

    return upload_batch_is_ready(&u->batch);
}

static const struct form_ops form_ops = {
    .on_file = on_file,
    .is_ready = is_ready,
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
    txn_goto(t, TXN_FORM);
    t->on_readable = on_readable;
    t->form = form_new(t->arena, t->sv->loop, t->req, u->boundary, max_bytes(t),
                       t->sv->pipe_bytes, &form_ops, u);
}
