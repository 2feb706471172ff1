/* test_metrics.c -- shards, sums, and the text that Prometheus reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "gateway/base/limits.h"
#include "gateway/base/metrics.h"

static struct buf page;

static const char *render(void)
{
    buf_release(&page);
    buf_init(&page, 16 * MIB);
    metrics_render(&page);
    assert_false(page.overflow);
    return page.p;
}

/* Whether the page has this line. */
static bool has_line(const char *line)
{
    struct str rest = buf_str(&page), next;

    while (rest.p) {
        str_cut(rest, '\n', &next, &rest);
        if (str_eq_c(next, line))
            return true;
    }
    return false;
}

#define assert_line(line)                                                      \
    do {                                                                       \
        if (!has_line(line))                                                   \
            fail_msg("no line '%s' in\n%s", line, page.p);                     \
    } while (0)

static int release_page(void **state)
{
    (void)state;
    buf_release(&page);
    return 0;
}

static void every_family_is_listed_in_the_order_of_the_table(void **state)
{
    static const char *const names[] = {
#define METRIC(id, kind, name, labels, help) name,
#include "gateway/base/metrics.def"
#undef METRIC
    };
    const char *at = render();
    char head[200];

    (void)state;
    for (size_t i = 0; i < COUNTOF(names); i++) {
        snprintf(head, sizeof(head), "# HELP %s ", names[i]);
        at = strstr(at, head);
        assert_non_null(at);
        snprintf(head, sizeof(head), "\n# TYPE %s ", names[i]);
        at = strstr(at, head);
        assert_non_null(at);
    }
    assert_true(str_ends(buf_str(&page), STR("\n")));
    assert_line("# TYPE filemux_requests_total counter");
    assert_line("# TYPE filemux_pipe_bytes gauge");
    assert_line("# TYPE filemux_redis_seconds histogram");
}

static void what_has_no_labels_is_zero_before_its_first_use(void **state)
{
    (void)state;
    render();
    assert_line("filemux_client_bytes_in_total 0");
    assert_line("filemux_pipe_bytes 0");
    assert_null(strstr(page.p, "\nfilemux_requests_total"));
    assert_null(strstr(page.p, "\nfilemux_redis_seconds"));
}

static void a_counter_counts_by_its_labels(void **state)
{
    struct metrics *m = metrics_new();
    struct metric_series *s =
        metrics_get(m, METRIC_REQUESTS, "/v1/files", "openai", "200");

    (void)state;
    metric_add(s, 1);
    metric_add(s, 2);
    metrics_count(m, METRIC_REQUESTS, "/v1/files", "openai", "404");
    assert_ptr_equal(
        metrics_get(m, METRIC_REQUESTS, "/v1/files", "openai", "200"), s);
    render();
    assert_line("filemux_requests_total{route=\"/v1/files\",provider="
                "\"openai\",status=\"200\"} 3");
    assert_line("filemux_requests_total{route=\"/v1/files\",provider="
                "\"openai\",status=\"404\"} 1");
    metrics_free(m);
}

static void an_absent_label_is_an_empty_one(void **state)
{
    struct metrics *m = metrics_new();

    (void)state;
    assert_ptr_equal(metrics_get(m, METRIC_UP_BYTES_IN, NULL, NULL, NULL),
                     metrics_get(m, METRIC_UP_BYTES_IN, "", "", ""));
    /* Values do not run into each other. */
    assert_ptr_not_equal(metrics_get(m, METRIC_UP_ERRORS, "ab", "c", NULL),
                         metrics_get(m, METRIC_UP_ERRORS, "a", "bc", NULL));
    render();
    assert_line("filemux_upstream_bytes_in_total{provider=\"\"} 0");
    metrics_free(m);
}

static void a_gauge_goes_up_and_down(void **state)
{
    struct metrics *m = metrics_new();
    struct metric_series *s = metrics_get(m, METRIC_CONNECTIONS, 0, 0, 0);

    (void)state;
    metric_add(s, 5);
    metric_add(s, -3);
    render();
    assert_line("filemux_client_connections 2");
    metric_add(s, -4);
    render();
    assert_line("filemux_client_connections -2");
    metrics_free(m);
}

static void a_histogram_counts_into_all_buckets_above(void **state)
{
    struct metrics *m = metrics_new();
    struct metric_series *s = metrics_get(m, METRIC_REDIS_SECONDS, 0, 0, 0);

    (void)state;
    metric_observe_us(s, 0);
    metric_observe_us(s, 500); /* the bound belongs to its bucket */
    metric_observe_us(s, 501); /* and one more does not */
    metric_observe_us(s, 59000000);
    metric_observe_us(s, 60000001); /* above all bounds */
    metric_observe_us(s, -5);       /* a clock that was set back */
    render();
    assert_line("filemux_redis_seconds_bucket{le=\"0.0005\"} 3");
    assert_line("filemux_redis_seconds_bucket{le=\"0.001\"} 4");
    assert_line("filemux_redis_seconds_bucket{le=\"30\"} 4");
    assert_line("filemux_redis_seconds_bucket{le=\"60\"} 5");
    assert_line("filemux_redis_seconds_bucket{le=\"+Inf\"} 6");
    assert_line("filemux_redis_seconds_sum 119.001002");
    assert_line("filemux_redis_seconds_count 6");
    metrics_free(m);
}

static void a_histogram_with_labels_names_them_before_the_bound(void **state)
{
    struct metrics *m = metrics_new();

    (void)state;
    metric_observe_us(metrics_get(m, METRIC_UP_SECONDS, "p", "create", NULL),
                      2000000);
    render();
    assert_line("filemux_upstream_seconds_bucket{provider=\"p\",operation="
                "\"create\",le=\"2.5\"} 1");
    assert_line("filemux_upstream_seconds_sum{provider=\"p\",operation="
                "\"create\"} 2.000000");
    metrics_free(m);
}

static void shards_are_added_up(void **state)
{
    struct metrics *a = metrics_new(), *b = metrics_new();

    (void)state;
    metric_add(metrics_get(a, METRIC_BYTES_IN, 0, 0, 0), 10);
    metric_add(metrics_get(b, METRIC_BYTES_IN, 0, 0, 0), 5);
    metrics_count(b, METRIC_AUTH_FAILURES, "expired", NULL, NULL);
    metric_observe_us(metrics_get(a, METRIC_UP_TTFB, "p", 0, 0), 1000);
    metric_observe_us(metrics_get(b, METRIC_UP_TTFB, "p", 0, 0), 1000);
    render();
    assert_line("filemux_client_bytes_in_total 15");
    assert_line("filemux_auth_failures_total{reason=\"expired\"} 1");
    assert_line("filemux_upstream_first_byte_seconds_count{provider=\"p\"} 2");
    metrics_free(a);
    render();
    assert_line("filemux_client_bytes_in_total 5");
    metrics_free(b);
    render();
    assert_line("filemux_client_bytes_in_total 0");
    assert_false(has_line("filemux_auth_failures_total{reason=\"expired\"} 1"));
}

static void series_come_in_the_order_of_their_labels(void **state)
{
    struct metrics *m = metrics_new();
    const char *a, *b, *c;

    (void)state;
    metrics_count(m, METRIC_AUTH_FAILURES, "b", NULL, NULL);
    metrics_count(m, METRIC_AUTH_FAILURES, "c", NULL, NULL);
    metrics_count(m, METRIC_AUTH_FAILURES, "a", NULL, NULL);
    render();
    a = strstr(page.p, "{reason=\"a\"}");
    b = strstr(page.p, "{reason=\"b\"}");
    c = strstr(page.p, "{reason=\"c\"}");
    assert_true(a && a < b && b < c);
    metrics_free(m);
}

static void label_values_are_escaped(void **state)
{
    struct metrics *m = metrics_new();

    (void)state;
    metrics_count(m, METRIC_AUTH_FAILURES, "a\"b\\c\nd", NULL, NULL);
    metrics_count(m, METRIC_AUTH_FAILURES, "\xc3\xa4", NULL, NULL);
    metrics_count(m, METRIC_AUTH_FAILURES, "bad\xff", NULL, NULL);
    render();
    assert_line("filemux_auth_failures_total{reason=\"a\\\"b\\\\c\\nd\"} 1");
    assert_line("filemux_auth_failures_total{reason=\"\xc3\xa4\"} 1");
    assert_line("filemux_auth_failures_total{reason=\"bad?\"} 1");
    assert_true(str_is_utf8(buf_str(&page)));
    metrics_free(m);
}

static void a_long_label_is_cut_within_utf8(void **state)
{
    struct metrics *m = metrics_new();
    char label[LIMIT_LABEL_BYTES + 100];

    (void)state;
    memset(label, 'x', sizeof(label));
    memcpy(label + LIMIT_LABEL_BYTES - 1, "\xc3\xa4", 3);
    metrics_count(m, METRIC_AUTH_FAILURES, label, NULL, NULL);
    label[LIMIT_LABEL_BYTES + 50] = '\0';
    metrics_count(m, METRIC_AUTH_FAILURES, label, NULL, NULL);
    render();
    assert_true(str_is_utf8(buf_str(&page)));
    assert_non_null(strstr(page.p, "x?\"} 2\n"));
    metrics_free(m);
}

static void series_without_end_fall_together(void **state)
{
    struct metrics *m = metrics_new();
    struct metric_series *other = NULL;
    char label[32];

    (void)state;
    for (int i = 0; i < METRIC_SERIES_MAX + 50; i++) {
        struct metric_series *s;

        snprintf(label, sizeof(label), "r%d", i);
        s = metrics_get(m, METRIC_UP_ERRORS, label, "c", NULL);
        metric_add(s, 1);
        if (i == METRIC_SERIES_MAX)
            other = s;
        if (i > METRIC_SERIES_MAX)
            assert_ptr_equal(s, other);
    }
    /* Those that are there are found, and another metric has its own. */
    metrics_count(m, METRIC_UP_ERRORS, "r0", "c", NULL);
    metrics_count(m, METRIC_AUTH_FAILURES, "x", NULL, NULL);
    metric_add(metrics_get(m, METRIC_BYTES_IN, 0, 0, 0), 7);
    render();
    assert_line("filemux_upstream_errors_total{provider=\"other\",code="
                "\"other\"} 50");
    assert_line("filemux_upstream_errors_total{provider=\"r0\",code=\"c\"} 2");
    assert_line("filemux_auth_failures_total{reason=\"other\"} 1");
    assert_line("filemux_client_bytes_in_total 7");
    metrics_free(m);
}

#define THREADS 4
#define ROUNDS 500

static atomic_int writers;

/* Counts in a shard of its own while the page is rendered. */
static void *count_much(void *arg)
{
    struct metrics *m = metrics_new();
    char label[32];

    for (int i = 0; i < ROUNDS; i++) {
        snprintf(label, sizeof(label), "r%d", i);
        metrics_count(m, METRIC_AUTH_FAILURES, label, NULL, NULL);
        metric_add(metrics_get(m, METRIC_BYTES_OUT, 0, 0, 0), 3);
        metric_observe_us(metrics_get(m, METRIC_REQUEST_SECONDS, "x", 0, 0), i);
    }
    *(struct metrics **)arg = m;
    atomic_fetch_sub(&writers, 1);
    return NULL;
}

static void rendering_while_others_count_loses_nothing(void **state)
{
    struct metrics *shards[THREADS];
    pthread_t threads[THREADS];
    char line[100];

    (void)state;
    atomic_store(&writers, THREADS);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, count_much, &shards[i]), 0);
    do {
        render();
    } while (atomic_load(&writers) > 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    render();
    assert_line("filemux_auth_failures_total{reason=\"r0\"} 4");
    snprintf(line, sizeof(line), "filemux_client_bytes_out_total %d",
             THREADS * ROUNDS * 3);
    assert_line(line);
    snprintf(line, sizeof(line),
             "filemux_request_seconds_count{route=\"x\"} %d", THREADS * ROUNDS);
    assert_line(line);
    for (int i = 0; i < THREADS; i++)
        metrics_free(shards[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_is_listed_in_the_order_of_the_table),
        cmocka_unit_test(what_has_no_labels_is_zero_before_its_first_use),
        cmocka_unit_test(a_counter_counts_by_its_labels),
        cmocka_unit_test(an_absent_label_is_an_empty_one),
        cmocka_unit_test(a_gauge_goes_up_and_down),
        cmocka_unit_test(a_histogram_counts_into_all_buckets_above),
        cmocka_unit_test(a_histogram_with_labels_names_them_before_the_bound),
        cmocka_unit_test(shards_are_added_up),
        cmocka_unit_test(series_come_in_the_order_of_their_labels),
        cmocka_unit_test(label_values_are_escaped),
        cmocka_unit_test(a_long_label_is_cut_within_utf8),
        cmocka_unit_test(series_without_end_fall_together),
        cmocka_unit_test(rendering_while_others_count_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, release_page);
}
