"""Calls of the API that are passed on, with ids rewritten where they stand."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
import test_azure
from conftest import sdk_for
from fakes.azure import Azure
from fakes.inference import Gate
from fakes.openai import OpenAI, after_sent, answer, call, on_head, on_stored, reset
from gw import MB, config, refused, until

MODELS = {
    "smart": {"provider": "up", "model": "gpt-4o"},
    "there": {"provider": "other", "model": "gpt-4o"},
}


@pytest.fixture
def world(start):
    """A gateway with two providers of OpenAI's kind and a disk."""
    up, other = OpenAI(), OpenAI(api_key="sk-other")
    conf = {"models": MODELS, "providers": {"disk": {"type": "disk", "path": "./d"}}}
    gw = start(config(conf, up=up, other=other))
    gw.up, gw.other = up, other
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


def user(text, **more):
    return [{"role": "user", "content": text, **more}]


def put(sdk, **more):
    return sdk.files.create(file=("a.txt", b"hello"), purpose="user_data", **more)


def with_file(file_id, text="what is in it?"):
    content = [{"type": "text", "text": text},
               {"type": "file", "file": {"file_id": file_id}}]  # fmt: skip
    return [{"role": "user", "content": content}]


def input_of(file_id, text="look"):
    content = [{"type": "input_text", "text": text},
               {"type": "input_file", "file_id": file_id}]  # fmt: skip
    return [{"role": "user", "content": content}]


# --- what is passed on as it is ---


def test_a_chat_completion_comes_back(world, sdk):
    made = sdk.chat.completions.create(model="gpt-4o", messages=user("hi"))
    assert made.choices[0].message.content == world.up.says
    assert world.up.calls == [{"model": "gpt-4o", "messages": user("hi")}]


def test_the_body_arrives_byte_for_byte(world, key):
    body = b'{ "model":"gpt-4o" ,"messages" : [ {"content":"\\u0041 file-abc",\n"role":"user"}]}'
    got = world.call(key, "POST", "/v1/chat/completions", content=body,
                     headers={"Content-Type": "application/json"})  # fmt: skip
    assert got.status_code == 200, got.text
    assert world.up.seen[-1].text == body


def test_a_chat_completion_streams(world, sdk):
    chunks = list(
        sdk.chat.completions.create(model="gpt-4o", messages=user("hi"), stream=True)
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text == world.up.says


def test_completions_embeddings_moderations_images(sdk, world):
    assert sdk.completions.create(model="gpt-4o", prompt="x").choices[0].text
    found = sdk.embeddings.create(model="text-embedding-3-small", input="x",
                                  encoding_format="float")  # fmt: skip
    assert found.data[0].embedding == [0.5, 0.25]
    assert sdk.moderations.create(model="gpt-4o", input="x").results == []
    made = sdk.images.generate(model="gpt-4o", prompt="x")
    assert made.data[0].b64_json == "aGk="


def test_speech_is_bytes(sdk, world):
    sound = sdk.audio.speech.create(model="gpt-4o", input="x", voice="alloy")
    assert sound.response.headers["content-type"] == "audio/mpeg"
    assert sound.read() == b"ID3\x00sound" * 1000


@pytest.mark.parametrize("base", ["/v1", "", "/up/v1"])
def test_every_form_of_the_path(world, key, base):
    body = {"model": "gpt-4o", "messages": user("hi")}
    got = world.call(key, "POST", f"{base}/chat/completions", json=body)
    assert got.status_code == 200, got.text
    line = world.access(got.headers["x-request-id"])
    assert (line["route"], line["provider"]) == ("chat.completions", "up")
    assert line["model"] == "gpt-4o" and line["ttfb_us"] > 0


def test_a_stream_is_not_held_back(world, key):
    world.up.gate = gate = Gate()
    body = {"model": "gpt-4o", "messages": user("hi"), "stream": True}
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.stream("POST", world.url + "/v1/chat/completions", json=body,
                      headers=headers, timeout=20) as got:  # fmt: skip
        events = got.iter_lines()
        for _ in world.up.says.split(" "):
            assert next(events).startswith("data: {")
            next(events)
            gate.go()
        gate.go(100)
        assert list(events)[-2] == "data: [DONE]"


def test_an_events_stream_is_not_held_back(world, sdk):
    world.up.gate = gate = Gate()
    stream = sdk.responses.create(model="gpt-4o", input="hi", stream=True)
    for number, event in enumerate(stream):
        assert event.sequence_number == number
        gate.go()
    assert event.type == "response.completed"


# --- the provider ---


def test_an_alias_picks_the_provider_and_gets_its_name(world, sdk):
    sdk.chat.completions.create(model="there", messages=user("smart"))
    assert world.up.calls == []
    assert world.other.calls == [{"model": "gpt-4o", "messages": user("smart")}]


def test_a_header_picks_the_provider(world, key):
    body = {"model": "gpt-4o", "messages": user("hi")}
    headers = {"x-filemux-provider": "other"}
    got = world.call(key, "POST", "/v1/chat/completions", json=body, headers=headers)
    assert got.status_code == 200
    assert world.up.calls == [] and len(world.other.calls) == 1


def test_a_file_picks_the_provider(world, key, sdk):
    with sdk_for(world, key, "/other/v1") as there:
        file = put(there)
    sdk.chat.completions.create(model="gpt-4o", messages=with_file(file.id))
    (theirs,) = world.other.files
    assert world.other.calls[0]["messages"] == with_file(theirs)


def test_an_alias_of_another_provider_is_refused(world, key):
    body = {"model": "there", "messages": user("hi")}
    error = refused(world.call(key, "POST", "/up/v1/chat/completions", json=body), 400)
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    assert "'other'" in error["message"] and world.up.seen == []


def images_by(model):
    return {"input": "hi", "tools": [{"type": "image_generation", "model": model}]}


def test_a_model_within_is_the_keys_and_the_providers(world, key):
    """It is named as the provider does, and leads nowhere."""
    body = {"model": "gpt-4o", **images_by("smart")}
    assert world.call(key, "POST", "/v1/responses", json=body).status_code == 200
    assert world.up.calls[-1]["tools"] == images_by("gpt-4o")["tools"]
    assert world.up.calls[-1]["model"] == "gpt-4o"
    body = {"model": "gpt-4o", **images_by("there")}
    told = refused(world.call(key, "POST", "/v1/responses", json=body), 400)
    assert (told["code"], told["param"]) == ("model_not_found", "tools[0].model")
    bound = world.new_key(models=["gpt-4o", "smart"])
    for model, status in (("gpt-image-1", 403), ("smart", 200)):
        body = {"model": "gpt-4o", **images_by(model)}
        got = world.call(bound, "POST", "/v1/responses", json=body)
        assert got.status_code == status
        if status == 403:
            told = refused(got, 403, "model_not_allowed")
            assert told["param"] == "tools[0].model"
    assert len(world.up.calls) == 2 and world.other.calls == []


def test_a_disk_takes_no_calls(world, key):
    body = {"model": "m", "messages": user("hi")}
    got = world.call(key, "POST", "/disk/v1/chat/completions", json=body)
    assert "disk" in refused(got, 400, "unsupported_operation")["message"]


def test_files_of_two_providers_do_not_mix(world, key, sdk):
    mine = put(sdk).id
    with sdk_for(world, key, "/other/v1") as there:
        other = put(there).id
    body = {"model": "gpt-4o", "messages": with_file(mine) + with_file(other)}
    error = refused(world.call(key, "POST", "/v1/chat/completions", json=body), 400)
    assert error["param"] == "messages[1].content[1].file.file_id"
    for word in ("'up'", "'other'", "messages[0].content[1].file.file_id"):
        assert word in error["message"]
    assert world.up.calls == world.other.calls == []


@pytest.mark.parametrize(
    "goes_to, more",
    [
        ("up", {}),
        ("other", {"headers": {"x-filemux-provider": "other"}}),
        ("other", {"path": "/other/v1/responses"}),
        ("other", {"path": "/v1/responses?provider=other"}),
        ("other", {"model": "there"}),
        ("up", {"model": "smart"}),
        ("other", {"beside": True}),
    ],
)
def test_a_file_at_several_is_meant_where_the_call_goes(world, key, goes_to, more):
    both = {"x-filemux-provider": "disk, up, other"}
    fields = {"purpose": "user_data"}
    made = world.upload(key, b"hello", "a.txt", fields=fields, headers=both).json()["id"]
    with sdk_for(world, key, "/other/v1") as there:
        alone = put(there).id
    asked = input_of(made) + (input_of(alone) if more.get("beside") else [])
    body = {"model": more.get("model", "gpt-4o"), "input": asked}
    got = world.call(key, "POST", more.get("path", "/v1/responses"), json=body,
                     headers=more.get("headers", {}))  # fmt: skip
    assert got.status_code == 200, got.text
    fakes = {"up": world.up, "other": world.other}
    (called,) = [name for name, fake in fakes.items() if fake.calls]
    theirs = list(fakes[goes_to].files)
    assert called == goes_to
    assert fakes[called].calls[0]["input"][0] == input_of(theirs[0])[0]
    assert all(name not in got.text for name in theirs)


def test_files_that_are_nowhere_together_do_not_mix(world, key, sdk):
    both = {"x-filemux-provider": "disk, up"}
    fields = {"purpose": "user_data"}
    made = world.upload(key, b"hello", "a.txt", fields=fields, headers=both).json()["id"]
    with sdk_for(world, key, "/other/v1") as there:
        alone = put(there).id
    body = {"model": "gpt-4o", "input": input_of(made) + input_of(alone)}
    error = refused(world.call(key, "POST", "/v1/responses", json=body), 400)
    assert error["param"] == "input[1].content[1].file_id"
    assert "'up'" in error["message"] and "'other'" in error["message"]
    assert world.up.calls == world.other.calls == []


def test_what_a_key_may(world, sdk):
    body = {"model": "gpt-4o", "messages": user("hi")}
    for fields, code in (
        ({"operations": ["create", "batch"]}, "operation_not_allowed"),
        ({"models": ["smart"]}, "model_not_allowed"),
    ):
        key = world.new_key(**fields)
        refused(world.call(key, "POST", "/v1/chat/completions", json=body), 403, code)
    key = world.new_key(providers=["other"], operations=["forward"])
    assert world.call(key, "POST", "/v1/chat/completions", json=body).status_code == 200
    assert world.up.calls == [] and len(world.other.calls) == 1
    body["model"] = "smart"
    got = world.call(key, "POST", "/v1/chat/completions", json=body)
    refused(got, 403, "provider_not_allowed")


# --- ids ---


def test_ids_are_replaced_at_their_places_alone(world, sdk):
    file = put(sdk)
    (theirs,) = world.up.files
    sdk.responses.create(
        model="gpt-4o", input=input_of(file.id, f"say {file.id}"), metadata={"f": file.id}
    )
    assert world.up.calls[0] == {
        "model": "gpt-4o", "input": input_of(theirs, f"say {file.id}"),
        "metadata": {"f": file.id},
    }  # fmt: skip


def test_an_answers_ids_come_back_ours(world, sdk):
    file = put(sdk)
    (theirs,) = world.up.files
    world.up.cites = [theirs]
    tools = [{"type": "code_interpreter",
              "container": {"type": "auto", "file_ids": [file.id]}}]  # fmt: skip
    made = sdk.responses.create(model="gpt-4o", input="hi", tools=tools)
    assert made.output[0].content[0].annotations[0].file_id == file.id
    assert made.tools[0].container.file_ids == [file.id]
    assert made.output_text == world.up.says


def test_a_known_file_that_was_not_asked_about(world, sdk):
    file = put(sdk)
    world.up.cites = list(world.up.files)
    made = sdk.responses.create(model="gpt-4o", input="hi")
    assert made.output[0].content[0].annotations[0].file_id == file.id


@pytest.mark.parametrize("streams", [False, True])
def test_a_file_that_was_made_is_the_callers(world, sdk, streams):
    made = sdk.responses.create(model="gpt-4o", input="make a file", stream=streams)
    if streams:
        *_, last = made
        made = last.response
    file_id = made.output[0].content[0].annotations[0].file_id
    assert file_id.startswith("file-up-")
    assert sdk.files.content(file_id).read() == b"1,2"
    file = sdk.files.retrieve(file_id)
    assert (file.filename, file.purpose, file.bytes) == ("made.csv", "assistants_output", 3)
    again = sdk.responses.retrieve(made.id)
    assert again.output[0].content[0].annotations[0].file_id == file_id
    assert [f.id for f in sdk.files.list()] == [file_id]


def test_anothers_file_in_an_answer_leads_nowhere(world, sdk):
    with sdk_for(world, world.new_key()) as they:
        theirs = put(they)
    (raw,) = world.up.files
    world.up.cites = [raw]
    made = sdk.responses.create(model="gpt-4o", input="hi")
    shown = made.output[0].content[0].annotations[0].file_id
    assert shown not in (raw, theirs.id) and shown.startswith("file-up-")
    with pytest.raises(openai.NotFoundError):
        sdk.files.retrieve(shown)


@pytest.mark.parametrize("split", [1, 2, 3, 7, 64])
def test_events_are_rewritten_however_they_are_cut(world, sdk, split):
    file = put(sdk)
    world.up.cites, world.up.split = list(world.up.files), split
    stream = sdk.responses.create(model="gpt-4o", input=input_of(file.id), stream=True)
    events = list(stream)
    text = json.dumps([e.to_dict() for e in events])
    assert world.up.cites[0] not in text and text.count(file.id) == 4
    assert "".join(e.delta for e in events if e.type.endswith("text.delta")) == (
        world.up.says.replace(" ", "")
    )


def test_a_response_is_retrieved_cancelled_deleted(world, sdk):
    made = sdk.responses.create(model="there", input="hi", background=True)
    assert made.status == "queued" and made.id in world.other.responses
    assert sdk.responses.retrieve(made.id).status == "queued"
    assert sdk.responses.cancel(made.id).status == "cancelled"
    items = list(sdk.responses.input_items.list(made.id, limit=1))
    assert items[0].content[0].text == "hi"
    sdk.responses.delete(made.id)
    assert world.other.responses == {}
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(made.id)
    assert [s.path for s in world.up.seen] == []


def test_the_one_before_picks_the_provider(world, key, sdk):
    made = sdk.responses.create(model="there", input="hi")
    sdk.responses.create(model="gpt-4o", input="and?", previous_response_id=made.id)
    assert world.other.calls[-1]["previous_response_id"] == made.id
    body = {"model": "gpt-4o", "input": input_of(put(sdk).id),
            "previous_response_id": made.id}  # fmt: skip
    error = refused(world.call(key, "POST", "/v1/responses", json=body), 400)
    assert "'up'" in error["message"] and "'other'" in error["message"]


def test_a_retrieved_stream_is_rewritten(world, key, sdk):
    file = put(sdk)
    made = sdk.responses.create(model="gpt-4o", input="make a file")
    events = list(sdk.responses.retrieve(made.id, stream=True))
    assert events[-1].response.output[0].content[0].annotations[0].file_id.startswith(
        "file-up-"
    )
    assert file.id not in json.dumps([e.to_dict() for e in events])


def test_more_files_than_are_looked_up_at_once(world, key, sdk):
    """One that is the caller's first, last and between; then one that is not."""
    ids = [put(sdk).id for _ in range(3)] * 70
    blocks = [{"type": "file", "file": {"file_id": one}} for one in ids]
    body = {"model": "gpt-4o", "messages": user(blocks)}
    assert world.call(key, "POST", "/v1/chat/completions", json=body).status_code == 200
    sent = [b["file"]["file_id"] for b in world.up.calls[-1]["messages"][0]["content"]]
    assert len(sent) == 210 and sent == sent[:3] * 70 and set(sent) == set(world.up.files)
    for at in (0, 63, 64, 150, 209):
        for wrong in (ids[0][:-4] + "ZZZZ", "no id"):
            bad = [dict(b) for b in blocks]
            bad[at] = {"type": "file", "file": {"file_id": wrong}}
            body = {"model": "gpt-4o", "messages": user(bad)}
            got = world.call(key, "POST", "/v1/chat/completions", json=body)
            refused(got, 404)
            where = f"messages[0].content[{at}].file.file_id"
            assert got.json()["error"]["param"] == where
            assert wrong in got.json()["error"]["message"]
    assert len(world.up.calls) == 1


def test_input_tokens_and_compact(world, sdk):
    file = put(sdk)
    (theirs,) = world.up.files
    count = sdk.responses.input_tokens.count(model="gpt-4o", input=input_of(file.id))
    assert count.input_tokens == 11
    assert world.up.calls[-1]["input"] == input_of(theirs)
    raw = sdk.responses.with_raw_response
    made = raw.compact(model="gpt-4o", input=input_of(file.id)).text
    assert file.id in made and theirs not in made


# --- others' ids ---


@pytest.mark.parametrize("raw", [False, True])
def test_anothers_ids_are_not_found(world, key, raw):
    with sdk_for(world, world.new_key()) as they:
        file = put(they).id
        response = they.responses.create(model="gpt-4o", input="hi").id
    if raw:
        (file,) = world.up.files
        response = "resp_" + "0" * 48
    world.up.seen.clear()
    for body, code, param in (
        ({"input": input_of(file)}, "file_not_found", "input[0].content[1].file_id"),
        ({"input": "x", "previous_response_id": response}, "object_not_found",
         "previous_response_id"),
        ({"input": "x", "conversation": "conv_1"}, "object_not_found", "conversation"),
        ({"input": "x", "strange": {"file_id": file}}, "file_not_found",
         "strange.file_id"),
        ({"input": "x", "strange": {"vector_store_ids": ["vs_1"]}}, "object_not_found",
         "strange.vector_store_ids[0]"),
    ):  # fmt: skip
        got = world.call(key, "POST", "/v1/responses", json={"model": "gpt-4o", **body})
        assert refused(got, 404, code)["param"] == param
    for method, below in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"),
                          ("GET", "/input_items")):  # fmt: skip
        got = world.call(key, method, f"/v1/responses/{response}{below}")
        assert refused(got, 404)["param"] == "id"
    assert world.up.seen == []


# --- faults ---


def test_a_vector_store_of_a_chat_is_the_callers(world, key, sdk):
    """Where OpenAI's own API has none, and others in its style do."""
    mine = sdk.vector_stores.create().id
    body = {"model": "gpt-4o", "messages": user("hi"),
            "tools": [{"type": "file_search", "vector_store_ids": [mine]}]}  # fmt: skip
    assert world.call(key, "POST", "/v1/chat/completions", json=body).status_code == 200
    assert world.up.calls[-1]["tools"] == body["tools"]
    other = world.new_key()
    got = world.call(other, "POST", "/v1/chat/completions", json=body)
    told = refused(got, 404, "object_not_found")
    assert told["param"] == "tools[0].vector_store_ids[0]"
    assert len(world.up.calls) == 1


def test_an_error_names_our_ids(world, key, sdk):
    file = put(sdk)
    (theirs,) = world.up.files
    world.up.files.clear()
    body = {"model": "gpt-4o", "input": input_of(file.id)}
    error = refused(world.call(key, "POST", "/v1/responses", json=body), 404)
    assert file.id in error["message"] and theirs not in error["message"]


def test_an_unknown_model_is_told_as_the_provider_does(world, key):
    body = {"model": "gpt-9", "messages": user("hi")}
    got = world.call(key, "POST", "/v1/chat/completions", json=body)
    assert "gpt-9" in refused(got, 404, "model_not_found")["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b'{"model":"m",}', b"\xff\xfe"])
def test_what_is_no_json_object_is_refused(world, key, body):
    got = world.call(key, "POST", "/v1/responses", content=body)
    refused(got, 400)
    assert world.up.seen == []


def test_a_pool_goes_on_to_the_next(start):
    up, other = OpenAI(), OpenAI(api_key="sk-other")
    pools = {"all": {"members": [{"provider": "up"}, {"provider": "other"}]}}
    gw = start(config({"pools": pools, "routing": {"default": "all"}}, up=up, other=other))
    key = gw.new_key()
    for act in (answer(503, {"error": {"message": "busy"}}), reset):
        up.fault(on_head(act), path="chat")
        body = {"model": "gpt-4o", "messages": user("hi")}
        got = gw.call(key, "POST", "/v1/chat/completions", json=body)
        assert got.status_code == 200
        assert gw.access(got.headers["x-request-id"])["provider"] == "other"
    up.stop(), other.stop()


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_a_provider_that_dies_breaks_the_stream_off(world, key, path):
    world.up.fault(after_sent(700, reset), path=path)
    body = {"model": "gpt-4o", "stream": True, "input": "hi", "messages": user("hi")}
    del body["input" if path.startswith("chat") else "messages"]
    world.up.says = "word " * 100
    with pytest.raises(httpx.TransportError):
        world.call(key, "POST", f"/v1/{path}", json=body)


def test_a_provider_that_dies_in_an_answer_is_a_502(world, key):
    world.up.fault(on_head(reset), path="responses")
    body = {"model": "gpt-4o", "input": "hi"}
    refused(world.call(key, "POST", "/v1/responses", json=body), 502, "upstream_broken")


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_a_client_that_goes_ends_the_call(world, key, path):
    world.up.gate = Gate(2)
    body = {"model": "gpt-4o", "stream": True, "input": "hi", "messages": user("hi")}
    del body["input" if path.startswith("chat") else "messages"]
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.stream("POST", f"{world.url}/v1/{path}", json=body, headers=headers,
                      timeout=20) as got:  # fmt: skip
        next(got.iter_lines())
    until(lambda: world.up.seen[-1].gone, "the provider's connection is closed")


def test_a_body_that_is_too_large_is_refused_before_it_is_read(start, fake):
    gw = start(config({"forward": {"max_json_bytes": "64KB"}}, up=fake))
    key = gw.new_key()
    body = {"model": "gpt-4o", "messages": user("x" * (1 << 16))}
    got = gw.call(key, "POST", "/v1/chat/completions", json=body)
    refused(got, 413, "body_too_large")
    assert fake.seen == []


def test_bodies_of_all_are_bounded_together(start, fake):
    gw = start(config({"forward": {"max_held_bytes": "64KB"}}, up=fake))
    key = gw.new_key()
    small = {"model": "gpt-4o", "messages": user("x")}
    large = {"model": "gpt-4o", "messages": user("x" * (1 << 16))}
    got = gw.call(key, "POST", "/v1/chat/completions", json=large)
    assert refused(got, 503, "overloaded") and got.headers["retry-after"]
    for _ in range(3):  # what was refused or is over takes nothing
        got = gw.call(key, "POST", "/v1/chat/completions", json=small)
        assert got.status_code == 200


def test_forwarding_can_be_switched_off(start, fake):
    gw = start(config({"forward": {"enabled": False}}, up=fake))
    body = {"model": "gpt-4o", "messages": user("x")}
    got = gw.call(gw.new_key(), "POST", "/v1/chat/completions", json=body)
    refused(got, 404, "unknown_route")


@pytest.mark.parametrize("version", [None, "2025-04-01-preview"])
def test_azure_in_both_styles(start, version):
    azure = Azure(version)
    more = {"api_version": version} if version else {}
    models = {"smart": {"provider": "azure", "model": "gpt-4o"}}
    gw = start(config({"models": models, "providers": {
        "azure": test_azure.provider(azure, **more)}}))  # fmt: skip
    with sdk_for(gw, gw.new_key()) as sdk:
        file = put(sdk)
        (theirs,) = azure.files
        made = sdk.chat.completions.create(model="smart", messages=with_file(file.id))
        assert made.choices[0].message.content == azure.says
        assert azure.calls == [{"model": "gpt-4o", "messages": with_file(theirs)}]
        assert azure.deployments == (["gpt-4o"] if version else [])
        answered = sdk.responses.create(model="smart", input=input_of(file.id))
        assert sdk.responses.retrieve(answered.id).output_text == azure.says
    azure.stop()
    assert azure.violations == []


def test_without_redis_a_response_is_not_shown(start, redis):
    up = OpenAI()
    gw = start(config({"redis": {"url": redis.url}}, up=up))
    key = gw.new_key()
    up.fault(on_stored(call(lambda x: redis.kill())), path="responses")
    body = {"model": "gpt-4o", "input": "hi"}
    got = gw.call(key, "POST", "/v1/responses", json=body)
    refused(got, 503, "store_unavailable")
    assert next(iter(up.responses)) not in got.text
    redis.start()
    up.stop()


def test_a_stream_whose_response_cannot_be_noted_breaks_off(start, redis):
    up = OpenAI()
    gw = start(config({"redis": {"url": redis.url}}, up=up))
    key = gw.new_key()
    up.fault(on_stored(call(lambda x: redis.kill())), path="responses")
    body = {"model": "gpt-4o", "input": "hi", "stream": True}
    headers = {"Authorization": f"Bearer {key}"}
    seen = ""
    with pytest.raises(httpx.TransportError), httpx.stream(
        "POST", gw.url + "/v1/responses", json=body, headers=headers, timeout=20
    ) as got:
        for text in got.iter_text():
            seen += text
    assert next(iter(up.responses)) not in seen
    redis.start()
    up.stop()


def test_a_slow_look_up_keeps_the_order(world, sdk):
    """Several files that nobody knows yet, in many events of one piece."""
    made = [world.up.put(f"f{i}.csv", b"1", "assistants_output", 0).id for i in range(5)]
    world.up.cites = made * 2
    events = list(sdk.responses.create(model="gpt-4o", input="hi", stream=True))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    notes = [e.annotation.file_id for e in events if "annotation.added" in e.type]
    assert notes[:5] == notes[5:] and len(set(notes)) == 5
    assert {f.id for f in sdk.files.list()} == set(notes)
    assert not any(raw in e.to_json() for raw in made for e in events)


def test_those_who_see_a_file_at_once_make_one(world, sdk):
    world.up.cites = [world.up.put("f.csv", b"1", "assistants_output", 0).id]
    held = threading.Barrier(4)
    world.up.fault(on_head(call(lambda x: held.wait(10))), path="files/", times=4)

    def see(_):
        made = sdk.responses.create(model="gpt-4o", input="hi")
        return made.output[0].content[0].annotations[0].file_id

    with ThreadPoolExecutor(4) as pool:
        seen = set(pool.map(see, range(4)))
    assert len(seen) == 1 and len(list(sdk.files.list())) == 1
    key = sdk.api_key
    assert world.call(key, "GET", "/v1/usage").json()["key"]["usage"]["files"] == 1


def hang(gw, key):
    """Ask for sound, and do not listen."""
    body = json.dumps({"model": "gpt-4o", "input": "x", "voice": "y"}).encode()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    s.connect(("127.0.0.1", gw.port))
    s.sendall(
        b"POST /v1/audio/speech HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
        + key.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )  # fmt: skip
    return s


def test_many_slow_readers_hold_no_more_than_their_pipes(world, key):
    world.up.sound_bytes = 64 * MB
    clients = [hang(world, key) for _ in range(64)]
    levels = []

    def is_steady():
        levels.append((world.metric("filemux_pipe_bytes"),
                       sum(s.sent for s in list(world.up.seen))))  # fmt: skip
        return len(world.up.seen) == 64 and levels[-20:].count(levels[-1]) == 20

    until(is_steady, "nothing moves any more", 60)
    assert 0 < levels[-1][0] <= 64 * (256 + 512) * 1024
    assert all(s.sent < 32 * MB for s in world.up.seen)
    for s in clients:
        s.close()
    until(lambda: all(s.gone for s in world.up.seen), "all calls are ended")
    until(lambda: world.metric("filemux_pipe_bytes") == 0, "nothing is held")


STREAM = [("Content-Type", "text/event-stream")]


@pytest.mark.parametrize("is_known", [True, False])
def test_an_event_without_an_empty_line_is_rewritten_too(world, key, sdk, is_known):
    """The stream's last: its ids are no less the provider's."""
    raw = None if is_known else world.up.put("f.csv", b"1", "assistants_output", 0).id
    file = put(sdk)
    raw = raw or next(iter(world.up.files))
    note = {"type": "response.output_text.annotation.added", "annotation": {"file_id": raw}}
    world.up.fault(on_stored(answer(200, f"data: {json.dumps(note)}\n", STREAM)))
    body = {"model": "gpt-4o", "input": "hi", "stream": True}
    got = world.call(key, "POST", "/v1/responses", json=body)
    assert raw not in got.text and (file.id in got.text) == is_known
    assert "file-up-" in got.text and got.text.endswith("}\n")


def test_an_event_that_is_cut_breaks_the_stream_off(world, key, sdk):
    put(sdk)
    (raw,) = world.up.files
    text = f'data: {{"annotation": {{"file_id": "{raw}", "index'
    world.up.fault(on_stored(answer(200, text, STREAM)))
    body = {"model": "gpt-4o", "input": "hi", "stream": True}
    with pytest.raises(httpx.TransportError):
        world.call(key, "POST", "/v1/responses", json=body)


def test_events_in_place_of_an_object_are_refused(world, key, sdk):
    put(sdk)
    (raw,) = world.up.files
    made = sdk.responses.create(model="gpt-4o", input="hi")
    text = f'data: {{"data": [{{"type": "message", "file_id": "{raw}"}}]}}\n\n'
    world.up.fault(on_head(answer(200, text, STREAM)), path="input_items")
    got = world.call(key, "GET", f"/v1/responses/{made.id}/input_items")
    refused(got, 502, "upstream_bad_response")
    assert raw not in got.text


def test_empty_lines_behind_an_event_that_waits_take_little(world, key):
    """Each of them is an event, and waits, too."""
    raw = world.up.put("f.csv", b"1", "assistants_output", 0).id
    note = {"type": "response.output_text.annotation.added", "annotation": {"file_id": raw}}
    text = f"data: {json.dumps(note)}\n\n" + "\n" * 15000
    world.up.fault(on_stored(answer(200, text, STREAM)), path="responses", times=4)
    held, go_on = threading.Semaphore(0), threading.Event()

    def hold(x):
        held.release()
        go_on.wait(20)

    world.up.fault(on_head(call(hold)), path="files/", times=4)
    before = world.memory()

    def ask(_):
        body = {"model": "gpt-4o", "input": "hi", "stream": True}
        return world.call(key, "POST", "/v1/responses", json=body).text

    with ThreadPoolExecutor(4) as pool:
        asked = pool.map(ask, range(4))
        for _ in range(4):
            assert held.acquire(timeout=20)
        took = world.memory() - before
        go_on.set()
        texts = list(asked)
    assert took < 80 * MB
    assert all(raw not in t and t.count("\n") == text.count("\n") for t in texts)


SAYS = "File '{}' of \"you\" is gone."
SAID = [
    {"type": "error", "code": "x", "message": SAYS, "param": None},
    {"type": "response.failed", "response": {"error": {"code": "x", "message": SAYS}}},
    {"error": {"message": SAYS}},
]


@pytest.mark.parametrize("event", SAID)
def test_an_error_in_a_stream_names_our_ids(world, key, sdk, event):
    file = put(sdk)
    (raw,) = world.up.files
    text = json.dumps(event)
    sent = text.replace("{}", raw).replace("of", "of file-0123456789abc,")
    world.up.fault(on_stored(answer(200, f"data: {sent}\n\n", STREAM)))
    body = {"model": "gpt-4o", "input": input_of(file.id), "stream": True}
    got = world.call(key, "POST", "/v1/responses", json=body)
    want = text.replace("{}", file.id).replace("of", "of [id],")
    assert json.loads(got.text.removeprefix("data: ")) == json.loads(want)


def test_an_error_of_a_response_names_our_ids(world, key, sdk):
    file = put(sdk)
    (raw,) = world.up.files
    failed = {"id": "resp_1", "object": "response", "status": "failed",
              "error": {"code": "x", "message": SAYS.format(raw)}}  # fmt: skip
    world.up.fault(on_stored(answer(200, failed)))
    body = {"model": "gpt-4o", "input": input_of(file.id)}
    got = world.call(key, "POST", "/v1/responses", json=body)
    assert got.json()["error"]["message"] == SAYS.format(file.id)
