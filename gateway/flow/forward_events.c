#include "gateway/base/bug.h"
#include "gateway/flow/forward_impl.h"

/*   provider ─► in ─► sse ─► the ids of the event ─► out ─► client
 *                              │ one is not known
 *                              ▼
 *                         first … last: this event and what came behind it in
 *                                       the same bytes, until it is
 *
 * While an event waits, or the client does not read, nothing more is read. What
 * the parser and the row hold is accounted for.
 */

#define READ_BYTES (16 * KIB)
#define ROUNDS 16 /* of reading, then others get their turn */

struct forward_event {
    struct forward_event *next;
    struct sse_event ev; /* raw alone: bytes that are in no event */
    struct id_found found;
    size_t bytes;
};

static void pump(void *arg);

static void give(struct forward *f, struct str bytes)
{
    struct pipe *out = f->t->pipe;

    /* A failure came by while an event waited. */
    if (pipe_outcome(out) != PIPE_OPEN)
        return;
    if (!pipe_write(out, bytes.p, bytes.n))
        f->holds_events = true;
}

static void emit(struct forward *f, const struct sse_event *ev,
                 const struct id_found *found)
{
    struct buf data, raw;
    bool is_changed = false;

    for (size_t i = 0; i < found->n; i++)
        is_changed = is_changed || found->v[i].with.p;
    if (!is_changed) {
        give(f, ev->raw);
        return;
    }
    /* An id of ours may be longer than theirs. */
    buf_init(&data, ev->data.n + id_growth(found));
    buf_init(&raw, 2 * ev->raw.n + id_growth(found));
    id_write(found, ev->data, &data);
    sse_write(ev, buf_str(&data), &raw);
    ASSERT(!data.overflow && !raw.overflow);
    give(f, buf_str(&raw));
    buf_release(&data);
    buf_release(&raw);
}

/* --- the row of those that wait --- */

static struct str dup_or_null(struct arena *a, struct str s)
{
    return s.p ? arena_dup(a, s) : STR_NULL;
}

static void append(struct forward *f, const struct sse_event *ev)
{
    struct forward_event *n;
    struct arena *a;

    /* One for them all: they may be as short as an empty line. */
    if (!f->row)
        f->row = arena_new();
    a = f->row;
    n = arena_new_of(a, struct forward_event);
    n->ev = *ev;
    n->ev.raw = arena_dup(a, ev->raw);
    n->ev.name = dup_or_null(a, ev->name);
    n->ev.data = dup_or_null(a, ev->data);
    n->bytes = sizeof(*n) + ev->raw.n + ev->data.n;
    if (f->first)
        f->last->next = n;
    else
        f->first = n;
    f->last = n;
}

static void drop_first(struct forward *f)
{
    f->first = f->first->next;
    if (f->first)
        return;
    arena_free(f->row);
    f->row = NULL;
}

/* Of the stream's last: "data: [DONE]" is no JSON. */
static bool has_ids(const struct sse_event *ev)
{
    return ev->data.n && !str_eq(ev->data, STR("[DONE]"));
}

static void looked(struct forward *f, const struct gw_error *e)
{
    if (f->is_over)
        return;
    if (e->err != GW_OK) {
        forward_fail(f, e);
        return;
    }
    emit(f, &f->first->ev, &f->first->found);
    drop_first(f);
    pump(f);
}

/* Those that can go; false when one waits, or there was a fault. */
static bool work_off(struct forward *f)
{
    struct gw_error e = {0};

    while (f->first) {
        struct forward_event *n = f->first;

        if (has_ids(&n->ev) &&
            id_find(f->row, f->places, n->ev.data, &n->found, &e)) {
            forward_fail(f, &e);
            return false;
        }
        if (!forward_ids_fill(f, &n->found)) {
            forward_ids_look(f, &n->found, looked);
            return false;
        }
        emit(f, &n->ev, &n->found);
        drop_first(f);
    }
    return true;
}

/* --- the parser's --- */

static void on_event(void *arg, const struct sse_event *ev)
{
    struct forward *f = arg;
    struct id_found found = {0};
    struct gw_error e = {0};
    struct arena *a;

    if (f->first) {
        append(f, ev);
        return;
    }
    if (!has_ids(ev)) {
        give(f, ev->raw);
        return;
    }
    a = arena_new();
    if (id_find(a, f->places, ev->data, &found, &e) == GW_OK &&
        forward_ids_fill(f, &found))
        emit(f, ev, &found);
    else
        append(f, ev); /* a fault is found again, outside the parser */
    arena_free(a);
}

static void on_rest(void *arg, struct str raw)
{
    struct forward *f = arg;
    struct sse_event ev = {.raw = raw};

    if (f->first)
        append(f, &ev);
    else
        give(f, raw);
}

static const struct sse_ops sse_ops = {.event = on_event, .rest = on_rest};

/* --- the way through --- */

static enum gw_err account(struct forward *f, struct gw_error *e)
{
    int64_t bytes = (int64_t)sse_holds(&f->sse), more;
    const struct forward_event *n;

    for (n = f->first; n; n = n->next)
        bytes += (int64_t)n->bytes;
    more = bytes - f->event_bytes;
    if (more > 0 && held_take(f->t->sv->held, more,
                              f->t->conf->forward.max_held_bytes, e) != GW_OK)
        return e->err;
    if (more < 0)
        held_give_back(f->t->sv->held, -more);
    f->event_bytes = bytes;
    return GW_OK;
}

static void end(struct forward *f)
{
    bool has_failed = pipe_outcome(f->in) == PIPE_ERROR;
    struct gw_error e = {0};

    if (has_failed) {
        f->is_at_end = true;
        pipe_fail(f->t->pipe, pipe_error(f->in));
        return;
    }
    if (!pipe_is_drained(f->in))
        return;
    if (!f->is_at_end)
        sse_finish(&f->sse);
    f->is_at_end = true;
    if (account(f, &e) != GW_OK)
        forward_fail(f, &e);
    else if (work_off(f)) /* else once more, when the last one can go */
        pipe_end(f->t->pipe);
}

/* One round; false when there is nothing to do now. */
static bool move(struct forward *f)
{
    char bytes[READ_BYTES];
    struct gw_error e = {0};
    size_t n;

    if (f->is_over || f->look || f->holds_events || !work_off(f))
        return false;
    n = pipe_read(f->in, bytes, sizeof(bytes));
    if (n == 0) {
        end(f);
        return false;
    }
    if (sse_feed(&f->sse, bytes, n, &e) != GW_OK || account(f, &e) != GW_OK) {
        forward_fail(f, &e);
        return false;
    }
    return true;
}

static void pump(void *arg)
{
    struct forward *f = arg;

    for (int i = 0; i < ROUNDS; i++)
        if (!move(f))
            return;
    loop_defer(f->t->sv->loop, &f->turn, pump, f);
}

static void on_readable(void *arg)
{
    pump(arg);
}

static void on_room(void *arg)
{
    struct forward *f = arg;

    f->holds_events = false;
    pump(f);
}

static void on_cancelled(void *arg)
{
    struct forward *f = arg;

    pipe_cancel(f->in);
}

static const struct pipe_reader_ops in_ops = {.readable = on_readable};
static const struct pipe_writer_ops out_ops = {.resume = on_room,
                                               .cancelled = on_cancelled};

void forward_events_begin(struct forward *f)
{
    struct txn *t = f->t;

    sse_init(&f->sse, (size_t)t->conf->forward.max_event_bytes, &sse_ops, f);
    t->pipe = pipe_new(t->sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH,
                       t->sv->pipe_bytes);
    pipe_set_writer(t->pipe, &out_ops, f);
    pipe_set_reader(f->in, &in_ops, f);
    txn_reply_pipe(t, f->status, &f->fields, -1, t->pipe);
}

void forward_events_release(struct forward *f)
{
    /* It may be left from a turn whose rounds ran out. */
    loop_task_cancel(f->t->sv->loop, &f->turn);
    while (f->first)
        drop_first(f);
    sse_release(&f->sse);
    if (f->event_bytes)
        held_give_back(f->t->sv->held, f->event_bytes);
    f->event_bytes = 0;
}
