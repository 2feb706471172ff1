#include "gateway/api/admin.h"

#include <stdio.h>

/* Secrets that an operator chooses himself are at least so long. */
#define SECRET_MIN 16
#define SECRET_MAX 256
/* All keys of a page with everything that may be in their records. */
#define REPLY_MAX (16 * MIB)

static void release(void *arg)
{
    buf_release(arg);
}

void admin_out_init(struct txn *t, struct admin_out *out)
{
    buf_init(&out->body, REPLY_MAX);
    json_out_init(&out->json, &out->body);
    arena_on_free(t->arena, release, &out->body);
}

void admin_reply(struct txn *t, struct admin_out *out)
{
    if (out->body.overflow)
        admin_refuse(t, GW_INVALID_VALUE, "size",
                     "the answer is larger than %u MB: ask for smaller pages",
                     REPLY_MAX / MIB);
    else
        txn_reply_json(t, 200, buf_str(&out->body));
}

void admin_refuse(struct txn *t, enum gw_err err, const char *param,
                  const char *fmt, ...)
{
    char text[LIMIT_ERROR_TEXT];
    struct gw_error e = {0};
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    err_set_param(&e, err, param, "%s", text);
    txn_fail(t, &e);
}

bool admin_is_answered(struct txn *t, const struct gw_error *e)
{
    t->store_call = NULL;
    if (e->err != GW_OK)
        txn_fail(t, e);
    return e->err == GW_OK;
}

/* --- what clients send --- */

bool admin_knows_members(struct txn *t, const struct json *request,
                         const char *const *names)
{
    struct str name;
    void *at = NULL;
    size_t i;

    while (json_next(request, &at, &name)) {
        for (i = 0; names[i] && !str_eq_c(name, names[i]); i++)
            continue;
        if (names[i])
            continue;
        admin_refuse(t, GW_INVALID_VALUE, arena_cstr(t->arena, name),
                     "unknown member '%.*s'", (int)MIN(name.n, 100), name.p);
        return false;
    }
    return true;
}

static bool is_provider(struct txn *t, struct str name, const char *param)
{
    if (settings_provider(t->conf, name))
        return true;
    admin_refuse(t, GW_INVALID_VALUE, param, "unknown provider '%.*s'",
                 (int)MIN(name.n, 100), name.p);
    return false;
}

bool admin_knows_providers(struct txn *t, const struct json *request)
{
    struct json *list = json_get(request, "providers");
    struct str dflt = json_str(json_get(request, "default_provider"));
    size_t i;

    for (i = 0; i < json_count(list); i++)
        if (json_is_string(json_at(list, i)) &&
            !is_provider(t, json_str(json_at(list, i)), "providers"))
            return false;
    return !dflt.n || is_provider(t, dflt, "default_provider");
}

bool admin_read_name(struct txn *t, const struct json *request,
                     const char *member, struct str *out)
{
    const struct json *v = json_get(request, member);

    *out = json_str(v);
    if (out->n)
        return true;
    if (json_is_null(v) || json_is_string(v))
        admin_refuse(t, GW_MISSING_PARAM, member, "'%s' is missing", member);
    else
        admin_refuse(t, GW_INVALID_VALUE, member, "'%s' must be a string",
                     member);
    return false;
}

bool admin_read_names(struct txn *t, const struct json *list,
                      const char *member, size_t max, struct vkey_strs *out)
{
    bool is_good = json_is_array(list);
    size_t i;

    *out = (struct vkey_strs){.n = json_count(list)};
    is_good = is_good && out->n >= 1 && out->n <= max;
    if (is_good)
        out->v = arena_alloc(t->arena, out->n * sizeof(out->v[0]));
    for (i = 0; is_good && i < out->n; i++) {
        out->v[i] = json_str(json_at(list, i));
        is_good = out->v[i].n > 0;
    }
    if (!is_good)
        admin_refuse(t, GW_INVALID_VALUE, member,
                     "'%s' must be a list of 1 to %zu strings", member, max);
    return is_good;
}

bool admin_read_count(struct txn *t, const char *name, size_t max, size_t dflt,
                      size_t *out)
{
    struct str text = txn_query(t, str_of(name));
    uint64_t v = dflt;

    if (text.p && (!str_to_u64(text, &v) || v < 1 || v > max)) {
        admin_refuse(t, GW_INVALID_VALUE, name,
                     "'%s' must be an integer from 1 to %zu", name, max);
        return false;
    }
    *out = (size_t)v;
    return true;
}

bool admin_read_delete_files(struct txn *t, const struct json *request,
                             bool *out)
{
    const struct json *v = json_get(request, "delete_files");

    *out = json_bool(v, false);
    if (json_is_null(v) || json_is_bool(v))
        return true;
    admin_refuse(t, GW_INVALID_VALUE, "delete_files",
                 "'delete_files' must be true or false");
    return false;
}

void admin_put_jobs(struct json_out *j, const struct vkey_strs *jobs)
{
    json_open(j, "jobs", '[');
    for (size_t i = 0; i < jobs->n; i++)
        json_put_str(j, NULL, jobs->v[i]);
    json_close(j);
}

/* --- keys --- */

static bool is_hash(struct str s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') ||
              (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return s.n == CRYPTO_SHA256_HEX;
}

void admin_key_hash(struct str named, char out[CRYPTO_SHA256_HEX + 1])
{
    if (!is_hash(named)) {
        vkey_hash(named, out);
        return;
    }
    memcpy(out, named.p, named.n);
    out[named.n] = '\0';
}

void admin_put_key(struct txn *t, struct json_out *j, const char *hash,
                   struct str record)
{
    struct gw_error e = {0};

    vkey_put_members(j, hash, json_parse(t->arena, record, &e));
}

void admin_no_such_key(struct txn *t)
{
    admin_refuse(t, GW_KEY_NOT_FOUND, "key", "no such key");
}

bool admin_choose_secret(struct txn *t, const struct json *request,
                         const char *member, struct str *secret)
{
    const struct json *v = json_get(request, member);
    char fresh[VKEY_SECRET_SIZE];

    *secret = json_str(v);
    if (json_is_null(v)) {
        vkey_new_secret(fresh);
        *secret = arena_dup(t->arena, str_of(fresh));
        return true;
    }
    if (str_starts(*secret, STR("sk-")) && secret->n >= SECRET_MIN &&
        secret->n <= SECRET_MAX)
        return true;
    admin_refuse(t, GW_INVALID_VALUE, member,
                 "'%s' must start with 'sk-' and have %d to %d characters",
                 member, SECRET_MIN, SECRET_MAX);
    return false;
}
