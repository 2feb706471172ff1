/* quota_keys.h -- what quota and key_store share: the KEYS of the scripts that
 * include counters.lua, the bound on their numbers, and the
 * verdict in their answers.
 */
#ifndef FILEMUX_STORE_QUOTA_KEYS_H
#define FILEMUX_STORE_QUOTA_KEYS_H

#include "gateway/store/quota.h"
#include "gateway/store/schema.h"

#define QUOTA_MAX ((int64_t)1 << 48) /* 256 TiB */

#define QUOTA_KEY(literal)                                                     \
    {                                                                          \
        literal, sizeof(literal) - 1                                           \
    }
#define QUOTA_KEYS QUOTA_KEY(SCHEMA_GATEWAY)

/* Five numbers of an answer, from the at-th on. */
void quota_read_verdict(const struct redis_value *v, size_t at,
                        struct quota_verdict *out);

#endif
