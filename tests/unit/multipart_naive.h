/* multipart_naive.h -- a slow and obvious reader of forms, to compare with.
 *
 * The reader works on a whole body, by comparing at every place. Of headers it
 * knows a few by heart and calls others UNDECIDED. What it reads is a log:
 *
 *     [name|filename|content type]data{length of the data}
 *
 * with "-" for an absent name.
 */
#ifndef FILEMUX_TESTS_UNIT_MULTIPART_NAIVE_H
#define FILEMUX_TESTS_UNIT_MULTIPART_NAIVE_H

#include <stdio.h>

#include "gateway/base/buf.h"
#include "gateway/base/limits.h"

static inline void log_name(struct buf *log, struct str s)
{
    if (s.p)
        buf_add_str(log, s);
    else
        buf_add_c(log, "-");
}

enum verdict { VALID, INVALID, UNDECIDED };

static const struct {
    const char *line, *log;
} dispositions[] = {
    {"Content-Disposition: form-data; name=\"a\"", "a|-"},
    {"content-disposition:form-data;name=b;filename=\"x\"", "b|x"},
    {"Content-Disposition: form-data; name=\"c\"; filename=\"d/e%22\"",
     "c|e\""},
};

static inline bool is_at(struct str body, size_t at, const char *what)
{
    size_t n = strlen(what);

    return body.n >= at && body.n - at >= n && !memcmp(body.p + at, what, n);
}

/* The first `what` from `at` on; body.n if there is none. */
static inline size_t find(struct str body, size_t at, const char *what)
{
    while (at < body.n && !is_at(body, at, what))
        at++;
    return MIN(at, body.n);
}

static inline bool has_name(struct str line, const char *name)
{
    size_t n = strlen(name);

    return line.n >= n && str_eq_nocase(str_make(line.p, n), str_of(name));
}

/* One header line: what it says goes to *names and *type. */
static inline enum verdict naive_line(struct str line, const char **names,
                                      struct str *type)
{
    ptrdiff_t colon = str_find(line, ':');

    for (ptrdiff_t i = 0; i < colon; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                    "0123456789!#$%&'*+-.^_`|~",
                    line.p[i]) ||
            !line.p[i])
            return INVALID;
    if (colon < 1 || str_find(line, '\r') >= 0 || str_find(line, '\n') >= 0 ||
        str_find(line, '\0') >= 0)
        return INVALID;
    if (has_name(line, "content-type:")) {
        if (type->p)
            return INVALID;
        *type =
            str_trim(str_make(line.p + colon + 1, line.n - (size_t)colon - 1));
        return VALID;
    }
    if (!has_name(line, "content-disposition:"))
        return VALID;
    for (size_t i = 0; i < COUNTOF(dispositions); i++)
        if (str_eq_c(line, dispositions[i].line)) {
            if (*names)
                return INVALID;
            *names = dispositions[i].log;
            return VALID;
        }
    return UNDECIDED;
}

static inline enum verdict naive_head(struct str body, size_t at, size_t end,
                                      struct buf *log)
{
    enum verdict worst = VALID;
    const char *names = NULL;
    struct str type = STR_NULL;

    while (at < end) {
        size_t eol = find(body, at, "\r\n");
        enum verdict v =
            naive_line(str_make(body.p + at, eol - at), &names, &type);

        /* An invalid line settles it whatever the others are. */
        if (v == INVALID || worst == VALID)
            worst = v;
        if (v == INVALID)
            return INVALID;
        at = eol + 2;
    }
    if (worst == VALID && !names)
        return INVALID;
    if (worst == VALID) {
        buf_printf(log, "[%s|", names);
        log_name(log, type);
        buf_add_c(log, "]");
    }
    return worst;
}

static inline enum verdict naive_parse(struct str body, const char *boundary,
                                       struct buf *log)
{
    char delimiter[80];
    const char *mark = delimiter + 2;
    size_t at, n, end;

    n = (size_t)snprintf(delimiter, sizeof(delimiter), "\r\n--%s", boundary);
    at = is_at(body, 0, mark) ? 0 : find(body, 0, delimiter) + 2;
    if (at > body.n || at > LIMIT_PREAMBLE_BYTES + 2)
        return INVALID;
    for (int parts = 0;; parts++) {
        enum verdict v;

        at += n - 2;
        if (is_at(body, at, "--"))
            return VALID;
        while (is_at(body, at, " ") || is_at(body, at, "\t"))
            at++;
        if (!is_at(body, at, "\r\n") || is_at(body, at, "\r\n\r\n"))
            return INVALID;
        at += 2;
        end = find(body, at, "\r\n\r\n");
        if (end == body.n || parts == LIMIT_PARTS)
            return INVALID;
        v = naive_head(body, at, end, log);
        if (v != VALID)
            return v;
        at = end + 4;
        end = find(body, at, delimiter);
        if (is_at(body, at, mark) || end == body.n)
            return INVALID;
        buf_add(log, body.p + at, end - at);
        buf_printf(log, "{%zu}", end - at);
        at = end + 2;
    }
}

#endif
