/* The document is read as a whole (libyaml's tree of nodes, in which an alias
 * is the index of the node that it stands for), then walked along the tables:
 *
 *     section ── for each pair of the mapping: find the key, read the value
 *             ── for each key that is not written: its default
 *             ── check() of the section, when all of it could be read
 *
 * A fault does not stop the walk, so one run tells of all. Aliases make the
 * tree a graph, in which a short text can stand for a huge or endless one:
 * every value counts against LIMIT_CONF_NODES each time it is met, and the
 * depth of sections is bounded. */
#include "gateway/base/conf.h"

#include <stdlib.h>
#include <yaml.h>

#include "gateway/base/bug.h"
#include "gateway/base/conf_impl.h"

#define uthash_fatal(msg) BUG("hash table: %s", msg)
#include <uthash.h>

struct walk {
    struct conf_run *run;
    yaml_document_t doc;
    size_t nodes; /* met so far */
    int depth;    /* of sections */
};

/* A section to be filled. */
struct spot {
    yaml_node_t *node; /* NULL: nothing is written */
    struct conf_place at;
    const char *name; /* the map's key, or NULL */
    bool is_written;  /* then required keys must be there */
};

static const struct conf_place top = {1, 1};

static void fill_section(struct walk *w, const struct conf_section *section,
                         const struct spot *spot, void *data);

/* --- nodes --- */

static struct conf_place place_of(const yaml_node_t *node)
{
    return (struct conf_place){(int)node->start_mark.line + 1,
                               (int)node->start_mark.column + 1};
}

static yaml_node_t *node_at(struct walk *w, int index)
{
    return yaml_document_get_node(&w->doc, index);
}

static bool is_scalar(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE;
}

static struct str text_of(const yaml_node_t *node)
{
    return str_make((const char *)node->data.scalar.value,
                    node->data.scalar.length);
}

/* "key:", "key: ~" and "key: null" say nothing: the default stays. */
static bool is_null(const yaml_node_t *node)
{
    struct str text;

    if (!is_scalar(node) || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    text = text_of(node);
    return text.n == 0 || str_eq(text, STR("~")) ||
           str_eq_nocase(text, STR("null"));
}

static size_t pair_count(const yaml_node_t *mapping)
{
    return (size_t)(mapping->data.mapping.pairs.top -
                    mapping->data.mapping.pairs.start);
}

/* Count n values more; false when there are too many. */
static bool meet(struct walk *w, struct conf_place at, size_t n)
{
    w->nodes += n;
    if (w->nodes <= LIMIT_CONF_NODES)
        return !w->run->is_over;
    conf_fault(w->run, at, "more than %d values, aliases written out",
               LIMIT_CONF_NODES);
    w->run->is_over = true;
    return false;
}

struct seen {
    UT_hash_handle hh;
};

/* Whether the keys of a mapping are texts. One that is there twice is a fault,
 * too, but the mapping can be read. */
static bool check_keys(struct walk *w, const yaml_node_t *mapping)
{
    size_t n = pair_count(mapping), bad = 0;
    struct seen *slots = xcalloc(n, sizeof(*slots)), *all = NULL, *old;

    for (size_t i = 0; i < n; i++) {
        yaml_node_t *key = node_at(w, mapping->data.mapping.pairs.start[i].key);
        struct str name = is_scalar(key) ? text_of(key) : STR_NULL;

        if (!name.p || str_find(name, '\0') >= 0) {
            conf_fault(w->run, place_of(key), "a key must be a text");
            bad++;
            continue;
        }
        HASH_FIND(hh, all, name.p, name.n, old);
        if (old)
            conf_fault(w->run, place_of(key), "duplicate key '%.*s'",
                       (int)MIN(name.n, 64), name.p);
        else
            HASH_ADD_KEYPTR(hh, all, name.p, name.n, &slots[i]);
    }
    HASH_CLEAR(hh, all);
    free(slots);
    return bad == 0;
}

/* Whether the node is a mapping that can be walked. */
static bool is_mapping(struct walk *w, const yaml_node_t *node)
{
    if (node->type != YAML_MAPPING_NODE) {
        conf_fault(w->run, place_of(node), "expected a mapping");
        return false;
    }
    return meet(w, place_of(node), pair_count(node)) && check_keys(w, node);
}

/* What is written for a key, or NULL. */
static yaml_node_t *find_written(struct walk *w, const yaml_node_t *mapping,
                                 const char *name)
{
    size_t n = mapping ? pair_count(mapping) : 0;

    for (size_t i = 0; i < n; i++) {
        yaml_node_pair_t *pair = &mapping->data.mapping.pairs.start[i];
        yaml_node_t *value = node_at(w, pair->value);

        if (str_eq_c(text_of(node_at(w, pair->key)), name))
            return is_null(value) ? NULL : value;
    }
    return NULL;
}

/* --- values --- */

static void read_scalar(struct walk *w, const struct conf_key *key,
                        yaml_node_t *node, void *member)
{
    if (is_scalar(node))
        conf_set_scalar(w->run, key, place_of(node), text_of(node), member);
    else
        conf_fault(w->run, place_of(node), "expected a single value for '%s'",
                   key->name);
}

/* The text of an item or a map's value; "" after a fault. */
static const char *read_text(struct walk *w, yaml_node_t *node)
{
    const char *text = NULL;

    if (!is_scalar(node) || is_null(node))
        conf_fault(w->run, place_of(node), "expected a text");
    else
        text = conf_expand(w->run, place_of(node), false, text_of(node));
    return text ? text : "";
}

static void read_strs(struct walk *w, const struct conf_key *key,
                      yaml_node_t *node, void *member)
{
    struct conf_strs *list = member;
    yaml_node_item_t *items = node->data.sequence.items.start;
    size_t n = 1;

    if (node->type == YAML_MAPPING_NODE) {
        conf_fault(w->run, place_of(node), "expected a list for '%s'",
                   key->name);
        return;
    }
    if (!is_scalar(node))
        n = (size_t)(node->data.sequence.items.top - items);
    if (!meet(w, place_of(node), n))
        return;
    list->v = arena_alloc(w->run->arena, n * sizeof(*list->v));
    list->n = n;
    for (size_t i = 0; i < n; i++)
        list->v[i] =
            read_text(w, is_scalar(node) ? node : node_at(w, items[i]));
}

static void read_map(struct walk *w, const struct conf_key *key UNUSED,
                     yaml_node_t *node, void *member)
{
    struct conf_pairs *map = member;

    if (!is_mapping(w, node))
        return;
    map->n = pair_count(node);
    map->v = arena_alloc(w->run->arena, map->n * sizeof(*map->v));
    for (size_t i = 0; i < map->n; i++) {
        yaml_node_pair_t *pair = &node->data.mapping.pairs.start[i];

        map->v[i].key =
            arena_cstr(w->run->arena, text_of(node_at(w, pair->key)));
        map->v[i].value = read_text(w, node_at(w, pair->value));
    }
}

static void read_section(struct walk *w, const struct conf_key *key,
                         yaml_node_t *node, void *member)
{
    struct spot spot = {node, place_of(node), NULL, true};

    fill_section(w, key->sub, &spot, member);
}

static void read_item(struct walk *w, const struct conf_section *section,
                      const struct spot *spot, struct conf_item *item)
{
    item->name = spot->name;
    item->line = spot->at.line;
    item->column = spot->at.column;
    item->data = arena_alloc(w->run->arena, section->size);
    fill_section(w, section, spot, item->data);
}

static void read_sections(struct walk *w, const struct conf_key *key,
                          yaml_node_t *node, void *member)
{
    struct conf_items *items = member;

    if (!is_mapping(w, node))
        return;
    items->n = pair_count(node);
    items->v = arena_alloc(w->run->arena, items->n * sizeof(*items->v));
    for (size_t i = 0; i < items->n && !w->run->is_over; i++) {
        yaml_node_pair_t *pair = &node->data.mapping.pairs.start[i];
        yaml_node_t *name = node_at(w, pair->key);
        struct spot spot = {node_at(w, pair->value), place_of(name),
                            arena_cstr(w->run->arena, text_of(name)), true};

        read_item(w, key->sub, &spot, &items->v[i]);
    }
}

static void read_section_list(struct walk *w, const struct conf_key *key,
                              yaml_node_t *node, void *member)
{
    struct conf_items *items = member;
    yaml_node_item_t *nodes = node->data.sequence.items.start;

    if (node->type != YAML_SEQUENCE_NODE) {
        conf_fault(w->run, place_of(node), "expected a list for '%s'",
                   key->name);
        return;
    }
    items->n = (size_t)(node->data.sequence.items.top - nodes);
    if (!meet(w, place_of(node), items->n))
        return;
    items->v = arena_alloc(w->run->arena, items->n * sizeof(*items->v));
    for (size_t i = 0; i < items->n && !w->run->is_over; i++) {
        yaml_node_t *item = node_at(w, nodes[i]);
        struct spot spot = {item, place_of(item), NULL, true};

        read_item(w, key->sub, &spot, &items->v[i]);
    }
}

static void read_value(struct walk *w, const struct conf_key *key,
                       yaml_node_t *node, void *data)
{
    static void (*const readers[])(struct walk *, const struct conf_key *,
                                   yaml_node_t *, void *) = {
        [CONF_STR_LIST] = read_strs,
        [CONF_STR_MAP] = read_map,
        [CONF_SECTION] = read_section,
        [CONF_SECTIONS] = read_sections,
        [CONF_SECTION_LIST] = read_section_list,
    };
    void *member = (char *)data + key->offset;

    if (conf_is_scalar(key->type))
        read_scalar(w, key, node, member);
    else
        readers[key->type](w, key, node, member);
}

/* --- sections --- */

/* The value of the selector, or NULL after a fault or when there is none. */
static const char *selector_value(struct walk *w,
                                  const struct conf_section *section,
                                  const yaml_node_t *mapping)
{
    const struct conf_key *key =
        conf_find(section->keys, str_of(section->selector));
    yaml_node_t *node = find_written(w, mapping, section->selector);
    const char *value;

    ASSERT(key && (key->is_required || key->def));
    if (!node)
        return key->def;
    if (!is_scalar(node))
        return NULL;
    /* The key is read once more with the others, then with its faults. */
    w->run->is_quiet = true;
    value = conf_expand(w->run, top, false, text_of(node));
    w->run->is_quiet = false;
    return value;
}

/* The section that the selector adds. false: it cannot be told which. */
static bool select_own(struct walk *w, const struct conf_section *section,
                       const struct spot *spot, const struct conf_section **own)
{
    const char *value;
    yaml_node_t *node;

    *own = NULL;
    if (!section->selector)
        return true;
    value = selector_value(w, section, spot->node);
    if (!value)
        return false;
    *own = section->select(value);
    if (*own)
        return true;
    node = find_written(w, spot->node, section->selector);
    conf_fault(w->run, node ? place_of(node) : spot->at,
               "unknown %s '%.64s', known are %s", section->selector, value,
               conf_join(w->run->arena, section->selector_names));
    return false;
}

/* A table and the struct that it fills. */
struct half {
    const struct conf_section *section; /* NULL: there is none */
    void *data;
};

static void read_pair(struct walk *w, const struct half halves[2],
                      bool is_known, const yaml_node_pair_t *pair)
{
    yaml_node_t *name = node_at(w, pair->key), *value = node_at(w, pair->value);
    const struct conf_key *more =
        halves[1].section ? halves[1].section->keys : NULL;
    bool is_found = !is_known;

    for (size_t i = 0; i < 2 && halves[i].section; i++) {
        const struct conf_key *key =
            conf_find(halves[i].section->keys, text_of(name));

        if (!key)
            continue;
        is_found = true;
        if (!is_null(value))
            read_value(w, key, value, halves[i].data);
    }
    if (!is_found)
        conf_fault(w->run, place_of(name),
                   "unknown key '%.*s', the nearest is '%s'",
                   (int)MIN(text_of(name).n, 64), text_of(name).p,
                   conf_nearest(halves[0].section->keys, more, text_of(name)));
}

/* What is not written. */
static void fill_absent(struct walk *w, const struct half *half,
                        const struct spot *spot)
{
    for (const struct conf_key *k = half->section->keys; k->name; k++) {
        void *member = (char *)half->data + k->offset;
        struct spot nothing = {NULL, spot->at, NULL, false};

        if (find_written(w, spot->node, k->name))
            continue;
        if (k->is_required && spot->is_written)
            conf_fault(w->run, spot->at, "missing key '%s'", k->name);
        else if (k->type == CONF_SECTION)
            fill_section(w, k->sub, &nothing, member);
        else
            conf_set_default(w->run, k, spot->at, member);
    }
}

static void run_check(struct walk *w, const struct half *half,
                      const struct spot *spot)
{
    struct gw_error e = {0};

    if (half->section && half->section->check &&
        half->section->check(half->data, spot->name, &e) != GW_OK)
        conf_fault(w->run, spot->at, "%s", e.message);
}

static void fill_halves(struct walk *w, const struct half halves[2],
                        bool is_known, const struct spot *spot)
{
    size_t faults = w->run->fault_count;
    size_t n = spot->node ? pair_count(spot->node) : 0;

    for (size_t i = 0; i < n && !w->run->is_over; i++)
        read_pair(w, halves, is_known,
                  &spot->node->data.mapping.pairs.start[i]);
    for (size_t i = 0; i < 2 && halves[i].section; i++)
        fill_absent(w, &halves[i], spot);
    /* The own half first: the check of the whole may look at it. */
    for (size_t i = 2; i > 0 && w->run->fault_count == faults; i--)
        run_check(w, &halves[i - 1], spot);
}

static void fill_section(struct walk *w, const struct conf_section *section,
                         const struct spot *spot, void *data)
{
    struct half halves[2] = {{section, data}};
    struct spot mapping = *spot;
    bool is_known;

    if (w->depth >= LIMIT_CONF_DEPTH) {
        conf_fault(w->run, spot->at, "sections are nested too deeply");
        return;
    }
    if (spot->node && is_null(spot->node))
        mapping.node = NULL;
    else if (spot->node && !is_mapping(w, spot->node))
        return;
    w->depth++;
    is_known = select_own(w, section, &mapping, &halves[1].section);
    if (halves[1].section) {
        ASSERT(!halves[1].section->selector);
        halves[1].data = arena_alloc(w->run->arena, halves[1].section->size);
        *(void **)(void *)((char *)data + section->own_offset) = halves[1].data;
    }
    fill_halves(w, halves, is_known, &mapping);
    w->depth--;
}

/* --- documents --- */

/* libyaml tells of bytes that are no text by their offset alone. */
static struct conf_place place_in(struct str text, size_t offset)
{
    struct conf_place at = top;

    for (size_t i = 0; i < offset && i < text.n; i++) {
        at.column += (text.p[i] & 0xc0) != 0x80;
        if (text.p[i] == '\n')
            at = (struct conf_place){at.line + 1, 1};
    }
    return at;
}

static void fault_syntax(struct walk *w, const yaml_parser_t *parser,
                         struct str text)
{
    struct conf_place at = {(int)parser->problem_mark.line + 1,
                            (int)parser->problem_mark.column + 1};

    if (parser->error == YAML_READER_ERROR)
        at = place_in(text, parser->problem_offset);
    conf_fault(w->run, at, "%s%s%s",
               parser->problem ? parser->problem : "cannot read the document",
               parser->context ? ", " : "",
               parser->context ? parser->context : "");
}

/* A text is one document, or none at all. */
static bool check_end(struct walk *w, yaml_parser_t *parser, struct str text)
{
    yaml_document_t rest;
    yaml_node_t *root;

    if (!yaml_parser_load(parser, &rest)) {
        fault_syntax(w, parser, text);
        return false;
    }
    root = yaml_document_get_root_node(&rest);
    if (root)
        conf_fault(w->run, place_of(root), "expected one document only");
    yaml_document_delete(&rest);
    return !root;
}

static void show_braces(yaml_document_t *doc)
{
    for (yaml_node_t *n = doc->nodes.start; n < doc->nodes.top; n++)
        if (is_scalar(n))
            n->data.scalar.length = conf_show_braces(
                (char *)n->data.scalar.value, n->data.scalar.length);
}

static void walk_document(struct walk *w, const struct conf_section *section,
                          yaml_parser_t *parser, struct str text, void *data)
{
    yaml_node_t *root = yaml_document_get_root_node(&w->doc);
    struct spot spot = {root, root ? place_of(root) : top, NULL, true};

    if (!root || check_end(w, parser, text))
        fill_section(w, section, &spot, data);
}

static void load(struct walk *w, const struct conf_section *section,
                 struct str text, void *data)
{
    const char *bytes = text.p ? text.p : "";
    yaml_parser_t parser;

    if (!yaml_parser_initialize(&parser))
        BUG("out of memory for a YAML parser");
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, text.n);
    if (yaml_parser_load(&parser, &w->doc)) {
        show_braces(&w->doc);
        walk_document(w, section, &parser, text, data);
        yaml_document_delete(&w->doc);
    } else {
        fault_syntax(w, &parser, text);
    }
    yaml_parser_delete(&parser);
}

void *conf_walk(struct conf_run *r, const struct conf_section *section,
                struct str text)
{
    void *data = arena_alloc(r->arena, section->size);
    struct walk w = {.run = r};
    struct buf hidden;

    buf_init(&hidden, SIZE_MAX);
    load(&w, section, conf_hide_braces(text, &hidden), data);
    buf_release(&hidden);
    return r->fault_count ? NULL : data;
}

void *conf_parse(struct arena *a, const struct conf_section *section,
                 const char *file, struct str text, struct buf *faults)
{
    struct conf_run r = {.arena = a, .file = file, .faults = faults};

    return conf_walk(&r, section, text);
}
