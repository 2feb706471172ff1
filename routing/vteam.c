#include "routing/vrecord.h"

/* LiteLLM's members of teams that mean nothing here. */
static const char *const ignored[] = {
    "team_id", /* checked by itself */
    "organization_id", "admins", "members", "members_with_roles",
    "model_aliases", "model_id", "object_permission", "object_permission_id",
    /* budgets and token counts: filemux counts bytes and requests */
    "spend", "max_budget", "soft_budget", "budget_duration", "budget_limits",
    "budget_reset_at", "tpm_limit", "tpm_limit_type", "rpm_limit_type",
    "model_rpm_limit", "model_tpm_limit", "model_max_budget",
    "default_estimated_output_tokens",
    "default_estimated_output_tokens_per_model",
    /* members and chat */
    "team_member_budget", "team_member_budget_duration",
    "team_member_rpm_limit", "team_member_tpm_limit",
    "team_member_key_duration", "team_member_permissions",
    "default_team_member_models", "guardrails", "disable_global_guardrails",
    "policies", "prompts", "allowed_passthrough_routes",
    "allowed_vector_store_indexes", "secret_manager_settings",
    "router_settings", "access_group_ids", "created_by", "updated_by"};

static enum gw_err read_record(struct arena *a, const struct json *r,
                               struct vteam *t, struct gw_error *e)
{
    if (vrecord_str(r, "team_id", &t->team_id, e) ||
        vrecord_str(r, "team_alias", &t->team_alias, e) ||
        vrecord_str(r, "default_provider", &t->default_provider, e) ||
        vrecord_int(r, "file_expiry_seconds", &t->file_expiry_s, e) ||
        vrecord_bool(r, "blocked", &t->blocked, e) ||
        vrecord_list(a, r, "providers", &t->providers, e) ||
        vrecord_list(a, r, "purposes", &t->purposes, e) ||
        vrecord_list(a, r, "models", &t->models, e) ||
        vrecord_operations(a, r, &t->operations, e))
        return e->err;
    return vrecord_limits(r, &t->limits, e);
}

enum gw_err vteam_parse(struct arena *a, struct str record, struct vteam *out,
                        struct gw_error *e)
{
    struct gw_error why = {0};
    const struct json *r = json_parse(a, record, &why);

    *out = (struct vteam){0};
    if (!json_is_object(r))
        return err_set(e, GW_INTERNAL, "a team's record is not a JSON object");
    why = (struct gw_error){0};
    if (read_record(a, r, out, &why))
        return err_set(e, why.err, "a team: %s", why.message);
    if (out->team_id.n == 0)
        return err_set(e, GW_INTERNAL, "a team's record has no 'team_id'");
    out->scope = arena_printf(a, "t:%.*s", STR_ARG(out->team_id));
    return GW_OK;
}

enum gw_err vteam_build(struct arena *a, const struct json *request,
                        const struct json *old, struct str team_id,
                        int64_t now_s, struct buf *record, struct gw_error *e)
{
    static const char *const written[] = {"team_id"};
    const struct json *named = json_get(request, "team_id");
    struct json_out j;

    if (vrecord_check(a, VRECORD_TEAM, request, ignored, COUNTOF(ignored), e))
        return e->err;
    if (!vrecord_is_cleared(named) && vrecord_check_id("team_id", named, e))
        return e->err;
    if (team_id.n == 0)
        team_id = json_str(json_get(old ? old : request, "team_id"));
    json_out_init(&j, record);
    json_open(&j, NULL, '{');
    json_put_str(&j, "team_id", team_id);
    vrecord_put(&j, VRECORD_TEAM, request, old);
    vrecord_put_rest(a, &j, VRECORD_TEAM, old, written, COUNTOF(written),
                     now_s);
    json_close(&j);
    if (record->overflow)
        return err_set(e, GW_INVALID_VALUE, "the team's record is too large");
    return GW_OK;
}

static void put_empty(struct json_out *j, const char *name)
{
    json_open(j, name, '[');
    json_close(j);
}

void vteam_put_members(struct json_out *j, const struct json *record)
{
    json_put(j, "team_id", json_get(record, "team_id"));
    vrecord_put_info(j, VRECORD_TEAM, record);
    json_put_null(j, "organization_id");
    json_put_null(j, "budget_duration");
    json_put_null(j, "model_id");
    put_empty(j, "admins");
    put_empty(j, "members");
    put_empty(j, "members_with_roles");
}
