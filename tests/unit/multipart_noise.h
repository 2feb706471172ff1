/* multipart_noise.h -- makes forms that are likely to confuse a reader. */
#ifndef FILEMUX_TESTS_UNIT_MULTIPART_NOISE_H
#define FILEMUX_TESTS_UNIT_MULTIPART_NOISE_H

#include "tests/unit/multipart_naive.h"

static uint32_t seed = 1;

static uint32_t noise(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)(seed >> 4) * below >> 28);
}

static const char *const boundaries[] = {
    "b",
    "--",
    "abcabc",
    "-----",
    "a'()+_,-./:=?b c",
    "0123456789012345678901234567890123456789012345678901234567890123456789",
};

static const char *random_boundary; /* of the last make_body() */

/* Something that is likely to confuse a parser. */
static void add_piece(struct buf *b)
{
    static const char *const pieces[] = {
        "\r\n",
        "\r",
        "\n",
        "-",
        "--",
        " ",
        "\r\n--",
        "\r\n\r\n",
        "X: y\r\n",
        "hello",
        "Content-Type: t/t\r\n",
        "Content-Type:u\r\n\r\n",
        "\r\n-",
    };
    uint32_t which = noise(COUNTOF(pieces) + 9);
    size_t n = strlen(random_boundary);

    if (which < COUNTOF(pieces))
        buf_add_c(b, pieces[which]);
    else if (which == COUNTOF(pieces))
        buf_add_c(b, random_boundary);
    else if (which == COUNTOF(pieces) + 1)
        buf_printf(b, "\r\n--%.*s", (int)noise((uint32_t)n), random_boundary);
    else if (which == COUNTOF(pieces) + 2)
        buf_printf(b, "--%s", random_boundary);
    else if (which == COUNTOF(pieces) + 3)
        buf_printf(b, "%s\r\n", dispositions[noise(3)].line);
    else if (which == COUNTOF(pieces) + 4)
        buf_add_byte(b, (char)noise(256));
    else if (which == COUNTOF(pieces) + 5)
        buf_printf(b, "%*s", (int)noise(100), "");
    else if (which == COUNTOF(pieces) + 6)
        buf_printf(b, "\r\n-%s", random_boundary);
    else if (which == COUNTOF(pieces) + 7)
        buf_printf(b, "\r%s\n--%s", noise(2) ? "\r" : "", random_boundary);
    else if (noise(8) == 0)
        buf_printf(b, "\r\n--%s", random_boundary);
}

static void add_pieces(struct buf *b, uint32_t up_to)
{
    for (uint32_t k = noise(up_to); k; k--)
        add_piece(b);
}

static void add_part(struct buf *b)
{
    buf_printf(b, "--%s%s\r\n", random_boundary, noise(8) ? "" : " \t");
    if (noise(8) == 0)
        add_piece(b);
    buf_printf(b, "%s\r\n", dispositions[noise(3)].line);
    if (noise(3) == 0)
        buf_add_c(b, "Content-Type: t/t\r\n");
    if (noise(16) == 0)
        add_piece(b);
    buf_add_c(b, "\r\n");
    add_pieces(b, 12);
    buf_add_c(b, "\r\n");
}

static void make_body(struct buf *b)
{
    buf_clear(b);
    random_boundary = boundaries[noise(COUNTOF(boundaries))];
    if (noise(4) == 0) {
        add_pieces(b, 3);
        buf_add_c(b, "\r\n");
    }
    for (uint32_t k = noise(5); k; k--)
        add_part(b);
    buf_printf(b, "--%s", random_boundary);
    if (noise(16))
        buf_add_c(b, "--");
    if (noise(3) == 0)
        add_pieces(b, 3);
}

#endif
