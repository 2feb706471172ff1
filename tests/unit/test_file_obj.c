#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "gateway/codec/file_obj.h"

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

static struct json *parse(struct str text)
{
    struct json *v = json_parse(arena, text, NULL);

    if (!v)
        fail_msg("'%.*s' is no JSON", STR_ARG(text));
    return v;
}

static struct file_obj read_obj(const char *text)
{
    struct gw_error e = {0};
    struct file_obj f;

    assert_int_equal(file_obj_read(parse(str_of(text)), &f, &e), GW_OK);
    assert_int_equal(e.err, GW_OK);
    return f;
}

static void assert_put(const struct file_obj *f, const char *want)
{
    struct json_out j;
    struct buf b;

    buf_init(&b, KIB);
    json_out_init(&j, &b);
    file_obj_put(&j, NULL, f);
    assert_string_equal(b.p, want);
    buf_release(&b);
}

static void test_the_object_has_all_its_members_in_order(void **st)
{
    struct file_obj f = {
        .id = STR("file-a-01arz3ndektsv4rrffq69g5fav"),
        .bytes = 170,
        .created_at = 1764601200,
        .expires_at = 1767193200,
        .filename = STR("in \"1\".jsonl"),
        .purpose = STR("batch"),
        .status = FILE_ERROR,
        .status_details = STR("line 3"),
        .provider = STR("local"),
        .sha256 = STR("00ff"),
    };

    (void)st;
    assert_put(&f, "{\"id\":\"file-a-01arz3ndektsv4rrffq69g5fav\","
                   "\"object\":\"file\",\"bytes\":170,"
                   "\"created_at\":1764601200,"
                   "\"filename\":\"in \\\"1\\\".jsonl\","
                   "\"purpose\":\"batch\",\"status\":\"error\","
                   "\"expires_at\":1767193200,"
                   "\"status_details\":\"line 3\","
                   "\"filemux\":{\"provider\":\"local\",\"sha256\":\"00ff\"}}");
}

static void test_unknown_members_keep_the_types_that_clients_expect(void **st)
{
    struct file_obj f = {.id = STR("x"), .bytes = -1, .provider = STR("p")};

    (void)st;
    assert_put(&f, "{\"id\":\"x\",\"object\":\"file\",\"bytes\":0,"
                   "\"created_at\":0,\"filename\":\"\",\"purpose\":\"\","
                   "\"status\":\"uploaded\",\"expires_at\":null,"
                   "\"status_details\":null,\"filemux\":{\"provider\":\"p\"}}");
}

static void test_the_object_may_be_a_member_of_another(void **st)
{
    struct file_obj f = {.id = STR("x"), .provider = STR("p")};
    struct json_out j;
    struct buf b;
    struct json *v;

    (void)st;
    buf_init(&b, KIB);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    json_open(&j, "data", '[');
    file_obj_put(&j, NULL, &f);
    file_obj_put(&j, NULL, &f);
    json_close(&j);
    file_obj_put(&j, "one", &f);
    json_close(&j);
    v = parse(buf_str(&b));
    assert_int_equal(json_count(json_get(v, "data")), 2);
    assert_true(str_eq_c(json_str(json_get(json_get(v, "one"), "id")), "x"));
    buf_release(&b);
}

static void test_an_openai_object_is_read_whole(void **st)
{
    struct file_obj f =
        read_obj("{\"id\":\"file-52voFe6FU6MWyAwa1Uj39R\","
                 "\"object\":\"file\",\"bytes\":170,"
                 "\"created_at\":1764601200,\"filename\":\"in.jsonl\","
                 "\"purpose\":\"batch\",\"status\":\"processed\","
                 "\"expires_at\":1767193200,\"status_details\":null}");

    (void)st;
    assert_true(str_eq_c(f.id, "file-52voFe6FU6MWyAwa1Uj39R"));
    assert_int_equal(f.bytes, 170);
    assert_int_equal(f.created_at, 1764601200);
    assert_int_equal(f.expires_at, 1767193200);
    assert_true(str_eq_c(f.filename, "in.jsonl"));
    assert_true(str_eq_c(f.purpose, "batch"));
    assert_int_equal(f.status, FILE_PROCESSED);
    assert_null(f.status_details.p);
    assert_null(f.provider.p);
    assert_null(f.sha256.p);
}

static void test_strings_for_numbers_and_other_names_are_read(void **st)
{
    struct file_obj f = read_obj("{\"id\":\"a\",\"bytes\":\"170\","
                                 "\"created_at\":\"1764601200\"}");

    (void)st;
    assert_int_equal(f.bytes, 170);
    assert_int_equal(f.created_at, 1764601200);
    f = read_obj("{\"id\":\"a\",\"size_bytes\":5,\"createdAt\":1741685396,"
                 "\"status\":\"ok\",\"status_details\":\"\"}");
    assert_int_equal(f.bytes, 5);
    assert_int_equal(f.created_at, 1741685396);
    assert_int_equal(f.status, FILE_PROCESSED);
    assert_null(f.status_details.p);
    f = read_obj("{\"id\":\"a\",\"bytes\":null,\"sizeBytes\":\"9\","
                 "\"createTime\":\"2025-12-01T15:00:00Z\","
                 "\"state\":\"PROCESSING\"}");
    assert_int_equal(f.bytes, 9);
    assert_int_equal(f.created_at, 1764601200);
    assert_int_equal(f.status, FILE_UPLOADED);
}

static void test_missing_members_are_unknown(void **st)
{
    struct file_obj f = read_obj("{\"id\":\"a\",\"bytes\":null,"
                                 "\"filename\":null,\"expires_at\":null,"
                                 "\"status\":null,\"x\":[{}]}");

    (void)st;
    assert_int_equal(f.bytes, -1);
    assert_int_equal(f.created_at, 0);
    assert_int_equal(f.expires_at, 0);
    assert_null(f.filename.p);
    assert_null(f.purpose.p);
    assert_int_equal(f.status, FILE_PROCESSED);
    f = read_obj("{\"id\":\"a\",\"bytes\":0}");
    assert_int_equal(f.bytes, 0);
    f = read_obj("{\"id\":\"a\",\"bytes\":-3,\"created_at\":-1,"
                 "\"filename\":5,\"status\":true}");
    assert_int_equal(f.bytes, -1);
    assert_int_equal(f.created_at, 0);
    assert_null(f.filename.p);
    assert_int_equal(f.status, FILE_PROCESSED);
}

static void test_details_are_kept_for_errors_only(void **st)
{
    struct file_obj f = read_obj("{\"id\":\"a\",\"status\":\"FAILED\","
                                 "\"status_details\":\"bad line\"}");

    (void)st;
    assert_int_equal(f.status, FILE_ERROR);
    assert_true(str_eq_c(f.status_details, "bad line"));
    f = read_obj("{\"id\":\"a\",\"status\":\"ready\","
                 "\"status_details\":\"fine\"}");
    assert_null(f.status_details.p);
}

static void test_without_a_usable_id_it_is_no_file(void **st)
{
    static const char *const texts[] = {
        "[]",
        "\"a\"",
        "null",
        "{}",
        "{\"id\":null}",
        "{\"id\":\"\"}",
        "{\"id\":5}",
        "{\"id\":[\"a\"]}",
    };
    struct str id = arena_printf(arena, "%0*d", LIMIT_UPSTREAM_ID_BYTES + 1, 0);
    struct gw_error e;
    struct file_obj f;

    (void)st;
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        err_clear(&e);
        assert_int_equal(file_obj_read(parse(str_of(texts[i])), &f, &e),
                         GW_UPSTREAM_BAD_RESPONSE);
        assert_int_equal(e.err, GW_UPSTREAM_BAD_RESPONSE);
    }
    assert_int_equal(file_obj_read(NULL, &f, NULL), GW_UPSTREAM_BAD_RESPONSE);
    assert_int_equal(
        file_obj_read(parse(arena_printf(arena, "{\"id\":\"%s\"}", id.p)), &f,
                      NULL),
        GW_UPSTREAM_BAD_RESPONSE);
    assert_int_equal(
        file_obj_read(parse(arena_printf(arena, "{\"id\":\"%s\"}", id.p + 1)),
                      &f, NULL),
        GW_OK);
}

static void test_every_word_for_a_status_is_known(void **st)
{
    static const struct {
        const char *words;
        enum file_status status;
    } cases[] = {
        {"processed ACTIVE READY ok succeeded completed Active anything",
         FILE_PROCESSED},
        {"uploaded pending running PROCESSING UPLOADING validating importing "
         "Uploaded",
         FILE_UPLOADED},
        {"error FAILED failed Error", FILE_ERROR},
        {"deleting deleted DELETED", FILE_DELETED},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct str rest = str_of(cases[i].words), word;

        while (str_next(&rest, ' ', &word))
            if (file_status_of(word) != cases[i].status)
                fail_msg("'%.*s'", STR_ARG(word));
        assert_int_equal(
            file_status_of(str_of(file_status_name(cases[i].status))),
            cases[i].status);
    }
    assert_int_equal(file_status_of(STR("")), FILE_PROCESSED);
    assert_int_equal(file_status_of(STR_NULL), FILE_PROCESSED);
}

static void test_times_are_read_in_every_form(void **st)
{
    static const struct {
        struct str text;
        int64_t time;
    } cases[] = {
        {STR("1764601200"), 1764601200},
        {STR("1764601200.75"), 1764601200},
        {STR("1764601200123"), 1764601200},
        {STR("1764601200123.5"), 1764601200},
        {STR("100000000000"), 100000000000},
        {STR("100000000001"), 100000000},
        {STR("\"1764601200\""), 1764601200},
        {STR("\"1764601200123\""), 1764601200},
        {STR("\"1764601200.123456\""), 1764601200},
        {STR("\"1764601200.123456789012345678901234567890\""), 1764601200},
        {STR("\" 1764601200 \""), 1764601200},
        {STR("\"2025-12-01T15:00:00Z\""), 1764601200},
        {STR("\"2025-12-01t15:00:00z\""), 1764601200},
        {STR("\"2025-12-01 15:00:00\""), 1764601200},
        {STR("\"2025-12-01T15:00:00.123456789Z\""), 1764601200},
        {STR("\"2025-12-01T16:30:00+01:30\""), 1764601200},
        {STR("\"2025-12-01T16:30:00+0130\""), 1764601200},
        {STR("\"2025-12-01T10:00:00.5-05:00\""), 1764601200},
        {STR("\"1970-01-01T00:00:01Z\""), 1},
        {STR("1"), 1},
        {STR("253402300799"), 253402300},
        {STR("\"2025-12-02T14:59:00+23:59\""), 1764601200},
        {STR("\"2025-12-01T14:59:60Z\""), 1764601200},
        {STR("\"2024-02-29T00:00:00Z\""), 1709164800},
        {STR("\"9999-12-31T23:59:59Z\""), 253402300799},
        /* none */
        {STR("null"), 0},
        {STR("true"), 0},
        {STR("0"), 0},
        {STR("-5"), 0},
        {STR("1e300"), 0},
        {STR("9223372036854775807"), 0},
        {STR("\"\""), 0},
        {STR("\"never\""), 0},
        {STR("\"-5\""), 0},
        {STR("\"1.2.3\""), 0},
        {STR("\"1764601200.\""), 0},
        {STR("\".5\""), 0},
        {STR("\"2025-12-01\""), 0},
        {STR("\"2025-12-01T15:00\""), 0},
        {STR("\"2025-13-01T15:00:00Z\""), 0},
        {STR("\"2025-00-01T15:00:00Z\""), 0},
        {STR("\"2025-12-32T15:00:00Z\""), 0},
        {STR("\"2025-12-01T24:00:00Z\""), 0},
        {STR("\"2025-12-01T15:60:00Z\""), 0},
        {STR("\"2025-12-01T15:00:00ZZ\""), 0},
        {STR("\"2025-12-01T15:00:00+1\""), 0},
        {STR("\"2025-12-01T15:00:00+25:00\""), 0},
        {STR("\"2025-12-01X15:00:00Z\""), 0},
        {STR("\"2025-1-01T15:00:00Z\""), 0},
        {STR("\"-025-12-01T15:00:00Z\""), 0},
        {STR("\"2025-12--1T15:00:00Z\""), 0},
        {STR("\"1969-12-31T23:59:59Z\""), 0},
        {STR("[1764601200]"), 0},
    };

    (void)st;
    assert_int_equal(file_obj_time(NULL), 0);
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        int64_t t = file_obj_time(parse(cases[i].text));

        if (t != cases[i].time)
            fail_msg("%.*s is %jd", STR_ARG(cases[i].text), (intmax_t)t);
    }
}

static void test_dates_of_200_years_agree_with_the_c_library(void **st)
{
    char text[64];

    (void)st;
    for (int64_t t = 43200; t < (int64_t)200 * 366 * 86400; t += 86400) {
        time_t when = (time_t)t;
        struct tm tm;
        size_t n;

        gmtime_r(&when, &tm);
        n = strftime(text, sizeof(text), "\"%Y-%m-%dT%H:%M:%SZ\"", &tm);
        if (t % (86400 * 40) == 43200) {
            /* One arena for all would grow to some megabytes. */
            arena_free(arena);
            arena = arena_new();
        }
        assert_int_equal(file_obj_time(parse(str_make(text, n))), t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_object_has_all_its_members_in_order),
        cmocka_unit_test(
            test_unknown_members_keep_the_types_that_clients_expect),
        cmocka_unit_test(test_the_object_may_be_a_member_of_another),
        cmocka_unit_test(test_an_openai_object_is_read_whole),
        cmocka_unit_test(test_strings_for_numbers_and_other_names_are_read),
        cmocka_unit_test(test_missing_members_are_unknown),
        cmocka_unit_test(test_details_are_kept_for_errors_only),
        cmocka_unit_test(test_without_a_usable_id_it_is_no_file),
        cmocka_unit_test(test_every_word_for_a_status_is_known),
        cmocka_unit_test(test_times_are_read_in_every_form),
        cmocka_unit_test(test_dates_of_200_years_agree_with_the_c_library),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
