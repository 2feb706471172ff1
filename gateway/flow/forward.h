/* forward.h -- a call of the API that is passed on to a provider.
 *
 *     body ─► the ids in it ─► whose they are ─► the provider ─► the call
 *                                                                  │
 *     client ◄─ with our ids ◄─ the ids in it ◄─ answer, event by event
 *
 * Where an id may stand is codec/id_rewrite's table. Ids of files are ours
 * toward clients and the provider's toward it; those of other things that a
 * provider keeps (responses) are the same on both sides, and noted with their
 * owner before anybody is shown them. In a request each must be the caller's;
 * together they say which provider it is, else routing/router does.
 *
 * The request's body is held whole, and may go to the next candidate of a pool
 * until an answer's head has come. Answers of calls that have no ids in them
 * stream as they are; others are collected (JSON) or looked into event by event
 * (text/event-stream). A file that an answer names for the first time is made
 * the caller's (found_file.h).
 *
 * Lives in its transaction's arena; all on the worker's loop. A client who
 * hangs up ends it, but for a file that is just being taken over.
 */
#ifndef FILEMUX_FLOW_FORWARD_H
#define FILEMUX_FLOW_FORWARD_H

#include "gateway/codec/id_rewrite.h"
#include "gateway/codec/sse.h"
#include "gateway/flow/found_file.h"
#include "gateway/flow/held.h"
#include "gateway/flow/kept.h"
#include "gateway/flow/route_ask.h"
#include "gateway/store/object_store.h"

/* What is known of a call ahead: a row of a table, constant. */
struct forward_call {
    const char *method, *path; /* as id_places.def has them */
    const char *kind;          /* of the object that {id} names; NULL: there is
                                  no {id} */
    const char *makes; /* kind of the object that it answers; NULL: of none */
    const char *keeps; /* kind (kept.h) of the object that it makes: recorded
                          for its owner, to be listed; NULL: of none */
    bool shows;        /* it answers the object {id}, as that is now */
    bool ends;         /* after a 2xx the object {id} is no more */
    bool sub_is_file;  /* the second {id} is a file's */
    bool pages_files;  /* the query's `after` and `before` are files' */
    bool has_source;   /* its `data_source` may be more than the caller's own */
    bool has_json;     /* the request has a body, in JSON */
    bool has_form;     /* or a form */
    bool is_once;      /* never tried twice: what it makes lasts */
};

enum forward_ref_kind { FORWARD_FILE, FORWARD_OBJECT };

/* What the request names. */
struct forward_ref {
    struct forward *f;
    enum forward_ref_kind kind;
    struct str id;    /* as the client says it */
    struct str param; /* where */
    bool is_in_query;
    /* Found: */
    const struct file_record *file; /* which may be at several providers */
    struct str theirs;              /* what the provider calls it */
    const char *provider;           /* NULL: it is not the caller's */
    struct redis_call *call;
};

/* A file's two names. */
struct forward_name {
    struct forward_name *next;
    struct str theirs, ours;
};

struct forward {
    /* The caller's. */
    struct txn *t;
    const struct forward_call *call;
    struct held_buf text; /* the body: forward_init() has made it */
    /* --- private --- */
    struct id_found asked; /* the ids in it */
    struct forward_ref *refs;
    size_t nrefs, nlooked, nwaiting; /* asked for up to nlooked */
    size_t nahead; /* of the path, the query and a form; then the text's */
    struct gw_error error; /* of the look-ups: the first */
    struct route_ask ask;
    struct route_decision route;
    size_t candidate;
    const struct provider_conf *provider;
    struct prov_forward fixed; /* what is the same for all candidates */
    struct held_buf sent;      /* the body, rewritten */

    struct form_edit_field *form_fields; /* before its file */
    size_t nform_fields;
    struct str form_model;
    bool is_form_filled;

    /* Kept objects (forward_kept.c): that of {id}, or the one that is made. */
    struct kept_record kept;
    bool is_making;        /* from the journal's entry on: holds t */
    struct str kept_entry; /* its id in the journal */
    struct lease_entry *kept_lease;
    struct redis_call *kept_call;
    struct loop_timer kept_retry;
    int64_t kept_retry_until_ms;

    struct pipe *in; /* the provider's answer */
    int status;
    struct str content_type;
    struct http_fields fields; /* of the reply's head */
    const struct id_places *places;
    bool is_collected;
    struct held_buf got, shown; /* a collected answer */
    struct sse sse;
    struct forward_event *first, *last; /* that wait for what is in them */
    struct arena *row;                  /* all of these */
    int64_t event_bytes;                /* taken of sv->held for events */
    struct loop_task turn;
    bool holds_events; /* the client does not read */
    bool is_at_end;    /* the stream of events has ended */

    /* The ids of an answer (forward_ids.c). */
    struct forward_name *names;
    size_t nnames;
    struct str noted; /* the object that was noted last */
    struct id_found *look;
    void (*looked)(struct forward *f, const struct gw_error *e);
    struct found_file *found; /* under way: holds the transaction */
    struct redis_call *note;
    bool has_head, is_over;
};

/* A forward for the transaction, with an empty body; call is constant. */
struct forward *forward_new(struct txn *t,
                            const struct forward_call *call) MUSTCHECK;
/* The body is in: do the rest. Failures are answered. */
void forward_start(struct forward *f);
/* The body is a form: read and do the rest. */
void forward_start_form(struct forward *f);
/* Answer with the error; the one way out of every failure. */
void forward_fail(struct forward *f, const struct gw_error *e);

#endif
