#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "providers/openai_vendor.h"
#include "providers/prov_said.h"
#include "providers/prov_util.h"
#include "providers/registry.h"

#define NOW 1764601200 /* Mon, 01 Dec 2025 15:00:00 GMT */

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
}

static struct prov_op op_with(struct provider_conf *conf)
{
    conf->name = "p";
    if (!conf->base_url)
        conf->base_url = "https://h/v1/";
    return (struct prov_op){.code = PROV_GET,
                            .conf = conf,
                            .arena = arena,
                            .now_s = NOW,
                            .upstream_id = STR("file-up1"),
                            .shown_id = STR("file-ours")};
}

static struct http_res answer(int status, const char *body)
{
    return (struct http_res){.status = status, .body = str_of(body)};
}

/* --- requests --- */

static void test_a_request_starts_with_the_configured_headers(void **st)
{
    struct conf_pair pairs[] = {{"x-a", "1"}, {"Accept", "text/x"}};
    struct provider_conf conf = {.headers = {pairs, 2}};
    struct prov_op op = op_with(&conf);
    struct prov_exchange x;

    (void)st;
    memset(&x, 0xff, sizeof(x));
    prov_http(&op, &x, "GET", "/files/%d", 7);
    prov_field(&op, &x, "accept", STR("application/json"));
    prov_field(&op, &x, "x-b", STR("2"));
    assert_string_equal(x.http.method, "GET");
    assert_str(x.http.url, "https://h/v1/files/7");
    assert_int_equal(x.http.fields.n, 3);
    assert_str(http_fields_get(&x.http.fields, STR("x-a")), "1");
    assert_str(http_fields_get(&x.http.fields, STR("accept")), "text/x");
    assert_str(http_fields_get(&x.http.fields, STR("x-b")), "2");
    assert_int_equal(x.http.nsegs, 0);
    assert_false(x.http.is_sink);
}

static void test_names_and_values_of_fields_are_told_from_others(void **st)
{
    (void)st;
    assert_true(prov_is_field_name(STR("X-Api_Key.1")));
    assert_false(prov_is_field_name(STR("")));
    assert_false(prov_is_field_name(STR("a b")));
    assert_false(prov_is_field_name(STR("a:")));
    assert_false(prov_is_field_name(STR("a\0b")));
    assert_true(prov_is_field_value(STR("")));
    assert_true(prov_is_field_value(STR("a b; \xc3\xa4")));
    assert_false(prov_is_field_value(STR("a\r\nb")));
    assert_false(prov_is_field_value(STR("a\0b")));
}

/* --- Retry-After --- */

static int wait_for(const char *name, const char *value)
{
    struct http_fields f = {0};

    http_fields_add(&f, arena, str_of(name), str_of(value));
    return prov_retry_after(arena, &f, NOW);
}

static void test_retry_after_is_read_in_all_its_forms(void **st)
{
    static const struct {
        const char *value;
        int seconds;
    } cases[] = {
        {"20", 20},
        {"0", 0},
        {" 7 ", 7},
        {"1.5", 2},
        {"1.0", 1},
        {"-5", 0},
        {"999999999", 86400},
        {"99999999999999999999", 0},
        {"soon", 0},
        {"", 0},
        {"Mon, 01 Dec 2025 15:00:30 GMT", 30},
        {"Monday, 01-Dec-25 15:01:00 GMT", 60},
        {"Mon Dec  1 15:00:10 2025", 10},
        {"Mon, 01 Dec 2025 14:00:00 GMT", 0},
        {"Mon, 01 Dec 2025 15:00:30 GMT x", 0},
        {"Thu, 01 Dec 2095 15:00:30 GMT", 86400},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++)
        if (wait_for("Retry-After", cases[i].value) != cases[i].seconds)
            fail_msg("'%s' is %d", cases[i].value,
                     wait_for("Retry-After", cases[i].value));
}

static void test_milliseconds_win_and_are_rounded_up(void **st)
{
    struct http_fields f = {0};

    (void)st;
    assert_int_equal(wait_for("retry-after-ms", "1"), 1);
    assert_int_equal(wait_for("retry-after-ms", "1000"), 1);
    assert_int_equal(wait_for("retry-after-ms", "1000.5"), 2);
    http_fields_add(&f, arena, STR("retry-after-ms"), STR("500"));
    http_fields_add(&f, arena, STR("retry-after"), STR("20"));
    assert_int_equal(prov_retry_after(arena, &f, NOW), 1);
    f = (struct http_fields){0};
    http_fields_add(&f, arena, STR("retry-after-ms"), STR("x"));
    http_fields_add(&f, arena, STR("retry-after"), STR("20"));
    assert_int_equal(prov_retry_after(arena, &f, NOW), 20);
}

/* --- errors --- */

static void test_every_status_outside_2xx_is_an_error(void **st)
{
    struct provider_conf conf = {0};
    struct prov_op op = op_with(&conf);

    (void)st;
    for (int status = 0; status < 1000; status++) {
        struct http_res res = answer(status, "");
        struct gw_error e = {0};
        enum gw_err err = prov_http_error(&op, &res, &e);
        int http = err_info(err)->http;

        assert_int_equal(e.err, err);
        assert_true(e.message[0]);
        /* Our client is told of its own key by us alone. */
        assert_int_not_equal(http, 401);
        assert_int_not_equal(http, 403);
        if (status < 400 || status >= 600)
            assert_int_equal(err, GW_UPSTREAM_BAD_RESPONSE);
        else if (status >= 500 && status != 501)
            assert_true(http >= 502 && http <= 504);
    }
}

static void test_an_error_that_is_set_already_stays(void **st)
{
    struct provider_conf conf = {0};
    struct prov_op op = op_with(&conf);
    struct http_res res = answer(429, "{\"error\":{\"code\":\"x\"}}");
    struct gw_error e = {0};

    (void)st;
    err_set(&e, GW_CLIENT_GONE, "gone");
    assert_int_equal(prov_http_error(&op, &res, &e), GW_CLIENT_GONE);
    assert_string_equal(e.message, "gone");
    assert_string_equal(e.code, "");
}

static void test_a_code_that_is_no_plain_word_is_not_passed(void **st)
{
    static const char *const codes[] = {"\"a b\"", "\"400\"",  "\"<b>\"", "7",
                                        "null",    "\"None\"", "\"\"",    "{}"};
    struct provider_conf conf = {0};
    struct prov_op op = op_with(&conf);

    (void)st;
    for (size_t i = 0; i < COUNTOF(codes); i++) {
        struct str body = arena_printf(
            arena, "{\"error\":{\"message\":\"m\",\"code\":%s}}", codes[i]);
        struct http_res res = answer(400, body.p);
        struct gw_error e = {0};

        assert_int_equal(prov_http_error(&op, &res, &e), GW_UPSTREAM_REJECTED);
        assert_string_equal(e.code, "");
        assert_string_equal(e.message, "m");
    }
}

static void test_an_id_without_a_digit_is_an_id(void **st)
{
    static const struct {
        const char *said, *shown;
    } cases[] = {
        {"no file-abcdefghijklmnopqrstuvwx.", "no [id]."},
        {"ftjob-ABCDEFGHIJKLMNOPQRSTuvwx: gone", "[id]: gone"},
        {"a file-like_object, file_search_is_not_supported",
         "a file-like_object, file_search_is_not_supported"},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++)
        assert_str(
            prov_said_clean(arena, str_of(cases[i].said), STR(""), STR("")),
            cases[i].shown);
}

static void test_a_resource_is_not_named(void **st)
{
    static const struct {
        const char *said, *shown;
    } cases[] = {
        {"User: arn:aws:iam::123456789012:role/batch is not authorized",
         "User: [id] is not authorized"},
        {"(arn:aws:s3:::bucket/x) is gone, arn:aws:iam::1:role/r.",
         "([id]) is gone, [id]."},
        {"no /job/arn%3Aaws%3Abedrock%3Aeu%3A1%3Ax", "no [id]"},
        {"'projects/123/locations/eu/models/1' is in state X",
         "'[id]' is in state X"},
        {"denied on '//aiplatform.googleapis.com/projects/p-1'",
         "denied on '[id]'"},
        {"for service-1234@gcp-sa-aiplatform.iam.gserviceaccount.com:",
         "for [id]:"},
        {"learn: many projects, barn:x", "learn: many projects, barn:x"},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++)
        assert_str(
            prov_said_clean(arena, str_of(cases[i].said), STR(""), STR("")),
            cases[i].shown);
}

/* The id of the provider is gone wherever it stood. */
static void test_the_upstream_id_is_replaced_at_every_offset(void **st)
{
    struct str text = STR("a b/c: 'd' (e), f.g=h\xc3\xa4i");
    struct str id = STR("gs://b/x 1;y");

    (void)st;
    for (size_t i = 0; i <= text.n; i++) {
        struct str message = arena_printf(arena, "%.*s%.*s%s", (int)i, text.p,
                                          STR_ARG(id), text.p + i);
        struct str clean = prov_said_clean(arena, message, id, STR("OURS"));

        if (memmem(clean.p, clean.n, id.p, id.n))
            fail_msg("at %zu: %.*s", i, STR_ARG(clean));
        if (!memmem(clean.p, clean.n, "OURS", 4))
            fail_msg("at %zu: %.*s", i, STR_ARG(clean));
    }
}

#define NAMES 4096

/* Whichever of many: each one stands for itself, with and without others that
 * begin like it. */
static void test_each_of_many_names_is_replaced(void **st)
{
    static struct prov_name names[NAMES];
    struct provider_conf conf = {0};
    struct prov_op op = op_with(&conf);

    (void)st;
    for (size_t i = 0; i < NAMES; i++)
        names[i] =
            (struct prov_name){arena_printf(arena, "n %zu", i * 7919 % NAMES),
                               arena_printf(arena, "<%zu>", i * 7919 % NAMES)};
    op.names = names;
    op.nnames = NAMES;
    for (size_t i = 0; i < NAMES; i += 37) {
        struct str message = arena_printf(arena, "an %zu, (n %zu)xn %zu.", i, i,
                                          (i + 1) % NAMES);
        struct str shown = arena_printf(arena, "a<%zu>, (<%zu>)x<%zu>.", i, i,
                                        (i + 1) % NAMES);

        assert_str(prov_said_clean_all(&op, message), shown.p);
    }
}

static void test_the_longest_name_counts_and_of_two_the_first(void **st)
{
    static const struct prov_name names[] = {
        {{"ab", 2}, {"2", 1}},   {{"abc", 3}, {"3", 1}},
        {{"abcd", 4}, {"4", 1}}, {{"abc", 3}, {"no", 2}},
        {{"", 0}, {"no", 2}},    {{"abd", 3}, {"", 0}},
    };
    struct provider_conf conf = {0};
    struct prov_op op = op_with(&conf);

    (void)st;
    op.names = names;
    op.nnames = COUNTOF(names);
    op.upstream_id = STR("abcd");
    op.shown_id = STR("own");
    assert_str(prov_said_clean_all(&op, STR("a ab abc abcd abce abx abd")),
               "a 2 3 own 3e 2x [id]");
}

/* However little of it could be shown. */
static void test_the_front_of_a_message_is_looked_at(void **st)
{
    struct str clean;
    struct buf b;

    (void)st;
    buf_init(&b, 2 * MIB);
    buf_add_c(&b, "so ");
    while (b.n < LIMIT_SAID_BYTES - 10)
        buf_add_byte(&b, ' ');
    buf_add_c(&b, "it a-0123456789abcdef0123456789");
    clean = prov_said_clean(arena, buf_str(&b), STR("up"), STR("us"));
    assert_str(clean, "so it");
    while (b.n < MIB)
        buf_add_byte(&b, ' ');
    buf_add_c(&b, "is");
    clean = prov_said_clean(arena, buf_str(&b), STR("up"), STR("us"));
    assert_str(clean, "so it");
    buf_release(&b);
}

static void test_a_long_message_is_cut_at_every_width_of_character(void **st)
{
    static const char *const chars[] = {"a", "\xc3\xa4", "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80"};

    (void)st;
    for (size_t i = 0; i < COUNTOF(chars); i++)
        for (int lead = 0; lead < 4; lead++) {
            struct str clean;
            struct buf b;

            buf_init(&b, MIB);
            buf_add(&b, "xxx", (size_t)lead);
            while (b.n < 1000)
                buf_printf(&b, "%s ", chars[i]);
            clean = prov_said_clean(arena, buf_str(&b), STR(""), STR(""));
            assert_true(clean.n <= 400 && clean.n > 390);
            assert_true(str_is_utf8(clean));
            buf_release(&b);
        }
}

static void test_a_message_of_one_endless_word_is_bounded(void **st)
{
    struct str clean;
    struct buf b;

    (void)st;
    buf_init(&b, MIB);
    while (b.n < 100000)
        buf_add_c(&b, "abc");
    clean = prov_said_clean(arena, buf_str(&b), STR("up"), STR("us"));
    assert_true(clean.n <= 400);
    buf_release(&b);
}

/* Every cut of every shape: a message or none, never a crash, never a tag. */
static void test_cut_bodies_are_harmless(void **st)
{
    static const char *const bodies[] = {
        "{\"error\":{\"message\":\"m\",\"type\":\"t\",\"param\":\"p\"}}",
        "{\"detail\":[{\"loc\":[\"body\",\"purpose\"],\"msg\":\"m\"}]}",
        "{\"detail\":{\"error\":{\"message\":\"m\"}}}",
        "<?xml version=\"1.0\"?><Error><Code>C</Code><Message>m</Message>",
        "<html><body>no</body></html>",
        "\"m\"",
        "m <html> n",
    };
    static const bool holds_html[] = {[4] = true, [6] = true};

    (void)st;
    for (size_t i = 0; i < COUNTOF(bodies); i++)
        for (size_t n = 0; n <= strlen(bodies[i]); n++) {
            char *copy = arena_cstr(arena, str_make(bodies[i], n));
            struct prov_said said;

            prov_said_find(arena, str_make(copy, n), &said);
            assert_null(memmem(said.message.p, said.message.n, "<html", 5));
            if (n == strlen(bodies[i]))
                assert_str(said.message, holds_html[i] ? "" : "m");
        }
}

static void test_an_answer_that_is_no_json_is_a_bad_response(void **st)
{
    struct provider_conf conf = {0};
    struct prov_op op = op_with(&conf);
    struct http_res res = answer(200, "{\"a\":1");
    struct gw_error e = {0};

    (void)st;
    assert_null(prov_json(&op, &res, &e));
    assert_int_equal(e.err, GW_UPSTREAM_BAD_RESPONSE);
    e = (struct gw_error){0};
    res = answer(200, "{\"a\":1}");
    res.body_was_cut = true;
    assert_null(prov_json(&op, &res, &e));
    assert_int_equal(e.err, GW_UPSTREAM_BAD_RESPONSE);
    e = (struct gw_error){0};
    res.body_was_cut = false;
    assert_non_null(prov_json(&op, &res, &e));
    assert_int_equal(e.err, GW_OK);
}

/* --- the registry --- */

static void test_every_type_is_found_by_the_name_it_has(void **st)
{
    const struct provider_type *const *t = registry_all();
    size_t n = 0;

    (void)st;
    for (; t[n]; n++) {
        assert_string_equal(registry_names[n], t[n]->name);
        assert_ptr_equal(registry_find(t[n]->name), t[n]);
        assert_non_null(t[n]->section);
        assert_non_null(t[n]->next);
        assert_non_null(t[n]->reply);
        assert_true(t[n]->caps & PROV_CAN_CREATE);
    }
    assert_null(registry_names[n]);
    assert_true(n >= 2);
    assert_null(registry_find("opnai"));
    assert_null(registry_find(""));
}

static void test_the_table_has_a_row_for_every_type(void **st)
{
    const struct provider_type *const *t;
    struct buf b;

    (void)st;
    buf_init(&b, MIB);
    registry_table(&b);
    for (t = registry_all(); *t; t++)
        assert_non_null(
            strstr(b.p, arena_printf(arena, "\n| `%s` | ", (*t)->name).p));
    assert_int_equal(b.p[b.n - 1], '\n');
    buf_release(&b);
}

static void check_readme_holds(void (*print)(struct buf *out))
{
    FILE *f = fopen(TESTS_DIR "/../providers/README.md", "r");
    struct buf table, readme;
    char *p;

    assert_non_null(f);
    buf_init(&table, MIB);
    buf_init(&readme, MIB);
    print(&table);
    p = buf_reserve(&readme, 64 * KIB);
    buf_commit(&readme, fread(p, 1, 64 * KIB, f));
    fclose(f);
    if (!strstr(readme.p, table.p)) { /* longer than a message can be */
        fprintf(stderr, "providers/README.md must hold:\n%s\n", table.p);
        fail();
    }
    buf_release(&table);
    buf_release(&readme);
}

static void test_the_readme_has_the_table(void **st)
{
    (void)st;
    check_readme_holds(registry_table);
}

static void test_the_readme_has_the_table_of_vendors(void **st)
{
    (void)st;
    check_readme_holds(openai_vendor_table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_starts_with_the_configured_headers),
        cmocka_unit_test(test_names_and_values_of_fields_are_told_from_others),
        cmocka_unit_test(test_retry_after_is_read_in_all_its_forms),
        cmocka_unit_test(test_milliseconds_win_and_are_rounded_up),
        cmocka_unit_test(test_every_status_outside_2xx_is_an_error),
        cmocka_unit_test(test_an_error_that_is_set_already_stays),
        cmocka_unit_test(test_a_code_that_is_no_plain_word_is_not_passed),
        cmocka_unit_test(test_an_id_without_a_digit_is_an_id),
        cmocka_unit_test(test_a_resource_is_not_named),
        cmocka_unit_test(test_the_upstream_id_is_replaced_at_every_offset),
        cmocka_unit_test(test_each_of_many_names_is_replaced),
        cmocka_unit_test(test_the_longest_name_counts_and_of_two_the_first),
        cmocka_unit_test(test_the_front_of_a_message_is_looked_at),
        cmocka_unit_test(
            test_a_long_message_is_cut_at_every_width_of_character),
        cmocka_unit_test(test_a_message_of_one_endless_word_is_bounded),
        cmocka_unit_test(test_cut_bodies_are_harmless),
        cmocka_unit_test(test_an_answer_that_is_no_json_is_a_bad_response),
        cmocka_unit_test(test_every_type_is_found_by_the_name_it_has),
        cmocka_unit_test(test_the_table_has_a_row_for_every_type),
        cmocka_unit_test(test_the_readme_has_the_table),
        cmocka_unit_test(test_the_readme_has_the_table_of_vendors),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
