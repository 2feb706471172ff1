/* The first bytes stay in memory, what follows goes into the file, chunk by
 * chunk. Positions count from the start of the whole: the file's first byte is
 * at position memory.n. There is one chunk; a thread has it while `is_working`.
 *
 *     fill    source ──> memory, then chunk ──> file
 *     replay  memory, then file ──> chunk ──> out (pulled)
 */
#include "gateway/net/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/base/bug.h"
#include "gateway/net/file_pool.h"
#include "gateway/net/file_work.h"

#define MEMORY_STEP (64 * KIB) /* memory grows with what comes */

struct spool {
    struct file_io *io;
    struct loop *loop;
    int64_t total_max;
    char *dir;
    struct pipe *source; /* NULL: it has ended */
    void (*done)(void *arg, const struct gw_error *e);
    void *arg;
    struct loop_task task;
    bool is_freed;

    struct buf memory;
    int64_t file_bytes;
    int fd; /* -1: no file yet; the thread's while is_working */
    struct gw_error error;

    char *chunk;
    size_t chunk_n;
    int64_t chunk_pos; /* replay: position of its first byte */
    bool is_working;
    struct file_job job;
    struct gw_error job_error;

    struct pipe *out; /* being written */
    int64_t pos;      /* of the next byte for it */
};

/* --- on a thread --- */

static void open_file(struct spool *s)
{
    char name[PATH_MAX];

    s->fd = open(s->dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);
    if (s->fd >= 0)
        return;
    /* Some file systems cannot do that. */
    snprintf(name, sizeof(name), "%s/.spool-XXXXXX", s->dir);
    s->fd = mkostemp(name, O_CLOEXEC);
    if (s->fd >= 0)
        unlink(name);
    else if (errno == ENOENT || errno == ENOTDIR)
        err_set(&s->job_error, GW_INTERNAL, "the spool directory is missing");
    else
        file_work_errno(&s->job_error, "make a spool file");
}

static void write_chunk(void *arg)
{
    struct spool *s = arg;

    if (s->fd < 0)
        open_file(s);
    if (s->job_error.err == GW_OK)
        file_work_pwrite(s->fd, s->chunk, s->chunk_n, s->file_bytes,
                         &s->job_error);
}

static void read_chunk(void *arg)
{
    struct spool *s = arg;
    int64_t from = s->chunk_pos - (int64_t)s->memory.n;

    s->chunk_n = (size_t)MIN(s->file_bytes - from, (int64_t)LIMIT_FILE_CHUNK);
    if (file_work_pread(s->fd, s->chunk, s->chunk_n, from, &s->job_error) !=
        GW_OK)
        s->chunk_n = 0;
}

static void dispose(void *arg)
{
    struct spool *s = arg;

    if (s->fd >= 0)
        close(s->fd);
    buf_release(&s->memory);
    free(s->chunk);
    free(s->dir);
    free(s);
}

/* --- filling --- */

static void on_written(void *arg);

static void work(struct spool *s, void (*fn)(void *arg),
                 void (*done)(void *arg))
{
    ASSERT(!s->is_working);
    s->is_working = true;
    s->job_error = (struct gw_error){0};
    file_pool_submit(file_io_pool(s->io), &s->job, s->loop, fn, done, s);
}

static void finish(struct spool *s)
{
    pipe_set_reader(s->source, NULL, NULL);
    s->source = NULL;
    s->done(s->arg, &s->error);
}

/* Where the next bytes go, and how many fit. */
static char *room(struct spool *s, size_t *n)
{
    char *p;

    *n = MIN((size_t)MEMORY_STEP, s->memory.max - s->memory.n);
    if (*n) {
        p = buf_reserve(&s->memory, *n);
        ASSERT(p);
        return p;
    }
    if (!s->chunk)
        s->chunk = xmalloc(LIMIT_FILE_CHUNK);
    *n = LIMIT_FILE_CHUNK - s->chunk_n;
    return s->chunk + s->chunk_n;
}

static bool take_some(struct spool *s)
{
    bool is_memory = s->memory.n < s->memory.max;
    size_t cap, n;
    char *p = room(s, &cap);

    n = cap ? pipe_read(s->source, p, cap) : 0;
    if (is_memory)
        buf_commit(&s->memory, n);
    else
        s->chunk_n += n;
    if (spool_size(s) > s->total_max)
        err_plain(&s->error, GW_FILE_TOO_LARGE);
    return n > 0;
}

static void fill(void *arg)
{
    struct spool *s = arg;

    if (!s->source || s->is_working || s->is_freed)
        return;
    while (s->error.err == GW_OK && take_some(s))
        ;
    if (s->error.err == GW_OK && pipe_outcome(s->source) == PIPE_ERROR)
        s->error = *pipe_error(s->source);
    if (s->error.err != GW_OK)
        finish(s);
    else if (s->chunk_n == LIMIT_FILE_CHUNK ||
             (s->chunk_n && pipe_is_drained(s->source)))
        work(s, write_chunk, on_written);
    else if (pipe_is_drained(s->source))
        finish(s);
}

static void on_written(void *arg)
{
    struct spool *s = arg;

    s->is_working = false;
    s->error = s->job_error;
    if (s->error.err == GW_OK)
        s->file_bytes += (int64_t)s->chunk_n;
    s->chunk_n = 0;
    fill(s);
}

static void on_source(void *arg)
{
    struct spool *s = arg;

    loop_defer(s->loop, &s->task, fill, s);
}

static const struct pipe_reader_ops source_ops = {.readable = on_source};

struct spool *spool_new(struct file_io *io, struct loop *l,
                        const struct spool_limits *limits, struct pipe *source,
                        void (*done)(void *arg, const struct gw_error *e),
                        void *arg)
{
    struct spool *s = xcalloc(1, sizeof(*s));

    *s = (struct spool){.io = io,
                        .loop = l,
                        .total_max = limits->total,
                        .dir = xstrdup(limits->dir),
                        .source = source,
                        .done = done,
                        .arg = arg,
                        .fd = -1};
    buf_init(&s->memory, limits->memory);
    pipe_set_reader(source, &source_ops, s);
    on_source(s);
    return s;
}

int64_t spool_size(const struct spool *s)
{
    /* While it is filled the chunk is not in the file yet; in a replay it is
     * a copy. */
    return (int64_t)s->memory.n + s->file_bytes +
           (s->source ? (int64_t)s->chunk_n : 0);
}

/* --- replaying --- */

static void on_read(void *arg);

static bool is_in_chunk(const struct spool *s)
{
    return s->pos >= s->chunk_pos &&
           s->pos < s->chunk_pos + (int64_t)s->chunk_n;
}

/* Have the chunk at `pos` read, unless that is under way or needless. */
static void fetch(struct spool *s)
{
    if (s->is_working || is_in_chunk(s) || s->pos < (int64_t)s->memory.n ||
        s->pos == spool_size(s))
        return;
    s->chunk_pos = s->pos;
    work(s, read_chunk, on_read);
}

static void on_read(void *arg)
{
    struct spool *s = arg;

    s->is_working = false;
    if (!s->out)
        return;
    if (s->job_error.err != GW_OK)
        pipe_fail(s->out, &s->job_error);
    else if (is_in_chunk(s))
        pipe_notify(s->out);
    else
        fetch(s); /* another replay began meanwhile */
}

static size_t copy_from(struct spool *s, const char *p, size_t n, int64_t from,
                        char *buf, size_t cap)
{
    size_t at = (size_t)(s->pos - from), part = MIN(cap, n - at);

    memcpy(buf, p + at, part);
    s->pos += (int64_t)part;
    return part;
}

static size_t pull(void *arg, char *buf, size_t cap)
{
    struct spool *s = arg;
    size_t n = 0;

    if (s->pos == spool_size(s)) {
        pipe_end(s->out);
        return 0;
    }
    if (s->pos < (int64_t)s->memory.n)
        n = copy_from(s, s->memory.p, s->memory.n, 0, buf, cap);
    else if (!s->is_working && is_in_chunk(s))
        n = copy_from(s, s->chunk, s->chunk_n, s->chunk_pos, buf, cap);
    fetch(s);
    return n;
}

static void on_cancelled(void *arg)
{
    struct spool *s = arg;

    pipe_set_writer(s->out, NULL, NULL);
    s->out = NULL;
}

static const struct pipe_writer_ops out_ops = {
    .pull = pull,
    .cancelled = on_cancelled,
};

void spool_replay(struct spool *s, struct pipe *out)
{
    ASSERT(!s->source && s->error.err == GW_OK);
    if (s->out)
        pipe_set_writer(s->out, NULL, NULL);
    s->out = out;
    s->pos = 0;
    pipe_set_writer(out, &out_ops, s);
}

/* --- the end --- */

static void leave(void *memory)
{
    struct spool *s = memory;

    file_pool_abandon(file_io_pool(s->io), &s->job, dispose, s);
}

void spool_free(struct spool *s)
{
    if (!s)
        return;
    s->is_freed = true;
    if (s->source)
        pipe_set_reader(s->source, NULL, NULL);
    if (s->out)
        pipe_set_writer(s->out, NULL, NULL);
    s->out = NULL;
    loop_task_cancel(s->loop, &s->task);
    loop_reap(s->loop, s, leave);
}
