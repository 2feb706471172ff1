/* admin_jobs.c -- background jobs: begun, shown, cancelled; and the files of
 * any owner.
 *
 * Whose the files of an import are to be is worked out when it is begun: the
 * job itself knows an owner and the scopes of quotas, whatever becomes of the
 * key.
 */
#include "gateway/api/admin.h"

#include "gateway/base/clock.h"
#include "gateway/flow/jobs.h"

#define PAGE_DEFAULT 20
#define PAGE_MAX 100
#define REPLY_MAX (16 * MIB) /* a whole report */
#define NAME_MAX_BYTES 256   /* of a team or a user */
#define IDS_MAX 1000         /* upstream_ids */
#define CANCEL_TRIES 20      /* each means that the job came further */

struct call {
    const struct json *request;
    enum job_kind kind;
    struct str owner, key_hash;
    struct str scopes[2];
    size_t nscopes;
    struct job *job;
    int tries;
};

/* --- replies --- */

static void put_time(struct json_out *o, const char *name, int64_t at)
{
    if (at)
        json_put_int(o, name, at);
    else
        json_put_null(o, name);
}

/* The ids that were given may be many: their number is "total". */
static void put_shown_args(struct txn *t, struct json_out *o,
                           const struct job *j)
{
    struct gw_error e = {0};
    const struct json *args = json_parse(t->arena, j->args, &e);
    struct str name;

    json_open(o, "args", '{');
    for (size_t i = 0; i < json_count(args); i++) {
        struct json *v = json_member(args, i, &name);

        if (!str_eq_c(name, "upstream_ids"))
            json_put(o, arena_cstr(t->arena, name), v);
    }
    json_close(o);
}

/* The members, in an object that is open. */
static void put_job(struct txn *t, struct json_out *o, const struct job *j)
{
    json_put_str(o, "id", j->id);
    json_put_cstr(o, "object", "job");
    json_put_cstr(o, "kind", job_kind_name(j->kind));
    json_put_cstr(o, "state", job_state_name(j->state));
    put_shown_args(t, o, j);
    json_put_int(o, "done", j->done);
    if (j->total >= 0)
        json_put_int(o, "total", j->total);
    else
        json_put_null(o, "total");
    json_put_int(o, "failed", j->failed);
    json_open(o, "counts", '{');
    for (int i = 0; i < JOB_COUNTS; i++)
        json_put_int(o, job_count_name((enum job_count)i), j->counts[i]);
    json_close(o);
    json_put_str(o, "error", j->error.n ? j->error : STR_NULL);
    put_time(o, "created_at", j->created_s);
    put_time(o, "started_at", j->started_s);
    put_time(o, "updated_at", j->updated_s);
    put_time(o, "ended_at", j->ended_s);
}

static void reply_text(struct txn *t, int status, struct buf *b)
{
    if (b->overflow)
        txn_fail_plain(t, GW_INTERNAL);
    else
        txn_reply_json(t, status, buf_str(b));
    buf_release(b);
}

static void reply_job(struct txn *t, int status, const struct job *j)
{
    struct json_out o;
    struct buf b;

    buf_init(&b, REPLY_MAX);
    json_out_init(&o, &b);
    json_open(&o, NULL, '{');
    put_job(t, &o, j);
    json_close(&o);
    reply_text(t, status, &b);
}

static void no_such_job(struct txn *t)
{
    struct gw_error e = {0};

    err_set_param(&e, GW_JOB_NOT_FOUND, "id", "no such job");
    txn_fail(t, &e);
}

static void refuse(struct txn *t, enum gw_err err, const char *param,
                   const char *message)
{
    struct gw_error e = {0};

    err_set_param(&e, err, param, "'%s' %s", param, message);
    txn_fail(t, &e);
}

/* --- what is asked for --- */

/* The members of an object are among these. */
static bool knows_members(struct txn *t, const struct json *v,
                          const char *const *names, size_t n)
{
    struct gw_error e = {0};
    struct str name;

    for (size_t i = 0, k; i < json_count(v); i++) {
        (void)json_member(v, i, &name);
        for (k = 0; k < n && !str_eq_c(name, names[k]); k++)
            ;
        if (k < n)
            continue;
        err_set_param(&e, GW_INVALID_VALUE,
                      arena_cstr(t->arena, str_make(name.p, MIN(name.n, 60))),
                      "unknown parameter '%.*s'", (int)MIN(name.n, 100),
                      name.p);
        txn_fail(t, &e);
        return false;
    }
    return true;
}

/* A string, or nothing. */
static bool is_text(struct txn *t, const struct json *v, const char *name)
{
    const struct json *m = json_get(v, name);
    struct str s = json_str(m);

    if (json_is_null(m) || (json_is_string(m) && s.n && s.n <= NAME_MAX_BYTES))
        return true;
    refuse(t, GW_INVALID_VALUE, name, "must be a string that is not empty");
    return false;
}

static bool is_provider(struct txn *t, const struct json *v, unsigned cap)
{
    struct str name = json_str(json_get(v, "provider"));
    const struct provider_conf *p = settings_provider(t->conf, name);
    struct gw_error e = {0};

    if (!name.p || (p && (provider_caps(p) & cap)))
        return true;
    if (p)
        err_set_param(&e, GW_UNSUPPORTED_OPERATION, "provider",
                      "provider '%s' cannot list its files", p->name);
    else
        err_set_param(&e, GW_UNKNOWN_PROVIDER, "provider",
                      "unknown provider '%.*s'", STR_ARG(name));
    txn_fail(t, &e);
    return false;
}

static bool are_ids(struct txn *t, const struct json *ids)
{
    bool ok = json_is_null(ids) || (json_is_array(ids) && json_count(ids) &&
                                    json_count(ids) <= IDS_MAX);

    for (size_t i = 0; ok && i < json_count(ids); i++) {
        struct str id = json_str(json_at(ids, i));

        ok = id.n > 0 && id.n <= LIMIT_UPSTREAM_ID_BYTES;
    }
    if (!ok)
        refuse(t, GW_INVALID_VALUE, "upstream_ids",
               "must be 1 to 1000 ids of the provider's");
    return ok;
}

/* --- beginning a job --- */

static void put_args(struct txn *t, struct json_out *o, const struct call *c)
{
    struct str name;

    json_open(o, NULL, '{');
    for (size_t i = 0; i < json_count(c->request); i++) {
        struct json *v = json_member(c->request, i, &name);

        if (!str_eq_c(name, "owner"))
            json_put(o, arena_cstr(t->arena, name), v);
    }
    if (c->owner.p) {
        json_put_str(o, "owner", c->owner);
        json_put_str(o, "key_hash", c->key_hash);
        json_open(o, "scopes", '[');
        for (size_t i = 0; i < c->nscopes; i++)
            json_put_str(o, NULL, c->scopes[i]);
        json_close(o);
    }
    json_close(o);
}

static void on_put(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct call *c = t->data;

    t->store_call = NULL;
    if (e->err != GW_OK)
        txn_fail(t, e);
    else if (!changed)
        txn_fail_plain(t, GW_INTERNAL);
    else
        reply_job(t, 202, c->job);
}

static void begin_job(struct txn *t)
{
    struct call *c = t->data;
    struct json_out o;
    struct buf b;

    buf_init(&b, 2 * LIMIT_JSON_BODY_BYTES);
    json_out_init(&o, &b);
    put_args(t, &o, c);
    c->job = job_new(t->arena, c->kind, buf_str(&b));
    buf_release(&b);
    txn_goto(t, TXN_STORE);
    t->store_call = job_store_put(t->sv->redis, c->job, on_put, t);
}

/* --- whose the files are to be --- */

static void on_key(void *arg, struct str record, const struct gw_error *e)
{
    struct txn *t = arg;
    struct call *c = t->data;
    struct gw_error error = *e;
    struct vkey k;

    t->store_call = NULL;
    if (error.err == GW_OK && !record.p)
        err_set_param(&error, GW_KEY_NOT_FOUND, "owner", "no such key");
    if (error.err != GW_OK ||
        vkey_parse(t->arena, c->key_hash.p, arena_dup(t->arena, record), &k,
                   &error) != GW_OK) {
        txn_fail(t, &error);
        return;
    }
    c->owner = k.owner;
    c->scopes[c->nscopes++] = k.scope;
    if (k.team_id.n)
        c->scopes[c->nscopes++] =
            arena_printf(t->arena, "t:%.*s", STR_ARG(k.team_id));
    begin_job(t);
}

static void ask_key(struct txn *t, struct call *c, struct str key)
{
    char hash[CRYPTO_SHA256_HEX + 1];

    admin_key_hash(key, hash);
    c->key_hash = arena_dup(t->arena, str_of(hash));
    txn_goto(t, TXN_STORE);
    t->store_call = key_store_raw(t->sv->keys, c->key_hash.p, on_key, t);
}

static void resolve_owner(struct txn *t, struct call *c)
{
    static const char *const names[] = {"team_id", "user_id", "key"};
    const struct json *v = json_get(c->request, "owner");
    struct str team = json_str(json_get(v, "team_id"));
    struct str user = json_str(json_get(v, "user_id"));
    struct str key = json_str(json_get(v, "key"));

    if (!json_is_object(v) ||
        (team.p != NULL) + (user.p != NULL) + (key.p != NULL) != 1) {
        refuse(t, GW_INVALID_VALUE, "owner",
               "must have one of 'team_id', 'user_id' and 'key'");
        return;
    }
    if (!knows_members(t, v, names, COUNTOF(names)) ||
        !is_text(t, v, "team_id") || !is_text(t, v, "user_id") ||
        !is_text(t, v, "key"))
        return;
    if (key.p) {
        ask_key(t, c, key);
        return;
    }
    c->owner = team.p ? arena_printf(t->arena, "t:%.*s", STR_ARG(team))
                      : arena_printf(t->arena, "u:%.*s", STR_ARG(user));
    if (team.p)
        c->scopes[c->nscopes++] = c->owner;
    begin_job(t);
}

static struct call *begin(struct txn *t, const struct json *request,
                          enum job_kind kind)
{
    struct call *c = arena_new_of(t->arena, struct call);

    c->request = request;
    c->kind = kind;
    c->key_hash = STR("");
    t->data = c;
    return c;
}

/* --- import --- */

static void import(struct txn *t, struct json *v)
{
    static const char *const names[] = {"provider", "owner", "purpose",
                                        "prefix", "upstream_ids"};
    struct call *c = begin(t, v, JOB_IMPORT);
    const struct json *ids = json_get(v, "upstream_ids");
    unsigned cap = json_count(ids) ? PROV_CAN_GET : PROV_CAN_LIST;

    if (!knows_members(t, v, names, COUNTOF(names)) ||
        !is_text(t, v, "provider") || !is_text(t, v, "purpose") ||
        !is_text(t, v, "prefix") || !are_ids(t, ids))
        return;
    if (json_is_null(json_get(v, "provider")))
        refuse(t, GW_MISSING_PARAM, "provider", "is missing");
    else if (json_is_null(json_get(v, "owner")))
        refuse(t, GW_MISSING_PARAM, "owner", "is missing");
    else if (is_provider(t, v, cap))
        resolve_owner(t, c);
}

void jobs_import(struct txn *t)
{
    body_read_json(t, import);
}

/* --- reconcile --- */

static bool are_orphans_clear(struct txn *t, const struct json *v)
{
    const struct json *m = json_get(v, "orphans");
    bool mend = json_bool(json_get(v, "mend"), false);
    bool adopts = str_eq_c(json_str(m), "adopt");
    bool changes = adopts || str_eq_c(json_str(m), "delete");

    if (!json_is_null(m) && !changes && !str_eq_c(json_str(m), "report"))
        refuse(t, GW_INVALID_VALUE, "orphans",
               "must be 'report', 'delete' or 'adopt'");
    else if (changes && !mend)
        refuse(t, GW_INVALID_VALUE, "orphans", "needs \"mend\": true");
    else if (adopts && json_is_null(json_get(v, "owner")))
        refuse(t, GW_MISSING_PARAM, "owner",
               "is needed by \"orphans\": \"adopt\"");
    else
        return true;
    return false;
}

static void reconcile(struct txn *t, struct json *v)
{
    static const char *const names[] = {"provider", "mend", "orphans", "owner"};
    struct call *c = begin(t, v, JOB_RECONCILE);
    const struct json *mend = json_get(v, "mend");

    if (!knows_members(t, v, names, COUNTOF(names)) ||
        !is_text(t, v, "provider") || !is_provider(t, v, ~0u))
        return;
    if (!json_is_null(mend) && !json_is_bool(mend)) {
        refuse(t, GW_INVALID_VALUE, "mend", "must be true or false");
        return;
    }
    if (!are_orphans_clear(t, v))
        return;
    if (json_is_null(json_get(v, "owner")))
        begin_job(t);
    else
        resolve_owner(t, c);
}

void jobs_reconcile(struct txn *t)
{
    body_read_json(t, reconcile);
}

/* --- one job --- */

static void on_report(void *arg, const struct str *v, size_t n,
                      const struct gw_error *e)
{
    struct txn *t = arg;
    struct call *c = t->data;
    struct gw_error bad = {0};
    struct json_out o;
    struct buf b;

    t->store_call = NULL;
    if (e->err != GW_OK) {
        txn_fail(t, e);
        return;
    }
    buf_init(&b, REPLY_MAX);
    json_out_init(&o, &b);
    json_open(&o, NULL, '{');
    put_job(t, &o, c->job);
    json_open(&o, "report", '[');
    for (size_t i = 0; i < n; i++)
        json_put(&o, NULL, json_parse(t->arena, v[i], &bad));
    json_close(&o);
    json_close(&o);
    reply_text(t, 200, &b);
}

static void on_job(void *arg, struct job *found, const struct gw_error *e)
{
    struct txn *t = arg;
    struct call *c = t->data;

    t->store_call = NULL;
    if (e->err != GW_OK) {
        txn_fail(t, e);
    } else if (!found) {
        no_such_job(t);
    } else {
        c->job = found;
        t->store_call =
            job_store_report(t->sv->redis, t->arena, found->id, on_report, t);
    }
}

void jobs_get(struct txn *t)
{
    (void)begin(t, NULL, JOB_IMPORT);
    if (!job_is_id(t->param)) {
        no_such_job(t);
        return;
    }
    txn_goto(t, TXN_STORE);
    t->store_call = job_store_get(t->sv->redis, t->arena, t->param, on_job, t);
}

/* --- cancelling one --- */

static void read_to_cancel(struct txn *t);

static void on_cancelled(void *arg, bool changed, const struct gw_error *e)
{
    struct txn *t = arg;
    struct call *c = t->data;

    t->store_call = NULL;
    if (e->err != GW_OK)
        txn_fail(t, e);
    else if (changed)
        reply_job(t, 200, c->job);
    else if (++c->tries < CANCEL_TRIES)
        read_to_cancel(t);
    else
        txn_fail_plain(t, GW_CONFLICT);
}

static void on_to_cancel(void *arg, struct job *found, const struct gw_error *e)
{
    struct txn *t = arg;
    struct call *c = t->data;
    struct job_change none = {0};

    t->store_call = NULL;
    if (e->err != GW_OK) {
        txn_fail(t, e);
    } else if (!found) {
        no_such_job(t);
    } else if (job_is_over(found)) {
        reply_job(t, 200, found);
    } else {
        found->state = JOB_CANCELLED;
        found->updated_s = found->ended_s = clock_wall_s();
        c->job = found;
        t->store_call =
            job_store_update(t->sv->redis, found, &none, on_cancelled, t);
    }
}

static void read_to_cancel(struct txn *t)
{
    t->store_call =
        job_store_get(t->sv->redis, t->arena, t->param, on_to_cancel, t);
}

void jobs_cancel(struct txn *t)
{
    (void)begin(t, NULL, JOB_IMPORT);
    if (!job_is_id(t->param)) {
        no_such_job(t);
        return;
    }
    txn_goto(t, TXN_STORE);
    read_to_cancel(t);
}

/* --- all jobs --- */

static void on_list(void *arg, const struct job *v, size_t n, bool at_end,
                    const struct gw_error *e)
{
    struct txn *t = arg;
    struct json_out o;
    struct buf b;

    t->store_call = NULL;
    if (e->err != GW_OK) {
        txn_fail(t, e);
        return;
    }
    buf_init(&b, REPLY_MAX);
    json_out_init(&o, &b);
    json_open(&o, NULL, '{');
    json_put_cstr(&o, "object", "list");
    json_open(&o, "data", '[');
    for (size_t i = 0; i < n; i++) {
        json_open(&o, NULL, '{');
        put_job(t, &o, &v[i]);
        json_close(&o);
    }
    json_close(&o);
    json_put_str(&o, "first_id", n ? v[0].id : STR_NULL);
    json_put_str(&o, "last_id", n ? v[n - 1].id : STR_NULL);
    json_put_bool(&o, "has_more", !at_end);
    json_close(&o);
    reply_text(t, 200, &b);
}

void jobs_list(struct txn *t)
{
    struct str limit = txn_query(t, STR("limit"));
    struct str after = txn_query(t, STR("after"));
    uint64_t n = PAGE_DEFAULT;

    if (limit.p && (!str_to_u64(limit, &n) || n < 1 || n > PAGE_MAX)) {
        refuse(t, GW_INVALID_VALUE, "limit", "must be from 1 to 100");
        return;
    }
    if (after.p && !job_is_id(after)) {
        refuse(t, GW_INVALID_VALUE, "after", "is not a job's id");
        return;
    }
    txn_goto(t, TXN_STORE);
    t->store_call =
        job_store_list(t->sv->redis, t->arena, after, (size_t)n, on_list, t);
}

/* --- files of any owner --- */

void admin_files(struct txn *t)
{
    struct str owner = txn_query(t, STR("owner"));

    if (!owner.n)
        refuse(t, GW_MISSING_PARAM, "owner",
               "is missing: 't:<team>', 'u:<user>' or 'k:<key id>'");
    else
        files_list_of(t, owner);
}
