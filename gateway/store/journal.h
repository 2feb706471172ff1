/* journal.h -- what was begun at a provider and not yet recorded.
 *
 * An entry is written before an upload's first byte goes to the provider and
 * cleared after its record is written (or after the provider refused it); that
 * of a deletion is written before the record is removed and cleared when the
 * provider has deleted the file. It carries a lease that its process renews; an
 * entry whose lease ended belonged to a process that died (or lost Redis), and
 * the next sweep mends what it left (flow/sweeper).
 *
 * Entries come and go with the holds of quota.h, of the same id and with the
 * same lease: quota_hold() writes them, quota_settle(), quota_release() and
 * quota_forget() end both.
 */
#ifndef FILEMUX_STORE_JOURNAL_H
#define FILEMUX_STORE_JOURNAL_H

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/store/file_record.h"
#include "gateway/store/redis.h"

enum journal_kind {
    JOURNAL_UPLOAD,
    JOURNAL_DELETE,
    JOURNAL_BATCH,
    JOURNAL_PARTS, /* an upload in parts, while it lives */
    JOURNAL_KEPT,  /* kept_store.h */
};
struct journal_entry {
    enum journal_kind kind;
    struct str id; /* the id of ours: a file's, a batch's, an upload's */
    struct str owner, key_hash;
    struct str provider;
    struct str upstream_id; /* where the provider lets us name it; else "" */
    struct str filename, purpose, content_type;
    int64_t bytes; /* -1: unknown when it was begun */
    int64_t begun_ms;
    int64_t expires_at; /* seconds; 0 none */
    int64_t tries;      /* sweeps that looked at it */
    struct str of;      /* upload: a part of a fan-out, whose file this is; else
                           "". That one's record tells what became of it */
    /* delete: of a file at several providers, as its record has them. */
    const struct file_copy *copies;
    size_t ncopies;
};

/* As it stands in Redis; for quota.c. */
void journal_encode(struct buf *out, const struct journal_entry *j);

typedef void journal_done_callback(void *arg, bool changed,
                                   const struct gw_error *e);

/* Move the leases of entries and holds of ours (those that are still there) to
 * lease_ms from now. changed: all of them are there. */
struct redis_call *journal_renew(struct redis *r, const struct str *ids,
                                 size_t n, int64_t lease_ms,
                                 journal_done_callback *fn, void *arg);
/* Put off an entry that could not be mended now; counts a try. */
struct redis_call *journal_postpone(struct redis *r, struct str id,
                                    int64_t by_ms, journal_done_callback *fn,
                                    void *arg);

/* Releases the holds whose lease has ended and that have no entry, then tells
 * up to max entries whose lease has ended. Their holds stay until the entry is
 * ended. */
typedef void journal_due_callback(void *arg, const struct journal_entry *v,
                                  size_t n, const struct gw_error *e);
struct redis_call *journal_due(struct redis *r, struct arena *a, size_t max,
                               journal_due_callback *fn, void *arg);
/* Are there other live entries of uploads alike (same provider and filename)?
 * Then a file found upstream may be theirs. changed: yes. An entry that was put
 * off is not live. */
struct redis_call *journal_has_rival(struct redis *r,
                                     const struct journal_entry *j,
                                     journal_done_callback *fn, void *arg);
/* Is a file of that id, at whichever of its providers, to be deleted? changed:
 * yes, whether the entry is live, due or put off. */
struct redis_call *journal_is_doomed(struct redis *r, struct str upstream_id,
                                     journal_done_callback *fn, void *arg);

/* Be the sweeper for lease_ms, or stay it. changed: we are. */
struct redis_call *journal_lead(struct redis *r, const char *process_id,
                                int64_t lease_ms, journal_done_callback *fn,
                                void *arg);

#endif
