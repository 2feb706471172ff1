/* tee.h -- one pipe into several: every reader gets every byte, all at the pace
 * of the slowest.
 *
 *     source ──► scratch ──► pipe 0
 *                       ├──► pipe 1
 *                       └──► pipe n-1
 *
 * The source is read only while none of the pipes is full, so what is held is n
 * times a pipe's bound and one read more. Its end, or its error, becomes that
 * of all; bytes come before an end. A reader that gives up stops all: the
 * source is cancelled, and the other pipes carry nothing more. They stay open,
 * for it is their owner who knows what it means.
 *
 * Lives on one loop; the readers may be of any kind that pipe.h allows.
 */
#ifndef FILEMUX_NET_TEE_H
#define FILEMUX_NET_TEE_H

#include "gateway/net/pipe.h"

struct tee;

/* Becomes the source's reader. 1 <= n <= LIMIT_FAN_OUT. held: a gauge or NULL.
 */
struct tee *tee_new(struct loop *l, struct pipe *source, size_t n,
                    struct metric_series *held) MUSTCHECK;
/* The i-th pipe: the tee's, for one reader. */
struct pipe *tee_pipe(struct tee *t, size_t i);
/* Lets go of the source, frees the pipes: their readers are gone. NULL allowed.
 */
void tee_free(struct tee *t);

#endif
