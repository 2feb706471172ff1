/* admin_team_delete.c -- teams are deleted with their keys; their files stay,
 * or are deleted by a background job.
 *
 * All teams must be there before anything is deleted. The keys go first: a
 * team that half went is still a team, with its limits. They are looked for
 * once more behind the team, for those that were made meanwhile. The job is
 * begun between the two: nobody stores any more, and the team can still be
 * deleted again, should this be the end of the process.
 */
#include "gateway/api/admin.h"

#include "gateway/flow/jobs.h"
#include "gateway/store/team_store.h"

#define TEAMS_MAX 100  /* of one request */
#define KEYS_ROUND 100 /* per round trip */

struct removal_of_teams {
    struct admin_out out;
    struct vkey_strs wanted;
    size_t at;    /* the team in work */
    bool is_gone; /* its record */
    bool deletes_files;
    struct vkey_strs jobs; /* that do it */
    struct arena *entries;
    const struct key_store_entry *keys; /* of the team: a round */
    size_t nkeys, next;
    struct buf hashes; /* JSON: of the keys that were deleted */
    struct json_out hashes_json;
};

static void release(void *arg)
{
    struct removal_of_teams *d = arg;

    arena_free(d->entries);
    buf_release(&d->hashes);
}

static struct str team_of(const struct removal_of_teams *d)
{
    return d->wanted.v[d->at];
}

static void list_keys(struct txn *t);
static void delete_key(struct txn *t);

static void finish(struct txn *t, struct removal_of_teams *d)
{
    struct json_out *j = &d->out.json;
    struct gw_error e = {0};

    json_close(&d->hashes_json);
    json_open(j, NULL, '{');
    json_open(j, "deleted_teams", '[');
    for (size_t i = 0; i < d->wanted.n; i++)
        json_put_str(j, NULL, d->wanted.v[i]);
    json_close(j);
    json_put(j, "deleted_keys", json_parse(t->arena, buf_str(&d->hashes), &e));
    if (d->deletes_files)
        admin_put_jobs(j, &d->jobs);
    json_close(j);
    admin_reply(t, &d->out);
}

static void next_team(struct txn *t)
{
    struct removal_of_teams *d = t->data;

    d->is_gone = false;
    if (++d->at == d->wanted.n)
        finish(t, d);
    else
        list_keys(t);
}

static void on_team_deleted(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct removal_of_teams *d = t->data;

    (void)changed;
    if (!admin_is_answered(t, e))
        return;
    d->is_gone = true;
    list_keys(t);
}

static void delete_team(struct txn *t)
{
    struct removal_of_teams *d = t->data;

    t->store_call =
        team_store_delete(t->sv->redis, team_of(d), on_team_deleted, t);
}

static void on_job_begun(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct removal_of_teams *d = t->data;

    (void)changed;
    if (!admin_is_answered(t, e))
        return;
    d->jobs.n++;
    delete_team(t);
}

static void begin_job(struct txn *t)
{
    struct removal_of_teams *d = t->data;
    struct str owner = arena_printf(t->arena, "t:%.*s", STR_ARG(team_of(d)));

    t->store_call = jobs_start_delete_files(
        t->sv, t->arena, owner, &d->jobs.v[d->jobs.n], on_job_begun, t);
}

static void on_key_deleted(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct removal_of_teams *d = t->data;

    if (!admin_is_answered(t, e))
        return;
    if (changed)
        json_put_cstr(&d->hashes_json, NULL, d->keys[d->next].hash);
    d->next++;
    delete_key(t);
}

static void delete_key(struct txn *t)
{
    struct removal_of_teams *d = t->data;

    if (d->next == d->nkeys)
        list_keys(t);
    else
        t->store_call = key_store_delete(t->sv->keys, d->keys[d->next].hash,
                                         on_key_deleted, t);
}

static void on_keys(void *arg, const struct key_store_entry *v, size_t n,
                    int64_t total, const struct gw_error *e)
{
    struct txn *t = arg;
    struct removal_of_teams *d = t->data;

    (void)total;
    if (!admin_is_answered(t, e))
        return;
    d->keys = v;
    d->nkeys = n;
    d->next = 0;
    if (n)
        delete_key(t);
    else if (d->is_gone)
        next_team(t);
    else if (d->deletes_files)
        begin_job(t);
    else
        delete_team(t);
}

static void list_keys(struct txn *t)
{
    struct removal_of_teams *d = t->data;
    struct key_store_query q = {.team = team_of(d), .limit = KEYS_ROUND};

    arena_free(d->entries);
    d->entries = arena_new();
    t->store_call = key_store_list(t->sv->keys, d->entries, &q, on_keys, t);
}

/* --- are they all there? --- */

static void look(struct txn *t);

static void on_seen(void *arg, struct str record, const struct gw_error *e)
{
    struct txn *t = arg;
    struct removal_of_teams *d = t->data;

    if (!admin_is_answered(t, e))
        return;
    if (!record.p) {
        admin_refuse(t, GW_TEAM_NOT_FOUND, "team_ids", "no such team '%.*s'",
                     (int)MIN(team_of(d).n, 128), team_of(d).p);
        return;
    }
    d->at++;
    look(t);
}

static void look(struct txn *t)
{
    struct removal_of_teams *d = t->data;

    if (d->at < d->wanted.n) {
        t->store_call = team_store_raw(t->sv->redis, team_of(d), on_seen, t);
        return;
    }
    d->at = 0;
    list_keys(t);
}

static void delete_teams(struct txn *t, struct json *request)
{
    static const char *const members[] = {"team_ids", "delete_files", NULL};
    struct removal_of_teams *d =
        arena_new_of(t->arena, struct removal_of_teams);

    admin_out_init(t, &d->out);
    buf_init(&d->hashes, MIB);
    json_out_init(&d->hashes_json, &d->hashes);
    json_open(&d->hashes_json, NULL, '[');
    arena_on_free(t->arena, release, d);
    t->data = d;
    if (!admin_knows_members(t, request, members) ||
        !admin_read_names(t, json_get(request, "team_ids"), "team_ids",
                          TEAMS_MAX, &d->wanted) ||
        !admin_read_delete_files(t, request, &d->deletes_files))
        return;
    d->jobs.v = arena_alloc(t->arena, d->wanted.n * sizeof(*d->jobs.v));
    txn_goto(t, TXN_STORE);
    look(t);
}

void teams_delete(struct txn *t)
{
    body_read_json(t, delete_teams);
}
