#include "gateway/base/bug.h"
#include "gateway/codec/mime.h"
#include "gateway/codec/url.h"
#include "providers/openai_forward.h"
#include "providers/prov_said.h"
#include "providers/prov_util.h"

/* Files of the Gemini API. Two operations take two exchanges:
 *
 *   create   of known length: start, which answers a URL for this upload
 *            alone; then all bytes to it, "upload, finalize". What was started
 *            and failed is cancelled there
 *            else: one multipart/related body, JSON and the stream
 *   content  what is known of the file; then its bytes, if it is one of those
 *            that the API made itself: it serves no others
 *
 * An id is "files/x". A file ends 48 hours after its upload, which cannot be
 * changed. Errors are Google's: a key that is wrong is a 400, a file that is
 * not there a 403, and how long to wait stands in the body.
 */

#define BASE_URL "https://generativelanguage.googleapis.com/v1beta"
#define PAGE_FILES 100
#define LIFETIME_S (48 * 3600)
#define NAME_PREFIX "files/"
/* In bytes, though the API counts characters. */
#define DISPLAY_NAME_MAX 512
#define HEAD_BYTES (64 * KIB)
#define WAIT_MAX_S 86400

enum length { OPTIONAL, REQUIRED };

struct gemini_conf {
    const char *api_key;
    int upload_length;
};

enum gemini_step { AT_FIRST, AT_SECOND, AT_END };

struct gemini_state {
    enum gemini_step step;
    struct str upload_url; /* a secret: who knows it may write */
};

static unsigned caps_of(const struct provider_conf *c)
{
    const struct gemini_conf *o = c->own;
    unsigned caps = PROV_CAN_ALL | PROV_CAN_FORWARD | PROV_HAS_STATUS;

    return o->upload_length == REQUIRED ? caps | PROV_NEEDS_LENGTH : caps;
}

/* --- requests --- */

static void add_key(struct prov_op *op, struct prov_exchange *x)
{
    const struct gemini_conf *o = op->conf->own;

    prov_field(op, x, "x-goog-api-key", str_of(o->api_key));
}

static void add_metadata(struct buf *out, const struct prov_upload *u)
{
    struct str name = u->filename.n ? u->filename : STR("upload");
    struct json_out j;

    json_out_init(&j, out);
    json_open(&j, NULL, '{');
    json_open(&j, "file", '{');
    json_put_str(&j, "displayName", prov_cut(name, DISPLAY_NAME_MAX));
    json_put_str(&j, "mimeType", prov_media_type(u));
    json_close(&j);
    json_close(&j);
}

static void add_taken(struct prov_op *op, struct http_req *req, struct buf *b)
{
    ASSERT(!b->overflow);
    http_req_add_mem(req, arena_dup(op->arena, buf_str(b)));
    buf_release(b);
}

/* Uploads have a path of their own: /upload before the version, which is the
 * last step of the base's path. */
static struct str upload_url(struct prov_op *op)
{
    struct str base = str_of(op->conf->base_url);
    size_t n;

    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    n = base.n;
    while (n && base.p[n - 1] != '/')
        n--;
    return arena_printf(op->arena, "%.*supload/%.*s/files", (int)n, base.p,
                        (int)(base.n - n), base.p + n);
}

static void describe_upload(struct prov_op *op, struct prov_exchange *x,
                            const char *protocol)
{
    prov_http(op, x, "POST", "/files");
    x->http.url = upload_url(op);
    prov_field(op, x, "Accept", STR("application/json"));
    add_key(op, x);
    prov_field(op, x, "X-Goog-Upload-Protocol", str_of(protocol));
}

static void describe_start(struct prov_op *op, struct prov_exchange *x)
{
    const struct prov_upload *u = &op->upload;
    struct buf body;

    describe_upload(op, x, "resumable");
    prov_field(op, x, "X-Goog-Upload-Command", STR("start"));
    prov_field(op, x, "X-Goog-Upload-Header-Content-Length",
               arena_printf(op->arena, "%lld", (long long)u->stream_len));
    prov_field(op, x, "X-Goog-Upload-Header-Content-Type",
               arena_dup(op->arena, prov_media_type(u)));
    prov_field(op, x, "Content-Type", STR("application/json"));
    buf_init(&body, HEAD_BYTES);
    add_metadata(&body, u);
    add_taken(op, &x->http, &body);
}

/* The URL is permission enough: the key stays here. */
static void describe_started(struct prov_op *op, struct prov_exchange *x)
{
    const struct gemini_state *state = op->state;

    prov_http(op, x, "POST", "/files");
    x->http.url = state->upload_url;
    prov_field(op, x, "Accept", STR("application/json"));
}

static void describe_finish(struct prov_op *op, struct prov_exchange *x)
{
    describe_started(op, x);
    prov_field(op, x, "X-Goog-Upload-Offset", STR("0"));
    prov_field(op, x, "X-Goog-Upload-Command", STR("upload, finalize"));
    prov_field(op, x, "Content-Type", STR("application/octet-stream"));
    http_req_add_stream(&x->http, op->upload.stream_len);
}

static void describe_multipart(struct prov_op *op, struct prov_exchange *x)
{
    const struct prov_upload *u = &op->upload;
    struct buf body;

    describe_upload(op, x, "multipart");
    prov_field(op, x, "Content-Type",
               arena_printf(op->arena, "multipart/related; boundary=%.*s",
                            STR_ARG(u->boundary)));
    buf_init(&body, HEAD_BYTES);
    buf_printf(&body,
               "--%.*s\r\nContent-Type: application/json; charset=utf-8\r\n"
               "\r\n",
               STR_ARG(u->boundary));
    add_metadata(&body, u);
    buf_printf(&body, "\r\n--%.*s\r\nContent-Type: %.*s\r\n\r\n",
               STR_ARG(u->boundary), STR_ARG(prov_media_type(u)));
    add_taken(op, &x->http, &body);
    http_req_add_stream(&x->http, -1);
    buf_init(&body, HEAD_BYTES);
    mime_close(&body, u->boundary);
    add_taken(op, &x->http, &body);
}

static bool is_resumable(const struct prov_op *op)
{
    return op->upload.stream_len >= 0;
}

static void describe_create(struct prov_op *op, struct prov_exchange *x)
{
    const struct gemini_state *state = op->state;

    if (!is_resumable(op))
        describe_multipart(op, x);
    else if (state->step == AT_FIRST)
        describe_start(op, x);
    else
        describe_finish(op, x);
}

static void describe_list(struct prov_op *op, struct prov_exchange *x)
{
    struct str token = url_encoded(op->arena, op->list_cursor);

    prov_http(op, x, "GET", "/files?pageSize=%d%s%.*s", PAGE_FILES,
              token.n ? "&pageToken=" : "", STR_ARG(token));
    prov_field(op, x, "Accept", STR("application/json"));
    add_key(op, x);
}

/* What follows "files/" in an id; all of an id that does not start so. */
static struct str bare(struct str id)
{
    size_t n = sizeof(NAME_PREFIX) - 1;

    return str_starts(id, STR(NAME_PREFIX)) ? str_make(id.p + n, id.n - n) : id;
}

static void describe_file(struct prov_op *op, const char *method,
                          const char *behind, struct prov_exchange *x)
{
    prov_http(op, x, method, "/files/%.*s%s",
              STR_ARG(url_encoded(op->arena, bare(op->upstream_id))), behind);
    add_key(op, x);
}

static void describe_content(struct prov_op *op, struct prov_exchange *x)
{
    const struct gemini_state *state = op->state;

    if (state->step == AT_FIRST) {
        describe_file(op, "GET", "", x);
        prov_field(op, x, "Accept", STR("application/json"));
        return;
    }
    describe_file(op, "GET", ":download?alt=media", x);
    prov_download(op, x);
}

/* OpenAI's API has a place below the version, and its own way to show a key. */
static void describe_forward(struct prov_op *op, struct prov_exchange *x)
{
    const struct gemini_conf *o = op->conf->own;

    openai_forward_describe(op, "/openai", STR(""), x);
    prov_field(op, x, "Authorization",
               arena_printf(op->arena, "Bearer %s", o->api_key));
}

static void describe(struct prov_op *op, struct prov_exchange *x)
{
    switch (op->code) {
    case PROV_FORWARD:
        describe_forward(op, x);
        return;
    case PROV_CREATE:
        describe_create(op, x);
        return;
    case PROV_LIST:
        describe_list(op, x);
        return;
    case PROV_CONTENT:
        describe_content(op, x);
        return;
    case PROV_GET:
    case PROV_DELETE:
        describe_file(op, op->code == PROV_GET ? "GET" : "DELETE", "", x);
        prov_field(op, x, "Accept", STR("application/json"));
        return;
    default:
        BUG("no such operation: %d", (int)op->code);
    }
}

static enum prov_step next(struct prov_op *op, struct prov_exchange *x)
{
    const struct gemini_state *state = op->state;

    if (state->step == AT_END)
        return PROV_DONE;
    describe(op, x);
    return PROV_SEND_HTTP;
}

/* --- errors --- */

/* The detail of an error whose "@type" ends so. */
static const struct json *detail_of(const struct json *body, struct str type)
{
    const struct json *details = json_get(json_get(body, "error"), "details");
    size_t i;

    for (i = 0; i < json_count(details); i++) {
        const struct json *d = json_at(details, i);

        if (str_ends(json_str(json_get(d, "@type")), type))
            return d;
    }
    return NULL;
}

/* "17s", "17.25s": whole seconds, rounded up; 0 when there is none. */
static int retry_delay(const struct json *body)
{
    const struct json *info = detail_of(body, STR(".RetryInfo"));
    struct str text = json_str(json_get(info, "retryDelay")), whole, fraction;
    int64_t n;

    if (!str_ends(text, STR("s")))
        return 0;
    text.n--;
    str_cut(text, '.', &whole, &fraction);
    if (!str_to_i64(whole, &n))
        return 0;
    return (int)MAX(0, MIN(n, WAIT_MAX_S - 1) + (fraction.n > 0));
}

/* A 403 that gives a reason speaks of the key or the project; one without it
 * of a file, which is another's or not there. */
static bool means_no_file(const struct prov_op *op, const struct http_res *res,
                          struct str reason)
{
    return res->status == 403 && !reason.n && op->upstream_id.n;
}

static enum gw_err read_error(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e)
{
    struct gw_error ignored = {0};
    const struct json *body = json_parse(op->arena, res->body, &ignored);
    const struct json *info = detail_of(body, STR(".ErrorInfo"));
    struct str reason = json_str(json_get(info, "reason"));
    struct http_res meant = *res;
    struct prov_op named = *op;

    if (means_no_file(op, res, reason))
        return err_set(e, GW_FILE_NOT_FOUND, "no such file at provider '%s'",
                       op->conf->name);
    if (res->status == 400 && str_starts(reason, STR("API_KEY_")))
        meant.status = 401;
    /* Messages name a file without what its id starts with. */
    named.upstream_id = bare(op->upstream_id);
    prov_http_error(&named, &meant, e);
    if (!e->retry_after_s)
        e->retry_after_s = retry_delay(body);
    return e->err;
}

/* --- answers --- */

static enum file_status status_of(struct str state)
{
    if (str_eq(state, STR("STATE_UNSPECIFIED")))
        return FILE_UPLOADED;
    return file_status_of(state);
}

/* Files have no purpose there: it is left to the record. False without a
 * usable name. */
static bool read_object(struct prov_op *op, const struct json *v,
                        struct file_obj *out)
{
    struct str name = json_str(json_get(v, "name"));
    struct str why = json_str(json_get(json_get(v, "error"), "message"));
    int64_t n;

    if (!bare(name).n || name.n > LIMIT_UPSTREAM_ID_BYTES)
        return false;
    *out = (struct file_obj){
        .id = name,
        .bytes = json_int(json_get(v, "sizeBytes"), &n) && n >= 0 ? n : -1,
        .created_at = file_obj_time(json_get(v, "createTime")),
        .expires_at = file_obj_time(json_get(v, "expirationTime")),
        .filename = json_str(json_get(v, "displayName")),
        .purpose = STR(""),
        .status = status_of(json_str(json_get(v, "state"))),
    };
    if (out->status == FILE_ERROR && why.n)
        out->status_details =
            prov_said_clean(op->arena, why, bare(name), op->shown_id);
    return true;
}

/* Where to send the bytes: never to another host than the operator's. */
static enum gw_err read_start(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e)
{
    struct gemini_state *state = op->state;
    struct str url = http_fields_get(&res->fields, STR("x-goog-upload-url"));

    if (!url.n ||
        !str_eq_nocase(url_origin(url), url_origin(str_of(op->conf->base_url))))
        return prov_nonsense(op, "a usable URL for the upload", e);
    state->upload_url = arena_dup(op->arena, url);
    state->step = AT_SECOND;
    return GW_OK;
}

static enum gw_err read_create(struct prov_op *op, const struct http_res *res,
                               struct gw_error *e)
{
    const struct json *v;
    struct file_obj *f = &op->file;

    v = prov_json(op, res, e);
    if (!v)
        return e->err;
    if (!read_object(op, json_get(v, "file"), f))
        return prov_nonsense(op, "a file", e);
    if (!f->expires_at)
        f->expires_at =
            (f->created_at ? f->created_at : op->now_s) + LIFETIME_S;
    return GW_OK;
}

static enum gw_err read_get(struct prov_op *op, const struct http_res *res,
                            struct gw_error *e)
{
    const struct json *v = prov_json(op, res, e);

    if (!v)
        return e->err;
    return read_object(op, v, &op->file) ? GW_OK
                                         : prov_nonsense(op, "a file", e);
}

static enum gw_err read_list(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e)
{
    return prov_read_page(op, res, "files", read_object, e);
}

static enum gw_err read_found(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e)
{
    struct gemini_state *state = op->state;
    const struct json *v = prov_json(op, res, e);

    if (!v)
        return e->err;
    if (!json_str(json_get(v, "downloadUri")).n &&
        !str_eq(json_str(json_get(v, "source")), STR("GENERATED")))
        return err_set(e, GW_UNSUPPORTED_OPERATION,
                       "provider '%s' does not support the operation '%s' for "
                       "files that were uploaded, only for those it generated",
                       op->conf->name, prov_opcode_name(op->code));
    state->step = AT_SECOND;
    return GW_OK;
}

static enum gw_err read_content(struct prov_op *op, const struct http_res *res,
                                struct gw_error *e)
{
    struct str type = http_fields_get(&res->fields, STR("content-type"));

    if (res->status != 200)
        return prov_nonsense(op, "content", e);
    op->content_type = arena_dup(op->arena, type.p ? type : STR(""));
    return GW_OK;
}

static enum gw_err read_answer(struct prov_op *op, enum gemini_step step,
                               const struct http_res *res, struct gw_error *e)
{
    switch (op->code) {
    case PROV_CREATE:
        return step == AT_FIRST && is_resumable(op) ? read_start(op, res, e)
                                                    : read_create(op, res, e);
    case PROV_GET:
        return read_get(op, res, e);
    case PROV_LIST:
        return read_list(op, res, e);
    case PROV_DELETE:
        return GW_OK;
    case PROV_CONTENT:
        return step == AT_FIRST ? read_found(op, res, e)
                                : read_content(op, res, e);
    default:
        BUG("no such operation: %d", (int)op->code);
    }
}

static enum gw_err reply(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file, struct gw_error *e)
{
    struct gemini_state *state = op->state;
    enum gemini_step step = state->step;

    ASSERT(http && !file);
    /* Unless the answer leads on to a second exchange. */
    state->step = AT_END;
    if (op->code == PROV_FORWARD)
        return openai_forward_read(op, http, e);
    if (http->status < 200 || http->status >= 300)
        return read_error(op, http, e);
    return read_answer(op, step, http, e);
}

static bool undo(struct prov_op *op, struct prov_exchange *x)
{
    const struct gemini_state *state = op->state;

    if (!state->upload_url.n)
        return false;
    describe_started(op, x);
    prov_field(op, x, "X-Goog-Upload-Command", STR("cancel"));
    return true;
}

/* --- the configuration --- */

/* "https://host/v1beta", for an upload's path holds the version apart. */
static bool has_version(struct str base)
{
    struct str origin = url_origin(base);

    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    return !origin.p || base.n > origin.n + 1;
}

static enum gw_err check(struct provider_conf *c, struct gw_error *e)
{
    const struct gemini_conf *o = c->own;

    if (!c->base_url[0])
        c->base_url = BASE_URL;
    if (!has_version(str_of(c->base_url)))
        return err_set(e, GW_INVALID_VALUE,
                       "'base_url' must end with a version such as /v1beta");
    if (!o->api_key[0])
        return err_set(e, GW_INVALID_VALUE, "'api_key' is needed");
    return prov_check_value("api_key", o->api_key, e);
}

static const char *const length_choices[] = {"optional", "required", NULL};

#define AT(member) offsetof(struct gemini_conf, member)

/* clang-format off */
static const struct conf_key keys[] = {
    {.name = "api_key", .type = CONF_SECRET, .offset = AT(api_key),
     .help = "needed: sent as x-goog-api-key with every request"},
    {.name = "upload_length", .type = CONF_ENUM, .offset = AT(upload_length),
     .choices = length_choices,
     .help = "required: a file is spooled first and its length declared; "
             "optional: it streams, in one multipart request"},
    {.name = NULL},
};
/* clang-format on */

static const struct conf_section section = {
    .size = sizeof(struct gemini_conf),
    .keys = keys,
};

const struct provider_type provider_gemini = {
    .name = "gemini",
    .systems = "Gemini API (content: of generated files alone)",
    .caps =
        PROV_CAN_ALL | PROV_CAN_FORWARD | PROV_HAS_STATUS | PROV_NEEDS_LENGTH,
    .section = &section,
    .state_size = sizeof(struct gemini_state),
    .check = check,
    .caps_of = caps_of,
    .next = next,
    .reply = reply,
    .undo = undo,
};
