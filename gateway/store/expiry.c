#include "gateway/store/expiry.h"

#include "gateway/base/bug.h"
#include "gateway/store/redis_done.h"
#include "gateway/store/schema.h"

struct due {
    expiry_due_callback *fn;
    void *arg;
    struct arena *arena;
};

static struct redis_call *command(struct redis *r, size_t argc,
                                  const struct str *argv,
                                  expiry_done_callback *fn, void *arg)
{
    return redis_tell_done(redis_command(r, redis_on_done, NULL, argc, argv),
                           fn, arg);
}

/* An owner may hold spaces, an id does not. */
static struct str member_of(struct arena *a, const struct file_record *f)
{
    return arena_printf(a, "%.*s %.*s", STR_ARG(f->owner), STR_ARG(f->obj.id));
}

/* option "XX": only if it is there. */
static struct redis_call *add(struct redis *r, const struct file_record *f,
                              struct str option, int64_t at_s,
                              expiry_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str argv[] = {STR("ZADD"),
                         STR(SCHEMA_EXPIRY),
                         option,
                         STR("CH"),
                         arena_printf(a, "%lld", (long long)at_s),
                         member_of(a, f)};
    struct redis_call *c = command(r, COUNTOF(argv), argv, fn, arg);

    arena_free(a);
    return c;
}

struct redis_call *expiry_put(struct redis *r, const struct file_record *f,
                              expiry_done_callback *fn, void *arg)
{
    ASSERT(f->obj.expires_at > 0);
    return add(r, f, STR("NX"), f->obj.expires_at, fn, arg);
}

struct redis_call *expiry_postpone(struct redis *r, const struct file_record *f,
                                   int64_t until_s, expiry_done_callback *fn,
                                   void *arg)
{
    return add(r, f, STR("XX"), until_s, fn, arg);
}

struct redis_call *expiry_clear(struct redis *r, const struct file_record *f,
                                expiry_done_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str argv[] = {STR("ZREM"), STR(SCHEMA_EXPIRY), member_of(a, f)};
    struct redis_call *c = command(r, COUNTOF(argv), argv, fn, arg);

    arena_free(a);
    return c;
}

/* --- what is due --- */

static struct file_record read_member(struct arena *a, struct str text,
                                      struct str score)
{
    struct file_record f = {0};
    size_t at;

    text = arena_dup(a, text);
    for (at = text.n; at > 0 && text.p[at - 1] != ' ';)
        at--;
    f.owner = str_make(text.p, at > 0 ? at - 1 : 0);
    f.obj.id = str_make(text.p + at, text.n - at);
    if (!str_to_i64(score, &f.obj.expires_at))
        f.obj.expires_at = 0;
    return f;
}

static void on_due(void *arg, const struct redis_value *v,
                   const struct gw_error *e)
{
    struct due *w = arg;
    struct file_record *files = NULL;
    size_t n = 0;

    if (e->err == GW_OK) {
        files = arena_alloc(w->arena, (v->n / 2 + 1) * sizeof(*files));
        for (; 2 * n + 1 < v->n; n++)
            files[n] = read_member(w->arena, redis_at(v, 2 * n).str,
                                   redis_at(v, 2 * n + 1).str);
    }
    w->fn(w->arg, files, n, e);
}

struct redis_call *expiry_due(struct redis *r, struct arena *a, int64_t now_s,
                              size_t max, expiry_due_callback *fn, void *arg)
{
    struct str argv[] = {STR("ZRANGEBYSCORE"),
                         STR(SCHEMA_EXPIRY),
                         STR("-inf"),
                         arena_printf(a, "%lld", (long long)now_s),
                         STR("WITHSCORES"),
                         STR("LIMIT"),
                         STR("0"),
                         arena_printf(a, "%zu", max)};
    struct redis_call *c = redis_command(r, on_due, NULL, COUNTOF(argv), argv);
    struct due *w = redis_room(c, sizeof(*w));

    *w = (struct due){fn, arg, a};
    return c;
}
