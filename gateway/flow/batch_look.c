#include "gateway/flow/batch_look.h"

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/codec/fileid.h"
#include "gateway/store/batch_quota.h"

/* A new batch's record is tried to be written so often and so long. */
#define RECORD_RETRY_MS 200
#define RECORD_RETRY_FOR_MS 60000
/* One that is over may tell of its files a little later, and its provider may
 * not know them at once. */
#define FILES_MAY_FOLLOW_MS 600000
/* A file is at most so much younger than its batch. */
#define FILE_AGE_MAX_MS (INT64_C(30) * 86400 * 1000)

static void next_file(struct batch_look *l);

static struct str *ours(struct batch_look *l)
{
    return l->which == 0 ? &l->record.obj.output_file_id
                         : &l->record.obj.error_file_id;
}

/* The only way out but batch_look_abort(). */
static void finish(struct batch_look *l, const struct gw_error *e)
{
    loop_timer_release(&l->retry);
    l->done(l->arg, e);
}

/* --- the record --- */

static const struct json *known_members(const struct batch_look *l)
{
    struct gw_error ignored = {0};

    return json_parse(l->arena, l->record.obj.members, &ignored);
}

/* All files are there that its counts speak of: requests that went well make an
 * output, others an error file. Without counts both may come. */
static bool has_its_files(const struct batch_look *l)
{
    const struct batch_obj *b = &l->record.obj;
    const struct json *n = json_get(known_members(l), "request_counts");
    int64_t total = 0, completed = 0;
    bool is_told = json_int(json_get(n, "total"), &total) && total > 0 &&
                   json_int(json_get(n, "completed"), &completed);

    return (b->output_file_id.p || (is_told && completed == 0)) &&
           (b->error_file_id.p || (is_told && completed >= total));
}

static bool is_final(const struct batch_look *l, int64_t now_ms)
{
    if (!l->record.over_ms || l->is_incomplete)
        return false;
    return has_its_files(l) || str_eq(l->record.obj.status, STR("failed")) ||
           now_ms - l->record.over_ms > FILES_MAY_FOLLOW_MS;
}

static void on_told(void *arg, bool changed, const struct gw_error *e)
{
    struct batch_look *l = arg;

    (void)changed;
    (void)e; /* it is looked at again */
    l->call = NULL;
    finish(l, &l->outcome);
}

static int64_t next_look_ms(const struct batch_look *l)
{
    const struct settings_batches *s = &l->sv->settings->batches;

    if (!l->record.is_final)
        return s->look_ms;
    return s->keep_ms ? s->keep_ms : BATCH_NEVER;
}

/* Before the answer: who reads that it is over may make another one. */
static void tell_seen(struct batch_look *l)
{
    const struct batch_record *b = &l->record;

    l->call = batch_quota_seen(l->sv->redis, b->owner, b->obj.id,
                               b->over_ms ? BATCH_OVER : BATCH_RUNS,
                               next_look_ms(l), on_told, l);
}

static void on_written(void *arg, bool changed, const struct gw_error *e)
{
    struct batch_look *l = arg;
    struct gw_error ok = {0};

    (void)changed; /* else it was overtaken */
    l->call = NULL;
    if (e->err == GW_OK) {
        tell_seen(l);
    } else if (l->code != PROV_BATCH_CREATE) {
        finish(l, &ok); /* what was not updated is looked at again */
    } else if (e->err == GW_STORE_UNAVAILABLE &&
               loop_now_ms(l->sv->loop) < l->retry_until_ms) {
        loop_timer_set(&l->retry, RECORD_RETRY_MS);
    } else {
        log_error("cannot record the batch '%.*s' that runs at '%s' as '%.*s': "
                  "%s",
                  STR_ARG(l->record.obj.id), l->provider->name,
                  STR_ARG(l->record.upstream_id), e->message);
        finish(l, e);
    }
}

static void write_record(void *arg)
{
    struct batch_look *l = arg;
    struct redis *r = l->sv->redis;

    l->call = l->code == PROV_BATCH_CREATE
                  ? batch_store_put(r, &l->record, on_written, l)
                  : batch_store_update(r, &l->record, on_written, l);
}

static void begin_writing(struct batch_look *l)
{
    int64_t now_ms = clock_wall_ms();

    if (!l->record.over_ms && batch_obj_is_over(l->record.obj.status))
        l->record.over_ms = now_ms;
    l->record.is_final = is_final(l, now_ms);
    l->retry_until_ms = loop_now_ms(l->sv->loop) + RECORD_RETRY_FOR_MS;
    write_record(l);
}

/* --- a file that it made --- */

/* What is done at the provider is told all the same: the next look makes the
 * files ours. One that only looked has seen nothing. */
static void file_failed(struct batch_look *l, const struct gw_error *e)
{
    log_warn("cannot take over a file of the batch '%.*s' at '%s': %s",
             STR_ARG(l->record.obj.id), l->provider->name, e->message);
    l->is_incomplete = true;
    if (l->code == PROV_BATCH_GET)
        finish(l, e);
    else
        begin_writing(l);
}

static void on_found(void *arg, const struct gw_error *e)
{
    struct batch_look *l = arg;

    if (e->err != GW_OK) {
        file_failed(l, e);
        return;
    }
    *ours(l) = l->found.id;
    l->which++;
    next_file(l);
}

static void find_file(struct batch_look *l)
{
    struct found_file *f = &l->found;
    struct fileid batch;
    size_t i;

    if (!fileid_parse(FILEID_BATCH, l->record.obj.id, &batch))
        BUG("a batch with a bad id");
    *f = (struct found_file){
        .provider = l->provider,
        .theirs = l->theirs[l->which],
        .owner = l->record.owner,
        .key_hash = l->record.key_hash,
        .who.n = l->record.nscopes,
        .seed = l->record.obj.id,
        .least_ms = fileid_time_ms(batch.ulid),
        .purpose = STR("batch_output"),
        .filename =
            arena_printf(l->arena, "%.*s_%s.jsonl", STR_ARG(l->record.obj.id),
                         l->which == 0 ? "output" : "error"),
        .life_s = l->record.output_expires_s,
    };
    f->most_ms = f->least_ms + FILE_AGE_MAX_MS;
    for (i = 0; i < f->who.n; i++)
        f->who.v[i].id = l->record.scopes[i];
    found_file_start(f, l->sv, l->arena, on_found, l);
}

static void next_file(struct batch_look *l)
{
    while (l->which < BATCH_LOOK_FILES &&
           (!l->theirs[l->which].p || ours(l)->p))
        l->which++;
    if (l->which == BATCH_LOOK_FILES) {
        begin_writing(l);
        return;
    }
    find_file(l);
}

/* --- the provider's operation --- */

/* An account that was mixed up for a while does not end a batch. */
static void look_lost(struct batch_look *l, const struct gw_error *e)
{
    struct batch_obj *b = &l->record.obj;
    int64_t now_ms = clock_wall_ms();

    if (!l->record.lost_ms) {
        l->record.lost_ms = now_ms;
        l->outcome = *e;
    } else if (now_ms - l->record.lost_ms >= l->sv->settings->batches.look_ms) {
        log_warn("'%s' does not know the batch '%.*s' any longer",
                 l->provider->name, STR_ARG(b->id));
        b->status = STR("failed");
        b->members = batch_obj_failed(
            l->arena, b->members, now_ms / 1000, "batch_not_found",
            "the provider does not know this batch any longer");
    } else {
        finish(l, e);
        return;
    }
    begin_writing(l);
}

static void on_seen(void *arg, const struct gw_error *e)
{
    struct batch_look *l = arg;
    const struct batch_obj *b = &l->up->op.batch;

    if (e->err == GW_FILE_NOT_FOUND && l->code == PROV_BATCH_GET &&
        !l->record.over_ms) {
        look_lost(l, e);
        return;
    }
    if (e->err != GW_OK) {
        finish(l, e);
        return;
    }
    l->record.lost_ms = 0;
    if (l->code == PROV_BATCH_CREATE)
        l->record.upstream_id = b->id;
    l->record.obj.status = b->status;
    /* What the provider does not repeat is as it was asked for. */
    l->record.obj.members =
        batch_obj_complete(l->arena, b->members, l->up->op.batch_request);
    l->theirs[0] = b->output_file_id;
    l->theirs[1] = b->error_file_id;
    next_file(l);
}

static const struct upstream_ops look_ops = {.done = on_seen};

static struct str ulid_of(const struct batch_look *l)
{
    struct fileid id;

    if (!fileid_parse(FILEID_BATCH, l->record.obj.id, &id))
        BUG("a batch with a bad id");
    return id.ulid;
}

void batch_look_start(struct batch_look *l, struct services *sv,
                      struct arena *a, const struct provider_conf *provider,
                      enum prov_opcode code, batch_look_callback *done,
                      void *arg)
{
    bool is_new = code == PROV_BATCH_CREATE;
    struct prov_op *op;

    l->sv = sv;
    l->arena = a;
    l->provider = provider;
    l->code = code;
    l->done = done;
    l->arg = arg;
    loop_timer_init(sv->loop, &l->retry, write_record, l);
    l->up = upstream_new(sv, a, provider, code);
    l->up->trace = l->trace;
    op = &l->up->op;
    op->batch_request = is_new ? l->request : known_members(l);
    op->object_name = ulid_of(l);
    op->batch_model = l->model;
    op->upstream_id = is_new ? l->upstream_file_id : l->record.upstream_id;
    op->shown_id = is_new ? l->record.obj.input_file_id : l->record.obj.id;
    upstream_start(l->up, NULL, NULL, &look_ops, l);
}

void batch_look_abort(struct batch_look *l)
{
    upstream_abort(l->up);
    found_file_abort(&l->found);
    if (l->call)
        redis_cancel(l->call);
    l->call = NULL;
    if (l->sv)
        loop_timer_release(&l->retry);
}

bool batch_look_is_made(const struct batch_look *l)
{
    return l->record.upstream_id.p != NULL;
}
