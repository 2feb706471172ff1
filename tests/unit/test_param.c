#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/base/buf.h"
#include "gateway/base/limits.h"
#include "gateway/codec/param.h"

/* What a value is read as: "head|name=value|name=value", or "…|!" where it
 * is broken. Values are decoded. */
static void read_value(struct str value, struct buf *out)
{
    enum param_result result;
    struct param p;
    struct str rest;
    char text[256];

    /* Exactly so large, for the sanitizer to see a byte read too many. */
    char *copy = malloc(value.n);

    if (value.n)
        memcpy(copy, value.p, value.n);
    buf_clear(out);
    buf_add_str(out, param_head(str_make(copy, value.n), &rest));
    while ((result = param_next(&rest, &p)) == PARAM_TAKEN) {
        size_t n = param_decode(&p, text);

        assert_true(n <= p.raw.n);
        buf_add_c(out, "|");
        buf_add_str(out, p.name);
        buf_add_c(out, "=");
        buf_add(out, text, n);
    }
    if (result == PARAM_BROKEN)
        buf_add_c(out, "|!");
    free(copy);
}

static const struct {
    struct str value;
    const char *want;
} cases[] = {
    {STR("form-data"), "form-data"},
    {STR(" form-data ;"), "form-data"},
    {STR("form-data;;; "), "form-data"},
    {STR(""), ""},
    {STR("a; b=c; D=\"e f\""), "a|b=c|D=e f"},
    {STR("a;b=c;d=e;"), "a|b=c|d=e"},
    {STR("a ; b = c ; d = \"e\" ; "), "a|b=c|d=e"},
    {STR("a; b=x y ; c=d"), "a|b=x y|c=d"},
    {STR("a; b="), "a|b="},
    {STR("a; b=\"\""), "a|b="},
    {STR("a; b=\"c;d=e\"; f=g"), "a|b=c;d=e|f=g"},
    {STR("a; b*=c"), "a|b*=c"},
    /* escapes */
    {STR("a; b=\"c\\\"d\""), "a|b=c\"d"},
    {STR("a; b=\"c\\\\d\\e\""), "a|b=c\\d\\e"},
    {STR("a; b=\"c\\\\\""), "a|b=c\\"},
    {STR("a; b=%g2%2g%9%"), "a|b=%g2%2g%9%"},
    {STR("a; b=\"%22%0d%0A%0D%2%41%\""), "a|b=\"\r\n\r%2%41%"},
    {STR("a; b=%22c\\\\"), "a|b=\"c\\\\"},
    {STR("a; b=\"\\%22\""), "a|b=\\\""},
    {STR("a; b=\"\\\\%22\""), "a|b=\\\""},
    /* broken */
    {STR("a; b"), "a|!"},
    {STR("a; =c"), "a|!"},
    {STR("a; b c=d"), "a|!"},
    {STR("a; \"b\"=c"), "a|!"},
    {STR("a; b=\"c"), "a|!"},
    {STR("a; b=\""), "a|!"},
    {STR("a; b=\"c\\\""), "a|!"},
    {STR("a; b=\"c\"d"), "a|!"},
    {STR("a; b=\"c\" d=e"), "a|!"},
    {STR("a; b=c\"d\""), "a|!"},
    {STR("a; b=c, d\"; e=f"), "a|!"},
};

static void test_values_are_read_as_all_readers_would(void **st)
{
    struct buf out;

    (void)st;
    buf_init(&out, KIB);
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        read_value(cases[i].value, &out);
        if (!str_eq(buf_str(&out), str_of(cases[i].want)))
            fail_msg("'%.*s' is '%.*s'", STR_ARG(cases[i].value),
                     STR_ARG(buf_str(&out)));
    }
    buf_release(&out);
}

static void test_decoding_may_be_done_in_place(void **st)
{
    char text[] = "a\\\"b%22c\\\\d%0A";
    struct param p = {.raw = str_of(text), .is_quoted = true};

    (void)st;
    assert_int_equal(param_decode(&p, text), 8);
    assert_memory_equal(text, "a\"b\"c\\d\n", 8);
}

static void test_extended_values_are_decoded(void **st)
{
    static const struct {
        struct str raw;
        const char *want; /* NULL: broken, "?": another charset */
    } extended[] = {
        {STR("UTF-8''na%C3%AFve"), "na\xc3\xafve"},
        {STR("utf-8'en'a%20b%39%4a"), "a b9J"},
        {STR("UTF-8''"), ""},
        {STR("UTF-8''a'b"), "a'b"},
        {STR("ISO-8859-1''%e4"), "?"},
        {STR("''a"), "?"},
        {STR("UTF-8'a"), NULL},
        {STR("a"), NULL},
        {STR(""), NULL},
        {STR("UTF-8''%"), NULL},
        {STR("UTF-8''%4"), NULL},
        {STR("UTF-8''%4g"), NULL},
        {STR("UTF-8''a%00b"), NULL},
    };

    (void)st;
    for (size_t i = 0; i < COUNTOF(extended); i++) {
        struct param p = {.raw = extended[i].raw};
        const char *want = extended[i].want;
        char text[64];
        bool is_known;
        size_t n;

        assert_int_equal(param_decode_extended(&p, text, &n, &is_known),
                         want != NULL);
        if (!want)
            continue;
        assert_int_equal(is_known, want[0] != '?');
        if (is_known)
            assert_true(str_eq_c(str_make(text, n), want));
    }
}

static void test_tokens_are_told_from_other_text(void **st)
{
    (void)st;
    assert_true(param_is_token(STR("Content-Type")));
    assert_true(param_is_token(STR("!#$%&'*+-.^_`|~09azAZ")));
    assert_false(param_is_token(STR("")));
    assert_false(param_is_token(STR_NULL));
    for (const char *c = "()<>@,;:\\\"/[]?={} \t\x7f\xc3\n"; *c; c++)
        assert_false(param_is_token(str_make(c, 1)));
    assert_false(param_is_token(STR("a\0")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_read_as_all_readers_would),
        cmocka_unit_test(test_decoding_may_be_done_in_place),
        cmocka_unit_test(test_extended_values_are_decoded),
        cmocka_unit_test(test_tokens_are_told_from_other_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
