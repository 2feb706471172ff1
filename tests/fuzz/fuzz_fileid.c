/* A text as an id of each kind: what is accepted is exactly its pieces. */
#include <stdint.h>
#include <stdio.h>

#include "gateway/base/bug.h"
#include "gateway/codec/fileid.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const prefixes[] = {
        [FILEID_FILE] = "file-",
        [FILEID_BATCH] = "batch_",
        [FILEID_UPLOAD] = "upload_",
        [FILEID_JOB] = "ftjob-",
    };
    struct str text = str_make((const char *)data, size);
    struct fileid id;
    char again[LIMIT_ID_BYTES + 1];
    int kinds = 0;

    for (int kind = FILEID_FILE; kind <= FILEID_JOB; kind++) {
        if (!fileid_parse((enum fileid_kind)kind, text, &id))
            continue;
        kinds++;
        snprintf(again, sizeof(again), "%s%.*s-%.*s", prefixes[kind],
                 STR_ARG(id.ns), STR_ARG(id.ulid));
        ASSERT(str_eq_c(text, again));
        ASSERT(fileid_is_namespace(id.ns));
        ASSERT(fileid_time_ms(id.ulid) >= 0);
        ASSERT(fileid_time_ms(id.ulid) < (int64_t)1 << 48);
    }
    ASSERT(kinds <= 1);
    fileid_is_namespace(text);
    return 0;
}
