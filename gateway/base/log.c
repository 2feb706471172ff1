/* A line is built in a buffer of the thread and leaves in one write(2), so
 * lines of several threads never mix and none is allocated: only a line begun
 * while another of the thread is open takes memory of its own.
 *
 *     value ── scan ──► plain runs are copied
 *                 └───► marked bytes: escaped, or start of something to hide
 *
 * What is hidden is decided on the raw value, so neither the escaping nor the
 * cutting of a long line can expose half of a secret. */
#include "gateway/base/log_impl.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/limits.h"

/* Kept free for the mark of a cut line, the closing brace and the newline. */
#define TAIL_BYTES 32

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static atomic_int min_level = LOG_INFO;
static atomic_int line_format = LOG_JSON;
static atomic_int out_fd = STDERR_FILENO;

static _Thread_local char line_bytes[LIMIT_LOG_LINE + 1];
static _Thread_local bool line_is_taken;

void log_setup(enum log_level level, enum log_format format)
{
    atomic_store_explicit(&min_level, (int)level, memory_order_relaxed);
    atomic_store_explicit(&line_format, (int)format, memory_order_relaxed);
}

void log_set_fd(int fd)
{
    atomic_store_explicit(&out_fd, fd, memory_order_relaxed);
}

bool log_is_on(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

/* As the line was begun: the format may be changed meanwhile. */
static bool is_json(const struct log_line *l)
{
    return l->text.p[0] == '{';
}

static void start_text(struct log_line *l)
{
    int format = atomic_load_explicit(&line_format, memory_order_relaxed);

    buf_init(&l->text, LIMIT_LOG_LINE);
    if (!line_is_taken) {
        line_is_taken = true;
        l->text.p = line_bytes;
        l->text.cap = sizeof(line_bytes);
    }
    buf_add_byte(&l->text, '{');
    if (format != LOG_JSON)
        buf_clear(&l->text);
}

/* --- building a line --- */

/* All or nothing; what does not fit cuts the line here. */
static void put(struct log_line *l, const char *p, size_t n)
{
    size_t bound = LIMIT_LOG_LINE - TAIL_BYTES;

    if (l->text.n > bound || n > bound - l->text.n)
        l->text.overflow = true;
    buf_add(&l->text, p, n);
}

static void put_str(struct log_line *l, struct str s)
{
    put(l, s.p, s.n);
}

/* Bytes of which any number may be missing at the end. */
static void put_run(struct log_line *l, const char *p, size_t n)
{
    size_t bound = LIMIT_LOG_LINE - TAIL_BYTES;
    size_t room = l->text.n < bound ? bound - l->text.n : 0;

    put(l, p, MIN(n, room));
    if (n > room)
        l->text.overflow = true;
}

/* Length of the UTF-8 character at the front of s, or 0. */
static size_t utf8_front(struct str s)
{
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

    return s.n >= n && str_is_utf8(str_make(s.p, n)) ? n : 0;
}

/* One character that does not go out as it is; the number of bytes it took.
 * Controls include those above ASCII: a terminal obeys them, too. */
static size_t put_escaped(struct log_line *l, struct str s)
{
    static const char hex[] = "0123456789abcdef";
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    unsigned char c = (unsigned char)s.p[0];
    const char *short_form = c ? strchr(from, c) : NULL;
    size_t n = c < 0x80 ? 1 : utf8_front(s);

    if (short_form) {
        put(l, (char[]){'\\', to[short_form - from]}, 2);
    } else if (n == 0) {
        put_str(l, STR("\\ufffd"));
        return 1;
    } else if (n == 1 || (n == 2 && c == 0xc2 && (s.p[1] & 0xe0) == 0x80)) {
        c = (unsigned char)s.p[n - 1];
        put(l, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
    } else {
        put(l, s.p, n);
    }
    return n;
}

/* The value without its quotes, redacted and escaped. */
static void put_value(struct log_line *l, struct str v)
{
    struct log_scan s = {v, 0, 0};
    size_t from = 0;

    while (s.at < v.n && !l->text.overflow) {
        unsigned mark = log_mark_of(v.p[s.at]) & ~(unsigned)LOG_MARK_QUOTE;
        struct log_cover c;

        if (!mark) {
            s.at++;
        } else if (log_find_cover(&s, mark, &c)) {
            put_run(l, v.p + from, s.at + c.keep - from);
            put_str(l, STR("***"));
            from = s.at = s.at + c.keep + c.hide;
        } else if (mark & LOG_MARK_ESCAPE) {
            put_run(l, v.p + from, s.at - from);
            s.at += put_escaped(l, str_make(v.p + s.at, v.n - s.at));
            from = s.at;
        } else {
            s.at++;
        }
    }
    put_run(l, v.p + from, s.at - from);
}

static bool needs_quotes(const struct log_line *l, struct str v)
{
    if (is_json(l) || v.n == 0)
        return true;
    for (size_t i = 0; i < v.n; i++)
        if (log_mark_of(v.p[i]) & LOG_MARK_QUOTE)
            return true;
    return false;
}

/* A value that does not fit ends in a mark, and its quotes are closed. */
static void put_quoted(struct log_line *l, struct str v)
{
    bool is_quoted = needs_quotes(l, v), is_cut;

    if (is_quoted)
        put_str(l, STR("\""));
    put_value(l, v);
    is_cut = l->text.overflow;
    l->text.overflow = false;
    if (is_cut)
        buf_add_c(&l->text, "\xe2\x80\xa6");
    if (is_quoted)
        buf_add_byte(&l->text, '"');
    l->text.overflow = is_cut;
}

/* Whether there is room for the key and a value of `value` bytes, and the key
 * is written. */
static bool put_key(struct log_line *l, const char *key, size_t value)
{
    size_t n = strlen(key);

    if (l->text.n + n + value + 8 > LIMIT_LOG_LINE - TAIL_BYTES)
        l->text.overflow = true;
    if (l->text.overflow)
        return false;
    if (l->text.n > 1)
        buf_add_byte(&l->text, is_json(l) ? ',' : ' ');
    if (is_json(l))
        buf_add_byte(&l->text, '"');
    buf_add(&l->text, key, n);
    buf_add_c(&l->text, is_json(l) ? "\":" : "=");
    return true;
}

/* Formatting a date takes longer than the rest of a line: the second is kept.
 */
static void put_time(struct log_line *l)
{
    static _Thread_local int64_t second = -1;
    static _Thread_local char text[CLOCK_TEXT_SIZE];
    int64_t now = clock_wall_ms();
    int ms = (int)(now % 1000);
    size_t n;

    if (now / 1000 != second) {
        second = now / 1000;
        clock_format(second * 1000, text);
    }
    n = strlen(text);
    ASSERT(n > 4);
    text[n - 4] = (char)('0' + ms / 100);
    text[n - 3] = (char)('0' + ms / 10 % 10);
    text[n - 2] = (char)('0' + ms % 10);
    put_key(l, "time", n);
    put_quoted(l, str_make(text, n));
}

void log_begin(struct log_line *l, enum log_level level, const char *request_id,
               const char *message)
{
    l->level = level;
    l->is_on = log_is_on(level);
    if (!l->is_on)
        return;
    start_text(l);
    put_time(l);
    log_cstr(l, "level", level_names[level]);
    log_cstr(l, "msg", message);
    if (request_id && request_id[0])
        log_cstr(l, "request_id", request_id);
}

void log_str(struct log_line *l, const char *key, struct str value)
{
    if (l->is_on && put_key(l, key, 0))
        put_quoted(l, value);
}

void log_cstr(struct log_line *l, const char *key, const char *value)
{
    log_str(l, key, str_of(value));
}

static void put_number(struct log_line *l, const char *key, struct str digits)
{
    if (l->is_on && put_key(l, key, digits.n))
        put_str(l, digits);
}

void log_int(struct log_line *l, const char *key, int64_t value)
{
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t v = value < 0 ? -(uint64_t)value : (uint64_t)value;

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    if (value < 0)
        digits[--at] = '-';
    put_number(l, key, str_make(digits + at, sizeof(digits) - at));
}

void log_double(struct log_line *l, const char *key, double value)
{
    char digits[32];

    if (!l->is_on)
        return;
    if (isfinite(value))
        snprintf(digits, sizeof(digits), "%.6g", value);
    else
        snprintf(digits, sizeof(digits), "null");
    put_number(l, key, str_of(digits));
}

/* A line that cannot be written is lost: there is nobody to tell. The rest of
 * one that was written in part follows it. */
static void write_line(struct str line)
{
    int fd = atomic_load_explicit(&out_fd, memory_order_relaxed);
    int saved = errno;

    while (line.n) {
        ssize_t n = write(fd, line.p, line.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        line = str_make(line.p + n, line.n - (size_t)n);
    }
    errno = saved;
}

void log_end(struct log_line *l)
{
    bool is_cut;

    if (!l->is_on)
        return;
    l->is_on = false;
    is_cut = l->text.overflow;
    l->text.overflow = false;
    if (is_cut)
        buf_add_c(&l->text, is_json(l) ? ",\"cut\":true" : " cut=true");
    buf_add_c(&l->text, is_json(l) ? "}\n" : "\n");
    write_line(buf_str(&l->text));
    if (l->text.p == line_bytes)
        line_is_taken = false;
    else
        buf_release(&l->text);
}

static void log_text(enum log_level level, const char *request_id,
                     const char *message)
{
    struct log_line l;

    log_begin(&l, level, request_id, message);
    log_end(&l);
}

void log_msg(enum log_level level, const char *request_id, const char *fmt, ...)
{
    char text[1024], *longer;
    va_list ap;
    int n;

    if (!log_is_on(level))
        return;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    ASSERT(n >= 0);
    if ((size_t)n < sizeof(text)) {
        log_text(level, request_id, text);
        return;
    }
    /* Cut before it is redacted, a secret could lose its end and stay. */
    longer = xmalloc((size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(longer, (size_t)n + 1, fmt, ap);
    va_end(ap);
    log_text(level, request_id, longer);
    free(longer);
}
