/* txn.h -- a transaction: one client request, from its head to its log line.
 *
 * Born in api/routes when a head is in. It holds the arena, the settings of
 * its time, the key, and whatever it waits for. It is answered once: by
 * txn_reply…() or txn_fail(). When the connection is through with it (closed())
 * the access line is written and it is freed, unless a handler keeps it with
 * txn_hold() to finish what must not be left half done (a record to write).
 *
 * States are txn_states.def; txn_goto() is the only setter. All on the
 * worker's loop.
 */
#ifndef FILEMUX_FLOW_TXN_H
#define FILEMUX_FLOW_TXN_H

#include "gateway/base/log.h"
#include "gateway/flow/charge.h"
#include "gateway/flow/form.h"
#include "gateway/flow/form_pass.h"
#include "gateway/flow/removal.h"
#include "gateway/flow/services.h"
#include "gateway/flow/upstream.h"
#include "gateway/store/file_store.h"

enum txn_state {
#define TXN_STATE(name, next, waits) TXN_##name,
#include "gateway/flow/txn_states.def"
#undef TXN_STATE
    TXN_STATES
};

#define TXN_ID_SIZE 32
#define TXN_PARAMS 3 /* the most {id} that a path has */

struct route;      /* api/routes.h */
struct store_file; /* store_file.h */

struct txn {
    struct services *sv;
    struct settings *conf; /* held */
    struct arena *arena;
    struct server_req *req; /* NULL once the connection is through with it */
    const struct http_head *head; /* valid while req is */
    char id[TXN_ID_SIZE];         /* x-request-id */
    enum txn_state state;
    unsigned holds;
    struct txn *prev, *next; /* services.transactions */
    int64_t begun_us;

    const struct route *route;
    const char *route_name; /* for log and metrics */
    const char *method;
    struct str param; /* {id} of the path, decoded; STR_NULL none */
    struct str params[TXN_PARAMS]; /* all of them, in order */
    struct str path_provider;      /* /<provider>/v1/…; STR_NULL none */
    bool is_data_plane;            /* the path is one of the API's */

    struct vkey_ref *key; /* held; NULL before and without authentication */
    bool is_master;
    const struct vkey *vkey;        /* &key->key, or the master's */
    struct team_ref *team;          /* held; NULL: none */
    const struct vteam *vteam;      /* &team->team, or NULL */
    struct quota_who who;           /* whom it is charged to */
    struct key_admission admission; /* for the x-ratelimit fields */
    bool has_down_hold;             /* of what it downloads: its id's */
    struct lease_entry *down_lease;
    const struct file_record *record; /* of {id}: the caller's own file */

    /* What it waits for: cancelled by txn_stop_waiting(). */
    struct redis_call *store_call;
    struct key_store_call *key_call;
    struct upstream *up;
    struct removal *removal;
    struct form *form;
    struct form_pass *relay;
    struct store_file *storing; /* under way: its own hold */
    struct pipe *pipe; /* of the reply's body; freed with the transaction */

    /* The process cannot wait any longer (txn_break_off_all): drop the holds
     * that the handler took. */
    void (*on_break)(struct txn *t);
    /* The client has gone before the answer was out. */
    void (*on_gone)(struct txn *t);
    void (*on_readable)(struct txn *t);
    void *data; /* the handler's own, in the arena */

    /* For the access line. */
    int status;
    struct gw_error error;
    const char *provider;
    struct str model;  /* that was asked for */
    int64_t ttfb_us;   /* to the head of the provider's answer; 0: none came */
    bool is_passed_on; /* what is answered is no file */
    char reason[96];
    struct str file_id;
    struct upstream_trace trace; /* the client's, if it is well-formed */
    struct str trace_id;
    int64_t bytes_stored; /* of the file that it made */
};

/* A transaction for the request: takes it over. */
struct txn *txn_new(struct services *sv, struct server_req *req);

void txn_goto(struct txn *t, enum txn_state to);

/* Keep it beyond the connection; every hold is dropped once. */
void txn_hold(struct txn *t);
void txn_drop(struct txn *t);

/* End those that are still there after their connections were closed, at the
 * end of a drain that took too long. */
void txn_break_off_all(struct services *sv);

/* Cancel whatever is waited for. Twice is fine. */
void txn_stop_waiting(struct txn *t);

/* The reply's common header fields (content type, x-request-id). */
void txn_fields(struct txn *t, struct http_fields *f, struct str content_type);

/* Answer with a JSON text. No-ops once the client has gone. */
void txn_reply_json(struct txn *t, int status, struct str json);
void txn_reply(struct txn *t, int status, struct http_fields *f,
               struct str body);
/* Before txn_reply_pipe(): break the reply off before more bytes go. -1: they
 * may be any number. */
void txn_bound_reply(struct txn *t, int64_t most);
/* Answer with the pipe's bytes. */
void txn_reply_pipe(struct txn *t, int status, struct http_fields *f,
                    int64_t length, struct pipe *body);
/* Stop waiting and answer with the error's envelope; once the reply has begun,
 * break it off. The one way out of every failure; may be called twice (a
 * deadline and its consequence), the first one wins. */
void txn_fail(struct txn *t, const struct gw_error *e);
/* The same with more fields in the reply's head: Allow, Content-Range. */
void txn_fail_with(struct txn *t, const struct gw_error *e,
                   struct http_fields *f);
/* The same with err_set()'s text made of the table. */
void txn_fail_plain(struct txn *t, enum gw_err err);

/* {"error":{…}} of a failure. */
void txn_envelope(struct buf *out, const struct gw_error *e);

/* A request's field, or STR_NULL; copies are in the arena. */
struct str txn_header(struct txn *t, struct str name);
struct str txn_query(struct txn *t, struct str name);

#endif
