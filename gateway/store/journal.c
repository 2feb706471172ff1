#include "gateway/store/journal.h"

#include <inttypes.h>
#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "gateway/codec/json.h"
#include "gateway/store/quota_keys.h"
#include "gateway/store/redis_done.h"
#include "scripts.h"

#define NUMBER_BYTES 24
#define EXPIRE_MAX 1000 /* looked at in one script; the next sweep goes on */

static const struct redis_script renew_script = REDIS_SCRIPT(journal_renew);
static const struct redis_script postpone_script =
    REDIS_SCRIPT(journal_postpone);
static const struct redis_script due_script = REDIS_SCRIPT(journal_due);
static const struct redis_script expire_script = REDIS_SCRIPT(quota_expire);
static const struct redis_script rival_script = REDIS_SCRIPT(journal_rival);
static const struct redis_script doomed_script = REDIS_SCRIPT(journal_doomed);
static const struct redis_script lead_script = REDIS_SCRIPT(journal_lead);

/* In the order in which the scripts journal_* but two take them. */
static const struct str journal_keys[] = {
    QUOTA_KEY(SCHEMA_JOURNAL),
    QUOTA_KEY(SCHEMA_DUE),
    QUOTA_KEY(SCHEMA_JOURNAL_TRIES),
    QUOTA_KEY(SCHEMA_HOLDS),
};
static const struct str quota_keys[] = {QUOTA_KEYS};

static const char *const kinds[] = {
    [JOURNAL_UPLOAD] = "upload", [JOURNAL_DELETE] = "delete",
    [JOURNAL_BATCH] = "batch",   [JOURNAL_PARTS] = "parts",
    [JOURNAL_KEPT] = "kept",
};

/* What the calls remember (redis_room). */
struct due {
    journal_due_callback *fn;
    void *arg;
    struct arena *arena;
};

static struct str number_text(char room[NUMBER_BYTES], int64_t n)
{
    snprintf(room, NUMBER_BYTES, "%" PRId64, n);
    return str_of(room);
}

/* --- an entry as text --- */

/* What makes two entries alike stands together, so that a script finds it in
 * the text. */
static void put_likeness(struct json_out *out, enum journal_kind kind,
                         const struct journal_entry *j)
{
    json_put_cstr(out, "kind", kinds[kind]);
    json_put_str(out, "provider", j->provider);
    json_put_str(out, "filename", j->filename);
}

void journal_encode(struct buf *b, const struct journal_entry *j)
{
    struct json_out out;

    json_out_init(&out, b);
    json_open(&out, NULL, '{');
    json_put_str(&out, "id", j->id);
    put_likeness(&out, j->kind, j);
    json_put_str(&out, "owner", j->owner);
    json_put_str(&out, "key_hash", j->key_hash);
    json_put_str(&out, "upstream_id", j->upstream_id);
    json_put_str(&out, "purpose", j->purpose);
    json_put_str(&out, "content_type", j->content_type);
    json_put_int(&out, "bytes", j->bytes);
    json_put_int(&out, "begun_ms", j->begun_ms);
    json_put_int(&out, "expires_at", j->expires_at);
    if (j->of.n)
        json_put_str(&out, "of", j->of);
    if (j->ncopies)
        file_copies_put(&out, "copies", j->copies, j->ncopies);
    json_close(&out);
    ASSERT(!b->overflow); /* all texts are bounded far below */
}

static struct str text_of(const struct json *v, const char *name)
{
    struct str s = json_str(json_get(v, name));

    return s.p ? s : STR("");
}

static int64_t number_of(const struct json *v, const char *name)
{
    int64_t n;

    return json_int(json_get(v, name), &n) ? n : 0;
}

static bool read_kind(const struct json *v, enum journal_kind *out)
{
    struct str name = json_str(json_get(v, "kind"));
    size_t i;

    for (i = 0; i < COUNTOF(kinds); i++) {
        *out = (enum journal_kind)i;
        if (str_eq_c(name, kinds[i]))
            return true;
    }
    return false;
}

static bool decode(struct arena *a, struct str text, struct journal_entry *j)
{
    struct gw_error e = {0};
    const struct json *v = json_parse(a, text, &e);

    *j = (struct journal_entry){
        .id = text_of(v, "id"),
        .owner = text_of(v, "owner"),
        .key_hash = text_of(v, "key_hash"),
        .provider = text_of(v, "provider"),
        .upstream_id = text_of(v, "upstream_id"),
        .filename = text_of(v, "filename"),
        .purpose = text_of(v, "purpose"),
        .content_type = text_of(v, "content_type"),
        .bytes = number_of(v, "bytes"),
        .begun_ms = number_of(v, "begun_ms"),
        .expires_at = number_of(v, "expires_at"),
        .of = text_of(v, "of"),
    };
    j->ncopies = file_copies_read(a, json_get(v, "copies"), &j->copies);
    if (j->id.n && j->provider.n && read_kind(v, &j->kind))
        return true;
    log_error("a journal entry in redis is broken: %s",
              e.err ? e.message : "no id, provider or kind");
    return false;
}

/* --- writers --- */

struct redis_call *journal_renew(struct redis *r, const struct str *ids,
                                 size_t n, int64_t lease_ms,
                                 journal_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str *args = arena_alloc(a, (1 + n) * sizeof(*args));
    char lease[NUMBER_BYTES];
    struct redis_call *c;

    ASSERT(n > 0);
    args[0] = number_text(lease, lease_ms);
    memcpy(args + 1, ids, n * sizeof(*ids));
    c = redis_eval(r, redis_on_done, NULL, &renew_script, 2, journal_keys + 1,
                   1 + n, args);
    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

/* --- the sweeper --- */

struct redis_call *journal_postpone(struct redis *r, struct str id,
                                    int64_t by_ms, journal_done_callback *fn,
                                    void *arg)
{
    char by[NUMBER_BYTES];
    struct str args[] = {id, number_text(by, by_ms)};

    return redis_tell_done(redis_eval(r, redis_on_done, NULL, &postpone_script,
                                      COUNTOF(journal_keys), journal_keys,
                                      COUNTOF(args), args),
                           fn, arg);
}

/* A broken entry stays, logged at every sweep: it may stand for a file that
 * nobody else knows of. */
static void on_due(void *arg, const struct redis_value *v,
                   const struct gw_error *e)
{
    struct due *w = arg;
    struct journal_entry *all;
    size_t n = 0, i;

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, 0, e);
        return;
    }
    all = arena_alloc(w->arena, (v->n / 2) * sizeof(*all));
    for (i = 0; i + 1 < v->n; i += 2) {
        if (!decode(w->arena, redis_at(v, i).str, &all[n]))
            continue;
        if (!str_to_i64(redis_at(v, i + 1).str, &all[n].tries))
            all[n].tries = 0;
        n++;
    }
    w->fn(w->arg, all, n, e);
}

/* If it fails, the sweep after this will do. */
static void on_expired(void *arg UNUSED, const struct redis_value *v,
                       const struct gw_error *e UNUSED)
{
    if (v && v->integer > 0)
        log_info("released %lld holds whose lease had ended",
                 (long long)v->integer);
}

static void release_expired(struct redis *r)
{
    char text[NUMBER_BYTES];
    struct str limit = number_text(text, EXPIRE_MAX);

    (void)redis_eval(r, on_expired, NULL, &expire_script, COUNTOF(quota_keys),
                     quota_keys, 1, &limit);
}

struct redis_call *journal_due(struct redis *r, struct arena *a, size_t max,
                               journal_due_callback *fn, void *arg)
{
    char text[NUMBER_BYTES];
    struct str limit = number_text(text, (int64_t)max);
    struct redis_call *c;
    struct due *w;

    release_expired(r);
    c = redis_eval(r, on_due, NULL, &due_script, COUNTOF(journal_keys),
                   journal_keys, 1, &limit);
    w = redis_room(c, sizeof(*w));
    *w = (struct due){fn, arg, a};
    return c;
}

struct redis_call *journal_has_rival(struct redis *r,
                                     const struct journal_entry *j,
                                     journal_done_callback *fn, void *arg)
{
    struct redis_call *c;
    struct json_out out;
    struct str args[2];
    struct buf b;

    buf_init(&b, LIMIT_JSON_TEXT_BYTES);
    json_out_init(&out, &b);
    json_open(&out, NULL, '{');
    put_likeness(&out, JOURNAL_UPLOAD, j);
    args[0] = j->id;
    args[1] = str_make(b.p + 1, b.n - 1); /* without the brace */
    c = redis_eval(r, redis_on_done, NULL, &rival_script, COUNTOF(journal_keys),
                   journal_keys, COUNTOF(args), args);
    buf_release(&b);
    return redis_tell_done(c, fn, arg);
}

/* Its first provider's id stands in the entry as those of the copies do. */
struct redis_call *journal_is_doomed(struct redis *r, struct str upstream_id,
                                     journal_done_callback *fn, void *arg)
{
    struct redis_call *c;
    struct json_out out;
    struct str text;
    struct buf b;

    buf_init(&b, LIMIT_JSON_TEXT_BYTES);
    json_out_init(&out, &b);
    json_open(&out, NULL, '{');
    json_put_str(&out, "upstream_id", upstream_id);
    text = str_make(b.p + 1, b.n - 1); /* without the brace */
    c = redis_eval(r, redis_on_done, NULL, &doomed_script, 1, journal_keys, 1,
                   &text);
    buf_release(&b);
    return redis_tell_done(c, fn, arg);
}

struct redis_call *journal_lead(struct redis *r, const char *process_id,
                                int64_t lease_ms, journal_done_callback *fn,
                                void *arg)
{
    struct str key = STR(SCHEMA_SWEEPER);
    char lease[NUMBER_BYTES];
    struct str args[] = {str_of(process_id), number_text(lease, lease_ms)};

    return redis_tell_done(redis_eval(r, redis_on_done, NULL, &lead_script, 1,
                                      &key, COUNTOF(args), args),
                           fn, arg);
}
