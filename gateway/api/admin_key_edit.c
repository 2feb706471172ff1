/* admin_key_edit.c -- virtual keys: changed, blocked, given a new secret,
 * deleted.
 *
 * A change reads the record, makes the new one of it, and has it written if the
 * record is still the one that was read; if not, all begins again. When the
 * record is the same and it was not written all the same, the alias or the new
 * secret is another key's.
 */
#include "gateway/api/admin.h"

#include "gateway/base/clock.h"
#include "gateway/flow/jobs.h"

#define DELETE_MAX 1000

struct edit {
    struct admin_out out;
    struct json *request; /* the members to be changed */
    char hash[CRYPTO_SHA256_HEX + 1], new_hash[CRYPTO_SHA256_HEX + 1];
    struct str secret; /* the new one; STR_NULL: it stays */
    struct str old, record;
    unsigned tries;
    void (*put_head)(struct edit *x); /* of the reply */
    /* delete */
    struct vkey_strs wanted; /* keys, or aliases */
    bool are_aliases;
    size_t next, ndeleted;
    bool deletes_files;
    struct vkey_strs jobs; /* that do it */
};

static struct edit *begin(struct txn *t, struct json *request)
{
    struct edit *x = arena_new_of(t->arena, struct edit);

    admin_out_init(t, &x->out);
    x->request = request;
    t->data = x;
    return x;
}

/* --- a change --- */

static void read_key(struct txn *t);

static void on_replaced(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct edit *x = t->data;
    struct json_out *j = &x->out.json;

    if (!admin_is_answered(t, e))
        return;
    if (!changed) {
        read_key(t);
        return;
    }
    json_open(j, NULL, '{');
    if (x->put_head)
        x->put_head(x);
    admin_put_key(t, j, x->new_hash, x->record);
    json_close(j);
    admin_reply(t, &x->out);
}

static enum gw_err build(struct txn *t, struct edit *x, struct gw_error *e)
{
    struct vkey_build how = {.now_s = clock_wall_s()};
    const struct json *old = json_parse(t->arena, x->old, e);
    struct buf record;

    if (!old)
        return e->err;
    if (x->secret.p) {
        how.key_name = vkey_mask(t->arena, x->secret);
        how.key_id = json_str(json_get(old, "key_id"));
        if (!how.key_id.n)
            how.key_id = str_of(x->hash);
    }
    buf_init(&record, ADMIN_RECORD_MAX);
    if (vkey_build(t->arena, x->request, old, &how, &record, e) == GW_OK)
        x->record = arena_dup(t->arena, buf_str(&record));
    buf_release(&record);
    return e->err;
}

static void on_read(void *arg, struct str record, const struct gw_error *e)
{
    struct txn *t = arg;
    struct edit *x = t->data;
    struct gw_error failure = {0};
    struct json *made;

    if (!admin_is_answered(t, e))
        return;
    if (!record.p) {
        admin_no_such_key(t);
        return;
    }
    if (x->old.p && str_eq(x->old, record)) {
        admin_refuse(t, GW_CONFLICT, x->secret.p ? "new_key" : "key_alias",
                     "the alias or the new key is another key's already");
        return;
    }
    if (x->tries++ == ADMIN_TRIES) {
        admin_refuse(t, GW_CONFLICT, "key",
                     "others are changing this key: try again");
        return;
    }
    x->old = arena_dup(t->arena, record);
    if (build(t, x, &failure) != GW_OK) {
        txn_fail(t, &failure);
        return;
    }
    made = json_parse(t->arena, x->record, &failure);
    t->store_call = key_store_replace(t->sv->keys, x->hash, x->old, x->new_hash,
                                      json_str(json_get(made, "key_alias")),
                                      x->record, on_replaced, t);
}

static void read_key(struct txn *t)
{
    struct edit *x = t->data;

    txn_goto(t, TXN_STORE);
    t->store_call = key_store_raw(t->sv->keys, x->hash, on_read, t);
}

/* Change the key of that name. */
static void start(struct txn *t, struct edit *x, struct str named)
{
    admin_key_hash(named, x->hash);
    if (x->secret.p)
        vkey_hash(x->secret, x->new_hash);
    else
        memcpy(x->new_hash, x->hash, sizeof(x->hash));
    if (x->secret.p && strcmp(x->hash, x->new_hash) == 0) {
        admin_refuse(t, GW_INVALID_VALUE, "new_key",
                     "'new_key' is the key as it is");
        return;
    }
    read_key(t);
}

/* --- update --- */

static void put_hash(struct edit *x)
{
    json_put_cstr(&x->out.json, "key", x->new_hash);
}

static void update(struct txn *t, struct json *request)
{
    struct edit *x = begin(t, request);
    struct str named;

    if (!admin_read_name(t, request, "key", &named) ||
        !admin_knows_providers(t, request))
        return;
    x->put_head = put_hash;
    start(t, x, named);
}

void keys_update(struct txn *t)
{
    body_read_json(t, update);
}

/* --- block, unblock --- */

static void set_blocked(struct txn *t, struct json *request, struct str change)
{
    static const char *const members[] = {"key", NULL};
    struct gw_error e = {0};
    struct edit *x = begin(t, json_parse(t->arena, change, &e));
    struct str named;

    if (admin_knows_members(t, request, members) &&
        admin_read_name(t, request, "key", &named))
        start(t, x, named);
}

static void block(struct txn *t, struct json *request)
{
    set_blocked(t, request, STR("{\"blocked\":true}"));
}

static void unblock(struct txn *t, struct json *request)
{
    set_blocked(t, request, STR("{\"blocked\":false}"));
}

void keys_block(struct txn *t)
{
    body_read_json(t, block);
}

void keys_unblock(struct txn *t)
{
    body_read_json(t, unblock);
}

/* --- regenerate --- */

static void put_secret(struct edit *x)
{
    json_put_str(&x->out.json, "key", x->secret);
    json_put_cstr(&x->out.json, "token_id", x->new_hash);
}

/* The old key is named by the body, the query or the path. */
static void regenerate(struct txn *t, struct json *request)
{
    struct edit *x = begin(t, request);
    struct str named = t->param;

    if (!named.n)
        named = txn_query(t, STR("key"));
    if ((!named.n && !admin_read_name(t, request, "key", &named)) ||
        !admin_knows_providers(t, request) ||
        !admin_choose_secret(t, request, "new_key", &x->secret))
        return;
    x->put_head = put_secret;
    start(t, x, named);
}

void keys_regenerate(struct txn *t)
{
    body_read_json(t, regenerate);
}

/* --- delete --- */

static void delete_next(struct txn *t);

static void on_deleted(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct edit *x = t->data;

    if (!admin_is_answered(t, e))
        return;
    if (changed) {
        json_put_str(&x->out.json, NULL, x->wanted.v[x->next - 1]);
        x->ndeleted++;
    }
    delete_next(t);
}

static void delete_key(struct txn *t)
{
    struct edit *x = t->data;

    t->store_call = key_store_delete(t->sv->keys, x->hash, on_deleted, t);
}

static void on_job_begun(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct edit *x = t->data;

    (void)changed;
    if (!admin_is_answered(t, e))
        return;
    x->jobs.n++;
    delete_key(t);
}

/* Files of a team or a user are not the key's. */
static void on_doomed(void *arg, struct str record, const struct gw_error *e)
{
    struct txn *t = arg;
    struct edit *x = t->data;
    struct gw_error broken = {0};
    struct vkey k;

    if (!admin_is_answered(t, e))
        return;
    if (!record.p ||
        vkey_parse(t->arena, x->hash, arena_dup(t->arena, record), &k,
                   &broken) != GW_OK ||
        !str_starts(k.owner, STR("k:")))
        delete_key(t);
    else
        t->store_call = jobs_start_delete_files(
            t->sv, t->arena, k.owner, &x->jobs.v[x->jobs.n], on_job_begun, t);
}

static void doom_key(struct txn *t, struct str named)
{
    struct edit *x = t->data;

    admin_key_hash(named, x->hash);
    if (x->deletes_files)
        t->store_call = key_store_raw(t->sv->keys, x->hash, on_doomed, t);
    else
        delete_key(t);
}

static void on_alias(void *arg, struct str hash, const struct gw_error *e)
{
    struct txn *t = arg;

    if (!admin_is_answered(t, e))
        return;
    if (!hash.p) {
        delete_next(t);
        return;
    }
    doom_key(t, hash);
}

static void finish_deleting(struct txn *t, struct edit *x)
{
    json_close(&x->out.json);
    if (x->deletes_files)
        admin_put_jobs(&x->out.json, &x->jobs);
    json_close(&x->out.json);
    if (x->ndeleted)
        admin_reply(t, &x->out);
    else
        admin_no_such_key(t);
}

static void delete_next(struct txn *t)
{
    struct edit *x = t->data;
    struct str named;

    if (x->next == x->wanted.n) {
        finish_deleting(t, x);
        return;
    }
    named = x->wanted.v[x->next++];
    if (x->are_aliases) {
        t->store_call = key_store_by_alias(t->sv->keys, named, on_alias, t);
        return;
    }
    doom_key(t, named);
}

static void delete_keys(struct txn *t, struct json *request)
{
    static const char *const members[] = {"keys", "key_aliases", "delete_files",
                                          NULL};
    struct edit *x = begin(t, request);
    const struct json *list = json_get(request, "keys");

    x->are_aliases = json_is_null(list);
    if (x->are_aliases)
        list = json_get(request, "key_aliases");
    if (!admin_knows_members(t, request, members) ||
        !admin_read_names(t, list,
                          json_is_null(list) || !x->are_aliases ? "keys"
                                                                : "key_aliases",
                          DELETE_MAX, &x->wanted) ||
        !admin_read_delete_files(t, request, &x->deletes_files))
        return;
    x->jobs.v = arena_alloc(t->arena, x->wanted.n * sizeof(*x->jobs.v));
    json_open(&x->out.json, NULL, '{');
    json_open(&x->out.json, "deleted_keys", '[');
    txn_goto(t, TXN_STORE);
    delete_next(t);
}

void keys_delete(struct txn *t)
{
    body_read_json(t, delete_keys);
}
