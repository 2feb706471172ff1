#include "gateway/base/bug.h"
#include "gateway/codec/mime.h"
#include "gateway/codec/url.h"
#include "providers/gcs.h"

/* How a file gets into Cloud Storage.
 *
 *   length known    one multipart/related request, JSON and the stream: it
 *                   takes the metadata along (uploadType=media does not), is
 *                   one round trip where a session is two, and an upload that
 *                   breaks off leaves nothing behind
 *   not known       the first chunk is read into memory
 *     and all       the same request, from memory
 *     more comes    a session; one PUT for each chunk. The total is told with
 *                   the last one
 *
 * What is sent from memory is sent again after a failure that may pass. A
 * session is asked first how far it has got, and goes on from there, if that is
 * within the chunk; whatever is stored anew starts the counting of failures
 * afresh. The session's URL is permission enough: credentials stay here.
 */

#define HEAD_BYTES (64 * KIB)
#define FILENAME_MAX_BYTES 1024
#define PURPOSE_MAX_BYTES 64
#define WAIT_FIRST_MS 200
#define WAIT_MAX_MS 8000
/* The storage may ask for more patience than that, up to this; beyond, the
 * client is told. */
#define WAIT_ASKED_MAX_S 30

static bool is_whole(const struct prov_op *op)
{
    const struct gcs_state *s = op->state;

    return op->upload.stream_len >= 0 || (op->is_last_piece && !s->session.n);
}

/* Where in the file the piece ends: its size, if it is the last one. */
static int64_t piece_end(const struct prov_op *op)
{
    const struct gcs_state *s = op->state;

    return s->start + (int64_t)op->piece.n;
}

/* --- requests --- */

static void put_metadata(struct prov_op *op, struct buf *out)
{
    const struct prov_upload *u = &op->upload;
    struct str filename = u->filename.n ? u->filename : STR("upload");
    struct json_out j;

    json_out_init(&j, out);
    json_open(&j, NULL, '{');
    json_put_str(&j, "name", gcs_new_name(op));
    json_put_str(&j, "contentType", prov_media_type(u));
    json_open(&j, "metadata", '{');
    json_put_str(&j, "filename", prov_cut(filename, FILENAME_MAX_BYTES));
    if (u->purpose.n) /* else it follows in the stream */
        json_put_str(&j, "purpose", prov_cut(u->purpose, PURPOSE_MAX_BYTES));
    json_close(&j);
    json_close(&j);
}

static void add_taken(struct prov_op *op, struct http_req *req, struct buf *b)
{
    ASSERT(!b->overflow);
    http_req_add_mem(req, arena_dup(op->arena, buf_str(b)));
    buf_release(b);
}

static void describe_post(struct prov_op *op, const char *type,
                          struct prov_exchange *x)
{
    struct str bucket = url_encoded(op->arena, str_of(gcs_own(op)->bucket));

    prov_http(op, x, "POST", "/upload/storage/v1/b/%.*s/o?uploadType=%s",
              STR_ARG(bucket), type);
    prov_field(op, x, "Accept", STR("application/json"));
    gcs_authorise(op, x);
}

static void describe_whole(struct prov_op *op, struct prov_exchange *x)
{
    const struct prov_upload *u = &op->upload;
    struct buf b;

    describe_post(op, "multipart", x);
    prov_field(op, x, "Content-Type",
               arena_printf(op->arena, "multipart/related; boundary=%.*s",
                            STR_ARG(u->boundary)));
    buf_init(&b, HEAD_BYTES);
    buf_printf(&b,
               "--%.*s\r\nContent-Type: application/json; charset=UTF-8\r\n"
               "\r\n",
               STR_ARG(u->boundary));
    put_metadata(op, &b);
    buf_printf(&b, "\r\n--%.*s\r\nContent-Type: %.*s\r\n\r\n",
               STR_ARG(u->boundary), STR_ARG(prov_media_type(u)));
    add_taken(op, &x->http, &b);
    if (u->stream_len >= 0)
        http_req_add_stream(&x->http, u->stream_len);
    else
        http_req_add_mem(&x->http, op->piece);
    buf_init(&b, HEAD_BYTES);
    mime_close(&b, u->boundary);
    add_taken(op, &x->http, &b);
}

static void describe_start(struct prov_op *op, struct prov_exchange *x)
{
    struct buf b;

    describe_post(op, "resumable", x);
    prov_field(op, x, "Content-Type", STR("application/json; charset=UTF-8"));
    prov_field(op, x, "X-Upload-Content-Type",
               arena_dup(op->arena, prov_media_type(&op->upload)));
    buf_init(&b, HEAD_BYTES);
    put_metadata(op, &b);
    add_taken(op, &x->http, &b);
}

static void describe_session(struct prov_op *op, const char *method,
                             struct prov_exchange *x)
{
    const struct gcs_state *s = op->state;

    prov_http(op, x, method, "/");
    x->http.url = arena_dup(op->arena, s->session);
    prov_field(op, x, "Accept", STR("application/json"));
}

/* What of the piece is not stored yet. Nothing, when the stream ended with a
 * full chunk, or when all of it arrived without the word that it is all. */
static void describe_chunk(struct prov_op *op, struct prov_exchange *x)
{
    const struct gcs_state *s = op->state;
    size_t skipped = (size_t)(s->stored - s->start);
    struct str rest = str_make(op->piece.p + skipped, op->piece.n - skipped);
    struct str total = STR("*"), range = STR("*");

    if (op->is_last_piece)
        total = arena_printf(op->arena, "%lld", (long long)piece_end(op));
    if (rest.n)
        range = arena_printf(op->arena, "%lld-%lld", (long long)s->stored,
                             (long long)piece_end(op) - 1);
    describe_session(op, "PUT", x);
    prov_field(op, x, "Content-Range",
               arena_printf(op->arena, "bytes %.*s/%.*s", STR_ARG(range),
                            STR_ARG(total)));
    http_req_add_mem(&x->http, rest);
}

static void describe_ask(struct prov_op *op, struct prov_exchange *x)
{
    describe_session(op, "PUT", x);
    prov_field(op, x, "Content-Range", STR("bytes */*"));
    http_req_add_mem(&x->http, STR(""));
}

static enum gcs_request request_of(const struct prov_op *op)
{
    const struct gcs_state *s = op->state;

    if (is_whole(op))
        return GCS_WHOLE;
    if (!s->session.n)
        return GCS_START;
    return s->must_ask ? GCS_ASK : GCS_CHUNK;
}

static void describe(struct prov_op *op, struct prov_exchange *x)
{
    struct gcs_state *s = op->state;

    s->request = request_of(op);
    switch (s->request) {
    case GCS_WHOLE:
        s->may_be_complete = true;
        describe_whole(op, x);
        return;
    case GCS_START:
        describe_start(op, x);
        return;
    case GCS_CHUNK:
        s->may_be_complete = op->is_last_piece;
        describe_chunk(op, x);
        return;
    case GCS_ASK:
        describe_ask(op, x);
        return;
    }
}

enum prov_step gcs_next_create(struct prov_op *op, struct prov_exchange *x)
{
    struct gcs_state *s = op->state;

    if (s->must_renew) {
        s->must_renew = false;
        return PROV_RENEW;
    }
    if (s->wait_ms) {
        x->wait_ms = s->wait_ms;
        s->wait_ms = 0;
        return PROV_WAIT;
    }
    if (op->upload.stream_len < 0 && !s->has_piece) {
        x->want = (size_t)gcs_own(op)->chunk_bytes;
        s->has_piece = true;
        return PROV_READ;
    }
    describe(op, x);
    return PROV_SEND_HTTP;
}

/* --- failures that may pass --- */

static bool may_pass(int status)
{
    return status == 408 || status == 429 || (status >= 500 && status < 600);
}

/* What went up from memory can go up again, some times and after a while. */
static bool try_again(struct prov_op *op, int asked_s)
{
    struct gcs_state *s = op->state;
    int64_t wait_ms = WAIT_FIRST_MS;
    int i;

    if (op->upload.stream_len >= 0 || asked_s > WAIT_ASKED_MAX_S ||
        s->failures >= gcs_own(op)->upload_retries)
        return false;
    for (i = 0; i < s->failures && wait_ms < WAIT_MAX_MS; i++)
        wait_ms *= 2;
    s->failures++;
    s->wait_ms = MAX(MIN(wait_ms, WAIT_MAX_MS), (int64_t)asked_s * 1000);
    s->must_ask = s->session.n > 0;
    return true;
}

bool gcs_broken(struct prov_op *op, const struct gw_error *e)
{
    (void)e;
    return op->code == PROV_CREATE && try_again(op, 0);
}

/* --- answers --- */

static enum gw_err failed(const struct prov_op *op, const char *why,
                          struct gw_error *e)
{
    return err_set(e, GW_UPSTREAM_FAILED, "provider '%s' %s", op->conf->name,
                   why);
}

/* Where the chunks go: never to another host than the operator's. */
static enum gw_err read_session(struct prov_op *op, const struct http_res *res,
                                struct gw_error *e)
{
    struct gcs_state *s = op->state;
    struct str base = str_of(op->conf->base_url);
    struct str url = http_fields_get(&res->fields, STR("location"));

    url = url.n ? url_resolve(op->arena, base, url) : STR_NULL;
    if (!url.n || !str_eq_nocase(url_origin(url), url_origin(base)))
        return prov_nonsense(op, "a usable URL for the upload", e);
    s->session = url;
    s->failures = 0;
    return GW_OK;
}

/* "bytes=0-M", or nothing as long as nothing is stored: how much is. */
static bool read_stored(const struct http_res *res, int64_t *stored)
{
    static const struct str unit = {"bytes=0-", 8};
    struct str range = http_fields_get(&res->fields, STR("range"));

    *stored = 0;
    if (!range.p)
        return true;
    range = str_trim(range);
    if (!str_starts(range, unit) ||
        !str_to_i64(str_make(range.p + unit.n, range.n - unit.n), stored) ||
        *stored < 0)
        return false;
    ++*stored;
    return true;
}

/* The session has more than before, or a try is used up. */
static enum gw_err count_progress(struct prov_op *op, int64_t stored,
                                  struct gw_error *e)
{
    struct gcs_state *s = op->state;
    bool has_more = stored > s->stored;

    s->stored = stored;
    s->must_ask = false;
    if (has_more) {
        s->failures = 0;
        return GW_OK;
    }
    if (s->request == GCS_ASK)
        return GW_OK; /* the failure that made us ask was counted */
    if (!try_again(op, 0))
        return failed(op, "stores nothing more of the upload", e);
    s->must_ask = false;
    return GW_OK;
}

static enum gw_err read_incomplete(struct prov_op *op,
                                   const struct http_res *res,
                                   struct gw_error *e)
{
    struct gcs_state *s = op->state;
    int64_t stored;

    s->may_be_complete = false;
    if (!read_stored(res, &stored) || stored > piece_end(op))
        return prov_nonsense(op, "a usable range", e);
    if (stored < s->start)
        return failed(op, "lost a part of the upload", e);
    if (count_progress(op, stored, e) != GW_OK)
        return e->err;
    if (stored < piece_end(op) || op->is_last_piece)
        return GW_OK;
    s->start = stored;
    s->has_piece = false;
    return GW_OK;
}

/* What was stored under another name, or is not as long as what was sent, is
 * not the file. */
static enum gw_err read_complete(struct prov_op *op, const struct http_res *res,
                                 struct gw_error *e)
{
    struct gcs_state *s = op->state;
    int64_t size =
        op->upload.stream_len >= 0 ? op->upload.stream_len : piece_end(op);
    const struct json *v;

    s->may_be_complete = true;
    if (s->session.n && !op->is_last_piece)
        return prov_nonsense(op, "the rest of the upload", e);
    v = prov_json(op, res, e);
    if (!v)
        return e->err;
    if (!gcs_read_object(op, v, &op->file) ||
        !str_eq(json_str(json_get(v, "name")), gcs_new_name(op)))
        return prov_nonsense(op, "the object", e);
    if (op->file.bytes >= 0 && op->file.bytes != size)
        return failed(op, "stored another number of bytes than it was sent", e);
    s->is_over = true;
    return GW_OK;
}

/* A token may end, or be revoked, while the first chunk is read. */
static bool may_renew(const struct prov_op *op)
{
    const struct gcs_state *s = op->state;

    return op->upload.stream_len < 0 && !s->session.n && !s->has_renewed &&
           google_auth_is_temporary(&gcs_own(op)->auth);
}

/* Does the refusal say that there is no object? An earlier try, of which that
 * was never known, may have made one; a session has been asked about it. */
static bool is_certain(const struct gcs_state *s, int status)
{
    return status >= 400 && status < 500 && status != 408 &&
           (s->request == GCS_CHUNK || s->failures == 0);
}

static enum gw_err read_refusal(struct prov_op *op, const struct http_res *res,
                                struct gw_error *e)
{
    struct gcs_state *s = op->state;
    int asked_s = prov_retry_after(op->arena, &res->fields, op->now_s);

    if (may_pass(res->status) && try_again(op, asked_s))
        return GW_OK;
    if (is_certain(s, res->status))
        s->may_be_complete = false;
    if (res->status == 401 && may_renew(op)) {
        s->must_renew = s->has_renewed = true;
        return GW_OK;
    }
    if (s->session.n && (res->status == 404 || res->status == 410))
        return failed(op, "has dropped the upload that was under way", e);
    return gcs_error(op, res, e);
}

enum gw_err gcs_read_create(struct prov_op *op, const struct http_res *res,
                            struct gw_error *e)
{
    struct gcs_state *s = op->state;

    if (res->status == 308 && s->session.n)
        return read_incomplete(op, res, e);
    if (res->status < 200 || res->status >= 300)
        return read_refusal(op, res, e);
    if (s->request == GCS_START)
        return read_session(op, res, e);
    return read_complete(op, res, e);
}

/* --- taking it back --- */

/* Once all was sent, the session may be an object by now. One that is not will
 * end by itself within a week. */
bool gcs_undo(struct prov_op *op, struct prov_exchange *x)
{
    const struct gcs_state *s = op->state;

    if (s->may_be_complete) {
        gcs_describe_delete(op, gcs_new_name(op), x);
        return true;
    }
    if (!s->session.n)
        return false;
    describe_session(op, "DELETE", x);
    http_req_add_mem(&x->http, STR(""));
    return true;
}
