/* test_object_store.c -- whose an object is, in a live Redis. */
#include "redis_fixture.h"

#include "gateway/store/object_store.h"
#include "gateway/store/schema.h"

#define ID "resp_68af0123456789"
#define LIFE_MS 60000

struct got {
    bool is_done, found;
    enum gw_err err;
    struct object_record one;
};

static void on_got(void *arg, const struct object_record *found,
                   const struct gw_error *e)
{
    struct got *g = arg;

    g->is_done = true;
    g->err = e->err;
    g->found = found != NULL;
    if (found)
        g->one = *found;
}

static void on_put(void *arg, struct str text, const struct gw_error *e)
{
    (void)text;
    assert_int_equal(e->err, GW_OK);
    *(bool *)arg = true;
}

static void put(struct fx *f, const char *owner, const char *provider)
{
    struct object_record o = {.id = STR(ID),
                              .kind = STR("response"),
                              .owner = str_of(owner),
                              .provider = str_of(provider)};
    bool is_done = false;

    (void)object_store_put(f->r, &o, LIFE_MS, on_put, &is_done);
    fx_until(f, fx_is_set, &is_done);
}

static struct got get(struct fx *f, struct arena *a, const char *owner)
{
    struct got g = {0};

    (void)object_store_get(f->r, a, str_of(owner), STR(ID), on_got, &g);
    fx_until(f, fx_is_set, &g.is_done);
    return g;
}

static void an_object_is_found_by_its_owner_alone(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct got g;

    put(f, "t:{one} two", "up");
    g = get(f, a, "t:{one} two");
    assert_true(g.found);
    assert_true(str_eq(g.one.provider, STR("up")));
    assert_true(str_eq(g.one.kind, STR("response")));
    assert_true(str_eq(g.one.id, STR(ID)));
    assert_false(get(f, a, "t:{one}").found);
    assert_false(get(f, a, "k:other").found);
    arena_free(a);
}

static void it_is_forgotten_in_its_time(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    int64_t left;

    put(f, "k:1", "up");
    left = fx_int(f, "PTTL fm:{o:k:1}:x:" ID);
    assert_true(left > 0 && left <= LIFE_MS);
    arena_free(a);
}

static void it_is_deleted_once(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct fx_done first = {0}, second = {0};

    put(f, "k:1", "up");
    (void)object_store_delete(f->r, STR("k:2"), STR(ID), fx_on_done, &first);
    assert_false(fx_changed(f, &first));
    first = (struct fx_done){0};
    (void)object_store_delete(f->r, STR("k:1"), STR(ID), fx_on_done, &first);
    assert_true(fx_changed(f, &first));
    (void)object_store_delete(f->r, STR("k:1"), STR(ID), fx_on_done, &second);
    assert_false(fx_changed(f, &second));
    assert_false(get(f, a, "k:1").found);
    arena_free(a);
}

static void a_broken_record_is_an_error(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();

    fx_ok(f, "SET fm:{o:k:1}:x:" ID " {}");
    assert_int_equal(get(f, a, "k:1").err, GW_INTERNAL);
    arena_free(a);
}

static void what_is_no_id_is_told(void **state)
{
    static char long_one[LIMIT_OBJECT_ID_BYTES + 1];

    (void)state;
    memset(long_one, 'a', sizeof(long_one));
    assert_true(object_is_id(STR(ID)));
    assert_true(object_is_id(str_make(long_one, LIMIT_OBJECT_ID_BYTES)));
    assert_false(object_is_id(str_make(long_one, sizeof(long_one))));
    assert_false(object_is_id(STR("")));
    assert_false(object_is_id(STR("resp_1/../x")));
    assert_false(object_is_id(STR("resp_1%")));
    assert_false(object_is_id(STR("r:1")));
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_object_is_found_by_its_owner_alone),
        TEST(it_is_forgotten_in_its_time),
        TEST(it_is_deleted_once),
        TEST(a_broken_record_is_an_error),
        cmocka_unit_test(what_is_no_id_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
