/* A text as JSON: what is parsed comes out as text that means the same. And as
 * the bytes of a string: they come out as JSON.
 */
#include <stdint.h>

#include "gateway/base/bug.h"
#include "gateway/codec/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* All getters, on everything. */
static size_t walk(const struct json *v)
{
    size_t count = 1;
    struct str name;
    void *at = NULL;
    int64_t n;

    if (json_int(v, &n))
        count += (size_t)(n & 1);
    count += json_str(v).n + json_bool(v, false);
    for (size_t i = 0; i < json_count(v); i++)
        count += json_is_array(v) ? walk(json_at(v, i)) : 0;
    while ((v = json_is_object(v) ? v : NULL)) {
        const struct json *member = json_next(v, &at, &name);

        if (!member)
            break;
        ASSERT(str_is_utf8(name));
        count += walk(member);
    }
    return count;
}

static void check_text(struct arena *a, struct str text)
{
    struct json *v = json_parse(a, text, NULL), *again;
    struct buf once, twice;

    if (!v)
        return;
    walk(v);
    /* Escapes may grow a text sixfold. */
    buf_init(&once, 8 * MIB);
    buf_init(&twice, 8 * MIB);
    json_dump(&once, v);
    ASSERT(!once.overflow);
    again = json_parse(a, buf_str(&once), NULL);
    ASSERT(again || once.n > LIMIT_JSON_TEXT_BYTES);
    if (again) {
        json_dump(&twice, again);
        ASSERT(str_eq(buf_str(&once), buf_str(&twice)));
    }
    buf_release(&once);
    buf_release(&twice);
}

static void check_string(struct arena *a, struct str s)
{
    struct json_out j;
    struct json *v;
    struct buf out;

    buf_init(&out, 8 * MIB);
    json_out_init(&j, &out);
    json_open(&j, NULL, '[');
    json_put_str(&j, NULL, s);
    json_close(&j);
    ASSERT(str_is_utf8(buf_str(&out)));
    v = json_parse(a, buf_str(&out), NULL);
    ASSERT(v || str_find(s, '\0') >= 0 || out.n > LIMIT_JSON_TEXT_BYTES);
    if (v && str_is_utf8(s))
        ASSERT(str_eq(json_str(json_at(v, 0)), s));
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make((const char *)data, size);
    struct arena *a = arena_new();

    check_text(a, text);
    check_string(a, text);
    arena_free(a);
    return 0;
}
