#include "gateway/api/batch_request.h"

#include "gateway/api/upload_fields.h"

#define WINDOW_BYTES 8 /* "14400m" */

/* "model" and the two behind it are LiteLLM's: the file's id tells the provider
 * as much. */
static const struct {
    const char *name;
    bool is_required, is_text;
    size_t max; /* bytes; 0: it is bounded elsewhere */
} parameters[] = {
    /* clang-format off */
    {"input_file_id",        true,  true},
    {"endpoint",             true,  true,  LIMIT_BATCH_ENDPOINT},
    {"completion_window",    true,  true},
    {"metadata",             false, false},
    {"output_expires_after", false, false},
    {"override_settings",    false, false},
    {"model",                false, true,  LIMIT_BATCH_NAME_BYTES},
    {"provider",             false, true},
    {"custom_llm_provider",  false, true},
    /* clang-format on */
};

static bool is_parameter(struct str name)
{
    size_t i;

    for (i = 0; i < COUNTOF(parameters); i++)
        if (str_eq_c(name, parameters[i].name))
            return true;
    return false;
}

/* A number and m, h or d: providers take different ones. */
static enum gw_err check_window(const struct json *v, struct gw_error *e)
{
    struct str window = json_str(json_get(v, "completion_window"));
    size_t n = window.n;
    int64_t ignored;

    if (n > 1 && n <= WINDOW_BYTES && memchr("mhd", window.p[n - 1], 3) &&
        str_to_i64(str_make(window.p, n - 1), &ignored) && ignored > 0)
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "completion_window",
                         "'completion_window' must be a time such as '24h'");
}

int64_t batch_request_expiry(const struct json *v)
{
    const struct json *after = json_get(v, "output_expires_after");
    int64_t s;

    return json_int(json_get(after, "seconds"), &s) ? s : 0;
}

static enum gw_err check_expiry(const struct json *v, struct gw_error *e)
{
    const struct json *after = json_get(v, "output_expires_after");
    const struct json *anchor = json_get(after, "anchor");
    struct gw_error why = {0};
    int64_t s = batch_request_expiry(v);

    if (json_is_null(after))
        return GW_OK;
    if (json_is_object(after) && json_is_string(anchor) &&
        upload_fields_check_lifetime(json_str(anchor), &s, &why) == GW_OK)
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "output_expires_after",
                         "'output_expires_after' must have the anchor "
                         "'created_at' and seconds, as 'expires_after' of a "
                         "file");
}

static enum gw_err check_metadata(const struct json *v, struct gw_error *e)
{
    const struct json *metadata = json_get(v, "metadata"), *value;
    bool is_valid = json_is_object(metadata) &&
                    json_count(metadata) <= LIMIT_METADATA_PAIRS;
    struct str name;
    void *at = NULL;

    if (json_is_null(metadata))
        return GW_OK;
    while (is_valid && (value = json_next(metadata, &at, &name)))
        is_valid = str_chars(name, LIMIT_METADATA_KEY).n == name.n &&
                   json_is_string(value) &&
                   str_chars(json_str(value), LIMIT_METADATA_VALUE).n ==
                       json_str(value).n;
    if (is_valid)
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "metadata",
                         "'metadata' must be an object of at most %d texts, "
                         "their names up to %d characters long and they up to "
                         "%d",
                         LIMIT_METADATA_PAIRS, LIMIT_METADATA_KEY,
                         LIMIT_METADATA_VALUE);
}

enum gw_err batch_request_check(const struct json *v, struct gw_error *e)
{
    struct str name;
    void *at = NULL;
    size_t i;

    for (i = 0; i < COUNTOF(parameters); i++) {
        const struct json *member = json_get(v, parameters[i].name);

        if (json_is_null(member) && parameters[i].is_required)
            return err_set_param(e, GW_MISSING_PARAM, parameters[i].name,
                                 "'%s' is required", parameters[i].name);
        if (!json_is_null(member) && parameters[i].is_text &&
            !json_is_string(member))
            return err_set_param(e, GW_INVALID_VALUE, parameters[i].name,
                                 "'%s' must be a string", parameters[i].name);
        if (parameters[i].max && json_str(member).n > parameters[i].max)
            return err_set_param(e, GW_INVALID_VALUE, parameters[i].name,
                                 "'%s' must be at most %zu bytes long",
                                 parameters[i].name, parameters[i].max);
    }
    while (json_next(v, &at, &name))
        if (!is_parameter(name))
            return err_set(e, GW_INVALID_VALUE, "unknown parameter '%.*s'",
                           (int)MIN(name.n, (size_t)60), name.p);
    if (check_window(v, e) != GW_OK || check_metadata(v, e) != GW_OK)
        return e->err;
    return check_expiry(v, e);
}

/* --- the model --- */

enum gw_err batch_request_model(const struct txn *t, const struct json *v,
                                const struct file_record *file, bool is_wanted,
                                struct str *model, struct gw_error *e)
{
    struct str name = json_str(json_get(v, "model"));
    const struct model_conf *m;

    *model = STR("");
    if (!name.n && is_wanted)
        name = file->model;
    if (!name.n)
        return GW_OK;
    if (vkey_check_model(t->vkey, t->vteam, name, e) != GW_OK)
        return e->err;
    m = router_model(&t->conf->route, name);
    *model = m && m->model[0] ? str_of(m->model) : name;
    if (!m || str_eq_c(file->obj.provider, m->provider))
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "model",
                         "the model '%.*s' is at '%s', while the file is at "
                         "'%.*s'",
                         (int)MIN(name.n, (size_t)100), name.p, m->provider,
                         STR_ARG(file->obj.provider));
}
