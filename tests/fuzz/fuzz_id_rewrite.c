/* A call of the table (the first byte names it) and a text: what is found lies
 * in the text, in its order; with nothing to replace the text is what it was;
 * with all replaced it is JSON in which the same places are found.
 */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/codec/id_places.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WITH "an \"id\" of some length"

static const struct id_places *pick(unsigned n)
{
    const struct id_places *p = id_places_all;

    while (n-- && p->method)
        p++;
    return p->method ? p : id_places_all;
}

static void check_sites(const struct id_found *f, struct str text)
{
    size_t at = 0;

    for (size_t i = 0; i < f->n; i++) {
        const struct id_site *s = &f->v[i];

        ASSERT(s->at >= at && s->n >= 2 && s->at + s->n <= text.n);
        ASSERT(text.p[s->at] == '"' && text.p[s->at + s->n - 1] == '"');
        ASSERT(s->value.n <= s->n - 2 && s->path.n <= LIMIT_ID_PATH_BYTES);
        ASSERT(!s->with.p);
        at = s->at + s->n;
    }
}

static void check_written(struct arena *a, const struct id_places *p,
                          struct id_found *f, struct str text)
{
    struct id_found again;
    struct gw_error e = {0};
    struct buf out;

    buf_init(&out, 64 * MIB);
    id_write(f, text, &out);
    ASSERT(str_eq(buf_str(&out), text));
    buf_clear(&out);
    for (size_t i = 0; i < f->n; i++)
        f->v[i].with = STR(WITH);
    id_write(f, text, &out);
    ASSERT(id_find(a, p, buf_str(&out), &again, &e) == GW_OK);
    ASSERT(again.n == f->n && again.is_streamed == f->is_streamed);
    for (size_t i = 0; i < f->n; i++) {
        ASSERT(again.v[i].kind == f->v[i].kind);
        ASSERT(str_eq(again.v[i].path, f->v[i].path));
        ASSERT(str_eq(again.v[i].value, STR(WITH)));
    }
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct id_places *p;
    struct arena *a;
    struct id_found found;
    struct gw_error e = {0};
    struct str text;

    if (size < 1 || size > MIB)
        return 0;
    p = pick(data[0]);
    text = str_make((const char *)data + 1, size - 1);
    a = arena_new();
    if (id_find(a, p, text, &found, &e) == GW_OK) {
        check_sites(&found, text);
        check_written(a, p, &found, text);
    }
    arena_free(a);
    return 0;
}
