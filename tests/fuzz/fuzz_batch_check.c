/* A batch file, checked in chunks of several sizes: the verdict is always the
 * same, it is that of a tree per line, what comes out without a renaming is
 * what went in, and with one it is a file that is good, too.
 */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/codec/batch_check.h"
#include "tests/unit/batch_naive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_LINES 100000
#define MAX_LINE 1000000

struct run {
    struct buf out;
    struct gw_error e;
    bool renames;
};

static enum gw_err on_model(void *arg, struct str name, struct str *renamed,
                            struct batch_use **use, struct gw_error *e)
{
    struct run *r = arg;

    (void)name;
    (void)use;
    (void)e;
    if (r->renames)
        *renamed = STR("a \"name\" of some length");
    return GW_OK;
}

static void on_out(void *arg, struct str bytes)
{
    struct run *r = arg;

    buf_add_str(&r->out, bytes);
}

static const struct batch_check_ops ops = {.model = on_model, .out = on_out};

/* The chunk is copied: exactly so large, a byte read too many is seen. */
static enum gw_err feed_copy(struct batch_check *c, const char *p, size_t n,
                             struct gw_error *e)
{
    char *copy = xmalloc(n);
    enum gw_err err;

    memcpy(copy, p, n);
    err = batch_check_feed(c, copy, n, e);
    free(copy);
    return err;
}

static void check(struct run *r, const char *p, size_t n, size_t chunk)
{
    const uint64_t key[2] = {1, 2};
    struct batch_check c;
    enum gw_err err = GW_OK;

    err_clear(&r->e);
    buf_clear(&r->out);
    batch_check_init(&c, MAX_LINES, MAX_LINE, key, &ops, r);
    for (size_t i = 0; i < n && err == GW_OK; i += chunk)
        err = feed_copy(&c, p + i, MIN(chunk, n - i), &r->e);
    if (err == GW_OK)
        err = batch_check_finish(&c, &r->e);
    ASSERT(err == r->e.err);
    batch_check_release(&c);
}

static long told_line(const struct run *r)
{
    long line = 0;

    if (r->e.err != GW_OK)
        ASSERT(sscanf(r->e.message, "line %ld of", &line) == 1 && line > 0);
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    struct run whole = {0}, cut = {0};
    long naive = naive_check(p, size);

    if (size > MAX_LINE / 2)
        return 0;
    buf_init(&whole.out, 64 * MIB);
    buf_init(&cut.out, 64 * MIB);
    check(&whole, p, size, size + 1);
    if (strstr(whole.e.message, "nested too deeply"))
        naive = NAIVE_UNSURE; /* jansson goes further */
    ASSERT(naive == NAIVE_UNSURE || naive == told_line(&whole));
    if (whole.e.err == GW_OK)
        ASSERT(str_eq(buf_str(&whole.out), str_make(p, size)));
    for (size_t chunk = 1; chunk < 64; chunk = chunk * 3 - 1 + (chunk == 1)) {
        check(&cut, p, size, chunk);
        ASSERT(strcmp(whole.e.message, cut.e.message) == 0);
        ASSERT(strcmp(whole.e.param, cut.e.param) == 0);
    }
    cut.renames = true;
    check(&cut, p, size, 7);
    if (whole.e.err == GW_OK && naive == 0)
        ASSERT(naive_check(buf_str(&cut.out).p, cut.out.n) == 0);
    buf_release(&whole.out);
    buf_release(&cut.out);
    return 0;
}
