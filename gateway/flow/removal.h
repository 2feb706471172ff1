/* removal.h -- one file goes: at its providers, its record, its count.
 *
 *     journal entry ─► providers' deletes ─► record and count ─► entry ends
 *
 * The order is that of the quota's promise: a byte is free when the provider
 * has dropped it. Whatever stops it halfway leaves the journal's entry, and the
 * sweeper does the rest. It lives by itself: whoever asked for it may go.
 *
 * A file at several providers is deleted at all of them at once. When one of
 * them fails and another one has deleted it, the file cannot stay: the record
 * goes, entry and count stay until the sweeper has deleted the rest.
 *
 * All on the worker's loop; callbacks come from the loop.
 */
#ifndef FILEMUX_FLOW_REMOVAL_H
#define FILEMUX_FLOW_REMOVAL_H

#include "gateway/flow/services.h"
#include "gateway/store/file_store.h"

struct removal;

/* existed: it was this removal that took the record away. A provider that is
 * not configured any more, or cannot delete, is passed over; when all that are
 * asked fail it ends with the error of one, and the file stays; unless the
 * answer alone was lost, then the sweeper finishes it. */
typedef void removal_fn(void *arg, bool existed, const struct gw_error *e);

enum removal_kind {
    REMOVAL_OWN,   /* it writes its entry, and takes it back when it fails */
    REMOVAL_NOTED, /* the journal has its entry (the sweeper's work) */
    REMOVAL_UNDO,  /* of what was stored in vain: once written the entry stays
                      until it is done */
};

/* r is copied, settings are held. */
struct removal *removal_start(struct services *sv, struct settings *conf,
                              const struct file_record *r,
                              enum removal_kind kind, removal_fn *done,
                              void *arg) MUSTCHECK;
/* Right behind it: of who asks; copied. */
struct upstream_trace;
void removal_trace(struct removal *m, const struct upstream_trace *trace);
/* done() will not be called; the removal goes on. */
void removal_leave(struct removal *m);

/* The worker ends: those under way are broken off, and left to the sweeper. */
void removal_close(struct services *sv);

#endif
