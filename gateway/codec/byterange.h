/* byterange.h -- Range and Content-Range (RFC 9110, section 14). Pure. */
#ifndef FILEMUX_CODEC_BYTERANGE_H
#define FILEMUX_CODEC_BYTERANGE_H

#include "gateway/base/err.h"

/* One range as asked for. */
struct byterange {
    bool is_set;
    int64_t first; /* -1: the last `last` bytes */
    int64_t last;  /* inclusive; -1: to the end */
};

/* Read a Range field. Anything but a single well-formed bytes range leaves
 * is_set false: RFC 9110 lets a server ignore it and send the whole. */
void byterange_parse(struct str value, struct byterange *r);

/* Apply to a file of `size` bytes: offset and length to send.
 * RANGE_NOT_SATISFIABLE when it lies outside. */
enum gw_err byterange_resolve(const struct byterange *r, int64_t size,
                              int64_t *offset, int64_t *len,
                              struct gw_error *e) MUSTCHECK;

/* Read "bytes 0-9/100": false when malformed; *size -1 for an asterisk. */
bool byterange_parse_content(struct str value, int64_t *first, int64_t *last,
                             int64_t *size) MUSTCHECK;

#endif
