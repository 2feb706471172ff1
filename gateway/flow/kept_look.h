/* kept_look.h -- one kept object at its provider, looked at as it is now.
 *
 *     its record ─► the provider's GET ─► the ids in it made ours ─► its record
 *
 * A file that the answer names for the first time is made its owner's
 * (found_file.h); one that is gone is shown by an id that leads nowhere. An
 * object that is gone at its provider loses its record.
 *
 * Lives in the arena it is given; all on the worker's loop.
 */
#ifndef FILEMUX_FLOW_KEPT_LOOK_H
#define FILEMUX_FLOW_KEPT_LOOK_H

#include "gateway/codec/id_rewrite.h"
#include "gateway/flow/found_file.h"
#include "gateway/store/kept_store.h"

/* e->err GW_OK: as it was seen, or it is gone. Else nothing is changed but,
 * maybe, files made. */
typedef void kept_look_callback(void *arg, const struct gw_error *e);

struct kept_look {
    /* As it is known; and when it is over as it was seen. */
    struct kept_record record;
    struct str beta;      /* OpenAI-Beta; "" none */
    struct quota_who who; /* whom new files are charged to */
    struct str text;      /* over: the object, its ids ours */
    bool is_gone;         /* over */
    /* --- private --- */
    struct services *sv;
    struct arena *arena;
    const struct provider_conf *provider;
    kept_look_callback *done;
    void *arg;
    struct upstream *up;
    struct redis_call *call;
    struct pipe *pipe; /* the answer */
    struct buf answer;
    struct id_found sites; /* in the answer */
    size_t which;          /* of them is being seen to */
    struct found_file found;
};

/* The caller has filled record, beta and who. */
void kept_look_start(struct kept_look *l, struct services *sv, struct arena *a,
                     const struct provider_conf *provider,
                     kept_look_callback *done, void *arg);
/* No callback follows. Twice is fine. */
void kept_look_abort(struct kept_look *l);

#endif
