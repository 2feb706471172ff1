/* golden_routing.c -- runs the cases of the router: many decisions each.
 *
 *     --- config            YAML: `providers` (a list of names), `models`,
 *                           `pools` and `routing` as in the configuration
 *     --- faults            expected: why that configuration is refused; or
 *     --- key NAME          a key's record, JSON; used by requests that say
 *                           "key: NAME"
 *     --- request N         what is known, "key: value": path, header, query,
 *                           form, model, purpose, filename, size, draw, turn,
 *                           out (providers, between commas), bytes (a number
 *                           for each provider, likewise), and the word
 *                           "incomplete" while form fields may still come
 *     --- decision N        expected
 */
#include <stdio.h>

#include "gateway/base/bug.h"
#include "routing/router.h"
#include "tests/golden/golden.h"

#define TEXT_MAX (1024u * 1024u)

struct config {
    struct conf_strs names;
    struct routing_conf routing;
};

/* clang-format off */
static const struct conf_key config_keys[] = {
    {.name = "providers", .type = CONF_STR_LIST,
     .offset = offsetof(struct config, names)},
    {.name = "models", .type = CONF_SECTIONS, .sub = &model_section,
     .offset = offsetof(struct config, routing.models)},
    {.name = "pools", .type = CONF_SECTIONS, .sub = &pool_section,
     .offset = offsetof(struct config, routing.pools)},
    {.name = "routing", .type = CONF_SECTION, .sub = &routing_rules_section,
     .offset = offsetof(struct config, routing.routing)},
    {.name = NULL},
};
/* clang-format on */

static const struct conf_section config_section = {
    .size = sizeof(struct config), .keys = config_keys};

static struct conf_items items_of(struct arena *a,
                                  const struct conf_strs *names)
{
    struct conf_items items = {.v = arena_alloc(a, names->n * sizeof(*items.v)),
                               .n = names->n};
    size_t i;

    for (i = 0; i < names->n; i++)
        items.v[i].name = names->v[i];
    return items;
}

static const struct config *read_config(struct golden_case *c,
                                        struct conf_items *providers)
{
    const struct config *config;
    struct gw_error e = {0};
    struct buf faults;

    buf_init(&faults, TEXT_MAX);
    config = conf_parse(c->arena, &config_section, "config",
                        golden_input(c, "config"), &faults);
    if (config) {
        *providers = items_of(c->arena, &config->names);
        if (router_check(&config->routing, providers, &e) != GW_OK)
            buf_printf(&faults, "%s\n", e.message);
    }
    if (faults.n == 0) {
        buf_release(&faults);
        return config;
    }
    golden_output(c, "faults", &faults);
    return NULL;
}

/* --- a request --- */

static const struct vkey *read_key(struct golden_case *c, struct str name)
{
    static const char hash[] =
        "00000000000000000000000000000000000000000000000000000000000000ff";
    struct str head = arena_printf(c->arena, "key %.*s", STR_ARG(name));
    struct vkey *key = arena_new_of(c->arena, struct vkey);
    struct gw_error e = {0};

    if (vkey_parse(c->arena, hash, golden_input(c, head.p), key, &e) != GW_OK)
        golden_fail(c, "%s: %s", head.p, e.message);
    return key;
}

static const struct vteam *read_team(struct golden_case *c, struct str name)
{
    struct str head = arena_printf(c->arena, "team %.*s", STR_ARG(name));
    struct vteam *team = arena_new_of(c->arena, struct vteam);
    struct gw_error e = {0};

    if (vteam_parse(c->arena, golden_input(c, head.p), team, &e) != GW_OK)
        golden_fail(c, "%s: %s", head.p, e.message);
    return team;
}

static bool holds_word(struct str lines, const char *word)
{
    struct str line;

    while (golden_line(&lines, &line))
        if (str_eq_c(line, word))
            return true;
    return false;
}

static const struct route_load *read_loads(struct golden_case *c,
                                           struct str lines,
                                           const struct conf_items *providers)
{
    struct str out = golden_value(c, lines, "out"), name;
    struct str bytes = golden_value(c, lines, "bytes"), number;
    struct route_load *loads =
        arena_alloc(c->arena, (providers->n + 1) * sizeof(*loads));
    size_t i;

    if (!out.p && !bytes.p)
        return NULL;
    while (str_next(&out, ',', &name))
        for (i = 0; i < providers->n; i++)
            if (str_eq_c(str_trim(name), providers->v[i].name))
                loads[i].is_out = true;
    for (i = 0; i < providers->n && str_next(&bytes, ',', &number); i++)
        if (!str_to_i64(str_trim(number), &loads[i].bytes))
            golden_fail(c, "bytes: '%.*s'", STR_ARG(number));
    return loads;
}

static void read_facts(struct golden_case *c, struct str lines,
                       const struct vkey *key, struct route_facts *f)
{
    *f = (struct route_facts){
        .purpose = golden_value(c, lines, "purpose"),
        .filename = golden_value(c, lines, "filename"),
        .model = golden_value(c, lines, "model"),
        .size = golden_number(c, lines, "size", -1),
        .draw = (uint64_t)golden_number(c, lines, "draw", 0),
        .turn = (uint64_t)golden_number(c, lines, "turn", 0),
    };
    if (!key)
        return;
    f->key_alias = key->key_alias;
    f->key_hash = str_of(key->hash);
    f->team = key->team_id;
    f->tags = key->tags.v;
    f->ntags = key->tags.n;
}

static void read_hints(struct golden_case *c, struct str lines,
                       struct route_hints *h)
{
    *h = (struct route_hints){
        .path = golden_value(c, lines, "path"),
        .header = golden_value(c, lines, "header"),
        .query = golden_value(c, lines, "query"),
        .form = golden_value(c, lines, "form"),
        .model = golden_value(c, lines, "model"),
        .fields_are_complete = !holds_word(lines, "incomplete"),
        .may_be_several = holds_word(lines, "upload"),
    };
}

/* --- its decision --- */

static void show(struct buf *b, const struct route_decision *d,
                 bool needs_fields, const struct gw_error *e)
{
    size_t i;

    if (e->err) {
        buf_printf(b, "error %s\n", err_info(e->err)->name);
        if (e->param[0])
            buf_printf(b, "param: %s\n", e->param);
        buf_printf(b, "message: %s\n", e->message);
        return;
    }
    if (needs_fields)
        buf_add_c(b, "needs fields\n");
    for (i = 0; i < d->n; i++)
        buf_printf(b, "%s\n", d->candidates[i]);
    if (d->is_for_all)
        buf_add_c(b, "for all\n");
    if (d->turn_of)
        buf_printf(b, "turn of: %s\n", d->turn_of);
    if (d->reason[0])
        buf_printf(b, "reason: %s\n", d->reason);
}

static void decide(struct golden_case *c, const struct config *config,
                   const struct conf_items *providers, struct str lines,
                   struct buf *out)
{
    struct str name = golden_value(c, lines, "key");
    const struct vkey *key = name.p ? read_key(c, name) : NULL;
    struct str of = golden_value(c, lines, "team");
    const struct vteam *team = of.p ? read_team(c, of) : NULL;
    struct route_decision d;
    struct route_facts facts;
    struct route_hints hints;
    struct gw_error e = {0};
    bool needs_fields;

    read_facts(c, lines, key, &facts);
    facts.load = read_loads(c, lines, providers);
    read_hints(c, lines, &hints);
    if (router_decide(&config->routing, providers, key, team, &hints, &facts,
                      &d, &needs_fields, &e) != e.err)
        golden_fail(c, "the result is not the error");
    show(out, &d, needs_fields, &e);
}

static void run(struct golden_case *c)
{
    struct conf_items providers;
    const struct config *config = read_config(c, &providers);
    struct str lines, head;
    struct buf b;
    int i;

    for (i = 1; config; i++) {
        head = arena_printf(c->arena, "request %d", i);
        lines = golden_input(c, head.p);
        if (!lines.p && i == 1)
            golden_fail(c, "the case asks for nothing");
        if (!lines.p)
            return;
        buf_init(&b, TEXT_MAX);
        decide(c, config, &providers, lines, &b);
        head = arena_printf(c->arena, "decision %d", i);
        golden_output(c, head.p, &b);
    }
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, run);
}
