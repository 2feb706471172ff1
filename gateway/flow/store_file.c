#include "gateway/flow/store_file.h"

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/flow/lease.h"
#include "gateway/store/expiry.h"

/* The record is tried to be written so often and so long. */
#define RECORD_RETRY_MS 200
#define RECORD_RETRY_FOR_MS 60000

/* --- the hold --- */

static void on_released(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("cannot release what an upload held, the sweeper will: %s",
                 e->message);
}

void store_file_name_hold(struct store_file *s, struct str name)
{
    struct services *sv = s->t->sv;

    lease_give_back(sv->leases, s->lease);
    if (s->hold.p && !str_eq(s->hold, name))
        (void)quota_release(sv->redis, s->hold, on_released, NULL);
    s->hold = name;
    s->lease = lease_take(sv->leases, name);
}

/* --- the end --- */

/* Its own hold on the transaction ends. */
static void end(struct store_file *s, bool releases_quota)
{
    struct txn *t = s->t;

    if (s->settling)
        redis_cancel(s->settling);
    if (s->hold.p && releases_quota)
        (void)quota_release(t->sv->redis, s->hold, on_released, NULL);
    lease_give_back(t->sv->leases, s->lease);
    loop_timer_cancel(&s->retry);
    s->ops->ended(s->arg);
    metric_add(s->active, -1);
    t->on_break = NULL;
    txn_drop(t);
}

static void fail(struct store_file *s, const struct gw_error *e,
                 bool releases_quota)
{
    txn_fail(s->t, e);
    end(s, releases_quota);
}

void store_file_fail(struct store_file *s, const struct gw_error *e)
{
    struct txn *t = s->t;

    fail(s, e,
         t->state != TXN_RECORD &&
             (!t->up || !upstream_may_have_stored(t->up)));
}

static void on_break(struct txn *t)
{
    struct store_file *s = t->storing;
    struct gw_error e = {0};

    err_plain(&e, GW_DRAINING);
    store_file_fail(s, &e);
}

/* --- the record --- */

/* Both have answered, in whatever order. What failed is tried again together:
 * neither minds being done twice. */
static void on_written(struct store_file *s)
{
    struct txn *t = s->t;
    const struct gw_error *e = &s->write_error;

    if (t->store_call || s->settling)
        return;
    if (e->err == GW_OK) {
        t->bytes_stored = s->record.obj.bytes;
        s->ops->recorded(s->arg, &s->record);
        end(s, false);
    } else if (e->err == GW_STORE_UNAVAILABLE &&
               loop_now_ms(t->sv->loop) < s->retry_until_ms) {
        loop_timer_set(&s->retry, RECORD_RETRY_MS);
    } else {
        log_msg(LOG_ERROR, t->id,
                "cannot record an uploaded file, the sweeper will mend it at "
                "'%s': %s",
                t->provider, e->message);
        fail(s, e, false);
    }
}

static void on_put(void *arg, bool changed, const struct gw_error *e)
{
    struct store_file *s = arg;

    (void)changed;
    s->t->store_call = NULL;
    if (e->err != GW_OK)
        s->write_error = *e;
    on_written(s);
}

static void on_settled(void *arg, bool changed, const struct gw_error *e)
{
    struct store_file *s = arg;

    (void)changed;
    s->settling = NULL;
    if (e->err != GW_OK)
        s->write_error = *e;
    on_written(s);
}

static void on_expiry_put(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    (void)e; /* it was sent before the record: that fails, too */
}

/* The record and what it counts, in one round trip. */
static void put_record(void *arg)
{
    struct store_file *s = arg;
    struct txn *t = s->t;
    struct quota_amount used = {
        .files = 1, .bytes = s->record.obj.bytes, .up = s->uploaded};

    if (s->record.obj.expires_at)
        (void)expiry_put(t->sv->redis, &s->record, on_expiry_put, NULL);
    err_clear(&s->write_error);
    t->store_call = file_store_put(t->sv->redis, &s->record, on_put, s);
    s->settling = quota_settle(t->sv->redis, str_of(s->id), &t->who, &used,
                               on_settled, s);
}

/* What the client asked for, else what the key, its team or the provider has by
 * default; 0: it does not expire. */
static int64_t lifetime_s(const struct store_file *s)
{
    int64_t own = vkey_file_expiry(s->t->vkey, s->t->vteam);

    if (s->facts.expires_after_s)
        return s->facts.expires_after_s;
    if (own)
        return own;
    return s->provider->default_expiry_ms / 1000;
}

/* Of two times, of which 0 is never. */
static int64_t earlier(int64_t a, int64_t b)
{
    return a && b ? MIN(a, b) : MAX(a, b);
}

/* A provider may end a file sooner than was asked for, or later, if it knows
 * hours alone or no choice at all: whichever comes first is what holds. */
static int64_t end_of_life(const struct store_file *s,
                           const struct file_obj *up, int64_t created_at)
{
    int64_t life = lifetime_s(s);

    return earlier(up->expires_at, life ? created_at + life : 0);
}

static struct str key_hash(const struct txn *t)
{
    return t->is_master ? STR("master") : str_of(t->vkey->hash);
}

/* What the owner says goes before what came back. */
static enum gw_err fill_record(struct store_file *s, struct gw_error *e)
{
    struct txn *t = s->t;
    const struct file_obj *up = &t->up->op.file;
    int64_t now_ms = clock_wall_ms();
    struct file_record *r = &s->record;

    *r = (struct file_record){
        .obj = {.id = str_of(s->id),
                .created_at = up->created_at ? up->created_at : now_ms / 1000,
                .status = up->status,
                .status_details = up->status_details,
                .provider = str_of(s->provider->name)},
        .owner = t->vkey->owner,
        .key_hash = key_hash(t),
        .upstream_id = up->id,
        .stored_ms = now_ms,
    };
    s->uploaded = -1;
    if (s->ops->stored(s->arg, r, e) != GW_OK)
        return e->err;
    if (s->uploaded < 0)
        s->uploaded = r->obj.bytes;
    r->obj.expires_at = end_of_life(s, up, r->obj.created_at);
    if (up->bytes >= 0 && up->bytes != r->obj.bytes)
        log_msg(LOG_WARN, t->id, "'%s' counts %lld bytes, %lld were sent",
                t->provider, (long long)up->bytes, (long long)r->obj.bytes);
    return GW_OK;
}

/* --- the provider --- */

static void on_stored(void *arg, const struct gw_error *e)
{
    struct store_file *s = arg;
    struct gw_error error = *e;

    if (error.err != GW_OK) {
        if (!s->ops->failed(s->arg, &error))
            store_file_fail(s, &error);
        return;
    }
    if (fill_record(s, &error) != GW_OK) {
        fail(s, &error, false);
        return;
    }
    txn_goto(s->t, TXN_RECORD);
    s->retry_until_ms = loop_now_ms(s->t->sv->loop) + RECORD_RETRY_FOR_MS;
    put_record(s);
}

static const struct upstream_ops store_ops = {.done = on_stored};

static void start_upstream(struct store_file *s)
{
    struct txn *t = s->t;
    struct prov_upload *up;
    struct pipe *source;

    t->up = upstream_new(t->sv, t->arena, s->provider, PROV_CREATE);
    up = &t->up->op.upload;
    up->filename = s->facts.filename;
    up->content_type = s->facts.content_type;
    up->purpose = s->facts.purpose;
    up->expires_after_s = s->facts.expires_after_s;
    up->boundary = str_of(s->own_boundary);
    t->up->op.object_name = s->id_parts.ulid;
    t->up->op.shown_id = str_of(s->id);
    source = s->ops->source(s->arg, up);
    txn_goto(t, TXN_UPSTREAM);
    upstream_start(t->up, source, NULL, &store_ops, s);
}

void store_file_held(struct store_file *s, const struct gw_error *e)
{
    if (e->err != GW_OK)
        fail(s, e, true);
    else
        start_upstream(s);
}

static void fill_entry(struct store_file *s)
{
    bool names = provider_caps(s->provider) & PROV_NAMES_OBJECT;
    int64_t life = lifetime_s(s);

    s->entry = (struct journal_entry){
        .id = str_of(s->id),
        .owner = s->t->vkey->owner,
        .key_hash = key_hash(s->t),
        .provider = str_of(s->provider->name),
        .upstream_id = names ? s->id_parts.ulid : STR(""),
        .filename = s->facts.filename,
        .purpose = s->facts.purpose,
        .content_type = s->facts.content_type,
        .bytes = s->facts.bytes,
        .begun_ms = clock_wall_ms(),
        .expires_at = life ? clock_wall_s() + life : 0,
    };
}

/* The provider tried last may have the file: its entry, and what is held under
 * that id, are left to the sweeper. */
static void leave_behind(struct store_file *s)
{
    lease_give_back(s->t->sv->leases, s->lease);
    s->lease = NULL;
    s->hold = STR_NULL;
    s->id[0] = '\0';
}

/* Also for the next candidate: the hold is the same, the entry's provider
 * another. */
void store_file_go(struct store_file *s, const struct provider_conf *p,
                   const struct store_file_facts *facts)
{
    struct txn *t = s->t;

    if (s->id[0] && t->up && upstream_may_have_stored(t->up))
        leave_behind(s);
    s->provider = p;
    s->facts = *facts;
    t->provider = p->name;
    if (!s->id[0]) {
        fileid_mint(FILEID_FILE, p->ns, clock_wall_ms(), s->id);
        t->file_id = str_of(s->id);
        crypto_random_text(s->own_boundary, sizeof(s->own_boundary) - 1);
        store_file_name_hold(s, t->file_id);
    }
    if (!fileid_parse(FILEID_FILE, str_of(s->id), &s->id_parts))
        BUG("minted a bad id '%s'", s->id);
    fill_entry(s);
    txn_goto(t, TXN_JOURNAL);
    s->ops->hold(s->arg);
}

static void release_timer(void *arg)
{
    loop_timer_release(arg);
}

void store_file_begin(struct store_file *s, struct txn *t,
                      const char *direction, const struct store_file_ops *ops,
                      void *arg)
{
    s->t = t;
    s->ops = ops;
    s->arg = arg;
    loop_timer_init(t->sv->loop, &s->retry, put_record, s);
    arena_on_free(t->arena, release_timer, &s->retry);
    s->active =
        metrics_get(t->sv->metrics, METRIC_TRANSFERS, direction, NULL, NULL);
    metric_add(s->active, 1);
    txn_hold(t);
    t->storing = s;
    t->on_break = on_break;
}
