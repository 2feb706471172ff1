#include "providers/provider.h"

#include "gateway/codec/fileid.h"
#include "gateway/codec/url.h"
#include "providers/prov_util.h"
#include "providers/registry.h"

/* The keys that every entry of `providers:` has, and what must hold of them.
 * What a type needs besides is its own section; its check runs first, for it
 * may fill in a base_url. */

#define NAME_MAX_BYTES 64

const char *prov_opcode_name(enum prov_opcode code)
{
    static const char *const names[PROV_OPCODES] = {
        [PROV_CREATE] = "create",
        [PROV_GET] = "get",
        [PROV_LIST] = "list",
        [PROV_DELETE] = "delete",
        [PROV_CONTENT] = "content",
        [PROV_GRANT] = "grant",
        [PROV_BATCH_CREATE] = "batch_create",
        [PROV_BATCH_GET] = "batch_get",
        [PROV_BATCH_CANCEL] = "batch_cancel",
        [PROV_UPLOAD_CREATE] = "upload_create",
        [PROV_UPLOAD_PART] = "upload_part",
        [PROV_UPLOAD_COMPLETE] = "upload_complete",
        [PROV_UPLOAD_CANCEL] = "upload_cancel",
        [PROV_FORWARD] = "forward"};

    return names[code];
}

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_name_byte(char c)
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
}

/* A name stands in paths (/<provider>/v1/files), in Redis keys and in the
 * metrics' labels. */
static enum gw_err check_name(const char *name, struct gw_error *e)
{
    struct str s = str_of(name);
    bool is_valid = s.n > 0 && s.n <= NAME_MAX_BYTES;
    size_t i;

    for (i = 0; i < s.n && is_valid; i++)
        is_valid = is_name_byte(s.p[i]);
    if (is_valid)
        return GW_OK;
    return err_set(e, GW_INVALID_VALUE,
                   "the name of a provider must be 1 to %d of a-z A-Z 0-9 "
                   "- _ .",
                   NAME_MAX_BYTES);
}

/* Without a namespace, the name's part in a-z0-9 serves. */
static enum gw_err set_namespace(struct provider_conf *c, struct gw_error *e)
{
    const char *from;
    size_t n = 0;

    if (c->ns[0] && !fileid_is_namespace(str_of(c->ns)))
        return err_set(e, GW_INVALID_VALUE,
                       "'namespace' must be 1 to %d of a-z0-9",
                       LIMIT_NAMESPACE_BYTES);
    if (c->ns[0])
        return GW_OK;
    for (from = c->name; *from; from++)
        if (is_lower_or_digit(*from) && n < LIMIT_NAMESPACE_BYTES)
            c->derived_ns[n++] = *from;
    c->ns = c->derived_ns;
    if (n == 0)
        return err_set(e, GW_INVALID_VALUE,
                       "'namespace' is needed: the name holds nothing of "
                       "a-z0-9");
    return GW_OK;
}

/* A query would end up in the middle of every URL, and credentials belong in
 * a secret key, not in a URL that gets printed. */
static enum gw_err check_base_url(const struct provider_conf *c,
                                  struct gw_error *e)
{
    struct str url = str_of(c->base_url);
    size_t i;

    if (url.n == 0)
        return GW_OK;
    if (!url_origin(url).p)
        return err_set(e, GW_INVALID_VALUE,
                       "'base_url' must be an http:// or https:// URL "
                       "without credentials");
    for (i = 0; i < url.n; i++)
        if ((unsigned char)url.p[i] <= ' ' || url.p[i] == '?' ||
            url.p[i] == '#' || (unsigned char)url.p[i] >= 0x7f)
            return err_set(e, GW_INVALID_VALUE,
                           "'base_url' must have no query, fragment, space "
                           "or byte outside ASCII");
    return GW_OK;
}

/* Those that http_client writes itself, and that decide where a body ends. */
static bool is_framing(struct str name)
{
    static const char *const names[] = {
        "host",       "content-length", "transfer-encoding",
        "connection", "content-type",   "expect"};
    size_t i;

    for (i = 0; i < COUNTOF(names); i++)
        if (str_eq_nocase(name, str_of(names[i])))
            return true;
    return false;
}

static enum gw_err check_headers(const struct provider_conf *c,
                                 struct gw_error *e)
{
    size_t i;

    for (i = 0; i < c->headers.n; i++) {
        struct str name = str_of(c->headers.v[i].key);

        if (!prov_is_field_name(name) || is_framing(name))
            return err_set(e, GW_INVALID_VALUE,
                           "'headers' cannot set the field '%.*s'",
                           STR_ARG(name));
        if (!prov_is_field_value(str_of(c->headers.v[i].value)))
            return err_set(e, GW_INVALID_VALUE,
                           "'headers' has a control character in '%.*s'",
                           STR_ARG(name));
    }
    return GW_OK;
}

static enum gw_err check(void *data, const char *name, struct gw_error *e)
{
    struct provider_conf *c = data;

    c->name = name;
    c->type = registry_find(c->type_name);
    if (!c->type) /* which the reader of the file has told already */
        return GW_OK;
    if (check_name(name, e) || set_namespace(c, e))
        return e->err;
    if (c->type->check && c->type->check(c, e))
        return e->err;
    if (check_base_url(c, e))
        return e->err;
    return check_headers(c, e);
}

static const struct conf_section *select_type(const char *value)
{
    const struct provider_type *t = registry_find(value);

    return t ? t->section : NULL;
}

/* "50%", or the number alone. */
static enum gw_err check_breaker(void *data, const char *name UNUSED,
                                 struct gw_error *e)
{
    struct provider_breaker *b = data;
    struct str rate = str_of(b->rate);

    if (str_ends(rate, STR("%")))
        rate.n--;
    if (str_to_i64(rate, &b->percent) && b->percent >= 0 && b->percent <= 100)
        return GW_OK;
    return err_set(e, GW_INVALID_VALUE, "'rate' must be 0%% to 100%%");
}

#define AT(member) offsetof(struct provider_conf, member)
#define BREAKER(member) offsetof(struct provider_breaker, member)

/* clang-format off */
static const struct conf_key breaker_keys[] = {
    {.name = "failures", .type = CONF_INT, .offset = BREAKER(failures),
     .def = "5", .max = 1000000,
     .help = "so many in a row open it; 0: they do not"},
    {.name = "rate", .type = CONF_STR, .offset = BREAKER(rate), .def = "50%",
     .help = "this part of the operations in the window failing opens it; 0%: "
             "none does"},
    {.name = "calls", .type = CONF_INT, .offset = BREAKER(calls), .def = "20",
     .min = 1, .max = 1000000,
     .help = "with fewer operations in the window the rate does not count"},
    {.name = "window", .type = CONF_DURATION, .offset = BREAKER(window_ms),
     .def = "30s", .min = 10, .max = 3600000,
     .help = "over which the rate is taken"},
    {.name = "open_for", .type = CONF_DURATION, .offset = BREAKER(open_ms),
     .def = "15s", .min = 1, .max = 3600000,
     .help = "then one operation is let through to see whether it works again"},
    {.name = NULL},
};

static const struct conf_section breaker_section = {
    .size = sizeof(struct provider_breaker),
    .keys = breaker_keys,
    .check = check_breaker,
};

static const struct conf_key keys[] = {
    {.name = "type", .type = CONF_STR, .offset = AT(type_name),
     .is_required = true,
     .help = "the kind of provider: a name of the table in providers/README.md"},
    {.name = "base_url", .type = CONF_STR, .offset = AT(base_url),
     .help = "where its API is, up to and including a version such as /v1; "
             "empty: where the vendor has it"},
    {.name = "namespace", .type = CONF_STR, .offset = AT(ns),
     .help = "its part of the ids handed out, 1 to 16 of a-z0-9; empty: the "
             "name without other characters"},
    {.name = "timeout", .type = CONF_DURATION, .offset = AT(timeout_ms),
     .def = "120s", .min = 1, .max = 3600000,
     .help = "a transfer without progress for so long is given up"},
    {.name = "connect_timeout", .type = CONF_DURATION,
     .offset = AT(connect_timeout_ms), .def = "10s", .min = 1, .max = 600000,
     .help = "time to connect, TLS included"},
    {.name = "headers", .type = CONF_STR_MAP, .offset = AT(headers),
     .help = "header fields added to every request",
     .example = "x-team: files"},
    {.name = "max_file_bytes", .type = CONF_SIZE, .offset = AT(max_file_bytes),
     .help = "the largest file it takes; 0: the global limit alone"},
    {.name = "ca_file", .type = CONF_STR, .offset = AT(ca_file),
     .help = "certificates to trust (PEM) in place of the system's"},
    {.name = "proxy", .type = CONF_STR, .offset = AT(proxy),
     .help = "HTTP or SOCKS proxy, as a URL; empty: none"},
    {.name = "default_expiry", .type = CONF_DURATION,
     .offset = AT(default_expiry_ms),
     .help = "files without expires_after end after this; 0: never"},
    {.name = "breaker", .type = CONF_SECTION, .offset = AT(breaker),
     .sub = &breaker_section,
     .help = "when it fails it is not asked for a while; failures are: not "
             "reached, cut off, too slow, and its 5xx"},
    {.name = NULL},
};
/* clang-format on */

const struct conf_section provider_conf_section = {
    .size = sizeof(struct provider_conf),
    .keys = keys,
    .selector = "type",
    .select = select_type,
    .selector_names = registry_names,
    .own_offset = AT(own),
    .check = check,
};
