/* file_record.h -- what is known of a file, and its text in Redis.
 *
 * A file may be at several providers (a fan-out): then `copies` has all of
 * them, the one that the record names itself first. Of any other file it is
 * empty, and its text is what it was before there were copies.
 */
#ifndef FILEMUX_STORE_FILE_RECORD_H
#define FILEMUX_STORE_FILE_RECORD_H

#include "gateway/codec/file_obj.h"

/* The same file at one of its providers. */
struct file_copy {
    struct str provider; /* its name */
    struct str upstream_id;
    enum file_status status;
    int64_t bytes; /* as it is there: models may have been renamed */
};

struct file_record {
    struct file_obj obj; /* id is ours; provider its name; status that of all */
    struct str owner;
    struct str key_hash; /* of the key that uploaded it */
    struct str upstream_id;
    struct str content_type;
    int64_t stored_ms; /* wall clock */
    const struct file_copy *copies;
    size_t ncopies; /* 0 or above 1, at most LIMIT_FAN_OUT */
    /* Of a batch file. */
    int64_t lines;    /* requests; 0: not known */
    struct str model; /* the first, as the client calls it; STR_NULL: none */
};

/* Has its life ended by then (seconds, wall clock)? */
bool file_record_is_expired(const struct file_record *f, int64_t now_s);

/* At how many providers it is: 1 or more; and the i-th of them. */
size_t file_record_places(const struct file_record *f);
struct file_copy file_record_place(const struct file_record *f, size_t i);
/* At which place that provider is; file_record_places() when at none. */
size_t file_record_find(const struct file_record *f, struct str provider);
/* The copies are (and are borrowed): obj.providers, made in the arena, obj's
 * status. */
void file_record_set_copies(struct arena *a, struct file_record *f,
                            const struct file_copy *copies, size_t n);

/* As an array in what is being built, and back. */
void file_copies_put(struct json_out *j, const char *name,
                     const struct file_copy *v, size_t n);
size_t file_copies_read(struct arena *a, const struct json *v,
                        const struct file_copy **out);
const struct file_copy *
file_copies_dup(struct arena *a, const struct file_copy *v, size_t n) MUSTCHECK;

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
