/* http_client.h -- HTTP/1.1 toward providers; the only file that knows curl.
 *
 * One curl multi handle per worker, its sockets on the worker's loop, pooled
 * connections, pooled easy handles. Request bodies are asked for (curl's read
 * callback pulls the pipe), response bodies are gathered and pushed; both stop
 * when the other side does. Deadlines are our own: connect, no progress while
 * it is the provider's turn, and none while it is the client's.
 *
 * An upload is never lost to a kept-alive connection that the provider has
 * closed meanwhile: a stream of known length up to LIMIT_RETRY_BODY is kept
 * while it is sent and sent again on a fresh connection, as long as no byte of
 * an answer came; a longer one (or one of unknown length) always gets a fresh
 * connection. Bodies of memory alone can always be sent again.
 *
 * A stream segment of exact length must be all that is left of the stream. The
 * body's last byte is held back until the stream has ended well: a request
 * whose source is too short, too long or fails is never completed.
 *
 * All calls on the worker's loop. Callbacks come from the loop, never from
 * inside a call.
 */
#ifndef FILEMUX_NET_HTTP_CLIENT_H
#define FILEMUX_NET_HTTP_CLIENT_H

#include "gateway/codec/http_msg.h"
#include "gateway/net/pipe.h"

struct http_client;
struct client_call; /* one exchange */

/* Once per process, before the first and after the last client. */
void http_client_global_init(void);
void http_client_global_cleanup(void);

struct http_client *http_client_open(struct loop *l) MUSTCHECK;
/* All calls must be over. */
void http_client_close(struct http_client *c);

struct client_call_options {
    int64_t connect_timeout_ms;
    int64_t timeout_ms;  /* no progress for so long while it is the provider's
                            turn: UPSTREAM_TIMEOUT */
    const char *ca_file; /* "" the system's; TLS is always verified */
    const char *proxy;   /* "" none; the environment is ignored */
    bool public_only;    /* not to an address of a private network (ip.h), where
                            no proxy is asked: UPSTREAM_BAD_RESPONSE */
    struct pipe *source; /* the request's stream segments; may be NULL */
    struct pipe *sink;   /* for req->is_sink; may be NULL */
    struct metric_series *bytes_out, *bytes_in; /* may be NULL */
};

struct client_call_ops {
    /* The final answer's status and header fields are in (1xx are not shown).
     * For a 200 or 206 with is_sink: the body follows into the sink, and this
     * is the time to start the reply. Otherwise the body is being collected.
     * Optional. */
    void (*head)(void *arg, const struct http_res *res);
    /* Over. e->err is GW_OK when the answer is complete (whatever its status;
     * a collected body over the bound is cut and counts as complete), else
     * UPSTREAM_UNREACHABLE (nothing was sent), UPSTREAM_BROKEN (also a success
     * before the whole body was sent), UPSTREAM_TIMEOUT,
     * UPSTREAM_BAD_RESPONSE, CLIENT_GONE (the sink's reader gave up), or what
     * the source failed with (INTERNAL when it broke its word on the length).
     * A sink has got its end or its error before this, if head() said that the
     * body goes there; otherwise it and the source are let go without an
     * outcome. res is valid during the call; its status is 0 when no head came.
     * The call is gone after it. */
    void (*done)(void *arg, const struct http_res *res,
                 const struct gw_error *e);
};

/* Start. req and what it points to, and both pipes, must live until done(). */
struct client_call *http_client_start(struct http_client *c,
                                      const struct http_req *req,
                                      const struct client_call_options *o,
                                      const struct client_call_ops *ops,
                                      void *arg) MUSTCHECK;
/* Stop it; no callback follows; the connection is closed unless the exchange
 * was complete. The source and sink are let go without an outcome. */
void client_call_abort(struct client_call *k);
/* Bytes of the source handed to curl so far; the flow asks whether a failed
 * upload may be tried elsewhere (0: yes) or may have been stored (all). */
uint64_t client_call_sent(const struct client_call *k);

#endif
