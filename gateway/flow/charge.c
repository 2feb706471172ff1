#include "gateway/flow/charge.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"

#define uthash_fatal(text) BUG("%s", text)
#include <uthash.h>

/* Scopes with something to be written; then it is written at once. */
#define TALLY_MAX 1000

bool charge_has_storage_limit(const struct quota_who *who)
{
    for (size_t i = 0; i < who->n; i++)
        if (who->v[i].limits.storage_bytes)
            return true;
    return false;
}

bool charge_has_upload_limit(const struct quota_who *who)
{
    for (size_t i = 0; i < who->n; i++)
        if (who->v[i].limits.upload_day_bytes)
            return true;
    return false;
}

bool charge_has_download_limit(const struct quota_who *who)
{
    for (size_t i = 0; i < who->n; i++)
        if (who->v[i].limits.download_day_bytes)
            return true;
    return false;
}

bool charge_has_batch_lines_limit(const struct quota_who *who)
{
    for (size_t i = 0; i < who->n; i++)
        if (who->v[i].limits.batch_lines_day)
            return true;
    return false;
}

/* --- refusals --- */

static const struct limit_text {
    const char *name; /* the member that sets it */
    const char *unit;
    enum gw_err err;
} texts[] = {
    /* clang-format off */
    [QUOTA_FILES]        = {"max_files",                  "files",                 GW_QUOTA_FILES},
    [QUOTA_STORAGE]      = {"max_storage_bytes",          "bytes",                 GW_QUOTA_STORAGE},
    [QUOTA_UPLOAD_DAY]   = {"max_upload_bytes_per_day",   "bytes",                 GW_QUOTA_UPLOAD},
    [QUOTA_DOWNLOAD_DAY] = {"max_download_bytes_per_day", "bytes",                 GW_QUOTA_DOWNLOAD},
    [QUOTA_RPM]          = {"rpm_limit",                  "requests in a minute",  GW_RATE_LIMITED},
    [QUOTA_PARALLEL]     = {"max_parallel_requests",      "requests at a time",    GW_RATE_LIMITED},
    [QUOTA_BATCHES]      = {"max_active_batches",         "active batches",        GW_QUOTA_BATCHES},
    [QUOTA_BATCH_LINES]  = {"max_batch_lines_per_day",    "lines of batches",      GW_QUOTA_BATCH_LINES},
    /* clang-format on */
};

/* What waiting does not bring is hardly there sooner than this. */
#define HOPELESS_S 60
/* Requests under way end all the time. */
#define PARALLEL_S 1

static int retry_after_s(const struct quota_verdict *v)
{
    if (v->wait_ms)
        return (int)((v->wait_ms + 999) / 1000);
    return v->limit == QUOTA_PARALLEL ? PARALLEL_S : HOPELESS_S;
}

static enum gw_err refuse(enum gw_err err, const struct quota_who *who,
                          const struct quota_verdict *v, struct gw_error *e)
{
    const struct limit_text *t = &texts[v->limit];
    const char *whose = v->scope < who->n && who->v[v->scope].id.p[0] == 't'
                            ? "team"
                            : "API key";
    char when[48] = "";

    ASSERT(v->limit != QUOTA_NONE);
    e->retry_after_s = retry_after_s(v);
    if (v->wait_ms)
        snprintf(when, sizeof(when), "; this resets in %d s", e->retry_after_s);
    return err_set_param(
        e, err, t->name, "this %s may use %lld %s (%s), %lld are used%s", whose,
        (long long)v->max, t->unit, t->name, (long long)v->used, when);
}

enum gw_err charge_refuse(const struct quota_who *who,
                          const struct quota_verdict *v, struct gw_error *e)
{
    return refuse(texts[v->limit].err, who, v, e);
}

enum gw_err charge_cut(const struct quota_who *who,
                       const struct quota_verdict *v, struct gw_error *e)
{
    return refuse(GW_QUOTA_CUT, who, v, e);
}

void charge_count_refusal(struct metrics *m, const struct gw_error *e)
{
    size_t i;

    for (i = 0; i < COUNTOF(texts); i++)
        if (texts[i].name && strcmp(texts[i].name, e->param) == 0 &&
            (e->err == texts[i].err || e->err == GW_QUOTA_CUT))
            metrics_count(m, METRIC_QUOTA_REFUSALS, texts[i].name, NULL, NULL);
}

/* --- the tally --- */

struct row {
    UT_hash_handle hh; /* by scope */
    struct quota_tally sum;
    char scope[]; /* sum.scope stands here */
};

struct tally {
    struct services *sv;
    struct row *rows;
    struct loop_timer timer;
};

static void on_written(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("statistics of some seconds are lost: %s", e->message);
}

void tally_write(struct tally *t)
{
    struct quota_tally v[TALLY_MAX];
    struct row *r, *next;
    size_t n = 0;

    HASH_ITER (hh, t->rows, r, next)
        v[n++] = r->sum;
    if (n) /* copied by the call */
        (void)quota_add(t->sv->redis, v, n, on_written, NULL);
    HASH_ITER (hh, t->rows, r, next) {
        HASH_DEL(t->rows, r);
        free(r);
    }
}

void tally_add(struct tally *t, struct str scope,
               const struct quota_tally *what)
{
    struct row *r;

    HASH_FIND(hh, t->rows, scope.p, scope.n, r);
    if (!r) {
        if (HASH_COUNT(t->rows) == TALLY_MAX)
            tally_write(t);
        if (!t->rows)
            loop_timer_set(&t->timer, TALLY_MS);
        r = xcalloc(1, sizeof(*r) + scope.n);
        memcpy(r->scope, scope.p, scope.n);
        r->sum.scope = str_make(r->scope, scope.n);
        HASH_ADD_KEYPTR(hh, t->rows, r->scope, scope.n, r);
    }
    r->sum.requests += what->requests;
    r->sum.errors += what->errors;
    r->sum.up += what->up;
    r->sum.down += what->down;
}

static void on_tick(void *arg)
{
    tally_write(arg);
}

struct tally *tally_open(struct services *sv)
{
    struct tally *t = xcalloc(1, sizeof(*t));

    t->sv = sv;
    loop_timer_init(sv->loop, &t->timer, on_tick, t);
    return t;
}

void tally_close(struct tally *t)
{
    struct row *r, *next;

    HASH_ITER (hh, t->rows, r, next) {
        HASH_DEL(t->rows, r);
        free(r);
    }
    loop_timer_release(&t->timer);
    free(t);
}
