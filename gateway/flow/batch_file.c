/* batch_file.c
 *
 *   source ──pipe_read──► reader's buffer ──batch_check_feed      (as it is)
 *   source ──pipe_read──► scratch ──batch_check_feed──► ready ──► reader's
 *                                                       buffer    (renamed)
 */
#include "gateway/flow/batch_file.h"

#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/codec/batch_check.h"

#define SCRATCH_BYTES (64 * KIB)
/* No request is shorter: the least that its members take. */
#define REQUEST_MIN 64

struct batch_file {
    struct txn *t;
    struct pipe *source, *out;
    struct form *form;
    const char *provider;
    struct str targets;
    bool is_tentative, renames;
    struct batch_check check;
    bool is_finished;       /* the file's end was looked at, or a fault */
    struct gw_error fault;  /* the first */
    struct batch_use *uses; /* by the models of the table */
    struct batch_use other; /* those not in it */
    struct str model;       /* the first */
    uint64_t read;          /* of the source */
    char *scratch;          /* renames: read here */
    struct buf ready;       /* and not yet handed on */
    size_t given;           /* of it */
    int64_t bytes;          /* of the file, as it comes out */
    struct crypto_hash *hash;
};

/* --- models --- */

static const struct model_conf *model_at(const struct settings *conf, size_t i)
{
    return conf->route.models.v[i].data;
}

static const char *alias(const struct settings *conf, size_t i)
{
    return conf->route.models.v[i].name;
}

/* The number of models when there is none of that name. */
static size_t find(const struct settings *conf, struct str name)
{
    size_t i = 0;

    while (i < conf->route.models.n && !str_eq_c(name, alias(conf, i)))
        i++;
    return i;
}

static bool is_at(const struct settings *conf, size_t i, const char *provider)
{
    return strcmp(model_at(conf, i)->provider, provider) == 0;
}

static bool is_target(struct str targets, const char *name)
{
    struct str one;

    while (str_next(&targets, ',', &one))
        if (str_eq_c(one, name))
            return true;
    return false;
}

/* Which model stands for the i-th one at the provider; the number of models
 * when none does. */
static size_t there(const struct settings *conf, size_t i, const char *provider,
                    struct str targets)
{
    size_t n = conf->route.models.n, k;
    struct str name;

    if (is_at(conf, i, provider))
        return i;
    if (!is_target(targets, alias(conf, i)))
        return n;
    while (str_next(&targets, ',', &name)) {
        k = find(conf, name);
        if (k < n && is_at(conf, k, provider))
            return k;
    }
    return n;
}

/* What the i-th model of the table is called at the provider; STR_NULL: the
 * same, or it is not there. */
static struct str new_name(const struct settings *conf, size_t i,
                           const char *provider, struct str targets)
{
    size_t k = there(conf, i, provider, targets);
    const char *to;

    if (k == conf->route.models.n)
        return STR_NULL;
    to = model_at(conf, k)->model;
    if (!to[0])
        to = alias(conf, k);
    return strcmp(to, alias(conf, i)) != 0 ? str_of(to) : STR_NULL;
}

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

bool batch_file_renames(const struct settings *conf, const char *provider,
                        struct str targets)
{
    for (size_t i = 0; i < conf->route.models.n; i++)
        if (new_name(conf, i, provider, targets).p)
            return true;
    return false;
}

/* OpenAI's word for a model that is not where the file is. */
#define NOT_FOUND "model_not_found"

static enum gw_err refuse_elsewhere(const struct settings *conf, size_t i,
                                    const char *provider, struct gw_error *e)
{
    snprintf(e->code, sizeof(e->code), NOT_FOUND);
    return err_set_param(e, GW_INVALID_BATCH_LINE, "body.model",
                         "the model '%s' is at '%s', while the file goes to "
                         "'%s'",
                         alias(conf, i), model_at(conf, i)->provider, provider);
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
    i = find(conf, name);
    *use = i < n ? &b->uses[i] : &b->other;
    if (i == n || !b->provider)
        return GW_OK;
    if (there(conf, i, b->provider, b->targets) == n)
        return refuse_elsewhere(conf, i, b->provider, e);
    to = new_name(conf, i, b->provider, b->targets);
    if (b->renames && to.p)
        *renamed = to;
    return GW_OK;
}

enum gw_err batch_file_check_provider(const struct batch_file *b,
                                      const char *provider, struct str targets,
                                      struct gw_error *e)
{
    const struct settings *conf = b->t->conf;
    const struct batch_use *first = NULL;
    struct gw_error why = {0};
    size_t at = 0;

    for (size_t i = 0; i < conf->route.models.n; i++) {
        if (!b->uses[i].lines ||
            there(conf, i, provider, targets) < conf->route.models.n)
            continue;
        if (!first || b->uses[i].first_line < first->first_line) {
            first = &b->uses[i];
            at = i;
        }
    }
    if (!first)
        return GW_OK;
    refuse_elsewhere(conf, at, provider, &why);
    return err_set_param(e, why.err, why.param,
                         "line %lld of the batch file: %s (" NOT_FOUND ")",
                         (long long)first->first_line, why.message);
}

int64_t batch_file_growth(const struct batch_file *b, const char *provider,
                          struct str targets)
{
    const struct settings *conf = b->t->conf;
    struct str to;
    int64_t sum = 0;

    for (size_t i = 0; i < conf->route.models.n; i++) {
        to = new_name(conf, i, provider, targets);
        if (b->uses[i].lines && to.p)
            sum += b->uses[i].lines * quoted_length(to) - b->uses[i].bytes;
    }
    return sum;
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

static const struct batch_check_ops check_ops = {.model = on_model};
static const struct batch_check_ops rename_ops = {
    .model = on_model,
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

enum gw_err batch_file_verdict(struct batch_file *b, struct gw_error *e)
{
    if (!b->is_finished) {
        (void)!batch_check_finish(&b->check, &b->fault);
        finish_check(b);
    }
    if (b->fault.err != GW_OK)
        *e = b->fault;
    return b->fault.err;
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
    struct gw_error e = {0};

    switch (pipe_outcome(b->source)) {
    case PIPE_ERROR:
        pipe_fail(b->out, pipe_error(b->source));
        break;
    case PIPE_END:
        if (!b->is_tentative && batch_file_verdict(b, &e) != GW_OK)
            pipe_fail(b->out, &e);
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
    if (look_at(b, buf, own) != GW_OK && !b->is_tentative)
        return fail(b, &b->fault);
    count_out(b, str_make(buf, own));
    return n;
}

/* False: nothing more for now. */
static bool read_renamed(struct batch_file *b)
{
    size_t n, own;

    buf_clear(&b->ready);
    b->given = 0;
    n = pipe_read(b->source, b->scratch, SCRATCH_BYTES);
    own = of_the_file(b, n);
    if (!n) {
        look_at_source(b);
        return false;
    }
    if (own && look_at(b, b->scratch, own) != GW_OK) {
        fail(b, &b->fault);
        return false;
    }
    /* The form has ended the check before it hands out what follows. */
    buf_add(&b->ready, b->scratch + own, n - own);
    ASSERT(!b->ready.overflow);
    return true;
}

static size_t pull_renamed(struct batch_file *b, char *buf, size_t cap)
{
    size_t n;

    while (b->given == b->ready.n)
        if (!read_renamed(b) && b->given == b->ready.n)
            return 0;
    n = MIN(cap, b->ready.n - b->given);
    memcpy(buf, b->ready.p + b->given, n);
    b->given += n;
    return n;
}

static size_t pull(void *arg, char *buf, size_t cap)
{
    struct batch_file *b = arg;

    return b->renames ? pull_renamed(b, buf, cap) : pull_as_is(b, buf, cap);
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

static void prepare_renaming(struct batch_file *b)
{
    /* A line that was held, all of a scratch's bytes, and as many names as
     * there can be in both. */
    size_t most = (size_t)b->t->conf->batch_check.max_line_bytes +
                  SCRATCH_BYTES +
                  (SCRATCH_BYTES / REQUEST_MIN + 2) * LIMIT_BATCH_NAME_BYTES;

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
    b->is_tentative = o->is_tentative;
    b->renames =
        o->renames && batch_file_renames(conf, o->provider, o->targets);
    ASSERT(!b->renames || !b->is_tentative);
    b->uses =
        arena_alloc(t->arena, (conf->route.models.n + 1) * sizeof(b->uses[0]));
    b->hash = o->is_hashed && b->renames ? crypto_hash_new() : NULL;
    if (b->renames)
        prepare_renaming(b);
    crypto_random(key, sizeof(key));
    batch_check_init(&b->check, conf->batch_check.max_lines,
                     conf->batch_check.max_line_bytes, key,
                     b->renames ? &rename_ops : &check_ops, b);
    b->check.is_lenient = o->is_lenient;
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
    struct gw_error ignored = {0};

    return batch_file_verdict(b, &ignored) == GW_OK ? b->check.requests : -1;
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
