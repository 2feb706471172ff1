#include "gateway/flow/form_pass.h"

#include "gateway/base/bug.h"

/* One read while the fields before the file come in. */
#define HEAD_READ_BYTES (16 * KIB)
/* Reads per turn before the loop gets its turn again. */
#define HEAD_READS 16
/* A field that is written anew may grow by so much. */
#define GROWTH_BYTES (LIMIT_PARTS * LIMIT_UPSTREAM_ID_BYTES)

enum pass_state { PASS_HEAD, PASS_ASKED, PASS_FLOW, PASS_OVER };

struct form_pass {
    struct server_req *req; /* NULL once detached */
    struct gw_error gone;   /* why */
    const struct form_pass_ops *ops;
    void *arg;
    enum pass_state state;
    struct form_edit edit;
    char boundary[LIMIT_BOUNDARY_BYTES + 1];
    struct str type;
    struct form_pass_room room;
    int64_t taken;   /* of room.held: what is kept */
    struct buf head; /* as it is passed on */
    size_t head_sent;
    int64_t length;
    int64_t declared; /* Content-Length; -1: chunked */
    struct pipe *pipe;
};

static void fail(struct form_pass *f, const struct gw_error *e)
{
    enum pass_state was = f->state;

    if (was == PASS_OVER)
        return;
    f->state = PASS_OVER;
    if (was == PASS_HEAD)
        f->ops->on_failed(f->arg, e);
    else
        pipe_fail(f->pipe, e);
}

static ssize_t read_body(struct form_pass *f, char *buf, size_t cap,
                         struct gw_error *e)
{
    if (f->req)
        return server_req_read(f->req, buf, cap, e);
    *e = f->gone;
    return -2;
}

/* --- before the file --- */

static enum gw_err take(struct form_pass *f, int64_t n, struct gw_error *e)
{
    if (held_take(f->room.held, n, f->room.max_held, e) == GW_OK)
        f->taken += n;
    return e->err;
}

static void give_back(struct form_pass *f)
{
    held_give_back(f->room.held, f->taken);
    f->taken = 0;
}

static void tell_head(struct form_pass *f)
{
    f->state = PASS_ASKED;
    f->ops->on_head(f->arg);
}

/* True when there may be more to read at once. */
static bool read_head(struct form_pass *f)
{
    char bytes[HEAD_READ_BYTES];
    struct gw_error e = {0};
    ssize_t n = read_body(f, bytes, sizeof(bytes), &e);

    if (n == -1)
        return false;
    if (n > 0 && take(f, n, &e) == GW_OK)
        (void)!form_edit_feed(&f->edit, bytes, (size_t)n, &e);
    else if (n == 0)
        (void)!form_edit_finish(&f->edit, &e);
    if (e.err != GW_OK)
        fail(f, &e);
    else if (f->edit.has_head)
        tell_head(f);
    return f->state == PASS_HEAD;
}

void form_pass_readable(struct form_pass *f)
{
    int i;

    for (i = 0; i < HEAD_READS && f->state == PASS_HEAD; i++)
        if (!read_head(f))
            break;
    if (f->state == PASS_HEAD && f->req)
        server_req_want(f->req);
    else if (f->state == PASS_FLOW)
        pipe_notify(f->pipe);
}

/* --- the file and what follows it --- */

static size_t hand_out_head(struct form_pass *f, char *buf, size_t cap)
{
    size_t n = MIN(cap, f->head.n - f->head_sent);

    memcpy(buf, f->head.p + f->head_sent, n);
    f->head_sent += n;
    if (f->head_sent == f->head.n) {
        buf_release(&f->head);
        f->head_sent = 0;
        give_back(f);
    }
    return n;
}

static void finish(struct form_pass *f)
{
    struct gw_error e = {0};

    if (!f->edit.is_whole && form_edit_finish(&f->edit, &e) != GW_OK) {
        fail(f, &e);
        return;
    }
    f->state = PASS_OVER;
    pipe_end(f->pipe);
}

static size_t pull(void *arg, char *buf, size_t cap)
{
    struct form_pass *f = arg;
    struct gw_error e = {0};
    ssize_t n;

    if (f->state != PASS_FLOW)
        return 0;
    if (f->head.n)
        return hand_out_head(f, buf, cap);
    n = f->edit.is_whole ? 0 : read_body(f, buf, cap, &e);
    if (n == -1) {
        server_req_want(f->req);
        return 0;
    }
    if (n == 0) {
        finish(f);
        return 0;
    }
    if (n < 0 || form_edit_feed(&f->edit, buf, (size_t)n, &e) != GW_OK) {
        fail(f, &e);
        return 0;
    }
    return (size_t)n;
}

static void on_cancelled(void *arg)
{
    struct form_pass *f = arg;

    f->state = PASS_OVER;
}

static const struct pipe_writer_ops writer_ops = {
    .pull = pull,
    .cancelled = on_cancelled,
};

/* --- life --- */

/* A client's boundary may hold characters that need quotes in a header. */
static struct str type_of(struct arena *a, struct str boundary)
{
    const char *quote = str_is_made_of(boundary, "-_.'+") ? "" : "\"";

    return arena_printf(a, "multipart/form-data; boundary=%s%.*s%s", quote,
                        STR_ARG(boundary), quote);
}

struct form_pass *form_pass_new(struct arena *a, struct loop *l,
                                struct server_req *req, struct str type,
                                const struct form_pass_room *room,
                                const struct form_pass_ops *ops, void *arg,
                                struct gw_error *e)
{
    struct form_pass *f = arena_new_of(a, struct form_pass);

    if (multipart_boundary(type, f->boundary, e) != GW_OK)
        return NULL;
    f->type = type_of(a, str_of(f->boundary));
    f->room = *room;
    f->req = req;
    f->declared = server_req_head(req)->content_length;
    f->ops = ops;
    f->arg = arg;
    f->pipe = pipe_new(l, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH, room->in_pipes);
    pipe_set_writer(f->pipe, &writer_ops, f);
    buf_init(&f->head, LIMIT_FORM_HEAD_BYTES + GROWTH_BYTES);
    form_edit_init(&f->edit, a, f->boundary, ops->late, arg);
    server_req_want(req);
    return f;
}

void form_pass_detach(struct form_pass *f, const struct gw_error *why)
{
    f->req = NULL;
    f->gone = *why;
    if (!f->edit.is_whole || f->state == PASS_HEAD)
        fail(f, why);
}

void form_pass_free(struct form_pass *f)
{
    if (!f)
        return;
    pipe_free(f->pipe);
    form_edit_release(&f->edit);
    buf_release(&f->head);
    give_back(f);
}

struct form_edit_field *form_pass_fields(struct form_pass *f, size_t *n)
{
    ASSERT(f->edit.has_head);
    *n = f->edit.n;
    return f->edit.v;
}

enum gw_err form_pass_go(struct form_pass *f, struct gw_error *e)
{
    size_t kept = form_edit_kept(&f->edit);

    if (f->state == PASS_OVER) {
        *e = f->gone;
        return e->err;
    }
    ASSERT(f->state == PASS_ASKED);
    f->state = PASS_FLOW;
    form_edit_write(&f->edit, &f->head);
    f->length = (int64_t)f->head.n;
    if (!f->edit.is_whole)
        f->length += f->declared - (int64_t)kept;
    if (!f->edit.is_whole && f->declared < 0)
        f->length = -1;
    if (f->head.overflow)
        err_set(e, GW_INVALID_MULTIPART, "the form's fields are too long");
    else
        (void)!form_edit_go(&f->edit, e);
    if (e->err != GW_OK)
        fail(f, e);
    return e->err;
}

struct str form_pass_type(const struct form_pass *f)
{
    return f->type;
}

int64_t form_pass_length(const struct form_pass *f)
{
    return f->length;
}

struct pipe *form_pass_pipe(struct form_pass *f)
{
    return f->pipe;
}
