#include "providers/s3.h"

#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "gateway/codec/xml.h"
#include "providers/sigv4.h"

/* Objects of S3 as files, for stores that speak its language and for Bedrock,
 * which reads them there. An id is "s3://bucket/key"; a key is the configured
 * prefix and the ULID of our id, so it is known before the first byte is sent.
 *
 *   get      HEAD; its errors have no body, so when it was refused a GET of one
 *            byte asks why
 *   delete   HEAD, for S3 calls the deletion of nothing a success; what was
 *            never finished is given up when there is no object
 *   list     by prefix
 *
 * Names and purposes are metadata of the object; lists do not show them.
 */

#define PAGE_FILES 250 /* a page of the longest keys is less than 1 MiB */

enum s3_step { AT_FIRST, AT_SECOND, AT_ABORT, AT_END };

struct s3_state {
    enum s3_step step;
    struct aws_grant grant;
    struct s3_upload upload;
    struct bedrock_batch batch;
    struct str unfinished[S3_UNFINISHED_MAX];
    size_t nunfinished, naborted;
};

static unsigned caps_of(const struct provider_conf *c)
{
    const struct s3_conf *o = c->own;
    unsigned caps =
        PROV_CAN_ALL | PROV_NAMES_OBJECT | PROV_HAS_RANGE | PROV_HOLDS_PARTS;

    if (!strcmp(c->type->name,
                "s3")) /* a store; Bedrock has lines of its own */
        caps |= PROV_OPENAI_BATCH;
    else if (o->role_arn[0])
        caps |= PROV_CAN_BATCH;
    return aws_is_temporary(&o->aws) ? caps | PROV_CAN_GRANT : caps;
}

static bool is_batch(const struct prov_op *op)
{
    return (1u << op->code) & PROV_CAN_BATCH;
}

/* --- requests --- */

static void describe_list(struct prov_op *op, struct prov_exchange *x)
{
    const struct s3_conf *o = s3_own(op);
    struct s3_object bucket = {str_of(o->bucket), STR("")};
    struct str token = url_encoded(op->arena, op->list_cursor);
    struct str prefix = url_encoded(op->arena, str_of(o->prefix));
    struct str query = arena_printf(
        op->arena, "%s%.*s%sencoding-type=url&list-type=2&max-keys=%d%s%.*s",
        token.n ? "continuation-token=" : "", STR_ARG(token),
        token.n ? "&" : "", PAGE_FILES, prefix.n ? "&prefix=" : "",
        STR_ARG(prefix));

    s3_request(op, x, "GET", bucket, query);
}

static void describe_content(struct prov_op *op, struct prov_exchange *x)
{
    struct str range = STR("");

    s3_request(op, x, "GET", s3_object_of(op), STR(""));
    if (op->range_first >= 0 && op->range_last >= 0)
        range =
            arena_printf(op->arena, "bytes=%lld-%lld",
                         (long long)op->range_first, (long long)op->range_last);
    else if (op->range_first >= 0)
        range =
            arena_printf(op->arena, "bytes=%lld-", (long long)op->range_first);
    if (range.n)
        prov_field(op, x, "Range", range);
    prov_field(op, x, "Accept-Encoding", STR("identity"));
    x->http.is_sink = true;
}

static void describe_get(struct prov_op *op, struct prov_exchange *x)
{
    const struct s3_state *state = op->state;
    bool is_second = state->step == AT_SECOND;

    s3_request(op, x, is_second ? "GET" : "HEAD", s3_object_of(op), STR(""));
    if (is_second)
        prov_field(op, x, "Range", STR("bytes=0-0"));
}

static void describe_delete(struct prov_op *op, struct prov_exchange *x)
{
    const struct s3_state *state = op->state;
    bool is_second = state->step == AT_SECOND;

    s3_request(op, x, is_second ? "DELETE" : "HEAD", s3_object_of(op), STR(""));
}

static enum prov_step next_of_delete(struct prov_op *op,
                                     struct prov_exchange *x)
{
    const struct s3_state *state = op->state;

    if (state->step != AT_ABORT)
        return PROV_SEND_HTTP;
    if (state->nunfinished)
        s3_describe_abort(op, x, state->unfinished[state->naborted]);
    else
        s3_describe_unfinished(op, x);
    return PROV_SEND_HTTP;
}

static enum prov_step next(struct prov_op *op, struct prov_exchange *x)
{
    struct s3_state *state = op->state;

    if (op->code == PROV_GRANT)
        return aws_grant_next(op, &s3_own(op)->aws, &state->grant, x);
    if (op->code == PROV_CREATE)
        return s3_upload_next(op, &state->upload, x);
    if (is_batch(op))
        return bedrock_next_batch(op, &state->batch, x);
    if (state->step == AT_END)
        return PROV_DONE;
    if (state->step == AT_ABORT)
        return next_of_delete(op, x);
    if (op->code == PROV_GET)
        describe_get(op, x);
    else if (op->code == PROV_DELETE)
        describe_delete(op, x);
    else if (op->code == PROV_LIST)
        describe_list(op, x);
    else if (op->code == PROV_CONTENT)
        describe_content(op, x);
    else
        BUG("no such operation: %d", (int)op->code);
    s3_sign(op, x, SIGV4_EMPTY);
    return PROV_SEND_HTTP;
}

/* --- answers --- */

static bool is_success(const struct http_res *res)
{
    return res->status >= 200 && res->status < 300;
}

/* Whether what HEAD was refused for is known without asking. */
static bool is_clear(const struct http_res *res)
{
    return res->status >= 500 || res->status == 429 || res->status == 301 ||
           res->status == 307;
}

static enum gw_err read_get(struct prov_op *op, const struct http_res *res,
                            struct gw_error *e)
{
    struct s3_state *state = op->state;

    if (is_success(res)) {
        op->file = s3_read_head(op, res);
        if (state->step == AT_SECOND)
            op->file.bytes = -1;
        state->step = AT_END;
        return GW_OK;
    }
    if (state->step == AT_SECOND || is_clear(res))
        return s3_error(op, res, e);
    state->step = AT_SECOND;
    return GW_OK;
}

static enum gw_err no_file(const struct prov_op *op, struct gw_error *e)
{
    return err_set(e, GW_FILE_NOT_FOUND, "no such file at provider '%s'",
                   op->conf->name);
}

/* What the store does not let us see is not there for us. */
static enum gw_err read_unfinished(struct prov_op *op,
                                   const struct http_res *res,
                                   struct gw_error *e)
{
    struct s3_state *state = op->state;
    struct str code = s3_said(op, res).code, root;

    if (str_eq(code, STR("AccessDenied")) || res->status == 405 ||
        res->status == 501 || str_eq(code, STR("NotImplemented")))
        return no_file(op, e);
    if (!is_success(res))
        return s3_error(op, res, e);
    root = s3_document(op, res, "ListMultipartUploadsResult", e);
    if (!root.p)
        return e->err;
    state->nunfinished = s3_read_unfinished(op, root, state->unfinished);
    return state->nunfinished ? GW_OK : no_file(op, e);
}

static enum gw_err read_abort(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e)
{
    struct s3_state *state = op->state;

    if (!is_success(res) && res->status != 404)
        return s3_error(op, res, e);
    return ++state->naborted < state->nunfinished ? GW_OK : no_file(op, e);
}

/* A HEAD that was refused says nothing: the DELETE will. */
static enum gw_err read_delete(struct prov_op *op, const struct http_res *res,
                               struct gw_error *e)
{
    struct s3_state *state = op->state;

    if (state->step == AT_ABORT)
        return state->nunfinished ? read_abort(op, res, e)
                                  : read_unfinished(op, res, e);
    if (state->step == AT_FIRST) {
        if (is_clear(res))
            return s3_error(op, res, e);
        state->step = res->status == 404 ? AT_ABORT : AT_SECOND;
        return GW_OK;
    }
    state->step = AT_END;
    return is_success(res) ? GW_OK : s3_error(op, res, e);
}

static enum gw_err read_content(struct prov_op *op, const struct http_res *res,
                                struct gw_error *e)
{
    struct s3_state *state = op->state;
    struct str type = http_fields_get(&res->fields, STR("content-type"));

    state->step = AT_END;
    if (res->status != 200 && res->status != 206)
        return s3_error(op, res, e);
    op->content_type = arena_dup(op->arena, type.p ? type : STR(""));
    return GW_OK;
}

/* What batches write is no file until they are looked at, and a part of it
 * never is: with a prefix that holds theirs, too, it would be taken for
 * forgotten. */
static bool is_of_batch(const struct prov_op *op, struct str key)
{
    const char *prefix = s3_own(op)->batch_prefix;

    return prefix && prefix[0] && str_starts(key, str_of(prefix));
}

/* Folders, as some programs make them, and what has no usable id are left out.
 */
static bool read_object(struct prov_op *op, struct str contents,
                        bool is_encoded, struct file_obj *out)
{
    struct str key = xml_child_text(op->arena, contents, STR("Key"));
    struct str size = xml_child_text(op->arena, contents, STR("Size"));
    struct str time = xml_child_text(op->arena, contents, STR("LastModified"));
    struct s3_object o = {.bucket = str_of(s3_own(op)->bucket)};
    int64_t n;

    if (is_encoded && !url_decode(op->arena, key, true, &key))
        return false;
    o.key = key;
    *out = (struct file_obj){
        .id = s3_id(op->arena, o),
        .bytes = str_to_i64(size, &n) && n >= 0 ? n : -1,
        .created_at = file_obj_time_text(time),
        .filename = STR(""),
        .purpose = STR(""),
        .status = FILE_PROCESSED,
    };
    return key.n && !str_ends(key, STR("/")) && !is_of_batch(op, key) &&
           out->id.n <= LIMIT_UPSTREAM_ID_BYTES && str_is_utf8(key);
}

/* A token that comes back ends the list: it would for ever. */
static struct str read_cursor(struct prov_op *op, struct str root)
{
    struct str token =
        xml_child_text(op->arena, root, STR("NextContinuationToken"));
    struct str more = xml_child_text(op->arena, root, STR("IsTruncated"));

    if (!str_eq(more, STR("true")) || str_eq(token, op->list_cursor))
        return STR("");
    return token;
}

static enum gw_err read_list(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e)
{
    struct s3_state *state = op->state;
    struct str root, rest, name, inner;
    bool is_encoded;

    if (!is_success(res))
        return s3_error(op, res, e);
    root = s3_document(op, res, "ListBucketResult", e);
    if (!root.p)
        return e->err;
    state->step = AT_END;
    is_encoded = str_eq(xml_child_text(op->arena, root, STR("EncodingType")),
                        STR("url"));
    op->list = arena_alloc(op->arena, PAGE_FILES * sizeof(*op->list));
    rest = root;
    while (op->nlist < PAGE_FILES && xml_next(&rest, &name, &inner))
        if (str_eq(name, STR("Contents")) &&
            read_object(op, inner, is_encoded, &op->list[op->nlist]))
            op->nlist++;
    op->next_cursor = read_cursor(op, root);
    return GW_OK;
}

static enum gw_err reply(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file, struct gw_error *e)
{
    struct s3_state *state = op->state;

    ASSERT(http && !file);
    if (is_batch(op))
        return bedrock_read_batch(op, &state->batch, http, e);
    switch (op->code) {
    case PROV_GRANT:
        return aws_grant_reply(op, &s3_own(op)->aws, &state->grant, http, e);
    case PROV_CREATE:
        return s3_upload_reply(op, &state->upload, http, e);
    case PROV_GET:
        return read_get(op, http, e);
    case PROV_DELETE:
        return read_delete(op, http, e);
    case PROV_LIST:
        return read_list(op, http, e);
    case PROV_CONTENT:
        return read_content(op, http, e);
    default:
        BUG("no such operation: %d", (int)op->code);
    }
}

static bool broken(struct prov_op *op, const struct gw_error *e)
{
    struct s3_state *state = op->state;

    if (op->code == PROV_BATCH_CREATE)
        return bedrock_broken(&state->batch);
    return op->code == PROV_CREATE && s3_upload_broken(op, &state->upload, e);
}

static bool undo(struct prov_op *op, struct prov_exchange *x)
{
    struct s3_state *state = op->state;

    return s3_upload_undo(op, &state->upload, x);
}

/* --- the types --- */

#define CAPS                                                                   \
    (PROV_CAN_ALL | PROV_NAMES_OBJECT | PROV_HOLDS_PARTS | PROV_HAS_RANGE |    \
     PROV_CAN_GRANT)
#define COMMON                                                                 \
    .state_size = sizeof(struct s3_state), .check = s3_check,                  \
    .caps_of = caps_of, .next = next, .reply = reply, .broken = broken,        \
    .undo = undo

const struct provider_type provider_s3 = {
    .name = "s3",
    .systems = "Amazon S3, and any store that speaks its language",
    .caps = CAPS | PROV_OPENAI_BATCH,
    .section = &s3_section,
    COMMON,
};

/* The same objects; batches over them are what sets it apart. */
const struct provider_type provider_bedrock = {
    .name = "bedrock",
    .systems = "Amazon Bedrock, over S3",
    .caps = CAPS | PROV_CAN_BATCH,
    .section = &bedrock_section,
    .check_batch = bedrock_check_batch,
    .check_request = prov_batch_check_request,
    COMMON,
};
