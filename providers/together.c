#include "gateway/base/bug.h"
#include "gateway/codec/mime.h"
#include "gateway/codec/url.h"
#include "providers/openai.h"
#include "providers/openai_forward.h"
#include "providers/prov_batch.h"
#include "providers/prov_util.h"
#include "providers/signed_url.h"
#include "providers/together.h"

/* Together speaks OpenAI's Files API but for uploads, of which there are three:
 *
 *   direct      one form, to a path of its own
 *   presigned   POST ─► 302: a URL of the storage, the file's id
 *               PUT all bytes there
 *               POST preprocess ─► the file
 *   in parts    POST initiate ─► a URL per part
 *               PUT a piece to each ─► its ETag
 *               POST complete ─► the file
 *
 * The 302 is a step of the protocol and not followed as a redirect: what is
 * behind it takes the file without the key. One PUT holds 5 GB, so larger files
 * go in parts. Purposes have names of their own, and a file that was not looked
 * at yet has `Processed` false.
 */

#define BASE_URL "https://api.together.ai/v1"

enum length { REQUIRED, OPTIONAL };

/* To send another purpose than the client's, that must have come before the
 * file: behind it, it is relayed as it is. */
static unsigned caps_of(const struct provider_conf *c)
{
    unsigned caps = PROV_CAN_ALL | PROV_CAN_BATCH | PROV_CAN_FORWARD |
                    PROV_NEEDS_FIELDS | PROV_HAS_RANGE | PROV_HAS_STATUS;

    if (together_conf(c)->upload == PRESIGNED)
        return caps | PROV_NEEDS_LENGTH;
    if (together_conf(c)->upload_length == REQUIRED)
        caps |= PROV_NEEDS_LENGTH;
    return caps | PROV_FORM | PROV_NO_LATE_EXPIRY;
}

/* --- purposes --- */

static const struct {
    const char *openais, *theirs;
    bool is_sent; /* else it is only theirs to give */
} purposes[] = {
    /* clang-format off */
    {"batch",        "batch-api",       true},
    {"evals",        "eval",            true},
    {"batch_output", "batch-generated", false},
    /* clang-format on */
};

static struct str to_theirs(const struct together_conf *o, struct str purpose)
{
    size_t i;

    for (i = 0; i < o->purposes.n; i++)
        if (str_eq_c(purpose, o->purposes.v[i].key))
            return str_of(o->purposes.v[i].value);
    for (i = 0; i < COUNTOF(purposes); i++)
        if (purposes[i].is_sent && str_eq_c(purpose, purposes[i].openais))
            return str_of(purposes[i].theirs);
    return purpose;
}

/* What stands for one or more of the client's purposes tells nothing about
 * which of them it was: it is left to the record. */
static struct str from_theirs(const struct together_conf *o, struct str purpose)
{
    size_t i;

    for (i = 0; i < o->purposes.n; i++)
        if (str_eq_c(purpose, o->purposes.v[i].value))
            return STR("");
    for (i = 0; i < COUNTOF(purposes); i++)
        if (str_eq_c(purpose, purposes[i].theirs))
            return str_of(purposes[i].openais);
    return purpose;
}

/* --- what is said of a file --- */

static struct str file_name(const struct prov_upload *u)
{
    return u->filename.n ? u->filename : STR("upload");
}

/* By the ending of the name; another is taken for the usual one. */
static struct str file_type(const struct prov_upload *u)
{
    if (str_ends(u->filename, STR(".csv")))
        return STR("csv");
    if (str_ends(u->filename, STR(".parquet")))
        return STR("parquet");
    return STR("jsonl");
}

void together_put_fields(const struct prov_op *op, struct json_out *j)
{
    const struct prov_upload *u = &op->upload;

    json_put_str(j, "file_name", file_name(u));
    json_put_str(j, "purpose", to_theirs(together_conf(op->conf), u->purpose));
    json_put_str(j, "file_type", file_type(u));
}

/* --- requests --- */

void together_add_key(struct prov_op *op, struct prov_exchange *x)
{
    prov_field(op, x, "Accept", STR("application/json"));
    prov_field(
        op, x, "Authorization",
        arena_printf(op->arena, "Bearer %s", together_conf(op->conf)->api_key));
}

static void add_fields(const struct prov_op *op, struct buf *form)
{
    const struct prov_upload *u = &op->upload;

    mime_add_field(form, u->boundary, STR("purpose"),
                   to_theirs(together_conf(op->conf), u->purpose));
    mime_add_field(form, u->boundary, STR("file_name"), file_name(u));
    mime_add_field(form, u->boundary, STR("file_type"), file_type(u));
}

static void describe_redirect(struct prov_op *op, struct prov_exchange *x)
{
    const struct prov_upload *u = &op->upload;
    struct str purpose = to_theirs(together_conf(op->conf), u->purpose);

    prov_http(op, x, "POST", "/files");
    together_add_key(op, x);
    prov_field(op, x, "Content-Type", STR("application/x-www-form-urlencoded"));
    http_req_add_mem(&x->http,
                     arena_printf(op->arena,
                                  "purpose=%.*s&file_name=%.*s&file_type=%.*s",
                                  STR_ARG(url_encoded(op->arena, purpose)),
                                  STR_ARG(url_encoded(op->arena, file_name(u))),
                                  STR_ARG(file_type(u))));
}

static void describe_put(struct prov_op *op, struct prov_exchange *x)
{
    const struct together_state *state = op->state;

    signed_url_put(x, state->url);
    http_req_add_stream(&x->http, op->upload.stream_len);
}

static void describe_preprocess(struct prov_op *op, struct prov_exchange *x)
{
    const struct together_state *state = op->state;

    prov_http(op, x, "POST", "/files/%.*s/preprocess",
              STR_ARG(url_encoded(op->arena, state->file_id)));
    together_add_key(op, x);
    http_req_add_mem(&x->http, STR(""));
}

/* --- which request --- */

static struct openai_wire wire_of(const struct prov_op *op)
{
    bool is_upload = op->code == PROV_CREATE;

    return (struct openai_wire){
        .collection = is_upload ? "/files/upload" : "/files",
        .add_fields = add_fields,
    };
}

static void describe_first(struct prov_op *op, struct prov_exchange *x)
{
    struct openai_wire w = wire_of(op);

    if ((1u << op->code) & PROV_CAN_BATCH) {
        together_describe_batch(op, x);
    } else if (op->code == PROV_FORWARD) {
        openai_forward_describe(op, "", STR(""), x);
        together_add_key(op, x);
    } else if (op->code == PROV_CREATE && together_is_in_parts(op)) {
        together_describe_initiate(op, x);
    } else if (op->code == PROV_CREATE &&
               together_conf(op->conf)->upload == PRESIGNED) {
        describe_redirect(op, x);
    } else {
        openai_describe(op, &w, x);
        together_add_key(op, x);
    }
}

static enum prov_step next(struct prov_op *op, struct prov_exchange *x)
{
    const struct together_state *state = op->state;

    switch (state->step) {
    case AT_FIRST:
        describe_first(op, x);
        break;
    case AT_PUT:
        describe_put(op, x);
        break;
    case AT_PREPROCESS:
        describe_preprocess(op, x);
        break;
    case AT_PART:
        return together_next_part(op, x);
    case AT_COMPLETE:
        together_describe_complete(op, x);
        break;
    case AT_END:
        return PROV_DONE;
    }
    return PROV_SEND_HTTP;
}

/* What is there under the id is taken back, or the parts that are. */
static bool undo(struct prov_op *op, struct prov_exchange *x)
{
    const struct together_state *state = op->state;

    if (!state->file_id.n)
        return false;
    if (state->step == AT_PART) {
        together_describe_abort(op, x);
        return true;
    }
    prov_http(op, x, "DELETE", "/files/%.*s",
              STR_ARG(url_encoded(op->arena, state->file_id)));
    together_add_key(op, x);
    return true;
}

/* --- answers --- */

/* Its messages may name the file by its new id. */
static enum gw_err read_error(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e)
{
    const struct together_state *state = op->state;
    struct prov_op named = *op;

    if (state->file_id.n)
        named.upstream_id = state->file_id;
    return prov_http_error(&named, res, e);
}

static bool is_2xx(const struct http_res *res)
{
    return res->status >= 200 && res->status < 300;
}

static bool is_id(struct str id)
{
    return id.n && id.n <= LIMIT_UPSTREAM_ID_BYTES;
}

static enum gw_err read_object(struct prov_op *op, const struct json *v,
                               struct file_obj *f, struct gw_error *e)
{
    const struct json *processed = json_get(v, "Processed");

    if (prov_read_file(op, v, f, e) != GW_OK)
        return e->err;
    f->purpose = from_theirs(together_conf(op->conf), f->purpose);
    if (json_is_bool(processed))
        f->status =
            json_bool(processed, false) ? FILE_PROCESSED : FILE_UPLOADED;
    if (json_bool(json_get(v, "deleted"), false))
        f->status = FILE_DELETED;
    return GW_OK;
}

/* From here on there is something to take back. A length of 0 may be one that
 * was not counted yet. */
static enum gw_err read_created(struct prov_op *op, const struct json *v,
                                struct gw_error *e)
{
    struct together_state *state = op->state;

    if (read_object(op, v, &op->file, e) != GW_OK)
        return e->err;
    state->file_id = arena_dup(op->arena, op->file.id);
    if (!op->file.bytes)
        op->file.bytes = -1;
    return GW_OK;
}

static enum gw_err read_file(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e)
{
    const struct json *v = prov_json(op, res, e);

    if (!v)
        return e->err;
    if (op->code == PROV_GET)
        return read_object(op, v, &op->file, e);
    if (json_is_object(json_get(v, "file")))
        v = json_get(v, "file");
    return read_created(op, v, e);
}

/* Those that were deleted may still be listed for a while. */
static enum gw_err read_list(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e)
{
    const struct json *v = prov_json(op, res, e), *data;
    size_t i, n;

    if (!v)
        return e->err;
    data = json_is_array(v) ? v : json_get(v, "data");
    if (!json_is_array(data))
        return prov_nonsense(op, "a list", e);
    n = json_count(data);
    op->list = arena_alloc(op->arena, n * sizeof(*op->list));
    for (i = 0; i < n; i++) {
        struct file_obj *f = &op->list[op->nlist];
        struct gw_error ignored = {0};

        if (read_object(op, json_at(data, i), f, &ignored) == GW_OK &&
            f->status != FILE_DELETED)
            op->nlist++;
    }
    op->next_cursor = STR("");
    return GW_OK;
}

/* The one status that goes on is the 302. */
static enum gw_err read_redirect(struct prov_op *op, const struct http_res *res,
                                 struct gw_error *e)
{
    struct together_state *state = op->state;
    struct str id = http_fields_get(&res->fields, STR("x-together-file-id"));
    struct str url = http_fields_get(&res->fields, STR("location"));

    if (res->status != 302)
        return prov_http_error(op, res, e);
    if (!is_id(id))
        return prov_nonsense(op, "the file's id", e);
    state->file_id = arena_dup(op->arena, id);
    state->url = signed_url_take(op, url);
    if (!state->url.p)
        return prov_nonsense(op, "a usable URL for the upload", e);
    state->step = AT_PUT;
    return GW_OK;
}

/* --- which answer --- */

static enum gw_err read_put(struct prov_op *op, const struct http_res *res,
                            struct gw_error *e)
{
    struct together_state *state = op->state;

    if (!is_2xx(res))
        return signed_url_error(op, res, e);
    state->step = AT_PREPROCESS;
    return GW_OK;
}

static enum gw_err read_first(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e)
{
    struct openai_wire w = wire_of(op);
    bool is_upload = op->code == PROV_CREATE;

    if ((1u << op->code) & PROV_CAN_BATCH)
        return together_read_batch(op, res, e);
    if (is_upload && together_conf(op->conf)->upload == PRESIGNED &&
        !together_is_in_parts(op))
        return read_redirect(op, res, e);
    if (op->code == PROV_CONTENT || op->code == PROV_DELETE)
        return openai_read(op, &w, res, e);
    if (!is_2xx(res))
        return prov_http_error(op, res, e);
    if (op->code == PROV_LIST)
        return read_list(op, res, e);
    return is_upload && together_is_in_parts(op)
               ? together_read_initiate(op, res, e)
               : read_file(op, res, e);
}

static enum gw_err reply(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file, struct gw_error *e)
{
    struct together_state *state = op->state;
    enum together_step step = state->step;

    ASSERT(http && !file);
    /* Unless the answer leads on to another exchange. */
    state->step = AT_END;
    if (op->code == PROV_FORWARD)
        return openai_forward_read(op, http, e);
    switch (step) {
    case AT_FIRST:
        return read_first(op, http, e);
    case AT_PUT:
        return read_put(op, http, e);
    case AT_PART:
        return together_read_part(op, http, e);
    case AT_PREPROCESS:
    case AT_COMPLETE:
        return is_2xx(http) ? read_file(op, http, e) : read_error(op, http, e);
    case AT_END:
        break;
    }
    BUG("an answer after the end");
}

/* --- the configuration --- */

static enum gw_err check(struct provider_conf *c, struct gw_error *e)
{
    const struct together_conf *o = together_conf(c);

    if (!c->base_url[0])
        c->base_url = BASE_URL;
    if (!o->api_key[0])
        return err_set(e, GW_INVALID_VALUE, "'api_key' is needed");
    return prov_check_value("api_key", o->api_key, e);
}

static const char *const upload_choices[] = {"direct", "presigned", NULL};
static const char *const length_choices[] = {"required", "optional", NULL};

#define AT(member) offsetof(struct together_conf, member)

/* clang-format off */
static const struct conf_key keys[] = {
    {.name = "api_key", .type = CONF_SECRET, .offset = AT(api_key),
     .help = "needed: sent with every request, but to the storage"},
    {.name = "purposes", .type = CONF_STR_MAP, .offset = AT(purposes),
     .help = "what to send for a client's purpose (it knows fine-tune, "
             "batch-api, eval; batch and evals are translated anyway)",
     .example = "user_data: fine-tune"},
    {.name = "upload", .type = CONF_ENUM, .offset = AT(upload),
     .choices = upload_choices,
     .help = "direct: a file streams, in one form; presigned: it is spooled, "
             "then put to the storage, as its own SDK does: for large files"},
    {.name = "upload_length", .type = CONF_ENUM, .offset = AT(upload_length),
     .choices = length_choices,
     .help = "direct: whether an upload must have a Content-Length; required: "
             "a body of unknown length is spooled first"},
    {.name = "multipart_above", .type = CONF_SIZE,
     .offset = AT(multipart_above), .def = "5GB", .min = 0,
     .max = (int64_t)5 * 1024 * 1024 * 1024,
     .help = "presigned: larger files are put in parts, each held in memory "
             "(8 MB, a 250th of a file above 2 GB, at most 64 MB)"},
    {.name = NULL},
};
/* clang-format on */

static const struct conf_section section = {
    .size = sizeof(struct together_conf),
    .keys = keys,
};

const struct provider_type provider_together = {
    .name = "together",
    .systems = "Together AI",
    .caps = PROV_CAN_ALL | PROV_CAN_BATCH | PROV_CAN_FORWARD | PROV_FORM |
            PROV_NEEDS_LENGTH | PROV_NEEDS_FIELDS | PROV_NO_LATE_EXPIRY |
            PROV_HAS_RANGE | PROV_HAS_STATUS,
    .section = &section,
    .state_size = sizeof(struct together_state),
    .check = check,
    .check_request = prov_batch_check_request,
    .caps_of = caps_of,
    .next = next,
    .reply = reply,
    .broken = together_broken,
    .undo = undo,
};
