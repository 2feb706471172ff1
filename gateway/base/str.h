/* str.h -- struct str, a view of bytes that somebody else owns.
 *
 * A view is not ended by a NUL and may hold one. Passing it by value is the
 * rule. An absent value is STR_NULL (p is NULL); an empty one has a pointer.
 */
#ifndef FILEMUX_BASE_STR_H
#define FILEMUX_BASE_STR_H

#include <string.h>

#include "gateway/base/base.h"

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NULL ((struct str){NULL, 0})
/* For printf: "%.*s", STR_ARG(s). */
#define STR_ARG(s) (int)(s).n, (s).p

/* View of a C string; NULL gives STR_NULL. */
static inline struct str str_of(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

static inline struct str str_make(const char *p, size_t n)
{
    return (struct str){p, n};
}

/* Whether the same bytes. An absent and an empty view are equal. */
bool str_eq(struct str a, struct str b);
bool str_eq_c(struct str a, const char *b);
/* ASCII letters in either case are the same. */
bool str_eq_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Order as memcmp, the shorter first among equals. */
int str_cmp(struct str a, struct str b);

/* Without spaces and tabs at both ends. */
struct str str_trim(struct str s);
/* What comes before the first sep goes to *head, what follows to *tail; false
 * (head is all, tail is absent) when there is no sep. head, tail may be &s. */
bool str_cut(struct str s, char sep, struct str *head, struct str *tail);
/* Take the next item from a list separated by sep, trimmed, empty ones
 * skipped. False at the end. */
bool str_next(struct str *list, char sep, struct str *item);
/* Where the byte is, or -1. */
ptrdiff_t str_find(struct str s, char byte);
/* Whether the whole is valid UTF-8 (RFC 3629: no surrogates, no overlong). */
bool str_is_utf8(struct str s);
/* At most max bytes of the front: no character of UTF-8 is cut in two. */
struct str str_front(struct str s, size_t max);
/* The first so many characters of a text in UTF-8, or all of it. */
struct str str_chars(struct str s, size_t chars);
/* The value of a hex digit in either case, or -1. */
int str_hex_digit(char c);
/* Whether s holds nothing but ASCII letters, digits and the symbols given. */
bool str_is_made_of(struct str s, const char *symbols);
/* Whether name matches pattern, in which * stands for any run of bytes and ?
 * for any one. Linear in the product of the lengths, no recursion. */
bool str_glob(struct str pattern, struct str name);

/* The number in decimal, in the caller's room: for hot paths, where printf()
 * would be seen. */
#define STR_I64_BYTES 20
struct str str_of_i64(int64_t n, char room[STR_I64_BYTES]);

/* Numbers. All of s must be a number in range, or false and *out as it was. */
bool str_to_u64(struct str s, uint64_t *out) MUSTCHECK;
bool str_to_i64(struct str s, int64_t *out) MUSTCHECK;
/* "512MB": bytes, units B KB MB GB TB of 1024, any case, decimals allowed
 * ("1.5GB"); a bare number is bytes. */
bool str_to_size(struct str s, int64_t *bytes) MUSTCHECK;
/* "250ms", "30s", "5m", "12h", "30d": milliseconds; a bare number is
 * seconds. */
bool str_to_duration(struct str s, int64_t *ms) MUSTCHECK;

#endif
