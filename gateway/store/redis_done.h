/* redis_done.h -- the two commonest answers, for the other files of store/.
 *
 * A call is made with one of the callbacks here, then told whom to answer:
 *
 *     return redis_tell_done(redis_eval(r, redis_on_done, NULL, …), fn, arg);
 *
 * What is remembered stands in the call's room.
 */
#ifndef FILEMUX_STORE_REDIS_DONE_H
#define FILEMUX_STORE_REDIS_DONE_H

#include "gateway/store/redis.h"

/* changed: Redis answered 1. */
typedef void redis_done_callback(void *arg, bool changed,
                                 const struct gw_error *e);
void redis_on_done(void *room, const struct redis_value *v,
                   const struct gw_error *e);
/* The call itself. fn NULL: nobody waits for the answer. */
struct redis_call *redis_tell_done(struct redis_call *c,
                                   redis_done_callback *fn, void *arg);

/* The text that Redis answered; STR_NULL when there was none. */
typedef void redis_text_callback(void *arg, struct str text,
                                 const struct gw_error *e);
void redis_on_text(void *room, const struct redis_value *v,
                   const struct gw_error *e);
struct redis_call *redis_tell_text(struct redis_call *c,
                                   redis_text_callback *fn, void *arg);

#endif
