/* kept_store.h -- what providers keep for an owner beside files: fine-tuning
 * jobs, vector stores, assistants, ...: which provider has it, and how it was
 * last seen.
 *
 * Like file_store.h: every look-up carries the owner; pages follow the order of
 * making. A job's id is ours; other objects keep their provider's id, which is
 * one of the owner's only if it was recorded for him. So the order is that of a
 * ULID of the record's own, and a page is told by ids all the same.
 */
#ifndef FILEMUX_STORE_KEPT_STORE_H
#define FILEMUX_STORE_KEPT_STORE_H

#include "gateway/base/arena.h"
#include "gateway/store/redis.h"

struct kept_record {
    struct str id;    /* as clients know it */
    struct str kind;  /* the list that it is in: "vector_stores" */
    struct str owner; /* part of the key */
    struct str provider;
    struct str upstream_id; /* as the provider knows it */
    struct str key_hash;    /* of the key that created it */
    struct str ulid;        /* when it was made, and its place in lists */
    struct str state; /* JSON as last seen, all ids ours; "": it is too long */
};

/* found is NULL when there is none (e->err GW_OK). Views live in the arena
 * that was given to the call. */
typedef void kept_store_get_callback(void *arg, const struct kept_record *found,
                                     const struct gw_error *e);
typedef void kept_store_done_callback(void *arg, bool changed,
                                      const struct gw_error *e);
/* is_known: the id that the page begins behind is there (or there was none). */
typedef void kept_store_page_callback(void *arg, struct kept_record *v,
                                      size_t n, bool at_end, bool is_known,
                                      const struct gw_error *e);

/* changed is false when the owner has one of that id already. */
struct redis_call *kept_store_put(struct redis *r, const struct kept_record *k,
                                  kept_store_done_callback *fn, void *arg);
/* Another state. changed is false when it is gone. */
struct redis_call *kept_store_update(struct redis *r,
                                     const struct kept_record *k,
                                     kept_store_done_callback *fn, void *arg);
/* changed is false when it was gone already. */
struct redis_call *kept_store_delete(struct redis *r,
                                     const struct kept_record *k,
                                     kept_store_done_callback *fn, void *arg);
struct redis_call *kept_store_get(struct redis *r, struct arena *a,
                                  struct str owner, struct str id,
                                  kept_store_get_callback *fn, void *arg);

/* Records of a kind are forgotten, so many at a time; changed: there may be
 * more. */
struct redis_call *kept_store_forget(struct redis *r, struct str owner,
                                     struct str kind,
                                     kept_store_done_callback *fn, void *arg);

struct kept_query {
    struct str owner, kind;
    struct str provider;      /* STR_NULL: all */
    struct str after, before; /* ids; STR_NULL none */
    /* Instead of `after`: one of a page before, even if it is gone since. */
    const struct kept_record *behind;
    bool is_ascending;
    size_t limit; /* at most LIMIT_LIST_PAGE */
};
struct redis_call *kept_store_page(struct redis *r, struct arena *a,
                                   const struct kept_query *q,
                                   kept_store_page_callback *fn, void *arg);

#endif
