#include "gateway/flow/txn.h"

#include <stdio.h>
#include <utlist.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/codec/traceparent.h"
#include "gateway/codec/url.h"
#include "gateway/flow/cors.h"
#include "gateway/flow/lease.h"

#define BIT(name) (1u << TXN_##name)

static const struct txn_state_info {
    const char *name;
    unsigned next;
    const char *waits_for;
} states[TXN_STATES] = {
#define TXN_STATE(name, next, waits) [TXN_##name] = {#name, next, waits},
#include "gateway/flow/txn_states.def"
#undef TXN_STATE
};

/* The only place where a transaction changes state. */
void txn_goto(struct txn *t, enum txn_state to)
{
    ASSERT(t->state != TXN_DONE);
    if (to != TXN_DONE && !(states[t->state].next & (1u << to)))
        BUG("no way from %s to %s", states[t->state].name, states[to].name);
    if (log_is_on(LOG_DEBUG))
        log_msg(LOG_DEBUG, t->id, "%s -> %s, waits for %s",
                states[t->state].name, states[to].name, states[to].waits_for);
    t->state = to;
}

/* --- the end --- */

static void log_access(struct txn *t, enum server_close why)
{
    static const char *const ends[] = {"replied", "client_gone", "aborted",
                                       "too_long"};
    struct log_line l;

    log_begin(&l, LOG_INFO, t->id, "access");
    log_cstr(&l, "peer", server_req_peer(t->req));
    log_cstr(&l, "method", t->method);
    log_cstr(&l, "route", t->route_name);
    log_int(&l, "status", t->status);
    log_cstr(&l, "end", ends[why]);
    if (t->vkey) {
        log_str(&l, "key", t->is_master ? STR("master") : t->vkey->key_alias);
        log_str(&l, "key_name", t->vkey->key_name);
        log_str(&l, "team", t->vkey->team_id);
    }
    if (t->provider)
        log_cstr(&l, "provider", t->provider);
    if (t->file_id.n)
        log_str(&l, "file", t->file_id);
    if (t->trace_id.n)
        log_str(&l, "trace_id", t->trace_id);
    if (t->model.n)
        log_str(&l, "model", t->model);
    if (t->reason[0])
        log_cstr(&l, "routed_by", t->reason);
    if (t->error.err != GW_OK) {
        log_cstr(&l, "error", err_info(t->error.err)->code);
        log_cstr(&l, "cause", t->error.message);
    }
    log_int(&l, "bytes_in", (int64_t)server_req_body_bytes(t->req));
    log_int(&l, "bytes_out", (int64_t)server_req_reply_bytes(t->req));
    if (t->ttfb_us)
        log_int(&l, "ttfb_us", t->ttfb_us);
    log_int(&l, "us", clock_mono_us() - t->begun_us);
    log_end(&l);
}

static void count_request(struct txn *t)
{
    struct metrics *m = t->sv->metrics;
    char status[8];

    snprintf(status, sizeof(status), "%d", t->status);
    metric_add(
        metrics_get(m, METRIC_REQUESTS, t->route_name, t->provider, status), 1);
    metric_observe_us(
        metrics_get(m, METRIC_REQUEST_SECONDS, t->route_name, NULL, NULL),
        clock_mono_us() - t->begun_us);
    metric_add(t->sv->bytes_in, (int64_t)server_req_body_bytes(t->req));
    metric_add(t->sv->bytes_out, (int64_t)server_req_reply_bytes(t->req));
}

/* --- what it is charged --- */

static void on_charged(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("a request's hold is left to end with its lease: %s",
                 e->message);
}

/* Of what was sent: an error in its place is none of the file's. */
static int64_t bytes_of_file(const struct txn *t)
{
    if (!t->pipe || t->is_passed_on || t->status >= 300)
        return 0;
    return (int64_t)server_req_reply_bytes(t->req);
}

/* Uploads are charged when they are recorded; here is the rest. What is limited
 * is settled, what is not only counted. */
static void settle_accounts(struct txn *t)
{
    int64_t sent = bytes_of_file(t);
    struct quota_tally own = {.requests = 1, .errors = t->status >= 400};
    struct quota_tally all = own;
    struct quota_amount used = {.down = sent};

    lease_give_back(t->sv->leases, t->down_lease);
    t->down_lease = NULL;
    if (t->has_down_hold)
        (void)quota_settle(t->sv->redis, str_of(t->id), &t->who, &used,
                           on_charged, NULL);
    if (!t->who.n)
        return;
    all.down = sent;
    all.up = t->bytes_stored;
    if (!t->has_down_hold)
        own.down = all.down;
    for (size_t i = 0; i < t->who.n; i++)
        tally_add(t->sv->tally, t->who.v[i].id, &own);
    if (t->provider)
        tally_add(t->sv->tally, arena_printf(t->arena, "p:%s", t->provider),
                  &all);
    tally_add(t->sv->tally, STR("all"), &all);
}

static void free_txn(void *memory)
{
    struct txn *t = memory;

    form_free(t->form);
    form_pass_free(t->relay);
    if (t->pipe)
        pipe_free(t->pipe);
    vkey_ref_drop(t->key);
    team_ref_drop(t->team);
    settings_drop(t->conf);
    DL_DELETE(t->sv->transactions, t);
    t->sv->ntransactions--;
    arena_free(t->arena);
}

/* An answer frees its place before the client has it, so that the next request
 * finds it free. What goes on without a client takes its place up to the end,
 * else hanging up would be a way around max_parallel_requests. */
static void leave_slot(struct txn *t)
{
    if (t->admission.is_under_way)
        key_store_leave(t->sv->keys, str_of(t->id));
    t->admission.is_under_way = false;
}

void txn_hold(struct txn *t)
{
    t->holds++;
}

void txn_drop(struct txn *t)
{
    ASSERT(t->holds > 0);
    if (--t->holds)
        return;
    leave_slot(t);
    txn_stop_waiting(t);
    txn_goto(t, TXN_DONE);
    loop_reap(t->sv->loop, t, free_txn);
}

void txn_break_off_all(struct services *sv)
{
    struct txn *t, *next;

    DL_FOREACH_SAFE (sv->transactions, t, next) {
        if (t->state != TXN_DONE && t->on_break)
            t->on_break(t);
    }
}

static void on_closed(void *arg, enum server_close why)
{
    struct txn *t = arg;
    struct gw_error gone = {0};

    if (why != SERVER_REPLIED && t->error.err == GW_OK) {
        err_plain(&t->error, GW_CLIENT_GONE);
        if (!t->status)
            t->status = err_info(GW_CLIENT_GONE)->http;
    }
    if (why == SERVER_TOO_LONG) {
        err_clear(&t->error);
        err_set(&t->error, GW_UPSTREAM_BAD_RESPONSE,
                "the provider's answer is longer than the file was");
    }
    log_access(t, why);
    count_request(t);
    settle_accounts(t);
    err_plain(&gone, GW_CLIENT_GONE);
    t->req = NULL;
    t->head = NULL;
    if (t->form)
        form_detach(t->form, &gone);
    if (t->relay)
        form_pass_detach(t->relay, &gone);
    if (t->on_gone && why != SERVER_REPLIED)
        t->on_gone(t);
    txn_drop(t);
}

static void on_readable(void *arg)
{
    struct txn *t = arg;

    if (t->on_readable)
        t->on_readable(t);
}

static const struct server_req_ops server_ops = {
    .readable = on_readable,
    .closed = on_closed,
};

void txn_stop_waiting(struct txn *t)
{
    if (t->store_call)
        redis_cancel(t->store_call);
    if (t->key_call)
        key_store_cancel(t->key_call);
    upstream_abort(t->up);
    removal_leave(t->removal);
    t->removal = NULL;
    t->store_call = NULL;
    t->key_call = NULL;
}

/* --- the beginning --- */

static void read_trace(struct txn *t)
{
    struct str parent = http_head_get(t->head, STR("traceparent"));
    struct str state, id;

    if (!parent.n || !traceparent_parse(parent, &id))
        return;
    state = http_head_get(t->head, STR("tracestate"));
    t->trace.parent = arena_dup(t->arena, parent);
    if (traceparent_is_state(state))
        t->trace.state = arena_dup(t->arena, state);
    t->trace_id = arena_dup(t->arena, id);
}

struct txn *txn_new(struct services *sv, struct server_req *req)
{
    struct arena *a = arena_new();
    struct txn *t = arena_new_of(a, struct txn);

    t->arena = a;
    t->sv = sv;
    t->conf = settings_hold(sv->settings);
    t->req = req;
    t->head = server_req_head(req);
    t->state = TXN_AUTH;
    t->holds = 1; /* the connection's */
    t->begun_us = server_req_start_us(req);
    t->route_name = "none";
    t->method = arena_cstr(a, t->head->method);
    snprintf(t->id, sizeof(t->id), "req_%012llx%08llx",
             (unsigned long long)sv->request_seed & 0xffffffffffffull,
             (unsigned long long)++sv->request_count);
    DL_APPEND(sv->transactions, t);
    sv->ntransactions++;
    server_req_set_ops(req, &server_ops, t);
    read_trace(t);
    return t;
}

struct str txn_header(struct txn *t, struct str name)
{
    return http_head_get(t->head, name);
}

struct str txn_query(struct txn *t, struct str name)
{
    return url_query_get(t->arena, t->head->raw_query, name);
}

/* --- replies --- */

static void add_number(struct txn *t, struct http_fields *f, struct str name,
                       int64_t n)
{
    char room[STR_I64_BYTES];

    http_fields_add(f, t->arena, name,
                    arena_dup(t->arena, str_of_i64(n, room)));
}

/* As OpenAI tells them; the time is that until the limit is whole again. */
static void add_limit_fields(struct txn *t, struct http_fields *f)
{
    const struct key_admission *a = &t->admission;

    if (!a->rpm_limit)
        return;
    add_number(t, f, STR("x-ratelimit-limit-requests"), a->rpm_limit);
    add_number(t, f, STR("x-ratelimit-remaining-requests"), a->rpm_remaining);
    http_fields_add(
        f, t->arena, STR("x-ratelimit-reset-requests"),
        arena_printf(t->arena, "%lldms", (long long)a->rpm_reset_ms));
}

void txn_fields(struct txn *t, struct http_fields *f, struct str content_type)
{
    if (content_type.n)
        http_fields_add(f, t->arena, STR("Content-Type"), content_type);
    http_fields_add(f, t->arena, STR("x-request-id"), str_of(t->id));
    add_limit_fields(t, f);
    if (t->is_data_plane)
        cors_add_fields(t, f);
}

/* False when there is nobody to answer (any more). */
static bool begin_reply(struct txn *t, int status)
{
    if (!t->req || server_req_has_replied(t->req))
        return false;
    t->status = status;
    if (t->state != TXN_REPLY)
        txn_goto(t, TXN_REPLY);
    return true;
}

void txn_reply_json(struct txn *t, int status, struct str json)
{
    struct http_fields f = {0};

    if (!begin_reply(t, status))
        return;
    txn_fields(t, &f, STR("application/json"));
    leave_slot(t);
    server_req_reply(t->req, status, &f, json);
}

void txn_reply(struct txn *t, int status, struct http_fields *f,
               struct str body)
{
    if (!begin_reply(t, status))
        return;
    leave_slot(t);
    server_req_reply(t->req, status, f, body);
}

void txn_bound_reply(struct txn *t, int64_t most)
{
    if (t->req && most >= 0)
        server_req_bound_reply(t->req, (uint64_t)most);
}

void txn_reply_pipe(struct txn *t, int status, struct http_fields *f,
                    int64_t length, struct pipe *body)
{
    if (begin_reply(t, status))
        server_req_reply_pipe(t->req, status, f, length, body);
}

void txn_envelope(struct buf *out, const struct gw_error *e)
{
    const struct err_info *info = err_info(e->err);
    const char *code = e->code[0] ? e->code : info->code;
    struct json_out j;

    json_out_init(&j, out);
    json_open(&j, NULL, '{');
    json_open(&j, "error", '{');
    json_put_cstr(&j, "message", e->message[0] ? e->message : info->text);
    json_put_cstr(&j, "type", info->type);
    json_put_cstr(&j, "param", e->param[0] ? e->param : NULL);
    json_put_cstr(&j, "code", code[0] ? code : NULL);
    json_close(&j);
    json_close(&j);
}

static bool is_out_of_quota(enum gw_err err)
{
    return strcmp(err_info(err)->type, "insufficient_quota") == 0;
}

/* What SDKs should know besides the status: when to come back, or that it is
 * no use. */
static void add_retry_fields(struct txn *t, const struct gw_error *e,
                             struct http_fields *f)
{
    int wait = e->retry_after_s;

    if (!wait && (e->err == GW_STORE_UNAVAILABLE || e->err == GW_DRAINING ||
                  e->err == GW_OVERLOADED))
        wait = 1;
    if (wait)
        http_fields_add(f, t->arena, STR("Retry-After"),
                        arena_printf(t->arena, "%d", wait));
    if (e->err == GW_UPSTREAM_AUTH || is_out_of_quota(e->err))
        http_fields_add(f, t->arena, STR("x-should-retry"), STR("false"));
    if (e->err == GW_INVALID_API_KEY)
        http_fields_add(f, t->arena, STR("WWW-Authenticate"), STR("Bearer"));
}

void txn_fail(struct txn *t, const struct gw_error *e)
{
    struct http_fields f = {0};

    txn_fail_with(t, e, &f);
}

void txn_fail_with(struct txn *t, const struct gw_error *e,
                   struct http_fields *f)
{
    struct buf body;

    ASSERT(e->err != GW_OK);
    txn_stop_waiting(t);
    if (t->error.err == GW_OK) {
        t->error = *e;
        charge_count_refusal(t->sv->metrics, e);
    }
    if (!t->req)
        return;
    if (server_req_has_replied(t->req)) {
        server_req_abort(t->req);
        return;
    }
    if (e->err == GW_CLIENT_GONE) {
        server_req_abort(t->req);
        return;
    }
    begin_reply(t, err_info(e->err)->http);
    buf_init(&body, 4 * KIB);
    txn_envelope(&body, e);
    txn_fields(t, f, STR("application/json"));
    add_retry_fields(t, e, f);
    server_req_reply(t->req, t->status, f, buf_str(&body));
    buf_release(&body);
}

void txn_fail_plain(struct txn *t, enum gw_err err)
{
    struct gw_error e = {0};

    err_plain(&e, err);
    txn_fail(t, &e);
}
