/* TLS on our own reads and writes; libevent's bufferevents would move 4 KB at a
 * time. A record that OpenSSL has taken but the socket has not must be written
 * again with the same bytes: it is kept here, and counts as sent, until then.
 */
#include "gateway/net/http_server_impl.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

struct tls_context {
    SSL_CTX *ctx;
};

struct tls {
    SSL *ssl;
    char *unsent; /* a record that the socket did not take */
    size_t unsent_n;
    bool is_open;   /* the handshake is done */
    bool has_ended; /* nothing more will be read */
    bool is_broken; /* and nothing may be written */
};

/* --- the listener's --- */

static int choose_protocol(SSL *ssl UNUSED, const unsigned char **out,
                           unsigned char *out_n, const unsigned char *in,
                           unsigned in_n, void *arg UNUSED)
{
    static const unsigned char http1[] = "\x08http/1.1";
    unsigned char *chosen;

    if (SSL_select_next_proto(&chosen, out_n, http1, sizeof(http1) - 1, in,
                              in_n) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

struct tls_context *tls_context_new(const char *cert, const char *key,
                                    struct gw_error *e)
{
    struct tls_context *t = xcalloc(1, sizeof(*t));

    /* OpenSSL writes by write(2), which cannot be told to spare the process
     * when the client is gone. */
    signal(SIGPIPE, SIG_IGN);
    t->ctx = SSL_CTX_new(TLS_server_method());
    if (!t->ctx)
        BUG("out of memory");
    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE |
                                    SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS |
                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_alpn_select_cb(t->ctx, choose_protocol, NULL);
    if (SSL_CTX_use_certificate_chain_file(t->ctx, cert) != 1)
        err_set(e, GW_INVALID_VALUE, "cannot load the certificate '%s'", cert);
    else if (SSL_CTX_use_PrivateKey_file(t->ctx, key, SSL_FILETYPE_PEM) != 1)
        err_set(e, GW_INVALID_VALUE, "cannot load the key '%s'", key);
    else if (SSL_CTX_check_private_key(t->ctx) != 1)
        err_set(e, GW_INVALID_VALUE, "the key '%s' does not fit '%s'", key,
                cert);
    else
        return t;
    ERR_clear_error();
    tls_context_free(t);
    return NULL;
}

void tls_context_free(struct tls_context *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->ctx);
    free(t);
}

/* --- a connection's --- */

struct tls *tls_new(struct tls_context *context, int fd)
{
    struct tls *t = xcalloc(1, sizeof(*t));

    t->ssl = SSL_new(context->ctx);
    if (!t->ssl || SSL_set_fd(t->ssl, fd) != 1)
        BUG("out of memory");
    SSL_set_accept_state(t->ssl);
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t->unsent);
    free(t);
}

/* What SSL_get_error() says about result, without leaving a trace in the
 * thread's queue of errors, which the next call would trip over. */
static int outcome_of(struct tls *t, int result)
{
    int error = SSL_get_error(t->ssl, result);

    if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL)
        t->is_broken = true;
    ERR_clear_error();
    return error;
}

enum tls_step tls_handshake(struct tls *t)
{
    int result = SSL_accept(t->ssl);

    if (result == 1) {
        t->is_open = true;
        return TLS_DONE;
    }
    switch (outcome_of(t, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WANTS_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANTS_WRITE;
    default:
        return TLS_FAILED;
    }
}

/* Reads to the brim or until the socket is empty: a short read means the
 * latter, as with recv(). */
ssize_t tls_recv(struct tls *t, char *buf, size_t cap)
{
    size_t done = 0, n;
    int result, error;

    while (done < cap && !t->has_ended) {
        result = SSL_read_ex(t->ssl, buf + done, cap - done, &n);
        if (result == 1) {
            done += n;
            continue;
        }
        error = outcome_of(t, result);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
            break;
        t->has_ended = true;
    }
    if (done || t->has_ended)
        return (ssize_t)done;
    errno = EAGAIN;
    return -1;
}

bool tls_has_ended(const struct tls *t)
{
    return t->has_ended;
}

/* 1: written; 0: not now; -1: broken. */
static int write_record(struct tls *t, const char *p, size_t n)
{
    size_t written;
    int result, error;

    if (t->is_broken)
        return -1;
    result = SSL_write_ex(t->ssl, p, n, &written);
    if (result == 1)
        return 1;
    error = outcome_of(t, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0
                                                                         : -1;
}

static int write_unsent(struct tls *t)
{
    int result;

    if (!t->unsent_n)
        return 1;
    result = write_record(t, t->unsent, t->unsent_n);
    if (result == 1) {
        t->unsent_n = 0;
        free(t->unsent);
        t->unsent = NULL;
    }
    return result;
}

static void keep_unsent(struct tls *t, const char *p, size_t n)
{
    t->unsent = xmalloc(n);
    t->unsent_n = n;
    memcpy(t->unsent, p, n);
}

/* Copies the next bytes of v, from *at on, into one record. */
static size_t gather(const struct iovec *v, int n, size_t at, char *record)
{
    size_t filled = 0, part;
    int i;

    for (i = 0; i < n && filled < LIMIT_TLS_RECORD; i++) {
        if (at >= v[i].iov_len) {
            at -= v[i].iov_len;
            continue;
        }
        part = MIN(v[i].iov_len - at, LIMIT_TLS_RECORD - filled);
        memcpy(record + filled, (const char *)v[i].iov_base + at, part);
        filled += part;
        at = 0;
    }
    return filled;
}

ssize_t tls_send(struct tls *t, const struct iovec *v, int n, char *record)
{
    size_t done = 0, size;
    int result = write_unsent(t);

    while (result == 1 && (size = gather(v, n, done, record)) > 0) {
        result = write_record(t, record, size);
        if (result == 0)
            keep_unsent(t, record, size);
        if (result >= 0)
            done += size;
    }
    if (result < 0)
        return -1;
    return (ssize_t)done;
}

bool tls_is_flushed(const struct tls *t)
{
    return !t->unsent_n;
}

void tls_shut(struct tls *t)
{
    if (!t->is_open || t->is_broken)
        return;
    SSL_shutdown(t->ssl);
    ERR_clear_error();
}
