/* client_call.h -- what http_client.c (curl) and client_call.c share.
 *
 * client_call.c is a call's life: its pipes, the gather buffer, its deadline,
 * its end. http_client.c is the transport: curl, its sockets and its timer.
 * What comes from outside while curl is on the stack only sets a flag and
 * queues the call's task: curl is never entered again from its own callbacks.
 */
#ifndef FILEMUX_NET_CLIENT_CALL_H
#define FILEMUX_NET_CLIENT_CALL_H

#include "gateway/net/client_body.h"
#include "gateway/net/client_reply.h"
#include "gateway/net/http_client.h"

#define CLIENT_EASY_POOL 64 /* idle curl handles kept */

/* Slices of 16 KiB are what curl hands out, whatever its buffer; gathering
 * them saves most of the writes. One buffer per client: it belongs to one call
 * at a time and stays hot in the processor's cache. Slices of one read of curl
 * lie side by side in its buffer and are not even copied (`lent`), where it is
 * known that more of them follow: see has_more() in http_client.c. */
struct client_gather {
    char *buf;        /* LIMIT_GATHER_BYTES; made on first use */
    const char *lent; /* instead of buf: curl's memory */
    size_t n;
    struct client_call *call; /* whose bytes these are */
};

struct http_client {
    struct loop *loop;
    void *multi, *share; /* curl's; the latter keeps TLS sessions */
    struct loop_timer timer;
    struct client_gather gather;
    void *idle[CLIENT_EASY_POOL];
    size_t nidle;
    size_t ncalls;
    struct client_call *closing; /* its socket is being closed */
    unsigned in_curl;            /* curl is on the stack */
    bool may_lend; /* this libcurl keeps its buffer between slices */
};

enum client_call_state {
    CALL_NEW,     /* waits for its first turn */
    CALL_RUNNING, /* curl has it */
    CALL_OVER,    /* ended or aborted; freed at the end of the turn */
};

/* What curl is to do after a callback. */
enum client_flow { CLIENT_GO, CLIENT_WAIT, CLIENT_STOP };

/* Directions in which a socket is ready or may be tried; curl's values. */
enum client_ready { CLIENT_IN = 1, CLIENT_OUT = 2 };

struct client_call {
    struct http_client *client;
    enum client_call_state state;
    void *easy, *fields; /* curl's; NULL: curl does not have the call */
    int fd;              /* the connection's socket, or -1 */
    const struct http_req *req;
    struct client_call_options o;
    const struct client_call_ops *ops;
    void *arg;

    struct client_body body;
    struct client_reply reply;
    struct buf last; /* read of the socket as it was closed: client_last.h */
    struct gw_error error; /* the first failure */
    struct loop_task task;

    struct loop_timer deadline;
    int64_t progress; /* http_client_progress() when last looked at */
    int64_t since_ms; /* since when it has been that */

    int64_t received;           /* bytes of the answer's body */
    size_t moved_out, moved_in; /* bytes in this round */
    size_t turn_in;             /* and received in all its rounds */
    bool began;                 /* the request was begun to be sent */
    bool is_tls, has_body;      /* of the request */
    bool is_again;              /* this is our own second try */
    bool head_pending;          /* head() is owed */
    bool is_sinking;            /* the answer's body goes to the sink */
    bool is_cut;                /* the rest of the answer is not wanted */
    bool source_waits;          /* curl was told to wait for the source, */
    bool source_ready;          /* which has something */
    bool sink_holds;            /* the sink is full, */
    bool receive_waits;         /* and curl was told to wait */
    bool is_hold_new;           /* just now */
    bool yields;                /* because it has had its share of this turn */
    bool has_looked;            /* for an early answer, since that pause */
};

/* --- client_call.c --- */

struct client_call *client_call_new(struct http_client *c,
                                    const struct http_req *req,
                                    const struct client_call_options *o,
                                    const struct client_call_ops *ops,
                                    void *arg) MUSTCHECK;
/* Have the call's task run: something happened. */
void client_call_wake(struct client_call *k);
/* The same with a failure; the first one counts. */
void client_call_fail(struct client_call *k, const struct gw_error *e);
/* Of curl's callbacks: the request is about to be sent; */
void client_call_begin(struct client_call *k);
/* up to cap bytes of its body are wanted (GO and no bytes: that was all); */
enum client_flow client_call_give(struct client_call *k, char *buf, size_t cap,
                                  size_t *n);
/* a line of the answer's head came, with its line end; */
enum client_flow client_call_head_line(struct client_call *k, struct str line);
/* bytes of its body came. has_more: the ones that follow them in memory come
 * next, in this same act of curl, and until then these stay where they are. */
enum client_flow client_call_take(struct client_call *k, const char *p,
                                  size_t n, bool has_more);
void client_call_count_out(const struct client_call *k, size_t n);
/* Curl has returned: its memory may be gone. */
void client_call_forget_lent(struct http_client *c);
/* Send what is gathered on its way. */
void client_call_flush(struct http_client *c);
/* Tell that it is over; k->error says how it went. Not inside curl. */
void client_call_finish(struct client_call *k);

/* --- http_client.c --- */

/* Hand the call to curl; take it back. Not inside curl. */
void http_client_launch(struct client_call *k);
void http_client_drop(struct client_call *k);
/* Tell curl what source_waits and receive_waits say. */
void http_client_pause(struct client_call *k);
/* Have curl act on the call's socket. */
void http_client_drive(struct client_call *k, int fd, int ready);
/* The same for a socket that belongs to no call. */
void http_client_act(struct http_client *c, int fd, int ready);
/* A number that changes whenever the provider takes or gives a byte. */
int64_t http_client_progress(const struct client_call *k);

#endif
