/* batch_file.h -- an upload's file on its way through the check of batches.
 *
 * A stage between two pipes: it reads the source as it is read itself, looks
 * at the file's bytes (codec/batch_check.h) and hands them on in
 * batch_file_pipe(). A fault fails that pipe and cancels the source; so the
 * upload ends as with any other broken source, never complete. Where nothing
 * is renamed the bytes stay where the reader wanted them.
 *
 * What a stage does depends on what stands behind it, and on what is known
 * (enum batch_file_way). Two of the ways let the file's bytes pass whatever
 * they are: what there was is told by batch_file_verdict(), once it is known
 * whether the file is a batch, and of which format.
 *
 * A model must be one that the key may use. One in the `models` table must be
 * at the provider that the file goes to; it is renamed to what that one calls
 * it. In a fan-out that was asked for by models, a line that names one of them
 * names, at each provider, the one that is there. This happens as the bytes
 * pass. Of a file whose provider is not known it is noted which models there
 * are: batch_file_verdict() and batch_file_growth() tell what they mean for
 * one, and the renaming is left to another batch_file behind it.
 *
 * A file that a line names must be the caller's and at the provider that the
 * batch file goes to: its id there takes the place of ours, and blanks keep the
 * length (codec/batch_check.h). It is looked up as the line comes by; meanwhile
 * nothing is read from the source.
 *
 * What is recorded of a renamed file is what the provider has, for that is what
 * comes down, in ranges, too: batch_file_bytes(), batch_file_sha256().
 *
 * All on the worker's loop.
 */
#ifndef FILEMUX_FLOW_BATCH_FILE_H
#define FILEMUX_FLOW_BATCH_FILE_H

#include "gateway/flow/txn.h"

struct batch_file;

enum batch_file_way {
    BATCH_FILE_NOTES,    /* all passes. Lines may be of any format; files that
                            they name are left to a stage behind this one */
    BATCH_FILE_JUDGES,   /* all passes, to its end: lines cannot name files */
    BATCH_FILE_CHECKS,   /* the first fault ends it; files as with NOTES */
    BATCH_FILE_REWRITES, /* so does it; models and files become those of the
                            provider */
};

struct batch_file_options {
    enum batch_file_way way;
    const char *provider; /* NULL: not known */
    struct str targets;   /* of a fan-out by models: their names, separated by
                             commas. Each stands for the one that is there */
    bool may_grow;        /* by ids: nobody was told the length */
    struct form *form;    /* whose pipe the source is: what follows the file in
                             it passes as it is. NULL: there is nothing else */
    bool is_hashed; /* what comes out; only of use where it is rewritten */
};

/* Becomes the source's reader. Borrows the transaction's settings and key. */
struct batch_file *batch_file_new(struct txn *t, struct pipe *source,
                                  const struct batch_file_options *o) MUSTCHECK;
/* Lets go of the source, frees the pipe. NULL allowed. */
void batch_file_free(struct batch_file *b);
/* What comes out. */
struct pipe *batch_file_pipe(struct batch_file *b);

/* The file's bytes have all been read: is all known that a verdict needs? If
 * not, its reader is told to read when it is. */
bool batch_file_is_ready(struct batch_file *b) MUSTCHECK;
/* Does it name files? */
bool batch_file_has_ids(const struct batch_file *b);

/* The file has been read, and it is ready: INVALID_BATCH_LINE unless it was a
 * good batch of OpenAI's lines, whose models in the table are at that provider.
 * From form_ops.on_fields() at the earliest. */
enum gw_err batch_file_verdict(struct batch_file *b, const char *provider,
                               struct str targets,
                               struct gw_error *e) MUSTCHECK;
/* How much longer (or shorter) it is there. */
int64_t batch_file_growth(const struct batch_file *b, const char *provider,
                          struct str targets);

/* The requests in a good one, of any format with NOTES; -1 while it is none. */
int64_t batch_file_requests(struct batch_file *b);
/* The model of the first line that has one, as the client calls it; STR_NULL
 * while there is none. In the transaction's arena. */
struct str batch_file_model(const struct batch_file *b);

/* Of what came out, without what followed the file. */
int64_t batch_file_bytes(const struct batch_file *b);
/* In the transaction's arena; STR_NULL unless is_hashed. Once. */
struct str batch_file_sha256(struct batch_file *b);

#endif
