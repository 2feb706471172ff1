/* client_reply.h -- a provider's answer, collected into a struct http_res.
 *
 * Takes the header lines one by one, as curl hands them out: 1xx blocks are
 * skipped, what comes after the final block (trailers) is ignored, and lines
 * that HTTP does not allow are refused. Bodies that do not go to a sink are
 * collected up to LIMIT_UPSTREAM_REPLY_BYTES.
 */
#ifndef FILEMUX_NET_CLIENT_REPLY_H
#define FILEMUX_NET_CLIENT_REPLY_H

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/codec/http_msg.h"

struct client_reply {
    struct http_res res; /* status is 0 until the final head is in */
    bool has_bytes;      /* anything came at all */
    /* --- private --- */
    struct arena *arena;
    struct buf body;
    size_t head_bytes;
    int status; /* of the block being read */
};

void client_reply_init(struct client_reply *r);
void client_reply_release(struct client_reply *r);

/* One header line with its line end. True in *is_head when it ended the final
 * block: res has status and fields from now on. */
enum gw_err client_reply_line(struct client_reply *r, struct str line,
                              bool *is_head, struct gw_error *e) MUSTCHECK;
/* Body bytes to collect; false when the bound is reached (body_was_cut). */
bool client_reply_body(struct client_reply *r, const char *p,
                       size_t n) MUSTCHECK;
/* The body is over: res.body is set. */
void client_reply_finish(struct client_reply *r);

#endif
