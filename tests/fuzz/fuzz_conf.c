/* fuzz_conf.c -- any bytes as a configuration: read, or refused with faults.
 *
 * A struct that comes back is walked as its table promises, and the same text
 * gives the same answer twice. */
#include <string.h>

#include "gateway/base/bug.h"
#include "gateway/base/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct entry {
    const char *type;
    struct conf_pairs map;
    int64_t wait_ms;
    struct conf_items entries; /* of the same kind */
    void *own;
};

struct own {
    const char *path;
    int64_t size;
};

struct root {
    struct conf_strs list;
    const char *text, *secret;
    bool is_on;
    int64_t number;
    int level;
    struct entry entry;
    struct conf_items entries, items;
};

static const struct conf_section entry_section;
static const char *const choices[] = {"debug", "info", NULL};
static const char *const types[] = {"a", "b", NULL};

#define AT(type, member) offsetof(struct type, member)

/* clang-format off */
static const struct conf_section own_section = {
    .size = sizeof(struct own),
    .keys = (const struct conf_key[]){
        {.name = "path", .type = CONF_STR, .offset = AT(own, path), .is_required = true},
        {.name = "size", .type = CONF_SIZE, .offset = AT(own, size), .def = "1KB", .min = 1, .max = 1 << 30},
        {.name = NULL}},
};

static const struct conf_section other_section = {
    .size = 0,
    .keys = (const struct conf_key[]){{.name = NULL}},
};

static const struct conf_section *select_own(const char *value)
{
    if (strcmp(value, "a") == 0)
        return &own_section;
    return strcmp(value, "b") == 0 ? &other_section : NULL;
}

static const struct conf_section entry_section = {
    .size = sizeof(struct entry),
    .keys = (const struct conf_key[]){
        {.name = "type", .type = CONF_STR, .offset = AT(entry, type), .def = "b"},
        {.name = "map", .type = CONF_STR_MAP, .offset = AT(entry, map)},
        {.name = "wait", .type = CONF_DURATION, .offset = AT(entry, wait_ms), .def = "30s"},
        {.name = "entries", .type = CONF_SECTIONS, .offset = AT(entry, entries), .sub = &entry_section},
        {.name = NULL}},
    .selector = "type",
    .select = select_own,
    .selector_names = types,
    .own_offset = AT(entry, own),
};

static const struct conf_section root_section = {
    .size = sizeof(struct root),
    .keys = (const struct conf_key[]){
        {.name = "list", .type = CONF_STR_LIST, .offset = AT(root, list), .def = "[a, b]"},
        {.name = "text", .type = CONF_STR, .offset = AT(root, text), .def = "${FUZZ_TEXT:-x}"},
        {.name = "secret", .type = CONF_SECRET, .offset = AT(root, secret)},
        {.name = "on", .type = CONF_BOOL, .offset = AT(root, is_on), .def = "yes"},
        {.name = "number", .type = CONF_INT, .offset = AT(root, number), .min = -5, .max = 5},
        {.name = "level", .type = CONF_ENUM, .offset = AT(root, level), .choices = choices},
        {.name = "entry", .type = CONF_SECTION, .offset = AT(root, entry), .sub = &entry_section},
        {.name = "entries", .type = CONF_SECTIONS, .offset = AT(root, entries), .sub = &entry_section},
        {.name = "items", .type = CONF_SECTION_LIST, .offset = AT(root, items), .sub = &entry_section},
        {.name = NULL}},
};
/* clang-format on */

/* Reads every string that was handed out. */
static size_t walk_entry(const struct entry *e)
{
    size_t n = strlen(e->type);

    ASSERT(e->own && e->wait_ms >= 0);
    for (size_t i = 0; i < e->map.n; i++)
        n += strlen(e->map.v[i].key) + strlen(e->map.v[i].value);
    for (size_t i = 0; i < e->entries.n; i++)
        n += strlen(e->entries.v[i].name) + walk_entry(e->entries.v[i].data);
    return n;
}

static size_t walk_root(const struct root *r)
{
    size_t n = strlen(r->text) + strlen(r->secret) + walk_entry(&r->entry);

    ASSERT(r->number >= -5 && r->number <= 5);
    ASSERT(r->level == 0 || r->level == 1);
    for (size_t i = 0; i < r->list.n; i++)
        n += strlen(r->list.v[i]);
    for (size_t i = 0; i < r->entries.n; i++)
        n += strlen(r->entries.v[i].name) + walk_entry(r->entries.v[i].data);
    for (size_t i = 0; i < r->items.n; i++)
        n += walk_entry(r->items.v[i].data);
    return n;
}

static void check_faults(const struct buf *faults)
{
    struct str rest = buf_str(faults), line;
    size_t lines = 0;

    ASSERT(!faults->overflow && str_is_utf8(rest));
    while (rest.p) {
        str_cut(rest, '\n', &line, &rest);
        ASSERT(str_starts(line, STR("f:")));
        lines++;
    }
    ASSERT(lines <= 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make((const char *)data, size);
    struct arena *a = arena_new();
    struct buf faults, again;
    struct root *r, *second;

    /* No file of this machine is to be read. */
    if (size && memmem(data, size, "file:", 5)) {
        arena_free(a);
        return 0;
    }
    buf_init(&faults, 1024 * 1024);
    buf_init(&again, 1024 * 1024);
    r = conf_parse(a, &root_section, "f", text, &faults);
    ASSERT(!r == (faults.n > 0));
    if (!r)
        check_faults(&faults);
    second = conf_parse(a, &root_section, "f", text, &again);
    ASSERT(str_eq(buf_str(&faults), buf_str(&again)));
    if (r)
        ASSERT(walk_root(r) == walk_root(second));
    buf_release(&faults);
    buf_release(&again);
    arena_free(a);
    return 0;
}
