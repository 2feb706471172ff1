/* A parsed key stands in an arena of its own, with the text it was parsed from;
 * whoever drops the last reference frees the arena. The table of kept keys
 * holds one reference to each, the table of fixed keys too.
 */
#include "gateway/store/key_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "gateway/store/schema.h"
#include "scripts.h"

#define uthash_fatal(text) BUG("%s", text)
#include <uthash.h>

#define IDLE_CALLS 64 /* kept for use again */
#define KEY_BYTES 128 /* of a record's key: a prefix and the hash */

static const struct redis_script put_script = REDIS_SCRIPT(key_put);
static const struct redis_script replace_script = REDIS_SCRIPT(key_replace);
static const struct redis_script set_script = REDIS_SCRIPT(key_set);
static const struct redis_script delete_script = REDIS_SCRIPT(key_delete);
static const struct redis_script list_script = REDIS_SCRIPT(key_list);

struct parsed {
    struct vkey_ref ref;
    struct arena *arena; /* in which this stands */
    struct str text;
    UT_hash_handle hh; /* by ref.key.hash */
};

struct key_store_call {
    struct key_store_call *prev, *next;
    struct key_store *s;
    key_store_get_callback *fn;
    void *arg;
    char hash[CRYPTO_SHA256_HEX + 1];
    struct redis_call *call; /* NULL: the answer is `fixed` */
    struct vkey_ref *fixed;  /* held */
    struct loop_task answer;
};

struct key_store {
    struct redis *redis;
    struct str prefix; /* of a record's key */
    struct arena *arena;
    struct parsed *kept, *fixed;
    struct key_store_call *pending, *idle;
    size_t nidle;
};

/* What the other calls remember (redis_room). */
struct done {
    key_store_done_callback *fn;
    void *arg;
};
struct raw {
    key_store_raw_callback *fn;
    void *arg;
};
struct list {
    key_store_list_callback *fn;
    void *arg;
    struct arena *arena;
};

/* --- parsed keys --- */

void vkey_ref_hold(struct vkey_ref *k)
{
    k->refs++;
}

void vkey_ref_drop(struct vkey_ref *k)
{
    if (!k)
        return;
    ASSERT(k->refs > 0);
    if (--k->refs == 0)
        arena_free(container_of(k, struct parsed, ref)->arena);
}

/* With one reference, the caller's. NULL: the record is broken. */
static struct parsed *parse(const char *hash, struct str text,
                            struct gw_error *e)
{
    struct arena *a = arena_new();
    struct parsed *p = arena_new_of(a, struct parsed);

    p->arena = a;
    p->text = arena_dup(a, text);
    p->ref.refs = 1;
    if (vkey_parse(a, hash, p->text, &p->ref.key, e) == GW_OK)
        return p;
    log_error("the record of the key %.8s... is broken: %s", hash, e->message);
    arena_free(a);
    return NULL;
}

static struct parsed *find(struct parsed *table, const char *hash)
{
    struct parsed *p;

    HASH_FIND(hh, table, hash, CRYPTO_SHA256_HEX, p);
    return p;
}

static void add(struct parsed **table, struct parsed *p)
{
    HASH_ADD(hh, *table, ref.key.hash[0], CRYPTO_SHA256_HEX, p);
}

static void forget(struct parsed **table, struct parsed *p)
{
    if (!p)
        return;
    HASH_DEL(*table, p);
    vkey_ref_drop(&p->ref);
}

static void forget_all(struct parsed **table)
{
    struct parsed *p, *next;

    HASH_ITER (hh, *table, p, next)
        forget(table, p);
}

/* The parsed form of what Redis answered, the kept one if it is of the same
 * text. Borrowed from the table. */
static struct parsed *keep(struct key_store *s, const char *hash,
                           struct str text, struct gw_error *e)
{
    struct parsed *p = find(s->kept, hash);

    if (p && str_eq(p->text, text))
        return p;
    forget(&s->kept, p);
    p = parse(hash, text, e);
    if (!p)
        return NULL;
    if (HASH_COUNT(s->kept) >= LIMIT_KEPT_KEYS)
        forget(&s->kept, s->kept); /* the head is the oldest */
    add(&s->kept, p);
    return p;
}

void key_store_set_fixed(struct key_store *s, const struct key_store_fixed *v,
                         size_t n)
{
    struct gw_error e = {0};
    struct parsed *p;
    size_t i;

    forget_all(&s->fixed);
    for (i = 0; i < n; i++) {
        err_clear(&e);
        forget(&s->fixed, find(s->fixed, v[i].hash));
        p = parse(v[i].hash, v[i].record, &e);
        if (p)
            add(&s->fixed, p);
    }
}

const struct vkey *key_store_guess(struct key_store *s, const char *hash)
{
    struct parsed *p = find(s->fixed, hash);

    if (!p)
        p = find(s->kept, hash);
    return p ? &p->ref.key : NULL;
}

/* --- get --- */

static struct key_store_call *call_new(struct key_store *s, const char *hash,
                                       key_store_get_callback *fn, void *arg)
{
    struct key_store_call *c = s->idle;

    if (c) {
        LL_DELETE(s->idle, c);
        s->nidle--;
    } else {
        c = xmalloc(sizeof(*c));
    }
    *c = (struct key_store_call){.s = s, .fn = fn, .arg = arg};
    memcpy(c->hash, hash, sizeof(c->hash));
    DL_APPEND(s->pending, c);
    return c;
}

static void call_done(struct key_store_call *c)
{
    struct key_store *s = c->s;

    vkey_ref_drop(c->fixed);
    DL_DELETE(s->pending, c);
    if (s->nidle == IDLE_CALLS) {
        free(c);
        return;
    }
    LL_PREPEND(s->idle, c);
    s->nidle++;
}

/* The callback may do anything, so the key is held and the call is over. */
static void answer(struct key_store_call *c, struct vkey_ref *k,
                   const struct gw_error *e)
{
    key_store_get_callback *fn = c->fn;
    void *arg = c->arg;

    if (k)
        vkey_ref_hold(k);
    call_done(c);
    fn(arg, k, e);
    vkey_ref_drop(k);
}

static void answer_fixed(void *arg)
{
    static const struct gw_error none;
    struct key_store_call *c = arg;

    answer(c, c->fixed, &none);
}

static void on_record(void *arg, const struct redis_value *v,
                      const struct gw_error *e)
{
    struct key_store_call *c = arg;
    struct gw_error bad = {0};
    struct parsed *p;

    if (e->err != GW_OK) {
        answer(c, NULL, e);
        return;
    }
    if (v->kind != REDIS_STR) {
        forget(&c->s->kept, find(c->s->kept, c->hash));
        answer(c, NULL, e);
        return;
    }
    p = keep(c->s, c->hash, v->str, &bad);
    answer(c, p ? &p->ref : NULL, &bad);
}

struct key_store_call *key_store_get(struct key_store *s, const char *hash,
                                     key_store_get_callback *fn, void *arg)
{
    struct key_store_call *c = call_new(s, hash, fn, arg);
    struct parsed *fixed = find(s->fixed, hash);
    struct str get[2] = {STR("GET")};
    char key[KEY_BYTES];

    if (fixed) {
        c->fixed = &fixed->ref;
        vkey_ref_hold(c->fixed);
        loop_defer(redis_loop(s->redis), &c->answer, answer_fixed, c);
        return c;
    }
    memcpy(key, s->prefix.p, s->prefix.n);
    memcpy(key + s->prefix.n, hash, CRYPTO_SHA256_HEX);
    get[1] = str_make(key, s->prefix.n + CRYPTO_SHA256_HEX);
    c->call = redis_command(s->redis, on_record, c, COUNTOF(get), get);
    return c;
}

void key_store_cancel(struct key_store_call *c)
{
    if (c->call)
        redis_cancel(c->call);
    else
        loop_task_cancel(redis_loop(c->s->redis), &c->answer);
    call_done(c);
}

/* --- administration --- */

static void on_done(void *arg, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct done *w = arg;

    w->fn(w->arg, v && v->integer == 1, e);
}

static void on_raw(void *arg, const struct redis_value *v,
                   const struct gw_error *e)
{
    struct raw *w = arg;

    w->fn(w->arg, v ? v->str : STR_NULL, e);
}

static struct redis_call *tell_done(struct redis_call *c,
                                    key_store_done_callback *fn, void *arg)
{
    struct done *w = redis_room(c, sizeof(*w));

    w->fn = fn;
    w->arg = arg;
    return c;
}

static struct redis_call *tell_raw(struct redis_call *c,
                                   key_store_raw_callback *fn, void *arg)
{
    struct raw *w = redis_room(c, sizeof(*w));

    w->fn = fn;
    w->arg = arg;
    return c;
}

static struct str key_of(struct arena *a, const char *hash)
{
    return schema_key(a, SCHEMA_KEY, str_of(hash));
}

static struct str or_empty(struct str s)
{
    return s.p ? s : STR("");
}

struct redis_call *key_store_put(struct key_store *s, const char *hash,
                                 struct str alias, int64_t created_s,
                                 struct str record, key_store_done_callback *fn,
                                 void *arg)
{
    struct arena *a = arena_new();
    struct str keys[] = {key_of(a, hash), STR(SCHEMA_KEY_INDEX),
                         STR(SCHEMA_KEY_ALIAS)};
    struct str args[] = {str_of(hash), or_empty(alias),
                         arena_printf(a, "%" PRId64, created_s), record};
    struct redis_call *c = redis_eval(s->redis, on_done, NULL, &put_script,
                                      COUNTOF(keys), keys, COUNTOF(args), args);

    arena_free(a);
    return tell_done(c, fn, arg);
}

struct redis_call *key_store_replace(struct key_store *s, const char *old_hash,
                                     struct str old_record, const char *hash,
                                     struct str alias, struct str record,
                                     key_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[] = {key_of(a, old_hash), key_of(a, hash),
                         STR(SCHEMA_KEY_INDEX), STR(SCHEMA_KEY_ALIAS)};
    struct str args[] = {str_of(old_hash), old_record, str_of(hash),
                         or_empty(alias), record};
    struct redis_call *c = redis_eval(s->redis, on_done, NULL, &replace_script,
                                      COUNTOF(keys), keys, COUNTOF(args), args);

    arena_free(a);
    return tell_done(c, fn, arg);
}

struct redis_call *key_store_set_member(struct key_store *s, const char *hash,
                                        const char *member, struct str value,
                                        key_store_raw_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str key = key_of(a, hash);
    struct str args[] = {str_of(member), value};
    struct redis_call *c = redis_eval(s->redis, on_raw, NULL, &set_script, 1,
                                      &key, COUNTOF(args), args);

    arena_free(a);
    return tell_raw(c, fn, arg);
}

struct redis_call *key_store_raw(struct key_store *s, const char *hash,
                                 key_store_raw_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str get[] = {STR("GET"), key_of(a, hash)};
    struct redis_call *c =
        redis_command(s->redis, on_raw, NULL, COUNTOF(get), get);

    arena_free(a);
    return tell_raw(c, fn, arg);
}

struct redis_call *key_store_delete(struct key_store *s, const char *hash,
                                    key_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[] = {key_of(a, hash), STR(SCHEMA_KEY_INDEX),
                         STR(SCHEMA_KEY_ALIAS)};
    struct str name = str_of(hash);
    struct redis_call *c = redis_eval(s->redis, on_done, NULL, &delete_script,
                                      COUNTOF(keys), keys, 1, &name);

    arena_free(a);
    return tell_done(c, fn, arg);
}

struct redis_call *key_store_by_alias(struct key_store *s, struct str alias,
                                      key_store_raw_callback *fn, void *arg)
{
    struct str get[] = {STR("HGET"), STR(SCHEMA_KEY_ALIAS), or_empty(alias)};

    return tell_raw(redis_command(s->redis, on_raw, NULL, COUNTOF(get), get),
                    fn, arg);
}

static void on_list(void *arg, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct list *w = arg;
    struct key_store_entry *all;
    struct str hash;
    size_t n, i;

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, 0, 0, e);
        return;
    }
    n = v->n / 2;
    all = arena_alloc(w->arena, n * sizeof(*all));
    for (i = 0; i < n; i++) {
        hash = redis_at(v, 1 + 2 * i).str;
        memcpy(all[i].hash, hash.p, MIN(hash.n, (size_t)CRYPTO_SHA256_HEX));
        all[i].record = arena_dup(w->arena, redis_at(v, 2 + 2 * i).str);
    }
    w->fn(w->arg, all, n, redis_at(v, 0).integer, e);
}

struct redis_call *key_store_list(struct key_store *s, struct arena *a,
                                  size_t offset, size_t limit,
                                  key_store_list_callback *fn, void *arg)
{
    struct str keys[] = {STR(SCHEMA_KEY_INDEX), s->prefix};
    struct str args[] = {arena_printf(a, "%zu", offset),
                         arena_printf(a, "%zu", limit)};
    struct redis_call *c = redis_eval(s->redis, on_list, NULL, &list_script,
                                      COUNTOF(keys), keys, COUNTOF(args), args);
    struct list *w = redis_room(c, sizeof(*w));

    ASSERT(limit > 0);
    *w = (struct list){fn, arg, a};
    return c;
}

/* --- the whole --- */

struct key_store *key_store_open(struct redis *r)
{
    struct key_store *s = xcalloc(1, sizeof(*s));

    s->redis = r;
    s->arena = arena_new();
    s->prefix = schema_key(s->arena, SCHEMA_KEY, STR(""));
    ASSERT(s->prefix.n + CRYPTO_SHA256_HEX <= KEY_BYTES);
    return s;
}

void key_store_close(struct key_store *s)
{
    struct key_store_call *c, *next;

    if (!s)
        return;
    while (s->pending)
        key_store_cancel(s->pending);
    LL_FOREACH_SAFE(s->idle, c, next)
    free(c);
    forget_all(&s->kept);
    forget_all(&s->fixed);
    arena_free(s->arena);
    free(s);
}
