/* upload_batch.h -- where in an upload its file is checked as a batch.
 *
 *     form ──► in ──► provider                      it streams
 *     form ──► in ──► tee ──► outs ──► providers    so it does to several
 *     form ──► in ──► spool ──► out ──► provider    it is held first
 *     form ──► in ──► spool ──► tee ──► outs ──► providers
 *
 * Each of in and outs is a batch_file, or nothing. Which one it is, is told by
 * what is known when it is put there:
 *
 *                   in, streaming    in, to a tee    in, to     outs
 *     purpose       to a provider    or settled      a spool
 *     batch         rewrites         checks          notes      rewrite
 *     not known     judges           -               notes      -
 *     another       nothing          nothing         nothing    nothing
 *
 * All of this where lines are OpenAI's: where a provider takes such
 * (PROV_OPENAI_BATCH), for `in` at one of a tee's providers at least. Others
 * have formats of their own, which pass as they are: there, `in` notes.
 *
 * Where a file goes may not be known while it is spooled, and even a provider
 * that is may change: fields are still to come, or it fails and the next one of
 * a pool is tried. So the file is looked at for all of them, and judged for
 * each when it is its turn (upload_batch_check). It is settled where the
 * request's head names the providers; then a fault is told at once.
 *
 * What was found counts for nothing if the purpose turns out to be another one.
 *
 * All on the worker's loop.
 */
#ifndef FILEMUX_API_UPLOAD_BATCH_H
#define FILEMUX_API_UPLOAD_BATCH_H

#include "gateway/flow/batch_file.h"

struct upload_batch {
    /* --- private --- */
    struct txn *t;
    struct batch_file *in;                  /* NULL: nothing */
    struct batch_file *outs[LIMIT_FAN_OUT]; /* the same */
    enum batch_file_way in_way;
    struct str targets; /* of a fan-out by models */
};

/* What is behind the form. */
enum upload_batch_to {
    UPLOAD_BATCH_TO_PROVIDER,
    UPLOAD_BATCH_TO_TEE,
    UPLOAD_BATCH_TO_SPOOL,
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

/* What the form's pipe becomes. p: the n providers that it goes to; none where
 * it is spooled and that is not settled. Again for another provider, as long as
 * nothing was read. */
struct pipe *upload_batch_in(struct upload_batch *b, enum upload_batch_to to,
                             const struct provider_conf *const *p,
                             size_t n) MUSTCHECK;
/* What a pipe behind a spool or a tee becomes, the i-th of them, until
 * upload_batch_end_outs(): before that pipe is freed. */
struct pipe *upload_batch_out(struct upload_batch *b, size_t i,
                              struct pipe *pipe, const struct provider_conf *p,
                              bool is_spooled) MUSTCHECK;
void upload_batch_end_outs(struct upload_batch *b);

/* All of the form was read: can upload_batch_check() be asked?
 * (form_ops.is_ready) */
bool upload_batch_is_ready(struct upload_batch *b) MUSTCHECK;
/* All fields are in, and all of the file: can it go there? */
enum gw_err upload_batch_check(struct upload_batch *b,
                               const struct provider_conf *p,
                               struct gw_error *e) MUSTCHECK;

/* Bytes that the provider will have of a spooled file of so many. */
int64_t upload_batch_spooled_bytes(const struct upload_batch *b,
                                   int64_t spooled,
                                   const struct provider_conf *p);
/* What the i-th provider has, now that all of it went through; the first one's
 * is the file's. */
int64_t upload_batch_bytes(const struct upload_batch *b, size_t i);
struct str upload_batch_sha256(struct upload_batch *b);
/* The requests in it and its first model, into the record, if it is a batch. */
void upload_batch_note(struct upload_batch *b, struct file_record *r);

#endif
