"""Which provider gets a file, and what is spooled to find out."""

import json

import pytest
from fakes.openai import OpenAI, after_bytes, answer, on_head, reset
from gw import config, free_port, refused
from wire import file_part, form, part, upload, upload_chunked

PURPOSE = part("purpose", "vision")


def provider_of(reply):
    assert reply.status_code == 200, reply.text
    return reply.json()["filemux"]["provider"]


@pytest.mark.parametrize(
    "kw",
    [
        {"headers": {"x-filemux-provider": "other"}},
        {"headers": {"custom-llm-provider": "other"}},
        {"path": "/v1/files?provider=other"},
        {"path": "/v1/files?custom_llm_provider=other"},
        {"fields": {"provider": "other"}},
        {"fields": {"custom_llm_provider": "other"}},
        {"headers": {"x-litellm-model": "gpt-there"}},
        {"path": "/v1/files?model=gpt-there"},
        {"fields": {"model": "gpt-there"}},
        {"fields": {"target_model_names": "gpt-there"}},
    ],
    ids=str,
)
def test_every_hint_is_followed(gw, up, other, key, kw):
    assert provider_of(gw.upload(key, **kw)) == "other"
    assert up.seen == [] and len(other.files) == 1


def test_earlier_hints_win(gw, up, other, key):
    reply = gw.upload(
        key,
        path="/up/v1/files?provider=other",
        headers={"x-filemux-provider": "local"},
        fields={"provider": "other", "model": "gpt-there"},
    )
    assert provider_of(reply) == "up"
    reply = gw.upload(
        key, path="/v1/files?provider=up", headers={"x-filemux-provider": "other"}
    )
    assert provider_of(reply) == "other"


@pytest.mark.parametrize(
    "kw, param",
    [
        ({"headers": {"x-filemux-provider": "nope"}}, "x-filemux-provider"),
        ({"path": "/v1/files?provider=nope"}, "provider"),
        ({"fields": {"provider": "nope"}}, "provider"),
    ],
)
def test_an_unknown_provider_names_its_parameter(gw, up, key, kw, param):
    error = refused(gw.upload(key, **kw), 400, "unknown_provider")
    assert error["param"] == param
    assert up.seen == []


@pytest.fixture
def ruled(start):
    """A gateway whose rules depend on fields, with two fakes."""
    a, b = OpenAI(), OpenAI()
    conf = config(
        {
            "limits": {"spool_memory": "64KB", "spool_total": "2MB"},
            "routing": {
                "default": "a",
                "rules": [
                    {"match": {"purpose": "batch", "filename": "*.jsonl"}, "use": "b"},
                    {"match": {"team": "research"}, "use": "b"},
                ],
            },
        },
        a=a,
        b=b,
    )
    gw = start(conf)
    gw.a, gw.b = a, b
    yield gw
    a.stop()
    b.stop()


def test_rules_match_fields_that_come_first(ruled):
    key = ruled.new_key()
    batch = {"fields": {"purpose": "batch"}}
    assert provider_of(ruled.upload(key, b"{}", "x.jsonl", **batch)) == "b"
    assert provider_of(ruled.upload(key)) == "a"
    assert ruled.b.uploads()[0].framing == "length"


def test_rules_match_teams(ruled):
    assert provider_of(ruled.upload(ruled.new_key(team_id="research"))) == "b"


@pytest.mark.parametrize("send", [upload, upload_chunked])
@pytest.mark.parametrize("size", [10, 200_000, 1_500_000])
def test_what_decides_may_come_behind_the_file(ruled, send, size):
    """Held in memory, or in a file, until it is known."""
    key = ruled.new_key()
    data = b"0123456789" * (size // 10)
    body = form(file_part(data, "x.jsonl"), part("purpose", "batch"))
    with ruled.wire() as w:
        assert send(w, key, body).status == 200
    (stored,) = ruled.b.files.values()
    assert stored.read() == data
    assert ruled.a.seen == []


def test_a_file_that_no_rule_can_match_streams_at_once(ruled):
    key = ruled.new_key()
    body = form(file_part(b"x" * 3_000_000, "x.bin"), PURPOSE)
    with ruled.wire() as w:
        assert upload(w, key, body).status == 200
    assert len(ruled.a.files) == 1


@pytest.mark.parametrize("send", [upload, upload_chunked])
def test_a_spool_has_its_bound(ruled, send):
    key = ruled.new_key()
    body = form(file_part(b"x" * 3_000_000, "x.jsonl"), part("purpose", "batch"))
    with ruled.wire() as w:
        refused(send(w, key, body), 413)
    assert ruled.a.files == {} and ruled.b.files == {}


def test_a_spooled_form_is_checked_before_anything_is_sent(ruled):
    key = ruled.new_key()
    body = form(file_part(b"x", "x.jsonl"), part("purpose", "batch"))[:-9]
    with ruled.wire() as w:
        refused(upload(w, key, body), 400)
    assert ruled.a.seen == [] and ruled.b.seen == []


def pool(fake, policy="priority"):
    dead = {"type": "openai", "base_url": f"http://127.0.0.1:{free_port()}/v1"}
    return config(
        {
            "providers": {"dead": {**dead, "api_key": "sk-dead"}},
            "pools": {
                "all": {
                    "policy": policy,
                    "members": [{"provider": "dead"}, {"provider": "up"}],
                }
            },
            "routing": {"default": "all"},
        },
        up=fake,
    )


def test_a_dead_member_of_a_pool_is_passed_over(start, fake):
    gw = start(pool(fake))
    key = gw.new_key()
    for i in range(3):
        assert provider_of(gw.upload(key, b"%d" % i)) == "up"
    assert [f.read() for f in fake.files.values()] == [b"0", b"1", b"2"]


def test_an_upload_of_any_size_is_passed_over_whole(start, fake):
    gw = start(pool(fake))
    data = b"0123456789" * 300_000
    assert provider_of(gw.upload(gw.new_key(), data)) == "up"
    (stored,) = fake.files.values()
    assert stored.read() == data


FAULTS = {
    "refused": on_head(answer(500, {"error": {"message": "no"}}, then_close=True)),
    "reset": on_head(reset),
    "cut": after_bytes(50_000, reset),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("send", [upload, upload_chunked])
def test_what_is_spooled_goes_to_the_next_whatever_was_read(start, fake, fault, send):
    """The client sends it once, though two members fail."""
    conf, bad = pool(fake), OpenAI()
    conf["providers"]["bad"] = {**conf["providers"]["up"], "base_url": bad.url}
    conf["pools"]["all"]["members"].insert(1, {"provider": "bad"})
    rule = {"match": {"purpose": "batch", "filename": "*.x"}, "use": "all"}
    conf["routing"]["rules"] = [rule]
    gw = start(conf)
    bad.fault(FAULTS[fault])
    data = b"0123456789" * 30_000
    body = form(file_part(data, "x.x"), part("purpose", "vision"))
    with gw.wire() as w:
        reply = send(w, gw.new_key(), body)
    assert reply.status == 200, reply.body
    assert json.loads(reply.body)["filemux"]["provider"] == "up"
    (stored,) = fake.files.values()
    assert stored.read() == data
    assert bad.files == {} and len(bad.seen) == 1
    bad.stop()
