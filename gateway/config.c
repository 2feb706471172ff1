#include "gateway/config.h"

#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "gateway/flow/grants.h"
#include "gateway/store/redis.h"
#include "gateway/store/upload_store.h"

#define AT(member) offsetof(struct settings, member)
#define IN(type, member) offsetof(struct type, member)

static const char *const log_levels[] = {"debug", "info", "warn", "error",
                                         NULL};
static const char *const log_formats[] = {"json", "logfmt", NULL};

/* clang-format off */
static const struct conf_section tls_section = {
    .size = sizeof(struct settings_tls),
    .keys = (const struct conf_key[]){
        {.name = "certificate", .type = CONF_STR, .offset = IN(settings_tls, certificate),
         .help = "PEM file with the certificate chain; with `key`, every TCP listener speaks TLS"},
        {.name = "key", .type = CONF_STR, .offset = IN(settings_tls, key),
         .help = "PEM file with its private key"},
        {0}},
};

static const struct conf_section redis_section = {
    .size = sizeof(struct settings_redis),
    .keys = (const struct conf_key[]){
        {.name = "url", .type = CONF_SECRET, .offset = IN(settings_redis, url),
         .help = "redis://[user:password@]host[:port][/db], rediss://… or unix:///path; empty: an embedded redis-server in data_dir"},
        {.name = "server", .type = CONF_STR, .offset = IN(settings_redis, server), .def = "redis-server",
         .help = "program of the embedded server"},
        {.name = "timeout", .type = CONF_DURATION, .offset = IN(settings_redis, timeout_ms), .def = "1s", .min = 10, .max = 60000,
         .help = "deadline of one command; after it the request gets 503"},
        {0}},
};

static const struct conf_section log_section = {
    .size = sizeof(struct settings_log),
    .keys = (const struct conf_key[]){
        {.name = "level", .type = CONF_ENUM, .offset = IN(settings_log, level), .choices = log_levels, .def = "info",
         .help = "debug, info, warn or error; info has one access line per request"},
        {.name = "format", .type = CONF_ENUM, .offset = IN(settings_log, format), .choices = log_formats, .def = "json",
         .help = "json or logfmt"},
        {0}},
};

static const struct conf_section limits_section = {
    .size = sizeof(struct settings_limits),
    .keys = (const struct conf_key[]){
        {.name = "max_file_bytes", .type = CONF_SIZE, .offset = IN(settings_limits, max_file_bytes), .def = "512MB",
         .help = "largest file; 0: no limit but the provider's"},
        {.name = "header_timeout", .type = CONF_DURATION, .offset = IN(settings_limits, header_timeout_ms), .def = "10s", .min = 100, .max = 3600000,
         .help = "a request's head must be complete within this"},
        {.name = "idle_timeout", .type = CONF_DURATION, .offset = IN(settings_limits, idle_timeout_ms), .def = "60s", .min = 100, .max = 3600000,
         .help = "a connection without any progress is closed after this"},
        {.name = "min_rate", .type = CONF_SIZE, .offset = IN(settings_limits, min_rate), .def = "1KB",
         .help = "bytes per second that a client must send of a body; 0: any"},
        {.name = "max_connections", .type = CONF_INT, .offset = IN(settings_limits, max_connections), .def = "20000", .min = 1, .max = 1000000,
         .help = "client connections at a time, over all workers"},
        {.name = "drain_timeout", .type = CONF_DURATION, .offset = IN(settings_limits, drain_timeout_ms), .def = "30s", .max = 86400000,
         .help = "on SIGTERM, transfers may finish for so long"},
        {.name = "spool_memory", .type = CONF_SIZE, .offset = IN(settings_limits, spool_memory), .def = "1MB", .max = 1 << 30,
         .help = "of an upload that must be held back before it can be sent on: so much in memory"},
        {.name = "spool_total", .type = CONF_SIZE, .offset = IN(settings_limits, spool_total), .def = "512MB",
         .help = "and so much in all, the rest in an unlinked file in data_dir; beyond: 413"},
        {.name = "auth_failures_per_minute", .type = CONF_INT, .offset = IN(settings_limits, auth_failures), .def = "60", .max = 1000000,
         .help = "an address that sends more wrong keys to a worker is held back: 429; 0: never"},
        {0}},
};

static const struct conf_section journal_section = {
    .size = sizeof(struct settings_journal),
    .keys = (const struct conf_key[]){
        {.name = "lease", .type = CONF_DURATION, .offset = IN(settings_journal, lease_ms), .def = "60s", .min = 500, .max = 3600000,
         .help = "an upload whose process died is taken up by the sweeper after this"},
        {.name = "sweep_interval", .type = CONF_DURATION, .offset = IN(settings_journal, sweep_ms), .def = "15s", .min = 100, .max = 3600000,
         .help = "how often the sweeper looks"},
        {0}},
};

static const struct conf_section cors_section = {
    .size = sizeof(struct settings_cors),
    .keys = (const struct conf_key[]){
        {.name = "origins", .type = CONF_STR_LIST, .offset = IN(settings_cors, origins),
         .help = "those pages, such as https://app.example.com; \"*\": all; empty: none"},
        {.name = "max_age", .type = CONF_DURATION, .offset = IN(settings_cors, max_age_ms), .def = "10m", .max = 86400000,
         .help = "for so long a browser need not ask again"},
        {0}},
};

static const struct conf_section batch_check_section = {
    .size = sizeof(struct settings_batch_check),
    .keys = (const struct conf_key[]){
        {.name = "enabled", .type = CONF_BOOL, .offset = IN(settings_batch_check, is_enabled), .def = "true",
         .help = "refuse a file of purpose `batch` at its first line that is no valid request, and give models the names of `models`"},
        {.name = "max_lines", .type = CONF_INT, .offset = IN(settings_batch_check, max_lines), .def = "50000", .min = 1, .max = 1000000,
         .help = "requests in one file"},
        {.name = "max_line_bytes", .type = CONF_SIZE, .offset = IN(settings_batch_check, max_line_bytes), .def = "1MB", .min = 1024, .max = 64 << 20,
         .help = "longest line; as much memory may be held per upload"},
        {0}},
};

static const struct conf_section batches_section = {
    .size = sizeof(struct settings_batches),
    .keys = (const struct conf_key[]){
        {.name = "look_interval", .type = CONF_DURATION, .offset = IN(settings_batches, look_ms), .def = "5m", .min = 100, .max = 86400000,
         .help = "how often a batch that runs is looked at when its owner does not"},
        {.name = "list_timeout", .type = CONF_DURATION, .offset = IN(settings_batches, list_ms), .def = "10s", .min = 100, .max = 600000,
         .help = "a list waits for providers for so long at most"},
        {.name = "keep", .type = CONF_DURATION, .offset = IN(settings_batches, keep_ms), .def = "90d",
         .help = "for so long after its end a batch is listed; 0: for ever"},
        {0}},
};

static const struct conf_section uploads_section = {
    .size = sizeof(struct settings_uploads),
    .keys = (const struct conf_key[]){
        {.name = "max_part_bytes", .type = CONF_SIZE, .offset = IN(settings_uploads, max_part_bytes), .def = "64MB", .min = 1,
         .help = "largest part"},
        {.name = "lifetime", .type = CONF_DURATION, .offset = IN(settings_uploads, life_ms), .def = "1h", .min = 500, .max = UPLOAD_LIFE_MAX_MS,
         .help = "an upload that is not complete by then ends, and its parts go"},
        {.name = "hold", .type = CONF_STR, .offset = IN(settings_uploads, hold),
         .help = "the provider (of type disk, s3, bedrock, gcs or vertex) that holds the parts of files for providers that do not take parts; empty: the file's own where it is of these types, else a directory in data_dir"},
        {0}},
};

static const struct conf_section forward_section = {
    .size = sizeof(struct settings_forward),
    .keys = (const struct conf_key[]){
        {.name = "enabled", .type = CONF_BOOL, .offset = IN(settings_forward, is_enabled), .def = "true",
         .help = "false: filemux serves files and batches alone"},
        {.name = "max_json_bytes", .type = CONF_SIZE, .offset = IN(settings_forward, max_json_bytes), .def = "32MB", .min = 1024, .max = 1 << 30,
         .help = "largest JSON body, of a request and of an answer that is looked into"},
        {.name = "max_event_bytes", .type = CONF_SIZE, .offset = IN(settings_forward, max_event_bytes), .def = "16MB", .min = 1024, .max = 1 << 30,
         .help = "largest event of a stream that is looked into: the last one may have a whole response"},
        {.name = "max_held_bytes", .type = CONF_SIZE, .offset = IN(settings_forward, max_held_bytes), .def = "512MB", .min = 1024, .max = INT64_C(1) << 50,
         .help = "what all these bodies of the process take together; beyond: 503"},
        {.name = "timeout", .type = CONF_DURATION, .offset = IN(settings_forward, timeout_ms), .def = "10m", .min = 100, .max = 86400000,
         .help = "a provider may think for so long between two bytes, if its own `timeout` is shorter"},
        {.name = "object_life", .type = CONF_DURATION, .offset = IN(settings_forward, object_life_ms), .def = "30d", .min = 60000, .max = INT64_C(3650) * 86400000,
         .help = "for so long it is known whose a response is; OpenAI keeps them for 30 days"},
        {0}},
};

static const struct conf_section key_section = {
    .size = sizeof(struct settings_key),
    .keys = (const struct conf_key[]){
        {.name = "key", .type = CONF_SECRET, .offset = IN(settings_key, key), .is_required = true, .help = "the secret"},
        {.name = "key_alias", .type = CONF_STR, .offset = IN(settings_key, key_alias), .help = "its name in the log"},
        {.name = "team_id", .type = CONF_STR, .offset = IN(settings_key, team_id), .help = "owner of its files, if set"},
        {.name = "user_id", .type = CONF_STR, .offset = IN(settings_key, user_id), .help = "owner of its files, if set and no team is"},
        {.name = "providers", .type = CONF_STR_LIST, .offset = IN(settings_key, providers), .help = "those it may use; empty: all"},
        {.name = "operations", .type = CONF_STR_LIST, .offset = IN(settings_key, operations), .help = "of create, read, list, delete, content, batch, forward; empty: all"},
        {.name = "default_provider", .type = CONF_STR, .offset = IN(settings_key, default_provider), .help = "where its files go if nothing else decides"},
        {.name = "max_file_bytes", .type = CONF_SIZE, .offset = IN(settings_key, max_file_bytes), .help = "largest file; 0: the global limit"},
        {.name = "max_active_batches", .type = CONF_INT, .offset = IN(settings_key, max_active_batches), .max = 1 << 30, .help = "that run at a time; 0: no limit"},
        {.name = "max_batch_lines_per_day", .type = CONF_INT, .offset = IN(settings_key, max_batch_lines_per_day), .max = 1 << 30, .help = "of files that batches are made of; 0: no limit"},
        {0}},
};

static const struct conf_section settings_section = {
    .size = sizeof(struct settings),
    .keys = (const struct conf_key[]){
        {.name = "listen", .type = CONF_STR_LIST, .offset = AT(listen), .def = "127.0.0.1:8080",
         .help = "address:port, [v6]:port or unix:/path; or a list of them"},
        {.name = "tls", .type = CONF_SECTION, .offset = AT(tls), .sub = &tls_section, .help = "TLS toward clients"},
        {.name = "admin_listen", .type = CONF_STR, .offset = AT(admin_listen),
         .help = "when set, administration, health and metrics are served there only"},
        {.name = "data_dir", .type = CONF_STR, .offset = AT(data_dir), .def = "./data",
         .help = "the embedded redis-server's data, the local provider's files, spool files"},
        {.name = "workers", .type = CONF_INT, .offset = AT(workers), .def = "0", .max = 256,
         .help = "threads; 0: one per CPU"},
        {.name = "master_key", .type = CONF_SECRET, .offset = AT(master_key), .def = "${FILEMUX_MASTER_KEY:-}",
         .help = "makes virtual keys; at least 16 characters; empty: administration is off"},
        {.name = "redis", .type = CONF_SECTION, .offset = AT(redis), .sub = &redis_section, .help = "where ids and keys are kept"},
        {.name = "log", .type = CONF_SECTION, .offset = AT(log), .sub = &log_section, .help = "to stderr"},
        {.name = "limits", .type = CONF_SECTION, .offset = AT(limits), .sub = &limits_section, .help = "sizes take B KB MB GB TB (1024), durations ms s m h d"},
        {.name = "journal", .type = CONF_SECTION, .offset = AT(journal), .sub = &journal_section, .help = "uploads under way, for the time after a crash"},
        {.name = "cors", .type = CONF_SECTION, .offset = AT(cors), .sub = &cors_section, .help = "pages of other origins may call the file API"},
        {.name = "checksums", .type = CONF_BOOL, .offset = AT(checksums), .def = "false",
         .help = "hash every upload (SHA-256 in the file object); costs as much CPU as the transfer"},
        {.name = "batch_check", .type = CONF_SECTION, .offset = AT(batch_check), .sub = &batch_check_section, .help = "batch files are checked while they are uploaded"},
        {.name = "batches", .type = CONF_SECTION, .offset = AT(batches), .sub = &batches_section, .help = "what runs at providers"},
        {.name = "uploads", .type = CONF_SECTION, .offset = AT(uploads), .sub = &uploads_section, .help = "files that come in parts"},
        {.name = "forward", .type = CONF_SECTION, .offset = AT(forward), .sub = &forward_section, .help = "calls of the API that are passed on to a provider"},
        {.name = "providers", .type = CONF_SECTIONS, .offset = AT(providers), .sub = &provider_conf_section,
         .help = "where files go, by name; empty: `local`, a directory in data_dir",
         .example =
             "openai:\n"
             "  type: openai\n"
             "  api_key: ${OPENAI_API_KEY}\n"
             "azure:\n"
             "  type: azure\n"
             "  base_url: https://NAME.openai.azure.com\n"
             "  api_key: ${AZURE_OPENAI_API_KEY}\n"
             "vertex: {type: vertex, bucket: my-files, location: us-central1}\n"
             "anthropic: {type: anthropic, api_key: \"${ANTHROPIC_API_KEY}\"}\n"
             "gemini: {type: gemini, api_key: \"${GEMINI_API_KEY}\"}\n"
             "mistral: {type: mistral, api_key: \"${MISTRAL_API_KEY}\"}\n"
             "together: {type: together, api_key: \"${TOGETHER_API_KEY}\"}\n"
             "fireworks:\n"
             "  type: fireworks\n"
             "  account_id: NAME\n"
             "  api_key: ${FIREWORKS_API_KEY}\n"
             "# a vendor that is known: everything but the key is\n"
             "xai: {type: openai, vendor: xai, api_key: \"${XAI_API_KEY}\"}\n"
             "# a gateway of one's own\n"
             "litellm:\n"
             "  type: openai\n"
             "  vendor: litellm\n"
             "  base_url: http://litellm:4000\n"
             "  api_key: ${LITELLM_API_KEY}\n"
             "  custom_llm_provider: openai\n"
             "# a vendor that is not known: what differs from OpenAI\n"
             "other:\n"
             "  type: openai\n"
             "  vendor: generic\n"
             "  base_url: https://api.example.com/v1\n"
             "  api_key: ${OTHER_API_KEY}\n"
             "  operations: [create, list, content]\n"
             "  expires_after: none\n"
             "  upload_length: required\n"
             "cluster:\n"
             "  type: openai\n"
             "  vendor: generic\n"
             "  base_url: http://127.0.0.1:8000/v1\n"
             "  namespace: vllm\n"
             "local:\n"
             "  type: disk\n"
             "  path: ./data/files"},
        {.name = "pools", .type = CONF_SECTIONS, .offset = AT(route.pools), .sub = &pool_section,
         .help = "providers that stand in for each other, in this order",
         .example = "main:\n  members:\n    - {provider: openai}\n    - {provider: cluster}"},
        {.name = "models", .type = CONF_SECTIONS, .offset = AT(route.models), .sub = &model_section,
         .help = "what a client calls a model: where it lives, what it is called there",
         .example = "gpt-batch: {provider: openai, model: gpt-4o}"},
        {.name = "routing", .type = CONF_SECTION, .offset = AT(route.routing), .sub = &routing_rules_section,
         .help = "which provider gets an upload without a hint"},
        {.name = "keys", .type = CONF_SECTION_LIST, .offset = AT(keys), .sub = &key_section,
         .help = "virtual keys fixed here, beside those made through the API",
         .example = "- {key: \"${CI_KEY}\", key_alias: ci, providers: [local]}"},
        {0}},
};
/* clang-format on */

#define MASTER_KEY_MIN 16
/* In the log and the metrics. */
#define UPLOADS_OWN ".parts"

static void put_list(struct json_out *j, const char *name,
                     const struct conf_strs *list)
{
    json_open(j, name, '[');
    for (size_t i = 0; i < list->n; i++)
        json_put_cstr(j, NULL, list->v[i]);
    json_close(j);
}

static void put_text(struct json_out *j, const char *name, const char *text)
{
    if (text[0])
        json_put_cstr(j, name, text);
}

static void put_number(struct json_out *j, const char *name, int64_t n)
{
    if (n)
        json_put_int(j, name, n);
}

/* A key of the file as the request that would make it through the API, so that
 * both are checked by the same code. */
static enum gw_err make_fixed_key(struct settings *s,
                                  const struct settings_key *k,
                                  struct key_store_fixed *out,
                                  struct gw_error *e)
{
    struct vkey_build build = {
        .key_name = vkey_mask(s->arena, str_of(k->key)),
    };
    struct buf text, record;
    struct json_out j;
    struct json *request;

    buf_init(&text, 64 * KIB);
    buf_init(&record, 64 * KIB);
    json_out_init(&j, &text);
    json_open(&j, NULL, '{');
    put_text(&j, "key_alias", k->key_alias);
    put_text(&j, "team_id", k->team_id);
    put_text(&j, "user_id", k->user_id);
    put_text(&j, "default_provider", k->default_provider);
    put_list(&j, "providers", &k->providers);
    if (k->operations.n)
        put_list(&j, "operations", &k->operations);
    put_number(&j, "max_file_bytes", k->max_file_bytes);
    put_number(&j, "max_active_batches", k->max_active_batches);
    put_number(&j, "max_batch_lines_per_day", k->max_batch_lines_per_day);
    json_close(&j);
    request = json_parse(s->arena, buf_str(&text), e);
    if (request &&
        vkey_build(s->arena, request, NULL, &build, &record, e) == GW_OK) {
        vkey_hash(str_of(k->key), out->hash);
        out->record = arena_dup(s->arena, buf_str(&record));
    }
    buf_release(&text);
    buf_release(&record);
    return e->err;
}

static void fault(struct buf *faults, const char *file, int line, int column,
                  const char *text)
{
    if (faults->n)
        buf_add_byte(faults, '\n');
    buf_printf(faults, "%s:%d:%d: %s", file, line, column, text);
}

static void make_fixed_keys(struct settings *s, const char *file,
                            struct buf *faults)
{
    s->fixed_keys =
        arena_alloc(s->arena, (s->keys.n + 1) * sizeof(s->fixed_keys[0]));
    for (size_t i = 0; i < s->keys.n; i++) {
        const struct conf_item *item = &s->keys.v[i];
        struct gw_error e = {0};

        if (make_fixed_key(s, item->data, &s->fixed_keys[i], &e) != GW_OK)
            fault(faults, file, item->line, item->column, e.message);
    }
}

/* Namespaces stand in ids: no two providers may share one. */
static void check_namespaces(const struct settings *s, const char *file,
                             struct buf *faults)
{
    for (size_t i = 0; i < s->providers.n; i++) {
        const struct conf_item *a = &s->providers.v[i];
        const struct provider_conf *p = a->data;

        for (size_t k = 0; k < i; k++) {
            const struct provider_conf *q = s->providers.v[k].data;

            if (strcmp(p->ns, q->ns) == 0) {
                fault(faults, file, a->line, a->column,
                      "another provider has the same namespace: set "
                      "'namespace'");
                break;
            }
        }
    }
}

/* Compared byte by byte with what browsers send, so written as they do. */
static void check_origins(const struct settings *s, const char *file,
                          struct buf *faults)
{
    const struct conf_strs *origins = &s->cors.origins;

    for (size_t i = 0; i < origins->n; i++) {
        struct str o = str_of(origins->v[i]);
        bool is_star = str_eq(o, STR("*"));

        if (is_star ? origins->n > 1
                    : !strstr(o.p, "://") || o.p[o.n - 1] == '/')
            fault(faults, file, 1, 1,
                  "'cors.origins' has \"*\" alone, or origins such as "
                  "https://app.example.com, without a path");
    }
}

/* A model's new name stands in lines of batch files, quoted: a byte may take
 * six there. */
static void check_model_names(const struct settings *s, const char *file,
                              struct buf *faults)
{
    for (size_t i = 0; i < s->route.models.n; i++) {
        const struct conf_item *item = &s->route.models.v[i];
        const struct model_conf *m = item->data;

        if (6 * strlen(m->model) + 2 > LIMIT_BATCH_NAME_BYTES)
            fault(faults, file, item->line, item->column,
                  "the name in 'model' is too long");
    }
}

/* Parts go where any bytes may lie, and come back as they were. */
static void check_hold(const struct settings *s, const char *file,
                       struct buf *faults)
{
    const struct provider_conf *p =
        settings_provider(s, str_of(s->uploads.hold));

    if (s->uploads.hold[0] && !(p && (provider_caps(p) & PROV_HOLDS_PARTS)))
        fault(faults, file, 1, 1,
              "'uploads.hold' must name a provider of type disk, s3, bedrock, "
              "gcs or vertex");
}

/* What only the whole tells. */
static void check_whole(struct settings *s, const char *file,
                        struct buf *faults)
{
    struct gw_error e = {0};

    if (s->master_key[0] && strlen(s->master_key) < MASTER_KEY_MIN)
        fault(faults, file, 1, 1,
              "'master_key' must have at least 16 characters");
    if (!s->tls.certificate[0] != !s->tls.key[0])
        fault(faults, file, 1, 1, "'tls' needs both 'certificate' and 'key'");
    if (!s->listen.n)
        fault(faults, file, 1, 1, "'listen' is empty");
    if (s->redis.url[0] && redis_check_url(s->redis.url, &e) != GW_OK)
        fault(faults, file, 1, 1, e.message);
    err_clear(&e);
    if (router_check(&s->route, &s->providers, &e) != GW_OK)
        fault(faults, file, 1, 1, e.message);
    check_origins(s, file, faults);
    check_namespaces(s, file, faults);
    check_model_names(s, file, faults);
    check_hold(s, file, faults);
    make_fixed_keys(s, file, faults);
}

/* A directory below data_dir, as one would write it. */
static struct str double_dollars(struct arena *a, const char *data_dir,
                                 const char *name)
{
    struct str out = STR("");

    for (const char *p = data_dir; *p; p++)
        out =
            arena_printf(a, "%.*s%s%c", STR_ARG(out), *p == '$' ? "$" : "", *p);
    return arena_printf(a, "%.*s/%s", STR_ARG(out), name);
}

/* A provider of that name over a directory of that name in data_dir. */
static struct conf_items local_provider(struct arena *a,
                                        const struct settings *s,
                                        const char *name, const char *dir)
{
    struct settings *with;
    struct buf text, ignored;
    struct json_out j;

    buf_init(&text, 64 * KIB);
    buf_init(&ignored, 64 * KIB);
    /* JSON is YAML, and quotes whatever the path may hold; a dollar is written
     * twice, for it was expanded before. */
    buf_printf(&text, "{providers: {%s: {type: disk, path: ", name);
    json_out_init(&j, &text);
    json_put_str(&j, NULL, double_dollars(a, s->data_dir, dir));
    buf_add_c(&text, "}}, master_key: \"\"}");
    with =
        conf_parse(a, &settings_section, "defaults", buf_str(&text), &ignored);
    if (!with)
        BUG("embedded defaults: %.*s", STR_ARG(buf_str(&ignored)));
    buf_release(&text);
    buf_release(&ignored);
    return with->providers;
}

/* Without any provider there is one: the embedded default. And one that no
 * request can name, for parts. */
static void add_local_providers(struct arena *a, struct settings *s)
{
    struct conf_items own = local_provider(a, s, UPLOADS_OWN, "uploads");

    s->uploads.own = own.v[0].data;
    if (!s->providers.n)
        s->providers = local_provider(a, s, "local", "files");
}

struct settings *config_load(const char *file, struct buf *faults)
{
    struct arena *a = arena_new();
    const char *name = file ? file : "defaults";
    struct settings *s =
        file ? conf_load(a, &settings_section, file, faults)
             : conf_parse(a, &settings_section, name, STR(""), faults);

    if (!s) {
        arena_free(a);
        return NULL;
    }
    s->arena = a;
    atomic_init(&s->refs, 1);
    add_local_providers(a, s);
    check_whole(s, name, faults);
    if (faults->n) {
        arena_free(a);
        return NULL;
    }
    log_add_secret(str_of(s->master_key));
    crypto_sha256(str_of(s->master_key), s->master_hash);
    grants_open(s);
    return s;
}

void config_print(struct buf *out)
{
    conf_print(&settings_section, out);
}
