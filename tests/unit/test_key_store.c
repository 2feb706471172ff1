/* test_key_store.c -- virtual keys, their aliases, and what is kept of them. */
#include "redis_fixture.h"

#include "gateway/store/key_store.h"

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
    struct vkey_ref *k; /* held */
    enum gw_err err;
    int times;
};

static void on_got(void *arg, struct vkey_ref *k, const struct gw_error *e)
{
    struct got *g = arg;

    g->is_done = true;
    g->k = k;
    g->err = e->err;
    g->times++;
    if (k)
        vkey_ref_hold(k);
}

/* Held: the caller drops it. NULL: no such key. */
static struct vkey_ref *get(struct keys_fx *k, const char *hash)
{
    struct got g = {0};

    key_store_get(k->s, hash, on_got, &g);
    assert_false(g.is_done);
    fx_until(&k->f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_OK);
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
        snprintf(line, sizeof(line), "SET fm:{keys}:" HASH_A " %s", broken[i]);
        fx_ok(&k->f, line);
        g = (struct got){0};
        key_store_get(k->s, HASH_A, on_got, &g);
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
    key_store_get(k->s, HASH_A, on_got, &g);
    fx_until(&k->f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_STORE_UNAVAILABLE);
    assert_null(g.k);
    g = (struct got){0};
    fx_until(&k->f, fx_is_down, k->f.r);
    key_store_get(k->s, HASH_A, on_got, &g);
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
        key_store_get(k->s, hash, on_got, &g[i]);
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
    key_store_cancel(key_store_get(k->s, HASH_A, on_got, &a));
    key_store_cancel(key_store_get(k->s, HASH_B, on_got, &b));
    fx_ok(&k->f, "PING");
    key_store_get(k->s, HASH_A, on_got, &c); /* in the memory of those */
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
    key_store_get(k->s, HASH_A, on_got, &g);
    key_store_get(k->s, HASH_B, on_got, &g);
    key_store_close(k->s);
    k->s = NULL;
    fx_ok(&k->f, "PING");
    assert_int_equal(g.times, 0);
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
    key_store_get(k->s, HASH_A, on_got, &g);
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
    assert_int_equal(fx_int(&k->f, "ZCARD fm:{keys}:index"), 1);
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
    assert_int_equal(fx_int(&k->f, "ZCARD fm:{keys}:index"), 2);
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

static struct listed list(struct keys_fx *k, struct arena *a, size_t offset,
                          size_t limit)
{
    struct listed l = {0};

    key_store_list(k->s, a, offset, limit, on_list, &l);
    fx_until(&k->f, fx_is_set, &l.is_done);
    assert_int_equal(l.err, GW_OK);
    return l;
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
        CASE(scripts_that_redis_forgot_are_sent_again),
        CASE(all_of_it_works_in_a_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
