/* batch_watch.h -- looks at the batches that run when their owners do not.
 *
 * A batch counts as active until somebody sees that it is over, and its files
 * are its owner's from then on. This looks at each once in
 * batches.look_interval (any look puts it off), a few at a time; a provider
 * that fails is not asked again in the same run. What no provider could be
 * asked about for BATCH_WATCH_DAYS is over. After batches.keep the records of
 * those that are over go. Run by the sweeper, so by one process at a time.
 *
 * All on the worker's loop.
 */
#ifndef FILEMUX_FLOW_BATCH_WATCH_H
#define FILEMUX_FLOW_BATCH_WATCH_H

#include "gateway/flow/services.h"

/* Of a run; the rest waits for the next. */
#define BATCH_WATCH_MAX 256
#define BATCH_WATCH_AT_ONCE 4
/* No provider runs one for so long. */
#define BATCH_WATCH_DAYS 45

struct batch_watch;

struct batch_watch *batch_watch_open(struct services *sv) MUSTCHECK;
void batch_watch_close(struct batch_watch *w);

/* done() when the run is over. conf must be held until then. */
typedef void batch_watch_fn(void *arg);
void batch_watch_run(struct batch_watch *w, struct settings *conf,
                     batch_watch_fn *done, void *arg);

#endif
