"""Files that end by themselves: gone at once for clients, deleted upstream by
one process of several, their quota settled, whatever breaks meanwhile."""

import re
import time

import httpx
import pytest
from fakes.metered import Metered
from fakes.openai import answer, call, on_head, on_stored
from gw import config, refused, until
from quota import new_team, scope, until_used

SWEEPING = {"journal": {"lease": "1s", "sweep_interval": "300ms"}}
AT_REST = {"journal": {"lease": "1m", "sweep_interval": "1h"}}
HOUR = 3600


@pytest.fixture
def fake():
    fake = Metered()
    yield fake
    fake.stop()
    assert fake.violations == []


@pytest.fixture
def conf(fake, redis):
    return config({"redis": {"url": redis.url}, **SWEEPING}, up=fake)


@pytest.fixture
def gw(start, conf):
    return start(conf)


@pytest.fixture
def pair(start, conf):
    return start(conf), start(conf)


def uploaded(gw, key, data=b"hello", **kw):
    reply = gw.upload(key, data, **kw)
    assert reply.status_code == 200, reply.text
    return reply.json()


def is_gone(gw, key, made):
    """As if it never had been, for its owner."""
    one = f"/v1/files/{made['id']}"
    for method, path in [("GET", one), ("GET", one + "/content"), ("DELETE", one)]:
        refused(gw.call(key, method, path), 404, "file_not_found")
    listed = gw.call(key, "GET", "/v1/files").json()["data"]
    assert made["id"] not in [f["id"] for f in listed]


def until_expired(made):
    until(lambda: time.time() >= made["expires_at"] + 0.01, "it has expired")


def make_expire(redis, key, made):
    """Its time comes now, whatever it was."""
    owner = scope(key)
    name = f"fm:{{o:{owner}}}:f:{made['id']}"
    reply = redis.command("GET", name)
    record = reply.split(b"\r\n", 1)[1][:-2].decode()
    now = int(time.time())
    changed = re.sub(r'("expires_at": ?)\d+', rf"\g<1>{now}", record)
    assert changed != record
    redis.command("SET", name, changed)
    redis.command("ZADD", "fm:{expiry}", str(now), f"{owner} {made['id']}")
    made["expires_at"] = now


# --- when ---


def test_what_was_asked_for_goes_before_every_default(start, fake, redis):
    provider = {"default_expiry": "4h"}
    more = {"redis": {"url": redis.url}, "providers": {"up": provider}, **AT_REST}
    gw = start(config(more, up=fake))
    new_team(redis, "crew", file_expiry_seconds=3 * HOUR)
    plain, crew = gw.new_key(), gw.new_key(team_id="crew")
    own = gw.new_key(team_id="crew", file_expiry_seconds=2 * HOUR)
    asked = {"fields": {"expires_after[anchor]": "created_at",
                        "expires_after[seconds]": "3600"}}  # fmt: skip
    cases = [(own, asked, 1), (own, {}, 2), (crew, {}, 3), (plain, {}, 4)]
    for key, kw, hours in cases:
        made = uploaded(gw, key, **kw)
        assert made["expires_at"] == made["created_at"] + hours * HOUR
        got = gw.call(key, "GET", f"/v1/files/{made['id']}").json()
        assert got["expires_at"] == made["expires_at"]


@pytest.mark.parametrize("whose", ["key", "team", "provider"])
def test_an_expired_file_is_gone_at_once(start, fake, redis, whose):
    """Before anybody has swept."""
    provider = {"default_expiry": "1s"} if whose == "provider" else {}
    more = {"redis": {"url": redis.url}, "providers": {"up": provider}, **AT_REST}
    gw = start(config(more, up=fake))
    ends = {"file_expiry_seconds": 1}
    new_team(redis, "crew", **(ends if whose == "team" else {}))
    key = gw.new_key(team_id="crew", **(ends if whose == "key" else {}))
    made = uploaded(gw, key)
    assert made["expires_at"] == made["created_at"] + 1
    until_expired(made)
    is_gone(gw, key, made)
    assert len(fake.files) == 1 and fake.deletions == {}


def test_a_file_without_an_end_stays(gw, fake):
    key = gw.new_key()
    made = uploaded(gw, key)
    assert made["expires_at"] is None
    other = uploaded(gw, gw.new_key(file_expiry_seconds=1))
    until_expired(other)
    until(lambda: len(fake.files) == 1, "the other one is deleted")
    assert gw.call(key, "GET", f"/v1/files/{made['id']}/content").content == b"hello"


# --- the sweeper ---


def outcome(gateways, what):
    return sum(
        gw.metric("filemux_files_expired_total", outcome=what) for gw in gateways
    )


def test_each_file_is_deleted_once_by_one_of_two_processes(pair, fake, redis):
    key = pair[0].new_key(file_expiry_seconds=2, max_storage_bytes=1000)
    all = [uploaded(pair[i % 2], key, b"x" * 10) for i in range(12)]
    ids = set(fake.files)
    until(lambda: not fake.files, "all are deleted", 20)
    until_used(redis, scope(key), 0, 0)
    assert fake.deletions == {one: 1 for one in ids}
    for made in all:
        is_gone(pair[0], key, made)
    assert outcome(pair, "deleted") == 12
    told = [e for gw in pair for e in gw.log() if e.get("msg") == "a file expired"]
    assert {e["file"] for e in told} == {made["id"] for made in all}
    assert {e["outcome"] for e in told} == {"deleted"}
    assert redis.command("EXISTS", "fm:{expiry}").startswith(b":0")


def test_expires_after_is_swept_too(gw, fake, redis):
    key = gw.new_key()
    asked = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    made, kept = (uploaded(gw, key, fields=asked) for _ in range(2))
    make_expire(redis, key, made)
    is_gone(gw, key, made)
    until(lambda: len(fake.files) == 1, "it is deleted")
    until_used(redis, scope(key), 1, 5)
    assert gw.call(key, "GET", f"/v1/files/{kept['id']}").status_code == 200


def test_a_file_counts_until_it_is_deleted_at_its_provider(gw, fake, redis):
    """Also when the provider is down: retried, less and less often, loudly."""
    key = gw.new_key(file_expiry_seconds=1, max_files=1)
    fake.fault(on_head(answer(503, {"error": {}})), method="DELETE", times=10**6)
    made = uploaded(gw, key)
    until_expired(made)
    is_gone(gw, key, made)
    refused(gw.upload(key), 429, "file_quota_exceeded")
    until(lambda: outcome([gw], "postponed") >= 3, "it was tried", 30)
    refused(gw.upload(key), 429, "file_quota_exceeded")
    told = [e for e in gw.log() if e.get("outcome") == "postponed"]
    assert {e["level"] for e in told} == {"warn"}
    assert all(e["file"] == made["id"] and e["cause"] for e in told)
    times = [s for s in fake.seen if s.method == "DELETE"]
    assert len(times) <= 4 * len(told)  # tried anew a few times, no storm
    due = redis.command("ZRANGE", "fm:{expiry}", "0", "-1", "WITHSCORES")
    later = int(due.split(b"\r\n")[4]) - made["expires_at"]
    assert later >= 3
    fake.faults.clear()
    until(lambda: not fake.files, "it is deleted", 30)
    until_used(redis, scope(key), 0, 0)
    assert outcome([gw], "deleted") == 1
    assert gw.upload(key).status_code == 200


def test_a_provider_that_is_down_does_not_hold_up_another(start, fake, redis):
    """It is asked once in a sweep, however many files it has."""
    down = Metered(api_key="sk-down")
    more = {"redis": {"url": redis.url}, **SWEEPING}
    gw = start(config(more, up=fake, down=down))
    key = gw.new_key(file_expiry_seconds=3)
    down.fault(on_head(answer(503, {"error": {}})), method="DELETE", times=10**6)
    for _ in range(20):
        made = uploaded(gw, key, path="/down/v1/files")
    for _ in range(3):
        uploaded(gw, key)
    until_expired(made)
    until(lambda: not fake.files, "those that can be are deleted", 20)
    until(lambda: outcome([gw], "postponed") >= 20, "the others are put off")
    asked = sum(s.method == "DELETE" for s in down.seen)
    assert 0 < asked < 20
    until_used(redis, scope(key), 20, 100)
    down.stop()


def test_a_file_that_is_gone_upstream_is_settled(gw, fake, redis):
    key = gw.new_key(file_expiry_seconds=1)
    uploaded(gw, key)
    fake.files.clear()
    until_used(redis, scope(key), 0, 0)
    until(lambda: outcome([gw], "deleted") == 1, "it is told")


# --- processes die ---


def test_another_process_takes_over_when_the_sweeper_is_killed(start, conf, fake, redis):
    one = start(conf)
    until(lambda: b"$" in redis.command("GET", "fm:{gw}:sweeper"), "one sweeps")
    two = start(conf)
    key = two.new_key(file_expiry_seconds=3)
    all = [uploaded(two, key) for _ in range(5)]
    one.kill()
    until(lambda: not fake.files, "the other one deletes them", 20)
    until_used(redis, scope(key), 0, 0)
    assert outcome([two], "deleted") == 5
    assert set(fake.deletions.values()) == {1}
    for made in all:
        is_gone(two, key, made)


def test_a_sweeper_killed_amid_a_deletion_leaves_nothing_half_done(
    start, conf, fake, redis
):
    """The file is deleted upstream, its record and its count are there."""
    one = start(conf)
    until(lambda: b"$" in redis.command("GET", "fm:{gw}:sweeper"), "one sweeps")
    two = start(conf)
    key = two.new_key(file_expiry_seconds=1)
    fake.fault(on_stored(call(lambda x: one.kill())), method="DELETE")
    made = uploaded(two, key)
    until(lambda: not one.runs, "it is killed")
    assert fake.files == {}
    until_used(redis, scope(key), 0, 0, timeout=20)
    is_gone(two, key, made)
    until(lambda: redis.command("HLEN", "fm:{gw}:entries") == b":0\r\n", "all is done")


def test_a_client_killed_amid_a_deletion_leaves_nothing_half_done(pair, fake, redis):
    """The same where a client asked for it."""
    one, two = pair
    key = two.new_key(max_files=1)
    made = uploaded(two, key)
    fake.fault(on_stored(call(lambda x: one.kill())), method="DELETE")
    with pytest.raises(httpx.TransportError):
        one.call(key, "DELETE", f"/v1/files/{made['id']}")
    refused(two.upload(key), 429, "file_quota_exceeded")
    until_used(redis, scope(key), 0, 0, timeout=20)
    is_gone(two, key, made)
    assert two.upload(key).status_code == 200


def test_what_was_uploaded_before_a_restart_expires_after_it(start, conf, fake, redis):
    gw = start(conf)
    key = gw.new_key(file_expiry_seconds=2)
    uploaded(gw, key)
    gw.kill()
    gw.start()
    until(lambda: not fake.files, "it is deleted", 20)
    until_used(redis, scope(key), 0, 0)
