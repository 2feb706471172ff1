#include "routing/match.h"

/* Each condition is asked on its own; the results are put together so that a
 * certain no wins over all, and an unknown over a yes. */

static enum match_result both(enum match_result a, enum match_result b)
{
    if (a == MATCH_NO || b == MATCH_NO)
        return MATCH_NO;
    return a == MATCH_NEEDS_FIELDS ? a : b;
}

static enum match_result yes_if(bool holds)
{
    return holds ? MATCH_YES : MATCH_NO;
}

/* A glob against a form field, which may still come. */
static enum match_result test_field(const char *pattern, struct str value)
{
    if (!pattern[0])
        return MATCH_YES;
    if (!value.p)
        return MATCH_NEEDS_FIELDS;
    return yes_if(str_glob(str_of(pattern), value));
}

static enum match_result test_word(const char *word, struct str value)
{
    if (!word[0])
        return MATCH_YES;
    if (!value.p)
        return MATCH_NEEDS_FIELDS;
    return yes_if(str_eq_c(value, word));
}

static enum match_result test_key(const struct match *m,
                                  const struct route_facts *f)
{
    return yes_if(!m->key[0] || str_eq_c(f->key_alias, m->key) ||
                  str_eq_c(f->key_hash, m->key));
}

static enum match_result test_tag(const struct match *m,
                                  const struct route_facts *f)
{
    size_t i;

    if (!m->tag[0])
        return MATCH_YES;
    for (i = 0; i < f->ntags; i++)
        if (str_eq_c(f->tags[i], m->tag))
            return MATCH_YES;
    return MATCH_NO;
}

/* A size that is not declared is in no range: to wait for it would be to hold
 * the whole body. */
static enum match_result test_size(const struct match *m,
                                   const struct route_facts *f)
{
    if (!m->min_size && !m->max_size)
        return MATCH_YES;
    return yes_if(f->size >= 0 && f->size >= m->min_size &&
                  (!m->max_size || f->size <= m->max_size));
}

enum match_result match_test(const struct match *m, const struct route_facts *f)
{
    enum match_result r = test_key(m, f);

    r = both(r, yes_if(!m->team[0] || str_eq_c(f->team, m->team)));
    r = both(r, test_tag(m, f));
    r = both(r, test_size(m, f));
    r = both(r, test_word(m->purpose, f->purpose));
    r = both(r, test_field(m->filename, f->filename));
    return both(r, test_field(m->model, f->model));
}

static enum gw_err check(void *data, const char *name, struct gw_error *e)
{
    const struct match *m = data;

    (void)name;
    if (m->max_size && m->min_size > m->max_size)
        return err_set(e, GW_INVALID_VALUE,
                       "'min_size' is larger than 'max_size'");
    return GW_OK;
}

#define AT(member) offsetof(struct match, member)

/* clang-format off */
static const struct conf_key keys[] = {
    {.name = "purpose", .type = CONF_STR, .offset = AT(purpose),
     .help = "the purpose is this word"},
    {.name = "filename", .type = CONF_STR, .offset = AT(filename),
     .help = "the file's name looks like this (* and ?)"},
    {.name = "model", .type = CONF_STR, .offset = AT(model),
     .help = "the model named in the request looks like this (* and ?)"},
    {.name = "key", .type = CONF_STR, .offset = AT(key),
     .help = "the key has this alias, or this SHA-256"},
    {.name = "team", .type = CONF_STR, .offset = AT(team),
     .help = "the key belongs to this team"},
    {.name = "tag", .type = CONF_STR, .offset = AT(tag),
     .help = "the key has this tag"},
    {.name = "min_size", .type = CONF_SIZE, .offset = AT(min_size),
     .help = "the body is declared to be at least so long"},
    {.name = "max_size", .type = CONF_SIZE, .offset = AT(max_size),
     .help = "the body is declared to be at most so long; 0: any length"},
    {.name = NULL},
};
/* clang-format on */

const struct conf_section match_section = {
    .size = sizeof(struct match),
    .keys = keys,
    .check = check,
};
