/* vrecord.h -- what the records of keys and of teams have in common.
 *
 * For vkey*.c and vteam.c alone. A record is a JSON object. What may be in it
 * is one table: a client's request is checked against it, the record is
 * written in its order, and shown in it.
 */
#ifndef FILEMUX_ROUTING_VRECORD_H
#define FILEMUX_ROUTING_VRECORD_H

#include "routing/vkey.h"

/* --- reading a stored record: INTERNAL if it is broken --- */

enum gw_err vrecord_str(const struct json *record, const char *name,
                        struct str *out, struct gw_error *e) MUSTCHECK;
/* 0 when absent; never negative. */
enum gw_err vrecord_int(const struct json *record, const char *name,
                        int64_t *out, struct gw_error *e) MUSTCHECK;
enum gw_err vrecord_bool(const struct json *record, const char *name, bool *out,
                         struct gw_error *e) MUSTCHECK;
enum gw_err vrecord_list(struct arena *a, const struct json *record,
                         const char *name, struct vkey_strs *out,
                         struct gw_error *e) MUSTCHECK;
/* A set of vkey_ops. */
enum gw_err vrecord_operations(struct arena *a, const struct json *record,
                               unsigned *out, struct gw_error *e) MUSTCHECK;
enum gw_err vrecord_limits(const struct json *record, struct vkey_limits *out,
                           struct gw_error *e) MUSTCHECK;

/* --- writing and showing one --- */

enum vrecord_of { VRECORD_KEY = 1, VRECORD_TEAM = 2 };

/* INVALID_VALUE with param unless every member of the request is known and has
 * a fitting value. Those in `ignored` are LiteLLM's and mean nothing here. */
enum gw_err vrecord_check(struct arena *a, enum vrecord_of of,
                          const struct json *request,
                          const char *const *ignored, size_t n,
                          struct gw_error *e) MUSTCHECK;
/* For what becomes a part of Redis keys: a short string without spaces and
 * braces, or INVALID_VALUE. */
enum gw_err vrecord_check_id(const char *name, const struct json *v,
                             struct gw_error *e) MUSTCHECK;
/* The table's members: the request's, or the old record's where the request
 * does not mention them; none where it says null, "" or []. */
void vrecord_put(struct json_out *j, enum vrecord_of of,
                 const struct json *request, const struct json *old);
/* created_at (the old one's), updated_at; and what a later version wrote is
 * kept by an earlier one. `written` are the members that were put by hand. */
void vrecord_put_rest(struct arena *a, struct json_out *j, enum vrecord_of of,
                      const struct json *old, const char *const *written,
                      size_t n, int64_t now_s);
/* Every member of the table, so that a script need not ask whether; then the
 * times as text, and LiteLLM's that are always the same here. */
void vrecord_put_info(struct json_out *j, enum vrecord_of of,
                      const struct json *record);
void vrecord_put_info_time(struct json_out *j, const char *name,
                           const struct json *record);

/* Whether the value clears a member: null, or "" as LiteLLM's page says it. */
bool vrecord_is_cleared(const struct json *v);
bool vrecord_has(const struct json *object, const char *name);
int64_t vrecord_number(const struct json *object, const char *name,
                       int64_t dflt);

#endif
