#include "providers/openai.h"

#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "providers/prov_util.h"

/* OpenAI and everybody who copied it. The copies differ in small ways, each of
 * which is a key; `vendor` names a row of the table below, from which a key
 * that says "auto" takes its value. A new vendor is a new row.
 */

#define ALL PROV_CAN_ALL
#define CREATE PROV_CAN_CREATE
#define GET PROV_CAN_GET
#define CONTENT PROV_CAN_CONTENT

/* Columns: the name; where it is, "" for what everybody runs himself; which
 * operations there are; whether the collection ends in a slash; whether
 * expires_after is understood; whether lists have pages; whether an upload
 * must announce its length; whether files have a status that changes. */
/* clang-format off */
#define VENDORS(X)                                                             \
    /* name                   base_url                                   operations            slash expiry pages length status */ \
    X("openai",               "https://api.openai.com/v1",               ALL,                    0,    1,     1,    0,    1)       \
    X("nebius",               "https://api.tokenfactory.nebius.com/v1",  ALL,                    0,    0,     0,    1,    0)       \
    X("kluster",              "https://api.kluster.ai/v1",               CREATE | CONTENT,       0,    0,     0,    1,    0)       \
    X("aqueduct",             "",                                        ALL,                    0,    0,     0,    0,    1)       \
    X("litellm",              "",                                        ALL,                    0,    1,     1,    0,    1)       \
    X("groq",                 "https://api.groq.com/openai/v1",          ALL,                    0,    0,     0,    1,    0)       \
    X("vllm-production-stack", "",                                       CREATE | GET | CONTENT, 0,    0,     0,    0,    0)       \
    X("generic",              "",                                        ALL,                    0,    1,     1,    0,    1)
/* clang-format on */

static const struct vendor {
    const char *name, *base_url;
    unsigned operations;
    bool has_slash, takes_expiry, has_pages, needs_length, has_status;
} vendors[] = {
#define X(vname, url, ops, slash, expiry, pages, length, status)               \
    {vname, url, ops, slash, expiry, pages, length, status},
    VENDORS(X)
#undef X
};

static const char *const vendor_names[] = {
#define X(vname, url, ops, slash, expiry, pages, length, status) vname,
    VENDORS(X)
#undef X
        NULL};

/* The order that the choices of every such key have. */
enum choice { AUTO, NO, YES };

struct openai_conf {
    int vendor;
    const char *api_key, *organization, *project;
    const char *auth_header, *auth_scheme;
    struct conf_strs operations; /* empty: the vendor's */
    int trailing_slash, expires_after, paging, upload_length; /* choice */
    const char *custom_llm_provider;
    struct conf_pairs query;
    const char *envelope;
};

static const struct openai_conf *own(const struct provider_conf *c)
{
    return c->own;
}

static const struct vendor *vendor_of(const struct openai_conf *o)
{
    return &vendors[o->vendor];
}

static bool chosen(int choice, bool vendors_own)
{
    return choice == AUTO ? vendors_own : choice == YES;
}

/* --- what this instance can do --- */

static unsigned operation_of(const char *name)
{
    unsigned code;

    for (code = 0; code < PROV_OPCODES; code++)
        if (str_eq_c(str_of(name), prov_opcode_name(code)))
            return 1u << code;
    return 0;
}

static unsigned operations_of(const struct openai_conf *o)
{
    unsigned caps = 0;
    size_t i;

    for (i = 0; i < o->operations.n; i++)
        caps |= operation_of(o->operations.v[i]);
    return o->operations.n ? caps : vendor_of(o)->operations;
}

static unsigned caps_of(const struct provider_conf *c)
{
    const struct openai_conf *o = own(c);
    unsigned caps = operations_of(o) | PROV_FORM | PROV_HAS_RANGE;

    if (chosen(o->upload_length, vendor_of(o)->needs_length))
        caps |= PROV_NEEDS_LENGTH;
    if (vendor_of(o)->has_status && (caps & PROV_CAN_GET))
        caps |= PROV_HAS_STATUS;
    if (!chosen(o->expires_after, vendor_of(o)->takes_expiry))
        caps |= PROV_NO_LATE_EXPIRY;
    return caps;
}

/* --- the operation --- */

struct openai_state {
    bool is_answered;
};

static struct str query_of(struct arena *a, const struct conf_pairs *pairs)
{
    struct str all = STR("");
    size_t i;

    for (i = 0; i < pairs->n; i++)
        all = arena_printf(a, "%.*s%s%.*s=%.*s", STR_ARG(all), all.n ? "&" : "",
                           STR_ARG(url_encoded(a, str_of(pairs->v[i].key))),
                           STR_ARG(url_encoded(a, str_of(pairs->v[i].value))));
    return all;
}

static struct openai_wire wire_of(const struct prov_op *op)
{
    const struct openai_conf *o = own(op->conf);
    const struct vendor *v = vendor_of(o);

    return (struct openai_wire){
        .collection =
            chosen(o->trailing_slash, v->has_slash) ? "/files/" : "/files",
        .query = query_of(op->arena, &o->query),
        .expiry = chosen(o->expires_after, v->takes_expiry)
                      ? OPENAI_EXPIRY_BRACKETS
                      : OPENAI_EXPIRY_NONE,
        .has_pages = chosen(o->paging, v->has_pages),
        .provider = str_of(o->custom_llm_provider),
        .envelope = str_of(o->envelope),
    };
}

static void add_field_if_set(struct prov_op *op, struct prov_exchange *x,
                             const char *name, const char *value)
{
    if (value[0])
        prov_field(op, x, name, str_of(value));
}

static void add_credentials(struct prov_op *op, struct prov_exchange *x)
{
    const struct openai_conf *o = own(op->conf);

    if (o->api_key[0] && o->auth_scheme[0])
        prov_field(
            op, x, o->auth_header,
            arena_printf(op->arena, "%s %s", o->auth_scheme, o->api_key));
    else
        add_field_if_set(op, x, o->auth_header, o->api_key);
    add_field_if_set(op, x, "OpenAI-Organization", o->organization);
    add_field_if_set(op, x, "OpenAI-Project", o->project);
}

static enum prov_step next(struct prov_op *op, struct prov_exchange *x)
{
    const struct openai_state *state = op->state;
    struct openai_wire w = wire_of(op);

    if (state->is_answered)
        return PROV_DONE;
    openai_describe(op, &w, x);
    add_credentials(op, x);
    return PROV_SEND_HTTP;
}

static enum gw_err reply(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file, struct gw_error *e)
{
    struct openai_state *state = op->state;
    struct openai_wire w = wire_of(op);

    ASSERT(http && !file);
    state->is_answered = true;
    return openai_read(op, &w, http, e);
}

/* --- the configuration --- */

static enum gw_err check_operations(const struct openai_conf *o,
                                    struct gw_error *e)
{
    size_t i;

    for (i = 0; i < o->operations.n; i++)
        if (!operation_of(o->operations.v[i]))
            return err_set(e, GW_INVALID_VALUE,
                           "'operations' does not know '%s'; it may hold "
                           "create, get, list, delete, content",
                           o->operations.v[i]);
    return GW_OK;
}

static enum gw_err check_headers(const struct openai_conf *o,
                                 struct gw_error *e)
{
    if (!prov_is_field_name(str_of(o->auth_header)))
        return err_set(e, GW_INVALID_VALUE,
                       "'auth_header' must be the name of a header field");
    if (prov_check_value("api_key", o->api_key, e) ||
        prov_check_value("auth_scheme", o->auth_scheme, e) ||
        prov_check_value("organization", o->organization, e) ||
        prov_check_value("project", o->project, e))
        return e->err;
    return GW_OK;
}

static enum gw_err check(struct provider_conf *c, struct gw_error *e)
{
    const struct openai_conf *o = own(c);

    if (!c->base_url[0])
        c->base_url = vendor_of(o)->base_url;
    if (!c->base_url[0])
        return err_set(e, GW_INVALID_VALUE,
                       "'base_url' is needed for the vendor '%s'",
                       vendor_of(o)->name);
    if (check_operations(o, e) || check_headers(o, e))
        return e->err;
    return GW_OK;
}

static const char *const slash_choices[] = {"auto", "no", "yes", NULL};
static const char *const expiry_choices[] = {"auto", "none", "brackets", NULL};
static const char *const paging_choices[] = {"auto", "none", "cursor", NULL};
static const char *const length_choices[] = {"auto", "optional", "required",
                                             NULL};

#define AT(member) offsetof(struct openai_conf, member)

/* clang-format off */
static const struct conf_key keys[] = {
    {.name = "vendor", .type = CONF_ENUM, .offset = AT(vendor),
     .choices = vendor_names,
     .help = "whose server it is: decides whatever says auto below, and the "
             "base_url"},
    {.name = "api_key", .type = CONF_SECRET, .offset = AT(api_key),
     .help = "sent with every request; empty: none is sent"},
    {.name = "organization", .type = CONF_STR, .offset = AT(organization),
     .help = "sent as OpenAI-Organization"},
    {.name = "project", .type = CONF_STR, .offset = AT(project),
     .help = "sent as OpenAI-Project"},
    {.name = "auth_header", .type = CONF_STR, .offset = AT(auth_header),
     .def = "Authorization", .help = "the header field that takes api_key"},
    {.name = "auth_scheme", .type = CONF_STR, .offset = AT(auth_scheme),
     .def = "Bearer", .help = "the word before it; \"\": none"},
    {.name = "operations", .type = CONF_STR_LIST, .offset = AT(operations),
     .help = "what it can do: any of create, get, list, delete, content; "
             "empty: what the vendor can"},
    {.name = "trailing_slash", .type = CONF_ENUM, .offset = AT(trailing_slash),
     .choices = slash_choices,
     .help = "whether uploads and lists go to /files/"},
    {.name = "expires_after", .type = CONF_ENUM, .offset = AT(expires_after),
     .choices = expiry_choices,
     .help = "whether it is told when a file ends, and how; filemux ends the "
             "file in any case"},
    {.name = "paging", .type = CONF_ENUM, .offset = AT(paging),
     .choices = paging_choices, .help = "how its lists are paged"},
    {.name = "upload_length", .type = CONF_ENUM, .offset = AT(upload_length),
     .choices = length_choices,
     .help = "whether an upload must have a Content-Length; required: a body "
             "of unknown length is spooled first"},
    {.name = "custom_llm_provider", .type = CONF_STR,
     .offset = AT(custom_llm_provider),
     .help = "for LiteLLM: which of its providers to use"},
    {.name = "query", .type = CONF_STR_MAP, .offset = AT(query),
     .help = "parameters added to the query of every request",
     .example = "tenant: files"},
    {.name = "envelope", .type = CONF_STR, .offset = AT(envelope),
     .help = "the member in which its answers are wrapped; empty: none"},
    {.name = NULL},
};
/* clang-format on */

static const struct conf_section section = {
    .size = sizeof(struct openai_conf),
    .keys = keys,
};

const struct provider_type provider_openai = {
    .name = "openai",
    .systems = "OpenAI, Nebius Token Factory, kluster.ai, Aqueduct, LiteLLM, "
               "Groq, vLLM production-stack, any OpenAI-compatible server",
    .caps = PROV_CAN_ALL | PROV_FORM | PROV_NEEDS_LENGTH | PROV_HAS_RANGE |
            PROV_HAS_STATUS | PROV_NO_LATE_EXPIRY,
    .section = &section,
    .state_size = sizeof(struct openai_state),
    .check = check,
    .caps_of = caps_of,
    .next = next,
    .reply = reply,
};
