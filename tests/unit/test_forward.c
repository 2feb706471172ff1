/* test_forward.c -- how much a call that is passed on asks for at once, and
 * what it leaves behind. */
#include "redis_fixture.h"

#include "gateway/codec/fileid.h"
#include "gateway/flow/forward_impl.h"

#define IDS 1000

static void note(void *arg)
{
    *(bool *)arg = true;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static void its_turn_goes_with_it(void **state)
{
    struct services sv = {.loop = loop_new()};
    struct txn t = {.sv = &sv};
    struct forward f = {.t = &t};
    struct loop_task last = {0};
    bool has_run = false;

    (void)state;
    loop_defer(sv.loop, &f.turn, note, &has_run);
    forward_events_release(&f);
    assert_false(f.turn.is_queued);
    loop_defer(sv.loop, &last, stop, sv.loop);
    loop_post(sv.loop, stop, sv.loop);
    loop_run(sv.loop);
    assert_false(has_run);
    loop_free(sv.loop);
}

static size_t under_way(const struct forward *f)
{
    size_t n = 0;

    for (size_t i = 0; i < f->nrefs; i++)
        n += f->refs[i].call != NULL;
    return n;
}

/* A request that names many files. */
static void name_files(struct forward *f)
{
    struct arena *a = f->t->arena;
    char id[LIMIT_ID_BYTES + 1];

    f->asked.n = IDS;
    f->asked.v = arena_alloc(a, IDS * sizeof(f->asked.v[0]));
    for (size_t i = 0; i < IDS; i++) {
        fileid_mint(FILEID_FILE, "up", 1, id);
        f->asked.v[i] = (struct id_site){
            .kind = ID_FILE,
            .value = arena_dup(a, str_of(id)),
            .path = STR("file_id"),
        };
    }
}

static void few_of_many_ids_are_looked_up_at_once(void **state)
{
    static const struct forward_call call = {.method = "POST", .path = "x"};
    struct fx fx = {.loop = loop_new(), .metrics = metrics_new()};
    struct vkey key = {.owner = STR("k:1")};
    struct services sv = {.loop = fx.loop};
    struct txn t = {.sv = &sv, .vkey = &key, .arena = arena_new()};
    struct forward f = {.t = &t, .call = &call};

    (void)state;
    t.state = TXN_BODY;
    sv.redis = fx_open(&fx, "unix:///nowhere/at/all", 1000);
    name_files(&f);
    forward_refs_look_up(&f);
    assert_int_equal(f.nrefs, IDS);
    assert_int_equal(f.nwaiting, LIMIT_LOOK_UPS);
    assert_int_equal(under_way(&f), LIMIT_LOOK_UPS);
    forward_refs_cancel(&f);
    assert_int_equal(under_way(&f), 0);
    redis_close(sv.redis);
    arena_free(t.arena);
    metrics_free(fx.metrics);
    loop_free(fx.loop);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_turn_goes_with_it),
        cmocka_unit_test(few_of_many_ids_are_looked_up_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
