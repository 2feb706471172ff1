/* together.h -- the type `together`, which takes three files: what they share.
 */
#ifndef FILEMUX_PROVIDERS_TOGETHER_H
#define FILEMUX_PROVIDERS_TOGETHER_H

#include "providers/provider.h"

enum together_upload { DIRECT, PRESIGNED };

struct together_conf {
    const char *api_key;
    struct conf_pairs purposes;
    int upload;
    int upload_length;
    int64_t multipart_above;
};

enum together_step {
    AT_FIRST,
    AT_PUT,
    AT_PREPROCESS,
    AT_PART,
    AT_COMPLETE,
    AT_END
};

struct together_part {
    struct str url; /* a secret */
    const struct json *fields;
    struct str etag;
};

struct together_state {
    enum together_step step;
    struct str url; /* a secret */
    struct str file_id, upload_id;
    struct together_part *parts;
    size_t nparts, part;
    bool has_piece, has_waited;
    int tries;
};

static inline const struct together_conf *
together_conf(const struct provider_conf *c)
{
    return c->own;
}

/* --- together.c --- */

/* The members file_name, purpose and file_type of the upload. */
void together_put_fields(const struct prov_op *op, struct json_out *j);
void together_add_key(struct prov_op *op, struct prov_exchange *x);

/* --- together_parts.c: an upload in parts --- */

bool together_is_in_parts(const struct prov_op *op);
void together_describe_initiate(struct prov_op *op, struct prov_exchange *x);
enum gw_err together_read_initiate(struct prov_op *op,
                                   const struct http_res *res,
                                   struct gw_error *e);
/* At AT_PART: what is next. */
enum prov_step together_next_part(struct prov_op *op, struct prov_exchange *x);
enum gw_err together_read_part(struct prov_op *op, const struct http_res *res,
                               struct gw_error *e);
bool together_broken(struct prov_op *op, const struct gw_error *e);
void together_describe_complete(struct prov_op *op, struct prov_exchange *x);
void together_describe_abort(struct prov_op *op, struct prov_exchange *x);

/* --- together_batch.c: the one exchange of a batch operation --- */

void together_describe_batch(struct prov_op *op, struct prov_exchange *x);
enum gw_err together_read_batch(struct prov_op *op, const struct http_res *res,
                                struct gw_error *e) MUSTCHECK;

#endif
