/* test_ip.c -- which addresses a redirect may lead to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/net/ip.h"

static void private_addresses_are_known(void **state)
{
    static const char *const texts[] = {
        "0.0.0.0",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "198.19.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "febf::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:a9fe:a9fe",
        "64:ff9b::7f00:1",
        "",
        "localhost",
        "10.0.0",
        "1.2.3.4.5",
    };

    (void)state;
    for (size_t i = 0; i < COUNTOF(texts); i++)
        assert_true(ip_is_private(texts[i]));
}

static void public_addresses_are_known(void **state)
{
    static const char *const texts[] = {
        "1.1.1.1",     "9.255.255.255", "11.0.0.0",       "100.63.255.255",
        "100.128.0.0", "172.15.0.1",    "172.32.0.1",     "192.167.0.1",
        "192.169.0.1", "223.255.255.1", "2600::1",        "2001:4860::8888",
        "fe00::1",     "fec0::1",       "::ffff:1.1.1.1", "64:ff9b::101:101",
    };

    (void)state;
    for (size_t i = 0; i < COUNTOF(texts); i++)
        assert_false(ip_is_private(texts[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(private_addresses_are_known),
        cmocka_unit_test(public_addresses_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
