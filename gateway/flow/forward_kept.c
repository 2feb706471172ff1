#include "gateway/flow/forward_impl.h"

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/flow/lease.h"
#include "gateway/store/quota.h"

/* What providers keep for callers, and lists tell of (kept.h).
 *
 * A call that makes one:   journal ─► the call ─► its ids ─► the record ─► the
 * reply. From the journal on it holds the transaction, and goes on when the
 * client hangs up: what was made is recorded. One that shows an object, or ends
 * it, brings its record up to date on the way. */

/* A new one's record is tried to be written so often and so long. */
#define RECORD_RETRY_MS 200
#define RECORD_RETRY_FOR_MS 60000

/* --- what may be asked for --- */

static bool is_among(struct str s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_c(s, words[i]))
            return true;
    return false;
}

/* Stored completions and responses are those of all who share the provider's
 * account. */
enum gw_err forward_kept_check_source(struct forward *f, struct gw_error *e)
{
    static const char *const own[] = {"file_id", "file_content"};
    bool has_one = false, is_own = true;

    for (size_t i = 0; i < f->asked.n && is_own; i++) {
        const struct id_site *s = &f->asked.v[i];

        if (s->kind != ID_SOURCE)
            continue;
        has_one = true;
        is_own = is_among(s->value, own, COUNTOF(own));
    }
    if (has_one && is_own)
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "data_source.source.type",
                         "a source must be 'file_id' or 'file_content': others "
                         "are shared by all who use the provider");
}

/* --- the end of making one --- */

static void on_released(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("cannot end the journal's entry of a kept object, the sweeper "
                 "will: %s",
                 e->message);
}

void forward_kept_end(struct forward *f, bool is_settled)
{
    struct txn *t = f->t;

    if (!f->is_making)
        return;
    f->is_making = false;
    if (f->kept_call)
        redis_cancel(f->kept_call);
    f->kept_call = NULL;
    loop_timer_release(&f->kept_retry);
    lease_give_back(t->sv->leases, f->kept_lease);
    f->kept_lease = NULL;
    if (is_settled)
        (void)quota_release(t->sv->redis, f->kept_entry, on_released, NULL);
    t->on_break = NULL;
    txn_drop(t);
}

void forward_kept_break(struct txn *t)
{
    struct gw_error e = {0};

    err_plain(&e, GW_DRAINING);
    forward_fail(t->data, &e);
}

/* Whether an answer that did not come would have been an object is not
 * known. */
static bool may_be_made(enum gw_err err)
{
    return err == GW_UPSTREAM_BROKEN || err == GW_UPSTREAM_TIMEOUT ||
           err == GW_UPSTREAM_BAD_RESPONSE;
}

void forward_kept_failed(struct forward *f, const struct gw_error *e)
{
    if (!f->is_making)
        return;
    if (may_be_made(e->err) || f->kept.upstream_id.n)
        log_msg(LOG_WARN, f->t->id, "a %s may be at '%s' that nobody knows: %s",
                kept_kind(f->kept.kind)->what, f->t->provider, e->message);
    /* What is not known yet is left to the sweeper to tell of. */
    forward_kept_end(f, !f->kept.upstream_id.n && e->err != GW_DRAINING);
}

/* --- making one --- */

static void on_held(void *arg, const struct quota_verdict *v,
                    const struct gw_error *e)
{
    struct forward *f = arg;

    (void)v; /* it takes nothing, so nothing can be refused */
    f->kept_call = NULL;
    if (e->err != GW_OK)
        forward_fail(f, e);
    else
        forward_send(f);
}

static void write_record(void *arg);

void forward_kept_begin(struct forward *f, const struct provider_conf *p)
{
    struct txn *t = f->t;
    struct str key_hash = t->is_master ? STR("master") : str_of(t->vkey->hash);
    struct quota_amount nothing = {0};
    struct quota_who nobody = {0};
    struct journal_entry entry;

    kept_new(t->arena, kept_kind(str_of(f->call->keeps)), p, t->vkey->owner,
             key_hash, &f->kept);
    f->kept_entry = f->kept.id;
    entry = (struct journal_entry){
        .kind = JOURNAL_KEPT,
        .id = f->kept_entry,
        .owner = f->kept.owner,
        .key_hash = key_hash,
        .provider = f->kept.provider,
        .upstream_id = STR(""),
        .filename = STR(""),
        .purpose = f->kept.kind,
        .content_type = STR(""),
        .begun_ms = clock_wall_ms(),
    };
    txn_hold(t);
    f->is_making = true;
    t->on_break = forward_kept_break;
    loop_timer_init(t->sv->loop, &f->kept_retry, write_record, f);
    f->kept_lease = lease_take(t->sv->leases, f->kept_entry);
    txn_goto(t, TXN_JOURNAL);
    f->kept_call = quota_hold(t->sv->redis, f->kept_entry, &nobody, &nothing,
                              &entry, t->conf->journal.lease_ms, on_held, f);
}

enum gw_err forward_kept_made(struct forward *f, struct str upstream_id,
                              struct gw_error *e)
{
    struct arena *a = f->t->arena;

    if (kept_name(&f->kept, arena_dup(a, upstream_id), f->provider, e))
        return e->err;
    if (!str_eq(f->kept.id, f->kept.upstream_id))
        forward_ids_name(f, f->kept.upstream_id, f->kept.id);
    f->t->file_id = f->kept.id;
    return GW_OK;
}

static void on_written(void *arg, bool changed, const struct gw_error *e)
{
    struct forward *f = arg;
    int64_t now = loop_now_ms(f->t->sv->loop);

    f->kept_call = NULL;
    if (e->err == GW_STORE_UNAVAILABLE && now < f->kept_retry_until_ms) {
        loop_timer_set(&f->kept_retry, RECORD_RETRY_MS);
        return;
    }
    if (e->err != GW_OK) {
        forward_fail(f, e);
        return;
    }
    if (!changed)
        log_msg(LOG_WARN, f->t->id, "there was a record of '%.*s' before",
                STR_ARG(f->kept.id));
    forward_answer_reply(f);
}

static void write_record(void *arg)
{
    struct forward *f = arg;

    f->kept_call = kept_store_put(f->t->sv->redis, &f->kept, on_written, f);
}

void forward_kept_record(struct forward *f, struct str text)
{
    (void)kept_see(&f->kept, text);
    f->kept_retry_until_ms = loop_now_ms(f->t->sv->loop) + RECORD_RETRY_FOR_MS;
    write_record(f);
}

/* --- what becomes of one --- */

static void on_changed(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("the record of a kept object is behind: %s", e->message);
}

void forward_kept_seen(struct forward *f, struct str text)
{
    if (kept_see(&f->kept, text))
        (void)kept_store_update(f->t->sv->redis, &f->kept, on_changed, NULL);
}

void forward_kept_gone(struct forward *f)
{
    if (f->kept.ulid.n)
        (void)kept_store_delete(f->t->sv->redis, &f->kept, on_changed, NULL);
}
