#include "routing/vrecord.h"

#define DAY_S 86400
#define DURATION_MAX_S ((int64_t)100 * 365 * DAY_S)

/* Members that the caller looks at ("key", "keys") or that LiteLLM knows. */
static const char *const ignored[] = {
    "duration", "key", "keys", "key_name", "new_key", "new_master_key",
    "grace_period",
    /* budgets and token counts: filemux counts bytes and requests */
    "spend", "max_budget", "soft_budget", "budget_duration", "budget_limits",
    "budget_reset_at", "budget_id", "end_user_budget_id", "budget_fallbacks",
    "model_max_budget", "temp_budget_increase", "temp_budget_expiry",
    "throttle_on_budget_exceeded", "tpm_limit", "tpd_limit", "tpm_limit_type",
    "rpm_limit_type", "model_rpm_limit", "model_tpm_limit", "mcp_rpm_limit",
    "tag_rpm_limit", "default_estimated_output_tokens",
    "default_estimated_output_tokens_per_model",
    /* what concerns chat, routes and its own user management */
    "aliases", "config", "key_type", "send_invite_email", "guardrails",
    "disable_global_guardrails", "policies", "prompts", "enforced_params",
    "allowed_routes", "allowed_passthrough_routes", "denied_passthrough_routes",
    "allowed_cache_controls", "allowed_vector_store_indexes",
    "object_permission", "auto_rotate", "rotation_interval", "router_settings",
    "access_group_ids", "enable_prompt_caching", "organization_id",
    "project_id", "agent_id", "created_by", "updated_by"};

/* Written apart from the table. */
static const char *const written[] = {"key_id", "key_name", "expires"};

/* --- when a key expires --- */

/* The days since 1970 of a date, and back (the proleptic Gregorian calendar,
 * years that begin in March). */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t d = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return 365 * y + y / 4 - y / 100 + y / 400 + d - 719468;
}

static void date_of(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    int64_t z = days + 719468, era = z / 146097, in_era = z % 146097;
    int64_t y =
        (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * in_year + 2) / 153;

    *day = in_year - (153 * m + 2) / 5 + 1;
    *month = m < 10 ? m + 3 : m - 9;
    *year = y + era * 400 + (*month <= 2);
}

/* The same day and time (UTC) n months later, or that month's last day. */
static int64_t months_later(int64_t now_s, int64_t n)
{
    int64_t year, month, day, first, next;

    date_of(now_s / DAY_S, &year, &month, &day);
    n += month - 1;
    year += n / 12;
    month = n % 12 + 1;
    first = days_of(year, month, 1);
    next = month == 12 ? days_of(year + 1, 1, 1) : days_of(year, month + 1, 1);
    return MIN(first + day - 1, next - 1) * DAY_S + now_s % DAY_S;
}

/* "30s", "30m", "30h", "30d", "2w", "1mo": as LiteLLM writes them. */
static bool read_duration(struct str s, int64_t now_s, int64_t *ends_s)
{
    const int64_t longest = DURATION_MAX_S / DAY_S;
    int64_t n, ms;

    if (str_ends(s, STR("mo"))) {
        if (!str_to_i64(str_make(s.p, s.n - 2), &n) || n < 1 || n > 12 * 100)
            return false;
        *ends_s = months_later(now_s, n);
        return true;
    }
    if (str_ends(s, STR("w"))) {
        if (!str_to_i64(str_make(s.p, s.n - 1), &n) || n < 1 || n > longest / 7)
            return false;
        *ends_s = now_s + n * 7 * DAY_S;
        return true;
    }
    if (!str_to_duration(s, &ms) || ms < 1000 || ms / 1000 > DURATION_MAX_S)
        return false;
    *ends_s = now_s + ms / 1000;
    return true;
}

/* Seconds since 1970; 0 for never, which is null, "" and LiteLLM's "-1". */
static enum gw_err read_expiry(const struct json *v, int64_t now_s,
                               int64_t *out, struct gw_error *e)
{
    *out = 0;
    if (vrecord_is_cleared(v) || str_eq_c(json_str(v), "-1") ||
        read_duration(json_str(v), now_s, out))
        return GW_OK;
    return err_set_param(e, GW_INVALID_VALUE, "duration",
                         "'duration' must be a time such as \"12h\", \"30d\" "
                         "or \"1mo\"");
}

/* --- the record --- */

/* What /key/regenerate is told is the old one's unless it is new. */
static void put_kept(struct json_out *j, const char *name, struct str value,
                     const struct json *old)
{
    if (value.n == 0)
        value = json_str(json_get(old, name));
    if (value.n)
        json_put_str(j, name, value);
}

enum gw_err vkey_build(struct arena *a, const struct json *request,
                       const struct json *old, const struct vkey_build *b,
                       struct buf *record, struct gw_error *e)
{
    int64_t expires = vrecord_number(old, "expires", 0);
    struct json_out j;

    if (vrecord_check(a, VRECORD_KEY, request, ignored, COUNTOF(ignored), e))
        return e->err;
    if (vrecord_has(request, "duration") &&
        read_expiry(json_get(request, "duration"), b->now_s, &expires, e))
        return e->err;
    json_out_init(&j, record);
    json_open(&j, NULL, '{');
    put_kept(&j, "key_id", b->key_id, old);
    put_kept(&j, "key_name", b->key_name, old);
    vrecord_put(&j, VRECORD_KEY, request, old);
    if (expires)
        json_put_int(&j, "expires", expires);
    vrecord_put_rest(a, &j, VRECORD_KEY, old, written, COUNTOF(written),
                     b->now_s);
    json_close(&j);
    if (record->overflow)
        return err_set(e, GW_INVALID_VALUE, "the key's record is too large");
    return GW_OK;
}

static void put_empty(struct json_out *j, const char *name)
{
    json_open(j, name, '{');
    json_close(j);
}

void vkey_put_members(struct json_out *j, const char *hash,
                      const struct json *record)
{
    struct str id = json_str(json_get(record, "key_id"));

    if (hash) {
        json_put_cstr(j, "token", hash);
        json_put_str(j, "key_id", id.n ? id : str_of(hash));
    }
    json_put(j, "key_name", json_get(record, "key_name"));
    vrecord_put_info_time(j, "expires", record);
    vrecord_put_info(j, VRECORD_KEY, record);
    put_empty(j, "aliases");
    put_empty(j, "config");
}
