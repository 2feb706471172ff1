/* quota.h -- what keys and teams may use and have used: exactly, in Redis.
 *
 * Every request is charged to its key and, if that has one, to its team: the
 * two scopes. Limits are checked and amounts taken in one script, so any number
 * of processes together stay below them.
 *
 *     hold     the most that a request may use up, before its body is read
 *     extend   more of it, before more is sent on (a body of unknown length)
 *     settle   what it did use, in the script that ends the hold
 *     release  it used nothing
 *
 * A hold carries a lease, which its process renews (flow/lease); a hold whose
 * lease ended belonged to a process that died. One that came with a journal
 * entry is ended by the sweeper, who finds out what became of the file; any
 * other is released by journal_due().
 *
 * A request under way is a hold too, of one slot (key_store.h takes and names
 * it): so requests per minute and at a time are not here, but their usage is.
 *
 * A file counts once: settling an upload puts its bytes into a table by file
 * id, forgetting the file takes them out. Both may be done again, and by
 * anybody, so that what a crash left half done is simply done once more.
 *
 * Bytes and requests of a day (UTC) stand under the day, and are kept for
 * QUOTA_DAYS. What a hold used counts for the day on which it was taken, also
 * when it ends on the next one: so no day gets more than its limit. Times are
 * Redis's own clock. Amounts and limits are at most 256 TiB; what is above
 * counts as that. Calls answer through a callback on the worker's loop; the
 * handle of redis.h cancels it, which does not undo it.
 */
#ifndef FILEMUX_STORE_QUOTA_H
#define FILEMUX_STORE_QUOTA_H

#include "gateway/store/journal.h"
#include "gateway/store/redis.h"
#include "routing/vkey.h"

#define QUOTA_SCOPES 2
#define QUOTA_DAYS 90

/* Whom a request is charged to; views are borrowed for the call. */
struct quota_scope {
    struct str id; /* "k:<vkey.id>" or "t:<team id>" */
    struct vkey_limits limits;
};
struct quota_who {
    struct quota_scope v[QUOTA_SCOPES];
    size_t n;
};

/* What can run out. */
enum quota_limit {
    QUOTA_NONE, /* nothing did */
    /* insufficient_quota: */
    QUOTA_FILES,
    QUOTA_STORAGE,
    QUOTA_UPLOAD_DAY,
    QUOTA_DOWNLOAD_DAY,
    /* rate_limit_exceeded: */
    QUOTA_RPM,
    QUOTA_PARALLEL,
    /* insufficient_quota, of batch_quota.h: */
    QUOTA_BATCHES,
    QUOTA_BATCH_LINES,
};

struct quota_verdict {
    enum quota_limit limit; /* the first that refused; QUOTA_NONE: granted */
    size_t scope;           /* whose: index into quota_who.v */
    int64_t max;            /* the limit's value */
    int64_t used;           /* of it, used or held by others */
    int64_t wait_ms;        /* until it may be granted; 0: not by waiting */
};

/* Amounts: what is added to the four counters. */
struct quota_amount {
    int64_t files, bytes; /* stored */
    int64_t up, down;     /* bytes of today */
};

/* v is NULL if e->err is not GW_OK. */
typedef void quota_hold_callback(void *arg, const struct quota_verdict *v,
                                 const struct gw_error *e);
typedef void quota_done_callback(void *arg, bool changed,
                                 const struct gw_error *e);

/* Take a hold named `id` (a file id of ours, or a request's id) for lease_ms,
 * with the journal's entry of an upload or a deletion, or NULL. When the id has
 * a hold already (the upload goes on at another provider) nothing is taken
 * again, its lease begins anew, and the entry replaces the one there (NULL
 * leaves that). What is not wanted is not refused: a limit that is used up, or
 * was lowered below what is used, lets a hold of 0 bytes pass. who may be
 * nobody (n 0): all it has then is lease and entry. Leases are renewed with
 * journal_renew(). */
struct redis_call *
quota_hold(struct redis *r, struct str id, const struct quota_who *who,
           const struct quota_amount *most, const struct journal_entry *entry,
           int64_t lease_ms, quota_hold_callback *fn, void *arg);
/* More of the same hold; refused as a whole or granted as a whole. A hold that
 * is gone (its lease ended) is refused with INTERNAL. It is charged to whom the
 * hold is charged to; `who` brings their limits, which may have changed since.
 * The verdict's max - used is what this hold may have in all. */
struct redis_call *quota_extend(struct redis *r, struct str id,
                                const struct quota_who *who,
                                const struct quota_amount *more,
                                quota_hold_callback *fn, void *arg);
/* The hold and its journal entry end; `used` is charged to whom the hold was:
 * files 1 counts the file named id with its bytes, and charges the day, unless
 * the file is counted already; with files 0 the day is charged alone, bytes
 * mean nothing. Without a hold (it was swept) `who` is charged all the same.
 * changed: there was a hold. */
struct redis_call *quota_settle(struct redis *r, struct str id,
                                const struct quota_who *who,
                                const struct quota_amount *used,
                                quota_done_callback *fn, void *arg);
/* A file that its provider made counts, beyond every limit and once; no hold or
 * entry of that id ends. changed is false when it is being deleted, or was of
 * late: then there is no such file. */
struct redis_call *quota_found(struct redis *r, struct str file_id,
                               const struct quota_who *who, int64_t bytes,
                               quota_done_callback *fn, void *arg);
/* The hold and its journal entry end; nothing is charged. changed: there was a
 * hold. */
struct redis_call *quota_release(struct redis *r, struct str id,
                                 quota_done_callback *fn, void *arg);
/* What is held under `from` is held under to->id, with this entry and lease,
 * from now on; lease and entry of `from` stay. changed is false when nothing
 * was held. */
struct redis_call *quota_move(struct redis *r, struct str from,
                              const struct journal_entry *to, int64_t lease_ms,
                              quota_done_callback *fn, void *arg);
/* Back again, of so many bytes, if it was extended; lease and entry of `from`
 * end. Where the entry of `to` has ended meanwhile it is released. */
struct redis_call *quota_move_back(struct redis *r, struct str from,
                                   struct str to, int64_t bytes,
                                   quota_done_callback *fn, void *arg);
/* The file is gone at its provider and has no record any more: it does not
 * count any longer, and hold and journal entry of that id end. changed: it was
 * counted. */
struct redis_call *quota_forget(struct redis *r, struct str file_id,
                                quota_done_callback *fn, void *arg);

/* --- statistics --- */

/* Requests and bytes that nobody limits, gathered per worker and written every
 * few seconds: added to the day of each scope ("k:…", "t:…", "p:<provider>",
 * "all"). */
struct quota_tally {
    struct str scope;
    int64_t requests, errors, up, down;
};
struct redis_call *quota_add(struct redis *r, const struct quota_tally *v,
                             size_t n, quota_done_callback *fn, void *arg);

struct quota_usage {
    int64_t files, bytes;           /* stored now */
    int64_t held_files, held_bytes; /* by uploads under way */
    int64_t up, down, requests;     /* of today */
    int64_t rpm, parallel;          /* in the last 60 s; now: both are 0 for
                                       whom nothing limits them */
    int64_t batches;                /* active */
    int64_t batch_lines;            /* of today */
};
typedef void quota_usage_callback(void *arg, const struct quota_usage *v,
                                  size_t n, const struct gw_error *e);
/* One for each scope id, in order; v lives during the call. */
struct redis_call *quota_usage(struct redis *r, const struct str *scopes,
                               size_t n, quota_usage_callback *fn, void *arg);

/* The days of all scopes that begin with `prefix` ("", "k:", "t:", "p:"; or
 * whatever else: that one scope), from `first` to `last` (days since 1970; of
 * more than QUOTA_DAYS the last ones), a row per scope and day that has any, in
 * the order of days, then of scopes. v is the arena's, its views live during
 * the call. */
struct quota_day {
    struct str scope;
    int64_t day; /* since 1970-01-01 */
    int64_t requests, errors, up, down;
};
typedef void quota_history_callback(void *arg, const struct quota_day *v,
                                    size_t n, const struct gw_error *e);
struct redis_call *quota_history(struct redis *r, struct arena *a,
                                 struct str prefix, int64_t first, int64_t last,
                                 quota_history_callback *fn, void *arg);

#endif
