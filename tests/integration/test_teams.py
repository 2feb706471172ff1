"""Teams: made, changed, blocked, listed, deleted with their keys; and what a
team allows all its keys together."""

import re
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from gw import MASTER, config, refused

EVERYTHING = {
    "team_alias": "The Reds", "models": ["gpt-there"], "metadata": {"a": [1]},
    "tags": ["x"], "rpm_limit": 60, "max_parallel_requests": 5,
    "providers": ["up"], "purposes": ["batch"], "operations": ["read", "list"],
    "default_provider": "up", "max_file_bytes": 1000, "max_files": 10,
    "max_storage_bytes": 1 << 40, "max_upload_bytes_per_day": 7,
    "max_download_bytes_per_day": 8, "file_expiry_seconds": 3600,
    "max_active_batches": 9, "max_batch_lines_per_day": 10,
}  # fmt: skip


def new_team(gw, **fields):
    fields.setdefault("team_id", f"team-{uuid.uuid4()}")
    reply = gw.admin("POST", "/team/new", json=fields)
    assert reply.status_code == 200, reply.text
    return reply.json()["team_id"]


def info_of(gw, team):
    reply = gw.admin("GET", "/team/info", params={"team_id": team})
    assert reply.status_code == 200, reply.text
    return reply.json()


@pytest.fixture
def team(gw):
    return new_team(gw)


def test_the_fields_of_a_team_come_back(gw):
    team = new_team(gw, **EVERYTHING)
    info = info_of(gw, team)
    assert info["team_id"] == team
    for name, value in EVERYTHING.items():
        assert info["team_info"][name] == value, name
    assert info["team_info"]["blocked"] is False
    assert info["keys"] == info["team_memberships"] == []


def test_a_team_gets_an_id_of_its_own_if_it_names_none(gw):
    made = gw.admin("POST", "/team/new", json={"team_alias": "nameless"}).json()
    assert uuid.UUID(made["team_id"]).version == 4
    assert info_of(gw, made["team_id"])["team_info"]["team_alias"] == "nameless"


def test_an_id_is_taken_once(gw, team):
    error = refused(gw.admin("POST", "/team/new", json={"team_id": team}), 400)
    assert (error["code"], error["param"]) == ("conflict", "team_id")


def test_an_update_changes_what_it_mentions_and_nothing_else(gw):
    team = new_team(gw, **EVERYTHING)
    reply = gw.admin("POST", "/team/update", json={
        "team_id": team, "max_files": 11, "tags": None, "max_storage_bytes": "2GB",
    })  # fmt: skip
    assert reply.status_code == 200, reply.text
    assert reply.json()["team_id"] == team
    data = reply.json()["data"]
    want = {**EVERYTHING, "max_files": 11, "tags": [], "max_storage_bytes": 2 << 30}
    for name, value in want.items():
        assert data[name] == value, name
        assert info_of(gw, team)["team_info"][name] == value, name


def test_updates_at_the_same_time_are_all_kept(gw, team):
    fields = ["max_files", "rpm_limit", "max_parallel_requests", "file_expiry_seconds"]

    def update(name):
        return gw.admin("POST", "/team/update", json={"team_id": team, name: 77})

    with ThreadPoolExecutor(4) as pool:
        assert [r.status_code for r in pool.map(update, fields)] == [200] * 4
    info = info_of(gw, team)["team_info"]
    assert [info[f] for f in fields] == [77] * 4


@pytest.mark.parametrize(
    "body, param",
    [
        ({"nonsense": 1}, "nonsense"),
        ({"team_id": "a b"}, "team_id"),
        ({"team_id": "a{b}"}, "team_id"),
        ({"team_id": 7}, "team_id"),
        ({"key_alias": "x"}, "key_alias"),
        ({"duration": "30d"}, "duration"),
        ({"max_files": -1}, "max_files"),
        ({"max_files": 0}, "max_files"),
        ({"max_storage_bytes": "5 apples"}, "max_storage_bytes"),
        ({"operations": ["fly"]}, "operations"),
        ({"providers": ["nowhere"]}, "providers"),
        ({"default_provider": "nowhere"}, "default_provider"),
        ({"metadata": []}, "metadata"),
        ({"blocked": "yes"}, "blocked"),
    ],
    ids=str,
)
def test_bad_fields_are_named(gw, body, param):
    error = refused(gw.admin("POST", "/team/new", json=body), 400, "invalid_value")
    assert error["param"] == param


@pytest.mark.parametrize(
    "path, body, param",
    [
        ("/team/update", {"max_files": 1}, "team_id"),
        ("/team/update", {"team_id": 7}, "team_id"),
        ("/team/block", {}, "team_id"),
        ("/team/block", {"team_id": "x", "why": 1}, "why"),
        ("/team/unblock", {"team_id": ""}, "team_id"),
        ("/team/delete", {}, "team_ids"),
        ("/team/delete", {"team_ids": []}, "team_ids"),
        ("/team/delete", {"team_ids": "x"}, "team_ids"),
        ("/team/delete", {"team_ids": ["x"], "force": True}, "force"),
    ],
    ids=str,
)
def test_calls_that_name_no_team_are_refused(gw, path, body, param):
    error = refused(gw.admin("POST", path, json=body), 400)
    assert error["param"] == param


@pytest.mark.parametrize("path", ["update", "block", "unblock", "delete", "info"])
def test_a_team_that_is_not_there_is_told(gw, path):
    if path == "info":
        reply = gw.admin("GET", "/team/info", params={"team_id": "nobody"})
    elif path == "delete":
        reply = gw.admin("POST", "/team/delete", json={"team_ids": ["nobody"]})
    else:
        reply = gw.admin("POST", f"/team/{path}", json={"team_id": "nobody"})
    assert "nobody" in refused(reply, 404, "team_not_found")["message"]


def test_info_without_an_id_is_refused(gw):
    error = refused(gw.admin("GET", "/team/info"), 400, "missing_required_parameter")
    assert error["param"] == "team_id"


def test_info_shows_the_keys_of_the_team(gw, team):
    keys = [gw.new_key(team_id=team, key_alias=f"{team}-{i}") for i in range(3)]
    gw.new_key(team_id="another")
    info = info_of(gw, team)
    assert {k["key_alias"] for k in info["keys"]} == {f"{team}-{i}" for i in range(3)}
    assert info["total_keys"] == 3
    assert all(key not in str(info) for key in keys)


def test_lists_of_teams_are_exact(start, fake):
    gw = start(config(up=fake))
    teams = {new_team(gw, team_alias=f"n{i}", max_files=i + 1) for i in range(120)}
    whole = gw.admin("GET", "/team/list").json()
    assert len(whole) == 120 and {t["team_id"] for t in whole} == teams
    paged, page = [], 1
    while part := gw.admin("GET", "/team/list", params={"page": page, "size": 50}).json():
        paged += part
        page += 1
    assert paged == whole and page == 4
    second, page = [], 1
    while True:
        q = {"page": page, "page_size": 100}
        reply = gw.admin("GET", "/v2/team/list", params=q).json()
        assert (reply["total"], reply["total_pages"]) == (120, 2)
        second += reply["teams"]
        if page == reply["total_pages"]:
            break
        page += 1
    assert second == whole
    refused(gw.admin("GET", "/team/list?size=0"), 400, "invalid_value")
    refused(gw.admin("GET", "/v2/team/list?page_size=101"), 400, "invalid_value")


# --- what a team is for ---


def test_blocking_a_team_blocks_its_keys_on_the_next_request(gw, up, team):
    key, other = gw.new_key(team_id=team), gw.new_key(team_id="not-that-team")
    assert gw.call(key, "GET", "/v1/files").status_code == 200
    reply = gw.admin("POST", "/team/block", json={"team_id": team})
    assert reply.status_code == 200 and reply.json()["blocked"] is True
    error = refused(gw.call(key, "GET", "/v1/files"), 403, "key_blocked")
    assert "team" in error["message"] and team in error["message"]
    assert gw.call(other, "GET", "/v1/files").status_code == 200
    reply = gw.admin("POST", "/team/unblock", json={"team_id": team})
    assert reply.json()["blocked"] is False
    assert gw.call(key, "GET", "/v1/files").status_code == 200


def test_a_key_may_what_its_team_allows_too(gw, up, other):
    team = new_team(
        gw, operations=["create", "list"], purposes=["batch"], providers=["other"],
        models=["gpt-there"],
    )  # fmt: skip
    key = gw.new_key(team_id=team)
    wide = gw.new_key(team_id=team, operations=["list", "delete"], providers=["up"])
    made = gw.upload(key, b'{"a":1}', "a.jsonl", fields={"purpose": "batch"})
    assert made.json()["filemux"]["provider"] == "other", made.text
    refused(gw.upload(key), 403, "purpose_not_allowed")
    refused(
        gw.upload(key, path="/up/v1/files", fields={"purpose": "batch"}),
        403, "provider_not_allowed",
    )  # fmt: skip
    refused(
        gw.upload(key, fields={"purpose": "batch", "model": "gpt-elsewhere"}),
        403, "model_not_allowed",
    )  # fmt: skip
    fid = made.json()["id"]
    error = refused(gw.call(key, "DELETE", f"/v1/files/{fid}"), 403)
    assert error["code"] == "operation_not_allowed" and "team" in error["message"]
    refused(gw.call(wide, "DELETE", f"/v1/files/{fid}"), 403, "operation_not_allowed")
    refused(gw.upload(wide), 403, "operation_not_allowed")
    assert gw.call(wide, "GET", "/v1/files").status_code == 200
    assert up.files == {}


def test_defaults_are_the_keys_before_the_teams(gw, up, other):
    team = new_team(gw, default_provider="other", file_expiry_seconds=7200)
    plain = gw.upload(gw.new_key(team_id=team)).json()
    assert plain["filemux"]["provider"] == "other"
    assert plain["expires_at"] - plain["created_at"] in range(7195, 7206)
    own = gw.new_key(team_id=team, default_provider="local", file_expiry_seconds=3600)
    made = gw.upload(own).json()
    assert made["filemux"]["provider"] == "local"
    assert made["expires_at"] - made["created_at"] in range(3595, 3606)


def test_the_smaller_of_both_bounds_on_a_file_holds(gw, up):
    team = new_team(gw, max_file_bytes=1000)
    wide = gw.new_key(team_id=team, max_file_bytes=5000)
    assert gw.upload(wide, b"x" * 1000).status_code == 200
    refused(gw.upload(wide, b"x" * 1001), 413, "file_too_large")
    tight = gw.new_key(team_id=team, max_file_bytes=500)
    refused(gw.upload(tight, b"x" * 501), 413, "file_too_large")


def test_a_team_is_deleted_with_its_keys_and_its_files_stay(gw, up, team):
    second = new_team(gw)
    keys = [gw.new_key(team_id=team) for _ in range(130)] + [gw.new_key(team_id=second)]
    stranger = gw.new_key(team_id=f"{team}-not")
    made = gw.upload(keys[0]).json()["id"]
    reply = gw.admin("POST", "/team/delete", json={"team_ids": [team, second]})
    assert reply.status_code == 200, reply.text
    assert reply.json()["deleted_teams"] == [team, second]
    assert len(reply.json()["deleted_keys"]) == 131
    for key in keys[:3] + keys[-2:]:
        refused(gw.call(key, "GET", "/v1/files"), 401, "invalid_api_key")
    assert gw.call(stranger, "GET", "/v1/files").status_code == 200
    refused(gw.admin("GET", "/team/info", params={"team_id": team}), 404)
    assert gw.admin("GET", "/key/list", params={"team_id": team}).json()["keys"] == []
    assert len(up.files) == 1
    heir = gw.new_key(team_id=team)  # the files are the id's
    assert gw.call(heir, "GET", f"/v1/files/{made}").status_code == 200


def test_nothing_is_deleted_when_one_team_is_not_there(gw, team):
    key = gw.new_key(team_id=team)
    body = {"team_ids": [team, "nobody"]}
    refused(gw.admin("POST", "/team/delete", json=body), 404, "team_not_found")
    assert gw.call(key, "GET", "/v1/files").status_code == 200
    body = {"team_ids": [team], "delete_files": "yes"}
    error = refused(gw.admin("POST", "/team/delete", json=body), 400)
    assert (error["code"], error["param"]) == ("invalid_value", "delete_files")
    assert info_of(gw, team)["total_keys"] == 1


# --- scripts as LiteLLM's documentation shows them ---


@pytest.fixture
def litellm(gw):
    headers = {"Authorization": f"Bearer {MASTER}", "Content-Type": "application/json"}
    with httpx.Client(base_url=gw.url, headers=headers, timeout=20) as client:
        yield client


def test_a_litellm_script_for_keys_works(litellm):
    made = litellm.post("/key/generate", json={
        "models": ["gpt-3.5-turbo", "gpt-4"], "metadata": {"user": "ishaan@berri.ai"},
        "duration": "20m", "aliases": {}, "config": {}, "spend": 0, "max_budget": None,
        "tpm_limit": 10000, "rpm_limit": 10, "max_parallel_requests": 10,
        "user_id": "ishaan", "team_id": "core-infra", "key_type": "llm_api",
        "send_invite_email": False, "soft_budget": 5, "budget_duration": "30d",
    }).json()  # fmt: skip
    assert re.fullmatch(r"sk-\w+", made["key"]) and made["expires"]
    assert made["models"] == ["gpt-3.5-turbo", "gpt-4"]
    info = litellm.get("/key/info", params={"key": made["key"]}).json()
    assert info["key"] == made["token"] and info["info"]["spend"] == 0
    assert info["info"]["key_name"].startswith("sk-...")
    updated = litellm.post("/key/update", json={
        "key": made["key"], "models": ["gpt-4"], "max_budget": 100, "spend": 0,
        "metadata": {"user": "new"}, "duration": "-1",
    }).json()  # fmt: skip
    assert updated["models"] == ["gpt-4"] and updated["expires"] is None
    blocked = litellm.post("/key/block", json={"key": made["key"]}).json()
    assert blocked["blocked"] is True and blocked["token"] == made["token"]
    assert not litellm.post("/key/unblock", json={"key": made["key"]}).json()["blocked"]
    page = litellm.get("/key/list", params={
        "user_id": "ishaan", "page": 1, "size": 10, "return_full_object": "true",
        "include_team_keys": "true", "sort_by": "created_at", "sort_order": "desc",
    }).json()  # fmt: skip
    assert page["total_count"] == page["total_pages"] == page["current_page"] == 1
    assert page["keys"][0]["token"] == made["token"]
    new = litellm.post(
        f"/key/{made['key']}/regenerate",
        json={"max_budget": 100, "metadata": {"team": "core-infra"}, "models": ["a"]},
    ).json()
    assert new["key"] != made["key"] and new["models"] == ["a"]
    gone = litellm.post("/key/delete", json={"keys": [new["key"]]}).json()
    assert gone["deleted_keys"] == [new["key"]]


def test_a_litellm_script_for_teams_works(litellm):
    made = litellm.post("/team/new", json={
        "team_alias": "my-new-team", "models": ["azure-gpt-4"], "max_budget": 200,
        "members_with_roles": [{"role": "admin", "user_id": "user-1234"}],
        "tpm_limit": 1000, "rpm_limit": 100, "budget_duration": "30d",
        "model_aliases": {}, "organization_id": None,
    }).json()  # fmt: skip
    team = made["team_id"]
    assert made["team_alias"] == "my-new-team" and made["blocked"] is False
    key = litellm.post("/key/generate", json={"team_id": team}).json()
    assert key["team_id"] == team
    updated = litellm.post("/team/update", json={"team_id": team, "tpm_limit": 100,
                                                 "metadata": {"a": "b"}}).json()  # fmt: skip
    assert updated["data"]["metadata"] == {"a": "b"}
    info = litellm.get("/team/info", params={"team_id": team}).json()
    assert info["team_info"]["models"] == ["azure-gpt-4"]
    assert [k["token"] for k in info["keys"]] == [key["token"]]
    assert team in [t["team_id"] for t in litellm.get("/team/list").json()]
    gone = litellm.post("/team/delete", json={"team_ids": [team]}).json()
    assert gone["deleted_teams"] == [team]
    assert litellm.get("/key/info", params={"key": key["key"]}).status_code == 404
