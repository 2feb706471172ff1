/* redis_resolve.h -- a host name's addresses, found off the loop.
 *
 * getaddrinfo() blocks, so it runs in a short-lived thread of its own. The
 * descriptor turns readable when the answer is there; whoever does not want to
 * wait any longer drops it, and the thread frees what is left when it ends.
 */
#ifndef FILEMUX_STORE_REDIS_RESOLVE_H
#define FILEMUX_STORE_REDIS_RESOLVE_H

#include "gateway/base/base.h"

#define REDIS_ADDRESSES_MAX 8
#define REDIS_ADDRESS_SIZE 64 /* in digits, with a scope */

struct redis_addresses {
    char v[REDIS_ADDRESSES_MAX][REDIS_ADDRESS_SIZE];
    size_t n; /* 0: the name is not known */
};

struct redis_resolve;

/* NULL when no thread could be started. */
struct redis_resolve *redis_resolve_start(const char *host) MUSTCHECK;
int redis_resolve_fd(const struct redis_resolve *q);
/* Once the descriptor is readable. */
void redis_resolve_take(struct redis_resolve *q, struct redis_addresses *out);
/* At any time, once. NULL is allowed. */
void redis_resolve_drop(struct redis_resolve *q);

/* Is it an address already (digits)? */
bool redis_resolve_is_address(const char *host);

#endif
