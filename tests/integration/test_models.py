"""GET /v1/models: what a key may use, of all providers, each once."""

import json

import openai
import pytest
from conftest import sdk_for
from fakes.openai import OpenAI, answer, on_head, reset
from gw import config, refused

MODELS = {
    "smart": {"provider": "up", "model": "gpt-4o"},
    "there": {"provider": "other"},
    "nowhere": {"provider": "disk"},
}


@pytest.fixture
def world(start):
    up, other = OpenAI(), OpenAI(api_key="sk-other")
    other.models = ["gpt-4o", "meta-llama/Llama-3", "there"]
    conf = {"models": MODELS, "workers": 1,
            "providers": {"disk": {"type": "disk", "path": "./d"}}}  # fmt: skip
    gw = start(config(conf, up=up, other=other))
    gw.up, gw.other = up, other
    yield gw
    for fake in (up, other):
        fake.stop()
        assert fake.violations == []


def names(gw, key, path="/v1/models"):
    return [m["id"] for m in gw.call(key, "GET", path).json()["data"]]


def test_all_that_there_are_each_once(world):
    with sdk_for(world, world.new_key()) as sdk:
        listed = list(sdk.models.list())
    there = {m.id: m.to_dict()["filemux"]["provider"] for m in listed}
    assert len(there) == len(listed)
    assert there == {
        "smart": "up", "there": "other", "gpt-4o": "up", "gpt-4o-mini": "up",
        "text-embedding-3-small": "up", "meta-llama/Llama-3": "other",
    }  # fmt: skip
    assert {m.object for m in listed} == {"model"}


def test_what_the_key_may(world):
    key = world.new_key(models=["gpt-4o", "smart"])
    assert names(world, key) == ["smart", "gpt-4o"]
    key = world.new_key(providers=["other"])
    assert names(world, key) == ["there", "gpt-4o", "meta-llama/Llama-3"]
    assert names(world, world.new_key(), "/other/v1/models") == names(world, key)
    key = world.new_key(operations=["read"])
    refused(world.call(key, "GET", "/v1/models"), 403, "operation_not_allowed")


def test_one_of_them(world):
    with sdk_for(world, world.new_key()) as sdk:
        assert sdk.models.retrieve("meta-llama/Llama-3").id == "meta-llama/Llama-3"
        with pytest.raises(openai.NotFoundError) as e:
            sdk.models.retrieve("gpt-9")
    assert e.value.code == "model_not_found"


def test_they_are_kept_for_a_while(world):
    key = world.new_key()
    names(world, key)
    names(world, key)
    assert len(world.up.seen) == len(world.other.seen) == 1


@pytest.mark.parametrize(
    "act", [reset, answer(500, {}), answer(200, "no JSON"), answer(200, {"data": 1}),
            answer(200, json.dumps({"data": ["x" * (1 << 20)]}))],
)  # fmt: skip
def test_one_that_fails_is_left_out(world, act):
    key = world.new_key()
    world.other.fault(on_head(act), path="models")
    assert "meta-llama/Llama-3" not in names(world, key)
    assert "meta-llama/Llama-3" in names(world, key)  # it is asked again
    assert len(world.up.seen) == 1
    assert any("the models of 'other'" in e.get("msg", str(e)) for e in world.log())
