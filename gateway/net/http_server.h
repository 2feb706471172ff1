/* http_server.h -- HTTP/1.1 toward clients; the only file that knows evhtp.
 *
 * A connection is:
 *
 *     IDLE ─bytes─► HEAD ─complete─► (checked: codec/http_head) ─► ACTIVE
 *      ▲                                                             │ reply
 *      └──────────── body read to its end, keep-alive ◄── FLUSH ◄────┘
 *                                                           │ early reply
 *                                            CLOSED ◄── LINGER
 *
 * The head is collected and checked by us, and evhtp gets exactly one clean
 * head at a time. The body never passes evhtp: it is read from the socket by
 * server_req_read(), into the caller's own buffer, chunked coding removed, only
 * when the caller asks, so a reader that does not ask holds the client back.
 * 100 Continue is sent when the body is first asked for, so a refused request
 * never invites it. Pipelined requests wait, bounded, and are answered in
 * order.
 *
 * Deadlines, by our own timers: the head (header_timeout), a kept-alive
 * connection without a request and a body or an answer without progress
 * (idle_timeout), a body slower than min_rate over any ten seconds in which
 * bytes were asked for: 408. A client that goes away is noticed even while
 * nothing is read from it; one that closes its sending half counts as gone.
 *
 * One server per worker thread; all calls on its loop.
 */
#ifndef FILEMUX_NET_HTTP_SERVER_H
#define FILEMUX_NET_HTTP_SERVER_H

#include <sys/types.h>

#include "gateway/codec/http_head.h"
#include "gateway/codec/http_msg.h"
#include "gateway/net/pipe.h"

struct http_server;
struct server_req;

/* May change on reload; copied. */
struct http_server_limits {
    int64_t header_timeout_ms, idle_timeout_ms;
    int64_t min_rate;        /* bytes per second; 0: none */
    int64_t max_connections; /* of this worker */
};

struct http_server_ops {
    /* A request's head is in. The handler takes it over: it must end it with
     * one reply or server_req_abort(), now or later, and must have called
     * server_req_set_ops(). req->head stays valid until closed(). */
    void (*request)(void *arg, struct server_req *req);
    /* A head was refused by us (err is filled). Write the body of the answer
     * (the error envelope) and its Content-Type is application/json. For the
     * access log and the envelope in one place. */
    void (*refused)(void *arg, const struct gw_error *err, const char *peer,
                    struct buf *body);
};

/* The server on this loop; no listener yet. metrics is the worker's shard. */
struct http_server *http_server_open(struct loop *l,
                                     const struct http_server_limits *limits,
                                     const struct http_server_ops *ops,
                                     void *arg,
                                     struct metrics *metrics) MUSTCHECK;
void http_server_set_limits(struct http_server *s,
                            const struct http_server_limits *limits);

/* Is the address free for a listener? Asked once per process, before the
 * first: http_server_listen() shares it with whoever asks. */
enum gw_err http_server_probe(const char *address,
                              struct gw_error *e) MUSTCHECK;
/* Listen on "host:port", "[v6]:port" or "unix:/path", with SO_REUSEPORT.
 * tag comes back in server_req_listener(). cert and key ("" for none) turn TLS
 * on. */
enum gw_err http_server_listen(struct http_server *s, const char *address,
                               const char *cert, const char *key, int tag,
                               struct gw_error *e) MUSTCHECK;
/* The port of the n-th listener (for :0 in tests). */
int http_server_port(const struct http_server *s, size_t n);
/* Stop accepting; close idle connections; the rest close after their reply. */
void http_server_drain(struct http_server *s);
/* Connections that are still there. */
size_t http_server_connections(const struct http_server *s);
/* Closes everything at once. Requests get closed() first. */
void http_server_close(struct http_server *s);

/* --- a request --- */
enum server_close {
    SERVER_REPLIED,     /* the whole reply is written to the socket */
    SERVER_CLIENT_GONE, /* the client hung up, or its deadline passed */
    SERVER_ABORTED,     /* by us: the reply could not be completed */
    SERVER_TOO_LONG,    /* by us: it had more than server_req_bound_reply() */
};

struct server_req_ops {
    /* Optional: server_req_read() would return something now (asked for by
     * server_req_want()). */
    void (*readable)(void *arg);
    /* The request is over; req must not be used after this. Called exactly
     * once, never from inside a server_req_ call. */
    void (*closed)(void *arg, enum server_close why);
};
void server_req_set_ops(struct server_req *r, const struct server_req_ops *ops,
                        void *arg);

const struct http_head *server_req_head(const struct server_req *r);
int server_req_listener(const struct server_req *r);
/* "127.0.0.1:5000" or "unix". */
const char *server_req_peer(const struct server_req *r);
/* When the head was complete, loop clock. */
int64_t server_req_start_us(const struct server_req *r);

/* Read body bytes. > 0: so many. 0: the body has ended. -1: nothing now (call
 * server_req_want() to be told). -2: failed; *e says why (REQUEST_TIMEOUT, BAD_
 * REQUEST for broken chunks, CLIENT_GONE). */
ssize_t server_req_read(struct server_req *r, char *buf, size_t cap,
                        struct gw_error *e);
/* Call readable() when there is something; sends 100 Continue if the client
 * waits for it. Lasts until readable() is called once. */
void server_req_want(struct server_req *r);
/* Body bytes read so far, framing not counted. */
uint64_t server_req_body_bytes(const struct server_req *r);

/* Reply with a body in memory. fields do not hold Content-Length, Connection,
 * Date or Transfer-Encoding: those are ours. HEAD gets the head alone. When
 * the request's body is not read to its end, what is short is dropped, else
 * the connection lingers and closes. */
void server_req_reply(struct server_req *r, int status,
                      const struct http_fields *fields, struct str body);
/* Reply with the pipe's bytes; length -1 is chunked (or until close, to
 * HTTP/1.0). The server is the pipe's reader from now on, holds it back to the
 * client's pace, and cancels it when the client goes. The pipe must live until
 * closed(). A pipe that fails, or ends short of the length, breaks the
 * connection off so that the client notices. */
void server_req_reply_pipe(struct server_req *r, int status,
                           const struct http_fields *fields, int64_t length,
                           struct pipe *body);
/* Before server_req_reply_pipe(): a body of unknown length that has more than
 * most bytes is broken off before they are passed. */
void server_req_bound_reply(struct server_req *r, uint64_t most);
bool server_req_has_replied(const struct server_req *r);
/* Bytes of reply body handed to the socket so far. */
uint64_t server_req_reply_bytes(const struct server_req *r);
/* Break the connection off. closed(SERVER_ABORTED) follows. */
void server_req_abort(struct server_req *r);

#endif
