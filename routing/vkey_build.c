#include "routing/vkey.h"

#include "gateway/base/clock.h"

/* What a client may say about a key is the table below: /key/generate and
 * /key/update check against it, the record is written in its order, and
 * /key/info shows it. A member that is null is cleared; one that an update
 * does not mention stays as it was. LiteLLM's members that mean nothing here
 * are taken and dropped, so that its users' scripts keep working; anything
 * else is refused, for a misspelt limit must not go unnoticed.
 */

#define TEXT_MAX 256  /* bytes in an alias, a model, a tag */
#define OWNER_MAX 128 /* bytes in team_id and user_id: part of Redis keys */
#define LIST_MAX 256  /* elements in a list */
#define BYTES_MAX ((int64_t)1 << 53) /* exact in every JSON reader */
#define COUNT_MAX ((int64_t)1 << 31)
#define DAY_S 86400
#define DURATION_MAX_S ((int64_t)100 * 365 * DAY_S)

enum kind {
    TEXT,  /* a string without control characters */
    OWNER, /* a string that is safe within a Redis key */
    BOOL,
    COUNT, /* an integer */
    SIZE,  /* bytes: an integer, or a string such as "512MB" */
    TEXTS, /* a list of strings */
    WORDS, /* a list of strings out of `words` */
    OBJECT,
};

static const char *const operation_words[] = {
    "create", "read", "list", "delete", "content", "batch", NULL};

static const struct field {
    const char *name;
    enum kind kind;
    int64_t min, max;
    const char *const *words;
} fields[] = {
    /* clang-format off */
    {"key_alias",                  TEXT,   0, 0,              NULL},
    {"team_id",                    OWNER,  0, 0,              NULL},
    {"user_id",                    OWNER,  0, 0,              NULL},
    {"models",                     TEXTS,  0, 0,              NULL},
    {"metadata",                   OBJECT, 0, 0,              NULL},
    {"tags",                       TEXTS,  0, 0,              NULL},
    {"permissions",                OBJECT, 0, 0,              NULL},
    {"blocked",                    BOOL,   0, 0,              NULL},
    {"rpm_limit",                  COUNT,  0, COUNT_MAX,      NULL},
    {"max_parallel_requests",      COUNT,  0, COUNT_MAX,      NULL},
    {"providers",                  TEXTS,  0, 0,              NULL},
    {"purposes",                   TEXTS,  0, 0,              NULL},
    {"operations",                 WORDS,  0, 0,              operation_words},
    {"default_provider",           TEXT,   0, 0,              NULL},
    {"max_file_bytes",             SIZE,   1, BYTES_MAX,      NULL},
    {"max_files",                  COUNT,  0, COUNT_MAX,      NULL},
    {"max_storage_bytes",          SIZE,   0, BYTES_MAX,      NULL},
    {"max_upload_bytes_per_day",   SIZE,   0, BYTES_MAX,      NULL},
    {"max_download_bytes_per_day", SIZE,   0, BYTES_MAX,      NULL},
    {"file_expiry_seconds",        COUNT,  1, DURATION_MAX_S, NULL},
    /* clang-format on */
};

/* Members that the caller looks at ("key", "keys") or that LiteLLM knows. */
static const char *const ignored[] = {
    "key", "keys", "key_name", "new_key", "new_master_key", "grace_period",
    /* budgets and token counts: filemux counts bytes and requests */
    "spend", "max_budget", "soft_budget", "budget_duration", "budget_limits",
    "budget_reset_at", "budget_id", "end_user_budget_id", "budget_fallbacks",
    "model_max_budget", "temp_budget_increase", "temp_budget_expiry",
    "throttle_on_budget_exceeded", "tpm_limit", "tpd_limit", "tpm_limit_type",
    "rpm_limit_type", "model_rpm_limit", "model_tpm_limit", "mcp_rpm_limit",
    "tag_rpm_limit", "default_estimated_output_tokens",
    "default_estimated_output_tokens_per_model",
    /* what concerns chat, routes and its own user management */
    "aliases", "config", "key_type", "send_invite_email", "guardrails",
    "disable_global_guardrails", "policies", "prompts", "enforced_params",
    "allowed_routes", "allowed_passthrough_routes", "denied_passthrough_routes",
    "allowed_cache_controls", "allowed_vector_store_indexes",
    "object_permission", "auto_rotate", "rotation_interval", "router_settings",
    "access_group_ids", "enable_prompt_caching", "organization_id",
    "project_id", "agent_id", "created_by", "updated_by"};

/* Written apart from the table. */
static const char *const stamps[] = {"key_name", "expires", "created_at",
                                     "updated_at"};

static bool is_among(const char *const *names, size_t n, struct str name)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (str_eq_c(name, names[i]))
            return true;
    return false;
}

static bool is_field(struct str name)
{
    size_t i;

    for (i = 0; i < COUNTOF(fields); i++)
        if (str_eq_c(name, fields[i].name))
            return true;
    return false;
}

/* --- checking what a client sent --- */

static enum gw_err invalid(const char *name, const char *expected,
                           struct gw_error *e)
{
    return err_set_param(e, GW_INVALID_VALUE, name, "'%s' must be %s", name,
                         expected);
}

static bool is_text(struct str s, size_t max)
{
    size_t i;

    if (s.n == 0 || s.n > max)
        return false;
    for (i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return str_is_utf8(s);
}

/* Braces would move a Redis hash tag, and a space ends the owner in values
 * that name one and an id. */
static bool is_owner(struct str s)
{
    return is_text(s, OWNER_MAX) && str_find(s, '{') < 0 &&
           str_find(s, '}') < 0 && str_find(s, ' ') < 0;
}

static enum gw_err check_list(const struct field *f, const struct json *v,
                              struct gw_error *e)
{
    size_t i, n = json_count(v), nwords = 0;
    struct str word;

    if (!json_is_array(v) || n > LIST_MAX)
        return invalid(f->name, "a list of at most 256 strings", e);
    while (f->words && f->words[nwords])
        nwords++;
    for (i = 0; i < n; i++) {
        word = json_str(json_at(v, i));
        if (!is_text(word, TEXT_MAX))
            return invalid(f->name, "a list of strings, none of them empty", e);
        if (f->words && !is_among(f->words, nwords, word))
            return err_set_param(e, GW_INVALID_VALUE, f->name,
                                 "'%s' does not know '%.*s'", f->name,
                                 STR_ARG(word));
    }
    return GW_OK;
}

/* The number of a COUNT or a SIZE. json_int() also takes digits in a string:
 * so do scripts that read their numbers from the environment. */
static bool read_number(const struct field *f, const struct json *v,
                        int64_t *out)
{
    bool is_read = json_int(v, out);

    if (!is_read && f->kind == SIZE && json_is_string(v))
        is_read = str_to_size(json_str(v), out);
    return is_read && *out >= f->min && *out <= f->max;
}

static enum gw_err check_number(const struct field *f, const struct json *v,
                                struct gw_error *e)
{
    int64_t n;

    if (read_number(f, v, &n))
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, f->name,
                         "'%s' must be a number from %lld to %lld", f->name,
                         (long long)f->min, (long long)f->max);
}

/* An empty string clears, as null does: that is how LiteLLM's page says it. */
static bool is_cleared(const struct json *v)
{
    return json_is_null(v) || (json_is_string(v) && json_str(v).n == 0);
}

static enum gw_err check_field(const struct field *f, const struct json *v,
                               struct gw_error *e)
{
    if (is_cleared(v))
        return GW_OK;
    switch (f->kind) {
    case TEXT:
        return is_text(json_str(v), TEXT_MAX)
                   ? GW_OK
                   : invalid(f->name, "a string of at most 256 bytes", e);
    case OWNER:
        return is_owner(json_str(v))
                   ? GW_OK
                   : invalid(f->name,
                             "a string of at most 128 bytes without spaces "
                             "and braces",
                             e);
    case BOOL:
        return json_is_bool(v) ? GW_OK : invalid(f->name, "true or false", e);
    case OBJECT:
        return json_is_object(v) ? GW_OK : invalid(f->name, "an object", e);
    case TEXTS:
    case WORDS:
        return check_list(f, v, e);
    case COUNT:
    case SIZE:
        return check_number(f, v, e);
    }
    return GW_OK;
}

static enum gw_err check_names(struct arena *a, const struct json *request,
                               struct gw_error *e)
{
    struct str name;
    size_t i;

    for (i = 0; json_member(request, i, &name); i++) {
        if (is_field(name) || str_eq_c(name, "duration") ||
            is_among(ignored, COUNTOF(ignored), name))
            continue;
        return err_set_param(e, GW_INVALID_VALUE, arena_cstr(a, name),
                             "unknown member '%.*s'", STR_ARG(name));
    }
    return GW_OK;
}

/* Seconds since 1970 at which a key of that duration ends; 0 for never, which
 * is null, "" and LiteLLM's "-1". */
static enum gw_err expiry_of(const struct json *v, int64_t now_s, int64_t *out,
                             struct gw_error *e)
{
    int64_t ms;

    *out = 0;
    if (is_cleared(v) || str_eq_c(json_str(v), "-1"))
        return GW_OK;
    if (!str_to_duration(json_str(v), &ms) || ms < 1000 ||
        ms / 1000 > DURATION_MAX_S)
        return invalid("duration", "a time such as \"12h\" or \"30d\"", e);
    *out = now_s + ms / 1000;
    return GW_OK;
}

static enum gw_err check_request(struct arena *a, const struct json *request,
                                 struct gw_error *e)
{
    size_t i;

    if (request && !json_is_object(request))
        return err_set(e, GW_INVALID_VALUE, "the body must be a JSON object");
    if (check_names(a, request, e))
        return e->err;
    for (i = 0; i < COUNTOF(fields); i++)
        if (check_field(&fields[i], json_get(request, fields[i].name), e))
            return e->err;
    return GW_OK;
}

/* --- writing the record --- */

static bool has_member(const struct json *object, const char *name)
{
    struct str member;
    size_t i;

    for (i = 0; json_member(object, i, &member); i++)
        if (str_eq_c(member, name))
            return true;
    return false;
}

static void put_field(struct json_out *j, const struct field *f,
                      const struct json *request, const struct json *old)
{
    bool is_new = has_member(request, f->name);
    const struct json *v = json_get(is_new ? request : old, f->name);
    int64_t n;

    if (is_cleared(v))
        return;
    if ((f->kind == COUNT || f->kind == SIZE) && read_number(f, v, &n))
        json_put_int(j, f->name, n);
    else if ((f->kind != TEXTS && f->kind != WORDS) || json_count(v) > 0)
        json_put(j, f->name, v);
}

/* What a later version wrote is kept by an earlier one. */
static void put_strange(struct arena *a, struct json_out *j,
                        const struct json *old)
{
    const struct json *v;
    struct str name;
    size_t i;

    for (i = 0; (v = json_member(old, i, &name)); i++)
        if (!is_field(name) && !is_among(stamps, COUNTOF(stamps), name))
            json_put(j, arena_cstr(a, name), v);
}

static void put_time(struct json_out *j, const char *name, int64_t s)
{
    if (s)
        json_put_int(j, name, s);
}

static int64_t int_of(const struct json *object, const char *name, int64_t dflt)
{
    int64_t n;

    return json_int(json_get(object, name), &n) ? n : dflt;
}

enum gw_err vkey_build(struct arena *a, const struct json *request,
                       const struct json *old, struct str key_name,
                       int64_t now_s, struct buf *record, struct gw_error *e)
{
    int64_t expires = int_of(old, "expires", 0);
    struct json_out j;
    size_t i;

    if (check_request(a, request, e))
        return e->err;
    if (has_member(request, "duration") &&
        expiry_of(json_get(request, "duration"), now_s, &expires, e))
        return e->err;
    json_out_init(&j, record);
    json_open(&j, NULL, '{');
    if (key_name.n == 0)
        key_name = json_str(json_get(old, "key_name"));
    json_put_str(&j, "key_name", key_name);
    for (i = 0; i < COUNTOF(fields); i++)
        put_field(&j, &fields[i], request, old);
    put_time(&j, "expires", expires);
    put_time(&j, "created_at", int_of(old, "created_at", now_s));
    put_time(&j, "updated_at", now_s);
    put_strange(a, &j, old);
    json_close(&j);
    if (record->overflow)
        return err_set(e, GW_INVALID_VALUE, "the key's record is too large");
    return GW_OK;
}

/* --- showing it --- */

static void put_info_time(struct json_out *j, const char *name,
                          const struct json *record)
{
    int64_t s = int_of(record, name, 0);
    char text[CLOCK_TEXT_SIZE];

    if (s <= 0 || s > INT64_MAX / 1000) {
        json_put_null(j, name);
        return;
    }
    clock_format(s * 1000, text);
    json_put_cstr(j, name, text);
}

static void put_empty(struct json_out *j, const char *name, char brace)
{
    json_open(j, name, brace);
    json_close(j);
}

/* All members are there, so that a script need not ask whether. */
static void put_info_field(struct json_out *j, const struct field *f,
                           const struct json *record)
{
    const struct json *v = json_get(record, f->name);

    if (f->kind == BOOL)
        json_put_bool(j, f->name, json_bool(v, false));
    else if ((f->kind == TEXTS || f->kind == WORDS) && json_count(v) == 0)
        put_empty(j, f->name, '[');
    else if (f->kind == OBJECT && json_count(v) == 0)
        put_empty(j, f->name, '{');
    else
        json_put(j, f->name, v);
}

void vkey_put_info(struct json_out *j, const char *name, const char *hash,
                   const struct json *record)
{
    size_t i;

    json_open(j, name, '{');
    if (hash)
        json_put_cstr(j, "token", hash);
    json_put(j, "key_name", json_get(record, "key_name"));
    for (i = 0; i < COUNTOF(fields); i++)
        put_info_field(j, &fields[i], record);
    put_info_time(j, "expires", record);
    put_info_time(j, "created_at", record);
    put_info_time(j, "updated_at", record);
    /* LiteLLM's, always the same here. */
    json_put_int(j, "spend", 0);
    json_put_null(j, "max_budget");
    json_put_null(j, "tpm_limit");
    put_empty(j, "aliases", '{');
    put_empty(j, "config", '{');
    json_close(j);
}
