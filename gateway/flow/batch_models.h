/* batch_models.h -- what the models of the `models` table are at a provider.
 *
 * In a fan-out that was asked for by models, each of these stands, at each
 * provider, for the one that is there (targets: their names, separated by
 * commas; STR_NULL where it was not). Pure.
 */
#ifndef FILEMUX_FLOW_BATCH_MODELS_H
#define FILEMUX_FLOW_BATCH_MODELS_H

#include "gateway/flow/txn.h"

/* Which one has that name; the number of models when there is none. */
size_t batch_models_find(const struct settings *conf, struct str name);
/* Is the i-th one at the provider, or one that stands for it? */
bool batch_models_is_there(const struct settings *conf, size_t i,
                           const char *provider, struct str targets);
/* What the i-th one is called there; STR_NULL: the same, or it is not there. */
struct str batch_models_new_name(const struct settings *conf, size_t i,
                                 const char *provider, struct str targets);
/* Is there any that has another name there? */
bool batch_models_rename(const struct settings *conf, const char *provider,
                         struct str targets);

#endif
