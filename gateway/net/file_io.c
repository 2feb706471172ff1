/* A call alternates between a thread (one step of file_work) and the loop (the
 * pipe): while a step is under way, the work's data is the thread's.
 *
 *     PUT     fill a chunk from the source ──> step ──> fill … ──> commit
 *     READ    step ──> head(), chunk into the sink, wait for room ──> step …
 *     others  step
 *
 * The end, however it comes, hands the work to a thread once more: closing and
 * removing may block too. done() does not wait for that.
 */
#include "gateway/net/file_io.h"

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/net/file_pool.h"
#include "gateway/net/file_work.h"

struct file_io {
    struct file_pool *pool;
};

enum call_state {
    CALL_WORKING, /* a thread has the work */
    CALL_PIPING,  /* waits for the pipe */
    CALL_OVER,    /* ended or aborted; gone at the end of the turn */
};

struct file_call {
    struct file_io *io;
    struct loop *loop;
    enum call_state state;
    struct arena *arena;
    struct pipe *stream;
    const struct file_call_ops *ops;
    void *arg;
    struct file_work work;
    struct file_job job;
    struct loop_task task;
    struct gw_error error; /* the first failure */
    bool is_sinking;       /* head() was told: the sink gets an outcome */
};

static void go_on(void *arg);

/* --- the end --- */

static void dispose(void *arg)
{
    struct file_call *k = arg;

    file_work_release(&k->work);
    free(k);
}

static void leave(void *memory)
{
    struct file_call *k = memory;

    file_pool_abandon(k->io->pool, &k->job, dispose, k);
}

/* From here on nothing that was borrowed is touched. */
static void retire(struct file_call *k)
{
    k->state = CALL_OVER;
    if (k->stream && k->work.verb == FILE_PUT)
        pipe_set_reader(k->stream, NULL, NULL);
    if (k->stream && k->work.verb == FILE_READ)
        pipe_set_writer(k->stream, NULL, NULL);
    loop_task_cancel(k->loop, &k->task);
    loop_reap(k->loop, k, leave);
}

static void copy_list(const struct file_work *w, struct arena *a,
                      struct file_res *res)
{
    size_t i;

    if (!w->nfound)
        return;
    res->list = arena_alloc(a, w->nfound * sizeof(*res->list));
    for (i = 0; i < w->nfound; i++) {
        const struct file_found *f = &w->found[i];

        res->list[i] = (struct file_entry){arena_dup(a, str_of(f->name)),
                                           f->size, f->mtime_s};
    }
    res->nlist = w->nfound;
}

static struct file_res result_of(const struct file_call *k)
{
    return (struct file_res){
        .err = k->error.err, .size = k->work.size, .mtime_s = k->work.mtime_s};
}

/* Tell the sink, then the owner. Each of them may abort the call. */
static void finish(struct file_call *k)
{
    struct file_res res = result_of(k);

    if (k->is_sinking && res.err == GW_OK)
        pipe_end(k->stream);
    else if (k->is_sinking)
        pipe_fail(k->stream, &k->error);
    if (k->state == CALL_OVER)
        return;
    copy_list(&k->work, k->arena, &res);
    retire(k);
    k->ops->done(k->arg, &res, &k->error);
}

/* --- steps --- */

static void on_step(void *arg);

static void on_thread(void *arg)
{
    struct file_call *k = arg;

    file_work_step(&k->work);
}

static void step(struct file_call *k)
{
    k->state = CALL_WORKING;
    file_pool_submit(k->io->pool, &k->job, k->loop, on_thread, on_step, k);
}

/* FILE_PUT: take what the source has; a full chunk or the end of the source
 * makes a step. */
static void fill_chunk(struct file_call *k)
{
    struct file_work *w = &k->work;
    size_t n;

    do {
        n = pipe_read(k->stream, w->chunk + w->n, LIMIT_FILE_CHUNK - w->n);
        w->n += n;
    } while (n && w->n < LIMIT_FILE_CHUNK);
    if (w->n == LIMIT_FILE_CHUNK || pipe_is_drained(k->stream)) {
        w->is_last = pipe_is_drained(k->stream);
        step(k);
    } else if (pipe_outcome(k->stream) == PIPE_ERROR) {
        k->error = *pipe_error(k->stream);
        finish(k);
    }
}

/* FILE_READ: hand on the chunk. */
static void send_chunk(struct file_call *k)
{
    struct file_work *w = &k->work;
    struct file_res res = result_of(k);
    bool may_go_on;

    if (!k->is_sinking) {
        k->is_sinking = true;
        if (k->ops->head)
            k->ops->head(k->arg, &res);
    }
    if (k->state == CALL_OVER)
        return;
    may_go_on = !w->n || pipe_write(k->stream, w->chunk, w->n);
    if (k->state == CALL_OVER || k->error.err != GW_OK)
        return;
    if (w->left == 0)
        finish(k);
    else if (may_go_on)
        step(k);
}

static void on_step(void *arg)
{
    struct file_call *k = arg;

    if (k->state == CALL_OVER)
        return; /* aborted in this turn */
    k->state = CALL_PIPING;
    if (k->error.err == GW_OK)
        k->error = k->work.error;
    if (k->error.err != GW_OK)
        finish(k);
    else if (k->work.verb == FILE_READ)
        send_chunk(k);
    else if (k->work.verb == FILE_PUT && !k->work.is_last)
        fill_chunk(k);
    else
        finish(k);
}

/* --- the pipe --- */

/* The call's task: it was started, or the pipe lets it go on. */
static void go_on(void *arg)
{
    struct file_call *k = arg;

    if (k->state != CALL_PIPING)
        return;
    if (k->error.err != GW_OK)
        finish(k);
    else if (k->work.verb == FILE_PUT)
        fill_chunk(k);
    else
        step(k);
}

static void wake(void *arg)
{
    struct file_call *k = arg;

    loop_defer(k->loop, &k->task, go_on, k);
}

static void on_sink_gone(void *arg)
{
    struct file_call *k = arg;

    err_set(&k->error, GW_CLIENT_GONE, "the reader of the file gave up");
    wake(k);
}

static const struct pipe_reader_ops source_ops = {.readable = wake};
static const struct pipe_writer_ops sink_ops = {
    .resume = wake,
    .cancelled = on_sink_gone,
};

/* --- calls --- */

struct file_call *file_io_start(struct file_io *io, struct loop *l,
                                struct arena *a, const struct file_req *req,
                                struct pipe *stream,
                                const struct file_call_ops *ops, void *arg)
{
    struct file_call *k = xcalloc(1, sizeof(*k));

    *k = (struct file_call){.io = io,
                            .loop = l,
                            .state = CALL_PIPING,
                            .arena = a,
                            .stream = stream,
                            .ops = ops,
                            .arg = arg};
    file_work_init(&k->work, req);
    if (req->verb == FILE_PUT)
        pipe_set_reader(stream, &source_ops, k);
    if (req->verb == FILE_READ)
        pipe_set_writer(stream, &sink_ops, k);
    wake(k);
    return k;
}

void file_call_abort(struct file_call *k)
{
    if (k->state != CALL_OVER)
        retire(k);
}

/* --- the whole --- */

struct file_io *file_io_open(unsigned threads)
{
    struct file_io *io = xcalloc(1, sizeof(*io));

    io->pool = file_pool_open(threads);
    return io;
}

void file_io_close(struct file_io *io)
{
    if (!io)
        return;
    file_pool_close(io->pool);
    free(io);
}

struct file_pool *file_io_pool(struct file_io *io)
{
    return io->pool;
}

void file_io_clean(const char *dir)
{
    file_work_clean(dir);
}
