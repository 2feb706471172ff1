#include "gateway/store/file_page.h"

#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/store/schema.h"
#include "scripts.h"

static const struct redis_script page_script = REDIS_SCRIPT(file_page);

/* What the call remembers (redis_room). */
struct page {
    file_store_page_callback *fn;
    void *arg;
    struct arena *arena;
    struct str owner;
};

static void on_page(void *arg, const struct redis_value *v,
                    const struct gw_error *e)
{
    struct page *w = arg;
    struct gw_error bad = {0};
    struct file_record *records;
    size_t n = 0, i;

    if (e->err != GW_OK) {
        w->fn(w->arg, NULL, 0, false, e);
        return;
    }
    records = arena_alloc(w->arena, v->n * sizeof(*records));
    for (i = 1; i < v->n; i++) {
        if (file_record_read(w->arena, w->owner, redis_at(v, i).str,
                             &records[n], &bad)) {
            w->fn(w->arg, NULL, 0, false, &bad);
            return;
        }
        n++;
    }
    w->fn(w->arg, records, n, redis_at(v, 0).integer == 1, e);
}

struct redis_call *file_store_page(struct redis *r, struct arena *a,
                                   const struct file_store_query *q,
                                   file_store_page_callback *fn, void *arg)
{
    struct str keys[2], args[4];
    char limit[24];
    struct redis_call *c;
    struct page *w;

    ASSERT(q->limit > 0 && q->limit <= LIMIT_LIST_PAGE);
    keys[0] = schema_index(a, q->owner, q->purpose, q->provider);
    keys[1] = schema_key(a, SCHEMA_FILE, q->owner, STR(""));
    args[0] = q->is_ascending ? STR("asc") : STR("desc");
    args[1] = q->is_ascending ? STR("-") : STR("+");
    args[2] = q->is_ascending ? STR("+") : STR("-");
    if (q->after.p)
        args[1] = arena_printf(a, "(%.*s", STR_ARG(schema_member(a, q->after)));
    snprintf(limit, sizeof(limit), "%zu", q->limit);
    args[3] = str_of(limit);
    c = redis_eval(r, on_page, NULL, &page_script, COUNTOF(keys), keys,
                   COUNTOF(args), args);
    w = redis_room(c, sizeof(*w));
    *w = (struct page){fn, arg, a, arena_dup(a, q->owner)};
    return c;
}

/* --- counting --- */

struct count {
    file_store_count_callback *fn;
    void *arg;
};

static void on_count(void *arg, const struct redis_value *v,
                     const struct gw_error *e)
{
    struct count *w = arg;

    w->fn(w->arg, v ? v->integer : 0, e);
}

struct redis_call *file_store_count(struct redis *r, struct str owner,
                                    file_store_count_callback *fn, void *arg)
{
    struct arena *a = arena_new();
    struct str argv[] = {STR("ZCARD"),
                         schema_index(a, owner, STR_NULL, STR_NULL)};
    struct redis_call *c =
        redis_command(r, on_count, NULL, COUNTOF(argv), argv);
    struct count *w = redis_room(c, sizeof(*w));

    *w = (struct count){fn, arg};
    arena_free(a);
    return c;
}
