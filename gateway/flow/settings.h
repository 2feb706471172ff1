/* settings.h -- the configuration as the running program sees it.
 *
 * An immutable snapshot, shared by all threads. Reload makes a new one; a
 * transaction holds the one it began with. Filled by gateway/config.c, whose
 * tables say what each member means to the operator.
 */
#ifndef FILEMUX_FLOW_SETTINGS_H
#define FILEMUX_FLOW_SETTINGS_H

#include <stdatomic.h>

#include "gateway/store/key_store.h"
#include "providers/provider.h"
#include "routing/router.h"

struct settings {
    struct arena *arena; /* everything below lives in it */
    atomic_uint refs;

    struct conf_strs listen;
    const char *admin_listen;
    struct settings_tls {
        const char *certificate, *key;
    } tls;
    const char *data_dir;
    int64_t workers;
    const char *master_key;
    unsigned char master_hash[CRYPTO_SHA256_BYTES];
    struct settings_redis {
        const char *url;
        const char *server; /* program of the embedded one */
        int64_t timeout_ms;
    } redis;
    struct settings_log {
        int level, format;
    } log;
    struct settings_limits {
        int64_t max_file_bytes;
        int64_t header_timeout_ms, idle_timeout_ms, drain_timeout_ms;
        int64_t min_rate, max_connections;
        int64_t spool_memory, spool_total;
        int64_t auth_failures;
    } limits;
    struct settings_journal {
        int64_t lease_ms, sweep_ms;
    } journal;
    struct settings_cors {
        struct conf_strs origins;
        int64_t max_age_ms;
    } cors;
    struct settings_batch_check {
        bool is_enabled;
        int64_t max_lines, max_line_bytes;
    } batch_check;
    struct settings_batches {
        int64_t look_ms, list_ms, keep_ms;
    } batches;
    struct settings_forward {
        bool is_enabled;
        int64_t max_json_bytes, max_event_bytes, max_held_bytes;
        int64_t timeout_ms, object_life_ms;
    } forward;
    bool checksums;
    struct settings_uploads {
        int64_t max_part_bytes, life_ms;
        const char *hold;
        const struct provider_conf *own; /* holds parts where none other does */
    } uploads;
    struct conf_items providers;        /* struct provider_conf */
    struct routing_conf route;          /* models:, pools:, routing: */
    struct conf_items keys;             /* struct settings_key */
    struct key_store_fixed *fixed_keys; /* made of `keys`: one each */
};

/* A key fixed by the operator. */
struct settings_key {
    const char *key, *key_alias, *team_id, *user_id, *default_provider;
    struct conf_strs providers, operations;
    int64_t max_file_bytes, max_active_batches, max_batch_lines_per_day;
};

/* The last one to let go frees it. Any thread. */
struct settings *settings_hold(struct settings *s);
void settings_drop(struct settings *s);

/* The provider of that name, or NULL. */
const struct provider_conf *settings_provider(const struct settings *s,
                                              struct str name);

/* Where parts of uploads are held, by its name; "": our own directory. NULL:
 * it is not configured (any more). */
const struct provider_conf *settings_hold_of(const struct settings *s,
                                             struct str name);

#endif
