/* test_redis_server.c -- the embedded server: start, locks, crashes, stop. */
#include "redis_fixture.h"

#include <sys/file.h>
#include <sys/stat.h>

#include "gateway/store/redis_server.h"

#define WAIT_MS 20000

struct both {
    struct fx f;
    struct redis_server *server;
};

static int set_up(void **state)
{
    struct both *b = xcalloc(1, sizeof(*b));

    fx_begin(&b->f);
    *state = b;
    return 0;
}

static int tear_down(void **state)
{
    struct both *b = *state;
    struct fx *f = &b->f;

    redis_close(f->r);
    redis_server_stop(b->server);
    f->r = NULL;
    *state = f;
    fx_server_kill(f);
    metrics_free(f->metrics);
    loop_free(f->loop);
    log_set_fd(STDERR_FILENO);
    close(f->log_fd);
    fx_remove_dir(f);
    free(b);
    return 0;
}

static struct redis_server *start_in(struct both *b, const char *dir)
{
    struct gw_error e = {0};
    struct redis_server *s =
        redis_server_start(b->f.loop, "redis-server", dir, WAIT_MS, &e);

    if (!s)
        fail_msg("%s", e.message);
    return s;
}

static void start(struct both *b)
{
    b->server = start_in(b, b->f.dir);
    b->f.r = fx_open(&b->f, redis_server_url(b->server), 5000);
    fx_up(&b->f);
}

static void stop(struct both *b)
{
    redis_close(b->f.r);
    b->f.r = NULL;
    redis_server_stop(b->server);
    b->server = NULL;
}

static pid_t server_pid(struct fx *f)
{
    struct fx_answer a;
    const char *at;
    int pid = 0;

    fx_do(f, "INFO server", &a);
    at = strstr(a.text, "process_id:");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "process_id:%d", &pid), 1);
    return pid;
}

/* Why it did not start. */
static void expect_failure(struct both *b, const char *program, const char *dir,
                           const char *why)
{
    struct gw_error e = {0};

    assert_null(redis_server_start(b->f.loop, program, dir, WAIT_MS, &e));
    assert_int_equal(e.err, GW_INTERNAL);
    if (!strstr(e.message, why))
        fail_msg("'%s' is not in '%s'", why, e.message);
}

static void it_listens_on_a_private_socket_alone(void **state)
{
    struct both *b = *state;
    const char *url;
    struct stat st;
    struct fx_answer a;

    start(b);
    url = redis_server_url(b->server);
    assert_int_equal(strncmp(url, "unix:///", 8), 0);
    assert_int_equal(stat(url + strlen("unix://"), &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    fx_do(&b->f, "INFO server", &a);
    assert_non_null(strstr(a.text, "tcp_port:0\r\n"));
    fx_do(&b->f, "INFO persistence", &a);
    assert_non_null(strstr(a.text, "aof_enabled:1\r\n"));
}

static void what_was_written_is_there_after_a_stop(void **state)
{
    struct both *b = *state;
    struct fx_answer a;

    start(b);
    fx_ok(&b->f, "SET k kept");
    stop(b);
    start(b);
    fx_do(&b->f, "GET k", &a);
    assert_string_equal(a.text, "kept");
}

static void a_killed_server_is_started_again_with_its_data(void **state)
{
    struct both *b = *state;
    struct fx_answer a;
    pid_t pid;
    int i;

    start(b);
    for (i = 0; i < 2; i++) {
        fx_ok(&b->f, "INCR k");
        pid = server_pid(&b->f);
        kill(pid, SIGKILL);
        fx_until(&b->f, fx_is_down, b->f.r);
        fx_up(&b->f);
        assert_int_not_equal(server_pid(&b->f), pid);
        fx_do(&b->f, "GET k", &a);
        assert_int_equal(a.text[0], '1' + i);
    }
}

static void a_directory_serves_one_process_at_a_time(void **state)
{
    struct both *b = *state;
    char pid[24];

    start(b);
    snprintf(pid, sizeof(pid), "in use by process %d:", getpid());
    expect_failure(b, "redis-server", b->f.dir, pid);
    fx_ok(&b->f, "PING"); /* it was left alone */
    stop(b);
    start(b);
}

static void what_is_missing_is_named(void **state)
{
    struct both *b = *state;
    char path[128];
    int fd;

    expect_failure(b, "no-such-redis-server", b->f.dir, "install redis-server");
    expect_failure(b, "/no/such/redis-server", b->f.dir,
                   "install redis-server");
    snprintf(path, sizeof(path), "%s/a/b", b->f.dir);
    expect_failure(b, "redis-server", path, "cannot make the data directory");
    snprintf(path, sizeof(path), "%s/file", b->f.dir);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    expect_failure(b, "redis-server", path, "cannot use the data directory");
    expect_failure(b, "/bin/false", b->f.dir, "ended with status 1");
    /* None of these left a lock behind. */
    start(b);
}

static void a_directory_is_made_when_it_is_not_there(void **state)
{
    struct both *b = *state;
    char path[128];
    struct stat st;

    snprintf(path, sizeof(path), "%s/data", b->f.dir);
    b->server = start_in(b, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

/* What a socket cannot be called, or a URL would not survive. */
static void expect_private_socket(struct both *b, const char *name)
{
    char dir[512], socket[128], *slash;
    struct stat st;

    snprintf(dir, sizeof(dir), "%s/%s", b->f.dir, name);
    b->server = start_in(b, dir);
    snprintf(socket, sizeof(socket), "%s",
             redis_server_url(b->server) + strlen("unix://"));
    assert_true(strlen(socket) <= 106);
    b->f.r = fx_open(&b->f, redis_server_url(b->server), 5000);
    fx_up(&b->f);
    slash = strrchr(socket, '/');
    *slash = '\0';
    assert_int_equal(stat(socket, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    stop(b);
    assert_int_equal(stat(socket, &st), -1);
}

static void a_path_too_long_for_a_socket_gets_a_short_one(void **state)
{
    struct both *b = *state;
    char name[161];

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    expect_private_socket(b, name);
    expect_private_socket(b, "what?");
}

static void a_path_may_hold_blanks_and_quotes(void **state)
{
    struct both *b = *state;
    char dir[128];

    snprintf(dir, sizeof(dir), "%s/a b'c\"d@e%%20", b->f.dir);
    b->server = start_in(b, dir);
    b->f.r = fx_open(&b->f, redis_server_url(b->server), 5000);
    fx_up(&b->f);
}

/* Ended; its new parent may not have asked for its status yet. */
static bool is_gone(pid_t pid)
{
    char path[64], text[512] = "", *state;
    FILE *stat;

    if (kill(pid, 0) < 0)
        return true;
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    stat = fopen(path, "r");
    if (!stat)
        return true;
    if (!fgets(text, sizeof(text), stat))
        text[0] = '\0';
    fclose(stat);
    state = strrchr(text, ')');
    return state && state[2] == 'Z';
}

/* A process that starts a server, says which, and waits to be killed. */
static pid_t start_elsewhere(struct both *b, pid_t *server)
{
    int fds[2];
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        start(b);
        fx_ok(&b->f, "SET k orphan");
        *server = server_pid(&b->f);
        if (write(fds[1], server, sizeof(*server)) != sizeof(*server))
            _exit(1);
        for (;;)
            pause();
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], server, sizeof(*server)), sizeof(*server));
    close(fds[0]);
    return pid;
}

static void
a_server_whose_parent_is_killed_ends_and_its_data_are_taken_over(void **state)
{
    struct both *b = *state;
    struct fx_answer a;
    pid_t server, parent = start_elsewhere(b, &server);

    kill(parent, SIGKILL);
    waitpid(parent, NULL, 0);
    start(b); /* at once: the old one may still be there */
    assert_int_not_equal(server_pid(&b->f), server);
    assert_true(is_gone(server));
    fx_do(&b->f, "GET k", &a);
    assert_string_equal(a.text, "orphan");
}

static void count_signal(void *arg, int signo)
{
    (void)signo;
    ++*(int *)arg;
}

static bool is_tenth(void *arg)
{
    return ++*(int *)arg == 10;
}

/* The child waits for the lock of another server, in our image still: what
 * ends it must not reach our own handlers. */
static void ending_a_child_that_waits_is_no_signal_to_us(void **state)
{
    struct both *b = *state;
    struct gw_error e = {0};
    char path[128];
    int signals = 0, turns = 0, fd;

    loop_on_signal(b->f.loop, SIGTERM, count_signal, &signals);
    snprintf(path, sizeof(path), "%s/redis.lock", b->f.dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_null(
        redis_server_start(b->f.loop, "redis-server", b->f.dir, 100, &e));
    assert_non_null(strstr(e.message, "does not answer"));
    fx_until(&b->f, is_tenth, &turns);
    assert_int_equal(signals, 0);
    close(fd);
    start(b);
}

static void a_server_that_was_stopped_is_gone(void **state)
{
    struct both *b = *state;
    pid_t pid;
    char socket[128];

    start(b);
    pid = server_pid(&b->f);
    snprintf(socket, sizeof(socket), "%s",
             redis_server_url(b->server) + strlen("unix://"));
    stop(b);
    assert_true(is_gone(pid));
    assert_int_equal(access(socket, F_OK), -1);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(it_listens_on_a_private_socket_alone),
        CASE(what_was_written_is_there_after_a_stop),
        CASE(a_killed_server_is_started_again_with_its_data),
        CASE(a_directory_serves_one_process_at_a_time),
        CASE(what_is_missing_is_named),
        CASE(a_directory_is_made_when_it_is_not_there),
        CASE(a_path_too_long_for_a_socket_gets_a_short_one),
        CASE(a_path_may_hold_blanks_and_quotes),
        CASE(a_server_whose_parent_is_killed_ends_and_its_data_are_taken_over),
        CASE(ending_a_child_that_waits_is_no_signal_to_us),
        CASE(a_server_that_was_stopped_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
