/* models.c -- GET /v1/models: what the key may use.
 *
 * The names of the `models` table, and what each provider says that it has:
 * those that the key may use, each once; a name of the table hides what is
 * called so elsewhere, as it does when it is asked for.
 */
#include "gateway/api/api.h"

#include "gateway/base/crypto.h"
#include "gateway/codec/id_set.h"
#include "gateway/flow/model_list.h"

#define REPLY_BYTES (16 * MIB)

struct models {
    struct model_ask ask;
    const struct provider_conf **providers;
    size_t n;
    struct str one; /* STR_NULL: all */
};

/* What the answer is made of. */
struct writer {
    struct txn *t;
    struct models *m;
    struct json_out j;
    struct id_set seen;
    bool has_one;
};

static bool may_use(struct txn *t, struct str name)
{
    struct gw_error ignored = {0};

    return vkey_check_model(t->vkey, t->vteam, name, &ignored) == GW_OK;
}

static void put(struct writer *w, const struct model_info *i,
                const char *provider)
{
    struct str one = w->m->one;

    if ((one.p && !str_eq(one, i->id)) || !may_use(w->t, i->id) ||
        !id_set_add(&w->seen, i->id))
        return;
    w->has_one = true;
    json_open(&w->j, NULL, '{');
    json_put_str(&w->j, "id", i->id);
    json_put_cstr(&w->j, "object", "model");
    json_put_int(&w->j, "created", i->created);
    json_put_str(&w->j, "owned_by",
                 i->owned_by.n ? i->owned_by : str_of(provider));
    json_open(&w->j, "filemux", '{');
    json_put_cstr(&w->j, "provider", provider);
    json_close(&w->j);
    json_close(&w->j);
}

static bool is_asked(const struct models *m, const char *provider)
{
    for (size_t i = 0; i < m->n; i++)
        if (strcmp(m->providers[i]->name, provider) == 0)
            return true;
    return false;
}

static void put_all(struct writer *w)
{
    const struct conf_items *table = &w->t->conf->route.models;

    for (size_t i = 0; i < table->n; i++) {
        const struct model_conf *c = table->v[i].data;
        struct model_info info = {.id = str_of(table->v[i].name),
                                  .owned_by = STR("")};

        if (is_asked(w->m, c->provider))
            put(w, &info, c->provider);
    }
    for (size_t i = 0; i < w->m->n; i++) {
        const char *name = w->m->providers[i]->name;
        const struct model_list *l = model_cache_get(w->t->sv->models, name);

        for (size_t k = 0; l && k < l->n; k++)
            put(w, &l->v[k], name);
    }
}

static void reply_none(struct txn *t)
{
    struct gw_error e = {0};
    struct str id = t->param;

    if (!str_is_utf8(id) || id.n > LIMIT_MODEL_BYTES)
        id = STR_NULL;
    err_set_param(&e, GW_MODEL_NOT_FOUND, "model", "no such model '%.*s'",
                  STR_ARG(id));
    txn_fail(t, &e);
}

static void on_known(void *arg)
{
    struct txn *t = arg;
    struct models *m = t->data;
    struct writer w = {.t = t, .m = m};
    struct buf body;
    uint64_t key[2];

    crypto_random(key, sizeof(key));
    id_set_init(&w.seen, key);
    buf_init(&body, REPLY_BYTES);
    json_out_init(&w.j, &body);
    if (!m->one.p) {
        json_open(&w.j, NULL, '{');
        json_put_cstr(&w.j, "object", "list");
        json_open(&w.j, "data", '[');
    }
    put_all(&w);
    if (!m->one.p) {
        json_close(&w.j);
        json_close(&w.j);
    }
    if (m->one.p && !w.has_one)
        reply_none(t);
    else if (body.overflow)
        txn_fail_plain(t, GW_INTERNAL);
    else
        txn_reply_json(t, 200, buf_str(&body));
    buf_release(&body);
    id_set_release(&w.seen);
}

static void on_gone(struct txn *t)
{
    model_ask_abort(&((struct models *)t->data)->ask);
}

/* /<provider>/v1/models asks one. */
static bool is_wanted(const struct txn *t, const struct provider_conf *p)
{
    struct str name = str_of(p->name);

    return (provider_caps(p) & PROV_CAN_FORWARD) &&
           vkey_may_use(t->vkey, t->vteam, name) &&
           (!t->path_provider.p || str_eq(t->path_provider, name));
}

static void ask(struct txn *t, struct str one)
{
    struct models *m = arena_new_of(t->arena, struct models);
    const struct conf_items *all = &t->conf->providers;

    if (!t->conf->forward.is_enabled) {
        txn_fail_plain(t, GW_UNKNOWN_ROUTE);
        return;
    }
    m->one = one;
    m->providers = arena_alloc(t->arena, (all->n + 1) * sizeof(void *));
    for (size_t i = 0; i < all->n; i++)
        if (is_wanted(t, all->v[i].data))
            m->providers[m->n++] = all->v[i].data;
    t->data = m;
    t->on_gone = on_gone;
    txn_goto(t, TXN_UPSTREAM);
    model_ask_start(&m->ask, t->sv, t->arena, m->providers, m->n, on_known, t);
}

void models_list(struct txn *t)
{
    ask(t, STR_NULL);
}

void models_get(struct txn *t)
{
    ask(t, t->param);
}
