/* provider.h -- what a provider must be able to say; it never does any I/O.
 *
 * A provider is a translator. Asked for the next exchange of an operation, it
 * fills in a request (HTTP, or one on local files); shown the response, it
 * reads what it needs out of it. Sockets, retries, timeouts and streaming are
 * the business of flow/upstream. Everything handed to a provider is borrowed
 * for the length of the call; what it must keep goes into op->state (zeroed,
 * freed with the operation) or op->arena. Pure: no I/O, no log, no clock, no
 * global.
 *
 * Most uploads are one exchange with the stream in it. A provider that takes a
 * file piece by piece (S3's parts, Google's resumable sessions) asks for each
 * piece with PROV_READ, sends it from memory, and may send it again.
 */
#ifndef FILEMUX_PROVIDERS_PROVIDER_H
#define FILEMUX_PROVIDERS_PROVIDER_H

#include "gateway/base/conf.h"
#include "gateway/codec/batch_obj.h"
#include "gateway/codec/file_msg.h"
#include "gateway/codec/file_obj.h"
#include "gateway/codec/http_msg.h"

enum prov_opcode {
    PROV_CREATE,
    PROV_GET,
    PROV_LIST,
    PROV_DELETE,
    PROV_CONTENT,
    PROV_GRANT, /* gets temporary credentials: op->grant. flow/grants asks for
                   it, before the other operations */
    PROV_BATCH_CREATE,
    PROV_BATCH_GET,
    PROV_BATCH_CANCEL,
    PROV_UPLOAD_CREATE, /* OpenAI's Uploads API: a file in parts */
    PROV_UPLOAD_PART,
    PROV_UPLOAD_COMPLETE, /* makes a file, as PROV_CREATE does */
    PROV_UPLOAD_CANCEL,
    PROV_FORWARD, /* a call of the API that is only passed on: op->forward */
    PROV_OPCODES  /* at most 20: prov_cap has other bits behind them */
};

/* What a provider can do (a bit for each operation), and how (PROV_FORM and
 * those behind it). */
enum prov_cap {
    PROV_CAN_CREATE = 1 << PROV_CREATE,
    PROV_CAN_GET = 1 << PROV_GET,
    PROV_CAN_LIST = 1 << PROV_LIST,
    PROV_CAN_DELETE = 1 << PROV_DELETE,
    PROV_CAN_CONTENT = 1 << PROV_CONTENT,
    PROV_CAN_ALL = (1 << PROV_GRANT) - 1, /* what clients ask for */
    /* The instance's credentials are temporary: every other operation is given
     * what PROV_GRANT got, as op->grant. */
    PROV_CAN_GRANT = 1 << PROV_GRANT,
    /* It runs batches over its files. */
    PROV_CAN_BATCH =
        1 << PROV_BATCH_CREATE | 1 << PROV_BATCH_GET | 1 << PROV_BATCH_CANCEL,
    /* It takes files in parts, each of which it names. */
    PROV_CAN_UPLOADS = 1 << PROV_UPLOAD_CREATE | 1 << PROV_UPLOAD_PART |
                       1 << PROV_UPLOAD_COMPLETE | 1 << PROV_UPLOAD_CANCEL,
    /* It takes calls of OpenAI's API as they are. */
    PROV_CAN_FORWARD = 1 << PROV_FORWARD,
    /* The upload is a form: the client's own framing of the file and of what
     * follows it may be relayed as it came, under the client's boundary. */
    PROV_FORM = 1 << 20,
    /* The upload's exact length must be known before it starts. */
    PROV_NEEDS_LENGTH = 1 << 21,
    /* All form fields must be known before the upload starts. */
    PROV_NEEDS_FIELDS = 1 << 22,
    /* create stores under op->object_name, so the upstream id is known before
     * the first byte is sent. */
    PROV_NAMES_OBJECT = 1 << 23,
    /* content honours a byte range. */
    PROV_HAS_RANGE = 1 << 24,
    /* A file's status can still change after create. */
    PROV_HAS_STATUS = 1 << 25,
    /* PROV_FORM: the fields behind the file are framed anew, for a part may
     * have no other headers than those that name it. */
    PROV_STRICT_FORM = 1 << 26,
    /* PROV_FORM: an expires_after behind the file is kept from the provider,
     * which does not take every one; filemux ends the file. */
    PROV_NO_LATE_EXPIRY = 1 << 27,
    /* The lines of a batch file are OpenAI's requests: they may be checked, and
     * their models renamed. */
    PROV_OPENAI_BATCH = 1 << 28,
    /* A new batch has one model, which must be told: op->batch_model. */
    PROV_BATCH_MODEL = 1 << 29,
    /* It keeps whatever bytes come under op->object_name, and hands the same
     * out: parts of files may be held there. */
    PROV_HOLDS_PARTS = 1 << 30,
};

struct provider_type;

/* When its circuit breaker opens (flow/breaker). */
struct provider_breaker {
    int64_t failures;  /* in a row; 0: they do not open it */
    const char *rate;  /* of failures, as written: "50%" */
    int64_t percent;   /* which that is; 0: the rate does not open it */
    int64_t calls;     /* of fewer in the window there is no rate */
    int64_t window_ms; /* over which the rate is taken */
    int64_t open_ms;
};

/* One entry of `providers:`. Immutable after load, part of a snapshot. */
struct provider_conf {
    const char *name; /* the map's key */
    const struct provider_type *type;
    const char *type_name;
    const char *ns; /* the namespace in ids: never "" after the check */
    char derived_ns[LIMIT_NAMESPACE_BYTES + 1]; /* where ns may point */
    const char *base_url;
    int64_t timeout_ms; /* no progress for so long ends an exchange */
    int64_t connect_timeout_ms;
    struct conf_pairs headers; /* added to every request */
    int64_t max_file_bytes;    /* 0: the global limit alone */
    const char *ca_file;
    const char *proxy;
    int64_t default_expiry_ms; /* 0: none */
    struct provider_breaker breaker;
    void *own;                 /* the type's section (type->section) */
    struct grant_slot *grants; /* flow/grants' own; not for providers */
};

/* The configuration section of an entry of `providers:`; its selector "type"
 * adds the type's own keys. For routing_conf.h and config.h's tables. */
extern const struct conf_section provider_conf_section;

/* Temporary credentials. What is not used is "". */
struct prov_grant {
    struct str token;          /* a bearer token, or AWS's session token */
    struct str key_id, secret; /* AWS's access key */
    int64_t expires_s;         /* wall clock; 0: they last */
};

/* What create knows of the file. */
struct prov_upload {
    struct str filename;
    struct str content_type; /* of the file part; may be empty */
    struct str purpose;      /* empty: follows in the stream */
    int64_t expires_after_s; /* 0: none, or it follows in the stream */
    /* PROV_FORM: a boundary to use. When tail_in_stream is set, the stream
     * carries the file's bytes and everything up to the closing delimiter of
     * that boundary; otherwise the file's bytes only. */
    struct str boundary;
    bool tail_in_stream;
    int64_t stream_len; /* exact, or -1 */
    int64_t lines;      /* of the file; -1: not counted, as it streams */
};

/* What forward passes on. The answer of a 2xx goes to the sink as it is, an
 * error is read as those of other operations. */
struct prov_forward {
    const char *method;
    struct str path;         /* below the API's base, encoded, without a slash
                                before it: "chat/completions" */
    struct str query;        /* encoded, without the "?"; "" none */
    struct str content_type; /* of the body; "" none */
    struct str accept;       /* "" none */
    struct str beta;         /* OpenAI-Beta; "" none */
    struct str body;         /* STR_NULL: there is none, or it is the stream */
    bool has_stream;         /* the body is the stream, */
    int64_t stream_len;      /* exactly so long; -1: unknown */
    struct str model;        /* as the provider calls it; "" unknown */
    bool is_once;            /* sent twice, it would do twice what lasts */
};

/* A name of the provider's and what is shown in its place. */
struct prov_name {
    struct str theirs, ours;
};

/* One operation, from its first exchange to its last. The caller fills the
 * first half; the provider the second. */
struct prov_op {
    enum prov_opcode code;
    const struct provider_conf *conf;
    struct arena *arena;
    void *state;               /* conf->type->state_size zeroed bytes */
    int64_t now_s;             /* wall clock, at every next() and reply() */
    struct prov_grant grant;   /* PROV_CAN_GRANT: to be used; or made */
    struct str upstream_id;    /* get, delete, content; a batch's; an upload's;
                                  for a new batch that of the file that it
                                  reads */
    struct str shown_id;       /* stands for upstream_id in messages: our id;
                                  "" when there is none */
    struct str object_name;    /* create, batch_create: the ULID of our id */
    struct prov_upload upload; /* create; upload_create (stream_len: of the
                                  whole), upload_part */
    struct str piece;          /* what PROV_READ read; until the next one */
    bool is_last_piece;        /* the stream ends with it */
    int64_t range_first;       /* content: -1 none */
    int64_t range_last;        /* content: inclusive, -1 to the end */
    struct str if_none_match;  /* unused by most; "" */
    /* batch_create: what the client asks for, an object; of its input_file_id
     * upstream_id takes the place. Later: the members of the batch as it was
     * last seen (batch_obj.h), the client's own among them. */
    const struct json *batch_request;
    struct str batch_model; /* batch_create: as the provider calls it; "" is
                               not known */
    /* upload_complete: the provider's ids in the order of the file, and the
     * MD5 of the whole in hex, or "". */
    const struct str *part_ids;
    size_t nparts;
    struct str md5;
    struct str list_cursor;        /* list: "" is the first page */
    struct prov_forward forward;   /* forward */
    const struct prov_name *names; /* in messages, beside upstream_id */
    size_t nnames;

    struct file_obj file;  /* create, upload_complete, get: the provider's
                              object, id is the provider's */
    struct file_obj *list; /* list: one page */
    size_t nlist;
    struct str next_cursor;  /* list: "" when it was the last page */
    struct str content_type; /* content: what the provider said */
    struct batch_obj batch;  /* batch_…: ids are the provider's */
    struct str made_id;      /* upload_create, upload_part: the provider's */
};

enum prov_step {
    PROV_SEND_HTTP, /* *x->http is described: perform it */
    PROV_SEND_FILE, /* *x->file is described */
    PROV_READ,      /* x->want bytes of the stream into op->piece, or all that
                       are left; then next() again, without a reply() */
    PROV_WAIT,      /* x->wait_ms, then next() again */
    PROV_RENEW,     /* op->grant was refused: another one into it, then next()
                       again. For uploads that hold a piece: others end with
                       UPSTREAM_AUTH and are begun anew */
    PROV_DONE,      /* the operation is complete */
};

/* One exchange. What is filled is as prov_step says. */
struct prov_exchange {
    struct http_req http;
    bool is_told; /* http.url is what the last answer told: from a public
                     address not to one of a private network */
    struct file_req file;
    size_t want; /* 1 to LIMIT_PIECE_BYTES */
    int64_t wait_ms;
};

struct provider_type {
    const char *name;    /* as written in the configuration: "openai" */
    const char *systems; /* for the README's table: "OpenAI, Nebius, …" */
    unsigned caps;       /* or-ed prov_cap, at most */
    const struct conf_section *section; /* its own keys; its `check` runs at
                                           load */
    size_t state_size;
    /* Looks at an entry as a whole when it is loaded: fills defaults in that
     * depend on its own keys (base_url), and says what cannot work. Optional.
     * The entry's common keys are checked after it. */
    enum gw_err (*check)(struct provider_conf *c, struct gw_error *e);
    /* A batch runs one model, which its request names (op->batch_model), and
     * which the key must be allowed: what of a new one can be refused before
     * anything is sent. model "": none is named. Optional. */
    enum gw_err (*check_batch)(const struct provider_conf *c,
                               const struct json *request, struct str model,
                               struct gw_error *e);
    /* What a new batch asks that it has no place for, whatever its model is:
     * refused before anything is sent. Optional. */
    enum gw_err (*check_request)(const struct provider_conf *c,
                                 const struct json *request,
                                 struct gw_error *e);
    /* What this configured instance can do: a subset of caps. Optional: NULL
     * means all of caps. */
    unsigned (*caps_of)(const struct provider_conf *c);
    /* Describe the next exchange of *op in *x, or say that it is done. */
    enum prov_step (*next)(struct prov_op *op, struct prov_exchange *x);
    /* Read the response to the exchange last described (one of the two is not
     * NULL). An error ends the operation. */
    enum gw_err (*reply)(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file,
                         struct gw_error *e) MUSTCHECK;
    /* The HTTP exchange last described, which had no part of the stream but
     * op->piece, failed on the way: *e is UPSTREAM_UNREACHABLE, _BROKEN or
     * _TIMEOUT. True: next() describes how to go on. Optional; NULL or false:
     * the operation ends with the error. */
    bool (*broken)(struct prov_op *op, const struct gw_error *e);
    /* A create failed, or was given up, after its first exchange: describe one
     * request, without a stream, that takes back what it may have left behind.
     * False: there is nothing to take back. Optional. Of the answer no more is
     * looked at than its status, for the log. */
    bool (*undo)(struct prov_op *op, struct prov_exchange *x);
};

/* What the configured provider can do. */
static inline unsigned provider_caps(const struct provider_conf *c)
{
    return c->type->caps_of ? c->type->caps_of(c) : c->type->caps;
}

/* "create", "get", "list", "delete", "content", "grant", "batch_create",
 * "batch_get", "batch_cancel", "upload_create" and so on, "forward". */
const char *prov_opcode_name(enum prov_opcode code);

#endif
