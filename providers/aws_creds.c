#include "providers/aws_creds.h"

#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "providers/prov_util.h"

/* An instance's keys take three exchanges: a token for the metadata service
 * (a PUT, which what an attacker can make others send is not), the role's name,
 * the role's keys. A container's take one, to a URL that it was given together
 * with the secret to send along.
 */

#define TOKEN_TTL "21600" /* seconds, the most there is */
#define TOKEN_MAX 512
#define ROLE_MAX 128
#define ROLES "/latest/meta-data/iam/security-credentials/"

/* --- profiles --- */

static bool is_section(struct str line, struct str *name)
{
    struct str rest;

    if (!str_starts(line, STR("[")) ||
        !str_cut(str_make(line.p + 1, line.n - 1), ']', name, &rest))
        return false;
    *name = str_trim(*name);
    return true;
}

static bool take_line(struct str *text, struct str *line)
{
    if (!text->n)
        return false;
    str_cut(*text, '\n', line, text);
    if (str_ends(*line, STR("\r")))
        line->n--;
    return true;
}

struct str aws_ini_get(struct str text, struct str section, struct str key)
{
    struct str line, name, value;
    bool is_here = false;

    while (take_line(&text, &line)) {
        if (!line.n || strchr(" \t#;", line.p[0]))
            continue;
        if (is_section(line, &name))
            is_here = str_eq(name, section);
        else if (is_here && str_cut(line, '=', &name, &value) &&
                 str_eq_nocase(str_trim(name), key))
            return str_trim(value);
    }
    return STR_NULL;
}

/* [x] in the file of credentials, [profile x] in that of settings. */
static struct str profile_get(const struct aws_conf *c, const char *key)
{
    char section[256];
    struct str name = str_of(c->profile), value;
    struct buf b;

    value = aws_ini_get(str_of(c->credentials_file), name, str_of(key));
    if (value.n || name.n > sizeof(section) / 2)
        return value;
    buf_init(&b, sizeof(section));
    buf_printf(&b, "%s%s", str_eq_c(name, "default") ? "" : "profile ",
               c->profile);
    value = aws_ini_get(str_of(c->config_file), buf_str(&b), str_of(key));
    buf_release(&b);
    return value.p ? value : STR("");
}

static bool find_profile(struct aws_conf *c)
{
    c->key_id = profile_get(c, "aws_access_key_id");
    c->secret = profile_get(c, "aws_secret_access_key");
    c->token = profile_get(c, "aws_session_token");
    return c->key_id.n && c->secret.n;
}

/* --- the check --- */

static bool has_keys(const struct aws_conf *c)
{
    return c->access_key_id[0] || c->secret_access_key[0];
}

static bool has_container(const struct aws_conf *c)
{
    return c->container_relative_uri[0] || c->container_full_uri[0];
}

static enum aws_source pick(struct aws_conf *c)
{
    if (c->source != AWS_AUTO)
        return (enum aws_source)c->source;
    if (has_keys(c))
        return AWS_KEYS;
    if (find_profile(c))
        return AWS_PROFILE;
    return has_container(c) ? AWS_CONTAINER : AWS_INSTANCE;
}

static enum gw_err check_keys(struct aws_conf *c, struct gw_error *e)
{
    c->key_id = str_of(c->access_key_id);
    c->secret = str_of(c->secret_access_key);
    c->token = str_of(c->session_token);
    /* Lasting keys have none: what the environment holds is another's. */
    if (str_starts(c->key_id, STR("AKIA")))
        c->token = STR("");
    if (c->key_id.n && c->secret.n)
        return GW_OK;
    return err_set(e, GW_INVALID_VALUE,
                   "'access_key_id' and 'secret_access_key' are needed, both");
}

static enum gw_err check_profile(struct aws_conf *c, struct gw_error *e)
{
    if (find_profile(c))
        return GW_OK;
    return err_set(e, GW_INVALID_VALUE,
                   "the profile '%s' has no aws_access_key_id and "
                   "aws_secret_access_key",
                   c->profile);
}

static enum gw_err check_url(const char *name, const char *url,
                             struct gw_error *e)
{
    if (url_origin(str_of(url)).p)
        return GW_OK;
    return err_set(e, GW_INVALID_VALUE,
                   "'%s' must be an http:// or https:// URL", name);
}

static enum gw_err check_container(struct aws_conf *c, struct gw_error *e)
{
    if (!has_container(c))
        return err_set(e, GW_INVALID_VALUE,
                       "'container_relative_uri' or 'container_full_uri' is "
                       "needed");
    if (c->container_relative_uri[0] == '/')
        return check_url("container_endpoint", c->container_endpoint, e);
    if (c->container_relative_uri[0])
        return err_set(e, GW_INVALID_VALUE,
                       "'container_relative_uri' must start with a slash");
    return check_url("container_full_uri", c->container_full_uri, e);
}

static bool is_value(struct str s)
{
    return prov_is_field_value(s);
}

static enum gw_err check_source(struct aws_conf *c, struct gw_error *e)
{
    switch ((enum aws_source)c->source) {
    case AWS_KEYS:
        return check_keys(c, e);
    case AWS_PROFILE:
        return check_profile(c, e);
    case AWS_CONTAINER:
        return check_container(c, e);
    case AWS_INSTANCE:
        return check_url("metadata_endpoint", c->metadata_endpoint, e);
    case AWS_AUTO:
        break;
    }
    BUG("no source of credentials");
}

enum gw_err aws_check(struct aws_conf *c, struct gw_error *e)
{
    c->source = pick(c);
    if (check_source(c, e))
        return e->err;
    c->found_region = str_of(c->region);
    if (!c->found_region.n)
        c->found_region = profile_get(c, "region");
    if (!is_value(c->key_id) || !is_value(c->secret) || !is_value(c->token) ||
        !is_value(str_of(c->container_token)))
        return err_set(e, GW_INVALID_VALUE,
                       "the credentials have a control character");
    return GW_OK;
}

bool aws_is_temporary(const struct aws_conf *c)
{
    return c->source == AWS_CONTAINER || c->source == AWS_INSTANCE;
}

/* --- getting them: requests --- */

/* Nothing of what is meant for the provider itself goes along. */
static void ask(struct prov_op *op, struct prov_exchange *x, const char *method,
                struct str url)
{
    *x = (struct prov_exchange){0};
    x->http.method = method;
    x->http.url = url;
    x->http.is_direct = true;
    http_fields_add(&x->http.fields, op->arena, STR("Accept"), STR("*/*"));
}

static void ask_container(struct prov_op *op, const struct aws_conf *c,
                          struct prov_exchange *x)
{
    struct str url = str_of(c->container_full_uri);

    if (c->container_relative_uri[0])
        url = url_join(op->arena, str_of(c->container_endpoint),
                       str_of(c->container_relative_uri));
    ask(op, x, "GET", url);
    if (c->container_token[0])
        http_fields_add(&x->http.fields, op->arena, STR("Authorization"),
                        str_of(c->container_token));
}

static void ask_instance(struct prov_op *op, const struct aws_conf *c,
                         const struct aws_grant *g, struct prov_exchange *x)
{
    struct str base = str_of(c->metadata_endpoint);
    struct str path = STR("/latest/api/token");

    if (g->token.n)
        path = arena_printf(op->arena, ROLES "%.*s", STR_ARG(g->role));
    ask(op, x, g->token.n ? "GET" : "PUT", url_join(op->arena, base, path));
    if (g->token.n)
        http_fields_add(&x->http.fields, op->arena,
                        STR("X-aws-ec2-metadata-token"), g->token);
    else
        http_fields_add(&x->http.fields, op->arena,
                        STR("X-aws-ec2-metadata-token-ttl-seconds"),
                        STR(TOKEN_TTL));
}

enum prov_step aws_grant_next(struct prov_op *op, const struct aws_conf *c,
                              struct aws_grant *g, struct prov_exchange *x)
{
    if (g->is_over)
        return PROV_DONE;
    if (c->source == AWS_CONTAINER)
        ask_container(op, c, x);
    else
        ask_instance(op, c, g, x);
    return PROV_SEND_HTTP;
}

/* --- getting them: answers --- */

static enum gw_err refuse(const struct prov_op *op, const char *why,
                          struct gw_error *e)
{
    return err_set(e, GW_UPSTREAM_AUTH,
                   "there are no credentials for provider '%s': the metadata "
                   "service %s",
                   op->conf->name, why);
}

static enum gw_err refuse_status(const struct prov_op *op, int status,
                                 struct gw_error *e)
{
    char why[64];

    snprintf(why, sizeof(why), "answered with status %d", status);
    refuse(op, why, e);
    return e->err;
}

static enum gw_err read_keys(struct prov_op *op, struct aws_grant *g,
                             const struct http_res *res, struct gw_error *e)
{
    struct gw_error ignored = {0};
    const struct json *v = json_parse(op->arena, res->body, &ignored);
    struct prov_grant *out = &op->grant;

    *out = (struct prov_grant){
        .key_id = json_str(json_get(v, "AccessKeyId")),
        .secret = json_str(json_get(v, "SecretAccessKey")),
        .token = json_str(json_get(v, "Token")),
        .expires_s = file_obj_time(json_get(v, "Expiration")),
    };
    if (!out->key_id.n || !out->secret.n || !is_value(out->key_id) ||
        !is_value(out->token))
        return refuse(op, "sent none", e);
    g->is_over = true;
    return GW_OK;
}

/* One line, which becomes part of a header field or of a path. */
static bool read_line(struct prov_op *op, struct str body, size_t max,
                      struct str *out)
{
    struct str rest;

    str_cut(body, '\n', &body, &rest);
    body = str_trim(body);
    if (!body.n || body.n > max || !prov_is_field_value(body) ||
        str_find(body, ' ') >= 0)
        return false;
    *out = arena_dup(op->arena, body);
    return true;
}

static enum gw_err read_instance(struct prov_op *op, struct aws_grant *g,
                                 const struct http_res *res, struct gw_error *e)
{
    struct str role;

    if (!g->token.n)
        return read_line(op, res->body, TOKEN_MAX, &g->token)
                   ? GW_OK
                   : refuse(op, "gave no token", e);
    if (g->role.n)
        return read_keys(op, g, res, e);
    if (!read_line(op, res->body, ROLE_MAX, &role))
        return refuse(op, "knows no role of this instance", e);
    g->role = url_encoded(op->arena, role);
    return GW_OK;
}

enum gw_err aws_grant_reply(struct prov_op *op, const struct aws_conf *c,
                            struct aws_grant *g, const struct http_res *res,
                            struct gw_error *e)
{
    if (res->status == 404 && g->token.n)
        return refuse(op, "knows no role of this instance", e);
    if (res->status != 200 || res->body_was_cut)
        return refuse_status(op, res->status, e);
    return c->source == AWS_CONTAINER ? read_keys(op, g, res, e)
                                      : read_instance(op, g, res, e);
}
