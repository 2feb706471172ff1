/* provider.h -- what a provider must be able to say; it never does any I/O.
 *
 * A provider is a translator. Asked for the next exchange of an operation, it
 * fills in a request (HTTP, or one on local files); shown the response, it
 * reads what it needs out of it. Sockets, retries, timeouts and streaming are
 * the business of flow/upstream. Everything handed to a provider is borrowed
 * for the length of the call; what it must keep goes into op->state (zeroed,
 * freed with the operation) or op->arena. Pure: no I/O, no log, no clock, no
 * global.
 */
#ifndef FILEMUX_PROVIDERS_PROVIDER_H
#define FILEMUX_PROVIDERS_PROVIDER_H

#include "gateway/base/conf.h"
#include "gateway/codec/file_msg.h"
#include "gateway/codec/file_obj.h"
#include "gateway/codec/http_msg.h"

enum prov_opcode {
    PROV_CREATE,
    PROV_GET,
    PROV_LIST,
    PROV_DELETE,
    PROV_CONTENT,
    PROV_OPCODES
};

/* What a provider can do, and how. */
enum prov_cap {
    PROV_CAN_CREATE = 1 << PROV_CREATE,
    PROV_CAN_GET = 1 << PROV_GET,
    PROV_CAN_LIST = 1 << PROV_LIST,
    PROV_CAN_DELETE = 1 << PROV_DELETE,
    PROV_CAN_CONTENT = 1 << PROV_CONTENT,
    PROV_CAN_ALL = (1 << PROV_OPCODES) - 1,
    /* The upload is a form: the client's own framing of the file and of what
     * follows it may be relayed as it came, under the client's boundary. */
    PROV_FORM = 1 << 8,
    /* The upload's exact length must be known before it starts. */
    PROV_NEEDS_LENGTH = 1 << 9,
    /* All form fields must be known before the upload starts. */
    PROV_NEEDS_FIELDS = 1 << 10,
    /* create stores under op->object_name, so the upstream id is known before
     * the first byte is sent. */
    PROV_NAMES_OBJECT = 1 << 11,
    /* content honours a byte range. */
    PROV_HAS_RANGE = 1 << 12,
    /* A file's status can still change after create. */
    PROV_HAS_STATUS = 1 << 13,
    /* PROV_FORM: the fields behind the file are framed anew, for a part may
     * have no other headers than those that name it. */
    PROV_STRICT_FORM = 1 << 14,
    /* PROV_FORM: an expires_after behind the file is kept from the provider,
     * which does not take every one; filemux ends the file. */
    PROV_NO_LATE_EXPIRY = 1 << 15,
};

struct provider_type;

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
    void *own;                 /* the type's section (type->section) */
};

/* The configuration section of an entry of `providers:`; its selector "type"
 * adds the type's own keys. For routing_conf.h and config.h's tables. */
extern const struct conf_section provider_conf_section;

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
};

/* One operation, from its first exchange to its last. The caller fills the
 * first half; the provider the second. */
struct prov_op {
    enum prov_opcode code;
    const struct provider_conf *conf;
    struct arena *arena;
    void *state;               /* conf->type->state_size zeroed bytes */
    int64_t now_s;             /* wall clock at begin */
    struct str upstream_id;    /* get, delete, content */
    struct str shown_id;       /* stands for upstream_id in messages: our id;
                                  "" when there is none */
    struct str object_name;    /* create: the ULID of our id */
    struct prov_upload upload; /* create */
    int64_t range_first;       /* content: -1 none */
    int64_t range_last;        /* content: inclusive, -1 to the end */
    struct str if_none_match;  /* unused by most; "" */
    struct str list_cursor;    /* list: "" is the first page */

    struct file_obj file;  /* create, get: the provider's object, id is
                              the provider's */
    struct file_obj *list; /* list: one page */
    size_t nlist;
    struct str next_cursor;  /* list: "" when it was the last page */
    struct str content_type; /* content: what the provider said */
};

enum prov_step {
    PROV_SEND_HTTP, /* *x->http is described: perform it */
    PROV_SEND_FILE, /* *x->file is described */
    PROV_DONE,      /* the operation is complete */
};

/* One exchange. Exactly one of the two is filled, as prov_step says. */
struct prov_exchange {
    struct http_req http;
    struct file_req file;
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
};

/* What the configured provider can do. */
static inline unsigned provider_caps(const struct provider_conf *c)
{
    return c->type->caps_of ? c->type->caps_of(c) : c->type->caps;
}

/* "create", "get", "list", "delete", "content". */
const char *prov_opcode_name(enum prov_opcode code);

#endif
