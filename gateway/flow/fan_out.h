/* fan_out.h -- one file to several providers at once: all of them, or none.
 *
 *     entries ─► every provider reads its own pipe of the same file ─► done
 *        └── one fails: the others are broken off; where it is stored already
 *            it is deleted (flow/removal)
 *
 * Each provider has an entry of its own in the journal, under an id of its own
 * that no client sees; the first one's is the file's, with the quota. They name
 * the file that they are parts of: its record tells the sweeper what became of
 * it. An entry ends when nothing can be left at its provider, or the record is
 * written. So whoever dies, nothing stays behind.
 *
 * A part of flow/store_file; lives in its transaction's arena.
 */
#ifndef FILEMUX_FLOW_FAN_OUT_H
#define FILEMUX_FLOW_FAN_OUT_H

#include "gateway/codec/fileid.h"
#include "gateway/flow/removal.h"
#include "gateway/flow/upstream.h"

struct fan_out;

struct fan_out_ops {
    /* The pipe that the i-th provider reads; what it must know goes into the
     * operation. */
    struct pipe *(*source)(void *arg, size_t i, struct prov_op *op);
    /* All have stored it; or one has failed, which e names. Once: then
     * fan_out_recorded() or fan_out_undo(). */
    void (*done)(void *arg, const struct gw_error *e);
};

struct fan_out_branch {
    struct journal_entry entry; /* its id is this one's */
    const struct provider_conf *provider;
    struct upstream *up; /* NULL: not started */
    struct fileid id_parts;
    /* --- private --- */
    struct fan_out *fan;
    char id[LIMIT_ID_BYTES + 1];
    struct lease_entry *lease;
    struct redis_call *noting;
    struct pipe *source;
    bool is_stored;
};

struct fan_out {
    struct fan_out_branch v[LIMIT_FAN_OUT];
    size_t n;
    /* --- private --- */
    struct services *sv;
    struct settings *conf;
    struct arena *arena;
    const struct fan_out_ops *ops;
    void *arg;
    size_t waits; /* for entries, then for providers */
    bool has_begun;
};

/* Zeroed before. All is borrowed. */
void fan_out_open(struct fan_out *f, struct services *sv, struct settings *conf,
                  struct arena *a, const struct fan_out_ops *ops, void *arg);
/* Another provider, with an id made for it; id "" but for the first's. The
 * caller fills the rest of its entry. */
struct fan_out_branch *
fan_out_add(struct fan_out *f, const struct provider_conf *p, struct str id);
/* The first's entry is written: write the others', then start. */
void fan_out_begin(struct fan_out *f);
/* Nothing came of it, and done() was not called or told so. False: the first's
 * entry and what it holds must stay, or are taken care of. */
bool fan_out_undo(struct fan_out *f);
/* The file's record is written: the entries but the first's end. */
void fan_out_recorded(struct fan_out *f);
/* The record cannot be written: all is left to the sweeper. */
void fan_out_leave(struct fan_out *f);

#endif
