/* pipe_ends.h -- for tests: a writer that is pulled and a reader, both as slow
 * and as well-behaved as the test wants, and bytes that can be recognised.
 */
#ifndef FILEMUX_TESTS_PIPE_ENDS_H
#define FILEMUX_TESTS_PIPE_ENDS_H

#include "gateway/base/bug.h"
#include "gateway/net/pipe.h"

/* Byte i of every stream in these tests, and the hash of bytes. */
static inline unsigned char pattern_byte(uint64_t i)
{
    return (unsigned char)(i ^ (i >> 8) * 7 ^ (i >> 16) * 13);
}

static inline void pattern_fill(char *buf, size_t n, uint64_t at)
{
    for (size_t i = 0; i < n; i++)
        buf[i] = (char)pattern_byte(at + i);
}

#define HASH_START 14695981039346656037ull

static inline uint64_t hash_add(uint64_t h, const void *p, size_t n)
{
    const unsigned char *b = p;

    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 1099511628211ull;
    return h;
}

static inline uint64_t hash_of(const char *text)
{
    return hash_add(HASH_START, text, strlen(text));
}

static inline uint64_t pattern_hash(uint64_t n)
{
    uint64_t h = HASH_START;

    for (uint64_t i = 0; i < n; i++) {
        unsigned char c = pattern_byte(i);

        h = hash_add(h, &c, 1);
    }
    return h;
}

/* --- the writer --- */

struct feed {
    struct pipe *p;
    struct loop_timer timer;
    uint64_t total;  /* bytes, then the end */
    size_t piece;    /* at most so many in one pull; 0: any */
    int64_t tick_ms; /* 0: at once; else a piece is there every so often */
    bool never_ends; /* falls silent instead */
    struct gw_error error; /* set: fails instead of ending */
    /* --- seen --- */
    uint64_t at;
    bool was_cancelled;
    /* --- private --- */
    bool is_due;
};

static inline void feed_stop(struct feed *f)
{
    if (f->never_ends)
        return;
    if (f->error.err != GW_OK)
        pipe_fail(f->p, &f->error);
    else
        pipe_end(f->p);
}

static inline size_t feed_pull(void *arg, char *buf, size_t cap)
{
    struct feed *f = arg;
    size_t n = f->piece ? MIN(cap, f->piece) : cap;

    if (f->tick_ms && !f->is_due) {
        loop_timer_set(&f->timer, f->tick_ms);
        return 0;
    }
    f->is_due = false;
    n = MIN(n, f->total - f->at);
    pattern_fill(buf, n, f->at);
    f->at += n;
    if (n == 0)
        feed_stop(f);
    return n;
}

static inline void feed_tick(void *arg)
{
    struct feed *f = arg;

    f->is_due = true;
    pipe_notify(f->p);
}

static inline void feed_cancelled(void *arg)
{
    struct feed *f = arg;

    f->was_cancelled = true;
}

static const struct pipe_writer_ops feed_ops = {
    .pull = feed_pull,
    .cancelled = feed_cancelled,
};

/* The fields before `at` are set by the caller, but for the pipe. */
static inline void feed_open(struct feed *f, struct loop *l)
{
    f->p = pipe_new(l, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH, NULL);
    loop_timer_init(l, &f->timer, feed_tick, f);
    pipe_set_writer(f->p, &feed_ops, f);
}

static inline void feed_close(struct feed *f)
{
    loop_timer_release(&f->timer);
    pipe_set_writer(f->p, NULL, NULL);
    pipe_free(f->p);
    f->p = NULL;
}

/* --- the reader --- */

struct drain {
    struct pipe *p;
    struct loop_timer timer;
    size_t per_tick; /* 0: takes everything at once */
    int64_t tick_ms;
    void (*on_bytes)(void *arg); /* optional */
    void (*on_end)(void *arg);   /* optional: END or ERROR was seen */
    void *arg;
    /* --- seen --- */
    uint64_t n, hash;
    size_t max_level;
    bool has_ended;
};

static inline void drain_take(struct drain *d, const char *p, size_t n)
{
    d->hash = hash_add(d->hash, p, n);
    d->n += n;
    if (d->on_bytes)
        d->on_bytes(d->arg);
}

static inline size_t drain_push(void *arg, const char *buf, size_t len)
{
    struct drain *d = arg;

    if (d->per_tick)
        return 0;
    drain_take(d, buf, len);
    return len;
}

static inline void drain_read(void *arg)
{
    struct drain *d = arg;
    char buf[65536];
    size_t n;

    d->max_level = MAX(d->max_level, pipe_level(d->p));
    do {
        n = pipe_read(d->p, buf,
                      d->per_tick ? MIN(d->per_tick, sizeof(buf))
                                  : sizeof(buf));
        drain_take(d, buf, n);
    } while (n && !d->per_tick);
    if (n) {
        loop_timer_set(&d->timer, d->tick_ms);
    } else if (!d->has_ended && pipe_outcome(d->p) != PIPE_OPEN) {
        d->has_ended = true;
        if (d->on_end)
            d->on_end(d->arg);
    }
}

static const struct pipe_reader_ops drain_ops = {
    .push = drain_push,
    .readable = drain_read,
};

static inline void drain_open(struct drain *d, struct loop *l)
{
    d->p = pipe_new(l, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH, NULL);
    d->hash = HASH_START;
    loop_timer_init(l, &d->timer, drain_read, d);
    pipe_set_reader(d->p, &drain_ops, d);
}

static inline void drain_close(struct drain *d)
{
    loop_timer_release(&d->timer);
    pipe_set_reader(d->p, NULL, NULL);
    pipe_free(d->p);
    d->p = NULL;
}

#endif
