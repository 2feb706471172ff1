/* test_xml.c -- what object stores send, and what nobody should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/codec/xml.h"

static struct arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void assert_str(struct str got, const char *want)
{
    assert_int_equal(got.n, strlen(want));
    assert_memory_equal(got.p, want, got.n);
}

static const char list[] =
    "\n <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- <a> -->"
    "<List xmlns=\"http://x/?a>b\"><Name>b</Name><Empty/><Also />"
    "<Contents><Key>a&amp;b</Key><Size>1</Size></Contents>"
    "<Contents ><Key>c</Key >\n<Contents>deep</Contents></Contents></List>\n";

static void elements_are_taken_in_their_order(void **state)
{
    static const char *const names[] = {"Name", "Empty", "Also", "Contents",
                                        "Contents"};
    struct str rest = str_of(list), name, inner;
    size_t i;

    (void)state;
    assert_true(xml_next(&rest, &name, &inner));
    assert_str(name, "List");
    for (i = 0; i < COUNTOF(names); i++) {
        struct str content;

        assert_true(xml_next(&inner, &name, &content));
        assert_str(name, names[i]);
        if (i == 3)
            assert_str(xml_child_text(arena, content, STR("Key")), "a&b");
        if (i == 4)
            assert_str(xml_child(content, STR("Contents")), "deep");
    }
    assert_false(xml_next(&inner, &name, &inner));
    assert_false(xml_next(&rest, &name, &inner));
}

static void what_is_not_there_is_empty(void **state)
{
    struct str inner = STR("<a>1</a><b><c/></b>");

    (void)state;
    assert_null(xml_child(inner, STR("c")).p);
    assert_str(xml_child_text(arena, inner, STR("c")), "");
    assert_str(xml_child_text(arena, inner, STR("b")), "");
    assert_str(xml_child_text(arena, inner, STR("a")), "1");
    assert_null(xml_child(STR(""), STR("c")).p);
    assert_null(xml_child(STR_NULL, STR("c")).p);
}

static void a_document_that_is_cut_off_has_no_element(void **state)
{
    struct str whole = STR("<a x='>'><b>1</b><!-- c --></a>"), name, inner;
    size_t n;

    (void)state;
    for (n = 0; n < whole.n; n++) {
        /* A copy of its own, so that reading past its end is seen. */
        struct str rest = arena_dup(arena, str_make(whole.p, n));

        assert_false(xml_next(&rest, &name, &inner));
    }
    assert_true(xml_next(&whole, &name, &inner));
    assert_str(inner, "<b>1</b><!-- c -->");
}

static void broken_xml_is_not_read(void **state)
{
    static const char *const texts[] = {
        "",
        "text",
        "{}",
        "<>",
        "< a>1</a>",
        "</a>",
        "<a>1</b>",
        "<a><b></a>",
        "<a><b></a></b>",
        "<a <b></b></a>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
        "<a><![CDATA[1]]></a>",
        "<a b=\"></a>",
        "<!-- <a></a>",
        "<?xml <a></a>",
        "<//a>",
        "<a><//></a>",
    };
    struct str name, inner;
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(texts); i++) {
        struct str rest = str_of(texts[i]);

        if (xml_next(&rest, &name, &inner))
            fail_msg("read as an element: %s", texts[i]);
    }
}

static void deep_nesting_takes_no_stack(void **state)
{
    enum { DEPTH = 100000 };
    char *text = arena_alloc(arena, DEPTH * 7 + 1), *p = text;
    struct str rest, name, inner;
    size_t i;

    (void)state;
    for (i = 0; i < DEPTH; i++)
        p = mempcpy(p, "<a>", 3);
    for (i = 0; i < DEPTH; i++)
        p = mempcpy(p, "</a>", 4);
    rest = str_make(text, (size_t)(p - text));
    assert_true(xml_next(&rest, &name, &inner));
    assert_int_equal(inner.n, DEPTH * 7 - 7);
}

static void entities_become_characters(void **state)
{
    static const char *const cases[][2] = {
        {"a b", "a b"},
        {"&lt;&gt;&amp;&quot;&apos;", "<>&\"'"},
        {"&amp;lt;", "&lt;"},
        {"&#34;&#x22;&#X", NULL},
        {"&#34;&#x22;", "\"\""},
        {"&#228;&#x20AC;&#x1f600;", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"&", NULL},
        {"&amp", NULL},
        {"&nbsp;", NULL},
        {"&#;", NULL},
        {"&#x;", NULL},
        {"&#0;", NULL},
        {"&#xd800;", NULL},
        {"&#1114112;", NULL},
        {"&#99999999999999999999;", NULL},
        {"a<b/>", NULL},
        {"", ""},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(cases); i++) {
        struct str text = xml_text(arena, str_of(cases[i][0]));

        assert_int_equal(text.p != NULL, cases[i][1] != NULL);
        if (text.p)
            assert_str(text, cases[i][1]);
    }
    assert_null(xml_text(arena, STR_NULL).p);
}

static void what_is_escaped_reads_as_it_was(void **state)
{
    struct str text = STR("\"a\"<b>&c'");

    (void)state;
    assert_str(xml_escaped(arena, text), "&quot;a&quot;&lt;b&gt;&amp;c&apos;");
    assert_str(xml_text(arena, xml_escaped(arena, text)), "\"a\"<b>&c'");
    assert_str(xml_escaped(arena, STR("")), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(elements_are_taken_in_their_order),
        TEST(what_is_not_there_is_empty),
        TEST(a_document_that_is_cut_off_has_no_element),
        TEST(broken_xml_is_not_read),
        TEST(deep_nesting_takes_no_stack),
        TEST(entities_become_characters),
        TEST(what_is_escaped_reads_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
