#include "gateway/net/ip.h"

#include <arpa/inet.h>
#include <string.h>

struct block {
    unsigned char first[16];
    int bits;
};

static const struct block v4[] = {
    /* clang-format off */
    {{0},             8}, /* this network */
    {{10},            8}, /* private */
    {{100, 64},      10}, /* shared by a carrier's customers */
    {{127},           8}, /* loopback */
    {{169, 254},     16}, /* link-local */
    {{172, 16},      12}, /* private */
    {{192, 0, 0},    24}, /* protocol assignments */
    {{192, 168},     16}, /* private */
    {{198, 18},      15}, /* benchmarks */
    {{224},           3}, /* multicast, reserved, broadcast */
    /* clang-format on */
};

static const struct block v6[] = {
    /* clang-format off */
    {{0},            96}, /* unspecified, loopback, IPv4-compatible */
    {{0xfc},          7}, /* unique local */
    {{0xfe, 0x80},   10}, /* link-local */
    {{0xff},          8}, /* multicast */
    /* clang-format on */
};

static bool is_in(const unsigned char *ip, const struct block *b)
{
    int whole = b->bits / 8, rest = b->bits % 8;

    if (memcmp(ip, b->first, (size_t)whole) != 0)
        return false;
    return !rest || (ip[whole] ^ b->first[whole]) >> (8 - rest) == 0;
}

static bool is_in_any(const unsigned char *ip, const struct block *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_in(ip, &v[i]))
            return true;
    return false;
}

bool ip_is_private(const char *text)
{
    static const struct block mapped = {
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96};
    static const struct block nat64 = {{0, 0x64, 0xff, 0x9b}, 96};
    unsigned char ip[16];

    if (inet_pton(AF_INET, text, ip) == 1)
        return is_in_any(ip, v4, COUNTOF(v4));
    if (inet_pton(AF_INET6, text, ip) != 1)
        return true;
    if (is_in(ip, &mapped) || is_in(ip, &nat64))
        return is_in_any(ip + 12, v4, COUNTOF(v4));
    return is_in_any(ip, v6, COUNTOF(v6));
}
