/* spool.h -- holds a stream until it may go on: memory, then an unlinked
 * temporary file, then refusal.
 *
 * Reads the source pipe to its end (or to the bound), then tells its length
 * and is the writer of an output pipe. Writes to the temporary file are to the
 * page cache of an unlinked file and go through file_io's threads.
 */
#ifndef FILEMUX_NET_SPOOL_H
#define FILEMUX_NET_SPOOL_H

#include "gateway/net/file_io.h"

struct spool;

struct spool_limits {
    size_t memory;   /* bytes held in memory */
    int64_t total;   /* bytes in all; beyond: FILE_TOO_LARGE */
    const char *dir; /* of the temporary file */
};

/* done(arg, e), from the loop: the source has ended and is let go; e->err is
 * GW_OK, or the source's error, FILE_TOO_LARGE, DISK_FULL, INTERNAL. Not called
 * after spool_free(). */
struct spool *spool_new(struct file_io *io, struct loop *l,
                        const struct spool_limits *limits, struct pipe *source,
                        void (*done)(void *arg, const struct gw_error *e),
                        void *arg) MUSTCHECK;
/* Bytes held. */
int64_t spool_size(const struct spool *s);
/* Become the (pulled) writer of `out` and send everything from the start. May
 * be done again with a new pipe, for another attempt; that lets go of the last
 * one, which must live until then, or until spool_free(). */
void spool_replay(struct spool *s, struct pipe *out);
/* At any time; the pipes are let go. */
void spool_free(struct spool *s);

#endif
