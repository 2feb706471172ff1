/* http_server_impl.h -- what the parts of http_server.c share.
 *
 *     http_server.c       the server; evhtp: listeners, accepting, requests
 *     http_server_bind.c  an address becomes a listening socket
 *     http_server_conn.c  the connection: states, events, deadlines, the end
 *     http_server_head.c  a head becomes a request
 *     http_server_req.c   request objects, closed()
 *     http_server_body.c  the request's body
 *     http_server_reply.c the reply's head, replies from memory
 *     http_server_pipe.c  replies from a pipe
 *     http_server_io.c    bytes to and from the socket, the output queue
 *     http_server_tls.c   the same through TLS; the only file with openssl
 *
 * A connection (struct conn) owns the socket's two events, one timer, the
 * bytes that were read too early (rest) and the output queue, which is evhtp's
 * bufferevent's. A request (struct server_req) exists while one is under way
 * and for the end of the turn after it; its conn is NULL once the connection
 * is closed. Nothing here calls a handler's closed() but req_done().
 */
#ifndef FILEMUX_NET_HTTP_SERVER_IMPL_H
#define FILEMUX_NET_HTTP_SERVER_IMPL_H

#include <sys/socket.h>
#include <sys/uio.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "gateway/base/buf.h"
#include "gateway/base/bug.h"
#include "gateway/codec/chunked.h"
#include "gateway/net/http_server.h"

struct evbuffer;
struct evhtp_connection;
struct tls;         /* of a connection */
struct tls_context; /* of a listener */

/* "[v6 address]:port" with its NUL. */
#define PEER_SIZE 64

enum conn_state {
    CONN_HANDSHAKE, /* TLS */
    CONN_HEAD,      /* a head is awaited on a new connection, or has begun */
    CONN_IDLE,      /* kept alive, nothing of the next head is there */
    CONN_ACTIVE,    /* a request is under way */
    CONN_DROP,      /* answered; the rest of a short body is dropped */
    CONN_LINGER, /* answered; what comes is dropped until the client closes */
    CONN_CLOSED,
};

struct conn {
    struct http_server *server;
    struct conn *next, *prev;
    enum conn_state state;
    int fd, tag;
    struct evhtp_connection *evhtp; /* NULL: evhtp has freed it */
    struct tls *tls;                /* NULL: plain */
    /* Both events are edge-triggered: they tell of changes, and these flags
     * remember the state. */
    struct event read_event, write_event;
    struct loop_task read_task;
    bool is_readable; /* there may be something that no event will tell of */
    bool saw_hangup;  /* the client has closed, at least its half */
    bool saw_eof;     /* and all that it sent was read */
    bool is_blocked;  /* the socket took no more; an event will tell */
    bool is_shut;     /* our half is closed */
    struct evbuffer *out; /* queued output; evhtp's */
    struct loop_timer timer;
    struct server_req *req; /* CONN_ACTIVE alone */
    struct buf rest;        /* read, but not used yet */
    size_t looked;          /* bytes of rest that hold no end of a head */
    int64_t drop_left;      /* bytes that may still be dropped after a reply */
    char peer[PEER_SIZE];
};

/* The request's body as it is read. */
struct req_body {
    enum http_body_kind kind;
    int64_t left; /* HTTP_BODY_LENGTH */
    struct chunked chunked;
    uint64_t bytes; /* read so far, without framing */
    bool has_ended;
    bool is_wanted;    /* readable() is owed */
    bool is_continued; /* 100 Continue was sent */
    /* The rate is taken over windows of waiting time. */
    int64_t want_ms;   /* when the present wait began */
    int64_t waited_ms; /* in this window */
    int64_t window_bytes;
};

enum reply_framing { REPLY_LENGTH, REPLY_CHUNKED, REPLY_CLOSE };

struct req_reply {
    int status;       /* 0: none yet */
    bool keeps;       /* the connection, after it */
    bool is_complete; /* all is in the queue or beyond */
    bool is_flushed;  /* all is in the socket */
    enum reply_framing framing;
    struct pipe *pipe;
    bool is_bounded; /* a pipe may have `most` bytes */
    uint64_t most;
    int64_t left;      /* REPLY_LENGTH: bytes the pipe still owes */
    size_t chunk_left; /* REPLY_CHUNKED: of the announced chunk */
    size_t queued;     /* body bytes at the end of the output queue */
    uint64_t bytes;    /* of the body, in the socket */
};

struct server_req {
    struct server_req *next, *prev; /* those under way; next: those free */
    struct http_server *server;
    struct conn *conn; /* NULL once it is closed */
    const struct server_req_ops *ops;
    void *arg;
    int tag;
    int64_t start_us;
    enum server_close why;
    struct gw_error fail; /* of the body */
    struct req_body body;
    struct req_reply reply;
    struct loop_task done_task, readable_task, pump_task;
    char peer[PEER_SIZE];
    char *text; /* the head; its memory stays with the request */
    size_t text_cap;
    struct http_head head; /* large, and never cleared as a whole */
};

struct listener;

struct http_server {
    struct loop *loop;
    struct http_server_limits limits;
    struct http_server_ops ops;
    void *arg;
    struct metrics *metrics;
    struct metric_series *connections;

    struct listener **listeners;
    size_t nlisteners;
    struct loop_timer accept_timer; /* accepting goes on, or ends */

    struct conn *conns;
    size_t nconns;
    struct server_req *reqs; /* closed() is still to come */
    struct server_req *free_reqs;
    size_t nfree_reqs;
    bool is_draining;

    struct buf head;   /* of the reply that is being written */
    int64_t date_s;    /* for which date is */
    char date[40];     /* the Date field's line */
    char *scratch;     /* LIMIT_SERVER_SCRATCH: what is read lands here */
    char *tls_scratch; /* one TLS record, made on first use */
};

/* --- http_server.c: evhtp --- */

/* A checked head has come in: evhtp makes its request object. False: it would
 * not, and has freed its connection. */
bool server_begin_request(struct conn *c, const struct http_head *h);
/* The reply is out and the connection goes on: evhtp ends its request. */
void server_end_request(struct conn *c);
/* Closes the socket, frees the connection's memory. */
void server_free_conn(void *memory);

/* --- http_server_bind.c --- */

/* A listening socket, or -1 and *e. */
int bind_address(const char *address, struct gw_error *e) MUSTCHECK;
/* Port of a listening socket; 0 for unix. */
int bind_port(int fd);
/* "127.0.0.1:5000" or "unix". */
void bind_name(const struct sockaddr *a, char *out, size_t size);

/* --- http_server_conn.c --- */

struct conn *conn_open(struct http_server *s, int fd, struct evbuffer *out,
                       const struct sockaddr *peer, int tag,
                       struct tls *tls) MUSTCHECK;
/* Ends it; twice is fine. The request, if any, gets closed() with that reason
 * at the end of the turn, the memory goes after it. */
void conn_close(struct conn *c, enum server_close why);
/* Look at the socket at the end of the turn, if there is something. */
void conn_kick(struct conn *c);
/* An event shall tell when the socket takes bytes again. */
void conn_await_writable(struct conn *c);
/* The same after a turn, though the socket would take more now. */
void conn_yield(struct conn *c);
void conn_set_deadline(struct conn *c, int64_t in_ms);
void conn_clear_deadline(struct conn *c);
/* After a reply: drop what comes for a while, then close. */
void conn_linger(struct conn *c);
/* r's reply is out: the connection goes on, or ends. */
void conn_after_reply(struct conn *c, const struct server_req *r);
/* The kernel shall drop what it has at the close, and the client see a reset
 * instead of an end: it must not take a part for the whole. */
void conn_reset_at_close(struct conn *c);
/* The only place where a connection changes state. */
void conn_goto(struct conn *c, enum conn_state to);

/* --- http_server_head.c --- */

/* The socket has something, and a head is due. */
void head_read(struct conn *c);
/* Is there a head in rest? */
void head_look(struct conn *c);
/* Answer with the error, and linger. */
void head_refuse(struct conn *c, const struct gw_error *e);

/* --- http_server_req.c --- */

struct server_req *req_new(struct conn *c) MUSTCHECK;
/* Copies the head's text into it. */
void req_set_text(struct server_req *r, struct str text);
/* Keeps it for reuse. */
void req_recycle(struct server_req *r);
void req_free(struct server_req *r);
/* The reply is in the socket: closed() at the end of the turn, then the
 * connection goes on. */
void req_finish(struct server_req *r);
/* The connection is being closed: closed() at the end of the turn. */
void req_end(struct server_req *r, enum server_close why);
/* The server is being closed: closed() now. */
void req_close_now(struct server_req *r);

/* --- http_server_body.c --- */

void body_begin(struct server_req *r);
/* Bytes can be read, or the connection ended, while it is wanted. */
void body_readable(struct server_req *r);
/* The wait for body bytes has lasted long enough to look at it. */
void body_deadline(struct server_req *r);
/* Nobody wants the body any more. */
void body_unwant(struct server_req *r);
/* Read and drop what is there, about max bytes. May close the connection. */
void body_drop(struct server_req *r, size_t max);
/* The client sends the body only after a 100 Continue, which it did not get. */
bool body_is_withheld(const struct server_req *r);

/* --- http_server_reply.c --- */

struct reply_head {
    int status;
    const struct http_fields *fields; /* may be NULL */
    enum reply_framing framing;
    int64_t length; /* -1: unknown */
    int minor;      /* of the client's HTTP/1.minor */
    bool keeps;
};

/* Writes the head to s->head. */
struct str reply_write_head(struct http_server *s, const struct reply_head *h);
bool reply_has_body(const struct server_req *r, int status);
/* The handler replies: nobody wants the body any more. False: there is nobody
 * to reply to. */
bool reply_begin(struct server_req *r, int status);
/* Something was written: go on, finish, or wait for the client. */
void reply_progress(struct server_req *r);
/* The socket takes bytes again. */
void reply_writable(struct server_req *r);
/* The answer to a head that is refused; the connection lingers after it. */
void reply_refuse(struct conn *c, const struct gw_error *e);

/* --- http_server_pipe.c --- */

void reply_pump(struct server_req *r);
/* Lets the pipe go; cancels it while it is open. */
void reply_drop_pipe(struct server_req *r);

/* --- http_server_io.c --- */

/* For sendmsg(), which only reads. */
static inline struct iovec io_piece(const void *p, size_t n)
{
    return (struct iovec){(void *)(uintptr_t)p, n};
}

/* > 0: so many bytes; 0: the end, or broken; -1: none now. */
ssize_t conn_recv(struct conn *c, char *buf, size_t cap);
/* Write the queue, then v. How many bytes of v were taken; -1: the client is
 * gone. What is not taken stays with the caller, and is_blocked is set. */
ssize_t conn_write(struct conn *c, const struct iovec *v, int n);
/* Put bytes at the end of the queue. */
void conn_queue(struct conn *c, const char *p, size_t n);
/* Nothing is queued. */
bool conn_is_flushed(const struct conn *c);
size_t conn_queued(const struct conn *c);
/* Close our half. */
void conn_shut(struct conn *c);

/* --- http_server_tls.c --- */

struct tls_context *tls_context_new(const char *cert, const char *key,
                                    struct gw_error *e) MUSTCHECK;
void tls_context_free(struct tls_context *t);
struct tls *tls_new(struct tls_context *t, int fd) MUSTCHECK;
void tls_free(struct tls *t);
enum tls_step { TLS_DONE, TLS_WANTS_READ, TLS_WANTS_WRITE, TLS_FAILED };
enum tls_step tls_handshake(struct tls *t);
/* As conn_recv(). */
ssize_t tls_recv(struct tls *t, char *buf, size_t cap);
/* As sendmsg(); record is LIMIT_TLS_RECORD bytes of scratch. */
ssize_t tls_send(struct tls *t, const struct iovec *v, int n, char *record);
/* Nothing more can be read, ever. */
bool tls_has_ended(const struct tls *t);
/* No record was taken that is not in the socket yet. */
bool tls_is_flushed(const struct tls *t);
void tls_shut(struct tls *t);

#endif
