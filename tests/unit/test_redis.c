/* test_redis.c -- commands, scripts, failures and reconnects on a live Redis.
 */
#include "redis_fixture.h"

static bool is_count(void *arg)
{
    int *left = arg;

    return *left == 0;
}

/* --- commands --- */

static void a_value_may_hold_any_byte(void **state)
{
    struct fx *f = *state;
    struct fx_answer a = {0};
    struct str argv[] = {STR("SET"), STR("k"), STR("a\0b\r\n\xff$3")};

    redis_command(f->r, fx_on_answer, &a, 3, argv);
    fx_until(f, fx_is_set, &a.is_done);
    assert_int_equal(a.kind, REDIS_STATUS);
    assert_string_equal(a.text, "OK");
    fx_do(f, "GET k", &a);
    assert_int_equal(a.kind, REDIS_STR);
    assert_int_equal(a.text_n, argv[2].n);
    assert_memory_equal(a.text, argv[2].p, argv[2].n);
}

static void an_absent_value_is_nil(void **state)
{
    struct fx *f = *state;
    struct fx_answer a;

    fx_do(f, "GET nothing", &a);
    assert_int_equal(a.err, GW_OK);
    assert_int_equal(a.kind, REDIS_NIL);
}

static void look_at_array(void *arg, const struct redis_value *v,
                          const struct gw_error *e)
{
    bool *is_done = arg;
    struct redis_value inner;

    assert_int_equal(e->err, GW_OK);
    assert_int_equal(v->kind, REDIS_ARRAY);
    assert_int_equal(v->n, 3);
    assert_int_equal(redis_at(v, 0).integer, 7);
    inner = redis_at(v, 1);
    assert_int_equal(inner.n, 1);
    assert_true(str_eq_c(redis_at(&inner, 0).str, "x"));
    assert_int_equal(redis_at(v, 2).kind, REDIS_STATUS);
    assert_int_equal(redis_at(v, 3).kind, REDIS_NIL);
    assert_int_equal(redis_at(&(struct redis_value){.kind = REDIS_INT}, 0).kind,
                     REDIS_NIL);
    *is_done = true;
}

static void arrays_are_read_by_their_index(void **state)
{
    struct fx *f = *state;
    bool is_done = false;
    struct str argv[] = {
        STR("EVAL"),
        STR("return {7, {'x'}, redis.status_reply('FINE')}"),
        STR("0"),
    };

    redis_command(f->r, look_at_array, &is_done, 3, argv);
    fx_until(f, fx_is_set, &is_done);
}

struct ordered {
    int *next, *left;
    int mine;
};

static void check_order(void *arg, const struct redis_value *v,
                        const struct gw_error *e)
{
    struct ordered *o = arg;

    assert_int_equal(e->err, GW_OK);
    assert_int_equal(v->integer, o->mine + 1);
    assert_int_equal((*o->next)++, o->mine);
    --*o->left;
}

static long writes_so_far(void)
{
    char line[128];
    long n = -1;
    FILE *io = fopen("/proc/self/io", "r");

    while (io && fgets(line, sizeof(line), io))
        if (sscanf(line, "syscw: %ld", &n) == 1)
            break;
    if (io)
        fclose(io);
    return n;
}

static void
commands_of_a_turn_leave_in_one_write_and_answer_in_order(void **state)
{
    enum { N = 1000 };
    struct fx *f = *state;
    struct str argv[] = {STR("INCR"), STR("counter")};
    static struct ordered o[N];
    int next = 0, left = N, i;
    long before = writes_so_far();

    for (i = 0; i < N; i++) {
        o[i] = (struct ordered){&next, &left, i};
        redis_command(f->r, check_order, &o[i], 2, argv);
    }
    fx_until(f, is_count, &left);
    if (before < 0)
        skip();
    assert_true(writes_so_far() - before < 10);
}

struct chain {
    struct fx *f;
    int left;
};

static void next_of_chain(void *arg, const struct redis_value *v,
                          const struct gw_error *e)
{
    struct chain *c = arg;
    struct str argv[] = {STR("INCR"), STR("chain")};

    assert_int_equal(e->err, GW_OK);
    assert_non_null(v);
    if (--c->left > 0)
        redis_command(c->f->r, next_of_chain, c, 2, argv);
}

static void a_callback_may_send_the_next_command(void **state)
{
    struct fx *f = *state;
    struct chain c = {f, 500};
    struct str argv[] = {STR("INCR"), STR("chain")};

    redis_command(f->r, next_of_chain, &c, 2, argv);
    fx_until(f, is_count, &c.left);
    assert_int_equal(fx_int(f, "INCR chain"), 501);
}

static void the_errors_of_redis_are_not_told_in_detail(void **state)
{
    struct fx *f = *state;
    struct fx_answer a;

    fx_ok(f, "LPUSH list x");
    fx_do(f, "INCR list", &a);
    assert_int_equal(a.err, GW_INTERNAL);
    assert_int_equal(a.retry_after_s, 0);
    fx_ok(f, "PING"); /* the connection lives on */
}

static const char set_text[] =
    "redis.call('SET', KEYS[1], ARGV[1]) return ARGV[2]";
/* printf %s "$text" | sha1sum */
static const struct redis_script set_script = {
    "set", set_text, "5521f4fc986445aaa867b0104949c22a5523ea9d"};

static void do_eval(struct fx *f, struct fx_answer *a)
{
    struct str key = STR("from-script"), args[] = {STR("v"), STR("said")};

    *a = (struct fx_answer){0};
    redis_eval(f->r, fx_on_answer, a, &set_script, 1, &key, 2, args);
    fx_until(f, fx_is_set, &a->is_done);
}

static void a_full_redis_is_an_unavailable_store(void **state)
{
    struct fx *f = *state;
    struct fx_answer a;

    fx_ok(f, "CONFIG SET maxmemory 1");
    fx_do(f, "SET k v", &a);
    assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
    assert_int_equal(a.retry_after_s, 1);
    do_eval(f, &a);
    assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
    fx_ok(f, "CONFIG SET maxmemory 0");
    do_eval(f, &a);
    assert_int_equal(a.err, GW_OK);
}

static void a_replica_without_its_master_is_an_unavailable_store(void **state)
{
    struct fx *f = *state;
    struct fx_answer a;

    fx_ok(f, "CONFIG SET replica-serve-stale-data no");
    fx_ok(f, "REPLICAOF 127.0.0.1 1");
    fx_do(f, "GET k", &a);
    assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
    fx_ok(f, "CONFIG SET replica-serve-stale-data yes");
    fx_do(f, "SET k v", &a);
    assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
    fx_ok(f, "REPLICAOF NO ONE");
    fx_ok(f, "SET k v");
}

/* --- scripts --- */

static void a_script_is_sent_by_name_and_once_more_as_text(void **state)
{
    struct fx *f = *state;
    struct fx_answer a;
    uint64_t before = redis_commands(f->r);
    int i;

    for (i = 0; i < 3; i++) {
        do_eval(f, &a);
        assert_int_equal(a.err, GW_OK);
        assert_string_equal(a.text, "said");
        assert_int_equal(a.times, 1);
    }
    assert_int_equal(redis_commands(f->r) - before, 3);
    fx_ok(f, "SCRIPT FLUSH");
    do_eval(f, &a);
    assert_int_equal(a.err, GW_OK);
    assert_string_equal(a.text, "said");
    fx_do(f, "GET from-script", &a);
    assert_string_equal(a.text, "v");
    /* Redis knows it by the name we gave: it was computed right. */
    fx_do(f, "EVALSHA 5521f4fc986445aaa867b0104949c22a5523ea9d 1 k v said", &a);
    assert_int_equal(a.err, GW_OK);
}

static void a_cancelled_script_is_carried_out_even_when_unknown(void **state)
{
    struct fx *f = *state;
    struct fx_answer a = {0}, b;
    struct str key = STR("from-script"), args[] = {STR("v"), STR("said")};

    fx_ok(f, "SCRIPT FLUSH");
    redis_cancel(
        redis_eval(f->r, fx_on_answer, &a, &set_script, 1, &key, 2, args));
    fx_ok(f, "PING");
    fx_do(f, "GET from-script", &b);
    assert_string_equal(b.text, "v");
    assert_int_equal(a.times, 0);
}

static void scripts_pipelined_while_unknown_are_each_answered(void **state)
{
    struct fx *f = *state;
    struct str key = STR("from-script"), args[] = {STR("v"), STR("said")};
    static struct fx_answer a[20];
    int i;

    fx_ok(f, "SCRIPT FLUSH");
    for (i = 0; i < 20; i++) {
        a[i] = (struct fx_answer){0};
        redis_eval(f->r, fx_on_answer, &a[i], &set_script, 1, &key, 2, args);
    }
    fx_until(f, fx_is_set, &a[19].is_done);
    for (i = 0; i < 20; i++) {
        assert_int_equal(a[i].err, GW_OK);
        assert_int_equal(a[i].times, 1);
    }
}

/* --- failures --- */

static void commands_fail_while_redis_is_away_and_work_again(void **state)
{
    struct fx *f = *state;
    struct fx_answer a, b;
    int i;

    for (i = 0; i < 3; i++) {
        fx_ok(f, "SET k v");
        /* Under way, but the server does not read any more. */
        kill(f->pid, SIGSTOP);
        fx_send(f->r, "INCR n", &a);
        fx_send(f->r, "INCR n", &b);
        fx_server_kill(f);
        fx_until(f, fx_is_set, &b.is_done);
        assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
        assert_int_equal(a.retry_after_s, 1);
        assert_int_equal(a.times, 1);
        assert_int_equal(b.err, GW_STORE_UNAVAILABLE);
        assert_false(redis_is_up(f->r));
        fx_do(f, "PING", &a);
        assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
        fx_server_start(f);
        fx_up(f);
    }
    fx_ok(f, "PING");
}

static void a_redis_that_hangs_is_given_up_at_the_deadline(void **state)
{
    struct fx *f = *state;
    struct fx_answer a, b;
    uint64_t before;
    int i;

    redis_close(f->r);
    f->r = fx_open(f, f->url, 100);
    fx_up(f);
    kill(f->pid, SIGSTOP);
    fx_send(f->r, "INCR n", &a);
    fx_send(f->r, "INCR n", &b);
    fx_until(f, fx_is_set, &a.is_done);
    assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
    assert_true(b.is_done);
    assert_int_equal(b.err, GW_STORE_UNAVAILABLE);
    assert_false(redis_is_up(f->r));
    /* It still hangs: the kernel takes connections, nobody greets them, and
     * nothing is sent before the greeting. */
    before = redis_commands(f->r);
    for (i = 0; i < 100; i++) {
        fx_do(f, "PING", &a);
        assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
        fx_pause();
    }
    assert_int_equal(redis_commands(f->r), before);
    kill(f->pid, SIGCONT);
    fx_up(f);
    fx_ok(f, "PING");
}

static void a_connection_that_redis_closes_is_made_anew(void **state)
{
    struct fx *f = *state;
    struct fx_answer a;

    fx_do(f, "CLIENT KILL TYPE normal SKIPME no", &a);
    fx_until(f, fx_is_down, f->r);
    fx_up(f);
    fx_ok(f, "PING");
}

static bool is_twentieth(void *arg)
{
    return ++*(int *)arg == 20;
}

static void what_the_socket_does_not_take_at_once_follows(void **state)
{
    enum { N = 8, BYTES = 1 << 20 };
    struct fx *f = *state;
    struct fx_answer a[N], b;
    char *value = xmalloc(BYTES), key[8];
    struct str argv[] = {STR("SET"), STR_NULL, {value, BYTES}};
    int turns = 0, i;
    long before;

    memset(value, 'x', BYTES);
    kill(f->pid, SIGSTOP);
    for (i = 0; i < N; i++) {
        a[i] = (struct fx_answer){0};
        snprintf(key, sizeof(key), "big%d", i);
        argv[1] = str_of(key);
        redis_command(f->r, fx_on_answer, &a[i], 3, argv);
    }
    fx_send(f->r, "STRLEN big7", &b);
    /* Some turns: the socket fills up, and is not tried again and again. */
    before = writes_so_far();
    fx_until(f, is_twentieth, &turns);
    assert_false(a[0].is_done);
    assert_true(writes_so_far() - before < 20);
    kill(f->pid, SIGCONT);
    fx_until(f, fx_is_set, &b.is_done);
    assert_int_equal(b.integer, BYTES);
    for (i = 0; i < N; i++)
        assert_int_equal(a[i].err, GW_OK);
    free(value);
}

/* --- connecting --- */

/* Opens another connection; is it up, or refused for good? */
static void expect_up(struct fx *f, const char *url)
{
    redis_close(f->r);
    f->r = fx_open(f, url, 5000);
    assert_false(redis_is_up(f->r));
    fx_up(f);
}

static void expect_refused(struct fx *f, const char *url)
{
    struct buf text;
    struct fx_answer a;
    int64_t end = clock_mono_ms() + FX_DEADLINE_MS;
    bool is_refused = false;

    redis_close(f->r);
    metrics_free(f->metrics);
    f->metrics = metrics_new();
    f->r = fx_open(f, url, 5000);
    buf_init(&text, MIB);
    /* The greeting's own commands are counted. */
    while (!is_refused) {
        assert_true(clock_mono_ms() < end);
        fx_do(f, "PING", &a);
        assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
        buf_clear(&text);
        metrics_render(&text);
        is_refused = strstr(text.p, "reason=\"error\"") != NULL;
        fx_pause();
    }
    assert_false(redis_is_up(f->r));
    buf_release(&text);
}

static void a_password_opens_and_a_wrong_one_does_not(void **state)
{
    struct fx *f = *state;
    char url[256];

    fx_ok(f, "ACL SETUSER joe on >p@ss/w:rd ~* +@all");
    fx_ok(f, "CONFIG SET requirepass secret");
    snprintf(url, sizeof(url), "unix://:secret@%s", f->socket);
    expect_up(f, url);
    snprintf(url, sizeof(url), "unix://joe:p%%40ss%%2fw%%3Ard@%s", f->socket);
    expect_up(f, url);
    expect_refused(f, f->url);
    snprintf(url, sizeof(url), "unix://:wrong@%s", f->socket);
    expect_refused(f, url);
    snprintf(url, sizeof(url), "unix://:secret@%s", f->socket);
    expect_up(f, url);
}

static void the_database_is_selected(void **state)
{
    struct fx *f = *state;
    struct fx_answer a;
    char url[256];

    fx_ok(f, "SET where zero");
    snprintf(url, sizeof(url), "%s?db=5", f->url);
    expect_up(f, url);
    fx_do(f, "GET where", &a);
    assert_int_equal(a.kind, REDIS_NIL);
    fx_ok(f, "SET where five");
    snprintf(url, sizeof(url), "%s?db=999", f->url);
    expect_refused(f, url);
    expect_up(f, f->url);
    fx_do(f, "GET where", &a);
    assert_string_equal(a.text, "zero");
}

static void hosts_are_reached_by_address_and_by_name(void **state)
{
    struct fx *f = *state;
    char port[16], url[128];

    snprintf(port, sizeof(port), "%d", fx_free_port());
    fx_server_kill(f);
    f->more[0] = "--port";
    f->more[1] = port;
    f->more[2] = "--bind";
    f->more[3] = "127.0.0.1";
    fx_server_start(f);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%s/3", port);
    expect_up(f, url);
    /* It may be ::1 first, where nobody listens. */
    snprintf(url, sizeof(url), "redis://localhost:%s", port);
    expect_up(f, url);
    fx_ok(f, "PING");
}

static void a_name_that_does_not_resolve_is_no_connection(void **state)
{
    struct fx *f = *state;
    struct fx_answer a;
    int i;

    redis_close(f->r);
    f->r = fx_open(f, "redis://no-such-host.invalid", 5000);
    for (i = 0; i < 20; i++) {
        fx_do(f, "PING", &a);
        assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
    }
    /* Closed at once: the thread outlives the question. */
    redis_close(fx_open(f, "redis://no-such-host.invalid", 5000));
}

/* More than a TLS record, and more than a socket holds, both ways. */
static void echo_much(struct fx *f)
{
    enum { N = 4, BYTES = 3 << 20 };
    char *much = xcalloc(1, BYTES);
    struct str argv[] = {STR("ECHO"), {much, BYTES}};
    static struct fx_answer a[N];
    int i;

    for (i = 0; i < N; i++) {
        a[i] = (struct fx_answer){0};
        redis_command(f->r, fx_on_answer, &a[i], 2, argv);
    }
    fx_until(f, fx_is_set, &a[N - 1].is_done);
    for (i = 0; i < N; i++) {
        assert_int_equal(a[i].err, GW_OK);
        assert_int_equal(a[i].text_n, sizeof(a[i].text) - 1);
    }
    free(much);
}

static void large_answers_come_whole(void **state)
{
    echo_much(*state);
}

static void a_port_where_nobody_listens_is_no_connection(void **state)
{
    struct fx *f = *state;
    struct fx_answer a;
    char url[64];
    int i;

    redis_close(f->r);
    snprintf(url, sizeof(url), "redis://127.0.0.1:%d", fx_free_port());
    f->r = fx_open(f, url, 5000);
    for (i = 0; i < 20; i++) {
        fx_do(f, "PING", &a);
        assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
        fx_pause();
    }
    assert_false(redis_is_up(f->r));
}

/* --- TLS --- */

/* A certificate for the name, its own authority: dir/<file>.crt and .key. */
static void make_certificate(struct fx *f, const char *file, const char *name)
{
    char command[512];

    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey ec -pkeyopt "
             "ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=%s "
             "-addext subjectAltName=DNS:%s -keyout %s/%s.key -out %s/%s.crt "
             "2>/dev/null",
             name, name, f->dir, file, f->dir, file);
    assert_int_equal(system(command), 0);
}

/* Starts the server again with that certificate; gives its port. */
static int serve_tls(struct fx *f, const char *file)
{
    static char port[16], certificate[128], key[128];
    static const char *const more[] = {
        "--tls-port",     port, "--tls-cert-file",    certificate,
        "--tls-key-file", key,  "--tls-auth-clients", "no"};
    int n = fx_free_port();

    snprintf(port, sizeof(port), "%d", n);
    snprintf(certificate, sizeof(certificate), "%s/%s.crt", f->dir, file);
    snprintf(key, sizeof(key), "%s/%s.key", f->dir, file);
    memcpy(f->more, more, sizeof(more));
    fx_server_kill(f);
    fx_server_start(f);
    return n;
}

/* Connecting fails again and again. */
static void expect_no_connection(struct fx *f, const char *url)
{
    int64_t end = clock_mono_ms() + 400;
    struct fx_answer a;

    redis_close(f->r);
    f->r = fx_open(f, url, 5000);
    while (clock_mono_ms() < end) {
        fx_do(f, "PING", &a);
        assert_int_equal(a.err, GW_STORE_UNAVAILABLE);
        fx_pause();
    }
}

static void tls_takes_the_right_certificate_alone(void **state)
{
    struct fx *f = *state;
    char url[256];
    int port;

    if (redis_check_url("rediss://localhost", NULL) != GW_OK)
        skip(); /* this hiredis has no TLS */
    make_certificate(f, "right", "localhost");
    make_certificate(f, "wrong", "elsewhere.example");
    port = serve_tls(f, "right");
    snprintf(url, sizeof(url), "rediss://localhost:%d/2?ca_file=%s/right.crt",
             port, f->dir);
    expect_up(f, url);
    echo_much(f);
    /* By an authority that nobody trusts, or that signed another one. */
    snprintf(url, sizeof(url), "rediss://localhost:%d", port);
    expect_no_connection(f, url);
    snprintf(url, sizeof(url), "rediss://localhost:%d?ca_file=%s/wrong.crt",
             port, f->dir);
    expect_no_connection(f, url);
    snprintf(url, sizeof(url), "rediss://localhost:%d?ca_file=/no/such", port);
    expect_no_connection(f, url);
    /* For another name, or for none. */
    snprintf(url, sizeof(url), "rediss://127.0.0.1:%d?ca_file=%s/right.crt",
             port, f->dir);
    expect_no_connection(f, url);
    port = serve_tls(f, "wrong");
    snprintf(url, sizeof(url), "rediss://localhost:%d?ca_file=%s/wrong.crt",
             port, f->dir);
    expect_no_connection(f, url);
}

/* --- metrics --- */

static void expect_metric(const char *line)
{
    struct buf text;

    buf_init(&text, MIB);
    metrics_render(&text);
    if (!strstr(text.p, line))
        fail_msg("no '%s' in:\n%s", line, text.p);
    buf_release(&text);
}

static void the_metrics_tell_of_the_connection(void **state)
{
    struct fx *f = *state;
    struct fx_answer a;

    expect_metric("filemux_redis_up 1\n");
    fx_ok(f, "PING");
    expect_metric("filemux_redis_seconds_count 2\n"); /* and the greeting */
    kill(f->pid, SIGSTOP);
    fx_send(f->r, "PING", &a);
    fx_server_kill(f);
    fx_until(f, fx_is_set, &a.is_done);
    expect_metric("filemux_redis_up 0\n");
    expect_metric("filemux_redis_errors_total{reason=\"lost\"} 1\n");
    fx_do(f, "PING", &a);
    expect_metric("filemux_redis_errors_total{reason=\"down\"} 1\n");
    fx_server_start(f);
    fx_up(f);
    expect_metric("filemux_redis_up 1\n");
}

#define WITH_REDIS(test)                                                       \
    cmocka_unit_test_setup_teardown(test, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REDIS(a_value_may_hold_any_byte),
        WITH_REDIS(an_absent_value_is_nil),
        WITH_REDIS(arrays_are_read_by_their_index),
        WITH_REDIS(commands_of_a_turn_leave_in_one_write_and_answer_in_order),
        WITH_REDIS(a_callback_may_send_the_next_command),
        WITH_REDIS(the_errors_of_redis_are_not_told_in_detail),
        WITH_REDIS(a_full_redis_is_an_unavailable_store),
        WITH_REDIS(a_replica_without_its_master_is_an_unavailable_store),
        WITH_REDIS(a_script_is_sent_by_name_and_once_more_as_text),
        WITH_REDIS(a_cancelled_script_is_carried_out_even_when_unknown),
        WITH_REDIS(scripts_pipelined_while_unknown_are_each_answered),
        WITH_REDIS(commands_fail_while_redis_is_away_and_work_again),
        WITH_REDIS(a_redis_that_hangs_is_given_up_at_the_deadline),
        WITH_REDIS(a_connection_that_redis_closes_is_made_anew),
        WITH_REDIS(what_the_socket_does_not_take_at_once_follows),
        WITH_REDIS(a_password_opens_and_a_wrong_one_does_not),
        WITH_REDIS(the_database_is_selected),
        WITH_REDIS(hosts_are_reached_by_address_and_by_name),
        WITH_REDIS(a_name_that_does_not_resolve_is_no_connection),
        WITH_REDIS(a_port_where_nobody_listens_is_no_connection),
        WITH_REDIS(large_answers_come_whole),
        WITH_REDIS(tls_takes_the_right_certificate_alone),
        WITH_REDIS(the_metrics_tell_of_the_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
