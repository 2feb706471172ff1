/* base64.h -- bytes as text (RFC 4648). Pure. */
#ifndef FILEMUX_CODEC_BASE64_H
#define FILEMUX_CODEC_BASE64_H

#include "gateway/base/buf.h"

/* Section 4: with padding. */
void base64_encode(struct buf *out, const void *bytes, size_t n);
/* Section 5, for URLs and JSON web tokens: '-' and '_', no padding. */
void base64_encode_url(struct buf *out, const void *bytes, size_t n);

#endif
