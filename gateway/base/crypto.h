/* crypto.h -- hashes, random bytes and a comparison that tells nothing.
 *
 * A thin front of OpenSSL; the only file that knows it. Any thread.
 */
#ifndef FILEMUX_BASE_CRYPTO_H
#define FILEMUX_BASE_CRYPTO_H

#include "gateway/base/str.h"

#define CRYPTO_SHA256_BYTES 32
#define CRYPTO_SHA256_HEX 64

void crypto_sha256(struct str data, unsigned char out[CRYPTO_SHA256_BYTES]);
/* Lower-case hex and a NUL. */
void crypto_sha256_hex(struct str data, char out[CRYPTO_SHA256_HEX + 1]);

/* Incremental, for bodies. Owned by the caller, ended by one of the two. */
struct crypto_hash;
struct crypto_hash *crypto_hash_new(void) MUSTCHECK;
/* The same with MD5, 32 digits in the end: it protects against accidents alone.
 * NULL where the library is not allowed to. */
struct crypto_hash *crypto_hash_new_md5(void) MUSTCHECK;
void crypto_hash_add(struct crypto_hash *h, const void *p, size_t n);
void crypto_hash_finish(struct crypto_hash *h, char hex[CRYPTO_SHA256_HEX + 1]);
void crypto_hash_free(struct crypto_hash *h);

/* HMAC with SHA-256 (RFC 2104). */
void crypto_hmac_sha256(struct str key, struct str data,
                        unsigned char out[CRYPTO_SHA256_BYTES]);
/* n bytes as 2n lower-case digits and a NUL. */
void crypto_hex(const unsigned char *bytes, size_t n, char *hex);

/* RSASSA-PKCS1-v1_5 with SHA-256 (RS256 in RFC 7518). `pem` holds a private
 * key of at most 8192 bits, without a passphrase. False when it does not, or is
 * no RSA key; out needs CRYPTO_RSA_BYTES, *n of which are written. About a
 * millisecond. */
#define CRYPTO_RSA_BYTES 1024
bool crypto_sign_rs256(struct str pem, struct str data,
                       unsigned char out[CRYPTO_RSA_BYTES],
                       size_t *n) MUSTCHECK;

/* Bytes from the system's generator (getrandom); BUG if there are none. */
void crypto_random(void *out, size_t n);
/* n random characters of a-zA-Z0-9 and a NUL (out holds n + 1). */
void crypto_random_text(char *out, size_t n);

/* Equality in a time that depends on the lengths alone. */
bool crypto_equal(struct str a, struct str b);

#endif
