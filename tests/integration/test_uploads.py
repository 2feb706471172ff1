"""The Uploads API: files in parts, at providers that have it and at others.

OpenAI and Azure (dated) take parts themselves; S3 and Cloud Storage hold them
as objects; for a disk they lie beside its files, for Mistral in a directory of
filemux's own.
"""

import contextlib
import hashlib
import io
import json
import os
import socket
import threading

import httpx
import pytest
import test_azure
import test_gcs
import test_jobs
import test_mistral
import test_s3
from conftest import sdk_for
from fakes import pattern
from fakes.azure import Azure
from fakes.gcs import GCS
from fakes.mistral import Mistral
from fakes.openai import OpenAI, after_bytes, answer, call, on_head, on_stored, reset
from fakes.s3 import S3
from gw import (
    MB,
    RELEASE,
    Gateway,
    Redis,
    config,
    openai_provider,
    refused,
    until,
)
from quota import of_today, scope, until_used, use
from wire import form_around, form_type

NAMES = ["openai", "azure", "s3", "gcs", "disk", "mistral"]
NATIVE = ["openai", "azure"]
HELD = ["s3", "gcs", "disk", "mistral"]
QUICK = {"journal": {"lease": "2s", "sweep_interval": "300ms"}}
JSONL = b'{"a": 1}\n' * 40
CHAT = "/v1/chat/completions"


def make_fakes():
    return {"openai": OpenAI(), "azure": Azure("2025-04-01-preview"), "s3": S3(),
            "gcs": GCS(token=test_gcs.TOKEN), "mistral": Mistral()}  # fmt: skip


def make_config(fakes, folder, redis, more=None):
    providers = {
        "openai": openai_provider(fakes["openai"]),
        "azure": test_azure.provider(fakes["azure"]),
        "s3": test_s3.provider(fakes["s3"]),
        "gcs": test_gcs.provider(fakes["gcs"]),
        "mistral": test_mistral.provider(fakes["mistral"]),
        "disk": {"type": "disk", "path": str(folder / "files")},
    }
    base = {"providers": providers, "redis": {"url": redis.url},
            "routing": {"default": "openai"}, **QUICK}  # fmt: skip
    return {**config(base), **(more or {})}


class World:
    """A gateway with a provider of each kind."""

    def __init__(self, folder, more=None, **kw):
        self.folder, self.fakes = folder, make_fakes()
        self.redis = Redis(folder / "redis").start()
        self.conf = make_config(self.fakes, folder, self.redis, more)
        self.gw = Gateway(folder / "gw", self.conf, **kw)

    def end(self):
        self.gw.end()
        self.redis.kill()
        for fake in self.fakes.values():
            fake.stop()

    def clear(self):
        for fake in self.fakes.values():
            fake.seen.clear()
            fake.faults.clear()
            fake.files.clear()
            fake.read_rate = fake.write_rate = 0
        self.fakes["azure"].first_status = "processed"

    def check(self):
        for fake in self.fakes.values():
            assert fake.violations == []

    def own(self):
        """What lies in filemux's own directory."""
        folder = self.gw.data / "uploads"
        return sorted(p.name for p in folder.iterdir()) if folder.exists() else []

    def held(self, name):
        """Parts that lie where this provider's are held."""
        if name == "mistral":
            return self.own()
        if name == "disk":
            folder = self.folder / "files"
            found = [p.name for p in folder.iterdir()] if folder.exists() else []
        else:
            found = [str(key) for key in self.fakes[name].files]
        return [key for key in found if "part-" in key]


def make_world(folder, more=None, **kw):
    world = World(folder, more, **kw)
    try:
        world.gw.start()
        yield world
        world.gw.stop()
    finally:
        world.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    yield from make_world(tmp_path_factory.mktemp("uploads"))


@pytest.fixture
def world(shared):
    shared.clear()
    yield shared
    shared.check()


@pytest.fixture
def short(tmp_path):
    """Uploads live for two seconds."""
    yield from make_world(tmp_path, {"uploads": {"lifetime": "2s"}})


@pytest.fixture
def gw(world):
    return world.gw


@pytest.fixture
def key(gw):
    return gw.new_key()


@pytest.fixture
def sdk(gw, key):
    with sdk_for(gw, key) as client:
        yield client


def facts(size, **more):
    return {"filename": "in.jsonl", "purpose": "fine-tune", "bytes": size,
            "mime_type": "application/jsonl", **more}  # fmt: skip


def create(gw, key, name, size, **more):
    reply = gw.call(key, "POST", f"/{name}/v1/uploads", json=facts(size, **more))
    assert reply.status_code == 200, reply.text
    return reply.json()["id"]


def send(gw, key, upload_id, data, **kw):
    return gw.call(
        key, "POST", f"/v1/uploads/{upload_id}/parts", files={"data": ("part", data)}, **kw
    )


def add(gw, key, upload_id, data):
    reply = send(gw, key, upload_id, data)
    assert reply.status_code == 200, reply.text
    return reply.json()["id"]


def complete(gw, key, upload_id, part_ids, **more):
    body = {"part_ids": part_ids, **more}
    return gw.call(key, "POST", f"/v1/uploads/{upload_id}/complete", json=body)


def cancel(gw, key, upload_id):
    return gw.call(key, "POST", f"/v1/uploads/{upload_id}/cancel")


def pieces(data, n=3):
    step = -(-len(data) // n)
    return [data[i : i + step] for i in range(0, len(data), step)]


def begun(gw, key, name, data=JSONL, n=3, **more):
    """An upload with all of its parts."""
    upload_id = create(gw, key, name, len(data), **more)
    return upload_id, [add(gw, key, upload_id, p) for p in pieces(data, n)]


def content(gw, key, file_id):
    return gw.call(key, "GET", f"/v1/files/{file_id}/content").content


def nothing_held(world, name):
    until(lambda: world.held(name) == [], "no part is left")


# --- the whole way ---


@pytest.mark.parametrize("name", NAMES)
def test_a_file_goes_up_in_parts_and_comes_down_whole(world, key, name):
    with sdk_for(world.gw, key, f"/{name}/v1") as sdk:
        made = sdk.uploads.create(**facts(len(JSONL)))
        assert made.id.startswith(f"upload_{name}-") and len(made.id) == 34 + len(name)
        assert (made.status, made.bytes, made.object) == ("pending", len(JSONL), "upload")
        assert made.expires_at == made.created_at + 3600 and made.file is None
        assert (made.filename, made.purpose) == ("in.jsonl", "fine-tune")
        one, two, three = pieces(JSONL)
        parts = [sdk.uploads.parts.create(made.id, data=p) for p in (three, one, two)]
        for part in parts:
            assert part.id.startswith("part_") and len(part.id) == 31
            assert (part.object, part.upload_id) == ("upload.part", made.id)
        ids = [parts[1].id, parts[2].id, parts[0].id]
        md5 = hashlib.md5(JSONL).hexdigest()
        done = sdk.uploads.complete(made.id, part_ids=ids, md5=md5)
        assert (done.id, done.status) == (made.id, "completed")
        assert done.file.id.startswith(f"file-{name}-")
        assert (done.file.bytes, done.file.filename) == (len(JSONL), "in.jsonl")
        assert done.file.purpose == "fine-tune"
        assert sdk.files.content(done.file.id).read() == JSONL
        assert [f.id for f in sdk.files.list().data] == [done.file.id]
    nothing_held(world, name)
    until_used(world.redis, scope(key), 1, len(JSONL))


@pytest.mark.parametrize("name", NAMES)
def test_the_sdk_uploads_a_file_in_chunks(world, key, name):
    data = pattern.pattern(3 * MB + 5)
    with sdk_for(world.gw, key, f"/{name}/v1") as sdk:
        done = sdk.uploads.upload_file_chunked(
            file=data, filename="in.jsonl", bytes=len(data), purpose="fine-tune",
            mime_type="application/jsonl", part_size=MB,
            md5=hashlib.md5(data).hexdigest(),
        )  # fmt: skip
        assert sdk.files.content(done.file.id).read() == data


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_md5_stores_nothing_and_a_right_one_goes_on(world, gw, key, name):
    upload_id, parts = begun(gw, key, name)
    refused(complete(gw, key, upload_id, parts, md5="0" * 32), 400)
    assert gw.call(key, "GET", "/v1/files").json()["data"] == []
    if name in HELD and name != "disk":
        assert [f for f in world.fakes[name].files if "part-" not in str(f)] == []
    done = complete(gw, key, upload_id, parts, md5=hashlib.md5(JSONL).hexdigest())
    assert done.status_code == 200, done.text
    assert content(gw, key, done.json()["file"]["id"]) == JSONL
    until_used(world.redis, scope(key), 1, len(JSONL))


@pytest.mark.parametrize("name", NAMES)
def test_parts_may_come_at_a_time_and_go_in_any_order(gw, key, name):
    data = pattern.pattern(2 * MB)
    upload_id, all = create(gw, key, name, len(data)), pieces(data, 8)
    ids = [None] * 8

    def one(i):
        ids[i] = add(gw, key, upload_id, all[i])

    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    done = complete(gw, key, upload_id, ids[::-1])
    assert done.status_code == 200, done.text
    assert content(gw, key, done.json()["file"]["id"]) == b"".join(all[::-1])


@pytest.mark.parametrize("name", NAMES)
def test_a_cancelled_upload_is_over(world, gw, key, name):
    upload_id, parts = begun(gw, key, name)
    reply = cancel(gw, key, upload_id)
    assert reply.status_code == 200, reply.text
    assert (reply.json()["status"], reply.json()["file"]) == ("cancelled", None)
    for reply in (cancel(gw, key, upload_id), complete(gw, key, upload_id, parts),
                  send(gw, key, upload_id, b"x")):  # fmt: skip
        assert "cancelled" in refused(reply, 400)["message"]
    assert world.held(name) == []
    until_used(world.redis, scope(key), 0, 0)
    if name in NATIVE:
        (made,) = list(world.fakes[name].parted.values())[-1:]
        assert made.status == "cancelled"


@pytest.mark.parametrize("name", NAMES)
def test_a_second_completion_is_refused(world, gw, key, name):
    upload_id, parts = begun(gw, key, name)
    replies = []

    def one():
        replies.append(complete(gw, key, upload_id, parts))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(r.status_code for r in replies) == [200, 400, 400, 400]
    refused(complete(gw, key, upload_id, parts), 400)
    refused(cancel(gw, key, upload_id), 400)
    assert len(gw.call(key, "GET", "/v1/files").json()["data"]) == 1
    until_used(world.redis, scope(key), 1, len(JSONL))


# --- what is asked for ---


@pytest.mark.parametrize("missing", ["filename", "purpose", "bytes", "mime_type"])
def test_what_is_missing_is_named(gw, key, missing):
    body = facts(1)
    del body[missing]
    error = refused(gw.call(key, "POST", "/v1/uploads", json=body), 400)
    assert error["param"] == missing


@pytest.mark.parametrize("wrong", [
    {"bytes": 0}, {"bytes": -1}, {"bytes": "9"}, {"bytes": True}, {"bytes": 1.5},
    {"bytes": 1e30}, {"filename": ""},
    {"filename": 7}, {"filename": "a\nb"}, {"filename": "x" * 2000},
    {"mime_type": "jsonl"}, {"mime_type": "a/b\r\nx: y"}, {"purpose": "no good"},
    {"expires_after": 5}, {"expires_after": {"anchor": "created_at"}},
    {"expires_after": {"anchor": "created_at", "seconds": 1}},
    {"expires_after": {"anchor": "now", "seconds": 3600}},
])  # fmt: skip
def test_what_is_wrong_is_named(gw, key, wrong):
    (name,) = wrong
    error = refused(gw.call(key, "POST", "/v1/uploads", json=facts(1, **wrong)), 400)
    assert (error["param"] or "").startswith(name), error
    assert use(gw_redis(gw), scope(key))["held_files"] == 0


def gw_redis(gw):
    """The counters of the shared world's Redis."""
    port = int(gw.conf["redis"]["url"].rsplit(":", 1)[1])
    redis = Redis.__new__(Redis)
    redis.port = port
    return redis


def test_an_unknown_member_is_refused(gw, key):
    assert "colour" in refused(
        gw.call(key, "POST", "/v1/uploads", json=facts(1, colour="red")), 400
    )["message"]


def test_part_ids_are_checked(gw, key):
    upload_id, parts = begun(gw, key, "disk")
    other_id, others = begun(gw, key, "disk")
    for ids in ([], "x", [7], parts[:2], parts + parts[:1], [*parts, others[0]],
                [others[0], *parts[1:]], ["part_" + "0" * 26], ["x" * 99]):  # fmt: skip
        error = refused(complete(gw, key, upload_id, ids), 400)
        assert error["param"] == "part_ids", (ids, error)
    assert refused(complete(gw, key, upload_id, parts, md5="zz"), 400)["param"] == "md5"
    refused(gw.call(key, "POST", f"/v1/uploads/{upload_id}/complete", json={}), 400)
    assert complete(gw, key, upload_id, parts).status_code == 200
    assert complete(gw, key, other_id, others).status_code == 200


def test_the_bytes_declared_are_the_bound(world, gw, key):
    upload_id = create(gw, key, "mistral", 10)
    first = add(gw, key, upload_id, b"12345")
    assert refused(send(gw, key, upload_id, b"123456"), 400)["param"] == "data"
    refused(send(gw, key, upload_id, iter_of(b"123456")), 413)
    last = add(gw, key, upload_id, b"67890")
    refused(send(gw, key, upload_id, b"1"), 400)
    done = complete(gw, key, upload_id, [first, last]).json()
    assert content(gw, key, done["file"]["id"]) == b"1234567890"


def test_a_part_for_which_nothing_is_left_is_not_under_way(world, gw, key):
    """So it keeps nobody waiting who ends the upload."""
    upload_id = create(gw, key, "mistral", 5)
    add(gw, key, upload_id, b"12345")
    refused(send(gw, key, upload_id, iter_of(b"6")), 400)
    until(lambda: not under_way(world, upload_id, key), "it is not under way", 1)
    refused(send(gw, key, upload_id, iter_of(b"6")), 400)
    assert cancel(gw, key, upload_id).status_code == 200
    assert use(world.redis, scope(key))["held_bytes"] == 0


def iter_of(data):
    """A part whose length is not told."""
    class Unsized(io.RawIOBase):
        def __init__(self):
            self.rest = data

        def readable(self):
            return True

        def read(self, n=-1):
            out, self.rest = self.rest, b""
            return out

    return Unsized()


def test_parts_at_a_time_never_have_more_than_was_declared(world, gw, key):
    upload_id = create(gw, key, "disk", 5 * 1000)
    replies = []

    def one():
        replies.append(send(gw, key, upload_id, bytes(1000)))

    threads = [threading.Thread(target=one) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    good = [r.json()["id"] for r in replies if r.status_code == 200]
    assert len(good) == 5
    assert complete(gw, key, upload_id, good).status_code == 200


def test_an_empty_part_and_another_field_are_refused(gw, key):
    upload_id = create(gw, key, "disk", 5)
    refused(send(gw, key, upload_id, b""), 400)
    path = f"/v1/uploads/{upload_id}/parts"
    error = refused(gw.call(key, "POST", path, files={"file": ("a", b"x")}), 400)
    assert error["param"] == "data"
    refused(gw.call(key, "POST", path, json={"data": "x"}), 415)


@pytest.mark.parametrize("upload_id", ["upload_abc", "file-x", "..%2f..", "a" * 300,
                                       "upload_openai-" + "0" * 26])  # fmt: skip
def test_an_id_that_is_none_of_ours_is_not_found(gw, key, upload_id):
    for what in ("parts", "complete", "cancel"):
        reply = gw.call(key, "POST", f"/v1/uploads/{upload_id}/{what}",
                        json={"part_ids": ["x"]})  # fmt: skip
        assert refused(reply, 404)["code"] == "upload_not_found"


@pytest.mark.parametrize("name", ["openai", "mistral"])
def test_another_owners_upload_is_not_there(world, gw, key, name):
    upload_id, parts = begun(gw, key, name)
    thief = gw.new_key()
    for reply in (send(gw, thief, upload_id, b"x"), cancel(gw, thief, upload_id),
                  complete(gw, thief, upload_id, parts)):  # fmt: skip
        assert refused(reply, 404)["code"] == "upload_not_found"
    own_id, own = begun(gw, thief, name)
    assert refused(complete(gw, thief, own_id, parts), 400)["param"] == "part_ids"
    assert complete(gw, key, upload_id, parts).status_code == 200
    assert complete(gw, thief, own_id, own).status_code == 200


def test_a_path_of_another_provider_does_not_find_it(gw, key):
    upload_id = create(gw, key, "disk", 5)
    path = f"/mistral/v1/uploads/{upload_id}/cancel"
    refused(gw.call(key, "POST", path), 404)
    assert gw.call(key, "POST", f"/uploads/{upload_id}/cancel").status_code == 200


def test_hints_pick_the_provider(gw, key):
    def made(headers=None, path="/v1/uploads", **more):
        reply = gw.call(key, "POST", path, json=facts(5, **more), headers=headers or {})
        return reply.json()["filemux"]["provider"]

    assert made() == "openai"
    assert made(provider="disk") == "disk"
    assert made({"x-filemux-provider": "s3"}) == "s3"
    assert made(path="/v1/uploads?provider=gcs") == "gcs"
    assert made(path="/mistral/v1/uploads") == "mistral"
    error = refused(gw.call(key, "POST", "/v1/uploads", json=facts(5, provider="x")), 400)
    assert error["param"]


# --- keys and quotas ---


@pytest.mark.parametrize("name", ["openai", "mistral"])
def test_what_was_declared_is_held_until_the_file_counts(world, gw, name):
    key = gw.new_key(max_storage_bytes=1000, max_files=2)
    upload_id = create(gw, key, name, 900)
    held = use(world.redis, scope(key))
    assert (held["held_files"], held["held_bytes"]) == (1, 900)
    assert of_today(world.redis, scope(key))["held_up"] == 900
    reply = gw.call(key, "POST", f"/{name}/v1/uploads", json=facts(101))
    refused(reply, 429, "storage_quota_exceeded")
    refused(gw.upload(key, bytes(101)), 429)
    part = add(gw, key, upload_id, bytes(900))
    held = use(world.redis, scope(key))
    assert (held["held_files"], held["held_bytes"]) == (1, 900)
    refused(complete(gw, key, upload_id, [part], md5="0" * 32), 400)
    until(lambda: use(world.redis, scope(key))["held_bytes"] == 900, "it is held again")
    assert complete(gw, key, upload_id, [part]).status_code == 200
    until_used(world.redis, scope(key), 1, 900)
    today = of_today(world.redis, scope(key))
    assert (today["up"], today["held_up"]) == (900, 0)
    upload_id = create(gw, key, name, 100)
    assert cancel(gw, key, upload_id).status_code == 200
    until_used(world.redis, scope(key), 1, 900)
    assert create(gw, key, name, 100)


def test_limits_refuse_before_any_part(gw):
    key = gw.new_key(max_file_bytes=100, purposes=["vision"], providers=["disk"])
    path = "/disk/v1/uploads"
    reply = gw.call(key, "POST", path, json=facts(101, purpose="vision"))
    assert refused(reply, 413)["param"] == "bytes"
    refused(gw.call(key, "POST", path, json=facts(100)), 403, "purpose_not_allowed")
    body = facts(100, purpose="vision")
    reply = gw.call(key, "POST", "/openai/v1/uploads", json=body)
    refused(reply, 403, "provider_not_allowed")
    reader = gw.new_key(operations=["read"])
    refused(gw.call(reader, "POST", "/v1/uploads", json=facts(1)), 403)
    refused(gw.call("sk-nobody", "POST", "/v1/uploads", json=facts(1)), 401)


# --- batch files ---


def line(n, model="m"):
    request = {"custom_id": f"r{n}", "method": "POST", "url": CHAT,
               "body": {"model": model, "messages": []}}  # fmt: skip
    return json.dumps(request) + "\n"


@pytest.fixture
def checking(tmp_path):
    models = {"alias": {"provider": "openai", "model": "gpt-4o-of-another-length"}}
    more = {"batch_check": {"enabled": True}, "models": models}
    yield from make_world(tmp_path, more)


def test_a_batch_file_is_checked_over_its_parts(checking):
    gw, fake = checking.gw, checking.fakes["openai"]
    key = gw.new_key()
    good = "".join(line(n, "alias") for n in range(50)).encode()
    bad = good + b"nonsense\n"
    upload_id, parts = begun(gw, key, "openai", bad, 7, purpose="batch")
    error = refused(complete(gw, key, upload_id, parts), 400, "invalid_batch_line")
    assert "line 51" in error["message"]
    assert fake.files == {} and fake.parted == {}
    assert cancel(gw, key, upload_id).status_code == 200
    upload_id, parts = begun(gw, key, "openai", good, 7, purpose="batch")
    md5 = hashlib.md5(good).hexdigest()
    done = complete(gw, key, upload_id, parts, md5=md5)
    assert done.status_code == 200, done.text
    (stored,) = fake.files.values()
    renamed = good.replace(b'"alias"', b'"gpt-4o-of-another-length"')
    assert stored.read() == renamed
    assert done.json()["file"]["bytes"] == len(renamed)
    until_used(checking.redis, scope(key), 1, len(renamed))
    until(lambda: checking.own() == [], "no part is left")


def test_a_completion_that_fails_holds_no_more_than_before(checking):
    """What models' names add is held for the completion alone."""
    gw, fake = checking.gw, checking.fakes["openai"]
    data = "".join(line(n, "alias") for n in range(50)).encode()
    renamed = data.replace(b'"alias"', b'"gpt-4o-of-another-length"')
    key = gw.new_key(max_storage_bytes=len(renamed))
    upload_id, parts = begun(gw, key, "openai", data, purpose="batch")
    fault = on_head(answer(500, {"error": {"message": "no"}}))
    fake.fault(fault, method="POST", path="/v1/files$", times=9)
    refused(complete(gw, key, upload_id, parts), 502)
    fake.faults.clear()
    held = {"files": 0, "bytes": 0, "held_files": 1, "held_bytes": len(data), "slots": 0}
    until(lambda: use(checking.redis, scope(key)) == held, "it holds what it held")
    assert of_today(checking.redis, scope(key))["held_up"] == len(data)
    reply = complete(gw, key, upload_id, parts)
    assert reply.status_code == 200, reply.text
    until_used(checking.redis, scope(key), 1, len(renamed))


# --- faults ---


@pytest.mark.parametrize("name", ["openai", "s3", "mistral"])
def test_a_part_that_is_cut_is_no_part(world, gw, key, name):
    data = bytes(MB)
    upload_id = create(gw, key, name, len(data))
    prefix, suffix, length = form_around(len(data))
    prefix = prefix.replace(b'name="file"', b'name="data"')
    with gw.wire() as w:
        w.head("POST", f"/v1/uploads/{upload_id}/parts", key,
               Content_Type=form_type(), Content_Length=length)  # fmt: skip
        w.send(prefix + data[: MB // 2])
        until(lambda: under_way(world, upload_id, key), "the part is under way")
    until(lambda: not under_way(world, upload_id, key), "it is given up")
    part = add(gw, key, upload_id, data)
    assert complete(gw, key, upload_id, [part]).status_code == 200
    nothing_held(world, name)


def under_way(world, upload_id, key):
    found = world.redis.command("KEYS", f"*:uw:{upload_id}")
    return not found.startswith(b"*0")


@pytest.mark.parametrize("name", ["openai", "s3", "mistral"])
def test_a_part_that_nobody_heard_of_can_be_sent_again(world, gw, key, name):
    """All of it came, and the client went before the answer."""
    data = bytes(1000)
    upload_id = create(gw, key, name, len(data))
    prefix, suffix, length = form_around(len(data))
    prefix = prefix.replace(b'name="file"', b'name="data"')
    gone = threading.Event()
    if name != "mistral":
        world.fakes[name].fault(on_stored(call(lambda x: gone.wait(15))))
    wire = gw.wire()
    wire.head("POST", f"/v1/uploads/{upload_id}/parts", key,
              Content_Type=form_type(), Content_Length=length)  # fmt: skip
    wire.send(prefix + data)
    until(lambda: under_way(world, upload_id, key), "the part is under way")
    if name != "mistral":
        wire.send(suffix)
        until(lambda: any(s.raw_length >= 1000 for s in world.fakes[name].seen), "it is there")
    before = len(gw.log())
    wire.close()
    until(lambda: any(e.get("route") == "uploads.part" for e in gw.log()[before:]),
          "the client is known to be gone")  # fmt: skip
    gone.set()
    until(lambda: not under_way(world, upload_id, key), "it is given up")
    part = add(gw, key, upload_id, data)
    assert complete(gw, key, upload_id, [part]).status_code == 200
    nothing_held(world, name)


@pytest.mark.parametrize("fault", [reset, answer(500, {"error": {"message": "no"}})])
@pytest.mark.parametrize("name", ["openai", "s3", "mistral"])
def test_a_completion_that_fails_can_be_tried_again(world, gw, key, name, fault):
    upload_id, parts = begun(gw, key, name)
    path = {"openai": "complete", "s3": None, "mistral": None}[name]
    method = {"s3": "PUT"}.get(name, "POST")
    world.fakes[name].fault(on_head(fault), method=method, path=path, times=9)
    reply = complete(gw, key, upload_id, parts)
    assert reply.status_code in (502, 504), reply.text
    world.fakes[name].faults.clear()
    reply = complete(gw, key, upload_id, parts)
    assert reply.status_code == 200, reply.text
    assert content(gw, key, reply.json()["file"]["id"]) == JSONL
    nothing_held(world, name)
    until_used(world.redis, scope(key), 1, len(JSONL), 30)


@pytest.mark.parametrize("name", ["openai", "s3", "disk", "mistral"])
def test_an_upload_expires(short, name):
    gw, key = short.gw, short.gw.new_key(max_storage_bytes=1000)
    upload_id, parts = begun(gw, key, name)
    assert use(short.redis, scope(key))["held_bytes"] == len(JSONL)
    until(lambda: complete(gw, key, upload_id, parts[:1]).json()["error"]["code"]
          == "conflict", "it has expired")  # fmt: skip
    for reply in (complete(gw, key, upload_id, parts), cancel(gw, key, upload_id),
                  send(gw, key, upload_id, b"x")):  # fmt: skip
        assert "expired" in refused(reply, 400)["message"]
    until_used(short.redis, scope(key), 0, 0, 30)
    assert short.held(name) == []
    if name == "openai":
        (made,) = short.fakes[name].parted.values()
        assert made.status == "cancelled"


@pytest.mark.parametrize("name", ["openai", "s3", "mistral"])
def test_a_process_killed_in_a_completion_leaves_nothing(tmp_path, name):
    for world in make_world(tmp_path, {"uploads": {"lifetime": "20s"}}):
        gw, key = world.gw, world.gw.new_key()
        upload_id, parts = begun(gw, key, name)
        path = {"openai": "complete"}.get(name)
        method = {"s3": "PUT"}.get(name, "POST")
        world.fakes[name].fault(
            on_stored(call(lambda x: gw.kill())), method=method, path=path
        )
        with pytest.raises(httpx.TransportError):
            complete(gw, key, upload_id, parts)
        gw.start()
        until(lambda: gw.metric("filemux_journal_swept_total") >= 1, "it is swept", 30)
        files = [f for f in world.fakes[name].files if "part-" not in str(f)]
        assert files == []
        assert gw.call(key, "GET", "/v1/files").json()["data"] == []
        if name in HELD:
            reply = complete(gw, key, upload_id, parts)
            assert reply.status_code == 200, reply.text
            assert content(gw, key, reply.json()["file"]["id"]) == JSONL
            until_used(world.redis, scope(key), 1, len(JSONL))
        else:
            until_used(world.redis, scope(key), 0, 0, 40)
        nothing_held(world, name)


def test_a_process_killed_in_a_part_leaves_nothing(tmp_path):
    for world in make_world(tmp_path, {"uploads": {"lifetime": "4s"}}):
        gw, key = world.gw, world.gw.new_key()
        upload_id = create(gw, key, "s3", 10)
        world.fakes["s3"].fault(on_stored(call(lambda x: gw.kill())))
        with pytest.raises(httpx.TransportError):
            send(gw, key, upload_id, b"12345")
        assert len(world.held("s3")) == 1
        gw.start()
        until_used(world.redis, scope(key), 0, 0, 40)
        assert world.held("s3") == []


def test_without_redis_nothing_is_answered_and_nothing_lost(tmp_path):
    for world in make_world(tmp_path):
        gw, key = world.gw, world.gw.new_key()
        upload_id, parts = begun(gw, key, "mistral")
        world.redis.pause()
        for reply in (complete(gw, key, upload_id, parts), cancel(gw, key, upload_id),
                      send(gw, key, upload_id, b"x"),
                      gw.call(key, "POST", "/v1/uploads", json=facts(5))):  # fmt: skip
            refused(reply, 503)
        world.redis.go_on()

        def done():
            reply = complete(gw, key, upload_id, parts)
            return reply if reply.status_code == 200 else None

        reply = until(done, "it is completed")
        assert content(gw, key, reply.json()["file"]["id"]) == JSONL


def test_two_processes_share_an_upload(world, gw, key, tmp_path):
    """Where what holds the parts is shared."""
    conf = make_config(world.fakes, world.folder, world.redis)
    other = Gateway(tmp_path, conf).start()
    try:
        upload_id = create(gw, key, "s3", len(JSONL))
        one, two = pieces(JSONL, 2)
        parts = [add(gw, key, upload_id, one), add(other, key, upload_id, two)]
        reply = complete(other, key, upload_id, parts)
        assert content(gw, key, reply.json()["file"]["id"]) == JSONL
        other.stop()
    finally:
        other.end()


def cut_off(gw, key, path, body):
    """A request whose client hangs up when it was sent."""
    data = json.dumps(body).encode()
    wire = gw.wire()
    wire.head("POST", path, key, Content_Type="application/json",
              Content_Length=len(data))  # fmt: skip
    wire.send(data)
    return wire


@pytest.mark.parametrize("name", ["openai", "s3", "mistral"])
def test_a_client_who_hangs_up_in_a_completion_leaves_all_or_nothing(
    world, gw, key, name
):
    """What a provider completes itself becomes a file; for the others it is as
    if nothing had been asked."""
    data = pattern.pattern(12 * MB)
    upload_id, parts = begun(gw, key, name, data)
    fake = world.fakes[name]
    method = {"s3": "PUT"}.get(name, "POST")
    if name == "openai":
        hold = threading.Event()
        fake.fault(on_stored(call(lambda x: hold.wait(15))), path="complete")
    else:
        fake.fault(after_bytes(1000, call(lambda x: x.seen.stalled.wait(15))),
                   method=method)  # fmt: skip
    fake.seen.clear()
    path = f"/v1/uploads/{upload_id}/complete"
    with cut_off(gw, key, path, {"part_ids": parts}):
        until(lambda: fake.seen, "it is under way")
        if name == "openai":
            until(lambda: fake.files, "it is a file there")
    if name == "openai":
        hold.set()
        until_used(world.redis, scope(key), 1, len(data))
        refused(complete(gw, key, upload_id, parts), 400)
    else:
        for seen in fake.seen:
            seen.stalled.set()

        def done():
            reply = complete(gw, key, upload_id, parts)
            return reply if reply.status_code == 200 else None

        reply = until(done, "it can be completed again")
        assert content(gw, key, reply.json()["file"]["id"]) == data
        until_used(world.redis, scope(key), 1, len(data), 30)
    assert len(gw.call(key, "GET", "/v1/files").json()["data"]) == 1
    nothing_held(world, name)


def test_an_upload_that_nobody_heard_of_holds_nothing(world, gw, key):
    """The client went before it was made."""
    fake, made = world.fakes["openai"], threading.Event()
    fake.fault(on_stored(call(lambda x: made.wait(15))), path="/uploads$")
    before = len(gw.log())
    known = list(fake.parted)
    with cut_off(gw, key, "/openai/v1/uploads", facts(5)):
        until(lambda: fake.seen, "it is under way")
        assert use(world.redis, scope(key))["held_bytes"] == 5
    until(lambda: any(e.get("route") == "uploads.create" for e in gw.log()[before:]),
          "the client is known to be gone")  # fmt: skip
    made.set()
    until_used(world.redis, scope(key), 0, 0)
    (theirs,) = [p for i, p in fake.parted.items() if i not in known]
    assert theirs.status == "cancelled"


class Between:
    """Redis as a gateway sees it, whose answers can be kept back."""

    def __init__(self, port):
        self.port, self.left, self.text = port, 0, b""
        self.open = threading.Event()
        self.open.set()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.sock.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def keep_back(self, text, n):
        """All answers from that of the n-th command with the text on."""
        self.text, self.left = text, n

    def serve(self):
        while True:
            try:
                near = self.sock.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.port))
            for ends in ((near, far, self.look), (far, near, self.wait)):
                threading.Thread(target=self.pass_on, args=ends, daemon=True).start()

    def look(self, data):
        if self.left and self.text in data:
            self.left -= 1
            if not self.left:
                self.open.clear()

    def wait(self, data):
        self.open.wait(15)

    def pass_on(self, one, other, first):
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                first(data)
                other.sendall(data)
        for s in (one, other):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("n", [1, 2])
def test_a_client_who_hangs_up_before_a_completion_changes_nothing(tmp_path, n):
    """When Redis has done what was asked, and its answer is on the way: it was
    to take the upload, then what that held."""
    for world in make_world(tmp_path):
        key, between = world.gw.new_key(), Between(world.redis.port)
        conf = {**world.conf, "redis": {"url": between.url},
                "journal": {"lease": "60s", "sweep_interval": "300ms"}}  # fmt: skip
        gw = Gateway(tmp_path / "other", conf).start()
        try:
            upload_id, parts = begun(gw, key, "s3")
            assert complete(gw, key, upload_id, parts).status_code == 200
            upload_id, parts = begun(gw, key, "s3")
            until(lambda: use(world.redis, scope(key))["slots"] == 0, "all is quiet")
            before, was = len(gw.log()), use(world.redis, scope(key))
            assert was["held_bytes"] == len(JSONL)
            between.keep_back(b"file-s3-", n)
            path = f"/v1/uploads/{upload_id}/complete"
            with cut_off(gw, key, path, {"part_ids": parts}):
                until(lambda: not between.open.is_set(), "it is asked for")
            until(lambda: any(e.get("route") == "uploads.complete" for e in gw.log()[before:]),
                  "the client is known to be gone")  # fmt: skip
            between.open.set()
            until(lambda: use(world.redis, scope(key)) == was, "all is as it was")
            reply = complete(gw, key, upload_id, parts)
            assert reply.status_code == 200, reply.text
            until_used(world.redis, scope(key), 2, 2 * len(JSONL))
            gw.stop()
        finally:
            gw.end()
            between.sock.close()


@pytest.mark.parametrize("name", ["openai", "s3"])
def test_a_part_whose_id_nobody_was_told_can_be_sent_again(tmp_path, name):
    """Redis counted it, and the client was gone before it said so."""
    for world in make_world(tmp_path):
        key, between = world.gw.new_key(), Between(world.redis.port)
        conf = {**world.conf, "redis": {"url": between.url}}
        gw = Gateway(tmp_path / "other", conf).start()
        try:
            done, _ = begun(gw, key, name)
            assert cancel(gw, key, done).status_code == 200
            upload_id = create(gw, key, name, 5)
            between.keep_back(b"part_", 2)
            before, body = len(gw.log()), form_around(5)
            prefix = body[0].replace(b'name="file"', b'name="data"')
            with gw.wire() as w:
                w.head("POST", f"/v1/uploads/{upload_id}/parts", key,
                       Content_Type=form_type(), Content_Length=body[2])  # fmt: skip
                w.send(prefix + b"12345" + body[1])
                until(lambda: not between.open.is_set(), "it is stored")
            until(lambda: any(e.get("route") == "uploads.part" for e in gw.log()[before:]),
                  "the client is known to be gone")  # fmt: skip
            between.open.set()

            def again():
                reply = send(gw, key, upload_id, b"12345")
                return reply.json()["id"] if reply.status_code == 200 else None

            part = until(again, "there is room for it")
            reply = complete(gw, key, upload_id, [part])
            assert reply.status_code == 200, reply.text
            nothing_held(world, name)
            gw.stop()
        finally:
            gw.end()
            between.sock.close()


def test_a_provider_that_refuses_the_upload_leaves_nothing_held(world, gw, key):
    up = world.fakes["openai"]
    up.fault(on_head(answer(429, {"error": {"message": "slow down"}})), path="uploads")
    reply = gw.call(key, "POST", "/openai/v1/uploads", json=facts(9))
    assert refused(reply, 429)["message"] == "slow down"
    up.fault(on_head(reset), path="uploads", times=9)
    refused(gw.call(key, "POST", "/openai/v1/uploads", json=facts(9)), 502)
    up.faults.clear()
    until_used(world.redis, scope(key), 0, 0)
    reply = gw.call(key, "POST", "/openai/v1/uploads", json=facts(9, mime_type="a/b"))
    assert refused(reply, 400)["param"] == "mime_type"
    until_used(world.redis, scope(key), 0, 0)


def test_what_a_provider_says_has_none_of_its_ids(world, gw, key):
    upload_id, parts = begun(gw, key, "openai")
    (made,) = list(world.fakes["openai"].parted.values())[-1:]
    theirs = next(iter(made.parts))
    said = {"error": {"message": f"part {theirs} of {made.id} is bad"}}
    world.fakes["openai"].fault(on_head(answer(400, said)), path="complete")
    error = refused(complete(gw, key, upload_id, parts), 400)
    assert error["message"] == f"part [part] of {upload_id} is bad"
    del world.fakes["openai"].parted[made.id]
    error = refused(send(gw, key, upload_id, b"x"), 400)
    assert "left" in error["message"]
    error = refused(complete(gw, key, upload_id, parts), 404, "upload_not_found")
    assert made.id not in error["message"]


def test_a_part_of_unknown_length_is_for_who_takes_it(world, gw, key):
    upload_id = create(gw, key, "azure", 5)
    refused(send(gw, key, upload_id, iter_of(b"12345")), 411, "length_required")
    for name in ("openai", "s3", "gcs", "mistral"):
        upload_id = create(gw, key, name, 5)
        part = send(gw, key, upload_id, iter_of(b"12345"))
        assert part.status_code == 200, part.text
        reply = complete(gw, key, upload_id, [part.json()["id"]])
        assert content(gw, key, reply.json()["file"]["id"]) == b"12345"


def test_a_large_part_is_refused_by_its_head(gw, key):
    upload_id = create(gw, key, "disk", 400 * MB)
    with gw.wire() as w:
        w.head("POST", f"/v1/uploads/{upload_id}/parts", key, Expect="100-continue",
               Content_Type=form_type(), Content_Length=80 * MB)  # fmt: skip
        reply = w.reply()
    assert refused(reply, 413)["param"] == "data"
    assert cancel(gw, key, upload_id).status_code == 200


@pytest.mark.parametrize("name", ["openai", "s3", "mistral"])
def test_a_shutdown_in_the_middle_is_clean_and_leaves_nothing(tmp_path, name):
    more = {"limits": {"drain_timeout": "300ms"}, "uploads": {"lifetime": "6s"}}
    for world in make_world(tmp_path, more):
        gw, key = world.gw, world.gw.new_key()
        upload_id, parts = begun(gw, key, name)
        part_of = create(gw, key, name, MB)
        fake = world.fakes[name]
        going = threading.Event()
        method = {"s3": "PUT"}.get(name, "POST")
        fake.fault(on_head(call(lambda x: going.wait(20))), method=method, times=9)
        fake.seen.clear()
        prefix, _, length = form_around(MB)
        wire = gw.wire()
        wire.head("POST", f"/v1/uploads/{part_of}/parts", key,
                  Content_Type=form_type(), Content_Length=length)  # fmt: skip
        wire.send(prefix.replace(b'name="file"', b'name="data"') + bytes(1000))
        until(lambda: under_way(world, part_of, key), "the part is under way")
        with cut_off(gw, key, f"/v1/uploads/{upload_id}/complete", {"part_ids": parts}):
            until(lambda: gw.transfers() == 2, "both are under way")
            gw.stop()
        wire.close()
        going.set()
        gw.http = httpx.Client(base_url=gw.url, timeout=20)
        gw.start()
        until_used(world.redis, scope(key), 0, 0, 50)
        assert [f for f in fake.files if "part-" not in str(f)] == []
        assert world.held(name) == []


def test_parts_are_held_where_the_configuration_says(tmp_path):
    for world in make_world(tmp_path, {"uploads": {"hold": "gcs"}}):
        gw, key = world.gw, world.gw.new_key()
        for name in ("mistral", "s3", "disk"):
            upload_id, parts = begun(gw, key, name)
            assert len(world.held("gcs")) == 3 and world.own() == []
            reply = complete(gw, key, upload_id, parts)
            assert content(gw, key, reply.json()["file"]["id"]) == JSONL
            nothing_held(world, "gcs")


def test_only_who_keeps_any_bytes_can_hold_parts(tmp_path):
    for hold in ("nobody", "mistral"):
        with pytest.raises(AssertionError, match="uploads.hold"):
            for _ in make_world(tmp_path / hold, {"uploads": {"hold": hold}}):
                pass


def test_parts_that_are_held_are_not_imported(world, gw, key):
    upload_id, parts = begun(gw, key, "s3")
    other = test_jobs.begin(gw, "/admin/files/import", provider="s3",
                            owner={"team_id": "importers"})  # fmt: skip
    assert test_jobs.ended(gw, other)["counts"]["adopted"] == 0
    assert complete(gw, key, upload_id, parts).status_code == 200


@pytest.mark.skipif(not os.path.exists(RELEASE), reason="no release build")
@pytest.mark.parametrize("name", ["openai", "s3", "mistral"])
def test_64_mib_in_parts_take_little_memory(tmp_path, name):
    """Eight parts of 8 MiB, four at a time: S3's own parts of 5 MB are held."""
    for world in make_world(tmp_path, binary=RELEASE):
        gw, key = world.gw, world.gw.new_key()
        data = pattern.pattern(64 * MB)
        begun(gw, key, name)
        gw.reset_peak()
        before = gw.memory()
        upload_id, all = create(gw, key, name, len(data)), pieces(data, 8)
        ids = [None] * 8

        def some(first):
            for i in range(first, 8, 4):
                ids[i] = add(gw, key, upload_id, all[i])

        threads = [threading.Thread(target=some, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        md5 = hashlib.md5(data).hexdigest()
        reply = complete(gw, key, upload_id, ids, md5=md5)
        assert reply.status_code == 200, reply.text
        held = 4 * 6 * MB if name == "s3" else 0
        assert gw.memory("VmHWM") - before < 16 * MB + held


def test_a_part_that_is_on_another_host_is_told(world, gw, key, tmp_path):
    conf = make_config(world.fakes, world.folder, world.redis)
    other = Gateway(tmp_path, conf).start()
    try:
        upload_id, parts = begun(gw, key, "mistral")
        error = refused(complete(other, key, upload_id, parts), 502)
        assert "not on this host" in error["message"]
        until(lambda: complete(gw, key, upload_id, parts).status_code == 200, "it is here")
        until_used(world.redis, scope(key), 1, len(JSONL), 30)
        other.stop()
    finally:
        other.end()


def test_parts_that_nobody_knows_go_after_a_day(start, fake, tmp_path):
    """A ULID begins with its time: these are of 2023, and of 2127."""
    folder = tmp_path / "gw0/data/uploads"
    folder.mkdir(parents=True)
    kept = ["part-4gb00000000000000000000000", "part-x", "01h00000000000000000000000"]
    for name in [*kept, "part-01h00000000000000000000000"]:
        (folder / name).write_bytes(b"x")
    start(config(up=fake))
    until(lambda: sorted(p.name for p in folder.iterdir()) == sorted(kept), "it went")


def test_redis_away_at_the_end_of_a_completion_loses_nothing(tmp_path):
    for world in make_world(tmp_path, {"journal": {"lease": "20s"}}):
        gw, key = world.gw, world.gw.new_key()
        upload_id, parts = begun(gw, key, "mistral")

        def away(x):
            world.redis.pause()
            threading.Timer(3, world.redis.go_on).start()

        world.fakes["mistral"].fault(on_stored(call(away)))
        reply = complete(gw, key, upload_id, parts)
        assert reply.status_code == 200, reply.text
        assert content(gw, key, reply.json()["file"]["id"]) == JSONL
        refused(complete(gw, key, upload_id, parts), 400)
        until_used(world.redis, scope(key), 1, len(JSONL), 40)


@pytest.mark.parametrize("damage", ["removed", "short", "long"])
@pytest.mark.parametrize("which", [0, -1])
def test_a_part_that_is_not_what_it_was_makes_no_file(world, gw, key, which, damage):
    upload_id, parts = begun(gw, key, "mistral")
    part = gw.data / "uploads" / parts[which].replace("part_", "part-")
    was = part.read_bytes()
    if damage == "removed":
        part.unlink()
    else:
        part.write_bytes(was[:-1] if damage == "short" else was + b"x")
    reply = complete(gw, key, upload_id, parts)
    assert "begin another" in refused(reply, 502)["message"]
    assert world.fakes["mistral"].files == {}
    assert cancel(gw, key, upload_id).status_code == 200
    until_used(world.redis, scope(key), 0, 0)
    nothing_held(world, "mistral")
