#include "tests/golden/golden.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "gateway/base/bug.h"

#define CASE_BYTES_MAX (4u * 1024u * 1024u)
#define MARK "--- "

/* --- text --- */

bool golden_line(struct str *rest, struct str *line)
{
    if (!rest->p || rest->n == 0)
        return false;
    str_cut(*rest, '\n', line, rest);
    return true;
}

void golden_escape(struct buf *out, struct str bytes)
{
    size_t i;

    for (i = 0; i < bytes.n; i++) {
        struct str rest = str_make(bytes.p + i, bytes.n - i);
        unsigned char c = (unsigned char)bytes.p[i];
        bool at_line = out->n == 0 || out->p[out->n - 1] == '\n';

        if (c == '\\')
            buf_add_c(out, "\\\\");
        else if (c == '\r')
            buf_add_c(out, "\\r");
        else if (c == '\t')
            buf_add_c(out, "\\t");
        else if ((c < ' ' && c != '\n') || c == 0x7f ||
                 (at_line && str_starts(rest, STR(MARK))) ||
                 str_starts(rest, STR("<stream")))
            buf_printf(out, "\\x%02x", c);
        else
            buf_add_byte(out, (char)c);
    }
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One escape at s.p[0] == '\\'; how many bytes it takes. */
static size_t unescape_one(struct golden_case *c, struct str s, char *out)
{
    char kind = s.n > 1 ? s.p[1] : 0;

    if (kind == 'x' && s.n > 3 && hex(s.p[2]) >= 0 && hex(s.p[3]) >= 0) {
        *out = (char)(hex(s.p[2]) * 16 + hex(s.p[3]));
        return 4;
    }
    *out = kind == 'r' ? '\r' : kind == 't' ? '\t' : '\\';
    if (kind != 'r' && kind != 't' && kind != '\\')
        golden_fail(c, "broken escape: %.*s", (int)MIN(s.n, 8), s.p);
    return 2;
}

struct str golden_unescape(struct golden_case *c, struct str text)
{
    char *p = arena_alloc(c->arena, text.n + 1);
    size_t n = 0, i = 0;

    while (i < text.n) {
        if (text.p[i] == '\\')
            i += unescape_one(c, str_make(text.p + i, text.n - i), &p[n++]);
        else
            p[n++] = text.p[i++];
    }
    return str_make(p, n);
}

struct str golden_value(struct golden_case *c, struct str lines,
                        const char *key)
{
    struct str line, name, value;

    while (golden_line(&lines, &line))
        if (str_cut(line, ':', &name, &value) && str_eq_c(name, key))
            return golden_unescape(c, str_trim(value));
    return STR_NULL;
}

int64_t golden_number(struct golden_case *c, struct str lines, const char *key,
                      int64_t dflt)
{
    struct str text = golden_value(c, lines, key);
    int64_t n;

    if (!text.p)
        return dflt;
    if (str_to_i64(text, &n))
        return n;
    golden_fail(c, "'%s' must be a number", key);
    return dflt;
}

/* --- sections --- */

void golden_fail(struct golden_case *c, const char *fmt, ...)
{
    va_list ap;

    printf("%s: ", c->path);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    c->has_failed = true;
}

static struct golden_section *find(struct golden_case *c, struct str head)
{
    size_t i;

    for (i = 0; i < c->n; i++)
        if (str_eq(c->sections[i].head, head))
            return &c->sections[i];
    return NULL;
}

static struct golden_section *insert(struct golden_case *c, size_t at,
                                     struct str head)
{
    ASSERT(c->n < GOLDEN_SECTIONS_MAX);
    memmove(&c->sections[at + 1], &c->sections[at],
            (c->n - at) * sizeof(c->sections[0]));
    c->n++;
    c->sections[at] = (struct golden_section){.head = head, .text = STR("")};
    return &c->sections[at];
}

/* Without the line feed that ends the section's last line. */
static void end_section(struct str *text, const char *end)
{
    text->n = (size_t)(end - text->p);
    if (text->n && end[-1] == '\n')
        text->n--;
}

static void split(struct golden_case *c, struct str file)
{
    struct str rest = file, line, *open = &c->preamble;

    c->preamble = str_make(file.p, 0);
    while (golden_line(&rest, &line)) {
        if (!str_starts(line, STR(MARK)))
            continue;
        end_section(open, line.p);
        line = str_make(line.p + 4, line.n - 4);
        if (find(c, line))
            golden_fail(c, "two sections '%.*s'", STR_ARG(line));
        open = &insert(c, c->n, line)->text;
        *open = str_make(MIN(line.p + line.n + 1, file.p + file.n), 0);
    }
    end_section(open, file.p + file.n);
}

struct str golden_input(struct golden_case *c, const char *head)
{
    struct golden_section *s = find(c, str_of(head));

    if (!s)
        return STR_NULL;
    s->is_used = true;
    return s->text;
}

const char *golden_name(struct golden_case *c, const char *word,
                        const char *dflt)
{
    struct str head, rest;
    size_t i;

    for (i = 0; i < c->n; i++)
        if (str_cut(c->sections[i].head, ' ', &head, &rest) &&
            str_eq_c(head, word))
            return arena_cstr(c->arena, rest);
    return dflt;
}

/* --- outputs --- */

static void print_lines(const char *sign, struct str text)
{
    struct str line;

    while (golden_line(&text, &line))
        printf("  %s%.*s\n", sign, STR_ARG(line));
}

/* How many bytes of whole lines both begin with. */
static size_t common_lines(struct str a, struct str b)
{
    size_t i, lines = 0;

    for (i = 0; i < a.n && i < b.n && a.p[i] == b.p[i]; i++)
        if (a.p[i] == '\n')
            lines = i + 1;
    return lines;
}

static size_t common_end(struct str a, struct str b)
{
    size_t i, lines = 0;

    for (i = 1; i <= a.n && i <= b.n && a.p[a.n - i] == b.p[b.n - i]; i++)
        if (a.p[a.n - i] == '\n')
            lines = i;
    return lines;
}

static struct str drop(struct str s, size_t front, size_t back)
{
    return str_make(s.p + front, s.n - front - back);
}

static void print_diff(struct golden_case *c, struct str head,
                       struct str expected, struct str actual)
{
    size_t front = common_lines(expected, actual), back;

    expected = drop(expected, front, 0);
    actual = drop(actual, front, 0);
    back = common_end(expected, actual);
    golden_fail(c, "section '%.*s' differs (- expected, + actual)",
                STR_ARG(head));
    print_lines("-", drop(expected, 0, back));
    print_lines("+", drop(actual, 0, back));
}

/* A request goes before its response, anything else to the end. */
static size_t place_of(struct golden_case *c, struct str head)
{
    struct str word, number;
    size_t i;

    if (!str_cut(head, ' ', &word, &number) || !str_eq(word, STR("request")))
        return c->n;
    for (i = 0; i < c->n; i++)
        if (str_eq(c->sections[i].head,
                   arena_printf(c->arena, "response %.*s", STR_ARG(number))))
            return i;
    return c->n;
}

static bool updates(void)
{
    return getenv("GOLDEN_UPDATE") != NULL;
}

void golden_output(struct golden_case *c, const char *head, struct buf *text)
{
    struct golden_section *s = find(c, str_of(head));
    struct str actual = arena_dup(c->arena, buf_str(text));

    ASSERT(!text->overflow);
    buf_release(text);
    if (actual.n && actual.p[actual.n - 1] == '\n')
        actual.n--;
    if (!s && !updates()) {
        golden_fail(c, "there is no section '%s'; it would be:", head);
        print_lines("+", actual);
        return;
    }
    if (!s)
        s = insert(c, place_of(c, str_of(head)),
                   arena_dup(c->arena, str_of(head)));
    s->is_used = true;
    if (str_eq(s->text, actual))
        return;
    if (!updates())
        print_diff(c, s->head, s->text, actual);
    s->text = actual;
    c->is_updated = true;
}

static void write_section(FILE *f, const struct golden_section *s)
{
    fprintf(f, MARK "%.*s\n", STR_ARG(s->head));
    if (s->text.n)
        fprintf(f, "%.*s\n", STR_ARG(s->text));
}

static void write_case(struct golden_case *c)
{
    FILE *f = fopen(c->path, "w");
    size_t i;

    if (!f)
        BUG("cannot write %s", c->path);
    if (c->preamble.n)
        fprintf(f, "%.*s\n", STR_ARG(c->preamble));
    for (i = 0; i < c->n; i++)
        if (c->sections[i].is_used)
            write_section(f, &c->sections[i]);
    fclose(f);
}

/* --- running --- */

struct totals {
    unsigned run, failed;
};

static struct str read_case(struct arena *a, const char *path)
{
    struct buf text;
    struct str all;
    size_t n = 1;
    char *p;
    FILE *f = fopen(path, "r");

    if (!f)
        BUG("cannot read %s", path);
    buf_init(&text, CASE_BYTES_MAX);
    while (n && (p = buf_reserve(&text, 4096))) {
        n = fread(p, 1, 4096, f);
        buf_commit(&text, n);
    }
    fclose(f);
    all = arena_dup(a, buf_str(&text));
    buf_release(&text);
    return all;
}

static void check_used(struct golden_case *c)
{
    size_t i;

    for (i = 0; i < c->n && !updates(); i++)
        if (!c->sections[i].is_used)
            golden_fail(c, "nothing made a section '%.*s'",
                        STR_ARG(c->sections[i].head));
}

static const char *dir_of(struct arena *a, const char *path)
{
    struct str s = str_of(path), rest = s, dir = STR("."), part;

    while (str_cut(rest, '/', &part, &rest))
        if (part.n)
            dir = part;
    return arena_cstr(a, dir);
}

static void run_case(const char *path, golden_run *run, struct totals *totals)
{
    struct golden_case *c = xcalloc(1, sizeof(*c));

    c->arena = arena_new();
    c->path = path;
    c->dir = dir_of(c->arena, path);
    split(c, read_case(c->arena, path));
    run(c);
    check_used(c);
    if (updates() && !c->has_failed)
        write_case(c);
    printf("%s %s\n", c->has_failed ? "not ok" : "ok", path);
    totals->run++;
    totals->failed += c->has_failed;
    arena_free(c->arena);
    free(c);
}

static int is_case(const struct dirent *d)
{
    return str_ends(str_of(d->d_name), STR(".txt"));
}

static void run_dir(const char *path, golden_run *run, struct totals *totals)
{
    struct dirent **names;
    int i, n = scandir(path, &names, is_case, alphasort);
    struct arena *a = arena_new();

    if (n < 0)
        BUG("cannot read the directory %s", path);
    for (i = 0; i < n; i++) {
        run_case(arena_printf(a, "%s/%s", path, names[i]->d_name).p, run,
                 totals);
        free(names[i]);
    }
    free(names);
    arena_free(a);
}

int golden_main(int argc, char **argv, golden_run *run)
{
    struct totals totals = {0};
    struct stat st;
    int i;

    for (i = 1; i < argc; i++) {
        if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
            run_dir(argv[i], run, &totals);
        else
            run_case(argv[i], run, &totals);
    }
    printf("%u cases, %u failed\n", totals.run, totals.failed);
    return totals.failed || totals.run == 0;
}
