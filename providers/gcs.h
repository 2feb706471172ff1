/* gcs.h -- what the two halves of the types gcs and vertex share.
 *
 * gcs.c has the configuration, the names of objects, and every operation but
 * create, whose exchanges are in gcs_upload.c.
 */
#ifndef FILEMUX_PROVIDERS_GCS_H
#define FILEMUX_PROVIDERS_GCS_H

#include "providers/google_auth.h"
#include "providers/prov_batch.h"
#include "providers/prov_util.h"

/* A base_url with a path of its own, kept without "/storage/v1". */
#define GCS_URL_BYTES 512
#define GCS_API "/storage/v1"
#define GCS_ID_PREFIX "gs://"

struct gcs_conf {
    const char *bucket, *prefix;
    struct google_auth auth;
    const char *user_project;
    int64_t chunk_bytes, upload_retries;
    const char *project, *location; /* vertex: of its jobs */
    /* --- vertex: of its batches --- */
    const char *batch_url, *batch_model, *batch_prefix;
    char batch_host[GCS_URL_BYTES]; /* where batch_url may point */
    char url[GCS_URL_BYTES];        /* where base_url may point */
};

enum gcs_request { GCS_WHOLE, GCS_START, GCS_CHUNK, GCS_ASK };

enum vertex_step { VERTEX_ASK, VERTEX_LOOK, VERTEX_OUTPUT, VERTEX_END };

struct vertex_batch {
    enum vertex_step step;
    struct prov_batch seen;
    struct str model;
    struct str bucket, folder; /* where its output is */
};

/* An upload that is under way; of other operations, whether it is over. */
struct gcs_state {
    bool is_over;
    enum gcs_request request; /* the one last described */
    struct str session;       /* a secret: who knows it may write */
    bool has_piece;           /* op->piece is of this upload */
    int64_t start;            /* where in the file op->piece begins */
    int64_t stored;           /* how much of the file is stored for certain */
    bool must_ask;            /* it may be more: the session is asked */
    bool may_be_complete;     /* all was sent, and no refusal came */
    bool must_renew, has_renewed; /* the token was refused, once */
    int failures;                 /* since something was stored last */
    int64_t wait_ms;              /* before the next request */
    struct vertex_batch batch;    /* of vertex: of the batch operations */
};

static inline const struct gcs_conf *gcs_own(const struct prov_op *op)
{
    return op->conf->own;
}

/* Credentials, and who pays. */
void gcs_authorise(struct prov_op *op, struct prov_exchange *x);
/* A path below the bucket in conf: "o/name", "o?…". */
void gcs_describe_delete(struct prov_op *op, struct str name,
                         struct prov_exchange *x);
/* The name under which an upload is stored. */
struct str gcs_new_name(const struct prov_op *op);
/* "gs://bucket/name" of an id, be it a bare name. */
struct str gcs_uri(const struct prov_op *op, struct str id);
/* False without a usable name. */
bool gcs_read_object(struct prov_op *op, const struct json *v,
                     struct file_obj *out);
enum gw_err gcs_error(struct prov_op *op, const struct http_res *res,
                      struct gw_error *e);

/* --- gcs_upload.c --- */

enum prov_step gcs_next_create(struct prov_op *op, struct prov_exchange *x);
enum gw_err gcs_read_create(struct prov_op *op, const struct http_res *res,
                            struct gw_error *e);
bool gcs_broken(struct prov_op *op, const struct gw_error *e);
bool gcs_undo(struct prov_op *op, struct prov_exchange *x);

/* --- vertex_batch.c --- */

enum prov_step vertex_next_batch(struct prov_op *op, struct prov_exchange *x);
enum gw_err vertex_read_batch(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e) MUSTCHECK;
enum gw_err vertex_check_batch(const struct provider_conf *c,
                               const struct json *request, struct str model,
                               struct gw_error *e) MUSTCHECK;
/* Its keys, and where its jobs are. */
enum gw_err vertex_check(struct gcs_conf *o, struct gw_error *e) MUSTCHECK;

#endif
