/* prov_util.h -- what several providers share: URLs, headers, error bodies. */
#ifndef FILEMUX_PROVIDERS_PROV_UTIL_H
#define FILEMUX_PROVIDERS_PROV_UTIL_H

#include "providers/provider.h"

/* Start x->http: method, base URL joined with the printf-ed path, the
 * configured extra headers. Ids in the path must be url_encoded(). */
void prov_http(struct prov_op *op, struct prov_exchange *x, const char *method,
               const char *path_fmt, ...) PRINTFLIKE(4, 5);

/* Turn a response outside 2xx into an error as providers.md, 19.4 says: the
 * provider's 400, 404, 413, 415, 422, 429 pass with their message and
 * Retry-After; 401 (and 403 about the credential) are UPSTREAM_AUTH; 5xx 502.
 * Reads every error shape of section 18 (nested, string, detail, XML, HTML,
 * empty). The upstream id is removed from the message; a message over 400
 * bytes is cut; HTML is never passed on. */
enum gw_err prov_http_error(const struct prov_op *op,
                            const struct http_res *res, struct gw_error *e);

/* Parse the response's body as JSON, or UPSTREAM_BAD_RESPONSE. */
struct json *prov_json(struct prov_op *op, const struct http_res *res,
                       struct gw_error *e) MUSTCHECK;

#endif
