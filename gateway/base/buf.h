/* buf.h -- a growing byte buffer with a bound.
 *
 * Appending past the bound does not fail there and then: the buffer turns
 * `overflow` on, keeps what it had, and ignores what follows. So a row of
 * appends needs one check at its end. The content is always followed by a NUL
 * that is not counted.
 */
#ifndef FILEMUX_BASE_BUF_H
#define FILEMUX_BASE_BUF_H

#include <stdarg.h>

#include "gateway/base/str.h"

struct buf {
    char *p;       /* owned; NULL while nothing was appended */
    size_t n;      /* bytes of content */
    size_t cap;    /* bytes allocated */
    size_t max;    /* the bound on n */
    bool overflow; /* sticky: something did not fit */
};

/* Starts empty, no memory taken. */
void buf_init(struct buf *b, size_t max);
/* Frees the memory; as after buf_init. */
void buf_release(struct buf *b);
/* Empties it, keeps the memory, forgets an overflow. */
void buf_clear(struct buf *b);

void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_add_c(struct buf *b, const char *text);
void buf_add_byte(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTFLIKE(2, 3);

/* Room for n more bytes at the end, to be written by the caller and made
 * content with buf_commit(); NULL (and overflow) past the bound. */
char *buf_reserve(struct buf *b, size_t n) MUSTCHECK;
void buf_commit(struct buf *b, size_t n);
/* Drops n bytes at the front. */
void buf_consume(struct buf *b, size_t n);

/* View of the content; valid until the next change. */
static inline struct str buf_str(const struct buf *b)
{
    return str_make(b->p ? b->p : "", b->n);
}

#endif
