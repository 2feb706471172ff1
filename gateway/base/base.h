/* base.h -- the few attributes and macros that every file uses. */
#ifndef FILEMUX_BASE_BASE_H
#define FILEMUX_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The result tells of a failure and must be looked at. */
#define MUSTCHECK __attribute__((warn_unused_result))
/* Argument f is a printf format for the arguments from a on. */
#define PRINTFLIKE(f, a) __attribute__((format(printf, f, a)))
#define NORETURN __attribute__((noreturn))
#define UNUSED __attribute__((unused))

#define COUNTOF(array) (sizeof(array) / sizeof((array)[0]))

/* The struct of which ptr is the given member. */
#define container_of(ptr, type, member)                                        \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
