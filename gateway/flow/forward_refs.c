#include "gateway/base/clock.h"
#include "gateway/codec/fileid.h"
#include "gateway/flow/forward_impl.h"

/* One reference for each site of the text that names something, in their order,
 * behind that of the path. An id that stands twice is asked for twice: both are
 * in the same write. What cannot be an id of ours is not asked for at all. A
 * few are asked for at once, the next as answers come; the first that is not
 * the caller's ends it. */

#define AHEAD_MAX 4 /* of the path and the query */

bool forward_refs_has(const struct id_site *s)
{
    return s->kind == ID_FILE || s->kind == ID_OBJECT || s->kind == ID_STRANGE;
}

static struct forward_ref *add(struct forward *f, enum forward_ref_kind kind,
                               struct str id, struct str param)
{
    struct forward_ref *ref = &f->refs[f->nrefs++];

    *ref = (struct forward_ref){
        .f = f, .kind = kind, .id = id, .param = param, .theirs = id};
    return ref;
}

static void add_of_query(struct forward *f, const char *name)
{
    struct str id = txn_query(f->t, str_of(name));

    if (id.n)
        add(f, FORWARD_FILE, id, str_of(name))->is_in_query = true;
}

static void add_of_form(struct forward *f)
{
    for (size_t i = 0; i < f->nform_fields; i++)
        if (f->form_fields[i].matter == FORM_NAMES_FILE)
            add(f, FORWARD_FILE, f->form_fields[i].value,
                f->form_fields[i].name);
}

static void collect(struct forward *f)
{
    size_t most = f->asked.n + f->nform_fields + AHEAD_MAX;

    f->refs = arena_alloc(f->t->arena, most * sizeof(f->refs[0]));
    if (f->call->kind)
        add(f, FORWARD_OBJECT, f->t->params[0], STR("id"));
    if (f->call->sub_is_file)
        add(f, FORWARD_FILE, f->t->params[1], STR("file_id"));
    if (f->call->pages_files) {
        add_of_query(f, "after");
        add_of_query(f, "before");
    }
    add_of_form(f);
    f->nahead = f->nrefs;
    for (size_t i = 0; i < f->asked.n; i++) {
        const struct id_site *s = &f->asked.v[i];

        if (forward_refs_has(s))
            add(f, s->kind == ID_OBJECT ? FORWARD_OBJECT : FORWARD_FILE,
                s->value, s->path);
    }
}

/* --- what is not there --- */

static const char *object_name(const struct forward *f,
                               const struct forward_ref *ref)
{
    const struct kept_kind *kind = kept_kind(str_of(f->call->kind));

    if (!f->call->kind || ref != f->refs)
        return "object";
    return kind ? kind->what : f->call->kind;
}

static void refuse(struct forward *f, const struct forward_ref *ref)
{
    bool is_file = ref->kind == FORWARD_FILE;
    struct gw_error e = {0};
    struct str id = ref->id;

    if (!str_is_utf8(id) || id.n > LIMIT_OBJECT_ID_BYTES)
        id = STR_NULL;
    err_set_param(&e, is_file ? GW_FILE_NOT_FOUND : GW_OBJECT_NOT_FOUND,
                  arena_cstr(f->t->arena, ref->param), "no such %s '%.*s'",
                  is_file ? "file" : object_name(f, ref), STR_ARG(id));
    forward_fail(f, &e);
}

static void conclude(struct forward *f)
{
    if (f->error.err != GW_OK) {
        forward_fail(f, &f->error);
        return;
    }
    for (size_t i = 0; i < f->nrefs; i++)
        if (!f->refs[i].provider) {
            refuse(f, &f->refs[i]);
            return;
        }
    forward_known(f);
}

/* --- answers of the store --- */

static void look_on(struct forward *f);

static void answered(struct forward_ref *ref, const struct gw_error *e)
{
    struct forward *f = ref->f;

    ref->call = NULL;
    f->nwaiting--;
    if (e->err != GW_OK && f->error.err == GW_OK)
        f->error = *e;
    if (e->err != GW_OK || !ref->provider)
        f->nlooked = f->nrefs; /* it is refused: the others do not matter */
    look_on(f);
    if (!f->nwaiting)
        conclude(f);
}

/* /<provider>/v1/… pins the provider. */
static bool is_under_path(const struct forward *f, struct str provider)
{
    return !f->t->path_provider.p || str_eq(f->t->path_provider, provider);
}

static bool is_under_path_somewhere(const struct forward *f,
                                    const struct file_record *r)
{
    struct str path = f->t->path_provider;

    return !path.p || file_record_find(r, path) < file_record_places(r);
}

bool forward_ref_is_at(const struct forward_ref *ref, const char *provider)
{
    if (!ref->file)
        return strcmp(ref->provider, provider) == 0;
    return file_record_find(ref->file, str_of(provider)) <
           file_record_places(ref->file);
}

void forward_ref_use(struct forward_ref *ref, const char *provider)
{
    size_t place;

    ref->provider = provider;
    if (!ref->file)
        return;
    place = file_record_find(ref->file, str_of(provider));
    ref->theirs = file_record_place(ref->file, place).upstream_id;
}

static void on_file(void *arg, const struct file_record *r,
                    const struct gw_error *e)
{
    struct forward_ref *ref = arg;
    struct txn *t = ref->f->t;

    if (r && !file_record_is_expired(r, clock_wall_s()) &&
        is_under_path_somewhere(ref->f, r)) {
        struct file_record *file = arena_new_of(t->arena, struct file_record);

        *file = *r;
        ref->file = file;
        forward_ref_use(ref, arena_cstr(t->arena, r->obj.provider));
    }
    answered(ref, e);
}

static void on_object(void *arg, const struct object_record *o,
                      const struct gw_error *e)
{
    struct forward_ref *ref = arg;
    const char *kind = ref->f->call->kind;
    bool is_in_path = ref == ref->f->refs && kind;

    if (o && (!is_in_path || str_eq_c(o->kind, kind)) &&
        is_under_path(ref->f, o->provider))
        ref->provider = arena_cstr(ref->f->t->arena, o->provider);
    answered(ref, e);
}

static void on_kept(void *arg, const struct kept_record *k,
                    const struct gw_error *e)
{
    struct forward_ref *ref = arg;
    struct forward *f = ref->f;

    if (k && str_eq_c(k->kind, f->call->kind) &&
        is_under_path(f, k->provider)) {
        f->kept = *k;
        ref->theirs = k->upstream_id;
        ref->provider = arena_cstr(f->t->arena, k->provider);
    }
    answered(ref, e);
}

/* The object {id}, when it is one that is kept. */
static void look_up_kept(struct forward *f, struct forward_ref *ref,
                         const struct kept_kind *kind)
{
    struct txn *t = f->t;
    struct fileid id;

    if (kind->is_renamed ? fileid_parse(FILEID_JOB, ref->id, &id)
                         : object_is_id(ref->id))
        ref->call = kept_store_get(t->sv->redis, t->arena, t->vkey->owner,
                                   ref->id, on_kept, ref);
}

static bool look_up(struct forward *f, struct forward_ref *ref)
{
    struct txn *t = f->t;
    const struct kept_kind *kind = kept_kind(str_of(f->call->kind));
    struct fileid id;

    if (ref == f->refs && kind) {
        look_up_kept(f, ref, kind);
        return ref->call != NULL;
    }
    if (ref->kind == FORWARD_FILE && fileid_parse(FILEID_FILE, ref->id, &id))
        ref->call = file_store_get(t->sv->redis, t->arena, t->vkey->owner,
                                   ref->id, on_file, ref);
    else if (ref->kind == FORWARD_OBJECT && object_is_id(ref->id))
        ref->call = object_store_get(t->sv->redis, t->arena, t->vkey->owner,
                                     ref->id, on_object, ref);
    return ref->call != NULL;
}

static void look_on(struct forward *f)
{
    while (f->nlooked < f->nrefs && f->nwaiting < LIMIT_LOOK_UPS) {
        if (!look_up(f, &f->refs[f->nlooked++])) {
            f->nlooked = f->nrefs;
            return;
        }
        f->nwaiting++;
    }
}

/* What stands in a path and is no file's is the provider's own. */
static bool has_bad_sub(const struct forward *f)
{
    for (size_t i = 1; i < TXN_PARAMS && f->t->params[i].p; i++)
        if (!(i == 1 && f->call->sub_is_file) && !object_is_id(f->t->params[i]))
            return true;
    return false;
}

void forward_refs_look_up(struct forward *f)
{
    if (has_bad_sub(f)) {
        struct gw_error e = {0};

        err_set_param(&e, GW_OBJECT_NOT_FOUND, "id", "there is no such object");
        forward_fail(f, &e);
        return;
    }
    collect(f);
    look_on(f);
    if (f->nwaiting)
        txn_goto(f->t, TXN_STORE);
    else
        conclude(f);
}

void forward_refs_cancel(struct forward *f)
{
    for (size_t i = 0; i < f->nrefs; i++)
        if (f->refs[i].call)
            redis_cancel(f->refs[i].call);
    for (size_t i = 0; i < f->nrefs; i++)
        f->refs[i].call = NULL;
}
