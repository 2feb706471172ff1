/* form.c
 *
 *   socket ──server_req_read──► reader's buffer ──multipart_feed──┐ in place
 *                                    ▲                            │
 *                                    └── file bytes, moved only ◄─┘
 *                                        when something stood before them
 *
 * Before each read as many bytes as the parser holds back (the start of what
 * may be a delimiter) are written to the front of the buffer. So the buffer
 * always holds what the client sent, without gaps: file bytes stay where they
 * are, and where the file ends the raw tail begins.
 */
#include "gateway/flow/form.h"

#include "gateway/base/bug.h"
#include "gateway/base/buf.h"
#include "gateway/codec/mime.h"
#include "gateway/codec/multipart.h"

/* One read while the fields before the file come in. */
#define HEAD_READ_BYTES (16 * KIB)
/* A reader with less room than this gets its bytes by way of a copy: the parser
 * may hold back a whole delimiter. */
#define PULL_MIN KIB
/* Fields behind the file hardly take more than this, with their framing. */
#define LATE_FIELDS_BYTES 512
/* Reads per turn before the loop gets its turn again. */
#define HEAD_READS 16

enum form_state {
    FORM_HEAD, /* preamble and fields before the file */
    FORM_FILE, /* the file's bytes go through the pipe */
    FORM_TAIL, /* what follows the file is collected */
    FORM_OUT,  /* agreed to: the tail is handed out, then the end */
    FORM_FAILED,
};

struct form {
    struct arena *arena;
    struct server_req *req; /* NULL once detached */
    struct gw_error gone;   /* why */
    const struct form_ops *ops;
    void *arg;
    enum form_state state;
    struct multipart mp;
    const char *boundary;
    const char *file_name; /* of the file's part */
    struct pipe *pipe;

    int64_t declared; /* Content-Length; -1: chunked */
    struct str fields[FORM_FIELDS];
    bool is_late[FORM_FIELDS]; /* the field came behind the file */
    bool in_file;              /* the part under way is the file */
    int current;               /* the field under way; -1: none of ours */
    struct str filename, content_type;
    struct buf value; /* of the field under way */
    struct buf rest;  /* read behind the file's head, not yet pulled */
    struct buf tail;  /* raw, from the end of the file on */
    size_t tail_sent;
    struct buf surplus;  /* read, and not handed out: the reader had little
                            room, or it is not allowed yet */
    uint64_t head_bytes; /* of the body, up to the file's first byte */
    int64_t file_bytes, max_file_bytes;
    int64_t allowed, low;     /* bytes of the file; -1: any */
    bool was_short;           /* of this allowance */
    struct gw_error at_bound; /* err set: what is allowed is all */
    char *out;                /* the reader's buffer during a pull */
    size_t out_n;
    struct crypto_hash *hash; /* NULL: none wanted */
    bool counts_lines, is_in_line;
    int64_t lines; /* that have ended */
    bool relays_tail, frames_tail_anew, drops_late_expiry;
    bool tail_has_own; /* a field in the tail is not for the provider */
};

static const struct field_name {
    const char *name;
    enum form_field field;
    bool is_relayed; /* the provider knows it */
} field_names[] = {
    {"purpose", FORM_PURPOSE, true},
    {"expires_after[anchor]", FORM_EXPIRES_ANCHOR, true},
    {"expires_after[seconds]", FORM_EXPIRES_SECONDS, true},
    {"provider", FORM_PROVIDER, false},
    {"custom_llm_provider", FORM_PROVIDER, false},
    {"model", FORM_MODEL, false},
    {"target_model_names", FORM_MODEL, false},
};

const char *form_field_name(enum form_field f)
{
    for (size_t i = 0; i < COUNTOF(field_names); i++)
        if (field_names[i].field == f)
            return field_names[i].name;
    return "";
}

static void fail(struct form *f, const struct gw_error *e)
{
    bool in_head = f->state == FORM_HEAD;

    if (f->state == FORM_FAILED)
        return;
    f->state = FORM_FAILED;
    if (in_head)
        f->ops->on_failed(f->arg, e);
    else
        pipe_fail(f->pipe, e);
}

/* --- the parser's callbacks --- */

static enum gw_err begin_file(struct form *f, const struct multipart_part *part)
{
    struct gw_error *e = &f->gone;

    if (f->state != FORM_HEAD)
        return err_set_param(e, GW_INVALID_VALUE, f->file_name,
                             "the form has more than one '%s'", f->file_name);
    if (part->filename.n > LIMIT_FILENAME_BYTES)
        return err_set_param(e, GW_INVALID_VALUE, f->file_name,
                             "the file's name is longer than %d bytes",
                             LIMIT_FILENAME_BYTES);
    f->filename =
        arena_dup(f->arena, part->filename.n ? part->filename : STR("upload"));
    f->content_type = arena_dup(f->arena, part->content_type);
    f->in_file = true;
    multipart_pause(&f->mp);
    return GW_OK;
}

static enum gw_err on_part_begin(void *arg, const struct multipart_part *part)
{
    struct form *f = arg;
    bool is_relayed = false;

    f->current = -1;
    if (str_eq_c(part->name, f->file_name))
        return begin_file(f, part);
    for (size_t i = 0; i < COUNTOF(field_names); i++) {
        if (!str_eq_c(part->name, field_names[i].name))
            continue;
        f->current = (int)field_names[i].field;
        is_relayed = field_names[i].is_relayed;
        if (f->fields[f->current].p)
            return err_set_param(
                &f->gone, GW_INVALID_VALUE, field_names[i].name,
                "the form has '%s' more than once", field_names[i].name);
    }
    if (f->state != FORM_HEAD && !is_relayed)
        f->tail_has_own = true;
    buf_clear(&f->value);
    return GW_OK;
}

static void count_lines(struct form *f, struct str data)
{
    const char *p = data.p, *end = data.p + data.n;

    while ((p = memchr(p, '\n', (size_t)(end - p)))) {
        f->lines++;
        p++;
    }
    if (data.n)
        f->is_in_line = end[-1] != '\n';
}

static enum gw_err on_file_data(struct form *f, struct str data)
{
    f->file_bytes += (int64_t)data.n;
    if (f->max_file_bytes && f->file_bytes > f->max_file_bytes)
        return err_set_param(&f->gone, GW_FILE_TOO_LARGE, f->file_name,
                             "the file is larger than the %lld bytes allowed",
                             (long long)f->max_file_bytes);
    if (f->hash)
        crypto_hash_add(f->hash, data.p, data.n);
    if (f->counts_lines)
        count_lines(f, data);
    if (data.p != f->out + f->out_n)
        memmove(f->out + f->out_n, data.p, data.n);
    f->out_n += data.n;
    return GW_OK;
}

static enum gw_err on_part_data(void *arg, struct str data)
{
    struct form *f = arg;

    if (f->in_file)
        return on_file_data(f, data);
    if (f->current < 0)
        return GW_OK;
    buf_add_str(&f->value, data);
    if (f->value.overflow)
        return err_set_param(&f->gone, GW_INVALID_VALUE,
                             form_field_name((enum form_field)f->current),
                             "the field is longer than %u bytes",
                             LIMIT_FIELD_BYTES);
    return GW_OK;
}

static enum gw_err on_part_end(void *arg)
{
    struct form *f = arg;

    if (f->in_file) {
        f->in_file = false;
        f->state = FORM_TAIL;
    } else if (f->current >= 0) {
        f->fields[f->current] = arena_dup(f->arena, buf_str(&f->value));
        f->is_late[f->current] = f->state != FORM_HEAD;
    }
    f->current = -1;
    return GW_OK;
}

static const struct multipart_ops parser_ops = {
    .part_begin = on_part_begin,
    .part_data = on_part_data,
    .part_end = on_part_end,
};

/* --- before the file --- */

static ssize_t read_body(struct form *f, char *buf, size_t cap,
                         struct gw_error *e)
{
    if (!f->req) {
        *e = f->gone;
        return -2;
    }
    return server_req_read(f->req, buf, cap, e);
}

/* Feed what was read; the first failure of the callbacks is in f->gone. */
static enum gw_err feed(struct form *f, const char *p, size_t n, size_t *used,
                        struct gw_error *e)
{
    enum gw_err err = multipart_feed(&f->mp, p, n, used, e);

    if (err != GW_OK && f->gone.err != GW_OK)
        *e = f->gone;
    return err;
}

static void end_in_head(struct form *f)
{
    struct gw_error e = {0};

    if (multipart_finish(&f->mp, &e) == GW_OK)
        err_set_param(&e, GW_MISSING_PARAM, f->file_name,
                      "the form has no part named '%s'", f->file_name);
    fail(f, &e);
}

/* True when there may be more to read at once. */
static bool read_head(struct form *f)
{
    char bytes[HEAD_READ_BYTES];
    struct gw_error e = {0};
    size_t used;
    ssize_t n = read_body(f, bytes, sizeof(bytes), &e);

    if (n == -1)
        return false;
    if (n == 0) {
        end_in_head(f);
        return false;
    }
    if (n < 0 || feed(f, bytes, (size_t)n, &used, &e) != GW_OK) {
        fail(f, &e);
        return false;
    }
    f->head_bytes += used;
    if (!f->in_file)
        return true;
    buf_add(&f->rest, bytes + used, (size_t)n - used);
    f->state = FORM_FILE;
    f->ops->on_file(f->arg);
    return false;
}

static void read_heads(struct form *f)
{
    for (int i = 0; i < HEAD_READS && f->state == FORM_HEAD; i++)
        if (!read_head(f))
            break;
    if (f->state == FORM_HEAD && f->req)
        server_req_want(f->req);
}

void form_readable(struct form *f)
{
    if (f->state == FORM_HEAD)
        read_heads(f);
    else if (f->state != FORM_FAILED)
        pipe_notify(f->pipe);
}

/* --- the file and its tail --- */

static bool is_expiry(enum form_field field)
{
    return field == FORM_EXPIRES_ANCHOR || field == FORM_EXPIRES_SECONDS;
}

/* The tail without the fields that are ours: what is known, framed anew. Where
 * it was framed tersely and nothing is left out, the new one may be longer than
 * the length that was promised; then it stays as it came. */
static void rebuild_tail(struct form *f, size_t promised)
{
    struct str boundary = str_of(f->boundary);
    struct buf fresh;

    buf_init(&fresh, LIMIT_TAIL_BYTES + KIB);
    buf_add_c(&fresh, "\r\n");
    for (size_t i = 0; i < COUNTOF(field_names); i++) {
        enum form_field field = field_names[i].field;

        if (!field_names[i].is_relayed || !f->is_late[field] ||
            (f->drops_late_expiry && is_expiry(field)))
            continue;
        mime_add_field(&fresh, boundary, str_of(field_names[i].name),
                       f->fields[field]);
    }
    buf_printf(&fresh, "--%s--\r\n", f->boundary);
    if (promised && fresh.n > promised) {
        buf_release(&fresh);
        return;
    }
    while (fresh.n < promised && !fresh.overflow)
        buf_add_byte(&fresh, (fresh.n & 1) ? '\n' : '\r');
    buf_release(&f->tail);
    f->tail = fresh;
}

static void finish_body(struct form *f)
{
    struct gw_error e = {0};
    size_t promised = form_relay_length(f) >= 0 ? f->tail.n : 0;

    if (multipart_finish(&f->mp, &e) != GW_OK ||
        f->ops->on_fields(f->arg, &e) != GW_OK) {
        fail(f, &e);
        return;
    }
    f->state = FORM_OUT;
    if (f->relays_tail &&
        (f->tail_has_own || f->frames_tail_anew || f->drops_late_expiry))
        rebuild_tail(f, promised);
}

static size_t hand_out_tail(struct form *f, char *buf, size_t cap)
{
    size_t n = f->relays_tail ? MIN(cap, f->tail.n - f->tail_sent) : 0;

    if (n) {
        memcpy(buf, f->tail.p + f->tail_sent, n);
        f->tail_sent += n;
    } else {
        pipe_end(f->pipe);
    }
    return n;
}

/* Body bytes to buf: those that came with the head first. */
static ssize_t read_more(struct form *f, char *buf, size_t cap,
                         struct gw_error *e)
{
    size_t n = MIN(cap, f->rest.n);

    if (!n)
        return read_body(f, buf, cap, e);
    memcpy(buf, f->rest.p, n);
    buf_consume(&f->rest, n);
    return (ssize_t)n;
}

/* Whether all bytes of the file have been read: the tail begins with the
 * delimiter, before the parser knows what that leads to. */
static bool is_behind_file(const struct form *f)
{
    return f->state != FORM_FILE || multipart_is_at_mark(&f->mp);
}

/* Look at buf[0..n), the client's bytes without gaps; the file's are left at
 * its front (f->out_n of them), the tail's go to f->tail. */
static enum gw_err split(struct form *f, char *buf, size_t held, size_t n,
                         struct gw_error *e)
{
    bool was_behind = is_behind_file(f);
    size_t used;

    f->out = buf;
    f->out_n = 0;
    if (feed(f, buf + held, n - held, &used, e) != GW_OK)
        return e->err;
    if (!is_behind_file(f))
        return GW_OK;
    /* In the tail what the parser held was kept as it came already. */
    if (was_behind)
        buf_add(&f->tail, buf + held, n - held);
    else
        buf_add(&f->tail, buf + f->out_n, n - f->out_n);
    if (f->tail.overflow)
        return err_set(e, GW_INVALID_MULTIPART,
                       "more than %u bytes follow the file in the form",
                       LIMIT_TAIL_BYTES);
    return GW_OK;
}

/* How many bytes may be read and passed on, should all belong to the file. */
static int64_t left_of_allowance(const struct form *f)
{
    if (f->state != FORM_FILE || f->allowed < 0)
        return INT64_MAX;
    return f->allowed - f->file_bytes - (int64_t)multipart_held(&f->mp);
}

static void ask_for_more(struct form *f)
{
    if (f->was_short || f->at_bound.err != GW_OK)
        return;
    f->was_short = true;
    f->ops->on_short(f->arg);
}

/* peeks: where nothing is left it reads on all the same, for only what follows
 * tells whether the file ends here. */
static size_t pull_in_place(struct form *f, char *buf, size_t cap, bool peeks)
{
    while (f->state == FORM_FILE || f->state == FORM_TAIL) {
        size_t held = f->state == FORM_FILE ? multipart_held(&f->mp) : 0;
        int64_t left = left_of_allowance(f);
        size_t room = cap - held;
        struct gw_error e = {0};
        ssize_t n;

        ASSERT(cap > held);
        if (left <= 0 && !peeks)
            return 0;
        if (left > 0 && (uint64_t)left < room)
            room = (size_t)left;
        memcpy(buf, f->mp.delimiter, held);
        n = read_more(f, buf + held, room, &e);
        if (n == -1) {
            server_req_want(f->req);
            return 0;
        }
        if (n == 0) {
            if (f->ops->is_ready && !f->ops->is_ready(f->arg))
                return 0;
            finish_body(f);
            continue;
        }
        if (n < 0 || split(f, buf, held, held + (size_t)n, &e) != GW_OK) {
            fail(f, &e);
            return 0;
        }
        if (f->out_n)
            return f->out_n;
    }
    return f->state == FORM_OUT ? hand_out_tail(f, buf, cap) : 0;
}

/* Some of the surplus: all that was read beyond the allowance is in it. */
static size_t hand_out_surplus(struct form *f, char *buf, size_t cap)
{
    size_t beyond = (size_t)form_beyond(f);
    size_t n = MIN(cap, f->surplus.n - beyond);

    if (n)
        memcpy(buf, f->surplus.p, n);
    buf_consume(&f->surplus, n);
    if (n || !beyond)
        return n;
    if (f->at_bound.err != GW_OK)
        fail(f, &f->at_bound);
    else
        ask_for_more(f); /* form_allow() goes on */
    return 0;
}

static size_t pull(void *arg, char *buf, size_t cap)
{
    struct form *f = arg;
    int64_t left = left_of_allowance(f);
    char bytes[PULL_MIN];

    size_t n;

    /* Without a mark ahead, bytes beyond the bound ask: hand_out_surplus(). */
    if (f->low > 0 && left < f->low)
        ask_for_more(f);
    if (!f->surplus.n && cap >= PULL_MIN && left > 0) {
        n = pull_in_place(f, buf, cap, false);
        if (n || left_of_allowance(f) > 0)
            return n;
    }
    if (!f->surplus.n) {
        n = pull_in_place(f, bytes, sizeof(bytes), true);
        buf_add(&f->surplus, bytes, n);
    }
    return f->surplus.n ? hand_out_surplus(f, buf, cap) : 0;
}

static void on_cancelled(void *arg)
{
    struct form *f = arg;

    f->state = FORM_FAILED;
}

static const struct pipe_writer_ops writer_ops = {
    .pull = pull,
    .cancelled = on_cancelled,
};

/* --- life --- */

struct form *form_new(struct arena *a, struct loop *l, struct server_req *req,
                      const char *boundary, int64_t max_file_bytes,
                      struct metric_series *held, const struct form_ops *ops,
                      void *arg)
{
    struct form *f = arena_new_of(a, struct form);

    f->arena = a;
    f->req = req;
    f->declared = server_req_head(req)->content_length;
    f->boundary = boundary;
    f->file_name = "file";
    f->max_file_bytes = max_file_bytes;
    f->allowed = -1;
    f->ops = ops;
    f->arg = arg;
    f->current = -1;
    f->pipe = pipe_new(l, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH, held);
    pipe_set_writer(f->pipe, &writer_ops, f);
    buf_init(&f->value, LIMIT_FIELD_BYTES);
    buf_init(&f->rest, HEAD_READ_BYTES);
    buf_init(&f->tail, LIMIT_TAIL_BYTES);
    buf_init(&f->surplus, PULL_MIN);
    multipart_init(&f->mp, boundary, &parser_ops, f);
    server_req_want(req);
    return f;
}

void form_detach(struct form *f, const struct gw_error *why)
{
    f->req = NULL;
    if (f->state == FORM_OUT)
        return;
    f->gone = *why;
    fail(f, why);
}

void form_free(struct form *f)
{
    if (!f)
        return;
    crypto_hash_free(f->hash);
    pipe_free(f->pipe);
    buf_release(&f->value);
    buf_release(&f->rest);
    buf_release(&f->tail);
    buf_release(&f->surplus);
}

struct str form_get(const struct form *f, enum form_field field)
{
    return f->fields[field];
}

struct str form_filename(const struct form *f)
{
    return f->filename;
}

struct str form_content_type(const struct form *f)
{
    return f->content_type;
}

void form_name_file(struct form *f, const char *name)
{
    f->file_name = name;
}

void form_relay_tail(struct form *f, bool relays)
{
    f->relays_tail = relays;
}

void form_change_tail(struct form *f, bool frames_anew, bool no_expiry)
{
    f->frames_tail_anew = frames_anew;
    f->drops_late_expiry = no_expiry;
}

void form_limit(struct form *f, int64_t max_file_bytes)
{
    if (max_file_bytes &&
        (!f->max_file_bytes || max_file_bytes < f->max_file_bytes))
        f->max_file_bytes = max_file_bytes;
}

void form_allow(struct form *f, int64_t file_bytes, int64_t low)
{
    f->allowed = file_bytes;
    f->low = low;
    f->was_short = false;
    pipe_notify(f->pipe);
}

void form_allow_no_more(struct form *f, const struct gw_error *why)
{
    f->at_bound = *why;
    pipe_notify(f->pipe);
}

int64_t form_beyond(const struct form *f)
{
    return f->allowed < 0 ? 0 : MAX(f->file_bytes - f->allowed, 0);
}

void form_hash(struct form *f)
{
    f->hash = crypto_hash_new();
}

struct str form_sha256(struct form *f)
{
    char hex[CRYPTO_SHA256_HEX + 1];

    if (!f->hash)
        return STR_NULL;
    crypto_hash_finish(f->hash, hex);
    f->hash = NULL;
    return arena_dup(f->arena, str_of(hex));
}

void form_count_lines(struct form *f)
{
    f->counts_lines = true;
}

int64_t form_lines(const struct form *f)
{
    return f->counts_lines ? f->lines + f->is_in_line : -1;
}

struct pipe *form_pipe(struct form *f)
{
    return f->pipe;
}

int64_t form_relay_length(const struct form *f)
{
    return f->declared < 0 ? -1 : f->declared - (int64_t)f->head_bytes;
}

int64_t form_expected_bytes(const struct form *f)
{
    int64_t rest = form_relay_length(f);
    /* CRLF "--" boundary "--", and a final CRLF that may be missing. */
    int64_t closing = (int64_t)strlen(f->boundary) + 6;

    return rest < 0 ? -1 : MAX(rest - closing, 0);
}

int64_t form_likely_bytes(const struct form *f)
{
    int64_t most = form_expected_bytes(f), final_crlf = 2;

    if (most <= 0)
        return most;
    /* Whoever sends the fields first sends all of them first. */
    if (f->fields[FORM_PURPOSE].p)
        return MAX(most - final_crlf, 0);
    return MAX(most - LATE_FIELDS_BYTES, 1);
}

int64_t form_file_bytes(const struct form *f)
{
    return f->file_bytes;
}

bool form_is_complete(const struct form *f)
{
    return f->state == FORM_OUT;
}
