"""Circuit breakers: what opens them, what they refuse, how they close."""

import signal
import subprocess

import pytest
from fakes.openai import after_bytes, after_sent, answer, on_head, reset, stall
from gw import BINARY, MB, config, free_port, openai_provider, refused, until
from wire import file_part, form, form_type, part

FAILED = {"error": {"message": "out of order", "type": "server_error"}}


def guarded(fake, more=None, **breaker):
    breaker = {"failures": 3, "rate": "0%", "open_for": "60s", **breaker}
    up = openai_provider(fake, breaker=breaker, **(more or {}))
    return config({"providers": {"up": up}, "routing": {"default": "up"}})


def state(gw, name="up"):
    listed = gw.admin("GET", "/admin/providers").json()["data"]
    return next(p for p in listed if p["name"] == name)


def said(gw):
    """The log's lines of changes."""
    words = ("is not asked", "is tried again", "is asked again")
    return [e["msg"] for e in gw.log() if any(w in e.get("msg", "") for w in words)]


def fail(gw, fake, key, times=3):
    fake.fault(on_head(answer(500, FAILED, then_close=True)), times=times)
    for _ in range(times):
        refused(gw.upload(key), 502, "upstream_error")


def test_one_that_fails_is_left_alone(start, fake):
    gw = start(guarded(fake))
    key = gw.new_key()
    path = f"/v1/files/{gw.upload(key).json()['id']}"
    assert state(gw)["state"] == "up" and state(gw)["breaker"] == "closed"
    assert state(gw)["opened_at"] is None
    fail(gw, fake, key)
    asked = len(fake.seen)
    for reply in (
        gw.upload(key),
        gw.call(key, "GET", path + "/content"),
        gw.call(key, "DELETE", path),
    ):
        error = refused(reply, 503, "upstream_unavailable")
        assert error["type"] == "service_unavailable" and "'up'" in error["message"]
        assert 1 <= int(reply.headers["retry-after"]) <= 60
    assert len(fake.seen) == asked
    seen = state(gw)
    assert (seen["state"], seen["breaker"]) == ("down", "open")
    assert seen["consecutive_failures"] == 3 and seen["opened_at"] > 1_600_000_000
    assert seen["bytes_under_way"] == 0
    assert gw.metric("filemux_breaker_state", provider="up") == 2
    changes = "filemux_breaker_changes_total"
    assert gw.metric(changes, provider="up", to="open") == 1
    (line,) = said(gw)
    assert "'up'" in line and "status 500" in line
    assert gw.call(key, "GET", path).status_code == 200  # of the record


def test_one_that_works_again_is_asked_again(start, fake):
    gw = start(guarded(fake, open_for="300ms"))
    key = gw.new_key()
    fail(gw, fake, key)
    until(lambda: gw.upload(key).status_code == 200, "it is tried")
    assert (state(gw)["state"], state(gw)["breaker"]) == ("up", "closed")
    assert state(gw)["consecutive_failures"] == 0 and state(gw)["opened_at"] is None
    assert gw.metric("filemux_breaker_state", provider="up") == 0
    assert [line.split(" is ")[1].split()[0] for line in said(gw)] == [
        "not", "tried", "asked",
    ]  # fmt: skip
    for to in ("open", "half_open", "closed"):
        assert gw.metric("filemux_breaker_changes_total", provider="up", to=to) == 1


def test_a_trial_that_fails_opens_it_again(start, fake):
    gw = start(guarded(fake, open_for="300ms"))
    key = gw.new_key()
    fail(gw, fake, key)
    fake.fault(on_head(answer(503, FAILED, then_close=True)))
    asked = len(fake.seen)

    def tried():
        refused(gw.upload(key), 503)
        return len(fake.seen) > asked

    until(tried, "it is tried")
    assert len(fake.seen) == asked + 1
    assert state(gw)["consecutive_failures"] == 4
    changes = "filemux_breaker_changes_total"
    assert gw.metric(changes, provider="up", to="open") == 2


def test_one_trial_at_a_time(start, fake):
    gw = start(guarded(fake, open_for="3s"))
    key = gw.new_key()
    path = f"/v1/files/{gw.upload(key, b'x' * 3 * MB).json()['id']}/content"
    fail(gw, fake, key)
    fake.fault(after_sent(MB, stall))

    def trial():
        w = gw.wire()
        w.head("GET", path, key)
        if w.reply_head().status == 200:
            return w
        return w.close()

    with until(trial, "it is tried"):
        assert (state(gw)["state"], state(gw)["breaker"]) == ("on trial", "half_open")
        assert gw.metric("filemux_breaker_state", provider="up") == 1
        asked = len(fake.seen)
        refused(gw.upload(key), 503, "upstream_unavailable")
        assert len(fake.seen) == asked
    # A client who leaves has told nothing of the provider.
    until(lambda: gw.upload(key).status_code == 200, "another one is let through", 2)
    assert state(gw)["breaker"] == "closed"


FAILURES = {
    "500": on_head(answer(500, FAILED, then_close=True)),
    "503": on_head(answer(503, FAILED, then_close=True)),
    "529": on_head(answer(529, FAILED, then_close=True)),
    "reset": on_head(reset),
    "cut": after_bytes(MB, reset),
    "stall": on_head(stall),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_counts(start, fake, kind):
    gw = start(guarded(fake, {"timeout": "500ms"}))
    key = gw.new_key()
    fake.fault(FAILURES[kind], times=99)
    for i in range(3):
        assert state(gw)["breaker"] == "closed"
        assert gw.upload(key, b"x" * 3 * MB).status_code >= 500
        assert state(gw)["consecutive_failures"] == i + 1
    assert state(gw)["breaker"] == "open"
    fake.stopping.set()


def test_one_that_is_not_there_counts(start, fake):
    dead = {"base_url": f"http://127.0.0.1:{free_port()}/v1"}
    gw = start(guarded(fake, dead))
    key = gw.new_key()
    for _ in range(3):
        refused(gw.upload(key), 502, "upstream_unreachable")
    refused(gw.upload(key), 503, "upstream_unavailable")


def test_a_download_that_breaks_counts(start, fake):
    gw = start(guarded(fake))
    key = gw.new_key()
    path = f"/v1/files/{gw.upload(key, b'x' * 3 * MB).json()['id']}/content"
    fake.fault(after_sent(MB, reset), times=3)
    for i in range(3):
        with gw.wire() as w:
            w.head("GET", path, key)
            assert not w.reply().whole
        until(lambda n=i: state(gw)["consecutive_failures"] == n + 1, "it is counted")
    assert state(gw)["breaker"] == "open"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 422, 429])
def test_its_refusals_do_not_count(start, fake, status):
    gw = start(guarded(fake))
    key = gw.new_key()
    error = {"error": {"message": "no", "type": "invalid_request_error"}}
    act = answer(status, error, {"Retry-After": "9"}, then_close=True)
    fake.fault(on_head(act), times=9)
    for _ in range(5):
        assert gw.upload(key).status_code != 503
    assert state(gw)["breaker"] == "closed"
    assert state(gw)["consecutive_failures"] == 0
    fake.faults.clear()
    assert gw.upload(key).status_code == 200


def test_clients_that_hang_up_do_not_count(start, fake):
    gw = start(guarded(fake))
    key = gw.new_key()
    body = form(part("purpose", "vision"), file_part(b"x" * 3 * MB))
    for i in range(5):
        with gw.wire() as w:
            w.head("POST", "/v1/files", key, **{"Content-Type": form_type(), "Content-Length": str(len(body))})  # fmt: skip
            w.send(body[: 2 * MB])
            until(lambda n=i: len(fake.seen) > n, "it is under way")
    until(lambda: gw.transfers() == 0, "no transfer is under way")
    assert state(gw)["consecutive_failures"] == 0
    assert state(gw)["breaker"] == "closed" and state(gw)["bytes_under_way"] == 0


def test_a_broken_form_does_not_count(start, fake):
    gw = start(guarded(fake))
    key = gw.new_key()
    for _ in range(5):
        body = form(part("purpose", "vision"), file_part(b"x" * MB))[:-9]
        reply = gw.call(key, "POST", "/v1/files", content=body,
                        headers={"Content-Type": form_type()})  # fmt: skip
        refused(reply, 400)
    assert state(gw)["consecutive_failures"] == 0


def test_a_rate_of_failures_opens_it(start, fake):
    gw = start(guarded(fake, failures=0, rate="50%", calls=6))
    key = gw.new_key()
    for _ in range(3):
        assert gw.upload(key).status_code == 200
        assert state(gw)["breaker"] == "closed"
        fail(gw, fake, key, 1)
    refused(gw.upload(key), 503, "upstream_unavailable")


def test_all_workers_know_and_a_reload_keeps_it(start, fake):
    conf = guarded(fake)
    conf["workers"] = 4
    gw = start(conf)
    key = gw.new_key()
    fail(gw, fake, key)
    for _ in range(8):  # each on a connection of its own
        with gw.wire() as w:
            w.head("GET", "/v1/files", key)
            w.reply()
        refused(gw.upload(key), 503, "upstream_unavailable")
    gw.signal(signal.SIGHUP)
    until(lambda: "reload" in gw.stderr(), "it was read again")
    refused(gw.upload(key), 503, "upstream_unavailable")
    assert gw.metric("filemux_breaker_state", provider="up") == 2
    assert len(said(gw)) == 1


def test_a_file_of_another_provider_is_not_concerned(start, fake, tmp_path):
    conf = guarded(fake)
    conf["providers"]["local"] = {"type": "disk", "path": str(tmp_path / "files")}
    gw = start(conf)
    key = gw.new_key()
    fail(gw, fake, key)
    obj = gw.upload(key, b"here", path="/local/v1/files").json()
    assert gw.call(key, "GET", f"/v1/files/{obj['id']}/content").content == b"here"
    assert state(gw, "local")["state"] == "up"


@pytest.mark.parametrize("rate", ["150%", "-1%", "half", "%"])
def test_a_rate_is_a_percentage(tmp_path, rate):
    file = tmp_path / "f.yaml"
    file.write_text(f"providers: {{x: {{type: disk, path: ., breaker: {{rate: '{rate}'}}}}}}")  # fmt: skip
    run = subprocess.run([BINARY, "--config", file, "--check"], capture_output=True, text=True)  # fmt: skip
    assert run.returncode != 0 and "'rate' must be 0% to 100%" in run.stderr
