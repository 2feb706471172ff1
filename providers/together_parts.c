#include "gateway/base/bug.h"
#include "providers/prov_util.h"
#include "providers/signed_url.h"
#include "providers/together.h"

/* A file that is too large for one PUT. How many parts it has is said at the
 * beginning, and a URL comes back for each. A part is read into memory, and put
 * from there; again, when its connection broke. At the end the parts are told
 * by the ETags that the storage gave them.
 */

/* The storage takes no smaller parts than 5 MiB, but for the last. */
#define PART_MIN_BYTES ((int64_t)8 * MIB)
/* As many as its SDK makes: the answer to initiate has a URL for each. */
#define PARTS_USUAL 250
#define TRIES_MAX 3
#define TRY_AGAIN_MS 1000
#define FORM_BYTES (64 * KIB)

/* --- requests --- */

bool together_is_in_parts(const struct prov_op *op)
{
    return together_conf(op->conf)->upload == PRESIGNED &&
           op->upload.stream_len > together_conf(op->conf)->multipart_above;
}

/* Beyond what may be held in memory, there are more parts than usual. */
static int64_t part_size(const struct prov_op *op)
{
    int64_t even = (op->upload.stream_len + PARTS_USUAL - 1) / PARTS_USUAL;

    return MIN(MAX(even, PART_MIN_BYTES), (int64_t)LIMIT_PIECE_BYTES);
}

static int64_t count_parts(const struct prov_op *op)
{
    return (op->upload.stream_len + part_size(op) - 1) / part_size(op);
}

static void add_taken(struct prov_op *op, struct http_req *req, struct buf *b)
{
    ASSERT(!b->overflow);
    http_req_add_mem(req, arena_dup(op->arena, buf_str(b)));
    buf_release(b);
}

static void add_json(struct prov_op *op, struct prov_exchange *x,
                     struct buf *body)
{
    together_add_key(op, x);
    prov_field(op, x, "Content-Type", STR("application/json"));
    add_taken(op, &x->http, body);
}

void together_describe_initiate(struct prov_op *op, struct prov_exchange *x)
{
    struct json_out j;
    struct buf body;

    buf_init(&body, FORM_BYTES);
    json_out_init(&j, &body);
    json_open(&j, NULL, '{');
    together_put_fields(op, &j);
    json_put_int(&j, "file_size", op->upload.stream_len);
    json_put_int(&j, "num_parts", count_parts(op));
    json_close(&j);
    prov_http(op, x, "POST", "/files/multipart/initiate");
    add_json(op, x, &body);
}

/* Who sends the request writes these. */
static bool is_framing(struct str name)
{
    return str_eq_nocase(name, STR("host")) ||
           str_eq_nocase(name, STR("content-length"));
}

/* The part's own fields were checked when they came. */
static void describe_part(struct prov_op *op, struct prov_exchange *x)
{
    struct together_state *state = op->state;
    const struct together_part *part = &state->parts[state->part];
    const struct json *v;
    struct str name;
    void *at = NULL;

    signed_url_put(x, part->url);
    while ((v = json_next(part->fields, &at, &name)))
        if (!is_framing(name))
            http_fields_add(&x->http.fields, op->arena, name, json_str(v));
    http_req_add_mem(&x->http, op->piece);
}

static void put_upload(struct json_out *j, const struct together_state *state)
{
    json_open(j, NULL, '{');
    json_put_str(j, "upload_id", state->upload_id);
    json_put_str(j, "file_id", state->file_id);
}

void together_describe_complete(struct prov_op *op, struct prov_exchange *x)
{
    const struct together_state *state = op->state;
    struct json_out j;
    struct buf body;
    size_t i;

    buf_init(&body, LIMIT_UPSTREAM_REPLY_BYTES);
    json_out_init(&j, &body);
    put_upload(&j, state);
    json_open(&j, "parts", '[');
    for (i = 0; i < state->nparts; i++) {
        json_open(&j, NULL, '{');
        json_put_int(&j, "part_number", (int64_t)i + 1);
        json_put_str(&j, "etag", state->parts[i].etag);
        json_close(&j);
    }
    json_close(&j);
    json_close(&j);
    prov_http(op, x, "POST", "/files/multipart/complete");
    add_json(op, x, &body);
}

void together_describe_abort(struct prov_op *op, struct prov_exchange *x)
{
    struct json_out j;
    struct buf body;

    buf_init(&body, FORM_BYTES);
    json_out_init(&j, &body);
    put_upload(&j, op->state);
    json_close(&j);
    prov_http(op, x, "POST", "/files/multipart/abort");
    add_json(op, x, &body);
}

/* The piece first, then its request; the latter again after a pause when it
 * broke. */
enum prov_step together_next_part(struct prov_op *op, struct prov_exchange *x)
{
    struct together_state *state = op->state;

    if (!state->has_piece) {
        state->has_piece = true;
        x->want = (size_t)part_size(op);
        return PROV_READ;
    }
    if (state->tries && !state->has_waited) {
        state->has_waited = true;
        x->wait_ms = TRY_AGAIN_MS << (state->tries - 1);
        return PROV_WAIT;
    }
    describe_part(op, x);
    return PROV_SEND_HTTP;
}

bool together_broken(struct prov_op *op, const struct gw_error *e)
{
    struct together_state *state = op->state;

    (void)e;
    if (state->step != AT_PART || ++state->tries >= TRIES_MAX)
        return false;
    state->has_waited = false;
    return true;
}

/* --- answers --- */

static bool is_2xx(const struct http_res *res)
{
    return res->status >= 200 && res->status < 300;
}

static bool is_id(struct str id)
{
    return id.n && id.n <= LIMIT_UPSTREAM_ID_BYTES;
}

static bool are_fields(const struct json *v)
{
    struct str name;
    void *at = NULL;
    const struct json *value;

    if (!json_is_null(v) && !json_is_object(v))
        return false;
    while ((value = json_next(v, &at, &name)))
        if (!json_is_string(value) || !prov_is_field_name(name) ||
            !prov_is_field_value(json_str(value)))
            return false;
    return true;
}

static bool take_part(struct prov_op *op, const struct json *v)
{
    struct together_state *state = op->state;
    const struct json *fields = json_get(v, "Headers");
    int64_t number;
    struct together_part *part;

    if (!json_int(json_get(v, "PartNumber"), &number) || number < 1 ||
        number > (int64_t)state->nparts || !are_fields(fields))
        return false;
    part = &state->parts[number - 1];
    part->fields = fields;
    part->url = signed_url_take(op, json_str(json_get(v, "URL")));
    return part->url.p;
}

static bool has_all_parts(const struct together_state *state)
{
    size_t i;

    for (i = 0; i < state->nparts; i++)
        if (!state->parts[i].url.p)
            return false;
    return true;
}

enum gw_err together_read_initiate(struct prov_op *op,
                                   const struct http_res *res,
                                   struct gw_error *e)
{
    struct together_state *state = op->state;
    const struct json *v = prov_json(op, res, e), *parts;
    size_t i;

    if (!v)
        return e->err;
    state->file_id = json_str(json_get(v, "file_id"));
    state->upload_id = json_str(json_get(v, "upload_id"));
    if (!is_id(state->file_id) || !state->upload_id.n ||
        state->upload_id.n > LIMIT_UPSTREAM_ID_BYTES * 4) {
        state->file_id = STR("");
        return prov_nonsense(op, "an upload's ids", e);
    }
    state->step = AT_PART;
    parts = json_get(v, "parts");
    state->nparts = (size_t)count_parts(op);
    state->parts =
        arena_alloc(op->arena, state->nparts * sizeof(*state->parts));
    for (i = 0; i < json_count(parts); i++)
        if (!take_part(op, json_at(parts, i)))
            return prov_nonsense(op, "usable parts", e);
    return has_all_parts(state) ? GW_OK : prov_nonsense(op, "all parts", e);
}

static struct str without_quotes(struct str s)
{
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        return str_make(s.p + 1, s.n - 2);
    return s;
}

enum gw_err together_read_part(struct prov_op *op, const struct http_res *res,
                               struct gw_error *e)
{
    struct together_state *state = op->state;
    struct str etag = http_fields_get(&res->fields, STR("etag"));

    state->step = AT_PART;
    if (!is_2xx(res))
        return signed_url_error(op, res, e);
    etag = without_quotes(etag);
    if (!etag.n)
        return prov_nonsense(op, "a part's ETag", e);
    state->parts[state->part++].etag = arena_dup(op->arena, etag);
    state->has_piece = false;
    state->tries = 0;
    if (state->part == state->nparts)
        state->step = AT_COMPLETE;
    return GW_OK;
}
