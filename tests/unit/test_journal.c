/* test_journal.c -- entries, leases, rivals and the sweeper's lead. */
#include "redis_fixture.h"

#include "gateway/store/quota.h"

#define LONG_MS 600000
#define LEAD_MS 30000

/* Entries come and go with holds, here with ones of nothing. */
static struct redis_call *hold(struct fx *f, const struct journal_entry *j,
                               int64_t lease_ms, quota_hold_callback *fn,
                               void *arg)
{
    struct quota_who nobody = {0};
    struct quota_amount nothing = {0};

    return quota_hold(f->r, j->id, &nobody, &nothing, j, lease_ms, fn, arg);
}

static void on_held(void *arg, const struct quota_verdict *v,
                    const struct gw_error *e)
{
    fx_on_done(arg, v && v->limit == QUOTA_NONE, e);
}

static bool begin(struct fx *f, const struct journal_entry *j, int64_t lease_ms)
{
    struct fx_done d = {0};

    hold(f, j, lease_ms, on_held, &d);
    return fx_changed(f, &d);
}

static bool clear(struct fx *f, const char *id)
{
    struct fx_done d = {0};

    quota_release(f->r, str_of(id), fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool renew(struct fx *f, const struct str *ids, size_t n,
                  int64_t lease_ms)
{
    struct fx_done d = {0};

    journal_renew(f->r, ids, n, lease_ms, fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool postpone(struct fx *f, const char *id, int64_t by_ms)
{
    struct fx_done d = {0};

    journal_postpone(f->r, str_of(id), by_ms, fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool has_rival(struct fx *f, const struct journal_entry *j)
{
    struct fx_done d = {0};

    journal_has_rival(f->r, j, fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool is_doomed(struct fx *f, const char *upstream_id)
{
    struct fx_done d = {0};

    journal_is_doomed(f->r, str_of(upstream_id), fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool lead(struct fx *f, const char *who)
{
    struct fx_done d = {0};

    journal_lead(f->r, who, LEAD_MS, fx_on_done, &d);
    return fx_changed(f, &d);
}

struct due {
    bool is_done;
    struct journal_entry v[64];
    size_t n;
    enum gw_err err;
};

static void on_due(void *arg, const struct journal_entry *v, size_t n,
                   const struct gw_error *e)
{
    struct due *d = arg;

    d->is_done = true;
    d->n = n;
    d->err = e->err;
    assert_true(n <= COUNTOF(d->v));
    if (n)
        memcpy(d->v, v, n * sizeof(*v));
}

static size_t due(struct fx *f, struct arena *a, size_t max, struct due *d)
{
    *d = (struct due){0};
    journal_due(f->r, a, max, on_due, d);
    fx_until(f, fx_is_set, &d->is_done);
    assert_int_equal(d->err, GW_OK);
    return d->n;
}

static size_t count_due(struct fx *f)
{
    struct arena *a = arena_new();
    struct due d;
    size_t n = due(f, a, 64, &d);

    arena_free(a);
    return n;
}

/* Asks until the lease of one entry ended. */
static void wait_until_due(struct fx *f)
{
    int64_t end = clock_mono_ms() + FX_DEADLINE_MS;

    while (count_due(f) == 0) {
        assert_true(clock_mono_ms() < end);
        fx_pause();
    }
}

static struct journal_entry sample(const char *id)
{
    return (struct journal_entry){
        .id = str_of(id),
        .owner = STR("t:team"),
        .key_hash = STR("cafe"),
        .provider = STR("openai"),
        .upstream_id = STR(""),
        .filename = STR("a.jsonl"),
        .purpose = STR("batch"),
        .content_type = STR("text/plain"),
        .bytes = -1,
        .begun_ms = 1700000000123,
    };
}

static void same(const struct journal_entry *a, const struct journal_entry *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_true(str_eq(a->id, b->id));
    assert_true(str_eq(a->owner, b->owner));
    assert_true(str_eq(a->key_hash, b->key_hash));
    assert_true(str_eq(a->provider, b->provider));
    assert_true(str_eq(a->upstream_id, b->upstream_id));
    assert_true(str_eq(a->filename, b->filename));
    assert_true(str_eq(a->purpose, b->purpose));
    assert_true(str_eq(a->content_type, b->content_type));
    assert_int_equal(a->bytes, b->bytes);
    assert_int_equal(a->begun_ms, b->begun_ms);
    assert_int_equal(a->expires_at, b->expires_at);
}

static void an_entry_is_due_when_its_lease_ended(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct journal_entry j = sample("file-1"), live = sample("file-2");
    struct due d;

    j.filename = STR("\"\\ \xc3\xa4{}.jsonl");
    j.upstream_id = STR("files/x");
    j.bytes = 12;
    j.expires_at = 1800000000;
    assert_true(begin(f, &live, LONG_MS));
    assert_int_equal(count_due(f), 0);
    assert_true(begin(f, &j, 1));
    wait_until_due(f);
    assert_int_equal(due(f, a, 64, &d), 1);
    same(&d.v[0], &j);
    assert_int_equal(d.v[0].tries, 0);
    /* Looking at it changes nothing. */
    assert_int_equal(count_due(f), 1);
    arena_free(a);
}

static void a_renewed_lease_is_not_due(void **state)
{
    struct fx *f = *state;
    struct journal_entry one = sample("file-1"), two = sample("file-2");
    struct str ids[] = {STR("file-1"), STR("file-2"), STR("file-3")};

    begin(f, &one, 1);
    begin(f, &two, 1);
    wait_until_due(f);
    assert_true(renew(f, ids, 2, LONG_MS));
    assert_int_equal(count_due(f), 0);
    /* One that is not there is not brought back, and is told. */
    assert_false(renew(f, ids, 3, 1));
    wait_until_due(f);
    assert_int_equal(fx_int(f, "ZCARD fm:{gw}:due"), 2);
    assert_int_equal(fx_int(f, "HLEN fm:{gw}:entries"), 2);
}

static void a_cleared_entry_leaves_nothing(void **state)
{
    struct fx *f = *state;
    struct journal_entry j = sample("file-1");

    assert_false(clear(f, "file-1"));
    begin(f, &j, 1);
    assert_true(postpone(f, "file-1", 1));
    assert_int_equal(fx_int(f, "DBSIZE"), 4);
    assert_true(clear(f, "file-1"));
    assert_false(clear(f, "file-1"));
    assert_int_equal(fx_int(f, "DBSIZE"), 0);
    assert_int_equal(count_due(f), 0);
}

static void an_entry_begun_again_is_replaced(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct journal_entry j = sample("file-1");
    struct due d;

    assert_true(begin(f, &j, LONG_MS));
    j.provider = STR("other");
    assert_true(begin(f, &j, 1));
    wait_until_due(f);
    assert_int_equal(due(f, a, 64, &d), 1);
    assert_true(str_eq_c(d.v[0].provider, "other"));
    arena_free(a);
}

static void a_postponed_entry_counts_its_tries(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct journal_entry j = sample("file-1");
    struct str id = STR("file-1");
    struct due d;
    int i;

    assert_false(postpone(f, "file-1", 1));
    assert_int_equal(fx_int(f, "DBSIZE"), 0);
    begin(f, &j, 1);
    for (i = 1; i <= 3; i++) {
        assert_true(postpone(f, "file-1", LONG_MS));
        assert_int_equal(count_due(f), 0);
        assert_true(postpone(f, "file-1", 1));
        wait_until_due(f);
        assert_int_equal(due(f, a, 64, &d), 1);
        assert_int_equal(d.v[0].tries, 2 * i);
    }
    /* Its writer lives after all: nobody has tried. */
    assert_true(renew(f, &id, 1, 1));
    wait_until_due(f);
    due(f, a, 64, &d);
    assert_int_equal(d.v[0].tries, 0);
    arena_free(a);
}

static void the_longest_due_come_first_and_not_more_than_asked(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    char id[16], line[64];
    struct journal_entry j;
    struct due d;
    int i;

    for (i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "file-%02d", i);
        j = sample(id);
        begin(f, &j, LONG_MS);
        snprintf(line, sizeof(line), "ZADD fm:{gw}:due %d %s", 1000 - i, id);
        fx_ok(f, line);
    }
    assert_int_equal(due(f, a, 5, &d), 5);
    assert_true(str_eq_c(d.v[0].id, "file-19"));
    assert_true(str_eq_c(d.v[4].id, "file-15"));
    assert_int_equal(due(f, a, 64, &d), 20);
    arena_free(a);
}

static void a_broken_entry_does_not_hide_the_others(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct journal_entry j = sample("file-2");
    struct due d;

    fx_ok(f, "HSET fm:{gw}:entries file-1 {broken");
    fx_ok(f, "ZADD fm:{gw}:due 1 file-1");
    begin(f, &j, 1);
    fx_ok(f, "ZADD fm:{gw}:due 2 file-2");
    assert_int_equal(due(f, a, 64, &d), 1);
    same(&d.v[0], &j);
    arena_free(a);
}

static void a_live_entry_alike_is_a_rival(void **state)
{
    struct fx *f = *state;
    struct journal_entry mine = sample("file-1"), other = sample("file-2");

    begin(f, &mine, 1);
    wait_until_due(f);
    assert_false(has_rival(f, &mine)); /* not itself */
    begin(f, &other, LONG_MS);
    assert_true(has_rival(f, &mine));
    /* Of another provider, of another name. */
    other.provider = STR("openai2");
    begin(f, &other, LONG_MS);
    assert_false(has_rival(f, &mine));
    other.provider = mine.provider;
    other.filename = STR("a.jsonl2");
    begin(f, &other, LONG_MS);
    assert_false(has_rival(f, &mine));
    other.filename = STR("aXjsonl");
    begin(f, &other, LONG_MS);
    assert_false(has_rival(f, &mine));
    /* A name that only looks like it. */
    other.provider = STR("x");
    other.filename =
        STR("\",\"provider\":\"openai\",\"filename\":\"a.jsonl\",\"");
    begin(f, &other, LONG_MS);
    assert_false(has_rival(f, &mine));
    mine.filename = other.filename;
    mine.provider = other.provider;
    assert_true(has_rival(f, &mine));
}

static void what_is_to_be_deleted_is_doomed_at_all_its_providers(void **state)
{
    static const struct file_copy copies[] = {
        {STR("openai"), STR("up-1"), FILE_PROCESSED, 1},
        {STR("disk"), STR("a \"b\""), FILE_PROCESSED, 1}};
    struct fx *f = *state;
    struct journal_entry j = sample("file-1");

    j.upstream_id = STR("up-1");
    j.copies = copies;
    j.ncopies = COUNTOF(copies);
    begin(f, &j, LONG_MS);
    assert_false(is_doomed(f, "up-1")); /* an upload */
    j.kind = JOURNAL_DELETE;
    j.filename = STR("\"upstream_id\":\"up-2\"");
    begin(f, &j, LONG_MS);
    assert_true(is_doomed(f, "up-1"));
    assert_true(is_doomed(f, "a \"b\""));
    assert_false(is_doomed(f, "up"));
    assert_false(is_doomed(f, "up-2"));
    begin(f, &j, 1);
    wait_until_due(f);
    assert_true(is_doomed(f, "up-1"));
    postpone(f, "file-1", LONG_MS);
    assert_true(is_doomed(f, "up-1"));
    clear(f, "file-1");
    assert_false(is_doomed(f, "up-1"));
}

static void a_dead_entry_alike_is_no_rival(void **state)
{
    struct fx *f = *state;
    struct journal_entry mine = sample("file-1"), other = sample("file-2");
    struct str id = STR("file-2");

    begin(f, &mine, LONG_MS);
    begin(f, &other, LONG_MS);
    assert_true(has_rival(f, &mine));
    fx_ok(f, "ZADD fm:{gw}:due 1 file-2");
    assert_false(has_rival(f, &mine));
    /* Put off: its lease is in the future again, but nobody uploads. Two such
     * entries would otherwise wait for each other. */
    postpone(f, "file-2", LONG_MS);
    assert_false(has_rival(f, &mine));
    renew(f, &id, 1, LONG_MS);
    assert_true(has_rival(f, &mine));
}

static void a_deletion_is_told_as_such_and_is_no_rival(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct journal_entry mine = sample("file-1"), other = sample("file-2");
    struct due d;

    other.kind = JOURNAL_DELETE;
    begin(f, &mine, LONG_MS);
    begin(f, &other, LONG_MS);
    assert_false(has_rival(f, &mine));
    begin(f, &other, 1);
    wait_until_due(f);
    assert_int_equal(due(f, a, 64, &d), 1);
    same(&d.v[0], &other);
    arena_free(a);
}

static void an_entry_of_an_unknown_kind_stays_and_is_not_told(void **state)
{
    struct fx *f = *state;

    fx_ok(f, "HSET fm:{gw}:entries file-1 "
             "{\"id\":\"file-1\",\"provider\":\"p\",\"kind\":\"x\"}");
    fx_ok(f, "ZADD fm:{gw}:due 1 file-1");
    assert_int_equal(count_due(f), 0);
    assert_int_equal(fx_int(f, "HLEN fm:{gw}:entries"), 1);
}

static void one_process_leads(void **state)
{
    struct fx *f = *state;
    int64_t left;

    assert_true(lead(f, "one"));
    assert_true(lead(f, "one"));
    assert_false(lead(f, "two"));
    left = fx_int(f, "PTTL fm:{gw}:sweeper");
    assert_true(left > 0 && left <= LEAD_MS);
    /* A refused one must not renew it for the other. */
    fx_ok(f, "PEXPIRE fm:{gw}:sweeper 5000");
    assert_false(lead(f, "two"));
    assert_true(fx_int(f, "PTTL fm:{gw}:sweeper") <= 5000);
    assert_true(lead(f, "one"));
    assert_true(fx_int(f, "PTTL fm:{gw}:sweeper") > 5000);
    /* Its lease ends. */
    fx_ok(f, "PEXPIRE fm:{gw}:sweeper 1");
    while (!lead(f, "two"))
        fx_pause();
    assert_false(lead(f, "one"));
}

static void calls_fail_once_each_without_redis(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct journal_entry j = sample("file-1");
    struct str id = STR("file-1");
    struct fx_done d[6] = {{0}};
    struct due due = {0};
    size_t i;

    kill(f->pid, SIGSTOP);
    hold(f, &j, 1, on_held, &d[0]);
    quota_release(f->r, id, fx_on_done, &d[1]);
    journal_renew(f->r, &id, 1, 1, fx_on_done, &d[2]);
    journal_postpone(f->r, id, 1, fx_on_done, &d[3]);
    journal_has_rival(f->r, &j, fx_on_done, &d[4]);
    journal_due(f->r, a, 10, on_due, &due);
    journal_lead(f->r, "me", LEAD_MS, fx_on_done, &d[5]);
    fx_server_kill(f);
    fx_until(f, fx_is_set, &d[5].is_done);
    for (i = 0; i < COUNTOF(d); i++) {
        assert_int_equal(d[i].err, GW_STORE_UNAVAILABLE);
        assert_int_equal(d[i].times, 1);
        assert_false(d[i].changed);
    }
    assert_int_equal(due.err, GW_STORE_UNAVAILABLE);
    arena_free(a);
}

static void all_of_it_works_in_a_cluster(void **state)
{
    struct fx *f = *state;

    fx_become_cluster(f);
    an_entry_is_due_when_its_lease_ended(state);
    fx_ok(f, "FLUSHALL");
    a_postponed_entry_counts_its_tries(state);
    fx_ok(f, "FLUSHALL");
    a_live_entry_alike_is_a_rival(state);
    fx_ok(f, "FLUSHALL");
    a_cleared_entry_leaves_nothing(state);
    one_process_leads(state);
}

#define WITH_REDIS(test)                                                       \
    cmocka_unit_test_setup_teardown(test, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REDIS(an_entry_is_due_when_its_lease_ended),
        WITH_REDIS(a_renewed_lease_is_not_due),
        WITH_REDIS(a_cleared_entry_leaves_nothing),
        WITH_REDIS(an_entry_begun_again_is_replaced),
        WITH_REDIS(a_postponed_entry_counts_its_tries),
        WITH_REDIS(the_longest_due_come_first_and_not_more_than_asked),
        WITH_REDIS(a_broken_entry_does_not_hide_the_others),
        WITH_REDIS(a_live_entry_alike_is_a_rival),
        WITH_REDIS(a_dead_entry_alike_is_no_rival),
        WITH_REDIS(what_is_to_be_deleted_is_doomed_at_all_its_providers),
        WITH_REDIS(a_deletion_is_told_as_such_and_is_no_rival),
        WITH_REDIS(an_entry_of_an_unknown_kind_stays_and_is_not_told),
        WITH_REDIS(one_process_leads),
        WITH_REDIS(calls_fail_once_each_without_redis),
        WITH_REDIS(all_of_it_works_in_a_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
