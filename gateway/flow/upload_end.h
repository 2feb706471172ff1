/* upload_end.h -- an upload ends, and its parts go.
 *
 *     state ─► parts deleted where they are held, or the upload cancelled at
 *     its provider ─► hold and journal entry end
 *
 * A byte is free when it is gone. Whatever stops it halfway leaves the
 * journal's entry, and the sweeper does the rest. It lives by itself: whoever
 * asked for it may go.
 *
 * All on the worker's loop; callbacks come from the loop.
 */
#ifndef FILEMUX_FLOW_UPLOAD_END_H
#define FILEMUX_FLOW_UPLOAD_END_H

#include "gateway/flow/services.h"
#include "gateway/store/upload_store.h"

struct upload_end;

/* v: what the upload is now, in its new state; or in the one that it had, if
 * there was no way to the new one, and nothing was done; NULL when there is
 * none, or with an error. Views live during the call. */
typedef void upload_end_fn(void *arg, const struct upload_view *v,
                           const struct gw_error *e);

/* to: UPLOAD_COMPLETED (into file_id), UPLOAD_CANCELLED or UPLOAD_EXPIRED, the
 * sweeper's, which also finishes what the others left. All is copied, settings
 * are held. Who gives no done() has nothing to leave, and may drop the result.
 */
struct upload_end *upload_end_start(struct services *sv, struct settings *conf,
                                    struct str owner, struct str id,
                                    enum upload_state to, struct str file_id,
                                    upload_end_fn *done, void *arg);
/* done() will not be called; it goes on. NULL allowed. */
void upload_end_leave(struct upload_end *u);

/* The worker ends: those under way are broken off, and left to the sweeper. */
void upload_end_close(struct services *sv);

#endif
