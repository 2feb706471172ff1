#include "gateway/flow/auth_guard.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/bug.h"
#include "gateway/base/limits.h"

#define uthash_fatal(text) BUG("%s", text)
#include <uthash.h>

#define NETWORK_BYTES 8 /* of an IPv6 address */
#define MAPPED_BYTES 12 /* before an IPv4 address that stands in one */

struct address {
    unsigned char bytes[NETWORK_BYTES]; /* IPv4: four of them */
    int family;
};

/* In the table's order, that of their beginning. */
struct row {
    UT_hash_handle hh;
    struct address address;
    int64_t begun_ms;
    int64_t failures; /* since then */
};

struct auth_guard {
    struct row *rows;
};

static void take_v4(struct address *a, const void *bytes)
{
    a->family = AF_INET;
    memcpy(a->bytes, bytes, sizeof(struct in_addr));
}

/* "1.2.3.4:5", "[::1]:5", "[::ffff:1.2.3.4]:5"; false for what is none. */
static bool read_address(const char *peer, struct address *out)
{
    bool is_v6 = peer[0] == '[';
    const char *start = peer + is_v6;
    const char *end = strchr(start, is_v6 ? ']' : ':');
    size_t n = end ? (size_t)(end - start) : 0;
    char text[INET6_ADDRSTRLEN];
    struct in6_addr v6;

    if (!n || n >= sizeof(text))
        return false;
    memcpy(text, start, n);
    text[n] = '\0';
    memset(out, 0, sizeof(*out)); /* padding is part of the table's key */
    if (inet_pton(is_v6 ? AF_INET6 : AF_INET, text, &v6) != 1)
        return false;
    if (!is_v6) {
        take_v4(out, &v6);
    } else if (IN6_IS_ADDR_V4MAPPED(&v6)) {
        take_v4(out, v6.s6_addr + MAPPED_BYTES);
    } else {
        out->family = AF_INET6;
        memcpy(out->bytes, v6.s6_addr, NETWORK_BYTES);
    }
    return true;
}

static void drop(struct auth_guard *g, struct row *r)
{
    HASH_DEL(g->rows, r);
    free(r);
}

/* Its row, unless its minute is over. */
static struct row *find(struct auth_guard *g, const struct address *a,
                        int64_t now_ms)
{
    struct row *r;

    HASH_FIND(hh, g->rows, a, sizeof(*a), r);
    if (!r || now_ms - r->begun_ms < AUTH_GUARD_MINUTE_MS)
        return r;
    drop(g, r);
    return NULL;
}

int64_t auth_guard_wait_ms(struct auth_guard *g, const char *peer, int64_t most,
                           int64_t now_ms)
{
    struct address a;
    struct row *r;

    if (!most || !g->rows || !read_address(peer, &a))
        return 0;
    r = find(g, &a, now_ms);
    if (!r || r->failures < most)
        return 0;
    return r->begun_ms + AUTH_GUARD_MINUTE_MS - now_ms;
}

void auth_guard_note(struct auth_guard *g, const char *peer, int64_t now_ms)
{
    struct address a;
    struct row *r;

    if (!read_address(peer, &a))
        return;
    r = find(g, &a, now_ms);
    if (!r) {
        if (HASH_COUNT(g->rows) == LIMIT_GUARDED_ADDRESSES)
            drop(g, g->rows);
        r = xcalloc(1, sizeof(*r));
        r->address = a;
        r->begun_ms = now_ms;
        HASH_ADD(hh, g->rows, address, sizeof(r->address), r);
    }
    r->failures++;
}

struct auth_guard *auth_guard_new(void)
{
    return xcalloc(1, sizeof(struct auth_guard));
}

void auth_guard_free(struct auth_guard *g)
{
    while (g->rows)
        drop(g, g->rows);
    free(g);
}
