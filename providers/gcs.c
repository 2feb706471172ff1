#include "providers/gcs.h"

#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "providers/prov_said.h"

/* Objects of Cloud Storage as files, also for Vertex AI, which has no others.
 *
 * An object is called prefix + the ULID of our id, so its id, which is
 * gs://bucket/name, is known before it is made; a bare name stands for one
 * below the prefix. The client's name of the file and its purpose go into the
 * object's metadata, where a list finds them again. An object names its own
 * bucket: files stay where they are when the configuration goes elsewhere.
 */

#define BASE_URL "https://storage.googleapis.com"
#define API GCS_API
#define SCHEME GCS_ID_PREFIX
/* An object has up to 8 KiB of metadata: a page of them fits into an answer. */
#define PAGE_FILES 100
#define BUCKET_MIN 3
#define BUCKET_MAX 222
#define PREFIX_MAX 200
#define CHUNK_STEP (256 * KIB)

static unsigned caps_of(const struct provider_conf *c)
{
    const struct gcs_conf *o = c->own;
    unsigned caps =
        PROV_CAN_ALL | PROV_NAMES_OBJECT | PROV_HAS_RANGE | PROV_HOLDS_PARTS;

    if (!strcmp(c->type->name,
                "gcs")) /* a store; Vertex has lines of its own */
        caps |= PROV_OPENAI_BATCH;
    else if (o->project[0] && o->location[0])
        caps |= PROV_CAN_BATCH;
    return google_auth_is_temporary(&o->auth) ? caps | PROV_CAN_GRANT : caps;
}

/* --- names --- */

struct place {
    struct str bucket, name;
};

struct str gcs_new_name(const struct prov_op *op)
{
    return arena_printf(op->arena, "%s%.*s", gcs_own(op)->prefix,
                        STR_ARG(op->object_name));
}

static struct place place_of(const struct prov_op *op, struct str id)
{
    struct place p = {str_of(gcs_own(op)->bucket), STR("")};
    size_t n = sizeof(SCHEME) - 1;

    if (str_starts(id, STR(SCHEME)))
        str_cut(str_make(id.p + n, id.n - n), '/', &p.bucket, &p.name);
    else
        p.name =
            arena_printf(op->arena, "%s%.*s", gcs_own(op)->prefix, STR_ARG(id));
    return p;
}

struct str gcs_uri(const struct prov_op *op, struct str id)
{
    struct place at = place_of(op, id);

    return arena_printf(op->arena, SCHEME "%.*s/%.*s", STR_ARG(at.bucket),
                        STR_ARG(at.name));
}

static bool is_batch(const struct prov_op *op)
{
    return (1u << op->code) & PROV_CAN_BATCH;
}

/* --- requests --- */

void gcs_authorise(struct prov_op *op, struct prov_exchange *x)
{
    const struct gcs_conf *o = gcs_own(op);

    prov_field(op, x, "Authorization", google_auth_bearer(op, &o->auth));
    if (o->user_project[0])
        prov_field(op, x, "x-goog-user-project", str_of(o->user_project));
}

/* The name is one step of the path, its slashes encoded. */
static void describe_object(struct prov_op *op, const char *method,
                            struct place at, const char *query,
                            struct prov_exchange *x)
{
    struct str bucket = url_encoded(op->arena, at.bucket);
    struct str name = url_encoded(op->arena, at.name);

    prov_http(op, x, method, API "/b/%.*s/o/%.*s%s", STR_ARG(bucket),
              STR_ARG(name), query);
    gcs_authorise(op, x);
}

void gcs_describe_delete(struct prov_op *op, struct str name,
                         struct prov_exchange *x)
{
    struct place at = {str_of(gcs_own(op)->bucket), name};

    describe_object(op, "DELETE", at, "", x);
    prov_field(op, x, "Accept", STR("application/json"));
}

static void describe_list(struct prov_op *op, struct prov_exchange *x)
{
    const struct gcs_conf *o = gcs_own(op);
    struct str bucket = url_encoded(op->arena, str_of(o->bucket));
    struct str prefix = url_encoded(op->arena, str_of(o->prefix));
    struct str token = url_encoded(op->arena, op->list_cursor);

    prov_http(op, x, "GET", API "/b/%.*s/o?maxResults=%d%s%.*s%s%.*s",
              STR_ARG(bucket), PAGE_FILES, prefix.n ? "&prefix=" : "",
              STR_ARG(prefix), token.n ? "&pageToken=" : "", STR_ARG(token));
    prov_field(op, x, "Accept", STR("application/json"));
    gcs_authorise(op, x);
}

/* "gzip" is how the storage is told to hand out what it has as it is: without
 * it, an object that was stored compressed would be unpacked on the way. */
static void describe_content(struct prov_op *op, struct prov_exchange *x)
{
    describe_object(op, "GET", place_of(op, op->upstream_id), "?alt=media", x);
    prov_field(op, x, "Accept", STR("*/*"));
    prov_field(op, x, "Accept-Encoding", STR("gzip"));
    if (op->range_first >= 0 && op->range_last < 0)
        prov_field(
            op, x, "Range",
            arena_printf(op->arena, "bytes=%lld-", (long long)op->range_first));
    else if (op->range_first >= 0)
        prov_field(op, x, "Range",
                   arena_printf(op->arena, "bytes=%lld-%lld",
                                (long long)op->range_first,
                                (long long)op->range_last));
    x->http.is_sink = true;
}

static void describe(struct prov_op *op, struct prov_exchange *x)
{
    switch (op->code) {
    case PROV_LIST:
        describe_list(op, x);
        return;
    case PROV_CONTENT:
        describe_content(op, x);
        return;
    case PROV_GET:
    case PROV_DELETE:
        describe_object(op, op->code == PROV_GET ? "GET" : "DELETE",
                        place_of(op, op->upstream_id), "", x);
        prov_field(op, x, "Accept", STR("application/json"));
        return;
    case PROV_GRANT:
        google_auth_describe(op, &gcs_own(op)->auth, x);
        return;
    default:
        BUG("no such operation: %d", (int)op->code);
    }
}

static enum prov_step next(struct prov_op *op, struct prov_exchange *x)
{
    const struct gcs_state *state = op->state;

    if (is_batch(op))
        return vertex_next_batch(op, x);
    if (state->is_over)
        return PROV_DONE;
    if (op->code == PROV_CREATE)
        return gcs_next_create(op, x);
    describe(op, x);
    return PROV_SEND_HTTP;
}

/* --- errors --- */

static bool holds(struct str s, const char *what)
{
    return s.n && memmem(s.p, s.n, what, strlen(what));
}

/* Who may not list is not told that an object is missing, but that he may not
 * list, for which nobody has asked. Any other refusal is of the credentials:
 * taken for a missing file, it would let a delete succeed that did nothing. */
static bool means_no_object(const struct prov_op *op,
                            const struct http_res *res)
{
    return res->status == 403 && op->upstream_id.n &&
           holds(res->body, "storage.objects.list");
}

/* Some of Google's services say 403 for a rate that is too high. */
static bool is_rate_limit(const struct prov_op *op, const struct http_res *res)
{
    struct gw_error ignored = {0};
    const struct json *v, *first;
    struct str reason;

    if (res->status != 403)
        return false;
    v = json_parse(op->arena, res->body, &ignored);
    first = json_at(json_get(json_get(v, "error"), "errors"), 0);
    reason = json_str(json_get(first, "reason"));
    return str_eq(reason, STR("rateLimitExceeded")) ||
           str_eq(reason, STR("userRateLimitExceeded"));
}

enum gw_err gcs_error(struct prov_op *op, const struct http_res *res,
                      struct gw_error *e)
{
    struct http_res meant = *res;
    struct prov_op named = *op;

    if (means_no_object(op, res))
        return err_set(e, GW_FILE_NOT_FOUND, "no such file at provider '%s'",
                       op->conf->name);
    if (is_rate_limit(op, res))
        meant.status = 429;
    /* Messages name an object as bucket/name. */
    if (op->upstream_id.n) {
        struct place at = place_of(op, op->upstream_id);

        named.upstream_id = arena_printf(op->arena, "%.*s/%.*s",
                                         STR_ARG(at.bucket), STR_ARG(at.name));
    }
    return prov_http_error(&named, &meant, e);
}

/* --- answers --- */

static struct str last_step(struct str name)
{
    size_t n = name.n;

    while (n && name.p[n - 1] != '/')
        n--;
    return str_make(name.p + n, name.n - n);
}

/* What somebody else stored has no metadata of ours: the last step of its name
 * is as good as any. Folders, as the console makes them, are no files. */
bool gcs_read_object(struct prov_op *op, const struct json *v,
                     struct file_obj *out)
{
    const struct json *metadata = json_get(v, "metadata");
    struct str name = json_str(json_get(v, "name"));
    struct str bucket = json_str(json_get(v, "bucket"));
    struct str filename = json_str(json_get(metadata, "filename"));
    struct str purpose = json_str(json_get(metadata, "purpose"));
    int64_t n;

    if (!bucket.n)
        bucket = str_of(gcs_own(op)->bucket);
    if (!last_step(name).n ||
        sizeof(SCHEME) + bucket.n + name.n > LIMIT_UPSTREAM_ID_BYTES)
        return false;
    *out = (struct file_obj){
        .id = arena_printf(op->arena, SCHEME "%.*s/%.*s", STR_ARG(bucket),
                           STR_ARG(name)),
        .bytes = json_int(json_get(v, "size"), &n) && n >= 0 ? n : -1,
        .created_at = file_obj_time(json_get(v, "timeCreated")),
        .filename = filename.n ? filename : last_step(name),
        .purpose = purpose.p ? purpose : STR(""),
        .status = FILE_PROCESSED,
    };
    return true;
}

static enum gw_err read_get(struct prov_op *op, const struct http_res *res,
                            struct gw_error *e)
{
    const struct json *v = prov_json(op, res, e);

    if (!v)
        return e->err;
    return gcs_read_object(op, v, &op->file)
               ? GW_OK
               : prov_nonsense(op, "an object", e);
}

/* What batches write is no file until they are looked at, and a part of it
 * never is: with a prefix that holds theirs, too, it would be taken for
 * forgotten. */
static bool read_listed(struct prov_op *op, const struct json *v,
                        struct file_obj *out)
{
    const char *prefix = gcs_own(op)->batch_prefix;
    struct str name = json_str(json_get(v, "name"));

    if (prefix && prefix[0] && name.p && str_starts(name, str_of(prefix)))
        return false;
    return gcs_read_object(op, v, out);
}

static enum gw_err read_list(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e)
{
    return prov_read_page(op, res, "items", read_listed, e);
}

static enum gw_err read_content(struct prov_op *op, const struct http_res *res,
                                struct gw_error *e)
{
    struct str type = http_fields_get(&res->fields, STR("content-type"));

    if (res->status != 200 && res->status != 206)
        return prov_nonsense(op, "content", e);
    op->content_type = arena_dup(op->arena, type.p ? type : STR(""));
    return GW_OK;
}

static enum gw_err read_answer(struct prov_op *op, const struct http_res *res,
                               struct gw_error *e)
{
    switch (op->code) {
    case PROV_GET:
        return read_get(op, res, e);
    case PROV_LIST:
        return read_list(op, res, e);
    case PROV_DELETE:
        return GW_OK;
    case PROV_CONTENT:
        return read_content(op, res, e);
    default:
        BUG("no such operation: %d", (int)op->code);
    }
}

static enum gw_err reply(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file, struct gw_error *e)
{
    struct gcs_state *state = op->state;

    ASSERT(http && !file);
    if (op->code == PROV_CREATE)
        return gcs_read_create(op, http, e);
    if (is_batch(op))
        return vertex_read_batch(op, http, e);
    state->is_over = true;
    if (op->code == PROV_GRANT)
        return google_auth_read(op, http, e);
    if (http->status < 200 || http->status >= 300)
        return gcs_error(op, http, e);
    return read_answer(op, http, e);
}

/* --- the configuration --- */

static enum gw_err check_bucket(const struct gcs_conf *o, struct gw_error *e)
{
    struct str s = str_of(o->bucket);
    size_t i;

    for (i = 0; i < s.n; i++)
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            break;
    if (i < s.n || s.n < BUCKET_MIN || s.n > BUCKET_MAX ||
        !str_is_made_of(s, "-_."))
        return err_set(e, GW_INVALID_VALUE,
                       "'bucket' is needed: %d to %d of a-z 0-9 - _ .",
                       BUCKET_MIN, BUCKET_MAX);
    return GW_OK;
}

static enum gw_err check_prefix(const struct gcs_conf *o, struct gw_error *e)
{
    struct str s = str_of(o->prefix);

    if (s.n > PREFIX_MAX || !str_is_utf8(s) || !prov_is_field_value(s) ||
        str_starts(s, STR("/")))
        return err_set(e, GW_INVALID_VALUE,
                       "'prefix' must be at most %d bytes of UTF-8 without a "
                       "slash in front",
                       PREFIX_MAX);
    return GW_OK;
}

/* As an endpoint it has no path; as the base of the API it ends with
 * /storage/v1, which uploads have elsewhere. */
static enum gw_err complete_url(struct provider_conf *c, struct gw_error *e)
{
    struct gcs_conf *o = c->own;
    struct str url = str_of(c->base_url), api = STR(API);
    int n;

    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    if (str_ends(url, api))
        url.n -= api.n;
    n = snprintf(o->url, sizeof(o->url), "%.*s", STR_ARG(url));
    if (n < 0 || (size_t)n >= sizeof(o->url))
        return err_set(e, GW_INVALID_VALUE, "'base_url' is too long");
    c->base_url = o->url;
    return GW_OK;
}

static bool is_step(const char *s)
{
    return str_is_made_of(str_of(s), "-.:_");
}

static enum gw_err check(struct provider_conf *c, struct gw_error *e)
{
    struct gcs_conf *o = c->own;

    if (!c->base_url[0])
        c->base_url = BASE_URL;
    if (check_bucket(o, e) || check_prefix(o, e) ||
        google_auth_check(&o->auth, e) ||
        prov_check_value("user_project", o->user_project, e))
        return e->err;
    if (o->chunk_bytes % CHUNK_STEP)
        return err_set(e, GW_INVALID_VALUE,
                       "'chunk_size' must be a multiple of 256KB");
    if (o->project && (!is_step(o->project) || !is_step(o->location)))
        return err_set(e, GW_INVALID_VALUE,
                       "'project' and 'location' must be of a-z 0-9 - . : _");
    if (o->project && vertex_check(o, e) != GW_OK)
        return e->err;
    return complete_url(c, e);
}

#define AT(member) offsetof(struct gcs_conf, member)
#define AUTH_AT(member) AT(auth.member)

/* clang-format off */
#define KEYS                                                                   \
    {.name = "bucket", .type = CONF_STR, .offset = AT(bucket),                 \
     .help = "needed: where the files are stored"},                            \
    {.name = "prefix", .type = CONF_STR, .offset = AT(prefix),                 \
     .def = "filemux/",                                                        \
     .help = "what the names of their objects start with"},                    \
    GOOGLE_AUTH_KEYS(AUTH_AT),                                                 \
    {.name = "user_project", .type = CONF_STR, .offset = AT(user_project),     \
     .help = "the project that pays, for buckets where the requester does; "   \
             "sent as x-goog-user-project"},                                   \
    {.name = "chunk_size", .type = CONF_SIZE, .offset = AT(chunk_bytes),       \
     .def = "4MB", .min = CHUNK_STEP, .max = LIMIT_PIECE_BYTES,                \
     .help = "an upload of unknown length is sent in chunks of so many "       \
             "bytes, a multiple of 256KB, one of which is held in memory"},    \
    {.name = "upload_retries", .type = CONF_INT, .offset = AT(upload_retries), \
     .def = "5", .min = 0, .max = 20,                                          \
     .help = "how often in a row a chunk is tried again, or resumed where it " \
             "broke off"}

static const struct conf_key gcs_keys[] = {
    KEYS,
    {.name = NULL},
};

static const struct conf_key vertex_keys[] = {
    KEYS,
    {.name = "project", .type = CONF_STR, .offset = AT(project),
     .help = "the project of its batches; files do not need it"},
    {.name = "location", .type = CONF_STR, .offset = AT(location),
     .help = "where its batches run, such as us-central1 or global; files do "
             "not need it"},
    {.name = "batch_model", .type = CONF_STR, .offset = AT(batch_model),
     .help = "what batches run that name no model, such as gemini-2.5-flash"},
    {.name = "batch_prefix", .type = CONF_STR, .offset = AT(batch_prefix),
     .def = "filemux-batches/",
     .help = "what the names of their outputs in the bucket start with"},
    {.name = "batch_url", .type = CONF_STR, .offset = AT(batch_url),
     .help = "where the API of its batches is; empty: where Google has that of "
             "the location"},
    {.name = NULL},
};
/* clang-format on */

static const struct conf_section gcs_section = {
    .size = sizeof(struct gcs_conf),
    .keys = gcs_keys,
};

static const struct conf_section vertex_section = {
    .size = sizeof(struct gcs_conf),
    .keys = vertex_keys,
};

#define CAPS                                                                   \
    (PROV_CAN_ALL | PROV_CAN_GRANT | PROV_NAMES_OBJECT | PROV_HOLDS_PARTS |    \
     PROV_HAS_RANGE)
#define TYPE                                                                   \
    .state_size = sizeof(struct gcs_state), .check = check,                    \
    .caps_of = caps_of, .next = next, .reply = reply, .broken = gcs_broken,    \
    .undo = gcs_undo

const struct provider_type provider_vertex = {
    .name = "vertex",
    .systems = "Vertex AI, over Cloud Storage",
    .caps = CAPS | PROV_CAN_BATCH,
    .section = &vertex_section,
    .check_batch = vertex_check_batch,
    .check_request = prov_batch_check_request,
    TYPE,
};

const struct provider_type provider_gcs = {
    .name = "gcs",
    .systems = "Google Cloud Storage",
    .caps = CAPS | PROV_OPENAI_BATCH,
    .section = &gcs_section,
    TYPE,
};
