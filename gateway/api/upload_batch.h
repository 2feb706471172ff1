/* upload_batch.h -- where in an upload its file is checked as a batch.
 *
 *   form ──► in ──► provider                 it streams: checked and renamed
 *   form ──► in ──► spool ──► out ──► provider    checked, then renamed
 *   form ──► in ──► (spool ──►) tee ──► outs ──► providers    a fan-out
 *
 * Only where a provider takes OpenAI's lines (PROV_OPENAI_BATCH): others have
 * formats of their own, which pass as they are; what can be told of them all
 * the same is noted. A file is looked at when its
 * purpose is "batch", and also while that is not
 * known: what was found then counts for nothing if the purpose turns out to be
 * another one. A file of unknown purpose streams at once, unless the provider
 * has models that would have to be renamed: then it is spooled.
 *
 * All on the worker's loop.
 */
#ifndef FILEMUX_API_UPLOAD_BATCH_H
#define FILEMUX_API_UPLOAD_BATCH_H

#include "gateway/flow/batch_file.h"

struct upload_batch {
    /* --- private --- */
    struct txn *t;
    struct batch_file *in;                  /* NULL: none */
    struct batch_file *outs[LIMIT_FAN_OUT]; /* the same */
    bool in_rewrites;
    struct str targets; /* of a fan-out by models */
    bool is_lenient;    /* what in finds is noted, and nothing refused */
};

/* The form's fields before the file are known. */
void upload_batch_begin(struct upload_batch *b, struct txn *t);
/* It goes to several providers, by the names of models or by their own (then
 * STR_NULL). */
void upload_batch_set_targets(struct upload_batch *b, struct str models);
/* After the spool and the upstream, before the pipes that were handed in. */
void upload_batch_release(struct upload_batch *b);

/* Must the file be held before it can go to the provider? */
bool upload_batch_needs_spool(const struct upload_batch *b,
                              const struct provider_conf *p);
/* Can it be renamed on its way there, so that its length is not known? */
bool upload_batch_renames(const struct upload_batch *b,
                          const struct provider_conf *p);
/* What the form's pipe becomes, for the provider or for a spool (then p is NULL
 * where it is not known). Again for another provider, as long as nothing was
 * read. */
struct pipe *upload_batch_from_form(struct upload_batch *b,
                                    const struct provider_conf *p,
                                    bool is_spooled) MUSTCHECK;
/* What a spool's pipe becomes, until the replay ends: before that pipe is
 * freed. */
struct pipe *upload_batch_from_spool(struct upload_batch *b,
                                     struct pipe *spooled,
                                     const struct provider_conf *p) MUSTCHECK;

/* What the i-th pipe of a tee becomes: its source is what
 * upload_batch_from_form() has made for a spool, or a spool's. As above, before
 * the tee is freed. */
struct pipe *upload_batch_from_tee(struct upload_batch *b, size_t i,
                                   struct pipe *pipe,
                                   const struct provider_conf *p,
                                   bool is_spooled) MUSTCHECK;

void upload_batch_end_replay(struct upload_batch *b);

/* All of the form was read: can there be a verdict? (form_ops.is_ready) */
bool upload_batch_is_ready(struct upload_batch *b) MUSTCHECK;
/* All fields are in, and all of the file. */
enum gw_err upload_batch_verdict(struct upload_batch *b,
                                 struct gw_error *e) MUSTCHECK;
/* A spooled file: can it go there? */
enum gw_err upload_batch_check_provider(const struct upload_batch *b,
                                        const struct provider_conf *p,
                                        struct gw_error *e) MUSTCHECK;

/* Bytes that the provider will have of a spooled file of so many. */
int64_t upload_batch_spooled_bytes(const struct upload_batch *b,
                                   int64_t spooled,
                                   const struct provider_conf *p);
/* As it is there, now that all of it went through. */
int64_t upload_batch_bytes(const struct upload_batch *b);
/* The same of what the i-th of several has. */
int64_t upload_batch_bytes_at(const struct upload_batch *b, size_t i);
struct str upload_batch_sha256(struct upload_batch *b);
/* The requests in it and its first model, into the record, if it is a batch. */
void upload_batch_note(struct upload_batch *b, struct file_record *r);

#endif
