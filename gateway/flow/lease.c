#include "gateway/flow/lease.h"

#include <stdlib.h>
#include <utlist.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "gateway/flow/txn.h"

/* Ids renewed by one command. */
#define RENEW_BATCH 256
/* Tried again so soon when it failed. */
#define RETRY_MS 500

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

/* While Redis is away, again soon: leases end there all the same. */
static void on_renewed(void *arg, bool changed, const struct gw_error *e)
{
    struct services *sv = arg;

    (void)changed;
    if (e->err == GW_OK)
        return;
    log_warn("cannot renew the leases of uploads under way: %s", e->message);
    if (sv->leases)
        loop_timer_set(&sv->leases->timer, RETRY_MS);
}

/* Ids on their way into a command. */
struct batch {
    struct lease *lease;
    struct str ids[RENEW_BATCH];
    size_t n;
};

static void renew(struct batch *b)
{
    struct services *sv = b->lease->sv;

    if (b->n)
        (void)journal_renew(sv->redis, b->ids, b->n,
                            sv->settings->journal.lease_ms, on_renewed, sv);
    b->n = 0;
}

static void add(struct batch *b, struct str id)
{
    b->ids[b->n++] = id;
    if (b->n == RENEW_BATCH)
        renew(b);
}

static void arm(struct lease *l)
{
    loop_timer_set(&l->timer, l->sv->settings->journal.lease_ms / 3);
}

static void on_tick(void *arg)
{
    struct lease *l = arg;
    struct batch b = {.lease = l};
    struct lease_entry *e;
    struct txn *t;

    DL_FOREACH (l->entries, e)
        add(&b, str_make(e->id, e->n));
    DL_FOREACH (l->sv->transactions, t)
        if (t->admission.is_under_way)
            add(&b, key_store_slot(t->arena, str_of(t->id)));
    renew(&b);
    arm(l);
}

struct lease *lease_open(struct services *sv)
{
    struct lease *l = xcalloc(1, sizeof(*l));

    l->sv = sv;
    loop_timer_init(sv->loop, &l->timer, on_tick, l);
    arm(l);
    return l;
}

void lease_close(struct lease *l)
{
    ASSERT(!l->entries);
    loop_timer_release(&l->timer);
    l->sv->leases = NULL;
    free(l);
}

struct lease_entry *lease_take(struct lease *l, struct str id)
{
    struct lease_entry *e = xcalloc(1, sizeof(*e));

    ASSERT(id.n < sizeof(e->id));
    memcpy(e->id, id.p, id.n);
    e->n = id.n;
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
