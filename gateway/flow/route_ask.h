/* route_ask.h -- asks routing/router where a request goes.
 *
 * The head's hints and the facts of the key are read here; what else is known
 * (a form's fields, the model of a body) the caller fills in before he asks,
 * and asks again when there is more.
 */
#ifndef FILEMUX_FLOW_ROUTE_ASK_H
#define FILEMUX_FLOW_ROUTE_ASK_H

#include "gateway/flow/txn.h"
#include "routing/router.h"

struct route_ask {
    struct route_hints hints;
    struct route_facts facts;
    /* --- private --- */
    const char *turn_of;
};

/* Copies: the head is gone when the client is. */
void route_ask_begin(struct route_ask *a, struct txn *t);
/* As router_decide(). A pool's turn is taken once, when it is known that the
 * pool is asked. */
enum gw_err route_ask(struct route_ask *a, struct txn *t,
                      struct route_decision *d, bool *needs_fields,
                      struct gw_error *e) MUSTCHECK;

#endif
