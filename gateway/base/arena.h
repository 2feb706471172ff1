/* arena.h -- memory that lives and dies with one thing (mostly a transaction).
 *
 * Pieces are never freed one by one; arena_free() gives all back and first
 * runs the hooks, the last registered first. For small things: an arena never
 * holds bodies. One thread at a time.
 */
#ifndef FILEMUX_BASE_ARENA_H
#define FILEMUX_BASE_ARENA_H

#include <stdarg.h>

#include "gateway/base/str.h"

struct arena;

/* A new, empty arena. The caller owns it and ends it with arena_free(). */
struct arena *arena_new(void) MUSTCHECK;
/* Runs the hooks, frees all. NULL is allowed. */
void arena_free(struct arena *a);

/* Zeroed memory, aligned for anything. Never NULL. */
void *arena_alloc(struct arena *a, size_t size) MUSTCHECK;
#define arena_new_of(a, type) ((type *)arena_alloc((a), sizeof(type)))

/* Copies, ended by a NUL that the view does not count. */
struct str arena_dup(struct arena *a, struct str s) MUSTCHECK;
char *arena_cstr(struct arena *a, struct str s) MUSTCHECK;
struct str arena_printf(struct arena *a, const char *fmt, ...)
    PRINTFLIKE(2, 3) MUSTCHECK;

/* Call fn(arg) when the arena is freed. */
void arena_on_free(struct arena *a, void (*fn)(void *arg), void *arg);

#endif
