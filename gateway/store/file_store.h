/* file_store.h -- file records, each under its owner (pages: file_page.h).
 *
 * Every look-up carries the owner: another owner's id is simply not there. A
 * record and its index entries change in one script. Calls answer through a
 * callback on the worker's loop; the handle of redis.h cancels it.
 */
#ifndef FILEMUX_STORE_FILE_STORE_H
#define FILEMUX_STORE_FILE_STORE_H

#include "gateway/store/file_page.h"
#include "gateway/store/file_record.h"
#include "gateway/store/redis.h"

/* found is NULL when there is none (e->err GW_OK). Views live in the arena
 * that was given to the call. */
typedef void file_store_get_callback(void *arg, const struct file_record *found,
                                     const struct gw_error *e);
typedef void file_store_done_callback(void *arg, bool changed,
                                      const struct gw_error *e);

/* Write the record, its index entries and the ways back from (provider,
 * upstream id) of each place. changed is false when the id exists already. */
struct redis_call *file_store_put(struct redis *r, const struct file_record *f,
                                  file_store_done_callback *fn, void *arg);
/* The same, replacing an existing record (status refreshed). Its purpose,
 * providers and upstream ids stay: they are in other keys. changed is false
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

#endif
