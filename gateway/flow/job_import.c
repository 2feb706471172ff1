/* job_import.c -- files that exist at a provider are adopted for an owner:
 * those with the ids given, or all that its list has, of a purpose or whose
 * names begin alike. What the provider made itself must be asked for by its
 * purpose or id.
 */
#include "gateway/flow/job_step.h"

#include "gateway/base/bug.h"
#include "gateway/store/upload_store.h"

#define IDS_PAGE 50

/* --- a file --- */

/* Lists of some providers tell less of a file than it has. */
static void on_file(void *arg, const struct gw_error *e)
{
    struct job_item *i = arg;

    if (e->err != GW_OK) {
        job_item_failed(i, e);
        return;
    }
    i->file = i->up->op.file;
    job_adopt(i);
}

static const struct upstream_ops get_ops = {.done = on_file};

static void get_file(struct job_item *i)
{
    struct job_step *s = i->step;

    i->up = upstream_new(s->sv, s->arena, i->provider, PROV_GET);
    i->up->op.upstream_id = i->file.id;
    upstream_start(i->up, NULL, NULL, &get_ops, i);
}

static void import_file(struct job_item *i)
{
    bool can_get = provider_caps(i->provider) & PROV_CAN_GET;

    if (can_get && (i->file.bytes < 0 || !i->file.filename.p))
        get_file(i);
    else
        job_adopt(i);
}

static bool is_wanted(const struct job_step *s, const struct file_obj *f)
{
    struct str purpose = job_arg(s, "purpose"), prefix = job_arg(s, "prefix");

    if (f->status == FILE_DELETED || upload_store_is_part(f->id))
        return false;
    if (purpose.n && f->purpose.n && !str_eq(purpose, f->purpose))
        return false;
    if (!purpose.n && job_is_made_there(f))
        return false;
    return !prefix.n || str_starts(f->filename, prefix);
}

/* --- pages of the list --- */

static void end_page(struct job_step *s)
{
    s->job->done += (int64_t)s->nitems;
    s->job->tries = 0;
    if (s->up->op.next_cursor.n)
        s->job->cursor = s->up->op.next_cursor;
    else
        s->job->state = JOB_DONE;
    job_step_end(s);
}

static void on_page(void *arg, const struct gw_error *e)
{
    struct job_step *s = arg;
    const struct prov_op *op = &s->up->op;
    struct job_item *items;
    size_t n = 0;

    if (e->err != GW_OK) {
        if (job_step_retry(s))
            job_step_end(s);
        else
            job_step_fail(s, e);
        return;
    }
    items = job_step_room(s, op->nlist);
    for (size_t k = 0; k < op->nlist; k++) {
        if (!is_wanted(s, &op->list[k]))
            continue;
        items[n].provider = op->conf;
        items[n++].file = op->list[k];
    }
    job_step_items(s, n, import_file, end_page);
}

static const struct upstream_ops list_ops = {.done = on_page};

static void list_page(struct job_step *s, const struct provider_conf *p)
{
    s->up = upstream_new(s->sv, s->arena, p, PROV_LIST);
    s->up->op.list_cursor = s->job->cursor;
    upstream_start(s->up, NULL, NULL, &list_ops, s);
}

/* --- ids that were given --- */

static void end_ids(struct job_step *s)
{
    struct job *j = s->job;

    j->done += (int64_t)s->nitems;
    if (j->done >= j->total)
        j->state = JOB_DONE;
    job_step_end(s);
}

static void take_ids(struct job_step *s, const struct provider_conf *p,
                     const struct json *ids)
{
    size_t total = json_count(ids), from, n;
    struct job_item *items;

    s->job->total = (int64_t)total;
    from = MIN((size_t)s->job->done, total);
    n = MIN(total - from, (size_t)IDS_PAGE);
    items = job_step_room(s, n);
    for (size_t k = 0; k < n; k++) {
        items[k].provider = p;
        items[k].file.id = json_str(json_at(ids, from + k));
    }
    job_step_items(s, n, get_file, end_ids);
}

void job_import_step(struct job_step *s)
{
    struct str name = job_arg(s, "provider");
    const struct provider_conf *p = settings_provider(s->conf, name);
    const struct json *ids = json_get(s->args, "upstream_ids");
    struct gw_error e = {0};

    if (!p) {
        err_set(&e, GW_UNKNOWN_PROVIDER,
                "the provider '%.*s' is not configured any more",
                STR_ARG(name));
        job_step_fail(s, &e);
    } else if (json_count(ids)) {
        take_ids(s, p, ids);
    } else {
        list_page(s, p);
    }
}
