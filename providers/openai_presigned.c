#include "providers/openai_presigned.h"

#include "gateway/base/bug.h"
#include "providers/prov_util.h"
#include "providers/signed_url.h"

/* A file name with every byte escaped, and what is around it. */
#define ASK_BYTES (8 * KIB)

static bool is_2xx(const struct http_res *res)
{
    return res->status >= 200 && res->status < 300;
}

static struct str ask_body(const struct prov_op *op)
{
    struct str name = op->upload.filename;
    struct json_out j;
    struct buf b;
    struct str body;

    buf_init(&b, ASK_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_put_str(&j, "file_name", name.n ? name : STR("upload"));
    json_close(&j);
    ASSERT(!b.overflow);
    body = arena_dup(op->arena, buf_str(&b));
    buf_release(&b);
    return body;
}

void openai_presigned_ask(struct prov_op *op, const struct openai_wire *w,
                          struct prov_exchange *x)
{
    prov_http(op, x, "POST", "%s%s%.*s",
              w->upload_to ? w->upload_to : w->collection,
              w->query.n ? "?" : "", STR_ARG(w->query));
    prov_field(op, x, "Accept", STR("application/json"));
    prov_field(op, x, "Content-Type", STR("application/json"));
    http_req_add_mem(&x->http, ask_body(op));
}

enum gw_err openai_presigned_read(struct prov_op *op,
                                  const struct http_res *res,
                                  struct openai_presigned *out,
                                  struct gw_error *e)
{
    const struct json *v;
    struct str id, url;

    if (!is_2xx(res))
        return prov_http_error(op, res, e);
    v = prov_json(op, res, e);
    if (!v)
        return e->err;
    id = json_str(json_get(v, "file_id"));
    url = signed_url_take(op, json_str(json_get(v, "upload_url")));
    if (!id.n || id.n > LIMIT_UPSTREAM_ID_BYTES || !url.p)
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "provider '%s' sent no place to upload to",
                       op->conf->name);
    out->id = arena_dup(op->arena, id);
    out->put_to = url;
    return GW_OK;
}

void openai_presigned_put(struct prov_op *op, const struct openai_presigned *p,
                          struct prov_exchange *x)
{
    signed_url_put(x, p->put_to);
    prov_field(op, x, "Content-Type", STR("application/octet-stream"));
    http_req_add_stream(&x->http, op->upload.stream_len);
}

enum gw_err openai_presigned_done(struct prov_op *op,
                                  const struct http_res *res,
                                  const struct openai_presigned *p,
                                  struct gw_error *e)
{
    if (!is_2xx(res))
        return signed_url_error(op, res, e);
    op->file =
        (struct file_obj){.id = p->id, .bytes = -1, .status = FILE_PROCESSED};
    return GW_OK;
}
