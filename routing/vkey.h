/* vkey.h -- a virtual key: who its holder is and what he may do.
 *
 * The record is JSON with LiteLLM's member names plus filemux's own. The
 * secret ("sk-…") is shown once; what is stored is its SHA-256. Pure.
 */
#ifndef FILEMUX_ROUTING_VKEY_H
#define FILEMUX_ROUTING_VKEY_H

#include "gateway/base/crypto.h"
#include "gateway/codec/json.h"

/* Operations a key can be limited to (`operations`), a bit set. */
enum vkey_ops {
    VKEY_CREATE = 1 << 0,
    VKEY_READ = 1 << 1, /* retrieve */
    VKEY_LIST = 1 << 2,
    VKEY_DELETE = 1 << 3,
    VKEY_CONTENT = 1 << 4,
    VKEY_BATCH = 1 << 5,
    VKEY_FORWARD = 1 << 6, /* calls of the API that are passed on */
    VKEY_OPS_ALL = (1 << 7) - 1,
    VKEY_NO_OP = 1 << 7, /* for routes: any key may ask */
};

struct vkey_strs {
    struct str *v;
    size_t n;
};

/* What a key or a team may use; 0: no limit. */
struct vkey_limits {
    int64_t rpm;      /* requests in any 60 seconds */
    int64_t parallel; /* requests at a time */
    int64_t file_bytes;
    int64_t files;
    int64_t storage_bytes;
    int64_t upload_day_bytes, download_day_bytes; /* of a UTC day */
    int64_t active_batches;
    int64_t batch_lines_day; /* of a UTC day */
};

/* Views point into the arena of vkey_parse(). */
struct vkey {
    char hash[CRYPTO_SHA256_HEX + 1];
    struct str id; /* stays through /key/regenerate: its first hash */
    struct str key_alias, key_name; /* key_name: "sk-...abcd" */
    struct str team_id, user_id;
    bool blocked;
    int64_t expires_s; /* 0: never */
    int64_t created_s;
    unsigned operations;        /* vkey_ops */
    struct vkey_strs providers; /* empty: all */
    struct vkey_strs purposes;  /* empty: all */
    struct vkey_strs models;    /* empty: all */
    struct vkey_strs tags;
    struct str default_provider; /* "" none */
    struct vkey_limits limits;
    int64_t file_expiry_s; /* 0: none */
    struct str scope;      /* of its quotas: "k:id" */
    struct str owner;      /* "t:team", "u:user" or "k:id" */
};

/* A team: what holds for all its keys together. */
struct vteam {
    struct str scope; /* of its quotas: "t:team" */
    struct str team_id, team_alias;
    bool blocked;
    unsigned operations;
    struct vkey_strs providers, purposes, models; /* empty: all */
    struct str default_provider;                  /* "" none */
    struct vkey_limits limits;
    int64_t file_expiry_s; /* 0: none */
};

/* Read a stored record. hash is 64 hex characters. INTERNAL if the record is
 * broken. */
enum gw_err vkey_parse(struct arena *a, const char *hash, struct str record,
                       struct vkey *out, struct gw_error *e) MUSTCHECK;

/* What vkey_build() is told beside the request. */
struct vkey_build {
    struct str key_name; /* "": the old record's */
    struct str key_id;   /* "": the old record's, or none */
    int64_t now_s;
};

/* Check the members that a client sent to /key/generate (or /key/update) and
 * write the record to be stored. `old` is the record that is changed, or NULL
 * for a new one: what the request does not mention stays, what it sets to null
 * or "" is cleared. Members of LiteLLM's that mean nothing here are dropped;
 * unknown members, wrong types and values are INVALID_VALUE with param. request
 * NULL is an empty one. */
enum gw_err vkey_build(struct arena *a, const struct json *request,
                       const struct json *old, const struct vkey_build *b,
                       struct buf *record, struct gw_error *e) MUSTCHECK;

/* The record as /key/info shows it, in LiteLLM's shape: every member, times as
 * text, the hash as "token" unless it is NULL; never a secret. Into an object
 * that is open. */
void vkey_put_members(struct json_out *j, const char *hash,
                      const struct json *record);

/* --- teams (vteam.c), in the same manner --- */

enum gw_err vteam_parse(struct arena *a, struct str record, struct vteam *out,
                        struct gw_error *e) MUSTCHECK;
/* team_id "" is the old record's, for a new team the request's. */
enum gw_err vteam_build(struct arena *a, const struct json *request,
                        const struct json *old, struct str team_id,
                        int64_t now_s, struct buf *record,
                        struct gw_error *e) MUSTCHECK;
void vteam_put_members(struct json_out *j, const struct json *record);

/* --- what a key may; team is the key's, NULL when it has none --- */

/* May it be used now? KEY_BLOCKED, KEY_EXPIRED. */
enum gw_err vkey_check(const struct vkey *k, const struct vteam *team,
                       int64_t now_s, struct gw_error *e) MUSTCHECK;
enum gw_err vkey_check_op(const struct vkey *k, const struct vteam *team,
                          enum vkey_ops op, struct gw_error *e) MUSTCHECK;
enum gw_err vkey_check_purpose(const struct vkey *k, const struct vteam *team,
                               struct str purpose,
                               struct gw_error *e) MUSTCHECK;
enum gw_err vkey_check_model(const struct vkey *k, const struct vteam *team,
                             struct str model, struct gw_error *e) MUSTCHECK;
/* May one of the two use some models only? */
bool vkey_is_bound_to_models(const struct vkey *k, const struct vteam *team);
bool vkey_may_use(const struct vkey *k, const struct vteam *team,
                  struct str provider);
/* The key's own before the team's: "" and 0 when neither has one. */
struct str vkey_default_provider(const struct vkey *k,
                                 const struct vteam *team);
int64_t vkey_file_expiry(const struct vkey *k, const struct vteam *team);
/* The smaller of both; 0 without a limit. */
int64_t vkey_max_file_bytes(const struct vkey *k, const struct vteam *team);

/* A new secret "sk-" and 32 characters, and its hash. */
#define VKEY_SECRET_SIZE 40
void vkey_new_secret(char out[VKEY_SECRET_SIZE]);
/* "sk-...abcd" */
struct str vkey_mask(struct arena *a, struct str secret);
void vkey_hash(struct str secret, char out[CRYPTO_SHA256_HEX + 1]);

#endif
