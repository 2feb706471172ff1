#include "providers/registry.h"

/* Adding a provider: its line here, the file providers/<name>.c that defines
 * provider_<name>, and its cases in tests/golden/<name>/. The order is that
 * of the README's table. */
#define PROVIDERS(X)                                                           \
    X(openai)                                                                  \
    X(azure)                                                                   \
    X(vertex)                                                                  \
    X(gcs)                                                                     \
    X(anthropic)                                                               \
    X(gemini)                                                                  \
    X(mistral)                                                                 \
    X(together)                                                                \
    X(fireworks)                                                               \
    X(bedrock)                                                                 \
    X(s3)                                                                      \
    X(disk)

#define X(name) extern const struct provider_type provider_##name;
PROVIDERS(X)
#undef X

static const struct provider_type *const types[] = {
#define X(name) &provider_##name,
    PROVIDERS(X)
#undef X
        NULL};

const char *const registry_names[] = {
#define X(name) #name,
    PROVIDERS(X)
#undef X
        NULL};

const struct provider_type *registry_find(const char *name)
{
    const struct provider_type *const *t;

    for (t = types; *t; t++)
        if (str_eq_c(str_of(name), (*t)->name))
            return *t;
    return NULL;
}

const struct provider_type *const *registry_all(void)
{
    return types;
}

static const struct {
    unsigned cap;
    const char *head;
} columns[] = {
    /* clang-format off */
    {PROV_CAN_CREATE,  "create"},
    {PROV_CAN_GET,     "get"},
    {PROV_CAN_LIST,    "list"},
    {PROV_CAN_DELETE,  "delete"},
    {PROV_CAN_CONTENT, "content"},
    {PROV_HAS_RANGE,   "range"},
    {PROV_CAN_BATCH,   "batches"},
    /* clang-format on */
};

void registry_table(struct buf *out)
{
    const struct provider_type *const *t;
    size_t i;

    buf_add_c(out, "| type | systems |");
    for (i = 0; i < COUNTOF(columns); i++)
        buf_printf(out, " %s |", columns[i].head);
    buf_add_c(out, "\n|---|---|");
    for (i = 0; i < COUNTOF(columns); i++)
        buf_add_c(out, "---|");
    for (t = types; *t; t++) {
        buf_printf(out, "\n| `%s` | %s |", (*t)->name, (*t)->systems);
        for (i = 0; i < COUNTOF(columns); i++)
            buf_add_c(out, (*t)->caps & columns[i].cap ? " yes |" : " no |");
    }
    buf_add_c(out, "\n");
}
