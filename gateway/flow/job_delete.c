/* job_delete.c -- all files of an owner go.
 *
 * Its batches go first (phase 0), as they may make more.
 *
 * In rounds through all that there are: the first deletes what can be, each of
 * the next what failed before, until nothing is left or JOB_TRIES_MAX rounds
 * were not enough. What counts as done is what is not there any more, so that a
 * repeated step, or the sweeper's help, does not matter.
 */
#include "gateway/flow/job_step.h"

#include "gateway/base/bug.h"
#include "gateway/flow/kept.h"

#define PAGE 40

static void on_left(void *arg, int64_t left, const struct gw_error *e)
{
    struct job_step *s = arg;

    s->call = NULL;
    if (e->err != GW_OK) {
        job_step_abandon(s);
        return;
    }
    s->job->done = MAX(s->job->total - left, 0);
    job_step_end(s);
}

static void end_page(struct job_step *s)
{
    s->call = file_store_count(s->sv->redis, job_arg(s, "owner"), on_left, s);
}

static void forget_kept(struct job_step *s);

static void on_forgotten(void *arg, bool changed, const struct gw_error *e)
{
    struct job_step *s = arg;

    s->call = NULL;
    if (e->err != GW_OK) {
        job_step_abandon(s);
        return;
    }
    if (!changed)
        s->kept++;
    forget_kept(s);
}

/* What its providers keep beside files stays there, and nobody finds it. */
static void forget_kept(struct job_step *s)
{
    const struct kept_kind *kind = kept_kind_at(s->kept);

    if (kind)
        s->call = kept_store_forget(s->sv->redis, job_arg(s, "owner"),
                                    str_of(kind->path), on_forgotten, s);
    else
        end_page(s);
}

static void end_round(struct job_step *s)
{
    struct job *j = s->job;

    if (!j->failed) {
        j->state = JOB_DONE;
        forget_kept(s);
        return;
    } else if (job_step_retry(s)) {
        j->cursor = STR("");
        j->failed = 0;
    } else {
        j->state = JOB_FAILED;
        j->error = STR("the providers of some files did not delete them");
    }
    end_page(s);
}

static void on_removed(void *arg, bool existed, const struct gw_error *e)
{
    struct job_item *i = arg;
    struct job_step *s = i->step;

    (void)existed;
    i->removal = NULL;
    if (e->err == GW_STORE_UNAVAILABLE) {
        job_item_lost(i);
    } else if (e->err == GW_OK) {
        job_item_end(i);
    } else if (s->job->tries == JOB_TRIES_MAX) {
        job_item_failed(i, e);
    } else {
        s->job->failed++;
        job_item_end(i);
    }
}

static void delete_item(struct job_item *i)
{
    struct job_step *s = i->step;

    i->provider = settings_provider(s->conf, i->record.obj.provider);
    i->removal =
        removal_start(s->sv, s->conf, &i->record, REMOVAL_OWN, on_removed, i);
}

static void on_page(void *arg, const struct file_record *v, size_t n,
                    bool at_end, const struct gw_error *e)
{
    struct job_step *s = arg;
    struct job_item *items;

    s->call = NULL;
    if (e->err != GW_OK) {
        job_step_abandon(s);
        return;
    }
    items = job_step_room(s, n);
    for (size_t i = 0; i < n; i++)
        items[i].record = v[i];
    if (n)
        s->job->cursor = v[n - 1].obj.id;
    job_step_items(s, n, delete_item, at_end ? end_round : end_page);
}

static void ask_page(struct job_step *s)
{
    struct file_store_query q = {
        .owner = job_arg(s, "owner"),
        .purpose = STR_NULL,
        .provider = STR_NULL,
        .after = s->job->cursor.n ? s->job->cursor : STR_NULL,
        .is_ascending = true,
        .limit = PAGE,
    };

    s->call = file_store_page(s->sv->redis, s->arena, &q, on_page, s);
}

static void on_total(void *arg, int64_t n, const struct gw_error *e)
{
    struct job_step *s = arg;

    s->call = NULL;
    if (e->err != GW_OK) {
        job_step_abandon(s);
        return;
    }
    s->job->total = n;
    job_step_end(s);
}

/* How many there are is written down before the first of them goes. */
void job_delete_step(struct job_step *s)
{
    if (s->job->total < 0)
        s->call =
            file_store_count(s->sv->redis, job_arg(s, "owner"), on_total, s);
    else if (s->job->phase == 0)
        job_delete_batches_step(s);
    else
        ask_page(s);
}
