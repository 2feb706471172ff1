/* A text as a URL, as a query, and as something to be encoded. */
#include <stdint.h>

#include "gateway/base/bug.h"
#include "gateway/codec/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make((const char *)data, size), out, origin;
    struct arena *a = arena_new();

    if (url_decode(a, text, true, &out))
        ASSERT(str_find(out, '\0') < 0 && out.n <= text.n);
    if (str_find(text, '\0') < 0) {
        ASSERT(url_decode(a, url_encoded(a, text), false, &out));
        ASSERT(str_eq(out, text));
    }
    origin = url_origin(text);
    ASSERT(!origin.p || str_starts(text, origin));
    ASSERT(!origin.p || str_eq(url_origin(origin), origin));
    out = url_query_get(a, text, STR("a"));
    ASSERT(str_find(out, '\0') < 0);
    out = url_join(a, text, STR("/x"));
    ASSERT(str_ends(out, STR("/x")));
    arena_free(a);
    return 0;
}
