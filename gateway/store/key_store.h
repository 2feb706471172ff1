/* key_store.h -- virtual keys by the SHA-256 of their secret, and the admission
 * of their requests.
 *
 * The records of a key and of its team are read from Redis for every request,
 * so that blocking or deleting one works on the next request everywhere. What
 * is kept is the parsed form (key_cache.h): while the text that Redis answers
 * is byte for byte the last one, it is not parsed again.
 *
 * A key or a team may limit its requests per minute and at a time. Then one
 * script compares the records with what we know of them and, if they are the
 * same, admits the request to all of its scopes or to none: one round trip.
 * When they differ it takes nothing and answers them; then we ask once more.
 *
 * The kept form is also a guess: key_store_guess() tells the owner that a key
 * had last time, so that a request can ask for the key and for the owner's file
 * in one round trip, and compare afterwards.
 */
#ifndef FILEMUX_STORE_KEY_STORE_H
#define FILEMUX_STORE_KEY_STORE_H

#include "gateway/store/key_cache.h"
#include "gateway/store/quota.h"
#include "gateway/store/redis.h"

struct key_store; /* one per worker */

struct key_store *key_store_open(struct redis *r) MUSTCHECK;
/* Calls of key_store_get() under way are cancelled. */
void key_store_close(struct key_store *s);

/* Keys fixed by the operator (configuration `keys:`), looked at before Redis
 * and beyond the reach of the API; they have no team and are always admitted.
 * Replaces the former set. record is JSON as vkey_parse() takes it. */
struct key_store_fixed {
    char hash[CRYPTO_SHA256_HEX + 1];
    struct str record;
};
void key_store_set_fixed(struct key_store *s, const struct key_store_fixed *v,
                         size_t n);

/* --- admission --- */

struct key_request {
    const char *hash;
    struct str request_id; /* "": does not count as under way; at most
                              LIMIT_ID_BYTES */
    int64_t lease_ms;      /* of its counting as under way */
};

struct key_admission {
    struct quota_verdict verdict; /* its scope: 0 the key, 1 the team */
    /* Of the tighter scope; rpm_limit 0: there is none. */
    int64_t rpm_limit, rpm_remaining;
    int64_t rpm_reset_ms; /* until there is one more */
    bool is_under_way;    /* it counts: key_store_leave() when it ends */
};

/* k is NULL when there is no such key (e->err GW_OK); team is NULL when the key
 * has none or that has no record. Whether key and team may be used (blocked,
 * expired) is the caller's to check; one that may not is not charged. k and
 * team are valid during the call unless held. A fixed key also answers through
 * the loop. */
typedef void key_store_get_callback(void *arg, struct vkey_ref *k,
                                    struct team_ref *team,
                                    const struct key_admission *a,
                                    const struct gw_error *e);
struct key_store_call;
struct key_store_call *key_store_get(struct key_store *s,
                                     const struct key_request *q,
                                     key_store_get_callback *fn, void *arg);
/* What it may have taken is given back; should Redis not have known the script
 * yet, when the lease ends. */
void key_store_cancel(struct key_store_call *c);
/* What the key was last time, or NULL. Borrowed for the turn. */
const struct vkey *key_store_guess(struct key_store *s, const char *hash);

/* The request ends: it does not count as under way any longer. Sent and not
 * waited for; should it get lost, the lease ends. */
void key_store_leave(struct key_store *s, struct str request_id);
/* Under this name journal_renew() renews the lease of a request under way. */
struct str key_store_slot(struct arena *a, struct str request_id) MUSTCHECK;

/* Whom the requests of a key are charged to, the key first, for quota.h; views
 * of k. team may be NULL. */
void key_store_who(const struct vkey_ref *k, const struct team_ref *team,
                   struct quota_who *who);

/* --- administration --- */
typedef void key_store_done_callback(void *arg, bool changed,
                                     const struct gw_error *e);
/* The stored text; STR_NULL when absent. */
typedef void key_store_raw_callback(void *arg, struct str record,
                                    const struct gw_error *e);

/* A new record; changed is false when the key exists or the alias is taken (""
 * is none). */
struct redis_call *key_store_put(struct key_store *s, const char *hash,
                                 struct str alias, int64_t created_s,
                                 struct str record, key_store_done_callback *fn,
                                 void *arg);
/* Another record for a key, under the same hash or (a new secret) under another
 * one; old_record is what it was made of, byte for byte. changed is false when
 * the stored record is not that one any longer, or the new hash or the alias is
 * taken: nothing was written; read it again. */
struct redis_call *key_store_replace(struct key_store *s, const char *old_hash,
                                     struct str old_record, const char *hash,
                                     struct str alias, struct str record,
                                     key_store_done_callback *fn, void *arg);
/* Set one member of an existing record atomically (value is JSON text);
 * the callback gets the record as it is now. Not for key_alias, team_id and
 * user_id, under which the key is found. */
struct redis_call *key_store_set_member(struct key_store *s, const char *hash,
                                        const char *member, struct str value,
                                        key_store_raw_callback *fn, void *arg);
struct redis_call *key_store_raw(struct key_store *s, const char *hash,
                                 key_store_raw_callback *fn, void *arg);
struct redis_call *key_store_delete(struct key_store *s, const char *hash,
                                    key_store_done_callback *fn, void *arg);
/* The hash that an alias belongs to; STR_NULL when none. */
struct redis_call *key_store_by_alias(struct key_store *s, struct str alias,
                                      key_store_raw_callback *fn, void *arg);

/* A page of keys, the newest first; v and what it points to are the arena's.
 * total: of all pages. */
struct key_store_query {
    struct str team, user, alias; /* exact; STR_NULL or "": any */
    size_t offset, limit;
};
struct key_store_entry {
    char hash[CRYPTO_SHA256_HEX + 1];
    struct str record;
};
typedef void key_store_list_callback(void *arg, const struct key_store_entry *v,
                                     size_t n, int64_t total,
                                     const struct gw_error *e);
struct redis_call *key_store_list(struct key_store *s, struct arena *a,
                                  const struct key_store_query *q,
                                  key_store_list_callback *fn, void *arg);

/* The connection that it was opened with; for store/key_admin.c. */
struct redis *key_store_redis(const struct key_store *s);

#endif
