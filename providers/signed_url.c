#include "providers/signed_url.h"

#include "gateway/codec/url.h"
#include "providers/prov_said.h"
#include "providers/prov_util.h"

static bool is_https(struct str url)
{
    return str_starts(url_origin(url), STR("https:"));
}

struct str signed_url_take(struct prov_op *op, struct str url)
{
    struct str base = str_of(op->conf->base_url);

    if (!url_origin(url).p || (is_https(base) && !is_https(url)))
        return STR_NULL;
    return url_resolve(op->arena, base, url);
}

void signed_url_put(struct prov_exchange *x, struct str url)
{
    *x = (struct prov_exchange){.http = {.method = "PUT", .url = url},
                                .is_told = true};
}

void signed_url_get(struct prov_op *op, struct prov_exchange *x, struct str url)
{
    *x = (struct prov_exchange){.http = {.method = "GET", .url = url},
                                .is_told = true};
    prov_download(op, x);
}

/* Those whose meaning is the same whoever says it. */
static bool is_plain(const struct prov_op *op, int status)
{
    static const int plain[] = {408, 413, 429, 498, 500, 503, 504, 529};
    size_t i;

    if (op->code == PROV_CONTENT && status == 416)
        return true;
    for (i = 0; i < COUNTOF(plain); i++)
        if (plain[i] == status)
            return true;
    return false;
}

enum gw_err signed_url_error(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e)
{
    struct prov_said said;

    if (is_plain(op, res->status))
        return prov_http_error(op, res, e);
    if (op->code == PROV_CONTENT && (res->status == 404 || res->status == 410))
        return err_set(e, GW_FILE_NOT_FOUND, "no such file at provider '%s'",
                       op->conf->name);
    prov_said_find(op->arena, res->body, &said);
    if (str_eq(said.code, STR("EntityTooLarge")))
        return err_set(e, GW_FILE_TOO_LARGE,
                       "the file is too large for provider '%s'",
                       op->conf->name);
    return err_set(e, GW_UPSTREAM_FAILED,
                   "the storage of provider '%s' refused the file (status %d)",
                   op->conf->name, res->status);
}
