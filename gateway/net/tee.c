/* tee.c -- a pump between pipes.
 *
 * A pipe that is full answers a write with "hold", and calls resume() later;
 * the pump goes on when none of them holds. It runs when the source has
 * something, when the last pipe resumes, and once more in the next round of
 * this turn when it has moved LIMIT_TURN_BYTES, so that others get theirs. It
 * never runs inside itself: what calls it then finds the pump's own loop.
 */
#include "gateway/net/tee.h"

#include <stdlib.h>

#include "gateway/base/bug.h"

#define SCRATCH_BYTES (64 * KIB)

struct branch {
    struct tee *tee;
    struct pipe *pipe;
    bool is_holding;
};

struct tee {
    struct loop *loop;
    struct pipe *source;
    struct branch v[LIMIT_FAN_OUT];
    size_t n;
    struct loop_task task; /* the pump's next round */
    bool is_pumping;
    bool is_over; /* the source's outcome was told, or a reader gave up */
    char scratch[SCRATCH_BYTES];
};

static bool is_held(const struct tee *t)
{
    size_t i;

    for (i = 0; i < t->n; i++)
        if (t->v[i].is_holding)
            return true;
    return false;
}

/* Nothing could be read. */
static void tell_outcome(struct tee *t)
{
    size_t i;

    switch (pipe_outcome(t->source)) {
    case PIPE_END:
        t->is_over = true;
        for (i = 0; i < t->n; i++)
            pipe_end(t->v[i].pipe);
        break;
    case PIPE_ERROR:
        t->is_over = true;
        for (i = 0; i < t->n; i++)
            pipe_fail(t->v[i].pipe, pipe_error(t->source));
        break;
    default: /* more will come, and readable() */
        break;
    }
}

/* A reader that gives up in the middle is told to us later: the others have
 * had these bytes, too, and no more follow. */
static void give(struct tee *t, size_t n)
{
    size_t i;

    for (i = 0; i < t->n; i++) {
        struct branch *b = &t->v[i];

        b->is_holding = !pipe_write(b->pipe, t->scratch, n);
        if (pipe_outcome(b->pipe) == PIPE_CANCELLED)
            t->is_over = true;
    }
}

static void pump(void *arg)
{
    struct tee *t = arg;
    size_t moved = 0, n = 1;

    if (t->is_pumping)
        return;
    t->is_pumping = true;
    while (!t->is_over && n && !is_held(t) && moved < LIMIT_TURN_BYTES) {
        n = pipe_read(t->source, t->scratch, sizeof(t->scratch));
        moved += n;
        if (n)
            give(t, n);
        else
            tell_outcome(t);
    }
    t->is_pumping = false;
    if (moved >= LIMIT_TURN_BYTES && !t->is_over && !is_held(t))
        loop_defer(t->loop, &t->task, pump, t);
}

/* An error is told at once, also to those that are full. */
static void on_readable(void *arg)
{
    struct tee *t = arg;

    if (!t->is_over && !t->is_pumping && pipe_outcome(t->source) == PIPE_ERROR)
        tell_outcome(t);
    pump(t);
}

static void on_resume(void *arg)
{
    struct branch *b = arg;

    b->is_holding = false;
    pump(b->tee);
}

static void on_cancelled(void *arg)
{
    struct branch *b = arg;

    b->tee->is_over = true;
    pipe_cancel(b->tee->source);
}

static const struct pipe_reader_ops reader_ops = {.readable = on_readable};
static const struct pipe_writer_ops writer_ops = {
    .resume = on_resume,
    .cancelled = on_cancelled,
};

struct tee *tee_new(struct loop *l, struct pipe *source, size_t n,
                    struct metric_series *held)
{
    struct tee *t = xcalloc(1, sizeof(*t));
    size_t i;

    ASSERT(n >= 1 && n <= LIMIT_FAN_OUT);
    t->loop = l;
    t->source = source;
    t->n = n;
    for (i = 0; i < n; i++) {
        struct branch *b = &t->v[i];

        b->tee = t;
        b->pipe = pipe_new(l, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH, held);
        pipe_set_writer(b->pipe, &writer_ops, b);
    }
    pipe_set_reader(source, &reader_ops, t);
    /* A source that is pulled may wait for the first read. */
    loop_defer(l, &t->task, pump, t);
    return t;
}

struct pipe *tee_pipe(struct tee *t, size_t i)
{
    ASSERT(i < t->n);
    return t->v[i].pipe;
}

void tee_free(struct tee *t)
{
    size_t i;

    if (!t)
        return;
    ASSERT(!t->is_pumping);
    loop_task_cancel(t->loop, &t->task);
    pipe_set_reader(t->source, NULL, NULL);
    for (i = 0; i < t->n; i++)
        pipe_free(t->v[i].pipe);
    free(t);
}
