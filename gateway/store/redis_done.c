#include "gateway/store/redis_done.h"

struct done {
    redis_done_callback *fn;
    void *arg;
};
struct text {
    redis_text_callback *fn;
    void *arg;
};

void redis_on_done(void *room, const struct redis_value *v,
                   const struct gw_error *e)
{
    struct done *w = room;

    if (w->fn)
        w->fn(w->arg, v && v->integer == 1, e);
}

struct redis_call *redis_tell_done(struct redis_call *c,
                                   redis_done_callback *fn, void *arg)
{
    struct done *w = redis_room(c, sizeof(*w));

    *w = (struct done){fn, arg};
    return c;
}

void redis_on_text(void *room, const struct redis_value *v,
                   const struct gw_error *e)
{
    struct text *w = room;

    w->fn(w->arg, v ? v->str : STR_NULL, e);
}

struct redis_call *redis_tell_text(struct redis_call *c,
                                   redis_text_callback *fn, void *arg)
{
    struct text *w = redis_room(c, sizeof(*w));

    *w = (struct text){fn, arg};
    return c;
}
