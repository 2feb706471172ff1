#include "gateway/base/bug.h"
#include "gateway/codec/url.h"
#include "providers/openai_forward.h"
#include "providers/openai_presigned.h"
#include "providers/openai_vendor.h"
#include "providers/prov_util.h"

/* OpenAI and everybody who copied it. The copies differ in small ways, each of
 * which is a key; `vendor` names a row of openai_vendor.c, from which a key
 * that says "auto" takes its value. A new vendor is a new row.
 */

/* Stands before what a key can choose: then the vendor's way is taken. */
#define AUTO "auto"

struct openai_conf {
    int vendor;
    const char *api_key, *organization, *project;
    const char *auth_header, *auth_scheme;
    struct conf_strs operations; /* empty: the vendor's */
    /* Indexes into choices of which the first is AUTO. */
    int trailing_slash, expires_after, paging, upload_length, upload, status;
    const char *upload_to, *envelope, *list_purpose; /* may be AUTO */
    int64_t list_limit, retention_ms;                /* 0: the vendor's */
    const char *custom_llm_provider;
    struct conf_pairs query, form, purposes;
};

static const struct openai_conf *own(const struct provider_conf *c)
{
    return c->own;
}

static const struct openai_vendor *vendor_of(const struct openai_conf *o)
{
    return &openai_vendors[o->vendor];
}

static int chosen(int choice, int vendors_own)
{
    return choice ? choice - 1 : vendors_own;
}

static const char *chosen_text(const char *text, const char *vendors_own)
{
    return str_eq_c(str_of(text), AUTO) ? vendors_own : text;
}

static size_t npurposes(const struct openai_vendor *v)
{
    size_t n = 0;

    while (v->purposes && v->purposes[n].key)
        n++;
    return n;
}

/* --- what this instance can do --- */

static unsigned operation_of(const char *name)
{
    unsigned code;

    if (str_eq_c(str_of(name), "batch"))
        return PROV_CAN_BATCH;
    if (str_eq_c(str_of(name), "uploads"))
        return PROV_CAN_UPLOADS;
    if (str_eq_c(str_of(name), prov_opcode_name(PROV_FORWARD)))
        return PROV_CAN_FORWARD;
    for (code = 0; code < PROV_GRANT; code++)
        if (str_eq_c(str_of(name), prov_opcode_name(code)))
            return 1u << code;
    return 0;
}

static unsigned operations_of(const struct openai_conf *o)
{
    const struct openai_vendor *v = vendor_of(o);
    unsigned caps = 0;
    size_t i;

    for (i = 0; i < o->operations.n; i++)
        caps |= operation_of(o->operations.v[i]);
    if (o->operations.n)
        return caps;
    caps = v->operations ? v->operations : PROV_CAN_ALL;
    if (v->has_uploads)
        caps |= PROV_CAN_UPLOADS;
    caps |= PROV_CAN_FORWARD;
    return v->no_batches ? caps : caps | PROV_CAN_BATCH;
}

static bool has_key(const struct conf_pairs *pairs, const char *key)
{
    size_t i;

    for (i = 0; i < pairs->n; i++)
        if (str_eq_c(str_of(key), pairs->v[i].key))
            return true;
    return false;
}

/* To look for a file in lists that know it by another id is worse than not to
 * look: all would seem to be forgotten ones. */
static bool lists_other_ids(const struct openai_conf *o)
{
    const char *const *name = vendor_of(o)->relisting;

    for (; name && *name; name++)
        if (has_key(&o->query, *name) || has_key(&o->form, *name))
            return true;
    return false;
}

static enum openai_upload upload_of(const struct openai_conf *o)
{
    return (enum openai_upload)chosen(o->upload, vendor_of(o)->upload);
}

static enum openai_expiry expiry_of(const struct openai_conf *o)
{
    return (enum openai_expiry)chosen(o->expires_after, vendor_of(o)->expiry);
}

static bool has_status(const struct openai_conf *o)
{
    return chosen(o->status, vendor_of(o)->has_status);
}

/* Of fields that must not come behind the file, those that do are either put
 * before it, which holds the whole form back until they are known; or, once the
 * purpose is, kept to ourselves. */
static unsigned form_caps(const struct openai_conf *o)
{
    enum openai_expiry expiry = expiry_of(o);
    unsigned caps = PROV_FORM;

    if (expiry == OPENAI_EXPIRY_NONE || expiry == OPENAI_EXPIRY_FIRST)
        caps |= PROV_NO_LATE_EXPIRY;
    if (expiry == OPENAI_EXPIRY_FIRST || o->purposes.n ||
        npurposes(vendor_of(o)))
        caps |= PROV_NEEDS_FIELDS;
    if (chosen(o->upload_length, vendor_of(o)->needs_length))
        caps |= PROV_NEEDS_LENGTH;
    return caps;
}

static unsigned caps_of(const struct provider_conf *c)
{
    const struct openai_conf *o = own(c);
    unsigned caps = operations_of(o) | PROV_OPENAI_BATCH;

    if (lists_other_ids(o))
        caps &= ~(unsigned)PROV_CAN_LIST;
    if (caps & PROV_CAN_CONTENT)
        caps |= PROV_HAS_RANGE;
    if (has_status(o) && (caps & PROV_CAN_GET))
        caps |= PROV_HAS_STATUS;
    if (upload_of(o) == OPENAI_UPLOAD_PRESIGNED)
        return caps | PROV_NEEDS_LENGTH;
    return caps | form_caps(o);
}

/* --- the operation --- */

struct openai_state {
    bool is_answered;
    struct openai_presigned presigned;
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

/* The vendor's word for the client's purpose, "" when it is the same. */
static struct str their_purpose(const struct openai_conf *o, struct str purpose)
{
    const struct openai_vendor *v = vendor_of(o);
    struct str theirs =
        openai_their_purpose(o->purposes.v, o->purposes.n, purpose);

    if (!theirs.p)
        theirs = openai_their_purpose(v->purposes, npurposes(v), purpose);
    return theirs.p ? theirs : STR("");
}

static struct str str_or_empty(const char *s)
{
    return s ? str_of(s) : STR("");
}

static struct openai_wire wire_of(const struct prov_op *op)
{
    const struct openai_conf *o = own(op->conf);
    const struct openai_vendor *v = vendor_of(o);
    int paging = chosen(o->paging, (int)v->paging);
    const char *upload_to = chosen_text(o->upload_to, v->upload_to);

    return (struct openai_wire){
        .collection =
            chosen(o->trailing_slash, v->has_slash) ? "/files/" : "/files",
        .upload_to = upload_to && upload_to[0] ? upload_to : NULL,
        .query = query_of(op->arena, &o->query),
        .expiry = expiry_of(o),
        .has_pages = paging != OPENAI_PAGING_NONE,
        .page = o->list_limit ? o->list_limit : v->page,
        .token = paging == OPENAI_PAGING_TOKEN ? "pagination_token" : NULL,
        .list_purpose =
            str_or_empty(chosen_text(o->list_purpose, v->list_purpose)),
        .purpose = their_purpose(o, op->upload.purpose),
        .provider = str_of(o->custom_llm_provider),
        .envelope = str_or_empty(chosen_text(o->envelope, v->envelope)),
        .form = &o->form,
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

static bool is_presigned(const struct prov_op *op)
{
    return op->code == PROV_CREATE &&
           upload_of(own(op->conf)) == OPENAI_UPLOAD_PRESIGNED;
}

static enum prov_step next(struct prov_op *op, struct prov_exchange *x)
{
    const struct openai_state *state = op->state;
    struct openai_wire w = wire_of(op);

    if (state->is_answered)
        return PROV_DONE;
    if (is_presigned(op) && state->presigned.put_to.n) {
        openai_presigned_put(op, &state->presigned, x);
        return PROV_SEND_HTTP;
    }
    if (op->code == PROV_FORWARD)
        openai_forward_describe(op, "", w.query, x);
    else if (is_presigned(op))
        openai_presigned_ask(op, &w, x);
    else
        openai_describe(op, &w, x);
    add_credentials(op, x);
    return PROV_SEND_HTTP;
}

/* --- answers --- */

/* Where nothing follows the upload, what is uploaded is done. */
static void heed_status(const struct openai_conf *o, struct file_obj *f)
{
    if (!has_status(o) && f->status == FILE_UPLOADED)
        f->status = FILE_PROCESSED;
}

/* What may stand for one of several purposes is left to the record. */
static void forget_purpose(const struct openai_conf *o, struct file_obj *f)
{
    const struct openai_vendor *v = vendor_of(o);

    if (openai_is_their_purpose(o->purposes.v, o->purposes.n, f->purpose) ||
        openai_is_their_purpose(v->purposes, npurposes(v), f->purpose))
        f->purpose = STR("");
}

/* A file of which nobody says when it ends, ends all the same. */
static void add_end(struct prov_op *op)
{
    const struct openai_conf *o = own(op->conf);
    int64_t created_at = op->file.created_at ? op->file.created_at : op->now_s;
    int64_t kept_s =
        o->retention_ms ? o->retention_ms / 1000 : vendor_of(o)->retention_s;
    bool is_told =
        op->upload.expires_after_s > 0 && expiry_of(o) != OPENAI_EXPIRY_NONE;

    if (!op->file.expires_at && !is_told && kept_s)
        op->file.expires_at = created_at + kept_s;
}

static void finish(struct prov_op *op)
{
    const struct openai_conf *o = own(op->conf);
    size_t i;

    for (i = 0; i < op->nlist; i++) {
        heed_status(o, &op->list[i]);
        forget_purpose(o, &op->list[i]);
    }
    heed_status(o, &op->file);
    forget_purpose(o, &op->file);
    if (op->code == PROV_CREATE || op->code == PROV_UPLOAD_COMPLETE)
        add_end(op);
}

static enum gw_err reply(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file, struct gw_error *e)
{
    struct openai_state *state = op->state;
    struct openai_wire w = wire_of(op);

    ASSERT(http && !file);
    if (is_presigned(op) && !state->presigned.put_to.n)
        return openai_presigned_read(op, http, &state->presigned, e);
    state->is_answered = true;
    if (op->code == PROV_FORWARD)
        return openai_forward_read(op, http, e);
    if (is_presigned(op)) {
        if (openai_presigned_done(op, http, &state->presigned, e) != GW_OK)
            return e->err;
    } else if (openai_read(op, &w, http, e) != GW_OK) {
        return e->err;
    }
    finish(op);
    return GW_OK;
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
                           "create, get, list, delete, content, batch, "
                           "uploads, forward",
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

static enum gw_err check_upload_to(const struct openai_conf *o,
                                   struct gw_error *e)
{
    struct str path = str_of(o->upload_to);
    size_t i;

    if (!path.n || str_eq_c(path, AUTO))
        return GW_OK;
    for (i = 0; i < path.n; i++)
        if (path.p[0] != '/' || path.p[i] <= ' ' || path.p[i] >= 0x7f ||
            path.p[i] == '?' || path.p[i] == '#')
            return err_set(e, GW_INVALID_VALUE,
                           "'upload_to' must be a path that starts with '/'");
    return GW_OK;
}

static enum gw_err check(struct provider_conf *c, struct gw_error *e)
{
    const struct openai_conf *o = own(c);
    const struct openai_vendor *v = vendor_of(o);

    if (!c->base_url[0] && !v->base_url)
        return err_set(e, GW_INVALID_VALUE,
                       "'base_url' is needed for the vendor '%s'", v->name);
    if (!c->base_url[0])
        c->base_url = v->base_url;
    if (!c->max_file_bytes)
        c->max_file_bytes = v->max_file_bytes;
    if (check_operations(o, e) || check_headers(o, e) || check_upload_to(o, e))
        return e->err;
    return GW_OK;
}

/* Behind AUTO, each in the order of its enum. */
static const char *const slash_choices[] = {AUTO, "no", "yes", NULL};
static const char *const expiry_choices[] = {AUTO, "none", "brackets", "first",
                                             NULL};
static const char *const paging_choices[] = {AUTO, "none", "cursor", "token",
                                             NULL};
static const char *const length_choices[] = {AUTO, "optional", "required",
                                             NULL};
static const char *const upload_choices[] = {AUTO, "form", "presigned", NULL};
static const char *const status_choices[] = {AUTO, "none", "told", NULL};

#define AT(member) offsetof(struct openai_conf, member)

/* clang-format off */
static const struct conf_key keys[] = {
    {.name = "vendor", .type = CONF_ENUM, .offset = AT(vendor),
     .choices = openai_vendor_names,
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
     .help = "what it can do: any of create, get, list, delete, content, "
             "batch, uploads, forward; empty: what the vendor can"},
    {.name = "trailing_slash", .type = CONF_ENUM, .offset = AT(trailing_slash),
     .choices = slash_choices,
     .help = "whether uploads and lists go to /files/"},
    {.name = "expires_after", .type = CONF_ENUM, .offset = AT(expires_after),
     .choices = expiry_choices,
     .help = "whether it is told when a file ends, and how; first: in brackets, "
             "before the file, a form whose purpose follows the file is then "
             "spooled; filemux ends the file in any case"},
    {.name = "paging", .type = CONF_ENUM, .offset = AT(paging),
     .choices = paging_choices,
     .help = "how its lists are paged: by an id in `after`, or by the "
             "`pagination_token` of the page before"},
    {.name = "list_limit", .type = CONF_INT, .offset = AT(list_limit),
     .min = 0, .max = 1000,
     .help = "the most files that it puts on a page; 0: the vendor's, or 1000"},
    {.name = "list_purpose", .type = CONF_STR, .offset = AT(list_purpose),
     .def = AUTO,
     .help = "the purpose that its lists must be asked for; empty: none"},
    {.name = "upload", .type = CONF_ENUM, .offset = AT(upload),
     .choices = upload_choices,
     .help = "form: the file is part of a form; presigned: a URL is asked for "
             "as JSON, and the file PUT there"},
    {.name = "upload_to", .type = CONF_STR, .offset = AT(upload_to),
     .def = AUTO,
     .help = "path for uploads, below the base_url; empty: that of the lists"},
    {.name = "upload_length", .type = CONF_ENUM, .offset = AT(upload_length),
     .choices = length_choices,
     .help = "whether an upload must have a Content-Length; required: a body "
             "of unknown length is spooled first"},
    {.name = "purposes", .type = CONF_STR_MAP, .offset = AT(purposes),
     .help = "what to send for a client's purpose, beside what the vendor is "
             "known to need; a form whose purpose follows the file is then "
             "spooled",
     .example = "user_data: file-extract"},
    {.name = "form", .type = CONF_STR_MAP, .offset = AT(form),
     .help = "fields added to the form of every upload",
     .example = "target_model_names: gpt-4o"},
    {.name = "status", .type = CONF_ENUM, .offset = AT(status),
     .choices = status_choices,
     .help = "whether it tells when a file is processed; none: it is when it "
             "is uploaded"},
    {.name = "retention", .type = CONF_DURATION, .offset = AT(retention_ms),
     .help = "how long it keeps a file of which nobody says when it ends; 0: "
             "as the vendor does"},
    {.name = "custom_llm_provider", .type = CONF_STR,
     .offset = AT(custom_llm_provider),
     .help = "for LiteLLM: which of its providers to use"},
    {.name = "query", .type = CONF_STR_MAP, .offset = AT(query),
     .help = "parameters added to the query of every request",
     .example = "tenant: files"},
    {.name = "envelope", .type = CONF_STR, .offset = AT(envelope), .def = AUTO,
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
               "Groq, xAI, Moonshot, Zhipu, SiliconFlow, DashScope, "
               "Perplexity, Cerebras, DigitalOcean, vLLM production-stack, "
               "AIBrix, Llama Stack, Doubleword, any OpenAI-compatible server",
    .caps = PROV_CAN_ALL | PROV_CAN_BATCH | PROV_CAN_FORWARD |
            PROV_OPENAI_BATCH | PROV_FORM | PROV_CAN_UPLOADS |
            PROV_NEEDS_LENGTH | PROV_NEEDS_FIELDS | PROV_HAS_RANGE |
            PROV_HAS_STATUS | PROV_NO_LATE_EXPIRY,
    .section = &section,
    .state_size = sizeof(struct openai_state),
    .check = check,
    .caps_of = caps_of,
    .next = next,
    .reply = reply,
};
