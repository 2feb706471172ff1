/* metrics.h -- counters, gauges and histograms, one shard per worker.
 *
 * A shard is written by its worker alone, without locks; a scrape adds up all
 * shards. A series (a metric with its label values) is looked up once and its
 * pointer kept: it lives as long as the shard. What may be counted is the
 * table metrics.def.
 */
#ifndef FILEMUX_BASE_METRICS_H
#define FILEMUX_BASE_METRICS_H

#include "gateway/base/buf.h"

enum metric_id {
#define METRIC(id, kind, name, labels, help) METRIC_##id,
#include "gateway/base/metrics.def"
#undef METRIC
    METRIC_COUNT
};

struct metrics;       /* one shard */
struct metric_series; /* one metric with its label values */

/* A new shard, joined to the list that metrics_render() adds up. Ended by
 * metrics_free(), after which its counts are gone. Any thread. */
struct metrics *metrics_new(void) MUSTCHECK;
void metrics_free(struct metrics *m);

/* The series with these label values, in the table's order (as many as the
 * table names; NULL counts as ""). Made on first use. At most
 * METRIC_SERIES_MAX in a shard: further ones fall together into one with the
 * values "other". The shard's own thread. */
#define METRIC_SERIES_MAX 4096
struct metric_series *metrics_get(struct metrics *m, enum metric_id id,
                                  const char *l1, const char *l2,
                                  const char *l3) MUSTCHECK;

/* Counters and gauges; delta may be negative for a gauge. Own thread. */
void metric_add(struct metric_series *s, int64_t delta);
/* Histograms: one observation in microseconds. Own thread. */
void metric_observe_us(struct metric_series *s, int64_t us);

/* Look up and add: for what is not on a hot path. */
void metrics_count(struct metrics *m, enum metric_id id, const char *l1,
                   const char *l2, const char *l3);

/* All shards in the Prometheus text format 0.0.4, labels escaped, families
 * with HELP and TYPE. Any thread. */
void metrics_render(struct buf *out);

#endif
