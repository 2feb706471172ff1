#include "gateway/net/client_body.h"

#include "gateway/base/bug.h"

/* Bytes of stream segments; -1 when one of them has no length. */
static int64_t stream_length(const struct http_req *r)
{
    int64_t sum = 0;
    size_t i;

    for (i = 0; i < r->nsegs; i++) {
        if (r->segs[i].kind != HTTP_SEG_STREAM)
            continue;
        if (r->segs[i].len < 0)
            return -1;
        sum += r->segs[i].len;
    }
    return sum;
}

void client_body_init(struct client_body *b, const struct http_req *req,
                      struct pipe *source)
{
    int64_t n = stream_length(req);

    ASSERT(n == 0 || source);
    *b = (struct client_body){.req = req, .source = source};
    b->length = http_req_length(req);
    b->is_kept = n >= 0 && n <= LIMIT_RETRY_BODY;
    buf_init(&b->kept, LIMIT_RETRY_BODY);
    buf_init(&b->back, LIMIT_UPLOAD_BUFFER);
}

void client_body_release(struct client_body *b)
{
    buf_release(&b->kept);
    buf_release(&b->back);
}

bool client_body_is_replayable(const struct client_body *b)
{
    return b->is_kept;
}

bool client_body_is_over(const struct client_body *b)
{
    if (b->back.n)
        return false;
    return b->length >= 0 ? b->given == b->length : b->seg == b->req->nsegs;
}

struct str client_body_memory(const struct client_body *b)
{
    const struct http_req *r = b->req;

    if (r->nsegs == 0)
        return STR("");
    return r->nsegs == 1 ? r->segs[0].mem : STR_NULL;
}

bool client_body_rewind(struct client_body *b)
{
    if (!b->is_kept && b->from_source)
        return false;
    b->seg = 0;
    b->off = b->given = 0;
    b->replayed = 0;
    b->is_confirming = b->has_last = false;
    buf_clear(&b->back);
    return true;
}

void client_body_unread(struct client_body *b, const char *buf, size_t n)
{
    ASSERT(!b->back.n && n <= LIMIT_UPLOAD_BUFFER);
    buf_add(&b->back, buf, n);
    b->given -= (int64_t)n;
}

/* --- the stream --- */

static enum body_answer fail(struct client_body *b, const char *why)
{
    err_set(&b->error, GW_INTERNAL, "%s", why);
    return BODY_FAILED;
}

/* Up to cap bytes of the stream: those kept from an earlier sending first. */
static size_t take_stream(struct client_body *b, char *buf, size_t cap)
{
    size_t n = MIN(cap, b->kept.n - b->replayed);

    if (n) {
        memcpy(buf, b->kept.p + b->replayed, n);
        b->replayed += n;
        return n;
    }
    n = pipe_read(b->source, buf, cap);
    b->from_source += n;
    if (b->is_kept) {
        buf_add(&b->kept, buf, n);
        b->replayed += n;
    }
    return n;
}

/* Nothing came: why? */
static enum body_answer look_at_source(struct client_body *b)
{
    switch (pipe_outcome(b->source)) {
    case PIPE_OPEN:
        return BODY_WAIT;
    case PIPE_END:
        return BODY_OVER;
    case PIPE_ERROR:
        b->error = *pipe_error(b->source);
        return BODY_FAILED;
    default:
        return fail(b, "the upload was given up");
    }
}

/* A segment of exact length has been read: the stream must end here. */
static enum body_answer confirm_end(struct client_body *b)
{
    char extra;

    if (pipe_read(b->source, &extra, 1))
        return fail(b, "the upload is longer than was announced");
    return look_at_source(b);
}

static void next_seg(struct client_body *b)
{
    b->seg++;
    b->off = 0;
    b->is_confirming = false;
}

/* Whether no byte comes after the current segment. */
static bool is_last_seg(const struct client_body *b)
{
    const struct http_req *r = b->req;
    size_t i;

    for (i = b->seg + 1; i < r->nsegs; i++)
        if (r->segs[i].kind == HTTP_SEG_STREAM || r->segs[i].mem.n)
            return false;
    return true;
}

/* Wait for the end of the stream, then give the byte that was held back. */
static enum body_answer finish_stream(struct client_body *b, char *buf,
                                      size_t *n)
{
    enum body_answer a = confirm_end(b);

    if (a != BODY_OVER)
        return a;
    if (b->has_last)
        buf[(*n)++] = b->last;
    b->has_last = false;
    next_seg(b);
    return BODY_BYTES;
}

static enum body_answer read_exact(struct client_body *b, char *buf, size_t cap,
                                   size_t *n)
{
    int64_t left = b->req->segs[b->seg].len - b->off;
    enum body_answer a;

    if (left > 0) {
        *n = take_stream(b, buf, (size_t)MIN((int64_t)cap, left));
        b->off += (int64_t)*n;
        left -= (int64_t)*n;
    }
    if (left > 0) {
        a = *n ? BODY_BYTES : look_at_source(b);
        return a == BODY_OVER ? fail(b, "the upload is shorter than was "
                                        "announced")
                              : a;
    }
    b->is_confirming = true;
    if (*n && is_last_seg(b)) {
        b->last = buf[--*n];
        b->has_last = true;
    }
    return finish_stream(b, buf, n);
}

static enum body_answer read_to_end(struct client_body *b, char *buf,
                                    size_t cap, size_t *n)
{
    enum body_answer a;

    *n = take_stream(b, buf, cap);
    if (*n)
        return BODY_BYTES;
    a = look_at_source(b);
    if (a != BODY_OVER)
        return a;
    next_seg(b);
    return BODY_BYTES;
}

static enum body_answer read_mem(struct client_body *b, char *buf, size_t cap,
                                 size_t *n)
{
    struct str mem = b->req->segs[b->seg].mem;

    *n = MIN(cap, mem.n - (size_t)b->off);
    if (*n)
        memcpy(buf, mem.p + b->off, *n);
    b->off += (int64_t)*n;
    if ((size_t)b->off == mem.n)
        next_seg(b);
    return BODY_BYTES;
}

/* --- reading --- */

/* One step: some bytes, or one segment further. */
static enum body_answer read_seg(struct client_body *b, char *buf, size_t cap,
                                 size_t *n)
{
    const struct http_seg *s = &b->req->segs[b->seg];

    if (s->kind == HTTP_SEG_MEM)
        return read_mem(b, buf, cap, n);
    if (b->is_confirming)
        return finish_stream(b, buf, n);
    if (s->len >= 0)
        return read_exact(b, buf, cap, n);
    return read_to_end(b, buf, cap, n);
}

static enum body_answer read_back(struct client_body *b, char *buf, size_t cap,
                                  size_t *n)
{
    *n = MIN(cap, b->back.n);
    memcpy(buf, b->back.p, *n);
    buf_consume(&b->back, *n);
    return BODY_BYTES;
}

enum body_answer client_body_read(struct client_body *b, char *buf, size_t cap,
                                  size_t *n)
{
    enum body_answer a = BODY_BYTES;
    size_t part, from;

    *n = 0;
    if (b->back.n)
        a = read_back(b, buf, cap, n);
    while (a == BODY_BYTES && *n < cap && b->seg < b->req->nsegs) {
        from = b->seg;
        part = 0;
        a = read_seg(b, buf + *n, cap - *n, &part);
        *n += part;
        /* A stream that gave less than was asked for has no more right now,
         * and asking again would cost a system call. */
        if (*n && b->seg == from)
            break;
    }
    if (a == BODY_FAILED)
        *n = 0;
    b->given += (int64_t)*n;
    if (*n)
        return BODY_BYTES;
    return a == BODY_BYTES ? BODY_OVER : a;
}
