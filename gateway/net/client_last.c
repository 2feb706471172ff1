#include "gateway/net/client_last.h"

#include <string.h>
#include <sys/socket.h>

#include "gateway/codec/chunked.h"

void client_last_read(struct client_call *k, int fd)
{
    char *room;
    ssize_t n;

    if (k->state != CALL_RUNNING || k->is_tls || k->reply.has_bytes)
        return;
    room = buf_reserve(&k->last, LIMIT_LAST_BYTES);
    n = room ? recv(fd, room, LIMIT_LAST_BYTES, MSG_DONTWAIT) : 0;
    if (n > 0)
        buf_commit(&k->last, (size_t)n);
}

/* The head, line by line as curl would; what is left is the body. */
static struct str tell_head(struct client_call *k, struct str s)
{
    char *end;
    size_t n;

    while (!k->reply.res.status && (end = memchr(s.p, '\n', s.n))) {
        n = (size_t)(end - s.p) + 1;
        if (client_call_head_line(k, str_make(s.p, n)) != CLIENT_GO)
            break;
        s = str_make(s.p + n, s.n - n);
    }
    return s;
}

/* As much of the body as there is: an error's text, at worst cut short. */
static void tell_body(struct client_call *k, char *p, size_t n)
{
    const struct http_fields *f = &k->reply.res.fields;
    struct gw_error e = {0};
    struct chunked c;
    uint64_t length;
    size_t used;

    if (http_fields_get(f, STR("transfer-encoding")).p) {
        chunked_init(&c);
        if (chunked_decode(&c, p, n, &used, &n, &e) != GW_OK)
            return;
    } else if (str_to_u64(http_fields_get(f, STR("content-length")), &length)) {
        n = MIN(n, length);
    }
    if (client_call_take(k, p, n, false) != CLIENT_GO)
        k->is_cut = true;
}

bool client_last_tell(struct client_call *k)
{
    struct str rest;

    if (k->reply.has_bytes || !k->last.n)
        return false;
    rest = tell_head(k, buf_str(&k->last));
    if (!k->reply.res.status)
        return false;
    tell_body(k, k->last.p + (k->last.n - rest.n), rest.n);
    return true;
}
