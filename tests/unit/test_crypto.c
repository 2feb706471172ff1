/* test_crypto.c -- published vectors, and bytes that do not repeat. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "gateway/base/crypto.h"

/* FIPS 180-2, appendix B, and the empty message. */
static const struct {
    struct str text;
    const char *hex;
} vectors[] = {
    {STR(""),
     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {STR("abc"),
     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {STR("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
};
#define MILLION_AS_HEX                                                         \
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

static void hashes_are_those_of_the_standard(void **state)
{
    char hex[CRYPTO_SHA256_HEX + 1];

    (void)state;
    for (size_t i = 0; i < COUNTOF(vectors); i++) {
        crypto_sha256_hex(vectors[i].text, hex);
        assert_string_equal(hex, vectors[i].hex);
    }
    crypto_sha256_hex(STR_NULL, hex);
    assert_string_equal(hex, vectors[0].hex);
}

static void the_raw_hash_is_the_hex_one(void **state)
{
    unsigned char raw[CRYPTO_SHA256_BYTES];

    (void)state;
    crypto_sha256(STR("abc"), raw);
    assert_int_equal(raw[0], 0xba);
    assert_int_equal(raw[1], 0x78);
    assert_int_equal(raw[31], 0xad);
}

static void a_hash_in_pieces_is_the_hash_of_the_whole(void **state)
{
    struct str text = vectors[2].text;
    char hex[CRYPTO_SHA256_HEX + 1];

    (void)state;
    for (size_t cut = 0; cut <= text.n; cut++) {
        struct crypto_hash *h = crypto_hash_new();

        crypto_hash_add(h, text.p, cut);
        crypto_hash_add(h, text.p + cut, text.n - cut);
        crypto_hash_finish(h, hex);
        assert_string_equal(hex, vectors[2].hex);
    }
}

static void a_million_letters_hash_right(void **state)
{
    struct crypto_hash *h = crypto_hash_new();
    char block[1000], hex[CRYPTO_SHA256_HEX + 1];

    (void)state;
    memset(block, 'a', sizeof(block));
    for (int i = 0; i < 1000; i++)
        crypto_hash_add(h, block, sizeof(block));
    crypto_hash_finish(h, hex);
    assert_string_equal(hex, MILLION_AS_HEX);
}

static void one_shots_do_not_disturb_a_running_hash(void **state)
{
    struct crypto_hash *h = crypto_hash_new();
    char hex[CRYPTO_SHA256_HEX + 1];

    (void)state;
    crypto_hash_add(h, "a", 1);
    crypto_sha256_hex(STR("something else"), hex);
    crypto_hash_add(h, "bc", 2);
    crypto_hash_finish(h, hex);
    assert_string_equal(hex, vectors[1].hex);
}

static void md5_hashes_right(void **state)
{
    struct crypto_hash *h = crypto_hash_new_md5();
    char hex[CRYPTO_SHA256_HEX + 1];

    (void)state;
    crypto_hash_add(h, "a", 1);
    crypto_hash_add(h, "bc", 2);
    crypto_hash_finish(h, hex);
    assert_string_equal(hex, "900150983cd24fb0d6963f7d28e17f72");
}

static void a_hash_may_be_dropped(void **state)
{
    struct crypto_hash *h = crypto_hash_new();

    (void)state;
    crypto_hash_add(h, "abc", 3);
    crypto_hash_free(h);
    crypto_hash_free(NULL);
}

static void *hash_in_thread(void *arg)
{
    char hex[CRYPTO_SHA256_HEX + 1];

    for (int i = 0; i < 1000; i++) {
        crypto_sha256_hex(vectors[i % 3].text, hex);
        if (strcmp(hex, vectors[i % 3].hex) != 0)
            *(bool *)arg = false;
    }
    return NULL;
}

static void threads_hash_side_by_side(void **state)
{
    pthread_t threads[4];
    bool is_right[4] = {true, true, true, true};

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, hash_in_thread, &is_right[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(is_right[i]);
    }
}

static void random_bytes_fill_all_and_no_more(void **state)
{
    unsigned char out[1002];
    bool is_touched[1000] = {false};

    (void)state;
    /* A byte that stays as it was eight times is one that is not written. */
    for (int round = 0; round < 8; round++) {
        memset(out, 0x5a, sizeof(out));
        crypto_random(out + 1, 1000);
        assert_int_equal(out[0], 0x5a);
        assert_int_equal(out[1001], 0x5a);
        for (size_t i = 0; i < 1000; i++)
            is_touched[i] |= out[i + 1] != 0x5a;
    }
    for (size_t i = 0; i < 1000; i++)
        assert_true(is_touched[i]);
    crypto_random(out, 0);
}

static void random_texts_use_all_letters_and_no_others(void **state)
{
    size_t counts[256] = {0}, kinds = 0;
    char text[201];

    (void)state;
    for (int i = 0; i < 310; i++) {
        text[200] = 'x';
        crypto_random_text(text, 200);
        assert_int_equal(text[200], '\0');
        assert_int_equal(strlen(text), 200);
        for (size_t k = 0; k < 200; k++)
            counts[(unsigned char)text[k]]++;
    }
    /* 62000 letters of 62: each comes about 1000 times, with a deviation of
     * 31; ten times that is never seen. */
    for (int c = 0; c < 256; c++) {
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9');

        kinds += counts[c] > 0;
        if (is_letter)
            assert_in_range(counts[c], 690, 1310);
        else
            assert_int_equal(counts[c], 0);
    }
    assert_int_equal(kinds, 62);
    crypto_random_text(text, 0);
    assert_string_equal(text, "");
}

static void two_random_texts_differ(void **state)
{
    char a[33], b[33];

    (void)state;
    crypto_random_text(a, 32);
    crypto_random_text(b, 32);
    assert_string_not_equal(a, b);
}

static void equality_is_of_all_bytes(void **state)
{
    (void)state;
    assert_true(crypto_equal(STR("abc"), STR("abc")));
    assert_true(crypto_equal(STR_NULL, STR("")));
    assert_false(crypto_equal(STR("abc"), STR("abd")));
    assert_false(crypto_equal(STR("xbc"), STR("abc")));
    assert_false(crypto_equal(STR("abc"), STR("ab")));
    assert_false(crypto_equal(STR("a\0b"), STR("a\0c")));
}

static void expect_mac(struct str key, struct str data, const char *expected)
{
    unsigned char mac[CRYPTO_SHA256_BYTES];
    char hex[CRYPTO_SHA256_HEX + 1];

    crypto_hmac_sha256(key, data, mac);
    crypto_hex(mac, sizeof(mac), hex);
    assert_string_equal(hex, expected);
}

/* RFC 4231, cases 2 and 6 (a key longer than a block). */
static void macs_are_those_of_the_standard(void **state)
{
    char key[131];

    (void)state;
    expect_mac(
        STR("Jefe"), STR("what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    expect_mac(
        str_make(key, sizeof(key)),
        STR("Test Using Larger Than Block-Size Key - Hash Key First"),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    expect_mac(
        STR_NULL, STR(""),
        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

/* Of these tests alone. PKCS #1 v1.5 is deterministic; the signature is what
 * `openssl dgst -sha256 -sign` makes of it. */
static const char rsa_key[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBALwwq7D9hI+2lEfi\n"
    "SHvz2kPrAa9U7bTn0WAQjbZnwczaZdxXU+SKRBkPesW5lDPTWrfT+3KqdbYOHZWF\n"
    "zud5dU+Y5TwQSyYWrJwXyBQIKEROVA376mjc/UiZQl9TAqm5FY6cvRtn/Ukm3jS5\n"
    "lAnb6BBcCJhJNSfRuTEnLhsp7OuvAgMBAAECgYATNGRRC44bnGZFb7I19AyyIalq\n"
    "WyBm9cFILGhJ1QzR+veqJL9K81E/vXSp+OZG46q+V8OxT/PzQD2EpMMYnCx8ZhdZ\n"
    "ugN7xQgt2M2hRX1POAgksi4Kq81zSpKJoILP+suJT1CKnJwluKKb3s6YTlORgAS5\n"
    "7eODtia27Jjxx8bQAQJBAOrWOx9k5VoNzLvG0cwNRwDgpD4gLuSFKKQrtZVBl3sZ\n"
    "leZxQCsR8jiyLEQFvN4NHirl8A1wjHCvZ9+p0uiL9m8CQQDNJkiLV1U721TVcPMc\n"
    "UBdu2m2iIBavRyoP0BJaEA6ouHIsHsSvzKDaQUvF/1R1cGNbJ8nRTR6vCA+VTTmH\n"
    "ev7BAkEAk2mFVXCtc/kjol/sxE01W/ynvQPQy8w2tc9mPdodr71g1nYS1LaAOUzG\n"
    "8rAzXaQYYs9R/+29iuLgrorZBPcO6wJAOYgR8hnEymuBB/aMBxWi7LCO7FeJZRBV\n"
    "CGg2rVExezl2s07Ro+eD+JE1OcqYGfMxud+Xpn21LCrbi+hDSO5CQQJBAJKu9ukO\n"
    "KhGH0O8zl65wWszR/pWOhUCVSXYncID/+Ne/pcyt+xcHGpVOBh7ZU83hY8g3V1Xc\n"
    "arYOOFVoNF/a+dg=\n"
    "-----END PRIVATE KEY-----\n";

static const char ec_key[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtijN3fj7mSvflR6h\n"
    "DLDY1zXP4jWsDSg2q4CrhTQ2uBuhRANCAASxRymZUEEBdU6+brYMfLUGAmlw0Yik\n"
    "c8QqRXB+tXY/+I9398meDnWp1HWHhfW81JQTpvD8V4L8dgI6f8Dj2NG/\n"
    "-----END PRIVATE KEY-----\n";

static void a_signature_is_that_of_openssl(void **state)
{
    unsigned char out[CRYPTO_RSA_BYTES];
    char hex[2 * CRYPTO_RSA_BYTES + 1];
    size_t n = 0;

    (void)state;
    assert_true(crypto_sign_rs256(str_of(rsa_key), STR("a.b"), out, &n));
    crypto_hex(out, n, hex);
    assert_string_equal(
        hex,
        "202180b9c5a02360529b8ad246831bd0e9299af4513e4b106aa09e21f9ab8436"
        "20da19c61ea392691274f886c555accf05548657b907aedda1d4b634a6e9429f"
        "04b16716436b4ed80cab9143cc9c8536425439f236bda1636562a106c15307ad"
        "a5afa9873e31c66d0731948fd2b78d29f6e860dd6b4a69c6cbe09453bdf1bf1f");
}

static void what_is_no_rsa_key_signs_nothing(void **state)
{
    unsigned char out[CRYPTO_RSA_BYTES];
    size_t n = 0;

    (void)state;
    assert_false(crypto_sign_rs256(STR(""), STR("a"), out, &n));
    assert_false(crypto_sign_rs256(STR_NULL, STR("a"), out, &n));
    assert_false(crypto_sign_rs256(STR("no key"), STR("a"), out, &n));
    assert_false(crypto_sign_rs256(str_of(ec_key), STR("a"), out, &n));
    assert_false(crypto_sign_rs256(str_make(rsa_key, sizeof(rsa_key) / 2),
                                   STR("a"), out, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(macs_are_those_of_the_standard),
        cmocka_unit_test(a_signature_is_that_of_openssl),
        cmocka_unit_test(what_is_no_rsa_key_signs_nothing),
        cmocka_unit_test(hashes_are_those_of_the_standard),
        cmocka_unit_test(the_raw_hash_is_the_hex_one),
        cmocka_unit_test(a_hash_in_pieces_is_the_hash_of_the_whole),
        cmocka_unit_test(a_million_letters_hash_right),
        cmocka_unit_test(one_shots_do_not_disturb_a_running_hash),
        cmocka_unit_test(md5_hashes_right),
        cmocka_unit_test(a_hash_may_be_dropped),
        cmocka_unit_test(threads_hash_side_by_side),
        cmocka_unit_test(random_bytes_fill_all_and_no_more),
        cmocka_unit_test(random_texts_use_all_letters_and_no_others),
        cmocka_unit_test(two_random_texts_differ),
        cmocka_unit_test(equality_is_of_all_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
