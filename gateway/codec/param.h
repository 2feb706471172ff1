/* param.h -- the parameters of a header value: form-data; name="x"; y=z.
 *
 * Forgiving where all readers agree on the meaning (white space, a missing
 * value's quotes, a last semicolon), strict where they would not. Pure.
 */
#ifndef FILEMUX_CODEC_PARAM_H
#define FILEMUX_CODEC_PARAM_H

#include "gateway/base/str.h"

struct param {
    struct str name;
    struct str raw; /* the value, without its quotes but still escaped */
    bool is_quoted;
};

enum param_result {
    PARAM_NONE,   /* there is no further one */
    PARAM_TAKEN,  /* *p is the next one */
    PARAM_BROKEN, /* what follows is no parameter */
};

/* The value up to its first semicolon, trimmed; *rest is what follows, for
 * param_next(). */
struct str param_head(struct str value, struct str *rest);
/* Take the next parameter off *rest. */
enum param_result param_next(struct str *rest, struct param *p) MUSTCHECK;

/* Undo the escapes of forms: %22 %0D %0A, which HTML writes, and \" \\ of a
 * quoted value, which curl writes. `to` holds p->raw.n bytes and may be where
 * p->raw is. The length. */
size_t param_decode(const struct param *p, char *to) MUSTCHECK;
/* The same for an extended value (RFC 8187: UTF-8''na%C3%AFve). *is_known is
 * false, and nothing decoded, if it is in another charset. False if it is
 * broken. */
bool param_decode_extended(const struct param *p, char *to, size_t *n,
                           bool *is_known) MUSTCHECK;

/* Whether the whole is a token (RFC 9110, 5.6.2) of at least one byte. */
bool param_is_token(struct str s);

#endif
