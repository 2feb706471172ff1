/* prov_batch.h -- batches of providers whose jobs are not OpenAI's.
 *
 * Such a job runs one model over a file of the provider's own lines, and knows
 * nothing of what an OpenAI client tells besides: endpoint, completion_window
 * and metadata come from the request, and later from the batch as it was last
 * seen (op->batch_request). This makes one batch object of both. Pure.
 */
#ifndef FILEMUX_PROVIDERS_PROV_BATCH_H
#define FILEMUX_PROVIDERS_PROV_BATCH_H

#include "providers/provider.h"

/* What a job tells. Times in seconds; 0 and "" are what it does not tell: of a
 * time it does not tell any more, what it once told stays. */
struct prov_batch {
    struct str id;
    const char *status; /* OpenAI's word */
    struct str output_file_id;
    struct str error_code, error_message; /* why it failed */
    struct str input; /* its file: not to be named in the message */
    int64_t created_at, in_progress_at, expires_at, cancelling_at;
    int64_t ended_at; /* whatever the end was */
    int64_t total, completed, failed;
};

/* A provider's word for a state, and OpenAI's. */
struct prov_batch_state {
    const char *theirs, *ours;
};

/* OpenAI's word, or NULL. */
const char *prov_batch_status(const struct prov_batch_state *states, size_t n,
                              struct str theirs);

/* The model that a new batch runs: op->batch_model, or dflt. */
struct str prov_batch_model(const struct prov_op *op, const char *dflt);

/* For check_batch: a model that is named by letters, digits and the symbols. */
enum gw_err prov_batch_check(const struct provider_conf *c, struct str model,
                             const char *dflt, const char *symbols,
                             struct gw_error *e) MUSTCHECK;
/* For check_request: nothing that OpenAI alone has. */
enum gw_err prov_batch_check_request(const struct provider_conf *c,
                                     const struct json *request,
                                     struct gw_error *e) MUSTCHECK;

/* Of an entry of the configuration: its batch_model, named by letters, digits
 * and the symbols, and its batch_prefix, below which outputs go. */
enum gw_err prov_batch_check_conf(const char *model, const char *symbols,
                                  const char *prefix,
                                  struct gw_error *e) MUSTCHECK;

/* The batch into op->batch. */
enum gw_err prov_batch_tell(struct prov_op *op, const struct prov_batch *b,
                            struct gw_error *e) MUSTCHECK;

#endif
