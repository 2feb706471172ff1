"""One upload to several providers at once: all of them, or none."""

import hashlib
import io
import json
import signal
import subprocess
import threading

import httpx
import pytest
import test_gcs
import test_mistral
import test_s3
from conftest import sdk_for
from fakes import pattern
from fakes.gcs import GCS
from fakes.mistral import Mistral
from fakes.openai import (
    OpenAI,
    after_answer_head,
    after_bytes,
    answer,
    call,
    close,
    on_head,
    on_stored,
    reset,
)
from fakes.s3 import S3
from gw import MASTER, MB, Gateway, Redis, config, openai_provider, refused, until
from quota import scope, until_used

NAMES = ["up", "gcs", "s3", "disk"]
ALL = ", ".join(NAMES)
QUICK = {"journal": {"lease": "2s", "sweep_interval": "500ms"}}
FIELDS = {"purpose": "fine-tune"}
FAILED = {"error": {"message": "out of order", "type": "server_error"}}


class World:
    """A gateway in front of four kinds of providers, and what they have. None of
    them must know the length, so what tells its purpose first is streamed;
    Mistral must, so a file that goes there, too, is spooled."""

    def __init__(self, start, redis, folder):
        self.folder = folder / "disk"
        self.up, self.gcs, self.s3 = OpenAI(), GCS(token=test_gcs.TOKEN), S3()
        self.mistral = Mistral()
        self.fakes = {"up": self.up, "gcs": self.gcs, "s3": self.s3, "mistral": self.mistral}
        providers = {
            "up": openai_provider(self.up, upload_length="optional"),
            "gcs": test_gcs.provider(self.gcs, chunk_size="4MB"),
            "mistral": test_mistral.provider(self.mistral, retention="0"),
            "s3": test_s3.provider(self.s3),
            "disk": {"type": "disk", "path": str(self.folder)},
        }
        conf = {"redis": {"url": redis.url}, "providers": providers, **QUICK}
        self.redis = redis
        self.gw = start(config({"routing": {"default": "up"}, **conf}))
        self.begin()

    def begin(self):
        """As new: nothing is anywhere."""
        for fake in self.fakes.values():
            fake.seen.clear()
            fake.faults.clear()
            fake.read_rate = 0
            fake.keep = True
        self.s3.unfinished.clear()
        self.lose()
        self.key = self.gw.new_key(max_storage_bytes=500 * MB)

    def lose(self):
        """All files, at all of them."""
        for fake in self.fakes.values():
            fake.files.clear()
        for path in self.folder.rglob("*"):
            if path.is_file():
                path.unlink()

    def reconciled(self, **body):
        """The job, ended, that mends what is missing."""
        reply = self.gw.admin("POST", "/admin/reconcile", json={"mend": True, **body})
        job = f"/admin/jobs/{reply.json()['id']}"

        def ended():
            state = self.gw.admin("GET", job).json()
            return state if state["state"] in ("done", "failed") else None

        return until(ended, "the job is over", 30)

    def upload(self, data, to=ALL, filename="x.jsonl", key=None, fields=FIELDS, **kw):
        headers = {"x-filemux-provider": to, **kw.pop("headers", {})} if to else {}
        key = key or self.key
        return self.gw.upload(key, data, filename, fields=fields, headers=headers, **kw)

    def made(self, data, to=ALL, **kw):
        reply = self.upload(data, to, **kw)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def call(self, method, path, key=None, **kw):
        return self.gw.call(key or self.key, method, path, **kw)

    def content(self, file_id, provider, **kw):
        return self.call("GET", f"/{provider}/v1/files/{file_id}/content", **kw)

    def stored(self):
        """How many files each of them has that has any."""
        out = {name: len(fake.files) for name, fake in self.fakes.items()}
        out["disk"] = sum(1 for p in self.folder.rglob("*") if p.is_file())
        return {name: n for name, n in out.items() if n}

    def journal(self):
        return self.redis.command("HLEN", "fm:{gw}:entries")

    def is_clean(self):
        """Nothing anywhere, nobody owes anything."""
        return (
            not self.stored()
            and self.journal() == b":0\r\n"
            and not self.s3.unfinished
        )

    def until_clean(self, timeout=30):
        try:
            until(self.is_clean, "nothing is left anywhere", timeout)
        except AssertionError:
            state = self.stored(), self.journal(), self.s3.unfinished
            raise AssertionError(f"{state}\n{self.gw.last_words()}") from None
        until_used(self.redis, scope(self.key), 0, 0)
        assert self.call("GET", "/v1/files").json()["data"] == []
        until(lambda: self.gw.transfers() == 0, "no transfer is under way")

    def check(self):
        for fake in self.fakes.values():
            assert fake.violations == []

    def stop(self):
        for fake in self.fakes.values():
            fake.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fan-out")
    redis = Redis(folder / "redis").start()
    world = World(lambda conf: Gateway(folder, conf).start(), redis, folder)
    try:
        yield world
        world.gw.stop()
    finally:
        world.gw.end()
        world.stop()
        redis.kill()


@pytest.fixture
def world(shared):
    shared.begin()
    yield shared
    shared.check()


@pytest.fixture
def own(start, redis, tmp_path):
    """A world that may end before its time."""
    world = World(start, redis, tmp_path)
    yield world
    world.check()
    world.stop()


def sha(data):
    return hashlib.sha256(data).hexdigest()


# --- it works ---


@pytest.mark.parametrize("size", [0, 1, 70_000, 6 * MB + 1])
def test_one_upload_is_one_file_that_works_everywhere(world, size):
    data = pattern.pattern(size)
    made = world.made(data)
    assert made["id"].startswith("file-up-")
    assert made["filemux"] == {"provider": "up", "providers": NAMES}
    assert made["bytes"] == size and made["status"] == "processed"
    for name in NAMES:
        reply = world.content(made["id"], name)
        assert reply.status_code == 200 and sha(reply.content) == sha(data), name
        again = world.call("GET", f"/{name}/v1/files/{made['id']}").json()
        assert again == made
    assert world.stored() == dict.fromkeys(NAMES, 1)
    until_used(world.redis, scope(world.key), 1, size)
    assert world.journal() == b":0\r\n"
    assert world.call("DELETE", f"/v1/files/{made['id']}").json()["deleted"]
    world.until_clean()
    refused(world.call("GET", f"/v1/files/{made['id']}"), 404, "file_not_found")


def form(data, first="purpose", **fields):
    """The form's bytes, its fields before or behind the file."""
    parts = [
        f'--cut\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode()
        for n, v in {**FIELDS, **fields}.items()
    ]
    head = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="x.jsonl"\r\n\r\n'
    file = [head + data + b"\r\n"]
    parts = parts + file if first == "purpose" else file + parts
    return b"".join(parts) + b"--cut--\r\n"


def send(world, data, to=ALL, first="purpose", chunks=None, **fields):
    """An upload framed by hand; chunked where pieces are given."""
    whole = body = form(data, first, **fields)
    if chunks:
        body = (whole[i : i + chunks] for i in range(0, len(whole), chunks))
    headers = {"content-type": "multipart/form-data; boundary=cut"}
    if to:
        headers["x-filemux-provider"] = to
    return world.call("POST", "/v1/files", content=body, headers=headers)


@pytest.mark.parametrize("chunks", [None, 100_000])
@pytest.mark.parametrize("first", ["purpose", "file"])
def test_the_order_of_the_parts_does_not_matter(world, first, chunks):
    data = pattern.pattern(3 * MB)
    reply = send(world, data, first=first, chunks=chunks)
    assert reply.status_code == 200, reply.text
    made = reply.json()
    assert made["purpose"] == "fine-tune"
    for name in NAMES:
        assert sha(world.content(made["id"], name).content) == sha(data)
    (seen,) = world.up.uploads()
    assert seen.fields == FIELDS and set(seen.order) == {"purpose", "file"}
    assert seen.framing == ("chunked" if first == "purpose" else "length")


def test_the_official_sdk_names_them_in_every_way(world):
    ways = [
        {"extra_headers": {"x-filemux-provider": "up, disk"}},
        {"extra_body": {"provider": "up,disk"}},
        {"extra_body": {"custom_llm_provider": "up,disk"}},
        {"extra_query": {"provider": "up, disk"}},
        {"extra_headers": {"custom-llm-provider": "up, disk"}},
    ]
    with sdk_for(world.gw, world.key) as sdk:
        for way in ways:
            file = ("x.jsonl", io.BytesIO(b"{}\n"))
            made = sdk.files.create(file=file, purpose="fine-tune", **way)
            assert made.to_dict()["filemux"]["providers"] == ["up", "disk"], way
            assert sdk.files.content(made.id).read() == b"{}\n"
            sdk.files.delete(made.id)
    world.until_clean()


def test_who_must_know_the_length_is_told(world):
    """Then it is spooled; every provider has its own words for the same form."""
    data = pattern.pattern(3 * MB)
    made = world.made(data, "mistral, up, s3")
    assert made["id"].startswith("file-mistral-")
    for name in made["filemux"]["providers"]:
        assert sha(world.content(made["id"], name).content) == sha(data)
    for fake in (world.mistral, world.up):
        (seen,) = fake.uploads()
        assert seen.framing == "length" and seen.fields["purpose"] == "fine-tune"


def test_curl_sends_the_file_first_and_the_fields_last(world, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(pattern.pattern(2 * MB))
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "60", world.gw.url + "/v1/files",
         "-H", f"Authorization: Bearer {world.key}", "-H", f"x-filemux-provider: {ALL}",
         "-F", f"file=@{path}", "-F", "purpose=fine-tune"],
        capture_output=True, check=True,
    )  # fmt: skip
    made = json.loads(done.stdout)
    for name in NAMES:
        assert world.content(made["id"], name).content == path.read_bytes()


def test_a_list_of_one_is_an_ordinary_upload(world):
    made = world.made(b"{}\n", "disk, disk,")
    assert made["filemux"] == {"provider": "disk"}
    assert made["id"].startswith("file-disk-")
    assert world.up.seen == []


def test_it_is_listed_once_and_under_each_provider(world):
    made = world.made(b"{}\n", "up, disk")
    alone = world.made(b"{}\n", "disk")
    both = {made["id"], alone["id"]}

    def listed(path):
        return [f["id"] for f in world.call("GET", path).json()["data"]]

    assert sorted(listed("/v1/files")) == sorted(both)
    assert listed("/v1/files?provider=up") == [made["id"]]
    assert set(listed("/v1/files?provider=disk")) == both
    assert set(listed("/disk/v1/files?purpose=fine-tune")) == both
    assert listed("/v1/files?provider=s3") == []


# --- what is refused ---


def test_names_that_make_no_sense_are_refused_before_a_byte_goes(world):
    error = refused(world.upload(b"{}", "up, nope"), 400, "unknown_provider")
    assert error["param"] == "x-filemux-provider" and "'nope'" in error["message"]
    key = world.gw.new_key(providers=["up", "disk"])
    error = refused(world.upload(b"{}", "up, s3", key=key), 403, "provider_not_allowed")
    assert "'s3'" in error["message"]
    reply = world.upload(b"{}", None, fields={**FIELDS, "target_model_names": "a, b"})
    assert refused(reply, 400, "invalid_value")["param"] == "target_model_names"
    refused(world.upload(b"{}", ALL, path="/up,disk/v1/files"), 400, "unknown_provider")
    first = world.made(b"{}", "up")["id"]
    reply = world.call("POST", f"/v1/files/{first}/copy", json={"provider": "s3,disk"})
    assert refused(reply, 400, "invalid_value")["param"] == "provider"
    assert world.stored() == {"up": 1}


def test_a_field_behind_the_file_cannot_change_where_it_goes(world):
    reply = send(world, b"{}" * MB, to=None, first="file", provider="up, disk")
    error = refused(reply, 400, "invalid_value")
    assert "'up, disk'" in error["message"] and "'up'" in error["message"]
    reply = send(world, b"{}" * MB, to="up, disk", first="file", provider="s3")
    assert reply.status_code == 200, reply.text  # the header goes before


def test_the_smallest_bound_holds_for_all(own):
    own.gw.conf["providers"]["disk"]["max_file_bytes"] = MB
    own.gw.write(own.gw.conf)
    own.gw.signal(signal.SIGHUP)
    until(lambda: "reload" in own.gw.stderr(), "the configuration is read again")
    for chunks in (None, 100_000):
        error = refused(send(own, bytes(MB + 1), "up, disk", chunks=chunks), 413)
        assert error["code"] == "file_too_large"
    own.until_clean()
    assert own.made(bytes(MB), "up, disk")["bytes"] == MB


@pytest.mark.parametrize("limit", [{"max_storage_bytes": 3 * MB}, {"max_files": 1}], ids=str)
def test_it_counts_once(world, limit):
    key = world.gw.new_key(**limit)
    made = world.made(bytes(2 * MB), "up, disk", key=key)
    until_used(world.redis, scope(key), 1, 2 * MB)
    asked = len(world.up.seen)
    for chunks in (None, 100_000):
        error = refused(world.upload(bytes(2 * MB), "up, disk", key=key), 429)
        assert error["type"] == "insufficient_quota"
    assert len(world.up.seen) == asked
    world.call("DELETE", f"/v1/files/{made['id']}", key=key)
    until_used(world.redis, scope(key), 0, 0)


def test_another_owner_sees_nothing_of_it(world):
    made = world.made(b"{}", "up, disk")
    other = world.gw.new_key()
    for name in ("", "/up", "/disk"):
        one = f"{name}/v1/files/{made['id']}"
        for method, path in [("GET", one), ("GET", one + "/content"), ("DELETE", one)]:
            refused(world.call(method, path, key=other), 404, "file_not_found")
    copy = {"provider": "s3"}
    path = f"/v1/files/{made['id']}/copy"
    refused(world.call("POST", path, key=other, json=copy), 404, "file_not_found")
    refused(world.call("GET", f"/s3/v1/files/{made['id']}"), 404, "file_not_found")
    assert world.content(made["id"], "disk").content == b"{}"


def test_a_key_may_read_what_it_may_use_and_delete_no_more(world):
    team = {"team_id": "narrow"}
    wide, narrow = world.gw.new_key(**team), world.gw.new_key(providers=["disk"], **team)
    made = world.made(b"{}", "up, disk", key=wide)
    asked = len(world.up.seen)
    reply = world.call("GET", f"/v1/files/{made['id']}/content", key=narrow)
    assert reply.content == b"{}" and len(world.up.seen) == asked
    refused(world.content(made["id"], "up", key=narrow), 403, "provider_not_allowed")
    error = refused(
        world.call("DELETE", f"/v1/files/{made['id']}", key=narrow), 403, "provider_not_allowed"
    )
    assert "'up'" in error["message"]
    assert world.stored() == {"up": 1, "disk": 1}


# --- one of them fails ---


def when_others_have_it(world, act):
    """At the end of its own request, once all the others have stored theirs."""

    def wait(x):
        names = [n for n in NAMES if n != "up"]
        until(lambda: all(n in world.stored() for n in names), "the others are done")
        act(x)

    return wait


SIZE = 4 * MB
BUSY = answer(429, {"error": {"message": "no"}}, {"Retry-After": "7"}, then_close=True)
FAULTS = {
    "at the start": (on_head(answer(500, FAILED, then_close=True)), 502),
    "refused": (on_head(answer(413, {"error": {"message": "no"}}, then_close=True)), 413),
    "busy": (on_head(BUSY), 429),
    "dead": (on_head(reset), 502),
    "in the middle": (after_bytes(2 * MB, reset), 502),
    "early answer": (after_bytes(2 * MB, answer(400, {"error": {"message": "no"}}, then_close=True)), 400),
}  # fmt: skip


@pytest.mark.parametrize("first", ["purpose", "file"])
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("name", ["up", "gcs", "s3"])
def test_when_one_fails_nothing_is_left(world, name, kind, first):
    if name == "gcs" and kind == "busy":
        pytest.skip("of a part that is refused so another try is made")
    fault, status = FAULTS[kind]
    world.fakes[name].fault(fault, times=9)
    reply = send(world, pattern.pattern(SIZE), first=first)
    error = refused(reply, status)
    assert error["message"].startswith(f"cannot store the file at '{name}'"), error
    assert status != 429 or reply.headers["retry-after"] == "7"
    world.fakes[name].faults.clear()
    world.until_clean()


@pytest.mark.parametrize("first", ["purpose", "file"])
def test_what_the_others_have_stored_is_deleted(world, first):
    act = when_others_have_it(world, answer(500, FAILED))
    world.up.fault(after_bytes(SIZE, act), method="POST")
    error = refused(send(world, pattern.pattern(SIZE), first=first), 502)
    assert "'up'" in error["message"]
    world.until_clean()


@pytest.mark.parametrize("name", ["gcs", "s3"])
def test_a_deletion_that_fails_is_made_up_for_by_the_sweeper(world, name):
    """The entry stays until it is done, and so does the quota of the first."""
    world.up.fault(after_bytes(SIZE, when_others_have_it(world, answer(500, FAILED))))
    world.fakes[name].fault(on_head(answer(500, FAILED)), method="DELETE", times=3)
    refused(send(world, pattern.pattern(SIZE)), 502)
    world.until_clean()
    assert world.fakes[name].faults[0].left == 0


def test_one_that_stored_it_and_died_is_swept(world):
    """The answer is missing: it is found in the list, and deleted."""
    world.up.fault(on_stored(reset), method="POST")
    error = refused(send(world, pattern.pattern(SIZE)), 502)
    assert "'up'" in error["message"]
    world.until_clean()


def test_a_disk_that_cannot_be_written_leaves_nothing(own):
    own.folder.rmdir() if own.folder.exists() else None
    own.folder.write_bytes(b"no folder")
    reply = send(own, pattern.pattern(SIZE))
    assert reply.status_code >= 500
    assert "'disk'" in reply.json()["error"]["message"]
    own.folder.unlink()
    own.folder.mkdir()
    own.until_clean()


def test_a_client_who_goes_away_leaves_nothing(world):
    wire = world.gw.wire()
    body = form(pattern.pattern(SIZE))
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {world.key}\r\n"
        f"x-filemux-provider: {ALL}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/form-data; boundary=cut\r\n\r\n"
    )
    wire.send(head.encode() + body[: 3 * MB])
    until(lambda: world.up.seen and world.up.seen[0].raw_length > MB, "it is under way")
    wire.close()
    world.until_clean()


def test_no_other_provider_is_tried(world):
    """A fan-out names whom it wants."""
    world.up.fault(on_head(answer(500, FAILED, then_close=True)), times=9)
    refused(world.upload(b"{}", "up, disk"), 502)
    assert world.mistral.uploads() == [] and world.s3.uploads() == []
    world.up.faults.clear()
    world.until_clean()


# --- the process dies ---


def kill(world):
    """And the provider has no more of it than was read."""

    def act(x):
        world.gw.kill()
        reset(x)

    return act


def killed(world, data):
    """The upload during which filemux is killed."""
    with pytest.raises(httpx.TransportError):
        send(world, data)
    until(lambda: not world.gw.runs, "the kill is over")


@pytest.mark.parametrize("name", ["up", "s3"])
def test_killed_in_the_middle_it_leaves_nothing(own, name):
    own.fakes[name].fault(after_bytes(2 * MB, kill(own)))
    killed(own, pattern.pattern(SIZE))
    own.gw.start()
    # What S3 has of an unfinished upload is not in its list.
    until(lambda: not own.stored(), "no file is left", 30)
    until(lambda: own.journal() == b":0\r\n", "no entry is left", 30)
    until_used(own.redis, scope(own.key), 0, 0)


def test_killed_when_some_have_stored_it_leaves_nothing(own):
    own.up.fault(after_bytes(SIZE, when_others_have_it(own, kill(own))))
    killed(own, pattern.pattern(SIZE))
    assert set(own.stored()) == set(NAMES) - {"up"}
    own.gw.start()
    own.until_clean()


def test_killed_when_all_have_stored_it_leaves_all_or_nothing(own):
    def act(x):
        until(lambda: len(own.stored()) == len(NAMES), "all have it")
        kill(own)(x)

    own.up.fault(on_stored(act), method="POST")
    killed(own, pattern.pattern(SIZE))
    own.gw.start()
    own.until_clean()


def test_another_upload_of_that_name_is_not_mistaken(own):
    """While the sweeper looks for what a killed one left."""
    kept = own.made(b"kept", "up, gcs, disk")
    own.up.fault(after_bytes(SIZE, when_others_have_it(own, kill(own))))
    killed(own, pattern.pattern(SIZE))
    own.gw.start()
    until(lambda: own.journal() == b":0\r\n", "all is mended", 30)
    assert own.stored() == {"up": 1, "gcs": 1, "disk": 1}
    for name in ("up", "gcs", "disk"):
        assert own.content(kept["id"], name).content == b"kept"
    until_used(own.redis, scope(own.key), 1, 4)


# --- deleting ---


@pytest.mark.parametrize("name", ["up", "s3"])
def test_a_provider_that_is_down_does_not_keep_the_file(world, name):
    """It is gone for the client, and counts until it is gone there, too."""
    made = world.made(bytes(MB))
    down = world.fakes[name]
    down.fault(on_head(answer(500, FAILED)), method="DELETE", times=99)
    assert world.call("DELETE", f"/v1/files/{made['id']}").json()["deleted"]
    refused(world.call("GET", f"/v1/files/{made['id']}"), 404, "file_not_found")
    refused(world.call("DELETE", f"/v1/files/{made['id']}"), 404, "file_not_found")
    assert world.stored() == {name: 1}
    until_used(world.redis, scope(world.key), 1, MB)
    down.faults.clear()
    world.until_clean()


def test_one_that_is_down_for_ever_does_not_count_for_ever(world):
    made = world.made(bytes(MB))
    world.s3.fault(on_head(answer(500, FAILED)), method="DELETE", times=999)
    assert world.call("DELETE", f"/v1/files/{made['id']}").json()["deleted"]
    until_used(world.redis, scope(world.key), 1, MB)
    world.redis.command("HSET", "fm:{gw}:tries", made["id"], "48")
    until(lambda: world.journal() == b":0\r\n", "it is given up")
    until_used(world.redis, scope(world.key), 0, 0)


def test_when_all_are_down_the_file_stays(world):
    made = world.made(bytes(MB), "up, s3")
    for fake in (world.up, world.s3):
        fake.fault(on_head(answer(500, FAILED)), method="DELETE", times=99)
    refused(world.call("DELETE", f"/v1/files/{made['id']}"), 502)
    for fake in (world.up, world.s3):
        fake.faults.clear()
    assert world.content(made["id"], "s3").content == bytes(MB)
    assert world.call("DELETE", f"/v1/files/{made['id']}").json()["deleted"]
    world.until_clean()


def test_one_that_is_gone_already_counts_as_deleted(world):
    made = world.made(bytes(MB))
    world.up.files.clear()
    assert world.call("DELETE", f"/v1/files/{made['id']}").json()["deleted"]
    world.until_clean()


def test_a_provider_that_is_no_longer_configured_does_not_keep_it(own):
    made = own.made(b"{}", "up, s3, disk")
    left = {n: p for n, p in own.gw.conf["providers"].items() if n != "up"}
    own.gw.write({**own.gw.conf, "routing": {"default": "s3"}, "providers": left})
    own.gw.signal(signal.SIGHUP)
    until(lambda: "reloaded" in own.gw.stderr(), "the configuration is read again")
    path = f"/v1/files/{made['id']}"
    assert own.call("GET", path).json()["id"] == made["id"]
    assert own.call("GET", f"{path}/content").content == b"{}"
    assert own.call("DELETE", path).json()["deleted"]
    assert own.stored() == {"up": 1}
    until_used(own.redis, scope(own.key), 0, 0)
    refused(own.call("GET", path), 404)


def test_killed_while_it_deletes_the_rest_goes_too(own):
    made = own.made(bytes(MB))
    own.up.fault(on_head(call(lambda x: own.gw.kill())), method="DELETE")
    with pytest.raises(httpx.TransportError):
        own.call("DELETE", f"/v1/files/{made['id']}")
    until(lambda: not own.gw.runs, "the kill is over")
    own.gw.start()
    own.until_clean()


# --- reading ---


def test_the_next_one_is_read_when_the_first_is_down(world):
    data = pattern.pattern(2 * MB)
    made = world.made(data)
    path = f"/v1/files/{made['id']}/content"
    for fake in (world.up, world.gcs):
        fake.fault(on_head(answer(500, FAILED)), method="GET", times=99)
    assert world.call("GET", path).content == data
    part = world.call("GET", path, headers={"Range": "bytes=10-29"})
    assert part.status_code == 206 and part.content == data[10:30]
    refused(world.content(made["id"], "up"), 502)
    reply = world.call("GET", path, headers={"x-filemux-provider": "gcs"})
    refused(reply, 502)
    world.s3.fault(on_head(answer(404, "")), method="GET", times=99)
    assert world.call("GET", path).content == data


@pytest.mark.parametrize("status", [400, 401, 403, 429])
def test_the_next_one_is_read_when_the_first_refuses(world, status):
    """Its credentials may be old; OpenAI gives out no file of some purposes."""
    made = world.made(b"{}", "up, disk")
    path = f"/v1/files/{made['id']}/content"
    said = {"error": {"message": "not for you", "type": "invalid_request_error"}}
    world.up.fault(on_head(answer(status, said)), method="GET", times=9)
    assert world.call("GET", path).content == b"{}"
    reply = world.call("GET", path, headers={"x-filemux-provider": "up"})
    assert reply.status_code == (502 if status in (401, 403) else status)


def test_after_the_first_byte_no_other_is_read(world):
    made = world.made(pattern.pattern(2 * MB), "up, disk")
    world.up.fault(after_answer_head(close), method="GET")
    with pytest.raises(httpx.TransportError):
        world.call("GET", f"/v1/files/{made['id']}/content")


def test_a_hint_picks_the_copy(world):
    made = world.made(b"{}", "up, mistral, disk")
    path = f"/v1/files/{made['id']}/content"

    def asked():
        return [n for n, f in world.fakes.items() if any(s.path.endswith("content") for s in f.seen)]

    assert world.call("GET", path, headers={"x-filemux-provider": "disk"}).content == b"{}"
    assert world.call("GET", path + "?provider=disk").content == b"{}"
    assert asked() == []
    assert world.call("GET", path, headers={"custom-llm-provider": "mistral"}).content == b"{}"
    assert asked() == ["mistral"]
    # One that does not have it says nothing.
    assert world.call("GET", path, headers={"x-filemux-provider": "s3"}).content == b"{}"
    assert asked() == ["up", "mistral"]


def test_a_copy_is_made_of_the_one_that_is_meant(world):
    made = world.made(b"{}", "up, disk")
    asked = len(world.up.seen)
    reply = world.call(
        "POST", f"/v1/files/{made['id']}/copy", json={"provider": "s3"},
        headers={"x-filemux-provider": "disk"},
    )  # fmt: skip
    assert reply.status_code == 200, reply.text
    assert reply.json()["filemux"] == {"provider": "s3"}
    assert len(world.up.seen) == asked
    world.call("DELETE", f"/v1/files/{made['id']}")
    assert world.content(reply.json()["id"], "s3").content == b"{}"


def test_a_file_is_processed_when_it_is_everywhere(start, redis, tmp_path, fake):
    other = OpenAI(api_key="sk-other")
    other.first_status = fake.first_status = "uploaded"
    gw = start(config({"redis": {"url": redis.url}, **QUICK}, up=fake, other=other))
    key = gw.new_key()
    headers = {"x-filemux-provider": "up, other"}
    made = gw.upload(key, b"{}", headers=headers).json()

    def status():
        return gw.call(key, "GET", f"/v1/files/{made['id']}").json()["status"]

    def becomes(where, word):
        for stored in where.files.values():
            stored.status = word

    assert made["status"] == status() == "uploaded"
    becomes(fake, "processed")
    assert status() == "uploaded"
    becomes(other, "error")
    assert status() == "error"
    other.stop()
    assert other.violations == []


def test_one_that_is_well_does_not_hide_why_another_failed(start, redis, tmp_path, fake):
    other = OpenAI(api_key="sk-other")
    other.first_status = fake.first_status = "uploaded"
    gw = start(config({"redis": {"url": redis.url}, **QUICK}, up=fake, other=other))
    key = gw.new_key()
    headers = {"x-filemux-provider": "up, other"}
    made = gw.upload(key, b"{}", headers=headers).json()
    for where, word in ((fake, "error"), (other, "processed")):
        for stored in where.files.values():
            stored.status = word
    fake.details = "line 3 is none"
    for _ in range(2):
        now = gw.call(key, "GET", f"/v1/files/{made['id']}").json()
        assert (now["status"], now["status_details"]) == ("error", "line 3 is none")
    other.stop()


# --- beside it ---


def test_an_expired_one_goes_everywhere(world):
    key = world.gw.new_key(file_expiry_seconds=3600)
    made = world.made(b"{}", "up, s3, disk", key=key)
    assert made["expires_at"] == made["created_at"] + 3600
    owner = scope(key)
    name = f"fm:{{o:{owner}}}:f:{made['id']}"
    record = world.redis.command("GET", name).split(b"\r\n", 1)[1].rstrip(b"\r\n")
    past = json.dumps({**json.loads(record), "expires_at": 1_700_000_000})
    world.redis.command("SET", name, past)
    world.redis.command("ZADD", "fm:{expiry}", "1700000000", f"{owner} {made['id']}")
    until(lambda: not world.stored(), "it is gone everywhere")
    until_used(world.redis, owner, 0, 0)


def test_reconciling_finds_nothing_wrong_and_counts_it_once(own):
    own.made(b"{}", "up, s3, disk")
    own.made(b"{}", "up")
    for stored in own.up.files.values():
        stored.created_at -= 7200
    state = own.reconciled(orphans="delete")
    assert state["state"] == "done" and not any(state["counts"].values()), state
    assert own.stored() == {"up": 2, "s3": 1, "disk": 1}


def test_one_that_is_missing_somewhere_is_told_and_kept(own):
    made = own.made(b"{}", "up, s3, disk")
    own.s3.files.clear()
    state = own.reconciled(orphans="delete")
    assert state["counts"]["records_without_file"] == 1, state
    assert own.content(made["id"], "disk").content == b"{}"


def test_one_that_is_missing_everywhere_goes(own):
    made = own.made(b"{}", "up, s3, disk")
    own.lose()
    kept = own.made(b"{}", "up, s3")
    first, second = own.reconciled(), own.reconciled()
    assert first["counts"]["records_without_file"] == 3 and first["failed"] == 0, first
    assert not any(second["counts"].values()), second
    assert own.call("GET", f"/v1/files/{made['id']}").status_code == 404
    assert own.content(kept["id"], "s3").content == b"{}"
    until_used(own.redis, scope(own.key), 1, 2)


def test_one_that_is_at_one_of_them_stays(own):
    made = own.made(b"{}", "up, s3, disk")
    left = dict(own.s3.files)
    own.lose()
    own.s3.files.update(left)
    job = own.reconciled()
    assert job["counts"]["records_without_file"] == 2 and job["failed"] == 2, job
    assert job["counts"]["mended"] == 0
    assert own.content(made["id"], "s3").content == b"{}"
    until_used(own.redis, scope(own.key), 1, 2)


def test_what_is_left_of_a_deletion_is_not_adopted(own):
    made = own.made(b"{}", "s3, up")
    (left,) = own.up.files.values()
    left.created_at -= 7200
    own.up.fault(on_head(answer(403, FAILED)), method="DELETE", times=1000)
    assert own.call("DELETE", f"/v1/files/{made['id']}").status_code == 200
    until(lambda: any(e.get("outcome") == "postponed" for e in own.gw.log()), "it is put off")
    team = own.gw.admin("POST", "/team/new", json={"team_id": "red"})
    assert team.status_code == 200, team.text
    body = {"provider": "up", "owner": {"team_id": "red"}}
    job = own.reconciled(orphans="adopt", **body)
    assert not any(job["counts"].values()), job
    own.up.faults.clear()
    own.until_clean()


def test_the_master_key_may(world):
    made = world.made(b"{}", "up, disk", key=MASTER)
    assert world.content(made["id"], "disk", key=MASTER).content == b"{}"


# --- batches ---


CHAT = "/v1/chat/completions"
LONG = "a-deployment-of-a-rather-long-name"


def lines(*models):
    return b"".join(
        json.dumps(
            {"custom_id": f"r{i}", "method": "POST", "url": CHAT,
             "body": {"model": m, "messages": []}}
        ).encode() + b"\n"
        for i, m in enumerate(models)
    )  # fmt: skip


class Batches:
    """A disk, and two that run batches and call models by names of their own."""

    def __init__(self, start, folder):
        self.up, self.other = OpenAI(), OpenAI(api_key="sk-other")
        more = {
            "providers": {
                "disk": {"type": "disk", "path": str(folder / "disk")},
                "up": openai_provider(self.up, upload_length="optional"),
                "other": openai_provider(self.other, upload_length="optional"),
            },
            "models": {
                "gpt-a": {"provider": "up", "model": LONG},
                "gpt-b": {"provider": "other", "model": "b"},
                "gpt-c": {"provider": "other"},
            },
            "batch_check": {"enabled": True},
            "checksums": True,
            **QUICK,
        }
        self.gw = start(config(more))
        self.key = self.gw.new_key()

    def made(self, data, to, first="purpose", status=200):
        fields, headers = {"purpose": "batch"}, {}
        if to.startswith("gpt"):
            fields["target_model_names"] = to
        else:
            headers["x-filemux-provider"] = to
        body = form(data, first, **fields)
        headers["content-type"] = "multipart/form-data; boundary=cut"
        reply = self.gw.call(self.key, "POST", "/v1/files", content=body, headers=headers)
        assert reply.status_code == status, reply.text
        return reply.json()

    def create(self, file_id, path="/v1/batches", headers=None, **more):
        body = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
        reply = self.gw.call(
            self.key, "POST", path, json={**body, **more}, headers=headers or {}
        )  # fmt: skip
        assert reply.status_code == 200, reply.text
        return reply.json()


@pytest.fixture
def batches(start, tmp_path):
    batches = Batches(start, tmp_path)
    yield batches
    for fake in (batches.up, batches.other):
        fake.stop()
        assert fake.violations == []


def test_a_batch_runs_where_it_is_meant_to(batches):
    made = batches.made(lines("m"), "disk, up, other")
    file_id = made["id"]
    ways = [
        (batches.up, {}),
        (batches.other, {"headers": {"x-filemux-provider": "other"}}),
        (batches.other, {"path": "/other/v1/batches"}),
        (batches.other, {"path": "/v1/batches?provider=other"}),
        (batches.other, {"model": "gpt-b"}),
        (batches.up, {"model": "gpt-a"}),
        (batches.other, {"provider": "other"}),
    ]
    for fake, how in ways:
        before = len(fake.batches)
        batch = batches.create(file_id, **how)
        assert batch["input_file_id"] == file_id, how
        assert len(fake.batches) == before + 1, how
    reply = batches.gw.call(batches.key, "POST", "/disk/v1/batches", json={
        "input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"})  # fmt: skip
    refused(reply, 400, "unsupported_operation")


@pytest.mark.parametrize("first", ["purpose", "file"])
def test_lines_are_checked_once_for_all(batches, first):
    bad = lines("m") + b'{"custom_id": 7}\n'
    error = batches.made(bad, "disk, up, other", first, status=400)["error"]
    assert error["code"] == "invalid_batch_line" and "line 2" in error["message"]
    assert batches.up.files == batches.other.files == {}


@pytest.mark.parametrize("first", ["purpose", "file"])
def test_a_model_must_be_where_the_file_goes(batches, first):
    error = batches.made(lines("m", "gpt-a"), "up, other", first, status=400)["error"]
    assert "'gpt-a' is at 'up'" in error["message"], error
    until(lambda: batches.up.files == batches.other.files == {}, "nothing is left", 30)


def test_each_provider_gets_its_own_name_for_a_model(batches):
    """Of models that were asked for: a line that names one of them means, at
    each provider, the one that is there. What is told is the first's file."""
    sent = lines("gpt-a", "gpt-b", "m")
    made = batches.made(sent, "gpt-a, gpt-b")
    at_up, at_other = lines(LONG, LONG, "m"), lines("b", "b", "m")
    assert next(iter(batches.up.files.values())).read() == at_up
    assert next(iter(batches.other.files.values())).read() == at_other
    assert made["bytes"] == len(at_up) and made["filemux"]["sha256"] == sha(at_up)
    for name, data in (("up", at_up), ("other", at_other)):
        path = f"/{name}/v1/files/{made['id']}/content"
        reply = batches.gw.call(batches.key, "GET", path)
        assert reply.content == data
        reply = batches.gw.call(batches.key, "GET", path, headers={"Range": "bytes=-5"})
        assert reply.status_code == 206 and reply.content == data[-5:]
    batch = batches.create(made["id"], model="gpt-b")
    assert batch["input_file_id"] == made["id"]
    assert len(batches.other.batches) == 1 and batches.up.batches == {}


def test_models_of_one_provider_make_an_ordinary_upload(batches):
    made = batches.made(lines("gpt-b", "gpt-c"), "gpt-b, gpt-c")
    assert made["filemux"]["provider"] == "other" and "providers" not in made["filemux"]


def test_a_model_that_the_key_may_not_use_is_refused(batches):
    batches.key = batches.gw.new_key(models=["gpt-a"])
    error = batches.made(lines("gpt-a"), "gpt-a, gpt-b", status=403)["error"]
    assert error["code"] == "model_not_allowed"
    assert batches.up.seen == []


# --- memory ---


@pytest.mark.long
@pytest.mark.parametrize("slow", ["up", "gcs", "s3"])
def test_the_slowest_sets_the_pace_and_nothing_piles_up(world, slow):
    """64 MiB with one reader at 20 MB/s: no more is held than the pipes may,
    and S3's parts."""
    size = 64 * MB
    world.fakes[slow].read_rate = 20 * MB
    for fake in world.fakes.values():
        fake.keep = False
    done = threading.Event()
    levels = []

    def watch():
        while not done.wait(0.02):
            levels.append(world.gw.metric("filemux_pipe_bytes"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        reply = send(world, pattern.pattern(size), chunks=MB)
    finally:
        done.set()
        watcher.join()
    assert reply.status_code == 200, reply.text
    # Of each pipe 256 KiB and one write; parts of S3's and Google's.
    assert max(levels) <= len(NAMES) * 320 * 1024 + 10 * MB, max(levels)
    assert world.gw.metric("filemux_pipe_bytes") == 0
    assert world.content(reply.json()["id"], "disk").content == pattern.pattern(size)
