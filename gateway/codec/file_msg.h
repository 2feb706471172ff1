/* file_msg.h -- an operation on a file of a local directory, as plain data.
 *
 * What http_msg.h is to http_client, this is to net/file_io: providers/disk
 * describes, file_io performs.
 */
#ifndef FILEMUX_CODEC_FILE_MSG_H
#define FILEMUX_CODEC_FILE_MSG_H

#include "gateway/base/arena.h"
#include "gateway/base/err.h"

enum file_verb {
    FILE_PUT,  /* the stream into a temporary name beside it, fsync, rename,
                  fsync of the directory; all or nothing */
    FILE_STAT, /* size and times */
    FILE_READ, /* bytes [offset, offset + len) into the sink; len -1: to end */
    FILE_REMOVE, /* absent is FILE_NOT_FOUND */
    FILE_LIST,   /* names in byte order after `name`, up to list_max */
};

struct file_req {
    enum file_verb verb;
    const char *dir;  /* directory; made (0700) when absent, for FILE_PUT */
    const char *name; /* one path component, [A-Za-z0-9._-], not starting with
                         a dot; checked by file_io */
    int64_t offset, len;
    size_t list_max;
};

struct file_entry {
    struct str name;
    int64_t size;
    int64_t mtime_s;
};

struct file_res {
    enum gw_err err; /* GW_OK, GW_FILE_NOT_FOUND, GW_DISK_FULL, GW_INTERNAL */
    int64_t size;    /* PUT: bytes written; STAT and READ: of the whole file */
    int64_t mtime_s;
    struct file_entry *list;
    size_t nlist;
};

#endif
