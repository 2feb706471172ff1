/* file_obj.h -- the one normalised file object, and its JSON toward clients.
 *
 * Whatever a provider sends becomes this; whatever the store holds is made of
 * it. Plain data, views borrowed.
 */
#ifndef FILEMUX_CODEC_FILE_OBJ_H
#define FILEMUX_CODEC_FILE_OBJ_H

#include "gateway/codec/json.h"

enum file_status { FILE_UPLOADED, FILE_PROCESSED, FILE_ERROR, FILE_DELETED };

struct file_obj {
    struct str id;      /* ours; in a provider's answer the provider's */
    int64_t bytes;      /* -1: unknown */
    int64_t created_at; /* seconds; 0: unknown */
    int64_t expires_at; /* seconds; 0: never */
    struct str filename;
    struct str purpose;
    enum file_status status;
    struct str status_details;   /* STR_NULL: none */
    struct str provider;         /* its name in the configuration */
    struct str sha256;           /* hex or STR_NULL */
    const struct str *providers; /* all that have it, the one above first */
    size_t nproviders;           /* 0: that one alone */
};

/* "processed" and so on. */
const char *file_status_name(enum file_status s);
/* Any provider's word for a status, in any case: ACTIVE,
 * READY, ok, pending, PROCESSING, … Unknown and absent are FILE_PROCESSED. */
enum file_status file_status_of(struct str word);

/* As a member or element of what is being built: the object of the OpenAI API
 * with all its members, and "filemux": {"provider"[, "providers"][, "sha256"]}.
 */
void file_obj_put(struct json_out *j, const char *name,
                  const struct file_obj *f);

/* Read a provider's file object, forgiving: numbers
 * as strings; times as int, float, digits, RFC 3339 or milliseconds; members
 * missing or null; createdAt. UPSTREAM_BAD_RESPONSE unless it is an object
 * with an id (a string, 1 to LIMIT_UPSTREAM_ID_BYTES). */
enum gw_err file_obj_read(const struct json *v, struct file_obj *out,
                          struct gw_error *e) MUSTCHECK;
/* Seconds since 1970 from any of the forms above; 0 when none. */
int64_t file_obj_time(const struct json *v);
/* The same of a text that stood elsewhere. */
int64_t file_obj_time_text(struct str text);

#endif
