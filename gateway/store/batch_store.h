/* batch_store.h -- batch records, each under its owner.
 *
 * Like file_store.h: every look-up carries the owner, pages follow the order of
 * the ids' time, calls answer through a callback on the worker's loop.
 */
#ifndef FILEMUX_STORE_BATCH_STORE_H
#define FILEMUX_STORE_BATCH_STORE_H

#include "gateway/codec/batch_obj.h"
#include "gateway/store/quota.h"
#include "gateway/store/redis.h"

struct batch_record {
    struct batch_obj obj; /* as last seen; all ids are ours */
    struct str owner;
    struct str key_hash; /* of the key that created it */
    struct str provider;
    struct str upstream_id;
    struct str scopes[QUOTA_SCOPES]; /* whom its files are charged to */
    size_t nscopes;
    int64_t output_expires_s; /* its files end so long after they were made;
                                 0: they need not */
    int64_t over_ms; /* when it was first seen to be over; 0: it is not */
    int64_t lost_ms; /* when the provider knew it no more; 0: it does */
    bool is_final;   /* it is over and its files are known: not asked again */
};

/* The record as JSON, without its owner, who is part of the key. */
struct str batch_record_text(struct arena *a,
                             const struct batch_record *b) MUSTCHECK;
/* INTERNAL, with a line in the log, unless it is one. */
enum gw_err batch_record_read(struct arena *a, struct str owner,
                              struct str text, struct batch_record *out,
                              struct gw_error *e) MUSTCHECK;

/* found is NULL when there is none (e->err GW_OK). Views live in the arena
 * that was given to the call. */
typedef void batch_store_get_callback(void *arg,
                                      const struct batch_record *found,
                                      const struct gw_error *e);
typedef void batch_store_done_callback(void *arg, bool changed,
                                       const struct gw_error *e);
typedef void batch_store_page_callback(void *arg, struct batch_record *records,
                                       size_t n, bool at_end,
                                       const struct gw_error *e);

/* changed is false when the id exists already. */
struct redis_call *batch_store_put(struct redis *r,
                                   const struct batch_record *b,
                                   batch_store_done_callback *fn, void *arg);
/* changed is false when it is gone, or final meanwhile and this is not. */
struct redis_call *batch_store_update(struct redis *r,
                                      const struct batch_record *b,
                                      batch_store_done_callback *fn, void *arg);
/* The record and its index entries go; of b, owner, id and provider are used.
 * changed is false when it was gone. */
struct redis_call *batch_store_delete(struct redis *r,
                                      const struct batch_record *b,
                                      batch_store_done_callback *fn, void *arg);
struct redis_call *batch_store_get(struct redis *r, struct arena *a,
                                   struct str owner, struct str id,
                                   batch_store_get_callback *fn, void *arg);
/* The newest first, up to limit, behind the id `after` (STR_NULL: from the
 * start), of one provider or (STR_NULL) of all. One that cannot be read is left
 * out, with a line in the log. All is the arena's. */
struct redis_call *batch_store_page(struct redis *r, struct arena *a,
                                    struct str owner, struct str provider,
                                    struct str after, size_t limit,
                                    batch_store_page_callback *fn, void *arg);

#endif
