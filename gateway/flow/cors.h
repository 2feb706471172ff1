/* cors.h -- lets pages of other origins call the data plane, where configured.
 *
 * Nothing is allowed unless `cors.origins` names the origin, or "*". The API is
 * asked with a key in a header, never with cookies: credentials are not
 * allowed, so a browser adds none of its own.
 */
#ifndef FILEMUX_FLOW_CORS_H
#define FILEMUX_FLOW_CORS_H

#include "gateway/flow/txn.h"

/* What lets the page's script read the reply; nothing if it may not. */
void cors_add_fields(struct txn *t, struct http_fields *f);
/* A browser asks before it sends what a form could not: is the transaction that
 * question, from an origin that may? Then it is answered; methods are those
 * that the path takes. */
bool cors_answer(struct txn *t, struct str methods);

#endif
