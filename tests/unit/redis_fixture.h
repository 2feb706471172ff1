/* redis_fixture.h -- a redis-server of the test's own, and a connection to it.
 *
 * The server listens on a unix socket in a new temporary directory and dies
 * with the test. Waiting is running the loop until something is true, with a
 * deadline that only a broken program reaches.
 */
#ifndef FILEMUX_TESTS_REDIS_FIXTURE_H
#define FILEMUX_TESTS_REDIS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/store/redis.h"

#define FX_DEADLINE_MS 30000
#define FX_ARGS_MAX 16

struct fx {
    char dir[64], socket[96], url[128];
    pid_t pid;                     /* 0: not running */
    const char *more[FX_ARGS_MAX]; /* further arguments of the server */
    struct loop *loop;
    struct metrics *metrics;
    struct redis *r;
    int log_fd;
};

static inline void fx_pause(void)
{
    struct timespec t = {.tv_nsec = 2000000};

    nanosleep(&t, NULL);
}

/* Is there a server that answers? */
static inline bool fx_pings(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct timeval tv = {.tv_sec = 5};
    char text[64] = "";
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bool yes;

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    yes = connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
          write(fd, "PING\r\n", 6) == 6 && read(fd, text, 63) > 0 &&
          (text[0] == '+' || strstr(text, "NOAUTH"));
    close(fd);
    return yes;
}

static inline void fx_exec(struct fx *f)
{
    const char *argv[32] = {"redis-server",
                            "--port",
                            "0",
                            "--unixsocket",
                            f->socket,
                            "--save",
                            "",
                            "--dir",
                            f->dir,
                            "--appendonly",
                            "no",
                            "--daemonize",
                            "no"};
    size_t n = 13, i;
    int null = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (i = 0; f->more[i]; i++)
        argv[n++] = f->more[i];
    dup2(null, 0);
    dup2(null, 1);
    dup2(null, 2);
    execvp(argv[0], (char **)(uintptr_t)argv);
    _exit(127);
}

static inline void fx_server_start(struct fx *f)
{
    int64_t end = clock_mono_ms() + FX_DEADLINE_MS;

    f->pid = fork();
    assert_true(f->pid >= 0);
    if (f->pid == 0)
        fx_exec(f);
    while (!fx_pings(f->socket)) {
        assert_true(clock_mono_ms() < end);
        assert_int_equal(waitpid(f->pid, NULL, WNOHANG), 0);
        fx_pause();
    }
}

static inline void fx_server_kill(struct fx *f)
{
    if (!f->pid)
        return;
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
    f->pid = 0;
}

static inline void fx_make_dir(struct fx *f)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(f->dir, sizeof(f->dir), "%s/fmXXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->socket, sizeof(f->socket), "%s/s", f->dir);
    snprintf(f->url, sizeof(f->url), "unix://%s", f->socket);
}

static inline void fx_remove_dir(struct fx *f)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
    assert_int_equal(system(command), 0);
}

/* --- the loop --- */

struct fx_wait {
    struct fx *f;
    bool (*is_true)(void *arg);
    void *arg;
    int64_t end_ms;
    struct loop_timer timer;
    bool ok;
};

static inline void fx_look(void *arg)
{
    struct fx_wait *w = arg;

    w->ok = w->is_true(w->arg);
    if (w->ok || clock_mono_ms() > w->end_ms)
        loop_stop(w->f->loop);
    else
        loop_timer_set(&w->timer, 1);
}

/* Run the loop until is_true(arg). */
static inline void fx_until(struct fx *f, bool (*is_true)(void *arg), void *arg)
{
    struct fx_wait w = {f, is_true, arg, clock_mono_ms() + FX_DEADLINE_MS};

    loop_timer_init(f->loop, &w.timer, fx_look, &w);
    loop_timer_set(&w.timer, 0);
    loop_run(f->loop);
    loop_timer_release(&w.timer);
    assert_true(w.ok);
}

static inline bool fx_is_set(void *arg)
{
    return *(bool *)arg;
}

static inline bool fx_is_up(void *arg)
{
    return redis_is_up(arg);
}

static inline bool fx_is_down(void *arg)
{
    return !redis_is_up(arg);
}

static inline struct redis *fx_open(struct fx *f, const char *url,
                                    int64_t timeout_ms)
{
    struct redis_options o = {.url = url, .timeout_ms = timeout_ms};

    return redis_open(f->loop, &o, f->metrics);
}

static inline void fx_up(struct fx *f)
{
    fx_until(f, fx_is_up, f->r);
}

/* --- one command and its answer --- */

struct fx_answer {
    bool is_done;
    enum gw_err err;
    int retry_after_s;
    enum redis_kind kind;
    int64_t integer;
    size_t n;
    char text[4096]; /* of a string or a status */
    size_t text_n;
    int times; /* callbacks */
};

static inline void fx_on_answer(void *arg, const struct redis_value *v,
                                const struct gw_error *e)
{
    struct fx_answer *a = arg;

    a->is_done = true;
    a->times++;
    a->err = e->err;
    a->retry_after_s = e->retry_after_s;
    assert_true((v != NULL) == (e->err == GW_OK));
    if (!v)
        return;
    a->kind = v->kind;
    a->integer = v->integer;
    a->n = v->n;
    a->text_n = MIN(v->str.n, sizeof(a->text) - 1);
    if (v->str.p)
        memcpy(a->text, v->str.p, a->text_n);
    a->text[a->text_n] = '\0';
}

#define FX_ARGV_MAX 16
/* Words separated by spaces. */
static inline struct redis_call *fx_send(struct redis *r, const char *line,
                                         struct fx_answer *a)
{
    struct str argv[FX_ARGV_MAX], rest = str_of(line);
    size_t n = 0;

    *a = (struct fx_answer){0};
    while (n < FX_ARGV_MAX && str_next(&rest, ' ', &argv[n]))
        n++;
    return redis_command(r, fx_on_answer, a, n, argv);
}

static inline void fx_do(struct fx *f, const char *line, struct fx_answer *a)
{
    fx_send(f->r, line, a);
    assert_false(a->is_done);
    fx_until(f, fx_is_set, &a->is_done);
}

/* A command that must succeed. */
static inline void fx_ok(struct fx *f, const char *line)
{
    struct fx_answer a;

    fx_do(f, line, &a);
    assert_int_equal(a.err, GW_OK);
}

static inline int64_t fx_int(struct fx *f, const char *line)
{
    struct fx_answer a;

    fx_do(f, line, &a);
    assert_int_equal(a.err, GW_OK);
    assert_int_equal(a.kind, REDIS_INT);
    return a.integer;
}

/* --- Redis Cluster --- */

static inline int fx_free_port(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    socklen_t n = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
    close(fd);
    return ntohs(sa.sin_port);
}

/* The same server again, now a cluster of one node: it refuses a script that
 * touches keys of two slots, or keys that are not of the slot of its KEYS. */
static inline void fx_become_cluster(struct fx *f)
{
    static char port[16], bus[16];
    struct fx_answer a;

    snprintf(port, sizeof(port), "%d", fx_free_port());
    snprintf(bus, sizeof(bus), "%d", fx_free_port());
    fx_server_kill(f);
    f->more[0] = "--cluster-enabled";
    f->more[1] = "yes";
    f->more[2] = "--port";
    f->more[3] = port;
    f->more[4] = "--cluster-port";
    f->more[5] = bus;
    f->more[6] = "--bind";
    f->more[7] = "127.0.0.1";
    fx_server_start(f);
    redis_close(f->r);
    f->r = fx_open(f, f->url, 5000);
    fx_up(f);
    fx_ok(f, "CLUSTER ADDSLOTSRANGE 0 16383");
    do {
        fx_pause();
        fx_do(f, "CLUSTER INFO", &a);
    } while (!strstr(a.text, "cluster_state:ok"));
    /* It does refuse. */
    fx_do(f, "MGET a b", &a);
    assert_int_equal(a.err, GW_INTERNAL);
}

/* --- set up and tear down --- */

static inline void fx_begin(struct fx *f)
{
    signal(SIGPIPE, SIG_IGN); /* as the program does */
    fx_make_dir(f);
    f->log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    log_set_fd(f->log_fd);
    f->loop = loop_new();
    f->metrics = metrics_new();
}

static inline int fx_set_up(void **state)
{
    struct fx *f = xcalloc(1, sizeof(*f));

    fx_begin(f);
    fx_server_start(f);
    f->r = fx_open(f, f->url, 5000);
    fx_up(f);
    *state = f;
    return 0;
}

static inline int fx_tear_down(void **state)
{
    struct fx *f = *state;

    redis_close(f->r);
    fx_server_kill(f);
    metrics_free(f->metrics);
    loop_free(f->loop);
    log_set_fd(STDERR_FILENO);
    close(f->log_fd);
    fx_remove_dir(f);
    free(f);
    return 0;
}

/* --- the answer to a change --- */

struct fx_done {
    bool is_done, changed;
    enum gw_err err;
    int times;
};

static inline void fx_on_done(void *arg, bool changed, const struct gw_error *e)
{
    struct fx_done *d = arg;

    d->is_done = true;
    d->changed = changed;
    d->err = e->err;
    d->times++;
}

static inline bool fx_changed(struct fx *f, struct fx_done *d)
{
    assert_false(d->is_done);
    fx_until(f, fx_is_set, &d->is_done);
    assert_int_equal(d->err, GW_OK);
    return d->changed;
}

#endif
