/* openai_vendor.h -- in what the servers that speak OpenAI's Files API differ.
 *
 * One row for each vendor. What a row leaves out is 0: no, none, unknown. Every
 * column is also a key of the entry in the configuration, which wins.
 */
#ifndef FILEMUX_PROVIDERS_OPENAI_VENDOR_H
#define FILEMUX_PROVIDERS_OPENAI_VENDOR_H

#include "providers/openai.h"

/* In the order of the keys' choices, behind "auto". */
enum openai_upload {
    OPENAI_UPLOAD_FORM,      /* a form with the file in it */
    OPENAI_UPLOAD_PRESIGNED, /* asked for as JSON; then PUT to a signed URL */
};

enum openai_paging {
    OPENAI_PAGING_NONE,
    OPENAI_PAGING_CURSOR, /* limit and after, an id */
    OPENAI_PAGING_TOKEN,  /* limit and pagination_token, from the page before */
};

struct openai_vendor {
    const char *name;
    const char *base_url;  /* NULL: there is no such place, all run their own */
    unsigned operations;   /* or-ed prov_cap; 0: all */
    bool no_batches;       /* of OpenAI's kind */
    bool has_uploads;      /* takes files in parts, as OpenAI does */
    bool has_slash;        /* the collection is /files/ */
    const char *upload_to; /* path of uploads; NULL: the collection */
    enum openai_upload upload;
    enum openai_expiry expiry;
    bool needs_length; /* an upload must announce its length */
    bool has_status;   /* a file may be unfinished when it is uploaded */
    enum openai_paging paging;
    int64_t page;                 /* the most files of a page; 0: as we like */
    const char *list_purpose;     /* lists must be told a purpose; NULL */
    const char *const *relisting; /* names in query or form, ending with NULL,
                                     with which an upload gets another id than
                                     lists show: then there are no lists */
    const char *envelope;         /* member that wraps every answer; NULL */
    const struct conf_pair *purposes; /* theirs, by ours; ends with NULL */
    int64_t max_file_bytes;           /* 0: unknown */
    int64_t retention_s; /* ends what nobody says when to end; 0: never */
};

extern const struct openai_vendor openai_vendors[];
/* Their names in the same order, ended by NULL. */
extern const char *const openai_vendor_names[];
/* The table of providers/README.md in Markdown (a test holds it there). */
void openai_vendor_table(struct buf *out);

#endif
