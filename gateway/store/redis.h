/* redis.h -- one connection to Redis per worker; the only file that knows
 * hiredis.
 *
 * Commands are pipelined: those of one turn leave in one write at its end.
 * Every command has a deadline; when the oldest passes it the connection is
 * dropped and all that wait fail. A lost connection is made anew with a
 * jittered back-off (50 ms to 1 s); while there is none, commands fail at once
 * with STORE_UNAVAILABLE (retry_after_s 1): nothing queues up unseen. On
 * connect: AUTH, SELECT, then the connection counts as up.
 *
 * Scripts are sent as EVALSHA and, on NOSCRIPT, once more as EVAL, unseen.
 */
#ifndef FILEMUX_STORE_REDIS_H
#define FILEMUX_STORE_REDIS_H

#include "gateway/base/err.h"
#include "gateway/base/metrics.h"
#include "gateway/net/loop.h"

struct redis;

/* A reply's value; views are valid during the callback only. */
enum redis_kind { REDIS_NIL, REDIS_INT, REDIS_STR, REDIS_STATUS, REDIS_ARRAY };
struct redis_value {
    enum redis_kind kind;
    int64_t integer;
    struct str str;
    size_t n;                      /* REDIS_ARRAY */
    const void *elements;          /* see redis_at() */
};
/* The i-th element of an array (REDIS_NIL past its end). */
struct redis_value redis_at(const struct redis_value *array, size_t i);

/* Exactly once per command, from the loop. e->err is GW_OK, STORE_UNAVAILABLE
 * (no connection, deadline) or INTERNAL (Redis answered an error: logged here,
 * the caller gets no details); v is NULL unless GW_OK. */
typedef void redis_callback(void *arg, const struct redis_value *v,
                            const struct gw_error *e);

struct redis_options {
    const char *url;        /* redis://[user:password@]host[:port][/db],
                               rediss://… where hiredis has TLS, unix:///path
                               [?db=n] */
    int64_t timeout_ms;     /* per command */
};

/* Is the URL one we can use? For the load of the configuration. */
enum gw_err redis_check_url(const char *url, struct gw_error *e) MUSTCHECK;

/* Starts connecting. Host names are resolved off the loop. */
struct redis *redis_open(struct loop *l, const struct redis_options *o,
                         struct metrics *m) MUSTCHECK;
/* All that wait fail; then it is gone. */
void redis_close(struct redis *r);
bool redis_is_up(const struct redis *r);

/* A handle of a command under way; gone when its callback ran. */
struct redis_call;

/* argv are copied. Never NULL; failure is told by the callback, later. */
struct redis_call *redis_command(struct redis *r, redis_callback *fn,
                                 void *arg, size_t argc,
                                 const struct str *argv);

/* A Lua script, embedded at build time from store/scripts/<name>.lua. */
struct redis_script {
    const char *name;
    const char *text;
    char sha1[41]; /* filled on first use */
};
struct redis_call *redis_eval(struct redis *r, redis_callback *fn, void *arg,
                              struct redis_script *s, size_t nkeys,
                              const struct str *keys, size_t nargs,
                              const struct str *args);
/* The callback will not come. The command is carried out all the same. */
void redis_cancel(struct redis_call *c);

/* Commands sent since the start (tests count them). */
uint64_t redis_commands(const struct redis *r);

#endif
