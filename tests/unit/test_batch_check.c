#include "gateway/codec/batch_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/base/bug.h"
#include "tests/unit/batch_naive.h"

#define CHAT "/v1/chat/completions"
#define LINE(id, url, model)                                                   \
    "{\"custom_id\":\"" id "\",\"method\":\"POST\",\"url\":\"" url             \
    "\",\"body\":{\"model\":\"" model "\",\"input\":[1,{\"a\":null}]}}"
#define GOOD(id) LINE(id, CHAT, "gpt-4o")

/* One check, and what came of it. */
struct run {
    struct buf out;
    struct gw_error e;
    struct batch_use use;
    int asked;
    const char *renamed, *refused; /* NULL: none */
    char name[64];                 /* the last that was asked about */
    int64_t max_lines, max_line_bytes, requests;
    bool is_lenient;
};

static enum gw_err on_model(void *arg, struct str name, struct str *renamed,
                            struct batch_use **use, struct gw_error *e)
{
    struct run *r = arg;

    r->asked++;
    snprintf(r->name, sizeof(r->name), "%.*s", STR_ARG(name));
    if (r->refused && str_eq_c(name, r->refused))
        return err_set(e, GW_MODEL_NOT_ALLOWED, "the model is not yours");
    if (r->renamed)
        *renamed = str_of(r->renamed);
    *use = &r->use;
    return GW_OK;
}

static void on_out(void *arg, struct str bytes)
{
    struct run *r = arg;

    buf_add_str(&r->out, bytes);
}

static const struct batch_check_ops ops = {.model = on_model, .out = on_out};

static void run_open(struct run *r)
{
    *r = (struct run){.max_lines = 100, .max_line_bytes = 4096};
    buf_init(&r->out, 64 * MIB);
}

/* Each chunk is a copy, exactly so large: a byte read too many is seen. */
static enum gw_err feed(struct run *r, struct batch_check *c, struct str chunk)
{
    char *copy = xmalloc(chunk.n + !chunk.n);
    enum gw_err err;

    memcpy(copy, chunk.p, chunk.n);
    err = batch_check_feed(c, copy, chunk.n, &r->e);
    free(copy);
    return err;
}

/* The file in two pieces, the second of which comes `step` bytes at a time. */
static void check_cut(struct run *r, struct str file, size_t cut, size_t step)
{
    const uint64_t key[2] = {0x0123456789abcdef, 42};
    struct batch_check c;
    enum gw_err err;

    err_clear(&r->e);
    buf_clear(&r->out);
    r->use = (struct batch_use){0};
    r->asked = 0;
    batch_check_init(&c, r->max_lines, r->max_line_bytes, key, &ops, r);
    c.is_lenient = r->is_lenient;
    err = feed(r, &c, str_make(file.p, cut));
    for (size_t i = cut; i < file.n && err == GW_OK; i += step)
        err = feed(r, &c, str_make(file.p + i, MIN(step, file.n - i)));
    if (err == GW_OK)
        err = batch_check_finish(&c, &r->e);
    assert_int_equal(err, r->e.err);
    r->requests = c.requests;
    batch_check_release(&c);
}

static void check(struct run *r, struct str file)
{
    check_cut(r, file, file.n, 1);
}

/* The verdict and what comes out are the same however the file is cut. */
static void check_everywhere(struct run *r, struct str file)
{
    struct run cut = *r;

    check(r, file);
    buf_init(&cut.out, 64 * MIB);
    for (size_t at = 0; at <= file.n; at++) {
        check_cut(&cut, file, at, file.n);
        assert_string_equal(cut.e.message, r->e.message);
        assert_string_equal(cut.e.param, r->e.param);
        if (r->e.err == GW_OK)
            assert_true(str_eq(buf_str(&cut.out), buf_str(&r->out)));
        assert_memory_equal(&cut.use, &r->use, sizeof(cut.use));
    }
    check_cut(&cut, file, 0, 1);
    assert_string_equal(cut.e.message, r->e.message);
    if (r->e.err == GW_OK)
        assert_true(str_eq(buf_str(&cut.out), buf_str(&r->out)));
    buf_release(&cut.out);
}

/* --- good files --- */

static const char *const good_files[] = {
    GOOD("a"),
    GOOD("a") "\n",
    GOOD("a") "\n" GOOD("b") "\n" GOOD("c"),
    GOOD("a") "\r\n" GOOD("b") "\r\n",
    "\n \t\r\n" GOOD("a") "\n\n\r\n" GOOD("b") "\n\n  ",
    "  " GOOD("a") " \t \n",
    /* Members in any order, others among them, white space anywhere. */
    "{ \"x\" : [ ] , \"body\" : { \"y\" : { } , \"model\" : \"m\" } , \"url\" "
    ": \"/v1/embeddings\", \"method\":\"POST\",\"custom_id\" :\"\" }",
    /* Escapes, as PHP writes slashes, and in names. */
    "{\"custom_id\":\"\\u00e9\\ud83d\\ude00\\n\",\"m\\u0065thod\":\"P\\u004fST"
    "\",\"url\":\"\\/v1\\/responses\",\"body\":{\"\\u006dodel\":\"x\\\"y\"}}",
    /* Numbers and words of every form; strings of every length of a
     * character. */
    "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/videos\",\"body\":"
    "{\"model\":\"m\",\"n\":[0,-0,10,1.50,-2e3,3E+4,5.25e-6,true,false,null,"
    "\"\",\"\xc3\xa9\xe4\xbd\xa0\xed\x9f\xbf\xee\x80\x80\xf0\x9f\x98\x80"
    "\xf4\x8f\xbf\xbf\x7f\"]}}",
    /* What is checked at the top is of no interest deeper down. */
    "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/responses\","
    "\"model\":1,\"model\":2,\"body\":{\"model\":\"m\",\"custom_id\":1,\"b\":{"
    "\"model\":3}},\"extra\":{\"url\":0}}",
    LINE("a", "/chat/completions", "a-deployment"),
};

static void good_files_pass_byte_for_byte(void **state)
{
    struct run r;

    (void)state;
    run_open(&r);
    for (size_t i = 0; i < COUNTOF(good_files); i++) {
        struct str file = str_of(good_files[i]);

        check_everywhere(&r, file);
        assert_string_equal(r.e.message, "");
        assert_true(str_eq(buf_str(&r.out), file));
        assert_int_equal(naive_check(file.p, file.n) > 0, 0);
    }
    buf_release(&r.out);
}

/* --- faults --- */

static const struct bad_file {
    const char *file, *line, *code, *param;
} bad_files[] = {
    {"", "line 1 ", "(empty_file)", ""},
    {" \n\n", "line 1 ", "(empty_file)", ""},
    {"x", "line 1 ", "(invalid_json_line)", ""},
    {"[]", "line 1 ", "(invalid_json_line)", ""},
    {"\"a\"\n", "line 1 ", "(invalid_json_line)", ""},
    {"\xef\xbb\xbf" GOOD("a"), "line 1 ", "order mark", ""},
    {"{}", "line 1 ", "(missing_required_parameter)", "custom_id"},
    {GOOD("a") "\n{", "line 2 ", "(invalid_json_line)", ""},
    {GOOD("a") GOOD("b"), "line 1 ", "(invalid_json_line)", ""},
    {GOOD("a") "\n\n" GOOD("b") ",\n", "line 3 ", "(invalid_json_line)", ""},
    {GOOD("a") "\r" GOOD("b"), "line 1 ", "(invalid_json_line)", ""},
    {GOOD("a") "\n" GOOD("b") "\n" GOOD("a") "\n", "line 3 ",
     "(duplicate_custom_id)", "custom_id"},
    {GOOD("a") "\n" GOOD("\\u0061"), "line 2 ", "(duplicate_custom_id)",
     "custom_id"},
    {GOOD("a") "\n" LINE("b", "/v1/embeddings", "m"), "line 2 ",
     "(url_mismatch)", "url"},
    {LINE("a", "/v1/files", "m"), "line 1 ", "(invalid_url)", "url"},
    {LINE("a", "https://example.com/v1/responses", "m"), "line 1 ",
     "(invalid_url)", "url"},
    {"{\"custom_id\":1,\"method\":\"POST\",\"url\":\"" CHAT
     "\",\"body\":{\"model\":\"m\"}}",
     "line 1 ", "(invalid_value)", "custom_id"},
    {"{\"custom_id\":\"a\",\"method\":\"GET\",\"url\":\"" CHAT
     "\",\"body\":{\"model\":\"m\"}}",
     "line 1 ", "(invalid_method)", "method"},
    {"{\"custom_id\":\"a\",\"url\":\"" CHAT "\",\"body\":{\"model\":\"m\"}}",
     "line 1 ", "(missing_required_parameter)", "method"},
    {"{\"custom_id\":\"a\",\"method\":\"POST\",\"body\":{\"model\":\"m\"}}",
     "line 1 ", "(missing_required_parameter)", "url"},
    {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT "\"}",
     "line 1 ", "(missing_required_parameter)", "body"},
    {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT
     "\",\"body\":[]}",
     "line 1 ", "(invalid_value)", "body"},
    {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT
     "\",\"body\":{}}",
     "line 1 ", "(missing_required_parameter)", "body.model"},
    {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT
     "\",\"body\":{\"model\":null}}",
     "line 1 ", "(invalid_value)", "body.model"},
    /* Readers differ about which of two holds. */
    {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT
     "\",\"body\":{\"model\":\"m\",\"mod\\u0065l\":\"n\"}}",
     "line 1 ", "(invalid_json_line)", "body.model"},
    {"{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT
     "\",\"body\":{\"model\":\"m\"},\"body\":{}}",
     "line 1 ", "(invalid_json_line)", "body"},
    {GOOD("a") "\n" LINE("b", CHAT, "not-yours"), "line 2 ",
     "(model_not_allowed)", "body.model"},
};

static void the_first_bad_line_is_named(void **state)
{
    struct run r;

    (void)state;
    run_open(&r);
    r.refused = "not-yours";
    for (size_t i = 0; i < COUNTOF(bad_files); i++) {
        const struct bad_file *b = &bad_files[i];

        check_everywhere(&r, str_of(b->file));
        assert_int_equal(r.e.err, GW_INVALID_BATCH_LINE);
        assert_ptr_equal(strstr(r.e.message, b->line), r.e.message);
        assert_non_null(strstr(r.e.message, b->code));
        assert_string_equal(r.e.param, b->param);
    }
    buf_release(&r.out);
}

/* What may stand for a value, and is none. */
static const char *const bad_values[] = {
    "",
    "01",
    "-",
    "1.",
    ".5",
    "1e",
    "1e+",
    "+1",
    "0x1",
    "NaN",
    "tru",
    "truex",
    "nul",
    "None",
    "'a'",
    "\"",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\t\"",
    "\"\x01\"",
    "\"\\\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800\\u0041\"",
    "\"\xff\"",
    "\"\xc0\xaf\"",
    "\"\xc3\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xe0\x9f\xbf\"",
    "\"\xf0\x8f\xbf\xbf\"",
    "[",
    "]",
    "[1",
    "[1,]",
    "[,]",
    "[1 2]",
    "{",
    "{]",
    "[}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "{\"a\" 1}",
    "{1:1}",
    "{,}",
    "1,",
    "{\"a\":1 \"b\":2}",
    "//",
};

static void broken_values_are_no_json(void **state)
{
    char file[512];
    struct run r;

    (void)state;
    run_open(&r);
    for (size_t i = 0; i < COUNTOF(bad_values); i++) {
        snprintf(file, sizeof(file),
                 "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT
                 "\",\"body\":{\"model\":\"m\",\"v\":%s}}",
                 bad_values[i]);
        check_everywhere(&r, str_of(file));
        assert_non_null(strstr(r.e.message, "(invalid_json_line)"));
        assert_int_equal(naive_check(file, strlen(file)), 1);
    }
    buf_release(&r.out);
}

/* Any byte that is special, at each place of a string: whatever is skipped at
 * once, it is seen. */
static void a_control_byte_anywhere_in_a_string_is_seen(void **state)
{
    char file[512], text[65];
    struct run r;

    (void)state;
    run_open(&r);
    for (int at = 0; at < 64; at++) {
        for (int bad = 0; bad < 2; bad++) {
            memset(text, 'x', 64);
            text[64] = '\0';
            text[at] = bad ? '\x1f' : '\x7f';
            snprintf(file, sizeof(file),
                     "{\"custom_id\":\"%s\",\"method\":\"POST\",\"url\":\"" CHAT
                     "\",\"body\":{\"model\":\"m\"}}",
                     text);
            check(&r, str_of(file));
            assert_int_equal(r.e.err, bad ? GW_INVALID_BATCH_LINE : GW_OK);
        }
    }
    buf_release(&r.out);
}

/* --- bounds --- */

static void add_nested(struct buf *b, int depth, const char *open,
                       const char *close)
{
    buf_add_c(b, "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT
                 "\",\"body\":{\"model\":\"m\",\"v\":");
    for (int i = 0; i < depth; i++)
        buf_add_c(b, open);
    buf_add_c(b, "1");
    for (int i = 0; i < depth; i++)
        buf_add_c(b, close);
    buf_add_c(b, "}}");
}

static void nesting_is_bounded(void **state)
{
    static const char *const brackets[][2] = {{"[", "]"}, {"{\"a\":", "}"}};
    struct buf b;
    struct run r;

    (void)state;
    run_open(&r);
    r.max_line_bytes = MIB;
    buf_init(&b, MIB);
    for (size_t i = 0; i < COUNTOF(brackets); i++) {
        buf_clear(&b);
        add_nested(&b, LIMIT_SCAN_DEPTH, brackets[i][0], brackets[i][1]);
        check(&r, buf_str(&b));
        assert_string_equal(r.e.message, "");
        buf_clear(&b);
        add_nested(&b, LIMIT_SCAN_DEPTH + 1, brackets[i][0], brackets[i][1]);
        check(&r, buf_str(&b));
        assert_non_null(strstr(r.e.message, "nested too deeply"));
    }
    buf_release(&b);
    buf_release(&r.out);
}

static void a_line_may_be_as_long_as_allowed(void **state)
{
    struct str file = STR(GOOD("a") "\n" GOOD("b") "\n");
    struct run r;

    (void)state;
    run_open(&r);
    r.max_line_bytes = (int64_t)strlen(GOOD("a"));
    check_everywhere(&r, file);
    assert_int_equal(r.e.err, GW_OK);
    r.max_line_bytes--;
    check_everywhere(&r, file);
    assert_non_null(strstr(r.e.message, "(line_too_long)"));
    /* So may one of blanks be, and what begins behind them. */
    r.max_line_bytes = 8;
    check_everywhere(&r, STR("        \n         x"));
    assert_non_null(strstr(r.e.message, "line 2 "));
    assert_non_null(strstr(r.e.message, "(line_too_long)"));
    buf_release(&r.out);
}

static void a_huge_line_passes_in_small_pieces(void **state)
{
    struct buf file;
    struct run r;

    (void)state;
    run_open(&r);
    r.max_line_bytes = 16 * MIB;
    buf_init(&file, 16 * MIB);
    buf_add_c(&file, "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" CHAT
                     "\",\"body\":{\"text\":\"");
    for (int i = 0; i < 1000000; i++)
        buf_add_c(&file, i % 7 ? "abcdefgh" : "\\n\xc3\xa9");
    buf_add_c(&file, "\",\"model\":\"m\"}}\n" GOOD("b"));
    r.renamed = "n";
    check_cut(&r, buf_str(&file), 0, 4093);
    assert_string_equal(r.e.message, "");
    assert_int_equal(r.use.lines, 2);
    assert_int_equal(r.out.n, file.n - strlen("gpt-4o") + 1);
    buf_release(&file);
    buf_release(&r.out);
}

static void there_may_be_as_many_requests_as_allowed(void **state)
{
    struct run r;

    (void)state;
    run_open(&r);
    r.max_lines = 2;
    check_everywhere(&r, STR("\n" GOOD("a") "\n\n" GOOD("b") "\n\n"));
    assert_int_equal(r.e.err, GW_OK);
    check_everywhere(&r, STR(GOOD("a") "\n\n" GOOD("b") "\n" GOOD("c")));
    assert_non_null(strstr(r.e.message, "line 4 "));
    assert_non_null(strstr(r.e.message, "(too_many_tasks)"));
    buf_release(&r.out);
}

static void fifty_thousand_ids_are_told_apart(void **state)
{
    struct buf file;
    struct run r;

    (void)state;
    run_open(&r);
    r.max_lines = 60000;
    buf_init(&file, 64 * MIB);
    for (int i = 0; i < 50000; i++)
        buf_printf(&file,
                   "{\"custom_id\":\"%d\",\"method\":\"POST\",\"url\":\"" CHAT
                   "\",\"body\":{\"model\":\"m\"}}\n",
                   i);
    check(&r, buf_str(&file));
    assert_string_equal(r.e.message, "");
    assert_int_equal(r.asked, 1);
    assert_int_equal(r.use.lines, 50000);
    buf_add_c(&file, LINE("31415", CHAT, "m"));
    check(&r, buf_str(&file));
    assert_non_null(strstr(r.e.message, "line 50001 "));
    buf_release(&file);
    buf_release(&r.out);
}

/* --- renaming --- */

static void only_the_name_of_the_model_is_replaced(void **state)
{
    /* White space, escapes and the end of the file stay as they are. */
    struct str file =
        STR("\r\n {\"custom_id\":\"gpt-4o\", \"body\" :{ \"x\":\"gpt-4o\","
            "\"model\": \"gpt-4o\" ,\"model2\":\"gpt-4o\"},\"url\":\"" CHAT
            "\",\"method\":\"POST\"}\r\n" LINE("b", CHAT, "gpt\\u002d4o"));
    static const char *const names[] = {"x", "gpt-4O", "a much longer \"name\"",
                                        ""};
    struct run r;
    struct buf want;

    (void)state;
    run_open(&r);
    buf_init(&want, 64 * KIB);
    for (size_t i = 0; i < COUNTOF(names); i++) {
        const char *quoted = i == 2 ? "a much longer \\\"name\\\"" : names[i];

        buf_clear(&want);
        buf_printf(&want,
                   "\r\n {\"custom_id\":\"gpt-4o\", \"body\" :{ \"x\":"
                   "\"gpt-4o\",\"model\": \"%s\" ,\"model2\":\"gpt-4o\"},"
                   "\"url\":\"" CHAT "\",\"method\":\"POST\"}\r\n"
                   "{\"custom_id\":\"b\",\"method\":\"POST\",\"url\":\"" CHAT
                   "\",\"body\":{\"model\":\"%s\",\"input\":[1,{\"a\":null}]}}",
                   quoted, quoted);
        r.renamed = names[i];
        check_everywhere(&r, file);
        assert_string_equal(r.e.message, "");
        assert_string_equal(r.out.p, want.p);
        assert_string_equal(r.name, "gpt-4o");
        assert_int_equal(r.use.lines, 2);
        assert_int_equal(r.use.first_line, 2);
        assert_int_equal(r.use.bytes, 8 + 13);
        assert_int_equal(r.asked, 2); /* written in two ways */
    }
    buf_release(&want);
    buf_release(&r.out);
}

/* --- against jansson --- */

static uint64_t lot_state = 88172645463325252u;

static uint64_t lot(uint64_t n)
{
    lot_state ^= lot_state << 13;
    lot_state ^= lot_state >> 7;
    lot_state ^= lot_state << 17;
    return lot_state % n;
}

static const char *const pieces[] = {
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "\r\n",
    "\\u0041",
    "\\ud83d\\ude00",
    "\\ud83d",
    "\xc3\xa9",
    "\xed\xa0\x80",
    "\xf0\x9f\x98\x80",
    "1e5",
    "01",
    "true",
    "null",
    " ",
    "\"model\":\"b\",",
    "\"custom_id\":\"b\",",
    "\"body\":{},",
};

/* One to three edits: a byte, a cut, or a piece put in. */
static void spoil(struct buf *b)
{
    for (uint64_t edits = 1 + lot(3); edits && b->n > 8; edits--) {
        size_t at = lot(b->n - 4), n = 1 + lot(4);
        const char *piece = pieces[lot(COUNTOF(pieces))];
        struct buf tail;

        buf_init(&tail, MIB);
        buf_add(&tail, b->p + at, b->n - at);
        b->n = at;
        switch (lot(3)) {
        case 0:
            tail.p[0] = (char)lot(256);
            break;
        case 1:
            buf_consume(&tail, n);
            break;
        default:
            buf_add_c(b, piece);
        }
        buf_add_str(b, buf_str(&tail));
        buf_release(&tail);
    }
}

static void the_verdict_is_that_of_a_tree_per_line(void **state)
{
    int bad = 0, sure = 0;
    struct buf b;
    struct run r;

    (void)state;
    run_open(&r);
    buf_init(&b, MIB);
    for (int i = 0; i < 20000; i++) {
        long want, line = 0;

        buf_clear(&b);
        buf_add_c(&b, good_files[lot(COUNTOF(good_files))]);
        if (i % 4)
            spoil(&b);
        want = naive_check(b.p, b.n);
        check_cut(&r, buf_str(&b), 0, 1 + lot(200));
        if (want == NAIVE_UNSURE)
            continue;
        if (r.e.err != GW_OK)
            assert_int_equal(sscanf(r.e.message, "line %ld ", &line), 1);
        if (line != want)
            fail_msg("line %ld, not %ld, of: %s", line, want, b.p);
        sure++;
        bad += want != 0;
    }
    /* Of both kinds there were many. */
    assert_in_range(bad, sure / 4, sure * 3 / 4);
    buf_release(&b);
    buf_release(&r.out);
}

/* The lenient check of a file tells what a strict one would have said. */
static void a_lenient_check_knows_what_a_strict_one_says(void **state)
{
    static const char *const files[] = {
        GOOD("a") "\n" GOOD("b"),
        GOOD("a") "\n\n{\"custom_id\":\"b\",\"body\":{}}\n" GOOD("c"),
        GOOD("a") "\n" LINE("b", "/x", "m") "\n{",
        GOOD("a") "\n{\n" LINE("b", "/x", "m"),
        GOOD("a") "\n" GOOD("a"),
        "\n",
    };
    const uint64_t key[2] = {1, 2};
    struct run r;

    (void)state;
    run_open(&r);
    for (size_t i = 0; i < COUNTOF(files); i++) {
        struct str file = str_of(files[i]);
        struct batch_check c;
        struct gw_error e = {0}, strict;

        check_everywhere(&r, file);
        strict = r.e;
        batch_check_init(&c, 100, 4096, key, &ops, &r);
        c.is_lenient = true;
        if (batch_check_feed(&c, file.p, file.n, &e) == GW_OK)
            (void)!batch_check_finish(&c, &e);
        assert_int_equal(c.strict.err ? c.strict.err : e.err, strict.err);
        assert_string_equal(c.strict.err ? c.strict.message : e.message,
                            strict.message);
        if (c.strict.err)
            assert_int_equal(c.strict_line, i == 1 ? 3 : 2);
        batch_check_release(&c);
    }
    buf_release(&r.out);
}

static void other_formats_pass_when_it_is_lenient(void **state)
{
    static const struct {
        const char *file;
        int64_t requests;
        enum gw_err err;
    } files[] = {
        /* clang-format off */
        {"{\"custom_id\":\"a\",\"body\":{\"model\":\"m\"}}\n"
         "{\"custom_id\":\"b\",\"body\":{}}\n",               2, GW_OK},
        {GOOD("a"),                                         1, GW_OK},
        {"{\"custom_id\":\"a\",\"url\":\"/x\",\"body\":{}}", 1, GW_OK},
        {"{\"body\":{}}",                                   1, GW_INVALID_BATCH_LINE},
        {"{\"custom_id\":\"a\",\"url\":7,\"body\":{}}",     1, GW_INVALID_BATCH_LINE},
        {"text\n",                                          0, GW_INVALID_BATCH_LINE},
        /* clang-format on */
    };

    struct run r;

    (void)state;
    run_open(&r);
    r.is_lenient = true;
    for (size_t i = 0; i < COUNTOF(files); i++) {
        check_everywhere(&r, str_of(files[i].file));
        assert_int_equal(r.e.err, files[i].err);
        assert_int_equal(r.requests, files[i].requests);
    }
    buf_release(&r.out);
}

/* --- ids of files --- */

#define BODY(url, body)                                                        \
    "{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"" url                  \
    "\",\"body\":" body "}"
#define PICTURE(id)                                                            \
    "{\"messages\":[{\"content\":[{\"file\":{\"file_id\":\"" id                \
    "\"},\"type\":\"file\"}]}],\"model\":\"m\",\"x\":[{\"content\":1}]}"

/* Ids begin with what is to happen to them: ok-, slow- (not known at first),
 * bad-, long-. */
struct id_run {
    struct buf out;
    struct gw_error e;
    char known[4][32];
    int n, asked, waits;
    const char *renamed;
};

static enum batch_id on_id(void *arg, struct str id, size_t room,
                           struct str *with, struct gw_error *e)
{
    struct id_run *r = arg;

    assert_true(room >= id.n + 2);
    r->asked++;
    if (str_starts(id, STR("bad-"))) {
        err_set(e, GW_FILE_NOT_FOUND, "there is no such file");
        return BATCH_ID_REFUSED;
    }
    *with = str_starts(id, STR("long-")) ? STR("an id that is \"longer\"")
                                         : STR("s");
    if (!str_starts(id, STR("slow-")))
        return BATCH_ID_KNOWN;
    for (int i = 0; i < r->n; i++)
        if (str_eq_c(id, r->known[i]))
            return BATCH_ID_KNOWN;
    snprintf(r->known[r->n++], sizeof(r->known[0]), "%.*s", STR_ARG(id));
    return BATCH_ID_NOT_YET;
}

static enum gw_err on_any_model(void *arg, struct str name, struct str *renamed,
                                struct batch_use **use, struct gw_error *e)
{
    struct id_run *r = arg;

    (void)name;
    (void)use;
    (void)e;
    if (r->renamed)
        *renamed = str_of(r->renamed);
    return GW_OK;
}

static void on_id_out(void *arg, struct str bytes)
{
    struct id_run *r = arg;

    buf_add_str(&r->out, bytes);
}

static const struct batch_check_ops id_ops = {
    .model = on_any_model,
    .id = on_id,
    .out = on_id_out,
};

static enum gw_err feed_ids(struct id_run *r, struct batch_check *c,
                            struct str chunk)
{
    char *copy = xmalloc(chunk.n + !chunk.n);
    enum gw_err err;

    memcpy(copy, chunk.p, chunk.n);
    err = batch_check_feed(c, copy, chunk.n, &r->e);
    while (err == GW_OK && batch_check_is_waiting(c)) {
        r->waits++;
        err = batch_check_resume(c, &r->e);
    }
    free(copy);
    return err;
}

static void check_ids_cut(struct id_run *r, struct str file, size_t cut,
                          size_t step)
{
    const uint64_t key[2] = {1, 2};
    struct batch_check c;
    enum gw_err err;

    err_clear(&r->e);
    buf_clear(&r->out);
    r->n = r->asked = r->waits = 0;
    batch_check_init(&c, 100, 100000, key, &id_ops, r);
    err = feed_ids(r, &c, str_make(file.p, cut));
    for (size_t i = cut; i < file.n && err == GW_OK; i += step)
        err = feed_ids(r, &c, str_make(file.p + i, MIN(step, file.n - i)));
    while (err == GW_OK && !batch_check_is_ready(&c))
        r->waits++;
    if (err == GW_OK)
        err = batch_check_finish(&c, &r->e);
    assert_int_equal(err, r->e.err);
    batch_check_release(&c);
}

static const struct {
    const char *file, *renamed, *wanted;
    int waits;
} id_files[] = {
    {BODY(CHAT, PICTURE("ok-1")), NULL, "\"file_id\":\"s\"   }", 0},
    {BODY(CHAT, PICTURE("slow-1")) "\n", NULL, "\"file_id\":\"s\"     }", 1},
    {BODY(CHAT, PICTURE("slow-1")), NULL, "\"file_id\":\"s\"     }", 1},
    {BODY(CHAT, PICTURE("long-1")), NULL,
     "\"file_id\":\"an id that is \\\"longer\\\"\"}", 0},
    {BODY(CHAT, PICTURE("ok-1")), "other model",
     "\"s\"   },\"type\":\"file\"}]}],\"model\":\"other model\"", 0},
    {BODY("/v1/images/edits",
          "{\"model\":\"m\",\"mask\":{\"file_id\":\"slow-1\"},\"images\":[{"
          "\"file_id\":\"slow-2\"},{\"file_id\":\"slow-1\"}]}"),
     "n",
     "{\"model\":\"n\",\"mask\":{\"file_id\":\"s\"     },\"images\":[{"
     "\"file_id\":\"s\"     },{\"file_id\":\"s\"     }]}",
     2},
    {BODY(CHAT, PICTURE("cfile_1")), NULL, "\"file_id\":\"cfile_1\"}", 0},
    {BODY("/v1/rerank", PICTURE("bad-1")), NULL, "\"bad-1\"", 0},
    {BODY(CHAT, "{\"model\":\"m\",\"metadata\":{\"file_id\":\"bad-1\"}}"), NULL,
     "\"bad-1\"", 0},
};

static void files_that_lines_name_get_another_id(void **state)
{
    struct id_run r = {0};

    (void)state;
    buf_init(&r.out, MIB);
    for (size_t i = 0; i < COUNTOF(id_files); i++) {
        struct str file = str_of(id_files[i].file);

        r.renamed = id_files[i].renamed;
        for (size_t cut = 0; cut <= file.n; cut++) {
            check_ids_cut(&r, file, cut, cut % 2 ? 1 : file.n);
            assert_int_equal(r.e.err, GW_OK);
            assert_non_null(strstr(r.out.p, id_files[i].wanted));
            assert_int_equal(r.waits, id_files[i].waits);
        }
    }
    buf_release(&r.out);
}

static const struct {
    const char *file, *message, *param;
} bad_ids[] = {
    {GOOD("x") "\n" BODY(CHAT, PICTURE("bad-1")) "\n" GOOD("a"),
     "line 2 of the batch file: there is no such file (file_not_found)",
     "body.messages[0].content[0].file.file_id"},
    {BODY(CHAT, "{\"model\":\"m\",\"file_id\":\"ok-1\"}"),
     "line 1 of the batch file: it names a file where that has no meaning "
     "(invalid_value)",
     "body.file_id"},
    {BODY(CHAT, "{\"model\":\"m\",\"file\\u005fids\":[\"ok-1\"]}"),
     "line 1 of the batch file: it names a file where that has no meaning "
     "(invalid_value)",
     NULL},
};

static void files_that_cannot_be_named_are_a_fault(void **state)
{
    struct id_run r = {0};

    (void)state;
    buf_init(&r.out, MIB);
    for (size_t i = 0; i < COUNTOF(bad_ids); i++) {
        struct str file = str_of(bad_ids[i].file);

        for (size_t cut = 0; cut <= file.n; cut++) {
            check_ids_cut(&r, file, cut, cut % 2 ? 1 : file.n);
            assert_int_equal(r.e.err, GW_INVALID_BATCH_LINE);
            assert_string_equal(r.e.message, bad_ids[i].message);
            if (bad_ids[i].param)
                assert_string_equal(r.e.param, bad_ids[i].param);
        }
    }
    buf_release(&r.out);
}

static void a_line_that_waited_is_counted_once(void **state)
{
    static const char file[] =
        BODY(CHAT, PICTURE("slow-1")) "\n" BODY(CHAT, PICTURE("slow-2")) "\n";
    struct id_run r = {0};

    (void)state;
    buf_init(&r.out, MIB);
    check_ids_cut(&r, str_of(file), 0, 50);
    assert_int_equal(r.waits, 2);
    /* Both have the same custom_id: that is the second one's fault alone. */
    assert_int_equal(r.e.err, GW_INVALID_BATCH_LINE);
    assert_non_null(strstr(r.e.message, "line 2 "));
    assert_non_null(strstr(r.e.message, "duplicate_custom_id"));
    buf_release(&r.out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_pass_byte_for_byte),
        cmocka_unit_test(the_first_bad_line_is_named),
        cmocka_unit_test(broken_values_are_no_json),
        cmocka_unit_test(a_control_byte_anywhere_in_a_string_is_seen),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(a_line_may_be_as_long_as_allowed),
        cmocka_unit_test(a_huge_line_passes_in_small_pieces),
        cmocka_unit_test(there_may_be_as_many_requests_as_allowed),
        cmocka_unit_test(fifty_thousand_ids_are_told_apart),
        cmocka_unit_test(other_formats_pass_when_it_is_lenient),
        cmocka_unit_test(a_lenient_check_knows_what_a_strict_one_says),
        cmocka_unit_test(only_the_name_of_the_model_is_replaced),
        cmocka_unit_test(the_verdict_is_that_of_a_tree_per_line),
        cmocka_unit_test(files_that_lines_name_get_another_id),
        cmocka_unit_test(files_that_cannot_be_named_are_a_fault),
        cmocka_unit_test(a_line_that_waited_is_counted_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
