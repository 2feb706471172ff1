/* audit.h -- what reconciliation asks of the store: does all of it agree?
 *
 * Three things are compared, page by page, while the gateway works on:
 *
 *     counted files ──► audit_snapshot()     the ids that quotas count, into a
 *                                            set of the job's own
 *     records       ──► audit_ways()         every file that a provider has for
 *                       audit_seen()         us; its id leaves that set
 *     what is left  ──► audit_unseen()       is counted without a record
 *
 * A file is counted after its record is written. So one that was counted when
 * the first record was looked at, and has a record all the while, is seen.
 *
 *     counters      ──► audit_scopes()       whose there are: noted, and then
 *                       audit_sums()         held against what is counted
 *
 * Calls answer through a callback on the worker's loop; the handle of redis.h
 * cancels it.
 */
#ifndef FILEMUX_STORE_AUDIT_H
#define FILEMUX_STORE_AUDIT_H

#include "gateway/base/arena.h"
#include "gateway/store/redis.h"

/* The sums of more files than that are not made: it takes Redis about a second
 * for a million, in which it does nothing else. */
#define AUDIT_FILES_MAX 500000

typedef void audit_done_callback(void *arg, const struct gw_error *e);
/* next is the cursor of the next page, "0" after the last one. Views are the
 * arena's. */
typedef void audit_page_callback(void *arg, const struct str *v, size_t n,
                                 struct str next, const struct gw_error *e);

/* About so many entries are looked at per page. */
#define AUDIT_PAGE 100
/* Cursors are "0" at the start. */
struct redis_call *audit_snapshot(struct redis *r, struct arena *a,
                                  struct str job_id, struct str cursor,
                                  audit_page_callback *fn, void *arg);
/* The ways back (keys) from a provider's files, or from those of all of them
 * (STR_NULL). A way may come twice. */
struct redis_call *audit_ways(struct redis *r, struct arena *a,
                              struct str provider, struct str cursor,
                              audit_page_callback *fn, void *arg);
/* Whose file a way leads to: v[0] is the owner, v[1] the file's id; none when
 * the way is gone. */
struct redis_call *audit_way(struct redis *r, struct arena *a, struct str way,
                             audit_page_callback *fn, void *arg);
struct redis_call *audit_seen(struct redis *r, struct str job_id,
                              struct str file_id, audit_done_callback *fn,
                              void *arg);
/* Ids that are still counted, and that no upload or deletion is about. */
struct redis_call *audit_unseen(struct redis *r, struct arena *a,
                                struct str job_id, struct str cursor,
                                audit_page_callback *fn, void *arg);

/* The scopes that have counters; to be noted for audit_sums(). */
struct redis_call *audit_scopes(struct redis *r, struct arena *a,
                                struct str cursor, audit_page_callback *fn,
                                void *arg);
struct redis_call *audit_note_scopes(struct redis *r, struct str job_id,
                                     const struct str *scopes, size_t n,
                                     audit_done_callback *fn, void *arg);
struct audit_drift {
    struct str scope;
    int64_t files, bytes;           /* its counters */
    int64_t true_files, true_bytes; /* the sums */
};
/* is_complete is false when there are more than AUDIT_FILES_MAX files: nothing
 * was compared. */
typedef void audit_sums_callback(void *arg, const struct audit_drift *v,
                                 size_t n, bool is_complete,
                                 const struct gw_error *e);
/* The scopes whose counters differ; mend: they are set right in the same
 * instant. */
struct redis_call *audit_sums(struct redis *r, struct arena *a,
                              struct str job_id, bool mend,
                              audit_sums_callback *fn, void *arg);
/* Forget what was noted for the job. */
struct redis_call *audit_end(struct redis *r, struct str job_id,
                             audit_done_callback *fn, void *arg);

#endif
