#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "providers/s3.h"

/* A few keys are enough: a bucket, and on a machine of Amazon's nothing else.
 * Everything that AWS's own programs take from the environment is a default
 * here, so that what works for them works for filemux.
 */

#include <stdio.h>

#define REGION_MAX 32
#define BUCKET_MAX 63
#define PREFIX_MAX 256

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Other stores are less strict than Amazon about capital letters. */
bool s3_is_bucket(struct str name)
{
    return name.n && name.n <= BUCKET_MAX && name.p[0] != '.' &&
           name.p[0] != '-' && str_is_made_of(name, ".-_");
}

static bool is_region(struct str s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (!is_lower_or_digit(s.p[i]) && s.p[i] != '-')
            return false;
    return s.n && s.n <= REGION_MAX;
}

/* --- the check --- */

static enum gw_err set_url(struct provider_conf *c, struct s3_conf *o,
                           struct gw_error *e)
{
    static const struct str usual = {"us-east-1", 9};
    bool is_china;

    o->is_given_url = c->base_url[0];
    o->region = o->aws.found_region;
    if (o->is_given_url && !o->region.n)
        o->region = usual;
    if (!o->region.n)
        return err_set(e, GW_INVALID_VALUE, "'region' is needed");
    if (!is_region(o->region))
        return err_set(e, GW_INVALID_VALUE,
                       "'region' must be 1 to %d of a-z 0-9 -", REGION_MAX);
    if (o->is_given_url)
        return GW_OK;
    is_china = str_starts(o->region, STR("cn-"));
    snprintf(o->endpoint, sizeof(o->endpoint),
             "https://s3.%.*s.amazonaws.com%s", STR_ARG(o->region),
             is_china ? ".cn" : "");
    c->base_url = o->endpoint;
    return GW_OK;
}

static enum gw_err check_names(const struct s3_conf *o, struct gw_error *e)
{
    struct str prefix = str_of(o->prefix);

    if (!o->bucket[0])
        return err_set(e, GW_INVALID_VALUE, "'bucket' is needed");
    if (!s3_is_bucket(str_of(o->bucket)))
        return err_set(e, GW_INVALID_VALUE,
                       "'bucket' must be 1 to %d of a-z A-Z 0-9 . - _",
                       BUCKET_MAX);
    if (prefix.n > PREFIX_MAX || str_starts(prefix, STR("/")) ||
        !str_is_utf8(prefix) || !prov_is_field_value(prefix))
        return err_set(e, GW_INVALID_VALUE,
                       "'prefix' must be a text of at most %d bytes that does "
                       "not start with a slash",
                       PREFIX_MAX);
    return GW_OK;
}

/* What a signature is made of cannot be given. */
static enum gw_err check_headers(const struct provider_conf *c,
                                 struct gw_error *e)
{
    static const char *const names[] = {"authorization", "x-amz-date",
                                        "x-amz-content-sha256",
                                        "x-amz-security-token", "range"};
    size_t i, k;

    for (i = 0; i < c->headers.n; i++)
        for (k = 0; k < COUNTOF(names); k++)
            if (str_eq_nocase(str_of(c->headers.v[i].key), str_of(names[k])))
                return err_set(e, GW_INVALID_VALUE,
                               "'headers' cannot set the field '%s'", names[k]);
    return GW_OK;
}

enum gw_err s3_check(struct provider_conf *c, struct gw_error *e)
{
    struct s3_conf *o = c->own;

    if (check_names(o, e) || aws_check(&o->aws, e) || set_url(c, o, e) ||
        check_headers(c, e))
        return e->err;
    if (o->sse_kms_key_id[0] && o->sse != S3_SSE_KMS)
        return err_set(e, GW_INVALID_VALUE,
                       "'sse_kms_key_id' goes with 'sse: aws:kms'");
    if (o->role_arn && bedrock_check(o, e) != GW_OK)
        return e->err;
    return prov_check_value("sse_kms_key_id", o->sse_kms_key_id, e);
}

/* --- the keys --- */

static const char *const addressing_choices[] = {"auto", "path", "virtual",
                                                 NULL};
static const char *const sse_choices[] = {"none", "AES256", "aws:kms", NULL};
static const char *const source_choices[] = {"auto",      "keys",     "profile",
                                             "container", "instance", NULL};

#define AT(member) offsetof(struct s3_conf, member)

/* clang-format off */
#define KEYS                                                                   \
    {.name = "bucket", .type = CONF_STR, .offset = AT(bucket),                 \
     .help = "needed: where the objects are"},                                 \
    {.name = "prefix", .type = CONF_STR, .offset = AT(prefix), .def = "filemux/",\
     .help = "what the keys of filemux's objects begin with"},                 \
    {.name = "region", .type = CONF_STR, .offset = AT(aws.region),             \
     .def = "${AWS_REGION:-}",                                                 \
     .help = "needed without a base_url, unless the profile tells"},           \
    {.name = "addressing", .type = CONF_ENUM, .offset = AT(addressing),        \
     .choices = addressing_choices,                                            \
     .help = "where the bucket's name stands, path or virtual (in the host's " \
             "name); auto: in the path if a base_url is given or the name has "\
             "a dot"},                                                         \
    {.name = "part_size", .type = CONF_SIZE, .offset = AT(part_size),          \
     .def = "8MB", .min = 5 * MIB, .max = LIMIT_PIECE_BYTES,                   \
     .help = "an upload of unknown length is sent in parts of so many bytes, " \
             "10000 at most; one of them is held in memory"},                  \
    {.name = "sse", .type = CONF_ENUM, .offset = AT(sse),                      \
     .choices = sse_choices,                                                   \
     .help = "encryption to ask for when an object is made"},                  \
    {.name = "sse_kms_key_id", .type = CONF_STR, .offset = AT(sse_kms_key_id), \
     .help = "for aws:kms: which key; empty: the account's own"},              \
    {.name = "credentials", .type = CONF_ENUM, .offset = AT(aws.source),       \
     .choices = source_choices,                                                \
     .help = "keys: access_key_id and what belongs to it; profile: of the AWS "\
             "command line; container: as ECS and EKS give; instance: EC2's "  \
             "role; auto: the first of these that is there"},                  \
    {.name = "access_key_id", .type = CONF_SECRET, .offset = AT(aws.access_key_id),\
     .def = "${AWS_ACCESS_KEY_ID:-}",                                          \
     .help = "the access key"},                                                \
    {.name = "secret_access_key", .type = CONF_SECRET,                         \
     .offset = AT(aws.secret_access_key), .def = "${AWS_SECRET_ACCESS_KEY:-}", \
     .help = "and its secret"},                                                \
    {.name = "session_token", .type = CONF_SECRET, .offset = AT(aws.session_token),\
     .def = "${AWS_SESSION_TOKEN:-}",                                          \
     .help = "of temporary keys; not used with one that begins with AKIA"},    \
    {.name = "profile", .type = CONF_STR, .offset = AT(aws.profile),           \
     .def = "${AWS_PROFILE:-default}",                                         \
     .help = "read when the configuration is; it must hold the keys themselves"},\
    {.name = "credentials_file", .type = CONF_CONTENT,                         \
     .offset = AT(aws.credentials_file),                                       \
     .def = "${AWS_SHARED_CREDENTIALS_FILE:-~/.aws/credentials}",              \
     .help = "where the profile is"},                                          \
    {.name = "config_file", .type = CONF_CONTENT, .offset = AT(aws.config_file),\
     .def = "${AWS_CONFIG_FILE:-~/.aws/config}",                               \
     .help = "where the rest of it is, the region for example"},               \
    {.name = "container_relative_uri", .type = CONF_STR,                       \
     .offset = AT(aws.container_relative_uri),                                 \
     .def = "${AWS_CONTAINER_CREDENTIALS_RELATIVE_URI:-}",                     \
     .help = "where a container's credentials are, below container_endpoint"}, \
    {.name = "container_full_uri", .type = CONF_STR,                           \
     .offset = AT(aws.container_full_uri),                                     \
     .def = "${AWS_CONTAINER_CREDENTIALS_FULL_URI:-}",                         \
     .help = "the same as a whole URL"},                                       \
    {.name = "container_token", .type = CONF_SECRET,                           \
     .offset = AT(aws.container_token),                                        \
     .def = "${AWS_CONTAINER_AUTHORIZATION_TOKEN:-}",                          \
     .help = "sent there as Authorization"},                                   \
    {.name = "container_endpoint", .type = CONF_STR,                           \
     .offset = AT(aws.container_endpoint), .def = "http://169.254.170.2",      \
     .help = "ECS's agent"},                                                   \
    {.name = "metadata_endpoint", .type = CONF_STR,                            \
     .offset = AT(aws.metadata_endpoint),                                      \
     .def = "${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}",    \
     .help = "EC2's metadata service, version 2"}

static const struct conf_key s3_keys[] = {
    KEYS,
    {.name = NULL},
};

static const struct conf_key bedrock_keys[] = {
    KEYS,
    {.name = "role_arn", .type = CONF_STR, .offset = AT(role_arn),
     .help = "the role as which Bedrock reads and writes the bucket: needed for "
             "batches"},
    {.name = "batch_model", .type = CONF_STR, .offset = AT(batch_model),
     .help = "what batches run that name no model: a model's id, or the ARN of "
             "an inference profile"},
    {.name = "batch_prefix", .type = CONF_STR, .offset = AT(batch_prefix),
     .def = "filemux-batches/",
     .help = "what the keys of their outputs in the bucket begin with"},
    {.name = "batch_url", .type = CONF_STR, .offset = AT(batch_url),
     .help = "where the API of its batches is; empty: where Amazon has that of "
             "the region"},
    {.name = NULL},
};
/* clang-format on */

const struct conf_section s3_section = {
    .size = sizeof(struct s3_conf),
    .keys = s3_keys,
};

const struct conf_section bedrock_section = {
    .size = sizeof(struct s3_conf),
    .keys = bedrock_keys,
};
