#include "gateway/api/upload_fields.h"

/* Seconds of expires_after (OpenAI's own bounds). */
#define EXPIRES_MIN_S 3600
#define EXPIRES_MAX_S 2592000

/* --- fields --- */

static bool is_purpose(struct str s)
{
    return s.n && s.n <= LIMIT_PURPOSE_BYTES && str_is_made_of(s, "-_.");
}

enum gw_err upload_fields_check_purpose(const struct txn *t, struct str purpose,
                                        struct gw_error *e)
{
    if (!is_purpose(purpose))
        return err_set_param(e, GW_INVALID_VALUE, "purpose",
                             "'purpose' is not a word of 1 to %d letters, "
                             "digits, '-', '_' and '.'",
                             LIMIT_PURPOSE_BYTES);
    return vkey_check_purpose(t->vkey, t->vteam, purpose, e);
}

static enum gw_err check_purpose(struct upload_fields *f, struct gw_error *e)
{
    struct str purpose = form_get(f->t->form, FORM_PURPOSE);

    return purpose.p ? upload_fields_check_purpose(f->t, purpose, e) : GW_OK;
}

enum gw_err upload_fields_check_lifetime(struct str anchor,
                                         const int64_t *seconds,
                                         struct gw_error *e)
{
    if (anchor.p && !str_eq(anchor, STR("created_at")))
        return err_set_param(e, GW_INVALID_VALUE, "expires_after[anchor]",
                             "'expires_after[anchor]' must be 'created_at'");
    if (seconds && (*seconds < EXPIRES_MIN_S || *seconds > EXPIRES_MAX_S))
        return err_set_param(e, GW_INVALID_VALUE, "expires_after[seconds]",
                             "'expires_after[seconds]' must be an integer "
                             "from %d to %d",
                             EXPIRES_MIN_S, EXPIRES_MAX_S);
    return GW_OK;
}

static enum gw_err check_expiry(struct upload_fields *f, struct gw_error *e)
{
    struct str anchor = form_get(f->t->form, FORM_EXPIRES_ANCHOR);
    struct str seconds = form_get(f->t->form, FORM_EXPIRES_SECONDS);
    int64_t s = 0;

    if (seconds.p && !str_to_i64(seconds, &s))
        s = -1;
    f->expires_after_s = s;
    return upload_fields_check_lifetime(anchor, seconds.p ? &s : NULL, e);
}

enum gw_err upload_fields_check(struct upload_fields *f, struct gw_error *e)
{
    if (check_purpose(f, e) != GW_OK)
        return e->err;
    return check_expiry(f, e);
}

enum gw_err upload_fields_check_complete(struct upload_fields *f,
                                         struct gw_error *e)
{
    struct form *form = f->t->form;

    f->are_complete = true;
    if (!form_get(form, FORM_PURPOSE).p)
        return err_set_param(e, GW_MISSING_PARAM, "purpose",
                             "the form has no field 'purpose'");
    if (!form_get(form, FORM_EXPIRES_ANCHOR).p !=
        !form_get(form, FORM_EXPIRES_SECONDS).p)
        return err_set_param(e, GW_MISSING_PARAM, "expires_after",
                             "'expires_after' needs both 'anchor' and "
                             "'seconds'");
    return GW_OK;
}

/* --- routing --- */

/* What the head tells. */
void upload_fields_begin(struct upload_fields *f, struct txn *t)
{
    f->t = t;
    route_ask_begin(&f->ask, t);
    f->ask.hints.may_be_several = true;
    if (!f->ask.hints.model.n)
        f->ask.hints.model = txn_query(t, STR("target_model_names"));
}

void upload_fields_tell(struct upload_fields *f, struct str provider,
                        struct str model, struct str purpose,
                        struct str filename, int64_t size)
{
    struct route_ask *ask = &f->ask;

    ask->hints.may_be_several = false; /* its parts go to one provider */
    ask->hints.fields_are_complete = true;
    ask->hints.form = provider;
    if (!ask->hints.model.n)
        ask->hints.model = model;
    ask->facts.purpose = purpose;
    ask->facts.filename = filename;
    ask->facts.model = ask->hints.model;
    ask->facts.size = size;
}

/* What the form has told so far. */
static void read_form_hints(struct upload_fields *f)
{
    struct form *form = f->t->form;
    struct route_ask *ask = &f->ask;

    ask->hints.fields_are_complete = f->are_complete;
    ask->hints.form = form_get(form, FORM_PROVIDER);
    if (!ask->hints.model.n)
        ask->hints.model = form_get(form, FORM_MODEL);
    ask->facts.purpose = form_get(form, FORM_PURPOSE);
    ask->facts.filename = form_filename(form);
    ask->facts.model = ask->hints.model;
}

enum gw_err upload_fields_route(struct upload_fields *f,
                                struct route_decision *d, bool *needs_fields,
                                struct gw_error *e)
{
    if (f->t->form)
        read_form_hints(f);
    return route_ask(&f->ask, f->t, d, needs_fields, e);
}
