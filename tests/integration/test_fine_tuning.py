"""Fine-tuning jobs: their ids are ours, their files are their owner's."""

import contextlib
import json
import os
import signal
import threading

import httpx
import openai
import pytest
from conftest import sdk_for
from fakes.openai import OpenAI, answer, call, on_head, on_stored, reset, stall
from gw import MB, RELEASE, config, openai_provider, refused, until

QUICK = {"journal": {"lease": "2s", "sweep_interval": "500ms"}}
LINES = b'{"messages": []}\n'


@pytest.fixture
def world(start, redis):
    """A gateway with two providers and a disk."""
    up, other = OpenAI(), OpenAI(api_key="sk-other")
    providers = {
        "up": openai_provider(up),
        "other": openai_provider(other),
        "disk": {"type": "disk", "path": "./data/files"},
    }
    models = {"tune": {"provider": "other", "model": "gpt-4o"}}
    gw = start(config({"providers": providers, "redis": {"url": redis.url},
                       "models": models, "routing": {"default": "up"},
                       **QUICK}))  # fmt: skip
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


def put(sdk, **more):
    return sdk.files.create(file=("in.jsonl", LINES), purpose="fine-tune", **more).id


def create(sdk, file_id=None, **more):
    fields = {"model": "gpt-4o", "training_file": file_id or put(sdk), **more}
    return sdk.fine_tuning.jobs.create(**fields)


def only(fake):
    (job,) = fake.kept["ftjob"].values()
    return job


@pytest.mark.parametrize("name", ["up", "other"])
def test_a_job_runs_to_its_end_and_its_results_come_down(world, key, name):
    fake = getattr(world, name)
    with sdk_for(world, key, f"/{name}/v1") as sdk:
        train, check = put(sdk), put(sdk)
        meta = {"k": train}  # the user's own text
        made = create(sdk, train, validation_file=check, metadata=meta, suffix="x")
        assert made.id.startswith(f"ftjob-{name}-") and len(made.id) == len(name) + 33
        assert (made.training_file, made.validation_file) == (train, check)
        assert (made.status, made.metadata) == ("validating_files", meta)
        job = only(fake)
        assert job.request["training_file"] in fake.files
        assert job.request["validation_file"] in fake.files
        assert job.request["suffix"] == "x"
        job.finish()
        done = sdk.fine_tuning.jobs.retrieve(made.id)
        assert done.status == "succeeded"
        [result] = done.result_files
        assert result.startswith(f"file-{name}-")
        assert sdk.files.content(result).read() == fake.files[job.results[0]].read()
        kept = sdk.files.retrieve(result)
        assert kept.purpose == "fine-tune-results" and kept.bytes > 0
        assert result in {f.id for f in sdk.files.list()}


def test_results_count_against_the_quota(world):
    key = world.new_key(max_files=1)
    with sdk_for(world, key) as sdk:
        made = create(sdk)
        only(world.up).finish()
        [result] = sdk.fine_tuning.jobs.retrieve(made.id).result_files
        assert sdk.files.retrieve(result).id == result
    used = world.call(key, "GET", "/v1/usage").json()
    assert "2" in json.dumps(used)
    refused(world.upload(key), 429)


def test_events_and_checkpoints_have_our_ids(world, sdk):
    made = create(sdk)
    job = only(world.up)
    job.finish()
    (raw,) = [f for f in world.up.files if f not in job.results]
    job.tell(f"Validating training file: {raw}")
    events = list(sdk.fine_tuning.jobs.list_events(made.id, limit=5))
    assert [e.message for e in events] == [
        "Validating training file: [id]", f"Created fine-tuning job: {made.id}"]  # fmt: skip
    marks = list(sdk.fine_tuning.jobs.checkpoints.list(made.id, limit=1))
    assert [m.step_number for m in marks] == [20, 10]  # paged at the provider
    assert {m.fine_tuning_job_id for m in marks} == {made.id}


@pytest.mark.parametrize("how", ["cancel", "pause", "resume"])
def test_a_job_is_moved(world, sdk, how):
    made = create(sdk)
    only(world.up).set("paused" if how == "resume" else "running")
    moved = getattr(sdk.fine_tuning.jobs, how)(made.id)
    assert moved.id == made.id
    assert moved.training_file == made.training_file
    status = {"cancel": "cancelled", "pause": "paused", "resume": "running"}[how]
    assert moved.status == only(world.up).status == status


def test_the_providers_ids_are_nowhere(world, sdk):
    raw = sdk.fine_tuning.jobs.with_raw_response
    reply = raw.create(model="gpt-4o", training_file=put(sdk))
    made = json.loads(reply.text)["id"]
    job = only(world.up)
    job.finish()
    texts = [reply.text, raw.retrieve(made).text, raw.list().text,
             sdk.fine_tuning.jobs.checkpoints.with_raw_response.list(made).text]  # fmt: skip
    job.status = "failed"
    with pytest.raises(openai.BadRequestError) as e:
        sdk.fine_tuning.jobs.cancel(made)
    texts.append(str(e.value))
    for secret in [job.id, *world.up.files]:
        assert not any(secret in text for text in texts)


def test_the_model_names_the_provider(world, key):
    refused(world.call(key, "POST", "/v1/fine_tuning/jobs",
                       json={"model": "tune", "training_file": "file-x"}), 404)  # fmt: skip
    with sdk_for(world, key, "/other/v1") as sdk:
        file_id = put(sdk)
    with sdk_for(world, key) as sdk:
        made = create(sdk, file_id, model="tune")
        assert made.id.startswith("ftjob-other-")
        assert only(world.other).request["model"] == "gpt-4o"


def test_a_list_is_paged_exactly_over_all_providers(world, key):
    made = []
    for i in range(5):
        name = "up" if i % 2 else "other"
        with sdk_for(world, key, f"/{name}/v1") as sdk:
            made.append(create(sdk).id)
    made.reverse()
    with sdk_for(world, key) as sdk:
        jobs = sdk.fine_tuning.jobs
        assert [j.id for j in jobs.list()] == made
        assert [j.id for j in jobs.list(limit=2)] == made  # pages joined
        page = jobs.list(limit=2, after=made[0])
        assert [j.id for j in page.data] == made[1:3] and page.has_more
        page = jobs.list(limit=2, after=made[2])
        assert [j.id for j in page.data] == made[3:] and not page.has_more
        for job in (*world.up.kept["ftjob"].values(), *world.other.kept["ftjob"].values()):
            job.run = job.set("running")
        assert {j.status for j in jobs.list()} == {"running"}
    with sdk_for(world, key, "/up/v1") as sdk:
        assert [j.id for j in sdk.fine_tuning.jobs.list(limit=1)] == [made[1], made[3]]


def test_a_list_finds_by_metadata(world, sdk):
    made = [create(sdk, metadata={"k": str(i % 2)}).id for i in range(4)][::-1]
    listed = sdk.fine_tuning.jobs.list(limit=1, metadata={"k": "1"})
    assert [j.id for j in listed.data] == [made[0]] and listed.has_more
    assert [j.id for j in sdk.fine_tuning.jobs.list(metadata={"k": "1"})] == made[::2]


@pytest.mark.skipif(not os.path.exists(RELEASE), reason="no release build")
def test_a_list_that_finds_nothing_takes_little_memory(start, fake, redis):
    """It reads everything there is, and keeps nothing of it."""
    gw = start(config({"redis": {"url": redis.url}}, up=fake), binary=RELEASE)
    key = gw.new_key(team_id="red")
    state = json.dumps({"object": "fine_tuning.job", "status": "running",
                        "metadata": {"k": "v"}, "filler": "x" * 60000})  # fmt: skip
    for i in range(800):
        ulid = f"01{i:024d}"
        job = f"ftjob-up-{ulid}"
        record = {"id": job, "kind": "fine_tuning/jobs", "provider": "up",
                  "upstream_id": f"ftjob-{i}", "ulid": ulid, "state": state}  # fmt: skip
        redis.command("SET", f"fm:{{o:t:red}}:x:{job}", json.dumps(record))
        redis.command("ZADD", "fm:{o:t:red}:kidx:fine_tuning/jobs", "0", f"{ulid} {job}")
    path = "/v1/fine_tuning/jobs?metadata[k]="
    assert gw.call(gw.new_key(), "GET", path + "w").json()["data"] == []
    gw.reset_peak()
    before = gw.memory()
    assert gw.call(key, "GET", path + "w").json()["data"] == []
    assert gw.memory("VmHWM") - before < 24 * MB


def test_what_is_gone_at_its_provider_is_left_out(world, sdk, key):
    made = [create(sdk).id for _ in range(4)][::-1]
    theirs = list(world.up.kept["ftjob"])[::-1]
    del world.up.kept["ftjob"][theirs[1]]
    del world.up.kept["ftjob"][theirs[3]]
    page = sdk.fine_tuning.jobs.list(limit=2)
    assert [j.id for j in page.data] == [made[0], made[2]] and not page.has_more
    refused(world.call(key, "GET", f"/v1/fine_tuning/jobs/{made[1]}"), 404)


def test_a_list_shows_a_name_that_is_empty_as_it_is(world, sdk, key):
    made = create(sdk)
    only(world.up).request["validation_file"] = ""
    [listed] = world.call(key, "GET", "/v1/fine_tuning/jobs").json()["data"]
    assert (listed["id"], listed["validation_file"]) == (made.id, "")
    shown = world.call(key, "GET", f"/v1/fine_tuning/jobs/{made.id}").json()
    assert shown["validation_file"] == ""
    assert not any(s.path.rstrip("/") == "/v1/files" for s in world.up.seen if s.method == "GET")


def test_why_a_job_failed_has_no_ids_of_the_providers(world, sdk, key):
    """Of a list and of one job alike, and once it is known to have failed."""
    made = create(sdk)
    job, (theirs,) = only(world.up), world.up.files
    said = f"{job.id}: file '{theirs}' is bad, ask org-0123456789abcdef"
    job.status, job.error = "failed", {"code": "x", "message": said, "param": None}
    want = f"{made.id}: file '[id]' is bad, ask [id]"
    for _ in range(2):
        [listed] = world.call(key, "GET", "/v1/fine_tuning/jobs").json()["data"]
        assert (listed["status"], listed["error"]["message"]) == ("failed", want)
    shown = world.call(key, "GET", f"/v1/fine_tuning/jobs/{made.id}").json()
    assert shown == listed


def test_a_list_is_shown_while_the_provider_is_away(world, sdk):
    made = [create(sdk) for _ in range(2)][::-1]
    world.up.fault(on_head(answer(500, "no")), method="GET", times=9)
    assert sdk.fine_tuning.jobs.list().data == made


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "after=ftjob-x",
                                   "after=", "order=up", "provider=none"])  # fmt: skip
def test_a_bad_query_is_refused(world, key, query):
    reply = world.call(key, "GET", f"/v1/fine_tuning/jobs?{query}")
    if query == "after=":
        assert reply.status_code == 200
    else:
        error = refused(reply, 400)
        assert error["param"] == query.split("=")[0]


CALLS = [("GET", ""), ("POST", "/cancel"), ("POST", "/pause"), ("POST", "/resume"),
         ("GET", "/events"), ("GET", "/checkpoints")]  # fmt: skip


@pytest.mark.parametrize("method, tail", CALLS)
def test_another_owner_finds_nothing(world, sdk, method, tail):
    made = create(sdk).id
    theirs = only(world.up).id
    world.up.seen.clear()
    stranger = world.new_key()
    for name in (made, theirs, made[:-4] + "zzzz", "ftjob-x", "%2e%2e%2fjobs"):
        refused(world.call(stranger, method, f"/v1/fine_tuning/jobs/{name}{tail}"), 404)
    assert world.up.seen == []
    with sdk_for(world, stranger) as other:
        assert other.fine_tuning.jobs.list().data == []
        with pytest.raises(openai.NotFoundError) as e:
            create(other, only(world.up).request["training_file"])
        assert e.value.param == "training_file"
        with pytest.raises(openai.NotFoundError):
            create(other, sdk.files.list().data[0].id)
        with pytest.raises(openai.NotFoundError):
            create(other, validation_file=sdk.files.list().data[0].id)
        with pytest.raises(openai.BadRequestError):
            other.fine_tuning.jobs.list(after=made)


def test_the_path_of_another_provider_does_not_lead_to_it(world, sdk, key):
    made = create(sdk).id
    refused(world.call(key, "GET", f"/other/v1/fine_tuning/jobs/{made}"), 404)


def test_files_of_two_providers_are_refused(world, sdk, key):
    with sdk_for(world, key, "/other/v1") as there:
        elsewhere = put(there)
    with pytest.raises(openai.BadRequestError) as e:
        create(sdk, validation_file=elsewhere)
    assert "up" in str(e.value) and "other" in str(e.value)


def test_a_provider_without_jobs_is_named(world, key):
    made = world.upload(key, path="/disk/v1/files").json()["id"]
    body = {"model": "gpt-4o", "training_file": made}
    error = refused(world.call(key, "POST", "/v1/fine_tuning/jobs", json=body), 400)
    assert "disk" in error["message"]


def test_a_key_needs_the_operation(world, sdk):
    made = create(sdk).id
    key = world.new_key(operations=["create", "read"])
    for method, path in (("GET", ""), ("GET", f"/{made}"), ("POST", "")):
        refused(world.call(key, method, f"/v1/fine_tuning/jobs{path}"), 403)


def test_a_job_is_recorded_when_its_client_hangs_up(world, sdk, key):
    file_id = put(sdk)
    with httpx.Client(base_url=world.url) as client:
        def hang_up(x):
            client.close()

        world.up.fault(on_stored(call(hang_up)), path="fine_tuning")
        head = {"Authorization": f"Bearer {key}"}
        body = {"model": "gpt-4o", "training_file": file_id}
        with pytest.raises(Exception):
            client.post("/v1/fine_tuning/jobs", json=body, headers=head)
    until(lambda: sdk.fine_tuning.jobs.list().data, "it is listed")


def test_a_job_is_recorded_when_redis_was_away(world, sdk):
    world.up.fault(on_stored(call(lambda x: world.redis.kill())), path="fine_tuning")

    def back(*_):
        world.redis.start()

    file_id = put(sdk)
    timer = threading.Timer(1.5, back)
    timer.start()
    made = create(sdk, file_id)
    timer.join()
    assert [j.id for j in sdk.fine_tuning.jobs.list()] == [made.id]


def test_a_crash_is_noticed_by_the_sweeper(world, sdk):
    file_id = put(sdk)
    world.up.fault(on_stored(call(lambda x: world.kill())), path="fine_tuning")
    with pytest.raises(openai.APIConnectionError):
        create(sdk, file_id)
    world.start()

    def told():
        return [e for e in world.log() if "nobody knows" in json.dumps(e)]

    until(told, "the sweeper tells")
    assert sdk.fine_tuning.jobs.list().data == []


def test_a_stop_waits_for_the_job(world, sdk):
    file_id = put(sdk)
    world.up.fault(on_stored(call(lambda x: world.signal(signal.SIGTERM))),
                   path="fine_tuning")  # fmt: skip
    made = create(sdk, file_id)
    world.process.wait(20)
    world.start()
    assert [j.id for j in sdk.fine_tuning.jobs.list()] == [made.id]


@pytest.mark.parametrize("method, path", [("POST", ""), ("GET", ""), ("GET", "/{id}")])
def test_a_stop_does_not_wait_for_ever(start, fake, method, path):
    gw = start(config({"limits": {"drain_timeout": "1s"}}, up=fake))
    key = gw.new_key()
    with sdk_for(gw, key) as sdk:
        file_id = put(sdk)
        made = create(sdk, file_id).id
    fake.fault(on_head(stall), path="fine_tuning")
    fake.seen.clear()
    body = {"model": "gpt-4o", "training_file": file_id}
    where = "/v1/fine_tuning/jobs" + path.replace("{id}", made)

    def ask():
        with contextlib.suppress(httpx.TransportError):
            gw.call(key, method, where, json=body)

    asked = threading.Thread(target=ask, daemon=True)
    asked.start()
    until(lambda: fake.seen and fake.seen[0].stalled.is_set(), "it is asked")
    gw.signal(signal.SIGTERM)
    asked.join(20)
    gw.stop()


@pytest.mark.parametrize("fault, status", [(reset, 502), (answer(500, "x"), 502),
                                           (answer(429, "x"), 429)])  # fmt: skip
def test_a_provider_that_fails_is_told(world, sdk, key, fault, status):
    file_id = put(sdk)
    world.up.fault(on_head(fault), path="fine_tuning", times=9)
    body = {"model": "gpt-4o", "training_file": file_id}
    refused(world.call(key, "POST", "/v1/fine_tuning/jobs", json=body), status)
    assert sdk.fine_tuning.jobs.list().data == []


def test_the_jobs_of_a_team_are_all_its_keys(world):
    one, two = world.new_key(team_id="red"), world.new_key(team_id="red")
    with sdk_for(world, one) as sdk:
        made = create(sdk).id
        only(world.up).finish()
    with sdk_for(world, two) as sdk:
        [result] = sdk.fine_tuning.jobs.retrieve(made).result_files
    with sdk_for(world, one) as sdk:
        assert sdk.fine_tuning.jobs.retrieve(made).result_files == [result]
        assert sdk.files.retrieve(result)
