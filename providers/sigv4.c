#include "providers/sigv4.h"

#include <stdlib.h>
#include <time.h>

#include "gateway/base/bug.h"
#include "gateway/codec/url.h"

/* The request is written down in one canonical way, hashed, and the hash is
 * signed together with the time and the scope; the other side does the same
 * and compares:
 *
 *     method, path, query ─┐
 *     host, signed fields ─┼─> canonical request ─sha256─┐
 *     hash of the body  ───┘                             │
 *     time, day/region/service/aws4_request ─────────────┴─> text ─hmac─> it
 */

#define ALGORITHM "AWS4-HMAC-SHA256"
#define CANONICAL_MAX (LIMIT_HEAD_BYTES + 16 * KIB)
#define FIELDS_MAX LIMIT_HEAD_FIELDS
#define PARAMS_MAX 32
#define STAMP_BYTES 17 /* "20130524T000000Z" */

/* --- fields --- */

bool sigv4_is_signed(struct str name)
{
    static const char *const names[] = {"host",
                                        "content-type",
                                        "content-length",
                                        "content-encoding",
                                        "range",
                                        "if-none-match",
                                        "date"};
    size_t i;

    for (i = 0; i < COUNTOF(names); i++)
        if (str_eq_nocase(name, str_of(names[i])))
            return true;
    return name.n > 6 && str_eq_nocase(str_make(name.p, 6), STR("x-amz-"));
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static void add_lower(struct buf *out, struct str s)
{
    size_t i;

    for (i = 0; i < s.n; i++)
        buf_add_byte(out, lower(s.p[i]));
}

/* Trimmed, and every run of blanks one of them. */
static void add_value(struct buf *out, struct str s)
{
    bool was_blank = false;
    size_t i;

    s = str_trim(s);
    for (i = 0; i < s.n; i++) {
        bool is_blank = s.p[i] == ' ' || s.p[i] == '\t';

        if (!is_blank || !was_blank)
            buf_add_byte(out, is_blank ? ' ' : s.p[i]);
        was_blank = is_blank;
    }
}

static int by_name(const void *a, const void *b)
{
    struct str x = ((const struct http_field *)a)->name;
    struct str y = ((const struct http_field *)b)->name;
    size_t i;

    for (i = 0; i < MIN(x.n, y.n); i++)
        if (lower(x.p[i]) != lower(y.p[i]))
            return (unsigned char)lower(x.p[i]) - (unsigned char)lower(y.p[i]);
    return x.n < y.n ? -1 : x.n > y.n;
}

static struct str host_of(struct str url)
{
    static const struct {
        struct str scheme, port;
    } usual[] = {{{"https://", 8}, {":443", 4}}, {{"http://", 7}, {":80", 3}}};
    struct str host = url_origin(url);
    size_t i;

    ASSERT(host.p);
    for (i = 0; i < COUNTOF(usual); i++) {
        size_t n = usual[i].scheme.n;

        if (!str_eq_nocase(str_make(host.p, MIN(n, host.n)), usual[i].scheme))
            continue;
        host = str_make(host.p + n, host.n - n);
        /* As the client writes it: the usual port is left out. */
        if (str_ends(host, usual[i].port))
            host.n -= usual[i].port.n;
        break;
    }
    return host;
}

/* The signed ones in order; how many. */
static size_t signed_fields(const struct http_req *req, struct http_field *out)
{
    size_t i, n = 0;

    out[n++] = (struct http_field){STR("host"), host_of(req->url)};
    for (i = 0; i < req->fields.n; i++) {
        if (!sigv4_is_signed(req->fields.v[i].name))
            continue;
        ASSERT(n < FIELDS_MAX);
        out[n++] = req->fields.v[i];
    }
    qsort(out, n, sizeof(*out), by_name);
    return n;
}

static void add_names(const struct http_field *f, size_t n, struct buf *out)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (i)
            buf_add_byte(out, ';');
        add_lower(out, f[i].name);
    }
}

/* --- the query --- */

static int by_param(const void *a, const void *b)
{
    struct http_field const *x = a, *y = b;
    int order = str_cmp(x->name, y->name);

    return order ? order : str_cmp(x->value, y->value);
}

static void add_query(struct str query, struct buf *out)
{
    struct http_field params[PARAMS_MAX];
    struct str pair;
    size_t i, n = 0;

    while (str_next(&query, '&', &pair)) {
        ASSERT(n < PARAMS_MAX);
        if (!str_cut(pair, '=', &params[n].name, &params[n].value))
            params[n].value = STR("");
        n++;
    }
    if (n)
        qsort(params, n, sizeof(*params), by_param);
    for (i = 0; i < n; i++)
        buf_printf(out, "%s%.*s=%.*s", i ? "&" : "", STR_ARG(params[i].name),
                   STR_ARG(params[i].value));
}

/* --- the request --- */

void sigv4_canonical(const struct http_req *req, struct str payload,
                     struct buf *out)
{
    struct http_field fields[FIELDS_MAX];
    size_t origin = url_origin(req->url).n, i, n = signed_fields(req, fields);
    struct str path = str_make(req->url.p + origin, req->url.n - origin);
    struct str query;

    buf_init(out, CANONICAL_MAX);
    str_cut(path, '?', &path, &query);
    buf_printf(out, "%s\n%.*s\n", req->method,
               STR_ARG(path.n ? path : STR("/")));
    add_query(query, out);
    buf_add_byte(out, '\n');
    for (i = 0; i < n; i++) {
        add_lower(out, fields[i].name);
        buf_add_byte(out, ':');
        add_value(out, fields[i].value);
        buf_add_byte(out, '\n');
    }
    buf_add_byte(out, '\n');
    add_names(fields, n, out);
    buf_printf(out, "\n%.*s", STR_ARG(payload));
    ASSERT(!out->overflow);
}

void sigv4_key(const struct sigv4 *s, struct str day,
               unsigned char out[CRYPTO_SHA256_BYTES])
{
    const struct str steps[] = {day, s->region, s->service,
                                STR("aws4_request")};
    unsigned char key[CRYPTO_SHA256_BYTES];
    struct str by;
    struct buf first;
    size_t i;

    buf_init(&first, s->secret.n + 8);
    buf_add_c(&first, "AWS4");
    buf_add_str(&first, s->secret);
    by = buf_str(&first);
    for (i = 0; i < COUNTOF(steps); i++) {
        crypto_hmac_sha256(by, steps[i], out);
        memcpy(key, out, sizeof(key));
        by = str_make((const char *)key, sizeof(key));
    }
    buf_release(&first);
}

void sigv4_signature(const unsigned char key[CRYPTO_SHA256_BYTES],
                     struct str text, char hex[CRYPTO_SHA256_HEX + 1])
{
    unsigned char mac[CRYPTO_SHA256_BYTES];

    crypto_hmac_sha256(str_make((const char *)key, CRYPTO_SHA256_BYTES), text,
                       mac);
    crypto_hex(mac, sizeof(mac), hex);
}

static struct str stamp_of(struct arena *a, int64_t now_s)
{
    char text[STAMP_BYTES];
    time_t t = (time_t)now_s;
    struct tm tm;

    if (!gmtime_r(&t, &tm) ||
        strftime(text, sizeof(text), "%Y%m%dT%H%M%SZ", &tm) != STAMP_BYTES - 1)
        BUG("no such time: %lld", (long long)now_s);
    return arena_dup(a, str_make(text, STAMP_BYTES - 1));
}

static void sign_text(const struct sigv4 *s, struct str stamp, struct str scope,
                      struct str canonical, char hex[CRYPTO_SHA256_HEX + 1])
{
    unsigned char key[CRYPTO_SHA256_BYTES];
    char hash[CRYPTO_SHA256_HEX + 1];
    struct buf text;

    crypto_sha256_hex(canonical, hash);
    buf_init(&text, KIB);
    buf_printf(&text, ALGORITHM "\n%.*s\n%.*s\n%s", STR_ARG(stamp),
               STR_ARG(scope), hash);
    ASSERT(!text.overflow);
    sigv4_key(s, str_make(stamp.p, 8), key);
    sigv4_signature(key, buf_str(&text), hex);
    buf_release(&text);
}

static struct str authorization(const struct sigv4 *s, struct arena *a,
                                const struct http_req *req, struct str stamp,
                                struct str payload)
{
    struct http_field fields[FIELDS_MAX];
    size_t n = signed_fields(req, fields);
    char hex[CRYPTO_SHA256_HEX + 1];
    struct buf canonical, names, scope;
    struct str out;

    buf_init(&scope, KIB);
    buf_printf(&scope, "%.8s/%.*s/%.*s/aws4_request", stamp.p,
               STR_ARG(s->region), STR_ARG(s->service));
    buf_init(&names, LIMIT_HEAD_BYTES);
    add_names(fields, n, &names);
    sigv4_canonical(req, payload, &canonical);
    sign_text(s, stamp, buf_str(&scope), buf_str(&canonical), hex);
    out = arena_printf(
        a, ALGORITHM " Credential=%.*s/%s, SignedHeaders=%s, Signature=%s",
        STR_ARG(s->key_id), scope.p, names.p, hex);
    buf_release(&canonical);
    buf_release(&names);
    buf_release(&scope);
    return out;
}

/* As it is signed: for all services but one the path is encoded once more, of
 * which only the percent signs are left to be. */
static struct http_req as_signed(const struct sigv4 *s, struct arena *a,
                                 const struct http_req *req)
{
    struct http_req out = *req;
    size_t i, origin = url_origin(req->url).n;
    bool is_path = true;
    struct buf url;

    if (str_eq(s->service, STR("s3")))
        return out;
    buf_init(&url, 3 * req->url.n);
    for (i = 0; i < req->url.n; i++) {
        char c = req->url.p[i];

        is_path = is_path && c != '?';
        buf_add_byte(&url, c);
        if (c == '%' && i >= origin && is_path)
            buf_add_c(&url, "25");
    }
    out.url = arena_dup(a, buf_str(&url));
    buf_release(&url);
    return out;
}

void sigv4_sign(const struct sigv4 *s, struct arena *a, struct http_req *req,
                struct str payload)
{
    struct http_req meant;
    struct str stamp = stamp_of(a, s->now_s);

    http_fields_add(&req->fields, a, STR("x-amz-content-sha256"), payload);
    http_fields_add(&req->fields, a, STR("x-amz-date"), stamp);
    if (s->token.n)
        http_fields_add(&req->fields, a, STR("x-amz-security-token"), s->token);
    meant = as_signed(s, a, req);
    http_fields_add(&req->fields, a, STR("Authorization"),
                    authorization(s, a, &meant, stamp, payload));
}
