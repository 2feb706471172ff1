/* record_fixture.h -- file records for the tests of the store. */
#ifndef FILEMUX_TESTS_RECORD_FIXTURE_H
#define FILEMUX_TESTS_RECORD_FIXTURE_H

#include "gateway/store/file_record.h"

#define OWNER "t:team"

static inline struct file_record sample(const char *id)
{
    return (struct file_record){
        .obj = {.id = str_of(id),
                .bytes = 12,
                .created_at = 1700000000,
                .filename = STR("a.txt"),
                .purpose = STR("batch"),
                .status = FILE_PROCESSED,
                .provider = STR("local")},
        .owner = STR(OWNER),
        .key_hash = STR("cafe"),
        .upstream_id = STR("up-1"),
        .content_type = STR("text/plain"),
        .stored_ms = 1700000000123,
    };
}

/* The same at two providers; the first is the record's own. */
static const struct file_copy sample_copies[] = {
    {{"local", 5}, {"up-1", 4}, FILE_PROCESSED, 12},
    {{"far", 3}, {"files/a b}c{d%", 14}, FILE_UPLOADED, -1},
};

static inline struct file_record sample_of_two(struct arena *a, const char *id)
{
    struct file_record f = sample(id);

    file_record_set_copies(a, &f, sample_copies, 2);
    return f;
}

static inline void same_str(struct str a, struct str b)
{
    assert_int_equal(a.p == NULL, b.p == NULL);
    assert_int_equal(a.n, b.n);
    if (a.n)
        assert_memory_equal(a.p, b.p, a.n);
}

static inline void same(const struct file_record *a,
                        const struct file_record *b)
{
    same_str(a->obj.id, b->obj.id);
    assert_int_equal(a->obj.bytes, b->obj.bytes);
    assert_int_equal(a->obj.created_at, b->obj.created_at);
    assert_int_equal(a->obj.expires_at, b->obj.expires_at);
    same_str(a->obj.filename, b->obj.filename);
    same_str(a->obj.purpose, b->obj.purpose);
    assert_int_equal(a->obj.status, b->obj.status);
    same_str(a->obj.status_details, b->obj.status_details);
    same_str(a->obj.provider, b->obj.provider);
    same_str(a->obj.sha256, b->obj.sha256);
    same_str(a->owner, b->owner);
    same_str(a->key_hash, b->key_hash);
    same_str(a->upstream_id, b->upstream_id);
    same_str(a->content_type, b->content_type);
    assert_int_equal(a->stored_ms, b->stored_ms);
    assert_int_equal(a->ncopies, b->ncopies);
    assert_int_equal(a->obj.nproviders, b->obj.nproviders);
    for (size_t i = 0; i < a->ncopies; i++) {
        same_str(a->copies[i].provider, b->copies[i].provider);
        same_str(a->copies[i].provider, b->obj.providers[i]);
        same_str(a->copies[i].upstream_id, b->copies[i].upstream_id);
        assert_int_equal(a->copies[i].status, b->copies[i].status);
        assert_int_equal(a->copies[i].bytes, b->copies[i].bytes);
    }
    assert_int_equal(a->lines, b->lines);
    same_str(a->model, b->model);
}

#endif
