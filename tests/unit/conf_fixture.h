/* conf_fixture.h -- a configuration with a key of every type, and its reading,
 * for the tests of conf. */
#ifndef FILEMUX_TESTS_CONF_FIXTURE_H
#define FILEMUX_TESTS_CONF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/base/conf.h"

struct tls {
    const char *certificate;
    int64_t days;
};

struct sub {
    const char *key;
    int64_t weight;
    struct conf_strs tags;
};

struct provider {
    const char *type;
    int64_t timeout_ms;
    struct conf_pairs headers;
    const char *seen_name; /* by the check */
    void *own;
};

struct disk {
    const char *path;
    bool is_checked;
};

struct http {
    const char *base_url, *api_key, *card, *notes;
    struct conf_items members; /* struct sub */
};

struct root {
    struct conf_strs listen, words;
    const char *name, *empty, *star, *secret;
    bool is_on, is_fast;
    int64_t workers, number, size, wait_ms;
    int level, mode;
    struct conf_pairs map;
    struct sub sub;
    struct tls tls;
    struct conf_items providers; /* struct provider */
    struct conf_items list;      /* struct sub */
};

static enum gw_err check_sub(void *data, const char *name, struct gw_error *e)
{
    struct sub *s = data;

    (void)name;
    if (s->weight == 13)
        return err_set(e, GW_INVALID_VALUE, "'weight' brings bad luck");
    return GW_OK;
}

static enum gw_err check_disk(void *data, const char *name, struct gw_error *e)
{
    struct disk *d = data;

    (void)name;
    (void)e;
    d->is_checked = true;
    return GW_OK;
}

static enum gw_err check_provider(void *data, const char *name,
                                  struct gw_error *e)
{
    struct provider *p = data;
    struct disk *d = p->own;

    p->seen_name = name;
    if (strcmp(p->type, "disk") == 0 && !d->is_checked)
        return err_set(e, GW_INTERNAL, "the own half was not checked before");
    return GW_OK;
}

#define AT(type, member) offsetof(struct type, member)

/* clang-format off */
static const struct conf_section tls_section = {
    .size = sizeof(struct tls),
    .keys = (const struct conf_key[]){
        {.name = "certificate", .type = CONF_STR, .offset = AT(tls, certificate), .is_required = true, .help = "a file"},
        {.name = "days", .type = CONF_INT, .offset = AT(tls, days), .def = "90", .help = "for how long"},
        {.name = NULL}},
};

static const struct conf_section sub_section = {
    .size = sizeof(struct sub),
    .keys = (const struct conf_key[]){
        {.name = "key", .type = CONF_SECRET, .offset = AT(sub, key), .help = "a secret"},
        {.name = "weight", .type = CONF_INT, .offset = AT(sub, weight), .def = "3", .min = 1, .max = 100, .help = "how much"},
        {.name = "tags", .type = CONF_STR_LIST, .offset = AT(sub, tags), .help = "any words"},
        {.name = NULL}},
    .check = check_sub,
};

static const struct conf_section disk_section = {
    .size = sizeof(struct disk),
    .keys = (const struct conf_key[]){
        {.name = "path", .type = CONF_STR, .offset = AT(disk, path), .def = "./data", .help = "where it is"},
        {.name = NULL}},
    .check = check_disk,
};

static const struct conf_section http_section = {
    .size = sizeof(struct http),
    .keys = (const struct conf_key[]){
        {.name = "base_url", .type = CONF_STR, .offset = AT(http, base_url), .is_required = true, .help = "where it is"},
        {.name = "api_key", .type = CONF_SECRET, .offset = AT(http, api_key), .help = "how to get in"},
        {.name = "card", .type = CONF_CONTENT, .offset = AT(http, card), .help = "a file"},
        {.name = "notes", .type = CONF_CONTENT, .offset = AT(http, notes), .def = "${CONF_TEST_NOTES:-~/notes}", .help = "another"},
        {.name = "members", .type = CONF_SECTION_LIST, .offset = AT(http, members), .sub = &sub_section, .help = "some"},
        {.name = NULL}},
};

static const char *const provider_types[] = {"disk", "http", NULL};

static const struct conf_section *select_type(const char *value)
{
    if (strcmp(value, "disk") == 0)
        return &disk_section;
    return strcmp(value, "http") == 0 ? &http_section : NULL;
}

static const struct conf_section provider_section = {
    .size = sizeof(struct provider),
    .keys = (const struct conf_key[]){
        {.name = "type", .type = CONF_STR, .offset = AT(provider, type), .is_required = true, .help = "which kind"},
        {.name = "timeout", .type = CONF_DURATION, .offset = AT(provider, timeout_ms), .def = "120s", .min = 1, .max = 3600000,
         .help = "a transfer without any progress is given up after so long, and this line is long"},
        {.name = "headers", .type = CONF_STR_MAP, .offset = AT(provider, headers), .help = "sent along", .example = "x-team: files"},
        {.name = NULL}},
    .selector = "type",
    .select = select_type,
    .selector_names = provider_types,
    .own_offset = AT(provider, own),
    .check = check_provider,
};

static const char *const levels[] = {"debug", "info", "warn", NULL};

static const struct conf_section root_section = {
    .size = sizeof(struct root),
    .keys = (const struct conf_key[]){
        {.name = "listen", .type = CONF_STR_LIST, .offset = AT(root, listen), .def = "127.0.0.1:8080", .help = "addresses"},
        {.name = "words", .type = CONF_STR_LIST, .offset = AT(root, words), .def = "[a, b]", .help = "more than one"},
        {.name = "name", .type = CONF_STR, .offset = AT(root, name), .help = "any"},
        {.name = "empty", .type = CONF_STR, .offset = AT(root, empty), .def = "", .help = "any"},
        {.name = "star", .type = CONF_STR, .offset = AT(root, star), .def = "*: \"#\" ", .help = "hard to write"},
        {.name = "secret", .type = CONF_SECRET, .offset = AT(root, secret), .def = "${CONF_TEST_KEY:-}", .help = "hidden"},
        {.name = "on", .type = CONF_BOOL, .offset = AT(root, is_on), .def = "yes", .help = "a switch"},
        {.name = "fast", .type = CONF_BOOL, .offset = AT(root, is_fast), .help = "another"},
        {.name = "workers", .type = CONF_INT, .offset = AT(root, workers), .def = "0", .max = 64, .help = "threads"},
        {.name = "number", .type = CONF_INT, .offset = AT(root, number), .def = "-5", .min = -10, .help = "from -10 on"},
        {.name = "size", .type = CONF_SIZE, .offset = AT(root, size), .def = "512MB", .min = 1024, .max = 1LL << 40, .help = "bytes"},
        {.name = "wait", .type = CONF_DURATION, .offset = AT(root, wait_ms), .def = "30s", .max = 60000, .help = "time"},
        {.name = "level", .type = CONF_ENUM, .offset = AT(root, level), .choices = levels, .def = "info", .help = "how much"},
        {.name = "mode", .type = CONF_ENUM, .offset = AT(root, mode), .choices = levels, .help = "debug is one"},
        {.name = "map", .type = CONF_STR_MAP, .offset = AT(root, map), .help = "pairs", .example = "a: b\nc: d"},
        {.name = "sub", .type = CONF_SECTION, .offset = AT(root, sub), .sub = &sub_section, .help = "inside"},
        {.name = "tls", .type = CONF_SECTION, .offset = AT(root, tls), .sub = &tls_section, .help = "optional"},
        {.name = "providers", .type = CONF_SECTIONS, .offset = AT(root, providers), .sub = &provider_section,
         .help = "by name", .example = "local:\n  type: disk\nfar: {type: http, base_url: http://h, api_key: ${CONF_TEST_HOME}}"},
        {.name = "list", .type = CONF_SECTION_LIST, .offset = AT(root, list), .sub = &sub_section,
         .help = "in order", .example = "- {weight: 5}"},
        {.name = NULL}},
};
/* clang-format on */

/* A section within itself. */
struct node {
    struct conf_items children;
};

static const struct conf_section node_section;
static const struct conf_key node_keys[] = {
    {.name = "c", .type = CONF_SECTION_LIST, .sub = &node_section, .help = "x"},
    {.name = NULL}};
static const struct conf_section node_section = {.size = sizeof(struct node),
                                                 .keys = node_keys};

/* --- reading it --- */

static struct arena *arena;
static struct buf faults;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    buf_init(&faults, 64 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    buf_release(&faults);
    return 0;
}

static struct root *try_parse(struct str text)
{
    buf_clear(&faults);
    return conf_parse(arena, &root_section, "f.yaml", text, &faults);
}

UNUSED static struct root *parse(const char *text)
{
    struct root *r = try_parse(str_of(text));

    if (!r)
        fail_msg("faults: %s", faults.p);
    assert_int_equal(faults.n, 0);
    return r;
}

UNUSED static void assert_faults(const char *text, const char *want)
{
    assert_null(try_parse(str_of(text)));
    assert_string_equal(faults.p, want);
}

UNUSED static const struct provider *provider(const struct root *r, size_t i)
{
    assert_true(i < r->providers.n);
    return r->providers.v[i].data;
}

static char path[] = "/tmp/test_conf.XXXXXX";

/* The path of a file with this content. */
UNUSED static const char *file_with(const char *content, size_t n)
{
    int fd;

    strcpy(path + sizeof(path) - 7, "XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, n), n);
    close(fd);
    return path;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
