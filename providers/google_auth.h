/* google_auth.h -- access tokens of Google's cloud, for the types gcs, vertex.
 *
 * Three sources, as the configuration has them: a token that is given, the key
 * of a service account (an RS256-signed JWT is exchanged for a token: RFC
 * 7523), or the metadata server of the machine. The last two are had by one
 * exchange, the operation PROV_GRANT. Pure.
 */
#ifndef FILEMUX_PROVIDERS_GOOGLE_AUTH_H
#define FILEMUX_PROVIDERS_GOOGLE_AUTH_H

#include "providers/provider.h"

/* Part of a type's own section. What is not used is "". */
struct google_auth {
    const char *token;
    const char *credentials; /* the JSON of a service account's key file */
    const char *scope;
    const char *metadata_url;
};

/* Rows of a table of keys; at(member) is the offset of that member. */
/* clang-format off */
#define GOOGLE_AUTH_KEYS(at)                                                   \
    {.name = "credentials", .type = CONF_SECRET, .offset = at(credentials),    \
     .help = "the key file of a service account, as file:/path or its JSON; "  \
             "without it and token, the machine's metadata server is asked"},  \
    {.name = "token", .type = CONF_SECRET, .offset = at(token),                \
     .help = "in its place, an access token that does not end"},               \
    {.name = "scope", .type = CONF_STR, .offset = at(scope),                   \
     .def = "https://www.googleapis.com/auth/cloud-platform",                  \
     .help = "what a service account's tokens are asked for"},                 \
    {.name = "metadata_url", .type = CONF_STR, .offset = at(metadata_url),     \
     .def = "http://metadata.google.internal/computeMetadata/v1/instance/"     \
            "service-accounts/default/token",                                  \
     .help = "where the metadata server hands out tokens"}
/* clang-format on */

/* Is it usable? Says which part is not, and never what it holds. */
enum gw_err google_auth_check(const struct google_auth *g,
                              struct gw_error *e) MUSTCHECK;
/* Whether tokens are to be fetched: PROV_CAN_GRANT. */
bool google_auth_is_temporary(const struct google_auth *g);

/* The exchange of PROV_GRANT, and what it gave: op->grant. */
void google_auth_describe(struct prov_op *op, const struct google_auth *g,
                          struct prov_exchange *x);
enum gw_err google_auth_read(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e) MUSTCHECK;

/* The value of Authorization, for all other operations. */
struct str google_auth_bearer(const struct prov_op *op,
                              const struct google_auth *g) MUSTCHECK;

/* --- for tests --- */

struct google_key {
    struct str email, key_id, pem, token_uri;
};

/* Views into the document, which lives in the arena. */
enum gw_err google_key_read(struct arena *a, struct str json,
                            struct google_key *out,
                            struct gw_error *e) MUSTCHECK;
/* STR_NULL when the PEM is no usable RSA key. */
struct str google_key_jwt(struct arena *a, const struct google_key *k,
                          const char *scope, int64_t now_s) MUSTCHECK;

#endif
