#include "gateway/flow/allowance.h"

#include "gateway/base/bug.h"

static void take(struct allowance *a);
static void extend(struct allowance *a);

/* The next step is asked for when half of the last one is left. */
static void allow(struct allowance *a)
{
    form_allow(a->form, a->held, a->is_stepwise ? a->asked / 2 : 0);
}

/* What is left beyond what is held, when it is bytes that are short, there are
 * some, and they are fewer than was asked for ahead of them; else 0. */
static int64_t lesser(const struct allowance *a, const struct quota_verdict *v)
{
    int64_t left = v->max - v->used - a->held;
    bool is_of_bytes =
        v->limit == QUOTA_STORAGE || v->limit == QUOTA_UPLOAD_DAY;

    return a->is_stepwise && is_of_bytes && left > 0 && left < a->asked ? left
                                                                        : 0;
}

static void on_taken(void *arg, const struct quota_verdict *v,
                     const struct gw_error *e)
{
    struct allowance *a = arg;
    struct gw_error error = *e;

    a->call = NULL;
    if (error.err == GW_OK && v->limit != QUOTA_NONE) {
        a->asked = lesser(a, v);
        if (a->asked) {
            take(a);
            return;
        }
        charge_refuse(a->who, v, &error);
    }
    if (error.err == GW_OK && a->is_gated) {
        a->held = a->asked;
        allow(a);
    }
    a->done(a->arg, &error);
}

static void take(struct allowance *a)
{
    struct quota_amount most = {.files = 1, .bytes = a->asked, .up = a->asked};

    a->call = quota_hold(a->sv->redis, a->id, a->who, &most, a->entry,
                         a->lease_ms, on_taken, a);
}

void allowance_take(struct allowance *a, struct services *sv, struct form *form,
                    const struct quota_who *who, struct str id, int64_t size,
                    const struct journal_entry *entry, int64_t lease_ms,
                    allowance_fn *done, void *arg)
{
    int64_t held = str_eq(a->id, id) ? a->held : 0;
    int64_t likely = size >= 0 ? size : form_likely_bytes(form);

    allowance_stop(a);
    *a = (struct allowance){
        .sv = sv,
        .form = form,
        .who = who,
        .id = id,
        .entry = entry,
        .lease_ms = lease_ms,
        .done = done,
        .arg = arg,
    };
    a->is_gated = size < 0 && (charge_has_storage_limit(who) ||
                               charge_has_upload_limit(who));
    a->is_stepwise = a->is_gated && likely < 0;
    if (held)
        a->asked = held;
    else
        a->asked = a->is_stepwise ? ALLOWANCE_FIRST : MAX(likely, 0);
    take(a);
}

/* --- more of it --- */

static void on_extended(void *arg, const struct quota_verdict *v,
                        const struct gw_error *e)
{
    struct allowance *a = arg;
    struct gw_error error = *e;

    a->call = NULL;
    if (error.err == GW_OK && v->limit == QUOTA_NONE) {
        a->held += a->asked;
        allow(a);
        return;
    }
    if (error.err == GW_OK) {
        a->asked = lesser(a, v);
        if (a->asked) {
            extend(a);
            return;
        }
        if (a->is_stepwise)
            charge_cut(a->who, v, &error);
        else
            charge_refuse(a->who, v, &error);
    }
    /* It was asked ahead of the bytes: once more when they are there. */
    if (error.err == GW_STORE_UNAVAILABLE && !form_beyond(a->form))
        form_allow(a->form, a->held, 0);
    else
        form_allow_no_more(a->form, &error);
}

static void extend(struct allowance *a)
{
    struct quota_amount more = {.bytes = a->asked, .up = a->asked};

    a->call = quota_extend(a->sv->redis, a->id, a->who, &more, on_extended, a);
}

void allowance_more(struct allowance *a)
{
    if (a->call || !a->is_gated)
        return;
    if (!a->is_stepwise)
        a->asked = form_beyond(a->form);
    else
        a->asked = MIN(MAX(a->held, ALLOWANCE_FIRST), ALLOWANCE_STEP);
    extend(a);
}

void allowance_stop(struct allowance *a)
{
    if (a->call)
        redis_cancel(a->call);
    a->call = NULL;
}
