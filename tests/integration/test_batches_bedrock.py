"""Batches at Bedrock: the official SDK against a strict fake of its jobs."""

import json

import any_batches
import openai
import pytest
from any_batches import key, only, sdk  # noqa: F401
from conftest import sdk_for
from fakes.bedrock import ROLE
from fakes.openai import answer, on_head, on_stored, reset
from fakes.s3 import KEY_ID, SECRET, S3
from gw import config

MODEL = "anthropic.claude-sonnet-4-5-20250929-v1:0"
QUICK = {"journal": {"lease": "2s", "sweep_interval": "500ms"}}


def provider(fake, **more):
    return {"type": "bedrock", "base_url": fake.url, "batch_url": fake.url,
            "bucket": fake.bucket, "region": fake.region, "credentials": "keys",
            "access_key_id": KEY_ID, "secret_access_key": SECRET, "role_arn": ROLE,
            **more}  # fmt: skip


@pytest.fixture
def world(start, redis, tmp_path):
    fake = S3()
    providers = {
        "up": provider(fake),
        "plain": provider(fake, batch_model=MODEL),
        "files": provider(fake, role_arn=None),
        "role": provider(fake, role_arn="arn:aws:iam::123456789012:role/other"),
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


def line(n):
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": []}
    return json.dumps({"recordId": f"CALL000000{n}", "modelInput": body}) + "\n"


class TestEvery(any_batches.Every):
    model, jobs, cancelled = MODEL, "/model-invocation-job", "stopped"
    lines = (line(1) + line(2)).encode()

    @staticmethod
    def id_of(job):
        return job.arn

    @staticmethod
    def uri_of(job):
        return job.request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"]

    @staticmethod
    def model_of(job):
        return job.request["modelId"]


every = TestEvery()


def test_a_job_is_named_after_the_batch(world, sdk):
    made = every.create(sdk)
    request, ulid = only(world.fake).request, made.id[-26:]
    assert request["clientRequestToken"] == ulid
    assert request["jobName"] == f"filemux-{ulid}"
    there = {"s3OutputDataConfig": {
        "s3Uri": f"s3://{world.fake.bucket}/filemux-batches/{ulid}/"}}  # fmt: skip
    assert request["outputDataConfig"] == there


def test_an_answer_that_breaks_off_is_asked_for_again(world, sdk):
    file = every.put(sdk)
    world.fake.fault(on_stored(reset), path=every.jobs)
    made = every.create(sdk, file.id)
    assert only(world.fake).request["clientRequestToken"] == made.id[-26:]
    posts = [s for s in world.fake.seen if s.path == every.jobs]
    assert len(posts) == 2
    assert [b.id for b in sdk.batches.list()] == [made.id]


@pytest.mark.parametrize("window, hours", [("24h", 24), ("72h", 72), ("7d", 168)])
def test_the_window_is_the_jobs_timeout(world, sdk, window, hours):
    made = every.create(sdk, extra={"completion_window": window})
    assert only(world.fake).request["timeoutDurationInHours"] == hours
    assert made.completion_window == window
    assert made.expires_at - made.created_at == hours * 3600


@pytest.mark.parametrize("window", ["1h", "169h", "8d", "24", "h", "", "-24h", "9" * 30 + "d"])
def test_another_window_is_refused(world, sdk, window):
    extra = {"completion_window": window}
    every.refused(sdk, openai.BadRequestError, "completion_window", extra=extra)
    assert world.fake.jobs == {}


@pytest.mark.parametrize("state, status", [
    ("Submitted", "validating"), ("Validating", "validating"),
    ("Scheduled", "validating"), ("InProgress", "in_progress"),
    ("Stopping", "cancelling"), ("Stopped", "cancelled"), ("Expired", "expired"),
    ("Failed", "failed"),
])  # fmt: skip
def test_every_state_has_its_word(world, sdk, state, status):
    made = every.create(sdk)
    only(world.fake).set(state)
    done = sdk.batches.retrieve(made.id)
    assert (done.status, done.output_file_id) == (status, None)


def test_a_state_that_nobody_knows_changes_nothing(world, sdk):
    made = every.create(sdk)
    only(world.fake).set("Dreaming")
    assert sdk.batches.retrieve(made.id).status == "validating"


def test_one_that_was_stopped_keeps_what_is_there(world, sdk):
    made = every.create(sdk)
    job = only(world.fake)
    job.finish()
    job.set("Stopped")
    done = sdk.batches.retrieve(made.id)
    assert done.status == "cancelled" and done.request_counts.total == 2
    assert sdk.files.content(done.output_file_id).read() == job.output.read()


def test_a_manifest_that_is_gone_leaves_the_output(world, sdk):
    made = every.create(sdk)
    job = only(world.fake)
    job.finish()
    (name,) = [k for k in world.fake.files if k.endswith("manifest.json.out")]
    del world.fake.files[name]
    done = sdk.batches.retrieve(made.id)
    assert sdk.files.content(done.output_file_id).read() == job.output.read()
    assert done.request_counts.total == 0


@pytest.mark.parametrize("name, sent, status, code", [
    ("AccessDeniedException", 403, 502, "upstream_auth"),
    ("UnrecognizedClientException", 403, 502, "upstream_auth"),
    ("ExpiredTokenException", 403, 502, "upstream_auth"),
    ("ThrottlingException", 429, 429, "upstream_rate_limited"),
    ("ThrottlingException", 400, 429, "upstream_rate_limited"),
    ("ServiceQuotaExceededException", 400, 429, "upstream_quota"),
    ("ResourceNotFoundException", 404, 404, "file_not_found"),
    ("ValidationException", 400, 400, "upstream_rejected"),
    ("ConflictException", 400, 400, "conflict"),
    ("InternalServerException", 500, 502, "upstream_error"),
])  # fmt: skip
def test_amazons_errors_have_their_places(world, sdk, name, sent, status, code):
    file = every.put(sdk)
    headers = {"x-amzn-ErrorType": f"{name}:http://internal.amazon.com/"}
    act = answer(sent, {"message": "said so"}, headers, then_close=True)
    world.fake.fault(on_head(act), path=every.jobs)
    e = every.refused(sdk, openai.APIStatusError, file_id=file.id)
    assert (e.status_code, e.code) == (status, code)
    assert ("said so" in e.message) == (status < 500)


def test_a_role_that_may_not_be_passed_is_the_gateways_fault(world, key):
    with sdk_for(world, key, "/role/v1") as sdk:
        e = every.refused(sdk, openai.InternalServerError)
    assert (e.status_code, e.code) == (502, "upstream_auth")
    assert "arn:" not in e.message


def test_without_a_role_there_are_no_batches(world, key):
    with sdk_for(world, key, "/files/v1") as sdk:
        e = every.refused(sdk, openai.BadRequestError)
    assert e.code == "unsupported_operation" and "'files'" in e.message
