/* access.c -- who asks, may he, and which file does he mean.
 *
 * The key's record and the file's record come from Redis. The file's key needs
 * the owner, which the key's record tells; as a key's owner hardly ever
 * changes, what it was last time is guessed, both are asked for in one round
 * trip, and the guess is compared with the truth before the file is believed.
 */
#include "gateway/api/api.h"

#include "gateway/base/clock.h"
#include "gateway/codec/fileid.h"
#include "gateway/flow/auth_guard.h"
#include "gateway/flow/copies.h"

struct access {
    struct str guessed_owner; /* the file was asked for under it; STR_NULL */
    bool has_file_answer, has_key_answer;
    const struct file_record *record;
    struct gw_error file_error;
    char hash[CRYPTO_SHA256_HEX + 1];
};

static const struct vkey master_vkey = {
    .key_alias = {"master", 6},
    .key_name = {"master", 6},
    .operations = VKEY_OPS_ALL,
    .id = {"master", 6},
    .scope = {"k:master", 8},
    .owner = {"k:master", 8},
};

static const struct quota_who master_who = {.v = {{.id = {"k:master", 8}}},
                                            .n = 1};

/* Authorization: Bearer …, x-api-key, api-key: the first that is there. */
static struct str find_token(struct txn *t)
{
    struct str v = txn_header(t, STR("authorization"));
    struct str scheme, token;

    if (v.n && str_cut(v, ' ', &scheme, &token) &&
        str_eq_nocase(scheme, STR("Bearer")))
        return str_trim(token);
    v = txn_header(t, STR("x-api-key"));
    return v.n ? v : txn_header(t, STR("api-key"));
}

static void refuse_key(struct txn *t, enum gw_err err, const char *why,
                       const char *label)
{
    struct gw_error e = {0};

    metrics_count(t->sv->metrics, METRIC_AUTH_FAILURES, label, NULL, NULL);
    err_set(&e, err, "%s", why);
    txn_fail(t, &e);
}

/* False after having told an address with too many wrong keys to wait. */
static bool may_try(struct txn *t)
{
    int64_t wait_ms = auth_guard_wait_ms(t->sv->guard, server_req_peer(t->req),
                                         t->conf->limits.auth_failures,
                                         loop_now_ms(t->sv->loop));
    struct gw_error e = {0};

    if (!wait_ms)
        return true;
    metrics_count(t->sv->metrics, METRIC_AUTH_FAILURES, "held_back", NULL,
                  NULL);
    e.retry_after_s = (int)((wait_ms + 999) / 1000);
    err_set(&e, GW_RATE_LIMITED,
            "too many incorrect API keys came from this address; this resets "
            "in %d s",
            e.retry_after_s);
    txn_fail(t, &e);
    return false;
}

/* The provider that the request means, of those that have the file; STR_NULL:
 * /<provider>/v1/files/{id} pins another one. */
static struct str meant_provider(struct txn *t, const struct file_record *r)
{
    struct copies_wish wish;
    size_t order[LIMIT_FAN_OUT];

    if (file_record_places(r) == 1) /* as most: no hint matters */
        return !t->path_provider.p || str_eq(t->path_provider, r->obj.provider)
                   ? r->obj.provider
                   : STR_NULL;
    copies_read_wish(t, &wish);
    if (!copies_order(t, r, &wish, order))
        return STR_NULL;
    return file_record_place(r, order[0]).provider;
}

/* The file that was asked for becomes the transaction's; false after having
 * answered that it cannot. */
static bool take_file(struct txn *t, struct access *a)
{
    struct gw_error e = a->file_error;
    struct str provider = STR_NULL;

    if (e.err == GW_OK && a->record &&
        !file_record_is_expired(a->record, clock_wall_s()))
        provider = meant_provider(t, a->record);
    if (e.err == GW_OK && !provider.p) {
        reply_no_such_file(t);
        return false;
    }
    if (e.err == GW_OK && !vkey_may_use(t->vkey, t->vteam, provider))
        err_set(&e, GW_PROVIDER_NOT_ALLOWED,
                "this API key may not use the provider '%.*s'",
                STR_ARG(provider));
    if (e.err != GW_OK) {
        txn_fail(t, &e);
        return false;
    }
    t->record = a->record;
    t->provider = arena_cstr(t->arena, provider);
    return true;
}

static void proceed(struct txn *t)
{
    if (t->route->needs_file && !take_file(t, t->data))
        return;
    t->data = NULL;
    t->route->handler(t);
}

static void on_file(void *arg, const struct file_record *found,
                    const struct gw_error *e)
{
    struct txn *t = arg;
    struct access *a = t->data;

    t->store_call = NULL;
    a->has_file_answer = true;
    a->file_error = *e;
    if (found) {
        struct file_record *copy = arena_new_of(t->arena, struct file_record);

        *copy = *found;
        a->record = copy;
    }
    if (a->has_key_answer)
        proceed(t);
}

static void ask_for_file(struct txn *t, struct str owner)
{
    struct fileid id;

    /* What is not an id of ours is not looked up at all. */
    if (!fileid_parse(FILEID_FILE, t->param, &id)) {
        ((struct access *)t->data)->has_file_answer = true;
        return;
    }
    t->file_id = t->param;
    t->store_call =
        file_store_get(t->sv->redis, t->arena, owner, t->param, on_file, t);
}

/* The key is known and good: find the file unless it is on its way. */
static void resolve(struct txn *t)
{
    struct access *a = t->data;
    struct str owner = t->vkey->owner;

    a->has_key_answer = true;
    if (!t->route->needs_file) {
        proceed(t);
        return;
    }
    txn_goto(t, TXN_RESOLVE);
    if (a->guessed_owner.p && !str_eq(a->guessed_owner, owner)) {
        if (t->store_call)
            redis_cancel(t->store_call);
        t->store_call = NULL;
        a->has_file_answer = false;
        a->record = NULL;
        a->guessed_owner = STR_NULL;
    }
    if (!a->guessed_owner.p)
        ask_for_file(t, owner);
    if (a->has_file_answer)
        proceed(t);
}

static void take_key(struct txn *t, struct vkey_ref *k, struct team_ref *team)
{
    vkey_ref_hold(k);
    t->key = k;
    t->vkey = &k->key;
    if (team) {
        team_ref_hold(team);
        t->team = team;
        t->vteam = &team->team;
    }
    key_store_who(k, team, &t->who);
}

static enum gw_err check_key(struct txn *t, struct gw_error *e)
{
    if (vkey_check(t->vkey, t->vteam, clock_wall_s(), e) != GW_OK ||
        vkey_check_op(t->vkey, t->vteam, (enum vkey_ops)t->route->op, e) !=
            GW_OK) {
        metrics_count(t->sv->metrics, METRIC_AUTH_FAILURES,
                      err_info(e->err)->code, NULL, NULL);
        return e->err;
    }
    if (t->admission.verdict.limit == QUOTA_NONE)
        return GW_OK;
    return charge_refuse(&t->who, &t->admission.verdict, e);
}

static void on_key(void *arg, struct vkey_ref *k, struct team_ref *team,
                   const struct key_admission *a, const struct gw_error *e)
{
    struct txn *t = arg;
    struct gw_error error = {0};

    t->key_call = NULL;
    if (e->err != GW_OK) {
        txn_fail(t, e);
        return;
    }
    if (!k) {
        auth_guard_note(t->sv->guard, server_req_peer(t->req),
                        loop_now_ms(t->sv->loop));
        refuse_key(t, GW_INVALID_API_KEY, "incorrect API key provided",
                   "unknown");
        return;
    }
    t->admission = *a;
    if (t->route->scope == SCOPE_ADMIN) {
        refuse_key(t, GW_ADMIN_ONLY, "this call takes the master key",
                   "admin_only");
        return;
    }
    take_key(t, k, team);
    if (check_key(t, &error) != GW_OK)
        txn_fail(t, &error);
    else
        resolve(t);
}

static bool is_master(struct txn *t, struct str token)
{
    unsigned char hash[CRYPTO_SHA256_BYTES];

    if (!t->conf->master_key[0])
        return false;
    crypto_sha256(token, hash);
    return crypto_equal(
        str_make((const char *)hash, sizeof(hash)),
        str_make((const char *)t->conf->master_hash, sizeof(hash)));
}

static void ask_for_key(struct txn *t, struct str token)
{
    struct access *a = t->data;
    const struct vkey *guess;
    struct key_request q = {
        .hash = a->hash,
        .request_id = str_of(t->id),
        .lease_ms = t->conf->journal.lease_ms,
    };

    vkey_hash(token, a->hash);
    guess = key_store_guess(t->sv->keys, a->hash);
    if (!guess && !may_try(t))
        return;
    t->key_call = key_store_get(t->sv->keys, &q, on_key, t);
    if (guess && t->route->needs_file) {
        a->guessed_owner = arena_dup(t->arena, guess->owner);
        ask_for_file(t, a->guessed_owner);
    }
}

void access_begin(struct txn *t)
{
    struct str token;

    t->data = arena_new_of(t->arena, struct access);
    if (t->route->scope == SCOPE_OPEN) {
        proceed(t);
        return;
    }
    token = find_token(t);
    if (!token.n) {
        refuse_key(t, GW_INVALID_API_KEY,
                   "no API key: send it as 'Authorization: Bearer <key>'",
                   "missing");
        return;
    }
    if (is_master(t, token)) {
        t->is_master = true;
        t->vkey = &master_vkey;
        t->who = master_who;
        resolve(t);
    } else {
        ask_for_key(t, token);
    }
}
