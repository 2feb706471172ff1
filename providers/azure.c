#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "providers/entra.h"
#include "providers/openai.h"
#include "providers/openai_forward.h"
#include "providers/prov_util.h"

/* Azure OpenAI: OpenAI's exchanges (openai_wire.c) in two styles, told apart by
 * api_version. With a date, every URL carries it as ?api-version=, lists come
 * whole, and an expiry is at least 14 days; without one (or with "v1" or
 * "preview") it is OpenAI's API but for the authentication.
 *
 * Both read forms more strictly than OpenAI does. A part with a Content-Length
 * is refused, and clients send such parts: what they say behind the file is
 * framed anew. An expires_after there cannot be changed any more; where not
 * every one of them would be taken, it stays here, and filemux ends the file.
 *
 * There are three ways to prove who one is, of which an entry has one: a key of
 * the resource, an access token, or an application's credentials, for which
 * Entra gives tokens that last about an hour (entra.c).
 */

/* The dated versions refuse to end a file earlier than 14 days. */
#define DATED_EXPIRY_MIN_S 1209600
/* The first of them that knows expires_after. */
#define DATED_EXPIRY_SINCE "2025-03-01"
#define DATE_BYTES 10 /* YYYY-MM-DD */

/* A resource's endpoint with the path that belongs to the style. */
#define URL_BYTES 512

enum expiry_choice { EXPIRY_AUTO, EXPIRY_NONE, EXPIRY_BRACKETS, EXPIRY_DOTS };
enum length_choice { LENGTH_REQUIRED, LENGTH_OPTIONAL };

struct azure_conf {
    const char *api_version, *api_key, *token;
    struct entra_conf entra;
    int expires_after, upload_length; /* choices */
    char url[URL_BYTES];              /* where base_url may point */
};

static const struct azure_conf *own(const struct provider_conf *c)
{
    return c->own;
}

/* --- the style --- */

static bool is_date(struct str s)
{
    static const char form[] = "0000-00-00";
    size_t i;

    for (i = 0; i < s.n && i < DATE_BYTES; i++)
        if (form[i] == '0' ? s.p[i] < '0' || s.p[i] > '9' : s.p[i] != form[i])
            return false;
    return s.n == DATE_BYTES;
}

/* "2024-10-21", "2025-04-01-preview". */
static bool is_dated(const struct azure_conf *z)
{
    struct str s = str_of(z->api_version);

    return s.n >= DATE_BYTES && is_date(str_make(s.p, DATE_BYTES));
}

/* Does it know expires_after? Dates sort as text. */
static bool knows_expiry(const struct azure_conf *z)
{
    return !is_dated(z) ||
           memcmp(z->api_version, DATED_EXPIRY_SINCE, DATE_BYTES) >= 0;
}

static enum openai_expiry expiry_of(const struct azure_conf *z)
{
    switch ((enum expiry_choice)z->expires_after) {
    case EXPIRY_AUTO:
        return knows_expiry(z) ? OPENAI_EXPIRY_BRACKETS : OPENAI_EXPIRY_NONE;
    case EXPIRY_NONE:
        return OPENAI_EXPIRY_NONE;
    case EXPIRY_BRACKETS:
        return OPENAI_EXPIRY_BRACKETS;
    case EXPIRY_DOTS:
        return OPENAI_EXPIRY_DOTS;
    }
    BUG("no such choice: %d", z->expires_after);
}

static int64_t expiry_min_s(const struct azure_conf *z)
{
    return is_dated(z) ? DATED_EXPIRY_MIN_S : 0;
}

static unsigned caps_of(const struct provider_conf *c)
{
    const struct azure_conf *z = own(c);
    unsigned caps = PROV_CAN_ALL | PROV_CAN_BATCH | PROV_CAN_FORWARD |
                    PROV_OPENAI_BATCH | PROV_FORM | PROV_STRICT_FORM |
                    PROV_HAS_RANGE | PROV_HAS_STATUS;

    if (z->upload_length == LENGTH_REQUIRED)
        caps |= PROV_NEEDS_LENGTH;
    if (expiry_of(z) != OPENAI_EXPIRY_BRACKETS || expiry_min_s(z) > 0)
        caps |= PROV_NO_LATE_EXPIRY;
    if (entra_is_used(&z->entra))
        caps |= PROV_CAN_GRANT;
    /* The v1 API has no uploads in parts. */
    if (is_dated(z))
        caps |= PROV_CAN_UPLOADS;
    return caps;
}

/* --- the operation --- */

struct azure_state {
    bool is_answered;
};

/* Of the file that is uploaded, or of those that a batch will make. */
static int64_t lifetime_s(const struct prov_op *op)
{
    const struct json *after =
        json_get(op->batch_request, "output_expires_after");
    int64_t s;

    if (op->code != PROV_BATCH_CREATE)
        return op->upload.expires_after_s;
    return json_int(json_get(after, "seconds"), &s) ? s : 0;
}

static struct openai_wire wire_of(const struct prov_op *op)
{
    const struct azure_conf *z = own(op->conf);
    struct openai_wire w = {
        .collection = "/files",
        .query = STR(""),
        .expiry = expiry_of(z),
        .has_pages = !is_dated(z),
        .provider = STR(""),
        .envelope = STR(""),
    };

    if (z->api_version[0])
        w.query = arena_printf(op->arena, "api-version=%s", z->api_version);
    if (lifetime_s(op) < expiry_min_s(z))
        w.expiry = OPENAI_EXPIRY_NONE;
    return w;
}

static void add_credentials(struct prov_op *op, struct prov_exchange *x)
{
    const struct azure_conf *z = own(op->conf);
    struct str token = z->token[0] ? str_of(z->token) : op->grant.token;

    if (z->api_key[0])
        prov_field(op, x, "api-key", str_of(z->api_key));
    else if (token.n)
        prov_field(op, x, "Authorization",
                   arena_printf(op->arena, "Bearer %.*s", STR_ARG(token)));
}

/* In the dated style these are calls of a deployment. */
static const char *const of_deployments[] = {
    "chat/completions",     "completions",        "embeddings",
    "images/generations",   "images/edits",       "audio/speech",
    "audio/transcriptions", "audio/translations",
};

static bool is_of_deployment(struct str path)
{
    size_t i;

    for (i = 0; i < COUNTOF(of_deployments); i++)
        if (str_eq_c(path, of_deployments[i]))
            return true;
    return false;
}

static void forward(struct prov_op *op, const struct openai_wire *w,
                    struct prov_exchange *x)
{
    struct str dir = STR("");

    if (is_dated(own(op->conf)) && op->forward.model.n &&
        is_of_deployment(op->forward.path))
        dir = arena_printf(op->arena, "/deployments/%.*s",
                           STR_ARG(url_encoded(op->arena, op->forward.model)));
    openai_forward_describe(op, arena_cstr(op->arena, dir), w->query, x);
}

static enum prov_step next(struct prov_op *op, struct prov_exchange *x)
{
    const struct azure_state *state = op->state;
    struct openai_wire w;

    if (state->is_answered)
        return PROV_DONE;
    if (op->code == PROV_GRANT) {
        entra_describe(op, &own(op->conf)->entra, x);
        return PROV_SEND_HTTP;
    }
    w = wire_of(op);
    if (op->code == PROV_FORWARD)
        forward(op, &w, x);
    else
        openai_describe(op, &w, x);
    add_credentials(op, x);
    return PROV_SEND_HTTP;
}

static enum gw_err reply(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file, struct gw_error *e)
{
    struct azure_state *state = op->state;
    struct openai_wire w;

    ASSERT(http && !file);
    state->is_answered = true;
    if (op->code == PROV_GRANT)
        return entra_read(op, http, e);
    if (op->code == PROV_FORWARD)
        return openai_forward_read(op, http, e);
    w = wire_of(op);
    return openai_read(op, &w, http, e);
}

/* --- the configuration --- */

static enum gw_err check_version(const struct azure_conf *z, struct gw_error *e)
{
    struct str s = str_of(z->api_version);
    size_t i;

    for (i = 0; i < s.n; i++)
        if (!(s.p[i] >= 'a' && s.p[i] <= 'z') &&
            !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '-')
            break;
    if (i == s.n && (s.n == 0 || is_dated(z) || str_eq(s, STR("v1")) ||
                     str_eq(s, STR("preview"))))
        return GW_OK;
    return err_set(e, GW_INVALID_VALUE,
                   "'api_version' must be empty, v1, preview or a date such "
                   "as 2024-10-21 or 2025-04-01-preview");
}

/* One way, and none only where other header fields may be the proof: gateways
 * in front of Azure have keys of their own. */
static enum gw_err check_credentials(const struct provider_conf *c,
                                     struct gw_error *e)
{
    const struct azure_conf *z = own(c);
    int ways = !!z->api_key[0] + !!z->token[0] + entra_is_used(&z->entra);

    if (ways > 1)
        return err_set(e, GW_INVALID_VALUE,
                       "'api_key', 'token' and 'client_id' with 'tenant_id' "
                       "and 'client_secret' exclude each other");
    if (ways == 0 && c->headers.n == 0)
        return err_set(e, GW_INVALID_VALUE,
                       "one of 'api_key', 'token' and 'client_id' with "
                       "'tenant_id' and 'client_secret' is needed");
    if (prov_check_value("api_key", z->api_key, e) ||
        prov_check_value("token", z->token, e) || entra_check(&z->entra, e))
        return e->err;
    return GW_OK;
}

/* The endpoint as the portal shows it has no path: the style's is added. A
 * path that is written stays, for gateways have their own. */
static enum gw_err complete_url(struct provider_conf *c, struct gw_error *e)
{
    struct azure_conf *z = c->own;
    struct str url = str_of(c->base_url), origin = url_origin(url);
    const char *path = is_dated(z) ? "/openai" : "/openai/v1";
    int n;

    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    if (!origin.p || url.n > origin.n)
        return GW_OK;
    n = snprintf(z->url, sizeof(z->url), "%.*s%s", STR_ARG(origin), path);
    if (n < 0 || (size_t)n >= sizeof(z->url))
        return err_set(e, GW_INVALID_VALUE, "'base_url' is too long");
    c->base_url = z->url;
    return GW_OK;
}

static enum gw_err check_url(struct provider_conf *c, struct gw_error *e)
{
    static const struct str v1 = {"/openai/v1", 10};
    struct str url = str_of(c->base_url);

    if (url.n == 0)
        return err_set(e, GW_INVALID_VALUE,
                       "'base_url' is needed: the resource's endpoint");
    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    if (is_dated(own(c)) && url.n > v1.n &&
        str_eq(str_make(url.p + url.n - v1.n, v1.n), v1))
        return err_set(e, GW_INVALID_VALUE,
                       "'base_url' must not end in /v1 with a dated "
                       "'api_version'");
    return complete_url(c, e);
}

static enum gw_err check(struct provider_conf *c, struct gw_error *e)
{
    const struct azure_conf *z = own(c);

    if (check_version(z, e) || check_credentials(c, e))
        return e->err;
    return check_url(c, e);
}

static const char *const expiry_choices[] = {"auto", "none", "brackets", "dots",
                                             NULL};
static const char *const length_choices[] = {"required", "optional", NULL};

#define AT(member) offsetof(struct azure_conf, member)

/* clang-format off */
static const struct conf_key keys[] = {
    {.name = "api_version", .type = CONF_STR, .offset = AT(api_version),
     .help = "a date such as 2024-10-21 or 2025-04-01-preview; empty, v1 or "
             "preview: the v1 API"},
    {.name = "api_key", .type = CONF_SECRET, .offset = AT(api_key),
     .help = "a key of the resource, sent as api-key"},
    {.name = "token", .type = CONF_SECRET, .offset = AT(token),
     .help = "in its place, an access token, sent as Authorization: Bearer"},
    {.name = "tenant_id", .type = CONF_STR, .offset = AT(entra.tenant_id),
     .help = "in place of both, with client_id and client_secret: the tenant "
             "in which an application of Entra ID gets its access tokens"},
    {.name = "client_id", .type = CONF_STR, .offset = AT(entra.client_id),
     .help = "that application"},
    {.name = "client_secret", .type = CONF_SECRET,
     .offset = AT(entra.client_secret), .help = "and a secret of its"},
    {.name = "authority", .type = CONF_STR, .offset = AT(entra.authority),
     .def = "https://login.microsoftonline.com",
     .help = "where Entra ID is: another one in sovereign clouds"},
    {.name = "scope", .type = CONF_STR, .offset = AT(entra.scope),
     .def = "https://cognitiveservices.azure.com/.default",
     .help = "what the access tokens are for"},
    {.name = "expires_after", .type = CONF_ENUM, .offset = AT(expires_after),
     .choices = expiry_choices,
     .help = "how it is told when a file ends; auto: brackets, none in dated "
             "versions before 2025-03-01"},
    {.name = "upload_length", .type = CONF_ENUM, .offset = AT(upload_length),
     .choices = length_choices,
     .help = "whether an upload must have a Content-Length; required: a body "
             "of unknown length is spooled first"},
    {.name = NULL},
};
/* clang-format on */

static const struct conf_section section = {
    .size = sizeof(struct azure_conf),
    .keys = keys,
};

const struct provider_type provider_azure = {
    .name = "azure",
    .systems = "Azure OpenAI, dated api-version and v1",
    .caps = PROV_CAN_ALL | PROV_CAN_BATCH | PROV_CAN_FORWARD |
            PROV_OPENAI_BATCH | PROV_FORM | PROV_STRICT_FORM |
            PROV_NO_LATE_EXPIRY | PROV_NEEDS_LENGTH | PROV_HAS_RANGE |
            PROV_HAS_STATUS | PROV_CAN_GRANT | PROV_CAN_UPLOADS,
    .section = &section,
    .state_size = sizeof(struct azure_state),
    .check = check,
    .caps_of = caps_of,
    .next = next,
    .reply = reply,
};
