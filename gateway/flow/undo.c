#include "gateway/flow/undo.h"

#include <utlist.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"

struct undo {
    struct undo *prev, *next;
    struct services *sv;
    struct arena *arena;
    struct http_req req;
    struct str provider;
    struct client_call *call;
};

/* The provider's description borrows from the operation and the settings, which
 * need not live as long. */
static void copy_request(struct arena *a, const struct http_req *from,
                         struct http_req *to)
{
    *to = (struct http_req){.method = arena_cstr(a, str_of(from->method)),
                            .url = arena_dup(a, from->url),
                            .is_direct = from->is_direct};
    for (size_t i = 0; i < from->fields.n; i++)
        http_fields_add(&to->fields, a, arena_dup(a, from->fields.v[i].name),
                        arena_dup(a, from->fields.v[i].value));
    for (size_t i = 0; i < from->nsegs; i++) {
        ASSERT(from->segs[i].kind == HTTP_SEG_MEM);
        http_req_add_mem(to, arena_dup(a, from->segs[i].mem));
    }
}

static void end(struct undo *u)
{
    DL_DELETE(u->sv->undos, u);
    arena_free(u->arena);
}

static void on_done(void *arg, const struct http_res *res,
                    const struct gw_error *e)
{
    struct undo *u = arg;

    if (e->err != GW_OK)
        log_warn("cannot give up an upload at provider '%.*s': %s",
                 STR_ARG(u->provider), e->message);
    else if (res->status >= 500)
        log_warn("cannot give up an upload at provider '%.*s': status %d",
                 STR_ARG(u->provider), res->status);
    end(u);
}

static const struct client_call_ops ops = {.done = on_done};

static struct undo *new_undo(struct services *sv, const struct prov_op *op,
                             const struct http_req *req)
{
    struct arena *a = arena_new();
    struct undo *u = arena_new_of(a, struct undo);

    u->sv = sv;
    u->arena = a;
    u->provider = arena_dup(a, str_of(op->conf->name));
    copy_request(a, req, &u->req);
    DL_APPEND(sv->undos, u);
    return u;
}

void undo_create(struct services *sv, struct prov_op *op)
{
    const struct provider_conf *c = op->conf;
    struct prov_exchange x = {0};
    struct client_call_options o = {
        .connect_timeout_ms = c->connect_timeout_ms,
        .timeout_ms = c->timeout_ms,
    };
    struct undo *u;

    if (!c->type->undo || !c->type->undo(op, &x))
        return;
    u = new_undo(sv, op, &x.http);
    o.ca_file = arena_cstr(u->arena, str_of(c->ca_file));
    o.proxy = u->req.is_direct ? "" : arena_cstr(u->arena, str_of(c->proxy));
    u->call = http_client_start(sv->client, &u->req, &o, &ops, u);
}

void undo_close(struct services *sv)
{
    while (sv->undos) {
        client_call_abort(sv->undos->call);
        end(sv->undos);
    }
}
