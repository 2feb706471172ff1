#include "gateway/flow/cors.h"

/* Of what a page's script may see beyond the fields that are always shown. */
#define SHOWN                                                                  \
    "x-request-id, x-ratelimit-limit-requests, "                               \
    "x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "             \
    "x-should-retry, Retry-After, ETag, Accept-Ranges, Content-Range, "        \
    "Content-Disposition"
/* Field names that a page asks for; SDKs send a dozen. */
#define WANTED_BYTES (2 * KIB)

static bool is_any(const struct conf_strs *origins)
{
    return origins->n == 1 && strcmp(origins->v[0], "*") == 0;
}

/* What the reply names: "*", the page's origin; STR_NULL: it may not. */
static struct str allowed_origin(struct txn *t)
{
    const struct conf_strs *origins = &t->conf->cors.origins;
    struct str origin = txn_header(t, STR("origin"));

    if (!origin.n)
        return STR_NULL;
    if (is_any(origins))
        return STR("*");
    for (size_t i = 0; i < origins->n; i++)
        if (str_eq_c(origin, origins->v[i]))
            return origin;
    return STR_NULL;
}

static void add_vary(struct txn *t, struct http_fields *f)
{
    if (!is_any(&t->conf->cors.origins))
        http_fields_add(f, t->arena, STR("Vary"), STR("Origin"));
}

void cors_add_fields(struct txn *t, struct http_fields *f)
{
    struct str origin;

    if (!t->conf->cors.origins.n || !t->head)
        return;
    add_vary(t, f);
    origin = allowed_origin(t);
    if (!origin.p)
        return;
    http_fields_add(f, t->arena, STR("Access-Control-Allow-Origin"), origin);
    http_fields_add(f, t->arena, STR("Access-Control-Expose-Headers"),
                    STR(SHOWN));
}

bool cors_answer(struct txn *t, struct str methods)
{
    struct str wanted = txn_header(t, STR("access-control-request-headers"));
    struct http_fields f = {0};
    struct str origin;

    if (!t->conf->cors.origins.n || !str_eq_c(t->head->method, "OPTIONS") ||
        !txn_header(t, STR("access-control-request-method")).n)
        return false;
    origin = allowed_origin(t);
    if (!origin.p)
        return false;
    http_fields_add(&f, t->arena, STR("x-request-id"), str_of(t->id));
    add_vary(t, &f);
    http_fields_add(&f, t->arena, STR("Access-Control-Allow-Origin"), origin);
    http_fields_add(&f, t->arena, STR("Access-Control-Allow-Methods"), methods);
    /* Headers give no right that a key does not: whatever is asked for. */
    if (wanted.n && wanted.n <= WANTED_BYTES)
        http_fields_add(&f, t->arena, STR("Access-Control-Allow-Headers"),
                        wanted);
    http_fields_add(&f, t->arena, STR("Access-Control-Max-Age"),
                    arena_printf(t->arena, "%lld",
                                 (long long)t->conf->cors.max_age_ms / 1000));
    txn_reply(t, 204, &f, STR(""));
    return true;
}
