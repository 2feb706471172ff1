"""Batches at Vertex AI: the official SDK against a strict fake of its jobs."""

import json

import any_batches
import openai
import pytest
from any_batches import METADATA, key, only, sdk  # noqa: F401
from conftest import sdk_for
from fakes.gcs import GCS
from fakes.openai import answer, on_head
from fakes.vertex import LOCATION, PROJECT
from gw import config

TOKEN = "ya29.static"
MODEL = "gemini-2.5-flash"
QUICK = {"journal": {"lease": "2s", "sweep_interval": "500ms"}}


def provider(fake, **more):
    return {"type": "vertex", "base_url": fake.url, "batch_url": fake.url,
            "bucket": fake.bucket, "token": TOKEN, "project": PROJECT,
            "location": LOCATION, **more}  # fmt: skip


@pytest.fixture
def world(start, redis, tmp_path):
    fake = GCS(token=TOKEN)
    account = {"token": None, "credentials": json.dumps(fake.service_account())}
    providers = {
        "up": provider(fake),
        "plain": provider(fake, batch_model=MODEL),
        "files": provider(fake, project=None),
        "account": provider(fake, **account),
        "disk": {"type": "disk", "path": str(tmp_path / "files")},
    }
    models = {"mine": {"provider": "up", "model": MODEL},
              "there": {"provider": "disk"}}  # fmt: skip
    gw = start(config({"providers": providers, "redis": {"url": redis.url},
                       "models": models, "routing": {"default": "up"}, **QUICK}))  # fmt: skip
    gw.fake, gw.redis = fake, redis
    yield gw
    fake.stop()
    assert fake.violations == []


def line(text):
    request = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    return json.dumps({"request": request}) + "\n"


class TestEvery(any_batches.Every):
    model, jobs, cancelled = MODEL, "batchPredictionJobs", "cancelled"
    lines = (line("one") + line("two")).encode()

    @staticmethod
    def id_of(job):
        return job.name

    @staticmethod
    def uri_of(job):
        return job.request["inputConfig"]["gcsSource"]["uris"][0]

    @staticmethod
    def model_of(job):
        return job.request["model"]


every = TestEvery()


@pytest.mark.parametrize("model, full", [
    (MODEL, f"publishers/google/models/{MODEL}"),
    (f"publishers/google/models/{MODEL}", f"publishers/google/models/{MODEL}"),
    ("publishers/anthropic/models/claude-sonnet-4-5",
     "publishers/anthropic/models/claude-sonnet-4-5"),
])  # fmt: skip
def test_a_model_is_named_as_vertex_does(world, sdk, model, full):
    every.create(sdk, model=model)
    assert only(world.fake).request["model"] == full


def test_metadata_are_labels_where_they_may_be(world, sdk):
    every.create(sdk, metadata=METADATA)
    assert only(world.fake).request["labels"] == {"team": "blue-1", "empty": ""}


def test_the_output_goes_where_the_batch_is_named(world, sdk):
    made = every.create(sdk)
    request = only(world.fake).request
    ulid = made.id[-26:]
    there = f"gs://{world.fake.bucket}/filemux-batches/{ulid}/"
    assert request["outputConfig"]["gcsDestination"]["outputUriPrefix"] == there
    assert request["displayName"] == f"filemux-{ulid}"


def test_embeddings_have_another_output(world, sdk):
    made = every.create(sdk, model="gemini-embedding-001")
    job = only(world.fake)
    job.output_name = "000000000000.jsonl"
    job.finish()
    done = sdk.batches.retrieve(made.id)
    assert sdk.files.content(done.output_file_id).read() == job.output.read()


@pytest.mark.parametrize("model, name", [
    (MODEL, "predictions.jsonl"), ("gemini-embedding-001", "000000000000.jsonl"),
])  # fmt: skip
def test_who_may_not_list_finds_the_output_all_the_same(world, sdk, model, name):
    made = every.create(sdk, model=model)
    job = only(world.fake)
    job.output_name = name
    job.finish()
    world.fake.fault(on_head(answer(403, {})), path=f"/b/{world.fake.bucket}/o")
    done = sdk.batches.retrieve(made.id)
    assert sdk.files.content(done.output_file_id).read() == job.output.read()


@pytest.mark.parametrize("state, status", [
    ("QUEUED", "validating"), ("PENDING", "validating"), ("RUNNING", "in_progress"),
    ("PAUSED", "in_progress"), ("UPDATING", "in_progress"),
    ("CANCELLING", "cancelling"), ("EXPIRED", "expired"), ("CANCELLED", "cancelled"),
    ("SUCCEEDED", "completed"),
])  # fmt: skip
def test_every_state_has_its_word(world, sdk, state, status):
    made = every.create(sdk)
    only(world.fake).state = state
    assert sdk.batches.retrieve(made.id).status == status


def test_a_state_that_nobody_knows_changes_nothing(world, sdk):
    made = every.create(sdk)
    only(world.fake).state = "DREAMING"
    assert sdk.batches.retrieve(made.id).status == "validating"


@pytest.mark.parametrize("status, kind, code", [
    (403, openai.InternalServerError, "upstream_auth"),
    (429, openai.RateLimitError, "upstream_rate_limited"),
    (404, openai.NotFoundError, "file_not_found"),
])  # fmt: skip
def test_googles_errors_have_their_places(world, sdk, status, kind, code):
    file = every.put(sdk)
    error = {"error": {"code": status, "message": "said so",
                       "status": "RESOURCE_EXHAUSTED"}}  # fmt: skip
    world.fake.fault(on_head(answer(status, error, then_close=True)), path="/v1/projects")
    e = every.refused(sdk, kind, file_id=file.id)
    assert (e.status_code, e.code) == (502 if status == 403 else status, code)


def test_without_a_project_there_are_no_batches(world, key):
    with sdk_for(world, key, "/files/v1") as sdk:
        e = every.refused(sdk, openai.BadRequestError)
    assert e.code == "unsupported_operation" and "'files'" in e.message


def test_a_token_that_was_revoked_is_renewed(world, key):
    with sdk_for(world, key, "/account/v1") as sdk:
        file = every.put(sdk)
        world.fake.revoke()
        made = every.create(sdk, file.id)
        assert len(world.fake.jobs) == 1
        world.fake.revoke()
        assert sdk.batches.retrieve(made.id).status == "validating"
        world.fake.revoke()
        assert sdk.batches.cancel(made.id).status == "cancelling"
