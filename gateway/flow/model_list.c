#include "gateway/flow/model_list.h"

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"

/* A page of one provider, by its name. */
struct known {
    struct known *next;
    struct arena *arena; /* all of it */
    const char *provider;
    struct model_list list;
    int64_t until_ms;
};

struct model_cache {
    struct known *first;
};

struct model_fetch {
    struct model_fetch *next;
    struct model_ask *ask;
    const struct provider_conf *provider;
    struct upstream *up;
    struct pipe *pipe;
    struct buf text;
    bool is_over;
};

/* --- what is kept --- */

struct model_cache *model_cache_open(void)
{
    return xcalloc(1, sizeof(struct model_cache));
}

static struct known **place_of(struct model_cache *c, const char *provider)
{
    struct known **at = &c->first;

    while (*at && strcmp((*at)->provider, provider) != 0)
        at = &(*at)->next;
    return at;
}

static void forget(struct model_cache *c, const char *provider)
{
    struct known **at = place_of(c, provider), *k = *at;

    if (!k)
        return;
    *at = k->next;
    arena_free(k->arena);
}

void model_cache_close(struct model_cache *c)
{
    while (c->first)
        forget(c, c->first->provider);
    free(c);
}

const struct model_list *model_cache_get(const struct model_cache *c,
                                         const char *provider)
{
    const struct known *k = c->first;

    while (k && strcmp(k->provider, provider) != 0)
        k = k->next;
    return k ? &k->list : NULL;
}

static bool is_fresh(const struct model_ask *a, const char *provider)
{
    const struct known *k = *place_of(a->sv->models, provider);

    return k && loop_now_ms(a->sv->loop) < k->until_ms;
}

/* --- what a provider says --- */

static bool read_model(struct arena *a, const struct json *v,
                       struct model_info *m)
{
    struct str id = json_str(json_get(v, "id"));

    if (!id.n || id.n > LIMIT_MODEL_BYTES)
        return false;
    m->id = arena_dup(a, id);
    m->owned_by = json_str(json_get(v, "owned_by"));
    if (m->owned_by.n > LIMIT_MODEL_BYTES)
        m->owned_by = STR("");
    m->owned_by = arena_dup(a, m->owned_by);
    if (!json_int(json_get(v, "created"), &m->created))
        m->created = 0;
    return true;
}

/* {"data": […]}, or the array alone. */
static bool keep(struct model_fetch *f)
{
    struct model_cache *c = f->ask->sv->models;
    struct arena *work = arena_new(), *a;
    struct gw_error ignored = {0};
    const struct json *v = json_parse(work, buf_str(&f->text), &ignored);
    const struct json *data = json_is_array(v) ? v : json_get(v, "data");
    bool is_list = json_is_array(data);
    struct known *k;

    if (is_list) {
        size_t n = MIN(json_count(data), (size_t)LIMIT_MODELS);

        a = arena_new();
        k = arena_new_of(a, struct known);
        k->arena = a;
        k->provider = arena_cstr(a, str_of(f->provider->name));
        k->until_ms = loop_now_ms(f->ask->sv->loop) + MODEL_LIST_LIFE_MS;
        k->list.v = arena_alloc(a, (n + 1) * sizeof(k->list.v[0]));
        for (size_t i = 0; i < n; i++)
            k->list.n += read_model(a, json_at(data, i), &k->list.v[k->list.n]);
        forget(c, f->provider->name);
        k->next = c->first;
        c->first = k;
    }
    arena_free(work);
    return is_list;
}

/* --- asking --- */

static void finish(struct model_ask *a)
{
    model_ask_abort(a);
    a->done(a->arg);
}

static void end_fetch(struct model_fetch *f)
{
    f->is_over = true;
    if (--f->ask->nwaiting == 0)
        finish(f->ask);
}

static void leave_out(struct model_fetch *f, const char *why)
{
    log_warn("the models of '%s' are left out: %s", f->provider->name, why);
    forget(f->ask->sv->models, f->provider->name);
}

static void take(void *arg)
{
    struct model_fetch *f = arg;
    char bytes[8 * KIB];
    size_t n;

    while ((n = pipe_read(f->pipe, bytes, sizeof(bytes))) > 0)
        buf_add(&f->text, bytes, n);
}

static void on_head(void *arg, const struct upstream_head *h)
{
    (void)arg;
    (void)h;
}

static void on_done(void *arg, const struct gw_error *e)
{
    struct model_fetch *f = arg;

    if (e->err == GW_OK)
        take(f);
    if (e->err != GW_OK)
        leave_out(f, e->message);
    else if (f->text.overflow || !keep(f))
        leave_out(f, "the answer is no list, or too long");
    end_fetch(f);
}

static const struct upstream_ops fetch_ops = {.head = on_head, .done = on_done};
static const struct pipe_reader_ops pipe_ops = {.readable = take};

static void release(void *arg)
{
    struct model_fetch *f = arg;

    pipe_free(f->pipe);
    buf_release(&f->text);
}

static void fetch(struct model_ask *a, const struct provider_conf *p)
{
    struct model_fetch *f = arena_new_of(a->arena, struct model_fetch);

    *f = (struct model_fetch){.next = a->fetches, .ask = a, .provider = p};
    a->fetches = f;
    a->nwaiting++;
    buf_init(&f->text, LIMIT_UPSTREAM_REPLY_BYTES);
    f->pipe = pipe_new(a->sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH,
                       a->sv->pipe_bytes);
    arena_on_free(a->arena, release, f);
    pipe_set_reader(f->pipe, &pipe_ops, f);
    f->up = upstream_new(a->sv, a->arena, p, PROV_FORWARD);
    f->up->op.forward = (struct prov_forward){
        .method = "GET",
        .path = STR("models"),
        .accept = STR("application/json"),
    };
    upstream_start(f->up, NULL, f->pipe, &fetch_ops, f);
}

static void on_late(void *arg)
{
    struct model_ask *a = arg;
    struct model_fetch *f;

    for (f = a->fetches; f; f = f->next)
        if (!f->is_over)
            leave_out(f, "it took too long");
    finish(a);
}

static void on_none(void *arg)
{
    finish(arg);
}

void model_ask_start(struct model_ask *a, struct services *sv, struct arena *ar,
                     const struct provider_conf *const *providers, size_t n,
                     void (*done)(void *arg), void *arg)
{
    *a = (struct model_ask){.sv = sv, .arena = ar, .done = done, .arg = arg};
    loop_timer_init(sv->loop, &a->timer, on_late, a);
    loop_timer_set(&a->timer, MODEL_LIST_WAIT_MS);
    for (size_t i = 0; i < n; i++)
        if (!is_fresh(a, providers[i]->name))
            fetch(a, providers[i]);
    if (!a->nwaiting)
        loop_defer(sv->loop, &a->task, on_none, a);
}

void model_ask_abort(struct model_ask *a)
{
    struct model_fetch *f;

    if (!a->sv)
        return;
    loop_timer_release(&a->timer);
    loop_task_cancel(a->sv->loop, &a->task);
    for (f = a->fetches; f; f = f->next)
        upstream_abort(f->up);
}
