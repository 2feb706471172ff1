#include "gateway/store/redis_url.h"

#include "gateway/codec/url.h"

#define PORT_DEFAULT 6379
#define DB_MAX 65535

static enum gw_err bad(struct gw_error *e, const char *what)
{
    return err_set_param(e, GW_INVALID_VALUE, "redis.url",
                         "redis.url is not usable: %s", what);
}

static bool cut_prefix(struct str *s, struct str prefix)
{
    if (!str_starts(*s, prefix))
        return false;
    *s = str_make(s->p + prefix.n, s->n - prefix.n);
    return true;
}

/* Splits at the last @: an unescaped one in a password is then taken as the
 * user meant it. */
static struct str cut_userinfo(struct str *authority)
{
    size_t i = authority->n;
    struct str info;

    while (i > 0 && authority->p[i - 1] != '@')
        i--;
    if (i == 0)
        return STR_NULL;
    info = str_make(authority->p, i - 1);
    *authority = str_make(authority->p + i, authority->n - i);
    return info;
}

static enum gw_err read_userinfo(struct arena *a, struct str info,
                                 struct redis_url *out, struct gw_error *e)
{
    struct str user, password;

    if (!info.p)
        return GW_OK;
    if (!str_cut(info, ':', &user, &password))
        return bad(e, "the part before @ must be user:password or :password");
    if (password.n == 0)
        return bad(e, "the password is empty");
    if (!url_decode(a, password, false, &out->password) ||
        (user.n && !url_decode(a, user, false, &out->user)))
        return bad(e, "a percent-escape before @ does not decode");
    return GW_OK;
}

static enum gw_err read_db(struct str s, struct redis_url *out,
                           struct gw_error *e)
{
    if (!str_to_i64(s, &out->db) || out->db < 0 || out->db > DB_MAX)
        return bad(e, "the database must be a number");
    return GW_OK;
}

static enum gw_err read_port(struct str s, struct redis_url *out,
                             struct gw_error *e)
{
    int64_t port;

    if (!str_to_i64(s, &port) || port < 1 || port > 65535)
        return bad(e, "the port must be a number from 1 to 65535");
    out->port = (int)port;
    return GW_OK;
}

/* "host", "host:port", "[::1]:port" */
static enum gw_err read_host(struct arena *a, struct str s,
                             struct redis_url *out, struct gw_error *e)
{
    struct str host, port = STR_NULL;

    if (cut_prefix(&s, STR("["))) {
        if (!str_cut(s, ']', &host, &port))
            return bad(e, "the bracket of an IPv6 address is not closed");
        if (port.n && !cut_prefix(&port, STR(":")))
            return bad(e, "what follows an IPv6 address is no port");
    } else {
        str_cut(s, ':', &host, &port);
    }
    if (host.n == 0)
        return bad(e, "there is no host");
    out->host = arena_cstr(a, host);
    out->port = PORT_DEFAULT;
    return port.n ? read_port(port, out, e) : GW_OK;
}

static enum gw_err read_query(struct arena *a, struct str query,
                              struct redis_url *out, struct gw_error *e)
{
    struct str item, name, value;
    enum gw_err err = GW_OK;

    while (!err && str_next(&query, '&', &item)) {
        if (!str_cut(item, '=', &name, &value) ||
            !url_decode(a, value, true, &value))
            err = bad(e, "its query does not decode");
        else if (str_eq_c(name, "db") && out->path)
            err = read_db(value, out, e);
        else if (str_eq_c(name, "ca_file") && out->is_tls)
            out->ca_file = arena_cstr(a, value);
        else
            err = bad(e, "its query holds an unknown parameter");
    }
    return err;
}

static enum gw_err read_tcp(struct arena *a, struct str rest,
                            struct redis_url *out, struct gw_error *e)
{
    struct str query, path, info, authority;
    enum gw_err err;

    str_cut(rest, '?', &rest, &query);
    str_cut(rest, '/', &authority, &path);
    info = cut_userinfo(&authority);
    err = read_userinfo(a, info, out, e);
    if (!err)
        err = read_host(a, authority, out, e);
    if (!err && path.n)
        err = read_db(path, out, e);
    return err ? err : read_query(a, query, out, e);
}

static enum gw_err read_unix(struct arena *a, struct str rest,
                             struct redis_url *out, struct gw_error *e)
{
    struct str query, info, authority;
    enum gw_err err;
    ptrdiff_t slash;

    str_cut(rest, '?', &rest, &query);
    slash = str_find(rest, '/');
    if (slash < 0)
        return bad(e, "there is no path of a socket");
    authority = str_make(rest.p, (size_t)slash);
    rest = str_make(rest.p + slash, rest.n - (size_t)slash);
    info = cut_userinfo(&authority);
    if (authority.n)
        return bad(e, "a unix socket has no host: write unix:///path");
    if (rest.n > REDIS_SOCKET_PATH_MAX)
        return bad(e, "the path of the socket is longer than 106 bytes");
    out->path = arena_cstr(a, rest);
    err = read_userinfo(a, info, out, e);
    return err ? err : read_query(a, query, out, e);
}

enum gw_err redis_url_parse(struct arena *a, const char *text,
                            struct redis_url *out, struct gw_error *e)
{
    struct str rest = str_of(text);

    *out = (struct redis_url){.ca_file = ""};
    if (cut_prefix(&rest, STR("unix://")))
        return read_unix(a, rest, out, e);
    if (cut_prefix(&rest, STR("redis://")))
        return read_tcp(a, rest, out, e);
    if (!cut_prefix(&rest, STR("rediss://")))
        return bad(e, "it must start with redis://, rediss:// or unix://");
    out->is_tls = true;
#ifndef HAVE_HIREDIS_SSL
    return bad(e,
               "rediss:// needs a hiredis with TLS (hiredis_ssl, version 1.0 "
               "or later), and this program was built without one; use "
               "redis:// through a TLS tunnel, or a unix socket");
#else
    return read_tcp(a, rest, out, e);
#endif
}
