#include "gateway/store/kept_store.h"

#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "gateway/codec/json.h"
#include "gateway/store/redis_done.h"
#include "gateway/store/schema.h"
#include "scripts.h"

#define RECORD_BYTES (2 * LIMIT_KEPT_STATE_BYTES + 8 * KIB)
#define KEPT_KEYS 3
#define FORGOTTEN_AT_ONCE 200

/* Records and indexes are like those of files, and so are their scripts. */
static const struct redis_script put_script = REDIS_SCRIPT(file_put);
static const struct redis_script update_script = REDIS_SCRIPT(file_update);
static const struct redis_script delete_script = REDIS_SCRIPT(file_delete);
static const struct redis_script page_script = REDIS_SCRIPT(kept_page);
static const struct redis_script forget_script = REDIS_SCRIPT(kept_forget);

/* What the calls remember (redis_room). */
struct look_up {
    kept_store_get_callback *get;
    kept_store_page_callback *page;
    void *arg;
    struct arena *arena;
    struct str owner;
};

/* --- the record --- */

static const struct {
    const char *name;
    size_t offset;
} texts[] = {
    /* clang-format off */
    {"id",          offsetof(struct kept_record, id)},
    {"kind",        offsetof(struct kept_record, kind)},
    {"provider",    offsetof(struct kept_record, provider)},
    {"upstream_id", offsetof(struct kept_record, upstream_id)},
    {"key_hash",    offsetof(struct kept_record, key_hash)},
    {"ulid",        offsetof(struct kept_record, ulid)},
    {"state",       offsetof(struct kept_record, state)},
    /* clang-format on */
};

static struct str text_of(struct arena *a, const struct kept_record *k)
{
    struct json_out j;
    struct buf b;
    struct str text;
    size_t i;

    ASSERT(k->state.n <= LIMIT_KEPT_STATE_BYTES);
    buf_init(&b, RECORD_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    for (i = 0; i < COUNTOF(texts); i++) {
        const struct str *s = (const void *)((const char *)k + texts[i].offset);

        json_put_str(&j, texts[i].name, s->p ? *s : STR(""));
    }
    json_close(&j);
    ASSERT(!b.overflow); /* a byte of JSON text takes two at most */
    text = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return text;
}

static enum gw_err read_text(struct arena *a, struct str owner, struct str text,
                             struct kept_record *out, struct gw_error *e)
{
    struct gw_error why = {0};
    const struct json *v = json_parse(a, text, &why);
    size_t i;

    *out = (struct kept_record){.owner = owner};
    for (i = 0; i < COUNTOF(texts); i++)
        *(struct str *)(void *)((char *)out + texts[i].offset) =
            json_str(json_get(v, texts[i].name));
    if (out->id.n && out->provider.n && out->ulid.n)
        return GW_OK;
    log_error("a kept object's record in redis is broken: %s",
              why.err ? why.message : "no id or provider");
    return err_plain(e, GW_INTERNAL);
}

/* --- writing --- */

static struct str member_of(struct arena *a, const struct kept_record *k)
{
    return arena_printf(a, "%.*s %.*s", STR_ARG(k->ulid), STR_ARG(k->id));
}

static void keys_of(struct arena *a, const struct kept_record *k,
                    struct str keys[KEPT_KEYS])
{
    keys[0] = schema_key(a, SCHEMA_OBJECT, k->owner, k->id);
    keys[1] = schema_key(a, SCHEMA_KEPT_INDEX, k->owner, k->kind);
    keys[2] =
        schema_key(a, SCHEMA_KEPT_PROVIDER, k->owner, k->kind, k->provider);
}

static struct redis_call *change(struct redis *r, const struct redis_script *s,
                                 const struct kept_record *k, bool has_text,
                                 kept_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[KEPT_KEYS], args[2];
    struct redis_call *c;
    size_t n = 0;

    keys_of(a, k, keys);
    if (has_text)
        args[n++] = text_of(a, k);
    args[n++] = member_of(a, k);
    c = redis_eval(r, redis_on_done, NULL, s, COUNTOF(keys), keys, n, args);
    redis_tell_done(c, fn, arg);
    arena_free(a);
    return c;
}

struct redis_call *kept_store_put(struct redis *r, const struct kept_record *k,
                                  kept_store_done_callback *fn, void *arg)
{
    return change(r, &put_script, k, true, fn, arg);
}

struct redis_call *kept_store_update(struct redis *r,
                                     const struct kept_record *k,
                                     kept_store_done_callback *fn, void *arg)
{
    return change(r, &update_script, k, true, fn, arg);
}

struct redis_call *kept_store_delete(struct redis *r,
                                     const struct kept_record *k,
                                     kept_store_done_callback *fn, void *arg)
{
    return change(r, &delete_script, k, false, fn, arg);
}

struct redis_call *kept_store_forget(struct redis *r, struct str owner,
                                     struct str kind,
                                     kept_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[] = {
        schema_key(a, SCHEMA_KEPT_INDEX, owner, kind),
        schema_key(a, SCHEMA_OBJECT, owner, STR("")),
        schema_key(a, SCHEMA_KEPT_PROVIDER, owner, kind, STR("")),
    };
    struct str most = arena_printf(a, "%d", FORGOTTEN_AT_ONCE);
    struct redis_call *c;

    c = redis_eval(r, redis_on_done, NULL, &forget_script, COUNTOF(keys), keys,
                   1, &most);
    redis_tell_done(c, fn, arg);
    arena_free(a);
    return c;
}

/* --- looking up --- */

static void on_got(void *arg, const struct redis_value *v,
                   const struct gw_error *e)
{
    struct look_up *w = arg;
    struct gw_error bad = {0};
    struct kept_record k;

    if (e->err != GW_OK || v->kind == REDIS_NIL)
        w->get(w->arg, NULL, e);
    else if (read_text(w->arena, w->owner, v->str, &k, &bad))
        w->get(w->arg, NULL, &bad);
    else
        w->get(w->arg, &k, e);
}

struct redis_call *kept_store_get(struct redis *r, struct arena *a,
                                  struct str owner, struct str id,
                                  kept_store_get_callback *fn, void *arg)
{
    struct str get[] = {STR("GET"), schema_key(a, SCHEMA_OBJECT, owner, id)};
    struct redis_call *c = redis_command(r, on_got, NULL, COUNTOF(get), get);
    struct look_up *w = redis_room(c, sizeof(*w));

    *w = (struct look_up){
        .get = fn, .arg = arg, .arena = a, .owner = arena_dup(a, owner)};
    return c;
}

static void on_page(void *arg, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct look_up *w = arg;
    struct gw_error bad = {0};
    struct kept_record *records;
    size_t n = 0, i;

    if (e->err != GW_OK) {
        w->page(w->arg, NULL, 0, false, false, e);
        return;
    }
    records = arena_alloc(w->arena, v->n * sizeof(*records));
    for (i = 2; i < v->n; i++) {
        if (read_text(w->arena, w->owner, redis_at(v, i).str, &records[n],
                      &bad)) {
            w->page(w->arg, NULL, 0, false, false, &bad);
            return;
        }
        n++;
    }
    w->page(w->arg, records, n, redis_at(v, 0).integer == 1,
            redis_at(v, 1).integer == 1, e);
}

/* As it stands behind the beginning of the records' keys. */
static struct str id_in_key(struct arena *a, struct str id)
{
    return id.p ? schema_key(a, "%", id) : STR("");
}

struct redis_call *kept_store_page(struct redis *r, struct arena *a,
                                   const struct kept_query *q,
                                   kept_store_page_callback *fn, void *arg)
{
    struct str keys[2], args[5];
    struct redis_call *c;
    struct look_up *w;

    ASSERT(q->limit > 0 && q->limit <= LIMIT_LIST_PAGE);
    keys[0] = q->provider.p
                  ? schema_key(a, SCHEMA_KEPT_PROVIDER, q->owner, q->kind,
                               q->provider)
                  : schema_key(a, SCHEMA_KEPT_INDEX, q->owner, q->kind);
    keys[1] = schema_key(a, SCHEMA_OBJECT, q->owner, STR(""));
    args[0] = q->is_ascending ? STR("asc") : STR("desc");
    args[1] = id_in_key(a, q->after);
    args[2] = id_in_key(a, q->before);
    args[3] = arena_printf(a, "%zu", q->limit);
    args[4] = q->behind ? member_of(a, q->behind) : STR("");
    c = redis_eval(r, on_page, NULL, &page_script, COUNTOF(keys), keys,
                   COUNTOF(args), args);
    w = redis_room(c, sizeof(*w));
    *w = (struct look_up){
        .page = fn, .arg = arg, .arena = a, .owner = arena_dup(a, q->owner)};
    return c;
}
