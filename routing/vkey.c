#include "routing/vkey.h"

#include "gateway/base/bug.h"
#include "routing/vrecord.h"

/* A record is read here and written in vkey_build.c. What a key may do, its
 * team must allow as well: every check takes both. */

#define SECRET_PREFIX "sk-"
#define SECRET_CHARS 32
#define MASK_SHOWN 4
#define MASK_MIN 12 /* a shorter secret shows none of its characters */

static const struct {
    unsigned op;
    const char *verb;
} ops[] = {
    /* clang-format off */
    {VKEY_CREATE,  "upload files"},
    {VKEY_READ,    "retrieve files"},
    {VKEY_LIST,    "list files"},
    {VKEY_DELETE,  "delete files"},
    {VKEY_CONTENT, "download files"},
    {VKEY_BATCH,   "use batches"},
    {VKEY_FORWARD, "call the API"},
    /* clang-format on */
};

static enum gw_err read_scalars(const struct json *r, struct vkey *k,
                                struct gw_error *e)
{
    if (vrecord_str(r, "key_id", &k->id, e) ||
        vrecord_str(r, "key_alias", &k->key_alias, e) ||
        vrecord_str(r, "key_name", &k->key_name, e) ||
        vrecord_str(r, "team_id", &k->team_id, e) ||
        vrecord_str(r, "user_id", &k->user_id, e) ||
        vrecord_str(r, "default_provider", &k->default_provider, e) ||
        vrecord_int(r, "expires", &k->expires_s, e) ||
        vrecord_int(r, "created_at", &k->created_s, e) ||
        vrecord_int(r, "file_expiry_seconds", &k->file_expiry_s, e) ||
        vrecord_bool(r, "blocked", &k->blocked, e))
        return e->err;
    return vrecord_limits(r, &k->limits, e);
}

static enum gw_err read_lists(struct arena *a, const struct json *r,
                              struct vkey *k, struct gw_error *e)
{
    if (vrecord_list(a, r, "providers", &k->providers, e) ||
        vrecord_list(a, r, "purposes", &k->purposes, e) ||
        vrecord_list(a, r, "models", &k->models, e) ||
        vrecord_list(a, r, "tags", &k->tags, e))
        return e->err;
    return vrecord_operations(a, r, &k->operations, e);
}

static struct str owner_of(struct arena *a, const struct vkey *k)
{
    if (k->team_id.n)
        return arena_printf(a, "t:%.*s", STR_ARG(k->team_id));
    if (k->user_id.n)
        return arena_printf(a, "u:%.*s", STR_ARG(k->user_id));
    return k->scope;
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
        return err_set(e, why.err, "a key: %s", why.message);
    if (out->id.n == 0)
        out->id = arena_dup(a, str_of(hash));
    out->scope = arena_printf(a, "k:%.*s", STR_ARG(out->id));
    out->owner = owner_of(a, out);
    return GW_OK;
}

/* --- what a key may, its team willing --- */

enum gw_err vkey_check(const struct vkey *k, const struct vteam *team,
                       int64_t now_s, struct gw_error *e)
{
    if (k->blocked)
        return err_plain(e, GW_KEY_BLOCKED);
    if (team && team->blocked)
        return err_set(e, GW_KEY_BLOCKED,
                       "the team '%.*s' of this API key is blocked",
                       STR_ARG(team->team_id));
    if (k->expires_s && k->expires_s <= now_s)
        return err_plain(e, GW_KEY_EXPIRED);
    return GW_OK;
}

/* For messages: who it is that does not allow it. */
static const char *who(bool is_team)
{
    return is_team ? "the team of this API key" : "this API key";
}

enum gw_err vkey_check_op(const struct vkey *k, const struct vteam *team,
                          enum vkey_ops op, struct gw_error *e)
{
    bool may = (k->operations & op) == (unsigned)op;
    size_t i;

    if (op == VKEY_NO_OP ||
        (may && (!team || (team->operations & op) == (unsigned)op)))
        return GW_OK;
    for (i = 0; i < COUNTOF(ops); i++)
        if (ops[i].op == (unsigned)op)
            return err_set(e, GW_OPERATION_NOT_ALLOWED, "%s may not %s",
                           who(may), ops[i].verb);
    return err_plain(e, GW_OPERATION_NOT_ALLOWED);
}

/* An empty list allows all. */
static bool allows(const struct vkey_strs *list, struct str word)
{
    size_t i;

    for (i = 0; i < list->n; i++)
        if (str_eq(list->v[i], word))
            return true;
    return list->n == 0;
}

enum gw_err vkey_check_purpose(const struct vkey *k, const struct vteam *team,
                               struct str purpose, struct gw_error *e)
{
    bool may = allows(&k->purposes, purpose);

    if (may && (!team || allows(&team->purposes, purpose)))
        return GW_OK;
    return err_set_param(e, GW_PURPOSE_NOT_ALLOWED, "purpose",
                         "%s may not use the purpose '%.*s'", who(may),
                         STR_ARG(purpose));
}

bool vkey_may_use(const struct vkey *k, const struct vteam *team,
                  struct str provider)
{
    return allows(&k->providers, provider) &&
           (!team || allows(&team->providers, provider));
}

/* LiteLLM's own words for "all of them", and names such as "openai/" with a
 * star behind. */
static bool allows_model(const struct vkey_strs *list, struct str model)
{
    size_t i;

    for (i = 0; i < list->n; i++)
        if (str_eq_c(list->v[i], "all-team-models") ||
            str_eq_c(list->v[i], "all-proxy-models") ||
            str_glob(list->v[i], model))
            return true;
    return list->n == 0;
}

enum gw_err vkey_check_model(const struct vkey *k, const struct vteam *team,
                             struct str model, struct gw_error *e)
{
    bool may = allows_model(&k->models, model);

    if (may && (!team || allows_model(&team->models, model)))
        return GW_OK;
    return err_set_param(e, GW_MODEL_NOT_ALLOWED, "model",
                         "%s may not use the model '%.*s'", who(may),
                         (int)MIN(model.n, 256), model.p);
}

bool vkey_is_bound_to_models(const struct vkey *k, const struct vteam *team)
{
    return k->models.n > 0 || (team && team->models.n > 0);
}

struct str vkey_default_provider(const struct vkey *k, const struct vteam *team)
{
    return k->default_provider.n || !team ? k->default_provider
                                          : team->default_provider;
}

int64_t vkey_file_expiry(const struct vkey *k, const struct vteam *team)
{
    return k->file_expiry_s || !team ? k->file_expiry_s : team->file_expiry_s;
}

int64_t vkey_max_file_bytes(const struct vkey *k, const struct vteam *team)
{
    int64_t own = k->limits.file_bytes;
    int64_t other = team ? team->limits.file_bytes : 0;

    return own && other ? MIN(own, other) : MAX(own, other);
}

/* --- secrets --- */

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
