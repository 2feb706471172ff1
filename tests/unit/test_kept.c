/* test_kept.c -- the kinds of kept objects, their names, when one is final. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/codec/fileid.h"
#include "gateway/flow/kept.h"

static const struct provider_conf up = {.name = "up", .ns = "up"};

static struct kept_record new_of(struct arena *a, const char *kind)
{
    struct kept_record k;

    kept_new(a, kept_kind(str_of(kind)), &up, STR("k:1"), STR("abc"), &k);
    return k;
}

static void every_kind_is_found_by_its_path(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; kept_kind_at(i); i++)
        assert_ptr_equal(kept_kind(str_of(kept_kind_at(i)->path)),
                         kept_kind_at(i));
    assert_true(i > 1);
    assert_null(kept_kind(STR("files")));
    assert_null(kept_kind(STR_NULL));
}

static void a_job_has_an_id_of_ours_and_others_keep_theirs(void **state)
{
    struct arena *a = arena_new();
    struct kept_record job = new_of(a, "fine_tuning/jobs");
    struct kept_record store = new_of(a, "vector_stores");
    struct gw_error e = {0};
    struct fileid id;

    (void)state;
    assert_int_equal(kept_name(&job, STR("ftjob-theirs"), &up, &e), GW_OK);
    assert_true(fileid_parse(FILEID_JOB, job.id, &id));
    assert_true(str_eq(id.ulid, job.ulid));
    assert_true(str_eq_c(id.ns, "up"));
    assert_true(str_eq_c(job.upstream_id, "ftjob-theirs"));
    assert_int_equal(kept_name(&store, STR("vs_1"), &up, &e), GW_OK);
    assert_true(str_eq_c(store.id, "vs_1"));
    assert_true(str_eq_c(store.upstream_id, "vs_1"));
    assert_int_equal(store.ulid.n, FILEID_ULID_CHARS);
    arena_free(a);
}

static void what_can_be_no_id_is_none(void **state)
{
    static const char *const ids[] = {"", "a b", "../x", "{x}", "a%", "\n"};
    struct arena *a = arena_new();
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(ids); i++) {
        struct kept_record k = new_of(a, "vector_stores");
        struct gw_error e = {0};

        assert_int_equal(kept_name(&k, str_of(ids[i]), &up, &e),
                         GW_UPSTREAM_BAD_RESPONSE);
    }
    arena_free(a);
}

static void a_state_that_is_too_long_is_not_kept(void **state)
{
    static char text[LIMIT_KEPT_STATE_BYTES + 1];
    struct arena *a = arena_new();
    struct kept_record k = new_of(a, "vector_stores");

    (void)state;
    memset(text, ' ', sizeof(text));
    assert_true(kept_see(&k, STR("{}")));
    assert_false(kept_see(&k, STR("{}")));
    assert_true(kept_see(&k, str_make(text, sizeof(text) - 1)));
    assert_true(kept_see(&k, str_make(text, sizeof(text))));
    assert_int_equal(k.state.n, 0);
    arena_free(a);
}

static void a_job_that_is_over_is_final(void **state)
{
    static const struct {
        const char *kind, *state;
        bool is_final;
    } cases[] = {
        {"fine_tuning/jobs", "{\"status\":\"succeeded\"}", true},
        {"fine_tuning/jobs", "{\"status\":\"failed\"}", true},
        {"fine_tuning/jobs", "{\"status\":\"cancelled\"}", true},
        {"fine_tuning/jobs", "{\"status\":\"running\"}", false},
        {"fine_tuning/jobs", "{\"status\":1}", false},
        {"fine_tuning/jobs", "{", false},
        {"fine_tuning/jobs", "", false},
        {"vector_stores", "{\"status\":\"failed\"}", false},
    };
    struct arena *a = arena_new();
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(cases); i++) {
        struct kept_record k = new_of(a, cases[i].kind);

        k.state = str_of(cases[i].state);
        assert_int_equal(kept_is_final(a, &k), cases[i].is_final);
    }
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_found_by_its_path),
        cmocka_unit_test(a_job_has_an_id_of_ours_and_others_keep_theirs),
        cmocka_unit_test(what_can_be_no_id_is_none),
        cmocka_unit_test(a_state_that_is_too_long_is_not_kept),
        cmocka_unit_test(a_job_that_is_over_is_final),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
