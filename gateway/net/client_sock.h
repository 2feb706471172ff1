/* client_sock.h -- a socket that curl wants watched, for http_client.c.
 */
#ifndef FILEMUX_NET_CLIENT_SOCK_H
#define FILEMUX_NET_CLIENT_SOCK_H

#include "gateway/net/client_call.h"

struct client_sock;

/* Nothing is watched yet. Becomes the call's socket; k is NULL for one that
 * curl keeps for itself: from 8.12 on it ends TLS connections in its own time,
 * after their calls. */
struct client_sock *client_sock_new(struct http_client *c,
                                    struct client_call *k, int fd) MUSTCHECK;
/* From now on: an or of CLIENT_IN and CLIENT_OUT. What becomes ready is driven
 * (http_client_drive) at the end of the turn, both directions at once. */
void client_sock_want(struct client_sock *s, int wanted);
/* NULL is allowed. If curl goes on to close the socket, then it was the one of
 * s->client->closing. */
void client_sock_free(struct client_sock *s);

#endif
