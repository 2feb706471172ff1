#include "gateway/base/str.h"

#include <strings.h>

bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eq_c(struct str a, const char *b)
{
    return str_eq(a, str_of(b));
}

bool str_eq_nocase(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_make(s.p, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n &&
           str_eq(str_make(s.p + (s.n - suffix.n), suffix.n), suffix);
}

int str_cmp(struct str a, struct str b)
{
    size_t n = MIN(a.n, b.n);
    int c = n ? memcmp(a.p, b.p, n) : 0;

    if (c)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
    while (s.n && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool str_cut(struct str s, char sep, struct str *head, struct str *tail)
{
    ptrdiff_t at = str_find(s, sep);

    if (at < 0) {
        *head = s;
        *tail = STR_NULL;
        return false;
    }
    *head = str_make(s.p, (size_t)at);
    *tail = str_make(s.p + at + 1, s.n - (size_t)at - 1);
    return true;
}

bool str_next(struct str *list, char sep, struct str *item)
{
    while (list->p) {
        str_cut(*list, sep, item, list);
        *item = str_trim(*item);
        if (item->n)
            return true;
    }
    return false;
}

ptrdiff_t str_find(struct str s, char byte)
{
    const char *at = s.n ? memchr(s.p, byte, s.n) : NULL;

    return at ? at - s.p : -1;
}

/* Length of the valid UTF-8 sequence at p (of n bytes), or 0. */
static size_t utf8_len(const unsigned char *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    if (n < 2 || (p[1] & 0xc0) != 0x80)
        return 0;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        return 2;
    if (n < 3 || (p[2] & 0xc0) != 0x80)
        return 0;
    if (p[0] >= 0xe0 && p[0] <= 0xef) {
        bool is_overlong = p[0] == 0xe0 && p[1] < 0xa0;
        bool is_surrogate = p[0] == 0xed && p[1] > 0x9f;

        return is_overlong || is_surrogate ? 0 : 3;
    }
    if (n < 4 || (p[3] & 0xc0) != 0x80 || p[0] < 0xf0 || p[0] > 0xf4)
        return 0;
    if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return 4;
}

bool str_is_utf8(struct str s)
{
    size_t i = 0;

    while (i < s.n) {
        size_t n = utf8_len((const unsigned char *)s.p + i, s.n - i);

        if (!n)
            return false;
        i += n;
    }
    return true;
}

struct str str_front(struct str s, size_t max)
{
    if (s.n <= max)
        return s;
    while (max && ((unsigned char)s.p[max] & 0xc0) == 0x80)
        max--;
    return str_make(s.p, max);
}

struct str str_chars(struct str s, size_t chars)
{
    size_t i = 0;

    for (size_t k = 0; k < chars && i < s.n; k++)
        i += MAX(utf8_len((const unsigned char *)s.p + i, s.n - i), 1u);
    s.n = i;
    return s;
}

int str_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool str_is_made_of(struct str s, const char *symbols)
{
    size_t nsymbols = strlen(symbols);

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!is_letter && !(c >= '0' && c <= '9') &&
            !memchr(symbols, c, nsymbols))
            return false;
    }
    return true;
}

bool str_glob(struct str pattern, struct str name)
{
    size_t p = 0, n = 0, star = SIZE_MAX, mark = 0;

    /* On a mismatch the last star takes one byte more. */
    while (n < name.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            mark = n;
        } else if (p < pattern.n &&
                   (pattern.p[p] == '?' || pattern.p[p] == name.p[n])) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

bool str_to_u64(struct str s, uint64_t *out)
{
    uint64_t v = 0;

    if (!s.n)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

bool str_to_i64(struct str s, int64_t *out)
{
    bool is_negative = s.n && s.p[0] == '-';
    uint64_t v;

    if (is_negative)
        s = str_make(s.p + 1, s.n - 1);
    if (!str_to_u64(s, &v) || v > (uint64_t)INT64_MAX + is_negative)
        return false;
    /* In this order the least number does not overflow on the way. */
    *out = is_negative && v ? -(int64_t)(v - 1) - 1 : (int64_t)v;
    return true;
}

struct unit {
    const char *name;
    int64_t factor;
};

/* A decimal number times the factor of the unit that follows it. */
static bool parse_with_unit(struct str s, const struct unit *units, size_t n,
                            int64_t bare_factor, int64_t *out)
{
    size_t digits = 0;
    uint64_t whole = 0, part = 0, scale = 1;
    struct str number, fraction, unit;
    int64_t factor = bare_factor, v;

    s = str_trim(s);
    if (!s.n)
        return false;
    while (digits < s.n &&
           ((s.p[digits] >= '0' && s.p[digits] <= '9') || s.p[digits] == '.'))
        digits++;
    unit = str_trim(str_make(s.p + digits, s.n - digits));
    if (unit.n) {
        factor = 0;
        for (size_t i = 0; i < n; i++)
            if (str_eq_nocase(unit, str_of(units[i].name)))
                factor = units[i].factor;
        if (!factor)
            return false;
    }
    str_cut(str_make(s.p, digits), '.', &number, &fraction);
    if (!str_to_u64(number, &whole) || fraction.n > 6)
        return false;
    if (fraction.p && !str_to_u64(fraction, &part))
        return false;
    for (size_t i = 0; i < fraction.n; i++)
        scale *= 10;
    if (whole > (uint64_t)INT64_MAX ||
        __builtin_mul_overflow((int64_t)whole, factor, &v) ||
        __builtin_add_overflow(
            v, (int64_t)((double)part * (double)factor / (double)scale), &v))
        return false;
    *out = v;
    return true;
}

bool str_to_size(struct str s, int64_t *bytes)
{
    static const struct unit units[] = {
        {"B", 1},
        {"KB", 1024},
        {"MB", 1024 * 1024},
        {"GB", 1024LL * 1024 * 1024},
        {"TB", 1024LL * 1024 * 1024 * 1024},
    };

    return parse_with_unit(s, units, COUNTOF(units), 1, bytes);
}

bool str_to_duration(struct str s, int64_t *ms)
{
    static const struct unit units[] = {
        {"ms", 1},          {"s", 1000},         {"m", 60 * 1000},
        {"h", 3600 * 1000}, {"d", 86400 * 1000},
    };

    return parse_with_unit(s, units, COUNTOF(units), 1000, ms);
}

struct str str_of_i64(int64_t n, char room[STR_I64_BYTES])
{
    uint64_t left = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    char *end = room + STR_I64_BYTES, *p = end;

    do {
        *--p = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (n < 0)
        *--p = '-';
    return str_make(p, (size_t)(end - p));
}
