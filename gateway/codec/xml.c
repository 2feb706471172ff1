#include "gateway/codec/xml.h"

#include "gateway/base/buf.h"

/* A tag at a time: take_tag() finds the next one and says of what kind it is.
 * An element ends where as many tags were closed as were opened since; that
 * the names of inner ones match is left to whoever looks into them.
 */

#define ENTITY_MAX 10 /* "&#1114111;" */

enum tag { TAG_NONE, TAG_OPEN, TAG_CLOSE, TAG_EMPTY };

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct str from(struct str s, size_t n)
{
    return str_make(s.p + n, s.n - n);
}

/* Skip up to and including `end`. False: it is not there. */
static bool skip_past(struct str *s, struct str end)
{
    const char *p = s->n ? memmem(s->p, s->n, end.p, end.n) : NULL;

    if (!p)
        return false;
    *s = from(*s, (size_t)(p - s->p) + end.n);
    return true;
}

/* How long the tag at the front is, without its brackets; -1: it does not end.
 * In an attribute's value a > may stand. */
static ptrdiff_t tag_length(struct str s)
{
    char quote = '\0';
    size_t i;

    for (i = 1; i < s.n; i++) {
        char c = s.p[i];

        if (quote)
            quote = c == quote ? '\0' : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '<')
            return -1;
        else if (c == '>')
            return (ptrdiff_t)i - 1;
    }
    return -1;
}

static struct str name_of(struct str tag)
{
    size_t n = 0;

    while (n < tag.n && !is_space(tag.p[n]))
        n++;
    return str_make(tag.p, n);
}

/* What has brackets but is no tag. False: there is nothing of that kind. */
static bool skip_remark(struct str *s)
{
    if (str_starts(*s, STR("<!--")))
        return skip_past(s, STR("-->"));
    return str_starts(*s, STR("<?")) && skip_past(s, STR("?>"));
}

/* Take the next tag, and what stands before it. *at is where it starts. */
static enum tag take_tag(struct str *s, struct str *name, const char **at)
{
    enum tag kind = TAG_OPEN;
    ptrdiff_t n;
    struct str tag;

    do {
        n = str_find(*s, '<');
        if (n < 0)
            return TAG_NONE;
        *s = from(*s, (size_t)n);
    } while (skip_remark(s));
    n = tag_length(*s);
    if (n <= 0)
        return TAG_NONE;
    *at = s->p;
    tag = str_make(s->p + 1, (size_t)n);
    *s = from(*s, (size_t)n + 2);
    if (tag.p[0] == '/') {
        kind = TAG_CLOSE;
        tag = from(tag, 1);
    } else if (str_ends(tag, STR("/"))) {
        kind = TAG_EMPTY;
        tag.n--;
    }
    *name = name_of(tag);
    return name->n && !strchr("!?/", name->p[0]) ? kind : TAG_NONE;
}

bool xml_next(struct str *rest, struct str *name, struct str *inner)
{
    struct str closed = STR("");
    const char *at;
    size_t depth = 1;
    enum tag kind = take_tag(rest, name, &at);

    *inner = str_make(rest->p, 0);
    if (kind == TAG_EMPTY)
        return true;
    if (kind != TAG_OPEN)
        return false;
    while (depth) {
        kind = take_tag(rest, &closed, &at);
        if (kind == TAG_NONE)
            return false;
        depth += kind == TAG_OPEN;
        depth -= kind == TAG_CLOSE;
    }
    inner->n = (size_t)(at - inner->p);
    return str_eq(closed, *name);
}

struct str xml_child(struct str inner, struct str name)
{
    struct str found, content;

    while (xml_next(&inner, &found, &content))
        if (str_eq(found, name))
            return content;
    return STR_NULL;
}

/* --- text --- */

static void add_utf8(struct buf *out, uint64_t c)
{
    if (c < 0x80) {
        buf_add_byte(out, (char)c);
        return;
    }
    if (c < 0x800) {
        buf_add_byte(out, (char)(0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            buf_add_byte(out, (char)(0xe0 | c >> 12));
        } else {
            buf_add_byte(out, (char)(0xf0 | c >> 18));
            buf_add_byte(out, (char)(0x80 | (c >> 12 & 0x3f)));
        }
        buf_add_byte(out, (char)(0x80 | (c >> 6 & 0x3f)));
    }
    buf_add_byte(out, (char)(0x80 | (c & 0x3f)));
}

/* "#38" and "#x26" */
static bool read_number(struct str s, uint64_t *out)
{
    size_t i;

    if (!str_starts(s, STR("#x")))
        return s.n > 1 && str_to_u64(from(s, 1), out);
    *out = 0;
    for (i = 2; i < s.n; i++) {
        if (str_hex_digit(s.p[i]) < 0)
            return false;
        *out = *out << 4 | (uint64_t)str_hex_digit(s.p[i]);
    }
    return s.n > 2;
}

static const struct {
    struct str name;
    char c;
} entities[] = {
    {{"lt", 2}, '<'},   {{"gt", 2}, '>'},    {{"amp", 3}, '&'},
    {{"quot", 4}, '"'}, {{"apos", 4}, '\''},
};

static bool add_entity(struct buf *out, struct str name)
{
    uint64_t c;
    size_t i;

    for (i = 0; i < COUNTOF(entities); i++)
        if (str_eq(name, entities[i].name)) {
            buf_add_byte(out, entities[i].c);
            return true;
        }
    if (!str_starts(name, STR("#")) || !read_number(name, &c))
        return false;
    /* No NUL, no surrogates. */
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return false;
    add_utf8(out, c);
    return true;
}

static bool add_text(struct buf *out, struct str s)
{
    struct str head, name, rest;

    while (s.n) {
        if (!str_cut(s, '&', &head, &rest)) {
            buf_add_str(out, s);
            return true;
        }
        buf_add_str(out, head);
        if (!str_cut(str_make(rest.p, MIN(rest.n, ENTITY_MAX)), ';', &name,
                     &head) ||
            !add_entity(out, name))
            return false;
        s = from(rest, name.n + 1);
    }
    return true;
}

struct str xml_text(struct arena *a, struct str inner)
{
    struct str text = STR_NULL;
    struct buf b;

    if (str_find(inner, '<') >= 0)
        return STR_NULL;
    buf_init(&b, inner.n + 1);
    if (inner.p && add_text(&b, inner))
        text = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return text;
}

struct str xml_child_text(struct arena *a, struct str inner, struct str name)
{
    struct str text = xml_text(a, xml_child(inner, name));

    return text.p ? text : STR("");
}

struct str xml_escaped(struct arena *a, struct str text)
{
    char *to = arena_alloc(a, 6 * text.n + 1), *p = to;
    size_t i, k;

    for (i = 0; i < text.n; i++) {
        for (k = 0; k < COUNTOF(entities); k++)
            if (entities[k].c == text.p[i])
                break;
        if (k == COUNTOF(entities)) {
            *p++ = text.p[i];
            continue;
        }
        *p++ = '&';
        memcpy(p, entities[k].name.p, entities[k].name.n);
        p += entities[k].name.n;
        *p++ = ';';
    }
    return str_make(to, (size_t)(p - to));
}
