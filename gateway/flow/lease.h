/* lease.h -- keeps the holds and journal entries of this worker alive.
 *
 * Whatever holds something in Redis (store/quota) holds a lease from then on;
 * one timer renews all of them in one command, and with them the slots of the
 * requests under way that count for max_parallel_requests. When the process
 * dies, nobody renews, and the sweeper takes over.
 */
#ifndef FILEMUX_FLOW_LEASE_H
#define FILEMUX_FLOW_LEASE_H

#include "gateway/flow/services.h"

struct lease;       /* the worker's set */
struct lease_entry; /* one of them */

struct lease *lease_open(struct services *sv) MUSTCHECK;
/* No entry may be left. */
void lease_close(struct lease *l);
/* From quota_hold() on. id is copied. */
struct lease_entry *lease_take(struct lease *l, struct str id) MUSTCHECK;
/* NULL is allowed. */
void lease_give_back(struct lease *l, struct lease_entry *e);

#endif
