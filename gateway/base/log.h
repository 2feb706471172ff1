/* log.h -- structured log lines on stderr, as JSON or logfmt.
 *
 * A line is a time, a level, a message and fields. Every value passes the
 * redactor: API keys ("sk-…", "Bearer …"), query strings of URLs and anything
 * registered with log_add_secret() come out as "***". One line is one
 * write(2), at most LIMIT_LOG_LINE bytes, cut with a mark when longer. Any
 * thread.
 *
 *     struct log_line l;
 *     log_begin(&l, LOG_INFO, txn->log_prefix, "access");
 *     log_str(&l, "route", route);
 *     log_int(&l, "status", 200);
 *     log_end(&l);
 */
#ifndef FILEMUX_BASE_LOG_H
#define FILEMUX_BASE_LOG_H

#include "gateway/base/buf.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_JSON, LOG_LOGFMT };

/* Level and format from now on, for all threads. */
void log_setup(enum log_level level, enum log_format format);
/* Write to this descriptor instead of stderr (tests). */
void log_set_fd(int fd);
/* A value that must never appear (at least 8 bytes; shorter is ignored).
 * Copied. At most LOG_SECRETS_MAX are kept: only provider credentials and the
 * master key belong here. Before the workers start, or under reload. */
#define LOG_SECRETS_MAX 256
void log_add_secret(struct str secret);

bool log_is_on(enum log_level level);

struct log_line {
    enum log_level level;
    bool is_on; /* the level is on: otherwise all calls are empty */
    struct buf text;
};

/* request_id: "" or NULL for none. Every begun line must be ended. */
void log_begin(struct log_line *l, enum log_level level, const char *request_id,
               const char *message);
void log_str(struct log_line *l, const char *key, struct str value);
void log_cstr(struct log_line *l, const char *key, const char *value);
void log_int(struct log_line *l, const char *key, int64_t value);
void log_double(struct log_line *l, const char *key, double value);
void log_end(struct log_line *l);

/* A message alone. */
void log_msg(enum log_level level, const char *request_id, const char *fmt, ...)
    PRINTFLIKE(3, 4);

#define log_debug(...) log_msg(LOG_DEBUG, NULL, __VA_ARGS__)
#define log_info(...) log_msg(LOG_INFO, NULL, __VA_ARGS__)
#define log_warn(...) log_msg(LOG_WARN, NULL, __VA_ARGS__)
#define log_error(...) log_msg(LOG_ERROR, NULL, __VA_ARGS__)

#endif
