/* forward_impl.h -- what the files of forward.h share.
 *
 *     forward.c         the request: provider, candidates, the way out
 *     forward_refs.c    whose the ids of a request are
 *     forward_answer.c  the answer, and one that is collected
 *     forward_events.c  one that is a stream of events
 *     forward_ids.c     the ids of an answer
 *     forward_form.c    a request that is a form
 *     forward_kept.c    what providers keep, and lists tell of
 */
#ifndef FILEMUX_FLOW_FORWARD_IMPL_H
#define FILEMUX_FLOW_FORWARD_IMPL_H

#include "gateway/flow/forward.h"

/* Look all ids of the request up; then forward_known(), unless one is not the
 * caller's: that is answered. */
bool forward_refs_has(const struct id_site *s); /* is one of them */
void forward_refs_look_up(struct forward *f);
void forward_refs_cancel(struct forward *f);
/* Is what it names (the caller's, it was found) at that provider, too? */
bool forward_ref_is_at(const struct forward_ref *ref, const char *provider);
/* It is the one there that is meant. */
void forward_ref_use(struct forward_ref *ref, const char *provider);
void forward_known(struct forward *f);
/* To the first candidate. */
void forward_send(struct forward *f);

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

/* What a model is called at the provider; STR_NULL: the same. param: where it
 * stands. */
enum gw_err forward_rename_model(struct forward *f, struct str name,
                                 struct str param, struct str *with,
                                 struct gw_error *e) MUSTCHECK;
/* The form's fields as the provider shall have them; *model: what it calls the
 * model, or "". */
enum gw_err forward_form_fill(struct forward *f, struct prov_forward *p,
                              struct str *model, struct gw_error *e) MUSTCHECK;

/* A source of data must be the caller's own: a file, or in the text. */
enum gw_err forward_kept_check_source(struct forward *f,
                                      struct gw_error *e) MUSTCHECK;
/* A call that makes a kept object: the journal's entry, then forward_send(). */
void forward_kept_begin(struct forward *f, const struct provider_conf *p);
/* It was made, and is called so. */
enum gw_err forward_kept_made(struct forward *f, struct str upstream_id,
                              struct gw_error *e) MUSTCHECK;
/* Its record, then forward_answer_reply(). */
void forward_kept_record(struct forward *f, struct str text);
void forward_answer_reply(struct forward *f);
/* The making is over: well, or not. No-ops when none is. */
void forward_kept_end(struct forward *f, bool is_settled);
void forward_kept_failed(struct forward *f, const struct gw_error *e);
/* t->on_break while one is made. */
void forward_kept_break(struct txn *t);
/* The object {id} was seen so; is gone at its provider. */
void forward_kept_seen(struct forward *f, struct str text);
void forward_kept_gone(struct forward *f);

#endif
