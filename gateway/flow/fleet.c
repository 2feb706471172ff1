#include "gateway/flow/fleet.h"

#include <pthread.h>
#include <stdlib.h>
#include <uthash.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"

#define SLOT_MS 5000
#define SLOTS 12 /* a minute */
/* An operation counts as moving at most so much, whatever was announced: so no
 * sum over all connections passes what a number holds. */
#define EXPECTED_MAX (INT64_C(1) << 44)

/* Providers and pools: they cannot have the same name. Made on first use, never
 * taken away: there are as many as configurations have named. */
struct fleet_member {
    UT_hash_handle hh;
    char *name;
    struct breaker breaker;
    int64_t opened_at;
    int64_t under_way;
    struct slot {
        int64_t number, bytes;
    } slots[SLOTS];
    uint64_t turns;
};

struct fleet {
    pthread_mutex_t lock; /* of all that is in it */
    struct fleet_member *members;
};

struct fleet *fleet_new(void)
{
    struct fleet *f = xcalloc(1, sizeof(*f));

    pthread_mutex_init(&f->lock, NULL);
    return f;
}

void fleet_free(struct fleet *f)
{
    struct fleet_member *m, *next;

    if (!f)
        return;
    HASH_ITER (hh, f->members, m, next) {
        HASH_DEL(f->members, m);
        free(m->name);
        free(m);
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* --- with the lock --- */

static struct fleet_member *member(struct fleet *f, const char *name)
{
    struct fleet_member *m;
    size_t n = strlen(name);

    HASH_FIND(hh, f->members, name, n, m);
    if (m)
        return m;
    m = xcalloc(1, sizeof(*m));
    m->name = xcalloc(1, n + 1);
    memcpy(m->name, name, n);
    HASH_ADD_KEYPTR(hh, f->members, m->name, n, m);
    return m;
}

static void count_moved(struct fleet_member *m, int64_t bytes)
{
    int64_t number = clock_mono_ms() / SLOT_MS;
    struct slot *s = &m->slots[number % SLOTS];

    if (s->number != number)
        *s = (struct slot){.number = number};
    s->bytes += bytes;
}

static int64_t last_minute(const struct fleet_member *m)
{
    int64_t oldest = clock_mono_ms() / SLOT_MS - SLOTS + 1;
    int64_t sum = 0;

    for (size_t i = 0; i < SLOTS; i++)
        if (m->slots[i].number >= oldest)
            sum += m->slots[i].bytes;
    return sum;
}

static void look(const struct fleet_member *m, const struct provider_conf *c,
                 struct fleet_view *v)
{
    *v = (struct fleet_view){
        .state = m->breaker.state,
        .failures = m->breaker.failures,
        .opened_at = m->breaker.state == BREAKER_CLOSED ? 0 : m->opened_at,
        .under_way = m->under_way,
        .last_minute = last_minute(m),
        .is_out = breaker_wait_ms(&m->breaker, &c->breaker, clock_mono_ms()),
    };
}

/* --- changes --- */

/* The shards of a gauge are added up, so each worker adds what it changed. */
static void tell(struct services *sv, const struct provider_conf *c,
                 enum breaker_state from, enum breaker_state to,
                 int64_t failures, const struct gw_error *e)
{
    struct metric_series *state =
        metrics_get(sv->metrics, METRIC_BREAKER, c->name, NULL, NULL);

    metric_add(state, (int64_t)to - (int64_t)from);
    if (from == to)
        return;
    metrics_count(sv->metrics, METRIC_BREAKER_CHANGES, c->name,
                  breaker_state_name(to), NULL);
    if (to == BREAKER_OPEN)
        log_warn("provider '%s' is not asked for %lld ms: %lld failures in a "
                 "row, or too many of late; the last: %s",
                 c->name, (long long)c->breaker.open_ms, (long long)failures,
                 e->message);
    else if (to == BREAKER_HALF_OPEN)
        log_info("provider '%s' is tried again: its time is over", c->name);
    else
        log_info("provider '%s' is asked again: the trial went well", c->name);
}

enum gw_err fleet_enter(struct services *sv, const struct provider_conf *c,
                        struct fleet_pass *p, struct gw_error *e)
{
    enum breaker_state from, to;
    int64_t wait;

    *p = (struct fleet_pass){0};
    pthread_mutex_lock(&sv->fleet->lock);
    p->member = member(sv->fleet, c->name);
    from = p->member->breaker.state;
    wait = breaker_enter(&p->member->breaker, &c->breaker, clock_mono_ms(),
                         &p->ticket);
    to = p->member->breaker.state;
    pthread_mutex_unlock(&sv->fleet->lock);
    tell(sv, c, from, to, 0, e);
    if (!wait)
        return GW_OK;
    p->member = NULL;
    e->retry_after_s = (int)((wait + 999) / 1000);
    return err_set(e, GW_UPSTREAM_BUSY,
                   "provider '%s' has failed too often and is not asked for "
                   "the moment",
                   c->name);
}

void fleet_expect(struct services *sv, struct fleet_pass *p, int64_t bytes)
{
    if (!p->member || bytes < 0)
        return;
    bytes = MIN(bytes, EXPECTED_MAX - p->bytes);
    pthread_mutex_lock(&sv->fleet->lock);
    p->member->under_way += bytes;
    pthread_mutex_unlock(&sv->fleet->lock);
    p->bytes += bytes;
}

void fleet_leave(struct services *sv, const struct provider_conf *c,
                 struct fleet_pass *p, enum breaker_outcome outcome,
                 int64_t moved, const struct gw_error *e)
{
    struct fleet_member *m = p->member;
    enum breaker_state from, to;
    int64_t failures;

    if (!m)
        return;
    pthread_mutex_lock(&sv->fleet->lock);
    m->under_way -= p->bytes;
    count_moved(m, moved);
    from = m->breaker.state;
    breaker_leave(&m->breaker, &c->breaker, clock_mono_ms(), &p->ticket,
                  outcome);
    to = m->breaker.state;
    failures = m->breaker.failures;
    if (from != to && to == BREAKER_OPEN)
        m->opened_at = clock_wall_s();
    pthread_mutex_unlock(&sv->fleet->lock);
    p->member = NULL;
    tell(sv, c, from, to, failures, e);
}

/* --- looking --- */

void fleet_look(struct fleet *f, const struct provider_conf *c,
                struct fleet_view *v)
{
    pthread_mutex_lock(&f->lock);
    look(member(f, c->name), c, v);
    pthread_mutex_unlock(&f->lock);
}

const struct route_load *fleet_loads(struct fleet *f, struct arena *a,
                                     const struct conf_items *providers)
{
    struct route_load *loads = arena_alloc(a, providers->n * sizeof(*loads));
    struct fleet_view v;

    for (size_t i = 0; i < providers->n; i++) {
        fleet_look(f, providers->v[i].data, &v);
        loads[i] = (struct route_load){
            .is_out = v.is_out,
            .bytes = v.under_way + v.last_minute,
        };
    }
    return loads;
}

uint64_t fleet_turn(struct fleet *f, const char *pool)
{
    uint64_t turn;

    pthread_mutex_lock(&f->lock);
    turn = member(f, pool)->turns++;
    pthread_mutex_unlock(&f->lock);
    return turn;
}
