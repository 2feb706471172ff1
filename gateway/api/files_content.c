/* files_content.c -- the bytes of a file, streamed from its provider.
 *
 *   provider ─► http_client / file_io ─► pipe ─► http_server ─► client
 *
 * What can be answered from the record (304, 416, HEAD) asks no provider. Of a
 * file that is at several providers the next one is asked when one fails before
 * its first byte.
 */
#include "gateway/api/api.h"

#include "gateway/codec/byterange.h"
#include "gateway/codec/url.h"
#include "gateway/flow/copies.h"
#include "gateway/flow/lease.h"

struct content {
    const struct provider_conf *provider;
    const struct file_record *file; /* t->record is a view of it */
    size_t order[LIMIT_FAN_OUT], n, at;
    struct str etag;
    struct byterange range;
    int64_t offset, len;       /* what was asked for; len -1: unknown */
    int64_t held;              /* of the day's downloads */
    struct upstream_head head; /* that waits until more is held */
};

/* Does an If-None-Match list name our tag? (RFC 9110, 13.1.2: weak compare) */
static bool names_etag(struct str list, struct str etag)
{
    struct str item;

    while (str_next(&list, ',', &item)) {
        if (str_starts(item, STR("W/")))
            item = str_make(item.p + 2, item.n - 2);
        if (str_eq(item, STR("*")) || str_eq(item, etag))
            return true;
    }
    return false;
}

/* attachment; filename="…"; filename*=UTF-8''… (RFC 6266) */
static struct str disposition(struct txn *t, struct str filename)
{
    struct buf out;
    struct str result;
    bool is_plain = true;

    buf_init(&out, 8 * KIB);
    buf_add_c(&out, "attachment; filename=\"");
    for (size_t i = 0; i < filename.n; i++) {
        unsigned char c = (unsigned char)filename.p[i];
        bool fits = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';

        buf_add_byte(&out, fits ? (char)c : '_');
        is_plain = is_plain && fits;
    }
    buf_add_byte(&out, '"');
    if (!is_plain) {
        buf_add_c(&out, "; filename*=UTF-8''");
        url_encode(&out, filename);
    }
    result = arena_dup(t->arena, buf_str(&out));
    buf_release(&out);
    return result;
}

static bool has_range(struct txn *t)
{
    const struct provider_conf *p =
        settings_provider(t->conf, t->record->obj.provider);

    return p && (provider_caps(p) & PROV_HAS_RANGE);
}

static void common_fields(struct txn *t, struct content *c, struct str type,
                          struct http_fields *f)
{
    if (!type.n)
        type = t->record->content_type;
    if (!type.n)
        type = STR("application/octet-stream");
    txn_fields(t, f, type);
    http_fields_add(f, t->arena, STR("ETag"), c->etag);
    http_fields_add(f, t->arena, STR("Content-Disposition"),
                    disposition(t, t->record->obj.filename));
    if (has_range(t))
        http_fields_add(f, t->arena, STR("Accept-Ranges"), STR("bytes"));
}

static void add_content_range(struct txn *t, struct http_fields *f,
                              int64_t first, int64_t len, int64_t size)
{
    struct str total =
        size < 0 ? STR("*") : arena_printf(t->arena, "%lld", (long long)size);

    http_fields_add(f, t->arena, STR("Content-Range"),
                    arena_printf(t->arena, "bytes %lld-%lld/%.*s",
                                 (long long)first, (long long)(first + len - 1),
                                 STR_ARG(total)));
}

/* What will come, as far as that is told. -1: unknown. */
static int64_t length_of(struct txn *t, const struct upstream_head *h)
{
    const struct content *c = t->data;
    int64_t whole = h->is_partial ? c->len : t->record->obj.bytes;

    return h->length >= 0 ? h->length : whole;
}

static void begin_reply(struct txn *t, const struct upstream_head *h)
{
    struct content *c = t->data;
    struct http_fields f = {0};
    int64_t size = h->size >= 0 ? h->size : t->record->obj.bytes;
    struct gw_error e = {0};

    if (h->content_encoding.n > LIMIT_FIELD_SHOWN) {
        err_set(&e, GW_UPSTREAM_BAD_RESPONSE,
                "the provider's answer has an overlong Content-Encoding");
        txn_fail(t, &e);
        return;
    }
    /* What is that long is no type. */
    common_fields(
        t, c,
        h->content_type.n > LIMIT_FIELD_SHOWN ? STR_NULL : h->content_type, &f);
    if (h->content_encoding.n)
        http_fields_add(&f, t->arena, STR("Content-Encoding"),
                        arena_dup(t->arena, h->content_encoding));
    if (h->is_partial && c->range.is_set && h->length >= 0)
        add_content_range(t, &f, h->first >= 0 ? h->first : c->offset,
                          h->length, size);
    if (t->has_down_hold)
        txn_bound_reply(t, length_of(t, h));
    txn_reply_pipe(t, h->is_partial ? 206 : 200, &f, h->length, t->pipe);
}

static void on_extended(void *arg, const struct quota_verdict *v,
                        const struct gw_error *e)
{
    struct txn *t = arg;
    struct content *c = t->data;
    struct gw_error error = *e;

    t->store_call = NULL;
    if (error.err == GW_OK && v->limit != QUOTA_NONE)
        charge_refuse(&t->who, v, &error);
    if (error.err != GW_OK)
        txn_fail(t, &error);
    else
        begin_reply(t, &c->head);
}

/* What is longer is refused, or left out, whatever it is. */
static struct str shown(struct txn *t, struct str field)
{
    return arena_dup(t->arena,
                     str_make(field.p, MIN(field.n, LIMIT_FIELD_SHOWN + 1u)));
}

/* A provider that does not keep to the range sends all: no more of the day's
 * downloads was held than was asked for. One that does not tell a length gets
 * no further than what is held. */
static void on_head(void *arg, const struct upstream_head *h)
{
    struct txn *t = arg;
    struct content *c = t->data;
    struct quota_amount more = {.down = length_of(t, h) - c->held};

    if (!t->has_down_hold || more.down <= 0) {
        begin_reply(t, h);
        return;
    }
    c->head = *h;
    c->head.content_type = shown(t, h->content_type);
    c->head.content_encoding = shown(t, h->content_encoding);
    t->store_call = quota_extend(t->sv->redis, str_of(t->id), &t->who, &more,
                                 on_extended, t);
}

static bool try_next(struct txn *t, const struct gw_error *e);

static void on_done(void *arg, const struct gw_error *e)
{
    struct txn *t = arg;

    /* A failure after the reply began reaches the client through the pipe. */
    if (e->err != GW_OK && t->state == TXN_REPLY)
        t->error = *e;
    else if (e->err != GW_OK && (t->store_call || !try_next(t, e)))
        txn_fail(t, e);
}

static const struct upstream_ops content_ops = {
    .head = on_head,
    .done = on_done,
};

static void reply_not_modified(struct txn *t, struct content *c)
{
    struct http_fields f = {0};

    txn_fields(t, &f, STR_NULL);
    http_fields_add(&f, t->arena, STR("ETag"), c->etag);
    txn_reply(t, 304, &f, STR(""));
}

static void reply_unsatisfiable(struct txn *t, const struct gw_error *e)
{
    struct http_fields f = {0};

    http_fields_add(&f, t->arena, STR("Content-Range"),
                    arena_printf(t->arena, "bytes */%lld",
                                 (long long)t->record->obj.bytes));
    txn_fail_with(t, e, &f);
}

/* Read Range; false after having answered 416. A provider without ranges, an
 * unknown size, or an If-Range that is not our tag: the whole is sent. */
static bool read_range(struct txn *t, struct content *c)
{
    struct str if_range = txn_header(t, STR("if-range"));
    int64_t size = t->record->obj.bytes;
    struct gw_error e = {0};

    byterange_parse(txn_header(t, STR("range")), &c->range);
    if (!has_range(t) || size < 0 || (if_range.n && !str_eq(if_range, c->etag)))
        c->range.is_set = false;
    c->offset = 0;
    c->len = size;
    if (!c->range.is_set ||
        byterange_resolve(&c->range, size, &c->offset, &c->len, &e) == GW_OK)
        return true;
    reply_unsatisfiable(t, &e);
    return false;
}

static void reply_head(struct txn *t, struct content *c)
{
    struct http_fields f = {0};

    common_fields(t, c, STR_NULL, &f);
    if (c->range.is_set)
        add_content_range(t, &f, c->offset, c->len, t->record->obj.bytes);
    /* The server counts a HEAD's length by the pipe's, which is not read. */
    t->pipe = pipe_new(t->sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH, NULL);
    pipe_end(t->pipe);
    txn_reply_pipe(t, c->range.is_set ? 206 : 200, &f, c->len, t->pipe);
}

static void count_out(void *active)
{
    metric_add(active, -1);
}

static void ask_provider(struct txn *t)
{
    struct content *c = t->data;

    t->pipe = pipe_new(t->sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH,
                       t->sv->pipe_bytes);
    t->up = upstream_new(t->sv, t->arena, c->provider, PROV_CONTENT);
    t->up->trace = t->trace;
    t->up->op.upstream_id = t->record->upstream_id;
    t->up->op.shown_id = t->record->obj.id;
    if (c->range.is_set) {
        t->up->op.range_first = c->offset;
        t->up->op.range_last = c->offset + c->len - 1;
    }
    upstream_start(t->up, NULL, t->pipe, &content_ops, t);
}

static void stream(struct txn *t)
{
    struct metric_series *active =
        metrics_get(t->sv->metrics, METRIC_TRANSFERS, "download", NULL, NULL);

    metric_add(active, 1);
    arena_on_free(t->arena, count_out, active);
    txn_goto(t, TXN_UPSTREAM);
    ask_provider(t);
}

/* --- several providers --- */

static void free_pipe(void *memory)
{
    pipe_free(memory);
}

/* The provider that is asked next, and its file. */
static void take_place(struct txn *t, struct content *c)
{
    t->record = copies_view(t, c->file, c->order[c->at]);
    c->provider = settings_provider(t->conf, t->record->obj.provider);
    t->provider = arena_cstr(t->arena, t->record->obj.provider);
}

/* A file that is gone there, or refused, may be had elsewhere. Where its length
 * is another one, what was asked of it was not asked of that. */
static bool try_next(struct txn *t, const struct gw_error *e)
{
    struct content *c = t->data;
    int64_t bytes = t->record->obj.bytes;

    if (e->err == GW_CLIENT_GONE || c->at + 1 >= c->n ||
        file_record_place(c->file, c->order[c->at + 1]).bytes != bytes)
        return false;
    log_msg(LOG_WARN, t->id, "'%s' failed, reading from the next one: %s",
            t->provider, e->message);
    c->at++;
    take_place(t, c);
    if (!has_range(t))
        c->range.is_set = false;
    loop_reap(t->sv->loop, t->pipe, free_pipe);
    ask_provider(t);
    return true;
}

static void on_held(void *arg, const struct quota_verdict *v,
                    const struct gw_error *e)
{
    struct txn *t = arg;
    struct gw_error error = *e;

    t->store_call = NULL;
    if (error.err == GW_OK && v->limit != QUOTA_NONE)
        charge_refuse(&t->who, v, &error);
    if (error.err != GW_OK) {
        txn_fail(t, &error);
        return;
    }
    stream(t);
}

/* Where downloads are limited, all that may be sent is held before. From then
 * on the hold is the transaction's, which settles it at its end. */
static void hold(struct txn *t, struct content *c)
{
    struct quota_amount most = {.down = MAX(c->len, 0)};

    c->held = most.down;
    txn_goto(t, TXN_STORE);
    t->has_down_hold = true;
    t->down_lease = lease_take(t->sv->leases, str_of(t->id));
    t->store_call = quota_hold(t->sv->redis, str_of(t->id), &t->who, &most,
                               NULL, t->conf->journal.lease_ms, on_held, t);
}

void files_content(struct txn *t)
{
    struct content *c = arena_new_of(t->arena, struct content);
    struct str tags = txn_header(t, STR("if-none-match"));
    struct copies_wish wish;

    t->data = c;
    copies_read_wish(t, &wish);
    wish.caps = PROV_CAN_CONTENT;
    c->file = t->record;
    c->n = copies_order(t, c->file, &wish, c->order);
    take_place(t, c);
    c->etag = arena_printf(t->arena, "\"%.*s\"", STR_ARG(t->record->obj.id));
    if (tags.n && names_etag(tags, c->etag)) {
        reply_not_modified(t, c);
        return;
    }
    c->provider = reply_provider(t, t->record);
    if (!c->provider || !read_range(t, c))
        return;
    if (str_eq(t->head->method, STR("HEAD")) && t->record->obj.bytes >= 0)
        reply_head(t, c);
    else if (charge_has_download_limit(&t->who))
        hold(t, c);
    else
        stream(t);
}
