#include "gateway/flow/settings.h"

struct settings *settings_hold(struct settings *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void settings_drop(struct settings *s)
{
    /* The snapshot stands in its own arena. */
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        arena_free(s->arena);
}

const struct provider_conf *settings_provider(const struct settings *s,
                                              struct str name)
{
    for (size_t i = 0; i < s->providers.n; i++)
        if (str_eq_c(name, s->providers.v[i].name))
            return s->providers.v[i].data;
    return NULL;
}

const struct provider_conf *settings_hold_of(const struct settings *s,
                                             struct str name)
{
    return name.n ? settings_provider(s, name) : s->uploads.own;
}
