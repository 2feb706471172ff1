#include "gateway/base/bug.h"
#include "providers/openai.h"
#include "providers/prov_said.h"
#include "providers/prov_util.h"

/* Anthropic's Files API (beta). Its exchanges are OpenAI's (openai_wire.c) with
 * other headers and another cursor; but a form has the file alone. The client's
 * own fields behind the file can therefore not be relayed: there is no
 * PROV_FORM, every form is framed anew, and as a length should be announced,
 * every body is spooled first.
 *
 * Files have no purpose, status or expiry there. Only files that the models
 * made can be downloaded; for others the API answers 400.
 */

/* What it takes as a name: so many characters, and none of these. */
#define NAME_MAX_BYTES 255
#define NAME_BANNED "<>:\"|?*\\/"
/* An ending longer than this is no file name's ending. */
#define ENDING_MAX_BYTES 16
/* Files there have no purpose; OpenAI's word for "any". */
#define NO_PURPOSE "user_data"
/* Access tokens need this beta too. */
#define TOKEN_BETA "oauth-2025-04-20"

enum length_choice { LENGTH_REQUIRED, LENGTH_OPTIONAL };

struct anthropic_conf {
    const char *api_key, *token, *version, *beta;
    int upload_length; /* choice */
};

static const struct anthropic_conf *own(const struct provider_conf *c)
{
    return c->own;
}

static unsigned caps_of(const struct provider_conf *c)
{
    bool needs_length = own(c)->upload_length == LENGTH_REQUIRED;

    return PROV_CAN_ALL | (needs_length ? PROV_NEEDS_LENGTH : 0);
}

/* --- names --- */

/* At most n bytes from the front, no character of UTF-8 cut in two. */
static struct str front(struct str s, size_t n)
{
    if (s.n <= n)
        return s;
    while (n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return str_make(s.p, n);
}

/* ".pdf", or "". */
static struct str ending_of(struct str name)
{
    size_t i = name.n;

    while (i && name.n - i < ENDING_MAX_BYTES)
        if (name.p[--i] == '.')
            return str_make(name.p + i, name.n - i);
    return STR("");
}

/* Short enough with its ending kept, banned characters replaced. The client
 * gets to see the name that it gave. */
static struct str acceptable_name(struct arena *a, struct str name)
{
    struct str ending = name.n > NAME_MAX_BYTES ? ending_of(name) : STR("");
    struct str stem = front(name, NAME_MAX_BYTES - ending.n);
    char *p = arena_alloc(a, stem.n + ending.n + 1);
    size_t i, n = stem.n + ending.n;

    memcpy(p, stem.p, stem.n);
    memcpy(p + stem.n, ending.p, ending.n);
    for (i = 0; i < n; i++)
        if ((unsigned char)p[i] < ' ' ||
            memchr(NAME_BANNED, p[i], sizeof(NAME_BANNED) - 1))
            p[i] = '_';
    return str_make(p, n);
}

/* --- the operation --- */

struct anthropic_state {
    bool is_answered;
};

static const struct openai_wire wire = {
    .collection = "/files",
    .query = {"", 0},
    .takes_only_file = true,
    .after = "after_id",
    .has_pages = true,
    .provider = {"", 0},
    .envelope = {"", 0},
};

static struct str beta_of(const struct prov_op *op)
{
    const struct anthropic_conf *n = own(op->conf);

    if (!n->token[0] || strstr(n->beta, TOKEN_BETA))
        return str_of(n->beta);
    return arena_printf(op->arena, "%s%s" TOKEN_BETA, n->beta,
                        n->beta[0] ? "," : "");
}

static void add_fields(struct prov_op *op, struct prov_exchange *x)
{
    const struct anthropic_conf *n = own(op->conf);
    struct str beta = beta_of(op);

    if (n->api_key[0])
        prov_field(op, x, "x-api-key", str_of(n->api_key));
    if (n->token[0])
        prov_field(op, x, "Authorization",
                   arena_printf(op->arena, "Bearer %s", n->token));
    prov_field(op, x, "anthropic-version", str_of(n->version));
    if (beta.n)
        prov_field(op, x, "anthropic-beta", beta);
}

static enum prov_step next(struct prov_op *op, struct prov_exchange *x)
{
    const struct anthropic_state *state = op->state;
    struct prov_op renamed = *op;

    if (state->is_answered)
        return PROV_DONE;
    if (op->code == PROV_CREATE && op->upload.filename.n)
        renamed.upload.filename =
            acceptable_name(op->arena, op->upload.filename);
    openai_describe(&renamed, &wire, x);
    add_fields(op, x);
    return PROV_SEND_HTTP;
}

/* --- answers --- */

/* The only thing that can be wrong with a request for content is the file. */
static enum gw_err refuse_content(struct prov_op *op,
                                  const struct http_res *res,
                                  struct gw_error *e)
{
    struct gw_error said = {0};

    prov_http_error(op, res, &said);
    return err_set(e, GW_UNSUPPORTED_OPERATION,
                   "provider '%s' does not support the operation '%s' for "
                   "this file: %s",
                   op->conf->name, prov_opcode_name(op->code), said.message);
}

/* A 403 is about the key, or about the room that is used up. */
static enum gw_err refuse_403(struct prov_op *op, const struct http_res *res,
                              struct gw_error *e)
{
    struct prov_said said;
    struct str message;

    prov_said_find(op->arena, res->body, &said);
    message =
        prov_said_clean(op->arena, said.message, op->upstream_id, op->shown_id);
    if (!strcasestr(arena_cstr(op->arena, message), "storage"))
        return prov_http_error(op, res, e);
    return err_set(e, GW_UPSTREAM_QUOTA, "%.*s", STR_ARG(message));
}

static void add_purposes(struct prov_op *op)
{
    size_t i;

    if (!op->file.purpose.n)
        op->file.purpose = STR(NO_PURPOSE);
    for (i = 0; i < op->nlist; i++)
        if (!op->list[i].purpose.n)
            op->list[i].purpose = STR(NO_PURPOSE);
}

static enum gw_err reply(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file, struct gw_error *e)
{
    struct anthropic_state *state = op->state;

    ASSERT(http && !file);
    state->is_answered = true;
    if (op->code == PROV_CONTENT && http->status == 400)
        return refuse_content(op, http, e);
    if (op->code == PROV_CREATE && http->status == 403)
        return refuse_403(op, http, e);
    if (openai_read(op, &wire, http, e))
        return e->err;
    add_purposes(op);
    return GW_OK;
}

/* --- the configuration --- */

static enum gw_err check(struct provider_conf *c, struct gw_error *e)
{
    const struct anthropic_conf *n = own(c);

    if (!c->base_url[0])
        c->base_url = "https://api.anthropic.com/v1";
    if (n->api_key[0] && n->token[0])
        return err_set(e, GW_INVALID_VALUE,
                       "'api_key' and 'token' exclude each other");
    if (!n->version[0])
        return err_set(e, GW_INVALID_VALUE, "'version' must not be empty");
    if (prov_check_value("api_key", n->api_key, e) ||
        prov_check_value("token", n->token, e) ||
        prov_check_value("version", n->version, e) ||
        prov_check_value("beta", n->beta, e))
        return e->err;
    return GW_OK;
}

static const char *const length_choices[] = {"required", "optional", NULL};

#define AT(member) offsetof(struct anthropic_conf, member)

/* clang-format off */
static const struct conf_key keys[] = {
    {.name = "api_key", .type = CONF_SECRET, .offset = AT(api_key),
     .help = "sent as x-api-key"},
    {.name = "token", .type = CONF_SECRET, .offset = AT(token),
     .help = "in its place, an access token, sent as Authorization: Bearer"},
    {.name = "version", .type = CONF_STR, .offset = AT(version),
     .def = "2023-06-01", .help = "sent as anthropic-version"},
    {.name = "beta", .type = CONF_STR, .offset = AT(beta),
     .def = "files-api-2025-04-14",
     .help = "sent as anthropic-beta, several with commas; \"\": none"},
    {.name = "upload_length", .type = CONF_ENUM, .offset = AT(upload_length),
     .choices = length_choices,
     .help = "whether an upload must have a Content-Length; required: every "
             "body is spooled first"},
    {.name = NULL},
};
/* clang-format on */

static const struct conf_section section = {
    .size = sizeof(struct anthropic_conf),
    .keys = keys,
};

const struct provider_type provider_anthropic = {
    .name = "anthropic",
    .systems = "Anthropic Files (beta); content of generated files only",
    .caps = PROV_CAN_ALL | PROV_NEEDS_LENGTH,
    .section = &section,
    .state_size = sizeof(struct anthropic_state),
    .check = check,
    .caps_of = caps_of,
    .next = next,
    .reply = reply,
};
