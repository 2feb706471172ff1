#include "gateway/flow/kept.h"

#include "gateway/base/clock.h"
#include "gateway/codec/fileid.h"
#include "gateway/codec/json.h"
#include "gateway/store/object_store.h"

/* clang-format off */
static const struct kept_kind kinds[] = {
    /* path               what                renamed listed ends   filter */
    {"fine_tuning/jobs",  "fine-tuning job",  true,   true,  false, "metadata[]"},
    {"vector_stores",     "vector store",     false,  true,  true,  NULL},
    {"assistants",        "assistant",        false,  true,  true,  NULL},
    {"containers",        "container",        false,  true,  true,  "name"},
    {"evals",             "evaluation",       false,  true,  true,  NULL},
    {"videos",            "video",            false,  true,  true,  NULL},
    {"threads",           "thread",           false,  false, true,  NULL},
    {"conversations",     "conversation",     false,  false, true,  NULL},
};
/* clang-format on */

static const char *const final_states[] = {"succeeded", "failed", "cancelled"};

const struct kept_kind *kept_kind_at(size_t i)
{
    return i < COUNTOF(kinds) ? &kinds[i] : NULL;
}

const struct kept_kind *kept_kind(struct str path)
{
    size_t i;

    for (i = 0; i < COUNTOF(kinds); i++)
        if (str_eq_c(path, kinds[i].path))
            return &kinds[i];
    return NULL;
}

void kept_new(struct arena *a, const struct kept_kind *kind,
              const struct provider_conf *p, struct str owner,
              struct str key_hash, struct kept_record *out)
{
    char id[LIMIT_ID_BYTES + 1];
    struct str minted;

    fileid_mint(FILEID_JOB, p->ns, clock_wall_ms(), id);
    minted = arena_dup(a, str_of(id));
    *out = (struct kept_record){
        .id = minted,
        .kind = str_of(kind->path),
        .owner = owner,
        .provider = str_of(p->name),
        .key_hash = key_hash,
        .ulid = str_make(minted.p + minted.n - FILEID_ULID_CHARS,
                         FILEID_ULID_CHARS),
        .state = STR(""),
    };
}

enum gw_err kept_name(struct kept_record *k, struct str upstream_id,
                      const struct provider_conf *p, struct gw_error *e)
{
    const struct kept_kind *kind = kept_kind(k->kind);

    if (!object_is_id(upstream_id))
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "provider '%s' made a %s without a usable id", p->name,
                       kind->what);
    k->upstream_id = upstream_id;
    if (!kind->is_renamed)
        k->id = upstream_id;
    return GW_OK;
}

bool kept_see(struct kept_record *k, struct str text)
{
    if (text.n > LIMIT_KEPT_STATE_BYTES)
        text = STR("");
    if (str_eq(k->state, text))
        return false;
    k->state = text;
    return true;
}

bool kept_is_final(struct arena *a, const struct kept_record *k)
{
    const struct kept_kind *kind = kept_kind(k->kind);
    struct gw_error none = {0};
    struct str status;
    size_t i;

    if (!kind || !kind->is_renamed || !k->state.n)
        return false;
    status = json_str(json_get(json_parse(a, k->state, &none), "status"));
    for (i = 0; i < COUNTOF(final_states); i++)
        if (str_eq_c(status, final_states[i]))
            return true;
    return false;
}

void kept_found(struct found_file *f, const struct kept_record *k,
                const struct provider_conf *p, const struct quota_who *who,
                struct str theirs)
{
    *f = (struct found_file){
        .provider = p,
        .theirs = theirs,
        .owner = k->owner,
        .key_hash = k->key_hash,
        .who = *who,
        .seed = k->owner,
        .most_ms = clock_wall_ms(),
        .filename = STR("output"),
    };
}
