/* One pass over the head, every byte looked up in one table of classes:
 *
 *     method SP target SP version CRLF
 *     name ":" value CRLF        the few fields that decide about framing go
 *     ...                        to a checker as they come by
 *     CRLF
 *     check_framing()            what only the whole head can tell
 *
 * Nothing is repaired. A head that two parsers could read in two ways (RFC
 * 9112, 2.2, 3, 5.1, 6.1 to 6.3 and 11.2) is refused, also where the RFC would
 * let a server be lenient: a bare LF, a second Content-Length of the same
 * value, a coding before chunked.
 */
#include "gateway/codec/http_head.h"

#include "gateway/base/bug.h"

enum {
    TOKEN = 1,  /* of a method or field name (RFC 9110, 5.6.2) */
    VALUE = 2,  /* of a field value */
    TARGET = 4, /* of a request target; escapes are looked at apart */
    HOST = 8,   /* of a Host field or an authority, without user@ */
    HEX = 16,
};

#define SYMBOL (VALUE | TARGET)
#define LETTER (TOKEN | VALUE | TARGET | HOST)

/* clang-format off */
static const unsigned char classes[256] = {
    ['\t'] = VALUE, [' '] = VALUE, [0x80 ... 0xff] = VALUE,
    ['0' ... '9'] = LETTER | HEX,
    ['a' ... 'f'] = LETTER | HEX, ['g' ... 'z'] = LETTER,
    ['A' ... 'F'] = LETTER | HEX, ['G' ... 'Z'] = LETTER,
    ['!'] = LETTER, ['$'] = LETTER, ['%'] = LETTER, ['&'] = LETTER,
    ['\''] = LETTER, ['*'] = LETTER, ['+'] = LETTER, ['-'] = LETTER,
    ['.'] = LETTER, ['_'] = LETTER, ['~'] = LETTER,
    ['('] = SYMBOL | HOST, [')'] = SYMBOL | HOST, [','] = SYMBOL | HOST,
    [':'] = SYMBOL | HOST, [';'] = SYMBOL | HOST, ['='] = SYMBOL | HOST,
    ['['] = SYMBOL | HOST, [']'] = SYMBOL | HOST,
    ['^'] = SYMBOL | TOKEN, ['`'] = SYMBOL | TOKEN, ['|'] = SYMBOL | TOKEN,
    ['#'] = VALUE | TOKEN, /* a fragment is not sent */
    ['"'] = SYMBOL, ['/'] = SYMBOL, ['<'] = SYMBOL, ['>'] = SYMBOL,
    ['?'] = SYMBOL, ['@'] = SYMBOL, ['\\'] = SYMBOL, ['{'] = SYMBOL,
    ['}'] = SYMBOL,
};
/* clang-format on */

static bool is_of(char c, unsigned class)
{
    return classes[(unsigned char)c] & class;
}

struct scan {
    struct http_head *h;
    struct gw_error *e;
    const char *p, *end;
    bool has_host, has_length, has_coding, has_close, has_keep_alive;
};

static enum gw_err refuse(struct scan *s, const char *why)
{
    return err_set(s->e, GW_BAD_REQUEST, "%s", why);
}

/* Takes all bytes of a class. */
static struct str take(struct scan *s, unsigned class)
{
    /* In locals: a store through s could, for all the compiler knows, change
     * the bytes that are read. */
    const char *p = s->p, *end = s->end;
    struct str taken;

    while (p < end && is_of(*p, class))
        p++;
    taken = str_make(s->p, (size_t)(p - s->p));
    s->p = p;
    return taken;
}

static bool take_byte(struct scan *s, char c)
{
    if (s->p == s->end || *s->p != c)
        return false;
    s->p++;
    return true;
}

static bool take_crlf(struct scan *s)
{
    return take_byte(s, '\r') && take_byte(s, '\n');
}

static bool is_all(struct str s, unsigned class)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_of(s.p[i], class))
            return false;
    return true;
}

/* --- the request line --- */

/* Every escape decodes, and none to NUL. */
static bool has_good_escapes(struct str target)
{
    const char *p = target.p, *end = target.p + target.n;

    while ((p = memchr(p, '%', (size_t)(end - p)))) {
        if (end - p < 3 || !is_of(p[1], HEX) || !is_of(p[2], HEX) ||
            (p[1] == '0' && p[2] == '0'))
            return false;
        p += 3;
    }
    return true;
}

/* Takes "http://authority" off an absolute-form target. False if the target
 * is of neither form. */
static bool to_origin_form(struct str *target)
{
    static const struct str schemes[] = {{"http://", 7}, {"https://", 8}};
    struct str t = *target;
    size_t n = 0;

    if (t.n && t.p[0] == '/')
        return true;
    for (size_t i = 0; i < COUNTOF(schemes); i++)
        if (t.n > schemes[i].n &&
            str_eq_nocase(str_make(t.p, schemes[i].n), schemes[i]))
            n = schemes[i].n;
    if (!n || !is_of(t.p[n], HOST))
        return false;
    while (n < t.n && is_of(t.p[n], HOST))
        n++;
    *target = n < t.n ? str_make(t.p + n, t.n - n) : STR("/");
    /* What stops an authority must be the path. An empty path with a query
     * cannot be shown without copying, and nobody sends it. */
    return target->p[0] == '/';
}

static enum gw_err parse_target(struct scan *s)
{
    struct http_head *h = s->h;

    h->target = take(s, TARGET);
    if (h->target.n > LIMIT_TARGET_BYTES)
        return err_plain(s->e, GW_URI_TOO_LONG);
    if (!has_good_escapes(h->target))
        return refuse(s, "the request target has a broken percent-escape");
    if (!to_origin_form(&h->target))
        return refuse(s, "the request target is malformed");
    str_cut(h->target, '?', &h->raw_path, &h->raw_query);
    return GW_OK;
}

static enum gw_err parse_version(struct scan *s)
{
    const char *p = s->p;

    if (s->end - p < 8 || memcmp(p, "HTTP/", 5) != 0 || p[6] != '.' ||
        p[5] < '0' || p[5] > '9' || p[7] < '0' || p[7] > '9')
        return refuse(s, "the HTTP version is malformed");
    s->p += 8;
    if (!take_crlf(s))
        return refuse(s, "the request line is malformed");
    if (p[5] != '1' || p[7] > '1')
        return err_plain(s->e, GW_HTTP_VERSION);
    s->h->minor = p[7] - '0';
    return GW_OK;
}

static enum gw_err parse_request_line(struct scan *s)
{
    enum gw_err err;

    s->h->method = take(s, TOKEN);
    if (!s->h->method.n || s->h->method.n > LIMIT_METHOD_BYTES ||
        !take_byte(s, ' '))
        return refuse(s, "the request method is malformed");
    err = parse_target(s);
    if (err != GW_OK)
        return err;
    if (!take_byte(s, ' '))
        return refuse(s, "the request target is malformed");
    return parse_version(s);
}

/* --- fields that say how the request is to be read --- */

static enum gw_err check_host(struct scan *s, struct str value)
{
    if (s->has_host)
        return refuse(s, "the request has more than one Host");
    if (!is_all(value, HOST))
        return refuse(s, "the Host is malformed");
    s->has_host = true;
    return GW_OK;
}

static enum gw_err check_length(struct scan *s, struct str value)
{
    uint64_t n;

    if (s->has_length)
        return refuse(s, "the request has more than one Content-Length");
    if (!str_to_u64(value, &n) || n > (uint64_t)INT64_MAX)
        return refuse(s, "the Content-Length is not a number in range");
    s->has_length = true;
    s->h->content_length = (int64_t)n;
    return GW_OK;
}

/* A coding other than chunked is unknown (501), unless chunked stands where it
 * leaves a doubt about the framing (400): twice, before another coding, or
 * beside an empty element, which lists may have but parsers stumble over. */
static enum gw_err check_coding(struct scan *s, struct str value)
{
    bool is_chunked = false;
    size_t codings = 0;
    struct str coding;

    if (s->has_coding)
        return refuse(s, "the request has more than one Transfer-Encoding");
    s->has_coding = true;
    if (str_eq_nocase(value, STR("chunked")))
        return GW_OK;
    for (; str_next(&value, ',', &coding); codings++) {
        if (is_chunked || !is_all(coding, TOKEN))
            return refuse(s, "the Transfer-Encoding is malformed");
        is_chunked = str_eq_nocase(coding, STR("chunked"));
    }
    if (codings < 2 && (is_chunked || !codings))
        return refuse(s, "the Transfer-Encoding is malformed");
    return err_plain(s->e, GW_UNKNOWN_CODING);
}

static enum gw_err check_connection(struct scan *s, struct str value)
{
    struct str option;

    while (str_next(&value, ',', &option)) {
        s->has_close |= str_eq_nocase(option, STR("close"));
        s->has_keep_alive |= str_eq_nocase(option, STR("keep-alive"));
    }
    return GW_OK;
}

/* Other expectations are none of ours and mean nothing. */
static enum gw_err check_expect(struct scan *s, struct str value)
{
    if (s->h->minor == 1 && str_eq_nocase(value, STR("100-continue")))
        s->h->expects_continue = true;
    return GW_OK;
}

static const struct {
    struct str name;
    enum gw_err (*check)(struct scan *s, struct str value);
} checkers[] = {
    {{"host", 4}, check_host},
    {{"expect", 6}, check_expect},
    {{"connection", 10}, check_connection},
    {{"content-length", 14}, check_length},
    {{"transfer-encoding", 17}, check_coding},
};

/* --- all fields --- */

static enum gw_err check_field(struct scan *s, const struct http_head_field *f)
{
    for (size_t i = 0; i < COUNTOF(checkers); i++)
        if (f->name.n == checkers[i].name.n &&
            str_eq_nocase(f->name, checkers[i].name))
            return checkers[i].check(s, f->value);
    return GW_OK;
}

static enum gw_err parse_field(struct scan *s)
{
    struct http_head_field *f;

    if (s->h->nfields == LIMIT_HEAD_FIELDS)
        return err_set(s->e, GW_HEAD_TOO_LARGE,
                       "the request has over %d header fields",
                       LIMIT_HEAD_FIELDS);
    f = &s->h->fields[s->h->nfields++];
    f->name = take(s, TOKEN);
    /* White space before the colon or the name (folding) ends up here. */
    if (!f->name.n || !take_byte(s, ':'))
        return refuse(s, "a header field's name is malformed");
    f->value = str_trim(take(s, VALUE));
    if (!take_crlf(s))
        return refuse(s, "a header field's value is malformed");
    return check_field(s, f);
}

static enum gw_err check_framing(struct scan *s)
{
    struct http_head *h = s->h;

    if (h->minor == 1 && !s->has_host)
        return refuse(s, "the request has no Host");
    if (s->has_coding && s->has_length)
        return refuse(s, "the request has both a Content-Length and a "
                         "Transfer-Encoding");
    if (s->has_coding && h->minor == 0)
        return refuse(s, "HTTP/1.0 has no Transfer-Encoding");
    if (s->has_coding)
        h->body = HTTP_BODY_CHUNKED;
    else if (s->has_length)
        h->body = HTTP_BODY_LENGTH;
    h->keep_alive = !s->has_close && (h->minor == 1 || s->has_keep_alive);
    return GW_OK;
}

static enum gw_err parse_head(struct scan *s)
{
    enum gw_err err = parse_request_line(s);

    while (err == GW_OK && s->p < s->end && *s->p != '\r')
        err = parse_field(s);
    if (err != GW_OK)
        return err;
    if (!take_crlf(s) || s->p != s->end)
        return refuse(s, "the request head is malformed");
    return check_framing(s);
}

enum gw_err http_head_parse(struct http_head *h, struct str text,
                            struct gw_error *e)
{
    struct scan s = {.h = h, .e = e, .p = text.p, .end = text.p + text.n};

    /* The fields' array is not cleared: nfields says what is in it. */
    h->nfields = 0;
    h->method = h->target = h->raw_path = h->raw_query = STR_NULL;
    h->minor = 0;
    h->body = HTTP_BODY_NONE;
    h->content_length = -1;
    h->expects_continue = h->keep_alive = false;
    if (text.n > LIMIT_HEAD_BYTES)
        return err_plain(e, GW_HEAD_TOO_LARGE);
    return parse_head(&s);
}

size_t http_head_length(const char *p, size_t n, size_t from, size_t *skip)
{
    size_t at = 0;

    while (n - at >= 2 && p[at] == '\r' && p[at + 1] == '\n')
        at += 2;
    *skip = at;
    if (from >= at + 2)
        at = from - 2;
    /* A line that ends in a bare LF ends a head, too, so that it is refused
     * at once instead of after a deadline. */
    while (at < n) {
        const char *lf = memchr(p + at, '\n', n - at);

        if (!lf)
            return 0;
        at = (size_t)(lf - p) + 1;
        if (at < n && p[at] == '\n')
            return at + 1 - *skip;
        if (n - at >= 2 && p[at] == '\r' && p[at + 1] == '\n')
            return at + 2 - *skip;
    }
    return 0;
}

struct str http_head_get(const struct http_head *h, struct str name)
{
    for (size_t i = 0; i < h->nfields; i++)
        if (h->fields[i].name.n == name.n &&
            str_eq_nocase(h->fields[i].name, name))
            return h->fields[i].value;
    return STR_NULL;
}
