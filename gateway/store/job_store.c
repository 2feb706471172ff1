/* The record starts with its version, so that the script compares a prefix and
 * need not parse. Jobs that are not over stand in a sorted set by the time at
 * which their next step is due: each step puts a job at the end of the queue,
 * so several take turns, and one that waits for a provider holds up nobody.
 */
#include "gateway/store/job_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/codec/fileid.h"
#include "gateway/codec/json.h"
#include "gateway/store/redis_done.h"
#include "gateway/store/schema.h"
#include "scripts.h"

#define ID_PREFIX "job-"

static const struct redis_script put_script = REDIS_SCRIPT(job_put);
static const struct redis_script update_script = REDIS_SCRIPT(job_update);
static const struct redis_script page_script = REDIS_SCRIPT(job_page);
static const struct redis_script next_script = REDIS_SCRIPT(job_next);
static const struct redis_script lead_script = REDIS_SCRIPT(journal_lead);

static const char *const kinds[] = {"delete_files", "import", "reconcile"};
static const char *const states[] = {"queued", "running", "done", "failed",
                                     "cancelled"};
static const char *const counts[] = {
#define X(name, text) text,
    JOB_COUNTS_LIST(X)
#undef X
};
_Static_assert(COUNTOF(kinds) == JOB_KINDS, "every kind has a name");
_Static_assert(COUNTOF(states) == JOB_STATES, "every state has a name");

/* What the calls remember (redis_room). */
struct get {
    job_store_get_callback *fn;
    void *arg;
    struct arena *arena;
};
struct list {
    job_store_list_callback *fn;
    void *arg;
    struct arena *arena;
};
struct texts {
    job_store_texts_callback *fn;
    void *arg;
    struct arena *arena;
};

const char *job_kind_name(enum job_kind kind)
{
    return kinds[kind];
}

const char *job_state_name(enum job_state state)
{
    return states[state];
}

const char *job_count_name(enum job_count count)
{
    return counts[count];
}

bool job_is_id(struct str id)
{
    struct str as_file = STR("file-x-");
    char text[LIMIT_ID_BYTES + 1];
    struct fileid parsed;

    if (id.n != JOB_ID_CHARS || !str_starts(id, STR(ID_PREFIX)))
        return false;
    snprintf(text, sizeof(text), "%s%.*s", as_file.p, FILEID_ULID_CHARS,
             id.p + sizeof(ID_PREFIX) - 1);
    return fileid_parse(FILEID_FILE, str_of(text), &parsed);
}

struct job *job_new(struct arena *a, enum job_kind kind, struct str args)
{
    struct job *j = arena_new_of(a, struct job);
    char id[LIMIT_ID_BYTES + 1];

    fileid_mint(FILEID_FILE, "x", clock_wall_ms(), id);
    j->id =
        arena_printf(a, ID_PREFIX "%s", id + strlen(id) - FILEID_ULID_CHARS);
    j->kind = kind;
    j->state = JOB_QUEUED;
    j->args = arena_dup(a, args);
    j->total = -1;
    j->place = j->cursor = j->error = STR("");
    j->created_s = j->updated_s = clock_wall_s();
    return j;
}

/* --- a record as text --- */

static const struct number {
    const char *name;
    size_t offset;
} numbers[] = {
/* clang-format off */
#define NUMBER(name) {#name, offsetof(struct job, name)}
    NUMBER(done), NUMBER(total), NUMBER(failed), NUMBER(phase), NUMBER(tries),
    NUMBER(created_s), NUMBER(started_s), NUMBER(ended_s), NUMBER(updated_s),
#undef NUMBER
    /* clang-format on */
};

static int64_t *number_of(struct job *j, const struct number *n)
{
    return (int64_t *)(void *)((char *)j + n->offset);
}

static struct str start_of(struct arena *a, int64_t version)
{
    return arena_printf(a, "{\"version\":%" PRId64 ",", version);
}

static struct str text_of(struct arena *a, const struct job *given,
                          int64_t version)
{
    struct job j = *given;
    struct gw_error e = {0};
    struct json_out out;
    struct str text;
    struct buf b;

    buf_init(&b, 2 * LIMIT_JSON_TEXT_BYTES);
    json_out_init(&out, &b);
    json_open(&out, NULL, '{');
    json_put_int(&out, "version", version);
    json_put_str(&out, "id", j.id);
    json_put_cstr(&out, "kind", kinds[j.kind]);
    json_put_cstr(&out, "state", states[j.state]);
    for (size_t i = 0; i < COUNTOF(numbers); i++)
        json_put_int(&out, numbers[i].name, *number_of(&j, &numbers[i]));
    json_put_str(&out, "place", j.place);
    json_put_str(&out, "cursor", j.cursor);
    json_put_str(&out, "error", j.error);
    json_open(&out, "counts", '{');
    for (size_t i = 0; i < JOB_COUNTS; i++)
        if (j.counts[i])
            json_put_int(&out, counts[i], j.counts[i]);
    json_close(&out);
    json_put(&out, "args", json_parse(a, j.args, &e));
    json_close(&out);
    ASSERT(!b.overflow); /* the arguments were a request's body */
    text = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return text;
}

static bool find_name(const char *const *names, size_t n, struct str name,
                      int *out)
{
    for (size_t i = 0; i < n; i++) {
        if (!str_eq_c(name, names[i]))
            continue;
        *out = (int)i;
        return true;
    }
    return false;
}

static struct str member(const struct json *v, const char *name)
{
    struct str s = json_str(json_get(v, name));

    return s.p ? s : STR("");
}

static struct str dump(struct arena *a, const struct json *v)
{
    struct buf b;
    struct str text;

    buf_init(&b, 2 * LIMIT_JSON_TEXT_BYTES);
    json_dump(&b, v);
    text = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return text;
}

static bool number(const struct json *v, const char *name, int64_t *out)
{
    return json_int(json_get(v, name), out);
}

/* NULL: the record is broken. */
static struct job *read_job(struct arena *a, struct str text)
{
    struct job *j = arena_new_of(a, struct job);
    struct gw_error e = {0};
    const struct json *v = json_parse(a, text, &e), *found;
    int kind = 0, state = 0;

    if (!find_name(kinds, COUNTOF(kinds), member(v, "kind"), &kind) ||
        !find_name(states, COUNTOF(states), member(v, "state"), &state) ||
        !number(v, "version", &j->version)) {
        log_error("the record of a job in redis is broken");
        return NULL;
    }
    j->kind = (enum job_kind)kind;
    j->state = (enum job_state)state;
    j->id = member(v, "id");
    j->place = member(v, "place");
    j->cursor = member(v, "cursor");
    j->error = member(v, "error");
    for (size_t i = 0; i < COUNTOF(numbers); i++)
        if (!number(v, numbers[i].name, number_of(j, &numbers[i])))
            *number_of(j, &numbers[i]) = 0;
    found = json_get(v, "counts");
    for (size_t i = 0; i < JOB_COUNTS; i++)
        if (!number(found, counts[i], &j->counts[i]))
            j->counts[i] = 0;
    j->args = dump(a, json_get(v, "args"));
    return j;
}

/* --- put and update --- */

static struct str key_of(struct arena *a, const char *prefix, struct str id)
{
    return arena_printf(a, "%s%.*s", prefix, STR_ARG(id));
}

static struct str number_text(struct arena *a, int64_t n)
{
    return arena_printf(a, "%" PRId64, n);
}

struct redis_call *job_store_put(struct redis *r, const struct job *j,
                                 job_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[] = {key_of(a, SCHEMA_JOB, j->id), STR(SCHEMA_JOBS),
                         STR(SCHEMA_JOBS_OPEN), STR(SCHEMA_JOB)};
    struct str args[] = {j->id, text_of(a, j, j->version),
                         number_text(a, JOB_DAYS * 86400)};
    struct redis_call *c = redis_eval(r, redis_on_done, NULL, &put_script,
                                      COUNTOF(keys), keys, COUNTOF(args), args);

    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

struct redis_call *job_store_update(struct redis *r, const struct job *j,
                                    const struct job_change *c,
                                    job_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    size_t n = 7 + c->nreport + c->ntodo;
    struct str *args = arena_alloc(a, n * sizeof(*args));
    struct str keys[] = {key_of(a, SCHEMA_JOB, j->id), STR(SCHEMA_JOBS_OPEN),
                         key_of(a, SCHEMA_JOB_REPORT, j->id),
                         key_of(a, SCHEMA_JOB_TODO, j->id)};
    struct redis_call *call;

    args[0] = j->id;
    args[1] = start_of(a, j->version);
    args[2] = text_of(a, j, j->version + 1);
    args[3] = number_text(a, JOB_DAYS * 86400);
    args[4] = job_is_over(j) ? STR("") : number_text(a, c->delay_ms);
    args[5] = number_text(a, (int64_t)c->ntaken);
    args[6] = number_text(a, (int64_t)c->nreport);
    for (size_t i = 0; i < c->nreport; i++)
        args[7 + i] = c->report[i];
    for (size_t i = 0; i < c->ntodo; i++)
        args[7 + c->nreport + i] = c->todo[i];
    call = redis_eval(r, redis_on_done, NULL, &update_script, COUNTOF(keys),
                      keys, n, args);
    arena_free(a);
    return redis_tell_done(call, fn, arg);
}

struct redis_call *job_store_lead(struct redis *r, const char *process_id,
                                  job_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str key = STR(SCHEMA_JOBS_RUNNER);
    struct str args[] = {str_of(process_id), number_text(a, JOB_LEASE_MS)};
    struct redis_call *c = redis_eval(r, redis_on_done, NULL, &lead_script, 1,
                                      &key, COUNTOF(args), args);

    arena_free(a);
    return redis_tell_done(c, fn, arg);
}

/* --- looking up --- */

static void on_got(void *arg, const struct redis_value *v,
                   const struct gw_error *e)
{
    struct get *w = arg;
    struct gw_error bad = {0};
    struct job *j;

    if (e->err != GW_OK || v->kind != REDIS_STR) {
        w->fn(w->arg, NULL, e);
        return;
    }
    j = read_job(w->arena, v->str);
    if (!j)
        err_plain(&bad, GW_INTERNAL);
    w->fn(w->arg, j, &bad);
}

static struct redis_call *tell_job(struct redis_call *c, struct arena *a,
                                   job_store_get_callback *fn, void *arg)
{
    struct get *w = redis_room(c, sizeof(*w));

    *w = (struct get){fn, arg, a};
    return c;
}

struct redis_call *job_store_get(struct redis *r, struct arena *a,
                                 struct str id, job_store_get_callback *fn,
                                 void *arg)
{
    struct str get[] = {STR("GET"), key_of(a, SCHEMA_JOB, id)};

    return tell_job(redis_command(r, on_got, NULL, COUNTOF(get), get), a, fn,
                    arg);
}

struct redis_call *job_store_next(struct redis *r, struct arena *a,
                                  job_store_get_callback *fn, void *arg)
{
    struct str keys[] = {STR(SCHEMA_JOBS_OPEN), STR(SCHEMA_JOB)};

    return tell_job(
        redis_eval(r, on_got, NULL, &next_script, COUNTOF(keys), keys, 0, NULL),
        a, fn, arg);
}

static void on_list(void *arg, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct list *w = arg;
    struct job *all, *j;
    size_t n = 0;

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, 0, true, e);
        return;
    }
    all = arena_alloc(w->arena, (v->n + 1) * sizeof(*all));
    for (size_t i = 1; i < v->n; i++) {
        j = read_job(w->arena, redis_at(v, i).str);
        if (j)
            all[n++] = *j;
    }
    w->fn(w->arg, all, n, redis_at(v, 0).integer == 1, e);
}

struct redis_call *job_store_list(struct redis *r, struct arena *a,
                                  struct str after, size_t limit,
                                  job_store_list_callback *fn, void *arg)
{
    struct str keys[] = {STR(SCHEMA_JOBS), STR(SCHEMA_JOB)};
    struct str args[] = {after.p ? arena_printf(a, "(%.*s", STR_ARG(after))
                                 : STR("+"),
                         number_text(a, (int64_t)limit)};
    struct redis_call *c = redis_eval(r, on_list, NULL, &page_script,
                                      COUNTOF(keys), keys, COUNTOF(args), args);
    struct list *w = redis_room(c, sizeof(*w));

    *w = (struct list){fn, arg, a};
    return c;
}

/* --- the lists beside it --- */

static void on_texts(void *arg, const struct redis_value *v,
                     const struct gw_error *e)
{
    struct texts *w = arg;
    struct str *all;

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, 0, e);
        return;
    }
    all = arena_alloc(w->arena, (v->n + 1) * sizeof(*all));
    for (size_t i = 0; i < v->n; i++)
        all[i] = arena_dup(w->arena, redis_at(v, i).str);
    w->fn(w->arg, all, v->n, e);
}

static struct redis_call *range(struct redis *r, struct arena *a,
                                struct str key, int64_t last,
                                job_store_texts_callback *fn, void *arg)
{
    struct str argv[] = {STR("LRANGE"), key, STR("0"), number_text(a, last)};
    struct redis_call *c =
        redis_command(r, on_texts, NULL, COUNTOF(argv), argv);
    struct texts *w = redis_room(c, sizeof(*w));

    *w = (struct texts){fn, arg, a};
    return c;
}

struct redis_call *job_store_report(struct redis *r, struct arena *a,
                                    struct str id, job_store_texts_callback *fn,
                                    void *arg)
{
    return range(r, a, key_of(a, SCHEMA_JOB_REPORT, id), -1, fn, arg);
}

struct redis_call *job_store_todo(struct redis *r, struct arena *a,
                                  struct str id, size_t n,
                                  job_store_texts_callback *fn, void *arg)
{
    ASSERT(n > 0);
    return range(r, a, key_of(a, SCHEMA_JOB_TODO, id), (int64_t)n - 1, fn, arg);
}
