/* sse.c
 *
 *   feed ──► find the empty line ──► an event, where it lies ──► read its lines
 *                  │                        ▲
 *                  └──► held: an event ─────┘
 *                       cut by a chunk
 *
 * Each byte is looked at once for the ends of lines, however small the chunks
 * are; the lines are read when the event is whole.
 */
#include "gateway/codec/sse.h"

#include "gateway/base/bug.h"

#define MARK STR("\xef\xbb\xbf")

/* --- reading an event --- */

/* A line, and what is behind it; false: there is none. The line goes without
 * its end, which is *end. */
static bool next_line(struct str *text, struct str *line, struct str *end)
{
    size_t n = 0, m;

    if (!text->n)
        return false;
    while (n < text->n && text->p[n] != '\n' && text->p[n] != '\r')
        n++;
    m = n < text->n ? 1 : 0;
    if (n + 1 < text->n && text->p[n] == '\r' && text->p[n + 1] == '\n')
        m = 2;
    *line = str_make(text->p, n);
    *end = str_make(text->p + n, m);
    *text = str_make(text->p + n + m, text->n - n - m);
    return true;
}

/* Whether it is the field's line, and its value then. */
static bool is_field(struct str line, struct str name, struct str *value)
{
    if (!str_starts(line, name))
        return false;
    if (line.n == name.n) {
        *value = str_make(line.p + line.n, 0);
        return true;
    }
    if (line.p[name.n] != ':')
        return false;
    *value = str_make(line.p + name.n + 1, line.n - name.n - 1);
    if (value->n && value->p[0] == ' ')
        *value = str_make(value->p + 1, value->n - 1);
    return true;
}

static void read_data(struct sse *s, struct sse_event *ev, struct str value)
{
    if (!ev->data.p) {
        ev->data = value;
        ev->data_at = (size_t)(value.p - ev->raw.p);
        ev->is_one_line = true;
        return;
    }
    if (ev->is_one_line) {
        buf_clear(&s->joined);
        buf_add_str(&s->joined, ev->data);
    }
    ev->is_one_line = false;
    buf_add_byte(&s->joined, '\n');
    buf_add_str(&s->joined, value);
    ev->data = buf_str(&s->joined);
}

static void hand_out(struct sse *s, struct str raw)
{
    struct sse_event ev = {.raw = raw};
    struct str text = raw, line, end, value;

    if (s->is_first && str_starts(raw, MARK))
        text = str_make(raw.p + MARK.n, raw.n - MARK.n);
    s->is_first = false;
    while (next_line(&text, &line, &end)) {
        if (is_field(line, STR("data"), &value))
            read_data(s, &ev, value);
        else if (is_field(line, STR("event"), &value))
            ev.name = value;
    }
    s->ops->event(s->arg, &ev);
}

/* --- the stream --- */

/* The event ends behind these bytes. */
static enum gw_err end_event(struct sse *s, struct str tail, struct gw_error *e)
{
    size_t n = s->held.n + tail.n;

    /* An LF that may come behind the end does not count: else what is too long
     * would depend on the chunks. */
    if (str_ends(tail, STR("\r\n")))
        n--;
    if (s->held.overflow || n > s->max_bytes)
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "an event of the provider's stream is longer than %zu "
                       "bytes",
                       s->max_bytes);
    if (!s->held.n) {
        hand_out(s, tail);
        return GW_OK;
    }
    buf_add_str(&s->held, tail);
    hand_out(s, buf_str(&s->held));
    buf_clear(&s->held);
    return GW_OK;
}

static enum gw_err hold(struct sse *s, struct str begin, struct gw_error *e)
{
    buf_add_str(&s->held, begin);
    if (!s->held.overflow && s->held.n <= s->max_bytes)
        return GW_OK;
    return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                   "an event of the provider's stream is longer than %zu bytes",
                   s->max_bytes);
}

/* Whether an event ends with the line end at p; *after is behind that. */
static bool ends_here(struct sse *s, const char *p, const char *end,
                      const char **after)
{
    bool is_end = !s->has_line;

    *after = p + 1;
    if (*p == '\r') {
        s->is_after_cr = p + 1 == end;
        if (p + 1 < end && p[1] == '\n')
            *after = p + 2;
    }
    s->has_line = false;
    return is_end;
}

/* The LF of a CR that the chunk before ended with. */
static const char *finish_line(struct sse *s, const char *p)
{
    bool is_lf = s->is_after_cr && *p == '\n';

    s->is_after_cr = false;
    if (!is_lf)
        return p;
    if (s->is_between)
        s->ops->rest(s->arg, str_make(p, 1));
    else
        buf_add(&s->held, p, 1);
    return p + 1;
}

static enum gw_err feed(struct sse *s, const char *p, const char *end,
                        struct gw_error *e)
{
    const char *begin = p = finish_line(s, p);

    while (p < end) {
        if (*p != '\n' && *p != '\r') {
            s->has_line = true;
            p++;
            continue;
        }
        if (!ends_here(s, p, end, &p))
            continue;
        if (end_event(s, str_make(begin, (size_t)(p - begin)), e) != GW_OK)
            return e->err;
        begin = p;
        s->is_between = true;
    }
    if (begin == end)
        return s->held.n ? hold(s, STR(""), e) : GW_OK;
    s->is_between = false;
    return hold(s, str_make(begin, (size_t)(end - begin)), e);
}

enum gw_err sse_feed(struct sse *s, const char *p, size_t n, struct gw_error *e)
{
    ASSERT(!s->is_dead);
    if (!n)
        return GW_OK;
    if (feed(s, p, p + n, e) == GW_OK)
        return GW_OK;
    s->is_dead = true;
    return e->err;
}

void sse_finish(struct sse *s)
{
    ASSERT(!s->is_dead);
    s->is_dead = true;
    if (s->held.n)
        hand_out(s, buf_str(&s->held));
}

void sse_init(struct sse *s, size_t max_bytes, const struct sse_ops *ops,
              void *arg)
{
    *s = (struct sse){
        .ops = ops,
        .arg = arg,
        .max_bytes = max_bytes,
        .is_between = true,
        .is_first = true,
    };
    buf_init(&s->held, max_bytes + 1);
    buf_init(&s->joined, max_bytes);
}

void sse_release(struct sse *s)
{
    buf_release(&s->held);
    buf_release(&s->joined);
}

/* --- writing one --- */

/* A line of data for each line of it, the first as it began. */
static void write_data(struct str begin, struct str data, struct str end,
                       struct buf *out)
{
    struct str line, lf;

    buf_add_str(out, begin);
    if (str_find(begin, ':') < 0)
        buf_add_byte(out, ':');
    if (begin.p[begin.n - 1] != ' ' && data.n && data.p[0] == ' ')
        buf_add_byte(out, ' ');
    while (next_line(&data, &line, &lf)) {
        buf_add_str(out, line);
        if (!lf.n)
            break;
        buf_add_str(out, end);
        buf_add_c(out, "data: ");
    }
    buf_add_str(out, end);
}

static void keep_line(struct str line, struct str end, struct buf *out)
{
    /* Where a line before it is gone or new, its LF could become the end of
     * that one's CR, and the event would have none. */
    if (!line.n && str_starts(end, STR("\n")) &&
        str_ends(buf_str(out), STR("\r")))
        buf_add_byte(out, '\n');
    buf_add(out, line.p, line.n + end.n);
}

void sse_write(const struct sse_event *ev, struct str data, struct buf *out)
{
    const char *first = ev->raw.p + ev->data_at;
    struct str text = ev->raw, line, end, value;

    while (next_line(&text, &line, &end)) {
        const char *behind = line.p + line.n;
        /* With the mark before it the first line looks like none of these. */
        bool is_first = ev->data.p && line.p <= first && first <= behind;

        if (is_first)
            write_data(str_make(line.p, (size_t)(first - line.p)), data, end,
                       out);
        else if (!is_field(line, STR("data"), &value))
            keep_line(line, end, out);
    }
}
