/* Parsing is jansson's, behind a scan that bounds what jansson would spend:
 * depth (it recurses) and the number of values (it takes up to 300 bytes for a
 * "{}"). The scan trusts nothing: on a text that is no JSON it may count wrong,
 * but jansson then refuses the text.
 *
 * Building is our own and on the hot path of every answer: runs of bytes that
 * need no escape are copied at once, found by one table look-up a byte.
 */
#include "gateway/codec/json.h"

#include <jansson.h>
#include <stdlib.h>

#include "gateway/base/bug.h"

/* Our functions bear the names of some of its macros. */
#undef json_is_object
#undef json_is_array
#undef json_is_string
#undef json_is_number
#undef json_is_null

/* jansson takes pointers without const even where it only reads. */
static json_t *jan(const struct json *v)
{
    return (json_t *)(uintptr_t)v;
}

static struct json *ours(json_t *v)
{
    return (struct json *)v;
}

/* --- parsing --- */

struct scan {
    size_t depth, max_depth, values;
};

/* Where the string whose first byte is text[i] has ended. */
static size_t skip_string(struct str text, size_t i)
{
    while (i < text.n && text.p[i] != '"')
        i += text.p[i] == '\\' ? 2 : 1;
    return i + 1;
}

static void scan_text(struct scan *s, struct str text)
{
    for (size_t i = 0; i < text.n;) {
        switch (text.p[i++]) {
        case '"':
            i = skip_string(text, i);
            break;
        case '{':
        case '[':
            s->values++;
            s->depth++;
            s->max_depth = MAX(s->max_depth, s->depth);
            break;
        case '}':
        case ']':
            s->depth -= s->depth > 0;
            break;
        case ',':
            s->values++;
            break;
        default:
            break;
        }
    }
}

/* jansson's own words quote the text, which may hold secrets. */
static const char *error_text(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_invalid_utf8:
        return "invalid UTF-8";
    case json_error_premature_end_of_input:
        return "it ends too early";
    case json_error_end_of_input_expected:
        return "something follows the value";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "a string holds a NUL";
    case json_error_duplicate_key:
        return "a member occurs twice";
    case json_error_numeric_overflow:
        return "a number is too large";
    default:
        return "invalid syntax";
    }
}

static void free_value(void *v)
{
    json_decref(v);
}

static enum gw_err check_bounds(struct str text, struct gw_error *e)
{
    struct scan s = {0};

    if (text.n > LIMIT_JSON_TEXT_BYTES)
        return err_set(e, GW_INVALID_JSON, "the JSON is over %u bytes long",
                       LIMIT_JSON_TEXT_BYTES);
    scan_text(&s, text);
    if (s.max_depth > LIMIT_JSON_DEPTH)
        return err_set(e, GW_INVALID_JSON,
                       "the JSON is nested over %d levels deep",
                       LIMIT_JSON_DEPTH);
    if (s.values > LIMIT_JSON_VALUES)
        return err_set(e, GW_INVALID_JSON, "the JSON has over %d values",
                       LIMIT_JSON_VALUES);
    return GW_OK;
}

struct json *json_parse(struct arena *a, struct str text, struct gw_error *e)
{
    json_error_t error;
    json_t *v;

    if (check_bounds(text, e) != GW_OK)
        return NULL;
    v = json_loadb(text.n ? text.p : "", text.n,
                   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!v) {
        err_set(e, GW_INVALID_JSON,
                "cannot parse the JSON at line %d, column %d: %s", error.line,
                error.column, error_text(&error));
        return NULL;
    }
    arena_on_free(a, free_value, v);
    return ours(v);
}

/* --- getters --- */

static bool is_type(const struct json *v, json_type type)
{
    return v && json_typeof(jan(v)) == type;
}

bool json_is_object(const struct json *v)
{
    return is_type(v, JSON_OBJECT);
}

bool json_is_array(const struct json *v)
{
    return is_type(v, JSON_ARRAY);
}

bool json_is_string(const struct json *v)
{
    return is_type(v, JSON_STRING);
}

bool json_is_number(const struct json *v)
{
    return is_type(v, JSON_INTEGER) || is_type(v, JSON_REAL);
}

bool json_is_null(const struct json *v)
{
    return !v || is_type(v, JSON_NULL);
}

bool json_is_bool(const struct json *v)
{
    return is_type(v, JSON_TRUE) || is_type(v, JSON_FALSE);
}

struct json *json_get(const struct json *object, const char *name)
{
    return ours(json_object_get(jan(object), name));
}

struct json *json_at(const struct json *array, size_t i)
{
    return ours(json_array_get(jan(array), i));
}

size_t json_count(const struct json *v)
{
    if (json_is_object(v))
        return json_object_size(jan(v));
    return json_array_size(jan(v));
}

struct json *json_next(const struct json *object, void **at, struct str *name)
{
    if (!json_is_object(object))
        return NULL;
    *at = *at ? json_object_iter_next(jan(object), *at)
              : json_object_iter(jan(object));
    if (!*at)
        return NULL;
    *name = str_make(json_object_iter_key(*at), json_object_iter_key_len(*at));
    return ours(json_object_iter_value(*at));
}

struct json *json_member(const struct json *object, size_t i, struct str *name)
{
    struct json *v;
    void *at = NULL;

    do
        v = json_next(object, &at, name);
    while (v && i--);
    return v;
}

struct str json_str(const struct json *v)
{
    if (!json_is_string(v))
        return STR_NULL;
    return str_make(json_string_value(jan(v)), json_string_length(jan(v)));
}

bool json_int(const struct json *v, int64_t *out)
{
    double d;

    if (is_type(v, JSON_INTEGER)) {
        *out = json_integer_value(jan(v));
        return true;
    }
    if (!is_type(v, JSON_REAL))
        return str_to_i64(json_str(v), out);
    d = json_real_value(jan(v));
    if (!(d >= -0x1p63 && d < 0x1p63))
        return false;
    *out = (int64_t)d;
    return true;
}

bool json_bool(const struct json *v, bool dflt)
{
    return json_is_bool(v) ? is_type(v, JSON_TRUE) : dflt;
}

/* --- building --- */

#define ESC_UTF8 1 /* begins a sequence of several bytes, which is checked */
#define ESC_HEX 2  /* written as \u00XX */

/* 0: stands for itself; a letter: is written as backslash and that. */
static const unsigned char escapes[256] = {
    [0x00 ... 0x07] = ESC_HEX,
    ['\b'] = 'b',
    ['\t'] = 't',
    ['\n'] = 'n',
    [0x0b] = ESC_HEX,
    ['\f'] = 'f',
    ['\r'] = 'r',
    [0x0e ... 0x1f] = ESC_HEX,
    ['"'] = '"',
    ['\\'] = '\\',
    [0x80 ... 0xff] = ESC_UTF8,
};

/* The length of the valid UTF-8 sequence at s[i], or 0. */
static size_t sequence_length(struct str s, size_t i)
{
    unsigned char lead = (unsigned char)s.p[i];
    size_t n = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    return s.n - i >= n && str_is_utf8(str_make(s.p + i, n)) ? n : 0;
}

/* How many bytes from s[i] on stand for themselves. */
static size_t run_length(struct str s, size_t i)
{
    size_t start = i;

    while (i < s.n) {
        unsigned char how = escapes[(unsigned char)s.p[i]];
        size_t n = 1;

        if (how == ESC_UTF8)
            n = sequence_length(s, i);
        else if (how)
            break;
        if (!n)
            break;
        i += n;
    }
    return i - start;
}

static void add_escaped(struct buf *out, unsigned char c)
{
    char pair[2] = {'\\', (char)escapes[c]};

    if (escapes[c] == ESC_UTF8)
        buf_add_c(out, "\xef\xbf\xbd");
    else if (escapes[c] == ESC_HEX)
        buf_printf(out, "\\u%04x", c);
    else
        buf_add(out, pair, sizeof(pair));
}

static void add_plain(struct buf *out, struct str s)
{
    char *to = buf_reserve(out, s.n + 2);

    if (!to)
        return;
    to[0] = '"';
    if (s.n)
        memcpy(to + 1, s.p, s.n);
    to[s.n + 1] = '"';
    buf_commit(out, s.n + 2);
}

static void add_string(struct buf *out, struct str s)
{
    size_t i = 0, n = run_length(s, 0);

    /* Nearly always. */
    if (n == s.n) {
        add_plain(out, s);
        return;
    }
    buf_add_byte(out, '"');
    while (i < s.n) {
        n = run_length(s, i);
        if (n)
            buf_add(out, s.p + i, n);
        i += n;
        if (i < s.n)
            add_escaped(out, (unsigned char)s.p[i++]);
    }
    buf_add_byte(out, '"');
}

static void add_int(struct buf *out, int64_t v)
{
    /* -9223372036854775808 has 20 characters. */
    char text[20], *p = text + sizeof(text);
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

    do
        *--p = (char)('0' + rest % 10);
    while (rest /= 10);
    if (v < 0)
        *--p = '-';
    buf_add(out, p, (size_t)(text + sizeof(text) - p));
}

/* The shortest of the usual precisions that reads back as the same number. */
static void add_real(struct buf *out, double d)
{
    char text[32];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    buf_add_c(out, text);
    if (!strpbrk(text, ".e"))
        buf_add_c(out, ".0");
}

static void dump_array(struct buf *out, const struct json *v)
{
    size_t n = json_count(v);

    buf_add_byte(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_add_byte(out, ',');
        json_dump(out, json_at(v, i));
    }
    buf_add_byte(out, ']');
}

static void dump_object(struct buf *out, const struct json *v)
{
    const struct json *member;
    struct str name;
    void *at = NULL;
    char before = '{';

    while ((member = json_next(v, &at, &name))) {
        buf_add_byte(out, before);
        add_string(out, name);
        buf_add_byte(out, ':');
        json_dump(out, member);
        before = ',';
    }
    buf_add_c(out, before == '{' ? "{}" : "}");
}

/* Recurses as deep as json_parse() lets a text be. */
void json_dump(struct buf *out, const struct json *v)
{
    switch (v ? json_typeof(jan(v)) : JSON_NULL) {
    case JSON_OBJECT:
        dump_object(out, v);
        break;
    case JSON_ARRAY:
        dump_array(out, v);
        break;
    case JSON_STRING:
        add_string(out, json_str(v));
        break;
    case JSON_INTEGER:
        add_int(out, json_integer_value(jan(v)));
        break;
    case JSON_REAL:
        add_real(out, json_real_value(jan(v)));
        break;
    case JSON_TRUE:
        buf_add_c(out, "true");
        break;
    case JSON_FALSE:
        buf_add_c(out, "false");
        break;
    case JSON_NULL:
        buf_add_c(out, "null");
        break;
    }
}

void json_out_init(struct json_out *j, struct buf *buf)
{
    j->buf = buf;
    j->depth = 0;
}

/* What comes before a value: a comma, the member's name. */
static void begin_value(struct json_out *j, const char *name)
{
    if (!j->depth) {
        ASSERT(!name);
        return;
    }
    ASSERT(!name == (j->closer[j->depth - 1] == ']'));
    if (!j->is_first[j->depth - 1])
        buf_add_byte(j->buf, ',');
    j->is_first[j->depth - 1] = false;
    if (!name)
        return;
    add_string(j->buf, str_of(name));
    buf_add_byte(j->buf, ':');
}

void json_open(struct json_out *j, const char *name, char brace)
{
    ASSERT(brace == '{' || brace == '[');
    ASSERT(j->depth < LIMIT_JSON_DEPTH);
    begin_value(j, name);
    buf_add_byte(j->buf, brace);
    j->is_first[j->depth] = true;
    j->closer[j->depth++] = brace == '{' ? '}' : ']';
}

void json_close(struct json_out *j)
{
    ASSERT(j->depth);
    buf_add_byte(j->buf, j->closer[--j->depth]);
}

void json_put_str(struct json_out *j, const char *name, struct str s)
{
    begin_value(j, name);
    if (s.p)
        add_string(j->buf, s);
    else
        buf_add_c(j->buf, "null");
}

void json_put_cstr(struct json_out *j, const char *name, const char *s)
{
    json_put_str(j, name, str_of(s));
}

void json_put_int(struct json_out *j, const char *name, int64_t v)
{
    begin_value(j, name);
    add_int(j->buf, v);
}

void json_put_bool(struct json_out *j, const char *name, bool v)
{
    begin_value(j, name);
    buf_add_c(j->buf, v ? "true" : "false");
}

void json_put_null(struct json_out *j, const char *name)
{
    begin_value(j, name);
    buf_add_c(j->buf, "null");
}

void json_put(struct json_out *j, const char *name, const struct json *v)
{
    begin_value(j, name);
    json_dump(j->buf, v);
}
