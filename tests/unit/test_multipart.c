#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/base/bug.h"
#include "gateway/codec/multipart.h"
#include "tests/unit/multipart_naive.h"
#include "tests/unit/multipart_noise.h"
#include "tests/unit/multipart_run.h"

static void assert_parsed(const char *boundary, struct str text,
                          const char *want)
{
    struct run r = parse_in_all_ways(boundary, text);

    assert_int_equal(r.finish, GW_OK);
    assert_int_equal(r.used, text.n);
    assert_string_equal(r.log.p ? r.log.p : "", want);
    buf_release(&r.log);
}

static void assert_refused(const char *boundary, struct str text)
{
    struct run r = parse_in_all_ways(boundary, text);

    if (r.finish != GW_INVALID_MULTIPART)
        fail_msg("'%.*s' is accepted", STR_ARG(text));
    buf_release(&r.log);
}

/* --- forms as clients send them --- */

static void test_the_form_of_openai_node_is_read(void **st)
{
    struct str text =
        STR("------formdata-undici-091903099327\r\n"
            "Content-Disposition: form-data; name=\"file\"; "
            "filename=\"x.jsonl\"\r\n"
            "Content-Type: application/octet-stream\r\n"
            "\r\n"
            "{\"a\":1}\n\r\n"
            "------formdata-undici-091903099327\r\n"
            "Content-Disposition: form-data; name=\"purpose\"\r\n"
            "\r\n"
            "batch\r\n"
            "------formdata-undici-091903099327\r\n"
            "Content-Disposition: form-data; name=\"expires_after[anchor]\"\r\n"
            "\r\n"
            "created_at\r\n"
            "------formdata-undici-091903099327\r\n"
            "Content-Disposition: form-data; "
            "name=\"expires_after[seconds]\"\r\n"
            "\r\n"
            "3600\r\n"
            "------formdata-undici-091903099327--\r\n");

    (void)st;
    assert_parsed("----formdata-undici-091903099327", text,
                  "[file|x.jsonl|application/octet-stream]{\"a\":1}\n{8}"
                  "[purpose|-|-]batch{5}"
                  "[expires_after[anchor]|-|-]created_at{10}"
                  "[expires_after[seconds]|-|-]3600{4}");
}

static void test_the_form_of_curl_is_read(void **st)
{
    (void)st;
    assert_parsed("------------------------d74496d66958873e",
                  STR("--------------------------d74496d66958873e\r\n"
                      "Content-Disposition: form-data; name=\"purpose\"\r\n"
                      "\r\n"
                      "batch\r\n"
                      "--------------------------d74496d66958873e\r\n"
                      "Content-Disposition: form-data; name=\"file\"; "
                      "filename=\"a\\\"b\\\\c.txt\"\r\n"
                      "Content-Type: text/plain\r\n"
                      "\r\n"
                      "hello\r\n"
                      "--------------------------d74496d66958873e--\r\n"),
                  "[purpose|-|-]batch{5}[file|c.txt|text/plain]hello{5}");
}

#define PART "Content-Disposition: form-data; name=\"a\"\r\n"

static void test_what_clients_leave_out_or_add_does_no_harm(void **st)
{
    static const struct str texts[] = {
        STR("--b\r\n" PART "\r\nx\r\n--b--\r\n"),
        STR("--b\r\n" PART "\r\nx\r\n--b--"),
        STR("--b\r\n" PART "\r\nx\r\n--b--epilogue\r\n--b\r\n"),
        STR("--b--is in the preamble\r\n--b\r\n") /* see below */,
        STR("preamble\r\n\r\n--b\r\n" PART "\r\nx\r\n--b--\r\n"),
        STR("\r\n--b\r\n" PART "\r\nx\r\n--b--\r\n"),
        STR("x--b\r\r\n--b\r\n" PART "\r\nx\r\n--b--\r\n"),
        STR("--b \t\r\n" PART "\r\nx\r\n--b  \r\n" PART "\r\ny\r\n--b--"),
        STR("--b\r\nX-Extra: 1\r\n" PART "X: \r\n\r\nx\r\n--b--\r\n"),
        STR("--b\r\ncontent-DISPOSITION:FORM-DATA;NAME=a\r\n\r\nx\r\n--b--"),
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        const char *want = i == 7   ? "[a|-|-]x{1}[a|-|-]y{1}"
                           : i == 3 ? ""
                                    : "[a|-|-]x{1}";

        assert_parsed("b", texts[i], want);
    }
}

static void test_a_form_may_have_no_parts(void **st)
{
    (void)st;
    assert_parsed("b", STR("--b--"), "");
    assert_parsed("b", STR("\r\n--b--\r\n"), "");
}

static void test_data_may_be_empty_or_look_like_a_boundary(void **st)
{
    static const struct {
        struct str data;
        const char *want;
    } cases[] = {
        {STR(""), "{0}"},
        {STR("\r\n"), "\r\n{2}"},
        {STR("\r"), "\r{1}"},
        {STR("\r\n-"), "\r\n-{3}"},
        {STR("\r\n--"), "\r\n--{4}"},
        {STR("\r\n--abca"), "\r\n--abca{8}"},
        {STR("\r\n--abcab\r\n--abcab\r\n--abca"),
         "\r\n--abcab\r\n--abcab\r\n--abca{26}"},
        {STR("\r\r\n--abcax"), "\r\r\n--abcax{10}"},
        {STR("--abcabc"), NULL},
        {STR(" --abcabc"), " --abcabc{9}"},
        {STR("\n--abcabc"), "\n--abcabc{9}"},
        {STR("\r--abcabc"), "\r--abcabc{9}"},
        {STR("x--abcabc--\r\n--\r\n"), "x--abcabc--\r\n--\r\n{17}"},
        {STR("-\r\n-\r\n--\r\n--a\r\n--ab"), "-\r\n-\r\n--\r\n--a\r\n--ab{19}"},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        char text[256], want[256];
        int n = snprintf(text, sizeof(text),
                         "--abcabc\r\n" PART "\r\n%.*s"
                         "\r\n--abcabc--",
                         STR_ARG(cases[i].data));

        if (!cases[i].want) {
            assert_refused("abcabc", str_make(text, (size_t)n));
            continue;
        }
        snprintf(want, sizeof(want), "[a|-|-]%s", cases[i].want);
        assert_parsed("abcabc", str_make(text, (size_t)n), want);
    }
}

/* --- names --- */

static void test_names_are_decoded(void **st)
{
    static const struct {
        const char *params, *want;
    } cases[] = {
        {"name=a", "a|-"},
        {"name=\"a b;c\"", "a b;c|-"},
        {"name=\"a\"; filename=\"\"", "a|"},
        {"name=\"a\"; filename=", "a|"},
        {"filename=\"x\"; name=\"a\"", "a|x"},
        {"name=\"a\"; filename=\"x%22y.txt\"", "a|x\"y.txt"},
        {"name=\"a\"; filename=\"x\\\"y.txt\"", "a|x\"y.txt"},
        {"name=\"a\"; filename=\"x%0D%0Ay\"", "a|x\r\ny"},
        {"name=\"a\"; filename=\"x%41\"", "a|x%41"},
        {"name=\"a%22b\"", "a\"b|-"},
        {"name=\"a\"; filename=\"C:\\dir\\x.txt\"", "a|x.txt"},
        {"name=\"a\"; filename=\"/etc/passwd\"", "a|passwd"},
        {"name=\"a\"; filename=\"../../x\"", "a|x"},
        {"name=\"a\"; filename=\"dir/\"", "a|"},
        {"name=\"a\"; filename=\"/x\"", "a|x"},
        {"name=\"dir/a\"", "dir/a|-"},
        {"name=\"a\"; filename=\"\xc3\xa4.txt\"", "a|\xc3\xa4.txt"},
        {"name=\"a\"; filename=\"x\"; filename*=UTF-8''%c3%a4", "a|\xc3\xa4"},
        {"name=\"a\"; filename*=utf-8'de'd%2f%c3%a4; filename=x", "a|\xc3\xa4"},
        {"name=\"a\"; filename*=UTF-8''", "a|"},
        {"name=\"a\"; filename=\"x\"; filename*=iso-8859-1''%e4", "a|x"},
        {"name=\"a\"; filename*=iso-8859-1''%e4", "a|-"},
        {"name=\"a\"; size=5; x=\"y\";", "a|-"},
        {"name*=UTF-8''b; name=\"a\"", "a|-"},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        char text[256], want[64];
        int n = snprintf(text, sizeof(text),
                         "--b\r\nContent-Disposition: form-data; %s\r\n\r\n"
                         "x\r\n--b--",
                         cases[i].params);

        snprintf(want, sizeof(want), "[%s|-]x{1}", cases[i].want);
        assert_parsed("b", str_make(text, (size_t)n), want);
    }
}

static void test_malformed_headers_are_refused(void **st)
{
#define DISPOSITION "Content-Disposition: form-data; "
    static const struct str heads[] = {
        STR(""),
        STR("X: y\r\n"),
        STR("Content-Type: text/plain\r\n"),
        STR("Content-Disposition: form-data\r\n"),
        STR("Content-Disposition: form-data; filename=\"x\"\r\n"),
        STR("Content-Disposition: attachment; name=\"a\"\r\n"),
        STR("Content-Disposition: form-data name=\"a\"\r\n"),
        STR("Content-Disposition: name=\"a\"\r\n"),
        STR("Content-Disposition:\r\n"),
        STR("Content-Disposition\r\n"),
        STR("Content-Disposition : form-data; name=\"a\"\r\n"),
        STR(" Content-Disposition: form-data; name=\"a\"\r\n"),
        STR(DISPOSITION "name=\"\"\r\n"),
        STR(DISPOSITION "name=\r\n"),
        STR(DISPOSITION "name=\"a\r\n"),
        STR(DISPOSITION "name=\"a\"b\r\n"),
        STR(DISPOSITION "name=\"a\\\"\r\n"),
        STR(DISPOSITION "name*=UTF-8''a\r\n"),
        STR(DISPOSITION "name=\"a\"; name=\"b\"\r\n"),
        STR(DISPOSITION "name=\"a\"; filename=\"b\"; filename=\"c\"\r\n"),
        STR(DISPOSITION "name=\"a\"; filename*=UTF-8''b; "
                        "filename*=UTF-8''c\r\n"),
        STR(DISPOSITION "name=\"a\"\r\n" DISPOSITION "name=\"a\"\r\n"),
        STR(PART "Content-Type: a/b\r\nContent-type: a/b\r\n"),
        STR(DISPOSITION "name=\"a\xff\"\r\n"),
        STR(DISPOSITION "name=\"a\"; filename=\"\xc3\"\r\n"),
        STR(DISPOSITION "name=\"a\"; filename*=UTF-8''%ff\r\n"),
        STR(DISPOSITION "name=\"a\"; filename*=UTF-8''%4\r\n"),
        STR(DISPOSITION "name=\"a\"; filename*=UTF-8''%00\r\n"),
        STR(DISPOSITION "name=\"a\"; filename*=b\r\n"),
        STR(DISPOSITION "name=\"a\0b\"\r\n"),
        STR(DISPOSITION "name=\"a\"; x\r\n"),
        STR(DISPOSITION "\r\n name=\"a\"\r\n"),
        STR(PART "X\0: y\r\n"),
        STR(PART "X: \0\r\n"),
        STR(PART "X:\0\r\n"),
        STR(PART "X:\nY: z\r\n"),
        STR(PART "X: y\nZ: a\r\n"),
        STR(PART "X: y\rz\r\n"),
        STR(PART "X: y\r\n folded\r\n"),
        STR(PART "X y\r\n"),
        STR(PART ": y\r\n"),
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(heads); i++) {
        struct buf text;

        buf_init(&text, KIB);
        buf_add_c(&text, "--b\r\n");
        buf_add_str(&text, heads[i]);
        buf_add_c(&text, "\r\nx\r\n--b--\r\n");
        assert_refused("b", buf_str(&text));
        buf_release(&text);
    }
}

static void test_a_form_that_is_cut_short_is_refused(void **st)
{
    struct str text =
        STR("pre\r\n--b\r\n" PART "\r\nx\r\n--b\r\n" PART "\r\ny\r\n--b--");

    (void)st;
    for (size_t n = 0; n < text.n; n++) {
        struct run r;

        parse(&r, "b", str_make(text.p, n), 0, n);
        assert_int_equal(r.err, GW_OK);
        assert_int_equal(r.finish, GW_INVALID_MULTIPART);
        buf_release(&r.log);
    }
}

static void test_what_may_not_follow_a_boundary_is_refused(void **st)
{
    static const struct str texts[] = {
        STR("--bb\r\n" PART "\r\nx\r\n--b--"),
        STR("--b" PART "\r\nx\r\n--b--"),
        STR("--b\n" PART "\r\nx\r\n--b--"),
        STR("--b\r" PART "\r\nx\r\n--b--"),
        STR("--b -\r\n" PART "\r\nx\r\n--b--"),
        STR("--b --\r\n"),
        STR("--b-\r\n" PART "\r\nx\r\n--b--"),
        STR("--b\r\n" PART "\r\nx\r\n--bx\r\n--b--"),
        STR("--b\r\n" PART "\r\nx\r\n--b-x\r\n--b--"),
        STR("--b\r\n" PART "\r\nx\r\n--b\0\r\n--b--"),
        STR("--b\r\n" PART "\r\n--b\r\n" PART "\r\nx\r\n--b--"),
        STR("--b\r\n" PART "\r\n--b--"),
        STR("--b\r\n\r\n--b--"),
        STR(""),
        STR("x"),
        STR("x--b--"),
        STR("\n--b--"),
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(texts); i++)
        assert_refused("b", texts[i]);
}

/* --- limits --- */

static enum gw_err parse_long(const char *before, size_t n, const char *after)
{
    struct buf text;
    struct run r;
    char *fill;

    buf_init(&text, MIB);
    buf_add_c(&text, before);
    fill = buf_reserve(&text, n);
    assert_non_null(fill);
    memset(fill, 'x', n);
    buf_commit(&text, n);
    buf_add_c(&text, after);
    parse(&r, "b", buf_str(&text), 0, 1000);
    buf_release(&r.log);
    buf_release(&text);
    return r.finish;
}

static void test_preamble_and_headers_are_bounded(void **st)
{
    /* The CRLF in front of the headers counts as well. */
    size_t room = LIMIT_PART_HEAD_BYTES - strlen("\r\n" PART "X: \r\n\r\n");

    (void)st;
    assert_int_equal(parse_long("", LIMIT_PREAMBLE_BYTES, "\r\n--b--"), GW_OK);
    assert_int_equal(parse_long("", LIMIT_PREAMBLE_BYTES + 1, "\r\n--b--"),
                     GW_INVALID_MULTIPART);
    assert_int_equal(
        parse_long("--b\r\n" PART "X: ", room, "\r\n\r\nx\r\n--b--"), GW_OK);
    assert_int_equal(
        parse_long("--b\r\n" PART "X: ", room + 1, "\r\n\r\nx\r\n--b--"),
        GW_INVALID_MULTIPART);
}

static void test_the_number_of_parts_is_bounded(void **st)
{
    (void)st;
    for (int n = LIMIT_PARTS; n <= LIMIT_PARTS + 1; n++) {
        struct buf text;
        struct run r;

        buf_init(&text, MIB);
        for (int i = 0; i < n; i++)
            buf_add_c(&text, "--b\r\n" PART "\r\nx\r\n");
        buf_add_c(&text, "--b--");
        parse(&r, "b", buf_str(&text), 0, text.n);
        assert_int_equal(r.finish,
                         n <= LIMIT_PARTS ? GW_OK : GW_INVALID_MULTIPART);
        assert_int_equal(r.begun, LIMIT_PARTS);
        buf_release(&r.log);
        buf_release(&text);
    }
}

/* --- what callbacks may do --- */

static const struct str two_parts =
    STR("--b\r\n" PART "\r\nfirst\r\n--b\r\n" PART "\r\nsecond\r\n--b--\r\n");

static void test_a_failing_callback_stops_the_parser(void **st)
{
    (void)st;
    for (int which = 0; which < 3; which++) {
        struct run r = {.err = GW_OK};
        struct gw_error e = {0};
        size_t used;

        *(which == 0   ? &r.fail_begin
          : which == 1 ? &r.fail_data
                       : &r.fail_end) = GW_FILE_TOO_LARGE;
        buf_init(&r.log, KIB);
        multipart_init(&parser, "b", &ops, &r);
        assert_int_equal(
            multipart_feed(&parser, two_parts.p, two_parts.n, &used, &e),
            GW_FILE_TOO_LARGE);
        assert_int_equal(e.err, GW_FILE_TOO_LARGE);
        assert_string_equal(r.log.p, which == 0   ? "[a|-|-]"
                                     : which == 1 ? "[a|-|-]first"
                                                  : "[a|-|-]first{5}");
        assert_int_not_equal(
            multipart_feed(&parser, two_parts.p, two_parts.n, &used, NULL),
            GW_OK);
        assert_int_equal(used, 0);
        assert_int_equal(r.begun, 1);
        assert_int_not_equal(multipart_finish(&parser, NULL), GW_OK);
        buf_release(&r.log);
    }
}

static void test_a_callbacks_own_words_are_kept(void **st)
{
    struct run r = {.fail_data = GW_FILE_TOO_LARGE};
    struct gw_error e = {0};
    size_t used;

    (void)st;
    buf_init(&r.log, KIB);
    err_set(&e, GW_FILE_TOO_LARGE, "my own words");
    multipart_init(&parser, "b", &ops, &r);
    assert_int_equal(
        multipart_feed(&parser, two_parts.p, two_parts.n, &used, &e),
        GW_FILE_TOO_LARGE);
    assert_string_equal(e.message, "my own words");
    buf_release(&r.log);
}

static void test_a_pause_comes_right_behind_the_blank_line(void **st)
{
    struct str text = two_parts;
    const char *first = strstr(text.p, "first"),
               *second = strstr(text.p, "second");

    (void)st;
    for (size_t cut = 0; cut <= text.n; cut++) {
        struct run r = {.pausing = &parser};
        size_t at = 0, pauses = 0;

        buf_init(&r.log, KIB);
        multipart_init(&parser, "b", &ops, &r);
        while (at < text.n) {
            size_t n = at < cut ? cut - at : text.n - at, used;
            size_t begun = r.begun;

            assert_int_equal(
                multipart_feed(&parser, text.p + at, n, &used, NULL), GW_OK);
            at += used;
            assert_int_equal(parser.consumed, at);
            if (r.begun == begun) {
                assert_int_equal(used, n);
                continue;
            }
            pauses++;
            assert_ptr_equal(text.p + at, pauses == 1 ? first : second);
            assert_int_equal(multipart_held(&parser), 0);
        }
        assert_int_equal(pauses, 2);
        assert_int_equal(multipart_finish(&parser, NULL), GW_OK);
        assert_string_equal(r.log.p, "[a|-|-]first{5}[a|-|-]second{6}");
        buf_release(&r.log);
    }
}

/* --- reading in place, as the upload does --- */

/* A reader that leaves room for what is held back, and wants the data to stand
 * in one piece at the start of its buffer. */
struct in_place {
    char buf[64];
    size_t room; /* left in front of what was fed */
    size_t n;    /* bytes of data that stand there now */
    size_t was_held;
    struct buf file;
};

static enum gw_err begin_in_place(void *arg, const struct multipart_part *part)
{
    (void)arg;
    (void)part;
    return GW_OK;
}

static enum gw_err data_in_place(void *arg, struct str data)
{
    struct in_place *r = arg;

    if (data.p < r->buf || data.p >= r->buf + sizeof(r->buf)) {
        assert_int_equal(r->n, 0);
        assert_int_equal(data.n, r->room);
        memcpy(r->buf, data.p, data.n);
        r->was_held++;
    } else if (r->n) {
        /* Nothing is between what was held and the data. */
        assert_int_equal(r->n, r->room);
        assert_ptr_equal(data.p, r->buf + r->room);
    } else {
        memmove(r->buf, data.p, data.n);
    }
    r->n += data.n;
    return GW_OK;
}

static enum gw_err end_in_place(void *arg)
{
    (void)arg;
    return GW_OK;
}

static void test_held_bytes_fit_into_the_room_left_in_front(void **st)
{
    static const struct multipart_ops in_place_ops = {
        .part_begin = begin_in_place,
        .part_data = data_in_place,
        .part_end = end_in_place,
    };
    struct str text = STR("--abcabc\r\n" PART "\r\n"
                          "-\r\n--abcab\r\n--abc\r\r\n--abcab\r\nx\r\n--\r\n-a"
                          "\r\n--abcabc--\r\n");
    struct str file =
        STR("-\r\n--abcab\r\n--abc\r\r\n--abcab\r\nx\r\n--\r\n-a");

    (void)st;
    size_t was_held = 0;
    for (int round = 0; round < 2000; round++) {
        struct in_place r = {.was_held = 0};
        size_t at = 0, used;

        buf_init(&r.file, KIB);
        multipart_init(&parser, "abcabc", &in_place_ops, &r);
        while (at < text.n) {
            size_t n = 1 + noise(30);

            r.room = multipart_held(&parser);
            r.n = 0;
            n = MIN(n, MIN(text.n - at, sizeof(r.buf) - r.room));
            memcpy(r.buf + r.room, text.p + at, n);
            assert_int_equal(
                multipart_feed(&parser, r.buf + r.room, n, &used, NULL), GW_OK);
            at += used;
            buf_add(&r.file, r.buf, r.n);
        }
        assert_int_equal(multipart_finish(&parser, NULL), GW_OK);
        assert_true(str_eq(buf_str(&r.file), file));
        was_held += r.was_held;
        buf_release(&r.file);
    }
    assert_true(was_held > 1000);
}

/* --- against a naive reader --- */

static enum verdict check_body(struct str body)
{
    enum verdict want;
    struct run whole, pieces;
    struct buf log;

    buf_init(&log, 4 * MIB);
    want = naive_parse(body, random_boundary, &log);
    parse(&whole, random_boundary, body, 0, body.n);
    parse(&pieces, random_boundary, body, noise((uint32_t)body.n),
          1 + noise(40));
    assert_same(&whole, &pieces);
    buf_release(&pieces.log);
    if (want != UNDECIDED && (want == VALID) != (whole.finish == GW_OK))
        fail_msg("'%.*s' with '%s' is valid: %d", STR_ARG(body),
                 random_boundary, want == VALID);
    if (want == VALID && !str_eq(buf_str(&log), buf_str(&whole.log)))
        fail_msg("'%.*s' with '%s' gives '%s'", STR_ARG(body), random_boundary,
                 whole.log.p);
    buf_release(&whole.log);
    buf_release(&log);
    return want;
}

static void test_random_forms_are_read_as_by_a_naive_reader(void **st)
{
    int count[3] = {0};
    struct buf body;

    (void)st;
    buf_init(&body, MIB);
    for (int round = 0; round < 20000; round++) {
        make_body(&body);
        count[check_body(buf_str(&body))]++;
    }
    buf_release(&body);
    assert_true(count[VALID] > 5000);
    assert_true(count[INVALID] > 2000);
    assert_true(count[UNDECIDED] < 1000);
}

static void test_small_random_forms_are_the_same_at_every_split(void **st)
{
    struct buf body;

    (void)st;
    buf_init(&body, MIB);
    for (int round = 0; round < 150; round++) {
        struct run r;

        make_body(&body);
        r = parse_in_all_ways(random_boundary, buf_str(&body));
        buf_release(&r.log);
    }
    buf_release(&body);
}

/* Long data, in which every so many bytes there is a CR. */
static void fill_data(struct buf *b, size_t n, uint32_t spacing)
{
    while (b->n < n) {
        char text[128];
        size_t k = 1 + noise(spacing);

        for (size_t i = 0; i < k; i++)
            text[i] = (char)(0x80 | noise(128));
        text[k - 1] = '\r';
        buf_add(b, text, k);
        if (noise(4) == 0)
            buf_printf(b, "\n--%.*s",
                       (int)noise((uint32_t)strlen(random_boundary)),
                       random_boundary);
    }
}

static void test_long_data_with_few_or_many_crs_is_found_whole(void **st)
{
    static const uint32_t spacings[] = {1, 2, 15, 60, 120};
    struct buf body;

    (void)st;
    buf_init(&body, MIB);
    for (size_t i = 0; i < COUNTOF(spacings) * COUNTOF(boundaries); i++) {
        random_boundary = boundaries[i / COUNTOF(spacings)];
        buf_clear(&body);
        buf_printf(&body, "--%s\r\n" PART "\r\n", random_boundary);
        buf_add_c(&body, "x");
        fill_data(&body, 100 * KIB, spacings[i % COUNTOF(spacings)]);
        buf_printf(&body, "\r\n--%s--\r\n", random_boundary);
        assert_int_equal(check_body(buf_str(&body)), VALID);
    }
    buf_release(&body);
}

/* --- the boundary --- */

static void test_boundaries_are_found_in_content_types(void **st)
{
    static const struct {
        const char *type, *want;
    } cases[] = {
        {"multipart/form-data; boundary=abc", "abc"},
        {"Multipart/Form-Data;BOUNDARY=abc", "abc"},
        {"multipart/form-data ; charset=utf-8; boundary = abc ; x=y", "abc"},
        {"multipart/form-data; boundary=\"a b'()+_,-./:=?c\"",
         "a b'()+_,-./:=?c"},
        {"multipart/form-data; boundary===abc==", "==abc=="},
        {"multipart/form-data; boundary=azAZ09", "azAZ09"},
        {"multipart/form-data; boundary=-", "-"},
        {"multipart/form-data; boundary=0123456789012345678901234567890123456"
         "789012345678901234567890123456789",
         "0123456789012345678901234567890123456789012345678901234567890123456"
         "789"},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        char out[LIMIT_BOUNDARY_BYTES + 1];

        assert_int_equal(multipart_boundary(str_of(cases[i].type), out, NULL),
                         GW_OK);
        assert_string_equal(out, cases[i].want);
    }
}

static void test_other_content_types_are_unsupported(void **st)
{
    static const struct str types[] = {
        STR(""),
        STR("application/json"),
        STR("multipart/mixed; boundary=abc"),
        STR("multipart/form-datax; boundary=abc"),
        STR("multipart"),
        STR("boundary=abc"),
    };
    char out[LIMIT_BOUNDARY_BYTES + 1];

    (void)st;
    assert_int_equal(multipart_boundary(STR_NULL, out, NULL),
                     GW_UNSUPPORTED_MEDIA);
    for (size_t i = 0; i < COUNTOF(types); i++)
        assert_int_equal(multipart_boundary(types[i], out, NULL),
                         GW_UNSUPPORTED_MEDIA);
}

static void test_invalid_boundaries_are_refused(void **st)
{
#define TYPE "multipart/form-data"
    static const struct str types[] = {
        STR(TYPE),
        STR(TYPE ";"),
        STR(TYPE "; charset=utf-8"),
        STR(TYPE "; boundary"),
        STR(TYPE "; boundary="),
        STR(TYPE "; boundary=\"\""),
        STR(TYPE "; boundary=\"abc"),
        STR(TYPE "; boundary=\"abc \""),
        STR(TYPE "; boundary=a\"b"),
        STR(TYPE "; boundary=a\\b"),
        STR(TYPE "; boundary=\"a\\\"b\""),
        STR(TYPE "; boundary=a\rb"),
        STR(TYPE "; boundary=a\nb"),
        STR(TYPE "; boundary=a\0b"),
        STR(TYPE "; boundary=a\xc3\xa4"),
        STR(TYPE "; boundary=a@b"),
        STR(TYPE "; boundary=@b"),
        STR(TYPE "; boundary=a; boundary=a"),
        STR(TYPE "; boundary=a; boundary=b"),
        STR(TYPE "; boundary=a; x"),
        STR(TYPE "; boundary=012345678901234567890123456789012345678901234567"
                 "89012345678901234567890"),
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(types); i++) {
        char out[LIMIT_BOUNDARY_BYTES + 1];
        struct gw_error e = {0};

        if (multipart_boundary(types[i], out, &e) != GW_INVALID_MULTIPART)
            fail_msg("'%.*s' is accepted", STR_ARG(types[i]));
        assert_int_equal(e.err, GW_INVALID_MULTIPART);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_form_of_openai_node_is_read),
        cmocka_unit_test(test_the_form_of_curl_is_read),
        cmocka_unit_test(test_what_clients_leave_out_or_add_does_no_harm),
        cmocka_unit_test(test_a_form_may_have_no_parts),
        cmocka_unit_test(test_data_may_be_empty_or_look_like_a_boundary),
        cmocka_unit_test(test_names_are_decoded),
        cmocka_unit_test(test_malformed_headers_are_refused),
        cmocka_unit_test(test_a_form_that_is_cut_short_is_refused),
        cmocka_unit_test(test_what_may_not_follow_a_boundary_is_refused),
        cmocka_unit_test(test_preamble_and_headers_are_bounded),
        cmocka_unit_test(test_the_number_of_parts_is_bounded),
        cmocka_unit_test(test_a_failing_callback_stops_the_parser),
        cmocka_unit_test(test_a_callbacks_own_words_are_kept),
        cmocka_unit_test(test_a_pause_comes_right_behind_the_blank_line),
        cmocka_unit_test(test_held_bytes_fit_into_the_room_left_in_front),
        cmocka_unit_test(test_random_forms_are_read_as_by_a_naive_reader),
        cmocka_unit_test(test_small_random_forms_are_the_same_at_every_split),
        cmocka_unit_test(test_long_data_with_few_or_many_crs_is_found_whole),
        cmocka_unit_test(test_boundaries_are_found_in_content_types),
        cmocka_unit_test(test_other_content_types_are_unsupported),
        cmocka_unit_test(test_invalid_boundaries_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
