/* redis_tls.h -- the TLS session of a connection to Redis.
 *
 * Only where hiredis has TLS. hiredis's own set-up checks the certificate's
 * chain but never whose name is in it, so the session is made here.
 */
#ifndef FILEMUX_STORE_REDIS_TLS_H
#define FILEMUX_STORE_REDIS_TLS_H

struct ssl_st;

/* A client session that accepts the host's certificate alone, signed by the
 * system's authorities or (not "") those of the file. The caller owns it. NULL
 * when the file cannot be read: logged. */
struct ssl_st *redis_tls_new(const char *host, const char *ca_file);
/* NULL is allowed. */
void redis_tls_free(struct ssl_st *ssl);

#endif
