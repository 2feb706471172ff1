/* test_file_record.c -- a record as text and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "record_fixture.h"

static struct file_record back(struct arena *a, const struct file_record *f)
{
    struct gw_error e = {0};
    struct file_record out;
    struct str text = file_record_text(a, f);

    if (file_record_read(a, f->owner, text, &out, &e) != GW_OK)
        fail_msg("%s", e.message);
    return out;
}

static void a_record_comes_back_as_it_was(void **state)
{
    struct arena *a = arena_new();
    struct file_record f = sample("file-a-0"), found;

    (void)state;
    found = back(a, &f);
    same(&f, &found);
    f.obj.bytes = -1;
    f.obj.created_at = 0;
    f.obj.expires_at = INT64_MAX;
    f.obj.filename = STR("\"q\"\\ \xc3\xa4\t{}%\x01.txt");
    f.obj.status_details = STR("");
    f.obj.sha256 = STR("abcd");
    f.upstream_id = STR("s3://bucket/a b}c{d%");
    found = back(a, &f);
    same(&f, &found);
    arena_free(a);
}

static void every_status_comes_back(void **state)
{
    struct arena *a = arena_new();
    struct file_record f = sample("file-a-0");
    int i;

    (void)state;
    for (i = FILE_UPLOADED; i <= FILE_DELETED; i++) {
        f.obj.status = (enum file_status)i;
        assert_int_equal(back(a, &f).obj.status, i);
    }
    arena_free(a);
}

static void the_copies_come_back(void **state)
{
    struct arena *a = arena_new(), *b = arena_new();
    struct file_record f = sample_of_two(a, "file-a-0"), found, copy;

    (void)state;
    found = back(b, &f);
    same(&f, &found);
    file_record_copy(b, &found, &copy);
    same(&f, &copy);
    assert_int_equal(file_record_places(&found), 2);
    assert_int_equal(file_record_find(&found, STR("far")), 1);
    assert_int_equal(file_record_find(&found, STR("nowhere")), 2);
    same_str(file_record_place(&found, 1).upstream_id, STR("files/a b}c{d%"));
    arena_free(a);
    arena_free(b);
}

static void a_file_at_one_provider_is_one_place(void **state)
{
    struct file_record f = sample("file-a-0");
    struct file_copy c = file_record_place(&f, 0);

    (void)state;
    assert_int_equal(file_record_places(&f), 1);
    same_str(c.provider, f.obj.provider);
    same_str(c.upstream_id, f.upstream_id);
    assert_int_equal(c.bytes, f.obj.bytes);
    assert_int_equal(file_record_find(&f, STR("local")), 0);
    assert_int_equal(file_record_find(&f, STR("far")), 1);
}

static void the_status_is_that_of_all(void **state)
{
    static const struct {
        enum file_status a, b, all;
    } cases[] = {
        {FILE_PROCESSED, FILE_PROCESSED, FILE_PROCESSED},
        {FILE_PROCESSED, FILE_UPLOADED, FILE_UPLOADED},
        {FILE_UPLOADED, FILE_PROCESSED, FILE_UPLOADED},
        {FILE_UPLOADED, FILE_ERROR, FILE_ERROR},
        {FILE_ERROR, FILE_PROCESSED, FILE_ERROR},
    };
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct file_record f = sample("file-a-0");
        struct file_copy c[2] = {sample_copies[0], sample_copies[1]};

        c[0].status = cases[i].a;
        c[1].status = cases[i].b;
        file_record_set_copies(a, &f, c, 2);
        assert_int_equal(f.obj.status, cases[i].all);
    }
    arena_free(a);
}

/* Another version's, or nobody's: the file is at its first provider alone. */
static void copies_that_make_no_sense_are_none(void **state)
{
    static const char *const texts[] = {
        "null",
        "7",
        "[]",
        "[{\"provider\":\"a\",\"bytes\":1}]",
        "[{\"provider\":\"a\"},{\"provider\":\"b\"}]",
        "[1,2]",
        "[{},{},{},{},{},{},{},{},{}]",
    };
    struct arena *a = arena_new();

    (void)state;
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        struct gw_error e = {0};
        struct file_record f;
        struct str text = arena_printf(
            a, "{\"id\":\"i\",\"provider\":\"p\",\"copies\":%s}", texts[i]);

        assert_int_equal(file_record_read(a, STR("o"), text, &f, &e), GW_OK);
        assert_int_equal(file_record_places(&f), 1);
        assert_int_equal(f.obj.nproviders, 0);
    }
    arena_free(a);
}

static void what_is_absent_takes_no_room(void **state)
{
    struct arena *a = arena_new();
    struct file_record f =
                           {
                               .obj = {.id = STR("i"),
                                       .provider = STR("p"),
                                       .status = FILE_PROCESSED},
                               .owner = STR("t:team"),
                           },
                       found;

    (void)state;
    assert_true(str_eq_c(file_record_text(a, &f),
                         "{\"id\":\"i\",\"provider\":\"p\","
                         "\"status\":\"processed\"}"));
    found = back(a, &f);
    same(&f, &found);
    arena_free(a);
}

static void details_without_end_are_cut(void **state)
{
    struct arena *a = arena_new();
    struct file_record f = sample("file-a-0"), found;
    char *text = xmalloc(2 * MIB);

    (void)state;
    memset(text, '\x01', 2 * MIB);
    f.obj.status_details = str_make(text, 2 * MIB);
    found = back(a, &f);
    assert_int_equal(found.obj.status_details.n, 4096);
    free(text);
    arena_free(a);
}

/* Half a character would make the text none that can be read again. */
static void details_are_cut_between_characters(void **state)
{
    struct arena *a = arena_new();
    struct file_record f = sample_of_two(a, "file-a-0"), found;
    char text[5000] = "";
    size_t i;

    (void)state;
    for (i = 1; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 2);
    text[0] = 'a';
    f.obj.status_details = str_make(text, i);
    found = back(a, &f);
    assert_int_equal(found.obj.status_details.n, 4095);
    assert_int_equal(found.ncopies, 2);
    arena_free(a);
}

static bool reads_as(const char *text, const struct file_record *want)
{
    struct arena *a = arena_new();
    struct gw_error e = {0};
    struct file_record found;
    bool is_read =
        file_record_read(a, STR("t:team"), str_of(text), &found, &e) == GW_OK;

    if (is_read)
        same(want, &found);
    arena_free(a);
    return is_read;
}

/* The quick reader and the parser behind it understand the same. */
static void the_order_and_the_spelling_do_not_matter(void **state)
{
    static const char *const texts[] = {
        "{\"id\":\"i\",\"provider\":\"p\",\"filename\":\"a b\",\"bytes\":7}",
        "{\"bytes\":7,\"filename\":\"a b\",\"provider\":\"p\",\"id\":\"i\"}",
        " { \"id\" : \"i\", \"provider\":\"p\",\"filename\":\"a b\",\n"
        "\"bytes\":7 } ",
        "{\"id\":\"i\",\"provider\":\"p\",\"filename\":\"a\\u0020b\","
        "\"bytes\":7}",
        "{\"id\":\"i\",\"new\":[{\"bytes\":1}],\"provider\":\"p\","
        "\"filename\":\"a b\",\"bytes\":\"7\"}",
        "{\"id\":\"i\",\"provider\":\"p\",\"filename\":\"a b\","
        "\"purpose\":null,\"bytes\":7,\"more\":\"x\"}",
        "{\"id\":\"i\",\"provider\":\"p\",\"filename\":\"a b\","
        "\"bytes\":7.9}",
        "{\"id\":\"i\",\"provider\":\"p\",\"filename\":\"a b\","
        "\"bytes\":7,\"created_at\":\"x\"}",
    };
    struct file_record want = {
        .obj = {.id = STR("i"),
                .provider = STR("p"),
                .filename = STR("a b"),
                .bytes = 7,
                .status = FILE_PROCESSED},
        .owner = STR("t:team"),
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(texts); i++)
        if (!reads_as(texts[i], &want))
            fail_msg("not read: %s", texts[i]);
}

/* Cut at every place, it is read as a whole or not at all. */
static void half_a_record_is_none(void **state)
{
    struct arena *a = arena_new();
    struct file_record f = sample("file-a-0");
    struct str text;
    size_t n;
    int i;

    (void)state;
    for (i = 0; i < 2; i++) {
        text = file_record_text(a, &f);
        for (n = 0; n < text.n; n++)
            assert_false(reads_as(arena_cstr(a, str_make(text.p, n)), &f));
        assert_true(reads_as(text.p, &f));
        f.obj.filename = STR("\"escaped\"");
    }
    arena_free(a);
}

static void what_is_no_record_is_an_error(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{\"id\":\"i\"}",
        "{\"provider\":\"p\"}",
        "{\"id\":1,\"provider\":\"p\"}",
        "{\"id\":\"\",\"provider\":\"p\"}",
    };
    struct arena *a = arena_new();
    struct file_record f;
    struct gw_error e;
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(texts); i++) {
        e = (struct gw_error){0};
        assert_int_equal(
            file_record_read(a, STR("o"), str_of(texts[i]), &f, &e),
            GW_INTERNAL);
    }
    arena_free(a);
}

/* What is logged is not looked at. */
static int be_quiet(void **state)
{
    (void)state;
    log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_as_it_was),
        cmocka_unit_test(every_status_comes_back),
        cmocka_unit_test(the_copies_come_back),
        cmocka_unit_test(a_file_at_one_provider_is_one_place),
        cmocka_unit_test(the_status_is_that_of_all),
        cmocka_unit_test(copies_that_make_no_sense_are_none),
        cmocka_unit_test(what_is_absent_takes_no_room),
        cmocka_unit_test(details_without_end_are_cut),
        cmocka_unit_test(details_are_cut_between_characters),
        cmocka_unit_test(the_order_and_the_spelling_do_not_matter),
        cmocka_unit_test(half_a_record_is_none),
        cmocka_unit_test(what_is_no_record_is_an_error),
    };

    return cmocka_run_group_tests(tests, be_quiet, NULL);
}
