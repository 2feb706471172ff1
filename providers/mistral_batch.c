#include "providers/mistral_batch.h"

#include "gateway/codec/url.h"
#include "providers/openai_batch.h"
#include "providers/prov_util.h"

/* A job has one model, some input files and hours in which it must be done. Its
 * states and members have names of their own: the answer is written anew with
 * OpenAI's, and read as such. When it ended is told once, for whatever end.
 */

#define BODY_BYTES (2 * MIB)
#define HOURS_MAX 10000

static const struct {
    const char *theirs, *openais;
    const char *ended; /* the member for the time of such an end */
} states[] = {
    /* clang-format off */
    {"QUEUED",                 "validating",  NULL},
    {"RUNNING",                "in_progress", NULL},
    {"SUCCESS",                "completed",   "completed_at"},
    {"FAILED",                 "failed",      "failed_at"},
    {"TIMEOUT_EXCEEDED",       "expired",     "expired_at"},
    {"CANCELLATION_REQUESTED", "cancelling",  NULL},
    {"CANCELLED",              "cancelled",   "cancelled_at"},
    /* clang-format on */
};

/* --- requests --- */

/* "24h", "7d", "90m"; 0 when it is nothing like it. */
static int64_t hours_of(struct str window)
{
    static const char units[] = "mhd";
    static const int minutes[] = {1, 60, 24 * 60};
    const char *unit;
    int64_t n;

    if (!window.n || !(unit = memchr(units, window.p[window.n - 1], 3)) ||
        !str_to_i64(str_make(window.p, window.n - 1), &n) || n < 1 ||
        n > HOURS_MAX)
        return 0;
    return (n * minutes[unit - units] + 59) / 60;
}

static struct str create_body(struct prov_op *op)
{
    const struct json *r = op->batch_request;
    int64_t hours = hours_of(json_str(json_get(r, "completion_window")));
    struct json_out j;
    struct buf b;
    struct str text;

    buf_init(&b, BODY_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_open(&j, "input_files", '[');
    json_put_str(&j, NULL, op->upstream_id);
    json_close(&j);
    json_put_str(&j, "endpoint", json_str(json_get(r, "endpoint")));
    json_put_str(&j, "model", op->batch_model);
    if (hours)
        json_put_int(&j, "timeout_hours", hours);
    if (json_is_object(json_get(r, "metadata")))
        json_put(&j, "metadata", json_get(r, "metadata"));
    json_close(&j);
    text = arena_dup(op->arena, buf_str(&b));
    buf_release(&b);
    return text;
}

static void describe_create(struct prov_op *op, struct prov_exchange *x)
{
    prov_http(op, x, "POST", "/batch/jobs");
    prov_field(op, x, "Accept", STR("application/json"));
    prov_field(op, x, "Content-Type", STR("application/json"));
    x->http.is_once = true; /* sent twice, it would run twice */
    http_req_add_mem(&x->http, create_body(op));
}

void mistral_batch_describe(struct prov_op *op, struct prov_exchange *x)
{
    bool cancels = op->code == PROV_BATCH_CANCEL;

    if (op->code == PROV_BATCH_CREATE) {
        describe_create(op, x);
        return;
    }
    prov_http(op, x, cancels ? "POST" : "GET", "/batch/jobs/%.*s%s",
              STR_ARG(url_encoded(op->arena, op->upstream_id)),
              cancels ? "/cancel" : "");
    prov_field(op, x, "Accept", STR("application/json"));
    if (cancels)
        http_req_add_mem(&x->http, STR(""));
}

/* --- answers --- */

static void put(struct json_out *j, const char *name, const struct json *v,
                const char *theirs)
{
    json_put(j, name, json_get(v, theirs));
}

/* A state that is new is shown as it is called. */
static void put_state(struct json_out *j, const struct json *v)
{
    struct str state = json_str(json_get(v, "status"));
    size_t i = 0;

    while (i < COUNTOF(states) && !str_eq_c(state, states[i].theirs))
        i++;
    if (i == COUNTOF(states)) {
        json_put_str(j, "status", state);
        return;
    }
    json_put_cstr(j, "status", states[i].openais);
    if (states[i].ended)
        put(j, states[i].ended, v, "completed_at");
}

static void put_errors(struct json_out *j, const struct json *v)
{
    const struct json *errors = json_get(v, "errors");
    size_t i;

    if (!json_count(errors))
        return;
    json_open(j, "errors", '{');
    json_open(j, "data", '[');
    for (i = 0; i < json_count(errors); i++) {
        json_open(j, NULL, '{');
        put(j, "message", json_at(errors, i), "message");
        json_close(j);
    }
    json_close(j);
    json_close(j);
}

static void put_counts(struct json_out *j, const struct json *v)
{
    json_open(j, "request_counts", '{');
    put(j, "total", v, "total_requests");
    put(j, "completed", v, "succeeded_requests");
    put(j, "failed", v, "failed_requests");
    json_close(j);
}

static void put_job(struct json_out *j, const struct json *v)
{
    json_open(j, NULL, '{');
    put(j, "id", v, "id");
    json_put(j, "input_file_id", json_at(json_get(v, "input_files"), 0));
    put(j, "output_file_id", v, "output_file");
    put(j, "error_file_id", v, "error_file");
    put(j, "endpoint", v, "endpoint");
    put(j, "model", v, "model");
    put(j, "metadata", v, "metadata");
    put(j, "created_at", v, "created_at");
    put(j, "in_progress_at", v, "started_at");
    put_state(j, v);
    put_errors(j, v);
    put_counts(j, v);
    json_close(j);
}

enum gw_err mistral_batch_read(struct prov_op *op, const struct http_res *res,
                               struct gw_error *e)
{
    const struct json *v;

    if (res->status < 200 || res->status >= 300)
        return prov_http_error(op, res, e);
    v = prov_json(op, res, e);
    if (!v)
        return e->err;
    return openai_batch_read_as(op, v, put_job, e);
}
