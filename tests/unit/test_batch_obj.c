#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/codec/batch_obj.h"

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

static struct str shout(void *arg, struct str text)
{
    return arena_printf(arg, "%.*s!", STR_ARG(text));
}

static enum gw_err read_text(struct str text, struct batch_obj *out)
{
    struct gw_error e = {0};
    const struct json *v = json_parse(arena, text, NULL);

    assert_non_null(v);
    return batch_obj_read(arena, v, shout, arena, out, &e);
}

static void test_without_an_id_and_a_status_it_is_no_batch(void **st)
{
    static const char *const texts[] = {"[]",
                                        "{}",
                                        "7",
                                        "{\"id\":\"b\"}",
                                        "{\"status\":\"failed\"}",
                                        "{\"id\":\"\",\"status\":\"failed\"}",
                                        "{\"id\":7,\"status\":\"x\"}"};
    struct batch_obj b;
    size_t i;

    (void)st;
    for (i = 0; i < COUNTOF(texts); i++)
        assert_int_equal(read_text(str_of(texts[i]), &b),
                         GW_UPSTREAM_BAD_RESPONSE);
    assert_int_equal(read_text(STR("{\"id\":\"b\",\"status\":\"failed\"}"), &b),
                     GW_OK);
}

static void test_it_is_shown_with_other_ids_and_all_its_members(void **st)
{
    struct batch_obj b;
    struct json_out j;
    struct buf out;

    (void)st;
    assert_int_equal(
        read_text(STR("{\"id\":\"b\",\"status\":\"FAILED\",\"endpoint\":\"/x\","
                      "\"input_file_id\":\"f\",\"output_file_id\":\"\","
                      "\"errors\":{\"data\":[{\"message\":\"no\"},"
                      "{\"code\":\"c\",\"param\":\"p\",\"line\":3}]},"
                      "\"request_counts\":null,\"error_blob\":\"https://x\"}"),
                  &b),
        GW_OK);
    assert_null(b.output_file_id.p);
    b.id = STR("ours");
    b.input_file_id = STR("in");
    buf_init(&out, MIB);
    json_out_init(&j, &out);
    batch_obj_put(&j, arena, &b, STR("up"));
    assert_string_equal(
        arena_cstr(arena, buf_str(&out)),
        "{\"id\":\"ours\",\"object\":\"batch\",\"input_file_id\":\"in\","
        "\"output_file_id\":null,\"error_file_id\":null,\"endpoint\":\"/x\","
        "\"errors\":{\"object\":\"list\",\"data\":[{\"code\":null,"
        "\"message\":\"no!\",\"param\":null,\"line\":null},{\"code\":\"c!\","
        "\"message\":null,\"param\":\"p!\",\"line\":3}]},"
        "\"completion_window\":null,\"status\":\"failed\",\"created_at\":0,"
        "\"in_progress_at\":null,\"expires_at\":null,\"finalizing_at\":null,"
        "\"completed_at\":null,\"failed_at\":null,\"expired_at\":null,"
        "\"cancelling_at\":null,\"cancelled_at\":null,\"request_counts\":{"
        "\"total\":0,\"completed\":0,\"failed\":0},\"usage\":null,"
        "\"metadata\":null,\"filemux\":{\"provider\":\"up\"}}");
    buf_release(&out);
}

static const struct json *members_of(struct str text)
{
    struct batch_obj b;

    assert_int_equal(read_text(text, &b), GW_OK);
    assert_true(b.members.n <= LIMIT_BATCH_MEMBERS_BYTES);
    return json_parse(arena, b.members, NULL);
}

/* ü is two bytes and one character. */
static void test_metadata_is_within_the_bounds_of_a_request(void **st)
{
    const struct json *v;
    struct buf b;

    (void)st;
    buf_init(&b, MIB);
    buf_printf(&b, "{\"id\":\"b\",\"status\":\"x\",\"metadata\":{\"n\":7,\"");
    for (int i = 0; i < 65; i++)
        buf_printf(&b, "k");
    buf_printf(&b, "\":\"gone\",\"");
    for (int i = 0; i < 64; i++)
        buf_printf(&b, "\u00fc");
    buf_printf(&b, "\":\"kept\",\"long\":\"");
    for (int i = 0; i < 600; i++)
        buf_printf(&b, "\u00fc");
    buf_printf(&b, "\"");
    for (int i = 0; i < 20; i++)
        buf_printf(&b, ",\"%d\":\"\"", i);
    buf_printf(&b, "}}");
    v = json_get(members_of(buf_str(&b)), "metadata");
    assert_int_equal(json_count(v), LIMIT_METADATA_PAIRS);
    assert_int_equal(json_str(json_get(v, "long")).n, 1024);
    assert_null(json_get(v, "n"));
    assert_non_null(json_get(v, "13"));
    assert_null(json_get(v, "14"));
    buf_release(&b);
}

/* Every text as long as it can be, of what takes most room. */
static void test_whatever_it_says_there_is_room_for_it(void **st)
{
    static const char *const texts[] = {"endpoint", "model",
                                        "completion_window", "status"};
    const struct json *v;
    struct buf b;

    (void)st;
    buf_init(&b, MIB);
    buf_printf(&b, "{\"id\":\"b\",\"usage\":{");
    for (int i = 0; i < 20; i++)
        buf_printf(&b, "\"%d\":{\"a\":1,\"b\":{\"c\":2},\"d\":\"x\"},", i);
    buf_printf(&b, "\"z\":1},\"metadata\":{");
    for (int i = 0; i < 16; i++) {
        buf_printf(&b, "%s\"%d\":\"", i ? "," : "", i);
        for (int k = 0; k < 600; k++)
            buf_printf(&b, "\\u0001");
        buf_printf(&b, "\"");
    }
    buf_printf(&b, "},\"errors\":{\"data\":[");
    for (int i = 0; i < 60; i++) {
        buf_printf(&b, "%s{\"message\":\"", i ? "," : "");
        for (int k = 0; k < 1100; k++)
            buf_printf(&b, "\\u0001");
        buf_printf(&b, "\",\"code\":\"c\",\"param\":7}");
    }
    buf_printf(&b, "]}");
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        buf_printf(&b, ",\"%s\":\"", texts[i]);
        for (int k = 0; k < (i < 3 ? 3000 : 10); k++)
            buf_printf(&b, "\\u0001");
        buf_printf(&b, "\"");
    }
    buf_printf(&b, "}");
    assert_false(b.overflow);
    v = members_of(buf_str(&b));
    assert_int_equal(json_count(json_get(v, "usage")), 8);
    assert_int_equal(json_count(json_get(json_get(v, "usage"), "7")), 1);
    assert_in_range(json_count(json_get(json_get(v, "errors"), "data")), 5, 59);
    assert_int_equal(json_str(json_get(v, "endpoint")).n, 256);
    buf_release(&b);
}

static void test_what_is_over_is_told_from_what_is_not(void **st)
{
    (void)st;
    assert_true(batch_obj_is_over(STR("completed")));
    assert_true(batch_obj_is_over(STR("failed")));
    assert_true(batch_obj_is_over(STR("expired")));
    assert_true(batch_obj_is_over(STR("cancelled")));
    assert_false(batch_obj_is_over(STR("cancelling")));
    assert_false(batch_obj_is_over(STR("finalizing")));
    assert_false(batch_obj_is_over(STR("")));
}

static void test_what_a_provider_leaves_out_is_as_it_was_known(void **st)
{
    struct gw_error e = {0};
    const struct json *known = json_parse(
        arena,
        STR("{\"endpoint\":\"/e\",\"completion_window\":\"7d\","
            "\"metadata\":{\"k\":\"v\"},\"model\":\"m\",\"status\":\"x\"}"),
        &e);
    struct str all = batch_obj_complete(
        arena, STR("{\"metadata\":null,\"endpoint\":\"/own\",\"n\":1}"), known);
    struct str none =
        batch_obj_complete(arena, STR("{\"metadata\":{},\"n\":1}"), NULL);

    (void)st;
    assert_string_equal(arena_cstr(arena, all),
                        "{\"endpoint\":\"/own\",\"completion_window\":\"7d\","
                        "\"metadata\":{\"k\":\"v\"},\"model\":\"m\",\"n\":1}");
    assert_string_equal(arena_cstr(arena, none),
                        "{\"endpoint\":null,\"completion_window\":null,"
                        "\"metadata\":{},\"n\":1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_an_id_and_a_status_it_is_no_batch),
        cmocka_unit_test(test_it_is_shown_with_other_ids_and_all_its_members),
        cmocka_unit_test(test_metadata_is_within_the_bounds_of_a_request),
        cmocka_unit_test(test_whatever_it_says_there_is_room_for_it),
        cmocka_unit_test(test_what_is_over_is_told_from_what_is_not),
        cmocka_unit_test(test_what_a_provider_leaves_out_is_as_it_was_known),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
