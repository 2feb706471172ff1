/* job_mend.c -- what a reconciliation found is set right:
 *
 *     a record without its file   goes, with its count; of a file at several
 *                                 providers when it is at none of them
 *     a file without a record     is deleted, or adopted
 *     a count without a record    goes
 *
 * An entry stays until it was dealt with, so any of it may be done twice.
 */
#include "gateway/flow/job_step.h"

#include "gateway/base/bug.h"
#include "gateway/store/quota.h"

#define MEND_PAGE 50

bool job_mends(const struct job_step *s)
{
    return json_bool(json_get(s->args, "mend"), false);
}

bool job_does_with_orphans(const struct job_step *s, const char *what)
{
    return job_mends(s) && str_eq_c(job_arg(s, "orphans"), what);
}

static void has_record(struct job_item *i, const struct file_record *found)
{
    (void)found;
    job_item_end(i);
}

static void mended(struct job_item *i)
{
    i->step->job->counts[JOB_MENDED]++;
    job_item_end(i);
}

static void on_removed(void *arg, bool existed, const struct gw_error *e)
{
    struct job_item *i = arg;

    (void)existed;
    i->removal = NULL;
    if (e->err == GW_OK)
        mended(i);
    else if (e->err == GW_STORE_UNAVAILABLE)
        job_item_lost(i);
    else
        job_item_failed(i, e);
}

static void remove_record(struct job_item *i)
{
    struct job_step *s = i->step;

    i->removal =
        removal_start(s->sv, s->conf, &i->record, REMOVAL_OWN, on_removed, i);
}

/* --- a file at several providers --- */

static void ask_next_place(struct job_item *i);

static void leave_to_owner(struct job_item *i)
{
    struct gw_error several = {0};

    err_set(&several, GW_INVALID_VALUE,
            "the file is at other providers, too: it is left to its owner");
    job_item_failed(i, &several);
}

static void on_asked(void *arg, const struct gw_error *e)
{
    struct job_item *i = arg;

    if (e->err == GW_OK) {
        leave_to_owner(i);
    } else if (e->err == GW_FILE_NOT_FOUND) {
        i->looked++;
        ask_next_place(i);
    } else {
        job_item_failed(i, e);
    }
}

static const struct upstream_ops asked_ops = {.done = on_asked};

/* Only what is missing everywhere goes: one that cannot be asked may have it.
 */
static void ask_next_place(struct job_item *i)
{
    struct job_step *s = i->step;
    struct file_copy c;

    if (i->looked == file_record_places(&i->record)) {
        remove_record(i);
        return;
    }
    c = file_record_place(&i->record, i->looked);
    i->provider = settings_provider(s->conf, c.provider);
    if (!i->provider || !(provider_caps(i->provider) & PROV_CAN_GET)) {
        leave_to_owner(i);
        return;
    }
    i->up = upstream_new(s->sv, s->arena, i->provider, PROV_GET);
    i->up->op.upstream_id = c.upstream_id;
    i->up->op.shown_id = i->record.obj.id;
    upstream_start(i->up, NULL, NULL, &asked_ops, i);
}

/* --- what a record, a count or a file comes to --- */

static void on_doomed(void *arg, const struct file_record *found,
                      const struct gw_error *e)
{
    struct job_item *i = arg;

    i->call = NULL;
    if (e->err != GW_OK) {
        job_item_lost(i);
        return;
    }
    if (!found) {
        mended(i);
        return;
    }
    i->record = *found;
    i->looked = 0;
    if (found->ncopies)
        ask_next_place(i);
    else
        remove_record(i);
}

static void on_forgotten(void *arg, bool changed, const struct gw_error *e)
{
    struct job_item *i = arg;

    (void)changed;
    i->call = NULL;
    if (e->err != GW_OK)
        job_item_lost(i);
    else
        mended(i);
}

static void on_deleted(void *arg, const struct gw_error *e)
{
    struct job_item *i = arg;

    if (e->err == GW_OK || e->err == GW_FILE_NOT_FOUND)
        mended(i);
    else
        job_item_failed(i, e);
}

static const struct upstream_ops delete_ops = {.done = on_deleted};

static void delete_orphan(struct job_item *i)
{
    struct job_step *s = i->step;

    i->up = upstream_new(s->sv, s->arena, i->provider, PROV_DELETE);
    i->up->op.upstream_id = i->file.id;
    upstream_start(i->up, NULL, NULL, &delete_ops, i);
}

static int64_t number(const struct json *v, const char *name)
{
    int64_t n;

    return json_int(json_get(v, name), &n) ? n : 0;
}

/* Meanwhile somebody may have adopted it: it is looked up once more. */
static void mend_orphan(struct job_item *i)
{
    struct job_step *s = i->step;
    const struct json *v = i->entry;

    i->provider = settings_provider(s->conf, json_str(json_get(v, "provider")));
    i->file = (struct file_obj){
        .id = json_str(json_get(v, "upstream_id")),
        .filename = json_str(json_get(v, "filename")),
        .purpose = json_str(json_get(v, "purpose")),
        .bytes = number(v, "bytes"),
        .created_at = number(v, "created_at"),
        .expires_at = number(v, "expires_at"),
        .status = FILE_PROCESSED,
    };
    if (!i->provider) {
        job_item_end(i);
    } else if (job_does_with_orphans(s, "adopt")) {
        job_adopt(i);
    } else {
        i->unknown = delete_orphan;
        i->known = has_record;
        job_look_up(i);
    }
}

static void mend_item(struct job_item *i)
{
    struct job_step *s = i->step;
    struct str what = json_str(json_get(i->entry, "what"));
    struct str id = json_str(json_get(i->entry, "id"));
    struct str owner = json_str(json_get(i->entry, "owner"));

    if (str_eq_c(what, job_count_name(JOB_NO_FILE)))
        i->call =
            file_store_get(s->sv->redis, s->arena, owner, id, on_doomed, i);
    else if (str_eq_c(what, job_count_name(JOB_STALE)))
        i->call = quota_forget(s->sv->redis, id, on_forgotten, i);
    else
        mend_orphan(i);
}

static void on_todo(void *arg, const struct str *v, size_t n,
                    const struct gw_error *e)
{
    struct job_step *s = arg;
    struct gw_error bad = {0};
    struct job_item *items;

    s->call = NULL;
    if (e->err != GW_OK) {
        job_step_abandon(s);
        return;
    }
    if (!n) {
        s->none_left(s);
        return;
    }
    items = job_step_room(s, n);
    for (size_t k = 0; k < n; k++)
        items[k].entry = json_parse(s->arena, v[k], &bad);
    s->ntaken = n;
    job_step_items(s, n, mend_item, job_step_end);
}

void job_mend(struct job_step *s, void (*none_left)(struct job_step *s))
{
    s->none_left = none_left;
    s->call = job_store_todo(s->sv->redis, s->arena, s->job->id, MEND_PAGE,
                             on_todo, s);
}
