#include "gateway/codec/id_rewrite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/base/bug.h"
#include "tests/unit/id_naive.h"

#define OLD "file-0ld"
#define NEW "file-n\"w and longer"
#define NEW_QUOTED "\"file-n\\\"w and longer\""
/* Stands for the id in a text that is made. */
#define MARK '\x01'

struct run {
    struct arena *arena;
    struct id_found found;
    struct gw_error e;
    struct buf out;
};

static void run_open(struct run *r)
{
    *r = (struct run){.arena = arena_new()};
    buf_init(&r->out, 64 * MIB);
}

static void run_close(struct run *r)
{
    arena_free(r->arena);
    buf_release(&r->out);
}

/* The text is a copy, exactly so large, that lives as long as the arena. */
static enum gw_err find(struct run *r, const struct id_places *p,
                        struct str text)
{
    char *copy = xmalloc(text.n + !text.n);

    memcpy(copy, text.p, text.n);
    arena_on_free(r->arena, free, copy);
    err_clear(&r->e);
    return id_find(r->arena, p, str_make(copy, text.n), &r->found, &r->e);
}

static const struct id_places *places(enum id_side side, const char *method,
                                      const char *path)
{
    const struct id_places *p = id_places_find(side, method, path);

    assert_non_null(p);
    return p;
}

static const struct id_places *responses(void)
{
    return places(ID_IN_REQUEST, "POST", "responses");
}

/* --- a text for each place of the table --- */

enum types { TYPE_FIRST, TYPE_LAST, WRONG_TYPE_TOO, WRONG_TYPE_AFTER, NO_TYPE };

struct style {
    enum types types;
    bool is_escaped;       /* names and types */
    int wrong_guard;       /* this one's type is another; -1: all are right */
    int guards;            /* counted */
    bool had_message;      /* one without type was possible */
    char path[NAIVE_PATH]; /* of the place, for messages */
};

static void add_text(struct buf *b, const struct style *s, struct str text)
{
    buf_add_byte(b, '"');
    for (size_t i = 0; i < text.n; i++)
        if (s->is_escaped && i == text.n / 2)
            buf_printf(b, "\\u%04X", (unsigned char)text.p[i]);
        else
            buf_add_byte(b, text.p[i]);
    buf_add_byte(b, '"');
}

static void add_type(struct buf *b, const struct style *s, struct str type)
{
    buf_add_c(b, s->is_escaped ? "\"t\\u0079pe\" : " : "\"type\": ");
    add_text(b, s, type);
    buf_add_c(b, ", ");
}

static void add_value(struct buf *b, struct style *s, const char *at);

/* An object with the member that the path goes on with; its type, if asked. */
static void add_object(struct buf *b, struct style *s, struct str type,
                       const char *at)
{
    bool is_wrong = type.p && s->guards++ == s->wrong_guard;
    bool is_last = s->types == TYPE_LAST || s->types == WRONG_TYPE_AFTER;
    struct str name = str_make(at + 1, strcspn(at + 1, ".[{"));
    bool is_id = str_eq(name, STR("id"));

    type = is_wrong ? STR("of_no_interest") : type;
    /* What looks like an id, where none is. */
    buf_add_c(b, "{\"text\" :\"" OLD "\",\"metadata\": {\"file_id\":\"" OLD
                 "\",\"training_file\":[\"" OLD "\"]},");
    if (s->types == NO_TYPE && str_eq(type, STR("message"))) {
        s->had_message = true;
        type = STR_NULL;
        buf_add_c(b, "\"role\":\"user\",");
    }
    if (type.p && s->types == WRONG_TYPE_TOO && !is_wrong)
        add_type(b, s, STR("of_no_interest"));
    if (type.p && !is_last)
        add_type(b, s, type);
    if (str_eq(name, STR("*")))
        name = STR("any name");
    snprintf(s->path + strlen(s->path), NAIVE_PATH - strlen(s->path), "%s%.*s",
             s->path[0] ? "." : "", STR_ARG(name));
    add_text(b, s, name);
    buf_add_c(b, "\t:");
    add_value(b, s, at + 1 + strcspn(at + 1, ".[{"));
    buf_add_c(b, ",");
    if (type.p && is_last)
        add_type(b, s, type);
    if (type.p && s->types == WRONG_TYPE_AFTER && !is_wrong)
        add_type(b, s, STR("of_no_interest"));
    buf_printf(b,
               "\"arguments\":\"{\\\"file_id\\\":\\\"%s\\\"}\",%s"
               "\"n\":[null,-1.5e3,true] }",
               OLD, is_id ? "" : "\"name\":\"" OLD "\",");
}

static void add_value(struct buf *b, struct style *s, const char *at)
{
    size_t n = strcspn(at, "}");

    if (!*at) {
        buf_add_byte(b, MARK);
    } else if (*at == '[') {
        snprintf(s->path + strlen(s->path), NAIVE_PATH - strlen(s->path),
                 "[1]");
        buf_add_c(b, "[ {\"type\":\"text\",\"text\":\"" OLD "\"} , ");
        add_value(b, s, at + 2);
        buf_add_c(b, "]");
    } else if (*at == '{') {
        add_object(b, s, str_make(at + 6, n - 6), at + n + 1);
    } else {
        add_object(b, s, STR_NULL, at);
    }
}

static void replace_mark(struct buf *to, struct str text, const char *with)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == MARK)
            buf_add_c(to, with);
        else
            buf_add_byte(to, text.p[i]);
}

static bool is_told_of(enum id_side side, enum id_kind kind)
{
    return side == ID_IN_REQUEST || kind == ID_FILE || kind == ID_JOB ||
           kind == ID_SAID;
}

/* The types that a text has on its way to a place are told of, too. */
static void leave_out_sources(struct id_found *found)
{
    size_t n = 0;

    for (size_t i = 0; i < found->n; i++)
        if (found->v[i].kind != ID_SOURCE)
            found->v[n++] = found->v[i];
    found->n = n;
}

static void check_found(struct run *r, const struct id_places *p,
                        struct str made, enum id_kind kind,
                        const struct style *s)
{
    const char *old = s->is_escaped ? "\"file\\u002D0ld\"" : "\"" OLD "\"";
    struct buf text, wanted;

    buf_init(&text, MIB);
    buf_init(&wanted, MIB);
    replace_mark(&text, made, old);
    replace_mark(&wanted, made, NEW_QUOTED);
    assert_int_equal(find(r, p, buf_str(&text)), GW_OK);
    if (kind != ID_SOURCE)
        leave_out_sources(&r->found);
    if (is_told_of(p->side, kind)) {
        assert_int_equal(r->found.n, 1);
        assert_int_equal(r->found.v[0].kind, kind);
        assert_true(str_eq_c(r->found.v[0].value, OLD));
        assert_int_equal(r->found.v[0].n, strlen(old));
        if (!s->is_escaped && strlen(s->path) <= LIMIT_ID_PATH_BYTES)
            assert_true(str_eq_c(r->found.v[0].path, s->path));
        r->found.v[0].with = STR(NEW);
        buf_clear(&r->out);
        id_write(&r->found, buf_str(&text), &r->out);
        assert_string_equal(r->out.p, wanted.p);
    } else {
        assert_int_equal(r->found.n, 0);
    }
    buf_release(&text);
    buf_release(&wanted);
}

static bool is_file_name(const char *path)
{
    const char *last = strrchr(path, '.');

    return strcmp(last, ".file_id") == 0 || strcmp(last, ".file_ids[]") == 0 ||
           strcmp(last, ".input_file_id") == 0 ||
           strcmp(last, ".training_file") == 0 ||
           strcmp(last, ".validation_file") == 0;
}

static bool is_object_name(const char *path)
{
    return strcmp(strrchr(path, '.'), ".vector_store_ids[]") == 0;
}

/* Below another type it stays; in a request it is strange. */
static void check_wrong(struct run *r, const struct id_places *p,
                        struct str made, const char *path)
{
    bool is_object = is_object_name(path);
    bool is_strange =
        p->side == ID_IN_REQUEST && (is_object || is_file_name(path));
    struct buf text;

    buf_init(&text, MIB);
    replace_mark(&text, made, "\"" OLD "\"");
    assert_int_equal(find(r, p, buf_str(&text)), GW_OK);
    leave_out_sources(&r->found);
    assert_int_equal(r->found.n, is_strange);
    if (is_strange)
        assert_int_equal(r->found.v[0].kind,
                         is_object ? ID_OBJECT : ID_STRANGE);
    buf_clear(&r->out);
    id_write(&r->found, buf_str(&text), &r->out);
    assert_string_equal(r->out.p, text.p);
    buf_release(&text);
}

static void check_place(struct run *r, const struct id_places *p,
                        const struct naive_place *place)
{
    struct buf made;
    struct style s = {.wrong_guard = -1};
    int guards;

    buf_init(&made, MIB);
    for (int types = TYPE_FIRST; types <= NO_TYPE; types++)
        for (int is_escaped = 0; is_escaped < 2; is_escaped++) {
            s = (struct style){
                .types = types, .is_escaped = is_escaped, .wrong_guard = -1};
            buf_clear(&made);
            add_value(&made, &s, place->path);
            check_found(r, p, buf_str(&made), place->kind, &s);
        }
    guards = s.guards;
    for (int i = 0; i < guards; i++) {
        s = (struct style){.wrong_guard = i};
        buf_clear(&made);
        add_value(&made, &s, place->path);
        check_wrong(r, p, buf_str(&made), place->path);
    }
    buf_release(&made);
}

static void an_id_is_found_and_replaced_at_each_place_of_the_table(void **state)
{
    static struct naive_places all;
    const struct id_places *p;
    struct run r;
    size_t count = 0;

    (void)state;
    for (p = id_places_all; p->method; p++) {
        all.n = 0;
        naive_expand(&all, p->paths, "");
        for (size_t i = 0; i < all.n; i++, count++) {
            run_open(&r);
            check_place(&r, p, &all.v[i]);
            run_close(&r);
        }
    }
    print_message("%zu places\n", count);
    assert_true(count > 500);
}

static size_t steps_of(const char *path)
{
    size_t n = 1;

    for (; *path; path++)
        n += *path == '.' || *path == '[' || *path == '{';
    return n;
}

static void no_call_has_more_paths_than_a_walk_can_hold(void **state)
{
    static struct naive_places all;

    (void)state;
    for (const struct id_places *p = id_places_all; p->method; p++) {
        size_t steps = 0;

        all.n = 0;
        naive_expand(&all, p->paths, "");
        for (size_t i = 0; i < all.n; i++)
            steps += steps_of(all.v[i].path);
        assert_true(steps <= ID_PLACES_CURSORS);
    }
}

static void no_call_is_in_the_table_twice(void **state)
{
    (void)state;
    for (const struct id_places *p = id_places_all; p->method; p++)
        assert_ptr_equal(id_places_find(p->side, p->method, p->path), p);
}

static void a_call_is_found_whatever_its_placeholders_are_called(void **state)
{
    (void)state;
    assert_non_null(
        id_places_find(ID_IN_ANSWER, "POST", "responses/{response_id}/cancel"));
    assert_non_null(
        id_places_find(ID_IN_ANSWER, "GET", "threads/{a}/runs/{b}/steps"));
    assert_null(id_places_find(ID_IN_ANSWER, "GET", "responses/x/cancel"));
    assert_null(id_places_find(ID_IN_ANSWER, "GET", "responses/{id}/cancel"));
    assert_null(id_places_find(ID_IN_ANSWER, "POST", "responses/{id}"));
    assert_null(id_places_find(ID_IN_REQUEST, "POST", "responses/{id}/"));
    assert_null(id_places_find(ID_IN_ANSWER, "POST", "chat/completions"));
}

/* --- what is no place --- */

static const char *const strange[] = {
    "{\"file_id\":\"" OLD "\"}",
    "{\"x\":{\"y\":[{\"file_ids\":[\"" OLD "\"]}]}}",
    "{\"x\":[[{\"training_file\":[[\"" OLD "\"]]}]]}",
    "{\"validation_file\":\"" OLD "\"}",
    "{\"x\":{\"input\\u005ffile_id\":\"" OLD "\"}}",
    "{\"input\":{\"type\":\"input_file\",\"file_id\":\"" OLD "\"}}",
    "{\"input\":[{\"type\":\"message\",\"content\":[{\"type\":\"input_fil\","
    "\"file_id\":\"" OLD "\"}]}]}",
    "{\"input\":[{\"role\":\"user\",\"content\":[{\"file_id\":\"" OLD "\"}]}]}",
    "{\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_file\","
    "\"file_id\":[\"" OLD "\"]}]}]}",
    "{\"input\":[[{\"type\":\"input_file\",\"file_id\":\"" OLD "\"}]]}",
    "{\"messages\":[{\"content\":[{\"type\":\"file\",\"file\":{\"file_id\":"
    "\"" OLD "\"}}]}]}",
};

static void an_id_at_an_unknown_place_of_a_request_is_told_of(void **state)
{
    struct run r;

    (void)state;
    for (size_t i = 0; i < COUNTOF(strange); i++) {
        run_open(&r);
        assert_int_equal(find(&r, responses(), str_of(strange[i])), GW_OK);
        assert_int_equal(r.found.n, 1);
        assert_int_equal(r.found.v[0].kind, ID_STRANGE);
        assert_true(str_eq_c(r.found.v[0].value, OLD));
        run_close(&r);
    }
}

static void an_object_at_an_unknown_place_of_a_request_is_told_of(void **state)
{
    static const struct {
        const char *path, *text, *place;
    } cases[] = {
        {"chat/completions",
         "{\"tools\":[{\"type\":\"file_search\",\"vector_store_ids\":[\"vs_1\"]"
         "}"
         "]}",
         "tools[0].vector_store_ids[0]"},
        {"responses", "{\"vector_store_ids\":\"vs_1\"}", "vector_store_ids"},
        {"responses",
         "{\"x\":[{\"type\":\"y\",\"vector\\u005fstore_ids\":[[\"vs_1\"]]}]}",
         "x[0].vector\\u005fstore_ids[0][0]"},
        {"responses",
         "{\"input\":[{\"type\":\"z\",\"vector_store_ids\":[\"vs_1\"]}]}",
         "input[0].vector_store_ids[0]"},
    };
    struct run r;

    (void)state;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        run_open(&r);
        assert_int_equal(find(&r, places(ID_IN_REQUEST, "POST", cases[i].path),
                              str_of(cases[i].text)),
                         GW_OK);
        assert_int_equal(r.found.n, 1);
        assert_int_equal(r.found.v[0].kind, ID_OBJECT);
        assert_true(str_eq_c(r.found.v[0].value, "vs_1"));
        assert_true(str_eq_c(r.found.v[0].path, cases[i].place));
        run_close(&r);
    }
}

static const char *const harmless[] = {
    "{\"metadata\":{\"vector_store_ids\":[\"vs_1\"]}}",
    "{\"metadata\":{\"file_id\":\"a\",\"b\":[{\"file_ids\":[\"c\"]}]}}",
    "{\"tools\":[{\"type\":\"function\",\"parameters\":{\"properties\":{"
    "\"file_id\":{\"type\":\"string\"},\"training_file\":\"a\"}}}]}",
    "{\"input\":[{\"type\":\"function_call\",\"arguments\":{\"file_id\":\"a\"}"
    "}]}",
    "{\"text\":{\"format\":{\"schema\":{\"file_id\":\"a\"}}}}",
    "{\"tools\":[{\"type\":\"x\",\"filters\":{\"file_id\":\"a\"}}]}",
    "{\"attributes\":{\"file_id\":\"a\"}}",
    "{\"file_id\":\"cfile_a\",\"x\":{\"file_ids\":[\"cfile_b\"]}}",
    "{\"file_id\":null,\"file_ids\":[1,{},true],\"training_file\":{\"a\":\"b\"}"
    "}",
    "{\"input\":\"file_id: file-a\",\"user\":\"file-a\",\"prompt\":{\"id\":"
    "\"pmpt_1\"}}",
    "{\"input\":[{\"type\":\"item_reference\",\"id\":\"msg_1\"}]}",
};

static void what_is_a_users_own_stays_out_of_it(void **state)
{
    struct run r;

    (void)state;
    for (size_t i = 0; i < COUNTOF(harmless); i++) {
        run_open(&r);
        assert_int_equal(find(&r, responses(), str_of(harmless[i])), GW_OK);
        assert_int_equal(r.found.n, 0);
        run_close(&r);
    }
}

static void an_answer_has_nothing_strange(void **state)
{
    struct run r;

    (void)state;
    run_open(&r);
    assert_int_equal(find(&r, places(ID_IN_ANSWER, "POST", "responses"),
                          STR("{\"file_id\":\"a\",\"x\":{\"file_ids\":[\"b\"]},"
                              "\"tools\":[{\"type\":\"file_search\","
                              "\"vector_store_ids\":[\"vs_1\"]}]}")),
                     GW_OK);
    assert_int_equal(r.found.n, 0);
    run_close(&r);
}

/* --- members twice --- */

static void members_that_are_there_twice_count_twice(void **state)
{
    static const char text[] =
        "{\"input\":[{\"type\":\"message\",\"content\":[{\"type\":\"input_file"
        "\",\"file_id\":\"a\",\"file_id\":\"b\"}]}],\"input\":[{\"role\":1,"
        "\"content\":[{\"type\":\"input_image\",\"f\\u0069le_id\":\"c\"}],"
        "\"content\":[{\"file_id\":\"d\",\"type\":7,\"type\":\"input_file\"}]}]"
        ",\"model\":\"m\",\"model\":\"n\"}";
    static const char *const wanted[] = {"a", "b", "c", "d", "m", "n"};
    struct run r;

    (void)state;
    run_open(&r);
    assert_int_equal(find(&r, responses(), str_of(text)), GW_OK);
    assert_int_equal(r.found.n, COUNTOF(wanted));
    for (size_t i = 0; i < r.found.n; i++)
        assert_true(str_eq_c(r.found.v[i].value, wanted[i]));
    assert_true(str_eq_c(r.found.v[3].path, "input[0].content[0].file_id"));
    run_close(&r);
}

/* --- other kinds --- */

static void a_request_names_the_things_it_builds_on(void **state)
{
    static const char text[] =
        "{\"model\":\"m\",\"previous_response_id\":\"resp_1\",\"conversation\":"
        "{\"id\":\"conv_1\"},\"tools\":[{\"type\":\"file_search\","
        "\"vector_store_ids\":[\"vs_1\",\"vs_2\"]},{\"type\":"
        "\"code_interpreter\",\"container\":\"cntr_1\"},{\"type\":"
        "\"code_interpreter\",\"container\":{\"type\":\"auto\",\"file_ids\":["
        "\"file-1\"]}}]}";
    static const struct {
        enum id_kind kind;
        const char *value, *path;
    } wanted[] = {
        {ID_MODEL, "m", "model"},
        {ID_OBJECT, "resp_1", "previous_response_id"},
        {ID_OBJECT, "conv_1", "conversation.id"},
        {ID_OBJECT, "vs_1", "tools[0].vector_store_ids[0]"},
        {ID_OBJECT, "vs_2", "tools[0].vector_store_ids[1]"},
        {ID_OBJECT, "cntr_1", "tools[1].container"},
        {ID_FILE, "file-1", "tools[2].container.file_ids[0]"},
    };
    struct run r;

    (void)state;
    run_open(&r);
    assert_int_equal(find(&r, responses(), str_of(text)), GW_OK);
    assert_int_equal(r.found.n, COUNTOF(wanted));
    for (size_t i = 0; i < r.found.n; i++) {
        assert_int_equal(r.found.v[i].kind, wanted[i].kind);
        assert_true(str_eq_c(r.found.v[i].value, wanted[i].value));
        assert_true(str_eq_c(r.found.v[i].path, wanted[i].path));
    }
    run_close(&r);
}

/* --- what a text says of itself --- */

static void a_model_within_a_request_is_told_apart_from_its_own(void **state)
{
    static const struct {
        const char *path, *text, *own, *inner;
    } cases[] = {
        {"responses",
         "{\"tools\":[{\"model\":\"i\",\"type\":\"image_generation\"}],"
         "\"model\":\"m\"}",
         "model", "tools[0].model"},
        {"fine_tuning/jobs",
         "{\"method\":{\"reinforcement\":{\"grader\":{\"type\":\"score_model\","
         "\"model\":\"i\"}}},\"model\":\"m\"}",
         "model", "method.reinforcement.grader.model"},
        {"fine_tuning/jobs",
         "{\"method\":{\"reinforcement\":{\"grader\":{\"graders\":{\"one\":"
         "{\"model\":\"i\"}}}}},\"model\":\"m\"}",
         "model", "method.reinforcement.grader.graders.one.model"},
        {"evals", "{\"testing_criteria\":[{},{\"model\":\"i\"}]}", NULL,
         "testing_criteria[1].model"},
    };
    struct run r;

    (void)state;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        run_open(&r);
        assert_int_equal(find(&r, places(ID_IN_REQUEST, "POST", cases[i].path),
                              str_of(cases[i].text)),
                         GW_OK);
        assert_int_equal(r.found.n, cases[i].own ? 2 : 1);
        assert_int_equal(r.found.v[0].kind, ID_MODEL_INNER);
        assert_true(str_eq_c(r.found.v[0].path, cases[i].inner));
        assert_true(str_eq_c(r.found.v[0].value, "i"));
        if (cases[i].own) {
            assert_int_equal(r.found.v[1].kind, ID_MODEL);
            assert_true(str_eq_c(r.found.v[1].path, cases[i].own));
        }
        run_close(&r);
    }
}

static void each_type_of_a_source_is_told_of(void **state)
{
    struct run r;

    (void)state;
    run_open(&r);
    assert_int_equal(
        find(&r, places(ID_IN_REQUEST, "POST", "evals/{id}/runs"),
             STR("{\"data_source\":{\"type\":\"a\",\"source\":{\"type\":\"b\","
                 "\"x\":{\"type\":\"c\"}},\"source\":{\"t\\u0079pe\":\"d\","
                 "\"type\":\"e\"}},\"source\":{\"type\":\"f\"}}")),
        GW_OK);
    assert_int_equal(r.found.n, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(r.found.v[i].kind, ID_SOURCE);
        assert_int_equal(r.found.v[i].value.p[0], "bde"[i]);
    }
    run_close(&r);
}

static void a_request_says_whether_it_wants_a_stream(void **state)
{
    static const struct {
        const char *text;
        bool is_streamed;
    } cases[] = {
        {"{\"stream\":true}", true},
        {" { \"model\":\"m\" , \"str\\u0065am\" : true } ", true},
        {"{\"stream\":false,\"stream\":true,\"stream\":false}", true},
        {"{\"stream\":false}", false},
        {"{\"stream\":\"true\"}", false},
        {"{\"stream_options\":true,\"x\":{\"stream\":true}}", false},
        {"{}", false},
    };
    struct run r;

    (void)state;
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        run_open(&r);
        assert_int_equal(find(&r, responses(), str_of(cases[i].text)), GW_OK);
        assert_int_equal(r.found.is_streamed, cases[i].is_streamed);
        run_close(&r);
    }
}

static void check_self(enum id_side side, const char *text, const char *id,
                       const char *object, const char *status)
{
    struct run r;

    run_open(&r);
    assert_int_equal(find(&r, places(side, "POST", "responses"), str_of(text)),
                     GW_OK);
    assert_true(str_eq_c(r.found.id, id));
    assert_true(str_eq_c(r.found.object, object));
    assert_true(str_eq_c(r.found.status, status));
    run_close(&r);
}

static void an_answer_says_what_it_is(void **state)
{
    (void)state;
    check_self(ID_IN_ANSWER,
               "{\"id\":\"resp_\\u0031\",\"x\":{\"id\":1},\"object\":"
               "\"response\",\"status\":\"queued\"}",
               "resp_1", "response", "queued");
    check_self(ID_IN_ANSWER, "{\"id\":1,\"status\":null}", "", "", "");
    check_self(ID_IN_ANSWER, "{\"response\":{\"id\":\"a\"},\"id\":\"b\"}", "b",
               "", "");
}

static void an_event_says_what_its_response_is(void **state)
{
    (void)state;
    check_self(ID_IN_EVENT,
               "{\"type\":\"response.created\",\"response\":{\"status\":"
               "\"in_progress\",\"object\":\"response\",\"id\":\"resp_1\","
               "\"output\":[{\"id\":\"x\"}]},\"id\":\"no\"}",
               "resp_1", "response", "in_progress");
    check_self(ID_IN_EVENT, "{\"id\":\"thread_1\",\"object\":\"thread\"}",
               "thread_1", "thread", "");
    check_self(ID_IN_EVENT, "{\"id\":\"a\",\"response\":null}", "a", "", "");
}

/* --- bounds and faults --- */

static void nested(struct buf *b, unsigned depth)
{
    buf_add_c(b, "{\"a\":");
    for (unsigned i = 1; i < depth; i++)
        buf_add_c(b, i % 2 ? "[" : "{\"file_id\":");
    buf_add_c(b, "\"x\"");
    for (unsigned i = depth - 1; i > 0; i--)
        buf_add_c(b, i % 2 ? "]" : "}");
    buf_add_c(b, "}");
}

static void depth_is_bounded_wherever_it_is_counted(void **state)
{
    const struct id_places *sides[] = {
        responses(), places(ID_IN_ANSWER, "POST", "responses")};
    struct run r;
    struct buf b;

    (void)state;
    buf_init(&b, MIB);
    for (size_t i = 0; i < COUNTOF(sides); i++)
        for (unsigned depth = LIMIT_SCAN_DEPTH - 1;
             depth <= LIMIT_SCAN_DEPTH + 1; depth++) {
            bool is_good = depth <= LIMIT_SCAN_DEPTH;

            run_open(&r);
            buf_clear(&b);
            nested(&b, depth);
            assert_int_equal(find(&r, sides[i], buf_str(&b)) == GW_OK, is_good);
            if (!is_good)
                assert_non_null(strstr(r.e.message, "nested too deeply"));
            run_close(&r);
        }
    buf_release(&b);
}

static void the_number_of_ids_is_bounded(void **state)
{
    struct run r;
    struct buf b;

    (void)state;
    buf_init(&b, MIB);
    for (int more = 0; more < 2; more++) {
        run_open(&r);
        buf_clear(&b);
        buf_add_c(&b, "{\"file_ids\":[\"x\"");
        for (int i = 1; i < LIMIT_IDS_PER_TEXT + more; i++)
            buf_add_c(&b, ",\"x\"");
        buf_add_c(&b, "]}");
        find(&r, places(ID_IN_REQUEST, "POST", "vector_stores"), buf_str(&b));
        assert_int_equal(r.e.err, more ? GW_INVALID_VALUE : GW_OK);
        run_close(&r);
    }
    buf_release(&b);
}

static const char *const bad[] = {
    "",
    " ",
    "[]",
    "\"x\"",
    "null",
    "{",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,}",
    "{} x",
    "{}{}",
    "{\"a\":01}",
    "{a:1}",
    "{\"a\":\"\x01\"}",
    "{\"a\":tru}",
    "{\"input\":[{\"type\":\"message\"]}",
    "{\"input\":[{\"type\":\"message\",\"content\":[{\"type\":\"input_file\","
    "\"file_id\":\"\\ud800\"}]}]}",
    "{\"input\":[{\"content\":[{}}]}]}",
};

static void a_text_that_is_no_json_object_is_refused(void **state)
{
    struct run r;

    (void)state;
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        run_open(&r);
        assert_int_equal(find(&r, responses(), str_of(bad[i])),
                         GW_INVALID_VALUE);
        assert_int_equal(
            find(&r, places(ID_IN_ANSWER, "POST", "responses"), str_of(bad[i])),
            GW_UPSTREAM_BAD_RESPONSE);
        run_close(&r);
    }
}

static void a_long_path_is_cut_at_a_character(void **state)
{
    struct run r;
    struct buf b;

    (void)state;
    buf_init(&b, MIB);
    for (int i = 0; i < 4; i++) {
        run_open(&r);
        buf_clear(&b);
        buf_printf(&b, "{\"%.*s", i, "abc");
        for (int j = 0; j < 100; j++)
            buf_add_c(&b, "\xe2\x82\xac");
        buf_add_c(&b, "\":{\"file_id\":\"x\"}}");
        assert_int_equal(find(&r, responses(), buf_str(&b)), GW_OK);
        assert_int_equal(r.found.n, 1);
        assert_true(r.found.v[0].path.n <= LIMIT_ID_PATH_BYTES);
        assert_true(r.found.v[0].path.n > LIMIT_ID_PATH_BYTES - 3);
        assert_true(str_is_utf8(r.found.v[0].path));
        run_close(&r);
    }
    buf_release(&b);
}

/* --- compared with a tree --- */

static uint64_t seed = 1;

static unsigned pick(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

/* Steps of the table's paths, and a few others. */
static json_t *random_value(int depth);

static json_t *along(const char *at, int depth)
{
    json_t *v;
    size_t n;

    if (!pick(12))
        return random_value(depth);
    if (!*at)
        return json_string(pick(9) ? OLD : "cfile_1");
    if (*at == '[') {
        v = json_array();
        for (unsigned i = pick(3) + 1; i > 0; i--)
            json_array_append_new(v, along(at + 2, depth + 1));
        return v;
    }
    v = json_object();
    if (*at == '{') {
        n = strcspn(at, "}");
        if (pick(6))
            json_object_set_new(v, "type", json_stringn(at + 6, n - 6));
        else
            json_object_set_new(v, "role", json_string("user"));
        at += n + 1;
    }
    n = strcspn(at + 1, ".[{");
    json_object_setn_new(v, at[1] == '*' ? "any" : at + 1, at[1] == '*' ? 3 : n,
                         along(at + 1 + n, depth + 1));
    if (!pick(3))
        json_object_set_new(v, "text", random_value(depth + 1));
    return v;
}

static json_t *random_value(int depth)
{
    static const char *const names[] = {"file_id", "file_ids", "metadata",
                                        "type",    "content",  "a"};
    json_t *v;

    switch (depth > 8 ? 0 : pick(4)) {
    case 1:
        v = json_array();
        for (unsigned i = pick(3); i > 0; i--)
            json_array_append_new(v, random_value(depth + 1));
        return v;
    case 2:
        v = json_object();
        for (unsigned i = pick(3); i > 0; i--)
            json_object_set_new(v, names[pick(COUNTOF(names))],
                                random_value(depth + 1));
        return v;
    default:
        return pick(3) ? json_string(pick(2) ? OLD : "message") : json_null();
    }
}

/* Several places of one call in one text: trees laid over each other. */
static json_t *random_text(const struct naive_places *all)
{
    json_t *v = json_object(), *more;

    for (int i = 0; i < 4 && all->n; i++) {
        more = along(all->v[pick((unsigned)all->n)].path, 0);
        if (json_is_object(more))
            json_object_update_recursive(v, more);
        json_decref(more);
    }
    return v;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct naive_site *)a)->path,
                  ((const struct naive_site *)b)->path);
}

static void compare(struct run *r, const struct naive_found *naive)
{
    static struct naive_site got[NAIVE_SITES];

    assert_int_equal(r->found.n, naive->n);
    for (size_t i = 0; i < r->found.n; i++) {
        got[i].kind = r->found.v[i].kind;
        snprintf(got[i].path, sizeof(got[i].path), "%.*s",
                 STR_ARG(r->found.v[i].path));
        if (i)
            assert_true(r->found.v[i].at > r->found.v[i - 1].at);
    }
    qsort(got, r->found.n, sizeof(got[0]), by_path);
    for (size_t i = 0; i < naive->n; i++) {
        assert_string_equal(got[i].path, naive->v[i].path);
        assert_int_equal(got[i].kind, naive->v[i].kind);
    }
}

static void what_is_found_is_what_a_search_of_the_tree_finds(void **state)
{
    static struct naive_places all;
    static struct naive_found naive;
    const struct id_places *p;
    struct run r;
    size_t sites = 0;

    (void)state;
    for (p = id_places_all; p->method; p++)
        for (int i = 0; i < 60; i++) {
            json_t *v;
            char *text;

            all.n = 0;
            naive_expand(&all, p->paths, "");
            v = random_text(&all);
            text = json_dumps(v, 0);
            naive_find(p, v, &naive);
            qsort(naive.v, naive.n, sizeof(naive.v[0]), by_path);
            run_open(&r);
            assert_int_equal(find(&r, p, str_of(text)), GW_OK);
            compare(&r, &naive);
            sites += r.found.n;
            run_close(&r);
            free(text);
            json_decref(v);
        }
    print_message("%zu ids\n", sites);
    assert_true(sites > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            an_id_is_found_and_replaced_at_each_place_of_the_table),
        cmocka_unit_test(no_call_has_more_paths_than_a_walk_can_hold),
        cmocka_unit_test(no_call_is_in_the_table_twice),
        cmocka_unit_test(a_call_is_found_whatever_its_placeholders_are_called),
        cmocka_unit_test(an_id_at_an_unknown_place_of_a_request_is_told_of),
        cmocka_unit_test(an_object_at_an_unknown_place_of_a_request_is_told_of),
        cmocka_unit_test(what_is_a_users_own_stays_out_of_it),
        cmocka_unit_test(an_answer_has_nothing_strange),
        cmocka_unit_test(members_that_are_there_twice_count_twice),
        cmocka_unit_test(a_request_names_the_things_it_builds_on),
        cmocka_unit_test(a_model_within_a_request_is_told_apart_from_its_own),
        cmocka_unit_test(each_type_of_a_source_is_told_of),
        cmocka_unit_test(a_request_says_whether_it_wants_a_stream),
        cmocka_unit_test(an_answer_says_what_it_is),
        cmocka_unit_test(an_event_says_what_its_response_is),
        cmocka_unit_test(depth_is_bounded_wherever_it_is_counted),
        cmocka_unit_test(the_number_of_ids_is_bounded),
        cmocka_unit_test(a_text_that_is_no_json_object_is_refused),
        cmocka_unit_test(a_long_path_is_cut_at_a_character),
        cmocka_unit_test(what_is_found_is_what_a_search_of_the_tree_finds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
