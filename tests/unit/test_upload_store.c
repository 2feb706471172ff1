/* Against a redis-server: uploads are put, filled, completed, ended. */
#include "tests/unit/redis_fixture.h"

#include "gateway/codec/fileid.h"
#include "gateway/store/file_store.h"
#include "gateway/store/quota.h"
#include "gateway/store/upload_store.h"

#define LONG_MS 600000
#define FILE_ID "file-up-01kb0000000000000000000000"

struct got {
    bool is_done, found;
    enum gw_err err;
    struct upload_view v;
};

struct told {
    bool is_done;
    enum upload_state state;
    int64_t left;
};

static void on_got(void *arg, const struct upload_view *v,
                   const struct gw_error *e)
{
    struct got *g = arg;

    g->is_done = true;
    g->err = e->err;
    g->found = v != NULL;
    if (v)
        g->v = *v;
}

static void on_told(void *arg, enum upload_state state, int64_t left,
                    const struct gw_error *e)
{
    struct told *t = arg;

    assert_int_equal(e->err, GW_OK);
    *t = (struct told){true, state, left};
}

static struct upload_record sample(void)
{
    return (struct upload_record){
        .id = STR("upload_up-01kb0000000000000000000000"),
        .owner = STR("t:{one} two"),
        .key_hash = STR("abc"),
        .provider = STR("up"),
        .upstream_id = STR(""),
        .hold = STR("disk"),
        .filename = STR("a \"b\".jsonl"),
        .purpose = STR("batch"),
        .content_type = STR("application/jsonl"),
        .bytes = 10,
        .created_at = 5,
        .expires_at = 3605,
        .expires_after_s = 7200,
    };
}

static bool put(struct fx *f, const struct upload_record *u, int64_t life_ms)
{
    struct fx_done d = {0};

    (void)upload_store_put(f->r, u, life_ms, fx_on_done, &d);
    return fx_changed(f, &d);
}

static struct got look(struct fx *f, struct arena *a, const struct str *ids,
                       size_t n)
{
    struct upload_record u = sample();
    struct got g = {0};

    (void)upload_store_look(f->r, a, u.owner, u.id, ids, n, on_got, &g);
    fx_until(f, fx_is_set, &g.is_done);
    return g;
}

static enum upload_state state_of(struct fx *f)
{
    struct arena *a = arena_new();
    struct got g = look(f, a, NULL, 0);

    arena_free(a);
    return g.found ? g.v.state : UPLOAD_NONE;
}

static struct told begin(struct fx *f, const char *id, int64_t bytes,
                         int64_t lease_ms, bool is_again)
{
    struct upload_record u = sample();
    struct told t = {0};

    (void)upload_store_begin(f->r, &u, str_of(id), STR("object 1"), bytes,
                             lease_ms, is_again, on_told, &t);
    fx_until(f, fx_is_set, &t.is_done);
    return t;
}

static enum upload_state add(struct fx *f, const char *id, int64_t bytes)
{
    struct upload_record u = sample();
    struct upload_part p = {str_of(id), STR("up stream"), bytes};
    struct told t = {0};

    (void)upload_store_add(f->r, &u, &p, on_told, &t);
    fx_until(f, fx_is_set, &t.is_done);
    return t.state;
}

static enum upload_state take(struct fx *f, const char *file_id,
                              int64_t lease_ms)
{
    struct upload_record u = sample();
    struct told t = {0};

    (void)upload_store_take(f->r, &u, str_of(file_id), lease_ms, on_told, &t);
    fx_until(f, fx_is_set, &t.is_done);
    return t.state;
}

static enum upload_state end(struct fx *f, enum upload_state to,
                             const char *file_id)
{
    struct arena *a = arena_new();
    struct upload_record u = sample();
    struct got g = {0};

    (void)upload_store_end(f->r, a, u.owner, u.id, to, str_of(file_id), on_got,
                           &g);
    fx_until(f, fx_is_set, &g.is_done);
    arena_free(a);
    return g.found ? g.v.state : UPLOAD_NONE;
}

static struct got left(struct fx *f, struct arena *a)
{
    struct upload_record u = sample();
    struct got g = {0};

    (void)upload_store_left(f->r, a, u.owner, u.id, on_got, &g);
    fx_until(f, fx_is_set, &g.is_done);
    return g;
}

static bool drop(struct fx *f, const char *id)
{
    struct upload_record u = sample();
    struct str ids[] = {str_of(id)};
    struct fx_done d = {0};

    (void)upload_store_drop(f->r, u.owner, u.id, ids, 1, fx_on_done, &d);
    return fx_changed(f, &d);
}

static void an_upload_comes_back_as_it_went_in(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct upload_record u = sample();
    struct got g;

    assert_false(look(f, a, NULL, 0).found);
    assert_true(put(f, &u, LONG_MS));
    assert_false(put(f, &u, LONG_MS));
    g = look(f, a, NULL, 0);
    assert_true(g.found);
    assert_int_equal(g.v.state, UPLOAD_PENDING);
    assert_true(str_eq(g.v.record.id, u.id));
    assert_true(str_eq(g.v.record.owner, u.owner));
    assert_true(str_eq(g.v.record.hold, u.hold));
    assert_true(str_eq(g.v.record.filename, u.filename));
    assert_true(str_eq(g.v.record.content_type, u.content_type));
    assert_int_equal(g.v.record.upstream_id.n, 0);
    assert_int_equal(g.v.record.bytes, 10);
    assert_int_equal(g.v.record.expires_after_s, 7200);
    arena_free(a);
}

static void another_owner_does_not_see_it(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct upload_record u = sample();
    struct got g = {0};

    assert_true(put(f, &u, LONG_MS));
    (void)upload_store_look(f->r, a, STR("t:three"), u.id, NULL, 0, on_got, &g);
    fx_until(f, fx_is_set, &g.is_done);
    assert_false(g.found);
    arena_free(a);
}

static void parts_count_and_never_more_than_was_declared(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct str ids[] = {STR("p2"), STR("none"), STR("p1")};
    struct upload_record u = sample();
    struct got g;

    assert_int_equal(begin(f, "p1", 1, LONG_MS, false).state, UPLOAD_NONE);
    assert_true(put(f, &u, LONG_MS));
    assert_int_equal(begin(f, "p1", 6, LONG_MS, false).left, 10);
    assert_int_equal(begin(f, "p2", 5, LONG_MS, false).state, UPLOAD_FULL);
    assert_int_equal(begin(f, "p2", 4, LONG_MS, false).state, UPLOAD_PENDING);
    assert_int_equal(add(f, "p1", 7), UPLOAD_PENDING);
    assert_int_equal(add(f, "p2", 4), UPLOAD_FULL);
    assert_int_equal(add(f, "p2", 3), UPLOAD_PENDING);
    assert_int_equal(add(f, "p2", 0), UPLOAD_GONE);
    assert_int_equal(begin(f, "p3", 1, LONG_MS, false).state, UPLOAD_FULL);
    g = look(f, a, ids, COUNTOF(ids));
    assert_int_equal(g.v.stored, 10);
    assert_int_equal(g.v.nparts, 3);
    assert_int_equal(g.v.parts[0].bytes, 3);
    assert_true(str_eq(g.v.parts[0].upstream_id, STR("up stream")));
    assert_null(g.v.parts[1].upstream_id.p);
    assert_int_equal(g.v.parts[2].bytes, 7);
    arena_free(a);
}

static void what_is_under_way_is_reserved_while_its_lease_lasts(void **state)
{
    struct fx *f = *state;
    struct upload_record u = sample();
    struct told t;

    assert_true(put(f, &u, LONG_MS));
    begin(f, "p1", 10, 1, false);
    do
        t = begin(f, "p2", 10, LONG_MS, false);
    while (t.state == UPLOAD_FULL);
    assert_int_equal(t.state, UPLOAD_PENDING);
    assert_int_equal(begin(f, "p1", 10, LONG_MS, true).state, UPLOAD_FULL);
    assert_int_equal(begin(f, "p2", 10, LONG_MS, true).state, UPLOAD_PENDING);
    assert_int_equal(begin(f, "p3", 0, LONG_MS, true).state, UPLOAD_GONE);
    assert_true(drop(f, "p2"));
    assert_int_equal(begin(f, "p1", 10, LONG_MS, true).state, UPLOAD_PENDING);
}

static void only_one_completes_it(void **state)
{
    struct fx *f = *state;
    struct upload_record u = sample();

    assert_true(put(f, &u, LONG_MS));
    assert_int_equal(take(f, "file-1", LONG_MS), UPLOAD_PENDING);
    assert_int_equal(take(f, "file-2", LONG_MS), UPLOAD_COMPLETING);
    assert_int_equal(take(f, "file-1", LONG_MS), UPLOAD_PENDING);
    assert_int_equal(begin(f, "p1", 1, LONG_MS, false).state,
                     UPLOAD_COMPLETING);
    assert_int_equal(end(f, UPLOAD_CANCELLED, ""), UPLOAD_COMPLETING);
    assert_int_equal(end(f, UPLOAD_EXPIRED, ""), UPLOAD_COMPLETING);
    assert_int_equal(end(f, UPLOAD_PENDING, "file-2"), UPLOAD_COMPLETING);
    assert_int_equal(end(f, UPLOAD_PENDING, "file-1"), UPLOAD_PENDING);
    assert_int_equal(take(f, "file-2", LONG_MS), UPLOAD_PENDING);
    assert_int_equal(end(f, UPLOAD_COMPLETED, "file-1"), UPLOAD_COMPLETING);
    assert_int_equal(end(f, UPLOAD_COMPLETED, "file-2"), UPLOAD_COMPLETED);
    assert_int_equal(take(f, "file-3", LONG_MS), UPLOAD_COMPLETED);
    assert_int_equal(end(f, UPLOAD_CANCELLED, ""), UPLOAD_COMPLETED);
}

static void a_dead_completion_is_told_by_the_files_record(void **state)
{
    struct fx *f = *state;
    struct upload_record u = sample();
    struct file_record file = {
        .obj = {.id = STR(FILE_ID),
                .filename = STR("f"),
                .purpose = STR("batch"),
                .provider = STR("up")},
        .owner = u.owner,
        .key_hash = STR("abc"),
        .upstream_id = STR("file-x"),
    };
    struct fx_done d = {0};

    assert_true(put(f, &u, LONG_MS));
    assert_int_equal(take(f, FILE_ID, 1), UPLOAD_PENDING);
    while (state_of(f) == UPLOAD_COMPLETING)
        ;
    assert_int_equal(state_of(f), UPLOAD_PENDING);
    (void)file_store_put(f->r, &file, fx_on_done, &d);
    assert_true(fx_changed(f, &d));
    assert_int_equal(take(f, FILE_ID, 1), UPLOAD_PENDING);
    while (state_of(f) == UPLOAD_COMPLETING)
        ;
    assert_int_equal(state_of(f), UPLOAD_COMPLETED);
}

static void one_whose_time_is_over_takes_nothing(void **state)
{
    struct fx *f = *state;
    struct upload_record u = sample();

    assert_true(put(f, &u, 1));
    while (state_of(f) == UPLOAD_PENDING)
        ;
    assert_int_equal(begin(f, "p1", 1, LONG_MS, false).state, UPLOAD_EXPIRED);
    assert_int_equal(take(f, "file-1", LONG_MS), UPLOAD_EXPIRED);
    assert_int_equal(end(f, UPLOAD_CANCELLED, ""), UPLOAD_EXPIRED);
    assert_int_equal(end(f, UPLOAD_EXPIRED, ""), UPLOAD_EXPIRED);
}

static void all_that_may_lie_somewhere_is_told(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct upload_record u = sample();
    struct got g;

    assert_true(put(f, &u, LONG_MS));
    begin(f, "p1", 1, LONG_MS, false);
    assert_int_equal(add(f, "p1", 1), UPLOAD_PENDING);
    begin(f, "p2", 1, 1, false);
    begin(f, "p3", 1, LONG_MS, false);
    g = left(f, a);
    assert_int_equal(g.v.nparts, 1);
    assert_true(str_eq(g.v.parts[0].id, STR("p1")));
    assert_true(str_eq(g.v.parts[0].upstream_id, STR("up stream")));
    assert_true(drop(f, "p1"));
    do
        g = left(f, a);
    while (g.v.nparts == 0);
    assert_true(str_eq(g.v.parts[0].id, STR("p2")));
    assert_true(str_eq(g.v.parts[0].upstream_id, STR("object 1")));
    assert_true(drop(f, "p2"));
    g = left(f, a);
    assert_int_equal(g.v.nparts, 0);
    assert_int_equal(g.v.stored, 1);
    assert_true(drop(f, "p3"));
    assert_int_equal(left(f, a).v.stored, 0);
    arena_free(a);
}

static void parts_are_known_by_their_names(void **state)
{
    (void)state;
    assert_true(upload_store_is_part(STR("part-01kb0000000000000000000000")));
    assert_true(upload_store_is_part(
        STR("s3://b/files/part-01kb0000000000000000000000")));
    assert_false(upload_store_is_part(STR("01kb0000000000000000000000")));
    assert_false(upload_store_is_part(STR("part-01KB0000000000000000000000")));
    assert_false(upload_store_is_part(STR("part-1")));
    assert_false(upload_store_is_part(STR("")));
}

/* --- what it holds --- */

static void on_held(void *arg, const struct quota_verdict *v,
                    const struct gw_error *e)
{
    fx_on_done(arg, v && v->limit == QUOTA_NONE, e);
}

struct use {
    bool is_done;
    struct quota_usage v;
};

static void on_use(void *arg, const struct quota_usage *v, size_t n,
                   const struct gw_error *e)
{
    struct use *u = arg;

    assert_int_equal(e->err, GW_OK);
    assert_int_equal(n, 1);
    *u = (struct use){true, *v};
}

static int64_t held(struct fx *f)
{
    struct str scope = STR("k:1");
    struct use u = {0};

    (void)quota_usage(f->r, &scope, 1, on_use, &u);
    fx_until(f, fx_is_set, &u.is_done);
    return u.v.held_bytes;
}

static bool hold(struct fx *f, const struct journal_entry *j)
{
    struct quota_who who = {.v = {{.id = STR("k:1")}}, .n = 1};
    struct quota_amount most = {.files = 1, .bytes = 10, .up = 10};
    struct fx_done d = {0};

    (void)quota_hold(f->r, j->id, &who, &most, j, LONG_MS, on_held, &d);
    return fx_changed(f, &d);
}

static bool release(struct fx *f, struct str id)
{
    struct fx_done d = {0};

    (void)quota_release(f->r, id, fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool move(struct fx *f, struct str from, const struct journal_entry *to)
{
    struct fx_done d = {0};

    (void)quota_move(f->r, from, to, LONG_MS, fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool move_back(struct fx *f, struct str from, struct str to)
{
    struct fx_done d = {0};

    (void)quota_move_back(f->r, from, to, 10, fx_on_done, &d);
    return fx_changed(f, &d);
}

static void a_hold_moves_there_and_back(void **state)
{
    struct fx *f = *state;
    struct journal_entry up = {
        .kind = JOURNAL_PARTS, .id = STR("upload_1"), .provider = STR("p")};
    struct journal_entry file = {.id = STR(FILE_ID), .provider = STR("p")};

    assert_true(hold(f, &up));
    assert_int_equal(held(f), 10);
    assert_true(move(f, up.id, &file));
    assert_false(move(f, up.id, &file));
    assert_int_equal(held(f), 10);
    assert_true(move_back(f, file.id, up.id));
    assert_false(move_back(f, file.id, up.id));
    assert_int_equal(held(f), 10);
    assert_true(move(f, up.id, &file));
    assert_true(release(f, file.id));
    assert_int_equal(held(f), 0);
    assert_false(release(f, up.id));
}

static void a_hold_whose_upload_has_ended_is_released(void **state)
{
    struct fx *f = *state;
    struct journal_entry up = {
        .kind = JOURNAL_PARTS, .id = STR("upload_1"), .provider = STR("p")};
    struct journal_entry file = {.id = STR(FILE_ID), .provider = STR("p")};

    assert_true(hold(f, &up));
    assert_true(move(f, up.id, &file));
    assert_false(release(f, up.id));
    assert_false(move_back(f, file.id, up.id));
    assert_int_equal(held(f), 0);
}

static void a_cluster_holds_them(void **state)
{
    fx_become_cluster(*state);
    a_dead_completion_is_told_by_the_files_record(state);
}

static void a_cluster_moves_holds(void **state)
{
    fx_become_cluster(*state);
    a_hold_moves_there_and_back(state);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_upload_comes_back_as_it_went_in),
        TEST(another_owner_does_not_see_it),
        TEST(parts_count_and_never_more_than_was_declared),
        TEST(what_is_under_way_is_reserved_while_its_lease_lasts),
        TEST(only_one_completes_it),
        TEST(a_dead_completion_is_told_by_the_files_record),
        TEST(one_whose_time_is_over_takes_nothing),
        TEST(all_that_may_lie_somewhere_is_told),
        cmocka_unit_test(parts_are_known_by_their_names),
        TEST(a_hold_moves_there_and_back),
        TEST(a_hold_whose_upload_has_ended_is_released),
        TEST(a_cluster_holds_them),
        TEST(a_cluster_moves_holds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
