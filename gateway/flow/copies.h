/* copies.h -- which of the providers that have a file a request means.
 *
 * Most files are at one. Of a fan-out's the path picks the copy, or a header or
 * query (x-filemux-provider, custom-llm-provider, provider) that names one of
 * its providers, or a model that is at one of them. A hint that names none of
 * them says nothing: a file's id comes before all others. Without a hint any
 * copy will do: they come in the order of the upload, those that the key may
 * use, and whose provider can do what is wanted.
 */
#ifndef FILEMUX_FLOW_COPIES_H
#define FILEMUX_FLOW_COPIES_H

#include "gateway/flow/txn.h"

struct copies_wish {
    struct str path;     /* must be one of them; STR_NULL: any */
    struct str provider; /* of header, query or body */
    struct str model;    /* one of the `models` table */
    unsigned caps;       /* that its provider must have */
};

/* What the request's head says; caps are the caller's to fill. */
void copies_read_wish(struct txn *t, struct copies_wish *w);

/* The places of the record (file_record_place) to be tried, the best first; how
 * many. 0: the path's provider does not have it. When none can be used it is
 * the first one, so that a caller's own checks find out why. */
size_t copies_order(struct txn *t, const struct file_record *r,
                    const struct copies_wish *w, size_t order[LIMIT_FAN_OUT]);

/* The record as seen from there: obj.provider, obj.bytes and upstream_id are
 * that copy's. In the transaction's arena. */
const struct file_record *
copies_view(struct txn *t, const struct file_record *r, size_t place) MUSTCHECK;

/* The best one's view; NULL when the path's provider does not have it. */
const struct file_record *copies_pick(struct txn *t,
                                      const struct file_record *r,
                                      const struct copies_wish *w) MUSTCHECK;

#endif
