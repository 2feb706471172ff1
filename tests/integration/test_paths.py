"""Routes: three forms of each path, and everything that is no route."""

import pytest
from gw import refused
from wire import Wire

FORMS = ["/v1/files", "/files", "/up/v1/files", "/v1/files/", "//files", "//v1/files"]


@pytest.mark.parametrize("path", FORMS)
def test_all_operations_work_on_every_form_of_the_path(gw, up, key, path):
    made = gw.upload(key, path=path).json()
    assert made["object"] == "file"
    listed = gw.call(key, "GET", path).json()
    assert [f["id"] for f in listed["data"]] == [made["id"]]
    one = path.rstrip("/") + "/" + made["id"]
    assert gw.call(key, "GET", one).json() == made
    assert gw.call(key, "GET", one + "/content").content == b"hello"
    assert gw.call(key, "HEAD", one + "/content").headers["content-length"] == "5"
    assert gw.call(key, "DELETE", one).json()["deleted"] is True


def test_the_prefix_pins_the_provider(gw, up, other, key):
    made = gw.upload(key, path="/other/v1/files").json()
    assert made["filemux"]["provider"] == "other"
    assert made["id"].startswith("file-other-")
    assert up.seen == [] and len(other.files) == 1


def test_the_prefix_of_another_provider_does_not_find_the_file(gw, up, other, key):
    made = gw.upload(key).json()
    refused(gw.call(key, "GET", f"/other/v1/files/{made['id']}"), 404)
    assert gw.call(key, "GET", "/other/v1/files").json()["data"] == []


def test_an_unknown_provider_is_named(gw, up, key):
    error = refused(gw.upload(key, path="/nowhere/v1/files"), 400, "unknown_provider")
    assert "nowhere" in error["message"] and error["param"]


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v2/files", "/v1/filesystem", "/v1/filesX", "/v1/files/a/b/c",
     "/v1/chat/nothing", "/favicon.ico", "/v1/files/x/contents", "/key", "/up/files/x/y"],
)  # fmt: skip
def test_unknown_paths_get_the_envelope(gw, up, key, path):
    refused(gw.call(key, "GET", path), 404)
    assert up.seen == []


@pytest.mark.parametrize(
    "method, path",
    [("PUT", "/v1/files"), ("PATCH", "/v1/files"), ("DELETE", "/v1/files"),
     ("POST", "/v1/files/file-up-01hqxxxxxxxxxxxxxxxxxxxxxx"),
     ("GET", "/key/generate"), ("POST", "/health/liveliness"), ("POST", "/metrics")],
)  # fmt: skip
def test_wrong_methods_are_told_what_is_allowed(gw, key, method, path):
    reply = gw.call(key, method, path)
    refused(reply, 405, "method_not_allowed")
    assert reply.headers["allow"] and method not in reply.headers["allow"]


@pytest.mark.parametrize("name", ["authorization", "x-api-key", "api-key"])
def test_the_key_comes_in_three_headers(gw, key, name):
    value = f"Bearer {key}" if name == "authorization" else key
    assert gw.http.get("/v1/files", headers={name: value}).status_code == 200


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_scheme_has_no_case(gw, key, scheme):
    headers = {"Authorization": f"{scheme} {key}"}
    assert gw.http.get("/v1/files", headers=headers).status_code == 200


def test_health_needs_no_key(gw):
    for path in ("/health/liveliness", "/health/liveness", "/health/readiness"):
        assert gw.http.get(path).status_code == 200


def test_an_absolute_target_is_a_path(gw, key):
    with Wire(gw.port) as w:
        w.head("GET", "http://filemux/v1/files", key)
        assert w.reply().status == 200
