/* openai_forward.h -- calls of OpenAI's API passed on to those who speak it. */
#ifndef FILEMUX_PROVIDERS_OPENAI_FORWARD_H
#define FILEMUX_PROVIDERS_OPENAI_FORWARD_H

#include "providers/provider.h"

/* Describe the exchange: op->forward under the base URL and `dir` ("" or
 * "/openai"), with the query that every request has (encoded, "" for none)
 * behind the call's own; without credentials. */
void openai_forward_describe(struct prov_op *op, const char *dir,
                             struct str query, struct prov_exchange *x);
/* Read the head, or the error. */
enum gw_err openai_forward_read(struct prov_op *op, const struct http_res *res,
                                struct gw_error *e) MUSTCHECK;

#endif
