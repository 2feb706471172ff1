/* openai_presigned.h -- an upload in two steps: ask for a URL, PUT the file.
 *
 *     POST {"file_name"}          → {"file_id", "upload_url"}
 *     PUT upload_url, the bytes   → 200
 *
 * The URL is signed, so the second request takes neither credentials nor any
 * field that the signature does not know.
 */
#ifndef FILEMUX_PROVIDERS_OPENAI_PRESIGNED_H
#define FILEMUX_PROVIDERS_OPENAI_PRESIGNED_H

#include "providers/openai.h"

/* What the first answer told; in the arena of the operation. */
struct openai_presigned {
    struct str id, put_to;
};

/* Describe the first request; without credentials. */
void openai_presigned_ask(struct prov_op *op, const struct openai_wire *w,
                          struct prov_exchange *x);
enum gw_err openai_presigned_read(struct prov_op *op,
                                  const struct http_res *res,
                                  struct openai_presigned *out,
                                  struct gw_error *e) MUSTCHECK;
/* Describe the second one. */
void openai_presigned_put(struct prov_op *op, const struct openai_presigned *p,
                          struct prov_exchange *x);
/* Read the answer to it: fills op->file. */
enum gw_err openai_presigned_done(struct prov_op *op,
                                  const struct http_res *res,
                                  const struct openai_presigned *p,
                                  struct gw_error *e) MUSTCHECK;

#endif
