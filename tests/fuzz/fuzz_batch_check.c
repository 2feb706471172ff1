/* A batch file, checked in chunks of several sizes: the verdict is always the
 * same, it is that of a tree per line, what comes out without a renaming is
 * what went in, and with one it is a file that is good, too. With ids replaced
 * by shorter ones it is as long as before, whether they are known at once or
 * not.
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
    bool is_slow; /* some ids are not known at first */
    unsigned asked;
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

static enum batch_id on_id(void *arg, struct str id, size_t room,
                           struct str *with, struct gw_error *e)
{
    struct run *r = arg;

    (void)id;
    (void)e;
    if (r->is_slow && r->asked < 20 && r->asked++ % 2 == 0)
        return BATCH_ID_NOT_YET;
    *with = room > 2 ? STR("f") : STR_NULL;
    return BATCH_ID_KNOWN;
}

static void on_out(void *arg, struct str bytes)
{
    struct run *r = arg;

    buf_add_str(&r->out, bytes);
}

static const struct batch_check_ops ops = {.model = on_model, .out = on_out};
static const struct batch_check_ops id_ops = {
    .model = on_model,
    .id = on_id,
    .out = on_out,
};

/* The chunk is copied: exactly so large, a byte read too many is seen. */
static enum gw_err feed_copy(struct batch_check *c, const char *p, size_t n,
                             struct gw_error *e)
{
    char *copy = xmalloc(n);
    enum gw_err err;

    memcpy(copy, p, n);
    err = batch_check_feed(c, copy, n, e);
    while (err == GW_OK && batch_check_is_waiting(c))
        err = batch_check_resume(c, e);
    free(copy);
    return err;
}

static void check(struct run *r, const struct batch_check_ops *ops_used,
                  const char *p, size_t n, size_t chunk)
{
    const uint64_t key[2] = {1, 2};
    struct batch_check c;
    enum gw_err err = GW_OK;

    err_clear(&r->e);
    buf_clear(&r->out);
    r->asked = 0;
    batch_check_init(&c, MAX_LINES, MAX_LINE, key, ops_used, r);
    for (size_t i = 0; i < n && err == GW_OK; i += chunk)
        err = feed_copy(&c, p + i, MIN(chunk, n - i), &r->e);
    while (err == GW_OK && ops_used->id && !batch_check_is_ready(&c))
        continue;
    r->is_slow = false;
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
    check(&whole, &ops, p, size, size + 1);
    if (strstr(whole.e.message, "nested too deeply"))
        naive = NAIVE_UNSURE; /* jansson goes further */
    ASSERT(naive == NAIVE_UNSURE || naive == told_line(&whole));
    if (whole.e.err == GW_OK)
        ASSERT(str_eq(buf_str(&whole.out), str_make(p, size)));
    for (size_t chunk = 1; chunk < 64; chunk = chunk * 3 - 1 + (chunk == 1)) {
        check(&cut, &ops, p, size, chunk);
        ASSERT(strcmp(whole.e.message, cut.e.message) == 0);
        ASSERT(strcmp(whole.e.param, cut.e.param) == 0);
    }
    check(&whole, &id_ops, p, size, size + 1);
    cut.is_slow = true;
    check(&cut, &id_ops, p, size, 5);
    ASSERT(strcmp(whole.e.message, cut.e.message) == 0);
    if (whole.e.err == GW_OK) {
        ASSERT(whole.out.n == size);
        ASSERT(str_eq(buf_str(&whole.out), buf_str(&cut.out)));
    }
    cut.renames = true;
    check(&cut, &ops, p, size, 7);
    if (cut.e.err == GW_OK && naive == 0)
        ASSERT(naive_check(buf_str(&cut.out).p, cut.out.n) == 0);
    buf_release(&whole.out);
    buf_release(&cut.out);
    return 0;
}
