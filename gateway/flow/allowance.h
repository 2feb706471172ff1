/* allowance.h -- how much of its quota one upload has been granted so far.
 *
 * Of whatever is granted, the form passes on no byte that is not held.
 *
 * A spooled file takes what it has. A request that told its length takes what
 * the file then most likely has, which mostly is exact; where the fields behind
 * the file are shorter than was thought, the rest at the end. If that is
 * refused, it is so as the beginning would have been: 429.
 *
 * One of unknown length takes ALLOWANCE_FIRST, and while it goes on, ahead of
 * the bytes, as much again as it has, at most ALLOWANCE_STEP: a small file does
 * not keep others out, a large one is not held up. When less than a step is
 * left it gets that; the first byte beyond it fails the form's pipe with 413.
 *
 * All on the worker's loop; callbacks come from the loop.
 */
#ifndef FILEMUX_FLOW_ALLOWANCE_H
#define FILEMUX_FLOW_ALLOWANCE_H

#include "gateway/flow/charge.h"
#include "gateway/flow/form.h"

#define ALLOWANCE_FIRST (256 * (int64_t)KIB)
#define ALLOWANCE_STEP (8 * (int64_t)MIB)

typedef void allowance_fn(void *arg, const struct gw_error *e);

struct allowance {
    /* --- private --- */
    struct services *sv;
    struct form *form;
    const struct quota_who *who;
    struct str id;
    const struct journal_entry *entry;
    struct redis_call *call;
    allowance_fn *done;
    void *arg;
    int64_t lease_ms, held, asked;
    bool is_gated;    /* the form passes on what is held */
    bool is_stepwise; /* and the request did not tell how much it will be */
};

/* Take the hold named id (borrowed, as the rest) with the journal's entry or
 * NULL. size: of the file that is spooled; -1: the form is still to be read.
 * done() says whether it is granted: GW_QUOTA_… where it is not. Another
 * allowance_take() for the same upload replaces the one before: under the same
 * id nothing more is taken, what was held under another one is the caller's to
 * release. */
void allowance_take(struct allowance *a, struct services *sv, struct form *form,
                    const struct quota_who *who, struct str id, int64_t size,
                    const struct journal_entry *entry, int64_t lease_ms,
                    allowance_fn *done, void *arg);
/* The form is short of it (form_ops.on_short). */
void allowance_more(struct allowance *a);
/* Nothing is waited for any longer. */
void allowance_stop(struct allowance *a);

#endif
