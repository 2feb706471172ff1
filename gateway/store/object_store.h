/* object_store.h -- what providers keep for those who made it, beside files and
 * batches: responses, for one. Whose is it, and where?
 *
 * An id is the provider's own; it stands under its owner, so another owner's is
 * not there. Calls answer through a callback on the worker's loop; the handle
 * of redis.h cancels it.
 */
#ifndef FILEMUX_STORE_OBJECT_STORE_H
#define FILEMUX_STORE_OBJECT_STORE_H

#include "gateway/base/arena.h"
#include "gateway/store/redis.h"
#include "gateway/store/redis_done.h"

struct object_record {
    struct str id;
    struct str kind; /* "response" */
    struct str owner;
    struct str provider;
};

/* Can this be an id at all? 1 to LIMIT_OBJECT_ID_BYTES of a-z A-Z 0-9 - _ */
bool object_is_id(struct str id);

/* found is NULL when there is none (e->err GW_OK). Views live in the arena
 * that was given to the call. */
typedef void object_store_callback(void *arg, const struct object_record *found,
                                   const struct gw_error *e);

/* Write, or write again; it is forgotten after life_ms. */
struct redis_call *object_store_put(struct redis *r,
                                    const struct object_record *o,
                                    int64_t life_ms, redis_text_callback *fn,
                                    void *arg);
struct redis_call *object_store_get(struct redis *r, struct arena *a,
                                    struct str owner, struct str id,
                                    object_store_callback *fn, void *arg);
/* changed is false when it was gone already. */
struct redis_call *object_store_delete(struct redis *r, struct str owner,
                                       struct str id, redis_done_callback *fn,
                                       void *arg);

#endif
