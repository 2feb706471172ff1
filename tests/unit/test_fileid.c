#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/codec/fileid.h"

#define NOW_MS 1767225600123
#define ULID "01arz3ndektsv4rrffq69g5fav"

static const enum fileid_kind kinds[] = {FILEID_FILE, FILEID_BATCH,
                                         FILEID_UPLOAD, FILEID_JOB};

static void test_a_new_id_is_one_of_its_kind_only(void **st)
{
    static const char *const prefixes[] = {"file-openai-", "batch_openai-",
                                           "upload_openai-", "ftjob-openai-"};
    char text[LIMIT_ID_BYTES + 1];
    struct fileid id;

    (void)st;
    for (size_t i = 0; i < COUNTOF(kinds); i++) {
        fileid_mint(kinds[i], "openai", NOW_MS, text);
        assert_true(str_starts(str_of(text), str_of(prefixes[i])));
        for (size_t k = 0; k < COUNTOF(kinds); k++)
            assert_int_equal(fileid_parse(kinds[k], str_of(text), &id), k == i);
        assert_true(fileid_parse(kinds[i], str_of(text), &id));
        assert_int_equal(id.kind, kinds[i]);
        assert_true(str_eq(id.ns, STR("openai")));
        assert_int_equal(id.ulid.n, FILEID_ULID_CHARS);
        assert_int_equal(fileid_time_ms(id.ulid), NOW_MS);
    }
}

static void test_the_longest_id_fits(void **st)
{
    char text[LIMIT_ID_BYTES + 1];
    struct fileid id;

    (void)st;
    fileid_mint(FILEID_UPLOAD, "abcdefghijklmno9", NOW_MS, text);
    assert_true(strlen(text) <= LIMIT_ID_BYTES);
    assert_true(fileid_parse(FILEID_UPLOAD, str_of(text), &id));
    assert_int_equal(id.ns.n, LIMIT_NAMESPACE_BYTES);
}

static void test_the_shortest_id_is_read(void **st)
{
    struct fileid id;

    (void)st;
    assert_true(fileid_parse(FILEID_FILE, STR("file-a-" ULID), &id));
    assert_true(str_eq(id.ns, STR("a")));
    assert_true(str_eq(id.ulid, STR(ULID)));
}

static void test_ids_sort_by_their_time(void **st)
{
    static const int64_t times[] = {
        0, 1, 31, 32, 1000, NOW_MS, NOW_MS + 1, ((int64_t)1 << 48) - 1};
    char before[LIMIT_ID_BYTES + 1], after[LIMIT_ID_BYTES + 1];

    (void)st;
    for (size_t i = 1; i < COUNTOF(times); i++) {
        fileid_mint(FILEID_FILE, "a", times[i - 1], before);
        fileid_mint(FILEID_FILE, "a", times[i], after);
        assert_true(str_cmp(str_of(before), str_of(after)) < 0);
        assert_int_equal(fileid_time_ms(str_make(after + 7, FILEID_ULID_CHARS)),
                         times[i]);
    }
}

static void test_two_ids_of_one_moment_differ(void **st)
{
    char a[LIMIT_ID_BYTES + 1], b[LIMIT_ID_BYTES + 1];

    (void)st;
    for (int i = 0; i < 1000; i++) {
        fileid_mint(FILEID_FILE, "a", NOW_MS, a);
        fileid_mint(FILEID_FILE, "a", NOW_MS, b);
        assert_string_not_equal(a, b);
    }
}

static void test_every_character_of_the_random_part_varies(void **st)
{
    uint32_t seen[FILEID_ULID_CHARS] = {0};
    char text[LIMIT_ID_BYTES + 1];

    (void)st;
    /* That one of 32 values stays unseen in 2000 draws has odds of 1e-27. */
    for (int i = 0; i < 2000; i++) {
        fileid_mint(FILEID_FILE, "a", NOW_MS, text);
        for (int k = 10; k < FILEID_ULID_CHARS; k++) {
            const char *alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

            seen[k] |= 1u << (strchr(alphabet, text[7 + k]) - alphabet);
        }
    }
    for (int k = 10; k < FILEID_ULID_CHARS; k++)
        assert_int_equal(seen[k], UINT32_MAX);
}

static void test_a_published_ulid_has_its_time(void **st)
{
    (void)st;
    assert_int_equal(fileid_time_ms(STR(ULID)), 1469922850259);
}

static void test_whatever_is_not_exactly_an_id_is_refused(void **st)
{
    static const struct str texts[] = {
        STR(""),
        STR("file-"),
        STR("file-abc123"),
        STR("file-52voFe6FU6MWyAwa1Uj39R"),
        STR("file-" ULID),
        STR("file--" ULID),
        STR("file-openai" ULID),
        STR("file-openai_" ULID),
        STR("File-openai-" ULID),
        STR("file_openai-" ULID),
        STR("ile-openai-" ULID),
        STR(" file-openai-" ULID),
        STR("file-openai-" ULID " "),
        STR("file-openai-" ULID "0"),
        STR("file-openai-" ULID "\0"),
        STR("file-openai-" ULID "\n"),
        STR("file-openai-x" ULID),
        STR("file-Openai-" ULID),
        STR("file-open-ai-" ULID),
        STR("file-open\xc3\xa4i-" ULID),
        STR("file-open.ai-" ULID),
        STR("file-open/ai-" ULID),
        STR("file-abcdefghijklmnopq-" ULID),
        STR("file-openai-81arz3ndektsv4rrffq69g5fav"),
        STR("file-openai-z1arz3ndektsv4rrffq69g5fav"),
        STR("file-openai-01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        STR("file-openai-01arz3ndektsv4rrffq69g5fai"),
        STR("file-openai-01arz3ndektsv4rrffq69g5fal"),
        STR("file-openai-01arz3ndektsv4rrffq69g5fao"),
        STR("file-openai-01arz3ndektsv4rrffq69g5fau"),
        STR("file-openai-01arz3ndektsv4rrffq69g5fa"),
        STR("file-openai-01arz3ndektsv4rrffq69g5f-v"),
        STR("file-openai-01arz3ndektsv4rrffq69g5f\0v"),
        STR("../file-openai-" ULID),
        STR("file-..%2f-" ULID),
    };
    struct fileid id;

    (void)st;
    assert_false(fileid_parse(FILEID_FILE, STR_NULL, &id));
    assert_true(fileid_parse(FILEID_FILE, STR("file-openai-" ULID), &id));
    for (size_t i = 0; i < COUNTOF(texts); i++)
        if (fileid_parse(FILEID_FILE, texts[i], &id))
            fail_msg("'%.*s' is an id", STR_ARG(texts[i]));
}

/* What the pattern of an id allows at place i of "file-ns7-<ulid>". */
static bool may_stand_at(int c, size_t i)
{
    static const char shape[] = "file-ns7-";

    if (i < 5 || i == 8)
        return c == shape[i];
    if (i < 8)
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (i == 9)
        return c >= '0' && c <= '7';
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z' && c != 'i' &&
                                      c != 'l' && c != 'o' && c != 'u');
}

static void test_every_byte_at_every_place_is_checked(void **st)
{
    char text[] = "file-ns7-" ULID;
    size_t n = sizeof(text) - 1;
    struct fileid id;

    (void)st;
    for (size_t i = 0; i < n; i++) {
        char old = text[i];

        for (int c = 0; c < 256; c++) {
            text[i] = (char)c;
            if (fileid_parse(FILEID_FILE, str_make(text, n), &id) !=
                may_stand_at(c, i))
                fail_msg("byte 0x%02x at %zu", (unsigned)c, i);
        }
        text[i] = old;
    }
}

static void test_every_cut_of_an_id_is_refused(void **st)
{
    struct str whole = STR("file-ns7-" ULID);
    struct fileid id;

    (void)st;
    for (size_t n = 0; n < whole.n; n++)
        assert_false(fileid_parse(FILEID_FILE, str_make(whole.p, n), &id));
}

static void test_namespaces_have_1_to_16_characters(void **st)
{
    (void)st;
    assert_true(fileid_is_namespace(STR("a")));
    assert_true(fileid_is_namespace(STR("abcdefghijklmno9")));
    assert_false(fileid_is_namespace(STR("abcdefghijklmnopq")));
    assert_false(fileid_is_namespace(STR("")));
    assert_false(fileid_is_namespace(STR_NULL));
    assert_false(fileid_is_namespace(STR("a-b")));
    assert_false(fileid_is_namespace(STR("A")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_id_is_one_of_its_kind_only),
        cmocka_unit_test(test_the_longest_id_fits),
        cmocka_unit_test(test_the_shortest_id_is_read),
        cmocka_unit_test(test_ids_sort_by_their_time),
        cmocka_unit_test(test_two_ids_of_one_moment_differ),
        cmocka_unit_test(test_every_character_of_the_random_part_varies),
        cmocka_unit_test(test_a_published_ulid_has_its_time),
        cmocka_unit_test(test_whatever_is_not_exactly_an_id_is_refused),
        cmocka_unit_test(test_every_byte_at_every_place_is_checked),
        cmocka_unit_test(test_every_cut_of_an_id_is_refused),
        cmocka_unit_test(test_namespaces_have_1_to_16_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
