/* found_file.h -- a file that a provider made becomes one of its owner's, at
 * first sight.
 *
 *     is it known? ─► its details ─► what it counts ─► its record
 *
 * Its id is made of what does not change from one look to the next, so that two
 * who look at once make one file, which counts once. It is charged beyond every
 * limit: it is there. What it counts comes first: a file that has a record is
 * not counted again. One that was deleted while its provider was asked does not
 * come back (quota_found).
 *
 * Lives in the arena it is given; all on the worker's loop.
 */
#ifndef FILEMUX_FLOW_FOUND_FILE_H
#define FILEMUX_FLOW_FOUND_FILE_H

#include "gateway/flow/upstream.h"
#include "gateway/store/file_store.h"
#include "gateway/store/quota.h"

typedef void found_file_callback(void *arg, const struct gw_error *e);

struct found_file {
    /* The caller's; views live as long as the arena. */
    const struct provider_conf *provider;
    struct str theirs; /* the provider's id of it */
    struct str owner, key_hash;
    struct quota_who who;
    struct str seed;           /* the id is made of it, the provider's name and
                                  its id */
    int64_t least_ms, most_ms; /* bounds of the time in the id */
    struct str purpose;        /* "": as the provider says */
    struct str filename;       /* when the provider has none */
    int64_t life_s;            /* it ends then at the latest; 0: it need not */
    /* Over, without an error: ours. STR_NULL: it is gone, or another's. */
    struct str id;
    /* --- private --- */
    struct services *sv;
    struct arena *arena;
    found_file_callback *done;
    void *arg;
    struct upstream *up;
    struct redis_call *call;
    struct file_record record;
};

/* The caller has filled his part. */
void found_file_start(struct found_file *f, struct services *sv,
                      struct arena *a, found_file_callback *done, void *arg);
/* No callback follows. Twice, and before the start, is fine. */
void found_file_abort(struct found_file *f);
/* The id of such a file that is said to be of that time; it need not be one. */
struct str found_file_id(const struct found_file *f, struct arena *a,
                         int64_t created_at) MUSTCHECK;

#endif
