/* banned.h -- functions that do not compile in filemux, each with its cure.
 *
 * Force-included by CMake before every one of our own translation units.
 */
#ifndef FILEMUX_BASE_BANNED_H
#define FILEMUX_BASE_BANNED_H

/* The headers that declare them come first: poison forbids later mentions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <alloca.h>

/* str_*, arena_printf, buf_printf and snprintf know the size they write. */
#pragma GCC poison strcpy strcat sprintf vsprintf strncpy strncat strtok gets
/* str_to_u64 and its kin refuse garbage and overflow. */
#pragma GCC poison atoi atol atoll
/* Shared static state; use gmtime_r and crypto_random. */
#pragma GCC poison localtime gmtime asctime ctime
/* Not poisoned: OpenSSL's headers use the name for parameters. */
int rand(void) __attribute__((error("use crypto_random")));
void srand(unsigned seed) __attribute__((error("use crypto_random")));

#undef alloca
#pragma GCC poison alloca

#endif
