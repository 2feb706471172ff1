/* Blocks are chained; a request larger than a block gets one of its own. Most
 * transactions fit into the first block, so an arena is one malloc. */
#include "gateway/base/arena.h"

#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/bug.h"

#define BLOCK_BYTES 4096
#define ALIGN 16

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(ALIGN) char bytes[];
};

struct hook {
    struct hook *next;
    void (*fn)(void *arg);
    void *arg;
};

struct arena {
    struct block *blocks; /* the newest first; allocation is from it */
    struct hook *hooks;   /* the newest first */
};

static struct block *block_new(size_t size, struct block *next)
{
    struct block *b;

    ASSERT(size <= SIZE_MAX - sizeof(*b));
    b = xmalloc(sizeof(*b) + size);
    b->next = next;
    b->used = 0;
    b->size = size;
    return b;
}

struct arena *arena_new(void)
{
    struct block *b = block_new(BLOCK_BYTES - sizeof(struct block), NULL);
    struct arena *a = (struct arena *)(void *)b->bytes;

    b->used = (sizeof(*a) + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    a->blocks = b;
    a->hooks = NULL;
    return a;
}

void arena_free(struct arena *a)
{
    struct block *b, *next;

    if (!a)
        return;
    while (a->hooks) {
        struct hook *h = a->hooks;

        a->hooks = h->next;
        h->fn(h->arg);
    }
    /* The arena itself stands in the oldest block, freed last. */
    for (b = a->blocks; b; b = next) {
        next = b->next;
        free(b);
    }
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t need = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    void *p;

    ASSERT(need >= size);
    if (a->blocks->size - a->blocks->used < need)
        a->blocks =
            block_new(MAX(need, BLOCK_BYTES - sizeof(struct block)), a->blocks);
    p = a->blocks->bytes + a->blocks->used;
    a->blocks->used += need;
    return memset(p, 0, need);
}

struct str arena_dup(struct arena *a, struct str s)
{
    char *p;

    if (!s.p)
        return STR_NULL;
    p = arena_alloc(a, s.n + 1);
    memcpy(p, s.p, s.n);
    return str_make(p, s.n);
}

char *arena_cstr(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);

    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    char *p;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    ASSERT(n >= 0);
    p = arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return str_make(p, (size_t)n);
}

void arena_on_free(struct arena *a, void (*fn)(void *arg), void *arg)
{
    struct hook *h = arena_new_of(a, struct hook);

    h->fn = fn;
    h->arg = arg;
    h->next = a->hooks;
    a->hooks = h;
}
