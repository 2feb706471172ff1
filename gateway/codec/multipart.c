/* The states, one function each; what is not drawn is INVALID_MULTIPART:
 *
 *     PREAMBLE ─delimiter─► MARK ─"--"──────────────► DONE
 *                           ▲  │ ─blanks, CRLF─► HEAD ─blank line─► BEGIN
 *                           │                                         │
 *                           └──────────delimiter── DATA ◄─part_begin()┘
 *
 * A delimiter is CRLF "--" boundary, and CR occurs in it at its first byte
 * only. So what a stretch of input may end in is found from its last CR, and a
 * delimiter that was half seen and is not one holds no beginning of another:
 * neither needs a table of borders or bytes kept.
 *
 * In front of the body, and behind the blank line of a part, the CRLF of a
 * delimiter may have been there already (`implied`). For the body that is
 * right. A part that begins so has no data by RFC 2046 and begins with a line
 * of data for many readers, of whom a provider may be one: it is refused, for
 * what follows would be a part for us and data for them, or the reverse. For
 * the same reason a delimiter must be followed by what may follow it.
 */
#include "gateway/codec/multipart.h"

#include "gateway/base/bug.h"
#include "gateway/codec/param.h"

enum state {
    PREAMBLE,
    MARK, /* right behind a delimiter */
    MARK_BLANK,
    MARK_DASH,
    MARK_LF,
    HEAD,
    BEGIN, /* a part's headers are complete; takes no input */
    DATA,
    DONE,
    FAILED,
};

static enum gw_err refuse(struct gw_error *e, const char *why)
{
    return err_set(e, GW_INVALID_MULTIPART, "%s", why);
}

/* --- the boundary --- */

static bool is_boundary(struct str s)
{
    return s.n && s.n <= LIMIT_BOUNDARY_BYTES && s.p[s.n - 1] != ' ' &&
           str_is_made_of(s, "'()+_,-./:=? ");
}

enum gw_err multipart_boundary(struct str content_type,
                               char out[LIMIT_BOUNDARY_BYTES + 1],
                               struct gw_error *e)
{
    struct str rest, boundary = STR_NULL;
    enum param_result result;
    struct param p;

    if (!str_eq_nocase(param_head(content_type, &rest),
                       STR("multipart/form-data")))
        return err_set(e, GW_UNSUPPORTED_MEDIA,
                       "the body must be multipart/form-data");
    while ((result = param_next(&rest, &p)) == PARAM_TAKEN) {
        if (!str_eq_nocase(p.name, STR("boundary")))
            continue;
        if (boundary.p)
            return refuse(e, "the Content-Type has more than one boundary");
        boundary = p.raw;
    }
    if (result == PARAM_BROKEN)
        return refuse(e, "the Content-Type's parameters are malformed");
    if (!is_boundary(boundary))
        return refuse(e, "the Content-Type has no valid boundary");
    memcpy(out, boundary.p, boundary.n);
    out[boundary.n] = '\0';
    return GW_OK;
}

/* --- a part's headers --- */

/* Decodes a value where it stands, in m->head. */
static enum gw_err decode_name(struct multipart *m, const struct param *p,
                               struct str *out, struct gw_error *e)
{
    char *to = m->head + (p->raw.p - m->head);

    if (out->p)
        return refuse(e, "a part is named twice");
    *out = str_make(to, param_decode(p, to));
    if (!str_is_utf8(*out))
        return refuse(e, "a part's name is not UTF-8");
    return GW_OK;
}

static enum gw_err decode_extended(struct multipart *m, const struct param *p,
                                   struct str *out, struct gw_error *e)
{
    char *to = m->head + (p->raw.p - m->head);
    bool is_known;
    size_t n;

    if (out->p)
        return refuse(e, "a part is named twice");
    if (!param_decode_extended(p, to, &n, &is_known))
        return refuse(e, "a part's 'filename*' is malformed");
    if (!is_known)
        return GW_OK;
    *out = str_make(to, n);
    if (!str_is_utf8(*out))
        return refuse(e, "a part's name is not UTF-8");
    return GW_OK;
}

static struct str without_directory(struct str s)
{
    for (size_t i = s.n; i > 0; i--)
        if (s.p[i - 1] == '/' || s.p[i - 1] == '\\')
            return str_make(s.p + i, s.n - i);
    return s;
}

static enum gw_err read_disposition(struct multipart *m, struct str value,
                                    struct multipart_part *part,
                                    struct gw_error *e)
{
    struct str rest, extended = STR_NULL;
    enum gw_err err = GW_OK;
    enum param_result result;
    struct param p;

    if (part->name.p)
        return refuse(e, "a part has more than one Content-Disposition");
    if (!str_eq_nocase(param_head(value, &rest), STR("form-data")))
        return refuse(e, "a part's Content-Disposition is not form-data");
    while (err == GW_OK && (result = param_next(&rest, &p)) != PARAM_NONE) {
        if (result == PARAM_BROKEN)
            err = refuse(e, "a part's Content-Disposition is malformed");
        else if (str_eq_nocase(p.name, STR("name")))
            err = decode_name(m, &p, &part->name, e);
        else if (str_eq_nocase(p.name, STR("filename")))
            err = decode_name(m, &p, &part->filename, e);
        else if (str_eq_nocase(p.name, STR("filename*")))
            err = decode_extended(m, &p, &extended, e);
    }
    if (err == GW_OK && !part->name.n)
        return refuse(e, "a part has no name");
    if (extended.p)
        part->filename = extended;
    part->filename = without_directory(part->filename);
    return err;
}

static enum gw_err read_line(struct multipart *m, struct str line,
                             struct multipart_part *part, struct gw_error *e)
{
    struct str name, value;

    /* Folded lines end up here, too. */
    if (!str_cut(line, ':', &name, &value) || !param_is_token(name) ||
        str_find(value, '\0') >= 0 || str_find(value, '\n') >= 0)
        return refuse(e, "a part's headers are malformed");
    value = str_trim(value);
    if (str_eq_nocase(name, STR("Content-Disposition")))
        return read_disposition(m, value, part, e);
    if (!str_eq_nocase(name, STR("Content-Type")))
        return GW_OK;
    if (part->content_type.p)
        return refuse(e, "a part has more than one Content-Type");
    part->content_type = value;
    return GW_OK;
}

/* m->head is CRLF, lines that end in CRLF, and a last CRLF. */
static enum gw_err read_head(struct multipart *m, struct multipart_part *part,
                             struct gw_error *e)
{
    struct str line, rest = str_make(m->head + 2, m->head_n - 4);
    enum gw_err err = GW_OK;

    *part = (struct multipart_part){.name = STR_NULL};
    while (err == GW_OK && rest.n) {
        str_cut(rest, '\r', &line, &rest);
        if (!rest.n || rest.p[0] != '\n')
            return refuse(e, "a part's headers are malformed");
        rest = str_make(rest.p + 1, rest.n - 1);
        err = read_line(m, line, part, e);
    }
    if (err == GW_OK && !part->name.p)
        return refuse(e, "a part has no Content-Disposition");
    return err;
}

/* --- the search for a delimiter --- */

/* What a stretch of input turned out to be: first the held-back bytes, if
 * they were data, then data, then possibly the delimiter. */
struct found {
    struct str held, data;
    size_t used;
    bool is_delimiter;
    bool was_implied; /* and its CRLF is not of the data */
};

/* The bytes of the file pass here once each, so this loop is most of what an
 * upload costs in user space. A delimiter is looked for by two of its bytes at
 * once, a block at a time and without a branch per byte: the compiler makes
 * vector compares of it. memchr and memmem stop at every CR and at every likely
 * pair, and each stop is a mispredicted branch: in noise they cost twice to
 * four times as much. */
#define BLOCK 256

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target_clones("avx2", "default")))
#endif
static size_t
skip_clean_blocks(const char *p, size_t n)
{
    unsigned char hit;
    size_t i, j;

    for (i = 0; i + BLOCK + 3 <= n; i += BLOCK) {
        hit = 0;
        for (j = 0; j < BLOCK; j++)
            hit |= (unsigned char)((p[i + j] == '\r') & (p[i + j + 3] == '-'));
        if (hit)
            break;
    }
    return i;
}

/* Where blocks turn out to be suspicious too often, memmem takes over. */
static const char *find_delimiter(const struct multipart *m, const char *p,
                                  size_t n)
{
    const char *at = p, *end = p + n, *found;
    size_t window = BLOCK + m->delimiter_n - 1, misses = 0, left;

    for (;;) {
        at += skip_clean_blocks(at, (size_t)(end - at));
        left = (size_t)(end - at);
        if (left <= window || ++misses * 16 > (size_t)(at - p) / BLOCK + 64)
            return memmem(at, left, m->delimiter, m->delimiter_n);
        found = memmem(at, window, m->delimiter, m->delimiter_n);
        if (found)
            return found;
        at += BLOCK;
    }
}

/* How many bytes at the end are the beginning of a delimiter. */
static size_t begun_delimiter(const struct multipart *m, const char *p,
                              size_t n)
{
    size_t window = MIN(n, m->delimiter_n - 1);
    const char *cr = memrchr(p + n - window, '\r', window);
    size_t begun = cr ? (size_t)(p + n - cr) : 0;

    return cr && memcmp(cr, m->delimiter, begun) == 0 ? begun : 0;
}

/* The rest of a delimiter of which a part was there before. True if the input
 * is used up or the delimiter complete; else the held-back bytes are data. */
static bool go_on_matching(struct multipart *m, const char *p, size_t n,
                           struct found *f)
{
    size_t have = m->implied + m->matched;
    size_t want = MIN(n, m->delimiter_n - have);
    bool is_same = memcmp(m->delimiter + have, p, want) == 0;

    if (is_same && have + want < m->delimiter_n) {
        m->matched += want;
        f->used = want;
        return true;
    }
    f->was_implied = is_same && m->implied;
    if (is_same) {
        f->is_delimiter = true;
        f->used = want;
    } else {
        f->held = str_make(m->delimiter + m->implied, m->matched);
    }
    m->implied = m->matched = 0;
    return is_same;
}

static struct found search(struct multipart *m, const char *p, size_t n)
{
    struct found f = {.data = STR_NULL};
    const char *at;

    if (m->implied + m->matched && go_on_matching(m, p, n, &f))
        return f;
    at = find_delimiter(m, p, n);
    if (at) {
        f.data = str_make(p, (size_t)(at - p));
        f.used = f.data.n + m->delimiter_n;
        f.is_delimiter = true;
    } else {
        m->matched = begun_delimiter(m, p, n);
        f.data = str_make(p, n - m->matched);
        f.used = n;
    }
    return f;
}

/* --- the states --- */

static enum gw_err at_preamble(struct multipart *m, const char *p, size_t n,
                               size_t *used, struct gw_error *e)
{
    struct found f = search(m, p, n);

    *used = f.used;
    m->preamble_n += f.held.n + f.data.n;
    if (m->preamble_n > LIMIT_PREAMBLE_BYTES)
        return refuse(e, "the form does not begin with its boundary");
    if (f.is_delimiter)
        m->state = MARK;
    return GW_OK;
}

/* A result of a callback. Its own words, if any, are in *e already. */
static enum gw_err handed_on(enum gw_err err, struct gw_error *e)
{
    if (err != GW_OK)
        err_plain(e, err);
    return err;
}

/* A delimiter is complete and leads to `to`. */
static enum gw_err end_part(struct multipart *m, enum state to,
                            struct gw_error *e)
{
    m->state = (int)to;
    return m->parts ? handed_on(m->ops->part_end(m->arg), e) : GW_OK;
}

static enum gw_err bad_mark(struct gw_error *e)
{
    return refuse(e, "a boundary is followed by something else than a line's "
                     "end");
}

static enum gw_err at_mark(struct multipart *m, const char *p, size_t n,
                           size_t *used, struct gw_error *e)
{
    (void)n;
    *used = 1;
    if (*p == '-' && m->state == MARK)
        m->state = MARK_DASH;
    else if (*p == ' ' || *p == '\t')
        m->state = MARK_BLANK;
    else if (*p == '\r')
        m->state = MARK_LF;
    else
        return bad_mark(e);
    return GW_OK;
}

static enum gw_err at_mark_dash(struct multipart *m, const char *p, size_t n,
                                size_t *used, struct gw_error *e)
{
    (void)n;
    *used = 1;
    return *p == '-' ? end_part(m, DONE, e) : bad_mark(e);
}

static enum gw_err at_mark_lf(struct multipart *m, const char *p, size_t n,
                              size_t *used, struct gw_error *e)
{
    (void)n;
    *used = 1;
    if (*p != '\n')
        return bad_mark(e);
    /* With the CRLF in front, no headers at all end in CRLF CRLF, too. */
    memcpy(m->head, "\r\n", 2);
    m->head_n = 2;
    return end_part(m, HEAD, e);
}

static enum gw_err at_head(struct multipart *m, const char *p, size_t n,
                           size_t *used, struct gw_error *e)
{
    size_t before = m->head_n, from = before < 3 ? 0 : before - 3, end;
    const char *blank;

    /* A little at a time: most of what is fed may be data. */
    n = MIN(n, sizeof(m->head) - before);
    n = MIN(n, 512u);
    memcpy(m->head + before, p, n);
    m->head_n += n;
    *used = n;
    blank = memmem(m->head + from, m->head_n - from, "\r\n\r\n", 4);
    if (blank) {
        end = (size_t)(blank - m->head) + 4;
        *used = end - before;
        m->head_n = end;
        m->state = BEGIN;
    } else if (m->head_n == sizeof(m->head)) {
        return refuse(e, "a part's headers are too long");
    }
    return GW_OK;
}

static enum gw_err at_begin(struct multipart *m, const char *p, size_t n,
                            size_t *used, struct gw_error *e)
{
    struct multipart_part part;
    enum gw_err err;

    (void)p;
    (void)n;
    *used = 0;
    if (++m->parts > LIMIT_PARTS)
        return refuse(e, "the form has too many parts");
    err = read_head(m, &part, e);
    if (err != GW_OK)
        return err;
    m->state = DATA;
    m->implied = 2;
    return handed_on(m->ops->part_begin(m->arg, &part), e);
}

static enum gw_err at_data(struct multipart *m, const char *p, size_t n,
                           size_t *used, struct gw_error *e)
{
    struct found f = search(m, p, n);
    enum gw_err err = GW_OK;

    *used = f.used;
    if (f.was_implied)
        return refuse(e, "a part's data begins with the boundary");
    if (f.is_delimiter)
        m->state = MARK;
    if (f.held.n)
        err = m->ops->part_data(m->arg, f.held);
    if (err == GW_OK && f.data.n)
        err = m->ops->part_data(m->arg, f.data);
    return handed_on(err, e);
}

static enum gw_err at_done(struct multipart *m, const char *p, size_t n,
                           size_t *used, struct gw_error *e)
{
    (void)m;
    (void)p;
    (void)e;
    *used = n;
    return GW_OK;
}

static enum gw_err at_failed(struct multipart *m, const char *p, size_t n,
                             size_t *used, struct gw_error *e)
{
    (void)m;
    (void)p;
    (void)n;
    *used = 0;
    return err_plain(e, GW_INVALID_MULTIPART);
}

static enum gw_err (*const steps[])(struct multipart *m, const char *p,
                                    size_t n, size_t *used,
                                    struct gw_error *e) = {
    [PREAMBLE] = at_preamble,   [MARK] = at_mark,       [MARK_BLANK] = at_mark,
    [MARK_DASH] = at_mark_dash, [MARK_LF] = at_mark_lf, [HEAD] = at_head,
    [BEGIN] = at_begin,         [DATA] = at_data,       [DONE] = at_done,
    [FAILED] = at_failed,
};

/* --- from outside --- */

void multipart_init(struct multipart *m, const char *boundary,
                    const struct multipart_ops *ops, void *arg)
{
    size_t n = strlen(boundary);

    ASSERT(n && n <= LIMIT_BOUNDARY_BYTES);
    m->ops = ops;
    m->arg = arg;
    m->state = PREAMBLE;
    m->parts = m->matched = m->preamble_n = m->head_n = 0;
    m->implied = 2;
    m->consumed = 0;
    m->is_paused = false;
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary, n + 1);
    m->delimiter_n = 4 + n;
}

enum gw_err multipart_feed(struct multipart *m, const char *p, size_t n,
                           size_t *used, struct gw_error *e)
{
    enum gw_err err = GW_OK;
    size_t at = 0, step;

    m->is_paused = false;
    while (err == GW_OK && !m->is_paused && (at < n || m->state == BEGIN)) {
        err = steps[m->state](m, p + at, n - at, &step, e);
        at += step;
        m->consumed += step;
    }
    if (err != GW_OK)
        m->state = FAILED;
    *used = at;
    return err;
}

void multipart_pause(struct multipart *m)
{
    m->is_paused = true;
}

bool multipart_is_at_mark(const struct multipart *m)
{
    return m->state >= MARK && m->state <= MARK_LF;
}

bool multipart_is_done(const struct multipart *m)
{
    return m->state == DONE;
}

enum gw_err multipart_finish(struct multipart *m, struct gw_error *e)
{
    if (m->state == DONE)
        return GW_OK;
    return refuse(e, "the form ends before its closing boundary");
}
