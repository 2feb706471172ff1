/* admin_keys.c -- virtual keys: made, shown, listed.
 *
 * A key can be named by its secret or by its hash ("token"). The secret is in
 * one reply, that of /key/generate (or /key/regenerate), and nowhere else.
 */
#include "gateway/api/admin.h"

#include "gateway/base/clock.h"

#define PAGE_MAX 100

struct keys {
    struct admin_out out;
    char hash[CRYPTO_SHA256_HEX + 1];
    struct str secret, record;
    /* list */
    size_t page, size;
    struct arena *entries;
};

static void release(void *arg)
{
    arena_free(((struct keys *)arg)->entries);
}

static struct keys *begin(struct txn *t)
{
    struct keys *k = arena_new_of(t->arena, struct keys);

    admin_out_init(t, &k->out);
    arena_on_free(t->arena, release, k);
    t->data = k;
    return k;
}

/* --- generate --- */

static void on_generated(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct keys *k = t->data;
    struct json_out *j = &k->out.json;

    if (!admin_is_answered(t, e))
        return;
    if (!changed) {
        admin_refuse(t, GW_CONFLICT, "key_alias",
                     "a key with this alias, or this key, exists already");
        return;
    }
    json_open(j, NULL, '{');
    json_put_str(j, "key", k->secret);
    json_put_cstr(j, "token_id", k->hash);
    admin_put_key(t, j, k->hash, k->record);
    json_close(j);
    admin_reply(t, &k->out);
}

static void generate(struct txn *t, struct json *request)
{
    struct keys *k = begin(t);
    struct vkey_build how = {.now_s = clock_wall_s()};
    struct gw_error e = {0};
    struct buf record;

    if (!admin_choose_secret(t, request, "key", &k->secret) ||
        !admin_knows_providers(t, request))
        return;
    how.key_name = vkey_mask(t->arena, k->secret);
    buf_init(&record, ADMIN_RECORD_MAX);
    if (vkey_build(t->arena, request, NULL, &how, &record, &e) == GW_OK)
        k->record = arena_dup(t->arena, buf_str(&record));
    buf_release(&record);
    if (e.err != GW_OK) {
        txn_fail(t, &e);
        return;
    }
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

static void on_usage(void *arg, const struct quota_usage *v, size_t n,
                     const struct gw_error *e)
{
    struct txn *t = arg;
    struct keys *k = t->data;
    struct json_out *j = &k->out.json;

    if (!admin_is_answered(t, e))
        return;
    json_open(j, NULL, '{');
    json_put_cstr(j, "key", k->hash);
    json_open(j, "info", '{');
    admin_put_key(t, j, k->hash, k->record);
    if (n)
        admin_put_usage(j, &v[0]);
    json_close(j);
    json_close(j);
    admin_reply(t, &k->out);
}

static void on_info(void *arg, struct str record, const struct gw_error *e)
{
    struct txn *t = arg;
    struct keys *k = t->data;
    struct gw_error broken = {0};
    struct vkey key;

    if (!admin_is_answered(t, e))
        return;
    if (!record.p) {
        admin_no_such_key(t);
        return;
    }
    k->record = arena_dup(t->arena, record);
    if (vkey_parse(t->arena, k->hash, k->record, &key, &broken) != GW_OK) {
        txn_fail(t, &broken);
        return;
    }
    t->store_call = quota_usage(t->sv->redis, &key.scope, 1, on_usage, t);
}

void keys_info(struct txn *t)
{
    struct keys *k = begin(t);
    struct str named = txn_query(t, STR("key"));

    if (!named.n) {
        admin_refuse(t, GW_MISSING_PARAM, "key",
                     "the query parameter 'key' is missing");
        return;
    }
    admin_key_hash(named, k->hash);
    txn_goto(t, TXN_STORE);
    t->store_call = key_store_raw(t->sv->keys, k->hash, on_info, t);
}

/* --- list --- */

static void put_listed(struct txn *t, struct json_out *j,
                       const struct key_store_entry *v, bool is_full)
{
    if (!is_full) {
        json_put_cstr(j, NULL, v->hash);
        return;
    }
    json_open(j, NULL, '{');
    admin_put_key(t, j, v->hash, v->record);
    json_close(j);
}

static void on_list(void *arg, const struct key_store_entry *v, size_t n,
                    int64_t total, const struct gw_error *e)
{
    struct txn *t = arg;
    struct keys *k = t->data;
    struct json_out *j = &k->out.json;
    bool is_full =
        str_eq_nocase(txn_query(t, STR("return_full_object")), STR("true"));

    if (!admin_is_answered(t, e))
        return;
    json_open(j, NULL, '{');
    json_open(j, "keys", '[');
    for (size_t i = 0; i < n; i++)
        put_listed(t, j, &v[i], is_full);
    json_close(j);
    json_put_int(j, "total_count", total);
    json_put_int(j, "current_page", (int64_t)k->page);
    json_put_int(j, "total_pages",
                 (total + (int64_t)k->size - 1) / (int64_t)k->size);
    json_close(j);
    admin_reply(t, &k->out);
}

void keys_list(struct txn *t)
{
    struct keys *k = begin(t);
    struct key_store_query q = {
        .team = txn_query(t, STR("team_id")),
        .user = txn_query(t, STR("user_id")),
        .alias = txn_query(t, STR("key_alias")),
    };

    if (!admin_read_count(t, "page", 1000000, 1, &k->page) ||
        !admin_read_count(t, "size", PAGE_MAX, 10, &k->size))
        return;
    q.offset = (k->page - 1) * k->size;
    q.limit = k->size;
    k->entries = arena_new();
    txn_goto(t, TXN_STORE);
    t->store_call = key_store_list(t->sv->keys, k->entries, &q, on_list, t);
}
