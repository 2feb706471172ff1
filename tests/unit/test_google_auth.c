/* test_google_auth.c -- a fixed key and a fixed time give a fixed token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "providers/google_auth.h"

/* The key of test_crypto.c. */
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

static const char scope[] = "https://www.googleapis.com/auth/cloud-platform";

static const struct google_key key = {
    .email = {"filemux@p-1.iam.gserviceaccount.com", 35},
    .key_id = {"key-1", 5},
    .pem = {rsa_key, sizeof(rsa_key) - 1},
    .token_uri = {"https://oauth2.googleapis.com/token", 35},
};

static void a_token_is_what_openssl_signs(void **state)
{
    struct arena *a = arena_new();
    struct str jwt = google_key_jwt(a, &key, scope, 1764601200);

    (void)state;
    assert_true(str_eq_c(
        jwt, "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImtleS0xIn0"
             "."
             "eyJpc3MiOiJmaWxlbXV4QHAtMS5pYW0uZ3NlcnZpY2VhY2NvdW50LmNvbSIsInNj"
             "b3BlIjoiaHR0cHM6Ly93d3cuZ29vZ2xlYXBpcy5jb20vYXV0aC9jbG91ZC1wbGF0"
             "Zm9ybSIsImF1ZCI6Imh0dHBzOi8vb2F1dGgyLmdvb2dsZWFwaXMuY29tL3Rva2Vu"
             "IiwiaWF0IjoxNzY0NjAxMTcwLCJleHAiOjE3NjQ2MDQ3NzB9"
             "."
             "kO__ZxwF-g5wuNFUI1xXdyFM9zV7MXEqjyp0U3FVRAzLBZ9TDJR-JgGVzuK5QX-P"
             "jQO0CePrId5G1CcfMDQNP2JDPdn720vwz6FPCvm1ys0LiWdZiknGvcI91N8ooJNE"
             "UfPONvZFs260kJxGcomc27DgYSy_mJqmDGh7H_DIgG4"));
    arena_free(a);
}

static void another_second_makes_another_token(void **state)
{
    struct arena *a = arena_new();
    struct str one = google_key_jwt(a, &key, scope, 1764601200);
    struct str same = google_key_jwt(a, &key, scope, 1764601200);
    struct str other = google_key_jwt(a, &key, scope, 1764601201);

    (void)state;
    assert_true(str_eq(one, same));
    assert_false(str_eq(one, other));
    arena_free(a);
}

static void what_is_no_key_signs_nothing(void **state)
{
    struct arena *a = arena_new();
    struct google_key cut = key;

    (void)state;
    cut.pem.n /= 2;
    assert_null(google_key_jwt(a, &cut, scope, 0).p);
    cut.pem = STR("");
    assert_null(google_key_jwt(a, &cut, scope, 0).p);
    arena_free(a);
}

static void a_key_file_is_read_whatever_else_is_in_it(void **state)
{
    struct arena *a = arena_new();
    struct gw_error e = {0};
    struct google_key k;

    (void)state;
    assert_int_equal(
        google_key_read(a,
                        STR("{\"type\":\"service_account\",\"client_id\":\"1\","
                            "\"client_email\":\"a@b\",\"private_key\":\"P\\n\","
                            "\"universe_domain\":\"googleapis.com\"}"),
                        &k, &e),
        GW_OK);
    assert_true(str_eq_c(k.email, "a@b"));
    assert_true(str_eq_c(k.pem, "P\n"));
    assert_int_equal(k.key_id.n, 0);
    assert_true(str_eq(k.token_uri, key.token_uri));
    arena_free(a);
}

/* What a fault says must not be what the key holds. */
static void a_key_cut_anywhere_is_refused_without_showing_it(void **state)
{
    static const char text[] =
        "{\"type\":\"service_account\",\"client_email\":\"mail-x\","
        "\"private_key\":\"pem-x\",\"token_uri\":\"https://uri-x/\"}";

    (void)state;
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        struct arena *a = arena_new();
        struct gw_error e = {0};
        struct google_key k;

        assert_int_equal(google_key_read(a, str_make(text, n), &k, &e),
                         GW_INVALID_VALUE);
        assert_null(strstr(e.message, "-x"));
        arena_free(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_what_openssl_signs),
        cmocka_unit_test(another_second_makes_another_token),
        cmocka_unit_test(what_is_no_key_signs_nothing),
        cmocka_unit_test(a_key_file_is_read_whatever_else_is_in_it),
        cmocka_unit_test(a_key_cut_anywhere_is_refused_without_showing_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
