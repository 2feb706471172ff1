#include "providers/prov_said.h"

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/codec/json.h"

/* Finding goes through the shapes in a fixed order, the most specific first.
 * Cleaning walks over the message word by word: a word is a run of bytes that
 * URLs, ids and keys are made of, so each of these is one word, and whatever
 * looks like one is replaced as a whole. Only the front of a message is looked
 * at, and each place of it once. Rather too much than too little: a
 * provider's id in a message is a hole in the wall between tenants.
 */

#define MESSAGE_MAX 400
#define TOKEN_MAX 63

/* --- finding --- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* LiteLLM writes the word None where there is nothing. */
static struct str word_or_empty(struct str s)
{
    bool has_letter = false;
    size_t i;

    if (s.n == 0 || s.n > TOKEN_MAX || str_eq(s, STR("None")))
        return STR("");
    for (i = 0; i < s.n; i++) {
        char c = s.p[i];

        has_letter = has_letter || is_letter(c);
        if (!is_letter(c) && !is_digit(c) && !memchr("_-.[]", c, 5))
            return STR("");
    }
    return has_letter ? s : STR("");
}

static void take_word(struct str *out, const struct json *v, const char *name)
{
    if (out->n == 0)
        *out = word_or_empty(json_str(json_get(v, name)));
}

static void take_words(struct prov_said *said, const struct json *v)
{
    take_word(&said->code, v, "code");
    take_word(&said->type, v, "type");
    take_word(&said->param, v, "param");
}

/* FastAPI's list of faults: the first, and the field it speaks of. */
static bool take_faults(struct prov_said *said, const struct json *list)
{
    const struct json *first = json_at(list, 0), *loc = json_get(first, "loc");

    if (!json_is_object(first))
        return false;
    said->message = json_str(json_get(first, "msg"));
    if (json_count(loc) > 1)
        said->param =
            word_or_empty(json_str(json_at(loc, json_count(loc) - 1)));
    return said->message.n > 0;
}

/* {"message", "type", "param", "code"}, or a string in its place. */
static bool take_error(struct prov_said *said, const struct json *v)
{
    if (json_is_string(v)) {
        said->message = json_str(v);
        return said->message.n > 0;
    }
    if (!json_is_object(v))
        return false;
    take_words(said, v);
    said->message = json_str(json_get(v, "message"));
    return said->message.n > 0;
}

static bool take_detail(struct prov_said *said, const struct json *v)
{
    if (json_is_array(v))
        return take_faults(said, v);
    return take_error(said, json_get(v, "error")) || take_error(said, v);
}

static void find_in_json(struct prov_said *said, const struct json *v)
{
    if (json_is_array(v))
        v = json_at(v, 0);
    if (take_error(said, json_get(v, "error")) ||
        take_detail(said, json_get(v, "detail")) ||
        take_detail(said, json_get(json_get(v, "message"), "detail")) ||
        take_error(said, v))
        return;
    said->message = json_str(json_get(v, "title"));
    if (!said->message.n)
        said->message = json_str(json_get(json_get(v, "fault"), "faultstring"));
}

/* What stands between <name> and the next tag. */
static struct str xml_text(struct str body, struct str tag)
{
    const char *p = memmem(body.p, body.n, tag.p, tag.n);
    struct str rest, text;

    if (!p)
        return STR("");
    p += tag.n;
    rest = str_make(p, body.n - (size_t)(p - body.p));
    str_cut(rest, '<', &text, &rest);
    return text;
}

static void find_in_markup(struct prov_said *said, struct str body)
{
    said->message = xml_text(body, STR("<Message>"));
    said->code = word_or_empty(xml_text(body, STR("<Code>")));
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct str trim(struct str s)
{
    while (s.n && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

/* A page of HTML, or text that came with one inside. */
static bool holds_html(struct str s)
{
    return s.n &&
           (s.p[0] == '<' || memmem(s.p, s.n, "<html", 5) ||
            memmem(s.p, s.n, "<HTML", 5) || memmem(s.p, s.n, "<!DOCTYPE", 9));
}

void prov_said_find(struct arena *a, struct str body, struct prov_said *said)
{
    struct gw_error ignored = {0};
    const struct json *v;

    *said = (struct prov_said){STR(""), STR(""), STR(""), STR("")};
    body = trim(body);
    if (body.n == 0)
        return;
    if (body.p[0] == '<')
        find_in_markup(said, body);
    else if ((v = json_parse(a, body, &ignored)))
        find_in_json(said, v);
    else if (!strchr("{[\"", body.p[0]))
        said->message = body;
    said->message = trim(said->message);
    if (holds_html(said->message))
        said->message = STR("");
}

/* --- cleaning --- */

static bool is_word_byte(char c)
{
    return is_digit(c) || is_letter(c) || (c && strchr("-_.~:/?#@!$&+=%*", c));
}

static struct str word_at(struct str s)
{
    size_t n = 0;

    while (n < s.n && is_word_byte(s.p[n]))
        n++;
    return str_make(s.p, n);
}

static bool has_digit(struct str s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        if (is_digit(s.p[i]))
            return true;
    return false;
}

static const struct {
    struct str prefix;
    const char *shown;
    bool is_sure; /* whatever follows it */
} marks[] = {
    /* clang-format off */
    {{"sk-", 3},            "[key]"},
    {{"file-", 5},          "[id]"},
    {{"file_", 5},          "[id]"},
    {{"batch_", 6},         "[id]"},
    {{"upload_", 7},        "[id]"},
    {{"ftjob-", 6},         "[id]"},
    {{"org-", 4},           "[id]"},
    {{"proj_", 5},          "[id]"},
    {{"user-", 5},          "[id]"},
    {{"req_", 4},           "[id]"},
    {{"litellm:", 8},       "[id]"},
    {{"litellm_proxy:", 14}, "[id]"},
    /* Names of resources: in each an account or a project. */
    {{"arn:", 4},           "[id]", true},
    {{"arn%3A", 6},         "[id]", true},
    {{"projects/", 9},      "[id]", true},
    /* clang-format on */
};

#define MARKED_MIN 5   /* "file-9f3a1c" is an id, "file-1" is none */
#define LETTERS_MIN 20 /* of 24 random signs one in 60 has no digit */

static size_t letters(struct str s)
{
    size_t n = 0;

    while (n < s.n && (is_letter(s.p[n]) || is_digit(s.p[n])))
        n++;
    return n;
}

/* Does what stands behind a mark look like an id? */
static bool is_id(struct str s)
{
    return s.n >= MARKED_MIN && (has_digit(s) || letters(s) >= LETTERS_MIN);
}

static const char *marked_at(struct str rest)
{
    size_t i;

    for (i = 0; i < COUNTOF(marks); i++) {
        size_t skip = marks[i].prefix.n;

        if (!str_starts(rest, marks[i].prefix) || rest.n == skip)
            continue;
        if (marks[i].is_sure || is_id(str_make(rest.p + skip, rest.n - skip)))
            return marks[i].shown;
    }
    return NULL;
}

/* A mark counts where a part of the word begins: not in "profile-12345". */
static const char *marked(struct str word)
{
    const char *shown;
    size_t i;

    for (i = 0; i < word.n; i++) {
        if (i && (is_letter(word.p[i - 1]) || is_digit(word.p[i - 1])))
            continue;
        shown = marked_at(str_make(word.p + i, word.n - i));
        if (shown)
            return shown;
    }
    return NULL;
}

#define BARE_ID_MIN 20
#define ANY_ID_MIN 64 /* longer than any model's name */

/* 24 hex digits, a UUID, 20 letters and digits: but not the name of a model,
 * which has its dashes between words. */
static bool is_bare_id(struct str word)
{
    bool is_hex = true, is_plain = true;
    size_t i;

    if (word.n < BARE_ID_MIN || !has_digit(word))
        return false;
    if (word.n >= ANY_ID_MIN)
        return true;
    for (i = 0; i < word.n; i++) {
        char c = word.p[i];

        is_plain = is_plain && (is_letter(c) || is_digit(c));
        is_hex = is_hex && (is_digit(c) || c == '-' || (c >= 'a' && c <= 'f') ||
                            (c >= 'A' && c <= 'F'));
    }
    return is_hex || is_plain;
}

/* What to show in place of the word, or NULL when it may stay. */
static const char *stand_in(struct str word)
{
    const char *shown;

    if (memmem(word.p, word.n, "://", 3))
        return "[url]";
    if (str_ends(word, STR(".gserviceaccount.com")))
        return "[id]";
    shown = marked(word);
    return shown ? shown : is_bare_id(word) ? "[id]" : NULL;
}

/* White space and control characters, however many, become one space. */
static void add_byte(struct buf *out, char c)
{
    bool is_gap = (unsigned char)c <= ' ' || c == 0x7f;

    if (is_gap && (out->n == 0 || out->p[out->n - 1] == ' '))
        return;
    buf_add_byte(out, is_gap ? ' ' : c);
}

/* The word without the full stop or the colon of the sentence. */
static struct str without_stop(struct str word)
{
    while (word.n && strchr(".:?!", word.p[word.n - 1]))
        word.n--;
    return word;
}

/* The names, sorted: what a text begins with is looked for by halves. The next
 * shorter one that a name begins with itself is its `within`; so all names that
 * a text begins with are in a row, the longest first. */
struct name {
    const struct prov_name *is;
    size_t nth;
    const struct name *within; /* NULL: none */
};

struct names {
    struct name *v;
    size_t n;
};

/* Of two that are the same the first that was added is the last, and so the one
 * that is found. */
static int compare_names(const void *a, const void *b)
{
    const struct name *x = a, *y = b;
    int order = str_cmp(x->is->theirs, y->is->theirs);

    return order ? order : (x->nth < y->nth) - (x->nth > y->nth);
}

static void add_name(struct names *to, const struct prov_name *name)
{
    if (!name->theirs.n)
        return;
    to->v[to->n] = (struct name){.is = name, .nth = to->n};
    to->n++;
}

static void sort_names(struct names *names)
{
    const struct name *before;
    size_t i;

    if (names->n > 1)
        qsort(names->v, names->n, sizeof(names->v[0]), compare_names);
    for (i = 0; i < names->n; i++) {
        before = i ? &names->v[i - 1] : NULL;
        while (before &&
               !str_starts(names->v[i].is->theirs, before->is->theirs))
            before = before->within;
        names->v[i].within = before;
    }
}

/* The longest name that s begins with, or NULL. */
static const struct prov_name *name_at(struct str s, const struct names *names)
{
    size_t from = 0, to = names->n, middle;
    const struct name *name;

    while (from < to) {
        middle = from + (to - from) / 2;
        if (str_cmp(names->v[middle].is->theirs, s) <= 0)
            from = middle + 1;
        else
            to = middle;
    }
    name = from ? &names->v[from - 1] : NULL;
    while (name && !str_starts(s, name->is->theirs))
        name = name->within;
    return name ? name->is : NULL;
}

/* Append what may be shown of the word at the front of s; how long it was. */
static size_t add_word(struct buf *out, struct str s, const struct names *names)
{
    struct str word = without_stop(word_at(s));
    const struct prov_name *name = name_at(s, names);
    const char *instead;

    if (name) {
        buf_add_str(out, name->ours.n ? name->ours : STR("[id]"));
        return name->theirs.n;
    }
    if (word.n == 0) {
        add_byte(out, s.p[0]);
        return 1;
    }
    instead = stand_in(word);
    buf_add_str(out, instead ? str_of(instead) : word);
    return word.n;
}

/* Where a name is in the word, if none starts it: the word is cut there. Up to
 * *clear it is known that there is none. */
static size_t name_within(struct str s, const struct names *names,
                          const char **clear)
{
    struct str word = word_at(s);
    size_t at = MAX(*clear > s.p ? (size_t)(*clear - s.p) : 0, (size_t)1);

    if (word.n == 0 || name_at(s, names))
        return 0;
    while (at < word.n && !name_at(str_make(s.p + at, s.n - at), names))
        at++;
    *clear = s.p + at;
    return at < word.n ? at : 0;
}

/* At most max bytes, and no character cut in two. */
static void cut(struct buf *out, size_t max)
{
    if (out->n <= max)
        return;
    while (max && ((unsigned char)out->p[max] & 0xc0) == 0x80)
        max--;
    out->n = max;
}

/* As much as is looked at. A word that goes on behind that is left out: half
 * an id would not be known for one. */
static struct str front(struct str message)
{
    if (message.n <= LIMIT_SAID_BYTES)
        return message;
    message.n = LIMIT_SAID_BYTES;
    while (message.n && is_word_byte(message.p[message.n - 1]))
        message.n--;
    return message;
}

static struct str clean(struct arena *a, struct str message,
                        const struct names *names)
{
    const char *clear = message.p;
    struct buf out;
    struct str clean;
    size_t n;

    message = front(message);
    buf_init(&out, 2 * MESSAGE_MAX + LIMIT_UPSTREAM_ID_BYTES);
    while (message.n && out.n <= MESSAGE_MAX && !out.overflow) {
        n = name_within(message, names, &clear);
        n = add_word(&out, n ? str_make(message.p, n) : message, names);
        message.p += n;
        message.n -= n;
    }
    cut(&out, MESSAGE_MAX);
    clean = arena_dup(a, str_trim(buf_str(&out)));
    buf_release(&out);
    return clean;
}

struct str prov_said_clean(struct arena *a, struct str message,
                           struct str upstream_id, struct str shown_id)
{
    struct prov_name is = {upstream_id, shown_id};
    struct name name;
    struct names names = {&name, 0};

    add_name(&names, &is);
    sort_names(&names);
    return clean(a, message, &names);
}

struct str prov_said_clean_all(const struct prov_op *op, struct str message)
{
    struct prov_name own = {op->upstream_id, op->shown_id};
    struct names names = {0};
    struct str text;
    size_t i;

    names.v = xmalloc((op->nnames + 1) * sizeof(names.v[0]));
    add_name(&names, &own);
    for (i = 0; i < op->nnames; i++)
        add_name(&names, &op->names[i]);
    sort_names(&names);
    text = clean(op->arena, message, &names);
    free(names.v);
    return text;
}
