/* What comes from outside: the environment, the files of secrets, and the
 * configuration file itself. */
#include "gateway/base/conf_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define READ_BYTES 4096

/* --- braces --- */

/* In {api_key: ${KEY}} YAML takes the inner brace for a mapping. So the bytes
 * with a meaning in YAML's inline style that stand between "${" and "}" pass
 * libyaml as private characters, one for one, which keeps the columns true. */
static const char inline_bytes[] = "{}[],";
#define STANDIN "\xef\xa3" /* U+F8E0 and those that follow it: */
#define STANDIN_THIRD 0xa0 /* the third byte of the first */
#define STANDIN_BYTES 3
#define BRACES_BYTES 1024 /* a longer "${…}" is left alone */

static char behind_standin(struct str rest)
{
    size_t i;

    if (rest.n < STANDIN_BYTES || !str_starts(rest, STR(STANDIN)))
        return '\0';
    i = (size_t)(unsigned char)rest.p[2] - STANDIN_THIRD;
    return i < sizeof(inline_bytes) - 1 ? inline_bytes[i] : '\0';
}

static bool has_standin(struct str text)
{
    for (; text.n; text = str_make(text.p + 1, text.n - 1))
        if (behind_standin(text))
            return true;
    return false;
}

/* Length of the "${…}" at the front, on one line and not too long; else 0. */
static size_t braces_len(struct str rest)
{
    ptrdiff_t end;

    if (!str_starts(rest, STR("${")))
        return 0;
    rest.n = MIN(rest.n, BRACES_BYTES);
    str_cut(rest, '\n', &rest, &(struct str){0});
    end = str_find(rest, '}');
    return end < 0 ? 0 : (size_t)end + 1;
}

struct str conf_hide_braces(struct str text, struct buf *out)
{
    size_t left = 0; /* bytes left of a "${…}" */

    if (!text.n || !memmem(text.p, text.n, "${", 2) || has_standin(text))
        return text;
    for (; text.n; text = str_make(text.p + 1, text.n - 1)) {
        const char *at = NULL;

        if (left)
            left--;
        if (!left)
            left = braces_len(text);
        if (left)
            at = memchr(inline_bytes, text.p[0], sizeof(inline_bytes) - 1);
        if (at)
            buf_printf(out, STANDIN "%c",
                       (int)(STANDIN_THIRD + (at - inline_bytes)));
        else
            buf_add_byte(out, text.p[0]);
    }
    return buf_str(out);
}

size_t conf_show_braces(char *text, size_t n)
{
    size_t from = 0, to = 0;

    while (from < n) {
        char c = behind_standin(str_make(text + from, n - from));

        text[to++] = c ? c : text[from];
        from += c ? STANDIN_BYTES : 1;
    }
    text[to] = '\0';
    return to;
}

/* --- variables --- */

static bool is_variable(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool is_digit = c >= '0' && c <= '9';

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' &&
            !(is_digit && i > 0))
            return false;
    }
    return name.n > 0;
}

/* The variable's value, or the default: absent when there is none. As in a
 * shell, ":-" takes an empty variable for an unset one. */
static struct str variable(struct conf_run *r, struct conf_place at,
                           struct str name, struct str def)
{
    struct str value = STR_NULL;

    if (!is_variable(name)) {
        conf_fault(r, at, "'${' must be followed by a name, or be '$${'");
        return STR_NULL;
    }
    value = str_of(getenv(arena_cstr(r->arena, name)));
    if (def.p && !value.n)
        return def;
    if (!value.p)
        conf_fault(r, at, "environment variable '%.*s' is not set",
                   STR_ARG(name));
    return value;
}

/* raw begins with "${"; what follows the brace goes to *rest. */
static bool expand_braces(struct conf_run *r, struct conf_place at,
                          struct str raw, struct str *rest, struct buf *out)
{
    struct str body = str_make(raw.p + 2, raw.n - 2), name, def, value;

    if (!str_cut(body, '}', &body, rest)) {
        conf_fault(r, at, "'${' is not closed; a dollar is written '$$'");
        return false;
    }
    if (str_cut(body, ':', &name, &def)) {
        if (!str_starts(def, STR("-"))) {
            conf_fault(r, at, "'${' takes ':-' and a default after the name");
            return false;
        }
        def = str_make(def.p + 1, def.n - 1);
    }
    value = variable(r, at, name, def);
    if (value.p)
        buf_add_str(out, value);
    return value.p;
}

static bool expand_dollars(struct conf_run *r, struct conf_place at,
                           struct str raw, struct buf *out)
{
    while (raw.n) {
        ptrdiff_t dollar = str_find(raw, '$');
        size_t plain = dollar < 0 ? raw.n : (size_t)dollar;

        buf_add(out, raw.p, plain);
        raw = str_make(raw.p + plain, raw.n - plain);
        if (str_starts(raw, STR("${"))) {
            if (!expand_braces(r, at, raw, &raw, out))
                return false;
        } else if (raw.n) {
            size_t n = str_starts(raw, STR("$$")) ? 2 : 1;

            buf_add_byte(out, '$');
            raw = str_make(raw.p + n, raw.n - n);
        }
    }
    return true;
}

/* Whether the file could be read. Into a buffer with room for READ_BYTES more
 * than is allowed: one that overflows tells of a file that is too large. */
static bool read_file(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = -1;
    int error;

    while (fd >= 0) {
        char *to = buf_reserve(out, READ_BYTES);

        n = to ? read(fd, to, READ_BYTES) : 0;
        if (n > 0)
            buf_commit(out, (size_t)n);
        else if (n == 0 || errno != EINTR)
            break;
    }
    error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return n == 0;
}

/* What is wrong with the content of a secret's file; NULL: nothing. */
static const char *content_fault(const struct buf *b)
{
    if (b->overflow)
        return "it is too large for a secret";
    if (b->n == 0)
        return "it is empty";
    if (str_find(buf_str(b), '\0') >= 0)
        return "it holds a NUL byte";
    return NULL;
}

/* The content of the file without newlines at its end. */
static const char *read_secret(struct conf_run *r, struct conf_place at,
                               const char *path)
{
    const char *value = NULL, *what = NULL;
    struct buf b;

    buf_init(&b, LIMIT_CONF_SECRET + READ_BYTES);
    if (!read_file(path, &b))
        what = strerror(errno);
    while (b.n && (b.p[b.n - 1] == '\n' || b.p[b.n - 1] == '\r'))
        b.n--;
    if (!what)
        what = content_fault(&b);
    if (what)
        conf_fault(r, at, "cannot use file '%s': %s", path, what);
    else
        value = arena_cstr(r->arena, buf_str(&b));
    buf_release(&b);
    return value;
}

/* "~/x" with HOME in place of the tilde; NULL when it is not set. */
static const char *path_of(struct conf_run *r, const char *text)
{
    const char *home;

    if (!str_starts(str_of(text), STR("~/")))
        return text;
    home = getenv("HOME");
    return home ? arena_printf(r->arena, "%s%s", home, text + 1).p : NULL;
}

/* NULL: there is no content; *what tells why. */
static const char *read_content(struct conf_run *r, const char *path,
                                const char **what)
{
    const char *value = NULL;
    struct buf b;

    buf_init(&b, LIMIT_CONF_SECRET + READ_BYTES);
    if (!read_file(path, &b))
        *what = strerror(errno);
    else if (b.overflow || b.n > LIMIT_CONF_SECRET)
        *what = "it is too large";
    else if (str_find(buf_str(&b), '\0') >= 0)
        *what = "it holds a NUL byte";
    else
        value = arena_cstr(r->arena, buf_str(&b));
    buf_release(&b);
    return value;
}

/* Whether nobody asked for the file, and it cannot be seen. */
static bool may_be_absent(const struct conf_run *r, const char *path)
{
    return r->default_of && (!path || access(path, R_OK) != 0);
}

const char *conf_content(struct conf_run *r, struct conf_place at,
                         const char *text)
{
    const char *path = path_of(r, text), *value = NULL;
    const char *what = "HOME is not set";

    if (!*text || may_be_absent(r, path))
        return "";
    if (path)
        value = read_content(r, path, &what);
    if (!value)
        conf_fault(r, at, "cannot use file '%s': %s", text, what);
    return value;
}

static const char *expand_text(struct conf_run *r, struct conf_place at,
                               struct str raw)
{
    const struct str environ_prefix = STR("os.environ/");
    const char *value = NULL;
    struct buf b;

    if (str_starts(raw, environ_prefix)) {
        raw = str_make(raw.p + environ_prefix.n, raw.n - environ_prefix.n);
        return variable(r, at, raw, STR_NULL).p;
    }
    if (str_find(raw, '$') < 0)
        return arena_cstr(r->arena, raw);
    buf_init(&b, LIMIT_CONF_FILE);
    if (expand_dollars(r, at, raw, &b)) {
        if (b.overflow)
            conf_fault(r, at, "the value is too long");
        else
            value = arena_cstr(r->arena, buf_str(&b));
    }
    buf_release(&b);
    return value;
}

const char *conf_expand(struct conf_run *r, struct conf_place at,
                        bool is_secret, struct str raw)
{
    const char *value;

    if (str_find(raw, '\0') >= 0) {
        conf_fault(r, at, "the value holds a NUL byte");
        return NULL;
    }
    value = expand_text(r, at, raw);
    if (!value || !is_secret || !str_starts(str_of(value), STR("file:")))
        return value;
    if (value[5] == '/')
        return read_secret(r, at, value + 5);
    conf_fault(r, at, "'file:' takes an absolute path");
    return NULL;
}

void *conf_load(struct arena *a, const struct conf_section *section,
                const char *file, struct buf *faults)
{
    struct conf_run r = {
        .arena = a, .file = file, .faults = faults, .keeps_secrets = true};
    const struct conf_place top = {1, 1};
    void *data = NULL;
    struct buf text;

    buf_init(&text, LIMIT_CONF_FILE + READ_BYTES);
    if (!read_file(file, &text))
        conf_fault(&r, top, "cannot read the file: %s", strerror(errno));
    else if (text.overflow || text.n > LIMIT_CONF_FILE)
        conf_fault(&r, top, "the file is larger than %u bytes",
                   LIMIT_CONF_FILE);
    else
        data = conf_walk(&r, section, buf_str(&text));
    buf_release(&text);
    return data;
}
