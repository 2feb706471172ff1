/* file_io.h -- performs what codec/file_msg.h describes, off the loop's thread.
 *
 * A few threads shared by all workers do the blocking calls; results come back
 * by loop_post(). Streams move in chunks of LIMIT_FILE_CHUNK: one is written
 * while the next is awaited, so memory per transfer is one chunk.
 *
 * FILE_PUT writes to ".tmp-<name>-<random>" in the same directory; only the
 * last rename makes the name appear. An abort, a failing source or a full disk
 * removes the temporary file (soon, on a thread: done() does not wait for it).
 * What a crash leaves is removed by file_io_clean() at start; the files that
 * live processes are writing are locked, and kept.
 */
#ifndef FILEMUX_NET_FILE_IO_H
#define FILEMUX_NET_FILE_IO_H

#include "gateway/codec/file_msg.h"
#include "gateway/net/pipe.h"

struct file_io; /* the threads; one per process */
struct file_pool;
struct file_call;

struct file_io *file_io_open(unsigned threads) MUSTCHECK;
/* All calls must be over and their loops not run any more. */
void file_io_close(struct file_io *io);
/* The threads themselves, for spool.c. */
struct file_pool *file_io_pool(struct file_io *io);
/* Remove the temporary files in a directory that nobody is writing. Blocking:
 * before the loops run. */
void file_io_clean(const char *dir);

struct file_call_ops {
    /* FILE_READ: size is known, bytes follow into the sink. Optional. */
    void (*head)(void *arg, const struct file_res *res);
    /* Over; the call is gone after it. res->err says how it went; a source
     * that failed gives its error in *e, a sink whose reader gave up is
     * CLIENT_GONE. A sink got its outcome before, if head() was called. */
    void (*done)(void *arg, const struct file_res *res,
                 const struct gw_error *e);
};

/* Start. req and its strings, and the pipe (source for FILE_PUT, sink for
 * FILE_READ; not looked at for the others), must live until done(). res->list
 * is in `a`. */
struct file_call *file_io_start(struct file_io *io, struct loop *l,
                                struct arena *a, const struct file_req *req,
                                struct pipe *stream,
                                const struct file_call_ops *ops,
                                void *arg) MUSTCHECK;
/* Stop it; no callback follows (a blocking call under way ends by itself).
 * The pipe is let go at once. */
void file_call_abort(struct file_call *k);

#endif
