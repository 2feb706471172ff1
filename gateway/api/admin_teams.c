/* admin_teams.c -- teams: made, changed, blocked, shown, listed.
 *
 * A change is made as in admin_key_edit.c: read, built, written if the record
 * is still the one that was read.
 */
#include "gateway/api/admin.h"

#include "gateway/base/clock.h"
#include "gateway/store/team_store.h"

#define PAGE_MAX 100
#define LIST_ROUND 500  /* of /team/list without pages, per round trip */
#define LIST_MAX 100000 /* pages beyond are empty */
#define SHOWN_KEYS 1000 /* in /team/info; /key/list has pages */

struct teams {
    struct admin_out out;
    struct json *request; /* the members to be changed */
    struct str team_id, old, record;
    unsigned tries;
    bool is_update;
    struct arena *entries; /* what a list points to */
    /* list */
    bool has_pages; /* of LiteLLM's second version: an object */
    bool is_whole;
    size_t page, size, offset;
};

static void release(void *arg)
{
    arena_free(((struct teams *)arg)->entries);
}

static struct teams *begin(struct txn *t)
{
    struct teams *m = arena_new_of(t->arena, struct teams);

    admin_out_init(t, &m->out);
    m->entries = arena_new();
    arena_on_free(t->arena, release, m);
    t->data = m;
    return m;
}

static void no_such_team(struct txn *t, struct str id)
{
    admin_refuse(t, GW_TEAM_NOT_FOUND, "team_id", "no such team '%.*s'",
                 (int)MIN(id.n, 128), id.p);
}

static void put_members(struct txn *t, struct json_out *j, struct str record)
{
    struct gw_error e = {0};

    vteam_put_members(j, json_parse(t->arena, record, &e));
}

/* The record that the request makes of the old one. */
static enum gw_err build(struct txn *t, struct teams *m, struct gw_error *e)
{
    const struct json *old = NULL;
    struct buf record;

    if (m->old.p) {
        old = json_parse(t->arena, m->old, e);
        if (!old)
            return e->err;
    }
    buf_init(&record, ADMIN_RECORD_MAX);
    if (vteam_build(t->arena, m->request, old, m->team_id, clock_wall_s(),
                    &record, e) == GW_OK)
        m->record = arena_dup(t->arena, buf_str(&record));
    buf_release(&record);
    return e->err;
}

/* LiteLLM shows a changed team as {"team_id", "data": {…}}, a new or blocked
 * one as it is. */
static void reply_team(struct txn *t, struct teams *m)
{
    struct json_out *j = &m->out.json;

    json_open(j, NULL, '{');
    if (m->is_update) {
        json_put_str(j, "team_id", m->team_id);
        json_open(j, "data", '{');
    }
    put_members(t, j, m->record);
    if (m->is_update)
        json_close(j);
    json_close(j);
    admin_reply(t, &m->out);
}

/* --- new --- */

static void on_made(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct teams *m = t->data;

    if (!admin_is_answered(t, e))
        return;
    if (changed)
        reply_team(t, m);
    else
        admin_refuse(t, GW_CONFLICT, "team_id",
                     "a team with the id '%.*s' exists already",
                     STR_ARG(m->team_id));
}

/* A random UUID (RFC 9562, version 4), which is what LiteLLM makes. */
static struct str make_id(struct arena *a)
{
    unsigned char r[16];
    char hex[2 * sizeof(r) + 1];

    crypto_random(r, sizeof(r));
    r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
    r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
    crypto_hex(r, sizeof(r), hex);
    return arena_printf(a, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
                        hex + 16, hex + 20);
}

static void make(struct txn *t, struct json *request)
{
    struct teams *m = begin(t);
    struct gw_error e = {0};

    m->request = request;
    m->team_id = json_str(json_get(request, "team_id"));
    if (!m->team_id.n)
        m->team_id = make_id(t->arena);
    if (!admin_knows_providers(t, request))
        return;
    if (build(t, m, &e) != GW_OK) {
        txn_fail(t, &e);
        return;
    }
    txn_goto(t, TXN_STORE);
    t->store_call = team_store_put(t->sv->redis, m->team_id, clock_wall_s(),
                                   m->record, on_made, t);
}

void teams_new(struct txn *t)
{
    body_read_json(t, make);
}

/* --- a change --- */

static void read_team(struct txn *t);

static void on_replaced(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;

    if (!admin_is_answered(t, e))
        return;
    if (changed)
        reply_team(t, t->data);
    else
        read_team(t);
}

static void on_read(void *arg, struct str record, const struct gw_error *e)
{
    struct txn *t = arg;
    struct teams *m = t->data;
    struct gw_error failure = {0};

    if (!admin_is_answered(t, e))
        return;
    if (!record.p) {
        no_such_team(t, m->team_id);
        return;
    }
    if (m->tries++ == ADMIN_TRIES) {
        admin_refuse(t, GW_CONFLICT, "team_id",
                     "others are changing this team: try again");
        return;
    }
    m->old = arena_dup(t->arena, record);
    if (build(t, m, &failure) != GW_OK) {
        txn_fail(t, &failure);
        return;
    }
    t->store_call = team_store_replace(t->sv->redis, m->team_id, m->old,
                                       m->record, on_replaced, t);
}

static void read_team(struct txn *t)
{
    struct teams *m = t->data;

    txn_goto(t, TXN_STORE);
    t->store_call = team_store_raw(t->sv->redis, m->team_id, on_read, t);
}

static void update(struct txn *t, struct json *request)
{
    struct teams *m = begin(t);

    m->request = request;
    m->is_update = true;
    if (admin_read_name(t, request, "team_id", &m->team_id) &&
        admin_knows_providers(t, request))
        read_team(t);
}

static void set_blocked(struct txn *t, struct json *request, struct str change)
{
    static const char *const members[] = {"team_id", NULL};
    struct teams *m = begin(t);
    struct gw_error e = {0};

    m->request = json_parse(t->arena, change, &e);
    if (admin_knows_members(t, request, members) &&
        admin_read_name(t, request, "team_id", &m->team_id))
        read_team(t);
}

static void block(struct txn *t, struct json *request)
{
    set_blocked(t, request, STR("{\"blocked\":true}"));
}

static void unblock(struct txn *t, struct json *request)
{
    set_blocked(t, request, STR("{\"blocked\":false}"));
}

void teams_update(struct txn *t)
{
    body_read_json(t, update);
}

void teams_block(struct txn *t)
{
    body_read_json(t, block);
}

void teams_unblock(struct txn *t)
{
    body_read_json(t, unblock);
}

/* --- info --- */

static void on_keys(void *arg, const struct key_store_entry *v, size_t n,
                    int64_t total, const struct gw_error *e)
{
    struct txn *t = arg;
    struct teams *m = t->data;
    struct json_out *j = &m->out.json;

    if (!admin_is_answered(t, e))
        return;
    json_open(j, "keys", '[');
    for (size_t i = 0; i < n; i++) {
        json_open(j, NULL, '{');
        admin_put_key(t, j, v[i].hash, v[i].record);
        json_close(j);
    }
    json_close(j);
    json_put_int(j, "total_keys", total);
    json_open(j, "team_memberships", '[');
    json_close(j);
    json_close(j);
    admin_reply(t, &m->out);
}

static void on_usage(void *arg, const struct quota_usage *v, size_t n,
                     const struct gw_error *e)
{
    struct txn *t = arg;
    struct teams *m = t->data;
    struct key_store_query q = {.team = m->team_id, .limit = SHOWN_KEYS};
    struct json_out *j = &m->out.json;

    if (!admin_is_answered(t, e))
        return;
    json_open(j, NULL, '{');
    json_put_str(j, "team_id", m->team_id);
    json_open(j, "team_info", '{');
    put_members(t, j, m->record);
    if (n)
        admin_put_usage(j, &v[0]);
    json_close(j);
    t->store_call = key_store_list(t->sv->keys, m->entries, &q, on_keys, t);
}

static void on_info(void *arg, struct str record, const struct gw_error *e)
{
    struct txn *t = arg;
    struct teams *m = t->data;
    struct str scope = arena_printf(t->arena, "t:%.*s", STR_ARG(m->team_id));

    if (!admin_is_answered(t, e))
        return;
    if (!record.p) {
        no_such_team(t, m->team_id);
        return;
    }
    m->record = arena_dup(t->arena, record);
    t->store_call = quota_usage(t->sv->redis, &scope, 1, on_usage, t);
}

void teams_info(struct txn *t)
{
    struct teams *m = begin(t);

    m->team_id = txn_query(t, STR("team_id"));
    if (!m->team_id.n) {
        admin_refuse(t, GW_MISSING_PARAM, "team_id",
                     "the query parameter 'team_id' is missing");
        return;
    }
    txn_goto(t, TXN_STORE);
    t->store_call = team_store_raw(t->sv->redis, m->team_id, on_info, t);
}

/* --- list --- */

static void list_more(struct txn *t);

static void finish_list(struct txn *t, struct teams *m, int64_t total)
{
    struct json_out *j = &m->out.json;
    int64_t size = (int64_t)m->size;

    json_close(j);
    if (m->has_pages) {
        json_put_int(j, "total", total);
        json_put_int(j, "page", (int64_t)m->page);
        json_put_int(j, "page_size", size);
        json_put_int(j, "total_pages", (total + size - 1) / size);
        json_close(j);
    }
    admin_reply(t, &m->out);
}

static void on_list(void *arg, const struct team_store_entry *v, size_t n,
                    int64_t total, const struct gw_error *e)
{
    struct txn *t = arg;
    struct teams *m = t->data;
    struct json_out *j = &m->out.json;

    if (!admin_is_answered(t, e))
        return;
    for (size_t i = 0; i < n; i++) {
        json_open(j, NULL, '{');
        put_members(t, j, v[i].record);
        json_close(j);
    }
    m->offset += m->size;
    if (m->is_whole && (int64_t)m->offset < total && !m->out.body.overflow)
        list_more(t);
    else
        finish_list(t, m, total);
}

static void list_more(struct txn *t)
{
    struct teams *m = t->data;

    arena_free(m->entries);
    m->entries = arena_new();
    txn_goto(t, TXN_STORE);
    t->store_call = team_store_list(t->sv->redis, m->entries, m->offset,
                                    m->size, on_list, t);
}

/* An array: all teams, or a page of them when one is asked for. */
void teams_list(struct txn *t)
{
    struct teams *m = begin(t);

    m->is_whole = !txn_query(t, STR("page")).p && !txn_query(t, STR("size")).p;
    if (!admin_read_count(t, "page", LIST_MAX, 1, &m->page) ||
        !admin_read_count(t, "size", PAGE_MAX, 10, &m->size))
        return;
    if (m->is_whole)
        m->size = LIST_ROUND;
    m->offset = (m->page - 1) * m->size;
    json_open(&m->out.json, NULL, '[');
    list_more(t);
}

/* LiteLLM's second version: a page in an object. */
void teams_list_pages(struct txn *t)
{
    struct teams *m = begin(t);

    m->has_pages = true;
    if (!admin_read_count(t, "page", LIST_MAX, 1, &m->page) ||
        !admin_read_count(t, "page_size", PAGE_MAX, 10, &m->size))
        return;
    m->offset = (m->page - 1) * m->size;
    json_open(&m->out.json, NULL, '{');
    json_open(&m->out.json, "teams", '[');
    list_more(t);
}
