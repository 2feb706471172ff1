"""Every place where an id may stand, one case each, made of the table: what is
the caller's is replaced there, what is another's is refused there."""

import json

import pytest
from fakes.inference import MODELS
from fakes.openai import answer, on_head
from gw import refused
from id_places import places

REQUESTS = ["chat/completions", "responses", "responses/input_tokens",
            "responses/compact"]  # fmt: skip
ANSWERS = [("POST", "responses"), ("GET", "responses/{id}"),
           ("POST", "responses/{id}/cancel"), ("GET", "responses/{id}/input_items"),
           ("POST", "responses/compact")]  # fmt: skip
EVENTS = [("POST", "responses"), ("GET", "responses/{id}")]


def cases(calls, side, *kinds):
    out = []
    for method, path in calls:
        for place in places(side, method, path, *kinds):
            out.append(pytest.param(method, path, place, id=f"{path}:{place}"))
    assert out
    return out


def asked(*kinds):
    return cases([("POST", p) for p in REQUESTS], "REQUEST", *kinds)


def body_of(path, place, value):
    base = {"model": MODELS[0]}
    base["messages" if path.startswith("chat") else "input"] = []
    return {**base, **place.text(value)}


@pytest.fixture
def mine(gw, up, key):
    """A file of the caller's: its two names."""
    ours = gw.upload(key).json()["id"]
    return ours, next(reversed(up.files))


@pytest.fixture
def theirs(gw, up):
    return gw.upload(gw.new_key()).json()["id"]


@pytest.mark.parametrize("method, path, place", asked("FILE_ID"))
def test_ones_own_file_goes_by_the_providers_name(gw, up, key, mine, method, path, place):
    ours, raw = mine
    got = gw.call(key, method, f"/v1/{path}", json=body_of(path, place, ours))
    assert got.status_code == 200, got.text
    assert up.calls == [body_of(path, place, raw)]


@pytest.mark.parametrize("method, path, place", asked("FILE_ID"))
def test_anothers_file_is_not_found(gw, up, key, theirs, method, path, place):
    (raw,) = up.files
    up.seen.clear()
    for name in (theirs, raw):
        got = gw.call(key, method, f"/v1/{path}", json=body_of(path, place, name))
        error = refused(got, 404, "file_not_found")
        assert error["param"].endswith(("file_id", "file_ids[0]")), error
    assert up.seen == []


@pytest.mark.parametrize("method, path, place", asked("OBJECT"))
def test_anothers_object_is_not_found(gw, up, key, method, path, place):
    made = gw.call(gw.new_key(), "POST", "/v1/responses",
                   json={"model": MODELS[0], "input": "x"}).json()["id"]  # fmt: skip
    up.seen.clear()
    for name in (made, "vs_1", "cntr_1"):
        got = gw.call(key, method, f"/v1/{path}", json=body_of(path, place, name))
        refused(got, 404, "object_not_found")
    assert up.seen == []


def ask(gw, key, method, path, **more):
    """Such a call, about a response of the caller's."""
    if "{id}" in path:
        body = {"model": MODELS[0], "input": "x"}
        made = gw.call(key, "POST", "/v1/responses", json=body).json()["id"]
        return gw.call(key, method, "/v1/" + path.replace("{id}", made), **more)
    body = {"model": MODELS[0], "input": "x"}
    return gw.call(key, method, f"/v1/{path}", json=body, **more)


def fault(up, path, act):
    below = path.replace("{id}", "resp_[0-9a-f]+")
    up.fault(on_head(act), path=f"/v1/{below}$")


@pytest.mark.parametrize("method, path, place", cases(ANSWERS, "ANSWER", "FILE_ID"))
def test_an_answer_has_our_name(gw, up, key, mine, theirs, method, path, place):
    ours, raw = mine
    other = next(reversed(up.files))
    fault(up, path, answer(200, {"x": raw, **place.text(raw)}))
    assert ask(gw, key, method, path).json() == {"x": raw, **place.text(ours)}
    fault(up, path, answer(200, place.text(other)))
    got = ask(gw, key, method, path).text
    assert other not in got and theirs not in got


@pytest.mark.parametrize("method, path, place", cases(EVENTS, "EVENT", "FILE_ID"))
def test_an_event_has_our_name(gw, up, key, mine, method, path, place):
    ours, raw = mine
    stream = ("Content-Type", "text/event-stream")

    def events(name):
        return f": {raw}\nevent: e\ndata: {json.dumps(place.text(name))}\n\n"

    fault(up, path, answer(200, events(raw), [stream]))
    got = ask(gw, key, method, path)
    assert got.text.replace(" ", "") == events(ours).replace(" ", "").replace(
        f":{ours}", f":{raw}", 1
    )
