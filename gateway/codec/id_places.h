/* id_places.h -- the table of id_places.def, as id_rewrite.c walks it.
 *
 * A path is matched step by step from a text's root:
 *
 *     .name        the member of that name      .*   any member
 *     []           any element of an array
 *     {type=a|b}   an object whose `type` is one of these; one that has no
 *                  type, but a role and content, is a message
 *
 * and ends at a string. One with a set goes on with each path of the set.
 */
#ifndef FILEMUX_CODEC_ID_PLACES_H
#define FILEMUX_CODEC_ID_PLACES_H

#include "gateway/codec/id_rewrite.h"

struct id_path {
    enum id_kind kind;
    const char *path;          /* NULL: the end of a list */
    const struct id_path *set; /* NULL: none; else kind says nothing */
};

struct id_places {
    enum id_side side;
    const char *method; /* NULL: the end of the table */
    const char *path;
    const struct id_path *paths;
};

extern const struct id_places id_places_all[];

/* What a walk holds at most: the paths of a call, sets and all, times the steps
 * of the longest (a test counts them). */
#define ID_PLACES_CURSORS 1280

#endif
