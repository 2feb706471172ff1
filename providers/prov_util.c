#include "providers/prov_util.h"

#include <stdarg.h>
#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "providers/prov_said.h"

/* --- requests --- */

static struct str format(struct arena *a, const char *fmt, va_list ap)
{
    va_list again;
    char *p;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    ASSERT(n >= 0);
    p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    return str_make(p, (size_t)n);
}

void prov_http(struct prov_op *op, struct prov_exchange *x, const char *method,
               const char *path_fmt, ...)
{
    const struct conf_pairs *headers = &op->conf->headers;
    struct str path;
    va_list ap;
    size_t i;

    va_start(ap, path_fmt);
    path = format(op->arena, path_fmt, ap);
    va_end(ap);
    *x = (struct prov_exchange){0};
    x->http.method = method;
    x->http.url = url_join(op->arena, str_of(op->conf->base_url), path);
    for (i = 0; i < headers->n; i++)
        http_fields_add(&x->http.fields, op->arena, str_of(headers->v[i].key),
                        str_of(headers->v[i].value));
}

void prov_field(struct prov_op *op, struct prov_exchange *x, const char *name,
                struct str value)
{
    if (!http_fields_get(&x->http.fields, str_of(name)).p)
        http_fields_add(&x->http.fields, op->arena, str_of(name), value);
}

static struct str range_of(const struct prov_op *op)
{
    if (op->range_last < 0)
        return arena_printf(op->arena, "bytes=%lld-",
                            (long long)op->range_first);
    return arena_printf(op->arena, "bytes=%lld-%lld",
                        (long long)op->range_first, (long long)op->range_last);
}

void prov_download(struct prov_op *op, struct prov_exchange *x)
{
    prov_field(op, x, "Accept", STR("*/*"));
    /* What comes down is what went up: no coding in between. */
    prov_field(op, x, "Accept-Encoding", STR("identity"));
    if (op->range_first >= 0)
        prov_field(op, x, "Range", range_of(op));
    x->http.is_sink = true;
}

static bool is_token_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool prov_is_field_name(struct str name)
{
    size_t i;

    for (i = 0; i < name.n; i++)
        if (!is_token_byte(name.p[i]))
            return false;
    return name.n > 0;
}

bool prov_is_field_value(struct str value)
{
    size_t i;

    for (i = 0; i < value.n; i++)
        if ((unsigned char)value.p[i] < ' ' || value.p[i] == 0x7f)
            return false;
    return true;
}

enum gw_err prov_check_value(const char *name, const char *value,
                             struct gw_error *e)
{
    if (prov_is_field_value(str_of(value)))
        return GW_OK;
    return err_set(e, GW_INVALID_VALUE, "'%s' has a control character", name);
}

struct str prov_cut(struct str s, size_t max)
{
    if (s.n <= max)
        return s;
    while (max && ((unsigned char)s.p[max] & 0xc0) == 0x80)
        max--;
    return str_make(s.p, max);
}

/* --- Retry-After --- */

#define WAIT_MAX_S 86400

static int bounded_wait(int64_t s)
{
    return (int)MAX(0, MIN(s, WAIT_MAX_S));
}

/* Whole part of a number that may have a fraction, rounded up. */
static bool read_number(struct str s, int64_t *out)
{
    struct str whole, fraction;
    int64_t rest;

    if (!str_cut(str_trim(s), '.', &whole, &fraction))
        return str_to_i64(whole, out);
    if (!str_to_i64(whole, out) || !str_to_i64(fraction, &rest))
        return false;
    *out += rest > 0;
    return true;
}

/* The three forms of a date in HTTP (RFC 9110, 5.6.7), all in GMT. */
static bool read_date(const char *text, int64_t *out)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT",
                                        "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %d %H:%M:%S %Y"};
    const char *end;
    struct tm tm;
    size_t i;

    for (i = 0; i < COUNTOF(forms); i++) {
        tm = (struct tm){0};
        end = strptime(text, forms[i], &tm);
        if (!end || *end)
            continue;
        *out = timegm(&tm);
        return true;
    }
    return false;
}

int64_t prov_http_date(struct arena *a, struct str text)
{
    int64_t s;

    return text.n && read_date(arena_cstr(a, text), &s) ? s : 0;
}

int prov_retry_after(struct arena *a, const struct http_fields *fields,
                     int64_t now_s)
{
    struct str ms = http_fields_get(fields, STR("retry-after-ms"));
    struct str s = str_trim(http_fields_get(fields, STR("retry-after")));
    int64_t n;

    if (read_number(ms, &n))
        return bounded_wait(n / 1000 + (n % 1000 > 0));
    if (read_number(s, &n))
        return bounded_wait(n);
    if (s.n && read_date(arena_cstr(a, s), &n))
        return bounded_wait(n - now_s);
    return 0;
}

/* --- errors --- */

static const struct rule {
    int status;
    enum gw_err err;
    bool has_message; /* the provider's own is passed on */
    bool has_code;
} rules[] = {
    /* clang-format off */
    {400, GW_UPSTREAM_REJECTED,      true,  true},
    {401, GW_UPSTREAM_AUTH,          false, false},
    {402, GW_UPSTREAM_QUOTA,         true,  false},
    {403, GW_UPSTREAM_AUTH,          false, false},
    {404, GW_FILE_NOT_FOUND,         true,  false},
    {405, GW_UNSUPPORTED_OPERATION,  false, false},
    {408, GW_UPSTREAM_TIMEOUT,       false, false},
    {409, GW_CONFLICT,               true,  false},
    {410, GW_FILE_NOT_FOUND,         true,  false},
    {411, GW_UPSTREAM_FAILED,        false, false},
    {413, GW_FILE_TOO_LARGE,         true,  false},
    {415, GW_UNSUPPORTED_MEDIA,      true,  false},
    {416, GW_RANGE_NOT_SATISFIABLE,  true,  false},
    {422, GW_UPSTREAM_UNPROCESSABLE, true,  true},
    {429, GW_UPSTREAM_RATE_LIMITED,  true,  true},
    {498, GW_UPSTREAM_BUSY,          false, false},
    {501, GW_UNSUPPORTED_OPERATION,  false, false},
    {503, GW_UPSTREAM_BUSY,          false, false},
    {504, GW_UPSTREAM_TIMEOUT,       false, false},
    {529, GW_UPSTREAM_BUSY,          false, false},
    /* clang-format on */
};

static struct rule rule_of(int status)
{
    static const struct rule refused = {.err = GW_UPSTREAM_REJECTED,
                                        .has_message = true};
    static const struct rule failed = {.err = GW_UPSTREAM_FAILED};
    static const struct rule nonsense = {.err = GW_UPSTREAM_BAD_RESPONSE};
    size_t i;

    for (i = 0; i < COUNTOF(rules); i++)
        if (rules[i].status == status)
            return rules[i];
    if (status >= 400 && status < 500)
        return refused;
    return status >= 500 && status < 600 ? failed : nonsense;
}

static bool speaks_of(const struct prov_said *said, const char *const *words)
{
    for (; *words; words++)
        if (str_eq_c(said->code, *words) || str_eq_c(said->type, *words))
            return true;
    return false;
}

/* A used-up quota does not come back by waiting, a rate limit does. */
static const char *const quota_words[] = {
    "insufficient_quota", "quota_exceeded", "billing_hard_limit_reached",
    "budget_exceeded", NULL};

/* LiteLLM refuses keys with a 400, one it does not know because it has no
 * database to look into. */
static const char *const key_words[] = {"auth_error", "expired_key",
                                        "token_not_found_in_db",
                                        "no_db_connection", NULL};

/* Of a call that is passed on nobody here knows what it is about. */
static const struct rule passed_on[] = {
    /* clang-format off */
    {404, GW_UPSTREAM_NOT_FOUND, true, true},
    {410, GW_UPSTREAM_NOT_FOUND, true, true},
    {413, GW_BODY_TOO_LARGE,     true, true},
    /* clang-format on */
};

static struct rule rule_for(const struct prov_op *op, int status)
{
    size_t i;

    for (i = 0; op->code == PROV_FORWARD && i < COUNTOF(passed_on); i++)
        if (passed_on[i].status == status)
            return passed_on[i];
    return rule_of(status);
}

/* The rule for what it means, where the status alone does not say it. */
static struct rule meant_rule(const struct prov_op *op, int status,
                              const struct prov_said *said)
{
    struct rule rule = rule_for(op, status);

    if (rule.err == GW_UPSTREAM_RATE_LIMITED && speaks_of(said, quota_words))
        rule.err = GW_UPSTREAM_QUOTA;
    if (rule.err == GW_UPSTREAM_REJECTED && speaks_of(said, key_words))
        rule = rule_of(401);
    return rule;
}

/* What is not found when no file was asked for is the operation itself. */
static bool lacks_operation(const struct prov_op *op, enum gw_err err)
{
    return err == GW_UNSUPPORTED_OPERATION ||
           (err == GW_FILE_NOT_FOUND &&
            (op->code == PROV_CREATE || op->code == PROV_LIST));
}

static enum gw_err describe(const struct prov_op *op, int status,
                            enum gw_err err, struct str message,
                            struct gw_error *e)
{
    const char *colon = message.n ? ": " : "";

    if (lacks_operation(op, err))
        return err_set(e, err,
                       "provider '%s' does not support the operation "
                       "'%s'%s%.*s",
                       op->conf->name, prov_opcode_name(op->code), colon,
                       STR_ARG(message));
    if (message.n)
        return err_set(e, err, "%.*s", STR_ARG(message));
    return err_set(e, err, "%s (provider '%s', status %d)", err_info(err)->text,
                   op->conf->name, status);
}

static void copy_word(char *to, size_t size, struct str word)
{
    snprintf(to, size, "%.*s", STR_ARG(word));
}

enum gw_err prov_http_error(const struct prov_op *op,
                            const struct http_res *res, struct gw_error *e)
{
    struct str message = STR("");
    struct prov_said said;
    struct rule rule;

    if (e->err != GW_OK)
        return e->err;
    prov_said_find(op->arena, res->body, &said);
    rule = meant_rule(op, res->status, &said);
    if (rule.has_message)
        message = prov_said_clean_all(op, said.message);
    describe(op, res->status, rule.err, message, e);
    if (rule.has_message)
        copy_word(e->param, sizeof(e->param), said.param);
    if (rule.has_code)
        copy_word(e->code, sizeof(e->code), said.code);
    if (res->status >= 400)
        e->retry_after_s = prov_retry_after(op->arena, &res->fields, op->now_s);
    return e->err;
}

struct json *prov_json(struct prov_op *op, const struct http_res *res,
                       struct gw_error *e)
{
    struct gw_error why = {0};
    struct json *v;

    if (res->body_was_cut) {
        err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                "provider '%s' sent an answer over %u bytes long",
                op->conf->name, LIMIT_UPSTREAM_REPLY_BYTES);
        return NULL;
    }
    v = json_parse(op->arena, res->body, &why);
    if (!v)
        err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                "provider '%s' sent an answer that is not JSON",
                op->conf->name);
    return v;
}

struct str prov_media_type(const struct prov_upload *u)
{
    static const struct str unknown = {"application/octet-stream", 24};
    struct str type = u->content_type;

    if (!type.n || !prov_is_field_value(type))
        type = unknown;
    if (str_eq_nocase(type, unknown) && str_ends(u->filename, STR(".jsonl")))
        return STR("application/jsonl");
    return type;
}

enum gw_err prov_nonsense(const struct prov_op *op, const char *what,
                          struct gw_error *e)
{
    return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                   "provider '%s' sent an answer without %s", op->conf->name,
                   what);
}

enum gw_err prov_read_file(const struct prov_op *op, const struct json *v,
                           struct file_obj *out, struct gw_error *e)
{
    if (file_obj_read(v, out, e) != GW_OK)
        return e->err;
    if (out->status_details.n)
        out->status_details = prov_said_clean(op->arena, out->status_details,
                                              out->id, op->shown_id);
    return GW_OK;
}

enum gw_err prov_read_page(struct prov_op *op, const struct http_res *res,
                           const char *member,
                           bool (*read)(struct prov_op *op,
                                        const struct json *v,
                                        struct file_obj *out),
                           struct gw_error *e)
{
    const struct json *v = prov_json(op, res, e), *items;
    struct str token;
    size_t i, n;

    if (!v)
        return e->err;
    if (!json_is_object(v))
        return prov_nonsense(op, "a list", e);
    items = json_get(v, member);
    n = json_count(items);
    op->list = arena_alloc(op->arena, n * sizeof(*op->list));
    for (i = 0; i < n; i++)
        if (read(op, json_at(items, i), &op->list[op->nlist]))
            op->nlist++;
    token = json_str(json_get(v, "nextPageToken"));
    op->next_cursor =
        token.n && !str_eq(token, op->list_cursor) ? token : STR("");
    return GW_OK;
}
