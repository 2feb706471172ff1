#include "gateway/store/schema.h"

#include "gateway/base/bug.h"
#include "gateway/codec/fileid.h"

#define ESCAPED_BYTES 3

static bool is_special(char c)
{
    return c == '{' || c == '}' || c == '%';
}

static char *put(char *to, struct str part)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t i;

    for (i = 0; i < part.n; i++) {
        if (!is_special(part.p[i])) {
            *to++ = part.p[i];
            continue;
        }
        *to++ = '%';
        *to++ = hex[(unsigned char)part.p[i] >> 4];
        *to++ = hex[part.p[i] & 15];
    }
    return to;
}

struct str schema_fill(struct arena *a, const char *pattern,
                       const struct str *parts, size_t n)
{
    size_t max = strlen(pattern), i, used = 0;
    char *key, *to;

    for (i = 0; i < n; i++)
        max += ESCAPED_BYTES * parts[i].n;
    key = to = arena_alloc(a, max + 1);
    for (; *pattern; pattern++) {
        if (*pattern != '%') {
            *to++ = *pattern;
            continue;
        }
        ASSERT(used < n);
        to = put(to, parts[used++]);
    }
    ASSERT(used == n);
    return str_make(key, (size_t)(to - key));
}

struct str schema_index(struct arena *a, struct str owner, struct str purpose,
                        struct str provider)
{
    if (purpose.p && provider.p)
        return schema_key(a, SCHEMA_INDEX_BOTH, owner, purpose, provider);
    if (purpose.p)
        return schema_key(a, SCHEMA_INDEX_PURPOSE, owner, purpose);
    if (provider.p)
        return schema_key(a, SCHEMA_INDEX_PROVIDER, owner, provider);
    return schema_key(a, SCHEMA_INDEX, owner);
}

struct str schema_member(struct arena *a, struct str id)
{
    struct str ulid = id;

    if (id.n > FILEID_ULID_CHARS)
        ulid = str_make(id.p + id.n - FILEID_ULID_CHARS, FILEID_ULID_CHARS);
    return arena_printf(a, "%.*s %.*s", STR_ARG(ulid), STR_ARG(id));
}
