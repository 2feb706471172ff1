/* grants.h -- temporary credentials of providers: got once, shared, renewed.
 *
 * Each provider that has PROV_CAN_GRANT has a slot, which all workers share.
 * Whoever finds it empty fetches (PROV_GRANT, driven by flow/upstream on his
 * worker), the others wait for him. What is about to expire is renewed in the
 * background while it is still used; a fetch that failed is not repeated for
 * RETRY_MS, and tells everybody why.
 *
 *     got ───────── fresh ─────────┬── renewed early ──┬── waited for ──
 * expired the last quarter of its life    its last tenth (5 minutes at most)
 * (10 seconds at most)
 */
#ifndef FILEMUX_FLOW_GRANTS_H
#define FILEMUX_FLOW_GRANTS_H

#include "gateway/flow/services.h"

/* A slot for each provider that needs one, when the settings are made; they go
 * with the settings' arena. Main thread. */
void grants_open(struct settings *s);

struct grant_wait;
typedef void grant_fn(void *arg, const struct gw_error *e);

/* Fill op->grant (its strings are op->arena's). True: done. False: done() comes
 * later, from the loop, with the outcome; *w is the wait until then. */
bool grants_get(struct services *sv, struct prov_op *op, grant_fn *done,
                void *arg, struct grant_wait **w) MUSTCHECK;
void grants_cancel(struct grant_wait *w);
/* The provider refused what op->grant holds: fetch anew for whoever comes next,
 * unless that has happened already. */
void grants_spoil(const struct prov_op *op);

/* The worker ends: fetches under way on it are broken off; who waits for one
 * elsewhere gets DRAINING. */
void grants_close(struct services *sv);

#endif
