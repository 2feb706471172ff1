/* piece.h -- an upload's stream, one piece after the other, in memory.
 *
 * For providers that take a file in parts (PROV_READ). One byte more than was
 * asked for is read ahead, so that it is known which piece is the last. Held:
 * LIMIT_PIECE_BYTES at most, as much as has come, counted in `held`.
 *
 * All on the worker's loop; callbacks come from the loop, never from inside a
 * call.
 */
#ifndef FILEMUX_FLOW_PIECE_H
#define FILEMUX_FLOW_PIECE_H

#include "gateway/base/buf.h"
#include "gateway/net/pipe.h"

struct piece_ops {
    /* The piece that was asked for is there. */
    void (*ready)(void *arg, struct str bytes, bool is_last);
    /* The stream failed: at any time after the first piece_next(), once. */
    void (*failed)(void *arg, const struct gw_error *e);
};

struct piece {
    /* --- private --- */
    struct loop *loop;
    struct pipe *source;
    struct metric_series *held;
    const struct piece_ops *ops;
    void *arg;
    struct buf bytes;
    size_t used, want; /* the current piece; what is asked for, 0: nothing */
    struct loop_task task;
    bool has_failed;
};

/* Becomes the source's reader. held may be NULL. */
void piece_open(struct piece *p, struct loop *l, struct pipe *source,
                struct metric_series *held, const struct piece_ops *ops,
                void *arg);
/* Let go of the source and of the memory. Twice is fine. */
void piece_close(struct piece *p);
/* Drop the current piece; `want` bytes (1 to LIMIT_PIECE_BYTES), or what is
 * left, are the next. ready() or failed() follows. */
void piece_next(struct piece *p, size_t want);

#endif
