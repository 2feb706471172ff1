/* test_team_store.c -- the records of teams. */
#include "redis_fixture.h"

#include "gateway/store/team_store.h"

static bool put(struct fx *f, const char *id, int64_t created_s,
                const char *record)
{
    struct fx_done d = {0};

    team_store_put(f->r, str_of(id), created_s, str_of(record), fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool replace(struct fx *f, const char *id, const char *old,
                    const char *record)
{
    struct fx_done d = {0};

    team_store_replace(f->r, str_of(id), str_of(old), str_of(record),
                       fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool drop(struct fx *f, const char *id)
{
    struct fx_done d = {0};

    team_store_delete(f->r, str_of(id), fx_on_done, &d);
    return fx_changed(f, &d);
}

struct text {
    bool is_done, is_there;
    char text[256];
};

static void on_text(void *arg, struct str record, const struct gw_error *e)
{
    struct text *t = arg;

    assert_int_equal(e->err, GW_OK);
    t->is_done = true;
    t->is_there = record.p != NULL;
    snprintf(t->text, sizeof(t->text), "%.*s", STR_ARG(record));
}

static struct text raw(struct fx *f, const char *id)
{
    struct text t = {0};

    team_store_raw(f->r, str_of(id), on_text, &t);
    fx_until(f, fx_is_set, &t.is_done);
    return t;
}

static struct text set_member(struct fx *f, const char *id, const char *member,
                              const char *value)
{
    struct text t = {0};

    team_store_set_member(f->r, str_of(id), member, str_of(value), on_text, &t);
    fx_until(f, fx_is_set, &t.is_done);
    return t;
}

struct listed {
    bool is_done;
    const struct team_store_entry *v;
    size_t n;
    int64_t total;
};

static void on_list(void *arg, const struct team_store_entry *v, size_t n,
                    int64_t total, const struct gw_error *e)
{
    *(struct listed *)arg = (struct listed){true, v, n, total};
    assert_int_equal(e->err, GW_OK);
}

static struct listed list(struct fx *f, struct arena *a, size_t offset,
                          size_t limit)
{
    struct listed l = {0};

    team_store_list(f->r, a, offset, limit, on_list, &l);
    fx_until(f, fx_is_set, &l.is_done);
    return l;
}

static void a_team_is_put_once(void **state)
{
    struct fx *f = *state;

    assert_false(raw(f, "red").is_there);
    assert_true(put(f, "red", 1, "{\"n\":1}"));
    assert_false(put(f, "red", 2, "{\"n\":2}"));
    assert_string_equal(raw(f, "red").text, "{\"n\":1}");
}

static void a_team_is_replaced_only_if_it_is_what_was_read(void **state)
{
    struct fx *f = *state;

    assert_false(replace(f, "red", "{}", "{\"n\":1}"));
    assert_false(raw(f, "red").is_there);
    put(f, "red", 1, "{}");
    assert_true(replace(f, "red", "{}", "{\"n\":1}"));
    assert_false(replace(f, "red", "{}", "{\"n\":2}"));
    assert_string_equal(raw(f, "red").text, "{\"n\":1}");
}

static void one_member_of_a_team_changes(void **state)
{
    struct fx *f = *state;

    assert_false(set_member(f, "red", "blocked", "true").is_there);
    put(f, "red", 1, "{\"a\":[],\"blocked\":false}");
    assert_string_equal(set_member(f, "red", "blocked", "true").text,
                        "{\"a\":[],\"blocked\":true}");
    assert_string_equal(raw(f, "red").text, "{\"a\":[],\"blocked\":true}");
}

static void a_deleted_team_leaves_nothing(void **state)
{
    struct fx *f = *state;

    assert_false(drop(f, "red"));
    put(f, "red", 1, "{}");
    assert_true(drop(f, "red"));
    assert_false(drop(f, "red"));
    assert_int_equal(fx_int(f, "DBSIZE"), 0);
}

static void teams_are_listed_the_newest_first(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    char id[16], record[32];
    struct listed l;
    int i;

    l = list(f, a, 0, 10);
    assert_int_equal(l.n, 0);
    assert_int_equal(l.total, 0);
    for (i = 0; i < 7; i++) {
        snprintf(id, sizeof(id), "t %d", i);
        snprintf(record, sizeof(record), "{\"n\":%d}", i);
        put(f, id, 1700000000 + i, record);
    }
    l = list(f, a, 0, 3);
    assert_int_equal(l.total, 7);
    assert_int_equal(l.n, 3);
    assert_true(str_eq_c(l.v[0].id, "t 6"));
    assert_true(str_eq_c(l.v[0].record, "{\"n\":6}"));
    l = list(f, a, 6, 3);
    assert_int_equal(l.total, 7);
    assert_int_equal(l.n, 1);
    assert_true(str_eq_c(l.v[0].id, "t 0"));
    assert_int_equal(list(f, a, 7, 3).n, 0);
    arena_free(a);
}

static void all_of_it_works_in_a_cluster(void **state)
{
    struct fx *f = *state;

    fx_become_cluster(f);
    a_team_is_put_once(state);
    fx_ok(f, "FLUSHALL");
    a_team_is_replaced_only_if_it_is_what_was_read(state);
    fx_ok(f, "FLUSHALL");
    teams_are_listed_the_newest_first(state);
    fx_ok(f, "FLUSHALL");
    a_deleted_team_leaves_nothing(state);
}

#define WITH_REDIS(test)                                                       \
    cmocka_unit_test_setup_teardown(test, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REDIS(a_team_is_put_once),
        WITH_REDIS(a_team_is_replaced_only_if_it_is_what_was_read),
        WITH_REDIS(one_member_of_a_team_changes),
        WITH_REDIS(a_deleted_team_leaves_nothing),
        WITH_REDIS(teams_are_listed_the_newest_first),
        WITH_REDIS(all_of_it_works_in_a_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
