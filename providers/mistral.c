#include "gateway/base/bug.h"
#include "gateway/codec/mime.h"
#include "gateway/codec/url.h"
#include "providers/mistral_batch.h"
#include "providers/openai.h"
#include "providers/openai_forward.h"
#include "providers/prov_batch.h"
#include "providers/prov_util.h"
#include "providers/signed_url.h"

/* Mistral speaks OpenAI's Files API with an accent of its own:
 *
 *   create   its own purposes; when a file ends is said in hours, `expiry`
 *   list     by the number of the page, so a cursor is that number
 *   get      may show a file that was deleted
 *   batch    mistral_batch.h
 *   content  from there, or from a store of blobs: a first exchange then asks
 *            for a URL that is signed, and is permission enough
 *
 * and its files have no status. The length of a file is null until it has
 * been counted there, which reads as unknown.
 */

#define BASE_URL "https://api.mistral.ai/v1"
/* What the service itself takes for granted. */
#define PAGE_FILES 100
#define HOUR_S 3600
/* The least: a signed URL is used at once, and a transfer under way outlives
 * it. */
#define SIGNED_HOURS 1

enum visibility { FOR_WORKSPACE, FOR_USER };
enum length { REQUIRED, OPTIONAL };
enum download { DIRECT, SIGNED_URL };

struct mistral_conf {
    const char *api_key;
    struct conf_pairs purposes;
    int visibility;
    int upload_length;
    int download;
    int64_t retention_ms;
};

struct mistral_state {
    bool is_answered;
    struct str signed_url; /* a secret: who knows it may read */
};

static const struct mistral_conf *own(const struct provider_conf *c)
{
    return c->own;
}

/* To send another purpose than the client's, that must have come before the
 * file: behind it, it is relayed as it is. */
static unsigned caps_of(const struct provider_conf *c)
{
    unsigned caps = PROV_CAN_ALL | PROV_CAN_BATCH | PROV_CAN_FORWARD |
                    PROV_BATCH_MODEL | PROV_FORM;

    if (own(c)->upload_length == REQUIRED)
        caps |= PROV_NEEDS_LENGTH;
    if (own(c)->purposes.n)
        caps |= PROV_NEEDS_FIELDS;
    if (own(c)->download == SIGNED_URL)
        caps |= PROV_HAS_RANGE;
    return caps;
}

/* --- purposes --- */

static struct str to_mistrals(const struct mistral_conf *o, struct str purpose)
{
    struct str theirs =
        openai_their_purpose(o->purposes.v, o->purposes.n, purpose);

    return theirs.p ? theirs : purpose;
}

/* What may be one of several is left to the record. */
static struct str from_mistrals(const struct mistral_conf *o,
                                struct str purpose)
{
    return openai_is_their_purpose(o->purposes.v, o->purposes.n, purpose)
               ? STR("")
               : purpose;
}

/* --- requests --- */

/* Part of an hour is a whole one: a file must not end before its time. */
static int64_t hours_of(int64_t seconds)
{
    return (seconds + HOUR_S - 1) / HOUR_S;
}

static void add_fields(const struct prov_op *op, struct buf *form)
{
    const struct mistral_conf *o = own(op->conf);
    const struct prov_upload *u = &op->upload;
    struct str hours = arena_printf(op->arena, "%lld",
                                    (long long)hours_of(u->expires_after_s));

    if (u->purpose.n)
        mime_add_field(form, u->boundary, STR("purpose"),
                       to_mistrals(o, u->purpose));
    if (u->expires_after_s > 0)
        mime_add_field(form, u->boundary, STR("expiry"), hours);
    if (o->visibility == FOR_USER)
        mime_add_field(form, u->boundary, STR("visibility"), STR("user"));
}

/* The page that the cursor names; 0 is the first. */
static int64_t page_of(const struct prov_op *op)
{
    int64_t page;

    return str_to_i64(op->list_cursor, &page) && page > 0 ? page : 0;
}

static struct openai_wire wire_of(const struct prov_op *op)
{
    struct openai_wire w = {.collection = "/files", .add_fields = add_fields};

    if (op->code == PROV_LIST)
        w.query =
            arena_printf(op->arena, "page=%lld&page_size=%d&include_total=true",
                         (long long)page_of(op), PAGE_FILES);
    return w;
}

static bool is_by_signed_url(const struct prov_op *op)
{
    return op->code == PROV_CONTENT && own(op->conf)->download == SIGNED_URL;
}

static bool is_of_batch(const struct prov_op *op)
{
    return (1u << op->code) & PROV_CAN_BATCH;
}

static void describe_sign(struct prov_op *op, struct prov_exchange *x)
{
    prov_http(op, x, "GET", "/files/%.*s/url?expiry=%d",
              STR_ARG(url_encoded(op->arena, op->upstream_id)), SIGNED_HOURS);
    prov_field(op, x, "Accept", STR("application/json"));
}

static enum prov_step next(struct prov_op *op, struct prov_exchange *x)
{
    const struct mistral_state *state = op->state;
    struct openai_wire w;

    if (state->is_answered)
        return PROV_DONE;
    if (state->signed_url.n) {
        signed_url_get(op, x, state->signed_url);
        return PROV_SEND_HTTP;
    }
    if (is_of_batch(op)) {
        mistral_batch_describe(op, x);
    } else if (op->code == PROV_FORWARD) {
        openai_forward_describe(op, "", STR(""), x);
    } else if (is_by_signed_url(op)) {
        describe_sign(op, x);
    } else {
        w = wire_of(op);
        openai_describe(op, &w, x);
    }
    prov_field(op, x, "Authorization",
               arena_printf(op->arena, "Bearer %s", own(op->conf)->api_key));
    return PROV_SEND_HTTP;
}

/* --- answers --- */

/* Who does not say when a file ends, ends it all the same. */
static void read_create(struct prov_op *op)
{
    int64_t kept_s = own(op->conf)->retention_ms / 1000;
    int64_t created_at = op->file.created_at;

    if (op->upload.expires_after_s > 0)
        kept_s = hours_of(op->upload.expires_after_s) * HOUR_S;
    if (!op->file.expires_at && kept_s)
        op->file.expires_at = (created_at ? created_at : op->now_s) + kept_s;
}

/* A page that is not full is the last one, and so is the one that reaches the
 * total, where that is told: a server that ignored the number of the page
 * would otherwise send the same for ever. */
static void read_list(struct prov_op *op, const struct json *v)
{
    int64_t total, page = page_of(op);
    bool is_full = json_count(json_get(v, "data")) >= PAGE_FILES;
    size_t i;

    if (json_int(json_get(v, "total"), &total))
        is_full = is_full && (page + 1) * PAGE_FILES < total;
    for (i = 0; i < op->nlist; i++)
        op->list[i].purpose = from_mistrals(own(op->conf), op->list[i].purpose);
    if (is_full)
        op->next_cursor =
            arena_printf(op->arena, "%lld", (long long)(page + 1));
}

static void read_more(struct prov_op *op, const struct json *v)
{
    if (op->code == PROV_LIST) {
        read_list(op, v);
        return;
    }
    op->file.purpose = from_mistrals(own(op->conf), op->file.purpose);
    if (op->code == PROV_CREATE)
        read_create(op);
    else if (json_bool(json_get(v, "deleted"), false))
        op->file.status = FILE_DELETED;
}

static enum gw_err read_sign(struct prov_op *op, const struct http_res *res,
                             struct gw_error *e)
{
    struct mistral_state *state = op->state;
    const struct json *v;

    if (res->status != 200)
        return prov_http_error(op, res, e);
    v = prov_json(op, res, e);
    if (!v)
        return e->err;
    state->signed_url = signed_url_take(op, json_str(json_get(v, "url")));
    if (state->signed_url.n)
        return GW_OK;
    return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                   "provider '%s' sent an answer without a usable URL for the "
                   "download",
                   op->conf->name);
}

static enum gw_err reply(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file, struct gw_error *e)
{
    struct mistral_state *state = op->state;
    struct openai_wire w;
    const struct json *v;

    ASSERT(http && !file);
    if (is_by_signed_url(op) && !state->signed_url.n)
        return read_sign(op, http, e);
    state->is_answered = true;
    if (is_of_batch(op))
        return mistral_batch_read(op, http, e);
    if (state->signed_url.n && http->status >= 400)
        return signed_url_error(op, http, e);
    if (op->code == PROV_FORWARD)
        return openai_forward_read(op, http, e);
    w = wire_of(op);
    if (openai_read(op, &w, http, e) != GW_OK)
        return e->err;
    if (op->code == PROV_DELETE || op->code == PROV_CONTENT)
        return GW_OK;
    v = prov_json(op, http, e);
    if (!v)
        return e->err;
    read_more(op, v);
    return GW_OK;
}

/* --- the configuration --- */

static enum gw_err check(struct provider_conf *c, struct gw_error *e)
{
    const struct mistral_conf *o = own(c);

    if (!c->base_url[0])
        c->base_url = BASE_URL;
    if (!o->api_key[0])
        return err_set(e, GW_INVALID_VALUE, "'api_key' is needed");
    return prov_check_value("api_key", o->api_key, e);
}

static const char *const visibilities[] = {"workspace", "user", NULL};
static const char *const length_choices[] = {"required", "optional", NULL};
static const char *const download_choices[] = {"direct", "signed_url", NULL};

#define AT(member) offsetof(struct mistral_conf, member)

/* clang-format off */
static const struct conf_key keys[] = {
    {.name = "api_key", .type = CONF_SECRET, .offset = AT(api_key),
     .help = "needed: sent with every request"},
    {.name = "purposes", .type = CONF_STR_MAP, .offset = AT(purposes),
     .help = "what to send for a client's purpose (it knows fine-tune, batch, "
             "ocr, audio); a form whose purpose follows the file is then "
             "spooled",
     .example = "user_data: ocr"},
    {.name = "visibility", .type = CONF_ENUM, .offset = AT(visibility),
     .choices = visibilities, .help = "who else there sees the files"},
    {.name = "upload_length", .type = CONF_ENUM, .offset = AT(upload_length),
     .choices = length_choices,
     .help = "whether an upload must have a Content-Length; required: a body "
             "of unknown length is spooled first"},
    {.name = "download", .type = CONF_ENUM, .offset = AT(download),
     .choices = download_choices,
     .help = "signed_url: content is fetched from the store of blobs behind "
             "it, which also serves ranges"},
    {.name = "retention", .type = CONF_DURATION, .offset = AT(retention_ms),
     .def = "30d",
     .help = "how long it keeps a file of which nobody said when it ends; 0: "
             "for ever"},
    {.name = NULL},
};
/* clang-format on */

static const struct conf_section section = {
    .size = sizeof(struct mistral_conf),
    .keys = keys,
};

const struct provider_type provider_mistral = {
    .name = "mistral",
    .systems = "Mistral",
    .caps = PROV_CAN_ALL | PROV_CAN_BATCH | PROV_CAN_FORWARD |
            PROV_BATCH_MODEL | PROV_FORM | PROV_NEEDS_LENGTH |
            PROV_NEEDS_FIELDS | PROV_HAS_RANGE,
    .section = &section,
    .state_size = sizeof(struct mistral_state),
    .check = check,
    .check_request = prov_batch_check_request,
    .caps_of = caps_of,
    .next = next,
    .reply = reply,
};
