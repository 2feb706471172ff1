/* key_store.h -- virtual keys by the SHA-256 of their secret.
 *
 * A record is read from Redis for every request, so that blocking or deleting a
 * key works on the next one everywhere. What is kept is the parsed form: while
 * the text that Redis answers is byte for byte the last one, it is not parsed
 * again.
 *
 * The kept form is also a guess: key_store_guess() tells the owner that a key
 * had last time, so that a request can ask for the key and for the owner's file
 * in one round trip, and compare afterwards.
 */
#ifndef FILEMUX_STORE_KEY_STORE_H
#define FILEMUX_STORE_KEY_STORE_H

#include "gateway/store/redis.h"
#include "routing/vkey.h"

struct key_store; /* one per worker */

struct key_store *key_store_open(struct redis *r) MUSTCHECK;
/* Calls of key_store_get() under way are cancelled. */
void key_store_close(struct key_store *s);

/* Parsed keys are refcounted: a holder keeps its pointer valid. */
struct vkey_ref {
    struct vkey key;
    unsigned refs;
};
void vkey_ref_hold(struct vkey_ref *k);
void vkey_ref_drop(struct vkey_ref *k); /* NULL is allowed */

/* Keys fixed by the operator (configuration `keys:`), looked at before Redis
 * and beyond the reach of the API. Replaces the former set. record is JSON as
 * vkey_parse() takes it. */
struct key_store_fixed {
    char hash[CRYPTO_SHA256_HEX + 1];
    struct str record;
};
void key_store_set_fixed(struct key_store *s, const struct key_store_fixed *v,
                         size_t n);

/* k is NULL when there is no such key (e->err GW_OK). Valid during the call
 * unless held. A fixed key also answers through the loop. */
typedef void key_store_get_callback(void *arg, struct vkey_ref *k,
                                    const struct gw_error *e);
struct key_store_call;
struct key_store_call *key_store_get(struct key_store *s, const char *hash,
                                     key_store_get_callback *fn, void *arg);
void key_store_cancel(struct key_store_call *c);
/* What the key was last time, or NULL. Borrowed for the turn. */
const struct vkey *key_store_guess(struct key_store *s, const char *hash);

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
 * the callback gets the record as it is now. Not for key_alias. */
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

/* A page of keys, the newest first; v and what it points to are the arena's. */
struct key_store_entry {
    char hash[CRYPTO_SHA256_HEX + 1];
    struct str record;
};
typedef void key_store_list_callback(void *arg, const struct key_store_entry *v,
                                     size_t n, int64_t total,
                                     const struct gw_error *e);
struct redis_call *key_store_list(struct key_store *s, struct arena *a,
                                  size_t offset, size_t limit,
                                  key_store_list_callback *fn, void *arg);

#endif
