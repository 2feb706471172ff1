/* redis_server.h -- the embedded redis-server: a child process of ours.
 *
 * Started on a unix socket in the data directory (mode 0600, no TCP port),
 * with an append-only file there, supervised on the main loop: when it dies it
 * is started again after a back-off (100 ms to 5 s), and when we die the kernel
 * ends it (PR_SET_PDEATHSIG). The data directory is locked, so that two
 * processes cannot write the same append-only file. All of it on the main
 * thread: the kernel's signal comes when the thread that started it ends.
 */
#ifndef FILEMUX_STORE_REDIS_SERVER_H
#define FILEMUX_STORE_REDIS_SERVER_H

#include "gateway/base/err.h"
#include "gateway/net/loop.h"

struct redis_server;

/* Start it and wait (blocking, at most wait_ms) until it answers PING. The
 * messages name what to do: no redis-server in PATH, directory not writable,
 * locked by another process (with its pid), socket path too long. `program` is
 * "redis-server" or a path. NULL on failure. */
struct redis_server *redis_server_start(struct loop *main_loop,
                                        const char *program,
                                        const char *data_dir, int64_t wait_ms,
                                        struct gw_error *e) MUSTCHECK;
/* "unix:///…/redis.sock", valid as long as the server. */
const char *redis_server_url(const struct redis_server *s);
/* SIGTERM, wait up to 5 s, SIGKILL; the data is on disk. Blocking. */
void redis_server_stop(struct redis_server *s);

#endif
