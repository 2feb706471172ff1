/* Against a redis-server: what quotas count is held against what there is. */
#include "tests/unit/redis_fixture.h"

#include "gateway/store/audit.h"
#include "gateway/store/file_store.h"
#include "gateway/store/quota.h"

#define JOB STR("job-01arz3ndektsv4rrffq69g5fav")

struct got {
    bool is_done;
    enum gw_err err;
    struct str texts[256], next;
    struct audit_drift drift[8];
    size_t n;
    bool is_complete;
};

static void on_page(void *arg, const struct str *v, size_t n, struct str next,
                    const struct gw_error *e)
{
    struct got *g = arg;

    assert_true(n <= COUNTOF(g->texts));
    g->is_done = true;
    g->err = e->err;
    for (size_t i = 0; i < n; i++)
        g->texts[i] = v[i];
    g->n = n;
    g->next = next;
}

static void on_sums(void *arg, const struct audit_drift *v, size_t n,
                    bool is_complete, const struct gw_error *e)
{
    struct got *g = arg;

    assert_true(n <= COUNTOF(g->drift));
    g->is_done = true;
    g->err = e->err;
    for (size_t i = 0; i < n; i++)
        g->drift[i] = v[i];
    g->n = n;
    g->is_complete = is_complete;
}

static void on_audited(void *arg, const struct gw_error *e)
{
    struct got *g = arg;

    g->is_done = true;
    g->err = e->err;
}

static void wait_for(struct fx *f, struct got *g)
{
    assert_false(g->is_done);
    fx_until(f, fx_is_set, &g->is_done);
    assert_int_equal(g->err, GW_OK);
}

static void count(struct fx *f, const char *id, const char *scope,
                  int64_t bytes)
{
    struct quota_who who = {.n = 1, .v = {{.id = str_of(scope)}}};
    struct quota_amount used = {.files = 1, .bytes = bytes};
    struct fx_done d = {0};

    (void)quota_settle(f->r, str_of(id), &who, &used, fx_on_done, &d);
    (void)fx_changed(f, &d);
}

static void snapshot(struct fx *f, struct arena *a)
{
    struct str cursor = STR("0");

    do {
        struct got g = {0};

        (void)audit_snapshot(f->r, a, JOB, cursor, on_page, &g);
        wait_for(f, &g);
        cursor = g.next;
    } while (!str_eq(cursor, STR("0")));
}

static void seen(struct fx *f, const char *id)
{
    struct got g = {0};

    (void)audit_seen(f->r, JOB, str_of(id), on_audited, &g);
    wait_for(f, &g);
}

static size_t unseen(struct fx *f, struct arena *a, struct str *last)
{
    struct str cursor = STR("0");
    size_t n = 0;

    do {
        struct got g = {0};

        (void)audit_unseen(f->r, a, JOB, cursor, on_page, &g);
        wait_for(f, &g);
        cursor = g.next;
        n += g.n;
        if (g.n)
            *last = g.texts[g.n - 1];
    } while (!str_eq(cursor, STR("0")));
    return n;
}

static struct got sums(struct fx *f, struct arena *a, bool mend)
{
    struct got g = {0};

    (void)audit_sums(f->r, a, JOB, mend, on_sums, &g);
    wait_for(f, &g);
    assert_true(g.is_complete);
    return g;
}

static void note_scopes(struct fx *f, struct arena *a)
{
    struct str cursor = STR("0");

    do {
        struct got g = {0}, h = {0};

        (void)audit_scopes(f->r, a, cursor, on_page, &g);
        wait_for(f, &g);
        (void)audit_note_scopes(f->r, JOB, g.texts, g.n, on_audited, &h);
        wait_for(f, &h);
        cursor = g.next;
    } while (!str_eq(cursor, STR("0")));
}

static void what_is_counted_and_not_seen_is_told(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct str last = STR_NULL;

    count(f, "file-a", "t:x", 1);
    count(f, "file-b", "t:x", 2);
    snapshot(f, a);
    count(f, "file-c", "t:x", 3); /* counted later: not looked at */
    seen(f, "file-a");
    assert_int_equal(unseen(f, a, &last), 1);
    assert_true(str_eq(last, STR("file-b")));
    arena_free(a);
}

static void what_is_under_way_or_gone_is_not_told(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct str last = STR_NULL;

    count(f, "file-a", "t:x", 1);
    count(f, "file-b", "t:x", 1);
    count(f, "file-c", "t:x", 1);
    snapshot(f, a);
    fx_ok(f, "HSET fm:{gw}:entries file-a {}");
    fx_ok(f, "HSET fm:{gw}:holds file-b x");
    fx_ok(f, "HDEL fm:{gw}:counted file-c");
    assert_int_equal(unseen(f, a, &last), 0);
    arena_free(a);
}

static void many_are_told_page_by_page(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct str last = STR_NULL;
    char id[32];

    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof(id), "file-%d", i);
        count(f, id, "t:x", 1);
    }
    snapshot(f, a);
    for (int i = 0; i < 1000; i += 2) {
        snprintf(id, sizeof(id), "file-%d", i);
        seen(f, id);
    }
    assert_int_equal(unseen(f, a, &last), 500);
    arena_free(a);
}

static void put_file(struct fx *f, const char *provider, const char *upstream)
{
    struct file_record r = {
        .obj = {.id = str_of(upstream), .provider = str_of(provider)},
        .owner = STR("u:a b"),
        .upstream_id = str_of(upstream),
    };
    struct fx_done d = {0};

    (void)file_store_put(f->r, &r, fx_on_done, &d);
    assert_true(fx_changed(f, &d));
}

static void ways_lead_to_owner_and_file(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct got all = {0}, one = {0}, way = {0}, none = {0};

    put_file(f, "u*", "file-1");
    put_file(f, "up", "file-2");
    (void)audit_ways(f->r, a, STR_NULL, STR("0"), on_page, &all);
    wait_for(f, &all);
    assert_int_equal(all.n, 2);
    /* A provider's name is no pattern. */
    (void)audit_ways(f->r, a, STR("u*"), STR("0"), on_page, &one);
    wait_for(f, &one);
    assert_int_equal(one.n, 1);
    (void)audit_way(f->r, a, one.texts[0], on_page, &way);
    wait_for(f, &way);
    assert_int_equal(way.n, 2);
    assert_true(str_eq(way.texts[0], STR("u:a b")));
    assert_true(str_eq(way.texts[1], STR("file-1")));
    (void)audit_way(f->r, a, STR("fm:{u:up}:none"), on_page, &none);
    wait_for(f, &none);
    assert_int_equal(none.n, 0);
    arena_free(a);
}

static void counters_that_agree_are_not_told(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();

    count(f, "file-a", "t:x", 7);
    note_scopes(f, a);
    assert_int_equal(sums(f, a, true).n, 0);
    arena_free(a);
}

static void counters_that_differ_are_told_and_set_right(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct got g;

    count(f, "file-a", "t:x", 7);
    count(f, "file-b", "t:x", INT64_C(1) << 40);
    fx_ok(f, "HINCRBY fm:{gw}:use:t:x bytes 5");
    fx_ok(f, "HSET fm:{gw}:use:t:gone files 3");
    fx_ok(f, "HSET fm:{gw}:use:t:gone held_files 1");
    note_scopes(f, a);
    g = sums(f, a, false);
    assert_int_equal(g.n, 2);
    assert_true(str_eq(g.drift[0].scope, STR("t:gone")));
    assert_int_equal(g.drift[0].files, 3);
    assert_int_equal(g.drift[0].true_files, 0);
    assert_int_equal(g.drift[1].bytes, (INT64_C(1) << 40) + 12);
    assert_int_equal(g.drift[1].true_bytes, (INT64_C(1) << 40) + 7);
    assert_int_equal(sums(f, a, true).n, 2);
    assert_int_equal(sums(f, a, false).n, 0);
    /* What is held is another matter. */
    assert_int_equal(fx_int(f, "HINCRBY fm:{gw}:use:t:gone held_files 0"), 1);
    arena_free(a);
}

static void a_counter_that_is_missing_is_told(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct got g;

    count(f, "file-a", "t:x", 7);
    fx_ok(f, "DEL fm:{gw}:use:t:x");
    note_scopes(f, a);
    g = sums(f, a, true);
    assert_int_equal(g.n, 1);
    assert_int_equal(g.drift[0].true_bytes, 7);
    assert_int_equal(fx_int(f, "HINCRBY fm:{gw}:use:t:x bytes 0"), 7);
    arena_free(a);
}

static void the_end_leaves_nothing(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct got g = {0};

    count(f, "file-a", "t:x", 7);
    snapshot(f, a);
    note_scopes(f, a);
    (void)audit_end(f->r, JOB, on_audited, &g);
    wait_for(f, &g);
    assert_int_equal(fx_int(f, "EXISTS fm:{gw}:audit:" /* as JOB */
                               "job-01arz3ndektsv4rrffq69g5fav"),
                     0);
    assert_int_equal(fx_int(f, "EXISTS fm:{gw}:scopes:"
                               "job-01arz3ndektsv4rrffq69g5fav"),
                     0);
    arena_free(a);
}

static void a_cluster_holds_it(void **state)
{
    fx_become_cluster(*state);
    what_is_counted_and_not_seen_is_told(state);
    fx_ok(*state, "FLUSHALL");
    counters_that_differ_are_told_and_set_right(state);
    the_end_leaves_nothing(state);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_counted_and_not_seen_is_told),
        TEST(what_is_under_way_or_gone_is_not_told),
        TEST(many_are_told_page_by_page),
        TEST(ways_lead_to_owner_and_file),
        TEST(counters_that_agree_are_not_told),
        TEST(counters_that_differ_are_told_and_set_right),
        TEST(a_counter_that_is_missing_is_told),
        TEST(the_end_leaves_nothing),
        TEST(a_cluster_holds_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
