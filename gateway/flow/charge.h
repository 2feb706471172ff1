/* charge.h -- what a transaction is charged, and what it is told about limits.
 *
 * Between the flow, which knows requests, and store/quota, which knows
 * counters: whom a request is charged to, the error that a refusal becomes, the
 * header fields that tell a client where it stands. And the tally: what nobody
 * limits (requests, bytes downloaded without a limit, a provider's traffic) is
 * added up per worker and written every TALLY_MS in one command; a crash loses
 * that much of the statistics, and nothing of a quota.
 */
#ifndef FILEMUX_FLOW_CHARGE_H
#define FILEMUX_FLOW_CHARGE_H

#include "gateway/flow/services.h"
#include "gateway/store/quota.h"

#define TALLY_MS 2000

/* Is there such a limit for any of them? */
bool charge_has_storage_limit(const struct quota_who *who);
bool charge_has_upload_limit(const struct quota_who *who);
bool charge_has_download_limit(const struct quota_who *who);
bool charge_has_batch_lines_limit(const struct quota_who *who);
/* The refusal as an error: which limit of whom, its value, what is used, when
 * it is worth another try. */
enum gw_err charge_refuse(const struct quota_who *who,
                          const struct quota_verdict *v, struct gw_error *e);
/* The same for a body that is cut off on its way: 413. */
enum gw_err charge_cut(const struct quota_who *who,
                       const struct quota_verdict *v, struct gw_error *e);
/* A request has failed with this error: if it is such a refusal, count it. */
void charge_count_refusal(struct metrics *m, const struct gw_error *e);

/* --- the tally --- */

struct tally; /* one per worker */

struct tally *tally_open(struct services *sv) MUSTCHECK;
/* What was not written is lost. */
void tally_close(struct tally *t);
/* Write now: at the end of the turn it leaves. */
void tally_write(struct tally *t);
/* Added to the scope's day: "k:…", "t:…", "p:<provider>" or "all". */
void tally_add(struct tally *t, struct str scope,
               const struct quota_tally *what);

#endif
