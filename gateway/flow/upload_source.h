/* upload_source.h -- parts that are held, one behind the other, as one pipe.
 *
 *   hold ──content──► pipe of a part ──pipe_read──► reader's buffer, looked at
 *
 * Read as it is read itself, a part at a time; of a part there is no byte more
 * or less than was counted when it came. The hash that was asked for is
 * compared before the last byte is handed on: who reads to the end has what was
 * meant. Whatever is wrong fails the pipe.
 *
 * All on the worker's loop.
 */
#ifndef FILEMUX_FLOW_UPLOAD_SOURCE_H
#define FILEMUX_FLOW_UPLOAD_SOURCE_H

#include "gateway/flow/services.h"
#include "gateway/net/pipe.h"
#include "gateway/store/upload_store.h"

struct upload_source;

/* parts are borrowed; there is one at least with a byte in it. md5: in hex, any
 * case; "" is not compared. is_hashed: for upload_source_sha256(). */
struct upload_source *upload_source_new(struct services *sv,
                                        const struct provider_conf *hold,
                                        const struct upload_part *parts,
                                        size_t nparts, struct str md5,
                                        bool is_hashed) MUSTCHECK;
/* Also while it is read. NULL allowed. */
void upload_source_free(struct upload_source *s);
struct pipe *upload_source_pipe(struct upload_source *s);
/* After the end, in the arena; STR_NULL unless is_hashed. Once. */
struct str upload_source_sha256(struct upload_source *s, struct arena *a);

#endif
