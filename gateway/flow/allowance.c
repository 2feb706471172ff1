#include "gateway/flow/allowance.h"

#include "gateway/base/bug.h"

static void take(struct allowance *a);
static void extend(struct allowance *a);

/* What is left beyond what is held, when it is bytes that are short, there are
 * some, and they are fewer than was asked for; else 0. */
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
        charge_refuse(a->sv->metrics, a->who, v, &error);
    }
    if (error.err == GW_OK && a->is_stepwise) {
        a->held = a->asked;
        form_allow(a->form, a->held);
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
                    const struct quota_who *who, struct str id,
                    int64_t expected, const struct journal_entry *entry,
                    int64_t lease_ms, allowance_fn *done, void *arg)
{
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
    a->is_stepwise = expected < 0 && (charge_has_storage_limit(who) ||
                                      charge_has_upload_limit(who));
    a->asked = expected >= 0 ? expected : a->is_stepwise ? ALLOWANCE_STEP : 0;
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
        form_allow(a->form, a->held);
        return;
    }
    if (error.err == GW_OK) {
        a->asked = lesser(a, v);
        if (a->asked) {
            extend(a);
            return;
        }
        charge_cut(a->sv->metrics, a->who, v, &error);
    }
    form_allow_no_more(a->form, &error);
}

static void extend(struct allowance *a)
{
    struct quota_amount more = {.bytes = a->asked, .up = a->asked};

    a->call = quota_extend(a->sv->redis, a->id, a->who, &more, on_extended, a);
}

void allowance_more(struct allowance *a)
{
    if (a->call || !a->is_stepwise)
        return;
    a->asked = ALLOWANCE_STEP;
    extend(a);
}

void allowance_stop(struct allowance *a)
{
    if (a->call)
        redis_cancel(a->call);
    a->call = NULL;
}
