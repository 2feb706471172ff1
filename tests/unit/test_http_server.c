/* test_http_server.c -- the server on its loop's thread, clients as raw
 * sockets on this one.
 *
 * What a request does is its path, see `routes`. To know that the server has
 * read what was sent, a test asks for something on a second connection
 * (barrier()): the loop serves sockets in the order in which they became
 * ready.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/codec/url.h"
#include "gateway/net/http_server.h"

/* No wait of a test takes longer, or it fails. */
#define PATIENCE_S 20

struct fixture {
    struct loop *l;
    struct http_server *s;
    struct metrics *m;
    struct http_server_limits limits;
    pthread_t thread;
    int port, ping;
    atomic_int requests, refused, closed[4], cancelled;
    atomic_size_t max_level; /* of any reply's pipe */
    atomic_llong written;    /* into such pipes */
    atomic_bool saw_closed;  /* a server_req_read() told CLIENT_GONE */
    char dir[32];
};

/* --- the server's side --- */

/* One request. */
struct exchange {
    struct fixture *f;
    struct server_req *r;
    struct loop_timer timer;
    uint64_t count;
    uint32_t sum;
    size_t stop_at;
    /* A reply's body. */
    struct pipe *pipe;
    uint64_t size, at;
    size_t piece;
    char how; /* it ends: 'e'nd, 'f'ail, 'n'ot */
};

static char pattern(uint64_t i)
{
    return (char)('a' + i * 7 / 3 % 26);
}

static void reply_text(struct exchange *x, int status, const char *fmt, ...)
    PRINTFLIKE(3, 4);

static void reply_text(struct exchange *x, int status, const char *fmt, ...)
{
    struct http_field type = {STR("Content-Type"), STR("text/plain")};
    struct http_fields fields = {&type, 1, 1};
    char text[9000];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    server_req_reply(x->r, status, &fields, str_of(text));
}

static void free_exchange(void *memory)
{
    struct exchange *x = memory;

    pipe_free(x->pipe);
    free(x);
}

static void on_closed(void *arg, enum server_close why)
{
    struct exchange *x = arg;

    ASSERT(server_req_peer(x->r)[0]);
    loop_timer_release(&x->timer);
    if (x->pipe)
        pipe_set_writer(x->pipe, NULL, NULL);
    atomic_fetch_add(&x->f->closed[why], 1);
    loop_reap(x->f->l, x, free_exchange);
}

/* --- what requests do --- */

static void tell(struct exchange *x)
{
    const struct http_head *h = server_req_head(x->r);

    reply_text(x, 200, "%.*s %.*s", STR_ARG(h->method), STR_ARG(h->target));
}

static void tell_origin(struct exchange *x)
{
    reply_text(x, 200, "%d %s", server_req_listener(x->r),
               server_req_peer(x->r));
}

static void tell_now(void *arg)
{
    tell(arg);
}

static void tell_later(struct exchange *x)
{
    loop_timer_init(x->f->l, &x->timer, tell_now, x);
    loop_timer_set(&x->timer, 1);
}

static void do_nothing(struct exchange *x)
{
    (void)x;
}

static void deny(struct exchange *x)
{
    reply_text(x, 401, "denied");
}

static void drop_connection(struct exchange *x)
{
    server_req_abort(x->r);
}

/* "/status?429" */
static void tell_status(struct exchange *x)
{
    uint64_t status;

    ASSERT(str_to_u64(server_req_head(x->r)->raw_query, &status));
    reply_text(x, (int)status, "x");
}

/* The sum depends on the order. */
static void take(struct exchange *x, const char *p, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        x->sum = x->sum * 31 + (unsigned char)p[i];
    x->count += n;
}

static void count_body(struct exchange *x)
{
    char bytes[1000];
    struct gw_error e = {0};
    size_t cap = sizeof(bytes);
    ssize_t n;

    if (x->stop_at)
        cap = MIN(cap, x->stop_at - x->count);
    while ((n = server_req_read(x->r, bytes, cap, &e)) > 0) {
        take(x, bytes, (size_t)n);
        if (x->stop_at && x->count == x->stop_at) {
            reply_text(x, 413, "enough");
            return;
        }
    }
    if (n == 0)
        reply_text(x, 200, "%llu %u", (unsigned long long)x->count, x->sum);
    else if (n == -1)
        server_req_want(x->r);
    else if (e.err == GW_CLIENT_GONE)
        atomic_store(&x->f->saw_closed, true);
    else
        reply_text(x, err_info(e.err)->http, "%s", err_info(e.err)->name);
}

static void take_some(struct exchange *x)
{
    x->stop_at = 10;
    count_body(x);
}

static void want_first(struct exchange *x)
{
    server_req_want(x->r);
}

static void on_readable(void *arg)
{
    count_body(arg);
}

/* --- replies out of a pipe --- */

static void end_pipe(struct exchange *x)
{
    struct gw_error e = {0};

    if (x->how == 'f') {
        err_plain(&e, GW_UPSTREAM_BROKEN);
        pipe_fail(x->pipe, &e);
    } else if (x->how == 'e') {
        pipe_end(x->pipe);
    }
}

static void push_more(void *arg)
{
    struct exchange *x = arg;
    char *bytes = xmalloc(x->piece);
    bool goes_on = true;
    size_t n, i;

    while (goes_on && x->at < x->size) {
        n = MIN(x->piece, x->size - x->at);
        for (i = 0; i < n; i++)
            bytes[i] = pattern(x->at + i);
        x->at += n;
        goes_on = pipe_write(x->pipe, bytes, n);
        atomic_store(&x->f->written, (long long)x->at);
        if (pipe_level(x->pipe) > atomic_load(&x->f->max_level))
            atomic_store(&x->f->max_level, pipe_level(x->pipe));
    }
    free(bytes);
    if (x->at == x->size)
        end_pipe(x);
}

static void on_cancelled(void *arg)
{
    struct exchange *x = arg;

    atomic_fetch_add(&x->f->cancelled, 1);
}

static size_t pull(void *arg, char *buf, size_t cap)
{
    struct exchange *x = arg;
    size_t n = MIN(MIN(cap, x->piece), x->size - x->at), i;

    for (i = 0; i < n; i++)
        buf[i] = pattern(x->at + i);
    x->at += n;
    if (!n)
        end_pipe(x);
    return n;
}

static const struct pipe_writer_ops push_ops = {.resume = push_more,
                                                .cancelled = on_cancelled};
static const struct pipe_writer_ops pull_ops = {.pull = pull,
                                                .cancelled = on_cancelled};

static int64_t number(struct exchange *x, const char *name, int64_t otherwise)
{
    struct arena *a = arena_new();
    struct str text =
        url_query_get(a, server_req_head(x->r)->raw_query, str_of(name));
    int64_t n = otherwise;

    if (text.n)
        ASSERT(str_to_i64(text, &n));
    arena_free(a);
    return n;
}

static void open_pipe(struct exchange *x)
{
    x->pipe = pipe_new(x->f->l, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH, NULL);
    x->size = (uint64_t)number(x, "size", 0);
    x->piece = (size_t)number(x, "piece", 16384);
    x->how = (char)number(x, "how", 'e');
    if (number(x, "most", -1) >= 0)
        server_req_bound_reply(x->r, (uint64_t)number(x, "most", 0));
    server_req_reply_pipe(x->r, (int)number(x, "status", 200), NULL,
                          number(x, "length", -1), x->pipe);
}

static void push_pipe(struct exchange *x)
{
    open_pipe(x);
    pipe_set_writer(x->pipe, &push_ops, x);
    push_more(x);
}

/* The bytes come in a later turn than the reply's head. */
static void push_pipe_later(struct exchange *x)
{
    open_pipe(x);
    pipe_set_writer(x->pipe, &push_ops, x);
    loop_timer_init(x->f->l, &x->timer, push_more, x);
    loop_timer_set(&x->timer, 1);
}

static void pull_pipe(struct exchange *x)
{
    open_pipe(x);
    pipe_set_writer(x->pipe, &pull_ops, x);
}

static const struct {
    const char *path;
    void (*fn)(struct exchange *x);
} routes[] = {
    {"/later", tell_later},   {"/hold", do_nothing},
    {"/deny", deny},          {"/abort", drop_connection},
    {"/status", tell_status}, {"/count", count_body},
    {"/want", want_first},    {"/some", take_some},
    {"/push", push_pipe},     {"/pushlater", push_pipe_later},
    {"/pull", pull_pipe},     {"/who", tell_origin},
};

static const struct server_req_ops req_ops = {.readable = on_readable,
                                              .closed = on_closed};

static void on_request(void *arg, struct server_req *r)
{
    struct fixture *f = arg;
    struct exchange *x = xcalloc(1, sizeof(*x));
    size_t i;

    x->f = f;
    x->r = r;
    server_req_set_ops(r, &req_ops, x);
    atomic_fetch_add(&f->requests, 1);
    for (i = 0; i < COUNTOF(routes); i++) {
        if (str_eq_c(server_req_head(r)->raw_path, routes[i].path)) {
            routes[i].fn(x);
            return;
        }
    }
    tell(x);
}

static void on_refused(void *arg, const struct gw_error *e, const char *peer,
                       struct buf *body)
{
    struct fixture *f = arg;

    ASSERT(peer[0]);
    atomic_fetch_add(&f->refused, 1);
    buf_printf(body, "{\"refused\":\"%s\"}", err_info(e->err)->name);
}

static const struct http_server_ops server_ops = {.request = on_request,
                                                  .refused = on_refused};

/* --- the fixture --- */

static void *run(void *arg)
{
    loop_run(((struct fixture *)arg)->l);
    return NULL;
}

struct call {
    struct fixture *f;
    void (*fn)(struct fixture *f);
    sem_t done;
};

static void make_call(void *arg)
{
    struct call *c = arg;

    c->fn(c->f);
    sem_post(&c->done);
}

/* Calls fn on the server's thread, and waits for it. */
static void on_loop(struct fixture *f, void (*fn)(struct fixture *f))
{
    struct call c = {.f = f, .fn = fn};

    sem_init(&c.done, 0, 0);
    loop_post(f->l, make_call, &c);
    while (sem_wait(&c.done) < 0)
        ;
    sem_destroy(&c.done);
}

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    struct gw_error e = {0};

    f->limits = (struct http_server_limits){.header_timeout_ms = 10000,
                                            .idle_timeout_ms = 60000};
    f->l = loop_new();
    f->m = metrics_new();
    f->s = http_server_open(f->l, &f->limits, &server_ops, f, f->m);
    f->ping = -1;
    if (http_server_listen(f->s, "127.0.0.1:0", "", "", 7, &e) != GW_OK)
        return -1;
    f->port = http_server_port(f->s, 0);
    snprintf(f->dir, sizeof(f->dir), "/tmp/filemux-test-XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    pthread_create(&f->thread, NULL, run, f);
    *state = f;
    return 0;
}

static void close_server(struct fixture *f)
{
    http_server_close(f->s);
    f->s = NULL;
    loop_stop(f->l);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    clock_set_for_tests(-1);
    on_loop(f, close_server);
    pthread_join(f->thread, NULL);
    loop_free(f->l);
    metrics_free(f->m);
    if (f->ping >= 0)
        close(f->ping);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void apply_limits(struct fixture *f)
{
    http_server_set_limits(f->s, &f->limits);
}

/* --- the client's side --- */

static int dial_small(struct fixture *f, int rcvbuf)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)f->port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval tv = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    assert_true(fd >= 0);
    if (rcvbuf)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static int dial(struct fixture *f)
{
    return dial_small(f, 0);
}

static bool put_bytes(int fd, const char *p, size_t n)
{
    ssize_t sent;

    while (n > 0) {
        sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        p += sent;
        n -= (size_t)sent;
    }
    return true;
}

static void put(int fd, const char *text)
{
    assert_true(put_bytes(fd, text, strlen(text)));
}

struct reply {
    int status;
    char head[8192];
    size_t head_n;
    char *body;
    size_t body_n;
    bool is_whole;
};

static void free_reply(struct reply *r)
{
    free(r->body);
    *r = (struct reply){0};
}

static const char *field(const struct reply *r, const char *name)
{
    static char value[512];
    char key[64];
    const char *p;

    snprintf(key, sizeof(key), "\r\n%s: ", name);
    p = strcasestr(r->head, key);
    if (!p)
        return NULL;
    p += strlen(key);
    snprintf(value, sizeof(value), "%.*s", (int)(strstr(p, "\r\n") - p), p);
    return value;
}

static bool get_until(int fd, char *to, size_t size, const char *end)
{
    size_t n = 0, len = strlen(end);

    while (n < size - 1) {
        if (recv(fd, to + n, 1, 0) != 1)
            return false;
        to[++n] = '\0';
        if (n >= len && strcmp(to + n - len, end) == 0)
            return true;
    }
    return false;
}

static bool get_bytes(int fd, struct reply *r, size_t n)
{
    ssize_t got;

    r->body = xrealloc(r->body, r->body_n + n + 1);
    while (n > 0) {
        got = recv(fd, r->body + r->body_n, n, 0);
        if (got <= 0)
            return false;
        r->body_n += (size_t)got;
        n -= (size_t)got;
    }
    r->body[r->body_n] = '\0';
    return true;
}

static bool get_chunks(int fd, struct reply *r)
{
    char line[64];
    unsigned size;

    do {
        if (!get_until(fd, line, sizeof(line), "\r\n") ||
            sscanf(line, "%x", &size) != 1 || !get_bytes(fd, r, size) ||
            !get_until(fd, line, sizeof(line), "\r\n") || line[0] != '\r')
            return false;
    } while (size);
    return true;
}

static bool get_rest(int fd, struct reply *r)
{
    errno = 0;
    while (get_bytes(fd, r, 4096))
        ;
    r->body[r->body_n] = '\0';
    return !errno;
}

/* Reads one reply; false when there is none (whole). */
static bool get_reply_to(int fd, struct reply *r, bool is_head)
{
    const char *value;

    free_reply(r);
    if (!get_until(fd, r->head, sizeof(r->head), "\r\n\r\n"))
        return false;
    assert_int_equal(sscanf(r->head, "HTTP/1.1 %d ", &r->status), 1);
    r->body = xcalloc(1, 1);
    if (is_head || r->status == 204 || r->status == 304 || r->status == 100)
        r->is_whole = true;
    else if ((value = field(r, "Content-Length")))
        r->is_whole = get_bytes(fd, r, strtoul(value, NULL, 10));
    else if (field(r, "Transfer-Encoding"))
        r->is_whole = get_chunks(fd, r);
    else
        r->is_whole = get_rest(fd, r);
    return r->is_whole;
}

static bool get_reply(int fd, struct reply *r)
{
    return get_reply_to(fd, r, false);
}

static void expect(int fd, int status, const char *body)
{
    struct reply r = {0};

    assert_true(get_reply(fd, &r));
    assert_int_equal(r.status, status);
    assert_string_equal(r.body, body);
    free_reply(&r);
}

/* The server has closed: in order. */
static void expect_end(int fd)
{
    char c;

    assert_int_equal(recv(fd, &c, 1, 0), 0);
}

/* Something comes that is no more bytes: an end or a reset. */
static void expect_break(int fd)
{
    char c[4096];
    ssize_t n;

    while ((n = recv(fd, c, sizeof(c), 0)) > 0)
        ;
    assert_true(n == 0 || errno == ECONNRESET);
}

static bool is_silent(int fd)
{
    char c;

    return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

/* All that was sent before has been read by the server: a new connection is
 * accepted before the first answer, and read before the second. */
static void barrier(struct fixture *f)
{
    int i;

    if (f->ping < 0)
        f->ping = dial(f);
    for (i = 0; i < 2; i++) {
        put(f->ping, GET("/ping"));
        expect(f->ping, 200, "GET /ping");
        atomic_fetch_sub(&f->requests, 1);
    }
}

static void wait_for(atomic_int *value, int wanted)
{
    int64_t end = (int64_t)time(NULL) + PATIENCE_S;

    while (atomic_load(value) != wanted) {
        assert_true(time(NULL) < end);
        usleep(1000);
    }
}

static size_t connections(struct fixture *f);
static atomic_int found;

static void count_connections(struct fixture *f)
{
    atomic_store(&found, (int)http_server_connections(f->s));
}

static size_t connections(struct fixture *f)
{
    on_loop(f, count_connections);
    return (size_t)atomic_load(&found);
}

static void wait_for_connections(struct fixture *f, size_t n)
{
    int64_t end = (int64_t)time(NULL) + PATIENCE_S;

    while (connections(f) != n) {
        assert_true(time(NULL) < end);
        usleep(1000);
    }
}

/* --- heads --- */

static void a_get_is_answered_and_the_connection_kept(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    int fd = dial(f), i;

    for (i = 0; i < 3; i++) {
        put(fd, GET("/v1/filesXYZ?a=b"));
        assert_true(get_reply(fd, &r));
        assert_int_equal(r.status, 200);
        assert_string_equal(r.body, "GET /v1/filesXYZ?a=b");
        assert_non_null(strstr(r.head, "HTTP/1.1 200 OK\r\n"));
        assert_string_equal(field(&r, "Content-Length"), "20");
        assert_string_equal(field(&r, "Content-Type"), "text/plain");
        assert_null(field(&r, "Connection"));
        assert_non_null(strstr(field(&r, "Date"), " GMT"));
    }
    wait_for(&f->closed[SERVER_REPLIED], 3);
    free_reply(&r);
    close(fd);
    wait_for_connections(f, 0);
}

/* T1: evhtp alone serves a wrong path here. */
static void a_head_may_be_split_anywhere(void **st)
{
    static const char head[] = "GET /v1/files/file-abcdef/content HTTP/1.1\r\n"
                               "Host: h\r\nX-Long: value, value\r\n\r\n";
    struct fixture *f = *st;
    size_t i;
    int fd = dial(f);

    for (i = 1; i < sizeof(head) - 1; i++) {
        assert_true(put_bytes(fd, head, i));
        barrier(f);
        assert_true(put_bytes(fd, head + i, sizeof(head) - 1 - i));
        expect(fd, 200, "GET /v1/files/file-abcdef/content");
    }
    close(fd);
}

static void a_head_may_come_byte_by_byte(void **st)
{
    static const char head[] = "\r\nGET /abcdef/gh HTTP/1.1\r\nHost: h\r\n\r\n";
    struct fixture *f = *st;
    size_t i;
    int fd = dial(f);

    for (i = 0; i < sizeof(head) - 1; i++) {
        assert_true(put_bytes(fd, head + i, 1));
        barrier(f);
    }
    expect(fd, 200, "GET /abcdef/gh");
    close(fd);
}

/* T7 */
static void pipelined_requests_are_answered_in_order(void **st)
{
    struct fixture *f = *st;
    char want[32];
    int fd = dial(f), i;

    put(fd, GET("/0") GET("/1") GET("/2") GET("/3") GET("/4") GET("/5")
                GET("/6") GET("/7") GET("/8") GET("/9"));
    for (i = 0; i < 10; i++) {
        snprintf(want, sizeof(want), "GET /%d", i);
        expect(fd, 200, want);
    }
    close(fd);
}

static void pipelined_requests_wait_for_slow_handlers(void **st)
{
    struct fixture *f = *st;
    int fd = dial(f), i;

    put(fd, GET("/later") GET("/later") GET("/1"));
    barrier(f);
    put(fd, GET("/later") GET("/2"));
    for (i = 0; i < 2; i++)
        expect(fd, 200, "GET /later");
    expect(fd, 200, "GET /1");
    expect(fd, 200, "GET /later");
    expect(fd, 200, "GET /2");
    close(fd);
}

static void *send_many(void *arg)
{
    int fd = *(int *)arg, i;

    for (i = 0; i < 3000; i++)
        if (!put_bytes(fd, GET("/later/not"), strlen(GET("/later/not"))))
            return NULL;
    return arg;
}

static void more_pipelined_requests_than_are_held_wait_in_the_kernel(void **st)
{
    struct fixture *f = *st;
    int fd = dial(f), i;
    pthread_t t;
    void *ok;

    put(fd, GET("/later"));
    pthread_create(&t, NULL, send_many, &fd);
    expect(fd, 200, "GET /later");
    for (i = 0; i < 3000; i++)
        expect(fd, 200, "GET /later/not");
    pthread_join(t, &ok);
    assert_non_null(ok);
    close(fd);
}

/* T12, T20: what follows such a head must never be taken for a request. */
static void
a_head_that_could_smuggle_is_refused_and_the_connection_closed(void **st)
{
    static const struct {
        const char *head;
        int status;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
         "Content-Length: 4\r\n\r\n",
         400},
        {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 4, 4\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: +4\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length : 4\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\n"
         "Content-Length: 99999999999999999999\r\n\r\n",
         400},
        {"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         400},
        {"GET / HTTP/1.1\r\nHost: h\r\n"
         "Transfer-Encoding: gzip, chunked\r\n\r\n",
         501},
        {"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
         501},
        {"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         400},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: h\n\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/9.9\r\nHost: h\r\n\r\n", 505},
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
        {"GET /\r\n\r\n", 400},
        {"CONNECT a:443 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"\x16\x03\x01\r\n\r\n", 400},
    };
    struct fixture *f = *st;
    struct reply r = {0};
    size_t i;
    int fd;

    for (i = 0; i < COUNTOF(cases); i++) {
        fd = dial(f);
        put(fd, cases[i].head);
        put(fd, GET("/smuggled"));
        assert_true(get_reply(fd, &r));
        assert_int_equal(r.status, cases[i].status);
        assert_string_equal(field(&r, "Connection"), "close");
        assert_string_equal(field(&r, "Content-Type"), "application/json");
        assert_non_null(strstr(r.body, "{\"refused\":\""));
        expect_end(fd);
        close(fd);
    }
    assert_int_equal(atomic_load(&f->requests), 0);
    assert_int_equal(atomic_load(&f->refused), COUNTOF(cases));
    free_reply(&r);
}

static void a_method_and_a_path_that_evhtp_does_not_know_are_ours(void **st)
{
    struct fixture *f = *st;
    int fd = dial(f);

    put(fd, "FROB /a.b%20c/?q=%00x#\"<> HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(fd, 400, "{\"refused\":\"BAD_REQUEST\"}");
    close(fd);
    fd = dial(f);
    put(fd, "FROB /a.b%20c\\|\"<>^`{}/?=&;a HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(fd, 200, "FROB /a.b%20c\\|\"<>^`{}/?=&;a");
    put(fd, GET("/..//%2e%2e/"));
    expect(fd, 200, "GET /..//%2e%2e/");
    close(fd);
}

static void expect_refusal(struct fixture *f, int fd, int status)
{
    struct reply r = {0};

    assert_true(get_reply(fd, &r));
    assert_int_equal(r.status, status);
    expect_end(fd);
    free_reply(&r);
    close(fd);
    assert_int_equal(atomic_load(&f->requests), 0);
}

/* T9 */
static void heads_without_bound_are_refused(void **st)
{
    struct fixture *f = *st;
    char *big = xmalloc(200000);
    int fd, i;

    memset(big, 'a', 200000);
    fd = dial(f); /* one endless field */
    put(fd, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
    put_bytes(fd, big, 200000);
    expect_refusal(f, fd, 431);
    fd = dial(f); /* an endless target */
    put(fd, "GET /");
    put_bytes(fd, big, 200000);
    expect_refusal(f, fd, 414);
    fd = dial(f); /* a long target in a complete head */
    put(fd, "GET /");
    put_bytes(fd, big, 9000);
    put(fd, " HTTP/1.1\r\nHost: h\r\n\r\n");
    expect_refusal(f, fd, 414);
    fd = dial(f); /* many fields */
    put(fd, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (i = 0; i < 200; i++)
        put(fd, "X: y\r\n");
    put(fd, "\r\n");
    expect_refusal(f, fd, 431);
    free(big);
}

/* evhtp's parser holds 8 KB. */
static void a_target_and_a_field_near_the_bounds_are_served(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    char *big = xcalloc(1, 20001);
    int fd = dial(f);

    memset(big, 'a', 20000);
    put(fd, "GET /");
    put_bytes(fd, big, LIMIT_TARGET_BYTES - 1);
    put(fd, " HTTP/1.1\r\nHost: h\r\nX: ");
    put(fd, big);
    put(fd, "\r\n\r\n");
    assert_true(get_reply(fd, &r));
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body_n, 4 + LIMIT_TARGET_BYTES);
    free_reply(&r);
    free(big);
    close(fd);
}

static void http_1_0_closes_unless_asked_to_keep_alive(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    int fd = dial(f);

    put(fd, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_true(get_reply(fd, &r));
    assert_string_equal(field(&r, "Connection"), "keep-alive");
    put(fd, "GET /a HTTP/1.0\r\n\r\n");
    assert_true(get_reply(fd, &r));
    assert_string_equal(field(&r, "Connection"), "close");
    expect_end(fd);
    free_reply(&r);
    close(fd);
}

static void a_client_that_asks_to_close_is_obeyed(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    int fd = dial(f);

    put(fd, "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_true(get_reply(fd, &r));
    assert_string_equal(field(&r, "Connection"), "close");
    expect_end(fd);
    free_reply(&r);
    close(fd);
    wait_for(&f->closed[SERVER_REPLIED], 1);
}

/* --- bodies --- */

static uint32_t sum_of(const char *p, size_t n)
{
    uint32_t sum = 0;
    size_t i;

    for (i = 0; i < n; i++)
        sum = sum * 31 + (unsigned char)p[i];
    return sum;
}

static char *make_body(size_t n)
{
    char *p = xmalloc(n + 1);
    size_t i;

    for (i = 0; i < n; i++)
        p[i] = pattern(i);
    p[n] = '\0';
    return p;
}

static void expect_count(int fd, const char *body, size_t n)
{
    char want[64];

    snprintf(want, sizeof(want), "%zu %u", n, sum_of(body, n));
    expect(fd, 200, want);
}

static void bodies_of_any_length_are_read_whole(void **st)
{
    static const size_t sizes[] = {0,    1,     999,    1000,
                                   1001, 65536, 300000, 5000000};
    struct fixture *f = *st;
    char head[128], *body = make_body(5000000);
    int fd = dial(f);
    size_t i;

    for (i = 0; i < COUNTOF(sizes); i++) {
        snprintf(head, sizeof(head),
                 "POST /%s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                 i % 2 ? "count" : "want", sizes[i]);
        put(fd, head);
        assert_true(put_bytes(fd, body, sizes[i]));
        expect_count(fd, body, sizes[i]);
    }
    free(body);
    close(fd);
}

static void a_request_behind_a_body_is_the_next(void **st)
{
    struct fixture *f = *st;
    int fd = dial(f), i;

    for (i = 0; i < 3; i++)
        put(fd, "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n"
                "hello" GET("/next"));
    for (i = 0; i < 3; i++) {
        expect_count(fd, "hello", 5);
        expect(fd, 200, "GET /next");
    }
    close(fd);
}

#define CHUNKED(path)                                                          \
    "POST " path " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

/* T8 */
static void a_chunked_body_is_decoded_and_its_trailers_dropped(void **st)
{
    struct fixture *f = *st;
    int fd = dial(f);

    put(fd, CHUNKED("/count") "5;ext=1\r\nhello\r\n6\r\n world\r\n"
                              "0\r\nX-One: 1\r\nContent-Length: 3\r\n\r\n" GET(
                                  "/next"));
    expect_count(fd, "hello world", 11);
    expect(fd, 200, "GET /next");
    put(fd, CHUNKED("/want") "0\r\n\r\n");
    expect_count(fd, "", 0);
    close(fd);
}

static void a_chunked_body_may_be_split_anywhere(void **st)
{
    static const char text[] =
        CHUNKED("/want") "5\r\nhello\r\n0a\r\n0123456789"
                         "\r\n0\r\nX: y\r\n\r\n" GET("/next");
    struct fixture *f = *st;
    size_t i, n = sizeof(text) - 1;
    int fd = dial(f);

    for (i = strlen(CHUNKED("/want")) - 3; i < n; i++) {
        assert_true(put_bytes(fd, text, i));
        barrier(f);
        assert_true(put_bytes(fd, text + i, n - i));
        expect_count(fd, "hello0123456789", 15);
        expect(fd, 200, "GET /next");
    }
    close(fd);
}

static void *send_chunks(void *arg)
{
    int fd = *(int *)arg;
    char line[32], *body = make_body(3000000);
    size_t at = 0, n;

    put_bytes(fd, CHUNKED("/count"), strlen(CHUNKED("/count")));
    for (n = 1; at < 3000000; n = n * 3 % 70001 + 1) {
        n = MIN(n, 3000000 - at);
        snprintf(line, sizeof(line), "%zx\r\n", n);
        put_bytes(fd, line, strlen(line));
        put_bytes(fd, body + at, n);
        put_bytes(fd, "\r\n", 2);
        at += n;
    }
    put_bytes(fd, "0\r\n\r\n" GET("/next"), 5 + strlen(GET("/next")));
    free(body);
    return NULL;
}

static void a_large_chunked_upload_is_read_whole(void **st)
{
    struct fixture *f = *st;
    char *body = make_body(3000000);
    int fd = dial(f);
    pthread_t t;

    pthread_create(&t, NULL, send_chunks, &fd);
    expect_count(fd, body, 3000000);
    expect(fd, 200, "GET /next");
    pthread_join(t, NULL);
    free(body);
    close(fd);
}

static void broken_chunks_are_a_bad_request_and_end_the_connection(void **st)
{
    static const char *const cases[] = {
        "zz\r\n",     "10000000000000005\r\nhello\r\n",
        "5\nhello\n", "5\r\nhello!\n",
        "-1\r\n",     " 5\r\nhello",
    };
    struct fixture *f = *st;
    size_t i;
    int fd;

    for (i = 0; i < COUNTOF(cases); i++) {
        fd = dial(f);
        put(fd, CHUNKED("/count"));
        put(fd, cases[i]);
        put(fd, GET("/smuggled"));
        expect(fd, 400, "BAD_REQUEST");
        expect_end(fd);
        close(fd);
    }
    assert_int_equal(atomic_load(&f->requests), COUNTOF(cases));
}

/* --- Expect --- */

#define EXPECT(path, size)                                                     \
    "POST " path " HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"            \
    "Content-Length: " size "\r\n\r\n"

static void continue_is_sent_when_the_body_is_asked_for(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    int fd = dial(f);

    put(fd, EXPECT("/count", "5"));
    assert_true(get_reply(fd, &r));
    assert_int_equal(r.status, 100);
    put(fd, "hello");
    expect_count(fd, "hello", 5);
    put(fd, GET("/next"));
    expect(fd, 200, "GET /next");
    free_reply(&r);
    close(fd);
}

static void
a_refused_request_gets_no_continue_and_the_connection_ends(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    int fd = dial(f);

    put(fd, EXPECT("/deny", "5"));
    assert_true(get_reply(fd, &r));
    assert_int_equal(r.status, 401);
    /* Whether the body still comes, nobody knows. */
    assert_string_equal(field(&r, "Connection"), "close");
    expect_end(fd);
    free_reply(&r);
    close(fd);
}

static void no_continue_is_sent_before_a_handler_asks(void **st)
{
    struct fixture *f = *st;
    int fd = dial(f);

    put(fd, EXPECT("/hold", "5"));
    barrier(f);
    assert_true(is_silent(fd));
    close(fd);
    wait_for(&f->closed[SERVER_CLIENT_GONE], 1);
}

static void a_client_that_does_not_wait_gets_no_continue(void **st)
{
    struct fixture *f = *st;
    int fd = dial(f);

    put(fd, EXPECT("/want", "5") "hello");
    expect_count(fd, "hello", 5);
    close(fd);
}

/* --- early replies --- */

/* T3: the body is not the next request. */
static void a_short_body_that_nobody_read_is_dropped(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    char head[128];
    int fd = dial(f), late;

    for (late = 0; late < 2; late++) {
        snprintf(
            head, sizeof(head),
            "POST /deny HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
            strlen(GET("/smuggled")));
        put(fd, head);
        if (late)
            barrier(f);
        put(fd, GET("/smuggled"));
        put(fd, GET("/next"));
        assert_true(get_reply(fd, &r));
        assert_int_equal(r.status, 401);
        assert_null(field(&r, "Connection"));
        expect(fd, 200, "GET /next");
    }
    assert_int_equal(atomic_load(&f->requests), 4);
    put(fd, CHUNKED("/deny") "5\r\nhello\r\n0\r\n\r\n" GET("/next"));
    expect(fd, 401, "denied");
    expect(fd, 200, "GET /next");
    free_reply(&r);
    close(fd);
}

/* T3b: the client, still sending, gets the reply and no reset. */
static void an_early_reply_reaches_a_client_that_is_still_sending(void **st)
{
    static const char *const heads[] = {
        "POST /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n",
        CHUNKED("/deny") "f00000\r\n",
        "POST /some HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n",
        CHUNKED("/deny") "5\r\nhello\r\n0!\r\n", /* broken behind the reply */
    };
    struct fixture *f = *st;
    char *body = make_body(4000000);
    struct reply r = {0};
    size_t i;
    int fd;

    for (i = 0; i < COUNTOF(heads); i++) {
        fd = dial(f);
        put(fd, heads[i]);
        assert_true(put_bytes(fd, body, 3000000));
        assert_true(put_bytes(fd, GET("/smuggled"), strlen(GET("/smuggled"))));
        assert_true(get_reply(fd, &r));
        assert_int_equal(r.status, i == 2 ? 413 : 401);
        assert_string_equal(field(&r, "Connection"), "close");
        expect_end(fd);
        close(fd);
    }
    assert_int_equal(atomic_load(&f->requests), COUNTOF(heads));
    wait_for(&f->closed[SERVER_REPLIED], COUNTOF(heads));
    wait_for_connections(f, 0);
    free_reply(&r);
    free(body);
}

static void a_client_that_never_stops_sending_is_cut_off(void **st)
{
    struct fixture *f = *st;
    char *body = make_body(1000000);
    size_t sent = 0;
    int fd = dial(f);

    put(fd, "POST /deny HTTP/1.1\r\nHost: h\r\n"
            "Content-Length: 100000000000\r\n\r\n");
    while (put_bytes(fd, body, 1000000)) {
        sent += 1000000;
        assert_true(sent < 60000000);
    }
    free(body);
    close(fd);
}

/* --- replies --- */

/* T4: evhtp alone writes a length of 0 here, and then the body. */
static void the_content_type_multipart_does_not_confuse_the_reply(void **st)
{
    struct fixture *f = *st;
    int fd = dial(f), i;

    for (i = 0; i < 2; i++) {
        put(fd,
            "GET /a HTTP/1.1\r\nHost: h\r\nContent-Type: multipart\r\n\r\n");
        expect(fd, 200, "GET /a");
    }
    close(fd);
}

/* T13 */
static void head_gets_the_head_alone(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    int fd = dial(f);

    put(fd, "HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(get_reply_to(fd, &r, true));
    assert_string_equal(field(&r, "Content-Length"), "9");
    put(fd, "HEAD /push?size=5000&length=5000 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(get_reply_to(fd, &r, true));
    assert_string_equal(field(&r, "Content-Length"), "5000");
    put(fd, GET("/next"));
    expect(fd, 200, "GET /next");
    wait_for(&f->closed[SERVER_REPLIED], 3);
    free_reply(&r);
    close(fd);
}

static void a_204_has_neither_length_nor_body(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    int fd = dial(f);

    put(fd, GET("/status?204") GET("/status?304") GET("/next"));
    assert_true(get_reply(fd, &r));
    assert_int_equal(r.status, 204);
    assert_null(field(&r, "Content-Length"));
    assert_true(get_reply(fd, &r));
    assert_int_equal(r.status, 304);
    expect(fd, 200, "GET /next");
    free_reply(&r);
    close(fd);
}

/* T15 */
static void every_status_has_its_reason(void **st)
{
    static const char *const lines[] = {
        "HTTP/1.1 429 Too Many Requests\r\n",
        "HTTP/1.1 431 Request Header Fields Too Large\r\n",
        "HTTP/1.1 422 Unprocessable Content\r\n",
        "HTTP/1.1 507 Insufficient Storage\r\n",
        "HTTP/1.1 299 \r\n",
    };
    struct fixture *f = *st;
    struct reply r = {0};
    char head[64];
    int fd = dial(f);
    size_t i;

    for (i = 0; i < COUNTOF(lines); i++) {
        snprintf(head, sizeof(head),
                 "GET /status?%.3s HTTP/1.1\r\nHost: h\r\n\r\n", lines[i] + 9);
        put(fd, head);
        assert_true(get_reply(fd, &r));
        assert_memory_equal(r.head, lines[i], strlen(lines[i]));
    }
    free_reply(&r);
    close(fd);
}

static void all_errors_have_a_reason(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    char head[64];
    int fd = dial(f), i;

    for (i = GW_OK + 1; i < GW_ERR_COUNT; i++) {
        if (i == GW_CLIENT_GONE)
            continue;
        snprintf(head, sizeof(head),
                 "GET /status?%d HTTP/1.1\r\nHost: h\r\n\r\n",
                 err_info((enum gw_err)i)->http);
        put(fd, head);
        assert_true(get_reply(fd, &r));
        assert_int_not_equal(r.head[13], '\r');
    }
    free_reply(&r);
    close(fd);
}

static void expect_pattern(int fd, const char *request, size_t size)
{
    struct reply r = {0};
    char *want = make_body(size);

    put(fd, request);
    assert_true(get_reply(fd, &r));
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body_n, size);
    assert_memory_equal(r.body, want, size);
    free_reply(&r);
    free(want);
}

static void pipes_of_any_size_arrive_whole(void **st)
{
    static const size_t sizes[] = {0, 1, 16384, 100000, 3000000};
    static const char *const ways[] = {"push", "pushlater", "pull"};
    struct fixture *f = *st;
    int fd = dial(f), small = dial_small(f, 4096), replies = 0;
    char request[128];
    size_t i, way;

    for (i = 0; i < COUNTOF(sizes); i++) {
        for (way = 0; way < COUNTOF(ways); way++) {
            snprintf(request, sizeof(request),
                     "GET /%s?size=%zu&length=%zu HTTP/1.1\r\nHost: h\r\n\r\n",
                     ways[way], sizes[i], sizes[i]);
            expect_pattern(fd, request, sizes[i]);
            snprintf(request, sizeof(request),
                     "GET /%s?size=%zu&piece=7777 HTTP/1.1\r\nHost: h\r\n\r\n",
                     ways[way], sizes[i]);
            expect_pattern(fd, request, sizes[i]);
            expect_pattern(small, request, sizes[i]);
            replies += 3;
        }
    }
    wait_for(&f->closed[SERVER_REPLIED], replies);
    close(fd);
    close(small);
}

static void
a_pipe_of_unknown_length_ends_with_the_connection_on_http_1_0(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    int fd = dial(f);

    put(fd, "GET /push?size=100000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_true(get_reply(fd, &r));
    assert_null(field(&r, "Transfer-Encoding"));
    assert_string_equal(field(&r, "Connection"), "close");
    assert_int_equal(r.body_n, 100000);
    free_reply(&r);
    close(fd);
}

static void a_pipe_that_does_not_keep_its_word_breaks_the_connection(void **st)
{
    static const char *const paths[] = {
        "/push?size=50000&length=100000",         /* ends short */
        "/push?size=100000&length=50000",         /* too long */
        "/push?size=50000&length=100000&how=102", /* fails */
        "/push?size=50000&how=102",               /* fails, in chunks */
        "/pushlater?size=50000&how=102",          /* fails before its head */
        "/pull?size=50000&length=100000",
        "/pull?size=90000&length=9",
        "/pull?size=50000&how=102",
    };
    struct fixture *f = *st;
    struct reply r = {0};
    char request[128];
    size_t i;
    int fd;

    for (i = 0; i < COUNTOF(paths); i++) {
        fd = dial(f);
        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: h\r\n\r\n" GET("/next"), paths[i]);
        put(fd, request);
        assert_false(get_reply(fd, &r));
        expect_break(fd);
        close(fd);
    }
    wait_for(&f->closed[SERVER_ABORTED], COUNTOF(paths));
    assert_int_equal(atomic_load(&f->requests), COUNTOF(paths));
    free_reply(&r);
}

static void a_pipe_with_more_than_it_may_have_is_broken_off(void **st)
{
    static const char *const paths[] = {"/push?size=100000&most=99999",
                                        "/pushlater?size=1&most=0",
                                        "/pull?size=90000&most=50000"};
    struct fixture *f = *st;
    struct reply r = {0};
    char request[128];
    size_t i;
    int fd;

    for (i = 0; i < COUNTOF(paths); i++) {
        fd = dial(f);
        snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n",
                 paths[i]);
        put(fd, request);
        assert_false(get_reply(fd, &r));
        expect_break(fd);
        close(fd);
    }
    wait_for(&f->closed[SERVER_TOO_LONG], COUNTOF(paths));
    fd = dial(f);
    expect_pattern(fd, GET("/push?size=100000&most=100000"), 100000);
    expect_pattern(fd, GET("/pull?size=0&most=0"), 0);
    close(fd);
    free_reply(&r);
}

static void an_until_close_reply_that_fails_does_not_look_complete(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    int fd = dial(f);

    put(fd, "GET /push?size=100000&how=102 HTTP/1.0\r\n\r\n");
    assert_false(get_reply(fd, &r));
    free_reply(&r);
    close(fd);
}

static void an_aborted_request_breaks_the_connection(void **st)
{
    struct fixture *f = *st;
    int fd = dial(f);

    put(fd, GET("/abort"));
    expect_break(fd);
    wait_for(&f->closed[SERVER_ABORTED], 1);
    close(fd);
}

/* --- clients that are slow, or go --- */

static void a_slow_reader_does_not_make_the_server_hold_more(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    int fd = dial_small(f, 4096), i;
    long long before;

    put(fd, GET("/push?size=30000000&length=30000000"));
    barrier(f);
    do { /* until the kernel's buffers are full */
        before = atomic_load(&f->written);
        for (i = 0; i < 5; i++)
            barrier(f);
    } while (atomic_load(&f->written) != before);
    assert_true(atomic_load(&f->written) < 30000000);
    assert_true(atomic_load(&f->max_level) >= LIMIT_PIPE_HIGH);
    assert_true(atomic_load(&f->max_level) < LIMIT_PIPE_HIGH + 16384);
    assert_true(get_reply(fd, &r)); /* and it all arrives */
    assert_int_equal(r.body_n, 30000000);
    free_reply(&r);
    close(fd);
}

static void a_reader_that_stands_still_is_cut_off(void **st)
{
    struct fixture *f = *st;
    int fd = dial_small(f, 4096);

    f->limits.idle_timeout_ms = 50;
    on_loop(f, apply_limits);
    put(fd, GET("/push?size=30000000&length=30000000"));
    wait_for(&f->closed[SERVER_CLIENT_GONE], 1);
    wait_for(&f->cancelled, 1);
    close(fd);
}

static void a_client_that_goes_during_a_reply_cancels_the_pipe(void **st)
{
    struct fixture *f = *st;
    int fd = dial_small(f, 4096);

    put(fd, GET("/push?size=30000000&length=30000000"));
    barrier(f);
    close(fd);
    wait_for(&f->closed[SERVER_CLIENT_GONE], 1);
    wait_for(&f->cancelled, 1);
}

static void a_client_that_goes_between_bytes_of_a_reply_is_noticed(void **st)
{
    struct fixture *f = *st;
    int fd = dial(f);

    put(fd, GET("/push?size=10&length=100&how=110")); /* never ends */
    barrier(f);
    close(fd);
    wait_for(&f->closed[SERVER_CLIENT_GONE], 1);
}

/* T14 */
static void a_client_that_goes_while_nothing_is_read_is_noticed(void **st)
{
    static const char *const sent[] = {
        GET("/hold"),
        GET("/hold") GET("/next"),
        "POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n",
        "POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\nhello",
        CHUNKED("/hold"),
    };
    struct fixture *f = *st;
    size_t i;
    int fd, resets, n = 0;
    struct linger now = {.l_onoff = 1};

    for (i = 0; i < COUNTOF(sent); i++) {
        for (resets = 0; resets < 2; resets++) {
            fd = dial(f);
            put(fd, sent[i]);
            barrier(f);
            if (resets)
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
            close(fd);
            wait_for(&f->closed[SERVER_CLIENT_GONE], ++n);
        }
    }
    wait_for_connections(f, 1);
}

/* Bytes are unread in the kernel when the end comes. */
static void a_client_that_goes_with_its_body_unread_is_noticed(void **st)
{
    struct fixture *f = *st;
    struct linger now = {.l_onoff = 1};
    char *body = make_body(40000);
    int fd;

    fd = dial(f);
    put(fd, "POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 50000\r\n\r\n");
    assert_true(put_bytes(fd, body, 40000));
    barrier(f);
    close(fd);
    wait_for(&f->closed[SERVER_CLIENT_GONE], 1);
    fd = dial(f);
    put(fd, "POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 40000\r\n\r\n");
    assert_true(put_bytes(fd, body, 40000));
    barrier(f);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
    wait_for(&f->closed[SERVER_CLIENT_GONE], 2);
    free(body);
}

static void a_client_that_goes_while_its_body_is_read_is_noticed(void **st)
{
    struct fixture *f = *st;
    int fd = dial(f);

    put(fd,
        "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\nhello");
    barrier(f);
    close(fd);
    wait_for(&f->closed[SERVER_CLIENT_GONE], 1);
    assert_true(atomic_load(&f->saw_closed));
}

static void spin_check(struct fixture *f, int64_t *cpu_us)
{
    struct rusage u;

    barrier(f);
    getrusage(RUSAGE_SELF, &u);
    *cpu_us = u.ru_utime.tv_sec * 1000000 + u.ru_utime.tv_usec +
              u.ru_stime.tv_sec * 1000000 + u.ru_stime.tv_usec;
}

/* A watch that is level-triggered would burn a core in these states. */
static void nothing_spins_while_a_request_waits(void **st)
{
    struct fixture *f = *st;
    int64_t before, after;
    char *body = make_body(100000);
    int a = dial(f), b = dial(f), c = dial(f);

    put(a, "POST /hold HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    assert_true(put_bytes(a, body, 100000));
    shutdown(a, SHUT_WR); /* all of the body is there: it stays */
    put(b, GET("/hold") GET("/next"));
    put(c, "POST /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n");
    spin_check(f, &before);
    usleep(300000); /* a stretch of time to measure, not a wait */
    spin_check(f, &after);
    assert_true(after - before < 150000);
    assert_int_equal(atomic_load(&f->closed[SERVER_CLIENT_GONE]), 0);
    free(body);
    close(a);
    close(b);
    close(c);
}

/* --- deadlines --- */

static void a_head_that_trickles_in_is_answered_408(void **st)
{
    struct fixture *f = *st;
    int fd;

    f->limits.header_timeout_ms = 50;
    on_loop(f, apply_limits);
    fd = dial(f);
    put(fd, "GET / HT");
    expect_refusal(f, fd, 408);
    fd = dial(f); /* also as the second of a connection */
    put(fd, GET("/a") "GET");
    expect(fd, 200, "GET /a");
    expect(fd, 408, "{\"refused\":\"REQUEST_TIMEOUT\"}");
    expect_end(fd);
    close(fd);
}

static void a_connection_without_a_request_is_closed(void **st)
{
    struct fixture *f = *st;
    int fd;

    f->limits.header_timeout_ms = 50;
    on_loop(f, apply_limits);
    fd = dial(f);
    expect_end(fd);
    close(fd);
    assert_int_equal(atomic_load(&f->refused), 0);
}

static void an_idle_connection_is_closed(void **st)
{
    struct fixture *f = *st;
    int fd;

    f->limits.idle_timeout_ms = 50;
    on_loop(f, apply_limits);
    fd = dial(f);
    put(fd, GET("/a"));
    expect(fd, 200, "GET /a");
    expect_end(fd);
    close(fd);
}

static void a_body_that_stands_still_is_a_timeout(void **st)
{
    struct fixture *f = *st;
    int fd;

    f->limits.idle_timeout_ms = 50;
    on_loop(f, apply_limits);
    fd = dial(f);
    put(fd,
        "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nhello");
    expect(fd, 408, "REQUEST_TIMEOUT");
    expect_end(fd);
    close(fd);
}

/* The clock stands still but for what the test does. */
static void tick(struct fixture *f, int64_t *now, int64_t by_ms, int fd)
{
    barrier(f);
    *now += by_ms;
    clock_set_for_tests(*now);
    put(fd, "x");
    barrier(f);
}

static void a_body_below_the_least_rate_is_a_timeout(void **st)
{
    struct fixture *f = *st;
    int64_t now = clock_mono_ms();
    int fd, i;

    clock_set_for_tests(now);
    f->limits.min_rate = 100;
    on_loop(f, apply_limits);
    fd = dial(f);
    put(fd, "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n");
    for (i = 0; i < 9; i++)
        tick(f, &now, 1000, fd);
    assert_true(is_silent(fd));
    tick(f, &now, 1000, fd);
    expect(fd, 408, "REQUEST_TIMEOUT");
    expect_end(fd);
    close(fd);
}

static void a_body_at_the_least_rate_is_not(void **st)
{
    struct fixture *f = *st;
    int64_t now = clock_mono_ms();
    char *body = make_body(3100);
    struct reply r = {0};
    int fd, i;

    clock_set_for_tests(now);
    f->limits.min_rate = 100;
    on_loop(f, apply_limits);
    fd = dial(f);
    put(fd, "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 3131\r\n\r\n");
    for (i = 0; i < 31; i++) {
        assert_true(put_bytes(fd, body + i * 100, 100));
        tick(f, &now, 1000, fd);
    }
    free(body);
    assert_true(get_reply(fd, &r));
    assert_int_equal(r.status, 200);
    assert_memory_equal(r.body, "3131 ", 5);
    free_reply(&r);
    close(fd);
}

/* --- the server as a whole --- */

static void connections_beyond_the_bound_are_refused(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    struct buf text;
    int a, b, c;

    f->limits.max_connections = 2;
    on_loop(f, apply_limits);
    a = dial(f);
    b = dial(f);
    put(a, GET("/a"));
    expect(a, 200, "GET /a");
    put(b, GET("/b"));
    expect(b, 200, "GET /b");
    c = dial(f);
    assert_true(get_reply(c, &r));
    assert_int_equal(r.status, 503);
    expect_end(c);
    close(c);
    buf_init(&text, 1 << 20);
    metrics_render(&text);
    assert_non_null(strstr(text.p, "filemux_refused_connections_total{reason="
                                   "\"max_connections\"} 1\n"));
    assert_non_null(strstr(text.p, "filemux_client_connections 2\n"));
    buf_release(&text);
    close(a);
    wait_for_connections(f, 1);
    c = dial(f);
    put(c, GET("/c"));
    expect(c, 200, "GET /c");
    free_reply(&r);
    close(b);
    close(c);
}

static int highest_fd(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *e;
    int max = 0;

    while ((e = readdir(dir)))
        max = MAX(max, (int)strtol(e->d_name, NULL, 10));
    closedir(dir);
    return max;
}

/* T19 */
static void running_out_of_descriptors_is_survived(void **st)
{
    struct fixture *f = *st;
    struct rlimit old, few;
    int64_t before, after;
    int fd = dial(f), waiting = dial(f), spare[1024], n = 0;

    log_setup(LOG_ERROR, LOG_LOGFMT);
    barrier(f);
    getrlimit(RLIMIT_NOFILE, &old);
    few = old;
    few.rlim_cur = (rlim_t)highest_fd() + 2;
    put(waiting, GET("/w"));
    expect(waiting, 200, "GET /w");
    close(waiting);
    wait_for_connections(f, 2);
    waiting = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    while (n < 1024 && (spare[n] = dup(fd)) >= 0)
        n++;
    assert_true(n < 1024);
    {
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)f->port),
                                .sin_addr = {htonl(INADDR_LOOPBACK)}};
        struct timeval tv = {.tv_sec = PATIENCE_S};

        setsockopt(waiting, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
        assert_int_equal(connect(waiting, (struct sockaddr *)&a, sizeof(a)), 0);
    }
    put(waiting, GET("/w"));
    spin_check(f, &before); /* others are served */
    usleep(300000);         /* a stretch of time to measure, not a wait */
    spin_check(f, &after);
    assert_true(after - before < 150000);
    put(fd, GET("/still"));
    expect(fd, 200, "GET /still");
    while (n > 0)
        close(spare[--n]);
    setrlimit(RLIMIT_NOFILE, &old);
    expect(waiting, 200, "GET /w"); /* accepted after a pause */
    log_setup(LOG_INFO, LOG_LOGFMT);
    close(fd);
    close(waiting);
}

static void drain(struct fixture *f)
{
    http_server_drain(f->s);
}

static void draining_closes_what_is_idle_and_ends_the_rest(void **st)
{
    struct fixture *f = *st;
    struct reply r = {0};
    int idle = dial(f), busy = dial(f), fresh = dial(f), late;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)f->port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};

    put(idle, GET("/a"));
    expect(idle, 200, "GET /a");
    put(busy, "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
    barrier(f);
    close(f->ping);
    f->ping = -1;
    on_loop(f, drain);
    expect_end(idle);
    put(busy, "llo");
    assert_true(get_reply(busy, &r));
    assert_int_equal(r.status, 200);
    assert_string_equal(field(&r, "Connection"), "close");
    expect_end(busy);
    put(fresh, GET("/fresh")); /* its request was on the way */
    assert_true(get_reply(fresh, &r));
    assert_string_equal(r.body, "GET /fresh");
    expect_end(fresh);
    close(idle);
    close(busy);
    close(fresh);
    wait_for_connections(f, 0);
    late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&a, sizeof(a)), -1);
    close(late);
    free_reply(&r);
}

static void closing_the_server_ends_every_request_once(void **st)
{
    struct fixture *f = *st;
    int fds[4], i;

    for (i = 0; i < 4; i++)
        fds[i] = dial(f);
    put(fds[0], GET("/hold"));
    put(fds[1], "POST /count HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    put(fds[2], GET("/push?size=30000000"));
    put(fds[3], "GET");
    barrier(f);
    on_loop(f, close_server);
    assert_int_equal(atomic_load(&f->closed[SERVER_ABORTED]), 3);
    for (i = 0; i < 4; i++) {
        expect_break(fds[i]);
        close(fds[i]);
    }
    pthread_join(f->thread, NULL);
    pthread_create(&f->thread, NULL, run, f); /* for tear_down */
}

static void requests_know_their_listener_and_peer(void **st)
{
    struct fixture *f = *st;
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    char want[64];
    int fd = dial(f);

    getsockname(fd, (struct sockaddr *)&own, &len);
    snprintf(want, sizeof(want), "7 127.0.0.1:%d", ntohs(own.sin_port));
    put(fd, GET("/who"));
    expect(fd, 200, want);
    close(fd);
}

/* --- other listeners --- */

static char address[128], cert_file[64], key_file[64];
static enum gw_err listened;
static struct gw_error listen_error;

static void listen_there(struct fixture *f)
{
    listen_error = (struct gw_error){0};
    listened = http_server_listen(f->s, address, cert_file, key_file, 8,
                                  &listen_error);
}

static int dial_unix(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval tv = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

static void leave_stale_socket(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 1), 0);
    close(fd);
}

static void a_unix_socket_replaces_a_stale_one_and_is_shared(void **st)
{
    struct fixture *f = *st;
    struct stat info;
    char path[64];
    int fd;

    cert_file[0] = key_file[0] = '\0';
    snprintf(path, sizeof(path), "%s/s", f->dir);
    snprintf(address, sizeof(address), "unix:%s", path);
    leave_stale_socket(path);
    on_loop(f, listen_there);
    assert_int_equal(listened, GW_OK);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0660);
    on_loop(f, listen_there); /* as another worker does */
    assert_int_equal(listened, GW_OK);
    fd = dial_unix(path);
    put(fd, GET("/who"));
    expect(fd, 200, "8 unix");
    close(fd);
    unlink(path);
}

static void a_unix_socket_of_another_process_is_left_alone(void **st)
{
    struct fixture *f = *st;
    char path[64], c;
    int ready[2], go[2], status;
    pid_t child;

    cert_file[0] = key_file[0] = '\0';
    snprintf(path, sizeof(path), "%s/s", f->dir);
    snprintf(address, sizeof(address), "unix:%s", path);
    assert_int_equal(pipe(ready) + pipe(go), 0);
    child = fork();
    if (!child) {
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        memcpy(a.sun_path, path, strlen(path) + 1);
        if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
            listen(fd, 1) < 0 || write(ready[1], "x", 1) != 1 ||
            read(go[0], &c, 1) != 1)
            _exit(1);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    on_loop(f, listen_there);
    assert_int_equal(listened, GW_INVALID_VALUE);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(write(go[1], "x", 1), 1);
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    unlink(path);
}

static void wrong_addresses_are_refused(void **st)
{
    static const char *const wrong[] = {
        "",       "127.0.0.1", "127.0.0.1:http", "127.0.0.1:99999",
        "::1:80", "unix:",     "256.0.0.1:0",    "[::1:80"};
    struct fixture *f = *st;
    size_t i;

    cert_file[0] = key_file[0] = '\0';
    for (i = 0; i < COUNTOF(wrong); i++) {
        snprintf(address, sizeof(address), "%s", wrong[i]);
        on_loop(f, listen_there);
        assert_int_equal(listened, GW_INVALID_VALUE);
        assert_true(listen_error.message[0]);
    }
}

/* --- TLS --- */

static void write_pem(EVP_PKEY *key, X509 *cert)
{
    FILE *file = fopen(key_file, "w");

    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL),
                     1);
    fclose(file);
    file = fopen(cert_file, "w");
    assert_int_equal(PEM_write_X509(file, cert), 1);
    fclose(file);
}

static void make_certificate(struct fixture *f)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    snprintf(cert_file, sizeof(cert_file), "%s/c", f->dir);
    snprintf(key_file, sizeof(key_file), "%s/k", f->dir);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)"localhost", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    write_pem(key, cert);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static int last_port;

static void find_port(struct fixture *f)
{
    last_port = http_server_port(f->s, 1);
}

static SSL *dial_tls(struct fixture *f, SSL_CTX *ctx, int *fd)
{
    SSL *ssl = SSL_new(ctx);

    *fd = dial(f);
    SSL_set_fd(ssl, *fd);
    assert_int_equal(SSL_connect(ssl), 1);
    return ssl;
}

static void hang_up_tls(SSL *ssl, int fd)
{
    SSL_shutdown(ssl);
    SSL_free(ssl);
    close(fd);
}

static void put_tls(SSL *ssl, const char *p, size_t n)
{
    assert_int_equal(SSL_write(ssl, p, (int)n), (int)n);
}

/* Reads until the text ends with `end`, and at least so much; the whole is
 * freed by the caller. */
static char *get_tls(SSL *ssl, size_t least, const char *end, size_t *size)
{
    char *all = xmalloc(8 * MIB);
    size_t n = 0, len = strlen(end);
    int got;

    for (;;) {
        got = SSL_read(ssl, all + n, (int)(8 * MIB - 1 - n));
        if (got <= 0)
            break;
        n += (size_t)got;
        if (n >= MAX(len, least) && memcmp(all + n - len, end, len) == 0)
            break;
    }
    all[n] = '\0';
    *size = n;
    return all;
}

static void expect_tls(SSL *ssl, const char *status, const char *end)
{
    size_t n;
    char *text = get_tls(ssl, 0, end, &n);

    assert_memory_equal(text + 9, status, 3);
    assert_string_equal(text + n - strlen(end), end);
    free(text);
}

static void with_tls(struct fixture *f, SSL_CTX **ctx)
{
    make_certificate(f);
    snprintf(address, sizeof(address), "127.0.0.1:0");
    on_loop(f, listen_there);
    assert_int_equal(listened, GW_OK);
    unlink(cert_file);
    unlink(key_file);
    on_loop(f, find_port);
    f->port = last_port;
    *ctx = SSL_CTX_new(TLS_client_method());
}

static void requests_are_served_through_tls(void **st)
{
    struct fixture *f = *st;
    char head[128], want[64], *body = make_body(2000000);
    SSL_CTX *ctx;
    SSL *ssl;
    int fd, i;

    with_tls(f, &ctx);
    ssl = dial_tls(f, ctx, &fd);
    for (i = 0; i < 3; i++) {
        put_tls(ssl, GET("/a") GET("/b"), strlen(GET("/a") GET("/b")));
        expect_tls(ssl, "200", "GET /b");
        snprintf(head, sizeof(head),
                 "POST /count HTTP/1.1\r\nHost: h\r\n"
                 "Content-Length: 2000000\r\n\r\n");
        put_tls(ssl, head, strlen(head));
        put_tls(ssl, body, 2000000);
        snprintf(want, sizeof(want), "2000000 %u", sum_of(body, 2000000));
        expect_tls(ssl, "200", want);
    }
    hang_up_tls(ssl, fd);
    free(body);
    SSL_CTX_free(ctx);
    wait_for_connections(f, 0);
}

static void large_replies_arrive_whole_through_tls(void **st)
{
    static const char get[] = GET("/push?size=4000000&length=4000000");
    static const char chunked[] = GET("/pull?size=4000000&piece=33333");
    struct fixture *f = *st;
    char *body = make_body(4000000), *text;
    size_t n;
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;

    with_tls(f, &ctx);
    ssl = dial_tls(f, ctx, &fd);
    put_tls(ssl, get, strlen(get));
    text = get_tls(ssl, 4000060, body + 4000000 - 100, &n);
    assert_true(n > 4000000);
    assert_memory_equal(text + n - 4000000, body, 4000000);
    free(text);
    put_tls(ssl, chunked, strlen(chunked));
    expect_tls(ssl, "200", "\r\n0\r\n\r\n");
    put_tls(ssl, GET("/next"), strlen(GET("/next")));
    expect_tls(ssl, "200", "GET /next");
    hang_up_tls(ssl, fd);
    SSL_CTX_free(ctx);
    free(body);
}

static void an_early_reply_ends_a_tls_connection_in_order(void **st)
{
    static const char head[] =
        "POST /deny HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n";
    struct fixture *f = *st;
    SSL_CTX *ctx;
    SSL *ssl;
    char c;
    int fd;

    with_tls(f, &ctx);
    ssl = dial_tls(f, ctx, &fd);
    put_tls(ssl, head, strlen(head));
    expect_tls(ssl, "401", "denied");
    assert_int_equal(SSL_read(ssl, &c, 1), 0);
    assert_int_equal(SSL_get_error(ssl, 0), SSL_ERROR_ZERO_RETURN);
    hang_up_tls(ssl, fd);
    SSL_CTX_free(ctx);
}

static void a_client_without_tls_is_hung_up_on(void **st)
{
    struct fixture *f = *st;
    SSL_CTX *ctx;
    int fd;

    with_tls(f, &ctx);
    fd = dial(f);
    put(fd, GET("/a"));
    expect_break(fd);
    close(fd);
    fd = dial(f); /* and one that goes during the handshake */
    put(fd, "\x16\x03\x01\x02");
    close(fd);
    wait_for_connections(f, 0);
    SSL_CTX_free(ctx);
}

static void a_tls_client_that_goes_is_noticed(void **st)
{
    struct fixture *f = *st;
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;

    with_tls(f, &ctx);
    ssl = dial_tls(f, ctx, &fd);
    put_tls(ssl, GET("/hold"), strlen(GET("/hold")));
    wait_for(&f->requests, 1);
    hang_up_tls(ssl, fd);
    wait_for(&f->closed[SERVER_CLIENT_GONE], 1);
    SSL_CTX_free(ctx);
}

static void certificates_that_cannot_be_used_are_refused(void **st)
{
    struct fixture *f = *st;

    snprintf(address, sizeof(address), "127.0.0.1:0");
    snprintf(cert_file, sizeof(cert_file), "%s/none", f->dir);
    snprintf(key_file, sizeof(key_file), "%s/none", f->dir);
    on_loop(f, listen_there);
    assert_int_equal(listened, GW_INVALID_VALUE);
    assert_non_null(strstr(listen_error.message, "certificate"));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    /* clang-format off */
    const struct CMUnitTest tests[] = {
        TEST(a_get_is_answered_and_the_connection_kept),
        TEST(a_head_may_be_split_anywhere),
        TEST(a_head_may_come_byte_by_byte),
        TEST(pipelined_requests_are_answered_in_order),
        TEST(pipelined_requests_wait_for_slow_handlers),
        TEST(more_pipelined_requests_than_are_held_wait_in_the_kernel),
        TEST(a_head_that_could_smuggle_is_refused_and_the_connection_closed),
        TEST(a_method_and_a_path_that_evhtp_does_not_know_are_ours),
        TEST(heads_without_bound_are_refused),
        TEST(a_target_and_a_field_near_the_bounds_are_served),
        TEST(http_1_0_closes_unless_asked_to_keep_alive),
        TEST(a_client_that_asks_to_close_is_obeyed),
        TEST(bodies_of_any_length_are_read_whole),
        TEST(a_request_behind_a_body_is_the_next),
        TEST(a_chunked_body_is_decoded_and_its_trailers_dropped),
        TEST(a_chunked_body_may_be_split_anywhere),
        TEST(a_large_chunked_upload_is_read_whole),
        TEST(broken_chunks_are_a_bad_request_and_end_the_connection),
        TEST(continue_is_sent_when_the_body_is_asked_for),
        TEST(a_refused_request_gets_no_continue_and_the_connection_ends),
        TEST(no_continue_is_sent_before_a_handler_asks),
        TEST(a_client_that_does_not_wait_gets_no_continue),
        TEST(a_short_body_that_nobody_read_is_dropped),
        TEST(an_early_reply_reaches_a_client_that_is_still_sending),
        TEST(a_client_that_never_stops_sending_is_cut_off),
        TEST(the_content_type_multipart_does_not_confuse_the_reply),
        TEST(head_gets_the_head_alone),
        TEST(a_204_has_neither_length_nor_body),
        TEST(every_status_has_its_reason),
        TEST(all_errors_have_a_reason),
        TEST(pipes_of_any_size_arrive_whole),
        TEST(a_pipe_of_unknown_length_ends_with_the_connection_on_http_1_0),
        TEST(a_pipe_that_does_not_keep_its_word_breaks_the_connection),
        TEST(a_pipe_with_more_than_it_may_have_is_broken_off),
        TEST(an_until_close_reply_that_fails_does_not_look_complete),
        TEST(an_aborted_request_breaks_the_connection),
        TEST(a_slow_reader_does_not_make_the_server_hold_more),
        TEST(a_reader_that_stands_still_is_cut_off),
        TEST(a_client_that_goes_during_a_reply_cancels_the_pipe),
        TEST(a_client_that_goes_between_bytes_of_a_reply_is_noticed),
        TEST(a_client_that_goes_while_nothing_is_read_is_noticed),
        TEST(a_client_that_goes_with_its_body_unread_is_noticed),
        TEST(a_client_that_goes_while_its_body_is_read_is_noticed),
        TEST(nothing_spins_while_a_request_waits),
        TEST(a_head_that_trickles_in_is_answered_408),
        TEST(a_connection_without_a_request_is_closed),
        TEST(an_idle_connection_is_closed),
        TEST(a_body_that_stands_still_is_a_timeout),
        TEST(a_body_below_the_least_rate_is_a_timeout),
        TEST(a_body_at_the_least_rate_is_not),
        TEST(connections_beyond_the_bound_are_refused),
        TEST(running_out_of_descriptors_is_survived),
        TEST(draining_closes_what_is_idle_and_ends_the_rest),
        TEST(closing_the_server_ends_every_request_once),
        TEST(requests_know_their_listener_and_peer),
        TEST(a_unix_socket_replaces_a_stale_one_and_is_shared),
        TEST(a_unix_socket_of_another_process_is_left_alone),
        TEST(wrong_addresses_are_refused),
        TEST(requests_are_served_through_tls),
        TEST(large_replies_arrive_whole_through_tls),
        TEST(an_early_reply_ends_a_tls_connection_in_order),
        TEST(a_client_without_tls_is_hung_up_on),
        TEST(a_tls_client_that_goes_is_noticed),
        TEST(certificates_that_cannot_be_used_are_refused),
    };
    /* clang-format on */

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
