/* upstream.h -- drives one operation of a provider, exchange by exchange.
 *
 * next() describes an exchange, http_client or file_io performs it, reply()
 * reads it, until the provider says that it is done. This is the only place
 * where a provider meets the network.
 *
 * Credentials that are temporary are got before (flow/grants); when a provider
 * refuses them before anything was streamed, the operation is begun again with
 * new ones, once. A download that is answered with a redirect follows it: five
 * hops at most, never from https to http, to another origin without the
 * request's header fields but Accept, Accept-Encoding and Range. Neither there
 * nor where an answer told a provider to go on does it get from a public
 * address to one of a private network. What a failed create left behind is
 * given up (flow/undo).
 *
 * A provider that failed too often is not asked at all (flow/fleet): the
 * operation ends with UPSTREAM_BUSY. Failures are that it is not reached, that
 * it cuts the connection or makes no progress in time, and its 5xx.
 *
 *     u = upstream_new(sv, arena, conf, PROV_CONTENT);
 *     u->op.upstream_id = id;
 *     upstream_start(u, NULL, sink, &ops, txn);
 *
 * Lives in the arena it is given; ends by done() or upstream_abort(). All on
 * the worker's loop; callbacks come from the loop.
 */
#ifndef FILEMUX_FLOW_UPSTREAM_H
#define FILEMUX_FLOW_UPSTREAM_H

#include "gateway/flow/fleet.h"
#include "gateway/flow/grants.h"
#include "gateway/flow/piece.h"
#include "gateway/flow/services.h"

/* The beginning of the answer that goes into the sink. */
struct upstream_head {
    int status;
    bool is_partial; /* 206: a range */
    int64_t length;  /* of what follows; -1 unknown */
    int64_t size;    /* of the whole file; -1 unknown */
    int64_t first;   /* partial: where it starts; -1 unknown */
    struct str content_type, content_encoding; /* STR_NULL: none */
};

/* What joins requests to a client's trace (W3C): sent along, "" nothing. */
struct upstream_trace {
    struct str parent, state;
};

struct upstream_ops {
    /* The sink gets bytes from now on. Once, for operations with a sink. */
    void (*head)(void *arg, const struct upstream_head *h);
    /* Over: GW_OK in e->err, results in u->op. The sink has its outcome. */
    void (*done)(void *arg, const struct gw_error *e);
};

struct upstream {
    struct prov_op op; /* the caller fills what the operation needs */
    struct upstream_trace trace;
    int64_t patience_ms; /* without progress, if the provider's is shorter */
    /* --- private --- */
    struct services *sv;
    struct prov_exchange x;
    struct pipe *source, *sink;
    const struct upstream_ops *ops;
    void *arg;
    struct client_call *http;
    struct file_call *file;
    struct loop_task kick;
    struct loop_timer pause; /* PROV_WAIT */
    struct piece piece;      /* PROV_READ */
    struct grant_wait *grant_wait;
    struct fleet_pass pass;
    int64_t begun_us;
    uint64_t sent;
    int hops;          /* redirects followed */
    bool is_answered;  /* the last exchange was */
    bool is_down;      /* the last one told that the provider is */
    bool is_public;    /* by a public address */
    bool has_sent;     /* an exchange was begun */
    bool has_streamed; /* a byte of the source or for the sink moved */
    bool is_again;     /* with new credentials */
    bool is_over;
};

struct upstream *upstream_new(struct services *sv, struct arena *a,
                              const struct provider_conf *conf,
                              enum prov_opcode code) MUSTCHECK;
/* Both pipes may be NULL and must live until done(). An operation that the
 * provider lacks ends with UNSUPPORTED_OPERATION naming both. */
void upstream_start(struct upstream *u, struct pipe *source, struct pipe *sink,
                    const struct upstream_ops *ops, void *arg);
/* No callback follows. May be called twice, and after done(). NULL allowed. */
void upstream_abort(struct upstream *u);

/* After a failed create: was nothing of the source used, so that another
 * provider may be tried? */
bool upstream_is_untouched(const struct upstream *u);
/* After a failed create, or completion of an upload: may the provider have
 * stored the file all the same? Only when the whole body was sent and no answer
 * came.
 */
bool upstream_may_have_stored(const struct upstream *u);

#endif
