#include "gateway/flow/store_file.h"

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/flow/lease.h"
#include "gateway/flow/removal.h"
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

    if (s->hold.p && releases_quota && s->ops->release)
        s->ops->release(s->arg);
    else if (s->hold.p && releases_quota)
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

/* What several providers have is taken back, before the record was begun. */
static void fail_all(struct store_file *s, const struct gw_error *e)
{
    bool is_recording = s->t->state == TXN_RECORD;

    txn_fail(s->t, e);
    if (is_recording)
        fan_out_leave(s->fan);
    end(s, !is_recording && fan_out_undo(s->fan));
}

void store_file_fail(struct store_file *s, const struct gw_error *e)
{
    struct txn *t = s->t;

    if (s->fan) {
        fail_all(s, e);
        return;
    }
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

/*   renew ─► record ─► what it counts, which ends the entry ─► answer
 *     └ the entry is gone: has it a record?
 *          yes: that answer alone was lost, or the sweeper adopted it
 *          no: the sweeper mended it while Redis was out of reach for longer
 *              than the lease; there may be no file any more
 *
 * What fails is tried again from the start: none minds being done twice. The
 * entry ends last, so whoever dies leaves it.
 */
static void begin_record(void *arg);

static void give_up_record(struct store_file *s, const struct gw_error *e)
{
    if (s->fan)
        fan_out_leave(s->fan);
    fail(s, e, false);
}

static void on_record_failed(struct store_file *s, const struct gw_error *e)
{
    struct txn *t = s->t;

    if (e->err == GW_STORE_UNAVAILABLE &&
        loop_now_ms(t->sv->loop) < s->retry_until_ms) {
        loop_timer_set(&s->retry, RECORD_RETRY_MS);
        return;
    }
    log_msg(LOG_ERROR, t->id,
            "cannot record an uploaded file, the sweeper will mend it at "
            "'%s': %s",
            t->provider, e->message);
    give_up_record(s, e);
}

static void finish_record(struct store_file *s)
{
    s->t->bytes_stored = s->record.obj.bytes;
    if (s->fan)
        fan_out_recorded(s->fan);
    s->ops->recorded(s->arg, &s->record);
    end(s, false);
}

static void on_settled(void *arg, bool changed, const struct gw_error *e)
{
    struct store_file *s = arg;

    (void)changed;
    s->t->store_call = NULL;
    if (e->err != GW_OK)
        on_record_failed(s, e);
    else
        finish_record(s);
}

static void on_put(void *arg, bool changed, const struct gw_error *e)
{
    struct store_file *s = arg;
    struct txn *t = s->t;
    struct quota_amount used = {
        .files = 1, .bytes = s->record.obj.bytes, .up = s->uploaded};

    (void)changed;
    t->store_call = NULL;
    if (e->err != GW_OK)
        on_record_failed(s, e);
    else
        t->store_call = quota_settle(t->sv->redis, str_of(s->id), &t->who,
                                     &used, on_settled, s);
}

static void put_record(struct store_file *s)
{
    struct redis *r = s->t->sv->redis;

    if (s->record.obj.expires_at)
        (void)expiry_put(r, &s->record, NULL, NULL);
    s->t->store_call = file_store_put(r, &s->record, on_put, s);
}

/* The sweeper may have looked before the provider had it whole: so it is
 * deleted here, too. */
static void fail_swept(struct store_file *s)
{
    struct txn *t = s->t;
    struct gw_error e = {0};

    log_msg(LOG_WARN, t->id,
            "an uploaded file was swept while redis was out of reach, and is "
            "deleted at '%s'",
            t->provider);
    (void)!removal_start(t->sv, t->conf, &s->record, REMOVAL_UNDO, NULL, NULL);
    err_set(&e, GW_STORE_UNAVAILABLE,
            "the store was out of reach for so long that the upload was given "
            "up: send the file again");
    give_up_record(s, &e);
}

static void on_looked_up(void *arg, const struct file_record *found,
                         const struct gw_error *e)
{
    struct store_file *s = arg;

    s->t->store_call = NULL;
    if (e->err != GW_OK)
        on_record_failed(s, e);
    else if (found)
        finish_record(s);
    else
        fail_swept(s);
}

static void on_renewed(void *arg, bool changed, const struct gw_error *e)
{
    struct store_file *s = arg;
    struct txn *t = s->t;

    t->store_call = NULL;
    if (e->err != GW_OK)
        on_record_failed(s, e);
    else if (changed)
        put_record(s);
    else
        t->store_call = file_store_get(t->sv->redis, t->arena, t->vkey->owner,
                                       str_of(s->id), on_looked_up, s);
}

static void begin_record(void *arg)
{
    struct store_file *s = arg;
    struct txn *t = s->t;
    struct str ids[LIMIT_FAN_OUT] = {str_of(s->id)};
    size_t i, n = s->fan ? s->fan->n : 1;

    for (i = 1; i < n; i++)
        ids[i] = s->fan->v[i].entry.id;
    t->store_call = journal_renew(t->sv->redis, ids, n,
                                  t->conf->journal.lease_ms, on_renewed, s);
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

static void warn_of_bytes(const struct store_file *s,
                          const struct provider_conf *p,
                          const struct file_obj *up, int64_t sent)
{
    if (up->bytes >= 0 && up->bytes != sent)
        log_msg(LOG_WARN, s->t->id, "'%s' counts %lld bytes, %lld were sent",
                p->name, (long long)up->bytes, (long long)sent);
}

/* Where it is, and what holds of all. */
static void fill_copies(struct store_file *s, struct file_record *r)
{
    struct arena *a = s->t->arena;
    size_t n = s->fan->n;
    struct file_copy *copies = arena_alloc(a, n * sizeof(*copies));

    for (size_t i = 0; i < n; i++) {
        const struct fan_out_branch *b = &s->fan->v[i];
        const struct file_obj *up = &b->up->op.file;

        copies[i] = (struct file_copy){
            .provider = str_of(b->provider->name),
            .upstream_id = up->id,
            .status = up->status,
            .bytes = s->ops->bytes_at(s->arg, i),
        };
        if (up->status == FILE_ERROR && !r->obj.status_details.p)
            r->obj.status_details = up->status_details;
        r->obj.expires_at = earlier(r->obj.expires_at, up->expires_at);
        if (i)
            warn_of_bytes(s, b->provider, up, copies[i].bytes);
    }
    file_record_set_copies(a, r, copies, n);
}

/* What the owner says goes before what came back. */
static enum gw_err fill_record(struct store_file *s, struct gw_error *e)
{
    struct txn *t = s->t;
    const struct upstream *first = s->fan ? s->fan->v[0].up : t->up;
    const struct file_obj *up = &first->op.file;
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
    warn_of_bytes(s, s->provider, up, r->obj.bytes);
    if (s->fan)
        fill_copies(s, r);
    return GW_OK;
}

/* --- the provider --- */

static void record(struct store_file *s)
{
    struct gw_error error = {0};

    if (fill_record(s, &error) != GW_OK) {
        if (s->fan)
            fail_all(s, &error);
        else
            fail(s, &error, false);
        return;
    }
    txn_goto(s->t, TXN_RECORD);
    s->retry_until_ms = loop_now_ms(s->t->sv->loop) + RECORD_RETRY_FOR_MS;
    begin_record(s);
}

static void on_stored(void *arg, const struct gw_error *e)
{
    struct store_file *s = arg;
    struct gw_error error = *e;

    if (error.err != GW_OK) {
        if (!s->ops->failed(s->arg, &error))
            store_file_fail(s, &error);
        return;
    }
    record(s);
}

static const struct upstream_ops store_ops = {.done = on_stored};

static void fill_op(struct store_file *s, const struct fileid *id,
                    struct prov_op *op)
{
    op->upload.filename = s->facts.filename;
    op->upload.content_type = s->facts.content_type;
    op->upload.purpose = s->facts.purpose;
    op->upload.expires_after_s = s->facts.expires_after_s;
    op->upload.boundary = str_of(s->own_boundary);
    op->object_name = id->ulid;
    op->shown_id = str_of(s->id);
}

static void start_upstream(struct store_file *s)
{
    struct txn *t = s->t;
    struct pipe *source;

    t->up = upstream_new(t->sv, t->arena, s->provider, s->code);
    t->up->trace = t->trace;
    fill_op(s, &s->id_parts, &t->up->op);
    source = s->ops->source(s->arg, &t->up->op.upload);
    if (s->ops->prepare)
        s->ops->prepare(s->arg, &t->up->op);
    txn_goto(t, TXN_UPSTREAM);
    upstream_start(t->up, source, NULL, &store_ops, s);
}

/* --- several of them --- */

static struct pipe *open_source(void *arg, size_t i, struct prov_op *op)
{
    struct store_file *s = arg;

    fill_op(s, &s->fan->v[i].id_parts, op);
    s->fan->v[i].up->trace = s->t->trace;
    return s->ops->source_at(s->arg, i, s->fan->v[i].provider, &op->upload);
}

static void on_all_done(void *arg, const struct gw_error *e)
{
    struct store_file *s = arg;
    struct gw_error error = *e;

    if (error.err == GW_OK) {
        record(s);
        return;
    }
    (void)s->ops->failed(s->arg, &error); /* no other one is tried */
    store_file_fail(s, &error);
}

static const struct fan_out_ops fan_ops = {
    .source = open_source,
    .done = on_all_done,
};

static void begin_all(struct store_file *s)
{
    txn_goto(s->t, TXN_UPSTREAM);
    fan_out_begin(s->fan);
}

void store_file_held(struct store_file *s, const struct gw_error *e)
{
    if (e->err != GW_OK)
        fail(s, e, true);
    else if (s->fan)
        begin_all(s);
    else
        start_upstream(s);
}

static void fill_entry(struct store_file *s, const struct provider_conf *p,
                       struct str id, struct str ulid, struct journal_entry *j)
{
    bool names = provider_caps(p) & PROV_NAMES_OBJECT;
    int64_t life = lifetime_s(s);

    *j = (struct journal_entry){
        .id = id,
        .owner = s->t->vkey->owner,
        .key_hash = key_hash(s->t),
        .provider = str_of(p->name),
        .upstream_id = names ? ulid : STR(""),
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
static void prepare(struct store_file *s, const struct provider_conf *p,
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
    fill_entry(s, p, str_of(s->id), s->id_parts.ulid, &s->entry);
}

void store_file_go(struct store_file *s, const struct provider_conf *p,
                   const struct store_file_facts *facts)
{
    prepare(s, p, facts);
    txn_goto(s->t, TXN_JOURNAL);
    s->ops->hold(s->arg);
}

void store_file_go_all(struct store_file *s,
                       const struct provider_conf *const *all, size_t n,
                       const struct store_file_facts *facts)
{
    struct txn *t = s->t;

    ASSERT(n > 1 && !s->fan);
    prepare(s, all[0], facts);
    s->entry.of = str_of(s->id);
    s->fan = arena_new_of(t->arena, struct fan_out);
    fan_out_open(s->fan, t->sv, t->conf, t->arena, &fan_ops, s);
    for (size_t i = 0; i < n; i++) {
        struct fan_out_branch *b =
            fan_out_add(s->fan, all[i], i ? STR("") : str_of(s->id));

        fill_entry(s, all[i], b->entry.id, b->id_parts.ulid, &b->entry);
        b->entry.of = str_of(s->id);
    }
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
    loop_timer_init(t->sv->loop, &s->retry, begin_record, s);
    arena_on_free(t->arena, release_timer, &s->retry);
    s->active =
        metrics_get(t->sv->metrics, METRIC_TRANSFERS, direction, NULL, NULL);
    metric_add(s->active, 1);
    txn_hold(t);
    t->storing = s;
    t->on_break = on_break;
}
