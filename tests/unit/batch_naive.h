/* batch_naive.h -- a batch file's verdict, found out the plain way.
 *
 * A tree per line (jansson), all ids kept and compared with each other. What
 * the scanner says of any file must be what this says: which line is the first
 * bad one, or none; and the file with its models renamed.
 */
#ifndef FILEMUX_TESTS_BATCH_NAIVE_H
#define FILEMUX_TESTS_BATCH_NAIVE_H

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/str.h"

#define NAIVE_IDS 4096
#define NAIVE_UNSURE (-1) /* jansson has no opinion, or a narrower one */

struct naive {
    json_t *ids[NAIVE_IDS];
    size_t n;
    char *url;
};

static inline bool naive_is_blank(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r\n", p[i]) || !p[i])
            return false;
    return true;
}

static inline bool naive_is_endpoint(const char *url)
{
    static const char *const some[] = {"/v1/chat/completions",
                                       "/v1/completions",
                                       "/v1/embeddings",
                                       "/v1/responses",
                                       "/v1/moderations",
                                       "/v1/images/generations",
                                       "/v1/images/edits",
                                       "/v1/videos",
                                       "/v1/audio/translations",
                                       "/v1/audio/transcriptions",
                                       "/v1/rerank",
                                       "/v1/score",
                                       "/v4/chat/completions",
                                       "/v4/embeddings",
                                       "/chat/completions",
                                       "/completions",
                                       "/embeddings",
                                       "/responses"};

    for (size_t i = 0; i < COUNTOF(some); i++)
        if (strcmp(some[i], url) == 0)
            return true;
    return false;
}

static inline bool naive_is_text(json_t *v, const char *text)
{
    return json_is_string(v) && json_string_length(v) == strlen(text) &&
           strcmp(json_string_value(v), text) == 0;
}

static inline bool naive_id_is_new(struct naive *s, json_t *id)
{
    for (size_t i = 0; i < s->n; i++)
        if (json_equal(s->ids[i], id))
            return false;
    if (s->n < NAIVE_IDS)
        s->ids[s->n++] = json_incref(id);
    return true;
}

static inline bool naive_is_good(struct naive *s, json_t *v)
{
    json_t *url = json_object_get(v, "url"), *body = json_object_get(v, "body");
    json_t *id = json_object_get(v, "custom_id");

    if (!json_is_object(v) || !json_is_string(id) ||
        !naive_is_text(json_object_get(v, "method"), "POST") ||
        !json_is_string(url) || !json_is_object(body) ||
        !json_is_string(json_object_get(body, "model")))
        return false;
    if (json_string_length(url) != strlen(json_string_value(url)) ||
        !naive_is_endpoint(json_string_value(url)))
        return false;
    if (s->url && strcmp(s->url, json_string_value(url)) != 0)
        return false;
    if (!s->url)
        s->url = strdup(json_string_value(url));
    return naive_id_is_new(s, id);
}

/* 1: good, 0: bad, or NAIVE_UNSURE. */
static inline int naive_line(struct naive *s, const char *p, size_t n)
{
    size_t flags = JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL | JSON_DECODE_ANY;
    json_error_t e;
    json_t *v = NULL;
    int verdict;

    if (memchr(p, '\0', n))
        return 0; /* jansson passes over one behind a number */
    v = json_loadb(p, n, flags | JSON_REJECT_DUPLICATES, &e);
    if (!v) {
        enum json_error_code code = json_error_code(&e);

        if (code == json_error_duplicate_key ||
            code == json_error_numeric_overflow ||
            code == json_error_stack_overflow)
            return NAIVE_UNSURE;
        return 0;
    }
    verdict = naive_is_good(s, v);
    json_decref(v);
    return verdict;
}

/* The number of the first bad line; 0: none; NAIVE_UNSURE. */
static inline long naive_check(const char *p, size_t n)
{
    struct naive s = {0};
    const char *end = p + n, *lf;
    long line = 0, bad = 0, requests = 0;
    int verdict;

    for (; p < end && !bad; p = lf + 1) {
        lf = memchr(p, '\n', (size_t)(end - p));
        lf = lf ? lf : end;
        line++;
        if (naive_is_blank(p, (size_t)(lf - p)))
            continue;
        requests++;
        verdict = naive_line(&s, p, (size_t)(lf - p));
        if (verdict != 1)
            bad = verdict ? NAIVE_UNSURE : line;
    }
    if (!bad && !requests)
        bad = 1;
    while (s.n)
        json_decref(s.ids[--s.n]);
    free(s.url);
    return bad;
}

#endif
