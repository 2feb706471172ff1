/* A parsed record stands in an arena of its own, with its text; whoever drops
 * the last reference frees the arena. A table holds one reference to each of
 * its own. A full one lets go of its oldest.
 */
#include "gateway/store/key_cache.h"

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"

#define uthash_fatal(text) BUG("%s", text)
#include <uthash.h>

struct parsed_key {
    struct vkey_ref ref;
    struct arena *arena; /* in which this stands */
    struct str text;
    UT_hash_handle hh; /* by ref.key.hash */
};

struct parsed_team {
    struct team_ref ref;
    struct arena *arena;
    struct str id, text;
    UT_hash_handle hh; /* by id */
};

struct key_cache {
    struct parsed_key *keys, *fixed;
    struct parsed_team *teams;
};

/* --- references --- */

void vkey_ref_hold(struct vkey_ref *k)
{
    k->refs++;
}

void vkey_ref_drop(struct vkey_ref *k)
{
    if (!k)
        return;
    ASSERT(k->refs > 0);
    if (--k->refs == 0)
        arena_free(container_of(k, struct parsed_key, ref)->arena);
}

void team_ref_hold(struct team_ref *t)
{
    t->refs++;
}

void team_ref_drop(struct team_ref *t)
{
    if (!t)
        return;
    ASSERT(t->refs > 0);
    if (--t->refs == 0)
        arena_free(container_of(t, struct parsed_team, ref)->arena);
}

struct str key_cache_key_text(struct vkey_ref *k)
{
    return container_of(k, struct parsed_key, ref)->text;
}

struct str key_cache_team_text(struct team_ref *t)
{
    return container_of(t, struct parsed_team, ref)->text;
}

/* --- parsing; the result has one reference, the caller's --- */

static struct parsed_key *parse_key(const char *hash, struct str text,
                                    struct gw_error *e)
{
    struct arena *a = arena_new();
    struct parsed_key *p = arena_new_of(a, struct parsed_key);
    struct vkey *k = &p->ref.key;

    p->arena = a;
    p->text = arena_dup(a, text);
    p->ref.refs = 1;
    if (vkey_parse(a, hash, p->text, k, e) != GW_OK) {
        log_error("the record of the key %.8s... is broken: %s", hash,
                  e->message);
        arena_free(a);
        return NULL;
    }
    p->ref.scope = arena_printf(a, "k:%.*s", STR_ARG(k->id));
    p->ref.team_scope = STR("");
    if (k->team_id.n)
        p->ref.team_scope = arena_printf(a, "t:%.*s", STR_ARG(k->team_id));
    return p;
}

static struct parsed_team *parse_team(struct str id, struct str text,
                                      struct gw_error *e)
{
    struct arena *a = arena_new();
    struct parsed_team *p = arena_new_of(a, struct parsed_team);

    p->arena = a;
    p->id = arena_dup(a, id);
    p->text = arena_dup(a, text);
    p->ref.refs = 1;
    if (vteam_parse(a, p->text, &p->ref.team, e) == GW_OK)
        return p;
    log_error("the record of the team '%.*s' is broken: %s", STR_ARG(id),
              e->message);
    arena_free(a);
    return NULL;
}

/* --- tables --- */

static struct parsed_key *find_key(struct parsed_key *table, const char *hash)
{
    struct parsed_key *p;

    HASH_FIND(hh, table, hash, CRYPTO_SHA256_HEX, p);
    return p;
}

static struct parsed_team *find_team(struct key_cache *c, struct str id)
{
    struct parsed_team *p;

    HASH_FIND(hh, c->teams, id.p, id.n, p);
    return p;
}

static void add_key(struct parsed_key **table, struct parsed_key *p)
{
    HASH_ADD(hh, *table, ref.key.hash[0], CRYPTO_SHA256_HEX, p);
}

static void forget_key(struct parsed_key **table, struct parsed_key *p)
{
    if (!p)
        return;
    HASH_DEL(*table, p);
    vkey_ref_drop(&p->ref);
}

static void forget_team(struct key_cache *c, struct parsed_team *p)
{
    if (!p)
        return;
    HASH_DEL(c->teams, p);
    team_ref_drop(&p->ref);
}

struct vkey_ref *key_cache_key(struct key_cache *c, const char *hash)
{
    struct parsed_key *p = find_key(c->keys, hash);

    return p ? &p->ref : NULL;
}

struct team_ref *key_cache_team(struct key_cache *c, struct str id)
{
    struct parsed_team *p = find_team(c, id);

    return p ? &p->ref : NULL;
}

struct vkey_ref *key_cache_keep_key(struct key_cache *c, const char *hash,
                                    struct str text, struct gw_error *e)
{
    struct parsed_key *p = find_key(c->keys, hash);

    if (p && str_eq(p->text, text))
        return &p->ref;
    forget_key(&c->keys, p);
    p = parse_key(hash, text, e);
    if (!p)
        return NULL;
    if (HASH_COUNT(c->keys) >= LIMIT_KEPT_KEYS)
        forget_key(&c->keys, c->keys); /* the head is the oldest */
    add_key(&c->keys, p);
    return &p->ref;
}

struct team_ref *key_cache_keep_team(struct key_cache *c, struct str id,
                                     struct str text, struct gw_error *e)
{
    struct parsed_team *p = find_team(c, id);

    if (p && str_eq(p->text, text))
        return &p->ref;
    forget_team(c, p);
    p = parse_team(id, text, e);
    if (!p)
        return NULL;
    if (HASH_COUNT(c->teams) >= LIMIT_KEPT_TEAMS)
        forget_team(c, c->teams);
    HASH_ADD_KEYPTR(hh, c->teams, p->id.p, p->id.n, p);
    return &p->ref;
}

void key_cache_forget_key(struct key_cache *c, const char *hash)
{
    forget_key(&c->keys, find_key(c->keys, hash));
}

void key_cache_forget_team(struct key_cache *c, struct str id)
{
    forget_team(c, find_team(c, id));
}

/* --- fixed keys --- */

void key_cache_clear_fixed(struct key_cache *c)
{
    while (c->fixed)
        forget_key(&c->fixed, c->fixed);
}

void key_cache_add_fixed(struct key_cache *c, const char *hash,
                         struct str record)
{
    struct gw_error e = {0};
    struct parsed_key *p = parse_key(hash, record, &e);

    forget_key(&c->fixed, find_key(c->fixed, hash));
    if (p)
        add_key(&c->fixed, p);
}

struct vkey_ref *key_cache_fixed(struct key_cache *c, const char *hash)
{
    struct parsed_key *p = find_key(c->fixed, hash);

    return p ? &p->ref : NULL;
}

/* --- the whole --- */

struct key_cache *key_cache_new(void)
{
    return xcalloc(1, sizeof(struct key_cache));
}

void key_cache_free(struct key_cache *c)
{
    while (c->keys)
        forget_key(&c->keys, c->keys);
    while (c->teams)
        forget_team(c, c->teams);
    key_cache_clear_fixed(c);
    free(c);
}
