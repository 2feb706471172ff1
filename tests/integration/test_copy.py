"""POST /v1/files/{id}/copy: from one provider to another, through the pipe."""

import os
import threading

import pytest
import test_azure
import test_gcs
import test_s3
from fakes import pattern
from fakes.azure import Azure
from fakes.gcs import GCS
from fakes.openai import (
    OpenAI,
    after_bytes,
    after_sent,
    answer,
    call,
    on_head,
    on_stored,
    reset,
)
from fakes.s3 import S3
from gw import MASTER, MB, RELEASE, Gateway, config, openai_provider, refused, until
from quota import scope, until_used

NAMES = ["openai", "azure", "s3", "gcs", "disk"]
QUICK = {"journal": {"lease": "2s", "sweep_interval": "500ms"}}
FIELDS = {"purpose": "fine-tune"}
FAILED = {"error": {"message": "out of order", "type": "server_error"}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A gateway with a provider of each kind, and the fakes by their names."""
    folder = tmp_path_factory.mktemp("copy")
    fakes = {"openai": OpenAI(), "azure": Azure(None), "s3": S3(),
             "gcs": GCS(token=test_gcs.TOKEN)}  # fmt: skip
    fakes["openai"].keep = fakes["azure"].keep = True
    providers = {
        "openai": openai_provider(fakes["openai"]),
        "azure": test_azure.provider(fakes["azure"]),
        "s3": test_s3.provider(fakes["s3"]),
        "gcs": test_gcs.provider(fakes["gcs"]),
        "disk": {"type": "disk", "path": str(folder / "files")},
    }
    gw = Gateway(folder, config({"providers": providers, "routing": {"default": "disk"}}))
    gw.fakes = fakes
    try:
        yield gw.start()
        gw.stop()
    finally:
        gw.end()
        for fake in fakes.values():
            fake.stop()


@pytest.fixture
def gw(world):
    for fake in world.fakes.values():
        fake.seen.clear()
        fake.faults.clear()
        fake.files.clear()
    world.key = world.new_key()
    yield world
    for fake in world.fakes.values():
        assert fake.violations == []


@pytest.fixture
def two(start, redis, tmp_path):
    """Two fakes of one kind, a disk, and counters that can be looked at."""
    a, b = OpenAI(), OpenAI(api_key="sk-b")
    disk = {"type": "disk", "path": str(tmp_path / "files")}
    more = {"redis": {"url": redis.url}, "providers": {"disk": disk}, **QUICK}
    gw = start(config(more, a=a, b=b))
    gw.disk = tmp_path / "files"
    gw.a, gw.b, gw.redis = a, b, redis
    yield gw
    for fake in (a, b):
        fake.stop()
        assert fake.violations == []


def put(gw, key, data, provider):
    path = f"/{provider}/v1/files"
    reply = gw.upload(key, data, "x.jsonl", path=path, fields=FIELDS)
    assert reply.status_code == 200, reply.text
    return reply.json()


def copy(gw, key, file_id, provider, **more):
    body = {"provider": provider, **more}
    return gw.call(key, "POST", f"/v1/files/{file_id}/copy", json=body)


def content(gw, key, file_id):
    reply = gw.call(key, "GET", f"/v1/files/{file_id}/content")
    assert reply.status_code == 200, reply.text
    return reply.content


def listed(gw, key):
    return {f["id"] for f in gw.call(key, "GET", "/v1/files").json()["data"]}


def only(gw, key, *objects):
    """Nothing else is there, or under way."""
    assert listed(gw, key) == {o["id"] for o in objects}
    until(lambda: gw.transfers() == 0, "no transfer is under way")


# --- what is copied ---


@pytest.mark.parametrize("size", [0, 1, 3 * MB])
@pytest.mark.parametrize("to", NAMES)
@pytest.mark.parametrize("source", NAMES)
def test_a_copy_is_the_same_file_elsewhere(gw, source, to, size):
    data = pattern.pattern(size)
    first = put(gw, gw.key, data, source)
    reply = copy(gw, gw.key, first["id"], to)
    assert reply.status_code == 200, reply.text
    made = reply.json()
    assert made["id"] != first["id"] and made["id"].startswith(f"file-{to}-")
    assert made["filemux"] == {"provider": to}
    for name in ("object", "bytes", "filename", "purpose"):
        assert made[name] == first[name]
    assert content(gw, gw.key, made["id"]) == data
    assert gw.call(gw.key, "DELETE", f"/v1/files/{first['id']}").status_code == 200
    assert content(gw, gw.key, made["id"]) == data
    only(gw, gw.key, made)


def test_a_large_one_goes_round(gw):
    """Each sends and takes it once."""
    data = pattern.pattern(20 * MB)
    first = last = put(gw, gw.key, data, NAMES[-1])
    for to in NAMES:
        reply = copy(gw, gw.key, last["id"], to)
        assert reply.status_code == 200, reply.text
        last = reply.json()
    assert last["filemux"]["provider"] == first["filemux"]["provider"] == "disk"
    assert content(gw, gw.key, last["id"]) == data
    assert len(listed(gw, gw.key)) == 6


def test_the_record_tells_what_a_provider_wants_to_know(gw):
    """The fields, the length, the type; and when it ends, if that was asked."""
    first = put(gw, gw.key, b"{}\n", "disk")
    ends = {"anchor": "created_at", "seconds": 3600}
    made = copy(gw, gw.key, first["id"], "openai", expires_after=ends).json()
    assert made["expires_at"] == made["created_at"] + 3600
    (seen,) = gw.fakes["openai"].uploads()
    assert seen.framing == "length" and seen.declared == seen.raw_length
    assert seen.fields["purpose"] == "fine-tune"
    assert seen.fields["expires_after[seconds]"] == "3600"
    assert seen.file.filename == "x.jsonl"


def test_the_original_is_no_shorter_lived(gw):
    first = put(gw, gw.key, b"{}\n", "disk")
    assert copy(gw, gw.key, first["id"], "s3").json()["expires_at"] is None
    again = gw.call(gw.key, "GET", f"/v1/files/{first['id']}").json()
    assert again == first


def test_a_team_shares_its_copies(gw):
    one, other = gw.new_key(team_id="copiers"), gw.new_key(team_id="copiers")
    made = copy(gw, other, put(gw, one, b"{}", "disk")["id"], "s3").json()
    assert content(gw, one, made["id"]) == b"{}"


def test_counters_are_exact(two):
    key = two.new_key(max_storage_bytes=10 * MB, max_files=3)
    first = put(two, key, b"x" * MB, "a")
    made = copy(two, key, first["id"], "b").json()
    until_used(two.redis, scope(key), 2, 2 * MB)
    two.call(key, "DELETE", f"/v1/files/{made['id']}")
    until_used(two.redis, scope(key), 1, MB)


# --- what is refused ---


BAD = [
    ({}, "missing_required_parameter", "provider"),
    ({"provider": ""}, "missing_required_parameter", "provider"),
    ({"provider": 7}, "missing_required_parameter", "provider"),
    ({"provider": "nope"}, "unknown_provider", "provider"),
    ({"provider": "s3,gcs"}, "invalid_value", "provider"),
    ({"provider": "s3", "purpose": "batch"}, "invalid_value", None),
    ({"provider": "s3", "expires_after": 7}, "invalid_value", "expires_after"),
    ({"provider": "s3", "expires_after": {"seconds": 7200}}, "invalid_value", "expires_after"),
    ({"provider": "s3", "expires_after": {"anchor": "now", "seconds": 7200}}, "invalid_value", "expires_after[anchor]"),
    ({"provider": "s3", "expires_after": {"anchor": "created_at", "seconds": 5}}, "invalid_value", "expires_after[seconds]"),
    ({"provider": "s3", "expires_after": {"anchor": "created_at", "seconds": "x"}}, "invalid_value", "expires_after[seconds]"),
]  # fmt: skip


@pytest.mark.parametrize("body, code, param", BAD, ids=str)
def test_a_request_that_makes_no_sense_is_refused(gw, body, code, param):
    first = put(gw, gw.key, b"{}", "openai")
    asked = len(gw.fakes["openai"].seen)
    reply = gw.call(gw.key, "POST", f"/v1/files/{first['id']}/copy", json=body)
    assert refused(reply, 400, code)["param"] == param
    assert len(gw.fakes["openai"].seen) == asked and gw.fakes["s3"].seen == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"provider=s3"])
def test_a_body_that_is_no_object_is_refused(gw, body):
    first = put(gw, gw.key, b"{}", "disk")
    reply = gw.call(gw.key, "POST", f"/v1/files/{first['id']}/copy", content=body)
    refused(reply, 400)


def test_a_file_of_another_owner_is_not_there(gw):
    first = put(gw, gw.new_key(), b"{}", "disk")
    refused(copy(gw, gw.key, first["id"], "s3"), 404, "file_not_found")
    refused(copy(gw, gw.key, "file-abc", "s3"), 404, "file_not_found")
    assert gw.fakes["s3"].seen == []


def test_a_key_needs_both_providers_and_both_operations(gw):
    own = {"team_id": "narrow"}
    first = put(gw, gw.new_key(**own), b"{}", "disk")
    for key, code in [
        (gw.new_key(providers=["disk"], **own), "provider_not_allowed"),
        (gw.new_key(providers=["s3"], **own), "provider_not_allowed"),
        (gw.new_key(operations=["create", "read"], **own), "operation_not_allowed"),
        (gw.new_key(operations=["content", "read"], **own), "operation_not_allowed"),
        (gw.new_key(purposes=["batch"], **own), "purpose_not_allowed"),
    ]:
        refused(copy(gw, key, first["id"], "s3"), 403, code)
    refused(copy(gw, gw.new_key(max_file_bytes=1, **own), first["id"], "s3"), 413)
    assert gw.fakes["s3"].seen == []
    assert copy(gw, MASTER, first["id"], "s3").status_code == 404  # not its own


def test_a_provider_that_cannot_says_so(start, fake, tmp_path):
    conf = config(
        {
            "providers": {
                "reads": openai_provider(fake, vendor="generic", operations=["get", "content"]),
                "writes": openai_provider(fake, vendor="generic", operations=["create", "get"]),
                "small": openai_provider(fake, max_file_bytes=1),
                "disk": {"type": "disk", "path": str(tmp_path / "files")},
            }
        }
    )  # fmt: skip
    gw = start(conf)
    key = gw.new_key()
    first = put(gw, key, b"{}", "disk")
    error = refused(copy(gw, key, first["id"], "reads"), 400, "unsupported_operation")
    assert "'reads'" in error["message"] and "'create'" in error["message"]
    refused(copy(gw, key, first["id"], "small"), 413, "file_too_large")
    there = copy(gw, key, first["id"], "writes").json()
    error = refused(copy(gw, key, there["id"], "disk"), 400, "unsupported_operation")
    assert "'writes'" in error["message"] and "'content'" in error["message"]


@pytest.mark.parametrize("limit", [{"max_storage_bytes": 3 * MB}, {"max_files": 1},
                                   {"max_upload_bytes_per_day": 3 * MB}], ids=str)  # fmt: skip
def test_a_full_quota_asks_nobody(two, limit):
    key = two.new_key(**limit)
    first = put(two, key, b"x" * 2 * MB, "a")
    asked = len(two.a.seen)
    error = refused(copy(two, key, first["id"], "b"), 429)
    assert error["type"] == "insufficient_quota"
    assert len(two.a.seen) == asked and two.b.seen == []
    until_used(two.redis, scope(key), 1, 2 * MB)
    only(two, key, first)


# --- what goes wrong ---


SOURCE = {
    "gone": (on_head(answer(404, {"error": {"message": "No such File"}})), 404),
    "broken": (on_head(answer(500, FAILED)), 502),
    "reset": (on_head(reset), 502),
    "cut": (after_sent(3 * MB, reset), 502),
    "cut late": (after_sent(6 * MB - 1, reset), 502),
}
TARGET = {
    "broken": (on_head(answer(500, FAILED, then_close=True)), 502),
    "too large": (on_head(answer(413, {"error": {"message": "no"}}, then_close=True)), 413),
    "busy": (on_head(answer(429, {"error": {"message": "no"}}, {"Retry-After": "7"}, then_close=True)), 429),
    "reset": (on_head(reset), 502),
    "cut": (after_bytes(3 * MB, reset), 502),
}  # fmt: skip


@pytest.mark.parametrize("kind", SOURCE)
def test_a_source_that_fails_leaves_nothing(two, kind):
    key = two.new_key(max_storage_bytes=100 * MB)
    first = put(two, key, pattern.pattern(6 * MB), "a")
    fault, status = SOURCE[kind]
    two.a.fault(fault, times=9)
    error = refused(copy(two, key, first["id"], "b"), status)
    assert error["message"].startswith("cannot read the file at 'a'"), error
    assert two.b.files == {}
    until_used(two.redis, scope(key), 1, 6 * MB)
    only(two, key, first)


@pytest.mark.parametrize("kind", TARGET)
def test_a_target_that_fails_leaves_nothing(two, kind):
    key = two.new_key(max_storage_bytes=100 * MB)
    first = put(two, key, pattern.pattern(6 * MB), "a")
    fault, status = TARGET[kind]
    two.b.fault(fault, times=9)
    reply = copy(two, key, first["id"], "b")
    error = refused(reply, status)
    assert error["message"].startswith("cannot store the file at 'b'"), error
    assert status != 429 or reply.headers["retry-after"] == "7"
    assert two.b.files == {}
    until_used(two.redis, scope(key), 1, 6 * MB)
    only(two, key, first)


@pytest.mark.parametrize("quirk", [set(), {"chunked_content"}], ids=str)
@pytest.mark.parametrize("size", [0, 2 * MB - 1, 2 * MB + 1])
@pytest.mark.parametrize("to", ["b", "disk"])
def test_a_source_with_another_size_is_not_believed(start, fake, tmp_path, size, quirk, to):
    other = OpenAI(api_key="sk-b")
    disk = {"type": "disk", "path": str(tmp_path / "files")}
    gw = start(config({"providers": {"disk": disk}}, a=fake, b=other))
    key = gw.new_key()
    first = put(gw, key, pattern.pattern(2 * MB), "a")
    (stored,) = fake.files.values()
    stored.data, stored.size = None, size
    fake.quirks |= quirk
    error = refused(copy(gw, key, first["id"], to), 502, "upstream_bad_response")
    assert error["message"].startswith("cannot read the file at 'a'"), error
    assert other.files == {} and not list((tmp_path / "files").glob("[!.]*"))
    only(gw, key, first)
    other.stop()


def test_one_side_that_fails_is_not_the_others_failure(start, fake):
    other = OpenAI(api_key="sk-b")
    strict = {"breaker": {"failures": 1, "rate": "0%", "open_for": "60s"}}
    gw = start(config({"providers": {"a": strict, "b": strict}}, a=fake, b=other))
    key = gw.new_key()
    first = put(gw, key, pattern.pattern(6 * MB), "a")

    def states():
        listed = gw.admin("GET", "/admin/providers").json()["data"]
        return {p["name"]: p["breaker"] for p in listed}

    other.fault(after_bytes(3 * MB, reset))
    refused(copy(gw, key, first["id"], "b"), 502)
    assert states() == {"a": "closed", "b": "open"}
    error = refused(copy(gw, key, first["id"], "b"), 503, "upstream_unavailable")
    assert "cannot store" in error["message"]
    assert copy(gw, key, first["id"], "a").status_code == 200
    fake.fault(after_sent(3 * MB, reset), times=9)
    refused(copy(gw, key, first["id"], "a"), 502)
    assert states() == {"a": "open", "b": "open"}
    other.stop()


def test_a_client_who_leaves_ends_both(two):
    key = two.new_key(max_storage_bytes=100 * MB)
    first = put(two, key, pattern.pattern(30 * MB), "a")
    two.a.write_rate = 4 * MB
    body = b'{"provider":"b"}'
    with two.wire() as w:
        w.head("POST", f"/v1/files/{first['id']}/copy", key, Content_Length=len(body))
        w.send(body)
        until(lambda: two.b.seen and two.b.seen[0].raw_length > MB, "it is under way")
    read, (sent,) = two.a.seen[-1], two.b.seen
    assert read.done.wait(10) and sent.done.wait(10)
    assert read.gone and sent.aborted
    assert two.b.files == {}
    until_used(two.redis, scope(key), 1, 30 * MB)
    only(two, key, first)


@pytest.mark.parametrize("to", ["disk", "b"])
def test_a_client_who_leaves_ends_the_disk_s_side_too(two, to):
    key = two.new_key(max_storage_bytes=100 * MB)
    first = put(two, key, pattern.pattern(30 * MB), "a" if to == "disk" else "disk")
    two.a.write_rate = two.b.read_rate = 4 * MB
    body = b'{"provider":"%s"}' % to.encode()
    with two.wire() as w:
        w.head("POST", f"/v1/files/{first['id']}/copy", key, Content_Length=len(body))
        w.send(body)
        if to == "disk":
            until(lambda: list(two.disk.glob(".tmp-*")), "it is under way")
        else:
            until(lambda: two.b.seen and two.b.seen[0].raw_length, "it is under way")
    until_used(two.redis, scope(key), 1, 30 * MB)
    only(two, key, first)
    until(lambda: not list(two.disk.glob(".tmp-*")), "nothing is half written")
    assert len(list(two.disk.glob("[!.]*"))) == (to == "b") and two.b.files == {}


def test_a_copy_may_take_longer_than_a_silent_client_may(start, fake):
    gw = start(config({"limits": {"idle_timeout": "300ms"}}, a=fake))
    key = gw.new_key()
    first = put(gw, key, pattern.pattern(4 * MB), "a")
    fake.write_rate = 4 * MB
    assert copy(gw, key, first["id"], "a").status_code == 200


def test_a_drain_that_takes_too_long_breaks_it_off(start, fake):
    other = OpenAI(api_key="sk-b")
    gw = start(config({"limits": {"drain_timeout": "100ms"}}, a=fake, b=other))
    key = gw.new_key()
    first = put(gw, key, pattern.pattern(30 * MB), "a")
    fake.write_rate = 4 * MB
    body = b'{"provider":"b"}'
    with gw.wire() as w:
        w.head("POST", f"/v1/files/{first['id']}/copy", key, Content_Length=len(body))
        w.send(body)
        until(lambda: other.seen and other.seen[0].raw_length, "it is under way")
        gw.stop()  # exits with 0, or this fails
    assert other.seen[0].done.wait(10) and other.files == {}
    other.stop()


def test_a_copy_waits_for_redis_to_record_it(two):
    key = two.new_key()
    first = put(two, key, b"x" * MB, "a")

    def away(x):
        two.redis.pause()
        threading.Timer(1.5, two.redis.go_on).start()

    two.b.fault(on_stored(call(away)))
    made = copy(two, key, first["id"], "b").json()
    assert content(two, key, made["id"]) == b"x" * MB
    until_used(two.redis, scope(key), 2, 2 * MB)


def test_a_process_killed_before_the_record_loses_nothing(two):
    """What is stored at the target is found by the next one."""
    key = two.new_key()
    first = put(two, key, b"x" * MB, "a")
    two.b.fault(on_stored(call(lambda x: two.kill())))
    with pytest.raises(Exception):  # noqa: B017, PT011
        copy(two, key, first["id"], "b")
    assert len(two.b.files) == 1
    two.start()

    def mended():
        files = [f for f in listed(two, key) if f != first["id"]]
        return len(files) == len(two.b.files)

    until(mended, "the orphan is adopted or deleted", 30)


@pytest.mark.skipif(not os.path.exists(RELEASE), reason="no release build")
@pytest.mark.parametrize("slow", ["source", "target"])
def test_memory_is_bounded_whoever_is_slow(start, slow):
    a, b = OpenAI(keep=False), OpenAI(api_key="sk-b", keep=False)
    gw = start(config(a=a, b=b), binary=RELEASE)
    key = gw.new_key()
    warm = put(gw, key, pattern.pattern(2 * MB), "a")
    for _ in range(3):
        assert copy(gw, key, warm["id"], "b").status_code == 200
    first = put(gw, key, pattern.pattern(96 * MB), "a")
    if slow == "source":
        a.write_rate = 48 * MB
    else:
        b.read_rate = 48 * MB
    gw.reset_peak()
    before = gw.memory()
    gw.http.timeout = 60
    done = []
    thread = threading.Thread(target=lambda: done.append(copy(gw, key, first["id"], "b")))
    thread.start()
    thread.join()
    assert done[0].status_code == 200, done[0].text
    assert gw.memory("VmHWM") - before < 16 * MB
    stored = list(b.files.values())[-1]
    assert stored.size == 96 * MB and stored.sha256 == pattern.sha256(96 * MB)
    a.stop()
    b.stop()
