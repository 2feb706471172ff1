/* match.h -- the conditions of a routing rule. Pure. */
#ifndef FILEMUX_ROUTING_MATCH_H
#define FILEMUX_ROUTING_MATCH_H

#include "gateway/base/conf.h"

/* How a provider is at the moment. */
struct route_load {
    bool is_out;   /* its breaker lets nothing through */
    int64_t bytes; /* under way, and in the last minute */
};

/* What is known of an upload when its provider is picked. An absent view
 * (STR_NULL) is a field that may still come. */
struct route_facts {
    struct str purpose;
    struct str filename;
    struct str model;
    struct str key_alias, key_hash;
    struct str team;
    const struct str *tags;
    size_t ntags;
    int64_t size;  /* declared size of the body; -1 unknown */
    uint64_t draw; /* the request's lot, for weighted pools: any number, the
                      same each time the same request is looked at */
    uint64_t turn; /* of the pool, for those that take turns; likewise */
    const struct route_load *load; /* of each provider, in their order; NULL:
                                      nothing is known */
};

/* The conditions of a rule: `match: {…}`. "" or 0 is not asked. */
struct match {
    const char *purpose;
    const char *filename; /* glob */
    const char *model;    /* glob */
    const char *key;      /* alias or hash */
    const char *team;
    const char *tag;
    int64_t min_size, max_size;
};

extern const struct conf_section match_section;

enum match_result {
    MATCH_NO,
    MATCH_YES,
    MATCH_NEEDS_FIELDS, /* depends on a form field that is not in yet */
};

/* All conditions hold; one that fails for certain outweighs unknown ones. */
enum match_result match_test(const struct match *m,
                             const struct route_facts *f);

#endif
