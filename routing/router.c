#include "routing/router.h"

#include <stdarg.h>
#include <stdio.h>

#include "gateway/base/bug.h"

/* A row of pickers, the strongest first. Each looks at one hint, and says that
 * it has no opinion, that it has decided (or failed), or that form fields
 * still to come could make it decide. What was picked is a name, which stands
 * for one provider or for the members of a pool.
 */

enum picked { PICKED_NONE, PICKED_DONE, PICKED_NEEDS_FIELDS };

/* What one decision works on. */
struct pick {
    const struct routing_conf *conf;
    const struct conf_items *providers;
    const struct vkey *key;
    const struct vteam *team;
    const struct route_hints *hints;
    const struct route_facts *facts;
    struct route_decision *d;
    struct gw_error *e;
    const char *param; /* that the client has named the provider with */
};

static const void *find(const struct conf_items *items, struct str name)
{
    size_t i;

    for (i = 0; i < items->n; i++)
        if (str_eq_c(name, items->v[i].name))
            return items->v[i].data;
    return NULL;
}

const struct model_conf *router_model(const struct routing_conf *conf,
                                      struct str name)
{
    return find(&conf->models, name);
}

/* The configuration's own copy of the name, which outlives the request. */
static const char *provider_name(const struct conf_items *providers,
                                 struct str name)
{
    size_t i;

    for (i = 0; i < providers->n; i++)
        if (str_eq_c(name, providers->v[i].name))
            return providers->v[i].name;
    return NULL;
}

static bool is_allowed(const struct pick *p, const char *provider)
{
    return !p->key || vkey_may_use(p->key, p->team, str_of(provider));
}

/* --- what a name stands for --- */

static void add_candidate(struct pick *p, const char *provider)
{
    if (provider && is_allowed(p, provider) && p->d->n < ROUTER_CANDIDATES_MAX)
        p->d->candidates[p->d->n++] = provider;
}

static const char *pool_name(const struct pick *p, const struct pool_conf *pool)
{
    size_t i;

    for (i = 0; i < p->conf->pools.n; i++)
        if (p->conf->pools.v[i].data == pool)
            return p->conf->pools.v[i].name;
    return NULL;
}

static const struct pool_member *member(const struct pool_conf *pool, size_t i)
{
    return pool->members.v[i].data;
}

static void add_member(struct pick *p, const struct pool_conf *pool, size_t i)
{
    struct str name = str_of(member(pool, i)->provider);

    add_candidate(p, provider_name(p->providers, name));
}

/* NULL: nothing is known. */
static const struct route_load *load_of(const struct pick *p,
                                        const char *provider)
{
    size_t i;

    for (i = 0; p->facts->load && i < p->providers->n; i++)
        if (strcmp(p->providers->v[i].name, provider) == 0)
            return &p->facts->load[i];
    return NULL;
}

static bool is_out(const struct pick *p, const char *provider)
{
    const struct route_load *l = load_of(p, provider);

    return l && l->is_out;
}

/* Unless they all are. */
static void drop_those_out(struct pick *p)
{
    struct route_decision *d = p->d;
    size_t i, kept = 0;

    for (i = 0; i < d->n; i++)
        kept += !is_out(p, d->candidates[i]);
    if (kept == 0)
        return;
    for (i = kept = 0; i < d->n; i++)
        if (!is_out(p, d->candidates[i]))
            d->candidates[kept++] = d->candidates[i];
    d->n = kept;
}

/* The next number of a row that starts anywhere (splitmix64). */
static uint64_t next_lot(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* The member that the lot falls on among those that are left. */
static size_t drawn(const struct pool_conf *pool, const bool *is_left,
                    uint64_t lot)
{
    uint64_t total = 0;
    size_t i, last = 0;

    for (i = 0; i < pool->members.n; i++)
        total += is_left[i] ? (uint64_t)member(pool, i)->weight : 0;
    lot %= MAX(total, 1u);
    for (i = 0; i < pool->members.n; i++) {
        if (!is_left[i])
            continue;
        last = i;
        if (lot < (uint64_t)member(pool, i)->weight)
            break;
        lot -= (uint64_t)member(pool, i)->weight;
    }
    return last;
}

/* The others follow, drawn from what is left, for when the first fails. */
static void add_by_lot(struct pick *p, const struct pool_conf *pool)
{
    bool is_left[ROUTER_CANDIDATES_MAX];
    uint64_t state = p->facts->draw;
    size_t i, n;

    ASSERT(pool->members.n <= ROUTER_CANDIDATES_MAX);
    memset(is_left, true, sizeof(is_left));
    for (n = 0; n < pool->members.n; n++) {
        i = drawn(pool, is_left, next_lot(&state));
        is_left[i] = false;
        add_member(p, pool, i);
    }
}

static void add_in_order(struct pick *p, const struct pool_conf *pool)
{
    size_t i;

    for (i = 0; i < pool->members.n; i++)
        add_member(p, pool, i);
}

/* Turns are those of the members that the key may use and that are not out, so
 * that none of them gets those of another. */
static void rotate(struct pick *p, const struct pool_conf *pool)
{
    struct route_decision *d = p->d;
    const char *v[ROUTER_CANDIDATES_MAX];
    size_t i;

    add_in_order(p, pool);
    drop_those_out(p);
    d->turn_of = pool_name(p, pool);
    memcpy(v, d->candidates, d->n * sizeof(v[0]));
    for (i = 0; i < d->n; i++)
        d->candidates[i] = v[(p->facts->turn + i) % d->n];
}

static int64_t bytes_of(const struct pick *p, const char *provider)
{
    const struct route_load *l = load_of(p, provider);

    return l ? l->bytes : 0;
}

/* Those with as many stay in their order. */
static void add_by_bytes(struct pick *p, const struct pool_conf *pool)
{
    const char **v = p->d->candidates, *one;
    size_t i, k;

    add_in_order(p, pool);
    for (i = 1; i < p->d->n; i++) {
        one = v[i];
        for (k = i; k > 0 && bytes_of(p, v[k - 1]) > bytes_of(p, one); k--)
            v[k] = v[k - 1];
        v[k] = one;
    }
}

/* By enum pool_policy. */
static void (*const policies[])(struct pick *p,
                                const struct pool_conf *pool) = {
    [POOL_PRIORITY] = add_in_order,
    [POOL_WEIGHTED] = add_by_lot,
    [POOL_ROUND_ROBIN] = rotate,
    [POOL_LEAST_BYTES] = add_by_bytes,
};

static void add_members(struct pick *p, const struct pool_conf *pool)
{
    policies[pool->policy](p, pool);
    drop_those_out(p);
}

static enum picked refuse(struct pick *p, enum gw_err err, const char *why,
                          struct str name)
{
    err_set_param(p->e, err, p->param, "%s '%.*s'", why, STR_ARG(name));
    return PICKED_DONE;
}

static void set_reason(struct pick *p, const char *fmt, ...) PRINTFLIKE(2, 3);

static void set_reason(struct pick *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(p->d->reason, sizeof(p->d->reason), fmt, ap);
    va_end(ap);
}

static enum picked use_provider(struct pick *p, struct str name)
{
    const char *provider = provider_name(p->providers, name);

    if (!provider)
        return refuse(p, GW_UNKNOWN_PROVIDER, "there is no provider", name);
    add_candidate(p, provider);
    if (p->d->n == 0)
        return refuse(p, GW_PROVIDER_NOT_ALLOWED,
                      "this API key may not use the provider", name);
    return PICKED_DONE;
}

/* A provider, or a pool with at least one member that the key may use. */
static enum picked use(struct pick *p, struct str name)
{
    const struct pool_conf *pool = find(&p->conf->pools, name);
    size_t used = strlen(p->d->reason);

    if (!pool)
        return use_provider(p, name);
    snprintf(p->d->reason + used, sizeof(p->d->reason) - used, ", pool %.*s",
             STR_ARG(name));
    add_members(p, pool);
    if (p->d->n == 0)
        return refuse(p, GW_PROVIDER_NOT_ALLOWED,
                      "this API key may not use any provider of the pool",
                      name);
    return PICKED_DONE;
}

/* --- the pickers --- */

/* The one name in a list separated by commas; "" when there is none, and
 * false when there are several. */
static bool take_name(struct str list, struct str *name)
{
    struct str other;

    if (!str_next(&list, ',', name))
        *name = STR("");
    return !str_next(&list, ',', &other);
}

static bool is_candidate(const struct pick *p, const char *provider)
{
    size_t i;

    for (i = 0; i < p->d->n; i++)
        if (p->d->candidates[i] == provider)
            return true;
    return false;
}

/* One of several, which all get the file. */
static enum picked use_too(struct pick *p, struct str name)
{
    const char *provider = provider_name(p->providers, name);

    if (!provider)
        return refuse(p, GW_UNKNOWN_PROVIDER, "there is no provider", name);
    if (!is_allowed(p, provider))
        return refuse(p, GW_PROVIDER_NOT_ALLOWED,
                      "this API key may not use the provider", name);
    if (is_candidate(p, provider))
        return PICKED_DONE;
    if (p->d->n < LIMIT_FAN_OUT)
        p->d->candidates[p->d->n++] = provider;
    else
        err_set_param(p->e, GW_INVALID_VALUE, p->param,
                      "a file can be sent to %d providers at once, and no more",
                      LIMIT_FAN_OUT);
    return PICKED_DONE;
}

static enum picked use_model_too(struct pick *p, struct str name)
{
    const struct model_conf *m = router_model(p->conf, name);

    if (!m)
        return refuse(p, GW_INVALID_VALUE, "there is no model", name);
    return use_too(p, str_of(m->provider));
}

/* All at one provider is an upload to that one. */
static enum picked by_names(struct pick *p, struct str list, const char *reason,
                            enum picked (*use_one)(struct pick *p,
                                                   struct str name))
{
    struct str name;

    if (!p->hints->may_be_several) {
        err_set_param(p->e, GW_INVALID_VALUE, p->param,
                      "'%s' must name one, here: only an upload can go to "
                      "several providers at once",
                      p->param);
        return PICKED_DONE;
    }
    while (p->e->err == GW_OK && str_next(&list, ',', &name))
        use_one(p, name);
    if (p->e->err != GW_OK)
        p->d->n = 0;
    p->d->is_for_all = p->d->n > 1;
    set_reason(p, p->d->is_for_all ? "%s, all of them" : "%s", reason);
    return PICKED_DONE;
}

/* A provider by its name, as the client says it. */
static enum picked by_hint(struct pick *p, struct str hint, const char *reason,
                           const char *param)
{
    struct str name;

    p->param = param;
    if (!take_name(hint, &name))
        return by_names(p, hint, reason, use_too);
    if (name.n == 0)
        return PICKED_NONE;
    set_reason(p, "%s", reason);
    return use_provider(p, name);
}

static enum picked by_path(struct pick *p)
{
    p->param = "provider";
    if (!p->hints->path.n)
        return PICKED_NONE;
    set_reason(p, "path");
    return use_provider(p, p->hints->path);
}

static enum picked by_header(struct pick *p)
{
    return by_hint(p, p->hints->header, "header", "x-filemux-provider");
}

static enum picked by_query(struct pick *p)
{
    return by_hint(p, p->hints->query, "query", "provider");
}

static enum picked by_form(struct pick *p)
{
    return by_hint(p, p->hints->form, "form field", "provider");
}

/* Not a picker: a model that is not the key's is refused before any picks. */
static enum gw_err check_model(struct pick *p)
{
    struct str list = p->hints->model, model;

    while (p->key && str_next(&list, ',', &model))
        if (vkey_check_model(p->key, p->team, model, p->e) != GW_OK)
            return p->e->err;
    return GW_OK;
}

static enum picked by_model(struct pick *p)
{
    const struct model_conf *m;
    struct str model;

    p->param = "target_model_names";
    p->d->is_by_models = true;
    if (!take_name(p->hints->model, &model))
        return by_names(p, p->hints->model, "model", use_model_too);
    m = router_model(p->conf, model);
    p->d->is_by_models = m != NULL;
    if (!m)
        return PICKED_NONE;
    p->param = "model";
    set_reason(p, "model");
    return use_provider(p, str_of(m->provider));
}

static enum picked by_rule(struct pick *p)
{
    const struct conf_items *rules = &p->conf->routing.rules;
    size_t i;

    p->param = ""; /* from here on it is not the client who names one */
    for (i = 0; i < rules->n; i++) {
        const struct rule_conf *rule = rules->v[i].data;
        enum match_result r = match_test(&rule->match, p->facts);

        if (r == MATCH_NEEDS_FIELDS && !p->hints->fields_are_complete)
            return PICKED_NEEDS_FIELDS;
        if (r != MATCH_YES)
            continue;
        set_reason(p, "rule %zu", i + 1);
        return use(p, str_of(rule->use));
    }
    return PICKED_NONE;
}

static enum picked by_key_default(struct pick *p)
{
    struct str name;

    if (!p->key)
        return PICKED_NONE;
    name = vkey_default_provider(p->key, p->team);
    if (name.n == 0)
        return PICKED_NONE;
    set_reason(p, p->key->default_provider.n ? "key default" : "team default");
    return use(p, name);
}

static bool may_use_any(const struct pick *p, const char *name)
{
    const struct pool_conf *pool = find(&p->conf->pools, str_of(name));
    size_t i;

    if (!pool)
        return is_allowed(p, name);
    for (i = 0; i < pool->members.n; i++)
        if (is_allowed(p, member(pool, i)->provider))
            return true;
    return false;
}

static enum picked by_default(struct pick *p)
{
    const char *name = p->conf->routing.dflt;

    if (!name[0] || !may_use_any(p, name))
        return PICKED_NONE;
    set_reason(p, "default");
    return use(p, str_of(name));
}

static enum picked by_first(struct pick *p)
{
    size_t i;

    set_reason(p, "first provider");
    for (i = 0; i < p->providers->n && p->d->n == 0; i++)
        add_candidate(p, p->providers->v[i].name);
    if (p->d->n == 0)
        err_set(p->e, GW_PROVIDER_NOT_ALLOWED,
                "this API key may not use any of the providers");
    return PICKED_DONE;
}

/* The order of the hints. */
static enum picked (*const pickers[])(struct pick *p) = {
    by_path, by_header,      by_query,   by_form,  by_model,
    by_rule, by_key_default, by_default, by_first,
};

enum gw_err router_decide(const struct routing_conf *conf,
                          const struct conf_items *providers,
                          const struct vkey *key, const struct vteam *team,
                          const struct route_hints *hints,
                          const struct route_facts *facts,
                          struct route_decision *d, bool *needs_fields,
                          struct gw_error *e)
{
    struct gw_error failure = {0};
    struct pick p = {conf, providers, key, team, hints, facts, d, &failure, ""};
    enum picked r = PICKED_NONE;
    size_t i;

    *d = (struct route_decision){0};
    *needs_fields = false;
    if (check_model(&p) == GW_OK)
        for (i = 0; i < COUNTOF(pickers) && r == PICKED_NONE; i++)
            r = pickers[i](&p);
    if (failure.err != GW_OK)
        return err_set_param(e, failure.err, failure.param, "%s",
                             failure.message);
    *needs_fields = r == PICKED_NEEDS_FIELDS;
    return GW_OK;
}
