#include "gateway/store/team_store.h"

#include <inttypes.h>

#include "gateway/base/bug.h"
#include "gateway/store/redis_done.h"
#include "gateway/store/schema.h"
#include "scripts.h"

static const struct redis_script put_script = REDIS_SCRIPT(team_put);
static const struct redis_script replace_script = REDIS_SCRIPT(team_replace);
static const struct redis_script set_script = REDIS_SCRIPT(key_set);
static const struct redis_script delete_script = REDIS_SCRIPT(team_delete);
static const struct redis_script list_script = REDIS_SCRIPT(team_list);

/* What the calls remember (redis_room). */
struct list {
    team_store_list_callback *fn;
    void *arg;
    struct arena *arena;
};

static struct str key_of(struct arena *a, struct str id)
{
    return arena_printf(a, SCHEMA_TEAM "%.*s", STR_ARG(id));
}

struct redis_call *team_store_put(struct redis *r, struct str id,
                                  int64_t created_s, struct str record,
                                  team_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[] = {key_of(a, id), STR(SCHEMA_TEAM_INDEX)};
    struct str args[] = {id, arena_printf(a, "%" PRId64, created_s), record};
    struct redis_call *c = redis_eval(r, redis_on_done, NULL, &put_script,
                                      COUNTOF(keys), keys, COUNTOF(args), args);

    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

struct redis_call *team_store_replace(struct redis *r, struct str id,
                                      struct str old_record, struct str record,
                                      team_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str key = key_of(a, id);
    struct str args[] = {old_record, record};
    struct redis_call *c = redis_eval(r, redis_on_done, NULL, &replace_script,
                                      1, &key, COUNTOF(args), args);

    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

struct redis_call *team_store_set_member(struct redis *r, struct str id,
                                         const char *member, struct str value,
                                         team_store_raw_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str key = key_of(a, id);
    struct str args[] = {str_of(member), value};
    struct redis_call *c = redis_eval(r, redis_on_text, NULL, &set_script, 1,
                                      &key, COUNTOF(args), args);

    arena_free(a);
    return redis_tell_text(c, fn, arg);
}

struct redis_call *team_store_raw(struct redis *r, struct str id,
                                  team_store_raw_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str get[] = {STR("GET"), key_of(a, id)};
    struct redis_call *c =
        redis_command(r, redis_on_text, NULL, COUNTOF(get), get);

    arena_free(a);
    return redis_tell_text(c, fn, arg);
}

struct redis_call *team_store_delete(struct redis *r, struct str id,
                                     team_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[] = {key_of(a, id), STR(SCHEMA_TEAM_INDEX)};
    struct redis_call *c = redis_eval(r, redis_on_done, NULL, &delete_script,
                                      COUNTOF(keys), keys, 1, &id);

    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

static void on_list(void *arg, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct list *w = arg;
    struct team_store_entry *all;
    size_t n, i;

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, 0, 0, e);
        return;
    }
    n = v->n / 2;
    all = arena_alloc(w->arena, n * sizeof(*all));
    for (i = 0; i < n; i++) {
        all[i].id = arena_dup(w->arena, redis_at(v, 1 + 2 * i).str);
        all[i].record = arena_dup(w->arena, redis_at(v, 2 + 2 * i).str);
    }
    w->fn(w->arg, all, n, redis_at(v, 0).integer, e);
}

struct redis_call *team_store_list(struct redis *r, struct arena *a,
                                   size_t offset, size_t limit,
                                   team_store_list_callback *fn, void *arg)
{
    struct str keys[] = {STR(SCHEMA_TEAM_INDEX), STR(SCHEMA_TEAM)};
    struct str args[] = {arena_printf(a, "%zu", offset),
                         arena_printf(a, "%zu", limit)};
    struct redis_call *c = redis_eval(r, on_list, NULL, &list_script,
                                      COUNTOF(keys), keys, COUNTOF(args), args);
    struct list *w = redis_room(c, sizeof(*w));

    ASSERT(limit > 0);
    *w = (struct list){fn, arg, a};
    return c;
}
