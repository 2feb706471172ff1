/* file_page.h -- an owner's files, page by page.
 *
 * Pages are exact under concurrent changes: they follow the order of the ids'
 * time, and the next one starts behind an id, whether that file still exists or
 * not.
 */
#ifndef FILEMUX_STORE_FILE_PAGE_H
#define FILEMUX_STORE_FILE_PAGE_H

#include "gateway/store/file_record.h"
#include "gateway/store/redis.h"

struct file_store_query {
    struct str owner;
    struct str purpose, provider; /* STR_NULL: any */
    struct str after;             /* an id of ours, STR_NULL: from the start */
    bool is_ascending;
    size_t limit; /* 1 to LIMIT_LIST_PAGE */
};

/* Up to `limit` records in order of their ids' time, starting behind `after`;
 * at_end: no more follow. There are fewer than `limit` at the end alone. All is
 * the arena's. */
typedef void file_store_page_callback(void *arg,
                                      const struct file_record *records,
                                      size_t n, bool at_end,
                                      const struct gw_error *e);
struct redis_call *file_store_page(struct redis *r, struct arena *a,
                                   const struct file_store_query *q,
                                   file_store_page_callback *fn, void *arg);

/* How many there are. */
typedef void file_store_count_callback(void *arg, int64_t n,
                                       const struct gw_error *e);
struct redis_call *file_store_count(struct redis *r, struct str owner,
                                    file_store_count_callback *fn, void *arg);

#endif
