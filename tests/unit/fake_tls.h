/* fake_tls.h -- a certificate for 127.0.0.1, made for the moment, for tests. */
#ifndef FILEMUX_TESTS_FAKE_TLS_H
#define FILEMUX_TESTS_FAKE_TLS_H

#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "gateway/base/bug.h"

static inline void fake_tls_extend(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

    ASSERT(e && X509_add_ext(cert, e, -1));
    X509_EXTENSION_free(e);
}

static inline X509 *fake_tls_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)"fake", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    fake_tls_extend(cert, NID_basic_constraints, "critical,CA:TRUE");
    fake_tls_extend(cert, NID_subject_alt_name, "IP:127.0.0.1");
    ASSERT(X509_sign(cert, key, EVP_sha256()));
    return cert;
}

/* A server context; the certificate is written to ca_file. */
static inline SSL_CTX *fake_tls_open(const char *ca_file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = fake_tls_certificate(key);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    FILE *f = fopen(ca_file, "w");

    ASSERT(key && ctx && f && PEM_write_X509(f, cert));
    fclose(f);
    ASSERT(SSL_CTX_use_certificate(ctx, cert) == 1);
    ASSERT(SSL_CTX_use_PrivateKey(ctx, key) == 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

#endif
