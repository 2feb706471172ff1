/* Against a redis-server: kept objects are put, read, changed, paged. */
#include "tests/unit/redis_fixture.h"

#include "gateway/codec/fileid.h"
#include "gateway/store/kept_store.h"

struct got {
    bool is_done;
    enum gw_err err;
    bool found, at_end, is_known;
    struct kept_record one;
    char ids[200]; /* of a page, with spaces between */
};

static void on_got(void *arg, const struct kept_record *found,
                   const struct gw_error *e)
{
    struct got *g = arg;

    g->is_done = true;
    g->err = e->err;
    g->found = found != NULL;
    if (found)
        g->one = *found;
}

static void on_page(void *arg, struct kept_record *v, size_t n, bool at_end,
                    bool is_known, const struct gw_error *e)
{
    struct got *g = arg;
    size_t i, at = 0;

    g->is_done = true;
    g->err = e->err;
    g->at_end = at_end;
    g->is_known = is_known;
    for (i = 0; i < n; i++)
        at += (size_t)snprintf(g->ids + at, sizeof(g->ids) - at, "%s%.*s",
                               i ? " " : "", STR_ARG(v[i].id));
}

static struct kept_record sample(struct arena *a, const char *id,
                                 const char *provider, int64_t ms)
{
    static const unsigned char noise[FILEID_NOISE_BYTES];
    char ours[LIMIT_ID_BYTES + 1];

    fileid_make(FILEID_JOB, "x", ms, noise, ours);
    return (struct kept_record){
        .id = str_of(id),
        .kind = STR("vector_stores"),
        .owner = STR("t:{one} two"),
        .provider = str_of(provider),
        .upstream_id = str_of(id),
        .key_hash = STR("abc"),
        .ulid = arena_dup(a, str_of(strrchr(ours, '-') + 1)),
        .state = STR("{\"id\":\"\\u00e4\"}"),
    };
}

static bool put(struct fx *f, const struct kept_record *k)
{
    struct fx_done d = {0};

    (void)kept_store_put(f->r, k, fx_on_done, &d);
    return fx_changed(f, &d);
}

static struct got get(struct fx *f, struct arena *a, struct str owner,
                      struct str id)
{
    struct got g = {0};

    (void)kept_store_get(f->r, a, owner, id, on_got, &g);
    fx_until(f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_OK);
    return g;
}

static struct got ask(struct fx *f, struct arena *a, const struct kept_query *q)
{
    struct got g = {0};

    (void)kept_store_page(f->r, a, q, on_page, &g);
    fx_until(f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_OK);
    return g;
}

/* What "asc", a provider, after and before ("" for none) give, so many. */
static struct got page(struct fx *f, struct arena *a, const char *how,
                       const char *after, const char *before, size_t limit)
{
    struct kept_query q = {
        .owner = STR("t:{one} two"),
        .kind = STR("vector_stores"),
        .provider = strstr(how, "up") ? STR("up") : STR_NULL,
        .after = *after ? str_of(after) : STR_NULL,
        .before = *before ? str_of(before) : STR_NULL,
        .is_ascending = strstr(how, "asc") != NULL,
        .limit = limit,
    };
    return ask(f, a, &q);
}

static void a_record_reads_back_as_it_was_put(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct kept_record k = sample(a, "vs_1", "up", 1000);
    struct got g;

    assert_true(put(f, &k));
    assert_false(put(f, &k));
    g = get(f, a, k.owner, k.id);
    assert_true(g.found);
    assert_true(str_eq(g.one.id, k.id));
    assert_true(str_eq(g.one.kind, k.kind));
    assert_true(str_eq(g.one.owner, k.owner));
    assert_true(str_eq(g.one.provider, k.provider));
    assert_true(str_eq(g.one.upstream_id, k.upstream_id));
    assert_true(str_eq(g.one.key_hash, k.key_hash));
    assert_true(str_eq(g.one.ulid, k.ulid));
    assert_true(str_eq(g.one.state, k.state));
    assert_false(get(f, a, STR("t:other"), k.id).found);
    arena_free(a);
}

static void what_is_gone_is_not_brought_back(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct kept_record k = sample(a, "vs_gone", "up", 2000);
    struct fx_done d[3] = {{0}};

    assert_true(put(f, &k));
    k.state = STR("{}");
    (void)kept_store_update(f->r, &k, fx_on_done, &d[0]);
    assert_true(fx_changed(f, &d[0]));
    assert_true(str_eq(get(f, a, k.owner, k.id).one.state, k.state));
    (void)kept_store_delete(f->r, &k, fx_on_done, &d[1]);
    assert_true(fx_changed(f, &d[1]));
    (void)kept_store_update(f->r, &k, fx_on_done, &d[2]);
    assert_false(fx_changed(f, &d[2]));
    assert_false(get(f, a, k.owner, k.id).found);
    arena_free(a);
}

static void pages_follow_the_time_of_making(void **state)
{
    static const struct {
        const char *how, *after, *before;
        size_t limit;
        const char *ids;
        bool at_end;
    } cases[] = {
        {"desc", "", "", 2, "vs_b vs_m", false},
        {"desc", "vs_m", "", 2, "vs_z vs_a", true},
        {"desc", "", "vs_z", 4, "vs_b vs_m", true},
        {"desc", "vs_b", "vs_a", 1, "vs_m", false},
        {"asc", "", "", 4, "vs_a vs_z vs_m vs_b", true},
        {"asc", "vs_z", "", 1, "vs_m", false},
        {"asc", "vs_a", "vs_b", 4, "vs_z vs_m", true},
        {"desc up", "", "", 4, "vs_m vs_a", true},
        {"desc up", "vs_z", "", 4, "vs_a", true}, /* z is at another one */
    };
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct kept_record v[] = {
        sample(a, "vs_a", "up", 11000),
        sample(a, "vs_z", "other", 12000),
        sample(a, "vs_m", "up", 13000),
        sample(a, "vs_b", "other", 14000),
    };
    struct kept_query q = {.owner = v[0].owner, .kind = v[0].kind, .limit = 4};
    struct got g;
    size_t i;

    for (i = 0; i < COUNTOF(v); i++)
        assert_true(put(f, &v[i]));
    for (i = 0; i < COUNTOF(cases); i++) {
        g = page(f, a, cases[i].how, cases[i].after, cases[i].before,
                 cases[i].limit);
        assert_string_equal(g.ids, cases[i].ids);
        assert_true(g.is_known);
        assert_int_equal(g.at_end, cases[i].at_end);
    }
    q.behind = &v[2];
    g = ask(f, a, &q);
    assert_string_equal(g.ids, "vs_z vs_a");
    g = page(f, a, "desc", "vs_of_another", "", 4);
    assert_false(g.is_known);
    assert_string_equal(g.ids, "");
    assert_false(page(f, a, "asc", "vs_a", "nobody's", 4).is_known);
    arena_free(a);
}

static void all_of_an_owner_are_forgotten(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct kept_record v[] = {
        sample(a, "vs_1", "up", 1000),
        sample(a, "vs_2", "up", 2000),
        sample(a, "vs_3", "up", 3000),
    };
    struct fx_done d[2] = {{0}};

    v[1].kind = STR("threads");
    v[2].owner = STR("t:other");
    v[0].provider = STR("a{b}%");
    assert_true(put(f, &v[0]) && put(f, &v[1]) && put(f, &v[2]));
    (void)kept_store_forget(f->r, v[0].owner, v[0].kind, fx_on_done, &d[0]);
    assert_false(fx_changed(f, &d[0]));
    assert_false(get(f, a, v[0].owner, v[0].id).found);
    assert_true(get(f, a, v[1].owner, v[1].id).found);
    assert_true(get(f, a, v[2].owner, v[2].id).found);
    assert_string_equal(page(f, a, "desc", "", "", 4).ids, "");
    assert_true(put(f, &v[0])); /* nothing of it was left */
    assert_string_equal(page(f, a, "desc", "", "", 4).ids, "vs_1");
    arena_free(a);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_record_reads_back_as_it_was_put),
        TEST(what_is_gone_is_not_brought_back),
        TEST(pages_follow_the_time_of_making),
        TEST(all_of_an_owner_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
