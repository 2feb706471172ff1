"""Virtual keys: made, shown, blocked, deleted; and what each may do."""

import pytest
from gw import MASTER, refused
from wire import file_part, form, part

ADMIN = [
    ("POST", "/key/generate"), ("POST", "/key/delete"), ("POST", "/key/block"),
    ("POST", "/key/unblock"), ("GET", "/key/info"), ("GET", "/key/list"),
]  # fmt: skip


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
    }  # fmt: skip
    key = gw.new_key(**fields)
    info = gw.admin("GET", "/key/info", params={"key": key}).json()["info"]
    del fields["duration"]
    for name, value in fields.items():
        assert info[name] == value, name
    assert info["expires"] and info["blocked"] is False


def test_keys_are_listed_in_pages(gw):
    for _ in range(3):
        gw.new_key()
    first = gw.admin("GET", "/key/list", params={"page": 1, "size": 2}).json()
    assert len(first["keys"]) == 2
    assert first["total_count"] >= 3
    second = gw.admin("GET", "/key/list", params={"page": 2, "size": 2}).json()
    assert not set(map(str, first["keys"])) & set(map(str, second["keys"]))


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


@pytest.mark.parametrize("path", ["/key/block", "/key/unblock", "/key/delete"])
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
    ],
    ids=str,
)
def test_bad_fields_are_named(gw, body, param):
    error = refused(gw.admin("POST", "/key/generate", json=body), 400, "invalid_value")
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
