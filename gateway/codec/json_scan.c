/* json_scan.c
 *
 * Nearly all bytes of a chat are inside strings, and nearly all of those are
 * nothing special. So strings are looked at 8 bytes at a time, in one register,
 * for what is: a quote, a backslash, a control character, a byte beyond ASCII.
 * (With SSE2's 16 bytes at a time it was no faster: what stops the run is the
 * next escape.) Around the strings a loop of small steps goes over the rest,
 * with one bit per open bracket instead of recursion.
 */
#include "gateway/codec/json_scan.h"

#include "gateway/base/limits.h"

#define TOO_DEEP "it is nested too deeply"

static bool fail(struct json_scan *s, const char *why)
{
    s->fault = why;
    return false;
}

/* --- strings --- */

static bool is_special(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\' || c >= 0x80;
}

#define EACH(byte) (0x0101010101010101u * (byte))

/* A high bit where a byte of v is zero; there may be more beyond the first. */
static uint64_t zeros(uint64_t v)
{
    return (v - EACH(0x01)) & ~v & EACH(0x80);
}

/* Eight bytes without a special one at a time. */
static const char *skip_plain(const char *p, const char *end)
{
    uint64_t v;

    for (; end - p >= 8; p += 8) {
        memcpy(&v, p, 8);
        if ((v & EACH(0x80)) | ((v - EACH(0x20)) & ~v & EACH(0x80)) |
            zeros(v ^ EACH('"')) | zeros(v ^ EACH('\\')))
            break;
    }
    return p;
}

static bool is_between(const char *p, unsigned char low, unsigned char high)
{
    return (unsigned char)*p >= low && (unsigned char)*p <= high;
}

/* Bytes of the character beyond ASCII at p; 0: it is none. */
static size_t wide_length(const char *p, const char *end)
{
    unsigned char c = (unsigned char)*p, low = 0x80, high = 0xbf;
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

    if (c < 0xc2 || c > 0xf4 || (size_t)(end - p) < n)
        return 0;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (!is_between(p + 1, low, high))
        return 0;
    for (size_t i = 2; i < n; i++)
        if (!is_between(p + i, 0x80, 0xbf))
            return 0;
    return n;
}

/* The unit of a \uXXXX at p, or -1. */
static int unit(const char *p, const char *end)
{
    int v = 0, digit;

    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        digit = str_hex_digit(p[i]);
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

static bool is_high_half(int v)
{
    return v >= 0xd800 && v <= 0xdbff;
}

static bool is_low_half(int v)
{
    return v >= 0xdc00 && v <= 0xdfff;
}

/* Bytes of the escape at p; 0: it is none. */
static size_t escape_length(const char *p, const char *end)
{
    int v;

    if (end - p < 2)
        return 0;
    if (p[1] != 'u')
        return p[1] && strchr("\"\\/bfnrt", p[1]) ? 2 : 0;
    v = unit(p, end);
    if (v < 0 || is_low_half(v))
        return 0;
    if (!is_high_half(v))
        return 6;
    return is_low_half(unit(p + 6, end)) ? 12 : 0;
}

bool json_scan_string(struct json_scan *s, struct json_scan_str *out)
{
    const char *p = s->p + 1, *end = s->end;
    bool has_escape = false;
    size_t n;

    for (;;) {
        p = skip_plain(p, end);
        while (p < end && !is_special((unsigned char)*p))
            p++;
        if (p == end)
            return fail(s, "a string does not end");
        if (*p == '"')
            break;
        if (*p == '\\') {
            n = escape_length(p, end);
            if (!n)
                return fail(s, "a string has an invalid escape");
            has_escape = true;
            p += n;
            continue;
        }
        if ((unsigned char)*p < 0x20)
            return fail(s, "a string has a control character");
        while (p < end && (unsigned char)*p >= 0x80) {
            n = wide_length(p, end);
            if (!n)
                return fail(s, "a string is not UTF-8");
            p += n;
        }
    }
    *out = (struct json_scan_str){
        .raw = str_make(s->p + 1, (size_t)(p - s->p) - 1),
        .has_escape = has_escape,
    };
    s->p = p + 1;
    return true;
}

static void add_character(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_add_byte(out, (char)c);
        return;
    }
    if (c < 0x800) {
        buf_add_byte(out, (char)(0xc0 | c >> 6));
    } else if (c < 0x10000) {
        buf_add_byte(out, (char)(0xe0 | c >> 12));
        buf_add_byte(out, (char)(0x80 | (c >> 6 & 0x3f)));
    } else {
        buf_add_byte(out, (char)(0xf0 | c >> 18));
        buf_add_byte(out, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_add_byte(out, (char)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_add_byte(out, (char)(0x80 | (c & 0x3f)));
}

/* The escape at p, which is a good one; its length. */
static size_t add_escaped(struct buf *out, const char *p, const char *end)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    uint32_t c;

    if (p[1] != 'u') {
        buf_add_byte(out, values[strchr(names, p[1]) - names]);
        return 2;
    }
    c = (uint32_t)unit(p, end);
    if (!is_high_half((int)c)) {
        add_character(out, c);
        return 6;
    }
    add_character(out, 0x10000 + ((c - 0xd800) << 10) +
                           (uint32_t)(unit(p + 6, end) - 0xdc00));
    return 12;
}

struct str json_scan_text(const struct json_scan_str *s, struct buf *room)
{
    const char *p = s->raw.p, *end = p + s->raw.n, *next;

    if (!s->has_escape)
        return s->raw;
    buf_clear(room);
    while (p < end) {
        next = memchr(p, '\\', (size_t)(end - p));
        buf_add(room, p, (size_t)((next ? next : end) - p));
        p = next ? next + add_escaped(room, next, end) : end;
    }
    return buf_str(room);
}

/* --- values --- */

void json_scan_blanks(struct json_scan *s)
{
    while (s->p < s->end &&
           (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

static bool scan_word(struct json_scan *s, struct str word)
{
    if (!str_starts(str_make(s->p, (size_t)(s->end - s->p)), word))
        return fail(s, "there is no such value");
    s->p += word.n;
    return true;
}

static bool scan_digits(struct json_scan *s)
{
    const char *begin = s->p;

    while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
        s->p++;
    return s->p > begin ? true : fail(s, "a number lacks digits");
}

static bool is_at(const struct json_scan *s, char c)
{
    return s->p < s->end && *s->p == c;
}

static bool scan_number(struct json_scan *s)
{
    if (is_at(s, '-'))
        s->p++;
    if (is_at(s, '0'))
        s->p++;
    else if (!scan_digits(s))
        return false;
    if (is_at(s, '.')) {
        s->p++;
        if (!scan_digits(s))
            return false;
    }
    if (!is_at(s, 'e') && !is_at(s, 'E'))
        return true;
    s->p++;
    if (is_at(s, '+') || is_at(s, '-'))
        s->p++;
    return scan_digits(s);
}

static bool scan_scalar(struct json_scan *s)
{
    struct json_scan_str ignored;

    switch (*s->p) {
    case '"':
        return json_scan_string(s, &ignored);
    case 't':
        return scan_word(s, STR("true"));
    case 'f':
        return scan_word(s, STR("false"));
    case 'n':
        return scan_word(s, STR("null"));
    default:
        if (*s->p != '-' && (*s->p < '0' || *s->p > '9'))
            return fail(s, "a value is missing");
        return scan_number(s);
    }
}

/* The brackets that are open: one bit each, set for an object. */
struct open {
    unsigned depth;
    uint64_t bits[LIMIT_SCAN_DEPTH / 64];
};

static bool is_in_object(const struct open *o)
{
    unsigned i = o->depth - 1;

    return o->bits[i / 64] >> i % 64 & 1;
}

/* Is it, or may it be, file, …_file, …file_id, …file_ids or …store_ids? No call
 * is made for it: this is asked of every name. */
static bool has_file(const struct json_scan_str *name)
{
    const char *end = name->raw.p + name->raw.n;
    size_t n = name->raw.n;

    return name->has_escape || (n >= 4 && memcmp(end - 4, "file", 4) == 0) ||
           (n >= 7 && memcmp(end - 7, "file", 4) == 0) ||
           (n >= 8 && memcmp(end - 8, "file", 4) == 0) ||
           (n >= 9 && memcmp(end - 9, "store_id", 8) == 0);
}

bool json_scan_name(struct json_scan *s, struct json_scan_str *out)
{
    if (!is_at(s, '"'))
        return fail(s, "an object's member lacks a name");
    if (!json_scan_string(s, out))
        return false;
    s->has_file_name = s->has_file_name || has_file(out);
    json_scan_blanks(s);
    if (!is_at(s, ':'))
        return fail(s, "an object's member lacks a colon");
    s->p++;
    json_scan_blanks(s);
    return true;
}

bool json_scan_enter(struct json_scan *s, bool *more)
{
    char closing = *s->p == '{' ? '}' : ']';

    if (s->depth == LIMIT_SCAN_DEPTH)
        return fail(s, TOO_DEEP);
    s->depth++;
    s->p++;
    json_scan_blanks(s);
    *more = !is_at(s, closing);
    if (!*more) {
        s->p++;
        s->depth--;
    }
    return true;
}

bool json_scan_next(struct json_scan *s, char closing, bool *more)
{
    json_scan_blanks(s);
    *more = is_at(s, ',');
    if (*more) {
        s->p++;
        json_scan_blanks(s);
        return true;
    }
    if (!is_at(s, closing))
        return fail(s, "a bracket is not closed");
    s->p++;
    s->depth--;
    return true;
}

/* At a bracket that opens: at the first value within, or (*is_value false)
 * behind the one that closes. */
static bool open_bracket(struct json_scan *s, struct open *o, bool *is_value)
{
    bool is_object = *s->p == '{';
    struct json_scan_str ignored;
    uint64_t bit = (uint64_t)1 << o->depth % 64;

    if (o->depth + s->depth == LIMIT_SCAN_DEPTH)
        return fail(s, TOO_DEEP);
    if (is_object)
        o->bits[o->depth / 64] |= bit;
    else
        o->bits[o->depth / 64] &= ~bit;
    o->depth++;
    s->p++;
    json_scan_blanks(s);
    *is_value = true;
    if (is_at(s, is_object ? '}' : ']')) {
        s->p++;
        o->depth--;
        *is_value = false;
        return true;
    }
    return is_object ? json_scan_name(s, &ignored) : true;
}

/* Behind a value: at the next one, or (o->depth 0) at the end. */
static bool go_on(struct json_scan *s, struct open *o)
{
    struct json_scan_str ignored;

    while (o->depth) {
        bool is_object = is_in_object(o);

        json_scan_blanks(s);
        if (is_at(s, ',')) {
            s->p++;
            json_scan_blanks(s);
            return is_object ? json_scan_name(s, &ignored) : true;
        }
        if (!is_at(s, is_object ? '}' : ']'))
            return fail(s, "a bracket is not closed");
        s->p++;
        o->depth--;
    }
    return true;
}

bool json_scan_value(struct json_scan *s)
{
    struct open o = {0};
    bool is_value;

    do {
        if (s->p == s->end)
            return fail(s, "it ends too early");
        is_value = false;
        if (*s->p == '{' || *s->p == '[') {
            if (!open_bracket(s, &o, &is_value))
                return false;
        } else if (!scan_scalar(s)) {
            return false;
        }
        if (!is_value && !go_on(s, &o))
            return false;
    } while (o.depth);
    return true;
}
