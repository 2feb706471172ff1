/* batch_check.h -- checks a batch file while it streams by.
 *
 * Push: fed in any chunks. A line is one JSON object (RFC 8259, in UTF-8, see
 * json_scan.h) with the members
 *
 *     custom_id   a string that no other line of the file has
 *     method      "POST"
 *     url         an endpoint of a known list, the same one in all lines
 *     body        an object with `model`, a string
 *
 * each of them once, as readers differ about which of two holds. What else is
 * on the line is of no interest. Lines end with LF; a CR before it is white
 * space, as it is in JSON. The last line needs no end. Lines of nothing but
 * white space are passed over, as vLLM does; a byte order mark is a fault, as
 * JSON has none. A file without any line is one, too. The first fault ends it:
 * INVALID_BATCH_LINE, whose message has the line's number (from 1) and the code
 * under which OpenAI tells of it in a failed batch.
 *
 * Somebody is asked about each model, and may rename it: then what comes out
 * is the file with these names replaced and all else byte for byte.
 *
 * Somebody is asked, too, about each id of a file in a body (id_rewrite.h tells
 * where one may stand at that url), and puts the provider's in its place. It
 * may take time to tell; then the check stops at that line until it is resumed.
 * An id that is shorter than what it replaces is followed by blanks, so that
 * the file's length stays. Ids where none can stand are a fault.
 *
 * One that is lenient lets other formats of lines pass (is_lenient), and tells
 * what a strict one would have said.
 *
 * Memory: a line where chunks cut it, and a hash per custom_id (id_set.h, which
 * states how improbable it is that two are taken for one). All pure.
 */
#ifndef FILEMUX_CODEC_BATCH_CHECK_H
#define FILEMUX_CODEC_BATCH_CHECK_H

#include "gateway/base/buf.h"
#include "gateway/base/err.h"
#include "gateway/codec/id_rewrite.h"
#include "gateway/codec/id_set.h"

/* How often lines named a model. */
struct batch_use {
    int64_t lines, first_line;
    int64_t bytes; /* of the name as it is written, quotes included, summed */
};

enum batch_id {
    BATCH_ID_KNOWN,
    BATCH_ID_NOT_YET, /* ask again after batch_check_resume() */
    BATCH_ID_REFUSED, /* *e says why */
};

struct batch_check_ops {
    /* What about this model? GW_OK, with its new name in *renamed if it has
     * one (copied; else leave it); or an error, whose message and code
     * become the line's. *use is counted up for every line that has the model.
     * The answer holds for lines that follow with the same one. */
    enum gw_err (*model)(void *arg, struct str name, struct str *renamed,
                         struct batch_use **use, struct gw_error *e);
    /* What about this file? It may be replaced by *with (copied; STR_NULL: it
     * stays), should that be longer than `room` bytes as a JSON string, the
     * file grows. NULL: nobody asks for ids. */
    enum batch_id (*id)(void *arg, struct str id, size_t room, struct str *with,
                        struct gw_error *e);
    /* The next bytes of the renamed file; a view for the time of the call.
     * NULL: nothing is renamed, the file is what was fed. */
    void (*out)(void *arg, struct str bytes);
};

struct batch_check {
    int64_t requests; /* so far */
    /* --- private --- */
    const struct batch_check_ops *ops;
    void *arg;
    int64_t max_lines;
    size_t max_line_bytes;
    int64_t line;
    int endpoint; /* in the list; -1: no line yet */
    struct id_set ids;
    struct buf held;           /* a line of which the end is to come */
    bool has_begun;            /* that line: with more than white space */
    struct buf room;           /* for strings without their escapes */
    struct buf model, renamed; /* the last one, both as written */
    struct batch_use *use;     /* of it; NULL: not counted */
    const char *begin;         /* not yet handed out */
    bool is_lenient; /* method, url and model may be missing, or others; set it
                        after batch_check_init() */
    struct gw_error strict; /* is_lenient: the first fault of another one, */
    int64_t strict_line;    /* and where it is */
    struct str body;        /* of the line that is being read */
    bool has_files;         /* there may be ids of files in it */
    struct arena *arena;    /* NULL, or: of what was found in it */
    struct id_found found;
    bool is_waiting;
    size_t whole;    /* held is a line of so many bytes, to be checked */
    struct str rest; /* of the chunk, behind that */
    bool is_dead;    /* there was a fault, or it was the end */
};

/* key: random bytes. max_line_bytes: without the line's end. */
void batch_check_init(struct batch_check *c, int64_t max_lines,
                      int64_t max_line_bytes, const uint64_t key[2],
                      const struct batch_check_ops *ops, void *arg);
void batch_check_release(struct batch_check *c);

/* After a fault nothing more is fed. */
enum gw_err batch_check_feed(struct batch_check *c, const char *p, size_t n,
                             struct gw_error *e) MUSTCHECK;
/* An id is not known yet: the chunk must stay where it is, and nothing is fed
 * before batch_check_resume(), which may have to wait again. */
bool batch_check_is_waiting(const struct batch_check *c);
enum gw_err batch_check_resume(struct batch_check *c,
                               struct gw_error *e) MUSTCHECK;
/* Before the end: are the ids of a last line without an end known? If not they
 * are asked for. */
bool batch_check_is_ready(struct batch_check *c) MUSTCHECK;
/* The file has ended: its last line may not have. Once, when it is ready. */
enum gw_err batch_check_finish(struct batch_check *c,
                               struct gw_error *e) MUSTCHECK;

/* A name as a JSON string, appended: what a renamed model is replaced with. */
void batch_check_quote(struct buf *out, struct str name);

#endif
