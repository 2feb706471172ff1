/* expiry.h -- which files end when, over all owners: for the sweeper.
 *
 * An entry is written before the record it belongs to and taken away after it,
 * so that no file is ever without one; an entry without a file is harmless.
 */
#ifndef FILEMUX_STORE_EXPIRY_H
#define FILEMUX_STORE_EXPIRY_H

#include "gateway/store/file_record.h"
#include "gateway/store/redis.h"

typedef void expiry_done_callback(void *arg, bool changed,
                                  const struct gw_error *e);

/* The file ends at f->obj.expires_at. Sent before the record its failure is the
 * record's, too: fn may be NULL. */
struct redis_call *expiry_put(struct redis *r, const struct file_record *f,
                              expiry_done_callback *fn, void *arg);
struct redis_call *expiry_clear(struct redis *r, const struct file_record *f,
                                expiry_done_callback *fn, void *arg);
/* The entry is due again at that time (seconds): its file could not be deleted
 * now. */
struct redis_call *expiry_postpone(struct redis *r, const struct file_record *f,
                                   int64_t until_s, expiry_done_callback *fn,
                                   void *arg);

/* Up to max entries that are due at now_s, the longest ago first: v[i] has
 * owner and obj.id alone, and expires_at, which is when it was due. Views are
 * the arena's. */
typedef void expiry_due_callback(void *arg, const struct file_record *v,
                                 size_t n, const struct gw_error *e);
struct redis_call *expiry_due(struct redis *r, struct arena *a, int64_t now_s,
                              size_t max, expiry_due_callback *fn, void *arg);

#endif
