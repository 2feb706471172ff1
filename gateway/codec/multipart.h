/* multipart.h -- incremental parser of multipart/form-data (RFC 7578, 2046).
 *
 * Push: feed it bytes in any chunks and it calls back with the parts. Part
 * data is handed on as views into the fed bytes: nothing is copied. What may be
 * the start of a delimiter is held back, and as such bytes are by definition a
 * prefix of the delimiter, none is stored: when they turn out to be data they
 * are handed on from the delimiter itself.
 *
 * Accepted: a preamble (LIMIT_PREAMBLE_BYTES) and an epilogue (bounded by the
 * caller), header names in any case, extra part headers, white space after the
 * boundary, a missing CRLF after the closing delimiter, quoted and bare
 * parameters, both quotings of a quote (\" and %22), filename* (RFC 5987; wins
 * over filename, ignored unless in UTF-8).
 * Refused (INVALID_MULTIPART): no closing delimiter, a delimiter followed by
 * anything but white space and CRLF or "--", a part whose data begins with the
 * boundary (readers differ about what it means), a part without
 * Content-Disposition: form-data and a name, or with two of them, header blocks
 * over LIMIT_PART_HEAD_BYTES, folded header lines, more than LIMIT_PARTS parts,
 * NUL in a header, names that are not UTF-8.
 */
#ifndef FILEMUX_CODEC_MULTIPART_H
#define FILEMUX_CODEC_MULTIPART_H

#include "gateway/base/err.h"

struct multipart_part {
    struct str name;         /* decoded */
    struct str filename;     /* decoded, without any directory; STR_NULL when
                                the part has none; may hold CR and LF */
    struct str content_type; /* as sent, or STR_NULL */
};

/* All views are valid during the call only. A result other than GW_OK stops
 * the parser and is what multipart_feed() returns. */
struct multipart_ops {
    enum gw_err (*part_begin)(void *arg, const struct multipart_part *part);
    enum gw_err (*part_data)(void *arg, struct str data);
    enum gw_err (*part_end)(void *arg);
};

/* Plain data, about 9 KiB, owned by the caller; no memory besides. */
struct multipart {
    const struct multipart_ops *ops;
    void *arg;
    int state;
    size_t parts;
    size_t implied;    /* bytes of the delimiter that need not be there */
    size_t matched;    /* and those behind them that the last input ended in */
    uint64_t consumed; /* up to date in part_begin, too */
    bool is_paused;
    char delimiter[4 + LIMIT_BOUNDARY_BYTES + 1]; /* CRLF "--" boundary */
    size_t delimiter_n;
    size_t preamble_n;
    char head[LIMIT_PART_HEAD_BYTES];
    size_t head_n;
};

/* The boundary of a Content-Type's value, into out (NUL-ended). UNSUPPORTED_
 * MEDIA unless it is multipart/form-data; INVALID_MULTIPART for a boundary
 * that is missing, longer than 70 bytes or of forbidden characters. */
enum gw_err multipart_boundary(struct str content_type,
                               char out[LIMIT_BOUNDARY_BYTES + 1],
                               struct gw_error *e) MUSTCHECK;

void multipart_init(struct multipart *m, const char *boundary,
                    const struct multipart_ops *ops, void *arg);

/* Feed n bytes; all are consumed, unless `part_begin` asked for a stop with
 * multipart_pause(): then *used tells how far it came (just behind the blank
 * line that ends the part's headers) and the rest is to be fed again. */
enum gw_err multipart_feed(struct multipart *m, const char *p, size_t n,
                           size_t *used, struct gw_error *e) MUSTCHECK;
void multipart_pause(struct multipart *m);

/* How many bytes are held back: a reader that wants data in place leaves so
 * much room in front of what it feeds next. */
static inline size_t multipart_held(const struct multipart *m)
{
    return m->matched;
}
/* A part's data is over, its delimiter read, and not yet what is behind that:
 * part_end() follows, or a failure. */
bool multipart_is_at_mark(const struct multipart *m);
/* The closing delimiter was seen. What follows is epilogue and is ignored. */
bool multipart_is_done(const struct multipart *m);
/* The body has ended: INVALID_MULTIPART unless done. part_end() was then not
 * called for the last part. */
enum gw_err multipart_finish(struct multipart *m, struct gw_error *e) MUSTCHECK;

#endif
