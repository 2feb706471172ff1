/* uploads.h -- what the calls of the Uploads API share. */
#ifndef FILEMUX_API_UPLOADS_H
#define FILEMUX_API_UPLOADS_H

#include "gateway/api/api.h"
#include "gateway/store/upload_store.h"

struct uploads_found {
    const struct upload_view *view;       /* in the transaction's arena */
    const struct provider_conf *provider; /* where the file goes */
    const struct provider_conf *hold; /* where parts are; NULL: at provider */
};

/* Find the caller's upload {id}, with these parts of it; then fn is called, or
 * it was answered why not. The upload may be in any state. */
typedef void uploads_fn(struct txn *t, const struct uploads_found *f,
                        void *arg);
void uploads_find(struct txn *t, const struct str *parts, size_t nparts,
                  uploads_fn *fn, void *arg);

/* {"object": "upload", …}; file is NULL unless it is completed. */
void uploads_reply(struct txn *t, const struct upload_record *u,
                   enum upload_state state, const struct file_record *file);
void uploads_refuse_id(struct txn *t);
/* Why it is not to be changed in that state. */
enum gw_err uploads_check_state(enum upload_state state, struct gw_error *e);
/* What bounds a file of that provider; 0: nothing. */
int64_t uploads_max_bytes(const struct txn *t, const struct provider_conf *p);

#endif
