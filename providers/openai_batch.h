/* openai_batch.h -- the exchanges of OpenAI's Batch API; for openai_wire.c. */
#ifndef FILEMUX_PROVIDERS_OPENAI_BATCH_H
#define FILEMUX_PROVIDERS_OPENAI_BATCH_H

#include "providers/provider.h"

/* The one exchange of a batch operation; query is "" or begins with '?'.
 * can_expire: it takes output_expires_after. */
void openai_batch_describe(struct prov_op *op, struct str query,
                           bool can_expire, struct prov_exchange *x);
/* The answer, out of its envelope, into op->batch. */
enum gw_err openai_batch_read(struct prov_op *op, const struct json *v,
                              struct gw_error *e) MUSTCHECK;
/* The same of a relative's job, which put() writes anew with OpenAI's names. */
enum gw_err openai_batch_read_as(struct prov_op *op, const struct json *job,
                                 void (*put)(struct json_out *j,
                                             const struct json *job),
                                 struct gw_error *e) MUSTCHECK;

#endif
