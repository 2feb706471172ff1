/* What is held is a list of chunks. A write that the reader takes at once
 * (push) and a read that the writer can serve at once (pull) never touch it.
 *
 * Calls back: a half that is on the stack inside one of its own calls is not
 * called; in_writer and in_reader count that. What must reach it then goes
 * through a deferred task, and so does resume(), always: going on may well
 * write, and the reader is in the middle of reading.
 *
 * is_waiting is the reader's edge: it has seen nothing (or has not looked yet)
 * and is owed one readable() when there is something.
 */
#include "gateway/net/pipe.h"

#include <stdlib.h>

#include "gateway/base/bug.h"

/* Small writes share chunks of this size; larger ones get their own. One
 * emptied chunk up to that size is kept for the next write. */
#define CHUNK_BYTES (16 * KIB)

struct chunk {
    struct chunk *next;
    size_t start, end, cap;
    char data[];
};

struct pipe {
    struct loop *loop;
    size_t low, high;
    struct metric_series *held;

    enum pipe_outcome outcome;
    struct gw_error error;

    struct chunk *first, *last;
    size_t level;
    uint64_t total;

    const struct pipe_writer_ops *writer;
    const struct pipe_reader_ops *reader;
    void *writer_arg, *reader_arg;
    unsigned in_writer, in_reader;
    bool is_holding;  /* the writer was told to hold */
    bool is_waiting;  /* the reader is owed a readable() */
    bool is_notified; /* a pulled writer has something */
    bool was_told;    /* cancelled() has been called */
    struct loop_task wake_task, resume_task, cancel_task;
};

static const struct pipe_writer_ops no_writer;
static const struct pipe_reader_ops no_reader;

/* --- what is held --- */

static void count_level(struct pipe *p, int64_t delta)
{
    p->level = (size_t)((int64_t)p->level + delta);
    if (p->held)
        metric_add(p->held, delta);
}

static struct chunk *room(struct pipe *p, size_t len)
{
    size_t cap = MAX(len, (size_t)CHUNK_BYTES);
    struct chunk *c = p->last;

    if (c && c->cap > c->end)
        return c;
    c = xmalloc(sizeof(*c) + cap);
    *c = (struct chunk){.cap = cap};
    if (p->last)
        p->last->next = c;
    else
        p->first = c;
    p->last = c;
    return c;
}

static void hold_bytes(struct pipe *p, const char *buf, size_t len)
{
    struct chunk *c;
    size_t n;

    count_level(p, (int64_t)len);
    while (len > 0) {
        c = room(p, len);
        n = MIN(len, c->cap - c->end);
        memcpy(c->data + c->end, buf, n);
        c->end += n;
        buf += n;
        len -= n;
    }
}

/* The first chunk is used up. */
static void drop_chunk(struct pipe *p)
{
    struct chunk *c = p->first;

    if (c == p->last && c->cap <= CHUNK_BYTES) {
        c->start = c->end = 0;
        return;
    }
    p->first = c->next;
    if (!p->first)
        p->last = NULL;
    free(c);
}

static void forget_bytes(struct pipe *p, size_t n)
{
    struct chunk *c;
    size_t part;

    ASSERT(n <= p->level);
    count_level(p, -(int64_t)n);
    while (n > 0) {
        c = p->first;
        part = MIN(n, c->end - c->start);
        c->start += part;
        n -= part;
        if (c->start == c->end)
            drop_chunk(p);
    }
}

static size_t take_bytes(struct pipe *p, char *buf, size_t cap)
{
    size_t n = MIN(cap, p->level), done = 0, part;
    struct chunk *c = p->first;

    for (; done < n; c = c->next) {
        part = MIN(n - done, c->end - c->start);
        memcpy(buf + done, c->data + c->start, part);
        done += part;
    }
    forget_bytes(p, n);
    return n;
}

/* --- calling the halves --- */

static bool has_something(const struct pipe *p)
{
    return p->level > 0 || p->is_notified || p->outcome == PIPE_END ||
           p->outcome == PIPE_ERROR;
}

static void wake_later(void *arg);

/* Tell the reader, if it is owed that and there is something. */
static void wake_reader(struct pipe *p)
{
    if (!p->is_waiting || !p->reader->readable || !has_something(p))
        return;
    if (p->in_reader) {
        loop_defer(p->loop, &p->wake_task, wake_later, p);
        return;
    }
    p->is_waiting = false;
    p->reader->readable(p->reader_arg);
}

static void wake_later(void *arg)
{
    wake_reader(arg);
}

static void resume_later(void *arg)
{
    struct pipe *p = arg;

    if (p->outcome == PIPE_OPEN && !p->is_holding && p->writer->resume)
        p->writer->resume(p->writer_arg);
}

static void release_hold(struct pipe *p)
{
    if (!p->is_holding || p->level > p->low || p->outcome != PIPE_OPEN)
        return;
    p->is_holding = false;
    loop_defer(p->loop, &p->resume_task, resume_later, p);
}

static void tell_cancelled(void *arg)
{
    struct pipe *p = arg;

    if (p->was_told || !p->writer->cancelled)
        return;
    p->was_told = true;
    p->writer->cancelled(p->writer_arg);
}

static void drop_all(struct pipe *p)
{
    forget_bytes(p, p->level);
}

/* --- both --- */

struct pipe *pipe_new(struct loop *l, size_t low, size_t high,
                      struct metric_series *held)
{
    struct pipe *p = xcalloc(1, sizeof(*p));

    ASSERT(low < high);
    p->loop = l;
    p->low = low;
    p->high = high;
    p->held = held;
    p->writer = &no_writer;
    p->reader = &no_reader;
    p->is_waiting = true;
    return p;
}

void pipe_free(struct pipe *p)
{
    struct chunk *c;

    if (!p)
        return;
    ASSERT(!p->in_writer && !p->in_reader);
    drop_all(p);
    loop_task_cancel(p->loop, &p->wake_task);
    loop_task_cancel(p->loop, &p->resume_task);
    loop_task_cancel(p->loop, &p->cancel_task);
    while ((c = p->first)) {
        p->first = c->next;
        free(c);
    }
    free(p);
}

enum pipe_outcome pipe_outcome(const struct pipe *p)
{
    return p->outcome;
}

bool pipe_is_drained(const struct pipe *p)
{
    return p->outcome == PIPE_END && !p->level;
}

const struct gw_error *pipe_error(const struct pipe *p)
{
    return &p->error;
}

size_t pipe_level(const struct pipe *p)
{
    return p->level;
}

uint64_t pipe_total(const struct pipe *p)
{
    return p->total;
}

/* --- the writer's half --- */

void pipe_set_writer(struct pipe *p, const struct pipe_writer_ops *ops,
                     void *arg)
{
    p->writer = ops ? ops : &no_writer;
    p->writer_arg = arg;
    p->is_holding = p->is_notified = false;
    loop_task_cancel(p->loop, &p->resume_task);
    loop_task_cancel(p->loop, &p->cancel_task);
    if (!ops)
        return;
    if (p->outcome == PIPE_CANCELLED) {
        loop_defer(p->loop, &p->cancel_task, tell_cancelled, p);
    } else if (ops->pull) {
        /* The reader may have looked before there was a writer. */
        p->is_notified = true;
        loop_defer(p->loop, &p->wake_task, wake_later, p);
    }
}

bool pipe_write(struct pipe *p, const char *buf, size_t len)
{
    size_t taken = 0;

    if (p->outcome == PIPE_CANCELLED)
        return false;
    ASSERT(p->outcome == PIPE_OPEN);
    p->in_writer++;
    if (!p->level && !p->in_reader && p->reader->push)
        taken = p->reader->push(p->reader_arg, buf, len);
    ASSERT(taken <= len);
    p->total += taken;
    /* The reader may have given up meanwhile. */
    if (taken < len && p->outcome == PIPE_OPEN) {
        hold_bytes(p, buf + taken, len - taken);
        wake_reader(p);
    }
    p->in_writer--;
    if (p->outcome != PIPE_OPEN)
        return false;
    p->is_holding = p->level >= p->high;
    return !p->is_holding;
}

void pipe_notify(struct pipe *p)
{
    if (p->outcome != PIPE_OPEN)
        return;
    p->is_notified = true;
    p->in_writer++;
    wake_reader(p);
    p->in_writer--;
}

static void set_outcome(struct pipe *p, enum pipe_outcome outcome)
{
    p->outcome = outcome;
    p->is_notified = false;
    p->in_writer++;
    wake_reader(p);
    p->in_writer--;
}

void pipe_end(struct pipe *p)
{
    if (p->outcome == PIPE_OPEN)
        set_outcome(p, PIPE_END);
}

void pipe_fail(struct pipe *p, const struct gw_error *e)
{
    ASSERT(e->err != GW_OK);
    if (p->outcome != PIPE_OPEN)
        return;
    p->error = *e;
    drop_all(p);
    p->is_waiting = true; /* what it was told of is gone: tell it again */
    set_outcome(p, PIPE_ERROR);
}

/* --- the reader's half --- */

void pipe_set_reader(struct pipe *p, const struct pipe_reader_ops *ops,
                     void *arg)
{
    p->reader = ops ? ops : &no_reader;
    p->reader_arg = arg;
    p->is_waiting = true;
    if (ops && has_something(p))
        loop_defer(p->loop, &p->wake_task, wake_later, p);
    else
        loop_task_cancel(p->loop, &p->wake_task);
}

static size_t pull_bytes(struct pipe *p, char *buf, size_t cap)
{
    size_t n;

    if (p->outcome != PIPE_OPEN || !p->writer->pull)
        return 0;
    p->is_notified = false;
    n = p->writer->pull(p->writer_arg, buf, cap);
    ASSERT(n <= cap);
    /* It may have written instead. */
    return n || !p->level ? n : take_bytes(p, buf, cap);
}

size_t pipe_read(struct pipe *p, char *buf, size_t cap)
{
    size_t n;

    if (!cap)
        return 0;
    p->in_reader++;
    n = p->level ? take_bytes(p, buf, cap) : pull_bytes(p, buf, cap);
    p->in_reader--;
    p->total += n;
    p->is_waiting = !n && p->outcome == PIPE_OPEN;
    release_hold(p);
    return n;
}

int pipe_peek(struct pipe *p, struct iovec *v, int max)
{
    struct chunk *c;
    int n = 0;

    for (c = p->first; c && n < max; c = c->next) {
        if (c->start < c->end)
            v[n++] = (struct iovec){c->data + c->start, c->end - c->start};
    }
    if (!p->level)
        p->is_waiting = p->outcome == PIPE_OPEN;
    return n;
}

void pipe_drain(struct pipe *p, size_t n)
{
    forget_bytes(p, n);
    p->total += n;
    if (!p->level)
        p->is_waiting = p->outcome == PIPE_OPEN;
    release_hold(p);
}

void pipe_cancel(struct pipe *p)
{
    drop_all(p);
    if (p->outcome != PIPE_OPEN)
        return;
    p->outcome = PIPE_CANCELLED;
    p->is_waiting = p->is_notified = false;
    if (p->in_writer) {
        loop_defer(p->loop, &p->cancel_task, tell_cancelled, p);
        return;
    }
    p->in_reader++;
    tell_cancelled(p);
    p->in_reader--;
}
