/* A chunked body, decoded whole and in pieces of the first byte's size. */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/base/buf.h"
#include "gateway/base/bug.h"
#include "gateway/codec/chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct buf data;
    size_t used;
    enum gw_err err;
    bool is_done;
};

static void decode(struct run *r, struct str text, size_t step)
{
    struct chunked c;

    *r = (struct run){.err = GW_OK};
    buf_init(&r->data, 16 * MIB);
    chunked_init(&c);
    while (r->used < text.n && r->err == GW_OK && !chunked_is_done(&c)) {
        size_t n = MIN(step, text.n - r->used), used, out;
        char *piece = xmalloc(n);

        memcpy(piece, text.p + r->used, n);
        r->err = chunked_decode(&c, piece, n, &used, &out, NULL);
        ASSERT(used <= n && out <= used);
        ASSERT(used == n || r->err != GW_OK || chunked_is_done(&c));
        buf_add(&r->data, piece, out);
        r->used += used;
        free(piece);
    }
    r->is_done = chunked_is_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run whole, pieces;
    struct str text;

    if (!size)
        return 0;
    text = str_make((const char *)data + 1, size - 1);
    decode(&whole, text, text.n);
    decode(&pieces, text, 1 + data[0]);
    ASSERT(whole.err == pieces.err && whole.is_done == pieces.is_done);
    ASSERT(whole.used == pieces.used);
    ASSERT(str_eq(buf_str(&whole.data), buf_str(&pieces.data)));
    buf_release(&whole.data);
    buf_release(&pieces.data);
    return 0;
}
