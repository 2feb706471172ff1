#include "providers/prov_batch.h"

#include "providers/prov_said.h"
#include "providers/prov_util.h"

#define OBJECT_BYTES (2 * MIB)
#define MODEL_MAX 2048

const char *prov_batch_status(const struct prov_batch_state *states, size_t n,
                              struct str theirs)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (str_eq_c(theirs, states[i].theirs))
            return states[i].ours;
    return NULL;
}

/* --- what a client may ask --- */

struct str prov_batch_model(const struct prov_op *op, const char *dflt)
{
    return op->batch_model.n ? op->batch_model : str_of(dflt);
}

static enum gw_err check_model(const struct provider_conf *c, struct str model,
                               const char *symbols, struct gw_error *e)
{
    if (!model.n)
        return err_set_param(e, GW_MISSING_PARAM, "model",
                             "'model' is required: a batch at provider '%s' "
                             "runs one model, which its lines do not name",
                             c->name);
    if (model.n > MODEL_MAX || !str_is_made_of(model, symbols))
        return err_set_param(e, GW_INVALID_VALUE, "model",
                             "'model' must be 1 to %d of a-z A-Z 0-9 %s",
                             MODEL_MAX, symbols);
    return GW_OK;
}

enum gw_err prov_batch_check_request(const struct provider_conf *c,
                                     const struct json *request,
                                     struct gw_error *e)
{
    if (json_is_null(json_get(request, "override_settings")))
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "override_settings",
                         "provider '%s' has no 'override_settings': leave it "
                         "out",
                         c->name);
}

enum gw_err prov_batch_check(const struct provider_conf *c, struct str model,
                             const char *dflt, const char *symbols,
                             struct gw_error *e)
{
    return check_model(c, model.n ? model : str_of(dflt), symbols, e);
}

enum gw_err prov_batch_check_conf(const char *model, const char *symbols,
                                  const char *prefix, struct gw_error *e)
{
    if (!str_is_made_of(str_of(model), symbols))
        return err_set(e, GW_INVALID_VALUE,
                       "'batch_model' must be of a-z A-Z 0-9 %s", symbols);
    if (!str_is_made_of(str_of(prefix), "-._/") || prefix[0] == '/')
        return err_set(e, GW_INVALID_VALUE,
                       "'batch_prefix' must be of a-z A-Z 0-9 - . _ / without "
                       "a slash in front");
    return GW_OK;
}

/* --- the object --- */

static void put_ended(struct json_out *j, const struct prov_batch *b)
{
    static const struct prov_batch_state names[] = {
        {"completed", "completed_at"},
        {"failed", "failed_at"},
        {"expired", "expired_at"},
        {"cancelled", "cancelled_at"},
    };
    const char *name =
        prov_batch_status(names, COUNTOF(names), str_of(b->status));

    if (name)
        json_put_int(j, name, b->ended_at);
}

static void put_error(struct json_out *j, const struct prov_batch *b)
{
    json_open(j, "errors", '{');
    json_open(j, "data", '[');
    json_open(j, NULL, '{');
    json_put_str(j, "code", b->error_code.n ? b->error_code : STR_NULL);
    json_put_str(j, "message", b->error_message);
    json_close(j);
    json_close(j);
    json_close(j);
}

static void put_told(struct json_out *j, const struct prov_op *op)
{
    static const char *const names[] = {"endpoint", "completion_window",
                                        "metadata", "model"};
    size_t i;

    for (i = 0; i < COUNTOF(names); i++)
        json_put(j, names[i], json_get(op->batch_request, names[i]));
}

static void put_time(struct json_out *j, const struct prov_op *op,
                     const char *name, int64_t at)
{
    int64_t known = file_obj_time(json_get(op->batch_request, name));

    json_put_int(j, name, at ? at : known);
}

static void put_batch(struct json_out *j, const struct prov_op *op,
                      const struct prov_batch *b)
{
    json_open(j, NULL, '{');
    json_put_str(j, "id", b->id);
    json_put_cstr(j, "status", b->status);
    json_put_str(j, "output_file_id", b->output_file_id);
    put_told(j, op);
    put_time(j, op, "created_at", b->created_at);
    put_time(j, op, "in_progress_at", b->in_progress_at);
    put_time(j, op, "expires_at", b->expires_at);
    put_time(j, op, "cancelling_at", b->cancelling_at);
    put_ended(j, b);
    json_open(j, "request_counts", '{');
    json_put_int(j, "total", b->total);
    json_put_int(j, "completed", b->completed);
    json_put_int(j, "failed", b->failed);
    json_close(j);
    if (b->error_message.n)
        put_error(j, b);
    json_close(j);
}

/* What it says of its file is a place in a bucket. */
struct naming {
    struct prov_op *op;
    const struct prov_batch *batch;
};

static struct str clean(void *arg, struct str text)
{
    const struct naming *n = arg;
    struct prov_name input = {n->batch->input, STR("[file]")};
    struct prov_op named = *n->op;

    named.upstream_id = n->batch->id;
    named.names = &input;
    named.nnames = 1;
    return prov_said_clean_all(&named, text);
}

enum gw_err prov_batch_tell(struct prov_op *op, const struct prov_batch *b,
                            struct gw_error *e)
{
    struct naming n = {op, b};
    struct gw_error ignored = {0};
    const struct json *v = NULL;
    struct json_out j;
    struct buf text;

    buf_init(&text, OBJECT_BYTES);
    json_out_init(&j, &text);
    put_batch(&j, op, b);
    if (!text.overflow)
        v = json_parse(op->arena, buf_str(&text), &ignored);
    buf_release(&text);
    if (batch_obj_read(op->arena, v, clean, &n, &op->batch, e) != GW_OK)
        return prov_nonsense(op, "a batch", e);
    return GW_OK;
}
