/* job_reconcile.c -- index and providers are compared, and mended if wanted.
 *
 *     SNAPSHOT  which files are counted (not of a single provider)
 *     RECORDS   has each record its file?               ─► to be mended
 *     FILES     has each file its record?               ─► to be mended
 *     UNSEEN    is what is counted without a record?    ─► to be mended
 *     MEND      what was found, if that is wanted
 *     SCOPES    whose counters there are
 *     SUMS      do they agree with what is counted?
 *     RIGHT     they are made to
 *
 * What is found is written down, with what the job counts, before anything is
 * done about it: so a repeated step counts nothing twice. Listing and deleting
 * are apart, too, since many a provider goes on with a list behind a file.
 */
#include "gateway/flow/job_step.h"

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/store/audit.h"
#include "gateway/store/schema.h"
#include "gateway/store/upload_store.h"

/* A file without a record may be one whose upload is not over. (One that a
 * batch or a job made may be one that nobody has looked at since: it is its
 * maker's, however old it is, and gets its record when he, or flow/batch_watch,
 * looks.)
 */
#define ORPHAN_AGE_S 3600

enum phase { SNAPSHOT, RECORDS, FILES, UNSEEN, MEND, SCOPES, SUMS, RIGHT };

static bool is_whole(const struct job_step *s)
{
    return !job_arg(s, "provider").n;
}

static void go_to(struct job_step *s, enum phase phase)
{
    s->job->phase = phase;
    s->job->cursor = s->job->place = STR("");
    s->job->tries = 0;
    job_step_end(s);
}

/* Pages of Redis's scans begin and end with "0". */
static struct str cursor_of(const struct job_step *s)
{
    return s->job->cursor.n ? s->job->cursor : STR("0");
}

static void go_on(struct job_step *s, struct str next, enum phase then)
{
    if (str_eq(next, STR("0"))) {
        go_to(s, then);
        return;
    }
    s->job->cursor = arena_dup(s->arena, next);
    s->job->place = STR("");
    job_step_end(s);
}

/* --- SNAPSHOT --- */

static void on_snapshot(void *arg, const struct str *v, size_t n,
                        struct str next, const struct gw_error *e)
{
    struct job_step *s = arg;

    (void)v;
    (void)n;
    s->call = NULL;
    if (e->err != GW_OK)
        job_step_abandon(s);
    else
        go_on(s, next, RECORDS);
}

static void snapshot(struct job_step *s)
{
    if (!is_whole(s)) {
        go_to(s, RECORDS);
        return;
    }
    s->call = audit_snapshot(s->sv->redis, s->arena, s->job->id, cursor_of(s),
                             on_snapshot, s);
}

/* --- RECORDS --- */

static void on_again(void *arg, const struct file_record *found,
                     const struct gw_error *e)
{
    struct job_item *i = arg;
    struct job_step *s = i->step;
    struct job_entry n;

    i->call = NULL;
    if (e->err != GW_OK) {
        job_item_lost(i);
        return;
    }
    if (found) {
        job_entry_begin(s, &n, JOB_NO_FILE, job_mends(s));
        json_put_str(&n.json, "id", i->record.obj.id);
        json_put_str(&n.json, "owner", i->record.owner);
        json_put_cstr(&n.json, "provider", i->provider->name);
        json_put_str(&n.json, "upstream_id", i->record.upstream_id);
        job_entry_end(s, &n);
    }
    job_item_end(i);
}

/* A file that is gone may have been deleted just now, by its owner. */
static void on_asked(void *arg, const struct gw_error *e)
{
    struct job_item *i = arg;
    struct job_step *s = i->step;

    if (e->err == GW_OK)
        job_item_end(i);
    else if (e->err == GW_FILE_NOT_FOUND)
        i->call = file_store_get(s->sv->redis, s->arena, i->record.owner,
                                 i->record.obj.id, on_again, i);
    else
        job_item_failed(i, e);
}

static const struct upstream_ops asked_ops = {.done = on_asked};

static void ask_provider(struct job_item *i)
{
    struct job_step *s = i->step;
    int64_t expires_at = i->record.obj.expires_at;

    i->provider = settings_provider(s->conf, i->record.obj.provider);
    /* What is over is the sweeper's. */
    if (!i->provider || !(provider_caps(i->provider) & PROV_CAN_GET) ||
        (expires_at && expires_at <= clock_wall_s())) {
        job_item_end(i);
        return;
    }
    i->up = upstream_new(s->sv, s->arena, i->provider, PROV_GET);
    i->up->op.upstream_id = i->record.upstream_id;
    i->up->op.shown_id = i->record.obj.id;
    upstream_start(i->up, NULL, NULL, &asked_ops, i);
}

static void on_seen(void *arg, const struct gw_error *e)
{
    struct job_item *i = arg;

    i->call = NULL;
    if (e->err != GW_OK)
        job_item_lost(i);
    else
        ask_provider(i);
}

/* The way led to one of the file's providers: that one is asked, and the file
 * is counted once. */
static void take_record(struct job_item *i, const struct file_record *found)
{
    struct job_step *s = i->step;
    struct file_copy c;
    size_t k, n = file_record_places(found);

    i->record = *found;
    for (k = 0; k < n; k++) {
        c = file_record_place(found, k);
        if (str_eq(i->way, schema_key(s->arena, SCHEMA_UPSTREAM, c.provider,
                                      c.upstream_id)))
            break;
    }
    if (k < n) {
        i->record.obj.provider = c.provider;
        i->record.upstream_id = c.upstream_id;
    }
    if (k == 0 || k == n || !is_whole(s))
        s->job->done++;
}

static void on_record(void *arg, const struct file_record *found,
                      const struct gw_error *e)
{
    struct job_item *i = arg;
    struct job_step *s = i->step;

    i->call = NULL;
    if (e->err != GW_OK) {
        job_item_lost(i);
    } else if (!found) {
        job_item_end(i); /* a way that leads to nothing */
    } else {
        take_record(i, found);
        i->call =
            audit_seen(s->sv->redis, s->job->id, found->obj.id, on_seen, i);
    }
}

static void on_way(void *arg, const struct str *v, size_t n, struct str next,
                   const struct gw_error *e)
{
    struct job_item *i = arg;
    struct job_step *s = i->step;

    (void)next;
    i->call = NULL;
    if (e->err != GW_OK)
        job_item_lost(i);
    else if (!n)
        job_item_end(i);
    else
        i->call =
            file_store_get(s->sv->redis, s->arena, v[0], v[1], on_record, i);
}

static void follow_way(struct job_item *i)
{
    struct job_step *s = i->step;

    i->call = audit_way(s->sv->redis, s->arena, i->way, on_way, i);
}

static void end_records(struct job_step *s)
{
    go_on(s, s->job->place, FILES);
}

static void on_ways(void *arg, const struct str *v, size_t n, struct str next,
                    const struct gw_error *e)
{
    struct job_step *s = arg;
    struct job_item *items;

    s->call = NULL;
    if (e->err != GW_OK) {
        job_step_abandon(s);
        return;
    }
    items = job_step_room(s, n);
    for (size_t k = 0; k < n; k++)
        items[k].way = v[k];
    s->job->place = next; /* until the end of the step */
    job_step_items(s, n, follow_way, end_records);
}

static void look_at_records(struct job_step *s)
{
    struct str provider = is_whole(s) ? STR_NULL : job_arg(s, "provider");

    s->call =
        audit_ways(s->sv->redis, s->arena, provider, cursor_of(s), on_ways, s);
}

/* --- FILES --- */

static void note_orphan(struct job_item *i)
{
    struct job_step *s = i->step;
    bool is_todo =
        job_does_with_orphans(s, "delete") || job_does_with_orphans(s, "adopt");
    struct job_entry n;

    job_entry_begin(s, &n, JOB_NO_RECORD, is_todo);
    json_put_cstr(&n.json, "provider", i->provider->name);
    json_put_str(&n.json, "upstream_id", i->file.id);
    json_put_str(&n.json, "filename",
                 str_front(i->file.filename, LIMIT_FILENAME_BYTES));
    json_put_str(&n.json, "purpose",
                 str_front(i->file.purpose, LIMIT_PURPOSE_BYTES));
    json_put_int(&n.json, "bytes", i->file.bytes);
    json_put_int(&n.json, "created_at", i->file.created_at);
    json_put_int(&n.json, "expires_at", i->file.expires_at);
    job_entry_end(s, &n);
    job_item_end(i);
}

static void on_rival(void *arg, bool changed, const struct gw_error *e)
{
    struct job_item *i = arg;

    i->call = NULL;
    if (e->err != GW_OK)
        job_item_lost(i);
    else if (changed)
        job_item_end(i);
    else
        note_orphan(i);
}

/* What was deleted at some of its providers is the sweeper's. */
static void on_doomed(void *arg, bool changed, const struct gw_error *e)
{
    struct job_item *i = arg;
    struct journal_entry j = {
        .id = STR(""),
        .provider = str_of(i->provider->name),
        .filename = i->file.filename.p ? i->file.filename : STR(""),
    };

    i->call = NULL;
    if (e->err != GW_OK)
        job_item_lost(i);
    else if (changed)
        job_item_end(i);
    else
        i->call = journal_has_rival(i->step->sv->redis, &j, on_rival, i);
}

static void on_orphan(struct job_item *i)
{
    i->call = journal_is_doomed(i->step->sv->redis, i->file.id, on_doomed, i);
}

static void on_has_record(struct job_item *i, const struct file_record *found)
{
    (void)found;
    job_item_end(i);
}

static void look_at_file(struct job_item *i)
{
    int64_t at = i->file.created_at;

    i->step->job->done++;
    if (!at || at > clock_wall_s() - ORPHAN_AGE_S ||
        i->file.status == FILE_DELETED || upload_store_is_part(i->file.id) ||
        job_is_made_there(&i->file)) {
        job_item_end(i);
        return;
    }
    i->unknown = on_orphan;
    i->known = on_has_record;
    job_look_up(i);
}

/* The provider to be listed after `name` ("": the first); NULL: none. */
static const struct provider_conf *provider_after(const struct job_step *s,
                                                  struct str name)
{
    const struct conf_items *all = &s->conf->providers;
    struct str only = job_arg(s, "provider");
    bool is_behind = !name.n;

    for (size_t k = 0; k < all->n; k++) {
        const struct provider_conf *p = all->v[k].data;

        if (is_behind && (!only.n || str_eq_c(only, p->name)) &&
            (provider_caps(p) & PROV_CAN_LIST))
            return p;
        is_behind = is_behind || str_eq_c(name, p->name);
    }
    return NULL;
}

static void list_next_provider(struct job_step *s)
{
    const struct provider_conf *p = provider_after(s, s->job->place);

    if (!p) {
        go_to(s, is_whole(s) ? UNSEEN : MEND);
        return;
    }
    s->job->place = str_of(p->name);
    s->job->cursor = STR("");
    s->job->tries = 0;
    job_step_end(s);
}

static void end_files(struct job_step *s)
{
    struct str next = s->up->op.next_cursor;

    if (!next.n) {
        list_next_provider(s);
        return;
    }
    s->job->cursor = next;
    s->job->tries = 0;
    job_step_end(s);
}

static void cannot_list(struct job_step *s, const struct gw_error *e)
{
    struct job_entry n;

    if (job_step_retry(s)) {
        job_step_end(s);
        return;
    }
    s->job->failed++;
    job_entry_begin(s, &n, JOB_FAILURE, false);
    json_put_str(&n.json, "provider", s->job->place);
    json_put_cstr(&n.json, "message", e->message);
    job_entry_end(s, &n);
    s->delay_ms = 0;
    list_next_provider(s);
}

static void on_list(void *arg, const struct gw_error *e)
{
    struct job_step *s = arg;
    const struct prov_op *op = &s->up->op;
    struct job_item *items;

    if (e->err != GW_OK) {
        cannot_list(s, e);
        return;
    }
    items = job_step_room(s, op->nlist);
    for (size_t k = 0; k < op->nlist; k++) {
        items[k].provider = op->conf;
        items[k].file = op->list[k];
    }
    job_step_items(s, op->nlist, look_at_file, end_files);
}

static const struct upstream_ops list_ops = {.done = on_list};

static void look_at_files(struct job_step *s)
{
    const struct provider_conf *p = settings_provider(s->conf, s->job->place);

    if (!p) { /* the phase begins, or the configuration changed */
        list_next_provider(s);
        return;
    }
    s->up = upstream_new(s->sv, s->arena, p, PROV_LIST);
    s->up->op.list_cursor = s->job->cursor;
    upstream_start(s->up, NULL, NULL, &list_ops, s);
}

/* --- UNSEEN --- */

static void on_unseen(void *arg, const struct str *v, size_t n, struct str next,
                      const struct gw_error *e)
{
    struct job_step *s = arg;
    struct job_entry entry;

    s->call = NULL;
    if (e->err != GW_OK) {
        job_step_abandon(s);
        return;
    }
    for (size_t k = 0; k < n; k++) {
        job_entry_begin(s, &entry, JOB_STALE, job_mends(s));
        json_put_str(&entry.json, "id", v[k]);
        job_entry_end(s, &entry);
    }
    go_on(s, next, MEND);
}

static void look_at_unseen(struct job_step *s)
{
    s->call = audit_unseen(s->sv->redis, s->arena, s->job->id, cursor_of(s),
                           on_unseen, s);
}

/* --- MEND --- */

static void none_left(struct job_step *s)
{
    go_to(s, SCOPES);
}

static void mend(struct job_step *s)
{
    job_mend(s, none_left);
}

/* --- SCOPES --- */

static void on_noted(void *arg, const struct gw_error *e)
{
    struct job_step *s = arg;

    s->call = NULL;
    if (e->err != GW_OK)
        job_step_abandon(s);
    else
        go_on(s, s->job->place, SUMS);
}

static void on_scopes(void *arg, const struct str *v, size_t n, struct str next,
                      const struct gw_error *e)
{
    struct job_step *s = arg;

    s->call = NULL;
    if (e->err != GW_OK) {
        job_step_abandon(s);
        return;
    }
    s->job->place = next; /* until the end of the step */
    s->call = audit_note_scopes(s->sv->redis, s->job->id, v, n, on_noted, s);
}

static void look_at_scopes(struct job_step *s)
{
    s->call = audit_scopes(s->sv->redis, s->arena, cursor_of(s), on_scopes, s);
}

/* --- SUMS, RIGHT --- */

static void finish(struct job_step *s)
{
    s->job->state = JOB_DONE;
    job_step_end(s);
}

static void note_drift(struct job_step *s, const struct audit_drift *d)
{
    struct job_entry n;

    job_entry_begin(s, &n, JOB_DRIFT, false);
    json_put_str(&n.json, "scope", d->scope);
    json_put_int(&n.json, "files", d->files);
    json_put_int(&n.json, "bytes", d->bytes);
    json_put_int(&n.json, "true_files", d->true_files);
    json_put_int(&n.json, "true_bytes", d->true_bytes);
    job_entry_end(s, &n);
}

static void on_sums(void *arg, const struct audit_drift *v, size_t n,
                    bool is_complete, const struct gw_error *e)
{
    struct job_step *s = arg;
    struct gw_error many = {0};

    s->call = NULL;
    if (e->err != GW_OK) {
        job_step_abandon(s);
        return;
    }
    if (!is_complete) {
        err_set(&many, GW_INTERNAL,
                "counters were not compared: there are more than %d files",
                AUDIT_FILES_MAX);
        job_step_fail(s, &many);
        return;
    }
    for (size_t k = 0; k < n; k++)
        note_drift(s, &v[k]);
    if (n && job_mends(s))
        go_to(s, RIGHT);
    else
        finish(s);
}

static void look_at_sums(struct job_step *s)
{
    s->call = audit_sums(s->sv->redis, s->arena, s->job->id, false, on_sums, s);
}

static void on_right(void *arg, const struct audit_drift *v, size_t n,
                     bool is_complete, const struct gw_error *e)
{
    struct job_step *s = arg;

    (void)v;
    (void)n; /* a repeated step finds none any more */
    (void)is_complete;
    s->call = NULL;
    if (e->err != GW_OK) {
        job_step_abandon(s);
        return;
    }
    s->job->counts[JOB_MENDED] += s->job->counts[JOB_DRIFT];
    finish(s);
}

static void set_right(struct job_step *s)
{
    s->call = audit_sums(s->sv->redis, s->arena, s->job->id, true, on_right, s);
}

static void (*const phases[])(struct job_step *s) = {
    [SNAPSHOT] = snapshot,   [RECORDS] = look_at_records,
    [FILES] = look_at_files, [UNSEEN] = look_at_unseen,
    [MEND] = mend,           [SCOPES] = look_at_scopes,
    [SUMS] = look_at_sums,   [RIGHT] = set_right,
};

void job_reconcile_step(struct job_step *s)
{
    struct gw_error e = {0};

    if (s->job->phase < 0 || s->job->phase >= (int64_t)COUNTOF(phases)) {
        err_set(&e, GW_INTERNAL, "the job is of a later version");
        job_step_fail(s, &e);
        return;
    }
    phases[s->job->phase](s);
}
