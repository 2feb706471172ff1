#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/flow/forward_impl.h"
#include "providers/prov_said.h"

/* The ids of an answer: those that came with the request go back at once, the
 * others are asked for one by one. Taking a file over writes several things,
 * which are not left half done: it holds the transaction. */

static void look_on(struct forward *f);

void forward_ids_name(struct forward *f, struct str theirs, struct str ours)
{
    struct forward_name *n = arena_new_of(f->t->arena, struct forward_name);

    *n = (struct forward_name){f->names, theirs, ours};
    f->names = n;
}

static struct str ours_of(const struct forward *f, struct str theirs)
{
    const struct forward_name *n;

    for (n = f->names; n; n = n->next)
        if (str_eq(n->theirs, theirs))
            return n->ours;
    return STR_NULL;
}

/* Is there a new object in it, to be noted before anybody sees it? */
static bool shows_object(const struct forward *f, const struct id_found *found)
{
    return f->call->makes && object_is_id(found->id) &&
           str_eq_c(found->object, f->call->makes) &&
           !str_eq(found->id, f->noted);
}

static bool is_renamed(const struct id_site *s)
{
    return (s->kind == ID_FILE || s->kind == ID_JOB) && s->value.n &&
           s->value.n <= LIMIT_UPSTREAM_ID_BYTES;
}

/* As in an error's text: what the request names is ours, others are left out.
 */
static void clean(struct forward *f, struct id_site *s)
{
    struct str text = prov_said_clean_all(&f->t->up->op, s->value);

    if (!str_eq(text, s->value))
        s->with = text;
}

/* The first that is not known, or NULL. */
static struct id_site *fill(struct forward *f, struct id_found *found)
{
    for (size_t i = 0; i < found->n; i++) {
        struct id_site *s = &found->v[i];

        if (s->kind == ID_SAID && !s->with.p)
            clean(f, s);
        if (!is_renamed(s) || s->with.p)
            continue;
        s->with = ours_of(f, s->value);
        /* A job that nobody asked for is not told of. */
        if (!s->with.p && s->kind == ID_JOB)
            s->with = STR("");
        if (!s->with.p)
            return s;
    }
    return NULL;
}

bool forward_ids_fill(struct forward *f, struct id_found *found)
{
    return !shows_object(f, found) && !fill(f, found);
}

static void end_look(struct forward *f, const struct gw_error *e)
{
    f->look = NULL;
    f->looked(f, e);
}

/* --- a file --- */

static void drop_found(struct forward *f)
{
    f->found = NULL;
    f->t->on_break = f->is_making ? forward_kept_break : NULL;
    txn_drop(f->t);
}

static void on_break(struct txn *t)
{
    struct forward *f = t->data;

    struct gw_error e = {0};

    err_plain(&e, GW_DRAINING);
    found_file_abort(f->found);
    forward_fail(f, &e);
    drop_found(f);
}

static void on_found(void *arg, const struct gw_error *e)
{
    struct forward *f = arg;
    struct found_file *found = f->found;
    struct gw_error error = *e;
    bool is_over = f->is_over;

    /* What is another's, or gone, is shown by an id that leads nowhere. */
    if (e->err == GW_OK)
        forward_ids_name(f, found->theirs,
                         found->id.p ? found->id
                                     : found_file_id(found, f->t->arena, 0));
    drop_found(f);
    if (is_over)
        return;
    if (error.err != GW_OK)
        end_look(f, &error);
    else
        look_on(f);
}

static void find(struct forward *f, struct str theirs)
{
    struct txn *t = f->t;
    struct found_file *found = arena_new_of(t->arena, struct found_file);

    *found = (struct found_file){
        .provider = f->provider,
        .theirs = arena_dup(t->arena, theirs),
        .owner = t->vkey->owner,
        .key_hash = t->is_master ? STR("master") : str_of(t->vkey->hash),
        .who = t->who,
        .seed = t->vkey->owner,
        .most_ms = clock_wall_ms(),
        .filename = STR("output"),
    };
    f->found = found;
    txn_hold(t);
    t->on_break = on_break;
    found_file_start(found, t->sv, t->arena, on_found, f);
}

/* --- the object --- */

static void on_noted(void *arg, struct str text, const struct gw_error *e)
{
    struct forward *f = arg;

    (void)text;
    f->note = NULL;
    if (e->err != GW_OK) {
        log_msg(LOG_WARN, f->t->id,
                "a %s was made at '%s' that nobody will find: %s",
                f->call->makes, f->provider->name, e->message);
        end_look(f, e);
        return;
    }
    look_on(f);
}

static void note(struct forward *f, struct str id)
{
    struct txn *t = f->t;
    struct object_record o = {
        .id = id,
        .kind = str_of(f->call->makes),
        .owner = t->vkey->owner,
        .provider = str_of(f->provider->name),
    };

    f->noted = arena_dup(t->arena, id);
    f->note = object_store_put(t->sv->redis, &o,
                               t->conf->forward.object_life_ms, on_noted, f);
}

/* --- one after the other --- */

static void look_on(struct forward *f)
{
    struct gw_error ok = {0};
    struct id_site *s;

    if (shows_object(f, f->look)) {
        note(f, f->look->id);
        return;
    }
    s = fill(f, f->look);
    if (s)
        find(f, s->value);
    else
        end_look(f, &ok);
}

void forward_ids_look(struct forward *f, struct id_found *found,
                      void (*looked)(struct forward *f,
                                     const struct gw_error *e))
{
    f->look = found;
    f->looked = looked;
    look_on(f);
}

void forward_ids_cancel(struct forward *f)
{
    if (f->note)
        redis_cancel(f->note);
    f->note = NULL;
}
