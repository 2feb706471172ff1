#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "providers/prov_said.h"
#include "providers/s3.h"
#include "providers/sigv4.h"

/* Batches of Bedrock: model invocation jobs, which read an object of the bucket
 * and write another one.
 *
 *   create   one request; its token is our id's, so that twice is once; the
 *            job's ARN is the batch's id, and all that is answered
 *   get      the job; once it is over the manifest beside its output, which
 *            has the counts
 *   cancel   the request, whose answer is empty, and then as get
 *
 * The lines are Bedrock's own. What a client tells that a job has no place for
 * stays with the batch (prov_batch.h).
 */

#define BODY_BYTES (64 * KIB)
#define HOUR_S 3600
#define HOURS_MIN 24
#define HOURS_MAX 168
#define ARN_MAX 2048
#define MODEL_SYMBOLS "-._/:"
#define JOBS "/model-invocation-job"
#define MANIFEST "manifest.json.out"

/* --- what is asked --- */

/* "24h" or "7d". False for anything else. */
static bool read_hours(struct str window, int64_t *out)
{
    int64_t unit = str_ends(window, STR("d")) ? 24 : 1;

    if (!str_ends(window, STR("h")) && !str_ends(window, STR("d")))
        return false;
    window.n--;
    if (!str_to_i64(window, out) || *out < 1 || *out > HOURS_MAX)
        return false;
    *out *= unit;
    return *out >= HOURS_MIN && *out <= HOURS_MAX;
}

static int64_t hours_of(const struct prov_op *op)
{
    const struct json *window =
        json_get(op->batch_request, "completion_window");
    int64_t hours;

    return read_hours(json_str(window), &hours) ? hours : HOURS_MIN;
}

enum gw_err bedrock_check_batch(const struct provider_conf *c,
                                const struct json *request, struct str model,
                                struct gw_error *e)
{
    const struct s3_conf *o = c->own;
    struct str window = json_str(json_get(request, "completion_window"));
    int64_t hours;

    if (prov_batch_check(c, model, o->batch_model, MODEL_SYMBOLS, e))
        return e->err;
    if (read_hours(window, &hours))
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "completion_window",
                         "'completion_window' must be %dh to %dh at provider "
                         "'%s'",
                         HOURS_MIN, HOURS_MAX, c->name);
}

/* --- the configuration --- */

static bool is_arn(struct str s)
{
    return s.n <= ARN_MAX && str_starts(s, STR("arn:")) &&
           str_is_made_of(s, "-._/:+=,@");
}

static enum gw_err set_url(struct s3_conf *o, struct gw_error *e)
{
    bool is_china = str_starts(o->region, STR("cn-"));

    if (o->batch_url[0] && !url_origin(str_of(o->batch_url)).p)
        return err_set(e, GW_INVALID_VALUE,
                       "'batch_url' must be an http:// or https:// URL "
                       "without credentials");
    if (o->batch_url[0])
        return GW_OK;
    snprintf(o->batch_host, sizeof(o->batch_host),
             "https://bedrock.%.*s.amazonaws.com%s", STR_ARG(o->region),
             is_china ? ".cn" : "");
    o->batch_url = o->batch_host;
    return GW_OK;
}

enum gw_err bedrock_check(struct s3_conf *o, struct gw_error *e)
{
    if (o->role_arn[0] && !is_arn(str_of(o->role_arn)))
        return err_set(e, GW_INVALID_VALUE,
                       "'role_arn' must be the ARN of a role");
    if (prov_batch_check_conf(o->batch_model, MODEL_SYMBOLS, o->batch_prefix,
                              e) != GW_OK)
        return e->err;
    return set_url(o, e);
}

/* --- requests --- */

static void put_place(struct json_out *j, const char *name, const char *inner,
                      struct str uri, bool is_input)
{
    json_open(j, name, '{');
    json_open(j, inner, '{');
    json_put_str(j, "s3Uri", uri);
    if (is_input)
        json_put_cstr(j, "s3InputFormat", "JSONL");
    json_close(j);
    json_close(j);
}

static struct str create_body(struct prov_op *op)
{
    const struct s3_conf *o = s3_own(op);
    struct str ulid = op->object_name;
    struct json_out j;
    struct buf b;
    struct str text;

    buf_init(&b, BODY_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_put_str(&j, "jobName",
                 arena_printf(op->arena, "filemux-%.*s", STR_ARG(ulid)));
    json_put_str(&j, "clientRequestToken", ulid);
    json_put_cstr(&j, "roleArn", o->role_arn);
    json_put_str(&j, "modelId", prov_batch_model(op, o->batch_model));
    put_place(&j, "inputDataConfig", "s3InputDataConfig",
              s3_id(op->arena, s3_object_of(op)), true);
    put_place(&j, "outputDataConfig", "s3OutputDataConfig",
              arena_printf(op->arena, S3_ID_PREFIX "%s/%s%.*s/", o->bucket,
                           o->batch_prefix, STR_ARG(ulid)),
              false);
    json_put_int(&j, "timeoutDurationInHours", hours_of(op));
    json_close(&j);
    ASSERT(!b.overflow); /* all of it is bounded by the checks */
    text = arena_dup(op->arena, buf_str(&b));
    buf_release(&b);
    return text;
}

static void start(struct prov_op *op, struct prov_exchange *x,
                  const char *method, struct str path)
{
    prov_http(op, x, method, "/");
    x->http.url = url_join(op->arena, str_of(s3_own(op)->batch_url), path);
    prov_field(op, x, "Accept", STR("application/json"));
}

static void describe_create(struct prov_op *op, struct prov_exchange *x)
{
    struct str body = create_body(op);
    char hash[CRYPTO_SHA256_HEX + 1];

    crypto_sha256_hex(body, hash);
    start(op, x, "POST", STR(JOBS));
    prov_field(op, x, "Content-Type", STR("application/json"));
    http_req_add_mem(&x->http, body);
    s3_sign_for(op, x, "bedrock", arena_dup(op->arena, str_of(hash)));
}

static void describe_job(struct prov_op *op, struct prov_exchange *x,
                         const char *method, const char *verb)
{
    struct str arn = url_encoded(op->arena, op->upstream_id);

    start(op, x, method,
          arena_printf(op->arena, JOBS "/%.*s%s", STR_ARG(arn), verb));
    if (verb[0])
        http_req_add_mem(&x->http, STR(""));
    s3_sign_for(op, x, "bedrock", SIGV4_EMPTY);
}

enum prov_step bedrock_next_batch(struct prov_op *op, struct bedrock_batch *s,
                                  struct prov_exchange *x)
{
    if (s->step == BEDROCK_END)
        return PROV_DONE;
    if (s->step == BEDROCK_MANIFEST) {
        s3_request(op, x, "GET", s->manifest, STR(""));
        prov_field(op, x, "Accept-Encoding", STR("identity"));
        s3_sign(op, x, SIGV4_EMPTY);
    } else if (s->step == BEDROCK_LOOK || op->code == PROV_BATCH_GET) {
        describe_job(op, x, "GET", "");
    } else if (op->code == PROV_BATCH_CANCEL) {
        describe_job(op, x, "POST", "/stop");
    } else {
        describe_create(op, x);
    }
    return PROV_SEND_HTTP;
}

/* It has the same token, so there is one job, whether the first came through or
 * not. */
bool bedrock_broken(struct bedrock_batch *s)
{
    bool is_first = !s->is_again;

    s->is_again = true;
    return is_first;
}

/* --- errors --- */

/* What the name of an error means, where its status does not tell. */
static const struct {
    const char *name;
    int status;
} meanings[] = {
    {"AccessDeniedException", 403},
    {"UnrecognizedClientException", 403},
    {"ExpiredTokenException", 403},
    {"InvalidSignatureException", 403},
    {"IncompleteSignatureException", 403},
    {"MissingAuthenticationTokenException", 403},
    {"ResourceNotFoundException", 404},
    {"ConflictException", 409},
    {"ThrottlingException", 429},
    {"TooManyRequestsException", 429},
};

/* The header's may have an URL behind it, the body's one in front. */
static struct str error_name(struct prov_op *op, const struct http_res *res)
{
    struct str name = http_fields_get(&res->fields, STR("x-amzn-errortype"));
    struct gw_error ignored = {0};
    struct str rest;

    if (name.p) {
        str_cut(name, ':', &name, &rest);
        return str_trim(name);
    }
    name = json_str(
        json_get(json_parse(op->arena, res->body, &ignored), "__type"));
    if (name.p && str_cut(name, '#', &rest, &name))
        return name;
    return name.p ? name : rest;
}

static enum gw_err fail(struct prov_op *op, const struct http_res *res,
                        struct gw_error *e)
{
    struct str name = error_name(op, res);
    struct http_res meant = *res;
    struct prov_op named = *op;
    size_t i;

    for (i = 0; i < COUNTOF(meanings); i++)
        if (str_eq_c(name, meanings[i].name))
            meant.status = meanings[i].status;
    if (op->code == PROV_BATCH_CREATE)
        named.upstream_id = s3_id(op->arena, s3_object_of(op));
    prov_http_error(&named, &meant, e);
    if (str_eq(name, STR("ServiceQuotaExceededException")))
        e->err = GW_UPSTREAM_QUOTA;
    return e->err;
}

/* --- the job --- */

static const struct prov_batch_state states[] = {
    {"Submitted", "validating"}, {"Validating", "validating"},
    {"Scheduled", "validating"}, {"InProgress", "in_progress"},
    {"Completed", "completed"},  {"PartiallyCompleted", "completed"},
    {"Failed", "failed"},        {"Stopping", "cancelling"},
    {"Stopped", "cancelled"},    {"Expired", "expired"},
};

static struct str text_of(const struct json *v)
{
    struct str s = json_str(v);

    return s.p ? s : STR("");
}

static struct str last_step(struct str s)
{
    size_t n = s.n;

    while (n && s.p[n - 1] != '/')
        n--;
    return str_make(s.p + n, s.n - n);
}

static struct str uri_of(const struct json *v, const char *name,
                         const char *inner)
{
    return text_of(json_get(json_get(json_get(v, name), inner), "s3Uri"));
}

/* Below the place that the job was given: <job>/<the input's name>.out */
static void read_places(struct prov_op *op, const struct json *v,
                        struct bedrock_batch *s)
{
    struct str at = uri_of(v, "outputDataConfig", "s3OutputDataConfig");
    struct str input = uri_of(v, "inputDataConfig", "s3InputDataConfig");
    struct str job = last_step(op->upstream_id), name = last_step(input);
    struct str scheme = STR(S3_ID_PREFIX), bucket, key;

    s->seen.input = input;
    s->output = s->manifest.key = STR("");
    if (!str_starts(at, scheme) || !name.n)
        return;
    str_cut(str_make(at.p + scheme.n, at.n - scheme.n), '/', &bucket, &key);
    if (!key.p || !s3_is_bucket(bucket))
        return;
    if (key.n && !str_ends(key, STR("/")))
        key = arena_printf(op->arena, "%.*s/", STR_ARG(key));
    s->manifest.bucket = bucket;
    s->manifest.key = arena_printf(op->arena, "%.*s%.*s/" MANIFEST,
                                   STR_ARG(key), STR_ARG(job));
    s->output = arena_printf(op->arena, S3_ID_PREFIX "%.*s/%.*s%.*s/%.*s.out",
                             STR_ARG(bucket), STR_ARG(key), STR_ARG(job),
                             STR_ARG(name));
}

static bool read_job(struct prov_op *op, const struct json *v,
                     struct bedrock_batch *s)
{
    int64_t modified = file_obj_time(json_get(v, "lastModifiedTime"));
    struct str status = text_of(json_get(v, "status"));
    const struct json *known = json_get(op->batch_request, "in_progress_at");

    s->seen = (struct prov_batch){
        .id = op->upstream_id,
        .status = prov_batch_status(states, COUNTOF(states), status),
        .output_file_id = STR(""),
        .error_code = STR(""),
        .error_message = STR(""),
        .created_at = file_obj_time(json_get(v, "submitTime")),
        .expires_at = file_obj_time(json_get(v, "jobExpirationTime")),
        .ended_at = file_obj_time(json_get(v, "endTime")),
    };
    if (str_eq(status, STR("Stopping")))
        s->seen.cancelling_at = modified;
    if (str_eq(status, STR("InProgress")) && !file_obj_time(known))
        s->seen.in_progress_at = modified;
    if (!s->seen.ended_at)
        s->seen.ended_at = modified;
    if (str_eq(status, STR("Failed")))
        s->seen.error_message = text_of(json_get(v, "message"));
    read_places(op, v, s);
    return s->seen.status;
}

static enum gw_err tell(struct prov_op *op, struct bedrock_batch *s,
                        struct gw_error *e)
{
    s->step = BEDROCK_END;
    return prov_batch_tell(op, &s->seen, e);
}

/* --- answers --- */

static enum gw_err read_create(struct prov_op *op, struct bedrock_batch *s,
                               const struct http_res *res, struct gw_error *e)
{
    const struct json *v = prov_json(op, res, e);
    struct str arn = text_of(json_get(v, "jobArn"));

    if (!v)
        return e->err;
    if (!is_arn(arn) || !last_step(arn).n || arn.n > LIMIT_UPSTREAM_ID_BYTES)
        return prov_nonsense(op, "a job", e);
    s->seen = (struct prov_batch){
        .id = arn,
        .status = "validating",
        .created_at = op->now_s,
        .expires_at = op->now_s + hours_of(op) * HOUR_S,
    };
    return tell(op, s, e);
}

static enum gw_err read_answer(struct prov_op *op, struct bedrock_batch *s,
                               const struct http_res *res, struct gw_error *e)
{
    const struct json *v = prov_json(op, res, e);

    if (!v)
        return e->err;
    if (!read_job(op, v, s))
        return prov_nonsense(op, "a job", e);
    if (!batch_obj_is_over(str_of(s->seen.status)) || !s->manifest.key.n)
        return tell(op, s, e);
    s->step = BEDROCK_MANIFEST;
    return GW_OK;
}

static int64_t count_of(const struct json *v, const char *name)
{
    int64_t n;

    return json_int(json_get(v, name), &n) && n > 0 ? n : 0;
}

/* A job that ended early may have no manifest, and then has no output; one that
 * is complete has one, counted or not. Only what passes is asked again: else
 * the batch would never be over. */
static enum gw_err read_manifest(struct prov_op *op, struct bedrock_batch *s,
                                 const struct http_res *res, struct gw_error *e)
{
    bool is_there = res->status == 200;
    struct gw_error ignored = {0};
    const struct json *v = NULL;

    if (res->status >= 500 || res->status == 429)
        return s3_error(op, res, e);
    if (is_there || !strcmp(s->seen.status, "completed"))
        s->seen.output_file_id = s->output;
    if (is_there)
        v = json_parse(op->arena, res->body, &ignored);
    s->seen.total = count_of(v, "totalRecordCount");
    s->seen.completed = count_of(v, "successRecordCount");
    s->seen.failed = count_of(v, "errorRecordCount");
    return tell(op, s, e);
}

/* It was cancelled, and cannot be looked at now. */
static enum gw_err tell_cancelled(struct prov_op *op, struct bedrock_batch *s,
                                  struct gw_error *e)
{
    s->seen = (struct prov_batch){
        .id = op->upstream_id,
        .status = "cancelling",
        .cancelling_at = op->now_s,
    };
    return tell(op, s, e);
}

enum gw_err bedrock_read_batch(struct prov_op *op, struct bedrock_batch *s,
                               const struct http_res *res, struct gw_error *e)
{
    bool is_success = res->status >= 200 && res->status < 300;

    if (s->step == BEDROCK_MANIFEST)
        return read_manifest(op, s, res, e);
    if (s->step == BEDROCK_LOOK && !is_success)
        return tell_cancelled(op, s, e);
    if (!is_success)
        return fail(op, res, e);
    if (op->code == PROV_BATCH_CREATE)
        return read_create(op, s, res, e);
    if (s->step == BEDROCK_ASK && op->code == PROV_BATCH_CANCEL) {
        s->step = BEDROCK_LOOK;
        return GW_OK;
    }
    return read_answer(op, s, res, e);
}
