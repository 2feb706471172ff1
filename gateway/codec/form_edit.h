/* form_edit.h -- a form on its way through: some of its fields are read, and
 * written anew.
 *
 * Up to the head of its first file the form is kept as it came, bounded, with
 * the places of its fields in it. Whoever knows fills in what shall stand
 * there, and form_edit_write() gives what was kept with nothing else changed.
 * What follows is watched while it streams: there a field that matters can only
 * be agreed to or refused.
 *
 *     form_edit_feed() ... until has_head
 *     ... fill v[i].with, v[i].is_left_out ...
 *     form_edit_write(), form_edit_go(), form_edit_feed() ...
 *     form_edit_finish()
 *
 * A part with a file name is a file, all others are fields. Those that matter
 * have a `matters`; one that is there twice is refused, as readers differ about
 * which of two holds.
 */
#ifndef FILEMUX_CODEC_FORM_EDIT_H
#define FILEMUX_CODEC_FORM_EDIT_H

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/codec/multipart.h"

enum form_matter {
    FORM_OTHER,
    FORM_NAMES_MODEL,    /* model */
    FORM_NAMES_PROVIDER, /* provider, custom_llm_provider: not for providers */
    FORM_NAMES_FILE, /* …file_id, …[file_id], …[file_ids][]: a file's id */
    FORM_STREAMS,    /* stream */
};

struct form_edit_field {
    enum form_matter matter;
    struct str name, value; /* value: once has_head */
    struct str with;        /* STR_NULL: it stays as it is */
    bool is_left_out;
    size_t at, n; /* of the value in what was kept */
};

/* A field behind the file's begin that matters. Not GW_OK: the form fails. */
typedef enum gw_err form_edit_late(void *arg, const struct form_edit_field *f,
                                   struct gw_error *e);

struct form_edit {
    bool has_head; /* a file begins, or the form has ended without one */
    bool is_whole; /* the latter: all of it is kept */
    struct form_edit_field v[LIMIT_PARTS]; /* before the file */
    size_t n;
    /* --- private --- */
    struct arena *arena;
    struct multipart mp;
    struct buf kept;
    size_t fed; /* of what is kept, by the parser */
    form_edit_late *late;
    void *arg;
    struct form_edit_field *current; /* NULL: not looked at */
    struct form_edit_field behind;
    struct buf value; /* of `behind` */
    struct gw_error fault;
    bool goes_on;
};

/* What a field of that name is about. */
enum form_matter form_edit_matter(struct str name);

/* boundary (NUL-ended) must live as long. */
void form_edit_init(struct form_edit *f, struct arena *a, const char *boundary,
                    form_edit_late *late, void *arg);
void form_edit_release(struct form_edit *f);

/* n bytes of the form; before has_head they are kept. Names of what is wrong
 * are in e->param. */
enum gw_err form_edit_feed(struct form_edit *f, const char *p, size_t n,
                           struct gw_error *e) MUSTCHECK;
/* The body has ended: before has_head it is set by this. */
enum gw_err form_edit_finish(struct form_edit *f, struct gw_error *e) MUSTCHECK;

/* What was kept, with its fields as they shall be, into out. */
void form_edit_write(const struct form_edit *f, struct buf *out);
/* How much was kept. */
size_t form_edit_kept(const struct form_edit *f);
/* Let go of it, and look at what stood in it behind the file's head. */
enum gw_err form_edit_go(struct form_edit *f, struct gw_error *e) MUSTCHECK;

#endif
