/* forward.c -- calls of the API that are passed on: which there are.
 *
 * One row a route, in the order of routes.c's table; the body is read here, the
 * rest is flow/forward's.
 */
#include "gateway/api/api.h"

#include "gateway/base/bug.h"
#include "gateway/flow/forward.h"

/* clang-format off */
static const struct forward_call calls[] = {
    {"POST",   "chat/completions",           .has_json = true},
    {"POST",   "completions",                .has_json = true},
    {"POST",   "embeddings",                 .has_json = true},
    {"POST",   "moderations",                .has_json = true},
    {"POST",   "images/generations",         .has_json = true},
    {"POST",   "audio/speech",               .has_json = true},
    {"POST",   "responses",                  .has_json = true, .makes = "response"},
    {"POST",   "responses/input_tokens",     .has_json = true},
    {"POST",   "responses/compact",          .has_json = true},
    {"GET",    "responses/{id}",             .kind = "response"},
    {"DELETE", "responses/{id}",             .kind = "response", .ends = true},
    {"POST",   "responses/{id}/cancel",      .kind = "response"},
    {"GET",    "responses/{id}/input_items", .kind = "response"},
    {"POST",   "images/edits", .has_json = true, .has_form = true},
    {"POST",   "images/variations", .has_form = true},
    {"POST",   "audio/transcriptions", .has_form = true},
    {"POST",   "audio/translations", .has_form = true},
    {"POST",   "videos",                .keeps = "videos", .is_once = true, .has_json = true, .has_form = true},
    {"GET",    "videos/{id}",           .kind = "videos", .shows = true},
    {"DELETE", "videos/{id}",           .kind = "videos", .ends = true},
    {"GET",    "videos/{id}/content",   .kind = "videos"},
    {"POST",   "videos/{id}/remix",     .kind = "videos", .keeps = "videos", .is_once = true, .has_json = true},
    {"POST",   "fine_tuning/jobs", .keeps = "fine_tuning/jobs", .is_once = true, .has_json = true},
    {"GET",    "fine_tuning/jobs/{id}", .kind = "fine_tuning/jobs", .shows = true},
    {"POST",   "fine_tuning/jobs/{id}/cancel", .kind = "fine_tuning/jobs", .shows = true},
    {"POST",   "fine_tuning/jobs/{id}/pause", .kind = "fine_tuning/jobs", .shows = true},
    {"POST",   "fine_tuning/jobs/{id}/resume", .kind = "fine_tuning/jobs", .shows = true},
    {"GET",    "fine_tuning/jobs/{id}/events", .kind = "fine_tuning/jobs"},
    {"GET",    "fine_tuning/jobs/{id}/checkpoints", .kind = "fine_tuning/jobs"},
    {"POST",   "vector_stores", .keeps = "vector_stores", .is_once = true, .has_json = true},
    {"GET",    "vector_stores/{id}", .kind = "vector_stores", .shows = true},
    {"POST",   "vector_stores/{id}", .kind = "vector_stores", .shows = true, .has_json = true},
    {"DELETE", "vector_stores/{id}", .kind = "vector_stores", .ends = true},
    {"POST",   "vector_stores/{id}/search", .kind = "vector_stores", .has_json = true},
    {"POST",   "vector_stores/{id}/files", .kind = "vector_stores", .has_json = true},
    {"GET",    "vector_stores/{id}/files", .kind = "vector_stores", .pages_files = true},
    {"GET",    "vector_stores/{id}/files/{id}", .kind = "vector_stores", .sub_is_file = true},
    {"POST",   "vector_stores/{id}/files/{id}", .kind = "vector_stores", .sub_is_file = true, .has_json = true},
    {"DELETE", "vector_stores/{id}/files/{id}", .kind = "vector_stores", .sub_is_file = true},
    {"GET",    "vector_stores/{id}/files/{id}/content", .kind = "vector_stores", .sub_is_file = true},
    {"POST",   "vector_stores/{id}/file_batches", .kind = "vector_stores", .has_json = true, .is_once = true},
    {"GET",    "vector_stores/{id}/file_batches/{id}", .kind = "vector_stores"},
    {"POST",   "vector_stores/{id}/file_batches/{id}/cancel", .kind = "vector_stores"},
    {"GET",    "vector_stores/{id}/file_batches/{id}/files", .kind = "vector_stores", .pages_files = true},
    {"POST",   "containers", .keeps = "containers", .is_once = true, .has_json = true},
    {"GET",    "containers/{id}", .kind = "containers", .shows = true},
    {"DELETE", "containers/{id}", .kind = "containers", .ends = true},
    {"POST",   "containers/{id}/files", .kind = "containers", .has_json = true, .has_form = true, .is_once = true},
    {"GET",    "containers/{id}/files", .kind = "containers"},
    {"GET",    "containers/{id}/files/{id}", .kind = "containers"},
    {"DELETE", "containers/{id}/files/{id}", .kind = "containers"},
    {"GET",    "containers/{id}/files/{id}/content", .kind = "containers"},
    {"POST",   "conversations", .keeps = "conversations", .is_once = true, .has_json = true},
    {"GET",    "conversations/{id}", .kind = "conversations", .shows = true},
    {"POST",   "conversations/{id}", .kind = "conversations", .shows = true, .has_json = true},
    {"DELETE", "conversations/{id}", .kind = "conversations", .ends = true},
    {"POST",   "conversations/{id}/items", .kind = "conversations", .has_json = true, .is_once = true},
    {"GET",    "conversations/{id}/items", .kind = "conversations"},
    {"GET",    "conversations/{id}/items/{id}", .kind = "conversations"},
    {"DELETE", "conversations/{id}/items/{id}", .kind = "conversations"},
    {"POST",   "assistants", .keeps = "assistants", .is_once = true, .has_json = true},
    {"GET",    "assistants/{id}", .kind = "assistants", .shows = true},
    {"POST",   "assistants/{id}", .kind = "assistants", .shows = true, .has_json = true},
    {"DELETE", "assistants/{id}", .kind = "assistants", .ends = true},
    {"POST",   "threads", .keeps = "threads", .is_once = true, .has_json = true},
    {"GET",    "threads/{id}", .kind = "threads", .shows = true},
    {"POST",   "threads/{id}", .kind = "threads", .shows = true, .has_json = true},
    {"DELETE", "threads/{id}", .kind = "threads", .ends = true},
    {"POST",   "threads/{id}/messages", .kind = "threads", .has_json = true, .is_once = true},
    {"GET",    "threads/{id}/messages", .kind = "threads"},
    {"GET",    "threads/{id}/messages/{id}", .kind = "threads"},
    {"POST",   "threads/{id}/messages/{id}", .kind = "threads", .has_json = true},
    {"DELETE", "threads/{id}/messages/{id}", .kind = "threads"},
    {"POST",   "threads/{id}/runs", .kind = "threads", .has_json = true, .is_once = true},
    {"GET",    "threads/{id}/runs", .kind = "threads"},
    {"GET",    "threads/{id}/runs/{id}", .kind = "threads"},
    {"POST",   "threads/{id}/runs/{id}", .kind = "threads", .has_json = true},
    {"POST",   "threads/{id}/runs/{id}/cancel", .kind = "threads"},
    {"POST",   "threads/{id}/runs/{id}/submit_tool_outputs", .kind = "threads", .has_json = true, .is_once = true},
    {"GET",    "threads/{id}/runs/{id}/steps", .kind = "threads"},
    {"GET",    "threads/{id}/runs/{id}/steps/{id}", .kind = "threads"},
    {"POST",   "evals", .keeps = "evals", .is_once = true, .has_json = true},
    {"GET",    "evals/{id}", .kind = "evals", .shows = true},
    {"POST",   "evals/{id}", .kind = "evals", .shows = true, .has_json = true},
    {"DELETE", "evals/{id}", .kind = "evals", .ends = true},
    {"POST",   "evals/{id}/runs", .kind = "evals", .has_json = true, .is_once = true, .has_source = true},
    {"GET",    "evals/{id}/runs", .kind = "evals"},
    {"GET",    "evals/{id}/runs/{id}", .kind = "evals"},
    {"POST",   "evals/{id}/runs/{id}", .kind = "evals"},
    {"DELETE", "evals/{id}/runs/{id}", .kind = "evals"},
    {"GET",    "evals/{id}/runs/{id}/output_items", .kind = "evals"},
    {"GET",    "evals/{id}/runs/{id}/output_items/{id}", .kind = "evals"},
};
/* clang-format on */

static const struct forward_call *call_of(const struct route *r)
{
    for (size_t i = 0; i < COUNTOF(calls); i++)
        if (strcmp(calls[i].method, r->method) == 0 &&
            strcmp(calls[i].path, r->path) == 0)
            return &calls[i];
    BUG("no call for %s %s", r->method, r->path);
}

static void read_more(struct txn *t)
{
    struct forward *f = t->data;
    struct gw_error e = {0};
    char bytes[16 * KIB];
    ssize_t n;

    while ((n = server_req_read(t->req, bytes, sizeof(bytes), &e)) > 0)
        if (held_buf_add(&f->text, bytes, (size_t)n, &e) != GW_OK) {
            forward_fail(f, &e);
            return;
        }
    if (n == -1)
        server_req_want(t->req);
    else if (n == 0)
        forward_start(f);
    else
        forward_fail(f, &e);
}

/* Is there room for what is declared? Before the body is invited. */
static enum gw_err check_length(struct txn *t, struct forward *f,
                                struct gw_error *e)
{
    int64_t length = t->head->content_length;
    int64_t max = t->conf->forward.max_json_bytes;

    if (length > max)
        return err_set(e, GW_BODY_TOO_LARGE,
                       "the body of %lld bytes is over the %lld allowed",
                       (long long)length, (long long)max);
    return held_buf_expect(&f->text, MAX(length, 0), e);
}

static bool has_form(struct txn *t)
{
    static const struct str form = {"multipart/", 10};
    struct str type = txn_header(t, STR("content-type"));

    return type.n > form.n && str_eq_nocase(str_make(type.p, form.n), form);
}

bool forward_may(struct txn *t)
{
    struct gw_error e = {0};

    if (t->conf->forward.is_enabled)
        return true;
    err_set(&e, GW_UNKNOWN_ROUTE,
            "calls of the API are not passed on here: 'forward.enabled'");
    txn_fail(t, &e);
    return false;
}

void forward_api(struct txn *t)
{
    struct gw_error e = {0};
    struct forward *f;

    if (!forward_may(t))
        return;
    f = forward_new(t, call_of(t->route));
    if (f->call->has_form && (has_form(t) || !f->call->has_json)) {
        forward_start_form(f);
    } else if (!f->call->has_json) {
        forward_start(f);
    } else if (check_length(t, f, &e) != GW_OK) {
        forward_fail(f, &e);
    } else {
        t->on_readable = read_more;
        txn_goto(t, TXN_BODY);
        read_more(t);
    }
}
