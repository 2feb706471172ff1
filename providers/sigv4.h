/* sigv4.h -- AWS Signature Version 4, which says who sends a request.
 *
 * Everything that decides what a request does is signed: method, path, query,
 * the host, some header fields, and a hash of the body or a word that says
 * there is none. Pure: the time is handed in.
 */
#ifndef FILEMUX_PROVIDERS_SIGV4_H
#define FILEMUX_PROVIDERS_SIGV4_H

#include "gateway/base/buf.h"
#include "gateway/base/crypto.h"
#include "gateway/codec/http_msg.h"

struct sigv4 {
    struct str key_id, secret;
    struct str token; /* of temporary keys; "" for lasting ones */
    struct str region, service;
    int64_t now_s;
};

/* In place of the body's hash: the body is not signed. */
#define SIGV4_UNSIGNED STR("UNSIGNED-PAYLOAD")
/* Of no body. */
#define SIGV4_EMPTY                                                            \
    STR("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")

/* Whether the field is signed, if a request has it: x-amz-*, and those that
 * change what a request means. Host is, always. */
bool sigv4_is_signed(struct str name);

/* Adds x-amz-date, x-amz-content-sha256 (which is `payload`, a hash in hex or
 * SIGV4_UNSIGNED), x-amz-security-token where there is one, and Authorization.
 * The URL must be absolute, and in the only spelling that AWS knows: all but
 * the unreserved characters and the path's slashes as %XX. (Services other than
 * s3 encode the path once more to sign it: so is done here.) `payload` must
 * live as long as the arena. */
void sigv4_sign(const struct sigv4 *s, struct arena *a, struct http_req *req,
                struct str payload);

/* --- what that is made of, for who signs something else --- */

/* What is hashed of a request that has all its fields, the path as it is. The
 * caller releases *out. */
void sigv4_canonical(const struct http_req *req, struct str payload,
                     struct buf *out);
/* The key of a day, "20130524". */
void sigv4_key(const struct sigv4 *s, struct str day,
               unsigned char out[CRYPTO_SHA256_BYTES]);
/* The signature of a text under that key, in hex with a NUL. */
void sigv4_signature(const unsigned char key[CRYPTO_SHA256_BYTES],
                     struct str text, char hex[CRYPTO_SHA256_HEX + 1]);

#endif
