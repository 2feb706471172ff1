/* removal.h -- one file goes: at its provider, its record, its count.
 *
 *     journal entry ─► provider's delete ─► record and count ─► entry ends
 *
 * The order is that of the quota's promise: a byte is free when the provider
 * has dropped it. Whatever stops it halfway leaves the journal's entry, and the
 * sweeper does the rest. It lives by itself: whoever asked for it may go.
 *
 * All on the worker's loop; callbacks come from the loop.
 */
#ifndef FILEMUX_FLOW_REMOVAL_H
#define FILEMUX_FLOW_REMOVAL_H

#include "gateway/flow/services.h"
#include "gateway/store/file_store.h"

struct removal;

/* existed: it was this removal that took the record away. A provider that is
 * not configured any more, or cannot delete, is passed over; one that fails
 * ends it with its error, and the file stays; unless the answer alone was lost,
 * then the sweeper finishes it. */
typedef void removal_fn(void *arg, bool existed, const struct gw_error *e);

/* r is copied, settings are held. is_noted: the journal has its entry already
 * (the sweeper's work). */
struct removal *removal_start(struct services *sv, struct settings *conf,
                              const struct file_record *r, bool is_noted,
                              removal_fn *done, void *arg) MUSTCHECK;
/* done() will not be called; the removal goes on. */
void removal_leave(struct removal *m);

/* The worker ends: those under way are broken off, and left to the sweeper. */
void removal_close(struct services *sv);

#endif
