#include "gateway/codec/batch_obj.h"

#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/codec/file_obj.h"

/* Of a file full of faults the first ones tell enough. */
#define ERRORS_MAX 100
#define STATUS_MAX 64
/* Texts of a provider's are cut to so many characters. */
#define CODE_MAX 128
#define MESSAGE_MAX 1024
#define MODEL_MAX 2048
/* Numbers, in objects one within another: OpenAI's has five. */
#define USAGE_MAX 8
#define USAGE_NAME_MAX 64

static const char *const times[] = {
    "in_progress_at", "expires_at", "finalizing_at", "completed_at",
    "failed_at",      "expired_at", "cancelling_at", "cancelled_at",
};

struct cleaner {
    batch_obj_clean *fn;
    void *arg;
};

/* --- reading --- */

static void put_text(struct json_out *j, const char *name, const struct json *v,
                     size_t max)
{
    json_put_str(j, name, str_chars(json_str(json_get(v, name)), max));
}

static void put_time(struct json_out *j, const char *name, const struct json *v)
{
    int64_t at = file_obj_time(json_get(v, name));

    if (at)
        json_put_int(j, name, at);
    else
        json_put_null(j, name);
}

/* What may name an id of the provider's. */
static void put_clean(struct json_out *j, const char *name,
                      const struct json *v, const struct cleaner *c, size_t max)
{
    struct str text = json_str(json_get(v, name));

    if (text.p)
        text = str_chars(c->fn(c->arg, text), max);
    json_put_str(j, name, text);
}

static void put_error(struct json_out *j, const struct json *v,
                      const struct cleaner *c)
{
    int64_t line;

    json_open(j, NULL, '{');
    put_clean(j, "code", v, c, CODE_MAX);
    put_clean(j, "message", v, c, MESSAGE_MAX);
    put_clean(j, "param", v, c, CODE_MAX);
    if (json_int(json_get(v, "line"), &line))
        json_put_int(j, "line", line);
    else
        json_put_null(j, "line");
    json_close(j);
}

static void put_errors(struct json_out *j, const struct json *v,
                       const struct cleaner *c)
{
    const struct json *data = json_get(v, "data");
    size_t i, n = MIN(json_count(data), (size_t)ERRORS_MAX);

    if (!json_is_array(data)) {
        json_put_null(j, "errors");
        return;
    }
    json_open(j, "errors", '{');
    json_put_cstr(j, "object", "list");
    json_open(j, "data", '[');
    for (i = 0; i < n && j->buf->n < LIMIT_BATCH_MEMBERS_BYTES / 3; i++)
        put_error(j, json_at(data, i), c);
    json_close(j);
    json_close(j);
}

/* Some leave them null until they know. */
static void put_counts(struct json_out *j, const struct json *v)
{
    static const char *const names[] = {"total", "completed", "failed"};
    size_t i;

    json_open(j, "request_counts", '{');
    for (i = 0; i < COUNTOF(names); i++) {
        int64_t n;

        json_put_int(j, names[i], json_int(json_get(v, names[i]), &n) ? n : 0);
    }
    json_close(j);
}

/* The numbers of an object, and those of objects in it. */
static void put_usage(struct json_out *j, const char *name,
                      const struct json *v, unsigned depth)
{
    const struct json *member;
    struct str key;
    int64_t n;

    if (!json_is_object(v)) {
        json_put_null(j, name);
        return;
    }
    json_open(j, name, '{');
    for (size_t i = 0;
         i < USAGE_MAX && (member = json_member(v, i, &key)) != NULL; i++) {
        char text[USAGE_NAME_MAX + 1];

        if (key.n > USAGE_NAME_MAX)
            continue;
        snprintf(text, sizeof(text), "%.*s", STR_ARG(key));
        if (json_is_number(member) && json_int(member, &n))
            json_put_int(j, text, n);
        else if (json_is_object(member) && depth)
            put_usage(j, text, member, depth - 1);
    }
    json_close(j);
}

/* Within OpenAI's bounds: what a provider says beyond them is cut, or left
 * out. */
static void put_metadata(struct json_out *j, struct arena *a,
                         const struct json *v)
{
    const struct json *member;
    size_t n = 0;
    struct str name;
    void *at = NULL;

    if (!json_is_object(v)) {
        json_put_null(j, "metadata");
        return;
    }
    json_open(j, "metadata", '{');
    while (n < LIMIT_METADATA_PAIRS && (member = json_next(v, &at, &name))) {
        struct str text = json_str(member);

        if (!text.p || str_chars(name, LIMIT_METADATA_KEY).n < name.n)
            continue;
        n++;
        json_put_str(j, arena_cstr(a, name),
                     str_chars(text, LIMIT_METADATA_VALUE));
    }
    json_close(j);
}

static void put_members(struct json_out *j, struct arena *a,
                        const struct json *v, struct str status,
                        const struct cleaner *c)
{
    size_t i;

    json_open(j, NULL, '{');
    put_text(j, "endpoint", v, LIMIT_BATCH_ENDPOINT);
    if (json_is_string(json_get(v, "model")))
        put_text(j, "model", v, MODEL_MAX);
    put_errors(j, json_get(v, "errors"), c);
    put_text(j, "completion_window", v, CODE_MAX);
    json_put_str(j, "status", status);
    json_put_int(j, "created_at", file_obj_time(json_get(v, "created_at")));
    for (i = 0; i < COUNTOF(times); i++)
        put_time(j, times[i], v);
    put_counts(j, json_get(v, "request_counts"));
    put_usage(j, "usage", json_get(v, "usage"), 1);
    put_metadata(j, a, json_get(v, "metadata"));
    json_close(j);
}

static struct str lower(struct arena *a, struct str s)
{
    char *p = arena_cstr(a, s);
    size_t i;

    for (i = 0; i < s.n; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] - 'A' + 'a');
    return str_make(p, s.n);
}

/* An id that could be one; else there is none. */
static struct str id_of(struct arena *a, const struct json *v, const char *name)
{
    struct str id = json_str(json_get(v, name));

    if (!id.n || id.n > LIMIT_UPSTREAM_ID_BYTES)
        return STR_NULL;
    return arena_dup(a, id);
}

enum gw_err batch_obj_read(struct arena *a, const struct json *v,
                           batch_obj_clean *clean, void *arg,
                           struct batch_obj *out, struct gw_error *e)
{
    struct cleaner c = {clean, arg};
    struct str status = json_str(json_get(v, "status"));
    struct json_out j;
    struct buf b;

    *out = (struct batch_obj){
        .id = id_of(a, v, "id"),
        .input_file_id = id_of(a, v, "input_file_id"),
        .output_file_id = id_of(a, v, "output_file_id"),
        .error_file_id = id_of(a, v, "error_file_id"),
    };
    if (!out->id.p || !status.n || status.n > STATUS_MAX)
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "the provider's batch has no id or status");
    out->status = lower(a, status);
    buf_init(&b, LIMIT_BATCH_MEMBERS_BYTES);
    json_out_init(&j, &b);
    put_members(&j, a, v, out->status, &c);
    if (b.overflow)
        err_set(e, GW_UPSTREAM_BAD_RESPONSE, "the provider's batch is too big");
    else
        out->members = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return e->err;
}

static const struct json *known_member(const struct json *members,
                                       const struct json *known,
                                       const char *name)
{
    const struct json *v = json_get(members, name), *k = json_get(known, name);
    bool is_object = strcmp(name, "metadata") == 0;

    if (!json_is_null(v))
        return v;
    return is_object == json_is_object(k) ? k : NULL;
}

static void put_known(struct json_out *j, const char *name,
                      const struct json *v)
{
    if (v || strcmp(name, "model") != 0)
        json_put(j, name, v);
}

struct str batch_obj_complete(struct arena *a, struct str members,
                              const struct json *known)
{
    static const char *const names[] = {"endpoint", "completion_window",
                                        "metadata", "model"};
    struct gw_error ignored = {0};
    const struct json *v = json_parse(a, members, &ignored), *member;
    struct json_out j;
    struct str name;
    void *at = NULL;
    struct buf b;
    size_t i;

    buf_init(&b, LIMIT_BATCH_MEMBERS_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    for (i = 0; i < COUNTOF(names); i++)
        put_known(&j, names[i], known_member(v, known, names[i]));
    while ((member = json_next(v, &at, &name))) {
        for (i = 0; i < COUNTOF(names) && !str_eq_c(name, names[i]);)
            i++;
        if (i == COUNTOF(names))
            json_put(&j, arena_cstr(a, name), member);
    }
    json_close(&j);
    if (!b.overflow)
        members = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return members;
}

static void put_failure(struct json_out *j, int64_t at, const char *code,
                        const char *message)
{
    json_put_cstr(j, "status", "failed");
    json_put_int(j, "failed_at", at);
    json_open(j, "errors", '{');
    json_put_cstr(j, "object", "list");
    json_open(j, "data", '[');
    json_open(j, NULL, '{');
    json_put_cstr(j, "code", code);
    json_put_cstr(j, "message", message);
    json_put_null(j, "param");
    json_put_null(j, "line");
    json_close(j);
    json_close(j);
    json_close(j);
}

struct str batch_obj_failed(struct arena *a, struct str members, int64_t at,
                            const char *code, const char *message)
{
    struct gw_error ignored = {0};
    const struct json *v = json_parse(a, members, &ignored), *member;
    struct json_out j;
    struct str name;
    void *from = NULL;
    struct buf b;

    buf_init(&b, LIMIT_BATCH_MEMBERS_BYTES);
    json_out_init(&j, &b);
    json_open(&j, NULL, '{');
    while ((member = json_next(v, &from, &name)))
        if (!str_eq(name, STR("status")) && !str_eq(name, STR("failed_at")) &&
            !str_eq(name, STR("errors")))
            json_put(&j, arena_cstr(a, name), member);
    put_failure(&j, at, code, message);
    json_close(&j);
    if (!b.overflow)
        members = arena_dup(a, buf_str(&b));
    buf_release(&b);
    return members;
}

bool batch_obj_is_over(struct str status)
{
    static const char *const last[] = {"completed", "failed", "expired",
                                       "cancelled"};
    size_t i;

    for (i = 0; i < COUNTOF(last); i++)
        if (str_eq_c(status, last[i]))
            return true;
    return false;
}

/* --- writing --- */

void batch_obj_put(struct json_out *j, struct arena *a,
                   const struct batch_obj *b, struct str provider)
{
    struct gw_error ignored = {0};
    const struct json *v = json_parse(a, b->members, &ignored), *member;
    struct str name;
    void *at = NULL;

    json_open(j, NULL, '{');
    json_put_str(j, "id", b->id);
    json_put_cstr(j, "object", "batch");
    json_put_str(j, "input_file_id", b->input_file_id);
    json_put_str(j, "output_file_id", b->output_file_id);
    json_put_str(j, "error_file_id", b->error_file_id);
    while ((member = json_next(v, &at, &name)))
        json_put(j, arena_cstr(a, name), member);
    json_open(j, "filemux", '{');
    json_put_str(j, "provider", provider);
    json_close(j);
    json_close(j);
}
