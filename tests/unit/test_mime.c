#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/base/limits.h"
#include "gateway/codec/mime.h"
#include "gateway/codec/multipart.h"

#define BOUNDARY STR("----b0undary")

static struct buf out;

static int setup(void **st)
{
    (void)st;
    buf_init(&out, MIB);
    return 0;
}

static int teardown(void **st)
{
    (void)st;
    buf_release(&out);
    return 0;
}

static void test_a_form_is_written_byte_for_byte(void **st)
{
    (void)st;
    mime_add_field(&out, BOUNDARY, STR("purpose"), STR("batch"));
    mime_open_file(&out, BOUNDARY, STR("file"), STR("x.jsonl"),
                   STR("application/jsonl"));
    buf_add_c(&out, "{\"a\":1}\n");
    mime_close(&out, BOUNDARY);
    assert_string_equal(out.p,
                        "------b0undary\r\n"
                        "Content-Disposition: form-data; name=\"purpose\"\r\n"
                        "\r\n"
                        "batch\r\n"
                        "------b0undary\r\n"
                        "Content-Disposition: form-data; name=\"file\"; "
                        "filename=\"x.jsonl\"\r\n"
                        "Content-Type: application/jsonl\r\n"
                        "\r\n"
                        "{\"a\":1}\n\r\n"
                        "------b0undary--\r\n");
}

static void test_the_file_always_has_a_content_type(void **st)
{
    static const struct str types[] = {STR(""),     STR("a/b\r\nX: y"),
                                       STR("a\nb"), STR("\na"),
                                       STR("a\r"),  STR("a\0b")};

    (void)st;
    for (size_t i = 0; i < COUNTOF(types); i++) {
        buf_clear(&out);
        mime_open_file(&out, BOUNDARY, STR("file"), STR("x"), types[i]);
        assert_non_null(
            strstr(out.p, "\r\nContent-Type: application/octet-stream\r\n"));
        assert_null(strstr(out.p, "X: y"));
    }
    buf_clear(&out);
    mime_open_file(&out, BOUNDARY, STR("file"), STR("x"), STR("t"));
    assert_non_null(strstr(out.p, "\r\nContent-Type: t\r\n\r\n"));
    buf_clear(&out);
    mime_open_file(&out, BOUNDARY, STR("file"), STR("x"), STR_NULL);
    assert_non_null(strstr(out.p, "application/octet-stream"));
}

static void test_names_cannot_break_out_of_their_quotes(void **st)
{
    (void)st;
    mime_open_file(&out, BOUNDARY, STR("a\"b"), STR("c\"\r\nX: y\\\xc3\xa4%"),
                   STR("t/t"));
    assert_non_null(strstr(out.p,
                           "; name=\"a%22b\"; "
                           "filename=\"c%22%0D%0AX: y\\\xc3\xa4%\"\r\n"));
}

static void test_a_value_with_the_boundary_at_a_line_start_is_dropped(void **st)
{
    static const struct {
        struct str value;
        bool is_kept;
    } cases[] = {
        {STR("a\r\n------b0undary\r\nContent-Disposition: x"), false},
        {STR("a\r\n------b0undary"), false},
        {STR("a\n------b0undary--"), false},
        {STR("------b0undary\r\n"), false},
        {STR("a------b0undary b\r\n------b0undary"), false},
        {STR("a------b0undary"), true},
        {STR("----b0undary"), true},
        {STR("\r\n----b0undary"), true},
        {STR("\r\n------b0undar"), true},
        {STR("\r\n-------b0undary"), true},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct str value = cases[i].is_kept ? cases[i].value : STR("");
        struct str start = STR("------b0undary\r\nContent-Disposition: "
                               "form-data; name=\"n\"\r\n\r\n");

        buf_clear(&out);
        mime_add_field(&out, BOUNDARY, STR("n"), cases[i].value);
        assert_int_equal(out.n, start.n + value.n + 2);
        assert_memory_equal(out.p + start.n, value.p, value.n);
    }
}

static void test_what_does_not_fit_shows_as_overflow(void **st)
{
    struct buf small;

    (void)st;
    buf_init(&small, 40);
    mime_add_field(&small, BOUNDARY, STR("purpose"), STR("batch"));
    assert_true(small.overflow);
    buf_release(&small);
}

/* --- read back --- */

static enum gw_err note_begin(void *arg, const struct multipart_part *part)
{
    struct buf *log = arg;

    buf_printf(log, "[%.*s|%.*s|%.*s]", STR_ARG(part->name),
               STR_ARG(part->filename), STR_ARG(part->content_type));
    return GW_OK;
}

static enum gw_err note_data(void *arg, struct str data)
{
    buf_add_str(arg, data);
    return GW_OK;
}

static enum gw_err note_end(void *arg)
{
    buf_add_c(arg, ";");
    return GW_OK;
}

static void test_our_parser_reads_what_was_written(void **st)
{
    static const struct multipart_ops ops = {
        .part_begin = note_begin, .part_data = note_data, .part_end = note_end};
    struct multipart m;
    struct buf log;
    size_t used;

    (void)st;
    mime_add_field(&out, BOUNDARY, STR("a\"\r\nb"), STR("1\r\n--"));
    mime_add_field(&out, BOUNDARY, STR("c[d]"), STR(""));
    mime_open_file(&out, BOUNDARY, STR("file"), STR("x \"y\".jsonl"),
                   STR("text/plain"));
    buf_add_c(&out, "data");
    mime_close(&out, BOUNDARY);
    buf_init(&log, KIB);
    multipart_init(&m, "----b0undary", &ops, &log);
    assert_int_equal(multipart_feed(&m, out.p, out.n, &used, NULL), GW_OK);
    assert_int_equal(multipart_finish(&m, NULL), GW_OK);
    assert_string_equal(log.p, "[a\"\r\nb||]1\r\n--;[c[d]||];"
                               "[file|x \"y\".jsonl|text/plain]data;");
    buf_release(&log);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_form_is_written_byte_for_byte),
        TEST(test_the_file_always_has_a_content_type),
        TEST(test_names_cannot_break_out_of_their_quotes),
        TEST(test_a_value_with_the_boundary_at_a_line_start_is_dropped),
        TEST(test_what_does_not_fit_shows_as_overflow),
        TEST(test_our_parser_reads_what_was_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
