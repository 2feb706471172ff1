/* upstream -- a provider that costs next to nothing.
 *
 *     upstream PORT
 *
 *     POST   /v1/files               the body is counted and thrown away
 *     GET    /v1/files/{id}          a file object, status processed
 *     GET    /v1/files/{id}/content  the bytes, by sendfile
 *     DELETE /v1/files/{id}          deleted
 *
 * It keeps no state: a file's size travels in its name ("bench-<bytes>.bin")
 * and from there in its id ("file-<bytes>-<sequence>"). So the first bytes of
 * a form are read for the name, the rest is discarded in the kernel by
 * recv(MSG_TRUNC). Authorization is not looked at.
 *
 *     HEAD -> (SNIFF -> DISCARD) -> REPLY -> HEAD
 *
 * One request at a time on a connection; what came behind its head is body.
 */
#define _GNU_SOURCE
#include "tests/bench/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define IN_BYTES (32u << 10)
/* The form's fields before the file are shorter than this. */
#define SNIFF_BYTES (2u << 10)
/* Sent on one connection before others get their turn. */
#define TURN_BYTES (4u << 20)
#define EVENTS 256

enum state {
    HEAD,    /* collecting a request head */
    SNIFF,   /* collecting the begin of a form */
    DISCARD, /* counting the rest of a body */
    REPLY,   /* sending */
};

/* Where a chunked body stands. */
enum chunk {
    CHUNK_SIZE,  /* in the line with the size */
    CHUNK_DATA,  /* in the data */
    CHUNK_END,   /* in the CRLF behind it */
    CHUNK_FINAL, /* in the CRLF behind the last chunk */
};

struct conn {
    struct upstream *upstream;
    int fd;
    enum state state;
    unsigned events; /* as watched */
    char in[IN_BYTES + 1];
    size_t in_len;
    char method[16], path[1024];
    bool is_chunked;
    enum chunk chunk;
    uint64_t body_left; /* of the body, or of the chunk */
    uint64_t bytes;     /* the file's size */
    char out[1024];
    size_t out_len, out_off;
    uint64_t file_left;
    off_t file_off;
};

struct upstream {
    int epoll, listener, pattern;
    uint64_t sequence;
};

static void conn_open(struct upstream *u)
{
    int fd = accept4(u->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int on = 1;
    struct conn *c;

    if (fd < 0)
        return;
    c = malloc(sizeof(*c));
    if (!c)
        bench_die("out of memory");
    memset(c, 0, offsetof(struct conn, in));
    c->in_len = 0;
    c->upstream = u;
    c->fd = fd;
    c->events = EPOLLIN;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    bench_watch(u->epoll, fd, EPOLLIN, c, true);
}

static void conn_close(struct conn *c)
{
    close(c->fd);
    free(c);
}

static void conn_want(struct conn *c, unsigned events)
{
    if (c->events == events)
        return;
    c->events = events;
    bench_watch(c->upstream->epoll, c->fd, events, c, false);
}

/* --- replies --- */

static void reply_json(struct conn *c, const char *json)
{
    c->out_len = (size_t)snprintf(c->out, sizeof(c->out),
                                  "HTTP/1.1 200 OK\r\n"
                                  "Content-Type: application/json\r\n"
                                  "Content-Length: %zu\r\n\r\n%s",
                                  strlen(json), json);
}

static void reply_file(struct conn *c, const char *id)
{
    char json[512];

    snprintf(json, sizeof(json),
             "{\"id\":\"%s\",\"object\":\"file\",\"bytes\":%" PRIu64
             ",\"created_at\":1700000000,\"filename\":\"bench-%" PRIu64
             ".bin\",\"purpose\":\"user_data\",\"status\":\"processed\"}",
             id, c->bytes, c->bytes);
    reply_json(c, json);
}

static void reply_deleted(struct conn *c, const char *id)
{
    char json[512];

    snprintf(json, sizeof(json),
             "{\"id\":\"%s\",\"object\":\"file\",\"deleted\":true}", id);
    reply_json(c, json);
}

static void reply_content(struct conn *c)
{
    c->out_len = (size_t)snprintf(c->out, sizeof(c->out),
                                  "HTTP/1.1 200 OK\r\n"
                                  "Content-Type: application/octet-stream\r\n"
                                  "Content-Length: %" PRIu64 "\r\n\r\n",
                                  c->bytes);
    c->file_left = c->bytes;
}

static void reply_not_found(struct conn *c)
{
    c->out_len = (size_t)snprintf(c->out, sizeof(c->out),
                                  "HTTP/1.1 404 Not Found\r\n"
                                  "Content-Length: 0\r\n\r\n");
}

/* "file-<bytes>-<sequence>" out of "/v1/files/<id>[/content]". */
static bool file_id(struct conn *c, char *id, size_t size)
{
    char *slash;

    if (strncmp(c->path, "/v1/files/file-", 15))
        return false;
    snprintf(id, size, "%s", c->path + 10);
    slash = strchr(id, '/');
    if (slash)
        *slash = '\0';
    return bench_field_number(id, "file-", &c->bytes);
}

static void reply(struct conn *c)
{
    struct upstream *u = c->upstream;
    char id[256];

    c->state = REPLY;
    c->out_off = 0;
    c->file_left = 0;
    c->file_off = 0;
    if (!strcmp(c->method, "POST")) {
        snprintf(id, sizeof(id), "file-%" PRIu64 "-%" PRIu64, c->bytes,
                 ++u->sequence);
        reply_file(c, id);
    } else if (!file_id(c, id, sizeof(id)))
        reply_not_found(c);
    else if (!strcmp(c->method, "DELETE"))
        reply_deleted(c, id);
    else if (strstr(c->path, "/content"))
        reply_content(c);
    else
        reply_file(c, id);
}

/* False when the connection is done for. Ends in HEAD, or waits. */
static bool on_writable(struct conn *c)
{
    uint64_t turn = TURN_BYTES;

    while (c->out_off < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off,
                         MSG_NOSIGNAL | (c->file_left ? MSG_MORE : 0));

        if (n < 0)
            return errno == EAGAIN;
        c->out_off += (size_t)n;
    }
    while (c->file_left && turn) {
        uint64_t want = BENCH_PATTERN_BYTES - (uint64_t)c->file_off;
        ssize_t n;

        want = want < c->file_left ? want : c->file_left;
        want = want < turn ? want : turn;
        n = sendfile(c->fd, c->upstream->pattern, &c->file_off, want);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
        c->file_off %= BENCH_PATTERN_BYTES;
        c->file_left -= (uint64_t)n;
        turn -= (uint64_t)n;
    }
    if (!c->file_left)
        c->state = HEAD;
    return true;
}

/* --- bodies --- */

/* One byte of a chunked body's framing. True at its end. */
static bool chunk_byte(struct conn *c, char byte)
{
    const char *digits = "0123456789abcdef", *digit;

    if (c->chunk == CHUNK_SIZE) {
        digit = strchr(digits, byte | 0x20);
        if (digit && byte != '\r' && byte != '\n')
            c->body_left = c->body_left * 16 + (uint64_t)(digit - digits);
        else if (byte == '\n')
            c->chunk = c->body_left ? CHUNK_DATA : CHUNK_FINAL;
        return false;
    }
    if (byte != '\n')
        return false;
    if (c->chunk == CHUNK_FINAL)
        return true;
    c->chunk = CHUNK_SIZE;
    c->body_left = 0;
    return false;
}

/* What was read together with the head. True at the end of the body. */
static bool body_skip(struct conn *c, size_t len)
{
    if (!c->is_chunked) {
        c->body_left -= len < c->body_left ? len : c->body_left;
        return !c->body_left;
    }
    for (size_t i = 0; i < len; i++) {
        if (c->chunk == CHUNK_DATA) {
            if (!--c->body_left)
                c->chunk = CHUNK_END;
        } else if (chunk_byte(c, c->in[i]))
            return true;
    }
    return false;
}

/* One discarding read. Sets *n as recv does; true at the end of the body. */
static bool body_discard(struct conn *c, ssize_t *n)
{
    uint64_t want = c->body_left;
    char byte;

    if (c->is_chunked && c->chunk != CHUNK_DATA) {
        *n = recv(c->fd, &byte, 1, 0);
        return *n == 1 && chunk_byte(c, byte);
    }
    want = want < BENCH_DISCARD_BYTES ? want : BENCH_DISCARD_BYTES;
    *n = recv(c->fd, NULL, want, MSG_TRUNC);
    if (*n <= 0)
        return false;
    c->body_left -= (uint64_t)*n;
    if (!c->body_left && c->is_chunked)
        c->chunk = CHUNK_END;
    return !c->body_left && !c->is_chunked;
}

/* Enough of the form to hold the file's name? Then its size is known, and what
 * is in `in` is body like the rest. */
static void sniff(struct conn *c)
{
    bool is_whole = !c->is_chunked && c->in_len >= c->body_left;

    c->in[c->in_len] = '\0';
    if (c->in_len < SNIFF_BYTES && !is_whole)
        return;
    if (!bench_field_number(c->in, "\"bench-", &c->bytes))
        c->bytes = c->body_left;
    c->state = DISCARD;
    if (body_skip(c, c->in_len))
        reply(c);
    c->in_len = 0;
}

/* A whole head is in `in`, its end at `end`: what is behind moves to the
 * begin. */
static void begin(struct conn *c, char *end)
{
    bool has_body;

    end[-2] = '\0'; /* the head is a string, its last line end kept out */
    if (sscanf(c->in, "%15s %1023s", c->method, c->path) != 2)
        bench_die("upstream: no request line: %s", c->in);
    c->is_chunked = strcasestr(c->in, "\ntransfer-encoding:") != NULL;
    c->chunk = CHUNK_SIZE;
    c->body_left = 0;
    c->bytes = 0;
    has_body = bench_field_number(c->in, "\ncontent-length", &c->body_left);
    c->in_len -= (size_t)(end - c->in);
    memmove(c->in, end, c->in_len);
    if (c->is_chunked || (has_body && c->body_left)) {
        c->state = SNIFF;
        sniff(c);
    } else
        reply(c);
}

/* Reads into `in`. False at the end of the connection. */
static bool collect(struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, IN_BYTES - c->in_len, 0);
    char *end;

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    c->in_len += (size_t)n;
    c->in[c->in_len] = '\0';
    if (c->state == SNIFF) {
        sniff(c);
        return true;
    }
    end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (end)
        begin(c, end + 4);
    return c->in_len < IN_BYTES;
}

static bool on_readable(struct conn *c)
{
    ssize_t n = 1;

    if (c->state == HEAD || c->state == SNIFF)
        return collect(c);
    for (int i = 0; i < 64 && c->state == DISCARD; i++) {
        if (body_discard(c, &n))
            reply(c);
        if (n <= 0)
            return n < 0 && errno == EAGAIN;
    }
    return true;
}

static void on_event(struct conn *c)
{
    bool is_fine = true;

    if (c->state != REPLY)
        is_fine = on_readable(c);
    if (is_fine && c->state == REPLY)
        is_fine = on_writable(c);
    if (is_fine)
        conn_want(c, c->state == REPLY ? EPOLLOUT : EPOLLIN);
    else
        conn_close(c);
}

static void run(struct upstream *u)
{
    struct epoll_event events[EVENTS];

    for (;;) {
        int n = epoll_wait(u->epoll, events, EVENTS, -1);

        for (int i = 0; i < n; i++)
            if (events[i].data.ptr)
                on_event(events[i].data.ptr);
            else
                conn_open(u);
    }
}

int main(int argc, char **argv)
{
    struct upstream u = {.sequence = 0};

    if (argc != 2)
        bench_die("usage: upstream PORT");
    signal(SIGPIPE, SIG_IGN);
    u.epoll = epoll_create1(EPOLL_CLOEXEC);
    u.pattern = bench_pattern();
    u.listener = bench_listen((unsigned)bench_number(argv[1]));
    bench_watch(u.epoll, u.listener, EPOLLIN, NULL, true);
    run(&u);
}
