/* test_file_page.c -- exact pages of a live Redis, whatever happens meanwhile.
 */
#include "page_fixture.h"
#include "record_fixture.h"
#include "redis_fixture.h"

#include "gateway/codec/fileid.h"
#include "gateway/store/file_store.h"

#define ID_0 "file-a-00000000000000000000000000"

#define RECORDS 10000
#define EXTRA_MAX 400
#define BASE_MS 1700000000000

static const char *const purposes[] = {"batch", "fine-tune", "user_data"};
static const char *const providers[] = {"local", "openai"};

struct many {
    struct fx *f;
    char id[RECORDS + EXTRA_MAX][LIMIT_ID_BYTES + 1];
    int order[RECORDS + EXTRA_MAX]; /* by time, then by the random part */
    int n, left;
};

static void on_many(void *arg, bool changed, const struct gw_error *e)
{
    struct many *m = arg;

    assert_int_equal(e->err, GW_OK);
    assert_true(changed);
    m->left--;
}

static bool is_all_put(void *arg)
{
    return ((struct many *)arg)->left == 0;
}

static struct file_record record_of(struct many *m, int i)
{
    struct file_record r = sample(m->id[i]);

    r.obj.purpose = str_of(purposes[i % 3]);
    r.obj.provider = str_of(providers[i % 2]);
    r.upstream_id = str_of(m->id[i]);
    r.obj.bytes = i;
    return r;
}

/* Ten at a time have the same millisecond. */
static void put_many(struct many *m, int count)
{
    int i, end = m->n + count;
    struct file_record r;

    m->left = count;
    for (i = m->n; i < end; i++) {
        fileid_mint(FILEID_FILE, i % 7 ? "a" : "zz", BASE_MS + i / 10,
                    m->id[i]);
        r = record_of(m, i);
        file_store_put(m->f->r, &r, on_many, m);
    }
    m->n = end;
    fx_until(m->f, is_all_put, m);
}

static const char *ulid_of(const char *id)
{
    return id + strlen(id) - FILEID_ULID_CHARS;
}

static int by_ulid(const void *a, const void *b, void *arg)
{
    struct many *m = arg;

    return strcmp(ulid_of(m->id[*(const int *)a]),
                  ulid_of(m->id[*(const int *)b]));
}

static void sort(struct many *m)
{
    int i;

    for (i = 0; i < m->n; i++)
        m->order[i] = i;
    qsort_r(m->order, (size_t)m->n, sizeof(m->order[0]), by_ulid, m);
}

static bool matches(int i, const struct file_store_query *q)
{
    return (!q->purpose.p || str_eq_c(q->purpose, purposes[i % 3])) &&
           (!q->provider.p || str_eq_c(q->provider, providers[i % 2]));
}

/* The next of what is expected, or -1. */
static int next_expected(struct many *m, const struct file_store_query *q,
                         int *at)
{
    int i;

    while (*at >= 0 && *at < m->n) {
        i = m->order[*at];
        *at += q->is_ascending ? 1 : -1;
        if (matches(i, q))
            return i;
    }
    return -1;
}

/* Reads all pages; between them new files arrive. In descending order they are
 * behind the reader, in ascending order before him. */
static void read_all(struct many *m, struct file_store_query *q)
{
    int at = q->is_ascending ? 0 : m->n - 1, want, pages = 0;
    struct arena *a = NULL;
    char after[LIMIT_ID_BYTES + 1];
    struct page p;
    size_t i;

    q->after = STR_NULL;
    do {
        arena_free(a);
        a = arena_new();
        p = ask_page(m->f, a, q);
        assert_true(p.n <= q->limit);
        assert_true(p.at_end || p.n == q->limit);
        for (i = 0; i < p.n; i++) {
            want = next_expected(m, q, &at);
            assert_true(want >= 0);
            assert_true(str_eq_c(p.v[i].obj.id, m->id[want]));
            assert_int_equal(p.v[i].obj.bytes, want);
        }
        if (p.n) {
            snprintf(after, sizeof(after), "%.*s",
                     STR_ARG(p.v[p.n - 1].obj.id));
            q->after = str_of(after);
        }
        if (!p.at_end && ++pages % 4 == 1 && m->n + 10 <= RECORDS + EXTRA_MAX) {
            put_many(m, 10);
            sort(m);
        }
    } while (!p.at_end);
    assert_int_equal(next_expected(m, q, &at), -1);
    arena_free(a);
}

static void
ten_thousand_records_are_paged_exactly_while_more_arrive(void **state)
{
    struct fx *f = *state;
    struct many *m = xcalloc(1, sizeof(*m));
    struct file_store_query q = {.owner = STR(OWNER)};
    int i;

    m->f = f;
    for (i = 0; i < RECORDS; i += 500)
        put_many(m, 500);
    sort(m);
    for (i = 0; i < 8; i++) {
        q.is_ascending = i & 1;
        q.purpose = i & 2 ? STR("fine-tune") : STR_NULL;
        q.provider = i & 4 ? STR("openai") : STR_NULL;
        q.limit = i & 4 ? 97 : LIMIT_LIST_PAGE;
        read_all(m, &q);
    }
    free(m);
}

static void on_dropped(void *arg, bool changed, const struct gw_error *e)
{
    (void)arg;
    assert_int_equal(e->err, GW_OK);
    assert_true(changed);
}

static void a_page_goes_on_behind_a_record_that_is_gone(void **state)
{
    struct fx *f = *state;
    struct many *m = xcalloc(1, sizeof(*m));
    struct file_store_query q = {.owner = STR(OWNER), .limit = 10};
    struct arena *a = arena_new();
    struct file_record r;
    struct page p;
    int i, order;

    m->f = f;
    put_many(m, 30);
    sort(m);
    for (order = 0; order < 2; order++) {
        q.is_ascending = order;
        i = m->order[order ? 9 : 20];
        r = record_of(m, i);
        file_store_delete(f->r, &r, on_dropped, NULL);
        q.after = str_of(m->id[i]);
        p = ask_page(f, a, &q);
        assert_int_equal(p.n, 10);
        assert_false(p.at_end);
        assert_true(str_eq_c(p.v[0].obj.id, m->id[m->order[order ? 10 : 19]]));
    }
    arena_free(a);
    free(m);
}

static void the_last_page_says_so(void **state)
{
    struct fx *f = *state;
    struct many *m = xcalloc(1, sizeof(*m));
    struct file_store_query q = {.owner = STR(OWNER), .limit = 10};
    struct arena *a = arena_new();
    struct page p;

    p = ask_page(f, a, &q);
    assert_int_equal(p.n, 0);
    assert_true(p.at_end);
    m->f = f;
    put_many(m, 10);
    p = ask_page(f, a, &q);
    assert_int_equal(p.n, 10);
    assert_true(p.at_end);
    put_many(m, 1);
    p = ask_page(f, a, &q);
    assert_int_equal(p.n, 10);
    assert_false(p.at_end);
    q.after = p.v[9].obj.id;
    p = ask_page(f, a, &q);
    assert_int_equal(p.n, 1);
    assert_true(p.at_end);
    q.after = STR("file-a-00000000000000000000000000"); /* before all */
    p = ask_page(f, a, &q);
    assert_int_equal(p.n, 0);
    assert_true(p.at_end);
    q.after = STR("z"); /* no id at all: after all */
    p = ask_page(f, a, &q);
    assert_int_equal(p.n, 10);
    arena_free(a);
    free(m);
}

/* A Redis that evicts keys took records and left the index. */
static void records_that_vanished_are_passed_over(void **state)
{
    struct fx *f = *state;
    struct many *m = xcalloc(1, sizeof(*m));
    struct file_store_query q = {
        .owner = STR(OWNER), .limit = 4, .is_ascending = true};
    struct arena *a = arena_new();
    struct page p;
    char line[128];
    int i;

    m->f = f;
    put_many(m, 20);
    sort(m);
    for (i = 2; i < 16; i++) {
        snprintf(line, sizeof(line), "DEL fm:{o:" OWNER "}:f:%s",
                 m->id[m->order[i]]);
        assert_int_equal(fx_int(f, line), 1);
    }
    p = ask_page(f, a, &q);
    assert_int_equal(p.n, 4);
    assert_false(p.at_end);
    assert_true(str_eq_c(p.v[3].obj.id, m->id[m->order[17]]));
    q.after = p.v[3].obj.id;
    p = ask_page(f, a, &q);
    assert_int_equal(p.n, 2);
    assert_true(p.at_end);
    arena_free(a);
    free(m);
}

static void pages_work_in_a_cluster(void **state)
{
    struct fx *f = *state;

    fx_become_cluster(f);
    the_last_page_says_so(state);
}

#define WITH_REDIS(test)                                                       \
    cmocka_unit_test_setup_teardown(test, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REDIS(ten_thousand_records_are_paged_exactly_while_more_arrive),
        WITH_REDIS(a_page_goes_on_behind_a_record_that_is_gone),
        WITH_REDIS(the_last_page_says_so),
        WITH_REDIS(records_that_vanished_are_passed_over),
        WITH_REDIS(pages_work_in_a_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
