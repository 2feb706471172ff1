#include "gateway/flow/route_ask.h"

#include "gateway/base/crypto.h"

static struct str first_of(struct str a, struct str b)
{
    return a.n ? a : b;
}

static struct str header(struct txn *t, struct str name)
{
    return arena_dup(t->arena, txn_header(t, name));
}

void route_ask_begin(struct route_ask *a, struct txn *t)
{
    a->hints = (struct route_hints){
        .path = arena_dup(t->arena, t->path_provider),
        .header = first_of(header(t, STR("x-filemux-provider")),
                           header(t, STR("custom-llm-provider"))),
        .query = first_of(txn_query(t, STR("provider")),
                          txn_query(t, STR("custom_llm_provider"))),
        .model = first_of(header(t, STR("x-litellm-model")),
                          txn_query(t, STR("model"))),
    };
    a->facts = (struct route_facts){
        .key_alias = t->vkey->key_alias,
        .key_hash = str_of(t->vkey->hash),
        .team = t->vkey->team_id,
        .tags = t->vkey->tags.v,
        .ntags = t->vkey->tags.n,
        .size = t->head->content_length,
        .load = fleet_loads(t->sv->fleet, t->arena, &t->conf->providers),
    };
    crypto_random(&a->facts.draw, sizeof(a->facts.draw));
}

static enum gw_err decide(struct route_ask *a, struct txn *t,
                          struct route_decision *d, bool *needs_fields,
                          struct gw_error *e)
{
    return router_decide(&t->conf->route, &t->conf->providers, t->vkey,
                         t->vteam, &a->hints, &a->facts, d, needs_fields, e);
}

enum gw_err route_ask(struct route_ask *a, struct txn *t,
                      struct route_decision *d, bool *needs_fields,
                      struct gw_error *e)
{
    if (decide(a, t, d, needs_fields, e) != GW_OK || !d->turn_of ||
        d->turn_of == a->turn_of)
        return e->err;
    a->turn_of = d->turn_of;
    a->facts.turn = fleet_turn(t->sv->fleet, d->turn_of);
    return decide(a, t, d, needs_fields, e);
}
