/* test_http_client.c -- requests as they should be framed, answers as providers
 * break them, connections kept alive, TLS. */
#include "tests/unit/client_fixture.h"

/* --- plain exchanges --- */

static void an_answer_is_collected_with_its_head(void **state)
{
    struct fixture *f = open_fixture(serve_ok, NULL);
    struct exchange *x = prepare(f, "GET");

    (void)state;
    http_fields_add(&x->req.fields, x->a, STR("X-Empty"), STR(""));
    http_fields_add(&x->req.fields, x->a, STR("Authorization"),
                    STR("Bearer k"));
    start(x);
    assert_int_equal(x->ndone, 0); /* never from inside */
    run(f);
    assert_ok(x, 200);
    assert_string_equal(x->body.p, "{\"a\":1}");
    assert_string_equal(x->type, "application/json");
    assert_non_null(strstr(f->s->head, "GET /v1/x HTTP/1.1\r\n"));
    assert_non_null(strstr(f->s->head, "\r\nAuthorization: Bearer k\r\n"));
    assert_non_null(strstr(f->s->head, "\r\nX-Empty:\r\n"));
    assert_null(strstr(f->s->head, "Content-Length"));
    close_fixture(f);
}

static void send_and_expect(const char *method, const char *body,
                            const char *length)
{
    struct fixture *f = open_fixture(serve_ok, NULL);
    struct exchange *x = prepare(f, method);

    if (body)
        http_req_add_mem(&x->req, str_of(body));
    start(x);
    run(f);
    assert_ok(x, 200);
    assert_memory_equal(f->s->head, method, strlen(method));
    if (length)
        assert_non_null(strstr(f->s->head, length));
    else
        assert_null(strstr(f->s->head, "Content-Length"));
    assert_null(strstr(f->s->head, "Content-Type"));
    assert_null(strstr(f->s->head, "Expect"));
    assert_true(f->s->body_hash == hash_of(body ? body : ""));
    close_fixture(f);
}

static void methods_are_framed_as_they_should(void **state)
{
    (void)state;
    send_and_expect("DELETE", NULL, NULL);
    send_and_expect("POST", NULL, "\r\nContent-Length: 0\r\n");
    send_and_expect("PUT", NULL, "\r\nContent-Length: 0\r\n");
    send_and_expect("POST", "{\"purpose\":\"batch\"}",
                    "\r\nContent-Length: 19\r\n");
    send_and_expect("PATCH", "x", "\r\nContent-Length: 1\r\n");
}

static void serve_head(struct fake_conn *c)
{
    if (fake_read_head(c))
        fake_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    fake_read_head(c);
}

static void the_answer_to_head_has_no_body(void **state)
{
    struct fixture *f = open_fixture(serve_head, NULL);
    struct exchange *x = prepare(f, "HEAD");

    (void)state;
    start(x);
    run(f);
    assert_ok(x, 200);
    assert_int_equal(x->body.n, 0);
    close_fixture(f);
}

static void serve_interim(struct fake_conn *c)
{
    if (fake_read_head(c) && fake_read_body(c))
        fake_send(c, "HTTP/1.1 100 Continue\r\nX-A: no\r\n\r\n"
                     "HTTP/1.1 103 Early Hints\r\nContent-Type: no/no\r\n\r\n"
                     "HTTP/1.1 201 Created\r\nContent-Type: yes/yes\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n"
                     "2\r\nhi\r\n0\r\nX-Trailer: 1\r\n\r\n");
}

static void interim_answers_and_trailers_are_not_shown(void **state)
{
    struct fixture *f = open_fixture(serve_interim, NULL);
    struct exchange *x = prepare_upload(f, 10, 10);

    (void)state;
    start(x);
    run(f);
    assert_ok(x, 201);
    assert_string_equal(x->type, "yes/yes");
    assert_string_equal(x->body.p, "hi");
    close_fixture(f);
}

static void serve_endless_error(struct fake_conn *c)
{
    if (fake_read_head(c) && fake_read_body(c) &&
        fake_send(c, "HTTP/1.1 500 Oops\r\n\r\n"))
        fake_send_pattern(c, UINT64_MAX);
}

static void a_collected_body_is_cut_at_the_bound(void **state)
{
    struct fixture *f = open_fixture(serve_endless_error, NULL);
    struct exchange *x = prepare(f, "GET");

    (void)state;
    start(x);
    run(f);
    assert_ok(x, 500);
    assert_true(x->was_cut);
    assert_in_range(x->body.n, LIMIT_UPSTREAM_REPLY_BYTES / 2,
                    LIMIT_UPSTREAM_REPLY_BYTES);
    close_fixture(f);
}

static void connections_are_used_again(void **state)
{
    struct fixture *f = open_fixture(serve_ok, NULL);
    int i;

    (void)state;
    for (i = 0; i < 5; i++) {
        start(i % 2 ? prepare(f, "GET") : prepare_upload(f, 1000, 1000));
        run(f);
        assert_ok(&f->x[i], 200);
    }
    assert_int_equal(f->s->nconns, 1);
    close_fixture(f);
}

static void start_another(struct exchange *x)
{
    if (x->f->nx < 10)
        start(prepare(x->f, "GET"));
}

static void a_call_may_be_started_when_another_is_done(void **state)
{
    struct fixture *f = open_fixture(serve_ok, NULL);
    int i;

    (void)state;
    f->on_done = start_another;
    start(prepare(f, "GET"));
    run(f);
    for (i = 0; i < 10; i++)
        assert_ok(&f->x[i], 200);
    close_fixture(f);
}

/* --- broken providers --- */

static void serve_reset(struct fake_conn *c)
{
    if (fake_read_head(c) && fake_take(c, 300000))
        fake_reset(c);
}

static void a_reset_during_the_upload_is_broken(void **state)
{
    struct fixture *f = open_fixture(serve_reset, NULL);
    struct exchange *x = prepare_upload(f, BIG, BIG);

    (void)state;
    start(x);
    run(f);
    assert_failed(x, GW_UPSTREAM_BROKEN);
    assert_int_equal(x->status, 0);
    assert_int_equal(f->s->nconns, 1); /* it was not tried again */
    assert_true(x->sent > 0 && x->sent < BIG);
    close_fixture(f);
}

static void serve_text(struct fake_conn *c)
{
    if (fake_read_head(c) && fake_read_body(c))
        fake_send(c, c->server->arg);
    fake_read_head(c);
}

static void answer_with(const char *text, enum gw_err expected)
{
    struct fixture *f = open_fixture(serve_text, (void *)(uintptr_t)text);
    struct exchange *x = prepare(f, "GET");

    start(x);
    run(f);
    assert_failed(x, expected);
    close_fixture(f);
}

static void nonsense_is_a_bad_response(void **state)
{
    static const char *const texts[] = {
        "garbage\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 2xx OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nSpace : x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(texts); i++)
        answer_with(texts[i], GW_UPSTREAM_BAD_RESPONSE);
}

static void serve_many_fields(struct fake_conn *c)
{
    char field[200];
    int i, n = *(int *)c->server->arg;

    if (!fake_read_head(c) || !fake_send(c, "HTTP/1.1 200 OK\r\n"))
        return;
    for (i = 0; i < n; i++) {
        snprintf(field, sizeof(field), "X-%d: %0150d\r\n", i, i);
        if (!fake_send(c, field))
            return;
    }
    fake_send(c, "Content-Length: 0\r\n\r\n");
    fake_read_head(c);
}

static void heads_are_bounded(void **state)
{
    int n, counts[] = {LIMIT_HEAD_FIELDS - 1, LIMIT_HEAD_FIELDS, 100000};
    struct fixture *f;

    (void)state;
    for (n = 0; n < 3; n++) {
        f = open_fixture(serve_many_fields, &counts[n]);
        start(prepare(f, "GET"));
        run(f);
        if (n == 0)
            assert_ok(&f->x[0], 200);
        else
            assert_failed(&f->x[0], GW_UPSTREAM_BAD_RESPONSE);
        close_fixture(f);
    }
}

static void serve_hang_up(struct fake_conn *c)
{
    fake_read_head(c);
}

static void no_answer_at_all_is_broken(void **state)
{
    struct fixture *f = open_fixture(serve_hang_up, NULL);
    struct exchange *x = prepare(f, "GET");

    (void)state;
    start(x);
    run(f);
    assert_failed(x, GW_UPSTREAM_BROKEN);
    close_fixture(f);
}

static void private_networks_may_be_barred(void **state)
{
    struct fixture *f = open_fixture(serve_ok, NULL);
    struct exchange *barred = prepare(f, "GET"), *open = prepare(f, "GET");

    (void)state;
    barred->o.public_only = true;
    start(barred);
    start(open);
    run(f);
    assert_failed(barred, GW_UPSTREAM_BAD_RESPONSE);
    assert_ok(open, 200);
    assert_int_equal(f->s->nrequests, 1);
    close_fixture(f);
}

static void what_cannot_be_reached_says_so(void **state)
{
    struct fixture *f = open_fixture(serve_ok, NULL);
    struct exchange *x = prepare_upload(f, 1000, 1000);
    struct exchange *y = prepare(f, "GET");
    struct exchange *z = prepare(f, "GET");

    (void)state;
    x->req.url = STR("http://127.0.0.1:1/secret?key=sk-secret");
    y->req.url = STR("gopher://127.0.0.1/");
    z->o.proxy = "http://127.0.0.1:1";
    start(x);
    start(y);
    start(z);
    run(f);
    assert_failed(x, GW_UPSTREAM_UNREACHABLE);
    assert_string_equal(x->error.message, "cannot connect to the provider");
    assert_int_equal(x->sent, 0);
    assert_int_equal(x->nheads, 0);
    assert_int_equal(pipe_outcome(x->feed.p), PIPE_OPEN);
    assert_failed(y, GW_INTERNAL);
    assert_failed(z, GW_UPSTREAM_UNREACHABLE);
    assert_int_equal(f->s->nconns, 0);
    close_fixture(f);
}

/* --- connections that the provider closed while they were idle --- */

/* Answers the first request of the first connection, then waits for the next
 * head and resets: what a client meets whose request crossed the close. */
static void serve_stale(struct fake_conn *c)
{
    if (c->number > 1) {
        serve_ok(c);
        return;
    }
    if (!fake_read_head(c) || !fake_read_body(c))
        return;
    fake_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    fake_read_head(c);
    fake_reset(c);
}

static void meet_stale(struct exchange *(*make)(struct fixture *f),
                       uint64_t hash)
{
    struct fixture *f = open_fixture(serve_stale, NULL);
    struct exchange *x;

    start(prepare(f, "GET"));
    run(f);
    assert_ok(&f->x[0], 200);
    x = make(f);
    start(x);
    run(f);
    assert_ok(x, 200);
    assert_int_equal(f->s->nconns, 2);
    assert_true(f->s->body_hash == hash);
    close_fixture(f);
}

static struct exchange *make_get(struct fixture *f)
{
    return prepare(f, "GET");
}

static struct exchange *make_json(struct fixture *f)
{
    struct exchange *x = prepare(f, "POST");

    http_req_add_mem(&x->req, STR("{\"a\":true}"));
    return x;
}

static struct exchange *make_small(struct fixture *f)
{
    return prepare_upload(f, 100000, 100000);
}

static struct exchange *make_pieces(struct fixture *f)
{
    struct exchange *x = prepare_upload(f, 3000, 3000);

    x->feed.piece = 300;
    x->feed.tick_ms = 5;
    return x;
}

static struct exchange *make_large(struct fixture *f)
{
    return prepare_upload(f, BIG, BIG);
}

static struct exchange *make_unknown(struct fixture *f)
{
    return prepare_upload(f, 100000, -1);
}

static void no_upload_is_lost_to_a_stale_connection(void **state)
{
    int i;

    (void)state;
    meet_stale(make_get, hash_of(""));
    meet_stale(make_json, hash_of("{\"a\":true}"));
    for (i = 0; i < 20; i++) /* what breaks first varies */
        meet_stale(make_small, form_hash(100000));
    meet_stale(make_pieces, form_hash(3000));
    meet_stale(make_large, form_hash(BIG));
    meet_stale(make_unknown, form_hash(100000));
}

static void what_must_not_be_sent_twice_gets_a_new_connection(void **state)
{
    struct fixture *f = open_fixture(serve_ok, NULL);
    struct exchange *x;
    int i;

    (void)state;
    for (i = 0; i < 3; i++) {
        x = prepare(f, "POST");
        x->req.is_once = i == 1;
        start(x);
        run(f);
        assert_ok(x, 200);
        assert_int_equal(f->s->nconns, i ? 2 : 1);
    }
    close_fixture(f);
}

/* --- TLS --- */

struct tls_fixture {
    struct fixture *f;
    char ca[64];
};

static void open_tls(struct tls_fixture *t, void (*serve)(struct fake_conn *c),
                     void *arg)
{
    int fd;

    snprintf(t->ca, sizeof(t->ca), "/tmp/filemux-test-ca-XXXXXX");
    fd = mkstemp(t->ca);
    assert_true(fd >= 0);
    close(fd);
    t->f = open_fixture(serve, arg);
    t->f->s->tls = fake_tls_open(t->ca);
}

static void close_tls(struct tls_fixture *t)
{
    close_fixture(t->f);
    unlink(t->ca);
}

static void use_tls(struct exchange *x, const char *ca)
{
    x->req.url = arena_printf(x->a, "https://127.0.0.1:%d/v1/x", x->f->s->port);
    x->o.ca_file = ca;
}

static void transfers_over_tls_arrive_whole(void **state)
{
    struct download d = {BIG, BIG, 200};
    struct tls_fixture t;
    struct exchange *x;

    (void)state;
    open_tls(&t, serve_ok, NULL);
    x = prepare_upload(t.f, BIG, BIG);
    use_tls(x, t.ca);
    start(x);
    run(t.f);
    assert_ok(x, 200);
    assert_true(t.f->s->body_hash == form_hash(BIG));
    close_tls(&t);

    open_tls(&t, serve_download, &d);
    x = prepare_download(t.f);
    use_tls(x, t.ca);
    start(x);
    run(t.f);
    assert_ok(x, 200);
    assert_int_equal(x->drain.n, BIG);
    assert_true(x->drain.hash == pattern_hash(BIG));
    close_tls(&t);
}

static void a_slow_reader_of_tls_bounds_what_is_held(void **state)
{
    struct download d = {BIG, BIG, 200};
    struct tls_fixture t;
    struct exchange *x;

    (void)state;
    open_tls(&t, serve_download, &d);
    x = prepare_download(t.f);
    use_tls(x, t.ca);
    x->drain.per_tick = 60000;
    x->drain.tick_ms = 1;
    start(x);
    run(t.f);
    assert_ok(x, 200);
    while (!x->drain.has_ended)
        run_a_turn(t.f);
    assert_true(x->drain.hash == pattern_hash(BIG));
    assert_true(x->drain.max_level < LIMIT_PIPE_HIGH + LIMIT_GATHER_BYTES);
    close_tls(&t);
}

static void an_unknown_certificate_is_not_trusted(void **state)
{
    struct tls_fixture t;
    struct exchange *x;

    (void)state;
    open_tls(&t, serve_ok, NULL);
    x = prepare_upload(t.f, 1000, 1000);
    use_tls(x, "");
    start(x);
    run(t.f);
    assert_failed(x, GW_UPSTREAM_UNREACHABLE);
    assert_string_equal(x->error.message,
                        "the provider's certificate is not trusted");
    assert_int_equal(x->sent, 0);
    assert_int_equal(t.f->s->nrequests, 0);
    close_tls(&t);
}

static void a_name_that_is_not_the_certificates_is_not_trusted(void **state)
{
    struct tls_fixture t;
    struct exchange *x;

    (void)state;
    open_tls(&t, serve_ok, NULL);
    x = prepare(t.f, "GET");
    use_tls(x, t.ca);
    x->req.url = arena_printf(x->a, "https://localhost:%d/v1/x", t.f->s->port);
    start(x);
    run(t.f);
    assert_failed(x, GW_UPSTREAM_UNREACHABLE);
    close_tls(&t);
}

static void serve_once(struct fake_conn *c)
{
    if (fake_read_head(c) && fake_read_body(c))
        fake_send(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                     "Content-Length: 0\r\n\r\n");
}

static void tls_sessions_are_resumed(void **state)
{
    struct tls_fixture t;
    int i;

    (void)state;
    open_tls(&t, serve_once, NULL);
    for (i = 0; i < 2; i++) {
        use_tls(prepare(t.f, "GET"), t.ca);
        start(&t.f->x[i]);
        run(t.f);
        assert_ok(&t.f->x[i], 200);
    }
    assert_int_equal(t.f->s->nconns, 2);
    assert_true(t.f->s->conns[1]->was_resumed);
    close_tls(&t);
}

/* --- many --- */

static void serve_mixed(struct fake_conn *c)
{
    while (fake_read_head(c)) {
        bool is_upload = c->length > 0;

        if (!fake_take(c, (uint64_t)c->length))
            return;
        if (is_upload) {
            if (!fake_send(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
                return;
        } else if (!fake_send(c, "HTTP/1.1 200 OK\r\n"
                                 "Content-Length: 300000\r\n\r\n") ||
                   !fake_send_pattern(c, 300000)) {
            return;
        }
    }
}

static void a_hundred_calls_do_not_mix(void **state)
{
    struct fixture *f = open_fixture(serve_mixed, NULL);
    uint64_t hash = pattern_hash(300000);
    int i;

    (void)state;
    for (i = 0; i < CALLS_MAX; i++)
        start(i % 2 ? prepare_upload(f, 200000, 200000) : prepare_download(f));
    run(f);
    for (i = 0; i < CALLS_MAX; i++) {
        assert_ok(&f->x[i], 200);
        if (i % 2)
            continue;
        assert_int_equal(f->x[i].drain.n, 300000);
        assert_true(f->x[i].drain.hash == hash);
    }
    assert_in_range(f->s->nconns, 2, CALLS_MAX);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_collected_with_its_head),
        cmocka_unit_test(methods_are_framed_as_they_should),
        cmocka_unit_test(the_answer_to_head_has_no_body),
        cmocka_unit_test(interim_answers_and_trailers_are_not_shown),
        cmocka_unit_test(a_collected_body_is_cut_at_the_bound),
        cmocka_unit_test(connections_are_used_again),
        cmocka_unit_test(a_call_may_be_started_when_another_is_done),
        cmocka_unit_test(a_reset_during_the_upload_is_broken),
        cmocka_unit_test(nonsense_is_a_bad_response),
        cmocka_unit_test(heads_are_bounded),
        cmocka_unit_test(no_answer_at_all_is_broken),
        cmocka_unit_test(private_networks_may_be_barred),
        cmocka_unit_test(what_cannot_be_reached_says_so),
        cmocka_unit_test(no_upload_is_lost_to_a_stale_connection),
        cmocka_unit_test(what_must_not_be_sent_twice_gets_a_new_connection),
        cmocka_unit_test(transfers_over_tls_arrive_whole),
        cmocka_unit_test(a_slow_reader_of_tls_bounds_what_is_held),
        cmocka_unit_test(an_unknown_certificate_is_not_trusted),
        cmocka_unit_test(a_name_that_is_not_the_certificates_is_not_trusted),
        cmocka_unit_test(tls_sessions_are_resumed),
        cmocka_unit_test(a_hundred_calls_do_not_mix),
    };

    signal(SIGPIPE, SIG_IGN); /* the fake provider's TLS */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
