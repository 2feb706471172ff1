#include "gateway/base/bug.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local const char *bug_context;

void bug_set_context(const char *what)
{
    bug_context = what;
}

void bug_die(const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "filemux: BUG at %s:%d: ", file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, " [%s]\n", bug_context ? bug_context : "-");
    abort();
}

void *xmalloc(size_t size)
{
    void *p = malloc(size ? size : 1);

    if (!p)
        BUG("out of memory for %zu bytes", size);
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);

    if (!p)
        BUG("out of memory for %zu times %zu bytes", count, size);
    return p;
}

void *xrealloc(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);

    if (!p)
        BUG("out of memory for %zu bytes", size);
    return p;
}

char *xstrdup(const char *text)
{
    size_t n = strlen(text) + 1;

    return memcpy(xmalloc(n), text, n);
}
