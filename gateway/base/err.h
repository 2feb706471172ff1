/* err.h -- failures as values: what happened, and how a client is told.
 *
 * A function that can fail returns enum gw_err and takes a struct gw_error *
 * as its last argument, which it fills. The first failure wins: err_set() on
 * a filled one changes nothing, so clean-up code cannot hide the cause. What
 * each failure means in HTTP is one line in errors.def and nowhere else.
 */
#ifndef FILEMUX_BASE_ERR_H
#define FILEMUX_BASE_ERR_H

#include "gateway/base/limits.h"
#include "gateway/base/str.h"

enum gw_err {
    GW_OK = 0,
#define GW_ERR(name, http, type, code, retry, text) GW_##name,
#include "gateway/base/errors.def"
#undef GW_ERR
    GW_ERR_COUNT
};

struct gw_error {
    enum gw_err err;
    int retry_after_s; /* for Retry-After; 0 is none */
    char param[64];    /* the parameter at fault; "" is none */
    char code[64];     /* replaces the table's code when not "" (a provider's
                          own, passed through) */
    char message[LIMIT_ERROR_TEXT];
};

struct err_info {
    const char *name; /* "FILE_NOT_FOUND" */
    int http;
    const char *type;
    const char *code;
    bool is_retryable; /* at another provider */
    const char *text;
};

/* The table's line. err is not GW_OK. Never NULL. */
const struct err_info *err_info(enum gw_err err);

/* Fill *e (unless it is filled) and return what it then holds. The message is
 * lower case, without a full stop, the failure first, the subject quoted. No
 * secret, upstream id or provider URL may be in it. e may be NULL. */
enum gw_err err_set(struct gw_error *e, enum gw_err err, const char *fmt, ...)
    PRINTFLIKE(3, 4);
/* The same, naming the parameter at fault. */
enum gw_err err_set_param(struct gw_error *e, enum gw_err err,
                          const char *param, const char *fmt, ...)
    PRINTFLIKE(4, 5);
/* As err_set with the table's text. */
enum gw_err err_plain(struct gw_error *e, enum gw_err err);
/* Forget, for a second attempt. */
void err_clear(struct gw_error *e);

#endif
