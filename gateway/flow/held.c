#include "gateway/flow/held.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "gateway/base/bug.h"

struct held {
    atomic_int_fast64_t bytes;
};

struct held *held_new(void)
{
    return xcalloc(1, sizeof(struct held));
}

void held_free(struct held *h)
{
    ASSERT(!h || atomic_load(&h->bytes) == 0);
    free(h);
}

enum gw_err held_take(struct held *h, int64_t bytes, int64_t max,
                      struct gw_error *e)
{
    if (atomic_fetch_add(&h->bytes, bytes) + bytes <= max)
        return GW_OK;
    atomic_fetch_sub(&h->bytes, bytes);
    return err_set(e, GW_OVERLOADED,
                   "too many large requests are under way at a time; try "
                   "again soon");
}

void held_give_back(struct held *h, int64_t bytes)
{
    atomic_fetch_sub(&h->bytes, bytes);
}

/* --- buffers --- */

#define STEP_BYTES ((int64_t)(64 * KIB))

void held_buf_init(struct held_buf *b, struct held *h, int64_t max_bytes,
                   int64_t max_held)
{
    *b = (struct held_buf){.held = h, .max_held = max_held};
    buf_init(&b->buf, (size_t)max_bytes);
}

void held_buf_release(struct held_buf *b)
{
    buf_release(&b->buf);
    if (b->taken)
        held_give_back(b->held, b->taken);
    b->taken = 0;
}

enum gw_err held_buf_expect(struct held_buf *b, int64_t bytes,
                            struct gw_error *e)
{
    int64_t more = bytes - b->taken;

    if (more <= 0)
        return GW_OK;
    if (held_take(b->held, more, b->max_held, e) != GW_OK)
        return e->err;
    b->taken = bytes;
    return GW_OK;
}

enum gw_err held_buf_add(struct held_buf *b, const char *p, size_t n,
                         struct gw_error *e)
{
    int64_t all = (int64_t)(b->buf.n + n);

    if (all > b->taken &&
        held_buf_expect(b, MAX(all, b->taken + STEP_BYTES), e) != GW_OK)
        return e->err;
    buf_add(&b->buf, p, n);
    if (b->buf.overflow)
        return err_plain(e, GW_BODY_TOO_LARGE);
    return GW_OK;
}
