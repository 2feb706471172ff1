/* kept.h -- the kinds of things that providers keep for callers beside files,
 * and what is the same for all who look at them.
 */
#ifndef FILEMUX_FLOW_KEPT_H
#define FILEMUX_FLOW_KEPT_H

#include "gateway/flow/found_file.h"
#include "gateway/store/kept_store.h"

/* A row of a constant table. */
struct kept_kind {
    const char *path; /* of the list, and its name in the store */
    const char *what; /* "vector store", for messages */
    bool is_renamed;  /* its id is ours: fine-tuning jobs */
    bool is_listed;   /* there is a call that lists them */
    bool has_ends;    /* the list tells first_id and last_id */
    /* A member of the query that picks by what the objects say: "name"; "a[]"
     * is each a[…] of an object `a`. NULL: there is none. */
    const char *filter;
};

/* The i-th; NULL: there is none. */
const struct kept_kind *kept_kind_at(size_t i);
/* By its path; NULL: unknown. */
const struct kept_kind *kept_kind(struct str path);

/* The record of an object that is about to be made: until it has a name the
 * provider gave it, its id is a new one of ours. Views are borrowed. */
void kept_new(struct arena *a, const struct kept_kind *kind,
              const struct provider_conf *p, struct str owner,
              struct str key_hash, struct kept_record *out);
/* The provider calls it so; unless it is renamed, that is its id.
 * UPSTREAM_BAD_RESPONSE when it cannot be one. */
enum gw_err kept_name(struct kept_record *k, struct str upstream_id,
                      const struct provider_conf *p,
                      struct gw_error *e) MUSTCHECK;
/* The object was seen so. True: that is news for its record. */
bool kept_see(struct kept_record *k, struct str text);
/* It will not change any more: nobody need look. */
bool kept_is_final(struct arena *a, const struct kept_record *k);
/* Prepares found_file for a file that the object names. */
void kept_found(struct found_file *f, const struct kept_record *k,
                const struct provider_conf *p, const struct quota_who *who,
                struct str theirs);

#endif
