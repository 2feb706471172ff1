/* fileid.h -- ids of ours: file-<ns>-<26 characters of lower-case ULID>.
 *
 * The ULID is 48 bits of milliseconds and 80 random bits in Crockford's
 * base 32, so ids of one kind sort by time. Pure but for the random bytes.
 */
#ifndef FILEMUX_CODEC_FILEID_H
#define FILEMUX_CODEC_FILEID_H

#include "gateway/base/err.h"

#define FILEID_ULID_CHARS 26

enum fileid_kind {
    FILEID_FILE,   /* file-   */
    FILEID_BATCH,  /* batch_  */
    FILEID_UPLOAD, /* upload_ */
    FILEID_JOB,    /* ftjob-  */
};

struct fileid {
    enum fileid_kind kind;
    struct str ns;   /* 1 to 16 of a-z0-9 */
    struct str ulid; /* 26 characters */
};

/* A new id for the time given, into out (NUL-ended). ns must be valid. */
void fileid_mint(enum fileid_kind kind, const char *ns, int64_t wall_ms,
                 char out[LIMIT_ID_BYTES + 1]);
/* The same with the 80 random bits given: an id that can be made again. */
#define FILEID_NOISE_BYTES 10
void fileid_make(enum fileid_kind kind, const char *ns, int64_t wall_ms,
                 const unsigned char noise[FILEID_NOISE_BYTES],
                 char out[LIMIT_ID_BYTES + 1]);
/* Split; false unless it is exactly an id of that kind. */
bool fileid_parse(enum fileid_kind kind, struct str text,
                  struct fileid *out) MUSTCHECK;
/* Milliseconds since 1970 of a ULID. */
int64_t fileid_time_ms(struct str ulid);
bool fileid_is_namespace(struct str ns);

#endif
