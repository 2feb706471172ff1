/* auth_guard.h -- holds back who tries out keys.
 *
 * A key of 190 random bits is not guessed; but every guess costs Redis a look,
 * and an operator's own short key may be a word. So when an address has sent
 * more wrong keys within a minute than are allowed, further keys from it that
 * are not known to be good are refused unseen until that minute is over.
 *
 * The table is bounded: who is in it longest leaves first. An IPv6 network of
 * 64 bits counts as one address; peers of a unix socket have none, and are not
 * held back. One per worker.
 */
#ifndef FILEMUX_FLOW_AUTH_GUARD_H
#define FILEMUX_FLOW_AUTH_GUARD_H

#include "gateway/base/base.h"

#define AUTH_GUARD_MINUTE_MS 60000

struct auth_guard;

struct auth_guard *auth_guard_new(void) MUSTCHECK;
void auth_guard_free(struct auth_guard *g);

/* peer is server_req_peer()'s text. How long it must wait for another try, in
 * ms; 0: it may. most: wrong keys in a minute; 0: any number. */
int64_t auth_guard_wait_ms(struct auth_guard *g, const char *peer, int64_t most,
                           int64_t now_ms);
/* It sent a wrong key. */
void auth_guard_note(struct auth_guard *g, const char *peer, int64_t now_ms);

#endif
