/* conf.h -- a YAML file read into structs, through tables of keys.
 *
 * A module says what it can be told in a table of struct conf_key; conf.c
 * reads the document (libyaml), fills the struct that the table describes with
 * defaults and values, and reports every fault as "file:line:column: text". An
 * unknown key is a fault, and the nearest known one is named.
 *
 * In every scalar, before its type is looked at:
 *   ${VAR} and ${VAR:-default}   the environment (an unset VAR without default
 *                                is a fault naming VAR); $$ is a dollar
 *   os.environ/VAR               the whole value, as in LiteLLM
 *   file:/path                   CONF_SECRET only: the file's content without
 *                                trailing newlines
 *   ~/path                       CONF_CONTENT only: below the directory HOME
 *
 * A key with nothing behind it ("key:", "key: ~", "key: null") counts as not
 * written. Anchors and aliases work; merge keys ("<<") do not.
 *
 * The file of a CONF_CONTENT holds text without NUL bytes, LIMIT_CONF_SECRET at
 * most, and may be empty. One that the default names need not be there: then
 * the member is "". One that is written must be.
 *
 * All memory is the arena's. Pure but for the reading of files and of the
 * environment. Any thread.
 */
#ifndef FILEMUX_BASE_CONF_H
#define FILEMUX_BASE_CONF_H

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/base/err.h"

/* clang-format off */
enum conf_type {
    /*                  the member's type                                    */
    CONF_STR,        /* const char *, never NULL ("" when unset)             */
    CONF_SECRET,     /* the same; printed as *** and redacted from logs      */
    CONF_CONTENT,    /* the same; the value is a path, and the member what
                        stands in that file                                  */
    CONF_BOOL,       /* bool: true false yes no on off                       */
    CONF_INT,        /* int64_t within min and max                           */
    CONF_SIZE,       /* int64_t bytes ("512MB") within min and max           */
    CONF_DURATION,   /* int64_t milliseconds ("30s") within min and max      */
    CONF_ENUM,       /* int: index into choices                              */
    CONF_STR_LIST,   /* struct conf_strs; one scalar is a list of one        */
    CONF_STR_MAP,    /* struct conf_pairs, in the order of the file          */
    CONF_SECTION,    /* the sub-section's struct, in place                   */
    CONF_SECTIONS,   /* struct conf_items: a map of name -> section          */
    CONF_SECTION_LIST, /* struct conf_items: a list of sections, name NULL   */
};
/* clang-format on */

struct conf_strs {
    const char **v;
    size_t n;
};

struct conf_pair {
    const char *key, *value;
};
struct conf_pairs {
    struct conf_pair *v;
    size_t n;
};

/* One element of CONF_SECTIONS or CONF_SECTION_LIST. */
struct conf_item {
    const char *name; /* the map's key; NULL in a list */
    int line, column; /* where it stands */
    void *data;       /* the section's struct */
};
struct conf_items {
    struct conf_item *v;
    size_t n;
};

struct conf_section;

/* clang-format off */
struct conf_key {
    const char *name; /* NULL ends a table */
    enum conf_type type;
    size_t offset;                /* of the member, in the section's struct */
    const char *def;              /* default, as one would write it; NULL: "",
                                     0, the first choice, or empty */
    int64_t min, max;             /* inclusive; a max of 0 is no bound, so both
                                     0: any that is not negative */
    const char *const *choices;   /* CONF_ENUM: names, NULL-ended */
    const struct conf_section *sub; /* the three section types */
    bool is_required;             /* its absence is a fault, in a section that
                                     is written, an entry, or the whole file */
    const char *help;             /* one line for --print-config */
    const char *example;          /* CONF_SECTIONS, _LIST, maps: YAML lines, not
                                     indented, printed as a comment below it;
                                     scalars without default: shown instead */
};
/* clang-format on */

struct conf_section {
    size_t size; /* of the struct */
    const struct conf_key *keys;
    /* Optional: keys that depend on the value of one key of the section, named
     * by `selector` ("type", which is required or has a default). Returns the
     * additional section for it, whose struct is allocated apart and stored
     * (void *) at own_offset; NULL: the value is unknown, a fault that lists
     * `selector_names`. */
    const char *selector;
    const struct conf_section *(*select)(const char *value);
    const char *const *selector_names; /* NULL-ended */
    size_t own_offset;
    /* Optional: looks at the filled struct as a whole, when nothing in it was
     * at fault; after the check of an additional section. Also called for a
     * section that is not written, with its defaults. name is the map's key or
     * NULL. A failure is reported at the section's place. */
    enum gw_err (*check)(void *data, const char *name, struct gw_error *e);
};

/* The text of the file as `section`, into a struct of the arena. On failure
 * NULL, and `faults` holds one line per fault, each "file:line:column: what",
 * with newlines between them (as many as were found, 20 at most). An empty
 * text is valid. */
void *conf_parse(struct arena *a, const struct conf_section *section,
                 const char *file, struct str text,
                 struct buf *faults) MUSTCHECK;
/* The same from a file (LIMIT_CONF_FILE at most). */
#define LIMIT_CONF_FILE (1024u * 1024u)
void *conf_load(struct arena *a, const struct conf_section *section,
                const char *file, struct buf *faults) MUSTCHECK;

/* Every key with its default and help, as a YAML file that conf_parse()
 * accepts: the text of config.example.yaml. */
void conf_print(const struct conf_section *section, struct buf *out);

#endif
