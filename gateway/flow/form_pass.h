/* form_pass.h -- a client's form, passed on to a provider as it streams.
 *
 *     HEAD   what stands before the first file is read and kept (codec/
 *            form_edit); on_head() tells, and nothing more is read
 *     FLOW   form_pass_go(): what was kept, with its fields written anew, and
 *            then the client's own bytes come out of form_pass_pipe(), pulled
 *
 * The form keeps the client's boundary. Behind the file nothing is changed: a
 * field there that matters is told to late(), whose error fails the pipe before
 * the form's end has left, so that the provider never has the whole of it.
 */
#ifndef FILEMUX_FLOW_FORM_PASS_H
#define FILEMUX_FLOW_FORM_PASS_H

#include "gateway/codec/form_edit.h"
#include "gateway/flow/held.h"
#include "gateway/net/http_server.h"

struct form_pass;

/* What is kept is accounted for, and so is what the pipe has. */
struct form_pass_room {
    struct held *held;
    int64_t max_held; /* of all */
    struct metric_series *in_pipes;
};

struct form_pass_ops {
    /* The fields before the file are known: form_pass_fields(). */
    void (*on_head)(void *arg);
    /* The form failed before that. */
    void (*on_failed)(void *arg, const struct gw_error *e);
    form_edit_late *late;
};

/* Start reading. INVALID_MULTIPART, or UNSUPPORTED_MEDIA, unless the content
 * type is a form's: NULL. The request must live as long, or be detached. */
struct form_pass *form_pass_new(struct arena *a, struct loop *l,
                                struct server_req *req, struct str type,
                                const struct form_pass_room *room,
                                const struct form_pass_ops *ops, void *arg,
                                struct gw_error *e) MUSTCHECK;
/* The request's readable(): call this. */
void form_pass_readable(struct form_pass *f);
/* The request is gone: nothing is read from it any more. */
void form_pass_detach(struct form_pass *f, const struct gw_error *why);
/* NULL allowed. */
void form_pass_free(struct form_pass *f);

/* From on_head() on: to be read, and `with` and `is_left_out` to be filled. */
struct form_edit_field *form_pass_fields(struct form_pass *f, size_t *n);
/* The fields are as they shall be. CLIENT_GONE: there is nothing to pass on any
 * more; INVALID_MULTIPART. */
enum gw_err form_pass_go(struct form_pass *f, struct gw_error *e) MUSTCHECK;
/* What the provider is told: the form's content type, and the exact length, -1
 * when the client did not tell. */
struct str form_pass_type(const struct form_pass *f);
int64_t form_pass_length(const struct form_pass *f);
struct pipe *form_pass_pipe(struct form_pass *f);

#endif
