/* expirer.h -- deletes the files whose time has come.
 *
 * An expired file is 404 at once (api/access); this takes it from its provider,
 * drops its record and what it counts. Run by the sweeper, so by one process at
 * a time. What a provider cannot delete now is tried again after as long as the
 * file is overdue, two sweeps to an hour, with a warning each time: it is
 * never given up.
 *
 * All on the worker's loop.
 */
#ifndef FILEMUX_FLOW_EXPIRER_H
#define FILEMUX_FLOW_EXPIRER_H

#include "gateway/flow/services.h"

struct expirer;

struct expirer *expirer_open(struct services *sv) MUSTCHECK;
void expirer_close(struct expirer *x);

/* Delete up to EXPIRE_MAX files that are due; done() when that is over. conf
 * must be held until then. */
#define EXPIRE_MAX 256
typedef void expirer_fn(void *arg);
void expirer_run(struct expirer *x, struct settings *conf, expirer_fn *done,
                 void *arg);

#endif
