/* admin.h -- what the handlers of keys, teams and usage share.
 *
 * Names and shapes are LiteLLM's, so that its users' scripts keep working. A
 * handler keeps what it needs in t->data; its reply is written into a struct
 * admin_out, which goes with the transaction.
 */
#ifndef FILEMUX_API_ADMIN_H
#define FILEMUX_API_ADMIN_H

#include "gateway/api/api.h"
#include "gateway/store/quota.h"

#define ADMIN_RECORD_MAX (64 * KIB) /* a key's or a team's, as stored */
#define ADMIN_TRIES 5 /* of a change, while others change the same */

struct admin_out {
    struct buf body;
    struct json_out json;
};

void admin_out_init(struct txn *t, struct admin_out *out);
/* Answer 200 with it, or that it has grown too large. */
void admin_reply(struct txn *t, struct admin_out *out);
void admin_refuse(struct txn *t, enum gw_err err, const char *param,
                  const char *fmt, ...) PRINTFLIKE(4, 5);

/* The store has answered; false after having told the client that it failed. */
bool admin_is_answered(struct txn *t, const struct gw_error *e);

/* --- what clients send; false after having refused it --- */

/* All members of the request are among these (NULL-ended). */
bool admin_knows_members(struct txn *t, const struct json *request,
                         const char *const *names);
/* Its providers and its default one exist: a misspelt one would lock the holder
 * out unseen. */
bool admin_knows_providers(struct txn *t, const struct json *request);
/* A string that must be there. */
bool admin_read_name(struct txn *t, const struct json *request,
                     const char *member, struct str *out);
/* A list of 1 to `max` strings. */
bool admin_read_names(struct txn *t, const struct json *list,
                      const char *member, size_t max, struct vkey_strs *out);
/* A number in the query. */
bool admin_read_count(struct txn *t, const char *name, size_t max, size_t dflt,
                      size_t *out);
/* `delete_files`: do the files go with their owner? */
bool admin_read_delete_files(struct txn *t, const struct json *request,
                             bool *out);
/* "jobs": the ids of those that delete them, into an object that is open. */
void admin_put_jobs(struct json_out *j, const struct vkey_strs *jobs);

/* --- keys --- */

/* As the client names it: by its hash, or by its secret. */
void admin_key_hash(struct str named, char out[CRYPTO_SHA256_HEX + 1]);
/* The members of a record, into an object that is open. */
void admin_put_key(struct txn *t, struct json_out *j, const char *hash,
                   struct str record);
void admin_no_such_key(struct txn *t);
/* A secret of the client's own choice in that member of the request, or a new
 * one; false after having refused it. */
bool admin_choose_secret(struct txn *t, const struct json *request,
                         const char *member, struct str *secret);

/* --- usage.c --- */

/* "usage": the counters of a scope, into an object that is open. */
void admin_put_usage(struct json_out *j, const struct quota_usage *u);

#endif
