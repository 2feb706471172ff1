#include "gateway/store/redis_tls.h"

#ifdef HAVE_HIREDIS_SSL

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "gateway/base/bug.h"
#include "gateway/base/log.h"
#include "gateway/store/redis_resolve.h"

static bool trust(SSL_CTX *ctx, const char *ca_file)
{
    if (!*ca_file)
        return SSL_CTX_set_default_verify_paths(ctx) == 1;
    if (SSL_CTX_load_verify_locations(ctx, ca_file, NULL) == 1)
        return true;
    log_error("cannot read certificates from '%s' (redis.url)", ca_file);
    return false;
}

static bool expect_host(SSL *ssl, const char *host)
{
    if (redis_resolve_is_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1 &&
           SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct ssl_st *redis_tls_new(const char *host, const char *ca_file)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;

    if (!ctx)
        BUG("out of memory");
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    if (trust(ctx, ca_file))
        ssl = SSL_new(ctx);
    SSL_CTX_free(ctx); /* the session holds it */
    if (ssl && !expect_host(ssl, host))
        BUG("the name of a host is not taken: %s", host);
    return ssl;
}

void redis_tls_free(struct ssl_st *ssl)
{
    SSL_free(ssl);
}

#endif
