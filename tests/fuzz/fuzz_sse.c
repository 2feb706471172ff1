/* An event stream, in chunks of several sizes: all bytes come out as they went
 * in, the events are always the same, each written anew with its own data says
 * the same.
 */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/codec/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_EVENT 4096

struct run {
    struct buf bytes, told;
};

static void on_rest(void *arg, struct str raw)
{
    struct run *r = arg;

    buf_add_str(&r->bytes, raw);
}

static void tell(struct run *r, const struct sse_event *ev)
{
    buf_printf(&r->told, "%zu %zu %d\n", ev->name.n, ev->data.n,
               ev->data.p != NULL);
    buf_add_str(&r->told, ev->name);
    buf_add_str(&r->told, ev->data);
}

static void on_second(void *arg, const struct sse_event *ev)
{
    tell(arg, ev);
}

static const struct sse_ops second_ops = {.event = on_second, .rest = on_rest};

/* Written with its own data it says what it said. */
static void write_again(const struct sse_event *ev)
{
    struct run first = {0}, second = {0};
    struct gw_error e = {0};
    struct buf text;
    struct sse s;

    buf_init(&text, MIB);
    buf_init(&first.told, MIB);
    buf_init(&second.told, MIB);
    buf_init(&second.bytes, MIB);
    sse_write(ev, ev->data, &text);
    tell(&first, ev);
    sse_init(&s, MIB, &second_ops, &second);
    ASSERT(sse_feed(&s, text.p, text.n, &e) == GW_OK);
    sse_finish(&s);
    ASSERT(str_eq(buf_str(&first.told), buf_str(&second.told)));
    sse_release(&s);
    buf_release(&text);
    buf_release(&first.told);
    buf_release(&second.told);
    buf_release(&second.bytes);
}

static void on_event(void *arg, const struct sse_event *ev)
{
    struct run *r = arg;
    bool has_mark = str_starts(ev->raw, STR("\xef\xbb\xbf"));

    buf_add_str(&r->bytes, ev->raw);
    tell(r, ev);
    if (!has_mark)
        write_again(ev);
}

static const struct sse_ops ops = {.event = on_event, .rest = on_rest};

static bool read_in(struct run *r, const char *p, size_t n, size_t chunk)
{
    struct gw_error e = {0};
    struct sse s;
    bool ok = true;

    buf_clear(&r->bytes);
    buf_clear(&r->told);
    sse_init(&s, MAX_EVENT, &ops, r);
    for (size_t i = 0; i < n && ok; i += chunk) {
        size_t m = MIN(chunk, n - i);
        char *copy = xmalloc(m);

        memcpy(copy, p + i, m);
        ok = sse_feed(&s, copy, m, &e) == GW_OK;
        free(copy);
    }
    if (ok)
        sse_finish(&s);
    sse_release(&s);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    struct run whole = {0}, cut = {0};
    bool ok;

    if (size > MIB)
        return 0;
    buf_init(&whole.bytes, 2 * MIB);
    buf_init(&whole.told, 64 * MIB);
    buf_init(&cut.bytes, 2 * MIB);
    buf_init(&cut.told, 64 * MIB);
    ok = read_in(&whole, p, size, size + 1);
    if (ok)
        ASSERT(str_eq(buf_str(&whole.bytes), str_make(p, size)));
    for (size_t chunk = 1; chunk < 16; chunk += chunk) {
        ASSERT(read_in(&cut, p, size, chunk) == ok);
        ASSERT(str_eq(buf_str(&whole.told), buf_str(&cut.told)));
        if (ok)
            ASSERT(str_eq(buf_str(&whole.bytes), buf_str(&cut.bytes)));
    }
    buf_release(&whole.bytes);
    buf_release(&whole.told);
    buf_release(&cut.bytes);
    buf_release(&cut.told);
    return 0;
}
