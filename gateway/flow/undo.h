/* undo.h -- takes back what a failed create may have left at its provider.
 *
 * A provider that begins an upload before it has the file (S3's parts, Google's
 * sessions) describes one request that gives it up. The request is sent on its
 * own: the transaction that failed is answered at once and may be gone. Should
 * it not arrive, the journal's entry is still there for the sweeper, or the
 * provider drops the rest in its own time; the log tells.
 *
 * All on the worker's loop.
 */
#ifndef FILEMUX_FLOW_UNDO_H
#define FILEMUX_FLOW_UNDO_H

#include "gateway/flow/services.h"

/* After the failure of a create of which an exchange was begun. */
void undo_create(struct services *sv, struct prov_op *op);
/* The worker ends. */
void undo_close(struct services *sv);

#endif
