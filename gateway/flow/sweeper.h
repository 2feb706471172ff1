/* sweeper.h -- mends what interrupted uploads left at providers.
 *
 * Every sweep_interval, on one worker of each process; of all processes the one
 * that holds the lease in Redis works, and renews it while it does. For each
 * journal entry whose own lease has ended:
 *
 *   its record is there         the entry is cleared
 *   the provider took our name  what stands under it is deleted
 *   the provider can list       a file with the entry's name, purpose, size and
 *                               time that no record knows is deleted, or
 *                               adopted for its owner where it cannot be
 *   neither                     nothing can be known: logged, cleared
 *
 * A provider that does not answer is asked again later, less and less often;
 * after SWEEPER_TRIES_MAX the entry is given up with an error in the log.
 */
#ifndef FILEMUX_FLOW_SWEEPER_H
#define FILEMUX_FLOW_SWEEPER_H

#include "gateway/flow/services.h"

#define SWEEPER_TRIES_MAX 48
/* A sweeper that does not renew its lease leads no longer than this, nor than
 * the lease of an upload. */
#define SWEEPER_LEASE_MS 30000

struct sweeper;

/* process_id: of this process, unlike any other's; copied. */
struct sweeper *sweeper_open(struct services *sv,
                             const char *process_id) MUSTCHECK;
void sweeper_close(struct sweeper *s);

#endif
