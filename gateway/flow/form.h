/* form.h -- an upload form as it comes in: fields, and the file as a pipe.
 *
 * Reads the request's body through the multipart parser. Fields before the
 * file are collected; when the file's part begins, on_file() is called and the
 * reading stops. The file's bytes then come out of form_pipe(), pulled: they
 * are read from the client's socket straight into the reader's buffer, and the
 * parser looks at them there.
 *
 * What follows the file (fields, the closing delimiter) is at most
 * LIMIT_TAIL_BYTES and is held back until the body has ended and on_fields()
 * has agreed. So a fault in a late field still stops the upload, and nothing
 * reaches the provider that was not checked.
 *
 * With form_relay_tail(true) the pipe carries, behind the file's bytes, the
 * rest of the form in the client's own framing, and the pipe's length is known
 * as soon as the client sent a Content-Length (L_out = P_out + (L_in
 * - P_in)). Fields that are the gateway's own are left out of it, and the
 * length is made up by a blank epilogue.
 */
#ifndef FILEMUX_FLOW_FORM_H
#define FILEMUX_FLOW_FORM_H

#include "gateway/base/crypto.h"
#include "gateway/net/http_server.h"

struct form;

/* Fields that can be asked for. Others are read and dropped. */
enum form_field {
    FORM_PURPOSE,
    FORM_EXPIRES_ANCHOR,
    FORM_EXPIRES_SECONDS,
    FORM_PROVIDER, /* provider, custom_llm_provider */
    FORM_MODEL,    /* model, target_model_names */
    FORM_FIELDS
};
/* The field's name in the form, for error messages. */
const char *form_field_name(enum form_field f);

struct form_ops {
    /* The file's part begins; form->filename and the fields before it are
     * known. Nothing more is read until form_pipe() is read. */
    void (*on_file)(void *arg);
    /* The body has ended: may on_fields() be called? If not, the pipe's reader
     * reads again when it may. From inside pipe_read(). Optional. */
    bool (*is_ready)(void *arg);
    /* The body has ended, all fields are in. Anything but GW_OK fails the
     * pipe with *e. Called from inside pipe_read(). */
    enum gw_err (*on_fields)(void *arg, struct gw_error *e);
    /* The form failed before the file began. */
    void (*on_failed)(void *arg, const struct gw_error *e);
    /* The allowance (form_allow) is used up, or nearly. Once per allowance,
     * from inside pipe_read(). Optional. */
    void (*on_short)(void *arg);
};

/* Start reading. boundary (NUL-ended) and the request must live as long as
 * the form. max_file_bytes: more fails the pipe with FILE_TOO_LARGE. */
struct form *form_new(struct arena *a, struct loop *l, struct server_req *req,
                      const char *boundary, int64_t max_file_bytes,
                      struct metric_series *held, const struct form_ops *ops,
                      void *arg) MUSTCHECK;
/* The request's readable(): call this. */
void form_readable(struct form *f);
/* The request is gone: nothing is read from it any more. */
void form_detach(struct form *f, const struct gw_error *why);
void form_free(struct form *f);

/* The value, or STR_NULL while (or because) it is not there. */
struct str form_get(const struct form *f, enum form_field field);
struct str form_filename(const struct form *f);
struct str form_content_type(const struct form *f);

/* The part that is the file has this name, not "file". */
void form_name_file(struct form *f, const char *name);
void form_relay_tail(struct form *f, bool relays);
/* How a tail that is relayed is changed. frames_anew: its parts keep no header
 * but their name; no_expiry: without expires_after. */
void form_change_tail(struct form *f, bool frames_anew, bool no_expiry);
/* A tighter bound than at form_new(), before the pipe is read. */
void form_limit(struct form *f, int64_t max_file_bytes);
/* No more than so many bytes of the file are passed on, for now: behind them
 * the client is read from only to see whether the file ends there. A later call
 * may raise it. on_short() is called when less than `low` is left, and at the
 * latest when there are bytes beyond. */
void form_allow(struct form *f, int64_t file_bytes, int64_t low);
/* What is allowed now is all: a further byte fails the pipe with *why. */
void form_allow_no_more(struct form *f, const struct gw_error *why);
/* Bytes of the file that were read and are not allowed. */
int64_t form_beyond(const struct form *f);
/* Hash the file's bytes as they pass; before the pipe is read. */
void form_hash(struct form *f);
/* The hash in hex once the pipe has ended; STR_NULL without form_hash(). */
struct str form_sha256(struct form *f);
/* Count the file's lines as they pass; before the pipe is read. */
void form_count_lines(struct form *f);
/* How many there were, a last one without its end among them, once the pipe
 * has ended; -1 without form_count_lines(). */
int64_t form_lines(const struct form *f);
/* The file's bytes (and the tail). */
struct pipe *form_pipe(struct form *f);
/* What the pipe will carry with the tail; -1 when it is chunked. */
int64_t form_relay_length(const struct form *f);
/* The largest file that the declared length allows; -1 when unknown. */
int64_t form_expected_bytes(const struct form *f);
/* What it most likely has, or less when fields are still to come behind it; -1
 * when unknown. */
int64_t form_likely_bytes(const struct form *f);
/* Bytes of the file so far; all of them once the pipe has ended. */
int64_t form_file_bytes(const struct form *f);
/* The whole body was read and agreed to. */
bool form_is_complete(const struct form *f);

#endif
