#include "gateway/flow/upload_source.h"

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/crypto.h"
#include "gateway/flow/upstream.h"

struct upload_source {
    struct services *sv;
    const struct provider_conf *hold;
    const struct upload_part *parts;
    size_t nparts, at; /* the part that is read */
    struct pipe *out;
    struct str md5;
    struct crypto_hash *md5_hash, *sha256; /* NULL: not asked for */
    int64_t left;                          /* bytes of the whole */
    struct loop_task begin;                /* the part */
    bool has_begun, is_over;

    /* Of the part that is read. */
    struct arena *arena;
    struct upstream *up; /* NULL: it is through */
    struct pipe *in;
    int64_t came;
    bool has_other_size; /* than it had when it came */
};

static void fail(struct upload_source *s, const struct gw_error *e)
{
    s->is_over = true;
    pipe_fail(s->out, e);
}

static void fail_with(struct upload_source *s, enum gw_err err,
                      const char *what)
{
    struct gw_error e = {0};

    err_set(&e, err, "%s", what);
    fail(s, &e);
}

/* --- a part --- */

static void drop_part(struct upload_source *s)
{
    upstream_abort(s->up);
    if (s->in)
        pipe_free(s->in);
    arena_free(s->arena);
    s->up = NULL;
    s->in = NULL;
    s->arena = NULL;
}

/* pull() says so: the reader may not be called from here. */
static void on_head(void *arg, const struct upstream_head *h)
{
    struct upload_source *s = arg;

    s->has_other_size = h->length >= 0 && h->length != s->parts[s->at].bytes;
}

static void next_part(struct upload_source *s);

/* Before it began to answer the pipe does not know that it failed. */
static void on_done(void *arg, const struct gw_error *e)
{
    struct upload_source *s = arg;

    s->up = NULL;
    if (s->is_over)
        return;
    if (e->err == GW_FILE_NOT_FOUND)
        fail_with(s, GW_UPSTREAM_BAD_RESPONSE,
                  "a part of the upload is not there any more, or not on this "
                  "host: begin another upload");
    else if (e->err != GW_OK && pipe_outcome(s->in) == PIPE_OPEN)
        fail(s, e);
    else if (e->err == GW_OK && pipe_is_drained(s->in))
        next_part(s);
}

static const struct upstream_ops content_ops = {
    .head = on_head,
    .done = on_done,
};

static void on_readable(void *arg)
{
    pipe_notify(((struct upload_source *)arg)->out);
}

static const struct pipe_reader_ops reader_ops = {.readable = on_readable};

static void begin_part(void *arg)
{
    struct upload_source *s = arg;

    drop_part(s);
    s->came = 0;
    s->has_other_size = false;
    s->arena = arena_new();
    s->in = pipe_new(s->sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH,
                     s->sv->pipe_bytes);
    pipe_set_reader(s->in, &reader_ops, s);
    s->up = upstream_new(s->sv, s->arena, s->hold, PROV_CONTENT);
    s->up->op.upstream_id = s->parts[s->at].upstream_id;
    s->up->op.shown_id = s->parts[s->at].id;
    upstream_start(s->up, NULL, s->in, &content_ops, s);
    pipe_notify(s->out);
}

/* It has been read, and its operation is through. */
static void next_part(struct upload_source *s)
{
    if (s->came != s->parts[s->at].bytes) {
        fail_with(
            s, GW_UPSTREAM_BAD_RESPONSE,
            "a part of the upload is not whole any more: begin another upload");
        return;
    }
    s->at++;
    ASSERT(s->at < s->nparts); /* the last byte has ended it */
    loop_defer(s->sv->loop, &s->begin, begin_part, s);
}

/* --- the whole --- */

static bool is_right(struct upload_source *s)
{
    char hex[CRYPTO_SHA256_HEX + 1];

    if (!s->md5_hash)
        return s->md5.n == 0; /* else the library has no MD5 */
    crypto_hash_finish(s->md5_hash, hex);
    s->md5_hash = NULL;
    return str_eq_nocase(s->md5, str_of(hex));
}

static size_t look_at(struct upload_source *s, const char *bytes, size_t n)
{
    struct gw_error e = {0};

    s->came += (int64_t)n;
    s->left -= (int64_t)n;
    if (s->came > s->parts[s->at].bytes) {
        fail_with(
            s, GW_UPSTREAM_BAD_RESPONSE,
            "a part of the upload is longer than it was: begin another upload");
        return 0;
    }
    if (s->md5_hash)
        crypto_hash_add(s->md5_hash, bytes, n);
    if (s->sha256)
        crypto_hash_add(s->sha256, bytes, n);
    if (s->left > 0)
        return n;
    s->is_over = true;
    if (is_right(s)) {
        pipe_end(s->out); /* now: not everybody asks again */
        return n;
    }
    err_set_param(&e, GW_INVALID_VALUE, "md5",
                  "the parts in this order have another MD5 than 'md5'");
    fail(s, &e);
    return 0;
}

static size_t pull(void *arg, char *buf, size_t cap)
{
    struct upload_source *s = arg;
    size_t n;

    if (s->is_over)
        return 0;
    if (!s->has_begun) {
        s->has_begun = true;
        loop_defer(s->sv->loop, &s->begin, begin_part, s);
        return 0;
    }
    if (s->has_other_size) {
        fail_with(s, GW_UPSTREAM_BAD_RESPONSE,
                  "a part of the upload has another size than it had: begin "
                  "another upload");
        return 0;
    }
    n = s->in ? pipe_read(s->in, buf, cap) : 0;
    if (n)
        return look_at(s, buf, n);
    if (s->in && pipe_outcome(s->in) == PIPE_ERROR)
        fail(s, pipe_error(s->in));
    else if (s->in && !s->up && pipe_is_drained(s->in) && !s->begin.is_queued)
        next_part(s);
    return 0;
}

static void on_cancelled(void *arg)
{
    ((struct upload_source *)arg)->is_over = true;
}

static const struct pipe_writer_ops writer_ops = {
    .pull = pull,
    .cancelled = on_cancelled,
};

struct upload_source *upload_source_new(struct services *sv,
                                        const struct provider_conf *hold,
                                        const struct upload_part *parts,
                                        size_t nparts, struct str md5,
                                        bool is_hashed)
{
    struct upload_source *s = xcalloc(1, sizeof(*s));

    s->sv = sv;
    s->hold = hold;
    s->parts = parts;
    s->nparts = nparts;
    s->md5 = md5;
    s->md5_hash = md5.n ? crypto_hash_new_md5() : NULL;
    s->sha256 = is_hashed ? crypto_hash_new() : NULL;
    for (size_t i = 0; i < nparts; i++)
        s->left += parts[i].bytes;
    ASSERT(s->left > 0);
    s->out =
        pipe_new(sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH, sv->pipe_bytes);
    pipe_set_writer(s->out, &writer_ops, s);
    return s;
}

void upload_source_free(struct upload_source *s)
{
    if (!s)
        return;
    s->is_over = true;
    loop_task_cancel(s->sv->loop, &s->begin);
    drop_part(s);
    crypto_hash_free(s->md5_hash);
    crypto_hash_free(s->sha256);
    pipe_free(s->out);
    free(s);
}

struct pipe *upload_source_pipe(struct upload_source *s)
{
    return s->out;
}

struct str upload_source_sha256(struct upload_source *s, struct arena *a)
{
    char hex[CRYPTO_SHA256_HEX + 1];

    if (!s->sha256)
        return STR_NULL;
    crypto_hash_finish(s->sha256, hex);
    s->sha256 = NULL;
    return arena_dup(a, str_of(hex));
}
