/* The members are a table, in the order in which they are written. A record is
 * flat and our own, so reading does not build a tree: a scanner walks over the
 * text and puts views into it where they belong. It knows only what nearly all
 * records are made of, strings without escapes and integers; any other text
 * (copies among it) is left to the JSON parser, which costs ten times as much.
 */
#include "gateway/store/file_record.h"

#include "gateway/base/bug.h"
#include "gateway/base/log.h"

#define DETAILS_BYTES 4096 /* of status_details, a provider's free text */

enum kind { TEXT, NUMBER, STATUS };

static const struct member {
    struct str name;
    enum kind kind;
    size_t offset;
} members[] = {
/* clang-format off */
#define MEMBER(name, kind, place) \
    {{name, sizeof(name) - 1}, kind, offsetof(struct file_record, place)}
    MEMBER("id",             TEXT,   obj.id),
    MEMBER("provider",       TEXT,   obj.provider),
    MEMBER("upstream_id",    TEXT,   upstream_id),
    MEMBER("filename",       TEXT,   obj.filename),
    MEMBER("purpose",        TEXT,   obj.purpose),
    MEMBER("content_type",   TEXT,   content_type),
    MEMBER("key_hash",       TEXT,   key_hash),
    MEMBER("sha256",         TEXT,   obj.sha256),
    MEMBER("status_details", TEXT,   obj.status_details),
    MEMBER("status",         STATUS, obj.status),
    MEMBER("bytes",          NUMBER, obj.bytes),
    MEMBER("created_at",     NUMBER, obj.created_at),
    MEMBER("expires_at",     NUMBER, obj.expires_at),
    MEMBER("stored_ms",      NUMBER, stored_ms),
    MEMBER("lines",          NUMBER, lines),
    MEMBER("model",          TEXT,   model),
#undef MEMBER
    /* clang-format on */
};

static struct str *text_of(const struct member *m, struct file_record *f)
{
    return (struct str *)(void *)((char *)f + m->offset);
}

static int64_t *number_of(const struct member *m, struct file_record *f)
{
    return (int64_t *)(void *)((char *)f + m->offset);
}

/* --- copies --- */

bool file_record_is_expired(const struct file_record *f, int64_t now_s)
{
    return f->obj.expires_at && f->obj.expires_at <= now_s;
}

size_t file_record_places(const struct file_record *f)
{
    return MAX(f->ncopies, (size_t)1);
}

struct file_copy file_record_place(const struct file_record *f, size_t i)
{
    ASSERT(i < file_record_places(f));
    if (f->ncopies)
        return f->copies[i];
    return (struct file_copy){
        .provider = f->obj.provider,
        .upstream_id = f->upstream_id,
        .status = f->obj.status,
        .bytes = f->obj.bytes,
    };
}

size_t file_record_find(const struct file_record *f, struct str provider)
{
    size_t i, n = file_record_places(f);

    for (i = 0; i < n; i++)
        if (str_eq(file_record_place(f, i).provider, provider))
            break;
    return i;
}

/* Processed when all are, an error when one is. */
static enum file_status status_of_all(const struct file_copy *v, size_t n)
{
    enum file_status s = FILE_PROCESSED;
    size_t i;

    for (i = 0; i < n && s != FILE_ERROR; i++)
        if (v[i].status != FILE_PROCESSED)
            s = v[i].status;
    return s;
}

void file_record_set_copies(struct arena *a, struct file_record *f,
                            const struct file_copy *copies, size_t n)
{
    struct str *names = arena_alloc(a, n * sizeof(*names));
    size_t i;

    ASSERT(n > 1 && n <= LIMIT_FAN_OUT);
    for (i = 0; i < n; i++)
        names[i] = copies[i].provider;
    f->copies = copies;
    f->ncopies = f->obj.nproviders = n;
    f->obj.providers = names;
    f->obj.status = status_of_all(copies, n);
}

void file_copies_put(struct json_out *j, const char *name,
                     const struct file_copy *v, size_t n)
{
    size_t i;

    json_open(j, name, '[');
    for (i = 0; i < n; i++) {
        json_open(j, NULL, '{');
        json_put_str(j, "provider", v[i].provider);
        json_put_str(j, "upstream_id", v[i].upstream_id);
        json_put_cstr(j, "status", file_status_name(v[i].status));
        json_put_int(j, "bytes", v[i].bytes);
        json_close(j);
    }
    json_close(j);
}

/* Of one alone, or more than there can be, nothing is believed. */
size_t file_copies_read(struct arena *a, const struct json *v,
                        const struct file_copy **out)
{
    size_t i, n = json_count(v);
    struct file_copy *all;

    if (n < 2 || n > LIMIT_FAN_OUT)
        return 0;
    *out = all = arena_alloc(a, n * sizeof(*all));
    for (i = 0; i < n; i++) {
        const struct json *one = json_at(v, i);

        all[i] = (struct file_copy){
            .provider = json_str(json_get(one, "provider")),
            .upstream_id = json_str(json_get(one, "upstream_id")),
            .status = file_status_of(json_str(json_get(one, "status"))),
        };
        if (!all[i].provider.n ||
            !json_int(json_get(one, "bytes"), &all[i].bytes))
            return 0;
    }
    return n;
}

const struct file_copy *file_copies_dup(struct arena *a,
                                        const struct file_copy *v, size_t n)
{
    struct file_copy *all = arena_alloc(a, (n + 1) * sizeof(*all));
    size_t i;

    for (i = 0; i < n; i++) {
        all[i] = v[i];
        all[i].provider = arena_dup(a, v[i].provider);
        all[i].upstream_id = arena_dup(a, v[i].upstream_id);
    }
    return all;
}

/* --- writing --- */

static void put(struct json_out *j, const struct member *m,
                struct file_record *f)
{
    if (m->kind == STATUS)
        json_put_cstr(j, m->name.p, file_status_name(f->obj.status));
    else if (m->kind == TEXT && text_of(m, f)->p)
        json_put_str(j, m->name.p, *text_of(m, f));
    else if (m->kind == NUMBER && *number_of(m, f))
        json_put_int(j, m->name.p, *number_of(m, f));
}

struct str file_record_text(struct arena *a, const struct file_record *f)
{
    struct file_record copy = *f;
    struct str *details = &copy.obj.status_details, text;
    struct json_out j;
    struct buf b;
    size_t i;

    *details = str_front(*details, DETAILS_BYTES);
    buf_init(&b, LIMIT_JSON_TEXT_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    for (i = 0; i < COUNTOF(members); i++)
        put(&j, &members[i], &copy);
    if (f->ncopies)
        file_copies_put(&j, "copies", f->copies, f->ncopies);
    json_close(&j);
    ASSERT(!b.overflow); /* all other texts are bounded far below */
    text = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return text;
}

/* --- reading --- */

/* The next characters of s are c: passed over. */
static bool skip(struct str *s, char c)
{
    if (s->n == 0 || *s->p != c)
        return false;
    s->p++;
    s->n--;
    return true;
}

/* A string without escapes. */
static bool scan_text(struct str *s, struct str *out)
{
    const char *end;

    if (!skip(s, '"') || !(end = memchr(s->p, '"', s->n)))
        return false;
    *out = str_make(s->p, (size_t)(end - s->p));
    s->n -= out->n + 1;
    s->p = end + 1;
    return !memchr(out->p, '\\', out->n);
}

static bool scan_number(struct str *s, int64_t *out)
{
    struct str digits = *s;
    size_t n = 0;

    while (n < s->n && s->p[n] != ',' && s->p[n] != '}')
        n++;
    digits.n = n;
    s->p += n;
    s->n -= n;
    return str_to_i64(digits, out);
}

/* Names come in the order of the table: the search starts behind the last one
 * found. NULL for a member of a later version. */
static const struct member *find(struct str name, size_t *at)
{
    size_t i;

    for (i = 0; i < COUNTOF(members); i++, ++*at) {
        if (*at >= COUNTOF(members))
            *at = 0;
        if (str_eq(members[*at].name, name))
            return &members[(*at)++];
    }
    return NULL;
}

static bool scan_member(struct str *s, size_t *at, struct file_record *f)
{
    const struct member *m;
    struct str name, word;

    if (!scan_text(s, &name) || !skip(s, ':'))
        return false;
    m = find(name, at);
    if (!m)
        return false;
    if (m->kind == NUMBER)
        return scan_number(s, number_of(m, f));
    if (!scan_text(s, &word))
        return false;
    if (m->kind == TEXT)
        *text_of(m, f) = word;
    else
        f->obj.status = file_status_of(word);
    return true;
}

/* False: not that simple. */
static bool scan(struct str s, struct file_record *f)
{
    size_t at = 0;

    if (!skip(&s, '{'))
        return false;
    do {
        if (!scan_member(&s, &at, f))
            return false;
    } while (skip(&s, ','));
    return skip(&s, '}') && s.n == 0;
}

static void take(const struct member *m, const struct json *v,
                 struct file_record *f)
{
    int64_t n;

    if (m->kind == TEXT)
        *text_of(m, f) = json_str(v);
    else if (m->kind == STATUS)
        f->obj.status = file_status_of(json_str(v));
    else if (json_int(v, &n))
        *number_of(m, f) = n;
}

static void take_copies(struct arena *a, const struct json *v,
                        struct file_record *f)
{
    const struct file_copy *copies;
    size_t n = file_copies_read(a, v, &copies);

    if (n)
        file_record_set_copies(a, f, copies, n);
}

enum gw_err file_record_read(struct arena *a, struct str owner, struct str text,
                             struct file_record *f, struct gw_error *e)
{
    const struct file_record empty = {.obj.status = FILE_PROCESSED,
                                      .owner = owner};
    struct gw_error why = {0};
    const struct json *v;
    size_t i;

    *f = empty;
    if (!scan(arena_dup(a, text), f)) {
        *f = empty;
        v = json_parse(a, text, &why);
        for (i = 0; i < COUNTOF(members); i++)
            take(&members[i], json_get(v, members[i].name.p), f);
        take_copies(a, json_get(v, "copies"), f);
    }
    if (f->obj.id.n && f->obj.provider.n)
        return GW_OK;
    log_error("a file record in redis is broken: %s",
              why.err ? why.message : "no id or provider");
    return err_plain(e, GW_INTERNAL);
}

void file_record_copy(struct arena *a, const struct file_record *from,
                      struct file_record *to)
{
    struct str *const views[] = {
        &to->obj.id,       &to->obj.filename,
        &to->obj.purpose,  &to->obj.status_details,
        &to->obj.provider, &to->obj.sha256,
        &to->owner,        &to->key_hash,
        &to->upstream_id,  &to->content_type,
        &to->model,
    };

    *to = *from;
    for (size_t i = 0; i < COUNTOF(views); i++)
        if (views[i]->p)
            *views[i] = arena_dup(a, *views[i]);
    if (from->ncopies)
        file_record_set_copies(a, to,
                               file_copies_dup(a, from->copies, from->ncopies),
                               from->ncopies);
}
