/* router.h -- which provider gets a request, and why.
 *
 * The first hint that is there wins (contract, section 5): the id, the path's
 * prefix, a header, the query, a form field, a model through the `models`
 * table, the rules, the key's and its team's default, the global default. Pure:
 * a function of the configuration, the key and what is known of the request.
 */
#ifndef FILEMUX_ROUTING_ROUTER_H
#define FILEMUX_ROUTING_ROUTER_H

#include "routing/match.h"
#include "routing/vkey.h"

#define ROUTER_CANDIDATES_MAX 8
_Static_assert(LIMIT_FAN_OUT <= ROUTER_CANDIDATES_MAX, "all must fit");

struct model_conf { /* models: a name -> where it lives */
    const char *provider;
    const char *model; /* what it is called there; "" the same */
};

struct pool_member {
    const char *provider;
    int64_t weight;
};
enum pool_policy {
    POOL_PRIORITY,    /* the members in their order */
    POOL_WEIGHTED,    /* each first as often as its weight says */
    POOL_ROUND_ROBIN, /* each first in its turn */
    POOL_LEAST_BYTES, /* the one with the fewest under way and of late */
};
struct pool_conf {
    int policy;                /* enum pool_policy */
    struct conf_items members; /* struct pool_member */
};

struct rule_conf {
    struct match match;
    const char *use; /* a provider or a pool */
};

/* models:, pools:, routing: of the configuration. */
struct routing_conf {
    struct conf_items models; /* struct model_conf, by name */
    struct conf_items pools;  /* struct pool_conf, by name */
    struct routing_rules {
        const char *dflt;        /* "": the first provider of the file */
        struct conf_items rules; /* struct rule_conf */
    } routing;
};

extern const struct conf_section model_section, pool_section,
    routing_rules_section;

/* Hints in a request. STR_NULL: not there. form_*: STR_NULL while the fields
 * after the file are not in. */
struct route_hints {
    struct str path;          /* /<provider>/v1/files */
    struct str header;        /* x-filemux-provider, custom-llm-provider */
    struct str query;         /* provider, custom_llm_provider */
    struct str form;          /* fields of the same names */
    struct str model;         /* header, query or field; target_model_names */
    bool fields_are_complete; /* no further form field can come */
    bool may_be_several;      /* providers, for all of them (fan-out) */
};

struct route_decision {
    const char *candidates[ROUTER_CANDIDATES_MAX]; /* in the order to try */
    size_t n;
    bool is_for_all;     /* not one of them but each (fan-out); n is above 1 */
    bool is_by_models;   /* their names have decided */
    const char *turn_of; /* the pool whose turn was used; NULL: none */
    char reason[96];     /* for the log: "rule 2", "default", "header" */
};

/* Of a pool, members that are out (route_load) are left out while there are
 * others; when all of them are, they stay as the policy has them.
 *
 * A header, a query, a field or target_model_names with several names means all
 * of them, each once and LIMIT_FAN_OUT at most; without may_be_several that is
 * INVALID_VALUE. All must be there and allowed. A model that the key may not
 * use is refused whatever picks the provider; a single one that is not in the
 * table picks none. A rule or a default of the key's that leads to
 * a provider which the key may not use is refused, as another might break what
 * the rule is for; the global default gives way to the first provider of the
 * file that the key may use. key NULL: everything is allowed; team is the key's
 * or NULL.
 *
 * GW_OK and *d; or UNKNOWN_PROVIDER (with param), PROVIDER_NOT_ALLOWED,
 * MODEL_NOT_ALLOWED, INVALID_VALUE. *needs_fields is set (and GW_OK returned,
 * d->n 0) when only form fields still to come can decide: spool. `providers`
 * are the configured names (struct conf_items in the file's order). */
enum gw_err router_decide(const struct routing_conf *conf,
                          const struct conf_items *providers,
                          const struct vkey *key, const struct vteam *team,
                          const struct route_hints *hints,
                          const struct route_facts *facts,
                          struct route_decision *d, bool *needs_fields,
                          struct gw_error *e) MUSTCHECK;

/* The entry of `models:`; NULL: it is none. */
const struct model_conf *router_model(const struct routing_conf *conf,
                                      struct str name);

/* Do all names that the configuration mentions exist? For the load. */
enum gw_err router_check(const struct routing_conf *conf,
                         const struct conf_items *providers,
                         struct gw_error *e) MUSTCHECK;

#endif
