#include "providers/openai_batch.h"

#include "gateway/codec/url.h"
#include "providers/prov_said.h"
#include "providers/prov_util.h"

/* A number may be longer than it was written. */
#define BODY_BYTES ((size_t)LIMIT_JSON_TEXT_BYTES * 8)

/* What a client may tell; the file is named by its provider's id. */
static const char *const passed[] = {"endpoint", "completion_window",
                                     "metadata", "output_expires_after",
                                     "override_settings"};

static struct str create_body(struct prov_op *op, bool can_expire)
{
    struct json_out j;
    struct buf b;
    struct str text;
    size_t i;

    buf_init(&b, BODY_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_put_str(&j, "input_file_id", op->upstream_id);
    for (i = 0; i < COUNTOF(passed); i++) {
        const struct json *v = json_get(op->batch_request, passed[i]);

        if (!json_is_null(v) &&
            (can_expire || strcmp(passed[i], "output_expires_after") != 0))
            json_put(&j, passed[i], v);
    }
    json_close(&j);
    text = arena_dup(op->arena, buf_str(&b));
    buf_release(&b);
    return text;
}

static void describe_create(struct prov_op *op, struct str query,
                            bool can_expire, struct prov_exchange *x)
{
    prov_http(op, x, "POST", "/batches%.*s", STR_ARG(query));
    prov_field(op, x, "Accept", STR("application/json"));
    prov_field(op, x, "Content-Type", STR("application/json"));
    x->http.is_once = true; /* sent twice, it would run twice */
    http_req_add_mem(&x->http, create_body(op, can_expire));
}

void openai_batch_describe(struct prov_op *op, struct str query,
                           bool can_expire, struct prov_exchange *x)
{
    bool cancels = op->code == PROV_BATCH_CANCEL;

    if (op->code == PROV_BATCH_CREATE) {
        describe_create(op, query, can_expire, x);
        return;
    }
    prov_http(op, x, cancels ? "POST" : "GET", "/batches/%.*s%s%.*s",
              STR_ARG(url_encoded(op->arena, op->upstream_id)),
              cancels ? "/cancel" : "", STR_ARG(query));
    prov_field(op, x, "Accept", STR("application/json"));
    if (cancels)
        http_req_add_mem(&x->http, STR(""));
}

/* Of the ids that an answer names, the input's may not look like one. */
struct naming {
    struct prov_op *op;
    struct str input_file_id;
};

static struct str clean(void *arg, struct str text)
{
    const struct naming *n = arg;
    struct prov_op *op = n->op;

    if (n->input_file_id.n)
        text = prov_said_clean(op->arena, text, n->input_file_id, STR("[id]"));
    return prov_said_clean(op->arena, text, op->upstream_id, op->shown_id);
}

enum gw_err openai_batch_read(struct prov_op *op, const struct json *v,
                              struct gw_error *e)
{
    struct naming n = {op, json_str(json_get(v, "input_file_id"))};

    if (batch_obj_read(op->arena, v, clean, &n, &op->batch, e) != GW_OK)
        return prov_nonsense(op, "a batch", e);
    return GW_OK;
}

enum gw_err openai_batch_read_as(struct prov_op *op, const struct json *job,
                                 void (*put)(struct json_out *j,
                                             const struct json *job),
                                 struct gw_error *e)
{
    struct gw_error ignored = {0};
    struct json *v = NULL;
    struct json_out j;
    struct buf b;

    buf_init(&b, LIMIT_UPSTREAM_REPLY_BYTES);
    json_out_init(&j, &b);
    put(&j, job);
    if (!b.overflow)
        v = json_parse(op->arena, buf_str(&b), &ignored);
    buf_release(&b);
    return v ? openai_batch_read(op, v, e) : prov_nonsense(op, "a batch", e);
}
