#include "gateway/net/client_call.h"

#include <poll.h>
#include <stdlib.h>

#include "gateway/base/bug.h"

/* How often a deadline is looked at. */
#define TICKS_PER_TIMEOUT 4

static void call_act(void *arg);

void client_call_wake(struct client_call *k)
{
    loop_defer(k->client->loop, &k->task, call_act, k);
}

void client_call_fail(struct client_call *k, const struct gw_error *e)
{
    if (k->error.err == GW_OK)
        k->error = *e;
    client_call_wake(k);
}

/* --- the gather buffer and the sink --- */

static void tell_head(struct client_call *k)
{
    if (!k->head_pending || k->state != CALL_RUNNING)
        return;
    k->head_pending = false;
    if (k->ops->head)
        k->ops->head(k->arg, &k->reply.res);
}

/* Send the bytes on their way. The sink's reader may do anything to its call
 * meanwhile, but not to curl. */
void client_call_flush(struct http_client *c)
{
    struct client_gather g = c->gather;

    c->gather = (struct client_gather){.buf = g.buf};
    if (!g.call)
        return;
    tell_head(g.call);
    if (g.call->state != CALL_RUNNING)
        return;
    if (!pipe_write(g.call->o.sink, g.lent ? g.lent : g.buf, g.n) &&
        g.call->state == CALL_RUNNING)
        g.call->sink_holds = true;
}

/* One more of several pieces that lie side by side in curl's own memory. */
static void gather_lent(struct client_call *k, const char *p, size_t n,
                        bool has_more)
{
    struct client_gather *g = &k->client->gather;

    if (!g->lent) {
        client_call_flush(k->client);
        if (k->state != CALL_RUNNING)
            return;
        g->call = k;
        g->lent = p;
    }
    ASSERT(g->call == k && g->lent + g->n == p);
    g->n += n;
    if (!has_more)
        client_call_flush(k->client);
}

/* Bytes for the sink. has_more: those that follow them in memory come next, and
 * until then these stay where they are. */
static void gather(struct client_call *k, const char *p, size_t n,
                   bool has_more)
{
    struct client_gather *g = &k->client->gather;

    if (g->lent || has_more) {
        gather_lent(k, p, n, has_more);
        return;
    }
    if (g->call != k || g->n + n > LIMIT_GATHER_BYTES)
        client_call_flush(k->client);
    if (k->state != CALL_RUNNING)
        return;
    if (!g->buf)
        g->buf = xmalloc(LIMIT_GATHER_BYTES);
    g->call = k;
    memcpy(g->buf + g->n, p, n);
    g->n += n;
}

void client_call_forget_lent(struct http_client *c)
{
    if (c->gather.lent)
        c->gather = (struct client_gather){.buf = c->gather.buf};
}

/* --- what curl asks and tells --- */

void client_call_begin(struct client_call *k)
{
    k->began = true;
    k->source_waits = k->receive_waits = false; /* curl may be at it again */
    k->since_ms = loop_now_ms(k->client->loop);
}

void client_call_count_out(const struct client_call *k, size_t n)
{
    if (k->o.bytes_out)
        metric_add(k->o.bytes_out, (int64_t)n);
}

/* An answer that comes while the body is being sent must be read before the
 * next send: after a reset the send fails, and curl would not read any more. */
static bool has_early_answer(struct client_call *k)
{
    struct pollfd p = {.fd = k->fd, .events = POLLIN};

    if (k->has_looked || k->receive_waits || k->fd < 0)
        return false;
    k->has_looked = poll(&p, 1, 0) > 0;
    return k->has_looked;
}

static enum client_flow give_bytes(struct client_call *k, char *buf, size_t n)
{
    if (has_early_answer(k)) {
        client_body_unread(&k->body, buf, n);
        k->source_waits = k->source_ready = true;
        client_call_wake(k);
        return CLIENT_WAIT;
    }
    k->has_looked = false;
    k->moved_out += n;
    client_call_count_out(k, n);
    return CLIENT_GO;
}

enum client_flow client_call_give(struct client_call *k, char *buf, size_t cap,
                                  size_t *n)
{
    *n = 0;
    k->source_waits = false;
    if (k->state != CALL_RUNNING || k->error.err != GW_OK)
        return CLIENT_STOP;
    /* Refused: curl still asks when the connection is to be closed, and would
     * wait for us for ever after a pause. */
    if (k->reply.res.status >= 300)
        return CLIENT_GO;
    switch (client_body_read(&k->body, buf, cap, n)) {
    case BODY_BYTES:
        return give_bytes(k, buf, *n);
    case BODY_WAIT:
        k->source_waits = true;
        k->source_ready = false;
        return CLIENT_WAIT;
    case BODY_OVER:
        return CLIENT_GO;
    default:
        client_call_fail(k, &k->body.error);
        return CLIENT_STOP;
    }
}

static void on_final_head(struct client_call *k)
{
    int status = k->reply.res.status;

    k->is_sinking = k->o.sink && http_req_sinks(k->req, status);
    k->head_pending = true;
    /* A refused upload does not wait for its source any more. */
    k->source_ready = k->source_ready || status >= 300;
    client_call_wake(k);
}

enum client_flow client_call_head_line(struct client_call *k, struct str line)
{
    struct gw_error e = {0};
    bool is_head;

    if (k->state != CALL_RUNNING)
        return CLIENT_STOP;
    if (client_reply_line(&k->reply, line, &is_head, &e) != GW_OK) {
        client_call_fail(k, &e);
        return CLIENT_STOP;
    }
    if (is_head)
        on_final_head(k);
    return CLIENT_GO;
}

enum client_flow client_call_take(struct client_call *k, const char *p,
                                  size_t n, bool has_more)
{
    if (k->state != CALL_RUNNING || k->error.err != GW_OK)
        return CLIENT_STOP;
    if (k->sink_holds) {
        k->receive_waits = true;
        return CLIENT_WAIT;
    }
    k->moved_in += n;
    k->received += (int64_t)n;
    if (k->o.bytes_in)
        metric_add(k->o.bytes_in, (int64_t)n);
    if (k->is_sinking)
        gather(k, p, n, has_more);
    else
        k->is_cut = !client_reply_body(&k->reply, p, n);
    return k->state == CALL_RUNNING && !k->is_cut ? CLIENT_GO : CLIENT_STOP;
}

/* --- the end --- */

static void call_free(void *memory)
{
    struct client_call *k = memory;

    client_body_release(&k->body);
    client_reply_release(&k->reply);
    buf_release(&k->last);
    free(k);
}

/* From here on nothing that was borrowed is touched. */
static void retire(struct client_call *k)
{
    struct http_client *c = k->client;

    k->state = CALL_OVER;
    if (c->gather.call == k)
        c->gather = (struct client_gather){.buf = c->gather.buf};
    if (k->o.source)
        pipe_set_reader(k->o.source, NULL, NULL);
    if (k->o.sink)
        pipe_set_writer(k->o.sink, NULL, NULL);
    loop_timer_release(&k->deadline);
}

static void bury(struct client_call *k)
{
    ASSERT(!k->easy);
    loop_task_cancel(k->client->loop, &k->task);
    k->client->ncalls--;
    loop_reap(k->client->loop, k, call_free);
}

/* Tell the sink, then the owner. Each of them may abort the call. */
void client_call_finish(struct client_call *k)
{
    if (k->client->gather.call == k)
        client_call_flush(k->client);
    tell_head(k);
    if (k->state != CALL_RUNNING)
        return;
    http_client_drop(k);
    if (k->is_sinking && k->error.err == GW_OK)
        pipe_end(k->o.sink);
    else if (k->is_sinking)
        pipe_fail(k->o.sink, &k->error);
    if (k->state != CALL_RUNNING)
        return;
    retire(k);
    bury(k);
    client_reply_finish(&k->reply);
    k->ops->done(k->arg, &k->reply.res, &k->error);
}

/* --- deadlines --- */

/* Before the request begins, curl's own connect timeout watches. */
static bool is_providers_turn(const struct client_call *k)
{
    return k->began && !k->source_waits && !k->sink_holds;
}

static void set_deadline(struct client_call *k)
{
    if (k->o.timeout_ms > 0)
        loop_timer_set(&k->deadline,
                       MAX(k->o.timeout_ms / TICKS_PER_TIMEOUT, 1));
}

static void on_deadline(void *arg)
{
    struct client_call *k = arg;
    int64_t now = loop_now_ms(k->client->loop), mark;

    if (k->state != CALL_RUNNING)
        return;
    mark = http_client_progress(k);
    if (mark != k->progress || !is_providers_turn(k)) {
        k->progress = mark;
        k->since_ms = now;
    } else if (now - k->since_ms >= k->o.timeout_ms) {
        err_set(&k->error, GW_UPSTREAM_TIMEOUT,
                "the provider made no progress in time");
        client_call_finish(k);
        return;
    }
    set_deadline(k);
}

/* --- calls --- */

static void on_source(void *arg)
{
    struct client_call *k = arg;

    /* A source that failed ends the call even while the provider does not
     * read, and so curl does not ask. */
    if (pipe_outcome(k->o.source) == PIPE_ERROR) {
        client_call_fail(k, pipe_error(k->o.source));
        return;
    }
    k->source_ready = true;
    client_call_wake(k);
}

static void on_sink_room(void *arg)
{
    struct client_call *k = arg;

    k->sink_holds = false;
    client_call_wake(k);
}

static void on_sink_gone(void *arg)
{
    struct client_call *k = arg;
    struct gw_error e = {0};

    err_set(&e, GW_CLIENT_GONE, "the reader of the answer gave up");
    client_call_fail(k, &e);
}

static const struct pipe_reader_ops source_ops = {.readable = on_source};
static const struct pipe_writer_ops sink_ops = {
    .resume = on_sink_room,
    .cancelled = on_sink_gone,
};

/* Go on where the pipes let us. */
static void go_on(struct client_call *k)
{
    int ready = 0;

    if (k->source_waits && k->source_ready)
        ready |= CLIENT_OUT | (k->has_looked ? CLIENT_IN : 0);
    if (k->receive_waits && !k->sink_holds)
        ready |= CLIENT_IN;
    if (!ready)
        return;
    if (ready & CLIENT_OUT)
        k->source_waits = false;
    if (!k->sink_holds)
        k->receive_waits = false;
    k->since_ms = loop_now_ms(k->client->loop);
    http_client_pause(k);
    http_client_drive(k, k->fd, ready);
}

/* The call's task: whatever happened since the last time. */
static void call_act(void *arg)
{
    struct client_call *k = arg;

    if (k->state == CALL_NEW) {
        http_client_launch(k);
        set_deadline(k);
        if (k->error.err != GW_OK)
            client_call_wake(k); /* failed already */
        return;
    }
    if (k->state == CALL_OVER) { /* aborted while curl was on the stack */
        http_client_drop(k);
        bury(k);
        return;
    }
    tell_head(k);
    if (k->state != CALL_RUNNING)
        return;
    if (k->error.err != GW_OK)
        client_call_finish(k);
    else
        go_on(k);
}

struct client_call *client_call_new(struct http_client *c,
                                    const struct http_req *req,
                                    const struct client_call_options *o,
                                    const struct client_call_ops *ops,
                                    void *arg)
{
    struct client_call *k = xcalloc(1, sizeof(*k));

    *k = (struct client_call){
        .client = c, .fd = -1, .req = req, .o = *o, .ops = ops, .arg = arg};
    k->o.sink = req->is_sink ? o->sink : NULL;
    client_body_init(&k->body, req, o->source);
    client_reply_init(&k->reply);
    buf_init(&k->last, LIMIT_LAST_BYTES);
    loop_timer_init(c->loop, &k->deadline, on_deadline, k);
    if (k->o.source)
        pipe_set_reader(k->o.source, &source_ops, k);
    if (k->o.sink)
        pipe_set_writer(k->o.sink, &sink_ops, k);
    c->ncalls++;
    client_call_wake(k);
    return k;
}

void client_call_abort(struct client_call *k)
{
    if (k->state == CALL_OVER)
        return;
    retire(k);
    if (k->client->in_curl) {
        client_call_wake(k);
        return;
    }
    http_client_drop(k);
    bury(k);
}

uint64_t client_call_sent(const struct client_call *k)
{
    return k->body.from_source;
}
