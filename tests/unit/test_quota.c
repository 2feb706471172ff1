/* test_quota.c -- limits at their edges, holds, files that count once, leases,
 * days; and thousands of random operations against a model in C.
 */
#include "redis_fixture.h"

#include "gateway/base/buf.h"
#include "gateway/store/quota.h"

#define LONG_MS 600000
#define DAY_MS 86400000

/* --- asking and waiting --- */

struct held {
    bool is_done;
    struct quota_verdict v;
    enum gw_err err;
    int times;
};

static void on_held(void *arg, const struct quota_verdict *v,
                    const struct gw_error *e)
{
    struct held *h = arg;

    h->is_done = true;
    h->times++;
    h->err = e->err;
    assert_true((v != NULL) == (e->err == GW_OK));
    if (v)
        h->v = *v;
}

static struct quota_verdict wait_held(struct fx *f, struct held *h)
{
    fx_until(f, fx_is_set, &h->is_done);
    assert_int_equal(h->err, GW_OK);
    assert_int_equal(h->times, 1);
    return h->v;
}

static struct quota_verdict hold_for(struct fx *f, const char *id,
                                     const struct quota_who *who,
                                     struct quota_amount most, int64_t lease_ms)
{
    struct held h = {0};

    quota_hold(f->r, str_of(id), who, &most, NULL, lease_ms, on_held, &h);
    return wait_held(f, &h);
}

static struct quota_verdict hold(struct fx *f, const char *id,
                                 const struct quota_who *who,
                                 struct quota_amount most)
{
    return hold_for(f, id, who, most, LONG_MS);
}

static struct quota_verdict extend(struct fx *f, const char *id,
                                   const struct quota_who *who,
                                   struct quota_amount more)
{
    struct held h = {0};

    quota_extend(f->r, str_of(id), who, &more, on_held, &h);
    return wait_held(f, &h);
}

static bool settle(struct fx *f, const char *id, const struct quota_who *who,
                   struct quota_amount used)
{
    struct fx_done d = {0};

    quota_settle(f->r, str_of(id), who, &used, fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool release(struct fx *f, const char *id)
{
    struct fx_done d = {0};

    quota_release(f->r, str_of(id), fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool forget(struct fx *f, const char *id)
{
    struct fx_done d = {0};

    quota_forget(f->r, str_of(id), fx_on_done, &d);
    return fx_changed(f, &d);
}

struct used {
    bool is_done;
    struct quota_usage v[8];
    size_t n;
    enum gw_err err;
};

static void on_used(void *arg, const struct quota_usage *v, size_t n,
                    const struct gw_error *e)
{
    struct used *u = arg;

    u->is_done = true;
    u->n = n;
    u->err = e->err;
    assert_true(n <= COUNTOF(u->v));
    if (n)
        memcpy(u->v, v, n * sizeof(*v));
}

static struct quota_usage usage(struct fx *f, const char *scope)
{
    struct str s = str_of(scope);
    struct used u = {0};

    quota_usage(f->r, &s, 1, on_used, &u);
    fx_until(f, fx_is_set, &u.is_done);
    assert_int_equal(u.err, GW_OK);
    assert_int_equal(u.n, 1);
    return u.v[0];
}

struct due {
    bool is_done;
    size_t n;
};

static void on_due(void *arg, const struct journal_entry *v UNUSED, size_t n,
                   const struct gw_error *e)
{
    *(struct due *)arg = (struct due){true, n};
    assert_int_equal(e->err, GW_OK);
}

/* A sweep: how many entries are due. */
static size_t sweep(struct fx *f)
{
    struct arena *a = arena_new();
    struct due d = {0};

    journal_due(f->r, a, 100, on_due, &d);
    fx_until(f, fx_is_set, &d.is_done);
    arena_free(a);
    return d.n;
}

/* Sweeps until an entry is due. */
static void sweep_until_due(struct fx *f)
{
    int64_t end = clock_mono_ms() + FX_DEADLINE_MS;

    while (sweep(f) == 0) {
        assert_true(clock_mono_ms() < end);
        fx_pause();
    }
}

/* Sweeps until the key holds so many files. */
static void sweep_until_held(struct fx *f, int64_t files)
{
    int64_t end = clock_mono_ms() + FX_DEADLINE_MS;

    while (usage(f, "k:a").held_files != files) {
        assert_true(clock_mono_ms() < end);
        assert_int_equal(sweep(f), 0);
        fx_pause();
    }
}

static void same(struct quota_verdict v, enum quota_limit limit, size_t scope,
                 int64_t max, int64_t used)
{
    assert_int_equal(v.limit, limit);
    assert_int_equal(v.scope, scope);
    assert_int_equal(v.max, max);
    assert_int_equal(v.used, used);
}

static void granted(struct quota_verdict v)
{
    same(v, QUOTA_NONE, 0, 0, 0);
    assert_int_equal(v.wait_ms, 0);
}

static void uses(struct fx *f, const char *scope, int64_t files, int64_t bytes,
                 int64_t held_files, int64_t held_bytes)
{
    struct quota_usage u = usage(f, scope);

    assert_int_equal(u.files, files);
    assert_int_equal(u.bytes, bytes);
    assert_int_equal(u.held_files, held_files);
    assert_int_equal(u.held_bytes, held_bytes);
}

/* A key and its team, without limits. */
static struct quota_who both(void)
{
    return (struct quota_who){.n = 2,
                              .v = {{.id = STR("k:a")}, {.id = STR("t:x")}}};
}

static struct quota_who key_with(struct vkey_limits limits)
{
    return (struct quota_who){.n = 1,
                              .v = {{.id = STR("k:a"), .limits = limits}}};
}

static struct quota_amount file_of(int64_t bytes)
{
    return (struct quota_amount){.files = 1, .bytes = bytes, .up = bytes};
}

static struct journal_entry entry_of(const char *id)
{
    return (struct journal_entry){
        .id = str_of(id), .provider = STR("openai"), .filename = STR("a")};
}

static void hold_with_entry(struct fx *f, const char *id,
                            const struct quota_who *who,
                            struct quota_amount most, int64_t lease_ms)
{
    struct journal_entry j = entry_of(id);
    struct held h = {0};

    quota_hold(f->r, j.id, who, &most, &j, lease_ms, on_held, &h);
    granted(wait_held(f, &h));
}

/* --- limits --- */

#define LIMIT 10

static const struct {
    enum quota_limit limit;
    size_t of_limits; /* where it stands in struct vkey_limits */
    size_t of_amount; /* and what it limits in struct quota_amount */
    bool is_of_a_day;
} limited[] = {
    /* clang-format off */
    {QUOTA_FILES, offsetof(struct vkey_limits, files), offsetof(struct quota_amount, files), false},
    {QUOTA_STORAGE, offsetof(struct vkey_limits, storage_bytes), offsetof(struct quota_amount, bytes), false},
    {QUOTA_UPLOAD_DAY, offsetof(struct vkey_limits, upload_day_bytes), offsetof(struct quota_amount, up), true},
    {QUOTA_DOWNLOAD_DAY, offsetof(struct vkey_limits, download_day_bytes), offsetof(struct quota_amount, down), true},
    /* clang-format on */
};

static struct quota_amount amount_of(size_t i, int64_t n)
{
    struct quota_amount a = {0};

    memcpy((char *)&a + limited[i].of_amount, &n, sizeof(n));
    return a;
}

static void limit_to(struct quota_who *who, size_t scope, size_t i, int64_t n)
{
    memcpy((char *)&who->v[scope].limits + limited[i].of_limits, &n, sizeof(n));
}

static void each_limit_holds_at_its_edge(struct fx *f, size_t scope)
{
    struct quota_verdict v;
    struct quota_who who;
    size_t i;

    for (i = 0; i < COUNTOF(limited); i++) {
        fx_ok(f, "FLUSHALL");
        who = both();
        limit_to(&who, scope, i, LIMIT);
        /* More than the whole limit: no waiting helps. */
        v = hold(f, "one", &who, amount_of(i, LIMIT + 1));
        same(v, limited[i].limit, scope, LIMIT, 0);
        assert_int_equal(v.wait_ms, 0);
        granted(hold(f, "one", &who, amount_of(i, LIMIT - 1)));
        same(hold(f, "two", &who, amount_of(i, 2)), limited[i].limit, scope,
             LIMIT, LIMIT - 1);
        granted(hold(f, "two", &who, amount_of(i, 1)));
        v = hold(f, "three", &who, amount_of(i, 1));
        same(v, limited[i].limit, scope, LIMIT, LIMIT);
        assert_int_equal(v.wait_ms > 0, limited[i].is_of_a_day);
        assert_true(v.wait_ms <= DAY_MS);
        /* Nothing wanted, nothing refused; another key is another's. */
        granted(hold(f, "three", &who, amount_of(i, 0)));
        who.v[0].id = STR("k:other");
        who.v[1].id = STR("t:other");
        granted(hold(f, "four", &who, amount_of(i, LIMIT)));
    }
}

static void each_limit_of_a_key_holds_at_its_edge(void **state)
{
    each_limit_holds_at_its_edge(*state, 0);
}

static void each_limit_of_a_team_holds_at_its_edge(void **state)
{
    each_limit_holds_at_its_edge(*state, 1);
}

static void what_is_used_counts_like_what_is_held(void **state)
{
    struct fx *f = *state;
    struct quota_who who = key_with((struct vkey_limits){
        .files = 2, .storage_bytes = 100, .upload_day_bytes = 150});

    granted(hold(f, "file-1", &who, file_of(90)));
    assert_true(settle(f, "file-1", &who, file_of(60)));
    same(hold(f, "file-2", &who, file_of(41)), QUOTA_STORAGE, 0, 100, 60);
    granted(hold(f, "file-2", &who, file_of(40)));
    same(hold(f, "file-3", &who, file_of(0)), QUOTA_FILES, 0, 2, 2);
    assert_true(settle(f, "file-2", &who, file_of(40)));
    /* Storage comes back with the file, the day's upload does not. */
    assert_true(forget(f, "file-1"));
    assert_true(forget(f, "file-2"));
    same(hold(f, "file-3", &who, file_of(51)), QUOTA_UPLOAD_DAY, 0, 150, 100);
    granted(hold(f, "file-3", &who, file_of(50)));
}

static void both_scopes_are_charged_or_none(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();

    who.v[0].limits.files = 5;
    who.v[1].limits.storage_bytes = 10;
    same(hold(f, "file-1", &who, file_of(11)), QUOTA_STORAGE, 1, 10, 0);
    assert_int_equal(fx_int(f, "DBSIZE"), 0);
    granted(hold(f, "file-1", &who, file_of(10)));
    uses(f, "k:a", 0, 0, 1, 10);
    uses(f, "t:x", 0, 0, 1, 10);
    assert_true(settle(f, "file-1", &who, file_of(9)));
    uses(f, "k:a", 1, 9, 0, 0);
    uses(f, "t:x", 1, 9, 0, 0);
    /* Another key of the team has what is left of the team's. */
    who.v[0] = (struct quota_scope){.id = STR("k:b")};
    same(hold(f, "file-2", &who, file_of(2)), QUOTA_STORAGE, 1, 10, 9);
    granted(hold(f, "file-2", &who, file_of(1)));
    uses(f, "k:b", 0, 0, 1, 1);
    uses(f, "t:x", 1, 9, 1, 1);
}

static void a_limit_below_what_is_used_refuses_and_no_more(void **state)
{
    struct fx *f = *state;
    struct quota_who who = key_with((struct vkey_limits){0});

    granted(hold(f, "file-1", &who, file_of(100)));
    who.v[0].limits.storage_bytes = 50;
    same(hold(f, "file-2", &who, file_of(1)), QUOTA_STORAGE, 0, 50, 100);
    granted(hold(f, "file-2", &who, file_of(0)));
    same(extend(f, "file-1", &who, file_of(1)), QUOTA_STORAGE, 0, 50, 0);
}

static void enormous_amounts_do_not_overflow(void **state)
{
    struct fx *f = *state;
    struct quota_who who = key_with((struct vkey_limits){0});
    char id[16];
    int i;

    for (i = 0; i < 30; i++) {
        snprintf(id, sizeof(id), "file-%d", i);
        granted(hold(f, id, &who, file_of(INT64_MAX)));
    }
    assert_int_equal(usage(f, "k:a").held_bytes, 30 * ((int64_t)1 << 48));
    who.v[0].limits.storage_bytes = INT64_MAX;
    assert_int_equal(hold(f, "more", &who, file_of(1)).limit, QUOTA_STORAGE);
    for (i = 0; i < 30; i++) {
        snprintf(id, sizeof(id), "file-%d", i);
        assert_true(release(f, id));
    }
    assert_int_equal(usage(f, "k:a").held_bytes, 0);
    granted(hold(f, "more", &who, file_of(1)));
}

/* --- the life of a hold --- */

static void a_hold_taken_twice_is_one(void **state)
{
    struct fx *f = *state;
    struct quota_who who = key_with((struct vkey_limits){.files = 1});

    granted(hold(f, "file-1", &who, file_of(10)));
    granted(hold(f, "file-1", &who, file_of(20)));
    uses(f, "k:a", 0, 0, 1, 10);
    assert_true(release(f, "file-1"));
    uses(f, "k:a", 0, 0, 0, 0);
}

static void more_of_a_hold_is_granted_or_refused_whole(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();

    who.v[1].limits.upload_day_bytes = 25;
    who.v[0].limits.storage_bytes = 100;
    granted(hold(f, "file-1", &who, file_of(10)));
    granted(extend(f, "file-1", &who, file_of(10)));
    uses(f, "t:x", 0, 0, 2, 20);
    /* What it holds itself is not others'. */
    same(extend(f, "file-1", &who, file_of(6)), QUOTA_UPLOAD_DAY, 1, 25, 0);
    uses(f, "k:a", 0, 0, 2, 20);
    uses(f, "t:x", 0, 0, 2, 20);
    granted(extend(f, "file-1", &who, (struct quota_amount){.up = 5}));
    who.v[1].limits.upload_day_bytes = 30; /* raised meanwhile */
    granted(extend(f, "file-1", &who, (struct quota_amount){.up = 5}));
    same(extend(f, "file-1", &who, (struct quota_amount){.up = 1}),
         QUOTA_UPLOAD_DAY, 1, 30, 0);
    assert_true(release(f, "file-1"));
    uses(f, "k:a", 0, 0, 0, 0);
    uses(f, "t:x", 0, 0, 0, 0);
    granted(hold(f, "file-2", &who, file_of(30)));
}

static void more_of_no_hold_is_an_error(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();
    struct quota_amount more = file_of(1);
    struct held h = {0};

    quota_extend(f->r, STR("file-1"), &who, &more, on_held, &h);
    fx_until(f, fx_is_set, &h.is_done);
    assert_int_equal(h.err, GW_INTERNAL);
    assert_int_equal(fx_int(f, "DBSIZE"), 0);
}

static void a_file_settled_twice_counts_once(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();

    granted(hold(f, "file-1", &who, file_of(50)));
    assert_true(settle(f, "file-1", &who, file_of(40)));
    assert_false(settle(f, "file-1", &who, file_of(40)));
    uses(f, "k:a", 1, 40, 0, 0);
    assert_int_equal(usage(f, "t:x").up, 40);
}

static void what_was_swept_is_charged_all_the_same(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();

    assert_false(settle(f, "file-1", &who, file_of(40)));
    uses(f, "k:a", 1, 40, 0, 0);
    uses(f, "t:x", 1, 40, 0, 0);
    assert_int_equal(usage(f, "k:a").up, 40);
    assert_false(settle(f, "req", &who, (struct quota_amount){.down = 7}));
    uses(f, "k:a", 1, 40, 0, 0);
    assert_int_equal(usage(f, "t:x").down, 7);
}

static void a_hold_is_settled_to_whom_it_was_taken_from(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both(), moved = both();

    moved.v[1].id = STR("t:y");
    granted(hold(f, "file-1", &who, file_of(50)));
    assert_true(settle(f, "file-1", &moved, file_of(50)));
    uses(f, "t:x", 1, 50, 0, 0);
    uses(f, "t:y", 0, 0, 0, 0);
    assert_true(forget(f, "file-1"));
    uses(f, "t:x", 0, 0, 0, 0);
    uses(f, "k:a", 0, 0, 0, 0);
}

static void a_released_hold_leaves_nothing(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();

    hold_with_entry(f, "file-1", &who, file_of(50), LONG_MS);
    assert_int_equal(fx_int(f, "HLEN fm:{gw}:entries"), 1);
    assert_true(release(f, "file-1"));
    assert_false(release(f, "file-1"));
    uses(f, "k:a", 0, 0, 0, 0);
    assert_int_equal(usage(f, "t:x").up, 0);
    assert_int_equal(fx_int(f, "EXISTS fm:{gw}:holds fm:{gw}:due"
                               " fm:{gw}:entries fm:{gw}:tries"),
                     0);
}

static void a_file_is_forgotten_once(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();

    assert_false(forget(f, "file-1"));
    settle(f, "file-1", &who, file_of(40));
    settle(f, "file-2", &who, file_of(2));
    hold_with_entry(f, "file-1", &who, (struct quota_amount){0}, LONG_MS);
    assert_true(forget(f, "file-1"));
    assert_false(forget(f, "file-1"));
    uses(f, "k:a", 1, 2, 0, 0);
    uses(f, "t:x", 1, 2, 0, 0);
    assert_int_equal(fx_int(f, "EXISTS fm:{gw}:holds fm:{gw}:entries"), 0);
}

static void a_hold_of_nobody_is_a_lease(void **state)
{
    struct fx *f = *state;
    struct quota_who nobody = {.n = 0};

    hold_with_entry(f, "file-1", &nobody, file_of(5), 1);
    sweep_until_due(f);
    assert_true(settle(f, "file-1", &nobody, file_of(5)));
    assert_true(forget(f, "file-1"));
    assert_int_equal(fx_int(f, "DEL fm:{gw}:gone:file-1"), 1);
    assert_int_equal(fx_int(f, "DBSIZE"), 0);
}

static bool found(struct fx *f, const char *id, const struct quota_who *who,
                  int64_t bytes)
{
    struct fx_done d = {0};

    quota_found(f->r, str_of(id), who, bytes, fx_on_done, &d);
    return fx_changed(f, &d);
}

static void a_found_file_counts_once_and_not_after_it_was_deleted(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();

    assert_true(found(f, "file-1", &who, 7));
    assert_true(found(f, "file-1", &who, 9));
    uses(f, "t:x", 1, 7, 0, 0);
    assert_true(forget(f, "file-1"));
    assert_false(found(f, "file-1", &who, 7));
    uses(f, "t:x", 0, 0, 0, 0);
    assert_in_range(fx_int(f, "PTTL fm:{gw}:gone:file-1"), 1, 3600000);
}

static void a_found_file_does_not_end_the_entry_of_its_deletion(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both(), nobody = {.n = 0};

    hold_with_entry(f, "file-1", &nobody, file_of(0), 60000);
    assert_false(found(f, "file-1", &who, 7));
    assert_int_equal(fx_int(f, "HEXISTS fm:{gw}:entries file-1"), 1);
    uses(f, "t:x", 0, 0, 0, 0);
}

/* --- leases --- */

static void a_hold_whose_lease_ended_is_released_by_the_sweep(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();

    granted(hold(f, "live", &who, file_of(1)));
    granted(hold_for(f, "dead", &who, file_of(50), 1));
    sweep_until_held(f, 1);
    uses(f, "t:x", 0, 0, 1, 1);
    assert_int_equal(fx_int(f, "ZCARD fm:{gw}:due"), 1);
    assert_false(release(f, "dead"));
}

static void a_hold_with_an_entry_is_kept_for_the_sweeper(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();

    hold_with_entry(f, "file-1", &who, file_of(50), 1);
    sweep_until_due(f);
    assert_int_equal(sweep(f), 1);
    uses(f, "k:a", 0, 0, 1, 50);
    assert_true(settle(f, "file-1", &who, file_of(50)));
    uses(f, "k:a", 1, 50, 0, 0);
    assert_int_equal(sweep(f), 0);
}

static void a_renewed_hold_lives_on(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();
    struct str ids[] = {STR("file-1"), STR("gone")};
    struct fx_done d = {0};
    struct held h = {0};

    granted(hold_for(f, "file-1", &who, file_of(50), 1));
    journal_renew(f->r, ids, 1, LONG_MS, fx_on_done, &d);
    assert_true(fx_changed(f, &d));
    fx_pause();
    assert_int_equal(sweep(f), 0);
    uses(f, "k:a", 0, 0, 1, 50);
    d = (struct fx_done){0};
    journal_renew(f->r, ids, 2, 1, fx_on_done, &d);
    assert_false(fx_changed(f, &d)); /* one of them is gone */
    sweep_until_held(f, 0);
    quota_extend(f->r, ids[0], &who, &(struct quota_amount){.bytes = 1},
                 on_held, &h);
    fx_until(f, fx_is_set, &h.is_done);
    assert_int_equal(h.err, GW_INTERNAL);
}

static void an_entry_is_replaced_and_not_lost(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();
    struct fx_answer a;

    hold_with_entry(f, "file-1", &who, file_of(50), LONG_MS);
    granted(hold(f, "file-1", &who, file_of(50))); /* without one */
    assert_int_equal(fx_int(f, "HLEN fm:{gw}:entries"), 1);
    hold_with_entry(f, "file-1", &who, file_of(50), 1);
    fx_do(f, "HGET fm:{gw}:entries file-1", &a);
    assert_non_null(strstr(a.text, "\"kind\":\"upload\""));
    uses(f, "k:a", 0, 0, 1, 50);
}

/* --- at once --- */

static void two_hundred_at_once_get_exactly_ten(void **state)
{
    struct fx *f = *state;
    struct redis *other = fx_open(f, f->url, 5000);
    struct quota_who who = both();
    struct quota_amount one = file_of(1);
    struct held h[200] = {{0}};
    char ids[200][16];
    int i, won = 0;

    fx_until(f, fx_is_up, other);
    who.v[0].limits.files = 10;
    for (i = 0; i < 200; i++) {
        snprintf(ids[i], sizeof(ids[i]), "file-%d", i);
        quota_hold(i % 2 ? f->r : other, str_of(ids[i]), &who, &one, NULL,
                   LONG_MS, on_held, &h[i]);
    }
    for (i = 0; i < 200; i++) {
        wait_held(f, &h[i]);
        won += h[i].v.limit == QUOTA_NONE;
        if (h[i].v.limit != QUOTA_NONE)
            same(h[i].v, QUOTA_FILES, 0, 10, 10);
    }
    assert_int_equal(won, 10);
    uses(f, "k:a", 0, 0, 10, 10);
    uses(f, "t:x", 0, 0, 10, 10);
    redis_close(other);
}

/* --- statistics --- */

struct days {
    bool is_done;
    struct quota_day v[16];
    char scopes[16][16];
    size_t n;
};

static void on_days(void *arg, const struct quota_day *v, size_t n,
                    const struct gw_error *e)
{
    struct days *d = arg;
    size_t i;

    assert_int_equal(e->err, GW_OK);
    assert_true(n <= COUNTOF(d->v));
    d->is_done = true;
    d->n = n;
    for (i = 0; i < n; i++) {
        d->v[i] = v[i];
        snprintf(d->scopes[i], sizeof(d->scopes[i]), "%.*s",
                 STR_ARG(v[i].scope));
    }
}

static struct days history(struct fx *f, const char *prefix, int64_t first,
                           int64_t last)
{
    struct arena *a = arena_new();
    struct days d = {0};

    quota_history(f->r, a, str_of(prefix), first, last, on_days, &d);
    fx_until(f, fx_is_set, &d.is_done);
    arena_free(a);
    return d;
}

static void tally(struct fx *f, const struct quota_tally *v, size_t n)
{
    struct fx_done d = {0};

    quota_add(f->r, v, n, fx_on_done, &d);
    assert_true(fx_changed(f, &d));
}

static int64_t today(void)
{
    return clock_wall_s() / 86400;
}

static void days_are_told_by_scope_and_prefix(void **state)
{
    const struct quota_tally v[] = {
        {STR("k:a"), 3, 1, 20, 10},
        {STR("k:ab"), 1, 0, 0, 0},
        {STR("t:x y{"), 4, 1, 20, 10},
        {STR("p:openai"), 4, 0, 1, 2},
        {STR("all"), 4, 1, 20, INT64_C(1) << 52},
    };
    struct fx *f = *state;
    int64_t day = today();
    struct quota_who who = both();
    struct days d;

    tally(f, v, COUNTOF(v));
    tally(f, v, 1);
    granted(hold(f, "r", &who, (struct quota_amount){.down = 5})); /* t:x */
    d = history(f, "k:", day - 1, day + 1);
    assert_int_equal(d.n, 2);
    assert_string_equal(d.scopes[0], "k:a");
    assert_string_equal(d.scopes[1], "k:ab");
    assert_true(d.v[0].day == day || d.v[0].day == day + 1);
    assert_int_equal(d.v[0].requests, 6);
    assert_int_equal(d.v[0].errors, 2);
    assert_int_equal(d.v[0].up, 40);
    assert_int_equal(d.v[0].down, 20);
    assert_int_equal(history(f, "k:a", day, day + 1).n, 1);
    d = history(f, "t:", day, day + 1); /* what is held is no row */
    assert_int_equal(d.n, 1);
    assert_string_equal(d.scopes[0], "t:x y{");
    d = history(f, "all", day, day + 1);
    assert_int_equal(d.n, 1);
    assert_true(d.v[0].down == INT64_C(1) << 52);
    assert_int_equal(history(f, "", day, day + 1).n, 5);
    assert_int_equal(history(f, "k:", day + 2, day + 3).n, 0);
    assert_int_equal(history(f, "k:", 0, day - 1).n, 0);
    assert_int_equal(history(f, "k:", INT64_MIN, INT64_MAX).n, 0);
    assert_int_equal(history(f, "k:", INT64_MIN, day + 1).n, 2);
    assert_int_equal(history(f, "k:", INT64_MAX, INT64_MIN).n, 0);
    assert_int_equal(usage(f, "k:ab").requests, 1);
}

static void days_are_kept_for_ninety_days(void **state)
{
    const struct quota_tally one = {STR("k:a"), 1, 0, 0, 0};
    struct fx *f = *state;
    int64_t day = today(), ttl;
    char line[64];

    tally(f, &one, 1);
    snprintf(line, sizeof(line), "TTL fm:{gw}:day:%lld:k:a", (long long)day);
    ttl = fx_int(f, line);
    if (today() != day)
        return; /* midnight: the key may be the next day's */
    assert_true(ttl > 90 * 86400 - 60 && ttl <= 91 * 86400);
    snprintf(line, sizeof(line), "TTL fm:{gw}:days:%lld", (long long)day);
    assert_true(fx_int(f, line) > 90 * 86400 - 60);
}

/* What is given back of a day that is gone must not make a new one. */
static void a_hold_may_outlive_its_day(void **state)
{
    struct fx *f = *state;
    struct quota_who who = both();
    int64_t day;
    char line[96];

    granted(hold(f, "r", &who, (struct quota_amount){.down = 5}));
    for (day = today() - 1; day <= today(); day++) {
        snprintf(line, sizeof(line), "DEL fm:{gw}:day:%lld:k:a",
                 (long long)day);
        fx_ok(f, line);
    }
    assert_true(release(f, "r"));
    assert_int_equal(usage(f, "k:a").down, 0);
    for (day = today() - 1; day <= today(); day++) {
        snprintf(line, sizeof(line), "EXISTS fm:{gw}:day:%lld:k:a",
                 (long long)day);
        assert_int_equal(fx_int(f, line), 0);
    }
    granted(hold(f, "r", &who, (struct quota_amount){.down = 5}));
    assert_true(settle(f, "r", &who, (struct quota_amount){.down = 4}));
    assert_int_equal(usage(f, "k:a").down, 4);
}

/* --- the model --- */

enum { MODEL_FILES = 12, MODEL_KEYS = 3, MODEL_SCOPES = 4, MODEL_OPS = 3000 };

/* What a scope has, settled and held. */
struct model_counts {
    struct quota_amount used, held;
};
struct model_file {
    bool is_held, is_counted;
    int key, counted_key;
    struct quota_amount hold;
    int64_t bytes;
};
struct model {
    uint64_t seed;
    struct model_file files[MODEL_FILES];
    struct model_counts scopes[MODEL_SCOPES];
    int granted, refused;
    struct used now; /* as Redis has it */
};

static const struct quota_scope model_scopes[MODEL_SCOPES] = {
    {STR("k:1"), {.files = 3, .storage_bytes = 900}},
    {STR("k:2"), {.storage_bytes = 500, .upload_day_bytes = 60000}},
    {STR("k:3"), {.files = 2, .download_day_bytes = 40000}},
    {STR("t:1"), {.files = 5, .storage_bytes = 1100}},
};
/* The first two keys share a team; -1: none. */
static const int model_team[MODEL_KEYS] = {3, 3, -1};

static int64_t random_below(struct model *m, int64_t n)
{
    m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((m->seed >> 33) % (uint64_t)n);
}

static struct quota_who model_who(int key)
{
    struct quota_who who = {.n = 1, .v = {model_scopes[key]}};

    if (model_team[key] >= 0)
        who.v[who.n++] = model_scopes[model_team[key]];
    return who;
}

static void model_add(struct quota_amount *to, const struct quota_amount *v,
                      int64_t sign)
{
    to->files += sign * v->files;
    to->bytes += sign * v->bytes;
    to->up += sign * v->up;
    to->down += sign * v->down;
}

/* Add to what the scopes of a key hold, or have used. */
static void model_charge(struct model *m, int key, bool is_held,
                         const struct quota_amount *v, int64_t sign)
{
    int scopes[] = {key, model_team[key]};
    size_t i;

    for (i = 0; i < 2 && scopes[i] >= 0; i++)
        model_add(is_held ? &m->scopes[scopes[i]].held
                          : &m->scopes[scopes[i]].used,
                  v, sign);
}

static struct quota_verdict model_check(const struct model *m, int key,
                                        const struct quota_amount *more,
                                        const struct quota_amount *own)
{
    int scopes[] = {key, model_team[key]};
    size_t i, k;

    for (i = 0; i < 2 && scopes[i] >= 0; i++) {
        const struct model_counts *c = &m->scopes[scopes[i]];
        const struct vkey_limits *l = &model_scopes[scopes[i]].limits;
        const int64_t t[4][5] = {
            /* clang-format off */
            {l->files, c->used.files, c->held.files, own->files, more->files},
            {l->storage_bytes, c->used.bytes, c->held.bytes, own->bytes, more->bytes},
            {l->upload_day_bytes, c->used.up, c->held.up, own->up, more->up},
            {l->download_day_bytes, c->used.down, c->held.down, own->down, more->down},
            /* clang-format on */
        };

        for (k = 0; k < 4; k++)
            if (t[k][0] && t[k][4] && t[k][1] + t[k][2] + t[k][4] > t[k][0])
                return (struct quota_verdict){(enum quota_limit)(k + 1), i,
                                              t[k][0],
                                              t[k][1] + t[k][2] - t[k][3], 0};
    }
    return (struct quota_verdict){0};
}

static void model_same(struct model *m, struct quota_verdict is,
                       struct quota_verdict must)
{
    same(is, must.limit, must.scope, must.max, must.used);
    m->granted += must.limit == QUOTA_NONE;
    m->refused += must.limit != QUOTA_NONE;
}

/* Ask for all counters and wait, so also for the operation sent before. */
static void model_look(struct fx *f, struct model *m)
{
    struct str ids[MODEL_SCOPES];
    size_t i;

    for (i = 0; i < MODEL_SCOPES; i++)
        ids[i] = model_scopes[i].id;
    m->now = (struct used){0};
    quota_usage(f->r, ids, MODEL_SCOPES, on_used, &m->now);
    fx_until(f, fx_is_set, &m->now.is_done);
    assert_int_equal(m->now.n, MODEL_SCOPES);
}

static bool model_changed(struct fx *f, struct model *m, struct fx_done *d)
{
    model_look(f, m);
    assert_true(d->is_done);
    assert_int_equal(d->err, GW_OK);
    return d->changed;
}

static struct quota_amount model_amount(struct model *m)
{
    struct quota_amount v = {.files = random_below(m, 2),
                             .bytes = random_below(m, 400),
                             .up = random_below(m, 100),
                             .down = random_below(m, 100)};

    return v;
}

static void model_hold(struct fx *f, struct model *m, struct model_file *file,
                       const char *id)
{
    static const struct quota_amount none;
    struct quota_amount most = model_amount(m);
    int key = (int)random_below(m, MODEL_KEYS);
    struct quota_who who = model_who(key);
    struct quota_verdict must = {0};
    struct held h = {0};

    quota_hold(f->r, str_of(id), &who, &most, NULL, LONG_MS, on_held, &h);
    model_look(f, m);
    if (!file->is_held)
        must = model_check(m, key, &most, &none);
    model_same(m, wait_held(f, &h), must);
    if (file->is_held || must.limit != QUOTA_NONE)
        return;
    file->is_held = true;
    file->key = key;
    file->hold = most;
    model_charge(m, key, true, &most, 1);
}

static void model_extend(struct fx *f, struct model *m, struct model_file *file,
                         const char *id)
{
    struct quota_amount more = model_amount(m);
    struct quota_verdict must;
    struct quota_who who;
    struct held h = {0};

    if (!file->is_held)
        return;
    who = model_who(file->key);
    must = model_check(m, file->key, &more, &file->hold);
    quota_extend(f->r, str_of(id), &who, &more, on_held, &h);
    model_look(f, m);
    model_same(m, wait_held(f, &h), must);
    if (must.limit != QUOTA_NONE)
        return;
    model_add(&file->hold, &more, 1);
    model_charge(m, file->key, true, &more, 1);
}

/* False: there was none. */
static bool model_end_hold(struct model *m, struct model_file *file)
{
    bool was_held = file->is_held;

    if (was_held)
        model_charge(m, file->key, true, &file->hold, -1);
    file->is_held = false;
    return was_held;
}

static void model_settle(struct fx *f, struct model *m, struct model_file *file,
                         const char *id)
{
    struct quota_amount used = model_amount(m);
    int key = (int)random_below(m, MODEL_KEYS);
    struct quota_who who = model_who(key);
    bool was_held = model_end_hold(m, file);
    struct fx_done d = {0};

    quota_settle(f->r, str_of(id), &who, &used, fx_on_done, &d);
    assert_int_equal(model_changed(f, m, &d), was_held);
    if (was_held)
        key = file->key;
    if (used.files && file->is_counted)
        return;
    if (!used.files)
        used.bytes = 0;
    model_charge(m, key, false, &used, 1);
    if (!used.files)
        return;
    file->is_counted = true;
    file->counted_key = key;
    file->bytes = used.bytes;
}

static void model_release(struct fx *f, struct model *m,
                          struct model_file *file, const char *id)
{
    struct fx_done d = {0};

    quota_release(f->r, str_of(id), fx_on_done, &d);
    assert_int_equal(model_changed(f, m, &d), model_end_hold(m, file));
}

static void model_forget(struct fx *f, struct model *m, struct model_file *file,
                         const char *id)
{
    struct quota_amount gone = {.files = 1, .bytes = file->bytes};
    struct fx_done d = {0};

    model_end_hold(m, file);
    quota_forget(f->r, str_of(id), fx_on_done, &d);
    assert_int_equal(model_changed(f, m, &d), file->is_counted);
    if (file->is_counted)
        model_charge(m, file->counted_key, false, &gone, -1);
    file->is_counted = false;
}

static void model_compare(const struct model *m)
{
    const struct used *u = &m->now;
    size_t i;

    if (!u->is_done)
        return; /* nothing was done yet */
    for (i = 0; i < MODEL_SCOPES; i++) {
        assert_int_equal(u->v[i].files, m->scopes[i].used.files);
        assert_int_equal(u->v[i].bytes, m->scopes[i].used.bytes);
        assert_int_equal(u->v[i].held_files, m->scopes[i].held.files);
        assert_int_equal(u->v[i].held_bytes, m->scopes[i].held.bytes);
        assert_int_equal(u->v[i].up, m->scopes[i].used.up);
        assert_int_equal(u->v[i].down, m->scopes[i].used.down);
    }
}

/* A script that Redis does not know yet is carried out after what is sent next:
 * make all known. */
static void model_prime(struct fx *f)
{
    struct quota_who nobody = {.n = 0};
    struct quota_amount none = {0};

    granted(hold(f, "prime", &nobody, none));
    granted(extend(f, "prime", &nobody, none));
    assert_true(release(f, "prime"));
    assert_false(settle(f, "prime", &nobody, none));
    assert_false(forget(f, "prime"));
}

static void random_operations_agree_with_the_model(void **state)
{
    static void (*const ops[])(struct fx *, struct model *, struct model_file *,
                               const char *) = {
        model_hold,   model_hold,    model_hold,  model_extend,
        model_settle, model_release, model_forget};
    struct fx *f = *state;
    struct model m = {.seed = 20240229};
    int64_t day = today(), i;
    char id[16];
    int64_t n;

    model_prime(f);
    for (i = 0; i < MODEL_OPS; i++) {
        n = random_below(&m, MODEL_FILES);
        snprintf(id, sizeof(id), "file-%d", (int)n);
        ops[random_below(&m, COUNTOF(ops))](f, &m, &m.files[n], id);
        if (today() != day)
            return; /* midnight: the model knows one day */
        model_compare(&m);
    }
    assert_true(m.granted > MODEL_OPS / 10);
    assert_true(m.refused > MODEL_OPS / 20);
}

/* --- without, and elsewhere --- */

static void calls_fail_once_each_without_redis(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct quota_who who = both();
    struct quota_amount v = file_of(1);
    const struct quota_tally one = {STR("k:a"), 1, 0, 0, 0};
    struct str id = STR("file-1");
    struct held h[2] = {{0}};
    struct fx_done d[4] = {{0}};
    struct used u = {0};
    size_t i;

    kill(f->pid, SIGSTOP);
    quota_hold(f->r, id, &who, &v, NULL, 1, on_held, &h[0]);
    quota_extend(f->r, id, &who, &v, on_held, &h[1]);
    quota_settle(f->r, id, &who, &v, fx_on_done, &d[0]);
    quota_release(f->r, id, fx_on_done, &d[1]);
    quota_forget(f->r, id, fx_on_done, &d[2]);
    quota_usage(f->r, &id, 1, on_used, &u);
    quota_add(f->r, &one, 1, fx_on_done, &d[3]);
    fx_server_kill(f);
    fx_until(f, fx_is_set, &d[3].is_done);
    for (i = 0; i < COUNTOF(h); i++) {
        assert_int_equal(h[i].err, GW_STORE_UNAVAILABLE);
        assert_int_equal(h[i].times, 1);
    }
    for (i = 0; i < COUNTOF(d); i++) {
        assert_int_equal(d[i].err, GW_STORE_UNAVAILABLE);
        assert_int_equal(d[i].times, 1);
    }
    assert_int_equal(u.err, GW_STORE_UNAVAILABLE);
    arena_free(a);
}

static void all_of_it_works_in_a_cluster(void **state)
{
    static void (*const tests[])(void **) = {
        both_scopes_are_charged_or_none,
        more_of_a_hold_is_granted_or_refused_whole,
        a_file_is_forgotten_once,
        a_hold_whose_lease_ended_is_released_by_the_sweep,
        a_hold_with_an_entry_is_kept_for_the_sweeper,
        days_are_told_by_scope_and_prefix,
    };
    struct fx *f = *state;
    size_t i;

    fx_become_cluster(f);
    for (i = 0; i < COUNTOF(tests); i++) {
        fx_ok(f, "FLUSHALL");
        tests[i](state);
    }
}

#define WITH_REDIS(test)                                                       \
    cmocka_unit_test_setup_teardown(test, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REDIS(each_limit_of_a_key_holds_at_its_edge),
        WITH_REDIS(each_limit_of_a_team_holds_at_its_edge),
        WITH_REDIS(what_is_used_counts_like_what_is_held),
        WITH_REDIS(both_scopes_are_charged_or_none),
        WITH_REDIS(a_limit_below_what_is_used_refuses_and_no_more),
        WITH_REDIS(enormous_amounts_do_not_overflow),
        WITH_REDIS(a_hold_taken_twice_is_one),
        WITH_REDIS(more_of_a_hold_is_granted_or_refused_whole),
        WITH_REDIS(more_of_no_hold_is_an_error),
        WITH_REDIS(a_file_settled_twice_counts_once),
        WITH_REDIS(what_was_swept_is_charged_all_the_same),
        WITH_REDIS(a_hold_is_settled_to_whom_it_was_taken_from),
        WITH_REDIS(a_released_hold_leaves_nothing),
        WITH_REDIS(a_file_is_forgotten_once),
        WITH_REDIS(a_hold_of_nobody_is_a_lease),
        WITH_REDIS(a_found_file_counts_once_and_not_after_it_was_deleted),
        WITH_REDIS(a_found_file_does_not_end_the_entry_of_its_deletion),
        WITH_REDIS(a_hold_whose_lease_ended_is_released_by_the_sweep),
        WITH_REDIS(a_hold_with_an_entry_is_kept_for_the_sweeper),
        WITH_REDIS(a_renewed_hold_lives_on),
        WITH_REDIS(an_entry_is_replaced_and_not_lost),
        WITH_REDIS(two_hundred_at_once_get_exactly_ten),
        WITH_REDIS(days_are_told_by_scope_and_prefix),
        WITH_REDIS(days_are_kept_for_ninety_days),
        WITH_REDIS(a_hold_may_outlive_its_day),
        WITH_REDIS(random_operations_agree_with_the_model),
        WITH_REDIS(calls_fail_once_each_without_redis),
        WITH_REDIS(all_of_it_works_in_a_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
