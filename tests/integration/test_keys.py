"""Virtual keys: made, shown, blocked, deleted; and what each may do."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import pytest
from gw import MASTER, config, refused
from wire import file_part, form, part

ADMIN = [
    ("POST", "/key/generate"), ("POST", "/key/update"), ("POST", "/key/delete"),
    ("POST", "/key/block"), ("POST", "/key/unblock"), ("POST", "/key/regenerate"),
    ("POST", "/key/sk-x/regenerate"), ("GET", "/key/info"), ("GET", "/key/list"),
    ("POST", "/team/new"), ("POST", "/team/update"), ("POST", "/team/delete"),
    ("POST", "/team/block"), ("POST", "/team/unblock"), ("GET", "/team/info"),
    ("GET", "/team/list"), ("GET", "/v2/team/list"), ("GET", "/admin/usage"),
    ("GET", "/admin/providers"),
]  # fmt: skip


def sha(key):
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.mark.parametrize("method, path", ADMIN)
def test_admin_calls_take_the_master_key_alone(gw, key, method, path):
    kw = {"json": {}} if method == "POST" else {}
    refused(gw.call(key, method, path, **kw), 403)
    refused(gw.call("sk-nobody", method, path, **kw), 401)
    refused(gw.http.request(method, path, **kw), 401, "invalid_api_key")


def test_a_key_is_shown_once(gw, up):
    made = gw.admin("POST", "/key/generate", json={"key_alias": "shown-once"}).json()
    assert made["key"].startswith("sk-")
    info = gw.admin("GET", "/key/info", params={"key": made["key"]})
    assert info.json()["info"]["key_alias"] == "shown-once"
    listed = gw.admin("GET", "/key/list?return_full_object=true&size=100")
    assert made["key"] not in info.text.replace(f'"key":"{made["key"]}"', "")
    assert made["key"] not in listed.text


def test_the_fields_of_a_key_come_back(gw):
    fields = {
        "key_alias": "fields", "team_id": "red", "user_id": "ann",
        "models": ["gpt-there"], "metadata": {"a": [1]}, "tags": ["x", "y"],
        "providers": ["up"], "operations": ["read", "list"],
        "max_file_bytes": 1000, "default_provider": "up", "duration": "30d",
        "purposes": ["batch"], "permissions": {"get_spend_routes": True},
        "rpm_limit": 60, "max_parallel_requests": 5, "max_files": 10,
        "max_storage_bytes": 1 << 40, "max_upload_bytes_per_day": 7,
        "max_download_bytes_per_day": 8, "file_expiry_seconds": 3600,
        "max_active_batches": 9, "max_batch_lines_per_day": 10,
    }  # fmt: skip
    key = gw.new_key(**fields)
    info = gw.admin("GET", "/key/info", params={"key": key}).json()["info"]
    del fields["duration"]
    for name, value in fields.items():
        assert info[name] == value, name
    assert info["expires"] and info["blocked"] is False
    assert info["token"] == info["key_id"] == sha(key)


def test_sizes_may_be_written_as_text_and_durations_as_litellm_writes_them(gw):
    made = gw.admin("POST", "/key/generate", json={
        "max_storage_bytes": "5GB", "max_file_bytes": "1.5MB", "max_files": "20",
        "duration": "1mo",
    }).json()  # fmt: skip
    assert made["max_storage_bytes"] == 5 << 30
    assert made["max_file_bytes"] == 3 << 19
    assert made["max_files"] == 20
    ends = datetime.fromisoformat(made["expires"].replace("Z", "+00:00"))
    days = (ends - datetime.now(timezone.utc)).total_seconds() / 86400
    assert 27.9 < days < 31.1


def info_of(gw, key):
    return gw.admin("GET", "/key/info", params={"key": key}).json()["info"]


def test_an_update_changes_what_it_mentions_and_nothing_else(gw, up):
    key = gw.new_key(key_alias="before", tags=["a"], max_files=5, user_id="upd")
    made = gw.upload(key).json()["id"]
    reply = gw.admin("POST", "/key/update", json={
        "key": key, "key_alias": "after", "tags": None, "max_files": 6,
        "models": ["gpt-there"],
    })  # fmt: skip
    assert reply.status_code == 200, reply.text
    assert reply.json()["key_alias"] == "after"
    assert key not in reply.text
    info = info_of(gw, key)
    assert (info["key_alias"], info["tags"], info["max_files"]) == ("after", [], 6)
    assert info["models"] == ["gpt-there"] and info["user_id"] == "upd"
    assert gw.call(key, "GET", f"/v1/files/{made}").status_code == 200
    gw.new_key(key_alias="before")  # is free again
    by_hash = gw.admin("POST", "/key/update", json={"key": sha(key), "duration": "1h"})
    assert by_hash.json()["expires"] and not info["expires"]
    gw.admin("POST", "/key/update", json={"key": key, "duration": None})
    assert info_of(gw, key)["expires"] is None


def test_an_update_works_on_the_next_request(gw, up, key):
    assert gw.call(key, "GET", "/v1/files").status_code == 200
    gw.admin("POST", "/key/update", json={"key": key, "operations": ["read"]})
    refused(gw.call(key, "GET", "/v1/files"), 403, "operation_not_allowed")
    gw.admin("POST", "/key/update", json={"key": key, "operations": []})
    assert gw.call(key, "GET", "/v1/files").status_code == 200


def test_an_update_cannot_take_the_alias_of_another(gw, key):
    gw.new_key(key_alias="not-yours")
    body = {"key": key, "key_alias": "not-yours"}
    refused(gw.admin("POST", "/key/update", json=body), 400, "conflict")
    assert info_of(gw, key)["key_alias"] is None


def test_updates_at_the_same_time_are_all_kept(gw, key):
    fields = ["max_files", "rpm_limit", "max_parallel_requests", "file_expiry_seconds"]

    def update(name):
        return gw.admin("POST", "/key/update", json={"key": key, name: 77})

    with ThreadPoolExecutor(4) as pool:
        assert [r.status_code for r in pool.map(update, fields)] == [200] * 4
    info = info_of(gw, key)
    assert [info[f] for f in fields] == [77] * 4


def test_a_new_secret_ends_the_old_one_and_keeps_id_and_files(gw, up, key):
    made = gw.upload(key).json()["id"]
    before = info_of(gw, key)
    reply = gw.admin("POST", "/key/regenerate", json={"key": key, "max_files": 9})
    assert reply.status_code == 200, reply.text
    new = reply.json()["key"]
    assert new.startswith("sk-") and new != key
    assert reply.json()["token_id"] == sha(new) and reply.json()["max_files"] == 9
    refused(gw.call(key, "GET", f"/v1/files/{made}"), 401, "invalid_api_key")
    refused(gw.admin("GET", "/key/info", params={"key": key}), 404, "key_not_found")
    assert gw.call(new, "GET", f"/v1/files/{made}").status_code == 200
    after = info_of(gw, new)
    assert after["key_id"] == before["key_id"] == sha(key)
    assert after["created_at"] == before["created_at"]
    assert after["usage"]["files"] == before["usage"]["files"] == 1
    third = gw.admin("POST", f"/key/{new}/regenerate").json()["key"]
    assert info_of(gw, third)["key_id"] == sha(key)
    refused(gw.call(new, "GET", "/v1/files"), 401)
    assert gw.call(third, "GET", f"/v1/files/{made}").status_code == 200


def test_a_new_secret_may_be_chosen(gw, key):
    chosen = "sk-chosen-0123456789"
    body = {"key": key, "new_key": chosen}
    assert gw.admin("POST", "/key/regenerate", json=body).json()["key"] == chosen
    assert gw.call(chosen, "GET", "/v1/files").status_code == 200
    refused(gw.admin("POST", "/key/regenerate", json=body), 404, "key_not_found")
    for bad in ("short", "sk-short", "no-prefix-0123456789", 7, chosen):
        error = refused(
            gw.admin("POST", "/key/regenerate", json={"key": chosen, "new_key": bad}),
            400,
        )
        assert error["param"] == "new_key"
    other = gw.new_key()
    body = {"key": chosen, "new_key": other}
    refused(gw.admin("POST", "/key/regenerate", json=body), 400, "conflict")


def test_keys_are_listed_in_pages(gw):
    for _ in range(3):
        gw.new_key()
    first = gw.admin("GET", "/key/list", params={"page": 1, "size": 2}).json()
    assert len(first["keys"]) == 2
    assert first["total_count"] >= 3
    second = gw.admin("GET", "/key/list", params={"page": 2, "size": 2}).json()
    assert not set(map(str, first["keys"])) & set(map(str, second["keys"]))


def listed(gw, **query):
    """All of them, page by page."""
    out, page = [], 1
    while True:
        reply = gw.admin("GET", "/key/list", params={**query, "page": page}).json()
        assert reply["current_page"] == page
        out += reply["keys"]
        if page >= reply["total_pages"]:
            assert len(out) == reply["total_count"]
            return out
        page += 1


def test_pages_over_250_keys_are_exact(start, fake):
    gw = start(config(up=fake))
    keys = [
        gw.new_key(
            key_alias=f"alias-{i}",
            **({"team_id": "even"} if i % 2 == 0 else {}),
            **({"user_id": "third"} if i % 3 == 0 else {}),
        )
        for i in range(250)
    ]
    hashes = [sha(k) for k in keys]
    for size in (7, 100):
        found = listed(gw, size=size)
        assert len(found) == len(set(found)) and set(found) == set(hashes)
    assert set(listed(gw, team_id="even", size=100)) == set(hashes[::2])
    assert set(listed(gw, user_id="third", size=10)) == set(hashes[::3])
    both = listed(gw, team_id="even", user_id="third", size=100)
    assert set(both) == set(hashes[::6])
    assert listed(gw, key_alias="alias-77") == [hashes[77]]
    assert listed(gw, key_alias="alias-77", team_id="even") == []
    assert listed(gw, team_id="nobody") == []
    full = listed(gw, team_id="even", size=100, return_full_object="true")
    assert {k["token"] for k in full} == set(hashes[::2])
    assert all(k["team_id"] == "even" for k in full)
    gone = {"keys": keys[:100:2]}
    assert len(gw.admin("POST", "/key/delete", json=gone).json()["deleted_keys"]) == 50
    assert set(listed(gw, team_id="even", size=9)) == set(hashes[100::2])
    moved = {"key": keys[100], "team_id": "odd"}
    assert gw.admin("POST", "/key/update", json=moved).status_code == 200
    assert listed(gw, team_id="odd") == [hashes[100]]
    assert set(listed(gw, team_id="even", size=100)) == set(hashes[102::2])


@pytest.mark.parametrize("query", ["page=0", "page=x", "size=0", "size=101", "size="])
def test_pages_that_make_no_sense_are_refused(gw, query):
    name = query.split("=")[0]
    error = refused(gw.admin("GET", f"/key/list?{query}"), 400, "invalid_value")
    assert error["param"] == name


def test_blocking_works_on_the_next_request_and_can_be_undone(gw, up, key):
    assert gw.call(key, "GET", "/v1/files").status_code == 200
    assert gw.admin("POST", "/key/block", json={"key": key}).status_code == 200
    refused(gw.call(key, "GET", "/v1/files"), 403, "key_blocked")
    assert gw.admin("POST", "/key/unblock", json={"key": key}).status_code == 200
    assert gw.call(key, "GET", "/v1/files").status_code == 200


def test_deleting_works_on_the_next_request(gw, up, key):
    made = gw.upload(key).json()["id"]
    reply = gw.admin("POST", "/key/delete", json={"keys": [key]})
    assert reply.status_code == 200 and reply.json()["deleted_keys"]
    refused(gw.call(key, "GET", f"/v1/files/{made}"), 401, "invalid_api_key")
    refused(gw.admin("GET", "/key/info", params={"key": key}), 404)


def test_a_key_is_deleted_by_its_alias(gw):
    key = gw.new_key(key_alias="by-alias")
    reply = gw.admin("POST", "/key/delete", json={"key_aliases": ["by-alias"]})
    assert reply.status_code == 200
    refused(gw.call(key, "GET", "/v1/files"), 401)


def test_an_alias_is_taken_once(gw):
    gw.new_key(key_alias="taken")
    refused(gw.admin("POST", "/key/generate", json={"key_alias": "taken"}), 400)


@pytest.mark.parametrize(
    "path",
    ["/key/block", "/key/unblock", "/key/delete", "/key/update", "/key/regenerate"],
)
def test_a_key_that_is_not_there_is_told(gw, path):
    body = {"keys": ["sk-nobody"]} if path == "/key/delete" else {"key": "sk-nobody"}
    refused(gw.admin("POST", path, json=body), 404, "key_not_found")


@pytest.mark.parametrize(
    "body, param",
    [
        ({"nonsense": 1}, "nonsense"),
        ({"models": "gpt"}, "models"),
        ({"max_file_bytes": -1}, "max_file_bytes"),
        ({"max_file_bytes": "big"}, "max_file_bytes"),
        ({"operations": ["fly"]}, "operations"),
        ({"duration": "soon"}, "duration"),
        ({"key_alias": 7}, "key_alias"),
        ({"metadata": []}, "metadata"),
        ({"providers": ["nowhere"]}, "providers"),
        ({"default_provider": "nowhere"}, "default_provider"),
        ({"rpm_limit": 0}, "rpm_limit"),
        ({"max_storage_bytes": "5 apples"}, "max_storage_bytes"),
        ({"key_id": "x"}, "key_id"),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/key/generate", "/key/update", "/key/regenerate"])
def test_bad_fields_are_named(gw, key, path, body, param):
    if path != "/key/generate":
        body = {"key": key, **body}
    error = refused(gw.admin("POST", path, json=body), 400, "invalid_value")
    assert error["param"] == param


@pytest.mark.parametrize(
    "path, body, param",
    [
        ("/key/update", {}, "key"),
        ("/key/update", {"key": ""}, "key"),
        ("/key/update", {"key": 7}, "key"),
        ("/key/regenerate", {}, "key"),
        ("/key/block", {}, "key"),
        ("/key/block", {"key": "sk-x", "why": "x"}, "why"),
        ("/key/unblock", {"key": ["sk-x"]}, "key"),
        ("/key/delete", {}, "keys"),
        ("/key/delete", {"keys": []}, "keys"),
        ("/key/delete", {"keys": "sk-x"}, "keys"),
        ("/key/delete", {"keys": ["sk-x", 7]}, "keys"),
        ("/key/delete", {"key_aliases": [""]}, "key_aliases"),
        ("/key/delete", {"keys": ["sk-x"], "force": True}, "force"),
        ("/key/delete", {"keys": ["sk-x"], "delete_files": "yes"}, "delete_files"),
    ],
    ids=str,
)
def test_calls_that_name_no_key_are_refused(gw, path, body, param):
    error = refused(gw.admin("POST", path, json=body), 400)
    assert error["param"] == param


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b'{"a":1}x', b"{" * 99])
def test_a_body_that_is_no_object_is_refused(gw, body):
    refused(gw.admin("POST", "/key/generate", content=body), 400)


def test_a_huge_body_is_refused(gw):
    body = b'{"key_alias":"' + b"a" * (2 << 20) + b'"}'
    refused(gw.admin("POST", "/key/generate", content=body), 413, "body_too_large")


def test_an_expired_key_is_refused(gw):
    refused(gw.admin("POST", "/key/generate", json={"duration": "0s"}), 400)


OPERATIONS = {
    "create": lambda gw, key, fid: gw.upload(key),
    "list": lambda gw, key, fid: gw.call(key, "GET", "/v1/files"),
    "read": lambda gw, key, fid: gw.call(key, "GET", f"/v1/files/{fid}"),
    "content": lambda gw, key, fid: gw.call(key, "GET", f"/v1/files/{fid}/content"),
    "delete": lambda gw, key, fid: gw.call(key, "DELETE", f"/v1/files/{fid}"),
}


@pytest.mark.parametrize("allowed", OPERATIONS)
def test_a_key_does_what_it_is_allowed_and_no_more(gw, up, allowed):
    owner = f"user-{allowed}"
    made = gw.upload(gw.new_key(user_id=owner)).json()["id"]
    key = gw.new_key(user_id=owner, operations=[allowed])
    up.seen.clear()
    for name, call in OPERATIONS.items():
        if name != allowed:
            refused(call(gw, key, made), 403, "operation_not_allowed")
    assert up.seen == []
    assert OPERATIONS[allowed](gw, key, made).status_code == 200


def test_a_provider_that_the_key_may_not_use_is_refused(gw, up, other):
    key = gw.new_key(providers=["other"], default_provider="other")
    refused(gw.upload(key, path="/up/v1/files"), 403, "provider_not_allowed")
    assert gw.upload(key).json()["filemux"]["provider"] == "other"
    assert up.seen == []


def test_a_file_at_a_provider_no_longer_allowed_is_out_of_reach(gw, up, other):
    made = gw.upload(gw.new_key(user_id="moved")).json()["id"]
    key = gw.new_key(user_id="moved", providers=["other"])
    up.seen.clear()
    reply = gw.call(key, "GET", f"/v1/files/{made}/content")
    assert reply.status_code in (403, 404)
    refused(reply, reply.status_code)
    assert up.seen == []


def test_the_keys_default_provider_is_used(gw, up, other):
    key = gw.new_key(default_provider="other")
    assert gw.upload(key).json()["filemux"]["provider"] == "other"


def test_a_purpose_that_the_key_may_not_use_is_refused(gw, up):
    key = gw.new_key(purposes=["batch"])
    refused(gw.upload(key), 403, "purpose_not_allowed")
    assert up.files == {}


def test_the_keys_size_limit_holds_for_declared_lengths(gw, up):
    key = gw.new_key(max_file_bytes=1000)
    assert gw.upload(key, b"x" * 1000).status_code == 200
    up.seen.clear()
    refused(gw.upload(key, b"x" * 1001), 413, "file_too_large")
    assert all(not s.form for s in up.seen) and len(up.files) == 1


def test_the_keys_size_limit_holds_for_chunked_bodies(gw, up):
    key = gw.new_key(max_file_bytes=100_000)
    body = form(part("purpose", "vision"), file_part(b"x" * 5_000_000, "a"))
    with gw.wire() as w:
        w.head(
            "POST", "/v1/files", key, Transfer_Encoding="chunked",
            Content_Type="multipart/form-data; boundary=" + body[2:34].decode(),
        )  # fmt: skip
        w.send_what_is_taken(
            b"%x\r\n%s\r\n" % (len(p), p)
            for p in (body[i : i + 50_000] for i in range(0, len(body), 50_000))
        )
        refused(w.reply(), 413, "file_too_large")
    assert up.files == {}


def test_the_master_key_is_never_a_virtual_key(gw):
    refused(gw.admin("POST", "/key/delete", json={"keys": [MASTER]}), 404)


def test_no_secret_is_stored_in_the_clear(gw, up, key):
    gw.upload(key)
    stored = b"".join(p.read_bytes() for p in gw.data.rglob("*.aof") if p.is_file())
    stored += b"".join(p.read_bytes() for p in gw.data.rglob("*") if p.is_file())
    assert b"file-up-" in stored
    assert key.encode() not in stored
