/* files.c -- retrieve, delete, list. */
#include "gateway/api/api.h"

#include "gateway/base/clock.h"
#include "gateway/codec/fileid.h"

/* --- retrieve --- */

/* A file whose status can still change, at each of its providers in turn. */
struct refresh {
    struct file_record record; /* as they now see it */
    struct file_copy places[LIMIT_FAN_OUT];
    size_t n, at;
    bool has_changed;
};

static void refresh_next(struct txn *t);

static void on_updated(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct refresh *f = t->data;

    (void)changed;
    (void)e; /* the next retrieval refreshes it again */
    t->store_call = NULL;
    reply_file(t, &f->record);
}

static void end_refresh(struct txn *t, struct refresh *f)
{
    struct file_record *r = &f->record;

    if (!f->has_changed) {
        reply_file(t, r);
        return;
    }
    if (f->n > 1)
        file_record_set_copies(
            t->arena, r, file_copies_dup(t->arena, f->places, f->n), f->n);
    else
        r->obj.status = f->places[0].status;
    txn_goto(t, TXN_STORE);
    t->store_call = file_store_update(t->sv->redis, r, on_updated, t);
}

/* One of several that is gone is as good as one that failed. */
static void take_status(struct refresh *f, const struct file_obj *now,
                        bool is_gone)
{
    struct file_copy *c = &f->places[f->at];
    enum file_status status = is_gone ? FILE_ERROR : now->status;

    if (status == c->status)
        return;
    c->status = status;
    f->has_changed = true;
    if (is_gone)
        f->record.obj.status_details =
            STR("a provider does not have the file any more");
    else if (f->n == 1 || status == FILE_ERROR)
        f->record.obj.status_details = now->status_details;
}

static void on_refreshed(void *arg, const struct gw_error *e)
{
    struct txn *t = arg;
    struct refresh *f = t->data;
    const struct file_obj *now = &t->up->op.file;
    bool is_gone =
        e->err == GW_FILE_NOT_FOUND || (!e->err && now->status == FILE_DELETED);

    if (is_gone && f->n == 1) {
        reply_no_such_file(t);
        return;
    }
    if (e->err != GW_OK && !is_gone)
        log_msg(LOG_WARN, t->id, "cannot refresh the status at '%s': %s",
                t->up->op.conf->name, e->message);
    else
        take_status(f, now, is_gone);
    f->at++;
    refresh_next(t);
}

static const struct upstream_ops refresh_ops = {.done = on_refreshed};

static const struct provider_conf *changeable(const struct txn *t,
                                              const struct file_copy *c)
{
    const struct provider_conf *p = settings_provider(t->conf, c->provider);
    bool is_open = c->status == FILE_UPLOADED;

    return is_open && p && (provider_caps(p) & PROV_CAN_GET) ? p : NULL;
}

static void refresh_next(struct txn *t)
{
    struct refresh *f = t->data;
    const struct provider_conf *p = NULL;

    while (f->at < f->n && !(p = changeable(t, &f->places[f->at])))
        f->at++;
    if (!p) {
        end_refresh(t, f);
        return;
    }
    t->up = upstream_new(t->sv, t->arena, p, PROV_GET);
    t->up->trace = t->trace;
    t->up->op.upstream_id = f->places[f->at].upstream_id;
    t->up->op.shown_id = t->record->obj.id;
    upstream_start(t->up, NULL, NULL, &refresh_ops, t);
}

void files_get(struct txn *t)
{
    struct refresh *f = arena_new_of(t->arena, struct refresh);
    bool is_open = false;

    f->record = *t->record;
    f->n = file_record_places(t->record);
    for (size_t i = 0; i < f->n; i++) {
        f->places[i] = file_record_place(t->record, i);
        is_open = is_open || changeable(t, &f->places[i]);
    }
    if (!is_open) {
        reply_file(t, t->record);
        return;
    }
    t->data = f;
    txn_goto(t, TXN_UPSTREAM);
    refresh_next(t);
}

/* --- delete --- */

static void reply_deleted(struct txn *t)
{
    struct buf body;
    struct json_out j;

    buf_init(&body, KIB);
    json_out_init(&j, &body);
    json_open(&j, NULL, '{');
    json_put_str(&j, "id", t->record->obj.id);
    json_put_cstr(&j, "object", "file");
    json_put_bool(&j, "deleted", true);
    json_close(&j);
    txn_reply_json(t, 200, buf_str(&body));
    buf_release(&body);
}

static void on_removed(void *arg, bool existed, const struct gw_error *e)
{
    struct txn *t = arg;

    t->removal = NULL;
    if (e->err != GW_OK)
        txn_fail(t, e);
    else if (!existed) /* another delete was faster */
        reply_no_such_file(t);
    else
        reply_deleted(t);
}

/* It goes everywhere. */
static enum gw_err check_all_allowed(struct txn *t, struct gw_error *e)
{
    for (size_t i = 0; i < t->record->ncopies; i++) {
        struct str name = t->record->copies[i].provider;

        if (!vkey_may_use(t->vkey, t->vteam, name))
            return err_set(e, GW_PROVIDER_NOT_ALLOWED,
                           "the file is also at the provider '%.*s', which "
                           "this API key may not use",
                           STR_ARG(name));
    }
    return GW_OK;
}

/* Of several that have the file one is enough: the others are passed over. */
static bool is_any_configured(struct txn *t)
{
    for (size_t i = 0; i < file_record_places(t->record); i++)
        if (settings_provider(t->conf,
                              file_record_place(t->record, i).provider))
            return true;
    return false;
}

/* A client that hangs up does not stop a deletion half way. */
void files_delete(struct txn *t)
{
    struct gw_error e = {0};

    if (check_all_allowed(t, &e) != GW_OK) {
        txn_fail(t, &e);
        return;
    }
    if (!is_any_configured(t) && !reply_provider(t, t->record))
        return;
    txn_goto(t, TXN_UPSTREAM);
    t->removal =
        removal_start(t->sv, t->conf, t->record, REMOVAL_OWN, on_removed, t);
    removal_trace(t->removal, &t->trace);
}

/* --- list --- */

/* Bounds the reply: a page that is so long ends early. */
#define LIST_BYTES (32 * MIB)
/* Of one object, whose texts are all escaped. */
#define LIST_OBJECT_BYTES (64 * KIB)

struct list {
    struct file_store_query query;
    size_t limit, n;
    bool has_more;
    struct buf body;
    struct json_out json;
    struct str first, last;
    struct arena *page; /* of the page under way */
};

static void release_list(void *arg)
{
    struct list *l = arg;

    buf_release(&l->body);
    arena_free(l->page);
}

static void finish_list(struct txn *t, struct list *l)
{
    json_close(&l->json);
    json_put_str(&l->json, "first_id", l->first);
    json_put_str(&l->json, "last_id", l->last);
    json_put_bool(&l->json, "has_more", l->has_more);
    json_close(&l->json);
    if (l->body.overflow)
        txn_fail_plain(t, GW_INTERNAL);
    else
        txn_reply_json(t, 200, buf_str(&l->body));
}

static void add_to_list(struct txn *t, struct list *l,
                        const struct file_record *f)
{
    if (file_record_is_expired(f, clock_wall_s()))
        return;
    if (l->n == l->limit || l->body.n > LIST_BYTES - LIST_OBJECT_BYTES) {
        l->has_more = true;
        return;
    }
    file_obj_put(&l->json, NULL, &f->obj);
    l->last = arena_dup(t->arena, f->obj.id);
    if (!l->first.p)
        l->first = l->last;
    l->n++;
}

static void ask_page(struct txn *t, struct list *l);

static void on_page(void *arg, const struct file_record *records, size_t n,
                    bool at_end, const struct gw_error *e)
{
    struct txn *t = arg;
    struct list *l = t->data;

    t->store_call = NULL;
    if (e->err != GW_OK) {
        txn_fail(t, e);
        return;
    }
    for (size_t i = 0; i < n && !l->has_more; i++)
        add_to_list(t, l, &records[i]);
    if (n)
        l->query.after = arena_dup(t->arena, records[n - 1].obj.id);
    if (l->has_more || at_end)
        finish_list(t, l);
    else
        ask_page(t, l);
}

static void ask_page(struct txn *t, struct list *l)
{
    arena_free(l->page);
    l->page = arena_new();
    /* One more than is wanted tells whether there are more. */
    l->query.limit = MIN(l->limit - l->n + 1, (size_t)LIMIT_LIST_PAGE);
    t->store_call =
        file_store_page(t->sv->redis, l->page, &l->query, on_page, t);
}

static bool read_limit(struct txn *t, size_t *limit, struct gw_error *e)
{
    struct str text = txn_query(t, STR("limit"));
    uint64_t v = LIMIT_LIST_MAX;

    if (text.p && (!str_to_u64(text, &v) || v < 1 || v > LIMIT_LIST_MAX)) {
        err_set_param(e, GW_INVALID_VALUE, "limit",
                      "'limit' must be an integer from 1 to %d",
                      LIMIT_LIST_MAX);
        return false;
    }
    *limit = (size_t)v;
    return true;
}

static bool read_order(struct txn *t, bool *is_ascending, struct gw_error *e)
{
    struct str order = txn_query(t, STR("order"));

    *is_ascending = str_eq(order, STR("asc"));
    if (!order.p || *is_ascending || str_eq(order, STR("desc")))
        return true;
    err_set_param(e, GW_INVALID_VALUE, "order",
                  "'order' must be 'asc' or 'desc'");
    return false;
}

static bool read_after(struct txn *t, struct str *after, struct gw_error *e)
{
    struct fileid id;

    *after = txn_query(t, STR("after"));
    if (!after->n) {
        *after = STR_NULL;
        return true;
    }
    if (fileid_parse(FILEID_FILE, *after, &id))
        return true;
    err_set_param(e, GW_INVALID_VALUE, "after", "'after' is not a file id");
    return false;
}

/* The provider to list: the path's, or the query's. */
static bool read_provider(struct txn *t, struct str *provider,
                          struct gw_error *e)
{
    const char *param = "provider";

    *provider = t->path_provider;
    if (!provider->p)
        *provider = txn_query(t, STR("provider"));
    if (!provider->p) {
        param = "custom_llm_provider";
        *provider = txn_query(t, STR("custom_llm_provider"));
    }
    if (!provider->p || settings_provider(t->conf, *provider))
        return true;
    err_set_param(e, GW_UNKNOWN_PROVIDER, param, "unknown provider '%.*s'",
                  (int)MIN(provider->n, 100), provider->p);
    return false;
}

void files_list(struct txn *t)
{
    files_list_of(t, t->vkey->owner);
}

void files_list_of(struct txn *t, struct str owner)
{
    struct list *l = arena_new_of(t->arena, struct list);
    struct file_store_query *q = &l->query;
    struct gw_error e = {0};

    q->owner = owner;
    q->purpose = txn_query(t, STR("purpose"));
    if (!read_limit(t, &l->limit, &e) || !read_order(t, &q->is_ascending, &e) ||
        !read_after(t, &q->after, &e) || !read_provider(t, &q->provider, &e)) {
        txn_fail(t, &e);
        return;
    }
    buf_init(&l->body, LIST_BYTES);
    arena_on_free(t->arena, release_list, l);
    json_out_init(&l->json, &l->body);
    json_open(&l->json, NULL, '{');
    json_put_cstr(&l->json, "object", "list");
    json_open(&l->json, "data", '[');
    t->data = l;
    txn_goto(t, TXN_STORE);
    ask_page(t, l);
}
