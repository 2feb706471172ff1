"""The type `s3` against moto's server: somebody else's idea of S3."""

import os
import subprocess
import sys

import any_provider as any_
import httpx
import pytest
from fakes import pattern
from gw import MB, Gateway, config, free_port, refused, until

BUCKET = "moto-bucket"
PART = 5 * MB


class Moto:
    def __init__(self):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p",
             str(self.port)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "AWS_EC2_METADATA_DISABLED": "1"},
        )  # fmt: skip

    def answers(self):
        assert self.process.poll() is None, "moto ended at once"
        try:
            return httpx.get(self.url + "/moto-api/").status_code == 200
        except httpx.TransportError:
            return False

    def call(self, method, path, **kw):
        """As anybody: moto checks no signatures by default."""
        auth = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20250101/us-east-1/s3/"
                "aws4_request, SignedHeaders=host, Signature=0"}  # fmt: skip
        return httpx.request(method, self.url + path, headers=auth, timeout=20, **kw)

    def unfinished(self):
        return self.call("GET", f"/{BUCKET}?uploads").text.count("<UploadId>")

    def keys(self):
        return self.call("GET", f"/{BUCKET}?list-type=2").text.count("<Key>")

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def moto():
    moto = Moto()
    try:
        until(moto.answers, "moto answers", 60)
        assert moto.call("PUT", f"/{BUCKET}").status_code == 200
        yield moto
    finally:
        moto.stop()


@pytest.fixture(scope="module")
def gw(moto, tmp_path_factory):
    up = {
        "type": "s3",
        "base_url": moto.url,
        "bucket": BUCKET,
        "region": "us-east-1",
        "credentials": "keys",
        "access_key_id": "AKIAMOTO",
        "secret_access_key": "any",
        "part_size": "5MB",
    }
    providers = {"up": up, "lost": {**up, "bucket": "no-such-bucket"}}
    providers["aes"] = {**up, "sse": "AES256", "prefix": "a b/ü+&/"}
    conf = config({"providers": providers, "routing": {"default": "up"}})
    gw = Gateway(tmp_path_factory.mktemp("moto"), conf)
    try:
        gw.start()
        gw.key = gw.new_key()
        yield gw
        gw.stop()
    finally:
        gw.end()


@pytest.mark.parametrize("chunks", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("size", [*any_.SIZES, PART, PART + 1])
def test_what_goes_up_comes_down(gw, moto, size, chunks):
    obj = any_.made(any_.send(gw, size, chunks=chunks))
    assert obj["bytes"] == size
    any_.comes_back(gw, obj, size)
    assert moto.unfinished() == 0
    path = f"/v1/files/{obj['id']}"
    assert gw.call(gw.key, "DELETE", path).json()["deleted"] is True
    refused(gw.call(gw.key, "DELETE", path), 404)
    assert moto.keys() == 0


def test_a_part_of_a_file_comes_back(gw):
    path = f"/v1/files/{any_.made(any_.send(gw, 1000))['id']}"
    reply = gw.call(gw.key, "GET", path + "/content", headers={"Range": "bytes=10-19"})
    assert reply.status_code == 206 and reply.content == pattern.pattern(20)[10:]
    gw.call(gw.key, "DELETE", path)


@pytest.mark.parametrize("size", [5, PART + 1])
def test_keys_of_any_bytes_and_encryption_work(gw, moto, size):
    data = pattern.pattern(size)
    obj = any_.made(gw.upload(gw.key, data, "ü.txt", path="/aes/v1/files"))
    any_.comes_back(gw, obj, size)
    found = moto.call("GET", f"/{BUCKET}?list-type=2").text
    assert f"<Key>a b/ü+&amp;/{obj['id'][-26:]}</Key>" in found
    gw.call(gw.key, "DELETE", f"/v1/files/{obj['id']}")


def test_what_is_gone_there_counts_as_deleted(gw, moto):
    obj = any_.made(any_.send(gw, 5))
    path = f"/v1/files/{obj['id']}"
    moto.call("DELETE", f"/{BUCKET}/filemux/{obj['id'][-26:]}")
    refused(gw.call(gw.key, "GET", path + "/content"), 404)
    assert gw.call(gw.key, "DELETE", path).json()["deleted"] is True


def test_a_bucket_that_is_not_there_is_named(gw):
    for size in (5, PART + 1):
        data = pattern.pattern(size)
        reply = gw.upload(gw.key, data, path="/lost/v1/files")
        assert "bucket" in refused(reply, 502, "upstream_error")["message"]
