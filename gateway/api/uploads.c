/* uploads.c -- POST /v1/uploads, POST /v1/uploads/{id}/cancel.
 *
 *   BODY      what the file will be; everything that may refuse it does so now
 *   JOURNAL   its quota is held for as long as the upload lives
 *   UPSTREAM  only where the provider takes files in parts itself
 *   RECORD    the upload
 *   REPLY
 *
 * Everywhere else the parts are held, and make a file when it is completed: as
 * objects of the provider where any bytes may lie, else in a directory of ours.
 * So are parts of batch files that are to be checked, for this takes all of the
 * bytes in their order.
 */
#include "gateway/api/uploads.h"

#include "gateway/api/upload_fields.h"

#include "gateway/base/clock.h"
#include "gateway/codec/fileid.h"
#include "gateway/flow/upload_end.h"

#define REPLY_BYTES (64 * KIB)
#define MIME_TYPE_BYTES 255

/* --- answers --- */

void uploads_reply(struct txn *t, const struct upload_record *u,
                   enum upload_state state, const struct file_record *file)
{
    struct buf body;
    struct json_out j;

    buf_init(&body, REPLY_BYTES);
    json_out_init(&j, &body);
    json_open(&j, NULL, '{');
    json_put_str(&j, "id", u->id);
    json_put_cstr(&j, "object", "upload");
    json_put_int(&j, "bytes", u->bytes);
    json_put_int(&j, "created_at", u->created_at);
    json_put_str(&j, "filename", u->filename);
    json_put_str(&j, "purpose", u->purpose);
    json_put_cstr(&j, "status", upload_state_name(state));
    json_put_int(&j, "expires_at", u->expires_at);
    if (file)
        file_obj_put(&j, "file", &file->obj);
    else
        json_put_null(&j, "file");
    json_open(&j, "filemux", '{');
    json_put_str(&j, "provider", u->provider);
    json_close(&j);
    json_close(&j);
    txn_reply_json(t, 200, buf_str(&body));
    buf_release(&body);
}

void uploads_refuse_id(struct txn *t)
{
    struct gw_error e = {0};
    struct str id = t->param;

    if (!str_is_utf8(id) || id.n > LIMIT_ID_BYTES)
        id = STR_NULL;
    err_set_param(&e, GW_UPLOAD_NOT_FOUND, "upload_id", "no such upload '%.*s'",
                  STR_ARG(id));
    txn_fail(t, &e);
}

enum gw_err uploads_check_state(enum upload_state state, struct gw_error *e)
{
    static const char *const why[] = {
        [UPLOAD_COMPLETING] = "is being completed",
        [UPLOAD_COMPLETED] = "is completed",
        [UPLOAD_CANCELLED] = "was cancelled",
        [UPLOAD_EXPIRED] = "has expired: begin another one",
    };

    if (state == UPLOAD_PENDING)
        return GW_OK;
    if (state == UPLOAD_NONE)
        return err_set_param(e, GW_UPLOAD_NOT_FOUND, "upload_id",
                             "the upload is not there any more");
    return err_set_param(e, GW_CONFLICT, "upload_id", "the upload %s",
                         why[state]);
}

/* --- an upload that is there --- */

struct finding {
    struct uploads_found found;
    uploads_fn *fn;
    void *arg;
};

static enum gw_err check_provider(struct txn *t, struct uploads_found *f,
                                  struct gw_error *e)
{
    const struct upload_record *u = &f->view->record;

    f->provider = settings_provider(t->conf, u->provider);
    if (!vkey_may_use(t->vkey, t->vteam, u->provider))
        return err_set(e, GW_PROVIDER_NOT_ALLOWED,
                       "this API key may not use the provider '%.*s'",
                       STR_ARG(u->provider));
    f->hold = u->upstream_id.n ? NULL : settings_hold_of(t->conf, u->hold);
    if (f->provider && (f->hold || u->upstream_id.n))
        return GW_OK;
    return err_set(e, GW_UPSTREAM_UNREACHABLE,
                   "the provider '%.*s' is no longer configured",
                   STR_ARG(f->provider ? u->hold : u->provider));
}

static void on_found(void *arg, const struct upload_view *v,
                     const struct gw_error *e)
{
    struct txn *t = arg;
    struct finding *f = t->data;
    struct upload_view *view = arena_new_of(t->arena, struct upload_view);
    struct gw_error error = *e;

    t->store_call = NULL;
    if (e->err == GW_OK &&
        (!v || (t->path_provider.p &&
                !str_eq(t->path_provider, v->record.provider)))) {
        uploads_refuse_id(t);
        return;
    }
    if (e->err == GW_OK) {
        *view = *v;
        f->found.view = view;
        t->provider = arena_cstr(t->arena, view->record.provider);
    }
    if (e->err == GW_OK && check_provider(t, &f->found, &error) == GW_OK)
        f->fn(t, &f->found, f->arg);
    else
        txn_fail(t, &error);
}

void uploads_find(struct txn *t, const struct str *parts, size_t nparts,
                  uploads_fn *fn, void *arg)
{
    struct finding *f = arena_new_of(t->arena, struct finding);
    struct fileid id;

    /* What is not an id of ours is not looked up at all. */
    if (!fileid_parse(FILEID_UPLOAD, t->param, &id)) {
        uploads_refuse_id(t);
        return;
    }
    f->fn = fn;
    f->arg = arg;
    t->data = f;
    t->file_id = t->param;
    txn_goto(t, TXN_STORE);
    t->store_call = upload_store_look(t->sv->redis, t->arena, t->vkey->owner,
                                      t->param, parts, nparts, on_found, t);
}

/* --- cancel --- */

struct cancel {
    const struct uploads_found *found;
    struct upload_end *ending;
};

static void forget_ending(struct txn *t)
{
    struct cancel *c = t->data;

    upload_end_leave(c->ending);
    c->ending = NULL;
    t->on_break = NULL;
    txn_drop(t);
}

static void on_cancelled(void *arg, const struct upload_view *v,
                         const struct gw_error *e)
{
    struct txn *t = arg;
    struct cancel *c = t->data;
    struct gw_error error = *e;

    /* Who cannot take everything back now does so later. */
    if (e->err == GW_OK && (!v || v->state != UPLOAD_CANCELLED))
        uploads_check_state(v ? v->state : UPLOAD_NONE, &error);
    else if (e->err != GW_STORE_UNAVAILABLE)
        err_clear(&error);
    if (error.err != GW_OK)
        txn_fail(t, &error);
    else
        uploads_reply(t, &c->found->view->record, UPLOAD_CANCELLED, NULL);
    c->ending = NULL;
    forget_ending(t);
}

static void break_cancel(struct txn *t)
{
    txn_fail_plain(t, GW_DRAINING);
    forget_ending(t);
}

static void cancel(struct txn *t, const struct uploads_found *f,
                   void *arg UNUSED)
{
    struct cancel *c = arena_new_of(t->arena, struct cancel);
    struct gw_error e = {0};

    if (uploads_check_state(f->view->state, &e) != GW_OK) {
        txn_fail(t, &e);
        return;
    }
    c->found = f;
    t->data = c;
    txn_hold(t);
    t->on_break = break_cancel;
    c->ending = upload_end_start(t->sv, t->conf, t->vkey->owner, t->param,
                                 UPLOAD_CANCELLED, STR(""), on_cancelled, t);
}

void uploads_cancel(struct txn *t)
{
    uploads_find(t, NULL, 0, cancel, NULL);
}

/* --- create: what is asked for --- */

struct create {
    struct upload_fields fields;
    const struct provider_conf *provider;
    bool is_native;
    char id[LIMIT_ID_BYTES + 1];
    struct upload_record record;
    struct journal_entry entry;
    struct upstream *up;
    struct redis_call *call;
};

static const struct {
    const char *name;
    enum { TEXT, NUMBER, OBJECT } kind;
    bool is_required;
} parameters[] = {
    /* clang-format off */
    {"filename",            TEXT,   true},
    {"purpose",             TEXT,   true},
    {"bytes",               NUMBER, true},
    {"mime_type",           TEXT,   true},
    {"expires_after",       OBJECT, false},
    {"provider",            TEXT,   false},
    {"custom_llm_provider", TEXT,   false},
    {"model",               TEXT,   false},
    {"target_model_names",  TEXT,   false},
    /* clang-format on */
};

static bool is_of_kind(const struct json *v, size_t i)
{
    if (parameters[i].kind == TEXT)
        return json_is_string(v);
    return parameters[i].kind == NUMBER ? json_is_number(v) : json_is_object(v);
}

static enum gw_err check_members(const struct json *v, struct gw_error *e)
{
    static const char *const kinds[] = {"a string", "an integer", "an object"};
    struct str name;
    void *at = NULL;
    size_t i;

    for (i = 0; i < COUNTOF(parameters); i++) {
        const char *p = parameters[i].name;
        const struct json *member = json_get(v, p);

        if (json_is_null(member) && parameters[i].is_required)
            return err_set_param(e, GW_MISSING_PARAM, p, "'%s' is required", p);
        if (!json_is_null(member) && !is_of_kind(member, i))
            return err_set_param(e, GW_INVALID_VALUE, p, "'%s' must be %s", p,
                                 kinds[parameters[i].kind]);
    }
    while (json_next(v, &at, &name)) {
        for (i = 0; i < COUNTOF(parameters); i++)
            if (str_eq_c(name, parameters[i].name))
                break;
        if (i == COUNTOF(parameters))
            return err_set(e, GW_INVALID_VALUE, "unknown parameter '%.*s'",
                           (int)MIN(name.n, (size_t)60), name.p);
    }
    return GW_OK;
}

static bool has_control(struct str s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
            return true;
    return false;
}

/* The last component, as of a form's file. */
static struct str base_name(struct str s)
{
    size_t i;

    for (i = s.n; i > 0; i--)
        if (s.p[i - 1] == '/' || s.p[i - 1] == '\\')
            return str_make(s.p + i, s.n - i);
    return s;
}

static enum gw_err read_names(struct upload_record *u, const struct json *v,
                              struct gw_error *e)
{
    struct str type = json_str(json_get(v, "mime_type")), top, sub;

    u->filename = base_name(json_str(json_get(v, "filename")));
    if (!u->filename.n || u->filename.n > LIMIT_FILENAME_BYTES ||
        has_control(u->filename))
        return err_set_param(e, GW_INVALID_VALUE, "filename",
                             "'filename' must be a name of 1 to %d bytes",
                             LIMIT_FILENAME_BYTES);
    if (type.n > MIME_TYPE_BYTES || has_control(type) ||
        !str_cut(type, '/', &top, &sub) || !top.n || !sub.n)
        return err_set_param(e, GW_INVALID_VALUE, "mime_type",
                             "'mime_type' must be a media type such as "
                             "application/jsonl");
    u->content_type = type;
    return GW_OK;
}

static enum gw_err read_expiry(struct upload_record *u, const struct json *v,
                               struct gw_error *e)
{
    const struct json *seconds = json_get(v, "seconds");
    int64_t s = -1;

    if (json_is_null(v))
        return GW_OK;
    if (json_is_null(seconds) || json_is_null(json_get(v, "anchor")))
        return err_set_param(e, GW_INVALID_VALUE, "expires_after",
                             "'expires_after' needs both 'anchor' and "
                             "'seconds'");
    if (!json_is_number(seconds) || !json_int(seconds, &s))
        s = -1;
    u->expires_after_s = s;
    return upload_fields_check_lifetime(json_str(json_get(v, "anchor")), &s, e);
}

/* json_int() cuts fractions. */
static bool is_whole(const struct json *v)
{
    struct buf text;
    bool is_it;

    buf_init(&text, 64);
    json_dump(&text, v);
    is_it =
        text.n && !memchr(text.p, '.', text.n) && !memchr(text.p, 'e', text.n);
    buf_release(&text);
    return is_it;
}

static enum gw_err read_request(struct txn *t, struct upload_record *u,
                                const struct json *v, struct gw_error *e)
{
    if (check_members(v, e) || read_names(u, v, e))
        return e->err;
    u->purpose = json_str(json_get(v, "purpose"));
    if (!is_whole(json_get(v, "bytes")) ||
        !json_int(json_get(v, "bytes"), &u->bytes) || u->bytes < 1)
        return err_set_param(e, GW_INVALID_VALUE, "bytes",
                             "'bytes' must be an integer from 1 on");
    if (upload_fields_check_purpose(t, u->purpose, e))
        return e->err;
    return read_expiry(u, json_get(v, "expires_after"), e);
}

/* --- create: where it goes --- */

/* Of several bounds, of which 0 is none. */
static int64_t tighter(int64_t a, int64_t b)
{
    return a && b ? MIN(a, b) : MAX(a, b);
}

int64_t uploads_max_bytes(const struct txn *t, const struct provider_conf *p)
{
    int64_t max = tighter(t->conf->limits.max_file_bytes,
                          vkey_max_file_bytes(t->vkey, t->vteam));

    return tighter(max, p->max_file_bytes);
}

static struct str first_of(struct str a, struct str b)
{
    return a.n ? a : b;
}

static enum gw_err route(struct txn *t, struct create *c, const struct json *v,
                         struct gw_error *e)
{
    const struct upload_record *u = &c->record;
    struct route_decision d;
    bool needs_fields = false;

    upload_fields_tell(&c->fields,
                       first_of(json_str(json_get(v, "provider")),
                                json_str(json_get(v, "custom_llm_provider"))),
                       first_of(json_str(json_get(v, "model")),
                                json_str(json_get(v, "target_model_names"))),
                       u->purpose, u->filename, u->bytes);
    if (upload_fields_route(&c->fields, &d, &needs_fields, e) != GW_OK)
        return e->err;
    snprintf(t->reason, sizeof(t->reason), "%s", d.reason);
    c->provider = settings_provider(t->conf, str_of(d.candidates[0]));
    t->provider = c->provider->name;
    return GW_OK;
}

/* A batch file that is to be checked is held here until all of it is there. */
static bool is_native(const struct txn *t, const struct create *c)
{
    unsigned caps = provider_caps(c->provider);
    bool is_checked = t->conf->batch_check.is_enabled &&
                      (caps & PROV_OPENAI_BATCH) &&
                      str_eq(c->record.purpose, STR("batch"));

    return (caps & PROV_CAN_UPLOADS) == PROV_CAN_UPLOADS && !is_checked;
}

static enum gw_err check_provider_takes(struct txn *t, struct create *c,
                                        struct gw_error *e)
{
    const struct provider_conf *p = c->provider;
    int64_t max = uploads_max_bytes(t, p);

    if (!c->is_native && !(provider_caps(p) & PROV_CAN_CREATE))
        return err_set(e, GW_UNSUPPORTED_OPERATION,
                       "provider '%s' does not support the operation '%s'",
                       p->name, prov_opcode_name(PROV_CREATE));
    if (!max || c->record.bytes <= max)
        return GW_OK;
    return err_set_param(e, GW_FILE_TOO_LARGE, "bytes",
                         "the file is larger than the %lld bytes allowed at "
                         "'%s'",
                         (long long)max, p->name);
}

/* The name in the record of who holds the parts: "" is our own directory. */
static struct str hold_name(const struct txn *t, const struct create *c)
{
    const char *configured = t->conf->uploads.hold;

    if (c->is_native)
        return STR("");
    if (configured[0])
        return str_of(configured);
    return provider_caps(c->provider) & PROV_HOLDS_PARTS
               ? str_of(c->provider->name)
               : STR("");
}

static void fill_record(struct txn *t, struct create *c)
{
    struct upload_record *u = &c->record;

    fileid_mint(FILEID_UPLOAD, c->provider->ns, clock_wall_ms(), c->id);
    t->file_id = str_of(c->id);
    u->id = str_of(c->id);
    u->owner = t->vkey->owner;
    u->key_hash = t->is_master ? STR("master") : str_of(t->vkey->hash);
    u->provider = str_of(c->provider->name);
    u->hold = hold_name(t, c);
    u->upstream_id = STR("");
    u->created_at = clock_wall_s();
    u->expires_at = u->created_at + (t->conf->uploads.life_ms + 999) / 1000;
}

/* --- create: hold, ask, record --- */

static void on_released(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("cannot release what an upload held, the sweeper will: %s",
                 e->message);
}

/* Its own hold on the transaction ends. */
static void end_create(struct txn *t, const struct gw_error *e, bool is_nothing)
{
    struct create *c = t->data;

    if (e->err != GW_OK)
        txn_fail(t, e);
    if (e->err != GW_OK && is_nothing)
        (void)quota_release(t->sv->redis, c->record.id, on_released, NULL);
    t->on_break = NULL;
    txn_drop(t);
}

static void break_create(struct txn *t)
{
    struct create *c = t->data;
    struct gw_error e = {0};

    if (c->call)
        redis_cancel(c->call);
    upstream_abort(c->up);
    err_plain(&e, GW_DRAINING);
    end_create(t, &e, false);
}

static void on_put(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct create *c = t->data;

    (void)changed;
    c->call = NULL;
    if (e->err == GW_OK)
        uploads_reply(t, &c->record, UPLOAD_PENDING, NULL);
    if (e->err == GW_OK && !t->req) /* nobody will know its id */
        upload_end_start(t->sv, t->conf, c->record.owner, c->record.id,
                         UPLOAD_CANCELLED, STR(""), NULL, NULL);
    end_create(t, e, false);
}

static void put_record(struct txn *t)
{
    struct create *c = t->data;

    c->call = upload_store_put(t->sv->redis, &c->record,
                               t->conf->uploads.life_ms, on_put, t);
}

static void on_made(void *arg, const struct gw_error *e)
{
    struct txn *t = arg;
    struct create *c = t->data;

    if (e->err != GW_OK) {
        end_create(t, e, true);
        return;
    }
    c->record.upstream_id = c->up->op.made_id;
    put_record(t);
}

static const struct upstream_ops make_ops = {.done = on_made};

static void make_upstream(struct txn *t)
{
    struct create *c = t->data;
    struct prov_upload *up;

    c->up = upstream_new(t->sv, t->arena, c->provider, PROV_UPLOAD_CREATE);
    c->up->trace = t->trace;
    c->up->op.shown_id = c->record.id;
    up = &c->up->op.upload;
    up->filename = c->record.filename;
    up->content_type = c->record.content_type;
    up->purpose = c->record.purpose;
    up->expires_after_s = c->record.expires_after_s;
    up->stream_len = c->record.bytes;
    txn_goto(t, TXN_UPSTREAM);
    upstream_start(c->up, NULL, NULL, &make_ops, t);
}

static void on_held(void *arg, const struct quota_verdict *v,
                    const struct gw_error *e)
{
    struct txn *t = arg;
    struct create *c = t->data;
    struct gw_error error = *e;

    c->call = NULL;
    if (error.err == GW_OK && v->limit != QUOTA_NONE)
        charge_refuse(&t->who, v, &error);
    if (error.err != GW_OK)
        end_create(t, &error, true);
    else if (c->is_native)
        make_upstream(t);
    else
        put_record(t);
}

/* For as long as the upload lives: nobody renews it. */
static void hold(struct txn *t)
{
    struct create *c = t->data;
    const struct upload_record *u = &c->record;
    struct quota_amount most = {.files = 1, .bytes = u->bytes, .up = u->bytes};

    c->entry = (struct journal_entry){
        .kind = JOURNAL_PARTS,
        .id = u->id,
        .owner = u->owner,
        .key_hash = u->key_hash,
        .provider = u->provider,
        .upstream_id = STR(""),
        .filename = u->filename,
        .purpose = u->purpose,
        .content_type = u->content_type,
        .bytes = u->bytes,
        .begun_ms = clock_wall_ms(),
    };
    txn_hold(t);
    t->on_break = break_create;
    txn_goto(t, TXN_JOURNAL);
    c->call = quota_hold(t->sv->redis, u->id, &t->who, &most, &c->entry,
                         t->conf->uploads.life_ms, on_held, t);
}

static void on_body(struct txn *t, struct json *v)
{
    struct create *c = arena_new_of(t->arena, struct create);
    struct gw_error e = {0};

    t->data = c;
    upload_fields_begin(&c->fields, t);
    if (read_request(t, &c->record, v, &e) || route(t, c, v, &e)) {
        txn_fail(t, &e);
        return;
    }
    c->is_native = is_native(t, c);
    if (check_provider_takes(t, c, &e) != GW_OK) {
        txn_fail(t, &e);
        return;
    }
    fill_record(t, c);
    hold(t);
}

void uploads_create(struct txn *t)
{
    if (t->sv->is_draining)
        txn_fail_plain(t, GW_DRAINING);
    else
        body_read_json(t, on_body);
}
