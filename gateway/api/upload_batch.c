#include "gateway/api/upload_batch.h"

static struct str purpose(const struct upload_batch *b)
{
    return form_get(b->t->form, FORM_PURPOSE);
}

static bool is_batch_file(const struct upload_batch *b)
{
    return str_eq(purpose(b), STR("batch"));
}

static bool is_batch(const struct upload_batch *b)
{
    return b->t->conf->batch_check.is_enabled && is_batch_file(b);
}

/* It is one, or may be. */
static bool is_looked_at(const struct upload_batch *b)
{
    return b->t->conf->batch_check.is_enabled && (!purpose(b).p || is_batch(b));
}

/* NULL: not known yet, and so perhaps. */
static bool takes_openai_lines(const struct provider_conf *p)
{
    return !p || (provider_caps(p) & PROV_OPENAI_BATCH);
}

void upload_batch_begin(struct upload_batch *b, struct txn *t)
{
    *b = (struct upload_batch){.t = t};
}

void upload_batch_set_targets(struct upload_batch *b, struct str models)
{
    b->targets = models;
}

void upload_batch_release(struct upload_batch *b)
{
    upload_batch_end_replay(b);
    batch_file_free(b->in);
    b->in = NULL;
}

bool upload_batch_renames(const struct upload_batch *b,
                          const struct provider_conf *p)
{
    return is_looked_at(b) && takes_openai_lines(p) &&
           batch_file_renames(b->t->conf, p->name, b->targets);
}

/* Those that hold a file's bytes as they come cannot hold what it grows by. */
static bool has_byte_limits(const struct upload_batch *b)
{
    return charge_has_storage_limit(&b->t->who) ||
           charge_has_upload_limit(&b->t->who);
}

bool upload_batch_needs_spool(const struct upload_batch *b,
                              const struct provider_conf *p)
{
    if (!upload_batch_renames(b, p))
        return false;
    if (!is_batch(b) || (provider_caps(p) & PROV_NEEDS_LENGTH))
        return true;
    return form_expected_bytes(b->t->form) < 0 && has_byte_limits(b);
}

struct pipe *upload_batch_from_form(struct upload_batch *b,
                                    const struct provider_conf *p,
                                    bool is_spooled)
{
    struct pipe *source = form_pipe(b->t->form);
    struct batch_file_options o = {
        .is_spooled = is_spooled,
        .form = b->t->form,
        .is_hashed = b->t->conf->checksums,
    };

    batch_file_free(b->in);
    b->in = NULL;
    b->is_lenient = !takes_openai_lines(p);
    if ((!purpose(b).p || is_batch_file(b)) &&
        (b->is_lenient || !is_looked_at(b)))
        form_count_lines(b->t->form);
    if (!is_looked_at(b))
        return source;
    o.is_lenient = b->is_lenient;
    o.is_tentative = b->is_lenient || !is_batch(b);
    if (!b->is_lenient) {
        o.provider = p ? p->name : NULL;
        o.renames = p && !is_spooled && is_batch(b);
        o.may_grow = p && upload_batch_renames(b, p);
    }
    b->in_rewrites = o.renames;
    b->in = batch_file_new(b->t, source, &o);
    return batch_file_pipe(b->in);
}

/* Of a spooled file, which was looked at. */
static bool must_rewrite(const struct upload_batch *b,
                         const struct provider_conf *p)
{
    return upload_batch_renames(b, p) || (b->in && batch_file_has_ids(b->in));
}

struct pipe *upload_batch_from_spool(struct upload_batch *b,
                                     struct pipe *spooled,
                                     const struct provider_conf *p)
{
    struct batch_file_options o = {
        .provider = p->name,
        .renames = true,
        .is_hashed = b->t->conf->checksums,
    };

    if (!is_batch(b) || !takes_openai_lines(p) || !must_rewrite(b, p))
        return spooled;
    b->outs[0] = batch_file_new(b->t, spooled, &o);
    return batch_file_pipe(b->outs[0]);
}

/* Before a spool is sent on, its lines were looked at: what streams must still
 * be held to the models and files that are at the provider. */
struct pipe *upload_batch_from_tee(struct upload_batch *b, size_t i,
                                   struct pipe *pipe,
                                   const struct provider_conf *p,
                                   bool is_spooled)
{
    struct batch_file_options o = {
        .provider = p->name,
        .targets = b->targets,
        .renames = true,
        .may_grow = upload_batch_renames(b, p),
        .is_hashed = b->t->conf->checksums,
    };

    if (!is_batch(b) || !takes_openai_lines(p) ||
        (is_spooled && !must_rewrite(b, p)))
        return pipe;
    b->outs[i] = batch_file_new(b->t, pipe, &o);
    return batch_file_pipe(b->outs[i]);
}

void upload_batch_end_replay(struct upload_batch *b)
{
    for (size_t i = 0; i < COUNTOF(b->outs); i++) {
        batch_file_free(b->outs[i]);
        b->outs[i] = NULL;
    }
}

bool upload_batch_is_ready(struct upload_batch *b)
{
    return !b->in || !is_batch(b) || batch_file_is_ready(b->in);
}

enum gw_err upload_batch_verdict(struct upload_batch *b, struct gw_error *e)
{
    if (!b->in || b->is_lenient || !is_batch(b))
        return GW_OK;
    return batch_file_verdict(b->in, e);
}

enum gw_err upload_batch_check_provider(const struct upload_batch *b,
                                        const struct provider_conf *p,
                                        struct gw_error *e)
{
    if (!b->in || !is_batch(b) || !takes_openai_lines(p))
        return GW_OK;
    return batch_file_check_provider(b->in, p->name, b->targets, e);
}

int64_t upload_batch_spooled_bytes(const struct upload_batch *b,
                                   int64_t spooled,
                                   const struct provider_conf *p)
{
    if (!b->in || !is_batch(b) || !takes_openai_lines(p))
        return spooled;
    return spooled + batch_file_growth(b->in, p->name, b->targets);
}

/* The stage that has renamed, or NULL. */
static struct batch_file *renamer(const struct upload_batch *b)
{
    return b->outs[0] ? b->outs[0] : b->in_rewrites ? b->in : NULL;
}

int64_t upload_batch_bytes(const struct upload_batch *b)
{
    struct batch_file *f = renamer(b);

    return f ? batch_file_bytes(f) : form_file_bytes(b->t->form);
}

int64_t upload_batch_bytes_at(const struct upload_batch *b, size_t i)
{
    return b->outs[i] ? batch_file_bytes(b->outs[i])
                      : form_file_bytes(b->t->form);
}

/* That of the form holds where nothing was renamed. */
struct str upload_batch_sha256(struct upload_batch *b)
{
    struct batch_file *f = renamer(b);
    struct str own = f ? batch_file_sha256(f) : STR_NULL;

    return own.p ? own : form_sha256(b->t->form);
}

void upload_batch_note(struct upload_batch *b, struct file_record *r)
{
    int64_t lines = -1;

    if (!is_batch_file(b))
        return;
    if (b->in)
        lines = batch_file_requests(b->in);
    if (lines < 0)
        lines = form_lines(b->t->form);
    r->lines = MAX(lines, 0);
    if (b->in && batch_file_model(b->in).n <= LIMIT_BATCH_NAME_BYTES)
        r->model = batch_file_model(b->in);
}
