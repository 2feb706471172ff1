/* usage.c -- what was used, for a key itself and for the operator. */
#include "gateway/api/admin.h"

#include <stddef.h>

#include "gateway/base/clock.h"

#define DAY_S 86400
#define DAYS_DEFAULT 30

/* --- the counters of a scope --- */

static int64_t files(const struct quota_usage *u)
{
    return u->files + u->held_files;
}

static int64_t bytes(const struct quota_usage *u)
{
    return u->bytes + u->held_bytes;
}

static int64_t up(const struct quota_usage *u)
{
    return u->up;
}

static int64_t down(const struct quota_usage *u)
{
    return u->down;
}

static int64_t rpm(const struct quota_usage *u)
{
    return u->rpm;
}

static int64_t parallel(const struct quota_usage *u)
{
    return u->parallel;
}

static int64_t batches(const struct quota_usage *u)
{
    return u->batches;
}

static int64_t batch_lines(const struct quota_usage *u)
{
    return u->batch_lines;
}

/* What can run out: named as the limit is, with what counts against it: what
 * uploads under way have reserved, too. */
static const struct {
    const char *name;
    size_t limit; /* where it is in struct vkey_limits */
    int64_t (*used)(const struct quota_usage *u);
    bool is_daily;
} quotas[] = {
    /* clang-format off */
    {"max_files",                  offsetof(struct vkey_limits, files),              files,    false},
    {"max_storage_bytes",          offsetof(struct vkey_limits, storage_bytes),      bytes,    false},
    {"max_upload_bytes_per_day",   offsetof(struct vkey_limits, upload_day_bytes),   up,       true},
    {"max_download_bytes_per_day", offsetof(struct vkey_limits, download_day_bytes), down,     true},
    {"rpm_limit",                  offsetof(struct vkey_limits, rpm),                rpm,      false},
    {"max_parallel_requests",      offsetof(struct vkey_limits, parallel),           parallel, false},
    {"max_active_batches",         offsetof(struct vkey_limits, active_batches),     batches,  false},
    {"max_batch_lines_per_day",    offsetof(struct vkey_limits, batch_lines_day),    batch_lines, true},
    /* clang-format on */
};

void admin_put_usage(struct json_out *j, const struct quota_usage *u)
{
    json_open(j, "usage", '{');
    json_put_int(j, "files", u->files);
    json_put_int(j, "storage_bytes", u->bytes);
    json_put_int(j, "reserved_files", u->held_files);
    json_put_int(j, "reserved_bytes", u->held_bytes);
    json_put_int(j, "requests_today", u->requests);
    json_put_int(j, "upload_bytes_today", u->up);
    json_put_int(j, "download_bytes_today", u->down);
    json_put_int(j, "requests_per_minute", u->rpm);
    json_put_int(j, "parallel_requests", u->parallel);
    json_put_int(j, "active_batches", u->batches);
    json_put_int(j, "batch_lines_today", u->batch_lines);
    json_close(j);
}

static void put_limit(struct json_out *j, const char *name, int64_t limit)
{
    if (limit)
        json_put_int(j, name, limit);
    else
        json_put_null(j, name);
}

static void put_quotas(struct json_out *j, const struct vkey_limits *limits,
                       const struct quota_usage *u)
{
    int64_t tomorrow = (clock_wall_s() / DAY_S + 1) * DAY_S;

    json_open(j, "quotas", '{');
    for (size_t i = 0; i < COUNTOF(quotas); i++) {
        const char *at = (const char *)limits + quotas[i].limit;
        int64_t used = quotas[i].used(u), limit;

        memcpy(&limit, at, sizeof(limit));
        json_open(j, quotas[i].name, '{');
        put_limit(j, "limit", limit);
        json_put_int(j, "used", used);
        if (limit)
            json_put_int(j, "remaining", MAX(limit - used, 0));
        else
            json_put_null(j, "remaining");
        if (quotas[i].is_daily)
            json_put_int(j, "resets_at", tomorrow);
        json_close(j);
    }
    json_close(j);
}

/* The limits under their own names, as /key/info has them. */
static void put_scope(struct json_out *j, const struct vkey_limits *limits,
                      const struct quota_usage *u)
{
    put_limit(j, "rpm_limit", limits->rpm);
    put_limit(j, "max_parallel_requests", limits->parallel);
    put_limit(j, "max_file_bytes", limits->file_bytes);
    put_limit(j, "max_files", limits->files);
    put_limit(j, "max_storage_bytes", limits->storage_bytes);
    put_limit(j, "max_upload_bytes_per_day", limits->upload_day_bytes);
    put_limit(j, "max_download_bytes_per_day", limits->download_day_bytes);
    put_limit(j, "max_active_batches", limits->active_batches);
    put_limit(j, "max_batch_lines_per_day", limits->batch_lines_day);
    admin_put_usage(j, u);
    put_quotas(j, limits, u);
}

/* --- GET /v1/usage --- */

static void on_own(void *arg, const struct quota_usage *v, size_t n,
                   const struct gw_error *e)
{
    static const struct quota_usage none;
    struct txn *t = arg;
    struct admin_out *out = t->data;
    struct json_out *j = &out->json;

    if (!admin_is_answered(t, e))
        return;
    json_open(j, NULL, '{');
    json_put_cstr(j, "object", "usage");
    json_open(j, "key", '{');
    json_put_str(j, "key_alias", t->vkey->key_alias);
    json_put_str(j, "key_name", t->vkey->key_name);
    put_scope(j, &t->vkey->limits, n > 0 ? &v[0] : &none);
    json_close(j);
    if (t->vteam) {
        json_open(j, "team", '{');
        json_put_str(j, "team_id", t->vteam->team_id);
        json_put_str(j, "team_alias", t->vteam->team_alias);
        put_scope(j, &t->vteam->limits, n > 1 ? &v[1] : &none);
        json_close(j);
    } else {
        json_put_null(j, "team");
    }
    json_close(j);
    admin_reply(t, out);
}

void usage_own(struct txn *t)
{
    struct admin_out *out = arena_new_of(t->arena, struct admin_out);
    struct str scopes[QUOTA_SCOPES] = {t->vkey->scope};
    size_t n = 1;

    if (t->vteam)
        scopes[n++] = t->vteam->scope;
    admin_out_init(t, out);
    t->data = out;
    txn_goto(t, TXN_STORE);
    t->store_call = quota_usage(t->sv->redis, scopes, n, on_own, t);
}

/* --- GET /admin/usage --- */

struct history {
    struct admin_out out;
    struct arena *rows;
    const struct grouping *by;
    int64_t first, last;
};

static const struct grouping {
    const char *name, *prefix;
} groupings[] = {
    {"key", "k:"}, {"team", "t:"}, {"provider", "p:"}, {"all", "all"}};

static void release(void *arg)
{
    arena_free(((struct history *)arg)->rows);
}

static void put_date(struct json_out *j, const char *name, int64_t day)
{
    char text[CLOCK_TEXT_SIZE];

    clock_format(day * DAY_S * 1000, text);
    json_put_str(j, name, str_make(text, strlen("2026-01-31")));
}

static void put_row(struct json_out *j, const struct history *h,
                    const struct quota_day *d)
{
    struct str prefix = str_of(h->by->prefix), id = d->scope;

    if (str_ends(prefix, STR(":")) && str_starts(id, prefix))
        id = str_make(id.p + prefix.n, id.n - prefix.n);
    json_open(j, NULL, '{');
    put_date(j, "date", d->day);
    json_put_str(j, h->by->name, id);
    json_put_int(j, "requests", d->requests);
    json_put_int(j, "errors", d->errors);
    json_put_int(j, "upload_bytes", d->up);
    json_put_int(j, "download_bytes", d->down);
    json_close(j);
}

static void on_history(void *arg, const struct quota_day *v, size_t n,
                       const struct gw_error *e)
{
    struct txn *t = arg;
    struct history *h = t->data;
    struct json_out *j = &h->out.json;

    if (!admin_is_answered(t, e))
        return;
    json_open(j, NULL, '{');
    json_put_cstr(j, "object", "usage.history");
    json_put_cstr(j, "group_by", h->by->name);
    put_date(j, "first", h->first);
    put_date(j, "last", h->last);
    json_open(j, "data", '[');
    for (size_t i = 0; i < n; i++)
        put_row(j, h, &v[i]);
    json_close(j);
    json_close(j);
    admin_reply(t, &h->out);
}

static const struct grouping *read_grouping(struct txn *t)
{
    struct str name = txn_query(t, STR("group_by"));

    if (!name.n)
        return &groupings[0];
    for (size_t i = 0; i < COUNTOF(groupings); i++)
        if (str_eq_c(name, groupings[i].name))
            return &groupings[i];
    admin_refuse(t, GW_INVALID_VALUE, "group_by",
                 "'group_by' must be key, team, provider or all");
    return NULL;
}

void usage_history(struct txn *t)
{
    struct history *h = arena_new_of(t->arena, struct history);
    size_t days;

    h->by = read_grouping(t);
    if (!h->by || !admin_read_count(t, "days", QUOTA_DAYS, DAYS_DEFAULT, &days))
        return;
    admin_out_init(t, &h->out);
    h->rows = arena_new();
    arena_on_free(t->arena, release, h);
    h->last = clock_wall_s() / DAY_S;
    h->first = h->last - (int64_t)days + 1;
    t->data = h;
    txn_goto(t, TXN_STORE);
    t->store_call = quota_history(t->sv->redis, h->rows, str_of(h->by->prefix),
                                  h->first, h->last, on_history, t);
}
