/* batch_request.h -- what a client asks of a new batch, and whether it can be.
 *
 * Pure but for what the transaction knows: its key, its settings.
 */
#ifndef FILEMUX_API_BATCH_REQUEST_H
#define FILEMUX_API_BATCH_REQUEST_H

#include "gateway/flow/txn.h"

/* MISSING_PARAM, INVALID_VALUE. */
enum gw_err batch_request_check(const struct json *v,
                                struct gw_error *e) MUSTCHECK;
/* output_expires_after in seconds; 0: it is not there. */
int64_t batch_request_expiry(const struct json *v);
/* What the file's provider calls the batch's model, in *model: that of the
 * request, else, where the provider wants one (PROV_BATCH_MODEL), the first of
 * the file; "" when nobody told. */
enum gw_err batch_request_model(const struct txn *t, const struct json *v,
                                const struct file_record *file, bool is_wanted,
                                struct str *model,
                                struct gw_error *e) MUSTCHECK;

#endif
