#include "gateway/flow/grants.h"

#include <pthread.h>
#include <stdlib.h>
#include <utlist.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/flow/upstream.h"

#define RETRY_MS 1000
#define EARLY_MAX_S 300
#define LAST_MAX_S 10

/* Somebody who waits, on some worker's loop. Who fetches takes it out of the
 * list and posts it there; from then on it is its own loop's. */
struct grant_wait {
    struct grant_wait *prev, *next;
    struct services *sv;
    struct grant_slot *slot;
    struct prov_op *op;
    grant_fn *done;
    void *arg;
    struct gw_error error;
    bool is_posted, is_cancelled;
};

struct grant_slot {
    struct settings *settings; /* not held: the slot is a part of them */
    const struct provider_conf *conf;
    pthread_mutex_t lock; /* of all below */
    struct arena *arena;  /* of the grant; NULL: there is none */
    struct prov_grant grant;
    int64_t got_s;
    bool is_fetching;
    struct gw_error error; /* of the last fetch */
    int64_t retry_at_ms;
    struct grant_wait *waits;
};

/* One fetch under way, on one worker. */
struct grant_fetch {
    struct grant_fetch *prev, *next;
    struct services *sv;
    struct settings *settings; /* held */
    struct grant_slot *slot;
    struct arena *arena;
    struct upstream *up;
};

static void deliver(void *arg);

/* --- slots --- */

static void free_slot(void *memory)
{
    struct grant_slot *slot = memory;

    ASSERT(!slot->waits && !slot->is_fetching);
    arena_free(slot->arena);
    pthread_mutex_destroy(&slot->lock);
    free(slot);
}

void grants_open(struct settings *s)
{
    for (size_t i = 0; i < s->providers.n; i++) {
        struct provider_conf *c = s->providers.v[i].data;
        struct grant_slot *slot;

        if (!(provider_caps(c) & PROV_CAN_GRANT))
            continue;
        slot = xcalloc(1, sizeof(*slot));
        slot->settings = s;
        slot->conf = c;
        pthread_mutex_init(&slot->lock, NULL);
        c->grants = slot;
        arena_on_free(s->arena, free_slot, slot);
    }
}

static void copy_grant(struct arena *a, const struct prov_grant *from,
                       struct prov_grant *to)
{
    *to = (struct prov_grant){
        .token = arena_dup(a, from->token),
        .key_id = arena_dup(a, from->key_id),
        .secret = arena_dup(a, from->secret),
        .expires_s = from->expires_s,
    };
}

static bool is_same(const struct prov_grant *a, const struct prov_grant *b)
{
    return str_eq(a->token, b->token) && str_eq(a->key_id, b->key_id) &&
           str_eq(a->secret, b->secret);
}

enum freshness { FRESH, AGEING, USELESS };

static enum freshness freshness(const struct grant_slot *slot)
{
    int64_t life = slot->grant.expires_s - slot->got_s;
    int64_t left = slot->grant.expires_s - clock_wall_s();

    if (!slot->arena)
        return USELESS;
    if (!slot->grant.expires_s)
        return FRESH;
    if (left <= MIN(life / 10, LAST_MAX_S))
        return USELESS;
    return left <= MIN(life / 4, EARLY_MAX_S) ? AGEING : FRESH;
}

/* With the lock. False: there is none that could be used. */
static bool take(const struct grant_slot *slot, struct prov_op *op)
{
    if (freshness(slot) == USELESS)
        return false;
    copy_grant(op->arena, &slot->grant, &op->grant);
    return true;
}

/* --- fetching --- */

static void end_fetch(struct grant_fetch *f)
{
    struct services *sv = f->sv;

    DL_DELETE(sv->grant_fetches, f);
    settings_drop(f->settings);
    arena_free(f->arena);
    free(f);
}

/* With the lock. */
static void store(struct grant_slot *slot, const struct prov_grant *g)
{
    arena_free(slot->arena);
    slot->arena = arena_new();
    slot->got_s = clock_wall_s();
    copy_grant(slot->arena, g, &slot->grant);
}

/* With the lock. */
static void release_waits(struct grant_slot *slot, const struct gw_error *e)
{
    struct grant_wait *w, *next;

    DL_FOREACH_SAFE (slot->waits, w, next) {
        DL_DELETE(slot->waits, w);
        w->is_posted = true;
        w->error = *e;
        loop_post(w->sv->loop, deliver, w);
    }
}

static void settle(struct grant_fetch *f, const struct gw_error *e)
{
    struct grant_slot *slot = f->slot;

    pthread_mutex_lock(&slot->lock);
    slot->is_fetching = false;
    slot->error = *e;
    slot->retry_at_ms = clock_mono_us() / 1000 + RETRY_MS;
    if (e->err == GW_OK)
        store(slot, &f->up->op.grant);
    release_waits(slot, e);
    pthread_mutex_unlock(&slot->lock);
}

static void report(const struct grant_fetch *f, const struct gw_error *e)
{
    const struct prov_grant *g = &f->up->op.grant;
    const char *name = f->slot->conf->name;

    if (e->err != GW_OK)
        log_warn("cannot get credentials for provider '%s': %s", name,
                 e->message[0] ? e->message : err_info(e->err)->text);
    else if (g->expires_s)
        log_info("got credentials for provider '%s', good for %lld s", name,
                 (long long)(g->expires_s - clock_wall_s()));
    else
        log_info("got credentials for provider '%s'", name);
}

static void on_fetched(void *arg, const struct gw_error *e)
{
    struct grant_fetch *f = arg;

    report(f, e);
    settle(f, e);
    end_fetch(f);
}

static const struct upstream_ops fetch_ops = {.done = on_fetched};

/* With the lock. */
static void begin_fetch(struct services *sv, struct grant_slot *slot)
{
    struct grant_fetch *f;

    if (slot->is_fetching)
        return;
    slot->is_fetching = true;
    f = xcalloc(1, sizeof(*f));
    f->sv = sv;
    f->settings = settings_hold(slot->settings);
    f->slot = slot;
    f->arena = arena_new();
    f->up = upstream_new(sv, f->arena, slot->conf, PROV_GRANT);
    DL_APPEND(sv->grant_fetches, f);
    upstream_start(f->up, NULL, NULL, &fetch_ops, f);
}

/* --- waiting --- */

static void deliver(void *arg)
{
    struct grant_wait *w = arg;
    struct grant_slot *slot = w->slot;
    bool waits_again = false;

    if (!w->is_cancelled && w->error.err == GW_OK) {
        pthread_mutex_lock(&slot->lock);
        waits_again = !slot->arena; /* refused by a provider meanwhile */
        /* What was just got is used, whatever it says of its end: where the
         * clocks differ, the provider is to judge. */
        if (!waits_again)
            copy_grant(w->op->arena, &slot->grant, &w->op->grant);
        if (waits_again) {
            w->is_posted = false;
            DL_APPEND(slot->waits, w);
            begin_fetch(w->sv, slot);
        }
        pthread_mutex_unlock(&slot->lock);
    }
    if (waits_again)
        return;
    if (!w->is_cancelled)
        w->done(w->arg, &w->error);
    free(w);
}

/* With the lock. A fetch has just failed: so has this one. */
static bool is_hopeless(const struct grant_slot *slot)
{
    return slot->error.err != GW_OK && !slot->is_fetching &&
           clock_mono_us() / 1000 < slot->retry_at_ms;
}

/* With the lock. */
static void wait_for(struct grant_wait *w)
{
    struct grant_slot *slot = w->slot;

    if (is_hopeless(slot)) {
        w->is_posted = true;
        w->error = slot->error;
        loop_post(w->sv->loop, deliver, w);
        return;
    }
    DL_APPEND(slot->waits, w);
    begin_fetch(w->sv, slot);
}

bool grants_get(struct services *sv, struct prov_op *op, grant_fn *done,
                void *arg, struct grant_wait **out)
{
    struct grant_slot *slot = op->conf->grants;
    struct grant_wait *w;
    bool is_there;

    ASSERT(slot);
    *out = NULL;
    pthread_mutex_lock(&slot->lock);
    is_there = take(slot, op);
    if (!is_there) {
        w = *out = xcalloc(1, sizeof(*w));
        *w = (struct grant_wait){
            .sv = sv, .slot = slot, .op = op, .done = done, .arg = arg};
        wait_for(w);
    } else if (freshness(slot) == AGEING && !is_hopeless(slot)) {
        begin_fetch(sv, slot);
    }
    pthread_mutex_unlock(&slot->lock);
    return is_there;
}

void grants_cancel(struct grant_wait *w)
{
    struct grant_slot *slot;

    if (!w)
        return;
    slot = w->slot;
    pthread_mutex_lock(&slot->lock);
    w->is_cancelled = true;
    if (!w->is_posted) {
        DL_DELETE(slot->waits, w);
        free(w);
    }
    pthread_mutex_unlock(&slot->lock);
}

void grants_spoil(const struct prov_op *op)
{
    struct grant_slot *slot = op->conf->grants;

    pthread_mutex_lock(&slot->lock);
    if (slot->arena && is_same(&slot->grant, &op->grant)) {
        arena_free(slot->arena);
        slot->arena = NULL;
    }
    pthread_mutex_unlock(&slot->lock);
}

void grants_close(struct services *sv)
{
    struct grant_fetch *f, *next;
    struct gw_error e = {0};

    err_plain(&e, GW_DRAINING);
    DL_FOREACH_SAFE (sv->grant_fetches, f, next) {
        upstream_abort(f->up);
        settle(f, &e);
        end_fetch(f);
    }
}
