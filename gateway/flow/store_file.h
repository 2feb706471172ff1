/* store_file.h -- a new file of ours, from its id to its record.
 *
 *     JOURNAL   what is about to be stored is noted, its quota held
 *     UPSTREAM  the bytes go to the provider; should it fail, another one may
 *               be tried: JOURNAL again, with the same id and hold, or with new
 *               ones when the first may have the file
 *     RECORD    the entry is still ours: the file's record is written; retried
 *               while Redis is away
 *
 * Where the bytes come from, and how their quota is held, is the owner's
 * business. From store_file_begin() on it holds the transaction, so that a
 * client who hangs up leaves nothing half done. A body that was not complete
 * cannot have become a file, and its hold and its entry end. One that was, and
 * was not answered, may: both stay for the sweeper.
 *
 * With store_file_go_all() the bytes go to several providers at once, all of
 * which must store them (flow/fan_out): then no other one is tried.
 *
 * Lives in the transaction's arena; all on the worker's loop.
 */
#ifndef FILEMUX_FLOW_STORE_FILE_H
#define FILEMUX_FLOW_STORE_FILE_H

#include "gateway/codec/fileid.h"
#include "gateway/flow/fan_out.h"
#include "gateway/flow/txn.h"

struct store_file_ops {
    /* Hold the quota under s->hold with s->entry, then call store_file_held().
     * Again for another provider: the hold is there, the entry changes. */
    void (*hold)(void *arg);
    /* Optional. The hold comes to nothing: give back what hold() took, in place
     * of releasing it. */
    void (*release)(void *arg);
    /* The pipe that the provider reads. *up tells what the owner said with
     * store_file_go(), and s->own_boundary; what else is known goes in. */
    struct pipe *(*source)(void *arg, struct prov_upload *up);
    /* The same for store_file_go_all(), in order, and of which provider: every
     * one frames its own form. */
    struct pipe *(*source_at)(void *arg, size_t i,
                              const struct provider_conf *p,
                              struct prov_upload *up);
    /* How many bytes the i-th of several has been given. */
    int64_t (*bytes_at)(void *arg, size_t i);
    /* Optional: fill in what this operation needs besides the source. */
    void (*prepare)(void *arg, struct prov_op *op);
    /* The provider failed. True: the owner called store_file_go() again. *e
     * may be made clearer. */
    bool (*failed)(void *arg, struct gw_error *e);
    /* It is stored: fill what is known of the file itself (bytes, filename,
     * purpose, sha256, content_type), and s->facts.expires_after_s if it was
     * told late. Not GW_OK: it cannot be right. */
    enum gw_err (*stored)(void *arg, struct file_record *r, struct gw_error *e);
    /* It is recorded: answer. */
    void (*recorded)(void *arg, const struct file_record *r);
    /* All is over; the answer was given before. Let go of everything. */
    void (*ended)(void *arg);
};

/* What the owner knows of the file when it is about to be stored. */
struct store_file_facts {
    struct str filename, purpose, content_type;
    int64_t bytes;           /* -1: unknown yet */
    int64_t expires_after_s; /* as asked for; 0: it was not */
};

struct store_file {
    char id[LIMIT_ID_BYTES + 1]; /* "" before the first store_file_go() */
    char own_boundary[33];       /* when the form is framed anew */
    const struct provider_conf *provider;
    struct journal_entry entry;
    struct str hold; /* its name; STR_NULL: none */
    struct store_file_facts facts;
    enum prov_opcode code; /* PROV_CREATE; or another one that makes a file */
    int64_t uploaded; /* bytes that came for it; stored() may say that they are
                         others than the record's */
    /* --- private --- */
    struct txn *t;
    const struct store_file_ops *ops;
    void *arg;
    struct fileid id_parts;
    struct lease_entry *lease; /* of the hold */
    struct fan_out *fan;       /* NULL: it goes to one provider */
    struct file_record record;
    struct loop_timer retry;
    int64_t retry_until_ms;
    struct metric_series *active;
};

/* Zeroed before. direction: for the gauge of transfers under way. */
void store_file_begin(struct store_file *s, struct txn *t,
                      const char *direction, const struct store_file_ops *ops,
                      void *arg);
/* What is held now is to be held under this name. For owners that hold before
 * they know the provider; the file's id replaces it. */
void store_file_name_hold(struct store_file *s, struct str name);
/* Store it at this provider. */
void store_file_go(struct store_file *s, const struct provider_conf *p,
                   const struct store_file_facts *facts);
/* Store it at each of n > 1 providers. Once. */
void store_file_go_all(struct store_file *s,
                       const struct provider_conf *const *all, size_t n,
                       const struct store_file_facts *facts);
/* Answers ops.hold(). */
void store_file_held(struct store_file *s, const struct gw_error *e);
/* Give up and answer; what may have been stored is left to the sweeper. */
void store_file_fail(struct store_file *s, const struct gw_error *e);

#endif
