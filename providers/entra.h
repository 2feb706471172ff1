/* entra.h -- access tokens of Microsoft Entra ID, by client credentials.
 *
 * An application that has a secret gets tokens for a resource (OAuth 2.0, RFC
 * 6749, 4.4). One exchange: what a provider answers to PROV_GRANT.
 */
#ifndef FILEMUX_PROVIDERS_ENTRA_H
#define FILEMUX_PROVIDERS_ENTRA_H

#include "providers/provider.h"

/* For a provider's own section. */
struct entra_conf {
    const char *tenant_id, *client_id, *client_secret;
    const char *authority, *scope; /* never "" after the check */
};

/* Is any of the three that belong together set? */
bool entra_is_used(const struct entra_conf *c);
/* When it is used: is all there that it needs, and of use? */
enum gw_err entra_check(const struct entra_conf *c,
                        struct gw_error *e) MUSTCHECK;

/* PROV_GRANT: the request for a token, and its answer, into op->grant. An
 * error tells the word and the number that Entra has for it, and nothing that
 * names a tenant, an application or a secret. */
void entra_describe(struct prov_op *op, const struct entra_conf *c,
                    struct prov_exchange *x);
enum gw_err entra_read(struct prov_op *op, const struct http_res *res,
                       struct gw_error *e) MUSTCHECK;

#endif
