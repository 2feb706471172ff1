#include "providers/openai_uploads.h"

#include "gateway/base/bug.h"
#include "gateway/codec/mime.h"
#include "gateway/codec/url.h"
#include "providers/prov_util.h"

#define ID_MIN 4
#define BODY_BYTES ((size_t)LIMIT_JSON_TEXT_BYTES * 8)
_Static_assert(BODY_BYTES >
                   LIMIT_UPLOAD_PARTS * (2 * LIMIT_UPSTREAM_ID_BYTES + 3) +
                       4 * KIB,
               "the ids of all parts fit in");

static struct str taken(struct arena *a, struct buf *b)
{
    struct str s;

    ASSERT(!b->overflow);
    s = arena_dup(a, buf_str(b));
    buf_release(b);
    return s;
}

static void put_create(struct json_out *j, const struct prov_op *op,
                       const struct openai_wire *w)
{
    const struct prov_upload *u = &op->upload;

    json_put_str(j, "filename", u->filename);
    json_put_str(j, "purpose", w->purpose.n ? w->purpose : u->purpose);
    json_put_int(j, "bytes", u->stream_len);
    json_put_str(j, "mime_type", u->content_type);
    if (w->expiry == OPENAI_EXPIRY_NONE || u->expires_after_s <= 0)
        return;
    json_open(j, "expires_after", '{');
    json_put_cstr(j, "anchor", "created_at");
    json_put_int(j, "seconds", u->expires_after_s);
    json_close(j);
}

static void put_complete(struct json_out *j, const struct prov_op *op)
{
    size_t i;

    json_open(j, "part_ids", '[');
    for (i = 0; i < op->nparts; i++)
        json_put_str(j, NULL, op->part_ids[i]);
    json_close(j);
    if (op->md5.n)
        json_put_str(j, "md5", op->md5);
}

static struct str body(struct prov_op *op, const struct openai_wire *w)
{
    struct json_out j;
    struct buf b;

    buf_init(&b, BODY_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    if (op->code == PROV_UPLOAD_CREATE)
        put_create(&j, op, w);
    else
        put_complete(&j, op);
    json_close(&j);
    return taken(op->arena, &b);
}

/* The bytes as a form's only part. */
static void add_part(struct prov_op *op, struct prov_exchange *x)
{
    const struct prov_upload *u = &op->upload;
    struct buf form;

    prov_field(op, x, "Content-Type", openai_form_type(op->arena, u->boundary));
    buf_init(&form, 4 * KIB);
    mime_open_file(&form, u->boundary, STR("data"), STR("part"),
                   STR("application/octet-stream"));
    http_req_add_mem(&x->http, taken(op->arena, &form));
    http_req_add_stream(&x->http, u->stream_len);
    if (u->tail_in_stream)
        return;
    buf_init(&form, 4 * KIB);
    mime_close(&form, u->boundary);
    http_req_add_mem(&x->http, taken(op->arena, &form));
}

void openai_uploads_describe(struct prov_op *op, const struct openai_wire *w,
                             struct str query, struct prov_exchange *x)
{
    static const char *const below[PROV_OPCODES] = {
        [PROV_UPLOAD_PART] = "/parts",
        [PROV_UPLOAD_COMPLETE] = "/complete",
        [PROV_UPLOAD_CANCEL] = "/cancel",
    };

    if (op->code == PROV_UPLOAD_CREATE)
        prov_http(op, x, "POST", "/uploads%.*s", STR_ARG(query));
    else
        prov_http(op, x, "POST", "/uploads/%.*s%s%.*s",
                  STR_ARG(url_encoded(op->arena, op->upstream_id)),
                  below[op->code], STR_ARG(query));
    prov_field(op, x, "Accept", STR("application/json"));
    if (op->code == PROV_UPLOAD_PART) {
        add_part(op, x);
        return;
    }
    if (op->code == PROV_UPLOAD_CANCEL) {
        http_req_add_mem(&x->http, STR(""));
        return;
    }
    prov_field(op, x, "Content-Type", STR("application/json"));
    x->http.is_once = true; /* sent twice, there would be two */
    http_req_add_mem(&x->http, body(op, w));
}

/* So all ids of an upload's parts fit in a body, whatever must be escaped. */
static bool is_id(struct str s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < ' ')
            return false;
    return s.n > 0 && s.n <= LIMIT_UPSTREAM_ID_BYTES;
}

enum gw_err openai_uploads_read(struct prov_op *op, const struct json *v,
                                struct gw_error *e)
{
    struct str block = json_str(json_get(v, "azure_block_id"));

    if (op->code == PROV_UPLOAD_COMPLETE) {
        if (prov_read_file(op, json_get(v, "file"), &op->file, e) != GW_OK)
            return prov_nonsense(op, "the file of an upload", e);
        return GW_OK;
    }
    /* Azure's samples complete an upload with these. */
    op->made_id = op->code == PROV_UPLOAD_PART && block.n
                      ? block
                      : json_str(json_get(v, "id"));
    if (is_id(op->made_id))
        return GW_OK;
    return prov_nonsense(op, "an id", e);
}

/* The text with "[part]" wherever the id stands; one that is very short may be
 * anything else, and tells nothing. */
static struct str without(struct arena *a, struct str text, struct str id)
{
    struct str head = STR("");
    const char *at;

    while (id.n >= ID_MIN && (at = memmem(text.p, text.n, id.p, id.n))) {
        size_t n = (size_t)(at - text.p);

        head = arena_printf(a, "%.*s%.*s[part]", STR_ARG(head), (int)n, text.p);
        text = str_make(at + id.n, text.n - n - id.n);
    }
    return head.n ? arena_printf(a, "%.*s%.*s", STR_ARG(head), STR_ARG(text))
                  : text;
}

enum gw_err openai_uploads_refused(struct prov_op *op, struct gw_error *e)
{
    struct gw_error said = *e;
    struct str message = str_of(said.message);
    size_t i;

    for (i = 0; i < op->nparts; i++)
        message = without(op->arena, message, op->part_ids[i]);
    err_clear(e);
    err_set_param(
        e, said.err == GW_FILE_NOT_FOUND ? GW_UPLOAD_NOT_FOUND : said.err,
        said.param, "%.*s", STR_ARG(message));
    memcpy(e->code, said.code, sizeof(e->code));
    if (said.err == GW_FILE_NOT_FOUND)
        e->code[0] = '\0';
    e->retry_after_s = said.retry_after_s;
    return e->err;
}
