/* batches_list.c -- the caller's batches over all providers.
 *
 * A list asks the providers for those of its batches that are not final, a few
 * at a time, so many at most and for so long at most; the others, and what
 * cannot be had, are shown as they were last seen; so are those of a provider
 * that the key may not use (any longer). Which are asked for first is drawn
 * each time: so none waits for ever behind others that are not answered. It
 * goes on when the client hangs up, for it may be making files.
 */
#include "gateway/api/api.h"

#include "gateway/base/crypto.h"
#include "gateway/codec/fileid.h"
#include "gateway/flow/batch_look.h"

#define LIST_DEFAULT 20
#define LIST_MAX 100
/* Batches that are asked for, and how many of them at a time. */
#define LOOKS_MAX 20
#define LOOKS_AT_ONCE 4
#define REPLY_BYTES ((size_t)LIMIT_UPSTREAM_REPLY_BYTES * 2)

struct list;

struct listed {
    struct batch_look look;
    struct list *list;
    const struct provider_conf *provider; /* NULL: it is shown as it is */
    struct batch_record known;
    bool is_asked;
};

struct list {
    struct txn *t;
    struct listed *v;
    size_t n, under_way;
    struct listed **stale; /* to be looked at, in that order */
    size_t nstale, next;
    struct loop_timer deadline;
    bool has_more;
    struct str after, provider;
    size_t limit;
};

static void reply_list(struct txn *t, const struct list *l)
{
    struct buf body;
    struct json_out j;
    size_t i;

    buf_init(&body, (l->n + 1) * REPLY_BYTES);
    json_out_init(&j, &body);
    json_open(&j, NULL, '{');
    json_put_cstr(&j, "object", "list");
    json_open(&j, "data", '[');
    for (i = 0; i < l->n; i++)
        batch_obj_put(&j, t->arena, &l->v[i].known.obj, l->v[i].known.provider);
    json_close(&j);
    json_put_str(&j, "first_id", l->n ? l->v[0].known.obj.id : STR_NULL);
    json_put_str(&j, "last_id", l->n ? l->v[l->n - 1].known.obj.id : STR_NULL);
    json_put_bool(&j, "has_more", l->has_more);
    json_close(&j);
    txn_reply_json(t, 200, buf_str(&body));
    buf_release(&body);
}

static void end_list(struct list *l)
{
    loop_timer_cancel(&l->deadline);
    l->t->on_break = NULL;
    txn_drop(l->t);
}

static void stop_looking(struct list *l)
{
    size_t i;

    for (i = 0; i < l->next; i++)
        if (l->stale[i]->is_asked)
            batch_look_abort(&l->stale[i]->look);
}

static void break_list(struct txn *t)
{
    struct list *l = t->data;

    stop_looking(l);
    txn_fail_plain(t, GW_DRAINING);
    end_list(l);
}

static void on_deadline(void *arg)
{
    struct list *l = arg;

    log_msg(LOG_WARN, l->t->id,
            "a list of batches is shown with %zu of %zu not looked at in time",
            l->nstale - l->next + l->under_way, l->nstale);
    stop_looking(l);
    reply_list(l->t, l);
    end_list(l);
}

static void look_at_more(struct list *l);

static void on_listed(void *arg, const struct gw_error *e)
{
    struct listed *b = arg;
    struct list *l = b->list;

    b->is_asked = false;
    if (e->err == GW_OK)
        b->known = b->look.record;
    else
        log_msg(LOG_WARN, l->t->id, "cannot look at a batch at '%s': %s",
                b->provider->name, e->message);
    l->under_way--;
    look_at_more(l);
}

static void look_at(struct list *l, struct listed *b)
{
    struct txn *t = l->t;

    b->is_asked = true;
    l->under_way++;
    b->look.record = b->known;
    batch_look_start(&b->look, t->sv, t->arena, b->provider, PROV_BATCH_GET,
                     on_listed, b);
}

static void look_at_more(struct list *l)
{
    while (l->next < MIN(l->nstale, (size_t)LOOKS_MAX) &&
           l->under_way < LOOKS_AT_ONCE)
        look_at(l, l->stale[l->next++]);
    if (l->under_way)
        return;
    reply_list(l->t, l);
    end_list(l);
}

static void add_if_stale(struct list *l, struct listed *b)
{
    struct txn *t = l->t;

    b->list = l;
    b->provider = settings_provider(t->conf, b->known.provider);
    if (!b->known.is_final && b->provider &&
        vkey_may_use(t->vkey, t->vteam, b->known.provider))
        l->stale[l->nstale++] = b;
}

/* Every order is as likely (nearly: there are few). */
static void shuffle(struct list *l)
{
    uint32_t drawn[LIST_MAX];
    size_t i;

    crypto_random(drawn, sizeof(drawn));
    for (i = l->nstale; i > 1; i--) {
        size_t k = drawn[i - 1] % i;
        struct listed *b = l->stale[k];

        l->stale[k] = l->stale[i - 1];
        l->stale[i - 1] = b;
    }
}

static void release_timer(void *arg)
{
    loop_timer_release(arg);
}

static void begin_looking(struct list *l)
{
    struct txn *t = l->t;

    txn_hold(t);
    t->on_break = break_list;
    loop_timer_init(t->sv->loop, &l->deadline, on_deadline, l);
    arena_on_free(t->arena, release_timer, &l->deadline);
    loop_timer_set(&l->deadline, t->conf->batches.list_ms);
    txn_goto(t, TXN_UPSTREAM);
    look_at_more(l);
}

static void on_page(void *arg, struct batch_record *records, size_t n,
                    bool at_end, const struct gw_error *e)
{
    struct txn *t = arg;
    struct list *l = t->data;
    size_t i;

    t->store_call = NULL;
    if (e->err != GW_OK) {
        txn_fail(t, e);
        return;
    }
    l->n = n;
    l->has_more = !at_end;
    l->v = arena_alloc(t->arena, n * sizeof(*l->v));
    l->stale = arena_alloc(t->arena, n * sizeof(struct listed *));
    for (i = 0; i < n; i++) {
        l->v[i].known = records[i];
        add_if_stale(l, &l->v[i]);
    }
    shuffle(l);
    begin_looking(l);
}

static bool read_query(struct txn *t, struct list *l, struct gw_error *e)
{
    struct str text = txn_query(t, STR("limit"));
    uint64_t limit = LIST_DEFAULT;
    struct fileid id;

    l->after = txn_query(t, STR("after"));
    l->provider = t->path_provider;
    if (!l->provider.p)
        l->provider = txn_query(t, STR("provider"));
    if (!l->provider.p)
        l->provider = txn_query(t, STR("custom_llm_provider"));
    if (text.p && (!str_to_u64(text, &limit) || limit < 1 || limit > LIST_MAX))
        err_set_param(e, GW_INVALID_VALUE, "limit",
                      "'limit' must be an integer from 1 to %d", LIST_MAX);
    else if (l->after.n && !fileid_parse(FILEID_BATCH, l->after, &id))
        err_set_param(e, GW_INVALID_VALUE, "after",
                      "'after' is not a batch id");
    else if (l->provider.p && !settings_provider(t->conf, l->provider))
        err_set_param(e, GW_UNKNOWN_PROVIDER, "provider",
                      "unknown provider '%.*s'", (int)MIN(l->provider.n, 100),
                      l->provider.p);
    else if (l->provider.p && !vkey_may_use(t->vkey, t->vteam, l->provider))
        err_set_param(e, GW_PROVIDER_NOT_ALLOWED, "provider",
                      "this API key may not use the provider '%.*s'",
                      STR_ARG(l->provider));
    if (!l->after.n)
        l->after = STR_NULL;
    l->limit = (size_t)limit;
    return e->err == GW_OK;
}

void batches_list(struct txn *t)
{
    struct list *l = arena_new_of(t->arena, struct list);
    struct gw_error e = {0};

    l->t = t;
    if (!read_query(t, l, &e)) {
        txn_fail(t, &e);
        return;
    }
    t->data = l;
    txn_goto(t, TXN_STORE);
    t->store_call =
        batch_store_page(t->sv->redis, t->arena, t->vkey->owner, l->provider,
                         l->after, l->limit, on_page, t);
}
