/* json.h -- bounded parsing, typed getters and building of JSON.
 *
 * A thin front of jansson, the only file that knows it. Values are borrowed
 * from the document that the arena owns. Getters on a NULL value answer as for
 * an absent member, so chains need no checks.
 */
#ifndef FILEMUX_CODEC_JSON_H
#define FILEMUX_CODEC_JSON_H

#include "gateway/base/arena.h"
#include "gateway/base/buf.h"
#include "gateway/base/err.h"

struct json; /* a value; opaque */

/* Parse a whole text; freed with the arena. NULL and *e (INVALID_JSON with
 * line and column) unless it is one JSON value, at most LIMIT_JSON_DEPTH deep,
 * without duplicate members and NUL in strings, and within
 * LIMIT_JSON_TEXT_BYTES and LIMIT_JSON_VALUES. */
struct json *json_parse(struct arena *a, struct str text,
                        struct gw_error *e) MUSTCHECK;

bool json_is_object(const struct json *v);
bool json_is_array(const struct json *v);
bool json_is_string(const struct json *v);
bool json_is_number(const struct json *v);
bool json_is_null(const struct json *v); /* null or absent */
bool json_is_bool(const struct json *v);

/* A member of an object (by C string), NULL when absent. */
struct json *json_get(const struct json *object, const char *name);
struct json *json_at(const struct json *array, size_t i);
/* Elements of an array or members of an object; else 0. */
size_t json_count(const struct json *v);
/* The i-th member, in the order of the text: NULL past the end. Counts from
 * the first one each time: for small objects. */
struct json *json_member(const struct json *object, size_t i, struct str *name);
/* All members in that order: *at is NULL before the first call; NULL at the
 * end. */
struct json *json_next(const struct json *object, void **at, struct str *name);

/* The string, or STR_NULL for anything else. */
struct str json_str(const struct json *v);
/* Number, or a string of digits (kluster.ai writes times so); false
 * otherwise. Fractions are cut. */
bool json_int(const struct json *v, int64_t *out) MUSTCHECK;
bool json_bool(const struct json *v, bool dflt);

/* The value as compact text, appended; NULL becomes null. */
void json_dump(struct buf *out, const struct json *v);

/* Building: text appended to a buffer, commas looked after.
 *
 *     struct json_out j;
 *     json_out_init(&j, &buf);
 *     json_open(&j, NULL, '{');
 *     json_put_str(&j, "id", id);
 *     json_close(&j);
 *
 * name is NULL inside arrays and at the top. Bytes that are not UTF-8 come out
 * as U+FFFD. */
struct json_out {
    struct buf *buf;
    unsigned depth;
    bool is_first[LIMIT_JSON_DEPTH];
    char closer[LIMIT_JSON_DEPTH];
};

void json_out_init(struct json_out *j, struct buf *buf);
void json_open(struct json_out *j, const char *name, char brace); /* { or [ */
void json_close(struct json_out *j);
void json_put_str(struct json_out *j, const char *name, struct str s);
/* STR_NULL becomes null. json_put_str does so too; this reads better. */
void json_put_cstr(struct json_out *j, const char *name, const char *s);
void json_put_int(struct json_out *j, const char *name, int64_t v);
void json_put_bool(struct json_out *j, const char *name, bool v);
void json_put_null(struct json_out *j, const char *name);
/* A value as parsed; NULL becomes null. */
void json_put(struct json_out *j, const char *name, const struct json *v);

#endif
