/* upload_fields.h -- what the head and the form of an upload say, and mean.
 *
 * The fields' values are checked as far as they are known, and routing is asked
 * where the file goes. All on the worker's loop.
 */
#ifndef FILEMUX_API_UPLOAD_FIELDS_H
#define FILEMUX_API_UPLOAD_FIELDS_H

#include "gateway/flow/route_ask.h"

struct upload_fields {
    int64_t expires_after_s; /* as checked; 0: none, or not known yet */
    struct route_ask ask;    /* its hints: as read so far */
    /* --- private --- */
    struct txn *t;
    bool are_complete; /* all of them: checked as a whole */
};

/* Read what the request's head tells; t->form may not be there yet. */
void upload_fields_begin(struct upload_fields *f, struct txn *t);
/* A request that has no form tells it in its body: all of it is known. Views
 * are borrowed; provider and model may be STR_NULL. */
void upload_fields_tell(struct upload_fields *f, struct str provider,
                        struct str model, struct str purpose,
                        struct str filename, int64_t size);
/* Those that have come so far. */
enum gw_err upload_fields_check(struct upload_fields *f,
                                struct gw_error *e) MUSTCHECK;
/* All have come. */
enum gw_err upload_fields_check_complete(struct upload_fields *f,
                                         struct gw_error *e) MUSTCHECK;
/* A word, and one that the key may use. */
enum gw_err upload_fields_check_purpose(const struct txn *t, struct str purpose,
                                        struct gw_error *e) MUSTCHECK;
/* expires_after: what is not there is STR_NULL or NULL. */
enum gw_err upload_fields_check_lifetime(struct str anchor,
                                         const int64_t *seconds,
                                         struct gw_error *e) MUSTCHECK;
/* Where the file goes, by what is known: router_decide(). */
enum gw_err upload_fields_route(struct upload_fields *f,
                                struct route_decision *d, bool *needs_fields,
                                struct gw_error *e) MUSTCHECK;

#endif
