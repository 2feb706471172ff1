#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "gateway/codec/xml.h"
#include "providers/s3.h"
#include "providers/sigv4.h"

/* S3 takes no body of unknown length. So of such a stream a piece is read:
 *
 *   BEGIN ─read─> PIECE ─┬─ all of it ────────────> PUT ───────────> END
 *     │                  └─ INITIATE ─> PART ─read─> PART … ─> COMPLETE ─> END
 *     └─ the length is known, one PUT may be so long ─> STREAM ────> END
 *
 * What is sent from memory is sent again, a few times, when it failed on the
 * way or was refused for the moment. Twice that needs a question first: an
 * INITIATE that was not answered may have begun an upload (RECOVER finds its
 * id, so that it does not stay behind), a COMPLETE may have been carried out
 * (CONFIRM looks at the object).
 */

#define TRIES_MAX 4
#define FIRST_WAIT_MS 500
#define WAIT_MAX_S 5 /* told to wait for longer, the client is told so */
#define PUT_MAX (5LL * 1024 * MIB)
#define ID_MAX KIB
#define ETAG_MAX 128
#define COMPLETE_MAX (4 * MIB)

/* --- sizes --- */

static bool is_stream(const struct prov_op *op)
{
    return op->upload.stream_len > 0 && op->upload.stream_len <= PUT_MAX;
}

/* As configured, but so large that a known length is not too many parts. */
static int64_t part_size(const struct prov_op *op)
{
    int64_t len = op->upload.stream_len;
    int64_t least = len < 0 ? 0 : (len + S3_PARTS_MAX - 1) / S3_PARTS_MAX;

    return MIN(MAX(s3_own(op)->part_size, least), (int64_t)LIMIT_PIECE_BYTES);
}

static enum gw_err too_large(const struct prov_op *op, struct gw_error *e)
{
    return err_set(e, GW_FILE_TOO_LARGE,
                   "the file is too large for provider '%s': it would be more "
                   "than %d parts of %lld bytes; see its key 'part_size'",
                   op->conf->name, S3_PARTS_MAX, (long long)part_size(op));
}

/* --- requests --- */

static bool is_in_the_clear(const struct prov_op *op)
{
    return str_starts(str_of(op->conf->base_url), STR("http:"));
}

static void hash_piece(struct prov_op *op, struct s3_upload *u)
{
    char *hex = arena_alloc(op->arena, CRYPTO_SHA256_HEX + 1);

    crypto_sha256_hex(op->piece, hex);
    u->hash = str_make(hex, CRYPTO_SHA256_HEX);
}

static void describe_put(struct prov_op *op, struct s3_upload *u,
                         struct prov_exchange *x)
{
    s3_request(op, x, "PUT", s3_object_of(op), STR(""));
    s3_add_upload_fields(op, x);
    http_req_add_mem(&x->http, op->piece);
    s3_sign(op, x, u->hash);
    u->may_be_made = true;
}

static void describe_stream(struct prov_op *op, struct s3_upload *u,
                            struct prov_exchange *x)
{
    s3_request(op, x, "PUT", s3_object_of(op), STR(""));
    s3_add_upload_fields(op, x);
    http_req_add_stream(&x->http, op->upload.stream_len);
    s3_sign(op, x, SIGV4_UNSIGNED);
    u->may_be_made = true;
}

static void describe_initiate(struct prov_op *op, struct prov_exchange *x)
{
    s3_request(op, x, "POST", s3_object_of(op), STR("uploads="));
    s3_add_upload_fields(op, x);
    s3_sign(op, x, SIGV4_EMPTY);
    /* Twice, it would begin two uploads, one of them for nobody. */
    x->http.is_once = true;
}

/* TLS guards a part as well as its hash would, which costs a lot. */
static void describe_part(struct prov_op *op, struct s3_upload *u,
                          struct prov_exchange *x)
{
    struct str query =
        arena_printf(op->arena, "partNumber=%d&uploadId=%.*s", u->nparts + 1,
                     STR_ARG(url_encoded(op->arena, u->id)));

    s3_request(op, x, "PUT", s3_object_of(op), query);
    http_req_add_mem(&x->http, op->piece);
    s3_sign(op, x, u->hash.n ? u->hash : SIGV4_UNSIGNED);
}

static struct str id_query(struct prov_op *op, struct str id)
{
    return arena_printf(op->arena, "uploadId=%.*s",
                        STR_ARG(url_encoded(op->arena, id)));
}

static void describe_complete(struct prov_op *op, struct s3_upload *u,
                              struct prov_exchange *x)
{
    char *hash = arena_alloc(op->arena, CRYPTO_SHA256_HEX + 1);
    const struct s3_part *part;
    struct str text;
    struct buf b;
    int n = 0;

    buf_init(&b, COMPLETE_MAX);
    buf_add_c(&b, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/"
                  "doc/2006-03-01/\">");
    for (part = u->parts; part; part = part->next)
        buf_printf(&b,
                   "<Part><PartNumber>%d</PartNumber><ETag>%.*s</ETag></Part>",
                   ++n, STR_ARG(part->etag));
    buf_add_c(&b, "</CompleteMultipartUpload>");
    ASSERT(!b.overflow);
    text = arena_dup(op->arena, buf_str(&b));
    buf_release(&b);
    s3_request(op, x, "POST", s3_object_of(op), id_query(op, u->id));
    prov_field(op, x, "Content-Type", STR("application/xml"));
    http_req_add_mem(&x->http, text);
    crypto_sha256_hex(text, hash);
    s3_sign(op, x, str_make(hash, CRYPTO_SHA256_HEX));
    u->may_be_made = true;
}

void s3_describe_abort(struct prov_op *op, struct prov_exchange *x,
                       struct str id)
{
    s3_request(op, x, "DELETE", s3_object_of(op), id_query(op, id));
    s3_sign(op, x, SIGV4_EMPTY);
}

void s3_describe_unfinished(struct prov_op *op, struct prov_exchange *x)
{
    struct s3_object o = s3_object_of(op), bucket = {o.bucket, STR("")};
    struct str query = arena_printf(
        op->arena, "max-uploads=%d&prefix=%.*s&uploads=", S3_UNFINISHED_MAX,
        STR_ARG(url_encoded(op->arena, o.key)));

    s3_request(op, x, "GET", bucket, query);
    s3_sign(op, x, SIGV4_EMPTY);
}

static enum prov_step describe(struct prov_op *op, struct s3_upload *u,
                               struct prov_exchange *x)
{
    switch (u->step) {
    case S3_PUT:
        describe_put(op, u, x);
        break;
    case S3_STREAM:
        describe_stream(op, u, x);
        break;
    case S3_INITIATE:
        describe_initiate(op, x);
        break;
    case S3_RECOVER:
        s3_describe_unfinished(op, x);
        break;
    case S3_PART:
        describe_part(op, u, x);
        break;
    case S3_COMPLETE:
        describe_complete(op, u, x);
        break;
    case S3_CONFIRM:
        s3_request(op, x, "HEAD", s3_object_of(op), STR(""));
        s3_sign(op, x, SIGV4_EMPTY);
        break;
    case S3_BEGIN:
    case S3_PIECE:
    case S3_END:
        BUG("nothing to describe in step %d", (int)u->step);
    }
    return PROV_SEND_HTTP;
}

/* --- steps --- */

static void go_to(struct s3_upload *u, enum s3_upload_step step)
{
    u->step = step;
    u->tries = 0;
    u->renewal = S3_POSSIBLE;
}

static enum prov_step read_piece(struct prov_op *op, struct s3_upload *u,
                                 struct prov_exchange *x)
{
    go_to(u, S3_PIECE);
    x->want = (size_t)part_size(op);
    return PROV_READ;
}

static void use_piece(struct prov_op *op, struct s3_upload *u)
{
    bool is_first = !u->nparts;

    if (is_first && op->is_last_piece)
        go_to(u, S3_PUT);
    else if (is_first)
        go_to(u, S3_INITIATE);
    else
        go_to(u, op->piece.n ? S3_PART : S3_COMPLETE);
    u->hash = STR("");
    if (u->step == S3_PUT || is_in_the_clear(op))
        hash_piece(op, u);
}

enum prov_step s3_upload_next(struct prov_op *op, struct s3_upload *u,
                              struct prov_exchange *x)
{
    if (u->renewal == S3_WANTED) {
        u->renewal = S3_DONE;
        return PROV_RENEW;
    }
    if (u->wait_ms) {
        x->wait_ms = u->wait_ms;
        u->wait_ms = 0;
        return PROV_WAIT;
    }
    if (u->step == S3_END)
        return PROV_DONE;
    if (u->step == S3_BEGIN && !is_stream(op))
        return read_piece(op, u, x);
    if (u->step == S3_BEGIN)
        go_to(u, S3_STREAM);
    else if (u->step == S3_PIECE)
        use_piece(op, u);
    return describe(op, u, x);
}

/* --- once more --- */

static bool try_again(struct s3_upload *u)
{
    bool is_repeatable = u->step == S3_PUT || u->step == S3_INITIATE ||
                         u->step == S3_PART || u->step == S3_COMPLETE;

    if (!is_repeatable || u->tries + 1 >= TRIES_MAX)
        return false;
    u->wait_ms = FIRST_WAIT_MS << u->tries;
    u->tries++;
    return true;
}

bool s3_upload_broken(struct prov_op *op UNUSED, struct s3_upload *u,
                      const struct gw_error *e)
{
    if (u->step == S3_RECOVER) { /* then without an answer */
        u->step = S3_INITIATE;
        return try_again(u);
    }
    if (!try_again(u))
        return false;
    if (u->step == S3_INITIATE && e->err != GW_UPSTREAM_UNREACHABLE)
        u->step = S3_RECOVER;
    return true;
}

static bool is_worth_a_try(struct prov_op *op, struct s3_upload *u,
                           const struct http_res *res, struct str code)
{
    int wait_s = prov_retry_after(op->arena, &res->fields, op->now_s);

    if (!s3_is_transient(res->status, code) || wait_s > WAIT_MAX_S ||
        !try_again(u))
        return false;
    u->wait_ms = MAX(u->wait_ms, (int64_t)wait_s * 1000);
    return true;
}

/* --- answers --- */

static void made(struct prov_op *op, struct s3_upload *u)
{
    op->file = (struct file_obj){
        .id = s3_id(op->arena, s3_object_of(op)),
        .bytes = u->step == S3_STREAM ? op->upload.stream_len : u->sent,
        .created_at = op->now_s,
        .filename = op->upload.filename,
        .purpose = op->upload.purpose,
        .status = FILE_PROCESSED,
    };
    go_to(u, S3_END);
}

static enum gw_err read_initiate(struct prov_op *op, struct s3_upload *u,
                                 const struct http_res *res, struct gw_error *e)
{
    struct str root = s3_document(op, res, "InitiateMultipartUploadResult", e);
    struct str id;

    if (!root.p)
        return e->err;
    id = xml_child_text(op->arena, root, STR("UploadId"));
    if (!id.n || id.n > ID_MAX)
        return prov_nonsense(op, "an id of the upload", e);
    u->id = id;
    if (op->upload.stream_len > part_size(op) * S3_PARTS_MAX)
        return too_large(op, e);
    go_to(u, S3_PART);
    return GW_OK;
}

size_t s3_read_unfinished(struct prov_op *op, struct str document,
                          struct str ids[S3_UNFINISHED_MAX])
{
    struct str key = s3_object_of(op).key, name, inner;
    size_t n = 0;

    while (n < S3_UNFINISHED_MAX && xml_next(&document, &name, &inner)) {
        if (!str_eq(name, STR("Upload")) ||
            !str_eq(xml_child_text(op->arena, inner, STR("Key")), key))
            continue;
        ids[n] = xml_child_text(op->arena, inner, STR("UploadId"));
        n += ids[n].n && ids[n].n <= ID_MAX;
    }
    return n;
}

/* What cannot be asked is begun anew. */
static enum gw_err read_recover(struct prov_op *op, struct s3_upload *u,
                                const struct http_res *res)
{
    struct str ids[S3_UNFINISHED_MAX], root = STR_NULL;
    struct gw_error ignored = {0};

    if (res->status == 200)
        root = s3_document(op, res, "ListMultipartUploadsResult", &ignored);
    u->step = S3_INITIATE;
    if (root.p && s3_read_unfinished(op, root, ids)) {
        u->id = ids[0];
        go_to(u, S3_PART);
    }
    return GW_OK;
}

static void add_part(struct prov_op *op, struct s3_upload *u, struct str etag)
{
    struct s3_part *part = arena_new_of(op->arena, struct s3_part);

    part->etag = xml_escaped(op->arena, etag);
    if (!u->end)
        u->end = &u->parts;
    *u->end = part;
    u->end = &part->next;
    u->nparts++;
    u->sent += (int64_t)op->piece.n;
}

static enum gw_err read_part(struct prov_op *op, struct s3_upload *u,
                             const struct http_res *res, struct gw_error *e)
{
    struct str etag = http_fields_get(&res->fields, STR("etag"));

    if (!etag.n || etag.n > ETAG_MAX || !str_is_utf8(etag))
        return prov_nonsense(op, "an ETag of the part", e);
    add_part(op, u, etag);
    if (!op->is_last_piece && u->nparts == S3_PARTS_MAX)
        return too_large(op, e);
    go_to(u, op->is_last_piece ? S3_COMPLETE : S3_BEGIN);
    return GW_OK;
}

static enum gw_err read_complete(struct prov_op *op, struct s3_upload *u,
                                 const struct http_res *res, struct gw_error *e)
{
    struct str root = s3_document(op, res, "CompleteMultipartUploadResult", e);

    if (!root.p)
        return e->err;
    made(op, u);
    return GW_OK;
}

static enum gw_err read_confirm(struct prov_op *op, struct s3_upload *u,
                                const struct http_res *res, struct gw_error *e)
{
    if (res->status == 200 && s3_read_head(op, res).bytes == u->sent) {
        made(op, u);
        return GW_OK;
    }
    return err_set(e, GW_UPSTREAM_FAILED,
                   "provider '%s' has given up the upload meanwhile",
                   op->conf->name);
}

static enum gw_err read_answer(struct prov_op *op, struct s3_upload *u,
                               const struct http_res *res, struct gw_error *e)
{
    switch (u->step) {
    case S3_PUT:
        u->sent = (int64_t)op->piece.n;
        made(op, u);
        return GW_OK;
    case S3_STREAM:
        made(op, u);
        return GW_OK;
    case S3_INITIATE:
        return read_initiate(op, u, res, e);
    case S3_PART:
        return read_part(op, u, res, e);
    case S3_COMPLETE:
        return read_complete(op, u, res, e);
    case S3_RECOVER:
    case S3_CONFIRM:
    case S3_BEGIN:
    case S3_PIECE:
    case S3_END:
        break;
    }
    BUG("an answer in step %d", (int)u->step);
}

/* Refused for its keys: once more with others, before each step. A stream is
 * used up by then. */
static bool renews(struct prov_op *op, struct s3_upload *u)
{
    if (!aws_is_temporary(&s3_own(op)->aws) || u->step == S3_STREAM ||
        u->renewal != S3_POSSIBLE)
        return false;
    u->renewal = S3_WANTED;
    return true;
}

enum gw_err s3_upload_reply(struct prov_op *op, struct s3_upload *u,
                            const struct http_res *res, struct gw_error *e)
{
    struct str code;

    if (u->step == S3_RECOVER)
        return read_recover(op, u, res);
    if (u->step == S3_CONFIRM)
        return read_confirm(op, u, res, e);
    code = s3_said(op, res).code;
    if (res->status == 200 && !code.n)
        return read_answer(op, u, res, e);
    if (u->step == S3_COMPLETE && str_eq(code, STR("NoSuchUpload"))) {
        go_to(u, S3_CONFIRM);
        return GW_OK;
    }
    if (is_worth_a_try(op, u, res, code))
        return GW_OK;
    /* Refused as a whole, it left nothing. */
    u->may_be_made = u->may_be_made && u->tries;
    if (s3_error(op, res, e) == GW_UPSTREAM_AUTH && renews(op, u))
        err_clear(e);
    return e->err;
}

/* An upload in parts that was completed unheard is gone: giving it up does no
 * harm, and the object is left to the journal. */
bool s3_upload_undo(struct prov_op *op, struct s3_upload *u,
                    struct prov_exchange *x)
{
    if (u->step == S3_END)
        return false;
    if (u->id.n) {
        s3_describe_abort(op, x, u->id);
        return true;
    }
    if (!u->may_be_made)
        return false;
    s3_request(op, x, "DELETE", s3_object_of(op), STR(""));
    s3_sign(op, x, SIGV4_EMPTY);
    return true;
}
