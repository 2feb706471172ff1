/* mistral_batch.h -- Mistral's batch jobs; for mistral.c. */
#ifndef FILEMUX_PROVIDERS_MISTRAL_BATCH_H
#define FILEMUX_PROVIDERS_MISTRAL_BATCH_H

#include "providers/provider.h"

/* The one exchange of a batch operation; without credentials. */
void mistral_batch_describe(struct prov_op *op, struct prov_exchange *x);
enum gw_err mistral_batch_read(struct prov_op *op, const struct http_res *res,
                               struct gw_error *e) MUSTCHECK;

#endif
