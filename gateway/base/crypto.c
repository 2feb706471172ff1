#include "gateway/base/crypto.h"

#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "gateway/base/bug.h"

struct crypto_hash {
    EVP_MD_CTX *ctx;
};

/* Fetched once: a look-up by name costs more than a short hash. A thread's
 * context is kept for one-shot hashes and freed when the thread ends. */
static EVP_MD *sha256;
static pthread_key_t thread_ctx;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void free_ctx(void *ctx)
{
    EVP_MD_CTX_free(ctx);
}

static void start(void)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!sha256)
        BUG("the crypto library has no SHA-256");
    if (pthread_key_create(&thread_ctx, free_ctx) != 0)
        BUG("no thread keys are left");
}

static EVP_MD_CTX *new_ctx(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (!ctx)
        BUG("out of memory for a hash");
    return ctx;
}

static EVP_MD_CTX *get_thread_ctx(void)
{
    EVP_MD_CTX *ctx;

    pthread_once(&once, start);
    ctx = pthread_getspecific(thread_ctx);
    if (!ctx) {
        ctx = new_ctx();
        pthread_setspecific(thread_ctx, ctx);
    }
    return ctx;
}

static void hash_start(EVP_MD_CTX *ctx)
{
    if (!EVP_DigestInit_ex2(ctx, sha256, NULL))
        BUG("cannot start a hash");
}

static void hash_add(EVP_MD_CTX *ctx, const void *p, size_t n)
{
    if (n && !EVP_DigestUpdate(ctx, p, n))
        BUG("cannot add to a hash");
}

static void hash_end(EVP_MD_CTX *ctx, unsigned char *out)
{
    if (!EVP_DigestFinal_ex(ctx, out, NULL))
        BUG("cannot end a hash");
}

void crypto_hex(const unsigned char *bytes, size_t n, char *hex)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * n] = '\0';
}

void crypto_sha256(struct str data, unsigned char out[CRYPTO_SHA256_BYTES])
{
    EVP_MD_CTX *ctx = get_thread_ctx();

    hash_start(ctx);
    hash_add(ctx, data.p, data.n);
    hash_end(ctx, out);
}

void crypto_sha256_hex(struct str data, char out[CRYPTO_SHA256_HEX + 1])
{
    unsigned char bytes[CRYPTO_SHA256_BYTES];

    crypto_sha256(data, bytes);
    crypto_hex(bytes, sizeof(bytes), out);
}

struct crypto_hash *crypto_hash_new(void)
{
    struct crypto_hash *h = xmalloc(sizeof(*h));

    pthread_once(&once, start);
    h->ctx = new_ctx();
    hash_start(h->ctx);
    return h;
}

void crypto_hash_add(struct crypto_hash *h, const void *p, size_t n)
{
    hash_add(h->ctx, p, n);
}

struct crypto_hash *crypto_hash_new_md5(void)
{
    struct crypto_hash *h = xmalloc(sizeof(*h));

    h->ctx = new_ctx();
    if (EVP_DigestInit_ex2(h->ctx, EVP_md5(), NULL))
        return h;
    crypto_hash_free(h);
    return NULL;
}

void crypto_hash_finish(struct crypto_hash *h, char hex[CRYPTO_SHA256_HEX + 1])
{
    size_t n = (size_t)EVP_MD_CTX_get_size(h->ctx);
    unsigned char bytes[CRYPTO_SHA256_BYTES];

    ASSERT(n <= sizeof(bytes));
    hash_end(h->ctx, bytes);
    crypto_hex(bytes, n, hex);
    crypto_hash_free(h);
}

void crypto_hash_free(struct crypto_hash *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    free(h);
}

void crypto_hmac_sha256(struct str key, struct str data,
                        unsigned char out[CRYPTO_SHA256_BYTES])
{
    unsigned n = CRYPTO_SHA256_BYTES;

    /* A NULL key would mean the last one's. */
    if (!HMAC(EVP_sha256(), key.n ? key.p : "", (int)key.n,
              (const unsigned char *)data.p, data.n, out, &n))
        BUG("cannot make a MAC");
}

static EVP_PKEY *read_rsa_key(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key;

    if (!bio)
        BUG("out of memory for a key");
    /* An empty passphrase: OpenSSL would ask the terminal for one. */
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)(uintptr_t) "");
    BIO_free(bio);
    if (key && (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA ||
                EVP_PKEY_get_size(key) > CRYPTO_RSA_BYTES)) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

bool crypto_sign_rs256(struct str pem, struct str data,
                       unsigned char out[CRYPTO_RSA_BYTES], size_t *n)
{
    EVP_PKEY *key = pem.n && pem.n <= INT_MAX ? read_rsa_key(pem) : NULL;
    EVP_MD_CTX *ctx;
    bool is_signed;

    if (!key) {
        ERR_clear_error();
        return false;
    }
    ctx = new_ctx();
    *n = CRYPTO_RSA_BYTES;
    is_signed =
        EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(ctx, out, n, (const unsigned char *)data.p, data.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return is_signed;
}

void crypto_random(void *out, size_t n)
{
    char *to = out;

    while (n) {
        ssize_t got = getrandom(to, n, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            BUG("the system gives no random bytes");
        to += got;
        n -= (size_t)got;
    }
}

void crypto_random_text(char *out, size_t n)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    unsigned char bytes[64];
    size_t have = 0;

    /* Six bits of each byte, those that name no letter dropped: a remainder
     * would favour the first letters. */
    while (have < n) {
        crypto_random(bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes) && have < n; i++)
            if ((bytes[i] & 63) < sizeof(letters) - 1)
                out[have++] = letters[bytes[i] & 63];
    }
    out[n] = '\0';
    OPENSSL_cleanse(bytes, sizeof(bytes));
}

bool crypto_equal(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    return a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0;
}
