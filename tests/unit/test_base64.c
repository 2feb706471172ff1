/* test_base64.c -- the vectors of RFC 4648, section 10, and both alphabets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "gateway/codec/base64.h"

typedef void encoder(struct buf *out, const void *bytes, size_t n);

static void expect(encoder *encode, const void *bytes, size_t n,
                   const char *text)
{
    struct buf out;

    buf_init(&out, 100);
    encode(&out, bytes, n);
    assert_int_equal(out.n, strlen(text));
    assert_memory_equal(buf_str(&out).p, text, out.n);
    buf_release(&out);
}

static void texts_are_those_of_the_standard(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };

    (void)state;
    for (size_t i = 0; i < COUNTOF(cases); i++)
        expect(base64_encode, cases[i][0], strlen(cases[i][0]), cases[i][1]);
}

static void for_urls_there_is_no_padding(void **state)
{
    (void)state;
    expect(base64_encode_url, "f", 1, "Zg");
    expect(base64_encode_url, "fo", 2, "Zm8");
    expect(base64_encode_url, "foo", 3, "Zm9v");
}

static void the_alphabets_differ_in_two(void **state)
{
    static const unsigned char bytes[] = {0xfb, 0xff, 0xfe, 0, 0, 0x3f};

    (void)state;
    expect(base64_encode, bytes, sizeof(bytes), "+//+AAA/");
    expect(base64_encode_url, bytes, sizeof(bytes), "-__-AAA_");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_those_of_the_standard),
        cmocka_unit_test(for_urls_there_is_no_padding),
        cmocka_unit_test(the_alphabets_differ_in_two),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
