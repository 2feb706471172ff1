#include "gateway/codec/http_msg.h"

#include "gateway/base/bug.h"

#define FIRST_FIELDS 16

static bool is_line_safe(struct str s)
{
    return str_find(s, '\r') < 0 && str_find(s, '\n') < 0 &&
           str_find(s, '\0') < 0;
}

void http_fields_add(struct http_fields *f, struct arena *a, struct str name,
                     struct str value)
{
    ASSERT(name.n && is_line_safe(name));
    ASSERT(is_line_safe(value));
    if (f->n == f->cap) {
        size_t cap = f->cap ? 2 * f->cap : FIRST_FIELDS;
        struct http_field *v = arena_alloc(a, cap * sizeof(*v));

        if (f->n)
            memcpy(v, f->v, f->n * sizeof(*v));
        f->v = v;
        f->cap = cap;
    }
    f->v[f->n++] = (struct http_field){name, value};
}

struct str http_fields_get(const struct http_fields *f, struct str name)
{
    for (size_t i = 0; i < f->n; i++)
        if (str_eq_nocase(f->v[i].name, name))
            return f->v[i].value;
    return STR_NULL;
}

static void add_seg(struct http_req *r, struct http_seg seg)
{
    ASSERT(r->nsegs < HTTP_SEGS_MAX);
    r->segs[r->nsegs++] = seg;
}

void http_req_add_mem(struct http_req *r, struct str mem)
{
    add_seg(r, (struct http_seg){.kind = HTTP_SEG_MEM, .mem = mem});
}

void http_req_add_stream(struct http_req *r, int64_t len)
{
    ASSERT(len >= -1);
    add_seg(r, (struct http_seg){.kind = HTTP_SEG_STREAM, .len = len});
}

int64_t http_req_length(const struct http_req *r)
{
    int64_t sum = 0;

    for (size_t i = 0; i < r->nsegs; i++) {
        const struct http_seg *s = &r->segs[i];
        int64_t n = s->kind == HTTP_SEG_MEM ? (int64_t)s->mem.n : s->len;

        if (n < 0)
            return -1;
        ASSERT(!__builtin_add_overflow(sum, n, &sum));
    }
    return sum;
}

bool http_req_sinks(const struct http_req *r, int status)
{
    if (!r->is_sink)
        return false;
    return status == 200 || status == 206 ||
           (r->sinks_any && status >= 200 && status < 300);
}
