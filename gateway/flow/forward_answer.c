#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "gateway/flow/forward_impl.h"

/* --- the head --- */

/* What is that long is no type. */
static struct str type_of(struct forward *f, const struct upstream_head *h)
{
    if (!h->content_type.n || h->content_type.n > LIMIT_FIELD_SHOWN)
        return STR("");
    return arena_dup(f->t->arena, h->content_type);
}

static bool is_event_stream(struct str type)
{
    static const struct str name = {"text/event-stream", 17};

    return type.n >= name.n && str_eq_nocase(str_make(type.p, name.n), name);
}

static void begin_fields(struct forward *f, const struct upstream_head *h)
{
    struct arena *a = f->t->arena;

    txn_fields(f->t, &f->fields, f->content_type);
    if (is_event_stream(f->content_type))
        http_fields_add(&f->fields, a, STR("Cache-Control"), STR("no-cache"));
    if (h->content_encoding.n && h->content_encoding.n <= LIMIT_FIELD_SHOWN)
        http_fields_add(&f->fields, a, STR("Content-Encoding"),
                        arena_dup(a, h->content_encoding));
}

/* --- one that is collected --- */

static void take_all(struct forward *f)
{
    char bytes[16 * KIB];
    struct gw_error e = {0};
    size_t n;

    while (!f->is_over && (n = pipe_read(f->in, bytes, sizeof(bytes))) > 0)
        if (held_buf_add(&f->got, bytes, n, &e) != GW_OK) {
            struct gw_error why = {0};

            if (e.err == GW_BODY_TOO_LARGE)
                err_set(&why, GW_UPSTREAM_BAD_RESPONSE,
                        "provider '%s' sent an answer over %lld bytes long",
                        f->provider->name,
                        (long long)f->t->conf->forward.max_json_bytes);
            else
                why = e;
            forward_fail(f, &why);
        }
}

static void reply(struct forward *f, struct str text)
{
    if (f->t->req)
        txn_reply(f->t, f->status, &f->fields, text);
}

/* The end of making an object, if it did. */
void forward_answer_reply(struct forward *f)
{
    reply(f, buf_str(&f->shown.buf));
    forward_kept_end(f, true);
}

static void show(struct forward *f, const struct gw_error *e)
{
    struct id_found *found = &f->asked;
    struct str text = buf_str(&f->got.buf);
    int64_t bytes = (int64_t)(text.n + id_growth(found));
    struct gw_error error = *e;

    if (f->is_over)
        return;
    held_buf_init(&f->shown, f->t->sv->held, bytes,
                  f->t->conf->forward.max_held_bytes);
    if (error.err != GW_OK || held_buf_expect(&f->shown, bytes, &error)) {
        forward_fail(f, &error);
        return;
    }
    id_write(found, text, &f->shown.buf);
    ASSERT(!f->shown.buf.overflow);
    if (f->call->keeps) {
        forward_kept_record(f, buf_str(&f->shown.buf));
        return;
    }
    if (f->call->shows)
        forward_kept_seen(f, buf_str(&f->shown.buf));
    forward_answer_reply(f);
}

static void show_collected(struct forward *f)
{
    struct gw_error e = {0};

    take_all(f);
    if (f->is_over)
        return;
    if (!f->got.buf.n && !f->call->keeps) {
        reply(f, STR(""));
        return;
    }
    /* Those of the request are done with. */
    f->asked = (struct id_found){0};
    if (id_find(f->t->arena, f->places, buf_str(&f->got.buf), &f->asked, &e))
        forward_fail(f, &e);
    else if (f->call->keeps && forward_kept_made(f, f->asked.id, &e))
        forward_fail(f, &e);
    else if (forward_ids_fill(f, &f->asked))
        show(f, &e);
    else
        forward_ids_look(f, &f->asked, show);
}

static void on_readable(void *arg)
{
    take_all(arg);
}

static const struct pipe_reader_ops collect_ops = {.readable = on_readable};

/* --- which of them --- */

static void on_ended(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    (void)changed;
    if (e->err != GW_OK)
        log_warn("an object that is no more is known for a while: %s",
                 e->message);
}

static void end_object(struct forward *f)
{
    struct txn *t = f->t;

    if (kept_kind(str_of(f->call->kind))) {
        forward_kept_gone(f);
        return;
    }
    (void)object_store_delete(t->sv->redis, t->vkey->owner, f->refs[0].id,
                              on_ended, NULL);
}

/* Events, where ids are known to stand in an object alone. */
static bool has_strange_events(const struct forward *f, bool has_events)
{
    if (!has_events)
        return false;
    return f->call->keeps || f->call->shows ||
           (!f->places &&
            id_places_find(ID_IN_ANSWER, f->call->method, f->call->path));
}

/* Can it be looked into, as it must be? */
static enum gw_err check_head(const struct forward *f,
                              const struct upstream_head *h, bool has_events,
                              struct gw_error *e)
{
    if (has_strange_events(f, has_events))
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "provider '%s' sent events where an object was asked "
                       "for",
                       f->provider->name);
    if (f->places && h->content_encoding.n &&
        !str_eq_nocase(h->content_encoding, STR("identity")))
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "provider '%s' sent an answer in a coding that was not "
                       "asked for",
                       f->provider->name);
    return GW_OK;
}

void forward_answer_head(struct forward *f, const struct upstream_head *h)
{
    struct txn *t = f->t;
    struct gw_error e = {0};
    bool has_events;

    f->status = h->status;
    f->content_type = type_of(f, h);
    has_events = is_event_stream(f->content_type);
    f->places = id_places_find(has_events ? ID_IN_EVENT : ID_IN_ANSWER,
                               f->call->method, f->call->path);
    if (check_head(f, h, has_events, &e) != GW_OK) {
        forward_fail(f, &e);
        return;
    }
    begin_fields(f, h);
    if (f->call->ends)
        end_object(f);
    if (!f->places) {
        t->pipe = f->in;
        txn_reply_pipe(t, f->status, &f->fields, h->length, t->pipe);
    } else if (has_events) {
        forward_events_begin(f);
    } else {
        pipe_set_reader(f->in, &collect_ops, f);
        f->is_collected = true;
    }
}

void forward_answer_done(struct forward *f)
{
    if (f->is_collected)
        show_collected(f);
}
