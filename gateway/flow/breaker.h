/* breaker.h -- whether a provider that fails is asked again. Pure.
 *
 *             it trips                  open_ms are over
 *     CLOSED ──────────► OPEN ─────────────────────────────► HALF_OPEN
 *        ▲                ▲        the probe failed              │
 *        │                └──────────────────────────────────────┤
 *        └───────────────────────────────────────────────────────┘
 *                              the probe went well
 *
 * It trips when so many operations in a row failed, or so large a part of those
 * that ended in the window. Half open it lets one operation through, the probe;
 * one that is not over after open_ms gives its place to another. What was let
 * through before the last change says nothing any more.
 *
 * Time is handed in (any clock that does not go back, milliseconds). Not
 * thread-safe: fleet.h is.
 */
#ifndef FILEMUX_FLOW_BREAKER_H
#define FILEMUX_FLOW_BREAKER_H

#include "providers/provider.h"

#define BREAKER_SLOTS 10 /* of the window */

enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };

/* How an operation ended, as far as it tells of the provider. */
enum breaker_outcome {
    BREAKER_NOTHING, /* it does not: the client's doing, or given up */
    BREAKER_OK,
    BREAKER_FAILED,
};

/* Zeroed: closed. */
struct breaker {
    enum breaker_state state;
    int64_t failures; /* in a row */
    int64_t opened_ms;
    /* --- private --- */
    unsigned era; /* grows with every change */
    uint64_t probes;
    int64_t probe_ms; /* since when the last one is under way; */
    bool is_probing;  /* if it is */
    struct breaker_slot {
        int64_t number;
        int64_t ok, failed;
    } slots[BREAKER_SLOTS];
};

/* An operation that was let through. */
struct breaker_ticket {
    unsigned era;
    uint64_t probe; /* 0: it is none */
};

/* 0: let through, and *t is to be given back by breaker_leave(); else the
 * milliseconds after which to ask again. */
int64_t breaker_enter(struct breaker *b, const struct provider_breaker *c,
                      int64_t now_ms, struct breaker_ticket *t) MUSTCHECK;
void breaker_leave(struct breaker *b, const struct provider_breaker *c,
                   int64_t now_ms, const struct breaker_ticket *t,
                   enum breaker_outcome outcome);
/* What breaker_enter() would say. */
int64_t breaker_wait_ms(const struct breaker *b,
                        const struct provider_breaker *c, int64_t now_ms);

/* "closed", "half_open", "open". */
const char *breaker_state_name(enum breaker_state s);

#endif
