/* prov_said.h -- what an error body says, and how much of it may be repeated.
 *
 * Providers wrap their errors in a dozen shapes; this finds the message in
 * them, and makes it fit for somebody else's eyes. Pure.
 */
#ifndef FILEMUX_PROVIDERS_PROV_SAID_H
#define FILEMUX_PROVIDERS_PROV_SAID_H

#include "providers/provider.h"

/* "" is what the body does not say. Views live in the arena or the body. */
struct prov_said {
    struct str message;
    struct str code; /* a plain word; never a bare number */
    struct str type;
    struct str param;
};

/* Reads {"error": {…} or "…"}, {"detail": "…", […] or {…}}, {"message": "…"
 * or {"detail"}}, {"title", "detail"}, {"fault": {"faultstring"}}, an array
 * with such an object, a bare JSON string, XML with Message and Code, plain
 * text. HTML says nothing. */
void prov_said_find(struct arena *a, struct str body, struct prov_said *said);

/* The message in one line of at most 400 bytes of UTF-8, in which upstream_id
 * has become shown_id, and URLs, keys, names of resources (ARNs, projects/…)
 * and what looks like an id of a provider have become a word in brackets. */
struct str prov_said_clean(struct arena *a, struct str message,
                           struct str upstream_id, struct str shown_id);
/* The same for all that the operation names; where a name begins with another
 * one, the longer counts. Of a message that is longer than LIMIT_SAID_BYTES the
 * words before that are looked at. */
struct str prov_said_clean_all(const struct prov_op *op, struct str message);

#endif
