/* What a line of the log must not show.
 *
 * The table of marks says which bytes are worth a look; all others cost one
 * load. A secret's first byte is marked when the secret is registered, and the
 * secrets with the same first byte are chained. A chain only grows at its
 * head, which is published atomically, so a reader needs no lock. */
#include "gateway/base/log_impl.h"

#include <pthread.h>
#include <stdlib.h>

#include "gateway/base/bug.h"

#define SECRET_MIN 8

/* clang-format off */
atomic_uchar log_marks[256] = {
    [0x00 ... 0x1f] = LOG_MARK_ESCAPE | LOG_MARK_QUOTE,
    [0x7f ... 0xff] = LOG_MARK_ESCAPE | LOG_MARK_QUOTE,
    ['"'] = LOG_MARK_ESCAPE | LOG_MARK_QUOTE,
    ['\\'] = LOG_MARK_ESCAPE | LOG_MARK_QUOTE,
    [' '] = LOG_MARK_QUOTE, ['='] = LOG_MARK_QUOTE,
    ['s'] = LOG_MARK_START, ['B'] = LOG_MARK_START, ['b'] = LOG_MARK_START,
    [':'] = LOG_MARK_START, ['?'] = LOG_MARK_START,
};
/* clang-format on */

static pthread_mutex_t secret_lock = PTHREAD_MUTEX_INITIALIZER;
static struct secret {
    struct str text;
    struct secret *next; /* with the same first byte */
} secrets[LOG_SECRETS_MAX];
static size_t secret_count; /* under secret_lock; slots in use never change */
static struct secret *_Atomic chains[256]; /* by first byte */

/* --- secrets --- */

static struct secret *chain_of(struct str s)
{
    return atomic_load_explicit(&chains[(unsigned char)s.p[0]],
                                memory_order_acquire);
}

static bool secret_is_known(struct str text)
{
    for (const struct secret *s = chain_of(text); s; s = s->next)
        if (str_eq(s->text, text))
            return true;
    return false;
}

static void secret_keep(struct str text)
{
    struct secret *s = &secrets[secret_count++];
    unsigned char first = (unsigned char)text.p[0];

    s->text = str_make(memcpy(xmalloc(text.n), text.p, text.n), text.n);
    s->next = chain_of(text);
    atomic_store_explicit(&chains[first], s, memory_order_release);
    atomic_fetch_or_explicit(&log_marks[first], LOG_MARK_SECRET,
                             memory_order_relaxed);
}

void log_add_secret(struct str secret)
{
    bool is_full = false;

    if (secret.n < SECRET_MIN)
        return;
    pthread_mutex_lock(&secret_lock);
    if (!secret_is_known(secret)) {
        is_full = secret_count == LOG_SECRETS_MAX;
        if (!is_full)
            secret_keep(secret);
    }
    pthread_mutex_unlock(&secret_lock);
    if (is_full)
        log_warn("too many secrets to hide in the log, at most %d are kept",
                 LOG_SECRETS_MAX);
}

/* Length of the longest registered secret with which rest begins, or 0. */
static size_t secret_len(struct str rest)
{
    size_t longest = 0;

    if (rest.n < SECRET_MIN)
        return 0;
    for (const struct secret *s = chain_of(rest); s; s = s->next)
        if (s->text.p[1] == rest.p[1] && s->text.n > longest &&
            str_starts(rest, s->text))
            longest = s->text.n;
    return longest;
}

/* --- what looks like a secret --- */

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

/* Bytes at the front of s that are letters, digits or in `more`. */
static size_t span(struct str s, const char *more)
{
    size_t i = 0;

    while (i < s.n && s.p[i] && (is_alnum(s.p[i]) || strchr(more, s.p[i])))
        i++;
    return i;
}

/* "sk-" and at least four characters of a token. Not within a word: a provider
 * may be named "disk-local". A percent escape before it ends a word, too. */
static bool find_api_key(struct str v, size_t at, struct log_cover *c)
{
    struct str rest = str_make(v.p + at, v.n - at);
    bool is_escaped = at >= 3 && v.p[at - 3] == '%';

    if (!str_starts(rest, STR("sk-")))
        return false;
    if (at > 0 && is_alnum(v.p[at - 1]) && !is_escaped)
        return false;
    c->keep = 3;
    c->hide = span(str_make(rest.p + 3, rest.n - 3), "_-");
    return c->hide >= 4;
}

static bool find_bearer(struct str v, size_t at, struct log_cover *c)
{
    const struct str word = STR("bearer ");
    struct str rest = str_make(v.p + at, v.n - at);

    if (rest.n <= word.n || !str_eq_nocase(str_make(rest.p, word.n), word))
        return false;
    c->keep = word.n;
    c->hide = span(str_make(rest.p + word.n, rest.n - word.n), "-._~+/=:");
    return c->hide > 0;
}

static bool ends_url(char c)
{
    return (unsigned char)c <= ' ' || strchr("\"'<>`", c);
}

/* At the colon of "://": a URL begins, and what stands before an @ in its
 * authority is a password. */
static bool find_url(struct log_scan *s, struct log_cover *c)
{
    struct str rest = str_make(s->v.p + s->at, s->v.n - s->at);
    size_t end = 3;
    bool has_password;

    if (s->at < s->url_end || !str_starts(rest, STR("://")))
        return false;
    while (end < rest.n && !ends_url(rest.p[end]) &&
           !strchr("/?#@", rest.p[end]))
        end++;
    has_password = end < rest.n && rest.p[end] == '@' && end > 3;
    *c = (struct log_cover){3, has_password ? end - 3 : 0};
    while (end < rest.n && !ends_url(rest.p[end]))
        end++;
    s->url_end = s->at + end;
    return c->hide > 0;
}

static bool find_query(const struct log_scan *s, struct log_cover *c)
{
    if (s->at + 1 >= s->url_end)
        return false;
    *c = (struct log_cover){1, s->url_end - s->at - 1};
    return true;
}

bool log_find_cover(struct log_scan *s, unsigned mark, struct log_cover *c)
{
    if (mark & LOG_MARK_SECRET) {
        struct str rest = str_make(s->v.p + s->at, s->v.n - s->at);

        *c = (struct log_cover){0, secret_len(rest)};
        if (c->hide)
            return true;
    }
    if (!(mark & LOG_MARK_START))
        return false;
    switch (s->v.p[s->at]) {
    case 's':
        return find_api_key(s->v, s->at, c);
    case ':':
        return find_url(s, c);
    case '?':
        return find_query(s, c);
    default:
        return find_bearer(s->v, s->at, c);
    }
}
