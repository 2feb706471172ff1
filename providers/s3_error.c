#include <stdio.h>

#include "gateway/codec/xml.h"
#include "providers/s3.h"

/* S3 tells what went wrong by a code in XML; its status is shared by errors
 * that have nothing in common (a 400 may be a token that has expired, a region,
 * or a slow client). So the code goes before the status, which decides where
 * the table has no line (prov_http_error()).
 */

#define TEXT_MAX 64 /* of a code, of a region */

static const struct rule {
    const char *code;
    enum gw_err err;
    bool is_transient;
    const char *text; /* behind "provider 'x' " */
} rules[] = {
    /* clang-format off */
    {"ExpiredToken",             GW_UPSTREAM_AUTH,     false, "refused the gateway's credentials: they have expired"},
    {"InvalidToken",             GW_UPSTREAM_AUTH,     false, "refused the gateway's credentials: it does not know the session token"},
    {"TokenRefreshRequired",     GW_UPSTREAM_AUTH,     false, "refused the gateway's credentials: they must be renewed"},
    {"InvalidAccessKeyId",       GW_UPSTREAM_AUTH,     false, "refused the gateway's credentials: it does not know the access key"},
    {"SignatureDoesNotMatch",    GW_UPSTREAM_AUTH,     false, "refused the gateway's credentials: the secret key is not that of the access key"},
    {"RequestTimeTooSkewed",     GW_UPSTREAM_AUTH,     false, "refused the gateway's credentials: the clock of this machine is off"},
    {"RequestExpired",           GW_UPSTREAM_AUTH,     false, "refused the gateway's credentials: the clock of this machine is off"},
    {"NoSuchBucket",             GW_UPSTREAM_FAILED,   false, "has no such bucket: see its key 'bucket'"},
    {"NoSuchUpload",             GW_UPSTREAM_FAILED,   false, "has given up the upload meanwhile"},
    {"EntityTooLarge",           GW_FILE_TOO_LARGE,    false, "does not take a file of that size"},
    {"EntityTooSmall",           GW_UPSTREAM_FAILED,   false, "refused the parts of the upload as too small"},
    {"InvalidPart",              GW_UPSTREAM_FAILED,   false, "has lost a part of the upload"},
    {"InvalidPartOrder",         GW_UPSTREAM_FAILED,   false, "refused the order of the parts"},
    {"BadDigest",                GW_UPSTREAM_FAILED,   true,  "received other bytes than were sent"},
    {"XAmzContentSHA256Mismatch", GW_UPSTREAM_FAILED,  true,  "received other bytes than were sent"},
    {"IncompleteBody",           GW_UPSTREAM_BROKEN,   true,  "received fewer bytes than were sent"},
    {"RequestTimeout",           GW_UPSTREAM_TIMEOUT,  true,  "waited too long for bytes of the file"},
    {"SlowDown",                 GW_UPSTREAM_BUSY,     true,  "asks for fewer requests"},
    {"ServiceUnavailable",       GW_UPSTREAM_BUSY,     true,  "is not available"},
    {"InternalError",            GW_UPSTREAM_FAILED,   true,  "failed"},
    {"NotImplemented",           GW_UPSTREAM_FAILED,   false, "does not implement a part of S3 that is needed"},
    {"InvalidObjectState",       GW_CONFLICT,          false, "keeps the file in an archive"},
    /* clang-format on */
};

static const struct rule *rule_of(struct str code)
{
    size_t i;

    for (i = 0; i < COUNTOF(rules); i++)
        if (str_eq_c(code, rules[i].code))
            return &rules[i];
    return NULL;
}

static struct str plain(struct str s)
{
    return s.n <= TEXT_MAX && str_is_made_of(s, "-.") ? s : STR("");
}

struct s3_said s3_said(struct prov_op *op, const struct http_res *res)
{
    struct str rest = res->body, name, inner;
    struct str region =
        http_fields_get(&res->fields, STR("x-amz-bucket-region"));
    struct s3_said said = {STR(""), plain(region)};

    if (!xml_next(&rest, &name, &inner) || !str_eq(name, STR("Error")))
        return said;
    said.code = plain(xml_child_text(op->arena, inner, STR("Code")));
    if (!said.region.n)
        said.region = plain(xml_child_text(op->arena, inner, STR("Region")));
    return said;
}

bool s3_is_transient(int status, struct str code)
{
    const struct rule *rule = rule_of(code);

    if (rule)
        return rule->is_transient;
    return status >= 500 && status != 501 && status != 505 && status != 507;
}

/* Whether this is about the region; for most answers that tell one, it is not:
 * they do so always. */
static bool is_elsewhere(const struct prov_op *op, int status,
                         const struct s3_said *said)
{
    static const char *const codes[] = {
        "PermanentRedirect", "TemporaryRedirect",
        "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"};
    bool is_other = said->region.n && !str_eq(said->region, s3_own(op)->region);
    size_t i;

    if (status == 301 || status == 307)
        return true;
    for (i = 0; i < COUNTOF(codes); i++)
        if (str_eq_c(said->code, codes[i]))
            return i < 2 || is_other;
    return is_other && status == 400 && !said->code.n;
}

static enum gw_err refuse_region(const struct prov_op *op, struct str region,
                                 struct gw_error *e)
{
    if (region.n)
        return err_set(e, GW_UPSTREAM_FAILED,
                       "provider '%s' has the bucket in the region '%.*s': see "
                       "its key 'region'",
                       op->conf->name, STR_ARG(region));
    return err_set(e, GW_UPSTREAM_FAILED,
                   "provider '%s' has the bucket elsewhere: see its keys "
                   "'region' and 'base_url'",
                   op->conf->name);
}

/* A key that may not list the bucket is told so instead of a 404. */
static bool means_no_file(const struct prov_op *op, const struct http_res *res,
                          struct str code)
{
    return (op->code == PROV_GET || op->code == PROV_CONTENT) &&
           res->status == 403 && str_eq(code, STR("AccessDenied"));
}

enum gw_err s3_error(struct prov_op *op, const struct http_res *res,
                     struct gw_error *e)
{
    struct s3_said said = s3_said(op, res);
    const struct rule *rule = rule_of(said.code);
    struct http_res meant = *res;
    struct prov_op named = *op;

    if (is_elsewhere(op, res->status, &said))
        return refuse_region(op, said.region, e);
    if (means_no_file(op, res, said.code))
        return err_set(e, GW_FILE_NOT_FOUND,
                       "no such file at provider '%s', or none that the "
                       "gateway may read",
                       op->conf->name);
    if (rule) {
        err_set(e, rule->err, "provider '%s' %s", op->conf->name, rule->text);
        e->retry_after_s = prov_retry_after(op->arena, &res->fields, op->now_s);
        return e->err;
    }
    if (str_eq(said.code, STR("AuthorizationHeaderMalformed")))
        meant.status = 401;
    if (res->status < 300) /* an error all the same */
        meant.status = 500;
    /* Messages name an object by its key alone. */
    if (op->upstream_id.n || op->code == PROV_CREATE)
        named.upstream_id = s3_object_of(op).key;
    return prov_http_error(&named, &meant, e);
}

struct str s3_document(struct prov_op *op, const struct http_res *res,
                       const char *wanted, struct gw_error *e)
{
    struct str rest = res->body, name, inner;

    if (!res->body_was_cut && xml_next(&rest, &name, &inner)) {
        if (str_eq_c(name, wanted))
            return inner;
        if (str_eq(name, STR("Error"))) {
            s3_error(op, res, e);
            return STR_NULL;
        }
    }
    prov_nonsense(op, wanted, e);
    return STR_NULL;
}
