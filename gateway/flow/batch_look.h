/* batch_look.h -- a batch at its provider: created, looked at or cancelled, and
 * what it made becomes files of its owner.
 *
 *     the provider's operation -> output and error file, each seen for the
 *     first time (found_file.h) -> the batch's record
 *
 * A file is charged to whom the batch's maker was.
 *
 * Whoever looked tells store/batch_quota what was seen. One that its provider
 * does not know, at two looks that are an interval apart, has failed.
 *
 * Lives in the arena it is given; all on the worker's loop.
 */
#ifndef FILEMUX_FLOW_BATCH_LOOK_H
#define FILEMUX_FLOW_BATCH_LOOK_H

#include "gateway/flow/found_file.h"
#include "gateway/store/batch_store.h"

#define BATCH_LOOK_FILES 2 /* output and errors */

typedef void batch_look_callback(void *arg, const struct gw_error *e);

struct batch_look {
    /* As it is known; and when it is over without an error, as it was seen.
     * Views are the arena's. */
    struct batch_record record;
    /* For a new one; its record has no upstream_id yet. */
    const struct json *request;
    struct upstream_trace trace; /* of who asks */
    struct str upstream_file_id;
    struct str model; /* as the provider calls it; "" is not known */
    /* --- private --- */
    struct services *sv;
    struct arena *arena;
    const struct provider_conf *provider;
    enum prov_opcode code;
    batch_look_callback *done;
    void *arg;
    struct upstream *up;
    struct redis_call *call;
    struct str theirs[BATCH_LOOK_FILES];
    size_t which; /* of them is being seen to */
    struct found_file found;
    struct gw_error outcome; /* once all is written */
    bool is_incomplete;      /* a file could not be made ours now */
    struct loop_timer retry;
    int64_t retry_until_ms;
};

/* code: PROV_BATCH_CREATE, _GET, _CANCEL. A new batch's record is tried to be
 * written for a minute. Of another one that fails nothing is changed in
 * Redis but, maybe, files made. */
void batch_look_start(struct batch_look *l, struct services *sv,
                      struct arena *a, const struct provider_conf *provider,
                      enum prov_opcode code, batch_look_callback *done,
                      void *arg);
/* No callback follows. Twice is fine. */
void batch_look_abort(struct batch_look *l);
/* Has the provider made the batch, as far as we know? */
bool batch_look_is_made(const struct batch_look *l);

#endif
