/* id_naive.h -- the places of a call written out, and ids found the plain way.
 *
 * The table's sets are spelt out: each place becomes one path without sets and
 * without alternatives. A tree (jansson) is then searched for each path on its
 * own. What id_find() tells of any text must be what this tells.
 */
#ifndef FILEMUX_TESTS_ID_NAIVE_H
#define FILEMUX_TESTS_ID_NAIVE_H

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/codec/id_places.h"

#define NAIVE_PATH 600
#define NAIVE_SITES 4096

struct naive_place {
    enum id_kind kind;
    char path[NAIVE_PATH];
};

struct naive_places {
    size_t n;
    struct naive_place v[256];
};

/* path, from `at` on, with each alternative of its guards on its own. */
static inline void naive_alternatives(struct naive_places *to,
                                      enum id_kind kind, const char *path,
                                      size_t at)
{
    const char *bar = strchr(path + at, '|');
    size_t from, end, one;
    char other[NAIVE_PATH];

    if (!bar) {
        to->v[to->n].kind = kind;
        snprintf(to->v[to->n++].path, NAIVE_PATH, "%s", path);
        return;
    }
    from = (size_t)(bar - path);
    while (path[from - 1] != '=')
        from--;
    end = from + strcspn(path + from, "}");
    for (size_t i = from; i < end; i += one + 1) {
        one = strcspn(path + i, "|}");
        snprintf(other, sizeof(other), "%.*s%.*s%s", (int)from, path, (int)one,
                 path + i, path + end);
        naive_alternatives(to, kind, other, from + one);
    }
}

static inline void naive_expand(struct naive_places *to,
                                const struct id_path *paths, const char *before)
{
    char path[NAIVE_PATH];

    for (; paths->path; paths++) {
        snprintf(path, sizeof(path), "%s%s", before, paths->path);
        if (paths->set)
            naive_expand(to, paths->set, path);
        else
            naive_alternatives(to, paths->kind, path, 0);
    }
}

/* --- searching a tree --- */

struct naive_site {
    enum id_kind kind;
    char path[1024];
    const char *value;
};

struct naive_found {
    enum id_side side;
    size_t n;
    struct naive_site v[NAIVE_SITES];
};

static inline bool naive_is_of_requests(enum id_kind kind)
{
    return kind == ID_OBJECT || kind == ID_MODEL || kind == ID_MODEL_INNER ||
           kind == ID_SOURCE;
}

static inline void naive_add(struct naive_found *f, enum id_kind kind,
                             const char *path, json_t *v)
{
    if (!json_is_string(v) || f->n == NAIVE_SITES ||
        (f->side != ID_IN_REQUEST && naive_is_of_requests(kind)))
        return;
    if ((kind == ID_FILE || kind == ID_STRANGE) &&
        strncmp(json_string_value(v), "cfile_", 6) == 0)
        return;
    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].kind == kind && strcmp(f->v[i].path, path) == 0)
            return;
    /* At a place it is not strange. */
    for (size_t i = 0; i < f->n && kind == ID_STRANGE; i++)
        if (strcmp(f->v[i].path, path) == 0)
            return;
    f->v[f->n].kind = kind;
    f->v[f->n].value = json_string_value(v);
    snprintf(f->v[f->n++].path, sizeof(f->v[0].path), "%s", path);
}

static inline bool naive_has_type(json_t *v, const char *type, size_t n)
{
    json_t *t = json_object_get(v, "type");

    if (json_is_string(t))
        return json_string_length(t) == n &&
               memcmp(json_string_value(t), type, n) == 0;
    return n == 7 && memcmp(type, "message", 7) == 0 &&
           json_object_get(v, "role") && json_object_get(v, "content");
}

static inline void naive_search(struct naive_found *f, enum id_kind kind,
                                const char *at, json_t *v, const char *path)
{
    char deeper[1024];
    const char *key;
    json_t *child;
    size_t i, n;

    if (!*at) {
        naive_add(f, kind, path, v);
    } else if (*at == '{' && json_is_object(v)) {
        n = strcspn(at, "}");
        if (naive_has_type(v, at + 6, n - 6))
            naive_search(f, kind, at + n + 1, v, path);
    } else if (*at == '[') {
        json_array_foreach(v, i, child)
        {
            snprintf(deeper, sizeof(deeper), "%.900s[%zu]", path, i);
            naive_search(f, kind, at + 2, child, deeper);
        }
    } else if (*at == '.') {
        n = strcspn(at + 1, ".[{");
        json_object_foreach(v, key, child)
        {
            if (at[1] != '*' && (strlen(key) != n || memcmp(key, at + 1, n)))
                continue;
            snprintf(deeper, sizeof(deeper), "%.900s%s%.100s", path,
                     *path ? "." : "", key);
            naive_search(f, kind, at + 1 + n, child, deeper);
        }
    }
}

static inline bool naive_is_among(const char *key, const char *names)
{
    char quoted[140];

    snprintf(quoted, sizeof(quoted), " %.130s ", key);
    return strstr(names, quoted) != NULL;
}

static inline void naive_strange(struct naive_found *f, json_t *v,
                                 const char *path, bool is_named,
                                 enum id_kind as)
{
    char deeper[1024];
    const char *key;
    json_t *child;
    bool is_store;
    size_t i;

    if (is_named)
        naive_add(f, as, path, v);
    json_array_foreach(v, i, child)
    {
        snprintf(deeper, sizeof(deeper), "%.900s[%zu]", path, i);
        naive_strange(f, child, deeper, is_named, as);
    }
    json_object_foreach(v, key, child)
    {
        if (naive_is_among(key, " metadata attributes arguments parameters "
                                "schema filters "))
            continue;
        snprintf(deeper, sizeof(deeper), "%.900s%s%.100s", path,
                 *path ? "." : "", key);
        is_store = strcmp(key, "vector_store_ids") == 0;
        naive_strange(f, child, deeper,
                      is_store ||
                          naive_is_among(key, " file_id file_ids input_file_id "
                                              "training_file validation_file "),
                      is_store ? ID_OBJECT : ID_STRANGE);
    }
}

static inline void naive_find(const struct id_places *p, json_t *v,
                              struct naive_found *f)
{
    static struct naive_places places;

    places.n = f->n = 0;
    f->side = p->side;
    naive_expand(&places, p->paths, "");
    for (size_t i = 0; i < places.n; i++)
        naive_search(f, places.v[i].kind, places.v[i].path, v, "");
    if (p->side == ID_IN_REQUEST)
        naive_strange(f, v, "", false, ID_STRANGE);
}

#endif
