/* limits.h -- every compile-time bound, with its unit and its reason.
 *
 * What an operator may want to change is a configuration key instead; what is
 * here protects the process from strangers or was measured once and for all.
 */
#ifndef FILEMUX_BASE_LIMITS_H
#define FILEMUX_BASE_LIMITS_H

#define KIB (1024u)
#define MIB (1024u * 1024u)

/* --- request heads (RFC 9112; nginx refuses at the same order) --- */
#define LIMIT_HEAD_BYTES (32 * KIB)   /* request line and all fields */
#define LIMIT_HEAD_FIELDS 100         /* header fields in a head */
#define LIMIT_TARGET_BYTES (8 * KIB)  /* request target, else 414 */
#define LIMIT_METHOD_BYTES 16         /* the longest of ours has 7 */
#define LIMIT_CHUNK_LINE_BYTES 256    /* a chunk size with its extensions */
#define LIMIT_TRAILER_BYTES (8 * KIB) /* trailers, read and dropped */

/* --- multipart/form-data --- */
#define LIMIT_BOUNDARY_BYTES 70            /* RFC 2046, section 5.1.1 */
#define LIMIT_PREAMBLE_BYTES (8 * KIB)     /* before the first delimiter */
#define LIMIT_PART_HEAD_BYTES (8 * KIB)    /* header block of one part */
#define LIMIT_PARTS 32                     /* parts in a form */
#define LIMIT_FIELD_BYTES (64 * KIB)       /* one scalar field */
#define LIMIT_TAIL_BYTES (64 * KIB)        /* parts after the file, raw */
#define LIMIT_FILENAME_BYTES 1024          /* as stored and handed out */
#define LIMIT_PURPOSE_BYTES 64

/* --- ids --- */
#define LIMIT_ID_BYTES 64           /* an id of ours */
#define LIMIT_NAMESPACE_BYTES 16    /* the provider's part of it */
#define LIMIT_UPSTREAM_ID_BYTES 512 /* LiteLLM's managed ids reach 300 */

/* --- bytes in flight (streaming.md, section 5: measured) --- */
#define LIMIT_UPLOAD_BUFFER (512 * KIB)   /* curl's upload buffer; client reads
                                             go straight into it */
#define LIMIT_DOWNLOAD_BUFFER (256 * KIB) /* curl's receive buffer */
#define LIMIT_GATHER_BYTES (1 * MIB)      /* per worker: curl's 16 KiB slices
                                             are gathered here, sent at once */
#define LIMIT_PIPE_HIGH (512 * KIB)       /* a pipe above this holds its writer */
#define LIMIT_PIPE_LOW (128 * KIB)        /* and lets it go below this */
#define LIMIT_FILE_CHUNK (256 * KIB)      /* one read or write of file_io */
#define LIMIT_SERVER_SCRATCH (64 * KIB)   /* per worker: heads are read here */
#define LIMIT_RETRY_BODY (256 * KIB)      /* replayed on a stale connection */
#define LIMIT_PUMP_ROUNDS 8               /* socket_action calls per readiness */

/* --- answers and errors --- */
#define LIMIT_UPSTREAM_REPLY_BYTES (1 * MIB) /* a collected upstream reply */
#define LIMIT_JSON_BODY_BYTES (1 * MIB)      /* an admin call's body */
#define LIMIT_JSON_DEPTH 64
#define LIMIT_ERROR_TEXT 512 /* gw_error.message */
#define LIMIT_LINGER_BYTES (8 * MIB) /* read and dropped after an early reply */
#define LIMIT_LINGER_MS 5000
#define LIMIT_DRAIN_KEEPALIVE (64 * KIB) /* a body this short is read to its end
                                            after an early reply, and the
                                            connection is kept */

/* --- lists --- */
#define LIMIT_LIST_MAX 10000 /* the OpenAI API's own bound */
#define LIMIT_LIST_PAGE 500  /* records per store round trip */

/* --- log --- */
#define LIMIT_LOG_LINE (8 * KIB)

#endif
