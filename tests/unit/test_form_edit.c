/* test_form_edit.c -- a form comes out as it came, but for what was changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/codec/form_edit.h"

#define FIELD(name, value)                                                     \
    "--b\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value   \
    "\r\n"
#define UPLOAD(name, bytes)                                                    \
    "--b\r\nContent-Disposition: form-data; name=\"" name                      \
    "\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n" bytes "\r\n"
#define END "--b--\r\n"

struct seen {
    char late[200];
    enum gw_err verdict;
};

static enum gw_err on_late(void *arg, const struct form_edit_field *f,
                           struct gw_error *e)
{
    struct seen *s = arg;

    snprintf(s->late, sizeof(s->late), "%.*s=%.*s", STR_ARG(f->name),
             STR_ARG(f->value));
    return s->verdict == GW_OK ? GW_OK : err_plain(e, s->verdict);
}

struct run {
    struct arena *a;
    struct form_edit f;
    struct buf out;
    struct seen seen;
    struct gw_error e;
};

static void begin(struct run *r)
{
    memset(r, 0, sizeof(*r));
    r->a = arena_new();
    buf_init(&r->out, MIB);
    form_edit_init(&r->f, r->a, "b", on_late, &r->seen);
}

static void end(struct run *r)
{
    form_edit_release(&r->f);
    buf_release(&r->out);
    arena_free(r->a);
}

/* Change what was kept as the test wants, and go on. */
static enum gw_err at_head(struct run *r, const char *model, bool cuts)
{
    size_t i;

    for (i = 0; i < r->f.n; i++) {
        if (model && r->f.v[i].matter == FORM_NAMES_MODEL)
            r->f.v[i].with = str_of(model);
        r->f.v[i].is_left_out = cuts && r->f.v[i].matter == FORM_NAMES_PROVIDER;
    }
    form_edit_write(&r->f, &r->out);
    return form_edit_go(&r->f, &r->e);
}

/* Feed the text, cut at `at`; what comes out is in r->out. */
static enum gw_err pass(struct run *r, const char *text, size_t at,
                        const char *model, bool cuts)
{
    size_t n = strlen(text), cut[] = {0, at, n}, i;
    bool went = false;

    for (i = 0; i < 2; i++) {
        size_t piece = cut[i + 1] - cut[i];

        if (form_edit_feed(&r->f, text + cut[i], piece, &r->e) != GW_OK)
            return r->e.err;
        if (went)
            buf_add(&r->out, text + cut[i], piece);
        if (r->f.has_head && !went) {
            went = true;
            if (at_head(r, model, cuts) != GW_OK)
                return r->e.err;
        }
    }
    if (form_edit_finish(&r->f, &r->e) != GW_OK)
        return r->e.err;
    return went ? GW_OK : at_head(r, model, cuts);
}

static void expect(const char *in, const char *model, bool cuts,
                   const char *out)
{
    struct run r;
    size_t at;

    for (at = 0; at <= strlen(in); at++) {
        begin(&r);
        assert_int_equal(pass(&r, in, at, model, cuts), GW_OK);
        assert_true(str_eq_c(buf_str(&r.out), out));
        end(&r);
    }
}

static void expect_refused(const char *in, const char *param)
{
    struct run r;
    size_t at;

    for (at = 0; at <= strlen(in); at++) {
        begin(&r);
        r.seen.verdict = GW_INVALID_VALUE;
        assert_int_not_equal(pass(&r, in, at, NULL, false), GW_OK);
        if (param)
            assert_string_equal(r.e.param, param);
        end(&r);
    }
}

static void test_a_form_that_is_left_alone_stays_as_it_came(void **state)
{
    static const char *const forms[] = {
        FIELD("model", "m") UPLOAD("file", "\r\n--ytes") END,
        UPLOAD("file", "x") FIELD("language", "de") END,
        FIELD("a", "") FIELD("b", "\r\n-") END "epilogue",
        "preamble\r\n" FIELD("model", "m") UPLOAD("file", "") END,
        END,
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(forms); i++)
        expect(forms[i], NULL, true, forms[i]);
}

static void test_a_value_before_the_file_is_replaced(void **state)
{
    (void)state;
    expect(FIELD("a", "model") FIELD("model", "alias") FIELD("c", "d")
               UPLOAD("file", "alias") FIELD("e", "f") END,
           "longer-than-it", false,
           FIELD("a", "model") FIELD("model", "longer-than-it") FIELD("c", "d")
               UPLOAD("file", "alias") FIELD("e", "f") END);
}

static void test_fields_are_left_out(void **state)
{
    (void)state;
    expect(FIELD("provider", "x") FIELD("model", "m") FIELD("custom_x", "y")
               UPLOAD("file", "z") END,
           NULL, true,
           FIELD("model", "m") FIELD("custom_x", "y") UPLOAD("file", "z") END);
    expect(FIELD("model", "m") FIELD("provider", "x") UPLOAD("file", "z") END,
           "n", true, FIELD("model", "n") UPLOAD("file", "z") END);
    expect(FIELD("provider", "x") END, NULL, true, END);
}

static void test_what_a_name_is_about(void **state)
{
    static const struct {
        const char *name;
        enum form_matter matter;
    } names[] = {
        {"model", FORM_NAMES_MODEL},
        {"stream", FORM_STREAMS},
        {"custom_llm_provider", FORM_NAMES_PROVIDER},
        {"file_id", FORM_NAMES_FILE},
        {"file_ids[]", FORM_NAMES_FILE},
        {"file_ids[3]", FORM_NAMES_FILE},
        {"input_reference[file_id]", FORM_NAMES_FILE},
        {"images[0][file_id]", FORM_NAMES_FILE},
        {"images[][file_id]", FORM_NAMES_FILE},
        {"mask.file_id", FORM_NAMES_FILE},
        {"file", FORM_OTHER},
        {"my_file_id", FORM_OTHER},
        {"file_id[x]", FORM_OTHER},
        {"]", FORM_OTHER},
        {"[]", FORM_OTHER},
        {"", FORM_OTHER},
        {"x]", FORM_OTHER},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(names); i++)
        assert_int_equal(form_edit_matter(str_of(names[i].name)),
                         names[i].matter);
}

static void test_what_stands_behind_the_file_is_told(void **state)
{
    static const char in[] =
        UPLOAD("file", "x") FIELD("prompt", "p") FIELD("model", "late") END;
    struct run r;
    size_t at;

    (void)state;
    for (at = 0; at <= sizeof(in) - 1; at++) {
        begin(&r);
        assert_int_equal(pass(&r, in, at, NULL, false), GW_OK);
        assert_string_equal(r.seen.late, "model=late");
        end(&r);
    }
    expect_refused(in, NULL);
    expect_refused(UPLOAD("file", "x") FIELD("a[file_id]", "y") END, NULL);
}

static void test_what_readers_differ_about_is_refused(void **state)
{
    (void)state;
    expect_refused(FIELD("model", "a") FIELD("model", "b") END, "model");
    expect_refused(FIELD("model", "a") UPLOAD("file", "") FIELD("model", "b")
                       END,
                   "model");
    expect_refused(FIELD("file_id", "a") FIELD("file_id", "b") END, "file_id");
    expect_refused(UPLOAD("file_id", "a") END, "file_id");
    expect_refused(UPLOAD("file", "a"), NULL);
    expect(FIELD("file_ids[]", "a") FIELD("file_ids[]", "b") END, NULL, false,
           FIELD("file_ids[]", "a") FIELD("file_ids[]", "b") END);
}

static void test_what_stands_before_the_file_is_bounded(void **state)
{
    struct buf in;
    struct run r;

    (void)state;
    begin(&r);
    buf_init(&in, MIB);
    buf_add_c(&in, "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n");
    while (in.n <= LIMIT_FORM_HEAD_BYTES)
        buf_add_c(&in, "aaaaaaaaaaaaaaaa");
    assert_int_equal(form_edit_feed(&r.f, in.p, in.n, &r.e),
                     GW_INVALID_MULTIPART);
    buf_release(&in);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_form_that_is_left_alone_stays_as_it_came),
        cmocka_unit_test(test_a_value_before_the_file_is_replaced),
        cmocka_unit_test(test_fields_are_left_out),
        cmocka_unit_test(test_what_a_name_is_about),
        cmocka_unit_test(test_what_stands_behind_the_file_is_told),
        cmocka_unit_test(test_what_readers_differ_about_is_refused),
        cmocka_unit_test(test_what_stands_before_the_file_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
