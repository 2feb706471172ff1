/* load -- the client: uploads, downloads, small requests, idle connections.
 *
 *     load up   PORT PATH KEY STREAMS BYTES
 *     load batch PORT PATH KEY STREAMS BYTES
 *     load lines PORT PATH KEY STREAMS BYTES
 *     load down PORT PATH KEY STREAMS BYTES
 *     load get  PORT PATH KEY CONNECTIONS REQUESTS
 *     load idle PORT PATH KEY CONNECTIONS PATIENCE_MS
 *
 * batch and lines upload the same batch file, once with that purpose and once
 * with another one, for which nobody looks at it.
 *
 * The same engine does them all: on each connection a request (head, a file
 * out of the pattern, a tail), then the reply, as often as the job says. Every
 * reply must be a 200 of the length expected; anything else ends the program
 * with the reply's head. BYTES is per stream.
 *
 * `idle` makes one request on each connection, says "ready" when all are
 * answered or PATIENCE_MS went by without an answer, and then holds them until
 * its standard input ends.
 *
 * Prints "name value" lines: seconds, answers, bytes, id (of the last file
 * object), unanswered.
 */
#define _GNU_SOURCE
#include "tests/bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_BYTES (8u << 10)
#define TURN_BYTES (4u << 20)
#define EVENTS 256
/* Ports of one loopback address are fewer than the idle connections. */
#define SOURCES 8
#define BOUNDARY "4c1b9a3ef0d25b7786a91c2d3e4f5061"

enum state {
    SEND, /* the request */
    HEAD, /* the reply's head */
    BODY, /* the reply's body */
    IDLE,
};

struct job {
    int epoll, pattern;
    uint64_t pattern_bytes;
    const char *purpose, *suffix;
    char request[4096]; /* its head and the form before the file */
    size_t request_len;
    uint64_t file_bytes;
    const char *tail; /* the form behind the file */
    size_t tail_len;
    uint64_t expect;     /* the length that a reply must have; 0: any */
    uint64_t to_start;   /* requests not yet begun */
    uint64_t unanswered; /* requests not yet answered */
    uint64_t answers, bytes;
    bool is_tolerant; /* of connections that are refused or closed */
    char id[256];
};

struct conn {
    struct job *job;
    int fd;
    enum state state;
    unsigned events;
    size_t request_off, tail_off;
    uint64_t file_left;
    off_t file_off;
    uint64_t body_left;
    size_t in_len;
    char in[IN_BYTES + 1];
};

/* --- requests --- */

/* The fields as the OpenAI library for Python sends them. */
#define CLIENT_FIELDS                                                          \
    "Accept: application/json\r\n"                                             \
    "User-Agent: OpenAI/Python 1.99.9\r\n"                                     \
    "X-Stainless-Lang: python\r\n"                                             \
    "X-Stainless-Package-Version: 1.99.9\r\n"                                  \
    "X-Stainless-OS: Linux\r\n"                                                \
    "X-Stainless-Arch: x64\r\n"                                                \
    "X-Stainless-Runtime: CPython\r\n"                                         \
    "X-Stainless-Runtime-Version: 3.11.2\r\n"                                  \
    "X-Stainless-Async: false\r\n"                                             \
    "x-stainless-retry-count: 0\r\n"

static void job_get(struct job *j, unsigned port, const char *path,
                    const char *key)
{
    j->request_len =
        (size_t)snprintf(j->request, sizeof(j->request),
                         "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                         "Connection: keep-alive\r\n" CLIENT_FIELDS
                         "Authorization: Bearer %s\r\n\r\n",
                         path, port, key);
}

/* The form that openai-python writes: its fields first, the file last. */
static void job_post(struct job *j, unsigned port, const char *path,
                     const char *key)
{
    char form[1024];
    int form_len, head_len;

    j->tail = "\r\n--" BOUNDARY "--\r\n";
    j->tail_len = strlen(j->tail);
    form_len = snprintf(
        form, sizeof(form),
        "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"purpose\""
        "\r\n\r\n%s\r\n--" BOUNDARY "\r\nContent-Disposition: form-data;"
        " name=\"file\"; filename=\"bench-%" PRIu64 "%s\"\r\n"
        "Content-Type: application/octet-stream\r\n\r\n",
        j->purpose, j->file_bytes, j->suffix);
    head_len = snprintf(j->request, sizeof(j->request),
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
                        "Connection: keep-alive\r\n" CLIENT_FIELDS
                        "Authorization: Bearer %s\r\n"
                        "Content-Length: %" PRIu64 "\r\n"
                        "Content-Type: multipart/form-data; boundary=" BOUNDARY
                        "\r\n\r\n%s",
                        path, port, key,
                        (uint64_t)form_len + j->file_bytes + j->tail_len, form);
    j->request_len = (size_t)head_len;
}

/* --- one connection --- */

static void conn_want(struct conn *c, unsigned events)
{
    if (c->events == events)
        return;
    bench_watch(c->job->epoll, c->fd, events, c, c->events == 0);
    c->events = events;
}

static void conn_start(struct conn *c)
{
    struct job *j = c->job;

    if (!j->to_start) {
        c->state = IDLE;
        return;
    }
    j->to_start--;
    c->state = SEND;
    c->request_off = c->tail_off = 0;
    c->file_left = j->file_bytes;
    c->file_off = 0;
    c->in_len = 0;
    c->in[0] = '\0';
}

/* Unanswered it stays, where the job can bear that. */
static void conn_lost(struct conn *c, const char *why)
{
    if (!c->job->is_tolerant)
        bench_die("load: %s: %s", why, c->in);
    epoll_ctl(c->job->epoll, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    c->fd = -1;
    c->state = IDLE;
}

/* Sends text from *off on. False when it must wait. */
static bool send_text(struct conn *c, const char *text, size_t len, size_t *off,
                      bool has_more)
{
    while (*off < len) {
        ssize_t n = send(c->fd, text + *off, len - *off,
                         MSG_NOSIGNAL | (has_more ? MSG_MORE : 0));

        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0) {
            conn_lost(c, "cannot send");
            return false;
        }
        *off += (size_t)n;
    }
    return true;
}

/* False when it must wait, if only for others to have their turn. */
static bool send_file(struct conn *c)
{
    uint64_t turn = TURN_BYTES;

    while (c->file_left && turn) {
        uint64_t want = c->job->pattern_bytes - (uint64_t)c->file_off;
        ssize_t n;

        want = want < c->file_left ? want : c->file_left;
        want = want < turn ? want : turn;
        n = sendfile(c->fd, c->job->pattern, &c->file_off, want);
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n <= 0)
            bench_die("load: cannot send the file: %s", strerror(errno));
        c->file_off %= (off_t)c->job->pattern_bytes;
        c->file_left -= (uint64_t)n;
        turn -= (uint64_t)n;
    }
    return !c->file_left;
}

static void on_writable(struct conn *c)
{
    struct job *j = c->job;

    if (!send_text(c, j->request, j->request_len, &c->request_off,
                   c->file_left > 0) ||
        !send_file(c) ||
        !send_text(c, j->tail, j->tail_len, &c->tail_off, false))
        return;
    c->state = HEAD;
}

static void on_answer(struct conn *c)
{
    struct job *j = c->job;

    j->answers++;
    j->unanswered--;
    if (!j->expect)
        bench_between(c->in, "\"id\"", ",", j->id, sizeof(j->id));
    conn_start(c);
}

/* The reply's head is in: what follows it in `in` is body. */
static void on_head(struct conn *c, char *end)
{
    struct job *j = c->job;
    uint64_t length, have;

    if (strncmp(c->in, "HTTP/1.1 200 ", 13)) {
        conn_lost(c, "not a 200");
        return;
    }
    end[-2] = '\0';
    if (!bench_field_number(c->in, "\ncontent-length", &length))
        bench_die("load: no length: %s", c->in);
    if (j->expect && length != j->expect)
        bench_die("load: %" PRIu64 " bytes, not %" PRIu64, length, j->expect);
    have = c->in_len - (size_t)(end - c->in);
    memmove(c->in, end, have + 1); /* with the NUL behind it */
    c->in_len = have;
    c->body_left = length - have;
    j->bytes += have;
    c->state = BODY;
}

static ssize_t read_into(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, IN_BYTES - c->in_len, 0);

    if (n > 0)
        c->in_len += (size_t)n;
    c->in[c->in_len] = '\0';
    return n;
}

static ssize_t on_head_bytes(struct conn *c)
{
    ssize_t n = read_into(c);
    char *end;

    if (n <= 0)
        return n;
    end = strstr(c->in, "\r\n\r\n");
    if (end)
        on_head(c, end + 4);
    else if (c->in_len == IN_BYTES)
        bench_die("load: the head does not end");
    return n;
}

/* A file object is kept, a file is thrown away in the kernel. */
static ssize_t on_body_bytes(struct conn *c)
{
    uint64_t want = c->body_left;
    ssize_t n;

    want = want < BENCH_DISCARD_BYTES ? want : BENCH_DISCARD_BYTES;
    if (c->job->expect)
        n = recv(c->fd, NULL, want, MSG_TRUNC);
    else
        n = read_into(c);
    if (n <= 0)
        return n;
    c->body_left -= (uint64_t)n;
    c->job->bytes += (uint64_t)n;
    return n;
}

static void on_readable(struct conn *c)
{
    ssize_t n = 1;

    for (int i = 0; i < 64 && n > 0 && c->state != IDLE; i++) {
        if (c->state == HEAD || c->state == SEND)
            n = on_head_bytes(c);
        else if (c->state == BODY && c->body_left)
            n = on_body_bytes(c);
        if (c->state == BODY && !c->body_left) {
            on_answer(c);
            return;
        }
    }
    if (n == 0 || (n < 0 && errno != EAGAIN))
        conn_lost(c, "closed by the other side");
}

static void on_event(struct conn *c, unsigned events)
{
    if (c->state == IDLE) {
        /* Closed while idle: its answer was counted, so let it be. */
        conn_want(c, EPOLLET);
        return;
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        on_readable(c);
    if (c->state == SEND)
        on_writable(c);
    if (c->fd < 0)
        return;
    conn_want(c, c->state == SEND ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* --- jobs --- */

static struct conn *conn_open(struct job *j, unsigned port, unsigned i)
{
    struct conn *c = malloc(sizeof(*c));

    if (!c)
        bench_die("out of memory");
    memset(c, 0, offsetof(struct conn, in));
    c->job = j;
    c->fd = bench_connect(port, 1 + i % SOURCES);
    conn_start(c);
    conn_want(c, EPOLLIN | EPOLLOUT);
    return c;
}

/* Runs until everything is answered, or patience_ms pass without an event. */
static void job_run(struct job *j, int patience_ms)
{
    struct epoll_event events[EVENTS];

    while (j->unanswered) {
        int n = epoll_wait(j->epoll, events, EVENTS, patience_ms);

        if (n == 0)
            return;
        for (int i = 0; i < n; i++)
            on_event(events[i].data.ptr, events[i].events);
    }
}

static void job_print(const struct job *j, double seconds)
{
    char id[256] = "";

    /* The member's value: what is between the next two quotes. */
    bench_between(j->id, "\"", "\"", id, sizeof(id));
    printf("seconds %.6f\nanswers %" PRIu64 "\nbytes %" PRIu64
           "\nunanswered %" PRIu64 "\n",
           seconds, j->answers, j->bytes, j->unanswered);
    if (*id)
        printf("id %s\n", id);
    fflush(stdout);
}

static void hold(void)
{
    char byte;

    printf("ready 1\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
}

/* The connections are opened a few at a time, so that no listener's backlog
 * decides who is answered. */
static void run_idle(struct job *j, unsigned port, unsigned count, int patience)
{
    uint64_t asked = j->unanswered;

    j->to_start = j->unanswered = 0;
    for (unsigned i = 0; i < count; i++) {
        j->to_start++; /* for this one, not again for an answered one */
        j->unanswered++;
        conn_open(j, port, i);
        if (i % 64 == 63)
            job_run(j, patience);
    }
    job_run(j, patience);
    j->unanswered = asked - j->answers;
    job_print(j, 0);
    hold();
}

static void run_all(struct job *j, unsigned port, unsigned count)
{
    double start = bench_now();

    for (unsigned i = 0; i < count; i++)
        conn_open(j, port, i);
    job_run(j, 30000);
    if (j->unanswered)
        bench_die("load: no answer for 30 s, %" PRIu64 " open", j->unanswered);
    job_print(j, bench_now() - start);
}

/* What is uploaded, and how it is called. */
static void job_pick_file(struct job *j, const char *mode, uint64_t bytes)
{
    bool is_plain = !strcmp(mode, "up");

    j->file_bytes = bytes;
    j->pattern_bytes = is_plain ? BENCH_PATTERN_BYTES : bytes;
    j->pattern = is_plain ? bench_pattern() : bench_batch(bytes);
    j->purpose = strcmp(mode, "batch") ? "user_data" : "batch";
    j->suffix = is_plain ? ".bin" : ".jsonl";
}

static bool is_upload(const char *mode)
{
    return !strcmp(mode, "up") || !strcmp(mode, "batch") ||
           !strcmp(mode, "lines");
}

int main(int argc, char **argv)
{
    struct job j = {.tail = ""};
    unsigned port, count;
    uint64_t amount;

    if (argc != 7)
        bench_die("usage: load up|batch|lines|down|get|idle PORT PATH KEY "
                  "COUNT AMOUNT");
    signal(SIGPIPE, SIG_IGN);
    port = (unsigned)bench_number(argv[2]);
    count = (unsigned)bench_number(argv[5]);
    amount = bench_number(argv[6]);
    j.epoll = epoll_create1(EPOLL_CLOEXEC);
    j.is_tolerant = !strcmp(argv[1], "idle");
    j.to_start = j.unanswered = count;
    if (!strcmp(argv[1], "get"))
        j.to_start = j.unanswered = amount;
    if (!strcmp(argv[1], "down"))
        j.expect = amount;
    if (is_upload(argv[1])) {
        job_pick_file(&j, argv[1], amount);
        job_post(&j, port, argv[3], argv[4]);
    } else
        job_get(&j, port, argv[3], argv[4]);
    if (!strcmp(argv[1], "idle"))
        run_idle(&j, port, count, (int)amount);
    else
        run_all(&j, port, count);
    return 0;
}
