/* redis_url.h -- where Redis is, out of the text of a URL. Pure.
 *
 *     redis://[[user]:password@]host[:port][/db]
 *     rediss://…[?ca_file=/path]         over TLS
 *     unix://[[user]:password@]/path[?db=n]
 *
 * User and password are percent-decoded; [::1] is an IPv6 address.
 */
#ifndef FILEMUX_STORE_REDIS_URL_H
#define FILEMUX_STORE_REDIS_URL_H

#include "gateway/base/arena.h"
#include "gateway/base/err.h"

/* sockaddr_un holds 108 bytes, and hiredis ends a path of 107 with a byte of
 * chance (0.14.1, net.c: strncpy into memory that is not zeroed). */
#define REDIS_SOCKET_PATH_MAX 106

struct redis_url {
    const char *path; /* of a unix socket; NULL: host and port */
    const char *host;
    int port;
    bool is_tls;
    const char *ca_file;       /* "": the system's */
    struct str user, password; /* STR_NULL: none */
    int64_t db;
};

/* INVALID_VALUE with what is wrong, without the URL: it may hold a password.
 * Views and strings live in the arena. */
enum gw_err redis_url_parse(struct arena *a, const char *text,
                            struct redis_url *out,
                            struct gw_error *e) MUSTCHECK;

#endif
