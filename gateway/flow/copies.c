#include "gateway/flow/copies.h"

static struct str first_of(struct str a, struct str b)
{
    return a.n ? a : b;
}

void copies_read_wish(struct txn *t, struct copies_wish *w)
{
    *w = (struct copies_wish){
        .path = t->path_provider,
        .provider =
            first_of(first_of(txn_header(t, STR("x-filemux-provider")),
                              txn_header(t, STR("custom-llm-provider"))),
                     first_of(txn_query(t, STR("provider")),
                              txn_query(t, STR("custom_llm_provider")))),
        .model = first_of(txn_header(t, STR("x-litellm-model")),
                          txn_query(t, STR("model"))),
    };
}

/* The place that a hint names; as many as there are: none. */
static size_t hinted(struct txn *t, const struct file_record *r,
                     const struct copies_wish *w)
{
    const struct model_conf *m = router_model(&t->conf->route, w->model);
    size_t places = file_record_places(r), place = places;

    if (w->provider.n)
        place = file_record_find(r, w->provider);
    if (place == places && m)
        place = file_record_find(r, str_of(m->provider));
    return place;
}

static bool is_usable(struct txn *t, struct str provider, unsigned caps)
{
    const struct provider_conf *p = settings_provider(t->conf, provider);

    return p && (provider_caps(p) & caps) == caps &&
           vkey_may_use(t->vkey, t->vteam, provider);
}

size_t copies_order(struct txn *t, const struct file_record *r,
                    const struct copies_wish *w, size_t order[LIMIT_FAN_OUT])
{
    size_t places = file_record_places(r), n = 0;

    order[0] = w->path.p ? file_record_find(r, w->path) : hinted(t, r, w);
    if (order[0] < places)
        return 1;
    if (w->path.p)
        return 0;
    for (size_t i = 0; i < places; i++)
        if (is_usable(t, file_record_place(r, i).provider, w->caps))
            order[n++] = i;
    if (!n)
        order[n++] = 0;
    return n;
}

const struct file_record *copies_view(struct txn *t,
                                      const struct file_record *r, size_t place)
{
    struct file_copy c = file_record_place(r, place);
    struct file_record *view = arena_new_of(t->arena, struct file_record);

    *view = *r;
    view->obj.provider = c.provider;
    view->obj.bytes = c.bytes;
    view->upstream_id = c.upstream_id;
    return view;
}

const struct file_record *copies_pick(struct txn *t,
                                      const struct file_record *r,
                                      const struct copies_wish *w)
{
    size_t order[LIMIT_FAN_OUT];

    return copies_order(t, r, w, order) ? copies_view(t, r, order[0]) : NULL;
}
