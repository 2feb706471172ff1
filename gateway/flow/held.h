/* held.h -- how much the bodies that are held in memory take together.
 *
 * One for the process. Who is about to hold bytes asks for them before, and
 * gives them back when they are freed. Any thread.
 */
#ifndef FILEMUX_FLOW_HELD_H
#define FILEMUX_FLOW_HELD_H

#include "gateway/base/buf.h"
#include "gateway/base/err.h"

struct held;

struct held *held_new(void) MUSTCHECK;
void held_free(struct held *h);

/* OVERLOADED, and nothing is taken, when that would be more than max. */
enum gw_err held_take(struct held *h, int64_t bytes, int64_t max,
                      struct gw_error *e) MUSTCHECK;
void held_give_back(struct held *h, int64_t bytes);

/* A buffer whose bytes are accounted for. */
struct held_buf {
    struct buf buf;
    /* --- private --- */
    struct held *held;
    int64_t max_held, taken;
};

/* At most max_bytes of its own, max_held of all. */
void held_buf_init(struct held_buf *b, struct held *h, int64_t max_bytes,
                   int64_t max_held);
void held_buf_release(struct held_buf *b);
/* Ask for room for so many bytes in all, which are to come: OVERLOADED. */
enum gw_err held_buf_expect(struct held_buf *b, int64_t bytes,
                            struct gw_error *e) MUSTCHECK;
/* BODY_TOO_LARGE, or OVERLOADED. */
enum gw_err held_buf_add(struct held_buf *b, const char *p, size_t n,
                         struct gw_error *e) MUSTCHECK;

#endif
