#include "gateway/api/upload_batch.h"

#include "gateway/flow/batch_models.h"

/* --- what is known --- */

static struct str purpose(const struct upload_batch *b)
{
    return form_get(b->t->form, FORM_PURPOSE);
}

static bool is_batch(const struct upload_batch *b)
{
    return str_eq(purpose(b), STR("batch"));
}

static bool may_be_batch(const struct upload_batch *b)
{
    return !purpose(b).p || is_batch(b);
}

static bool is_enabled(const struct upload_batch *b)
{
    return b->t->conf->batch_check.is_enabled;
}

static bool takes_openai_lines(const struct provider_conf *p)
{
    return provider_caps(p) & PROV_OPENAI_BATCH;
}

bool upload_batch_renames(const struct upload_batch *b,
                          const struct provider_conf *p)
{
    return is_enabled(b) && may_be_batch(b) && takes_openai_lines(p) &&
           batch_models_rename(b->t->conf, p->name, b->targets);
}

/* A file that grows on its way cannot be held to the byte ahead; one whose
 * length is told is held to what it could grow to, as far as uploads count. */
bool upload_batch_needs_spool(const struct upload_batch *b,
                              const struct provider_conf *p)
{
    if (!upload_batch_renames(b, p))
        return false;
    if (!is_batch(b) || (provider_caps(p) & PROV_NEEDS_LENGTH))
        return true;
    return charge_has_storage_limit(&b->t->who) ||
           (form_expected_bytes(b->t->form) < 0 &&
            charge_has_upload_limit(&b->t->who));
}

/* --- the stages --- */

void upload_batch_begin(struct upload_batch *b, struct txn *t)
{
    *b = (struct upload_batch){.t = t};
}

void upload_batch_set_targets(struct upload_batch *b, struct str models)
{
    b->targets = models;
}

void upload_batch_end_outs(struct upload_batch *b)
{
    for (size_t i = 0; i < COUNTOF(b->outs); i++) {
        batch_file_free(b->outs[i]);
        b->outs[i] = NULL;
    }
}

void upload_batch_release(struct upload_batch *b)
{
    upload_batch_end_outs(b);
    batch_file_free(b->in);
    b->in = NULL;
}

/* The header's table, of a file that may be a batch. */
static enum batch_file_way way_in(const struct upload_batch *b,
                                  enum upload_batch_to to, bool is_openai)
{
    if (!is_openai)
        return BATCH_FILE_NOTES;
    if (to == UPLOAD_BATCH_TO_PROVIDER)
        return is_batch(b) ? BATCH_FILE_REWRITES : BATCH_FILE_JUDGES;
    return is_batch(b) ? BATCH_FILE_CHECKS : BATCH_FILE_NOTES;
}

static bool any_takes_openai_lines(const struct provider_conf *const *p,
                                   size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (takes_openai_lines(p[i]))
            return true;
    return false;
}

static struct batch_file *stage(struct upload_batch *b, struct pipe *source,
                                enum batch_file_way way,
                                const struct provider_conf *p,
                                struct form *form, bool may_grow)
{
    struct batch_file_options o = {
        .way = way,
        .provider = p ? p->name : NULL,
        .targets = b->targets,
        .may_grow = may_grow,
        .form = form,
        .is_hashed = b->t->conf->checksums,
    };

    return batch_file_new(b->t, source, &o);
}

struct pipe *upload_batch_in(struct upload_batch *b, enum upload_batch_to to,
                             const struct provider_conf *const *p, size_t n)
{
    struct form *form = b->t->form;
    enum batch_file_way way = way_in(b, to, any_takes_openai_lines(p, n));
    const struct provider_conf *only =
        n == 1 && way != BATCH_FILE_NOTES ? p[0] : NULL;

    batch_file_free(b->in);
    b->in = NULL;
    /* Lines of formats that cannot be read are counted all the same. */
    if (may_be_batch(b) && (way == BATCH_FILE_NOTES || !is_enabled(b)))
        form_count_lines(form);
    if (!may_be_batch(b) || !is_enabled(b))
        return form_pipe(form);
    b->in_way = way;
    b->in = stage(b, form_pipe(form), way, only, form,
                  only && upload_batch_renames(b, only));
    return batch_file_pipe(b->in);
}

/* Of a spooled file it is known whether anything is to be rewritten. What
 * streams must still be held to the models and files that are at the provider.
 */
static bool is_rewritten(const struct upload_batch *b,
                         const struct provider_conf *p, bool is_spooled)
{
    if (!b->in || !is_batch(b) || !takes_openai_lines(p))
        return false;
    return !is_spooled || upload_batch_renames(b, p) ||
           batch_file_has_ids(b->in);
}

struct pipe *upload_batch_out(struct upload_batch *b, size_t i,
                              struct pipe *pipe, const struct provider_conf *p,
                              bool is_spooled)
{
    if (!is_rewritten(b, p, is_spooled))
        return pipe;
    b->outs[i] = stage(b, pipe, BATCH_FILE_REWRITES, p, NULL,
                       !is_spooled && upload_batch_renames(b, p));
    return batch_file_pipe(b->outs[i]);
}

/* --- the verdict --- */

bool upload_batch_is_ready(struct upload_batch *b)
{
    return !b->in || b->in_way != BATCH_FILE_REWRITES ||
           batch_file_is_ready(b->in);
}

enum gw_err upload_batch_check(struct upload_batch *b,
                               const struct provider_conf *p,
                               struct gw_error *e)
{
    if (!b->in || !is_batch(b) || !takes_openai_lines(p))
        return GW_OK;
    return batch_file_verdict(b->in, p->name, b->targets, e);
}

/* --- what came of it --- */

int64_t upload_batch_spooled_bytes(const struct upload_batch *b,
                                   int64_t spooled,
                                   const struct provider_conf *p)
{
    if (!is_rewritten(b, p, true))
        return spooled;
    return spooled + batch_file_growth(b->in, p->name, b->targets);
}

/* The stage that has rewritten what the i-th provider has, or NULL. */
static struct batch_file *rewriter(const struct upload_batch *b, size_t i)
{
    if (b->outs[i])
        return b->outs[i];
    return b->in_way == BATCH_FILE_REWRITES ? b->in : NULL;
}

int64_t upload_batch_bytes(const struct upload_batch *b, size_t i)
{
    struct batch_file *f = rewriter(b, i);

    return f ? batch_file_bytes(f) : form_file_bytes(b->t->form);
}

struct str upload_batch_sha256(struct upload_batch *b)
{
    struct batch_file *f = rewriter(b, 0);

    return f ? batch_file_sha256(f) : form_sha256(b->t->form);
}

void upload_batch_note(struct upload_batch *b, struct file_record *r)
{
    int64_t lines = -1;

    if (!is_batch(b))
        return;
    if (b->in)
        lines = batch_file_requests(b->in);
    if (lines < 0)
        lines = form_lines(b->t->form);
    r->lines = MAX(lines, 0);
    if (b->in && batch_file_model(b->in).n <= LIMIT_BATCH_NAME_BYTES)
        r->model = batch_file_model(b->in);
}
