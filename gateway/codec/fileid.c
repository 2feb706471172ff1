#include "gateway/codec/fileid.h"

#include "gateway/base/bug.h"
#include "gateway/base/crypto.h"

#define TIME_CHARS 10

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

static const struct str prefixes[] = {
    [FILEID_FILE] = {"file-", 5},
    [FILEID_BATCH] = {"batch_", 6},
    [FILEID_UPLOAD] = {"upload_", 7},
    [FILEID_JOB] = {"ftjob-", 6},
};

_Static_assert(sizeof("upload_-") - 1 + LIMIT_NAMESPACE_BYTES +
                       FILEID_ULID_CHARS <=
                   LIMIT_ID_BYTES,
               "the longest id of ours fits");

/* The lowest 5 * n bits of v as n characters. */
static char *put_base32(char *to, uint64_t v, int n)
{
    for (int i = n - 1; i >= 0; i--)
        *to++ = alphabet[v >> (5 * i) & 31];
    return to;
}

static uint64_t load_40_bits(const unsigned char *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 5; i++)
        v = v << 8 | p[i];
    return v;
}

void fileid_make(enum fileid_kind kind, const char *ns, int64_t wall_ms,
                 const unsigned char noise[FILEID_NOISE_BYTES],
                 char out[LIMIT_ID_BYTES + 1])
{
    struct str prefix = prefixes[kind], space = str_of(ns);
    char *to = out;

    ASSERT(fileid_is_namespace(space));
    ASSERT(wall_ms >= 0 && wall_ms < (int64_t)1 << 48);
    memcpy(to, prefix.p, prefix.n);
    to += prefix.n;
    memcpy(to, space.p, space.n);
    to += space.n;
    *to++ = '-';
    to = put_base32(to, (uint64_t)wall_ms, TIME_CHARS);
    to = put_base32(to, load_40_bits(noise), 8);
    to = put_base32(to, load_40_bits(noise + 5), 8);
    *to = '\0';
}

void fileid_mint(enum fileid_kind kind, const char *ns, int64_t wall_ms,
                 char out[LIMIT_ID_BYTES + 1])
{
    unsigned char noise[FILEID_NOISE_BYTES];

    crypto_random(noise, sizeof(noise));
    fileid_make(kind, ns, wall_ms, noise, out);
}

static bool is_ulid(struct str s)
{
    /* 26 characters hold 130 bits and a ULID has 128: the first one's upper
     * two are zero, so that no two texts mean the same number. */
    if (s.n != FILEID_ULID_CHARS || s.p[0] > '7')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!memchr(alphabet, s.p[i], sizeof(alphabet) - 1))
            return false;
    return true;
}

bool fileid_parse(enum fileid_kind kind, struct str text, struct fileid *out)
{
    struct str prefix = prefixes[kind], ns, ulid;

    if (text.n > LIMIT_ID_BYTES || !str_starts(text, prefix) ||
        text.n < prefix.n + 2 + FILEID_ULID_CHARS)
        return false;
    ns = str_make(text.p + prefix.n, text.n - prefix.n - 1 - FILEID_ULID_CHARS);
    ulid = str_make(text.p + text.n - FILEID_ULID_CHARS, FILEID_ULID_CHARS);
    if (ns.p[ns.n] != '-' || !fileid_is_namespace(ns) || !is_ulid(ulid))
        return false;
    *out = (struct fileid){.kind = kind, .ns = ns, .ulid = ulid};
    return true;
}

int64_t fileid_time_ms(struct str ulid)
{
    uint64_t v = 0;

    ASSERT(is_ulid(ulid));
    for (int i = 0; i < TIME_CHARS; i++) {
        const char *at = memchr(alphabet, ulid.p[i], sizeof(alphabet) - 1);

        v = v << 5 | (uint64_t)(at - alphabet);
    }
    return (int64_t)v;
}

bool fileid_is_namespace(struct str ns)
{
    if (!ns.n || ns.n > LIMIT_NAMESPACE_BYTES)
        return false;
    for (size_t i = 0; i < ns.n; i++)
        if (!((ns.p[i] >= 'a' && ns.p[i] <= 'z') ||
              (ns.p[i] >= '0' && ns.p[i] <= '9')))
            return false;
    return true;
}
