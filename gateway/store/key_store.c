/* One call of key_store_get() goes round until what it knows is what is stored:
 *
 *     fixed ─────────────────────────────────────────────► answer
 *     ask ─► the key, or its team, has a limit ─► admit ─► answer
 *      ▲       │ no, or not known                   │ they are not as known
 *      │       ▼                                    ▼
 *      │     MGET key team ─────────────────────► take ──► answer
 *      └──────────────── a limit, another team ─────┘
 *
 * Which is one round trip each time but the first. The script is asked with the
 * texts that the forms held by the call were parsed from; so what it admits is
 * what is answered, whatever became of the cache meanwhile.
 */
#include "gateway/store/key_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/store/quota_keys.h"
#include "scripts.h"

#define IDLE_CALLS 64 /* kept for use again */
#define ROUNDS_MAX                                                             \
    10                /* a record that changes more often meanwhile is broken  \
                       */
#define KEY_BYTES 128 /* of a key's record's key: a prefix and the hash */
/* Two records, a slot and its lease; an id and two limits per scope. */
#define ADMIT_ARGS (4 + 3 * QUOTA_SCOPES)
#define LEAVING_MAX 64 /* told to Redis at once */
#define SLOT_PREFIX "p:"
#define SLOT_BYTES (sizeof(SLOT_PREFIX) + LIMIT_ID_BYTES)
#define NUMBER_BYTES 24

static const struct redis_script admit_script = REDIS_SCRIPT(key_admit);
static const struct redis_script leave_script = REDIS_SCRIPT(key_leave);

static const struct str quota_keys[] = {QUOTA_KEYS};

struct key_store_call {
    struct key_store_call *prev, *next;
    struct key_store *s;
    key_store_get_callback *fn;
    void *arg;
    char hash[CRYPTO_SHA256_HEX + 1];
    char slot[SLOT_BYTES]; /* "": none */
    int64_t lease_ms;
    int rounds;
    bool takes_slot;         /* the script under way may take it */
    struct vkey_ref *key;    /* held; NULL: nothing is known of it yet */
    struct team_ref *team;   /* held; NULL: none, or nothing is known */
    struct redis_call *call; /* NULL: a fixed key, by `answer` */
    struct loop_task answer;
};

struct key_store {
    struct redis *redis;
    struct key_cache *cache;
    struct key_store_call *pending, *idle;
    size_t nidle;
    char leaving[LEAVING_MAX][SLOT_BYTES];
    size_t nleaving;
    struct loop_task leave;
};

void key_store_set_fixed(struct key_store *s, const struct key_store_fixed *v,
                         size_t n)
{
    size_t i;

    key_cache_clear_fixed(s->cache);
    for (i = 0; i < n; i++)
        key_cache_add_fixed(s->cache, v[i].hash, v[i].record);
}

const struct vkey *key_store_guess(struct key_store *s, const char *hash)
{
    struct vkey_ref *k = key_cache_fixed(s->cache, hash);

    if (!k)
        k = key_cache_key(s->cache, hash);
    return k ? &k->key : NULL;
}

void key_store_who(const struct vkey_ref *k, const struct team_ref *team,
                   struct quota_who *who)
{
    *who = (struct quota_who){.n = 1};
    who->v[0] = (struct quota_scope){k->scope, k->key.limits};
    if (!k->team_scope.n)
        return;
    who->v[who->n++].id = k->team_scope;
    if (team)
        who->v[1].limits = team->team.limits;
}

/* --- calls --- */

static struct key_store_call *call_new(struct key_store *s,
                                       const struct key_request *q,
                                       key_store_get_callback *fn, void *arg)
{
    struct key_store_call *c = s->idle;

    ASSERT(q->request_id.n <= LIMIT_ID_BYTES);
    if (c) {
        LL_DELETE(s->idle, c);
        s->nidle--;
    } else {
        c = xmalloc(sizeof(*c));
    }
    *c = (struct key_store_call){.s = s, .fn = fn, .arg = arg};
    memcpy(c->hash, q->hash, sizeof(c->hash));
    if (q->request_id.n)
        snprintf(c->slot, sizeof(c->slot), SLOT_PREFIX "%.*s",
                 STR_ARG(q->request_id));
    c->lease_ms = q->lease_ms;
    DL_APPEND(s->pending, c);
    return c;
}

/* What is known of the key: borrowed forms, held from now on. */
static void know(struct key_store_call *c, struct vkey_ref *k,
                 struct team_ref *t)
{
    if (k)
        vkey_ref_hold(k);
    if (t)
        team_ref_hold(t);
    vkey_ref_drop(c->key);
    team_ref_drop(c->team);
    c->key = k;
    c->team = t;
}

static void call_done(struct key_store_call *c)
{
    struct key_store *s = c->s;

    know(c, NULL, NULL);
    DL_DELETE(s->pending, c);
    if (s->nidle == IDLE_CALLS) {
        free(c);
        return;
    }
    LL_PREPEND(s->idle, c);
    s->nidle++;
}

/* The callback may do anything, so the call is over and its forms are ours. */
static void answer(struct key_store_call *c, const struct key_admission *a,
                   const struct gw_error *e)
{
    key_store_get_callback *fn = c->fn;
    struct vkey_ref *k = c->key;
    struct team_ref *t = c->team;
    void *arg = c->arg;

    c->key = NULL;
    c->team = NULL;
    call_done(c);
    fn(arg, k, t, a, e);
    vkey_ref_drop(k);
    team_ref_drop(t);
}

static void answer_known(void *arg)
{
    static const struct key_admission free_to_go;
    static const struct gw_error none;

    answer(arg, &free_to_go, &none);
}

static void answer_nothing(struct key_store_call *c, const struct gw_error *e)
{
    static const struct key_admission nothing;

    know(c, NULL, NULL);
    answer(c, &nothing, e);
}

/* --- asking --- */

static void ask(struct key_store_call *c);

static bool may_be_used(const struct key_store_call *c)
{
    const struct vkey *k = &c->key->key;

    return !k->blocked && !(c->team && c->team->team.blocked) &&
           !(k->expires_s && k->expires_s <= clock_wall_s());
}

static bool has_parallel(const struct key_store_call *c)
{
    return c->slot[0] && (c->key->key.limits.parallel ||
                          (c->team && c->team->team.limits.parallel));
}

/* Is there something that the script has to count? */
static bool is_limited(const struct key_store_call *c)
{
    return may_be_used(c) && (has_parallel(c) || c->key->key.limits.rpm ||
                              (c->team && c->team->team.limits.rpm));
}

/* The records as they are stored now. */
static void take(struct key_store_call *c, struct redis_value key,
                 struct redis_value team)
{
    struct key_cache *cache = c->s->cache;
    struct str asked = c->key ? c->key->key.team_id : STR("");
    struct team_ref *t = NULL;
    struct gw_error e = {0};
    struct vkey_ref *k;

    if (key.kind != REDIS_STR) {
        key_cache_forget_key(cache, c->hash);
        answer_nothing(c, &e);
        return;
    }
    if (team.kind != REDIS_STR)
        key_cache_forget_team(cache, asked);
    else
        t = key_cache_keep_team(cache, asked, team.str, &e);
    k = key_cache_keep_key(cache, c->hash, key.str, &e);
    if (e.err != GW_OK) {
        answer_nothing(c, &e);
        return;
    }
    if (!str_eq(asked, k->key.team_id)) {
        ask(c);
        return;
    }
    know(c, k, t);
    if (is_limited(c))
        ask(c);
    else
        answer_known(c);
}

static void on_records(void *arg, const struct redis_value *v,
                       const struct gw_error *e)
{
    struct key_store_call *c = arg;

    c->call = NULL;
    if (e->err != GW_OK)
        answer_nothing(c, e);
    else
        take(c, redis_at(v, 0), redis_at(v, 1));
}

/* Eight numbers, see key_admit.lua. */
static void read_admission(struct str text, struct key_admission *a)
{
    int64_t n[8] = {0};
    struct str word;
    size_t i;

    for (i = 0; i < COUNTOF(n) && str_next(&text, ' ', &word); i++)
        if (!str_to_i64(word, &n[i]))
            n[i] = 0;
    a->rpm_limit = n[0];
    a->rpm_remaining = n[1];
    a->rpm_reset_ms = n[2];
    a->verdict = (struct quota_verdict){.limit = (enum quota_limit)n[3],
                                        .scope = (size_t)n[4],
                                        .max = n[5],
                                        .used = n[6],
                                        .wait_ms = n[7]};
}

static void on_admit(void *arg, const struct redis_value *v,
                     const struct gw_error *e)
{
    struct key_store_call *c = arg;
    struct key_admission a = {0};

    c->call = NULL;
    if (e->err != GW_OK) {
        answer_nothing(c, e);
        return;
    }
    if (v->kind == REDIS_ARRAY) {
        take(c, redis_at(v, 0), redis_at(v, 1));
        return;
    }
    read_admission(v->str, &a);
    a.is_under_way = c->takes_slot && a.verdict.limit == QUOTA_NONE;
    answer(c, &a, e);
}

/* The key of the key's record, in the caller's room. */
static struct str key_key(const struct key_store_call *c, char room[KEY_BYTES])
{
    int n = snprintf(room, KEY_BYTES, SCHEMA_KEY "%s", c->hash);

    return str_make(room, (size_t)n);
}

static struct str team_key(struct arena *a, const struct key_store_call *c)
{
    return arena_printf(a, SCHEMA_TEAM "%.*s", STR_ARG(c->key->key.team_id));
}

static void ask_for_records(struct key_store_call *c)
{
    bool has_team = c->key && c->key->key.team_id.n;
    struct arena *a = has_team ? arena_new() : NULL;
    struct str argv[3] = {STR("MGET")};
    char room[KEY_BYTES];

    argv[1] = key_key(c, room);
    if (has_team)
        argv[2] = team_key(a, c);
    c->call = redis_command(c->s->redis, on_records, c, has_team ? 3 : 2, argv);
    arena_free(a);
}

static void ask_for_admission(struct key_store_call *c)
{
    struct str keys[] = {QUOTA_KEYS, STR_NULL, STR_NULL};
    struct str args[ADMIT_ARGS];
    char numbers[ADMIT_ARGS][STR_I64_BYTES], room[KEY_BYTES];
    struct arena *a = c->key->key.team_id.n ? arena_new() : NULL;
    size_t nkeys = COUNTOF(keys) - 1, n = 0, i;
    struct quota_who who;

    keys[nkeys - 1] = key_key(c, room);
    if (a)
        keys[nkeys++] = team_key(a, c);
    c->takes_slot = has_parallel(c);
    args[n++] = key_cache_key_text(c->key);
    args[n++] = c->team ? key_cache_team_text(c->team) : STR("");
    args[n++] = c->takes_slot ? str_of(c->slot) : STR("");
    args[n] = str_of_i64(c->lease_ms, numbers[n]);
    n++;
    key_store_who(c->key, c->team, &who);
    for (i = 0; i < who.n; i++) {
        const struct vkey_limits *l = &who.v[i].limits;

        args[n++] = who.v[i].id;
        args[n] = str_of_i64(MIN(l->rpm, QUOTA_MAX), numbers[n]);
        n++;
        args[n] = str_of_i64(MIN(l->parallel, QUOTA_MAX), numbers[n]);
        n++;
    }
    c->call = redis_eval(c->s->redis, on_admit, c, &admit_script, nkeys, keys,
                         n, args);
    arena_free(a);
}

static void ask(struct key_store_call *c)
{
    struct vkey_ref *k = key_cache_key(c->s->cache, c->hash);
    struct gw_error e = {0};

    if (++c->rounds > ROUNDS_MAX) {
        err_set(&e, GW_INTERNAL, "the record of a key changes all the time");
        answer_nothing(c, &e);
        return;
    }
    know(c, k, k ? key_cache_team(c->s->cache, k->key.team_id) : NULL);
    c->takes_slot = false;
    if (k && is_limited(c))
        ask_for_admission(c);
    else
        ask_for_records(c);
}

struct key_store_call *key_store_get(struct key_store *s,
                                     const struct key_request *q,
                                     key_store_get_callback *fn, void *arg)
{
    struct key_store_call *c = call_new(s, q, fn, arg);
    struct vkey_ref *fixed = key_cache_fixed(s->cache, q->hash);

    if (fixed) {
        know(c, fixed, NULL);
        loop_defer(redis_loop(s->redis), &c->answer, answer_known, c);
    } else {
        ask(c);
    }
    return c;
}

/* --- leaving --- */

static void on_left(void *arg UNUSED, const struct redis_value *v UNUSED,
                    const struct gw_error *e UNUSED)
{
}

struct str key_store_slot(struct arena *a, struct str request_id)
{
    return arena_printf(a, SLOT_PREFIX "%.*s", STR_ARG(request_id));
}

static void tell_leaving(void *arg)
{
    struct key_store *s = arg;
    struct str slots[LEAVING_MAX];
    size_t i;

    for (i = 0; i < s->nleaving; i++)
        slots[i] = str_of(s->leaving[i]);
    if (i)
        (void)redis_eval(s->redis, on_left, NULL, &leave_script,
                         COUNTOF(quota_keys), quota_keys, i, slots);
    s->nleaving = 0;
}

/* Those of a turn are told in one command. */
static void leave(struct key_store *s, const char *prefix, struct str id)
{
    char *slot;

    ASSERT(strlen(prefix) + id.n < SLOT_BYTES);
    if (s->nleaving == LEAVING_MAX)
        tell_leaving(s);
    slot = s->leaving[s->nleaving++];
    snprintf(slot, SLOT_BYTES, "%s%.*s", prefix, STR_ARG(id));
    loop_defer(redis_loop(s->redis), &s->leave, tell_leaving, s);
}

void key_store_leave(struct key_store *s, struct str request_id)
{
    leave(s, SLOT_PREFIX, request_id);
}

/* The script under way is carried out all the same, and before this. */
void key_store_cancel(struct key_store_call *c)
{
    struct key_store *s = c->s;

    if (!c->call) {
        loop_task_cancel(redis_loop(s->redis), &c->answer);
    } else {
        redis_cancel(c->call);
        if (c->takes_slot)
            leave(s, "", str_of(c->slot));
    }
    call_done(c);
}

/* --- the whole --- */

struct redis *key_store_redis(const struct key_store *s)
{
    return s->redis;
}

struct key_store *key_store_open(struct redis *r)
{
    struct key_store *s = xcalloc(1, sizeof(*s));

    s->redis = r;
    s->cache = key_cache_new();
    return s;
}

void key_store_close(struct key_store *s)
{
    struct key_store_call *c, *next;

    if (!s)
        return;
    while (s->pending)
        key_store_cancel(s->pending);
    tell_leaving(s);
    loop_task_cancel(redis_loop(s->redis), &s->leave);
    LL_FOREACH_SAFE(s->idle, c, next)
    free(c);
    key_cache_free(s->cache);
    free(s);
}
