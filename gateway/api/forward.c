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

void forward_api(struct txn *t)
{
    struct gw_error e = {0};
    struct forward *f;

    if (!t->conf->forward.is_enabled) {
        err_set(&e, GW_UNKNOWN_ROUTE,
                "calls of the API are not passed on here: 'forward.enabled'");
        txn_fail(t, &e);
        return;
    }
    f = forward_new(t, call_of(t->route));
    if (!f->call->has_json) {
        forward_start(f);
    } else if (check_length(t, f, &e) != GW_OK) {
        forward_fail(f, &e);
    } else {
        t->on_readable = read_more;
        txn_goto(t, TXN_BODY);
        read_more(t);
    }
}
