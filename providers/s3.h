/* s3.h -- what the files of the types s3 and bedrock share; for nobody else.
 *
 *   s3.c         the operations, and the types
 *   s3_upload.c  create: one object, or part by part
 *   s3_wire.c    URLs, signatures, ids, what an object is
 *   s3_error.c   what the codes of S3 mean
 *   s3_conf.c    the keys of both types, and their check
 *   bedrock_batch.c  the batches of bedrock
 */
#ifndef FILEMUX_PROVIDERS_S3_H
#define FILEMUX_PROVIDERS_S3_H

#include "providers/aws_creds.h"
#include "providers/prov_batch.h"
#include "providers/prov_util.h"

#define S3_PARTS_MAX 10000
#define S3_ID_PREFIX "s3://"

enum s3_addressing { S3_ADDRESSING_AUTO, S3_ADDRESSING_PATH, S3_VIRTUAL };
enum s3_sse { S3_SSE_NONE, S3_SSE_AES256, S3_SSE_KMS };

struct s3_conf {
    const char *bucket, *prefix;
    int addressing;
    int sse;
    const char *sse_kms_key_id;
    int64_t part_size;
    struct aws_conf aws;
    /* --- bedrock: of its batches; NULL for s3 --- */
    const char *role_arn, *batch_url, *batch_model, *batch_prefix;
    char batch_host[96]; /* where batch_url may point */
    /* --- found by the check --- */
    struct str region;
    bool is_given_url; /* base_url was */
    char endpoint[96]; /* where base_url may point */
};

/* --- s3_conf.c --- */
extern const struct conf_section s3_section, bedrock_section;
enum gw_err s3_check(struct provider_conf *c, struct gw_error *e) MUSTCHECK;
bool s3_is_bucket(struct str name);

static inline const struct s3_conf *s3_own(const struct prov_op *op)
{
    return op->conf->own;
}

/* --- s3_wire.c --- */
struct s3_object {
    struct str bucket, key;
};
/* What the operation is about: the new object, or that of upstream_id, which is
 * "s3://bucket/key", or an object_name that an upload was to have. */
struct s3_object s3_object_of(struct prov_op *op);
struct str s3_id(struct arena *a, struct s3_object o);
/* Start a request to the object, or to the bucket when the key is "". The query
 * is encoded, without its question mark. */
void s3_request(struct prov_op *op, struct prov_exchange *x, const char *method,
                struct s3_object o, struct str query);
/* The last of a request's fields; of one to another service of AWS's, too. */
void s3_sign(struct prov_op *op, struct prov_exchange *x, struct str payload);
void s3_sign_for(struct prov_op *op, struct prov_exchange *x,
                 const char *service, struct str payload);
/* What must be said when an object is made: type, metadata, encryption. */
void s3_add_upload_fields(struct prov_op *op, struct prov_exchange *x);
/* From the answer to HEAD or GET. */
struct file_obj s3_read_head(struct prov_op *op, const struct http_res *res);

/* --- s3_error.c --- */
/* What an error body says; "" is what it does not say. */
struct s3_said {
    struct str code, region;
};
struct s3_said s3_said(struct prov_op *op, const struct http_res *res);
/* Whether the same request may well succeed in a moment. */
bool s3_is_transient(int status, struct str code);
/* An answer that is an error, be its status 200, as gw_error. */
enum gw_err s3_error(struct prov_op *op, const struct http_res *res,
                     struct gw_error *e);
/* The answer's outermost element, or UPSTREAM_BAD_RESPONSE and STR_NULL. */
struct str s3_document(struct prov_op *op, const struct http_res *res,
                       const char *name, struct gw_error *e);

/* --- s3_upload.c --- */
struct s3_part {
    struct s3_part *next;
    struct str etag;
};

enum s3_upload_step {
    S3_BEGIN,    /* nothing is known of the file's length */
    S3_PIECE,    /* a piece has been read */
    S3_PUT,      /* the one piece */
    S3_STREAM,   /* the stream, whose length is known */
    S3_INITIATE, /* an upload in parts */
    S3_RECOVER,  /* the id of one that was begun, and not answered */
    S3_PART,
    S3_COMPLETE,
    S3_CONFIRM, /* an object that may be complete */
    S3_END,
};

enum s3_renewal { S3_POSSIBLE, S3_WANTED, S3_DONE }; /* of keys, per step */

struct s3_upload {
    enum s3_upload_step step;
    int tries; /* of what the step sends, that failed */
    int64_t wait_ms;
    enum s3_renewal renewal;
    struct str id;   /* of an upload in parts, once there is one */
    struct str hash; /* of the piece */
    struct s3_part *parts, **end;
    int nparts;
    int64_t sent;     /* bytes, the piece being sent left out */
    bool may_be_made; /* an object may be there, though nobody said so */
};

enum prov_step s3_upload_next(struct prov_op *op, struct s3_upload *u,
                              struct prov_exchange *x);
enum gw_err s3_upload_reply(struct prov_op *op, struct s3_upload *u,
                            const struct http_res *res,
                            struct gw_error *e) MUSTCHECK;
bool s3_upload_broken(struct prov_op *op, struct s3_upload *u,
                      const struct gw_error *e);
bool s3_upload_undo(struct prov_op *op, struct s3_upload *u,
                    struct prov_exchange *x);

/* --- bedrock_batch.c --- */
enum bedrock_step { BEDROCK_ASK, BEDROCK_LOOK, BEDROCK_MANIFEST, BEDROCK_END };

struct bedrock_batch {
    enum bedrock_step step;
    struct prov_batch seen;
    struct s3_object manifest;
    struct str output; /* the object beside it; "" when there is none */
    bool is_again;     /* what was to be created is asked for twice */
};

enum prov_step bedrock_next_batch(struct prov_op *op, struct bedrock_batch *s,
                                  struct prov_exchange *x);
enum gw_err bedrock_read_batch(struct prov_op *op, struct bedrock_batch *s,
                               const struct http_res *res,
                               struct gw_error *e) MUSTCHECK;
/* The answer to a create did not come: is it asked once more? */
bool bedrock_broken(struct bedrock_batch *s);
enum gw_err bedrock_check_batch(const struct provider_conf *c,
                                const struct json *request, struct str model,
                                struct gw_error *e) MUSTCHECK;
/* Its keys, and where its jobs are. */
enum gw_err bedrock_check(struct s3_conf *o, struct gw_error *e) MUSTCHECK;

/* Unfinished uploads of one object. */
#define S3_UNFINISHED_MAX 16
void s3_describe_unfinished(struct prov_op *op, struct prov_exchange *x);
size_t s3_read_unfinished(struct prov_op *op, struct str document,
                          struct str ids[S3_UNFINISHED_MAX]);
void s3_describe_abort(struct prov_op *op, struct prov_exchange *x,
                       struct str id);

#endif
