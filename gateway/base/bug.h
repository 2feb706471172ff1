/* bug.h -- what happens when the program is wrong: it stops, and says where.
 *
 * ASSERT and BUG are for what cannot happen; they are always on, for a wrong
 * gateway leaks one tenant's bytes to another. What a stranger or a peer can
 * cause is an error (err.h), never an ASSERT.
 */
#ifndef FILEMUX_BASE_BUG_H
#define FILEMUX_BASE_BUG_H

#include "gateway/base/base.h"

/* Names what the thread works on (a request id), for the crash report; NULL
 * for nothing. Borrowed: must outlive its being set. Any thread, for itself. */
void bug_set_context(const char *what);

/* Print file, line, text and context to stderr and abort. */
void bug_die(const char *file, int line, const char *fmt, ...)
    PRINTFLIKE(3, 4) NORETURN;

#define BUG(...) bug_die(__FILE__, __LINE__, __VA_ARGS__)
#define ASSERT(cond)                                                           \
    do {                                                                       \
        if (__builtin_expect(!(cond), 0))                                      \
            BUG("assertion failed: %s", #cond);                                \
    } while (0)

/* Memory for our own small things: never NULL (BUG when there is none).
 * xcalloc is zeroed. The caller frees with free(). */
void *xmalloc(size_t size) MUSTCHECK;
void *xcalloc(size_t count, size_t size) MUSTCHECK;
void *xrealloc(void *old, size_t size) MUSTCHECK;
char *xstrdup(const char *text) MUSTCHECK;

#endif
