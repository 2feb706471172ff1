/* Against a redis-server: batches are counted, limited, watched. */
#include "tests/unit/redis_fixture.h"

#include "gateway/store/batch_quota.h"
#include "gateway/store/schema.h"

#define OWNER STR("u:ann with a space")
#define HOUR_MS 3600000

struct verdict {
    bool is_done;
    enum gw_err err;
    struct quota_verdict v;
};

static void on_verdict(void *arg, const struct quota_verdict *v,
                       const struct gw_error *e)
{
    struct verdict *got = arg;

    got->is_done = true;
    got->err = e->err;
    if (v)
        got->v = *v;
}

static const struct quota_who both = {
    .n = 2,
    .v = {{.id = STR("k:1"), .limits = {.active_batches = 2}},
          {.id = STR("t:1"), .limits = {.batch_lines_day = 10}}}};

static struct quota_verdict begin(struct fx *f, const char *id, int64_t lines,
                                  int64_t look_ms)
{
    struct journal_entry entry = {.kind = JOURNAL_BATCH,
                                  .id = str_of(id),
                                  .owner = OWNER,
                                  .key_hash = STR(""),
                                  .provider = STR("up"),
                                  .upstream_id = STR(""),
                                  .filename = STR(""),
                                  .purpose = STR("batch"),
                                  .content_type = STR("")};
    struct batch_quota b = {.id = str_of(id),
                            .owner = OWNER,
                            .who = &both,
                            .lines = lines,
                            .entry = &entry,
                            .lease_ms = HOUR_MS,
                            .look_ms = look_ms};
    struct verdict got = {0};

    (void)batch_quota_begin(f->r, &b, on_verdict, &got);
    fx_until(f, fx_is_set, &got.is_done);
    assert_int_equal(got.err, GW_OK);
    return got.v;
}

static bool seen(struct fx *f, const char *id, enum batch_seen what,
                 int64_t look_ms)
{
    struct fx_done d = {0};

    (void)batch_quota_seen(f->r, OWNER, str_of(id), what, look_ms, fx_on_done,
                           &d);
    return fx_changed(f, &d);
}

static void release_entry(struct fx *f, const char *id)
{
    struct fx_done d = {0};

    (void)quota_release(f->r, str_of(id), fx_on_done, &d);
    (void)fx_changed(f, &d);
}

struct usage {
    bool is_done;
    struct quota_usage v[2];
};

static void on_usage(void *arg, const struct quota_usage *v, size_t n,
                     const struct gw_error *e)
{
    struct usage *u = arg;

    assert_int_equal(e->err, GW_OK);
    assert_int_equal(n, 2);
    memcpy(u->v, v, sizeof(u->v));
    u->is_done = true;
}

static void assert_used(struct fx *f, int64_t batches, int64_t lines)
{
    const struct str scopes[] = {STR("k:1"), STR("t:1")};
    struct usage u = {0};

    (void)quota_usage(f->r, scopes, 2, on_usage, &u);
    fx_until(f, fx_is_set, &u.is_done);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(u.v[i].batches, batches);
        assert_int_equal(u.v[i].batch_lines, lines);
    }
}

struct due {
    bool is_done;
    char text[256];
};

static void on_due(void *arg, const struct batch_due *v, size_t n,
                   const struct gw_error *e)
{
    struct due *d = arg;
    size_t at = 0;

    assert_int_equal(e->err, GW_OK);
    for (size_t i = 0; i < n; i++) {
        assert_true(str_eq(v[i].owner, OWNER));
        at += (size_t)snprintf(d->text + at, sizeof(d->text) - at, "%.*s ",
                               STR_ARG(v[i].id));
    }
    d->is_done = true;
}

static void assert_due(struct fx *f, size_t max, const char *want)
{
    struct arena *a = arena_new();
    struct due d = {0};

    (void)batch_quota_due(f->r, a, max, HOUR_MS, on_due, &d);
    fx_until(f, fx_is_set, &d.is_done);
    assert_string_equal(d.text, want);
    arena_free(a);
}

static void assert_refused(struct quota_verdict v, enum quota_limit limit,
                           size_t scope, int64_t max, int64_t used)
{
    assert_int_equal(v.limit, limit);
    assert_int_equal(v.scope, scope);
    assert_int_equal(v.max, max);
    assert_int_equal(v.used, used);
}

static void active_ones_are_limited_until_they_are_over(void **state)
{
    struct fx *f = *state;

    assert_int_equal(begin(f, "b1", 0, HOUR_MS).limit, QUOTA_NONE);
    assert_int_equal(begin(f, "b1", 0, HOUR_MS).limit, QUOTA_NONE); /* again */
    assert_used(f, 1, 0);
    assert_int_equal(begin(f, "b2", 0, HOUR_MS).limit, QUOTA_NONE);
    assert_refused(begin(f, "b3", 0, HOUR_MS), QUOTA_BATCHES, 0, 2, 2);
    assert_used(f, 2, 0);
    assert_false(seen(f, "b1", BATCH_RUNS, HOUR_MS));
    assert_used(f, 2, 0);
    assert_true(seen(f, "b1", BATCH_OVER, BATCH_NEVER));
    assert_false(seen(f, "b1", BATCH_OVER, BATCH_NEVER)); /* once */
    assert_used(f, 1, 0);
    assert_int_equal(begin(f, "b3", 0, HOUR_MS).limit, QUOTA_NONE);
    assert_true(seen(f, "b2", BATCH_LOST, BATCH_NEVER));
    assert_true(seen(f, "b3", BATCH_REFUSED, BATCH_NEVER));
    assert_used(f, 0, 0);
    release_entry(f, "b1");
}

static void lines_count_unless_it_was_refused(void **state)
{
    struct fx *f = *state;
    struct quota_verdict v;

    assert_int_equal(begin(f, "c1", 6, HOUR_MS).limit, QUOTA_NONE);
    v = begin(f, "c2", 5, HOUR_MS);
    assert_refused(v, QUOTA_BATCH_LINES, 1, 10, 6);
    assert_true(v.wait_ms > 0 && v.wait_ms <= 24 * HOUR_MS);
    v = begin(f, "c2", 11, HOUR_MS);
    assert_refused(v, QUOTA_BATCH_LINES, 1, 10, 6);
    assert_int_equal(v.wait_ms, 0); /* nor tomorrow */
    assert_used(f, 1, 6);
    assert_true(seen(f, "c1", BATCH_REFUSED, BATCH_NEVER));
    assert_used(f, 0, 0);
    assert_int_equal(begin(f, "c2", 10, HOUR_MS).limit, QUOTA_NONE);
    assert_true(seen(f, "c2", BATCH_LOST, BATCH_NEVER));
    assert_used(f, 0, 10);
}

static void those_that_are_due_are_told_and_no_others(void **state)
{
    struct fx *f = *state;

    assert_int_equal(begin(f, "d1", 0, 0).limit, QUOTA_NONE);
    assert_due(f, 9, ""); /* being made: put off */
    release_entry(f, "d1");
    assert_due(f, 9, "");
    assert_int_equal(begin(f, "d2", 0, 0).limit, QUOTA_NONE);
    release_entry(f, "d2");
    assert_due(f, 9, "d2 ");
    seen(f, "d1", BATCH_RUNS, 0);
    assert_due(f, 9, "d2 d1 ");
    assert_due(f, 1, "d2 ");
    seen(f, "d2", BATCH_OVER, HOUR_MS); /* its record has an end */
    assert_due(f, 9, "d1 ");
    seen(f, "d2", BATCH_OVER, 0);
    assert_due(f, 9, "d1 d2 ");
    seen(f, "d1", BATCH_OVER, BATCH_NEVER);
    seen(f, "d2", BATCH_OVER, BATCH_NEVER);
    assert_due(f, 9, "");
    seen(f, "d1", BATCH_RUNS, 0); /* it was forgotten */
    assert_due(f, 9, "");
}

static void a_cluster_holds_them(void **state)
{
    struct fx *f = *state;

    fx_become_cluster(f);
    lines_count_unless_it_was_refused(state);
    assert_due(f, 9, "");
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(active_ones_are_limited_until_they_are_over),
        TEST(those_that_are_due_are_told_and_no_others),
        TEST(lines_count_unless_it_was_refused),
        TEST(a_cluster_holds_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
