"""What is seen of batches that run: by lists, by looks that come late, by jobs."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from conftest import sdk_for
from fakes.openai import Answered, OpenAI, answer, call, on_head, stall
from gw import config, openai_provider, refused, until
from quota import scope, use
from test_batches import QUICK, create, only, put
from test_jobs import begin, ended


@pytest.fixture
def world(start, redis):
    """A gateway with one provider, beside one that is never asked."""
    up, other = OpenAI(), OpenAI()
    gw = start(config({"redis": {"url": redis.url}, **QUICK}, up=up, other=other))
    gw.up, gw.other, gw.redis = up, other, redis
    yield gw
    for fake in (up, other):
        fake.stop()
        assert fake.violations == []


@pytest.fixture
def key(world):
    return world.new_key()


@pytest.fixture
def sdk(world, key):
    with sdk_for(world, key) as client:
        yield client


# --- how long what it made lives ---------------------------------------------


def test_its_files_live_as_long_as_the_keys_uploads(world):
    key = world.new_key(file_expiry_seconds=3600)
    with sdk_for(world, key) as sdk:
        file = put(sdk)
        assert file.expires_at == file.created_at + 3600
        made = create(sdk, file.id)
        asked = create(sdk, file.id,
                       output_expires_after={"anchor": "created_at", "seconds": 7200})  # fmt: skip
        for batch in world.up.batches.values():
            batch.finish()
        for batch, life in ((made, 3600), (asked, 7200)):
            out = sdk.files.retrieve(sdk.batches.retrieve(batch.id).output_file_id)
            assert out.expires_at == out.created_at + life


def test_its_files_live_as_long_as_the_providers_default(start, redis):
    up = OpenAI()
    provider = {**openai_provider(up), "default_expiry": "2h"}
    gw = start(config({"redis": {"url": redis.url}, "providers": {"up": provider},
                       "routing": {"default": "up"}}))  # fmt: skip
    with sdk_for(gw, gw.new_key()) as sdk:
        made = create(sdk, put(sdk).id)
        only(up).finish()
        out = sdk.files.retrieve(sdk.batches.retrieve(made.id).output_file_id)
        assert out.expires_at == out.created_at + 7200
    up.stop()


def test_one_whose_length_the_provider_does_not_tell_comes_down_whole(start, redis):
    """kluster.ai cannot be asked for a file's details."""
    up, other = OpenAI(), OpenAI()
    providers = {"up": {**openai_provider(up), "vendor": "kluster"},
                 "other": openai_provider(other)}  # fmt: skip
    gw = start(config({"redis": {"url": redis.url}, "providers": providers,
                       "routing": {"default": "up"}}))  # fmt: skip
    key = gw.new_key(max_download_bytes_per_day=1_000_000)
    with sdk_for(gw, key) as sdk:
        made = create(sdk, put(sdk).id)
        only(up).finish()
        data = only(up).output.read()
        found = sdk.batches.retrieve(made.id).output_file_id
        assert sdk.files.retrieve(found).bytes == 0  # an integer it must be
        assert {f.id: f.bytes for f in sdk.files.list()}[found] == 0
        down = gw.call(key, "GET", f"/v1/files/{found}/content")
        assert (down.status_code, down.content) == (200, data)
        part = gw.call(key, "GET", f"/v1/files/{found}/content", headers={"range": "bytes=0-1"})
        assert (part.status_code, part.content) == (200, data)
        head = gw.call(key, "HEAD", f"/v1/files/{found}/content")
        assert head.status_code == 200
        assert head.headers.get("content-length") in (None, str(len(data)))
        copied = gw.call(key, "POST", f"/v1/files/{found}/copy", json={"provider": "other"})
        assert "how large" in refused(copied, 411)["message"]
        assert use(redis, scope(key))["files"] == 2
        assert listed_bytes(gw, key, found) == 0
        assert sdk.files.delete(found).deleted
        assert use(redis, scope(key))["files"] == 1
    up.stop()
    other.stop()


def listed_bytes(gw, key, file_id):
    owner = scope(key)
    page = gw.admin("GET", "/admin/files", params={"owner": owner}).json()["data"]
    return {f["id"]: f["bytes"] for f in page}[file_id]


NOT_YET = {"error": {"message": "no", "type": "x", "param": None, "code": None}}


@pytest.mark.parametrize("late", ["output", "error"])
def test_a_file_that_is_not_found_at_once_is_found_later(world, sdk, late):
    made = create(sdk, put(sdk).id)
    batch = only(world.up)
    batch.finish(failed=1)
    file = getattr(batch, late)
    world.up.fault(on_head(answer(404, NOT_YET)), method="GET", path=f"/files/{file.id}")
    first = sdk.batches.retrieve(made.id)
    assert getattr(first, f"{late}_file_id") is None
    assert (first.output_file_id or first.error_file_id) is not None
    there = getattr(sdk.batches.retrieve(made.id), f"{late}_file_id")
    assert sdk.files.content(there).read() == file.read()


def test_an_error_file_that_is_told_later_is_taken_over(world, sdk):
    made = create(sdk, put(sdk).id)
    batch = only(world.up)
    batch.finish(failed=1)
    error, batch.error = batch.error, None
    first = sdk.batches.retrieve(made.id)
    assert first.output_file_id and first.error_file_id is None
    batch.error = error
    done = sdk.batches.retrieve(made.id)
    assert sdk.files.content(done.error_file_id).read() == error.read()
    world.up.seen.clear()
    assert sdk.batches.retrieve(made.id) == done
    assert world.up.seen == []


def test_what_was_deleted_does_not_come_back_by_a_late_answer(world, sdk, key):
    """Two look at once; one has the file's details late."""
    made = create(sdk, put(sdk).id)
    batch = only(world.up)
    batch.finish()
    asked, gate = threading.Event(), threading.Event()
    g = batch.output
    details = {"id": g.id, "object": "file", "bytes": g.size, "filename": g.filename,
               "created_at": g.created_at, "purpose": "batch_output",
               "status": "processed"}  # fmt: skip

    def be_late(exchange):
        asked.set()
        gate.wait(20)
        exchange.answer(200, details)
        raise Answered

    world.up.fault(on_head(be_late), method="GET", path=f"/files/{g.id}")
    with ThreadPoolExecutor(1) as other:
        late = other.submit(world.call, key, "GET", f"/v1/batches/{made.id}")
        assert asked.wait(10)
        found = sdk.batches.retrieve(made.id).output_file_id
        assert sdk.files.delete(found).deleted
        left, counted = sdk.files.list().data, use(world.redis, scope(key))
        gate.set()
        assert late.result().status_code == 200
    assert sdk.files.list().data == left and len(left) == 1
    now = use(world.redis, scope(key))
    assert (now["files"], now["bytes"]) == (counted["files"], counted["bytes"])
    assert world.call(key, "GET", f"/v1/files/{found}").status_code == 404


# --- lists -------------------------------------------------------------------


def test_a_list_asks_no_provider_that_the_key_may_not_use(world, sdk, key):
    made = create(sdk, put(sdk).id)
    reply = world.admin("POST", "/key/update", json={"key": key, "providers": ["other"]})
    assert reply.status_code == 200
    only(world.up).finish()
    world.up.seen.clear()
    (shown,) = sdk.batches.list().data  # as it was last seen
    assert (shown.id, shown.status) == (made.id, "validating")
    for path in ("/up/v1/batches", "/v1/batches?provider=up"):
        reply = world.call(key, "GET", path)
        refused(reply, 403, "provider_not_allowed")
        assert reply.json()["error"]["param"] == "provider"
    assert world.call(key, "GET", "/other/v1/batches").json()["data"] == []
    assert world.up.seen == []


def test_a_list_does_not_wait_for_ever_and_none_is_left_out(start, redis):
    """More than a list looks at are not answered; the oldest would be."""
    up = OpenAI()
    gw = start(config({"redis": {"url": redis.url},
                       "batches": {"list_timeout": "200ms", "look_interval": "1d"}},
                      up=up))  # fmt: skip
    with sdk_for(gw, gw.new_key()) as sdk:
        file = put(sdk)
        oldest = create(sdk, file.id)
        only(up).finish()
        theirs = only(up).id
        made = [create(sdk, file.id).id for _ in range(21)]
        for batch in up.batches.values():
            if batch.id != theirs:
                up.fault(on_head(stall), method="GET", path=batch.id, times=1000)

        def shown():
            page = sdk.batches.list(limit=100).data
            assert [b.id for b in page] == [*reversed(made), oldest.id]
            assert {b.status for b in page[:-1]} == {"validating"}
            return page[-1].output_file_id

        until(shown, "the oldest is looked at", 60)
    up.stop()


@pytest.mark.parametrize("path", ["/v1/batches/{}", "/v1/batches"])
def test_who_hangs_up_takes_up_a_place_while_it_is_looked(world, path):
    gate = threading.Event()
    with sdk_for(world, world.new_key(user_id="u")) as sdk:
        made = create(sdk, put(sdk).id)
    key = world.new_key(user_id="u", max_parallel_requests=1)
    world.up.seen.clear()
    held = on_head(call(lambda _: gate.wait(20)))
    world.up.fault(held, method="GET", path="/batches/", times=100)
    auth = {"Authorization": f"Bearer {key}"}
    url = world.url + path.format(made.id)
    with pytest.raises(httpx.TimeoutException):
        httpx.get(url, headers=auth, timeout=0.5)
    until(lambda: any(e.get("end") == "client_gone" for e in world.log()), "it hung up")
    for _ in range(3):
        refused(world.call(key, "GET", path.format(made.id)), 429, "rate_limit_exceeded")
    assert len(world.up.seen) == 1
    gate.set()

    def is_free():
        return world.call(key, "GET", path.format(made.id)).status_code == 200

    until(is_free, "the place is free")


# --- jobs --------------------------------------------------------------------


@pytest.mark.parametrize("orphans", ["delete", "adopt", "import"])
def test_what_nobody_has_looked_at_yet_stays_its_makers(start, redis, orphans):
    up = OpenAI()
    gw = start(config({"redis": {"url": redis.url}, "batches": {"look_interval": "1d"}},
                      up=up))  # fmt: skip
    gw.new_key(team_id="red")
    red = {} if orphans == "delete" else {"owner": {"team_id": "red"}}
    with sdk_for(gw, gw.new_key()) as sdk:
        made = create(sdk, put(sdk).id)
        only(up).finish()
        output = only(up).output
        output.created_at -= 7200
        stray = up.put("stray.txt", age=7200)
        if orphans == "import":
            job = ended(gw, begin(gw, "/admin/files/import", provider="up", **red))
        else:
            job = ended(gw, begin(gw, "/admin/reconcile", provider="up", mend=True,
                                  orphans=orphans, **red))  # fmt: skip
        assert job["state"] == "done" and job["failed"] == 0, job
        done = [e["upstream_id"] for e in job["report"] if "upstream_id" in e]
        assert set(done) == {stray.id}
        found = sdk.batches.retrieve(made.id).output_file_id
        assert sdk.files.content(found).read() == output.read()
    up.stop()


def test_what_a_batch_made_is_imported_when_that_is_asked_for(world, sdk):
    create(sdk, put(sdk).id)
    only(world.up).finish()
    for _ in range(2):
        job = ended(world, begin(world, "/admin/files/import", provider="up",
                                 purpose="batch_output", owner={"user_id": "u"}))  # fmt: skip
        assert job["state"] == "done", job
    with sdk_for(world, world.new_key(user_id="u")) as other:
        (file,) = other.files.list().data
        assert file.purpose == "batch_output"
