"""Requests per minute and at a time, over several processes; what a request
costs Redis; who tries out keys; pages of other origins."""

import re
import time

import httpx
import pytest
from fakes.openai import on_head, stall
from gw import config, refused, until
from quota import new_team, scope, until_used, use
from wire import chunked, form_around, form_type, part

QUICK = {"journal": {"lease": "1s", "sweep_interval": "300ms"}}
LIMIT = "x-ratelimit-limit-requests"
LEFT = "x-ratelimit-remaining-requests"
RESET = "x-ratelimit-reset-requests"


@pytest.fixture
def conf(fake, redis):
    return config({"redis": {"url": redis.url}, **QUICK}, up=fake)


@pytest.fixture
def gw(start, conf):
    return start(conf)


@pytest.fixture
def pair(start, conf):
    return start(conf), start(conf)


def at_once(gateways, key, n, target="/v1/files"):
    """n requests, sent to all of them in turn before any answer is read."""
    wires = [gateways[i % len(gateways)].wire() for i in range(n)]
    for w in wires:
        w.head("GET", target, key)
    replies = [w.reply() for w in wires]
    for w in wires:
        w.close()
    return replies


def rpm_list(redis, scope):
    reply = redis.command("LRANGE", f"fm:{{gw}}:rpm:{scope}", "0", "-1")
    return [w for w in reply.split(b"\r\n")[2::2] if w]


def let_time_pass(redis, scope, ms):
    """As if its requests had come so much earlier."""
    for i, at in enumerate(rpm_list(redis, scope)):
        name = f"fm:{{gw}}:rpm:{scope}"
        redis.command("LSET", name, str(i), str(int(at) - ms))


# --- per minute ---


def test_of_many_at_once_exactly_as_many_pass_as_are_allowed(pair, redis):
    key = pair[0].new_key(rpm_limit=20)
    replies = at_once(pair, key, 60)
    assert sorted(r.status for r in replies) == [200] * 20 + [429] * 40
    for reply in replies:
        assert reply.get(LIMIT) == "20"
        if reply.status == 429:
            error = refused(reply, 429, "rate_limit_exceeded")
            assert error["type"] == "rate_limit_error"
            assert error["param"] == "rpm_limit"
            assert "20 requests in a minute (rpm_limit)" in error["message"]
            assert re.search(r"resets in \d+ s", error["message"])
            assert 0 < int(reply.get("retry-after")) <= 60
            assert reply.get(LEFT) == "0"
    passed = [int(r.get(LEFT)) for r in replies if r.status == 200]
    assert sorted(passed) == list(range(20))


def test_the_window_slides(gw, redis):
    """Not minute by minute: each request makes room 60 seconds after it."""
    key = gw.new_key(rpm_limit=10)
    assert all(r.status == 200 for r in at_once([gw], key, 4))
    let_time_pass(redis, scope(key), 40_000)
    assert all(r.status == 200 for r in at_once([gw], key, 6))
    reply = gw.call(key, "GET", "/v1/files")
    refused(reply, 429, "rate_limit_exceeded")
    assert 15 <= int(reply.headers["retry-after"]) <= 20
    let_time_pass(redis, scope(key), 20_000)
    statuses = [r.status for r in at_once([gw], key, 8)]
    assert sorted(statuses) == [200] * 4 + [429] * 4
    let_time_pass(redis, scope(key), 60_000)
    assert all(r.status == 200 for r in at_once([gw], key, 10))


def test_refused_requests_do_not_prolong_the_wait(gw, redis):
    key = gw.new_key(rpm_limit=2)
    at_once([gw], key, 10)
    assert len(rpm_list(redis, scope(key))) == 2


def test_every_answer_tells_where_the_key_stands(gw, redis):
    key = gw.new_key(rpm_limit=100)
    made = gw.upload(key).json()["id"]
    one = f"/v1/files/{made}"
    replies = [
        gw.upload(key),
        gw.upload(key, fields={"purpose": "no such!"}),
        gw.call(key, "GET", "/v1/files"),
        gw.call(key, "GET", one),
        gw.call(key, "GET", one + "/content"),
        gw.call(key, "HEAD", one + "/content"),
        gw.call(key, "GET", one + "/content", headers={"Range": "bytes=9-"}),
        gw.call(key, "GET", one + "/content", headers={"If-None-Match": "*"}),
        gw.call(key, "GET", one + "x"),
        gw.call(key, "DELETE", one),
    ]
    statuses = [200, 400, 200, 200, 200, 200, 416, 304, 404, 200]
    assert [r.status_code for r in replies] == statuses
    for i, reply in enumerate(replies):
        assert reply.headers[LIMIT] == "100"
        assert reply.headers[LEFT] == str(98 - i)
        assert re.fullmatch(r"\d+ms", reply.headers[RESET])
        assert 0 < int(reply.headers[RESET][:-2]) <= 60_000
        assert "x-request-id" in reply.headers


def test_a_key_without_a_limit_is_told_none(gw):
    reply = gw.call(gw.new_key(), "GET", "/v1/files")
    assert not [n for n in reply.headers if n.startswith("x-ratelimit")]


def test_the_keys_of_a_team_share_its_limit(pair, redis):
    team = new_team(redis, "crew", rpm_limit=12)
    keys = [pair[0].new_key(team_id=team, rpm_limit=8) for _ in range(2)]
    replies = at_once(pair, keys[0], 10)
    assert sorted(r.status for r in replies) == [200] * 8 + [429] * 2
    replies = at_once(pair, keys[1], 10)
    assert sorted(r.status for r in replies) == [200] * 4 + [429] * 6
    told = {refused(r, 429)["message"].split(" may")[0] for r in replies
            if r.status == 429}  # fmt: skip
    assert told == {"this team"}
    assert {r.get(LIMIT) for r in replies} <= {"8", "12"}
    assert replies[-1].get(LIMIT) == "12" or replies[-1].status == 200


def test_a_refused_request_is_charged_to_nobody(gw, redis):
    """The key has room, its team has none."""
    team = new_team(redis, "crew", rpm_limit=1)
    key = gw.new_key(team_id=team, rpm_limit=5)
    at_once([gw], key, 4)
    assert len(rpm_list(redis, scope(key))) == 1


# --- at a time ---


def begin(gw, key):
    """An upload under way: its wire."""
    prefix, _, _ = form_around(0, part("purpose", "vision"))
    w = gw.wire()
    w.head("POST", "/v1/files", key, Content_Type=form_type(),
           Transfer_Encoding="chunked")  # fmt: skip
    w.send(chunked(prefix + b"x" * 1000, 10_000)[:-5])
    return w


def finish(wire):
    _, suffix, _ = form_around(0, part("purpose", "vision"))
    wire.send(chunked(suffix, 1000))
    status = wire.reply().status
    wire.close()
    return status


def slots(redis, key):
    return use(redis, scope(key))["slots"]


def test_so_many_requests_run_at_a_time_and_no_more(pair, fake, redis):
    key = pair[0].new_key(max_parallel_requests=3)
    wires = [begin(pair[i % 2], key) for i in range(3)]
    until(lambda: slots(redis, key) == 3, "three are under way")
    for reply in at_once(pair, key, 6):
        error = refused(reply, 429, "rate_limit_exceeded")
        assert error["type"] == "rate_limit_error"
        assert "3 requests at a time (max_parallel_requests)" in error["message"]
        assert int(reply.get("retry-after")) > 0
    assert [finish(w) for w in wires] == [200] * 3
    until(lambda: slots(redis, key) == 0, "all are over")
    assert pair[0].call(key, "GET", "/v1/files").status_code == 200
    until_used(redis, scope(key), 3, 3000)


def test_of_many_at_once_exactly_as_many_run(pair, fake, redis):
    key = pair[0].new_key(max_parallel_requests=5)
    made = pair[0].upload(key).json()["id"]
    until(lambda: slots(redis, key) == 0, "the upload is over")
    fake.fault(on_head(stall), path="content", times=99)
    wires = [pair[i % 2].wire() for i in range(30)]
    for w in wires:
        w.head("GET", f"/v1/files/{made}/content", key)
    told = lambda: sum(s.path.endswith("content") for s in fake.seen)  # noqa: E731
    until(lambda: told() == 5, "five are under way")
    assert slots(redis, key) == 5
    time_out = time.monotonic() + 10
    refusals = 0
    for w in wires:
        w.sock.settimeout(0.05 if refusals == 25 else 1)
        try:
            refusals += w.reply().status == 429
        except TimeoutError:
            assert time.monotonic() < time_out
        w.close()
    assert refusals == 25 and told() == 5
    until(lambda: slots(redis, key) == 0, "all are over")


def test_a_client_that_hangs_up_leaves_its_place(gw, redis):
    key = gw.new_key(max_parallel_requests=1)
    for _ in range(5):
        w = begin(gw, key)
        until(lambda: slots(redis, key) == 1, "it is under way")
        w.reset()
        until(lambda: slots(redis, key) == 0, "it is over")


def test_a_long_request_keeps_its_place(pair, redis):
    """Beyond its lease of a second."""
    one, two = pair
    key = one.new_key(max_parallel_requests=1)
    w = begin(one, key)
    until(lambda: slots(redis, key) == 1, "it is under way")
    leases = set()

    def lasts():
        refused(two.call(key, "GET", "/v1/files"), 429, "rate_limit_exceeded")
        leases.add(redis.command("ZRANGE", "fm:{gw}:due", "0", "-1", "WITHSCORES"))
        return len(leases) > 6

    until(lasts, "its lease was renewed often")
    assert finish(w) == 200
    until(lambda: slots(redis, key) == 0, "it is over")


def test_the_places_of_a_killed_process_come_free(pair, redis):
    one, two = pair
    key = two.new_key(max_parallel_requests=2)
    wires = [begin(one, key), begin(one, key)]
    until(lambda: slots(redis, key) == 2, "they are under way")
    refused(two.call(key, "GET", "/v1/files"), 429)
    one.kill()
    for w in wires:
        w.close()
    until(lambda: two.call(key, "GET", "/v1/files").status_code == 200,
          "their leases ended", 20)  # fmt: skip
    until_used(redis, scope(key), 0, 0)


# --- who may not ---


def test_a_blocked_keys_request_under_way_ends_by_itself(pair):
    one, two = pair
    key = one.new_key(rpm_limit=100, max_parallel_requests=5)
    w = begin(one, key)
    assert two.call(key, "GET", "/v1/files").status_code == 200
    assert two.admin("POST", "/key/block", json={"key": key}).status_code == 200
    for gw in pair:
        refused(gw.call(key, "GET", "/v1/files"), 403, "key_blocked")
    assert finish(w) == 200
    two.admin("POST", "/key/unblock", json={"key": key})
    assert len(one.call(key, "GET", "/v1/files").json()["data"]) == 1


def test_a_deleted_keys_request_under_way_ends_by_itself(pair, fake):
    one, two = pair
    key = one.new_key(rpm_limit=100, max_parallel_requests=5, max_files=3)
    w = begin(one, key)
    until(lambda: fake.uploads(), "it is under way")
    assert two.admin("POST", "/key/delete", json={"keys": [key]}).status_code == 200
    for gw in pair:
        refused(gw.call(key, "GET", "/v1/files"), 401, "invalid_api_key")
    assert finish(w) == 200


def test_an_expired_key_is_refused_at_both(pair):
    key = pair[0].new_key(duration="2s", rpm_limit=1000)
    for gw in pair:
        assert gw.call(key, "GET", "/v1/files").status_code == 200
    for gw in pair:
        until(lambda gw=gw: gw.call(key, "GET", "/v1/files").status_code != 200,
              "it has expired")  # fmt: skip
        refused(gw.call(key, "GET", "/v1/files"), 401, "key_expired")


def test_a_blocked_team_blocks_its_keys(pair, redis):
    team = new_team(redis, "crew", rpm_limit=1000)
    key = pair[0].new_key(team_id=team)
    for gw in pair:
        assert gw.call(key, "GET", "/v1/files").status_code == 200
    new_team(redis, "crew", rpm_limit=1000, blocked=True)
    for gw in pair:
        refused(gw.call(key, "GET", "/v1/files"), 403, "key_blocked")


def test_a_new_limit_holds_from_the_next_request_on(pair, redis):
    team = new_team(redis, "crew", rpm_limit=1000)
    key = pair[0].new_key(team_id=team)
    assert all(r.status == 200 for r in at_once(pair, key, 10))
    new_team(redis, "crew", rpm_limit=10)
    for reply in at_once(pair, key, 4):
        refused(reply, 429, "rate_limit_exceeded")


# --- what it costs ---


def counted(redis):
    """Commands that clients sent, and those of scripts, by name."""
    reply = redis.command("INFO", "commandstats").decode()
    found = dict(re.findall(r"cmdstat_(\S+?):calls=(\d+)", reply))
    return {name: int(n) for name, n in found.items()}


@pytest.mark.parametrize("is_limited", [False, True], ids=["unlimited", "limited"])
def test_a_retrieval_takes_two_commands_in_one_round_trip(
    start, fake, redis, is_limited
):
    """One admits, one reads the record; the records of key and team are known.
    The place of a limited one is given back by a third, which nobody awaits."""
    quiet = {"journal": {"lease": "4s", "sweep_interval": "1h"}}
    more = {"redis": {"url": redis.url}, "workers": 1, **quiet}
    gw = start(config(more, up=fake))
    until(lambda: b"fm:{gw}:sweeper" in redis.command("KEYS", "fm:{gw}:*"),
          "the first sweep was")  # fmt: skip
    limits = {"rpm_limit": 10_000, "max_parallel_requests": 10, "max_files": 10,
              "max_storage_bytes": 10_000, "max_upload_bytes_per_day": 10_000,
              "max_download_bytes_per_day": 10_000} if is_limited else {}  # fmt: skip
    team = new_team(redis, "crew", **limits)
    key = gw.new_key(team_id=team, **limits)
    made = gw.upload(key).json()["id"]
    one = f"/v1/files/{made}"
    assert gw.call(key, "GET", one).status_code == 200
    n = 100
    before = counted(redis)
    for _ in range(n):
        assert gw.call(key, "GET", one).status_code == 200
    until(lambda: slots(redis, key) == 0, "all are over")
    after = counted(redis)
    more = {c: after[c] - before.get(c, 0) for c in after}
    evals = more.get("evalsha", 0) + more.get("eval", 0)
    if is_limited:
        # Statistics are one more every two seconds.
        assert 2 * n <= evals <= 2 * n + 10
    else:
        assert evals <= 10 and more["mget"] == n
    # A script's own calls are counted too: a record that is looked up by GET.
    assert more["get"] == (3 * n if is_limited else n)


# --- who tries out keys ---


@pytest.fixture
def guarded(start, fake, redis):
    more = {"redis": {"url": redis.url}, "workers": 1,
            "limits": {"auth_failures_per_minute": 5}}  # fmt: skip
    return start(config(more, up=fake))


def test_wrong_keys_are_answered_without_asking_redis_after_some(guarded, redis):
    good = guarded.new_key()
    assert guarded.call(good, "GET", "/v1/files").status_code == 200
    for i in range(5):
        refused(guarded.call(f"sk-{i}", "GET", "/v1/files"), 401, "invalid_api_key")
    before = counted(redis)
    for i in range(20):
        reply = guarded.call(f"sk-other-{i}", "GET", "/v1/files/file-x")
        error = refused(reply, 429, "rate_limit_exceeded")
        assert 0 < int(reply.headers["retry-after"]) <= 60
        assert "API keys" in error["message"]
    after = counted(redis)
    assert after.get("mget") == before.get("mget")
    # A wrong master key is such a key; the right one and known ones pass.
    wrong = guarded.call("sk-master-wrong", "POST", "/key/generate", json={})
    refused(wrong, 429)
    assert guarded.call(good, "GET", "/v1/files").status_code == 200
    assert guarded.new_key()
    held = guarded.metric("filemux_auth_failures_total", reason="held_back")
    assert held == 21


def test_a_peer_of_a_unix_socket_is_not_held_back(start, fake, tmp_path):
    path = tmp_path / "s"
    more = {"workers": 1, "listen_also": f"unix:{path}",
            "limits": {"auth_failures_per_minute": 2}}  # fmt: skip
    start(config(more, up=fake))
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path))) as http:
        for _ in range(10):
            headers = {"Authorization": "Bearer sk-x"}
            reply = http.get("http://filemux/v1/files", headers=headers)
            refused(reply, 401, "invalid_api_key")


def test_nobody_is_held_back_when_it_is_off(start, fake):
    more = {"workers": 1, "limits": {"auth_failures_per_minute": 0}}
    gw = start(config(more, up=fake))
    for reply in at_once([gw], "sk-x", 100):
        refused(reply, 401, "invalid_api_key")


# --- pages of other origins ---

PAGE = "https://app.example.com"
ASK = {"Origin": PAGE, "Access-Control-Request-Method": "POST",
       "Access-Control-Request-Headers": "authorization,x-stainless-os"}  # fmt: skip


def cors_fields(reply):
    return {n for n in reply.headers if n.startswith("access-control")}


def test_no_page_may_call_unless_it_is_configured(shared):
    gw = shared[0]
    asked = gw.http.request("OPTIONS", "/v1/files", headers=ASK)
    refused(asked, 405)
    reply = gw.http.get("/v1/files", headers={"Origin": PAGE})
    assert not cors_fields(asked) and not cors_fields(reply)
    assert "vary" not in reply.headers


@pytest.mark.parametrize("origins", [[PAGE, "http://localhost:3000"], ["*"]])
def test_a_configured_page_may_call_the_data_plane(start, fake, origins):
    gw = start(config({"cors": {"origins": origins, "max_age": "1m"}}, up=fake))
    key = gw.new_key(rpm_limit=10)
    any_may = origins == ["*"]
    told = "*" if any_may else PAGE
    for path in ("/v1/files", "/files", "/up/v1/files", "/v1/files/file-x/content"):
        asked = gw.http.request("OPTIONS", path, headers=ASK)
        assert asked.status_code == 204 and asked.content == b""
        assert asked.headers["access-control-allow-origin"] == told
        assert "GET" in asked.headers["access-control-allow-methods"]
        assert "x-stainless-os" in asked.headers["access-control-allow-headers"]
        assert asked.headers["access-control-max-age"] == "60"
        assert "access-control-allow-credentials" not in asked.headers
        assert ("vary" in asked.headers) != any_may
    for secret, status in ((key, 200), ("sk-wrong", 401)):
        reply = gw.call(secret, "GET", "/v1/files", headers={"Origin": PAGE})
        assert reply.status_code == status
        assert reply.headers["access-control-allow-origin"] == told
        shown = reply.headers["access-control-expose-headers"]
        assert LEFT in shown and "x-request-id" in shown
    other = {**ASK, "Origin": "https://evil.example.com"}
    if not any_may:
        refused(gw.http.request("OPTIONS", "/v1/files", headers=other), 405)
        reply = gw.call(key, "GET", "/v1/files", headers={"Origin": other["Origin"]})
        assert reply.status_code == 200 and not cors_fields(reply)
        assert reply.headers["vary"] == "Origin"
    # Administration is not for pages.
    asked = gw.http.request("OPTIONS", "/key/generate", headers=ASK)
    refused(asked, 405)
    assert not cors_fields(asked) and not cors_fields(gw.http.get("/metrics"))


def test_a_page_downloads(start, fake):
    gw = start(config({"cors": {"origins": [PAGE]}}, up=fake))
    key = gw.new_key()
    made = gw.upload(key, headers={"Origin": PAGE}).json()["id"]
    one = f"/v1/files/{made}/content"
    reply = gw.call(key, "GET", one, headers={"Origin": PAGE})
    assert reply.content == b"hello"
    assert reply.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("origins", [["*", PAGE], ["app.example.com"], [PAGE + "/"]])
def test_what_is_no_origin_is_refused_at_start(start, fake, origins):
    gw = start(config({"cors": {"origins": origins}}, up=fake), wait=False)
    assert gw.process.wait(20) != 0
    assert "cors.origins" in gw.stderr()
    gw.process = None
