/* test_conf_impl.c -- what is refused: faults with their places, and texts that
 * mean harm. */
#include "tests/unit/conf_fixture.h"

/* --- faults --- */

static void an_unknown_key_names_the_nearest(void **state)
{
    (void)state;
    assert_faults("listne: x",
                  "f.yaml:1:1: unknown key 'listne', the nearest is 'listen'");
    assert_faults("sub:\n  wight: 1\n",
                  "f.yaml:2:3: unknown key 'wight', the nearest is 'weight'");
    /* Both the keys of all types and those of this one are looked at. */
    assert_faults("providers: {a: {type: disk, pth: x, timeot: 1}}",
                  "f.yaml:1:29: unknown key 'pth', the nearest is 'path'\n"
                  "f.yaml:1:37: unknown key 'timeot', the nearest is "
                  "'timeout'");
    assert_faults("providers: {a: {type: disk, base_url: x}}",
                  "f.yaml:1:29: unknown key 'base_url', the nearest is "
                  "'timeout'");
}

static void a_key_twice_is_a_fault(void **state)
{
    (void)state;
    assert_faults("name: a\nlevel: info\nname: b\n",
                  "f.yaml:3:1: duplicate key 'name'");
    assert_faults("providers:\n  a: {type: disk}\n  a: {type: disk}\n",
                  "f.yaml:3:3: duplicate key 'a'");
    assert_faults("map: {x: 1, x: 1}", "f.yaml:1:13: duplicate key 'x'");
}

static void wrong_kinds_are_faults(void **state)
{
    (void)state;
    assert_faults("[a]", "f.yaml:1:1: expected a mapping");
    assert_faults("just text", "f.yaml:1:1: expected a mapping");
    assert_faults("sub: 5", "f.yaml:1:6: expected a mapping");
    assert_faults("map: [a]", "f.yaml:1:6: expected a mapping");
    assert_faults("providers:\n  - a", "f.yaml:2:3: expected a mapping");
    assert_faults("providers: {a: x}", "f.yaml:1:16: expected a mapping");
    assert_faults("list: {}", "f.yaml:1:7: expected a list for 'list'");
    assert_faults("list: [x]", "f.yaml:1:8: expected a mapping");
    assert_faults("listen: {}", "f.yaml:1:9: expected a list for 'listen'");
    assert_faults("listen: [[a]]", "f.yaml:1:10: expected a text");
    assert_faults("listen: [~]", "f.yaml:1:10: expected a text");
    assert_faults("map: {a: []}", "f.yaml:1:10: expected a text");
    assert_faults("name: [a]",
                  "f.yaml:1:7: expected a single value for 'name'");
    assert_faults("workers: {}",
                  "f.yaml:1:10: expected a single value for 'workers'");
    assert_faults("[a]: b", "f.yaml:1:1: a key must be a text");
    assert_faults("? {}\n: b", "f.yaml:1:3: a key must be a text");
    assert_faults("name: \"a\\0b\"", "f.yaml:1:7: the value holds a NUL byte");
    assert_faults("\"a\\0b\": x", "f.yaml:1:1: a key must be a text");
}

static void values_of_the_wrong_type_are_faults(void **state)
{
    (void)state;
    assert_faults("workers: many",
                  "f.yaml:1:10: 'workers' must be a whole number");
    assert_faults("workers: 1.5",
                  "f.yaml:1:10: 'workers' must be a whole number");
    assert_faults("size: 3 apples",
                  "f.yaml:1:7: 'size' must be a size such as 512MB");
    assert_faults("wait: soon",
                  "f.yaml:1:7: 'wait' must be a duration such as 30s");
    assert_faults("on: 1", "f.yaml:1:5: 'on' must be true or false");
    assert_faults("level: loud",
                  "f.yaml:1:8: 'level' must be one of debug, info, warn");
    assert_faults("level: \"\"",
                  "f.yaml:1:8: 'level' must be one of debug, info, warn");
}

static void values_out_of_range_are_faults(void **state)
{
    (void)state;
    assert_faults("workers: 65", "f.yaml:1:10: 'workers' must be at most 64");
    assert_faults("workers: -1", "f.yaml:1:10: 'workers' must be at least 0");
    assert_faults("number: -11", "f.yaml:1:9: 'number' must be at least -10");
    assert_faults("size: 1023", "f.yaml:1:7: 'size' must be at least 1KB");
    assert_faults("size: 2TB", "f.yaml:1:7: 'size' must be at most 1TB");
    assert_faults("wait: 2m", "f.yaml:1:7: 'wait' must be at most 1m");
    assert_faults("sub: {weight: 0}",
                  "f.yaml:1:15: 'weight' must be at least 1");
    assert_int_equal(parse("workers: 64")->workers, 64);
    assert_true(parse("number: -10")->number == -10);
    assert_int_equal(parse("size: 1KB")->size, 1024);
    assert_true(parse("number: 9223372036854775807")->number == INT64_MAX);
}

static void required_keys_must_be_there(void **state)
{
    (void)state;
    assert_faults("tls: {days: 1}", "f.yaml:1:6: missing key 'certificate'");
    assert_faults("tls: {certificate: }",
                  "f.yaml:1:6: missing key 'certificate'");
    assert_faults("providers: {a: {type: http}}",
                  "f.yaml:1:13: missing key 'base_url'");
    assert_faults("providers:\n  a:\n", "f.yaml:2:3: missing key 'type'");
    /* One that is not written needs nothing. */
    assert_string_equal(parse("tls:")->tls.certificate, "");
}

static void an_unknown_type_lists_the_known_ones(void **state)
{
    (void)state;
    assert_faults("providers: {a: {type: ftp, path: x, odd: y}}",
                  "f.yaml:1:23: unknown type 'ftp', known are disk, http");
    assert_faults("providers: {a: {type: [ftp]}}",
                  "f.yaml:1:23: expected a single value for 'type'");
    setenv("CONF_TEST_A", "disk", 1);
    assert_string_equal(
        provider(parse("providers: {a: {type: ${CONF_TEST_A}}}"), 0)->type,
        "disk");
    unsetenv("CONF_TEST_NONE");
    assert_faults("providers: {a: {type: ${CONF_TEST_NONE}, odd: x}}",
                  "f.yaml:1:23: environment variable 'CONF_TEST_NONE' is not "
                  "set");
}

static void a_check_is_reported_at_its_section(void **state)
{
    (void)state;
    assert_faults("sub:\n  weight: 13\n",
                  "f.yaml:2:3: 'weight' brings bad luck");
    assert_faults("list:\n- {}\n- {weight: 13}\n",
                  "f.yaml:3:3: 'weight' brings bad luck");
    /* What could not be read is not checked. */
    assert_faults("sub: {weight: 13, tags: {}}",
                  "f.yaml:1:25: expected a list for 'tags'");
}

static void syntax_errors_have_a_place(void **state)
{
    (void)state;
    assert_faults("name: [a\nlevel: b",
                  "f.yaml:2:6: did not find expected ',' or ']', while "
                  "parsing a flow sequence");
    assert_faults("a: *nowhere", "f.yaml:1:4: found undefined alias");
    assert_null(try_parse(STR("sub:\n\tkey: c")));
    assert_non_null(strstr(faults.p, "f.yaml:2:1: found character"));
    assert_faults("name: x\n\xff", "f.yaml:2:1: invalid leading UTF-8 octet");
    assert_faults("name: x\n---\nname: y\n",
                  "f.yaml:3:1: expected one document only");
    assert_faults("name: x\n...\n]",
                  "f.yaml:3:1: did not find expected <document start>");
}

static void all_faults_are_told_at_once(void **state)
{
    (void)state;
    assert_faults("lisetn: x\nworkers: a\nsub: {weight: b, key: [c]}\n"
                  "providers: {a: {type: z}, b: {typ: disk}}",
                  "f.yaml:1:1: unknown key 'lisetn', the nearest is 'listen'\n"
                  "f.yaml:2:10: 'workers' must be a whole number\n"
                  "f.yaml:3:15: 'weight' must be a whole number\n"
                  "f.yaml:3:23: expected a single value for 'key'\n"
                  "f.yaml:4:23: unknown type 'z', known are disk, http\n"
                  "f.yaml:4:27: missing key 'type'");
}

static void twenty_faults_are_enough(void **state)
{
    struct buf text;
    size_t lines = 1;

    (void)state;
    buf_init(&text, 64 * 1024);
    for (int i = 0; i < 50; i++)
        buf_printf(&text, "unknown%d: x\n", i);
    assert_null(try_parse(buf_str(&text)));
    for (size_t i = 0; i < faults.n; i++)
        lines += faults.p[i] == '\n';
    assert_int_equal(lines, 20);
    buf_release(&text);
}

static void a_fault_is_one_line_whatever_a_key_holds(void **state)
{
    (void)state;
    assert_faults("\"a\\nb\\e[2J\": x",
                  "f.yaml:1:1: unknown key 'a?b?[2J', the nearest is 'sub'");
}

static void a_secret_is_in_no_fault(void **state)
{
    static const char *const texts[] = {
        "secret: [hunter2secret]",
        "secret: {hunter2secret: x, b: hunter2secret}",
        "sub: {key: \"hunter2secret\\0\"}",
        "secret: hunter2secret${",
        "secret: file:hunter2secret",
        "sub: hunter2secret",
        "workers: hunter2secret",
        "level: hunter2secret",
        "size: hunter2secret",
        "name: [hunter2secret]",
        "unknown: hunter2secret",
        "hunter2secret",
    };

    (void)state;
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        assert_null(try_parse(str_of(texts[i])));
        assert_true(faults.n > 0);
        if (strstr(faults.p, "hunter2"))
            fail_msg("%s", faults.p);
    }
    /* Nor what the environment put into a key of another type. */
    setenv("CONF_TEST_A", "hunter2secret", 1);
    assert_null(try_parse(STR("level: ${CONF_TEST_A}\nsize: ${CONF_TEST_A}")));
    assert_null(strstr(faults.p, "hunter2"));
}

static void a_default_that_cannot_be_read_names_its_key(void **state)
{
    static const struct conf_key keys[] = {
        {.name = "key", .type = CONF_STR, .def = "${CONF_TEST_NONE}"},
        {.name = NULL}};
    static const struct conf_section section = {.size = sizeof(char *),
                                                .keys = keys};

    (void)state;
    unsetenv("CONF_TEST_NONE");
    assert_null(conf_parse(arena, &section, "f", STR(""), &faults));
    assert_string_equal(faults.p,
                        "f:1:1: environment variable 'CONF_TEST_NONE' is not "
                        "set, for the default of 'key'");
    /* Where the key is written, its default does not matter. */
    buf_clear(&faults);
    assert_non_null(conf_parse(arena, &section, "f", STR("key: x"), &faults));
}

/* --- texts that mean harm --- */

static void aliases_cannot_explode(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 64 * 1024);
    /* Ten times ten times ten …: 10^12 sections in 500 bytes. */
    buf_add_c(&text, "c:\n- &a0 {}\n");
    for (int i = 1; i < 13; i++) {
        buf_printf(&text, "- &a%d\n  c: [", i);
        for (int k = 0; k < 10; k++)
            buf_printf(&text, "%s*a%d", k ? ", " : "", i - 1);
        buf_add_c(&text, "]\n");
    }
    assert_null(conf_parse(arena, &node_section, "f", buf_str(&text), &faults));
    assert_non_null(strstr(faults.p, "more than 100000 values"));
    buf_release(&text);
}

static void an_alias_within_itself_ends(void **state)
{
    (void)state;
    assert_null(
        conf_parse(arena, &node_section, "f", STR("&a {c: [*a]}"), &faults));
    assert_string_equal(faults.p, "f:1:1: sections are nested too deeply");
    assert_faults("listen: &a [*a]", "f.yaml:1:9: expected a text");
    assert_faults("map: &a {k: *a}", "f.yaml:1:6: expected a text");
    assert_faults("&a {sub: *a}",
                  "f.yaml:1:5: unknown key 'sub', the nearest is 'key'");
}

static void deep_nesting_is_refused(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 1024 * 1024);
    for (int i = 0; i < 100000; i++)
        buf_add_byte(&text, '[');
    assert_null(try_parse(buf_str(&text)));
    assert_true(faults.n > 0);
    buf_release(&text);
}

static void many_keys_are_read_in_time(void **state)
{
    struct buf text;

    (void)state;
    buf_init(&text, 4 * 1024 * 1024);
    buf_add_c(&text, "map:\n");
    for (int i = 0; i < 50000; i++)
        buf_printf(&text, "  k%d: v\n", i);
    assert_int_equal(parse(text.p)->map.n, 50000);
    buf_release(&text);
}

static void no_text_cut_short_does_harm(void **state)
{
    static const char text[] =
        "listen: [a, \"b\"]\nname: ${CONF_TEST_A:-x}\nsub: &s {key: 'k'}\n"
        "list: [*s, {tags: [x, y]}]\nproviders:\n  p:\n    type: http\n"
        "    base_url: |\n      text\n    headers: {a: b}\n";

    (void)state;
    setenv("CONF_TEST_A", "alpha", 1);
    /* From copies, so that a read beyond the end is seen. */
    for (size_t n = 0; n <= strlen(text); n++) {
        char *copy = malloc(n + 1);
        bool is_read;

        assert_non_null(copy);
        memcpy(copy, text, n);
        is_read = try_parse(str_make(copy, n)) != NULL;
        assert_true(is_read == (faults.n == 0));
        free(copy);
    }
    assert_non_null(try_parse(str_of(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_unknown_key_names_the_nearest),
        TEST(a_key_twice_is_a_fault),
        TEST(wrong_kinds_are_faults),
        TEST(values_of_the_wrong_type_are_faults),
        TEST(values_out_of_range_are_faults),
        TEST(required_keys_must_be_there),
        TEST(an_unknown_type_lists_the_known_ones),
        TEST(a_check_is_reported_at_its_section),
        TEST(syntax_errors_have_a_place),
        TEST(all_faults_are_told_at_once),
        TEST(twenty_faults_are_enough),
        TEST(a_fault_is_one_line_whatever_a_key_holds),
        TEST(a_secret_is_in_no_fault),
        TEST(a_default_that_cannot_be_read_names_its_key),
        TEST(aliases_cannot_explode),
        TEST(an_alias_within_itself_ends),
        TEST(deep_nesting_is_refused),
        TEST(many_keys_are_read_in_time),
        TEST(no_text_cut_short_does_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
