/* key_cache.h -- records of keys and teams in their parsed form; key_store's.
 *
 * A form is kept with the text that it was parsed from. While Redis answers the
 * same text, byte for byte, it is not parsed again; another text makes another
 * form, and who holds the old one keeps it. Nothing here asks Redis.
 */
#ifndef FILEMUX_STORE_KEY_CACHE_H
#define FILEMUX_STORE_KEY_CACHE_H

#include "routing/vkey.h"

/* Refcounted: a holder keeps its pointer valid. */
struct vkey_ref {
    struct vkey key;
    struct str scope;      /* whom quotas are charged to: "k:<key.id>" */
    struct str team_scope; /* "t:<key.team_id>"; "" without a team */
    unsigned refs;
};
struct team_ref {
    struct vteam team;
    unsigned refs;
};
void vkey_ref_hold(struct vkey_ref *k);
void vkey_ref_drop(struct vkey_ref *k); /* NULL is allowed */
void team_ref_hold(struct team_ref *t);
void team_ref_drop(struct team_ref *t); /* NULL is allowed */

struct key_cache;
struct key_cache *key_cache_new(void) MUSTCHECK;
void key_cache_free(struct key_cache *c);

/* What was last kept, or NULL. Borrowed from the table. */
struct vkey_ref *key_cache_key(struct key_cache *c, const char *hash);
struct team_ref *key_cache_team(struct key_cache *c, struct str id);
/* The form of this text, the kept one if it is of the same text. Borrowed from
 * the table. NULL and INTERNAL: the record is broken. */
struct vkey_ref *key_cache_keep_key(struct key_cache *c, const char *hash,
                                    struct str text, struct gw_error *e);
struct team_ref *key_cache_keep_team(struct key_cache *c, struct str id,
                                     struct str text, struct gw_error *e);
void key_cache_forget_key(struct key_cache *c, const char *hash);
void key_cache_forget_team(struct key_cache *c, struct str id);
/* The text that it was parsed from. */
struct str key_cache_key_text(struct vkey_ref *k);
struct str key_cache_team_text(struct team_ref *t);

/* The keys that the operator fixed: a table of its own. */
void key_cache_clear_fixed(struct key_cache *c);
void key_cache_add_fixed(struct key_cache *c, const char *hash,
                         struct str record);
struct vkey_ref *key_cache_fixed(struct key_cache *c, const char *hash);

#endif
