/* upload_tidy.h -- parts in the directory of our own that nobody knows.
 *
 * The sweeper that ends an upload may be another host's, and finds nothing to
 * delete where it looks. So each process removes, in its own directory, the
 * parts that are older than any upload can be: at its start, and every hour.
 *
 * On one worker of each process.
 */
#ifndef FILEMUX_FLOW_UPLOAD_TIDY_H
#define FILEMUX_FLOW_UPLOAD_TIDY_H

#include "gateway/flow/services.h"

struct upload_tidy;

struct upload_tidy *upload_tidy_open(struct services *sv) MUSTCHECK;
void upload_tidy_close(struct upload_tidy *u);

#endif
