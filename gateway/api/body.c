#include "gateway/api/api.h"

struct body {
    struct buf text;
    void (*fn)(struct txn *t, struct json *v);
};

static void release(void *arg)
{
    buf_release(arg);
}

static void finish(struct txn *t, struct body *b)
{
    struct gw_error e = {0};
    struct json *v =
        json_parse(t->arena, b->text.n ? buf_str(&b->text) : STR("{}"), &e);

    if (v && !json_is_object(v))
        err_set(&e, GW_INVALID_JSON, "the body is not a JSON object");
    if (e.err != GW_OK)
        txn_fail(t, &e);
    else
        b->fn(t, v);
}

static void read_more(struct txn *t)
{
    struct body *b = t->data;
    struct gw_error e = {0};
    char bytes[8 * KIB];
    ssize_t n;

    while ((n = server_req_read(t->req, bytes, sizeof(bytes), &e)) > 0) {
        buf_add(&b->text, bytes, (size_t)n);
        if (b->text.overflow) {
            txn_fail_plain(t, GW_BODY_TOO_LARGE);
            return;
        }
    }
    if (n == -1)
        server_req_want(t->req);
    else if (n == 0)
        finish(t, b);
    else
        txn_fail(t, &e);
}

void body_read_json(struct txn *t, void (*fn)(struct txn *t, struct json *v))
{
    struct body *b = arena_new_of(t->arena, struct body);

    if (t->head->content_length > (int64_t)LIMIT_JSON_BODY_BYTES) {
        txn_fail_plain(t, GW_BODY_TOO_LARGE);
        return;
    }
    buf_init(&b->text, LIMIT_JSON_BODY_BYTES);
    arena_on_free(t->arena, release, &b->text);
    b->fn = fn;
    t->data = b;
    t->on_readable = read_more;
    txn_goto(t, TXN_BODY);
    read_more(t);
}
