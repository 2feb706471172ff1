#include "gateway/flow/found_file.h"

#include "gateway/base/clock.h"
#include "gateway/base/crypto.h"
#include "gateway/base/log.h"
#include "gateway/codec/fileid.h"
#include "gateway/store/expiry.h"

/* The only way out but found_file_abort(). */
static void finish(struct found_file *f, const struct gw_error *e)
{
    f->done(f->arg, e);
}

static void end_without(struct found_file *f)
{
    struct gw_error ok = {0};

    f->id = STR_NULL;
    finish(f, &ok);
}

static void end_with(struct found_file *f, struct str id)
{
    struct gw_error ok = {0};

    f->id = id;
    finish(f, &ok);
}

struct str found_file_id(const struct found_file *f, struct arena *a,
                         int64_t created_at)
{
    unsigned char hash[CRYPTO_SHA256_BYTES];
    char id[LIMIT_ID_BYTES + 1];
    int64_t ms = MIN(created_at, f->most_ms / 1000) * 1000;

    crypto_sha256(arena_printf(a, "%.*s\n%s\n%.*s", STR_ARG(f->seed),
                               f->provider->name, STR_ARG(f->theirs)),
                  hash);
    fileid_make(FILEID_FILE, f->provider->ns, MAX(ms, f->least_ms), hash, id);
    return arena_dup(a, str_of(id));
}

/* --- the record --- */

static void on_put(void *arg, bool changed, const struct gw_error *e)
{
    struct found_file *f = arg;

    (void)changed; /* else another one was faster, with the same */
    f->call = NULL;
    if (e->err != GW_OK)
        finish(f, e);
    else
        end_with(f, f->record.obj.id);
}

static void on_counted(void *arg, bool changed, const struct gw_error *e)
{
    struct found_file *f = arg;

    f->call = NULL;
    if (e->err != GW_OK) {
        finish(f, e);
        return;
    }
    if (!changed) { /* its owner deletes it, or did while we asked */
        end_without(f);
        return;
    }
    if (f->record.obj.expires_at)
        (void)expiry_put(f->sv->redis, &f->record, NULL, NULL);
    f->call = file_store_put(f->sv->redis, &f->record, on_put, f);
}

static void put(struct found_file *f)
{
    f->call = quota_found(f->sv->redis, f->record.obj.id, &f->who,
                          MAX(f->record.obj.bytes, 0), on_counted, f);
}

/* What was asked of the provider holds here, too: not every one can do it. */
static void set_end(const struct found_file *f, struct file_obj *o)
{
    int64_t ends = o->created_at + f->life_s;

    if (f->life_s && (!o->expires_at || ends < o->expires_at))
        o->expires_at = ends;
}

static void take(struct found_file *f, const struct file_obj *seen)
{
    struct file_record *r = &f->record;

    *r = (struct file_record){
        .obj = *seen,
        .owner = f->owner,
        .key_hash = f->key_hash,
        .upstream_id = f->theirs,
        .content_type = STR(""),
        .stored_ms = clock_wall_ms(),
    };
    r->obj.id = found_file_id(f, f->arena, seen->created_at);
    r->obj.provider = str_of(f->provider->name);
    if (f->purpose.n)
        r->obj.purpose = f->purpose;
    if (!r->obj.filename.n)
        r->obj.filename = f->filename;
    r->obj.filename = str_front(r->obj.filename, LIMIT_FILENAME_BYTES);
    r->obj.purpose = str_front(r->obj.purpose, LIMIT_PURPOSE_BYTES);
    if (!r->obj.created_at)
        r->obj.created_at = r->stored_ms / 1000;
    set_end(f, &r->obj);
    put(f);
}

/* --- what is known of it --- */

static void on_details(void *arg, const struct gw_error *e)
{
    struct found_file *f = arg;

    if (e->err == GW_OK)
        take(f, &f->up->op.file);
    else if (e->err == GW_FILE_NOT_FOUND) /* deleted, or ended */
        end_without(f);
    else
        finish(f, e);
}

static const struct upstream_ops details_ops = {.done = on_details};

static void ask_details(struct found_file *f)
{
    struct file_obj unknown = {.bytes = -1, .status = FILE_PROCESSED};

    if (!(provider_caps(f->provider) & PROV_CAN_GET)) {
        take(f, &unknown);
        return;
    }
    f->up = upstream_new(f->sv, f->arena, f->provider, PROV_GET);
    f->up->op.upstream_id = f->theirs;
    upstream_start(f->up, NULL, NULL, &details_ops, f);
}

static void on_record(void *arg, const struct file_record *found,
                      const struct gw_error *e)
{
    struct found_file *f = arg;

    f->call = NULL;
    if (e->err != GW_OK)
        finish(f, e);
    else if (!found) /* the way back led to nothing */
        ask_details(f);
    else
        end_with(f, found->obj.id);
}

static void on_known(void *arg, const struct file_record *found,
                     const struct gw_error *e)
{
    struct found_file *f = arg;

    f->call = NULL;
    if (e->err != GW_OK) {
        finish(f, e);
    } else if (!found) {
        ask_details(f);
    } else if (!str_eq(found->owner, f->owner)) {
        log_warn("a file that '%.*s' was shown at '%s' is another owner's",
                 STR_ARG(f->owner), f->provider->name);
        end_without(f);
    } else {
        f->call = file_store_get(f->sv->redis, f->arena, found->owner,
                                 found->obj.id, on_record, f);
    }
}

void found_file_start(struct found_file *f, struct services *sv,
                      struct arena *a, found_file_callback *done, void *arg)
{
    f->sv = sv;
    f->arena = a;
    f->done = done;
    f->arg = arg;
    f->id = STR_NULL;
    f->call = file_store_by_upstream(sv->redis, a, f->provider->name, f->theirs,
                                     on_known, f);
}

void found_file_abort(struct found_file *f)
{
    upstream_abort(f->up);
    if (f->call)
        redis_cancel(f->call);
    f->call = NULL;
}
