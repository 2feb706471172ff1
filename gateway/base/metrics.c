/* A shard is a hash table of series that only its worker adds to. The worker
 * looks up without a lock, for nobody else changes the table; it takes the
 * shard's lock to insert, and the renderer takes it to walk. The counts are
 * atomics that one thread writes and others read, so a plain load and store
 * do where a locked add would.
 *
 *     worker 1: shard ─┐
 *     worker 2: shard ─┼─► sums: one table ──► sorted by metric and labels
 *     worker n: shard ─┘
 */
#include "gateway/base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "gateway/base/bug.h"
#include "gateway/base/limits.h"

#define uthash_fatal(msg) BUG("hash table: %s", msg)
#include <uthash.h>
#include <utlist.h>

enum kind { COUNTER, GAUGE, HISTOGRAM };

#define LABELS_MAX 3
#define BUCKETS 16

struct metric {
    enum kind kind;
    const char *name, *labels, *help;
};

static const struct metric table[METRIC_COUNT] = {
#define METRIC(id, kind, name, labels, help)                                   \
    [METRIC_##id] = {kind, name, labels, help},
#include "gateway/base/metrics.def"
#undef METRIC
};

static const struct bucket {
    int64_t us;
    const char *seconds;
} buckets[BUCKETS] = {
    /* clang-format off */
    {     500, "0.0005"}, {    1000, "0.001"}, {    2500, "0.0025"},
    {    5000, "0.005"},  {   10000, "0.01"},  {   25000, "0.025"},
    {   50000, "0.05"},   {  100000, "0.1"},   {  250000, "0.25"},
    {  500000, "0.5"},    { 1000000, "1"},     { 2500000, "2.5"},
    { 5000000, "5"},      {10000000, "10"},    {30000000, "30"},
    {60000000, "60"},
    /* clang-format on */
};

/* What makes a series: its metric as one byte, then the label values, each
 * ended by a NUL. */
struct key {
    size_t n;
    char bytes[1 + LABELS_MAX * (LIMIT_LABEL_BYTES + 1)];
};
_Static_assert(METRIC_COUNT < 128, "a metric is one byte of the key");

struct metric_series {
    UT_hash_handle hh;
    enum metric_id id;
    _Atomic int64_t value;   /* of a histogram: the sum in microseconds */
    _Atomic int64_t *counts; /* of a histogram: per bucket and above; owned */
    size_t key_n;
    char key[];
};

struct metrics {
    struct metrics *prev, *next; /* in `shards` */
    pthread_mutex_t lock;        /* the worker's insertion, others' walking */
    struct metric_series *series;
    size_t count;
};

static pthread_mutex_t shards_lock = PTHREAD_MUTEX_INITIALIZER;
static struct metrics *shards;

static int64_t load(const _Atomic int64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

/* There is one writer: nothing is lost between the load and the store. */
static void add(_Atomic int64_t *v, int64_t delta)
{
    atomic_store_explicit(v, load(v) + delta, memory_order_relaxed);
}

/* --- series --- */

/* Label values come from outside, and one that is not UTF-8 would spoil the
 * scrape as a whole. */
static void key_add(struct key *k, const char *label)
{
    size_t n = label ? strnlen(label, LIMIT_LABEL_BYTES) : 0;
    bool is_text = str_is_utf8(str_make(label, n));

    for (size_t i = 0; i < n; i++) {
        bool is_bad = !is_text && (unsigned char)label[i] >= 0x80;

        k->bytes[k->n++] = is_bad ? '?' : label[i];
    }
    k->bytes[k->n++] = '\0';
}

static size_t label_count(enum metric_id id)
{
    struct str list = str_of(table[id].labels), name;
    size_t n = 0;

    while (str_next(&list, ',', &name))
        n++;
    return n;
}

static void key_make(struct key *k, enum metric_id id,
                     const char *const values[LABELS_MAX])
{
    size_t n = label_count(id);

    ASSERT(n <= LABELS_MAX);
    k->n = 0;
    k->bytes[k->n++] = (char)id;
    for (size_t i = 0; i < LABELS_MAX; i++) {
        if (i < n)
            key_add(k, values[i]);
        else
            ASSERT(!values[i] || !values[i][0]);
    }
}

static struct metric_series *series_find(struct metric_series *head,
                                         const char *key, size_t n)
{
    struct metric_series *s;

    HASH_FIND(hh, head, key, n, s);
    return s;
}

static struct metric_series *series_add(struct metric_series **head,
                                        const char *key, size_t n)
{
    struct metric_series *s = xcalloc(1, sizeof(*s) + n);

    s->id = (enum metric_id)key[0];
    if (table[s->id].kind == HISTOGRAM)
        s->counts = xcalloc(BUCKETS + 1, sizeof(*s->counts));
    memcpy(s->key, key, n);
    s->key_n = n;
    HASH_ADD_KEYPTR(hh, *head, s->key, n, s);
    return s;
}

static void series_free_all(struct metric_series **head)
{
    struct metric_series *s, *next;

    HASH_ITER (hh, *head, s, next) {
        HASH_DEL(*head, s);
        free(s->counts);
        free(s);
    }
}

/* --- shards --- */

struct metrics *metrics_new(void)
{
    struct metrics *m = xcalloc(1, sizeof(*m));

    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_lock(&shards_lock);
    DL_APPEND(shards, m);
    pthread_mutex_unlock(&shards_lock);
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    pthread_mutex_lock(&shards_lock);
    DL_DELETE(shards, m);
    pthread_mutex_unlock(&shards_lock);
    series_free_all(&m->series);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

struct metric_series *metrics_get(struct metrics *m, enum metric_id id,
                                  const char *l1, const char *l2,
                                  const char *l3)
{
    struct metric_series *s;
    struct key k;

    ASSERT((unsigned)id < METRIC_COUNT);
    key_make(&k, id, (const char *const[]){l1, l2, l3});
    s = series_find(m->series, k.bytes, k.n);
    if (!s && m->count >= METRIC_SERIES_MAX && label_count(id)) {
        const char *other[LABELS_MAX] = {NULL};

        for (size_t i = 0; i < label_count(id); i++)
            other[i] = "other";
        key_make(&k, id, other);
        s = series_find(m->series, k.bytes, k.n);
    }
    if (s)
        return s;
    pthread_mutex_lock(&m->lock);
    s = series_add(&m->series, k.bytes, k.n);
    m->count++;
    pthread_mutex_unlock(&m->lock);
    return s;
}

void metric_add(struct metric_series *s, int64_t delta)
{
    enum kind kind = table[s->id].kind;

    ASSERT(kind == GAUGE || (kind == COUNTER && delta >= 0));
    add(&s->value, delta);
}

void metric_observe_us(struct metric_series *s, int64_t us)
{
    size_t i = 0;

    ASSERT(s->counts);
    us = MAX(us, 0);
    while (i < BUCKETS && us > buckets[i].us)
        i++;
    add(&s->counts[i], 1);
    add(&s->value, us);
}

void metrics_count(struct metrics *m, enum metric_id id, const char *l1,
                   const char *l2, const char *l3)
{
    metric_add(metrics_get(m, id, l1, l2, l3), 1);
}

/* --- rendering --- */

static void sum_up(struct metric_series **sums, const struct metric_series *s)
{
    struct metric_series *sum = series_find(*sums, s->key, s->key_n);

    if (!sum)
        sum = series_add(sums, s->key, s->key_n);
    add(&sum->value, load(&s->value));
    for (size_t i = 0; sum->counts && i <= BUCKETS; i++)
        add(&sum->counts[i], load(&s->counts[i]));
}

static struct metric_series *sum_all(void)
{
    struct metric_series *sums = NULL;
    struct metrics *m;

    pthread_mutex_lock(&shards_lock);
    DL_FOREACH (shards, m) {
        pthread_mutex_lock(&m->lock);
        for (struct metric_series *s = m->series; s; s = s->hh.next)
            sum_up(&sums, s);
        pthread_mutex_unlock(&m->lock);
    }
    pthread_mutex_unlock(&shards_lock);
    return sums;
}

/* By metric, then by label values: the key begins with the metric. */
static int by_key(struct metric_series *a, struct metric_series *b)
{
    return str_cmp(str_make(a->key, a->key_n), str_make(b->key, b->key_n));
}

static void put_label(struct buf *out, struct str name, const char *value)
{
    buf_add_str(out, name);
    buf_add_c(out, "=\"");
    for (; *value; value++) {
        if (*value == '\n')
            buf_add_c(out, "\\n");
        else if (*value == '"' || *value == '\\')
            buf_add(out, (char[]){'\\', *value}, 2);
        else
            buf_add_byte(out, *value);
    }
    buf_add_byte(out, '"');
}

/* name{labels} and a space; le: the bound of a bucket, or NULL. */
static void put_name(struct buf *out, const struct metric_series *s,
                     const char *suffix, const char *le)
{
    struct str names = str_of(table[s->id].labels), name;
    const char *value = s->key + 1;
    char next = '{';

    buf_add_c(out, table[s->id].name);
    buf_add_c(out, suffix);
    for (; str_next(&names, ',', &name); value += strlen(value) + 1) {
        buf_add_byte(out, next);
        put_label(out, name, value);
        next = ',';
    }
    if (le) {
        buf_add_byte(out, next);
        put_label(out, STR("le"), le);
        next = ',';
    }
    buf_add_c(out, next == ',' ? "} " : " ");
}

/* The count is the sum of the buckets, so the two agree even when a worker
 * observes while we read. */
static void put_histogram(struct buf *out, const struct metric_series *s)
{
    int64_t count = 0, us = load(&s->value);

    for (size_t i = 0; i <= BUCKETS; i++) {
        count += load(&s->counts[i]);
        put_name(out, s, "_bucket", i < BUCKETS ? buckets[i].seconds : "+Inf");
        buf_printf(out, "%lld\n", (long long)count);
    }
    put_name(out, s, "_sum", NULL);
    buf_printf(out, "%lld.%06lld\n", (long long)(us / 1000000),
               (long long)(us % 1000000));
    put_name(out, s, "_count", NULL);
    buf_printf(out, "%lld\n", (long long)count);
}

static void put_series(struct buf *out, const struct metric_series *s)
{
    if (s->counts) {
        put_histogram(out, s);
        return;
    }
    put_name(out, s, "", NULL);
    buf_printf(out, "%lld\n", (long long)load(&s->value));
}

static void put_family(struct buf *out, const struct metric *m)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};

    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
               kinds[m->kind]);
}

void metrics_render(struct buf *out)
{
    struct metric_series *sums = sum_all(), *s;

    HASH_SORT(sums, by_key);
    s = sums;
    for (int id = 0; id < METRIC_COUNT; id++) {
        const struct metric *m = &table[id];
        bool is_used = s && (int)s->id == id;

        put_family(out, m);
        if (!is_used && m->kind != HISTOGRAM && !m->labels[0])
            buf_printf(out, "%s 0\n", m->name);
        for (; s && (int)s->id == id; s = s->hh.next)
            put_series(out, s);
    }
    series_free_all(&sums);
}
