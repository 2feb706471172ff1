#include "gateway/base/bug.h"
#include "providers/disk.h"

/* Files in a directory of this machine, each under the ULID of its id: so the
 * upstream id is known before the first byte is written, and nothing of what
 * a client sent becomes part of a path. The name, the purpose and the type of
 * a file are in the index alone.
 */

#define PAGE_FILES 1000

struct disk_conf {
    const char *path;
};

struct disk_state {
    bool is_answered;
};

static void describe_create(struct prov_op *op, struct file_req *req)
{
    req->verb = FILE_PUT;
    req->name = arena_cstr(op->arena, op->object_name);
}

static void describe_list(struct prov_op *op, struct file_req *req)
{
    req->verb = FILE_LIST;
    req->name = arena_cstr(op->arena, op->list_cursor);
    req->list_max = PAGE_FILES;
}

static void describe_content(struct prov_op *op, struct file_req *req)
{
    req->verb = FILE_READ;
    req->name = arena_cstr(op->arena, op->upstream_id);
    if (op->range_first < 0)
        return;
    req->offset = op->range_first;
    if (op->range_last >= 0)
        req->len = op->range_last - op->range_first + 1;
}

static void describe(struct prov_op *op, struct file_req *req)
{
    switch (op->code) {
    case PROV_CREATE:
        describe_create(op, req);
        return;
    case PROV_LIST:
        describe_list(op, req);
        return;
    case PROV_CONTENT:
        describe_content(op, req);
        return;
    case PROV_GET:
    case PROV_DELETE:
        req->verb = op->code == PROV_GET ? FILE_STAT : FILE_REMOVE;
        req->name = arena_cstr(op->arena, op->upstream_id);
        return;
    default:
        BUG("no such operation: %d", (int)op->code);
    }
}

static enum prov_step next(struct prov_op *op, struct prov_exchange *x)
{
    const struct disk_conf *conf = op->conf->own;
    const struct disk_state *state = op->state;

    if (state->is_answered)
        return PROV_DONE;
    *x = (struct prov_exchange){.file = {.dir = conf->path, .len = -1}};
    describe(op, &x->file);
    return PROV_SEND_FILE;
}

static struct file_obj object(struct str name, int64_t size, int64_t mtime_s)
{
    return (struct file_obj){.id = name,
                             .bytes = size,
                             .created_at = mtime_s,
                             .filename = STR(""),
                             .purpose = STR(""),
                             .status = FILE_PROCESSED};
}

static void read_create(struct prov_op *op, const struct file_res *res)
{
    op->file = object(op->object_name, res->size, op->now_s);
    op->file.filename = op->upload.filename;
    op->file.purpose = op->upload.purpose;
}

static void read_list(struct prov_op *op, const struct file_res *res)
{
    size_t i;

    op->list = arena_alloc(op->arena, res->nlist * sizeof(*op->list));
    op->nlist = res->nlist;
    for (i = 0; i < res->nlist; i++)
        op->list[i] =
            object(res->list[i].name, res->list[i].size, res->list[i].mtime_s);
    op->next_cursor = STR("");
    if (res->nlist >= PAGE_FILES)
        op->next_cursor = res->list[res->nlist - 1].name;
}

static enum gw_err reply(struct prov_op *op, const struct http_res *http,
                         const struct file_res *file, struct gw_error *e)
{
    struct disk_state *state = op->state;

    ASSERT(file && !http);
    state->is_answered = true;
    if (file->err != GW_OK)
        return err_plain(e, file->err);
    if (op->code == PROV_CREATE)
        read_create(op, file);
    else if (op->code == PROV_GET)
        op->file = object(op->upstream_id, file->size, file->mtime_s);
    else if (op->code == PROV_LIST)
        read_list(op, file);
    else
        op->content_type = STR("");
    return GW_OK;
}

static enum gw_err check(struct provider_conf *c, struct gw_error *e)
{
    const struct disk_conf *conf = c->own;

    if (conf->path[0])
        return GW_OK;
    return err_set(e, GW_INVALID_VALUE, "'path' must name a directory");
}

/* clang-format off */
static const struct conf_key keys[] = {
    {.name = "path", .type = CONF_STR,
     .offset = offsetof(struct disk_conf, path),
     .help = "needed: the directory that holds the files; made when it is not there"},
    {.name = NULL},
};
/* clang-format on */

static const struct conf_section section = {
    .size = sizeof(struct disk_conf),
    .keys = keys,
};

const struct provider_type provider_disk = {
    .name = "disk",
    .systems = "a local directory: the embedded default, for clusters without "
               "a Files API",
    .caps = PROV_CAN_ALL | PROV_OPENAI_BATCH | PROV_NAMES_OBJECT |
            PROV_HAS_RANGE | PROV_HOLDS_PARTS,
    .section = &section,
    .state_size = sizeof(struct disk_state),
    .check = check,
    .next = next,
    .reply = reply,
};

const char *disk_directory(const struct provider_conf *c)
{
    const struct disk_conf *conf = c->own;

    return str_eq_c(STR("disk"), c->type_name) ? conf->path : NULL;
}
