/* batch_file.c
 *
 *   source ──pipe_read──► reader's buffer ──batch_check_feed      (as it is)
 *   source ──pipe_read──► scratch ──batch_check_feed──► ready ──► reader's
 *                            ▲              │                     buffer
 *                            └── Redis ◄────┘ an id               (renamed)
 *
 * While an id is looked up the scratch stays as it is. What was found is kept,
 * for a file names the same ones over and over; the oldest gives way.
 */
#include "gateway/flow/batch_file.h"

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/clock.h"
#include "gateway/codec/batch_check.h"
#include "gateway/codec/fileid.h"
#include "gateway/flow/batch_models.h"

#define SCRATCH_BYTES (64 * KIB)
/* No request is shorter: the least that its members take. */
#define REQUEST_MIN 64

/* A file of the caller's that lines name. */
struct named_file {
    char id[LIMIT_ID_BYTES + 1];
    char *with;      /* owned: its id at the provider; NULL: see why */
    const char *why; /* its lines are refused */
};

struct batch_file {
    struct txn *t;
    struct pipe *source, *out;
    struct form *form;
    const char *provider;
    struct str targets;
    enum batch_file_way way;
    bool may_grow;
    bool renames; /* models */
    struct batch_check check;
    bool is_finished;        /* the file's end was looked at, or a fault */
    struct gw_error fault;   /* the first */
    struct batch_use *uses;  /* by the models of the table */
    struct batch_use other;  /* those not in it */
    struct str model;        /* the first */
    uint64_t read;           /* of the source */
    char *scratch;           /* REWRITES: read here */
    size_t behind, behind_n; /* of it: what follows the file */
    struct buf ready;        /* and not yet handed on */
    size_t given;            /* of it */
    bool has_ids;
    struct named_file *named; /* LIMIT_BATCH_IDS, or NULL: none yet */
    size_t named_n;           /* ever */
    struct redis_call *call;  /* of the one that is looked up */
    struct arena *looked_up;
    struct gw_error store_error;
    int64_t bytes; /* of the file, as it comes out */
    struct crypto_hash *hash;
};

static bool rewrites(const struct batch_file *b)
{
    return b->way == BATCH_FILE_REWRITES;
}

/* Is it for others to say what a fault means? */
static bool lets_all_pass(const struct batch_file *b)
{
    return b->way == BATCH_FILE_NOTES || b->way == BATCH_FILE_JUDGES;
}

/* --- models --- */

static int64_t quoted_length(struct str name)
{
    struct buf b;
    int64_t n;

    buf_init(&b, LIMIT_BATCH_NAME_BYTES);
    batch_check_quote(&b, name);
    n = (int64_t)b.n;
    buf_release(&b);
    return n;
}

/* OpenAI's word for a model that is not where the file is. */
#define NOT_FOUND "model_not_found"

static enum gw_err refuse_elsewhere(const struct settings *conf, size_t i,
                                    const char *provider, struct gw_error *e)
{
    const struct model_conf *model = conf->route.models.v[i].data;

    snprintf(e->code, sizeof(e->code), NOT_FOUND);
    return err_set_param(e, GW_INVALID_BATCH_LINE, "body.model",
                         "the model '%s' is at '%s', while the file goes to "
                         "'%s'",
                         conf->route.models.v[i].name, model->provider,
                         provider);
}

static enum gw_err on_model(void *arg, struct str name, struct str *renamed,
                            struct batch_use **use, struct gw_error *e)
{
    struct batch_file *b = arg;
    const struct settings *conf = b->t->conf;
    size_t i, n = conf->route.models.n;
    struct str to;

    if (vkey_check_model(b->t->vkey, b->t->vteam, name, e) != GW_OK)
        return e->err;
    if (!b->model.n)
        b->model = arena_dup(b->t->arena, name);
    i = batch_models_find(conf, name);
    *use = i < n ? &b->uses[i] : &b->other;
    if (i == n || !b->provider)
        return GW_OK;
    if (!batch_models_is_there(conf, i, b->provider, b->targets))
        return refuse_elsewhere(conf, i, b->provider, e);
    to = batch_models_new_name(conf, i, b->provider, b->targets);
    if (b->renames && to.p)
        *renamed = to;
    return GW_OK;
}

/* The first line before that one with a model of the table that is not at the
 * provider. */
static enum gw_err check_provider(const struct batch_file *b,
                                  const char *provider, struct str targets,
                                  int64_t before, struct gw_error *e)
{
    const struct settings *conf = b->t->conf;
    struct gw_error why = {0};
    int64_t first = before;
    size_t at = 0;

    for (size_t i = 0; i < conf->route.models.n; i++) {
        const struct batch_use *use = &b->uses[i];

        if (!use->lines || use->first_line >= first ||
            batch_models_is_there(conf, i, provider, targets))
            continue;
        first = use->first_line;
        at = i;
    }
    if (first == before)
        return GW_OK;
    refuse_elsewhere(conf, at, provider, &why);
    return err_set_param(e, why.err, why.param,
                         "line %lld of the batch file: %s (" NOT_FOUND ")",
                         (long long)first, why.message);
}

int64_t batch_file_growth(const struct batch_file *b, const char *provider,
                          struct str targets)
{
    const struct settings *conf = b->t->conf;
    struct str to;
    int64_t sum = 0;

    for (size_t i = 0; i < conf->route.models.n; i++) {
        to = batch_models_new_name(conf, i, provider, targets);
        if (b->uses[i].lines && to.p)
            sum += b->uses[i].lines * quoted_length(to) - b->uses[i].bytes;
    }
    return sum;
}

/* --- files that lines name --- */

#define NO_SUCH_FILE "file_not_found"

static enum batch_id refuse_id(struct gw_error *e, const char *code,
                               const char *why)
{
    snprintf(e->code, sizeof(e->code), "%s", code);
    err_set(e, GW_INVALID_BATCH_LINE, "%s", why);
    return BATCH_ID_REFUSED;
}

static struct named_file *find_named(const struct batch_file *b, struct str id)
{
    for (size_t i = 0; i < MIN(b->named_n, LIMIT_BATCH_IDS); i++)
        if (str_eq_c(id, b->named[i].id))
            return &b->named[i];
    return NULL;
}

/* In the place of the oldest. */
static struct named_file *add_named(struct batch_file *b, struct str id)
{
    struct named_file *f;

    if (!b->named)
        b->named = xcalloc(LIMIT_BATCH_IDS, sizeof(*b->named));
    f = &b->named[b->named_n++ % LIMIT_BATCH_IDS];
    free(f->with);
    *f = (struct named_file){0};
    snprintf(f->id, sizeof(f->id), "%.*s", STR_ARG(id));
    return f;
}

static char *dup_text(struct str s)
{
    char *text = xmalloc(s.n + 1);

    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return text;
}

/* STR_NULL: it is not there. */
static struct str id_at(const struct file_record *r, const char *provider)
{
    size_t i = file_record_find(r, str_of(provider));

    return i < file_record_places(r) ? file_record_place(r, i).upstream_id
                                     : STR_NULL;
}

static void go_on(struct batch_file *b);

static void on_record(void *arg, const struct file_record *found,
                      const struct gw_error *e)
{
    struct batch_file *b = arg;
    struct named_file *f = &b->named[(b->named_n - 1) % LIMIT_BATCH_IDS];
    struct str id;

    b->call = NULL;
    if (e->err != GW_OK)
        b->store_error = *e;
    else if (!found || file_record_is_expired(found, clock_wall_s()))
        f->why = NO_SUCH_FILE;
    else if (!(id = id_at(found, b->provider)).p)
        f->why = "file_elsewhere";
    else
        f->with = dup_text(id);
    arena_free(b->looked_up);
    b->looked_up = NULL;
    go_on(b);
}

static void look_up(struct batch_file *b, struct str id)
{
    struct named_file *f = add_named(b, id);

    ASSERT(!b->call);
    b->looked_up = arena_new();
    b->call = file_store_get(b->t->sv->redis, b->looked_up, b->t->vkey->owner,
                             str_of(f->id), on_record, b);
}

static enum batch_id use_named(const struct batch_file *b,
                               const struct named_file *f, size_t room,
                               struct str *with, struct gw_error *e)
{
    int64_t n;

    if (f->why && strcmp(f->why, NO_SUCH_FILE) == 0)
        return refuse_id(e, f->why, "there is no such file");
    if (f->why)
        return refuse_id(e, f->why,
                         "the file is at another provider than the one that "
                         "the batch file goes to: copy it there first, with "
                         "POST /v1/files/{id}/copy");
    n = quoted_length(str_of(f->with));
    /* Shorter than itself: it was too long even to be told. */
    if (n > (int64_t)LIMIT_UPSTREAM_ID_BYTES ||
        n < (int64_t)strlen(f->with) + 2 || (n > (int64_t)room && !b->may_grow))
        return refuse_id(e, "unsupported_operation",
                         "the provider's id of the file is longer than ours, "
                         "so that it cannot stand in a batch file");
    *with = str_of(f->with);
    return BATCH_ID_KNOWN;
}

static enum batch_id on_id(void *arg, struct str id, size_t room,
                           struct str *with, struct gw_error *e)
{
    struct batch_file *b = arg;
    const struct named_file *f;
    struct fileid parts;

    b->has_ids = true;
    if (!fileid_parse(FILEID_FILE, id, &parts))
        return refuse_id(e, NO_SUCH_FILE, "there is no such file");
    if (b->way == BATCH_FILE_NOTES || b->way == BATCH_FILE_CHECKS)
        return BATCH_ID_KNOWN;
    if (b->way == BATCH_FILE_JUDGES)
        return refuse_id(e, "invalid_value",
                         "a line can only name files if the field 'purpose' "
                         "comes before the file: send it first");
    f = find_named(b, id);
    if (f)
        return use_named(b, f, room, with, e);
    look_up(b, id);
    return BATCH_ID_NOT_YET;
}

bool batch_file_has_ids(const struct batch_file *b)
{
    return b->has_ids;
}

/* --- the check --- */

static void count_out(struct batch_file *b, struct str bytes)
{
    b->bytes += (int64_t)bytes.n;
    if (b->hash)
        crypto_hash_add(b->hash, bytes.p, bytes.n);
}

/* Of a file that is renamed. */
static void on_out(void *arg, struct str bytes)
{
    struct batch_file *b = arg;

    count_out(b, bytes);
    buf_add_str(&b->ready, bytes);
}

static const struct batch_check_ops check_ops = {
    .model = on_model,
    .id = on_id,
};
static const struct batch_check_ops rename_ops = {
    .model = on_model,
    .id = on_id,
    .out = on_out,
};

/* The first fault, or the end: what was held for the check can go. */
static void finish_check(struct batch_file *b)
{
    b->is_finished = true;
    batch_check_release(&b->check);
}

static enum gw_err look_at(struct batch_file *b, const char *p, size_t n)
{
    if (b->is_finished)
        return b->fault.err;
    if (batch_check_feed(&b->check, p, n, &b->fault) != GW_OK)
        finish_check(b);
    return b->fault.err;
}

bool batch_file_is_ready(struct batch_file *b)
{
    if (b->call)
        return false;
    return b->is_finished || b->store_error.err != GW_OK ||
           batch_check_is_ready(&b->check);
}

/* All of it was read. */
static void end_check(struct batch_file *b)
{
    if (b->store_error.err != GW_OK && !b->is_finished) {
        b->fault = b->store_error;
        finish_check(b);
    }
    if (!b->is_finished) {
        (void)!batch_check_finish(&b->check, &b->fault);
        finish_check(b);
    }
}

/* The first fault of all. */
enum gw_err batch_file_verdict(struct batch_file *b, const char *provider,
                               struct str targets, struct gw_error *e)
{
    const struct gw_error *strict = &b->check.strict;
    bool is_strict;

    end_check(b);
    is_strict = strict->err != GW_OK;
    if (check_provider(b, provider, targets,
                       is_strict ? b->check.strict_line : INT64_MAX,
                       e) != GW_OK)
        return e->err;
    if (is_strict || b->fault.err != GW_OK)
        *e = is_strict ? *strict : b->fault;
    return e->err;
}

/* --- the stage --- */

static size_t fail(struct batch_file *b, const struct gw_error *e)
{
    pipe_fail(b->out, e);
    pipe_cancel(b->source);
    return 0;
}

/* How many of the n bytes that were read last belong to the file. */
static size_t of_the_file(struct batch_file *b, size_t n)
{
    uint64_t begin = b->read, size;

    b->read += n;
    if (!b->form)
        return n;
    size = (uint64_t)form_file_bytes(b->form);
    return size > begin ? MIN(n, (size_t)(size - begin)) : 0;
}

/* Nothing could be read. */
static size_t look_at_source(struct batch_file *b)
{
    switch (pipe_outcome(b->source)) {
    case PIPE_ERROR:
        pipe_fail(b->out, pipe_error(b->source));
        break;
    case PIPE_END:
        if (!lets_all_pass(b) && !batch_file_is_ready(b))
            break;
        if (!lets_all_pass(b))
            end_check(b);
        if (!lets_all_pass(b) && b->fault.err != GW_OK)
            pipe_fail(b->out, &b->fault);
        else if (b->given == b->ready.n)
            pipe_end(b->out);
        break;
    default: /* more will come */
        break;
    }
    return 0;
}

static size_t pull_as_is(struct batch_file *b, char *buf, size_t cap)
{
    size_t n = pipe_read(b->source, buf, cap);
    size_t own = of_the_file(b, n);

    if (!n)
        return look_at_source(b);
    if (look_at(b, buf, own) != GW_OK && !lets_all_pass(b))
        return fail(b, &b->fault);
    count_out(b, str_make(buf, own));
    return n;
}

/* The file's part of the scratch was looked at. */
static bool take_behind(struct batch_file *b)
{
    if (b->store_error.err != GW_OK) {
        fail(b, &b->store_error);
        return false;
    }
    if (b->fault.err != GW_OK) {
        fail(b, &b->fault);
        return false;
    }
    if (b->call)
        return false;
    /* The form has ended the check before it hands out what follows. */
    buf_add(&b->ready, b->scratch + b->behind, b->behind_n);
    b->behind_n = 0;
    ASSERT(!b->ready.overflow);
    return true;
}

/* False: nothing more for now. */
static bool read_rewritten(struct batch_file *b)
{
    size_t n;

    if (b->call)
        return false;
    buf_clear(&b->ready);
    b->given = 0;
    n = pipe_read(b->source, b->scratch, SCRATCH_BYTES);
    b->behind = of_the_file(b, n);
    b->behind_n = n - b->behind;
    if (!n) {
        look_at_source(b);
        return false;
    }
    if (b->behind)
        (void)!look_at(b, b->scratch, b->behind);
    return take_behind(b);
}

/* An id was looked up, or could not be. */
static void go_on(struct batch_file *b)
{
    if (b->store_error.err == GW_OK && !b->is_finished &&
        batch_check_is_waiting(&b->check)) {
        if (batch_check_resume(&b->check, &b->fault) != GW_OK)
            finish_check(b);
        if (b->call)
            return;
        (void)!take_behind(b);
    } else if (b->store_error.err != GW_OK) {
        fail(b, &b->store_error);
    }
    pipe_notify(b->out);
}

static size_t pull_rewritten(struct batch_file *b, char *buf, size_t cap)
{
    size_t n;

    while (b->given == b->ready.n)
        if (!read_rewritten(b) && b->given == b->ready.n)
            return 0;
    n = MIN(cap, b->ready.n - b->given);
    memcpy(buf, b->ready.p + b->given, n);
    b->given += n;
    return n;
}

static size_t pull(void *arg, char *buf, size_t cap)
{
    struct batch_file *b = arg;

    return rewrites(b) ? pull_rewritten(b, buf, cap) : pull_as_is(b, buf, cap);
}

static void on_cancelled(void *arg)
{
    struct batch_file *b = arg;

    pipe_cancel(b->source);
}

static void on_readable(void *arg)
{
    struct batch_file *b = arg;

    pipe_notify(b->out);
}

static const struct pipe_writer_ops writer_ops = {
    .pull = pull,
    .cancelled = on_cancelled,
};
static const struct pipe_reader_ops reader_ops = {.readable = on_readable};

static void prepare_rewriting(struct batch_file *b)
{
    /* A line that was held, all of a scratch's bytes, and as many names and ids
     * as there can be in both. */
    size_t ids = LIMIT_BATCH_LINE_IDS + SCRATCH_BYTES / FILEID_ULID_CHARS;
    size_t most = (size_t)b->t->conf->batch_check.max_line_bytes +
                  SCRATCH_BYTES +
                  (SCRATCH_BYTES / REQUEST_MIN + 2) * LIMIT_BATCH_NAME_BYTES +
                  ids * LIMIT_UPSTREAM_ID_BYTES;

    b->scratch = xmalloc(SCRATCH_BYTES);
    buf_init(&b->ready, most);
}

struct batch_file *batch_file_new(struct txn *t, struct pipe *source,
                                  const struct batch_file_options *o)
{
    const struct settings *conf = t->conf;
    struct batch_file *b = arena_new_of(t->arena, struct batch_file);
    uint64_t key[2];

    b->t = t;
    b->source = source;
    b->form = o->form;
    b->provider = o->provider;
    b->targets = o->targets;
    b->way = o->way;
    b->may_grow = o->may_grow;
    ASSERT(!rewrites(b) || b->provider);
    b->renames =
        rewrites(b) && batch_models_rename(conf, o->provider, o->targets);
    b->uses =
        arena_alloc(t->arena, (conf->route.models.n + 1) * sizeof(b->uses[0]));
    b->hash = o->is_hashed && rewrites(b) ? crypto_hash_new() : NULL;
    if (rewrites(b))
        prepare_rewriting(b);
    crypto_random(key, sizeof(key));
    batch_check_init(&b->check, conf->batch_check.max_lines,
                     conf->batch_check.max_line_bytes, key,
                     rewrites(b) ? &rename_ops : &check_ops, b);
    b->check.is_lenient = o->way == BATCH_FILE_NOTES;
    b->out = pipe_new(t->sv->loop, LIMIT_PIPE_LOW, LIMIT_PIPE_HIGH,
                      t->sv->pipe_bytes);
    pipe_set_writer(b->out, &writer_ops, b);
    pipe_set_reader(source, &reader_ops, b);
    return b;
}

void batch_file_free(struct batch_file *b)
{
    if (!b)
        return;
    if (b->call)
        redis_cancel(b->call);
    arena_free(b->looked_up);
    for (size_t i = 0; i < MIN(b->named_n, LIMIT_BATCH_IDS); i++)
        free(b->named[i].with);
    free(b->named);
    pipe_set_reader(b->source, NULL, NULL);
    pipe_free(b->out);
    if (!b->is_finished)
        batch_check_release(&b->check);
    crypto_hash_free(b->hash);
    buf_release(&b->ready);
    free(b->scratch);
}

struct pipe *batch_file_pipe(struct batch_file *b)
{
    return b->out;
}

int64_t batch_file_requests(struct batch_file *b)
{
    end_check(b);
    return b->fault.err == GW_OK ? b->check.requests : -1;
}

struct str batch_file_model(const struct batch_file *b)
{
    return b->model.n ? b->model : STR_NULL;
}

int64_t batch_file_bytes(const struct batch_file *b)
{
    return b->bytes;
}

struct str batch_file_sha256(struct batch_file *b)
{
    char hex[CRYPTO_SHA256_HEX + 1];

    if (!b->hash)
        return STR_NULL;
    crypto_hash_finish(b->hash, hex);
    b->hash = NULL;
    return arena_dup(b->t->arena, str_of(hex));
}
