#include "gateway/net/client_reply.h"

void client_reply_init(struct client_reply *r)
{
    *r = (struct client_reply){.arena = arena_new()};
    buf_init(&r->body, LIMIT_UPSTREAM_REPLY_BYTES);
}

void client_reply_release(struct client_reply *r)
{
    arena_free(r->arena);
    r->arena = NULL;
    buf_release(&r->body);
}

static enum gw_err refuse(struct gw_error *e, const char *why)
{
    return err_set(e, GW_UPSTREAM_BAD_RESPONSE, "the provider's answer %s",
                   why);
}

/* "HTTP/1.1 200 OK": a block begins, and what came before was interim. */
static enum gw_err read_status(struct client_reply *r, struct str line,
                               struct gw_error *e)
{
    struct str version, rest, code;
    uint64_t status;

    str_cut(line, ' ', &version, &rest);
    str_cut(str_trim(rest), ' ', &code, &rest);
    if (code.n != 3 || !str_to_u64(code, &status) || status < 100)
        return refuse(e, "has no status");
    r->status = (int)status;
    r->res.fields.n = 0;
    return GW_OK;
}

static bool is_token(struct str s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    size_t i;
    char c;

    for (i = 0; i < s.n; i++) {
        c = s.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') &&
            !(c >= 'a' && c <= 'z') && (!c || !strchr(others, c)))
            return false;
    }
    return s.n > 0;
}

static bool is_field_value(struct str s)
{
    return str_find(s, '\0') < 0 && str_find(s, '\r') < 0 &&
           str_find(s, '\n') < 0;
}

static enum gw_err read_field(struct client_reply *r, struct str line,
                              struct gw_error *e)
{
    struct str name, value;

    if (!str_cut(line, ':', &name, &value) || !is_token(name) ||
        !is_field_value(value))
        return refuse(e, "has a malformed header field");
    if (r->res.fields.n >= LIMIT_HEAD_FIELDS)
        return refuse(e, "has too many header fields");
    http_fields_add(&r->res.fields, r->arena, arena_dup(r->arena, name),
                    arena_dup(r->arena, str_trim(value)));
    return GW_OK;
}

static enum gw_err end_block(struct client_reply *r, bool *is_head,
                             struct gw_error *e)
{
    if (!r->status || r->status == 101)
        return refuse(e, "makes no sense");
    if (r->status >= 200) {
        r->res.status = r->status;
        *is_head = true;
    }
    r->status = 0;
    return GW_OK;
}

static struct str without_line_end(struct str line)
{
    if (line.n && line.p[line.n - 1] == '\n')
        line.n--;
    if (line.n && line.p[line.n - 1] == '\r')
        line.n--;
    return line;
}

enum gw_err client_reply_line(struct client_reply *r, struct str line,
                              bool *is_head, struct gw_error *e)
{
    *is_head = false;
    r->has_bytes = true;
    if (r->res.status)
        return GW_OK;
    r->head_bytes += line.n;
    if (r->head_bytes > LIMIT_HEAD_BYTES)
        return refuse(e, "has too large a head");
    line = without_line_end(line);
    if (!line.n)
        return end_block(r, is_head, e);
    if (!r->status)
        return read_status(r, line, e);
    return read_field(r, line, e);
}

bool client_reply_body(struct client_reply *r, const char *p, size_t n)
{
    buf_add(&r->body, p, n);
    r->res.body_was_cut = r->body.overflow;
    return !r->body.overflow;
}

void client_reply_finish(struct client_reply *r)
{
    r->res.body = buf_str(&r->body);
}
