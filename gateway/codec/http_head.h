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

/* All views point into the text given to http_head_parse() (but for the "/" of
 * an absolute target without a path). */
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

/* Length of the head that starts at p + *skip, its blank line included; 0 while
 * it is not complete. The *skip bytes are empty lines before it (RFC 9112,
 * 2.2), to be dropped first. `from`: how many bytes of p an earlier call has
 * looked at. A head whose lines end in a bare LF is complete, too; it is for
 * http_head_parse() to refuse it. */
size_t http_head_length(const char *p, size_t n, size_t from, size_t *skip);

/* Check and split. Refused: BAD_REQUEST for bytes outside the token set in a
 * method or field name, white space before a colon, folded fields, a bare CR
 * or LF or a control byte anywhere, a repeated or malformed Host,
 * Content-Length or Transfer-Encoding, both of the latter, chunked on HTTP/1.0,
 * no Host on 1.1, a target in neither origin-form nor absolute-form, an escape
 * in it that is broken or %00; HTTP_VERSION for all but 1.0 and 1.1;
 * UNKNOWN_CODING; URI_TOO_LONG and HEAD_TOO_LARGE past the limits.
 * After any failure the connection must be closed. */
enum gw_err http_head_parse(struct http_head *h, struct str text,
                            struct gw_error *e) MUSTCHECK;

/* The first value of the field, or STR_NULL. Name without case. */
struct str http_head_get(const struct http_head *h, struct str name);

#endif
