/* admin_providers.c -- the providers of the configuration: how they are as this
 * process sees it, and what went through each today, over all processes. */
#include "gateway/api/admin.h"

#include "gateway/base/clock.h"

static const struct {
    const char *name;
    unsigned cap;
} operations[] = {
    /* clang-format off */
    {"create",  PROV_CAN_CREATE},
    {"get",     PROV_CAN_GET},
    {"list",    PROV_CAN_LIST},
    {"delete",  PROV_CAN_DELETE},
    {"content", PROV_CAN_CONTENT},
    {"forward", PROV_CAN_FORWARD},
    /* clang-format on */
};

struct listing {
    struct admin_out out;
    struct arena *rows;
};

static void release(void *arg)
{
    arena_free(((struct listing *)arg)->rows);
}

static bool is_default(const struct txn *t, const struct provider_conf *p)
{
    const char *name = t->conf->route.routing.dflt;

    return strcmp(name[0] ? name : t->conf->providers.v[0].name, p->name) == 0;
}

static void put_traffic(struct json_out *j, const struct provider_conf *p,
                        const struct quota_day *v, size_t n)
{
    struct quota_day none = {0};
    const struct quota_day *d = &none;

    for (size_t i = 0; i < n; i++)
        if (str_starts(v[i].scope, STR("p:")) &&
            str_eq_c(str_make(v[i].scope.p + 2, v[i].scope.n - 2), p->name))
            d = &v[i];
    json_open(j, "today", '{');
    json_put_int(j, "requests", d->requests);
    json_put_int(j, "errors", d->errors);
    json_put_int(j, "upload_bytes", d->up);
    json_put_int(j, "download_bytes", d->down);
    json_close(j);
}

static void put_state(struct txn *t, struct json_out *j,
                      const struct provider_conf *p)
{
    static const char *const names[] = {[BREAKER_CLOSED] = "up",
                                        [BREAKER_HALF_OPEN] = "on trial",
                                        [BREAKER_OPEN] = "down"};
    struct fleet_view v;

    fleet_look(t->sv->fleet, p, &v);
    json_put_cstr(j, "state", names[v.state]);
    json_put_cstr(j, "breaker", breaker_state_name(v.state));
    json_put_int(j, "consecutive_failures", v.failures);
    if (v.opened_at)
        json_put_int(j, "opened_at", v.opened_at);
    else
        json_put_null(j, "opened_at");
    json_put_int(j, "bytes_under_way", v.under_way);
    json_put_int(j, "bytes_last_minute", v.last_minute);
}

static void put_provider(struct txn *t, struct json_out *j,
                         const struct provider_conf *p,
                         const struct quota_day *v, size_t n)
{
    unsigned caps = provider_caps(p);

    json_open(j, NULL, '{');
    json_put_cstr(j, "name", p->name);
    json_put_cstr(j, "type", p->type_name);
    json_put_cstr(j, "namespace", p->ns);
    json_put_bool(j, "default", is_default(t, p));
    put_state(t, j, p);
    json_open(j, "operations", '[');
    for (size_t i = 0; i < COUNTOF(operations); i++)
        if (caps & operations[i].cap)
            json_put_cstr(j, NULL, operations[i].name);
    json_close(j);
    json_put_bool(j, "ranges", caps & PROV_HAS_RANGE);
    if (p->max_file_bytes)
        json_put_int(j, "max_file_bytes", p->max_file_bytes);
    else
        json_put_null(j, "max_file_bytes");
    put_traffic(j, p, v, n);
    json_close(j);
}

static void on_today(void *arg, const struct quota_day *v, size_t n,
                     const struct gw_error *e)
{
    struct txn *t = arg;
    struct listing *l = t->data;
    struct json_out *j = &l->out.json;
    const struct conf_items *all = &t->conf->providers;

    if (!admin_is_answered(t, e))
        return;
    json_open(j, NULL, '{');
    json_put_cstr(j, "object", "list");
    json_open(j, "data", '[');
    for (size_t i = 0; i < all->n; i++)
        put_provider(t, j, all->v[i].data, v, n);
    json_close(j);
    json_close(j);
    admin_reply(t, &l->out);
}

void providers_list(struct txn *t)
{
    struct listing *l = arena_new_of(t->arena, struct listing);
    int64_t today = clock_wall_s() / 86400;

    admin_out_init(t, &l->out);
    l->rows = arena_new();
    arena_on_free(t->arena, release, l);
    t->data = l;
    txn_goto(t, TXN_STORE);
    t->store_call = quota_history(t->sv->redis, l->rows, STR("p:"), today,
                                  today, on_today, t);
}
