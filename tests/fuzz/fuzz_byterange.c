/* A text as Range and as Content-Range. */
#include <stdint.h>

#include "gateway/base/bug.h"
#include "gateway/codec/byterange.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_range(const struct byterange *r, int64_t size)
{
    int64_t offset, len;

    if (byterange_resolve(r, size, &offset, &len, NULL) != GW_OK) {
        ASSERT(r->is_set);
        return;
    }
    ASSERT(offset >= 0 && len >= 0 && len <= size && offset <= size - len);
    ASSERT(len > 0 || !r->is_set);
    ASSERT(r->is_set || (offset == 0 && len == size));
    ASSERT(!r->is_set || r->first < 0 || r->first == offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t sizes[] = {0, 1, 2, 10, 1000, INT64_MAX};
    struct str text = str_make((const char *)data, size);
    int64_t first, last, total;
    struct byterange r;

    byterange_parse(text, &r);
    ASSERT(!r.is_set || r.first >= 0 || r.last >= 0);
    for (size_t i = 0; i < COUNTOF(sizes); i++)
        check_range(&r, sizes[i]);
    if (byterange_parse_content(text, &first, &last, &total)) {
        ASSERT(first >= 0 && first <= last && last < INT64_MAX);
        ASSERT(total == -1 || last < total);
    }
    return 0;
}
