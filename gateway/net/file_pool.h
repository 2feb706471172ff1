/* file_pool.h -- a few threads for calls that may block.
 *
 * A job is the memory of whoever submits it. Its work() runs on a thread; its
 * done() runs afterwards on the loop that submitted it. In between all that
 * the job's owner shares with work() belongs to the thread.
 *
 *     IDLE ── submit ──> QUEUED ──> RUNNING ──> POSTED ── done() ──> IDLE
 *
 * The owner may give a job up in any state: file_pool_abandon() has a thread
 * call cleanup() as soon as no work is under way, and done() never comes.
 */
#ifndef FILEMUX_NET_FILE_POOL_H
#define FILEMUX_NET_FILE_POOL_H

#include "gateway/net/loop.h"

struct file_pool;

enum file_job_state { JOB_IDLE, JOB_QUEUED, JOB_RUNNING, JOB_POSTED };

/* Zeroed before the first use; the pool's while it is not idle. */
struct file_job {
    struct file_job *next;
    struct file_pool *pool;
    struct loop *loop;
    enum file_job_state state;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void (*cleanup)(void *arg); /* abandoned: instead of done() */
    void *arg;
    struct file_ticket *ticket; /* what the loop was posted */
};

struct file_pool *file_pool_open(unsigned threads) MUSTCHECK;
/* No job may be under way but abandoned ones, which are still worked off, and
 * the loops do not run any more. */
void file_pool_close(struct file_pool *p);

/* The job is idle. Calls done() on l, unless it is abandoned. */
void file_pool_submit(struct file_pool *p, struct file_job *j, struct loop *l,
                      void (*work)(void *arg), void (*done)(void *arg),
                      void *arg);
/* From the loop of the job. cleanup(arg) runs on a thread and may free the job;
 * the caller does not touch it any more. */
void file_pool_abandon(struct file_pool *p, struct file_job *j,
                       void (*cleanup)(void *arg), void *arg);

#endif
