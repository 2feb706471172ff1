/* routes.h -- which handler answers which request, and who may ask.
 *
 * One table: method, path, scope, operation, handler. Permission is a column;
 * a route without a scope stops the program at start.
 */
#ifndef FILEMUX_API_ROUTES_H
#define FILEMUX_API_ROUTES_H

#include "gateway/flow/txn.h"

enum route_scope {
    SCOPE_NONE = 0, /* not a scope: a forgotten cell */
    SCOPE_OPEN,     /* anybody: health, metrics */
    SCOPE_KEY,      /* a virtual key (or the master key) */
    SCOPE_ADMIN,    /* the master key */
};

/* Where a path may stand. */
enum route_base {
    BASE_API,   /* /v1/…, /…, /<provider>/v1/… */
    BASE_ADMIN, /* as written; on the admin listener, if there is one */
};

struct route {
    const char *method;
    enum route_base base;
    const char *path; /* segments; "{id}" matches any one */
    const char *name; /* for log and metrics */
    enum route_scope scope;
    unsigned op;     /* vkey_ops that the key must allow; 0: none */
    bool needs_file; /* {id} is resolved to the caller's file before */
    void (*handler)(struct txn *t);
};

/* For http_server's `request`: match, authenticate, resolve, handle. */
void api_request(struct services *sv, struct server_req *req);
/* For http_server's `refused`. */
void api_refused(const struct gw_error *err, const char *peer,
                 struct buf *body);
/* Every cell of the table makes sense, or BUG. At start. */
void api_check_routes(void);

#endif
