/* sse.h -- an event stream (text/event-stream) cut into events.
 *
 * HTML Standard, section 9.2: lines end with CR LF, LF or CR; an empty line
 * ends an event; lines that begin with a colon are comments; a byte order mark
 * at the very beginning counts for nothing. What comes is handed on as whole
 * events, byte for byte, with views of what they say, as soon as an event is
 * complete: a stream is never held back longer. What stands behind the last
 * empty line is an event, too, when the stream ends: others read it as one.
 *
 *     sse_init(&s, max_bytes, &ops, arg);
 *     while (chunks come)
 *         sse_feed(&s, p, n, &e)     ──► ops.event, ops.rest
 *     sse_finish(&s);                ──► ops.event
 *     sse_release(&s);
 *
 * The bytes of all calls of event() (raw) and rest(), in their order, are the
 * bytes that were fed. An empty line that ends with CR ends its event there and
 * then; if the next chunk begins with its LF, that comes alone, by rest().
 *
 * Push, any chunks; an event above max_bytes is a fault. The callbacks must not
 * call back. Memory: an event that chunks cut, and the data of one that has
 * several lines of it. Pure.
 */
#ifndef FILEMUX_CODEC_SSE_H
#define FILEMUX_CODEC_SSE_H

#include "gateway/base/buf.h"
#include "gateway/base/err.h"

/* All are views for the time of the call. */
struct sse_event {
    struct str raw;   /* all of it, its empty line included; the stream's last
                         may have none */
    struct str name;  /* behind "event:", STR_NULL none */
    struct str data;  /* behind "data:", several joined with LF; STR_NULL none
                         (a block of comments, say) */
    bool is_one_line; /* the data is one line: a view of raw, at data_at */
    size_t data_at;
};

struct sse_ops {
    void (*event)(void *arg, const struct sse_event *ev);
    /* Bytes that are in no event: to be handed on as they are. */
    void (*rest)(void *arg, struct str raw);
};

struct sse {
    /* --- private --- */
    const struct sse_ops *ops;
    void *arg;
    size_t max_bytes;
    struct buf held;   /* the beginning of an event, whose end is to come */
    struct buf joined; /* data of several lines */
    bool has_line;     /* there are bytes on the line that is being read */
    bool is_after_cr;  /* an LF now belongs to the line before */
    bool is_between;   /* nothing of the next event has come */
    bool is_first;     /* a byte order mark may stand here */
    bool is_dead;      /* there was a fault, or it was the end */
};

void sse_init(struct sse *s, size_t max_bytes, const struct sse_ops *ops,
              void *arg);
void sse_release(struct sse *s);

/* UPSTREAM_BAD_RESPONSE: an event is above max_bytes. What was not handed on
 * by then never will be, and nothing more is fed. */
enum gw_err sse_feed(struct sse *s, const char *p, size_t n,
                     struct gw_error *e) MUSTCHECK;
/* The stream has ended. Once, and not after a fault. */
void sse_finish(struct sse *s);

/* Appends the event with other data, the rest of its lines byte for byte. Line
 * ends in the data make as many lines of it. An event without data stays. */
void sse_write(const struct sse_event *ev, struct str data, struct buf *out);

/* Bytes that it holds at the moment. */
static inline size_t sse_holds(const struct sse *s)
{
    return s->held.n + s->joined.n;
}

#endif
