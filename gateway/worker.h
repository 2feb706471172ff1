/* worker.h -- one thread that shares nothing: its loop, listeners, curl handle,
 * Redis connection, metrics shard.
 *
 * Made and listening on the main thread, then run; from then on only
 * worker_reload() and worker_drain() may be called, which post to its loop.
 */
#ifndef FILEMUX_WORKER_H
#define FILEMUX_WORKER_H

#include "gateway/flow/services.h"

struct worker;

struct worker_options {
    unsigned index; /* worker 0 also sweeps, and runs jobs */
    unsigned count; /* of workers: they share max_connections */
    const char *redis_url;
    const char *process_id; /* borrowed for the worker's life */
    struct file_io *files;
    struct fleet *fleet;
    struct held *held;
    struct settings *settings; /* held by the worker */
    /* Called on the worker's thread when it has drained and stopped. */
    void (*stopped)(void *arg);
    void *arg;
};

/* A worker with its listeners bound; NULL and *e when one cannot be. */
struct worker *worker_new(const struct worker_options *o,
                          struct gw_error *e) MUSTCHECK;
/* Start its thread. */
void worker_run(struct worker *w);
/* New settings for the transactions to come. */
void worker_reload(struct worker *w, struct settings *s);
/* Stop accepting, let transactions end within the settings' drain_timeout,
 * break off the rest, stop. */
void worker_drain(struct worker *w);
/* Wait for the thread (after `stopped`) and free all. A worker that never ran
 * is freed too. */
void worker_free(struct worker *w);

#endif
