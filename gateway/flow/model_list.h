/* model_list.h -- which models the providers say they have.
 *
 * Those that were not asked within MODEL_LIST_LIFE_MS are, all at a time; the
 * answers are kept per worker. A provider that fails, or takes more than
 * MODEL_LIST_WAIT_MS, is left out with a line in the log.
 *
 * An ask lives in the arena it is given; all on the worker's loop.
 */
#ifndef FILEMUX_FLOW_MODEL_LIST_H
#define FILEMUX_FLOW_MODEL_LIST_H

#include "gateway/flow/upstream.h"

#define MODEL_LIST_LIFE_MS 60000
#define MODEL_LIST_WAIT_MS 10000

struct model_info {
    struct str id, owned_by;
    int64_t created;
};
struct model_list {
    struct model_info *v;
    size_t n;
};

struct model_cache; /* one per worker */

struct model_cache *model_cache_open(void) MUSTCHECK;
void model_cache_close(struct model_cache *c);
/* What the provider has; NULL: it is not known. Until the end of the turn. */
const struct model_list *model_cache_get(const struct model_cache *c,
                                         const char *provider);

struct model_fetch; /* from one provider */

struct model_ask {
    /* --- private --- */
    struct services *sv;
    struct arena *arena;
    struct model_fetch *fetches;
    size_t nwaiting;
    struct loop_timer timer;
    struct loop_task task;
    void (*done)(void *arg);
    void *arg;
};

/* Ask those of the providers whose models are not known, or not any more;
 * done() comes later, in any case. */
void model_ask_start(struct model_ask *a, struct services *sv, struct arena *ar,
                     const struct provider_conf *const *providers, size_t n,
                     void (*done)(void *arg), void *arg);
/* No callback follows. Twice is fine. */
void model_ask_abort(struct model_ask *a);

#endif
