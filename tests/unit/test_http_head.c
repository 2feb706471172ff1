#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/codec/http_head.h"

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST / HTTP/1.1\r\n" HOST

static struct http_head head;

/* In memory of exactly its size, so that the sanitizer sees a byte read too
 * many. Lives until the next one. */
static struct str exact(struct str text)
{
    static char *copy;

    free(copy);
    copy = malloc(text.n);
    if (text.n)
        memcpy(copy, text.p, text.n);
    return str_make(copy, text.n);
}

static enum gw_err parse(struct str text)
{
    struct gw_error e = {0};
    enum gw_err err = http_head_parse(&head, exact(text), &e);

    assert_int_equal(e.err, err);
    assert_int_equal(err != GW_OK, e.message[0] != '\0');
    return err;
}

static void assert_str(struct str got, struct str want)
{
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.p, want.p, want.n);
}

static void test_a_head_is_split_into_its_pieces(void **st)
{
    (void)st;
    assert_int_equal(
        parse(STR("POST /v1/files?a=%41&b HTTP/1.1\r\n"
                  "Host: h:8080\r\n"
                  "Content-Type:  multipart/form-data; b=\"c\"\t\r\n"
                  "Content-Length: 12\r\n"
                  "X-Empty:\r\n"
                  "X-Text: \xc3\xa4 b\tc\r\n"
                  "\r\n")),
        GW_OK);
    assert_str(head.method, STR("POST"));
    assert_str(head.target, STR("/v1/files?a=%41&b"));
    assert_str(head.raw_path, STR("/v1/files"));
    assert_str(head.raw_query, STR("a=%41&b"));
    assert_int_equal(head.minor, 1);
    assert_int_equal(head.nfields, 5);
    assert_int_equal(head.body, HTTP_BODY_LENGTH);
    assert_int_equal(head.content_length, 12);
    assert_false(head.expects_continue);
    assert_true(head.keep_alive);
    assert_str(http_head_get(&head, STR("content-type")),
               STR("multipart/form-data; b=\"c\""));
    assert_str(http_head_get(&head, STR("x-TEXT")), STR("\xc3\xa4 b\tc"));
    assert_non_null(http_head_get(&head, STR("X-Empty")).p);
    assert_int_equal(http_head_get(&head, STR("X-Empty")).n, 0);
    assert_null(http_head_get(&head, STR("X-None")).p);
}

static void test_a_head_without_query_and_body_says_so(void **st)
{
    (void)st;
    assert_int_equal(parse(STR(GET "\r\n")), GW_OK);
    assert_null(head.raw_query.p);
    assert_int_equal(head.body, HTTP_BODY_NONE);
    assert_int_equal(head.content_length, -1);
    assert_int_equal(parse(STR("GET /? HTTP/1.1\r\n" HOST "\r\n")), GW_OK);
    assert_non_null(head.raw_query.p);
    assert_int_equal(head.raw_query.n, 0);
}

static void test_an_absolute_target_loses_its_host(void **st)
{
    (void)st;
    assert_int_equal(parse(STR("GET http://h:1/x?y HTTP/1.1\r\n" HOST "\r\n")),
                     GW_OK);
    assert_str(head.target, STR("/x?y"));
    assert_str(head.raw_path, STR("/x"));
    assert_int_equal(parse(STR("GET HTTPS://h HTTP/1.1\r\n" HOST "\r\n")),
                     GW_OK);
    assert_str(head.target, STR("/"));
    assert_str(head.raw_path, STR("/"));
}

static void test_the_connection_is_kept_as_the_client_asks(void **st)
{
    static const struct {
        struct str text;
        bool is_kept;
    } cases[] = {
        {STR(GET "\r\n"), true},
        {STR(GET "Connection: close\r\n\r\n"), false},
        {STR(GET "Connection: Keep-Alive, CLOSE\r\n\r\n"), false},
        {STR(GET "Connection: keep-alive\r\nConnection: close\r\n\r\n"), false},
        {STR(GET "Connection: closed, upgrade\r\n\r\n"), true},
        {STR("GET / HTTP/1.0\r\n\r\n"), false},
        {STR("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"), true},
        {STR("GET / HTTP/1.0\r\nConnection: x,,keep-alive , close\r\n\r\n"),
         false},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        assert_int_equal(parse(cases[i].text), GW_OK);
        if (head.keep_alive != cases[i].is_kept)
            fail_msg("case %zu", i);
    }
}

static void test_only_100_continue_on_1_1_is_an_expectation(void **st)
{
    (void)st;
    assert_int_equal(parse(STR(POST "Expect: 100-Continue\r\n\r\n")), GW_OK);
    assert_true(head.expects_continue);
    assert_int_equal(parse(STR(POST "Expect: x\r\n\r\n")), GW_OK);
    assert_false(head.expects_continue);
    assert_int_equal(parse(STR("POST / HTTP/1.0\r\nExpect: 100-continue"
                               "\r\n\r\n")),
                     GW_OK);
    assert_false(head.expects_continue);
}

static void test_chunked_in_any_case_is_understood(void **st)
{
    (void)st;
    assert_int_equal(parse(STR(POST "Transfer-Encoding: chunked\r\n\r\n")),
                     GW_OK);
    assert_int_equal(head.body, HTTP_BODY_CHUNKED);
    assert_int_equal(head.content_length, -1);
    assert_int_equal(parse(STR(POST "transfer-ENCODING:\tCHUNKED \r\n\r\n")),
                     GW_OK);
    assert_int_equal(head.body, HTTP_BODY_CHUNKED);
}

static void test_the_largest_content_length_is_read(void **st)
{
    (void)st;
    assert_int_equal(
        parse(STR(POST "Content-Length: 9223372036854775807\r\n\r\n")), GW_OK);
    assert_int_equal(head.content_length, INT64_MAX);
    assert_int_equal(parse(STR(POST "Content-Length: 0\r\n\r\n")), GW_OK);
    assert_int_equal(head.body, HTTP_BODY_LENGTH);
    assert_int_equal(head.content_length, 0);
}

/* Every way in which a head can be wrong, row by row. */
static const struct {
    struct str text;
    enum gw_err err;
} refused[] = {
    /* bytes outside the token set in a method or field name */
    {STR("G(T / HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("G\0T / HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR(" / HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR(GET "X@Y: z\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "X\xc3\xa4: z\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET ": z\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "XYZ\r\n\r\n"), GW_BAD_REQUEST},
    /* white space before the colon */
    {STR(GET "X : z\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "X\t: z\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Content-Length : 5\r\n\r\n"), GW_BAD_REQUEST},
    /* obs-fold */
    {STR(GET "X: y\r\n z\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "X: y\r\n\tz: a\r\n\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), GW_BAD_REQUEST},
    /* bare CR, bare LF, NUL anywhere */
    {STR(GET "X: y\rz\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "X: y\r\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "X: y\nZ: a\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "X: y\0z\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "X: y\x7fz\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "X\0: y\r\n\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1.1\nHost: a\n\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1.1\r\nHost: a\n\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1.1\rHost: a\r\n\r\n"), GW_BAD_REQUEST},
    {STR("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /\r HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1.1\r\n" HOST "\rX: y\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "\n"), GW_BAD_REQUEST},
    /* Content-Length */
    {STR(POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"),
     GW_BAD_REQUEST},
    {STR(POST "Content-Length: 5\r\ncontent-length: 6\r\n\r\n"),
     GW_BAD_REQUEST},
    {STR(POST "Content-Length: 5, 5\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Content-Length: +5\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Content-Length: -5\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Content-Length: 0x5\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Content-Length: 5 5\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Content-Length: 5.0\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Content-Length:\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Content-Length: 9223372036854775808\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Content-Length: 18446744073709551621\r\n\r\n"), GW_BAD_REQUEST},
    /* Content-Length with Transfer-Encoding */
    {STR(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
     GW_BAD_REQUEST},
    {STR(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
     GW_BAD_REQUEST},
    /* any Transfer-Encoding but exactly one final chunked */
    {STR(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
              "\r\n"),
     GW_BAD_REQUEST},
    {STR(POST "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"),
     GW_UNKNOWN_CODING},
    {STR(POST "Transfer-Encoding: chunked, gzip\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Transfer-Encoding: chunked, identity\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Transfer-Encoding: chunked;q=1\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Transfer-Encoding: chunked,\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Transfer-Encoding: ,chunked\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Transfer-Encoding:\r\n\r\n"), GW_BAD_REQUEST},
    {STR(POST "Transfer-Encoding: ,\r\n\r\n"), GW_BAD_REQUEST},
    {STR("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
     GW_BAD_REQUEST},
    /* an unknown transfer coding */
    {STR(POST "Transfer-Encoding: gzip\r\n\r\n"), GW_UNKNOWN_CODING},
    {STR(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"), GW_UNKNOWN_CODING},
    {STR(POST "Transfer-Encoding: xchunked\r\n\r\n"), GW_UNKNOWN_CODING},
    {STR(POST "Transfer-Encoding: identity\r\n\r\n"), GW_UNKNOWN_CODING},
    /* versions */
    {STR("GET / HTTP/2.0\r\n" HOST "\r\n"), GW_HTTP_VERSION},
    {STR("GET / HTTP/9.9\r\n" HOST "\r\n"), GW_HTTP_VERSION},
    {STR("GET / HTTP/1.2\r\n" HOST "\r\n"), GW_HTTP_VERSION},
    {STR("GET / HTTP/0.9\r\n" HOST "\r\n"), GW_HTTP_VERSION},
    {STR("GET / http/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1.10\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1.1 \r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1,1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET / \r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET\r\n\r\n"), GW_BAD_REQUEST},
    {STR("\r\n"), GW_BAD_REQUEST},
    {STR(""), GW_BAD_REQUEST},
    /* Host */
    {STR("GET / HTTP/1.1\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "Host: b\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET "HOST: a\r\n\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), GW_BAD_REQUEST},
    {STR("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), GW_BAD_REQUEST},
    /* targets in neither form */
    {STR("OPTIONS * HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("CONNECT a:80 HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET v1/files HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET ?a HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET http:// HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET http:///x HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET http://u@a/x HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET http://a?x HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET  / HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /  HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /a b HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /#a HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    /* percent-escapes */
    {STR("GET /% HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /%4 HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /%4g HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /%%41 HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /%00 HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /x?a=%00 HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    {STR("GET /x?a=%u0041 HTTP/1.1\r\n" HOST "\r\n"), GW_BAD_REQUEST},
    /* no more and no less than one head */
    {STR(GET "\r\nX"), GW_BAD_REQUEST},
    {STR(GET "\r\n\r\n"), GW_BAD_REQUEST},
    {STR(GET), GW_BAD_REQUEST},
    {STR(GET "X: y"), GW_BAD_REQUEST},
    {STR(GET "X: y\r\n"), GW_BAD_REQUEST},
    {STR(GET "X: y\r\n\r"), GW_BAD_REQUEST},
};

static void test_what_two_parsers_could_read_differently_is_refused(void **st)
{
    (void)st;
    for (size_t i = 0; i < COUNTOF(refused); i++) {
        enum gw_err err = parse(refused[i].text);

        if (err != refused[i].err)
            fail_msg("case %zu (\"%.*s\"): %d", i, STR_ARG(refused[i].text),
                     (int)err);
    }
}

/* prefix, n times what, suffix. */
static struct str repeated(const char *prefix, const char *what, size_t n,
                           const char *suffix)
{
    static char text[2 * LIMIT_HEAD_BYTES];
    size_t at = strlen(prefix), k = strlen(what);

    memcpy(text, prefix, at);
    for (; n; n--, at += k)
        memcpy(text + at, what, k);
    memcpy(text + at, suffix, strlen(suffix));
    return str_make(text, at + strlen(suffix));
}

static void test_each_limit_is_met_and_not_passed(void **st)
{
    const char *end = " HTTP/1.1\r\n" HOST "\r\n";
    size_t rest = strlen(GET "X: \r\n\r\n");

    (void)st;
    assert_int_equal(parse(repeated("GET /", "a", LIMIT_TARGET_BYTES - 1, end)),
                     GW_OK);
    assert_int_equal(parse(repeated("GET /", "a", LIMIT_TARGET_BYTES, end)),
                     GW_URI_TOO_LONG);
    assert_int_equal(
        parse(repeated(GET, "X: y\r\n", LIMIT_HEAD_FIELDS - 1, "\r\n")), GW_OK);
    assert_int_equal(head.nfields, LIMIT_HEAD_FIELDS);
    assert_int_equal(
        parse(repeated(GET, "X: y\r\n", LIMIT_HEAD_FIELDS, "\r\n")),
        GW_HEAD_TOO_LARGE);
    assert_int_equal(
        parse(repeated(GET "X: ", "y", LIMIT_HEAD_BYTES - rest, "\r\n\r\n")),
        GW_OK);
    assert_int_equal(parse(repeated(GET "X: ", "y", LIMIT_HEAD_BYTES - rest + 1,
                                    "\r\n\r\n")),
                     GW_HEAD_TOO_LARGE);
}

static bool is_token(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || (c && strchr("!#$%&'*+-.^_`|~", c));
}

static void test_every_byte_is_taken_only_where_it_may_stand(void **st)
{
    char text[64];

    (void)st;
    for (int c = 0; c < 256; c++) {
        int n = snprintf(text, sizeof(text),
                         "G%c / HTTP/1.1\r\nHost: a\r\n\r\n", 'G');

        text[1] = (char)c;
        assert_int_equal(parse(str_make(text, (size_t)n)) == GW_OK,
                         is_token(c));
        n = snprintf(text, sizeof(text),
                     "GET /x HTTP/1.1\r\nHost: a\r\nX_Y: a_b\r\n\r\n");
        text[26 + 1] = (char)c;
        assert_int_equal(parse(str_make(text, (size_t)n)) == GW_OK,
                         is_token(c) || c == ':');
        text[26 + 1] = '_';
        text[26 + 6] = (char)c;
        assert_int_equal(parse(str_make(text, (size_t)n)) == GW_OK,
                         c == '\t' || (c >= ' ' && c != 0x7f));
        text[26 + 6] = '_';
        text[5] = (char)c;
        assert_int_equal(parse(str_make(text, (size_t)n)) == GW_OK,
                         c > ' ' && c < 0x7f && c != '#' && c != '%');
    }
}

static const struct str heads[] = {
    STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    STR("\r\n\r\nGET / HTTP/1.0\r\n\r\n"),
    STR("POST /v1/files?x=%41 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
        "Expect: 100-continue\r\nConnection: close\r\n\r\n"),
    STR("POST http://a/b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
        "X: \r\n\r\n"),
    STR("GET / HTTP/1.1\nHost: a\n\n"),
    STR("GET / HTTP/1.1\nHost: a\n\r\n"),
};

static void test_a_head_is_complete_with_its_last_byte(void **st)
{
    (void)st;
    for (size_t i = 0; i < COUNTOF(heads); i++) {
        size_t n = heads[i].n, empty = heads[i].p[0] == '\r' ? 4 : 0, skip;

        for (size_t have = 0; have < n; have++) {
            struct str part = exact(str_make(heads[i].p, have));

            assert_int_equal(http_head_length(part.p, have, 0, &skip), 0);
            assert_int_equal(skip, MIN(have, empty) & ~(size_t)1);
        }
        assert_int_equal(http_head_length(heads[i].p, n, 0, &skip), n - empty);
        assert_int_equal(skip, empty);
    }
}

static void test_a_head_is_found_at_every_split_and_byte_by_byte(void **st)
{
    char text[256];
    size_t skip;

    (void)st;
    for (size_t i = 0; i < COUNTOF(heads); i++) {
        size_t n = heads[i].n, empty = heads[i].p[0] == '\r' ? 4 : 0;

        memcpy(text, heads[i].p, n);
        memcpy(text + n, "rest\r\n\r\n", 8);
        for (size_t from = 0; from < n; from++) {
            assert_int_equal(http_head_length(text, n, from, &skip), n - empty);
            assert_int_equal(http_head_length(text, n + 8, from, &skip),
                             n - empty);
            assert_int_equal(skip, empty);
        }
        for (size_t have = 1; have <= n; have++)
            assert_int_equal(http_head_length(text, have, have - 1, &skip),
                             have == n ? n - empty : 0);
    }
}

static uint32_t seed = 1;

static uint32_t noise(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)(seed >> 4) * below >> 28);
}

/* Every CR is followed by LF, every LF preceded by CR, no NUL. */
static bool has_clean_lines(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!s.p[i] || (s.p[i] == '\n' && (!i || s.p[i - 1] != '\r')) ||
            (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
            return false;
    }
    return true;
}

/* How many lines begin so, without case. */
static int lines_that_begin(struct str s, const char *name)
{
    size_t n = strlen(name);
    int count = 0;

    for (size_t i = 0; i + n <= s.n; i++)
        if ((i == 0 || s.p[i - 1] == '\n') &&
            str_eq_nocase(str_make(s.p + i, n), str_make(name, n)))
            count++;
    return count;
}

static void check_accepted(struct str text)
{
    int lengths = lines_that_begin(text, "content-length:");
    int codings = lines_that_begin(text, "transfer-encoding:");

    assert_true(has_clean_lines(text));
    assert_true(lengths + codings <= 1);
    assert_int_equal(head.body, lengths   ? HTTP_BODY_LENGTH
                                : codings ? HTTP_BODY_CHUNKED
                                          : HTTP_BODY_NONE);
    assert_true(lines_that_begin(text, "host:") <= 1);
    assert_true(head.minor == 0 || lines_that_begin(text, "host:") == 1);
    assert_int_equal(lines_that_begin(text, " "), 0);
    assert_int_equal(lines_that_begin(text, "\t"), 0);
}

/* Heads put together from pieces, then broken here and there. */
static void test_no_broken_head_is_taken_for_a_whole_one(void **st)
{
    static const char *const lines[] = {
        "Host: a\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-length: 5\r\n",
        "X: y\r\n",
        " folded\r\n",
        "Connection: close\r\n",
        "transfer-encoding:chunked\r\n",
    };
    static const char bad[] = "\r\n\0 \t:,aA;5\x7f\xff";
    int accepted = 0;

    (void)st;
    for (int round = 0; round < 50000; round++) {
        char text[512];
        size_t n = 0, breaks = noise(3);

        n = (size_t)snprintf(text, sizeof(text), "GET /x HTTP/1.%u\r\n",
                             noise(2));
        for (uint32_t k = noise(5); k; k--)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s",
                                  lines[noise(COUNTOF(lines))]);
        n += (size_t)snprintf(text + n, sizeof(text) - n, "\r\n");
        for (; breaks; breaks--)
            text[noise((uint32_t)n)] = bad[noise(sizeof(bad) - 1)];
        if (parse(str_make(text, n)) != GW_OK)
            continue;
        check_accepted(str_make(text, n));
        accepted++;
    }
    assert_true(accepted > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_head_is_split_into_its_pieces),
        cmocka_unit_test(test_a_head_without_query_and_body_says_so),
        cmocka_unit_test(test_an_absolute_target_loses_its_host),
        cmocka_unit_test(test_the_connection_is_kept_as_the_client_asks),
        cmocka_unit_test(test_only_100_continue_on_1_1_is_an_expectation),
        cmocka_unit_test(test_chunked_in_any_case_is_understood),
        cmocka_unit_test(test_the_largest_content_length_is_read),
        cmocka_unit_test(
            test_what_two_parsers_could_read_differently_is_refused),
        cmocka_unit_test(test_each_limit_is_met_and_not_passed),
        cmocka_unit_test(test_every_byte_is_taken_only_where_it_may_stand),
        cmocka_unit_test(test_a_head_is_complete_with_its_last_byte),
        cmocka_unit_test(test_a_head_is_found_at_every_split_and_byte_by_byte),
        cmocka_unit_test(test_no_broken_head_is_taken_for_a_whole_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
