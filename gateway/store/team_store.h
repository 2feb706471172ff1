/* team_store.h -- the records of teams, for their administration.
 *
 * Requests do not come here: key_store.h brings a key's team with the key. A
 * team's keys and files are found through their own records; nothing here looks
 * after them.
 */
#ifndef FILEMUX_STORE_TEAM_STORE_H
#define FILEMUX_STORE_TEAM_STORE_H

#include "gateway/base/arena.h"
#include "gateway/store/redis.h"

typedef void team_store_done_callback(void *arg, bool changed,
                                      const struct gw_error *e);
/* The stored text; STR_NULL when absent. */
typedef void team_store_raw_callback(void *arg, struct str record,
                                     const struct gw_error *e);

/* A new record; changed is false when the team exists. */
struct redis_call *team_store_put(struct redis *r, struct str id,
                                  int64_t created_s, struct str record,
                                  team_store_done_callback *fn, void *arg);
/* Another record; old_record is what it was made of, byte for byte. changed is
 * false when the stored record is not that one any longer: nothing was written;
 * read it again. */
struct redis_call *team_store_replace(struct redis *r, struct str id,
                                      struct str old_record, struct str record,
                                      team_store_done_callback *fn, void *arg);
/* Set one member of an existing record atomically (value is JSON text); the
 * callback gets the record as it is now. */
struct redis_call *team_store_set_member(struct redis *r, struct str id,
                                         const char *member, struct str value,
                                         team_store_raw_callback *fn,
                                         void *arg);
struct redis_call *team_store_raw(struct redis *r, struct str id,
                                  team_store_raw_callback *fn, void *arg);
struct redis_call *team_store_delete(struct redis *r, struct str id,
                                     team_store_done_callback *fn, void *arg);

/* A page of teams, the newest first; v and what it points to are the arena's.
 * total: of all pages. */
struct team_store_entry {
    struct str id, record;
};
typedef void team_store_list_callback(void *arg,
                                      const struct team_store_entry *v,
                                      size_t n, int64_t total,
                                      const struct gw_error *e);
struct redis_call *team_store_list(struct redis *r, struct arena *a,
                                   size_t offset, size_t limit,
                                   team_store_list_callback *fn, void *arg);

#endif
