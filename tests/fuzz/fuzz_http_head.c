/* A head, as it would come from a socket. What is accepted must not hold
 * anything that another parser could read in another way.
 */
#include <stdint.h>

#include "gateway/base/bug.h"
#include "gateway/codec/http_head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Found at the same place, however the bytes come in. */
static size_t find_head(struct str text, size_t *skip)
{
    size_t whole = http_head_length(text.p, text.n, 0, skip), n = 0, at;

    for (at = 1; at <= text.n && !n; at++)
        n = http_head_length(text.p, at, at - 1, skip);
    ASSERT(n == whole);
    return whole;
}

static bool is_within(struct str view, struct str text)
{
    return !view.p ||
           (view.p >= text.p && view.p + view.n <= text.p + text.n) ||
           str_eq(view, STR("/"));
}

static void check_lines(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        ASSERT(text.p[i]);
        ASSERT(text.p[i] != '\n' || (i && text.p[i - 1] == '\r'));
        ASSERT(text.p[i] != '\r' || (i + 1 < text.n && text.p[i + 1] == '\n'));
        ASSERT((text.p[i] != ' ' && text.p[i] != '\t') || !i ||
               text.p[i - 1] != '\n');
    }
}

/* Fields of that name, counted from the text itself. */
static size_t count_fields(struct str text, struct str name)
{
    size_t count = 0;

    for (size_t i = 1; i + name.n < text.n; i++)
        count += text.p[i - 1] == '\n' && text.p[i + name.n] == ':' &&
                 str_eq_nocase(str_make(text.p + i, name.n), name);
    return count;
}

static void check_framing(const struct http_head *h, struct str text)
{
    size_t lengths = count_fields(text, STR("content-length"));
    size_t codings = count_fields(text, STR("transfer-encoding"));

    ASSERT(lengths + codings <= 1);
    ASSERT(count_fields(text, STR("host")) + (h->minor == 0) >= 1);
    ASSERT((h->body == HTTP_BODY_LENGTH) == (lengths == 1));
    ASSERT((h->body == HTTP_BODY_CHUNKED) == (codings == 1));
    ASSERT((h->content_length >= 0) == (lengths == 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make((const char *)data, size);
    struct gw_error e = {0};
    struct http_head h;
    size_t n, skip;

    n = find_head(text, &skip);
    if (!n)
        return 0;
    text = str_make(text.p + skip, n);
    if (http_head_parse(&h, text, &e) != GW_OK) {
        ASSERT(e.err != GW_OK && e.message[0]);
        return 0;
    }
    check_lines(text);
    check_framing(&h, text);
    ASSERT(is_within(h.method, text) && is_within(h.target, text));
    ASSERT(is_within(h.raw_path, text) && is_within(h.raw_query, text));
    ASSERT(h.raw_path.n && h.raw_path.p[0] == '/');
    for (size_t i = 0; i < h.nfields; i++)
        ASSERT(is_within(h.fields[i].name, text) &&
               is_within(h.fields[i].value, text));
    return 0;
}
