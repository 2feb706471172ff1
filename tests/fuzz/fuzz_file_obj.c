/* A provider's answer as a file object: whatever it is, the object toward
 * clients has its members in their types.
 */
#include <stdint.h>

#include "gateway/base/bug.h"
#include "gateway/codec/file_obj.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_integer(const struct json *v)
{
    int64_t n;

    return json_is_number(v) && json_int(v, &n) && n >= 0;
}

static void check_members(const struct json *v)
{
    const struct json *expires = json_get(v, "expires_at");

    ASSERT(json_count(v) == 10);
    ASSERT(json_str(json_get(v, "id")).n);
    ASSERT(str_eq_c(json_str(json_get(v, "object")), "file"));
    ASSERT(is_integer(json_get(v, "bytes")));
    ASSERT(is_integer(json_get(v, "created_at")));
    ASSERT(json_is_null(expires) || is_integer(expires));
    ASSERT(json_is_string(json_get(v, "filename")));
    ASSERT(json_is_string(json_get(v, "purpose")));
    ASSERT(json_str(json_get(v, "status")).n);
    ASSERT(json_is_object(json_get(v, "filemux")));
}

static void check_put(struct arena *a, const struct file_obj *f)
{
    struct json_out j;
    struct buf out;

    buf_init(&out, 8 * MIB);
    json_out_init(&j, &out);
    file_obj_put(&j, NULL, f);
    ASSERT(!out.overflow);
    if (out.n <= LIMIT_JSON_TEXT_BYTES)
        check_members(json_parse(a, buf_str(&out), NULL));
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_make((const char *)data, size);
    struct arena *a = arena_new();
    struct json *v = json_parse(a, text, NULL);
    struct file_obj f;

    ASSERT(file_obj_time(v) >= 0);
    if (file_obj_read(v, &f, NULL) == GW_OK) {
        ASSERT(f.id.n <= LIMIT_UPSTREAM_ID_BYTES && f.bytes >= -1);
        f.provider = STR("fuzz");
        check_put(a, &f);
    }
    file_status_of(text);
    arena_free(a);
    return 0;
}
