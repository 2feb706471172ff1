#include "gateway/codec/base64.h"

static const char standard[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char for_urls[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Three bytes make four letters; one or two at the end make two or three. */
static void encode(struct buf *out, const unsigned char *p, size_t n,
                   const char *letters, bool pads)
{
    for (; n; p += 3, n -= MIN(n, 3)) {
        unsigned v = (unsigned)p[0] << 16 | (n > 1 ? (unsigned)p[1] << 8 : 0) |
                     (n > 2 ? p[2] : 0);

        for (size_t i = 0; i < 4; i++)
            if (i <= n)
                buf_add_byte(out, letters[v >> (18 - 6 * i) & 63]);
            else if (pads)
                buf_add_byte(out, '=');
    }
}

void base64_encode(struct buf *out, const void *bytes, size_t n)
{
    encode(out, bytes, n, standard, true);
}

void base64_encode_url(struct buf *out, const void *bytes, size_t n)
{
    encode(out, bytes, n, for_urls, false);
}
