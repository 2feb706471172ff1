/* job_step.h -- one step of a background job: what flow/jobs lends to the kinds
 * of jobs (job_<kind>.c), and to nobody else.
 *
 *     runner ─► job_…_step(s) ─► job_step_items() ─► each: job_item_end()
 *                                                ─► all: … job_step_end(s)
 *
 * A step ends in one of three ways: job_step_end() writes the job down as it is
 * now, job_step_fail() ends the job, job_step_abandon() forgets the step, which
 * will be taken again.
 */
#ifndef FILEMUX_FLOW_JOB_STEP_H
#define FILEMUX_FLOW_JOB_STEP_H

#include "gateway/codec/json.h"
#include "gateway/flow/removal.h"
#include "gateway/flow/services.h"
#include "gateway/flow/upstream.h"
#include "gateway/store/job_store.h"

/* Of one kind, in the report; more are only counted. */
#define JOB_REPORT_MAX 1000
/* Of a step, at a time. */
#define JOB_ITEMS_AT_ONCE 8
/* A provider that fails is asked again so often, each time after four times as
 * long: 1 s to 4 min. */
#define JOB_TRIES_MAX 5
#define JOB_RETRY_MS 1000

struct job_step;

/* One file of a step. */
struct job_item {
    struct job_step *step;
    struct redis_call *call, *then;
    struct upstream *up;
    struct removal *removal;
    /* The kind's own. */
    struct str way;
    struct file_record record;
    struct file_obj file; /* as the provider tells of it */
    const struct provider_conf *provider;
    size_t looked; /* providers of which it was asked whether it is known */
    const struct json *entry;
    void (*unknown)(struct job_item *i);
    void (*known)(struct job_item *i, const struct file_record *found);
};

struct job_texts {
    struct str *v;
    size_t n, cap;
};

struct job_step {
    struct services *sv;
    struct settings *conf;
    struct arena *arena;
    struct job *job;
    const struct json *args;
    int64_t delay_ms;
    size_t ntaken;
    struct job_texts report, todo;

    struct redis_call *call, *then;
    struct upstream *up;
    struct job_item *items;
    size_t nitems, next, running;
    size_t kept; /* kinds of kept objects that are forgotten */
    void (*start)(struct job_item *i);
    void (*all_done)(struct job_step *s);
    struct loop_task pump;
    void (*none_left)(struct job_step *s); /* job_mend()'s */
    bool is_lost; /* the store failed meanwhile: abandoned after the items */

    void (*over)(struct job_step *s, bool is_written); /* the runner's */
    void *runner;
};

/* Zeroed items, in the arena. */
struct job_item *job_step_room(struct job_step *s, size_t n) MUSTCHECK;
/* start() each of the first n, a few at a time; each ends by job_item_end(),
 * then all_done(). */
void job_step_items(struct job_step *s, size_t n,
                    void (*start)(struct job_item *i),
                    void (*all_done)(struct job_step *s));
void job_item_end(struct job_item *i);
/* The store failed: the item ends, and the step is not written down. */
void job_item_lost(struct job_item *i);
/* A provider's failure, for the report. */
void job_item_failed(struct job_item *i, const struct gw_error *e);

void job_step_end(struct job_step *s);
void job_step_fail(struct job_step *s, const struct gw_error *e);
void job_step_abandon(struct job_step *s);
/* Begin the same step again later; false when that was done often enough. */
bool job_step_retry(struct job_step *s) MUSTCHECK;

/* Count a finding; its entry, an object that has "what" so far, is NULL when
 * nobody wants it. is_todo: it is to be done something with. */
struct job_entry {
    struct json_out json;
    struct buf text;
    bool is_reported, is_todo;
};
void job_entry_begin(struct job_step *s, struct job_entry *n,
                     enum job_count what, bool is_todo);
void job_entry_end(struct job_step *s, struct job_entry *n);

struct str job_arg(const struct job_step *s, const char *name);

/* job_adopt.c */
/* Has any provider like the item's a record of its file? Then known(), else
 * unknown(). */
void job_look_up(struct job_item *i);
/* Did a batch or a job make it? Then it is its maker's, who need not have
 * looked yet. */
bool job_is_made_there(const struct file_obj *f) MUSTCHECK;
/* Make a record of the item's file for the owner in the arguments, unless there
 * is one; counted, and the item ends. */
void job_adopt(struct job_item *i);

/* job_mend.c */
/* Does a reconciliation change anything? What with files without a record:
 * "delete" or "adopt"? */
bool job_mends(const struct job_step *s);
bool job_does_with_orphans(const struct job_step *s, const char *what);
/* A step that deals with a page of what is to be done; none_left() instead,
 * when there is no more. */
void job_mend(struct job_step *s, void (*none_left)(struct job_step *s));

/* job_delete_batches.c: a step of a deletion, until the phase is another. */
void job_delete_batches_step(struct job_step *s);

/* The kinds. */
void job_delete_step(struct job_step *s);
void job_import_step(struct job_step *s);
void job_reconcile_step(struct job_step *s);

#endif
