/* log_impl.h -- what log.c and log_redact.c share; for nobody else.
 *
 * log.c builds and writes lines, log_redact.c finds what must not be in them.
 */
#ifndef FILEMUX_BASE_LOG_IMPL_H
#define FILEMUX_BASE_LOG_IMPL_H

#include <stdatomic.h>

#include "gateway/base/log.h"

enum log_mark {
    LOG_MARK_ESCAPE = 1, /* does not go out as it is */
    LOG_MARK_START = 2,  /* may begin an API key, a bearer token or a URL */
    LOG_MARK_SECRET = 4, /* is the first byte of a registered secret */
    LOG_MARK_QUOTE = 8,  /* logfmt puts the value in quotes */
};

/* For every byte, the marks that it has. */
extern atomic_uchar log_marks[256];

static inline unsigned log_mark_of(char c)
{
    return atomic_load_explicit(&log_marks[(unsigned char)c],
                                memory_order_relaxed);
}

/* A value on its way into a line. */
struct log_scan {
    struct str v;
    size_t at;      /* bytes before this are dealt with */
    size_t url_end; /* where the URL ends that `at` is in; 0: in none */
};

/* Something to hide: the first `keep` bytes are shown, then "***" stands for
 * the `hide` bytes that follow. */
struct log_cover {
    size_t keep, hide;
};

/* Whether something to hide begins at s->at, a byte with these marks. To be
 * asked in order, for it keeps in s what it knows of the URL it is in. */
bool log_find_cover(struct log_scan *s, unsigned mark, struct log_cover *c);

#endif
