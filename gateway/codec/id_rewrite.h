/* id_rewrite.h -- finds the ids in a JSON text of the OpenAI API, and writes
 * the text with others in their place.
 *
 * Where an id may stand is a table, id_places.def: for each call of the API the
 * paths of its request, its answer and its events. At these places and nowhere
 * else is an id taken for one: text of a user that looks like an id stays what
 * it is. All else of the text is handed on byte for byte.
 *
 *     places = id_places_find(ID_IN_REQUEST, "POST", "chat/completions");
 *     id_find(arena, places, text, &found, &e);
 *     ... whoever knows fills found.v[i].with ...
 *     id_write(&found, text, &out);
 *
 * A path may ask for the type of an object on the way ({type=input_file}); the
 * member may stand anywhere in it, and if it is there twice each of them
 * counts, as readers differ about which of two holds. So does an id that is
 * there twice.
 *
 * In requests a string under a name that stands for a file elsewhere (file_id,
 * file_ids, input_file_id, training_file, validation_file; not below metadata,
 * attributes, arguments, parameters, schema, filters; not cfile_...) which is
 * at no place of the table is told of, too (ID_STRANGE): nobody shall reach
 * another one's file at a provider by a place that we do not know. So is one
 * under vector_store_ids, as what it is (ID_OBJECT). Values that
 * begin with cfile_ are files of a container, not of the Files API: they are
 * told of nowhere.
 *
 * A string that is at two places is told of once. Pure; borrows the text.
 * Bounds: LIMIT_SCAN_DEPTH, LIMIT_IDS_PER_TEXT.
 */
#ifndef FILEMUX_CODEC_ID_REWRITE_H
#define FILEMUX_CODEC_ID_REWRITE_H

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/base/err.h"

enum id_kind {
    ID_FILE,        /* of a file */
    ID_JOB,         /* of a fine-tuning job */
    ID_MODEL,       /* a model's name, which may be an alias */
    ID_MODEL_INNER, /* a model's name beside that of the call: of a tool, or of
                       what judges; no call is routed by it */
    ID_OBJECT,      /* of something else that a provider keeps for its maker: a
                       response, a vector store, a conversation, ...; never
                       replaced, but in a request it must be the caller's */
    ID_SOURCE,      /* no id: of which type a source of data is; of requests */
    ID_SAID, /* a message of the provider's, in which ids may stand; of answers
                and events */
    ID_STRANGE,
};

enum id_side { ID_IN_REQUEST, ID_IN_ANSWER, ID_IN_EVENT };

struct id_site {
    enum id_kind kind;
    struct str value; /* what the string means, without escapes; a view of the
                         text if it has none */
    size_t at, n;     /* where it stands in the text, quotes included */
    struct str path;  /* "messages[0].content[1].file.file_id", for messages;
                         LIMIT_ID_PATH_BYTES at most, cut at its end */
    struct str with;  /* STR_NULL: it stays as it is */
};

struct id_found {
    struct id_site *v; /* in the order of the text */
    size_t n;
    /* The root's member `stream` is true (of a request). */
    bool is_streamed;
    /* Of an answer: the root's "id", "object" and "status"; "": it has none.
     * Of an event that has a "response": those of that. */
    struct str id, object, status;
};

/* The places of a call; NULL: it has none, its texts need not be looked at.
 * path is a route's pattern below the API's base: "responses/{id}/cancel";
 * what is between the braces is of no matter.
 * Events are told apart by their own `type` (Responses) or by the name behind
 * "event:" (Assistants): one set for all of a call. Constant, any thread. */
struct id_places;
const struct id_places *id_places_find(enum id_side side, const char *method,
                                       const char *path);

/* INVALID_VALUE (request) or UPSTREAM_BAD_RESPONSE (answer, event) unless it is
 * JSON, an object, within the bounds. All is the arena's. */
enum gw_err id_find(struct arena *a, const struct id_places *p, struct str text,
                    struct id_found *out, struct gw_error *e) MUSTCHECK;
/* As many bytes as all `with` can add to the text. */
size_t id_growth(const struct id_found *f);
/* Appends the text with every `with` as a JSON string where its value was. */
void id_write(const struct id_found *f, struct str text, struct buf *out);

#endif
