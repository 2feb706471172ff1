/* jobs.c
 *
 *   tick ─► lead ─► next ─► a step of its kind ─► written down ─► tick at once
 *             └no     └none                  └abandoned ─┐
 *              └───────┴─────────────────────────────────┴────► tick later
 *
 * A step may take longer than the lease: a timer renews it meanwhile.
 */
#include "gateway/flow/jobs.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/flow/job_step.h"
#include "gateway/store/audit.h"

#define POLL_MS 2000

static void (*const kinds[])(struct job_step *s) = {
    [JOB_DELETE_FILES] = job_delete_step,
    [JOB_IMPORT] = job_import_step,
    [JOB_RECONCILE] = job_reconcile_step,
};
_Static_assert(COUNTOF(kinds) == JOB_KINDS, "every kind has its step");

struct jobs {
    struct services *sv;
    char process_id[64];
    struct loop_timer tick, renewal;
    struct redis_call *call, *renew;
    struct arena *arena;   /* of a step; NULL: at rest */
    struct settings *conf; /* held during a step */
    struct job_step *step;
};

static void rest(struct jobs *j, int64_t for_ms)
{
    loop_timer_cancel(&j->renewal);
    settings_drop(j->conf);
    arena_free(j->arena);
    j->conf = NULL;
    j->arena = NULL;
    j->step = NULL;
    loop_timer_set(&j->tick, for_ms);
}

static int64_t poll_ms(const struct jobs *j)
{
    return MIN(j->sv->settings->journal.sweep_ms, POLL_MS);
}

/* --- a step --- */

static void report(const struct job *job)
{
    struct log_line l;

    log_begin(&l, job->state == JOB_DONE ? LOG_INFO : LOG_WARN, NULL,
              "a background job ended");
    log_str(&l, "job", job->id);
    log_cstr(&l, "kind", job_kind_name(job->kind));
    log_cstr(&l, "state", job_state_name(job->state));
    log_int(&l, "done", job->done);
    log_int(&l, "failed", job->failed);
    if (job->error.n)
        log_str(&l, "cause", job->error);
    log_end(&l);
}

static void on_forgotten(void *arg, const struct gw_error *e)
{
    (void)arg;
    (void)e; /* it goes by itself after a day */
}

/* A step that was not written down: the job was changed by somebody else, or
 * the store is away. */
static void on_over(struct job_step *s, bool is_written)
{
    struct jobs *j = s->runner;

    if (is_written && job_is_over(s->job)) {
        report(s->job);
        if (s->job->kind == JOB_RECONCILE)
            (void)audit_end(j->sv->redis, s->job->id, on_forgotten, NULL);
    }
    rest(j, is_written ? 0 : poll_ms(j));
}

static void take_step(struct jobs *j, struct job *job)
{
    struct job_step *s = arena_new_of(j->arena, struct job_step);
    struct gw_error e = {0};

    s->sv = j->sv;
    s->conf = j->conf;
    s->arena = j->arena;
    s->job = job;
    s->args = json_parse(j->arena, job->args, &e);
    s->over = on_over;
    s->runner = j;
    j->step = s;
    if (job->state == JOB_QUEUED) {
        job->state = JOB_RUNNING;
        job->started_s = clock_wall_s();
    }
    kinds[job->kind](s);
}

static void on_next(void *arg, struct job *job, const struct gw_error *e)
{
    struct jobs *j = arg;

    j->call = NULL;
    if (e->err != GW_OK || !job)
        rest(j, poll_ms(j));
    else
        take_step(j, job);
}

/* --- leading --- */

static void on_lead(void *arg, bool changed, const struct gw_error *e)
{
    struct jobs *j = arg;

    j->call = NULL;
    if (e->err != GW_OK || !changed) {
        rest(j, poll_ms(j));
        return;
    }
    loop_timer_set(&j->renewal, JOB_LEASE_MS / 3);
    j->call = job_store_next(j->sv->redis, j->arena, on_next, j);
}

static void on_tick(void *arg)
{
    struct jobs *j = arg;

    ASSERT(!j->arena);
    if (j->sv->is_draining)
        return;
    j->arena = arena_new();
    j->conf = settings_hold(j->sv->settings);
    j->call = job_store_lead(j->sv->redis, j->process_id, on_lead, j);
}

/* Should another process lead by now, what the step writes down does not
 * count, or was not touched by that one. */
static void on_renewed(void *arg, bool changed, const struct gw_error *e)
{
    struct jobs *j = arg;

    (void)changed;
    (void)e;
    j->renew = NULL;
}

static void on_renewal(void *arg)
{
    struct jobs *j = arg;

    if (!j->renew)
        j->renew = job_store_lead(j->sv->redis, j->process_id, on_renewed, j);
    loop_timer_set(&j->renewal, JOB_LEASE_MS / 3);
}

/* --- life --- */

struct jobs *jobs_open(struct services *sv, const char *process_id)
{
    struct jobs *j = xcalloc(1, sizeof(*j));

    j->sv = sv;
    snprintf(j->process_id, sizeof(j->process_id), "%s", process_id);
    loop_timer_init(sv->loop, &j->tick, on_tick, j);
    loop_timer_init(sv->loop, &j->renewal, on_renewal, j);
    loop_timer_set(&j->tick, POLL_MS / 2);
    return j;
}

static void cancel(struct redis_call *c)
{
    if (c)
        redis_cancel(c);
}

static void break_off(struct job_step *s)
{
    cancel(s->call);
    cancel(s->then);
    upstream_abort(s->up);
    loop_task_cancel(s->sv->loop, &s->pump);
    for (size_t i = 0; i < s->next; i++) {
        struct job_item *item = &s->items[i];

        cancel(item->call);
        cancel(item->then);
        upstream_abort(item->up);
        removal_leave(item->removal);
    }
}

void jobs_close(struct jobs *j)
{
    if (!j)
        return;
    cancel(j->call);
    cancel(j->renew);
    if (j->step)
        break_off(j->step);
    loop_timer_release(&j->tick);
    loop_timer_release(&j->renewal);
    settings_drop(j->conf);
    arena_free(j->arena);
    free(j);
}

struct redis_call *jobs_start_delete_files(struct services *sv, struct arena *a,
                                           struct str owner, struct str *id,
                                           job_store_done_callback *fn,
                                           void *arg)
{
    struct json_out out;
    struct redis_call *c;
    struct job *j;
    struct buf b;

    buf_init(&b, 64 * KIB);
    json_out_init(&out, &b);
    json_open(&out, NULL, '{');
    json_put_str(&out, "owner", owner);
    json_close(&out);
    j = job_new(a, JOB_DELETE_FILES, buf_str(&b));
    buf_release(&b);
    *id = j->id;
    c = job_store_put(sv->redis, j, fn, arg);
    return c;
}
