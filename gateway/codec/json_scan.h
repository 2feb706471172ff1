/* json_scan.h -- walks over JSON without building anything of it.
 *
 * For texts that are to be looked at, not kept: a value is checked against the
 * grammar (RFC 8259, its strings UTF-8 by RFC 3629, \u escapes without halves
 * of a surrogate pair) and skipped, in one pass, at the speed of the memory's
 * order. Numbers are checked for their form only: any size is a number. Members
 * of one name are not looked for. Pure; borrows the text.
 */
#ifndef FILEMUX_CODEC_JSON_SCAN_H
#define FILEMUX_CODEC_JSON_SCAN_H

#include "gateway/base/buf.h"

struct json_scan {
    const char *p, *end; /* what is still to be read */
    const char *fault;   /* why the last call failed */
    unsigned depth;      /* brackets that are open around it */
    /* Sticky: there was a member whose name ends with file, file_id, file_ids
     * or store_ids, or may. Who looks for ids need not look at texts
     * without. */
    bool has_file_name;
};

/* A string as it is written. */
struct json_scan_str {
    struct str raw; /* between the quotes */
    bool has_escape;
};

/* Spaces, tabs, line ends. */
void json_scan_blanks(struct json_scan *s);
/* A string, whose quote is at s->p. */
bool json_scan_string(struct json_scan *s, struct json_scan_str *out) MUSTCHECK;
/* Any value, blanks around it not included, at most LIMIT_SCAN_DEPTH deep. */
bool json_scan_value(struct json_scan *s) MUSTCHECK;

/* For a walk into a value, member by member:
 *
 *     ok = json_scan_enter(&s, &more);
 *     for (; ok && more; ok = json_scan_next(&s, '}', &more))
 *         if (!json_scan_name(&s, &name) || !json_scan_value(&s))
 *             return false;
 *
 * At a bracket that opens. */
bool json_scan_enter(struct json_scan *s, bool *more) MUSTCHECK;
/* A member's name and its colon; at its value then. */
bool json_scan_name(struct json_scan *s, struct json_scan_str *out) MUSTCHECK;
/* Behind a value: at the next one, or behind the bracket that closes. */
bool json_scan_next(struct json_scan *s, char closing, bool *more) MUSTCHECK;

/* What a string that was scanned means: a view of it, or of `room`, where it is
 * written when it has escapes. */
struct str json_scan_text(const struct json_scan_str *s, struct buf *room);

#endif
