/* A fault names the key, never the value: what stands there may be a secret,
 * and what the environment put there may be one by mistake. */
#include "gateway/base/conf_impl.h"

#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"

#define NAME_BYTES 64 /* compared, of a name that is not known */

/* One line, whatever a key or a path holds. */
static void clean(char *text)
{
    bool is_text = str_is_utf8(str_of(text));

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < ' ' || c == 0x7f || (c > 0x7f && !is_text))
            *text = '?';
    }
}

void conf_fault(struct conf_run *r, struct conf_place at, const char *fmt, ...)
{
    char text[LIMIT_ERROR_TEXT + 256];
    va_list ap;

    if (r->is_quiet || r->is_over)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    clean(text);
    if (r->faults->n)
        buf_add_byte(r->faults, '\n');
    buf_printf(r->faults, "%s:%d:%d: %s", r->file, at.line, at.column, text);
    if (r->default_of)
        buf_printf(r->faults, ", for the default of '%s'", r->default_of);
    r->fault_count++;
    r->is_over = r->fault_count >= LIMIT_CONF_FAULTS;
}

/* --- names --- */

const struct conf_key *conf_find(const struct conf_key *keys, struct str name)
{
    for (; keys->name; keys++)
        if (str_eq_c(name, keys->name))
            return keys;
    return NULL;
}

/* Levenshtein's distance, one row at a time. */
static size_t edit_distance(struct str a, struct str b)
{
    size_t row[NAME_BYTES + 1];

    a.n = MIN(a.n, NAME_BYTES);
    for (size_t i = 0; i <= a.n; i++)
        row[i] = i;
    for (size_t j = 0; j < b.n; j++) {
        size_t diagonal = row[0];

        row[0] = j + 1;
        for (size_t i = 1; i <= a.n; i++) {
            size_t swap = diagonal + (a.p[i - 1] != b.p[j]);
            size_t step = MIN(row[i], row[i - 1]) + 1;

            diagonal = row[i];
            row[i] = MIN(swap, step);
        }
    }
    return row[a.n];
}

const char *conf_nearest(const struct conf_key *keys,
                         const struct conf_key *more, struct str name)
{
    const struct conf_key *tables[] = {keys, more};
    const char *nearest = NULL;
    size_t least = SIZE_MAX;

    name.n = MIN(name.n, NAME_BYTES);
    for (size_t i = 0; i < COUNTOF(tables); i++) {
        for (const struct conf_key *k = tables[i]; k && k->name; k++) {
            size_t distance = edit_distance(name, str_of(k->name));

            if (distance < least) {
                least = distance;
                nearest = k->name;
            }
        }
    }
    return nearest;
}

const char *conf_join(struct arena *a, const char *const *names)
{
    struct str all = STR("");

    for (; names && *names; names++)
        all = arena_printf(a, "%s%s%s", all.p, all.n ? ", " : "", *names);
    return all.p;
}

/* --- types --- */

static bool set_text(const struct conf_key *key UNUSED, const char *text,
                     void *member)
{
    *(const char **)member = text;
    return true;
}

static bool set_bool(const struct conf_key *key UNUSED, const char *text,
                     void *member)
{
    static const char *const words[] = {"false", "true", "no",
                                        "yes",   "off",  "on"};

    for (size_t i = 0; i < COUNTOF(words); i++) {
        if (str_eq_nocase(str_of(text), str_of(words[i]))) {
            *(bool *)member = i % 2;
            return true;
        }
    }
    return false;
}

static bool set_int(const struct conf_key *key UNUSED, const char *text,
                    void *member)
{
    return str_to_i64(str_of(text), member);
}

static bool set_size(const struct conf_key *key UNUSED, const char *text,
                     void *member)
{
    return str_to_size(str_of(text), member);
}

static bool set_duration(const struct conf_key *key UNUSED, const char *text,
                         void *member)
{
    return str_to_duration(str_of(text), member);
}

static bool set_enum(const struct conf_key *key, const char *text, void *member)
{
    for (int i = 0; key->choices[i]; i++) {
        if (str_eq_c(str_of(text), key->choices[i])) {
            *(int *)member = i;
            return true;
        }
    }
    return false;
}

struct unit {
    const char *name;
    int64_t factor; /* the last is 1 */
};

static const struct unit no_units[] = {{"", 1}};
static const struct unit size_units[] = {
    {"TB", 1LL << 40}, {"GB", 1 << 30}, {"MB", 1 << 20},
    {"KB", 1 << 10},   {"B", 1},
};
static const struct unit duration_units[] = {
    {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1},
};

struct scalar_type {
    bool (*set)(const struct conf_key *key, const char *text, void *member);
    const char *what;
    const struct unit *units; /* of min and max; NULL: there is no range */
};

static const struct scalar_type scalar_types[] = {
    [CONF_STR] = {set_text, "a text", NULL},
    [CONF_SECRET] = {set_text, "a text", NULL},
    [CONF_CONTENT] = {set_text, "a path", NULL},
    [CONF_BOOL] = {set_bool, "true or false", NULL},
    [CONF_INT] = {set_int, "a whole number", no_units},
    [CONF_SIZE] = {set_size, "a size such as 512MB", size_units},
    [CONF_DURATION] = {set_duration, "a duration such as 30s", duration_units},
    [CONF_ENUM] = {set_enum, NULL, NULL},
};

bool conf_is_scalar(enum conf_type type)
{
    return type <= CONF_ENUM;
}

static void fault_range(struct conf_run *r, const struct conf_key *key,
                        struct conf_place at, const char *side, int64_t bound)
{
    const struct unit *unit = scalar_types[key->type].units;

    while (unit->factor > 1 && (bound % unit->factor != 0 || bound == 0))
        unit++;
    conf_fault(r, at, "'%s' must be at %s %lld%s", key->name, side,
               (long long)(bound / unit->factor), bound ? unit->name : "");
}

/* A max of 0 is no bound. */
static bool is_in_range(struct conf_run *r, const struct conf_key *key,
                        struct conf_place at, int64_t value)
{
    if (value < key->min)
        fault_range(r, key, at, "least", key->min);
    else if (key->max && value > key->max)
        fault_range(r, key, at, "most", key->max);
    else
        return true;
    return false;
}

bool conf_set_scalar(struct conf_run *r, const struct conf_key *key,
                     struct conf_place at, struct str raw, void *member)
{
    const struct scalar_type *type = &scalar_types[key->type];
    const char *text = conf_expand(r, at, key->type == CONF_SECRET, raw);

    if (text && key->type == CONF_CONTENT)
        text = conf_content(r, at, text);
    if (!text)
        return false;
    if (!type->set(key, text, member)) {
        if (key->type == CONF_ENUM)
            conf_fault(r, at, "'%s' must be one of %s", key->name,
                       conf_join(r->arena, key->choices));
        else
            conf_fault(r, at, "'%s' must be %s", key->name, type->what);
        return false;
    }
    if (type->units && !is_in_range(r, key, at, *(int64_t *)member))
        return false;
    if (key->type == CONF_SECRET && r->keeps_secrets)
        log_add_secret(str_of(text));
    return true;
}

/* "a" or "[a, b]": a list of plain words. */
static void set_default_list(struct conf_run *r, const char *def,
                             struct conf_strs *list)
{
    struct str rest = str_of(def), item;

    if (str_starts(rest, STR("[")) && str_ends(rest, STR("]")))
        rest = str_make(rest.p + 1, rest.n - 2);
    list->v = arena_alloc(r->arena, (rest.n / 2 + 1) * sizeof(*list->v));
    while (str_next(&rest, ',', &item))
        list->v[list->n++] = arena_cstr(r->arena, item);
}

void conf_set_default(struct conf_run *r, const struct conf_key *key,
                      struct conf_place at, void *member)
{
    if (key->type == CONF_STR || key->type == CONF_SECRET ||
        key->type == CONF_CONTENT)
        *(const char **)member = "";
    if (!key->def)
        return;
    /* Maps and lists of sections have none, only an example. */
    ASSERT(conf_is_scalar(key->type) || key->type == CONF_STR_LIST);
    r->default_of = key->name;
    if (key->type == CONF_STR_LIST)
        set_default_list(r, key->def, member);
    else
        conf_set_scalar(r, key, at, str_of(key->def), member);
    r->default_of = NULL;
}
