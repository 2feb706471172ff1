/* limits.h -- every compile-time bound, with its unit and its reason.
 *
 * What an operator may want to change is a configuration key instead; what is
 * here protects the process from strangers or was measured once and for all.
 */
#ifndef FILEMUX_BASE_LIMITS_H
#define FILEMUX_BASE_LIMITS_H

#define KIB (1024u)
#define MIB (1024u * 1024u)

/* clang-format off */

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
#define LIMIT_FORM_HEAD_BYTES (256 * KIB)  /* of a form that is passed on, up to
                                              its first file: a prompt may have
                                              32000 characters */
#define LIMIT_LATE_FIELD_BYTES 512         /* a name that stands behind it */

/* --- ids --- */
#define LIMIT_ID_BYTES 64           /* an id of ours */
#define LIMIT_NAMESPACE_BYTES 16    /* the provider's part of it */
#define LIMIT_OBJECT_ID_BYTES 256     /* of a response and its like: a part of a
                                         Redis key */
#define LIMIT_UPSTREAM_ID_BYTES (2 * KIB) /* LiteLLM's managed ids start at 300
                                             and grow with every model */

/* --- bytes in flight (measured) --- */
#define LIMIT_UPLOAD_BUFFER (512 * KIB)   /* curl's upload buffer; client reads
                                             go straight into it */
#define LIMIT_DOWNLOAD_BUFFER (256 * KIB) /* curl's receive buffer; paused, it
                                             keeps as much once more */
#define LIMIT_GATHER_BYTES (512 * KIB)    /* per worker: curl's 16 KiB slices
                                             are gathered here, sent at once */
#define LIMIT_PIPE_HIGH (256 * KIB)       /* a pipe above this holds its writer */
#define LIMIT_PIPE_LOW (128 * KIB)        /* and lets it go below this */
#define LIMIT_FILE_CHUNK (256 * KIB)      /* one read or write of file_io */
#define LIMIT_FILE_NAME 200               /* a stored file's name: a temporary
                                             name adds to it, 255 is all */
#define LIMIT_SERVER_SCRATCH (64 * KIB)   /* per worker: heads are read here */
#define LIMIT_RETRY_BODY (256 * KIB)      /* replayed on a stale connection */
#define LIMIT_PIECE_BYTES (64 * MIB)      /* one part of an upload in parts, held
                                             in memory: what a provider may ask
                                             for; the usual is 8 MiB */
#define LIMIT_TURN_BYTES (8 * MIB)        /* received by one call before others
                                             get their turn */
#define LIMIT_PUMP_ROUNDS 8               /* socket_action calls per readiness */

/* --- clients --- */
#define LIMIT_GUARDED_ADDRESSES 4096 /* per worker: those that sent wrong keys,
                                        some 100 bytes each */

/* --- connections to providers --- */
#define LIMIT_CLIENT_CONNS 256 /* kept alive, per worker */
#define LIMIT_CONN_IDLE_S 30   /* idle for longer: not used again; providers'
                                  own limits start at a few seconds */

/* --- answers and errors --- */
#define LIMIT_UPSTREAM_REPLY_BYTES (1 * MIB) /* a collected upstream reply */
#define LIMIT_SAID_BYTES (8 * KIB) /* of a provider's message, looked at for the
                                      400 bytes that are shown */
#define LIMIT_FIELD_SHOWN (1 * KIB) /* a header field of a provider's that is
                                       handed on */
#define LIMIT_LAST_BYTES (64 * KIB) /* read of an answer when a send failed */
#define LIMIT_JSON_BODY_BYTES (1 * MIB)      /* an admin call's body */
#define LIMIT_JSON_TEXT_BYTES (1 * MIB)      /* any text that is parsed */
#define LIMIT_JSON_DEPTH 64
#define LIMIT_JSON_VALUES 131072 /* in one text; a "{}" takes 300 bytes */
#define LIMIT_ERROR_TEXT 512 /* gw_error.message */
#define LIMIT_LINGER_BYTES (8 * MIB) /* read and dropped after an early reply */
#define LIMIT_LINGER_MS 5000
#define LIMIT_DRAIN_KEEPALIVE (64 * KIB) /* a body this short is read to its end
                                            after an early reply, and the
                                            connection is kept */

/* --- batch files, checked while they stream --- */
#define LIMIT_SCAN_DEPTH 512u /* brackets within brackets; a multiple of 64 */
#define LIMIT_BATCH_NAME_BYTES (4 * KIB) /* a model's name, quoted */
#define LIMIT_BATCH_LINE_IDS 128  /* files that a line can name */
#define LIMIT_BATCH_IDS (2 * LIMIT_BATCH_LINE_IDS) /* kept of a file's: a line's
                                                      are all among them */

/* --- batches --- */
#define LIMIT_METADATA_PAIRS 16  /* OpenAI's own bounds; in characters */
#define LIMIT_METADATA_KEY 64
#define LIMIT_METADATA_VALUE 512
#define LIMIT_BATCH_ENDPOINT 256 /* bytes */
#define LIMIT_BATCH_MEMBERS_BYTES (192 * KIB) /* all that is kept of what a
                                                 provider said of one */

/* --- uploads in parts --- */
#define LIMIT_UPLOAD_PARTS 2000 /* of one upload: 8 GB in parts of 4 MB */

/* --- ids in texts of the API --- */
#define LIMIT_IDS_PER_TEXT 4096 /* vector_stores/{id}/file_batches: 2000 */
#define LIMIT_ID_PATH_BYTES 128 /* of the place, for messages */
#define LIMIT_LOOK_UPS 64       /* of one request, at Redis at once: few beside
                                   LIMIT_REDIS_WAITING, however many send many */

/* --- client connections --- */
#define LIMIT_BACKLOG 1024         /* not yet accepted, per listener */
#define LIMIT_ACCEPT_PAUSE_MS 100  /* after running out of descriptors */
#define LIMIT_RATE_WINDOW_MS 10000 /* min_rate is measured over so much wait */
#define LIMIT_FREE_REQUESTS 256    /* request objects kept for reuse: 1 MB */
#define LIMIT_REPLY_HEAD_BYTES (32 * KIB) /* as much as we take */
#define LIMIT_SEND_TURN (1 * MIB) /* of one reply per turn, then others */
#define LIMIT_TLS_RECORD (16 * KIB) /* RFC 8446, 5.1: payload of a record */

/* --- lists --- */
#define LIMIT_MODELS 5000 /* that a provider says it has */
#define LIMIT_MODEL_BYTES 256 /* a name among them */
#define LIMIT_LIST_MAX 10000 /* the OpenAI API's own bound */
#define LIMIT_LIST_PAGE 500  /* records per store round trip */
#define LIMIT_FAN_OUT 8      /* providers that one upload goes to: each holds a
                                connection and a pipe */

/* --- store --- */
#define LIMIT_REDIS_COMMAND (4 * MIB) /* one command with its arguments */
#define LIMIT_REDIS_WAITING 65536     /* commands without an answer, per worker;
                                         more than that is a Redis that hangs */
#define LIMIT_KEPT_KEYS 1024          /* parsed virtual keys, per worker */
#define LIMIT_KEPT_TEAMS 1024         /* the same for teams */

#define LIMIT_KEPT_STATE_BYTES (64 * KIB) /* how an object was last seen: shown
                                             while its provider fails */

/* --- log, metrics --- */
#define LIMIT_LOG_LINE (8 * KIB)
#define LIMIT_LABEL_BYTES 128 /* a label value of a metric, cut beyond */

/* --- configuration --- */
#define LIMIT_CONF_FAULTS 20          /* reported of one file */
#define LIMIT_CONF_DEPTH 32           /* sections within sections */
#define LIMIT_CONF_NODES 100000       /* values read, aliases counted each time:
                                         a few can stand for billions */
#define LIMIT_CONF_SECRET (64u * KIB) /* a file: secret (keys are below 4 KiB) or a
                                         content */

/* clang-format on */

#endif
