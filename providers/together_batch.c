#include "gateway/codec/url.h"
#include "providers/openai_batch.h"
#include "providers/prov_util.h"
#include "providers/together.h"

/* Its batches are OpenAI's in other clothes: a new one comes wrapped in "job",
 * states are in capitals, times in RFC 3339, and when it ended is told once.
 * How far it came is a percentage, which OpenAI's object has no place for.
 */

#define BODY_BYTES (2 * MIB)

static const struct {
    const char *state, *ended;
} ends[] = {
    {"COMPLETED", "completed_at"},
    {"FAILED", "failed_at"},
    {"EXPIRED", "expired_at"},
    {"CANCELLED", "cancelled_at"},
};

/* --- requests --- */

static struct str create_body(struct prov_op *op)
{
    const struct json *r = op->batch_request;
    struct json_out j;
    struct buf b;
    struct str text;

    buf_init(&b, BODY_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_put_str(&j, "input_file_id", op->upstream_id);
    json_put(&j, "endpoint", json_get(r, "endpoint"));
    json_put(&j, "completion_window", json_get(r, "completion_window"));
    if (op->batch_model.n)
        json_put_str(&j, "model_id", op->batch_model);
    json_close(&j);
    text = arena_dup(op->arena, buf_str(&b));
    buf_release(&b);
    return text;
}

static void describe_create(struct prov_op *op, struct prov_exchange *x)
{
    prov_http(op, x, "POST", "/batches");
    prov_field(op, x, "Content-Type", STR("application/json"));
    together_add_key(op, x);
    x->http.is_once = true; /* sent twice, it would run twice */
    http_req_add_mem(&x->http, create_body(op));
}

void together_describe_batch(struct prov_op *op, struct prov_exchange *x)
{
    bool cancels = op->code == PROV_BATCH_CANCEL;

    if (op->code == PROV_BATCH_CREATE) {
        describe_create(op, x);
        return;
    }
    prov_http(op, x, cancels ? "POST" : "GET", "/batches/%.*s%s",
              STR_ARG(url_encoded(op->arena, op->upstream_id)),
              cancels ? "/cancel" : "");
    together_add_key(op, x);
    if (cancels)
        http_req_add_mem(&x->http, STR(""));
}

/* --- answers --- */

static void put_end(struct json_out *j, const struct json *v)
{
    struct str state = json_str(json_get(v, "status"));
    size_t i;

    for (i = 0; i < COUNTOF(ends); i++)
        if (str_eq_nocase(state, str_of(ends[i].state)))
            json_put(j, ends[i].ended, json_get(v, "completed_at"));
}

static void put_error(struct json_out *j, const struct json *v)
{
    struct str message = json_str(json_get(v, "error"));

    if (!message.n)
        return;
    json_open(j, "errors", '{');
    json_open(j, "data", '[');
    json_open(j, NULL, '{');
    json_put_str(j, "message", message);
    json_close(j);
    json_close(j);
    json_close(j);
}

static void put_job(struct json_out *j, const struct json *v)
{
    static const char *const same[] = {
        "id",       "input_file_id", "output_file_id", "error_file_id",
        "endpoint", "status",        "created_at"};
    size_t i;

    json_open(j, NULL, '{');
    for (i = 0; i < COUNTOF(same); i++)
        json_put(j, same[i], json_get(v, same[i]));
    json_put(j, "model", json_get(v, "model_id"));
    json_put(j, "expires_at", json_get(v, "job_deadline"));
    put_end(j, v);
    put_error(j, v);
    json_close(j);
}

enum gw_err together_read_batch(struct prov_op *op, const struct http_res *res,
                                struct gw_error *e)
{
    const struct json *v;

    if (res->status < 200 || res->status >= 300)
        return prov_http_error(op, res, e);
    v = prov_json(op, res, e);
    if (!v)
        return e->err;
    if (json_is_object(json_get(v, "job")))
        v = json_get(v, "job");
    return openai_batch_read_as(op, v, put_job, e);
}
