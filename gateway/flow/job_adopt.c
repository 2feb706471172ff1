/* job_adopt.c -- a file that exists at its provider becomes one of ours.
 *
 * Its id is made of the job's and the provider's own: should the step be
 * repeated, the file is found under the same id, and counted again, which
 * changes nothing. The owner, and whom it is charged to, were worked out when
 * the job was made ("owner", "scopes", "key_hash").
 */
#include "gateway/flow/job_step.h"

#include "gateway/base/clock.h"
#include "gateway/base/crypto.h"
#include "gateway/codec/fileid.h"
#include "gateway/store/expiry.h"
#include "gateway/store/quota.h"

/* --- whose is it? --- */

bool job_is_made_there(const struct file_obj *f)
{
    return str_eq(f->purpose, STR("batch_output")) ||
           str_eq(f->purpose, STR("fine-tune-results"));
}

/* --- is it known? --- */

/* May they have the same files? One account can stand in the configuration
 * under several names. */
static bool are_alike(const struct provider_conf *a,
                      const struct provider_conf *b)
{
    return a->type == b->type;
}

static void on_known(void *arg, const struct file_record *found,
                     const struct gw_error *e)
{
    struct job_item *i = arg;

    i->call = NULL;
    if (e->err != GW_OK)
        job_item_lost(i);
    else if (found)
        i->known(i, found);
    else
        job_look_up(i);
}

/* The next of the providers that may know it. */
void job_look_up(struct job_item *i)
{
    struct job_step *s = i->step;
    const struct conf_items *all = &s->conf->providers;
    const struct provider_conf *p;

    while (i->looked < all->n) {
        p = all->v[i->looked++].data;
        if (!are_alike(p, i->provider))
            continue;
        i->call = file_store_by_upstream(s->sv->redis, s->arena, p->name,
                                         i->file.id, on_known, i);
        return;
    }
    i->unknown(i);
}

/* --- adopting --- */

static struct str make_id(struct job_item *i, int64_t created_s)
{
    struct job_step *s = i->step;
    unsigned char hash[CRYPTO_SHA256_BYTES];
    char id[LIMIT_ID_BYTES + 1];

    crypto_sha256(arena_printf(s->arena, "%.*s\n%s\n%.*s", STR_ARG(s->job->id),
                               i->provider->name, STR_ARG(i->file.id)),
                  hash);
    fileid_make(FILEID_FILE, i->provider->ns, created_s * 1000, hash, id);
    return arena_dup(s->arena, str_of(id));
}

/* When it was made, if that can be. */
static int64_t created_s(const struct job_item *i)
{
    int64_t at = i->file.created_at;

    return at > 0 && at <= i->step->job->created_s ? at
                                                   : i->step->job->created_s;
}

static struct str text_or(struct str s, struct str dflt)
{
    return s.p ? s : dflt;
}

static void fill_record(struct job_item *i)
{
    struct job_step *s = i->step;
    struct file_record *r = &i->record;
    int64_t at = created_s(i);

    *r = (struct file_record){
        .obj = i->file,
        .owner = job_arg(s, "owner"),
        .key_hash = text_or(job_arg(s, "key_hash"), STR("")),
        .upstream_id = i->file.id,
        .content_type = STR(""),
        .stored_ms = clock_wall_ms(),
    };
    r->obj.id = make_id(i, at);
    r->obj.provider = str_of(i->provider->name);
    r->obj.filename =
        str_front(text_or(r->obj.filename, STR("")), LIMIT_FILENAME_BYTES);
    r->obj.created_at = at;
    if (!r->obj.purpose.n)
        r->obj.purpose = text_or(job_arg(s, "purpose"), STR("user_data"));
    r->obj.purpose = str_front(r->obj.purpose, LIMIT_PURPOSE_BYTES);
}

static void on_settled(void *arg, bool changed, const struct gw_error *e)
{
    struct job_item *i = arg;
    struct job_step *s = i->step;
    struct job_entry n;

    (void)changed;
    i->call = NULL;
    if (e->err != GW_OK) {
        job_item_lost(i);
        return;
    }
    job_entry_begin(s, &n, JOB_ADOPTED, false);
    json_put_str(&n.json, "id", i->record.obj.id);
    json_put_cstr(&n.json, "provider", i->provider->name);
    json_put_str(&n.json, "upstream_id", i->file.id);
    job_entry_end(s, &n);
    if (s->job->kind == JOB_RECONCILE)
        s->job->counts[JOB_MENDED]++;
    job_item_end(i);
}

/* Whom it is charged to, whatever his limits are. */
static void settle(struct job_item *i)
{
    struct job_step *s = i->step;
    const struct json *scopes = json_get(s->args, "scopes");
    int64_t bytes = MAX(i->record.obj.bytes, 0);
    struct quota_amount used = {.files = 1, .bytes = bytes};
    struct quota_who who = {0};

    for (; who.n < json_count(scopes) && who.n < QUOTA_SCOPES; who.n++)
        who.v[who.n].id = json_str(json_at(scopes, who.n));
    i->call = quota_settle(s->sv->redis, i->record.obj.id, &who, &used,
                           on_settled, i);
}

static void on_put(void *arg, bool changed, const struct gw_error *e)
{
    struct job_item *i = arg;

    (void)changed; /* else a repeated step: it is there */
    i->call = NULL;
    if (e->err != GW_OK)
        job_item_lost(i);
    else
        settle(i);
}

static void put_record(struct job_item *i)
{
    struct redis *r = i->step->sv->redis;

    if (i->record.obj.expires_at)
        (void)expiry_put(r, &i->record, NULL, NULL);
    i->call = file_store_put(r, &i->record, on_put, i);
}

/* What is left of a deletion is the sweeper's, not somebody else's. */
static void on_doomed(void *arg, bool changed, const struct gw_error *e)
{
    struct job_item *i = arg;

    i->call = NULL;
    if (e->err != GW_OK) {
        job_item_lost(i);
    } else if (changed) {
        i->step->job->counts[JOB_KNOWN]++;
        job_item_end(i);
    } else {
        put_record(i);
    }
}

static void on_unknown(struct job_item *i)
{
    i->call = journal_is_doomed(i->step->sv->redis, i->file.id, on_doomed, i);
}

static void on_has_record(struct job_item *i, const struct file_record *found)
{
    struct job_step *s = i->step;

    if (str_eq(found->obj.id, i->record.obj.id)) {
        settle(i);
        return;
    }
    s->job->counts[JOB_KNOWN]++;
    job_item_end(i);
}

void job_adopt(struct job_item *i)
{
    fill_record(i);
    i->looked = 0;
    i->unknown = on_unknown;
    i->known = on_has_record;
    job_look_up(i);
}
