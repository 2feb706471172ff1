/* file_record.h -- what is known of a file, and its text in Redis. */
#ifndef FILEMUX_STORE_FILE_RECORD_H
#define FILEMUX_STORE_FILE_RECORD_H

#include "gateway/codec/file_obj.h"

struct file_record {
    struct file_obj obj; /* id is ours; provider its name */
    struct str owner;
    struct str key_hash; /* of the key that uploaded it */
    struct str upstream_id;
    struct str content_type;
    int64_t stored_ms; /* wall clock */
};

/* The record as JSON, without its owner, who is part of the key. What is absent
 * is left out; status_details is cut at 4 KiB. The text is the arena's. */
struct str file_record_text(struct arena *a,
                            const struct file_record *f) MUSTCHECK;
/* All of it, in the arena. */
void file_record_copy(struct arena *a, const struct file_record *from,
                      struct file_record *to);
/* INTERNAL, with a line in the log, unless it is a record with an id and a
 * provider. Views live in the arena; owner is taken over as it is. */
enum gw_err file_record_read(struct arena *a, struct str owner, struct str text,
                             struct file_record *out,
                             struct gw_error *e) MUSTCHECK;

#endif
