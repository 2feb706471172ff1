#include "gateway/api/api.h"

#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "gateway/flow/cors.h"

/* clang-format off */
static const struct route routes[] = {
    {"POST",   BASE_API,   "files",              "files.create",   SCOPE_KEY,   VKEY_CREATE,  false, files_upload},
    {"GET",    BASE_API,   "files",              "files.list",     SCOPE_KEY,   VKEY_LIST,    false, files_list},
    {"GET",    BASE_API,   "files/{id}",         "files.retrieve", SCOPE_KEY,   VKEY_READ,    true,  files_get},
    {"DELETE", BASE_API,   "files/{id}",         "files.delete",   SCOPE_KEY,   VKEY_DELETE,  true,  files_delete},
    {"GET",    BASE_API,   "files/{id}/content", "files.content",  SCOPE_KEY,   VKEY_CONTENT, true,  files_content},
    {"HEAD",   BASE_API,   "files/{id}/content", "files.content",  SCOPE_KEY,   VKEY_CONTENT, true,  files_content},
    {"POST",   BASE_API,   "files/{id}/copy",    "files.copy",     SCOPE_KEY,   VKEY_CREATE | VKEY_CONTENT, true, files_copy},
    {"POST",   BASE_API,   "batches",             "batches.create", SCOPE_KEY,  VKEY_BATCH,   false, batches_create},
    {"GET",    BASE_API,   "batches",             "batches.list",   SCOPE_KEY,  VKEY_BATCH,   false, batches_list},
    {"GET",    BASE_API,   "batches/{id}",        "batches.retrieve", SCOPE_KEY, VKEY_BATCH,  false, batches_get},
    {"POST",   BASE_API,   "batches/{id}/cancel", "batches.cancel", SCOPE_KEY,  VKEY_BATCH,   false, batches_cancel},
    {"POST",   BASE_API,   "uploads",               "uploads.create",   SCOPE_KEY, VKEY_CREATE, false, uploads_create},
    {"POST",   BASE_API,   "uploads/{id}/parts",    "uploads.part",     SCOPE_KEY, VKEY_CREATE, false, uploads_part},
    {"POST",   BASE_API,   "uploads/{id}/complete", "uploads.complete", SCOPE_KEY, VKEY_CREATE, false, uploads_complete},
    {"POST",   BASE_API,   "uploads/{id}/cancel",   "uploads.cancel",   SCOPE_KEY, VKEY_CREATE, false, uploads_cancel},
    {"POST",   BASE_API,   "chat/completions",    "chat.completions", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "completions",         "completions",    SCOPE_KEY,   VKEY_FORWARD,  false, forward_api},
    {"POST",   BASE_API,   "embeddings",          "embeddings",     SCOPE_KEY,   VKEY_FORWARD,  false, forward_api},
    {"POST",   BASE_API,   "moderations",         "moderations",    SCOPE_KEY,   VKEY_FORWARD,  false, forward_api},
    {"POST",   BASE_API,   "images/generations",  "images.generations", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "audio/speech",        "audio.speech",   SCOPE_KEY,   VKEY_FORWARD,  false, forward_api},
    {"POST",   BASE_API,   "responses",           "responses.create", SCOPE_KEY, VKEY_FORWARD,  false, forward_api},
    {"POST",   BASE_API,   "responses/input_tokens", "responses.input_tokens", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "responses/compact",   "responses.compact", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "responses/{id}",      "responses.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "responses/{id}",      "responses.delete", SCOPE_KEY, VKEY_FORWARD,  false, forward_api},
    {"POST",   BASE_API,   "responses/{id}/cancel", "responses.cancel", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "responses/{id}/input_items", "responses.input_items", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "models",              "models.list",    SCOPE_KEY,   VKEY_FORWARD,  false, models_list},
    {"GET",    BASE_API,   "models/{id}",         "models.retrieve", SCOPE_KEY,  VKEY_FORWARD,  false, models_get},
    {"POST",   BASE_API,   "images/edits",          "images.edits", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "images/variations",     "images.variations", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "audio/transcriptions",  "audio.transcriptions", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "audio/translations",    "audio.translations", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "videos",                "videos.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "videos",                "videos.list", SCOPE_KEY, VKEY_FORWARD, false, kept_list},
    {"GET",    BASE_API,   "videos/{id}",           "videos.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "videos/{id}",           "videos.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "videos/{id}/content",   "videos.content", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "videos/{id}/remix",     "videos.remix", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "fine_tuning/jobs",      "fine_tuning.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "fine_tuning/jobs",      "fine_tuning.list", SCOPE_KEY, VKEY_FORWARD, false, kept_list},
    {"GET",    BASE_API,   "fine_tuning/jobs/{id}", "fine_tuning.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "fine_tuning/jobs/{id}/cancel", "fine_tuning.cancel", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "fine_tuning/jobs/{id}/pause", "fine_tuning.pause", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "fine_tuning/jobs/{id}/resume", "fine_tuning.resume", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "fine_tuning/jobs/{id}/events", "fine_tuning.events", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "fine_tuning/jobs/{id}/checkpoints", "fine_tuning.checkpoints", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "vector_stores",         "vector_stores.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "vector_stores",         "vector_stores.list", SCOPE_KEY, VKEY_FORWARD, false, kept_list},
    {"GET",    BASE_API,   "vector_stores/{id}",    "vector_stores.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "vector_stores/{id}",    "vector_stores.modify", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "vector_stores/{id}",    "vector_stores.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "vector_stores/{id}/search", "vector_stores.search", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "vector_stores/{id}/files", "vector_stores.files.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "vector_stores/{id}/files", "vector_stores.files.list", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "vector_stores/{id}/files/{id}", "vector_stores.files.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "vector_stores/{id}/files/{id}", "vector_stores.files.modify", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "vector_stores/{id}/files/{id}", "vector_stores.files.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "vector_stores/{id}/files/{id}/content", "vector_stores.files.content", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "vector_stores/{id}/file_batches", "vector_stores.file_batches.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "vector_stores/{id}/file_batches/{id}", "vector_stores.file_batches.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "vector_stores/{id}/file_batches/{id}/cancel", "vector_stores.file_batches.cancel", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "vector_stores/{id}/file_batches/{id}/files", "vector_stores.file_batches.files", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "containers",            "containers.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "containers",            "containers.list", SCOPE_KEY, VKEY_FORWARD, false, kept_list},
    {"GET",    BASE_API,   "containers/{id}",       "containers.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "containers/{id}",       "containers.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "containers/{id}/files", "containers.files.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "containers/{id}/files", "containers.files.list", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "containers/{id}/files/{id}", "containers.files.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "containers/{id}/files/{id}", "containers.files.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "containers/{id}/files/{id}/content", "containers.files.content", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "conversations",         "conversations.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "conversations/{id}",    "conversations.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "conversations/{id}",    "conversations.modify", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "conversations/{id}",    "conversations.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "conversations/{id}/items", "conversations.items.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "conversations/{id}/items", "conversations.items.list", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "conversations/{id}/items/{id}", "conversations.items.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "conversations/{id}/items/{id}", "conversations.items.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "assistants",            "assistants.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "assistants",            "assistants.list", SCOPE_KEY, VKEY_FORWARD, false, kept_list},
    {"GET",    BASE_API,   "assistants/{id}",       "assistants.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "assistants/{id}",       "assistants.modify", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "assistants/{id}",       "assistants.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "threads",               "threads.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "threads/{id}",          "threads.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "threads/{id}",          "threads.modify", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "threads/{id}",          "threads.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "threads/{id}/messages", "threads.messages.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "threads/{id}/messages", "threads.messages.list", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "threads/{id}/messages/{id}", "threads.messages.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "threads/{id}/messages/{id}", "threads.messages.modify", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "threads/{id}/messages/{id}", "threads.messages.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "threads/{id}/runs",     "threads.runs.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "threads/{id}/runs",     "threads.runs.list", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "threads/{id}/runs/{id}", "threads.runs.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "threads/{id}/runs/{id}", "threads.runs.modify", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "threads/{id}/runs/{id}/cancel", "threads.runs.cancel", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "threads/{id}/runs/{id}/submit_tool_outputs", "threads.runs.submit", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "threads/{id}/runs/{id}/steps", "threads.runs.steps", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "threads/{id}/runs/{id}/steps/{id}", "threads.runs.steps.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "evals",                 "evals.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "evals",                 "evals.list", SCOPE_KEY, VKEY_FORWARD, false, kept_list},
    {"GET",    BASE_API,   "evals/{id}",            "evals.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "evals/{id}",            "evals.modify", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "evals/{id}",            "evals.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "evals/{id}/runs",       "evals.runs.create", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "evals/{id}/runs",       "evals.runs.list", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "evals/{id}/runs/{id}",  "evals.runs.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"POST",   BASE_API,   "evals/{id}/runs/{id}",  "evals.runs.cancel", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"DELETE", BASE_API,   "evals/{id}/runs/{id}",  "evals.runs.delete", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "evals/{id}/runs/{id}/output_items", "evals.runs.items", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "evals/{id}/runs/{id}/output_items/{id}", "evals.runs.items.retrieve", SCOPE_KEY, VKEY_FORWARD, false, forward_api},
    {"GET",    BASE_API,   "usage",               "usage",          SCOPE_KEY,   VKEY_NO_OP,   false, usage_own},
    {"POST",   BASE_ADMIN, "key/generate",       "key.generate",   SCOPE_ADMIN, 0,            false, keys_generate},
    {"GET",    BASE_ADMIN, "key/info",           "key.info",       SCOPE_ADMIN, 0,            false, keys_info},
    {"GET",    BASE_ADMIN, "key/list",           "key.list",       SCOPE_ADMIN, 0,            false, keys_list},
    {"POST",   BASE_ADMIN, "key/delete",         "key.delete",     SCOPE_ADMIN, 0,            false, keys_delete},
    {"POST",   BASE_ADMIN, "key/block",          "key.block",      SCOPE_ADMIN, 0,            false, keys_block},
    {"POST",   BASE_ADMIN, "key/unblock",        "key.unblock",    SCOPE_ADMIN, 0,            false, keys_unblock},
    {"POST",   BASE_ADMIN, "key/update",          "key.update",     SCOPE_ADMIN, 0,            false, keys_update},
    {"POST",   BASE_ADMIN, "key/regenerate",      "key.regenerate", SCOPE_ADMIN, 0,            false, keys_regenerate},
    {"POST",   BASE_ADMIN, "key/{id}/regenerate", "key.regenerate", SCOPE_ADMIN, 0,            false, keys_regenerate},
    {"POST",   BASE_ADMIN, "team/new",            "team.new",       SCOPE_ADMIN, 0,            false, teams_new},
    {"POST",   BASE_ADMIN, "team/update",         "team.update",    SCOPE_ADMIN, 0,            false, teams_update},
    {"POST",   BASE_ADMIN, "team/delete",         "team.delete",    SCOPE_ADMIN, 0,            false, teams_delete},
    {"POST",   BASE_ADMIN, "team/block",          "team.block",     SCOPE_ADMIN, 0,            false, teams_block},
    {"POST",   BASE_ADMIN, "team/unblock",        "team.unblock",   SCOPE_ADMIN, 0,            false, teams_unblock},
    {"GET",    BASE_ADMIN, "team/info",           "team.info",      SCOPE_ADMIN, 0,            false, teams_info},
    {"GET",    BASE_ADMIN, "team/list",           "team.list",      SCOPE_ADMIN, 0,            false, teams_list},
    {"GET",    BASE_ADMIN, "v2/team/list",        "team.list",      SCOPE_ADMIN, 0,            false, teams_list_pages},
    {"GET",    BASE_ADMIN, "admin/usage",         "admin.usage",    SCOPE_ADMIN, 0,            false, usage_history},
    {"GET",    BASE_ADMIN, "admin/providers",     "admin.providers", SCOPE_ADMIN, 0,            false, providers_list},
    {"GET",    BASE_ADMIN, "admin/files",        "admin.files",    SCOPE_ADMIN, 0,            false, admin_files},
    {"POST",   BASE_ADMIN, "admin/files/import", "admin.import",   SCOPE_ADMIN, 0,            false, jobs_import},
    {"POST",   BASE_ADMIN, "admin/reconcile",    "admin.reconcile", SCOPE_ADMIN, 0,            false, jobs_reconcile},
    {"GET",    BASE_ADMIN, "admin/jobs",         "jobs.list",      SCOPE_ADMIN, 0,            false, jobs_list},
    {"GET",    BASE_ADMIN, "admin/jobs/{id}",    "jobs.get",       SCOPE_ADMIN, 0,            false, jobs_get},
    {"POST",   BASE_ADMIN, "admin/jobs/{id}/cancel", "jobs.cancel",    SCOPE_ADMIN, 0,            false, jobs_cancel},
    {"GET",    BASE_ADMIN, "health/liveliness",  "health.live",    SCOPE_OPEN,  0,            false, ops_liveness},
    {"HEAD",   BASE_ADMIN, "health/liveliness",  "health.live",    SCOPE_OPEN,  0,            false, ops_liveness},
    {"GET",    BASE_ADMIN, "health/liveness",    "health.live",    SCOPE_OPEN,  0,            false, ops_liveness},
    {"HEAD",   BASE_ADMIN, "health/liveness",    "health.live",    SCOPE_OPEN,  0,            false, ops_liveness},
    {"GET",    BASE_ADMIN, "health/readiness",   "health.ready",   SCOPE_OPEN,  0,            false, ops_readiness},
    {"HEAD",   BASE_ADMIN, "health/readiness",   "health.ready",   SCOPE_OPEN,  0,            false, ops_readiness},
    {"GET",    BASE_ADMIN, "metrics",            "metrics",        SCOPE_OPEN,  0,            false, ops_metrics},
    {"HEAD",   BASE_ADMIN, "metrics",            "metrics",        SCOPE_OPEN,  0,            false, ops_metrics},
    {"GET",    BASE_ADMIN, "ui",                 "ui",             SCOPE_OPEN,  0,            false, ui_page},
    {"HEAD",   BASE_ADMIN, "ui",                 "ui",             SCOPE_OPEN,  0,            false, ui_page},
    {"GET",    BASE_ADMIN, "ui/{id}",            "ui",             SCOPE_OPEN,  0,            false, ui_part},
    {"HEAD",   BASE_ADMIN, "ui/{id}",            "ui",             SCOPE_OPEN,  0,            false, ui_part},
};
/* clang-format on */

#define SEGMENTS_MAX 8

/* The request's path, split at slashes, empty segments dropped. */
struct path {
    struct str v[SEGMENTS_MAX];
    size_t n;
};

void api_check_routes(void)
{
    for (size_t i = 0; i < COUNTOF(routes); i++) {
        const struct route *r = &routes[i];

        ASSERT(r->scope != SCOPE_NONE && r->handler && r->name);
        ASSERT((r->base == BASE_API) == (r->op != 0));
    }
}

static bool split_path(struct str raw, struct path *p)
{
    struct str segment;

    p->n = 0;
    while (str_next(&raw, '/', &segment)) {
        if (p->n == SEGMENTS_MAX)
            return false;
        p->v[p->n++] = segment;
    }
    return true;
}

/* Take /v1/ or /<provider>/v1/ off the front of an API path. The provider's
 * name is left to the router to know or not. */
static void strip_prefix(struct path *p, struct str *provider)
{
    size_t drop = 0;

    *provider = STR_NULL;
    if (p->n > 1 && str_eq(p->v[0], STR("v1"))) {
        drop = 1;
    } else if (p->n > 2 && str_eq(p->v[1], STR("v1"))) {
        *provider = p->v[0];
        drop = 2;
    }
    p->n -= drop;
    memmove(p->v, p->v + drop, p->n * sizeof(p->v[0]));
}

static bool path_matches(const struct route *r, const struct path *p,
                         struct str params[TXN_PARAMS])
{
    struct str pattern = str_of(r->path), segment;
    size_t i = 0, n = 0;

    memset(params, 0, TXN_PARAMS * sizeof(params[0]));
    while (str_next(&pattern, '/', &segment)) {
        if (i == p->n)
            return false;
        if (str_eq(segment, STR("{id}")))
            params[n++] = p->v[i];
        else if (!str_eq(segment, p->v[i]))
            return false;
        i++;
    }
    return i == p->n;
}

static bool listener_serves(int tag, const struct route *r)
{
    if (tag == LISTEN_ALL)
        return true;
    return (r->base == BASE_ADMIN) == (tag == LISTEN_ADMIN);
}

/* The route, or NULL and the methods that the path does take. */
static const struct route *find(struct txn *t, struct str *allowed)
{
    struct path whole, api;
    struct str provider, params[TXN_PARAMS];

    *allowed = STR_NULL;
    if (!split_path(t->head->raw_path, &whole))
        return NULL;
    api = whole;
    strip_prefix(&api, &provider);
    for (size_t i = 0; i < COUNTOF(routes); i++) {
        const struct route *r = &routes[i];
        bool is_api = r->base == BASE_API;

        if (!listener_serves(server_req_listener(t->req), r) ||
            !path_matches(r, is_api ? &api : &whole, params))
            continue;
        t->is_data_plane = is_api;
        if (!str_eq_c(t->head->method, r->method)) {
            *allowed = arena_printf(t->arena, "%.*s%s%s", STR_ARG(*allowed),
                                    allowed->n ? ", " : "", r->method);
            continue;
        }
        memcpy(t->params, params, sizeof(params));
        t->path_provider = is_api ? provider : STR_NULL;
        return r;
    }
    return NULL;
}

static void refuse_route(struct txn *t, struct str allowed)
{
    struct http_fields f = {0};
    struct gw_error e = {0};

    if (allowed.n) {
        err_set(&e, GW_METHOD_NOT_ALLOWED, "this path takes %.*s, not '%s'",
                STR_ARG(allowed), t->method);
        http_fields_add(&f, t->arena, STR("Allow"), allowed);
    } else {
        err_set(&e, GW_UNKNOWN_ROUTE, "unknown path '%.*s'",
                (int)MIN(t->head->raw_path.n, 200), t->head->raw_path.p);
    }
    txn_fail_with(t, &e, &f);
}

void api_request(struct services *sv, struct server_req *req)
{
    struct txn *t = txn_new(sv, req);
    struct str allowed;

    t->route = find(t, &allowed);
    if (!t->route) {
        if (!t->is_data_plane || !cors_answer(t, allowed))
            refuse_route(t, allowed);
        return;
    }
    t->route_name = t->route->name;
    /* A broken escape leaves the raw text, which is no id. */
    for (size_t i = 0; i < TXN_PARAMS && t->params[i].p; i++)
        (void)!url_decode(t->arena, t->params[i], false, &t->params[i]);
    t->param = t->params[0];
    access_begin(t);
}

void api_refused(const struct gw_error *err, const char *peer, struct buf *body)
{
    struct log_line l;

    log_begin(&l, LOG_INFO, NULL, "refused");
    log_cstr(&l, "peer", peer);
    log_int(&l, "status", err_info(err->err)->http);
    log_cstr(&l, "error", err_info(err->err)->code);
    log_cstr(&l, "cause", err->message);
    log_end(&l);
    txn_envelope(body, err);
}
