#include "gateway/base/bug.h"
#include "gateway/codec/mime.h"
#include "gateway/codec/url.h"
#include "providers/prov_said.h"
#include "providers/prov_util.h"
#include "providers/signed_url.h"

/* At Fireworks a file is a dataset of an account:
 *
 *   create    POST datasets, under a name of ours ─► the record, then
 *             small   POST :upload, one form
 *             large   POST :getUploadEndpoint ─► a URL of the storage
 *                     PUT all bytes there
 *                     POST :validateUpload
 *   content   GET :getDownloadEndpoint ─► a URL for each file
 *             (GET the record ─► which of them has its name)
 *             GET the bytes from the storage
 *
 * The record tells how many lines the file has, and the signed URL is for an
 * exact length, so a file is spooled first. There is no purpose, no length and
 * no end of its life in a dataset: the gateway's record has them.
 */

#define BASE_URL "https://api.fireworks.ai/v1"
#define PAGE_DATASETS 200
/* What a name of ours begins with, for it must not begin with a digit. */
#define ID_PREFIX "filemux-"
/* In bytes, though characters are counted there. */
#define DISPLAY_NAME_MAX 63
#define HEAD_BYTES (64 * KIB)

enum format { UNSPECIFIED };

struct fireworks_conf {
    const char *api_key;
    const char *account_id;
    int format;
    int64_t signed_above;
};

enum step {
    AT_FIRST, /* as the operation begins: one of the next */
    AT_RECORD,
    AT_GET,
    AT_LIST,
    AT_DELETE,
    AT_URLS,
    /* Then, when more is to do: */
    AT_UPLOAD,
    AT_ENDPOINT,
    AT_PUT,
    AT_VALIDATE,
    AT_NAME,
    AT_BYTES,
    AT_END
};

struct fireworks_state {
    enum step step;
    struct str url;          /* a secret */
    const struct json *urls; /* of a download: name to URL */
    bool may_exist;          /* the record that create makes first */
};

static const struct fireworks_conf *own(const struct provider_conf *c)
{
    return c->own;
}

/* --- names --- */

/* The dataset that is meant: by its own id, by its resource's name, or, of one
 * that was never heard of again, by what the journal knows. */
static struct str dataset_of(const struct prov_op *op)
{
    struct str id = op->code == PROV_CREATE ? op->object_name : op->upstream_id;
    struct str parent = arena_printf(op->arena, "accounts/%s/datasets/",
                                     own(op->conf)->account_id);

    if (str_starts(id, parent))
        return str_make(id.p + parent.n, id.n - parent.n);
    if (id.n && id.p[0] >= '0' && id.p[0] <= '9')
        return arena_printf(op->arena, ID_PREFIX "%.*s", STR_ARG(id));
    return id;
}

/* The last step of a client's path: a folder in the storage is no use. */
static struct str file_name(struct str name)
{
    size_t n = name.n;

    while (n && name.p[n - 1] != '/' && name.p[n - 1] != '\\')
        n--;
    return name.n > n ? str_make(name.p + n, name.n - n) : STR("upload");
}

static struct str decimal(const struct prov_op *op, int64_t n)
{
    return arena_printf(op->arena, "%lld", (long long)n);
}

/* --- requests --- */

static void add_key(struct prov_op *op, struct prov_exchange *x)
{
    prov_field(op, x, "Accept", STR("application/json"));
    prov_field(op, x, "Authorization",
               arena_printf(op->arena, "Bearer %s", own(op->conf)->api_key));
}

static void describe_datasets(struct prov_op *op, struct prov_exchange *x,
                              const char *method, const char *query)
{
    struct str account =
        url_encoded(op->arena, str_of(own(op->conf)->account_id));

    prov_http(op, x, method, "/accounts/%.*s/datasets%s", STR_ARG(account),
              query);
    add_key(op, x);
}

static void describe_dataset(struct prov_op *op, struct prov_exchange *x,
                             const char *method, const char *verb)
{
    struct str account =
        url_encoded(op->arena, str_of(own(op->conf)->account_id));

    prov_http(op, x, method, "/accounts/%.*s/datasets/%.*s%s", STR_ARG(account),
              STR_ARG(url_encoded(op->arena, dataset_of(op))), verb);
    add_key(op, x);
}

static struct str taken(struct prov_op *op, struct buf *b)
{
    struct str s;

    ASSERT(!b->overflow);
    s = arena_dup(op->arena, buf_str(b));
    buf_release(b);
    return s;
}

static void add_json(struct prov_op *op, struct prov_exchange *x,
                     struct buf *body)
{
    prov_field(op, x, "Content-Type", STR("application/json"));
    http_req_add_mem(&x->http, taken(op, body));
}

static const char *const format_choices[] = {"unspecified", "CHAT",
                                             "COMPLETION", "RL", NULL};

static void put_dataset(struct json_out *j, const struct prov_op *op)
{
    const struct prov_upload *u = &op->upload;
    int format = own(op->conf)->format;

    json_open(j, "dataset", '{');
    json_put_str(j, "displayName",
                 prov_cut(file_name(u->filename), DISPLAY_NAME_MAX));
    if (format != UNSPECIFIED)
        json_put_cstr(j, "format", format_choices[format]);
    json_open(j, "userUploaded", '{');
    json_close(j);
    if (u->lines >= 0)
        json_put_str(j, "exampleCount", decimal(op, u->lines));
    json_close(j);
}

static void describe_record(struct prov_op *op, struct prov_exchange *x)
{
    struct fireworks_state *state = op->state;
    struct json_out j;
    struct buf body;

    state->may_exist = true;
    buf_init(&body, HEAD_BYTES);
    json_out_init(&j, &body);
    json_open(&j, NULL, '{');
    json_put_str(&j, "datasetId", dataset_of(op));
    put_dataset(&j, op);
    json_close(&j);
    describe_datasets(op, x, "POST", "");
    add_json(op, x, &body);
}

static void describe_upload(struct prov_op *op, struct prov_exchange *x)
{
    const struct prov_upload *u = &op->upload;
    struct buf form;

    describe_dataset(op, x, "POST", ":upload");
    prov_field(op, x, "Content-Type",
               arena_printf(op->arena, "multipart/form-data; boundary=%.*s",
                            STR_ARG(u->boundary)));
    buf_init(&form, HEAD_BYTES);
    mime_open_file(&form, u->boundary, STR("file"), file_name(u->filename),
                   u->content_type);
    http_req_add_mem(&x->http, taken(op, &form));
    http_req_add_stream(&x->http, u->stream_len);
    buf_init(&form, HEAD_BYTES);
    mime_close(&form, u->boundary);
    http_req_add_mem(&x->http, taken(op, &form));
}

static void describe_endpoint(struct prov_op *op, struct prov_exchange *x)
{
    const struct prov_upload *u = &op->upload;
    struct json_out j;
    struct buf body;

    buf_init(&body, HEAD_BYTES);
    json_out_init(&j, &body);
    json_open(&j, NULL, '{');
    json_open(&j, "filenameToSize", '{');
    json_put_str(&j, arena_cstr(op->arena, file_name(u->filename)),
                 decimal(op, u->stream_len));
    json_close(&j);
    json_close(&j);
    describe_dataset(op, x, "POST", ":getUploadEndpoint");
    add_json(op, x, &body);
}

/* The fields are signed, too. */
static void describe_put(struct prov_op *op, struct prov_exchange *x)
{
    const struct fireworks_state *state = op->state;
    struct str n = decimal(op, op->upload.stream_len);

    signed_url_put(x, state->url);
    prov_field(op, x, "Content-Type", STR("application/octet-stream"));
    prov_field(op, x, "x-goog-content-length-range",
               arena_printf(op->arena, "%.*s,%.*s", STR_ARG(n), STR_ARG(n)));
    http_req_add_stream(&x->http, op->upload.stream_len);
}

static void describe_validate(struct prov_op *op, struct prov_exchange *x)
{
    describe_dataset(op, x, "POST", ":validateUpload");
    prov_field(op, x, "Content-Type", STR("application/json"));
    http_req_add_mem(&x->http, STR("{}"));
}

static void describe_get(struct prov_op *op, struct prov_exchange *x)
{
    describe_dataset(op, x, "GET", "");
}

static void describe_delete(struct prov_op *op, struct prov_exchange *x)
{
    describe_dataset(op, x, "DELETE", "");
}

static void describe_urls(struct prov_op *op, struct prov_exchange *x)
{
    describe_dataset(op, x, "GET", ":getDownloadEndpoint");
}

static void describe_bytes(struct prov_op *op, struct prov_exchange *x)
{
    const struct fireworks_state *state = op->state;

    signed_url_get(op, x, state->url);
}

static void describe_list(struct prov_op *op, struct prov_exchange *x)
{
    struct str token = url_encoded(op->arena, op->list_cursor);

    describe_datasets(op, x, "GET",
                      arena_printf(op->arena, "?pageSize=%d%s%.*s",
                                   PAGE_DATASETS, token.n ? "&pageToken=" : "",
                                   STR_ARG(token))
                          .p);
}

/* --- errors --- */

static bool holds(struct str text, struct str part)
{
    return part.n && text.n && memmem(text.p, text.n, part.p, part.n);
}

/* Messages name a dataset by its resource's name, or by its id alone. */
static enum gw_err read_error(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e)
{
    struct prov_op named = *op;
    struct str id = dataset_of(op);
    struct str resource = arena_printf(op->arena, "accounts/%s/datasets/%.*s",
                                       own(op->conf)->account_id, STR_ARG(id));

    if (id.n)
        named.upstream_id = holds(res->body, resource) ? resource : id;
    return prov_http_error(&named, res, e);
}

/* --- answers --- */

static enum file_status status_of(const struct json *v)
{
    struct str state = json_str(json_get(v, "state"));
    struct str code = json_str(json_get(json_get(v, "status"), "code"));

    if (str_eq(state, STR("READY")))
        return FILE_PROCESSED;
    if (code.n && !str_eq(code, STR("OK")) &&
        !str_ends(code, STR("UNSPECIFIED")))
        return FILE_ERROR;
    return str_eq(state, STR("STATE_UNSPECIFIED")) ? FILE_UPLOADED
                                                   : file_status_of(state);
}

/* False without a usable name. */
static bool read_object(struct prov_op *op, const struct json *v,
                        struct file_obj *out)
{
    struct str name = json_str(json_get(v, "name"));
    struct str why = json_str(json_get(json_get(v, "status"), "message"));
    size_t n = name.n;

    while (n && name.p[n - 1] != '/')
        n--;
    name = str_make(name.p + n, name.n - n);
    if (!name.n || name.n > LIMIT_UPSTREAM_ID_BYTES)
        return false;
    *out = (struct file_obj){
        .id = name,
        .bytes = -1,
        .created_at = file_obj_time(json_get(v, "createTime")),
        .filename = json_str(json_get(v, "displayName")),
        .purpose = STR(""),
        .status = status_of(v),
    };
    if (out->status == FILE_ERROR && why.n)
        out->status_details =
            prov_said_clean(op->arena, why, name, op->shown_id);
    return true;
}

static enum gw_err read_get(struct prov_op *op, const struct http_res *res,
                            struct gw_error *e)
{
    const struct json *v = prov_json(op, res, e);

    if (!v)
        return e->err;
    return read_object(op, v, &op->file) ? GW_OK
                                         : prov_nonsense(op, "a dataset", e);
}

static enum gw_err read_record(struct prov_op *op, const struct http_res *res,
                               struct gw_error *e)
{
    struct fireworks_state *state = op->state;
    bool is_large = op->upload.stream_len > own(op->conf)->signed_above;

    if (read_get(op, res, e) != GW_OK)
        return e->err;
    if (!str_eq(op->file.id, dataset_of(op)))
        return prov_nonsense(op, "the dataset that was made", e);
    state->step = is_large ? AT_ENDPOINT : AT_UPLOAD;
    return GW_OK;
}

/* Every member of it is optional, and so is this look at it. */
static enum gw_err read_upload(struct prov_op *op, const struct http_res *res,
                               struct gw_error *e)
{
    struct gw_error ignored = {0};
    const struct json *v = json_parse(op->arena, res->body, &ignored);
    int64_t n;

    (void)e;
    if (json_int(json_get(v, "bytes"), &n) && n > 0)
        op->file.bytes = n;
    return GW_OK;
}

/* One file was named, so there is one URL. */
static enum gw_err read_endpoint(struct prov_op *op, const struct http_res *res,
                                 struct gw_error *e)
{
    struct fireworks_state *state = op->state;
    const struct json *v = prov_json(op, res, e), *url;
    struct str name;

    if (!v)
        return e->err;
    url = json_member(json_get(v, "filenameToSignedUrls"), 0, &name);
    state->url = signed_url_take(op, json_str(url));
    if (!state->url.p)
        return prov_nonsense(op, "a usable URL for the upload", e);
    state->step = AT_PUT;
    return GW_OK;
}

static enum gw_err read_list(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e)
{
    return prov_read_page(op, res, "datasets", read_object, e);
}

/* --- answers on the way to the bytes --- */

static enum gw_err take_url(struct prov_op *op, const struct json *url,
                            struct gw_error *e)
{
    struct fireworks_state *state = op->state;

    state->url = signed_url_take(op, json_str(url));
    if (!state->url.p)
        return prov_nonsense(op, "a usable URL for the download", e);
    state->step = AT_BYTES;
    return GW_OK;
}

static enum gw_err read_urls(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e)
{
    struct fireworks_state *state = op->state;
    const struct json *v = prov_json(op, res, e);
    struct str name;

    if (!v)
        return e->err;
    state->urls = json_get(v, "filenameToSignedUrls");
    if (!json_count(state->urls))
        return err_set(e, GW_FILE_NOT_FOUND,
                       "the dataset at provider '%s' holds no file yet",
                       op->conf->name);
    if (json_count(state->urls) == 1)
        return take_url(op, json_member(state->urls, 0, &name), e);
    state->step = AT_NAME;
    return GW_OK;
}

/* Of several files the one that was uploaded is meant; what is in those that
 * were made there, no single download can tell. */
static enum gw_err read_name(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e)
{
    struct fireworks_state *state = op->state;
    const struct json *v = prov_json(op, res, e), *url;
    struct str name;

    if (!v)
        return e->err;
    name = json_str(json_get(v, "displayName"));
    url = name.n ? json_get(state->urls, arena_cstr(op->arena, name)) : NULL;
    if (url)
        return take_url(op, url, e);
    return err_set(e, GW_UNSUPPORTED_OPERATION,
                   "provider '%s' does not support the operation '%s' for a "
                   "dataset of several files",
                   op->conf->name, prov_opcode_name(op->code));
}

static enum gw_err read_bytes(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e)
{
    struct str type = http_fields_get(&res->fields, STR("content-type"));

    if (res->status != 200 && res->status != 206)
        return signed_url_error(op, res, e);
    op->content_type = arena_dup(op->arena, type.p ? type : STR(""));
    return GW_OK;
}

static enum gw_err read_put(struct prov_op *op, const struct http_res *res,
                            struct gw_error *e)
{
    struct fireworks_state *state = op->state;

    (void)res;
    (void)e;
    state->step = AT_VALIDATE;
    return GW_OK;
}

static enum gw_err read_nothing(struct prov_op *op, const struct http_res *res,
                                struct gw_error *e)
{
    (void)op;
    (void)res;
    (void)e;
    return GW_OK;
}

/* --- the steps --- */

static const struct {
    void (*describe)(struct prov_op *op, struct prov_exchange *x);
    enum gw_err (*read)(struct prov_op *op, const struct http_res *res,
                        struct gw_error *e); /* of a 2xx */
    enum gw_err (*read_error)(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e);
} steps[] = {
    /* clang-format off */
    [AT_RECORD]   = {describe_record,   read_record,   read_error},
    [AT_GET]      = {describe_get,      read_get,      read_error},
    [AT_LIST]     = {describe_list,     read_list,     read_error},
    [AT_DELETE]   = {describe_delete,   read_nothing,  read_error},
    [AT_URLS]     = {describe_urls,     read_urls,     read_error},
    [AT_UPLOAD]   = {describe_upload,   read_upload,   read_error},
    [AT_ENDPOINT] = {describe_endpoint, read_endpoint, read_error},
    [AT_PUT]      = {describe_put,      read_put,      signed_url_error},
    [AT_VALIDATE] = {describe_validate, read_nothing,  read_error},
    [AT_NAME]     = {describe_get,      read_name,     read_error},
    [AT_BYTES]    = {describe_bytes,    read_bytes,    signed_url_error},
    /* clang-format on */
};

static enum step step_of(const struct prov_op *op)
{
    static const enum step first[] = {
        [PROV_CREATE] = AT_RECORD, [PROV_GET] = AT_GET,
        [PROV_LIST] = AT_LIST,     [PROV_DELETE] = AT_DELETE,
        [PROV_CONTENT] = AT_URLS,
    };
    const struct fireworks_state *state = op->state;

    ASSERT((size_t)op->code < COUNTOF(first));
    return state->step == AT_FIRST ? first[op->code] : state->step;
}

static enum prov_step next(struct prov_op *op, struct prov_exchange *x)
{
    enum step step = step_of(op);

    if (step == AT_END)
        return PROV_DONE;
    steps[step].describe(op, x);
    return PROV_SEND_HTTP;
}

/* A record that was refused is not there; but one that is said to be there
 * already was made by a request that came twice. */
static void note_refusal(struct prov_op *op, enum step step, int status)
{
    struct fireworks_state *state = op->state;

    if (step == AT_RECORD && status >= 400 && status < 500 && status != 409)
        state->may_exist = false;
}

static enum gw_err reply(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file, struct gw_error *e)
{
    struct fireworks_state *state = op->state;
    enum step step = step_of(op);

    ASSERT(http && !file);
    /* Unless the answer leads on to another exchange. */
    state->step = AT_END;
    if (http->status >= 200 && http->status < 300)
        return steps[step].read(op, http, e);
    note_refusal(op, step, http->status);
    return steps[step].read_error(op, http, e);
}

/* Its name is nobody else's, so that it can be deleted without having seen it
 * made. */
static bool undo(struct prov_op *op, struct prov_exchange *x)
{
    const struct fireworks_state *state = op->state;

    if (!state->may_exist)
        return false;
    describe_delete(op, x);
    return true;
}

/* --- the configuration --- */

static enum gw_err check(struct provider_conf *c, struct gw_error *e)
{
    const struct fireworks_conf *o = own(c);

    if (!c->base_url[0])
        c->base_url = BASE_URL;
    if (!o->api_key[0])
        return err_set(e, GW_INVALID_VALUE, "'api_key' is needed");
    if (!o->account_id[0] || !str_is_made_of(str_of(o->account_id), "-_"))
        return err_set(e, GW_INVALID_VALUE,
                       "'account_id' is needed: letters, digits, '-', '_'");
    return prov_check_value("api_key", o->api_key, e);
}

#define AT(member) offsetof(struct fireworks_conf, member)

/* clang-format off */
static const struct conf_key keys[] = {
    {.name = "api_key", .type = CONF_SECRET, .offset = AT(api_key),
     .help = "needed: sent with every request, but to the storage"},
    {.name = "account_id", .type = CONF_STR, .offset = AT(account_id),
     .help = "needed: the account whose datasets the files are"},
    {.name = "format", .type = CONF_ENUM, .offset = AT(format),
     .choices = format_choices,
     .help = "what the datasets are said to hold"},
    {.name = "signed_above", .type = CONF_SIZE, .offset = AT(signed_above),
     .def = "150MB", .min = 0,
     .help = "larger files are put to the storage by a signed URL, not sent as "
             "a form"},
    {.name = NULL},
};
/* clang-format on */

static const struct conf_section section = {
    .size = sizeof(struct fireworks_conf),
    .keys = keys,
};

const struct provider_type provider_fireworks = {
    .name = "fireworks",
    .systems = "Fireworks AI (files are datasets)",
    .caps = PROV_CAN_ALL | PROV_NEEDS_LENGTH | PROV_NAMES_OBJECT |
            PROV_HAS_RANGE | PROV_HAS_STATUS,
    .section = &section,
    .state_size = sizeof(struct fireworks_state),
    .check = check,
    .next = next,
    .reply = reply,
    .undo = undo,
};
