"""Pools: which member gets a file, and who takes it when that one cannot."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fakes.openai import Answered, OpenAI, after_bytes, answer, on_head, reset, stall
from gw import MB, config, free_port, openai_provider, refused, until
from wire import file_part, form, part, upload, upload_chunked

FAILED = {"error": {"message": "out of order", "type": "server_error"}}


def provider_of(reply):
    assert reply.status_code == 200, reply.text
    return reply.json()["filemux"]["provider"]


@pytest.fixture
def three():
    fakes = {name: OpenAI() for name in "abc"}
    yield fakes
    for fake in fakes.values():
        fake.stop()
        assert fake.violations == []


def pool(policy, fakes, more=None, weights=None):
    """A gateway's configuration whose default is a pool of the fakes."""
    members = [{"provider": n, "weight": (weights or {}).get(n, 1)} for n in fakes]
    return config(
        {
            "pools": {"all": {"policy": policy, "members": members}},
            "routing": {"default": "all"},
            **(more or {}),
        },
        **fakes,
    )


def test_turns_are_exact_among_all_workers(start, three):
    gw = start(pool("round_robin", three, {"workers": 3}))
    key = gw.new_key()
    with ThreadPoolExecutor(8) as many:
        got = list(many.map(lambda i: provider_of(gw.upload(key)), range(30)))
    assert Counter(got) == {"a": 10, "b": 10, "c": 10}


def test_two_pools_take_turns_of_their_own(start, three):
    conf = pool("round_robin", three)
    conf["pools"]["other"] = {
        "policy": "round_robin", "members": [{"provider": "a"}, {"provider": "b"}],
    }  # fmt: skip
    rule = {"match": {"purpose": "batch"}, "use": "other"}
    conf["routing"]["rules"] = [rule]
    gw = start(conf)
    key = gw.new_key()
    got = []
    for _ in range(4):
        got.append(provider_of(gw.upload(key, b"{}", "x.jsonl", fields={"purpose": "batch"})))  # fmt: skip
        provider_of(gw.upload(key))
    assert got == ["a", "b", "a", "b"]


def test_an_upload_whose_fields_come_late_takes_one_turn(start, three):
    gw = start(pool("round_robin", three))
    key = gw.new_key()
    got = []
    for _ in range(4):
        with gw.wire() as w:
            reply = upload(w, key, form(file_part(b"x"), part("purpose", "vision")))
        assert reply.status == 200, reply.body
        got.append(json.loads(reply.body)["filemux"]["provider"])
    assert got == ["a", "b", "c", "a"]


def test_weights_are_shares(start, three):
    gw = start(pool("weighted", three, weights={"a": 50, "b": 1, "c": 1}))
    key = gw.new_key()
    got = Counter(provider_of(gw.upload(key)) for _ in range(40))
    assert got["a"] > 20


def test_the_fewest_bytes_of_late_are_first(start, three):
    gw = start(pool("least_bytes", three))
    key = gw.new_key()
    sizes = [3 * MB, 2 * MB, MB, 10, 10]
    got = [provider_of(gw.upload(key, b"x" * n)) for n in sizes]
    assert got == ["a", "b", "c", "c", "c"]


def test_downloads_count_as_bytes(start, three):
    gw = start(pool("least_bytes", three))
    key = gw.new_key()
    first = gw.upload(key, b"x" * MB).json()
    assert provider_of(gw.upload(key, b"x" * 2 * MB)) == "b"
    assert provider_of(gw.upload(key, b"x" * 3 * MB)) == "c"
    for _ in range(3):
        gw.call(key, "GET", f"/v1/files/{first['id']}/content")
    assert provider_of(gw.upload(key)) == "b"


def test_bytes_under_way_count(start, three):
    gw = start(pool("least_bytes", three))
    key = gw.new_key()
    three["a"].fault(after_bytes(MB, stall))
    with ThreadPoolExecutor(1) as other:
        slow = other.submit(gw.upload, key, b"x" * 5 * MB)
        until(lambda: three["a"].seen, "it is under way")
        shown = gw.admin("GET", "/admin/providers").json()["data"]
        assert {p["name"]: p["bytes_under_way"] > 4 * MB for p in shown} == {
            "a": True, "b": False, "c": False,
        }  # fmt: skip
        got = [provider_of(gw.upload(key, b"x" * MB)) for _ in range(4)]
        three["a"].stopping.set()
        slow.result()
    assert got == ["b", "c", "b", "c"]


def test_lengths_that_cannot_be_true_do_not_add_up(start, three):
    """The sum of what is announced would not fit into a number."""
    gw = start(pool("least_bytes", three))
    key = gw.new_key()
    file = gw.upload(key).json()
    over = threading.Event()

    def boast(exchange):
        exchange.conn.sock.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
            b"Content-Length: 9223372036854775807\r\n\r\nabc"
        )
        over.wait(20)
        raise Answered

    three["a"].fault(on_head(boast), method="GET", path="/content", times=2)
    path = f"{gw.url}/v1/files/{file['id']}/content"
    auth = {"Authorization": f"Bearer {key}"}
    with httpx.stream("GET", path, headers=auth), httpx.stream("GET", path, headers=auth):
        shown = gw.admin("GET", "/admin/providers").json()["data"]
        (a,) = [p for p in shown if p["name"] == "a"]
        assert 2**44 <= a["bytes_under_way"] <= 2**46
        assert provider_of(gw.upload(key, b"x")) != "a"
    over.set()

    def is_settled():
        shown = gw.admin("GET", "/admin/providers").json()["data"]
        return all(p["bytes_under_way"] == 0 for p in shown)

    until(is_settled, "nothing is under way")


# --- failover ---


@pytest.mark.parametrize("policy", ["priority", "round_robin", "least_bytes"])
@pytest.mark.parametrize("size", [10, 200_000])
def test_what_is_not_reached_is_passed_over(start, three, policy, size):
    conf = pool(policy, three)
    dead = f"http://127.0.0.1:{free_port()}/v1"
    conf["providers"]["a"]["base_url"] = dead
    gw = start(conf)
    key = gw.new_key()
    data = b"0123456789" * (size // 10)
    for _ in range(3):
        obj = gw.upload(key, data).json()
        assert obj["filemux"]["provider"] in "bc"
        got = gw.call(key, "GET", f"/v1/files/{obj['id']}/content")
        assert got.content == data


def test_what_was_consumed_is_not_sent_to_another(start, three):
    gw = start(pool("priority", three))
    three["a"].fault(after_bytes(2 * MB, reset))
    refused(gw.upload(gw.new_key(), b"x" * 20 * MB), 502)
    assert three["b"].seen == [] and three["c"].seen == []
    until(lambda: gw.transfers() == 0, "no transfer is under way")


def test_a_refusal_is_told_and_not_tried_elsewhere(start, three):
    gw = start(pool("priority", three))
    error = {"error": {"message": "no such purpose", "type": "invalid_request_error"}}
    three["a"].fault(on_head(answer(400, error, then_close=True)))
    refused(gw.upload(gw.new_key(), b"x"), 400)
    assert three["b"].seen == []


# --- members whose breaker is open ---


def failing(fakes, **breaker):
    more = {"failures": 2, "rate": "0%", "open_for": "60s", **breaker}
    return {n: openai_provider(f, breaker=more) for n, f in fakes.items()}


@pytest.mark.parametrize("policy", ["priority", "weighted", "round_robin", "least_bytes"])  # fmt: skip
def test_a_member_that_is_out_is_not_asked(start, three, policy):
    gw = start(pool(policy, three, {"providers": failing(three)}))
    key = gw.new_key()
    three["a"].fault(on_head(answer(500, FAILED, then_close=True)), times=2)
    for _ in range(2):
        refused(gw.upload(key, path="/a/v1/files"), 502)
    asked = len(three["a"].seen)
    got = Counter(provider_of(gw.upload(key, b"x" * 1000)) for _ in range(6))
    assert got["a"] == 0 and len(three["a"].seen) == asked
    if policy == "round_robin":
        assert got == {"b": 3, "c": 3}


def test_when_all_are_out_that_is_told(start, three):
    gw = start(pool("priority", three, {"providers": failing(three)}))
    key = gw.new_key()
    for name, fake in three.items():
        fake.fault(on_head(answer(500, FAILED, then_close=True)), times=2)
        for _ in range(2):
            refused(gw.upload(key, path=f"/{name}/v1/files"), 502)
    asked = {n: len(f.seen) for n, f in three.items()}
    reply = gw.upload(key)
    refused(reply, 503, "upstream_unavailable")
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert asked == {n: len(f.seen) for n, f in three.items()}


def test_the_next_member_gets_what_it_can_take(start, fake):
    """It wants the length, and less than this: a stream of unknown length does
    not go on to it."""
    members = [{"provider": "dead"}, {"provider": "up"}]
    conf = config({"pools": {"all": {"members": members}}, "routing": {"default": "all"}}, up=fake)
    conf["providers"]["dead"] = {**conf["providers"]["up"], "base_url": "http://127.0.0.1:9/v1"}
    conf["providers"]["up"] |= {"upload_length": "required", "max_file_bytes": 1000}
    gw = start(conf)
    key = gw.new_key()
    body = form(part("purpose", "vision"), file_part(b"z" * 3000, "a.bin"))
    with gw.wire() as w:
        refused(upload_chunked(w, key, body), 502, "upstream_unreachable")
    with gw.wire() as w:
        refused(upload(w, key, body), 413, "file_too_large")
    assert not fake.files
    assert gw.upload(key, b"z" * 900).status_code == 200


def test_a_late_field_does_not_pass_the_bound_of_a_provider(start, fake):
    rules = [{"match": {"purpose": "vision"}, "use": "up"}]
    conf = config({"routing": {"rules": rules}}, up=fake)
    conf["providers"]["up"]["max_file_bytes"] = 1000
    gw = start(conf)
    body = form(file_part(b"z" * 3000, "a.bin"), part("purpose", "vision"))
    with gw.wire() as w:
        refused(upload(w, gw.new_key(), body), 413, "file_too_large")
    assert not fake.files
