/* form_edit.c
 *
 *     kept:  --b CRLF head value CRLF--b CRLF head value CRLF--b CRLF head |
 * file v[0]                    v[1]                   fed
 *
 * A field's part ends where its value does, and the next one begins there, with
 * the delimiter; so to leave one out is to leave out a stretch of bytes.
 */
#include "gateway/codec/form_edit.h"

#include "gateway/base/bug.h"

static const struct {
    const char *name;
    enum form_matter matter;
} matters[] = {
    {"model", FORM_NAMES_MODEL},
    {"provider", FORM_NAMES_PROVIDER},
    {"custom_llm_provider", FORM_NAMES_PROVIDER},
    {"stream", FORM_STREAMS},
};

/* What stands for a file in a JSON request does so in a form. */
static const char *const file_names[] = {
    "file_id", "file_ids", "input_file_id", "training_file", "validation_file",
};

static bool is_digits(struct str s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
    return true;
}

/* a[b][0] -> b: the innermost name that is not the place in an array. */
static struct str innermost(struct str name)
{
    while (name.n && name.p[name.n - 1] == ']') {
        size_t open = name.n - 1;

        while (open && name.p[open] != '[')
            open--;
        if (name.p[open] != '[')
            break;
        if (!is_digits(str_make(name.p + open + 1, name.n - open - 2)))
            return str_make(name.p + open + 1, name.n - open - 2);
        name.n = open;
    }
    return name;
}

/* a.b.file_id is read like a[b][file_id] by some. */
static struct str behind_dots(struct str name)
{
    size_t i;

    for (i = name.n; i > 0; i--)
        if (name.p[i - 1] == '.')
            return str_make(name.p + i, name.n - i);
    return name;
}

enum form_matter form_edit_matter(struct str name)
{
    struct str inner = behind_dots(innermost(name));
    size_t i;

    for (i = 0; i < COUNTOF(matters); i++)
        if (str_eq_c(name, matters[i].name))
            return matters[i].matter;
    for (i = 0; i < COUNTOF(file_names); i++)
        if (str_eq_c(inner, file_names[i]))
            return FORM_NAMES_FILE;
    return FORM_OTHER;
}

/* --- the parser's callbacks --- */

static bool is_known(const struct form_edit *f, enum form_matter matter,
                     struct str name)
{
    size_t i;

    for (i = 0; i < f->n; i++)
        if (f->v[i].matter == matter &&
            (matter != FORM_NAMES_FILE || str_eq(f->v[i].name, name)))
            return true;
    return f->behind.matter == matter;
}

/* An array's name, "file_ids[]", is there for each of its elements. */
static bool may_repeat(enum form_matter matter, struct str name)
{
    return matter == FORM_OTHER || (matter == FORM_NAMES_FILE && name.n > 2 &&
                                    memcmp(name.p + name.n - 2, "[]", 2) == 0);
}

static enum gw_err on_field(struct form_edit *f, struct str name)
{
    enum form_matter matter = form_edit_matter(name);
    struct form_edit_field *field;

    if (!may_repeat(matter, name) && is_known(f, matter, name))
        return err_set_param(&f->fault, GW_INVALID_VALUE,
                             arena_cstr(f->arena, name),
                             "the form tells '%.*s' more than once",
                             (int)MIN(name.n, (size_t)60), name.p);
    if (f->goes_on && matter == FORM_OTHER)
        return GW_OK;
    ASSERT(f->goes_on || f->n < LIMIT_PARTS); /* the parser's bound, too */
    field = f->goes_on ? &f->behind : &f->v[f->n++];
    *field = (struct form_edit_field){
        .matter = matter,
        .name = arena_dup(f->arena, name),
        .at = (size_t)f->mp.consumed,
    };
    buf_clear(&f->value);
    f->current = field;
    return GW_OK;
}

static enum gw_err on_part_begin(void *arg, const struct multipart_part *part)
{
    struct form_edit *f = arg;

    f->current = NULL;
    if (!part->filename.p)
        return on_field(f, part->name);
    if (form_edit_matter(part->name) != FORM_OTHER)
        return err_set_param(&f->fault, GW_INVALID_VALUE,
                             arena_cstr(f->arena, part->name),
                             "'%.*s' cannot be a file",
                             (int)MIN(part->name.n, (size_t)60), part->name.p);
    if (!f->goes_on) {
        f->has_head = true;
        multipart_pause(&f->mp);
    }
    return GW_OK;
}

static enum gw_err on_part_data(void *arg, struct str data)
{
    struct form_edit *f = arg;

    if (!f->current)
        return GW_OK;
    f->current->n += data.n;
    if (!f->goes_on)
        return GW_OK;
    buf_add_str(&f->value, data);
    if (f->value.overflow)
        return err_set_param(
            &f->fault, GW_INVALID_VALUE, arena_cstr(f->arena, f->current->name),
            "the field is longer than %d bytes", LIMIT_LATE_FIELD_BYTES);
    return GW_OK;
}

static enum gw_err on_part_end(void *arg)
{
    struct form_edit *f = arg;
    struct form_edit_field *field = f->current;

    f->current = NULL;
    if (!field || !f->goes_on)
        return GW_OK;
    field->value = arena_dup(f->arena, buf_str(&f->value));
    return f->late(f->arg, field, &f->fault);
}

static const struct multipart_ops parser_ops = {
    .part_begin = on_part_begin,
    .part_data = on_part_data,
    .part_end = on_part_end,
};

/* --- life --- */

void form_edit_init(struct form_edit *f, struct arena *a, const char *boundary,
                    form_edit_late *late, void *arg)
{
    memset(f, 0, sizeof(*f));
    f->arena = a;
    f->late = late;
    f->arg = arg;
    buf_init(&f->kept, LIMIT_FORM_HEAD_BYTES);
    buf_init(&f->value, LIMIT_LATE_FIELD_BYTES);
    multipart_init(&f->mp, boundary, &parser_ops, f);
}

void form_edit_release(struct form_edit *f)
{
    buf_release(&f->kept);
    buf_release(&f->value);
}

static enum gw_err parse(struct form_edit *f, const char *p, size_t n,
                         size_t *used, struct gw_error *e)
{
    enum gw_err err = multipart_feed(&f->mp, p, n, used, e);

    if (err != GW_OK && f->fault.err != GW_OK)
        *e = f->fault;
    return err;
}

/* What is kept does not move any more. */
static void show_values(struct form_edit *f)
{
    size_t i;

    for (i = 0; i < f->n; i++)
        f->v[i].value = str_make(f->kept.p + f->v[i].at, f->v[i].n);
}

enum gw_err form_edit_feed(struct form_edit *f, const char *p, size_t n,
                           struct gw_error *e)
{
    size_t used;

    if (f->goes_on)
        return parse(f, p, n, &used, e);
    buf_add(&f->kept, p, n);
    if (f->kept.overflow)
        return err_set(e, GW_INVALID_MULTIPART,
                       "more than %u bytes stand before the form's first file",
                       LIMIT_FORM_HEAD_BYTES);
    if (f->has_head)
        return GW_OK;
    if (parse(f, p, n, &used, e) != GW_OK)
        return e->err;
    f->fed += used;
    if (f->has_head)
        show_values(f);
    return GW_OK;
}

enum gw_err form_edit_finish(struct form_edit *f, struct gw_error *e)
{
    if (multipart_finish(&f->mp, e) != GW_OK)
        return e->err;
    if (f->has_head)
        return GW_OK;
    f->has_head = f->is_whole = true;
    show_values(f);
    return GW_OK;
}

/* Nothing stands before the first delimiter but what came so. */
static void add_bytes(const struct form_edit *f, size_t from, size_t to,
                      bool is_behind_gap, struct buf *out)
{
    if (is_behind_gap && out->n == 0 && to - from >= 2 &&
        memcmp(f->kept.p + from, "\r\n", 2) == 0)
        from += 2;
    buf_add(out, f->kept.p + from, to - from);
}

void form_edit_write(const struct form_edit *f, struct buf *out)
{
    size_t at = 0, i;

    for (i = 0; i < f->n; i++) {
        const struct form_edit_field *v = &f->v[i];

        if (!v->is_left_out) {
            add_bytes(f, at, v->at, at > 0, out);
            buf_add_str(out, v->with.p ? v->with : v->value);
        }
        at = v->at + v->n;
    }
    add_bytes(f, at, f->kept.n, at > 0, out);
}

size_t form_edit_kept(const struct form_edit *f)
{
    return f->kept.n;
}

enum gw_err form_edit_go(struct form_edit *f, struct gw_error *e)
{
    enum gw_err err;
    size_t used;

    ASSERT(f->has_head && !f->goes_on);
    f->goes_on = true;
    if (f->is_whole)
        return GW_OK;
    err = parse(f, f->kept.p + f->fed, f->kept.n - f->fed, &used, e);
    buf_release(&f->kept);
    return err;
}
