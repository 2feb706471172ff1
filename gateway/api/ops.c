#include "gateway/api/api.h"

void ops_liveness(struct txn *t)
{
    txn_reply_json(
        t, 200,
        STR("{\"status\":\"alive\",\"version\":\"" FILEMUX_VERSION "\"}"));
}

void ops_readiness(struct txn *t)
{
    if (t->sv->is_draining)
        txn_fail_plain(t, GW_DRAINING);
    else if (!redis_is_up(t->sv->redis))
        txn_fail_plain(t, GW_STORE_UNAVAILABLE);
    else
        txn_reply_json(t, 200, STR("{\"status\":\"ready\"}"));
}

/* Enough for all series of a large installation. */
#define METRICS_TEXT_MAX (16 * MIB)

void ops_metrics(struct txn *t)
{
    struct http_fields f = {0};
    struct buf text;

    buf_init(&text, METRICS_TEXT_MAX);
    metrics_render(&text);
    txn_fields(t, &f, STR("text/plain; version=0.0.4; charset=utf-8"));
    txn_reply(t, 200, &f, buf_str(&text));
    buf_release(&text);
}
