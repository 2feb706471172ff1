/* forward_impl.h -- what the files of forward.h share.
 *
 *     forward.c         the request: provider, candidates, the way out
 *     forward_refs.c    whose the ids of a request are
 *     forward_answer.c  the answer, and one that is collected
 *     forward_events.c  one that is a stream of events
 *     forward_ids.c     the ids of an answer
 */
#ifndef FILEMUX_FLOW_FORWARD_IMPL_H
#define FILEMUX_FLOW_FORWARD_IMPL_H

#include "gateway/flow/forward.h"

/* Look all ids of the request up; then forward_known(), unless one is not the
 * caller's: that is answered. */
void forward_refs_look_up(struct forward *f);
void forward_refs_cancel(struct forward *f);
void forward_known(struct forward *f);

/* For struct upstream_ops: the head came. */
void forward_answer_head(struct forward *f, const struct upstream_head *h);
/* The provider's operation is over, without an error. */
void forward_answer_done(struct forward *f);
/* The reply's head is out, `in` has events. */
void forward_events_begin(struct forward *f);
void forward_events_release(struct forward *f);

/* Two names of a file that are known from now on; views live as long as f. */
void forward_ids_name(struct forward *f, struct str theirs, struct str ours);
/* Fill `with` of all files, as far as they are known; true: they all are, and
 * the object that it shows is noted. */
bool forward_ids_fill(struct forward *f, struct id_found *found);
/* It was false: find out what is missing; found is filled when looked() comes,
 * which it does later. One at a time. */
void forward_ids_look(struct forward *f, struct id_found *found,
                      void (*looked)(struct forward *f,
                                     const struct gw_error *e));
void forward_ids_cancel(struct forward *f);

#endif
