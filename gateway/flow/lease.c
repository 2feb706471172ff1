#include "gateway/flow/lease.h"

#include <stdlib.h>
#include <utlist.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"

/* Ids renewed by one command. */
#define RENEW_BATCH 256

struct lease_entry {
    struct lease_entry *prev, *next;
    size_t n;
    char id[LIMIT_ID_BYTES + 1];
};

struct lease {
    struct services *sv;
    struct lease_entry *entries;
    struct loop_timer timer;
};

static void on_renewed(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("cannot renew the leases of uploads under way: %s",
                 e->message);
}

static void arm(struct lease *l)
{
    loop_timer_set(&l->timer, l->sv->settings->journal.lease_ms / 3);
}

static void on_tick(void *arg)
{
    struct lease *l = arg;
    struct str ids[RENEW_BATCH];
    struct lease_entry *e;
    size_t n = 0;

    DL_FOREACH (l->entries, e) {
        ids[n++] = str_make(e->id, e->n);
        if (n == RENEW_BATCH || !e->next) {
            (void)journal_renew(l->sv->redis, ids, n,
                                l->sv->settings->journal.lease_ms, on_renewed,
                                NULL);
            n = 0;
        }
    }
    if (l->entries)
        arm(l);
}

struct lease *lease_open(struct services *sv)
{
    struct lease *l = xcalloc(1, sizeof(*l));

    l->sv = sv;
    loop_timer_init(sv->loop, &l->timer, on_tick, l);
    return l;
}

void lease_close(struct lease *l)
{
    ASSERT(!l->entries);
    loop_timer_release(&l->timer);
    free(l);
}

struct lease_entry *lease_take(struct lease *l, struct str id)
{
    struct lease_entry *e = xcalloc(1, sizeof(*e));

    ASSERT(id.n < sizeof(e->id));
    memcpy(e->id, id.p, id.n);
    e->n = id.n;
    if (!l->entries)
        arm(l);
    DL_APPEND(l->entries, e);
    return e;
}

void lease_give_back(struct lease *l, struct lease_entry *e)
{
    if (!e)
        return;
    DL_DELETE(l->entries, e);
    free(e);
}
