/* A file is one record and its index entries, two and two more for each of its
 * providers, all under the hash tag of its owner and changed in one script. The
 * way back from the provider's id is under another tag: a command of its own,
 * in the same write. It is set before the record and removed after it, so that
 * no record is ever without it, and what a crash leaves is at worst a way that
 * leads to nothing. A file of several providers has as many ways.
 */
#include "gateway/store/file_store.h"

#include "gateway/store/schema.h"
#include "scripts.h"

#define FILE_KEYS_MAX (3 + 2 * LIMIT_FAN_OUT)
#define CALLS_MAX (LIMIT_FAN_OUT + 1) /* of a change: the record, the ways */

static const struct redis_script put_script = REDIS_SCRIPT(file_put);
static const struct redis_script update_script = REDIS_SCRIPT(file_update);
static const struct redis_script delete_script = REDIS_SCRIPT(file_delete);
static const struct redis_script unlink_script = REDIS_SCRIPT(file_unlink);

/* What the calls remember (redis_room). */
struct change {
    file_store_done_callback *fn;
    void *arg;
    bool changed;        /* by the first of the commands */
    enum gw_err failure; /* the first, of the commands before the last */
};
struct earlier {
    struct change *change;
};
struct look_up {
    file_store_get_callback *fn;
    void *arg;
    struct arena *arena;
    struct str owner;
};

/* --- keys --- */

/* A file without a purpose is found under the empty one. How many. */
static size_t keys_of(struct arena *a, const struct file_record *f,
                      struct str keys[FILE_KEYS_MAX])
{
    struct str purpose = f->obj.purpose.p ? f->obj.purpose : STR("");
    size_t i, n = 0, places = file_record_places(f);

    keys[n++] = schema_key(a, SCHEMA_FILE, f->owner, f->obj.id);
    keys[n++] = schema_index(a, f->owner, STR_NULL, STR_NULL);
    keys[n++] = schema_index(a, f->owner, purpose, STR_NULL);
    for (i = 0; i < places; i++) {
        struct str provider = file_record_place(f, i).provider;

        keys[n++] = schema_index(a, f->owner, STR_NULL, provider);
        keys[n++] = schema_index(a, f->owner, purpose, provider);
    }
    return n;
}

static struct str way_back(struct arena *a, const struct file_record *f,
                           size_t place)
{
    struct file_copy c = file_record_place(f, place);

    return schema_key(a, SCHEMA_UPSTREAM, c.provider, c.upstream_id);
}

static struct str owner_and_id(struct arena *a, const struct file_record *f)
{
    return arena_printf(a, "%.*s %.*s", STR_ARG(f->owner), STR_ARG(f->obj.id));
}

/* --- put, update, delete --- */

/* A command that others follow: what became of it is told with the last. */
static void on_earlier(void *arg, const struct redis_value *v UNUSED,
                       const struct gw_error *e)
{
    struct earlier *earlier = arg;

    if (earlier->change->failure == GW_OK)
        earlier->change->failure = e->err;
}

/* The same, and the one that counts. */
static void on_first(void *arg, const struct redis_value *v,
                     const struct gw_error *e)
{
    struct earlier *earlier = arg;

    on_earlier(arg, v, e);
    earlier->change->changed = v && v->kind == REDIS_INT && v->integer == 1;
}

static void tell_change(struct change *w, bool changed,
                        const struct gw_error *e)
{
    struct gw_error first = {0};

    if (e->err == GW_OK && w->failure != GW_OK) {
        err_plain(&first, w->failure);
        first.retry_after_s = w->failure == GW_STORE_UNAVAILABLE;
        e = &first;
    }
    w->fn(w->arg, changed && e->err == GW_OK, e);
}

static void on_changed(void *arg, const struct redis_value *v,
                       const struct gw_error *e)
{
    tell_change(arg, v && v->integer == 1, e);
}

/* The first command counted, this one only followed. */
static void on_unlinked(void *arg, const struct redis_value *v UNUSED,
                        const struct gw_error *e)
{
    struct change *w = arg;

    tell_change(w, w->changed, e);
}

static struct change *remember(struct redis_call *c,
                               file_store_done_callback *fn, void *arg)
{
    struct change *w = redis_room(c, sizeof(*w));

    w->fn = fn;
    w->arg = arg;
    return w;
}

/* The last tells what became of all: it is told after the others. */
static struct redis_call *join(struct redis_call **calls, size_t n,
                               file_store_done_callback *fn, void *arg)
{
    struct change *change = remember(calls[n - 1], fn, arg);
    struct earlier *w;
    size_t i;

    for (i = 0; i + 1 < n; i++) {
        w = redis_room(calls[i], sizeof(*w));
        w->change = change;
        redis_after(calls[i + 1], calls[i]);
    }
    return calls[n - 1];
}

static struct redis_call *put_way(struct redis *r, struct arena *a,
                                  const struct file_record *f, size_t place)
{
    struct str set[] = {STR("SET"), way_back(a, f, place), owner_and_id(a, f)};

    return redis_command(r, on_earlier, NULL, COUNTOF(set), set);
}

struct redis_call *file_store_put(struct redis *r, const struct file_record *f,
                                  file_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str keys[FILE_KEYS_MAX], args[2];
    struct redis_call *calls[CALLS_MAX], *last;
    size_t n = 0, places = file_record_places(f);

    for (; n < places; n++)
        calls[n] = put_way(r, a, f, n);
    args[0] = file_record_text(a, f);
    args[1] = schema_member(a, f->obj.id);
    calls[n++] = redis_eval(r, on_changed, NULL, &put_script,
                            keys_of(a, f, keys), keys, COUNTOF(args), args);
    last = join(calls, n, fn, arg);
    arena_free(a);
    return last;
}

struct redis_call *file_store_update(struct redis *r,
                                     const struct file_record *f,
                                     file_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str key = schema_key(a, SCHEMA_FILE, f->owner, f->obj.id);
    struct str text = file_record_text(a, f);
    struct redis_call *c;

    c = redis_eval(r, on_changed, NULL, &update_script, 1, &key, 1, &text);
    remember(c, fn, arg);
    arena_free(a);
    return c;
}

/* The script goes as text: after a NOSCRIPT it would be carried out behind the
 * second command. */
static struct redis_call *delete_record(struct redis *r, struct arena *a,
                                        const struct file_record *f)
{
    struct str argv[3 + FILE_KEYS_MAX + 1];
    char count[STR_I64_BYTES];
    size_t n;

    argv[0] = STR("EVAL");
    argv[1] = str_of(delete_script.text);
    n = keys_of(a, f, argv + 3);
    argv[2] = str_of_i64((int64_t)n, count);
    argv[3 + n] = schema_member(a, f->obj.id);
    return redis_command(r, on_first, NULL, 3 + n + 1, argv);
}

struct redis_call *file_store_delete(struct redis *r,
                                     const struct file_record *f,
                                     file_store_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct redis_call *calls[CALLS_MAX], *last;
    struct str key, value = owner_and_id(a, f);
    size_t i, n = 0, places = file_record_places(f);

    calls[n++] = delete_record(r, a, f);
    for (i = 0; i < places; i++) {
        key = way_back(a, f, i);
        calls[n++] = redis_eval(r, i + 1 < places ? on_earlier : on_unlinked,
                                NULL, &unlink_script, 1, &key, 1, &value);
    }
    last = join(calls, n, fn, arg);
    arena_free(a);
    return last;
}

/* --- looking up --- */

static struct redis_call *look_up(struct redis *r, struct arena *a,
                                  redis_callback *on_answer, struct str key,
                                  struct str owner, file_store_get_callback *fn,
                                  void *arg)
{
    struct str get[] = {STR("GET"), key};
    struct redis_call *c = redis_command(r, on_answer, NULL, COUNTOF(get), get);
    struct look_up *w = redis_room(c, sizeof(*w));

    *w = (struct look_up){fn, arg, a, owner};
    return c;
}

static void on_got(void *arg, const struct redis_value *v,
                   const struct gw_error *e)
{
    struct look_up *w = arg;
    struct gw_error bad = {0};
    struct file_record f;

    if (e->err != GW_OK || v->kind == REDIS_NIL) {
        w->fn(w->arg, NULL, e);
    } else if (file_record_read(w->arena, w->owner, v->str, &f, &bad)) {
        w->fn(w->arg, NULL, &bad);
    } else {
        w->fn(w->arg, &f, e);
    }
}

struct redis_call *file_store_get(struct redis *r, struct arena *a,
                                  struct str owner, struct str id,
                                  file_store_get_callback *fn, void *arg)
{
    return look_up(r, a, on_got, schema_key(a, SCHEMA_FILE, owner, id),
                   arena_dup(a, owner), fn, arg);
}

/* "<owner> <file id>": an owner may hold spaces, an id does not. */
static void on_way_back(void *arg, const struct redis_value *v,
                        const struct gw_error *e)
{
    struct look_up *w = arg;
    struct file_record f = {0};
    struct str text;
    size_t at;

    if (e->err != GW_OK || v->kind == REDIS_NIL) {
        w->fn(w->arg, NULL, e);
        return;
    }
    text = arena_dup(w->arena, v->str);
    for (at = text.n; at > 0 && text.p[at - 1] != ' ';)
        at--;
    f.owner = str_make(text.p, at > 0 ? at - 1 : 0);
    f.obj.id = str_make(text.p + at, text.n - at);
    w->fn(w->arg, &f, e);
}

struct redis_call *file_store_by_upstream(struct redis *r, struct arena *a,
                                          const char *provider,
                                          struct str upstream_id,
                                          file_store_get_callback *fn,
                                          void *arg)
{
    struct str key =
        schema_key(a, SCHEMA_UPSTREAM, str_of(provider), upstream_id);

    return look_up(r, a, on_way_back, key, STR_NULL, fn, arg);
}
