#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "routing/vkey.h"

#define NOW 1764601200

static struct arena *arena;

static int setup(void **st)
{
    (void)st;
    arena = arena_new();
    return 0;
}

static int teardown(void **st)
{
    (void)st;
    arena_free(arena);
    return 0;
}

static void assert_str(struct str got, const char *want)
{
    assert_string_equal(arena_cstr(arena, got), want);
    assert_int_equal(got.n, strlen(want));
}

static struct json *parsed(const char *text)
{
    struct gw_error e = {0};
    struct json *v = json_parse(arena, str_of(text), &e);

    if (!v)
        fail_msg("%s: %s", e.message, text);
    return v;
}

/* The record that a request makes of an old one ("" none), or NULL and *e. */
static const char *build(const char *request, const char *old,
                         const char *team_id, struct gw_error *e)
{
    const char *text = NULL;
    struct buf b;

    *e = (struct gw_error){0};
    buf_init(&b, MIB);
    if (vteam_build(arena, parsed(request), old[0] ? parsed(old) : NULL,
                    str_of(team_id), NOW, &b, e) == GW_OK)
        text = arena_cstr(arena, buf_str(&b));
    buf_release(&b);
    return text;
}

static void test_all_members_are_read(void **st)
{
    struct gw_error e = {0};
    struct vteam t;

    (void)st;
    assert_int_equal(
        vteam_parse(
            arena,
            STR("{\"team_id\":\"red\",\"team_alias\":\"Red\",\"blocked\":true,"
                "\"operations\":[\"read\"],\"providers\":[\"a\"],"
                "\"purposes\":[\"batch\"],\"models\":[\"m\"],"
                "\"default_provider\":\"a\",\"file_expiry_seconds\":60,"
                "\"rpm_limit\":1,\"max_parallel_requests\":2,"
                "\"max_file_bytes\":3,\"max_files\":4,"
                "\"max_storage_bytes\":5,\"max_upload_bytes_per_day\":6,"
                "\"max_download_bytes_per_day\":7}"),
            &t, &e),
        GW_OK);
    assert_str(t.team_id, "red");
    assert_str(t.scope, "t:red");
    assert_str(t.team_alias, "Red");
    assert_true(t.blocked);
    assert_int_equal(t.operations, VKEY_READ);
    assert_str(t.providers.v[0], "a");
    assert_str(t.purposes.v[0], "batch");
    assert_str(t.models.v[0], "m");
    assert_str(t.default_provider, "a");
    assert_int_equal(t.file_expiry_s, 60);
    assert_int_equal(t.limits.rpm, 1);
    assert_int_equal(t.limits.parallel, 2);
    assert_int_equal(t.limits.file_bytes, 3);
    assert_int_equal(t.limits.files, 4);
    assert_int_equal(t.limits.storage_bytes, 5);
    assert_int_equal(t.limits.upload_day_bytes, 6);
    assert_int_equal(t.limits.download_day_bytes, 7);
}

static void test_a_broken_record_is_an_error_and_not_an_open_door(void **st)
{
    static const char *const records[] = {
        "",
        "[]",
        "{}",
        "{\"team_id\":\"\"}",
        "{\"team_id\":5}",
        "{\"team_id\":\"t\",\"blocked\":1}",
        "{\"team_id\":\"t\",\"providers\":\"a\"}",
        "{\"team_id\":\"t\",\"operations\":\"read\"}",
        "{\"team_id\":\"t\",\"max_files\":-1}",
        "{\"team_id\":\"t\",\"rpm_limit\":\"x\"}",
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(records); i++) {
        struct gw_error e = {0};
        struct vteam t;

        if (vteam_parse(arena, str_of(records[i]), &t, &e) == GW_OK)
            fail_msg("accepted: %s", records[i]);
        assert_int_equal(e.err, GW_INTERNAL);
    }
}

static void test_a_new_team_has_the_id_it_asks_for_or_the_one_given(void **st)
{
    struct gw_error e;

    (void)st;
    assert_string_equal(build("{\"team_id\":\"red\",\"max_storage_bytes\":"
                              "\"5GB\",\"models\":[\"m\"]}",
                              "", "", &e),
                        "{\"team_id\":\"red\",\"models\":[\"m\"],"
                        "\"max_storage_bytes\":5368709120,"
                        "\"created_at\":1764601200,"
                        "\"updated_at\":1764601200}");
    assert_string_equal(build("{\"team_alias\":\"Red\"}", "", "made-up", &e),
                        "{\"team_id\":\"made-up\",\"team_alias\":\"Red\","
                        "\"created_at\":1764601200,"
                        "\"updated_at\":1764601200}");
}

static void test_an_update_leaves_what_it_does_not_mention(void **st)
{
    struct gw_error e;

    (void)st;
    assert_string_equal(
        build("{\"team_id\":\"red\",\"max_files\":null,\"blocked\":true}",
              "{\"team_id\":\"red\",\"team_alias\":\"Red\",\"max_files\":5,"
              "\"created_at\":7,\"from_later\":[1]}",
              "", &e),
        "{\"team_id\":\"red\",\"team_alias\":\"Red\",\"blocked\":true,"
        "\"created_at\":7,\"updated_at\":1764601200,\"from_later\":[1]}");
}

static void test_litellm_s_other_members_are_dropped(void **st)
{
    struct gw_error e;

    (void)st;
    assert_string_equal(
        build("{\"members_with_roles\":[{\"role\":\"admin\",\"user_id\":"
              "\"u\"}],\"max_budget\":1.5,\"budget_duration\":\"1d\","
              "\"model_aliases\":{},\"tpm_limit\":5,\"guardrails\":[],"
              "\"organization_id\":null,\"team_member_permissions\":[]}",
              "", "red", &e),
        "{\"team_id\":\"red\",\"created_at\":1764601200,"
        "\"updated_at\":1764601200}");
}

static void test_values_of_the_wrong_kind_are_refused_by_name(void **st)
{
    static const struct {
        const char *request, *param;
    } cases[] = {
        {"{\"team_id\":5}", "team_id"},
        {"{\"team_id\":\"a b\"}", "team_id"},
        {"{\"team_id\":\"a}b\"}", "team_id"},
        {"{\"team_alias\":5}", "team_alias"},
        {"{\"max_file\":5}", "max_file"},
        {"{\"max_files\":0}", "max_files"},
        {"{\"max_storage_bytes\":\"5XB\"}", "max_storage_bytes"},
        {"{\"key_alias\":\"a\"}", "key_alias"},
        {"{\"user_id\":\"a\"}", "user_id"},
        {"{\"duration\":\"30d\"}", "duration"},
        {"{\"operations\":[\"fly\"]}", "operations"},
        {"[]", ""},
    };
    struct gw_error e;

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        if (build(cases[i].request, "", "t", &e))
            fail_msg("accepted: %s", cases[i].request);
        assert_int_equal(e.err, GW_INVALID_VALUE);
        assert_string_equal(e.param, cases[i].param);
    }
}

static void test_what_was_built_can_be_read_and_shown(void **st)
{
    struct gw_error e = {0};
    struct json_out j;
    struct vteam t;
    struct json *v;
    struct buf b;
    const char *record =
        build("{\"team_id\":\"red\",\"max_files\":\"7\"}", "", "", &e);

    (void)st;
    assert_int_equal(vteam_parse(arena, str_of(record), &t, &e), GW_OK);
    assert_int_equal(t.limits.files, 7);
    buf_init(&b, MIB);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    vteam_put_members(&j, parsed(record));
    json_close(&j);
    v = parsed(b.p);
    assert_str(json_str(json_get(v, "team_id")), "red");
    assert_true(json_is_array(json_get(v, "models")));
    assert_true(json_is_array(json_get(v, "members_with_roles")));
    assert_true(json_is_null(json_get(v, "rpm_limit")));
    assert_false(json_bool(json_get(v, "blocked"), true));
    assert_str(json_str(json_get(v, "created_at")), "2025-12-01T15:00:00.000Z");
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_members_are_read),
        cmocka_unit_test(test_a_broken_record_is_an_error_and_not_an_open_door),
        cmocka_unit_test(
            test_a_new_team_has_the_id_it_asks_for_or_the_one_given),
        cmocka_unit_test(test_an_update_leaves_what_it_does_not_mention),
        cmocka_unit_test(test_litellm_s_other_members_are_dropped),
        cmocka_unit_test(test_values_of_the_wrong_kind_are_refused_by_name),
        cmocka_unit_test(test_what_was_built_can_be_read_and_shown),
    };

    return cmocka_run_group_tests_name("vteam", tests, setup, teardown);
}
