#include "gateway/codec/byterange.h"

#include "gateway/base/bug.h"

/* Digits only. A number past the type is as good as its largest: no file
 * reaches there. */
static bool to_position(struct str s, int64_t *out)
{
    uint64_t n;

    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    if (!s.n)
        return false;
    if (!str_to_u64(s, &n) || n > (uint64_t)INT64_MAX)
        n = (uint64_t)INT64_MAX;
    *out = (int64_t)n;
    return true;
}

/* Takes "bytes" and the separator off. */
static bool cut_unit(struct str value, char sep, struct str *rest)
{
    struct str unit;

    return str_cut(str_trim(value), sep, &unit, rest) &&
           str_eq_nocase(unit, STR("bytes"));
}

void byterange_parse(struct str value, struct byterange *r)
{
    int64_t first = -1, last = -1;
    struct str rest, from, to;

    *r = (struct byterange){.is_set = false, .first = -1, .last = -1};
    if (!cut_unit(value, '=', &rest) ||
        !str_cut(str_trim(rest), '-', &from, &to) || (!from.n && !to.n))
        return;
    if ((from.n && !to_position(from, &first)) ||
        (to.n && !to_position(to, &last)))
        return;
    if (from.n && to.n && first > last)
        return;
    *r = (struct byterange){.is_set = true, .first = first, .last = last};
}

enum gw_err byterange_resolve(const struct byterange *r, int64_t size,
                              int64_t *offset, int64_t *len, struct gw_error *e)
{
    ASSERT(size >= 0);
    *offset = 0;
    *len = size;
    if (!r->is_set)
        return GW_OK;
    if (r->first < 0) {
        *len = MIN(r->last, size);
        *offset = size - *len;
    } else {
        *offset = r->first;
        *len = r->last < 0 || r->last >= size ? size - r->first
                                              : r->last - r->first + 1;
    }
    if (*len > 0)
        return GW_OK;
    return err_plain(e, GW_RANGE_NOT_SATISFIABLE);
}

bool byterange_parse_content(struct str value, int64_t *first, int64_t *last,
                             int64_t *size)
{
    struct str rest, range, total, from, to;
    uint64_t a, b, n = 0;

    if (!cut_unit(value, ' ', &rest) ||
        !str_cut(str_trim(rest), '/', &range, &total) ||
        !str_cut(range, '-', &from, &to))
        return false;
    if (!str_to_u64(from, &a) || !str_to_u64(to, &b) || a > b ||
        b >= (uint64_t)INT64_MAX)
        return false;
    if (!str_eq(total, STR("*")) &&
        (!str_to_u64(total, &n) || n <= b || n > (uint64_t)INT64_MAX))
        return false;
    *first = (int64_t)a;
    *last = (int64_t)b;
    *size = n ? (int64_t)n : -1;
    return true;
}
