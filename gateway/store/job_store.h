/* job_store.h -- background jobs: what is to be done, and how far it is.
 *
 * A job is one JSON record, kept for JOB_DAYS after its last change. Whoever
 * runs it (flow/jobs) takes a step and writes down, in one script, how far it
 * came, what it found and what is left to do; the write counts only if nobody
 * else changed the job since it was read. So a step is either written down as a
 * whole or taken again, by any process.
 *
 * Beside the record stand two lists: the report, for the operator, and what is
 * to be done with the findings, which goes with the job's end.
 *
 * Calls answer through a callback on the worker's loop; the handle of redis.h
 * cancels it.
 */
#ifndef FILEMUX_STORE_JOB_STORE_H
#define FILEMUX_STORE_JOB_STORE_H

#include "gateway/base/arena.h"
#include "gateway/store/redis.h"

#define JOB_DAYS 30
#define JOB_LEASE_MS 10000 /* how long a process runs jobs unrenewed */
#define JOB_ID_CHARS 30    /* "job-" and a ULID */

enum job_kind { JOB_DELETE_FILES, JOB_IMPORT, JOB_RECONCILE, JOB_KINDS };

enum job_state {
    JOB_QUEUED,
    JOB_RUNNING,
    JOB_DONE,
    JOB_FAILED,
    JOB_CANCELLED,
    JOB_STATES
};

/* What is counted, and what an entry of the report is about ("what"). */
/* clang-format off */
#define JOB_COUNTS_LIST(X)                                                     \
    X(ADOPTED,   "adopted")               /* got a record */                   \
    X(KNOWN,     "known")                 /* had one */                        \
    X(NO_FILE,   "records_without_file")  /* at the provider */                \
    X(NO_RECORD, "files_without_record")                                       \
    X(STALE,     "counts_without_record") /* counted for quotas, that is */    \
    X(DRIFT,     "quota_drift")           /* scopes whose sums are wrong */    \
    X(MENDED,    "mended")                                                     \
    X(FAILURE,   "failures")
/* clang-format on */
enum job_count {
#define X(name, text) JOB_##name,
    JOB_COUNTS_LIST(X)
#undef X
        JOB_COUNTS
};

struct job {
    struct str id;
    enum job_kind kind;
    enum job_state state;
    struct str args;     /* a JSON object, the kind's own */
    int64_t done, total; /* total -1: unknown */
    int64_t failed;
    int64_t counts[JOB_COUNTS];
    /* Where the next step begins: the kind's own. */
    int64_t phase, tries;
    struct str place, cursor;
    struct str error;                                 /* why it failed; "" */
    int64_t created_s, started_s, ended_s, updated_s; /* 0: not yet */
    int64_t version; /* grows with each change */
};

/* "import", "running", "adopted". */
const char *job_kind_name(enum job_kind kind);
const char *job_state_name(enum job_state state);
const char *job_count_name(enum job_count count);
static inline bool job_is_over(const struct job *j)
{
    return j->state >= JOB_DONE;
}
/* Is it an id that job_new() could have made? */
bool job_is_id(struct str id);

/* A new job, queued; all is the arena's. */
struct job *job_new(struct arena *a, enum job_kind kind, struct str args);

typedef void job_store_done_callback(void *arg, bool changed,
                                     const struct gw_error *e);
/* found is NULL when there is none. Views are the arena's. */
typedef void job_store_get_callback(void *arg, struct job *found,
                                    const struct gw_error *e);
typedef void job_store_list_callback(void *arg, const struct job *v, size_t n,
                                     bool at_end, const struct gw_error *e);
typedef void job_store_texts_callback(void *arg, const struct str *v, size_t n,
                                      const struct gw_error *e);

struct redis_call *job_store_put(struct redis *r, const struct job *j,
                                 job_store_done_callback *fn, void *arg);
struct redis_call *job_store_get(struct redis *r, struct arena *a,
                                 struct str id, job_store_get_callback *fn,
                                 void *arg);
/* Up to `limit` jobs, the newest first, that are older than `after` (an id, or
 * STR_NULL). */
struct redis_call *job_store_list(struct redis *r, struct arena *a,
                                  struct str after, size_t limit,
                                  job_store_list_callback *fn, void *arg);

/* What a change brings along. Entries are JSON texts. */
struct job_change {
    int64_t delay_ms; /* until the next step is due */
    const struct str *report, *todo;
    size_t nreport, ntodo;
    size_t ntaken; /* so many of the oldest entries to do are done */
};
/* The job as it is now; j->version is that of the record it was made of.
 * changed is false when the stored one is another by now: nothing was written.
 * One that is over loses what was left to do. */
struct redis_call *job_store_update(struct redis *r, const struct job *j,
                                    const struct job_change *c,
                                    job_store_done_callback *fn, void *arg);

/* The whole report, in the order of finding. */
struct redis_call *job_store_report(struct redis *r, struct arena *a,
                                    struct str id, job_store_texts_callback *fn,
                                    void *arg);
/* The n oldest entries that are to be done. */
struct redis_call *job_store_todo(struct redis *r, struct arena *a,
                                  struct str id, size_t n,
                                  job_store_texts_callback *fn, void *arg);

/* The job whose next step has been due the longest, or NULL. */
struct redis_call *job_store_next(struct redis *r, struct arena *a,
                                  job_store_get_callback *fn, void *arg);
/* Be the one that runs jobs for JOB_LEASE_MS, or stay it. changed: we are. */
struct redis_call *job_store_lead(struct redis *r, const char *process_id,
                                  job_store_done_callback *fn, void *arg);

#endif
