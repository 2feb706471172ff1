/* services.h -- what a worker lends to the transactions on its loop.
 *
 * One per worker thread, made by gateway/worker.c; nothing in it is shared
 * with another thread but what is thread-safe by itself (files, settings,
 * fleet, held).
 */
#ifndef FILEMUX_FLOW_SERVICES_H
#define FILEMUX_FLOW_SERVICES_H

#include "gateway/flow/settings.h"
#include "gateway/net/file_io.h"
#include "gateway/net/http_client.h"
#include "gateway/net/http_server.h"
#include "gateway/store/journal.h"
#include "gateway/store/redis.h"

/* Tags of listeners (http_server_listen). */
enum listener_tag {
    LISTEN_ALL,   /* everything: no admin_listen is set */
    LISTEN_DATA,  /* all but administration, health and metrics */
    LISTEN_ADMIN, /* those alone */
};

struct services {
    struct loop *loop;
    struct http_client *client;
    struct file_io *files;
    struct redis *redis;
    struct key_store *keys;
    struct metrics *metrics;
    struct settings *settings;         /* the snapshot for new transactions */
    struct lease *leases;              /* of uploads under way: lease.h */
    struct grant_fetch *grant_fetches; /* under way here: grants.h */
    struct removal *removals;          /* under way here: removal.h */
    struct model_cache *models;        /* what providers have: model_list.h */
    struct tally *tally;
    struct auth_guard *guard;
    struct fleet *fleet;            /* the process's: fleet.h */
    struct held *held;              /* the process's: held.h */
    struct undo *undos;             /* under way here: undo.h */
    struct upload_end *upload_ends; /* under way here: upload_end.h */
    bool is_draining;

    uint64_t request_seed, request_count; /* request ids */
    struct txn *transactions;             /* under way */
    size_t ntransactions;
    struct metric_series *bytes_in, *bytes_out, *pipe_bytes;
};

#endif
