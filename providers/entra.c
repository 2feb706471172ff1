#include "providers/entra.h"

#include "gateway/codec/url.h"
#include "providers/prov_util.h"

/* How long a token lasts is counted from our own clock: what Entra's says is
 * never looked at, so that clocks which differ do no harm.
 *
 * The description of an error names the tenant and the application, and is
 * meant for whoever runs the gateway, who finds it by its number: "AADSTS" and
 * that are shown, the description is not.
 */

#define LIFE_MAX_S (30 * 86400)
#define WORD_MAX_BYTES 40

bool entra_is_used(const struct entra_conf *c)
{
    return c->tenant_id[0] || c->client_id[0] || c->client_secret[0];
}

/* --- the configuration --- */

static bool is_url(struct str s)
{
    return url_origin(s).p && str_is_made_of(s, ":/.-_~[]%");
}

enum gw_err entra_check(const struct entra_conf *c, struct gw_error *e)
{
    if (!entra_is_used(c))
        return GW_OK;
    if (!c->tenant_id[0] || !c->client_id[0] || !c->client_secret[0])
        return err_set(e, GW_INVALID_VALUE,
                       "'tenant_id', 'client_id' and 'client_secret' are "
                       "needed together");
    if (!str_is_made_of(str_of(c->tenant_id), ".-"))
        return err_set(e, GW_INVALID_VALUE,
                       "'tenant_id' must be the tenant's id or a domain of "
                       "its");
    if (!is_url(str_of(c->authority)))
        return err_set(e, GW_INVALID_VALUE,
                       "'authority' must be an http:// or https:// URL "
                       "without credentials, query or fragment");
    if (!c->scope[0])
        return err_set(e, GW_INVALID_VALUE, "'scope' must not be empty");
    return GW_OK;
}

/* --- the exchange --- */

static struct str encoded(struct prov_op *op, const char *value)
{
    return url_encoded(op->arena, str_of(value));
}

/* The header fields that an operator adds are for the provider, not for the
 * authority: they are not sent. */
void entra_describe(struct prov_op *op, const struct entra_conf *c,
                    struct prov_exchange *x)
{
    struct str tenant = encoded(op, c->tenant_id);
    struct str id = encoded(op, c->client_id);
    struct str secret = encoded(op, c->client_secret);
    struct str scope = encoded(op, c->scope);

    *x = (struct prov_exchange){0};
    x->http.method = "POST";
    x->http.url = url_join(
        op->arena, str_of(c->authority),
        arena_printf(op->arena, "/%.*s/oauth2/v2.0/token", STR_ARG(tenant)));
    prov_field(op, x, "Accept", STR("application/json"));
    prov_field(op, x, "Content-Type", STR("application/x-www-form-urlencoded"));
    http_req_add_mem(
        &x->http, arena_printf(op->arena,
                               "grant_type=client_credentials&client_id=%.*s"
                               "&client_secret=%.*s&scope=%.*s",
                               STR_ARG(id), STR_ARG(secret), STR_ARG(scope)));
}

/* "invalid_client", or "" for anything that is no such word. */
static struct str word_of(const struct json *body)
{
    struct str word = json_str(json_get(body, "error"));

    return word.n <= WORD_MAX_BYTES && str_is_made_of(word, "_") ? word
                                                                 : STR("");
}

static enum gw_err refuse(const struct prov_op *op, const struct http_res *res,
                          struct gw_error *e)
{
    struct gw_error ignored = {0};
    const struct json *body = json_parse(op->arena, res->body, &ignored);
    struct str word = word_of(body), number = STR("");
    int64_t n;

    if (json_int(json_at(json_get(body, "error_codes"), 0), &n) && n > 0)
        number = arena_printf(op->arena, ", AADSTS%lld", (long long)n);
    return err_set(e, GW_UPSTREAM_AUTH,
                   "provider '%s' got no access token for its client "
                   "credentials: %.*s%.*s",
                   op->conf->name, STR_ARG(word.n ? word : STR("refused")),
                   STR_ARG(number));
}

/* Is it us that they do not like, or are they not well? */
static bool is_refusal(int status)
{
    return status >= 400 && status < 500 && status != 408 && status != 429;
}

static enum gw_err read_error(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e)
{
    struct http_res meant = *res;

    if (is_refusal(res->status))
        return refuse(op, res, e);
    if (res->status == 501) /* else told of the operation, not of them */
        return err_plain(e, GW_UPSTREAM_FAILED);
    meant.body = STR("");
    return prov_http_error(op, &meant, e);
}

enum gw_err entra_read(struct prov_op *op, const struct http_res *res,
                       struct gw_error *e)
{
    const struct json *v;
    struct str token;
    int64_t life_s;

    if (res->status != 200)
        return read_error(op, res, e);
    v = prov_json(op, res, e);
    if (!v)
        return e->err;
    token = json_str(json_get(v, "access_token"));
    if (!token.n || !prov_is_field_value(token) ||
        !json_int(json_get(v, "expires_in"), &life_s) || life_s <= 0)
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "provider '%s' got an answer without a usable access "
                       "token for its client credentials",
                       op->conf->name);
    op->grant.token = token;
    op->grant.expires_s = op->now_s + MIN(life_s, LIFE_MAX_S);
    return GW_OK;
}
