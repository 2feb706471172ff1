#include "gateway/store/batch_store.h"

#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "gateway/store/redis_done.h"
#include "gateway/store/schema.h"
#include "scripts.h"

#define RECORD_BYTES (3 * MIB)
/* Members stand in it as a string: a byte of theirs takes two at most. */
_Static_assert(2 * LIMIT_BATCH_MEMBERS_BYTES + 64 * KIB < LIMIT_JSON_TEXT_BYTES,
               "every record can be read");
#define BATCH_KEYS 3

/* Records and indexes are like those of files, and so are their scripts. */
static const struct redis_script put_script = REDIS_SCRIPT(file_put);
static const struct redis_script page_script = REDIS_SCRIPT(file_page);
static const struct redis_script delete_script = REDIS_SCRIPT(file_delete);
static const struct redis_script update_script = REDIS_SCRIPT(batch_update);

/* What the calls remember (redis_room). */
struct look_up {
    batch_store_get_callback *get;
    batch_store_page_callback *page;
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
    {"id",             offsetof(struct batch_record, obj.id)},
    {"provider",       offsetof(struct batch_record, provider)},
    {"upstream_id",    offsetof(struct batch_record, upstream_id)},
    {"input_file_id",  offsetof(struct batch_record, obj.input_file_id)},
    {"output_file_id", offsetof(struct batch_record, obj.output_file_id)},
    {"error_file_id",  offsetof(struct batch_record, obj.error_file_id)},
    {"key_hash",       offsetof(struct batch_record, key_hash)},
    {"status",         offsetof(struct batch_record, obj.status)},
    {"members",        offsetof(struct batch_record, obj.members)},
    /* clang-format on */
};

struct str batch_record_text(struct arena *a, const struct batch_record *r)
{
    struct json_out j;
    struct buf b;
    struct str text;
    size_t i;

    buf_init(&b, RECORD_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    for (i = 0; i < COUNTOF(texts); i++) {
        const struct str *s = (const void *)((const char *)r + texts[i].offset);

        if (s->p)
            json_put_str(&j, texts[i].name, *s);
    }
    json_open(&j, "scopes", '[');
    for (i = 0; i < r->nscopes; i++)
        json_put_str(&j, NULL, r->scopes[i]);
    json_close(&j);
    if (r->output_expires_s)
        json_put_int(&j, "output_expires_s", r->output_expires_s);
    json_put_int(&j, "over_ms", r->over_ms);
    if (r->lost_ms)
        json_put_int(&j, "lost_ms", r->lost_ms);
    json_put_bool(&j, "final", r->is_final);
    json_close(&j);
    ASSERT(!b.overflow); /* members are bounded below it */
    text = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return text;
}

enum gw_err batch_record_read(struct arena *a, struct str owner,
                              struct str text, struct batch_record *out,
                              struct gw_error *e)
{
    struct gw_error why = {0};
    const struct json *v = json_parse(a, text, &why), *scopes;
    size_t i;

    *out = (struct batch_record){.owner = owner};
    for (i = 0; i < COUNTOF(texts); i++)
        *(struct str *)(void *)((char *)out + texts[i].offset) =
            json_str(json_get(v, texts[i].name));
    scopes = json_get(v, "scopes");
    for (i = 0; i < json_count(scopes) && i < QUOTA_SCOPES; i++)
        out->scopes[out->nscopes++] = json_str(json_at(scopes, i));
    if (!json_int(json_get(v, "over_ms"), &out->over_ms))
        out->over_ms = 0;
    if (!json_int(json_get(v, "lost_ms"), &out->lost_ms))
        out->lost_ms = 0;
    if (!json_int(json_get(v, "output_expires_s"), &out->output_expires_s))
        out->output_expires_s = 0;
    out->is_final = json_bool(json_get(v, "final"), false);
    if (out->obj.id.n && out->provider.n && out->upstream_id.n)
        return GW_OK;
    log_error("a batch record in redis is broken: %s",
              why.err ? why.message : "no id or provider");
    return err_plain(e, GW_INTERNAL);
}

/* --- writing --- */

static struct str record_key(struct arena *a, const struct batch_record *b)
{
    return schema_key(a, SCHEMA_BATCH, b->owner, b->obj.id);
}

static void keys_of(struct arena *a, const struct batch_record *b,
                    struct str keys[BATCH_KEYS])
{
    keys[0] = record_key(a, b);
    keys[1] = schema_key(a, SCHEMA_BATCH_INDEX, b->owner);
    keys[2] = schema_key(a, SCHEMA_BATCH_PROVIDER, b->owner, b->provider);
}

struct redis_call *batch_store_put(struct redis *r,
                                   const struct batch_record *b,
                                   batch_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[BATCH_KEYS], args[2];
    struct redis_call *c;

    keys_of(a, b, keys);
    args[0] = batch_record_text(a, b);
    args[1] = schema_member(a, b->obj.id);
    c = redis_eval(r, redis_on_done, NULL, &put_script, COUNTOF(keys), keys,
                   COUNTOF(args), args);
    redis_tell_done(c, fn, arg);
    arena_free(a);
    return c;
}

struct redis_call *batch_store_update(struct redis *r,
                                      const struct batch_record *b,
                                      batch_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str key = record_key(a, b);
    struct str args[] = {batch_record_text(a, b),
                         str_of(b->is_final ? "1" : "0")};
    struct redis_call *c;

    c = redis_eval(r, redis_on_done, NULL, &update_script, 1, &key,
                   COUNTOF(args), args);
    redis_tell_done(c, fn, arg);
    arena_free(a);
    return c;
}

struct redis_call *batch_store_delete(struct redis *r,
                                      const struct batch_record *b,
                                      batch_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[BATCH_KEYS], member = schema_member(a, b->obj.id);
    struct redis_call *c;

    keys_of(a, b, keys);
    c = redis_eval(r, redis_on_done, NULL, &delete_script, COUNTOF(keys), keys,
                   1, &member);
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
    struct batch_record b;

    if (e->err != GW_OK || v->kind == REDIS_NIL)
        w->get(w->arg, NULL, e);
    else if (batch_record_read(w->arena, w->owner, v->str, &b, &bad))
        w->get(w->arg, NULL, &bad);
    else
        w->get(w->arg, &b, e);
}

struct redis_call *batch_store_get(struct redis *r, struct arena *a,
                                   struct str owner, struct str id,
                                   batch_store_get_callback *fn, void *arg)
{
    struct str get[] = {STR("GET"), schema_key(a, SCHEMA_BATCH, owner, id)};
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
    struct batch_record *records;
    size_t n = 0, i;

    if (e->err != GW_OK) {
        w->page(w->arg, NULL, 0, false, e);
        return;
    }
    records = arena_alloc(w->arena, v->n * sizeof(*records));
    for (i = 1; i < v->n; i++) {
        if (batch_record_read(w->arena, w->owner, redis_at(v, i).str,
                              &records[n], &bad) == GW_OK)
            n++;
    }
    w->page(w->arg, records, n, redis_at(v, 0).integer == 1, e);
}

struct redis_call *batch_store_page(struct redis *r, struct arena *a,
                                    struct str owner, struct str provider,
                                    struct str after, size_t limit,
                                    batch_store_page_callback *fn, void *arg)
{
    struct str keys[2], args[4] = {STR("desc"), STR("+"), STR("-")};
    struct redis_call *c;
    struct look_up *w;

    ASSERT(limit > 0 && limit <= LIMIT_LIST_PAGE);
    keys[0] = provider.p ? schema_key(a, SCHEMA_BATCH_PROVIDER, owner, provider)
                         : schema_key(a, SCHEMA_BATCH_INDEX, owner);
    keys[1] = schema_key(a, SCHEMA_BATCH, owner, STR(""));
    if (after.p)
        args[1] = arena_printf(a, "(%.*s", STR_ARG(schema_member(a, after)));
    args[3] = arena_printf(a, "%zu", limit);
    c = redis_eval(r, on_page, NULL, &page_script, COUNTOF(keys), keys,
                   COUNTOF(args), args);
    w = redis_room(c, sizeof(*w));
    *w = (struct look_up){
        .page = fn, .arg = arg, .arena = a, .owner = arena_dup(a, owner)};
    return c;
}
