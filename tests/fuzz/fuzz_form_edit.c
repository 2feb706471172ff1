/* A form that is passed on, whole and in pieces: where nothing is changed it
 * comes out as it came, and both have the same fields and the same verdict. The
 * first byte is the size of the pieces, and says whether fields are changed.
 */
#include <stdint.h>

#include "gateway/base/bug.h"
#include "gateway/codec/form_edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct arena *a;
    struct form_edit f;
    struct buf out, late;
    bool changes, went;
    enum gw_err err;
};

static enum gw_err on_late(void *arg, const struct form_edit_field *f,
                           struct gw_error *e)
{
    struct run *r = arg;

    (void)e;
    ASSERT(f->matter != FORM_OTHER && str_is_utf8(f->name));
    buf_printf(&r->late, "%.*s=%.*s;", STR_ARG(f->name), STR_ARG(f->value));
    return GW_OK;
}

static enum gw_err at_head(struct run *r, struct gw_error *e)
{
    size_t i;

    r->went = true;
    for (i = 0; i < r->f.n && r->changes; i++) {
        if (r->f.v[i].matter == FORM_NAMES_MODEL)
            r->f.v[i].with = STR("model-of-theirs");
        r->f.v[i].is_left_out = r->f.v[i].matter == FORM_NAMES_PROVIDER;
    }
    form_edit_write(&r->f, &r->out);
    return form_edit_go(&r->f, e);
}

static void pass(struct run *r, struct str body, size_t step, bool changes)
{
    struct gw_error e = {0};
    size_t at, n;

    *r = (struct run){.a = arena_new(), .changes = changes};
    buf_init(&r->out, 4 * MIB);
    buf_init(&r->late, 4 * MIB);
    form_edit_init(&r->f, r->a, "b", on_late, r);
    for (at = 0; at < body.n && e.err == GW_OK; at += n) {
        n = MIN(step, body.n - at);
        if (form_edit_feed(&r->f, body.p + at, n, &e) != GW_OK)
            break;
        if (r->went)
            buf_add(&r->out, body.p + at, n);
        else if (r->f.has_head)
            (void)!at_head(r, &e);
    }
    if (e.err == GW_OK && form_edit_finish(&r->f, &e) == GW_OK && !r->went)
        (void)!at_head(r, &e);
    r->err = e.err;
}

static void end(struct run *r)
{
    form_edit_release(&r->f);
    buf_release(&r->out);
    buf_release(&r->late);
    arena_free(r->a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body;
    struct run whole, pieces;
    bool changes;

    if (size < 1 || size > LIMIT_FORM_HEAD_BYTES / 2)
        return 0;
    body = str_make((const char *)data + 1, size - 1);
    changes = data[0] & 0x80;
    pass(&whole, body, body.n ? body.n : 1, changes);
    pass(&pieces, body, 1 + (data[0] & 0x7f), changes);
    ASSERT(whole.err == pieces.err);
    if (whole.err == GW_OK) {
        ASSERT(whole.f.n == pieces.f.n);
        ASSERT(str_eq(buf_str(&whole.out), buf_str(&pieces.out)));
        ASSERT(str_eq(buf_str(&whole.late), buf_str(&pieces.late)));
        ASSERT(changes || str_eq(buf_str(&whole.out), body));
    }
    end(&whole);
    end(&pieces);
    return 0;
}
