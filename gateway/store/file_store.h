/* file_store.h -- file records, each under its owner, with exact pages.
 *
 * Every look-up carries the owner: another owner's id is simply not there. A
 * record and its index entries change in one script. Calls answer through a
 * callback on the worker's loop; the handle of redis.h cancels it.
 */
#ifndef FILEMUX_STORE_FILE_STORE_H
#define FILEMUX_STORE_FILE_STORE_H

#include "gateway/codec/file_obj.h"
#include "gateway/store/redis.h"

struct file_record {
    struct file_obj obj;    /* id is ours; provider its name */
    struct str owner;
    struct str key_hash;    /* of the key that uploaded it */
    struct str upstream_id;
    struct str content_type;
    int64_t stored_ms;      /* wall clock */
};

/* found is NULL when there is none (e->err GW_OK). Views live in the arena
 * that was given to the call. */
typedef void file_store_get_callback(void *arg, const struct file_record *found,
                                     const struct gw_error *e);
typedef void file_store_done_callback(void *arg, bool changed,
                                      const struct gw_error *e);

/* Write the record, its index entries and the way back from (provider,
 * upstream id). changed is false when the id exists already. */
struct redis_call *file_store_put(struct redis *r, const struct file_record *f,
                                  file_store_done_callback *fn, void *arg);
/* The same, replacing an existing record (status refreshed). changed is false
 * when it is gone meanwhile: it is not brought back. */
struct redis_call *file_store_update(struct redis *r,
                                     const struct file_record *f,
                                     file_store_done_callback *fn, void *arg);
struct redis_call *file_store_get(struct redis *r, struct arena *a,
                                  struct str owner, struct str id,
                                  file_store_get_callback *fn, void *arg);
/* changed is false when it was gone already. */
struct redis_call *file_store_delete(struct redis *r,
                                     const struct file_record *f,
                                     file_store_done_callback *fn, void *arg);
/* Who has this file of the provider? found has owner and obj.id only. */
struct redis_call *file_store_by_upstream(struct redis *r, struct arena *a,
                                          const char *provider,
                                          struct str upstream_id,
                                          file_store_get_callback *fn,
                                          void *arg);

struct file_store_query {
    struct str owner;
    struct str purpose, provider; /* STR_NULL: any */
    struct str after;             /* an id of ours, STR_NULL: from the start */
    bool is_ascending;
    size_t limit; /* at most LIMIT_LIST_PAGE */
};
/* Up to `limit` records in order of their ids' time, starting behind `after`;
 * at_end: no more follow. Records may be passed over (deleted between the two
 * reads of a script they cannot be: it is one script). */
typedef void file_store_page_callback(void *arg,
                                      const struct file_record *records,
                                      size_t n, bool at_end,
                                      const struct gw_error *e);
struct redis_call *file_store_page(struct redis *r, struct arena *a,
                                   const struct file_store_query *q,
                                   file_store_page_callback *fn, void *arg);

#endif
