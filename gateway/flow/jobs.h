/* jobs.h -- runs background jobs: files deleted, adopted, reconciled.
 *
 * On one worker of each process; of all processes the one that holds the lease
 * in Redis works, a step of one job at a time: a page of files. A step ends
 * with one write that says how far the job is. What was done and not written
 * down is done once more, by whoever comes next, so every step may be repeated:
 *
 *     delete_files  what is gone already is not there to be deleted
 *     import        the id of a file is made of the job's and the provider's
 *     reconcile     findings are written down before they are mended
 *
 * All on the worker's loop.
 */
#ifndef FILEMUX_FLOW_JOBS_H
#define FILEMUX_FLOW_JOBS_H

#include "gateway/flow/services.h"
#include "gateway/store/job_store.h"

struct jobs;

/* process_id: of this process, unlike any other's; copied. */
struct jobs *jobs_open(struct services *sv, const char *process_id) MUSTCHECK;
/* A step under way is broken off: it will be taken again. */
void jobs_close(struct jobs *j);

/* Begin to delete all files of an owner ("t:…", "u:…", "k:…"), at their
 * providers and here; any worker. *id, the arena's, is the job's; it exists
 * once fn() says so. */
struct redis_call *jobs_start_delete_files(struct services *sv, struct arena *a,
                                           struct str owner, struct str *id,
                                           job_store_done_callback *fn,
                                           void *arg);

#endif
