/* bench.h -- what the three programs of the bench share.
 *
 * load (the client), upstream (the provider) and copy (the cheapest proxy
 * there can be) are small loops on epoll. They link nothing of filemux: what
 * measures must not share code with what is measured. A fault ends the program
 * with one line on standard error; the runner then shows it.
 */
#ifndef FILEMUX_BENCH_BENCH_H
#define FILEMUX_BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bodies are sent out of a file of this size, again and again: it stays in the
 * cache, so that the sender is cheaper than the proxy between. */
#define BENCH_PATTERN_BYTES (4u << 20)
/* One discarding read, at most. */
#define BENCH_DISCARD_BYTES (1u << 20)

/* Ends the program. */
void bench_die(const char *format, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* A decimal number, all of the text, or the end of the program. */
uint64_t bench_number(const char *text);

/* Seconds on the monotonic clock. */
double bench_now(void);

/* A descriptor of BENCH_PATTERN_BYTES bytes that do not compress and hold every
 * byte value, as a parser that searches for a delimiter has to see. */
int bench_pattern(void);

/* A descriptor of a batch file of that many bytes: lines of a chat each, some
 * 600 bytes long, no two with the same custom_id. */
int bench_batch(uint64_t bytes);

/* A listening, non-blocking socket on 127.0.0.1. */
int bench_listen(unsigned port);

/* Starts a non-blocking connect to 127.0.0.1 from 127.0.0.<source>, so that
 * one port's worth of addresses is not the limit. */
int bench_connect(unsigned port, unsigned source);

/* epoll_ctl that cannot fail: add where there is no entry, else change. */
void bench_watch(int epoll, int fd, unsigned events, void *object, bool add);

/* The text between the first `from` in the string and the next `to` behind it,
 * copied. False if there is none or it does not fit. */
bool bench_between(const char *text, const char *from, const char *to,
                   char *out, size_t size);

/* The value of a header field of a head, as a number. */
bool bench_field_number(const char *head, const char *name, uint64_t *value);

#endif
