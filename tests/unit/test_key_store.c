/* test_key_store.c -- virtual keys, their aliases, and what is kept of them. */
#include "redis_fixture.h"

#include "gateway/store/key_store.h"
#include "gateway/store/team_store.h"

#define HASH_A                                                                 \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HASH_B                                                                 \
    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HASH_C                                                                 \
    "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"

struct keys_fx {
    struct fx f; /* first: the fixture's functions take it */
    struct key_store *s;
};

static int set_up(void **state)
{
    struct keys_fx *k = xcalloc(1, sizeof(*k));

    fx_begin(&k->f);
    fx_server_start(&k->f);
    k->f.r = fx_open(&k->f, k->f.url, 5000);
    fx_up(&k->f);
    k->s = key_store_open(k->f.r);
    *state = k;
    return 0;
}

static int tear_down(void **state)
{
    struct keys_fx *k = *state;

    key_store_close(k->s);
    return fx_tear_down(state);
}

/* --- asking and waiting --- */

static bool put(struct keys_fx *k, const char *hash, const char *alias,
                const char *record)
{
    struct fx_done d = {0};

    key_store_put(k->s, hash, str_of(alias), 1700000000, str_of(record),
                  fx_on_done, &d);
    return fx_changed(&k->f, &d);
}

static bool replace(struct keys_fx *k, const char *old_hash,
                    const char *old_record, const char *hash, const char *alias,
                    const char *record)
{
    struct fx_done d = {0};

    key_store_replace(k->s, old_hash, str_of(old_record), hash, str_of(alias),
                      str_of(record), fx_on_done, &d);
    return fx_changed(&k->f, &d);
}

static bool drop(struct keys_fx *k, const char *hash)
{
    struct fx_done d = {0};

    key_store_delete(k->s, hash, fx_on_done, &d);
    return fx_changed(&k->f, &d);
}

struct text {
    bool is_done, is_there;
    char text[4096];
    enum gw_err err;
};

static void on_text(void *arg, struct str record, const struct gw_error *e)
{
    struct text *t = arg;

    t->is_done = true;
    t->is_there = record.p != NULL;
    t->err = e->err;
    snprintf(t->text, sizeof(t->text), "%.*s", STR_ARG(record));
}

static void wait_text(struct keys_fx *k, struct text *t)
{
    fx_until(&k->f, fx_is_set, &t->is_done);
    assert_int_equal(t->err, GW_OK);
}

static struct text raw(struct keys_fx *k, const char *hash)
{
    struct text t = {0};

    key_store_raw(k->s, hash, on_text, &t);
    wait_text(k, &t);
    return t;
}

static struct text by_alias(struct keys_fx *k, const char *alias)
{
    struct text t = {0};

    key_store_by_alias(k->s, str_of(alias), on_text, &t);
    wait_text(k, &t);
    return t;
}

static struct text set_member(struct keys_fx *k, const char *hash,
                              const char *member, const char *value)
{
    struct text t = {0};

    key_store_set_member(k->s, hash, member, str_of(value), on_text, &t);
    wait_text(k, &t);
    return t;
}

struct got {
    bool is_done;
    struct vkey_ref *k;    /* held */
    struct team_ref *team; /* held */
    struct key_admission a;
    enum gw_err err;
    int times;
};

static void on_got(void *arg, struct vkey_ref *k, struct team_ref *team,
                   const struct key_admission *a, const struct gw_error *e)
{
    struct got *g = arg;

    g->is_done = true;
    g->k = k;
    g->team = team;
    g->a = *a;
    if (team)
        team_ref_hold(team);
    g->err = e->err;
    g->times++;
    if (k)
        vkey_ref_hold(k);
}

static struct key_store_call *ask(struct key_store *s, const char *hash,
                                  const char *request_id, struct got *g)
{
    struct key_request q = {hash, str_of(request_id), 60000};

    *g = (struct got){0};
    return key_store_get(s, &q, on_got, g);
}

static struct got got(struct keys_fx *k, struct key_store *s, const char *hash,
                      const char *request_id)
{
    struct got g;

    ask(s, hash, request_id, &g);
    assert_false(g.is_done);
    fx_until(&k->f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_OK);
    assert_int_equal(g.times, 1);
    return g;
}

/* Held: the caller drops it. NULL: no such key. */
static struct vkey_ref *get(struct keys_fx *k, const char *hash)
{
    struct got g = got(k, k->s, hash, "");

    assert_null(g.team);
    return g.k;
}

/* --- get --- */

static void a_key_is_found_by_its_hash(void **state)
{
    struct keys_fx *k = *state;
    struct vkey_ref *ref;

    assert_null(get(k, HASH_A));
    assert_true(put(k, HASH_A, "", "{\"team_id\":\"red\"}"));
    ref = get(k, HASH_A);
    assert_non_null(ref);
    assert_string_equal(ref->key.hash, HASH_A);
    assert_true(str_eq_c(ref->key.team_id, "red"));
    assert_true(str_eq_c(ref->key.owner, "t:red"));
    vkey_ref_drop(ref);
    assert_null(get(k, HASH_B));
}

static void the_parsed_form_is_kept_while_the_text_is_the_same(void **state)
{
    struct keys_fx *k = *state;
    struct vkey_ref *one, *two, *three;

    put(k, HASH_A, "", "{\"user_id\":\"u\"}");
    one = get(k, HASH_A);
    two = get(k, HASH_A);
    assert_ptr_equal(one, two);
    set_member(k, HASH_A, "user_id", "\"w\"");
    three = get(k, HASH_A);
    assert_ptr_not_equal(one, three);
    assert_true(str_eq_c(three->key.user_id, "w"));
    assert_true(str_eq_c(one->key.user_id, "u")); /* who holds it keeps it */
    vkey_ref_drop(one);
    vkey_ref_drop(two);
    vkey_ref_drop(three);
    vkey_ref_drop(NULL);
}

static void blocking_and_deleting_work_on_the_next_request(void **state)
{
    struct keys_fx *k = *state;
    struct vkey_ref *ref;
    struct text t;

    put(k, HASH_A, "", "{\"blocked\":false}");
    ref = get(k, HASH_A);
    assert_false(ref->key.blocked);
    vkey_ref_drop(ref);
    t = set_member(k, HASH_A, "blocked", "true");
    assert_string_equal(t.text, "{\"blocked\":true}");
    ref = get(k, HASH_A);
    assert_true(ref->key.blocked);
    vkey_ref_drop(ref);
    assert_true(drop(k, HASH_A));
    assert_null(get(k, HASH_A));
    assert_null(key_store_guess(k->s, HASH_A));
}

static void a_guess_is_what_the_key_was_last_time(void **state)
{
    struct keys_fx *k = *state;
    const struct vkey *guess;

    assert_null(key_store_guess(k->s, HASH_A));
    put(k, HASH_A, "", "{\"team_id\":\"red\"}");
    assert_null(key_store_guess(k->s, HASH_A));
    vkey_ref_drop(get(k, HASH_A));
    guess = key_store_guess(k->s, HASH_A);
    assert_non_null(guess);
    assert_true(str_eq_c(guess->owner, "t:red"));
}

static void a_broken_record_is_an_error_and_not_a_missing_key(void **state)
{
    static const char *const broken[] = {"x", "{\"providers\":5}", "[]", "{"};
    struct keys_fx *k = *state;
    struct got g;
    char line[256];
    size_t i;

    for (i = 0; i < COUNTOF(broken); i++) {
        snprintf(line, sizeof(line), "SET fm:{gw}:key:" HASH_A " %s",
                 broken[i]);
        fx_ok(&k->f, line);
        ask(k->s, HASH_A, "", &g);
        fx_until(&k->f, fx_is_set, &g.is_done);
        assert_int_equal(g.err, GW_INTERNAL);
        assert_null(g.k);
    }
    /* And it can still be deleted. */
    assert_true(drop(k, HASH_A));
}

static void without_redis_nobody_is_let_in(void **state)
{
    struct keys_fx *k = *state;
    struct got g = {0};

    put(k, HASH_A, "", "{}");
    vkey_ref_drop(get(k, HASH_A));
    fx_server_kill(&k->f);
    ask(k->s, HASH_A, "", &g);
    fx_until(&k->f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_STORE_UNAVAILABLE);
    assert_null(g.k);
    fx_until(&k->f, fx_is_down, k->f.r);
    ask(k->s, HASH_A, "", &g);
    assert_false(g.is_done);
    fx_until(&k->f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_STORE_UNAVAILABLE);
}

static void the_kept_forms_are_bounded(void **state)
{
    enum { N = LIMIT_KEPT_KEYS + 1 };
    struct keys_fx *k = *state;
    static struct fx_done d[N];
    static struct got g[N];
    char hash[CRYPTO_SHA256_HEX + 1];
    int i;

    for (i = 0; i < N; i++) {
        snprintf(hash, sizeof(hash), "%064d", i);
        key_store_put(k->s, hash, STR_NULL, i, STR("{\"team_id\":\"t\"}"),
                      fx_on_done, &d[i]);
    }
    fx_until(&k->f, fx_is_set, &d[N - 1].is_done);
    for (i = 0; i < N; i++) {
        snprintf(hash, sizeof(hash), "%064d", i);
        ask(k->s, hash, "", &g[i]);
    }
    fx_until(&k->f, fx_is_set, &g[N - 1].is_done);
    snprintf(hash, sizeof(hash), "%064d", 0);
    assert_null(key_store_guess(k->s, hash)); /* the oldest went */
    assert_true(str_eq_c(g[0].k->key.team_id, "t"));
    snprintf(hash, sizeof(hash), "%064d", 1);
    assert_non_null(key_store_guess(k->s, hash));
    snprintf(hash, sizeof(hash), "%064d", N - 1);
    assert_non_null(key_store_guess(k->s, hash));
    for (i = 0; i < N; i++)
        vkey_ref_drop(g[i].k);
}

static void a_cancelled_get_is_not_answered(void **state)
{
    struct keys_fx *k = *state;
    struct key_store_fixed fixed = {HASH_B, STR("{}")};
    struct got a = {0}, b = {0}, c = {0};

    put(k, HASH_A, "", "{}");
    key_store_set_fixed(k->s, &fixed, 1);
    key_store_cancel(ask(k->s, HASH_A, "", &a));
    key_store_cancel(ask(k->s, HASH_B, "", &b));
    fx_ok(&k->f, "PING");
    ask(k->s, HASH_A, "", &c); /* in the memory of those */
    fx_until(&k->f, fx_is_set, &c.is_done);
    assert_int_equal(a.times + b.times, 0);
    assert_int_equal(c.times, 1);
    vkey_ref_drop(c.k);
}

static void closing_cancels_what_is_under_way(void **state)
{
    struct keys_fx *k = *state;
    struct key_store_fixed fixed = {HASH_B, STR("{}")};
    struct got g = {0};

    put(k, HASH_A, "", "{}");
    key_store_set_fixed(k->s, &fixed, 1);
    vkey_ref_drop(get(k, HASH_A));
    ask(k->s, HASH_A, "", &g);
    ask(k->s, HASH_B, "", &g);
    key_store_close(k->s);
    k->s = NULL;
    fx_ok(&k->f, "PING");
    assert_int_equal(g.times, 0);
}

/* --- teams and admission --- */

/* members: an object, to which its id is added. */
static void put_team(struct keys_fx *k, const char *id, const char *members)
{
    struct fx_done d = {0};
    char record[256];

    snprintf(record, sizeof(record), "{\"team_id\":\"%s\"%s%s", id,
             members[1] == '}' ? "" : ",", members + 1);
    team_store_put(k->f.r, str_of(id), 1700000000, str_of(record), fx_on_done,
                   &d);
    assert_true(fx_changed(&k->f, &d));
}

static void set_team_member(struct keys_fx *k, const char *id,
                            const char *member, const char *value)
{
    struct text t = {0};

    team_store_set_member(k->f.r, str_of(id), member, str_of(value), on_text,
                          &t);
    wait_text(k, &t);
    assert_true(t.is_there);
}

static void drop_got(struct got *g)
{
    vkey_ref_drop(g->k);
    team_ref_drop(g->team);
}

/* One request: what became of it, and how many commands it took. */
static struct key_admission admit_by(struct keys_fx *k, struct key_store *s,
                                     const char *hash, const char *request_id,
                                     uint64_t commands)
{
    uint64_t before = redis_commands(key_store_redis(s));
    struct got g = got(k, s, hash, request_id);

    assert_non_null(g.k);
    if (commands)
        assert_int_equal(redis_commands(key_store_redis(s)) - before, commands);
    drop_got(&g);
    return g.a;
}

static struct key_admission admit(struct keys_fx *k, const char *hash,
                                  const char *request_id)
{
    return admit_by(k, k->s, hash, request_id, 0);
}

static void same(const struct key_admission *a, enum quota_limit limit,
                 size_t scope, int64_t max, int64_t used)
{
    assert_int_equal(a->verdict.limit, limit);
    assert_int_equal(a->verdict.scope, scope);
    assert_int_equal(a->verdict.max, max);
    assert_int_equal(a->verdict.used, used);
}

struct used {
    bool is_done;
    int64_t parallel;
};

static void on_used(void *arg, const struct quota_usage *v, size_t n,
                    const struct gw_error *e)
{
    assert_int_equal(e->err, GW_OK);
    assert_int_equal(n, 1);
    *(struct used *)arg = (struct used){true, v[0].parallel};
}

static int64_t under_way(struct keys_fx *k, const char *scope)
{
    struct used u = {0};
    struct str s = str_of(scope);

    quota_usage(k->f.r, &s, 1, on_used, &u);
    fx_until(&k->f, fx_is_set, &u.is_done);
    return u.parallel;
}

static void a_key_comes_with_its_team(void **state)
{
    struct keys_fx *k = *state;
    struct got one, two;

    put(k, HASH_A, "", "{\"team_id\":\"red\"}");
    one = got(k, k->s, HASH_A, "");
    assert_null(one.team); /* no record */
    drop_got(&one);
    put_team(k, "red", "{\"max_files\":5}");
    one = got(k, k->s, HASH_A, "");
    assert_int_equal(one.team->team.limits.files, 5);
    two = got(k, k->s, HASH_A, "");
    assert_ptr_equal(one.team, two.team);
    drop_got(&two);
    set_team_member(k, "red", "max_files", "6");
    two = got(k, k->s, HASH_A, "");
    assert_int_equal(two.team->team.limits.files, 6);
    assert_int_equal(one.team->team.limits.files, 5); /* who holds it */
    assert_true(str_eq_c(one.k->team_scope, "t:red"));
    assert_true(str_eq_c(one.k->scope, "k:" HASH_A));
    drop_got(&one);
    drop_got(&two);
}

static void a_key_that_changes_its_team_comes_with_the_other(void **state)
{
    struct keys_fx *k = *state;
    struct got g;

    put_team(k, "red", "{\"max_files\":1,\"rpm_limit\":9}");
    put_team(k, "blue", "{\"max_files\":2}");
    put(k, HASH_A, "", "{\"team_id\":\"red\"}");
    admit(k, HASH_A, "r");
    admit(k, HASH_A, "r");
    assert_true(replace(k, HASH_A, "{\"team_id\":\"red\"}", HASH_A, "",
                        "{\"team_id\":\"blue\"}"));
    g = got(k, k->s, HASH_A, "");
    assert_int_equal(g.team->team.limits.files, 2);
    assert_int_equal(g.a.rpm_limit, 0);
    drop_got(&g);
    assert_true(replace(k, HASH_A, "{\"team_id\":\"blue\"}", HASH_A, "", "{}"));
    g = got(k, k->s, HASH_A, "");
    assert_null(g.team);
    drop_got(&g);
}

static void a_request_takes_one_command(void **state)
{
    static const struct {
        const char *key, *team;
    } cases[] = {
        {"{}", NULL},
        {"{\"rpm_limit\":100}", NULL},
        {"{\"team_id\":\"red\"}", NULL},
        {"{\"team_id\":\"red\"}", "{}"},
        {"{\"team_id\":\"red\"}", "{\"rpm_limit\":100}"},
        {"{\"team_id\":\"red\",\"rpm_limit\":100}", NULL},
        {"{\"team_id\":\"red\",\"max_parallel_requests\":100}",
         "{\"rpm_limit\":100,\"max_parallel_requests\":100}"},
        {"{\"blocked\":true,\"rpm_limit\":1}", NULL},
    };
    struct keys_fx *k = *state;
    size_t i, n;

    for (i = 0; i < COUNTOF(cases); i++) {
        fx_ok(&k->f, "FLUSHALL");
        put(k, HASH_A, "", cases[i].key);
        if (cases[i].team)
            put_team(k, "red", cases[i].team);
        admit(k, HASH_A, "first");
        for (n = 0; n < 3; n++)
            admit_by(k, k->s, HASH_A, "again", 1);
    }
}

static void requests_per_minute_hold_at_their_edge(void **state)
{
    struct keys_fx *k = *state;
    struct key_admission a;
    int i;

    put(k, HASH_A, "", "{\"rpm_limit\":5}");
    for (i = 0; i < 5; i++) {
        a = admit(k, HASH_A, "");
        same(&a, QUOTA_NONE, 0, 0, 0);
        assert_int_equal(a.rpm_limit, 5);
        assert_int_equal(a.rpm_remaining, 4 - i);
        assert_true(a.rpm_reset_ms > 0 && a.rpm_reset_ms <= 60000);
    }
    for (i = 0; i < 2; i++) { /* a refused one is not charged */
        a = admit(k, HASH_A, "");
        same(&a, QUOTA_RPM, 0, 5, 5);
        assert_int_equal(a.rpm_remaining, 0);
        assert_true(a.verdict.wait_ms > 0 && a.verdict.wait_ms <= 60000);
        assert_int_equal(a.rpm_reset_ms, a.verdict.wait_ms);
    }
    assert_int_equal(fx_int(&k->f, "LLEN fm:{gw}:rpm:k:" HASH_A), 5);
    /* Two of them are a minute ago. */
    fx_ok(&k->f, "LSET fm:{gw}:rpm:k:" HASH_A " 0 1000");
    fx_ok(&k->f, "LSET fm:{gw}:rpm:k:" HASH_A " 1 2000");
    assert_int_equal(admit(k, HASH_A, "").rpm_remaining, 1);
    assert_int_equal(admit(k, HASH_A, "").rpm_remaining, 0);
    a = admit(k, HASH_A, "");
    same(&a, QUOTA_RPM, 0, 5, 5);
    /* A lowered limit: until enough of them are gone. */
    set_member(k, HASH_A, "rpm_limit", "2");
    a = admit(k, HASH_A, "");
    same(&a, QUOTA_RPM, 0, 2, 5);
    assert_true(fx_int(&k->f, "PTTL fm:{gw}:rpm:k:" HASH_A) <= 120000);
}

static void an_enormous_limit_is_a_limit(void **state)
{
    struct keys_fx *k = *state;
    struct key_admission a;

    put(k, HASH_A, "", "{\"rpm_limit\":9223372036854775807}");
    a = admit(k, HASH_A, "");
    same(&a, QUOTA_NONE, 0, 0, 0);
    assert_int_equal(a.rpm_limit, (int64_t)1 << 48);
    assert_int_equal(a.rpm_remaining, a.rpm_limit - 1);
}

static void both_scopes_admit_or_none(void **state)
{
    struct keys_fx *k = *state;
    struct key_admission a;
    int i;

    put_team(k, "red", "{\"rpm_limit\":3}");
    put(k, HASH_A, "", "{\"team_id\":\"red\",\"rpm_limit\":2}");
    put(k, HASH_B, "", "{\"team_id\":\"red\"}");
    a = admit(k, HASH_A, "");
    assert_int_equal(a.rpm_limit, 2); /* the tighter one's */
    assert_int_equal(a.rpm_remaining, 1);
    a = admit(k, HASH_B, "");
    assert_int_equal(a.rpm_limit, 3);
    assert_int_equal(a.rpm_remaining, 1);
    admit(k, HASH_B, "");
    for (i = 0; i < 2; i++) {
        a = admit(k, HASH_A, "");
        same(&a, QUOTA_RPM, 1, 3, 3);
    }
    assert_int_equal(fx_int(&k->f, "LLEN fm:{gw}:rpm:k:" HASH_A), 1);
    assert_int_equal(fx_int(&k->f, "LLEN fm:{gw}:rpm:t:red"), 3);
}

/* And until it is so. */
static void leave(struct keys_fx *k, struct str request_id)
{
    key_store_leave(k->s, request_id);
    fx_ok(&k->f, "PING");
}

static void requests_at_a_time_hold_at_their_edge(void **state)
{
    struct keys_fx *k = *state;
    struct key_admission a;

    put_team(k, "red", "{\"max_parallel_requests\":3,\"rpm_limit\":99}");
    put(k, HASH_A, "", "{\"team_id\":\"red\",\"max_parallel_requests\":2}");
    put(k, HASH_B, "", "{\"team_id\":\"red\"}");
    assert_true(admit(k, HASH_A, "a1").is_under_way);
    assert_true(admit(k, HASH_A, "a2").is_under_way);
    a = admit(k, HASH_A, "a3");
    same(&a, QUOTA_PARALLEL, 0, 2, 2);
    assert_false(a.is_under_way);
    assert_int_equal(a.rpm_remaining, 97); /* it was not charged */
    assert_true(admit(k, HASH_B, "b1").is_under_way);
    a = admit(k, HASH_B, "b2");
    same(&a, QUOTA_PARALLEL, 1, 3, 3);
    assert_int_equal(under_way(k, "k:" HASH_A), 2);
    assert_int_equal(under_way(k, "t:red"), 3);
    leave(k, STR("a1"));
    leave(k, STR("a1"));
    leave(k, STR("b2"));
    assert_int_equal(under_way(k, "t:red"), 2);
    assert_true(admit(k, HASH_B, "b2").is_under_way);
    leave(k, STR("b1"));
    /* The same request again is not another one. */
    assert_true(admit(k, HASH_B, "b2").is_under_way);
    assert_int_equal(under_way(k, "t:red"), 2);
    /* Without a name it does not count, and is not refused. */
    a = admit(k, HASH_B, "");
    same(&a, QUOTA_NONE, 0, 0, 0);
    assert_false(a.is_under_way);
    leave(k, STR("a2"));
    leave(k, STR("b2"));
    assert_int_equal(under_way(k, "k:" HASH_A), 0);
    assert_int_equal(under_way(k, "t:red"), 0);
    assert_int_equal(fx_int(&k->f, "EXISTS fm:{gw}:holds fm:{gw}:due"), 0);
}

static void on_due(void *arg, const struct journal_entry *v UNUSED, size_t n,
                   const struct gw_error *e)
{
    assert_int_equal(e->err, GW_OK);
    assert_int_equal(n, 0);
    *(bool *)arg = true;
}

static void sweep(struct keys_fx *k)
{
    struct arena *a = arena_new();
    bool is_done = false;

    journal_due(k->f.r, a, 10, on_due, &is_done);
    fx_until(&k->f, fx_is_set, &is_done);
    arena_free(a);
}

static void a_request_whose_process_died_leaves_with_its_lease(void **state)
{
    struct keys_fx *k = *state;
    struct arena *a = arena_new();
    struct str slots[] = {key_store_slot(a, STR("live")),
                          key_store_slot(a, STR("dead"))};
    int64_t end = clock_mono_ms() + FX_DEADLINE_MS;
    struct fx_done d = {0};

    put(k, HASH_A, "", "{\"max_parallel_requests\":2}");
    admit(k, HASH_A, "live");
    admit(k, HASH_A, "dead");
    sweep(k);
    assert_int_equal(under_way(k, "k:" HASH_A), 2);
    journal_renew(k->f.r, &slots[1], 1, 1, fx_on_done, &d);
    assert_true(fx_changed(&k->f, &d));
    while (under_way(k, "k:" HASH_A) == 2) {
        assert_true(clock_mono_ms() < end);
        sweep(k);
    }
    assert_int_equal(under_way(k, "k:" HASH_A), 1);
    assert_true(admit(k, HASH_A, "next").is_under_way);
    d = (struct fx_done){0};
    journal_renew(k->f.r, &slots[0], 1, 60000, fx_on_done, &d);
    assert_true(fx_changed(&k->f, &d));
    arena_free(a);
}

static void a_cancelled_admission_leaves_nothing(void **state)
{
    struct keys_fx *k = *state;
    struct got g;

    put(k, HASH_A, "", "{\"max_parallel_requests\":2}");
    admit(k, HASH_A, "a1");
    leave(k, STR("a1")); /* now Redis knows both scripts */
    key_store_cancel(ask(k->s, HASH_A, "a2", &g));
    assert_int_equal(under_way(k, "k:" HASH_A), 0);
    assert_int_equal(g.times, 0);
}

static void who_is_blocked_is_told_at_once_and_not_charged(void **state)
{
    struct keys_fx *k = *state;
    struct redis *r = fx_open(&k->f, k->f.url, 5000);
    struct key_store *other = key_store_open(r);
    struct got g;

    fx_until(&k->f, fx_is_up, r);
    put_team(k, "red", "{\"rpm_limit\":50,\"blocked\":false}");
    put(k, HASH_A, "", "{\"team_id\":\"red\",\"blocked\":false}");
    admit_by(k, other, HASH_A, "r", 0);
    admit_by(k, other, HASH_A, "r", 1);
    set_team_member(k, "red", "blocked", "true");
    g = got(k, other, HASH_A, "r");
    assert_true(g.team->team.blocked);
    assert_false(g.k->key.blocked);
    drop_got(&g);
    assert_int_equal(fx_int(&k->f, "LLEN fm:{gw}:rpm:t:red"), 2);
    set_team_member(k, "red", "blocked", "false");
    set_member(k, HASH_A, "blocked", "true");
    g = got(k, other, HASH_A, "r");
    assert_true(g.k->key.blocked);
    drop_got(&g);
    assert_int_equal(fx_int(&k->f, "LLEN fm:{gw}:rpm:t:red"), 2);
    set_member(k, HASH_A, "blocked", "false");
    assert_int_equal(admit_by(k, other, HASH_A, "r", 2).rpm_remaining, 47);
    drop(k, HASH_A);
    g = got(k, other, HASH_A, "r");
    assert_null(g.k);
    assert_null(g.team);
    key_store_close(other);
    redis_close(r);
}

static void an_expired_key_is_not_charged(void **state)
{
    struct keys_fx *k = *state;

    put(k, HASH_A, "", "{\"rpm_limit\":5,\"expires\":1000}");
    admit(k, HASH_A, "r");
    assert_int_equal(admit_by(k, k->s, HASH_A, "r", 1).rpm_limit, 0);
    assert_int_equal(fx_int(&k->f, "EXISTS fm:{gw}:rpm:k:" HASH_A), 0);
}

static void a_broken_team_is_an_error_and_lets_nobody_in(void **state)
{
    struct keys_fx *k = *state;
    struct got g;

    put_team(k, "red", "{\"rpm_limit\":5}");
    put(k, HASH_A, "", "{\"team_id\":\"red\"}");
    admit(k, HASH_A, "r");
    fx_ok(&k->f, "SET fm:{gw}:team:red {");
    ask(k->s, HASH_A, "r", &g);
    fx_until(&k->f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_INTERNAL);
    assert_null(g.k);
    assert_null(g.team);
}

static void two_hundred_at_once_get_exactly_ten(void **state)
{
    struct keys_fx *k = *state;
    struct redis *r = fx_open(&k->f, k->f.url, 5000);
    struct key_store *other = key_store_open(r);
    static struct got g[200];
    char id[16];
    int i, rpm = 0, parallel = 0;

    fx_until(&k->f, fx_is_up, r);
    put_team(k, "red", "{\"max_parallel_requests\":10,\"rpm_limit\":200}");
    put(k, HASH_A, "", "{\"team_id\":\"red\"}");
    for (i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "r%d", i);
        ask(i % 2 ? k->s : other, HASH_A, id, &g[i]);
    }
    for (i = 0; i < 200; i++) {
        fx_until(&k->f, fx_is_set, &g[i].is_done);
        assert_int_equal(g[i].err, GW_OK);
        parallel += g[i].a.verdict.limit == QUOTA_PARALLEL;
        rpm += g[i].a.verdict.limit == QUOTA_RPM;
        drop_got(&g[i]);
    }
    assert_int_equal(parallel, 190);
    assert_int_equal(rpm, 0);
    assert_int_equal(fx_int(&k->f, "LLEN fm:{gw}:rpm:t:red"), 10);
    assert_int_equal(under_way(k, "t:red"), 10);
    key_store_close(other);
    redis_close(r);
}

static void whom_a_key_is_charged_to_is_told_with_the_limits(void **state)
{
    struct keys_fx *k = *state;
    struct quota_who who;
    struct got g;

    put(k, HASH_A, "", "{\"team_id\":\"red\",\"max_files\":3}");
    put_team(k, "red", "{\"max_files\":4}");
    put(k, HASH_B, "", "{\"key_id\":\"" HASH_C "\"}");
    g = got(k, k->s, HASH_A, "");
    key_store_who(g.k, g.team, &who);
    assert_int_equal(who.n, 2);
    assert_true(str_eq_c(who.v[0].id, "k:" HASH_A));
    assert_int_equal(who.v[0].limits.files, 3);
    assert_true(str_eq_c(who.v[1].id, "t:red"));
    assert_int_equal(who.v[1].limits.files, 4);
    key_store_who(g.k, NULL, &who);
    assert_int_equal(who.n, 2);
    assert_int_equal(who.v[1].limits.files, 0);
    drop_got(&g);
    g = got(k, k->s, HASH_B, "");
    key_store_who(g.k, g.team, &who);
    assert_int_equal(who.n, 1);
    assert_true(str_eq_c(who.v[0].id, "k:" HASH_C));
    drop_got(&g);
}

/* --- fixed keys --- */

static void a_fixed_key_needs_no_redis(void **state)
{
    struct keys_fx *k = *state;
    struct key_store_fixed fixed[] = {
        {HASH_A, STR("{\"key_alias\":\"ci\",\"team_id\":\"red\"}")},
        {HASH_B, STR("{}")},
    };
    struct vkey_ref *ref, *held;

    put(k, HASH_A, "", "{\"team_id\":\"of redis\"}");
    key_store_set_fixed(k->s, fixed, 2);
    fx_server_kill(&k->f);
    fx_until(&k->f, fx_is_down, k->f.r);
    held = get(k, HASH_A);
    assert_true(str_eq_c(held->key.owner, "t:red"));
    assert_true(str_eq_c(key_store_guess(k->s, HASH_A)->owner, "t:red"));
    /* Another set replaces it; who holds the old one keeps it. */
    fixed[0].record = STR("{\"team_id\":\"blue\"}");
    key_store_set_fixed(k->s, fixed, 1);
    ref = get(k, HASH_A);
    assert_true(str_eq_c(ref->key.owner, "t:blue"));
    assert_true(str_eq_c(held->key.owner, "t:red"));
    assert_null(key_store_guess(k->s, HASH_B));
    vkey_ref_drop(ref);
    vkey_ref_drop(held);
}

static void a_fixed_set_may_be_replaced_while_a_get_is_under_way(void **state)
{
    struct keys_fx *k = *state;
    struct key_store_fixed fixed = {HASH_A, STR("{\"team_id\":\"red\"}")};
    struct got g = {0};

    key_store_set_fixed(k->s, &fixed, 1);
    ask(k->s, HASH_A, "", &g);
    key_store_set_fixed(k->s, NULL, 0);
    fx_until(&k->f, fx_is_set, &g.is_done);
    assert_true(str_eq_c(g.k->key.owner, "t:red"));
    vkey_ref_drop(g.k);
    assert_null(get(k, HASH_A));
}

/* --- administration --- */

static void an_alias_belongs_to_one_key(void **state)
{
    struct keys_fx *k = *state;

    assert_true(put(k, HASH_A, "ci", "{\"key_alias\":\"ci\"}"));
    assert_false(put(k, HASH_B, "ci", "{\"key_alias\":\"ci\"}"));
    assert_false(raw(k, HASH_B).is_there);
    assert_string_equal(by_alias(k, "ci").text, HASH_A);
    /* "" is none, for any number of keys. */
    assert_true(put(k, HASH_B, "", "{}"));
    assert_true(put(k, HASH_C, NULL, "{}"));
    assert_false(by_alias(k, "").is_there);
    /* A deleted key frees its alias, and nobody else's. */
    assert_true(drop(k, HASH_B));
    assert_string_equal(by_alias(k, "ci").text, HASH_A);
    assert_true(drop(k, HASH_A));
    assert_false(drop(k, HASH_A));
    assert_false(by_alias(k, "ci").is_there);
    assert_true(put(k, HASH_B, "ci", "{\"key_alias\":\"ci\"}"));
    assert_string_equal(by_alias(k, "ci").text, HASH_B);
}

static void aliases_wanted_at_once_go_to_one(void **state)
{
    struct keys_fx *k = *state;
    struct fx_done d[20] = {{0}};
    char hash[CRYPTO_SHA256_HEX + 1];
    int i, won = 0;

    for (i = 0; i < 20; i++) {
        snprintf(hash, sizeof(hash), "%064d", i);
        key_store_put(k->s, hash, STR("ci"), 1, STR("{\"key_alias\":\"ci\"}"),
                      fx_on_done, &d[i]);
    }
    fx_until(&k->f, fx_is_set, &d[19].is_done);
    for (i = 0; i < 20; i++) {
        assert_int_equal(d[i].times, 1);
        won += d[i].changed;
    }
    assert_int_equal(won, 1);
    assert_int_equal(fx_int(&k->f, "ZCARD fm:{gw}:keys"), 1);
}

static void a_key_is_put_once(void **state)
{
    struct keys_fx *k = *state;

    assert_true(put(k, HASH_A, "one", "{\"key_alias\":\"one\"}"));
    assert_false(put(k, HASH_A, "two", "{\"key_alias\":\"two\"}"));
    assert_string_equal(raw(k, HASH_A).text, "{\"key_alias\":\"one\"}");
    assert_false(by_alias(k, "two").is_there);
}

static void one_member_changes_and_the_rest_stays_byte_for_byte(void **state)
{
    static const struct {
        const char *record, *member, *value, *after;
    } cases[] = {
        /* clang-format off */
        {"{}", "blocked", "true", "{\"blocked\":true}"},
        {"{\"a\":1}", "blocked", "true", "{\"a\":1,\"blocked\":true}"},
        {"{\"blocked\":false}", "blocked", "true", "{\"blocked\":true}"},
        {"{\"blocked\":false,\"a\":[]}", "blocked", "true",
         "{\"blocked\":true,\"a\":[]}"},
        {"{\"a\":{},\"blocked\":null}", "blocked", "true",
         "{\"a\":{},\"blocked\":true}"},
        {"{\"a\":9007199254740993,\"b\":[1,[2,{\"blocked\":0}]],\"blocked\":0,\"c\":1.50}",
         "blocked", "true",
         "{\"a\":9007199254740993,\"b\":[1,[2,{\"blocked\":0}]],\"blocked\":true,\"c\":1.50}"},
        {"{\"m\":\"\\\"blocked\\\":1,}]\\\\\",\"blocked\":{\"x\":[\"}\"]},\"z\":\"\\\\\\\"\"}",
         "blocked", "true",
         "{\"m\":\"\\\"blocked\\\":1,}]\\\\\",\"blocked\":true,\"z\":\"\\\\\\\"\"}"},
        {"{\"m\":\"x\\\",\\\"blocked\\\":5,\\\"\",\"blocked\":0}", "blocked", "true",
         "{\"m\":\"x\\\",\\\"blocked\\\":5,\\\"\",\"blocked\":true}"},
        {"{\"unblocked\":1,\"blocked2\":2}", "blocked", "[1,2]",
         "{\"unblocked\":1,\"blocked2\":2,\"blocked\":[1,2]}"},
        {"{\"blocked\":\"a%b%%\"}", "blocked", "\"%1%%\"",
         "{\"blocked\":\"%1%%\"}"},
        /* clang-format on */
    };
    struct keys_fx *k = *state;
    struct text t;
    size_t i;

    for (i = 0; i < COUNTOF(cases); i++) {
        drop(k, HASH_A);
        assert_true(put(k, HASH_A, "", cases[i].record));
        t = set_member(k, HASH_A, cases[i].member, cases[i].value);
        assert_string_equal(t.text, cases[i].after);
        assert_string_equal(raw(k, HASH_A).text, cases[i].after);
    }
}

static void a_member_of_no_key_is_not_set(void **state)
{
    struct keys_fx *k = *state;

    assert_false(set_member(k, HASH_A, "blocked", "true").is_there);
    assert_false(raw(k, HASH_A).is_there);
}

static void a_record_is_replaced_only_if_it_is_what_was_read(void **state)
{
    struct keys_fx *k = *state;

    put(k, HASH_A, "one", "{\"key_alias\":\"one\"}");
    put(k, HASH_B, "two", "{\"key_alias\":\"two\"}");
    /* Not there; changed since; alias taken. */
    assert_false(replace(k, HASH_C, "{}", HASH_C, "", "{\"n\":1}"));
    assert_false(raw(k, HASH_C).is_there);
    assert_false(replace(k, HASH_A, "{}", HASH_A, "one", "{\"n\":1}"));
    assert_false(replace(k, HASH_A, "{\"key_alias\":\"one\"}", HASH_A, "two",
                         "{\"key_alias\":\"two\"}"));
    assert_string_equal(raw(k, HASH_A).text, "{\"key_alias\":\"one\"}");
    assert_string_equal(by_alias(k, "two").text, HASH_B);
    /* The same alias, another, none. */
    assert_true(replace(k, HASH_A, "{\"key_alias\":\"one\"}", HASH_A, "one",
                        "{\"key_alias\":\"one\",\"n\":1}"));
    assert_string_equal(by_alias(k, "one").text, HASH_A);
    assert_true(replace(k, HASH_A, "{\"key_alias\":\"one\",\"n\":1}", HASH_A,
                        "uno", "{\"key_alias\":\"uno\"}"));
    assert_false(by_alias(k, "one").is_there);
    assert_string_equal(by_alias(k, "uno").text, HASH_A);
    assert_true(replace(k, HASH_A, "{\"key_alias\":\"uno\"}", HASH_A, "",
                        "{\"key_alias\":null}"));
    assert_false(by_alias(k, "uno").is_there);
}

static void a_key_gets_another_hash_and_keeps_its_place(void **state)
{
    struct keys_fx *k = *state;

    put(k, HASH_A, "one", "{\"key_alias\":\"one\"}");
    put(k, HASH_B, "two", "{\"key_alias\":\"two\"}");
    assert_false(replace(k, HASH_A, "{\"key_alias\":\"one\"}", HASH_B, "one",
                         "{\"key_alias\":\"one\"}"));
    assert_true(replace(k, HASH_A, "{\"key_alias\":\"one\"}", HASH_C, "one",
                        "{\"key_alias\":\"one\",\"n\":2}"));
    assert_null(get(k, HASH_A));
    assert_string_equal(raw(k, HASH_C).text, "{\"key_alias\":\"one\",\"n\":2}");
    assert_string_equal(by_alias(k, "one").text, HASH_C);
    assert_int_equal(fx_int(&k->f, "ZCARD fm:{gw}:keys"), 2);
    assert_true(drop(k, HASH_C));
    assert_false(by_alias(k, "one").is_there);
}

struct listed {
    bool is_done;
    const struct key_store_entry *v;
    size_t n;
    int64_t total;
    enum gw_err err;
};

static void on_list(void *arg, const struct key_store_entry *v, size_t n,
                    int64_t total, const struct gw_error *e)
{
    *(struct listed *)arg = (struct listed){true, v, n, total, e->err};
}

static struct listed list_of(struct keys_fx *k, struct arena *a,
                             const struct key_store_query *q)
{
    struct listed l = {0};

    key_store_list(k->s, a, q, on_list, &l);
    fx_until(&k->f, fx_is_set, &l.is_done);
    assert_int_equal(l.err, GW_OK);
    return l;
}

static struct listed list(struct keys_fx *k, struct arena *a, size_t offset,
                          size_t limit)
{
    struct key_store_query q = {.offset = offset, .limit = limit};

    return list_of(k, a, &q);
}

static void keys_are_listed_the_newest_first(void **state)
{
    struct keys_fx *k = *state;
    struct arena *a = arena_new();
    char hash[CRYPTO_SHA256_HEX + 1], record[32];
    struct fx_done d[25] = {{0}};
    struct listed l;
    size_t i;

    l = list(k, a, 0, 10);
    assert_int_equal(l.n, 0);
    assert_int_equal(l.total, 0);
    for (i = 0; i < 25; i++) {
        snprintf(hash, sizeof(hash), "%064zu", i);
        snprintf(record, sizeof(record), "{\"n\":%zu}", i);
        key_store_put(k->s, hash, STR_NULL, 1700000000 + (int64_t)i,
                      str_of(record), fx_on_done, &d[i]);
    }
    fx_until(&k->f, fx_is_set, &d[24].is_done);
    l = list(k, a, 0, 10);
    assert_int_equal(l.total, 25);
    assert_int_equal(l.n, 10);
    snprintf(hash, sizeof(hash), "%064d", 24);
    assert_string_equal(l.v[0].hash, hash);
    assert_true(str_eq_c(l.v[9].record, "{\"n\":15}"));
    l = list(k, a, 20, 10);
    assert_int_equal(l.total, 25);
    assert_int_equal(l.n, 5);
    assert_true(str_eq_c(l.v[4].record, "{\"n\":0}"));
    assert_int_equal(list(k, a, 100, 10).n, 0);
    arena_free(a);
}

/* The numbers n of the records, as text. */
static void lists(struct keys_fx *k, const char *team, const char *user,
                  const char *alias, size_t offset, size_t limit, int64_t total,
                  const char *numbers)
{
    struct key_store_query q = {str_of(team), str_of(user), str_of(alias),
                                offset, limit};
    struct arena *a = arena_new();
    struct listed l = list_of(k, a, &q);
    char text[64] = "";
    size_t i;

    for (i = 0; i < l.n; i++) {
        int64_t n = -1;
        struct gw_error e = {0};

        assert_true(
            json_int(json_get(json_parse(a, l.v[i].record, &e), "n"), &n));
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%d",
                 (int)n);
    }
    assert_string_equal(text, numbers);
    assert_int_equal(l.total, total);
    arena_free(a);
}

static void keys_are_found_by_team_user_and_alias(void **state)
{
    static const char *const records[] = {
        "{\"n\":0,\"team_id\":\"red\",\"key_alias\":\"zero\"}",
        "{\"n\":1,\"team_id\":\"red\",\"user_id\":\"u\"}",
        "{\"n\":2,\"team_id\":\"reddish\",\"user_id\":\"u\"}",
        "{\"n\":3,\"team_id\":\"red\",\"user_id\":\"u\"}",
        "{\"n\":4,\"team_id\":null,\"user_id\":\"\"}",
    };
    struct keys_fx *k = *state;
    char hash[CRYPTO_SHA256_HEX + 1];
    struct fx_done d;
    int i;

    for (i = 0; i < 5; i++) {
        snprintf(hash, sizeof(hash), "%064d", i);
        d = (struct fx_done){0};
        key_store_put(k->s, hash, i ? STR("") : STR("zero"), 100 + i,
                      str_of(records[i]), fx_on_done, &d);
        assert_true(fx_changed(&k->f, &d));
    }
    lists(k, "", "", NULL, 0, 9, 5, "43210");
    lists(k, "red", NULL, "", 0, 9, 3, "310");
    lists(k, "red", "", "", 1, 1, 3, "1");
    lists(k, "", "u", "", 0, 2, 3, "32");
    lists(k, "red", "u", "", 0, 9, 2, "31");
    lists(k, "red", "u", "", 1, 9, 2, "1");
    lists(k, "red", "u", "", 2, 9, 2, "");
    lists(k, "blue", "", "", 0, 9, 0, "");
    lists(k, "", "", "zero", 0, 9, 1, "0");
    lists(k, "", "", "zero", 1, 9, 1, "");
    lists(k, "red", "", "zero", 0, 9, 1, "0");
    lists(k, "reddish", "", "zero", 0, 9, 0, "");
    lists(k, "", "", "none", 0, 9, 0, "");
    /* Moved, regenerated, deleted. */
    snprintf(hash, sizeof(hash), "%064d", 3);
    assert_true(replace(k, hash, records[3], hash, "",
                        "{\"n\":3,\"team_id\":\"blue\"}"));
    lists(k, "red", "", "", 0, 9, 2, "10");
    lists(k, "blue", "", "", 0, 9, 1, "3");
    lists(k, "", "u", "", 0, 9, 2, "21");
    assert_true(replace(k, hash, "{\"n\":3,\"team_id\":\"blue\"}", HASH_A, "",
                        "{\"n\":3,\"team_id\":\"blue\"}"));
    lists(k, "blue", "", "", 0, 9, 1, "3");
    lists(k, "", "", "", 0, 2, 5, "43"); /* in its place */
    assert_true(drop(k, HASH_A));
    lists(k, "blue", "", "", 0, 9, 0, "");
    for (i = 0; i < 5; i++) {
        snprintf(hash, sizeof(hash), "%064d", i);
        drop(k, hash);
    }
    assert_int_equal(fx_int(&k->f, "DBSIZE"), 0);
}

static void scripts_that_redis_forgot_are_sent_again(void **state)
{
    struct keys_fx *k = *state;
    struct arena *a = arena_new();

    fx_ok(&k->f, "SCRIPT FLUSH");
    assert_true(put(k, HASH_A, "one", "{\"key_alias\":\"one\"}"));
    fx_ok(&k->f, "SCRIPT FLUSH");
    assert_true(set_member(k, HASH_A, "n", "1").is_there);
    fx_ok(&k->f, "SCRIPT FLUSH");
    assert_true(replace(k, HASH_A, "{\"key_alias\":\"one\",\"n\":1}", HASH_B,
                        "one", "{\"key_alias\":\"one\"}"));
    fx_ok(&k->f, "SCRIPT FLUSH");
    assert_int_equal(list(k, a, 0, 5).n, 1);
    fx_ok(&k->f, "SCRIPT FLUSH");
    assert_true(drop(k, HASH_B));
    assert_int_equal(fx_int(&k->f, "DBSIZE"), 0);
    arena_free(a);
}

static void all_of_it_works_in_a_cluster(void **state)
{
    struct keys_fx *k = *state;

    key_store_close(k->s);
    fx_become_cluster(&k->f);
    k->s = key_store_open(k->f.r);
    an_alias_belongs_to_one_key(state);
    fx_ok(&k->f, "FLUSHALL");
    a_key_gets_another_hash_and_keeps_its_place(state);
    fx_ok(&k->f, "FLUSHALL");
    keys_are_listed_the_newest_first(state);
    fx_ok(&k->f, "FLUSHALL");
    keys_are_found_by_team_user_and_alias(state);
    requests_at_a_time_hold_at_their_edge(state);
    fx_ok(&k->f, "FLUSHALL");
    both_scopes_admit_or_none(state);
    fx_ok(&k->f, "FLUSHALL");
    scripts_that_redis_forgot_are_sent_again(state);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_key_is_found_by_its_hash),
        CASE(the_parsed_form_is_kept_while_the_text_is_the_same),
        CASE(blocking_and_deleting_work_on_the_next_request),
        CASE(a_guess_is_what_the_key_was_last_time),
        CASE(a_broken_record_is_an_error_and_not_a_missing_key),
        CASE(without_redis_nobody_is_let_in),
        CASE(the_kept_forms_are_bounded),
        CASE(a_cancelled_get_is_not_answered),
        CASE(closing_cancels_what_is_under_way),
        CASE(a_key_comes_with_its_team),
        CASE(a_key_that_changes_its_team_comes_with_the_other),
        CASE(a_request_takes_one_command),
        CASE(requests_per_minute_hold_at_their_edge),
        CASE(an_enormous_limit_is_a_limit),
        CASE(both_scopes_admit_or_none),
        CASE(requests_at_a_time_hold_at_their_edge),
        CASE(a_request_whose_process_died_leaves_with_its_lease),
        CASE(a_cancelled_admission_leaves_nothing),
        CASE(who_is_blocked_is_told_at_once_and_not_charged),
        CASE(an_expired_key_is_not_charged),
        CASE(a_broken_team_is_an_error_and_lets_nobody_in),
        CASE(two_hundred_at_once_get_exactly_ten),
        CASE(whom_a_key_is_charged_to_is_told_with_the_limits),
        CASE(a_fixed_key_needs_no_redis),
        CASE(a_fixed_set_may_be_replaced_while_a_get_is_under_way),
        CASE(an_alias_belongs_to_one_key),
        CASE(aliases_wanted_at_once_go_to_one),
        CASE(a_key_is_put_once),
        CASE(one_member_changes_and_the_rest_stays_byte_for_byte),
        CASE(a_member_of_no_key_is_not_set),
        CASE(a_record_is_replaced_only_if_it_is_what_was_read),
        CASE(a_key_gets_another_hash_and_keeps_its_place),
        CASE(keys_are_listed_the_newest_first),
        CASE(keys_are_found_by_team_user_and_alias),
        CASE(scripts_that_redis_forgot_are_sent_again),
        CASE(all_of_it_works_in_a_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
