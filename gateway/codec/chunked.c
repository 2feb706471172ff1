/* One function per state takes a byte and says the next state. Only data is
 * moved in runs:
 *
 *     START ─digit─► SIZE ─CR─► SIZE_LF ─LF─► DATA ─► DATA_CR ─► DATA_LF ─►
 * START │ ▲           │ size 0 blank  │ │ CR        ▼ or ";" ▼ │         LINE
 * ─CR─► END_LF ─LF─► DONE EXTENSION      │ ▲ ▼ │ TRAILER ─CR─► TRAILER_LF
 *
 * Anything that another reader might take for the end of a line, or for a
 * number, is refused: a bare CR or LF, a sign, "0x", white space before a size.
 */
#include "gateway/codec/chunked.h"

#include "gateway/base/bug.h"

/* 60 bits: no sum or shift can overflow. */
#define SIZE_DIGITS 15

enum state {
    START,
    SIZE,
    BLANK,
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    LINE,
    TRAILER,
    TRAILER_LF,
    END_LF,
    DONE,
    FAILED,
};

static bool is_control(unsigned char c)
{
    return (c < ' ' && c != '\t') || c == 0x7f;
}

static enum state add_digit(struct chunked *c, unsigned char byte)
{
    int digit = str_hex_digit((char)byte);

    if (digit < 0 || c->digits == SIZE_DIGITS)
        return FAILED;
    c->digits++;
    c->left = c->left << 4 | (unsigned)digit;
    return SIZE;
}

static enum state at_start(struct chunked *c, unsigned char byte)
{
    c->left = 0;
    c->digits = 0;
    c->line_bytes = 0;
    return add_digit(c, byte);
}

/* Behind the size: white space may stand before an extension only. */
static enum state at_blank(struct chunked *c, unsigned char byte)
{
    if (++c->line_bytes > LIMIT_CHUNK_LINE_BYTES)
        return FAILED;
    if (byte == ';')
        return EXTENSION;
    return byte == ' ' || byte == '\t' ? BLANK : FAILED;
}

static enum state at_size(struct chunked *c, unsigned char byte)
{
    if (byte == '\r')
        return SIZE_LF;
    if (str_hex_digit((char)byte) >= 0)
        return add_digit(c, byte);
    return at_blank(c, byte);
}

static enum state at_extension(struct chunked *c, unsigned char byte)
{
    if (byte == '\r')
        return SIZE_LF;
    if (is_control(byte) || ++c->line_bytes > LIMIT_CHUNK_LINE_BYTES)
        return FAILED;
    return EXTENSION;
}

static enum state at_size_lf(struct chunked *c, unsigned char byte)
{
    c->line_bytes = 0;
    if (byte != '\n')
        return FAILED;
    return c->left ? DATA : LINE;
}

static enum state at_data_cr(struct chunked *c, unsigned char byte)
{
    (void)c;
    return byte == '\r' ? DATA_LF : FAILED;
}

static enum state at_data_lf(struct chunked *c, unsigned char byte)
{
    (void)c;
    return byte == '\n' ? START : FAILED;
}

static enum state at_trailer(struct chunked *c, unsigned char byte)
{
    if (byte == '\r')
        return TRAILER_LF;
    if (is_control(byte) || ++c->line_bytes > LIMIT_TRAILER_BYTES)
        return FAILED;
    return TRAILER;
}

static enum state at_line(struct chunked *c, unsigned char byte)
{
    return byte == '\r' ? END_LF : at_trailer(c, byte);
}

static enum state at_trailer_lf(struct chunked *c, unsigned char byte)
{
    (void)c;
    return byte == '\n' ? LINE : FAILED;
}

static enum state at_end_lf(struct chunked *c, unsigned char byte)
{
    (void)c;
    return byte == '\n' ? DONE : FAILED;
}

static enum state (*const steps[])(struct chunked *, unsigned char) = {
    [START] = at_start,     [SIZE] = at_size,
    [BLANK] = at_blank,     [EXTENSION] = at_extension,
    [SIZE_LF] = at_size_lf, [DATA_CR] = at_data_cr,
    [DATA_LF] = at_data_lf, [LINE] = at_line,
    [TRAILER] = at_trailer, [TRAILER_LF] = at_trailer_lf,
    [END_LF] = at_end_lf,
};

void chunked_init(struct chunked *c)
{
    *c = (struct chunked){.state = START};
}

/* Moves a run of the chunk's data down; how long it is. */
static size_t take_data(struct chunked *c, char *to, const char *from, size_t n)
{
    n = n < c->left ? n : (size_t)c->left;
    if (to != from)
        memmove(to, from, n);
    c->left -= n;
    if (!c->left)
        c->state = DATA_CR;
    return n;
}

enum gw_err chunked_decode(struct chunked *c, char *p, size_t n, size_t *used,
                           size_t *out, struct gw_error *e)
{
    size_t i = 0;

    *out = 0;
    while (i < n && c->state != DONE && c->state != FAILED) {
        if (c->state == DATA) {
            size_t moved = take_data(c, p + *out, p + i, n - i);

            *out += moved;
            i += moved;
        } else {
            c->state = (int)steps[c->state](c, (unsigned char)p[i++]);
        }
    }
    *used = i;
    if (c->state == FAILED)
        return err_set(e, GW_BAD_REQUEST,
                       "the chunked transfer coding is broken");
    return GW_OK;
}

bool chunked_is_done(const struct chunked *c)
{
    return c->state == DONE;
}
