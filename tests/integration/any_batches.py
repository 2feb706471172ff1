"""What holds of batches at every provider whose jobs are translated.

A test module names its provider `up`, has a fixture `world` (a gateway whose
`up` is the fake), and subclasses Every:

    class TestEvery(any_batches.Every):
        type, model = "vertex", "gemini-2.5-flash"
        lines = b"..."          # two of the provider's own
        jobs = "/v1/projects"   # what the paths of its jobs have in them
"""

import threading

import httpx
import openai
import pytest
from conftest import sdk_for
from fakes.openai import answer, on_head, on_stored, reset
from gw import refused, until
from quota import scope, use

CHAT = "/v1/chat/completions"
METADATA = {"team": "blue-1", "Note": "Ünï {\"x\"} code", "empty": ""}


def only(fake):
    (job,) = fake.jobs.values()
    return job


@pytest.fixture
def key(world):
    return world.new_key()


@pytest.fixture
def sdk(world, key):
    with sdk_for(world, key) as client:
        yield client


class Every:
    def put(self, sdk):
        return sdk.files.create(file=("in.jsonl", self.lines), purpose="batch")

    def create(self, sdk, file_id=None, model=True, **more):
        body = {"model": self.model if model is True else model} if model else {}
        return sdk.batches.create(
            input_file_id=file_id or self.put(sdk).id, endpoint=CHAT,
            completion_window="24h", extra_body={**body, **more.pop("extra", {})}, **more,
        )  # fmt: skip

    def refused(self, sdk, kind, param=None, **more):
        with pytest.raises(kind) as e:
            self.create(sdk, **more)
        assert param is None or e.value.param == param, e.value
        return e.value

    # --- the way of a batch ---

    def test_a_batch_runs_to_its_end_and_its_output_comes_down(self, world, sdk, key):
        file = self.put(sdk)
        made = self.create(sdk, file.id, metadata=METADATA)
        assert made.id.startswith("batch_up-")
        assert (made.object, made.status, made.endpoint) == ("batch", "validating", CHAT)
        assert (made.input_file_id, made.metadata) == (file.id, METADATA)
        assert made.completion_window == "24h" and made.created_at > 1.7e9
        assert made.output_file_id is None and made.model == self.model
        job = only(world.fake)
        job.run()
        seen = sdk.batches.retrieve(made.id)
        assert seen.status == "in_progress" and seen.in_progress_at
        job.finish()
        done = sdk.batches.retrieve(made.id)
        assert (done.status, done.metadata, done.endpoint) == ("completed", METADATA, CHAT)
        assert (done.input_file_id, done.model) == (file.id, self.model)
        assert done.request_counts.to_dict() == {"total": 2, "completed": 2, "failed": 0}
        assert done.completed_at and done.created_at == seen.created_at
        assert done.output_file_id.startswith("file-up-") and done.error_file_id is None
        assert sdk.files.content(done.output_file_id).read() == job.output.read()
        kept = sdk.files.retrieve(done.output_file_id)
        assert (kept.bytes, kept.purpose) == (job.output.size, "batch_output")
        assert use(world.redis, scope(key))["bytes"] == file.bytes + kept.bytes
        world.fake.seen.clear()
        assert sdk.batches.retrieve(made.id) == done
        assert sdk.batches.list().data == [done]
        assert world.fake.seen == []

    def test_an_output_ends_when_it_was_told_to(self, world, sdk):
        after = {"anchor": "created_at", "seconds": 7200}
        made = self.create(sdk, output_expires_after=after)
        only(world.fake).finish()
        kept = sdk.files.retrieve(sdk.batches.retrieve(made.id).output_file_id)
        assert kept.expires_at == kept.created_at + 7200

    def test_lines_that_failed_are_counted(self, world, sdk):
        made = self.create(sdk)
        only(world.fake).finish(failed=1)
        done = sdk.batches.retrieve(made.id)
        assert done.status == "completed"
        assert done.request_counts.to_dict() == {"total": 2, "completed": 1, "failed": 1}
        assert done.output_file_id and done.error_file_id is None

    def test_a_job_that_fails_tells_why_without_the_providers_names(self, world, sdk):
        made = self.create(sdk)
        job = only(world.fake)
        job.fail(f"{self.id_of(job)} cannot read {self.uri_of(job)}: no line")
        done = sdk.batches.retrieve(made.id)
        assert done.status == "failed" and done.failed_at
        (error,) = done.errors.data
        assert "no line" in error.message and world.fake.bucket not in error.message
        assert job.id not in error.message

    def test_the_providers_names_are_nowhere(self, world, sdk):
        raw = sdk.batches.with_raw_response
        made = self.create(sdk)
        job = only(world.fake)
        texts = [raw.retrieve(made.id).text]
        job.finish()
        texts += [raw.list().text, raw.retrieve(made.id).text]
        texts.append(sdk.files.with_raw_response.list().text)
        for secret in (job.id, world.fake.bucket, "filemux-batches"):
            assert not any(secret in text for text in texts)

    def test_a_batch_is_cancelled(self, world, sdk):
        made = self.create(sdk, metadata=METADATA)
        job = only(world.fake)
        job.run()
        seen = sdk.batches.cancel(made.id)
        assert (seen.status, seen.metadata) == ("cancelling", METADATA)
        assert seen.cancelling_at
        getattr(job, self.cancelled)()
        done = sdk.batches.retrieve(made.id)
        assert done.status == "cancelled" and done.cancelled_at
        assert done.cancelling_at == seen.cancelling_at
        assert done.output_file_id is None
        with pytest.raises(openai.BadRequestError) as e:
            sdk.batches.cancel(made.id)
        assert job.id not in e.value.message

    def test_one_that_was_cancelled_is_so_though_it_cannot_be_looked_at(self, world, sdk):
        made = self.create(sdk)
        world.fake.fault(on_head(answer(500, {})), method="GET", path=self.jobs)
        assert sdk.batches.cancel(made.id).status == "cancelling"
        assert sdk.batches.retrieve(made.id).status == "cancelling"

    def test_outputs_are_registered_by_a_list_too(self, world, sdk):
        made = [self.create(sdk).id for _ in range(3)]
        for job in world.fake.jobs.values():
            job.finish()
        listed = sdk.batches.list(limit=2)
        assert [b.id for b in listed.data] == made[:0:-1] and listed.has_more
        assert [b.id for b in listed] == made[::-1]
        for b in sdk.batches.list():
            assert sdk.files.content(b.output_file_id).read()
        assert len({b.output_file_id for b in sdk.batches.list()}) == 3

    def test_an_output_that_cannot_be_had_now_is_had_later(self, world, sdk):
        made = self.create(sdk)
        only(world.fake).finish()
        objects = answer(500, {})
        world.fake.fault(on_head(objects), path=world.fake.bucket, times=2)
        assert sdk.batches.retrieve(made.id).status == "validating"
        world.fake.faults.clear()
        done = sdk.batches.retrieve(made.id)
        assert sdk.files.content(done.output_file_id).read()

    def test_a_batch_is_shown_as_it_was_when_the_provider_is_away(self, world, sdk):
        made = self.create(sdk)
        world.fake.fault(on_head(reset), method="GET", times=100)
        assert sdk.batches.retrieve(made.id).status == "validating"
        assert [b.id for b in sdk.batches.list()] == [made.id]

    # --- owners ---

    def test_another_owner_finds_nothing(self, world, sdk):
        made = self.create(sdk)
        with sdk_for(world, world.new_key()) as other:
            assert other.batches.list().data == []
            for act in (other.batches.retrieve, other.batches.cancel):
                with pytest.raises(openai.NotFoundError):
                    act(made.id)
            self.refused(other, openai.NotFoundError, "input_file_id",
                         file_id=made.input_file_id)  # fmt: skip
            only(world.fake).finish()
            output = sdk.batches.retrieve(made.id).output_file_id
            with pytest.raises(openai.NotFoundError):
                other.files.content(output)

    def test_the_providers_own_names_are_no_ids(self, world, sdk, key):
        self.create(sdk)
        job = only(world.fake)
        world.fake.seen.clear()
        for name in (job.id, self.id_of(job).replace("/", "%2F")):
            refused(world.call(key, "GET", f"/v1/batches/{name}"), 404)
        self.refused(sdk, openai.NotFoundError, file_id=self.uri_of(job))
        assert not any(self.jobs in s.path for s in world.fake.seen)

    # --- the model ---

    def test_a_batch_needs_a_model(self, world, sdk):
        e = self.refused(sdk, openai.BadRequestError, "model", model=None)
        assert e.code == "missing_required_parameter" and "'up'" in e.message
        assert world.fake.jobs == {}

    @pytest.mark.parametrize("model", ["a b", "x\n", "ü", "m" * 3000])
    def test_a_model_that_cannot_be_one_is_refused(self, world, sdk, model):
        self.refused(sdk, openai.BadRequestError, "model", model=model)
        assert world.fake.jobs == {}

    def test_an_alias_is_the_providers_model(self, world, sdk):
        assert self.create(sdk, model="mine").model == "mine"
        assert self.model_of(only(world.fake)).endswith(self.model)

    def test_an_alias_of_elsewhere_is_refused(self, world, sdk):
        e = self.refused(sdk, openai.BadRequestError, "model", model="there")
        assert "'disk'" in e.message

    def test_a_key_runs_only_its_models(self, world):
        with sdk_for(world, world.new_key(models=["mine"])) as sdk:
            self.refused(sdk, openai.PermissionDeniedError, model=self.model)
            self.refused(sdk, openai.BadRequestError, "model", model=None)
            self.create(sdk, model="mine")
        assert len(world.fake.jobs) == 1

    def test_a_configured_model_serves_where_none_is_named(self, world, sdk, key):
        with sdk_for(world, key, "/plain/v1") as sdk:
            self.create(sdk, model=None)
        assert self.model_of(only(world.fake)).endswith(self.model)

    # --- refusals ---

    @pytest.mark.parametrize("extra, param", [
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {"a": "x" * 513}}, "metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"metadata": "x"}, "metadata"),
        ({"override_settings": {"x": 1}}, "override_settings"),
        ({"endpoint": "/" + "x" * 300}, "endpoint"),
    ], ids=str)  # fmt: skip
    def test_what_cannot_be_is_refused_before_anything_is_sent(self, world, sdk, extra, param):
        file = self.put(sdk)
        world.fake.seen.clear()
        self.refused(sdk, openai.BadRequestError, param, file_id=file.id, extra=extra)
        assert world.fake.seen == []

    def test_a_model_that_the_provider_lacks_is_not_found(self, world, sdk):
        self.refused(sdk, openai.NotFoundError, model="nobodys-model")

    def test_an_object_that_is_gone_is_told_without_its_place(self, world, sdk):
        file = self.put(sdk)
        world.fake.files.clear()
        e = self.refused(sdk, openai.BadRequestError, file_id=file.id)
        assert world.fake.bucket not in e.message and "exist" in e.message

    @pytest.mark.parametrize("status, code", [
        (500, "upstream_error"), (503, "upstream_unavailable"), (200, "upstream_bad_response"),
    ])  # fmt: skip
    def test_a_provider_that_fails_is_told(self, world, sdk, key, status, code):
        file = self.put(sdk)
        world.fake.fault(on_head(answer(status, {"x": 1}, then_close=True)), path=self.jobs)
        body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h",
                "model": self.model}  # fmt: skip
        reply = world.call(key, "POST", "/v1/batches", json=body)
        assert reply.json()["error"]["code"] == code
        assert sdk.batches.list().data == []
        until(lambda: world.redis.command("HLEN", "fm:{gw}:entries").strip() == b":0",
              "no entry is left")  # fmt: skip

    # --- faults ---

    def test_a_batch_is_recorded_when_its_client_hangs_up(self, world, sdk, key):
        body = {"input_file_id": self.put(sdk).id, "endpoint": CHAT,
                "completion_window": "24h", "model": self.model}  # fmt: skip
        gate = threading.Event()
        world.fake.fault(on_stored(lambda x: gate.wait(10)), path=self.jobs)
        with pytest.raises(httpx.TimeoutException):
            world.call(key, "POST", "/v1/batches", json=body, timeout=0.5)
        gate.set()
        until(lambda: len(sdk.batches.list().data) == 1, "the batch is there")

    def test_a_crash_is_noticed_by_the_sweeper(self, world, sdk):
        file = self.put(sdk)
        gate = threading.Event()
        world.fake.fault(on_stored(lambda x: gate.wait(10)), path=self.jobs)
        client = threading.Thread(
            target=lambda: pytest.raises(Exception, self.create, sdk, file.id)
        )
        client.start()
        until(lambda: world.fake.jobs, "it is made")
        world.kill()
        gate.set()
        client.join()
        world.start()
        until(lambda: "nobody knows" in world.stderr(), "it is told")
        until(lambda: world.redis.command("HLEN", "fm:{gw}:entries").strip() == b":0",
              "no entry is left")  # fmt: skip
