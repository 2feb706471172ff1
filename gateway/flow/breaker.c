#include "gateway/flow/breaker.h"

#include "gateway/base/bug.h"

const char *breaker_state_name(enum breaker_state s)
{
    static const char *const names[] = {[BREAKER_CLOSED] = "closed",
                                        [BREAKER_HALF_OPEN] = "half_open",
                                        [BREAKER_OPEN] = "open"};

    return names[s];
}

static bool is_off(const struct provider_breaker *c)
{
    return !c->failures && !c->percent;
}

static void change(struct breaker *b, enum breaker_state to, int64_t now_ms)
{
    b->state = to;
    b->era++;
    b->is_probing = false;
    if (to == BREAKER_OPEN)
        b->opened_ms = now_ms;
    if (to != BREAKER_CLOSED)
        return;
    b->failures = 0;
    memset(b->slots, 0, sizeof(b->slots));
}

/* --- the window --- */

static int64_t slot_number(const struct provider_breaker *c, int64_t now_ms)
{
    return now_ms / MAX(c->window_ms / BREAKER_SLOTS, 1);
}

static void count(struct breaker *b, const struct provider_breaker *c,
                  int64_t now_ms, bool has_failed)
{
    int64_t number = slot_number(c, now_ms);
    struct breaker_slot *s = &b->slots[number % BREAKER_SLOTS];

    if (s->number != number)
        *s = (struct breaker_slot){.number = number};
    s->ok += !has_failed;
    s->failed += has_failed;
}

static bool is_over_rate(const struct breaker *b,
                         const struct provider_breaker *c, int64_t now_ms)
{
    int64_t oldest = slot_number(c, now_ms) - BREAKER_SLOTS + 1;
    int64_t all = 0, failed = 0;

    for (size_t i = 0; i < BREAKER_SLOTS; i++) {
        const struct breaker_slot *s = &b->slots[i];

        if (s->number < oldest)
            continue;
        all += s->ok + s->failed;
        failed += s->failed;
    }
    return c->percent && all >= c->calls && failed * 100 >= c->percent * all;
}

/* --- asking --- */

int64_t breaker_wait_ms(const struct breaker *b,
                        const struct provider_breaker *c, int64_t now_ms)
{
    int64_t left = 0;

    if (is_off(c))
        return 0;
    if (b->state == BREAKER_OPEN)
        left = b->opened_ms + c->open_ms - now_ms;
    else if (b->state == BREAKER_HALF_OPEN && b->is_probing)
        left = b->probe_ms + c->open_ms - now_ms;
    return MAX(left, 0);
}

int64_t breaker_enter(struct breaker *b, const struct provider_breaker *c,
                      int64_t now_ms, struct breaker_ticket *t)
{
    int64_t wait = breaker_wait_ms(b, c, now_ms);

    *t = (struct breaker_ticket){0};
    if (wait)
        return wait;
    /* Switched off while it was open. */
    if (is_off(c) && b->state != BREAKER_CLOSED)
        change(b, BREAKER_CLOSED, now_ms);
    if (b->state == BREAKER_OPEN)
        change(b, BREAKER_HALF_OPEN, now_ms);
    t->era = b->era;
    if (b->state == BREAKER_HALF_OPEN) {
        t->probe = ++b->probes;
        b->probe_ms = now_ms;
        b->is_probing = true;
    }
    return 0;
}

static void leave_closed(struct breaker *b, const struct provider_breaker *c,
                         int64_t now_ms, bool has_failed)
{
    b->failures = has_failed ? b->failures + 1 : 0;
    count(b, c, now_ms, has_failed);
    if (!has_failed)
        return;
    if ((c->failures && b->failures >= c->failures) ||
        is_over_rate(b, c, now_ms))
        change(b, BREAKER_OPEN, now_ms);
}

static void leave_probe(struct breaker *b, int64_t now_ms,
                        const struct breaker_ticket *t,
                        enum breaker_outcome outcome)
{
    if (outcome == BREAKER_OK) {
        change(b, BREAKER_CLOSED, now_ms);
    } else if (outcome == BREAKER_FAILED) {
        b->failures++;
        change(b, BREAKER_OPEN, now_ms);
    } else if (t->probe == b->probes) {
        b->is_probing = false;
    }
}

void breaker_leave(struct breaker *b, const struct provider_breaker *c,
                   int64_t now_ms, const struct breaker_ticket *t,
                   enum breaker_outcome outcome)
{
    if (t->era != b->era)
        return;
    ASSERT(b->state != BREAKER_OPEN);
    if (b->state == BREAKER_HALF_OPEN)
        leave_probe(b, now_ms, t, outcome);
    else if (outcome != BREAKER_NOTHING)
        leave_closed(b, c, now_ms, outcome == BREAKER_FAILED);
}
