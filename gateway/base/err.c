#include "gateway/base/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "gateway/base/bug.h"

static const struct err_info table[GW_ERR_COUNT] = {
#define GW_ERR(name, http, type, code, retry, text)                            \
    [GW_##name] = {#name, http, type, code, retry, text},
#include "gateway/base/errors.def"
#undef GW_ERR
};

const struct err_info *err_info(enum gw_err err)
{
    ASSERT(err > GW_OK && err < GW_ERR_COUNT);
    return &table[err];
}

static enum gw_err set(struct gw_error *e, enum gw_err err, const char *param,
                       const char *fmt, va_list ap)
{
    ASSERT(err > GW_OK && err < GW_ERR_COUNT);
    if (!e)
        return err;
    if (e->err != GW_OK)
        return e->err;
    e->err = err;
    snprintf(e->param, sizeof(e->param), "%s", param);
    vsnprintf(e->message, sizeof(e->message), fmt, ap);
    return err;
}

enum gw_err err_set(struct gw_error *e, enum gw_err err, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    err = set(e, err, "", fmt, ap);
    va_end(ap);
    return err;
}

enum gw_err err_set_param(struct gw_error *e, enum gw_err err,
                          const char *param, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    err = set(e, err, param, fmt, ap);
    va_end(ap);
    return err;
}

enum gw_err err_plain(struct gw_error *e, enum gw_err err)
{
    return err_set(e, err, "%s", err_info(err)->text);
}

void err_clear(struct gw_error *e)
{
    *e = (struct gw_error){0};
}
