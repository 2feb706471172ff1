/* A table as a commented file. Every line is a prefix, an indentation and a
 * text. What has a default is written as a live key; all else is a comment,
 * which is a prefix that ends in "# ". So the keys that an entry of a map may
 * have stand in comments within the comment of the map's example, and who
 * strips the first "# " of each line gets the example:
 *
 *     # providers:                     # where the files are kept
 *     #   local:
 *     #     type: disk
 *     #   # an entry takes:
 *     #   # timeout: 120s             # a transfer without progress …
 */
#include "gateway/base/conf_impl.h"

#include "gateway/base/bug.h"

#define HELP_COLUMN 34
#define LINE_COLUMNS 80
#define DEPTH_MAX 8 /* a table that holds itself is not printed for ever */

struct printer {
    struct buf *out;
    char prefix[16 * DEPTH_MAX];
    int indent;  /* behind the prefix */
    int depth;   /* of sections */
    bool is_doc; /* keys of an entry: each is a comment of its own */
};

static void print_keys(const struct printer *p,
                       const struct conf_section *section);

/* As p, but all that is printed is a comment. */
static struct printer comment_of(const struct printer *p)
{
    struct printer c = *p;
    size_t n = strlen(p->prefix), indent = (size_t)p->indent;

    ASSERT(n + indent + 3 <= sizeof(c.prefix));
    memset(c.prefix + n, ' ', indent);
    memcpy(c.prefix + n + indent, "# ", 3);
    c.indent = 0;
    c.is_doc = false;
    return c;
}

static bool is_comment(const struct printer *p)
{
    return p->prefix[0] != '\0';
}

static void start_line(const struct printer *p)
{
    buf_printf(p->out, "%s%*s", p->prefix, p->indent, "");
}

/* --- values --- */

static bool needs_quotes(struct str s)
{
    if (!s.n || strchr("-?:,[]{}#&*!|>'\"%@`~ ", s.p[0]) ||
        s.p[s.n - 1] == ' ' || s.p[s.n - 1] == ':' ||
        str_eq_nocase(s, STR("null")))
        return true;
    for (size_t i = 0; i < s.n; i++) {
        bool is_space_next = i + 1 < s.n && s.p[i + 1] == ' ';

        if ((unsigned char)s.p[i] < ' ' || (s.p[i] == ':' && is_space_next) ||
            (s.p[i] == '#' && s.p[i - 1] == ' '))
            return true;
    }
    return false;
}

static void add_text(struct buf *out, struct str s)
{
    if (!needs_quotes(s)) {
        buf_add_str(out, s);
        return;
    }
    buf_add_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            buf_add(out, (char[]){'\\', s.p[i]}, 2);
        else if ((unsigned char)s.p[i] < ' ')
            buf_printf(out, "\\x%02x", (unsigned)s.p[i]);
        else
            buf_add_byte(out, s.p[i]);
    }
    buf_add_byte(out, '"');
}

/* A secret that is written down here would be one no longer. */
static bool is_hidden(const struct conf_key *key)
{
    return key->type == CONF_SECRET && key->def && key->def[0] &&
           !strstr(key->def, "${") && !str_starts(str_of(key->def), STR("os."));
}

/* What a key without a default has. */
static const char *nothing_of(const struct conf_key *key)
{
    switch (key->type) {
    case CONF_BOOL:
        return "false";
    case CONF_INT:
    case CONF_SIZE:
    case CONF_DURATION:
        return "0";
    case CONF_ENUM:
        return key->choices[0];
    case CONF_STR_LIST:
        return "[]";
    default:
        return "\"\"";
    }
}

static void add_value(struct buf *out, const struct conf_key *key)
{
    bool is_text = key->type == CONF_STR || key->type == CONF_SECRET ||
                   key->type == CONF_CONTENT ||
                   (key->type == CONF_STR_LIST && key->def &&
                    key->def[0] != '[' && key->def[0]);

    if (is_hidden(key))
        buf_add_c(out, "\"***\"");
    else if (!key->def)
        buf_add_c(out, key->example ? key->example : nothing_of(key));
    else if (is_text)
        add_text(out, str_of(key->def));
    else
        buf_add_c(out, key->def[0] ? key->def : nothing_of(key));
}

/* --- help --- */

static void add_help(struct buf *out, const struct conf_key *key)
{
    if (key->is_required)
        buf_add_c(out, "required: ");
    buf_add_c(out, key->help ? key->help : "");
    /* Help that lists the choices itself is enough. */
    if (key->type != CONF_ENUM ||
        (key->help && strstr(key->help, key->choices[0])))
        return;
    for (size_t i = 0; key->choices[i]; i++)
        buf_printf(out, "%s%s", i ? ", " : " (", key->choices[i]);
    buf_add_byte(out, ')');
}

/* The words of a text in lines of a comment. */
static void print_wrapped(const struct printer *p, struct str text)
{
    struct printer c = comment_of(p);
    size_t column = 0;
    struct str word;

    while (str_next(&text, ' ', &word)) {
        if (column && column + 1 + word.n > LINE_COLUMNS) {
            buf_add_byte(p->out, '\n');
            column = 0;
        }
        if (column == 0) {
            start_line(&c);
            column = strlen(c.prefix);
        } else {
            buf_add_byte(p->out, ' ');
            column++;
        }
        buf_add_str(p->out, word);
        column += word.n;
    }
    buf_add_byte(p->out, '\n');
}

/* One line "key: value", its help behind it if there is room, else above.
 * Returns the printer for what belongs to the key. */
static struct printer print_line(const struct printer *p, bool is_live,
                                 const struct conf_key *key, struct str value)
{
    struct printer c = is_live ? *p : comment_of(p);
    struct buf line, help;
    size_t column;

    buf_init(&line, LIMIT_CONF_FILE);
    buf_init(&help, LIMIT_CONF_FILE);
    buf_printf(&line, "%s%*s%s:", c.prefix, c.indent, "", key->name);
    if (value.n)
        buf_printf(&line, " %.*s", STR_ARG(value));
    add_help(&help, key);
    column = MAX(line.n + 2, HELP_COLUMN);
    if (help.n && column + 2 + help.n <= LINE_COLUMNS)
        buf_printf(&line, "%*s# %s", (int)(column - line.n), "", help.p);
    else if (help.n)
        print_wrapped(p, buf_str(&help));
    buf_printf(p->out, "%s\n", line.p);
    buf_release(&line);
    buf_release(&help);
    c.indent += 2;
    return c;
}

/* --- keys --- */

static void print_scalar(const struct printer *p, const struct conf_key *key)
{
    /* Nobody has written the path: the file need not be there. */
    bool is_told = key->def && !is_hidden(key) && key->type != CONF_CONTENT;
    bool has_value = is_told || (key->is_required && key->example);
    struct buf value;

    buf_init(&value, LIMIT_CONF_FILE);
    add_value(&value, key);
    print_line(p, !p->is_doc && (has_value || is_comment(p)), key,
               buf_str(&value));
    buf_release(&value);
}

static void print_example(const struct printer *p, const char *example)
{
    struct str rest = str_of(example), line;

    while (rest.p) {
        str_cut(rest, '\n', &line, &rest);
        if (!line.n)
            continue;
        start_line(p);
        buf_add_str(p->out, line);
        buf_add_byte(p->out, '\n');
    }
}

/* Maps and lists: the example, then what their sections take. */
static void print_entries(const struct printer *p, const struct conf_key *key)
{
    struct printer c =
        print_line(p, !p->is_doc && is_comment(p), key, STR_NULL);

    print_example(&c, key->example);
    if (!key->sub)
        return;
    start_line(&c);
    buf_add_c(p->out, key->type == CONF_SECTIONS ? "# an entry takes:\n"
                                                 : "# an item takes:\n");
    c.is_doc = true;
    print_keys(&c, key->sub);
}

static bool has_required(const struct conf_section *section)
{
    for (const struct conf_key *k = section->keys; k->name; k++)
        if (k->is_required)
            return true;
    return false;
}

/* A section that may be left out, but not written without its required keys,
 * is a comment as a whole. */
static void print_section(const struct printer *p, const struct conf_key *key)
{
    bool is_optional = has_required(key->sub) && !key->is_required;
    struct printer c = print_line(
        p, !p->is_doc && (!is_optional || is_comment(p)), key, STR_NULL);

    print_keys(&c, key->sub);
}

static bool is_block(const struct conf_key *key)
{
    return !conf_is_scalar(key->type) && key->type != CONF_STR_LIST;
}

static void print_key(const struct printer *p, const struct conf_key *key)
{
    if (!is_block(key))
        print_scalar(p, key);
    else if (key->type == CONF_SECTION)
        print_section(p, key);
    else
        print_entries(p, key);
}

/* The keys that a value of the selector adds. */
static void print_own(const struct printer *p,
                      const struct conf_section *section, const char *name)
{
    const struct conf_section *own = section->select(name);
    struct printer doc = *p;

    if (!own || !own->keys->name)
        return;
    doc.is_doc = true;
    start_line(p);
    buf_add_c(p->out, "#\n");
    start_line(p);
    buf_printf(p->out, "# and with %s: %s\n", section->selector, name);
    print_keys(&doc, own);
}

static void print_keys(const struct printer *p,
                       const struct conf_section *section)
{
    struct printer c = *p;

    if (++c.depth > DEPTH_MAX)
        return;
    for (const struct conf_key *k = section->keys; k->name; k++) {
        bool is_apart = k > section->keys && (is_block(k) || is_block(k - 1));

        if (c.depth == 1 && is_apart)
            buf_add_byte(p->out, '\n');
        print_key(&c, k);
    }
    if (!section->selector)
        return;
    for (const char *const *n = section->selector_names; *n; n++)
        print_own(&c, section, *n);
}

void conf_print(const struct conf_section *section, struct buf *out)
{
    struct printer p = {.out = out};

    print_keys(&p, section);
}
