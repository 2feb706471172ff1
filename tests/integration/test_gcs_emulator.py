"""The type `gcs` against an emulator of Cloud Storage that others wrote.

What it does not do is covered by the fake in test_gcs.py: it asks for no
credentials, always stores all that it was sent, knows no cancelling of a
session and no pages, and has no bodies for its errors.
"""

import subprocess
import sys

import any_provider as any_
import httpx
import pytest
from gw import Gateway, config, free_port, refused, until

BUCKET = "team-files"


@pytest.fixture(scope="module")
def emulator():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1",
         "--port", str(port), "--default-bucket", BUCKET, "--in-memory", "--quiet"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: objects(url) == {}, "the emulator answers", 30)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def objects(url):
    """Name -> size; None while nobody answers."""
    try:
        reply = httpx.get(f"{url}/storage/v1/b/{BUCKET}/o")
    except httpx.TransportError:
        return None
    items = reply.json().get("items", []) if reply.status_code == 200 else None
    return None if items is None else {o["name"]: int(o["size"]) for o in items}


@pytest.fixture(scope="module")
def shared(tmp_path_factory, emulator):
    up = {"type": "gcs", "base_url": emulator, "bucket": BUCKET, "token": "t"}
    rules = [{"match": {"purpose": "batch"}, "use": "up"}]
    conf = config(
        {"providers": {"up": up}, "routing": {"default": "up", "rules": rules}}
    )
    gw = Gateway(tmp_path_factory.mktemp("emulated"), conf)
    try:
        yield gw.start()
        gw.stop()
    finally:
        gw.end()


@pytest.fixture
def gw(shared):
    shared.key = shared.new_key()
    return shared


def delete(gw, obj):
    return gw.call(gw.key, "DELETE", f"/v1/files/{obj['id']}")


@pytest.mark.parametrize("how", [{}, {"chunks": True}, {"file_first": True}], ids=str)
@pytest.mark.parametrize("size", [*any_.SIZES, 4 << 20, 8 << 20])
def test_files_of_any_size_go_there_and_come_back(gw, emulator, size, how):
    obj = any_.made(any_.send(gw, size, **how))
    assert obj["bytes"] == size and obj["status"] == "processed"
    assert objects(emulator) == {"filemux/" + obj["id"][-26:]: size}
    any_.comes_back(gw, obj, size)
    assert delete(gw, obj).json()["deleted"] is True
    refused(delete(gw, obj), 404)
    assert objects(emulator) == {}


def test_a_file_is_shown_and_a_part_of_it_comes_back(gw, emulator):
    obj = any_.made(any_.send(gw, 1000))
    path = f"/v1/files/{obj['id']}"
    assert gw.call(gw.key, "GET", path).json() == obj
    reply = gw.call(gw.key, "GET", path + "/content", headers={"Range": "bytes=5-9"})
    assert reply.status_code == 206 and len(reply.content) == 5
    assert delete(gw, obj).status_code == 200


def test_what_is_gone_there_is_gone_here(gw, emulator):
    obj = any_.made(any_.send(gw, 5))
    name = "filemux%2F" + obj["id"][-26:]
    httpx.delete(f"{emulator}/storage/v1/b/{BUCKET}/o/{name}").raise_for_status()
    refused(gw.call(gw.key, "GET", f"/v1/files/{obj['id']}/content"), 404)
    assert delete(gw, obj).json()["deleted"] is True


def test_a_bucket_that_is_not_there_is_told(start, emulator):
    up = {"type": "gcs", "base_url": emulator, "bucket": "other-files", "token": "t"}
    gw = start(config({"providers": {"up": up}, "routing": {"default": "up"}}))
    gw.key = gw.new_key()
    refused(any_.send(gw, 5), 404)
