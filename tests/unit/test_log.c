/* test_log.c -- the exact lines, what is hidden in them, and threads.
 *
 * The log writes to a socket that keeps the bounds of packets, so a line that
 * came in two writes, or two lines in one, are seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/base/limits.h"
#include "gateway/base/log.h"

#define TIME "2026-01-31T23:59:59.123Z"
#define TIME_MS 1769903999123

static int ends[2];
static char line[LIMIT_LOG_LINE + 2];

/* The next packet, without its newline; NULL if there is none. */
static const char *next_line(void)
{
    ssize_t n = recv(ends[0], line, sizeof(line) - 1, MSG_DONTWAIT);

    if (n <= 0)
        return NULL;
    assert_true(n <= (ssize_t)LIMIT_LOG_LINE);
    line[n] = '\0';
    assert_int_equal(line[n - 1], '\n');
    line[n - 1] = '\0';
    assert_null(strchr(line, '\n'));
    return line;
}

static int open_log(void **state)
{
    (void)state;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0)
        return -1;
    log_set_fd(ends[1]);
    clock_set_for_tests(TIME_MS);
    return 0;
}

static int close_log(void **state)
{
    (void)state;
    log_set_fd(STDERR_FILENO);
    clock_set_for_tests(-1);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static int as_json(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_JSON);
    return 0;
}

static int as_logfmt(void **state)
{
    (void)state;
    log_setup(LOG_INFO, LOG_LOGFMT);
    return 0;
}

/* The value as it comes out, with its quotes if it has any. */
static const char *shown(struct str value)
{
    const char *mark;
    struct log_line l;
    size_t n;

    log_begin(&l, LOG_INFO, NULL, "m");
    log_str(&l, "v", value);
    log_end(&l);
    assert_non_null(next_line());
    n = strlen(line);
    if (line[n - 1] == '}')
        line[n - 1] = '\0';
    mark = strstr(line, "\"v\":");
    if (mark)
        return mark + 4;
    mark = strstr(line, " v=");
    assert_non_null(mark);
    return mark + 3;
}

#define assert_shown(value, want) assert_string_equal(shown(STR(value)), want)

static void a_json_line_has_all_fields_in_order(void **state)
{
    struct log_line l;

    (void)state;
    log_begin(&l, LOG_WARN, "req-1", "slow");
    log_cstr(&l, "route", "/v1/files");
    log_int(&l, "status", 200);
    log_int(&l, "low", INT64_MIN);
    log_double(&l, "rate", 0.25);
    log_double(&l, "none", NAN);
    log_str(&l, "absent", STR_NULL);
    log_end(&l);
    assert_string_equal(
        next_line(),
        "{\"time\":\"" TIME "\",\"level\":\"warn\",\"msg\":\"slow\","
        "\"request_id\":\"req-1\",\"route\":\"/v1/files\",\"status\":200,"
        "\"low\":-9223372036854775808,\"rate\":0.25,\"none\":null,"
        "\"absent\":\"\"}");
}

static void a_logfmt_line_quotes_only_what_needs_it(void **state)
{
    struct log_line l;

    (void)state;
    log_begin(&l, LOG_ERROR, "req-1", "two words");
    log_cstr(&l, "plain", "/v1/files");
    log_cstr(&l, "empty", "");
    log_cstr(&l, "equals", "a=b");
    log_cstr(&l, "quote", "a\"b");
    log_cstr(&l, "umlaut", "\xc3\xa4");
    log_int(&l, "n", 0);
    log_end(&l);
    assert_string_equal(next_line(),
                        "time=" TIME " level=error msg=\"two words\" "
                        "request_id=req-1 plain=/v1/files empty=\"\" "
                        "equals=\"a=b\" quote=\"a\\\"b\" "
                        "umlaut=\"\xc3\xa4\" n=0");
}

static void a_line_without_a_request_names_none(void **state)
{
    (void)state;
    log_msg(LOG_INFO, "", "x");
    assert_null(strstr(next_line(), "request_id"));
    log_info("y %d", 7);
    assert_string_equal(next_line(), "{\"time\":\"" TIME
                                     "\",\"level\":\"info\",\"msg\":\"y 7\"}");
}

static void the_time_is_read_for_each_line(void **state)
{
    (void)state;
    log_info("x");
    assert_non_null(strstr(next_line(), "23:59:59.123Z"));
    clock_set_for_tests(TIME_MS + 1);
    log_info("x");
    assert_non_null(strstr(next_line(), "23:59:59.124Z"));
    clock_set_for_tests(TIME_MS + 877);
    log_info("x");
    assert_non_null(strstr(next_line(), "2026-02-01T00:00:00.000Z"));
    clock_set_for_tests(TIME_MS);
}

static void levels_below_the_set_one_write_nothing(void **state)
{
    struct log_line l;

    (void)state;
    log_setup(LOG_WARN, LOG_JSON);
    assert_false(log_is_on(LOG_INFO));
    assert_true(log_is_on(LOG_WARN));
    log_begin(&l, LOG_INFO, "r", "x");
    log_cstr(&l, "a", "b");
    log_int(&l, "a", 1);
    log_double(&l, "a", 1);
    log_end(&l);
    log_debug("x");
    log_info("x");
    assert_null(next_line());
    log_warn("x");
    assert_non_null(next_line());
    log_setup(LOG_DEBUG, LOG_JSON);
    log_debug("x");
    assert_non_null(strstr(next_line(), "\"level\":\"debug\""));
}

static void control_bytes_cannot_forge_a_line(void **state)
{
    (void)state;
    assert_shown("a\nb", "\"a\\nb\"");
    assert_shown("\r\t\b\f", "\"\\r\\t\\b\\f\"");
    assert_shown("\x1b[2J", "\"\\u001b[2J\"");
    assert_shown("a\0b", "\"a\\u0000b\"");
    assert_shown("\x7f", "\"\\u007f\"");
    /* Controls above ASCII work on terminals as well. */
    assert_shown("\xc2\x9b", "\"\\u009b\"");
    assert_shown("\xc2\xa0", "\"\xc2\xa0\"");
    assert_shown("back\\slash \"q\"", "\"back\\\\slash \\\"q\\\"\"");
}

static void control_bytes_are_escaped_in_logfmt_too(void **state)
{
    (void)state;
    assert_shown("a\nb", "\"a\\nb\"");
    assert_shown("\x1b", "\"\\u001b\"");
    assert_shown("\xff", "\"\\ufffd\"");
    assert_shown("plain", "plain");
}

static void what_is_no_utf8_is_replaced(void **state)
{
    (void)state;
    assert_shown("a\xff\xfeg", "\"a\\ufffd\\ufffdg\"");
    assert_shown("\xe2\x82", "\"\\ufffd\\ufffd\"");
    assert_shown("\xe2\x82\xac", "\"\xe2\x82\xac\"");
    assert_shown("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
    assert_shown("\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"");
    assert_shown("\xc2", "\"\\ufffd\"");
    assert_shown("\xc2\"", "\"\\ufffd\\\"\"");
}

static void api_keys_are_hidden(void **state)
{
    (void)state;
    assert_shown("sk-abcd", "\"sk-***\"");
    assert_shown("key sk-proj-AB_12-xyz, next", "\"key sk-***, next\"");
    assert_shown("(sk-abcd)", "\"(sk-***)\"");
    assert_shown("sk-abcd sk-efgh", "\"sk-*** sk-***\"");
    assert_shown("\"sk-abcd\"", "\"\\\"sk-***\\\"\"");
    assert_shown("key%3Dsk-abcd", "\"key%3Dsk-***\"");
    assert_shown("x_sk-abcd", "\"x_sk-***\"");
    assert_shown("Bearersk-abcd:sk-abcd", "\"Bearersk-abcd:sk-***\"");
}

static void what_only_resembles_a_key_is_shown(void **state)
{
    (void)state;
    assert_shown("sk-", "\"sk-\"");
    assert_shown("sk-abc", "\"sk-abc\"");
    assert_shown("sk-abc def", "\"sk-abc def\"");
    assert_shown("disk-local", "\"disk-local\"");
    assert_shown("s", "\"s\"");
    assert_shown("SK-ABCDEF", "\"SK-ABCDEF\"");
}

static void bearer_tokens_are_hidden(void **state)
{
    (void)state;
    assert_shown("Bearer abc.def~_/+==", "\"Bearer ***\"");
    assert_shown("Authorization: bearer x", "\"Authorization: bearer ***\"");
    assert_shown("BEARER x, y", "\"BEARER ***, y\"");
    assert_shown("Bearer ", "\"Bearer \"");
    assert_shown("Bearer", "\"Bearer\"");
    assert_shown("Bearer sk-abcdefgh", "\"Bearer ***\"");
}

static void queries_of_urls_are_hidden(void **state)
{
    (void)state;
    assert_shown("https://h.io/x?sig=1&k=2", "\"https://h.io/x?***\"");
    assert_shown("get http://h/?a then http://i/?b",
                 "\"get http://h/?*** then http://i/?***\"");
    assert_shown("<https://h/x?y>z?", "\"<https://h/x?***>z?\"");
    assert_shown("'https://h?y'", "\"'https://h?***'\"");
    assert_shown("https://h/x?", "\"https://h/x?\"");
    assert_shown("https://h/x", "\"https://h/x\"");
    assert_shown("is that so? http", "\"is that so? http\"");
    assert_shown("https://h/?u=http://g/?v", "\"https://h/?***\"");
}

static void passwords_in_urls_are_hidden(void **state)
{
    (void)state;
    assert_shown("redis://u:pass@h:1/0", "\"redis://***@h:1/0\"");
    assert_shown("redis://:p@h?a=b", "\"redis://***@h?***\"");
    assert_shown("http://h/a@b", "\"http://h/a@b\"");
    assert_shown("http://@h", "\"http://@h\"");
}

static void registered_secrets_are_hidden_wherever_they_stand(void **state)
{
    (void)state;
    log_add_secret(STR("hunter22!"));
    log_add_secret(STR("hunter22!longer"));
    log_add_secret(STR("short"));
    log_add_secret(STR("line1\nline2 \"q\" \xff"));
    assert_shown("xhunter22!x", "\"x***x\"");
    assert_shown("hunter22!", "\"***\"");
    assert_shown("hunter22!hunter22!", "\"******\"");
    assert_shown("hunter22!longer.", "\"***.\"");
    assert_shown("hunter22", "\"hunter22\"");
    assert_shown("hhunter22!", "\"h***\"");
    assert_shown("short", "\"short\"");
    assert_shown("a line1\nline2 \"q\" \xff z", "\"a *** z\"");
    assert_shown("http://h/hunter22!/x?q", "\"http://h/***/x?***\"");
    log_info("msg with %s", "hunter22!");
    assert_non_null(strstr(next_line(), "\"msg with ***\""));
    log_msg(LOG_INFO, "hunter22!", "x");
    assert_non_null(strstr(next_line(), "\"request_id\":\"***\""));
}

static void secrets_are_hidden_at_every_place(void **state)
{
    char text[64];

    (void)state;
    log_add_secret(STR("0123456789"));
    for (size_t at = 0; at < 40; at++) {
        memset(text, '.', sizeof(text));
        memcpy(text + at, "0123456789", 10);
        assert_non_null(strstr(shown(str_make(text, sizeof(text))), "***."));
        assert_null(strstr(line, "0123"));
    }
}

/* A line of a value of n bytes. */
static void log_long(char fill, size_t n, const char *end)
{
    size_t m = strlen(end);
    char *text = malloc(n + m);
    struct log_line l;

    assert_non_null(text);
    memset(text, fill, n);
    memcpy(text + n, end, m);
    log_begin(&l, LOG_INFO, NULL, "m");
    log_str(&l, "v", str_make(text, n + m));
    log_cstr(&l, "after", "x");
    log_end(&l);
    free(text);
    assert_non_null(next_line());
}

#define CUT_END "\xe2\x80\xa6\",\"cut\":true}"

static bool line_ends(const char *end)
{
    return str_ends(str_of(line), str_of(end));
}

static void a_line_too_long_is_cut_with_a_mark(void **state)
{
    bool was_cut = false;

    (void)state;
    for (size_t n = LIMIT_LOG_LINE - 200; n < LIMIT_LOG_LINE + 50; n++) {
        log_long('x', n, "");
        if (line_ends("x\",\"after\":\"x\"}")) {
            assert_false(was_cut);
        } else {
            was_cut = true;
            /* Either the value did not fit, or what came after it. */
            assert_true(line_ends("x" CUT_END) ||
                        line_ends("x\",\"after\":\"" CUT_END) ||
                        line_ends("x\",\"cut\":true}"));
        }
    }
    assert_true(was_cut);
}

static void a_cut_never_splits_an_escape_or_a_character(void **state)
{
    (void)state;
    for (size_t n = LIMIT_LOG_LINE - 150; n < LIMIT_LOG_LINE; n++) {
        log_long('x', n, "\x01\x02");
        assert_true(line_ends("x" CUT_END) || line_ends("\\u0001" CUT_END) ||
                    line_ends("\\u0002\",\"after\":\"x\"}") ||
                    line_ends("\\u0002\",\"after\":\"" CUT_END) ||
                    line_ends("\\u0002\",\"cut\":true}"));
        log_long('x', n, "\xf0\x9f\x98\x80");
        assert_true(str_is_utf8(str_of(line)));
    }
}

static void a_cut_never_uncovers_a_secret(void **state)
{
    (void)state;
    log_add_secret(STR("SECRET-TO-THE-END"));
    for (size_t n = LIMIT_LOG_LINE - 150; n < LIMIT_LOG_LINE; n++) {
        log_long('x', n, "SECRET-TO-THE-END");
        assert_null(strstr(line, "SEC"));
    }
}

static void a_cut_line_of_logfmt_closes_its_quotes(void **state)
{
    (void)state;
    log_long(' ', LIMIT_LOG_LINE, "");
    assert_true(line_ends(" \xe2\x80\xa6\" cut=true"));
    log_long('x', LIMIT_LOG_LINE, "");
    assert_true(line_ends("x\xe2\x80\xa6 cut=true"));
}

static void many_fields_fill_a_line_and_no_more(void **state)
{
    struct log_line l;

    (void)state;
    log_begin(&l, LOG_INFO, NULL, "m");
    for (int i = 0; i < 2000; i++)
        log_int(&l, "number", i);
    log_double(&l, "d", 1);
    log_end(&l);
    assert_non_null(next_line());
    assert_true(line_ends(",\"cut\":true}"));
    assert_null(strstr(line, "\"d\""));
    assert_true(strlen(line) > LIMIT_LOG_LINE - 64);
}

static void a_long_message_is_redacted_before_it_is_cut(void **state)
{
    char text[4001];

    (void)state;
    log_add_secret(STR("SECRET-IN-THE-MIDDLE"));
    /* Wherever an inner buffer ends. */
    for (size_t n = 900; n < 1100; n++) {
        memset(text, 'x', n);
        text[n] = '\0';
        log_info("%sSECRET-IN-THE-MIDDLEy", text);
        assert_non_null(next_line());
        assert_true(line_ends("x***y\"}"));
    }
}

static void a_line_within_a_line_is_a_line_of_its_own(void **state)
{
    struct log_line outer;

    (void)state;
    log_begin(&outer, LOG_INFO, NULL, "outer");
    log_info("inner");
    log_cstr(&outer, "k", "v");
    log_end(&outer);
    assert_non_null(strstr(next_line(), "\"inner\""));
    assert_non_null(strstr(next_line(), "\"outer\",\"k\":\"v\"}"));
    assert_null(next_line());
}

static void a_line_ends_in_the_format_it_began_in(void **state)
{
    struct log_line l;

    (void)state;
    log_begin(&l, LOG_INFO, NULL, "m");
    log_setup(LOG_ERROR, LOG_LOGFMT);
    log_cstr(&l, "k", "v");
    log_end(&l);
    assert_non_null(strstr(next_line(), "\"msg\":\"m\",\"k\":\"v\"}"));
    log_begin(&l, LOG_ERROR, NULL, "m");
    log_setup(LOG_INFO, LOG_JSON);
    log_cstr(&l, "k", "v");
    log_end(&l);
    assert_string_equal(next_line(), "time=" TIME " level=error msg=m k=v");
}

#define THREADS 4
#define LINES 400

static void *write_lines(void *arg)
{
    char secret[32];

    for (int i = 0; i < LINES; i++) {
        struct log_line l;

        log_begin(&l, LOG_INFO, NULL, "thread");
        log_int(&l, "thread", (intptr_t)arg);
        log_cstr(&l, "secret", "a SECRET-OF-ALL-THREADS b");
        log_end(&l);
        if (i % 40 == 0) {
            snprintf(secret, sizeof(secret), "%d-thread-secret-%d", i,
                     (int)(intptr_t)arg);
            log_add_secret(str_of(secret));
        }
    }
    return NULL;
}

static void threads_do_not_mix_their_lines(void **state)
{
    pthread_t threads[THREADS];
    int seen[THREADS] = {0};

    (void)state;
    log_add_secret(STR("SECRET-OF-ALL-THREADS"));
    for (intptr_t i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, write_lines, (void *)i), 0);
    for (int i = 0; i < THREADS * LINES; i++) {
        ssize_t n = recv(ends[0], line, sizeof(line) - 1, 0);
        int thread;

        assert_true(n > 0);
        line[n] = '\0';
        assert_int_equal(
            sscanf(strstr(line, "\"thread\":"), "\"thread\":%d", &thread), 1);
        assert_in_range(thread, 0, THREADS - 1);
        seen[thread]++;
        assert_true(line_ends(",\"secret\":\"a *** b\"}\n"));
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(seen[i], LINES);
    }
    assert_null(next_line());
}

static void a_secret_too_many_is_told_not_kept(void **state)
{
    char secret[32];

    (void)state;
    for (int i = 0; i < LOG_SECRETS_MAX; i++) {
        snprintf(secret, sizeof(secret), "filler-secret-%d", i);
        log_add_secret(str_of(secret));
        while (next_line())
            ;
    }
    log_add_secret(STR("one-secret-too-many"));
    assert_non_null(strstr(next_line(), "too many secrets"));
    /* What is known is not too many. */
    log_add_secret(STR("filler-secret-0"));
    assert_null(next_line());
    assert_shown("filler-secret-0", "\"***\"");
}

static void a_log_that_cannot_be_written_is_no_failure(void **state)
{
    (void)state;
    log_set_fd(-1);
    log_info("lost");
    log_set_fd(ends[1]);
    log_info("found");
    assert_non_null(strstr(next_line(), "found"));
}

#define in_json(test) cmocka_unit_test_setup(test, as_json)
#define in_logfmt(test) cmocka_unit_test_setup(test, as_logfmt)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_json(a_json_line_has_all_fields_in_order),
        in_logfmt(a_logfmt_line_quotes_only_what_needs_it),
        in_json(a_line_without_a_request_names_none),
        in_json(the_time_is_read_for_each_line),
        in_json(levels_below_the_set_one_write_nothing),
        in_json(control_bytes_cannot_forge_a_line),
        in_logfmt(control_bytes_are_escaped_in_logfmt_too),
        in_json(what_is_no_utf8_is_replaced),
        in_json(api_keys_are_hidden),
        in_json(what_only_resembles_a_key_is_shown),
        in_json(bearer_tokens_are_hidden),
        in_json(queries_of_urls_are_hidden),
        in_json(passwords_in_urls_are_hidden),
        in_json(registered_secrets_are_hidden_wherever_they_stand),
        in_json(secrets_are_hidden_at_every_place),
        in_json(a_line_too_long_is_cut_with_a_mark),
        in_json(a_cut_never_splits_an_escape_or_a_character),
        in_json(a_cut_never_uncovers_a_secret),
        in_logfmt(a_cut_line_of_logfmt_closes_its_quotes),
        in_json(many_fields_fill_a_line_and_no_more),
        in_json(a_long_message_is_redacted_before_it_is_cut),
        in_json(a_line_within_a_line_is_a_line_of_its_own),
        in_json(a_line_ends_in_the_format_it_began_in),
        in_json(threads_do_not_mix_their_lines),
        in_json(a_secret_too_many_is_told_not_kept),
        in_json(a_log_that_cannot_be_written_is_no_failure),
    };

    return cmocka_run_group_tests(tests, open_log, close_log);
}
