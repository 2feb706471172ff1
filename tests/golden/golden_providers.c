/* golden_providers.c -- runs the cases of the providers: one operation each.
 *
 *     --- config [NAME]     the entry of `providers:`, without its name
 *     --- faults            expected: why that configuration is refused; or
 *     --- caps              expected, optional: what the instance can do
 *     --- operation         create, get, list, delete, content, grant or
 *                           batch_… or upload_…, then what it knows, as
 *                           "key: value" (see read_operation())
 *     --- request N         expected: the exchange that the provider describes
 *     --- response N        what it is answered; "broken ERROR" when it failed
 *                           on the way
 *     --- result            expected: file objects or the error
 *     --- undo              expected, optional: what takes a create back
 *
 * A piece of the stream is an exchange, too: the request is "read N", the
 * response "N" or "N last", then the bytes behind an empty line (else N dots).
 * A wait is shown as "wait N", and needs no response; nor does "renew", for
 * other credentials.
 */
#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/codec/json.h"
#include "providers/provider.h"
#include "tests/golden/golden.h"

#define TEXT_MAX (4u * 1024u * 1024u)
#define EXCHANGES_MAX 24

/* --- the configuration --- */

struct entries {
    struct conf_items providers;
};

static const struct conf_key entries_keys[] = {
    {.name = "providers",
     .type = CONF_SECTIONS,
     .offset = offsetof(struct entries, providers),
     .sub = &provider_conf_section},
    {.name = NULL},
};

static const struct conf_section entries_section = {
    .size = sizeof(struct entries), .keys = entries_keys};

/* The text as the entry of that name, two levels deeper. */
static struct str entry_text(struct golden_case *c, const char *name,
                             struct str config)
{
    struct buf b;
    struct str line, text;

    buf_init(&b, TEXT_MAX);
    buf_printf(&b, "providers:\n  \"%s\":\n", name);
    while (golden_line(&config, &line))
        buf_printf(&b, "    %.*s\n", STR_ARG(line));
    text = arena_dup(c->arena, buf_str(&b));
    buf_release(&b);
    return text;
}

/* Without "file:line:column: ", which differs by the lines added above. */
static void add_fault(struct buf *out, struct str line)
{
    struct str part;
    int i;

    for (i = 0; i < 3; i++)
        str_cut(line, ':', &part, &line);
    buf_printf(out, "%.*s\n", STR_ARG(str_trim(line)));
}

static const struct provider_conf *read_config(struct golden_case *c)
{
    const char *name = golden_name(c, "config", c->dir);
    struct str head = arena_printf(c->arena, "config %s", name);
    struct str config = golden_input(c, head.p), rest, line;
    const struct entries *entries;
    struct buf faults, shown;

    if (!config.p)
        config = golden_input(c, "config");
    if (!config.p) {
        golden_fail(c, "there is no section 'config'");
        return NULL;
    }
    buf_init(&faults, TEXT_MAX);
    entries = conf_parse(c->arena, &entries_section, "config",
                         entry_text(c, name, config), &faults);
    if (!entries) {
        buf_init(&shown, TEXT_MAX);
        rest = buf_str(&faults);
        while (golden_line(&rest, &line))
            add_fault(&shown, line);
        golden_output(c, "faults", &shown);
    }
    buf_release(&faults);
    return entries ? entries->providers.v[0].data : NULL;
}

static const struct {
    unsigned cap;
    const char *name;
} cap_names[] = {
    /* clang-format off */
    {PROV_CAN_CREATE,     "create"},
    {PROV_CAN_GET,        "get"},
    {PROV_CAN_LIST,       "list"},
    {PROV_CAN_DELETE,     "delete"},
    {PROV_CAN_CONTENT,    "content"},
    {PROV_CAN_GRANT,      "grant"},
    {PROV_CAN_BATCH,      "batch"},
    {PROV_CAN_FORWARD,    "forward"},
    {PROV_FORM,           "form"},
    {PROV_NEEDS_LENGTH,   "needs_length"},
    {PROV_NEEDS_FIELDS,   "needs_fields"},
    {PROV_NAMES_OBJECT,   "names_object"},
    {PROV_HAS_RANGE,      "range"},
    {PROV_HAS_STATUS,     "status"},
    {PROV_STRICT_FORM,    "strict_form"},
    {PROV_NO_LATE_EXPIRY, "no_late_expiry"},
    {PROV_OPENAI_BATCH,   "openai_batch"},
    {PROV_BATCH_MODEL,    "batch_model"},
    {PROV_CAN_UPLOADS,    "uploads"},
    {PROV_HOLDS_PARTS,    "holds_parts"},
    /* clang-format on */
};

static void output_caps(struct golden_case *c, const struct provider_conf *conf)
{
    unsigned caps = provider_caps(conf);
    struct buf b;
    size_t i;

    if ((caps & conf->type->caps) != caps)
        golden_fail(c, "the instance can do more than its type");
    if (!golden_input(c, "caps").p)
        return;
    buf_init(&b, TEXT_MAX);
    buf_printf(&b, "namespace: %s\n", conf->ns);
    for (i = 0; i < COUNTOF(cap_names); i++)
        if ((caps & cap_names[i].cap) == cap_names[i].cap)
            buf_printf(&b, "%s\n", cap_names[i].name);
    golden_output(c, "caps", &b);
}

/* --- the operation --- */

static struct str text_or_empty(struct golden_case *c, struct str lines,
                                const char *key)
{
    struct str s = golden_value(c, lines, key);

    return s.p ? s : STR("");
}

static void read_upload(struct golden_case *c, struct str lines,
                        struct prov_upload *u)
{
    u->filename = text_or_empty(c, lines, "filename");
    u->content_type = text_or_empty(c, lines, "content_type");
    u->purpose = text_or_empty(c, lines, "purpose");
    u->expires_after_s = golden_number(c, lines, "expires_after", 0);
    u->boundary = text_or_empty(c, lines, "boundary");
    if (u->boundary.n == 0)
        u->boundary = STR("b0undary");
    u->tail_in_stream = golden_value(c, lines, "tail_in_stream").p != NULL;
    u->stream_len = golden_number(c, lines, "stream_len", -1);
    u->lines = golden_number(c, lines, "lines", -1);
}

/* "one, two" */
static void read_parts(struct golden_case *c, struct str lines,
                       struct prov_op *op)
{
    struct str text = text_or_empty(c, lines, "part_ids"), part;
    struct str *ids = arena_alloc(c->arena, (text.n + 1) * sizeof(*ids));

    while (str_next(&text, ',', &part))
        ids[op->nparts++] = str_trim(part);
    op->part_ids = ids;
    op->md5 = text_or_empty(c, lines, "md5");
}

static void read_forward(struct golden_case *c, struct str lines,
                         struct prov_forward *f)
{
    f->method = arena_cstr(c->arena, text_or_empty(c, lines, "method"));
    f->path = text_or_empty(c, lines, "path");
    f->query = text_or_empty(c, lines, "query");
    f->content_type = text_or_empty(c, lines, "content_type");
    f->accept = text_or_empty(c, lines, "accept");
    f->body = golden_value(c, lines, "body");
    f->has_stream = golden_value(c, lines, "stream_len").p != NULL;
    f->stream_len = golden_number(c, lines, "stream_len", -1);
    f->model = text_or_empty(c, lines, "model");
    f->is_once = golden_value(c, lines, "once").p != NULL;
}

/* "name: theirs ours" */
static void read_name(struct golden_case *c, struct str lines,
                      struct prov_op *op)
{
    struct prov_name *name = arena_new_of(c->arena, struct prov_name);

    op->names = name;
    op->nnames = str_cut(text_or_empty(c, lines, "name"), ' ', &name->theirs,
                         &name->ours);
}

static void read_operation(struct golden_case *c, struct str lines,
                           struct prov_op *op)
{
    struct gw_error ignored = {0};
    struct str word;
    int code;

    op->arena = c->arena;
    op->state = arena_alloc(c->arena, op->conf->type->state_size);
    op->now_s = golden_number(c, lines, "now", 1764601200);
    op->upstream_id = text_or_empty(c, lines, "id");
    op->shown_id = text_or_empty(c, lines, "shown_id");
    op->object_name = text_or_empty(c, lines, "object_name");
    op->range_first = golden_number(c, lines, "range_first", -1);
    op->range_last = golden_number(c, lines, "range_last", -1);
    op->list_cursor = text_or_empty(c, lines, "cursor");
    op->file.bytes = -1;
    op->batch_request = json_parse(
        c->arena, text_or_empty(c, lines, "batch_request"), &ignored);
    op->batch_model = text_or_empty(c, lines, "batch_model");
    op->grant.token = text_or_empty(c, lines, "token");
    op->grant.key_id = text_or_empty(c, lines, "key_id");
    op->grant.secret = text_or_empty(c, lines, "secret");
    read_upload(c, lines, &op->upload);
    read_parts(c, lines, op);
    read_forward(c, lines, &op->forward);
    read_name(c, lines, op);
    if (!golden_line(&lines, &word))
        word = STR("");
    for (code = 0; code < PROV_OPCODES; code++)
        if (str_eq_c(word, prov_opcode_name((enum prov_opcode)code)))
            op->code = (enum prov_opcode)code;
    if (!str_eq_c(word, prov_opcode_name(op->code)))
        golden_fail(c, "no operation '%.*s'", STR_ARG(word));
}

/* --- exchanges --- */

static void show_seg(struct buf *b, const struct prov_op *op,
                     const struct http_seg *s)
{
    if (s->kind == HTTP_SEG_MEM && op->piece.n && s->mem.p >= op->piece.p &&
        s->mem.p < op->piece.p + op->piece.n)
        buf_printf(b, "<piece %zu+%zu>", (size_t)(s->mem.p - op->piece.p),
                   s->mem.n);
    else if (s->kind == HTTP_SEG_MEM)
        golden_escape(b, s->mem);
    else if (s->len < 0)
        buf_add_c(b, "<stream>");
    else
        buf_printf(b, "<stream %lld>", (long long)s->len);
}

/* As on the wire, but for lines that start with a colon: what the client
 * makes of the body's length, and where the answer's body goes. */
static void show_http(struct buf *b, const struct prov_op *op,
                      const struct http_req *req, bool is_told)
{
    size_t i;

    buf_printf(b, "%s %.*s\n", req->method, STR_ARG(req->url));
    for (i = 0; i < req->fields.n; i++)
        buf_printf(b, "%.*s: %.*s\n", STR_ARG(req->fields.v[i].name),
                   STR_ARG(req->fields.v[i].value));
    if (req->nsegs && http_req_length(req) < 0)
        buf_add_c(b, ":chunked\n");
    else if (req->nsegs)
        buf_printf(b, ":length %lld\n", (long long)http_req_length(req));
    if (req->is_once)
        buf_add_c(b, ":once\n");
    if (req->is_direct)
        buf_add_c(b, ":direct\n");
    if (req->is_sink)
        buf_add_c(b, req->sinks_any ? ":sink of any\n" : ":sink\n");
    if (is_told)
        buf_add_c(b, ":told\n");
    if (req->nsegs)
        buf_add_c(b, "\n");
    for (i = 0; i < req->nsegs; i++)
        show_seg(b, op, &req->segs[i]);
    if (req->nsegs)
        buf_add_c(b, "\n");
}

static void show_line(struct buf *b, const char *key, struct str value)
{
    if (value.n)
        buf_printf(b, "%s: %.*s\n", key, STR_ARG(value));
}

static void show_file(struct buf *b, const struct file_req *req)
{
    static const char *const verbs[] = {[FILE_PUT] = "put",
                                        [FILE_STAT] = "stat",
                                        [FILE_READ] = "read",
                                        [FILE_REMOVE] = "remove",
                                        [FILE_LIST] = "list"};

    buf_printf(b, "%s\ndir: %s\n", verbs[req->verb], req->dir);
    show_line(b, "name", str_of(req->name));
    if (req->verb == FILE_READ)
        buf_printf(b, "offset: %lld\nlen: %lld\n", (long long)req->offset,
                   (long long)req->len);
    if (req->verb == FILE_LIST)
        buf_printf(b, "list_max: %zu\n", req->list_max);
}

static void read_http(struct golden_case *c, struct str text,
                      struct http_res *res)
{
    struct str line, name, value;
    int64_t status = 0;

    *res = (struct http_res){.body = STR("")};
    if (!golden_line(&text, &line) || !str_to_i64(line, &status))
        golden_fail(c, "a response must start with a status");
    res->status = (int)status;
    while (golden_line(&text, &line) && line.n) {
        if (str_eq(line, STR(":cut")))
            res->body_was_cut = true;
        else if (str_cut(line, ':', &name, &value))
            http_fields_add(&res->fields, c->arena, name, str_trim(value));
        else
            golden_fail(c, "no header field: %.*s", STR_ARG(line));
    }
    if (text.n)
        res->body = text;
}

static enum gw_err err_of(struct golden_case *c, struct str name)
{
    int i;

    if (str_eq(name, STR("ok")))
        return GW_OK;
    for (i = 1; i < GW_ERR_COUNT; i++)
        if (str_eq_c(name, err_info((enum gw_err)i)->name))
            return (enum gw_err)i;
    golden_fail(c, "no such error: %.*s", STR_ARG(name));
    return GW_INTERNAL;
}

/* "name size mtime" */
static void read_entry(struct golden_case *c, struct str text,
                       struct file_entry *entry)
{
    struct str size, mtime;

    text = str_trim(text);
    str_cut(text, ' ', &entry->name, &text);
    str_cut(text, ' ', &size, &mtime);
    if (!str_to_i64(size, &entry->size) || !str_to_i64(mtime, &entry->mtime_s))
        golden_fail(c, "an entry must be 'name size mtime'");
}

/* "fill: N" makes N entries up to a full page. */
static void read_entries(struct golden_case *c, struct str text,
                         struct file_res *res)
{
    size_t fill = (size_t)golden_number(c, text, "fill", 0);
    struct str line, key, value;

    res->list = arena_alloc(c->arena, (fill + text.n) * sizeof(*res->list));
    while (golden_line(&text, &line))
        if (str_cut(line, ':', &key, &value) && str_eq(key, STR("entry")))
            read_entry(c, value, &res->list[res->nlist++]);
    for (; fill; fill--)
        res->list[res->nlist++] = (struct file_entry){
            arena_printf(c->arena, "fill%05zu", res->nlist), 1, 1};
}

static void read_file(struct golden_case *c, struct str text,
                      struct file_res *res)
{
    struct str line;

    *res = (struct file_res){0};
    if (!golden_line(&text, &line))
        line = STR("");
    res->err = err_of(c, line);
    res->size = golden_number(c, text, "size", 0);
    res->mtime_s = golden_number(c, text, "mtime", 0);
    read_entries(c, text, res);
}

/* --- the result --- */

static void put_time(struct json_out *j, const char *name, int64_t s)
{
    if (s)
        json_put_int(j, name, s);
}

/* What the provider's answer says, without what the gateway adds. */
static void show_object(struct buf *b, const struct file_obj *f)
{
    struct json_out j;

    json_out_init(&j, b);
    json_open(&j, NULL, '{');
    json_put_str(&j, "id", f->id);
    json_put_int(&j, "bytes", f->bytes);
    put_time(&j, "created_at", f->created_at);
    put_time(&j, "expires_at", f->expires_at);
    json_put_str(&j, "filename", f->filename);
    json_put_str(&j, "purpose", f->purpose);
    json_put_cstr(&j, "status", file_status_name(f->status));
    if (f->status_details.p)
        json_put_str(&j, "status_details", f->status_details);
    json_close(&j);
    buf_add_c(b, "\n");
}

static void show_error(struct buf *b, const struct gw_error *e)
{
    const struct err_info *info = err_info(e->err);

    buf_printf(b, "error %s\nstatus: %d\n", info->name, info->http);
    show_line(b, "type", str_of(info->type));
    show_line(b, "code", str_of(e->code[0] ? e->code : info->code));
    show_line(b, "param", str_of(e->param));
    show_line(b, "message", str_of(e->message));
    if (e->retry_after_s)
        buf_printf(b, "retry_after: %d\n", e->retry_after_s);
}

static void show_grant(struct buf *b, const struct prov_grant *g)
{
    show_line(b, "token", g->token);
    show_line(b, "key_id", g->key_id);
    show_line(b, "secret", g->secret);
    buf_printf(b, "expires: %lld\n", (long long)g->expires_s);
}

static void show_batch(struct buf *b, const struct batch_obj *batch)
{
    show_line(b, "id", batch->id);
    show_line(b, "status", batch->status);
    show_line(b, "output_file_id", batch->output_file_id);
    show_line(b, "error_file_id", batch->error_file_id);
    show_line(b, "members", batch->members);
}

static void show_result(struct buf *b, const struct prov_op *op)
{
    size_t i;

    show_line(b, "made", op->made_id);
    if (op->code == PROV_UPLOAD_CANCEL)
        buf_add_c(b, "cancelled\n");
    if (op->code == PROV_CREATE || op->code == PROV_GET ||
        op->code == PROV_UPLOAD_COMPLETE)
        show_object(b, &op->file);
    else if (op->code == PROV_DELETE)
        buf_add_c(b, "deleted\n");
    else if (op->code == PROV_CONTENT || op->code == PROV_FORWARD)
        buf_add_c(b, "streamed\n");
    else if (op->code == PROV_GRANT)
        show_grant(b, &op->grant);
    if ((1u << op->code) & PROV_CAN_BATCH)
        show_batch(b, &op->batch);
    show_line(b, "content_type", op->content_type);
    if (op->code != PROV_LIST)
        return;
    for (i = 0; i < op->nlist && i < 10; i++)
        show_object(b, &op->list[i]);
    buf_printf(b, "%zu files\n", op->nlist);
    show_line(b, "next_cursor", op->next_cursor);
}

/* --- the run --- */

static void show_step(struct buf *b, const struct prov_op *op,
                      enum prov_step step, const struct prov_exchange *x)
{
    if (step == PROV_SEND_HTTP)
        show_http(b, op, &x->http, x->is_told);
    else if (step == PROV_SEND_FILE)
        show_file(b, &x->file);
    else if (step == PROV_READ)
        buf_printf(b, "read %zu\n", x->want);
    else if (step == PROV_WAIT)
        buf_printf(b, "wait %lld\n", (long long)x->wait_ms);
    else
        buf_add_c(b, "renew\n");
}

/* "N" or "N last", and perhaps the bytes. */
static bool take_piece(struct golden_case *c, struct prov_op *op, size_t want,
                       struct str text)
{
    struct str line, count, word;
    int64_t n = 0;
    char *dots;

    golden_line(&text, &line);
    str_cut(line, ' ', &count, &word);
    if (!str_to_i64(count, &n) || n < 0 || (size_t)n > want)
        golden_fail(c, "a piece must be 'N' or 'N last'");
    op->is_last_piece = str_eq(word, STR("last"));
    if (!op->is_last_piece && (size_t)n != want)
        golden_fail(c, "only the last piece may be short");
    dots = arena_alloc(c->arena, (size_t)n + 1);
    memset(dots, '.', (size_t)n);
    op->piece = str_make(dots, (size_t)n);
    if (golden_line(&text, &line) && text.n)
        op->piece = str_make(text.p, MIN(text.n, (size_t)n));
    return true;
}

/* "broken ERROR": what the provider makes of it. */
static bool take_failure(struct golden_case *c, struct prov_op *op,
                         struct str name, struct gw_error *e)
{
    struct gw_error why = {0};

    err_plain(&why, err_of(c, str_trim(name)));
    if (op->conf->type->broken && op->conf->type->broken(op, &why))
        return true;
    *e = why;
    return false;
}

static bool take_answer(struct golden_case *c, struct prov_op *op,
                        enum prov_step step, const struct prov_exchange *x,
                        struct str text, struct gw_error *e)
{
    static const struct str broken = {"broken ", 7};
    struct http_res http;
    struct file_res file;

    if (str_starts(text, broken))
        return take_failure(c, op, str_make(text.p + 7, text.n - 7), e);
    if (step == PROV_READ)
        return take_piece(c, op, x->want, text);
    if (step == PROV_SEND_FILE) {
        read_file(c, text, &file);
        return op->conf->type->reply(op, NULL, &file, e) == GW_OK;
    }
    read_http(c, text, &http);
    return op->conf->type->reply(op, &http, NULL, e) == GW_OK;
}

/* Shows the exchange, and hands its answer over. false: that was the last. */
static bool exchange(struct golden_case *c, struct prov_op *op, int number,
                     struct gw_error *e)
{
    struct prov_exchange x = {0};
    struct buf b;
    enum prov_step step = op->conf->type->next(op, &x);
    struct str head, answer;

    if (step == PROV_DONE)
        return false;
    buf_init(&b, TEXT_MAX);
    show_step(&b, op, step, &x);
    head = arena_printf(c->arena, "request %d", number);
    golden_output(c, head.p, &b);
    if (step == PROV_WAIT || step == PROV_RENEW)
        return true;
    head = arena_printf(c->arena, "response %d", number);
    answer = golden_input(c, head.p);
    if (!answer.p) {
        golden_fail(c, "there is no section '%s'", head.p);
        return false;
    }
    return take_answer(c, op, step, &x, answer, e);
}

static void show_undo(struct golden_case *c, struct prov_op *op)
{
    struct prov_exchange x = {0};
    struct buf b;

    if (!golden_input(c, "undo").p)
        return;
    buf_init(&b, TEXT_MAX);
    if (op->conf->type->undo && op->conf->type->undo(op, &x))
        show_http(&b, op, &x.http, x.is_told);
    else
        buf_add_c(&b, "nothing\n");
    golden_output(c, "undo", &b);
}

static enum gw_err check_batch(struct prov_op *op, struct gw_error *e)
{
    const struct provider_type *type = op->conf->type;

    if (type->check_request &&
        type->check_request(op->conf, op->batch_request, e) != GW_OK)
        return e->err;
    if (!type->check_batch)
        return GW_OK;
    return type->check_batch(op->conf, op->batch_request, op->batch_model, e);
}

static void run_operation(struct golden_case *c, struct prov_op *op,
                          struct buf *result)
{
    struct gw_error e = {0};
    int number = 1;

    if (!(provider_caps(op->conf) & (1u << op->code))) {
        buf_add_c(result, "unsupported\n");
        return;
    }
    if (op->code == PROV_BATCH_CREATE && check_batch(op, &e) != GW_OK) {
        show_error(result, &e);
        return;
    }
    while (exchange(c, op, number, &e))
        if (++number > EXCHANGES_MAX) {
            golden_fail(c, "the operation does not end");
            return;
        }
    if (e.err)
        show_error(result, &e);
    else
        show_result(result, op);
    show_undo(c, op);
}

static void run(struct golden_case *c)
{
    struct prov_op op = {.conf = read_config(c)};
    struct str operation = golden_input(c, "operation");
    struct buf result;

    if (!op.conf)
        return;
    if (!operation.p && !golden_input(c, "caps").p)
        golden_fail(c, "the case asks for nothing");
    output_caps(c, op.conf);
    if (!operation.p)
        return;
    buf_init(&result, TEXT_MAX);
    read_operation(c, operation, &op);
    if (!c->has_failed)
        run_operation(c, &op, &result);
    golden_output(c, "result", &result);
}

int main(int argc, char **argv)
{
    return golden_main(argc, argv, run);
}
