/* url.h -- percent-encoding, and the parts of paths and queries. Pure. */
#ifndef FILEMUX_CODEC_URL_H
#define FILEMUX_CODEC_URL_H

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/base/err.h"

/* All but the unreserved characters (RFC 3986, 2.3) as %XX. */
void url_encode(struct buf *out, struct str s);
struct str url_encoded(struct arena *a, struct str s) MUSTCHECK;
/* False for a broken escape or one that decodes to NUL. plus_is_space: as in
 * queries. */
bool url_decode(struct arena *a, struct str s, bool plus_is_space,
                struct str *out) MUSTCHECK;

/* The decoded value of the first parameter with that name, or STR_NULL.
 * A broken escape in it counts as an absent value. */
struct str url_query_get(struct arena *a, struct str raw_query,
                         struct str name);

/* base without trailing slashes, then path (starting with a slash). */
struct str url_join(struct arena *a, struct str base, struct str path);
/* What a reference in an answer to `base` means (RFC 3986, 5.2, without dot
 * segments, which are left as they are): an absolute http(s) URL without a
 * fragment, or STR_NULL when it is none, or has characters that no URL has. */
struct str url_resolve(struct arena *a, struct str base, struct str ref);
/* "https://host:port" of a URL, or STR_NULL if it is no http(s) URL or its
 * host is written in a way that readers differ about (user@, backslashes). */
struct str url_origin(struct str url);

#endif
