#include "gateway/flow/job_step.h"

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"

/* An id of a provider and a name, all of it escaped, fit in. */
#define ENTRY_BYTES (32 * KIB)

struct str job_arg(const struct job_step *s, const char *name)
{
    return json_str(json_get(s->args, name));
}

/* --- items --- */

struct job_item *job_step_room(struct job_step *s, size_t n)
{
    s->items = arena_alloc(s->arena, (n + 1) * sizeof(*s->items));
    for (size_t i = 0; i < n; i++)
        s->items[i].step = s;
    return s->items;
}

static void pump(void *arg)
{
    struct job_step *s = arg;

    while (s->next < s->nitems && s->running < JOB_ITEMS_AT_ONCE) {
        s->running++;
        s->start(&s->items[s->next++]);
    }
    if (s->running)
        return;
    /* Items may have ended while they were started. */
    loop_task_cancel(s->sv->loop, &s->pump);
    if (s->is_lost)
        job_step_abandon(s);
    else
        s->all_done(s);
}

void job_step_items(struct job_step *s, size_t n,
                    void (*start)(struct job_item *i),
                    void (*all_done)(struct job_step *s))
{
    s->nitems = n;
    s->next = s->running = 0;
    s->start = start;
    s->all_done = all_done;
    loop_defer(s->sv->loop, &s->pump, pump, s);
}

void job_item_end(struct job_item *i)
{
    struct job_step *s = i->step;

    ASSERT(s->running > 0);
    s->running--;
    loop_defer(s->sv->loop, &s->pump, pump, s);
}

void job_item_lost(struct job_item *i)
{
    i->step->is_lost = true;
    job_item_end(i);
}

void job_item_failed(struct job_item *i, const struct gw_error *e)
{
    struct job_step *s = i->step;
    struct job_entry n;

    s->job->failed++;
    job_entry_begin(s, &n, JOB_FAILURE, false);
    if (i->record.obj.id.n)
        json_put_str(&n.json, "id", i->record.obj.id);
    if (i->provider)
        json_put_cstr(&n.json, "provider", i->provider->name);
    if (i->file.id.n)
        json_put_str(&n.json, "upstream_id", i->file.id);
    json_put_cstr(&n.json, "message", e->message);
    job_entry_end(s, &n);
    job_item_end(i);
}

/* --- entries --- */

void job_entry_begin(struct job_step *s, struct job_entry *n,
                     enum job_count what, bool is_todo)
{
    s->job->counts[what]++;
    n->is_reported = s->job->counts[what] <= JOB_REPORT_MAX;
    n->is_todo = is_todo;
    buf_init(&n->text, ENTRY_BYTES);
    json_out_init(&n->json, &n->text);
    json_open(&n->json, NULL, '{');
    json_put_cstr(&n->json, "what", job_count_name(what));
}

static void add_text(struct arena *a, struct job_texts *t, struct str text)
{
    struct str *wider;

    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 32;
        wider = arena_alloc(a, t->cap * sizeof(*wider));
        if (t->n)
            memcpy(wider, t->v, t->n * sizeof(*wider));
        t->v = wider;
    }
    t->v[t->n++] = text;
}

void job_entry_end(struct job_step *s, struct job_entry *n)
{
    struct str text;

    json_close(&n->json);
    ASSERT(!n->text.overflow);
    text = arena_dup(s->arena, buf_str(&n->text));
    if (n->is_reported)
        add_text(s->arena, &s->report, text);
    if (n->is_todo)
        add_text(s->arena, &s->todo, text);
    buf_release(&n->text);
}

/* --- the end of a step --- */

static void on_written(void *arg, bool changed, const struct gw_error *e)
{
    struct job_step *s = arg;

    s->call = NULL;
    s->over(s, changed && e->err == GW_OK);
}

void job_step_end(struct job_step *s)
{
    struct job *j = s->job;
    struct job_change c = {
        .delay_ms = s->delay_ms,
        .ntaken = s->ntaken,
        .report = s->report.v,
        .nreport = s->report.n,
        .todo = s->todo.v,
        .ntodo = s->todo.n,
    };

    j->updated_s = clock_wall_s();
    if (job_is_over(j))
        j->ended_s = j->updated_s;
    s->call = job_store_update(s->sv->redis, j, &c, on_written, s);
}

void job_step_fail(struct job_step *s, const struct gw_error *e)
{
    s->job->state = JOB_FAILED;
    s->job->error = arena_dup(s->arena, str_of(e->message));
    job_step_end(s);
}

void job_step_abandon(struct job_step *s)
{
    s->over(s, false);
}

bool job_step_retry(struct job_step *s)
{
    int64_t by = JOB_RETRY_MS;

    if (s->job->tries >= JOB_TRIES_MAX)
        return false;
    for (int64_t i = 0; i < s->job->tries; i++)
        by *= 4;
    s->job->tries++;
    s->delay_ms = by;
    return true;
}
