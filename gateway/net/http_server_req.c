/* Request objects are kept for reuse: one is 4 KB large with its array of
 * fields, and a connection without a request has none.
 *
 * closed() is called in one place, req_done(), at the end of a turn: after the
 * reply is in the socket (req_finish), or after the connection was closed under
 * the request (req_end).
 */
#include "gateway/net/http_server_impl.h"

#include <stdlib.h>

/* A head of this size keeps its memory for the next request. */
#define TEXT_KEPT (4 * KIB)

static struct server_req *take_free(struct http_server *s)
{
    struct server_req *r = s->free_reqs;

    if (!r) {
        r = xcalloc(1, sizeof(*r));
        r->server = s;
        return r;
    }
    s->free_reqs = r->next;
    s->nfree_reqs--;
    return r;
}

struct server_req *req_new(struct conn *c)
{
    struct http_server *s = c->server;
    struct server_req *r = take_free(s);

    r->next = s->reqs;
    r->prev = NULL;
    if (r->next)
        r->next->prev = r;
    s->reqs = r;
    r->conn = c;
    r->ops = NULL;
    r->arg = NULL;
    r->tag = c->tag;
    r->fail = (struct gw_error){0};
    r->reply = (struct req_reply){0};
    memcpy(r->peer, c->peer, sizeof(r->peer));
    return r;
}

void req_free(struct server_req *r)
{
    free(r->text);
    free(r);
}

static void forget(struct server_req *r)
{
    struct http_server *s = r->server;

    loop_task_cancel(s->loop, &r->done_task);
    loop_task_cancel(s->loop, &r->readable_task);
    loop_task_cancel(s->loop, &r->pump_task);
    if (r->prev)
        r->prev->next = r->next;
    else
        s->reqs = r->next;
    if (r->next)
        r->next->prev = r->prev;
}

void req_recycle(struct server_req *r)
{
    struct http_server *s = r->server;

    forget(r);
    if (s->nfree_reqs == LIMIT_FREE_REQUESTS) {
        req_free(r);
        return;
    }
    if (r->text_cap > TEXT_KEPT) {
        free(r->text);
        r->text = NULL;
        r->text_cap = 0;
    }
    r->next = s->free_reqs;
    s->free_reqs = r;
    s->nfree_reqs++;
}

void req_set_text(struct server_req *r, struct str text)
{
    if (r->text_cap < text.n) {
        r->text_cap = MAX(text.n, (size_t)KIB);
        free(r->text);
        r->text = xmalloc(r->text_cap);
    }
    memcpy(r->text, text.p, text.n);
}

/* --- the end --- */

/* The one place where a request ends. */
static void req_done(void *arg)
{
    struct server_req *r = arg;
    struct conn *c = r->conn;

    ASSERT(r->ops && r->ops->closed);
    r->conn = NULL;
    if (c)
        c->req = NULL;
    r->ops->closed(r->arg, r->why);
    if (c && c->state == CONN_ACTIVE)
        conn_after_reply(c, r);
    req_recycle(r);
}

void req_finish(struct server_req *r)
{
    r->reply.is_flushed = true;
    r->why = SERVER_REPLIED;
    conn_clear_deadline(r->conn);
    loop_defer(r->server->loop, &r->done_task, req_done, r);
}

void req_close_now(struct server_req *r)
{
    if (r->conn)
        conn_close(r->conn, SERVER_ABORTED);
    req_done(r);
}

void req_end(struct server_req *r, enum server_close why)
{
    struct conn *c = r->conn;

    if (r->reply.is_flushed)
        why = SERVER_REPLIED;
    else if (r->reply.status || why == SERVER_ABORTED)
        conn_reset_at_close(c);
    r->why = why;
    body_unwant(r);
    r->conn = NULL;
    c->req = NULL;
    loop_defer(c->server->loop, &r->done_task, req_done, r);
    reply_drop_pipe(r);
}
