"""What was used: for the key itself, and for the operator."""

from datetime import datetime, timezone

import pytest
from gw import refused, until
from test_teams import info_of, new_team

LIMITS = {
    "max_files": 10, "max_storage_bytes": 1000, "max_upload_bytes_per_day": 2000,
    "max_download_bytes_per_day": 3000, "rpm_limit": 600, "max_parallel_requests": 7,
    "max_active_batches": 3, "max_batch_lines_per_day": 100,
}  # fmt: skip
TEAM_LIMITS = {"max_files": 5, "max_storage_bytes": 900}


def usage_of(gw, key):
    reply = gw.call(key, "GET", "/v1/usage")
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_key_sees_what_it_used_and_what_is_left(gw, up):
    team = new_team(gw, **TEAM_LIMITS)
    key = gw.new_key(team_id=team, key_alias=f"{team}-own", **LIMITS)
    mate = gw.new_key(team_id=team)
    made = gw.upload(key, b"x" * 100).json()["id"]
    gw.upload(mate, b"x" * 50)
    assert len(gw.call(key, "GET", f"/v1/files/{made}/content").content) == 100
    seen = until(
        lambda: (u := usage_of(gw, key))["key"]["quotas"]
        ["max_download_bytes_per_day"]["used"] == 100 and u,
        "the download is counted",
    )  # fmt: skip
    assert seen["object"] == "usage"
    own, both = seen["key"], seen["team"]
    assert own["key_alias"] == f"{team}-own" and both["team_id"] == team
    for name, limit in LIMITS.items():
        assert own[name] == own["quotas"][name]["limit"] == limit
    used = {"max_files": 1, "max_storage_bytes": 100, "max_upload_bytes_per_day": 100}
    for name, value in used.items():
        quota = own["quotas"][name]
        assert (quota["used"], quota["remaining"]) == (value, LIMITS[name] - value)
    assert both["quotas"]["max_files"] == {"limit": 5, "used": 2, "remaining": 3}
    assert both["quotas"]["max_storage_bytes"]["used"] == 150
    unlimited = both["quotas"]["max_upload_bytes_per_day"]
    assert (unlimited["limit"], unlimited["remaining"]) == (None, None)
    assert own["usage"]["storage_bytes"] == 100 and both["usage"]["files"] == 2


def test_daily_limits_tell_when_they_begin_anew(gw, up, key):
    now = datetime.now(timezone.utc).timestamp()
    ends = usage_of(gw, key)["key"]["quotas"]["max_upload_bytes_per_day"]["resets_at"]
    assert ends % 86400 == 0 and now - 5 < ends <= now + 86400


def test_a_key_without_limits_or_team_sees_its_counters_alone(gw, up, key):
    seen = usage_of(gw, key)
    assert seen["team"] is None
    assert all(q["limit"] is None for q in seen["key"]["quotas"].values())
    gw.upload(key, b"x" * 10)
    assert usage_of(gw, key)["key"]["usage"]["storage_bytes"] == 10


def test_any_key_may_ask_for_its_own_usage(gw, up):
    key = gw.new_key(operations=["create"])
    assert gw.call(key, "GET", "/v1/usage").status_code == 200
    refused(gw.http.get("/v1/usage"), 401, "invalid_api_key")
    gw.admin("POST", "/key/block", json={"key": key})
    refused(gw.call(key, "GET", "/v1/usage"), 403, "key_blocked")


def test_the_operator_sees_the_counters_of_keys_and_teams(gw, up):
    team = new_team(gw)
    key = gw.new_key(team_id=team)
    made = gw.upload(key, b"x" * 100).json()["id"]
    info = gw.admin("GET", "/key/info", params={"key": key}).json()["info"]
    assert (info["usage"]["files"], info["usage"]["storage_bytes"]) == (1, 100)
    assert info["usage"]["upload_bytes_today"] == 100
    whole = info_of(gw, team)["team_info"]["usage"]
    assert (whole["files"], whole["storage_bytes"]) == (1, 100)
    assert gw.call(key, "DELETE", f"/v1/files/{made}").status_code == 200
    whole = info_of(gw, team)["team_info"]["usage"]
    assert (whole["files"], whole["storage_bytes"]) == (0, 0)
    assert whole["upload_bytes_today"] == 100


def history(gw, **query):
    reply = gw.admin("GET", "/admin/usage", params=query)
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.mark.parametrize("by", ["key", "team", "provider"])
def test_the_history_has_a_row_for_each_day_and_holder(gw, up, by):
    team = new_team(gw)
    key = gw.new_key(team_id=team)
    gw.upload(key, b"x" * 100)
    info = gw.admin("GET", "/key/info", params={"key": key}).json()["info"]
    name = {"key": info["key_id"], "team": team, "provider": "up"}[by]

    def row():
        rows = history(gw, group_by=by, days=1)["data"]
        return [
            r for r in rows
            if r[by] == name and r["upload_bytes"] >= 100 and r["requests"] >= 1
        ]  # fmt: skip

    (found,) = until(row, "it is counted")
    assert found["date"] == datetime.now(timezone.utc).date().isoformat()
    assert found["errors"] <= found["requests"]


def test_the_history_tells_its_bounds(gw):
    today = datetime.now(timezone.utc).date()
    seen = history(gw, days=7)
    assert (seen["object"], seen["group_by"]) == ("usage.history", "key")
    assert seen["last"] == today.isoformat()
    first = datetime.fromisoformat(seen["first"]).date()
    assert (today - first).days == 6


@pytest.mark.parametrize("query", ["group_by=moon", "days=0", "days=91", "days=x"])
def test_a_history_that_makes_no_sense_is_refused(gw, query):
    error = refused(gw.admin("GET", f"/admin/usage?{query}"), 400, "invalid_value")
    assert error["param"] == query.split("=")[0]


def test_providers_are_listed_with_what_they_can(gw, up):
    seen = gw.admin("GET", "/admin/providers").json()
    assert seen["object"] == "list"
    by_name = {p["name"]: p for p in seen["data"]}
    assert set(by_name) == {"up", "other", "local"}
    assert by_name["up"]["default"] and not by_name["other"]["default"]
    assert by_name["up"]["type"] == "openai" and by_name["local"]["type"] == "disk"
    assert by_name["local"]["operations"] == [
        "create", "get", "list", "delete", "content",
    ]  # fmt: skip
    assert all(p["state"] == "up" and p["namespace"] for p in by_name.values())
    assert "sk-" not in str(seen)  # nothing of the credentials
