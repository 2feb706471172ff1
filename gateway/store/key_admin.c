/* The administration of virtual keys: the other half of key_store.h. The
 * scripts keep the indexes and the aliases; they read team and user in the
 * record.
 */
#include "gateway/store/key_store.h"

#include <inttypes.h>

#include "gateway/base/bug.h"
#include "gateway/store/redis_done.h"
#include "gateway/store/schema.h"
#include "scripts.h"

static const struct redis_script put_script = REDIS_SCRIPT(key_put);
static const struct redis_script replace_script = REDIS_SCRIPT(key_replace);
static const struct redis_script set_script = REDIS_SCRIPT(key_set);
static const struct redis_script delete_script = REDIS_SCRIPT(key_delete);
static const struct redis_script list_script = REDIS_SCRIPT(key_list);

/* What the KEYS of put, replace and delete begin with. */
#define INDEX_KEYS                                                             \
    STR(SCHEMA_KEY_INDEX), STR(SCHEMA_KEY_ALIAS), STR(SCHEMA_KEY_TEAM),        \
        STR(SCHEMA_KEY_USER)

/* What the calls remember (redis_room). */
struct list {
    key_store_list_callback *fn;
    void *arg;
    struct arena *arena;
};

static struct str key_of(struct arena *a, const char *hash)
{
    return arena_printf(a, SCHEMA_KEY "%s", hash);
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
    struct str keys[] = {INDEX_KEYS, key_of(a, hash)};
    struct str args[] = {str_of(hash), or_empty(alias),
                         arena_printf(a, "%" PRId64, created_s), record};
    struct redis_call *c =
        redis_eval(key_store_redis(s), redis_on_done, NULL, &put_script,
                   COUNTOF(keys), keys, COUNTOF(args), args);

    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

struct redis_call *key_store_replace(struct key_store *s, const char *old_hash,
                                     struct str old_record, const char *hash,
                                     struct str alias, struct str record,
                                     key_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[] = {INDEX_KEYS, key_of(a, old_hash), key_of(a, hash)};
    struct str args[] = {str_of(old_hash), old_record, str_of(hash),
                         or_empty(alias), record};
    struct redis_call *c =
        redis_eval(key_store_redis(s), redis_on_done, NULL, &replace_script,
                   COUNTOF(keys), keys, COUNTOF(args), args);

    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

struct redis_call *key_store_set_member(struct key_store *s, const char *hash,
                                        const char *member, struct str value,
                                        key_store_raw_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str key = key_of(a, hash);
    struct str args[] = {str_of(member), value};
    struct redis_call *c =
        redis_eval(key_store_redis(s), redis_on_text, NULL, &set_script, 1,
                   &key, COUNTOF(args), args);

    arena_free(a);
    return redis_tell_text(c, fn, arg);
}

struct redis_call *key_store_raw(struct key_store *s, const char *hash,
                                 key_store_raw_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str get[] = {STR("GET"), key_of(a, hash)};
    struct redis_call *c = redis_command(key_store_redis(s), redis_on_text,
                                         NULL, COUNTOF(get), get);

    arena_free(a);
    return redis_tell_text(c, fn, arg);
}

struct redis_call *key_store_delete(struct key_store *s, const char *hash,
                                    key_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[] = {INDEX_KEYS, key_of(a, hash)};
    struct str name = str_of(hash);
    struct redis_call *c =
        redis_eval(key_store_redis(s), redis_on_done, NULL, &delete_script,
                   COUNTOF(keys), keys, 1, &name);

    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

struct redis_call *key_store_by_alias(struct key_store *s, struct str alias,
                                      key_store_raw_callback *fn, void *arg)
{
    struct str get[] = {STR("HGET"), STR(SCHEMA_KEY_ALIAS), or_empty(alias)};

    return redis_tell_text(redis_command(key_store_redis(s), redis_on_text,
                                         NULL, COUNTOF(get), get),
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
                                  const struct key_store_query *q,
                                  key_store_list_callback *fn, void *arg)
{
    struct str keys[] = {STR(SCHEMA_KEY_INDEX), STR(SCHEMA_KEY_ALIAS),
                         STR(SCHEMA_KEY), STR(SCHEMA_KEY_TEAM),
                         STR(SCHEMA_KEY_USER)};
    struct str args[] = {arena_printf(a, "%zu", q->offset),
                         arena_printf(a, "%zu", q->limit), or_empty(q->team),
                         or_empty(q->user), or_empty(q->alias)};
    struct redis_call *c =
        redis_eval(key_store_redis(s), on_list, NULL, &list_script,
                   COUNTOF(keys), keys, COUNTOF(args), args);
    struct list *w = redis_room(c, sizeof(*w));

    ASSERT(q->limit > 0);
    *w = (struct list){fn, arg, a};
    return c;
}
