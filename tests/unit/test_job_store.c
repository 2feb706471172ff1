/* Against a redis-server: jobs are put, read, changed, taken in turn. */
#include "tests/unit/redis_fixture.h"

#include "gateway/store/job_store.h"

struct got {
    bool is_done;
    enum gw_err err;
    struct job *job;
    struct job jobs[16];
    struct str texts[16];
    size_t n;
    bool at_end;
};

static void on_got(void *arg, struct job *found, const struct gw_error *e)
{
    struct got *g = arg;

    g->is_done = true;
    g->err = e->err;
    g->job = found;
}

static void on_list(void *arg, const struct job *v, size_t n, bool at_end,
                    const struct gw_error *e)
{
    struct got *g = arg;

    assert_true(n <= COUNTOF(g->jobs));
    g->is_done = true;
    g->err = e->err;
    memcpy(g->jobs, v, n * sizeof(*v));
    g->n = n;
    g->at_end = at_end;
}

static void on_texts(void *arg, const struct str *v, size_t n,
                     const struct gw_error *e)
{
    struct got *g = arg;

    assert_true(n <= COUNTOF(g->texts));
    g->is_done = true;
    g->err = e->err;
    memcpy(g->texts, v, n * sizeof(*v));
    g->n = n;
}

static void wait_for(struct fx *f, struct got *g)
{
    assert_false(g->is_done);
    fx_until(f, fx_is_set, &g->is_done);
    assert_int_equal(g->err, GW_OK);
}

static struct job *get(struct fx *f, struct arena *a, struct str id)
{
    struct got g = {0};

    (void)job_store_get(f->r, a, id, on_got, &g);
    wait_for(f, &g);
    return g.job;
}

static struct job *next(struct fx *f, struct arena *a)
{
    struct got g = {0};

    (void)job_store_next(f->r, a, on_got, &g);
    wait_for(f, &g);
    return g.job;
}

static bool put(struct fx *f, const struct job *j)
{
    struct fx_done d = {0};

    (void)job_store_put(f->r, j, fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool update(struct fx *f, const struct job *j,
                   const struct job_change *c)
{
    struct fx_done d = {0};

    (void)job_store_update(f->r, j, c, fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool lead(struct fx *f, const char *who)
{
    struct fx_done d = {0};

    (void)job_store_lead(f->r, who, fx_on_done, &d);
    return fx_changed(f, &d);
}

static struct job *queued(struct fx *f, struct arena *a)
{
    struct job *j = job_new(a, JOB_IMPORT, STR("{\"provider\":\"up\"}"));

    assert_true(put(f, j));
    return j;
}

static void a_job_reads_back_as_it_was_put(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct job *j =
        job_new(a, JOB_RECONCILE, STR("{\"provider\":null,\"mend\":true}"));
    struct job *back;

    j->done = 3;
    j->total = INT64_C(9007199254740993);
    j->failed = 1;
    j->counts[JOB_ADOPTED] = 7;
    j->counts[JOB_FAILURE] = 2;
    j->phase = 4;
    j->tries = 5;
    j->place = STR("up");
    j->cursor = STR("a \"cursor\" \\ \xc3\xa9");
    j->error = STR("why");
    j->started_s = 11;
    assert_true(job_is_id(j->id));
    assert_true(put(f, j));
    assert_false(put(f, j));
    back = get(f, a, j->id);
    assert_non_null(back);
    assert_true(str_eq(back->id, j->id));
    assert_int_equal(back->kind, JOB_RECONCILE);
    assert_int_equal(back->state, JOB_QUEUED);
    assert_true(str_eq(back->args, j->args));
    assert_int_equal(back->done, 3);
    assert_int_equal(back->total, INT64_C(9007199254740993));
    assert_int_equal(back->failed, 1);
    assert_memory_equal(back->counts, j->counts, sizeof(j->counts));
    assert_int_equal(back->phase, 4);
    assert_int_equal(back->tries, 5);
    assert_true(str_eq(back->place, j->place));
    assert_true(str_eq(back->cursor, j->cursor));
    assert_true(str_eq(back->error, j->error));
    assert_int_equal(back->created_s, j->created_s);
    assert_int_equal(back->started_s, 11);
    assert_int_equal(back->ended_s, 0);
    arena_free(a);
}

static void a_job_that_is_not_there_is_not_found(void **state)
{
    struct arena *a = arena_new();

    assert_null(get(*state, a, STR("job-01arz3ndektsv4rrffq69g5fav")));
    assert_null(next(*state, a));
    arena_free(a);
}

static void only_ids_of_jobs_are_ids(void **state)
{
    (void)state;
    assert_true(job_is_id(STR("job-01arz3ndektsv4rrffq69g5fav")));
    assert_false(job_is_id(STR("job-01arz3ndektsv4rrffq69g5fa")));
    assert_false(job_is_id(STR("job-01arz3ndektsv4rrffq69g5faU")));
    assert_false(job_is_id(STR("jab-01arz3ndektsv4rrffq69g5fav")));
    assert_false(job_is_id(STR("")));
    assert_false(job_is_id(STR_NULL));
}

static void a_change_counts_only_on_what_was_read(void **state)
{
    struct fx *f = *state;
    struct job_change none = {0};
    struct arena *a = arena_new();
    struct job *j = queued(f, a), *mine, *yours;

    mine = get(f, a, j->id);
    yours = get(f, a, j->id);
    mine->done = 1;
    yours->state = JOB_CANCELLED;
    assert_true(update(f, mine, &none));
    assert_false(update(f, yours, &none));
    yours = get(f, a, j->id);
    assert_int_equal(yours->state, JOB_QUEUED);
    assert_int_equal(yours->done, 1);
    yours->state = JOB_CANCELLED;
    assert_true(update(f, yours, &none));
    assert_int_equal(get(f, a, j->id)->state, JOB_CANCELLED);
    arena_free(a);
}

static void an_update_does_not_bring_a_job_back(void **state)
{
    struct fx *f = *state;
    struct job_change none = {0};
    struct arena *a = arena_new();
    struct job *j = queued(f, a);
    char del[64];

    snprintf(del, sizeof(del), "DEL fm:{gw}:job:%.*s", STR_ARG(j->id));
    assert_int_equal(fx_int(f, del), 1);
    assert_false(update(f, j, &none));
    assert_null(get(f, a, j->id));
    assert_null(next(f, a));
    arena_free(a);
}

static void jobs_take_turns_and_wait_when_told(void **state)
{
    struct fx *f = *state;
    struct job_change none = {0}, later = {.delay_ms = 3600000};
    struct arena *a = arena_new();
    struct job *one, *two, *j;

    one = queued(f, a);
    /* The order is that of Redis's milliseconds. */
    fx_pause();
    two = queued(f, a);
    j = next(f, a);
    assert_true(str_eq(j->id, one->id));
    fx_pause();
    assert_true(update(f, j, &none));
    j = next(f, a);
    assert_true(str_eq(j->id, two->id));
    assert_true(update(f, j, &later));
    j = next(f, a);
    assert_true(str_eq(j->id, one->id));
    j->state = JOB_DONE;
    assert_true(update(f, j, &none));
    assert_null(next(f, a));
    arena_free(a);
}

static void the_report_stays_and_what_is_to_do_goes(void **state)
{
    struct fx *f = *state;
    struct str report[] = {STR("{\"a\":1}"), STR("{\"a\":2}")};
    struct str todo[] = {STR("1"), STR("2"), STR("3")};
    struct job_change c = {
        .report = report, .nreport = 2, .todo = todo, .ntodo = 3};
    struct arena *a = arena_new();
    struct job *j = queued(f, a);
    struct got g = {0}, h = {0}, i = {0}, k = {0};

    assert_true(update(f, j, &c));
    (void)job_store_todo(f->r, a, j->id, 2, on_texts, &g);
    wait_for(f, &g);
    assert_int_equal(g.n, 2);
    assert_true(str_eq(g.texts[1], STR("2")));
    j = get(f, a, j->id);
    c = (struct job_change){.ntaken = 2};
    assert_true(update(f, j, &c));
    (void)job_store_todo(f->r, a, j->id, 2, on_texts, &h);
    wait_for(f, &h);
    assert_int_equal(h.n, 1);
    assert_true(str_eq(h.texts[0], STR("3")));
    j = get(f, a, j->id);
    j->state = JOB_FAILED;
    c = (struct job_change){0};
    assert_true(update(f, j, &c));
    (void)job_store_todo(f->r, a, j->id, 2, on_texts, &i);
    wait_for(f, &i);
    assert_int_equal(i.n, 0);
    (void)job_store_report(f->r, a, j->id, on_texts, &k);
    wait_for(f, &k);
    assert_int_equal(k.n, 2);
    assert_true(str_eq(k.texts[1], report[1]));
    arena_free(a);
}

static void a_refused_change_writes_no_entries(void **state)
{
    struct fx *f = *state;
    struct str entry = STR("1");
    struct job_change c = {
        .report = &entry, .nreport = 1, .todo = &entry, .ntodo = 1};
    struct arena *a = arena_new();
    struct job *j = queued(f, a);
    struct got g = {0};

    j->version = 5;
    assert_false(update(f, j, &c));
    (void)job_store_report(f->r, a, j->id, on_texts, &g);
    wait_for(f, &g);
    assert_int_equal(g.n, 0);
    arena_free(a);
}

static void pages_go_from_the_newest_to_the_oldest(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct str ids[5], after = STR_NULL;
    size_t seen = 5;
    char del[64];

    for (size_t i = 0; i < 5; i++) {
        ids[i] = queued(f, a)->id;
        fx_pause();
    }
    /* One whose time is over is passed over. */
    snprintf(del, sizeof(del), "DEL fm:{gw}:job:%.*s", STR_ARG(ids[2]));
    fx_ok(f, del);
    for (;;) {
        struct got g = {0};

        (void)job_store_list(f->r, a, after, 2, on_list, &g);
        wait_for(f, &g);
        for (size_t i = 0; i < g.n; i++) {
            seen -= seen == 3 ? 2 : 1;
            assert_true(str_eq(g.jobs[i].id, ids[seen]));
        }
        if (g.at_end)
            break;
        after = g.jobs[g.n - 1].id;
    }
    assert_int_equal(seen, 0);
    arena_free(a);
}

static void one_process_leads_until_its_lease_ends(void **state)
{
    struct fx *f = *state;

    assert_true(lead(f, "one"));
    assert_false(lead(f, "two"));
    assert_true(lead(f, "one"));
    fx_ok(f, "DEL fm:{gw}:jobs:runner");
    assert_true(lead(f, "two"));
    assert_false(lead(f, "one"));
}

static void everything_is_kept_for_thirty_days(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct job *j = queued(f, a);
    char ttl[64];

    snprintf(ttl, sizeof(ttl), "TTL fm:{gw}:job:%.*s", STR_ARG(j->id));
    assert_in_range(fx_int(f, ttl), 30 * 86400 - 60, 30 * 86400);
    arena_free(a);
}

static void the_index_forgets_what_is_not_kept(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct job *j = queued(f, a);
    char del[64];

    snprintf(del, sizeof(del), "DEL fm:{gw}:job:%.*s", STR_ARG(j->id));
    fx_ok(f, del);
    (void)queued(f, a);
    assert_int_equal(fx_int(f, "ZCARD fm:{gw}:jobs"), 1);
    arena_free(a);
}

static void a_cluster_holds_them(void **state)
{
    struct fx *f = *state;

    fx_become_cluster(f);
    jobs_take_turns_and_wait_when_told(state);
    the_report_stays_and_what_is_to_do_goes(state);
    assert_true(lead(f, "one"));
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_job_reads_back_as_it_was_put),
        TEST(a_job_that_is_not_there_is_not_found),
        cmocka_unit_test(only_ids_of_jobs_are_ids),
        TEST(a_change_counts_only_on_what_was_read),
        TEST(an_update_does_not_bring_a_job_back),
        TEST(jobs_take_turns_and_wait_when_told),
        TEST(the_report_stays_and_what_is_to_do_goes),
        TEST(a_refused_change_writes_no_entries),
        TEST(pages_go_from_the_newest_to_the_oldest),
        TEST(one_process_leads_until_its_lease_ends),
        TEST(everything_is_kept_for_thirty_days),
        TEST(the_index_forgets_what_is_not_kept),
        TEST(a_cluster_holds_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
