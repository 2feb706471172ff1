#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/codec/chunked.h"

#define MAX_BYTES (64 * KIB)

static uint32_t seed = 1;

static uint32_t noise(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)(seed >> 4) * below >> 28);
}

/* What decoding came to: data, how much input it took, and how it ended. */
struct result {
    char data[MAX_BYTES];
    size_t n, used;
    enum gw_err err;
    bool is_done;
};

/* Decodes text in pieces: the first of `first` bytes, all others of `step`; in
 * memory of exactly their size, for the sanitizer. */
static void decode(struct str text, size_t first, size_t step, struct result *r)
{
    struct gw_error e = {0};
    struct chunked c;

    chunked_init(&c);
    *r = (struct result){.err = GW_OK};
    while (r->used < text.n && r->err == GW_OK && !chunked_is_done(&c)) {
        size_t n = MIN(r->used || !first ? step : first, text.n - r->used);
        char *piece = malloc(n);
        size_t used, out;

        memcpy(piece, text.p + r->used, n);
        r->err = chunked_decode(&c, piece, n, &used, &out, &e);
        assert_true(out <= used && used <= n);
        assert_true(used == n || r->err != GW_OK || chunked_is_done(&c));
        memcpy(r->data + r->n, piece, out);
        free(piece);
        r->n += out;
        r->used += used;
    }
    r->is_done = chunked_is_done(&c);
    assert_int_equal(e.err, r->err);
    assert_true(r->err == GW_OK || r->err == GW_BAD_REQUEST);
}

static struct result whole, pieces;

/* The same, however it is cut. */
static void decode_in_all_ways(struct str text)
{
    decode(text, 0, MAX_BYTES, &whole);
    for (size_t cut = 0; cut <= text.n; cut++) {
        /* The first round is byte by byte. */
        decode(text, cut, cut ? MAX_BYTES : 1, &pieces);
        assert_int_equal(pieces.err, whole.err);
        assert_int_equal(pieces.is_done, whole.is_done);
        assert_int_equal(pieces.used, whole.used);
        assert_int_equal(pieces.n, whole.n);
        assert_memory_equal(pieces.data, whole.data, whole.n);
    }
}

static void test_well_formed_bodies_are_decoded_at_every_split(void **st)
{
    static const struct {
        struct str text, data;
    } cases[] = {
        {STR("0\r\n\r\n"), STR("")},
        {STR("5\r\nhello\r\n0\r\n\r\n"), STR("hello")},
        {STR("5\r\nhello\r\n6\r\n\r\n0\r\n\r\r\n0\r\n\r\n"),
         STR("hello\r\n0\r\n\r")},
        {STR("00000000000000A\r\n0123456789\r\n000\r\n\r\n"),
         STR("0123456789")},
        {STR("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"),
         STR("01234567890123456789")},
        {STR("1;a=b\r\nx\r\n1 ;c=\"d e\"\r\ny\r\n1\t; f\r\nz\r\n0;g\r\n\r\n"),
         STR("xyz")},
        {STR("1\r\nx\r\n0\r\nTrailer: a\r\nGET / HTTP/1.1\r\n\r\n"), STR("x")},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        decode_in_all_ways(cases[i].text);
        assert_int_equal(whole.err, GW_OK);
        assert_true(whole.is_done);
        assert_int_equal(whole.used, cases[i].text.n);
        assert_true(str_eq(str_make(whole.data, whole.n), cases[i].data));
    }
}

static void test_what_follows_the_end_is_left_alone(void **st)
{
    char text[] = "1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    struct gw_error e = {0};
    struct chunked c;
    size_t used, out;

    (void)st;
    chunked_init(&c);
    assert_int_equal(
        chunked_decode(&c, text, sizeof(text) - 1, &used, &out, &e), GW_OK);
    assert_int_equal(out, 1);
    assert_int_equal(text[0], 'x');
    assert_string_equal(text + used, "GET / HTTP/1.1\r\n\r\n");
    assert_int_equal(chunked_decode(&c, text, 5, &used, &out, &e), GW_OK);
    assert_int_equal(used, 0);
    assert_int_equal(out, 0);
    decode_in_all_ways(STR("1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
    assert_int_equal(whole.used, 11);
}

static void test_a_body_without_its_end_is_not_done(void **st)
{
    struct str text = STR("5;a\r\nhello\r\n0\r\nA: b\r\n\r\n");

    (void)st;
    for (size_t n = 0; n < text.n; n++) {
        decode(str_make(text.p, n), 0, MAX_BYTES, &whole);
        assert_int_equal(whole.err, GW_OK);
        assert_false(whole.is_done);
    }
}

static void test_broken_bodies_are_refused_at_every_split(void **st)
{
    static const struct str texts[] = {
        STR("\r\n"),
        STR("x\r\n"),
        STR(" 5\r\n"),
        STR("\t5\r\n"),
        STR("+5\r\n"),
        STR("-5\r\n"),
        STR("0x5\r\n"),
        STR("5g\r\n"),
        STR("5 \r\n"),
        STR("5 5\r\n"),
        STR(";a\r\n"),
        STR("5\n"),
        STR("5\rx"),
        STR("5\r\r"),
        STR("5;a\nb"),
        STR("5;a\rb"),
        STR("5;a\0"),
        STR("0000000000000005\r\n"),
        STR("ffffffffffffffff\r\n"),
        STR("10000000000000000\r\n"),
        STR("1\r\nxy"),
        STR("1\r\nx\n"),
        STR("1\r\nx\rx"),
        STR("1\r\nx0"),
        STR("1\r\nx\r\n\r\n"),
        STR("0\r\n\n"),
        STR("0\r\n\rx"),
        STR("0\r\nA: b\n"),
        STR("0\r\nA: b\rc"),
        STR("0\r\nA: \0"),
        STR("0\n"),
        STR("5\0\r\n"),
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        decode_in_all_ways(texts[i]);
        if (whole.err != GW_BAD_REQUEST)
            fail_msg("case %zu (\"%.*s\") is accepted", i, STR_ARG(texts[i]));
    }
}

static void test_a_failed_decoder_stays_failed(void **st)
{
    char text[] = "x0\r\n\r\n";
    struct gw_error e = {0};
    struct chunked c;
    size_t used, out;

    (void)st;
    chunked_init(&c);
    assert_int_equal(chunked_decode(&c, text, 1, &used, &out, &e),
                     GW_BAD_REQUEST);
    assert_int_equal(chunked_decode(&c, text + 1, 5, &used, &out, &e),
                     GW_BAD_REQUEST);
    assert_false(chunked_is_done(&c));
}

static void test_the_largest_size_is_counted_down_exactly(void **st)
{
    char text[] = "fffffffffffffff\r\nabc";
    struct gw_error e = {0};
    struct chunked c;
    size_t used, out;

    (void)st;
    chunked_init(&c);
    assert_int_equal(
        chunked_decode(&c, text, sizeof(text) - 1, &used, &out, &e), GW_OK);
    assert_int_equal(out, 3);
    assert_memory_equal(text, "abc", 3);
    assert_int_equal(c.left, 0xfffffffffffffff - 3);
}

/* "1;aaaa…" or "0\r\nA: aaaa…" with n letters. */
static enum gw_err decode_long(const char *prefix, size_t n, const char *suffix)
{
    static char text[2 * MAX_BYTES];
    size_t at = strlen(prefix);

    memcpy(text, prefix, at);
    memset(text + at, 'a', n);
    memcpy(text + at + n, suffix, strlen(suffix));
    decode(str_make(text, at + n + strlen(suffix)), 0, MAX_BYTES, &whole);
    return whole.err;
}

/* "0", n blanks, and an empty extension. */
static enum gw_err decode_blanks(size_t n)
{
    char text[KIB];
    int size = snprintf(text, sizeof(text), "0%*s;\r\n\r\n", (int)n, "");

    decode(str_make(text, (size_t)size), 0, MAX_BYTES, &whole);
    return whole.err;
}

static void test_extensions_and_trailers_are_bounded(void **st)
{
    (void)st;
    assert_int_equal(decode_long("0;", LIMIT_CHUNK_LINE_BYTES - 1, "\r\n\r\n"),
                     GW_OK);
    assert_true(whole.is_done);
    assert_int_equal(decode_long("0;", LIMIT_CHUNK_LINE_BYTES, "\r\n\r\n"),
                     GW_BAD_REQUEST);
    assert_int_equal(decode_blanks(LIMIT_CHUNK_LINE_BYTES - 1), GW_OK);
    assert_int_equal(decode_blanks(LIMIT_CHUNK_LINE_BYTES), GW_BAD_REQUEST);
    assert_int_equal(
        decode_long("0\r\nA: ", LIMIT_TRAILER_BYTES - 3, "\r\n\r\n"), GW_OK);
    assert_true(whole.is_done);
    assert_int_equal(
        decode_long("0\r\nA: ", LIMIT_TRAILER_BYTES - 2, "\r\n\r\n"),
        GW_BAD_REQUEST);
    /* All trailers together. */
    assert_int_equal(
        decode_long("0\r\nA: b\r\nC:", LIMIT_TRAILER_BYTES - 5, "\r\n\r\n"),
        GW_BAD_REQUEST);
}

/* data as chunks of random sizes, into text; the length. */
static size_t encode(const char *data, size_t n, char *text, size_t cap)
{
    static const char *const extensions[] = {"",   "",         "",
                                             ";a", ";b=\"c\"", " ;"};
    size_t at = 0, done = 0;

    while (done < n) {
        size_t k = 1 + noise((uint32_t)MIN(n - done, 40u));

        k = MIN(k, n - done);
        at += (size_t)snprintf(text + at, cap - at,
                               noise(2) ? "%zx%s\r\n" : "%03zX%s\r\n", k,
                               extensions[noise(COUNTOF(extensions))]);
        memcpy(text + at, data + done, k);
        memcpy(text + at + k, "\r\n", 2);
        at += k + 2;
        done += k;
    }
    at += (size_t)snprintf(text + at, cap - at, "0\r\n%s\r\n",
                           noise(2) ? "T: u\r\n" : "");
    return at;
}

static void fill(char *data, size_t n)
{
    static const char bytes[] = "\r\n0;abc";

    for (size_t i = 0; i < n; i++)
        data[i] = noise(2) ? bytes[noise(sizeof(bytes) - 1)] : (char)noise(256);
}

static void test_random_bodies_come_out_as_they_went_in(void **st)
{
    static char data[600], text[8 * KIB];

    (void)st;
    for (int round = 0; round < 3000; round++) {
        size_t n = noise(sizeof(data)), size;

        fill(data, n);
        size = encode(data, n, text, sizeof(text));
        decode(str_make(text, size), noise((uint32_t)size), 1 + noise(50),
               &whole);
        assert_int_equal(whole.err, GW_OK);
        assert_true(whole.is_done);
        assert_int_equal(whole.used, size);
        assert_int_equal(whole.n, n);
        assert_memory_equal(whole.data, data, n);
    }
}

static void test_broken_random_bodies_fail_alike_at_every_split(void **st)
{
    static char data[40], text[KIB];

    (void)st;
    for (int round = 0; round < 400; round++) {
        size_t n = noise(sizeof(data)), size;

        fill(data, n);
        size = encode(data, n, text, sizeof(text));
        fill(text + noise((uint32_t)size), 1);
        decode_in_all_ways(str_make(text, size));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well_formed_bodies_are_decoded_at_every_split),
        cmocka_unit_test(test_what_follows_the_end_is_left_alone),
        cmocka_unit_test(test_a_body_without_its_end_is_not_done),
        cmocka_unit_test(test_broken_bodies_are_refused_at_every_split),
        cmocka_unit_test(test_a_failed_decoder_stays_failed),
        cmocka_unit_test(test_the_largest_size_is_counted_down_exactly),
        cmocka_unit_test(test_extensions_and_trailers_are_bounded),
        cmocka_unit_test(test_random_bodies_come_out_as_they_went_in),
        cmocka_unit_test(test_broken_random_bodies_fail_alike_at_every_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
