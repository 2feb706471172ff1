/* prov_util.h -- what several providers share: URLs, headers, error bodies. */
#ifndef FILEMUX_PROVIDERS_PROV_UTIL_H
#define FILEMUX_PROVIDERS_PROV_UTIL_H

#include "gateway/codec/json.h"
#include "providers/provider.h"

/* Start x->http: method, base URL joined with the printf-ed path (which starts
 * with a slash), the configured extra headers. Ids in the path must be
 * url_encoded(). */
void prov_http(struct prov_op *op, struct prov_exchange *x, const char *method,
               const char *path_fmt, ...) PRINTFLIKE(4, 5);
/* Add a field, unless the configured headers have set it. */
void prov_field(struct prov_op *op, struct prov_exchange *x, const char *name,
                struct str value);

/* The described request is for the content: into the sink, without a coding,
 * and the range that is asked for. */
void prov_download(struct prov_op *op, struct prov_exchange *x);

/* For the checks of configured headers and of what goes into them: BUG()s of
 * http_fields_add() must not be an operator's to cause. */
bool prov_is_field_name(struct str name);
bool prov_is_field_value(struct str value);
/* The configured value of the key `name` goes into a header field:
 * INVALID_VALUE unless it can. */
enum gw_err prov_check_value(const char *name, const char *value,
                             struct gw_error *e) MUSTCHECK;

/* At most max bytes of it, no character of UTF-8 cut in two. */
struct str prov_cut(struct str s, size_t max);

/* Turn a response outside 2xx into an error, by the table of
 * providers/README.md: the provider's 400, 402, 404, 409, 413, 415, 416, 422
 * and 429 pass with its message, 401 and 403 are UPSTREAM_AUTH, the rest is
 * 502 to 504. Retry-After is passed on wherever it was sent. The message is
 * found in any of the shapes in use and cleaned as prov_said.h tells. */
enum gw_err prov_http_error(const struct prov_op *op,
                            const struct http_res *res, struct gw_error *e);

/* Seconds that the response asks to wait, from retry-after-ms or Retry-After
 * (seconds or a date, seen from now_s); 0 for none, at most a day. */
int prov_retry_after(struct arena *a, const struct http_fields *fields,
                     int64_t now_s);

/* A date as HTTP writes it, in seconds; 0 when it is none. */
int64_t prov_http_date(struct arena *a, struct str text);

/* Parse the response's body as JSON, or UPSTREAM_BAD_RESPONSE. */
struct json *prov_json(struct prov_op *op, const struct http_res *res,
                       struct gw_error *e) MUSTCHECK;

/* The file's media type as the client told it, else application/octet-stream.
 * Clients that guess a type by the name do not know .jsonl, which batches need
 * to be called by its own. */
struct str prov_media_type(const struct prov_upload *u);

/* UPSTREAM_BAD_RESPONSE: "sent an answer without <what>". */
enum gw_err prov_nonsense(const struct prov_op *op, const char *what,
                          struct gw_error *e);

/* A file object in OpenAI's form; what it says of its status as a message is
 * cleaned (prov_said.h), for it may name the file. */
enum gw_err prov_read_file(const struct prov_op *op, const struct json *v,
                           struct file_obj *out, struct gw_error *e) MUSTCHECK;

/* A page as Google's services and their like send it: an object with the
 * array `member`, which is left out when it is empty, and "nextPageToken". What
 * read() does not take is passed over. A token that comes back ends the list:
 * it would for ever. */
enum gw_err prov_read_page(struct prov_op *op, const struct http_res *res,
                           const char *member,
                           bool (*read)(struct prov_op *op,
                                        const struct json *v,
                                        struct file_obj *out),
                           struct gw_error *e) MUSTCHECK;

#endif
