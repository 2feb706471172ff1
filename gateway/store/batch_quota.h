/* batch_quota.h -- which batches run, for whom they count, and when they are
 * looked at.
 *
 * A batch counts for its scopes (quota.h) from before it is made: one active
 * batch until it is seen to be over, and the lines of its file for the day.
 * Both are checked and taken in one script with the journal's entry, so any
 * number of processes together stay below the limits.
 *
 * And it is watched: an index over all owners tells when somebody should look
 * at it again, as its owner may not (flow/batch_watch), or when its record may
 * go. Who has looked tells what he saw.
 *
 * Calls answer through a callback on the worker's loop.
 */
#ifndef FILEMUX_STORE_BATCH_QUOTA_H
#define FILEMUX_STORE_BATCH_QUOTA_H

#include "gateway/store/quota.h"

#define BATCH_NEVER (-1)

struct batch_quota {
    struct str id, owner;
    const struct quota_who *who; /* with their limits */
    int64_t lines;
    const struct journal_entry *entry;
    int64_t lease_ms;
    int64_t look_ms; /* the first look, from now */
};

/* Refused as a whole or taken as a whole. An id that was taken before is not
 * taken again. */
struct redis_call *batch_quota_begin(struct redis *r,
                                     const struct batch_quota *b,
                                     quota_hold_callback *fn, void *arg);

enum batch_seen {
    BATCH_RUNS,
    BATCH_OVER,    /* active no longer */
    BATCH_LOST,    /* nobody knows: the same, and the journal's entry ends */
    BATCH_REFUSED, /* it was not made: its lines do not count either */
};
/* look_ms: from now, or BATCH_NEVER; what is not watched (any more) is not
 * again. changed: it was active until now. */
struct redis_call *batch_quota_seen(struct redis *r, struct str owner,
                                    struct str id, enum batch_seen what,
                                    int64_t look_ms, quota_done_callback *fn,
                                    void *arg);

/* Up to max batches that are due, the longest ago first. Those being made are
 * put off by look_ms. Views are the arena's. */
struct batch_due {
    struct str owner, id;
};
typedef void batch_due_callback(void *arg, const struct batch_due *v, size_t n,
                                const struct gw_error *e);
struct redis_call *batch_quota_due(struct redis *r, struct arena *a, size_t max,
                                   int64_t look_ms, batch_due_callback *fn,
                                   void *arg);

#endif
