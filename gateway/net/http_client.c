/* The transport under client_call.c: one curl multi handle per client, driven
 * by the loop's events, tasks and one timer.
 *
 *     a socket is ready ──> client_sock.c ──┐          ┌──> read_body()
 *     curl's timer ───────> on_timer() ─────┼──> curl ─┼──> read_head()
 *     a pipe goes on ─────> client_call.c ──┘          └──> take_bytes()
 *
 *     then settle(): what was gathered goes to its sink, ends are told
 *
 * Kept-alive connections may have been closed by the provider meanwhile. curl
 * then tries again on a fresh one, and rewinds the body with seek_body(); when
 * it was a send that failed it does not, so we do, once. Both only before the
 * first byte of an answer. A request that cannot be sent twice, or must not be,
 * gets a fresh connection from the start.
 */
#include "gateway/net/http_client.h"

#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <curl/curl.h>

#include "gateway/base/bug.h"
#include "gateway/net/client_call.h"
#include "gateway/net/client_last.h"
#include "gateway/net/client_sock.h"
#include "gateway/net/ip.h"

#define SMALL_UPLOAD 65536L /* curl's upload buffer without a stream */

/* A failed setting means out of memory, or that this libcurl cannot do what we
 * cannot do without. */
#define SET(easy, option, value)                                               \
    ASSERT(curl_easy_setopt((easy), (option), (value)) == CURLE_OK)

/* --- pausing --- */

static int pause_bits(const struct client_call *k)
{
    return (k->source_waits ? CURLPAUSE_SEND : 0) |
           (k->receive_waits ? CURLPAUSE_RECV : 0);
}

void http_client_pause(struct client_call *k)
{
    struct http_client *c = k->client;

    c->in_curl++;
    curl_easy_pause(k->easy, pause_bits(k));
    c->in_curl--;
    if (!c->in_curl)
        client_call_forget_lent(c);
}

/* The sink is full: no more is to be received. */
static void hold(struct client_call *k)
{
    if (k->receive_waits)
        return;
    k->receive_waits = k->is_hold_new = true;
    http_client_pause(k);
}

/* --- curl's callbacks --- */

static size_t read_body(char *buf, size_t size, size_t count, void *arg)
{
    size_t n;

    switch (client_call_give(arg, buf, size * count, &n)) {
    case CLIENT_GO:
        return n;
    case CLIENT_WAIT:
        return CURL_READFUNC_PAUSE;
    default:
        return CURL_READFUNC_ABORT;
    }
}

static int seek_body(void *arg, curl_off_t offset, int origin)
{
    struct client_call *k = arg;

    if (k->state != CALL_RUNNING || offset != 0 || origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    return client_body_rewind(&k->body) ? CURL_SEEKFUNC_OK
                                        : CURL_SEEKFUNC_CANTSEEK;
}

static size_t read_head(char *p, size_t size, size_t count, void *arg)
{
    struct str line = str_make(p, size * count);

    return client_call_head_line(arg, line) == CLIENT_GO ? line.n : 0;
}

/* Whether the slice that follows these n bytes in curl's buffer is handed out
 * next. curl counts a read before it hands it out, in the version that is lent
 * from (and but for chunked bodies, where it counts later: then the number is
 * behind, and the answer no). */
static bool has_more(const struct client_call *k, size_t n)
{
    curl_off_t total = 0;

    if (!k->client->may_lend)
        return false;
    curl_easy_getinfo(k->easy, CURLINFO_SIZE_DOWNLOAD_T, &total);
    return total > k->received + (int64_t)n;
}

/* A sink that is full now stops curl here, before it reads more, which it would
 * have to copy aside. curl allows that from inside. So does a call that has had
 * its share of the turn: left alone, curl reads a hundred buffers in one act,
 * and everybody else on this worker waits. */
static size_t take_bytes(char *p, size_t size, size_t count, void *arg)
{
    struct client_call *k = arg;
    size_t n = size * count;
    bool is_middle = has_more(k, n);

    switch (client_call_take(k, p, n, is_middle)) {
    case CLIENT_GO:
        k->turn_in += n;
        if (is_middle)
            return n;
        k->yields = k->turn_in >= LIMIT_TURN_BYTES;
        if (k->sink_holds || k->yields)
            hold(k);
        return n;
    case CLIENT_WAIT:
        return CURL_WRITEFUNC_PAUSE;
    default:
        return 0;
    }
}

/* Called when the connection stands and the request is about to be sent. */
static int on_begin(void *arg, char *peer, char *local UNUSED,
                    int peer_port UNUSED, int local_port UNUSED)
{
    struct client_call *k = arg;
    bool is_direct = !k->o.proxy || !*k->o.proxy;
    struct gw_error e = {0};

    k->reply.res.is_from_private = ip_is_private(peer);
    if (k->o.public_only && is_direct && k->reply.res.is_from_private) {
        err_set(&e, GW_UPSTREAM_BAD_RESPONSE,
                "the provider redirected into a private network");
        client_call_fail(k, &e);
        return CURL_PREREQFUNC_ABORT;
    }
    client_call_begin(k);
    return CURL_PREREQFUNC_OK;
}

/* --- driving curl --- */

static void settle(struct http_client *c);

static void act(struct http_client *c, curl_socket_t fd, int ready)
{
    int running;

    c->in_curl++;
    if (curl_multi_socket_action(c->multi, fd, ready, &running) != CURLM_OK)
        BUG("curl cannot act");
    c->in_curl--;
    c->closing = NULL;
    client_call_forget_lent(c);
}

/* Whether curl still holds body bytes that the socket did not take. */
static bool has_unsent(const struct client_call *k)
{
    curl_off_t sent = 0;

    curl_easy_getinfo(k->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    return sent < k->body.given;
}

/* What is likely to work again at once: sending, when all of a large piece was
 * taken; receiving, when the buffer came back full (TLS gives single records,
 * so there any byte will do). */
static int next_round(const struct client_call *k)
{
    size_t full = k->is_tls ? 1 : LIMIT_DOWNLOAD_BUFFER;
    int ready = 0;

    if (k->state != CALL_RUNNING || k->fd == CURL_SOCKET_BAD)
        return 0;
    if (k->moved_out && !has_unsent(k))
        ready |= CURL_CSELECT_OUT;
    if (k->is_sinking && !k->receive_waits && k->moved_in >= full)
        ready |= CURL_CSELECT_IN;
    return ready;
}

/* One act, and what it gathered goes on. A pause makes curl want to run once
 * more, in both directions, in which it would read a buffer all the same: for a
 * call that has nothing to send, having it send spends that run. */
static void act_and_flush(struct client_call *k, curl_socket_t fd, int ready)
{
    struct http_client *c = k->client;

    act(c, fd, ready);
    client_call_flush(c);
    if (k->state != CALL_RUNNING)
        return;
    if (k->sink_holds)
        hold(k);
    if (k->is_hold_new && !k->has_body && k->fd != CURL_SOCKET_BAD)
        act(c, k->fd, CURL_CSELECT_OUT);
    k->is_hold_new = false;
    if (k->yields)
        client_call_wake(k);
    k->yields = false;
}

/* Let curl go on with the call whose socket is ready, in a few rounds while
 * that moves bytes: what is hot stays hot. */
void http_client_drive(struct client_call *k, curl_socket_t fd, int ready)
{
    struct http_client *c = k->client;
    int rounds = LIMIT_PUMP_ROUNDS;

    k->turn_in = 0;
    do {
        k->moved_out = k->moved_in = 0;
        act_and_flush(k, fd, ready);
        ready = next_round(k);
        fd = k->fd;
    } while (ready && --rounds > 0);
    settle(c);
}

void http_client_act(struct http_client *c, curl_socket_t fd, int ready)
{
    act(c, fd, ready);
    settle(c);
}

/* --- sockets and timer of curl --- */

static int on_want_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
                          void *known)
{
    struct http_client *c = arg;
    struct client_sock *s = known;
    char *k = NULL;

    if (what == CURL_POLL_REMOVE) {
        client_sock_free(s);
        return 0;
    }
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &k);
    if (!s) {
        s = client_sock_new(c, (struct client_call *)(void *)k, fd);
        curl_multi_assign(c->multi, fd, s);
    }
    client_sock_want(s, what & (CURL_POLL_IN | CURL_POLL_OUT));
    return 0;
}

/* Curl has just said that it wants the socket watched no more. */
static int on_close_socket(void *arg, curl_socket_t fd)
{
    struct http_client *c = arg;

    if (c->closing)
        client_last_read(c->closing, fd);
    c->closing = NULL;
    return close(fd);
}

static void on_timer(void *arg)
{
    http_client_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_want_timer(CURLM *multi UNUSED, long ms, void *arg)
{
    struct http_client *c = arg;

    loop_timer_cancel(&c->timer);
    if (ms >= 0)
        loop_timer_set(&c->timer, ms);
    return 0;
}

/* --- what a call asks of curl --- */

/* Whether the request says how long its body is, even when it is empty. */
static bool has_body(const struct http_req *r)
{
    return r->nsegs || !strcmp(r->method, "POST") || !strcmp(r->method, "PUT");
}

static void add_line(struct client_call *k, const char *line)
{
    struct curl_slist *more = curl_slist_append(k->fields, line);

    ASSERT(more);
    k->fields = more;
}

/* These follow from the body and are ours to say. */
static bool is_framing(struct str name)
{
    return str_eq_nocase(name, STR("content-length")) ||
           str_eq_nocase(name, STR("transfer-encoding")) ||
           str_eq_nocase(name, STR("expect"));
}

static void add_field(struct client_call *k, const struct http_field *f)
{
    struct buf line;

    if (is_framing(f->name))
        return;
    buf_init(&line, LIMIT_HEAD_BYTES);
    buf_add_str(&line, f->name);
    /* curl drops "Name:"; this is how it is told to send an empty one. */
    buf_add_c(&line, f->value.n ? ": " : ";");
    buf_add_str(&line, f->value);
    ASSERT(!line.overflow);
    add_line(k, line.p);
    buf_release(&line);
}

static void set_fields(struct client_call *k)
{
    const struct http_fields *f = &k->req->fields;
    size_t i;

    for (i = 0; i < f->n; i++)
        add_field(k, &f->v[i]);
    if (has_body(k->req)) {
        add_line(k, "Expect:"); /* curl would wait a second for a 100 */
        if (!http_fields_get(f, STR("content-type")).p)
            add_line(k, "Content-Type:"); /* curl would make one up */
    }
    if (k->body.length < 0)
        add_line(k, "Transfer-Encoding: chunked");
    SET(k->easy, CURLOPT_HTTPHEADER, k->fields);
}

/* A little memory goes out with the head in one write; curl copies it, since it
 * must not look at it after an abort. */
static void set_body(struct client_call *k)
{
    struct str mem = client_body_memory(&k->body);
    CURL *e = k->easy;

    SET(e, CURLOPT_POST, 1L);
    SET(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)k->body.length);
    if (mem.p && mem.n <= SMALL_UPLOAD) {
        SET(e, CURLOPT_COPYPOSTFIELDS, mem.p);
        client_call_count_out(k, mem.n);
        k->body.given = k->body.length;
        return;
    }
    SET(e, CURLOPT_READFUNCTION, read_body);
    SET(e, CURLOPT_READDATA, k);
    SET(e, CURLOPT_SEEKFUNCTION, seek_body);
    SET(e, CURLOPT_SEEKDATA, k);
    SET(e, CURLOPT_UPLOAD_BUFFERSIZE,
        k->o.source || mem.p ? (long)LIMIT_UPLOAD_BUFFER : SMALL_UPLOAD);
    if (!client_body_is_replayable(&k->body))
        SET(e, CURLOPT_FRESH_CONNECT, 1L);
}

static void set_method(struct client_call *k)
{
    struct str method = str_of(k->req->method);

    if (has_body(k->req))
        set_body(k);
    else if (str_eq(method, STR("HEAD")))
        SET(k->easy, CURLOPT_NOBODY, 1L);
    SET(k->easy, CURLOPT_CUSTOMREQUEST, k->req->method);
}

static void set_url(struct client_call *k)
{
    struct buf url;

    buf_init(&url, MIB);
    buf_add_str(&url, k->req->url);
    SET(k->easy, CURLOPT_URL, url.p ? url.p : "");
    buf_release(&url);
}

/* Nothing of the environment, nothing that curl would do on its own. */
static void set_manners(CURL *e)
{
    SET(e, CURLOPT_NOSIGNAL, 1L);
    SET(e, CURLOPT_NOPROGRESS, 1L);
    SET(e, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(e, CURLOPT_FOLLOWLOCATION, 0L);
    SET(e, CURLOPT_PATH_AS_IS, 1L); /* signatures cover it */
    SET(e, CURLOPT_QUICK_EXIT, 1L); /* no join of a resolver thread */
    SET(e, CURLOPT_TCP_NODELAY, 1L);
    SET(e, CURLOPT_MAXAGE_CONN, (long)LIMIT_CONN_IDLE_S);
    SET(e, CURLOPT_NOPROXY, "");
    SET(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

/* The given file alone, or the system's. Its directory of certificates is left
 * out when there is a file too: it would keep curl from caching what it has
 * parsed, which costs milliseconds for each connection. */
static void set_trust(CURL *e, const char *ca_file)
{
    char *bundle = NULL;

    if (ca_file && *ca_file)
        SET(e, CURLOPT_CAINFO, ca_file);
    curl_easy_getinfo(e, CURLINFO_CAINFO, &bundle);
    if ((ca_file && *ca_file) || bundle)
        SET(e, CURLOPT_CAPATH, NULL);
}

static void set_options(struct client_call *k)
{
    const struct client_call_options *o = &k->o;
    CURL *e = k->easy;

    SET(e, CURLOPT_PRIVATE, k);
    SET(e, CURLOPT_PROXY, o->proxy ? o->proxy : "");
    SET(e, CURLOPT_CONNECTTIMEOUT_MS, (long)MAX(o->connect_timeout_ms, 1));
    SET(e, CURLOPT_HEADERFUNCTION, read_head);
    SET(e, CURLOPT_HEADERDATA, k);
    SET(e, CURLOPT_WRITEFUNCTION, take_bytes);
    SET(e, CURLOPT_WRITEDATA, k);
    SET(e, CURLOPT_PREREQFUNCTION, on_begin);
    SET(e, CURLOPT_PREREQDATA, k);
    SET(e, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
    SET(e, CURLOPT_CLOSESOCKETDATA, k->client);
    set_trust(e, o->ca_file);
    if (o->sink)
        SET(e, CURLOPT_BUFFERSIZE, (long)LIMIT_DOWNLOAD_BUFFER);
    if (k->is_again || k->req->is_once)
        SET(e, CURLOPT_FRESH_CONNECT, 1L);
}

static CURL *take_easy(struct http_client *c)
{
    CURL *e;

    if (c->nidle)
        return c->idle[--c->nidle];
    e = curl_easy_init();
    ASSERT(e);
    SET(e, CURLOPT_SHARE, c->share);
    return e;
}

static void give_easy(struct http_client *c, CURL *e)
{
    if (c->nidle == CLIENT_EASY_POOL) {
        curl_easy_cleanup(e);
        return;
    }
    curl_easy_reset(e);
    c->idle[c->nidle++] = e;
}

/* Take the call away from curl. */
void http_client_drop(struct client_call *k)
{
    struct http_client *c = k->client;
    CURL *e = k->easy;

    ASSERT(!c->in_curl);
    if (!e)
        return;
    /* It still calls back: on sockets, on the timer. */
    c->in_curl++;
    curl_multi_remove_handle(c->multi, e);
    c->in_curl--;
    c->closing = NULL;
    k->easy = NULL;
    k->fd = CURL_SOCKET_BAD;
    give_easy(c, e);
    curl_slist_free_all(k->fields);
    k->fields = NULL;
}

void http_client_launch(struct client_call *k)
{
    struct http_client *c = k->client;

    k->easy = take_easy(c);
    set_manners(k->easy);
    set_options(k);
    set_url(k);
    set_method(k);
    set_fields(k);
    k->is_tls = str_starts(k->req->url, STR("https:"));
    k->has_body = has_body(k->req);
    k->state = CALL_RUNNING;
    if (curl_multi_add_handle(c->multi, k->easy) != CURLM_OK)
        BUG("curl takes no more transfers");
}

/* --- the end of a call --- */

struct verdict {
    CURLcode code;
    enum gw_err err;
    const char *text;
};

/* Before the request was begun: nothing has been sent. */
static const struct verdict before[] = {
    /* clang-format off */
    {CURLE_COULDNT_RESOLVE_HOST,  GW_UPSTREAM_UNREACHABLE, "cannot resolve the provider's name"},
    {CURLE_COULDNT_RESOLVE_PROXY, GW_UPSTREAM_UNREACHABLE, "cannot resolve the proxy's name"},
    {CURLE_COULDNT_CONNECT,       GW_UPSTREAM_UNREACHABLE, "cannot connect to the provider"},
    {CURLE_OPERATION_TIMEDOUT,    GW_UPSTREAM_UNREACHABLE, "cannot connect to the provider in time"},
    {CURLE_SSL_CONNECT_ERROR,     GW_UPSTREAM_UNREACHABLE, "the TLS handshake with the provider failed"},
    {CURLE_PEER_FAILED_VERIFICATION, GW_UPSTREAM_UNREACHABLE, "the provider's certificate is not trusted"},
    {CURLE_SSL_CACERT_BADFILE,    GW_UPSTREAM_UNREACHABLE, "cannot read the file of trusted certificates"},
    {CURLE_RECV_ERROR,            GW_UPSTREAM_UNREACHABLE, "the proxy refused the connection"},
    {CURLE_PROXY,                 GW_UPSTREAM_UNREACHABLE, "the proxy refused the connection"},
    {CURLE_URL_MALFORMAT,         GW_INTERNAL,             "the provider's URL is malformed"},
    {CURLE_UNSUPPORTED_PROTOCOL,  GW_INTERNAL,             "the provider's URL is neither http nor https"},
    {CURLE_OK,                    GW_UPSTREAM_UNREACHABLE, "cannot reach the provider"},
    /* clang-format on */
};

static const struct verdict after[] = {
    /* clang-format off */
    {CURLE_UNSUPPORTED_PROTOCOL,  GW_UPSTREAM_BAD_RESPONSE, "the provider's answer is not HTTP"},
    {CURLE_WEIRD_SERVER_REPLY,    GW_UPSTREAM_BAD_RESPONSE, "the provider's answer makes no sense"},
    {CURLE_BAD_CONTENT_ENCODING,  GW_UPSTREAM_BAD_RESPONSE, "the provider's answer makes no sense"},
    {CURLE_PARTIAL_FILE,          GW_UPSTREAM_BROKEN,       "the provider's answer ended early"},
    {CURLE_GOT_NOTHING,           GW_UPSTREAM_BROKEN,       "the provider hung up without an answer"},
    {CURLE_OK,                    GW_UPSTREAM_BROKEN,       "the connection to the provider broke"},
    /* clang-format on */
};

static void judge_failure(struct client_call *k, CURLcode code)
{
    const struct verdict *v = k->began ? after : before;

    while (v->code != code && v->code != CURLE_OK)
        v++;
    err_set(&k->error, v->err, "%s", v->text);
}

/* How the call went, into k->error. */
static void judge(struct client_call *k, CURLcode code)
{
    int status = k->reply.res.status;

    if (k->error.err != GW_OK || k->is_cut)
        return;
    if (code != CURLE_OK)
        judge_failure(k, code);
    else if (!status)
        judge_failure(k, CURLE_WEIRD_SERVER_REPLY);
    else if (status < 300 && !client_body_is_over(&k->body))
        err_set(&k->error, GW_UPSTREAM_BROKEN,
                "the provider closed before it had the whole upload");
}

/* A send failed on a kept-alive connection before any answer: the provider had
 * closed it. */
static bool deserves_another(struct client_call *k, CURLcode code)
{
    long connects = 1;

    if (code != CURLE_SEND_ERROR && code != CURLE_SEND_FAIL_REWIND)
        return false;
    if (k->is_again || k->reply.has_bytes || k->error.err != GW_OK)
        return false;
    curl_easy_getinfo(k->easy, CURLINFO_NUM_CONNECTS, &connects);
    return connects == 0 && client_body_rewind(&k->body);
}

static void complete(struct client_call *k, CURLcode code)
{
    if (k->state != CALL_RUNNING)
        return; /* aborted; its task takes it from curl */
    if (!deserves_another(k, code)) {
        if (code == CURLE_SEND_ERROR && client_last_tell(k))
            code = CURLE_OK;
        judge(k, code);
        client_call_finish(k);
        return;
    }
    http_client_drop(k);
    k->is_again = true;
    http_client_launch(k);
}

/* After curl has acted: what it gathered goes on, what it ended is told. */
static void settle(struct http_client *c)
{
    CURLMsg *m;
    CURLcode code;
    char *k;
    int left;

    client_call_flush(c);
    while ((m = curl_multi_info_read(c->multi, &left))) {
        code = m->data.result; /* m dies with the handle's removal */
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &k);
        complete((struct client_call *)(void *)k, code);
    }
}

/* A number that changes whenever the provider takes or gives a byte; what the
 * kernel has not delivered yet counts as not taken. */
int64_t http_client_progress(const struct client_call *k)
{
    curl_off_t up = 0, down = 0;
    long head = 0;
    int queued = 0;

    curl_easy_getinfo(k->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    curl_easy_getinfo(k->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    curl_easy_getinfo(k->easy, CURLINFO_HEADER_SIZE, &head);
    if (k->fd != CURL_SOCKET_BAD)
        ioctl(k->fd, SIOCOUTQ, &queued);
    return up + down + head - queued;
}

/* --- clients --- */

struct client_call *http_client_start(struct http_client *c,
                                      const struct http_req *req,
                                      const struct client_call_options *o,
                                      const struct client_call_ops *ops,
                                      void *arg)
{
    return client_call_new(c, req, o, ops, arg);
}

void http_client_global_init(void)
{
    if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
        BUG("cannot initialise libcurl");
}

void http_client_global_cleanup(void)
{
    curl_global_cleanup();
}

/* The version whose transfer.c and sendf.c were read for has_more(). With any
 * other the slices are copied, which costs a download about 5 % more. */
static bool may_lend(void)
{
    return curl_version_info(CURLVERSION_NOW)->version_num == 0x075801;
}

struct http_client *http_client_open(struct loop *l)
{
    struct http_client *c = xcalloc(1, sizeof(*c));

    c->loop = l;
    c->may_lend = may_lend();
    c->multi = curl_multi_init();
    c->share = curl_share_init();
    ASSERT(c->multi && c->share);
    curl_share_setopt(c->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_want_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_want_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)LIMIT_CLIENT_CONNS);
    loop_timer_init(l, &c->timer, on_timer, c);
    return c;
}

void http_client_close(struct http_client *c)
{
    if (!c)
        return;
    ASSERT(c->ncalls == 0);
    while (c->nidle)
        curl_easy_cleanup(c->idle[--c->nidle]);
    curl_multi_cleanup(c->multi);
    curl_share_cleanup(c->share);
    loop_timer_release(&c->timer);
    free(c->gather.buf);
    free(c);
}
