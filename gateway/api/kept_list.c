/* kept_list.c -- the caller's objects of a kind over all providers.
 *
 *     a few records ─► those that the query asks for ─► each looked at, some at
 *          ▲           once ─► those that are still there ─► enough?
 *          └──────────────────────────────────────────────────┘ no
 *
 * One more than is asked for is looked for, so has_more is exact. An object
 * whose provider fails is shown as it was last seen. It goes on when the client
 * hangs up, for it may be making files.
 */
#include "gateway/api/api.h"

#include "gateway/base/bug.h"
#include "gateway/codec/json.h"
#include "gateway/codec/url.h"
#include "gateway/flow/kept.h"
#include "gateway/flow/kept_look.h"
#include "gateway/store/object_store.h"

#define LIST_DEFAULT 20
#define LIST_MAX 100
/* Records that are read at a time, and how often. */
#define PAGE 25
#define PAGES_MAX (LIMIT_LIST_MAX / PAGE)
/* Objects that are looked at, and how many of them at a time. */
#define LOOKS_MAX 300
#define LOOKS_AT_ONCE 4
/* Of all that is shown: what is beyond it is on the next page. */
#define SHOWN_BYTES (8 * MIB)
#define BETA_BYTES 256
#define FILTERS_MAX 16 /* the API's own bound on metadata */

struct list;

struct listed {
    struct kept_look look;
    struct list *list;
    struct str text; /* STR_NULL: it is not shown */
    bool is_asked;
};

struct filter {
    struct str object, name, value; /* object "": a member of the root */
};

struct list {
    struct txn *t;
    const struct kept_kind *kind;
    struct kept_query query;
    size_t limit;
    bool is_backward; /* the page before an id: read from there, shown turned
                         round */
    struct filter filters[FILTERS_MAX];
    size_t nfilters;
    struct str beta;

    struct arena *room; /* of the records of a page, until they are picked */
    struct listed *v;   /* of the page under way; room for PAGE */
    size_t n, next, under_way;
    bool at_end;
    struct kept_record last; /* of the page before */
    size_t pages, looks;

    struct str *texts; /* that are shown; room for one more than limit */
    struct str *ids;
    size_t nshown, bytes;
    bool has_more;
    struct gw_error error; /* of one that cannot be shown at all */
};

static void next_page(struct list *l);

/* --- the answer --- */

/* The i-th that is shown. */
static size_t at(const struct list *l, size_t i)
{
    return l->is_backward ? l->nshown - 1 - i : i;
}

static void put_id(struct buf *b, const char *name, const struct list *l,
                   size_t i)
{
    if (l->nshown)
        buf_printf(b, ",\"%s\":\"%.*s\"", name, STR_ARG(l->ids[at(l, i)]));
    else
        buf_printf(b, ",\"%s\":null", name);
}

static void reply(struct list *l)
{
    struct buf b;
    size_t i;

    buf_init(&b, l->bytes + l->nshown + 4 * KIB);
    buf_add_c(&b, "{\"object\":\"list\",\"data\":[");
    for (i = 0; i < l->nshown; i++) {
        if (i)
            buf_add_byte(&b, ',');
        buf_add_str(&b, l->texts[at(l, i)]);
    }
    buf_add_byte(&b, ']');
    if (l->kind->has_ends) {
        put_id(&b, "first_id", l, 0);
        put_id(&b, "last_id", l, l->nshown - 1);
    }
    buf_printf(&b, ",\"has_more\":%s}", l->has_more ? "true" : "false");
    txn_reply_json(l->t, 200, buf_str(&b));
    buf_release(&b);
}

static void end_list(struct list *l)
{
    l->t->on_break = NULL;
    txn_drop(l->t);
}

static void finish(struct list *l)
{
    if (l->error.err != GW_OK)
        txn_fail(l->t, &l->error);
    else
        reply(l);
    end_list(l);
}

static void break_list(struct txn *t)
{
    struct list *l = t->data;
    size_t i;

    for (i = 0; i < l->n; i++)
        if (l->v[i].is_asked)
            kept_look_abort(&l->v[i].look);
    txn_fail_plain(t, GW_DRAINING);
    end_list(l);
}

/* --- one object --- */

/* False when no more fit in. */
static bool show(struct list *l, const struct listed *o)
{
    if (!o->text.p)
        return true;
    if (l->nshown == l->limit ||
        (l->nshown && l->bytes + o->text.n > SHOWN_BYTES)) {
        l->has_more = true;
        return false;
    }
    l->bytes += o->text.n;
    l->ids[l->nshown] = o->look.record.id;
    l->texts[l->nshown++] = o->text;
    return true;
}

/* All of the page are known. */
static void end_page(struct list *l)
{
    bool has_room = true;
    size_t i;

    for (i = 0; i < l->n && has_room; i++)
        has_room = show(l, &l->v[i]);
    if (!has_room || l->at_end || l->error.err != GW_OK) {
        finish(l);
    } else if (l->pages == PAGES_MAX) {
        l->has_more = true;
        finish(l);
    } else {
        l->query.behind = &l->last;
        next_page(l);
    }
}

static void look_at_more(struct list *l);

static void on_looked(void *arg, const struct gw_error *e)
{
    struct listed *o = arg;
    struct list *l = o->list;

    o->is_asked = false;
    if (e->err == GW_OK) {
        o->text = o->look.is_gone ? STR_NULL : o->look.text;
    } else {
        log_msg(LOG_WARN, l->t->id, "cannot look at a %s at '%.*s': %s",
                l->kind->what, STR_ARG(o->look.record.provider), e->message);
        if (!o->text.p && l->error.err == GW_OK)
            l->error = *e;
    }
    l->under_way--;
    look_at_more(l);
}

static void look_at(struct list *l, struct listed *o)
{
    struct kept_record *k = &o->look.record;
    const struct provider_conf *p = settings_provider(l->t->conf, k->provider);

    o->list = l;
    o->text = k->state.n ? k->state : STR_NULL;
    if (!p || !(provider_caps(p) & PROV_CAN_FORWARD) ||
        !vkey_may_use(l->t->vkey, l->t->vteam, k->provider) ||
        l->looks == LOOKS_MAX || kept_is_final(l->t->arena, k))
        return;
    o->is_asked = true;
    o->look.who = l->t->who;
    o->look.beta = l->beta;
    l->looks++;
    l->under_way++;
    kept_look_start(&o->look, l->t->sv, l->t->arena, p, on_looked, o);
}

static void look_at_more(struct list *l)
{
    while (l->next < l->n && l->under_way < LOOKS_AT_ONCE)
        look_at(l, &l->v[l->next++]);
    if (!l->under_way)
        end_page(l);
}

/* --- pages --- */

static bool is_wanted(const struct list *l, const struct kept_record *k)
{
    const struct json *state, *at;
    struct gw_error none = {0};
    size_t i;

    if (!l->nfilters)
        return true;
    state = json_parse(l->room, k->state, &none);
    for (i = 0; i < l->nfilters; i++) {
        const struct filter *f = &l->filters[i];

        at = f->object.n ? json_get(state, f->object.p) : state;
        if (!str_eq(json_str(json_get(at, f->name.p)), f->value))
            return false;
    }
    return true;
}

static void free_room(void *arg)
{
    struct list *l = arg;

    arena_free(l->room);
    l->room = NULL;
}

static struct kept_record copy(struct arena *a, const struct kept_record *k)
{
    return (struct kept_record){
        .id = arena_dup(a, k->id),
        .kind = arena_dup(a, k->kind),
        .owner = arena_dup(a, k->owner),
        .provider = arena_dup(a, k->provider),
        .upstream_id = arena_dup(a, k->upstream_id),
        .key_hash = arena_dup(a, k->key_hash),
        .ulid = arena_dup(a, k->ulid),
        .state = arena_dup(a, k->state),
    };
}

/* What nobody asked for is not kept: there may be very much of it. */
static void pick(struct list *l, const struct kept_record *v, size_t n)
{
    struct arena *a = l->t->arena;

    ASSERT(n <= PAGE);
    memset(l->v, 0, PAGE * sizeof(l->v[0]));
    l->n = l->next = 0;
    for (size_t i = 0; i < n; i++)
        if (is_wanted(l, &v[i]))
            l->v[l->n++].look.record = copy(a, &v[i]);
    if (n)
        l->last = (struct kept_record){.id = arena_dup(a, v[n - 1].id),
                                       .ulid = arena_dup(a, v[n - 1].ulid)};
    free_room(l);
}

static void on_page(void *arg, struct kept_record *v, size_t n, bool at_end,
                    bool is_known, const struct gw_error *e)
{
    struct txn *t = arg;
    struct list *l = t->data;
    struct gw_error unknown = {0};

    t->store_call = NULL;
    if (e->err == GW_OK && !is_known)
        err_set_param(&unknown, GW_INVALID_VALUE,
                      l->is_backward || l->query.before.p ? "before" : "after",
                      "there is no such %s to page from", l->kind->what);
    if (e->err != GW_OK || !is_known) {
        l->error = e->err == GW_OK ? unknown : *e;
        finish(l);
        return;
    }
    pick(l, v, n);
    l->at_end = at_end || !n;
    look_at_more(l);
}

static void next_page(struct list *l)
{
    struct txn *t = l->t;

    l->pages++;
    l->query.limit = MIN((size_t)PAGE, l->limit + 1);
    l->room = arena_new();
    t->store_call =
        kept_store_page(t->sv->redis, l->room, &l->query, on_page, t);
}

/* --- the query --- */

/* metadata[k]=v: of the kind's "metadata[]". */
static bool read_filter(struct list *l, struct str name, struct str value)
{
    struct str want = str_of(l->kind->filter), object, key;
    struct arena *a = l->t->arena;

    if (str_eq(name, want)) {
        l->filters[l->nfilters++] =
            (struct filter){STR(""), str_of(arena_cstr(a, name)), value};
        return true;
    }
    if (!str_cut(want, '[', &object, &want) ||
        !str_cut(name, '[', &name, &key) || !str_eq(name, object) ||
        key.n < 2 || key.p[key.n - 1] != ']')
        return false;
    key.n--;
    l->filters[l->nfilters++] = (struct filter){
        str_of(arena_cstr(a, object)), str_of(arena_cstr(a, key)), value};
    return true;
}

static enum gw_err read_filters(struct list *l, struct gw_error *e)
{
    struct str rest = l->t->head->raw_query, pair, name, value;

    if (!l->kind->filter)
        return GW_OK;
    while (str_next(&rest, '&', &pair)) {
        str_cut(pair, '=', &name, &value);
        if (!url_decode(l->t->arena, name, true, &name) ||
            !url_decode(l->t->arena, value, true, &value))
            continue;
        if (l->nfilters == FILTERS_MAX)
            return err_set(e, GW_INVALID_VALUE,
                           "the query has more than %d conditions",
                           FILTERS_MAX);
        (void)!read_filter(l, name, value);
    }
    return GW_OK;
}

static struct str id_asked_for(struct txn *t, const char *name,
                               struct gw_error *e)
{
    struct str id = txn_query(t, str_of(name));

    if (!id.n)
        return STR_NULL;
    if (!object_is_id(id))
        err_set_param(e, GW_INVALID_VALUE, name, "'%s' is not an id", name);
    return id;
}

static bool read_query(struct txn *t, struct list *l, struct gw_error *e)
{
    struct str limit = txn_query(t, STR("limit"));
    struct str order = txn_query(t, STR("order"));
    struct kept_query *q = &l->query;
    uint64_t n = LIST_DEFAULT;

    q->owner = t->vkey->owner;
    q->kind = str_of(l->kind->path);
    q->provider = t->path_provider;
    q->is_ascending = str_eq(order, STR("asc"));
    if (!q->provider.p)
        q->provider = txn_query(t, STR("provider"));
    if (!q->provider.p)
        q->provider = txn_query(t, STR("custom_llm_provider"));
    if (limit.p && (!str_to_u64(limit, &n) || n < 1 || n > LIST_MAX))
        err_set_param(e, GW_INVALID_VALUE, "limit",
                      "'limit' must be an integer from 1 to %d", LIST_MAX);
    else if (order.n && !q->is_ascending && !str_eq(order, STR("desc")))
        err_set_param(e, GW_INVALID_VALUE, "order",
                      "'order' must be 'asc' or 'desc'");
    else if (q->provider.p && !settings_provider(t->conf, q->provider))
        err_set_param(e, GW_UNKNOWN_PROVIDER, "provider",
                      "unknown provider '%.*s'", (int)MIN(q->provider.n, 100),
                      q->provider.p);
    l->limit = (size_t)n;
    if (e->err == GW_OK)
        q->after = id_asked_for(t, "after", e);
    if (e->err == GW_OK)
        q->before = id_asked_for(t, "before", e);
    if (q->before.p && !q->after.p) {
        l->is_backward = true;
        q->is_ascending = !q->is_ascending;
        q->after = q->before;
        q->before = STR_NULL;
    }
    return e->err == GW_OK && read_filters(l, e) == GW_OK;
}

static struct str beta_of(struct txn *t)
{
    struct str v = txn_header(t, STR("openai-beta"));

    if (v.n > BETA_BYTES || !str_is_made_of(v, "-_=.,; "))
        return STR("");
    return arena_dup(t->arena, v);
}

void kept_list(struct txn *t)
{
    struct list *l = arena_new_of(t->arena, struct list);
    struct gw_error e = {0};

    if (!forward_may(t))
        return;
    l->t = t;
    l->kind = kept_kind(str_of(t->route->path));
    l->beta = beta_of(t);
    if (!read_query(t, l, &e)) {
        txn_fail(t, &e);
        return;
    }
    l->texts = arena_alloc(t->arena, l->limit * sizeof(l->texts[0]));
    l->ids = arena_alloc(t->arena, l->limit * sizeof(l->ids[0]));
    l->v = arena_alloc(t->arena, PAGE * sizeof(l->v[0]));
    arena_on_free(t->arena, free_room, l);
    t->data = l;
    txn_hold(t);
    t->on_break = break_list;
    txn_goto(t, TXN_STORE);
    next_page(l);
}
