"""Batches: the official SDK against fakes that run them to their end."""

import json
import threading

import httpx
import openai
import pytest
import test_azure
from conftest import sdk_for
from fakes.azure import Azure
from fakes.openai import OpenAI, answer, on_head, on_stored, reset
from gw import config, openai_provider, refused, until
from quota import scope, use

QUICK = {"journal": {"lease": "2s", "sweep_interval": "500ms"}}
CHAT = "/v1/chat/completions"


def line(n):
    request = {"custom_id": f"r{n}", "method": "POST", "url": CHAT,
               "body": {"model": "m", "messages": []}}  # fmt: skip
    return json.dumps(request) + "\n"


LINES = "".join(line(n) for n in range(3)).encode()


@pytest.fixture
def world(start, redis, tmp_path):
    """A gateway with OpenAI (the default), Azure and a disk."""
    up, azure = OpenAI(), Azure("2025-04-01-preview")
    azure.first_status = "processed"
    providers = {
        "up": openai_provider(up),
        "azure": test_azure.provider(azure, api_version="2025-04-01-preview"),
        "disk": {"type": "disk", "path": str(tmp_path / "files")},
    }
    gw = start(config({"providers": providers, "redis": {"url": redis.url},
                       "routing": {"default": "up"}, **QUICK}))  # fmt: skip
    gw.up, gw.azure, gw.redis = up, azure, redis
    yield gw
    for fake in (up, azure):
        fake.stop()
        assert fake.violations == []


@pytest.fixture
def key(world):
    return world.new_key()


@pytest.fixture
def sdk(world, key):
    with sdk_for(world, key) as client:
        yield client


def put(sdk, **more):
    return sdk.files.create(file=("in.jsonl", LINES), purpose="batch", **more)


def create(sdk, file_id, **more):
    return sdk.batches.create(
        input_file_id=file_id, endpoint=CHAT, completion_window="24h", **more
    )


def only(fake):
    (batch,) = fake.batches.values()
    return batch


@pytest.mark.parametrize("name", ["up", "azure"])
def test_a_batch_runs_to_its_end_and_its_files_come_down(world, key, name):
    fake = getattr(world, name)
    with sdk_for(world, key, f"/{name}/v1") as sdk:
        file = put(sdk)
        made = create(sdk, file.id, metadata={"k": file.id})
        assert made.id.startswith(f"batch_{name}-") and len(made.id) == len(name) + 33
        assert (made.object, made.status, made.endpoint) == ("batch", "validating", CHAT)
        assert made.input_file_id == file.id
        assert made.metadata == {"k": file.id}  # the user's own text
        assert made.output_file_id is None and made.error_file_id is None
        batch = only(fake)
        assert batch.request["input_file_id"] in fake.files
        batch.run()
        assert sdk.batches.retrieve(made.id).status == "in_progress"
        batch.finish(failed=1)
        done = sdk.batches.retrieve(made.id)
        assert done.status == "completed"
        assert done.request_counts.to_dict() == {"total": 3, "completed": 2, "failed": 1}
        for file_id, there in ((done.output_file_id, batch.output),
                               (done.error_file_id, batch.error)):  # fmt: skip
            assert file_id.startswith(f"file-{name}-")
            assert sdk.files.content(file_id).read() == there.read()
            kept = sdk.files.retrieve(file_id)
            assert (kept.bytes, kept.purpose) == (there.size, "batch_output")
            assert kept.filename == there.filename
        listed = {f.id for f in sdk.files.list()}
        assert listed == {file.id, done.output_file_id, done.error_file_id}


def test_one_that_is_over_is_not_asked_for_again(world, sdk):
    made = create(sdk, put(sdk).id)
    only(world.up).finish()
    done = sdk.batches.retrieve(made.id)
    world.up.seen.clear()
    assert sdk.batches.retrieve(made.id) == done
    assert sdk.batches.list().data == [done]
    assert world.up.seen == []


def test_what_is_told_passes_to_the_provider(world, sdk):
    after = {"anchor": "created_at", "seconds": 7200}
    create(sdk, put(sdk).id, output_expires_after=after, metadata={"a": "b"})
    request = dict(only(world.up).request)
    assert request.pop("input_file_id") in world.up.files
    assert request == {"endpoint": CHAT, "completion_window": "24h",
                       "output_expires_after": after, "metadata": {"a": "b"}}  # fmt: skip


def test_the_providers_ids_are_nowhere(world, sdk):
    raw = sdk.batches.with_raw_response
    made = create(sdk, put(sdk).id)
    batch = only(world.up)
    texts = [raw.retrieve(made.id).text, raw.list().text]
    batch.finish(failed=1)
    texts += [raw.list().text, raw.retrieve(made.id).text]
    for secret in [batch.id, *world.up.files]:
        assert not any(secret in text for text in texts)


def test_a_failed_batch_tells_why_without_the_providers_ids(world, sdk):
    made = create(sdk, put(sdk).id)
    batch = only(world.up)
    batch.fail(f"line 1 of {batch.request['input_file_id']} is bad")
    done = sdk.batches.retrieve(made.id)
    assert done.status == "failed"
    assert done.errors.data[0].message == "line 1 of [id] is bad"
    assert done.errors.data[0].line == 1


def test_a_batch_is_cancelled(world, sdk):
    made = create(sdk, put(sdk).id)
    assert sdk.batches.cancel(made.id).status == "cancelling"
    world.up.auto_run = True
    assert sdk.batches.retrieve(made.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError) as e:
        sdk.batches.cancel(made.id)
    assert "Cannot cancel" in e.value.message


def test_files_are_registered_by_a_list_too(world, sdk, key):
    made = create(sdk, put(sdk).id)
    only(world.up).finish()
    (seen,) = sdk.batches.list().data
    assert seen.id == made.id
    assert sdk.files.content(seen.output_file_id).read()
    assert sdk.batches.retrieve(made.id) == seen


def test_a_list_is_paged_exactly_over_all_providers(world, key):
    made = []
    for n in range(7):
        with sdk_for(world, key, "/azure/v1" if n % 2 else "/up/v1") as sdk:
            made.append(create(sdk, put(sdk).id).id)
    with sdk_for(world, key) as sdk:
        assert [b.id for b in sdk.batches.list(limit=3)] == made[::-1]
        page = sdk.batches.list(limit=3)
        assert len(page.data) == 3 and page.has_more
        last = sdk.batches.list(limit=3, after=made[1])
        assert [b.id for b in last.data] == [made[0]] and not last.has_more
        whole = sdk.batches.list(limit=7)
        assert len(whole.data) == 7 and not whole.has_more
    with sdk_for(world, key, "/azure/v1") as sdk:
        assert [b.id for b in sdk.batches.list(limit=2)] == made[1::2][::-1]


def test_a_list_asks_for_a_bounded_number(world, sdk):
    file = put(sdk)
    for _ in range(25):
        create(sdk, file.id)
    world.up.seen.clear()
    assert len(sdk.batches.list(limit=100).data) == 25
    assert len(world.up.seen) == 20


def test_a_list_is_shown_when_the_provider_is_away(world, sdk):
    made = create(sdk, put(sdk).id)
    world.up.fault(on_head(reset), method="GET", times=100)
    assert [b.id for b in sdk.batches.list()] == [made.id]
    assert sdk.batches.retrieve(made.id).status == "validating"


def test_many_who_look_at_once_make_one_file(world, sdk, key):
    made = create(sdk, put(sdk).id)
    only(world.up).finish(failed=1)
    found = []

    def look():
        reply = world.call(key, "GET", f"/v1/batches/{made.id}").json()
        found.append((reply["output_file_id"], reply["error_file_id"]))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert len(sdk.files.list().data) == 3
    sizes = sum(f.bytes for f in sdk.files.list())
    counted = use(world.redis, scope(key))
    assert (counted["files"], counted["bytes"]) == (3, sizes)


def test_files_count_beyond_the_limit(world):
    key = world.new_key(max_files=1)
    with sdk_for(world, key) as sdk:
        made = create(sdk, put(sdk).id)
        only(world.up).finish(failed=1)
        done = sdk.batches.retrieve(made.id)
        assert sdk.files.content(done.error_file_id).read()
        assert use(world.redis, scope(key))["files"] == 3
        with pytest.raises(openai.RateLimitError):
            put(sdk)


def test_a_deleted_file_does_not_come_back(world, sdk, key):
    made = create(sdk, put(sdk).id)
    only(world.up).finish()
    done = sdk.batches.retrieve(made.id)
    sdk.files.delete(done.output_file_id)
    assert sdk.batches.retrieve(made.id).output_file_id == done.output_file_id
    assert len(sdk.files.list().data) == 1
    assert use(world.redis, scope(key))["files"] == 1


def test_a_file_that_cannot_be_had_now_is_had_later(world, sdk):
    made = create(sdk, put(sdk).id)
    only(world.up).finish()
    world.up.fault(on_head(answer(500, {})), method="GET", path="/files/")
    before = sdk.batches.retrieve(made.id)
    assert (before.status, before.output_file_id) == ("validating", None)
    done = sdk.batches.retrieve(made.id)
    assert done.status == "completed"
    assert sdk.files.content(done.output_file_id).read()


def test_another_owner_finds_nothing(world, sdk):
    made = create(sdk, put(sdk).id)
    with sdk_for(world, world.new_key()) as other:
        assert other.batches.list().data == []
        for act in (other.batches.retrieve, other.batches.cancel):
            with pytest.raises(openai.NotFoundError):
                act(made.id)
        with pytest.raises(openai.NotFoundError) as e:
            create(other, made.input_file_id)
        assert e.value.param == "input_file_id"
    assert only(world.up).status == "validating"


def test_what_is_no_id_of_ours_is_asked_of_nobody(world, sdk, key):
    create(sdk, put(sdk).id)
    batch = only(world.up)
    world.up.seen.clear()
    for name in (batch.id, "x", "batch_up-", "a" * 3000):
        refused(world.call(key, "GET", f"/v1/batches/{name}"), 404)
    with pytest.raises(openai.NotFoundError):
        create(sdk, batch.request["input_file_id"])
    assert world.up.seen == []


def test_a_provider_without_batches_is_named(world, key):
    with sdk_for(world, key, "/disk/v1") as sdk:
        with pytest.raises(openai.BadRequestError) as e:
            create(sdk, put(sdk).id)
    assert e.value.code == "unsupported_operation"
    assert "'disk'" in e.value.message


@pytest.mark.parametrize("change, status", [
    ({"endpoint": None}, 400),
    ({"completion_window": None}, 400),
    ({"input_file_id": None}, 400),
    ({"input_file_id": 7}, 400),
    ({"input_blob": "https://x"}, 400),
    ({"endpoint": "/v1/nonsense"}, 400),
])  # fmt: skip
def test_a_bad_request_is_refused(world, sdk, key, change, status):
    body = {"input_file_id": put(sdk).id, "endpoint": CHAT, "completion_window": "24h"}
    refused(world.call(key, "POST", "/v1/batches", json={**body, **change}), status)
    assert world.up.batches == {}


def test_a_key_needs_the_operation(world):
    operations = ["create", "read", "list", "delete", "content"]
    key = world.new_key(operations=operations)
    with sdk_for(world, key) as sdk:
        file = put(sdk)
        for act in (lambda: create(sdk, file.id), sdk.batches.list):
            with pytest.raises(openai.PermissionDeniedError) as e:
                act()
            assert e.value.code == "operation_not_allowed"


def test_a_key_needs_the_provider(world, sdk, key):
    file, made = put(sdk), create(sdk, put(sdk).id)
    world.admin("POST", "/key/update", json={"key": key, "providers": ["azure"]})
    for act in (lambda: create(sdk, file.id), lambda: sdk.batches.cancel(made.id)):
        with pytest.raises(openai.PermissionDeniedError) as e:
            act()
        assert e.value.code == "provider_not_allowed"


def test_a_batch_is_recorded_when_its_client_hangs_up(world, sdk, key):
    body = {"input_file_id": put(sdk).id, "endpoint": CHAT, "completion_window": "24h"}
    gate = threading.Event()
    world.up.fault(on_stored(lambda x: gate.wait(10)), path="/batches")
    with pytest.raises(httpx.TimeoutException):
        world.call(key, "POST", "/v1/batches", json=body, timeout=0.5)
    gate.set()
    until(lambda: len(sdk.batches.list().data) == 1, "the batch is there")


def test_a_crash_is_noticed_by_the_sweeper(world, sdk):
    file = put(sdk)
    gate = threading.Event()
    world.up.fault(on_stored(lambda x: gate.wait(10)), path="/batches")
    client = threading.Thread(target=lambda: pytest.raises(Exception, create, sdk, file.id))
    client.start()
    until(lambda: world.up.batches, "it is made")
    world.kill()
    gate.set()
    client.join()
    world.start()
    until(lambda: "nobody knows" in world.stderr(), "it is told")
    until(lambda: world.redis.command("HLEN", "fm:{gw}:entries").strip() == b":0",
          "no entry is left")  # fmt: skip


def test_a_batch_is_recorded_when_redis_was_away(world, sdk):
    file = put(sdk)
    made = []
    world.up.fault(on_stored(lambda x: world.redis.pause()), path="/batches")
    client = threading.Thread(target=lambda: made.append(create(sdk, file.id)))
    client.start()
    until(lambda: world.up.batches, "it is made")
    client.join(1.5)
    assert not made
    world.redis.go_on()
    client.join()
    assert [b.id for b in sdk.batches.list()] == [made[0].id]


def test_a_team_shares_its_batches_and_their_files(world):
    team = world.admin("POST", "/team/new", json={"team_alias": "t"}).json()["team_id"]
    one, two = world.new_key(team_id=team), world.new_key(team_id=team)
    with sdk_for(world, one) as a, sdk_for(world, two) as b:
        made = create(a, put(a).id)
        only(world.up).finish()
        done = b.batches.retrieve(made.id)
        assert b.files.content(done.output_file_id).read()
        assert a.batches.retrieve(made.id) == done
    # Charged to who created it, not to who looked first.
    assert use(world.redis, scope(one))["files"] == 2
    assert use(world.redis, scope(two))["files"] == 0
    assert use(world.redis, f"t:{team}")["files"] == 2


def test_a_stop_waits_for_the_batch(world, sdk):
    file = put(sdk)
    gate, made = threading.Event(), []
    world.up.fault(on_stored(lambda x: gate.wait(10)), path="/batches")
    client = threading.Thread(target=lambda: made.append(create(sdk, file.id)))
    client.start()
    until(lambda: world.up.batches, "it is made")
    world.signal(15)
    gate.set()
    client.join()
    world.stop()
    assert made[0].id.encode() in world.redis.command("KEYS", "fm:{o:*}:b:*")
    assert world.redis.command("HLEN", "fm:{gw}:entries").strip() == b":0"


def test_a_deleted_input_is_not_found(world, sdk, key):
    file = put(sdk)
    sdk.files.delete(file.id)
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    error = refused(world.call(key, "POST", "/v1/batches", json=body), 404)
    assert error["code"] == "file_not_found"


# --- what is asked for is bounded, and what is told ---

FULL = {"ü" * 60 + f"{n:04}": "\U0001f600" * 512 for n in range(16)}


def wished(world, key, file_id, **more):
    body = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
    return world.call(key, "POST", "/v1/batches", json={**body, **more})


def test_metadata_is_kept_to_the_last_character(world, sdk):
    made = create(sdk, put(sdk).id, metadata=FULL)
    assert only(world.up).request["metadata"] == FULL == made.metadata
    assert sdk.batches.list().data[0].metadata == FULL


@pytest.mark.parametrize("more, param", [
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
    ({"metadata": {"k": "x" * 513}}, "metadata"),
    ({"metadata": {"k": '"' * 300_000}}, "metadata"),
    ({"metadata": {"k" * 65: "x"}}, "metadata"),
    ({"metadata": {"k": 1}}, "metadata"),
    ({"metadata": {"k": {}}}, "metadata"),
    ({"metadata": []}, "metadata"),
    ({"endpoint": "/" + "x" * 256}, "endpoint"),
    ({"model": "m" * 5000}, "model"),
], ids=lambda p: str(p)[:40])  # fmt: skip
def test_what_is_beyond_the_bounds_is_refused(world, sdk, key, more, param):
    assert refused(wished(world, key, put(sdk).id, **more), 400)["param"] == param
    assert world.up.batches == {}


def test_a_provider_that_says_too_much_is_cut(world, sdk, key):
    made = create(sdk, put(sdk).id)
    said = {
        "id": only(world.up).id, "object": "batch", "status": "in_progress",
        "endpoint": CHAT, "input_file_id": "file-x", "completion_window": "24h",
        "metadata": {"n": [{}] * 20000, "long": "x" * 1000, "k" * 65: "v", "kept": "v"},
        "usage": {"input_tokens": 7, "more": {"cached": 1, "x": [{}] * 20000}},
    }  # fmt: skip
    world.up.fault(on_head(answer(200, said)), method="GET", path="/batches/", times=2)
    seen = world.call(key, "GET", f"/v1/batches/{made.id}").json()
    assert seen["metadata"] == {"long": "x" * 512, "kept": "v"}
    assert seen["usage"] == {"input_tokens": 7, "more": {"cached": 1}}
    assert world.call(key, "GET", "/v1/batches").json()["data"] == [seen]


def test_a_record_that_cannot_be_read_does_not_hide_the_others(world, sdk, key):
    made = [create(sdk, put(sdk).id).id for _ in range(3)]
    keys = world.redis.command("KEYS", f"*:{made[1]}").decode().split("\r\n")[2::2]
    for name in keys:
        if world.redis.command("TYPE", name) == b"+string\r\n":
            world.redis.command("SET", name, "{")
    assert [b.id for b in sdk.batches.list()] == [made[2], made[0]]
    assert "a batch record in redis is broken" in world.stderr()


def test_a_batch_is_made_of_a_file_for_batches(world, sdk, key):
    for purpose in ("vision", "fine-tune", "user_data"):
        file = sdk.files.create(file=("in.jsonl", LINES), purpose=purpose)
        world.up.files.clear()  # it is not asked
        error = refused(wished(world, key, file.id), 400, "invalid_value")
        assert error["param"] == "input_file_id" and f"'{purpose}'" in error["message"]
    assert world.up.batches == {}
