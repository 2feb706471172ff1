/* Sockets are made here and not by evhtp: it sets no mode on a unix socket,
 * removes no stale one, and turns a wrong address into 255.255.255.255.
 *
 * Each worker binds a TCP address for itself (SO_REUSEPORT: the kernel spreads
 * the connections). A unix path can be bound only once: the workers after the
 * first find the socket among the process's own descriptors and share it.
 */
#include "gateway/net/http_server_impl.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UNIX_MODE 0660

static int fail(struct gw_error *e, int fd, const char *what,
                const char *address)
{
    err_set(e, GW_INVALID_VALUE, "cannot %s '%s': %s", what, address,
            strerrordesc_np(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

static int new_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

/* --- unix --- */

static bool is_bound_to(int fd, const struct sockaddr_un *a)
{
    struct sockaddr_un own = {0};
    socklen_t len = sizeof(own);
    int listens = 0;
    socklen_t size = sizeof(listens);

    if (getsockname(fd, (struct sockaddr *)&own, &len) < 0 ||
        own.sun_family != AF_UNIX)
        return false;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) < 0)
        return false;
    return listens &&
           memcmp(own.sun_path, a->sun_path, sizeof(a->sun_path)) == 0;
}

/* Another worker's socket for the path, duplicated; -1: there is none. */
static int share_unix(const struct sockaddr_un *a)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    uint64_t n;
    int fd = -1;

    while (dir && fd < 0 && (entry = readdir(dir))) {
        if (str_to_u64(str_of(entry->d_name), &n) && is_bound_to((int)n, a))
            fd = fcntl((int)n, F_DUPFD_CLOEXEC, 0);
    }
    if (dir)
        closedir(dir);
    return fd;
}

/* Whether somebody answers there. A socket file that nobody listens on is
 * removed. */
static bool is_in_use(const struct sockaddr_un *a)
{
    int fd = new_socket(AF_UNIX);
    bool answers;

    if (fd < 0)
        return false;
    answers = connect(fd, (const struct sockaddr *)a, sizeof(*a)) == 0 ||
              errno == EAGAIN;
    if (!answers && errno == ECONNREFUSED)
        unlink(a->sun_path);
    close(fd);
    return answers;
}

static int bind_unix(const char *path, struct gw_error *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd;

    if (!path[0] || strlen(path) >= sizeof(a.sun_path)) {
        errno = ENAMETOOLONG;
        return fail(e, -1, "listen on", path);
    }
    memcpy(a.sun_path, path, strlen(path));
    fd = share_unix(&a);
    if (fd >= 0)
        return fd;
    if (is_in_use(&a)) {
        errno = EADDRINUSE;
        return fail(e, -1, "listen on", path);
    }
    fd = new_socket(AF_UNIX);
    /* The socket's mode is the file's from its first moment on. */
    if (fd < 0 || fchmod(fd, UNIX_MODE) < 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        chmod(path, UNIX_MODE) < 0 || listen(fd, LIMIT_BACKLOG) < 0)
        return fail(e, fd, "listen on", path);
    return fd;
}

/* --- tcp --- */

static bool set_options(int fd, int family)
{
    int on = 1;

    /* Accepted sockets inherit the last two. */
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
           (family != AF_INET6 ||
            setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
           setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0;
}

/* "host:port", ":port", "[v6]:port" into host and port. */
static bool split(const char *address, char *host, size_t size,
                  const char **port)
{
    const char *colon = strrchr(address, ':');
    size_t n = colon ? (size_t)(colon - address) : 0;

    if (!colon)
        return false;
    if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
        address++;
        n -= 2;
    } else if (memchr(address, ':', n)) {
        return false; /* a v6 address without brackets */
    }
    if (n >= size)
        return false;
    memcpy(host, address, n);
    host[n] = '\0';
    *port = colon + 1;
    return true;
}

static struct addrinfo *resolve(const char *address)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[256];
    const char *port;
    uint64_t number;

    if (!split(address, host, sizeof(host), &port) ||
        !str_to_u64(str_of(port), &number) || number > UINT16_MAX)
        return NULL;
    if (!host[0])
        hints.ai_family = AF_INET;
    if (getaddrinfo(host[0] ? host : NULL, port, &hints, &found) != 0)
        return NULL;
    return found;
}

static int bind_tcp(const char *address, struct gw_error *e)
{
    struct addrinfo *a = resolve(address);
    int fd;

    if (!a) {
        err_set(e, GW_INVALID_VALUE, "cannot understand the address '%s'",
                address);
        return -1;
    }
    fd = new_socket(a->ai_family);
    if (fd < 0 || !set_options(fd, a->ai_family) ||
        bind(fd, a->ai_addr, a->ai_addrlen) < 0 ||
        listen(fd, LIMIT_BACKLOG) < 0)
        fd = fail(e, fd, "listen on", address);
    freeaddrinfo(a);
    return fd;
}

/* SO_REUSEPORT lets another process of the same user in, unasked: without it
 * a bind tells. */
enum gw_err http_server_probe(const char *address, struct gw_error *e)
{
    struct addrinfo *a;
    int on = 1, fd;

    if (strncmp(address, "unix:", 5) == 0)
        return GW_OK;
    a = resolve(address);
    if (!a)
        return err_set(e, GW_INVALID_VALUE,
                       "cannot understand the address '%s'", address);
    fd = new_socket(a->ai_family);
    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, a->ai_addr, a->ai_addrlen) < 0)
        fail(e, fd, "listen on", address);
    else
        close(fd);
    freeaddrinfo(a);
    return e->err;
}

int bind_address(const char *address, struct gw_error *e)
{
    if (strncmp(address, "unix:", 5) == 0)
        return bind_unix(address + 5, e);
    return bind_tcp(address, e);
}

/* --- names --- */

static int port_of(const struct sockaddr *a)
{
    /* Copied out: a sockaddr of ours need not be aligned for either. */
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (a->sa_family == AF_INET) {
        memcpy(&v4, a, sizeof(v4));
        return ntohs(v4.sin_port);
    }
    if (a->sa_family == AF_INET6) {
        memcpy(&v6, a, sizeof(v6));
        return ntohs(v6.sin6_port);
    }
    return 0;
}

int bind_port(int fd)
{
    struct sockaddr_storage a = {0};
    socklen_t len = sizeof(a);

    if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return 0;
    return port_of((const struct sockaddr *)&a);
}

void bind_name(const struct sockaddr *a, char *out, size_t size)
{
    const char *bytes = (const char *)a;
    char ip[INET6_ADDRSTRLEN] = "";

    if (a->sa_family == AF_INET) {
        inet_ntop(AF_INET, bytes + offsetof(struct sockaddr_in, sin_addr), ip,
                  sizeof(ip));
        snprintf(out, size, "%s:%d", ip, port_of(a));
    } else if (a->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, bytes + offsetof(struct sockaddr_in6, sin6_addr),
                  ip, sizeof(ip));
        snprintf(out, size, "[%s]:%d", ip, port_of(a));
    } else {
        snprintf(out, size, "unix");
    }
}
