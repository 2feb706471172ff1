/* clock.h -- what time it is, on two clocks.
 *
 * The monotonic clock is for deadlines and durations; the wall clock is for
 * what users see and Redis stores. Both may be set by hand in tests, for all
 * threads at once. Any thread.
 */
#ifndef FILEMUX_BASE_CLOCK_H
#define FILEMUX_BASE_CLOCK_H

#include "gateway/base/base.h"

/* Monotonic time in microseconds. */
int64_t clock_mono_us(void);
/* Monotonic time in milliseconds. */
int64_t clock_mono_ms(void);
/* Milliseconds since 1970-01-01 UTC. */
int64_t clock_wall_ms(void);
/* Seconds since 1970-01-01 UTC. */
int64_t clock_wall_s(void);

/* "2026-01-31T23:59:59.123Z"; out holds at least CLOCK_TEXT_SIZE bytes. */
#define CLOCK_TEXT_SIZE 32
void clock_format(int64_t wall_ms, char *out);

/* Tests only: from now on both clocks say this (milliseconds); -1 ends it. */
void clock_set_for_tests(int64_t ms);

#endif
