/* A form, read whole, in pieces, and by a naive reader: all must agree. The
 * first byte chooses the boundary and the size of the pieces. The rest is the
 * body, and once more the value of a Content-Type.
 */
#include <stdint.h>
#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/codec/multipart.h"
#include "tests/unit/multipart_naive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct buf log;
    size_t data_n;
    enum gw_err err;
};

static enum gw_err on_begin(void *arg, const struct multipart_part *part)
{
    struct run *r = arg;

    ASSERT(part->name.n && str_is_utf8(part->name));
    ASSERT(str_is_utf8(part->filename));
    ASSERT(str_find(part->filename, '/') < 0);
    ASSERT(str_find(part->content_type, '\n') < 0);
    r->data_n = 0;
    buf_add_c(&r->log, "[");
    log_name(&r->log, part->name);
    buf_add_c(&r->log, "|");
    log_name(&r->log, part->filename);
    buf_add_c(&r->log, "|");
    log_name(&r->log, part->content_type);
    buf_add_c(&r->log, "]");
    return GW_OK;
}

static enum gw_err on_data(void *arg, struct str data)
{
    struct run *r = arg;

    r->data_n += data.n;
    buf_add_str(&r->log, data);
    return GW_OK;
}

static enum gw_err on_end(void *arg)
{
    struct run *r = arg;

    buf_printf(&r->log, "{%zu}", r->data_n);
    return GW_OK;
}

static void parse(struct run *r, const char *boundary, struct str body,
                  size_t step)
{
    static const struct multipart_ops ops = {
        .part_begin = on_begin, .part_data = on_data, .part_end = on_end};
    struct multipart m;
    size_t used;

    *r = (struct run){.err = GW_OK};
    buf_init(&r->log, 16 * MIB);
    multipart_init(&m, boundary, &ops, r);
    for (size_t at = 0; at < body.n && r->err == GW_OK; at += used) {
        size_t n = MIN(step, body.n - at);
        char *piece = xmalloc(n);

        memcpy(piece, body.p + at, n);
        r->err = multipart_feed(&m, piece, n, &used, NULL);
        ASSERT(r->err != GW_OK || used == n);
        free(piece);
    }
    if (r->err == GW_OK)
        r->err = multipart_finish(&m, NULL);
}

static void check_boundary(struct str content_type)
{
    char out[LIMIT_BOUNDARY_BYTES + 1];

    if (multipart_boundary(content_type, out, NULL) == GW_OK)
        ASSERT(out[0] && strlen(out) <= LIMIT_BOUNDARY_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const boundaries[] = {"b", "--", "abcabc", "-----"};
    struct run whole, pieces;
    const char *boundary;
    enum verdict want;
    struct str body;
    struct buf log;

    if (!size)
        return 0;
    boundary = boundaries[data[0] % COUNTOF(boundaries)];
    body = str_make((const char *)data + 1, size - 1);
    check_boundary(body);
    parse(&whole, boundary, body, body.n);
    parse(&pieces, boundary, body, 1 + data[0] / COUNTOF(boundaries));
    ASSERT(whole.err == pieces.err);
    ASSERT(str_eq(buf_str(&whole.log), buf_str(&pieces.log)));
    buf_init(&log, 16 * MIB);
    want = naive_parse(body, boundary, &log);
    ASSERT(want == UNDECIDED || (want == VALID) == (whole.err == GW_OK));
    ASSERT(want != VALID || str_eq(buf_str(&log), buf_str(&whole.log)));
    buf_release(&log);
    buf_release(&whole.log);
    buf_release(&pieces.log);
    return 0;
}
