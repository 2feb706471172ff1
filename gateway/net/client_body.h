/* client_body.h -- a request's body as a row of bytes that can be read again.
 *
 * Joins the segments of a request (memory and stream) for http_client.c. A
 * stream of known length up to LIMIT_RETRY_BODY is kept while it is read, so
 * that the body can be sent a second time; longer ones are not.
 *
 * A stream segment of exact length must be all that is left of the stream: one
 * that ends early, goes on, or fails after its last byte is an error. So the
 * last byte of the body is not given away before the stream has ended well,
 * and a request whose source is bad is never completed.
 */
#ifndef FILEMUX_NET_CLIENT_BODY_H
#define FILEMUX_NET_CLIENT_BODY_H

#include "gateway/base/buf.h"
#include "gateway/codec/http_msg.h"
#include "gateway/net/pipe.h"

enum body_answer {
    BODY_BYTES,  /* some were written to the buffer */
    BODY_WAIT,   /* none now; the source will call readable() */
    BODY_OVER,   /* all have been given */
    BODY_FAILED, /* see `error` */
};

struct client_body {
    const struct http_req *req;
    struct pipe *source;
    int64_t length;       /* of the whole; -1 unknown */
    int64_t given;        /* bytes given since the start or the last rewind */
    uint64_t from_source; /* bytes ever taken from the source */
    struct gw_error error;
    /* --- private --- */
    size_t seg;      /* where reading stands: segment, */
    int64_t off;     /* offset in it */
    size_t replayed; /* and position in `kept` */
    struct buf kept; /* what the stream gave, when it is short */
    struct buf back; /* given back by client_body_unread() */
    char last;       /* the byte held back */
    bool is_kept, is_confirming, has_last;
};

/* req and source are borrowed. */
void client_body_init(struct client_body *b, const struct http_req *req,
                      struct pipe *source);
void client_body_release(struct client_body *b);
/* Up to cap bytes into buf, *n of them. */
enum body_answer client_body_read(struct client_body *b, char *buf, size_t cap,
                                  size_t *n) MUSTCHECK;
/* Take back what the last read gave: the next one gives it again. */
void client_body_unread(struct client_body *b, const char *buf, size_t n);
/* To the first byte again; false when that is no longer possible. */
bool client_body_rewind(struct client_body *b) MUSTCHECK;
/* Whether rewinding will work however much has been read. */
bool client_body_is_replayable(const struct client_body *b);
/* Whether all bytes were given. */
bool client_body_is_over(const struct client_body *b);
/* The whole body when it is one piece of memory (or nothing), else STR_NULL. */
struct str client_body_memory(const struct client_body *b);

#endif
