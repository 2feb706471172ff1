/* multipart_run.h -- parses a body whole and in pieces, and logs what comes
 * out.
 *
 * Pieces stand in memory of exactly their size, so that the sanitizer sees a
 * byte read too many. The log is that of multipart_naive.h; {length} is missing
 * for a part without end. For cmocka tests.
 */
#ifndef FILEMUX_TESTS_UNIT_MULTIPART_RUN_H
#define FILEMUX_TESTS_UNIT_MULTIPART_RUN_H

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/codec/multipart.h"
#include "tests/unit/multipart_naive.h"

struct run {
    struct buf log;
    size_t data_n; /* of the part that is open */
    size_t begun, ended;
    enum gw_err err, finish;
    size_t used;
    /* what to do on the way */
    struct multipart *pausing; /* paused at each part_begin */
    enum gw_err fail_begin, fail_data, fail_end;
};

static enum gw_err on_begin(void *arg, const struct multipart_part *part)
{
    struct run *r = arg;

    assert_int_equal(r->begun, r->ended);
    r->begun++;
    r->data_n = 0;
    buf_add_c(&r->log, "[");
    log_name(&r->log, part->name);
    buf_add_c(&r->log, "|");
    log_name(&r->log, part->filename);
    buf_add_c(&r->log, "|");
    log_name(&r->log, part->content_type);
    buf_add_c(&r->log, "]");
    if (r->pausing)
        multipart_pause(r->pausing);
    return r->fail_begin;
}

static enum gw_err on_data(void *arg, struct str data)
{
    struct run *r = arg;

    assert_int_equal(r->begun, r->ended + 1);
    assert_true(data.n > 0);
    r->data_n += data.n;
    buf_add_str(&r->log, data);
    return r->fail_data;
}

static enum gw_err on_end(void *arg)
{
    struct run *r = arg;

    assert_int_equal(r->begun, r->ended + 1);
    r->ended++;
    buf_printf(&r->log, "{%zu}", r->data_n);
    return r->fail_end;
}

static const struct multipart_ops ops = {
    .part_begin = on_begin, .part_data = on_data, .part_end = on_end};

static struct multipart parser;

/* Feeds text in pieces: the first of `first` bytes, all others of `step`. */
static void parse(struct run *r, const char *boundary, struct str text,
                  size_t first, size_t step)
{
    struct gw_error e = {0};

    memset(&parser, 0xa5, sizeof(parser));
    *r = (struct run){.err = GW_OK};
    buf_init(&r->log, 4 * MIB);
    multipart_init(&parser, boundary, &ops, r);
    while (r->used < text.n && r->err == GW_OK) {
        size_t n = MIN(r->used || !first ? step : first, text.n - r->used);
        char *piece = xmalloc(n);
        size_t used;

        memcpy(piece, text.p + r->used, n);
        r->err = multipart_feed(&parser, piece, n, &used, &e);
        free(piece);
        assert_true(r->err != GW_OK || used == n);
        r->used += used;
        assert_int_equal(parser.consumed, r->used);
    }
    assert_int_equal(e.err, r->err);
    r->finish = multipart_finish(&parser, NULL);
    assert_int_equal(r->finish == GW_OK,
                     r->err == GW_OK && multipart_is_done(&parser));
}

static void assert_same(const struct run *a, const struct run *b)
{
    assert_int_equal(a->err, b->err);
    assert_int_equal(a->finish, b->finish);
    assert_int_equal(a->used, b->used);
    assert_int_equal(a->log.n, b->log.n);
    if (a->log.n)
        assert_memory_equal(a->log.p, b->log.p, a->log.n);
}

/* Whole, byte by byte, and cut at every place: always the same. The result is
 * that of the whole; its log is the caller's. */
static struct run parse_in_all_ways(const char *boundary, struct str text)
{
    struct run whole, pieces;

    parse(&whole, boundary, text, 0, text.n);
    for (size_t cut = 0; cut < text.n; cut++) {
        parse(&pieces, boundary, text, cut, cut ? text.n : 1);
        assert_same(&whole, &pieces);
        buf_release(&pieces.log);
    }
    return whole;
}

#endif
