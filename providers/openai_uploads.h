/* openai_uploads.h -- the exchanges of OpenAI's Uploads API; for openai_wire.c.
 */
#ifndef FILEMUX_PROVIDERS_OPENAI_UPLOADS_H
#define FILEMUX_PROVIDERS_OPENAI_UPLOADS_H

#include "providers/openai.h"

/* The one exchange of an operation; query is "" or begins with '?'. */
void openai_uploads_describe(struct prov_op *op, const struct openai_wire *w,
                             struct str query, struct prov_exchange *x);
/* The answer, out of its envelope: into op->made_id, or op->file. */
enum gw_err openai_uploads_read(struct prov_op *op, const struct json *v,
                                struct gw_error *e) MUSTCHECK;
/* The error of a refusal in the words of uploads, without ids of parts. */
enum gw_err openai_uploads_refused(struct prov_op *op, struct gw_error *e);

#endif
