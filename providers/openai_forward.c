#include "providers/openai_forward.h"

#include "providers/prov_util.h"

/* "?" and both, or "". */
static struct str query_of(struct prov_op *op, struct str common)
{
    struct str own = op->forward.query;
    const char *and = own.n && common.n ? "&" : "";

    if (!own.n && !common.n)
        return STR("");
    return arena_printf(op->arena, "?%.*s%s%.*s", STR_ARG(own), and,
                        STR_ARG(common));
}

static void add_body(const struct prov_forward *f, struct http_req *req)
{
    bool has_body = f->method[0] == 'P'; /* POST, PUT, PATCH */

    if (f->has_stream)
        http_req_add_stream(req, f->stream_len);
    else if (f->body.p || has_body)
        http_req_add_mem(req, f->body.p ? f->body : STR(""));
}

void openai_forward_describe(struct prov_op *op, const char *dir,
                             struct str query, struct prov_exchange *x)
{
    const struct prov_forward *f = &op->forward;

    prov_http(op, x, f->method, "%s/%.*s%.*s", dir, STR_ARG(f->path),
              STR_ARG(query_of(op, query)));
    prov_field(op, x, "Accept", f->accept.n ? f->accept : STR("*/*"));
    /* Answers are looked into, and events must not wait in a coder. */
    prov_field(op, x, "Accept-Encoding", STR("identity"));
    if (f->content_type.n)
        prov_field(op, x, "Content-Type", f->content_type);
    if (f->beta.n)
        prov_field(op, x, "OpenAI-Beta", f->beta);
    add_body(f, &x->http);
    x->http.is_once = f->is_once;
    x->http.is_sink = x->http.sinks_any = true;
}

enum gw_err openai_forward_read(struct prov_op *op, const struct http_res *res,
                                struct gw_error *e)
{
    struct str type = http_fields_get(&res->fields, STR("content-type"));

    if (res->status < 200 || res->status > 299)
        return prov_http_error(op, res, e);
    op->content_type = arena_dup(op->arena, type.p ? type : STR(""));
    return GW_OK;
}
