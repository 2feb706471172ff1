/* test_file_io.c -- files of a directory: put whole or not at all, read,
 * listed, cleaned up after. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/net/file_io.h"
#include "gateway/net/file_work.h"
#include "tests/unit/pipe_ends.h"

#define PATIENCE_MS 60000
#define CALLS_MAX 64

struct fixture;

struct op {
    struct fixture *f;
    struct file_req req;
    struct file_call *k; /* NULL: over */
    struct feed feed;
    struct drain drain;
    int nheads, ndone;
    int64_t head_size;
    struct file_res res;
    struct gw_error error;
};

struct fixture {
    struct loop *l;
    struct file_io *io;
    struct arena *a;
    struct loop_timer guard;
    char dir[64], path[256];
    struct op ops[CALLS_MAX];
    int nops, nrunning;
    void (*on_head)(struct op *o);
};

static void on_guard(void *arg)
{
    (void)arg;
    BUG("the test hangs");
}

static struct fixture *open_fixture(void)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->l = loop_new();
    f->io = file_io_open(2);
    f->a = arena_new();
    snprintf(f->dir, sizeof(f->dir), "/tmp/filemux-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    loop_timer_init(f->l, &f->guard, on_guard, f);
    return f;
}

static const char *path_of(struct fixture *f, const char *name)
{
    snprintf(f->path, sizeof(f->path), "%s/%s", f->dir, name);
    return f->path;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static void run_a_turn(struct fixture *f)
{
    loop_post(f->l, stop, f->l);
    loop_run(f->l);
}

static void close_op(struct op *o)
{
    if (o->feed.p)
        feed_close(&o->feed);
    if (o->drain.p)
        drain_close(&o->drain);
}

static void remove_tree(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    char path[512];

    while (d && (e = readdir(d))) {
        snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
            unlink(path) < 0)
            remove_tree(path);
    }
    if (d)
        closedir(d);
    rmdir(dir);
}

static void close_fixture(struct fixture *f)
{
    run_a_turn(f);
    while (f->nops)
        close_op(&f->ops[--f->nops]);
    loop_timer_release(&f->guard);
    file_io_close(f->io);
    loop_free(f->l);
    arena_free(f->a);
    remove_tree(f->dir);
    free(f);
}

static void on_head(void *arg, const struct file_res *res)
{
    struct op *o = arg;

    o->nheads++;
    o->head_size = res->size;
    if (o->f->on_head)
        o->f->on_head(o);
}

static void on_done(void *arg, const struct file_res *res,
                    const struct gw_error *e)
{
    struct op *o = arg;

    o->ndone++;
    o->res = *res;
    o->error = *e;
    o->k = NULL;
    assert_int_equal(res->err, e->err);
    if (!--o->f->nrunning)
        loop_stop(o->f->l);
}

static const struct file_call_ops call_ops = {
    .head = on_head,
    .done = on_done,
};

static struct op *prepare(struct fixture *f, enum file_verb verb,
                          const char *name)
{
    struct op *o = &f->ops[f->nops++];

    ASSERT(f->nops <= CALLS_MAX);
    *o = (struct op){.f = f};
    o->req = (struct file_req){
        .verb = verb, .dir = f->dir, .name = name, .len = -1, .list_max = 100};
    return o;
}

static void start(struct op *o)
{
    o->f->nrunning++;
    o->k = file_io_start(o->f->io, o->f->l, o->f->a, &o->req,
                         o->req.verb == FILE_PUT ? o->feed.p : o->drain.p,
                         &call_ops, o);
}

static void run(struct fixture *f)
{
    loop_timer_set(&f->guard, PATIENCE_MS);
    if (f->nrunning)
        loop_run(f->l);
    loop_timer_cancel(&f->guard);
}

static struct op *prepare_put(struct fixture *f, const char *name, uint64_t n)
{
    struct op *o = prepare(f, FILE_PUT, name);

    o->feed.total = n;
    feed_open(&o->feed, f->l);
    return o;
}

static struct op *prepare_read(struct fixture *f, const char *name)
{
    struct op *o = prepare(f, FILE_READ, name);

    drain_open(&o->drain, f->l);
    return o;
}

/* One operation, from start to end. */
static struct op *perform(struct fixture *f, enum file_verb verb,
                          const char *name)
{
    struct op *o = prepare(f, verb, name);

    start(o);
    run(f);
    return o;
}

static void put_whole(struct fixture *f, const char *name, uint64_t n)
{
    struct op *o = prepare_put(f, name, n);

    start(o);
    assert_int_equal(o->ndone, 0); /* never from inside */
    run(f);
    assert_int_equal(o->error.err, GW_OK);
    assert_int_equal(o->res.size, n);
    close_op(o);
}

static void assert_is_pattern(const char *path, uint64_t n)
{
    int fd = open(path, O_RDONLY);
    uint64_t h = HASH_START, size = 0;
    char buf[65536];
    ssize_t part;

    assert_true(fd >= 0);
    while ((part = read(fd, buf, sizeof(buf))) > 0) {
        h = hash_add(h, buf, (size_t)part);
        size += (uint64_t)part;
    }
    close(fd);
    assert_int_equal(size, n);
    assert_true(h == pattern_hash(n));
}

static int count_entries(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int n = 0;

    assert_non_null(d);
    while ((e = readdir(d)))
        n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
    closedir(d);
    return n;
}

/* Clean-up is not waited for by done(): poll. */
static void wait_for_entries(struct fixture *f, int n)
{
    int64_t deadline = clock_mono_ms() + PATIENCE_MS;

    while (count_entries(f->dir) != n) {
        assert_true(clock_mono_ms() < deadline);
        run_a_turn(f);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* --- FILE_PUT --- */

static void a_file_is_put_whole(void **state)
{
    static const uint64_t sizes[] = {
        0,
        1,
        LIMIT_FILE_CHUNK - 1,
        LIMIT_FILE_CHUNK,
        LIMIT_FILE_CHUNK + 1,
        10 * LIMIT_FILE_CHUNK + 17,
    };
    struct fixture *f = open_fixture();
    struct stat st;
    size_t i;

    (void)state;
    for (i = 0; i < COUNTOF(sizes); i++) {
        put_whole(f, "file.jsonl", sizes[i]);
        assert_is_pattern(path_of(f, "file.jsonl"), sizes[i]);
        assert_int_equal(stat(f->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    assert_int_equal(count_entries(f->dir), 1);
    close_fixture(f);
}

static void the_directory_is_made(void **state)
{
    struct fixture *f = open_fixture();
    struct op *o = prepare_put(f, "x", 10);
    struct stat st;
    char dir[128];

    (void)state;
    snprintf(dir, sizeof(dir), "%s/a/b/c", f->dir);
    o->req.dir = dir;
    start(o);
    run(f);
    assert_int_equal(o->error.err, GW_OK);
    assert_is_pattern(path_of(f, "a/b/c/x"), 10);
    assert_int_equal(stat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    close_fixture(f);
}

static void a_name_appears_only_with_the_whole_file(void **state)
{
    struct fixture *f = open_fixture();
    struct op *o = prepare_put(f, "later", 3 * LIMIT_FILE_CHUNK);

    (void)state;
    o->feed.never_ends = true;
    start(o);
    while (o->feed.at < o->feed.total)
        run_a_turn(f);
    wait_for_entries(f, 1);
    assert_int_equal(access(path_of(f, "later"), F_OK), -1);
    o->feed.never_ends = false;
    pipe_end(o->feed.p);
    run(f);
    assert_int_equal(o->error.err, GW_OK);
    assert_is_pattern(path_of(f, "later"), 3 * LIMIT_FILE_CHUNK);
    assert_int_equal(count_entries(f->dir), 1);
    close_fixture(f);
}

static void a_failing_source_leaves_the_old_file(void **state)
{
    struct fixture *f = open_fixture();
    struct op *o;

    (void)state;
    put_whole(f, "x", 100);
    o = prepare_put(f, "x", 5 * LIMIT_FILE_CHUNK + 5);
    o->feed.error.err = GW_INVALID_MULTIPART;
    start(o);
    run(f);
    assert_int_equal(o->error.err, GW_INVALID_MULTIPART);
    wait_for_entries(f, 1);
    assert_is_pattern(path_of(f, "x"), 100);
    close_fixture(f);
}

static void a_full_disk_is_told(void **state)
{
    struct file_req req = {.verb = FILE_PUT, .dir = "/nowhere", .name = "x"};
    struct file_work w;

    (void)state;
    file_work_init(&w, &req);
    w.fd = open("/dev/full", O_WRONLY);
    assert_true(w.fd >= 0);
    w.n = 10;
    file_work_step(&w);
    assert_int_equal(w.error.err, GW_DISK_FULL);
    file_work_release(&w);
}

static void a_directory_that_cannot_be_made_is_internal(void **state)
{
    struct fixture *f = open_fixture();
    struct op *o = prepare_put(f, "x", 10);
    char dir[128];

    (void)state;
    write_file(path_of(f, "file"), "");
    snprintf(dir, sizeof(dir), "%s/file/dir", f->dir);
    o->req.dir = dir;
    start(o);
    run(f);
    assert_int_equal(o->error.err, GW_INTERNAL);
    close_fixture(f);
}

static void many_files_are_put_at_once(void **state)
{
    struct fixture *f = open_fixture();
    char names[50][16];
    int i;

    (void)state;
    for (i = 0; i < 50; i++) {
        snprintf(names[i], sizeof(names[i]), "f%d", i);
        start(prepare_put(f, names[i], (uint64_t)i * 20000));
    }
    run(f);
    for (i = 0; i < 50; i++) {
        assert_int_equal(f->ops[i].error.err, GW_OK);
        assert_is_pattern(path_of(f, names[i]), (uint64_t)i * 20000);
    }
    assert_int_equal(count_entries(f->dir), 50);
    close_fixture(f);
}

/* --- names --- */

static void only_good_names_are_files(void **state)
{
    static const char *const names[] = {
        "", ".", "..", ".hidden", "a/b", "../x", "a b", "\xc3\xa4", "a\n"};
    struct fixture *f = open_fixture();
    char longest[LIMIT_FILE_NAME + 2];
    struct op *o;
    size_t i;

    (void)state;
    write_file(path_of(f, ".hidden"), "x");
    for (i = 0; i < COUNTOF(names); i++) {
        assert_int_equal(perform(f, FILE_STAT, names[i])->error.err,
                         GW_FILE_NOT_FOUND);
        assert_int_equal(perform(f, FILE_REMOVE, names[i])->error.err,
                         GW_FILE_NOT_FOUND);
        o = prepare_put(f, names[i], 10);
        start(o);
        run(f);
        assert_int_equal(o->error.err, GW_INTERNAL);
        close_op(o);
    }
    memset(longest, 'a', sizeof(longest) - 1);
    longest[LIMIT_FILE_NAME + 1] = '\0';
    assert_int_equal(perform(f, FILE_STAT, longest)->error.err,
                     GW_FILE_NOT_FOUND);
    put_whole(f, longest + 1, 10); /* the longest that is allowed */
    assert_int_equal(count_entries(f->dir), 2);
    close_fixture(f);
}

static void links_and_directories_are_no_files(void **state)
{
    static const char *const names[] = {"link", "dir", "fifo", "absent"};
    struct fixture *f = open_fixture();
    struct op *o;
    size_t i;

    (void)state;
    assert_int_equal(symlink("/etc/passwd", path_of(f, "link")), 0);
    assert_int_equal(mkdir(path_of(f, "dir"), 0700), 0);
    assert_int_equal(mkfifo(path_of(f, "fifo"), 0600), 0);
    for (i = 0; i < COUNTOF(names); i++) {
        o = prepare_read(f, names[i]);
        start(o);
        run(f);
        assert_int_equal(o->error.err, GW_FILE_NOT_FOUND);
        assert_int_equal(o->nheads, 0);
        assert_int_equal(pipe_outcome(o->drain.p), PIPE_OPEN);
        close_op(o);
        assert_int_equal(perform(f, FILE_STAT, names[i])->error.err,
                         GW_FILE_NOT_FOUND);
        assert_int_equal(perform(f, FILE_REMOVE, names[i])->error.err,
                         GW_FILE_NOT_FOUND);
    }
    assert_int_equal(perform(f, FILE_LIST, NULL)->res.nlist, 0);
    /* A put replaces a link, it does not follow it. */
    put_whole(f, "link", 10);
    assert_is_pattern(path_of(f, "link"), 10);
    close_fixture(f);
}

/* --- FILE_READ --- */

static void read_range(struct fixture *f, int64_t offset, int64_t len,
                       uint64_t from, uint64_t n)
{
    struct op *o = prepare_read(f, "x");
    uint64_t i, h = HASH_START;

    o->req.offset = offset;
    o->req.len = len;
    start(o);
    run(f);
    assert_int_equal(o->error.err, GW_OK);
    assert_int_equal(o->nheads, 1);
    assert_int_equal(o->head_size, 3000000);
    assert_int_equal(pipe_outcome(o->drain.p), PIPE_END);
    assert_int_equal(o->drain.n, n);
    for (i = from; i < from + n; i++) {
        unsigned char c = pattern_byte(i);

        h = hash_add(h, &c, 1);
    }
    assert_true(o->drain.hash == h);
    close_op(o);
}

static void any_range_is_read(void **state)
{
    struct fixture *f = open_fixture();

    (void)state;
    put_whole(f, "x", 3000000);
    read_range(f, 0, -1, 0, 3000000);
    read_range(f, 0, 1, 0, 1);
    read_range(f, 262143, 2, 262143, 2);
    read_range(f, 1000000, -1, 1000000, 2000000);
    read_range(f, 2999999, 100, 2999999, 1);
    read_range(f, 3000000, -1, 0, 0);
    read_range(f, 9000000, 10, 0, 0);
    read_range(f, 100, 0, 0, 0);
    close_fixture(f);
}

static void a_slow_reader_bounds_what_is_held(void **state)
{
    struct fixture *f = open_fixture();
    struct op *o;

    (void)state;
    put_whole(f, "x", 8 * MIB);
    o = prepare_read(f, "x");
    o->drain.per_tick = 60000;
    o->drain.tick_ms = 1;
    start(o);
    run(f);
    assert_int_equal(o->error.err, GW_OK);
    while (!o->drain.has_ended)
        run_a_turn(f);
    assert_true(o->drain.hash == pattern_hash(8 * MIB));
    assert_true(o->drain.max_level > LIMIT_PIPE_LOW);
    assert_true(o->drain.max_level < LIMIT_PIPE_HIGH + LIMIT_FILE_CHUNK);
    close_fixture(f);
}

static void give_up(void *arg)
{
    struct op *o = arg;

    if (o->drain.n > MIB)
        pipe_cancel(o->drain.p);
}

static void a_reader_that_gives_up_ends_the_call(void **state)
{
    struct fixture *f = open_fixture();
    struct op *o;

    (void)state;
    put_whole(f, "x", 8 * MIB);
    o = prepare_read(f, "x");
    o->drain.on_bytes = give_up;
    o->drain.arg = o;
    start(o);
    run(f);
    assert_int_equal(o->error.err, GW_CLIENT_GONE);
    close_fixture(f);
}

static void shrink(struct op *o)
{
    assert_int_equal(truncate(path_of(o->f, "x"), 100), 0);
}

static void a_file_that_shrinks_fails_its_reader(void **state)
{
    struct fixture *f = open_fixture();
    struct op *o;

    (void)state;
    put_whole(f, "x", 8 * MIB);
    o = prepare_read(f, "x");
    f->on_head = shrink;
    start(o);
    run(f);
    assert_int_equal(o->error.err, GW_INTERNAL);
    assert_int_equal(pipe_outcome(o->drain.p), PIPE_ERROR);
    close_fixture(f);
}

/* --- the other verbs --- */

static void a_file_is_looked_at_and_removed(void **state)
{
    struct fixture *f = open_fixture();
    struct op *o;

    (void)state;
    put_whole(f, "x", 12345);
    o = perform(f, FILE_STAT, "x");
    assert_int_equal(o->error.err, GW_OK);
    assert_int_equal(o->res.size, 12345);
    assert_in_range(o->res.mtime_s, clock_wall_s() - 100, clock_wall_s());
    assert_int_equal(perform(f, FILE_REMOVE, "x")->error.err, GW_OK);
    assert_int_equal(perform(f, FILE_REMOVE, "x")->error.err,
                     GW_FILE_NOT_FOUND);
    assert_int_equal(perform(f, FILE_STAT, "x")->error.err, GW_FILE_NOT_FOUND);
    assert_int_equal(count_entries(f->dir), 0);
    close_fixture(f);
}

static void assert_listed(const struct op *o, const char *expected)
{
    char got[256] = "";
    size_t i, n = 0;

    assert_int_equal(o->error.err, GW_OK);
    for (i = 0; i < o->res.nlist; i++)
        n += (size_t)snprintf(got + n, sizeof(got) - n, "%.*s ",
                              STR_ARG(o->res.list[i].name));
    assert_string_equal(got, expected);
}

static void names_are_listed_in_order_after_a_name(void **state)
{
    struct fixture *f = open_fixture();
    struct op *o;

    (void)state;
    assert_listed(perform(f, FILE_LIST, NULL), "");
    put_whole(f, "b", 2);
    put_whole(f, "a", 1);
    put_whole(f, "B", 3);
    put_whole(f, "c-1.x_y", 4);
    write_file(path_of(f, ".tmp-a-x"), "");
    assert_listed(perform(f, FILE_LIST, NULL), "B a b c-1.x_y ");
    assert_listed(perform(f, FILE_LIST, ""), "B a b c-1.x_y ");
    assert_listed(perform(f, FILE_LIST, "a"), "b c-1.x_y ");
    assert_listed(perform(f, FILE_LIST, "aa"), "b c-1.x_y ");
    assert_listed(perform(f, FILE_LIST, "z"), "");
    o = prepare(f, FILE_LIST, "A");
    o->req.list_max = 2;
    start(o);
    run(f);
    assert_listed(o, "B a ");
    assert_int_equal(o->res.list[0].size, 3);
    assert_int_equal(o->res.list[1].size, 1);
    assert_in_range(o->res.list[0].mtime_s, clock_wall_s() - 100,
                    clock_wall_s());
    o = prepare(f, FILE_LIST, NULL);
    o->req.dir = "/tmp/filemux-test-absent";
    start(o);
    run(f);
    assert_listed(o, "");
    close_fixture(f);
}

static void a_long_directory_is_listed_in_pages(void **state)
{
    struct fixture *f = open_fixture();
    char name[16], last[16] = "";
    int i, n = 0;
    struct op *o;

    (void)state;
    for (i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "f%03d", i * 7 % 300);
        write_file(path_of(f, name), "");
    }
    do {
        o = prepare(f, FILE_LIST, last);
        o->req.list_max = 16;
        start(o);
        run(f);
        for (i = 0; i < (int)o->res.nlist; i++, n++) {
            snprintf(last, sizeof(last), "f%03d", n);
            assert_true(str_eq_c(o->res.list[i].name, last));
        }
    } while (o->res.nlist == 16);
    assert_int_equal(n, 300);
    close_fixture(f);
}

/* --- clean-up and aborts --- */

static void
what_a_crash_left_is_removed_but_not_what_is_being_written(void **state)
{
    struct fixture *f = open_fixture();
    struct op *o = prepare_put(f, "busy", LIMIT_FILE_CHUNK);

    (void)state;
    o->feed.never_ends = true;
    start(o);
    while (o->feed.at < o->feed.total)
        run_a_turn(f);
    wait_for_entries(f, 1);
    /* Its lock is taken right after it is made: let the write be over too. */
    while (pipe_total(o->feed.p) < o->feed.total)
        run_a_turn(f);
    write_file(path_of(f, ".tmp-old-abc"), "x");
    write_file(path_of(f, "good"), "x");
    file_io_clean(f->dir);
    assert_int_equal(access(path_of(f, ".tmp-old-abc"), F_OK), -1);
    assert_int_equal(access(path_of(f, "good"), F_OK), 0);
    o->feed.never_ends = false;
    pipe_end(o->feed.p);
    run(f);
    assert_int_equal(o->error.err, GW_OK);
    assert_is_pattern(path_of(f, "busy"), LIMIT_FILE_CHUNK);
    file_io_clean("/tmp/filemux-test-absent");
    close_fixture(f);
}

static void abort_after(struct fixture *f, struct op *o, int turns)
{
    int i;

    start(o);
    while (turns-- > 0 && o->k)
        run_a_turn(f);
    if (o->k) {
        file_call_abort(o->k);
        f->nrunning--;
        close_op(o);
        memset(&o->req, 0xff, sizeof(o->req));
        for (i = 0; i < 5; i++)
            run_a_turn(f);
        assert_int_equal(o->ndone, 0);
    } else {
        close_op(o);
    }
    f->nops--;
}

static void a_call_may_be_aborted_in_any_turn(void **state)
{
    struct fixture *f = open_fixture();
    int turns;

    (void)state;
    put_whole(f, "x", 8 * MIB);
    for (turns = 0; turns < 60; turns++) {
        abort_after(f, prepare_put(f, "y", 2 * MIB), turns);
        abort_after(f, prepare_read(f, "x"), turns);
        abort_after(f, prepare(f, FILE_LIST, NULL), turns % 4);
    }
    /* "y" may have come to be; nothing else remains. */
    wait_for_entries(f, access(path_of(f, "y"), F_OK) == 0 ? 2 : 1);
    close_fixture(f);
}

static void abort_there(void *arg)
{
    struct op *o = arg;

    if (!o->k)
        return;
    file_call_abort(o->k);
    o->k = NULL;
    o->f->nrunning--;
    loop_stop(o->f->l);
}

static void abort_op(struct op *o)
{
    abort_there(o);
}

static void a_call_may_be_aborted_from_its_callbacks(void **state)
{
    struct fixture *f = open_fixture();
    struct op *o;

    (void)state;
    put_whole(f, "x", MIB);
    o = prepare_read(f, "x"); /* by its reader */
    o->drain.on_bytes = abort_there;
    o->drain.arg = o;
    start(o);
    run(f);
    run_a_turn(f);
    assert_int_equal(o->ndone, 0);

    o = prepare_read(f, "x"); /* at the end of the sink */
    o->drain.on_end = abort_there;
    o->drain.arg = o;
    start(o);
    run(f);
    run_a_turn(f);
    assert_int_equal(o->ndone, 0);
    assert_int_equal(o->drain.n, MIB);

    o = prepare_read(f, "x"); /* in head() */
    f->on_head = abort_op;
    start(o);
    run(f);
    run_a_turn(f);
    assert_int_equal(o->ndone, 0);
    assert_int_equal(o->drain.n, 0);
    close_fixture(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_put_whole),
        cmocka_unit_test(the_directory_is_made),
        cmocka_unit_test(a_name_appears_only_with_the_whole_file),
        cmocka_unit_test(a_failing_source_leaves_the_old_file),
        cmocka_unit_test(a_full_disk_is_told),
        cmocka_unit_test(a_directory_that_cannot_be_made_is_internal),
        cmocka_unit_test(many_files_are_put_at_once),
        cmocka_unit_test(only_good_names_are_files),
        cmocka_unit_test(links_and_directories_are_no_files),
        cmocka_unit_test(any_range_is_read),
        cmocka_unit_test(a_slow_reader_bounds_what_is_held),
        cmocka_unit_test(a_reader_that_gives_up_ends_the_call),
        cmocka_unit_test(a_file_that_shrinks_fails_its_reader),
        cmocka_unit_test(a_file_is_looked_at_and_removed),
        cmocka_unit_test(names_are_listed_in_order_after_a_name),
        cmocka_unit_test(a_long_directory_is_listed_in_pages),
        cmocka_unit_test(
            what_a_crash_left_is_removed_but_not_what_is_being_written),
        cmocka_unit_test(a_call_may_be_aborted_in_any_turn),
        cmocka_unit_test(a_call_may_be_aborted_from_its_callbacks),
    };

    log_set_fd(open("/dev/null", O_WRONLY));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
