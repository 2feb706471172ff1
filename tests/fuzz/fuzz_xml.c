/* A text as XML: two levels of elements, and as the text of one. */
#include <stdint.h>

#include "gateway/base/bug.h"
#include "gateway/codec/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_into(struct arena *a, struct str inner)
{
    struct str name, content, text, again;

    while (xml_next(&inner, &name, &content)) {
        ASSERT(name.n && content.p);
        text = xml_text(a, content);
        if (!text.p)
            continue;
        again = xml_text(a, xml_escaped(a, text));
        ASSERT(str_eq(again, text));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_make((const char *)data, size), name, inner;
    struct arena *a = arena_new();
    size_t left = rest.n + 1;

    while (xml_next(&rest, &name, &inner)) {
        ASSERT(rest.n < left);
        left = rest.n;
        look_into(a, inner);
        xml_child_text(a, inner, STR("Key"));
    }
    arena_free(a);
    return 0;
}
