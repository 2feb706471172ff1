"""Batches at providers whose words for them are not OpenAI's: the official SDK
against fakes that run them to their end."""

import time

import openai
import pytest
import test_mistral
import test_together
from conftest import sdk_for
from fakes.mistral import Mistral
from fakes.openai import OpenAI, answer, on_head, reset
from fakes.together import Together
from fakes.vendors import Vendor
from gw import config, openai_provider, refused
from quota import scope, use
from test_batches import CHAT, create, line, only, put

VENDORS = ["nebius", "kluster", "groq"]
NAMES = ["mistral", "together", *VENDORS]
MORE = {"mistral": {"extra_body": {"model": "small"}}}
HOUR = 3600


def vendor_entry(fake):
    entry = {"type": "openai", "vendor": fake.name, "base_url": fake.url}
    return {**entry, "api_key": fake.api_key}


@pytest.fixture
def world(start, redis):
    fakes = {"mistral": Mistral(), "together": Together()}
    fakes |= {name: Vendor(name) for name in VENDORS}
    fakes["up"] = OpenAI()
    providers = {name: vendor_entry(fakes[name]) for name in VENDORS}
    providers["mistral"] = test_mistral.provider(fakes["mistral"])
    providers["together"] = test_together.provider(fakes["together"])
    providers["up"] = openai_provider(fakes["up"])
    models = {
        "quick": {"provider": "mistral", "model": "mistral-small-latest"},
        "there": {"provider": "up", "model": "gpt-4o"},
    }
    gw = start(config({"providers": providers, "models": models,
                       "batch_check": {"enabled": True}, "redis": {"url": redis.url}}))  # fmt: skip
    gw.fakes, gw.redis = fakes, redis
    yield gw
    for fake in fakes.values():
        fake.stop()
        assert fake.violations == []


@pytest.fixture
def key(world):
    return world.new_key()


def sdk_at(world, key, name):
    return sdk_for(world, key, f"/{name}/v1")


def finish(fake, **kw):
    only(fake).finish(**kw)
    for f in fake.files.values():
        f.processed = True


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_runs_to_its_end_and_its_files_come_down(world, key, name):
    fake = world.fakes[name]
    with sdk_at(world, key, name) as sdk:
        file = put(sdk)
        made = create(sdk, file.id, metadata={"k": "v"}, **MORE.get(name, {}))
        assert made.id.startswith(f"batch_{name}-")
        assert (made.status, made.endpoint) == ("validating", CHAT)
        assert (made.input_file_id, made.metadata) == (file.id, {"k": "v"})
        assert made.completion_window == "24h" and made.output_file_id is None
        only(fake).run()
        seen = sdk.batches.retrieve(made.id)
        assert (seen.status, seen.completed_at) == ("in_progress", None)
        finish(fake, failed=1)
        done = sdk.batches.retrieve(made.id)
        assert (done.status, done.metadata) == ("completed", {"k": "v"})
        assert abs(done.completed_at - time.time()) < 60
        assert abs(done.created_at - time.time()) < 60
        batch = only(fake)
        for file_id, there in ((done.output_file_id, batch.output),
                               (done.error_file_id, batch.error)):  # fmt: skip
            assert sdk.files.content(file_id).read() == there.read()
            assert sdk.files.retrieve(file_id).purpose == "batch_output"
        if name != "together":
            counts = {"total": 3, "completed": 2, "failed": 1}
            assert done.request_counts.to_dict() == counts
    texts = [world.call(key, "GET", f"/v1/batches/{made.id}").text,
             world.call(key, "GET", "/v1/batches").text]  # fmt: skip
    for secret in [batch.id, *fake.files]:
        assert not any(secret in text for text in texts)


@pytest.mark.parametrize("name", NAMES)
def test_files_seen_first_in_a_list_come_down(world, key, name):
    with sdk_at(world, key, name) as sdk:
        made = create(sdk, put(sdk).id, **MORE.get(name, {}))
        finish(world.fakes[name])
        (seen,) = sdk.batches.list().data
        assert (seen.id, seen.status) == (made.id, "completed")
        assert sdk.files.content(seen.output_file_id).read()
    assert use(world.redis, scope(key))["files"] == 2


@pytest.mark.parametrize("name", ["mistral", "together"])
def test_a_batch_is_cancelled(world, key, name):
    fake = world.fakes[name]
    with sdk_at(world, key, name) as sdk:
        made = create(sdk, put(sdk).id, **MORE.get(name, {}))
        assert sdk.batches.cancel(made.id).status == "cancelling"
        fake.auto_run = True
        done = sdk.batches.retrieve(made.id)
        assert done.status == "cancelled" and done.cancelled_at
        with pytest.raises(openai.APIStatusError) as e:
            sdk.batches.cancel(made.id)
        assert "Cannot cancel" in e.value.message and e.value.status_code == 400


@pytest.mark.parametrize("name", ["mistral", "together"])
def test_a_failed_batch_tells_why_without_the_providers_ids(world, key, name):
    with sdk_at(world, key, name) as sdk:
        made = create(sdk, put(sdk).id, **MORE.get(name, {}))
        batch = only(world.fakes[name])
        batch.fail(f"line 1 of {batch.request['input_file_id']} is bad")
        done = sdk.batches.retrieve(made.id)
    assert done.status == "failed" and done.failed_at
    assert done.errors.data[0].message == "line 1 of [id] is bad"


@pytest.mark.parametrize("name", NAMES)
def test_a_provider_that_is_away_is_told(world, key, name):
    fake = world.fakes[name]
    with sdk_at(world, key, name) as sdk:
        file = put(sdk)
        fake.fault(on_head(reset), method="POST", times=9)
        with pytest.raises(openai.APIStatusError) as e:
            create(sdk, file.id, **MORE.get(name, {}))
        assert e.value.status_code == 502 and e.value.type == "upstream_error"
        assert fake.batches == {} and sdk.batches.list().data == []


def test_mistral_is_told_hours_the_model_and_metadata(world, key):
    fake = world.fakes["mistral"]
    with sdk_at(world, key, "mistral") as sdk:
        file = put(sdk)
        after = {"anchor": "created_at", "seconds": 7200}
        sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="7d",
                           metadata={"a": "b"}, output_expires_after=after,
                           extra_body={"model": "quick"})  # fmt: skip
    request = dict(only(fake).request)
    assert request.pop("input_file_id") in fake.files
    assert request.pop("input_files") == [*fake.files]
    assert request == {"endpoint": CHAT, "model": "mistral-small-latest",
                       "timeout_hours": 168, "metadata": {"a": "b"}}  # fmt: skip


@pytest.mark.parametrize("text, model", [
    (line(1) + line(2), "m"),
    ('{"custom_id":"1","body":{"model":"quick"}}\n', "mistral-small-latest"),
    ('{"custom_id":"1","body":{}}\n{"custom_id":"2","body":{"model":"own"}}', "own"),
])  # fmt: skip
def test_mistrals_model_may_be_that_of_the_lines(world, key, text, model):
    with sdk_at(world, key, "mistral") as sdk:
        file = sdk.files.create(file=("in.jsonl", text.encode()), purpose="batch")
        create(sdk, file.id)
    assert only(world.fakes["mistral"]).request["model"] == model


def test_mistral_without_a_model_is_a_clear_400(world, key):
    with sdk_at(world, key, "mistral") as sdk:
        text = b'{"custom_id":"1","body":{}}\n'
        file = sdk.files.create(file=("in.jsonl", text), purpose="batch")
        with pytest.raises(openai.BadRequestError) as e:
            create(sdk, file.id)
    assert (e.value.param, e.value.code) == ("model", "missing_required_parameter")
    assert "'mistral'" in e.value.message
    assert world.fakes["mistral"].batches == {}


def test_a_model_must_be_at_the_files_provider_and_allowed(world):
    key = world.new_key(models=["quick", "there"])
    with sdk_at(world, key, "mistral") as sdk:
        file = put(sdk)
        for model, code in (("there", "invalid_value"), ("own", "model_not_allowed")):
            with pytest.raises(openai.APIStatusError) as e:
                create(sdk, file.id, extra_body={"model": model})
            assert e.value.code == code
    assert world.fakes["mistral"].batches == {}


def test_together_is_told_what_it_knows_alone(world, key):
    with sdk_at(world, key, "together") as sdk:
        create(sdk, put(sdk).id, metadata={"a": "b"}, extra_body={"model": "llama"},
               output_expires_after={"anchor": "created_at", "seconds": 3600})  # fmt: skip
    assert set(only(world.fakes["together"]).request) == {
        "input_file_id", "endpoint", "completion_window", "model_id"}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_outputs_expire_as_asked_where_the_provider_does_not_know_how(world, key, name):
    after = {"anchor": "created_at", "seconds": 5 * HOUR}
    with sdk_at(world, key, name) as sdk:
        made = create(sdk, put(sdk).id, output_expires_after=after, **MORE.get(name, {}))
        finish(world.fakes[name])
        done = sdk.batches.retrieve(made.id)
        output = sdk.files.retrieve(done.output_file_id)
    assert output.expires_at == output.created_at + 5 * HOUR


def test_a_window_of_days_passes_to_those_who_know_it(world, key):
    with sdk_at(world, key, "groq") as sdk:
        file = put(sdk)
        made = sdk.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="7d")
        assert made.completion_window == "7d"
    assert only(world.fakes["groq"]).request["completion_window"] == "7d"


@pytest.mark.parametrize("change, param", [
    ({"completion_window": "soon"}, "completion_window"),
    ({"completion_window": "0h"}, "completion_window"),
    ({"completion_window": "h"}, "completion_window"),
    ({"completion_window": "99999999999h"}, "completion_window"),
    ({"output_expires_after": 7}, "output_expires_after"),
    ({"output_expires_after": {"seconds": 7200}}, "output_expires_after"),
    ({"output_expires_after": {"anchor": "created_at"}}, "output_expires_after"),
    ({"output_expires_after": {"anchor": "created_at", "seconds": 9}}, "output_expires_after"),
    ({"output_expires_after": {"anchor": "x", "seconds": 7200}}, "output_expires_after"),
    ({"model": 7}, "model"),
])  # fmt: skip
def test_a_bad_request_is_refused_here(world, key, change, param):
    with sdk_at(world, key, "mistral") as sdk:
        file = put(sdk)
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h",
            "model": "small", **change}  # fmt: skip
    error = refused(world.call(key, "POST", "/v1/batches", json=body), 400)
    assert error["param"] == param
    assert world.fakes["mistral"].batches == {}


@pytest.mark.parametrize("name", ["mistral", "together"])
def test_settings_that_the_provider_lacks_are_refused(world, key, name):
    with sdk_at(world, key, name) as sdk:
        file = put(sdk)
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h",
            "model": "small", "override_settings": {"a": 1}}  # fmt: skip
    error = refused(world.call(key, "POST", "/v1/batches", json=body), 400)
    assert error["param"] == "override_settings" and f"'{name}'" in error["message"]
    assert world.fakes[name].batches == {}


@pytest.mark.parametrize("name, body", [
    ("mistral", {"detail": [{"loc": ["body", "model"], "msg": "no such model"}]}),
    ("together", {"error": "no such model"}),
])  # fmt: skip
def test_a_refusal_passes_with_its_words(world, key, name, body):
    with sdk_at(world, key, name) as sdk:
        file = put(sdk)
        world.fakes[name].fault(on_head(answer(422, body)), path="batch")
        with pytest.raises(openai.UnprocessableEntityError) as e:
            create(sdk, file.id, **MORE.get(name, {}))
    assert "no such model" in e.value.message
