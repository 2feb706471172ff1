/* fleet.h -- what the process knows of its providers at the moment.
 *
 * Of each, by its name: the circuit breaker, and the bytes under way and of the
 * last minute, in both directions; of each pool that takes turns, the turn.
 * Shared by all workers, and kept when the configuration is read again. Changes
 * of a breaker are logged and counted here.
 *
 * An upload or download of unknown length counts as none until it is over.
 * A 4xx is the provider's answer and no failure; nor is a 429, which pauses
 * nothing: it may be for one caller or one kind of call, and says itself to
 * whom it may concern when to come back.
 *
 * Any thread; what takes a struct services on its worker's.
 */
#ifndef FILEMUX_FLOW_FLEET_H
#define FILEMUX_FLOW_FLEET_H

#include "gateway/flow/breaker.h"
#include "gateway/flow/services.h"

struct fleet *fleet_new(void) MUSTCHECK;
void fleet_free(struct fleet *f);

/* One operation, from when it is let through. Zeroed: it is not. */
struct fleet_pass {
    /* --- private --- */
    struct fleet_member *member;
    struct breaker_ticket ticket;
    int64_t bytes;
};

/* Begin one, unless the breaker is against it: UPSTREAM_BUSY. */
enum gw_err fleet_enter(struct services *sv, const struct provider_conf *c,
                        struct fleet_pass *p, struct gw_error *e) MUSTCHECK;
/* So many bytes are going to move. */
void fleet_expect(struct services *sv, struct fleet_pass *p, int64_t bytes);
/* It is over, and `moved` bytes have; e is for the log. A pass that was not
 * entered, or was left, is nothing. */
void fleet_leave(struct services *sv, const struct provider_conf *c,
                 struct fleet_pass *p, enum breaker_outcome outcome,
                 int64_t moved, const struct gw_error *e);

struct fleet_view {
    enum breaker_state state;
    int64_t failures;    /* in a row */
    int64_t opened_at;   /* wall clock, seconds; 0: it is closed */
    int64_t under_way;   /* bytes */
    int64_t last_minute; /* bytes */
    bool is_out;         /* nothing is let through */
};
void fleet_look(struct fleet *f, const struct provider_conf *c,
                struct fleet_view *v);
/* For routing: each of the providers, in their order. */
const struct route_load *fleet_loads(struct fleet *f, struct arena *a,
                                     const struct conf_items *providers);
/* The pool's next turn: 0, 1, 2, … */
uint64_t fleet_turn(struct fleet *f, const char *pool);

#endif
