#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "routing/vkey.h"

#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
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

static struct vkey key_of(const char *record)
{
    struct gw_error e = {0};
    struct vkey k;

    if (vkey_parse(arena, HASH, str_of(record), &k, &e) != GW_OK)
        fail_msg("%s", e.message);
    return k;
}

/* The record that a request makes of an old one ("" none), or NULL and *e. */
static const char *build(const char *request, const char *old,
                         struct gw_error *e)
{
    const struct json *before = old[0] ? parsed(old) : NULL;
    struct vkey_build how = {
        .key_name = before ? STR("") : STR("sk-...wxyz"),
        .now_s = NOW,
    };
    struct buf b;
    const char *text = NULL;

    *e = (struct gw_error){0};
    buf_init(&b, MIB);
    if (vkey_build(arena, parsed(request), before, &how, &b, e) == GW_OK)
        text = arena_cstr(arena, buf_str(&b));
    buf_release(&b);
    return text;
}

static void assert_builds(const char *request, const char *old,
                          const char *want)
{
    struct gw_error e;
    const char *got = build(request, old, &e);

    if (!got)
        fail_msg("%s: %s", request, e.message);
    assert_string_equal(got, want);
}

static void assert_refused(const char *request, const char *param)
{
    struct gw_error e;

    if (build(request, "", &e))
        fail_msg("accepted: %s", request);
    assert_int_equal(e.err, GW_INVALID_VALUE);
    assert_string_equal(e.param, param);
}

/* --- reading --- */

static void test_an_empty_record_allows_everything(void **st)
{
    struct vkey k = key_of("{}");

    (void)st;
    assert_string_equal(k.hash, HASH);
    assert_false(k.blocked);
    assert_int_equal(k.expires_s, 0);
    assert_int_equal(k.operations, VKEY_OPS_ALL);
    assert_int_equal(k.providers.n + k.purposes.n + k.models.n + k.tags.n, 0);
    assert_str(k.default_provider, "");
    assert_true(vkey_may_use(&k, NULL, STR("anything")));
}

static void test_all_members_are_read(void **st)
{
    struct vkey k = key_of(
        "{\"key_alias\":\"ci\",\"key_name\":\"sk-...abcd\",\"team_id\":\"t1\","
        "\"user_id\":\"u1\",\"blocked\":true,\"expires\":1764601201,"
        "\"created_at\":1764601199,\"operations\":[\"create\",\"list\"],"
        "\"providers\":[\"a\",\"b\"],\"purposes\":[\"batch\"],"
        "\"models\":[\"m\"],\"tags\":[\"x\",\"y\"],\"default_provider\":\"b\","
        "\"max_file_bytes\":5,\"file_expiry_seconds\":60,\"rpm_limit\":7,"
        "\"max_parallel_requests\":8,\"max_files\":9,"
        "\"max_storage_bytes\":10,\"max_upload_bytes_per_day\":11,"
        "\"max_download_bytes_per_day\":12,\"max_active_batches\":13,"
        "\"max_batch_lines_per_day\":14,\"key_id\":\"first\"}");

    (void)st;
    assert_str(k.key_alias, "ci");
    assert_str(k.key_name, "sk-...abcd");
    assert_str(k.team_id, "t1");
    assert_str(k.user_id, "u1");
    assert_true(k.blocked);
    assert_int_equal(k.expires_s, 1764601201);
    assert_int_equal(k.created_s, 1764601199);
    assert_int_equal(k.operations, VKEY_CREATE | VKEY_LIST);
    assert_int_equal(k.providers.n, 2);
    assert_str(k.providers.v[1], "b");
    assert_str(k.purposes.v[0], "batch");
    assert_str(k.models.v[0], "m");
    assert_str(k.tags.v[1], "y");
    assert_str(k.default_provider, "b");
    assert_int_equal(k.limits.file_bytes, 5);
    assert_int_equal(k.file_expiry_s, 60);
    assert_int_equal(k.limits.rpm, 7);
    assert_int_equal(k.limits.parallel, 8);
    assert_int_equal(k.limits.files, 9);
    assert_int_equal(k.limits.storage_bytes, 10);
    assert_int_equal(k.limits.upload_day_bytes, 11);
    assert_int_equal(k.limits.download_day_bytes, 12);
    assert_int_equal(k.limits.active_batches, 13);
    assert_int_equal(k.limits.batch_lines_day, 14);
    assert_str(k.id, "first");
}

static void test_the_id_is_the_first_hash_and_names_owner_and_quotas(void **st)
{
    (void)st;
    assert_str(key_of("{}").id, HASH);
    assert_str(key_of("{}").scope, "k:" HASH);
    assert_str(key_of("{\"key_id\":\"abc\"}").owner, "k:abc");
    assert_str(key_of("{\"key_id\":\"abc\",\"team_id\":\"t\"}").scope, "k:abc");
}

static void test_the_owner_is_the_team_else_the_user_else_the_key(void **st)
{
    (void)st;
    assert_str(key_of("{\"team_id\":\"t\",\"user_id\":\"u\"}").owner, "t:t");
    assert_str(key_of("{\"user_id\":\"u\"}").owner, "u:u");
    assert_str(key_of("{\"team_id\":\"\"}").owner, "k:" HASH);
}

static void test_a_broken_record_is_an_error_and_not_an_open_door(void **st)
{
    static const char *const records[] = {
        "",
        "nonsense",
        "[]",
        "{\"providers\":\"a\"}",
        "{\"providers\":[1]}",
        "{\"providers\":{\"a\":1}}",
        "{\"operations\":true}",
        "{\"blocked\":\"false\"}",
        "{\"blocked\":0}",
        "{\"expires\":\"soon\"}",
        "{\"expires\":-1}",
        "{\"team_id\":5}",
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(records); i++) {
        struct gw_error e = {0};
        struct vkey k;

        if (vkey_parse(arena, HASH, str_of(records[i]), &k, &e) == GW_OK)
            fail_msg("accepted: %s", records[i]);
        assert_int_equal(e.err, GW_INTERNAL);
    }
}

static void test_an_empty_list_may_have_become_an_object(void **st)
{
    struct vkey k = key_of("{\"providers\":{},\"operations\":{}}");

    (void)st;
    assert_int_equal(k.providers.n, 0);
    assert_int_equal(k.operations, VKEY_OPS_ALL);
}

static void test_an_operation_of_a_later_version_allows_nothing(void **st)
{
    (void)st;
    assert_int_equal(key_of("{\"operations\":[\"share\"]}").operations, 0);
    assert_int_equal(key_of("{\"operations\":[\"share\",\"read\"]}").operations,
                     VKEY_READ);
}

static void test_every_cut_of_a_record_is_refused(void **st)
{
    struct str whole =
        STR("{\"team_id\":\"t\",\"providers\":[\"a\"],\"blocked\":false}");

    (void)st;
    for (size_t n = 0; n < whole.n; n++) {
        struct gw_error e = {0};
        struct vkey k;

        if (vkey_parse(arena, HASH, str_make(whole.p, n), &k, &e) == GW_OK)
            fail_msg("accepted with %zu bytes", n);
    }
}

/* --- checking --- */

static void test_a_blocked_key_is_refused(void **st)
{
    struct vkey k = key_of("{\"blocked\":true}");
    struct gw_error e = {0};

    (void)st;
    assert_int_equal(vkey_check(&k, NULL, NOW, &e), GW_KEY_BLOCKED);
}

static void test_a_key_expires_at_its_second(void **st)
{
    struct vkey k = key_of("{\"expires\":1764601200}");
    struct gw_error e = {0};

    (void)st;
    assert_int_equal(vkey_check(&k, NULL, NOW - 1, &e), GW_OK);
    assert_int_equal(vkey_check(&k, NULL, NOW, &e), GW_KEY_EXPIRED);
}

static void test_each_operation_is_checked_on_its_own(void **st)
{
    static const char *const names[] = {"create", "read",    "list",
                                        "delete", "content", "batch"};

    (void)st;
    for (size_t i = 0; i < COUNTOF(names); i++) {
        struct vkey k = key_of(
            arena_printf(arena, "{\"operations\":[\"%s\"]}", names[i]).p);

        for (size_t n = 0; n < COUNTOF(names); n++) {
            struct gw_error e = {0};

            assert_int_equal(
                vkey_check_op(&k, NULL, (enum vkey_ops)(1 << n), &e),
                n == i ? GW_OK : GW_OPERATION_NOT_ALLOWED);
        }
    }
}

static void test_a_purpose_outside_the_list_is_refused_by_name(void **st)
{
    struct vkey k = key_of("{\"purposes\":[\"batch\",\"vision\"]}");
    struct vkey any = key_of("{}");
    struct gw_error e = {0};

    (void)st;
    assert_int_equal(vkey_check_purpose(&k, NULL, STR("vision"), &e), GW_OK);
    assert_int_equal(vkey_check_purpose(&any, NULL, STR("x"), &e), GW_OK);
    assert_int_equal(vkey_check_purpose(&k, NULL, STR("batc"), &e),
                     GW_PURPOSE_NOT_ALLOWED);
    assert_string_equal(e.param, "purpose");
    e = (struct gw_error){0};
    assert_int_equal(vkey_check_purpose(&k, NULL, STR(""), &e),
                     GW_PURPOSE_NOT_ALLOWED);
}

static void test_a_provider_must_be_in_the_list_exactly(void **st)
{
    struct vkey k = key_of("{\"providers\":[\"openai\",\"local\"]}");

    (void)st;
    assert_true(vkey_may_use(&k, NULL, STR("local")));
    assert_false(vkey_may_use(&k, NULL, STR("loca")));
    assert_false(vkey_may_use(&k, NULL, STR("locals")));
    assert_false(vkey_may_use(&k, NULL, STR("")));
}

/* --- key and team together --- */

static struct vteam team_of(const char *record)
{
    struct gw_error e = {0};
    struct vteam t;

    if (vteam_parse(arena, str_of(record), &t, &e) != GW_OK)
        fail_msg("%s", e.message);
    return t;
}

static void test_a_key_of_a_blocked_team_is_refused_and_told_why(void **st)
{
    struct vteam t = team_of("{\"team_id\":\"red\",\"blocked\":true}");
    struct vkey k = key_of("{\"team_id\":\"red\"}");
    struct gw_error e = {0};

    (void)st;
    assert_int_equal(vkey_check(&k, NULL, NOW, &e), GW_OK);
    assert_int_equal(vkey_check(&k, &t, NOW, &e), GW_KEY_BLOCKED);
    assert_string_equal(e.message, "the team 'red' of this API key is blocked");
}

static void test_an_operation_must_be_allowed_by_both(void **st)
{
    struct vteam t =
        team_of("{\"team_id\":\"t\",\"operations\":[\"read\",\"list\"]}");
    struct vkey k = key_of("{\"operations\":[\"read\",\"delete\"]}");
    struct gw_error e = {0};

    (void)st;
    assert_int_equal(vkey_check_op(&k, &t, VKEY_READ, &e), GW_OK);
    assert_int_equal(vkey_check_op(&k, &t, VKEY_LIST, &e),
                     GW_OPERATION_NOT_ALLOWED);
    assert_string_equal(e.message, "this API key may not list files");
    err_clear(&e);
    assert_int_equal(vkey_check_op(&k, &t, VKEY_DELETE, &e),
                     GW_OPERATION_NOT_ALLOWED);
    assert_string_equal(e.message,
                        "the team of this API key may not delete files");
}

static void test_providers_and_purposes_must_be_allowed_by_both(void **st)
{
    struct vteam t = team_of("{\"team_id\":\"t\",\"providers\":[\"a\",\"b\"],"
                             "\"purposes\":[\"batch\"]}");
    struct vkey k = key_of("{\"providers\":[\"b\",\"c\"]}"), any = key_of("{}");
    struct gw_error e = {0};

    (void)st;
    assert_true(vkey_may_use(&k, &t, STR("b")));
    assert_false(vkey_may_use(&k, &t, STR("a")));
    assert_false(vkey_may_use(&k, &t, STR("c")));
    assert_true(vkey_may_use(&any, &t, STR("a")));
    assert_false(vkey_may_use(&any, &t, STR("c")));
    assert_int_equal(vkey_check_purpose(&any, &t, STR("batch"), &e), GW_OK);
    assert_int_equal(vkey_check_purpose(&any, &t, STR("vision"), &e),
                     GW_PURPOSE_NOT_ALLOWED);
    assert_string_equal(
        e.message, "the team of this API key may not use the purpose 'vision'");
}

static void test_a_model_must_be_allowed_by_both(void **st)
{
    static const struct {
        const char *key, *team;
        bool is_allowed;
    } cases[] = {
        {"[]", "[]", true},
        {"[\"gpt\"]", "[]", true},
        {"[\"gpt\"]", "[\"gpt\"]", true},
        {"[\"gpt\"]", "[\"llama\"]", false},
        {"[]", "[\"llama\"]", false},
        {"[\"llama\"]", "[]", false},
        {"[\"all-team-models\"]", "[\"gpt\"]", true},
        {"[\"all-team-models\"]", "[\"llama\"]", false},
        {"[\"all-proxy-models\"]", "[]", true},
        {"[\"no-default-models\"]", "[]", false},
        {"[\"g*\"]", "[\"*t\"]", true},
        {"[\"openai/*\"]", "[]", false},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct vkey k =
            key_of(arena_printf(arena, "{\"models\":%s}", cases[i].key).p);
        struct vteam t =
            team_of(arena_printf(arena, "{\"team_id\":\"t\",\"models\":%s}",
                                 cases[i].team)
                        .p);
        struct gw_error e = {0};

        if ((vkey_check_model(&k, &t, STR("gpt"), &e) == GW_OK) !=
            cases[i].is_allowed)
            fail_msg("%s %s", cases[i].key, cases[i].team);
    }
}

static void test_defaults_are_the_keys_before_the_teams(void **st)
{
    struct vteam t = team_of("{\"team_id\":\"t\",\"default_provider\":\"b\","
                             "\"file_expiry_seconds\":20}");
    struct vkey own =
        key_of("{\"default_provider\":\"a\",\"file_expiry_seconds\":10}");
    struct vkey none = key_of("{}");

    (void)st;
    assert_str(vkey_default_provider(&own, &t), "a");
    assert_str(vkey_default_provider(&none, &t), "b");
    assert_str(vkey_default_provider(&none, NULL), "");
    assert_int_equal(vkey_file_expiry(&own, &t), 10);
    assert_int_equal(vkey_file_expiry(&none, &t), 20);
    assert_int_equal(vkey_file_expiry(&none, NULL), 0);
}

static void test_the_smaller_bound_on_a_file_holds(void **st)
{
    struct vteam t = team_of("{\"team_id\":\"t\",\"max_file_bytes\":20}");
    struct vkey less = key_of("{\"max_file_bytes\":10}");
    struct vkey more = key_of("{\"max_file_bytes\":30}"), none = key_of("{}");

    (void)st;
    assert_int_equal(vkey_max_file_bytes(&less, &t), 10);
    assert_int_equal(vkey_max_file_bytes(&more, &t), 20);
    assert_int_equal(vkey_max_file_bytes(&none, &t), 20);
    assert_int_equal(vkey_max_file_bytes(&more, NULL), 30);
    assert_int_equal(vkey_max_file_bytes(&none, NULL), 0);
}

/* --- building --- */

static void test_an_empty_request_makes_a_key(void **st)
{
    (void)st;
    assert_builds("{}", "",
                  "{\"key_name\":\"sk-...wxyz\",\"created_at\":1764601200,"
                  "\"updated_at\":1764601200}");
}

static void test_all_members_are_written_in_the_table_s_order(void **st)
{
    (void)st;
    assert_builds(
        "{\"file_expiry_seconds\":86400,\"max_download_bytes_per_day\":\"1KB\","
        "\"max_upload_bytes_per_day\":1,\"max_storage_bytes\":\"1.5GB\","
        "\"max_files\":\"10\",\"max_file_bytes\":512,"
        "\"default_provider\":\"a\",\"operations\":[\"create\",\"batch\"],"
        "\"purposes\":[\"batch\"],\"providers\":[\"a\"],"
        "\"max_parallel_requests\":3,\"rpm_limit\":60,\"blocked\":false,"
        "\"permissions\":{\"x\":true},\"tags\":[\"t\"],"
        "\"metadata\":{\"a\":[]},\"models\":[\"m\"],\"user_id\":\"u@h\","
        "\"team_id\":\"t-1\",\"key_alias\":\"my key\",\"duration\":\"30d\"}",
        "",
        "{\"key_name\":\"sk-...wxyz\",\"key_alias\":\"my key\","
        "\"team_id\":\"t-1\",\"user_id\":\"u@h\",\"models\":[\"m\"],"
        "\"metadata\":{\"a\":[]},\"tags\":[\"t\"],\"permissions\":{\"x\":true},"
        "\"blocked\":false,\"rpm_limit\":60,\"max_parallel_requests\":3,"
        "\"providers\":[\"a\"],\"purposes\":[\"batch\"],"
        "\"operations\":[\"create\",\"batch\"],\"default_provider\":\"a\","
        "\"max_file_bytes\":512,\"max_files\":10,"
        "\"max_storage_bytes\":1610612736,\"max_upload_bytes_per_day\":1,"
        "\"max_download_bytes_per_day\":1024,\"file_expiry_seconds\":86400,"
        "\"expires\":1767193200,\"created_at\":1764601200,"
        "\"updated_at\":1764601200}");
}

static void test_what_was_built_can_be_read(void **st)
{
    struct gw_error e;
    struct vkey k = key_of(build("{\"team_id\":\"t\",\"operations\":[\"read\"],"
                                 "\"providers\":[\"a\"],\"duration\":\"1h\"}",
                                 "", &e));

    (void)st;
    assert_str(k.owner, "t:t");
    assert_int_equal(k.operations, VKEY_READ);
    assert_str(k.providers.v[0], "a");
    assert_int_equal(k.expires_s, NOW + 3600);
    assert_int_equal(k.created_s, NOW);
}

static void test_an_update_leaves_what_it_does_not_mention(void **st)
{
    (void)st;
    assert_builds("{\"key_alias\":\"b\",\"tags\":null,\"models\":[]}",
                  "{\"key_name\":\"sk-...abcd\",\"key_alias\":\"a\","
                  "\"models\":[\"m\"],\"tags\":[\"x\"],\"blocked\":true,"
                  "\"expires\":1764609999,\"created_at\":1764600000,"
                  "\"updated_at\":1764600000,\"from_later\":[1]}",
                  "{\"key_name\":\"sk-...abcd\",\"key_alias\":\"b\","
                  "\"blocked\":true,\"expires\":1764609999,"
                  "\"created_at\":1764600000,\"updated_at\":1764601200,"
                  "\"from_later\":[1]}");
}

static void test_a_duration_of_null_or_minus_one_means_for_ever(void **st)
{
    static const char *const requests[] = {
        "{\"duration\":null}", "{\"duration\":\"\"}", "{\"duration\":\"-1\"}"};

    (void)st;
    for (size_t i = 0; i < COUNTOF(requests); i++)
        assert_builds(requests[i],
                      "{\"key_name\":\"n\",\"expires\":1764609999,"
                      "\"created_at\":5}",
                      "{\"key_name\":\"n\",\"created_at\":5,"
                      "\"updated_at\":1764601200}");
}

static int64_t ends(const char *duration, int64_t now_s)
{
    struct vkey_build how = {.now_s = now_s};
    struct gw_error e = {0};
    struct vkey k;
    struct buf b;

    buf_init(&b, MIB);
    if (vkey_build(
            arena,
            parsed(arena_printf(arena, "{\"duration\":\"%s\"}", duration).p),
            NULL, &how, &b, &e) != GW_OK)
        fail_msg("%s: %s", duration, e.message);
    k = key_of(arena_cstr(arena, buf_str(&b)));
    buf_release(&b);
    return k.expires_s;
}

static void test_durations_are_written_as_litellm_writes_them(void **st)
{
    static const struct {
        const char *text;
        int64_t s;
    } cases[] = {{"30s", 30},         {"30m", 1800},      {"12h", 43200},
                 {"30d", 30 * 86400}, {"2w", 14 * 86400}, {"90", 90}};

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++)
        assert_int_equal(ends(cases[i].text, NOW) - NOW, cases[i].s);
}

#define NOON(days) ((int64_t)(days)*86400 + 43200)

static void test_a_month_ends_on_the_same_day_or_on_the_months_last(void **st)
{
    (void)st;
    /* 2026-01-31, then 02-28, 03-31, 04-30, 2027-01-31, 2028-02-29. */
    assert_int_equal(ends("1mo", NOON(20484)), NOON(20512));
    assert_int_equal(ends("2mo", NOON(20484)), NOON(20543));
    assert_int_equal(ends("3mo", NOON(20484)), NOON(20573));
    assert_int_equal(ends("12mo", NOON(20484)), NOON(20849));
    assert_int_equal(ends("25mo", NOON(20484)), NOON(21243));
    /* 2025-12-15, then 2026-01-15. */
    assert_int_equal(ends("1mo", NOON(20437)), NOON(20468));
}

static void test_a_new_secret_leaves_the_id_and_what_was_set(void **st)
{
    struct vkey_build how = {
        .key_name = STR("sk-...new1"), .key_id = STR(HASH), .now_s = NOW};
    struct gw_error e = {0};
    struct buf b;

    (void)st;
    buf_init(&b, MIB);
    assert_int_equal(
        vkey_build(arena, NULL,
                   parsed("{\"key_name\":\"sk-...old1\",\"max_files\":7,"
                          "\"created_at\":5}"),
                   &how, &b, &e),
        GW_OK);
    assert_string_equal(b.p,
                        "{\"key_id\":\"" HASH "\",\"key_name\":\"sk-...new1\","
                        "\"max_files\":7,\"created_at\":5,"
                        "\"updated_at\":1764601200}");
    how = (struct vkey_build){.now_s = NOW};
    assert_builds("{\"max_files\":8}", arena_cstr(arena, buf_str(&b)),
                  "{\"key_id\":\"" HASH "\",\"key_name\":\"sk-...new1\","
                  "\"max_files\":8,\"created_at\":5,"
                  "\"updated_at\":1764601200}");
    buf_release(&b);
}

static void test_litellm_s_other_members_are_dropped(void **st)
{
    (void)st;
    assert_builds("{\"key\":\"sk-x\",\"max_budget\":10.5,"
                  "\"budget_duration\":\"30d\",\"tpm_limit\":1,"
                  "\"aliases\":{},\"config\":{},\"spend\":0,"
                  "\"key_type\":\"default\",\"send_invite_email\":false,"
                  "\"soft_budget\":null,\"guardrails\":[],"
                  "\"allowed_routes\":[],\"object_permission\":{},"
                  "\"auto_rotate\":true,\"rotation_interval\":\"30d\"}",
                  "",
                  "{\"key_name\":\"sk-...wxyz\",\"created_at\":1764601200,"
                  "\"updated_at\":1764601200}");
}

static void test_values_of_the_wrong_kind_are_refused_by_name(void **st)
{
    static const struct {
        const char *request, *param;
    } cases[] = {
        {"{\"max_file_byte\":1}", "max_file_byte"},
        {"{\"expires\":1}", "expires"},
        {"{\"key_alias\":5}", "key_alias"},
        {"{\"key_alias\":\"a\\nb\"}", "key_alias"},
        {"{\"team_id\":\"a b\"}", "team_id"},
        {"{\"team_id\":\"a}b\"}", "team_id"},
        {"{\"user_id\":\"{b\"}", "user_id"},
        {"{\"models\":\"m\"}", "models"},
        {"{\"models\":[1]}", "models"},
        {"{\"models\":[\"\"]}", "models"},
        {"{\"models\":{}}", "models"},
        {"{\"metadata\":[]}", "metadata"},
        {"{\"permissions\":\"x\"}", "permissions"},
        {"{\"blocked\":1}", "blocked"},
        {"{\"blocked\":\"true\"}", "blocked"},
        {"{\"rpm_limit\":-1}", "rpm_limit"},
        {"{\"rpm_limit\":\"many\"}", "rpm_limit"},
        {"{\"rpm_limit\":\"1KB\"}", "rpm_limit"},
        {"{\"rpm_limit\":0}", "rpm_limit"},
        {"{\"key_id\":\"a\"}", "key_id"},
        {"{\"team_alias\":\"a\"}", "team_alias"},
        {"{\"max_file_bytes\":0}", "max_file_bytes"},
        {"{\"max_file_bytes\":\"1XB\"}", "max_file_bytes"},
        {"{\"max_files\":4294967296}", "max_files"},
        {"{\"operations\":[\"create\",\"write\"]}", "operations"},
        {"{\"file_expiry_seconds\":0}", "file_expiry_seconds"},
        {"{\"duration\":30}", "duration"},
        {"{\"duration\":\"30x\"}", "duration"},
        {"{\"duration\":\"0s\"}", "duration"},
        {"{\"duration\":\"40000d\"}", "duration"},
        {"{\"duration\":\"0mo\"}", "duration"},
        {"{\"duration\":\"-1mo\"}", "duration"},
        {"{\"duration\":\"1201mo\"}", "duration"},
        {"{\"duration\":\"mo\"}", "duration"},
        {"{\"duration\":\"w\"}", "duration"},
        {"{\"duration\":\"9999999w\"}", "duration"},
        {"[]", ""},
        {"\"x\"", ""},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++)
        assert_refused(cases[i].request, cases[i].param);
}

static void test_texts_and_lists_are_bounded(void **st)
{
    struct buf b;

    (void)st;
    buf_init(&b, MIB);
    buf_printf(&b, "{\"key_alias\":\"%0257d\"}", 1);
    assert_refused(b.p, "key_alias");
    buf_clear(&b);
    buf_printf(&b, "{\"team_id\":\"%0129d\"}", 1);
    assert_refused(b.p, "team_id");
    buf_clear(&b);
    buf_add_c(&b, "{\"tags\":[\"0\"");
    for (int i = 1; i <= 256; i++)
        buf_printf(&b, ",\"%d\"", i);
    buf_add_c(&b, "]}");
    assert_refused(b.p, "tags");
    buf_release(&b);
}

static void test_a_record_that_does_not_fit_is_refused(void **st)
{
    struct vkey_build how = {.key_name = STR("sk-...wxyz"), .now_s = NOW};
    struct gw_error e = {0};
    struct buf b;

    (void)st;
    buf_init(&b, 40);
    assert_int_equal(
        vkey_build(arena, parsed("{\"key_alias\":\"a\"}"), NULL, &how, &b, &e),
        GW_INVALID_VALUE);
    buf_release(&b);
}

/* --- showing --- */

static void test_info_has_every_member_and_times_as_text(void **st)
{
    struct json_out j;
    struct json *v;
    struct buf b;

    (void)st;
    buf_init(&b, MIB);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    vkey_put_members(&j, HASH,
                     parsed("{\"key_name\":\"sk-...abcd\","
                            "\"expires\":1764601200,"
                            "\"created_at\":0,\"providers\":[\"a\"]}"));
    json_close(&j);
    v = parsed(b.p);
    assert_str(json_str(json_get(v, "key_id")), HASH);
    assert_str(json_str(json_get(v, "token")), HASH);
    assert_str(json_str(json_get(v, "key_name")), "sk-...abcd");
    assert_str(json_str(json_get(v, "expires")), "2025-12-01T15:00:00.000Z");
    assert_true(json_is_null(json_get(v, "created_at")));
    assert_true(json_is_array(json_get(v, "models")));
    assert_true(json_is_object(json_get(v, "metadata")));
    assert_false(json_bool(json_get(v, "blocked"), true));
    assert_true(json_is_null(json_get(v, "rpm_limit")));
    assert_str(json_str(json_at(json_get(v, "providers"), 0)), "a");
    buf_release(&b);
}

static void test_info_without_a_hash_shows_none(void **st)
{
    struct json_out j;
    struct buf b;

    (void)st;
    buf_init(&b, MIB);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    vkey_put_members(&j, NULL, parsed("{}"));
    json_close(&j);
    assert_true(json_is_object(parsed(b.p)));
    assert_null(strstr(b.p, "token"));
    buf_release(&b);
}

/* --- secrets --- */

static void test_a_secret_is_new_each_time_and_shown_by_its_end(void **st)
{
    char a[VKEY_SECRET_SIZE], b[VKEY_SECRET_SIZE];

    (void)st;
    vkey_new_secret(a);
    vkey_new_secret(b);
    assert_int_equal(strlen(a), 35);
    assert_memory_equal(a, "sk-", 3);
    assert_string_not_equal(a, b);
    assert_str(vkey_mask(arena, STR("sk-0123456789abcd")), "sk-...abcd");
    assert_str(vkey_mask(arena, STR("sk-1234")), "sk-...");
    assert_str(vkey_mask(arena, STR("")), "sk-...");
}

static void test_a_secret_is_stored_as_its_sha_256(void **st)
{
    char hash[CRYPTO_SHA256_HEX + 1];

    (void)st;
    vkey_hash(STR("abc"), hash);
    assert_string_equal(hash, "ba7816bf8f01cfea414140de5dae2223"
                              "b00361a396177a9cb410ff61f20015ad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_record_allows_everything),
        cmocka_unit_test(test_all_members_are_read),
        cmocka_unit_test(test_the_owner_is_the_team_else_the_user_else_the_key),
        cmocka_unit_test(test_a_broken_record_is_an_error_and_not_an_open_door),
        cmocka_unit_test(test_an_empty_list_may_have_become_an_object),
        cmocka_unit_test(test_an_operation_of_a_later_version_allows_nothing),
        cmocka_unit_test(test_every_cut_of_a_record_is_refused),
        cmocka_unit_test(test_a_blocked_key_is_refused),
        cmocka_unit_test(test_a_key_expires_at_its_second),
        cmocka_unit_test(test_each_operation_is_checked_on_its_own),
        cmocka_unit_test(test_a_purpose_outside_the_list_is_refused_by_name),
        cmocka_unit_test(test_a_provider_must_be_in_the_list_exactly),
        cmocka_unit_test(test_an_empty_request_makes_a_key),
        cmocka_unit_test(test_all_members_are_written_in_the_table_s_order),
        cmocka_unit_test(test_what_was_built_can_be_read),
        cmocka_unit_test(test_an_update_leaves_what_it_does_not_mention),
        cmocka_unit_test(test_a_duration_of_null_or_minus_one_means_for_ever),
        cmocka_unit_test(test_litellm_s_other_members_are_dropped),
        cmocka_unit_test(test_values_of_the_wrong_kind_are_refused_by_name),
        cmocka_unit_test(test_texts_and_lists_are_bounded),
        cmocka_unit_test(test_a_record_that_does_not_fit_is_refused),
        cmocka_unit_test(test_info_has_every_member_and_times_as_text),
        cmocka_unit_test(test_info_without_a_hash_shows_none),
        cmocka_unit_test(test_a_secret_is_new_each_time_and_shown_by_its_end),
        cmocka_unit_test(test_a_secret_is_stored_as_its_sha_256),
        cmocka_unit_test(
            test_the_id_is_the_first_hash_and_names_owner_and_quotas),
        cmocka_unit_test(test_a_key_of_a_blocked_team_is_refused_and_told_why),
        cmocka_unit_test(test_an_operation_must_be_allowed_by_both),
        cmocka_unit_test(test_providers_and_purposes_must_be_allowed_by_both),
        cmocka_unit_test(test_a_model_must_be_allowed_by_both),
        cmocka_unit_test(test_defaults_are_the_keys_before_the_teams),
        cmocka_unit_test(test_the_smaller_bound_on_a_file_holds),
        cmocka_unit_test(test_durations_are_written_as_litellm_writes_them),
        cmocka_unit_test(
            test_a_month_ends_on_the_same_day_or_on_the_months_last),
        cmocka_unit_test(test_a_new_secret_leaves_the_id_and_what_was_set),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
