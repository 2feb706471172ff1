#include "gateway/flow/forward_impl.h"

/* Bodies that are forms: the fields before the file say what is known of a call
 * ahead, as a JSON body does; the rest streams. What must be read first, and
 * comes behind the file, is refused. */

static const struct model_conf *alias_of(const struct forward *f,
                                         struct str name)
{
    return router_model(&f->t->conf->route, name);
}

static enum gw_err refuse_late(const struct form_edit_field *late,
                               const char *why, struct gw_error *e)
{
    return err_set_param(e, GW_INVALID_VALUE, late->name.p,
                         "'%.*s' %s: send it before the file",
                         (int)MIN(late->name.n, (size_t)60), late->name.p, why);
}

static enum gw_err on_late(void *arg, const struct form_edit_field *late,
                           struct gw_error *e)
{
    struct forward *f = arg;
    struct txn *t = f->t;

    switch (late->matter) {
    case FORM_NAMES_MODEL:
        if (vkey_check_model(t->vkey, t->vteam, late->value, e) != GW_OK)
            return e->err;
        if (alias_of(f, late->value))
            return refuse_late(late, "is one of this gateway's names", e);
        return GW_OK;
    case FORM_NAMES_PROVIDER:
        return refuse_late(late, "says where the form goes", e);
    case FORM_NAMES_FILE:
        return refuse_late(late, "names a file", e);
    case FORM_STREAMS:
    case FORM_OTHER:
        break;
    }
    return GW_OK;
}

static enum gw_err read_fields(struct forward *f, struct gw_error *e)
{
    struct txn *t = f->t;
    size_t i;

    for (i = 0; i < f->nform_fields; i++) {
        const struct form_edit_field *field = &f->form_fields[i];
        struct str value = arena_dup(t->arena, field->value);

        if (field->matter == FORM_NAMES_PROVIDER)
            f->ask.hints.form = value;
        if (field->matter != FORM_NAMES_MODEL || !value.n)
            continue;
        if (vkey_check_model(t->vkey, t->vteam, value, e) != GW_OK)
            return e->err;
        f->form_model = value;
    }
    return GW_OK;
}

static void on_head(void *arg)
{
    struct forward *f = arg;
    struct gw_error e = {0};

    f->form_fields = form_pass_fields(f->t->relay, &f->nform_fields);
    if (read_fields(f, &e) != GW_OK)
        forward_fail(f, &e);
    else
        forward_refs_look_up(f);
}

static void on_failed(void *arg, const struct gw_error *e)
{
    forward_fail(arg, e);
}

static const struct form_pass_ops pass_ops = {
    .on_head = on_head,
    .on_failed = on_failed,
    .late = on_late,
};

static void on_readable(struct txn *t)
{
    form_pass_readable(t->relay);
}

void forward_start_form(struct forward *f)
{
    struct txn *t = f->t;
    struct form_pass_room room = {
        .held = t->sv->held,
        .max_held = t->conf->forward.max_held_bytes,
        .in_pipes = t->sv->pipe_bytes,
    };
    struct gw_error e = {0};

    t->relay = form_pass_new(t->arena, t->sv->loop, t->req,
                             txn_header(t, STR("content-type")), &room,
                             &pass_ops, f, &e);
    if (!t->relay) {
        forward_fail(f, &e);
        return;
    }
    t->on_readable = on_readable;
    txn_goto(t, TXN_FORM);
}

/* --- on its way --- */

static struct str file_of(const struct forward *f, struct str id)
{
    size_t i;

    for (i = 0; i < f->nahead; i++)
        if (f->refs[i].kind == FORWARD_FILE && str_eq(f->refs[i].id, id))
            return f->refs[i].theirs;
    return STR_NULL;
}

enum gw_err forward_form_fill(struct forward *f, struct prov_forward *p,
                              struct str *model, struct gw_error *e)
{
    struct str with = STR_NULL;
    size_t i;

    *model = f->form_model.p ? f->form_model : STR("");
    if (model->n &&
        forward_rename_model(f, *model, STR("model"), &with, e) != GW_OK)
        return e->err;
    if (with.p)
        *model = with;
    for (i = 0; i < f->nform_fields && !f->is_form_filled; i++) {
        struct form_edit_field *field = &f->form_fields[i];

        field->is_left_out = field->matter == FORM_NAMES_PROVIDER;
        if (field->matter == FORM_NAMES_MODEL)
            field->with = with;
        if (field->matter == FORM_NAMES_FILE)
            field->with = file_of(f, field->value);
    }
    if (!f->is_form_filled && form_pass_go(f->t->relay, e) != GW_OK)
        return e->err;
    f->is_form_filled = true;
    p->content_type = form_pass_type(f->t->relay);
    p->has_stream = true;
    p->stream_len = form_pass_length(f->t->relay);
    return GW_OK;
}
