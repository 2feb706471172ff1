"""Redis away, slow, or back: nobody unauthenticated, nothing lost."""

import os
import signal
import threading

import httpx
import pytest
from fakes.openai import call, on_stored
from gw import MB, config, refused, until


def answers(gw, key):
    try:
        return gw.call(key, "GET", "/v1/files").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def apart(start, fake, redis):
    """A gateway on a Redis that is not its own."""
    gw = start(config({"redis": {"url": redis.url, "timeout": "1s"}}, up=fake))
    gw.key = gw.new_key()
    return gw


def test_the_embedded_redis_is_started_anew_when_it_dies(start, fake):
    gw = start(config(up=fake))
    key = gw.new_key()
    made = gw.upload(key).json()["id"]
    pid = until(gw.child, "the redis-server is found")
    os.kill(pid, signal.SIGKILL)
    until(lambda: gw.child() not in (None, pid), "there is a new one")
    until(lambda: answers(gw, key), "filemux serves again")
    assert gw.call(key, "GET", f"/v1/files/{made}/content").content == b"hello"


def test_the_embedded_redis_goes_with_filemux(start, fake):
    gw = start(config(up=fake))
    pid = until(gw.child, "the redis-server is found")
    gw.stop()
    until(lambda: not os.path.exists(f"/proc/{pid}"), "it is gone")


def test_the_embedded_redis_goes_with_a_killed_filemux(start, fake):
    gw = start(config(up=fake))
    pid = until(gw.child, "the redis-server is found")
    gw.kill()
    until(lambda: not os.path.exists(f"/proc/{pid}"), "it is gone")


def test_keys_and_files_outlive_a_kill(start, fake):
    gw = start(config(up=fake))
    key = gw.new_key()
    made = gw.upload(key).json()["id"]
    gw.kill()
    gw.start()
    assert gw.call(key, "GET", f"/v1/files/{made}/content").content == b"hello"


def test_a_redis_that_is_gone_is_a_503_until_it_is_back(apart, redis, fake):
    made = apart.upload(apart.key).json()["id"]
    redis.kill()
    for path in ("/v1/files", f"/v1/files/{made}", f"/v1/files/{made}/content"):
        reply = apart.call(apart.key, "GET", path)
        refused(reply, 503, "store_unavailable")
        assert int(reply.headers["retry-after"]) >= 1
    refused(apart.upload(apart.key), 503)
    refused(apart.call("sk-nobody", "GET", "/v1/files"), 503)
    refused(apart.admin("POST", "/key/generate", json={}), 503)
    assert len(fake.uploads()) == 1, "no upload went up unauthenticated"
    redis.start()
    until(lambda: answers(apart, apart.key), "filemux serves again")
    assert apart.call(apart.key, "GET", f"/v1/files/{made}").status_code == 200


def test_readiness_tells_that_redis_is_away(apart, redis):
    redis.kill()
    until(lambda: apart.http.get("/health/readiness").status_code == 503, "it is told")
    assert apart.http.get("/health/liveliness").status_code == 200
    redis.start()
    until(lambda: apart.http.get("/health/readiness").status_code == 200, "it is over")


def test_a_redis_that_hangs_is_a_503(apart, redis):
    redis.pause()
    refused(apart.call(apart.key, "GET", "/v1/files"), 503, "store_unavailable")
    redis.go_on()
    until(lambda: answers(apart, apart.key), "filemux serves again")


def test_a_transfer_under_way_is_recorded_when_redis_is_back(apart, redis, fake):
    """Redis goes between the provider's answer and the record."""
    gone = threading.Event()

    def kill_redis(x):
        redis.kill()
        gone.set()

    fake.fault(on_stored(call(kill_redis)))
    out = []
    worker = threading.Thread(target=lambda: out.append(apart.upload(apart.key)))
    worker.start()
    assert gone.wait(10)
    redis.start()
    worker.join(30)
    until(lambda: answers(apart, apart.key), "filemux serves again")
    reply = out[0]
    if reply.status_code == 200:
        listed = [reply.json()["id"]]
    else:
        refused(reply, 503)
    listed = until(
        lambda: (
            apart.call(apart.key, "GET", "/v1/files").json()["data"] or fake.files == {}
        ),
        "the file is recorded, or it is deleted",
        60,
    )
    if reply.status_code == 200:
        assert listed[0]["id"] == reply.json()["id"]


def test_a_restarted_redis_without_scripts_is_served(apart, redis, fake):
    made = apart.upload(apart.key).json()["id"]
    redis.command("SCRIPT", "FLUSH")
    assert apart.call(apart.key, "DELETE", f"/v1/files/{made}").status_code == 200


def test_a_redis_without_memory_is_a_503_and_leaves_nothing(apart, redis, fake):
    redis.command("CONFIG", "SET", "maxmemory", "1")
    reply = apart.upload(apart.key, b"x" * MB)
    refused(reply, reply.status_code)
    assert reply.status_code >= 500
    redis.command("CONFIG", "SET", "maxmemory", "0")
    until(lambda: fake.files == {}, "nothing is left upstream", 60)
