#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "providers/s3.h"
#include "providers/sigv4.h"

#define META_NAME_MAX 1024 /* of the 2 KB that all metadata may have */
#define UNKNOWN_TYPE "application/octet-stream"

/* --- where an object is --- */

struct s3_object s3_object_of(struct prov_op *op)
{
    const struct s3_conf *o = s3_own(op);
    struct str id = op->upstream_id, bucket, key;
    size_t n = sizeof(S3_ID_PREFIX) - 1;

    if (op->code == PROV_CREATE)
        id = op->object_name;
    else if (str_starts(id, STR(S3_ID_PREFIX)) &&
             str_cut(str_make(id.p + n, id.n - n), '/', &bucket, &key) &&
             s3_is_bucket(bucket) && key.n)
        return (struct s3_object){bucket, key};
    return (struct s3_object){
        str_of(o->bucket),
        arena_printf(op->arena, "%s%.*s", o->prefix, STR_ARG(id))};
}

struct str s3_id(struct arena *a, struct s3_object o)
{
    return arena_printf(a, S3_ID_PREFIX "%.*s/%.*s", STR_ARG(o.bucket),
                        STR_ARG(o.key));
}

/* --- URLs --- */

static bool is_virtual(const struct s3_conf *o, struct str bucket)
{
    if (o->addressing != S3_ADDRESSING_AUTO)
        return o->addressing == S3_VIRTUAL;
    /* No certificate for *.s3.… is one for a.b.s3.… */
    return !o->is_given_url && str_find(bucket, '.') < 0;
}

/* The slashes of a key stay. */
static struct str encoded_key(struct arena *a, struct str key)
{
    struct str part;
    struct buf b;

    buf_init(&b, 3 * key.n + 2);
    do {
        str_cut(key, '/', &part, &key);
        buf_add_byte(&b, '/');
        url_encode(&b, part);
    } while (key.p);
    ASSERT(!b.overflow);
    part = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return part;
}

static struct str url_of(struct prov_op *op, struct s3_object o,
                         struct str query)
{
    struct str base = str_of(op->conf->base_url), scheme, path;
    const char *mark = query.n ? "?" : "";

    while (str_ends(base, STR("/")))
        base.n--;
    path = o.key.n ? encoded_key(op->arena, o.key) : STR("");
    if (!is_virtual(s3_own(op), o.bucket))
        return arena_printf(op->arena, "%.*s/%.*s%.*s%s%.*s", STR_ARG(base),
                            STR_ARG(o.bucket), STR_ARG(path), mark,
                            STR_ARG(query));
    /* "http:" "//host/path" */
    str_cut(base, ':', &scheme, &base);
    return arena_printf(op->arena, "%.*s://%.*s.%.*s%s%.*s%s%.*s",
                        STR_ARG(scheme), STR_ARG(o.bucket), (int)base.n - 2,
                        base.p + 2, path.n ? "" : "/", STR_ARG(path), mark,
                        STR_ARG(query));
}

void s3_request(struct prov_op *op, struct prov_exchange *x, const char *method,
                struct s3_object o, struct str query)
{
    prov_http(op, x, method, "/");
    x->http.url = url_of(op, o, query);
}

void s3_sign(struct prov_op *op, struct prov_exchange *x, struct str payload)
{
    s3_sign_for(op, x, "s3", payload);
}

void s3_sign_for(struct prov_op *op, struct prov_exchange *x,
                 const char *service, struct str payload)
{
    const struct s3_conf *o = s3_own(op);
    struct sigv4 s = {
        .key_id = o->aws.key_id,
        .secret = o->aws.secret,
        .token = o->aws.token,
        .region = o->region,
        .service = str_of(service),
        .now_s = op->now_s,
    };

    if (aws_is_temporary(&o->aws)) {
        s.key_id = op->grant.key_id;
        s.secret = op->grant.secret;
        s.token = op->grant.token;
    }
    sigv4_sign(&s, op->arena, &x->http, payload);
}

/* --- what is said of an object --- */

/* Metadata must be ASCII. What does not fit is left to the record. */
static void add_metadata(struct prov_op *op, struct prov_exchange *x,
                         const char *name, struct str value)
{
    struct str text = url_encoded(op->arena, value);

    if (text.n && text.n <= META_NAME_MAX)
        prov_field(op, x, name, text);
}

static struct str metadata(struct prov_op *op, const struct http_res *res,
                           const char *name)
{
    struct str text = http_fields_get(&res->fields, str_of(name)), out;

    if (!text.n)
        return STR("");
    if (!url_decode(op->arena, text, false, &out) || !str_is_utf8(out))
        out = arena_dup(op->arena, text);
    return str_is_utf8(out) ? out : STR("");
}

void s3_add_upload_fields(struct prov_op *op, struct prov_exchange *x)
{
    static const char *const algorithms[] = {
        [S3_SSE_AES256] = "AES256", [S3_SSE_KMS] = "aws:kms"};
    const struct prov_upload *u = &op->upload;
    const struct s3_conf *o = s3_own(op);
    struct str type = u->content_type;

    if (!type.n || !prov_is_field_value(type) || !str_is_utf8(type))
        type = STR(UNKNOWN_TYPE);
    prov_field(op, x, "Content-Type", arena_dup(op->arena, type));
    add_metadata(op, x, "x-amz-meta-filename", u->filename);
    add_metadata(op, x, "x-amz-meta-purpose", u->purpose);
    if (o->sse != S3_SSE_NONE)
        prov_field(op, x, "x-amz-server-side-encryption",
                   str_of(algorithms[o->sse]));
    if (o->sse_kms_key_id[0])
        prov_field(op, x, "x-amz-server-side-encryption-aws-kms-key-id",
                   str_of(o->sse_kms_key_id));
}

struct file_obj s3_read_head(struct prov_op *op, const struct http_res *res)
{
    struct str length = http_fields_get(&res->fields, STR("content-length"));
    struct str date = http_fields_get(&res->fields, STR("last-modified"));
    int64_t n;

    return (struct file_obj){
        .id = s3_id(op->arena, s3_object_of(op)),
        .bytes = str_to_i64(length, &n) && n >= 0 ? n : -1,
        .created_at = prov_http_date(op->arena, date),
        .filename = metadata(op, res, "x-amz-meta-filename"),
        .purpose = metadata(op, res, "x-amz-meta-purpose"),
        .status = FILE_PROCESSED,
    };
}
