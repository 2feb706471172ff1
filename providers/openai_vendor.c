#include "providers/openai_vendor.h"

#define GET PROV_CAN_GET
#define CREATE PROV_CAN_CREATE
#define CONTENT PROV_CAN_CONTENT

#define DAY_S INT64_C(86400)
/* Whether a megabyte has 1000 or 1024 kilobytes is rarely told: the larger, so
 * that nothing is refused here that would be taken there. */
#define MEGA ((int64_t)MIB)

/* Reads a document for the model's sake; what was uploaded for that must have
 * the vendor's own purpose. */
static const struct conf_pair extracts[] = {
    {"user_data", "file-extract"},
    {"assistants", "file-extract"},
    {NULL, NULL},
};

static const struct conf_pair extracts_and_sees[] = {
    {"user_data", "file-extract"},
    {"assistants", "file-extract"},
    {"vision", "image"},
    {NULL, NULL},
};

/* LiteLLM hides the model in the id, but not in those of its lists. */
static const char *const models[] = {"model", "target_model_names", NULL};

/* clang-format off */
#define VENDORS(X)                                                             \
    X("openai",                                                                \
      .base_url = "https://api.openai.com/v1",                                 \
      .expiry = OPENAI_EXPIRY_BRACKETS, .has_status = true,                    \
      .has_uploads = true, .paging = OPENAI_PAGING_CURSOR)                     \
    X("nebius",                                                                \
      .base_url = "https://api.tokenfactory.nebius.com/v1",                    \
      .needs_length = true)                                                    \
    X("kluster",                                                               \
      .base_url = "https://api.kluster.ai/v1",                                 \
      .operations = CREATE | CONTENT, .has_uploads = true,                     \
      .needs_length = true)                                                    \
    X("aqueduct", .has_status = true)                                          \
    X("litellm",                                                               \
      .expiry = OPENAI_EXPIRY_BRACKETS, .has_status = true,                    \
      .paging = OPENAI_PAGING_CURSOR, .relisting = models)                     \
    X("groq",                                                                  \
      .base_url = "https://api.groq.com/openai/v1", .needs_length = true)      \
    X("xai",                                                                   \
      .base_url = "https://api.x.ai/v1", .no_batches = true,                   \
      .expiry = OPENAI_EXPIRY_FIRST, .needs_length = true,                     \
      .paging = OPENAI_PAGING_TOKEN, .page = 100,                              \
      .max_file_bytes = 50 * MEGA)                                             \
    X("moonshot",                                                              \
      .base_url = "https://api.moonshot.ai/v1",                                \
      .needs_length = true, .has_status = true,                                \
      .purposes = extracts_and_sees, .max_file_bytes = 100 * MEGA)             \
    X("zhipu",                                                                 \
      .base_url = "https://open.bigmodel.cn/api/paas/v4",                      \
      .needs_length = true, .paging = OPENAI_PAGING_CURSOR, .page = 100,       \
      .list_purpose = "batch", .max_file_bytes = 100 * MEGA)                   \
    X("siliconflow",                                                           \
      .base_url = "https://api.siliconflow.cn/v1",                             \
      .needs_length = true, .paging = OPENAI_PAGING_CURSOR,                    \
      .list_purpose = "batch", .envelope = "data")                             \
    X("dashscope",                                                             \
      .base_url = "https://dashscope.aliyuncs.com/compatible-mode/v1",         \
      .needs_length = true, .has_status = true,                                \
      .paging = OPENAI_PAGING_CURSOR, .purposes = extracts,                    \
      .max_file_bytes = 500 * MEGA)                                            \
    X("perplexity",                                                            \
      .base_url = "https://api.perplexity.ai/v1",                              \
      .needs_length = true, .paging = OPENAI_PAGING_CURSOR, .page = 100,       \
      .max_file_bytes = 200 * MEGA, .retention_s = 30 * DAY_S)                 \
    X("cerebras",                                                              \
      .base_url = "https://api.cerebras.ai/v1",                                \
      .expiry = OPENAI_EXPIRY_BRACKETS, .needs_length = true,                  \
      .paging = OPENAI_PAGING_CURSOR, .page = 100,                             \
      .max_file_bytes = 200 * MEGA, .retention_s = 7 * DAY_S)                  \
    X("digitalocean",                                                          \
      .base_url = "https://inference.do-ai.run/v1",                            \
      .operations = CREATE, .no_batches = true,                                \
      .upload_to = "/batches/files",                                           \
      .upload = OPENAI_UPLOAD_PRESIGNED, .needs_length = true,                 \
      .max_file_bytes = 200 * MEGA)                                            \
    X("vllm-production-stack",                                                 \
      .operations = CREATE | GET | CONTENT, .no_batches = true)                \
    X("aibrix", .paging = OPENAI_PAGING_CURSOR)                                \
    X("llama-stack",                                                           \
      .expiry = OPENAI_EXPIRY_BRACKETS, .paging = OPENAI_PAGING_CURSOR)        \
    X("doubleword",                                                            \
      .expiry = OPENAI_EXPIRY_FIRST, .has_status = true,                       \
      .paging = OPENAI_PAGING_CURSOR)                                          \
    X("generic",                                                               \
      .expiry = OPENAI_EXPIRY_BRACKETS, .has_status = true,                    \
      .paging = OPENAI_PAGING_CURSOR)
/* clang-format on */

const struct openai_vendor openai_vendors[] = {
#define X(word, ...) {.name = word, __VA_ARGS__},
    VENDORS(X)
#undef X
};

const char *const openai_vendor_names[] = {
#define X(word, ...) word,
    VENDORS(X)
#undef X
        NULL};

/* --- for the README --- */

static const char *const expiry_words[] = {
    [OPENAI_EXPIRY_NONE] = "none",
    [OPENAI_EXPIRY_BRACKETS] = "brackets",
    [OPENAI_EXPIRY_FIRST] = "first",
    [OPENAI_EXPIRY_DOTS] = "dots",
};

static const char *const paging_words[] = {
    [OPENAI_PAGING_NONE] = "none",
    [OPENAI_PAGING_CURSOR] = "cursor",
    [OPENAI_PAGING_TOKEN] = "token",
};

static void add_operations(struct buf *out, unsigned operations)
{
    const char *comma = "";
    int code;

    if (operations == 0)
        buf_add_c(out, "all");
    for (code = 0; code < PROV_GRANT; code++)
        if (operations & (1u << code)) {
            buf_printf(out, "%s%s", comma,
                       prov_opcode_name((enum prov_opcode)code));
            comma = ", ";
        }
}

static void add_purposes(struct buf *out, const struct conf_pair *map)
{
    for (; map && map->key; map++)
        buf_printf(out, "; `%s` is `%s`", map->key, map->value);
}

/* What few of them have. */
static void add_rest(struct buf *out, const struct openai_vendor *v)
{
    if (v->no_batches)
        buf_add_c(out, "; no batches");
    if (v->has_uploads)
        buf_add_c(out, "; uploads in parts");
    if (v->upload == OPENAI_UPLOAD_PRESIGNED)
        buf_add_c(out, "; upload: presigned");
    if (v->upload_to)
        buf_printf(out, "; upload_to: `%s`", v->upload_to);
    if (v->has_slash)
        buf_add_c(out, "; trailing_slash: yes");
    if (v->page)
        buf_printf(out, "; list_limit: %lld", (long long)v->page);
    if (v->list_purpose)
        buf_printf(out, "; list_purpose: %s", v->list_purpose);
    if (v->envelope)
        buf_printf(out, "; envelope: %s", v->envelope);
    add_purposes(out, v->purposes);
    if (v->max_file_bytes)
        buf_printf(out, "; max_file_bytes: %lldMB",
                   (long long)(v->max_file_bytes / MEGA));
    if (v->retention_s)
        buf_printf(out, "; retention: %lldd",
                   (long long)(v->retention_s / DAY_S));
}

static void add_row(struct buf *out, const struct openai_vendor *v)
{
    const char *quote = v->base_url ? "`" : "";
    size_t at;

    buf_printf(out, "| `%s` | %s%s%s | ", v->name, quote,
               v->base_url ? v->base_url : "to be given", quote);
    add_operations(out, v->operations);
    buf_printf(out, " | %s | %s | %s | %s | ", expiry_words[v->expiry],
               v->needs_length ? "required" : "optional",
               paging_words[v->paging], v->has_status ? "told" : "none");
    at = out->n;
    add_rest(out, v);
    /* Without the first "; ". */
    if (out->n > at) {
        memmove(out->p + at, out->p + at + 2, out->n - at - 2);
        out->n -= 2;
    }
    buf_add_c(out, " |\n");
}

void openai_vendor_table(struct buf *out)
{
    size_t i;

    buf_add_c(out, "| vendor | base_url | operations | expires_after | "
                   "upload_length | paging | status | and |\n"
                   "|---|---|---|---|---|---|---|---|\n");
    for (i = 0; openai_vendor_names[i]; i++)
        add_row(out, &openai_vendors[i]);
}
