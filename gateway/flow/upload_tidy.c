#include "gateway/flow/upload_tidy.h"

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/codec/fileid.h"
#include "gateway/flow/upstream.h"
#include "gateway/store/upload_store.h"

#define FIRST_MS 1000
#define INTERVAL_MS 3600000
/* Beyond the longest life: what a completion that began late still reads. */
#define GRACE_MS 3600000

struct upload_tidy {
    struct services *sv;
    struct loop_timer timer;
    struct settings *conf; /* held while it looks */
    struct arena *arena;   /* of a page */
    struct upstream *up;
    struct file_obj *list;
    size_t n, i, deleted;
    struct str cursor;
    char next[LIMIT_FILE_NAME + 1]; /* where the next page begins */
    struct loop_task more;
};

static void list_page(void *arg);

static void rest(struct upload_tidy *u)
{
    if (u->deleted)
        log_info("removed %zu parts of uploads that nobody knows", u->deleted);
    settings_drop(u->conf);
    u->conf = NULL;
    u->deleted = 0;
    u->next[0] = '\0';
    loop_timer_set(&u->timer, INTERVAL_MS);
}

static bool is_old(struct str name)
{
    struct str ulid;

    if (!upload_store_is_part(name))
        return false;
    ulid = str_make(name.p + name.n - FILEID_ULID_CHARS, FILEID_ULID_CHARS);
    return fileid_time_ms(ulid) + UPLOAD_LIFE_MAX_MS + GRACE_MS <
           clock_wall_ms();
}

static void delete_next(struct upload_tidy *u);

/* What cannot be deleted now is looked at again in an hour. */
static void on_deleted(void *arg, const struct gw_error *e)
{
    struct upload_tidy *u = arg;

    u->deleted += e->err == GW_OK;
    delete_next(u);
}

static const struct upstream_ops delete_ops = {.done = on_deleted};

static void delete_next(struct upload_tidy *u)
{
    while (u->i < u->n && !is_old(u->list[u->i].id))
        u->i++;
    if (u->i < u->n) {
        u->up =
            upstream_new(u->sv, u->arena, u->conf->uploads.own, PROV_DELETE);
        u->up->op.upstream_id = u->list[u->i++].id;
        upstream_start(u->up, NULL, NULL, &delete_ops, u);
    } else if (u->cursor.n && u->cursor.n < sizeof(u->next)) {
        memcpy(u->next, u->cursor.p, u->cursor.n);
        u->next[u->cursor.n] = '\0';
        loop_defer(u->sv->loop, &u->more, list_page, u);
    } else {
        rest(u);
    }
}

static void on_page(void *arg, const struct gw_error *e)
{
    struct upload_tidy *u = arg;

    if (e->err != GW_OK) { /* mostly that there is no directory yet */
        rest(u);
        return;
    }
    u->list = u->up->op.list;
    u->n = u->up->op.nlist;
    u->i = 0;
    u->cursor = u->up->op.next_cursor;
    delete_next(u);
}

static const struct upstream_ops list_ops = {.done = on_page};

static void list_page(void *arg)
{
    struct upload_tidy *u = arg;

    arena_free(u->arena);
    u->arena = arena_new();
    u->up = upstream_new(u->sv, u->arena, u->conf->uploads.own, PROV_LIST);
    u->up->op.list_cursor = str_of(u->next);
    upstream_start(u->up, NULL, NULL, &list_ops, u);
}

static void on_tick(void *arg)
{
    struct upload_tidy *u = arg;

    if (u->sv->is_draining)
        return;
    u->conf = settings_hold(u->sv->settings);
    list_page(u);
}

struct upload_tidy *upload_tidy_open(struct services *sv)
{
    struct upload_tidy *u = xcalloc(1, sizeof(*u));

    u->sv = sv;
    loop_timer_init(sv->loop, &u->timer, on_tick, u);
    loop_timer_set(&u->timer, FIRST_MS);
    return u;
}

void upload_tidy_close(struct upload_tidy *u)
{
    if (!u)
        return;
    upstream_abort(u->up);
    loop_task_cancel(u->sv->loop, &u->more);
    loop_timer_release(&u->timer);
    settings_drop(u->conf);
    arena_free(u->arena);
    free(u);
}
