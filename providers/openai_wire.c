#include "providers/openai.h"

#include "gateway/base/bug.h"
#include "gateway/codec/mime.h"
#include "gateway/codec/url.h"
#include "providers/openai_batch.h"
#include "providers/openai_uploads.h"
#include "providers/prov_util.h"

/* One request and one response per operation. An upload is a form:
 *
 *     scalar fields | head of the file's part | the stream | end of the form
 *     \____________ memory ________________/               \__ memory ____/
 *
 * with the end left out when the stream brings the client's own, fields after
 * the file among it. Files are named by percent-encoded ids, for LiteLLM's
 * hold slashes.
 */

/* Above it a page might pass LIMIT_UPSTREAM_REPLY_BYTES. */
#define PAGE_FILES 1000
/* The scalar fields and a file name, all escaped, are well below it. */
#define FORM_BYTES (512 * KIB)
/* What a refusal that came as a 200 stands for. */
#define REFUSED_STATUS 400

/* --- requests --- */

/* "?" and the query for this exchange, or "". `own` comes first. */
static struct str query_of(struct prov_op *op, const struct openai_wire *w,
                           struct str own)
{
    struct str parts[3] = {own, w->query, STR("")}, all = STR("");
    size_t i;

    if (w->provider.n && op->code != PROV_CREATE)
        parts[2] = arena_printf(op->arena, "custom_llm_provider=%.*s",
                                STR_ARG(url_encoded(op->arena, w->provider)));
    for (i = 0; i < COUNTOF(parts); i++)
        if (parts[i].n)
            all = arena_printf(op->arena, "%.*s%c%.*s", STR_ARG(all),
                               all.n ? '&' : '?', STR_ARG(parts[i]));
    return all;
}

static void describe_collection(struct prov_op *op, const struct openai_wire *w,
                                const char *method, struct str query,
                                struct prov_exchange *x)
{
    bool is_elsewhere = op->code == PROV_CREATE && w->upload_to;

    prov_http(op, x, method, "%s%.*s",
              is_elsewhere ? w->upload_to : w->collection,
              STR_ARG(query_of(op, w, query)));
    prov_field(op, x, "Accept", STR("application/json"));
}

static void describe_file(struct prov_op *op, const struct openai_wire *w,
                          const char *method, const char *below,
                          struct prov_exchange *x)
{
    struct str dir = str_of(w->collection);

    while (dir.n && dir.p[dir.n - 1] == '/')
        dir.n--;
    prov_http(op, x, method, "%.*s/%.*s%s%.*s", STR_ARG(dir),
              STR_ARG(url_encoded(op->arena, op->upstream_id)), below,
              STR_ARG(query_of(op, w, STR(""))));
}

static void add_expiry(struct buf *form, struct prov_op *op,
                       enum openai_expiry how)
{
    bool has_dots = how == OPENAI_EXPIRY_DOTS;
    struct str seconds =
        arena_printf(op->arena, "%lld", (long long)op->upload.expires_after_s);

    mime_add_field(
        form, op->upload.boundary,
        str_of(has_dots ? "expires_after.anchor" : "expires_after[anchor]"),
        STR("created_at"));
    mime_add_field(
        form, op->upload.boundary,
        str_of(has_dots ? "expires_after.seconds" : "expires_after[seconds]"),
        seconds);
}

static void add_scalars(struct buf *form, struct prov_op *op,
                        const struct openai_wire *w)
{
    const struct prov_upload *u = &op->upload;
    size_t i;

    if (u->purpose.n)
        mime_add_field(form, u->boundary, STR("purpose"),
                       w->purpose.n ? w->purpose : u->purpose);
    if (w->expiry != OPENAI_EXPIRY_NONE && u->expires_after_s > 0)
        add_expiry(form, op, w->expiry);
    if (w->provider.n)
        mime_add_field(form, u->boundary, STR("custom_llm_provider"),
                       w->provider);
    for (i = 0; w->form && i < w->form->n; i++)
        mime_add_field(form, u->boundary, str_of(w->form->v[i].key),
                       str_of(w->form->v[i].value));
}

static struct str taken(struct arena *a, struct buf *b)
{
    struct str s;

    ASSERT(!b->overflow);
    s = arena_dup(a, buf_str(b));
    buf_release(b);
    return s;
}

static void add_body(struct prov_op *op, const struct openai_wire *w,
                     struct http_req *req)
{
    const struct prov_upload *u = &op->upload;
    struct buf form;

    buf_init(&form, FORM_BYTES);
    if (w->add_fields)
        w->add_fields(op, &form);
    else if (!w->takes_only_file)
        add_scalars(&form, op, w);
    mime_open_file(&form, u->boundary, STR("file"),
                   u->filename.n ? u->filename : STR("upload"),
                   u->content_type);
    http_req_add_mem(req, taken(op->arena, &form));
    http_req_add_stream(req, u->stream_len);
    if (u->tail_in_stream)
        return;
    buf_init(&form, FORM_BYTES);
    mime_close(&form, u->boundary);
    http_req_add_mem(req, taken(op->arena, &form));
}

struct str openai_form_type(struct arena *a, struct str boundary)
{
    const char *quote = prov_is_field_name(boundary) ? "" : "\"";

    return arena_printf(a, "multipart/form-data; boundary=%s%.*s%s", quote,
                        STR_ARG(boundary), quote);
}

static void describe_create(struct prov_op *op, const struct openai_wire *w,
                            struct prov_exchange *x)
{
    describe_collection(op, w, "POST", STR(""), x);
    prov_field(op, x, "Content-Type",
               openai_form_type(op->arena, op->upload.boundary));
    add_body(op, w, &x->http);
}

static void add_param(struct prov_op *op, struct str *query, const char *name,
                      struct str value)
{
    *query = arena_printf(op->arena, "%.*s%s%s=%.*s", STR_ARG(*query),
                          query->n ? "&" : "", name,
                          STR_ARG(url_encoded(op->arena, value)));
}

static void describe_list(struct prov_op *op, const struct openai_wire *w,
                          struct prov_exchange *x)
{
    long long page = w->page ? (long long)w->page : PAGE_FILES;
    const char *after = w->after ? w->after : w->token;
    struct str query = STR("");

    if (w->list_purpose.n)
        add_param(op, &query, "purpose", w->list_purpose);
    if (w->has_pages)
        add_param(op, &query, "limit", arena_printf(op->arena, "%lld", page));
    if (w->has_pages && op->list_cursor.n)
        add_param(op, &query, after ? after : "after", op->list_cursor);
    describe_collection(op, w, "GET", query, x);
}

void openai_describe(struct prov_op *op, const struct openai_wire *w,
                     struct prov_exchange *x)
{
    switch (op->code) {
    case PROV_CREATE:
        describe_create(op, w, x);
        return;
    case PROV_LIST:
        describe_list(op, w, x);
        return;
    case PROV_CONTENT:
        describe_file(op, w, "GET", "/content", x);
        prov_download(op, x);
        return;
    case PROV_GET:
    case PROV_DELETE:
        describe_file(op, w, op->code == PROV_GET ? "GET" : "DELETE", "", x);
        prov_field(op, x, "Accept", STR("application/json"));
        return;
    case PROV_BATCH_CREATE:
    case PROV_BATCH_GET:
    case PROV_BATCH_CANCEL:
        openai_batch_describe(op, query_of(op, w, STR("")),
                              w->expiry != OPENAI_EXPIRY_NONE, x);
        return;
    case PROV_UPLOAD_CREATE:
    case PROV_UPLOAD_PART:
    case PROV_UPLOAD_COMPLETE:
    case PROV_UPLOAD_CANCEL:
        openai_uploads_describe(op, w, query_of(op, w, STR("")), x);
        return;
    default:
        BUG("no such operation: %d", (int)op->code);
    }
}

/* --- responses --- */

static bool is_2xx(const struct http_res *res)
{
    return res->status >= 200 && res->status < 300;
}

/* Who wraps his answers may wrap a refusal, too, in a 200. */
static enum gw_err refused(const struct prov_op *op, const struct http_res *res,
                           struct gw_error *e)
{
    struct http_res meant = *res;

    meant.status = REFUSED_STATUS;
    return prov_http_error(op, &meant, e);
}

/* The answer without its envelope; NULL and *e. */
static const struct json *answer(struct prov_op *op,
                                 const struct openai_wire *w,
                                 const struct http_res *res, struct gw_error *e)
{
    const struct json *v = prov_json(op, res, e), *inner;

    if (!v || w->envelope.n == 0)
        return v;
    inner = json_get(v, arena_cstr(op->arena, w->envelope));
    if (json_is_object(inner) || json_is_array(inner))
        return inner;
    if (json_get(v, "message"))
        refused(op, res, e);
    else
        err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                "provider '%s' sent an answer without '%.*s'", op->conf->name,
                STR_ARG(w->envelope));
    return NULL;
}

static enum gw_err read_file(struct prov_op *op, const struct openai_wire *w,
                             const struct http_res *res, struct gw_error *e)
{
    const struct json *v = answer(op, w, res, e);

    return v ? prov_read_file(op, v, &op->file, e) : e->err;
}

static enum gw_err read_batch(struct prov_op *op, const struct openai_wire *w,
                              const struct http_res *res, struct gw_error *e)
{
    const struct json *v = answer(op, w, res, e);

    return v ? openai_batch_read(op, v, e) : e->err;
}

/* {"data": […]}, {"files": […]}, {"items": […]} or the array itself. */
static const struct json *find_list(const struct json *v)
{
    static const char *const names[] = {"data", "files", "items"};
    size_t i;

    for (i = 0; i < COUNTOF(names) && !json_is_array(v); i++)
        if (json_is_array(json_get(v, names[i])))
            return json_get(v, names[i]);
    return json_is_array(v) ? v : NULL;
}

/* Elements that are no files are passed over. */
static void read_elements(struct prov_op *op, const struct json *list)
{
    size_t i, n = json_count(list);

    op->list = arena_alloc(op->arena, n * sizeof(*op->list));
    for (i = 0; i < n; i++) {
        struct gw_error ignored = {0};

        if (!prov_read_file(op, json_at(list, i), &op->list[op->nlist],
                            &ignored))
            op->nlist++;
    }
}

static bool holds_cursor(const struct prov_op *op)
{
    size_t i;

    for (i = 0; op->list_cursor.n && i < op->nlist; i++)
        if (str_eq(op->list[i].id, op->list_cursor))
            return true;
    return false;
}

/* A token that does not change would lead to the same page for ever. */
static struct str next_token(const struct prov_op *op, const struct json *v,
                             const char *token)
{
    struct str next = json_str(json_get(v, token));

    return str_eq(next, op->list_cursor) ? STR("") : next;
}

static enum gw_err read_upload(struct prov_op *op, const struct openai_wire *w,
                               const struct http_res *res, struct gw_error *e)
{
    const struct json *v;

    if (!is_2xx(res)) {
        prov_http_error(op, res, e);
        return openai_uploads_refused(op, e);
    }
    /* Of a cancellation the status alone matters. */
    if (op->code == PROV_UPLOAD_CANCEL)
        return GW_OK;
    v = answer(op, w, res, e);
    return v ? openai_uploads_read(op, v, e) : e->err;
}

/* The cursor is the last element's id, or told. A server that ignores it sends
 * the same page for ever: one that holds the cursor itself is therefore
 * dropped, and ends the list. */
static enum gw_err read_list(struct prov_op *op, const struct openai_wire *w,
                             const struct http_res *res, struct gw_error *e)
{
    const struct json *v = answer(op, w, res, e), *list;

    if (!v)
        return e->err;
    list = find_list(v);
    if (!list)
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "provider '%s' sent an answer without a list",
                       op->conf->name);
    read_elements(op, list);
    op->next_cursor = STR("");
    if (holds_cursor(op))
        op->nlist = 0;
    else if (w->token)
        op->next_cursor = next_token(op, v, w->token);
    else if (w->has_pages && op->nlist &&
             json_bool(json_get(v, "has_more"), false))
        op->next_cursor = op->list[op->nlist - 1].id;
    return GW_OK;
}

static enum gw_err read_content(struct prov_op *op, const struct http_res *res,
                                struct gw_error *e)
{
    struct str type = http_fields_get(&res->fields, STR("content-type"));

    if (res->status != 200 && res->status != 206)
        return prov_http_error(op, res, e);
    op->content_type = arena_dup(op->arena, type.p ? type : STR(""));
    return GW_OK;
}

enum gw_err openai_read(struct prov_op *op, const struct openai_wire *w,
                        const struct http_res *res, struct gw_error *e)
{
    if (op->code == PROV_CONTENT)
        return read_content(op, res, e);
    if ((1u << op->code) & PROV_CAN_UPLOADS)
        return read_upload(op, w, res, e);
    if (!is_2xx(res))
        return prov_http_error(op, res, e);
    /* Of a deletion's answer the status alone can be trusted: bodies are
     * empty, name another id, or hold the whole file. */
    if (op->code == PROV_DELETE)
        return GW_OK;
    if (op->code == PROV_LIST)
        return read_list(op, w, res, e);
    if ((1u << op->code) & PROV_CAN_BATCH)
        return read_batch(op, w, res, e);
    return read_file(op, w, res, e);
}

/* --- purposes --- */

struct str openai_their_purpose(const struct conf_pair *map, size_t n,
                                struct str purpose)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (str_eq_c(purpose, map[i].key))
            return str_of(map[i].value);
    return STR_NULL;
}

bool openai_is_their_purpose(const struct conf_pair *map, size_t n,
                             struct str purpose)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (str_eq_c(purpose, map[i].value))
            return true;
    return false;
}
