#include "gateway/codec/param.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool param_is_token(struct str s)
{
    return s.n && str_is_made_of(s, "!#$%&'*+-.^_`|~");
}

struct str param_head(struct str value, struct str *rest)
{
    struct str head;

    str_cut(value, ';', &head, rest);
    return str_trim(head);
}

/* Whether a backslash at s[i] of a quoted value takes the next byte along.
 * Before anything else it is a backslash: HTML does not escape it. */
static bool is_escape(struct str s, size_t i)
{
    return s.p[i] == '\\' && i + 1 < s.n &&
           (s.p[i + 1] == '"' || s.p[i + 1] == '\\');
}

/* s begins behind the opening quote. */
static bool take_quoted(struct str s, struct str *raw, struct str *rest)
{
    size_t i = 0;

    while (i < s.n && s.p[i] != '"')
        i += is_escape(s, i) ? 2 : 1;
    if (i == s.n)
        return false;
    *raw = str_make(s.p, i);
    s = str_trim(str_make(s.p + i + 1, s.n - i - 1));
    if (s.n && s.p[0] != ';')
        return false;
    *rest = s.n ? str_make(s.p + 1, s.n - 1) : STR_NULL;
    return true;
}

enum param_result param_next(struct str *rest, struct param *p)
{
    struct str s = *rest;
    ptrdiff_t equals;

    while (s.n && (is_blank(s.p[0]) || s.p[0] == ';'))
        s = str_make(s.p + 1, s.n - 1);
    if (!s.n)
        return PARAM_NONE;
    equals = str_find(s, '=');
    if (equals < 0)
        return PARAM_BROKEN;
    p->name = str_trim(str_make(s.p, (size_t)equals));
    if (!param_is_token(p->name))
        return PARAM_BROKEN;
    s = str_trim(str_make(s.p + equals + 1, s.n - (size_t)equals - 1));
    p->is_quoted = s.n && s.p[0] == '"';
    if (p->is_quoted)
        return take_quoted(str_make(s.p + 1, s.n - 1), &p->raw, rest)
                   ? PARAM_TAKEN
                   : PARAM_BROKEN;
    p->raw = param_head(s, rest);
    return str_find(p->raw, '"') < 0 ? PARAM_TAKEN : PARAM_BROKEN;
}

/* The byte that s[i..i+3) escapes, or -1. */
static int percent_byte(struct str s, size_t i)
{
    int high, low;

    if (s.n - i < 3 || s.p[i] != '%')
        return -1;
    high = str_hex_digit(s.p[i + 1]);
    low = str_hex_digit(s.p[i + 2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

size_t param_decode(const struct param *p, char *to)
{
    struct str s = p->raw;
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        int c = percent_byte(s, i);

        if (c == '"' || c == '\r' || c == '\n') {
            to[n++] = (char)c;
            i += 2;
            continue;
        }
        if (p->is_quoted && is_escape(s, i))
            i++;
        to[n++] = s.p[i];
    }
    return n;
}

bool param_decode_extended(const struct param *p, char *to, size_t *n,
                           bool *is_known)
{
    struct str charset, language, text;

    *is_known = false;
    *n = 0;
    if (!str_cut(p->raw, '\'', &charset, &text) ||
        !str_cut(text, '\'', &language, &text))
        return false;
    if (!str_eq_nocase(charset, STR("UTF-8")))
        return true;
    *is_known = true;
    for (size_t i = 0; i < text.n; i++) {
        int c = (unsigned char)text.p[i];

        if (c == '%') {
            c = percent_byte(text, i);
            if (c <= 0)
                return false;
            i += 2;
        }
        to[(*n)++] = (char)c;
    }
    return true;
}
