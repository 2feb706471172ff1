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
 * The program must ignore SIGPIPE: hiredis writes to sockets that may be gone.
 *
 * Scripts are sent as EVALSHA and, on NOSCRIPT, once more as EVAL, unseen: the
 * first time, what was sent right after a script may be carried out before it.
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
    size_t n;             /* REDIS_ARRAY */
    const void *elements; /* see redis_at() */
};
/* The i-th element of an array (REDIS_NIL past its end). */
struct redis_value redis_at(const struct redis_value *array, size_t i);

/* Exactly once per command, from the loop. e->err is GW_OK, STORE_UNAVAILABLE
 * (no connection, deadline) or INTERNAL (Redis answered an error: logged here,
 * the caller gets no details); v is NULL unless GW_OK. */
typedef void redis_callback(void *arg, const struct redis_value *v,
                            const struct gw_error *e);

struct redis_options {
    const char *url;    /* redis://[user:password@]host[:port][/db],
                           rediss://… where hiredis has TLS, unix:///path
                           [?db=n] */
    int64_t timeout_ms; /* per command */
};

/* Is the URL one we can use? For the load of the configuration. */
enum gw_err redis_check_url(const char *url, struct gw_error *e) MUSTCHECK;

/* Starts connecting. Host names are resolved off the loop. The URL is one that
 * redis_check_url() accepts; all of *o is copied. */
struct redis *redis_open(struct loop *l, const struct redis_options *o,
                         struct metrics *m) MUSTCHECK;
/* All that wait fail; then it is gone. Not from a callback of its own. */
void redis_close(struct redis *r);
bool redis_is_up(const struct redis *r);
/* For how long it has been without a break; 0: it is not. */
int64_t redis_up_ms(const struct redis *r);
struct loop *redis_loop(const struct redis *r);

/* A handle of a command under way; gone when its callback ran. */
struct redis_call;

/* argv are copied. Never NULL; failure is told by the callback, later. */
struct redis_call *redis_command(struct redis *r, redis_callback *fn, void *arg,
                                 size_t argc, const struct str *argv);

/* A Lua script, embedded at build time from store/scripts/<name>.lua; constant,
 * so that all workers share it. `#include "scripts.h"` (generated), then
 *     static const struct redis_script put = REDIS_SCRIPT(file_put); */
struct redis_script {
    const char *name;
    const char *text;
    const char *sha1; /* of the text: 40 hex characters */
};
#define REDIS_SCRIPT(script)                                                   \
    {                                                                          \
        .name = #script, .text = script_##script,                              \
        .sha1 = script_##script##_sha1                                         \
    }
struct redis_call *redis_eval(struct redis *r, redis_callback *fn, void *arg,
                              const struct redis_script *s, size_t nkeys,
                              const struct str *keys, size_t nargs,
                              const struct str *args);
/* The callback will not come. The command is carried out all the same. In the
 * call's own callback it does nothing. */
void redis_cancel(struct redis_call *c);

/* For the other files of store/: memory of the call, zeroed, that is there
 * until its callback ran, cancelled or not. From now on the callback's arg is
 * this memory. So what a store remembers until the answer costs no allocation
 * and cannot leak. */
#define REDIS_ROOM_BYTES 96
void *redis_room(struct redis_call *c, size_t size);
/* Two calls made one after the other: the end of `second` is told after that
 * of `first`, whatever becomes of them. So `first` may write into the room of
 * `second`. Right after both were made. */
void redis_after(struct redis_call *second, struct redis_call *first);

/* Commands sent since the start (tests count them). */
uint64_t redis_commands(const struct redis *r);

#endif
