/* pipe.h -- bytes on their way from one writer to one reader, bounded.
 *
 * A pipe joins two halves of a transfer that know nothing of each other. The
 * writer may push (a download: curl hands out bytes) or be pulled (an upload:
 * curl asks for bytes, and the client's socket is read straight into curl's
 * buffer). Between them the pipe holds at most `high` bytes and one write
 * more. It has four outcomes; the first that is set stays:
 *
 *     outcome     set by         the reader sees            the writer sees
 *     OPEN        -              bytes, or nothing yet      "go on" or "hold"
 *     END         the writer     the bytes left, then the   nothing more
 *                                end
 *     ERROR       the writer     the error at once; bytes   nothing more
 *                                left are dropped
 *     CANCELLED   the reader     nothing more               cancelled() once;
 *                                                           writes are dropped
 *
 * Both halves live on one loop. Calls back are never made from inside a call
 * of the same half: pipe_write() may call the reader, pipe_read() may call the
 * writer's pull(), pipe_end() the reader, pipe_cancel() the writer.
 */
#ifndef FILEMUX_NET_PIPE_H
#define FILEMUX_NET_PIPE_H

#include <sys/uio.h>

#include "gateway/base/err.h"
#include "gateway/base/metrics.h"
#include "gateway/net/loop.h"

enum pipe_outcome { PIPE_OPEN, PIPE_END, PIPE_ERROR, PIPE_CANCELLED };

struct pipe_writer_ops {
    /* Optional. The pipe is empty and the reader has room: write up to cap
     * bytes to buf and return how many. 0: none now; either the writer set an
     * outcome inside this call, or it will call pipe_notify() when there are
     * some. */
    size_t (*pull)(void *arg, char *buf, size_t cap);
    /* Optional (pushing writers). A write was answered "hold" and the level
     * has fallen to `low`: go on. */
    void (*resume)(void *arg);
    /* The reader gave up: stop. No further call comes. */
    void (*cancelled)(void *arg);
};

struct pipe_reader_ops {
    /* Optional. The pipe is empty and open: take up to len bytes right now and
     * return how many. What is not taken is held by the pipe. */
    size_t (*push)(void *arg, const char *buf, size_t len);
    /* Bytes or an outcome can be read. Called on the change from "nothing" to
     * "something", not again before the reader has seen "nothing". */
    void (*readable)(void *arg);
};

struct pipe;

/* Gauge for the bytes held, or NULL. Freed by pipe_free(), by whoever made it,
 * after both halves let go. */
struct pipe *pipe_new(struct loop *l, size_t low, size_t high,
                      struct metric_series *held) MUSTCHECK;
void pipe_free(struct pipe *p);

/* --- the writer's half --- */
void pipe_set_writer(struct pipe *p, const struct pipe_writer_ops *ops,
                     void *arg);
/* Takes all. False: hold (or CANCELLED); resume() follows. */
bool pipe_write(struct pipe *p, const char *buf, size_t len);
/* For pulled writers: there is something to pull now. */
void pipe_notify(struct pipe *p);
void pipe_end(struct pipe *p);
/* e is copied. */
void pipe_fail(struct pipe *p, const struct gw_error *e);

/* --- the reader's half --- */
void pipe_set_reader(struct pipe *p, const struct pipe_reader_ops *ops,
                     void *arg);
/* Up to cap bytes into buf; what is held first, else pulled. 0: look at
 * pipe_outcome(): OPEN is "nothing now, readable() follows". */
size_t pipe_read(struct pipe *p, char *buf, size_t cap);
/* What is held, without copying, for writev: views until the next call; then
 * pipe_drain() what was used. Does not pull. */
int pipe_peek(struct pipe *p, struct iovec *v, int max);
void pipe_drain(struct pipe *p, size_t n);
/* No more is wanted. Sets CANCELLED if OPEN. */
void pipe_cancel(struct pipe *p);

/* --- either --- */
enum pipe_outcome pipe_outcome(const struct pipe *p);
/* Outcome END and nothing held. */
bool pipe_is_drained(const struct pipe *p);
/* Valid when the outcome is PIPE_ERROR. */
const struct gw_error *pipe_error(const struct pipe *p);
size_t pipe_level(const struct pipe *p);
/* Bytes that went through since the start. */
uint64_t pipe_total(const struct pipe *p);

#endif
