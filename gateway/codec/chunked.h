/* chunked.h -- decoder of the chunked transfer coding (RFC 9112, section 7).
 *
 * Works in place: the data moves down over the framing, so a read buffer needs
 * no second one. Pure.
 */
#ifndef FILEMUX_CODEC_CHUNKED_H
#define FILEMUX_CODEC_CHUNKED_H

#include "gateway/base/err.h"

struct chunked {
    int state;
    uint64_t left;     /* bytes of the chunk still to come */
    size_t line_bytes; /* of the size line or the trailers so far */
    size_t digits;
};

void chunked_init(struct chunked *c);

/* Decode p[0..n): data ends up in p[0..*out). *used is how much of the input
 * was looked at: less than n only once the end was reached, and then the rest
 * p[*used..n) is the next request's. Sizes have at most 15 hex digits;
 * extensions (LIMIT_CHUNK_LINE_BYTES) and trailers (LIMIT_TRAILER_BYTES) are
 * dropped; lines end in CRLF. BAD_REQUEST otherwise. */
enum gw_err chunked_decode(struct chunked *c, char *p, size_t n, size_t *used,
                           size_t *out, struct gw_error *e) MUSTCHECK;

/* The last chunk and its trailers have been read. */
bool chunked_is_done(const struct chunked *c);

#endif
