/* http_head.h -- a strict reader of HTTP/1.1 request heads (RFC 9112).
 *
 * Everything that lets two parsers disagree about where a request ends is
 * refused here, before any library sees it: that is how requests get smuggled
 * past an authenticating proxy. Pure; the input is one complete head.
 */
#ifndef FILEMUX_CODEC_HTTP_HEAD_H
#define FILEMUX_CODEC_HTTP_HEAD_H

#include "gateway/base/err.h"

enum http_body_kind { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

struct http_head_field {
    struct str name, value; /* value trimmed */
};

/* All views point into the text given to http_head_parse(). */
struct http_head {
    struct str method;
    struct str target;    /* as sent, scheme and authority removed */
    struct str raw_path;  /* before '?', still percent-encoded */
    struct str raw_query; /* after '?', STR_NULL for none */
    int minor;            /* HTTP/1.minor */
    struct http_head_field fields[LIMIT_HEAD_FIELDS];
    size_t nfields;
    enum http_body_kind body;
    int64_t content_length; /* HTTP_BODY_LENGTH: 0 or more; else -1 */
    bool expects_continue;  /* Expect: 100-continue on HTTP/1.1 */
    bool keep_alive;        /* the client wants the connection kept */
};

/* Length of the head that starts at p, its blank line included; 0 while it is
 * not complete. Empty lines before it (RFC 9112, 2.2) are *skip bytes to drop
 * first. `from`: how many bytes an earlier call has looked at. */
size_t http_head_length(const char *p, size_t n, size_t from, size_t *skip);

/* Check and split. Refusals are those of RFC 9112 as in the file's comment:
 * BAD_REQUEST, URI_TOO_LONG, HEAD_TOO_LARGE, UNKNOWN_CODING, HTTP_VERSION.
 * After any failure the connection must be closed. */
enum gw_err http_head_parse(struct http_head *h, struct str text,
                            struct gw_error *e) MUSTCHECK;

/* The first value of the field, or STR_NULL. Name without case. */
struct str http_head_get(const struct http_head *h, struct str name);

#endif
