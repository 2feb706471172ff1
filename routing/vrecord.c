#include "routing/vrecord.h"

/* Reading is strict where leniency would open a door: a list of the wrong type
 * is a broken record, not an absent list, for an absent list means "all". */

static enum gw_err broken(const char *member, struct gw_error *e)
{
    return err_set(e, GW_INTERNAL, "the record is broken at '%s'", member);
}

enum gw_err vrecord_str(const struct json *record, const char *name,
                        struct str *out, struct gw_error *e)
{
    const struct json *v = json_get(record, name);

    *out = STR("");
    if (json_is_null(v))
        return GW_OK;
    if (!json_is_string(v))
        return broken(name, e);
    *out = json_str(v);
    return GW_OK;
}

enum gw_err vrecord_int(const struct json *record, const char *name,
                        int64_t *out, struct gw_error *e)
{
    const struct json *v = json_get(record, name);

    *out = 0;
    if (json_is_null(v))
        return GW_OK;
    if (!json_int(v, out) || *out < 0)
        return broken(name, e);
    return GW_OK;
}

/* An empty list comes as {} from a Lua script that rewrote the record: its
 * JSON library cannot tell the two apart. */
enum gw_err vrecord_list(struct arena *a, const struct json *record,
                         const char *name, struct vkey_strs *out,
                         struct gw_error *e)
{
    const struct json *v = json_get(record, name);
    size_t n = json_count(v), i;

    *out = (struct vkey_strs){0};
    if (json_is_null(v) || (json_is_object(v) && n == 0))
        return GW_OK;
    if (!json_is_array(v))
        return broken(name, e);
    if (n == 0)
        return GW_OK;
    out->v = arena_alloc(a, n * sizeof(*out->v));
    for (i = 0; i < n; i++) {
        if (!json_is_string(json_at(v, i)))
            return broken(name, e);
        out->v[i] = json_str(json_at(v, i));
    }
    out->n = n;
    return GW_OK;
}

enum gw_err vrecord_bool(const struct json *record, const char *name, bool *out,
                         struct gw_error *e)
{
    const struct json *v = json_get(record, name);

    *out = false;
    if (json_is_null(v))
        return GW_OK;
    if (!json_is_bool(v))
        return broken(name, e);
    *out = json_bool(v, true);
    return GW_OK;
}

static unsigned op_of(struct str name)
{
    static const char *const names[] = {"create",  "read",  "list",   "delete",
                                        "content", "batch", "forward"};
    size_t i;

    for (i = 0; i < COUNTOF(names); i++)
        if (str_eq_c(name, names[i]))
            return 1u << i; /* the order of enum vkey_ops */
    return 0;
}

/* An unknown word (of a later version) allows nothing. */
enum gw_err vrecord_operations(struct arena *a, const struct json *record,
                               unsigned *out, struct gw_error *e)
{
    struct vkey_strs words;
    size_t i;

    *out = VKEY_OPS_ALL;
    if (vrecord_list(a, record, "operations", &words, e))
        return e->err;
    if (words.n == 0)
        return GW_OK;
    *out = 0;
    for (i = 0; i < words.n; i++)
        *out |= op_of(words.v[i]);
    return GW_OK;
}

enum gw_err vrecord_limits(const struct json *record, struct vkey_limits *out,
                           struct gw_error *e)
{
    const struct {
        const char *name;
        int64_t *to;
    } all[] = {
        /* clang-format off */
        {"rpm_limit",                  &out->rpm},
        {"max_parallel_requests",      &out->parallel},
        {"max_file_bytes",             &out->file_bytes},
        {"max_files",                  &out->files},
        {"max_storage_bytes",          &out->storage_bytes},
        {"max_upload_bytes_per_day",   &out->upload_day_bytes},
        {"max_download_bytes_per_day", &out->download_day_bytes},
        {"max_active_batches",         &out->active_batches},
        {"max_batch_lines_per_day",    &out->batch_lines_day},
        /* clang-format on */
    };
    size_t i;

    for (i = 0; i < COUNTOF(all); i++)
        if (vrecord_int(record, all[i].name, all[i].to, e))
            return e->err;
    return GW_OK;
}
