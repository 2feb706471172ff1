#include "routing/vkey.h"

#include "gateway/base/bug.h"

/* A record is read here and written in vkey_build.c. Reading is strict where
 * leniency would open a door: a list of the wrong type is a broken record, not
 * an absent list, for an absent list means "all". */

#define SECRET_PREFIX "sk-"
#define SECRET_CHARS 32
#define MASK_SHOWN 4
#define MASK_MIN 12 /* a shorter secret shows none of its characters */

static const struct {
    const char *name;
    unsigned op;
    const char *verb;
} ops[] = {
    /* clang-format off */
    {"create",  VKEY_CREATE,  "upload files"},
    {"read",    VKEY_READ,    "retrieve files"},
    {"list",    VKEY_LIST,    "list files"},
    {"delete",  VKEY_DELETE,  "delete files"},
    {"content", VKEY_CONTENT, "download files"},
    {"batch",   VKEY_BATCH,   "use batches"},
    /* clang-format on */
};

static enum gw_err broken(const char *member, struct gw_error *e)
{
    return err_set(e, GW_INTERNAL, "a key's record is broken at '%s'", member);
}

static enum gw_err read_str(const struct json *record, const char *name,
                            struct str *out, struct gw_error *e)
{
    const struct json *v = json_get(record, name);

    *out = STR("");
    if (json_is_null(v))
        return GW_OK;
    if (!json_is_string(v))
        return broken(name, e);
    *out = json_str(v);
    return GW_OK;
}

static enum gw_err read_int(const struct json *record, const char *name,
                            int64_t *out, struct gw_error *e)
{
    const struct json *v = json_get(record, name);

    *out = 0;
    if (json_is_null(v))
        return GW_OK;
    if (!json_int(v, out) || *out < 0)
        return broken(name, e);
    return GW_OK;
}

/* An empty list comes as {} from a Lua script that rewrote the record: its
 * JSON library cannot tell the two apart. */
static enum gw_err read_list(struct arena *a, const struct json *record,
                             const char *name, struct vkey_strs *out,
                             struct gw_error *e)
{
    const struct json *v = json_get(record, name);
    size_t n = json_count(v), i;

    *out = (struct vkey_strs){0};
    if (json_is_null(v) || (json_is_object(v) && n == 0))
        return GW_OK;
    if (!json_is_array(v))
        return broken(name, e);
    if (n == 0)
        return GW_OK;
    out->v = arena_alloc(a, n * sizeof(*out->v));
    for (i = 0; i < n; i++) {
        if (!json_is_string(json_at(v, i)))
            return broken(name, e);
        out->v[i] = json_str(json_at(v, i));
    }
    out->n = n;
    return GW_OK;
}

static enum gw_err read_blocked(const struct json *record, bool *out,
                                struct gw_error *e)
{
    const struct json *v = json_get(record, "blocked");

    *out = false;
    if (json_is_null(v))
        return GW_OK;
    if (!json_is_bool(v))
        return broken("blocked", e);
    *out = json_bool(v, true);
    return GW_OK;
}

static unsigned op_of(struct str name)
{
    size_t i;

    for (i = 0; i < COUNTOF(ops); i++)
        if (str_eq_c(name, ops[i].name))
            return ops[i].op;
    return 0;
}

/* An unknown word (of a later version) allows nothing. */
static enum gw_err read_operations(struct arena *a, const struct json *record,
                                   unsigned *out, struct gw_error *e)
{
    struct vkey_strs words;
    size_t i;

    *out = VKEY_OPS_ALL;
    if (read_list(a, record, "operations", &words, e))
        return e->err;
    if (words.n == 0)
        return GW_OK;
    *out = 0;
    for (i = 0; i < words.n; i++)
        *out |= op_of(words.v[i]);
    return GW_OK;
}

static enum gw_err read_scalars(const struct json *r, struct vkey *k,
                                struct gw_error *e)
{
    if (read_str(r, "key_alias", &k->key_alias, e) ||
        read_str(r, "key_name", &k->key_name, e) ||
        read_str(r, "team_id", &k->team_id, e) ||
        read_str(r, "user_id", &k->user_id, e) ||
        read_str(r, "default_provider", &k->default_provider, e) ||
        read_int(r, "expires", &k->expires_s, e) ||
        read_int(r, "created_at", &k->created_s, e) ||
        read_int(r, "max_file_bytes", &k->max_file_bytes, e) ||
        read_int(r, "file_expiry_seconds", &k->file_expiry_s, e) ||
        read_blocked(r, &k->blocked, e))
        return e->err;
    return GW_OK;
}

static enum gw_err read_lists(struct arena *a, const struct json *r,
                              struct vkey *k, struct gw_error *e)
{
    if (read_list(a, r, "providers", &k->providers, e) ||
        read_list(a, r, "purposes", &k->purposes, e) ||
        read_list(a, r, "models", &k->models, e) ||
        read_list(a, r, "tags", &k->tags, e) ||
        read_operations(a, r, &k->operations, e))
        return e->err;
    return GW_OK;
}

static struct str owner_of(struct arena *a, const struct vkey *k)
{
    if (k->team_id.n)
        return arena_printf(a, "t:%.*s", STR_ARG(k->team_id));
    if (k->user_id.n)
        return arena_printf(a, "u:%.*s", STR_ARG(k->user_id));
    return arena_printf(a, "k:%s", k->hash);
}

enum gw_err vkey_parse(struct arena *a, const char *hash, struct str record,
                       struct vkey *out, struct gw_error *e)
{
    struct gw_error why = {0};
    const struct json *r = json_parse(a, record, &why);

    ASSERT(strlen(hash) == CRYPTO_SHA256_HEX);
    *out = (struct vkey){0};
    memcpy(out->hash, hash, sizeof(out->hash));
    if (!json_is_object(r))
        return err_set(e, GW_INTERNAL, "a key's record is not a JSON object");
    why = (struct gw_error){0};
    if (read_scalars(r, out, &why) || read_lists(a, r, out, &why))
        return err_set(e, why.err, "%s", why.message);
    out->owner = owner_of(a, out);
    return GW_OK;
}

enum gw_err vkey_check(const struct vkey *k, int64_t now_s, struct gw_error *e)
{
    if (k->blocked)
        return err_plain(e, GW_KEY_BLOCKED);
    if (k->expires_s && k->expires_s <= now_s)
        return err_plain(e, GW_KEY_EXPIRED);
    return GW_OK;
}

enum gw_err vkey_check_op(const struct vkey *k, enum vkey_ops op,
                          struct gw_error *e)
{
    size_t i;

    if ((k->operations & op) == (unsigned)op)
        return GW_OK;
    for (i = 0; i < COUNTOF(ops); i++)
        if (ops[i].op == (unsigned)op)
            return err_set(e, GW_OPERATION_NOT_ALLOWED,
                           "this API key may not %s", ops[i].verb);
    return err_plain(e, GW_OPERATION_NOT_ALLOWED);
}

static bool holds(const struct vkey_strs *list, struct str word)
{
    size_t i;

    for (i = 0; i < list->n; i++)
        if (str_eq(list->v[i], word))
            return true;
    return false;
}

enum gw_err vkey_check_purpose(const struct vkey *k, struct str purpose,
                               struct gw_error *e)
{
    if (k->purposes.n == 0 || holds(&k->purposes, purpose))
        return GW_OK;
    return err_set_param(e, GW_PURPOSE_NOT_ALLOWED, "purpose",
                         "this API key may not use the purpose '%.*s'",
                         STR_ARG(purpose));
}

bool vkey_may_use(const struct vkey *k, struct str provider)
{
    return k->providers.n == 0 || holds(&k->providers, provider);
}

void vkey_new_secret(char out[VKEY_SECRET_SIZE])
{
    memcpy(out, SECRET_PREFIX, sizeof(SECRET_PREFIX));
    crypto_random_text(out + sizeof(SECRET_PREFIX) - 1, SECRET_CHARS);
}

struct str vkey_mask(struct arena *a, struct str secret)
{
    struct str shown = STR("");

    if (secret.n >= MASK_MIN)
        shown = str_make(secret.p + secret.n - MASK_SHOWN, MASK_SHOWN);
    return arena_printf(a, SECRET_PREFIX "...%.*s", STR_ARG(shown));
}

void vkey_hash(struct str secret, char out[CRYPTO_SHA256_HEX + 1])
{
    crypto_sha256_hex(secret, out);
}
