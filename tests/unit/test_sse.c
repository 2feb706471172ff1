#include "gateway/codec/sse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/base/bug.h"

/* What came of a stream: all bytes, and a line of text for each event. */
struct run {
    struct buf bytes, told;
    struct gw_error e;
    size_t max;
    const char *data; /* NULL: events pass as they are */
};

static void on_event(void *arg, const struct sse_event *ev)
{
    struct run *r = arg;

    if (ev->is_one_line)
        assert_true(
            str_eq(ev->data, str_make(ev->raw.p + ev->data_at, ev->data.n)));
    buf_printf(&r->told, "[%.*s|", STR_ARG(ev->name));
    if (ev->data.p)
        buf_printf(&r->told, "<%.*s>", STR_ARG(ev->data));
    buf_add_c(&r->told, "]");
    if (r->data)
        sse_write(ev, str_of(r->data), &r->bytes);
    else
        buf_add_str(&r->bytes, ev->raw);
}

static void on_rest(void *arg, struct str raw)
{
    struct run *r = arg;

    assert_true(raw.n);
    buf_add_str(&r->bytes, raw);
}

static const struct sse_ops ops = {.event = on_event, .rest = on_rest};

static void run_open(struct run *r)
{
    *r = (struct run){.max = 4096};
    buf_init(&r->bytes, MIB);
    buf_init(&r->told, MIB);
}

static void run_close(struct run *r)
{
    buf_release(&r->bytes);
    buf_release(&r->told);
}

/* A copy, exactly so large: a byte read too many is seen. */
static enum gw_err feed(struct run *r, struct sse *s, const char *p, size_t n)
{
    char *copy = xmalloc(n + !n);
    enum gw_err err;

    memcpy(copy, p, n);
    err = sse_feed(s, copy, n, &r->e);
    free(copy);
    return err;
}

/* In pieces of `step` bytes, the first of `cut`. */
static void read_cut(struct run *r, struct str text, size_t cut, size_t step)
{
    struct sse s;
    enum gw_err err;

    err_clear(&r->e);
    buf_clear(&r->bytes);
    buf_clear(&r->told);
    sse_init(&s, r->max, &ops, r);
    err = feed(r, &s, text.p, cut);
    for (size_t i = cut; i < text.n && err == GW_OK; i += step)
        err = feed(r, &s, text.p + i, MIN(step, text.n - i));
    if (err == GW_OK)
        sse_finish(&s);
    assert_int_equal(err, r->e.err);
    sse_release(&s);
}

static void check(struct run *r, struct str text, const char *told)
{
    for (size_t cut = 0; cut <= text.n; cut++)
        for (size_t step = 1; step < text.n + 2; step += 1 + step / 3) {
            read_cut(r, text, cut, step);
            assert_int_equal(r->e.err, GW_OK);
            assert_string_equal(buf_str(&r->told).p, told);
            if (!r->data)
                assert_true(str_eq(buf_str(&r->bytes), text));
        }
}

static const struct {
    const char *text, *told;
} streams[] = {
    {"", ""},
    {"data: a\n\n", "[|<a>]"},
    {"data: a\r\n\r\ndata: b\r\n\r\n", "[|<a>][|<b>]"},
    {"data: a\r\rdata: b\r\r", "[|<a>][|<b>]"},
    {"event: x\ndata:{\"a\":1}\nid: 7\n\n", "[x|<{\"a\":1}>]"},
    {"data: a\ndata:b\ndata\ndata:  c\n\n", "[|<a\nb\n\n c>]"},
    {"data: a\rdata: b\r\nevent: x\n\r\n", "[x|<a\nb>]"},
    {"event: x\nevent: y\ndata:\n\n", "[y|<>]"},
    {": a comment\n\n: and\n: more\ndata: a\n\n", "[|][|<a>]"},
    {"\n\n\r\n\r\rdata: a\n\n", "[|][|][|][|][|][|<a>]"},
    {"data: a\n\ndata: [DONE]\n\n", "[|<a>][|<[DONE]>]"},
    {"data: a\n\ndata: b\n", "[|<a>][|<b>]"},
    {"data: a\n\ndata: b", "[|<a>][|<b>]"},
    {"data: a\r\n\r\ndata: b\r", "[|<a>][|<b>]"},
    {"datas: a\ndata a\nevents: b\n Data: x\nretry: 1\n\n", "[|]"},
    {"\xef\xbb\xbf"
     "data: a\n\n\xef\xbb\xbf"
     "data: b\n\n",
     "[|<a>][|]"},
};

static void streams_are_cut_into_events_wherever_chunks_cut_them(void **state)
{
    struct run r;

    (void)state;
    for (size_t i = 0; i < COUNTOF(streams); i++) {
        run_open(&r);
        check(&r, str_of(streams[i].text), streams[i].told);
        run_close(&r);
    }
}

static void nul_bytes_are_bytes(void **state)
{
    static const char text[] = "data: a\0b\n\nda\0ta: c\n\n";
    struct run r;

    (void)state;
    run_open(&r);
    read_cut(&r, str_make(text, sizeof(text) - 1), 9, 1);
    assert_true(str_eq(buf_str(&r.bytes), str_make(text, sizeof(text) - 1)));
    run_close(&r);
}

/* How many bytes had to come before the n-th event was handed on. */
static void an_event_is_handed_on_with_its_last_byte(void **state)
{
    static const char *const ends[] = {"\n\n", "\r\n\r\n", "\r\r", "\n\r\n"};
    struct run r;
    struct sse s;
    struct buf text;

    (void)state;
    buf_init(&text, MIB);
    for (size_t i = 0; i < COUNTOF(ends); i++) {
        size_t last;

        run_open(&r);
        buf_clear(&text);
        buf_printf(&text, "data: a%s", ends[i]);
        last = text.n - (strcmp(ends[i], "\n\n") && strcmp(ends[i], "\r\r"));
        sse_init(&s, r.max, &ops, &r);
        for (size_t n = 0; n < text.n; n++) {
            /* Of CR LF the CR does: more need not come. */
            assert_int_equal(r.told.n > 0, n >= last);
            assert_int_equal(feed(&r, &s, text.p + n, 1), GW_OK);
        }
        assert_true(r.told.n > 0);
        assert_true(str_eq(buf_str(&r.bytes), buf_str(&text)));
        sse_release(&s);
        run_close(&r);
    }
    buf_release(&text);
}

static void an_event_above_the_bound_is_a_fault(void **state)
{
    static const char text[] = "data: 56789\n\ndata: 56789\r\r\ndata: 5678\n\n";
    struct run r;

    (void)state;
    run_open(&r);
    for (size_t cut = 0; cut < sizeof(text); cut++) {
        r.max = 13;
        read_cut(&r, str_of(text), cut, 1);
        assert_int_equal(r.e.err, GW_OK);
        r.max = 12;
        read_cut(&r, str_of(text), cut, 1);
        assert_int_equal(r.e.err, GW_UPSTREAM_BAD_RESPONSE);
        assert_int_equal(r.told.n, 0);
    }
    run_close(&r);
}

static void a_stream_without_an_end_of_line_is_bounded(void **state)
{
    struct run r;
    struct sse s;
    int n = 0;

    (void)state;
    run_open(&r);
    sse_init(&s, r.max, &ops, &r);
    while (feed(&r, &s, "data", 4) == GW_OK)
        n++;
    assert_int_equal(n, r.max / 4);
    assert_true(s.held.cap <= 2 * r.max);
    sse_release(&s);
    run_close(&r);
}

static const struct {
    const char *text, *data, *wanted;
} rewritten[] = {
    {"data: a\n\n", "{\"b\":1}", "data: {\"b\":1}\n\n"},
    {"event: x\r\ndata:a\r\nid: 1\r\n\r\n", "b",
     "event: x\r\ndata:b\r\nid: 1\r\n\r\n"},
    {": c\ndata: a\ndata: b\nevent: x\ndata: c\n\n", "d",
     ": c\ndata: d\nevent: x\n\n"},
    {"data: a\r\n\r\n", "{\n\"b\":1}", "data: {\r\ndata: \"b\":1}\r\n\r\n"},
    {"data: a\n\n", "", "data: \n\n"},
    {"data\n\n", "b", "data:b\n\n"},
    {"data:a\n\n", " b", "data:  b\n\n"},
    {"\xef\xbb\xbf"
     "data: a\n\n",
     "b",
     "\xef\xbb\xbf"
     "data: b\n\n"},
    {"data: a\rdata: b\n\n", "c", "data: c\r\n\n"},
    {"data: a\nid: 1\rdata: b\n\n", "c", "data: c\nid: 1\r\n\n"},
    {": a\nid: 1\n\n", "b", ": a\nid: 1\n\n"},
};

static void an_event_is_written_anew_with_other_data(void **state)
{
    struct run r;

    (void)state;
    for (size_t i = 0; i < COUNTOF(rewritten); i++) {
        run_open(&r);
        r.data = rewritten[i].data;
        for (size_t cut = 0; cut <= strlen(rewritten[i].text); cut++) {
            read_cut(&r, str_of(rewritten[i].text), cut, MIB);
            assert_string_equal(r.bytes.p, rewritten[i].wanted);
        }
        run_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_cut_into_events_wherever_chunks_cut_them),
        cmocka_unit_test(nul_bytes_are_bytes),
        cmocka_unit_test(an_event_is_handed_on_with_its_last_byte),
        cmocka_unit_test(an_event_above_the_bound_is_a_fault),
        cmocka_unit_test(a_stream_without_an_end_of_line_is_bounded),
        cmocka_unit_test(an_event_is_written_anew_with_other_data),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
