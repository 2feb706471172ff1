/* Against a redis-server: batch records are put, read, changed, paged. */
#include "tests/unit/redis_fixture.h"

#include "gateway/codec/fileid.h"
#include "gateway/store/batch_store.h"

struct got {
    bool is_done;
    enum gw_err err;
    bool found;
    struct batch_record one;
    struct batch_record v[16];
    size_t n;
    bool at_end;
};

static void on_got(void *arg, const struct batch_record *found,
                   const struct gw_error *e)
{
    struct got *g = arg;

    g->is_done = true;
    g->err = e->err;
    g->found = found != NULL;
    if (found)
        g->one = *found;
}

static void on_page(void *arg, struct batch_record *records, size_t n,
                    bool at_end, const struct gw_error *e)
{
    struct got *g = arg;

    assert_true(n <= COUNTOF(g->v));
    g->is_done = true;
    g->err = e->err;
    if (n)
        memcpy(g->v, records, n * sizeof(*records));
    g->n = n;
    g->at_end = at_end;
}

static struct str id_of(struct arena *a, const char *ns, int64_t ms)
{
    static const unsigned char noise[FILEID_NOISE_BYTES];
    char id[LIMIT_ID_BYTES + 1];

    fileid_make(FILEID_BATCH, ns, ms, noise, id);
    return arena_dup(a, str_of(id));
}

static struct batch_record sample(struct arena *a, const char *provider,
                                  int64_t ms)
{
    return (struct batch_record){
        .obj = {.id = id_of(a, provider, ms),
                .input_file_id = STR("file-in"),
                .output_file_id = STR("file-out"),
                .status = STR("in_progress"),
                .members = STR("{\"status\":\"in_progress\"}")},
        .owner = STR("t:{one} two"),
        .key_hash = STR("abc"),
        .provider = str_of(provider),
        .upstream_id = STR("batch_1"),
        .scopes = {STR("k:1"), STR("t:2")},
        .nscopes = 2,
        .over_ms = 7,
        .lost_ms = 8,
        .output_expires_s = 9,
    };
}

static bool put(struct fx *f, const struct batch_record *b)
{
    struct fx_done d = {0};

    (void)batch_store_put(f->r, b, fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool update(struct fx *f, const struct batch_record *b)
{
    struct fx_done d = {0};

    (void)batch_store_update(f->r, b, fx_on_done, &d);
    return fx_changed(f, &d);
}

static struct got get(struct fx *f, struct arena *a, struct str owner,
                      struct str id)
{
    struct got g = {0};

    (void)batch_store_get(f->r, a, owner, id, on_got, &g);
    fx_until(f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_OK);
    return g;
}

static struct got page(struct fx *f, struct arena *a, struct str provider,
                       struct str after, size_t limit)
{
    struct got g = {0};

    (void)batch_store_page(f->r, a, STR("t:{one} two"), provider, after, limit,
                           on_page, &g);
    fx_until(f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_OK);
    return g;
}

static void assert_str(struct str got, struct str want)
{
    if (!str_eq(got, want))
        fail_msg("'%.*s' is not '%.*s'", STR_ARG(got), STR_ARG(want));
}

static void a_record_reads_back_as_it_was_put(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct batch_record b = sample(a, "up", 1000);
    struct got g;

    assert_true(put(f, &b));
    assert_false(put(f, &b));
    g = get(f, a, b.owner, b.obj.id);
    assert_true(g.found);
    assert_str(g.one.obj.id, b.obj.id);
    assert_str(g.one.obj.input_file_id, b.obj.input_file_id);
    assert_str(g.one.obj.output_file_id, b.obj.output_file_id);
    assert_null(g.one.obj.error_file_id.p);
    assert_str(g.one.obj.status, b.obj.status);
    assert_str(g.one.obj.members, b.obj.members);
    assert_str(g.one.owner, b.owner);
    assert_str(g.one.key_hash, b.key_hash);
    assert_str(g.one.provider, b.provider);
    assert_str(g.one.upstream_id, b.upstream_id);
    assert_int_equal(g.one.nscopes, 2);
    assert_str(g.one.scopes[1], STR("t:2"));
    assert_int_equal(g.one.over_ms, 7);
    assert_int_equal(g.one.lost_ms, 8);
    assert_int_equal(g.one.output_expires_s, 9);
    assert_false(g.one.is_final);
    assert_false(get(f, a, STR("t:other"), b.obj.id).found);
    arena_free(a);
}

static void what_is_final_stays_so(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct batch_record b = sample(a, "up", 1000);

    assert_false(update(f, &b));
    assert_false(get(f, a, b.owner, b.obj.id).found);
    assert_true(put(f, &b));
    b.obj.status = STR("completed");
    b.is_final = true;
    assert_true(update(f, &b));
    b.obj.status = STR("in_progress");
    b.is_final = false;
    assert_false(update(f, &b));
    assert_str(get(f, a, b.owner, b.obj.id).one.obj.status, STR("completed"));
    b.is_final = true;
    assert_true(update(f, &b));
    arena_free(a);
}

static void pages_are_exact_over_providers(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct got g;
    int i;

    assert_int_equal(page(f, a, STR_NULL, STR_NULL, 5).n, 0);
    for (i = 0; i < 6; i++) {
        struct batch_record b = sample(a, i % 2 ? "z" : "up", 1000 + i);

        assert_true(put(f, &b));
    }
    g = page(f, a, STR_NULL, STR_NULL, 4);
    assert_int_equal(g.n, 4);
    assert_false(g.at_end);
    assert_str(g.v[0].obj.id, id_of(a, "z", 1005));
    assert_str(g.v[3].obj.id, id_of(a, "up", 1002));
    g = page(f, a, STR_NULL, g.v[3].obj.id, 2);
    assert_int_equal(g.n, 2);
    assert_true(g.at_end);
    assert_str(g.v[1].obj.id, id_of(a, "up", 1000));
    g = page(f, a, STR("z"), STR_NULL, 3);
    assert_int_equal(g.n, 3);
    assert_true(g.at_end);
    assert_str(g.v[2].obj.id, id_of(a, "z", 1001));
    arena_free(a);
}

static void one_that_cannot_be_read_is_in_no_page(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct batch_record one = sample(a, "up", 1000),
                        two = sample(a, "up", 2000);
    struct got g;

    two.upstream_id = STR("");
    assert_true(put(f, &one) && put(f, &two));
    g = page(f, a, STR_NULL, STR_NULL, 9);
    assert_int_equal(g.n, 1);
    assert_str(g.v[0].obj.id, one.obj.id);
    assert_true(g.at_end);
    arena_free(a);
}

/* The worst that batch_obj_read() can make of an answer. */
static void the_largest_record_can_be_read(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct batch_record b = sample(a, "up", 1000);
    char *members = arena_alloc(a, LIMIT_BATCH_MEMBERS_BYTES);
    struct got g;

    memset(members, '"', LIMIT_BATCH_MEMBERS_BYTES);
    b.obj.members = str_make(members, LIMIT_BATCH_MEMBERS_BYTES);
    assert_true(put(f, &b));
    g = get(f, a, b.owner, b.obj.id);
    assert_true(g.found);
    assert_str(g.one.obj.members, b.obj.members);
    arena_free(a);
}

static void a_deleted_one_is_in_no_page(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct batch_record one = sample(a, "up", 1000),
                        two = sample(a, "up", 2000);
    struct fx_done d = {0}, again = {0};

    assert_true(put(f, &one) && put(f, &two));
    (void)batch_store_delete(f->r, &one, fx_on_done, &d);
    assert_true(fx_changed(f, &d));
    (void)batch_store_delete(f->r, &one, fx_on_done, &again);
    assert_false(fx_changed(f, &again));
    assert_false(get(f, a, one.owner, one.obj.id).found);
    assert_int_equal(page(f, a, STR_NULL, STR_NULL, 9).n, 1);
    assert_int_equal(page(f, a, STR("up"), STR_NULL, 9).n, 1);
    assert_false(update(f, &one)); /* it does not come back */
    assert_int_equal(fx_int(f, "DBSIZE"), 3);
    arena_free(a);
}

static void a_cluster_holds_them(void **state)
{
    fx_become_cluster(*state);
    a_record_reads_back_as_it_was_put(state);
}

static void a_broken_record_is_no_record(void **state)
{
    struct arena *a = arena_new();
    static const char *const texts[] = {"", "{}", "[]", "{\"id\":\"x\"}", "{"};
    struct batch_record b;
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(texts); i++) {
        struct gw_error e = {0};

        assert_int_equal(
            batch_record_read(a, STR("o"), str_of(texts[i]), &b, &e),
            GW_INTERNAL);
    }
    arena_free(a);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_record_reads_back_as_it_was_put),
        TEST(what_is_final_stays_so),
        TEST(pages_are_exact_over_providers),
        TEST(one_that_cannot_be_read_is_in_no_page),
        TEST(the_largest_record_can_be_read),
        TEST(a_deleted_one_is_in_no_page),
        TEST(a_cluster_holds_them),
        cmocka_unit_test(a_broken_record_is_no_record),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
