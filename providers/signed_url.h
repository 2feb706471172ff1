/* signed_url.h -- URLs that are permission enough by themselves.
 *
 * Some providers let files be put to, or got from, a storage by a URL that they
 * sign. Whoever knows one may do so for its time: it is a secret, and is in no
 * message. The storage is somebody else's: neither the provider's credentials
 * nor the configured header fields go there.
 */
#ifndef FILEMUX_PROVIDERS_SIGNED_URL_H
#define FILEMUX_PROVIDERS_SIGNED_URL_H

#include "providers/provider.h"

/* A copy of what the provider's answer holds, in op->arena; or STR_NULL unless
 * it is an absolute https URL (http where base_url is http, too). */
struct str signed_url_take(struct prov_op *op, struct str url) MUSTCHECK;

/* Start x->http, with an empty header. */
void signed_url_put(struct prov_exchange *x, struct str url);
/* All of a download: op's range, the answer into the sink. */
void signed_url_get(struct prov_op *op, struct prov_exchange *x,
                    struct str url);

/* Turn the storage's answer outside 2xx into an error. What it refuses is not
 * the client's doing: a failure of the provider, 502; but for sizes, ranges,
 * rates, and (content) a file that is not there. */
enum gw_err signed_url_error(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e);

#endif
