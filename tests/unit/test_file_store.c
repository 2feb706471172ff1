/* test_file_store.c -- records, their owners, and exact pages on a live Redis.
 */
#include "page_fixture.h"
#include "record_fixture.h"
#include "redis_fixture.h"

#include "gateway/codec/fileid.h"
#include "gateway/store/file_store.h"
#include "scripts.h"

#define ID_0 "file-a-00000000000000000000000000"

/* --- asking and waiting --- */

static bool put(struct fx *f, const struct file_record *r)
{
    struct fx_done d = {0};

    file_store_put(f->r, r, fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool update(struct fx *f, const struct file_record *r)
{
    struct fx_done d = {0};

    file_store_update(f->r, r, fx_on_done, &d);
    return fx_changed(f, &d);
}

static bool drop(struct fx *f, const struct file_record *r)
{
    struct fx_done d = {0};

    file_store_delete(f->r, r, fx_on_done, &d);
    return fx_changed(f, &d);
}

struct got {
    bool is_done, is_found;
    struct file_record record;
    enum gw_err err;
};

static void on_got(void *arg, const struct file_record *found,
                   const struct gw_error *e)
{
    struct got *g = arg;

    g->is_done = true;
    g->is_found = found != NULL;
    g->err = e->err;
    if (found)
        g->record = *found;
}

static bool get(struct fx *f, struct arena *a, const char *owner,
                const char *id, struct file_record *out)
{
    struct got g = {0};

    file_store_get(f->r, a, str_of(owner), str_of(id), on_got, &g);
    fx_until(f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_OK);
    *out = g.record;
    return g.is_found;
}

static bool by_upstream(struct fx *f, struct arena *a, const char *provider,
                        const char *upstream_id, struct file_record *out)
{
    struct got g = {0};

    file_store_by_upstream(f->r, a, provider, str_of(upstream_id), on_got, &g);
    fx_until(f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_OK);
    *out = g.record;
    return g.is_found;
}

/* --- records --- */

static void a_record_comes_back_as_it_was_put(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample(ID_0), found;

    assert_true(put(f, &r));
    assert_true(get(f, a, OWNER, ID_0, &found));
    same(&r, &found);

    r.obj.id = STR("file-b-00000000000000000000000001");
    r.obj.bytes = -1;
    r.obj.expires_at = INT64_MAX / 2;
    r.obj.filename = STR("\"q\"\\ \xc3\xa4\t{}%\x01.txt");
    r.obj.status = FILE_ERROR;
    r.obj.status_details = STR("");
    r.obj.sha256 = STR("abcd");
    r.upstream_id = STR("files/a b}c{d%");
    r.content_type = STR_NULL;
    assert_true(put(f, &r));
    assert_true(get(f, a, OWNER, r.obj.id.p, &found));
    same(&r, &found);
    arena_free(a);
}

/* Found and listed under each of its providers; and nothing of it is left. */
static void a_file_of_two_providers_is_at_both(void **state)
{
    static const char *const names[] = {"local", "far"};
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample_of_two(a, ID_0), found;
    struct file_store_query q = {.owner = STR(OWNER), .limit = 10};

    assert_true(put(f, &r));
    for (int i = 0; i < 2; i++) {
        struct file_copy c = file_record_place(&r, (size_t)i);

        assert_true(by_upstream(f, a, names[i], c.upstream_id.p, &found));
        same_str(found.obj.id, r.obj.id);
        q.provider = str_of(names[i]);
        assert_int_equal(ask_page(f, a, &q).n, 1);
        q.purpose = STR("batch");
        assert_int_equal(ask_page(f, a, &q).n, 1);
        q.purpose = STR_NULL;
    }
    q.provider = STR_NULL;
    assert_int_equal(ask_page(f, a, &q).n, 1);
    assert_true(get(f, a, OWNER, ID_0, &found));
    same(&r, &found);
    assert_true(drop(f, &r));
    assert_false(drop(f, &r));
    for (int i = 0; i < 2; i++) {
        struct file_copy c = file_record_place(&r, (size_t)i);

        assert_false(by_upstream(f, a, names[i], c.upstream_id.p, &found));
        q.provider = str_of(names[i]);
        assert_int_equal(ask_page(f, a, &q).n, 0);
    }
    arena_free(a);
}

static void another_owner_does_not_find_it(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample(ID_0), found;
    struct file_store_query q = {.owner = STR("t:other"), .limit = 10};

    put(f, &r);
    assert_false(get(f, a, "t:other", ID_0, &found));
    assert_false(get(f, a, "t:tea", ID_0, &found));
    assert_false(get(f, a, "", ID_0, &found));
    assert_int_equal(ask_page(f, a, &q).n, 0);
    r.owner = STR("t:other");
    assert_false(drop(f, &r));
    assert_true(get(f, a, OWNER, ID_0, &found));
    arena_free(a);
}

/* Names out of which another owner's keys would be made if nothing stopped
 * it: each sees its own file alone. */
static void strange_owners_do_not_meet(void **state)
{
    static const char *const owners[] = {
        "t:a",   "t:a}:idx:p:x", "t:a}:f:" ID_0, "t:{a}", "t:a%7D",     "t:a}",
        "t:a b", "t:a:idx",      "t:a}:idx:",    "t:",    "t:\xc3\xa4",
    };
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample(ID_0), found;
    struct file_store_query q = {.limit = 10};
    char ids[COUNTOF(owners)][LIMIT_ID_BYTES];
    size_t i;

    for (i = 0; i < COUNTOF(owners); i++) {
        snprintf(ids[i], sizeof(ids[i]), "file-a-%026zu", i);
        r.obj.id = str_of(ids[i]);
        r.owner = str_of(owners[i]);
        r.obj.purpose = i % 2 ? STR("idx") : STR("x}:idx");
        assert_true(put(f, &r));
    }
    for (i = 0; i < COUNTOF(owners); i++) {
        assert_true(get(f, a, owners[i], ids[i], &found));
        q.owner = str_of(owners[i]);
        q.purpose = STR_NULL;
        assert_int_equal(ask_page(f, a, &q).n, 1);
        q.purpose = found.obj.purpose;
        assert_int_equal(ask_page(f, a, &q).n, 1);
    }
    arena_free(a);
}

static void an_id_is_put_once(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample(ID_0), found;

    assert_true(put(f, &r));
    r.obj.bytes = 99;
    assert_false(put(f, &r));
    assert_true(get(f, a, OWNER, ID_0, &found));
    assert_int_equal(found.obj.bytes, 12);
    arena_free(a);
}

static void an_update_replaces_but_never_brings_back(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample(ID_0), found;

    assert_false(update(f, &r));
    assert_false(get(f, a, OWNER, ID_0, &found));
    put(f, &r);
    r.obj.status = FILE_ERROR;
    r.obj.status_details = STR("bad line");
    assert_true(update(f, &r));
    assert_true(get(f, a, OWNER, ID_0, &found));
    same(&r, &found);
    assert_true(drop(f, &r));
    assert_false(update(f, &r));
    assert_false(get(f, a, OWNER, ID_0, &found));
    arena_free(a);
}

static void a_deleted_record_leaves_nothing(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample(ID_0), found;

    put(f, &r);
    assert_int_equal(fx_int(f, "DBSIZE"), 6);
    assert_true(drop(f, &r));
    assert_false(drop(f, &r));
    assert_false(get(f, a, OWNER, ID_0, &found));
    assert_int_equal(fx_int(f, "DBSIZE"), 0);
    arena_free(a);
}

static void a_broken_record_is_an_error_and_not_a_missing_one(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct got g = {0};

    fx_ok(f, "SET fm:{o:" OWNER "}:f:" ID_0 " {\"id\":");
    file_store_get(f->r, a, STR(OWNER), STR(ID_0), on_got, &g);
    fx_until(f, fx_is_set, &g.is_done);
    assert_int_equal(g.err, GW_INTERNAL);
    assert_false(g.is_found);
    arena_free(a);
}

/* --- the way back --- */

static void a_provider_id_leads_to_the_file(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample(ID_0), found;

    r.owner = STR("t:a team with blanks");
    put(f, &r);
    assert_true(by_upstream(f, a, "local", "up-1", &found));
    same_str(found.owner, r.owner);
    same_str(found.obj.id, r.obj.id);
    assert_false(by_upstream(f, a, "local", "up-2", &found));
    assert_false(by_upstream(f, a, "other", "up-1", &found));
    drop(f, &r);
    assert_false(by_upstream(f, a, "local", "up-1", &found));
    arena_free(a);
}

static void a_way_that_leads_elsewhere_by_now_stays(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample(ID_0), other, found;

    other = r;
    other.obj.id = STR("file-a-00000000000000000000000009");
    put(f, &r);
    put(f, &other); /* the same file of the provider, adopted again */
    assert_true(drop(f, &r));
    assert_true(by_upstream(f, a, "local", "up-1", &found));
    same_str(found.obj.id, other.obj.id);
    arena_free(a);
}

/* --- scripts, order, failures --- */

static void scripts_that_redis_forgot_are_sent_again(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample(ID_0), found;
    struct file_store_query q = {.owner = STR(OWNER), .limit = 10};

    fx_ok(f, "SCRIPT FLUSH");
    assert_true(put(f, &r));
    fx_ok(f, "SCRIPT FLUSH");
    assert_true(update(f, &r));
    fx_ok(f, "SCRIPT FLUSH");
    assert_int_equal(ask_page(f, a, &q).n, 1);
    fx_ok(f, "SCRIPT FLUSH");
    assert_true(drop(f, &r));
    assert_false(get(f, a, OWNER, ID_0, &found));
    assert_int_equal(fx_int(f, "DBSIZE"), 0);
    arena_free(a);
}

/* A second connection that is told what Redis carries out, in order. */
static int watch_redis(struct fx *f)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char ok[5];

    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", f->socket);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(write(fd, "MONITOR\r\n", 9), 9);
    assert_int_equal(recv(fd, ok, 5, MSG_WAITALL), 5);
    return fd;
}

/* What it was told up to now; one command before, then the other. */
static void expect_order(struct fx *f, int fd, const char *first,
                         const char *second)
{
    char text[16384] = "";
    size_t n = 0;
    ssize_t got;
    const char *at;

    fx_ok(f, "ECHO end-of-watch");
    while (!strstr(text, "end-of-watch")) {
        got = recv(fd, text + n, sizeof(text) - 1 - n, 0);
        assert_true(got > 0);
        n += (size_t)got;
        text[n] = '\0';
    }
    at = strstr(text, first);
    assert_non_null(at);
    assert_non_null(strstr(at, second));
    assert_true(strstr(text, second) > at);
}

static void load_script(struct fx *f, const char *text)
{
    struct str argv[] = {STR("SCRIPT"), STR("LOAD"), str_of(text)};
    struct fx_answer a = {0};

    redis_command(f->r, fx_on_answer, &a, 3, argv);
    fx_until(f, fx_is_set, &a.is_done);
    assert_int_equal(a.err, GW_OK);
}

/* Whichever of the scripts Redis knows. */
static void the_way_back_is_there_as_long_as_the_record(void **state)
{
    struct fx *f = *state;
    struct file_record r = sample(ID_0);
    int fd = watch_redis(f), i;

    for (i = 0; i < 4; i++) {
        fx_ok(f, "SCRIPT FLUSH");
        if (i & 1)
            load_script(f, script_file_unlink);
        if (i & 2)
            load_script(f, script_file_put);
        put(f, &r);
        expect_order(f, fd, "] \"SET\" \"fm:{u:local}:up-1\"",
                     "lua] \"SET\" \"fm:{o:" OWNER "}:f:");
        drop(f, &r);
        expect_order(f, fd, "lua] \"DEL\" \"fm:{o:" OWNER "}:f:",
                     "lua] \"DEL\" \"fm:{u:local}:up-1\"");
    }
    close(fd);
}

static void calls_fail_once_each_without_redis(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample(ID_0);
    struct file_store_query q = {.owner = STR(OWNER), .limit = 10};
    struct fx_done d[3] = {{0}};
    struct got g[2] = {{0}};
    struct page p = {0};
    int i, round;

    for (round = 0; round < 2; round++) {
        memset(d, 0, sizeof(d));
        memset(g, 0, sizeof(g));
        p = (struct page){0};
        /* First while they are under way, then without a connection. */
        if (f->pid)
            kill(f->pid, SIGSTOP);
        file_store_put(f->r, &r, fx_on_done, &d[0]);
        file_store_update(f->r, &r, fx_on_done, &d[1]);
        file_store_delete(f->r, &r, fx_on_done, &d[2]);
        file_store_get(f->r, a, STR(OWNER), STR(ID_0), on_got, &g[0]);
        file_store_by_upstream(f->r, a, "local", STR("up-1"), on_got, &g[1]);
        file_store_page(f->r, a, &q, on_page, &p);
        assert_false(d[0].is_done || g[0].is_done || p.is_done);
        fx_server_kill(f);
        fx_until(f, fx_is_set, &p.is_done);
        assert_int_equal(p.err, GW_STORE_UNAVAILABLE);
        for (i = 0; i < 3; i++) {
            assert_int_equal(d[i].err, GW_STORE_UNAVAILABLE);
            assert_int_equal(d[i].times, 1);
            assert_false(d[i].changed);
        }
        for (i = 0; i < 2; i++)
            assert_int_equal(g[i].err, GW_STORE_UNAVAILABLE);
    }
    arena_free(a);
}

/* The two commands of a put do not fare alike: the whole has failed. */
static void half_a_put_is_a_failure(void **state)
{
    struct fx *f = *state;
    struct file_record r = sample(ID_0);
    struct fx_done d = {0};

    fx_ok(f, "ACL SETUSER default resetkeys ~fm:{o:*");
    file_store_put(f->r, &r, fx_on_done, &d);
    fx_until(f, fx_is_set, &d.is_done);
    assert_int_equal(d.err, GW_INTERNAL);
    assert_false(d.changed);
    fx_ok(f, "ACL SETUSER default ~*");
}

static void
a_cancelled_call_is_carried_out_and_touches_nothing_of_ours(void **state)
{
    struct fx *f = *state;
    struct arena *a = arena_new();
    struct file_record r = sample(ID_0), found;
    struct file_store_query q = {.owner = STR(OWNER), .limit = 10};
    struct fx_done d = {0};
    struct got g = {0};
    struct page p = {0};

    redis_cancel(file_store_put(f->r, &r, fx_on_done, &d));
    redis_cancel(file_store_get(f->r, a, STR(OWNER), STR(ID_0), on_got, &g));
    redis_cancel(file_store_page(f->r, a, &q, on_page, &p));
    arena_free(a);
    fx_ok(f, "PING");
    assert_false(d.is_done || g.is_done || p.is_done);
    a = arena_new();
    assert_true(get(f, a, OWNER, ID_0, &found));
    redis_cancel(file_store_delete(f->r, &r, fx_on_done, &d));
    fx_ok(f, "PING");
    assert_false(d.is_done);
    assert_int_equal(fx_int(f, "DBSIZE"), 0);
    arena_free(a);
}

static void all_of_it_works_in_a_cluster(void **state)
{
    struct fx *f = *state;

    fx_become_cluster(f);
    a_record_comes_back_as_it_was_put(state);
    fx_ok(f, "FLUSHALL");
    strange_owners_do_not_meet(state);
    fx_ok(f, "FLUSHALL");
    an_update_replaces_but_never_brings_back(state);
    a_provider_id_leads_to_the_file(state);
    a_deleted_record_leaves_nothing(state);
}

#define WITH_REDIS(test)                                                       \
    cmocka_unit_test_setup_teardown(test, fx_set_up, fx_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_REDIS(a_record_comes_back_as_it_was_put),
        WITH_REDIS(a_file_of_two_providers_is_at_both),
        WITH_REDIS(another_owner_does_not_find_it),
        WITH_REDIS(strange_owners_do_not_meet),
        WITH_REDIS(an_id_is_put_once),
        WITH_REDIS(an_update_replaces_but_never_brings_back),
        WITH_REDIS(a_deleted_record_leaves_nothing),
        WITH_REDIS(a_broken_record_is_an_error_and_not_a_missing_one),
        WITH_REDIS(a_provider_id_leads_to_the_file),
        WITH_REDIS(a_way_that_leads_elsewhere_by_now_stays),
        WITH_REDIS(scripts_that_redis_forgot_are_sent_again),
        WITH_REDIS(the_way_back_is_there_as_long_as_the_record),
        WITH_REDIS(calls_fail_once_each_without_redis),
        WITH_REDIS(half_a_put_is_a_failure),
        WITH_REDIS(a_cancelled_call_is_carried_out_and_touches_nothing_of_ours),
        WITH_REDIS(all_of_it_works_in_a_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
