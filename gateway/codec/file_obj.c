/* Providers agree on what a file is but not on how to write it down. What may
 * differ is in tables: names of members, words for a status. A time goes
 * through one function that takes every form seen in the wild.
 */
#include "gateway/codec/file_obj.h"

#include "gateway/base/bug.h"

/* The end of the year 9999: what lies behind is no time but a mistake. */
#define MAX_TIME_S 253402300799
/* A number above this counts milliseconds: as seconds it
 * would be the year 5138. */
#define MIN_TIME_MS 100000000000

/* --- status --- */

static const char *const status_names[] = {
    [FILE_UPLOADED] = "uploaded",
    [FILE_PROCESSED] = "processed",
    [FILE_ERROR] = "error",
    [FILE_DELETED] = "deleted",
};

/* Words for "processed" need no line. */
static const struct {
    const char *word;
    enum file_status status;
} status_words[] = {
    {"uploaded", FILE_UPLOADED},  {"pending", FILE_UPLOADED},
    {"running", FILE_UPLOADED},   {"processing", FILE_UPLOADED},
    {"uploading", FILE_UPLOADED}, {"validating", FILE_UPLOADED},
    {"importing", FILE_UPLOADED}, {"queued", FILE_UPLOADED},
    {"error", FILE_ERROR},        {"failed", FILE_ERROR},
    {"deleting", FILE_DELETED},   {"deleted", FILE_DELETED},
};

const char *file_status_name(enum file_status s)
{
    ASSERT((size_t)s < COUNTOF(status_names));
    return status_names[s];
}

enum file_status file_status_of(struct str word)
{
    for (size_t i = 0; i < COUNTOF(status_words); i++)
        if (str_eq_nocase(word, str_of(status_words[i].word)))
            return status_words[i].status;
    return FILE_PROCESSED;
}

/* --- toward clients --- */

static void put_origin(struct json_out *j, const struct file_obj *f)
{
    json_open(j, "filemux", '{');
    json_put_str(j, "provider", f->provider);
    if (f->nproviders) {
        json_open(j, "providers", '[');
        for (size_t i = 0; i < f->nproviders; i++)
            json_put_str(j, NULL, f->providers[i]);
        json_close(j);
    }
    if (f->sha256.p)
        json_put_str(j, "sha256", f->sha256);
    json_close(j);
}

/* Typed clients (Go, Java) fail on null where the API says a number or a
 * string, so only what it calls nullable is. */
void file_obj_put(struct json_out *j, const char *name,
                  const struct file_obj *f)
{
    json_open(j, name, '{');
    json_put_str(j, "id", f->id);
    json_put_cstr(j, "object", "file");
    json_put_int(j, "bytes", MAX(f->bytes, 0));
    json_put_int(j, "created_at", f->created_at);
    json_put_str(j, "filename", f->filename.p ? f->filename : STR(""));
    json_put_str(j, "purpose", f->purpose.p ? f->purpose : STR(""));
    json_put_cstr(j, "status", file_status_name(f->status));
    if (f->expires_at)
        json_put_int(j, "expires_at", f->expires_at);
    else
        json_put_null(j, "expires_at");
    json_put_str(j, "status_details", f->status_details);
    put_origin(j, f);
    json_close(j);
}

/* --- times --- */

/* Takes n digits off the front. */
static bool take_number(struct str *s, size_t n, int64_t *out)
{
    if (s->n < n || s->p[0] == '-' || !str_to_i64(str_make(s->p, n), out))
        return false;
    *s = str_make(s->p + n, s->n - n);
    return true;
}

static bool take_one_of(struct str *s, const char *bytes)
{
    if (!s->n || !s->p[0] || !strchr(bytes, s->p[0]))
        return false;
    *s = str_make(s->p + 1, s->n - 1);
    return true;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in
 * March here, so that the leap day is the last of its year. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t days = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return 365 * y + y / 4 - y / 100 + y / 400 + days - 719468;
}

static bool take_date(struct str *s, int64_t *days)
{
    int64_t year, month, day;

    if (!take_number(s, 4, &year) || !take_one_of(s, "-") ||
        !take_number(s, 2, &month) || !take_one_of(s, "-") ||
        !take_number(s, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > 31)
        return false;
    *days = days_of(year, month, day);
    return true;
}

/* hh:mm:ss and a fraction, which is cut. */
static bool take_clock(struct str *s, int64_t *seconds)
{
    int64_t hour, minute, second, digit;

    if (!take_number(s, 2, &hour) || !take_one_of(s, ":") ||
        !take_number(s, 2, &minute) || !take_one_of(s, ":") ||
        !take_number(s, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    if (take_one_of(s, "."))
        while (take_number(s, 1, &digit))
            ;
    *seconds = hour * 3600 + minute * 60 + second;
    return true;
}

/* Z, +hh:mm, or nothing, which some write for UTC. */
static bool take_offset(struct str *s, int64_t *seconds)
{
    int64_t hour, minute, sign;

    *seconds = 0;
    if (!s->n || take_one_of(s, "Zz"))
        return true;
    sign = s->p[0] == '-' ? -1 : 1;
    if (!take_one_of(s, "+-") || !take_number(s, 2, &hour))
        return false;
    take_one_of(s, ":");
    if (!take_number(s, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *seconds = sign * (hour * 3600 + minute * 60);
    return true;
}

static int64_t rfc3339_time(struct str s)
{
    int64_t days, seconds, offset, t;

    if (!take_date(&s, &days) || !take_one_of(&s, "Tt ") ||
        !take_clock(&s, &seconds) || !take_offset(&s, &offset) || s.n)
        return 0;
    t = days * 86400 + seconds - offset;
    return t > 0 && t <= MAX_TIME_S ? t : 0;
}

static int64_t number_time(int64_t n)
{
    if (n > MIN_TIME_MS)
        n /= 1000;
    return n > 0 && n <= MAX_TIME_S ? n : 0;
}

/* "1741685396" or "1741685396.25". */
static bool digits_of(struct str s, int64_t *out)
{
    struct str whole, part;
    uint64_t fraction;

    if (!str_cut(s, '.', &whole, &part))
        return str_to_i64(s, out);
    part.n = MIN(part.n, 18u);
    return str_to_u64(part, &fraction) && str_to_i64(whole, out);
}

int64_t file_obj_time_text(struct str text)
{
    int64_t n;

    text = str_trim(text);
    return digits_of(text, &n) ? number_time(n) : rfc3339_time(text);
}

int64_t file_obj_time(const struct json *v)
{
    int64_t n;

    if (json_is_string(v))
        return file_obj_time_text(json_str(v));
    return json_int(v, &n) ? number_time(n) : 0;
}

/* --- from providers --- */

/* The first member of those names (ended by NULL) that is there. */
static const struct json *get_any(const struct json *v,
                                  const char *const *names)
{
    for (; *names; names++) {
        const struct json *member = json_get(v, *names);

        if (!json_is_null(member))
            return member;
    }
    return NULL;
}

static int64_t read_bytes(const struct json *v)
{
    static const char *const names[] = {"bytes", "size_bytes", "sizeBytes",
                                        "size", NULL};
    int64_t n;

    return json_int(get_any(v, names), &n) && n >= 0 ? n : -1;
}

static void read_times(const struct json *v, struct file_obj *out)
{
    static const char *const created[] = {"created_at",  "createdAt",
                                          "create_time", "createTime",
                                          "created",     NULL};
    static const char *const expires[] = {
        "expires_at", "expiresAt", "expiration_time", "expirationTime", NULL};

    out->created_at = file_obj_time(get_any(v, created));
    out->expires_at = file_obj_time(get_any(v, expires));
}

/* Details are for errors alone; some send "" with every file. */
static void read_status(const struct json *v, struct file_obj *out)
{
    static const char *const names[] = {"status", "state", NULL};
    struct str details = json_str(json_get(v, "status_details"));

    out->status = file_status_of(json_str(get_any(v, names)));
    if (out->status == FILE_ERROR && details.n)
        out->status_details = details;
}

enum gw_err file_obj_read(const struct json *v, struct file_obj *out,
                          struct gw_error *e)
{
    static const char *const filenames[] = {"filename", "file_name", "fileName",
                                            NULL};
    struct str id = json_str(json_get(v, "id"));

    *out = (struct file_obj){.bytes = -1};
    if (!json_is_object(v))
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "the provider's file object is no JSON object");
    if (!id.n || id.n > LIMIT_UPSTREAM_ID_BYTES)
        return err_set(e, GW_UPSTREAM_BAD_RESPONSE,
                       "the provider's file object has no usable 'id'");
    out->id = id;
    out->bytes = read_bytes(v);
    out->filename = json_str(get_any(v, filenames));
    out->purpose = json_str(json_get(v, "purpose"));
    read_times(v, out);
    read_status(v, out);
    return GW_OK;
}
