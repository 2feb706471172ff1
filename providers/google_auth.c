#include "providers/google_auth.h"

#include "gateway/base/bug.h"
#include "gateway/base/crypto.h"
#include "gateway/codec/base64.h"
#include "gateway/codec/url.h"
#include "providers/prov_util.h"

/* The key is parsed anew for every token, which is once an hour: so nothing
 * but the configuration's text has to be kept, and the check at load is the
 * same code. A token endpoint is another host than the storage's. What it
 * answers is told to clients in our words alone, but for the code of an
 * OAuth error (RFC 6749, 5.2), which tells an operator what to look at. */

#define TOKEN_URI "https://oauth2.googleapis.com/token"
/* A clock that is a little ahead would sign tokens from the future. */
#define BACKDATE_S 30
#define LIFETIME_S 3600 /* the longest that is taken */
#define JWT_BYTES (8 * KIB)
#define TOKEN_BYTES (16 * KIB)

/* --- a service account's key --- */

static enum gw_err lacks(const char *member, struct gw_error *e)
{
    return err_set(e, GW_INVALID_VALUE, "'credentials' has no usable '%s'",
                   member);
}

static bool is_url(struct str s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f)
            return false;
    return url_origin(s).p != NULL;
}

enum gw_err google_key_read(struct arena *a, struct str json,
                            struct google_key *out, struct gw_error *e)
{
    struct gw_error ignored = {0};
    const struct json *v = json_parse(a, json, &ignored);
    struct str uri = json_str(json_get(v, "token_uri"));

    if (!json_is_object(v))
        return err_set(e, GW_INVALID_VALUE,
                       "'credentials' is not the JSON of a key file (a path "
                       "takes file: before it)");
    if (!str_eq(json_str(json_get(v, "type")), STR("service_account")))
        return err_set(e, GW_INVALID_VALUE,
                       "'credentials' has another 'type' than service_account");
    *out = (struct google_key){
        .email = json_str(json_get(v, "client_email")),
        .key_id = json_str(json_get(v, "private_key_id")),
        .pem = json_str(json_get(v, "private_key")),
        .token_uri = uri.n ? uri : STR(TOKEN_URI),
    };
    if (!out->email.n)
        return lacks("client_email", e);
    if (!out->pem.n)
        return lacks("private_key", e);
    return is_url(out->token_uri) ? GW_OK : lacks("token_uri", e);
}

/* --- the token that is signed (RFC 7519) --- */

static void add_encoded(struct buf *out, struct buf *part)
{
    ASSERT(!part->overflow);
    base64_encode_url(out, part->p, part->n);
    buf_release(part);
}

static void add_header(struct buf *out, const struct google_key *k)
{
    struct json_out j;
    struct buf b;

    buf_init(&b, JWT_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_put_cstr(&j, "alg", "RS256");
    json_put_cstr(&j, "typ", "JWT");
    if (k->key_id.n)
        json_put_str(&j, "kid", k->key_id);
    json_close(&j);
    add_encoded(out, &b);
}

static void add_claims(struct buf *out, const struct google_key *k,
                       const char *scope, int64_t now_s)
{
    int64_t issued_s = now_s - BACKDATE_S;
    struct json_out j;
    struct buf b;

    buf_init(&b, JWT_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_put_str(&j, "iss", k->email);
    json_put_cstr(&j, "scope", scope);
    json_put_str(&j, "aud", k->token_uri);
    json_put_int(&j, "iat", issued_s);
    json_put_int(&j, "exp", issued_s + LIFETIME_S);
    json_close(&j);
    add_encoded(out, &b);
}

struct str google_key_jwt(struct arena *a, const struct google_key *k,
                          const char *scope, int64_t now_s)
{
    unsigned char signature[CRYPTO_RSA_BYTES];
    struct str jwt = STR_NULL;
    struct buf b;
    size_t n;

    buf_init(&b, 4 * JWT_BYTES);
    add_header(&b, k);
    buf_add_byte(&b, '.');
    add_claims(&b, k, scope, now_s);
    if (crypto_sign_rs256(k->pem, buf_str(&b), signature, &n)) {
        buf_add_byte(&b, '.');
        base64_encode_url(&b, signature, n);
        ASSERT(!b.overflow);
        jwt = arena_dup(a, buf_str(&b));
    }
    buf_release(&b);
    return jwt;
}

/* --- the configuration --- */

/* By signing something: a key that cannot is found at load. */
static enum gw_err check_key(const struct google_auth *g, struct gw_error *e)
{
    struct arena *a = arena_new();
    struct google_key k;
    enum gw_err err = google_key_read(a, str_of(g->credentials), &k, e);

    if (err == GW_OK && k.email.n + k.key_id.n + k.token_uri.n > JWT_BYTES / 4)
        err = err_set(e, GW_INVALID_VALUE, "'credentials' is too long");
    if (err == GW_OK && !google_key_jwt(a, &k, g->scope, 0).p)
        err = lacks("private_key", e);
    arena_free(a);
    return err;
}

enum gw_err google_auth_check(const struct google_auth *g, struct gw_error *e)
{
    if (g->token[0] && g->credentials[0])
        return err_set(e, GW_INVALID_VALUE,
                       "'token' and 'credentials' exclude each other");
    if (prov_check_value("token", g->token, e))
        return e->err;
    if (!g->scope[0] || strlen(g->scope) > JWT_BYTES / 4)
        return err_set(e, GW_INVALID_VALUE, "'scope' is empty or too long");
    if (!is_url(str_of(g->metadata_url)))
        return err_set(e, GW_INVALID_VALUE,
                       "'metadata_url' must be an http:// or https:// URL");
    return g->credentials[0] ? check_key(g, e) : GW_OK;
}

bool google_auth_is_temporary(const struct google_auth *g)
{
    return !g->token[0];
}

/* --- the exchange --- */

/* Without the entry's header fields: they are for another host. */
static void start(struct prov_op *op, struct prov_exchange *x,
                  const char *method, struct str url)
{
    *x = (struct prov_exchange){.http = {.method = method, .url = url}};
    prov_field(op, x, "Accept", STR("application/json"));
}

static void describe_signed(struct prov_op *op, const struct google_auth *g,
                            struct prov_exchange *x)
{
    struct gw_error e = {0};
    struct google_key k;
    struct str jwt;

    if (google_key_read(op->arena, str_of(g->credentials), &k, &e) != GW_OK)
        BUG("credentials that were checked: %s", e.message);
    jwt = google_key_jwt(op->arena, &k, g->scope, op->now_s);
    ASSERT(jwt.p);
    start(op, x, "POST", k.token_uri);
    prov_field(op, x, "Content-Type", STR("application/x-www-form-urlencoded"));
    http_req_add_mem(
        &x->http,
        arena_printf(op->arena,
                     "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type"
                     "%%3Ajwt-bearer&assertion=%.*s",
                     STR_ARG(jwt)));
}

void google_auth_describe(struct prov_op *op, const struct google_auth *g,
                          struct prov_exchange *x)
{
    if (g->credentials[0]) {
        describe_signed(op, g, x);
        return;
    }
    start(op, x, "GET", str_of(g->metadata_url));
    prov_field(op, x, "Metadata-Flavor", STR("Google"));
    x->http.is_direct = true;
}

/* --- the answer --- */

static bool holds(struct str s, const char *what)
{
    return s.n && memmem(s.p, s.n, what, strlen(what));
}

/* "Token must be a short-lived token (60 minutes) and in a reasonable
 * timeframe. Check your iat and exp values in the JWT claim." */
static bool speaks_of_time(struct str said)
{
    return holds(said, "timeframe") || holds(said, "iat and exp") ||
           holds(said, "clock") || holds(said, "issued in the future") ||
           holds(said, "JWT expired");
}

static bool is_code(struct str s)
{
    return s.n > 0 && s.n < 64 && str_is_made_of(s, "_");
}

static enum gw_err refused(const struct prov_op *op, const struct http_res *res,
                           struct gw_error *e)
{
    struct gw_error ignored = {0};
    const struct json *v = json_parse(op->arena, res->body, &ignored);
    struct str code = json_str(json_get(v, "error"));
    struct str why = json_str(json_get(v, "error_description"));

    if (str_eq(code, STR("invalid_grant")) && speaks_of_time(why))
        return err_set(e, GW_UPSTREAM_AUTH,
                       "provider '%s' got no access token: the clock of this "
                       "machine may be off (invalid_grant)",
                       op->conf->name);
    if (is_code(code))
        return err_set(e, GW_UPSTREAM_AUTH,
                       "provider '%s' got no access token: %.*s",
                       op->conf->name, STR_ARG(code));
    return err_set(e, GW_UPSTREAM_AUTH,
                   "provider '%s' got no access token: status %d",
                   op->conf->name, res->status);
}

/* What the endpoint refuses is about our credentials, unless it asks for
 * patience. */
static enum gw_err read_error(const struct prov_op *op,
                              const struct http_res *res, struct gw_error *e)
{
    struct http_res bare = *res;

    if (res->status >= 400 && res->status < 500 && res->status != 408 &&
        res->status != 429)
        return refused(op, res, e);
    bare.body = STR("");
    return prov_http_error(op, &bare, e);
}

static bool is_bearer(const struct json *v)
{
    struct str type = json_str(json_get(v, "token_type"));

    return !type.n || str_eq_nocase(type, STR("Bearer"));
}

enum gw_err google_auth_read(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e)
{
    const struct json *v;
    struct str token;
    int64_t lasts_s;

    if (res->status != 200)
        return read_error(op, res, e);
    v = prov_json(op, res, e);
    if (!v)
        return e->err;
    token = json_str(json_get(v, "access_token"));
    if (!json_int(json_get(v, "expires_in"), &lasts_s))
        lasts_s = LIFETIME_S;
    if (!token.n || token.n > TOKEN_BYTES || !prov_is_field_value(token) ||
        !is_bearer(v) || lasts_s <= 0)
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "provider '%s' got an answer without a usable access "
                       "token",
                       op->conf->name);
    op->grant = (struct prov_grant){
        .token = arena_dup(op->arena, token),
        .key_id = STR(""),
        .secret = STR(""),
        .expires_s = op->now_s + MIN(lasts_s, 24 * LIFETIME_S),
    };
    return GW_OK;
}

struct str google_auth_bearer(const struct prov_op *op,
                              const struct google_auth *g)
{
    struct str token = g->token[0] ? str_of(g->token) : op->grant.token;

    return arena_printf(op->arena, "Bearer %.*s", STR_ARG(token));
}
