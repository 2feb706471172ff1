/* disk.h -- the local directory as a provider; all but one call is behind the
 * registry. */
#ifndef FILEMUX_PROVIDERS_DISK_H
#define FILEMUX_PROVIDERS_DISK_H

#include "providers/provider.h"

/* The directory of a provider of type `disk`, NULL for any other type: what a
 * crash left half written there is removed at start. */
const char *disk_directory(const struct provider_conf *c);

#endif
