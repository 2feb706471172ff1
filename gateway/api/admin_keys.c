/* admin_keys.c -- virtual keys: made, shown, blocked, deleted.
 *
 * Names and shapes are LiteLLM's, so that its users' scripts keep working. A
 * key can be named by its secret or by its hash ("token"). The secret is in
 * one reply, that of /key/generate, and nowhere else.
 */
#include "gateway/api/api.h"

#include "gateway/base/clock.h"

#define REPLY_MAX (64 * KIB)
#define PAGE_MAX 100
#define DELETE_MAX 1000
/* Secrets that an operator chooses himself are at least so long. */
#define SECRET_MIN 16
#define SECRET_MAX 256

struct keys {
    char hash[CRYPTO_SHA256_HEX + 1];
    struct str secret;
    struct str record;
    /* delete */
    struct str *wanted; /* hashes, or aliases */
    size_t nwanted, next;
    bool are_aliases;
    struct buf body;
    struct json_out json;
    size_t ndeleted;
    /* list */
    size_t page, size;
    struct arena *entries;
};

static void release(void *arg)
{
    struct keys *k = arg;

    buf_release(&k->body);
    arena_free(k->entries);
}

static struct keys *begin(struct txn *t)
{
    struct keys *k = arena_new_of(t->arena, struct keys);

    buf_init(&k->body, MIB);
    json_out_init(&k->json, &k->body);
    arena_on_free(t->arena, release, k);
    t->data = k;
    return k;
}

static void reply(struct txn *t, struct keys *k)
{
    txn_reply_json(t, 200, buf_str(&k->body));
}

static bool is_hash(struct str s)
{
    if (s.n != CRYPTO_SHA256_HEX)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= '0' && s.p[i] <= '9') ||
              (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    return true;
}

/* A key as the client names it: its hash, or its secret. */
static void hash_of(struct str named, char out[CRYPTO_SHA256_HEX + 1])
{
    if (!is_hash(named)) {
        vkey_hash(named, out);
        return;
    }
    memcpy(out, named.p, named.n);
    out[named.n] = '\0';
}

/* The store has answered; NULL after having told the client that it failed. */
static struct keys *answered(struct txn *t, const struct gw_error *e)
{
    t->store_call = NULL;
    if (e->err == GW_OK)
        return t->data;
    txn_fail(t, e);
    return NULL;
}

static void no_such_key(struct txn *t)
{
    struct gw_error e = {0};

    err_set_param(&e, GW_KEY_NOT_FOUND, "key", "no such key");
    txn_fail(t, &e);
}

/* The same for a record, which may be absent. */
static struct keys *answered_with(struct txn *t, struct str record,
                                  const struct gw_error *e)
{
    struct keys *k = answered(t, e);

    if (!k || record.p)
        return k;
    no_such_key(t);
    return NULL;
}

/* The members of a key's record, in an object that is open. */
static void put_members(struct txn *t, struct json_out *j, const char *hash,
                        struct str record)
{
    struct gw_error e = {0};

    vkey_put_members(j, hash, json_parse(t->arena, record, &e));
}

/* --- generate --- */

static void on_generated(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct keys *k = answered(t, e);
    struct gw_error taken = {0};

    if (!k)
        return;
    if (!changed) {
        err_set_param(&taken, GW_CONFLICT, "key_alias",
                      "a key with this alias, or this key, exists already");
        txn_fail(t, &taken);
        return;
    }
    json_open(&k->json, NULL, '{');
    json_put_str(&k->json, "key", k->secret);
    json_put_cstr(&k->json, "token_id", k->hash);
    put_members(t, &k->json, k->hash, k->record);
    json_close(&k->json);
    reply(t, k);
}

/* A secret of the client's own choice, or a new one. */
static bool choose_secret(struct txn *t, struct keys *k,
                          const struct json *request, struct gw_error *e)
{
    struct str own = json_str(json_get(request, "key"));
    char fresh[VKEY_SECRET_SIZE];

    if (!own.p) {
        vkey_new_secret(fresh);
        k->secret = arena_dup(t->arena, str_of(fresh));
        return true;
    }
    k->secret = own;
    if (str_starts(own, STR("sk-")) && own.n >= SECRET_MIN &&
        own.n <= SECRET_MAX)
        return true;
    err_set_param(e, GW_INVALID_VALUE, "key",
                  "'key' must start with 'sk-' and have %d to %d characters",
                  SECRET_MIN, SECRET_MAX);
    return false;
}

static bool is_provider(struct txn *t, struct str name, const char *param,
                        struct gw_error *e)
{
    if (settings_provider(t->conf, name))
        return true;
    err_set_param(e, GW_INVALID_VALUE, param, "unknown provider '%.*s'",
                  (int)MIN(name.n, 100), name.p);
    return false;
}

/* A misspelt provider would lock its holder out unseen. */
static bool knows_providers(struct txn *t, const struct json *request,
                            struct gw_error *e)
{
    struct json *list = json_get(request, "providers");
    struct str dflt = json_str(json_get(request, "default_provider"));

    for (size_t i = 0; i < json_count(list); i++)
        if (json_is_string(json_at(list, i)) &&
            !is_provider(t, json_str(json_at(list, i)), "providers", e))
            return false;
    return !dflt.n || is_provider(t, dflt, "default_provider", e);
}

static void generate(struct txn *t, struct json *request)
{
    struct keys *k = begin(t);
    struct gw_error e = {0};
    struct vkey_build how = {.now_s = clock_wall_s()};
    struct buf record;

    buf_init(&record, REPLY_MAX);
    if (choose_secret(t, k, request, &e))
        how.key_name = vkey_mask(t->arena, k->secret);
    if (e.err != GW_OK || !knows_providers(t, request, &e) ||
        vkey_build(t->arena, request, NULL, &how, &record, &e) != GW_OK) {
        buf_release(&record);
        txn_fail(t, &e);
        return;
    }
    k->record = arena_dup(t->arena, buf_str(&record));
    buf_release(&record);
    vkey_hash(k->secret, k->hash);
    txn_goto(t, TXN_STORE);
    t->store_call = key_store_put(t->sv->keys, k->hash,
                                  json_str(json_get(request, "key_alias")),
                                  how.now_s, k->record, on_generated, t);
}

void keys_generate(struct txn *t)
{
    body_read_json(t, generate);
}

/* --- info --- */

static void on_info(void *arg, struct str record, const struct gw_error *e)
{
    struct txn *t = arg;
    struct keys *k = answered_with(t, record, e);

    if (!k)
        return;
    json_open(&k->json, NULL, '{');
    json_put_cstr(&k->json, "key", k->hash);
    json_open(&k->json, "info", '{');
    put_members(t, &k->json, k->hash, record);
    json_close(&k->json);
    json_close(&k->json);
    reply(t, k);
}

void keys_info(struct txn *t)
{
    struct keys *k = begin(t);
    struct str named = txn_query(t, STR("key"));
    struct gw_error e = {0};

    if (!named.n) {
        err_set_param(&e, GW_MISSING_PARAM, "key",
                      "the query parameter 'key' is missing");
        txn_fail(t, &e);
        return;
    }
    hash_of(named, k->hash);
    txn_goto(t, TXN_STORE);
    t->store_call = key_store_raw(t->sv->keys, k->hash, on_info, t);
}

/* --- block, unblock --- */

static void on_blocked(void *arg, struct str record, const struct gw_error *e)
{
    struct txn *t = arg;
    struct keys *k = answered_with(t, record, e);

    if (!k)
        return;
    json_open(&k->json, NULL, '{');
    put_members(t, &k->json, k->hash, record);
    json_close(&k->json);
    reply(t, k);
}

static void set_blocked(struct txn *t, struct json *request, struct str value)
{
    struct keys *k = begin(t);
    struct str named = json_str(json_get(request, "key"));
    struct gw_error e = {0};

    if (!named.n) {
        err_set_param(&e, GW_MISSING_PARAM, "key", "'key' is missing");
        txn_fail(t, &e);
        return;
    }
    hash_of(named, k->hash);
    txn_goto(t, TXN_STORE);
    t->store_call = key_store_set_member(t->sv->keys, k->hash, "blocked", value,
                                         on_blocked, t);
}

static void block(struct txn *t, struct json *request)
{
    set_blocked(t, request, STR("true"));
}

static void unblock(struct txn *t, struct json *request)
{
    set_blocked(t, request, STR("false"));
}

void keys_block(struct txn *t)
{
    body_read_json(t, block);
}

void keys_unblock(struct txn *t)
{
    body_read_json(t, unblock);
}

/* --- delete --- */

static void delete_next(struct txn *t);

static void on_deleted(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct keys *k = answered(t, e);

    if (!k)
        return;
    if (changed) {
        json_put_str(&k->json, NULL, k->wanted[k->next - 1]);
        k->ndeleted++;
    }
    delete_next(t);
}

static void on_alias(void *arg, struct str hash, const struct gw_error *e)
{
    struct txn *t = arg;
    struct keys *k = answered(t, e);

    if (!k)
        return;
    if (!hash.p) {
        delete_next(t);
        return;
    }
    hash_of(hash, k->hash);
    t->store_call = key_store_delete(t->sv->keys, k->hash, on_deleted, t);
}

static void delete_next(struct txn *t)
{
    struct keys *k = t->data;
    struct str named;

    if (k->next == k->nwanted) {
        json_close(&k->json);
        json_close(&k->json);
        if (k->ndeleted)
            reply(t, k);
        else
            no_such_key(t);
        return;
    }
    named = k->wanted[k->next++];
    if (k->are_aliases) {
        t->store_call = key_store_by_alias(t->sv->keys, named, on_alias, t);
        return;
    }
    hash_of(named, k->hash);
    t->store_call = key_store_delete(t->sv->keys, k->hash, on_deleted, t);
}

static void delete_keys(struct txn *t, struct json *request)
{
    struct keys *k = begin(t);
    struct json *list = json_get(request, "keys");
    struct gw_error e = {0};

    k->are_aliases = !list;
    if (!list)
        list = json_get(request, "key_aliases");
    k->nwanted = json_count(list);
    if (!json_is_array(list) || !k->nwanted || k->nwanted > DELETE_MAX) {
        err_set_param(&e, GW_INVALID_VALUE, "keys",
                      "'keys' (or 'key_aliases') must be a list of 1 to %d",
                      DELETE_MAX);
        txn_fail(t, &e);
        return;
    }
    k->wanted = arena_alloc(t->arena, k->nwanted * sizeof(k->wanted[0]));
    for (size_t i = 0; i < k->nwanted; i++)
        k->wanted[i] = json_str(json_at(list, i));
    json_open(&k->json, NULL, '{');
    json_open(&k->json, "deleted_keys", '[');
    txn_goto(t, TXN_STORE);
    delete_next(t);
}

void keys_delete(struct txn *t)
{
    body_read_json(t, delete_keys);
}

/* --- list --- */

static void put_listed(struct txn *t, struct keys *k,
                       const struct key_store_entry *v, bool is_full)
{
    if (!is_full) {
        json_put_cstr(&k->json, NULL, v->hash);
        return;
    }
    json_open(&k->json, NULL, '{');
    put_members(t, &k->json, v->hash, v->record);
    json_close(&k->json);
}

static void on_list(void *arg, const struct key_store_entry *v, size_t n,
                    int64_t total, const struct gw_error *e)
{
    struct txn *t = arg;
    struct keys *k = t->data;
    bool is_full =
        str_eq_nocase(txn_query(t, STR("return_full_object")), STR("true"));

    t->store_call = NULL;
    if (e->err != GW_OK) {
        txn_fail(t, e);
        return;
    }
    json_open(&k->json, NULL, '{');
    json_open(&k->json, "keys", '[');
    for (size_t i = 0; i < n; i++)
        put_listed(t, k, &v[i], is_full);
    json_close(&k->json);
    json_put_int(&k->json, "total_count", total);
    json_put_int(&k->json, "current_page", (int64_t)k->page);
    json_put_int(&k->json, "total_pages",
                 (total + (int64_t)k->size - 1) / (int64_t)k->size);
    json_close(&k->json);
    reply(t, k);
}

static bool read_count(struct txn *t, const char *name, size_t max, size_t dflt,
                       size_t *out)
{
    struct str text = txn_query(t, str_of(name));
    struct gw_error e = {0};
    uint64_t v = dflt;

    if (text.p && (!str_to_u64(text, &v) || v < 1 || v > max)) {
        err_set_param(&e, GW_INVALID_VALUE, name,
                      "'%s' must be an integer from 1 to %zu", name, max);
        txn_fail(t, &e);
        return false;
    }
    *out = (size_t)v;
    return true;
}

void keys_list(struct txn *t)
{
    struct keys *k = begin(t);
    struct key_store_query q = {0};

    if (!read_count(t, "page", 1000000, 1, &k->page) ||
        !read_count(t, "size", PAGE_MAX, 10, &k->size))
        return;
    k->entries = arena_new();
    txn_goto(t, TXN_STORE);
    q.offset = (k->page - 1) * k->size;
    q.limit = k->size;
    t->store_call = key_store_list(t->sv->keys, k->entries, &q, on_list, t);
}
