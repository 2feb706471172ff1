/* Pages are Redis's own scans: what is there all the while is returned, maybe
 * twice. What a job notes is in two sets of its own, which go by themselves
 * after a day.
 */
#include "gateway/store/audit.h"

#include "gateway/base/bug.h"
#include "gateway/store/schema.h"
#include "scripts.h"

static const struct redis_script snapshot_script = REDIS_SCRIPT(audit_snapshot);
static const struct redis_script unseen_script = REDIS_SCRIPT(audit_unseen);
static const struct redis_script scopes_script = REDIS_SCRIPT(audit_scopes);
static const struct redis_script sums_script = REDIS_SCRIPT(audit_sums);

/* What the calls remember (redis_room). */
struct page {
    audit_page_callback *fn;
    void *arg;
    struct arena *arena;
};
struct done {
    audit_done_callback *fn;
    void *arg;
};
struct sums {
    audit_sums_callback *fn;
    void *arg;
    struct arena *arena;
};

static struct str key_of(struct arena *a, const char *prefix, struct str id)
{
    return arena_printf(a, "%s%.*s", prefix, STR_ARG(id));
}

static struct str page_size(struct arena *a)
{
    return arena_printf(a, "%d", AUDIT_PAGE);
}

/* --- pages --- */

static struct str *texts_of(struct arena *a, const struct redis_value *v,
                            size_t from, size_t n)
{
    struct str *all = arena_alloc(a, (n + 1) * sizeof(*all));

    for (size_t i = 0; i < n; i++)
        all[i] = arena_dup(a, redis_at(v, from + i).str);
    return all;
}

/* {next cursor, text, text, ...} */
static void on_page(void *arg, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct page *w = arg;
    size_t n;

    if (e->err != GW_OK || !v->n) {
        w->fn(w->arg, NULL, 0, STR("0"), e);
        return;
    }
    n = v->n - 1;
    w->fn(w->arg, texts_of(w->arena, v, 1, n), n,
          arena_dup(w->arena, redis_at(v, 0).str), e);
}

/* SCAN's own answer: {next cursor, {key, key, ...}} */
static void on_scan(void *arg, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct page *w = arg;
    struct redis_value keys;

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, 0, STR("0"), e);
        return;
    }
    keys = redis_at(v, 1);
    w->fn(w->arg, texts_of(w->arena, &keys, 0, keys.n), keys.n,
          arena_dup(w->arena, redis_at(v, 0).str), e);
}

static struct redis_call *tell_page(struct redis_call *c, struct arena *a,
                                    audit_page_callback *fn, void *arg)
{
    struct page *w = redis_room(c, sizeof(*w));

    *w = (struct page){fn, arg, a};
    return c;
}

static struct redis_call *scan(struct redis *r, struct arena *a,
                               redis_callback *on_answer, struct str cursor,
                               struct str pattern, audit_page_callback *fn,
                               void *arg)
{
    struct str argv[] = {STR("SCAN"), cursor,       STR("MATCH"),
                         pattern,     STR("COUNT"), page_size(a)};

    return tell_page(redis_command(r, on_answer, NULL, COUNTOF(argv), argv), a,
                     fn, arg);
}

struct redis_call *audit_snapshot(struct redis *r, struct arena *a,
                                  struct str job_id, struct str cursor,
                                  audit_page_callback *fn, void *arg)
{
    struct str keys[] = {STR(SCHEMA_COUNTED), key_of(a, SCHEMA_AUDIT, job_id)};
    struct str args[] = {cursor, page_size(a)};

    return tell_page(redis_eval(r, on_page, NULL, &snapshot_script,
                                COUNTOF(keys), keys, COUNTOF(args), args),
                     a, fn, arg);
}

struct redis_call *audit_unseen(struct redis *r, struct arena *a,
                                struct str job_id, struct str cursor,
                                audit_page_callback *fn, void *arg)
{
    struct str keys[] = {STR(SCHEMA_COUNTED), key_of(a, SCHEMA_AUDIT, job_id),
                         STR(SCHEMA_JOURNAL), STR(SCHEMA_HOLDS)};
    struct str args[] = {cursor, page_size(a)};

    return tell_page(redis_eval(r, on_page, NULL, &unseen_script, COUNTOF(keys),
                                keys, COUNTOF(args), args),
                     a, fn, arg);
}

/* What stands for itself in a pattern of Redis's. */
static struct str literal(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, 2 * s.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (memchr("*?[]\\^", s.p[i], 6))
            out[n++] = '\\';
        out[n++] = s.p[i];
    }
    return str_make(out, n);
}

struct redis_call *audit_ways(struct redis *r, struct arena *a,
                              struct str provider, struct str cursor,
                              audit_page_callback *fn, void *arg)
{
    struct str pattern = STR("fm:{u:*}:*"), way;

    if (provider.p) {
        way = schema_key(a, SCHEMA_UPSTREAM, provider, STR(""));
        pattern = arena_printf(a, "%.*s*", STR_ARG(literal(a, way)));
    }
    return scan(r, a, on_scan, cursor, pattern, fn, arg);
}

/* "<owner> <file id>": an owner may hold spaces, an id does not. */
static void on_way(void *arg, const struct redis_value *v,
                   const struct gw_error *e)
{
    struct page *w = arg;
    struct str text, parts[2];
    size_t at;

    if (e->err != GW_OK || v->kind != REDIS_STR) {
        w->fn(w->arg, NULL, 0, STR("0"), e);
        return;
    }
    text = arena_dup(w->arena, v->str);
    for (at = text.n; at > 0 && text.p[at - 1] != ' ';)
        at--;
    parts[0] = str_make(text.p, at > 0 ? at - 1 : 0);
    parts[1] = str_make(text.p + at, text.n - at);
    w->fn(w->arg, parts, COUNTOF(parts), STR("0"), e);
}

struct redis_call *audit_way(struct redis *r, struct arena *a, struct str way,
                             audit_page_callback *fn, void *arg)
{
    struct str get[] = {STR("GET"), way};

    return tell_page(redis_command(r, on_way, NULL, COUNTOF(get), get), a, fn,
                     arg);
}

/* --- changes --- */

static void on_done(void *arg, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct done *w = arg;

    (void)v;
    w->fn(w->arg, e);
}

static struct redis_call *tell_done(struct redis_call *c,
                                    audit_done_callback *fn, void *arg)
{
    struct done *w = redis_room(c, sizeof(*w));

    *w = (struct done){fn, arg};
    return c;
}

struct redis_call *audit_seen(struct redis *r, struct str job_id,
                              struct str file_id, audit_done_callback *fn,
                              void *arg)
{
    struct arena *a = arena_new();
    struct str argv[] = {STR("SREM"), key_of(a, SCHEMA_AUDIT, job_id), file_id};
    struct redis_call *c = redis_command(r, on_done, NULL, COUNTOF(argv), argv);

    arena_free(a);
    return tell_done(c, fn, arg);
}

struct redis_call *audit_end(struct redis *r, struct str job_id,
                             audit_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str argv[] = {STR("DEL"), key_of(a, SCHEMA_AUDIT, job_id),
                         key_of(a, SCHEMA_AUDIT_SCOPES, job_id)};
    struct redis_call *c = redis_command(r, on_done, NULL, COUNTOF(argv), argv);

    arena_free(a);
    return tell_done(c, fn, arg);
}

/* --- scopes --- */

/* The keys, without what they start with. */
static void on_scopes(void *arg, const struct redis_value *v,
                      const struct gw_error *e)
{
    struct page *w = arg;
    size_t prefix = sizeof(SCHEMA_USE) - 1;
    struct redis_value keys;
    struct str *names;

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, 0, STR("0"), e);
        return;
    }
    keys = redis_at(v, 1);
    names = texts_of(w->arena, &keys, 0, keys.n);
    for (size_t i = 0; i < keys.n; i++)
        names[i] = str_make(names[i].p + prefix, names[i].n - prefix);
    w->fn(w->arg, names, keys.n, arena_dup(w->arena, redis_at(v, 0).str), e);
}

struct redis_call *audit_scopes(struct redis *r, struct arena *a,
                                struct str cursor, audit_page_callback *fn,
                                void *arg)
{
    return scan(r, a, on_scopes, cursor, STR(SCHEMA_USE "*"), fn, arg);
}

struct redis_call *audit_note_scopes(struct redis *r, struct str job_id,
                                     const struct str *scopes, size_t n,
                                     audit_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str key = key_of(a, SCHEMA_AUDIT_SCOPES, job_id);
    struct redis_call *c =
        redis_eval(r, on_done, NULL, &scopes_script, 1, &key, n, scopes);

    arena_free(a);
    return tell_done(c, fn, arg);
}

/* --- sums --- */

static void on_sums(void *arg, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct sums *w = arg;
    struct audit_drift *rows;
    size_t n;

    if (e->err != GW_OK || v->kind != REDIS_ARRAY) {
        w->fn(w->arg, NULL, 0, false, e);
        return;
    }
    n = v->n / 5;
    rows = arena_alloc(w->arena, (n + 1) * sizeof(*rows));
    for (size_t i = 0; i < n; i++)
        rows[i] = (struct audit_drift){
            .scope = arena_dup(w->arena, redis_at(v, 5 * i).str),
            .files = redis_at(v, 5 * i + 1).integer,
            .bytes = redis_at(v, 5 * i + 2).integer,
            .true_files = redis_at(v, 5 * i + 3).integer,
            .true_bytes = redis_at(v, 5 * i + 4).integer,
        };
    w->fn(w->arg, rows, n, true, e);
}

struct redis_call *audit_sums(struct redis *r, struct arena *a,
                              struct str job_id, bool mend,
                              audit_sums_callback *fn, void *arg)
{
    struct str keys[] = {STR(SCHEMA_COUNTED),
                         key_of(a, SCHEMA_AUDIT_SCOPES, job_id),
                         STR(SCHEMA_USE)};
    struct str args[] = {arena_printf(a, "%d", AUDIT_FILES_MAX),
                         mend ? STR("1") : STR("0")};
    struct redis_call *c = redis_eval(r, on_sums, NULL, &sums_script,
                                      COUNTOF(keys), keys, COUNTOF(args), args);
    struct sums *w = redis_room(c, sizeof(*w));

    *w = (struct sums){fn, arg, a};
    return c;
}
