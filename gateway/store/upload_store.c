#include "gateway/store/upload_store.h"

#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "gateway/codec/fileid.h"
#include "gateway/codec/json.h"
#include "gateway/store/redis_done.h"
#include "gateway/store/schema.h"
#include "scripts.h"

#define RECORD_BYTES (256 * KIB)
#define UPLOAD_KEYS 4
/* Parts that are told at once of those left. */
#define LEFT_MAX 64

static const struct redis_script put_script = REDIS_SCRIPT(upload_put);
static const struct redis_script look_script = REDIS_SCRIPT(upload_look);
static const struct redis_script begin_script = REDIS_SCRIPT(upload_begin);
static const struct redis_script add_script = REDIS_SCRIPT(upload_add);
static const struct redis_script drop_script = REDIS_SCRIPT(upload_drop);
static const struct redis_script take_script = REDIS_SCRIPT(upload_take);
static const struct redis_script end_script = REDIS_SCRIPT(upload_end);
static const struct redis_script left_script = REDIS_SCRIPT(upload_left);

static const char *const states[] = {
    [UPLOAD_NONE] = "",
    [UPLOAD_PENDING] = "pending",
    [UPLOAD_COMPLETING] = "completing",
    [UPLOAD_COMPLETED] = "completed",
    [UPLOAD_CANCELLED] = "cancelled",
    [UPLOAD_EXPIRED] = "expired",
    [UPLOAD_FULL] = "full",
    [UPLOAD_MANY] = "many",
    [UPLOAD_GONE] = "gone",
};

/* What the calls remember (redis_room). */
struct look {
    upload_look_callback *fn;
    void *arg;
    struct arena *arena;
    struct str owner;
    const struct str *parts;
    size_t nparts;
};
struct change {
    upload_state_callback *fn;
    void *arg;
};

const char *upload_state_name(enum upload_state s)
{
    return states[s];
}

bool upload_store_is_part(struct str upstream_id)
{
    struct str prefix = STR(UPLOAD_OBJECT_PREFIX), id;
    size_t n = prefix.n + FILEID_ULID_CHARS;
    struct fileid parsed;
    char text[LIMIT_ID_BYTES + 1];

    if (upstream_id.n < n)
        return false;
    id = str_make(upstream_id.p + upstream_id.n - n, n);
    if (!str_starts(id, prefix))
        return false;
    snprintf(text, sizeof(text), "file-x-%.*s", FILEID_ULID_CHARS,
             id.p + prefix.n);
    return fileid_parse(FILEID_FILE, str_of(text), &parsed);
}

static enum upload_state state_of(struct str name)
{
    size_t i;

    for (i = 0; i < COUNTOF(states); i++)
        if (str_eq_c(name, states[i]))
            return (enum upload_state)i;
    return UPLOAD_NONE;
}

/* --- the record --- */

static const struct {
    const char *name;
    size_t offset;
} texts[] =
    {
        /* clang-format off */
    {"id",           offsetof(struct upload_record, id)},
    {"key_hash",     offsetof(struct upload_record, key_hash)},
    {"provider",     offsetof(struct upload_record, provider)},
    {"upstream_id",  offsetof(struct upload_record, upstream_id)},
    {"hold",         offsetof(struct upload_record, hold)},
    {"filename",     offsetof(struct upload_record, filename)},
    {"purpose",      offsetof(struct upload_record, purpose)},
    {"content_type", offsetof(struct upload_record, content_type)},
        /* clang-format on */
},
  numbers[] = {
      /* clang-format off */
    {"bytes",         offsetof(struct upload_record, bytes)},
    {"created_at",    offsetof(struct upload_record, created_at)},
    {"expires_at",    offsetof(struct upload_record, expires_at)},
    {"expires_after", offsetof(struct upload_record, expires_after_s)},
      /* clang-format on */
};

static const void *at(const struct upload_record *u, size_t offset)
{
    return (const char *)u + offset;
}

static struct str record_text(struct arena *a, const struct upload_record *u)
{
    struct json_out j;
    struct buf b;
    struct str text;
    size_t i;

    buf_init(&b, RECORD_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    for (i = 0; i < COUNTOF(texts); i++)
        json_put_str(&j, texts[i].name,
                     *(const struct str *)at(u, texts[i].offset));
    for (i = 0; i < COUNTOF(numbers); i++)
        json_put_int(&j, numbers[i].name,
                     *(const int64_t *)at(u, numbers[i].offset));
    json_close(&j);
    ASSERT(!b.overflow); /* all texts are bounded far below */
    text = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return text;
}

static enum gw_err read_record(struct arena *a, struct str owner,
                               struct str text, struct upload_record *u,
                               struct gw_error *e)
{
    struct gw_error why = {0};
    const struct json *v = json_parse(a, text, &why);
    size_t i;

    *u = (struct upload_record){.owner = owner};
    for (i = 0; i < COUNTOF(texts); i++) {
        struct str s = json_str(json_get(v, texts[i].name));

        *(struct str *)(void *)((char *)u + texts[i].offset) =
            s.p ? s : STR("");
    }
    for (i = 0; i < COUNTOF(numbers); i++) {
        int64_t *n = (void *)((char *)u + numbers[i].offset);

        if (!json_int(json_get(v, numbers[i].name), n))
            *n = 0;
    }
    if (u->id.n && u->provider.n && u->bytes > 0)
        return GW_OK;
    log_error("an upload's record in redis is broken: %s",
              why.err ? why.message : "no id, provider or size");
    return err_plain(e, GW_INTERNAL);
}

/* --- calls --- */

static struct redis_call *eval(struct redis *r, redis_callback *fn,
                               const struct redis_script *s, struct str owner,
                               struct str id, size_t nargs,
                               const struct str *args)
{
    struct arena *a = arena_new();
    struct str keys[UPLOAD_KEYS];
    struct redis_call *c;

    keys[0] = schema_key(a, SCHEMA_UPLOAD, owner, id);
    keys[1] = schema_key(a, SCHEMA_UPLOAD_PARTS, owner, id);
    keys[2] = schema_key(a, SCHEMA_UPLOAD_UNDER_WAY, owner, id);
    keys[3] = schema_key(a, SCHEMA_FILE, owner, STR(""));
    c = redis_eval(r, fn, NULL, s, UPLOAD_KEYS, keys, nargs, args);
    arena_free(a);
    return c;
}

static void on_state(void *room, const struct redis_value *v,
                     const struct gw_error *e)
{
    struct change *w = room;

    if (e->err != GW_OK)
        w->fn(w->arg, UPLOAD_NONE, 0, e);
    else
        w->fn(w->arg, state_of(redis_at(v, 0).str), redis_at(v, 1).integer, e);
}

static struct redis_call *change(struct redis *r, const struct redis_script *s,
                                 const struct upload_record *u, size_t nargs,
                                 const struct str *args,
                                 upload_state_callback *fn, void *arg)
{
    struct redis_call *c = eval(r, on_state, s, u->owner, u->id, nargs, args);
    struct change *w = redis_room(c, sizeof(*w));

    *w = (struct change){fn, arg};
    return c;
}

struct redis_call *upload_store_put(struct redis *r,
                                    const struct upload_record *u,
                                    int64_t life_ms, upload_done_callback *fn,
                                    void *arg)
{
    char bytes[STR_I64_BYTES], life[STR_I64_BYTES], kept[STR_I64_BYTES];
    struct arena *a = arena_new();
    struct str args[] = {record_text(a, u), str_of_i64(u->bytes, bytes),
                         str_of_i64(life_ms, life),
                         str_of_i64(life_ms + UPLOAD_KEPT_MS, kept)};
    struct redis_call *c = eval(r, redis_on_done, &put_script, u->owner, u->id,
                                COUNTOF(args), args);

    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

struct redis_call *upload_store_begin(struct redis *r,
                                      const struct upload_record *u,
                                      struct str part_id, struct str object,
                                      int64_t bytes, int64_t lease_ms,
                                      bool is_again, upload_state_callback *fn,
                                      void *arg)
{
    char size[STR_I64_BYTES], lease[STR_I64_BYTES], most[STR_I64_BYTES];
    struct str args[] = {part_id,
                         object,
                         str_of_i64(bytes, size),
                         str_of_i64(lease_ms, lease),
                         str_of(is_again ? "1" : "0"),
                         str_of_i64(LIMIT_UPLOAD_PARTS, most)};

    return change(r, &begin_script, u, COUNTOF(args), args, fn, arg);
}

struct redis_call *upload_store_add(struct redis *r,
                                    const struct upload_record *u,
                                    const struct upload_part *part,
                                    upload_state_callback *fn, void *arg)
{
    char size[STR_I64_BYTES];
    struct str args[] = {part->id, str_of_i64(part->bytes, size),
                         part->upstream_id};

    return change(r, &add_script, u, COUNTOF(args), args, fn, arg);
}

struct redis_call *upload_store_drop(struct redis *r, struct str owner,
                                     struct str id, const struct str *parts,
                                     size_t n, upload_done_callback *fn,
                                     void *arg)
{
    return redis_tell_done(
        eval(r, redis_on_done, &drop_script, owner, id, n, parts), fn, arg);
}

struct redis_call *upload_store_take(struct redis *r,
                                     const struct upload_record *u,
                                     struct str file_id, int64_t lease_ms,
                                     upload_state_callback *fn, void *arg)
{
    char lease[STR_I64_BYTES];
    struct str args[] = {file_id, str_of_i64(lease_ms, lease)};

    return change(r, &take_script, u, COUNTOF(args), args, fn, arg);
}

/* --- looking --- */

static void remember(struct redis_call *c, const struct look *what)
{
    struct look *w = redis_room(c, sizeof(*w));

    *w = *what;
}

/* "<bytes> <upstream id>" */
static void read_part(struct arena *a, struct str text, struct upload_part *p)
{
    struct str bytes, rest;

    p->upstream_id = STR_NULL;
    if (str_cut(text, ' ', &bytes, &rest) && str_to_i64(bytes, &p->bytes))
        p->upstream_id = arena_dup(a, rest);
}

static void on_look(void *room, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct look *w = room;
    struct upload_view view = {.nparts = w->nparts};
    struct gw_error bad = {0};
    size_t i;

    if (e->err != GW_OK || v->kind == REDIS_NIL) {
        w->fn(w->arg, NULL, e);
        return;
    }
    view.state = state_of(redis_at(v, 0).str);
    view.stored = redis_at(v, 2).integer;
    if (read_record(w->arena, w->owner, redis_at(v, 1).str, &view.record,
                    &bad) != GW_OK) {
        w->fn(w->arg, NULL, &bad);
        return;
    }
    view.parts = arena_alloc(w->arena, (w->nparts + 1) * sizeof(*view.parts));
    for (i = 0; i < w->nparts; i++) {
        view.parts[i].id = w->parts[i];
        read_part(w->arena, redis_at(v, 3 + i).str, &view.parts[i]);
    }
    w->fn(w->arg, &view, e);
}

struct redis_call *upload_store_look(struct redis *r, struct arena *a,
                                     struct str owner, struct str id,
                                     const struct str *parts, size_t nparts,
                                     upload_look_callback *fn, void *arg)
{
    struct redis_call *c =
        eval(r, on_look, &look_script, owner, id, nparts, parts);

    remember(c, &(struct look){.fn = fn,
                               .arg = arg,
                               .arena = a,
                               .owner = arena_dup(a, owner),
                               .parts = parts,
                               .nparts = nparts});
    return c;
}

struct redis_call *upload_store_end(struct redis *r, struct arena *a,
                                    struct str owner, struct str id,
                                    enum upload_state state, struct str file_id,
                                    upload_look_callback *fn, void *arg)
{
    struct str args[] = {str_of(states[state]), file_id};
    struct redis_call *c =
        eval(r, on_look, &end_script, owner, id, COUNTOF(args), args);

    remember(
        c, &(struct look){
               .fn = fn, .arg = arg, .arena = a, .owner = arena_dup(a, owner)});
    return c;
}

static void on_given_back(void *room UNUSED, const struct redis_value *v UNUSED,
                          const struct gw_error *e)
{
    if (e->err != GW_OK)
        log_warn("an upload is not open again before its lease ends: %s",
                 e->message);
}

void upload_store_give_back(struct redis *r, struct str owner, struct str id,
                            struct str file_id)
{
    struct str args[] = {str_of(states[UPLOAD_PENDING]), file_id};

    (void)eval(r, on_given_back, &end_script, owner, id, COUNTOF(args), args);
}

static void on_left(void *room, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct look *w = room;
    struct upload_view view = {0};
    size_t i;

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, e);
        return;
    }
    view.stored = redis_at(v, 0).integer;
    view.nparts = (v->n - 1) / 2;
    view.parts = arena_alloc(w->arena, (view.nparts + 1) * sizeof(*view.parts));
    for (i = 0; i < view.nparts; i++)
        view.parts[i] = (struct upload_part){
            .id = arena_dup(w->arena, redis_at(v, 1 + 2 * i).str),
            .upstream_id = arena_dup(w->arena, redis_at(v, 2 + 2 * i).str)};
    w->fn(w->arg, &view, e);
}

struct redis_call *upload_store_left(struct redis *r, struct arena *a,
                                     struct str owner, struct str id,
                                     upload_look_callback *fn, void *arg)
{
    char most[STR_I64_BYTES];
    struct str args[] = {str_of_i64(LEFT_MAX, most)};
    struct redis_call *c =
        eval(r, on_left, &left_script, owner, id, COUNTOF(args), args);

    remember(c, &(struct look){.fn = fn, .arg = arg, .arena = a});
    return c;
}
