/* http_msg.h -- an HTTP request to a provider and its response, as plain data.
 *
 * Providers write requests and read responses; net/http_client performs them.
 * A request's body is a list of segments: memory, or "the stream, up to n
 * bytes". That one type expresses a form (prefix, stream, suffix), a raw put,
 * and one part of many. All memory is the arena's of whoever builds it.
 */
#ifndef FILEMUX_CODEC_HTTP_MSG_H
#define FILEMUX_CODEC_HTTP_MSG_H

#include "gateway/base/arena.h"

struct http_field {
    struct str name, value;
};

/* Header fields in order. Names are compared without case. */
struct http_fields {
    struct http_field *v;
    size_t n, cap;
};

/* Appends; both views are borrowed and must live as long as the arena.
 * A value with CR, LF or NUL is a BUG: check what strangers send before. */
void http_fields_add(struct http_fields *f, struct arena *a, struct str name,
                     struct str value);
/* The first value with that name, or STR_NULL. */
struct str http_fields_get(const struct http_fields *f, struct str name);

enum http_seg_kind { HTTP_SEG_MEM, HTTP_SEG_STREAM };

struct http_seg {
    enum http_seg_kind kind;
    struct str mem; /* HTTP_SEG_MEM */
    int64_t len;    /* HTTP_SEG_STREAM: exactly so many bytes of the stream, or
                       -1: until it ends */
};

#define HTTP_SEGS_MAX 4

struct http_req {
    const char *method;
    struct str url; /* absolute */
    struct http_fields fields;
    struct http_seg segs[HTTP_SEGS_MAX];
    size_t nsegs;
    bool is_once;   /* on a new connection: one that turns out to be closed
                       makes the client send a request again */
    bool is_direct; /* not through the proxy: what it talks to is near */
    bool is_sink;   /* a 200 or 206 answer's body goes to the operation's sink
                       instead of res->body, */
    bool sinks_any; /* or that of any 2xx */
};

void http_req_add_mem(struct http_req *r, struct str mem);
void http_req_add_stream(struct http_req *r, int64_t len);
/* Does the body of an answer with that status go to the sink? */
bool http_req_sinks(const struct http_req *r, int status);
/* Sum of the segments; -1 when a stream's length is unknown, 0 for no body. */
int64_t http_req_length(const struct http_req *r);

struct http_res {
    int status;
    struct http_fields fields;
    struct str body; /* at most LIMIT_UPSTREAM_REPLY_BYTES; empty when the body
                        went to the sink */
    bool body_was_cut;    /* the provider sent more than the bound */
    bool is_from_private; /* its address is one of a private network */
};

#endif
