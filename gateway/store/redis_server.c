/* Two locks in the data directory keep its append-only file whole:
 *
 *   lock        held by us: one filemux per directory
 *   redis.lock  held by redis-server itself, which inherits the descriptor:
 *               one redis-server per directory
 *
 * When we are killed, our lock is free at once but the server may need a moment
 * to die (PR_SET_PDEATHSIG is a SIGTERM: it still writes what it has). The next
 * filemux starts its child at once; the child waits for the second lock before
 * it becomes redis-server. So does the one that is started again after a crash.
 *
 * The child's end is found by asking every now and then: SIGCHLD can be watched
 * by one place only and would outlive us there.
 */
#include "gateway/store/redis_server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gateway/base/arena.h"
#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/store/redis_url.h"

#define WATCH_MS 100
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 5000
#define HEALTHY_MS 10000 /* after that long the back-off starts over */
#define STOP_MS 5000
#define POLL_MS 5
#define LOCK_FD 3 /* in the child */

struct redis_server {
    struct loop *loop;
    struct arena *arena;
    const char *program, *dir;         /* absolute */
    const char *socket, *log, *locked; /* paths */
    const char *url;
    const char *private_dir; /* made for the socket; NULL: it is in dir */
    const char **argv;
    int lock_fd;
    pid_t pid; /* 0: none is running */
    struct loop_timer watch;
    int64_t started_ms, backoff_ms;
};

/* --- places --- */

/* The first executable of that name in PATH, or the path itself. */
static const char *find_program(struct arena *a, const char *program)
{
    struct str list = str_of(getenv("PATH")), dir;
    const char *path = program;

    if (strchr(program, '/'))
        return access(path, X_OK) == 0 ? arena_cstr(a, str_of(path)) : NULL;
    while (str_next(&list, ':', &dir)) {
        path = arena_printf(a, "%.*s/%s", STR_ARG(dir), program).p;
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

static enum gw_err open_dir(struct redis_server *s, const char *data_dir,
                            struct gw_error *e)
{
    char path[PATH_MAX];

    if (mkdir(data_dir, 0700) < 0 && errno != EEXIST)
        return err_set(e, GW_INTERNAL,
                       "cannot make the data directory '%s': %s", data_dir,
                       strerror(errno));
    if (!realpath(data_dir, path) || access(path, R_OK | W_OK | X_OK) < 0)
        return err_set(e, GW_INTERNAL, "cannot use the data directory '%s': %s",
                       data_dir, strerror(errno));
    s->dir = arena_cstr(s->arena, str_of(path));
    return GW_OK;
}

static const char *in_dir(struct redis_server *s, const char *name)
{
    return arena_printf(s->arena, "%s/%s", s->dir, name).p;
}

static enum gw_err lock_dir(struct redis_server *s, struct gw_error *e)
{
    const char *path = in_dir(s, "lock");
    char pid[24] = "";
    ssize_t n;

    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0)
        return err_set(e, GW_INTERNAL, "cannot write in '%s': %s", s->dir,
                       strerror(errno));
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        n = pread(s->lock_fd, pid, sizeof(pid) - 1, 0);
        return err_set(e, GW_INTERNAL,
                       "the data directory '%s' is in use by process %s: stop "
                       "it, or use another data_dir or redis.url",
                       s->dir, n > 0 ? pid : "(unknown)");
    }
    if (ftruncate(s->lock_fd, 0) < 0 || dprintf(s->lock_fd, "%d", getpid()) < 0)
        return err_set(e, GW_INTERNAL, "cannot write in '%s': %s", s->dir,
                       strerror(errno));
    return GW_OK;
}

/* In the data directory, unless that makes a path which a socket cannot have
 * or which would not survive in a URL. */
static enum gw_err choose_socket(struct redis_server *s, struct gw_error *e)
{
    char *made;

    s->socket = in_dir(s, "redis.sock");
    if (strlen(s->socket) > REDIS_SOCKET_PATH_MAX || strchr(s->socket, '?')) {
        made = arena_cstr(s->arena, STR("/tmp/filemux-XXXXXX"));
        s->private_dir = mkdtemp(made);
        if (!s->private_dir)
            return err_set(e, GW_INTERNAL,
                           "the socket's path '%s' is too long, and no private "
                           "directory can be made in /tmp: %s",
                           s->socket, strerror(errno));
        s->socket = arena_printf(s->arena, "%s/redis.sock", made).p;
    }
    s->url = arena_printf(s->arena, "unix://%s", s->socket).p;
    return GW_OK;
}

static void choose_arguments(struct redis_server *s)
{
    const char *argv[] = {
        /* clang-format off */
        s->program,
        "--port", "0", /* no TCP */
        "--unixsocket", s->socket,
        "--unixsocketperm", "600",
        "--dir", s->dir,
        "--appendonly", "yes",
        "--appendfsync", "everysec",
        "--save", "",
        "--maxmemory-policy", "noeviction",
        "--daemonize", "no",
        "--logfile", s->log,
        NULL,
        /* clang-format on */
    };

    s->argv = arena_alloc(s->arena, sizeof(argv));
    memcpy(s->argv, argv, sizeof(argv));
}

/* --- the child --- */

static void move_fd(int from, int to)
{
    if (from < 0 || dup2(from, to) < 0)
        _exit(126);
}

/* A signal to the child must not run our handlers, which would tell our own
 * loop of it through what the two still share. All are blocked until here. */
static void forget_signals(void)
{
    sigset_t none;
    int n;

    for (n = 1; n < NSIG; n++)
        signal(n, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* After a fork among threads: system calls only. */
static NORETURN void become_server(const struct redis_server *s, pid_t parent)
{
    forget_signals();
    /* A session of its own: the terminal's Ctrl-C is for us, who then stop the
     * server when nobody needs it any longer. */
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(126);
    umask(077);
    /* The lock first: while it is waited for, nothing of the old server's is
     * touched. 0 and 1 may be closed in us, so it is moved up before. */
    move_fd(open(s->locked, O_RDWR | O_CREAT, 0600), LOCK_FD);
    while (flock(LOCK_FD, LOCK_EX) < 0)
        if (errno != EINTR)
            _exit(126);
    move_fd(open("/dev/null", O_RDWR), STDIN_FILENO);
    move_fd(open(s->log, O_WRONLY | O_CREAT | O_APPEND, 0600), STDOUT_FILENO);
    move_fd(STDOUT_FILENO, STDERR_FILENO);
    close_range(LOCK_FD + 1, ~0u, 0);
    execv(s->program, (char **)(uintptr_t)s->argv);
    _exit(127);
}

static bool spawn(struct redis_server *s)
{
    pid_t self = getpid(), pid;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0)
        become_server(s, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return false;
    s->pid = pid;
    s->started_ms = clock_mono_ms();
    return true;
}

/* "ended with status 1" */
static struct str how(int status, char *room, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(room, size, "was ended by signal %d", WTERMSIG(status));
    else
        snprintf(room, size, "ended with status %d", WEXITSTATUS(status));
    return str_of(room);
}

/* --- supervision --- */

static void on_watch(void *arg);

static void start_again(struct redis_server *s)
{
    if (spawn(s)) {
        loop_timer_set(&s->watch, WATCH_MS);
        return;
    }
    log_error("cannot start redis-server: %s", strerror(errno));
    loop_timer_set(&s->watch, BACKOFF_MAX_MS);
}

static void on_ended(struct redis_server *s, int status)
{
    char text[48];

    if (clock_mono_ms() - s->started_ms >= HEALTHY_MS)
        s->backoff_ms = BACKOFF_FIRST_MS;
    s->pid = 0;
    log_error("redis-server %.*s; it is started again in %d ms (its log is "
              "%s)",
              STR_ARG(how(status, text, sizeof(text))), (int)s->backoff_ms,
              s->log);
    loop_timer_set(&s->watch, s->backoff_ms);
    s->backoff_ms = MIN(s->backoff_ms * 2, BACKOFF_MAX_MS);
}

static void on_watch(void *arg)
{
    struct redis_server *s = arg;
    int status;

    if (!s->pid)
        start_again(s);
    else if (waitpid(s->pid, &status, WNOHANG) == s->pid)
        on_ended(s, status);
    else
        loop_timer_set(&s->watch, WATCH_MS);
}

/* --- start --- */

static void pause_briefly(void)
{
    struct timespec t = {.tv_nsec = POLL_MS * 1000000};

    nanosleep(&t, NULL);
}

enum health { ABSENT, LOADING, READY };

/* Is it our child that listens there? */
static bool is_child(const struct redis_server *s, int fd)
{
    struct ucred who;
    socklen_t n = sizeof(who);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0 &&
           who.pid == s->pid;
}

static enum health ask(const struct redis_server *s)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct timeval tv = {.tv_sec = 1};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char text[64] = "";
    enum health h = ABSENT;

    if (fd < 0)
        return ABSENT;
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", s->socket);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
        is_child(s, fd) && send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 &&
        recv(fd, text, sizeof(text) - 1, 0) > 0)
        h = strncmp(text, "+PONG", 5) == 0      ? READY
            : strncmp(text, "-LOADING", 8) == 0 ? LOADING
                                                : ABSENT;
    close(fd);
    return h;
}

static enum gw_err wait_until_ready(struct redis_server *s, int64_t wait_ms,
                                    struct gw_error *e)
{
    int64_t end = clock_mono_ms() + wait_ms;
    enum health h;
    char text[48];
    int status;

    while ((h = ask(s)) != READY) {
        if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
            s->pid = 0;
            return err_set(e, GW_INTERNAL,
                           "redis-server %.*s at its start: see '%s'",
                           STR_ARG(how(status, text, sizeof(text))), s->log);
        }
        if (clock_mono_ms() >= end)
            return err_set(e, GW_INTERNAL, "redis-server %s: see '%s'",
                           h == LOADING ? "takes too long to load its data"
                                        : "does not answer",
                           s->log);
        pause_briefly();
    }
    return GW_OK;
}

static enum gw_err prepare(struct redis_server *s, const char *program,
                           const char *data_dir, struct gw_error *e)
{
    s->program = find_program(s->arena, program);
    if (!s->program)
        return err_set(e, GW_INTERNAL,
                       "cannot find the program '%s': install redis-server, "
                       "or set redis.url to a Redis that runs",
                       program);
    if (open_dir(s, data_dir, e) || lock_dir(s, e) || choose_socket(s, e))
        return e->err;
    s->log = in_dir(s, "redis.log");
    s->locked = in_dir(s, "redis.lock");
    choose_arguments(s);
    return GW_OK;
}

struct redis_server *redis_server_start(struct loop *main_loop,
                                        const char *program,
                                        const char *data_dir, int64_t wait_ms,
                                        struct gw_error *e)
{
    struct redis_server *s = xcalloc(1, sizeof(*s));

    s->loop = main_loop;
    s->arena = arena_new();
    s->lock_fd = -1;
    s->backoff_ms = BACKOFF_FIRST_MS;
    loop_timer_init(main_loop, &s->watch, on_watch, s);
    if (prepare(s, program, data_dir, e))
        goto fail;
    if (!spawn(s)) {
        err_set(e, GW_INTERNAL, "cannot start redis-server: %s",
                strerror(errno));
        goto fail;
    }
    if (wait_until_ready(s, wait_ms, e))
        goto fail;
    loop_timer_set(&s->watch, WATCH_MS);
    return s;
fail:
    redis_server_stop(s);
    return NULL;
}

const char *redis_server_url(const struct redis_server *s)
{
    return s->url;
}

/* --- stop --- */

static bool has_ended(struct redis_server *s)
{
    if (s->pid && waitpid(s->pid, NULL, WNOHANG) != 0)
        s->pid = 0;
    return s->pid == 0;
}

static void end_child(struct redis_server *s)
{
    int64_t end = clock_mono_ms() + STOP_MS;

    if (has_ended(s))
        return;
    kill(s->pid, SIGTERM);
    while (!has_ended(s) && clock_mono_ms() < end)
        pause_briefly();
    if (!s->pid)
        return;
    log_error("redis-server does not end in %d ms and is killed", STOP_MS);
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

void redis_server_stop(struct redis_server *s)
{
    if (!s)
        return;
    loop_timer_release(&s->watch);
    end_child(s);
    if (s->private_dir) {
        unlink(s->socket);
        rmdir(s->private_dir);
    }
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    arena_free(s->arena);
    free(s);
}
