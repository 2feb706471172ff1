#include "routing/router.h"

/* The sections models:, pools: and routing: of the configuration, and whether
 * the names in them lead anywhere. */

static const struct conf_item *find(const struct conf_items *items,
                                    const char *name)
{
    size_t i;

    for (i = 0; i < items->n; i++)
        if (str_eq_c(str_of(items->v[i].name), name))
            return &items->v[i];
    return NULL;
}

static enum gw_err check_models(const struct conf_items *models,
                                const struct conf_items *providers,
                                struct gw_error *e)
{
    const struct model_conf *m;
    size_t i;

    for (i = 0; i < models->n; i++) {
        m = models->v[i].data;
        if (!find(providers, m->provider))
            return err_set(e, GW_INVALID_VALUE,
                           "the model '%s' is at '%s', which is no provider",
                           models->v[i].name, m->provider);
    }
    return GW_OK;
}

static enum gw_err check_member(const struct conf_item *pool, size_t i,
                                const struct conf_items *providers,
                                struct gw_error *e)
{
    const struct pool_conf *p = pool->data;
    const struct pool_member *m = p->members.v[i].data, *other;
    size_t k;

    if (!find(providers, m->provider))
        return err_set(e, GW_INVALID_VALUE,
                       "the pool '%s' has the member '%s', which is no "
                       "provider",
                       pool->name, m->provider);
    for (k = 0; k < i; k++) {
        other = p->members.v[k].data;
        if (str_eq_c(str_of(other->provider), m->provider))
            return err_set(e, GW_INVALID_VALUE,
                           "the pool '%s' has the member '%s' twice",
                           pool->name, m->provider);
    }
    return GW_OK;
}

static enum gw_err check_pools(const struct conf_items *pools,
                               const struct conf_items *providers,
                               struct gw_error *e)
{
    size_t i, k;

    for (i = 0; i < pools->n; i++) {
        const struct pool_conf *p = pools->v[i].data;

        if (find(providers, pools->v[i].name))
            return err_set(e, GW_INVALID_VALUE,
                           "the pool '%s' has the name of a provider",
                           pools->v[i].name);
        if (p->members.n == 0 || p->members.n > ROUTER_CANDIDATES_MAX)
            return err_set(e, GW_INVALID_VALUE,
                           "the pool '%s' must have 1 to %d members",
                           pools->v[i].name, ROUTER_CANDIDATES_MAX);
        for (k = 0; k < p->members.n; k++)
            if (check_member(&pools->v[i], k, providers, e))
                return e->err;
    }
    return GW_OK;
}

static enum gw_err check_rules(const struct routing_conf *conf,
                               const struct conf_items *providers,
                               struct gw_error *e)
{
    const struct conf_items *rules = &conf->routing.rules;
    const char *dflt = conf->routing.dflt;
    const struct rule_conf *rule;
    size_t i;

    if (dflt[0] && !find(providers, dflt) && !find(&conf->pools, dflt))
        return err_set(e, GW_INVALID_VALUE,
                       "'routing.default' is '%s', which is neither a "
                       "provider nor a pool",
                       dflt);
    for (i = 0; i < rules->n; i++) {
        rule = rules->v[i].data;
        if (!find(providers, rule->use) && !find(&conf->pools, rule->use))
            return err_set(e, GW_INVALID_VALUE,
                           "rule %zu of 'routing.rules' uses '%s', which is "
                           "neither a provider nor a pool",
                           i + 1, rule->use);
    }
    return GW_OK;
}

enum gw_err router_check(const struct routing_conf *conf,
                         const struct conf_items *providers, struct gw_error *e)
{
    if (check_models(&conf->models, providers, e) ||
        check_pools(&conf->pools, providers, e) ||
        check_rules(conf, providers, e))
        return e->err;
    return GW_OK;
}

/* --- the tables --- */

/* clang-format off */
static const struct conf_key model_keys[] = {
    {.name = "provider", .type = CONF_STR, .is_required = true,
     .offset = offsetof(struct model_conf, provider),
     .help = "the provider that has it"},
    {.name = "model", .type = CONF_STR,
     .offset = offsetof(struct model_conf, model),
     .help = "what it is called there; empty: the same"},
    {.name = NULL},
};

static const struct conf_key member_keys[] = {
    {.name = "provider", .type = CONF_STR, .is_required = true,
     .offset = offsetof(struct pool_member, provider),
     .help = "a provider"},
    {.name = "weight", .type = CONF_INT, .def = "1", .min = 1, .max = 1000,
     .offset = offsetof(struct pool_member, weight),
     .help = "how often it is first, where the policy is weighted"},
    {.name = NULL},
};

static const struct conf_section member_section = {
    .size = sizeof(struct pool_member),
    .keys = member_keys,
};

static const char *const policies[] = {[POOL_PRIORITY] = "priority",
                                       [POOL_WEIGHTED] = "weighted",
                                       [POOL_ROUND_ROBIN] = "round_robin",
                                       [POOL_LEAST_BYTES] = "least_bytes",
                                       NULL};

static const struct conf_key pool_keys[] = {
    {.name = "policy", .type = CONF_ENUM, .choices = policies,
     .offset = offsetof(struct pool_conf, policy),
     .help = "which member is tried first; priority: in their order; weighted: by "
             "lot; round_robin: in turns; least_bytes: the one with the fewest "
             "under way and in the last minute. Members whose breaker is open "
             "are left out while there are others"},
    {.name = "members", .type = CONF_SECTION_LIST, .sub = &member_section,
     .offset = offsetof(struct pool_conf, members), .is_required = true,
     .help = "its providers",
     .example = "- {provider: nebius}"},
    {.name = NULL},
};

static const struct conf_key rule_keys[] = {
    {.name = "match", .type = CONF_SECTION, .sub = &match_section,
     .offset = offsetof(struct rule_conf, match),
     .help = "conditions, all of which must hold; none: always"},
    {.name = "use", .type = CONF_STR, .is_required = true,
     .offset = offsetof(struct rule_conf, use),
     .help = "a provider or a pool"},
    {.name = NULL},
};

static const struct conf_section rule_section = {
    .size = sizeof(struct rule_conf),
    .keys = rule_keys,
};

static const struct conf_key routing_keys[] = {
    {.name = "default", .type = CONF_STR,
     .offset = offsetof(struct routing_rules, dflt),
     .help = "the provider or pool when nothing else decides; empty: the "
             "first provider of this file"},
    {.name = "rules", .type = CONF_SECTION_LIST, .sub = &rule_section,
     .offset = offsetof(struct routing_rules, rules),
     .help = "the first rule that matches an upload picks its provider",
     .example = "- {match: {purpose: batch, filename: \"*.jsonl\"}, use: nebius}"},
    {.name = NULL},
};
/* clang-format on */

const struct conf_section model_section = {
    .size = sizeof(struct model_conf),
    .keys = model_keys,
};

const struct conf_section pool_section = {
    .size = sizeof(struct pool_conf),
    .keys = pool_keys,
};

const struct conf_section routing_rules_section = {
    .size = sizeof(struct routing_rules),
    .keys = routing_keys,
};
