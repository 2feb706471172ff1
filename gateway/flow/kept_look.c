#include "gateway/flow/kept_look.h"

#include "gateway/base/log.h"
#include "gateway/flow/kept.h"
#include "providers/prov_said.h"

#define READ_BYTES (16 * KIB)

static void next_site(struct kept_look *l);

/* Everything that is not the arena's. */
static void let_go(struct kept_look *l)
{
    if (l->pipe) {
        pipe_set_reader(l->pipe, NULL, NULL);
        pipe_free(l->pipe);
    }
    l->pipe = NULL;
    buf_release(&l->answer);
}

/* The only way out but kept_look_abort(). */
static void finish(struct kept_look *l, const struct gw_error *e)
{
    let_go(l);
    l->done(l->arg, e);
}

static void finish_well(struct kept_look *l)
{
    struct gw_error ok = {0};

    finish(l, &ok);
}

/* --- the record --- */

static void on_written(void *arg, bool changed, const struct gw_error *e)
{
    struct kept_look *l = arg;

    (void)changed; /* else it was deleted meanwhile */
    (void)e;       /* what is not written is looked at again */
    l->call = NULL;
    finish_well(l);
}

static void see(struct kept_look *l)
{
    struct buf out;

    buf_init(&out, l->answer.n + id_growth(&l->sites));
    id_write(&l->sites, buf_str(&l->answer), &out);
    l->text = arena_dup(l->arena, buf_str(&out));
    buf_release(&out);
    if (!kept_see(&l->record, l->text))
        finish_well(l);
    else
        l->call = kept_store_update(l->sv->redis, &l->record, on_written, l);
}

static void forget(struct kept_look *l)
{
    l->is_gone = true;
    l->call = kept_store_delete(l->sv->redis, &l->record, on_written, l);
}

/* --- the ids in it --- */

static void take_id(struct kept_look *l, struct str id)
{
    l->sites.v[l->which++].with = id;
    next_site(l);
}

static void on_found(void *arg, const struct gw_error *e)
{
    struct kept_look *l = arg;

    if (e->err != GW_OK)
        finish(l, e);
    else
        take_id(l, l->found.id.p ? l->found.id
                                 : found_file_id(&l->found, l->arena, 0));
}

/* The same id may stand there twice. */
static struct str known_id(const struct kept_look *l, struct str theirs)
{
    size_t i;

    for (i = 0; i < l->which; i++)
        if (str_eq(l->sites.v[i].value, theirs))
            return l->sites.v[i].with;
    return STR_NULL;
}

/* Some providers say "" where there is none. */
static bool names_file(const struct id_site *s)
{
    return s->kind == ID_FILE && s->value.n &&
           s->value.n <= LIMIT_UPSTREAM_ID_BYTES;
}

/* What is neither an id of a file nor looked for. */
static void fill_other(struct kept_look *l, struct id_site *s)
{
    if (s->kind == ID_JOB)
        s->with = l->record.id;
    if (s->kind == ID_SAID)
        s->with = prov_said_clean_all(&l->up->op, s->value);
}

static void next_site(struct kept_look *l)
{
    const struct id_site *s;
    struct str known;

    while (l->which < l->sites.n && !names_file(&l->sites.v[l->which]))
        fill_other(l, &l->sites.v[l->which++]);
    if (l->which == l->sites.n) {
        see(l);
        return;
    }
    s = &l->sites.v[l->which];
    known = known_id(l, s->value);
    if (known.p) {
        take_id(l, known);
        return;
    }
    kept_found(&l->found, &l->record, l->provider, &l->who, s->value);
    found_file_start(&l->found, l->sv, l->arena, on_found, l);
}

static void look_at_answer(struct kept_look *l)
{
    struct str path =
        arena_printf(l->arena, "%.*s/{id}", STR_ARG(l->record.kind));
    const struct id_places *places =
        id_places_find(ID_IN_ANSWER, "GET", arena_cstr(l->arena, path));
    struct gw_error e = {0};

    if (!places) {
        see(l);
        return;
    }
    if (id_find(l->arena, places, buf_str(&l->answer), &l->sites, &e)) {
        finish(l, &e);
        return;
    }
    next_site(l);
}

/* --- the provider's answer --- */

static void on_readable(void *arg)
{
    struct kept_look *l = arg;
    char bytes[READ_BYTES];
    size_t n;

    while ((n = pipe_read(l->pipe, bytes, sizeof(bytes))))
        buf_add(&l->answer, bytes, n);
}

static const struct pipe_reader_ops reader_ops = {.readable = on_readable};

static void on_answered(void *arg, const struct gw_error *e)
{
    struct kept_look *l = arg;
    struct gw_error bad = {0};

    if (e->err == GW_OK)
        on_readable(l);
    if (e->err == GW_UPSTREAM_NOT_FOUND) {
        forget(l);
    } else if (e->err != GW_OK) {
        finish(l, e);
    } else if (l->answer.overflow) {
        err_set(&bad, GW_UPSTREAM_BAD_RESPONSE,
                "the provider '%s' answered more than %u bytes",
                l->provider->name, LIMIT_UPSTREAM_REPLY_BYTES);
        finish(l, &bad);
    } else {
        look_at_answer(l);
    }
}

static void on_head(void *arg, const struct upstream_head *h)
{
    (void)arg;
    (void)h;
}

static const struct upstream_ops look_ops = {
    .head = on_head,
    .done = on_answered,
};

void kept_look_start(struct kept_look *l, struct services *sv, struct arena *a,
                     const struct provider_conf *provider,
                     kept_look_callback *done, void *arg)
{
    struct prov_forward *f;

    l->sv = sv;
    l->arena = a;
    l->provider = provider;
    l->done = done;
    l->arg = arg;
    buf_init(&l->answer, LIMIT_UPSTREAM_REPLY_BYTES);
    l->pipe = pipe_new(sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH, NULL);
    pipe_set_reader(l->pipe, &reader_ops, l);
    l->up = upstream_new(sv, a, provider, PROV_FORWARD);
    f = &l->up->op.forward;
    f->method = "GET";
    f->path = arena_printf(a, "%.*s/%.*s", STR_ARG(l->record.kind),
                           STR_ARG(l->record.upstream_id));
    f->accept = STR("application/json");
    f->beta = l->beta;
    l->up->op.upstream_id = l->record.upstream_id;
    l->up->op.shown_id = l->record.id;
    upstream_start(l->up, NULL, l->pipe, &look_ops, l);
}

void kept_look_abort(struct kept_look *l)
{
    upstream_abort(l->up);
    found_file_abort(&l->found);
    if (l->call)
        redis_cancel(l->call);
    l->call = NULL;
    let_go(l);
}
