/* sweeper.c
 *
 *   tick ─► lead ─► due ─► for each entry:                     then expirer,
 *                                                              batch_watch
 *     a deletion ─► removal
 *     an upload in parts ─► upload_end
 *     known? ─yes─► settle
 *       └no─► delete by name ─► release
 *         └─► list page ─► rivals? ─yes─► postpone
 *               ▲            └no─► candidate ─► in the index? ─► next
 *               └── no more ◄────────┘             └no─► delete ─► release
 *                                                    or adopt ─► settle
 *
 * One entry at a time, one answer awaited at a time; an arena per entry.
 */
#include "gateway/flow/sweeper.h"

#include <stdlib.h>
#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/flow/batch_watch.h"
#include "gateway/flow/expirer.h"
#include "gateway/flow/removal.h"
#include "gateway/flow/upload_end.h"
#include "gateway/flow/upstream.h"
#include "gateway/store/expiry.h"
#include "gateway/store/batch_quota.h"
#include "gateway/store/batch_store.h"
#include "gateway/store/kept_store.h"
#include "gateway/store/file_store.h"
#include "gateway/store/quota.h"

/* Entries mended per sweep; the rest waits for the next. */
#define SWEEP_MAX 64
/* Pages of a provider's list that are looked through for one entry. */
#define PAGES_MAX 20
/* The provider's clock may differ from ours by so much. */
#define CLOCK_SKEW_S 300
/* First by so many sweeps, then by twice as many each time. */
#define POSTPONE_SWEEPS 2
#define POSTPONE_MAX_MS 3600000
/* The first sweep follows the start so soon. */
#define FIRST_SWEEP_MS 500

struct sweeper {
    struct services *sv;
    char process_id[64];
    struct loop_timer timer;
    struct loop_timer renewal; /* of the lease in Redis, during a sweep */
    struct redis_call *renewing;
    bool leads;
    struct redis_call *call;
    struct settings *conf; /* held during a sweep */
    struct arena *arena;   /* of a sweep */
    struct journal_entry *entries;
    size_t n, next;

    struct arena *work; /* of one entry */
    struct journal_entry *entry;
    const struct provider_conf *provider;
    struct upstream *up;
    struct removal *removal;
    struct upload_end *ending;
    struct expirer *expirer;
    struct batch_watch *watch;
    struct file_obj *found; /* candidates of the page under way */
    size_t nfound, looked;
    size_t pages;
    struct file_record record; /* to be adopted */
};

static void mend_next(struct sweeper *s);
static void look_at_candidate(struct sweeper *s);
static void list_page(struct sweeper *s, struct str cursor);

/* --- the lease --- */

static int64_t lead_ms(const struct sweeper *s)
{
    return MIN(s->sv->settings->journal.lease_ms, SWEEPER_LEASE_MS);
}

static void on_renewed(void *arg, bool changed, const struct gw_error *e)
{
    struct sweeper *s = arg;

    s->renewing = NULL;
    if (e->err == GW_OK)
        s->leads = changed;
    loop_timer_set(&s->renewal, lead_ms(s) / 3);
}

static void renew(void *arg)
{
    struct sweeper *s = arg;

    s->renewing =
        journal_lead(s->sv->redis, s->process_id, lead_ms(s), on_renewed, s);
}

static void stop_renewal(struct sweeper *s)
{
    if (s->renewing)
        redis_cancel(s->renewing);
    s->renewing = NULL;
    loop_timer_cancel(&s->renewal);
}

static void rest(void *arg)
{
    struct sweeper *s = arg;

    stop_renewal(s);
    settings_drop(s->conf);
    arena_free(s->work);
    arena_free(s->arena);
    s->conf = NULL;
    s->work = s->arena = NULL;
    s->up = NULL;
    s->entries = NULL;
    s->n = s->next = 0;
    loop_timer_set(&s->timer, s->sv->settings->journal.sweep_ms);
}

static void report(struct sweeper *s, enum log_level level, const char *outcome,
                   const char *why)
{
    struct log_line l;

    metrics_count(s->sv->metrics, METRIC_JOURNAL_SWEPT, outcome, NULL, NULL);
    log_begin(&l, level, NULL, "an interrupted upload was swept");
    log_cstr(&l, "outcome", outcome);
    log_str(&l, "file", s->entry->id);
    log_str(&l, "owner", s->entry->owner);
    log_str(&l, "provider", s->entry->provider);
    log_str(&l, "filename", s->entry->filename);
    if (why)
        log_cstr(&l, "cause", why);
    log_end(&l);
}

/* The answer to a change of the journal: whatever it is, go on; what failed is
 * due again at the next sweep. */
static void on_entry_done(void *arg, bool changed, const struct gw_error *e)
{
    struct sweeper *s = arg;

    (void)changed;
    s->call = NULL;
    if (e->err != GW_OK)
        log_warn("cannot change a journal entry: %s", e->message);
    mend_next(s);
}

/* There is no file: what it held is free again. */
static void release(struct sweeper *s, const char *outcome, const char *why)
{
    report(s, why ? LOG_WARN : LOG_INFO, outcome, why);
    s->call = quota_release(s->sv->redis, s->entry->id, on_entry_done, s);
}

/* There is one: it counts. */
static void settle(struct sweeper *s, const char *outcome, int64_t bytes)
{
    struct quota_who nobody = {0}; /* the hold knows */
    struct quota_amount used = {
        .files = 1, .bytes = MAX(bytes, 0), .up = MAX(bytes, 0)};

    report(s, LOG_INFO, outcome, NULL);
    s->call = quota_settle(s->sv->redis, s->entry->id, &nobody, &used,
                           on_entry_done, s);
}

/* A file that its owner does not have any more must not count for ever. */
static void on_last_look(void *arg, const struct file_record *found,
                         const struct gw_error *e)
{
    struct sweeper *s = arg;
    struct redis *r = s->sv->redis;

    s->call = NULL;
    if (e->err != GW_OK)
        mend_next(s);
    else if (found)
        s->call = quota_release(r, s->entry->id, on_entry_done, s);
    else
        s->call = quota_forget(r, s->entry->id, on_entry_done, s);
}

static void give_up(struct sweeper *s, const char *why)
{
    struct redis *r = s->sv->redis;

    report(s, LOG_ERROR, "given_up", why);
    if (s->entry->kind == JOURNAL_DELETE)
        s->call = file_store_get(r, s->work, s->entry->owner, s->entry->id,
                                 on_last_look, s);
    else
        s->call = quota_release(r, s->entry->id, on_entry_done, s);
}

static void postpone(struct sweeper *s, const char *why)
{
    int64_t by = POSTPONE_SWEEPS * s->conf->journal.sweep_ms;

    if (s->entry->tries >= SWEEPER_TRIES_MAX) {
        give_up(s, why);
        return;
    }
    for (int64_t i = 0; i < s->entry->tries && by < POSTPONE_MAX_MS; i++)
        by *= 2;
    report(s, LOG_WARN, "postponed", why);
    s->call = journal_postpone(s->sv->redis, s->entry->id,
                               MIN(by, POSTPONE_MAX_MS), on_entry_done, s);
}

/* --- what was found: delete it, or adopt it --- */

static void on_deleted(void *arg, const struct gw_error *e)
{
    struct sweeper *s = arg;

    if (e->err == GW_OK)
        release(s, "deleted", NULL);
    else if (e->err == GW_FILE_NOT_FOUND)
        release(s, "nothing_left", NULL);
    else
        postpone(s, e->message);
}

static const struct upstream_ops delete_ops = {.done = on_deleted};

static void delete_upstream(struct sweeper *s, struct str upstream_id)
{
    s->up = upstream_new(s->sv, s->work, s->provider, PROV_DELETE);
    s->up->op.upstream_id = upstream_id;
    upstream_start(s->up, NULL, NULL, &delete_ops, s);
}

static void on_adopted(void *arg, bool changed, const struct gw_error *e)
{
    struct sweeper *s = arg;

    (void)changed;
    s->call = NULL;
    if (e->err != GW_OK)
        postpone(s, e->message);
    else
        settle(s, "adopted", s->record.obj.bytes);
}

static void adopt(struct sweeper *s, const struct file_obj *f)
{
    const struct journal_entry *j = s->entry;
    struct file_record *r = &s->record;

    *r = (struct file_record){
        .obj = *f,
        .owner = j->owner,
        .key_hash = j->key_hash,
        .upstream_id = f->id,
        .content_type = j->content_type,
        .stored_ms = clock_wall_ms(),
    };
    r->obj.id = j->id;
    r->obj.filename = j->filename;
    if (j->purpose.n)
        r->obj.purpose = j->purpose;
    r->obj.provider = j->provider;
    r->obj.expires_at = f->expires_at ? f->expires_at : j->expires_at;
    if (!r->obj.created_at)
        r->obj.created_at = j->begun_ms / 1000;
    if (r->obj.expires_at)
        (void)expiry_put(s->sv->redis, r, NULL, NULL);
    s->call = file_store_put(s->sv->redis, r, on_adopted, s);
}

/* --- looking for it in the provider's list --- */

static bool is_alike(const struct journal_entry *j, const struct file_obj *f)
{
    int64_t begun_s = j->begun_ms / 1000;

    if (!str_eq(f->filename, j->filename))
        return false;
    if (j->purpose.n && f->purpose.n && !str_eq(f->purpose, j->purpose))
        return false;
    if (j->bytes >= 0 && f->bytes >= 0 && j->bytes != f->bytes)
        return false;
    return !f->created_at || f->created_at >= begun_s - CLOCK_SKEW_S;
}

static void on_known(void *arg, const struct file_record *found,
                     const struct gw_error *e)
{
    struct sweeper *s = arg;
    struct file_obj *f = &s->found[s->looked];

    s->call = NULL;
    if (e->err != GW_OK) {
        postpone(s, e->message);
    } else if (found) {
        s->looked++;
        look_at_candidate(s);
    } else if (provider_caps(s->provider) & PROV_CAN_DELETE) {
        delete_upstream(s, f->id);
    } else if (s->entry->of.n) {
        release(s, "unknown",
                "the provider cannot delete what was stored in vain");
    } else {
        adopt(s, f);
    }
}

/* The next file of the page that is like the entry's: has it a record? */
static void look_at_candidate(struct sweeper *s)
{
    struct str cursor = s->up->op.next_cursor;

    while (s->looked < s->nfound && !is_alike(s->entry, &s->found[s->looked]))
        s->looked++;
    if (s->looked < s->nfound)
        s->call =
            file_store_by_upstream(s->sv->redis, s->work, s->provider->name,
                                   s->found[s->looked].id, on_known, s);
    else if (cursor.n && ++s->pages < PAGES_MAX)
        list_page(s, cursor);
    else
        release(s, "nothing_left", NULL);
}

/* A file on the page may be that of an upload under way, whose record is still
 * to come. Its entry is there from before the first byte until after the
 * record: so rivals are looked for between the page and the records. */
static void on_rivals(void *arg, bool changed, const struct gw_error *e)
{
    struct sweeper *s = arg;

    s->call = NULL;
    if (e->err != GW_OK)
        postpone(s, e->message);
    else if (changed)
        postpone(s, "an upload alike is under way");
    else
        look_at_candidate(s);
}

static void on_page(void *arg, const struct gw_error *e)
{
    struct sweeper *s = arg;

    if (e->err != GW_OK) {
        postpone(s, e->message);
        return;
    }
    s->found = s->up->op.list;
    s->nfound = s->up->op.nlist;
    s->looked = 0;
    s->call = journal_has_rival(s->sv->redis, s->entry, on_rivals, s);
}

static const struct upstream_ops list_ops = {.done = on_page};

static void list_page(struct sweeper *s, struct str cursor)
{
    s->up = upstream_new(s->sv, s->work, s->provider, PROV_LIST);
    s->up->op.list_cursor = cursor;
    upstream_start(s->up, NULL, NULL, &list_ops, s);
}

/* --- a deletion --- */

static void on_removed(void *arg, bool existed, const struct gw_error *e)
{
    struct sweeper *s = arg;

    (void)existed;
    s->removal = NULL;
    if (e->err != GW_OK) {
        postpone(s, e->message);
        return;
    }
    report(s, LOG_INFO, "deletion_finished", NULL);
    mend_next(s);
}

static void finish_deletion(struct sweeper *s)
{
    const struct journal_entry *j = s->entry;
    struct file_record r = {
        .obj = {.id = j->id,
                .bytes = j->bytes,
                .filename = j->filename,
                .purpose = j->purpose,
                .provider = j->provider,
                .expires_at = j->expires_at},
        .owner = j->owner,
        .key_hash = j->key_hash,
        .upstream_id = j->upstream_id,
    };

    if (j->ncopies)
        file_record_set_copies(s->work, &r, j->copies, j->ncopies);
    s->removal =
        removal_start(s->sv, s->conf, &r, REMOVAL_NOTED, on_removed, s);
}

/* --- an upload in parts whose time is over --- */

static void on_ended(void *arg, const struct upload_view *v,
                     const struct gw_error *e)
{
    struct sweeper *s = arg;

    s->ending = NULL;
    if (e->err != GW_OK) {
        postpone(s, e->message);
    } else if (v && v->state == UPLOAD_COMPLETING) {
        postpone(s, "it is being completed");
    } else {
        report(s, LOG_INFO, "parts_deleted", NULL);
        mend_next(s);
    }
}

static void end_upload(struct sweeper *s)
{
    s->ending = upload_end_start(s->sv, s->conf, s->entry->owner, s->entry->id,
                                 UPLOAD_EXPIRED, STR(""), on_ended, s);
}

/* --- one entry --- */

static void mend(struct sweeper *s)
{
    unsigned caps;

    s->provider = settings_provider(s->conf, s->entry->provider);
    if (!s->provider) {
        postpone(s, "the provider is not configured");
        return;
    }
    caps = provider_caps(s->provider);
    if (s->entry->upstream_id.n && (caps & PROV_CAN_DELETE))
        delete_upstream(s, s->entry->upstream_id);
    else if (caps & PROV_CAN_LIST)
        list_page(s, STR(""));
    else
        release(s, "unknown",
                "the provider cannot list its files: one may be left there");
}

/* One of the other providers of a fan-out. */
static bool is_part(const struct journal_entry *j)
{
    return j->of.n && !str_eq(j->of, j->id);
}

static void on_record(void *arg, const struct file_record *found,
                      const struct gw_error *e)
{
    struct sweeper *s = arg;

    s->call = NULL;
    if (e->err != GW_OK)
        postpone(s, e->message);
    else if (found && is_part(s->entry))
        release(s, "recorded", NULL); /* the file counts by its own entry */
    else if (found)
        settle(s, "recorded", found->obj.bytes);
    else
        mend(s);
}

/* Which of a provider's batches it would be, nobody can tell: it is left to
 * end there, and counts as active no more. */
static void lose_batch(struct sweeper *s)
{
    report(s, LOG_WARN, "unknown",
           "a batch may run at the provider that nobody knows");
    s->call = batch_quota_seen(s->sv->redis, s->entry->owner, s->entry->id,
                               BATCH_LOST, BATCH_NEVER, on_entry_done, s);
}

static void on_batch(void *arg, const struct batch_record *found,
                     const struct gw_error *e)
{
    struct sweeper *s = arg;

    s->call = NULL;
    if (e->err != GW_OK)
        postpone(s, e->message);
    else if (found)
        release(s, "recorded", NULL);
    else
        lose_batch(s);
}

static void on_expired(void *arg)
{
    struct sweeper *s = arg;

    batch_watch_run(s->watch, s->conf, rest, s);
}

/* The same of other things; their records are not found by what the journal
 * knows of them, but for jobs. */
static void on_kept(void *arg, const struct kept_record *found,
                    const struct gw_error *e)
{
    struct sweeper *s = arg;

    s->call = NULL;
    if (e->err != GW_OK)
        postpone(s, e->message);
    else if (found)
        release(s, "recorded", NULL);
    else
        release(s, "unknown",
                "something may be kept at the provider that nobody knows");
}

static void mend_next(struct sweeper *s)
{
    if (!s->leads || s->sv->is_draining) {
        rest(s);
        return;
    }
    if (s->next == s->n) {
        expirer_run(s->expirer, s->conf, on_expired, s);
        return;
    }
    arena_free(s->work);
    s->work = arena_new();
    s->entry = &s->entries[s->next++];
    s->up = NULL;
    s->pages = 0;
    if (s->entry->kind == JOURNAL_DELETE) {
        finish_deletion(s);
        return;
    }
    if (s->entry->kind == JOURNAL_PARTS) {
        end_upload(s);
        return;
    }
    if (s->entry->kind == JOURNAL_BATCH)
        s->call = batch_store_get(s->sv->redis, s->work, s->entry->owner,
                                  s->entry->id, on_batch, s);
    else if (s->entry->kind == JOURNAL_KEPT)
        s->call = kept_store_get(s->sv->redis, s->work, s->entry->owner,
                                 s->entry->id, on_kept, s);
    else
        s->call = file_store_get(s->sv->redis, s->work, s->entry->owner,
                                 s->entry->of.n ? s->entry->of : s->entry->id,
                                 on_record, s);
}

/* --- a sweep --- */

static void on_due(void *arg, const struct journal_entry *v, size_t n,
                   const struct gw_error *e)
{
    struct sweeper *s = arg;

    s->call = NULL;
    if (e->err == GW_OK && n) {
        s->entries = arena_alloc(s->arena, n * sizeof(*v));
        memcpy(s->entries, v, n * sizeof(*v));
        s->n = n;
    }
    mend_next(s);
}

static void on_lead(void *arg, bool changed, const struct gw_error *e)
{
    struct sweeper *s = arg;

    s->call = NULL;
    s->leads = e->err == GW_OK && changed;
    if (!s->leads) {
        rest(s);
        return;
    }
    loop_timer_set(&s->renewal, lead_ms(s) / 3);
    s->call = journal_due(s->sv->redis, s->arena, SWEEP_MAX, on_due, s);
}

static void on_tick(void *arg)
{
    struct sweeper *s = arg;

    ASSERT(!s->arena);
    if (s->sv->is_draining)
        return;
    /* After an outage whoever lives renews first. */
    if (redis_up_ms(s->sv->redis) < s->sv->settings->journal.lease_ms / 2) {
        loop_timer_set(&s->timer, FIRST_SWEEP_MS);
        return;
    }
    s->arena = arena_new();
    s->conf = settings_hold(s->sv->settings);
    s->call = journal_lead(s->sv->redis, s->process_id, lead_ms(s), on_lead, s);
}

struct sweeper *sweeper_open(struct services *sv, const char *process_id)
{
    struct sweeper *s = xcalloc(1, sizeof(*s));

    s->sv = sv;
    s->expirer = expirer_open(sv);
    s->watch = batch_watch_open(sv);
    snprintf(s->process_id, sizeof(s->process_id), "%s", process_id);
    loop_timer_init(sv->loop, &s->timer, on_tick, s);
    loop_timer_init(sv->loop, &s->renewal, renew, s);
    loop_timer_set(&s->timer, FIRST_SWEEP_MS);
    return s;
}

void sweeper_close(struct sweeper *s)
{
    if (!s)
        return;
    if (s->call)
        redis_cancel(s->call);
    upstream_abort(s->up);
    removal_leave(s->removal);
    upload_end_leave(s->ending);
    expirer_close(s->expirer);
    batch_watch_close(s->watch);
    stop_renewal(s);
    loop_timer_release(&s->renewal);
    loop_timer_release(&s->timer);
    settings_drop(s->conf);
    arena_free(s->work);
    arena_free(s->arena);
    free(s);
}
