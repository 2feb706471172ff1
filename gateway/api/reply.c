#include "gateway/api/api.h"

void reply_file(struct txn *t, const struct file_record *f)
{
    struct buf body;
    struct json_out j;

    buf_init(&body, 64 * KIB);
    json_out_init(&j, &body);
    file_obj_put(&j, NULL, &f->obj);
    txn_reply_json(t, 200, buf_str(&body));
    buf_release(&body);
}

void reply_no_such_file(struct txn *t)
{
    struct gw_error e = {0};
    struct str id = t->param;

    if (!str_is_utf8(id) || id.n > LIMIT_ID_BYTES)
        id = STR_NULL;
    err_set_param(&e, GW_FILE_NOT_FOUND, "id", "no such file '%.*s'",
                  STR_ARG(id));
    txn_fail(t, &e);
}

const struct provider_conf *reply_provider(struct txn *t,
                                           const struct file_record *f)
{
    const struct provider_conf *p = settings_provider(t->conf, f->obj.provider);
    struct gw_error e = {0};

    if (p)
        return p;
    err_set(&e, GW_UPSTREAM_UNREACHABLE,
            "the file's provider '%.*s' is no longer configured",
            STR_ARG(f->obj.provider));
    txn_fail(t, &e);
    return NULL;
}
