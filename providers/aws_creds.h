/* aws_creds.h -- where keys for AWS come from.
 *
 *   keys        in the configuration, which takes them from the environment
 *   profile     in the files that the AWS command line keeps
 *   container   asked of an endpoint that ECS or EKS gives a container
 *   instance    asked of the metadata service of EC2, version 2
 *
 * The first two are known when the configuration is read; the others are
 * temporary, so they are got by PROV_GRANT. Pure, as all of providers/.
 */
#ifndef FILEMUX_PROVIDERS_AWS_CREDS_H
#define FILEMUX_PROVIDERS_AWS_CREDS_H

#include "providers/provider.h"

enum aws_source {
    AWS_AUTO, /* the first of those below that has any */
    AWS_KEYS,
    AWS_PROFILE,
    AWS_CONTAINER,
    AWS_INSTANCE,
};

struct aws_conf {
    int source; /* an aws_source; never AWS_AUTO after the check */
    const char *access_key_id, *secret_access_key, *session_token;
    const char *profile;
    const char *credentials_file, *config_file; /* what stands in them */
    const char *container_endpoint, *container_relative_uri;
    const char *container_full_uri, *container_token;
    const char *metadata_endpoint;
    const char *region;
    /* --- found by the check --- */
    struct str key_id, secret, token; /* AWS_KEYS, AWS_PROFILE */
    struct str found_region;          /* the key's, or the profile's */
};

/* Decides on the source, and finds what is known of it. */
enum gw_err aws_check(struct aws_conf *c, struct gw_error *e) MUSTCHECK;
/* Whether they have to be got. */
bool aws_is_temporary(const struct aws_conf *c);

/* PROV_GRANT, from its first exchange to its last. Zeroed at first. */
struct aws_grant {
    struct str token; /* of the metadata service */
    struct str role;
    bool is_over;
};
enum prov_step aws_grant_next(struct prov_op *op, const struct aws_conf *c,
                              struct aws_grant *g, struct prov_exchange *x);
enum gw_err aws_grant_reply(struct prov_op *op, const struct aws_conf *c,
                            struct aws_grant *g, const struct http_res *res,
                            struct gw_error *e) MUSTCHECK;

/* --- for tests --- */

/* The value of a key in a section of an INI file as AWS writes them; a line
 * that is indented belongs to the key above it, and is none itself. */
struct str aws_ini_get(struct str text, struct str section, struct str key);

#endif
