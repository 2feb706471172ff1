/* conf_impl.h -- what the files of conf share; for nobody else.
 *
 * conf.c walks the document and fills structs, conf_env.c puts the environment
 * and files in, conf_value.c reads one scalar as its type, and conf_print.c
 * writes a table as a commented file.
 */
#ifndef FILEMUX_BASE_CONF_IMPL_H
#define FILEMUX_BASE_CONF_IMPL_H

#include "gateway/base/conf.h"

struct conf_place {
    int line, column; /* from 1 on */
};

/* One call of conf_parse(). */
struct conf_run {
    struct arena *arena;
    const char *file;
    struct buf *faults;
    size_t fault_count;
    const char *default_of; /* the key whose default is read; NULL: none */
    bool keeps_secrets;     /* the log is told of them */
    bool is_quiet;          /* no faults: they will be found again */
    bool is_over;           /* faults enough, or values too many: stop */
};

void conf_fault(struct conf_run *r, struct conf_place at, const char *fmt, ...)
    PRINTFLIKE(3, 4);

/* What the key of that name stands for; NULL: not in the table. */
const struct conf_key *conf_find(const struct conf_key *keys, struct str name);
/* The name in one of two tables (the second may be NULL) that takes the
 * fewest changes to become `name`. NULL when both are empty. */
const char *conf_nearest(const struct conf_key *keys,
                         const struct conf_key *more, struct str name);
/* The names with ", " between them. */
const char *conf_join(struct arena *a, const char *const *names);

/* The text as libyaml may see it: what stands in "${…}" is hidden. It is out's,
 * or text itself when there is nothing to hide. And, in place, what a scalar
 * of it was; the length of that is returned. */
struct str conf_hide_braces(struct str text, struct buf *out);
size_t conf_show_braces(char *text, size_t n);
/* The struct, or NULL after a fault. */
void *conf_walk(struct conf_run *r, const struct conf_section *section,
                struct str text) MUSTCHECK;
/* The text with the environment and files put in, or NULL after a fault. */
const char *conf_expand(struct conf_run *r, struct conf_place at,
                        bool is_secret, struct str raw) MUSTCHECK;
/* What the file at a path holds (see CONF_CONTENT), or NULL after a fault. */
const char *conf_content(struct conf_run *r, struct conf_place at,
                         const char *path) MUSTCHECK;
bool conf_is_scalar(enum conf_type type);
/* Whether a scalar was read into the member; if not, a fault tells why. */
bool conf_set_scalar(struct conf_run *r, const struct conf_key *key,
                     struct conf_place at, struct str raw, void *member);
/* The default of a key that is not a section into the member. */
void conf_set_default(struct conf_run *r, const struct conf_key *key,
                      struct conf_place at, void *member);

#endif
