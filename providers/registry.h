/* registry.h -- the explicit list of all provider types. */
#ifndef FILEMUX_PROVIDERS_REGISTRY_H
#define FILEMUX_PROVIDERS_REGISTRY_H

#include "providers/provider.h"

/* The type with that name, or NULL. */
const struct provider_type *registry_find(const char *name);
/* All types, NULL-ended, in the order of the README's table. */
const struct provider_type *const *registry_all(void);
/* Their names, in the same order, NULL-ended. */
extern const char *const registry_names[];
/* The README's providers table in Markdown (a test holds it there). */
void registry_table(struct buf *out);

#endif
