#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "providers/gcs.h"
#include "providers/prov_said.h"

#include <stdio.h>

/* Batches of Vertex AI: batchPredictionJobs, which read an object of the bucket
 * and write another one.
 *
 *   create   one request; the job's own name is the batch's id
 *   get      the job; once it is over a list of its output's folder, for the
 *            object's name is not told and differs by the kind of model
 *   cancel   the request, whose answer is empty, and then as get
 *
 * The lines are Vertex's own. What a client tells that a job has no place for
 * stays with the batch (prov_batch.h); metadata is told as labels as far as
 * they may be labels.
 */

#define BODY_BYTES (64 * KIB)
#define PAGE_FILES 100
#define LABEL_MAX 63
#define MODEL_SYMBOLS "-._/@:"

/* --- the configuration --- */

enum gw_err vertex_check_batch(const struct provider_conf *c,
                               const struct json *request UNUSED,
                               struct str model, struct gw_error *e)
{
    const struct gcs_conf *o = c->own;

    return prov_batch_check(c, model, o->batch_model, MODEL_SYMBOLS, e);
}

static enum gw_err set_url(struct gcs_conf *o, struct gw_error *e)
{
    bool is_global = !strcmp(o->location, "global");
    int n;

    if (o->batch_url[0] && !url_origin(str_of(o->batch_url)).p)
        return err_set(e, GW_INVALID_VALUE,
                       "'batch_url' must be an http:// or https:// URL "
                       "without credentials");
    if (o->batch_url[0])
        return GW_OK;
    n = snprintf(o->batch_host, sizeof(o->batch_host),
                 "https://%s%saiplatform.googleapis.com",
                 is_global ? "" : o->location, is_global ? "" : "-");
    if (n < 0 || (size_t)n >= sizeof(o->batch_host))
        return err_set(e, GW_INVALID_VALUE, "'location' is too long");
    o->batch_url = o->batch_host;
    return GW_OK;
}

enum gw_err vertex_check(struct gcs_conf *o, struct gw_error *e)
{
    if (prov_batch_check_conf(o->batch_model, MODEL_SYMBOLS, o->batch_prefix,
                              e) != GW_OK)
        return e->err;
    return set_url(o, e);
}

/* --- requests --- */

static struct vertex_batch *own_state(struct prov_op *op)
{
    return &((struct gcs_state *)op->state)->batch;
}

static void describe_job(struct prov_op *op, const char *method,
                         struct str name, const char *verb,
                         struct prov_exchange *x)
{
    struct str path =
        arena_printf(op->arena, "/v1/%.*s%s", STR_ARG(name), verb);

    prov_http(op, x, method, "/");
    x->http.url = url_join(op->arena, str_of(gcs_own(op)->batch_url), path);
    prov_field(op, x, "Accept", STR("application/json"));
    gcs_authorise(op, x);
}

static struct str full_model(const struct prov_op *op)
{
    struct str model = prov_batch_model(op, gcs_own(op)->batch_model);

    if (str_find(model, '/') >= 0)
        return model;
    return arena_printf(op->arena, "publishers/google/models/%.*s",
                        STR_ARG(model));
}

static bool is_label(struct str s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            return false;
    return s.n <= LABEL_MAX && str_is_made_of(s, "-_");
}

static void put_labels(struct json_out *j, const struct prov_op *op)
{
    const struct json *metadata = json_get(op->batch_request, "metadata"), *v;
    struct str name;
    void *at = NULL;

    json_open(j, "labels", '{');
    while ((v = json_next(metadata, &at, &name)))
        if (name.n && name.p[0] >= 'a' && name.p[0] <= 'z' && is_label(name) &&
            is_label(json_str(v)))
            json_put_str(j, arena_cstr(op->arena, name), json_str(v));
    json_close(j);
}

static void put_output(struct json_out *j, const struct prov_op *op)
{
    const struct gcs_conf *o = gcs_own(op);

    json_open(j, "outputConfig", '{');
    json_put_cstr(j, "predictionsFormat", "jsonl");
    json_open(j, "gcsDestination", '{');
    json_put_str(j, "outputUriPrefix",
                 arena_printf(op->arena, GCS_ID_PREFIX "%s/%s%.*s/", o->bucket,
                              o->batch_prefix, STR_ARG(op->object_name)));
    json_close(j);
    json_close(j);
}

static void put_input(struct json_out *j, const struct prov_op *op)
{
    json_open(j, "inputConfig", '{');
    json_put_cstr(j, "instancesFormat", "jsonl");
    json_open(j, "gcsSource", '{');
    json_open(j, "uris", '[');
    json_put_str(j, NULL, gcs_uri(op, op->upstream_id));
    json_close(j);
    json_close(j);
    json_close(j);
}

static struct str create_body(struct prov_op *op)
{
    struct json_out j;
    struct buf b;
    struct str text;

    buf_init(&b, BODY_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_put_str(
        &j, "displayName",
        arena_printf(op->arena, "filemux-%.*s", STR_ARG(op->object_name)));
    json_put_str(&j, "model", full_model(op));
    put_input(&j, op);
    put_output(&j, op);
    put_labels(&j, op);
    json_close(&j);
    ASSERT(!b.overflow); /* all of it is bounded by vertex_check_batch() */
    text = arena_dup(op->arena, buf_str(&b));
    buf_release(&b);
    return text;
}

static void describe_create(struct prov_op *op, struct prov_exchange *x)
{
    const struct gcs_conf *o = gcs_own(op);
    struct str parent = arena_printf(op->arena, "projects/%s/locations/%s",
                                     o->project, o->location);

    describe_job(op, "POST", parent, "/batchPredictionJobs", x);
    prov_field(op, x, "Content-Type", STR("application/json; charset=UTF-8"));
    x->http.is_once = true; /* sent twice, it would run twice */
    http_req_add_mem(&x->http, create_body(op));
}

static void describe_output(struct prov_op *op, struct prov_exchange *x)
{
    const struct vertex_batch *s = own_state(op);

    prov_http(op, x, "GET", GCS_API "/b/%.*s/o?maxResults=%d&prefix=%.*s%%2F",
              STR_ARG(url_encoded(op->arena, s->bucket)), PAGE_FILES,
              STR_ARG(url_encoded(op->arena, s->folder)));
    prov_field(op, x, "Accept", STR("application/json"));
    gcs_authorise(op, x);
}

enum prov_step vertex_next_batch(struct prov_op *op, struct prov_exchange *x)
{
    const struct vertex_batch *s = own_state(op);

    if (s->step == VERTEX_END)
        return PROV_DONE;
    if (s->step == VERTEX_OUTPUT) {
        describe_output(op, x);
    } else if (s->step == VERTEX_LOOK || op->code == PROV_BATCH_GET) {
        describe_job(op, "GET", op->upstream_id, "", x);
    } else if (op->code == PROV_BATCH_CANCEL) {
        describe_job(op, "POST", op->upstream_id, ":cancel", x);
        http_req_add_mem(&x->http, STR(""));
    } else {
        describe_create(op, x);
    }
    return PROV_SEND_HTTP;
}

/* --- the job --- */

static const struct prov_batch_state states[] = {
    {"JOB_STATE_QUEUED", "validating"},
    {"JOB_STATE_PENDING", "validating"},
    {"JOB_STATE_RUNNING", "in_progress"},
    {"JOB_STATE_UPDATING", "in_progress"},
    {"JOB_STATE_PAUSED", "in_progress"},
    {"JOB_STATE_SUCCEEDED", "completed"},
    {"JOB_STATE_PARTIALLY_SUCCEEDED", "completed"},
    {"JOB_STATE_FAILED", "failed"},
    {"JOB_STATE_CANCELLING", "cancelling"},
    {"JOB_STATE_CANCELLED", "cancelled"},
    {"JOB_STATE_EXPIRED", "expired"},
};

/* projects/p/locations/l/batchPredictionJobs/n: it becomes a path. */
static bool is_job_name(struct str name)
{
    static const char *const names[] = {
        "projects", NULL, "locations", NULL, "batchPredictionJobs", NULL};
    struct str step, rest = name;
    size_t i;

    for (i = 0; i < COUNTOF(names); i++) {
        if (!rest.p)
            return false;
        str_cut(rest, '/', &step, &rest);
        if (!step.n || (names[i] && !str_eq_c(step, names[i])))
            return false;
    }
    return !rest.p && name.n <= LIMIT_UPSTREAM_ID_BYTES &&
           str_is_made_of(name, "-._:/");
}

static int64_t count_of(const struct json *stats, const char *name)
{
    int64_t n;

    return json_int(json_get(stats, name), &n) && n > 0 ? n : 0;
}

static void read_counts(const struct json *v, struct prov_batch *b)
{
    const struct json *stats = json_get(v, "completionStats");

    b->completed = count_of(stats, "successfulCount");
    b->failed = count_of(stats, "failedCount");
    b->total = b->completed + b->failed + count_of(stats, "incompleteCount");
}

/* google.rpc.Code, as a word. */
static struct str error_code(const struct json *v)
{
    static const char *const words[] = {
        NULL,
        "cancelled",
        "unknown",
        "invalid_argument",
        "deadline_exceeded",
        "not_found",
        "already_exists",
        "permission_denied",
        "resource_exhausted",
        "failed_precondition",
        "aborted",
        "out_of_range",
        "unimplemented",
        "internal",
        "unavailable",
        "data_loss",
        "unauthenticated",
    };
    int64_t n;

    if (!json_int(json_get(v, "code"), &n) || n < 1 ||
        n >= (int64_t)COUNTOF(words))
        return STR("");
    return str_of(words[n]);
}

static struct str text_of(const struct json *v)
{
    struct str s = json_str(v);

    return s.p ? s : STR("");
}

static void read_folder(const struct json *v, struct vertex_batch *s)
{
    const struct json *info = json_get(v, "outputInfo");
    struct str at = text_of(json_get(info, "gcsOutputDirectory"));
    struct str scheme = STR(GCS_ID_PREFIX);

    if (!str_starts(at, scheme) ||
        !str_cut(str_make(at.p + scheme.n, at.n - scheme.n), '/', &s->bucket,
                 &s->folder))
        s->folder = STR("");
    while (str_ends(s->folder, STR("/")))
        s->folder.n--;
}

static bool read_job(struct prov_op *op, const struct json *v)
{
    const struct json *error = json_get(v, "error");
    const struct json *source =
        json_get(json_get(v, "inputConfig"), "gcsSource");
    struct vertex_batch *s = own_state(op);
    struct str state = text_of(json_get(v, "state"));
    int64_t updated = file_obj_time(json_get(v, "updateTime"));

    s->model = text_of(json_get(v, "model"));
    s->seen = (struct prov_batch){
        .id = text_of(json_get(v, "name")),
        .status = prov_batch_status(states, COUNTOF(states), state),
        .output_file_id = STR(""),
        .error_code = error_code(error),
        .error_message = text_of(json_get(error, "message")),
        .input = text_of(json_at(json_get(source, "uris"), 0)),
        .created_at = file_obj_time(json_get(v, "createTime")),
        .in_progress_at = file_obj_time(json_get(v, "startTime")),
        .ended_at = file_obj_time(json_get(v, "endTime")),
    };
    read_counts(v, &s->seen);
    read_folder(v, s);
    if (s->seen.status && !strcmp(s->seen.status, "cancelling"))
        s->seen.cancelling_at = updated;
    if (!s->seen.ended_at)
        s->seen.ended_at = updated;
    if (op->code != PROV_BATCH_CREATE)
        s->seen.id = op->upstream_id;
    else if (!s->seen.status) /* it runs, whatever that state is */
        s->seen.status = "validating";
    return s->seen.status && is_job_name(s->seen.id);
}

static enum gw_err tell(struct prov_op *op, struct gw_error *e)
{
    struct vertex_batch *s = own_state(op);

    s->step = VERTEX_END;
    return prov_batch_tell(op, &s->seen, e);
}

static enum gw_err read_answer(struct prov_op *op, const struct http_res *res,
                               struct gw_error *e)
{
    struct vertex_batch *s = own_state(op);
    const struct json *v = prov_json(op, res, e);

    if (!v)
        return e->err;
    if (!read_job(op, v))
        return prov_nonsense(op, "a job", e);
    if (!batch_obj_is_over(str_of(s->seen.status)) || !s->folder.n)
        return tell(op, e);
    s->step = VERTEX_OUTPUT;
    return GW_OK;
}

/* --- its output --- */

/* Embeddings go into shards, of which there is one. */
static const char *const output_names[] = {"/predictions.jsonl",
                                           "/000000000000.jsonl"};

static struct str find_output(struct prov_op *op, const struct json *items)
{
    size_t i, k, n = json_count(items);
    struct file_obj f;

    for (k = 0; k < COUNTOF(output_names); k++)
        for (i = 0; i < n; i++)
            if (gcs_read_object(op, json_at(items, i), &f) &&
                str_ends(f.id, str_of(output_names[k])))
                return f.id;
    return STR("");
}

/* Who may not list must guess: what is not there becomes no file. */
static struct str guess_output(struct prov_op *op)
{
    const struct vertex_batch *s = own_state(op);
    bool embeds = s->model.n && memmem(s->model.p, s->model.n, "embedding", 9);

    return arena_printf(op->arena, GCS_ID_PREFIX "%.*s/%.*s%s",
                        STR_ARG(s->bucket), STR_ARG(s->folder),
                        output_names[embeds]);
}

static enum gw_err read_output(struct prov_op *op, const struct http_res *res,
                               struct gw_error *e)
{
    struct vertex_batch *s = own_state(op);
    const struct json *v;

    if (res->status == 403 || res->status == 404) {
        s->seen.output_file_id = guess_output(op);
        return tell(op, e);
    }
    if (res->status != 200)
        return gcs_error(op, res, e);
    v = prov_json(op, res, e);
    if (!v)
        return e->err;
    s->seen.output_file_id = find_output(op, json_get(v, "items"));
    return tell(op, e);
}

/* --- answers --- */

static bool is_success(const struct http_res *res)
{
    return res->status >= 200 && res->status < 300;
}

/* It was cancelled, and cannot be looked at now. */
static enum gw_err tell_cancelled(struct prov_op *op, struct gw_error *e)
{
    struct vertex_batch *s = own_state(op);

    s->seen = (struct prov_batch){
        .id = op->upstream_id,
        .status = "cancelling",
        .cancelling_at = op->now_s,
    };
    return tell(op, e);
}

enum gw_err vertex_read_batch(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e)
{
    struct vertex_batch *s = own_state(op);

    if (s->step == VERTEX_OUTPUT)
        return read_output(op, res, e);
    if (s->step == VERTEX_LOOK && !is_success(res))
        return tell_cancelled(op, e);
    if (!is_success(res))
        return prov_http_error(op, res, e);
    if (s->step == VERTEX_ASK && op->code == PROV_BATCH_CANCEL) {
        s->step = VERTEX_LOOK;
        return GW_OK;
    }
    return read_answer(op, res, e);
}
