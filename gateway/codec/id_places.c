#include "gateway/codec/id_places.h"

#define FILE_ID(path)                                                          \
    {                                                                          \
        ID_FILE, path, NULL                                                    \
    }
#define JOB_ID(path)                                                           \
    {                                                                          \
        ID_JOB, path, NULL                                                     \
    }
#define SAID(path)                                                             \
    {                                                                          \
        ID_SAID, path, NULL                                                    \
    }
#define MODEL(path)                                                            \
    {                                                                          \
        ID_MODEL, path, NULL                                                   \
    }
#define MODEL_INNER(path)                                                      \
    {                                                                          \
        ID_MODEL_INNER, path, NULL                                             \
    }
#define OBJECT(path)                                                           \
    {                                                                          \
        ID_OBJECT, path, NULL                                                  \
    }
#define SOURCE(path)                                                           \
    {                                                                          \
        ID_SOURCE, path, NULL                                                  \
    }
#define EACH(path, name)                                                       \
    {                                                                          \
        ID_FILE, path, set_##name                                              \
    }
#define NOTHING                                                                \
    {                                                                          \
        ID_FILE, NULL, NULL                                                    \
    }
#define END                                                                    \
    {                                                                          \
        ID_FILE, NULL, NULL                                                    \
    }

#define ID_SET(name, ...)                                                      \
    static const struct id_path set_##name[] = {__VA_ARGS__, END};
#define ID_CALL(side, method, path, ...)
#include "gateway/codec/id_places.def"
#undef ID_SET
#undef ID_CALL

#define ID_SET(name, ...)
#define ID_CALL(side, method, path, ...)                                       \
    {ID_IN_##side, method, path, (const struct id_path[]){__VA_ARGS__, END}},
const struct id_places id_places_all[] = {
#include "gateway/codec/id_places.def"
    {ID_IN_REQUEST, NULL, NULL, NULL},
};

/* "{a}/b" and "{}/b" are the same. */
static bool is_same_route(struct str a, struct str b)
{
    struct str x, y;
    bool more_a = true, more_b = true;

    while (more_a && more_b) {
        more_a = str_cut(a, '/', &x, &a);
        more_b = str_cut(b, '/', &y, &b);
        if (!str_eq(x, y) &&
            !(str_starts(x, STR("{")) && str_starts(y, STR("{"))))
            return false;
    }
    return more_a == more_b;
}

const struct id_places *id_places_find(enum id_side side, const char *method,
                                       const char *path)
{
    const struct id_places *p;

    for (p = id_places_all; p->method; p++)
        if (p->side == side && strcmp(p->method, method) == 0 &&
            is_same_route(str_of(path), str_of(p->path)))
            return p;
    return NULL;
}
