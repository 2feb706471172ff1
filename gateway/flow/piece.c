#include "gateway/flow/piece.h"

#include "gateway/base/bug.h"

/* Memory grows by so much while bytes come. */
#define STEP (256 * KIB)

static void count(struct piece *p, int64_t n)
{
    if (p->held)
        metric_add(p->held, n);
}

/* As much as there is now, one byte further than the piece. */
static void fill(struct piece *p)
{
    size_t left, n;

    while (p->bytes.n <= p->want) {
        left = MIN(p->want + 1 - p->bytes.n, STEP);
        n = pipe_read(p->source, buf_reserve(&p->bytes, left), left);
        if (!n)
            return;
        buf_commit(&p->bytes, n);
        count(p, (int64_t)n);
    }
}

static void fail(struct piece *p, const struct gw_error *e)
{
    p->has_failed = true;
    p->ops->failed(p->arg, e);
}

static void look(void *arg)
{
    struct piece *p = arg;
    struct gw_error gone = {0};
    size_t want = p->want;

    if (p->has_failed)
        return;
    if (want)
        fill(p);
    switch (pipe_outcome(p->source)) {
    case PIPE_ERROR:
        fail(p, pipe_error(p->source));
        return;
    case PIPE_CANCELLED:
        err_plain(&gone, GW_CLIENT_GONE);
        fail(p, &gone);
        return;
    case PIPE_OPEN:
        if (p->bytes.n <= want)
            return;
        break;
    case PIPE_END:
        break;
    }
    if (!want)
        return;
    p->used = MIN(want, p->bytes.n);
    p->want = 0;
    p->ops->ready(p->arg, str_make(buf_str(&p->bytes).p, p->used),
                  p->bytes.n <= want && pipe_is_drained(p->source));
}

static void on_readable(void *arg)
{
    struct piece *p = arg;

    loop_defer(p->loop, &p->task, look, p);
}

static const struct pipe_reader_ops reader_ops = {.readable = on_readable};

void piece_open(struct piece *p, struct loop *l, struct pipe *source,
                struct metric_series *held, const struct piece_ops *ops,
                void *arg)
{
    *p = (struct piece){
        .loop = l, .source = source, .held = held, .ops = ops, .arg = arg};
    buf_init(&p->bytes, LIMIT_PIECE_BYTES + 1);
    pipe_set_reader(source, &reader_ops, p);
}

void piece_close(struct piece *p)
{
    if (!p->source)
        return;
    pipe_set_reader(p->source, NULL, NULL);
    loop_task_cancel(p->loop, &p->task);
    count(p, -(int64_t)p->bytes.n);
    buf_release(&p->bytes);
    p->source = NULL;
}

void piece_next(struct piece *p, size_t want)
{
    ASSERT(p->source && !p->want && want && want <= LIMIT_PIECE_BYTES);
    buf_consume(&p->bytes, p->used);
    count(p, -(int64_t)p->used);
    p->used = 0;
    p->want = want;
    loop_defer(p->loop, &p->task, look, p);
}
