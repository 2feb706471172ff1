#include "gateway/store/object_store.h"

#include "gateway/base/log.h"
#include "gateway/codec/json.h"
#include "gateway/store/schema.h"

#define RECORD_BYTES (4 * KIB)

/* What the call remembers (redis_room). */
struct look_up {
    object_store_callback *fn;
    void *arg;
    struct arena *arena;
    struct str owner, id;
};

bool object_is_id(struct str id)
{
    return id.n > 0 && id.n <= LIMIT_OBJECT_ID_BYTES &&
           str_is_made_of(id, "-_");
}

static struct str text_of(struct arena *a, const struct object_record *o)
{
    struct json_out j;
    struct buf b;
    struct str text;

    buf_init(&b, RECORD_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_put_str(&j, "kind", o->kind);
    json_put_str(&j, "provider", o->provider);
    json_close(&j);
    text = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return text;
}

struct redis_call *object_store_put(struct redis *r,
                                    const struct object_record *o,
                                    int64_t life_ms, redis_text_callback *fn,
                                    void *arg)
{
    struct arena *a = arena_new();
    struct str set[] = {
        STR("SET"),
        schema_key(a, SCHEMA_OBJECT, o->owner, o->id),
        text_of(a, o),
        STR("PX"),
        arena_printf(a, "%lld", (long long)life_ms),
    };
    struct redis_call *c =
        redis_command(r, redis_on_text, NULL, COUNTOF(set), set);

    redis_tell_text(c, fn, arg);
    arena_free(a);
    return c;
}

static void on_got(void *arg, const struct redis_value *v,
                   const struct gw_error *e)
{
    struct look_up *w = arg;
    struct gw_error why = {0}, bad = {0};
    struct object_record o = {.id = w->id, .owner = w->owner};
    const struct json *text;

    if (e->err != GW_OK || v->kind == REDIS_NIL) {
        w->fn(w->arg, NULL, e);
        return;
    }
    text = json_parse(w->arena, v->str, &why);
    o.kind = json_str(json_get(text, "kind"));
    o.provider = json_str(json_get(text, "provider"));
    if (o.kind.n && o.provider.n) {
        w->fn(w->arg, &o, e);
        return;
    }
    log_error("an object's record in redis is broken");
    err_plain(&bad, GW_INTERNAL);
    w->fn(w->arg, NULL, &bad);
}

struct redis_call *object_store_get(struct redis *r, struct arena *a,
                                    struct str owner, struct str id,
                                    object_store_callback *fn, void *arg)
{
    struct str get[] = {STR("GET"), schema_key(a, SCHEMA_OBJECT, owner, id)};
    struct redis_call *c = redis_command(r, on_got, NULL, COUNTOF(get), get);
    struct look_up *w = redis_room(c, sizeof(*w));

    *w = (struct look_up){fn, arg, a, arena_dup(a, owner), arena_dup(a, id)};
    return c;
}

struct redis_call *object_store_delete(struct redis *r, struct str owner,
                                       struct str id, redis_done_callback *fn,
                                       void *arg)
{
    struct arena *a = arena_new();
    struct str del[] = {STR("DEL"), schema_key(a, SCHEMA_OBJECT, owner, id)};
    struct redis_call *c =
        redis_command(r, redis_on_done, NULL, COUNTOF(del), del);

    redis_tell_done(c, fn, arg);
    arena_free(a);
    return c;
}
