/* batch_obj.h -- the one normalised batch object, and its JSON toward clients.
 *
 * Ids are told apart from what has none, so that what a provider said can be
 * kept and shown with other ids. Plain data, views borrowed.
 */
#ifndef FILEMUX_CODEC_BATCH_OBJ_H
#define FILEMUX_CODEC_BATCH_OBJ_H

#include "gateway/codec/json.h"

struct batch_obj {
    struct str id; /* ours; in a provider's answer the provider's */
    struct str input_file_id;
    struct str output_file_id, error_file_id; /* STR_NULL: none (yet) */
    struct str status;  /* in lower case, as OpenAI writes it */
    struct str members; /* a JSON object: all members without ids, status among
                           them */
};

/* Read a provider's batch object, forgiving: numbers as strings, members
 * missing or null. What it says of errors goes through clean(arg, text). All
 * is the arena's. UPSTREAM_BAD_RESPONSE unless it is an object with an id and a
 * status. */
typedef struct str batch_obj_clean(void *arg, struct str text);
enum gw_err batch_obj_read(struct arena *a, const struct json *v,
                           batch_obj_clean *clean, void *arg,
                           struct batch_obj *out, struct gw_error *e) MUSTCHECK;

/* What not every provider repeats (endpoint, completion_window, metadata,
 * model) is taken from `known`, an object, where the members have null or
 * nothing. The arena's. */
struct str batch_obj_complete(struct arena *a, struct str members,
                              const struct json *known) MUSTCHECK;

/* The members of one that failed at that time (seconds), for a reason of ours.
 * The arena's. */
struct str batch_obj_failed(struct arena *a, struct str members, int64_t at,
                            const char *code, const char *message) MUSTCHECK;

/* It will not change any more: completed, failed, expired, cancelled. */
bool batch_obj_is_over(struct str status);

/* As an element of what is being built; members are parsed in the arena. */
void batch_obj_put(struct json_out *j, struct arena *a,
                   const struct batch_obj *b, struct str provider);

#endif
