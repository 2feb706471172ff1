#include "routing/vrecord.h"

#include "gateway/base/clock.h"

/* A member that is null is cleared; one that an update does not mention stays
 * as it was. LiteLLM's members that mean nothing here are taken and dropped, so
 * that its users' scripts keep working; anything else is refused, for a
 * misspelt limit must not go unnoticed. A limit of 0 is refused too: who means
 * "nothing" by it must not get "no limit". */

#define TEXT_MAX 256  /* bytes in an alias, a model, a tag */
#define OWNER_MAX 128 /* bytes in team_id and user_id: part of Redis keys */
#define LIST_MAX 256  /* elements in a list */
#define BYTES_MAX ((int64_t)1 << 48) /* 256 TiB: quotas count no further */
#define COUNT_MAX ((int64_t)1 << 31)
#define EXPIRY_MAX_S ((int64_t)100 * 365 * 86400)

/* Whose member it is. */
#define KEYS VRECORD_KEY
#define TEAMS VRECORD_TEAM
#define BOTH (VRECORD_KEY | VRECORD_TEAM)

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
    "create", "read", "list", "delete", "content", "batch", "forward", NULL};

static const struct field {
    const char *name;
    unsigned of; /* vrecord_of, a set */
    enum kind kind;
    int64_t min, max;
    const char *const *words;
} fields[] = {
    /* clang-format off */
    {"key_alias",                  KEYS,  TEXT,   0, 0,              NULL},
    {"team_alias",                 TEAMS, TEXT,   0, 0,              NULL},
    {"team_id",                    KEYS,  OWNER,  0, 0,              NULL},
    {"user_id",                    KEYS,  OWNER,  0, 0,              NULL},
    {"models",                     BOTH,  TEXTS,  0, 0,              NULL},
    {"metadata",                   BOTH,  OBJECT, 0, 0,              NULL},
    {"tags",                       BOTH,  TEXTS,  0, 0,              NULL},
    {"permissions",                KEYS,  OBJECT, 0, 0,              NULL},
    {"blocked",                    BOTH,  BOOL,   0, 0,              NULL},
    {"rpm_limit",                  BOTH,  COUNT,  1, COUNT_MAX,      NULL},
    {"max_parallel_requests",      BOTH,  COUNT,  1, COUNT_MAX,      NULL},
    {"providers",                  BOTH,  TEXTS,  0, 0,              NULL},
    {"purposes",                   BOTH,  TEXTS,  0, 0,              NULL},
    {"operations",                 BOTH,  WORDS,  0, 0,              operation_words},
    {"default_provider",           BOTH,  TEXT,   0, 0,              NULL},
    {"max_file_bytes",             BOTH,  SIZE,   1, BYTES_MAX,      NULL},
    {"max_files",                  BOTH,  COUNT,  1, COUNT_MAX,      NULL},
    {"max_storage_bytes",          BOTH,  SIZE,   1, BYTES_MAX,      NULL},
    {"max_upload_bytes_per_day",   BOTH,  SIZE,   1, BYTES_MAX,      NULL},
    {"max_download_bytes_per_day", BOTH,  SIZE,   1, BYTES_MAX,      NULL},
    {"max_active_batches",         BOTH,  COUNT,  1, COUNT_MAX,      NULL},
    {"max_batch_lines_per_day",    BOTH,  COUNT,  1, COUNT_MAX,      NULL},
    {"file_expiry_seconds",        BOTH,  COUNT,  1, EXPIRY_MAX_S,   NULL},
    /* clang-format on */
};

static bool is_among(const char *const *names, size_t n, struct str name)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (str_eq_c(name, names[i]))
            return true;
    return false;
}

static bool is_field(enum vrecord_of of, struct str name)
{
    size_t i;

    for (i = 0; i < COUNTOF(fields); i++)
        if ((fields[i].of & of) && str_eq_c(name, fields[i].name))
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

enum gw_err vrecord_check_id(const char *name, const struct json *v,
                             struct gw_error *e)
{
    if (is_owner(json_str(v)))
        return GW_OK;
    return invalid(
        name, "a string of at most 128 bytes without spaces and braces", e);
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
                         "'%s' must be a number from %lld to %lld%s, or null",
                         f->name, (long long)f->min, (long long)f->max,
                         f->kind == SIZE ? ", a size such as \"5GB\"" : "");
}

bool vrecord_is_cleared(const struct json *v)
{
    return json_is_null(v) || (json_is_string(v) && json_str(v).n == 0);
}

static enum gw_err check_field(const struct field *f, const struct json *v,
                               struct gw_error *e)
{
    if (vrecord_is_cleared(v))
        return GW_OK;
    switch (f->kind) {
    case TEXT:
        return is_text(json_str(v), TEXT_MAX)
                   ? GW_OK
                   : invalid(f->name, "a string of at most 256 bytes", e);
    case OWNER:
        return vrecord_check_id(f->name, v, e);
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

enum gw_err vrecord_check(struct arena *a, enum vrecord_of of,
                          const struct json *request,
                          const char *const *ignored, size_t n,
                          struct gw_error *e)
{
    struct str name;
    void *at = NULL;
    size_t i;

    if (request && !json_is_object(request))
        return err_set(e, GW_INVALID_VALUE, "the body must be a JSON object");
    while (json_next(request, &at, &name))
        if (!is_field(of, name) && !is_among(ignored, n, name))
            return err_set_param(e, GW_INVALID_VALUE, arena_cstr(a, name),
                                 "unknown member '%.*s'",
                                 (int)MIN(name.n, TEXT_MAX), name.p);
    for (i = 0; i < COUNTOF(fields); i++)
        if ((fields[i].of & of) &&
            check_field(&fields[i], json_get(request, fields[i].name), e))
            return e->err;
    return GW_OK;
}

/* --- writing the record --- */

bool vrecord_has(const struct json *object, const char *name)
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
    bool is_new = vrecord_has(request, f->name);
    const struct json *v = json_get(is_new ? request : old, f->name);
    int64_t n;

    if (vrecord_is_cleared(v))
        return;
    if ((f->kind == COUNT || f->kind == SIZE) && read_number(f, v, &n))
        json_put_int(j, f->name, n);
    else if ((f->kind != TEXTS && f->kind != WORDS) || json_count(v) > 0)
        json_put(j, f->name, v);
}

void vrecord_put(struct json_out *j, enum vrecord_of of,
                 const struct json *request, const struct json *old)
{
    size_t i;

    for (i = 0; i < COUNTOF(fields); i++)
        if (fields[i].of & of)
            put_field(j, &fields[i], request, old);
}

int64_t vrecord_number(const struct json *object, const char *name,
                       int64_t dflt)
{
    int64_t n;

    return json_int(json_get(object, name), &n) ? n : dflt;
}

void vrecord_put_rest(struct arena *a, struct json_out *j, enum vrecord_of of,
                      const struct json *old, const char *const *written,
                      size_t n, int64_t now_s)
{
    const struct json *v;
    struct str name;
    void *at = NULL;

    json_put_int(j, "created_at", vrecord_number(old, "created_at", now_s));
    json_put_int(j, "updated_at", now_s);
    while ((v = json_next(old, &at, &name)))
        if (!is_field(of, name) && !is_among(written, n, name) &&
            !str_eq_c(name, "created_at") && !str_eq_c(name, "updated_at"))
            json_put(j, arena_cstr(a, name), v);
}

/* --- showing it --- */

void vrecord_put_info_time(struct json_out *j, const char *name,
                           const struct json *record)
{
    int64_t s = vrecord_number(record, name, 0);
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

void vrecord_put_info(struct json_out *j, enum vrecord_of of,
                      const struct json *record)
{
    size_t i;

    for (i = 0; i < COUNTOF(fields); i++)
        if (fields[i].of & of)
            put_info_field(j, &fields[i], record);
    vrecord_put_info_time(j, "created_at", record);
    vrecord_put_info_time(j, "updated_at", record);
    json_put_int(j, "spend", 0);
    json_put_null(j, "max_budget");
    json_put_null(j, "tpm_limit");
}
