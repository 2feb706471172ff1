/* test_conf.c -- values, the environment, files, and the printed file. */
#include "tests/unit/conf_fixture.h"

#include "gateway/base/log.h"

/* --- values --- */

static void assert_all_defaults(const struct root *r)
{
    assert_int_equal(r->listen.n, 1);
    assert_string_equal(r->listen.v[0], "127.0.0.1:8080");
    assert_int_equal(r->words.n, 2);
    assert_string_equal(r->words.v[0], "a");
    assert_string_equal(r->words.v[1], "b");
    assert_string_equal(r->name, "");
    assert_string_equal(r->empty, "");
    assert_string_equal(r->star, "*: \"#\" ");
    assert_string_equal(r->secret, "");
    assert_true(r->is_on);
    assert_false(r->is_fast);
    assert_int_equal(r->workers, 0);
    assert_true(r->number == -5);
    assert_int_equal(r->size, 512 << 20);
    assert_int_equal(r->wait_ms, 30000);
    assert_int_equal(r->level, 1);
    assert_int_equal(r->mode, 0);
    assert_int_equal(r->map.n, 0);
    assert_string_equal(r->sub.key, "");
    assert_int_equal(r->sub.weight, 3);
    assert_int_equal(r->sub.tags.n, 0);
    assert_string_equal(r->tls.certificate, "");
    assert_int_equal(r->tls.days, 90);
    assert_int_equal(r->providers.n, 0);
    assert_int_equal(r->list.n, 0);
}

static void an_empty_text_gives_all_defaults(void **state)
{
    static const char *const texts[] = {"",
                                        "\n\n",
                                        "# nothing\n",
                                        "---\n",
                                        "~\n",
                                        "--- {}\n",
                                        "{}",
                                        "name:\nsub:\nproviders: ~\n"
                                        "list: null\nlisten:\nlevel:\n"};

    (void)state;
    unsetenv("CONF_TEST_KEY");
    for (size_t i = 0; i < COUNTOF(texts); i++)
        assert_all_defaults(parse(texts[i]));
    assert_non_null(try_parse(STR_NULL));
}

static void every_type_is_read(void **state)
{
    const struct root *r = parse("listen: [a:1, 'b:2']\n"
                                 "words: one\n"
                                 "name: \"x y\"\n"
                                 "empty: 'null'\n"
                                 "star: 12\n"
                                 "secret: s3cret\n"
                                 "on: OFF\n"
                                 "fast: 'true'\n"
                                 "workers: 64\n"
                                 "number: 123456789012\n"
                                 "size: 1.5GB\n"
                                 "wait: 250ms\n"
                                 "level: warn\n"
                                 "map: {z: 1, a: two, '': \"\"}\n"
                                 "sub: {key: k, weight: 100, tags: [x, y]}\n"
                                 "tls:\n"
                                 "  certificate: c.pem\n");

    (void)state;
    assert_int_equal(r->listen.n, 2);
    assert_string_equal(r->listen.v[1], "b:2");
    assert_int_equal(r->words.n, 1);
    assert_string_equal(r->words.v[0], "one");
    assert_string_equal(r->name, "x y");
    assert_string_equal(r->empty, "null");
    assert_string_equal(r->star, "12");
    assert_string_equal(r->secret, "s3cret");
    assert_false(r->is_on);
    assert_true(r->is_fast);
    assert_int_equal(r->workers, 64);
    assert_true(r->number == 123456789012);
    assert_int_equal(r->size, 3LL << 29);
    assert_int_equal(r->wait_ms, 250);
    assert_int_equal(r->level, 2);
    assert_int_equal(r->map.n, 3);
    assert_string_equal(r->map.v[0].key, "z");
    assert_string_equal(r->map.v[1].value, "two");
    assert_string_equal(r->map.v[2].key, "");
    assert_string_equal(r->map.v[2].value, "");
    assert_string_equal(r->sub.key, "k");
    assert_int_equal(r->sub.weight, 100);
    assert_int_equal(r->sub.tags.n, 2);
    assert_string_equal(r->tls.certificate, "c.pem");
    assert_int_equal(r->tls.days, 90);
}

static void sections_keep_the_order_of_the_file(void **state)
{
    const struct root *r = parse("providers:\n"
                                 "  zeta: {type: disk}\n"
                                 "  alpha:\n"
                                 "    type: http\n"
                                 "    base_url: http://h\n"
                                 "    members: [{weight: 5}, {}]\n"
                                 "    headers: {a: b}\n"
                                 "list:\n"
                                 "  - weight: 7\n"
                                 "  -\n"
                                 "  - {key: k}\n");
    const struct http *h;

    (void)state;
    assert_int_equal(r->providers.n, 2);
    assert_string_equal(r->providers.v[0].name, "zeta");
    assert_int_equal(r->providers.v[0].line, 2);
    assert_int_equal(r->providers.v[0].column, 3);
    assert_string_equal(provider(r, 0)->seen_name, "zeta");
    assert_string_equal(((struct disk *)provider(r, 0)->own)->path, "./data");
    assert_string_equal(r->providers.v[1].name, "alpha");
    assert_int_equal(provider(r, 1)->timeout_ms, 120000);
    assert_string_equal(provider(r, 1)->headers.v[0].value, "b");
    h = provider(r, 1)->own;
    assert_string_equal(h->base_url, "http://h");
    assert_int_equal(h->members.n, 2);
    assert_int_equal(((struct sub *)h->members.v[0].data)->weight, 5);
    assert_int_equal(((struct sub *)h->members.v[1].data)->weight, 3);
    assert_int_equal(r->list.n, 3);
    assert_null(r->list.v[0].name);
    assert_int_equal(r->list.v[2].line, 11);
    assert_int_equal(r->list.v[2].column, 5);
    assert_int_equal(((struct sub *)r->list.v[0].data)->weight, 7);
    assert_int_equal(((struct sub *)r->list.v[1].data)->weight, 3);
    assert_string_equal(((struct sub *)r->list.v[2].data)->key, "k");
}

static void aliases_stand_for_what_they_name(void **state)
{
    const struct root *r = parse("sub: &s {weight: 9, tags: &t [x, y]}\n"
                                 "list: [*s, *s]\n"
                                 "listen: *t\n");

    (void)state;
    assert_int_equal(r->list.n, 2);
    assert_int_equal(((struct sub *)r->list.v[1].data)->weight, 9);
    assert_int_equal(r->listen.n, 2);
    assert_string_equal(r->listen.v[1], "y");
}

/* --- the environment and files --- */

static void variables_are_put_in(void **state)
{
    const struct root *r;

    (void)state;
    setenv("CONF_TEST_A", "alpha", 1);
    setenv("CONF_TEST_EMPTY", "", 1);
    unsetenv("CONF_TEST_NONE");
    r = parse("name: a${CONF_TEST_A}b${CONF_TEST_A}\n"
              "empty: ${CONF_TEST_EMPTY}x\n"
              "star: ${CONF_TEST_NONE:-deflt}/${CONF_TEST_EMPTY:-d2}"
              "/${CONF_TEST_A:-no}/${CONF_TEST_NONE:-}\n"
              "secret: os.environ/CONF_TEST_A\n"
              "words: [\"${CONF_TEST_A}\", $$, a$b, $${x}, $]\n"
              "map: {k: '${CONF_TEST_A}'}\n"
              "workers: ${CONF_TEST_NONE:-12}\n");
    assert_string_equal(r->name, "aalphabalpha");
    assert_string_equal(r->empty, "x");
    assert_string_equal(r->star, "deflt/d2/alpha/");
    assert_string_equal(r->secret, "alpha");
    assert_string_equal(r->words.v[0], "alpha");
    assert_string_equal(r->words.v[1], "$");
    assert_string_equal(r->words.v[2], "a$b");
    assert_string_equal(r->words.v[3], "${x}");
    assert_string_equal(r->words.v[4], "$");
    assert_string_equal(r->map.v[0].value, "alpha");
    assert_int_equal(r->workers, 12);
}

static void variables_stand_in_inline_mappings_without_quotes(void **state)
{
    const struct root *r;

    (void)state;
    setenv("CONF_TEST_A", "alpha", 1);
    unsetenv("CONF_TEST_NONE");
    r = parse("sub: {key: ${CONF_TEST_A}, tags: [${CONF_TEST_A}, "
              "${CONF_TEST_NONE:-[x], {y}, ${CONF_TEST_A}${CONF_TEST_A}]}\n"
              "# ${not read\n");
    assert_string_equal(r->sub.key, "alpha");
    assert_int_equal(r->sub.tags.n, 3);
    assert_string_equal(r->sub.tags.v[0], "alpha");
    assert_string_equal(r->sub.tags.v[1], "[x], {y");
    assert_string_equal(r->sub.tags.v[2], "alphaalpha");
    /* The place of what follows stays true. */
    assert_faults("sub: {key: ${CONF_TEST_A}, wieght: 1}",
                  "f.yaml:1:28: unknown key 'wieght', the nearest is 'weight'");
}

static void a_value_put_in_is_not_read_again(void **state)
{
    (void)state;
    setenv("CONF_TEST_A", "${CONF_TEST_B} $$ [x, y]", 1);
    assert_string_equal(parse("name: ${CONF_TEST_A}")->name,
                        "${CONF_TEST_B} $$ [x, y]");
}

static void variables_that_cannot_be_put_in_are_faults(void **state)
{
    (void)state;
    unsetenv("CONF_TEST_NONE");
    assert_faults("name: ${CONF_TEST_NONE}",
                  "f.yaml:1:7: environment variable 'CONF_TEST_NONE' is not "
                  "set");
    assert_faults("name: os.environ/CONF_TEST_NONE",
                  "f.yaml:1:7: environment variable 'CONF_TEST_NONE' is not "
                  "set");
    assert_faults("name: a ${b",
                  "f.yaml:1:7: '${' is not closed; a dollar is written '$$'");
    assert_faults("name: ${}",
                  "f.yaml:1:7: '${' must be followed by a name, or be '$${'");
    assert_faults("name: ${1A}",
                  "f.yaml:1:7: '${' must be followed by a name, or be '$${'");
    assert_faults("name: ${A:x}",
                  "f.yaml:1:7: '${' takes ':-' and a default after the name");
}

static void secrets_come_from_files(void **state)
{
    char text[200];

    (void)state;
    file_with("top secret\r\n\n", 13);
    snprintf(text, sizeof(text), "secret: file:%s\nname: file:/x", path);
    assert_string_equal(parse(text)->secret, "top secret");
    /* Of other types it is a text as any. */
    assert_string_equal(parse(text)->name, "file:/x");
    setenv("CONF_TEST_A", path, 1);
    assert_string_equal(parse("sub: {key: file:${CONF_TEST_A}}")->sub.key,
                        "top secret");
    unlink(path);
    setenv("CONF_TEST_A", "file:/nowhere/at/all", 1);
    assert_faults("\nsecret: ${CONF_TEST_A}",
                  "f.yaml:2:9: cannot use file '/nowhere/at/all': No such "
                  "file or directory");
    assert_faults("secret: file:relative",
                  "f.yaml:1:9: 'file:' takes an absolute path");
}

static void a_file_that_is_no_secret_is_a_fault(void **state)
{
    static char large[70000];
    char text[200];

    (void)state;
    file_with("\n\n", 2);
    snprintf(text, sizeof(text), "secret: file:%s", path);
    assert_null(try_parse(str_of(text)));
    assert_non_null(strstr(faults.p, "': it is empty"));
    unlink(path);
    file_with("a\0b", 3);
    snprintf(text, sizeof(text), "secret: file:%s", path);
    assert_null(try_parse(str_of(text)));
    assert_non_null(strstr(faults.p, "': it holds a NUL byte"));
    unlink(path);
    memset(large, 'x', sizeof(large));
    file_with(large, sizeof(large));
    snprintf(text, sizeof(text), "secret: file:%s", path);
    assert_null(try_parse(str_of(text)));
    assert_non_null(strstr(faults.p, "': it is too large for a secret"));
    unlink(path);
    assert_null(try_parse(STR("secret: file:/tmp")));
    assert_non_null(strstr(faults.p, "Is a directory"));
}

/* --- contents of files --- */

/* The entry of `providers:` with these lines besides. */
static const struct http *http_with(const char *key, const char *value)
{
    struct buf b;
    struct root *r;

    buf_init(&b, 100000);
    buf_add_c(&b, "providers: {a: {type: http, base_url: b, ");
    buf_printf(&b, "%s: '%s'", key, value);
    buf_add_c(&b, "}}");
    r = try_parse(buf_str(&b));
    buf_release(&b);
    return r ? provider(r, 0)->own : NULL;
}

static void a_key_is_given_what_stands_in_a_file(void **state)
{
    char home[] = "/tmp";

    (void)state;
    file_with("a: ${b}\n\n", 9);
    assert_string_equal(http_with("card", path)->card, "a: ${b}\n\n");
    assert_string_equal(http_with("card", "")->card, "");
    setenv("HOME", home, 1);
    path[3] = '~'; /* "/tmp/x" as "~/x" */
    assert_string_equal(http_with("card", path + 3)->card, "a: ${b}\n\n");
    path[3] = 'p';
    setenv("CONF_TEST_NOTES", path, 1);
    assert_string_equal(http_with("api_key", "k")->notes, "a: ${b}\n\n");
    unlink(path);
    file_with("", 0);
    assert_string_equal(http_with("card", path)->card, "");
    unlink(path);
}

static void a_file_may_be_absent_if_nobody_named_it(void **state)
{
    (void)state;
    setenv("CONF_TEST_NOTES", "/nowhere/at/all", 1);
    assert_string_equal(http_with("api_key", "k")->notes, "");
    unsetenv("CONF_TEST_NOTES");
    unsetenv("HOME");
    assert_string_equal(http_with("api_key", "k")->notes, "");
    assert_null(http_with("notes", "~/notes"));
    assert_non_null(strstr(faults.p, "cannot use file '~/notes': HOME is not"));
    setenv("HOME", "/nowhere", 1);
    assert_null(http_with("notes", "~/notes"));
    assert_non_null(strstr(faults.p, "'~/notes': No such file or directory"));
}

static void a_content_is_bounded_text(void **state)
{
    static char large[LIMIT_CONF_SECRET + 1];

    (void)state;
    memset(large, 'x', sizeof(large));
    file_with(large, sizeof(large));
    assert_null(http_with("card", path));
    assert_non_null(strstr(faults.p, "': it is too large"));
    /* It is there, so that nobody named it does not matter. */
    setenv("CONF_TEST_NOTES", path, 1);
    assert_null(http_with("api_key", "k"));
    unsetenv("CONF_TEST_NOTES");
    unlink(path);
    file_with(large, sizeof(large) - 1);
    assert_int_equal(strlen(http_with("card", path)->card), LIMIT_CONF_SECRET);
    unlink(path);
    file_with("a\0b", 3);
    assert_null(http_with("card", path));
    assert_non_null(strstr(faults.p, "': it holds a NUL byte"));
    unlink(path);
    assert_null(http_with("card", "/tmp"));
    assert_non_null(strstr(faults.p, "Is a directory"));
}

/* --- files --- */

static void a_file_is_loaded_and_its_secrets_are_hidden(void **state)
{
    static const char text[] = "secret: the-secret-of-the-file\n"
                               "list: [{key: another-of-the-file}]\n"
                               "name: shown-as-it-is\n";
    char line[400] = "";
    struct root *r;
    int ends[2];

    (void)state;
    file_with(text, strlen(text));
    r = conf_load(arena, &root_section, path, &faults);
    unlink(path);
    assert_non_null(r);
    assert_string_equal(r->secret, "the-secret-of-the-file");
    assert_int_equal(pipe(ends), 0);
    log_set_fd(ends[1]);
    log_info("%s %s %s", r->secret, r->name,
             ((struct sub *)r->list.v[0].data)->key);
    log_set_fd(STDERR_FILENO);
    assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
    assert_non_null(strstr(line, "\"*** shown-as-it-is ***\""));
    close(ends[0]);
    close(ends[1]);
}

static void a_file_that_cannot_be_read_is_a_fault(void **state)
{
    struct buf text;

    (void)state;
    assert_null(conf_load(arena, &root_section, "/nowhere/x", &faults));
    assert_string_equal(faults.p, "/nowhere/x:1:1: cannot read the file: No "
                                  "such file or directory");
    buf_clear(&faults);
    assert_null(conf_load(arena, &root_section, "/tmp", &faults));
    assert_string_equal(faults.p,
                        "/tmp:1:1: cannot read the file: Is a directory");
    buf_init(&text, 2 * LIMIT_CONF_FILE);
    for (size_t i = 0; i <= LIMIT_CONF_FILE; i++)
        buf_add_byte(&text, i ? '\n' : '#');
    buf_clear(&faults);
    file_with(text.p, LIMIT_CONF_FILE);
    assert_non_null(conf_load(arena, &root_section, path, &faults));
    unlink(path);
    file_with(text.p, LIMIT_CONF_FILE + 1);
    assert_null(conf_load(arena, &root_section, path, &faults));
    unlink(path);
    assert_non_null(
        strstr(faults.p, ":1:1: the file is larger than 1048576 bytes"));
    buf_release(&text);
}

/* --- printing --- */

static void the_printed_file_reads_as_the_defaults(void **state)
{
    struct buf out;

    (void)state;
    unsetenv("CONF_TEST_KEY");
    buf_init(&out, 64 * 1024);
    conf_print(&root_section, &out);
    assert_false(out.overflow);
    assert_all_defaults(parse(out.p));
    buf_release(&out);
}

static void every_key_is_printed_with_its_help(void **state)
{
    static const char want[] =
        "listen: 127.0.0.1:8080            # addresses\n"
        "words: [a, b]                     # more than one\n"
        "# name: \"\"                        # any\n"
        "empty: \"\"                         # any\n"
        "star: \"*: \\\"#\\\" \"                 # hard to write\n"
        "secret: ${CONF_TEST_KEY:-}        # hidden\n"
        "on: yes                           # a switch\n"
        "# fast: false                     # another\n"
        "workers: 0                        # threads\n"
        "number: -5                        # from -10 on\n"
        "size: 512MB                       # bytes\n"
        "wait: 30s                         # time\n"
        "level: info                       # how much (debug, info, warn)\n"
        "# mode: debug                     # debug is one\n"
        "\n"
        "# map:                            # pairs\n"
        "#   a: b\n"
        "#   c: d\n"
        "\n"
        "sub:                              # inside\n"
        "  # key: \"\"                       # a secret\n"
        "  weight: 3                       # how much\n"
        "  # tags: []                      # any words\n"
        "\n"
        "# tls:                            # optional\n"
        "#   certificate: \"\"               # required: a file\n"
        "#   days: 90                      # for how long\n"
        "\n"
        "# providers:                      # by name\n"
        "#   local:\n"
        "#     type: disk\n"
        "#   far: {type: http, base_url: http://h, api_key: "
        "${CONF_TEST_HOME}}\n"
        "#   # an entry takes:\n"
        "#   # type: \"\"                    # required: which kind\n"
        "#   # a transfer without any progress is given up after so long, "
        "and this line\n"
        "#   # is long\n"
        "#   # timeout: 120s\n"
        "#   # headers:                    # sent along\n"
        "#   #   x-team: files\n"
        "#   #\n"
        "#   # and with type: disk\n"
        "#   # path: ./data                # where it is\n"
        "#   #\n"
        "#   # and with type: http\n"
        "#   # base_url: \"\"                # required: where it is\n"
        "#   # api_key: \"\"                 # how to get in\n"
        "#   # card: \"\"                    # a file\n"
        "#   # notes: ${CONF_TEST_NOTES:-~/notes}  # another\n"
        "#   # members:                    # some\n"
        "#   #   # an item takes:\n"
        "#   #   # key: \"\"                 # a secret\n"
        "#   #   # weight: 3               # how much\n"
        "#   #   # tags: []                # any words\n"
        "\n"
        "# list:                           # in order\n"
        "#   - {weight: 5}\n"
        "#   # an item takes:\n"
        "#   # key: \"\"                     # a secret\n"
        "#   # weight: 3                   # how much\n"
        "#   # tags: []                    # any words\n";
    struct buf out;

    (void)state;
    buf_init(&out, 64 * 1024);
    conf_print(&root_section, &out);
    assert_string_equal(out.p, want);
    buf_release(&out);
}

/* The lines from `first` up to an empty one, without their first "# ". */
static void uncomment(struct str text, const char *first, struct buf *out)
{
    bool is_in = false;
    struct str line;

    while (text.p) {
        str_cut(text, '\n', &line, &text);
        is_in = line.n && (is_in || str_starts(line, str_of(first)));
        if (is_in) {
            buf_add(out, line.p + 2, line.n - 2);
            buf_add_byte(out, '\n');
        }
    }
}

static void an_example_is_valid_when_it_is_uncommented(void **state)
{
    struct buf out, text;
    const struct root *r;

    (void)state;
    setenv("CONF_TEST_HOME", "home", 1);
    buf_init(&out, 64 * 1024);
    buf_init(&text, 64 * 1024);
    conf_print(&root_section, &out);
    uncomment(buf_str(&out), "# map:", &text);
    uncomment(buf_str(&out), "# providers:", &text);
    uncomment(buf_str(&out), "# list:", &text);
    r = parse(text.p);
    assert_int_equal(r->map.n, 2);
    assert_int_equal(r->providers.n, 2);
    assert_int_equal(r->list.n, 1);
    assert_string_equal(((struct http *)provider(r, 1)->own)->api_key, "home");
    buf_release(&out);
    buf_release(&text);
}

static void a_secret_default_is_not_printed(void **state)
{
    static const struct conf_key keys[] = {
        {.name = "key", .type = CONF_SECRET, .def = "wired-in", .help = "x"},
        {.name = NULL}};
    static const struct conf_section section = {.size = sizeof(char *),
                                                .keys = keys};
    struct buf out;

    (void)state;
    buf_init(&out, 1024);
    conf_print(&section, &out);
    assert_string_equal(out.p, "# key: \"***\"                      # x\n");
    buf_release(&out);
}

static void a_table_that_holds_itself_is_printed_to_some_depth(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 64 * 1024);
    conf_print(&node_section, &out);
    assert_false(out.overflow);
    assert_true(out.n > 0);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_text_gives_all_defaults),
        TEST(every_type_is_read),
        TEST(sections_keep_the_order_of_the_file),
        TEST(aliases_stand_for_what_they_name),
        TEST(variables_are_put_in),
        TEST(variables_stand_in_inline_mappings_without_quotes),
        TEST(a_value_put_in_is_not_read_again),
        TEST(variables_that_cannot_be_put_in_are_faults),
        TEST(secrets_come_from_files),
        TEST(a_file_that_is_no_secret_is_a_fault),
        TEST(a_key_is_given_what_stands_in_a_file),
        TEST(a_file_may_be_absent_if_nobody_named_it),
        TEST(a_content_is_bounded_text),
        TEST(a_file_is_loaded_and_its_secrets_are_hidden),
        TEST(a_file_that_cannot_be_read_is_a_fault),
        TEST(the_printed_file_reads_as_the_defaults),
        TEST(every_key_is_printed_with_its_help),
        TEST(an_example_is_valid_when_it_is_uncommented),
        TEST(a_secret_default_is_not_printed),
        TEST(a_table_that_holds_itself_is_printed_to_some_depth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
