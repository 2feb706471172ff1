/* page_fixture.h -- asking the store for a page of records. */
#ifndef FILEMUX_TESTS_PAGE_FIXTURE_H
#define FILEMUX_TESTS_PAGE_FIXTURE_H

#include "redis_fixture.h"

#include "gateway/store/file_store.h"

struct page {
    bool is_done, at_end;
    const struct file_record *v;
    size_t n;
    enum gw_err err;
};

static inline void on_page(void *arg, const struct file_record *records,
                           size_t n, bool at_end, const struct gw_error *e)
{
    struct page *p = arg;

    *p = (struct page){true, at_end, records, n, e->err};
}

static inline struct page ask_page(struct fx *f, struct arena *a,
                                   const struct file_store_query *q)
{
    struct page p = {0};

    file_store_page(f->r, a, q, on_page, &p);
    fx_until(f, fx_is_set, &p.is_done);
    assert_int_equal(p.err, GW_OK);
    return p;
}

#endif
