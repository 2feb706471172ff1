/* test_client_call.c -- what flows: uploads, downloads, holding and going on,
 * early answers, deadlines, aborts at every stage. */
#include <poll.h>
#include <stdatomic.h>

#include "tests/unit/client_fixture.h"

/* --- uploads --- */

static void upload_whole(uint64_t n, bool is_sized, size_t piece, int64_t tick)
{
    struct fixture *f = open_fixture(serve_ok, NULL);
    struct exchange *x = prepare_upload(f, n, is_sized ? (int64_t)n : -1);
    struct metric_series *out =
        metrics_get(f->m, METRIC_UP_BYTES_OUT, "p", NULL, NULL);

    x->feed.piece = piece;
    x->feed.tick_ms = tick;
    x->o.bytes_out = out;
    /* the source's time is not the provider's */
    x->o.timeout_ms = tick ? tick / 2 : 10000;
    start(x);
    run(f);
    assert_ok(x, 200);
    assert_int_equal(f->s->ncomplete, 1);
    assert_int_equal(f->s->body_bytes, n + FORM_BYTES);
    assert_true(f->s->body_hash == form_hash(n));
    assert_int_equal(x->sent, n);
    if (is_sized)
        assert_null(strstr(f->s->head, "Transfer-Encoding"));
    else
        assert_null(strstr(f->s->head, "Content-Length"));
    close_fixture(f);
}

static void sized_uploads_arrive_whole(void **state)
{
    (void)state;
    upload_whole(0, true, 0, 0);
    upload_whole(1, true, 0, 0);
    upload_whole(5000, true, 1, 0);
    upload_whole(LIMIT_RETRY_BODY, true, 7777, 0);
    upload_whole(3 * MIB + 17, true, 100001, 0);
    upload_whole(BIG, true, 0, 0);
}

static void chunked_uploads_arrive_whole(void **state)
{
    (void)state;
    upload_whole(0, false, 0, 0);
    upload_whole(1, false, 0, 0);
    upload_whole(5000, false, 1, 0);
    upload_whole(3 * MIB + 17, false, 100001, 0);
    upload_whole(BIG, false, 0, 0);
}

/* Parts of uploads are sent from memory. */
static void large_memory_is_sent_from_where_it_is(void **state)
{
    struct fixture *f = open_fixture(serve_ok, NULL);
    struct exchange *x = prepare(f, "PUT");
    char *p = xmalloc(3 * MIB);

    (void)state;
    pattern_fill(p, 3 * MIB, 0);
    http_req_add_mem(&x->req, str_make(p, 3 * MIB));
    start(x);
    run(f);
    assert_ok(x, 200);
    assert_int_equal(f->s->body_bytes, 3 * MIB);
    assert_int_equal(f->s->body_hash, pattern_hash(3 * MIB));
    close_fixture(f);
    free(p);
}

static void a_slow_source_is_waited_for(void **state)
{
    (void)state;
    upload_whole(30, true, 10, 400);
    upload_whole(30, false, 10, 400);
}

static void fail_upload(uint64_t n, int64_t announced, enum gw_err error,
                        enum gw_err expected)
{
    struct fixture *f = open_fixture(serve_ok, NULL);
    struct exchange *x = prepare_upload(f, n, announced);

    x->feed.error.err = error;
    start(x);
    run(f);
    assert_failed(x, expected);
    assert_int_equal(x->status, 0);
    run_a_turn(f);
    /* Whatever was sent, the provider cannot have taken it for a file. */
    assert_int_equal(f->s->ncomplete, 0);
    close_fixture(f);
}

static void a_bad_source_never_completes_a_request(void **state)
{
    (void)state;
    /* too short, too long, failing: at the end, and in the middle */
    fail_upload(999, 1000, GW_OK, GW_INTERNAL);
    fail_upload(1001, 1000, GW_OK, GW_INTERNAL);
    fail_upload(3000000, 1000000, GW_OK, GW_INTERNAL);
    fail_upload(1000, 1000, GW_INVALID_MULTIPART, GW_INVALID_MULTIPART);
    fail_upload(500, 1000, GW_CLIENT_GONE, GW_CLIENT_GONE);
    fail_upload(BIG / 2, (int64_t)BIG, GW_CLIENT_GONE, GW_CLIENT_GONE);
    fail_upload(1000000, -1, GW_INVALID_MULTIPART, GW_INVALID_MULTIPART);
}

static void a_raw_body_ends_with_its_stream(void **state)
{
    struct fixture *f = open_fixture(serve_ok, NULL);
    struct exchange *good = prepare(f, "PUT"), *bad = prepare(f, "PUT");

    (void)state;
    good->feed.total = bad->feed.total = 100000;
    bad->feed.error.err = GW_INVALID_MULTIPART;
    feed_open(&good->feed, f->l);
    feed_open(&bad->feed, f->l);
    http_req_add_stream(&good->req, 100000);
    http_req_add_stream(&bad->req, 100000);
    start(good);
    run(f);
    start(bad);
    run(f);
    assert_ok(good, 200);
    assert_failed(bad, GW_INVALID_MULTIPART);
    assert_int_equal(f->s->ncomplete, 1);
    close_fixture(f);
}

/* --- early answers --- */

struct early {
    uint64_t after; /* body bytes read before the answer */
    const char *answer;
    bool resets;
};

static void serve_early(struct fake_conn *c)
{
    const struct early *e = c->server->arg;

    if (!fake_read_head(c) || !fake_take(c, e->after))
        return;
    fake_send(c, e->answer);
    if (e->resets)
        return; /* with unread bytes: the kernel resets */
    shutdown(c->fd, SHUT_WR);
    fake_read_body(c);
}

#define REFUSAL(fields)                                                        \
    "HTTP/1.1 413 Too Large\r\n" fields "Content-Length: 3\r\n\r\nbig"

static void refuse_upload(struct early e, int64_t announced, bool is_silent)
{
    struct fixture *f = open_fixture(serve_early, &e);
    struct exchange *x = prepare_upload(f, BIG, announced);

    if (is_silent) {
        x->feed.total = e.after;
        x->feed.never_ends = true;
    }
    start(x);
    run(f);
    assert_ok(x, 413);
    assert_string_equal(x->body.p, "big");
    assert_int_equal(pipe_outcome(x->feed.p), PIPE_OPEN);
    close_fixture(f);
}

static void an_early_refusal_is_the_answer(void **state)
{
    struct early e = {100000, REFUSAL(""), false};
    struct early closing = {100000, REFUSAL("Connection: close\r\n"), false};
    struct early resetting = {100000, REFUSAL(""), true};
    int i;

    (void)state;
    refuse_upload(e, BIG, false);
    refuse_upload(e, -1, false);
    refuse_upload(e, BIG, true);
    refuse_upload(closing, BIG, false);
    refuse_upload(closing, BIG, true);
    refuse_upload(closing, -1, true);
    for (i = 0; i < 20; i++)
        refuse_upload(resetting, i % 2 ? (int64_t)BIG : -1, false);
}

/* A provider that answers, and resets the connection, while the client's third
 * send is under way: each of the two threads waits for the other. */
static pthread_t sender;
static atomic_int nsends = -1; /* -1: sends are left alone */

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    struct pollfd reset = {.fd = fd};

    if (nsends >= 0 && pthread_equal(pthread_self(), sender) && ++nsends == 3)
        poll(&reset, 1, 10000);
    return sendto(fd, p, n, flags, NULL, 0);
}

static void serve_into_a_send(struct fake_conn *c)
{
    const struct early *e = c->server->arg;

    if (!fake_read_head(c))
        return;
    while (nsends < 3)
        usleep(1000);
    fake_send(c, e->answer);
}

static void refuse_a_send(const char *answer, int64_t announced, int status,
                          const char *body)
{
    struct early e = {.answer = answer};
    struct fixture *f = open_fixture(serve_into_a_send, &e);
    struct exchange *x = prepare_upload(f, BIG, announced);

    sender = pthread_self();
    nsends = 0;
    start(x);
    run(f);
    nsends = -1;
    if (status) {
        assert_ok(x, status);
        assert_string_equal(x->body.p, body);
    } else {
        assert_failed(x, GW_UPSTREAM_BROKEN);
    }
    close_fixture(f);
}

static void an_answer_survives_a_failed_send(void **state)
{
    (void)state;
    refuse_a_send(REFUSAL(""), BIG, 413, "big");
    refuse_a_send(REFUSAL(""), -1, 413, "big");
    refuse_a_send("HTTP/1.1 100 Continue\r\n\r\n" REFUSAL(""), BIG, 413, "big");
    refuse_a_send("HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "2\r\nwh\r\n1\r\no\r\n0\r\n\r\n",
                  BIG, 401, "who");
    refuse_a_send("HTTP/1.1 500 Oh\r\n\r\noops", BIG, 500, "oops");
    /* no answer at all, half a head, and a success that cannot be one */
    refuse_a_send("", BIG, 0, NULL);
    refuse_a_send("HTTP/1.1 413 Too Large\r\nContent-", BIG, 0, NULL);
    refuse_a_send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", BIG, 0, NULL);
}

static void serve_early_ok(struct fake_conn *c)
{
    if (fake_read_head(c) && fake_take(c, 1000) &&
        fake_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        fake_read_body(c);
    fake_read_head(c);
}

static void an_early_success_does_not_stop_the_upload(void **state)
{
    struct fixture *f = open_fixture(serve_early_ok, NULL);
    struct exchange *x = prepare_upload(f, BIG, BIG);

    (void)state;
    start(x);
    run(f);
    assert_ok(x, 200);
    assert_string_equal(x->body.p, "ok");
    assert_int_equal(x->sent, BIG);
    close_fixture(f);
}

static void serve_premature_ok(struct fake_conn *c)
{
    if (fake_read_head(c) && fake_take(c, 1000))
        fake_send(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                     "Content-Length: 2\r\n\r\nok");
    shutdown(c->fd, SHUT_WR);
    fake_read_body(c);
}

static void a_success_without_the_whole_body_is_none(void **state)
{
    struct fixture *f = open_fixture(serve_premature_ok, NULL);
    struct exchange *x = prepare_upload(f, 2 * BIG, 2 * BIG);

    (void)state;
    start(x);
    run(f);
    assert_failed(x, GW_UPSTREAM_BROKEN);
    close_fixture(f);
}

/* --- downloads --- */

static void download_whole(struct download d)
{
    struct fixture *f = open_fixture(serve_download, &d);
    struct exchange *x = prepare_download(f);

    x->o.bytes_in = metrics_get(f->m, METRIC_UP_BYTES_IN, "p", NULL, NULL);
    start(x);
    run(f);
    assert_ok(x, d.status);
    assert_int_equal(x->drain.n, d.n);
    assert_true(x->drain.hash == pattern_hash(d.n));
    assert_int_equal(pipe_outcome(x->drain.p), PIPE_END);
    assert_int_equal(x->body.n, 0);
    close_fixture(f);
}

static void downloads_arrive_whole(void **state)
{
    (void)state;
    download_whole((struct download){1, 1, 200});
    download_whole((struct download){16385, 16385, 206});
    download_whole((struct download){BIG, BIG, 200});
    download_whole((struct download){BIG, 0, 200});
}

static void a_slow_reader_bounds_what_is_held(void **state)
{
    struct download d = {BIG, BIG, 200};
    struct fixture *f = open_fixture(serve_download, &d);
    struct exchange *x = prepare_download(f);

    (void)state;
    x->drain.per_tick = 60000;
    x->drain.tick_ms = 1;
    start(x);
    run(f);
    assert_ok(x, 200);
    loop_timer_set(&f->guard, PATIENCE_MS);
    while (!x->drain.has_ended)
        run_a_turn(f);
    assert_true(x->drain.hash == pattern_hash(BIG));
    assert_true(x->drain.max_level > LIMIT_PIPE_LOW);
    assert_true(x->drain.max_level < LIMIT_PIPE_HIGH + LIMIT_GATHER_BYTES);
    close_fixture(f);
}

static void a_reader_slower_than_the_deadline_is_waited_for(void **state)
{
    struct download d = {2 * MIB, 2 * MIB, 200};
    struct fixture *f = open_fixture(serve_download, &d);
    struct exchange *x = prepare_download(f);

    (void)state;
    x->drain.per_tick = 65536;
    x->drain.tick_ms = 60; /* from high to low in six */
    x->o.timeout_ms = 200;
    start(x);
    run(f);
    assert_ok(x, 200);
    close_fixture(f);
}

static void a_download_that_ends_early_is_broken(void **state)
{
    struct download d = {3 * MIB, BIG, 200};
    struct fixture *f = open_fixture(serve_download, &d);
    struct exchange *x = prepare_download(f);

    (void)state;
    start(x);
    run(f);
    assert_failed(x, GW_UPSTREAM_BROKEN);
    assert_int_equal(x->status, 200);
    assert_int_equal(x->nheads, 1);
    assert_int_equal(pipe_outcome(x->drain.p), PIPE_ERROR);
    assert_int_equal(pipe_error(x->drain.p)->err, GW_UPSTREAM_BROKEN);
    close_fixture(f);
}

static void other_answers_do_not_go_to_the_sink(void **state)
{
    struct download d = {50, 50, 404};
    struct fixture *f = open_fixture(serve_download, &d);
    struct exchange *x = prepare_download(f);

    (void)state;
    start(x);
    run(f);
    assert_ok(x, 404);
    assert_int_equal(x->body.n, 50);
    assert_int_equal(x->drain.n, 0);
    assert_int_equal(pipe_outcome(x->drain.p), PIPE_OPEN);
    close_fixture(f);
}

static void give_up_reading(void *arg)
{
    struct exchange *x = arg;

    if (x->drain.n > MIB)
        pipe_cancel(x->drain.p);
}

static void a_reader_that_gives_up_ends_the_call(void **state)
{
    struct download d = {BIG, BIG, 200};
    struct fixture *f = open_fixture(serve_download, &d);
    struct exchange *x = prepare_download(f);

    (void)state;
    x->drain.on_bytes = give_up_reading;
    x->drain.arg = x;
    start(x);
    run(f);
    assert_failed(x, GW_CLIENT_GONE);
    assert_true(x->drain.n < BIG);
    close_fixture(f);
}

/* --- deadlines --- */

static void serve_silence(struct fake_conn *c)
{
    if (fake_read_head(c))
        fake_take(c, UINT64_MAX); /* until the client goes */
}

static void serve_stuck_upload(struct fake_conn *c)
{
    if (fake_read_head(c))
        while (!fake_is_closing(c))
            usleep(1000);
}

static void serve_stuck_download(struct fake_conn *c)
{
    if (fake_read_head(c) &&
        fake_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nstart"))
        fake_read_head(c);
}

static void a_provider_that_stops_is_timed_out(void **state)
{
    struct fixture *f;
    struct exchange *x;

    (void)state;
    f = open_fixture(serve_silence, NULL);
    x = prepare(f, "GET");
    x->o.timeout_ms = 100;
    start(x);
    run(f);
    assert_failed(x, GW_UPSTREAM_TIMEOUT);
    close_fixture(f);

    f = open_fixture(serve_silence, NULL);
    x = prepare_upload(f, 1000, 1000);
    x->o.timeout_ms = 100;
    start(x);
    run(f);
    assert_failed(x, GW_UPSTREAM_TIMEOUT);
    close_fixture(f);

    f = open_fixture(serve_stuck_download, NULL);
    x = prepare_download(f);
    x->o.timeout_ms = 100;
    start(x);
    run(f);
    assert_failed(x, GW_UPSTREAM_TIMEOUT);
    assert_int_equal(pipe_outcome(x->drain.p), PIPE_ERROR);
    assert_int_equal(pipe_error(x->drain.p)->err, GW_UPSTREAM_TIMEOUT);
    close_fixture(f);
}

static void a_provider_that_does_not_read_is_timed_out(void **state)
{
    struct fixture *f = open_fixture(serve_stuck_upload, NULL);
    struct exchange *x = prepare_upload(f, BIG, BIG);

    (void)state;
    x->o.timeout_ms = 200;
    start(x);
    run(f);
    assert_failed(x, GW_UPSTREAM_TIMEOUT);
    assert_true(x->sent < BIG);
    close_fixture(f);
}

static void a_reader_that_is_gone_at_the_start_ends_the_call(void **state)
{
    struct fixture *f = open_fixture(serve_silence, NULL);
    struct exchange *x = prepare_download(f);

    (void)state;
    x->o.timeout_ms = PATIENCE_MS;
    pipe_cancel(x->drain.p);
    start(x);
    run(f);
    assert_failed(x, GW_CLIENT_GONE);
    close_fixture(f);
}

/* --- aborts --- */

static void abort_call(struct exchange *x)
{
    struct client_call *k = x->k;

    x->k = NULL;
    if (!k)
        return;
    client_call_abort(k);
    x->f->nrunning--;
    loop_stop(x->f->l);
}

/* Nothing may come after an abort; the pipes may go at once. */
static void expect_silence(struct fixture *f, struct exchange *x)
{
    int i, heads = x->nheads;

    if (x->feed.p)
        feed_close(&x->feed);
    if (x->drain.p)
        drain_close(&x->drain);
    arena_free(x->a);
    x->a = NULL;
    memset(&x->req, 0xff, sizeof(x->req));
    for (i = 0; i < 5; i++)
        run_a_turn(f);
    assert_int_equal(x->ndone, 0);
    assert_int_equal(x->nheads, heads);
}

static void abort_after(struct fixture *f, struct exchange *x, int turns)
{
    start(x);
    while (turns-- > 0 && x->k)
        run_a_turn(f);
    if (!x->k)
        return;
    abort_call(x);
    expect_silence(f, x);
}

static void a_call_may_be_aborted_in_any_turn(void **state)
{
    struct download d = {BIG, BIG, 200};
    struct fixture *f;
    int turns;

    (void)state;
    f = open_fixture(serve_ok, NULL);
    for (turns = 0; turns < 40; turns++)
        abort_after(f, prepare_upload(f, BIG, turns % 2 ? (int64_t)BIG : -1),
                    turns);
    close_fixture(f);
    f = open_fixture(serve_download, &d);
    for (turns = 0; turns < 40; turns++)
        abort_after(f, prepare_download(f), turns);
    close_fixture(f);
}

static void abort_there(void *arg)
{
    abort_call(arg);
}

static void a_call_may_be_aborted_by_its_sinks_reader(void **state)
{
    struct download d = {BIG, BIG, 200};
    struct fixture *f = open_fixture(serve_download, &d);
    struct exchange *x = prepare_download(f);

    (void)state;
    x->drain.on_bytes = abort_there;
    x->drain.arg = x;
    start(x);
    run(f);
    assert_int_equal(x->nheads, 1);
    expect_silence(f, x);
    close_fixture(f);
}

static void a_call_may_be_aborted_when_its_sink_ends(void **state)
{
    struct download d = {1000, 1000, 200};
    struct fixture *f = open_fixture(serve_download, &d);
    struct exchange *x = prepare_download(f);

    (void)state;
    x->drain.on_end = abort_there;
    x->drain.arg = x;
    start(x);
    run(f);
    assert_int_equal(x->drain.n, 1000);
    expect_silence(f, x);
    close_fixture(f);
}

static void a_call_may_be_aborted_in_head(void **state)
{
    struct download d = {BIG, BIG, 200};
    struct fixture *f = open_fixture(serve_download, &d);
    struct exchange *x = prepare_download(f);

    (void)state;
    f->on_head = abort_call;
    start(x);
    run(f);
    assert_int_equal(x->drain.n, 0);
    expect_silence(f, x);
    close_fixture(f);
}

static size_t abort_in_pull(void *arg, char *buf, size_t cap)
{
    struct exchange *x = arg;

    (void)buf;
    (void)cap;
    abort_call(x);
    return 0;
}

static void a_call_may_be_aborted_by_its_source(void **state)
{
    static const struct pipe_writer_ops ops = {.pull = abort_in_pull};
    struct fixture *f = open_fixture(serve_ok, NULL);
    struct exchange *x = prepare_upload(f, BIG, BIG);

    (void)state;
    pipe_set_writer(x->feed.p, &ops, x);
    start(x);
    run(f);
    expect_silence(f, x);
    close_fixture(f);
}

static void abort_the_other(struct exchange *x)
{
    struct exchange *y = &x->f->x[x == &x->f->x[0]];

    if (y->k) {
        client_call_abort(y->k);
        y->k = NULL;
        x->f->nrunning--;
    }
}

static void a_call_may_be_aborted_when_another_is_done(void **state)
{
    struct fixture *f = open_fixture(serve_ok, NULL);

    (void)state;
    f->on_done = abort_the_other;
    start(prepare(f, "GET"));
    start(prepare(f, "GET"));
    run(f);
    assert_int_equal(f->x[0].ndone + f->x[1].ndone, 1);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sized_uploads_arrive_whole),
        cmocka_unit_test(chunked_uploads_arrive_whole),
        cmocka_unit_test(large_memory_is_sent_from_where_it_is),
        cmocka_unit_test(a_slow_source_is_waited_for),
        cmocka_unit_test(a_bad_source_never_completes_a_request),
        cmocka_unit_test(a_raw_body_ends_with_its_stream),
        cmocka_unit_test(an_early_refusal_is_the_answer),
        cmocka_unit_test(an_answer_survives_a_failed_send),
        cmocka_unit_test(an_early_success_does_not_stop_the_upload),
        cmocka_unit_test(a_success_without_the_whole_body_is_none),
        cmocka_unit_test(downloads_arrive_whole),
        cmocka_unit_test(a_slow_reader_bounds_what_is_held),
        cmocka_unit_test(a_reader_slower_than_the_deadline_is_waited_for),
        cmocka_unit_test(a_download_that_ends_early_is_broken),
        cmocka_unit_test(other_answers_do_not_go_to_the_sink),
        cmocka_unit_test(a_reader_that_gives_up_ends_the_call),
        cmocka_unit_test(a_reader_that_is_gone_at_the_start_ends_the_call),
        cmocka_unit_test(a_provider_that_stops_is_timed_out),
        cmocka_unit_test(a_provider_that_does_not_read_is_timed_out),
        cmocka_unit_test(a_call_may_be_aborted_in_any_turn),
        cmocka_unit_test(a_call_may_be_aborted_by_its_sinks_reader),
        cmocka_unit_test(a_call_may_be_aborted_when_its_sink_ends),
        cmocka_unit_test(a_call_may_be_aborted_in_head),
        cmocka_unit_test(a_call_may_be_aborted_by_its_source),
        cmocka_unit_test(a_call_may_be_aborted_when_another_is_done),
    };

    signal(SIGPIPE, SIG_IGN); /* the fake provider's TLS */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
