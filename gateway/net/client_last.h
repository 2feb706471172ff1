/* client_last.h -- what a provider said before it hung up on an upload.
 *
 * A provider may refuse an upload and close without reading the rest of it.
 * The kernel then resets the connection, and when that happens while a send is
 * under way, curl sees the failed send and never reads the answer, which is in
 * the socket all the same. It is read here, at the moment curl closes the
 * socket. Plain HTTP only: of TLS there would be records that only curl's
 * session can open.
 */
#ifndef FILEMUX_NET_CLIENT_LAST_H
#define FILEMUX_NET_CLIENT_LAST_H

#include "gateway/net/client_call.h"

/* The call's socket is about to be closed: keep what can be read of it at once
 * (LIMIT_LAST_BYTES), unless an answer was begun. Does not block. */
void client_last_read(struct client_call *k, int fd);
/* Make it the call's answer; false when there is no final head in it. Not
 * inside curl. */
bool client_last_tell(struct client_call *k) MUSTCHECK;

#endif
