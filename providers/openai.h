/* openai.h -- the exchanges of OpenAI's Files API, lent to its relatives.
 *
 * Whoever speaks the same language with another accent (other paths, other
 * authentication) fills in a struct openai_wire, lets openai_describe() write
 * the request, adds its credentials, and hands the response to openai_read().
 */
#ifndef FILEMUX_PROVIDERS_OPENAI_H
#define FILEMUX_PROVIDERS_OPENAI_H

#include "providers/provider.h"

enum openai_expiry {
    OPENAI_EXPIRY_NONE,
    OPENAI_EXPIRY_BRACKETS, /* expires_after[seconds] */
    OPENAI_EXPIRY_DOTS,     /* expires_after.seconds */
};

/* Plain data for one operation; views borrowed. */
struct openai_wire {
    const char *collection;    /* "/files", "/files/": where uploads and lists
                                  go; one file is below it */
    struct str query;          /* for every request, encoded; "" for none */
    enum openai_expiry expiry; /* how expires_after is sent, when it is set */
    bool takes_only_file;      /* the form has no other field */
    const char *after;         /* list's cursor; NULL: "after" */
    bool has_pages;            /* list takes limit and after */
    struct str provider;       /* custom_llm_provider, in form and query; "" */
    struct str envelope;       /* member that wraps every answer; "" for none */
    /* Writes the fields of an upload in place of OpenAI's; or NULL. */
    void (*add_fields)(const struct prov_op *op, struct buf *form);
};

/* Describe the one exchange of op; without credentials. */
void openai_describe(struct prov_op *op, const struct openai_wire *w,
                     struct prov_exchange *x);
/* Read the response to it into op. */
enum gw_err openai_read(struct prov_op *op, const struct openai_wire *w,
                        const struct http_res *res,
                        struct gw_error *e) MUSTCHECK;

#endif
