#define _GNU_SOURCE
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH_LINE_BYTES 1024

void bench_die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

uint64_t bench_number(const char *text)
{
    uint64_t n = 0;

    if (!*text)
        bench_die("cannot parse '' as a number");
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9' || n > UINT64_MAX / 10 - 1)
            bench_die("cannot parse '%s' as a number", text);
        n = n * 10 + (unsigned)(*p - '0');
    }
    return n;
}

double bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int bench_pattern(void)
{
    int fd = memfd_create("pattern", MFD_CLOEXEC);
    uint64_t x = 0x9e3779b97f4a7c15u;
    uint64_t *p;

    if (fd < 0 || ftruncate(fd, BENCH_PATTERN_BYTES) < 0)
        bench_die("cannot make the pattern: %s", strerror(errno));
    p = mmap(NULL, BENCH_PATTERN_BYTES, PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        bench_die("cannot map the pattern: %s", strerror(errno));
    for (size_t i = 0; i < BENCH_PATTERN_BYTES / sizeof(*p); i++) {
        x ^= x << 13; /* xorshift: no library, the same on every machine */
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = x;
    }
    munmap(p, BENCH_PATTERN_BYTES);
    return fd;
}

static size_t batch_line(char *p, size_t room, uint64_t i)
{
    static const char *const texts[] = {
        "Summarise the following review in one sentence, and say whether its "
        "author would buy the product again.\\n\\nI bought this kettle in "
        "spring. It is quiet, it is quick, and \\\"the lid\\\" stays where it "
        "should. What I do not like is the cable, which is too short for our "
        "kitchen; and the light, which is blue and shines all night.",
        "Classify the ticket as bug, question or request: the export stops at "
        "line 4711 with an error, and nothing is written. We use version 2.14 "
        "on three machines, and all of them show the same.",
    };

    return (size_t)snprintf(
        p, room,
        "{\"custom_id\": \"request-%" PRIu64 "\", \"method\": \"POST\", "
        "\"url\": \"/v1/chat/completions\", \"body\": {\"model\": "
        "\"gpt-4o-mini\", \"messages\": [{\"role\": \"system\", \"content\": "
        "\"You are a helpful assistant that answers in one paragraph.\"}, "
        "{\"role\": \"user\", \"content\": \"%s\"}], \"max_tokens\": 256, "
        "\"temperature\": 0.2}}\n",
        i, texts[i % 2]);
}

int bench_batch(uint64_t bytes)
{
    int fd = memfd_create("batch", MFD_CLOEXEC);
    char *p, *end;

    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        bench_die("cannot make the batch file: %s", strerror(errno));
    p = mmap(NULL, bytes, PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        bench_die("cannot map the batch file: %s", strerror(errno));
    end = p + bytes;
    for (uint64_t i = 0; p < end; i++) {
        char line[BATCH_LINE_BYTES];
        size_t n = batch_line(line, sizeof(line), i);

        if (n > (size_t)(end - p)) { /* blank lines are none */
            memset(p, '\n', (size_t)(end - p));
            break;
        }
        memcpy(p, line, n);
        p += n;
    }
    munmap(end - bytes, bytes);
    return fd;
}

static struct sockaddr_in loopback(unsigned host, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET};

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + host);
    a.sin_port = htons((uint16_t)port);
    return a;
}

int bench_listen(unsigned port)
{
    struct sockaddr_in a = loopback(1, port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4096) < 0)
        bench_die("cannot listen on port %u: %s", port, strerror(errno));
    return fd;
}

int bench_connect(unsigned port, unsigned source)
{
    struct sockaddr_in from = loopback(source, 0), to = loopback(1, port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    if (fd < 0)
        bench_die("cannot make a socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
        bench_die("cannot bind: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 &&
        errno != EINPROGRESS)
        bench_die("cannot connect to port %u: %s", port, strerror(errno));
    return fd;
}

void bench_watch(int epoll, int fd, unsigned events, void *object, bool add)
{
    struct epoll_event e = {.events = events, .data.ptr = object};

    if (epoll_ctl(epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &e) < 0)
        bench_die("cannot watch a descriptor: %s", strerror(errno));
}

bool bench_between(const char *text, const char *from, const char *to,
                   char *out, size_t size)
{
    const char *begin = strstr(text, from), *end;

    if (!begin)
        return false;
    begin += strlen(from);
    end = strstr(begin, to);
    if (!end || (size_t)(end - begin) >= size)
        return false;
    memcpy(out, begin, (size_t)(end - begin));
    out[end - begin] = '\0';
    return true;
}

bool bench_field_number(const char *head, const char *name, uint64_t *value)
{
    const char *p = strcasestr(head, name);
    uint64_t n = 0;

    if (!p)
        return false;
    p += strlen(name);
    p += strspn(p, ": ");
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++)
        n = n * 10 + (unsigned)(*p - '0');
    *value = n;
    return true;
}
