/* upload_store.h -- uploads in parts, each under its owner.
 *
 *     pending ──► completing ──► completed
 *        │  ▲─────────┘ failed, or its lease ended without a file
 *        ├──► cancelled
 *        └──► expired
 *
 * A part is under way before its first byte is stored, with a lease, and stored
 * when its bytes are counted; both only while the upload is pending, and never
 * more bytes than were declared. What is under way is known by the name it has
 * where it is held: so nothing is lost of which nobody knows. Times are Redis's
 * own clock.
 *
 * Like file_store.h: every look-up carries the owner, calls answer through a
 * callback on the worker's loop.
 */
#ifndef FILEMUX_STORE_UPLOAD_STORE_H
#define FILEMUX_STORE_UPLOAD_STORE_H

#include "gateway/base/arena.h"
#include "gateway/store/redis.h"

/* No upload lives longer; one is remembered for so long after its life. */
#define UPLOAD_LIFE_MAX_MS (INT64_C(24) * 3600 * 1000)
#define UPLOAD_KEPT_MS (INT64_C(7) * 24 * 3600 * 1000)

/* What parts are called where they are held; behind it comes a ULID. */
#define UPLOAD_OBJECT_PREFIX "part-"

enum upload_state {
    UPLOAD_NONE, /* there is no such upload */
    UPLOAD_PENDING,
    UPLOAD_COMPLETING,
    UPLOAD_COMPLETED,
    UPLOAD_CANCELLED,
    UPLOAD_EXPIRED,
    /* Answers about a part: */
    UPLOAD_FULL, /* it would be more than was declared */
    UPLOAD_MANY, /* more than LIMIT_UPLOAD_PARTS */
    UPLOAD_GONE, /* the part was given up meanwhile */
};
/* Is that the name, or the path, of a part that is held? */
bool upload_store_is_part(struct str upstream_id);

/* "pending" and so on; "" for UPLOAD_NONE. */
const char *upload_state_name(enum upload_state s);

struct upload_record {
    struct str id, owner;
    struct str key_hash;    /* of the key that created it */
    struct str provider;    /* where the file goes */
    struct str upstream_id; /* the upload there; "": the parts are held here */
    struct str hold;        /* the provider that holds them; "": our own */
    struct str filename, purpose, content_type;
    int64_t bytes; /* of the file */
    int64_t created_at, expires_at, expires_after_s;
};

/* One that is stored. */
struct upload_part {
    struct str id;
    struct str upstream_id; /* STR_NULL: there is no such part */
    int64_t bytes;
};

struct upload_view {
    struct upload_record record;
    enum upload_state state;
    int64_t stored;            /* bytes of its parts */
    struct upload_part *parts; /* those that were asked for, in that order */
    size_t nparts;
};

/* v is NULL when there is none (e->err GW_OK). Views live in the arena that was
 * given to the call. */
typedef void upload_look_callback(void *arg, const struct upload_view *v,
                                  const struct gw_error *e);
/* left: bytes that a part may have. */
typedef void upload_state_callback(void *arg, enum upload_state state,
                                   int64_t left, const struct gw_error *e);
typedef void upload_done_callback(void *arg, bool changed,
                                  const struct gw_error *e);

/* changed is false when the id exists already. */
struct redis_call *upload_store_put(struct redis *r,
                                    const struct upload_record *u,
                                    int64_t life_ms, upload_done_callback *fn,
                                    void *arg);
/* parts (borrowed until then) are the ids to look up as well. */
struct redis_call *upload_store_look(struct redis *r, struct arena *a,
                                     struct str owner, struct str id,
                                     const struct str *parts, size_t nparts,
                                     upload_look_callback *fn, void *arg);

/* A part of so many bytes (0: unknown) is under way, for lease_ms; is_again: it
 * was before. It is if the state is UPLOAD_PENDING. */
struct redis_call *upload_store_begin(struct redis *r,
                                      const struct upload_record *u,
                                      struct str part_id, struct str object,
                                      int64_t bytes, int64_t lease_ms,
                                      bool is_again, upload_state_callback *fn,
                                      void *arg);
/* It is stored: UPLOAD_PENDING if it counts. */
struct redis_call *upload_store_add(struct redis *r,
                                    const struct upload_record *u,
                                    const struct upload_part *part,
                                    upload_state_callback *fn, void *arg);
/* These parts are nowhere any more. */
struct redis_call *upload_store_drop(struct redis *r, struct str owner,
                                     struct str id, const struct str *parts,
                                     size_t n, upload_done_callback *fn,
                                     void *arg);

/* Complete it, into the file of that id, for lease_ms: UPLOAD_PENDING if it may
 * be. Again, to go on. */
struct redis_call *upload_store_take(struct redis *r,
                                     const struct upload_record *u,
                                     struct str file_id, int64_t lease_ms,
                                     upload_state_callback *fn, void *arg);
/* It ends as `state` says; PENDING gives back what upload_store_take() took.
 * The view's state is what it is now: another one where there is no such way.
 * file_id: of the two that complete; else STR(""). */
struct redis_call *upload_store_end(struct redis *r, struct arena *a,
                                    struct str owner, struct str id,
                                    enum upload_state state, struct str file_id,
                                    upload_look_callback *fn, void *arg);
/* UPLOAD_PENDING in short, for who does not wait. */
void upload_store_give_back(struct redis *r, struct str owner, struct str id,
                            struct str file_id);
/* Some of its parts, also those that were under way, by the names they have
 * where they are held: the view's parts; none: there are none, but those that
 * are still under way: view->stored of them. */
struct redis_call *upload_store_left(struct redis *r, struct arena *a,
                                     struct str owner, struct str id,
                                     upload_look_callback *fn, void *arg);

#endif
