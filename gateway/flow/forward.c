#include "gateway/flow/forward_impl.h"

#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/codec/url.h"
#include "gateway/flow/copies.h"

#define ACCEPT_BYTES 256 /* of a client's Accept that is passed on */

/* --- ends --- */

static void release(void *arg)
{
    struct forward *f = arg;

    forward_events_release(f);
    if (f->in && f->in != f->t->pipe)
        pipe_free(f->in);
    held_buf_release(&f->text);
    held_buf_release(&f->sent);
    held_buf_release(&f->got);
    held_buf_release(&f->shown);
}

/* Nothing is waited for any more. */
static void stop(struct forward *f)
{
    f->is_over = true;
    forward_refs_cancel(f);
    forward_ids_cancel(f);
    upstream_abort(f->t->up);
    loop_task_cancel(f->t->sv->loop, &f->turn);
}

void forward_fail(struct forward *f, const struct gw_error *e)
{
    struct gw_error error = *e; /* may be a part of what goes */

    if (f->is_over)
        return;
    stop(f);
    txn_fail(f->t, &error);
    forward_kept_failed(f, &error);
}

/* What makes an object goes on. */
static void on_gone(struct txn *t)
{
    struct forward *f = t->data;

    if (!f->is_making)
        stop(f);
}

/* --- the model --- */

/* What a model is called at the provider; STR_NULL: the same. A name of the
 * table is that of one provider's. */
enum gw_err forward_rename_model(struct forward *f, struct str name,
                                 struct str param, struct str *with,
                                 struct gw_error *e)
{
    const struct model_conf *m = router_model(&f->t->conf->route, name);

    *with = STR_NULL;
    if (!m)
        return GW_OK;
    if (strcmp(m->provider, f->provider->name) == 0) {
        if (m->model[0] && !str_eq_c(name, m->model))
            *with = str_of(m->model);
        return GW_OK;
    }
    snprintf(e->code, sizeof(e->code), "model_not_found");
    return err_set_param(e, GW_INVALID_VALUE, arena_cstr(f->t->arena, param),
                         "the model '%.*s' is at '%s', while the request goes "
                         "to '%s'",
                         STR_ARG(name), m->provider, f->provider->name);
}

static bool is_model(const struct id_site *s)
{
    return (s->kind == ID_MODEL || s->kind == ID_MODEL_INNER) && s->value.n;
}

/* The first that the body names is the one to be routed by; the key must have
 * them all. */
static enum gw_err read_models(struct forward *f, struct gw_error *e)
{
    struct txn *t = f->t;
    bool is_first = true;

    for (size_t i = 0; i < f->asked.n; i++) {
        struct id_site *s = &f->asked.v[i];

        if (!is_model(s))
            continue;
        if (vkey_check_model(t->vkey, t->vteam, s->value, e) != GW_OK) {
            snprintf(e->param, sizeof(e->param), "%.*s", STR_ARG(s->path));
            return e->err;
        }
        if (is_first && s->kind == ID_MODEL)
            f->ask.hints.model = arena_dup(t->arena, s->value);
        is_first = is_first && s->kind != ID_MODEL;
    }
    if (f->form_model.p)
        f->ask.hints.model = f->form_model;
    f->ask.facts.model = f->ask.hints.model;
    t->model = f->ask.hints.model;
    t->model.n = MIN(t->model.n, (size_t)LIMIT_LABEL_BYTES);
    return GW_OK;
}

/* --- the provider --- */

static bool can_forward(const struct provider_conf *p)
{
    return provider_caps(p) & PROV_CAN_FORWARD;
}

static const struct forward_ref *first_not_at(const struct forward *f,
                                              const char *provider)
{
    for (size_t i = 0; i < f->nrefs; i++)
        if (!forward_ref_is_at(&f->refs[i], provider))
            return &f->refs[i];
    return NULL;
}

/* The providers of what the request names first, in the order in which they
 * should be taken: of a file at several the head or the model may mean one. */
static size_t providers_of_first(struct forward *f,
                                 const char *names[LIMIT_FAN_OUT])
{
    const struct forward_ref *first = f->refs;
    struct copies_wish wish;
    size_t order[LIMIT_FAN_OUT], n;

    names[0] = first->provider;
    if (!first->file)
        return 1;
    copies_read_wish(f->t, &wish);
    wish.caps = PROV_CAN_FORWARD;
    if (!wish.model.n)
        wish.model = f->ask.hints.model;
    n = copies_order(f->t, first->file, &wish, order);
    for (size_t i = 0; i < n; i++)
        names[i] = arena_cstr(
            f->t->arena, file_record_place(first->file, order[i]).provider);
    return n;
}

static enum gw_err refuse_mixed(const struct forward *f, const char *provider,
                                struct gw_error *e)
{
    const struct forward_ref *r = first_not_at(f, provider);

    return err_set_param(
        e, GW_INVALID_VALUE, arena_cstr(f->t->arena, r->param),
        "'%.*s' is at '%s', while '%.*s' is at '%s': a request goes to one "
        "provider",
        STR_ARG(r->param), r->provider, STR_ARG(f->refs->param), provider);
}

/* The one provider that has all that the request names; NULL: it names
 * nothing. */
static enum gw_err provider_of_refs(struct forward *f, const char **name,
                                    struct gw_error *e)
{
    const char *names[LIMIT_FAN_OUT];
    size_t n, k = 0;

    *name = NULL;
    if (!f->nrefs)
        return GW_OK;
    n = providers_of_first(f, names);
    while (k < n && first_not_at(f, names[k]))
        k++;
    if (k == n)
        return refuse_mixed(f, names[0], e);
    *name = names[k];
    for (size_t i = 0; i < f->nrefs; i++)
        forward_ref_use(&f->refs[i], names[k]);
    return GW_OK;
}

static enum gw_err use_named(struct forward *f, const char *name,
                             struct gw_error *e)
{
    struct txn *t = f->t;

    t->provider = name;
    if (!vkey_may_use(t->vkey, t->vteam, str_of(name)))
        return err_set(e, GW_PROVIDER_NOT_ALLOWED,
                       "this API key may not use the provider '%s'", name);
    if (!settings_provider(t->conf, str_of(name)))
        return err_set(e, GW_UPSTREAM_UNREACHABLE,
                       "the provider '%s' is no longer configured", name);
    f->route = (struct route_decision){.candidates = {name}, .n = 1};
    snprintf(f->route.reason, sizeof(f->route.reason), "id");
    return GW_OK;
}

/* Of a pool those are left that take such calls. */
static enum gw_err keep_able(struct forward *f, struct gw_error *e)
{
    struct route_decision *d = &f->route;
    const char *first = d->candidates[0];
    size_t kept = 0;

    for (size_t i = 0; i < d->n; i++)
        if (can_forward(
                settings_provider(f->t->conf, str_of(d->candidates[i]))))
            d->candidates[kept++] = d->candidates[i];
    d->n = kept;
    if (kept)
        return GW_OK;
    f->t->provider = first;
    return err_set(e, GW_UNSUPPORTED_OPERATION,
                   "provider '%s' does not take calls of the API: '%s %s'",
                   first, f->call->method, f->call->path);
}

static enum gw_err decide(struct forward *f, struct gw_error *e)
{
    const char *name;
    bool needs_fields;

    f->ask.hints.fields_are_complete = true;
    if (read_models(f, e) || provider_of_refs(f, &name, e))
        return e->err;
    if (name ? use_named(f, name, e)
             : route_ask(&f->ask, f->t, &f->route, &needs_fields, e))
        return e->err;
    return keep_able(f, e);
}

/* --- the call --- */

/* What the provider calls the i-th {id}. */
static struct str path_id(const struct forward *f, size_t i)
{
    if (i == 0 || (i == 1 && f->call->sub_is_file))
        return f->refs[i].theirs;
    return f->t->params[i];
}

/* The path, with the provider's names. */
static struct str path_of(struct forward *f)
{
    struct str rest = str_of(f->call->path), head, all = STR("");
    struct arena *a = f->t->arena;
    size_t i = 0;

    while (str_cut(rest, '{', &head, &rest)) {
        all = arena_printf(a, "%.*s%.*s%.*s", STR_ARG(all), STR_ARG(head),
                           STR_ARG(url_encoded(a, path_id(f, i))));
        i++;
        rest =
            str_make(rest.p + sizeof("id}") - 1, rest.n - (sizeof("id}") - 1));
    }
    return arena_printf(a, "%.*s%.*s", STR_ARG(all), STR_ARG(head));
}

/* Parameters that are ours, or that the provider adds itself. */
static bool is_own_parameter(struct txn *t, struct str pair)
{
    static const char *const own[] = {"provider", "custom_llm_provider",
                                      "model", "api-version"};
    struct str name, value;

    str_cut(pair, '=', &name, &value);
    if (!url_decode(t->arena, name, true, &name))
        return true;
    for (size_t i = 0; i < COUNTOF(own); i++)
        if (str_eq_c(name, own[i]))
            return true;
    return false;
}

/* Does the parameter stand for a file? *ref: the one; NULL: the first of that
 * name has no value, and then no other counts. */
static bool is_of_file(const struct forward *f, struct str pair,
                       const struct forward_ref **ref)
{
    struct str name, value;

    *ref = NULL;
    str_cut(pair, '=', &name, &value);
    if (!f->call->pages_files || !url_decode(f->t->arena, name, true, &name))
        return false;
    for (size_t i = 0; i < f->nahead; i++)
        if (f->refs[i].is_in_query && str_eq(f->refs[i].param, name))
            *ref = &f->refs[i];
    return str_eq(name, STR("after")) || str_eq(name, STR("before"));
}

static struct str query_of(struct forward *f)
{
    struct txn *t = f->t;
    struct str rest = t->head->raw_query, pair, all = STR("");

    while (str_next(&rest, '&', &pair)) {
        const struct forward_ref *ref;

        if (is_own_parameter(t, pair) || (is_of_file(f, pair, &ref) && !ref))
            continue;
        if (ref)
            pair = arena_printf(t->arena, "%.*s=%.*s", STR_ARG(ref->param),
                                STR_ARG(url_encoded(t->arena, ref->theirs)));
        all = arena_printf(t->arena, "%.*s%s%.*s", STR_ARG(all),
                           all.n ? "&" : "", STR_ARG(pair));
    }
    return all;
}

/* A field of the client's, if it is fit to be sent. */
static struct str field_of(struct txn *t, struct str name)
{
    struct str v = txn_header(t, name);

    for (size_t i = 0; i < v.n; i++)
        if ((unsigned char)v.p[i] < ' ' || v.p[i] == 0x7f)
            return STR("");
    return v.n <= ACCEPT_BYTES ? arena_dup(t->arena, v) : STR("");
}

/* Put the provider's names into the text. */
static enum gw_err rewrite(struct forward *f, struct str *body,
                           struct gw_error *e)
{
    size_t more = id_growth(&f->asked);
    int64_t bytes = (int64_t)(f->text.buf.n + more);

    *body = buf_str(&f->text.buf);
    if (!more)
        return GW_OK;
    held_buf_release(&f->sent);
    held_buf_init(&f->sent, f->t->sv->held, bytes,
                  f->t->conf->forward.max_held_bytes);
    if (held_buf_expect(&f->sent, bytes, e) != GW_OK)
        return e->err;
    id_write(&f->asked, *body, &f->sent.buf);
    ASSERT(!f->sent.buf.overflow);
    *body = buf_str(&f->sent.buf);
    return GW_OK;
}

static enum gw_err fill_models(struct forward *f, struct str *theirs,
                               struct gw_error *e)
{
    struct str with;

    *theirs = STR("");
    for (size_t i = f->asked.n; i-- > 0;) {
        struct id_site *s = &f->asked.v[i];

        if (!is_model(s))
            continue;
        if (forward_rename_model(f, s->value, s->path, &with, e) != GW_OK)
            return e->err;
        s->with = with;
        if (s->kind == ID_MODEL)
            *theirs = with.p ? with : s->value;
    }
    return GW_OK;
}

static void fill_files(struct forward *f, struct prov_op *op)
{
    struct prov_name *names =
        arena_alloc(f->t->arena, (f->nrefs + 1) * sizeof(names[0]));
    size_t at = f->nahead;

    for (size_t i = 0; i < f->nahead; i++) {
        const struct forward_ref *r = &f->refs[i];

        if (str_eq(r->theirs, r->id))
            continue;
        names[op->nnames++] = (struct prov_name){r->theirs, r->id};
        forward_ids_name(f, r->theirs, r->id);
    }
    for (size_t i = 0; i < f->asked.n; i++) {
        struct id_site *s = &f->asked.v[i];
        const struct forward_ref *r = &f->refs[at];

        if (!forward_refs_has(s))
            continue;
        at++;
        if (r->kind != FORWARD_FILE)
            continue;
        s->with = r->theirs;
        names[op->nnames++] = (struct prov_name){r->theirs, r->id};
        forward_ids_name(f, r->theirs, r->id);
    }
    op->names = names;
}

/* Once: the request's head may be gone later. */
static void fill_fields(struct forward *f, struct prov_forward *p)
{
    struct txn *t = f->t;

    p->method = f->call->method;
    p->path = path_of(f);
    p->query = query_of(f);
    p->accept = field_of(t, STR("accept"));
    p->beta = field_of(t, STR("openai-beta"));
    p->content_type = f->call->has_json ? STR("application/json") : STR("");
    p->is_once = f->call->is_once;
}

/* --- answers --- */

static void on_head(void *arg, const struct upstream_head *h)
{
    struct forward *f = arg;

    f->has_head = true;
    f->t->ttfb_us = clock_mono_us() - f->t->begun_us;
    forward_answer_head(f, h);
}

static bool try_next(struct forward *f, const struct gw_error *e)
{
    if (f->has_head || f->call->is_once || f->call->keeps ||
        (f->t->relay && !upstream_is_untouched(f->t->up)) ||
        !err_info(e->err)->is_retryable || f->candidate + 1 >= f->route.n)
        return false;
    log_msg(LOG_WARN, f->t->id, "'%s' failed, trying '%s': %s", f->t->provider,
            f->route.candidates[f->candidate + 1], e->message);
    f->candidate++;
    forward_send(f);
    return true;
}

/* An object that its provider does not know is forgotten. Of a change it may be
 * something else that is not there. */
static void fail_call(struct forward *f, const struct gw_error *e)
{
    bool is_about_it =
        (f->call->shows && strcmp(f->call->method, "GET") == 0) ||
        f->call->ends;

    if (e->err == GW_UPSTREAM_NOT_FOUND && is_about_it)
        forward_kept_gone(f);
    forward_fail(f, e);
}

static void on_done(void *arg, const struct gw_error *e)
{
    struct forward *f = arg;

    if (f->is_over)
        return;
    if (e->err == GW_OK)
        forward_answer_done(f);
    /* A failure after the reply began reaches the client through the pipe. */
    else if (f->t->state == TXN_REPLY)
        f->t->error = *e;
    else if (!try_next(f, e))
        fail_call(f, e);
}

static const struct upstream_ops call_ops = {.head = on_head, .done = on_done};

static enum gw_err fill_body(struct forward *f, struct prov_forward *p,
                             struct gw_error *e)
{
    struct str body = STR_NULL;

    if (f->t->relay)
        return forward_form_fill(f, p, &p->model, e);
    if (fill_models(f, &p->model, e) != GW_OK ||
        (f->call->has_json && rewrite(f, &body, e) != GW_OK))
        return e->err;
    p->body = body;
    return GW_OK;
}

/* To the candidate. */
void forward_send(struct forward *f)
{
    struct txn *t = f->t;
    struct gw_error e = {0};
    struct prov_op *op;

    f->provider =
        settings_provider(t->conf, str_of(f->route.candidates[f->candidate]));
    t->provider = f->provider->name;
    t->up = upstream_new(t->sv, t->arena, f->provider, PROV_FORWARD);
    t->up->trace = t->trace;
    t->up->patience_ms = t->conf->forward.timeout_ms;
    op = &t->up->op;
    op->forward = f->fixed;
    fill_files(f, op);
    if (fill_body(f, &op->forward, &e) != GW_OK) {
        t->up = NULL;
        forward_fail(f, &e);
        return;
    }
    if (t->state != TXN_UPSTREAM)
        txn_goto(t, TXN_UPSTREAM);
    if (!f->in)
        f->in = pipe_new(t->sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH,
                         t->sv->pipe_bytes);
    upstream_start(t->up, t->relay ? form_pass_pipe(t->relay) : NULL, f->in,
                   &call_ops, f);
}

void forward_known(struct forward *f)
{
    struct gw_error e = {0};

    if (decide(f, &e) != GW_OK) {
        forward_fail(f, &e);
        return;
    }
    snprintf(f->t->reason, sizeof(f->t->reason), "%s", f->route.reason);
    fill_fields(f, &f->fixed);
    if (f->call->keeps)
        forward_kept_begin(
            f, settings_provider(f->t->conf, str_of(f->route.candidates[0])));
    else
        forward_send(f);
}

void forward_start(struct forward *f)
{
    const struct forward_call *c = f->call;
    const struct id_places *places =
        id_places_find(ID_IN_REQUEST, c->method, c->path);
    struct gw_error e = {0};

    if (c->keeps && c->has_json && !f->text.buf.n)
        buf_add_c(&f->text.buf, "{}");
    if (c->has_json && places &&
        id_find(f->t->arena, places, buf_str(&f->text.buf), &f->asked, &e))
        forward_fail(f, &e);
    else if (c->has_source && forward_kept_check_source(f, &e) != GW_OK)
        forward_fail(f, &e);
    else
        forward_refs_look_up(f);
}

struct forward *forward_new(struct txn *t, const struct forward_call *call)
{
    struct forward *f = arena_new_of(t->arena, struct forward);
    const struct settings_forward *c = &t->conf->forward;

    f->t = t;
    f->call = call;
    held_buf_init(&f->text, t->sv->held, c->max_json_bytes, c->max_held_bytes);
    held_buf_init(&f->got, t->sv->held, c->max_json_bytes, c->max_held_bytes);
    route_ask_begin(&f->ask, t);
    arena_on_free(t->arena, release, f);
    t->data = f;
    t->on_gone = on_gone;
    t->is_passed_on = true;
    return f;
}
