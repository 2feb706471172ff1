#include "gateway/codec/url.h"

#include "gateway/base/bug.h"

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

static size_t encode(char *to, struct str s)
{
    static const char hex[] = "0123456789ABCDEF";
    char *start = to;

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (is_unreserved(c)) {
            *to++ = (char)c;
            continue;
        }
        *to++ = '%';
        *to++ = hex[c >> 4];
        *to++ = hex[c & 15];
    }
    return (size_t)(to - start);
}

static size_t encoded_size(struct str s)
{
    size_t n = s.n;

    for (size_t i = 0; i < s.n; i++)
        if (!is_unreserved((unsigned char)s.p[i]))
            n += 2;
    return n;
}

void url_encode(struct buf *out, struct str s)
{
    char *to = buf_reserve(out, encoded_size(s));

    if (to)
        buf_commit(out, encode(to, s));
}

struct str url_encoded(struct arena *a, struct str s)
{
    char *to = arena_alloc(a, encoded_size(s) + 1);

    return str_make(to, encode(to, s));
}

/* The byte of the escape at s[i]; 0 (which none may mean) if it is broken. */
static int escaped_byte(struct str s, size_t i)
{
    int high, low;

    if (s.n - i < 3)
        return 0;
    high = str_hex_digit(s.p[i + 1]);
    low = str_hex_digit(s.p[i + 2]);
    return high < 0 || low < 0 ? 0 : high << 4 | low;
}

bool url_decode(struct arena *a, struct str s, bool plus_is_space,
                struct str *out)
{
    char *text = arena_alloc(a, s.n + 1), *to = text;

    for (size_t i = 0; i < s.n; i++) {
        int c = (unsigned char)s.p[i];

        if (c == '%') {
            c = escaped_byte(s, i);
            if (!c)
                return false;
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '\0') {
            return false;
        }
        *to++ = (char)c;
    }
    *out = str_make(text, (size_t)(to - text));
    return true;
}

/* Whether raw, decoded, is name. */
static bool is_named(struct arena *a, struct str raw, struct str name)
{
    struct str decoded;

    if (str_find(raw, '%') < 0 && str_find(raw, '+') < 0)
        return str_eq(raw, name);
    return url_decode(a, raw, true, &decoded) && str_eq(decoded, name);
}

struct str url_query_get(struct arena *a, struct str raw_query, struct str name)
{
    struct str pair, key, value, decoded;

    while (raw_query.p) {
        str_cut(raw_query, '&', &pair, &raw_query);
        if (!str_cut(pair, '=', &key, &value))
            value = STR("");
        if (!is_named(a, key, name))
            continue;
        return url_decode(a, value, true, &decoded) ? decoded : STR_NULL;
    }
    return STR_NULL;
}

struct str url_join(struct arena *a, struct str base, struct str path)
{
    char *to;

    ASSERT(path.n && path.p[0] == '/');
    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    to = arena_alloc(a, base.n + path.n + 1);
    if (base.n)
        memcpy(to, base.p, base.n);
    memcpy(to + base.n, path.p, path.n);
    return str_make(to, base.n + path.n);
}

/* Bytes that two readers of a URL might take for the end of its host. */
static bool is_authority_byte(char c)
{
    return (unsigned char)c > ' ' && (unsigned char)c < 0x7f && c != '@' &&
           c != '\\';
}

struct str url_origin(struct str url)
{
    static const struct str schemes[] = {{"https://", 8}, {"http://", 7}};

    for (size_t i = 0; i < COUNTOF(schemes); i++) {
        size_t start = schemes[i].n, end = start;

        if (url.n <= start ||
            !str_eq_nocase(str_make(url.p, start), schemes[i]))
            continue;
        while (end < url.n && url.p[end] != '/' && url.p[end] != '?' &&
               url.p[end] != '#')
            if (!is_authority_byte(url.p[end++]))
                return STR_NULL;
        return end > start ? str_make(url.p, end) : STR_NULL;
    }
    return STR_NULL;
}

static bool is_url_text(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f ||
            s.p[i] == '\\')
            return false;
    return s.n > 0;
}

/* What of the base a relative reference continues: its scheme, its origin, the
 * path without its last step, or the path. */
static struct str kept_of(struct str base, struct str ref)
{
    struct str origin = url_origin(base), path, rest;
    size_t n;

    if (str_starts(ref, STR("//")))
        return str_make(base.p, (size_t)str_find(base, ':') + 1);
    if (ref.p[0] == '/')
        return origin;
    str_cut(base, '?', &path, &rest);
    if (ref.p[0] == '?')
        return path;
    for (n = path.n; n > origin.n && path.p[n - 1] != '/';)
        n--;
    return str_make(base.p, n);
}

struct str url_resolve(struct arena *a, struct str base, struct str ref)
{
    struct str scheme, rest, whole, kept;

    str_cut(base, '#', &base, &rest);
    str_cut(ref, '#', &ref, &rest);
    if (!is_url_text(ref) || !url_origin(base).p)
        return STR_NULL;
    if (str_cut(ref, ':', &scheme, &rest) && str_is_made_of(scheme, "+-."))
        return url_origin(ref).p ? arena_dup(a, ref) : STR_NULL;
    kept = kept_of(base, ref);
    whole = arena_printf(
        a, "%.*s%s%.*s", STR_ARG(kept),
        kept.n == url_origin(base).n && ref.p[0] != '/' && ref.p[0] != '?' ? "/"
                                                                           : "",
        STR_ARG(ref));
    return url_origin(whole).p ? whole : STR_NULL;
}
