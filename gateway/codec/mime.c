#include "gateway/codec/mime.h"

static void add_escaped(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        switch (s.p[i]) {
        case '"':
            buf_add_c(out, "%22");
            break;
        case '\r':
            buf_add_c(out, "%0D");
            break;
        case '\n':
            buf_add_c(out, "%0A");
            break;
        default:
            buf_add_byte(out, s.p[i]);
            break;
        }
    }
}

static void open_part(struct buf *out, struct str boundary, struct str name)
{
    buf_add_c(out, "--");
    buf_add_str(out, boundary);
    buf_add_c(out, "\r\nContent-Disposition: form-data; name=\"");
    add_escaped(out, name);
    buf_add_byte(out, '"');
}

/* Whether the value would end its part early, at its start or further on. */
static bool holds_delimiter(struct str value, struct str boundary)
{
    const char *p = value.p, *end = value.p + value.n, *at;

    while (p < end &&
           (at = memmem(p, (size_t)(end - p), boundary.p, boundary.n))) {
        size_t before = (size_t)(at - value.p);

        if (before >= 2 && memcmp(at - 2, "--", 2) == 0 &&
            (before == 2 || at[-3] == '\n'))
            return true;
        p = at + 1;
    }
    return false;
}

void mime_add_field(struct buf *out, struct str boundary, struct str name,
                    struct str value)
{
    open_part(out, boundary, name);
    buf_add_c(out, "\r\n\r\n");
    if (!holds_delimiter(value, boundary))
        buf_add_str(out, value);
    buf_add_c(out, "\r\n");
}

static bool is_line(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\r' || s.p[i] == '\n' || !s.p[i])
            return false;
    return s.n > 0;
}

void mime_open_file(struct buf *out, struct str boundary, struct str name,
                    struct str filename, struct str content_type)
{
    open_part(out, boundary, name);
    buf_add_c(out, "; filename=\"");
    add_escaped(out, filename);
    buf_add_c(out, "\"\r\nContent-Type: ");
    buf_add_str(out, is_line(content_type) ? content_type
                                           : STR("application/octet-stream"));
    buf_add_c(out, "\r\n\r\n");
}

void mime_close(struct buf *out, struct str boundary)
{
    buf_add_c(out, "\r\n--");
    buf_add_str(out, boundary);
    buf_add_c(out, "--\r\n");
}
