/* api.h -- the handlers of the route table, and what they share.
 *
 * A handler is called once its request is authenticated (as the table says)
 * and, where the table says so, t->record is the caller's own file.
 */
#ifndef FILEMUX_API_API_H
#define FILEMUX_API_API_H

#include "gateway/api/routes.h"

void files_upload(struct txn *t);
void files_list(struct txn *t);
void files_get(struct txn *t);
void files_delete(struct txn *t);
void files_content(struct txn *t);
void files_copy(struct txn *t);

void batches_create(struct txn *t);
void batches_list(struct txn *t);
void batches_get(struct txn *t);
void batches_cancel(struct txn *t);

void uploads_create(struct txn *t);
void uploads_part(struct txn *t);
void uploads_complete(struct txn *t);
void uploads_cancel(struct txn *t);
void forward_api(struct txn *t);
void models_list(struct txn *t);
void models_get(struct txn *t);
void kept_list(struct txn *t);
/* False after having answered that nothing is passed on here. */
bool forward_may(struct txn *t);

void keys_generate(struct txn *t);
void keys_info(struct txn *t);
void keys_list(struct txn *t);
void keys_update(struct txn *t);
void keys_delete(struct txn *t);
void keys_block(struct txn *t);
void keys_unblock(struct txn *t);
void keys_regenerate(struct txn *t);

void teams_new(struct txn *t);
void teams_update(struct txn *t);
void teams_delete(struct txn *t);
void teams_block(struct txn *t);
void teams_unblock(struct txn *t);
void teams_info(struct txn *t);
void teams_list(struct txn *t);
void teams_list_pages(struct txn *t);

void usage_own(struct txn *t);
void usage_history(struct txn *t);
void providers_list(struct txn *t);

void jobs_import(struct txn *t);
void jobs_reconcile(struct txn *t);
void jobs_list(struct txn *t);
void jobs_get(struct txn *t);
void jobs_cancel(struct txn *t);
void admin_files(struct txn *t);

void ops_liveness(struct txn *t);
void ops_readiness(struct txn *t);
void ops_metrics(struct txn *t);

void ui_page(struct txn *t);
void ui_part(struct txn *t); /* a file of the page: app.js */

/* access.c: authenticate as the route's scope says, resolve {id} where the
 * route needs it, then call the handler. */
void access_begin(struct txn *t);

/* body.c: collect a JSON body (LIMIT_JSON_BODY_BYTES) and call fn with it; an
 * absent body is an empty object. Failures are answered. */
void body_read_json(struct txn *t, void (*fn)(struct txn *t, struct json *v));

/* files.c: the files of an owner, as the query asks for them. */
void files_list_of(struct txn *t, struct str owner);

/* reply.c: the file object of a record, or 404 for an id. */
void reply_file(struct txn *t, const struct file_record *f);
void reply_no_such_file(struct txn *t);
/* The configured provider of a record; NULL after having answered that it is
 * gone from the configuration. */
const struct provider_conf *reply_provider(struct txn *t,
                                           const struct file_record *f);

#endif
