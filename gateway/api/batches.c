/* batches.c -- create, retrieve and cancel batches.
 *
 * What is asked of a provider goes on when the client hangs up: a batch that
 * was made is recorded, and so is every file that it made.
 */
#include "gateway/api/api.h"
#include "gateway/api/batch_request.h"

#include "gateway/base/clock.h"
#include "gateway/codec/fileid.h"
#include "gateway/flow/batch_look.h"
#include "gateway/flow/copies.h"
#include "gateway/flow/lease.h"
#include "gateway/store/batch_quota.h"

#define REPLY_BYTES ((size_t)LIMIT_UPSTREAM_REPLY_BYTES * 2)

/* Of one batch. */
struct single {
    struct batch_look look;
    struct batch_record known; /* retrieve, cancel: before it is looked at */
    const struct provider_conf *provider;
    enum prov_opcode code;
    char id[LIMIT_ID_BYTES + 1];
    struct journal_entry entry;
    struct lease_entry *lease;
    const struct json *request;
    int64_t lines; /* of its file; 0: not known */
};

/* How the journal's entry of a new batch ends. */
enum ending {
    LEFT,    /* it is for the sweeper */
    MADE,    /* it has a record, or needs none */
    REFUSED, /* there is no batch */
    UNKNOWN, /* there may be one */
};

/* --- answers --- */

static void reply_batch(struct txn *t, const struct batch_record *b)
{
    struct buf body;
    struct json_out j;

    buf_init(&body, REPLY_BYTES);
    json_out_init(&j, &body);
    batch_obj_put(&j, t->arena, &b->obj, b->provider);
    txn_reply_json(t, 200, buf_str(&body));
    buf_release(&body);
}

static void reply_no_such_batch(struct txn *t)
{
    struct gw_error e = {0};
    struct str id = t->param;

    if (!str_is_utf8(id) || id.n > LIMIT_ID_BYTES)
        id = STR_NULL;
    err_set_param(&e, GW_BATCH_NOT_FOUND, "id", "no such batch '%.*s'",
                  STR_ARG(id));
    txn_fail(t, &e);
}

/* The configured provider that runs batches; NULL after having answered why it
 * cannot be used. */
static const struct provider_conf *usable_provider(struct txn *t,
                                                   struct str name)
{
    const struct provider_conf *p = settings_provider(t->conf, name);
    struct gw_error e = {0};

    if (!vkey_may_use(t->vkey, t->vteam, name))
        err_set(&e, GW_PROVIDER_NOT_ALLOWED,
                "this API key may not use the provider '%.*s'", STR_ARG(name));
    else if (!p)
        err_set(&e, GW_UPSTREAM_UNREACHABLE,
                "the provider '%.*s' is no longer configured", STR_ARG(name));
    else if (!(provider_caps(p) & PROV_CAN_BATCH))
        err_set(&e, GW_UNSUPPORTED_OPERATION,
                "provider '%.*s' does not run batches", STR_ARG(name));
    if (e.err == GW_OK)
        return p;
    txn_fail(t, &e);
    return NULL;
}

/* --- one batch --- */

static void on_released(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("cannot end the journal's entry of a batch, the sweeper "
                 "will: %s",
                 e->message);
}

/* Its own hold on the transaction ends. */
static void end_entry(struct txn *t, struct single *s, enum ending how)
{
    const struct batch_record *b = &s->look.record;
    struct redis *r = t->sv->redis;

    if (how == MADE)
        (void)quota_release(r, b->obj.id, on_released, NULL);
    else if (how != LEFT)
        (void)batch_quota_seen(r, b->owner, b->obj.id,
                               how == REFUSED ? BATCH_REFUSED : BATCH_LOST,
                               BATCH_NEVER, on_released, NULL);
}

static void end_single(struct txn *t, struct single *s, enum ending how)
{
    lease_give_back(t->sv->leases, s->lease);
    s->lease = NULL;
    if (s->code == PROV_BATCH_CREATE)
        end_entry(t, s, how);
    t->on_break = NULL;
    txn_drop(t);
}

static void break_single(struct txn *t)
{
    struct single *s = t->data;

    batch_look_abort(&s->look);
    txn_fail_plain(t, GW_DRAINING);
    end_single(t, s, LEFT);
}

/* Whether an answer that did not come would have been a batch is not known. */
static bool may_run(const struct gw_error *e)
{
    return e->err == GW_UPSTREAM_BROKEN || e->err == GW_UPSTREAM_TIMEOUT ||
           e->err == GW_UPSTREAM_BAD_RESPONSE;
}

static void fail_single(struct txn *t, struct single *s,
                        const struct gw_error *e)
{
    struct gw_error error = *e;

    if (s->code == PROV_BATCH_GET) {
        log_msg(LOG_WARN, t->id, "cannot look at a batch at '%s': %s",
                t->provider, e->message);
        reply_batch(t, &s->known);
        return;
    }
    if (s->code == PROV_BATCH_CREATE && may_run(e))
        log_msg(LOG_WARN, t->id,
                "a batch may run at '%s' that nobody knows: %s", t->provider,
                e->message);
    if (s->code == PROV_BATCH_CANCEL && e->err == GW_FILE_NOT_FOUND)
        err_set_param(&error, GW_BATCH_NOT_FOUND, "id", "%s", e->message);
    txn_fail(t, &error);
}

static void on_looked(void *arg, const struct gw_error *e)
{
    struct txn *t = arg;
    struct single *s = t->data;
    enum ending how = MADE;

    if (e->err != GW_OK && batch_look_is_made(&s->look))
        how = LEFT;
    else if (e->err != GW_OK)
        how = may_run(e) ? UNKNOWN : REFUSED;
    if (e->err == GW_OK)
        reply_batch(t, &s->look.record);
    else
        fail_single(t, s, e);
    end_single(t, s, how);
}

static void start_single(struct txn *t, struct single *s)
{
    txn_goto(t, TXN_UPSTREAM);
    s->look.trace = t->trace;
    batch_look_start(&s->look, t->sv, t->arena, s->provider, s->code, on_looked,
                     t);
}

static void hold_single(struct txn *t, struct single *s)
{
    t->data = s;
    txn_hold(t);
    t->on_break = break_single;
}

/* --- retrieve, cancel --- */

static void on_batch(void *arg, const struct batch_record *found,
                     const struct gw_error *e)
{
    struct txn *t = arg;
    struct single *s = t->data;

    t->store_call = NULL;
    if (e->err != GW_OK) {
        txn_fail(t, e);
        return;
    }
    if (!found ||
        (t->path_provider.p && !str_eq(t->path_provider, found->provider))) {
        reply_no_such_batch(t);
        return;
    }
    t->provider = arena_cstr(t->arena, found->provider);
    s->provider = usable_provider(t, found->provider);
    if (!s->provider)
        return;
    s->known = s->look.record = *found;
    if (s->code == PROV_BATCH_GET && found->is_final) {
        reply_batch(t, found);
        return;
    }
    hold_single(t, s);
    start_single(t, s);
}

static void find_batch(struct txn *t, enum prov_opcode code)
{
    struct single *s = arena_new_of(t->arena, struct single);
    struct fileid id;

    /* What is not an id of ours is not looked up at all. */
    if (!fileid_parse(FILEID_BATCH, t->param, &id)) {
        reply_no_such_batch(t);
        return;
    }
    s->code = code;
    t->data = s;
    txn_goto(t, TXN_STORE);
    t->store_call = batch_store_get(t->sv->redis, t->arena, t->vkey->owner,
                                    t->param, on_batch, t);
}

void batches_get(struct txn *t)
{
    find_batch(t, PROV_BATCH_GET);
}

void batches_cancel(struct txn *t)
{
    find_batch(t, PROV_BATCH_CANCEL);
}

/* --- create --- */

static void on_held(void *arg, const struct quota_verdict *v,
                    const struct gw_error *e)
{
    struct txn *t = arg;
    struct single *s = t->data;

    struct gw_error error = *e;

    s->look.call = NULL;
    if (error.err == GW_OK && v->limit != QUOTA_NONE)
        charge_refuse(&t->who, v, &error);
    if (error.err != GW_OK) {
        txn_fail(t, &error);
        end_single(t, s, e->err == GW_OK ? LEFT : REFUSED);
        return;
    }
    start_single(t, s);
}

/* For so long its files live: as an upload's, when the request does not say. */
static int64_t output_life_s(const struct txn *t, const struct single *s)
{
    int64_t asked = batch_request_expiry(s->request);
    int64_t own = vkey_file_expiry(t->vkey, t->vteam);

    if (asked)
        return asked;
    return own ? own : s->provider->default_expiry_ms / 1000;
}

static void fill_record(struct txn *t, struct single *s,
                        const struct file_record *f)
{
    struct batch_record *b = &s->look.record;
    size_t i;

    fileid_mint(FILEID_BATCH, s->provider->ns, clock_wall_ms(), s->id);
    *b = (struct batch_record){
        .obj = {.id = str_of(s->id), .input_file_id = f->obj.id},
        .owner = t->vkey->owner,
        .key_hash = t->is_master ? STR("master") : str_of(t->vkey->hash),
        .provider = str_of(s->provider->name),
        .nscopes = t->who.n,
        .output_expires_s = output_life_s(t, s),
    };
    for (i = 0; i < t->who.n; i++)
        b->scopes[i] = t->who.v[i].id;
    s->look.request = s->request;
    s->look.upstream_file_id = f->upstream_id;
}

/* What is about to be made is noted before it is. */
static void note(struct txn *t, struct single *s)
{
    const struct batch_record *b = &s->look.record;
    struct batch_quota begun = {.id = b->obj.id,
                                .owner = b->owner,
                                .who = &t->who,
                                .lines = s->lines,
                                .entry = &s->entry,
                                .lease_ms = t->conf->journal.lease_ms,
                                .look_ms = t->conf->batches.look_ms};

    s->entry = (struct journal_entry){
        .kind = JOURNAL_BATCH,
        .id = b->obj.id,
        .owner = b->owner,
        .key_hash = b->key_hash,
        .provider = b->provider,
        .upstream_id = STR(""),
        .filename = STR(""),
        .purpose = STR("batch"),
        .content_type = STR(""),
        .begun_ms = clock_wall_ms(),
    };
    hold_single(t, s);
    s->lease = lease_take(t->sv->leases, b->obj.id);
    txn_goto(t, TXN_JOURNAL);
    s->look.call = batch_quota_begin(t->sv->redis, &begun, on_held, t);
}

static void refuse_file(struct txn *t, struct str id)
{
    struct gw_error e = {0};

    if (id.n > LIMIT_ID_BYTES)
        id = STR_NULL;
    err_set_param(&e, GW_FILE_NOT_FOUND, "input_file_id", "no such file '%.*s'",
                  STR_ARG(id));
    txn_fail(t, &e);
}

static struct str member(const struct single *s, const char *name)
{
    return json_str(json_get(s->request, name));
}

/* Of a file at several providers, the one that the head or the request means,
 * else the first that runs batches. NULL: not at the path's. */
static const struct file_record *pick_input(struct txn *t, struct single *s,
                                            const struct file_record *f)
{
    struct copies_wish wish;

    copies_read_wish(t, &wish);
    wish.caps = PROV_CAN_BATCH;
    if (!wish.provider.n)
        wish.provider = member(s, "provider");
    if (!wish.provider.n)
        wish.provider = member(s, "custom_llm_provider");
    if (!wish.model.n)
        wish.model = member(s, "model");
    return copies_pick(t, f, &wish);
}

static enum gw_err count_lines(struct txn *t, struct single *s,
                               const struct file_record *f, struct gw_error *e)
{
    s->lines = f->lines;
    if (s->lines || !charge_has_batch_lines_limit(&t->who))
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "input_file_id",
                         "how many lines the file has is not known, as it was "
                         "not uploaded as a batch file here, and they are "
                         "limited (max_batch_lines_per_day): upload it again");
}

/* The model that it runs, where it runs one; and what else the provider can
 * tell of the request before it is asked. */
static enum gw_err check_batch(struct txn *t, struct single *s,
                               const struct file_record *f, struct gw_error *e)
{
    const struct provider_conf *p = s->provider;
    struct str *model = &s->look.model;
    bool is_wanted = provider_caps(p) & PROV_BATCH_MODEL;

    if (p->type->check_request &&
        p->type->check_request(p, s->request, e) != GW_OK)
        return e->err;
    if (batch_request_model(t, s->request, f, is_wanted, model, e) != GW_OK)
        return e->err;
    if (is_wanted && !model->n)
        return err_set_param(e, GW_MISSING_PARAM, "model",
                             "a batch at '%s' has one model, and the lines of "
                             "its file name none: send it as 'model'",
                             p->name);
    if (!p->type->check_batch)
        return GW_OK;
    if (!model->n && vkey_is_bound_to_models(t->vkey, t->vteam))
        return err_set_param(e, GW_MISSING_PARAM, "model",
                             "'model' is required: this API key may not use "
                             "every model");
    return p->type->check_batch(p, s->request, *model, e);
}

/* Files of other purposes were not checked: their lines may name models that
 * the key may not use. */
static enum gw_err check_purpose(const struct file_record *f,
                                 struct gw_error *e)
{
    if (str_eq(f->obj.purpose, STR("batch")))
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "input_file_id",
                         "a batch needs a file of the purpose 'batch', that of "
                         "this one is '%.*s'",
                         (int)MIN(f->obj.purpose.n, (size_t)60),
                         f->obj.purpose.p);
}

static void on_input(void *arg, const struct file_record *f,
                     const struct gw_error *e)
{
    struct txn *t = arg;
    struct single *s = t->data;
    const struct file_record *input = NULL;
    struct gw_error bad = {0};

    t->store_call = NULL;
    if (e->err != GW_OK) {
        txn_fail(t, e);
        return;
    }
    if (f && !file_record_is_expired(f, clock_wall_s()))
        input = pick_input(t, s, f);
    if (!input) {
        refuse_file(t, json_str(json_get(s->request, "input_file_id")));
        return;
    }
    t->provider = arena_cstr(t->arena, input->obj.provider);
    s->provider = usable_provider(t, input->obj.provider);
    if (!s->provider)
        return;
    if (check_purpose(input, &bad) != GW_OK ||
        count_lines(t, s, input, &bad) != GW_OK ||
        check_batch(t, s, input, &bad) != GW_OK) {
        txn_fail(t, &bad);
        return;
    }
    fill_record(t, s, input);
    t->file_id = str_of(s->id);
    note(t, s);
}

static void on_body(struct txn *t, struct json *v)
{
    struct single *s = arena_new_of(t->arena, struct single);
    struct str input = json_str(json_get(v, "input_file_id"));
    struct gw_error e = {0};
    struct fileid id;

    if (batch_request_check(v, &e) != GW_OK) {
        txn_fail(t, &e);
        return;
    }
    if (!fileid_parse(FILEID_FILE, input, &id)) {
        refuse_file(t, input);
        return;
    }
    s->code = PROV_BATCH_CREATE;
    s->request = v;
    t->data = s;
    txn_goto(t, TXN_STORE);
    t->store_call = file_store_get(t->sv->redis, t->arena, t->vkey->owner,
                                   input, on_input, t);
}

void batches_create(struct txn *t)
{
    body_read_json(t, on_body);
}
