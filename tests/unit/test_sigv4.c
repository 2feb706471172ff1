/* test_sigv4.c -- Amazon's published examples, and what they leave open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "providers/sigv4.h"

#define HOST "https://examplebucket.s3.amazonaws.com"
#define REGIONAL "https://examplebucket.s3.us-east-1.amazonaws.com"
#define AT_S 1369353600 /* 20130524T000000Z */

static struct arena *arena;
static struct http_req req;

static const struct sigv4 example = {
    .key_id = {"AKIAIOSFODNN7EXAMPLE", 20},
    .secret = {"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", 40},
    .token = {"", 0},
    .region = {"us-east-1", 9},
    .service = {"s3", 2},
    .now_s = AT_S,
};

static int set_up(void **state)
{
    (void)state;
    arena = arena_new();
    req = (struct http_req){0};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

static void start(const char *method, const char *url)
{
    req.method = method;
    req.url = str_of(url);
}

static void field(const char *name, const char *value)
{
    http_fields_add(&req.fields, arena, str_of(name), str_of(value));
}

static struct str get(const char *name)
{
    return http_fields_get(&req.fields, str_of(name));
}

/* What stands behind the sign in the field Authorization. */
static struct str part_of_authorization(const char *name)
{
    const char *p = strstr(get("authorization").p, name);

    assert_non_null(p);
    p += strlen(name);
    return str_make(p, strcspn(p, ","));
}

static void assert_signed(const struct sigv4 *s, struct str payload,
                          const char *names, const char *signature)
{
    sigv4_sign(s, arena, &req, payload);
    assert_true(str_eq_c(part_of_authorization("SignedHeaders="), names));
    if (!str_eq_c(part_of_authorization("Signature="), signature))
        fail_msg("%s", get("authorization").p);
}

#define USUAL "host;x-amz-content-sha256;x-amz-date"

static void a_range_is_read(void **state)
{
    char hash[CRYPTO_SHA256_HEX + 1];
    struct buf canonical;

    (void)state;
    start("GET", HOST "/test.txt");
    field("Range", "bytes=0-9");
    assert_signed(
        &example, SIGV4_EMPTY, "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    assert_true(str_eq_c(get("authorization"),
                         "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"
                         "20130524/us-east-1/s3/aws4_request, SignedHeaders="
                         "host;range;x-amz-content-sha256;x-amz-date, Signature"
                         "=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd910"
                         "39c6036bdb41"));
    sigv4_canonical(&req, SIGV4_EMPTY, &canonical);
    crypto_sha256_hex(buf_str(&canonical), hash);
    assert_string_equal(
        hash,
        "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972");
    buf_release(&canonical);
}

static void an_object_is_put(void **state)
{
    char hash[CRYPTO_SHA256_HEX + 1];

    (void)state;
    crypto_sha256_hex(STR("Welcome to Amazon S3."), hash);
    start("PUT", HOST "/test%24file.text");
    field("Date", "Fri, 24 May 2013 00:00:00 GMT");
    field("x-amz-storage-class", "REDUCED_REDUNDANCY");
    assert_signed(
        &example, str_of(hash),
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

/* "%3A" is "%253A" there; what is sent and the query stay as they are. Computed
 * by other code, from the manual. */
static void other_services_have_their_paths_encoded_twice(void **state)
{
    struct sigv4 other = example;

    (void)state;
    other.service = STR("bedrock");
    start("GET", "https://bedrock.us-east-1.amazonaws.com/"
                 "model-invocation-job/arn%3Aaws%3Abedrock%2Fx?a=%3A");
    assert_signed(
        &other, SIGV4_EMPTY, USUAL,
        "138beec13161c1f3de4ea56b266c54dcaa899f0f15558dfa4585f7246b7538a3");
    assert_true(str_ends(req.url, STR("arn%3Aaws%3Abedrock%2Fx?a=%3A")));
}

static void objects_are_listed(void **state)
{
    (void)state;
    start("GET", HOST "/?prefix=J&max-keys=2");
    assert_signed(
        &example, SIGV4_EMPTY, USUAL,
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

static void bodies_may_stay_unsigned(void **state)
{
    static const struct {
        const char *method, *url, *signature;
    } cases[] = {
        {"PUT", REGIONAL "/files/a%20b.jsonl",
         "44e4a489a01311e578e8472ab154206c756aced5a667e76bdb6f0366837d1d57"},
        {"POST", REGIONAL "/files/a%20b.jsonl?uploads=",
         "585b94db6973dda63269a71a9f65ab49b4ee821ea31475b6e1fd4c4e5198bdd5"},
        {"POST", REGIONAL "/files/a%20b.jsonl?uploads",
         "585b94db6973dda63269a71a9f65ab49b4ee821ea31475b6e1fd4c4e5198bdd5"},
        {"PUT", REGIONAL "/files/a%20b.jsonl?partNumber=1&uploadId=VXBsb2Fk",
         "b29b94e434a0a4e57b15c17f9e857eedc1d6951e35a81a35d1e8964cb04b4567"},
        {"PUT", REGIONAL "/files/a%20b.jsonl?uploadId=VXBsb2Fk&partNumber=1",
         "b29b94e434a0a4e57b15c17f9e857eedc1d6951e35a81a35d1e8964cb04b4567"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(cases); i++) {
        req = (struct http_req){0};
        start(cases[i].method, cases[i].url);
        assert_signed(&example, SIGV4_UNSIGNED, USUAL, cases[i].signature);
    }
}

static void the_key_of_a_day_is_amazons(void **state)
{
    unsigned char key[CRYPTO_SHA256_BYTES];
    char hex[CRYPTO_SHA256_HEX + 1];

    (void)state;
    sigv4_key(&example, STR("20130524"), key);
    crypto_hex(key, sizeof(key), hex);
    assert_string_equal(
        hex,
        "dbb893acc010964918f1fd433add87c70e8b0db6be30c1fbeafefa5ec6ba8378");
}

/* The signature of a chunk, which is chained to the one before it. */
static void sign_chunk(const char *before, size_t n, char *hex)
{
    static char data[65536];
    unsigned char key[CRYPTO_SHA256_BYTES];
    char hash[CRYPTO_SHA256_HEX + 1];
    struct str text;

    memset(data, 'a', sizeof(data));
    crypto_sha256_hex(str_make(data, n), hash);
    text = arena_printf(arena,
                        "AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n20130524/"
                        "us-east-1/s3/aws4_request\n%s\n%.*s\n%s",
                        before, STR_ARG(SIGV4_EMPTY), hash);
    sigv4_key(&example, STR("20130524"), key);
    sigv4_signature(key, text, hex);
}

static void chunks_are_signed_one_after_the_other(void **state)
{
    static const struct {
        size_t n;
        const char *signature;
    } chunks[] = {
        {65536,
         "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"},
        {1024,
         "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"},
        {0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"},
    };
    const char *before =
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
    char hex[CRYPTO_SHA256_HEX + 1];
    size_t i;

    (void)state;
    start("PUT", "https://s3.amazonaws.com/examplebucket/chunkObject.txt");
    field("Content-Encoding", "aws-chunked");
    field("Content-Length", "66824");
    field("x-amz-decoded-content-length", "66560");
    field("x-amz-storage-class", "REDUCED_REDUNDANCY");
    assert_signed(&example, STR("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
                  "content-encoding;content-length;host;x-amz-content-sha256;"
                  "x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
                  before);
    for (i = 0; i < COUNTOF(chunks); i++) {
        sign_chunk(before, chunks[i].n, hex);
        assert_string_equal(hex, chunks[i].signature);
        before = chunks[i].signature;
    }
}

static void assert_canonical(const char *want)
{
    struct buf out;

    sigv4_canonical(&req, STR("P"), &out);
    assert_string_equal(out.p, want);
    buf_release(&out);
}

static void the_host_is_what_the_client_sends(void **state)
{
    static const char *const hosts[][2] = {
        {"https://h", "h"},
        {"https://h:443", "h"},
        {"https://h:80", "h:80"},
        {"http://h:80", "h"},
        {"http://h:443", "h:443"},
        {"HTTP://H:9000", "H:9000"},
        {"http://[::1]:9000", "[::1]:9000"},
        {"http://[::1]", "[::1]"},
        {"http://10.0.0.80", "10.0.0.80"},
        {"http://h:8080", "h:8080"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(hosts); i++) {
        struct str want =
            arena_printf(arena, "GET\n/\n\nhost:%s\n\nhost\nP", hosts[i][1]);

        start("GET", hosts[i][0]);
        assert_canonical(want.p);
    }
}

static void a_request_has_one_canonical_form(void **state)
{
    (void)state;
    start("GET", "http://h/a//b/%7E?b=2&a-b=1&a=2&a=1&c&a=");
    field("X-Amz-Meta-B", "  two \t words  ");
    field("x-amz-meta-a", "");
    field("Content-Type", "text/plain");
    field("Accept", "not signed");
    field("User-Agent", "not signed");
    field("x-amz-", "not signed");
    assert_canonical("GET\n/a//b/%7E\na=&a=1&a=2&a-b=1&b=2&c=\n"
                     "content-type:text/plain\nhost:h\nx-amz-meta-a:\n"
                     "x-amz-meta-b:two words\n\n"
                     "content-type;host;x-amz-meta-a;x-amz-meta-b\nP");
}

static void the_token_of_temporary_keys_is_sent_and_signed(void **state)
{
    struct sigv4 temporary = example;

    (void)state;
    temporary.token = STR("t0ken");
    start("GET", HOST "/test.txt");
    sigv4_sign(&temporary, arena, &req, SIGV4_EMPTY);
    assert_true(str_eq_c(get("x-amz-security-token"), "t0ken"));
    assert_true(str_eq_c(part_of_authorization("SignedHeaders="),
                         USUAL ";x-amz-security-token"));
    assert_true(str_eq_c(get("x-amz-date"), "20130524T000000Z"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_range_is_read),
        TEST(an_object_is_put),
        TEST(other_services_have_their_paths_encoded_twice),
        TEST(objects_are_listed),
        TEST(bodies_may_stay_unsigned),
        TEST(the_key_of_a_day_is_amazons),
        TEST(chunks_are_signed_one_after_the_other),
        TEST(the_host_is_what_the_client_sends),
        TEST(a_request_has_one_canonical_form),
        TEST(the_token_of_temporary_keys_is_sent_and_signed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
