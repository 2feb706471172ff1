#include "gateway/flow/batch_models.h"

static const struct model_conf *model_at(const struct settings *conf, size_t i)
{
    return conf->route.models.v[i].data;
}

static const char *alias(const struct settings *conf, size_t i)
{
    return conf->route.models.v[i].name;
}

size_t batch_models_find(const struct settings *conf, struct str name)
{
    size_t i = 0;

    while (i < conf->route.models.n && !str_eq_c(name, alias(conf, i)))
        i++;
    return i;
}

static bool is_at(const struct settings *conf, size_t i, const char *provider)
{
    return strcmp(model_at(conf, i)->provider, provider) == 0;
}

static bool is_target(struct str targets, const char *name)
{
    struct str one;

    while (str_next(&targets, ',', &one))
        if (str_eq_c(one, name))
            return true;
    return false;
}

/* Which model stands for the i-th one at the provider; the number of models
 * when none does. */
static size_t there(const struct settings *conf, size_t i, const char *provider,
                    struct str targets)
{
    size_t n = conf->route.models.n, k;
    struct str name;

    if (is_at(conf, i, provider))
        return i;
    if (!is_target(targets, alias(conf, i)))
        return n;
    while (str_next(&targets, ',', &name)) {
        k = batch_models_find(conf, name);
        if (k < n && is_at(conf, k, provider))
            return k;
    }
    return n;
}

bool batch_models_is_there(const struct settings *conf, size_t i,
                           const char *provider, struct str targets)
{
    return there(conf, i, provider, targets) < conf->route.models.n;
}

struct str batch_models_new_name(const struct settings *conf, size_t i,
                                 const char *provider, struct str targets)
{
    size_t k = there(conf, i, provider, targets);
    const char *to;

    if (k == conf->route.models.n)
        return STR_NULL;
    to = model_at(conf, k)->model;
    if (!to[0])
        to = alias(conf, k);
    return strcmp(to, alias(conf, i)) != 0 ? str_of(to) : STR_NULL;
}

bool batch_models_rename(const struct settings *conf, const char *provider,
                         struct str targets)
{
    for (size_t i = 0; i < conf->route.models.n; i++)
        if (batch_models_new_name(conf, i, provider, targets).p)
            return true;
    return false;
}
