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
    OPENAI_EXPIRY_FIRST,    /* the same, but never behind the file */
    OPENAI_EXPIRY_DOTS,     /* expires_after.seconds */
};

/* Plain data for one operation; views borrowed. */
struct openai_wire {
    const char *collection;    /* "/files", "/files/": where uploads and lists
                                  go; one file is below it */
    const char *upload_to;     /* path of uploads; NULL: the collection */
    struct str query;          /* for every request, encoded; "" for none */
    enum openai_expiry expiry; /* how expires_after is sent, when it is set */
    bool takes_only_file;      /* the form has no other field */
    const char *after;         /* list's cursor; NULL: "after" */
    bool has_pages;            /* list takes limit and after */
    int64_t page;              /* the most files of a page; 0: as we like */
    const char *token;         /* the cursor of the next page is this member of
                                  a page; NULL: the last element's id */
    struct str list_purpose;   /* list's purpose; "" for none */
    struct str purpose; /* an upload's, in place of the client's; or "" */
    const struct conf_pairs *form; /* further fields of an upload; or NULL */
    struct str provider; /* custom_llm_provider, in form and query; "" */
    struct str envelope; /* member that wraps every answer; "" for none */
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

/* The Content-Type of a form: a client's boundary may hold characters that need
 * quotes in a header. */
struct str openai_form_type(struct arena *a, struct str boundary) MUSTCHECK;

/* The provider's word for a purpose of a client's, by a map of theirs by ours;
 * STR_NULL when it has none. */
struct str openai_their_purpose(const struct conf_pair *map, size_t n,
                                struct str purpose);
/* Whether the provider's word stands for one or more of the client's: then it
 * tells nothing about which of them it was. */
bool openai_is_their_purpose(const struct conf_pair *map, size_t n,
                             struct str purpose);

#endif
