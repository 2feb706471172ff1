/* batch_check.c
 *
 *   feed ──► memchr(LF) ──► a whole line, where it lies ──► read_line ──► judge
 *                │                      ▲                 (spans of the five
 *                └──► held: a line ─────┘                  members)
 *                     cut by a chunk
 *
 * A line is first read to its end, which tells whether it is JSON, and notes
 * where the members that matter lie; then they are judged. So what is found
 * does not depend on the members' order. Nothing is copied but lines that are
 * cut, strings with escapes, and the model of the line before: a file names
 * the same one over and over, and is asked about it once.
 */
#include "gateway/codec/batch_check.h"

#include <stdarg.h>
#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/codec/json.h"
#include "gateway/codec/json_scan.h"

/* What OpenAI calls the faults that a batch has. */
#define NOT_JSON "invalid_json_line"
#define MISSING "missing_required_parameter"
#define BAD_VALUE "invalid_value"

enum member { CUSTOM_ID, METHOD, URL, BODY, MODEL, MEMBERS };

static const struct member_name {
    const char *name, *path;
    char begins_with; /* its value's first byte */
    const char *type;
} members[MEMBERS] = {
    [CUSTOM_ID] = {"custom_id", "custom_id", '"', "a string"},
    [METHOD] = {"method", "method", '"', "a string"},
    [URL] = {"url", "url", '"', "a string"},
    [BODY] = {"body", "body", '{', "an object"},
    [MODEL] = {"model", "body.model", '"', "a string"},
};

/* Azure's dated dialect has them without the version, Zhipu with its own. */
static const char *const endpoints[] = {
    "/v1/chat/completions",   "/v1/completions", "/v1/embeddings",
    "/v1/responses",          "/v1/moderations", "/v1/images/generations",
    "/v1/images/edits",       "/v1/videos",      "/v1/audio/transcriptions",
    "/v1/audio/translations", "/v1/rerank",      "/v1/score",
    "/v4/chat/completions",   "/v4/embeddings",  "/chat/completions",
    "/completions",           "/embeddings",     "/responses",
};

/* What is on a line. */
struct found {
    char first; /* of the value; 0: the member is not there */
    bool is_twice;
    struct json_scan_str text; /* of a string */
};

static enum gw_err fault(const struct batch_check *c, struct gw_error *e,
                         const char *code, const char *path, const char *fmt,
                         ...) PRINTFLIKE(5, 6);

static enum gw_err fault(const struct batch_check *c, struct gw_error *e,
                         const char *code, const char *path, const char *fmt,
                         ...)
{
    char text[LIMIT_ERROR_TEXT];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return err_set_param(e, GW_INVALID_BATCH_LINE, path,
                         "line %lld of the batch file: %s (%s)",
                         (long long)c->line, text, code);
}

/* --- reading a line --- */

static bool scan_fails(struct json_scan *s, const char *why)
{
    s->fault = why;
    return false;
}

static bool is_at(const struct json_scan *s, char c)
{
    return s->p < s->end && *s->p == c;
}

/* A member's value; its text is noted if it is a string. */
static bool read_value(struct json_scan *s, struct found *f)
{
    f->is_twice = f->first != 0;
    f->first = s->p < s->end ? *s->p : ' ';
    if (f->first == '"')
        return json_scan_string(s, &f->text);
    return json_scan_value(s);
}

/* The known member of that name among those from `from` to `to`, or `to`. */
static enum member known(struct batch_check *c,
                         const struct json_scan_str *name, enum member from,
                         enum member to)
{
    struct str text = json_scan_text(name, &c->room);
    enum member m = from;

    while (m < to && !str_eq_c(text, members[m].name))
        m++;
    return m;
}

static bool read_object(struct batch_check *c, struct json_scan *s,
                        struct found *found, bool is_body);

static bool read_body(struct batch_check *c, struct json_scan *s,
                      struct found *found)
{
    const char *begin = s->p;
    bool is_read;

    s->has_file_name = false;
    is_read = read_object(c, s, found, true);
    c->body = str_make(begin, (size_t)(s->p - begin));
    c->has_files = s->has_file_name;
    return is_read;
}

static bool read_member(struct batch_check *c, struct json_scan *s,
                        struct found *found, bool is_body)
{
    enum member from = is_body ? MODEL : CUSTOM_ID,
                to = is_body ? MEMBERS : MODEL;
    struct json_scan_str name;
    enum member m;

    if (!json_scan_name(s, &name))
        return false;
    m = known(c, &name, from, to);
    if (m == to)
        return json_scan_value(s);
    if (m != BODY || !is_at(s, '{'))
        return read_value(s, &found[m]);
    found[m].is_twice = found[m].first != 0;
    found[m].first = '{';
    return read_body(c, s, found);
}

/* The object at s->p: the line's, or that of its body. */
static bool read_object(struct batch_check *c, struct json_scan *s,
                        struct found *found, bool is_body)
{
    s->p++;
    json_scan_blanks(s);
    if (is_at(s, '}')) {
        s->p++;
        return true;
    }
    for (;;) {
        if (!read_member(c, s, found, is_body))
            return false;
        json_scan_blanks(s);
        if (is_at(s, '}'))
            break;
        if (!is_at(s, ','))
            return scan_fails(s, "a bracket is not closed");
        s->p++;
        json_scan_blanks(s);
    }
    s->p++;
    return true;
}

static enum gw_err read_line(struct batch_check *c, struct str line,
                             struct found *found, struct gw_error *e)
{
    struct json_scan s = {.p = line.p, .end = line.p + line.n};
    bool is_read = read_object(c, &s, found, false);

    if (is_read) {
        json_scan_blanks(&s);
        if (s.p == s.end)
            return GW_OK;
        s.fault = "something follows the object";
    }
    return fault(c, e, NOT_JSON, "", "it is not valid JSON: %s, at byte %lld",
                 s.fault, (long long)(s.p - line.p) + 1);
}

/* --- judging it --- */

/* What lines of every format have, or what OpenAI's have. */
static enum gw_err check_members(const struct batch_check *c,
                                 const struct found *found, bool is_lenient,
                                 struct gw_error *e)
{
    for (int i = 0; i < MEMBERS; i++) {
        const struct member_name *m = &members[i];

        if (found[i].is_twice)
            return fault(c, e, NOT_JSON, m->path, "it has '%s' more than once",
                         m->path);
        if (!found[i].first && is_lenient &&
            (i == METHOD || i == URL || i == MODEL))
            continue;
        if (!found[i].first)
            return fault(c, e, MISSING, m->path, "it has no '%s'", m->path);
        if (found[i].first != m->begins_with)
            return fault(c, e, BAD_VALUE, m->path, "'%s' is not %s", m->path,
                         m->type);
    }
    return GW_OK;
}

static enum gw_err check_request(struct batch_check *c,
                                 const struct found *found, struct gw_error *e)
{
    struct str text = json_scan_text(&found[METHOD].text, &c->room);
    int i;

    if (!str_eq(text, STR("POST")))
        return fault(c, e, "invalid_method", "method", "'method' is not POST");
    text = json_scan_text(&found[URL].text, &c->room);
    if (c->endpoint >= 0 && str_eq_c(text, endpoints[c->endpoint]))
        return GW_OK;
    for (i = 0; i < (int)COUNTOF(endpoints); i++)
        if (str_eq_c(text, endpoints[i]))
            break;
    if (i == (int)COUNTOF(endpoints))
        return fault(c, e, "invalid_url", "url",
                     "'url' is not an endpoint that batches can use");
    if (c->endpoint >= 0)
        return fault(c, e, "url_mismatch", "url",
                     "'url' is %s, in the lines before it was %s", endpoints[i],
                     endpoints[c->endpoint]);
    c->endpoint = i;
    return GW_OK;
}

/* With its quotes. */
static struct str written(const struct json_scan_str *s)
{
    return str_make(s->raw.p - 1, s->raw.n + 2);
}

static enum gw_err ask_about_model(struct batch_check *c,
                                   const struct json_scan_str *model,
                                   struct gw_error *e)
{
    struct gw_error why = {0};
    struct str renamed = STR_NULL;

    c->use = NULL;
    buf_clear(&c->model);
    buf_clear(&c->renamed);
    if (c->ops->model(c->arg, json_scan_text(model, &c->room), &renamed,
                      &c->use, &why) != GW_OK)
        return fault(c, e, why.code[0] ? why.code : err_info(why.err)->code,
                     "body.model", "%s", why.message);
    buf_add_str(&c->model, written(model));
    if (renamed.p)
        batch_check_quote(&c->renamed, renamed);
    return GW_OK;
}

/* Hand out what comes before, and what stands for `old`, no shorter. */
static void replace(struct batch_check *c, struct str old, struct str quoted,
                    size_t least)
{
    static const char blanks[] = "                                ";
    size_t n;

    c->ops->out(c->arg, str_make(c->begin, (size_t)(old.p - c->begin)));
    c->ops->out(c->arg, quoted);
    for (size_t done = quoted.n; done < least; done += n) {
        n = MIN(least - done, sizeof(blanks) - 1);
        c->ops->out(c->arg, str_make(blanks, n));
    }
    c->begin = old.p + old.n;
}

/* The model and the ids, in the order of the text. */
static void replace_all(struct batch_check *c, struct str model)
{
    bool has_model = c->renamed.n > 0;

    if (!c->ops->out)
        return;
    for (size_t i = 0; i < c->found.n; i++) {
        const struct id_site *site = &c->found.v[i];
        struct str old = str_make(c->body.p + site->at, site->n);

        if (!site->with.p)
            continue;
        if (has_model && model.p < old.p) {
            replace(c, model, buf_str(&c->renamed), 0);
            has_model = false;
        }
        buf_clear(&c->room);
        batch_check_quote(&c->room, site->with);
        replace(c, old, buf_str(&c->room), old.n);
    }
    if (has_model)
        replace(c, model, buf_str(&c->renamed), 0);
}

static enum gw_err check_model(struct batch_check *c,
                               const struct json_scan_str *model,
                               struct gw_error *e)
{
    struct str raw = written(model);

    if (!str_eq(raw, buf_str(&c->model)) &&
        ask_about_model(c, model, e) != GW_OK)
        return e->err;
    if (c->use) {
        c->use->first_line = c->use->lines ? c->use->first_line : c->line;
        c->use->lines++;
        c->use->bytes += (int64_t)raw.n;
    }
    replace_all(c, raw);
    return GW_OK;
}

/* --- ids of files --- */

static void forget_ids(struct batch_check *c)
{
    arena_free(c->arena);
    c->arena = NULL;
    c->found = (struct id_found){0};
}

static const struct id_places *places_of(const struct batch_check *c)
{
    struct str path = str_of(endpoints[c->endpoint]);

    /* "/v1/responses", "/v4/…", "/responses" */
    return id_places_find(ID_IN_REQUEST, "POST",
                          path.p +
                              (path.p[1] == 'v' && path.p[3] == '/' ? 4 : 1));
}

static enum gw_err fault_at(const struct batch_check *c,
                            const struct id_site *site, const char *code,
                            const char *why, struct gw_error *e)
{
    char path[LIMIT_ID_PATH_BYTES + sizeof("body.")];

    snprintf(path, sizeof(path), "body.%.*s", STR_ARG(site->path));
    return fault(c, e, code, path, "%s", why);
}

static enum gw_err ask_about_id(struct batch_check *c, struct id_site *site,
                                struct gw_error *e)
{
    struct gw_error why = {0};
    struct str with = STR_NULL;

    switch (c->ops->id(c->arg, site->value, site->n, &with, &why)) {
    case BATCH_ID_REFUSED:
        return fault_at(c, site,
                        why.code[0] ? why.code : err_info(why.err)->code,
                        why.message, e);
    case BATCH_ID_NOT_YET:
        c->is_waiting = true;
        return GW_OK;
    default:
        site->with = with.p ? arena_dup(c->arena, with) : STR_NULL;
        return GW_OK;
    }
}

static enum gw_err ask_about_sites(struct batch_check *c, struct gw_error *e)
{
    size_t files = 0;

    for (size_t i = 0; i < c->found.n && !c->is_waiting; i++) {
        struct id_site *site = &c->found.v[i];

        if (site->kind == ID_STRANGE)
            return fault_at(c, site, BAD_VALUE,
                            "it names a file where that has no meaning", e);
        if (site->kind != ID_FILE)
            continue;
        if (++files > LIMIT_BATCH_LINE_IDS)
            return fault_at(c, site, BAD_VALUE,
                            "it names more files than a line can have", e);
        if (ask_about_id(c, site, e) != GW_OK)
            return e->err;
    }
    return GW_OK;
}

/* May have to wait. */
static enum gw_err check_files(struct batch_check *c, struct gw_error *e)
{
    const struct id_places *places;
    struct gw_error why = {0};

    forget_ids(c);
    if (!c->has_files || !c->ops->id || !(places = places_of(c)))
        return GW_OK;
    c->arena = arena_new();
    if (id_find(c->arena, places, c->body, &c->found, &why) != GW_OK)
        return fault(c, e, NOT_JSON, "body", "%s", why.message);
    if (ask_about_sites(c, e) != GW_OK)
        return e->err;
    if (c->is_waiting)
        forget_ids(c);
    return GW_OK;
}

static enum gw_err check_id(struct batch_check *c, const struct found *id,
                            struct gw_error *e)
{
    if (id_set_add(&c->ids, json_scan_text(&id->text, &c->room)))
        return GW_OK;
    return fault(c, e, "duplicate_custom_id", "custom_id",
                 "a line before has the same 'custom_id'");
}

static struct str without_blanks(struct str line)
{
    struct json_scan s = {.p = line.p, .end = line.p + line.n};

    json_scan_blanks(&s);
    return str_make(s.p, (size_t)(s.end - s.p));
}

/* Of a line, or of the beginning of one; blank ones are fine. */
static enum gw_err check_begin(const struct batch_check *c, struct str line,
                               struct gw_error *e)
{
    struct str rest = without_blanks(line);

    if (!rest.n || rest.p[0] == '{')
        return GW_OK;
    /* Chunks may cut the mark, and then it is judged by its first byte. */
    return fault(c, e, NOT_JSON, "",
                 rest.p[0] == '\xef'
                     ? "it begins with a byte order mark or is no JSON object"
                     : "it is not a JSON object");
}

static enum gw_err fault_too_long(const struct batch_check *c,
                                  struct gw_error *e)
{
    return fault(c, e, "line_too_long", "", "it is longer than %lld bytes",
                 (long long)c->max_line_bytes);
}

static enum gw_err check_strictly(struct batch_check *c,
                                  const struct found *found, struct gw_error *e)
{
    if (check_members(c, found, false, e) != GW_OK ||
        check_request(c, found, e) != GW_OK)
        return e->err;
    return check_files(c, e);
}

static enum gw_err check_format(struct batch_check *c,
                                const struct found *found, struct gw_error *e)
{
    if (!c->is_lenient)
        return check_strictly(c, found, e);
    if (c->strict.err == GW_OK && check_strictly(c, found, &c->strict) != GW_OK)
        c->strict_line = c->line;
    return check_members(c, found, true, e);
}

/* A whole line, of which max_line_bytes at most are looked at. */
static enum gw_err check_line(struct batch_check *c, struct str line,
                              struct gw_error *e)
{
    struct found found[MEMBERS] = {0};
    enum gw_err err;
    bool is_long = line.n > c->max_line_bytes;

    c->line++;
    line.n = is_long ? c->max_line_bytes : line.n;
    if (check_begin(c, line, e) != GW_OK)
        return e->err;
    if (is_long)
        return fault_too_long(c, e);
    line = without_blanks(line);
    if (!line.n)
        return GW_OK;
    if (++c->requests > c->max_lines)
        return fault(c, e, "too_many_tasks", "",
                     "there are more than %lld requests",
                     (long long)c->max_lines);
    if (read_line(c, line, found, e) != GW_OK ||
        check_format(c, found, e) != GW_OK)
        return e->err;
    if (c->is_waiting) {
        /* All of it once more, later. */
        c->line--;
        c->requests--;
        return GW_OK;
    }
    if (check_id(c, &found[CUSTOM_ID], e) != GW_OK || !found[MODEL].first)
        return e->err;
    err = check_model(c, &found[MODEL].text, e);
    forget_ids(c);
    return err;
}

/* --- the stream --- */

/* What was looked at up to `end` can go. */
static void hand_out(struct batch_check *c, const char *end)
{
    if (c->ops->out && end > c->begin)
        c->ops->out(c->arg, str_make(c->begin, (size_t)(end - c->begin)));
    c->begin = end;
}

static enum gw_err check_held(struct batch_check *c, size_t n,
                              struct gw_error *e)
{
    struct str held = buf_str(&c->held);

    c->begin = held.p;
    if (check_line(c, str_make(held.p, n), e) != GW_OK)
        return e->err;
    if (c->is_waiting)
        return GW_OK;
    hand_out(c, held.p + held.n);
    buf_clear(&c->held);
    c->has_begun = false;
    return GW_OK;
}

/* The beginning of a line, whose end is in a chunk to come. What is wrong with
 * it already is told at once: it need not be held then. */
static enum gw_err hold(struct batch_check *c, const char *p, size_t n,
                        struct gw_error *e)
{
    size_t room = c->max_line_bytes - c->held.n;
    struct str fresh = str_make(p, MIN(n, room));
    enum gw_err err = GW_OK;

    buf_add_str(&c->held, fresh);
    c->line++;
    if (!c->has_begun && check_begin(c, fresh, e) != GW_OK)
        err = e->err;
    else if (n > room)
        err = fault_too_long(c, e);
    c->line--;
    c->has_begun = c->has_begun || without_blanks(fresh).n;
    return err;
}

/* The lines that are whole in c->rest, up to one that has to wait. */
static enum gw_err check_lines(struct batch_check *c, struct gw_error *e)
{
    const char *p = c->rest.p, *end = p + c->rest.n, *lf;

    c->begin = p;
    while (p < end && (lf = memchr(p, '\n', (size_t)(end - p)))) {
        if (check_line(c, str_make(p, (size_t)(lf - p)), e) != GW_OK)
            return e->err;
        if (c->is_waiting)
            break;
        p = lf + 1;
    }
    hand_out(c, p);
    c->rest = str_make(p, (size_t)(end - p));
    return GW_OK;
}

/* A whole line that is held, then the rest of the chunk. */
static enum gw_err go_on(struct batch_check *c, struct gw_error *e)
{
    if (c->whole) {
        if (check_held(c, c->whole, e) != GW_OK)
            return e->err;
        if (c->is_waiting)
            return GW_OK;
        c->whole = 0;
    }
    if (!c->held.n && check_lines(c, e) != GW_OK)
        return e->err;
    if (c->is_waiting || !c->rest.n)
        return GW_OK;
    return hold(c, c->rest.p, c->rest.n, e);
}

static enum gw_err feed(struct batch_check *c, const char *p, size_t n,
                        struct gw_error *e)
{
    const char *lf = c->held.n ? memchr(p, '\n', n) : NULL;
    size_t used = lf ? (size_t)(lf - p) + 1 : 0;

    c->rest = str_make(p + used, n - used);
    if (!lf)
        return go_on(c, e);
    c->whole = c->held.n + used - 1;
    if (hold(c, p, used - 1, e) != GW_OK)
        return e->err;
    buf_add_byte(&c->held, '\n');
    return go_on(c, e);
}

enum gw_err batch_check_feed(struct batch_check *c, const char *p, size_t n,
                             struct gw_error *e)
{
    ASSERT(!c->is_dead && !c->is_waiting);
    if (!n || feed(c, p, n, e) == GW_OK)
        return GW_OK;
    c->is_dead = true;
    return e->err;
}

bool batch_check_is_waiting(const struct batch_check *c)
{
    return c->is_waiting;
}

enum gw_err batch_check_resume(struct batch_check *c, struct gw_error *e)
{
    ASSERT(c->is_waiting);
    c->is_waiting = false;
    if (go_on(c, e) == GW_OK)
        return GW_OK;
    c->is_dead = true;
    return e->err;
}

bool batch_check_is_ready(struct batch_check *c)
{
    struct str line = without_blanks(buf_str(&c->held));
    struct found found[MEMBERS] = {0};
    struct gw_error ignored = {0};
    bool is_waiting;

    ASSERT(!c->is_dead && !c->is_waiting);
    /* What is wrong with it is told at the end. */
    if (!line.n || line.p[0] != '{' ||
        read_line(c, line, found, &ignored) != GW_OK ||
        check_strictly(c, found, &ignored) != GW_OK)
        return true;
    is_waiting = c->is_waiting;
    c->is_waiting = false;
    return !is_waiting;
}

enum gw_err batch_check_finish(struct batch_check *c, struct gw_error *e)
{
    ASSERT(!c->is_dead && !c->is_waiting);
    c->is_dead = true;
    if (c->held.n && check_held(c, c->held.n, e) != GW_OK)
        return e->err;
    ASSERT(!c->is_waiting);
    if (!c->requests) {
        c->line = 1;
        return fault(c, e, "empty_file", "", "the file has no requests");
    }
    return GW_OK;
}

void batch_check_init(struct batch_check *c, int64_t max_lines,
                      int64_t max_line_bytes, const uint64_t key[2],
                      const struct batch_check_ops *ops, void *arg)
{
    *c = (struct batch_check){
        .ops = ops,
        .arg = arg,
        .max_lines = max_lines,
        .max_line_bytes = (size_t)max_line_bytes,
        .endpoint = -1,
    };
    id_set_init(&c->ids, key);
    buf_init(&c->held, c->max_line_bytes + 1);
    /* Strings of a line, and what replaces an id. */
    buf_init(&c->room,
             MAX(c->max_line_bytes, (size_t)LIMIT_UPSTREAM_ID_BYTES + 2));
    buf_init(&c->model, c->max_line_bytes);
    buf_init(&c->renamed, LIMIT_BATCH_NAME_BYTES);
}

void batch_check_release(struct batch_check *c)
{
    id_set_release(&c->ids);
    buf_release(&c->held);
    buf_release(&c->room);
    buf_release(&c->model);
    buf_release(&c->renamed);
    forget_ids(c);
}

void batch_check_quote(struct buf *out, struct str name)
{
    struct json_out j;

    json_out_init(&j, out);
    json_put_str(&j, NULL, name);
}
