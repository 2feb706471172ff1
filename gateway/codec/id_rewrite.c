/* id_rewrite.c
 *
 *     text    {"input": [ {"type": "message", "content": [ ... ] } ] }
 *     cursor  .input[]{type=message}.content[]{type=input_file}.file_id
 *                     ▲
 *
 * The text is walked over once, from its root. For the value at hand there is a
 * range of cursors: the paths of the call that lead there, and how far. A
 * member's or element's cursors are those that take one more step; what has
 * none is skipped at the scanner's speed. A cursor that is at its path's end is
 * at an id.
 *
 * As the `type` may stand behind all else, an object that is asked for it is
 * skipped once before the walk goes in; so a byte is read as often as there are
 * such objects around it, four times at most. In requests names of files and
 * objects are looked for everywhere: whether there are any in a value that no
 * path leads to is known from skipping it, and only then is it walked, too.
 */
#include "gateway/codec/id_rewrite.h"

#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/codec/id_places.h"
#include "gateway/codec/json.h"
#include "gateway/codec/json_scan.h"

struct cursor {
    const struct id_path *path;
    const char *at; /* what is left of it */
    bool is_met;    /* the type that it asks for is there */
};

/* A value, before it is read. */
struct spot {
    const struct spot *up;
    struct str name; /* of a member; STR_NULL: the index-th element */
    size_t index;
    size_t from, to;   /* its cursors */
    bool is_free;      /* below a user's own data */
    bool is_named;     /* under a name of files, or of objects */
    enum id_kind as;   /* then: what it is at no place of the table */
    bool is_looked_at; /* it is known to have such names */
    bool is_told_of;   /* its id, object and status are */
};

struct finder {
    struct json_scan s;
    const char *text;
    struct arena *arena;
    enum id_side side;
    struct id_found *out;
    size_t room_for; /* sites */
    bool has_response;
    struct buf room; /* names and types that have escapes */
    size_t n;
    struct cursor cursors[ID_PLACES_CURSORS];
};

static bool walk(struct finder *f, const struct spot *spot);

static bool fail(struct finder *f, const char *why)
{
    f->s.fault = why;
    return false;
}

/* --- paths --- */

static void push(struct finder *f, const struct id_path *path, const char *at)
{
    if (!*at && path->set) {
        for (const struct id_path *p = path->set; p->path; p++)
            push(f, p, p->path);
        return;
    }
    ASSERT(f->n < ID_PLACES_CURSORS);
    f->cursors[f->n++] = (struct cursor){.path = path, .at = at};
}

/* Behind ".name" of that name or ".*"; NULL: it is another one. */
static const char *behind_name(const char *at, struct str name)
{
    size_t n;

    if (*at != '.')
        return NULL;
    n = strcspn(at + 1, ".[{");
    if (!(n == 1 && at[1] == '*') && !str_eq(str_make(at + 1, n), name))
        return NULL;
    return at + 1 + n;
}

static bool is_guard(const char *at)
{
    return *at == '{';
}

#define GUARD_BEGIN "{type="

static struct str guard_types(const char *at)
{
    size_t skip = sizeof(GUARD_BEGIN) - 1;

    return str_make(at + skip, strcspn(at + skip, "}"));
}

static bool is_one_of(struct str types, struct str type)
{
    struct str one;

    while (str_next(&types, '|', &one))
        if (str_eq(one, type))
            return true;
    return false;
}

static void meet_type(struct finder *f, const struct spot *spot,
                      struct str type)
{
    for (size_t i = spot->from; i < spot->to; i++) {
        struct cursor *c = &f->cursors[i];

        if (is_guard(c->at) && is_one_of(guard_types(c->at), type))
            c->is_met = true;
    }
}

/* The cursors of the members: those whose types are met, and those that did not
 * ask. */
static void enter_guards(struct finder *f, struct spot *spot)
{
    size_t from = f->n;

    for (size_t i = spot->from; i < spot->to; i++) {
        const struct cursor *c = &f->cursors[i];

        if (!is_guard(c->at))
            push(f, c->path, c->at);
        else if (c->is_met)
            push(f, c->path, strchr(c->at, '}') + 1);
    }
    spot->from = from;
    spot->to = f->n;
}

static void enter_elements(struct finder *f, const struct spot *array,
                           struct spot *element)
{
    element->from = f->n;
    for (size_t i = array->from; i < array->to; i++) {
        const struct cursor *c = &f->cursors[i];

        if (c->at[0] == '[')
            push(f, c->path, c->at + 2);
    }
    element->to = f->n;
}

static void enter_member(struct finder *f, const struct spot *object,
                         struct spot *member, struct str name)
{
    member->from = f->n;
    for (size_t i = object->from; i < object->to; i++) {
        const struct cursor *c = &f->cursors[i];
        const char *at = behind_name(c->at, name);

        if (at)
            push(f, c->path, at);
    }
    member->to = f->n;
}

/* --- names of no path --- */

static const char *const file_names[] = {
    "file_id", "file_ids", "input_file_id", "training_file", "validation_file",
};

static const char *const object_names[] = {"vector_store_ids"};

static const char *const free_names[] = {
    "metadata", "attributes", "arguments", "parameters", "schema", "filters",
};

static bool is_among(struct str name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_c(name, names[i]))
            return true;
    return false;
}

static void judge_name(struct spot *member, struct str name)
{
    bool is_file = is_among(name, file_names, COUNTOF(file_names));

    member->is_named =
        is_file || is_among(name, object_names, COUNTOF(object_names));
    member->as = is_file ? ID_STRANGE : ID_OBJECT;
}

/* --- sites --- */

/* "a.b[2].c", to be cut at its end. */
static void write_path(const struct spot *spot, char *room, size_t size,
                       size_t *n)
{
    int more;

    if (!spot->up)
        return;
    write_path(spot->up, room, size, n);
    if (*n >= size)
        return;
    if (spot->name.p)
        more = snprintf(room + *n, size - *n, "%s%.*s", *n ? "." : "",
                        (int)MIN(spot->name.n, size), spot->name.p);
    else
        more = snprintf(room + *n, size - *n, "[%zu]", spot->index);
    *n += (size_t)more;
}

static struct str path_of(struct finder *f, const struct spot *spot)
{
    char room[LIMIT_ID_PATH_BYTES + 1] = "";
    size_t n = 0;

    write_path(spot, room, sizeof(room), &n);
    n = MIN(n, LIMIT_ID_PATH_BYTES);
    /* Not in the middle of a character. */
    while (n && !str_is_utf8(str_make(room, n)))
        n--;
    return arena_dup(f->arena, str_make(room, n));
}

static struct id_site *new_site(struct finder *f)
{
    struct id_found *out = f->out;
    struct id_site *more;

    if (out->n == f->room_for) {
        f->room_for = f->room_for ? 2 * f->room_for : 8;
        more = arena_alloc(f->arena, f->room_for * sizeof(*more));
        if (out->n)
            memcpy(more, out->v, out->n * sizeof(*more));
        out->v = more;
    }
    return &out->v[out->n++];
}

static bool add_site(struct finder *f, const struct spot *spot,
                     enum id_kind kind, const struct json_scan_str *text)
{
    struct str value = json_scan_text(text, &f->room);
    bool is_file = kind == ID_FILE || kind == ID_STRANGE;

    if (is_file && str_starts(value, STR("cfile_")))
        return true;
    if (f->out->n == LIMIT_IDS_PER_TEXT)
        return fail(f, "it has too many ids");
    *new_site(f) = (struct id_site){
        .kind = kind,
        .value = text->has_escape ? arena_dup(f->arena, value) : value,
        .at = (size_t)(text->raw.p - 1 - f->text),
        .n = text->raw.n + 2,
        .path = path_of(f, spot),
    };
    return true;
}

/* --- the walk --- */

static bool is_of_requests(enum id_kind kind)
{
    return kind == ID_OBJECT || kind == ID_MODEL || kind == ID_MODEL_INNER ||
           kind == ID_SOURCE;
}

static bool walk_string(struct finder *f, const struct spot *spot)
{
    struct json_scan_str text;

    if (!json_scan_string(&f->s, &text))
        return false;
    for (size_t i = spot->from; i < spot->to; i++) {
        const struct cursor *c = &f->cursors[i];
        bool is_ours =
            f->side == ID_IN_REQUEST || !is_of_requests(c->path->kind);

        if (!*c->at && is_ours)
            return add_site(f, spot, c->path->kind, &text);
    }
    if (spot->is_named && !spot->is_free && f->side == ID_IN_REQUEST)
        return add_site(f, spot, spot->as, &text);
    return true;
}

static bool walk_elements(struct finder *f, const struct spot *spot)
{
    struct spot element = {
        .up = spot,
        .is_free = spot->is_free,
        .is_named = spot->is_named,
        .as = spot->as,
        .is_looked_at = spot->is_looked_at,
    };
    bool more, ok = json_scan_enter(&f->s, &more);

    enter_elements(f, spot, &element);
    for (; ok && more; ok = json_scan_next(&f->s, ']', &more)) {
        if (!walk(f, &element))
            return false;
        element.index++;
    }
    return ok;
}

/* What the text says of itself. */
static void note(struct finder *f, struct str name, const char *begin)
{
    struct id_found *out = f->out;
    struct json_scan s = {.p = begin, .end = f->s.p};
    struct json_scan_str text;
    struct str *to;

    to = str_eq(name, STR("id"))       ? &out->id
         : str_eq(name, STR("object")) ? &out->object
         : str_eq(name, STR("status")) ? &out->status
                                       : NULL;
    if (str_eq(name, STR("stream")) &&
        str_eq(str_make(begin, (size_t)(s.end - begin)), STR("true")))
        out->is_streamed = true;
    if (to && *begin == '"' && json_scan_string(&s, &text))
        *to = arena_dup(f->arena, json_scan_text(&text, &f->room));
}

/* Of an event, what it says of its response counts. */
static void begin_response(struct finder *f, struct spot *member,
                           struct str name)
{
    bool is_object = f->s.p < f->s.end && *f->s.p == '{';

    if (f->side != ID_IN_EVENT || member->up->up || !is_object ||
        !str_eq(name, STR("response")))
        return;
    f->has_response = true;
    f->out->id = f->out->object = f->out->status = STR("");
    member->is_told_of = true;
}

static bool walk_member(struct finder *f, const struct spot *object)
{
    struct spot member = {
        .up = object,
        .is_free = object->is_free,
        .is_looked_at = object->is_looked_at,
    };
    struct json_scan_str text;
    size_t before = f->n;
    const char *begin;
    struct str name;
    bool is_noted;

    if (!json_scan_name(&f->s, &text))
        return false;
    member.name = text.raw;
    name = json_scan_text(&text, &f->room);
    enter_member(f, object, &member, name);
    judge_name(&member, name);
    if (is_among(name, free_names, COUNTOF(free_names)))
        member.is_free = true;
    begin_response(f, &member, name);
    is_noted = object->is_told_of && !member.is_told_of;
    /* The room is used again by what is within. */
    if (is_noted && text.has_escape)
        name = arena_dup(f->arena, name);
    begin = f->s.p;
    if (!walk(f, &member))
        return false;
    f->n = before;
    if (is_noted && (object->up || !f->has_response))
        note(f, name, begin);
    return true;
}

static bool walk_members(struct finder *f, const struct spot *spot)
{
    bool more, ok = json_scan_enter(&f->s, &more);

    for (; ok && more; ok = json_scan_next(&f->s, '}', &more))
        if (!walk_member(f, spot))
            return false;
    return ok;
}

/* --- objects that are asked for their type --- */

struct traits {
    bool has_type, has_role, has_content;
};

static bool look_at_member(struct finder *f, const struct spot *spot,
                           struct traits *t)
{
    struct json_scan_str text;
    struct str name;
    bool is_type;

    if (!json_scan_name(&f->s, &text))
        return false;
    name = json_scan_text(&text, &f->room);
    is_type = str_eq(name, STR("type"));
    t->has_role = t->has_role || str_eq(name, STR("role"));
    t->has_content = t->has_content || str_eq(name, STR("content"));
    if (!is_type || f->s.p == f->s.end || *f->s.p != '"')
        return json_scan_value(&f->s);
    if (!json_scan_string(&f->s, &text))
        return false;
    t->has_type = true;
    meet_type(f, spot, json_scan_text(&text, &f->room));
    return true;
}

/* Which types does it have? Behind it then. */
static bool look_at_types(struct finder *f, const struct spot *spot)
{
    struct traits t = {0};
    bool more, ok = json_scan_enter(&f->s, &more);

    for (size_t i = spot->from; i < spot->to; i++)
        f->cursors[i].is_met = false;
    for (; ok && more; ok = json_scan_next(&f->s, '}', &more))
        if (!look_at_member(f, spot, &t))
            return false;
    if (!t.has_type && t.has_role && t.has_content)
        meet_type(f, spot, STR("message"));
    return ok;
}

static bool has_guards(const struct finder *f, const struct spot *spot)
{
    for (size_t i = spot->from; i < spot->to; i++)
        if (is_guard(f->cursors[i].at))
            return true;
    return false;
}

/* Of a value that was just skipped: is it to be walked all the same? */
static bool is_of_interest(const struct finder *f, const struct spot *spot)
{
    return spot->from != spot->to || spot->is_told_of ||
           (f->side == ID_IN_REQUEST && !spot->is_free && f->s.has_file_name);
}

static bool walk_object(struct finder *f, struct spot *spot)
{
    struct json_scan begin = f->s;

    if (!has_guards(f, spot))
        return walk_members(f, spot);
    f->s.has_file_name = false;
    if (!look_at_types(f, spot))
        return false;
    enter_guards(f, spot);
    if (!is_of_interest(f, spot))
        return true;
    spot->is_looked_at = spot->from == spot->to;
    f->s = begin;
    return walk_members(f, spot);
}

/* A value that no path leads to. */
static bool pass(struct finder *f, struct spot *spot, bool *is_passed)
{
    struct json_scan begin = f->s;

    f->s.has_file_name = false;
    if (!json_scan_value(&f->s))
        return false;
    *is_passed = !is_of_interest(f, spot);
    spot->is_looked_at = true;
    if (!*is_passed)
        f->s = begin;
    return true;
}

static bool walk(struct finder *f, const struct spot *at)
{
    bool is_at_end = f->s.p == f->s.end, is_passed = false, ok;
    struct spot spot = *at;
    size_t before = f->n;

    if (!is_at_end && *f->s.p == '"')
        return walk_string(f, at);
    if (is_at_end || (*f->s.p != '{' && *f->s.p != '['))
        return json_scan_value(&f->s);
    if (spot.from == spot.to && !spot.is_named && !spot.is_looked_at &&
        !spot.is_told_of && !pass(f, &spot, &is_passed))
        return false;
    if (is_passed)
        return true;
    ok = *f->s.p == '{' ? walk_object(f, &spot) : walk_elements(f, &spot);
    f->n = before;
    return ok;
}

static bool walk_text(struct finder *f, const struct id_places *places)
{
    struct spot root = {.is_told_of = true};

    for (const struct id_path *p = places->paths; p->path; p++)
        push(f, p, p->path);
    root.to = f->n;
    json_scan_blanks(&f->s);
    if (f->s.p == f->s.end || *f->s.p != '{')
        return fail(f, "it is not an object");
    if (!walk(f, &root))
        return false;
    json_scan_blanks(&f->s);
    return f->s.p == f->s.end || fail(f, "something follows the object");
}

enum gw_err id_find(struct arena *a, const struct id_places *p, struct str text,
                    struct id_found *out, struct gw_error *e)
{
    bool is_request = p->side == ID_IN_REQUEST, ok;
    struct finder f;

    /* Not the cursors: they are written before they are read. */
    memset(&f, 0, offsetof(struct finder, cursors));
    f.s = (struct json_scan){.p = text.p, .end = text.p + text.n};
    f.text = text.p;
    f.arena = a;
    f.side = p->side;
    f.out = out;
    *out =
        (struct id_found){.id = STR(""), .object = STR(""), .status = STR("")};
    buf_init(&f.room, text.n);
    ok = walk_text(&f, p);
    buf_release(&f.room);
    if (ok)
        return GW_OK;
    return err_set(e, is_request ? GW_INVALID_VALUE : GW_UPSTREAM_BAD_RESPONSE,
                   "%s is no JSON that can be used: %s, at byte %zu",
                   is_request ? "the body" : "the provider's answer", f.s.fault,
                   (size_t)(f.s.p - text.p) + 1);
}

size_t id_growth(const struct id_found *f)
{
    size_t bytes = 0;

    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].with.p)
            bytes += 6 * f->v[i].with.n + 2; /* \u0000 and quotes */
    return bytes;
}

void id_write(const struct id_found *f, struct str text, struct buf *out)
{
    struct json_out j;
    size_t done = 0;

    for (size_t i = 0; i < f->n; i++) {
        const struct id_site *site = &f->v[i];

        if (!site->with.p)
            continue;
        buf_add(out, text.p + done, site->at - done);
        json_out_init(&j, out);
        json_put_str(&j, NULL, site->with);
        done = site->at + site->n;
    }
    buf_add(out, text.p + done, text.n - done);
}
