/* file_work.h -- the blocking half of file_io: system calls, nothing else.
 *
 * A piece of work is plain data that a thread works on step by step: a put
 * writes a chunk per step and commits with the last, a read fills a chunk, the
 * other verbs take one step. It touches no loop, no pipe, no arena.
 */
#ifndef FILEMUX_NET_FILE_WORK_H
#define FILEMUX_NET_FILE_WORK_H

#include <limits.h>

#include "gateway/base/err.h"
#include "gateway/codec/file_msg.h"

struct file_found {
    char *name; /* owned */
    int64_t size, mtime_s;
};

struct file_work {
    enum file_verb verb;
    char *dir, *name; /* owned copies */
    int64_t offset;   /* READ: where the next chunk begins */
    int64_t left;     /* READ: bytes still to come; -1: to the end */
    size_t list_max;

    char *chunk;  /* LIMIT_FILE_CHUNK, of PUT and READ */
    size_t n;     /* bytes in it */
    bool is_last; /* PUT: commit after this one */

    int64_t size, mtime_s; /* results, as in struct file_res */
    struct file_found *found;
    size_t nfound;
    struct gw_error error;
    /* --- private --- */
    int dir_fd, fd;          /* -1: not open */
    char temp[NAME_MAX + 1]; /* "": there is none */
};

/* Copies what it needs of req. */
void file_work_init(struct file_work *w, const struct file_req *req);
/* One step, on a thread. A failure is in w->error. */
void file_work_step(struct file_work *w);
/* Closes, removes what was not committed, frees. On a thread: it may block. */
void file_work_release(struct file_work *w);

/* Remove temporary files that no process is writing. */
void file_work_clean(const char *dir);

/* All of buf at the offset; the whole of the chunk or as much as there is. For
 * the spool too. A failure is named by `what`. */
enum gw_err file_work_pwrite(int fd, const char *buf, size_t n, int64_t offset,
                             struct gw_error *e);
enum gw_err file_work_pread(int fd, char *buf, size_t n, int64_t offset,
                            struct gw_error *e);
/* The failure that errno tells of, in *e and in the log. */
enum gw_err file_work_errno(struct gw_error *e, const char *what);

#endif
