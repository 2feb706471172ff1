#include "gateway/flow/upstream.h"

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/codec/byterange.h"
#include "gateway/codec/url.h"
#include "gateway/flow/undo.h"

#define HOPS_MAX 5

static void step(void *arg);
static void begin(void *arg);
static void send_http(struct upstream *u, bool public_only);

struct upstream *upstream_new(struct services *sv, struct arena *a,
                              const struct provider_conf *conf,
                              enum prov_opcode code)
{
    struct upstream *u = arena_new_of(a, struct upstream);

    u->sv = sv;
    u->op.code = code;
    u->op.conf = conf;
    u->op.arena = a;
    u->op.state = arena_alloc(a, conf->type->state_size);
    u->op.range_first = u->op.range_last = -1;
    u->op.file.bytes = -1;
    u->op.upload.stream_len = -1;
    u->op.upload.lines = -1;
    loop_timer_init(sv->loop, &u->pause, step, u);
    return u;
}

static void count_outcome(struct upstream *u, const struct gw_error *e)
{
    const char *name = u->op.conf->name;
    struct metrics *m = u->sv->metrics;

    metric_observe_us(metrics_get(m, METRIC_UP_SECONDS, name,
                                  prov_opcode_name(u->op.code), NULL),
                      clock_mono_us() - u->begun_us);
    if (e->err != GW_OK)
        metrics_count(m, METRIC_UP_ERRORS, name, err_info(e->err)->code, NULL);
}

/* What the end of the operation tells of the provider. */
static enum breaker_outcome outcome(const struct upstream *u,
                                    const struct gw_error *e)
{
    bool is_sources = u->source && pipe_outcome(u->source) == PIPE_ERROR;

    if (e->err == GW_OK)
        return BREAKER_OK;
    if (is_sources || e->err == GW_CLIENT_GONE)
        return BREAKER_NOTHING;
    if (u->is_down)
        return BREAKER_FAILED;
    return u->is_answered ? BREAKER_OK : BREAKER_NOTHING;
}

static void leave(struct upstream *u, enum breaker_outcome outcome,
                  const struct gw_error *e)
{
    struct pipe *way = u->source ? u->source : u->sink;

    fleet_leave(u->sv, u->op.conf, &u->pass, outcome,
                way ? (int64_t)pipe_total(way) : 0, e);
}

/* Let go of everything but the arena. */
static void stop(struct upstream *u)
{
    u->is_over = true;
    loop_task_cancel(u->sv->loop, &u->kick);
    loop_timer_release(&u->pause);
    grants_cancel(u->grant_wait);
    u->grant_wait = NULL;
    if (u->http) {
        u->sent = client_call_sent(u->http);
        client_call_abort(u->http);
    }
    if (u->file)
        file_call_abort(u->file);
    u->http = NULL;
    u->file = NULL;
    piece_close(&u->piece);
}

/* The only way out but upstream_abort(). */
static void finish(struct upstream *u, const struct gw_error *e)
{
    struct gw_error error = *e; /* may be a part of what goes */

    ASSERT(!u->is_over);
    leave(u, outcome(u, &error), &error);
    stop(u);
    count_outcome(u, &error);
    if (error.err != GW_OK && u->op.code == PROV_CREATE && u->has_sent)
        undo_create(u->sv, &u->op);
    u->ops->done(u->arg, &error);
}

/* Refused for its credentials, with nothing used up: once more. */
static bool begin_again(struct upstream *u, const struct gw_error *e)
{
    if (e->err != GW_UPSTREAM_AUTH || !u->op.conf->grants ||
        u->op.code == PROV_GRANT)
        return false;
    grants_spoil(&u->op);
    if (u->is_again || u->has_streamed ||
        (u->source && !upstream_is_untouched(u)))
        return false;
    u->is_again = true;
    memset(u->op.state, 0, u->op.conf->type->state_size);
    loop_defer(u->sv->loop, &u->kick, begin, u);
    return true;
}

/* The provider's operation failed. */
static void fail(struct upstream *u, const struct gw_error *e)
{
    if (!begin_again(u, e))
        finish(u, e);
}

static void observe_first_byte(struct upstream *u)
{
    metric_observe_us(metrics_get(u->sv->metrics, METRIC_UP_TTFB,
                                  u->op.conf->name, NULL, NULL),
                      clock_mono_us() - u->begun_us);
}

static int64_t field_int(const struct http_res *res, struct str name)
{
    int64_t v;

    return str_to_i64(http_fields_get(&res->fields, name), &v) ? v : -1;
}

static void on_http_head(void *arg, const struct http_res *res)
{
    struct upstream *u = arg;
    struct upstream_head h = {.length = -1, .size = -1, .first = -1};
    int64_t last;

    u->is_answered = true;
    observe_first_byte(u);
    if (!http_req_sinks(&u->x.http, res->status))
        return;
    h.status = res->status;
    h.is_partial = res->status == 206;
    h.length = field_int(res, STR("content-length"));
    h.content_type = http_fields_get(&res->fields, STR("content-type"));
    h.content_encoding = http_fields_get(&res->fields, STR("content-encoding"));
    if (!h.is_partial)
        h.size = h.length;
    else if (!byterange_parse_content(
                 http_fields_get(&res->fields, STR("content-range")), &h.first,
                 &last, &h.size))
        h.first = h.size = -1;
    u->has_streamed = true;
    fleet_expect(u->sv, &u->pass, h.length);
    u->ops->head(u->arg, &h);
}

/* --- redirects of downloads --- */

/* One to nowhere is an error, of which the provider may know more. */
static bool is_redirect(const struct upstream *u, const struct http_res *res)
{
    return u->x.http.is_sink && u->op.code != PROV_FORWARD &&
           http_fields_get(&res->fields, STR("location")).p &&
           (res->status == 301 || res->status == 302 || res->status == 303 ||
            res->status == 307 || res->status == 308);
}

/* What another origin is told of the request. */
static bool is_harmless(struct str name)
{
    return str_eq_nocase(name, STR("accept")) ||
           str_eq_nocase(name, STR("accept-encoding")) ||
           str_eq_nocase(name, STR("range"));
}

static void keep_harmless_fields(struct http_fields *f)
{
    size_t kept = 0;

    for (size_t i = 0; i < f->n; i++)
        if (is_harmless(f->v[i].name))
            f->v[kept++] = f->v[i];
    f->n = kept;
}

static enum gw_err check_hop(struct upstream *u, struct str from, struct str to,
                             struct gw_error *e)
{
    const char *why = NULL;

    if (!to.p)
        why = "nowhere";
    else if (++u->hops > HOPS_MAX)
        why = "too often";
    else if (str_starts(from, STR("https:")) && !str_starts(to, STR("https:")))
        why = "from https to http";
    if (!why)
        return GW_OK;
    return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                   "provider '%s' redirected the download %s", u->op.conf->name,
                   why);
}

static void follow(struct upstream *u, const struct http_res *res)
{
    struct http_req *req = &u->x.http;
    struct str from = req->url, to;
    struct gw_error e = {0};
    bool is_elsewhere;

    to = url_resolve(u->op.arena, from,
                     http_fields_get(&res->fields, STR("location")));
    if (check_hop(u, from, to, &e) != GW_OK) {
        finish(u, &e);
        return;
    }
    is_elsewhere = !str_eq_nocase(url_origin(from), url_origin(to));
    if (is_elsewhere)
        keep_harmless_fields(&req->fields);
    req->url = to;
    send_http(u, is_elsewhere && !res->is_from_private);
}

/* --- answers --- */

static bool has_stream(const struct http_req *r)
{
    for (size_t i = 0; i < r->nsegs; i++)
        if (r->segs[i].kind == HTTP_SEG_STREAM)
            return true;
    return false;
}

static bool is_transport(const struct gw_error *e)
{
    return e->err == GW_UPSTREAM_UNREACHABLE || e->err == GW_UPSTREAM_BROKEN ||
           e->err == GW_UPSTREAM_TIMEOUT;
}

static bool goes_on(struct upstream *u, const struct gw_error *e)
{
    return is_transport(e) && !has_stream(&u->x.http) && !u->x.http.is_sink &&
           u->op.conf->type->broken && u->op.conf->type->broken(&u->op, e);
}

static void on_http_done(void *arg, const struct http_res *res,
                         const struct gw_error *e)
{
    struct upstream *u = arg;
    struct gw_error error = {0};

    u->sent = client_call_sent(u->http);
    u->has_streamed = u->has_streamed || u->sent;
    u->http = NULL;
    u->is_answered = u->is_answered || res->status != 0;
    u->is_down = e->err != GW_OK ? is_transport(e) : res->status >= 500;
    u->is_public = !res->is_from_private;
    u->op.now_s = clock_wall_s();
    if (e->err != GW_OK) {
        if (goes_on(u, e))
            step(u);
        else
            finish(u, e);
    } else if (is_redirect(u, res)) {
        follow(u, res);
    } else if (u->op.conf->type->reply(&u->op, res, NULL, &error) != GW_OK) {
        fail(u, &error);
    } else {
        step(u);
    }
}

static void on_file_head(void *arg, const struct file_res *res)
{
    struct upstream *u = arg;
    const struct file_req *q = &u->x.file;
    int64_t rest = res->size - MIN(q->offset, res->size);
    struct upstream_head h = {
        .status = u->op.range_first >= 0 ? 206 : 200,
        .is_partial = u->op.range_first >= 0,
        .length = q->len < 0 ? rest : MIN(q->len, rest),
        .size = res->size,
        .first = q->offset,
    };

    observe_first_byte(u);
    u->has_streamed = true;
    fleet_expect(u->sv, &u->pass, h.length);
    u->ops->head(u->arg, &h);
}

static void on_file_done(void *arg, const struct file_res *res,
                         const struct gw_error *e)
{
    struct upstream *u = arg;
    struct gw_error error = {0};

    u->file = NULL;
    u->is_answered = true;
    u->is_down = false;
    if (e->err != GW_OK)
        finish(u, e);
    else if (u->op.conf->type->reply(&u->op, NULL, res, &error) != GW_OK)
        finish(u, &error);
    else
        step(u);
}

static const struct client_call_ops http_ops = {
    .head = on_http_head,
    .done = on_http_done,
};

static const struct file_call_ops file_ops = {
    .head = on_file_head,
    .done = on_file_done,
};

static void send_http(struct upstream *u, bool public_only)
{
    const struct provider_conf *c = u->op.conf;
    struct client_call_options o = {
        .connect_timeout_ms = c->connect_timeout_ms,
        .timeout_ms = MAX(c->timeout_ms, u->patience_ms),
        .ca_file = c->ca_file,
        .proxy = u->x.http.is_direct ? "" : c->proxy,
        .public_only = public_only,
        .source = has_stream(&u->x.http) ? u->source : NULL,
        .sink = u->x.http.is_sink ? u->sink : NULL,
        .bytes_out = metrics_get(u->sv->metrics, METRIC_UP_BYTES_OUT, c->name,
                                 NULL, NULL),
        .bytes_in = metrics_get(u->sv->metrics, METRIC_UP_BYTES_IN, c->name,
                                NULL, NULL),
    };

    u->has_sent = true;
    u->is_answered = false;
    u->http = http_client_start(u->sv->client, &u->x.http, &o, &http_ops, u);
}

static void on_piece(void *arg, struct str bytes, bool is_last)
{
    struct upstream *u = arg;

    u->op.piece = bytes;
    u->op.is_last_piece = is_last;
    step(u);
}

static void on_piece_failed(void *arg, const struct gw_error *e)
{
    finish(arg, e);
}

static const struct piece_ops piece_ops = {
    .ready = on_piece,
    .failed = on_piece_failed,
};

static void read_piece(struct upstream *u)
{
    ASSERT(u->source && u->op.code == PROV_CREATE);
    if (!u->piece.source)
        piece_open(&u->piece, u->sv->loop, u->source, u->sv->pipe_bytes,
                   &piece_ops, u);
    u->op.piece = STR("");
    piece_next(&u->piece, u->x.want);
}

static void add_field(struct upstream *u, struct str name, struct str value)
{
    struct http_fields *f = &u->x.http.fields;

    if (value.n && !http_fields_get(f, name).p)
        http_fields_add(f, u->op.arena, name, value);
}

static void send_trace(struct upstream *u)
{
    add_field(u, STR("traceparent"), u->trace.parent);
    add_field(u, STR("tracestate"), u->trace.state);
}

static void step(void *arg)
{
    struct upstream *u = arg;
    struct gw_error ok = {0};

    u->x = (struct prov_exchange){0};
    u->op.now_s = clock_wall_s();
    u->hops = 0;
    switch (u->op.conf->type->next(&u->op, &u->x)) {
    case PROV_SEND_HTTP:
        send_trace(u);
        send_http(u, u->x.is_told && u->is_public);
        break;
    case PROV_SEND_FILE:
        u->file =
            file_io_start(u->sv->files, u->sv->loop, u->op.arena, &u->x.file,
                          u->source ? u->source : u->sink, &file_ops, u);
        break;
    case PROV_READ:
        read_piece(u);
        break;
    case PROV_WAIT:
        loop_timer_set(&u->pause, u->x.wait_ms);
        break;
    case PROV_RENEW:
        grants_spoil(&u->op);
        begin(u);
        break;
    case PROV_DONE:
        finish(u, &ok);
        break;
    }
}

static void on_grant(void *arg, const struct gw_error *e)
{
    struct upstream *u = arg;

    u->grant_wait = NULL;
    u->is_down = is_transport(e);
    if (e->err != GW_OK)
        finish(u, e);
    else
        step(u);
}

static void begin(void *arg)
{
    struct upstream *u = arg;

    if (!u->op.conf->grants || u->op.code == PROV_GRANT ||
        grants_get(u->sv, &u->op, on_grant, u, &u->grant_wait))
        step(u);
}

/* Credentials are got on behalf of an operation that was let through. */
static void enter(void *arg)
{
    struct upstream *u = arg;
    struct gw_error e = {0};

    if (u->op.code != PROV_GRANT &&
        fleet_enter(u->sv, u->op.conf, &u->pass, &e) != GW_OK) {
        finish(u, &e);
        return;
    }
    if (u->op.code == PROV_CREATE)
        fleet_expect(u->sv, &u->pass, u->op.upload.stream_len);
    begin(u);
}

static void refuse(void *arg)
{
    struct upstream *u = arg;
    struct gw_error e = {0};

    err_set(&e, GW_UNSUPPORTED_OPERATION,
            "provider '%s' does not support the operation '%s'",
            u->op.conf->name, prov_opcode_name(u->op.code));
    finish(u, &e);
}

void upstream_start(struct upstream *u, struct pipe *source, struct pipe *sink,
                    const struct upstream_ops *ops, void *arg)
{
    bool can = provider_caps(u->op.conf) & (1u << u->op.code);

    u->source = source;
    u->sink = sink;
    u->ops = ops;
    u->arg = arg;
    u->begun_us = clock_mono_us();
    loop_defer(u->sv->loop, &u->kick, can ? enter : refuse, u);
}

void upstream_abort(struct upstream *u)
{
    struct gw_error gone = {0};

    if (!u || u->is_over)
        return;
    leave(u, BREAKER_NOTHING, &gone);
    stop(u);
    if (u->op.code == PROV_CREATE && u->has_sent)
        undo_create(u->sv, &u->op);
}

bool upstream_is_untouched(const struct upstream *u)
{
    return !u->source || pipe_total(u->source) == 0;
}

bool upstream_may_have_stored(const struct upstream *u)
{
    /* A provider that names its objects is asked by name, and a request whose
     * body was cut cannot have become a file. */
    if (u->op.code == PROV_UPLOAD_COMPLETE)
        return u->has_sent && !u->is_answered;
    return !u->is_answered && u->source &&
           pipe_outcome(u->source) == PIPE_END && pipe_is_drained(u->source);
}
